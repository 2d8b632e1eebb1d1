"""What the sliders of "Try another threshold" get: their stops, and how a language writes numbers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from babel.numbers import get_decimal_symbol, get_group_symbol
from markupsafe import Markup

from pipelines.evaluation.records import OperatingResult
from pipelines.reading_time.effort import EffortSettings
from pipelines.reporting.book import Tested
from pipelines.reporting.printing import NO_VALUE, Words, share_digits
from pipelines.statistics.accuracy.records import Band

MOST_STOPS: Final = 250
"""More thresholds than a slider is worth; they take at most 40 kB of the page."""
LEAST_PREVALENCE: Final = 0.0001
MOST_PREVALENCE: Final = 0.5
START_SENSITIVITY: Final = 0.9
"""Where there is no operating threshold, the slider starts at the highest threshold that reaches this."""

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Stop:
    """One threshold that the slider stops at, with its pointwise intervals."""

    threshold: float
    true_positive: int
    false_positive: int
    sensitivity: Ends
    specificity: Ends
    flagged: Ends


def stops_of(part: Tested) -> tuple[tuple[Stop, ...], int]:
    """Where the slider stops, and of how many thresholds these are: the table's, and those of named points."""
    table = part.result.thresholds
    stops = {
        threshold: Stop(
            threshold,
            table.true_positive[place],
            table.false_positive[place],
            _ends(table.sensitivity, place),
            _ends(table.specificity, place),
            _ends(table.flagged, place),
        )
        for place, threshold in enumerate(table.thresholds)
    }
    for point in _points(part):
        rates = ((each.low, each.high) for each in (point.sensitivity, point.specificity, point.flagged))
        counts = point.counts
        stops.setdefault(point.threshold, Stop(point.threshold, counts.true_positive, counts.false_positive, *rates))
    known = tuple(stops[threshold] for threshold in sorted(stops))
    return thinned(known, (point.threshold for point in _points(part))), len(known)


def thinned(stops: tuple[Stop, ...], kept: Iterable[float], most: int = MOST_STOPS) -> tuple[Stop, ...]:
    """At most so many stops, evenly by place; both ends and the thresholds to keep always stay."""
    if len(stops) <= most:
        return stops
    wanted = set(kept)
    places = {place for place, stop in enumerate(stops) if stop.threshold in wanted} | {0, len(stops) - 1}
    even = np.linspace(0, len(stops) - 1, max(2, most - len(places)))
    return tuple(stops[place] for place in sorted(places | {round(place) for place in even}))


def _ends(band: Band, place: int) -> Ends:
    return band.low[place], band.high[place]


def _points(part: Tested) -> tuple[OperatingResult, ...]:
    point = part.result.operating_point
    return (*(() if point is None else (point,)), *part.result.other_points)


def start_of(part: Tested, stops: tuple[Stop, ...]) -> int:
    """The stop at the operating threshold, or one that stands in for it."""
    point = part.result.operating_point
    if point is not None:
        return next(place for place, stop in enumerate(stops) if stop.threshold == point.threshold)
    needed = START_SENSITIVITY * part.result.thresholds.positives - 1e-9
    return max((place for place, stop in enumerate(stops) if stop.true_positive >= needed), default=0)


def data_of(part: Tested, words: Words, stops: tuple[Stop, ...], known: int, start: int) -> dict[str, Any]:
    """The stops of one finding and what they start from."""
    evaluation, point, table = part.study.evaluation, part.result.operating_point, part.result.thresholds
    prevalence, level = evaluation.local_prevalence, table.sensitivity.level
    effort = part.proxies.effort if part.proxies is not None else None
    return {
        "threshold": [stop.threshold for stop in stops],
        "true_positive": [stop.true_positive for stop in stops],
        "false_positive": [stop.false_positive for stop in stops],
        **{name: [getattr(stop, name) for stop in stops] for name in ("sensitivity", "specificity", "flagged")},
        "positives": table.positives,
        "negatives": table.negatives,
        "known": known,
        "start": start,
        "operating": point is not None,
        "minutes_at_start": effort is not None and effort.prevalence == prevalence,
        "prevalence": prevalence,
        "prevalences": [min(LEAST_PREVALENCE, prevalence), max(MOST_PREVALENCE, prevalence)],
        "seconds": _seconds(part),
        "interval": _text(words("{level} CI {bounds}", level=_level(words, level), bounds="{bounds}")),
        "range": _text(words("{level} range {bounds}", level=_level(words, level * level), bounds="{bounds}")),
    }


def _seconds(part: Tested) -> dict[str, Any] | None:
    """Mean reading times; None where the evaluation has no reading room."""
    room = part.study.reading_time
    if room is None:
        return None
    effort = part.proxies.effort if part.proxies is not None else None
    settings = effort.settings if effort is not None else room.scenario.effort or EffortSettings()
    positive, negative = settings.ai_positive_seconds, settings.ai_negative_seconds
    return {"positive": positive.model_dump(), "negative": negative.model_dump()}


def shared(words: Words) -> dict[str, Any]:
    """How this language writes numbers, and the messages of the script."""
    locale = words.language.locale
    messages = {
        "to": words("{low} to {high}", low="{low}", high="{high}"),
        "no_bound": words("no upper bound: perhaps no case is found"),
        "value": words(
            "Threshold {threshold}: sensitivity {sensitivity}, specificity {specificity}",
            **_gaps("threshold", "sensitivity", "specificity"),
        ),
        "said": words(
            "At a prevalence of {prevalence}: PPV {ppv}, NPV {npv}; per 100,000 people screened, {referred} "
            "referred and {missed} cases missed.",
            **_gaps("prevalence", "ppv", "npv", "referred", "missed"),
        ),
        "thinned": words("The slider has {shown} of the {all} thresholds of this evaluation.", **_gaps("shown", "all")),
        "refused": words("Enter a prevalence from {low} to {high}.", **_gaps("low", "high")),
        "roc_x": words("False alarms (1 − specificity)"),
        "roc_y": words("Sensitivity"),
    }
    return {
        "decimal": get_decimal_symbol(locale),
        "group": get_group_symbol(locale),
        "percent": words.language.percent(0, 0).removeprefix("0"),
        "none": str(NO_VALUE),
        "messages": {name: _text(message) for name, message in messages.items()},
    }


def _gaps(*names: str) -> dict[str, str]:
    """Gaps that stay gaps, for the script to fill."""
    return {name: f"{{{name}}}" for name in names}


def _text(message: Markup) -> str:
    return str(message.unescape())  # striptags would make a no-break space one that breaks


def _level(words: Words, level: float) -> str:
    return words.language.percent(level, digits_of(level))


def threshold_digits(threshold: float) -> int:
    """Significant digits of a threshold: more just below 1, where scores crowd."""
    return 6 if 0.99 < threshold < 1 else 4


def digits_of(share: float) -> int:
    """As many decimals as a percentage needs: 95 %, 90.25 %, 0.5 %."""
    return share_digits(share, 4)


def for_script(value: dict[str, Any]) -> Markup:
    """JSON that stays data inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
