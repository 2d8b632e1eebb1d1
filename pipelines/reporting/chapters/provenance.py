"""Where everything comes from: model card, files, settings, methods, and the commands that make it again."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.background import Choices
from pipelines.evaluation.records import Provenance
from pipelines.reporting.book import Book, Study
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.claim_answer import link, names, versions
from pipelines.reporting.chapters.commands import commands
from pipelines.reporting.chapters.methods_used import methods_table
from pipelines.reporting.chapters.model_card import (
    Fact,
    card_table,
    code,
    facts_table,
    points_table,
    prediction_table,
    training_table,
)
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Table
from pipelines.reporting.texts import plain


@dataclass(frozen=True)
class Origin:
    """What the chapter says of one evaluation."""

    study: Study
    card: Table | None
    training: Table | None
    run: Table | None
    points: Table | None
    files: Table
    options: Table | None
    methods: Table
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    views: Markup

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those there are, in the order of the chapter."""
        found = (self.card, self.training, self.run, self.points, self.files, self.options, self.methods)
        return tuple(table for table in found if table is not None)


def chapter(book: Book, words: Words) -> Chapter:
    """The chapter of all evaluations."""
    origins = tuple(_origin(study, words) for study in book.studies)
    return Chapter(
        key="provenance",
        title=words("Model card and provenance"),
        body=words.render(
            "provenance.html.j2",
            origins=origins,
            several=book.several,
            command=book.command and plain(book.command, 1000),
            link=lambda chapter, text: link(words, chapter, text),
        ),
        tables=tuple(table for origin in origins for table in origin.tables),
    )


def _origin(study: Study, words: Words) -> Origin:
    evaluation = study.evaluation
    source, key = evaluation.provenance, f"provenance-s{study.place}"
    files = facts_table(f"{key}-files", words("Files and versions"), _files(study, source, words), words)
    assert files is not None, "versions of the software are always there"
    options = None
    if source.options is not None:
        options = facts_table(
            f"{key}-options", words("What was asked for"), _options(source.options, words), words, folded=True
        )
    notes = [*evaluation.notes, *(note for each in study.tested for note in each.result.notes)]
    return Origin(
        study=study,
        card=card_table(study, words),
        training=training_table(study, words),
        run=prediction_table(study, words),
        points=points_table(study, words),
        files=files,
        options=options,
        methods=methods_table(study, words),
        commands=commands(study),
        notes=tuple(dict.fromkeys(notes)),
        views=names(words, (evaluation.model.views if evaluation.model is not None else None) or ()),
    )


def _files(study: Study, source: Provenance, words: Words) -> Iterator[Fact]:
    known = (
        ("model_name", words("Model"), source.model_name),
        ("model_id", words("Model id"), source.model_id),
        ("predictions_digest", words("Predictions, SHA-256 of the file"), source.predictions_digest),
        ("manifest_digest", words("Manifest, digest of its rows"), source.manifest_digest),
        ("predicted_manifest_digest", words("Manifest the scores were made from"), source.predicted_manifest_digest),
        ("predictions_code_version", words("Code version of the scores"), source.predictions_code_version),
        ("predictions_file", words("Predictions, from the evaluation folder"), source.predictions_file),
        ("manifest_file", words("Manifest, from the evaluation folder"), source.manifest_file),
    )
    for name, head, text in known:
        if text is not None:
            yield name, head, code(plain(text, 200))
    for each in study.tested:
        score = words.recorded(each.result.score)
        text = words("{score}; label: {label}", score=score, label=words.recorded(each.result.reference))
        yield f"score_{each.result.finding}", words("Score of {finding}", finding=words.finding(each)), text
    yield "schema", words("Schema of the file"), code(study.evaluation.schema_)
    yield "versions", words("Libraries of the evaluation"), versions(words, source.versions)


def _options(options: Choices, words: Words) -> Iterator[Fact]:
    yield "interval", words("Intervals"), words.foreign(options.interval, 40)
    yield "level", words("Level"), words.value(options, "level", form="significant", digits=4)
    yield "replicates", words("Replicates of a bootstrap"), words.count(options, "replicates")
    yield "seed", words("Seed"), words.count(options, "seed")
    yield "prevalence", words("Prevalence named"), words.value(options, "prevalence", form="significant", digits=4)
    if options.prevalence_interval is not None:
        low = words.value(options, "prevalence_interval", 0, form="significant", digits=4)
        high = words.value(options, "prevalence_interval", 1, form="significant", digits=4)
        yield "prevalence_interval", words("Its interval"), words("{low} to {high}", low=low, high=high)
    for name, head in (
        ("cost_cxr", words("Cost of a film")),
        ("cost_xpert", words("Cost of a confirmatory test")),
        ("cost_other", words("Other cost of a person")),
        ("reference_sensitivity", words("Sensitivity to compare with")),
    ):
        if getattr(options, name) is not None:
            yield name, head, words.value(options, name, form="significant", digits=4)
    if options.reference_sensitivity is not None:
        yield "margin", words("Margin"), words.value(options, "margin", form="significant", digits=4)
    yield "min_group", words("Films of a class that a group must have"), words.count(options, "min_group")
    yield from _chosen(options, words)


def _chosen(options: Choices, words: Words) -> Iterator[Fact]:
    split = words("every film") if options.split is None else words.foreign(options.split, 40)
    yield "split", words("Split"), split
    if options.subgroups is not None:
        yield "subgroups", words("Subgroups"), names(words, options.subgroups)
    if options.attributes:
        yield "attributes", words("Columns of the user's own"), names(words, options.attributes)
    if options.marks is not None:
        yield "marks", words("Marks of another system"), words.foreign(options.marks)
    yield "hit", words("When a mark hits"), words.recorded(options.hit)
    if options.package is not None:
        yield "package", words("Package of the thresholds"), words.foreign(options.package)
    for finding in options.thresholds:
        value = words.value(options, "thresholds", finding, form="significant", digits=4)
        yield f"threshold_{finding}", words("Threshold named for {finding}", finding=words.foreign(finding, 60)), value
    for finding, rule in options.a_posteriori.items():
        head = words("Threshold shown for {finding}", finding=words.foreign(finding, 60))
        yield f"a_posteriori_{finding}", head, Markup("<code>{}</code>").format(plain(rule))
