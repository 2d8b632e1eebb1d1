"""Labels and out-of-fold probabilities of a manifest → its audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.audit.noise import Noise, find_noise, wrong_shares
from pipelines.audit.out_of_fold import out_of_fold
from pipelines.audit.records import Audit, ClassAudit, Source, UnreadFilm
from pipelines.errors import EvaluationError
from pipelines.evaluation.joining import labels_of, match_ids, reference_labels
from pipelines.evaluation.options import Options
from pipelines.evaluation.records import software_versions
from pipelines.evaluation.tables import PredictionsTable
from pipelines.findings import FINDINGS
from pipelines.manifest import linked_groups, manifest_digest
from pipelines.statistics.accuracy.assessment import Question, auroc
from pipelines.statistics.arrays import Bools, Floats, one_class
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters, Plan
from pipelines.version import code_version

MEANING: Final = (
    "A film is listed because its label and a prediction made without it disagree. That is a reason to look at the "
    "film, not a proof: a rare picture, a poor film and a weak network disagree with a right label too.",
    "Errors that the network shares are invisible: where films of one source are all labelled wrongly in the same "
    "way, the prediction learns the error and agrees with it.",
    "The share of wrong labels is an estimate by confident learning, and mostly too high: it counts what the network "
    "cannot tell apart as wrong. With every label right, a perfectly calibrated network with an AUROC of 0.98 gives "
    "0.01 to 0.02, one of 0.90 gives 0.07 to 0.10, one of 0.80 gives 0.16 to 0.21.",
)
_WEAK: Final = 0.9
WEAK: Final = (
    "The out-of-fold AUROC is below 0.90: the share of wrong labels says more about the network than about the labels, "
    "and is not to be quoted. The order of the films is still an order to look at them in."
)
SPLIT_WARNING: Final = (
    "Some of these films have the split train. Predictions of a model that learned from the labels it is compared with "
    "repeat wrong labels and hide them; they must have been made out of fold."
)
PACKAGE_WARNING: Final = (
    "The features are those of a trained model. If it learned from the labels that are audited, its features know the "
    "wrong ones too and hide some of them."
)


@dataclass(frozen=True)
class Films:
    """The films whose label is known, and those of them that have a probability."""

    rows: pd.DataFrame
    """Every row with a label."""
    labels: Bools
    """``[rows]``."""
    groups: NDArray[np.int64]
    """``[rows]``: what stays in one fold."""
    finding: str
    reference: str
    manifest: str
    digest: str
    label_unknown: int

    @classmethod
    def of(cls, manifest: pd.DataFrame, name: str, finding: str) -> "Films":
        """The labelled rows of a manifest.

        Raises:
            EvaluationError: no such label, or films of one class only.
        """
        labels, reference = reference_labels(manifest, finding)
        known = ~np.isnan(labels)
        truth = labels[known] == 1
        if why := one_class(truth):
            raise EvaluationError(f"{name}: labels of {finding} cannot be audited: {why}.")
        return cls(
            rows=manifest[known].reset_index(drop=True),
            labels=truth,
            groups=linked_groups(manifest)[known],
            finding=finding,
            reference=reference,
            manifest=name,
            digest=manifest_digest(manifest, canonical=True),
            label_unknown=int((~known).sum()),
        )

    def files(self, root: Path) -> list[Path]:
        """``[rows]``: where each film lies."""
        return [root / PurePosixPath(path) for path in self.rows["path"]]


@dataclass(frozen=True)
class Scores:
    """Out-of-fold probabilities of some of the films, and why others have none."""

    probability: Floats
    """``[rows]``, NaN where there is none."""
    fold: NDArray[np.int64]
    """``[rows]``, from 1; 0 where there is none."""
    missing: Mapping[int, str]
    """By row: why it has none."""
    source: Source


@dataclass(frozen=True)
class Audited:
    """An audit with what it says of every film."""

    record: Audit
    films: Films
    scores: Scores
    noise: Noise
    used: NDArray[np.int64]
    """Rows that have a probability, in their order; the arrays of `noise` follow them."""


def finding_of(manifest: pd.DataFrame, asked: str | None) -> str:
    """What to audit: what was asked for, else the finding that has both classes.

    Raises:
        EvaluationError: several findings, or none, have both classes.
    """
    if asked is not None:
        return asked
    labels = {finding: labels_of(manifest, finding) for finding in FINDINGS}
    both = [finding for finding, values in labels.items() if {0.0, 1.0} <= set(values[~np.isnan(values)])]
    if len(both) != 1:
        raise EvaluationError(
            f"--finding: found {' and '.join(both) or 'no label column'} with films of both classes, expected one "
            "finding to audit: tb, nodule or a native label."
        )
    return both[0]


def scores_of_features(
    films: Films, read: list[Floats | str], name: str, digest: str, *, folds: int, seed: int, warning: str | None = None
) -> Scores:
    """Probabilities by a regression on features, each film scored without itself, its patient and its copies.

    Args:
        films: the films.
        read: ``[rows]`` features, or why a film has none.
        name: of the network.
        digest: of the network.
        folds: how many.
        seed: of the dealing.
        warning: what may hide wrong labels.

    Raises:
        EvaluationError: too few films of a class for the folds.
    """
    missing = {row: answer for row, answer in enumerate(read) if isinstance(answer, str)}
    vectors = [answer for answer in read if not isinstance(answer, str)]
    if not vectors:
        raise EvaluationError(f"none of {len(read):,} films could be read (first: {missing[0]}); is --root right?")
    used = np.array([row for row in range(len(read)) if row not in missing], dtype=np.int64)
    said = out_of_fold(np.stack(vectors), films.labels[used], films.groups[used], folds=folds, seed=seed)
    probability, fold = np.full(len(read), np.nan), np.zeros(len(read), dtype=np.int64)
    probability[used], fold[used] = said.probability, said.fold
    source = Source(kind="features", name=name, digest=digest, folds=folds, strengths=said.strengths, warning=warning)
    return Scores(probability, fold, missing, source)


def scores_of_predictions(films: Films, table: PredictionsTable) -> Scores:
    """Probabilities that a user made out of fold.

    Raises:
        EvaluationError: no prediction of these films has the finding, or values that are no probabilities.
        PredictionsError: ids that match no film.
    """
    name = "predictions" if table.file is None else table.file.name
    column = f"p_{films.finding}"
    if column not in table.frame:
        raise EvaluationError(f"{name}: no column {column!r}; expected out-of-fold probabilities of {films.finding}.")
    place, _ = match_ids(table.frame["image_id"], films.rows)
    values = table.frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    usable = (place >= 0) & (table.frame["status"] == "ok").to_numpy() & np.isfinite(values)
    probability = np.full(len(films.rows), np.nan)
    probability[place[usable]] = values[usable]
    known = probability[~np.isnan(probability)]
    if not len(known) or known.min() < 0 or known.max() > 1:
        raise EvaluationError(f"{name}: column {column!r} needs probabilities from 0 to 1 of films with a label.")
    missing = {int(row): "no prediction" for row in np.flatnonzero(np.isnan(probability))}
    trained = bool((films.rows["split"] == "train").any())
    source = Source(
        kind="predictions",
        name=name,
        digest=table.digest,
        folds=None,
        strengths=None,
        warning=SPLIT_WARNING if trained else None,
    )
    return Scores(probability, np.zeros(len(films.rows), dtype=np.int64), missing, source)


def audit(films: Films, scores: Scores, options: Options) -> Audited:
    """Estimate how many labels are wrong, and rank the films.

    Args:
        films: the films.
        scores: their out-of-fold probabilities.
        options: level, replicates, seed.

    Raises:
        EvaluationError: one class only among the films with a probability.
    """
    used = np.flatnonzero(~np.isnan(scores.probability))
    labels, probability = films.labels[used], scores.probability[used]
    if why := one_class(labels):
        raise EvaluationError(f"labels of {films.finding} cannot be audited: {why} with a probability.")
    groups = Clusters.of(films.groups[used], len(used))
    plan = Plan(options.replicates, options.seed, unit="patients" if groups.repeated else "films")
    noise = find_noise(labels, probability)
    negative, positive, every = wrong_shares(labels, probability, groups, plan, options.level)
    asked = Question(level=options.level, plan=plan, interval=options.interval)
    reached = auroc(labels, probability, clusters=groups, question=asked)
    record = Audit(
        finding=films.finding,
        reference=films.reference,
        manifest=films.manifest,
        manifest_digest=films.digest,
        films=len(films.rows) + films.label_unknown,
        label_unknown=films.label_unknown,
        audited=len(used),
        groups=groups.count,
        auroc=reached,
        wrong=every,
        classes=(_class(1, labels, noise, positive), _class(0, labels, noise, negative)),
        joint=tuple(tuple(map(float, row)) for row in noise.joint),
        meaning=(*MEANING, *([WEAK] if (reached.value or 0.0) < _WEAK else [])),
        not_audited=_not_audited(films, scores),
        source=scores.source,
        seed=options.seed,
        replicates=options.replicates,
        level=options.level,
        code_version=code_version(),
        versions=software_versions(),
    )
    return Audited(record, films, scores, noise, used)


def _class(label: Literal[0, 1], labels: Bools, noise: Noise, wrong: Estimate) -> ClassAudit:
    these = labels == bool(label)
    return ClassAudit(
        label=label,
        films=int(these.sum()),
        threshold=float(noise.thresholds[label]),
        likely_wrong=int(noise.likely_wrong[these].sum()),
        wrong=wrong,
    )


def _not_audited(films: Films, scores: Scores) -> tuple[UnreadFilm, ...]:
    ids = films.rows["image_id"]
    return tuple(UnreadFilm(image_id=str(ids.iloc[row]), reason=why) for row, why in scores.missing.items())
