"""Reading effort: minutes of reader time per 1,000 films without AI, with AI shown, with rule-out, and with both.

A proxy: shares of films from measured accuracy times mean reading times from a published study (or the user's own). The
times are means by what the AI says of the film, because the gain is asymmetric: films that the AI calls negative are
read faster with it, films that it calls positive are not.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from pipelines.errors import ConfigError
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped
from pipelines.statistics.record import Record

FILMS: Final = 1000
"""Effort is stated per this many films that arrive."""
SOURCE: Final = (
    "Shin et al., npj Digital Medicine 6 (2023) 82, doi 10.1038/s41746-023-00829-4: 18,680 chest radiographs, "
    "11 radiologists of one hospital; opening to transcription"
)
OWN: Final = "times of the user; no source given"
STATEMENT: Final = (
    "A proxy, not a measurement: mean reading times measured elsewhere (see source) times the shares of films that "
    "this system flags and files. The times are taken as given: the intervals carry the uncertainty of accuracy alone."
)
METHOD: Final = (
    "shares of films x mean reading times; interval from those of sensitivity and specificity, one moved at a time: "
    "excursions of one class added, of the two classes combined in quadrature (MOVER)"
)
_WIDE: Final = (-math.inf, math.inf)
_NO_AI, _SHOWN, _FILED, _BOTH = "without_ai", "with_ai", "rule_out", "with_ai_and_rule_out"

Accuracy = Estimate | float
"""A share in [0, 1] with an interval, or taken as given."""


class Seconds(Record):
    """Mean reading time of one kind of film, in seconds."""

    with_ai: float = Field(gt=0, le=36_000, strict=True)
    """With the AI's result shown to the reader."""
    without_ai: float = Field(gt=0, le=36_000, strict=True)
    """Without it."""


class EffortSettings(Record):
    """The key ``effort:`` of a scenario: mean reading times by what the AI says of the film."""

    ai_positive_seconds: Seconds = Seconds(with_ai=18.6, without_ai=18.4)
    """Films that the AI calls positive."""
    ai_negative_seconds: Seconds = Seconds(with_ai=10.8, without_ai=13.1)
    """Films that the AI calls negative."""
    source: str = Field(default=SOURCE, min_length=1)
    """Where the times were measured."""

    @model_validator(mode="before")
    @classmethod
    def _own_times_are_not_published(cls, given: Any) -> Any:
        """Times of the user must not carry the name of the published study."""
        if isinstance(given, Mapping) and "source" not in given and set(given) & set(cls.model_fields):
            return {**given, "source": OWN}
        return given


class Minutes(Record):
    """Minutes of reader time per 1,000 films that arrive; null where nothing is ruled out."""

    without_ai: Estimate
    """Every film is read, the reader sees no AI."""
    with_ai: Estimate
    """Every film is read with the AI's result shown."""
    rule_out: Estimate | None = None
    """Ruled-out films are filed without a reader; the others are read without AI."""
    with_ai_and_rule_out: Estimate | None = None
    """Ruled-out films are filed without a reader; the others are read with the AI's result shown."""


class Saved(Record):
    """Minutes of reader time per 1,000 films, minus those without AI: negative is a gain."""

    with_ai: Estimate
    rule_out: Estimate | None = None
    with_ai_and_rule_out: Estimate | None = None


class Effort(Record):
    """Reader time of one system in one population."""

    prevalence: float
    """Share of diseased films, [0, 1], as given."""
    flagged_share: Estimate
    """Share of all films that the AI calls positive."""
    filed_share: Estimate | None
    """Share of all films filed without a reader; null without rule-out."""
    minutes_per_1000: Minutes
    difference: Saved
    settings: EffortSettings
    statement: str = STATEMENT


class RuleOutAccuracy(Record):
    """Accuracy of the filing threshold: which films go without a reader."""

    sensitivity: Accuracy
    """Share of the diseased films that are kept for a reader, [0, 1]."""
    specificity: Accuracy
    """Share of the non-diseased films that are filed, [0, 1]."""


def effort_minutes(
    flagged_share: ArrayLike, filed_share: ArrayLike | None, settings: EffortSettings
) -> dict[str, NDArray[np.float64]]:
    """Minutes of reader time per 1,000 films; works on numbers and, element by element, on arrays.

    Args:
        flagged_share: share of all films that the AI calls positive, [0, 1].
        filed_share: share of all films filed without a reader, [0, 1]; None = no rule-out. Filing takes films that the
            AI calls negative; only where it files more than those does it take flagged ones.
        settings: mean reading times.

    Returns:
        ``without_ai`` and ``with_ai``; with rule-out also ``rule_out`` and ``with_ai_and_rule_out``.

    Raises:
        ConfigError: a share outside [0, 1].
    """
    flagged = _share_array("flagged_share", flagged_share)
    positive, negative = settings.ai_positive_seconds, settings.ai_negative_seconds
    scale = FILMS / 60
    minutes = {
        _NO_AI: scale * (flagged * positive.without_ai + (1 - flagged) * negative.without_ai),
        _SHOWN: scale * (flagged * positive.with_ai + (1 - flagged) * negative.with_ai),
    }
    if filed_share is not None:
        filed = _share_array("filed_share", filed_share)
        read_positive = np.minimum(flagged, 1 - filed)
        read_negative = np.maximum(1 - filed - flagged, 0.0)
        minutes[_FILED] = scale * (read_positive * positive.without_ai + read_negative * negative.without_ai)
        minutes[_BOTH] = scale * (read_positive * positive.with_ai + read_negative * negative.with_ai)
    return minutes


def _share_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    shares = np.asarray(values, dtype=np.float64)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ConfigError(f"Reading effort: {name} must lie in [0, 1], got {shares[~((shares >= 0) & (shares <= 1))]}.")
    return shares


