"""Linear mixed model with crossed random effects of reader and film, by restricted maximum likelihood.

statsmodels' ``MixedLM`` fits the same model with all readings in one dense group: measured on two cores, 0.6 s for
10 readers x 100 films x 2 arms, 40 s for 10 x 500 x 2. Here the films' effects, whose block is diagonal, are eliminated
first, so that what is factored has one row per reader; the tests hold both to the same answer.

    y = X beta + reader + film + error,   reader ~ N(0, s_r²),  film ~ N(0, s_f²),  error ~ N(0, s²)

Source: Bates, Maechler, Bolker & Walker, Journal of Statistical Software 67 (2015) 1, section 3 (profiled REML).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from pipelines.statistics.arrays import Floats

Numbers = NDArray[np.int64]
_MOST: Final = 1e3
"""Largest ratio of a random effect's standard deviation to the error's that is looked at."""
_TINY: Final = 1e-20


@dataclass(frozen=True)
class CrossedFit:
    """What was fitted."""

    beta: Floats
    """``[p]``"""
    covariance: Floats
    """``[p, p]``, of ``beta``."""
    residual_sd: float
    reader_sd: float
    film_sd: float
    converged: bool
    exact: bool
    """Whether the model explains every reading, so that no error is left to make intervals of."""


@dataclass(frozen=True)
class _Products:
    """Everything the likelihood needs: cross-products, no row of the data."""

    n: int
    p: int
    inner: Floats
    """``[p + 1, p + 1]``: of the design and the response."""
    small: Floats
    """``[S, p + 1]``: sums over the factor with fewer levels."""
    large: Floats
    """``[L, p + 1]``: over the other one."""
    both: Floats
    """``[S, L]``: readings of each pair of levels."""

    def solved(self, small_sd: float, large_sd: float) -> tuple[float, Floats]:
        """Log determinant of V and the cross-products through its inverse, for standard deviations relative to s."""
        of_large = 1 + large_sd**2 * self.both.sum(axis=0)
        cross = small_sd * large_sd * self.both
        schur = np.diag(1 + small_sd**2 * self.both.sum(axis=1)) - (cross / of_large) @ cross.T
        factor = linalg.cho_factor(schur, lower=True)
        right_large = large_sd * self.large
        right_small = small_sd * self.small - (cross / of_large) @ right_large
        explained = right_small.T @ linalg.cho_solve(factor, right_small)
        explained += right_large.T @ (right_large / of_large[:, None])
        log_determinant = 2 * np.log(np.diag(factor[0])).sum() + np.log(of_large).sum()
        return float(log_determinant), self.inner - explained

    def criterion(self, sd: Floats) -> float:
        """Minus twice the profiled restricted log-likelihood, up to a constant."""
        log_determinant, inner = self.solved(float(sd[0]), float(sd[1]))
        design, response = inner[: self.p, : self.p], inner[: self.p, self.p]
        rest = inner[self.p, self.p] - response @ np.linalg.solve(design, response)
        rest = max(float(rest), _TINY * float(self.inner[self.p, self.p]), np.finfo(float).tiny)
        return float(log_determinant + np.linalg.slogdet(design)[1] + (self.n - self.p) * np.log(rest))


def fit_crossed(response: Floats, design: Floats, reader: Numbers | None, film: Numbers | None) -> CrossedFit:
    """Fit the model; with one of the factors None, its effect is left out.

    Args:
        response: ``[n]``.
        design: ``[n, p]``, of full rank, p < n; its first column is 1.
        reader: ``[n]``, numbers of levels from 0.
        film: ``[n]``, likewise.
    """
    n, p = design.shape
    assert p < n
    centre = float(response.mean())
    columns = np.column_stack([design, response - centre])
    levels = [np.zeros(n, dtype=np.int64) if f is None else f for f in (reader, film)]
    sizes = [int(level.max()) + 1 for level in levels]
    turned = sizes[0] > sizes[1]  # the factor with more levels is the one eliminated
    small, large = levels[::-1] if turned else levels
    counts = np.zeros((min(sizes), max(sizes)))
    np.add.at(counts, (small, large), 1.0)
    products = _Products(n, p, columns.T @ columns, _sums(columns, small), _sums(columns, large), counts)
    absent = [reader is None, film is None]
    sd, converged = _best(products, absent[::-1] if turned else absent)
    _, inner = products.solved(*map(float, sd))
    beta = np.linalg.solve(inner[:p, :p], inner[:p, p])
    rest = max(0.0, float(inner[p, p] - inner[:p, p] @ beta))
    variance = rest / (n - p)
    total = float(((response - centre) ** 2).sum())
    beta[0] += centre
    of_reader, of_film = (sd[1], sd[0]) if turned else (sd[0], sd[1])
    scale = float(np.sqrt(variance))
    return CrossedFit(
        beta=np.asarray(beta, dtype=np.float64),
        covariance=variance * np.linalg.inv(inner[:p, :p]),
        residual_sd=scale,
        reader_sd=scale * float(of_reader),
        film_sd=scale * float(of_film),
        converged=converged,
        exact=rest <= 1e-12 * max(total, _TINY),
    )


def _sums(columns: Floats, level: Numbers) -> Floats:
    return np.column_stack([np.bincount(level, weights=column) for column in columns.T])


def _best(products: _Products, absent: list[bool]) -> tuple[Floats, bool]:
    """The relative standard deviations of least criterion, and whether the search converged."""
    bounds = [(0.0, 0.0 if gone else _MOST) for gone in absent]
    if all(absent):
        return np.zeros(2), True
    found: list[optimize.OptimizeResult] = []
    for start in (1.0, 0.2):
        found.append(optimize.minimize(products.criterion, [0.0 if gone else start for gone in absent], bounds=bounds))
        if found[-1].success:
            return np.asarray(found[-1].x, dtype=np.float64), True
    # A line search that ends at rounding precision reports a failure although both starts met.
    best = min(found, key=lambda result: float(result.fun))
    return np.asarray(best.x, dtype=np.float64), abs(float(found[0].fun) - float(found[1].fun)) <= 1e-4
