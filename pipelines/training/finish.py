"""From the best weights to a package in the registry: calibrate, lock, fit the controls, write, log."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from monai.data import Dataset
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor

from models import (
    Architecture,
    Calibration,
    IntendedUse,
    ModelPackage,
    Typicality,
    fit_typicality,
    save_package,
)
from models.calibration import fit_calibration
from models.package import CARD_FILE, TRAINING_FILMS_FILE
from models.typicality import FEWEST
from pipelines.config import TrainConfig
from pipelines.errors import ConfigError
from pipelines.evaluation.control import control_key, control_scores, fit_controls
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.imaging.control_features import KINDS, ControlKind
from pipelines.imaging.harmonise import Harmonisation
from pipelines.inference.registry import log_pyfunc
from pipelines.manifest import patient_keys
from pipelines.manifest.copies import write_prints
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record
from pipelines.system import replace_text, replacing
from pipelines.training.card import model_card
from pipelines.training.figures import draw_figures
from pipelines.training.films import Cohort
from pipelines.training.harmonisation import lungs_found
from pipelines.training.locking import KnownFilms, lock_flag, lock_rule_out
from pipelines.training.state import Progress
from pipelines.training.tracking import Registered, Tracker, register
from pipelines.version import code_version, package_versions

PACKAGE: Final = "package"
RESULT_FILE: Final = "result.json"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run whose last epoch is done, before anything is made of it."""

    config: TrainConfig
    architecture: Architecture
    weights: Mapping[str, Tensor]
    pos_weight: NDArray[np.float64] | None
    """``[F]`` weight positives had in the loss."""
    progress: Progress
    train: tuple[Cohort, Dataset]
    val: tuple[Cohort, Dataset]
    val_logits: NDArray[np.float64]
    """``[n_val, F]`` of the best weights."""
    features: tuple[NDArray[np.float32], NDArray[np.float32]]
    """``[n, D]`` of training films as they are, drawn by the seed, and ``[n_val, D]``; of the best weights."""
    harmonisation: Harmonisation | None = None
    """What was done to every film; None for nothing."""


class FindingSummary(Record):
    """What validation says about one finding."""

    finding: str
    auroc: Estimate
    control: Estimate
    """AUROC of the shape-free control on the same films."""
    other_controls: dict[ControlKind, Estimate] = Field(default_factory=dict)
    """Likewise of the border-only and the lungs-hidden control; runs of earlier versions have none."""
    operating_point: OperatingPoint
    rule_out_point: OperatingPoint | None = None


class TrainResult(Record):
    """What a run made; kept as ``result.json`` in its folder, written last."""

    package: str
    """Folder of the package, relative to the run's folder."""
    model_id: str
    best_epoch: int
    """From 1."""
    epochs: int
    findings: tuple[FindingSummary, ...]
    mlflow_run_id: str | None
    registered: Registered | None


def finish_run(trained: Trained, tracker: Tracker) -> TrainResult:
    """Make the package from the best weights, log it and register it."""
    config, (cohort, _) = trained.config, trained.val
    calibration = _calibrate(trained)
    controls = _fit_controls(trained)
    unlocked = ModelPackage(
        name=config.name,
        architecture=trained.architecture,
        weights=trained.weights,
        calibration=calibration,
        control=controls,
        provenance=_provenance(trained, tracker.run_id),
        typicality=_typicality(trained),
        intended_use=_intended_use(config),
        harmonisation=None if trained.harmonisation is None else trained.harmonisation.to_json(),
    )
    probabilities = _probabilities(trained, calibration)
    scores = control_scores(controls, _seen_by_controls(trained.val[1]))
    summaries = _summarise(trained, unlocked.model_id, probabilities, scores)
    flag = {summary.finding: summary.operating_point.model_dump(mode="json") for summary in summaries}
    rule_out = {s.finding: s.rule_out_point.model_dump(mode="json") for s in summaries if s.rule_out_point is not None}
    package = replace(unlocked, operating_points=flag, rule_out_points=rule_out)
    folder = config.out / PACKAGE
    prints = config.out / TRAINING_FILMS_FILE
    write_prints([trained.train[0].rows, cohort.rows], prints)
    card = model_card(package, summaries, config, cohort, trained.train[0])
    save_package(package, folder, card=card, training_films=prints)
    _write_validation(config.out / "validation.parquet", trained, package, probabilities)
    draw_figures(config.out / "figures", package, trained.val, probabilities, trained.progress)
    result = TrainResult(
        package=PACKAGE,
        model_id=package.model_id,
        best_epoch=trained.progress.best_epoch + 1,
        epochs=trained.progress.epoch,
        findings=summaries,
        mlflow_run_id=tracker.run_id,
        registered=_log(trained, tracker, folder, summaries),
    )
    replace_text(config.out / RESULT_FILE, result.model_dump_json(indent=1) + "\n")
    return result


