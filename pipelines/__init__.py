"""cxr-triage: from chest X-ray files to an evaluation that a screening programme can read. Research software.

``pipelines`` and ``models`` are generic names on a shared ``sys.path``, so the pair is checked when it is imported.
"""

import importlib.util
import os
from pathlib import Path

# Must be said before torch is imported. OpenMP's threads otherwise spin at every barrier while they wait: beside any
# other busy process the threads wait for a core that the spinning ones hold, and small operations become many times
# slower. A sleeping thread costs microseconds to wake.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _check_models_is_ours() -> None:
    spec = importlib.util.find_spec("models")
    home = Path(__file__).resolve().parent.parent
    found = None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent
    if found != home / "models":
        what = "no package models" if found is None else f"another package models in {found}"
        raise ImportError(
            f"cxr-triage needs its own package models beside {Path(__file__).resolve().parent}, but found {what}; "
            "install cxr-triage in a virtual environment of its own"
        )


_check_models_is_ours()
