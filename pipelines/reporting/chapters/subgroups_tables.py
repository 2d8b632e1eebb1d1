"""The tables of the chapter on subgroups, and the names of columns, groups and measures in words."""

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.records import FindingResult
from pipelines.evaluation.subgroups.records import Gap, Metric, Spread, Subgroup, SubgroupColumn
from pipelines.reporting.book import Tested
from pipelines.reporting.charts.forest import METRICS, Row, Shown
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Table, headed
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
NOT_FOR_SIZE: Final = frozenset({"the scores are not probabilities", "the scores of these films sum to 0"})
"""Why a group has no number, where more films would not give it one."""


def overall_estimates(result: FindingResult) -> dict[Shown, Estimate | None]:
    """Estimates of all films by metric; None without a threshold."""
    point = result.operating_point
    return {
        "sensitivity": point.sensitivity if point else None,
        "specificity": point.specificity if point else None,
        "auroc": result.auroc,
    }


# Names -----------------------------------------------------------------------------------------------------------


def column_name(column: SubgroupColumn, words: Words) -> Markup:
    """A column in words."""
    return words(COLUMNS[column.column]) if column.column in COLUMNS else words.foreign(column.column, 60)


def group_name(column: SubgroupColumn, group: Subgroup, words: Words) -> Markup:
    """A group in words."""
    if group.kind == "unknown":
        return words("not known")
    return words.recorded(group.name) if group.kind == "others" else _named(column, group.name, words)


def _named(column: SubgroupColumn, name: str, words: Words) -> Markup:
    found = NAMES.get(column.column, {}).get(name)
    return words(found) if found else words.foreign(name)


def compared_name(column: SubgroupColumn, name: str, words: Words) -> Markup:
    """What a group is compared with: another group by its name, or a sentence of the evaluation."""
    for group in column.groups:
        if name in (group.name, f"the group {group.name}"):
            return group_name(column, group, words)
    return words.recorded(name)


def _metric(name: Metric, words: Words) -> Markup:
    drawn = {str(shown): text for shown, text in METRICS.items()}
    return words(drawn.get(name) or OTHER_METRICS[name])


# Tables ----------------------------------------------------------------------------------------------------------


def groups_table(key: str, part: Tested, column: SubgroupColumn, rows: list[Row], words: Words) -> Table:
    """Every group with its counts; the first row is all films. Without a threshold its rates have no column."""
    place = column.column in PLACES
    heads: dict[str, Markup] = {
        "group": words("group"),
        "films": words("Films"),
        "patients": words("Patients"),
        "positives": words("With the finding"),
    }
    overall, flagged = overall_estimates(part.result), _flagged(part.result)
    given = tuple(metric for metric in METRICS if overall[metric] is not None)
    heads |= {metric: _metric(metric, words) for metric in given}
    if place:
        heads |= {"flagged": _metric("flagged", words)} if flagged else {}
        heads["observed_expected"] = _metric("observed_expected", words)
    first = (
        words.text_cell(words("all films")),
        *(words.count_cell(part.result, field) for field in ("n", "patients", "positives")),
        *(_estimate_cell(metric, overall[metric], words) for metric in given),
        *((_estimate_cell("flagged", flagged, words),) if place and flagged else ()),
        *((Cell(NO_VALUE),) if place else ()),
    )
    body = tuple(
        (
            words.text_cell(row.label),
            *(words.count_cell(row.group, field) for field in ("n", "patients", "positives")),
            *(_estimate_cell(metric, row.group.metric(metric), words) for metric in given),
            *(_estimate_cell(name, row.group.metric(name), words) for name in OTHER_METRICS if name in heads),
        )
        for row in rows
    )
    note = words("Observed over expected: above one, the scores are too low at that place; below one, too high.")
    return Table(
        key,
        words("{column}: accuracy in every group, with intervals", column=column_name(column, words)),
        headed(heads),
        (first, *body),
        note if place else None,
        folded=True,
    )


