"""Who it works for: accuracy in every group, which gaps these films show, and which they are too few to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.records import FindingResult
from pipelines.evaluation.subgroups.records import Gap, Metric, Spread, Subgroup, SubgroupColumn
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.charts.forest import METRICS, Row, Shown, forest_figure, panels
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.statistics.estimates import Estimate

COLUMNS: Final[Mapping[str, str]] = {
    "sex": message("Sex"),
    "age_years": message("Age in years"),
    "view": message("View"),
    "site": message("Site"),
    "dataset": message("Data set"),
    "manufacturer": message("Manufacturer of the machine"),
    "reference_standard": message("Reference standard"),
}
"""Names of the usual columns; others stand as the user wrote them."""
PLACES: Final = frozenset({"site", "dataset", "manufacturer", "machine", "device", "scanner", "model"})
"""Columns of places and machines: their tables also say how much work and how well calibrated a place would be."""
NAMES: Final[Mapping[str, Mapping[str, str]]] = {"sex": {"F": message("female"), "M": message("male")}}
VERDICTS: Final[Mapping[str, str]] = {
    "shown": message("gap shown"),
    "not shown": message("not shown"),
    "too few films": message("too few films"),
}
OTHER_METRICS: Final[Mapping[Metric, str]] = {
    "ppv": message("Positive predictive value"),
    "npv": message("Negative predictive value"),
    "flagged": message("Share flagged"),
    "observed_expected": message("Observed over expected"),
}
LONG: Final = 24
"""Rows from which a table of comparisons is folded."""


@dataclass(frozen=True)
class Part:
    """One column of one finding."""

    title: Markup
    figure: Markup | None
    groups: Table | None
    gaps: Table | None
    folded: bool
    reference: Markup
    notes: tuple[Markup, ...]
    single: Markup | None
    """The only group, where there is one."""


@dataclass(frozen=True)
class Section:
    """One finding."""

    part: Tested
    heading: Markup
    compared: tuple[Part, ...]
    alone: tuple[Part, ...]
    """Columns without two groups to compare."""
    shown: Table | None
    any_gaps: bool
    spreads: Table | None
    notes: tuple[Markup, ...]
    """Those of every column that is compared."""
    threshold: bool

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables in the order of the page."""
        inner = [table for one in self.compared for table in (one.groups, one.gaps)]
        return tuple(table for table in (self.shown, *inner, self.spreads) if table is not None)


def chapter(book: Book, words: Words) -> Chapter:
    """Every finding's accuracy by group."""
    sections = tuple(_section(part, words) for part in book.tested)
    body = words.render("subgroups.html.j2", sections=sections)
    tables = tuple(table for section in sections for table in section.tables)
    return Chapter("subgroups", words("Who it works for"), body, tables)


def _section(part: Tested, words: Words) -> Section:
    columns = part.result.subgroups
    noted = [column.notes for column in columns if _comparable(column)]
    common = [note for note in noted[0] if all(note in notes for notes in noted)] if len(noted) > 1 else []
    parts = [(column, _part(part, place, column, words, common)) for place, column in enumerate(columns, 1)]
    gaps = [(column, gap) for column in columns for gap in column.gaps]
    shown = [(column, gap) for column, gap in gaps if gap.verdict == "shown"]
    spreads = [(column, spread) for column in columns for spread in column.spreads if spread.metric in METRICS]
    return Section(
        part=part,
        heading=words.heading(part),
        compared=tuple(made for column, made in parts if _comparable(column)),
        alone=tuple(made for column, made in parts if not _comparable(column)),
        shown=_shown_table(part, shown, words) if shown else None,
        any_gaps=bool(gaps),
        spreads=_spread_table(part, spreads, words) if spreads else None,
        notes=tuple(words.recorded(note) for note in common),
        threshold=part.result.operating_point is not None,
    )


def _comparable(column: SubgroupColumn) -> bool:
    return sum(group.kind != "unknown" for group in column.groups) > 1


