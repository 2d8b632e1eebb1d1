"""The model card: what the record says of the model that made the scores."""

from collections.abc import Iterator

from markupsafe import Markup

from pipelines.evaluation.background import CohortFacts, ModelFacts, PredictionFacts, TrainingFacts
from pipelines.evaluation.records import OperatingResult
from pipelines.findings import FINDING_NAMES
from pipelines.reporting.book import Study, Tested
from pipelines.reporting.chapters.claim_answer import names, versions
from pipelines.reporting.chapters.provenance_of_threshold import purpose_of, rule_of, source_of
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import plain

Fact = tuple[str, Markup, Markup]
"""A stable name, what it is, and the fact."""


def facts_table(key: str, title: Markup, facts: Iterator[Fact], words: Words, *, folded: bool = False) -> Table | None:
    """Facts as a table of two columns; None where there are none."""
    rows = tuple((words.text_cell(head), words.text_cell(fact)) for _, head, fact in facts)
    columns = (Column("fact", words("What")), Column("value", words("In the record")))
    return Table(key, title, columns, rows, folded=folded) if rows else None


def card_table(study: Study, words: Words) -> Table | None:
    """The facts of the model; None where the evaluation has none."""
    model = study.evaluation.model
    if model is None:
        return None
    return facts_table(f"provenance-s{study.place}-card", words("What the model is"), _facts(model, words), words)


def training_table(study: Study, words: Words) -> Table | None:
    """How it was trained; None where the evaluation does not say."""
    model = study.evaluation.model
    if model is None:
        return None
    facts = _training(model.training, words)
    return facts_table(f"provenance-s{study.place}-training", words("How it was trained"), facts, words, folded=True)


def prediction_table(study: Study, words: Words) -> Table | None:
    """How the scores were made; None where the evaluation does not say."""
    model = study.evaluation.model
    if model is None:
        return None
    facts = _prediction(model.prediction, words)
    return facts_table(f"provenance-s{study.place}-run", words("How the scores were made"), facts, words, folded=True)


def _facts(model: ModelFacts, words: Words) -> Iterator[Fact]:
    if model.name is not None:
        yield "name", words("Name"), words.foreign(model.name)
    yield "model_id", words("Model id"), code(model.model_id)
    if model.findings:
        shown = [words.recorded(FINDING_NAMES.get(name, name), 60) for name in model.findings]
        yield "findings", words("Findings"), words.language.listing(shown)
    if model.architecture is not None:
        yield "architecture", words("Network"), words.foreign(model.architecture)
    if model.input_size is not None:
        side = words.count(model, "input_size")
        yield "input_size", words("Input"), words("a square of {side} × {side} pixels", side=side)
    if model.channels is not None:
        yield "channels", words("Channels"), words.count(model, "channels")
    if model.intensity_range is not None:
        low = words.value(model, "intensity_range", 0, form="significant", digits=3)
        high = words.value(model, "intensity_range", 1, form="significant", digits=3)
        yield "intensity_range", words("Values"), words("{low} to {high}; dense tissue is bright", low=low, high=high)
    if model.placement is not None:
        yield "placement", words("How a film is fitted in"), words.recorded(model.placement)
    if model.map_stride is not None:
        cell = words.count(model, "map_stride")
        yield "map_stride", words("Map"), words("one cell for {cell} × {cell} pixels of the input", cell=cell)
    if model.calibration:
        yield "calibration", words("Calibration"), _calibration(model, words)
    if model.checks_typicality is not None:
        refused = words("refused") if model.checks_typicality else words("not refused: the model does not check")
        yield "typicality", words("Films unlike its training films"), refused


def _calibration(model: ModelFacts, words: Words) -> Markup:
    return words.language.listing(
        [
            words(
                "{finding}: temperature {temperature}, offset {offset}",
                finding=words.recorded(FINDING_NAMES.get(each.finding, each.finding), 60),
                temperature=words.value(each, "temperature", form="decimal", digits=3),
                offset=words.value(each, "offset", form="decimal", digits=3),
            )
            for each in model.calibration or ()
        ]
    )


