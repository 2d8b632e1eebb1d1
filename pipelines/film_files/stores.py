"""One attempt at a film that lies elsewhere: asked of an S3 store, a Google store or a web server, and checked."""

import asyncio
import base64
import gzip
import hashlib
import importlib
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final, NamedTuple

from pipelines.errors import Reason
from pipelines.film_files import remote
from pipelines.film_files.libraries import filesystem, library, run
from pipelines.film_files.remote import FetchError, RemoteFilm

MAX_BYTES: Final = 1 << 30
"""Longest film fetched: no longer one would be opened."""
_CHUNK: Final = 1 << 18
_TO_REPEAT: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 509})


class Answer(NamedTuple):
    """What a server says before it sends a film."""

    size: int | None
    """Bytes that are to come."""
    whole: bool
    """Whether an end that comes too early would be noticed where `size` is not stated."""
    version: str
    """Entity tag, generation or time of change."""
    md5: bytes | None
    """Of the bytes that are to come."""
    encoding: str
    """What the bytes are packed with: empty or ``gzip``."""
    read: Callable[[], Awaitable[bytes]]
    """Some more bytes; none at the end."""


def fetch(film: RemoteFilm, sink: BinaryIO, seconds: float) -> None:
    """Write a whole film to a file that is empty.

    Raises:
        FetchError: it was not to be had whole, and whether another attempt may help.
        OSError: the file cannot be written.
    """
    store = filesystem(film.address.scheme)
    packed = run(store, _receive, store, film, sink, seconds)
    if packed:
        _unpack(sink)


def ask(film: RemoteFilm, seconds: float) -> str:
    """Return size and version of a film as its server states them now.

    Raises:
        FetchError: as `fetch`.
    """
    store = filesystem(film.address.scheme)
    return str(run(store, _stated, store, film, seconds))


async def _receive(store: Any, film: RemoteFilm, sink: BinaryIO, seconds: float) -> bool:
    received, size, digest = 0, film.size, hashlib.md5(usedforsecurity=False)
    try:
        async with asyncio.timeout(seconds), _answer(store, film) as answer:
            size = _expected(film, answer)
            while chunk := await answer.read():
                received += len(chunk)
                if received > MAX_BYTES:
                    raise _too_long(received)
                digest.update(chunk)
                sink.write(chunk)
    except _interruptions() as error:
        raise _broken_off(error, received, size) from None
    if size is not None and received != size:
        raise _incomplete(received, size, "")
    if answer.md5 is not None and digest.digest() != answer.md5:
        raise FetchError(Reason.UNREADABLE_FILE, "what came has not the checksum that its server states", again=True)
    return answer.encoding == "gzip"


def _expected(film: RemoteFilm, answer: Answer) -> int | None:
    """How many bytes must come; an answer that cannot be checked, or is about something else, is refused."""
    if film.version and answer.version and film.version != answer.version:
        raise FetchError(Reason.CHANGED, "it changed after it was listed")
    if answer.encoding not in ("", "gzip"):
        raise FetchError(Reason.UNREADABLE_FILE, "its server packs it with a content encoding other than gzip")
    if answer.size is None and film.size is None and not answer.whole:
        raise FetchError(Reason.UNREADABLE_FILE, "its server does not say how long it is: it could end unnoticed")
    size = film.size if film.size is not None else answer.size
    if size is not None and size > MAX_BYTES:
        raise _too_long(size)
    return size


def _too_long(size: int) -> FetchError:
    found = f"the file is at least {size >> 20:,} MiB long, expected at most {MAX_BYTES >> 20:,}"
    return FetchError(Reason.TOO_LARGE, found)


def _incomplete(received: int, size: int | None, why: str) -> FetchError:
    whole = f" of {size:,}" if size is not None else ""
    return FetchError(
        Reason.UNREADABLE_FILE, f"incomplete: {received:,}{whole} bytes came from its server{why}", again=True
    )