def reading_effort(
    settings: EffortSettings | None,
    prevalence: float,
    sensitivity: Accuracy,
    specificity: Accuracy,
    rule_out: RuleOutAccuracy | tuple[Accuracy, Accuracy] | None = None,
) -> Effort:
    """Reader time without AI, with AI shown, and with rule-out, from accuracy at a prevalence.

    Args:
        settings: mean reading times; None takes the published ones.
        prevalence: share of diseased films, [0, 1].
        sensitivity: of the flag; an `Estimate` carries its interval along, a number is taken as given.
        specificity: likewise.
        rule_out: sensitivity and specificity of the filing threshold (see `RuleOutAccuracy`), or None.

    Raises:
        ConfigError: a share outside [0, 1], or intervals of different levels.
    """
    settings = settings or EffortSettings()
    if isinstance(rule_out, tuple):
        rule_out = RuleOutAccuracy(sensitivity=rule_out[0], specificity=rule_out[1])
    given: dict[str, Accuracy] = {"sensitivity": sensitivity, "specificity": specificity}
    if rule_out is not None:
        given |= {"rule_out.sensitivity": rule_out.sensitivity, "rule_out.specificity": rule_out.specificity}
    _checked("prevalence", prevalence)
    for name, share in given.items():
        _checked(name, share)
    level = _level(given)

    def of(quantity: Callable[[Mapping[str, float]], float]) -> Estimate:
        return _propagated(quantity, given, level)

    def minutes(name: str, reference: str | None = None) -> Estimate:
        def quantity(at: Mapping[str, float]) -> float:
            flagged, filed = _flagged(prevalence, at), _filed(prevalence, at)
            found = effort_minutes(flagged, filed, settings)
            return float(found[name] - (found[reference] if reference else 0.0))

        return of(quantity)

    names = (_NO_AI, _SHOWN) if rule_out is None else (_NO_AI, _SHOWN, _FILED, _BOTH)
    return Effort(
        prevalence=prevalence,
        flagged_share=of(lambda at: _flagged(prevalence, at)),
        filed_share=None if rule_out is None else of(lambda at: _filed(prevalence, at) or 0.0),
        minutes_per_1000=Minutes(**{name: minutes(name) for name in names}),
        difference=Saved(**{name: minutes(name, _NO_AI) for name in names[1:]}),
        settings=settings,
    )


def _flagged(prevalence: float, at: Mapping[str, float]) -> float:
    return _inside(prevalence * at["sensitivity"] + (1 - prevalence) * (1 - at["specificity"]))


def _filed(prevalence: float, at: Mapping[str, float]) -> float | None:
    if "rule_out.sensitivity" not in at:
        return None
    return _inside(prevalence * (1 - at["rule_out.sensitivity"]) + (1 - prevalence) * at["rule_out.specificity"])


def _inside(share: float) -> float:
    """Rounding may leave [0, 1] in the last digit."""
    return min(1.0, max(0.0, share))


def _point(share: Accuracy) -> float | None:
    return share.value if isinstance(share, Estimate) else share


def _checked(name: str, share: Accuracy) -> None:
    value = _point(share)
    if value is not None and not 0 <= value <= 1:  # NaN compares false and is refused too
        raise ConfigError(f"Reading effort: {name} must lie in [0, 1], got {value}.")


def _level(given: Mapping[str, Accuracy]) -> float:
    levels = sorted({share.level for share in given.values() if isinstance(share, Estimate)})
    if len(levels) > 1:
        raise ConfigError(f"Reading effort: intervals of one confidence level are needed, got {levels}.")
    return levels[0] if levels else DEFAULT_LEVEL


def _propagated(
    quantity: Callable[[Mapping[str, float]], float], given: Mapping[str, Accuracy], level: float
) -> Estimate:
    """A function of the shares with the interval recovered from theirs.

    Both sensitivities come from the diseased films and both specificities from the others: excursions within a class
    are added (they may move together), those of the two classes, which are independent, are combined in quadrature.

    Source: Zou & Donner, Statistics in Medicine 27 (2008) 1693 (MOVER).
    """
    estimates = {name: share for name, share in given.items() if isinstance(share, Estimate)}
    n = sum(estimates[name].n for name in ("sensitivity", "specificity") if name in estimates)
    for name, estimate in estimates.items():
        if estimate.value is None:
            return Estimate.absent(f"{name} is not known: {estimate.why}", method=METHOD, n=n, level=level)
    points = {name: float(_point(share) or 0.0) for name, share in given.items()}
    value = quantity(points)
    unbounded = [name for name, estimate in estimates.items() if estimate.low is None]
    if unbounded or not estimates:
        named = f"{unbounded[0]} has no interval" if unbounded else "accuracy was given without intervals"
        return Estimate(value=value, low=None, high=None, level=level, method=METHOD, n=n, why=named)
    down = {"sensitivity": 0.0, "specificity": 0.0}
    up = dict(down)
    for name, bounds in _bounds(estimates):
        moved = [quantity({**points, name: bound}) - value for bound in bounds]
        kind = name.rpartition(".")[2]
        down[kind] += min(0.0, *moved)
        up[kind] += max(0.0, *moved)
    low, high = clipped(value, value - math.hypot(*down.values()), value + math.hypot(*up.values()), _WIDE)
    return Estimate(value=value, low=low, high=high, level=level, method=METHOD, n=n)


def _bounds(estimates: Mapping[str, Estimate]) -> Iterator[tuple[str, tuple[float, float]]]:
    for name, estimate in estimates.items():
        assert estimate.low is not None
        assert estimate.high is not None
        yield name, (estimate.low, estimate.high)
