"""Tables of the accuracy chapter."""

from typing import Final

from markupsafe import Markup

from pipelines.evaluation.control import controls_of
from pipelines.evaluation.records import ControlResult, OperatingResult
from pipelines.imaging.control_features import ControlKind
from pipelines.reporting.book import Tested
from pipelines.reporting.chapters.provenance_of_threshold import purpose_of, rule_of, source_of
from pipelines.reporting.chapters.trust import meaning_of
from pipelines.reporting.charts.icons import KINDS, PER_THOUSAND, symbol, thousand_digits
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

Row = tuple[Cell, ...]
_CONTROLS: Final[dict[ControlKind, str]] = {
    "shape_free": message("shape-free control: sees no anatomy"),
    "border": message("border-only control: sees no lungs"),
    "lungs_hidden": message("lungs-hidden control: sees what lies around the lungs"),
}


def counts_table(part: Tested, point: OperatingResult, words: Words) -> Table:
    """The 2x2 table with its margins."""
    counts, result = point.counts, part.result
    columns = (
        Column("flag", words("Films")),
        Column("with", words("With the finding"), "right"),
        Column("without", words("Without it"), "right"),
        Column("all", words("All"), "right"),
    )
    rows = (
        (
            words.text_cell(words("Flagged")),
            words.count_cell(counts, "true_positive"),
            words.count_cell(counts, "false_positive"),
            words.count_cell(point.ppv, "n"),
        ),
        (
            words.text_cell(words("Not flagged")),
            words.count_cell(counts, "false_negative"),
            words.count_cell(counts, "true_negative"),
            words.count_cell(point.npv, "n"),
        ),
        (
            words.text_cell(words("All")),
            words.count_cell(result, "positives"),
            words.count_cell(result, "negatives"),
            words.count_cell(result, "n"),
        ),
    )
    title = words("Films by label and flag. Upper left: found; lower left: missed; upper right: false alarms")
    return Table(f"accuracy-{part.anchor}-counts", title, columns, rows)


def people_table(part: Tested, point: OperatingResult, words: Words) -> Table:
    """Of a thousand people screened: the legend of the icon array, with intervals."""
    programme = point.programme
    labels = (
        words("with the finding and flagged: found"),
        words("with the finding and not flagged: missed"),
        words("without the finding but flagged: false alarm"),
        words("without the finding and not flagged"),
    )
    columns = (
        Column("who", words("Of 1,000 people screened")),
        Column("people", words("People"), "right"),
        Column("interval", words("Interval"), "right"),
    )
    rows = tuple(_people_row(point, kind, label, words) for kind, label in zip(KINDS, labels, strict=True))
    prevalence = words.value(programme, "prevalence", form="percent", digits=1)
    title = words(
        "1,000 people like those tested, screened where {prevalence} of people have the finding", prevalence=prevalence
    )
    return Table(f"accuracy-{part.anchor}-people", title, columns, rows, _prevalence_note(part, point, words))


def _people_row(point: OperatingResult, kind: str, label: Markup, words: Words) -> Row:
    estimate: Estimate = getattr(point.programme, kind)
    digits = thousand_digits(point.programme, kind)
    value = words.number(estimate, digits, PER_THOUSAND)
    shown = None if estimate.value is None else estimate.value * PER_THOUSAND
    return (
        Cell(Markup("{} {}").format(symbol(kind), label), text_of(label)),
        Cell(value, shown, n=estimate.n),
        Cell(words.interval(estimate, digits, PER_THOUSAND)),
    )


def _prevalence_note(part: Tested, point: OperatingResult, words: Words) -> Markup:
    evaluation, programme = part.study.evaluation, point.programme
    note = words(
        "The share of {prevalence} was named by those who made this report; it was not measured. In the films tested "
        "it is {tested}.",
        prevalence=words.value(programme, "prevalence", form="percent", digits=1),
        tested=words.percent(part.result.prevalence),
    )
    whole = words("Symbols stand for whole people.")
    if evaluation.local_prevalence_interval is None:
        return Markup("{} {}").format(note, whole)
    low, high = (words.value(evaluation, "local_prevalence_interval", end, form="percent", digits=1) for end in (0, 1))
    more = words("The share may lie between {low} and {high}.", low=low, high=high)
    return Markup("{} {} {}").format(note, more, whole)


def rates_table(part: Tested, words: Words) -> Table:
    """Every rate with its interval, n and meaning."""
    result, point = part.result, part.result.operating_point
    rows = [
        _row(
            words("AUROC"),
            words.number_cell(result.auroc),
            result.auroc,
            words("chance that a film with the finding scores higher than one without; needs no threshold"),
            words,
        ),
        *(_control_row(part, control, words) for control in controls_of(result)),
        _row(
            words("Mean specificity at high sensitivity"),
            words.percent_cell(result.partial_auroc.mean_specificity),
            result.partial_auroc.mean_specificity,
            words(
                "averaged over sensitivities from {low} to {high} (from the partial AUROC)",
                low=words.value(result.partial_auroc, "band", 0, form="percent"),
                high=words.value(result.partial_auroc, "band", 1, form="percent"),
            ),
            words,
        ),
    ]
    if point is not None:
        *first, ppv, npv = _flag_rows(point, words)  # what holds at the reader's prevalence stands before them
        rows = [*first, *_local_rows(point, words), ppv, npv, *_other_rows(point, words), *rows]
    columns = (
        Column("measure", words("Measure")),
        Column("value", words("Value and interval")),
        Column("n", words("Films"), "right"),
        Column("meaning", words("In words")),
    )
    return Table(f"accuracy-{part.anchor}-rates", words("All rates, with their intervals"), columns, tuple(rows))


