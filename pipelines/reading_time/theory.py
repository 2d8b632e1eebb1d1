"""Mean waiting times in closed form, where there is one; where there is none, a named approximation or a reason.

Waiting is time in the system minus the film's own reading time, so it includes being interrupted. Arrivals are Poisson.

One reader, any distribution of reading times, is exact. With rate l_j and reading time S_j of class j, served before
all later classes, and s_k the traffic of classes 1..k:

- non-preemptive:      W_k    = R_all / ((1 - s_(k-1)) (1 - s_k)),  where R = sum l_j E[S_j^2] / 2
- preemptive resume:   W_k(x) = R_(1..k) / ((1 - s_(k-1)) (1 - s_k)) + x s_(k-1) / (1 - s_(k-1)) for own time x

and with one class both are Pollaczek-Khinchine. Sources: Cobham, Operations Research 2 (1954) 70; Kleinrock, Queueing
Systems II (1976) chapter 3.

Several readers, c of them, look at nested groups of classes 1..k, whose mean waits (weighted by reading time) W_(1..k)
give those of each class:

- non-preemptive:  W_(1..k) = C ((1 - s_k) g + s_k h) / (1 - s_k), with C the Erlang C probability that all are busy, g
  the mean time until the first of them is done, and h = sum l_j E[S_j^2] / (2 c sum l_j E[S_j]); with one class this is
  Tijms, van Hoorn and Federgruen, Advances in Applied Probability 13 (1981) 186
- preemptive: the waits of one reader who is c times as fast, scaled by C(c, a) / rho of the group; Bondi and Buzen,
  Performance Evaluation Review 12 (1984) 34, with Lee and Longton, Operational Research Quarterly 10 (1959) 56

With exponential times of one mean both are exact: Davis, Operations Research 14 (1966) 133, and the nested M/M/c queues
that preemption leaves. How far they are off elsewhere, `benchmarks/waiting.py --theory` prints: over 24 rooms, flagged
films' mean waits by 3.2 % in the median and 13 % at worst without preemption; with it by 7.4 % and 71 %, where such
waits are so short that this is never more than 0.17 minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipelines.reading_time.residual import shortest_of
from pipelines.reading_time.room import ServiceTime
from pipelines.reading_time.scenario import Kind, Scenario

CLASSES: Final = ("all", "diseased", "nondiseased", "flagged", "unflagged", "missed", "interrupting")
"""Classes of film that a waiting time is reported for. ``all`` is every film that is read, interrupting ones included;
diseased, non-diseased, flagged and unflagged ones are not interrupting; ``missed`` are diseased and unflagged."""

_ONE_READER: Final = "exact: M/G/1, Poisson arrivals"
_MANY_EXACT: Final = "exact: M/M/c, Poisson arrivals, exponential reading times of one mean"
_MANY: Final = {
    "preemptive": (
        "approximation: one reader c times as fast (M/G/1 with priorities), scaled by Erlang C over its traffic "
        "(Bondi and Buzen 1984; Lee and Longton 1959)"
    ),
    "nonpreemptive": "approximation: M/G/c of every nested group of classes (Tijms, van Hoorn and Federgruen 1981)",
}


@dataclass(frozen=True)
class Theory:
    """Mean waiting minutes by class, under both orders of reading."""

    method: str
    """Which formula."""
    exact: bool
    """Whether it is exact for this scenario; an approximation otherwise. False where there is none."""
    absent: str | None
    """Why there is no formula; null where there is one."""
    fifo: Mapping[str, float | None]
    """By name of `CLASSES`; None where no such film is read. Empty where there is no formula."""
    fifo_of_read: Mapping[str, float | None]
    """``fifo`` over the films alone that ``ai`` reads too; the same without rule-out."""
    ai: Mapping[str, float | None]

    @property
    def difference(self) -> dict[str, float | None]:
        """``ai`` minus ``fifo`` of the films that both read: negative is a gain, positive the harm side."""
        pairs = {name: (self.ai[name], self.fifo_of_read[name]) for name in self.ai}
        return {name: None if ai is None or fifo is None else ai - fifo for name, (ai, fifo) in pairs.items()}


@dataclass(frozen=True)
class _Stream:
    """Films that share a reading time and a place in the order."""

    level: int
    """0 is read first."""
    classes: tuple[str, ...]
    rate: float
    """Films per minute."""
    time: ServiceTime

    @property
    def mean(self) -> float:
        """E[S], minutes."""
        return self.time.mean

    @property
    def second(self) -> float:
        """E[S^2], square minutes."""
        return self.time.second_moment


def theory(scenario: Scenario, accuracy: tuple[float, float] | None = None) -> Theory:
    """Mean waiting times of both arms.

    Args:
        scenario: the room.
        accuracy: sensitivity and specificity to use instead of the scenario's; where they leave the nesting of its
            ``rule_out``, a flagged film is not filed.
    """
    absent = _why_absent(scenario)
    if absent is not None:
        return Theory(method="no closed form", exact=False, absent=absent, fifo={}, fifo_of_read={}, ai={})
    sensitivity, specificity = scenario.accuracy if accuracy is None else accuracy
    readers = scenario.reader_steps[0][1]
    fifo = _streams(scenario, sensitivity, specificity, ai=False)
    ai = _streams(scenario, sensitivity, specificity, ai=True)
    exact, method = _exactness(scenario, fifo, readers)
    preemptive = scenario.discipline == "preemptive"
    without_ai = _waits(fifo, readers, preemptive=preemptive)
    return Theory(
        method=f"{method}; {'preemptive-resume' if preemptive else 'non-preemptive'} priorities",
        exact=exact,
        absent=None,
        fifo=_by_class(fifo, without_ai),
        fifo_of_read=_by_class(ai, without_ai),  # the same streams in the same order, without the filed films
        ai=_by_class(ai, _waits(ai, readers, preemptive=preemptive)),
    )


def _why_absent(scenario: Scenario) -> str | None:
    if scenario.max_wait_minutes is not None:
        return "The upper-limit rule (max_wait_minutes) has no closed form; see the simulation."
    if scenario.arrivals is not None and scenario.arrivals.batch_films:
        return "Batches of arrivals have no closed form here; see the simulation."
    hourly = None if scenario.arrivals is None else scenario.arrivals.hourly
    if hourly is not None and len(set(hourly)) > 1:
        return "An arrival rate that changes over the day has no closed form; see the simulation."
    if len(scenario.reader_steps) > 1:
        return "A rota with changing numbers of readers has no closed form; see the simulation."
    return None


def _exactness(scenario: Scenario, streams: Sequence[_Stream], readers: int) -> tuple[bool, str]:
    if readers == 1:
        return True, _ONE_READER
    kinds: dict[str, Kind] = {"diseased": "diseased", "nondiseased": "nondiseased", "interrupting": "interrupting"}
    present = {kinds[stream.classes[0]] for stream in streams if stream.rate > 0}
    times = [scenario.service(kind) for kind in sorted(present)]
    if all(time.distribution == "exponential" and time.mean == times[0].mean for time in times):
        return True, _MANY_EXACT
    return False, _MANY[scenario.discipline]


def _streams(scenario: Scenario, sensitivity: float, specificity: float, *, ai: bool) -> list[_Stream]:
    """Split the arrivals by kind and flag; in arm ``ai`` without the filed films."""
    total, first = scenario.arrivals_per_minute, scenario.interrupting_fraction
    diseased = total * (1 - first) * scenario.prevalence
    healthy = total * (1 - first) * (1 - scenario.prevalence)
    unflagged, cleared = 1 - sensitivity, specificity
    if ai and scenario.rule_out is not None:
        unflagged = max(0.0, scenario.rule_out.sensitivity - sensitivity)
        cleared = max(0.0, specificity - scenario.rule_out.specificity)
    return [
        _stream(scenario, 0, "interrupting", None, total * first),
        _stream(scenario, 1, "diseased", "flagged", diseased * sensitivity),
        _stream(scenario, 1, "nondiseased", "flagged", healthy * (1 - specificity)),
        _stream(scenario, 2 if ai else 1, "diseased", "unflagged", diseased * unflagged),
        _stream(scenario, 2 if ai else 1, "nondiseased", "unflagged", healthy * cleared),
    ]


def _stream(scenario: Scenario, level: int, kind: Kind, flag: str | None, rate: float) -> _Stream:
    time = scenario.service(kind)
    missed = ("missed",) if (kind, flag) == ("diseased", "unflagged") else ()
    classes = (kind,) if flag is None else (kind, flag, *missed)
    return _Stream(level, classes, rate, time)


def _waits(streams: Sequence[_Stream], readers: int, *, preemptive: bool) -> list[float]:
    """Mean wait of each stream, in minutes."""
    if readers > 1 and not preemptive:
        return _many_readers(streams, readers)
    one = _one_reader(streams, readers, preemptive=preemptive)
    if readers == 1:
        return one
    waits = [0.0] * len(streams)
    for level in sorted({stream.level for stream in streams}):
        before = [stream for stream in streams if stream.level < level]
        here = _noticeable([stream for stream in streams if stream.level == level], before, readers)
        fast = _one_reader([*before, *here], readers, preemptive=True)
        total = sum(stream.rate * wait for stream, wait in zip([*before, *here], fast, strict=True))
        ahead = sum(stream.rate * wait for stream, wait in zip(before, fast[: len(before)], strict=True))
        change = _scale(readers, _load([*before, *here])) * total - _scale(readers, _load(before)) * ahead
        scale = change / (total - ahead) if total > ahead else 0.0
        for i, stream in enumerate(streams):
            if stream.level == level:
                waits[i] = scale * one[i]
    return waits


def _many_readers(streams: Sequence[_Stream], readers: int) -> list[float]:
    """Non-preemptive: the mean wait of each stream, from those of the nested groups up to its level and before it."""
    load = _load(streams)
    if load == 0:
        return [0.0] * len(streams)
    busy = erlang_c(readers, load)
    first = shortest_of([(stream.rate, stream.time) for stream in streams if stream.rate > 0], readers)
    later = sum(stream.rate * stream.second for stream in streams) / (2 * readers * load)
    waits = []
    for stream in streams:
        ahead = _load([other for other in streams if other.level < stream.level]) / readers
        with_own = _load([other for other in streams if other.level <= stream.level]) / readers
        # The difference quotient of s W_(1..k) between s = ahead and s = with_own, which may be equal.
        waits.append(busy * (first + later * (1 / ((1 - ahead) * (1 - with_own)) - 1)))
    return waits


def _noticeable(here: list[_Stream], before: Sequence[_Stream], readers: int) -> list[_Stream]:
    """A level so rare that its part of a total drowns in rounding, made just frequent enough to be subtracted.

    The waits move by less than a millionth.
    """
    load, others = _load(here), _load(before)
    least = min(1e-7 * others, 1e-3 * (readers - others))
    if load == 0 or load >= least:
        return here
    return [replace(stream, rate=stream.rate / load * least) for stream in here]


def _one_reader(streams: Sequence[_Stream], speed: int, *, preemptive: bool) -> list[float]:
    """Mean wait of each stream at one reader who is ``speed`` times as fast."""
    waits = []
    for stream in streams:
        ahead = _load([other for other in streams if other.level < stream.level]) / speed
        with_own = _load([other for other in streams if other.level <= stream.level]) / speed
        seen = [other for other in streams if other.level <= stream.level] if preemptive else streams
        residual = sum(other.rate * other.second for other in seen) / (2 * speed**2)
        wait = residual / ((1 - ahead) * (1 - with_own))
        waits.append(wait + stream.mean / speed * ahead / (1 - ahead) if preemptive else wait)
    return waits


def _load(streams: Sequence[_Stream]) -> float:
    """Offered load in readers: rate x mean reading time."""
    return sum(stream.rate * stream.mean for stream in streams)


def _scale(readers: int, load: float) -> float:
    """Erlang C over the traffic: how much rarer waiting is at c readers than at one who is c times as fast."""
    return erlang_c(readers, load) / (load / readers) if load > 0 else 0.0


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits in M/M/c.

    Args:
        servers: c, at least 1.
        load: arrival rate x mean service time, in [0, c).

    Returns:
        A share in [0, 1], from the recursion of Erlang B, which neither overflows nor cancels.
    """
    assert 0 <= load < servers
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def _by_class(streams: Sequence[_Stream], waits: Sequence[float]) -> dict[str, float | None]:
    """Mean over the films of each class."""

    def mean(name: str) -> float | None:
        chosen = [(s.rate, wait) for s, wait in zip(streams, waits, strict=True) if name == "all" or name in s.classes]
        films = sum(rate for rate, _ in chosen)
        return sum(rate * wait for rate, wait in chosen) / films if films > 0 else None

    return {name: mean(name) for name in CLASSES}
