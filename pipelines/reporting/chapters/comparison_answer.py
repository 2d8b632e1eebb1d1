"""What a comparison says in sentences: whether an old threshold may stay, and whether sensitivity is kept."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.comparison.records import ComparedFinding, Pair
from pipelines.evaluation.notes import too_few_for_a_yes
from pipelines.reporting.charts.comparison import points_text
from pipelines.reporting.printing import Words
from pipelines.statistics.accuracy.paired import PairedTest
from pipelines.statistics.estimates import Estimate


@dataclass(frozen=True)
class Answer:
    """Whether the old threshold may stay, in words."""

    verdict: Markup
    sentence: Markup
    price: Markup | None
    safe: bool


def answer_of(pair: Pair, result: ComparedFinding, named: dict[str, Markup], words: Words) -> Answer:
    """Whether the later system may keep the earlier one's threshold."""
    kept = pair.kept_threshold
    if kept is None:
        why = words.recorded(pair.kept_threshold_absent)
        return Answer(
            words("Not answered by these files."),
            words("Whether {later} may keep the threshold of {earlier} cannot be said here: {why}.", **named, why=why),
            None,
            safe=False,
        )
    judged = kept.non_inferiority
    difference, interval = points_text(kept.sensitivity.difference, words)
    values = named | {
        "threshold": words.value(kept, "threshold", form="significant", digits=3),
        "margin": words.value(judged, "margin", form="share", digits=1),
        "difference": difference,
        "interval": interval,
    }
    dear = _costs_specificity(kept.specificity.difference, judged.margin)
    verdict, sentence = _verdict(judged.verdict, values, words, dear=dear)
    safe = judged.verdict == "shown" and not dear
    if judged.verdict == "shown" and too_few_for_a_yes(result.positives, result.negatives):
        return Answer(words("Not shown."), _too_few(result, words), _price(kept.specificity, words), safe=False)
    return Answer(verdict, sentence, _price(kept.specificity, words), safe=safe)


def _too_few(result: ComparedFinding, words: Words) -> Markup:
    """Why so few films are no yes: where hardly a film changes sides, an interval is narrow by chance."""
    return words(
        "{positives} films with the finding and {negatives} without it are too few for a yes, whatever the intervals "
        "below: where hardly a film changes sides they are too narrow.",
        positives=words.count(result, "positives"),
        negatives=words.count(result, "negatives"),
    )


def _costs_specificity(difference: Estimate, margin: float) -> bool:
    """Whether specificity may fall by more than the margin: then sensitivity alone is no reason to say yes."""
    return difference.low is None or difference.low < -margin


def _verdict(verdict: str, values: dict[str, Markup], words: Words, *, dear: bool) -> tuple[Markup, Markup]:
    if verdict == "worse":
        return words("No."), words(
            "Flagging at the old threshold {threshold}, {later} finds fewer of the films with the finding than "
            "{earlier}, by more than the margin of {margin} percentage points: sensitivity changes by {difference} "
            "points ({interval}).",
            **values,
        )
    if verdict != "shown":
        return words("Not shown."), words(
            "Flagging at the old threshold {threshold}, {later} may find fewer of the films with the finding than "
            "{earlier}, by more than the margin of {margin} percentage points: sensitivity changes by {difference} "
            "points ({interval}), and these films do not rule such a loss out.",
            **values,
        )
    kept = words(
        "Flagging at the old threshold {threshold}, {later} loses less sensitivity than the margin of {margin} "
        "percentage points against {earlier}: sensitivity changes by {difference} points ({interval}).",
        **values,
    )
    return words("Sensitivity is kept, specificity may not be.") if dear else words("Yes, on these films."), kept


def _price(specificity: PairedTest, words: Words) -> Markup | None:
    found = specificity.difference
    if found.value is None:
        return None
    value, interval = points_text(found, words)
    if found.value < 0:
        return words(
            "The price: specificity changes by {difference} points ({interval}), so more films without the finding "
            "would be flagged.",
            difference=value,
            interval=interval,
        )
    return words("Specificity changes by {difference} points ({interval}).", difference=value, interval=interval)


def own_thresholds(pair: Pair, result: ComparedFinding, named: dict[str, Markup], words: Words) -> Markup | None:
    """Non-inferiority with each system at its own threshold; None without thresholds, or as a yes of too few films."""
    judged = pair.non_inferiority
    if judged is None or (judged.verdict == "shown" and too_few_for_a_yes(result.positives, result.negatives)):
        return None
    difference, interval = points_text(judged.estimate, words)
    values = named | {
        "margin": words.value(judged, "margin", form="share", digits=1),
        "difference": difference,
        "interval": interval,
    }
    if judged.verdict == "shown":
        return words(
            "Each at its own threshold: {later} is not inferior to {earlier} in sensitivity. It changes by "
            "{difference} percentage points ({interval}), and the margin is {margin}.",
            **values,
        )
    if judged.verdict == "worse":
        return words(
            "Each at its own threshold: the sensitivity of {later} is lower than that of {earlier} by more than the "
            "margin. It changes by {difference} percentage points ({interval}), and the margin is {margin}.",
            **values,
        )
    return words(
        "Each at its own threshold: these films do not show that the sensitivity of {later} is as good as that of "
        "{earlier}, within the margin. It changes by {difference} percentage points ({interval}), and the margin is "
        "{margin}.",
        **values,
    )