def read_result(folder: Path) -> TrainResult | None:
    """Return what a finished run in this folder made; None where none has finished."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    try:
        return TrainResult.model_validate_json(path.read_bytes())
    except ValidationError:
        raise ConfigError(f"{path} is damaged; remove it to finish the run again with --resume") from None


def _typicality(trained: Trained) -> Typicality | None:
    """Lock which films the model scores; None where there are too few films to say."""
    seen, unseen = trained.features
    if min(len(seen), len(unseen)) < FEWEST:
        return None
    return fit_typicality(seen, unseen)


def _intended_use(config: TrainConfig) -> IntendedUse:
    use = config.intended_use
    return IntendedUse(min_age_years=use.min_age_years, max_age_years=use.max_age_years)


def _calibrate(trained: Trained) -> dict[str, Calibration]:
    weights = trained.pos_weight if trained.pos_weight is not None else np.ones(len(trained.config.findings))
    labels = trained.val[0].labels
    return {
        finding: fit_calibration(trained.val_logits[:, k], labels[:, k], pos_weight=float(weights[k]))
        for k, finding in enumerate(trained.config.findings)
    }


def _probabilities(trained: Trained, calibration: Mapping[str, Calibration]) -> NDArray[np.float64]:
    findings = trained.config.findings
    columns = [calibration[finding].probability(trained.val_logits[:, k]) for k, finding in enumerate(findings)]
    return np.stack(columns, axis=1)


def _fit_controls(trained: Trained) -> dict[str, dict[str, Any]]:
    """Fit the shortcut controls on the training films; as they travel in the package."""
    cohort, cache = trained.train
    labels = dict(zip(trained.config.findings, cohort.labels.T, strict=True))
    return {key: model.model_dump(mode="json") for key, model in fit_controls(_seen_by_controls(cache), labels).items()}


def _seen_by_controls(cache: Dataset) -> NDArray[np.float64]:
    return np.stack([np.asarray(cache[index]["thumbnail"]) for index in range(len(cache))])


def _summarise(
    trained: Trained,
    model_id: str,
    probabilities: NDArray[np.float64],
    controls: Mapping[str, NDArray[np.float64]],
) -> tuple[FindingSummary, ...]:
    cohort, config = trained.val[0], trained.config
    summaries = []
    for position, finding in enumerate(config.findings):
        labels = cohort.labels[:, position]
        known = ~np.isnan(labels)
        names = "+".join(sorted(cohort.rows["dataset"][known].unique()))
        films = KnownFilms(labels[known], probabilities[known, position], finding, f"{names} val", model_id)
        point = lock_flag(films, config.validation)
        auroc = auroc_delong(films.labels, films.probabilities)
        control, *others = (auroc_delong(films.labels, controls[control_key(finding, kind)][known]) for kind in KINDS)
        rule_out = lock_rule_out(films, config.validation, point)
        summaries.append(
            FindingSummary(
                finding=finding,
                auroc=auroc,
                control=control,
                other_controls=dict(zip(KINDS[1:], others, strict=True)),
                operating_point=point,
                rule_out_point=rule_out,
            )
        )
    return tuple(summaries)


def _provenance(trained: Trained, run_id: str | None) -> dict[str, Any]:
    config = trained.config
    return {
        "code_version": code_version(),
        "versions": package_versions(),
        "mlflow_run_id": run_id,
        "best_epoch": trained.progress.best_epoch + 1,
        "seed": config.seed,
        # Folders are left out: a package is read on other machines by other people.
        "config": config.model_dump(mode="json", exclude={"out": True, "data": True, "tracking": {"uri"}}),
        "manifests": [source.manifest.name for source in config.data],
        # Null: the manifest's own labels; else the rule that made them from its readings.
        "consensus": [source.consensus for source in config.data],
        "train": _cohort_facts(trained.train, config),
        "val": _cohort_facts(trained.val, config),
    }


def _cohort_facts(films: tuple[Cohort, Dataset], config: TrainConfig) -> dict[str, Any]:
    cohort, cache = films
    found = lungs_found(cache) if config.harmonisation.lung_field != "none" else None
    datasets = cohort.rows["dataset"].value_counts().sort_index()
    return {
        "films": len(cohort.paths),
        "datasets": {str(name): int(count) for name, count in datasets.items()},
        "patients": None if cohort.rows["patient_id"].isna().any() else _patients(cohort.rows),
        "outside_use": cohort.left_out,
        "manifest_digest": cohort.digest,
        **({} if found is None else {"lung_fields_found": found}),
        "labels": {
            finding: {
                "positive": int((column == 1).sum()),
                "negative": int((column == 0).sum()),
                "unknown": int(np.isnan(column).sum()),
            }
            for finding, column in zip(config.findings, cohort.labels.T, strict=True)
        },
    }


def _patients(rows: pd.DataFrame) -> int:
    return patient_keys(rows).nunique()


def _write_validation(path: Path, trained: Trained, package: ModelPackage, probabilities: NDArray[np.float64]) -> None:
    """Save what the operating points were locked on, so that every number of the run can be computed again."""
    cohort = trained.val[0]
    table = pd.DataFrame({"image_id": cohort.rows["image_id"]})
    for position, finding in enumerate(trained.config.findings):
        table[f"label_{finding}"] = cohort.labels[:, position]
        table[f"logit_{finding}"] = trained.val_logits[:, position]
        table[f"p_{finding}"] = probabilities[:, position]
    if package.typicality is not None:
        table["atypicality"] = package.typicality.atypicality(trained.features[1])
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary)


def _log(trained: Trained, tracker: Tracker, folder: Path, summaries: tuple[FindingSummary, ...]) -> Registered | None:
    if tracker.client is None:
        return None
    metrics = {"best_epoch": float(trained.progress.best_epoch + 1), "best_value": trained.progress.best_value}
    for summary in summaries:
        named = {"auroc": summary.auroc, "control_auroc": summary.control}
        named |= {f"control_{kind}_auroc": found for kind, found in summary.other_controls.items()}
        for quantity, estimate in named.items():
            if estimate.value is not None:
                metrics[f"val/{summary.finding}/{quantity}"] = estimate.value
        metrics[f"val/{summary.finding}/threshold"] = summary.operating_point.threshold
        if summary.rule_out_point is not None:
            metrics[f"val/{summary.finding}/rule_out_threshold"] = summary.rule_out_point.threshold
    # The card is the run's description: the first thing a stranger reads in MLflow's pages.
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    tracker.log_summary(metrics, {"model_id": summaries[0].operating_point.model_id, "mlflow.note.content": card})
    tracker.log_folder(trained.config.out / "figures", "figures")
    name = trained.config.tracking.register_as
    logged = log_pyfunc(folder, name=trained.config.name, registered_model_name=name)
    if name is None or logged.registered_model_version is None:
        return None
    value = trained.progress.best_value
    version = int(logged.registered_model_version)
    return register(tracker, version, value=value, cohort_digest=trained.val[0].digest)