def _training(steps: TrainingFacts, words: Words) -> Iterator[Fact]:
    if steps.train is not None:
        yield "train", words("Training films"), _cohort(steps.train, words)
    if steps.val is not None:
        yield "val", words("Films that chose weights and thresholds"), _cohort(steps.val, words)
    numbers = (
        ("epochs", words("Epochs, at most"), 0),
        ("best_epoch", words("Best epoch"), 0),
        ("batch_size", words("Films a step"), 0),
        ("seed", words("Seed"), 0),
        ("learning_rate", words("Learning rate"), 3),
        ("weight_decay", words("Weight decay"), 3),
    )
    for name, head, digits in numbers:
        if getattr(steps, name) is not None:
            form = "significant" if digits else "integer"
            yield name, head, words.value(steps, name, form=form, digits=digits)  # type: ignore[arg-type]
    if steps.monitor is not None:
        yield "monitor", words("Measure that chose the epoch"), words.foreign(steps.monitor, 60)
    if steps.augmentation is not None:
        shown = [
            Markup("{} {}").format(
                words.foreign(name.replace("_", " "), 40),
                words.value(steps, "augmentation", name, form="significant", digits=3),
            )
            for name in steps.augmentation
        ]
        yield "augmentation", words("Augmentation"), words.language.listing(shown)
    if steps.code_version is not None:
        yield "code_version", words("Code version"), code(steps.code_version)
    if steps.mlflow_run_id is not None:
        yield "mlflow_run_id", words("MLflow run"), code(steps.mlflow_run_id)
    if steps.versions is not None:
        yield "versions", words("Libraries"), versions(words, steps.versions)


def _cohort(cohort: CohortFacts, words: Words) -> Markup:
    text = words("{films} of {names}.", films=words.films(cohort, "films"), names=names(words, sorted(cohort.datasets)))
    if cohort.patients is not None:
        patients = words.count(cohort, "patients")
        text += " " + words.plural("{n} patient.", "{n} patients.", cohort.patients, n=patients)
    if cohort.outside_use:
        left = words.films(cohort, "outside_use")
        text += " " + words("Left out, because the intended use does not cover them: {films}.", films=left)
    for each in cohort.labels:
        text += " " + words(
            "{finding}: {positive} with it, {negative} without, {unknown} not known.",
            finding=words.recorded(FINDING_NAMES.get(each.finding, each.finding), 60),
            positive=words.count(each, "positive"),
            negative=words.count(each, "negative"),
            unknown=words.count(each, "unknown"),
        )
    if cohort.manifest_digest is not None:
        text += " " + words("Digest of their rows: {digest}.", digest=code(cohort.manifest_digest))
    return text


def _prediction(made: PredictionFacts, words: Words) -> Iterator[Fact]:
    if made.day is not None:
        yield "day", words("Day"), _day(made.day, words)
    if made.backend is not None:
        yield "backend", words("Backend"), words.foreign(made.backend, 60)
    if made.device is not None:
        yield "device", words("Device"), words.foreign(made.device, 60)
    if made.precision is not None:
        yield "precision", words("Precision"), words.foreign(made.precision, 60)
    if made.processor is not None:
        yield "processor", words("Processor"), words.foreign(made.processor, 80)
    if made.gpu is not None:
        yield "gpu", words("Graphics processor"), words.foreign(made.gpu, 80)
    if made.code_version is not None:
        yield "code_version", words("Code version"), code(made.code_version)
    if made.versions is not None:
        yield "versions", words("Libraries"), versions(words, made.versions)


def _day(iso: str, words: Words) -> Markup:
    try:
        return words.foreign(words.language.day(iso))
    except ValueError:  # not a day: shown as it stands
        return words.foreign(iso, 40)


def points_table(study: Study, words: Words) -> Table | None:
    """The thresholds in use; None where there are none."""
    rows = tuple(_point(each, point, words) for each in study.tested for point in _points(each))
    if not rows:
        return None
    columns = (
        Column("finding", words("Finding")),
        Column("threshold", words("Threshold"), "right"),
        Column("purpose", words("Purpose")),
        Column("source", words("Source")),
        Column("rule", words("Rule, and where it was chosen")),
    )
    return Table(f"provenance-s{study.place}-points", words("Operating points"), columns, rows)


def _points(each: Tested) -> tuple[OperatingResult, ...]:
    first = (each.result.operating_point,) if each.result.operating_point is not None else ()
    return (*first, *each.result.other_points)


def _point(each: Tested, point: OperatingResult, words: Words) -> tuple[Cell, ...]:
    rule = words("not in the record")
    if point.locked is not None:
        rule = words(
            "{rule}, on {cohort}: {n} films, {positives} with the finding",
            rule=rule_of(point.locked, words),
            cohort=words.foreign(point.locked.cohort, 80),
            n=words.count(point.locked, "n"),
            positives=words.count(point.locked, "n_positive"),
        )
    return (
        words.text_cell(words.finding(each)),
        Cell(words.value(point, "threshold", form="significant", digits=4), point.threshold),
        words.text_cell(purpose_of(point, words)),
        words.text_cell(source_of(point, words)),
        words.text_cell(rule),
    )


def code(text: str) -> Markup:
    """An id or a digest, as it stands."""
    return Markup("<code>{}</code>").format(plain(text, 200))
