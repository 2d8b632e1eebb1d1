"""The Ray cluster of a run: found or started, quiet, and every machine of it fit for the run."""

import importlib
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.errors import CxrError
from pipelines.film_files import FilmFile, file_state
from pipelines.system import usable_cores
from pipelines.version import code_version, package_versions

_ADDRESS: Final = "RAY_ADDRESS"
_DECIDING: Final = ("torch", "torchvision", "pydicom", "numpy")
"""Libraries whose version can change a score or a reason."""
_LOOK_SECONDS: Final = 180.0
"""Longest time for a machine to start Python and say what it sees."""
_SAMPLE: Final = 8
"""Films that every machine must see as the driver sees them."""


class View(NamedTuple):
    """What one machine says of itself."""

    installation: Mapping[str, str]
    states: list[str]
    """`file_state` of the sample of films."""
    sees_pictures: bool


def ray_library() -> Any:
    """Import Ray with Ray Data, and keep it from sending usage data and from talking over the run's own lines.

    Raises:
        CxrError: it is not installed; says which extra brings it.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its errors are raised here as exceptions
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = importlib.import_module("ray")
        data = importlib.import_module("ray.data")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise CxrError("ray is not installed; install it with: pip install 'cxr-triage[ray]'") from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    return ray


def fetch(reference: Any, **otherwise: Any) -> Any:
    """Return what a reference of Ray's object store means, or `otherwise` where it is lost."""
    ray = importlib.import_module("ray")
    try:
        return ray.get(reference)
    except ray.exceptions.RayError:
        if "otherwise" in otherwise:
            return otherwise["otherwise"]
        raise


@contextmanager
def connected() -> Iterator[Any]:
    """Give Ray, connected to the cluster that ``RAY_ADDRESS`` names; without one to a cluster of this machine alone.

    What is started here is ended here; a cluster that was there stays.

    Raises:
        CxrError: Ray is not installed, no cluster is at the address, or none can be started.
    """
    ray = ray_library()
    if ray.is_initialized():  # by a script that calls this
        yield ray
        return
    address = os.environ.get(_ADDRESS)
    if address and address.startswith("ray://"):
        raise CxrError(
            f"{_ADDRESS} is {address}: start the run on a machine of the cluster, with {_ADDRESS}=auto or HOST:6379"
        )
    options: dict[str, Any] = {"address": address}
    if not address:
        options = {"address": "local", "num_cpus": usable_cores(), "include_dashboard": False}
    try:
        with _deaf_standard_error():
            ray.init(**options, configure_logging=False, logging_level=logging.CRITICAL, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"no Ray cluster answers at {_ADDRESS}={address}" if address else "Ray cannot be started here"
        raise CxrError(f"{where} ({type(error).__name__})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _deaf_standard_error() -> Iterator[None]:
    """Let nothing through that compiled code writes: Ray announces there that it was asked to be quiet."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def nodes(ray: Any) -> list[dict[str, Any]]:
    """The machines that are there now."""
    return [node for node in ray.nodes() if node["Alive"]]


def describe_installation() -> dict[str, str]:
    """What must be the same on all machines: versions that can change a score or a reason."""
    versions = package_versions()
    return {
        # The release, not the commit: as in the plan of a run.
        "cxr-triage": code_version().split("+g")[0],
        "python": ".".join(platform.python_version_tuple()[:2]),
    } | {name: versions[name] for name in _DECIDING if name in versions}


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """Say in what an installation differs from the driver's; None where it does not."""
    wrong = [name for name in expected if found.get(name) != expected[name]]
    wrong += [name for name in found if name not in expected]
    if not wrong:
        return None
    return ", ".join(f"{name} {found.get(name, 'not installed')} (here {expected.get(name, 'none')})" for name in wrong)


def check_machines(ray: Any, files: Sequence[FilmFile], pictures: Path | None) -> None:
    """Refuse a cluster with a machine that would give other rows than this one.

    Args:
        ray: connected.
        files: of the films of the run; a few of them are looked for.
        pictures: folder for pictures, if any; exists.

    Raises:
        CxrError: names the machine, and what it has or does not see.
    """
    places = sorted({round(step * (len(files) - 1) / (_SAMPLE - 1)) for step in range(_SAMPLE)}) if len(files) else []
    sample = [files[place] for place in places]
    here = [file_state(file) for file in sample]
    folder = str(pictures) if pictures else None
    alive = nodes(ray)
    asked = [_ask(ray, node["NodeID"], sample, folder) for node in alive]
    for node, reference in zip(alive, asked, strict=True):
        name = node["NodeManagerAddress"]
        try:
            found = ray.get(reference, timeout=_LOOK_SECONDS)
        except ray.exceptions.RayError as error:
            if node["NodeID"] not in {other["NodeID"] for other in nodes(ray)}:
                continue  # lost meanwhile: its work goes elsewhere
            raise CxrError(f"machine {name} of the Ray cluster does not answer ({type(error).__name__})") from None
        judge(name, found, here, places)


def judge(name: str, found: View | None, here: Sequence[str], places: Sequence[int]) -> None:
    """Refuse a machine by what it says.

    Args:
        name: of the machine.
        found: what it says; None where it does not have this program.
        here: states of the sample of films on this machine.
        places: of the sample in the list of films.

    Raises:
        CxrError: it would give other rows than this machine.
    """
    machine = f"machine {name} of the Ray cluster"
    if found is None:
        raise CxrError(f"{machine} does not have cxr-triage as it is here: install the same version on all machines")
    wrong = difference(describe_installation(), found.installation)
    if wrong:
        raise CxrError(f"{machine} has {wrong}; install the same versions on all machines")
    for place, expected, state in zip(places, here, found.states, strict=True):
        if state != expected:
            raise CxrError(
                f"{machine} does not see film {place + 1} of the list as this machine does (here {expected}, there "
                f"{state}); films must lie in a folder that all machines share, or in an object store"
            )
    if not found.sees_pictures:
        raise CxrError(
            f"{machine} does not see the folder for heat maps; --out must be a folder that all machines share"
        )


def _ask(ray: Any, node: str, sample: Sequence[FilmFile], pictures: str | None) -> Any:
    strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy

    # Inside a function, so that it travels as code: a machine without this project can still say so.
    def look(packed: bytes) -> Any:
        import pickle

        try:
            from pipelines.inference.ray.cluster import look_around

            return look_around(*pickle.loads(packed))
        except (ImportError, AttributeError):
            return None

    import pickle

    remote = ray.remote(num_cpus=0, scheduling_strategy=strategy(node, soft=False), max_retries=0)(look)
    return remote.remote(pickle.dumps((sample, pictures)))


def look_around(sample: Sequence[FilmFile], pictures: str | None) -> View:
    """What this machine says of itself."""
    sees = pictures is None or Path(pictures).is_dir()
    return View(describe_installation(), [file_state(file) for file in sample], sees)
