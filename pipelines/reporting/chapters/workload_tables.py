"""The tables of the chapter on reading time: waits, reader time, films filed unread, and the order of the list."""

from markupsafe import Markup

from pipelines.reading_time.effort import Effort
from pipelines.reading_time.rule_out import RuleOut
from pipelines.reading_time.worklist import WorklistRecord
from pipelines.reporting.book import Tested
from pipelines.reporting.charts.effort import WAYS, ways
from pipelines.reporting.charts.rule_out import filing
from pipelines.reporting.charts.waiting import CLASSES, Waits
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words, minutes_digits, share_digits
from pipelines.reporting.tables import Cell, Table, headed
from pipelines.statistics.estimates import Estimate

LONG_TEXT = 2000
"""Sentences of the files that are printed whole."""


def waiting_table(waits: Waits, part: Tested, words: Words) -> Table:
    """One quantity of the waits by class of film."""
    heads = {
        "films": words("films"),
        "first_come": words("First come, first served"),
        "flagged_first": words("Flagged first"),
        "change": words("Change"),
    }
    rows = waits.rows()
    return Table(
        f"workload-{part.anchor}-{waits.key}",
        words("{quantity}, in minutes ({source})", quantity=waits.title, source=waits.source),
        headed(heads),
        tuple(
            (
                words.text_cell(words(CLASSES[name])),
                *(_wait_cell(wait, words) for wait in (before, after)),
                _change(gap, words),
            )
            for name, before, after, gap in rows
        ),
        _without_interval([estimate for _, *estimates in rows for estimate in estimates], words),
        folded=waits.key != "mean",
    )


def _wait_cell(wait: Estimate, words: Words) -> Cell:
    return _cell(wait, words.minutes(wait), words.bounds(wait, minutes_digits(wait)))


def _change(gap: Estimate, words: Words) -> Cell:
    digits = minutes_digits(gap)
    return _cell(gap, words.change(gap, digits), words.bounds(gap, digits))


def _cell(estimate: Estimate, shown: Markup, bounds: Markup) -> Cell:
    under = Markup('<span class="ci">{}</span>').format(bounds) if bounds else Markup("")
    return Cell(shown + under, estimate.value, estimate.low, estimate.high, estimate.n)


def _without_interval(estimates: list[Estimate], words: Words) -> Markup:
    """What the small numbers are, and why some numbers have none."""
    level = next((estimate for estimate in estimates if estimate.low is not None), None)
    parts = []
    if level is not None:
        shown = words.value(level, "level", form="percent", digits=share_digits(level.level))
        parts.append(words("Under each number its {level} interval.", level=shown))
    whys = dict.fromkeys(estimate.why for estimate in estimates if estimate.low is None and estimate.why)
    parts += [words("Numbers without one: {why}.", why=words.recorded(why)) for why in whys]
    return Markup(" ").join(parts)


# Reader time -----------------------------------------------------------------------------------------------------


def effort_table(effort: Effort, part: Tested, words: Words) -> Table:
    """Minutes of reader time for every way of working."""
    heads = {
        "way": words("way of working"),
        "minutes": words("Minutes per 1,000 films"),
        "change": words("Change against reading without AI"),
    }
    rows = []
    for name, spent in ways(effort):
        gap = getattr(effort.difference, name, None)
        bounds = words.bounds(gap, 1) if gap else Markup("")
        less, more = message("{size} less"), message("{size} more")
        change = _cell(gap, words.change(gap, 1, less, more), bounds) if gap else Cell(Markup("–"))
        rows.append(
            (words.text_cell(words(WAYS[name])), _cell(spent, words.number(spent, 1), words.bounds(spent, 1)), change)
        )
    estimates = [spent for _, spent in ways(effort)]
    return Table(
        f"workload-{part.anchor}-effort",
        words(
            "Minutes of reader time per 1,000 films that arrive, at a prevalence of {share}",
            share=words.value(effort, "prevalence", form="percent", digits=share_digits(effort.prevalence)),
        ),
        headed(heads),
        tuple(rows),
        _without_interval(estimates, words),
        folded=True,
    )


# Filing films unread ---------------------------------------------------------------------------------------------


def rule_out_table(rule_out: RuleOut, part: Tested, words: Words) -> Table:
    """Films filed, sensitivity kept and films missed, by the sensitivity to keep; there is one point at least."""
    heads = {
        "target": words("sensitivity to keep"),
        "filed": words("Films filed unread"),
        "sensitivity": words("Sensitivity kept"),
        "missed": words("Missed, of 10,000 films"),
        "demonstrable": words("Could these films show it?"),
    }
    rows, estimates = [], []
    for point, given in filing(rule_out):
        target = words.value(point, "target", form="percent", digits=share_digits(point.target))
        note = Markup('{}<span class="ci">{}</span>').format(words("no"), words.recorded(point.note, LONG_TEXT))
        missed = given.missed_per_10000_screened
        estimates += [given.filed_share, point.sensitivity, missed]
        rows.append(
            (
                Cell(target, point.target),
                _cell(
                    given.filed_share,
                    words.percent(given.filed_share),
                    words.bounds(given.filed_share, 1, form="percent"),
                ),
                _cell(
                    point.sensitivity,
                    words.percent(point.sensitivity),
                    words.bounds(point.sensitivity, 1, form="percent"),
                ),
                _cell(missed, words.number(missed, 1), words.bounds(missed, 1)),
                Cell(words("yes") if point.demonstrable else note, point.demonstrable),
            )
        )
    given = filing(rule_out)[0][1]
    return Table(
        f"workload-{part.anchor}-rule-out",
        words(
            "If {share} of films have the finding: films that could be filed unread, by the sensitivity to keep",
            share=words.value(given, "prevalence", form="percent", digits=share_digits(given.prevalence, 1)),
        ),
        headed(heads),
        tuple(rows),
        Markup("{} {}").format(
            words("Each threshold is chosen on these very films; the intervals include that choice."),
            _without_interval(estimates, words),
        ),
        folded=True,
    )


# The list --------------------------------------------------------------------------------------------------------


def worklist_table(listed: WorklistRecord, part: Tested, words: Words) -> Table:
    """Films with the finding read by the share of the list read."""
    heads = {
        "read": words("After reading"),
        "score": words("By score"),
        "arrival": words("As they come (expected)"),
        "ideal": words("Ideal order"),
        "films_per_case": words("Films read for each one with the finding"),
    }
    rows = tuple(
        (
            Cell(words.value(at, "fraction", form="percent", digits=share_digits(at.fraction)), at.fraction),
            _cell(at.found, words.percent(at.found), words.bounds(at.found, 1, form="percent")),
            Cell(words.value(at, "fifo_found", form="percent", digits=1), at.fifo_found),
            Cell(words.value(at, "ideal_found", form="percent", digits=1), at.ideal_found),
            _cell(at.films_per_case, words.number(at.films_per_case, 1), words.bounds(at.films_per_case, 1)),
        )
        for at in listed.at
    )
    title = words("Share of the films with the finding that have been read, by share of the list read")
    estimates = [estimate for at in listed.at for estimate in (at.found, at.films_per_case)]
    rounded = words("Shares of the list are rounded up to whole films.")
    missing = _without_interval(estimates, words)
    note = Markup("{} {}").format(rounded, missing) if missing else rounded
    return Table(f"workload-{part.anchor}-worklist", title, headed(heads), rows, note, folded=True)
