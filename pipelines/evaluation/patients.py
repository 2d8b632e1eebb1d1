"""Which films are of one patient."""

import pandas as pd

from pipelines.evaluation.joining import column
from pipelines.statistics.resampling import Clusters

Patient = tuple[str, str]
"""Data set and patient: ids are unique within a data set only."""


def patients_of(films: pd.DataFrame) -> list[Patient | None]:
    """The patient of each film; None where the manifest does not say."""
    named = zip(column(films, "dataset").astype(str), column(films, "patient_id"), strict=True)
    return [None if pd.isna(patient) else (dataset, str(patient)) for dataset, patient in named]


def clusters_of(*films: pd.DataFrame) -> Clusters:
    """The patients of one or more tables of films, one after the other; an unknown patient has one film."""
    everyone = [patient for part in films for patient in patients_of(part)]
    return Clusters.of(everyone, len(everyone))


def count_patients(films: pd.DataFrame) -> int | None:
    """Different patients; None where some film's patient is unknown."""
    patients = patients_of(films)
    return None if None in patients else len(set(patients))
