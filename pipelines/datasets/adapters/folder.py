"""Films of your own: folders named after what is on the films, or a CSV beside them."""

from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options
from pipelines.datasets.native import image_files, require_folder
from pipelines.errors import DatasetError, ManifestError
from pipelines.findings import FINDINGS
from pipelines.manifest import conform, load_unchecked
from pipelines.manifest.schema import COLUMNS, REFERENCE_STANDARDS, SPLITS

NAME: Final = "folder"
TABLES: Final = ("labels.csv", "labels.csv.gz", "manifest.csv")

Labels = tuple[float | None, float | None]
"""(tb, nodule)"""

CLASS_FOLDERS: Final[dict[str, Labels]] = {
    **dict.fromkeys(("tb", "tuberculosis"), (1.0, None)),
    **dict.fromkeys(("nodule", "nodules", "mass", "nodule_or_mass", "lung_nodule"), (None, 1.0)),
    **dict.fromkeys(("tb_and_nodule", "tb_nodule"), (1.0, 1.0)),
    **dict.fromkeys(("normal", "healthy", "no_finding"), (0.0, 0.0)),
    **dict.fromkeys(("not_tb", "no_tb", "non_tb"), (0.0, None)),
    **dict.fromkeys(("not_nodule", "no_nodule", "non_nodule"), (None, 0.0)),
    **dict.fromkeys(("unknown", "unlabelled", "unlabeled"), (None, None)),
}
"""Folder name, in lower case with ``_`` for blanks and hyphens -> labels of the films below it."""


def _rows(root: Path, options: Options) -> pd.DataFrame:
    dataset = options["name"] or NAME
    if "/" in dataset:
        raise DatasetError(f"{NAME}: option 'name' is {dataset!r}, expected a name without '/'")
    require_folder(root, NAME)
    for name in TABLES:
        if (root / name).is_file():
            return _from_table(root / name, dataset, options)
    return _from_folders(root, dataset, options)


def _from_table(path: Path, dataset: str, options: Options) -> pd.DataFrame:
    """A table with ``path``, ``tb`` and/or ``nodule``, and any other columns of the schema."""
    try:
        table = load_unchecked(path)
        unknown = [str(name) for name in table.columns if name not in COLUMNS]
        if unknown:
            raise DatasetError(f"{path}: unknown column {', '.join(unknown)}, expected some of {', '.join(COLUMNS)}")
        if "path" not in table or not set(FINDINGS) & set(table.columns):
            raise DatasetError(f"{path}: expected column path and at least one of {', '.join(FINDINGS)}")
        names = table["dataset"].fillna(dataset) if "dataset" in table else [dataset] * len(table)
        native = table["image_id"].fillna(table["path"]) if "image_id" in table else table["path"]
        table["dataset"] = names
        table["image_id"] = [_image_id(name, own) for name, own in zip(table["dataset"], native, strict=True)]
        if "reference_standard" not in table:
            table["reference_standard"] = options["reference_standard"] or None
        return conform(table, source=str(path))
    except ManifestError as error:
        raise DatasetError(str(error)) from error


def _image_id(dataset: str, native: str | None) -> str | None:
    return native if native is None or native.startswith(f"{dataset}/") else f"{dataset}/{native}"


def _from_folders(root: Path, dataset: str, options: Options) -> pd.DataFrame:
    rows = []
    for path in image_files(root):
        labels, split = _meaning(path)
        rows.append(
            {
                "image_id": f"{dataset}/{path}",
                "path": path,
                "dataset": dataset,
                "split": split,
                **dict(zip(FINDINGS, labels, strict=True)),
                "reference_standard": options["reference_standard"] or None,
            }
        )
    if not rows:
        tables = " or ".join(TABLES)
        raise DatasetError(f"{NAME}: expected {tables}, or films in folders named {_choices()}, in {root}; found none")
    return pd.DataFrame(rows)


def _meaning(path: str) -> tuple[Labels, str | None]:
    """Labels and split that the folders above a film say."""
    folders = [part.lower().replace(" ", "_").replace("-", "_") for part in PurePosixPath(path).parts[:-1]]
    said = {CLASS_FOLDERS[folder] for folder in folders if folder in CLASS_FOLDERS}
    if len(said) != 1:
        why = "none of its folders is" if not said else "its folders disagree: expected one"
        raise DatasetError(f"{NAME}: {path}: {why} named {_choices()}")
    splits = {folder for folder in folders if folder in SPLITS}
    return said.pop(), splits.pop() if len(splits) == 1 else None


def _choices() -> str:
    return ", ".join(CLASS_FOLDERS)


FOLDER: Final = Adapter(
    name=NAME,
    title="Films of your own",
    citation="yours",
    licence="yours",
    films_may_be_shown=False,
    films_may_be_shown_why="Whether films of your own may be passed on is for you to say.",
    how_to_get=f"class folders, or one of {', '.join(TABLES)} in the data root",
    size="as many as there are",
    label_origin="you; say how you know in the column or option reference_standard",
    label_mapping={
        "tb, tuberculosis": "tb = 1; nodule is null: that folder says nothing about nodules",
        "nodule, nodules, mass, nodule_or_mass, lung_nodule": "nodule = 1; tb is null",
        "tb_and_nodule, tb_nodule": "both 1",
        "normal, healthy, no_finding": (
            "both 0: a film called normal shows neither. If yours only means 'no tuberculosis', use not_tb"
        ),
        "not_tb, no_tb, non_tb": "tb = 0; nodule is null",
        "not_nodule, no_nodule, non_nodule": "nodule = 0; tb is null",
        "unknown, unlabelled, unlabeled": "both null",
        "train, val, test (anywhere above the film)": "split",
        "CSV": (
            "columns path, tb and/or nodule, and any others of the manifest; an empty cell is not known; image_id "
            "defaults to <dataset>/<path>"
        ),
    },
    known_defects=("without a CSV patient ids are not known: give patient_id there if you split the films",),
    verified=True,
    verified_note="the layout is this project's own",
    access="local",
    unknown="whatever the folders or the table do not say",
    rows=_rows,
    options={
        "name": Option((), "the data set's name, first part of every image id (default: folder)"),
        "reference_standard": Option(("", *REFERENCE_STANDARDS), "how you know the labels"),
    },
)

ADAPTERS: Final = (FOLDER,)
