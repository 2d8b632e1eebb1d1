"""The fourteen observations that the CheXpert and NegBio labellers look for in a report.

CheXpert and MIMIC-CXR publish them alike: 1 mentioned as present, 0 mentioned as absent, -1 mentioned with doubt, blank
not mentioned.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.datasets.adapter import Option, Options
from pipelines.datasets.native import read_frame
from pipelines.errors import DatasetError

LESION: Final = "Lung Lesion"
NO_FINDING: Final = "No Finding"
OBSERVATIONS: Final = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    LESION,
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
RENAMED: Final = {"Airspace Opacity": "Lung Opacity"}
"""What the hand-made labels of MIMIC-CXR's test set call it -> its name elsewhere."""

OPTIONS: Final = {
    "uncertain": Option(
        ("unknown", "positive", "negative"),
        "what nodule is where Lung Lesion is -1, mentioned with doubt (in the field: U-Ignore, U-Ones, U-Zeros)",
    ),
    "not_mentioned": Option(
        ("unknown", "negative"),
        "what nodule is where the report does not mention Lung Lesion and is not labelled No Finding",
    ),
}

MAPPING: Final = {
    "Lung Lesion = 1": (
        "nodule = 1: the labeller's words for it are nodule, nodular density or opacity, mass, lump, cavitary lesion, "
        "carcinoma, neoplasm and tumor, which all name a focal lesion to follow up"
    ),
    "Lung Lesion = 0": "nodule = 0: the report says that there is none",
    "Lung Lesion = -1": (
        "nodule is null: the report doubts; option uncertain makes it 1 (U-Ones) or 0 (U-Zeros) as some papers do"
    ),
    "Lung Lesion blank, No Finding = 1": "nodule = 0: a report labelled No Finding mentions no lesion of any kind",
    "Lung Lesion blank": (
        "nodule is null: not mentioned is not looked for; option not_mentioned=negative reads it as 0, as the labels "
        "of NIH ChestX-ray14 are read"
    ),
    "(tuberculosis)": "tb is null everywhere: it is none of the fourteen observations",
}

_VALUES: Final = {"": np.nan, "1.0": 1.0, "1": 1.0, "0.0": 0.0, "0": 0.0, "-1.0": -1.0, "-1": -1.0}
_SAID: Final = {1.0: "", 0.0: "no ", -1.0: "uncertain "}


def read_labels(path: Path, keys: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table of observations: the key columns as texts, each observation as 1, 0, -1 or NaN.

    Args:
        path: plain or gzipped CSV.
        keys: columns beside the observations that must be there.
        optional: columns that are read where they are there.

    Raises:
        DatasetError: a column is missing, or a cell of an observation is none of the four values.
    """
    old = tuple(RENAMED)
    mandatory = [name for name in OBSERVATIONS if name not in RENAMED.values()]
    table = read_frame(path, [*keys, *mandatory], optional=[*optional, *old, *RENAMED.values()]).rename(columns=RENAMED)
    missing = [name for name in OBSERVATIONS if name not in table]
    if missing:
        raise DatasetError(f"{path}: expected column {', '.join(missing)}, found {', '.join(table.columns)}")
    for name in OBSERVATIONS:
        values = table[name].map(_VALUES)
        wrong = values.isna() & (table[name] != "")
        if wrong.any():
            raise DatasetError(f"{path}: column {name!r} is {table[name][wrong].iloc[0]!r}, expected 1, 0, -1 or blank")
        table[name] = values
    return table


def nodule_of(table: pd.DataFrame, options: Options) -> NDArray[np.float64]:
    """``nodule`` of each row of `read_labels`, by the `MAPPING`.

    Args:
        table: with the observations; a row that is blank throughout is not known.
        options: values of the `OPTIONS`.

    Returns:
        1, 0 or NaN, [rows].
    """
    lesion = table[LESION].to_numpy(dtype=np.float64, copy=True)
    chosen = {"unknown": np.nan, "positive": 1.0, "negative": 0.0}
    blank = np.isnan(lesion)
    labelled = table[list(OBSERVATIONS)].notna().any(axis=1).to_numpy()
    lesion[lesion == -1] = chosen[options["uncertain"]]
    lesion[blank & labelled] = chosen[options["not_mentioned"]]
    lesion[blank & (table[NO_FINDING] == 1).to_numpy()] = 0.0
    return lesion


def native_labels(table: pd.DataFrame) -> "pd.Series[Any]":
    """What a report was labelled with, such as ``["uncertain Lung Lesion", "no Edema"]``; null where nothing is known.

    Reports repeat themselves: each combination is put into words once.
    """
    codes = table[list(OBSERVATIONS)].fillna(9.0)
    numbers = codes.groupby(list(OBSERVATIONS), sort=False).ngroup()
    combinations = codes.drop_duplicates()  # in the order of their numbers
    words = np.empty(len(combinations), dtype=object)  # filled cell by cell: numpy would make a matrix of lists
    for position, values in enumerate(combinations.itertuples(index=False, name=None)):
        said = zip(OBSERVATIONS, values, strict=True)
        words[position] = [f"{_SAID[value]}{name}" for name, value in said if value in _SAID] or None
    return pd.Series(words[numbers], index=table.index, dtype=object)
