"""What lies below an address of an object store."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pipelines.errors import CxrError, Reason
from pipelines.film_files import remote
from pipelines.film_files.address import Address, parse_address
from pipelines.film_files.libraries import filesystem, library, run
from pipelines.film_files.remote import FetchError, RemoteFilm, persistently
from pipelines.film_files.stores import refused, s3_call, s3_tag

T = TypeVar("T")
PAGE = 1000
"""Most objects that S3 names at once."""


class Listed(NamedTuple):
    """One object of a listing."""

    key: str
    size: int
    version: str
    """Entity tag, or generation of a Google store."""


def list_objects(url: str) -> Iterator[Listed]:
    """Yield all objects whose key begins with that of an address, in the order of the store.

    Raises:
        CxrError: the address cannot be listed, and why.
    """
    address = parse_address(url)
    _check(address)
    pages = _s3_pages if address.scheme == "s3" else _gs_pages
    for page in pages(address):
        yield from page


def find_object(url: str) -> RemoteFilm | None:
    """Return the one object at an address, with its size and version; None where there is none.

    Raises:
        CxrError: its store cannot be asked, and why.
    """
    address = parse_address(url)
    _check(address)
    store = filesystem(address.scheme)
    try:
        if address.scheme == "s3":
            facts = persistently(
                lambda _: run(store, s3_call, store, "head_object", {"Bucket": address.host, "Key": address.path}),
                remote.PATIENCE.fetch,
            )
            return RemoteFilm(url, int(facts["ContentLength"]), s3_tag(facts))
        info = persistently(lambda _: _gs(store.info, f"{address.host}/{address.path}"), remote.PATIENCE.fetch)
    except FetchError as error:
        if error.reason is Reason.MISSING:
            return None
        raise CxrError(f"{address.shown}: cannot be opened ({error})") from None
    return RemoteFilm(url, int(info["size"]), str(info.get("generation", ""))) if info["type"] == "file" else None


def _check(address: Address) -> None:
    if not address.host:
        raise CxrError(
            f"{address.scheme}://: an address of an object store names its bucket, as in s3://bucket/folder/"
        )
    if address.credentials:
        raise CxrError(
            f"{address.shown}: the address holds credentials; leave them out and set them in the environment"
        )


def _s3_pages(address: Address) -> Iterator[list[Listed]]:
    store = filesystem("s3")
    asked: dict[str, object] = {"Bucket": address.host, "Prefix": address.path, "MaxKeys": PAGE}
    while True:
        page: Mapping[str, Any] = _listing(address, partial(run, store, s3_call, store, "list_objects_v2", asked))
        yield [Listed(entry["Key"], int(entry["Size"]), s3_tag(entry)) for entry in page.get("Contents", ())]
        if not page.get("IsTruncated"):
            return
        asked = asked | {"ContinuationToken": page["NextContinuationToken"]}


def _gs_pages(address: Address) -> Iterator[list[Listed]]:
    store = filesystem("gs")
    found = _listing(address, lambda: _gs(store.find, f"{address.host}/{address.path}", detail=True))
    begin = len(address.host) + 1
    yield [
        Listed(name[begin:], int(info["size"]), str(info.get("generation", "")))
        for name, info in sorted(found.items())
        if info["type"] == "file"
    ]


def _listing(address: Address, ask: Callable[[], T]) -> T:
    try:
        return persistently(lambda _: ask(), remote.PATIENCE.fetch)
    except FetchError as error:
        raise CxrError(f"{address.shown}: cannot be listed ({error})") from None


def _gs(function: Callable[..., T], *args: object, **more: object) -> T:
    """Call gcsfs, whose errors are those of several libraries."""
    failures = (
        OSError,
        library("aiohttp").ClientError,
        importlib.import_module("gcsfs.retry").HttpError,
        importlib.import_module("google.auth.exceptions").GoogleAuthError,
    )
    try:
        return function(*args, **more)
    except FileNotFoundError:
        raise refused(404) from None
    except failures as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) or str(code).isdigit():
            raise refused(int(str(code))) from None
        raise FetchError(Reason.UNREADABLE_FILE, f"its store cannot be asked: {type(error).__name__}") from None