def _part(part: Tested, place: int, column: SubgroupColumn, words: Words, common: list[str]) -> Part:
    key = f"subgroups-{part.anchor}-c{place}"
    title, rows = _title(column, words), [Row(group, _label(column, group, words)) for group in column.groups]
    drawn = panels(column, _overall(part.result))
    gaps = [gap for gap in column.gaps if gap.metric in METRICS]
    comparable = _comparable(column)
    return Part(
        title=title,
        figure=forest_figure(title, rows, drawn, words) if comparable and drawn else None,
        groups=_groups_table(key, part, column, rows, words) if comparable else None,
        gaps=_gaps_table(f"{key}-gaps", title, column, gaps, words) if gaps else None,
        folded=len(gaps) >= LONG,
        reference=_against(column, column.reference, words),
        notes=tuple(words.recorded(note) for note in column.notes if note not in common),
        single=rows[0].label if len(rows) == 1 else None,
    )


def _overall(result: FindingResult) -> dict[Shown, Estimate | None]:
    point = result.operating_point
    return {
        "sensitivity": point.sensitivity if point else None,
        "specificity": point.specificity if point else None,
        "auroc": result.auroc,
    }


# Names -----------------------------------------------------------------------------------------------------------


def _title(column: SubgroupColumn, words: Words) -> Markup:
    return words(COLUMNS[column.column]) if column.column in COLUMNS else words.foreign(column.column, 60)


def _label(column: SubgroupColumn, group: Subgroup, words: Words) -> Markup:
    if group.kind == "unknown":
        return words("not known")
    return words.recorded(group.name) if group.kind == "others" else _named(column, group.name, words)


def _named(column: SubgroupColumn, name: str, words: Words) -> Markup:
    found = NAMES.get(column.column, {}).get(name)
    return words(found) if found else words.foreign(name)


def _against(column: SubgroupColumn, name: str, words: Words) -> Markup:
    """What a group is compared with: another group by its name, or a sentence of the evaluation."""
    for group in column.groups:
        if name in (group.name, f"the group {group.name}"):
            return _label(column, group, words)
    return words.recorded(name)


def _metric(name: Metric, words: Words) -> Markup:
    return words(METRICS[name] if name in METRICS else OTHER_METRICS[name])


# Tables ----------------------------------------------------------------------------------------------------------


def _columns(heads: dict[str, Markup]) -> tuple[Column, ...]:
    return tuple(Column(key, head) for key, head in heads.items())


def _groups_table(key: str, part: Tested, column: SubgroupColumn, rows: list[Row], words: Words) -> Table:
    """Every group with its counts; the first row is all films."""
    place = column.column in PLACES
    heads: dict[str, Markup] = {
        "group": words("group"),
        "films": words("Films"),
        "patients": words("Patients"),
        "positives": words("With the finding"),
    }
    heads |= {metric: _metric(metric, words) for metric in METRICS}
    if place:
        heads |= {name: _metric(name, words) for name in ("flagged", "observed_expected")}
    overall = _overall(part.result)
    first = (
        words.text_cell(words("all films")),
        *(words.count_cell(part.result, field) for field in ("n", "patients", "positives")),
        *(_estimate_cell(metric, overall[metric], words) for metric in METRICS),
        *((_estimate_cell("flagged", _flagged(part.result), words), Cell(NO_VALUE)) if place else ()),
    )
    body = tuple(
        (
            words.text_cell(row.label),
            *(words.count_cell(row.group, field) for field in ("n", "patients", "positives")),
            *(_estimate_cell(metric, row.group.metric(metric), words) for metric in METRICS),
            *(_estimate_cell(name, row.group.metric(name), words) for name in OTHER_METRICS if name in heads),
        )
        for row in rows
    )
    note = words("Observed over expected: above one, the scores are too low at that place; below one, too high.")
    return Table(
        key,
        words("{column}: accuracy in every group, with intervals", column=_title(column, words)),
        _columns(heads),
        (first, *body),
        note if place else None,
    )


def _flagged(result: FindingResult) -> Estimate | None:
    return result.operating_point.flagged if result.operating_point else None


def _estimate_cell(metric: Metric, estimate: Estimate | None, words: Words) -> Cell:
    if estimate is None:
        return Cell(NO_VALUE)
    if estimate.value is None:
        why = Markup('{}<span class="ci">{}</span>').format(words("too few films"), words.recorded(estimate.why))
        return Cell(why, None, n=estimate.n)
    return words.number_cell(estimate) if metric in ("auroc", "observed_expected") else words.percent_cell(estimate)


