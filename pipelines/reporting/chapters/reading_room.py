"""The reading room that waiting times assume, as short sentences to stand beside their picture."""

from collections.abc import Iterator, Mapping
from typing import Final

from markupsafe import Markup

from pipelines.reading_time.room import ServiceTime
from pipelines.reading_time.scenario import Scenario
from pipelines.reporting.book import Tested
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words, share_digits

_DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "exponential": message("exponential"),
    "deterministic": message("always the same"),
    "lognormal": message("log-normal"),
    "gamma": message("gamma"),
}
_MOST: Final = 4
"""Sessions or batches shown one by one."""


def room_facts(room: Scenario, part: Tested, words: Words) -> tuple[Markup, ...]:
    """Every assumption of a scenario as a sentence."""
    return (
        words("{share} of films have the finding.", share=_share(room, "prevalence", words)),
        *_accuracy(part, words),
        *_readers(room, words),
        *_traffic(room, words),
        *_minutes(room, words),
        *_rules(room, words),
    )


def _share(room: Scenario, field: str, words: Words) -> Markup:
    return words.value(room, field, form="percent", digits=share_digits(getattr(room, field)))


def _accuracy(part: Tested, words: Words) -> Iterator[Markup]:
    point = part.result.operating_point
    if point is not None and part.proxies is not None and part.proxies.absent is None:
        yield words(
            "{sensitivity} of films with the finding are flagged, and {specificity} of films without it are not: as "
            "measured here, threshold {threshold} ({label}).",
            sensitivity=words.percent(point.sensitivity),
            specificity=words.percent(point.specificity),
            threshold=words.value(point, "threshold", form="significant", digits=4),
            label=words.recorded(point.label),
        )


def _readers(room: Scenario, words: Words) -> Iterator[Markup]:
    if room.rota is None:
        yield words.plural(
            "{n} reader, around the clock.",
            "{n} readers share one list, around the clock.",
            room.readers,
            n=words.count(room, "readers"),
        )
        return
    for session in room.rota[:_MOST]:
        yield words.plural(
            "{n} reader from hour {start} to hour {end} of the day.",
            "{n} readers from hour {start} to hour {end} of the day.",
            session.readers,
            n=words.count(session, "readers"),
            start=words.value(session, "from_", form="significant", digits=4),
            end=words.value(session, "to", form="significant", digits=4),
        )
    if len(room.rota) > _MOST:
        yield words("More sessions follow in the scenario.")


def _traffic(room: Scenario, words: Words) -> Iterator[Markup]:
    if room.traffic is not None:
        yield words("Without AI, the readers are busy {share} of the time.", share=_share(room, "traffic", words))
    if room.arrivals_per_hour is not None:
        rate = words.value(room, "arrivals_per_hour", form="significant", digits=4)
        yield words("Films per hour, averaged over the day: {rate}.", rate=rate)
    if room.arrivals is None:
        return
    if room.arrivals.hourly is not None:
        yield words("How many films arrive changes with the hour of the day.")
    for batch in room.arrivals.batches[:_MOST]:
        yield words.plural(
            "{n} film arrives at hour {hour} of every day, in one batch.",
            "{n} films arrive together at hour {hour} of every day.",
            batch.films,
            n=words.count(batch, "films"),
            hour=words.value(batch, "hour", form="significant", digits=4),
        )
    if len(room.arrivals.batches) > _MOST:
        yield words("More batches follow in the scenario.")


def _minutes(room: Scenario, words: Words) -> Iterator[Markup]:
    times = room.minutes
    if times.diseased == times.nondiseased and (not room.interrupting_fraction or times.interrupting == times.diseased):
        yield words("Mean reading time in minutes ({shape}): {minutes}.", **_time(times.diseased, words))
        return
    yield words(
        "Mean reading time of a film with the finding, in minutes ({shape}): {minutes}.", **_time(times.diseased, words)
    )
    yield words(
        "Mean reading time of a film without it, in minutes ({shape}): {minutes}.", **_time(times.nondiseased, words)
    )
    if room.interrupting_fraction:
        yield words(
            "Mean reading time of an emergency, in minutes ({shape}): {minutes}.", **_time(times.interrupting, words)
        )


def _time(time: ServiceTime, words: Words) -> dict[str, Markup]:
    mean = words.value(time, "mean", form="significant", digits=3)
    return {"minutes": mean, "shape": words(_DISTRIBUTIONS[time.distribution])}


def _rules(room: Scenario, words: Words) -> Iterator[Markup]:
    if room.discipline == "preemptive":
        yield words("A flagged film interrupts the reading of a film that is not flagged.")
    else:
        yield words("A film once begun is finished before the next one.")
    if room.interrupting_fraction:
        share = _share(room, "interrupting_fraction", words)
        yield words("{share} of films are emergencies: read before all others, with AI and without it.", share=share)
    if room.max_wait_minutes is not None:
        limit = words.value(room, "max_wait_minutes", form="significant", digits=4)
        yield words("A film that has waited {limit} minutes goes first, flagged or not.", limit=limit)
    if room.rule_out is not None:
        kept, filed = room.rule_out.sensitivity, room.rule_out.specificity
        yield words(
            "With AI, films below a second threshold are filed unread: {filed} of films without the finding; {kept} of "
            "films with it are kept for a reader.",
            filed=words.value(room.rule_out, "specificity", form="percent", digits=share_digits(filed)),
            kept=words.value(room.rule_out, "sensitivity", form="percent", digits=share_digits(kept)),
        )
