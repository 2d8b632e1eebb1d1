"""Non-inferiority: whether a rate, or a difference of rates, is at most a margin worse than what it is compared with.

Judged on the bound of an interval, so the one-sided level is (1 - level) / 2: 0.025 at 95 %.

Source: Piaggio et al., JAMA 308 (2012) 2594 (CONSORT for non-inferiority).
"""

from typing import Literal

from scipy import stats

from pipelines.errors import ConfigError
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.proportions import clopper_pearson
from pipelines.statistics.record import Record


class NonInferiority(Record):
    """Whether something is at most a margin worse than what it is compared with."""

    question: str
    margin: float
    bar: float
    """What the lower bound must reach."""
    estimate: Estimate
    p_one_sided: Estimate
    """Chance of data at least this good if the truth stood at the bar."""
    verdict: Literal["shown", "not_shown", "worse"]
    """``shown``: the lower bound reaches the bar; ``worse``: the upper bound lies below it; else ``not_shown``."""
    sentence: str


def noninferiority_to_reference(
    k: int, n: int, reference: float, margin: float, *, level: float = DEFAULT_LEVEL, of: str = "sensitivity"
) -> NonInferiority:
    """Exact test of a single arm of independent films against a fixed reference.

    Args:
        k: films found right.
        n: films of the class.
        reference: the rate to compare with, a number without uncertainty.
        margin: how much worse is still acceptable, larger than 0.
        level: the one-sided test is at (1 - level) / 2, so it agrees with the two-sided interval.
        of: what the rate is.

    Raises:
        ConfigError: a reference, or a bar reference - margin, outside (0, 1].
    """
    bar = _bar(reference, margin)
    method = f"exact binomial test against {bar:g}, one-sided"
    p = Estimate.absent(f"no films to take the {of} from", method=method, level=level)
    if n:
        value = float(stats.binom.sf(k - 1, n, bar))
        why = "a p value has no interval"
        p = Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    return _noninferiority(clopper_pearson(k, n, level), bar, margin, p, _question(of, reference, margin))


def noninferiority_of_rate(
    rate: Estimate, reference: float, margin: float, *, of: str = "sensitivity"
) -> NonInferiority:
    """As `noninferiority_to_reference`, judged on the interval of any estimate (clustered films, other methods)."""
    p = Estimate.absent("judged on the interval", method="one-sided p", n=rate.n, level=rate.level)
    return _noninferiority(rate, _bar(reference, margin), margin, p, _question(of, reference, margin))


def noninferiority_of_difference(difference: Estimate, margin: float, *, of: str = "sensitivity") -> NonInferiority:
    """Judge a (paired) difference new - old on its interval against - margin.

    Raises:
        ConfigError: a margin outside (0, 1).
    """
    _check_margin(margin)
    p = Estimate.absent("judged on the interval", method="one-sided p", n=difference.n, level=difference.level)
    return _noninferiority(difference, -margin, margin, p, f"difference in {of}, margin {margin:g}")


def _question(of: str, reference: float, margin: float) -> str:
    return f"{of} against {reference:g}, margin {margin:g}"


def _check_margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise ConfigError(f"margin must lie between 0 and 1 (both excluded), got {margin:g}.")


def _bar(reference: float, margin: float) -> float:
    _check_margin(margin)
    if not 0 < reference <= 1:
        raise ConfigError(f"reference must lie in (0, 1], got {reference:g}.")
    bar = round(reference - margin, 12)
    if bar <= 0:
        raise ConfigError(f"margin must be smaller than the reference {reference:g}, got {margin:g}.")
    return bar


def _noninferiority(estimate: Estimate, bar: float, margin: float, p: Estimate, question: str) -> NonInferiority:
    verdict: Literal["shown", "not_shown", "worse"] = "not_shown"
    if estimate.low is not None and estimate.low >= bar:
        verdict = "shown"
    elif estimate.high is not None and estimate.high < bar:
        verdict = "worse"
    opening = {
        "shown": "Non-inferiority is shown",
        "not_shown": "Non-inferiority is not shown",
        "worse": "Worse by more than the margin",
    }[verdict]
    chance = "" if p.value is None else f", one-sided p = {p.value:.3g}"
    return NonInferiority(
        question=question,
        margin=margin,
        bar=bar,
        estimate=estimate,
        p_one_sided=p,
        verdict=verdict,
        sentence=f"{opening}: {question}; {estimate.text()}, bar {bar:g}{chance}.",
    )