def _gaps_table(key: str, title: Markup, column: SubgroupColumn, gaps: list[Gap], words: Words) -> Table:
    heads = {"group": words("group"), "metric": words("Measure"), **_gap_heads(words)}
    rows = tuple(
        (
            words.text_cell(_against(column, gap.group, words)),
            words.text_cell(_metric(gap.metric, words)),
            *_gap_cells(column, gap, words),
        )
        for gap in gaps
    )
    return Table(key, words("{column}: each group against the others", column=title), _columns(heads), rows)


def _shown_table(part: Tested, gaps: list[tuple[SubgroupColumn, Gap]], words: Words) -> Table:
    heads = {"column": words("by"), "group": words("Group"), "metric": words("Measure"), **_gap_heads(words)}
    verdict = list(heads).index("verdict")  # the same in every row of this table
    rows = [
        (
            words.text_cell(_title(column, words)),
            words.text_cell(_against(column, gap.group, words)),
            words.text_cell(_metric(gap.metric, words)),
            *_gap_cells(column, gap, words),
        )
        for column, gap in gaps
    ]
    del heads["verdict"]
    title = words("Gaps that these films show, after allowing for all comparisons that were made")
    kept = tuple((*row[:verdict], *row[verdict + 1 :]) for row in rows)
    return Table(f"subgroups-{part.anchor}-shown", title, _columns(heads), kept)


def _gap_heads(words: Words) -> dict[str, Markup]:
    heads: dict[str, Markup] = {
        "value": words("In the group"),
        "against": words("Compared with"),
        "against_value": words("There"),
        "difference": words("Difference"),
        "p_adjusted": words("p, adjusted"),
        "verdict": words("Verdict"),
        "films_needed": words("Films of the group needed to show this gap"),
    }
    return heads


def _gap_cells(column: SubgroupColumn, gap: Gap, words: Words) -> tuple[Cell, ...]:
    return (
        _side_cell(gap, "group_value", words),
        words.text_cell(_against(column, gap.against, words)),
        _side_cell(gap, "against_value", words),
        _difference_cell(gap.metric, gap.difference, words),
        _p_cell(gap, words),
        Cell(
            Markup('<span class="verdict {}">{}</span>').format(
                gap.verdict.replace(" ", "-"), words(VERDICTS[gap.verdict])
            ),
            gap.verdict,
        ),
        Cell(NO_VALUE) if gap.films_needed is None else words.count_cell(gap, "films_needed"),
    )


def _side_cell(gap: Gap, field: str, words: Words) -> Cell:
    value: float | None = getattr(gap, field)
    if gap.metric == "auroc":
        return Cell(words.value(gap, field, form="decimal", digits=3), value)
    return Cell(words.value(gap, field, form="percent", digits=1), value)


def _difference_cell(metric: Metric, gap: Estimate, words: Words) -> Cell:
    """A difference of shares in percentage points, of AUROCs as it is."""
    if gap.value is None:
        return Cell(Markup('{}<span class="ci">{}</span>').format(NO_VALUE, words.recorded(gap.why)), n=gap.n)
    if metric == "auroc":
        return words.number_cell(gap)
    points = words("{size} points", size=words.value(gap, "value", form="share", digits=1))
    under = words.bounds(gap, 1, form="share") or words.recorded(gap.why)
    return Cell(Markup('{}<span class="ci">{}</span>').format(points, under), gap.value, gap.low, gap.high, gap.n)


def _p_cell(gap: Gap, words: Words) -> Cell:
    if gap.p_adjusted is not None and gap.p_adjusted < 0.001:
        return Cell(words("less than 0.001"), gap.p_adjusted)
    return Cell(words.value(gap, "p_adjusted", form="decimal", digits=3), gap.p_adjusted)


def _spread_table(part: Tested, spreads: list[tuple[SubgroupColumn, Spread]], words: Words) -> Table:
    heads = {
        "column": words("by"),
        "metric": words("Measure"),
        "highest": words("Highest"),
        "lowest": words("Lowest"),
        "difference": words("Highest minus lowest"),
    }
    rows = tuple(
        (
            words.text_cell(_title(column, words)),
            words.text_cell(_metric(spread.metric, words)),
            words.text_cell(_against(column, spread.highest, words)),
            words.text_cell(_against(column, spread.lowest, words)),
            _difference_cell(spread.metric, spread.difference, words),
        )
        for column, spread in spreads
    )
    return Table(
        f"subgroups-{part.anchor}-spreads",
        words("How far apart the groups lie"),
        _columns(heads),
        rows,
        words("Groups with too few films are left out. The intervals allow for having looked at all pairs of groups."),
    )
