"""Addresses of films elsewhere: their parts, and what of them may be shown."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

SCHEMES: Final = ("s3", "gs", "https", "http")
_ADDRESS: Final = re.compile(r"(s3|gs|https?)://([^/?#]*)/?(.*)", re.DOTALL | re.IGNORECASE)


class Address(NamedTuple):
    """The parts of an address."""

    scheme: str
    """One of `SCHEMES`."""
    host: str
    """Bucket, or host and port, without credentials."""
    path: str
    """Without its leading slash: an object's key as it is; of a web address the path as written, still quoted."""
    query: str
    """Of a web address, from the question mark on; never shown."""
    credentials: str
    """What stood before an ``@``; never shown."""

    @property
    def is_web(self) -> bool:
        """Whether this is ``https://`` or ``http://``: one film at an address, and nothing to list."""
        return self.scheme.startswith("http")

    @property
    def shown(self) -> str:
        """The address without credentials and query."""
        return f"{self.scheme}://{self.host}/{self.path.split('?')[0]}"

    @property
    def name(self) -> str:
        """The last part of the path, as people read it."""
        last = self.path.split("?")[0].rstrip("/").rpartition("/")[2]
        return unquote(last, errors="surrogateescape") if self.is_web else last


def is_address(given: object) -> bool:
    """Whether this is text that begins like an address of a film elsewhere."""
    return isinstance(given, str) and _ADDRESS.match(given) is not None


def parse_address(url: str) -> Address:
    """Split an address; in a key of an object store, ``?`` and ``#`` are letters like others."""
    match = _ADDRESS.fullmatch(url)
    assert match is not None, "expected an address that is_address() accepts"
    scheme, host, path = match[1].lower(), match[2], match[3]
    credentials, _, host = host.rpartition("@")
    query = ""
    if scheme.startswith("http"):
        path, mark, rest = path.partition("#")[0].partition("?")
        query = mark + rest
    return Address(scheme, host, path, query, credentials)


def shown_address(url: str) -> str:
    """Return an address without credentials, query and fragment, fit for tables and errors."""
    return parse_address(url).shown


def below(base: str, relative: str) -> str:
    """Return the address of a name relative to a prefix.

    Args:
        base: an address, with or without a slash at its end; a query is left off, because it belongs to that address.
        relative: POSIX, as it is; quoted where the address is a web address.
    """
    parts = parse_address(base)
    owner = f"{parts.credentials}@" if parts.credentials else ""
    folder = parts.path if not parts.path or parts.path.endswith("/") else f"{parts.path}/"
    name = quote(relative, errors="surrogateescape") if parts.is_web else relative
    return f"{parts.scheme}://{owner}{parts.host}/{folder}{name}"