def _interruptions() -> tuple[type[BaseException], ...]:
    """What a connection that breaks off looks like."""
    kinds: list[type[BaseException]] = [TimeoutError, ConnectionError, EOFError, library("aiohttp").ClientError]
    try:
        botocore = importlib.import_module("botocore.exceptions")
        kinds += [botocore.BotoCoreError, botocore.HTTPClientError]
    except ImportError:  # no S3 here
        pass
    return tuple(kinds)


def _broken_off(error: BaseException, received: int, size: int | None) -> FetchError:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return FetchError(Reason.UNREADABLE_FILE, "there are no credentials for its server")
    if type(error).__name__ in ("InvalidURL", "InvalidUrlClientError", "NonHttpUrlClientError"):
        return FetchError(Reason.UNREADABLE_FILE, "its address is not a valid one")
    late = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
    if received:
        return _incomplete(received, size, " before it fell silent" if late else "")
    what = "gave no answer in time" if late else f"cannot be reached ({type(error).__name__})"
    return FetchError(Reason.UNREADABLE_FILE, f"its server {what}", again=True, silent=late)


def refused(status: int, after: str | None = None, code: str = "") -> FetchError:
    """What an answer other than the film means."""
    if status in (404, 410):
        return FetchError(Reason.MISSING, f"there is no such file on its server ({status})")
    if status in (401, 403):
        return FetchError(Reason.UNREADABLE_FILE, f"its server denies access ({status})")
    if status == 412:
        return FetchError(Reason.CHANGED, "it changed after it was listed")
    wait = float(after) if after is not None and after.isdigit() else 0.0
    shown = f"{status} {code}" if code.isalpha() else f"{status}"
    repeat = status in _TO_REPEAT or code in ("SlowDown", "RequestTimeout", "InternalError", "Throttling")
    return FetchError(Reason.UNREADABLE_FILE, f"its server answers {shown}", again=repeat, after=wait)


def _unpack(sink: BinaryIO) -> None:
    """Replace a gzip stream by what is in it."""
    with tempfile.TemporaryFile() as plain:
        sink.seek(0)
        try:
            with gzip.GzipFile(fileobj=sink, mode="rb") as stream:
                while chunk := stream.read(_CHUNK):
                    plain.write(chunk)
                    if plain.tell() > MAX_BYTES:
                        raise _too_long(plain.tell())
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise FetchError(
                Reason.UNREADABLE_FILE, "its server calls it packed with gzip, and it cannot be unpacked", again=True
            ) from None
        plain.seek(0)
        sink.seek(0)
        sink.truncate()
        shutil.copyfileobj(plain, sink)


@asynccontextmanager
async def _answer(store: Any, film: RemoteFilm) -> AsyncIterator[Answer]:
    if film.address.scheme == "s3":
        async with _s3_answer(store, film) as answer:
            yield answer
    else:
        async with _web_answer(store, film) as answer:
            yield answer


