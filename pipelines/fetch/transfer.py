"""One question to a web server and its answer: redirects, refusals, and what is worth another attempt.

Over `requests`, which MLflow brings along: proxies and certificates come from the environment, as everywhere.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from pipelines.errors import without_password
from pipelines.fetch.errors import DownloadError
from pipelines.version import DISTRIBUTION, installed_version


class Patience(NamedTuple):
    """How often and how long a server is tried, times in seconds."""

    attempts: int = 6
    """Without a byte more than before; one that brings some begins the count again."""
    offline: int = 2
    """The same where not even a connection came about, with nothing fetched yet."""
    connect: float = 20.0
    stall: float = 60.0
    """Longest silence within an answer."""
    first_wait: float = 1.0
    """Before the second attempt; doubled before each further one."""
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    """What a server may ask to wait (Retry-After); beyond that the user is told to come back."""


PATIENCE: Final = Patience()
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 10
_BUSY: Final = (408, 425, 429, 500, 502, 503, 504)
_MEANING: Final = {
    401: "the server wants a login",
    403: "the server refuses it to this machine, or without a login",
    404: "there is no such file any more",
    407: "the proxy wants a login",
    410: "the publisher has withdrawn it",
    429: "too many requests",
    503: "the server is overloaded",
}


class AgainError(Exception):
    """An attempt that failed, and may not fail the next time.

    Attributes:
        after: seconds that the server asks to wait.
        offline: no connection came about.
    """

    def __init__(self, what: str, *, after: float = 0.0, offline: bool = False) -> None:
        super().__init__(what)
        self.after = after
        self.offline = offline


def open_session() -> requests.Session:
    """A session that asks for bytes as they are stored: a range of packed ones would mean nothing."""
    session = requests.Session()
    version = installed_version(DISTRIBUTION) or "0"
    session.headers.update({"User-Agent": f"{DISTRIBUTION}/{version}", "Accept-Encoding": "identity"})
    return session


@contextmanager
def asked(
    session: requests.Session, url: str, headers: dict[str, str], patience: Patience, *, method: str = "GET"
) -> Iterator[requests.Response]:
    """Ask for a file; redirects are followed, but never from an encrypted address to one that is not.

    Yields:
        An answer of status 200, 206 or 416, its body not read yet.

    Raises:
        AgainError: no connection, or a server that is busy.
        DownloadError: a refusal that stays one.
    """
    for _ in range(_MOST_REDIRECTS):
        with _connected(session, method, url, headers, patience) as response:
            if response.status_code not in _REDIRECTS:
                _judge(response, url)
                yield response
                return
            url = _target(response, url)
    raise DownloadError(f"{shown(url)}: more than {_MOST_REDIRECTS} redirects, expected a file")


def shown(url: str) -> str:
    """An address without user, password and query, which may be a signature."""
    return without_password(urlsplit(url)._replace(query="", fragment="").geturl())


def host_of(url: str) -> str:
    """The server's name."""
    return urlsplit(url).hostname or shown(url)


def _connected(
    session: requests.Session, method: str, url: str, headers: dict[str, str], patience: Patience
) -> requests.Response:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{shown(url)}: expected an address that begins with https:// or http://")
    try:
        timeout = (patience.connect, patience.stall)
        return session.request(method, url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
    except requests.exceptions.SSLError:
        raise DownloadError(f"{host_of(url)}: its certificate cannot be trusted, so nothing was fetched") from None
    except requests.exceptions.ConnectionError:  # proxies that are down, too
        raise AgainError(f"{host_of(url)} cannot be reached", offline=True) from None
    except requests.exceptions.Timeout:
        raise AgainError(f"{host_of(url)} does not answer") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise DownloadError(f"{shown(url)}: no such request can be made ({type(error).__name__})") from None


def _target(response: requests.Response, url: str) -> str:
    target = urljoin(url, response.headers.get("Location", ""))
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise DownloadError(f"{shown(url)} redirects to {shown(target)}, which is not encrypted: refused")
    return target


def _judge(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    what = f"{shown(url)}: answer {status}" + (f", {_MEANING[status]}" if status in _MEANING else "")
    if status in _BUSY:
        raise AgainError(what, after=seconds_asked(response.headers.get("Retry-After", "")))
    raise DownloadError(what)


def seconds_asked(text: str) -> float:
    """Seconds of a Retry-After header: a number, or a date; 0 where it says neither."""
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
