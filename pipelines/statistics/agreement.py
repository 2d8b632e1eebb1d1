"""How far readers of the same films agree: kappa, and agreement on positive and on negative films.

Kappa sets agreement against what chance would give at the same share of positives; with rare findings it is low even
where nearly all films are agreed upon, so the specific agreements stand beside it: given that one reader said positive,
how often another one did.

Sources: Cohen, Educ. Psychol. Meas. 20 (1960) 37; Fleiss, Cohen & Everitt, Psychol. Bull. 72 (1969) 323 (its variance);
Fleiss, Psychol. Bull. 76 (1971) 378 (many readers); Fleiss & Cuzick, Appl. Psychol. Meas. 3 (1979) 537 (unequal numbers
of readers, two answers); Cicchetti & Feinstein, J. Clin. Epidemiol. 43 (1990) 551 (specific agreement).
"""

import itertools
import math
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pipelines.datasets.readings import has_readings, vote_counts
from pipelines.errors import EvaluationError
from pipelines.findings import FINDINGS
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped
from pipelines.statistics.few import without_interval
from pipelines.statistics.kernels import Weights
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Clusters, Plan, resample

COHEN: Final = "Cohen's kappa"
FLEISS: Final = "Fleiss' kappa (unequal numbers of readers: Fleiss & Cuzick)"
_KAPPA_BOUNDS: Final = (-1.0, 1.0)
_ONE_READING: Final = "no film was read by two readers"
_ROUNDING: Final = 1e-12


class Agreement(Record):
    """Agreement of the readers of one finding, on the films that at least two of them read."""

    finding: str
    films: int
    """Films with at least two readings."""
    single: int
    """Films with one reading: they say nothing of agreement and are left out."""
    readers: int
    """Different readers of these films."""
    fewest: int
    """Readings of the film that has fewest."""
    most: int
    positive_readings: int
    readings: int
    kappa: Estimate
    """Of all readers together, -1 to 1."""
    observed: Estimate
    """Share of pairs of readings of one film that agree."""
    positive: Estimate
    """Given one reader's positive, the share of other readers who said positive too."""
    negative: Estimate


