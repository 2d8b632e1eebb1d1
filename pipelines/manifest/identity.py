"""Who a row shows, as far as the manifest knows it."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AGE_SLACK_YEARS: Final = 1.0
"""Ages that differ by more are of two people, or of two days."""

_SEPARATOR: Final = "\x1f"

Pairs = NDArray[np.int64]
"""Row positions, [pairs, 2]."""


def codes(keys: "pd.Series[Any]") -> NDArray[np.int64]:
    """Number equal keys equally; null is -1."""
    return np.asarray(pd.factorize(keys)[0], dtype=np.int64)


def patient_codes(frame: pd.DataFrame) -> NDArray[np.int64]:
    known = frame["patient_id"].notna() & frame["dataset"].notna()
    keys = frame["dataset"].astype(str) + _SEPARATOR + frame["patient_id"].astype(str)
    return codes(keys.where(known, None))


def contradicted(frame: pd.DataFrame, pairs: Pairs) -> NDArray[np.bool_]:
    """Whether something known says that two rows do not show one person."""
    a, b = pairs[:, 0], pairs[:, 1]
    patients, sexes, datasets = patient_codes(frame), codes(frame["sex"]), codes(frame["dataset"])
    ages = frame["age_years"].to_numpy(dtype=np.float64)
    two_patients = (datasets[a] == datasets[b]) & (patients[a] >= 0) & (patients[b] >= 0) & (patients[a] != patients[b])
    two_sexes = (sexes[a] >= 0) & (sexes[b] >= 0) & (sexes[a] != sexes[b])
    two_ages = np.abs(ages[a] - ages[b]) > AGE_SLACK_YEARS  # false where one is not known
    return np.asarray(two_patients | two_sexes | two_ages)
