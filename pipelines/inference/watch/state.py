"""Which of the files that were seen are complete, which wait, which are done: by key, with no file touched."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipelines.inference.inputs.film_names import natural_key, text_of
from pipelines.inference.watch.folder import Look

GONE: Final = FileNotFoundError.__name__
"""`file_state` of a file that is not there."""
_NUMBERED: Final = re.compile("#[0-9]+$")


class Done(NamedTuple):
    """A film that has a row."""

    state: str
    """Of its file when it was read."""
    rows: int
    """How many films of that name have one."""


class _Since(NamedTuple):
    """A file that stands still."""

    state: str
    time: float


@dataclass(frozen=True, slots=True)
class Complete:
    """A film to read now."""

    key: str
    image_id: str
    state: str
    """Of its file when it was found complete."""
    final: bool = False
    """Its row is written even if it can still not be read."""


class Arrivals:
    """Everything that is known of the files of a watched folder; not for several threads at once.

    - **pending**: seen, may still be written.
    - **owed**: was complete once, so that it must become a row; nothing but a row changes that. Of these, some are on
      their way, and some are **held**, because they were found incomplete after all.
    - **done**: has its row. With another state, its file is a new film.

    Args:
        settle: seconds that a file must stay as it is to be complete.
        give_up: seconds that an incomplete one must stay so to get its row.
    """

    def __init__(self, *, settle: float, give_up: float) -> None:
        self.settle, self.give_up = settle, give_up
        self.done: dict[str, Done] = {}
        self.owed: dict[str, str] = {}
        """Their ids by key."""
        self._under_way: set[str] = set()
        self._pending: dict[str, _Since] = {}
        self._held: dict[str, _Since] = {}
        self._odd: set[str] = set()
        """Ids given out that the id of another film could be; all others are names, which differ."""

    @property
    def waiting(self) -> int:
        """Films that were seen and have no row."""
        return len(self._pending.keys() | self.owed.keys())

    @property
    def under_way(self) -> int:
        """Films that are being read, or about to be."""
        return len(self._under_way)

    def is_settled(self, key: str) -> bool:
        """Whether a film is done and nothing newer is known of its file."""
        return key in self.done and key not in self.owed and key not in self._pending

    def see(self, look: Look, now: float, away: Callable[[str], bool] = lambda _: False) -> list[Complete]:
        """Take in what a look found; return the films to read now, in natural order.

        Args:
            look: all films that are there.
            now: seconds on some clock.
            away: whether the folder of a film is not there, so that its films are not known to be gone.
        """
        ready = [
            film for key, state in look.states.items() if state is not None and (film := self._one(key, state, now))
        ]
        ready += self._vanished(look.states, now, away)
        self._pending = {key: since for key, since in self._pending.items() if key in look.states or away(key)}
        ready.sort(key=lambda film: natural_key(text_of(film.key)))
        self._under_way.update(film.key for film in ready)
        return ready

    def _one(self, key: str, state: str, now: float) -> Complete | None:
        if key in self._under_way:
            return None
        done, held = self.done.get(key), self._held.get(key)
        if done and done.state == state and key not in self.owed:
            self._pending.pop(key, None)
            return None
        if held and held.state == state:
            self._pending.pop(key, None)
            return self._complete(key, state, final=True) if now - held.time >= self.give_up else None
        first = self._pending.get(key)
        if first is None or first.state != state:
            self._pending[key] = _Since(state, now)
            return None
        return self._complete(key, state) if now - first.time >= self.settle else None

    def _vanished(self, there: Mapping[str, str | None], now: float, away: Callable[[str], bool]) -> Iterator[Complete]:
        """Films that are owed and gone: their rows say so, but not before they had time to come back."""
        for key in [key for key in self.owed if key not in there and key not in self._under_way and not away(key)]:
            held = self._held.get(key)
            if held is None or held.state != GONE:
                self._held[key] = _Since(GONE, now)
            elif now - held.time >= self.give_up:
                yield self._complete(key, GONE, final=True)

    def _complete(self, key: str, state: str, *, final: bool = False) -> Complete:
        self._pending.pop(key, None)
        self._held.pop(key, None)
        if key not in self.owed:
            self.owed[key] = self._new_id(key)
        return Complete(key, self.owed[key], state, final)

    def _new_id(self, key: str) -> str:
        """The name as text, with ``#2``, ``#3``, ... behind where an earlier film has that."""
        name, number = text_of(key), self.done[key].rows + 1 if key in self.done else 1
        image_id = name if number == 1 else f"{name}#{number}"
        while image_id in self._odd:
            number += 1
            image_id = f"{name}#{number}"
        self._note_id(image_id)
        return image_id

    def _note_id(self, image_id: str) -> None:
        if "\\" in image_id or _NUMBERED.search(image_id):
            self._odd.add(image_id)

    def finish(self, key: str, state: str) -> None:
        """A film has its row."""
        self._under_way.discard(key)
        self.owed.pop(key, None)
        before = self.done.get(key)
        self.done[key] = Done(state, before.rows + 1 if before else 1)

    def hold(self, key: str, state: str, now: float) -> None:
        """A film was found incomplete: it is read again when it changes, or for the last time after a while."""
        self._under_way.discard(key)
        self._held[key] = _Since(state, now)

    def put_back(self, key: str) -> None:
        """A film changed after it had been found complete: it is as if it had just been seen."""
        self._under_way.discard(key)

    def remember(self, key: str, image_id: str, state: str | None) -> None:
        """Take in what an earlier run knew of a film: that it had a row (and its state), or was owed one."""
        self._note_id(image_id)
        if state is None:
            self.owed[key] = image_id
        else:
            self.finish(key, state)
