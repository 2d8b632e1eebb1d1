"""Where a threshold comes from, in words composed from its record."""

from typing import Final

from markupsafe import Markup

from pipelines.evaluation.records import OperatingResult
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words, share_digits

_RULES: Final = {
    "sensitivity": message("the largest threshold whose sensitivity there is at least {target}"),
    "specificity": message("the smallest threshold whose specificity there is at least {target}"),
    "rule_out": message("the largest rule-out threshold whose sensitivity there is at least {target}"),
    "cost": message("the threshold of least expected cost, where a missed case costs as much as {target} false alarms"),
}
_SOURCES: Final = {
    "locked": message("locked in the model package"),
    "user": message("given by the user, not locked"),
    "a_posteriori": message("chosen on the films evaluated (a posteriori)"),
}
_PURPOSES: Final = {
    "flag": message("flag for a reader"),
    "rule_out": message("file without a reader (rule-out)"),
}


def source_of(point: OperatingResult, words: Words) -> Markup:
    """Locked, given or a posteriori."""
    return words(_SOURCES[point.source])


def purpose_of(point: OperatingResult, words: Words) -> Markup:
    """What the threshold is for."""
    return words(_PURPOSES[point.purpose])


def rule_of(locked: OperatingPoint, words: Words) -> Markup:
    """The rule that chose a locked threshold."""
    if locked.kind == "cost":
        target = words.value(locked, "target", form="significant", digits=4)
    else:
        target = words.value(locked, "target", form="percent", digits=share_digits(locked.target, 5))
    return words(_RULES[locked.kind], target=target)


def threshold_origin(point: OperatingResult | None, words: Words) -> Markup:
    """One paragraph: where the threshold was chosen, when, on how many films, by which rule."""
    if point is None:
        return words(
            "<strong>No threshold was locked or given</strong>, so there is no sensitivity and no specificity: a score "
            "alone flags no film."
        )
    threshold = words.value(point, "threshold", form="significant", digits=4)
    if point.locked is None:
        return _not_locked(point, threshold, words)
    locked = point.locked
    return Markup(" ").join(
        (
            words(
                "Films with a score of at least {threshold} are flagged. This threshold is <strong>locked</strong> in "
                "the model package: it is {rule}, chosen on {cohort}.",
                threshold=threshold,
                rule=rule_of(locked, words),
                cohort=words.foreign(locked.cohort, 80),
            ),
            _when(locked, words),
            words(
                "It was chosen on {n} films, {positives} of them with the finding. There, sensitivity was "
                "{sensitivity} ({sensitivity_interval}) and specificity {specificity} ({specificity_interval}); such "
                "numbers are too good, because the threshold was fitted to those films.",
                n=words.count(locked, "n"),
                positives=words.count(locked, "n_positive"),
                sensitivity=words.percent(locked.sensitivity),
                sensitivity_interval=words.percent_interval(locked.sensitivity),
                specificity=words.percent(locked.specificity),
                specificity_interval=words.percent_interval(locked.specificity),
            ),
        )
    )


def _not_locked(point: OperatingResult, threshold: Markup, words: Words) -> Markup:
    if point.source == "user":
        return words(
            "Films with a score of at least {threshold} are flagged. This threshold was <strong>given by the user and "
            "not locked</strong> on validation films: if it was chosen after these results were seen, sensitivity and "
            "specificity are too good.",
            threshold=threshold,
        )
    return words(
        "Films with a score of at least {threshold} are flagged. This threshold was <strong>chosen on these very "
        "films</strong> (a posteriori): sensitivity and specificity are too good.",
        threshold=threshold,
    )


def _when(locked: OperatingPoint, words: Words) -> Markup:
    if locked.date is None:
        return words("The day on which it was locked is not known.")
    return words("It was locked on {date}.", date=words.foreign(words.language.day(locked.date)))
