"""What stands between these numbers and a decision: shortcuts, other cohorts, leakage, labels, terms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.background import DataSetFacts, Leakage, Overlap
from pipelines.evaluation.control import STRONG_CONTROL, controls_of
from pipelines.evaluation.records import ControlResult
from pipelines.reporting.book import Book, Study, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.trust_matrix import Matrix, matrices, place_of
from pipelines.reporting.chapters.warnings_of import CONTROL_NAMES, gravest_control, may_be_the_pictures
from pipelines.reporting.charts.control import control_figure
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Column, Table

HIGH: Final = 0.8
"""From this AUROC on a system looks good, so that a control near it is a warning."""

STANDARDS: Final = {
    "microbiology": message("A laboratory found the germ or did not: the strongest reference for tuberculosis."),
    "ct": message("Computed tomography shows what a film can hide: the strongest reference for nodules."),
    "radiologist": message(
        "Physicians read the same films. The system is measured against human reading: what the readers missed counts "
        "as absent."
    ),
    "report": message(
        "Taken from radiology reports, often by a program: wrong in a share of films, so agreement with reports is "
        "measured, not disease."
    ),
    "synthetic": message("Drawn by a program: the truth is known, but says nothing about patients."),
    "unknown": message("Nobody noted where the truth comes from: do not rely on it."),
}
STANDARD_NAMES: Final = {
    "microbiology": message("Laboratory (microbiology)"),
    "ct": message("Computed tomography"),
    "radiologist": message("Reading by physicians"),
    "report": message("Radiology reports"),
    "synthetic": message("Synthetic films"),
    "unknown": message("Not known"),
}
PLACES: Final = {
    "home": message(
        "The system was trained on films of the same data sets: it is at home here. A system at home has seen the same "
        "machines and the same habits of labelling, and its results there say little about elsewhere."
    ),
    "partly": message(
        "Some of these films come from data sets that the system was trained on: there it is at home, and results at "
        "home say little about elsewhere."
    ),
    "away": message(
        "The system was not trained on films of these data sets. That is a stronger test than one at home, but one "
        "cohort away says nothing about the next."
    ),
    "unknown": message(
        "Which films the system was trained on is not recorded. If they came from the same place as these, the results "
        "say little about elsewhere."
    ),
}
TRAINED: Final = {
    "the same": message("The model was trained on the training films of this manifest, so this check applies to it."),
    "others": message(
        "The model was trained on other films than this manifest's training films, so this comparison does not tell "
        "what the model has met."
    ),
    "not said": message(
        "Nothing says whether the model was trained on this manifest's training films, so this comparison may not tell "
        "what the model has met."
    ),
}


@dataclass(frozen=True)
class Seen:
    """Whether the system may have met the films of one evaluation before."""

    verdict: Markup
    warn: bool
    table: Table | None
    notes: tuple[Markup, ...]


@dataclass(frozen=True)
class Origins:
    """One evaluation as the template prints it."""

    study: Study
    place: Markup
    seen: Seen
    data_sets: Table | None
    standards: Table
    labels: tuple[tuple[Markup, Markup], ...]
    """Finding, and where its label comes from."""
    notes: tuple[Markup, ...]


def chapter(book: Book, words: Words) -> Chapter:
    """The control, the cohorts, the leakage check, the origin of films and labels, and what to know."""
    grids: tuple[Matrix, ...] = matrices(book.tested, words)
    controls = _controls(book, words)
    doubted = [part for part in book.tested if may_be_the_pictures(part.result)]
    origins = [_origins(study, words) for study in book.studies]
    return Chapter(
        key="trust",
        title=words("How far can these numbers be trusted?"),
        body=words.render(
            "trust.html.j2",
            figure=control_figure(book.tested, words) if book.tested else None,
            controls=controls,
            doubts=tuple((words.heading(part), doubt_of(part, words)) for part in doubted),
            described=_described(book),
            control_name=lambda control: words(CONTROL_NAMES[control.kind or "shape_free"]),
            uncontrolled=[part for part in book.tested if part.result.control is None],
            matrices=grids,
            several=book.several,
            origins=origins,
        ),
        tables=(
            controls,
            *(grid.table for grid in grids),
            *(table for each in origins for table in (each.seen.table, each.data_sets, each.standards) if table),
        ),
    )


def _controls(book: Book, words: Words) -> Table:
    return Table(
        key="control",
        title=words("AUROC of the system and of controls that see no anatomy, on the same films."),
        columns=(
            Column("finding", words("Finding")),
            Column("n", words("Films"), "right"),
            Column("system", words("System")),
            Column("sees", words("What the control sees")),
            Column("control", words("Control")),
            Column("difference", words("System minus control")),
            Column("verdict", words("What it means")),
        ),
        rows=tuple(row for part in book.tested for row in _control_rows(part, words)),
    )


def _described(book: Book) -> tuple[ControlResult, ...]:
    """Every kind of control in the book, once."""
    found = {control.kind: control for part in reversed(book.tested) for control in controls_of(part.result)}
    return tuple(found[kind] for kind in (None, *CONTROL_NAMES) if kind in found)


def _control_rows(part: Tested, words: Words) -> Iterator[tuple[Cell, ...]]:
    result = part.result
    head = (
        words.text_cell(words.heading(part)),
        words.count_cell(result, "n"),
        words.number_cell(result.auroc),
    )
    controls = controls_of(result)
    if not controls:
        nothing = (Cell(NO_VALUE), Cell(NO_VALUE), Cell(NO_VALUE))
        yield (*head, *nothing, words.text_cell(words("There is no control to compare with.")))
    for control in controls:
        yield (
            *head,
            words.text_cell(words(CONTROL_NAMES[control.kind or "shape_free"])),
            words.number_cell(control.auroc),
            words.number_cell(control.difference),
            words.text_cell(meaning_of(control, part, words)),
        )


def meaning_of(control: ControlResult, part: Tested, words: Words) -> Markup:
    """What one control means for the system's AUROC."""
    return verdict(part, words) if control.kind in (None, "shape_free") else words.recorded(control.verdict)


