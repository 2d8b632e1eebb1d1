"""The shape-free control: how far do picture statistics get that see no anatomy?

A 16x16 thumbnail and five intensity statistics feed a logistic regression fitted on the model's own training films.
Where it comes near the model, a high AUROC may come from how the pictures were made (scanner, crop, exposure), not from
disease.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from pipelines.errors import EvaluationError, UnreadableImage
from pipelines.evaluation.joining import column, reference_labels
from pipelines.evaluation.records import ControlResult
from pipelines.imaging.thumbnail import N_FEATURES, thumbnail_features
from pipelines.statistics.accuracy.assessment import Question, auroc
from pipelines.statistics.accuracy.paired import compare_scores
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.resampling import Clusters

DESCRIPTION: Final = (
    "16×16 thumbnail and five intensity statistics (mean, standard deviation, minimum, maximum, median) in a logistic "
    "regression fitted on the training films: it sees no anatomy"
)
NEAR_MARGIN: Final = 0.05
"""A model whose AUROC exceeds the control's by less than this is called near."""
STRONG_CONTROL: Final = 0.90
"""A control that reaches this AUROC nearly solves the task without anatomy, however good the model is."""


class ControlModel(BaseModel):
    """A fitted control: plain numbers, so that it travels as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    n: int
    n_positive: int

    def scores(self, features: ArrayLike) -> Floats:
        """Score of each film in [0, 1].

        Args:
            features: ``[films, 261]`` from `thumbnail_features`.
        """
        standard = (np.asarray(features, dtype=np.float64) - self.mean) / np.asarray(self.scale)
        logits = standard @ np.asarray(self.coefficients) + self.intercept
        return np.asarray(0.5 * (1 + np.tanh(logits / 2)), dtype=np.float64)


def fit_control_model(features: ArrayLike, labels: ArrayLike) -> ControlModel:
    """Fit the control: standardisation and L2 logistic regression (scikit-learn's defaults, lbfgs: deterministic).

    Args:
        features: ``[films, features]`` of the training films.
        labels: ``[films]``, 1 or 0.

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
        raise EvaluationError(f"The shape-free control cannot be fitted: {missing} in the training films.")
    scaler = StandardScaler().fit(X)
    regression = LogisticRegression(max_iter=5000).fit(scaler.transform(X), truth.astype(int))
    return ControlModel(
        mean=tuple(map(float, scaler.mean_)),
        scale=tuple(map(float, scaler.scale_)),
        coefficients=tuple(map(float, regression.coef_[0])),
        intercept=float(regression.intercept_[0]),
        n=len(truth),
        n_positive=int(truth.sum()),
    )


def fit_control(X_train: ArrayLike, y_train: ArrayLike, X_test: ArrayLike) -> Floats:
    """Scores ``[test films]`` of a control fitted on the training films; see `fit_control_model`."""
    return fit_control_model(X_train, y_train).scores(X_test)


def control_auroc(
    X_train: ArrayLike, y_train: ArrayLike, X_test: ArrayLike, y_test: ArrayLike, level: float = DEFAULT_LEVEL
) -> Estimate:
    """AUROC of the control on test films, fitted on training films."""
    return auroc_delong(y_test, fit_control(X_train, y_train, X_test), level)


@dataclass(frozen=True)
class ControlScores:
    """The control on the test films of one manifest."""

    image_ids: tuple[str, ...]
    labels: Bools
    scores: Floats
    auroc: Estimate
    model: ControlModel
    unreadable: int
    """Films (train and test) whose pixels could not be read: left out."""


def shape_free_control(
    manifest: pd.DataFrame,
    pixels_of: Callable[[Mapping[str, Any]], ArrayLike],
    finding: str,
    *,
    train_split: str = "train",
    test_split: str = "test",
    level: float = DEFAULT_LEVEL,
) -> ControlScores:
    """Fit the control on one split of a manifest and score another.

    Args:
        manifest: rows with ``image_id``, ``split`` and the finding's label; unknown labels are left out.
        pixels_of: gives the pixels ``[rows, columns]`` of one manifest row (a mapping by column name).
        finding: a label column or a native label.
        train_split: fitted on these films.
        test_split: scored on these.
        level: confidence level.

    Raises:
        EvaluationError: one class only among the training films.
    """
    labels, _ = reference_labels(manifest, finding)
    splits = column(manifest, "split").fillna("").to_numpy(dtype=object)
    parts: dict[str, tuple[list[Floats], list[bool], list[str]]] = {}
    unreadable = 0
    for split in (train_split, test_split):
        features, truth, ids = parts.setdefault(split, ([], [], []))
        for row in np.flatnonzero((splits == split) & ~np.isnan(labels)):
            record = {str(key): value for key, value in manifest.iloc[int(row)].to_dict().items()}
            try:
                features.append(thumbnail_features(pixels_of(record)))
            except UnreadableImage:
                unreadable += 1
                continue
            truth.append(bool(labels[row]))
            ids.append(str(record["image_id"]))
    X_train, y_train, _ = parts[train_split]
    X_test, y_test, test_ids = parts[test_split]
    model = fit_control_model(np.reshape(X_train, (-1, N_FEATURES)), y_train)
    scores = model.scores(np.reshape(X_test, (-1, N_FEATURES)))
    return ControlScores(
        image_ids=tuple(test_ids),
        labels=np.asarray(y_test, dtype=bool),
        scores=scores,
        auroc=auroc_delong(np.asarray(y_test, dtype=bool), scores, level),
        model=model,
        unreadable=unreadable,
    )


def control_from_scores(
    labels: Bools, scores: Floats, control: Floats, system: Estimate, clusters: Clusters, question: Question
) -> ControlResult:
    """Set the control beside the system, film by film; films without a control score are left out of the control.

    Args:
        labels: ``[n]``.
        scores: ``[n]``, the system's.
        control: ``[n]``, NaN where there is none.
        system: AUROC of the system on all films.
        clusters: the patients of the films.
        question: level and choice of intervals.
    """
    known = np.isfinite(control)
    truth, patients, asked = labels[known], clusters.take(known), replace(question, targets=())
    alone = auroc(truth, control[known], clusters=patients, question=asked)
    paired = compare_scores(truth, scores[known], control[known], clusters=patients, question=asked)
    return judge_control(system, alone, paired.auroc.difference)


def control_from_estimate(system: Estimate, control: Estimate) -> ControlResult:
    """Set a control's AUROC beside the system's where only the estimate is known: no interval of the difference."""
    why = "the control's scores are not known film by film"
    value = None if system.value is None or control.value is None else system.value - control.value
    difference = Estimate(
        value=value, low=None, high=None, level=system.level, method="difference of two AUROCs", n=control.n, why=why
    )
    return judge_control(system, control, difference)


def judge_control(system: Estimate, control: Estimate, difference: Estimate) -> ControlResult:
    """Say in words what the control means for the system's AUROC.

    The control is near where it reaches 0.90 by itself, where the system exceeds it by less than 0.05, or where the
    interval of the difference includes 0.
    """
    near = False
    if system.value is None or control.value is None or difference.value is None:
        verdict = "There is no AUROC to compare with."
    else:
        unproven = difference.low is not None and difference.low <= 0
        near = control.value >= STRONG_CONTROL or difference.value < NEAR_MARGIN or unproven
        verdict = _verdict(system.value, control.value, near, unproven)
    return ControlResult(description=DESCRIPTION, auroc=control, difference=difference, near=near, verdict=verdict)


def _verdict(system: float, control: float, near: bool, unproven: bool) -> str:
    if not near:
        return "The system is clearly better than picture statistics that see no anatomy."
    if control >= STRONG_CONTROL:
        return (
            "Picture statistics that see no anatomy nearly solve this task by themselves: a high AUROC here may come "
            "from the pictures' source, not from disease."
        )
    if system >= 0.8:
        return (
            "Picture statistics that see no anatomy come near the system: a high AUROC here may come from the "
            "pictures' source, not from disease."
        )
    shown = "is not shown to be" if unproven else "is hardly"
    return f"The system {shown} better than picture statistics that see no anatomy."


def control_scores(control: Mapping[str, Mapping[str, Any]], features: ArrayLike) -> dict[str, Floats]:
    """Scores by finding of the controls that travel in a model package.

    Args:
        control: finding → the JSON values of a `ControlModel`.
        features: ``[films, 261]`` from `thumbnail_features`.
    """
    return {finding: ControlModel.model_validate(values).scores(features) for finding, values in control.items()}
