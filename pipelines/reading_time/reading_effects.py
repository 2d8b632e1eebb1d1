"""The effect of showing the AI's result on reading times, and of learning, from cleaned readings."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from pipelines.reading_time.crossed_effects import CrossedFit, Numbers, fit_crossed
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.record import Record

_MOST_PERIODS: Final = 10
_UNIT: Final = 100.0
"""Readings per unit of the learning effect in the design."""
_WIDEST: Final = 300.0
"""Logarithms beyond this are not stated as a percentage."""
_METHOD: Final = "100 x (exp(effect on log time) - 1); Student's t interval"


class ReaderEffect(Record):
    """What showing the AI's result does to one reader's times."""

    reader: str
    ai_percent: Estimate


class Effects(Record):
    """Changes of the reading time in per cent: negative is faster."""

    ai_percent: Estimate
    """With AI shown against without, for these readers."""
    ai_positive_percent: Estimate
    """The same on films that the AI calls positive."""
    ai_negative_percent: Estimate
    """The same on films that the AI calls negative."""
    interaction_percent: Estimate
    """The first of the two against the second: how much the effect differs."""
    over_readers_percent: Estimate
    """Mean of the readers' own effects with an interval for readers such as these: the readers are the sample."""
    by_reader: tuple[ReaderEffect, ...]
    learning_per_10_percent: Estimate
    """Change over 10 further readings of one reader."""
    learning_per_100_percent: Estimate
    converged: bool | None
    """Whether the likelihood's search converged; null where nothing was fitted."""
    residual_sd: float | None
    """Of log time."""
    reader_sd: float | None
    film_sd: float | None
    model: str
    """What was fitted, in words."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Fitted:
    """A fit and the names of its columns, or why there is none."""

    why: str | None
    names: tuple[str, ...] = ()
    fit: CrossedFit | None = None
    freedom: int = 0
    n: int = 0
    notes: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    split: bool = False

    def percent(self, weights: dict[str, float], level: float, method: str = _METHOD) -> Estimate:
        """A weighted sum of coefficients as a percentage."""
        missing = [name for name in weights if name not in self.names]
        if self.fit is None or missing:
            why = self.why or f"{missing[0]} cannot be told apart from the rest of the model"
            return Estimate.absent(why, method=method, n=self.n, level=level)
        contrast = np.array([weights.get(name, 0.0) for name in self.names])
        value = float(contrast @ self.fit.beta)
        error = math.sqrt(max(0.0, float(contrast @ self.fit.covariance @ contrast)))
        lacking = "the model explains every reading: no error is left to judge by" if self.fit.exact else None
        if self.freedom < 1:
            lacking = "too few readings: no degree of freedom is left for the error"
        half = math.nan if lacking else float(stats.t.isf((1 - level) / 2, self.freedom)) * error
        return as_percent(value, half, level=level, n=self.n, method=f"{method}, {self.freedom} df", why=lacking)


def as_percent(value: float, half: float, *, level: float, n: int, method: str, why: str | None) -> Estimate:
    """A difference of log times and half its interval as a percentage."""
    if abs(value) > _WIDEST:
        return Estimate.absent("the effect is too large to state", method=method, n=n, level=level)
    if why is None and abs(value) + half > _WIDEST:
        why = "the interval is too wide to state"
    if why is not None:
        return Estimate(value=_grown(value), low=None, high=None, level=level, method=method, n=n, why=why)
    low, high = _grown(value - half), _grown(value + half)
    return Estimate(value=_grown(value), low=low, high=high, level=level, method=method, n=n)


def _grown(log_ratio: float) -> float:
    return 100 * math.expm1(log_ratio)


def reading_effects(kept: pd.DataFrame, *, learning: bool = True, level: float = DEFAULT_LEVEL) -> Effects:
    """Fit the mixed model; what the log cannot answer says why.

    Args:
        kept: readings that count: ``reader``, ``film``, ``ai_shown``, ``seconds``, ``place``, ``period``,
            ``ai_positive`` as in `CleanLog.table`.
        learning: include the reader's progress.
        level: confidence level.
    """
    main = _fit(kept, learning=learning)
    positive, negative, both = _split(kept, learning=learning)
    no_learning = "learning was not asked for" if not learning else None
    slope = main if learning or main.why else _Fitted(no_learning, n=main.n)
    by_reader = _by_reader(kept, learning=learning)
    method = f"{_METHOD}; interaction of AI shown and AI-positive"
    fit = main.fit
    return Effects(
        ai_percent=main.percent({"AI shown": 1.0}, level),
        ai_positive_percent=positive.percent(_of(positive, 1.0), level, method),
        ai_negative_percent=negative.percent(_of(negative, 0.0), level, method),
        interaction_percent=both.percent({"the interaction": 1.0}, level, method),
        over_readers_percent=_over_readers(by_reader, level),
        by_reader=tuple(
            ReaderEffect(reader=f"reader {number}", ai_percent=one.percent({"AI shown": 1.0}, level))
            for number, one in by_reader.items()
        ),
        learning_per_10_percent=slope.percent({"learning": 10 / _UNIT}, level),
        learning_per_100_percent=slope.percent({"learning": 100 / _UNIT}, level),
        converged=None if fit is None else fit.converged,
        residual_sd=None if fit is None else fit.residual_sd,
        reader_sd=None if fit is None or "reader" not in main.factors else fit.reader_sd,
        film_sd=None if fit is None or "film" not in main.factors else fit.film_sd,
        model=_words(main),
        notes=(*main.notes, *_split_notes(kept)),
    )


def _split(kept: pd.DataFrame, *, learning: bool) -> tuple[_Fitted, _Fitted, _Fitted]:
    """Fits for the films that the AI calls positive, for those it calls negative, and for how they differ."""
    known = kept[kept["ai_positive"].notna()]
    if not len(known):
        none = _Fitted("the log does not say of any film whether the AI calls it positive")
        return none, none, none
    values = set(known["ai_positive"].tolist())
    if len(values) == 2:
        both = _fit(known, learning=learning, split=True)
        return both, both, both
    only = _fit(known, learning=learning)
    words = "negative" if 1.0 in values else "positive"
    none = _Fitted(f"no reading of a film that the AI calls {words}")
    return (only, none, none) if 1.0 in values else (none, only, none)


def _of(fitted: _Fitted, positive: float) -> dict[str, float]:
    """The effect on one kind of film; where only that kind is there, the effect itself."""
    return {"AI shown": 1.0, "the interaction": positive} if fitted.split else {"AI shown": 1.0}


def _split_notes(kept: pd.DataFrame) -> list[str]:
    left, n = int(kept["ai_positive"].isna().sum()), len(kept)
    return [f"{left:,} readings of films of unknown AI result are not in the split by it"] if 0 < left < n else []


def _words(fitted: _Fitted) -> str:
    if fitted.fit is None:
        return f"none: {fitted.why}"
    fixed = ", ".join(fitted.names[1:])
    random = " and ".join(fitted.factors)
    said = f"log time on {fixed}" + (f"; random effects of {random}, crossed" if random else "; no random effect")
    return f"{said}; restricted maximum likelihood{'' if fitted.fit.converged else ', NOT converged'}"


def _by_reader(kept: pd.DataFrame, *, learning: bool) -> dict[int, _Fitted]:
    numbers = sorted(set(kept["reader"].tolist()))
    return {number: _fit(kept[kept["reader"] == number], learning=learning) for number in numbers}


def _over_readers(by_reader: dict[int, _Fitted], level: float) -> Estimate:
    method = f"{_METHOD} over the readers' own effects"
    own = [
        float(one.fit.beta[one.names.index("AI shown")])
        for one in by_reader.values()
        if one.fit is not None and "AI shown" in one.names
    ]
    n = len(own)
    if n < 2:
        why = f"{n} readers with an effect of their own: two are needed"
        return Estimate.absent(why, method=method, n=n, level=level)
    spread = float(np.std(own, ddof=1))
    same = "all readers have the same effect" if spread == 0 else None
    half = float(stats.t.isf((1 - level) / 2, n - 1)) * spread / math.sqrt(n)
    return as_percent(float(np.mean(own)), half, level=level, n=n, method=f"{method}, {n - 1} df", why=same)


def _fit(rows: pd.DataFrame, *, learning: bool, split: bool = False) -> _Fitted:
    """Fit one model, or say why there is none."""
    n, arm = len(rows), rows["ai_shown"].to_numpy(dtype=np.float64)
    if n == 0:
        return _Fitted("no reading counts")
    if np.ptp(arm) == 0:
        return _Fitted(f"one arm only: all readings are {'with' if arm[0] else 'without'} AI", n=n)
    reader, film, notes = _factors(rows)
    if reader is not None and not _varies(arm, reader) and reader.max() < 2:
        return _Fitted("each of two readers has read in one arm only: reader and AI cannot be told apart", n=n)
    notes += [
        f"no {name} has readings in both arms: the effect compares {name}s with each other"
        for name, levels in (("reader", reader), ("film", film))
        if levels is not None and not _varies(arm, levels)
    ]
    names, design, dropped = _design(rows, learning=learning, split=split)
    if n <= len(names):
        return _Fitted(f"{n} readings are too few for a model of {len(names)} coefficients", n=n)
    response = np.log(rows["seconds"].to_numpy(dtype=np.float64))
    if np.ptp(response) == 0:
        return _Fitted("all reading times are equal", n=n)
    freedom = _freedom(arm, reader, film, n - len(names))
    factors = tuple(name for name, levels in (("reader", reader), ("film", film)) if levels is not None)
    fit = fit_crossed(response, design, reader, film)
    return _Fitted(None, names, fit, freedom, n, (*notes, *dropped), factors, split)


def _factors(rows: pd.DataFrame) -> tuple[Numbers | None, Numbers | None, list[str]]:
    """Levels of reader and film, None where an effect cannot be estimated, and why."""
    notes: list[str] = []
    found: list[Numbers | None] = []
    for name, other in (("reader", "readings of that reader"), ("film", "readings of that film")):
        levels = np.unique(rows[name].to_numpy(), return_inverse=True)[1].astype(np.int64)
        count = int(levels.max()) + 1
        if count == 1:
            notes.append(f"one {name} only: the effect is that on {other}, and says nothing of others")
        elif count == len(rows):
            notes.append(f"no {name} has two readings: differences between them count as error")
        found.append(None if count in (1, len(rows)) else levels)
    return found[0], found[1], notes


def _varies(arm: Floats, levels: Numbers) -> bool:
    """Whether some level has readings in both arms."""
    size = np.bincount(levels)
    shown = np.bincount(levels, weights=arm)
    return bool(((shown > 0) & (shown < size)).any())


def _freedom(arm: Floats, reader: Numbers | None, film: Numbers | None, residual: int) -> int:
    """Degrees of freedom of the effect of AI: those of the stratum that it is estimated in (containment).

    Within readers and films: readings less coefficients less levels. Where no film (or no reader) has both arms, the
    films (or readers) themselves are compared: their number less two.
    """
    within, between = residual, residual
    for levels in (reader, film):
        if levels is None:
            continue
        count = int(levels.max()) + 1
        within -= count - 1
        if not _varies(arm, levels):
            between = min(between, count - 2)
    return between if between < residual else within


def _design(rows: pd.DataFrame, *, learning: bool, split: bool) -> tuple[tuple[str, ...], Floats, list[str]]:
    """Columns that can be told apart, the intercept first, and what was left out for that reason."""
    arm = rows["ai_shown"].to_numpy(dtype=np.float64)
    wanted: dict[str, Floats] = {"AI shown": arm}
    if split:
        positive = rows["ai_positive"].to_numpy(dtype=np.float64)
        wanted |= {"AI-positive": positive, "the interaction": positive * arm}
    if learning:
        place = rows["place"].to_numpy(dtype=np.float64) / _UNIT
        wanted["learning"] = place - place.mean()
    notes = []
    period = rows["period"].fillna(0).to_numpy(dtype=np.int64)
    levels = np.unique(period)
    if 1 < len(levels) <= _MOST_PERIODS:
        wanted |= {f"period {number}": (period == number).astype(np.float64) for number in levels[1:]}
    elif len(levels) > _MOST_PERIODS:
        notes.append(f"the log has {len(levels)} periods: more than {_MOST_PERIODS} are not modelled")
    names, columns = ["intercept"], [np.ones(len(rows))]
    for name, column in wanted.items():
        trial = np.column_stack([*columns, column])
        size = np.linalg.norm(trial, axis=0)
        if (size > 0).all() and np.linalg.matrix_rank(trial / size, tol=1e-7 * math.sqrt(len(rows))) == trial.shape[1]:
            names.append(name)
            columns.append(column)
        else:
            notes.append(f"{name} cannot be told apart from {', '.join(names)}: it is not in the model")
    return tuple(names), np.column_stack(columns), notes
