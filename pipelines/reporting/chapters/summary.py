"""One screen: what was tested on whom, the numbers that matter, the target profile, and what must not be missed."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.control import controls_of, strongest_control
from pipelines.evaluation.records import Cohort, ControlResult, FindingResult, OperatingResult
from pipelines.reporting.book import Book, Study, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.flow import known_name
from pipelines.reporting.chapters.warnings_of import CONTROL_NAMES, may_be_the_pictures, warnings_of
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.statistics.estimates import Estimate

MOST_CARDS: Final = 4
"""More findings than these in an evaluation stand in a table: cards would not fit one screen."""
_NAMED: Final = 3
"""Data sets, sites and reference standards named; the flow of films has all."""
_VERDICTS: Final = {
    "met": message("met in these films"),
    "not_met": message("not met"),
    "not_shown": message("not shown"),
    "not_judged": message("not judged"),
}
_TUBERCULOSIS: Final = ("tb", "tuberculosis")


@dataclass(frozen=True)
class _Profile:
    verdict: str
    title: Markup
    text: Markup


@dataclass(frozen=True)
class _Card:
    part: Tested
    profile: _Profile
    doubted: bool
    """A control that sees no anatomy does nearly as well."""
    control: Markup | None
    """The strongest control, in words; None where there is none."""


@dataclass(frozen=True)
class _Block:
    """One evaluation."""

    study: Study
    facts: tuple[tuple[Markup, Markup], ...]
    warnings: tuple[Markup, ...]
    cards: tuple[_Card, ...]
    table: Table | None


def chapter(book: Book, words: Words) -> Chapter:
    """The first chapter."""
    blocks = tuple(_block(study, words) for study in book.studies)
    return Chapter(
        key="summary",
        title=words("In short"),
        body=words.render("summary.html.j2", blocks=blocks, several=book.several),
        tables=tuple(block.table for block in blocks if block.table is not None),
    )


def _block(study: Study, words: Words) -> _Block:
    few = len(study.tested) <= MOST_CARDS
    return _Block(
        study=study,
        facts=_facts(study, words),
        warnings=warnings_of(study, words),
        cards=tuple(_card(part, words) for part in study.tested) if few else (),
        table=None if few else _table(study, words),
    )


def _card(part: Tested, words: Words) -> _Card:
    control = strongest_control(controls_of(part.result))
    return _Card(part, profile_of(part, words), may_be_the_pictures(part.result), _control(control, part, words))


def _control(control: ControlResult | None, part: Tested, words: Words) -> Markup | None:
    """The strongest control, with its interval."""
    if control is None:
        return None
    values = {"value": words.number(control.auroc), "interval": words.interval(control.auroc)}
    if len(controls_of(part.result)) == 1:
        return words("control that sees no anatomy: {value} ({interval})", **values)
    name = words(CONTROL_NAMES[control.kind or "shape_free"])
    return words("strongest control that sees no anatomy ({name}): {value} ({interval})", name=name, **values)


# What was tested, on whom -----------------------------------------------------------------------------------------


def _facts(study: Study, words: Words) -> tuple[tuple[Markup, Markup], ...]:
    evaluation = study.evaluation
    cohort = evaluation.cohort
    return (
        (words("System"), _system(study, words)),
        (words("Films"), _films(study, words)),
        (words("Data sets"), _names(cohort, "datasets", words)),
        (words("Sites"), _names(cohort, "sites", words)),
        (words("Reference"), _names(cohort, "reference_standards", words)),
        (words("With the finding"), _prevalences(study, words)),
    )


def _system(study: Study, words: Words) -> Markup:
    evaluation = study.evaluation
    own = evaluation.system == "cxr-triage model"
    kind = words("a model of this project") if own else words("another system, by its saved scores")
    name = evaluation.provenance.model_name
    return kind if name is None else words("{name}, {kind}", name=words.foreign(name, 60), kind=kind)


def _films(study: Study, words: Words) -> Markup:
    films = study.evaluation.films
    count = words.films(films, "joined")
    if films.patients is None:
        return words("{films}; the patient is not known for every film", films=count)
    patients = words.plural("{n} patient", "{n} patients", films.patients, n=words.count(films, "patients"))
    return words("{films} of {patients}", films=count, patients=patients)


def _names(cohort: Cohort, field: str, words: Words) -> Markup:
    counts: dict[str, int] = getattr(cohort, field)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    shown: list[str | Markup] = [
        words("{name} ({n})", name=known_name(field, name, words), n=words.count(cohort, field, name))
        for name in order[:_NAMED]
    ]
    more = len(order) - _NAMED
    if more > 0:
        shown.append(words("others"))
    return words.language.listing(shown) if shown else words("not known")


def _prevalences(study: Study, words: Words) -> Markup:
    shown: list[str | Markup] = [
        words(
            "{finding}: {positives} of {n} films ({share})",
            finding=words.finding(part),
            positives=words.count(part.result, "positives"),
            n=words.count(part.result, "n"),
            share=words.percent(part.result.prevalence),
        )
        for part in study.tested[:MOST_CARDS]
    ]
    if len(study.tested) > MOST_CARDS:
        shown.append(words("others"))
    return words.language.listing(shown) if shown else words("no finding was evaluated")


# The target profile -----------------------------------------------------------------------------------------------


def profile_of(part: Tested, words: Words) -> _Profile:
    """WHO's target profile of a triage test: met, not met, or not shown, with the reason."""
    result, point = part.result, part.result.operating_point
    if point is None:
        why = words("No threshold was locked or given, so the profile cannot be judged.")
        return _Profile("not_judged", words("WHO triage profile: not judged"), why)
    titles = {
        "met": words("WHO triage profile: met in these films"),
        "not_met": words("WHO triage profile: not met"),
        "not_shown": words("WHO triage profile: not shown"),
    }
    text = _reason(point, words)
    if part.study.evaluation.cohort.reference_standards.get("synthetic"):
        remark = words("Synthetic films say nothing about patients.")
        text = Markup("{} {}").format(text, remark)
    if not is_tuberculosis(result):
        remark = words("The profile is made for tuberculosis; for this finding it is only a yardstick.")
        text = Markup("{} {}").format(text, remark)
    return _Profile(point.who.verdict, titles[point.who.verdict], text)


