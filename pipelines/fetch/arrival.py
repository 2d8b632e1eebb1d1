"""What of a data set arrived in a folder: label files, films, and what is cut short."""

import gzip
import hashlib
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from pipelines.datasets.adapter import IMAGE_SUFFIXES, Adapter
from pipelines.datasets.measure import measure_file
from pipelines.datasets.native import image_files
from pipelines.errors import CxrError, Reason
from pipelines.fetch.unpacking import TEMPORARY
from pipelines.film_pool import FilmPool, Refusal
from pipelines.system import usable_cores

Progress = Callable[[int, int], None]
"""Called with (films looked at, films in all)."""
State = Literal["ok", "bad", "unknown"]

_FILMS: Final = (*IMAGE_SUFFIXES, ".img", ".mha")
_EXAMPLES: Final = 3
_CHUNK: Final = 1 << 20
_HEADERS: Final = 64
"""Headers read on one errand."""
_JPEG_END: Final = b"\xff\xd9"
_TAIL: Final = 256


@dataclass(frozen=True)
class Finding:
    """One line of what was looked at."""

    what: str
    expected: str
    found: str
    state: State
    """unknown: there is nothing published to compare with."""
    examples: tuple[str, ...] = ()


@dataclass
class Arrival:
    """What arrived."""

    dataset: str
    root: Path
    findings: list[Finding] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing was found wanting."""
        return all(finding.state != "bad" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One sentence."""
        bad = [finding.what for finding in self.findings if finding.state == "bad"]
        if bad:
            return f"{self.dataset} in {self.root} is not complete: {', '.join(bad)}"
        if any(finding.state == "unknown" for finding in self.findings):
            return f"{self.dataset} in {self.root}: nothing is missing, as far as there is something to compare with"
        return f"{self.dataset} in {self.root} is complete"


def check_arrival(adapter: Adapter, root: Path, *, deep: bool = False, progress: Progress | None = None) -> Arrival:
    """Look what of a data set arrived: names and sizes, and with ``deep`` every film's header.

    Args:
        adapter: of the data set.
        root: the data root.
        deep: also read headers, which finds films that are cut short or are none.
        progress: told after every film of a deep check.

    Raises:
        CxrError: the root is no folder.
    """
    if not root.is_dir():
        raise CxrError(f"{root}: expected the folder with {adapter.name}, found none")
    arrival = Arrival(adapter.name, root)
    arrival.findings += _label_files(adapter, root)
    arrival.findings += _leftovers(root)
    on_disk = {path: (root / path).stat().st_size for path in image_files(root, suffixes=_FILMS)}
    rows = _rows(adapter, root, arrival)
    if rows is not None:
        arrival.findings += _films(adapter, rows, on_disk, root)
    here = sorted(set(rows or on_disk) & set(on_disk))
    arrival.findings.append(_bad("films of zero bytes", [path for path in here if not on_disk[path]]))
    if deep:
        arrival.findings += _headers(root, [path for path in here if on_disk[path]], progress)
    return arrival


def _bad(what: str, paths: Sequence[str]) -> Finding:
    return Finding(what, "0", f"{len(paths):,}", "bad" if paths else "ok", tuple(paths[:_EXAMPLES]))


def _label_files(adapter: Adapter, root: Path) -> Iterator[Finding]:
    for name, published in (adapter.whole.files if adapter.whole else {}).items():
        path = _find(root, name)
        if path is None:
            yield Finding(name, "a file", "none", "bad")
            continue
        kind, _, digest = published.partition(":")
        if not digest:
            yield Finding(name, "a file", "found, no digest is published", "ok" if path.stat().st_size else "bad")
            continue
        found = _digest(path, kind, unpacked=path.name.endswith(".gz") and not name.endswith(".gz"))
        same = found == digest.lower()
        yield Finding(
            name, f"{kind} {digest[:12]}…", "the same" if same else f"{kind} {found[:12]}…", "ok" if same else "bad"
        )


def _find(root: Path, name: str) -> Path | None:
    """A label file where it is expected, or else anywhere below the root; plain or gzipped."""
    for place in (root / name, root / f"{name}.gz"):
        if place.is_file():
            return place
    base = PurePosixPath(name).name
    return next((path for path in sorted(root.rglob(f"{base}*")) if path.name in (base, f"{base}.gz")), None)


def _digest(path: Path, kind: str, *, unpacked: bool) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    try:
        with gzip.open(path) if unpacked else path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read ({type(error).__name__})"
    return digest.hexdigest()


def _leftovers(root: Path) -> Iterator[Finding]:
    parts = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.part"))]
    halves = [path.relative_to(root).as_posix() for path in sorted(root.rglob(f"{TEMPORARY}*")) if path.is_dir()]
    if parts or halves:
        yield _bad("files fetched or unpacked in part", parts + halves)


def _rows(adapter: Adapter, root: Path, arrival: Arrival) -> list[str] | None:
    """Paths that the label files speak of; None where they cannot be read, which is noted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the same is said when the manifest is built
            return [str(path) for path in adapter.build(root)["path"]]
    except CxrError as error:
        arrival.findings.append(Finding("native layout", "as published", str(error), "bad"))
        return None


def _films(adapter: Adapter, rows: list[str], on_disk: dict[str, int], root: Path) -> Iterator[Finding]:
    listed = set(rows)
    if adapter.whole is None:
        yield Finding("films listed", "not published", f"{len(rows):,}", "unknown")
    else:
        same = len(rows) == adapter.whole.films
        yield Finding("films listed", f"{adapter.whole.films:,}", f"{len(rows):,}", "ok" if same else "bad")
    missing = [path for path in rows if path not in on_disk and not (root / path).is_file()]
    yield _bad("films missing", missing)
    extra = sorted(path for path in on_disk if path not in listed)
    # Masks, previews and other sets beside the films are no fault of the copy.
    yield Finding("other pictures, not of this set", "any", f"{len(extra):,}", "ok", tuple(extra[:_EXAMPLES]))


def _headers(root: Path, paths: list[str], progress: Progress | None) -> Iterator[Finding]:
    bad: dict[str, list[str]] = {}
    task = partial(measure_file, hashes=False)
    workers = 0 if len(paths) < 4 * _HEADERS else usable_cores()
    with FilmPool(task, workers=workers, chunk=_HEADERS) as pool:
        for done, found in enumerate(pool.map(f"{root}/{path}" for path in paths), start=1):
            reason = found.reason if isinstance(found, Refusal) else found.refusal
            if reason is None and not _ends(root / paths[done - 1]):
                reason = Reason.TRUNCATED
            if reason is not None:
                bad.setdefault(str(reason), []).append(paths[done - 1])
            if progress is not None:
                progress(done, len(paths))
    counts = Counter({reason: len(found) for reason, found in bad.items()})
    yield Finding("headers read", f"{len(paths):,}", f"{len(paths) - counts.total():,} good", "bad" if bad else "ok")
    for reason, films in sorted(bad.items()):
        yield _bad(f"films: {reason}", films)


def _ends(path: Path) -> bool:
    """Whether a JPEG has its end mark, of which its header does not tell; other formats are asked by their header."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return True
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        return _JPEG_END in stream.read()
