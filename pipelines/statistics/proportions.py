"""Shares with exact intervals: sensitivity, specificity and predictive values from a 2x2 table."""

from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from pipelines.statistics.arrays import labels_and_scores
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped

EXACT = "exact (Clopper–Pearson)"


def clopper_pearson(k: int, n: int, level: float = DEFAULT_LEVEL, *, of: str = "films") -> Estimate:
    """Share k of n with its exact binomial interval.

    Args:
        k: films counted, 0 <= k <= n.
        n: films looked at; with n = 0 there is no answer, and the estimate says so.
        level: confidence level.
        of: what is looked at, for the sentence when n is 0.

    Source: Clopper & Pearson, Biometrika 26 (1934) 404; bounds as quantiles of beta distributions.
    """
    assert 0 <= k <= n
    if n == 0:
        return Estimate.absent(f"no {of}", method=EXACT, level=level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.isf(tail, k + 1, n - k))
    low, high = clipped(k / n, low, high, (0.0, 1.0))
    return Estimate(value=k / n, low=low, high=high, level=level, method=EXACT, n=n)


class Confusion(BaseModel):
    """Films by reference label and flag."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    true_positive: int = Field(ge=0)
    false_positive: int = Field(ge=0)
    false_negative: int = Field(ge=0)
    true_negative: int = Field(ge=0)

    @property
    def n(self) -> int:
        """All films in the table."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    def sensitivity(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of diseased films that were flagged."""
        diseased = self.true_positive + self.false_negative
        return clopper_pearson(self.true_positive, diseased, level, of="positive films")

    def specificity(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of non-diseased films that were not flagged."""
        healthy = self.true_negative + self.false_positive
        return clopper_pearson(self.true_negative, healthy, level, of="negative films")

    def ppv(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of flagged films that are diseased, at the prevalence of this cohort."""
        flagged = self.true_positive + self.false_positive
        return clopper_pearson(self.true_positive, flagged, level, of="flagged films")

    def npv(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of unflagged films that are not diseased, at the prevalence of this cohort."""
        unflagged = self.true_negative + self.false_negative
        return clopper_pearson(self.true_negative, unflagged, level, of="unflagged films")

    def flagged(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of all films that were flagged."""
        return clopper_pearson(self.true_positive + self.false_positive, self.n, level)

    def prevalence(self, level: float = DEFAULT_LEVEL) -> Estimate:
        """Share of all films that are diseased, in this cohort."""
        return clopper_pearson(self.true_positive + self.false_negative, self.n, level)


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Count films by label and flag; a film is flagged when its score is at least the threshold."""
    truth, score = labels_and_scores(labels, scores)
    flag = score >= threshold
    return Confusion(
        true_positive=int((truth & flag).sum()),
        false_positive=int((~truth & flag).sum()),
        false_negative=int((truth & ~flag).sum()),
        true_negative=int((~truth & ~flag).sum()),
    )
