"""One file from a server to its place: in parts if need be, checked, and under its own name only when it is whole."""

import hashlib
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import requests
import urllib3

from pipelines.datasets.adapter import Download
from pipelines.errors import without_password
from pipelines.fetch.errors import DownloadError
from pipelines.fetch.record import Fetched, Part, Record, now
from pipelines.fetch.space import free_bytes, readable, require_space
from pipelines.fetch.transfer import PATIENCE, AgainError, Patience, asked, host_of, open_session, shown

Progress = Callable[[str, int, int | None], None]
"""Called with (file, bytes done, bytes in all or None)."""
Note = Callable[[str], None]
"""Told in one sentence what is going on."""

_CHUNK: Final = 1 << 20
_HEAD: Final = 1024
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script)\b", re.I | re.S
)


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Downloader:
    """Fetches files into one folder and remembers what it did there."""

    root: Path
    record: Record
    """Of that folder; written after every step."""
    progress: Progress = _nothing
    note: Note = _nothing
    patience: Patience = PATIENCE
    session: requests.Session = field(default_factory=open_session)

    def fetch(self, download: Download, url: str) -> Path:
        """Get one file, going on with what an earlier run left of it.

        Args:
            download: where it belongs, and its size and digest as far as they are published.
            url: where to get it: the publisher's address, or a mirror's.

        Returns:
            The file, which is whole.

        Raises:
            DownloadError: it cannot be had, is not what was published, or has changed since an earlier run.
        """
        target = self.root / download.to
        if target.is_file():
            return self._found(download, target)
        self._part(download).parent.mkdir(parents=True, exist_ok=True)
        tries, best, damaged = 0, self._have(download), 0
        while True:
            try:
                self._complete(download, url)
                digest = self._checked(download, self._part(download))
                break
            except AgainError as error:
                tries = 0 if self._have(download) > best else tries + 1
                best = max(best, self._have(download))
                self._wait(download, url, error, tries)
            except _DamagedError as error:
                damaged += 1
                self._forget_part(download)
                if damaged > 1:
                    raise DownloadError(f"{error}, twice; nothing was kept of it") from None
                self.note(f"{error}; fetching it once more from the beginning")
        self._part(download).rename(target)
        self._remember(download, target, digest, shown(url))
        return target

    def size(self, download: Download, url: str) -> int | None:
        """Bytes of a file: as published, else as the server says before it is fetched; None where it does not."""
        if download.size is not None:
            return download.size
        try:
            with asked(self.session, url, {}, self.patience, method="HEAD") as response:
                return _number(response.headers.get("Content-Length", ""))
        except (AgainError, DownloadError):  # some answer this question to nobody: fetching tells why, if at all
            return None

    def have(self, download: Download) -> int:
        """Bytes of a file that are here: all of it, or a part."""
        target = self.root / download.to
        return target.stat().st_size if target.is_file() else self._have(download)

    def _part(self, download: Download) -> Path:
        target = self.root / download.to
        return target.with_name(f"{target.name}.part")

    def _have(self, download: Download) -> int:
        part = self._part(download)
        return part.stat().st_size if part.is_file() else 0

    def _forget_part(self, download: Download) -> None:
        self._part(download).unlink(missing_ok=True)
        self.record.parts.pop(download.to, None)
        self.record.save(self.root)

    def _complete(self, download: Download, url: str) -> None:
        """One attempt at the bytes that are missing."""
        have, known = self._have(download), self.record.parts.get(download.to)
        if known is None or known.url != shown(url) or not (known.etag or known.modified):
            have = 0  # nothing says that what is on the server is what a part is here of
        if known is not None and have and have == known.total:
            return
        with asked(self.session, url, _range_headers(have, known), self.patience) as response:
            start, part = self._plan(download, url, response, have, known)
            self.record.parts[download.to] = part
            self.record.save(self.root)
            got = self._write(download, url, response, start, part.total)
        if part.total is not None and got < part.total:
            raise AgainError(f"{shown(url)}: {_broken_off(got, part.total)}")

    def _plan(
        self, download: Download, url: str, response: requests.Response, have: int, known: Part | None
    ) -> tuple[int, Part]:
        """From which byte an answer goes on, and what is known of the whole file."""
        part = Part(
            url=shown(url),
            etag=response.headers.get("ETag", ""),
            modified=response.headers.get("Last-Modified", ""),
        )
        start = 0
        if response.status_code == 200:
            part.total = _number(response.headers.get("Content-Length", ""))
        else:
            start, part.total = _content_range(response.headers.get("Content-Range", ""))
            same = known is not None and (part.etag, part.modified, part.total) == (
                known.etag,
                known.modified,
                known.total,
            )
            if response.status_code == 416 or start != have or not same:
                self._forget_part(download)
                raise AgainError(f"{shown(url)} has changed on the server since a part of it was fetched")
        _require_no_page(download, url, response)
        if response.headers.get("Content-Encoding", "identity") != "identity" and not download.unpack:
            raise DownloadError(f"{shown(url)}: the server packs it although it was asked not to, expected it as it is")
        self._require_length(download, url, response, start, part.total)
        return start, part

    def _require_length(
        self, download: Download, url: str, response: requests.Response, start: int, total: int | None
    ) -> None:
        if total is not None and download.size is not None and total != download.size:
            raise DownloadError(
                f"{shown(url)}: the server offers {total:,} bytes, expected {download.size:,} as published: it is "
                "another file, or another edition of it"
            )
        chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if not (total is not None or chunked or download.size or download.digest or download.unpack):
            raise DownloadError(f"{shown(url)}: the server does not say how long it is, so its end cannot be known")
        if total is not None and download.size is None:
            require_space(self.root, total - start, download.to)

    def _write(self, download: Download, url: str, response: requests.Response, start: int, total: int | None) -> int:
        """Write an answer's body behind what is here; returns the bytes that are here then."""
        expected = total if total is not None else download.size
        limit = expected if expected is not None else start + free_bytes(self.root)
        done = start
        with self._part(download).open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            while chunk := self._read(response, url, done, expected):
                done += len(chunk)
                if done > limit:
                    stream.close()
                    self._forget_part(download)
                    raise DownloadError(f"{shown(url)}: the server sends more than {limit:,} bytes, cut off there")
                stream.write(chunk)
                self.progress(download.to, done, expected)
        return done

    def _read(self, response: requests.Response, url: str, done: int, expected: int | None) -> bytes:
        try:
            chunk: bytes = response.raw.read1(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, TimeoutError, ConnectionError) as error:
            raise AgainError(f"{shown(url)}: {_broken_off(done, expected)} ({type(error).__name__})") from None
        return chunk

    def _wait(self, download: Download, url: str, error: AgainError, tries: int) -> None:
        patience = self.patience
        most = patience.offline if error.offline and not self._have(download) else patience.attempts
        if tries >= most or error.after > patience.longest_asked:
            raise DownloadError(self._hopeless(download, url, error)) from None
        longest = min(patience.longest_wait, patience.first_wait * 2.0 ** max(0, tries - 1))
        seconds = max(error.after, longest * random.uniform(0.5, 1.0))
        self.note(f"{error}; another attempt in {seconds:.0f} s")
        time.sleep(seconds)

    def _hopeless(self, download: Download, url: str, error: AgainError) -> str:
        target = self.root / download.to
        if error.after > self.patience.longest_asked:
            return f"{error}; it asks to come back in {error.after / 60:.0f} minutes: run the same command again then"
        if error.offline:
            return (
                f"{error}: get {shown(url)} where {host_of(url)} can be reached, put it at {target} as it is, "
                "and run the same command again"
            )
        kept = f"; {readable(have)} are kept, run the same command again" if (have := self._have(download)) else ""
        return f"{error}, {self.patience.attempts} times without getting further{kept}"

    def _found(self, download: Download, target: Path) -> Path:
        """Take a file that is in its place already: from an earlier run, or put there by the user."""
        before = self.record.files.get(download.to)
        if before is not None and before.size == target.stat().st_size and before.published == download.digest:
            return target
        try:
            self._remember(download, target, self._checked(download, target), "")
        except _DamagedError as error:
            raise DownloadError(f"{error}; remove it to fetch it again") from None
        self.note(f"{target} was there already and is taken as it is")
        return target

    def _checked(self, download: Download, path: Path) -> str:
        """SHA-256 of a file that is what was published, and what it was before."""
        size = path.stat().st_size
        if download.size is not None and size != download.size:
            raise _DamagedError(f"{download.to}: found {size:,} bytes, expected {download.size:,} as published")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        if _HTML.match(head) and not download.to.lower().endswith((".html", ".htm")):
            if path == self._part(download):
                self._forget_part(download)
            raise DownloadError(_page(download, path.name))
        kind, _, published = (download.digest or "").partition(":")
        found = _digests(path, {"sha256", kind} - {""})
        if published and found[kind] != published.lower():
            raise _DamagedError(f"{download.to}: found {kind} {found[kind]}, expected {published.lower()} as published")
        before = self.record.files.get(download.to)
        if not published and before is not None and before.sha256 != found["sha256"]:
            if path == self._part(download):
                self._forget_part(download)
            raise DownloadError(
                f"{download.to}: sha256 is {found['sha256']}, it was {before.sha256} on {before.at}, and the publisher "
                "prints none: take a new folder if the new edition is wanted"
            )
        return found["sha256"]

    def _remember(self, download: Download, target: Path, sha256: str, origin: str) -> None:
        self.record.parts.pop(download.to, None)
        self.record.files[download.to] = Fetched(
            sha256=sha256, size=target.stat().st_size, at=now(), origin=origin, published=download.digest
        )
        self.record.save(self.root)
        if download.digest is None:
            self.note(
                f"{download.to}: the publisher prints no digest; sha256 {sha256} is recorded to compare with later"
            )


