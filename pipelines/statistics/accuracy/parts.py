"""The parts of an accuracy assessment: which interval each number gets, and what replaces one that would mislead."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.accuracy.curve import Curve
from pipelines.statistics.accuracy.ratios import Prevalence, Ratio, exact_ratio, ratios, region_interval
from pipelines.statistics.accuracy.records import AtTarget, Band, LocalValues, PartialAuroc, Rates, ThresholdTable
from pipelines.statistics.arrays import Bools, Floats, one_class
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.few import auroc_of_pairs, clopper_pearson_bounds, one_film_per_patient, without_interval
from pipelines.statistics.proportions import EXACT, Confusion, confusion
from pipelines.statistics.resampling import Clusters, Sample

HELD: Final = "held by the choice of the threshold in every replicate"
ONE_PATIENT: Final = "only one patient has a {which} film: nothing shows how patients differ"
REGION: Final = "region of the bounds of sensitivity and specificity (at the square root of the level)"
INDEPENDENT: Final = ", films treated as independent although patients have several"

_SHARES: Final = ("sensitivity", "specificity", "ppv", "npv")
_NAMES: Final = ("sensitivity", "specificity", "PPV", "NPV")
_FLAGGED: Final = 6
"""Column of `Curve.rates`."""
_MISSING: Final = ("no positive films", "no negative films", "no flagged films", "no unflagged films")


@dataclass(frozen=True)
class Assessed:
    """One score set, sampled; each method makes one part of the record."""

    truth: Bools
    """``[n]``"""
    score: Floats
    """``[n]``"""
    clusters: Clusters
    curve: Curve
    level: float
    chosen: Literal["analytic", "percentile", "bca"]
    """Intervals of what has an analytic one; the curve's plan says how the rest is bootstrapped."""

    @property
    def n(self) -> int:
        return len(self.truth)

    def patients(self, films: Bools) -> int:
        return self.clusters.take(films).present

    @property
    def scarce(self) -> str | None:
        """Why a bootstrap of what needs both classes would claim too much; None where it would not."""
        for which, films in (("positive", self.truth), ("negative", ~self.truth)):
            if self.patients(films) == 1:
                return ONE_PATIENT.format(which=which)
        return None

    def auroc(self) -> Estimate:
        if self.chosen == "analytic":
            found = auroc_delong(self.truth, self.score, self.level)
            return self.treated(found)
        why = one_class(self.truth) or ""
        found = self.curve.auroc().estimate(0, level=self.level, n=self.n, method="AUROC", why=why)
        if found.value is None or (found.low is not None and self.scarce is None):
            return found
        return auroc_of_pairs(found, self.pairs)

    @property
    def pairs(self) -> int:
        """Pairs of a positive and a negative film in which no patient appears twice."""
        positive, negative = self.patients(self.truth), self.patients(~self.truth)
        return min(positive, negative, self.clusters.present // 2)

    def partial(self) -> PartialAuroc:
        low, high = self.curve.band
        sample, where = self.curve.partial(), f"for sensitivities from {low:g} to {high:g}"
        return PartialAuroc(
            band=self.curve.band,
            area=self.spread(sample, 0, f"partial AUROC {where}", bounds=(0.0, high - low)),
            mean_specificity=self.spread(sample, 1, f"mean specificity {where}"),
            standardised=self.spread(sample, 2, f"McClish's standardised partial AUROC {where}"),
        )

    def spread(
        self, sample: Sample, j: int, method: str, bounds: tuple[float, float] = (0.0, 1.0), why: str = ""
    ) -> Estimate:
        """A statistic that is always bootstrapped and needs both classes."""
        why = one_class(self.truth) or why
        found = sample.estimate(j, level=self.level, n=self.n, method=method, bounds=bounds, why=why)
        return without_interval(found, self.scarce) if self.scarce else found

    def at_target(self, kind: Literal["sensitivity", "specificity"], i: int) -> AtTarget:
        targets = self.curve.sensitivities if kind == "sensitivity" else self.curve.specificities
        sample = getattr(self.curve, f"at_{kind}")(i)
        where = f"at {kind} >= {targets[i]:g}, threshold chosen again in each replicate"
        nothing = f"no score reaches this {kind}: nothing is flagged"
        threshold = self.spread(sample, 0, f"threshold {where}", (-math.inf, math.inf), nothing)
        read = 2 if kind == "sensitivity" else 1
        films = ~self.truth if kind == "sensitivity" else self.truth
        free = self.spread(sample, read, f"{'specificity' if read == 2 else 'sensitivity'} {where}")
        free = free.model_copy(update={"n": int(films.sum())})
        if free.low is None and free.value is not None and self.scarce is None:
            free = self.counted(free, films)
        held = without_interval(self.spread(sample, 3 - read, f"{kind} {where}"), HELD)
        held = held.model_copy(update={"n": int((~films).sum())})
        sensitivity, specificity = (held, free) if kind == "sensitivity" else (free, held)
        return AtTarget(
            kind=kind, target=targets[i], threshold=threshold, sensitivity=sensitivity, specificity=specificity
        )

    def counted(self, found: Estimate, films: Bools) -> Estimate:
        """The exact interval of a share that no replicate changes, with one film per patient."""
        return one_film_per_patient(found, self.patients(films))

    def rates(self, i: int, prevalence: Prevalence | None) -> Rates:
        threshold = self.curve.thresholds[i]
        counts = confusion(self.truth, self.score, threshold)
        if self.chosen == "analytic":
            found = {name: self.treated(made) for name, made in analytic_rates(counts, self.level, prevalence).items()}
        else:
            found = self._resampled(i, self.curve.rates(i), prevalence)
        local = None
        if prevalence:
            interval = None if prevalence.low is None else prevalence.range
            local = LocalValues(
                prevalence=prevalence.value,
                prevalence_interval=interval,
                ppv=found.pop("local_ppv"),
                npv=found.pop("local_npv"),
            )
        return Rates(threshold=threshold, counts=counts, local=local, **found)

    def _resampled(self, i: int, sample: Sample, prevalence: Prevalence | None) -> dict[str, Estimate]:
        flag = self.score >= self.curve.thresholds[i]
        films = (self.truth, ~self.truth, flag, ~flag)
        found = {
            name: self.share(sample, j, _NAMES[j], films[j], self.level, _MISSING[j]) for j, name in enumerate(_SHARES)
        }
        everything = np.ones(self.n, dtype=bool)
        found["flagged"] = self.share(sample, _FLAGGED, "share flagged", everything, self.level, "no films")
        found["lr_positive"] = self.region(sample, "lr_positive", None)
        found["lr_negative"] = self.region(sample, "lr_negative", None)
        if prevalence:
            found["local_ppv"] = self.region(sample, "ppv", prevalence)
            found["local_npv"] = self.region(sample, "npv", prevalence)
        return found

    def share(self, sample: Sample, j: int, name: str, films: Bools, level: float, why: str) -> Estimate:
        found = sample.estimate(j, level=level, n=int(films.sum()), method=name, why=why)
        return self.counted(found, films) if found.value is not None and found.low is None else found

    def sensitivity_specificity(self, sample: Sample, level: float) -> tuple[Estimate, Estimate]:
        """Both rates of a `Curve.rates` at a level of their own."""
        films = (self.truth, ~self.truth)
        first, second = (self.share(sample, j, _SHARES[j], films[j], level, _MISSING[j]) for j in (0, 1))
        return first, second

    def region(self, sample: Sample, kind: Ratio, prevalence: Prevalence | None) -> Estimate:
        """A ratio of both rates: bootstrapped, or from the bounds of both where that would mislead."""
        sensitivity, specificity = self.sensitivity_specificity(sample, math.sqrt(self.level))
        fallback = region_interval(
            sensitivity,
            specificity,
            kind,
            level=self.level,
            n=self.n,
            prevalence=prevalence,
            region=f"{REGION}: {sensitivity.method}; {specificity.method}",
        )
        places = (prevalence.value, *prevalence.range) if prevalence else (0.5,)
        drawn = sample.map(
            lambda raw: np.stack([ratios(raw[:, 0], raw[:, 1], kind, place) for place in places], axis=1)
        )
        if fallback.value is None or self.scarce or np.isinf(drawn.replicates).any():
            return fallback
        name = fallback.method.partition(f", {REGION}")[0]
        bounds = (0.0, 1.0 if prevalence else math.inf)
        found = [drawn.estimate(j, level=self.level, n=self.n, method=name, bounds=bounds) for j in range(len(places))]
        if any(each.low is None or each.high is None for each in found):
            return fallback
        low = min(each.low for each in found if each.low is not None)
        high = max(each.high for each in found if each.high is not None)
        return found[0].model_copy(update={"low": low, "high": high})

    def treated(self, found: Estimate) -> Estimate:
        """Say so where films of one patient are treated as independent because a user asked for it."""
        return found.model_copy(update={"method": found.method + INDEPENDENT}) if self.clusters.repeated else found

    def table(self, places: range) -> ThresholdTable:
        thresholds = [self.curve.thresholds[i] for i in places]
        positive, negative = np.sort(self.score[self.truth]), np.sort(self.score[~self.truth])
        tp = len(positive) - np.searchsorted(positive, thresholds, side="left")
        fp = len(negative) - np.searchsorted(negative, thresholds, side="left")
        return ThresholdTable(
            thresholds=tuple(thresholds),
            true_positive=tuple(map(int, tp)),
            false_positive=tuple(map(int, fp)),
            positives=len(positive),
            negatives=len(negative),
            sensitivity=self.band(places, 0, tp, self.truth),
            specificity=self.band(places, 1, len(negative) - fp, ~self.truth),
            flagged=self.band(places, _FLAGGED, tp + fp, np.ones(self.n, dtype=bool)),
        )

    def band(self, places: range, j: int, counted: NDArray[np.int64], films: Bools) -> Band:
        n = int(films.sum())
        if n and self.chosen != "analytic":
            found = [self.share(self.curve.rates(i), j, "share", films, self.level, "no films") for i in places]
            value, low, high = ([getattr(each, end) for each in found] for end in ("value", "low", "high"))
            plan = self.curve.sample.plan
            method = f"{plan.kind} bootstrap of {plan.unit}, {plan.replicates:,} replicates; {EXACT} with one film per"
            method += " patient where all replicates are equal"
        else:
            value = [float(k) / n if n else None for k in counted]
            lows, highs = clopper_pearson_bounds(np.asarray(counted, dtype=np.float64), n, self.level)
            low, high = ([float(x) if n else None for x in bounds] for bounds in (lows, highs))
            method = EXACT + (INDEPENDENT if self.clusters.repeated else "")
        return Band(value=tuple(value), low=tuple(low), high=tuple(high), level=self.level, method=method, n=n)


def analytic_rates(counts: Confusion, level: float, prevalence: Prevalence | None) -> dict[str, Estimate]:
    """The rates of a 2x2 table of independent films, by the names of `Rates`."""
    found = {
        "sensitivity": counts.sensitivity(level),
        "specificity": counts.specificity(level),
        "ppv": counts.ppv(level),
        "npv": counts.npv(level),
        "flagged": counts.flagged(level),
        "lr_positive": exact_ratio(counts, "lr_positive", level=level),
        "lr_negative": exact_ratio(counts, "lr_negative", level=level),
    }
    if prevalence:
        found["local_ppv"] = exact_ratio(counts, "ppv", level=level, prevalence=prevalence)
        found["local_npv"] = exact_ratio(counts, "npv", level=level, prevalence=prevalence)
    return found
