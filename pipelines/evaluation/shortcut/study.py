"""Fit the controls on the training films of a pair, score its test films, say what that means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from pipelines.errors import EvaluationError, ManifestError
from pipelines.evaluation.control import (
    CHANCE,
    STRONG_CONTROL,
    control_from_scores,
    fit_control_model,
)
from pipelines.evaluation.control_words import DESCRIPTIONS
from pipelines.evaluation.joining import column, join_films, reference_labels
from pipelines.evaluation.options import Options
from pipelines.evaluation.patients import clusters_of, count_patients, patients_of
from pipelines.evaluation.shortcut.records import (
    ControlNumbers,
    FilmCounts,
    FindingControls,
    PairResult,
    Side,
    Unreadable,
)
from pipelines.evaluation.shortcut.words import ALONE
from pipelines.evaluation.tables import PredictionsTable, numbers
from pipelines.findings import FINDINGS
from pipelines.imaging.control_features import COLUMNS_OF, KINDS, N_CONTROL_FEATURES, ControlKind
from pipelines.manifest import manifest_digest
from pipelines.statistics.accuracy.assessment import auroc
from pipelines.statistics.arrays import Bools, Floats, one_class
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters

Read = Mapping[Path, Floats | str]
"""By file: features, or why it could not be read."""


@dataclass(frozen=True)
class Films:
    """The films of one side of a pair."""

    rows: pd.DataFrame
    manifest: str
    """Name of its file."""
    digest: str
    split: str | None
    root: Path

    @classmethod
    def of(cls, manifest: pd.DataFrame, name: str, split: str | None, root: Path) -> "Films":
        """The rows of one split.

        Raises:
            ManifestError: no row has this split.
        """
        rows = manifest if split is None else manifest[(manifest["split"] == split).fillna(False).to_numpy(dtype=bool)]
        if rows.empty:
            raise ManifestError(f"{name}: no row has split {split}; assign splits with `cxr manifest split`.")
        return cls(rows.reset_index(drop=True), name, manifest_digest(manifest), split, root)

    @property
    def files(self) -> list[Path]:
        """Where each film lies."""
        return [self.root / PurePosixPath(path) for path in self.rows["path"]]

    def side(self) -> Side:
        """As the record names it."""
        counts = self.rows["dataset"].value_counts()
        datasets = {str(name): int(count) for name, count in counts.items()}
        return Side(
            manifest=self.manifest, digest=self.digest, split=self.split, films=len(self.rows), datasets=datasets
        )


@dataclass(frozen=True)
class Pair:
    """Films to fit on, films to test on, and perhaps what a system said of the latter."""

    train: Films
    test: Films
    predictions: PredictionsTable | None = None

    def __post_init__(self) -> None:
        self._refuse_shared("film", self.train.rows["image_id"], self.test.rows["image_id"])
        self._refuse_shared("file", *(column(films.rows, "sha256").dropna() for films in (self.train, self.test)))
        train, test = ([each for each in patients_of(films.rows) if each] for films in (self.train, self.test))
        self._refuse_shared("patient", train, test)

    def _refuse_shared(self, what: str, train: Iterable[object], test: Iterable[object]) -> None:
        shared = set(train) & set(test)
        if shared:
            raise EvaluationError(
                f"{self.train.manifest} ({self.train.split or 'all films'}) and {self.test.manifest} "
                f"({self.test.split or 'all films'}) share {len(shared):,} {what}{'' if len(shared) == 1 else 's'}: "
                "a control fitted on the films it is tested on says nothing."
            )


def findings_of(pairs: Sequence[Pair], asked: Sequence[str] = ()) -> tuple[str, ...]:
    """What to study, before any film is read.

    Args:
        pairs: the films.
        asked: label columns or native labels; without them, tb and nodule as far as some pair has both classes.

    Raises:
        EvaluationError: no pair has both classes on both sides; or a finding that is no label of these films.
    """
    wanted = tuple(dict.fromkeys(asked)) or FINDINGS
    reasons = {finding: [_one_class(pair, finding) for pair in pairs] for finding in wanted}
    usable = tuple(finding for finding in wanted if None in reasons[finding])
    if not usable:
        first = next(why for why in reasons[wanted[0]] if why is not None)
        raise EvaluationError(f"no control can be fitted: {first}.")
    return wanted if asked else usable


def _one_class(pair: Pair, finding: str) -> str | None:
    """What a pair lacks for a finding; None where nothing."""
    for films, what in ((pair.train, "training"), (pair.test, "test")):
        labels, _ = reference_labels(films.rows, finding)
        if missing := one_class(labels[~np.isnan(labels)] == 1):
            return f"{missing} among the {what} films of {finding} in {films.manifest}"
    return None


def pair_result(pair: Pair, findings: Sequence[str], read: Read, options: Options) -> PairResult:
    """Every finding of one pair.

    Args:
        pair: the films.
        findings: label columns or native labels.
        read: features of every file of the pair.
        options: level, replicates, seed, choice of intervals.

    Raises:
        EvaluationError: a finding that is no label of these films.
        PredictionsError: predictions that do not belong to the test films.
    """
    return PairResult(
        train=pair.train.side(),
        test=pair.test.side(),
        model_id=None if pair.predictions is None else str(pair.predictions.frame["model_id"].iloc[0]),
        findings=tuple(_finding(pair, finding, read, options) for finding in findings),
    )


@dataclass(frozen=True)
class _Usable:
    """Films of one side with a known label and features."""

    rows: pd.DataFrame
    labels: Bools
    features: Floats
    counts: FilmCounts

    @property
    def clusters(self) -> Clusters:
        return clusters_of(self.rows)


def _usable(films: Films, finding: str, read: Read) -> _Usable:
    labels, _ = reference_labels(films.rows, finding)
    known = ~np.isnan(labels)
    got = [read[file] for file in films.files]
    seen = np.array([not isinstance(each, str) for each in got], dtype=bool)
    use = known & seen
    rows = films.rows[use].reset_index(drop=True)
    features = [each for each, wanted in zip(got, use, strict=True) if wanted and not isinstance(each, str)]
    counts = FilmCounts(
        films=int(use.sum()),
        positives=int(np.nansum(labels[use])),
        patients=count_patients(rows),
        label_unknown=int((~known).sum()),
        unreadable=int((known & ~seen).sum()),
    )
    return _Usable(rows, labels[use] == 1, np.reshape(features, (-1, N_CONTROL_FEATURES)), counts)


def _finding(pair: Pair, finding: str, read: Read, options: Options) -> FindingControls:
    train, test = _usable(pair.train, finding, read), _usable(pair.test, finding, read)
    why = None
    for part, what in ((train, "training"), (test, "test")):
        if why is None and (missing := one_class(part.labels)):
            why = f"{missing} among the {what} films of {finding} that could be read"
    said = None if pair.predictions is None else _said(pair.predictions, test.rows, finding)
    system = None if said is None or why else _system(test, said, options)
    controls = () if why else tuple(_control(kind, train, test, said, system, options) for kind in KINDS)
    return FindingControls(
        finding=finding,
        train=train.counts,
        test=test.counts,
        controls=controls,
        system=system,
        warning=_warns(controls),
        why=why,
    )


def _warns(controls: Sequence[ControlNumbers]) -> bool:
    """One warning for a finding, however many controls give a reason."""
    if any(each.beside is not None for each in controls):
        return any(each.beside is not None and each.beside.near for each in controls)
    return any(each.auroc.value is not None and each.auroc.value >= STRONG_CONTROL for each in controls)


def _said(table: PredictionsTable, rows: pd.DataFrame, finding: str) -> Floats:
    """``[films]``: the system's score, NaN where it gave none."""
    joined = join_films(table.frame, rows)
    name = f"p_{finding}"
    scores = numbers(column(joined.films, f"pred_{name}"), name, "predictions")
    by_id = dict(zip(joined.films["image_id"], scores, strict=True))
    return np.array([by_id.get(image, np.nan) for image in rows["image_id"]], dtype=np.float64)


