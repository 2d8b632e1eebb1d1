"""A list of films that grows at one end and is forgotten at the other."""

from collections.abc import Sequence
from typing import overload

from pipelines.inference.inputs.film_list import FilmInput


class FilmWindow(Sequence[FilmInput]):
    """The films on their way by position; those that are done are forgotten."""

    def __init__(self) -> None:
        self._films: dict[int, FilmInput] = {}
        self.end = 0

    def add(self, film: FilmInput) -> None:
        """Put a film behind the last."""
        self._films[self.end] = film
        self.end += 1

    def forget(self, positions: range) -> None:
        """Drop films that are done."""
        for position in positions:
            del self._films[position]

    def __len__(self) -> int:
        """How many there were in all."""
        return self.end

    @overload
    def __getitem__(self, index: int) -> FilmInput: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FilmInput]: ...
    def __getitem__(self, index: int | slice) -> FilmInput | Sequence[FilmInput]:
        """One film, or the films of a slice, that are not done."""
        if isinstance(index, slice):
            return [self._films[position] for position in range(*index.indices(self.end))]
        return self._films[index]
