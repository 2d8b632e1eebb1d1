"""A server of large files that goes on in the middle, or only pretends to, and an adapter whose files lie there."""

import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.datasets import Adapter
from pipelines.datasets.adapter import Download, Whole
from pipelines.errors import DatasetError
from tests.misbehaving_server import Misbehaving, _Handler, misbehaving


@contextmanager
def large_files() -> Iterator[Misbehaving]:
    with misbehaving() as server:
        server.RequestHandlerClass = _Ranges
        yield server


class _Ranges(_Handler):
    """Manners beside those of films: ``/<manner>/<file>``."""

    def tag(self, film: bytes) -> str:
        return f'"{hashlib.sha256(film).hexdigest()[:12]}"'

    def asked_from(self, film: bytes, tag: str) -> int:
        """First byte that is asked for; 0 where the whole file is, or If-Range names another one."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", tag) == tag
        return int(match[1]) if match and same else 0

    def rest(self, film: bytes, start: int, tag: str, *, most: int | None = None, **headers: str) -> None:
        body = film[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(film) - 1}/{len(film)}")
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:most])
        if most is not None and most < len(body):
            self.hang_up()

    def do_whole(self, film: bytes, head: bool) -> None:
        self.rest(film, self.asked_from(film, self.tag(film)), self.tag(film))

    def do_drips(self, film: bytes, head: bool) -> None:
        """Breaks off after a third of the file, every time."""
        self.rest(film, self.asked_from(film, self.tag(film)), self.tag(film), most=len(film) // 3 + 1)

    def do_norange(self, film: bytes, head: bool) -> None:
        """Breaks off once, and begins with the first byte whatever it is asked for."""
        self.rest(film, 0, self.tag(film), most=len(film) // 2 if not head and self.tries() == 1 else None)

    def do_changes(self, film: bytes, head: bool) -> None:
        """Another file of the same length after the first attempt broke off; If-Range is obeyed."""
        if head or self.tries() > 1:
            other = film[::-1]
            self.rest(other, self.asked_from(other, self.tag(other)), self.tag(other))
        else:
            self.rest(film, 0, self.tag(film), most=len(film) // 2)

    def do_changesbadly(self, film: bytes, head: bool) -> None:
        """As `do_changes`, but If-Range is ignored: the second half is of the other file."""
        tries = self.tries()
        if tries == 1 and not head:
            self.rest(film, 0, self.tag(film), most=len(film) // 2)
            return
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.rest(film[::-1], int(match[1]) if match else 0, self.tag(film[::-1]))

    def do_liesmore(self, film: bytes, head: bool) -> None:
        """Says that it is twice as long as it is, and hangs up at its end."""
        start = self.asked_from(film, self.tag(film))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(2 * len(film) - start))
        self.send_header("ETag", self.tag(film))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{2 * len(film) - 1}/{2 * len(film)}")
        self.end_headers()
        if not head:
            self.wfile.write(film[start:])
            self.hang_up()

    def do_liesless(self, film: bytes, head: bool) -> None:
        """Says that half of it is all of it."""
        self.send(200, film, head=head, length=len(film) // 2)
        self.close_connection = True

    def do_wrongbytes(self, film: bytes, head: bool) -> None:
        self.rest(film[:-1] + b"?", 0, '"x"')

    def do_wrongonce(self, film: bytes, head: bool) -> None:
        (self.do_whole if self.tries() > 1 else self.do_wrongbytes)(film, head)

    def do_overlong(self, film: bytes, head: bool) -> None:
        """Says nothing of its length and does not end."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(0 if head else 50):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(film), film))
        self.hang_up()

    def do_login(self, film: bytes, head: bool) -> None:
        """A page instead of the file, with the status of success."""
        page = b"\n<!DOCTYPE html>\n<html><body>Please sign in</body></html>"
        self.send(200, page, head=head, Content_Type="text/html; charset=utf-8")

    def do_disguised(self, film: bytes, head: bool) -> None:
        """The same page, said to be an archive."""
        self.send(200, b"<html>Please sign in</html>", head=head, Content_Type="application/zip")

    def do_portal(self, film: bytes, head: bool) -> None:
        """Breaks off once; then a network's own page answers every question; then the file is there again."""
        tries = self.tries()
        if tries == 2 and not head:
            self.do_login(film, head)
        else:
            start = self.asked_from(film, self.tag(film))
            self.rest(film, start, self.tag(film), most=len(film) // 2 if tries == 1 and not head else None)

    def do_patience(self, film: bytes, head: bool) -> None:
        (self.do_whole if self.tries() > 2 else self.do_busy)(film, head)

    def do_tomorrow(self, film: bytes, head: bool) -> None:
        self.send(503, b"", head=head, Retry_After="86400")

    def do_loop(self, film: bytes, head: bool) -> None:
        self.send(302, b"", head=head, Location=self.path)

    def do_hop(self, film: bytes, head: bool) -> None:
        self.send(302, b"", head=head, Location=self.path.replace("/hop/", "/whole/"))

    def do_ftp(self, film: bytes, head: bool) -> None:
        self.send(302, b"", head=head, Location="ftp://example.org/films.zip")


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return out.getvalue()


def small_set(*downloads: Download, films: int = 4, **card: object) -> Adapter:
    """An adapter called ``small``: ``labels.csv`` lists the films of ``films/``."""

    def rows(root: Path, _options: Mapping[str, str]) -> pd.DataFrame:
        if not (root / "labels.csv").is_file():
            raise DatasetError(f"small: expected labels.csv in {root}, found none")
        names = (root / "labels.csv").read_text().split()
        return pd.DataFrame({"image_id": [f"small/{name}" for name in names], "path": [f"films/{n}" for n in names]})

    facts: dict[str, object] = {
        "name": "small",
        "title": "A small set",
        "citation": "Nobody 2026",
        "licence": "CC BY 4.0: any use with the citation",
        "films_may_be_shown": True,
        "films_may_be_shown_why": "CC BY permits it.",
        "how_to_get": "https://example.org/small",
        "size": "4 films",
        "label_origin": "nobody",
        "label_mapping": {},
        "known_defects": (),
        "verified": True,
        "verified_note": "all of it",
        "access": "open",
        "unknown": "nodule on every film: nobody looked",
        "rows": rows,
        "downloads": downloads,
        "whole": Whole(films=films, files={"labels.csv": ""}),
    }
    return Adapter(**(facts | card))  # type: ignore[arg-type]