def _control_row(part: Tested, control: ControlResult, words: Words) -> Row:
    """The control beside the AUROC, and what it means for it."""
    said = words(_CONTROLS[control.kind or "shape_free"])
    label = Markup("{}: {}").format(words("AUROC"), said)
    return _row(label, words.number_cell(control.auroc), control.auroc, meaning_of(control, part, words), words)


def _row(label: Markup, value: Cell, estimate: Estimate, meaning: Markup, words: Words) -> Row:
    return words.text_cell(label), value, words.count_cell(estimate, "n"), words.text_cell(meaning)


def _flag_rows(point: OperatingResult, words: Words) -> list[Row]:
    rates = (
        (words("Sensitivity"), point.sensitivity, words("flagged, of the films with the finding")),
        (words("Specificity"), point.specificity, words("not flagged, of the films without it")),
        (words("Flagged"), point.flagged, words("flagged, of all films")),
        (
            words("PPV in these films"),
            point.ppv,
            words("with the finding, of the flagged films; holds only where the finding is as common as here"),
        ),
        (
            words("NPV in these films"),
            point.npv,
            words("without the finding, of the films not flagged; holds only where the finding is as common as here"),
        ),
    )
    return [_row(label, words.percent_cell(rate), rate, meaning, words) for label, rate, meaning in rates]


def _local_rows(point: OperatingResult, words: Words) -> list[Row]:
    local = point.local
    if local is None:
        return []
    prevalence = words.value(local, "prevalence", form="percent", digits=1)
    rates = (
        (
            words("PPV at your prevalence"),
            local.ppv,
            words("with the finding, of people flagged, where {prevalence} have it", prevalence=prevalence),
        ),
        (
            words("NPV at your prevalence"),
            local.npv,
            words("without the finding, of people not flagged, where {prevalence} have it", prevalence=prevalence),
        ),
    )
    return [_row(label, words.percent_cell(rate), rate, meaning, words) for label, rate, meaning in rates]


def _other_rows(point: OperatingResult, words: Words) -> list[Row]:
    read = point.intention_to_read
    ratios = (
        (
            words("LR+"),
            point.lr_positive,
            words("how many times as often films with the finding are flagged as films without it"),
        ),
        (
            words("LR−"),
            point.lr_negative,
            words("how many times as often films with the finding are not flagged as films without it"),
        ),
    )
    shares = (
        (
            words("Sensitivity, no film left out"),
            read.sensitivity,
            words("films without a score count as referred (intention to read)"),
        ),
        (
            words("Specificity, no film left out"),
            read.specificity,
            words("films without a score count as referred (intention to read)"),
        ),
        (
            words("Map in the right place"),
            point.localisation,
            words("peak of the map inside a true box, of the films rightly flagged that have both"),
        ),
    )
    rows = [_row(label, words.number_cell(rate, 2), rate, meaning, words) for label, rate, meaning in ratios]
    return rows + [_row(label, words.percent_cell(rate), rate, meaning, words) for label, rate, meaning in shares]


def points_table(part: Tested, words: Words) -> Table:
    """Rule-out points and a-posteriori thresholds."""
    columns = (
        Column("source", words("Threshold")),
        Column("purpose", words("Made to")),
        Column("threshold", words("Score"), "right"),
        Column("sensitivity", words("Sensitivity")),
        Column("specificity", words("Specificity")),
        Column("missed", words("Missed"), "right"),
    )
    rows = tuple(
        (
            words.text_cell(_point_label(point, words)),
            words.text_cell(purpose_of(point, words)),
            Cell(words.value(point, "threshold", form="significant", digits=3), point.threshold),
            words.percent_cell(point.sensitivity),
            words.percent_cell(point.specificity),
            words.count_cell(point.counts, "false_negative"),
        )
        for point in part.result.other_points
    )
    note = words(
        "Sensitivity: films with the finding at or above the threshold. A threshold chosen on the films evaluated "
        "looks better than it will be on other films."
    )
    return Table(f"accuracy-{part.anchor}-points", words("Other thresholds, each for its own use"), columns, rows, note)


def _point_label(point: OperatingResult, words: Words) -> Markup:
    source = source_of(point, words)
    if point.locked is None:
        return Markup('{}<br><span class="ci">{}</span>').format(source, words.recorded(point.label, 160))
    return Markup('{}<br><span class="ci">{}</span>').format(source, rule_of(point.locked, words))


def fixed_table(part: Tested, words: Words) -> Table:
    """Specificity where the sensitivity is held on these very films."""
    columns = (
        Column("target", words("Sensitivity of at least")),
        Column("threshold", words("Score"), "right"),
        Column("sensitivity", words("Sensitivity reached"), "right"),
        Column("specificity", words("Specificity")),
    )
    rows = tuple(
        (
            Cell(words.value(at, "target", form="percent"), at.target),
            Cell(_threshold(at.threshold, words), at.threshold.value, at.threshold.low, at.threshold.high),
            Cell(words.percent(at.sensitivity), at.sensitivity.value, n=at.sensitivity.n),
            words.percent_cell(at.specificity),
        )
        for at in part.result.at_sensitivity
    )
    title = words("Specificity at fixed sensitivities: thresholds chosen on these very films (a posteriori)")
    note = words(
        "For comparing with other studies, not for use: a threshold fitted to the films it is tested on promises too "
        "much. The intervals allow for the choice."
    )
    return Table(f"accuracy-{part.anchor}-fixed", title, columns, rows, note, folded=True)


def _threshold(threshold: Estimate, words: Words) -> Markup:
    if threshold.value is None:
        return words.number(threshold)
    return words.value(threshold, "value", form="significant", digits=3)
