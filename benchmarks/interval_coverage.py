"""How often do intervals of 95 % hold the truth, where patients have several films?

    python -m benchmarks.interval_coverage [--simulations 500] [--replicates 1000] [--patients 60 200 1000]
        [--prevalence 0.1 0.4] [--seed 1]

Cohorts are drawn from one population: patients with 1 to 6 films, a share of them ill with four films in five positive,
binormal scores whose patients differ in level, one lesion per positive film and a Poisson number of false marks. The
truth is the value of the same statistic on 300,000 patients. Each row is one number of ``evaluation.json``: the share
of cohorts whose BCa and whose percentile interval holds the truth, the share below it and above it (BCa), and cohorts
without an interval (left out of the shares). The standard error of a share of 0.95 is 0.010 with 500 cohorts.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pipelines.statistics.accuracy.curve import Curve, sample_curve
from pipelines.statistics.accuracy.parts import Assessed
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.calibration.reliability import NAMES, layout
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.froc import columns, judge, localisation_statistic
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

LEVEL: Final = 0.95
TARGET: Final = 0.90
THRESHOLD: Final = 0.5
TRUTH_PATIENTS: Final = 300_000
CALIBRATION: Final = ("ece", "brier", "observed_expected", "intercept", "slope")
KINDS: Final[tuple[Literal["bca", "percentile"], ...]] = ("bca", "percentile")


@dataclass(frozen=True)
class Cohort:
    """Films of patients, with one lesion on every positive film."""

    labels: Bools
    scores: Floats
    clusters: Clusters
    hit: Floats
    """``[positives]``: score of the mark on the lesion; -inf where there is none."""
    false_film: NDArray[np.int64]
    false_score: Floats


def cohort(patients: int, prevalence: float, seed: int) -> Cohort:
    """Draw patients until both classes are there."""
    rng = np.random.default_rng(seed)
    while True:
        films = rng.integers(1, 7, patients)
        patient = np.repeat(np.arange(patients), films)
        labels = (rng.random(patients) < prevalence)[patient] & (rng.random(len(patient)) < 0.8)
        if 0 < labels.sum() < len(labels):
            break
    level = rng.normal(size=patients)[patient]
    latent = 1.5 * labels + 0.6 * level + 0.8 * rng.normal(size=len(patient))
    marked = rng.random(int(labels.sum())) < expit(1 + level[labels])
    false_film = np.repeat(np.arange(len(patient)), rng.poisson(np.exp(0.3 * level)))
    return Cohort(
        labels=labels,
        scores=expit(1.3 * (latent - 1)),
        clusters=Clusters.of(patient, len(patient)),
        hit=np.where(marked, latent[labels], -np.inf),
        false_film=false_film,
        false_score=0.6 * level[false_film] + 0.8 * rng.normal(size=len(false_film)),
    )


def marks_of(films: Cohort) -> Callable[[NDArray[np.uint8]], Floats]:
    """The localisation statistic of a cohort."""
    owner = np.flatnonzero(films.labels)
    found = np.flatnonzero(np.isfinite(films.hit))
    marked = judge(
        ~films.labels,
        owner,
        np.r_[owner[found], films.false_film],
        np.r_[films.hit[found], films.false_score],
        (np.arange(len(found)), found),
    )
    return localisation_statistic(marked, films.clusters, None)


def numbers(films: Cohort, plan: Plan) -> Iterator[tuple[str, str, Estimate]]:
    """Name, kind of interval, and estimate of everything that is looked at."""
    truth, score, clusters = films.labels, films.scores, films.clusters
    curve = sample_curve(truth, score, clusters=clusters, plan=plan, sensitivities=(TARGET,), thresholds=(THRESHOLD,))
    whole = layout(truth, score, clusters, bins=10, prevalence=None)
    calibration = resample(replace(whole, grid=np.empty(0)), clusters.count, plan)
    froc = resample(marks_of(films), clusters.count, plan)
    for kind in KINDS:
        yield from ((name, kind, found) for name, found in _rates(films, _as(curve, kind)))
        again = replace(calibration, plan=replace(plan, kind=kind))
        for name in CALIBRATION:
            wide = (-np.inf, np.inf)
            yield name, kind, again.estimate(NAMES.index(name), level=LEVEL, n=len(truth), method=name, bounds=wide)
        cpm = replace(froc, plan=replace(plan, kind=kind))
        yield "CPM", kind, cpm.estimate(columns(1)["cpm"].start, level=LEVEL, n=len(films.hit), method="CPM")


def _as(curve: Curve, kind: Literal["bca", "percentile"]) -> Curve:
    sample: Sample = curve.sample
    return replace(curve, sample=replace(sample, plan=replace(sample.plan, kind=kind)))


def _rates(films: Cohort, curve: Curve) -> Iterator[tuple[str, Estimate]]:
    work = Assessed(films.labels, films.scores, films.clusters, curve, LEVEL, curve.sample.plan.kind)
    rates = work.rates(0, None)
    yield "AUROC", work.auroc()
    for name in ("sensitivity", "specificity", "ppv", "npv", "lr_positive"):
        yield name, getattr(rates, name)
    yield "mean specificity, sensitivity 0.9 to 1", work.partial().mean_specificity
    yield "specificity at sensitivity 0.90", work.at_target("sensitivity", 0).specificity


def truths(prevalence: float) -> dict[str, float]:
    """The same numbers of the population."""
    films = cohort(TRUTH_PATIENTS, prevalence, 10**9)
    found = numbers(films, Plan(replicates=2, kind="percentile"))
    return {name: float(estimate.value) for name, _, estimate in found if estimate.value is not None}


def one(patients: int, prevalence: float, replicates: int, seed: int) -> list[tuple[str, str, Estimate]]:
    """One cohort."""
    return list(numbers(cohort(patients, prevalence, seed), Plan(replicates=replicates, seed=seed)))


def table(found: Sequence[list[tuple[str, str, Estimate]]], truth: dict[str, float]) -> None:
    """Print one row per number."""
    print(
        f"  {'number':40} {'truth':>7} {'mean':>7} {'BCa':>6} {'below':>6} {'above':>6} {'percentile':>10} {'none':>5}"
    )
    for name, value in truth.items():
        sides = {}
        for kind in KINDS:
            every = [each for rows in found for label, which, each in rows if (label, which) == (name, kind)]
            known = [(each.low, each.high) for each in every if each.low is not None and each.high is not None]
            low, high = np.array(known).reshape(-1, 2).T
            sides[kind] = ((low <= value) & (value <= high)).mean(), (high < value).mean(), (low > value).mean()
            none = len(every) - len(known)
            mean = np.mean([each.value for each in every if each.value is not None])
        held, below, above = sides["bca"]
        print(
            f"  {name:40} {value:7.4f} {mean:7.4f} {held:6.3f} {below:6.3f} {above:6.3f} "
            f"{sides['percentile'][0]:10.3f} {none:5d}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--patients", type=int, nargs="+", default=[60, 200, 1000])
    parser.add_argument("--prevalence", type=float, nargs="+", default=[0.1, 0.4])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    seeds = range(chosen.seed, chosen.seed + chosen.simulations)
    # A forked child of a process that ran OpenMP dies, so processes are started afresh.
    with ProcessPoolExecutor(chosen.processes, mp_context=get_context("spawn")) as pool:
        for prevalence in chosen.prevalence:
            truth = truths(prevalence)
            for patients in chosen.patients:
                work = partial(one, patients, prevalence, chosen.replicates)
                found = list(pool.map(work, seeds, chunksize=4))
                films = f"{prevalence:g} of them ill, {chosen.simulations:,} cohorts"
                print(f"\n{patients:,} patients, {films}, {chosen.replicates:,} replicates, nominal {LEVEL:g}")
                table(found, truth)


if __name__ == "__main__":
    main()