async def _stated(store: Any, film: RemoteFilm, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            if film.address.scheme == "s3":
                facts = await s3_call(store, "head_object", _key(film))
                return f"{facts['ContentLength']}:{s3_tag(facts)}"
            try:
                async with _web_answer(store, film, method="HEAD") as answer:
                    return f"{answer.size}:{answer.version}"
            except FetchError as error:
                if error.again or error.reason is Reason.MISSING:
                    raise
            # A signed address may allow GET alone. The answer's head is enough; the film is left on the line.
            async with _web_answer(store, film) as answer:
                return f"{answer.size}:{answer.version}"
    except _interruptions() as error:
        raise _broken_off(error, 0, None) from None


async def s3_call(store: Any, method: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Call the S3 interface once.

    Raises:
        FetchError: what the store answered, or that it did not.
    """
    errors = library("botocore.exceptions")
    try:
        await store.set_session()
        client = await store.get_s3(arguments["Bucket"])
        answer: dict[str, Any] = await getattr(client, method)(**arguments, **store.req_kw)
    except errors.ClientError as error:
        facts = error.response.get("ResponseMetadata", {})
        code = str(error.response.get("Error", {}).get("Code", ""))
        after = facts.get("HTTPHeaders", {}).get("retry-after")
        raise refused(int(facts.get("HTTPStatusCode", 0)), after, code) from None
    except errors.ParamValidationError:
        raise FetchError(Reason.UNREADABLE_FILE, "its address is not a valid one") from None
    except _interruptions() as error:
        raise _broken_off(error, 0, None) from None
    return answer


def s3_tag(facts: Mapping[str, Any]) -> str:
    """Entity tag of an object, without its quotes."""
    return str(facts.get("ETag", "")).strip('"')


def _key(film: RemoteFilm) -> dict[str, object]:
    return {"Bucket": film.address.host, "Key": film.address.path}


@asynccontextmanager
async def _s3_answer(store: Any, film: RemoteFilm) -> AsyncIterator[Answer]:
    same = {"IfMatch": f'"{film.version}"'} if film.version else {}
    facts = await s3_call(store, "get_object", _key(film) | same)
    tag = s3_tag(facts)
    # The tag of an object that was stored in one piece, and without a key of its owner's, is the MD5 of its bytes.
    plain = len(tag) == 32 and facts.get("ServerSideEncryption", "AES256") == "AES256" and not facts.get("SSEKMSKeyId")
    plain = plain and not facts.get("SSECustomerAlgorithm")
    packed = str(facts.get("ContentEncoding", "")).replace("aws-chunked", "").strip(" ,").lower()
    async with facts["Body"] as body:

        async def read() -> bytes:
            return bytes(await body.read(_CHUNK))

        yield Answer(facts["ContentLength"], True, tag, bytes.fromhex(tag) if plain else None, packed, read)


@asynccontextmanager
async def _web_answer(store: Any, film: RemoteFilm, *, method: str = "GET") -> AsyncIterator[Answer]:
    url, headers = film.url, {"Accept-Encoding": "identity"}
    if film.address.scheme == "gs":
        url = store.url(f"{film.address.host}/{film.address.path}")
        headers = {"Accept-Encoding": "gzip"}  # without it a packed object is unpacked on the way, and has no length
        store.credentials.apply(headers)
        session, method = store.session, "GET"
    else:
        session = await store.set_session()
    aiohttp, yarl = library("aiohttp"), library("yarl")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=remote.PATIENCE.stall, sock_read=remote.PATIENCE.stall)
    target = yarl.URL(url, encoded=url.isascii() and " " not in url)  # a signature holds for the address as written
    request = session.request(
        method, target, headers=headers, timeout=timeout, allow_redirects=True, auto_decompress=False
    )
    async with request as response:
        if response.status != 200:
            raise refused(response.status, response.headers.get("Retry-After"))

        async def read() -> bytes:
            return bytes(await response.content.read(_CHUNK))

        yield _web_facts(response.headers, read)


def _web_facts(headers: Mapping[str, str], read: Callable[[], Awaitable[bytes]]) -> Answer:
    length = headers.get("Content-Length", "")
    hashes = dict(part.strip().partition("=")[::2] for part in headers.get("x-goog-hash", "").split(","))
    version = next((headers[key] for key in ("x-goog-generation", "ETag", "Last-Modified") if key in headers), "")
    packed = headers.get("Content-Encoding", "").lower()
    return Answer(
        size=int(length) if length.isdigit() else None,
        whole="chunked" in headers.get("Transfer-Encoding", "").lower(),
        version=version.strip('"'),
        md5=_md5(headers.get("Content-MD5") or hashes.get("md5", "")),
        encoding="" if packed == "identity" else packed,
        read=read,
    )


def _md5(text: str) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return value if len(value) == 16 else None