class _DamagedError(Exception):
    """A file is whole but not the one that was published."""


def _broken_off(done: int, expected: int | None) -> str:
    return f"the answer broke off after {done:,}" + ("" if expected is None else f" of {expected:,}") + " bytes"


def _range_headers(have: int, known: Part | None) -> dict[str, str]:
    if not have or known is None:
        return {}
    # A weak entity tag does not promise the same bytes, and may not stand here (RFC 9110, 13.1.5).
    same = known.modified if known.etag.startswith("W/") or not known.etag else known.etag
    return {"Range": f"bytes={have}-"} | ({"If-Range": same} if same else {})


def _content_range(text: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    return (int(match[1]), _number(match[2])) if match else (-1, None)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text.strip()) else None


def _require_no_page(download: Download, url: str, response: requests.Response) -> None:
    """Refuse a web page before it is written over a part of the file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") and not download.to.lower().endswith((".html", ".htm")):
        raise DownloadError(_page(download, shown(url)))


def _page(download: Download, what: str) -> str:
    return (
        f"{without_password(what)} is a web page (a login, a notice or a network's own page), expected the file "
        f"{Path(download.to).name}: open the address in a browser to see what it wants"
    )


def _digests(path: Path, kinds: set[str]) -> dict[str, str]:
    running = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            for digest in running.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in running.items()}
