"""A web server on this machine that gives films, and on command cuts, lies, refuses, stalls or packs."""

import base64
import gzip
import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Misbehaving(ThreadingHTTPServer):
    """Paths are ``/<manner>/<film>``; what is asked for is counted by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.films: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.silence = 1.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are what is being tested."""


@contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Misbehaving

    def log_message(self, *args) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer(head=False)

    def answer(self, *, head: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[f"{self.command} {self.path}"] += 1
        self.server.headers.append(dict(self.headers))
        _, manner, name = path.split("/", 2)
        if name not in self.server.films:
            self.send(404, b"")
            return
        getattr(self, f"do_{manner}")(self.server.films[name], head)

    def tries(self) -> int:
        return self.server.asked[f"{self.command} {self.path}"]

    def send(self, status: int, body: bytes, *, head: bool = False, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_good(self, film: bytes, head: bool) -> None:
        self.send(200, film, head=head, ETag=f'"{hashlib.sha256(film).hexdigest()[:8]}"')

    def do_cut(self, film: bytes, head: bool) -> None:
        self.send(200, film[: len(film) // 2], head=head, length=len(film))
        self.hang_up()

    def do_cutonce(self, film: bytes, head: bool) -> None:
        (self.do_cut if self.tries() == 1 else self.do_good)(film, head)

    def do_cutchunks(self, film: bytes, head: bool) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        half = film[: len(film) // 2]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
        self.hang_up()

    def do_chunks(self, film: bytes, head: bool) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not head:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(film), film))

    def do_short(self, film: bytes, head: bool) -> None:
        """Says that half of the film is all of it, beside the checksum of the whole."""
        half = film[: len(film) // 2]
        self.send(200, half, head=head, Content_MD5=base64.b64encode(hashlib.md5(film).digest()).decode())

    def do_endless(self, film: bytes, head: bool) -> None:
        """Says nothing of the length: the end of the connection is the end of the film, or of the cable."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(film)
        self.hang_up()

    def do_busytwice(self, film: bytes, head: bool) -> None:
        if self.tries() <= 2:
            self.send(503, b"", head=head)
        else:
            self.do_good(film, head)

    def do_busy(self, film: bytes, head: bool) -> None:
        self.send(429, b"", head=head, Retry_After="0")

    def do_broken(self, film: bytes, head: bool) -> None:
        self.send(500, b"secret trace of the server", head=head)

    def do_denied(self, film: bytes, head: bool) -> None:
        self.send(403, b"", head=head)

    def do_getonly(self, film: bytes, head: bool) -> None:
        (self.do_denied if head else self.do_good)(film, head)

    def do_stall(self, film: bytes, head: bool) -> None:
        self.send(200, film[:100], head=head, length=len(film))
        self.wfile.flush()
        time.sleep(self.server.silence)

    def do_packed(self, film: bytes, head: bool) -> None:
        self.send(200, gzip.compress(film, mtime=0), head=head, Content_Encoding="gzip")

    def do_packedcut(self, film: bytes, head: bool) -> None:
        self.send(200, gzip.compress(film, mtime=0)[:-10], head=head, Content_Encoding="gzip")

    def do_odd(self, film: bytes, head: bool) -> None:
        self.send(200, film, head=head, Content_Encoding="br")

    def do_moved(self, film: bytes, head: bool) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.replace("/moved/", "/good/"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_slowdown(self, film: bytes, head: bool) -> None:
        """As S3 does under load: twice, then the film."""
        if self.tries() <= 2:
            self.send(503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
        else:
            self.send(200, film, head=head, ETag=f'"{hashlib.md5(film).hexdigest()}"')

    def do_wrongtag(self, film: bytes, head: bool) -> None:
        self.send(200, film[:-1] + b"?", head=head, ETag=f'"{hashlib.md5(film).hexdigest()}"')