def _flagged(result: FindingResult) -> Estimate | None:
    return result.operating_point.flagged if result.operating_point else None


def _estimate_cell(metric: Metric, estimate: Estimate | None, words: Words) -> Cell:
    if estimate is None:
        return Cell(NO_VALUE)
    if estimate.value is None:
        head = NO_VALUE if estimate.why in NOT_FOR_SIZE else words("too few films")
        why = Markup('{}<span class="ci">{}</span>').format(head, words.recorded(estimate.why))
        return Cell(why, None, n=estimate.n)
    return words.number_cell(estimate) if metric in ("auroc", "observed_expected") else words.percent_cell(estimate)


def gaps_table(key: str, title: Markup, column: SubgroupColumn, gaps: list[Gap], words: Words) -> Table:
    """Every comparison of a column."""
    heads = {"group": words("group"), "metric": words("Measure"), **_gap_heads(words)}
    rows = tuple(
        (
            words.text_cell(compared_name(column, gap.group, words)),
            words.text_cell(_metric(gap.metric, words)),
            *_gap_cells(column, gap, words),
        )
        for gap in gaps
    )
    caption = words("{column}: each group against the others", column=title)
    return Table(key, caption, headed(heads), rows, folded=True)


def shown_table(part: Tested, gaps: list[tuple[SubgroupColumn, Gap]], words: Words) -> Table:
    """The gaps that are shown, of all columns and measures."""
    heads = {"column": words("by"), "group": words("Group"), "metric": words("Measure"), **_gap_heads(words)}
    verdict = list(heads).index("verdict")  # the same in every row of this table
    rows = [
        (
            words.text_cell(column_name(column, words)),
            words.text_cell(compared_name(column, gap.group, words)),
            words.text_cell(_metric(gap.metric, words)),
            *_gap_cells(column, gap, words),
        )
        for column, gap in gaps
    ]
    del heads["verdict"]
    title = words("Gaps that these films show, after allowing for all comparisons that were made")
    kept = tuple((*row[:verdict], *row[verdict + 1 :]) for row in rows)
    return Table(f"subgroups-{part.anchor}-shown", title, headed(heads), kept)


def _gap_heads(words: Words) -> dict[str, Markup]:
    heads: dict[str, Markup] = {
        "value": words("In the group"),
        "against": words("Compared with"),
        "against_value": words("There"),
        "difference": words("Difference"),
        "p_adjusted": words("p, adjusted"),
        "verdict": words("Verdict"),
        "films_needed": words("Films needed"),
    }
    return heads


def _gap_cells(column: SubgroupColumn, gap: Gap, words: Words) -> tuple[Cell, ...]:
    return (
        _side_cell(gap, "group_value", words),
        words.text_cell(compared_name(column, gap.against, words)),
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
        return Cell(words("below 0.001"), gap.p_adjusted)
    return Cell(words.value(gap, "p_adjusted", form="decimal", digits=3), gap.p_adjusted)


def spread_table(part: Tested, spreads: list[tuple[SubgroupColumn, Spread]], words: Words) -> Table:
    """The best group of each column against the worst."""
    heads = {
        "column": words("by"),
        "metric": words("Measure"),
        "highest": words("Highest"),
        "lowest": words("Lowest"),
        "difference": words("Highest minus lowest"),
    }
    rows = tuple(
        (
            words.text_cell(column_name(column, words)),
            words.text_cell(_metric(spread.metric, words)),
            words.text_cell(compared_name(column, spread.highest, words)),
            words.text_cell(compared_name(column, spread.lowest, words)),
            _difference_cell(spread.metric, spread.difference, words),
        )
        for column, spread in spreads
    )
    return Table(
        f"subgroups-{part.anchor}-spreads",
        words("How far apart the groups lie"),
        headed(heads),
        rows,
        words("Groups with too few films are left out. The intervals allow for having looked at all pairs of groups."),
    )
