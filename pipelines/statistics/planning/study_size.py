"""How many films a planned study needs for an AUROC, for enough positives, and for non-inferiority."""

import math
from typing import Final

from scipy import stats

from pipelines.errors import ConfigError
from pipelines.statistics.estimates import DEFAULT_LEVEL, percent_text
from pipelines.statistics.planning.power import (
    DEFAULT_POWER,
    LARGEST,
    Need,
    check_open_share,
    check_share,
    size_for_lower_bound,
    smallest,
)
from pipelines.statistics.record import Record

HANLEY_MCNEIL: Final = "approximation: Hanley–McNeil variance (binegative-exponential scores), normal interval"


class PairedClasses(Record):
    """Positives and negatives that an AUROC needs."""

    question: str
    positives: int
    negatives: int
    achieved: float
    """Half-width of the interval with these numbers."""
    method: str


def hanley_mcneil_variance(auroc: float, positives: int, negatives: int) -> float:
    """Variance of an AUROC.

    Source: Hanley & McNeil, Radiology 143 (1982) 29, equations 1 and 2.
    """
    two_positives, two_negatives = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = (
        auroc * (1 - auroc)
        + (positives - 1) * (two_positives - auroc**2)
        + (negatives - 1) * (two_negatives - auroc**2)
    )
    return spread / (positives * negatives)


def size_for_auroc(
    auroc: float, half_width: float, *, level: float = DEFAULT_LEVEL, negatives_per_positive: float = 1.0
) -> PairedClasses:
    """Films of both classes that make the interval of an AUROC as narrow as wanted.

    Args:
        auroc: expected AUROC, (0, 1).
        half_width: half the total width of the interval, (0, 0.5).
        level: confidence level of the interval.
        negatives_per_positive: how many negative films come with each positive one; (1 - prevalence) / prevalence in
            a study of consecutive films.

    Raises:
        ConfigError: a number outside its range, or more than `LARGEST` films needed.
    """
    check_open_share(auroc=auroc, half_width=half_width, level=level)
    if not (negatives_per_positive > 0 and math.isfinite(negatives_per_positive)):
        raise ConfigError(f"negatives_per_positive must be larger than 0, got {negatives_per_positive:g}.")
    z = float(stats.norm.isf((1 - level) / 2))

    def reached(positives: int) -> float:
        negatives = max(1, math.ceil(positives * negatives_per_positive))
        return z * math.sqrt(max(0.0, hanley_mcneil_variance(auroc, positives, negatives)))

    question = f"{percent_text(level)} interval of AUROC {auroc:g} within ± {half_width:g}"
    positives = smallest(lambda n: reached(n) <= half_width, question)
    return PairedClasses(
        question=question,
        positives=positives,
        negatives=max(1, math.ceil(positives * negatives_per_positive)),
        achieved=reached(positives),
        method=HANLEY_MCNEIL,
    )


def films_to_find(positives: int, negatives: int, prevalence: float, assurance: float = 0.9) -> Need:
    """Consecutive films that hold enough positives and enough negatives with a stated chance.

    Args:
        positives: positive films needed, at least 1.
        negatives: negative films needed; 0 where only positives are counted.
        prevalence: share of positive films among those who come, (0, 1).
        assurance: chance of finding enough of both, (0, 1).

    Returns:
        The smallest number of films N with P(positives <= X <= N - negatives) >= assurance, X binomial. With no
        negatives asked for it is the quantile of the negative binomial distribution.

    Raises:
        ConfigError: a number outside its range, or more than `LARGEST` films needed.
    """
    check_open_share(prevalence=prevalence, assurance=assurance)
    if positives < 1 or negatives < 0:
        raise ConfigError(f"At least 1 positive and 0 negatives can be asked for, got {positives} and {negatives}.")

    def chance(films: int) -> float:
        return float(
            stats.binom.cdf(films - negatives, films, prevalence) - stats.binom.cdf(positives - 1, films, prevalence)
        )

    question = (
        f"{positives} positive and {negatives} negative films at a prevalence of {prevalence:g}, "
        f"with a chance of at least {assurance:g}"
    )
    films = smallest(lambda n: n >= positives + negatives and chance(n) >= assurance, question)
    return Need(
        question=question,
        n=films,
        stays_from=films,
        films=films,
        patients=films,
        achieved=chance(films),
        method="exact search: binomial count of positives among consecutive films",
    )


