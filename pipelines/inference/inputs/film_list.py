"""The films of a run, held in columns: five million of them fit into a few hundred megabytes."""

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, overload

import pyarrow as pa

from pipelines.film_files import FilmFile, RemoteFilm
from pipelines.film_files.address import below
from pipelines.inference.inputs.film_names import text_of

_TEXT: Final = pa.large_string()
_BYTES: Final = pa.large_binary()
_AT_ONCE: Final = 1 << 12
"""Films made together: fast, and soon forgotten."""
_NAMES_AT_ONCE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class FilmInput:
    """One film to read: one row of the predictions table."""

    image_id: str
    """Unique within the run."""
    path: str
    """As the table shows it: POSIX, relative to the root, the folder given or the manifest's root."""
    file: FilmFile
    """An absolute path, or a film that lies elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmBlock:
    """Films below one folder or address; all columns have one entry for each, or are None."""

    base: Path | str
    """Absolute folder, or address."""
    texts: Any
    """Large string: names below the base, fit for tables."""
    names: Any = None
    """Large binary: names as they are, where they differ from the texts; of an address, what is put behind it."""
    ids: Any = None
    """Large string, where an id is not `id_prefix` and the text."""
    paths: Any = None
    """Large string, where a path is not `path_prefix` and the text."""
    sizes: Any = None
    """Int64: bytes of remote films, where known."""
    versions: Any = None
    """Large string: entity tags of remote films, where known."""
    id_prefix: str = ""
    path_prefix: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def unique(self) -> bool:
        """Whether the ids are certainly unique: they are the names of a folder, which are."""
        return self.ids is None and self.names is None

    def part(self, start: int, stop: int) -> "FilmBlock":
        """Return consecutive films, without copying."""
        columns = ("texts", "names", "ids", "paths", "sizes", "versions")
        cut = {name: getattr(self, name)[start:stop] for name in columns if getattr(self, name) is not None}
        return replace(self, **cut)

    def image_ids(self) -> list[str]:
        """Ids of all films."""
        return self._texts(self.ids, self.id_prefix)

    def table_paths(self) -> list[str]:
        """Paths of all films as the table shows them."""
        return self._texts(self.paths, self.path_prefix)

    def films(self) -> Iterator[FilmInput]:
        """All films, made at once."""
        return map(FilmInput, self.image_ids(), self.table_paths(), self._files())

    def _texts(self, column: Any, prefix: str) -> list[str]:
        texts: list[str] = (self.texts if column is None else column).to_pylist()
        return [prefix + text for text in texts] if column is None and prefix else texts

    def _files(self) -> Iterator[FilmFile]:
        base, raw = self.base, None if self.names is None else map(os.fsdecode, self.names.to_pylist())
        if isinstance(base, Path):
            return map(base.joinpath, raw or self.texts.to_pylist())
        unknown = [None] * len(self)
        sizes = self.sizes.to_pylist() if self.sizes is not None else unknown
        versions = self.versions.to_pylist() if self.versions is not None else unknown
        urls = (base + name for name in raw) if raw is not None else (below(base, t) for t in self.texts.to_pylist())
        return (RemoteFilm(url, size, tag or "") for url, size, tag in zip(urls, sizes, versions, strict=True))


class FilmList(Sequence[FilmInput]):
    """Films in order: a sequence whose entries are made when they are asked for.

    Slices share the columns; iterating makes a few thousand films at a time.
    """

    __slots__ = ("_length", "_starts", "blocks")

    def __init__(self, blocks: Iterable[FilmBlock]) -> None:
        self.blocks = tuple(block for block in blocks if len(block))
        self._starts: list[int] = []
        self._length = 0
        for block in self.blocks:
            self._starts.append(self._length)
            self._length += len(block)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> FilmInput: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FilmInput]: ...
    def __getitem__(self, index: int | slice) -> FilmInput | Sequence[FilmInput]:
        """One film, or the films of a slice."""
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            if step != 1:
                return [self[position] for position in range(start, stop, step)]
            return FilmList(self._between(start, max(start, stop)))
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(f"film {index} of {self._length}")
        block = bisect_right(self._starts, position) - 1
        place = position - self._starts[block]
        return next(self.blocks[block].part(place, place + 1).films())

    def __iter__(self) -> Iterator[FilmInput]:
        """Yield all films in order."""
        for part in self._parts():
            yield from part.films()

    def digest(self) -> str:
        """SHA-256 of ids and paths in order, each followed by a zero byte."""
        digest = hashlib.sha256()
        for part in self._parts():
            both = zip(part.image_ids(), part.table_paths(), strict=True)
            digest.update(("\0".join(chain.from_iterable(both)) + "\0").encode())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes that the columns take."""
        columns = ("texts", "names", "ids", "paths", "sizes", "versions")
        held = (getattr(block, column) for block in self.blocks for column in columns)
        return sum(column.nbytes for column in held if column is not None)

    def _parts(self) -> Iterator[FilmBlock]:
        for block in self.blocks:
            for start in range(0, len(block), _AT_ONCE):
                yield block.part(start, start + _AT_ONCE)

    def _between(self, start: int, stop: int) -> Iterator[FilmBlock]:
        for first, block in zip(self._starts, self.blocks, strict=True):
            if first < stop and start < first + len(block):
                yield block.part(max(0, start - first), stop - first)


def named_block(base: Path | str, names: Iterable[str]) -> FilmBlock:
    """Make a block of names below a base as a system writes them, whatever letters they hold."""
    texts: list[Any] = []
    raw: list[Any] = []
    odd = False
    pending = iter(names)
    while some := list(islice(pending, _NAMES_AT_ONCE)):
        plain = "".join(some).isprintable()
        shown = some if plain else [text_of(name) for name in some]
        texts.append(pa.array(shown, _TEXT))
        odd = odd or shown != some
        raw.append(texts[-1].view(_BYTES) if shown == some else pa.array(map(os.fsencode, some), _BYTES))
    column = joined(texts, _TEXT)
    return FilmBlock(base, column, joined(raw, _BYTES) if odd else None)


def text_column(values: Iterable[str]) -> Any:
    """A column of texts."""
    pending, parts = iter(values), []
    while some := list(islice(pending, _NAMES_AT_ONCE)):
        parts.append(pa.array(some, _TEXT))
    return joined(parts, _TEXT)


def joined(parts: Sequence[Any], kind: Any) -> Any:
    """One column of several of a kind."""
    return pa.concat_arrays(parts) if parts else pa.array([], kind)
