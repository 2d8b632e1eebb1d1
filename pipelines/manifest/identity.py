"""Who a row shows, as far as the manifest knows it."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AGE_SLACK_YEARS: Final = 1.0
"""Ages that differ by more are of two people, or of two days."""

_OF_ANOTHER_SET: Final = r"[a-z][a-z0-9_]*/"
"""How a patient id begins that another data set gave: with that set's name."""

Pairs = NDArray[np.int64]
"""Row positions, [pairs, 2]."""


def codes(keys: "pd.Series[Any]") -> NDArray[np.int64]:
    """Number equal keys equally; null is -1."""
    return np.asarray(pd.factorize(keys)[0], dtype=np.int64)


def patient_keys(frame: pd.DataFrame) -> "pd.Series[Any]":
    """The patient of each row over all data sets, ``<data set>/<id>``; None where the manifest does not say.

    A set that is made of another's films may give that set's patients, in this very form, as its ``patient_id``: rows
    of both are then of one patient.

    Args:
        frame: with ``dataset`` and ``patient_id``.
    """
    known = frame["patient_id"].notna() & frame["dataset"].notna()
    ids = frame["patient_id"].astype(str)
    keys = ids.where(ids.str.match(_OF_ANOTHER_SET), frame["dataset"].astype(str) + "/" + ids)
    return keys.astype(object).where(known, None)


def patient_codes(frame: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each patient, ``[rows]``; -1 where the manifest does not say."""
    return codes(patient_keys(frame))


def contradicted(frame: pd.DataFrame, pairs: Pairs) -> NDArray[np.bool_]:
    """Whether something known says that two rows do not show one person."""
    a, b = pairs[:, 0], pairs[:, 1]
    patients, sexes, datasets = patient_codes(frame), codes(frame["sex"]), codes(frame["dataset"])
    ages = frame["age_years"].to_numpy(dtype=np.float64)
    two_patients = (datasets[a] == datasets[b]) & (patients[a] >= 0) & (patients[b] >= 0) & (patients[a] != patients[b])
    two_sexes = (sexes[a] >= 0) & (sexes[b] >= 0) & (sexes[a] != sexes[b])
    two_ages = np.abs(ages[a] - ages[b]) > AGE_SLACK_YEARS  # false where one is not known
    return np.asarray(two_patients | two_sexes | two_ages)
