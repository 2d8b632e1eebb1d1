"""From the name of a data set and its folder to a manifest."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from pipelines.datasets.adapter import Adapter, Options
from pipelines.datasets.folder import FOLDER
from pipelines.datasets.measure import Progress, fill_facts
from pipelines.datasets.nih_cxr14 import NIH_CXR14
from pipelines.datasets.nlm_tb import MONTGOMERY, SHENZHEN
from pipelines.datasets.phantom import PHANTOM
from pipelines.datasets.qatar_tb import QATAR_TB
from pipelines.datasets.vindr_cxr import VINDR_CXR
from pipelines.errors import DatasetError, ManifestError
from pipelines.manifest import conform, files_present

ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {adapter.name: adapter for adapter in (NIH_CXR14, VINDR_CXR, MONTGOMERY, SHENZHEN, QATAR_TB, PHANTOM, FOLDER)}
)
"""Every data set the project reads, by name."""

_EXAMPLES: Final = 3


def get_adapter(name: str) -> Adapter:
    """The adapter of a data set.

    Raises:
        DatasetError: there is none of that name; lists the choices.
    """
    if name not in ADAPTERS:
        raise DatasetError(f"no data set is called {name!r}, expected one of {', '.join(ADAPTERS)}")
    return ADAPTERS[name]


def build_manifest(
    name: str,
    root: Path,
    *,
    allow_missing: bool = False,
    only_present: bool = False,
    hashes: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    options: Options | None = None,
) -> pd.DataFrame:
    """Make the manifest of a data set on disk.

    Args:
        name: one of `ADAPTERS`.
        root: the data root: where the data set was unpacked. The manifest's paths are relative to it.
        allow_missing: keep rows whose file is not there (for tables of labels without films).
        only_present: leave out rows whose file is not there (for a part of a data set).
        hashes: read every file on disk whole for ``sha256`` and ``pixel_hash``, by which a picture in two splits is
            found; without, only headers are read.
        workers: processes that read files; None: one for each usable core. A script needs the usual
            ``if __name__ == "__main__":``.
        progress: told (films read, films in all) after every film.
        options: choices of the adapter, such as ``{"consensus": "any"}``.

    Returns:
        The canonical manifest, one row per image, in native order.

    Raises:
        DatasetError: the folder has not the native layout; files are missing and neither ``allow_missing`` nor
            ``only_present`` was asked for; or none is there with ``only_present``.
    """
    adapter = get_adapter(name)
    root = Path(root)
    try:
        frame = conform(adapter.build(root, options), source=f"{name} in {root}")
        present = files_present(root, frame["path"].tolist())
        if only_present:
            if not present.any():
                raise DatasetError(f"{name}: none of {len(frame):,} films is in {root} (e.g. {frame['path'].iloc[0]})")
            frame, present = frame[present].reset_index(drop=True), present[present]
        elif not allow_missing and not present.all():
            missing = frame["path"][~present]
            examples = ", ".join(missing.head(_EXAMPLES))
            raise DatasetError(
                f"{name}: {len(missing):,} of {len(frame):,} films are not in {root} (e.g. {examples}); "
                "allow missing files to keep their rows, or ask for the present ones only"
            )
        rows = np.flatnonzero(present).tolist()
        frame = fill_facts(frame, root, rows, hashes=hashes, workers=workers, progress=progress)
        return conform(adapter.finish(frame), source=f"{name} in {root}")
    except ManifestError as error:  # the native files said something that no manifest may
        raise DatasetError(str(error)) from error
