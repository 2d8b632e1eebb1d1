"""The commands that lead to an evaluation, from its own record; where files lie is left out."""

import shlex
from pathlib import PurePosixPath
from typing import Final

from pipelines.assessment.proxies import Proxies
from pipelines.evaluation.background import Choices
from pipelines.evaluation.records import Evaluation
from pipelines.manifest.schema import SPLITS
from pipelines.reporting.book import Study
from pipelines.reporting.texts import plain

NOT_RECORDED: Final = ("MODEL", "MANIFEST", "PREDICTIONS", "ID", "ATTRIBUTES", "MARKS", "SCENARIO")
"""Stand for what the record does not name."""


def commands(study: Study) -> tuple[str, ...]:
    """``cxr predict`` and ``cxr evaluate``; empty where the evaluation does not say what it was asked for."""
    options = study.evaluation.provenance.options
    if options is None:
        return ()
    made = (_predict(study.evaluation),) if study.evaluation.model is not None else ()
    return (*made, _evaluate(study, options))


def _name(path: str | None, otherwise: str) -> str:
    name = name_of(path) if path else ""
    return plain(name) if name not in ("", "..") else otherwise


def name_of(path: str) -> str:
    """The name of a file without the way to it, however the system that wrote it separates folders."""
    return PurePosixPath(path.replace("\\", "/")).name


def _predict(evaluation: Evaluation) -> str:
    assert evaluation.model is not None
    made, source = evaluation.model.prediction, evaluation.provenance
    words = ["cxr", "predict", *(_name(name, "MANIFEST") for name in made.inputs or ("MANIFEST",)), "--model", "MODEL"]
    split = _only_split(evaluation)
    words += ["--split", plain(split)] if split else []
    for option, value in (("--backend", made.backend), ("--device", made.device), ("--precision", made.precision)):
        words += [option, plain(value)] if value else []
    words += ["--heatmaps"] if made.heatmaps else []
    return shlex.join([*words, "--out", _name(source.predictions_folder, "PREDICTIONS")])


def _only_split(evaluation: Evaluation) -> str | None:
    """The split of which every film, and no other film, was scored."""
    groups = evaluation.films.by_split or ()
    scored = [group.name for group in groups if group.received]
    whole = evaluation.films.in_predictions == evaluation.films.in_manifest
    return scored[0] if whole and len(scored) == 1 and scored[0] in SPLITS else None


def _evaluate(study: Study, options: Choices) -> str:
    evaluation = study.evaluation
    source = evaluation.provenance
    foreign = evaluation.system == "another system"
    table = source.predictions_file if foreign else source.predictions_folder
    words = ["cxr", "evaluate", _name(table, "PREDICTIONS"), "--manifest", _name(source.manifest_file, "MANIFEST")]
    if foreign:
        words += ["--id", plain(options.id_column or "ID")]
    words += _many("--score", options.scores)
    words += _many("--threshold", {finding: repr(value) for finding, value in options.thresholds.items()})
    words += _many("--show-threshold", options.a_posteriori)
    for option, text in _asked(options):
        words += [option, text] if text is not None else []
    for name in options.subgroups or ():
        words += ["--subgroup", plain(name)]
    for name in options.show_films:
        words += ["--show-films", plain(name)]
    words += ["--attributes", "ATTRIBUTES"] if options.attributes is not None else []
    words += ["--marks", _name(options.marks, "MARKS")] if options.marks is not None else []
    words += ["--scenario", "SCENARIO"] if _has_scenario(study) else []
    return shlex.join([*words, "--out", plain(study.folder.resolve().name)])


def _many(option: str, values: dict[str, str]) -> list[str]:
    return [part for name, value in values.items() for part in (option, f"{plain(name)}={plain(value)}")]


def _asked(options: Choices) -> tuple[tuple[str, str | None], ...]:
    """Options of one value, as the command takes them; None is left out."""
    between = options.prevalence_interval
    margin = None if options.reference_sensitivity is None else repr(options.margin)
    return (
        ("--split", None if options.split is None else plain(options.split)),
        ("--operating-points", None if options.package is None else plain(options.package)),
        ("--prevalence", repr(options.prevalence)),
        ("--prevalence-interval", None if between is None else f"{between[0]!r},{between[1]!r}"),
        ("--costs", _costs(options)),
        ("--reference-sensitivity", _number(options.reference_sensitivity)),
        ("--margin", margin),
        ("--min-group", str(options.min_group)),
        ("--hit", plain(options.hit) if options.marks is not None else None),
        ("--interval", plain(options.interval)),
        ("--replicates", str(options.replicates)),
        ("--level", repr(options.level)),
        ("--seed", str(options.seed)),
    )


def _number(value: float | None) -> str | None:
    return None if value is None else repr(value)


def _costs(options: Choices) -> str | None:
    if options.cost_cxr is None or options.cost_xpert is None:
        return None
    text = f"cxr={options.cost_cxr!r},xpert={options.cost_xpert!r}"
    text += f",other={options.cost_other!r}" if options.cost_other else ""
    return text + (f",currency={plain(options.currency)}" if options.currency else "")


def _has_scenario(study: Study) -> bool:
    """Whether the reading room was another than the one that stands in where none is named."""
    if study.reading_time is None:
        return False
    return study.reading_time.scenario != Proxies(prevalence=study.evaluation.local_prevalence).scenario()
