"""What ``run.json`` beside a predictions table says of the model, its training and the run, whichever facts it holds.

Those of earlier versions have less of the package's own description; some of it is then found in the settings of the
training run. A value of a kind that is not expected counts as not said: nothing is computed from these facts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.background import (
    CalibrationFacts,
    CohortFacts,
    LabelCounts,
    ModelFacts,
    PredictionFacts,
    TrainingFacts,
)

Json = Mapping[str, Any]


def model_facts(run: Json | None) -> ModelFacts | None:
    """The model that made predictions.

    Args:
        run: ``run.json`` as `pipelines.evaluation.run_record.read_run` gave it; None where there is none.
    """
    if run is None:
        return None
    model = _part(run, "model")
    provenance = _part(model, "provenance")
    built, asked = _part(model, "architecture"), _part(provenance, "config", "model")
    fed, use = _part(model, "input"), _part(model, "intended_use")
    bounds = _numbers(fed.get("intensity_range"))
    limits = use or _part(provenance, "config", "intended_use")
    return ModelFacts(
        model_id=str(model["model_id"]),
        name=_text(model.get("name")),
        findings=_texts(model.get("findings")) or (),
        architecture=_text(built.get("backbone")) or _text(asked.get("backbone")),
        pretrained=_file_name(_text(asked.get("pretrained"))),
        input_size=_first(_whole, fed.get("size"), built.get("size"), asked.get("size")),
        channels=_whole(fed.get("channels")),
        intensity_range=(bounds[0], bounds[1]) if bounds is not None and len(bounds) == 2 else None,
        placement=_text(fed.get("placement")),
        pooling=_text(built.get("pooling")) or _text(asked.get("pooling")),
        map_stride=_first(_whole, built.get("map_stride"), asked.get("map_stride")),
        calibration=_calibration(model.get("calibration")),
        views=_texts(use.get("views")),
        min_age_years=_number(limits.get("min_age_years")),
        max_age_years=_number(limits.get("max_age_years")),
        checks_typicality=isinstance(model["typicality"], Mapping) if "typicality" in model else None,
        training=_training(provenance),
        prediction=_prediction(run),
    )


def _training(provenance: Json) -> TrainingFacts:
    config = _part(provenance, "config")
    steps, check = _part(config, "optimisation"), _part(config, "validation")
    augmentation = {str(k): v for k, raw in _part(config, "augmentation").items() if (v := _number(raw)) is not None}
    return TrainingFacts(
        train=_cohort(provenance.get("train")),
        val=_cohort(provenance.get("val")),
        seed=_whole(provenance.get("seed")),
        epochs=_whole(steps.get("epochs")),
        best_epoch=_whole(provenance.get("best_epoch")),
        batch_size=_whole(steps.get("batch_size")),
        learning_rate=_number(steps.get("learning_rate")),
        weight_decay=_number(steps.get("weight_decay")),
        imbalance=_text(steps.get("imbalance")),
        augmentation=augmentation or None,
        monitor=_text(check.get("monitor")),
        code_version=_text(provenance.get("code_version")),
        mlflow_run_id=_text(provenance.get("mlflow_run_id")),
        versions=_versions(provenance),
    )


def _prediction(run: Json) -> PredictionFacts:
    settings, hardware, finished = _part(run, "settings"), _part(run, "hardware"), _text(run.get("finished"))
    return PredictionFacts(
        day=finished[:10] if finished else None,
        code_version=_text(run.get("code_version")),
        backend=_text(settings.get("backend")),
        device=_text(settings.get("device")),
        precision=_text(settings.get("precision")),
        processor=_text(hardware.get("processor")),
        gpu=_text(hardware.get("gpu")),
        inputs=_inputs(run.get("inputs")),
        heatmaps=settings.get("heatmaps") if isinstance(settings.get("heatmaps"), bool) else None,
        triage_rule=_text(run.get("triage_rule")),
        versions=_versions(run),
    )


def _inputs(said: object) -> tuple[str, ...] | None:
    if not isinstance(said, Sequence) or isinstance(said, str):
        return None
    given = (_text(source.get("given")) if isinstance(source, Mapping) else None for source in said)
    names = (_file_name(text.rstrip("/\\")) for text in given if text is not None)
    return tuple(name for name in names if name)


def _cohort(said: object) -> CohortFacts | None:
    films = _whole(said.get("films")) if isinstance(said, Mapping) else None
    if films is None:
        return None
    assert isinstance(said, Mapping)
    labels = [(str(name), *map(_whole, _counts(raw))) for name, raw in _part(said, "labels").items()]
    datasets = {str(name): n for name, raw in _part(said, "datasets").items() if (n := _whole(raw)) is not None}
    return CohortFacts(
        films=films,
        datasets=datasets,
        patients=_whole(said.get("patients")),
        outside_use=_whole(said.get("outside_use")),
        manifest_digest=_text(said.get("manifest_digest")),
        labels=tuple(
            LabelCounts(finding=name, positive=positive, negative=negative, unknown=unknown)
            for name, positive, negative, unknown in labels
            if positive is not None and negative is not None and unknown is not None
        ),
    )


def _counts(said: object) -> tuple[object, object, object]:
    values = said if isinstance(said, Mapping) else {}
    return values.get("positive"), values.get("negative"), values.get("unknown")


def _calibration(said: object) -> tuple[CalibrationFacts, ...] | None:
    if not isinstance(said, Mapping):
        return None
    values = ((name, _part(said, name)) for name in said)
    read = [(str(name), _number(v.get("temperature")), _number(v.get("offset"))) for name, v in values]
    return tuple(
        CalibrationFacts(finding=name, temperature=temperature, offset=offset)
        for name, temperature, offset in read
        if temperature is not None and offset is not None
    )


def _versions(said: Json) -> dict[str, str] | None:
    found = {str(name): text for name, raw in _part(said, "versions").items() if (text := _text(raw)) is not None}
    return found or None


def _part(values: Json, *path: str) -> Json:
    for step in path:
        found = values.get(step)
        values = found if isinstance(found, Mapping) else {}
    return values


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _file_name(text: str | None) -> str | None:
    """Weights may be named by their path, which is nobody's business but the name's."""
    return re.split(r"[/\\]", text)[-1] if text else None


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    # Not NaN, not infinite: neither has a place in a record.
    return None if wrong or not abs(value) < 1e300 else float(value)  # type: ignore[arg-type]


def _numbers(value: object) -> list[float] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    found = [_number(item) for item in value]
    return [item for item in found if item is not None]


def _first(read: Any, *values: object) -> Any:
    """The first of several values that is of the kind expected."""
    return next((found for found in map(read, values) if found is not None), None)
