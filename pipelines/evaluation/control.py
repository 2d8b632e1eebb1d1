"""The shortcut controls: how far does a program get that sees no lungs?

Three logistic regressions are fitted on the model's own training films and score the films it is tested on. The
*shape-free* one sees a 16x16 thumbnail and five intensity statistics; the *border-only* one sees the film's frame; the
*lungs-hidden* one sees a thumbnail whose lung fields are covered. Where one of them comes near the model, a high AUROC
may come from how the pictures were made (scanner, crop, exposure, markers), not from disease.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from pipelines.errors import EvaluationError
from pipelines.evaluation.control_words import DESCRIPTIONS, NAMES, VERDICTS, Grade
from pipelines.evaluation.records import ControlResult, FindingResult
from pipelines.imaging.control_features import COLUMNS_OF, KINDS, ControlKind
from pipelines.statistics.accuracy.assessment import Question, auroc
from pipelines.statistics.accuracy.paired import compare_scores
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters

NEAR_MARGIN: Final = 0.05
"""A model whose AUROC exceeds the control's by less than this is called near."""
STRONG_CONTROL: Final = 0.90
"""A control that reaches this AUROC nearly solves the task without lungs, however good the model is."""
CHANCE: Final = 0.5
_GOOD_SYSTEM: Final = 0.8


