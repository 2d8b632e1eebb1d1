"""A share of some films with its interval: exact where films are independent, else a bootstrap of patients."""

import numpy as np

from pipelines.statistics.accuracy.assessment import Question
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.few import one_film_per_patient
from pipelines.statistics.kernels import Weights
from pipelines.statistics.proportions import clopper_pearson
from pipelines.statistics.resampling import Clusters, resample


def share_of_films(
    hits: Bools, films: Bools, clusters: Clusters, question: Question, *, method: str, of: str
) -> Estimate:
    """Share of ``films`` that are ``hits``.

    Args:
        hits: ``[n]``.
        films: ``[n]``, the denominator.
        clusters: the patients of the n films.
        question: level and choice of interval.
        method: what the share is.
        of: what the films are, for the sentence where there are none.
    """
    chosen, plan = question.resolved(clusters)
    n = int(films.sum())
    if chosen == "analytic" or not n:
        exact = clopper_pearson(int((hits & films).sum()), n, question.level, of=of)
        return exact.model_copy(update={"method": f"{method}, {exact.method}"})
    sums = np.stack(
        [np.bincount(clusters.index, weights=part, minlength=clusters.count) for part in (hits & films, films)], axis=1
    )

    def shares(weights: Weights) -> Floats:
        counted = weights.astype(np.float64) @ sums
        with np.errstate(invalid="ignore"):
            return np.asarray(counted[:, :1] / counted[:, 1:])

    found = resample(shares, clusters.count, plan).estimate(0, level=question.level, n=n, method=method)
    return one_film_per_patient(found, clusters.take(films).present) if found.low is None else found
