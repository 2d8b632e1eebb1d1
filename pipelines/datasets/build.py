"""From the name of a data set and its folder to a manifest."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipelines.datasets.adapter import Options
from pipelines.datasets.measure import Progress, fill_facts
from pipelines.datasets.registry import get_adapter
from pipelines.errors import DatasetError, ManifestError
from pipelines.manifest import conform, files_present

_EXAMPLES: Final = 3


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
        rows = adapter.build(root, options)
        if rows.empty:
            raise DatasetError(f"{name}: the label files in {root} name no film")
        frame = conform(rows, source=f"{name} in {root}")
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
        readable = np.flatnonzero(present).tolist()
        frame = fill_facts(frame, root, readable, hashes=hashes, workers=workers, progress=progress)
        return conform(adapter.finish(frame), source=f"{name} in {root}")
    except ManifestError as error:  # the native files said something that no manifest may
        raise DatasetError(str(error)) from error
