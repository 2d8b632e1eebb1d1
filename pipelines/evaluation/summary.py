"""The evaluation in a few lines for a terminal."""

from pipelines.evaluation.records import Evaluation, FindingResult, LeftOut


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The headline numbers, plain text, one fact a line."""
    films = evaluation.films
    where = f"split {evaluation.split}" if evaluation.split else "all films of the manifest"
    lines = [f"{evaluation.title}: {films.joined:,} of {films.in_predictions:,} predicted films evaluated ({where})"]
    lines += _left_out(films.left_out, "  ")
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
    if result.control:
        lines += [
            f"  shape-free control: AUROC {result.control.auroc.text(4)}; "
            f"system minus control {result.control.difference.text(4)}",
            f"  {result.control.verdict}",
        ]
    point = result.operating_point
    if point:
        counts = point.counts
        lines += [
            f"  at threshold {point.threshold:.4g} ({point.label}):",
            f"    sensitivity {point.sensitivity.text()}; specificity {point.specificity.text()}",
            f"    PPV {point.ppv.text()}; NPV {point.npv.text()} (at the prevalence of these films)",
            f"    {counts.true_positive} true positive, {counts.false_negative} missed, "
            f"{counts.false_positive} false alarms, {counts.true_negative} true negative",
        ]
        if point.localisation.value is not None:
            lines.append(f"    map peak inside a true box: {point.localisation.text()}, n = {point.localisation.n}")
    return lines + [f"  note: {note}" for note in result.notes]