def size_for_noninferiority(
    share: float,
    reference: float,
    margin: float,
    *,
    level: float = DEFAULT_LEVEL,
    power: float = DEFAULT_POWER,
    of: str = "share",
) -> Need:
    """Films of one class that show a single arm non-inferior to a fixed reference, by an exact one-sided test.

    Args:
        share: expected sensitivity or specificity.
        reference: what it is compared with, a number without uncertainty.
        margin: how much worse is still acceptable, larger than 0.
        level: the test is one-sided at (1 - level) / 2.
        power: chance of showing it if ``share`` is true.
        of: what the share is, for the sentences.

    Raises:
        ConfigError: a number outside its range, or nothing to show (share not above reference - margin).
    """
    check_share(reference=reference)
    check_open_share(margin=margin, power=power)
    need = size_for_lower_bound(share, round(reference - margin, 12), level=level, assurance=power, of=of)
    question = (
        f"{of} {share:g} shown non-inferior to {reference:g} with a margin of {margin:g}, power {power:g}, "
        f"one-sided level {(1 - level) / 2:g}"
    )
    return need.model_copy(update={"question": question, "method": "exact search: one-sided binomial test"})


def size_for_unpaired_noninferiority(
    share: float,
    reference: float,
    margin: float,
    *,
    level: float = DEFAULT_LEVEL,
    power: float = DEFAULT_POWER,
    ratio: float = 1.0,
) -> int:
    """Films of one class in the new arm, where the reference is another group of films.

    Args:
        share: expected share with the new system, [0, 1].
        reference: expected share in the other group, [0, 1].
        margin: how much worse is still acceptable, larger than 0.
        level: the test is one-sided at (1 - level) / 2.
        power: chance of showing it if the two shares are true.
        ratio: films in the reference group per film in the new arm.

    Raises:
        ConfigError: a number outside its range, or nothing to show.

    Source: Blackwelder, Control. Clin. Trials 3 (1982) 345 (normal approximation, unpooled variance).
    """
    if not (ratio > 0 and math.isfinite(ratio)):
        raise ConfigError(f"ratio must be larger than 0, got {ratio:g}.")
    variance = share * (1 - share) + reference * (1 - reference) / ratio
    return _noninferiority(share, reference, margin, variance, level, power)


def size_for_paired_noninferiority(
    share: float,
    reference: float,
    margin: float,
    discordant: float,
    *,
    level: float = DEFAULT_LEVEL,
    power: float = DEFAULT_POWER,
) -> int:
    """Films of one class read by both systems.

    Args:
        share: expected share with the new system, [0, 1].
        reference: expected share with the old one, [0, 1].
        margin: how much worse is still acceptable, larger than 0.
        discordant: share of films on which the two disagree, at least the difference of the shares.
        level: the test is one-sided at (1 - level) / 2.
        power: chance of showing it if these shares are true.

    Raises:
        ConfigError: a number outside its range, or nothing to show.

    Source: Lu & Bean, Stat. Med. 14 (1995) 1831 (normal approximation; variance of a paired difference under the
    alternative, discordant - difference²).
    """
    check_share(share=share, reference=reference, discordant=discordant)
    most = min(share + reference, 2 - share - reference)
    if not abs(share - reference) - 1e-12 <= discordant <= most + 1e-12:
        raise ConfigError(
            f"discordant must lie between {abs(share - reference):g} and {most:g} for shares {share:g} and "
            f"{reference:g}, got {discordant:g}."
        )
    return _noninferiority(share, reference, margin, discordant - (share - reference) ** 2, level, power)


def _noninferiority(share: float, reference: float, margin: float, variance: float, level: float, power: float) -> int:
    check_share(share=share, reference=reference)
    check_open_share(margin=margin, level=level, power=power)
    room = share - reference + margin
    if room <= 1e-9:
        raise ConfigError(
            f"share must lie above reference - margin = {reference - margin:g} for anything to be shown, got {share:g}."
        )
    z = float(stats.norm.isf((1 - level) / 2) + stats.norm.ppf(power))
    size = max(1, math.ceil(round(max(0.0, z) ** 2 * max(0.0, variance) / room**2, 9)))
    if size > LARGEST:
        raise ConfigError(f"More than {LARGEST:,} films would be needed for a margin of {margin:g}.")
    return size
