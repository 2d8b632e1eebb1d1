"""How fast is the bootstrap of patients? Against a loop over scikit-learn, and from 22,433 to 1,000,000 films.

    python -m benchmarks.evaluation [--replicates 2000] [--rows 22433 100000 1000000]
        [--scores FILE.csv --labels FILE.csv --finding NAME --score COLUMN]

Films are synthetic (binormal scores, some 3.6 films per patient) unless a score file is given, which is joined with the
labels file on ``--key``. The loop over scikit-learn does what its users write: draw patients, gather their films, call
``roc_auc_score``. It is timed on fewer replicates; both are stated per replicate.
Each size runs in a process of its own, so that its peak of memory is its own; growth is that peak less what the process
held when the statistics started. Processor time is summed over cores and is the steadier figure on a busy machine.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipelines.statistics.accuracy.assessment import Question, accuracy
from pipelines.statistics.accuracy.curve import sample_curve
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.resampling import Clusters, Plan

FILMS_PER_PATIENT = 3.6
SKLEARN_REPLICATES = 60

Films = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]


def synthetic(rows: int, seed: int) -> Films:
    """Labels, scores and patients; about 6 % positive, and patients differ in level."""
    rng = np.random.default_rng(seed)
    patients = max(2, round(rows / FILMS_PER_PATIENT))
    patient = np.sort(rng.integers(0, patients, rows))
    labels = rng.random(rows) < np.where(rng.random(patients) < 0.15, 0.4, 0.01)[patient]
    level = rng.normal(size=patients)[patient] + rng.normal(size=rows) + 1.3 * labels
    return labels, 1 / (1 + np.exp(3 - level)), patient


def real(chosen: argparse.Namespace) -> Films:
    """The films of a score file, labelled by another file."""
    table = pd.read_csv(chosen.scores).merge(pd.read_csv(chosen.labels), on=chosen.key, validate="one_to_one")
    named = table[chosen.finding_column].astype(str).str.split("|").map(lambda names: chosen.finding in names)
    return (
        named.to_numpy(),
        table[chosen.score].to_numpy(float),
        pd.factorize(table[chosen.patient])[0].astype(np.int64),
    )


def sklearn_loop(films: Films, replicates: int) -> tuple[float, float, NDArray[np.float64]]:
    """Seconds and processor seconds per replicate, and the AUROCs."""
    labels, scores, patient = films
    order = np.argsort(patient, kind="stable")
    starts = np.searchsorted(patient[order], np.arange(patient.max() + 2))
    members = [order[a:b] for a, b in itertools.pairwise(starts)]
    rng, found = np.random.default_rng(1), []
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(replicates):
        rows = np.concatenate([members[p] for p in rng.integers(0, len(members), len(members))])
        found.append(roc_auc_score(labels[rows], scores[rows]))
    wall, used = time.perf_counter() - started, time.process_time() - busy
    return wall / replicates, used / replicates, np.array(found)


def against_sklearn(films: Films, replicates: int) -> None:
    """Print the comparison."""
    labels, scores, patient = films
    clusters, plan = Clusters.of(patient, len(labels)), Plan(replicates, 1, "percentile")
    sample_curve(labels, scores, clusters=clusters, plan=Plan(2))  # compiled, or loaded, before the clock starts
    times = []
    for _ in range(3):
        started, busy = time.perf_counter(), time.process_time()
        curve = sample_curve(labels, scores, clusters=clusters, plan=plan)
        times.append((time.perf_counter() - started, time.process_time() - busy))
    ours, used = np.median(times, axis=0) / replicates
    theirs, theirs_used, aurocs = sklearn_loop(films, SKLEARN_REPLICATES)
    drawn = curve.auroc().replicates
    print(f"AUROC of {len(labels):,} films of {clusters.count:,} patients: {curve.auroc().point[0]:.10f}")
    print(f"{'':14}{'replicates':>11}{'ms each':>10}{'processor ms':>14}{'standard error':>16}")
    print(f"{'here':14}{replicates:11}{1000 * ours:10.4f}{1000 * used:14.4f}{drawn.std():16.5f}")
    print(f"{'scikit-learn':14}{len(aurocs):11}{1000 * theirs:10.3f}{1000 * theirs_used:14.3f}{aurocs.std():16.5f}")
    print(f"{'ratio':14}{'':11}{theirs / ours:9.0f}x{theirs_used / used:13.0f}x")


def everything(rows: int, replicates: int) -> dict[str, float]:
    """Seconds and growth of memory for everything in `accuracy`, for two findings."""
    question = Question(thresholds=(0.1,), plan=Plan(replicates), prevalence=Prevalence(0.01))
    warm = synthetic(500, 0)
    accuracy(warm[0], warm[1], clusters=Clusters.of(warm[2], 500), question=question)
    findings = [synthetic(rows, seed) for seed in (1, 2)]
    before = psutil.Process().memory_info().rss
    started, busy = time.perf_counter(), time.process_time()
    for labels, scores, _ in findings:
        accuracy(labels, scores, clusters=Clusters.of(findings[0][2], rows), question=question)
    seconds = time.perf_counter() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "busy": time.process_time() - busy,
        "peak": peak / 2**30,
        "grew": (peak - before) / 2**30,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="+", default=[22_433, 100_000, 1_000_000])
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--key", default="Image Index")
    parser.add_argument("--patient", default="Patient ID")
    parser.add_argument("--finding-column", default="Finding Labels")
    parser.add_argument("--finding", default="Nodule")
    parser.add_argument("--score", default="prob_Nodule")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        print(json.dumps(everything(chosen.child, chosen.replicates)))
        return 0
    if (chosen.scores is None) != (chosen.labels is None):
        parser.error("--scores and --labels are given together")
    print(f"{len(os.sched_getaffinity(0))} cores; load {os.getloadavg()[0]:.1f}", flush=True)
    against_sklearn(real(chosen) if chosen.scores else synthetic(22_433, 1), chosen.replicates)
    print(f"\nEverything, two findings, {chosen.replicates} replicates")
    heads = ("films", "seconds", "µs per film", "processor s", "µs per film", "grew GiB", "peak GiB")
    print("".join(f"{head:>{width}}" for head, width in zip(heads, (10, 10, 13, 13, 13, 10, 10), strict=True)))
    for rows in chosen.rows:
        command = [sys.executable, "-m", "benchmarks.evaluation", "--child", str(rows)]
        made = subprocess.run(
            [*command, "--replicates", str(chosen.replicates)], check=True, capture_output=True, text=True
        )
        found = json.loads(made.stdout)
        times = "".join(f"{found[k]:{w}.2f}{1e6 * found[k] / rows:13.1f}" for k, w in (("seconds", 10), ("busy", 13)))
        print(f"{rows:10,}{times}{found['grew']:10.2f}{found['peak']:10.2f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
