"""A model locked anew: the same weights with thresholds chosen on another validation cohort."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from models import ModelPackage, load_package, save_package
from models.errors import ModelError
from models.package import CARD_FILE, EXPORTS_FOLDER, TRAINING_FILMS_FILE
from pipelines.errors import ConfigError, PackageError, PredictionsError
from pipelines.evaluation.joining import Joined, join_films, scored_films
from pipelines.evaluation.records import LeftOut
from pipelines.evaluation.tables import PredictionsTable, read_predictions
from pipelines.evaluation.thresholds.locked import LockedPoints, locked_points, points_section, replace_section
from pipelines.evaluation.thresholds.operating_point import (
    LockRule,
    OperatingPoint,
    lock_operating_point,
    refuse_contradiction,
)
from pipelines.manifest import manifest_digest, read_manifest
from pipelines.version import code_version

FEW_POSITIVES: Final = 30
"""With so many, an observed sensitivity of 0.90 has the exact 95 % interval 0.735 to 0.979."""


class LockingWarning(UserWarning):
    """A threshold was locked, but on films that say little about others."""


@dataclass(frozen=True, slots=True)
class Relocked:
    """What `relock_package` wrote."""

    model_id: str
    """As before: thresholds are not part of it."""
    locked: tuple[OperatingPoint, ...]
    """The new points, in the order of the rules."""
    kept: tuple[OperatingPoint, ...]
    """Points that no rule named; they stay as they were."""
    left_out: tuple[LeftOut, ...]
    """Films of the cohort that could not be used."""


def relock_package(
    package_folder: Path,
    predictions: Path,
    manifest: Path,
    out: Path,
    *,
    rules: Sequence[tuple[str, LockRule]],
    split: str = "val",
    cohort: str | None = None,
    date: str | None = None,
) -> Relocked:
    """Write a package with the same weights and ``model_id``, and thresholds locked on other validation films.

    A rule replaces the flag point or, for ``rule_out``, the rule-out point of its finding; other points stay.

    Args:
        package_folder: the model; left as it is.
        predictions: folder or table that ``cxr predict`` wrote with this very model.
        manifest: the labels of those films.
        out: the new package's folder; must not exist. It appears whole or not at all.
        rules: (finding, rule), at most one flag rule and one rule-out rule for each finding.
        split: the films to choose on; never test.
        cohort: where they come from, in words that name no patient; None names data sets and split.
        date: ISO day to write down; None takes today's, UTC.

    Raises:
        ConfigError: the split test, an unknown finding, no rule or two for one purpose, an ``out`` that exists.
        PackageError: not a whole, unchanged model package.
        PredictionsError: predictions of another model, or without this finding.
        EvaluationError: one class only, a rule that no threshold answers, or a rule-out threshold above the flag's.
        ManifestError: a manifest that breaks its schema or has no such split.
    """
    _refuse_test_films(split)
    if out.exists():
        raise ConfigError(f"{out} exists; name a new folder, so that the thresholds locked before stay on record")
    package, before = _load(package_folder), locked_points(package_folder)
    _check_rules(rules, package)
    table = read_predictions(predictions)
    _refuse_another_model(table, package, predictions)
    rows = read_manifest(manifest)
    joined = join_films(table.frame, rows, split=split)
    words = _cohort_words(joined, split) if cohort is None else " ".join(cohort.split())
    if not words:
        raise ConfigError("cohort: found an empty text, expected where the films come from, in words")
    points = [
        _lock(joined, finding, rule, cohort=words, model_id=package.model_id, date=date) for finding, rule in rules
    ]
    after = _merge(before, points)
    entry = {
        "code_version": code_version(),
        "cohort": words,
        "date": points[0].date,
        "manifest_digest": manifest_digest(rows),
        "predictions_digest": table.digest,
        "rules": [f"{finding}={rule.text}" for finding, rule in rules],
        "split": split,
    }
    _save(package, after, entry, package_folder, out)
    kept = [point for group in (after.flag, after.rule_out) for point in group.values() if point not in points]
    return Relocked(package.model_id, tuple(points), tuple(kept), joined.left_out)


def _refuse_test_films(split: str) -> None:
    if split == "test":
        raise ConfigError(
            "split 'test': thresholds are chosen on validation films and only used on test films, because a threshold "
            "looks better on the films that chose it than anywhere else; expected --split val"
        )
    if split == "train":
        warnings.warn(
            "thresholds are chosen on films of split train: if the model learned from them, its scores there are "
            "better than on any others, and the thresholds too high",
            LockingWarning,
            stacklevel=3,
        )


def _load(folder: Path) -> ModelPackage:
    try:
        return load_package(folder)
    except ModelError as error:
        raise PackageError(str(error)) from None


def _check_rules(rules: Sequence[tuple[str, LockRule]], package: ModelPackage) -> None:
    if not rules:
        raise ConfigError("no rule given; expected at least one FINDING=RULE, such as tb=sensitivity=0.95")
    seen = set()
    for finding, rule in rules:
        known = package.architecture.findings
        if finding not in known:
            raise ConfigError(f"rule for {finding!r}: model {package.model_id} finds {', '.join(known)}")
        if (finding, rule.purpose) in seen:
            purpose = "rule-out" if rule.purpose == "rule_out" else "flag"
            raise ConfigError(f"two {purpose} rules for {finding!r}: a finding has one threshold for each purpose")
        seen.add((finding, rule.purpose))


def _refuse_another_model(table: PredictionsTable, package: ModelPackage, source: Path) -> None:
    found = str(table.frame["model_id"].iloc[0])
    if found != package.model_id:
        raise PredictionsError(
            f"{source}: the predictions are of model {found}, the package is model {package.model_id}: a threshold is "
            "chosen on the scores of the model that will use it"
        )


def _cohort_words(joined: Joined, split: str) -> str:
    return f"{'+'.join(sorted(joined.films['dataset'].astype(str).unique()))} {split}".strip()


def _lock(
    joined: Joined, finding: str, rule: LockRule, *, cohort: str, model_id: str, date: str | None
) -> OperatingPoint:
    scored = scored_films(joined, finding)
    point = lock_operating_point(
        scored.labels, scored.scores, finding=finding, rule=rule, cohort=cohort, model_id=model_id, date=date
    )
    reached = f"sensitivity there is {point.sensitivity.text()}"
    if point.n_positive < FEW_POSITIVES:
        warnings.warn(
            f"the threshold of {finding} ({point.rule}) was chosen on {point.n_positive} positive films, fewer than "
            f"{FEW_POSITIVES}: {reached}",
            LockingWarning,
            stacklevel=3,
        )
    elif rule.kind in ("sensitivity", "rule_out") and 0 < (1 - rule.target) * point.n_positive < 1 - 1e-9:
        warnings.warn(
            f"{point.n_positive} positive films of {finding} are too few to miss one at the sensitivity asked for "
            f"({point.rule}): the lowest of their scores is the threshold, and {reached}",
            LockingWarning,
            stacklevel=3,
        )
    return point


def _merge(before: LockedPoints, points: Sequence[OperatingPoint]) -> LockedPoints:
    flag, rule_out = dict(before.flag), dict(before.rule_out)
    for point in points:
        (rule_out if point.purpose == "rule_out" else flag)[point.finding] = point
    for finding in flag.keys() & rule_out.keys():
        refuse_contradiction(flag[finding], rule_out[finding])
    return LockedPoints(before.model_id, flag, rule_out)


def _save(package: ModelPackage, points: LockedPoints, entry: Mapping[str, Any], old: Path, out: Path) -> None:
    flag, rule_out = (
        {finding: point.model_dump(mode="json") for finding, point in group.items()}
        for group in (points.flag, points.rule_out)
    )
    earlier = package.provenance.get("relocked", [])
    if not isinstance(earlier, list):
        raise PackageError(f"{old}: provenance.relocked is {type(earlier).__name__}, expected a list")
    locked = replace(
        package,
        operating_points=flag,
        rule_out_points=rule_out,
        provenance={**package.provenance, "relocked": [*earlier, dict(entry)]},
    )
    assert locked.model_id == points.model_id
    path = old / CARD_FILE
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {package.name}\n"
    save_package(
        locked,
        out,
        card=replace_section(card, points_section(points.flag, points.rule_out)),
        exports=old / EXPORTS_FOLDER,
        training_films=old / TRAINING_FILMS_FILE,
    )