def cohen_kappa(first: ArrayLike, second: ArrayLike, *, level: float = DEFAULT_LEVEL) -> Estimate:
    """Cohen's kappa of two readers who both read every film, one film per patient.

    Args:
        first: ``[n]``, 1 or 0.
        second: ``[n]``, of the same films.
        level: confidence level.

    Returns:
        Kappa with its asymptotic interval (Fleiss, Cohen & Everitt 1969). No interval where that variance is 0 (perfect
        agreement, or a reader with one answer only); absent where both readers gave all films the same one answer.

    Raises:
        EvaluationError: lists of different length, or a reading that is neither 0 nor 1.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or a.shape != b.shape:
        raise EvaluationError(f"Readings must be two lists of one length, got {a.shape} and {b.shape}.")
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise EvaluationError("Readings must be 0 or 1 here: leave films that one of the two did not read out first.")
    n = len(a)
    if n == 0:
        return Estimate.absent(_ONE_READING, method=COHEN, level=level)
    counts = np.zeros((2, 2))
    np.add.at(counts, (a.astype(int), b.astype(int)), 1)
    table = counts / n
    chance = float(table.sum(axis=1) @ table.sum(axis=0))
    constant = any((counts.sum(axis=axis) == 0).any() for axis in (0, 1))
    if chance > 1 - _ROUNDING:
        return Estimate.absent("both readers gave every film the same answer", method=COHEN, n=n, level=level)
    kappa = (float(np.trace(table)) - chance) / (1 - chance)
    method = f"{COHEN}; asymptotic (Fleiss, Cohen & Everitt)"
    if np.trace(counts) == n or constant:
        why = "one reader gave every film the same answer" if constant else "the two agree on every film"
        why += ": the asymptotic variance is 0"
        return Estimate(value=kappa, low=None, high=None, level=level, method=method, n=n, why=why)
    variance = _variance(table, kappa, chance)
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(variance / n)
    low, high = clipped(kappa, kappa - half, kappa + half, _KAPPA_BOUNDS)
    return Estimate(value=kappa, low=low, high=high, level=level, method=method, n=n)


def _variance(table: Floats, kappa: float, chance: float) -> float:
    """Asymptotic variance of kappa for one film; equation 13 of Fleiss, Cohen & Everitt 1969."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    on, off = np.eye(2, dtype=bool), ~np.eye(2, dtype=bool)
    agreed = (table * (1 - (rows[:, None] + columns) * (1 - kappa)) ** 2)[on].sum()
    differed = (1 - kappa) ** 2 * (table * (columns[:, None] + rows) ** 2)[off].sum()
    return float((agreed + differed - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2)


def agreement(
    positive: ArrayLike,
    readers: ArrayLike,
    *,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    level: float = DEFAULT_LEVEL,
) -> dict[str, Estimate]:
    """Agreement of many readers, not always the same ones, nor equally many, on one finding.

    With n readings of a film, x of them positive, N films and the share p of positives among all readings, kappa is
    1 - sum(x (n - x) / n) / ((sum(n) - N) p (1 - p)) (Fleiss & Cuzick 1979): with equally many readings everywhere it
    is Fleiss' kappa of 1971. Films with fewer than two readings say nothing of agreement and are left out. The other
    three count pairs of readings of one film: agreed pairs among all, among those with a positive, with a negative.

    Args:
        positive: ``[n]``, readers of each film who said 1.
        readers: ``[n]``, readers of each film.
        clusters: the patients; None: every film is independent.
        plan: the bootstrap; None: `Plan`'s defaults.
        level: confidence level.

    Returns:
        ``kappa``, ``observed``, ``positive`` and ``negative``, with bootstrap intervals.

    Raises:
        EvaluationError: lists of different length, or more positives than readers.
    """
    x, n = np.asarray(positive, dtype=np.float64), np.asarray(readers, dtype=np.float64)
    if x.ndim != 1 or x.shape != n.shape:
        raise EvaluationError(f"Counts must be two lists of one length, got {x.shape} and {n.shape}.")
    if not ((x >= 0) & (x <= n) & (x % 1 == 0) & (n % 1 == 0)).all():
        raise EvaluationError("Counts must be whole, with no more positive readings than readings of each film.")
    known = clusters or Clusters.of(None, len(x))
    read = n >= 2
    films, x, n, of = int(read.sum()), x[read], n[read], known.take(read)
    names = {"kappa": FLEISS, "observed": "observed agreement of pairs", "positive": "agreement on positive readings"}
    names["negative"] = "agreement on negative readings"
    if not films:
        return {key: Estimate.absent(_ONE_READING, method=name, level=level) for key, name in names.items()}
    # Patients without such a film are no part of the bootstrap.
    patients, index = np.unique(of.index, return_inverse=True)
    sums = _patient_sums(x, n, index, len(patients))
    repeated = len(patients) < films
    asked = plan or Plan()
    asked = Plan(asked.replicates, asked.seed, asked.kind, "patients" if repeated else "films")
    sample = resample(lambda weights: _agreements(weights, sums), len(patients), asked)
    whys = _whys(x)
    found = {}
    for j, (key, name) in enumerate(names.items()):
        bounds = _KAPPA_BOUNDS if key == "kappa" else (0.0, 1.0)
        found[key] = sample.estimate(j, level=level, n=films, method=name, bounds=bounds, why=whys[key])
        if len(patients) == 1:
            found[key] = without_interval(found[key], "all films are of one patient")
    return found


def _patient_sums(x: Floats, n: Floats, index: NDArray[np.intp], count: int) -> Floats:
    """Sums over each patient's films ``[count, 7]`` of what every measure is made of."""
    parts = (np.ones_like(x), n, x, x * (n - x) / n, x * (x - 1), (n - x) * (n - x - 1), x * (n - x))
    return np.stack([np.bincount(index, weights=part, minlength=count) for part in parts], axis=1)


def _agreements(weights: Weights, sums: Floats) -> Floats:
    films, readings, positives, apart, both, neither, mixed = (weights.astype(np.float64) @ sums).T
    share = positives / np.maximum(readings, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (readings - films) * share * (1 - share)
        kappa = np.where(chance > _ROUNDING, 1 - apart / chance, np.nan)
        observed = (both + neither) / (both + neither + 2 * mixed)
        return np.stack([kappa, observed, both / (both + mixed), neither / (neither + mixed)], axis=1)


def _whys(x: Floats) -> dict[str, str]:
    """What to say where a measure has no value."""
    same = "positive" if x.sum() else "negative"
    return {
        "kappa": f"every reading is {same}: agreement by chance is complete",
        "observed": _ONE_READING,
        "positive": "no reading is positive",
        "negative": "no reading is negative",
    }


def manifest_agreement(
    frame: pd.DataFrame, *, plan: Plan | None = None, level: float = DEFAULT_LEVEL
) -> list[Agreement]:
    """Agreement of the readers in a manifest, for each finding that anyone's own word is known of.

    The bootstrap draws patients where the manifest knows them; a film of an unknown patient is a patient of its own.

    Args:
        frame: canonical.
        plan: the bootstrap.
        level: confidence level.
    """
    if not has_readings(frame):
        return []
    patients = [
        None if pd.isna(patient) else (dataset, patient)
        for dataset, patient in zip(frame["dataset"], frame["patient_id"], strict=True)
    ]
    clusters = Clusters.of(patients, len(frame))
    found = []
    for finding in FINDINGS:
        positive, readers = vote_counts(frame, finding).T
        if readers.any():
            found.append(
                _of_finding(
                    frame,
                    finding,
                    (positive, readers),
                    agreement(positive, readers, clusters=clusters, plan=plan, level=level),
                )
            )
    return found


def _of_finding(
    frame: pd.DataFrame,
    finding: str,
    counts: tuple[NDArray[np.int64], NDArray[np.int64]],
    estimates: dict[str, Estimate],
) -> Agreement:
    positive, readers = counts
    read = readers >= 2
    names = {
        (dataset, reading["reader"])
        for dataset, readings in zip(frame["dataset"][read], frame["readings"][read], strict=True)
        for reading in readings
        if reading["finding"] == finding
    }
    return Agreement(
        finding=finding,
        films=int(read.sum()),
        single=int((readers == 1).sum()),
        readers=len(names),
        fewest=int(readers[read].min(initial=readers.max())),
        most=int(readers.max()),
        positive_readings=int(positive[read].sum()),
        readings=int(readers[read].sum()),
        **estimates,
    )


class ReaderPair(Record):
    """Two readers on the films that both of them read."""

    finding: str
    first: str
    second: str
    films: int
    first_positive: int
    second_positive: int
    kappa: Estimate


def reader_pairs(
    frame: pd.DataFrame, finding: str, *, fewest: int = 30, level: float = DEFAULT_LEVEL
) -> list[ReaderPair]:
    """Cohen's kappa of every two readers with enough films in common, most films first.

    The interval takes every film for a patient of its own.

    Args:
        frame: canonical, of one data set: readers are known by its codes.
        finding: which finding.
        fewest: films in common from which a pair is listed.
        level: confidence level.
    """
    given = [
        (film, reading["reader"], reading["value"])
        for film, readings in enumerate(frame["readings"])
        for reading in readings or ()
        if reading["finding"] == finding
    ]
    table = pd.DataFrame(given, columns=["film", "reader", "value"]).pivot(
        index="film", columns="reader", values="value"
    )
    found = []
    for first, second in itertools.combinations(sorted(table.columns), 2):
        both = table[[first, second]].dropna().to_numpy(dtype=np.int64)
        if len(both) >= fewest:
            positives = {
                f"{name}_positive": int(said.sum()) for name, said in zip(("first", "second"), both.T, strict=True)
            }
            kappa = cohen_kappa(*both.T, level=level)
            found.append(
                ReaderPair(finding=finding, first=first, second=second, films=len(both), kappa=kappa, **positives)
            )
    return sorted(found, key=lambda pair: -pair.films)
