"""Discrete-event simulation of a reading room, film by film; compiled with numba.

Readers share one list. A film has a class: 0 interrupting, 1 overdue, 2 flagged, 3 unflagged; a lower class is read
first, and within a class films are read in order of arrival. The rules, exactly:

- **Waiting** is the time in the system during which nobody reads the film: before it is begun, while it is interrupted,
  and while its reader is off duty.
- **Preemptive-resume**: whenever a waiting film is of a lower class than some film being read and no reader is free,
  the last film being read (highest class, latest arrival) is laid aside. It keeps its class, its place by arrival, and
  what has been read of it. Films of one class never interrupt each other.
- **Non-preemptive**: a film once begun is finished, unless its reader leaves; then it is resumed before any film that
  has not been begun, whatever its class.
- **Upper limit** (``max_wait``): when a flagged or unflagged film has waited this long, interruptions included, it
  becomes overdue: it goes before the flagged ones, never before the interrupting ones. It stays overdue until it has
  been read. Under preemption it interrupts flagged and unflagged films, and only interrupting ones interrupt it. The
  clock of a film that is being read stands still. Without preemption a film that has been begun needs no limit.
- **Readers by the hour**: when readers leave, the last films being read (highest class, latest arrival) are laid aside.
- **One instant**: what ends, which readers come or go, who arrives and who becomes overdue at one instant all happen
  before any film is begun. Films that arrive together are read in class order, then in the order given.

One event costs O(log films in the system + readers).
"""

from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.kernels import compiled

INTERRUPTING: Final = 0
OVERDUE: Final = 1
FLAGGED: Final = 2
UNFLAGGED: Final = 3

_CLASSES: Final = 4
_BUSY, _QUEUED, _TIMED = 0, 1, 2  # places in _Room.sizes

Floats = NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")


def _inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a part of `run` into it: numba passes the room to a function by value, which costs 90 ns a film."""
    return cast("Callable[P, R]", numba.njit(nogil=True, inline="always", error_model="numpy")(function))


class _Room(NamedTuple):
    """State of one simulation; arrays over films ``[n]`` unless stated."""

    level: NDArray[np.int8]
    """Class of each film, now."""
    waiting: NDArray[np.bool_]
    """In the system and not being read."""
    begun: NDArray[np.bool_]
    """Laid aside where a film once begun is finished first (non-preemptive)."""
    remaining: Floats
    """Minutes of reading left, as of the last time it was laid aside."""
    since: Floats
    """Begin of its present wait."""
    waited: Floats
    """Waited so far, the present wait excluded."""
    timed: NDArray[np.bool_]
    """Has an entry in the heap of limits."""
    queue_key: Floats
    """``[2 n]``: heap of waiting films by `_place`; an entry is stale where the film's place has changed."""
    queue_film: NDArray[np.int64]
    limit_key: Floats
    """``[n]``: heap of the times at which films may become overdue; an entry may be too early, never too late."""
    limit_film: NDArray[np.int64]
    reader_film: NDArray[np.int64]
    """``[readers]``: the film each busy reader reads; the first ``sizes[_BUSY]`` are valid."""
    reader_end: Floats
    """``[readers]``: when each will be done."""
    sizes: NDArray[np.int64]
    """Busy readers, entries in the queue, entries in the heap of limits."""


