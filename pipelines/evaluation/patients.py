"""Which films are of one patient."""

import pandas as pd

from pipelines.evaluation.joining import column
from pipelines.manifest import patient_keys
from pipelines.statistics.resampling import Clusters


def patients_of(films: pd.DataFrame) -> list[str | None]:
    """The patient of each film, named over all data sets; None where the manifest does not say."""
    named = pd.DataFrame({"dataset": column(films, "dataset"), "patient_id": column(films, "patient_id")})
    return [None if pd.isna(patient) else str(patient) for patient in patient_keys(named)]


def clusters_of(*films: pd.DataFrame) -> Clusters:
    """The patients of one or more tables of films, one after the other; an unknown patient has one film."""
    everyone = [patient for part in films for patient in patients_of(part)]
    return Clusters.of(everyone, len(everyone))


def count_patients(films: pd.DataFrame) -> int | None:
    """Different patients; None where some film's patient is unknown."""
    patients = patients_of(films)
    return None if None in patients else len(set(patients))