def is_tuberculosis(result: FindingResult) -> bool:
    """Whether the profile is made for this finding."""
    return result.finding.casefold() in _TUBERCULOSIS


def _reason(point: OperatingResult, words: Words) -> Markup:
    who = point.who
    values = {
        "sensitivity": words.value(who, "target_sensitivity", form="percent"),
        "specificity": words.value(who, "target_specificity", form="percent"),
    }
    if who.verdict == "met":
        return words(
            "Both intervals lie at or above the minimum: sensitivity {sensitivity}, specificity {specificity}.",
            **values,
        )
    if who.verdict == "not_met":
        return _missed_target(point, values, words)
    if who.sensitivity.value is None or who.specificity.value is None:
        return words("These films do not give both sensitivity and specificity.")
    return words(
        "These films do not decide it: the minimum is sensitivity {sensitivity} and specificity {specificity}, and an "
        "interval reaches below it.",
        **values,
    )


def _missed_target(point: OperatingResult, values: dict[str, Markup], words: Words) -> Markup:
    who = point.who
    low = [_below(rate, target) for rate, target in _pairs(point)]
    if all(low):
        return words(
            "Both intervals lie wholly below the minimum: sensitivity {sensitivity}, specificity {specificity}.",
            **values,
        )
    if low[0]:
        return words(
            "The interval of the sensitivity lies wholly below the minimum of {target}.", target=values["sensitivity"]
        )
    assert low[1], who.verdict
    return words(
        "The interval of the specificity lies wholly below the minimum of {target}.", target=values["specificity"]
    )


def _pairs(point: OperatingResult) -> tuple[tuple[Estimate, float], ...]:
    who = point.who
    return (who.sensitivity, who.target_sensitivity), (who.specificity, who.target_specificity)


def _below(rate: Estimate, target: float) -> bool:
    return rate.high is not None and rate.high < target


# Many findings ----------------------------------------------------------------------------------------------------


def _table(study: Study, words: Words) -> Table:
    columns = (
        Column("finding", words("Finding")),
        Column("positives", words("Films with it"), "right"),
        Column("sensitivity", words("Sensitivity")),
        Column("specificity", words("Specificity")),
        Column("auroc", words("AUROC")),
        Column("control", words("AUROC without anatomy")),
        Column("who", words("WHO triage profile")),
    )
    rows = tuple(_table_row(part, words) for part in study.tested)
    note = words(
        "Without anatomy: the strongest control that sees nothing of the lungs, on the same films. The WHO "
        "triage profile is made for tuberculosis; for other findings it is only a yardstick."
    )
    return Table(f"summary-s{study.place}", words("The numbers that matter, by finding"), columns, rows, note)


def _table_row(part: Tested, words: Words) -> tuple[Cell, ...]:
    result, point = part.result, part.result.operating_point
    control = strongest_control(controls_of(result))
    dash = words.text_cell(words("no threshold"))
    verdict = "not_judged" if point is None else point.who.verdict
    return (
        words.text_cell(words.finding(part)),
        words.count_cell(result, "positives"),
        dash if point is None else words.percent_cell(point.sensitivity),
        dash if point is None else words.percent_cell(point.specificity),
        words.number_cell(result.auroc),
        words.text_cell(words("not made")) if control is None else words.number_cell(control.auroc),
        Cell(words(_VERDICTS[verdict]), verdict),
    )
