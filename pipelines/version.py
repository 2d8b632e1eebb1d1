"""Which code made an output."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "cxr-triage"
_RECORDED: Final = ("torch", "torchvision", "monai", "lightning-fabric", "mlflow", "pydicom", "numpy", "scikit-learn")


@cache
def code_version() -> str:
    """Return the version, with the commit and a dirty mark where the code runs from a checkout."""
    released = installed_version(DISTRIBUTION) or "0+unknown"
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return released
    try:
        described = subprocess.run(
            ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return released
    return f"{released}+g{described.replace('-', '.')}"


def package_versions() -> dict[str, str]:
    """Return the versions that can change a number: Python and the libraries that compute."""
    found = {name: installed_version(name) for name in _RECORDED}
    return {"python": platform.python_version()} | {name: number for name, number in found.items() if number}


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution; None where it is not installed as a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