class ControlModel(BaseModel):
    """A fitted control: plain numbers, so that it travels as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    n: int
    n_positive: int
    kind: ControlKind = "shape_free"
    """What it sees; models of earlier versions do not say, and are shape-free."""

    def scores(self, features: ArrayLike) -> Floats:
        """Score of each film in [0, 1].

        Args:
            features: ``[films, features]``, this control's own.
        """
        standard = (np.asarray(features, dtype=np.float64) - self.mean) / np.asarray(self.scale)
        logits = standard @ np.asarray(self.coefficients) + self.intercept
        return np.asarray(0.5 * (1 + np.tanh(logits / 2)), dtype=np.float64)


def fit_control_model(features: ArrayLike, labels: ArrayLike, kind: ControlKind = "shape_free") -> ControlModel:
    """Fit one control: standardisation and L2 logistic regression (scikit-learn's defaults, lbfgs: deterministic).

    Args:
        features: ``[films, features]`` of the training films.
        labels: ``[films]``, 1 or 0.
        kind: what these features are.

    Raises:
        EvaluationError: one class only, or labels other than 0 and 1.
    """
    # Imported where it is needed: scoring films needs only the plain numbers, and no second more to start.
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    X = np.asarray(features, dtype=np.float64)
    truth, _ = labels_and_scores(labels, np.zeros(len(X)))
    missing = one_class(truth)
    if missing:
        raise EvaluationError(f"The {NAMES[kind]} control cannot be fitted: {missing} in the training films.")
    scaler = StandardScaler().fit(X)
    regression = LogisticRegression(max_iter=5000).fit(scaler.transform(X), truth.astype(int))
    return ControlModel(
        mean=tuple(map(float, scaler.mean_)),
        scale=tuple(map(float, scaler.scale_)),
        coefficients=tuple(map(float, regression.coef_[0])),
        intercept=float(regression.intercept_[0]),
        n=len(truth),
        n_positive=int(truth.sum()),
        kind=kind,
    )


def fit_controls(features: ArrayLike, labels: Mapping[str, ArrayLike]) -> dict[str, ControlModel]:
    """Fit every control for every finding.

    Args:
        features: ``[films, 441]`` of `control_features`.
        labels: by finding ``[films]``, 1, 0 or NaN = not known: left out.

    Returns:
        By `control_key`, as they travel in a model package.

    Raises:
        EvaluationError: one class only, or labels other than 0, 1 and NaN.
    """
    seen, fitted = np.asarray(features, dtype=np.float64), {}
    for finding, given in labels.items():
        truth = np.asarray(given, dtype=np.float64)
        known = ~np.isnan(truth)
        for kind in KINDS:
            model = fit_control_model(seen[known][:, COLUMNS_OF[kind]], truth[known], kind)
            fitted[control_key(finding, kind)] = model
    return fitted


def control_key(finding: str, kind: ControlKind) -> str:
    """Name of a control in a package, and after ``control_`` in the predictions: the shape-free one is the finding."""
    return finding if kind == "shape_free" else f"{kind}_{finding}"


def control_from_scores(
    labels: Bools,
    scores: Floats,
    control: Floats,
    system: Estimate,
    clusters: Clusters,
    question: Question,
    kind: ControlKind = "shape_free",
) -> ControlResult:
    """Set a control beside the system, film by film; films without a control score are left out of the control.

    Args:
        labels: ``[n]``.
        scores: ``[n]``, the system's.
        control: ``[n]``, NaN where there is none.
        system: AUROC of the system on all films.
        clusters: the patients of the films.
        question: level and choice of intervals.
        kind: what the control sees.
    """
    known = np.isfinite(control)
    truth, patients, asked = labels[known], clusters.take(known), replace(question, targets=())
    alone = auroc(truth, control[known], clusters=patients, question=asked)
    paired = compare_scores(truth, scores[known], control[known], clusters=patients, question=asked)
    return judge_control(system, alone, paired.auroc.difference, kind)


def control_from_estimate(system: Estimate, control: Estimate) -> ControlResult:
    """Set a control's AUROC beside the system's where only the estimate is known: no interval of the difference."""
    why = "the control's scores are not known film by film"
    value = None if system.value is None or control.value is None else system.value - control.value
    difference = Estimate(
        value=value, low=None, high=None, level=system.level, method="difference of two AUROCs", n=control.n, why=why
    )
    return judge_control(system, control, difference)


def judge_control(
    system: Estimate, control: Estimate, difference: Estimate, kind: ControlKind = "shape_free"
) -> ControlResult:
    """Say in words what a control means for the system's AUROC.

    A control is near where it reaches 0.90 by itself, where the system exceeds it by less than 0.05, or where the
    interval of the difference includes 0. The border-only and the lungs-hidden control are near only where their own
    interval also lies above 0.5: one that is not shown to be better than chance explains nothing, and three controls
    would otherwise find a weak system or a small sample near three times over.
    """
    grade = _grade(system, control, difference, kind)
    return ControlResult(
        kind=kind,
        description=DESCRIPTIONS[kind],
        auroc=control,
        difference=difference,
        near=grade in ("strong", "near", "unproven", "hardly"),
        verdict=VERDICTS[kind][grade],
    )


def _grade(system: Estimate, control: Estimate, difference: Estimate, kind: ControlKind) -> Grade:
    if system.value is None or control.value is None or difference.value is None:
        return "no_auroc"
    if kind != "shape_free" and (control.low is None or control.low <= CHANCE):
        return "uninformative"
    unproven = difference.low is not None and difference.low <= 0
    if control.value >= STRONG_CONTROL:
        return "strong"
    if difference.value >= NEAR_MARGIN and not unproven:
        return "clear"
    if system.value >= _GOOD_SYSTEM:
        return "near"
    return "unproven" if unproven else "hardly"


def controls_of(result: FindingResult) -> tuple[ControlResult, ...]:
    """Every control of a finding, in the order of `KINDS`; evaluations of earlier versions have at most one."""
    if result.controls is not None:
        return result.controls
    return () if result.control is None else (result.control,)


def strongest_control(controls: Iterable[ControlResult]) -> ControlResult | None:
    """The control with the highest AUROC; of several the first. None where none has an AUROC."""
    known = [each for each in controls if each.auroc.value is not None]
    return max(known, key=lambda each: each.auroc.value or 0.0, default=None)


def control_scores(control: Mapping[str, Mapping[str, Any]], features: ArrayLike) -> dict[str, Floats]:
    """Scores by `control_key` of the controls that travel in a model package.

    Args:
        control: `control_key` → the JSON values of a `ControlModel`.
        features: ``[films, 441]`` of `control_features`.
    """
    seen, models = np.asarray(features), {key: ControlModel.model_validate(values) for key, values in control.items()}
    return {key: model.scores(seen[:, COLUMNS_OF[model.kind]]) for key, model in models.items()}
