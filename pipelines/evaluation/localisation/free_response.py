"""FROC, LROC and lesion sensitivity by size, of one finding's marks against the manifest's boxes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from pipelines.errors import EvaluationError
from pipelines.evaluation.joining import Scored
from pipelines.evaluation.localisation.lesions import BANDS, Truth, not_judged, true_lesions
from pipelines.evaluation.localisation.lesions import MEANINGS as LESION_MEANINGS
from pipelines.evaluation.localisation.marks import MEANINGS as MARK_MEANINGS
from pipelines.evaluation.localisation.marks import (
    Criterion,
    FilmMarks,
    Marks,
    file_marks,
    hit_pairs,
    on_judged_films,
    peak_marks,
)
from pipelines.evaluation.localisation.records import AtRate, Froc, FrocCurve, FrocScores, Lroc, LrocCurve, SizeBand
from pipelines.evaluation.patients import clusters_of
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.froc import (
    RATES,
    Curve,
    Ints,
    Marked,
    columns,
    froc_curve,
    judge,
    localisation_statistic,
    lroc_curve,
)
from pipelines.statistics.proportions import EXACT, clopper_pearson
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

CURVE_POINTS: Final = 200
"""A curve with more corners is thinned to about this many."""
RULES: Final = (
    "A lesion is rated by the best mark that hits it; further marks on it are neither hits nor false positives; a mark "
    "on several lesions hits each of them; a mark on no lesion is a false positive."
)
NO_THRESHOLD: Final = "no operating threshold"
NO_NORMALS: Final = "no normal films"


def froc_result(
    scored: Scored,
    finding: str,
    *,
    marks: Marks | None = None,
    threshold: float | None = None,
    criterion: Criterion | None = None,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
) -> Froc:
    """Free-response and localisation ROC of one finding.

    Args:
        scored: the finding's films; ``boxes``, ``pixel_spacing_mm``, ``rows`` and ``columns`` of the manifest.
        finding: whose boxes and marks.
        marks: another system's marks; None takes the peak of each film's map, rated by the film's score.
        threshold: operating threshold, applied to the rating of each mark.
        criterion: when a mark hits; None = the true box contains the mark's point.
        level: confidence level.
        clusters: the patient of each film of ``scored``; None = by ``patient_id``, unknown patients one film each.
        plan: the bootstrap; None = the default plan.

    Returns:
        The record. What has no answer on these films is an absent estimate with its reason; without any, ``why``.

    Raises:
        PredictionsError: marks without this finding, or whose ids match no film.
        EvaluationError: IoU is asked of point marks; a threshold that is not a finite number.
    """
    if threshold is not None and not np.isfinite(threshold):
        raise EvaluationError(f"The operating threshold must be a finite number, got {threshold}.")
    criterion = criterion or Criterion()
    clusters = clusters if clusters is not None else clusters_of(scored.films)
    assert len(clusters.index) == len(scored.films)
    truth = true_lesions(scored, finding)
    given = peak_marks(scored, finding) if marks is None else file_marks(marks, scored, finding)
    kept = on_judged_films(given, scored, truth.judged)
    clusters = clusters.take(truth.judged)
    plan = plan or Plan(unit="patients" if clusters.repeated else "films")
    marked = _marked(scored, truth, kept, criterion)
    why = _why(scored, truth, kept, marks)
    results = _Results(marked, clusters, threshold, plan, level, why)
    return Froc(
        finding=finding,
        marks=kept.source,
        criterion=criterion.text,
        rules=RULES,
        why=why,
        n_films=len(marked.normal),
        n_normal=int(marked.normal.sum()),
        n_lesion_films=int((~marked.normal).sum()),
        n_lesions=len(truth.film),
        n_patients=clusters.present,
        n_marks=len(kept.film),
        not_judged=not_judged(truth.counts, LESION_MEANINGS) + not_judged(kept.counts, MARK_MEANINGS),
        all_films=results.scores(normal_films_only=False),
        normal_films=results.scores(normal_films_only=True),
        jafroc=results.jafroc(),
        lroc=results.lroc(),
        threshold=threshold,
        sensitivity_at_threshold=results.sensitivity(),
        false_positives_at_threshold=results.false_positives(),
        bands=tuple(results.band(place) for place in range(len(BANDS))),
        notes=_notes(scored, marked, kept, why, one_mark=marks is None),
    )


def _marked(scored: Scored, truth: Truth, marks: FilmMarks, criterion: Criterion) -> Marked:
    place = np.cumsum(truth.judged) - 1  # of a film among the films judged
    return judge(
        ~scored.labels[truth.judged],
        place[truth.film],
        place[marks.film],
        marks.score,
        hit_pairs(marks, truth, criterion),
        lesion_group=truth.band,
        groups=len(BANDS),
    )


def _why(scored: Scored, truth: Truth, marks: FilmMarks, given: Marks | None) -> str | None:
    """Why there is no curve at all."""
    if not len(scored.labels):
        return "no films with a known label and a score"
    if not scored.labels.any():
        return "no positive films"
    if not len(truth.film):
        return "no positive film has a usable box of the finding"
    if not len(marks.film):
        return "the predictions have no map peaks" if given is None else "no marks on the films judged"
    return None


def _notes(scored: Scored, marked: Marked, marks: FilmMarks, why: str | None, *, one_mark: bool) -> tuple[str, ...]:
    if why:
        return ()
    notes = []
    reach = len(marked.false_film) / len(marked.normal)
    held = [f"{rate:g}" for rate in RATES if rate > reach]
    if held:
        limit = "One mark per film cannot make more than one false positive per image. " if one_mark else ""
        notes.append(
            f"{limit}All marks together make {reach:.3g} false positives per image; at {', '.join(held)} the curve is "
            "held at its last value."
        )
    diseased, lesions = int((~marked.normal).sum()), len(marked.lesion_film)
    if one_mark and lesions > diseased:
        notes.append(
            f"{diseased} lesion films hold {lesions} lesions: one mark per film reaches a lesion sensitivity of about "
            f"{diseased / lesions:.2f} at best (more only where boxes overlap)."
        )
    if not marked.normal.any():
        notes.append("There are no normal films: false positives are those on lesion films, and LROC has no answer.")
    if len(marks.score) > 1 and np.ptp(marks.score) == 0:
        notes.append("All marks share one score: the curve is one straight line from no mark to every mark.")
    if len(marks.points) > 1 and (np.abs(marks.points) <= 1).all():
        notes.append("All marks lie in the first pixel of their films: were they given as shares, not stored pixels?")
    if len(scored.unread):
        notes.append(f"{len(scored.unread)} films with a known label have no score: they are not judged here.")
    return tuple(notes)


@dataclass(frozen=True)
class _Results:
    """Turns judged marks into estimates: the bootstrap once, then one method per part of the record."""

    marked: Marked
    clusters: Clusters
    threshold: float | None
    plan: Plan
    level: float
    why: str | None

    def __post_init__(self) -> None:
        assert len(self.clusters.index) == len(self.marked.normal)

    @cached_property
    def _sample(self) -> Sample:
        statistic = localisation_statistic(self.marked, self.clusters, self.threshold)
        return resample(statistic, self.clusters.count, self.plan)

    def _estimate(
        self,
        name: str,
        method: str,
        *,
        n: int,
        place: int = 0,
        why: str = NO_NORMALS,
        bounds: tuple[float, float] = (0.0, 1.0),
    ) -> Estimate:
        if self.why:
            return Estimate.absent(self.why, method=method, level=self.level)
        j = columns(self.marked.groups)[name].start + place
        return self._sample.estimate(j, level=self.level, n=n, method=method, bounds=bounds, why=why)

    def _share(
        self,
        name: str,
        method: str,
        counted: Floats | Bools,
        films: Ints,
        *,
        of: str,
        place: int = 0,
        at_threshold: bool = True,
    ) -> Estimate:
        """A share of lesions or films: exact where all are of different patients, else by the bootstrap."""
        missing = self.why or (NO_THRESHOLD if at_threshold and self.threshold is None else None)
        if missing or not len(films):
            return Estimate.absent(missing or f"no {of}", method=method, level=self.level)
        total = float(counted.sum())
        if total.is_integer() and not self.clusters.take(films).repeated:
            exact = clopper_pearson(int(total), len(films), self.level)
            return exact.model_copy(update={"method": f"{method}; {EXACT}"})
        return self._estimate(name, method, n=len(films), place=place)

    def scores(self, *, normal_films_only: bool) -> FrocScores:
        """CPM, sensitivities and curve, with one way of counting false positives."""
        prefix, of = ("normal_", "normal films") if normal_films_only else ("", "all films")
        n = len(self.marked.lesion_film)
        curve = None
        if not self.why and not (normal_films_only and not self.marked.normal.any()):
            curve = froc_curve(self.marked, normal_films_only=normal_films_only)
        reach = None if curve is None else float(curve.x[-1])
        rates = tuple(
            AtRate(
                false_positives_per_image=rate,
                sensitivity=self._estimate(
                    f"{prefix}at_rates",
                    f"lesion sensitivity at {rate:g} false positives per image ({of})",
                    n=n,
                    place=place,
                ),
                held=reach is not None and rate > reach,
            )
            for place, rate in enumerate(RATES)
        )
        return FrocScores(
            cpm=self._estimate(f"{prefix}cpm", f"CPM, false positives on {of}", n=n),
            at_rates=rates,
            curve=None if curve is None else FrocCurve(**_corners(curve, "false_positives_per_image", "sensitivity")),
            reach=reach,
        )

    def jafroc(self) -> Estimate:
        """JAFROC's figure of merit."""
        n = len(self.marked.lesion_film) + int(self.marked.normal.sum())
        return self._estimate("jafroc", "JAFROC figure of merit (lesions against normal films)", n=n)

    def lroc(self) -> Lroc:
        """LROC from the best mark of each film."""
        marked = self.marked
        normal, diseased = np.flatnonzero(marked.normal), np.flatnonzero(~marked.normal)
        flagged = marked.best_score >= (np.inf if self.threshold is None else self.threshold)
        right, best = "correct localisations among lesion films", marked.best_hit[diseased]
        curve = None if self.why or not len(normal) else lroc_curve(marked)
        corners = None if curve is None else _corners(curve, "false_positive_fraction", "correct_localisation")
        return Lroc(
            area=self._estimate("lroc", "area under the LROC curve", n=len(marked.normal)),
            correct=self._share(
                "best_right", f"{right}, any rating", best, diseased, of="lesion films", at_threshold=False
            ),
            correct_at_threshold=self._share(
                "right", f"{right}, at the threshold", best * flagged[diseased], diseased, of="lesion films"
            ),
            false_positive_at_threshold=self._share(
                "wrong", "normal films with a mark at the threshold", flagged[normal], normal, of="normal films"
            ),
            curve=None if corners is None else LrocCurve(**corners),
        )

    def sensitivity(self) -> Estimate:
        """Lesion sensitivity at the operating threshold."""
        return self._lesions_at_threshold("sensitivity", np.ones(len(self.marked.lesion_film), dtype=bool))

    def _lesions_at_threshold(self, name: str, those: Bools, place: int = 0) -> Estimate:
        hit = self.marked.lesion_score[those] >= (np.inf if self.threshold is None else self.threshold)
        films, method = self.marked.lesion_film[those], "lesion sensitivity at the threshold"
        return self._share(name, method, hit, films, of="lesions", place=place)

    def false_positives(self) -> Estimate:
        """False marks per image at the operating threshold."""
        method, n = "false positives per image at the threshold (all films)", len(self.marked.normal)
        if not self.why and self.threshold is None:
            return Estimate.absent(NO_THRESHOLD, method=method, level=self.level)
        return self._estimate("false_marks", method, n=n, bounds=(0.0, np.inf))

    def band(self, place: int) -> SizeBand:
        """Lesion sensitivity of one size."""
        those, shown = self.marked.lesion_group == place, BANDS[place]
        return SizeBand(
            name=shown.name,
            above_mm=shown.above,
            up_to_mm=shown.up_to,
            n_lesions=int(those.sum()),
            at_threshold=self._lesions_at_threshold("band", those, place),
            at_one_false_positive=self._estimate(
                "band_at_one",
                "lesion sensitivity at 1 false positive per image (all films)",
                n=int(those.sum()),
                place=place,
                why="no lesions",
            ),
        )


def _corners(curve: Curve, x: str, y: str) -> dict[str, Any]:
    """The curve as fields of its record, thinned evenly along its length."""
    keep = np.arange(len(curve.x))
    if len(keep) > CURVE_POINTS:
        along = curve.x / max(curve.x[-1], np.finfo(float).tiny) + curve.y / max(curve.y[-1], np.finfo(float).tiny)
        steps = np.linspace(0, along[-1], CURVE_POINTS - 1)
        keep = np.unique(np.r_[0, np.searchsorted(along, steps), len(along) - 1].clip(max=len(along) - 1))
    return {
        "thresholds": (None, *map(float, curve.thresholds[keep][1:])),
        x: tuple(map(float, curve.x[keep])),
        y: tuple(map(float, curve.y[keep])),
    }