def doubt_of(part: Tested, words: Words) -> Markup:
    """What the gravest control means, of a part whose AUROC `may_be_the_pictures`."""
    control = gravest_control(part.result)
    assert control is not None  # only parts with one are doubted
    return meaning_of(control, part, words)


def verdict(part: Tested, words: Words) -> Markup:
    """What the control means for the system's AUROC."""
    control, system = part.result.control, part.result.auroc
    if control is None or system.value is None or control.auroc.value is None or control.difference.value is None:
        return words("There is no AUROC to compare with.")
    if not control.near:
        return words("The system is clearly better than picture statistics that see no anatomy.")
    if control.auroc.value >= STRONG_CONTROL:
        return words(
            "Warning: picture statistics that see no anatomy nearly solve this task by themselves. The system's AUROC "
            "may come from where the pictures come from, not from disease."
        )
    if system.value >= HIGH:
        return words(
            "Warning: picture statistics that see no anatomy come near the system. Its AUROC may come from where the "
            "pictures come from, not from disease."
        )
    if control.difference.low is not None and control.difference.low <= 0:
        return words("The system is not shown to be better than picture statistics that see no anatomy.")
    return words("The system is hardly better than picture statistics that see no anatomy.")


def _origins(study: Study, words: Words) -> Origins:
    evaluation = study.evaluation
    notes = [*evaluation.notes, *(note for result in evaluation.findings for note in result.notes)]
    return Origins(
        study=study,
        place=words(PLACES[place_of(study)]),
        seen=_seen(study, words),
        data_sets=_data_sets(study, words) if evaluation.data_sets else None,
        standards=_standards(study, words),
        labels=tuple((words.finding(part), words.recorded(part.result.reference)) for part in study.tested),
        notes=tuple(words.recorded(note) for note in dict.fromkeys(notes)),
    )


def _seen(study: Study, words: Words) -> Seen:
    found = study.evaluation.leakage
    if found is None:
        said = words("Not recorded: the evaluation was made by a version that did not look.")
        return Seen(said, warn=False, table=None, notes=())
    own = found.in_train + found.in_val
    notes = [words(TRAINED[found.training_films])] if found.against or own else []
    if own:
        said = words(
            "Of {films} evaluated, {train} are training films of this manifest and {val} are validation films: where a "
            "model has learned from them, its numbers are too good.",
            train=words.count(found, "in_train"),
            val=words.count(found, "in_val"),
            films=words.films(found, "films"),
        )
    elif found.why_not is None:
        said = _compared(found, words)
    else:
        said = words("Nothing was compared: {why}.", why=words.recorded(found.why_not))
    table = None if found.why_not is not None else _leakage(study, found, words)
    return Seen(said, warn=bool(own or _shared(found)), table=table, notes=tuple(notes))


