"""The evaluation in a few lines for a terminal."""

from collections.abc import Sequence
from typing import Final

from pipelines.evaluation.control import controls_of
from pipelines.evaluation.control_words import NAMES
from pipelines.evaluation.records import Evaluation, FindingResult, LeftOut, OperatingResult
from pipelines.evaluation.tables import first_few
from pipelines.statistics.estimates import percent_text

_MOST_GAPS: Final = 6


def summary_lines(evaluation: Evaluation, unmatched: Sequence[str] = ()) -> list[str]:
    """The headline numbers, plain text, one fact a line.

    Args:
        evaluation: what was found.
        unmatched: ids of the predictions that the manifest does not know; named here and in no record.
    """
    films = evaluation.films
    where = f"split {evaluation.split}" if evaluation.split else "all films of the manifest"
    lines = [f"{evaluation.title}: {films.joined:,} of {films.in_predictions:,} predicted films evaluated ({where})"]
    lines += _left_out(films.left_out, "  ")
    if unmatched:
        lines.append(f"  ids that are not in the manifest: {first_few(unmatched)} (all in unmatched.csv)")
    for result in evaluation.findings:
        lines += _finding_lines(result)
    return lines + list(evaluation.notes) + [evaluation.independence]


def _left_out(items: tuple[LeftOut, ...], indent: str) -> list[str]:
    return [
        f"{indent}left out: {item.n:,} film{'' if item.n == 1 else 's'}: {item.meaning} [{item.code}]" for item in items
    ]


def _finding_lines(result: FindingResult) -> list[str]:
    head = f"{result.finding} ({result.name})" if result.name != result.finding else result.finding
    lines = [
        f"{head}: AUROC {result.auroc.text(4)}; n = {result.n:,} films, {result.positives:,} positive",
        *_left_out(result.left_out, "  "),
    ]
    lines += [
        f"  specificity at sensitivity {at.target:g}: {at.specificity.text()}" for at in result.at_sensitivity[:1]
    ]
    for control in controls_of(result):
        lines += [
            f"  {NAMES[control.kind or 'shape_free']} control: AUROC {control.auroc.text(4)}; "
            f"system minus control {control.difference.text(4)}",
            f"  {control.verdict}",
        ]
    if result.operating_point:
        lines += _point_lines(result.operating_point, result.finding)
    for point in result.other_points:
        lines += _point_lines(point, result.finding)
    lines += _calibration_lines(result)
    lines += _gap_lines(result)
    if result.froc.all_films.cpm.value is not None:
        lines.append(
            f"  localisation ({result.froc.criterion}): CPM {result.froc.all_films.cpm.text()}, "
            f"{result.froc.n_lesions:,} lesions; LROC area {result.froc.lroc.area.text()}"
        )
    return lines + [f"  note: {note}" for note in result.notes]


def _point_lines(point: OperatingResult, finding: str) -> list[str]:
    counts, programme, intended = point.counts, point.programme, point.intention_to_read
    purpose = "below" if point.purpose == "rule_out" else "at"
    lines = [
        f"  {purpose} threshold {point.threshold:.4g} ({point.label}):",
        f"    sensitivity {point.sensitivity.text()}; specificity {point.specificity.text()}",
        f"    PPV {point.ppv.text()}; NPV {point.npv.text()} (at the prevalence of these films)",
        f"    {counts.true_positive:,} true positive, {counts.false_negative:,} missed, "
        f"{counts.false_positive:,} false alarms, {counts.true_negative:,} true negative",
    ]
    if intended.without_score:
        lines.append(
            f"    films without a score counted as referred ({intended.without_score:,}): sensitivity "
            f"{intended.sensitivity.text()}; specificity {intended.specificity.text()}"
        )
    lines += [
        f"    WHO triage profile{'' if finding == 'tb' else ' (made for tuberculosis)'}: {point.who.sentence}",
        f"    at a prevalence of {percent_text(programme.prevalence)}: {programme.tests_per_case.text(1)} confirmatory "
        f"tests per case found; {programme.missed_per_100000.text(0)} cases missed per 100,000 screened",
    ]
    if point.non_inferiority is not None:
        lines.append(f"    {point.non_inferiority.sentence}")
    if point.localisation.value is not None:
        lines.append(f"    map peak inside a true box: {point.localisation.text()}, n = {point.localisation.n}")
    return lines


def _calibration_lines(result: FindingResult) -> list[str]:
    found = result.calibration
    if found.ece.value is None:
        return []
    return [
        f"  calibration: slope {found.slope.text(2)}; observed over expected {found.observed_expected.text(2)}; "
        f"ECE {found.ece.text()}"
    ]


def _gap_lines(result: FindingResult) -> list[str]:
    shown = [(part.column, gap) for part in result.subgroups for gap in part.gaps if gap.verdict == "shown"]
    lines = [
        f"  {column} {gap.group!r}: {gap.metric} differs from {gap.against} by {gap.difference.text()}"
        for column, gap in shown[:_MOST_GAPS]
    ]
    more = len(shown) - _MOST_GAPS
    return lines + ([f"  {more} more gaps between subgroups are in subgroup_gaps.csv"] if more > 0 else [])
