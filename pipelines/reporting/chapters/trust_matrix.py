"""Which system was tested on which cohort, and which cohort is a system's home."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from pipelines.reporting.book import Study, Tested
from pipelines.reporting.charts.matrix import MatrixCell, matrix_figure
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import sentence_case

Place = Literal["home", "partly", "away", "unknown"]
SystemKey = tuple[str, int]
CohortKey = tuple[tuple[str, ...], str | None, int]


@dataclass(frozen=True)
class Matrix:
    """One finding over systems and cohorts."""

    name: Markup
    figure: Markup
    table: Table


def place_of(study: Study) -> Place:
    """Whether the films evaluated come from data sets that the system was trained on, as its package says."""
    model = study.evaluation.model
    if model is None or model.training.train is None:
        return "unknown"
    learned = {*model.training.train.datasets, *(model.training.val.datasets if model.training.val else ())}
    met = learned & set(study.evaluation.cohort.datasets)
    if not met:
        return "away"
    return "home" if met == set(study.evaluation.cohort.datasets) else "partly"


def matrices(tested: Iterable[Tested], words: Words) -> tuple[Matrix, ...]:
    """A matrix for every finding that at least two evaluations share."""
    shared: dict[str, list[Tested]] = {}
    for part in tested:
        shared.setdefault(part.result.finding, []).append(part)
    found = [parts for parts in shared.values() if len(parts) > 1]
    return tuple(_matrix(place, parts, words) for place, parts in enumerate(found, 1))


def _matrix(place: int, parts: Sequence[Tested], words: Words) -> Matrix:
    cells = _arranged(parts)
    systems = list(dict.fromkeys(system for system, _ in cells))
    cohorts = list(dict.fromkeys(cohort for _, cohort in cells))
    rows = [_system(next(part for (key, _), part in cells.items() if key == system), words) for system in systems]
    heads = _heads([next(part for (_, key), part in cells.items() if key == cohort) for cohort in cohorts], words)
    placed = {(systems.index(system), cohorts.index(cohort)): part for (system, cohort), part in cells.items()}
    name = words.finding(parts[0])
    said = Markup(" ").join(_said(rows[row], heads[column], part, words) for (row, column), part in placed.items())
    drawn_cells = {
        where: MatrixCell(part.result.auroc, place_of(part.study) in ("home", "partly"))
        for where, part in placed.items()
    }
    table = Table(
        key=f"matrix-{place}",
        title=words("AUROC of each system on each cohort: {finding}.", finding=name),
        columns=(
            Column("system", words("System")),
            *(Column(f"cohort_{number}", head) for number, head in enumerate(heads, 1)),
        ),
        rows=tuple(
            (words.text_cell(head), *(_cell(placed.get((row, column)), words) for column in range(len(heads))))
            for row, head in enumerate(rows)
        ),
        note=_note(parts, words),
        folded=True,
    )
    heading = name if str(name).startswith("<") else Markup(sentence_case(str(name)))
    return Matrix(heading, matrix_figure(rows, heads, drawn_cells, words, alt=said), table)


def _note(parts: Sequence[Tested], words: Words) -> Markup:
    origins = [part.study.evaluation.provenance for part in parts]
    if all(origin.model_id or origin.model_name for origin in origins):
        return words("A cohort is a data set with the part of it that was tested.")
    return words(
        "A cohort is a data set with the part of it that was tested. Systems without a name are told apart by the "
        "column of their scores alone."
    )


def _arranged(parts: Sequence[Tested]) -> dict[tuple[SystemKey, CohortKey], Tested]:
    """Every evaluation in a cell of its own.

    Where two would share one, a system that has no name gets another row, as it may well be another system; the same
    system gets another column, as the films must be others.
    """
    cells: dict[tuple[SystemKey, CohortKey], Tested] = {}
    for part in parts:
        evaluation, origin = part.study.evaluation, part.study.evaluation.provenance
        named = origin.model_id or origin.model_name
        again = 0
        while True:
            system = (named or part.result.score, 0 if named else again)
            cohort = (tuple(sorted(evaluation.cohort.datasets)), evaluation.split, again if named else 0)
            if (system, cohort) not in cells:
                break
            again += 1
        cells[system, cohort] = part
    return cells


def _system(part: Tested, words: Words) -> Markup:
    origin = part.study.evaluation.provenance
    if origin.model_name and origin.model_id:
        return words("{name} ({id})", name=words.foreign(origin.model_name, 40), id=words.foreign(origin.model_id, 16))
    if origin.model_name or origin.model_id:
        return words.foreign(origin.model_name or origin.model_id, 40)
    return words("another system ({score})", score=words.recorded(part.result.score, 60))


def _heads(parts: Sequence[Tested], words: Words) -> list[Markup]:
    """Names of cohorts, with their evaluation where two have the same name."""
    names = [_cohort(part, words) for part in parts]
    return [
        words("{cohort} ({title})", cohort=name, title=words.foreign(part.study.evaluation.title, 40))
        if names.count(name) > 1
        else name
        for part, name in zip(parts, names, strict=True)
    ]


def _cohort(part: Tested, words: Words) -> Markup:
    evaluation = part.study.evaluation
    names = words.language.listing([words.foreign(name, 40) for name in sorted(evaluation.cohort.datasets)[:4]])
    if evaluation.split is None:
        return words("{datasets}, all splits", datasets=names)
    return words("{datasets}, split {split}", datasets=names, split=words.foreign(evaluation.split, 20))


def _cell(part: Tested | None, words: Words) -> Cell:
    if part is None:
        return words.text_cell(words("not tested"))
    auroc, found = part.result.auroc, place_of(part.study)
    shown = words.number_cell(auroc)
    where = {
        "home": words("at home"),
        "partly": words("partly at home"),
        "away": words("away"),
        "unknown": words("training films not recorded"),
    }[found]
    html = Markup('{}<span class="ci">{}</span><span class="ci">{}</span>').format(
        shown.html, words.films(part.result, "n"), where
    )
    return Cell(html, shown.value, shown.low, shown.high, shown.n)


def _said(system: Markup, cohort: Markup, part: Tested, words: Words) -> Markup:
    return words(
        "{system} on {cohort}: AUROC {auroc} ({interval}), {films}.",
        system=system,
        cohort=cohort,
        auroc=words.number(part.result.auroc),
        interval=words.interval(part.result.auroc),
        films=words.films(part.result, "n"),
    )