def _shared(found: Leakage) -> int:
    return max(found.patients.shared, found.files.shared, found.pictures.shared)


def _compared(found: Leakage, words: Words) -> Markup:
    if _shared(found):
        return words(
            "Some films evaluated have a counterpart among the training and validation films: the numbers may be too "
            "good."
        )
    if not any(part.known and part.known_against for part in (found.patients, found.files, found.pictures)):
        return words("Nothing could be looked up: the films name no patients and have no file or picture digests.")
    return words("Among the films that could be looked up, none has a counterpart in training or validation.")


def _leakage(study: Study, found: Leakage, words: Words) -> Table:
    kinds: tuple[tuple[Markup, Overlap], ...] = (
        (words("The same patient"), found.patients),
        (words("The very same file"), found.files),
        (words("The same picture"), found.pictures),
        (words("Look-alikes, not certain"), found.look_alikes),
    )
    return Table(
        key=f"leakage-s{study.place}",
        title=words(
            "{films} evaluated, beside {against} training and validation films.",
            films=words.films(found, "films"),
            against=words.count(found, "against"),
        ),
        columns=(
            Column("kind", words("What is shared")),
            Column("known", words("Films looked up"), "right"),
            Column("known_against", words("Training and validation films looked up"), "right"),
            Column("shared", words("Films evaluated with a counterpart"), "right"),
        ),
        rows=tuple(
            (words.text_cell(name), *(words.count_cell(part, field) for field in ("known", "known_against", "shared")))
            for name, part in kinds
        ),
    )


def _data_sets(study: Study, words: Words) -> Table:
    return Table(
        key=f"datasets-s{study.place}",
        title=words("The data sets of the films evaluated, their terms, and how their labels were made."),
        columns=(
            Column("data_set", words("Data set")),
            Column("films", words("Films"), "right"),
            Column("licence", words("Terms of use")),
            Column("labels", words("How labels were made")),
            Column("shown", words("Films may be shown")),
            Column("citation", words("Source")),
        ),
        rows=tuple(_data_set(facts, words) for facts in study.evaluation.data_sets or ()),
    )


def _data_set(facts: DataSetFacts, words: Words) -> tuple[Cell, ...]:
    may = {True: words("yes"), False: words("no"), None: words("not known")}[facts.films_may_be_shown]
    name = words.foreign(facts.name, 60)
    if facts.title:
        name = Markup('{}<span class="ci">{}</span>').format(name, words.recorded(facts.title, 160))
    source = words.recorded(facts.citation)
    if facts.url and facts.url.startswith("https://"):
        source = Markup('{} <a href="{}">{}</a>').format(source, facts.url, words.foreign(facts.url, 60))
    return (
        words.text_cell(name),
        words.count_cell(facts, "films"),
        words.text_cell(words.recorded(facts.licence) if facts.licence else words("not known")),
        words.text_cell(words.recorded(facts.labels) if facts.labels else words("not known")),
        words.text_cell(may),
        words.text_cell(source if source else words("not known")),
    )


def _standards(study: Study, words: Words) -> Table:
    cohort = study.evaluation.cohort
    rows = []
    for name in cohort.reference_standards:
        known = name in STANDARDS
        rows.append(
            (
                words.text_cell(words(STANDARD_NAMES[name]) if known else words.foreign(name, 60)),
                words.count_cell(cohort, "reference_standards", name),
                words.text_cell(words(STANDARDS[name]) if known else words("Not one of the kinds this project knows.")),
            )
        )
    return Table(
        key=f"standards-s{study.place}",
        title=words("Where the truth comes from, for {films}.", films=words.films(study.evaluation.films, "joined")),
        columns=(
            Column("standard", words("Reference standard")),
            Column("films", words("Films"), "right"),
            Column("worth", words("What it is worth")),
        ),
        rows=tuple(rows),
    )