def _system(test: _Usable, said: Floats, options: Options) -> Estimate:
    known = np.isfinite(said)
    return auroc(test.labels[known], said[known], clusters=test.clusters.take(known), question=options.question)


def _control(
    kind: ControlKind, train: _Usable, test: _Usable, said: Floats | None, system: Estimate | None, options: Options
) -> ControlNumbers:
    own = COLUMNS_OF[kind]
    model = fit_control_model(train.features[:, own], train.labels, kind)
    scores = model.scores(test.features[:, own])
    alone = auroc(test.labels, scores, clusters=test.clusters, question=options.question)
    beside = None
    if said is not None and system is not None:
        known = np.isfinite(said)
        parts = (test.labels[known], said[known], scores[known])
        beside = control_from_scores(*parts, system, test.clusters.take(known), options.question, kind)
    return ControlNumbers(
        kind=kind,
        description=DESCRIPTIONS[kind],
        auroc=alone,
        meaning=_meaning(kind, alone),
        beside=beside,
    )


def _meaning(kind: ControlKind, alone: Estimate) -> str:
    words = ALONE[kind]
    if alone.value is None or alone.low is None or alone.high is None:
        return words["unknown"]
    if alone.value >= STRONG_CONTROL:
        return words["strong"]
    if alone.low > CHANCE:
        return words["some"]
    return words["reversed"] if alone.high < CHANCE else words["none"]


def unreadable_films(pairs: Sequence[Pair], read: Read) -> tuple[Unreadable, ...]:
    """Every film that could not be read, once."""
    found = {
        (side.manifest, image): Unreadable(image_id=str(image), manifest=side.manifest, reason=answer)
        for pair in pairs
        for side in (pair.train, pair.test)
        for image, file in zip(side.rows["image_id"], side.files, strict=True)
        if isinstance(answer := read[file], str)
    }
    return tuple(found.values())