@compiled()
def _push(keys: Floats, films: NDArray[np.int64], size: int, key: float, film: int) -> None:
    """Add to a binary min-heap of ``size`` entries."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] <= key:
            break
        keys[at], films[at] = keys[above], films[above]
        at = above
    keys[at], films[at] = key, film


@compiled()
def _drop_first(keys: Floats, films: NDArray[np.int64], size: int) -> None:
    """Remove the first of ``size`` entries of a binary min-heap."""
    last = size - 1
    key, film = keys[last], films[last]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], films[at] = keys[below], films[below]
        at = below
    keys[at], films[at] = key, film


@_inlined
def _place(room: _Room, film: int) -> float:
    """Where a film stands in the queue: begun ones (non-preemptive), then by class, then by arrival."""
    level = room.level[film] - (_CLASSES if room.begun[film] else 0)
    return float(level * len(room.level) + film)


@compiled()
def _wait(room: _Room, film: int, now: float, max_wait: float) -> None:
    """Put a film into the queue, and its limit into the heap of limits."""
    room.waiting[film] = True
    room.since[film] = now
    _push(room.queue_key, room.queue_film, room.sizes[_QUEUED], _place(room, film), film)
    room.sizes[_QUEUED] += 1
    if max_wait < np.inf and room.level[film] > OVERDUE and not room.begun[film] and not room.timed[film]:
        room.timed[film] = True
        _push(room.limit_key, room.limit_film, room.sizes[_TIMED], now + (max_wait - room.waited[film]), film)
        room.sizes[_TIMED] += 1


@compiled()
def _first_waiting(room: _Room) -> int:
    """The film to be read next, -1 if none waits; stale entries are dropped."""
    while room.sizes[_QUEUED] > 0:
        film: int = room.queue_film[0]
        if room.waiting[film] and room.queue_key[0] == _place(room, film):
            return film
        _drop_first(room.queue_key, room.queue_film, room.sizes[_QUEUED])
        room.sizes[_QUEUED] -= 1
    return -1


@compiled()
def _next_limit(room: _Room, max_wait: float) -> float:
    """When the next waiting film becomes overdue; entries of films that were read meanwhile are dropped or put off."""
    while room.sizes[_TIMED] > 0:
        film = room.limit_film[0]
        key: float = room.limit_key[0]
        due = room.since[film] + (max_wait - room.waited[film])
        if room.waiting[film] and not room.begun[film] and due <= key:
            return key
        _drop_first(room.limit_key, room.limit_film, room.sizes[_TIMED])
        room.sizes[_TIMED] -= 1
        room.timed[film] = False
        if room.waiting[film] and not room.begun[film]:
            room.timed[film] = True
            _push(room.limit_key, room.limit_film, room.sizes[_TIMED], due, film)
            room.sizes[_TIMED] += 1
    return np.inf


@_inlined
def _begin(room: _Room, film: int, reader: int, now: float) -> None:
    """Hand the first film of the queue to a reader."""
    _drop_first(room.queue_key, room.queue_film, room.sizes[_QUEUED])
    room.sizes[_QUEUED] -= 1
    room.waiting[film] = False
    room.waited[film] += now - room.since[film]
    room.reader_film[reader] = film
    room.reader_end[reader] = now + room.remaining[film]


@compiled()
def _last_reader(room: _Room) -> int:
    """The busy reader whose film is last in order: highest class, latest arrival."""
    worst, found = -1, -1
    for reader in range(room.sizes[_BUSY]):
        film = room.reader_film[reader]
        place = room.level[film] * len(room.level) + film
        if place > worst:
            worst, found = place, reader
    return found


@compiled()
def _lay_aside(room: _Room, reader: int, now: float, preemptive: bool, max_wait: float) -> None:
    """Stop reading a film; it waits with what is left of it. The last busy reader takes the number of this one."""
    film = room.reader_film[reader]
    room.remaining[film] = room.reader_end[reader] - now
    room.begun[film] = not preemptive
    room.sizes[_BUSY] -= 1
    last = room.sizes[_BUSY]
    room.reader_film[reader], room.reader_end[reader] = room.reader_film[last], room.reader_end[last]
    _wait(room, film, now, max_wait)


@_inlined
def _dispatch(room: _Room, now: float, readers: int, preemptive: bool, max_wait: float) -> None:
    """Lay aside what has lost its reader, then begin films until nobody who may read is free."""
    while room.sizes[_BUSY] > readers:
        _lay_aside(room, _last_reader(room), now, preemptive, max_wait)
    while readers > 0:
        film = _first_waiting(room)
        if film < 0:
            return
        if room.sizes[_BUSY] == readers:
            if not preemptive:
                return
            reader = _last_reader(room)
            if room.level[room.reader_film[reader]] <= room.level[film]:
                return
            _lay_aside(room, reader, now, preemptive, max_wait)
            # The film laid aside is of a higher class, so the first of the queue is still the first.
        _begin(room, film, room.sizes[_BUSY], now)
        room.sizes[_BUSY] += 1


@_inlined
def _finish(room: _Room, now: float, counted: int) -> int:
    """Let the films leave whose reading has ended; how many of them are among the first ``counted``."""
    gone, reader = 0, 0
    while reader < room.sizes[_BUSY]:
        if room.reader_end[reader] <= now:
            gone += room.reader_film[reader] < counted
            room.sizes[_BUSY] -= 1
            last = room.sizes[_BUSY]
            room.reader_film[reader], room.reader_end[reader] = room.reader_film[last], room.reader_end[last]
        else:
            reader += 1
    return gone


@_inlined
def _promote(room: _Room, now: float, max_wait: float) -> None:
    """Films whose limit has come become overdue; their old entries in the queue turn stale."""
    while _next_limit(room, max_wait) <= now:
        film = room.limit_film[0]
        _drop_first(room.limit_key, room.limit_film, room.sizes[_TIMED])
        room.sizes[_TIMED] -= 1
        room.timed[film] = False
        room.level[film] = OVERDUE
        _push(room.queue_key, room.queue_film, room.sizes[_QUEUED], _place(room, film), film)
        room.sizes[_QUEUED] += 1


@_inlined
def _empty_room(reading: Floats, level: NDArray[np.int8], readers: int) -> _Room:
    """Nobody has arrived; ``readers`` at most will be on duty."""
    n = len(reading)
    return _Room(
        level.copy(),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
        reading.copy(),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        np.empty(2 * n),
        np.empty(2 * n, dtype=np.int64),
        np.empty(n),
        np.empty(n, dtype=np.int64),
        np.empty(readers, dtype=np.int64),
        np.empty(readers),
        np.zeros(3, dtype=np.int64),
    )


@compiled()
def run(
    arrival: Floats,
    reading: Floats,
    level: NDArray[np.int8],
    starts: Floats,
    readers: NDArray[np.int64],
    period: float,
    preemptive: bool,
    max_wait: float,
    counted: int,
) -> Floats:
    """Go from event to event until the first ``counted`` films have been read; arguments as of `waiting_minutes`."""
    films, steps = len(arrival), len(starts)
    room = _empty_room(reading, level, readers.max())
    arrived, gone, day, step = 0, 0, 0, 0
    change = 0.0
    on_duty = 0
    while gone < counted:
        now = arrival[arrived] if arrived < films else np.inf
        for reader in range(room.sizes[_BUSY]):
            now = min(now, room.reader_end[reader])
        now = min(now, change, _next_limit(room, max_wait))
        gone += _finish(room, now, counted)
        if change <= now:
            on_duty = readers[step]
            step += 1
            if step == steps:
                step, day = 0, day + 1
            change = day * period + starts[step] if steps > 1 else np.inf
        while arrived < films and arrival[arrived] <= now:
            _wait(room, arrived, now, max_wait)
            arrived += 1
        _promote(room, now, max_wait)
        _dispatch(room, now, on_duty, preemptive, max_wait)
    room.waited[counted:] = np.nan
    return room.waited
