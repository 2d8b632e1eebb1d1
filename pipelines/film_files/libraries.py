"""The libraries of the extra ``remote``: fsspec, with s3fs, gcsfs and aiohttp, imported on first use.

They take credentials, proxies and endpoints from where they always do: the environment and fsspec's own configuration.
"""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from pipelines.errors import CxrError
from pipelines.film_files import remote


def library(name: str) -> Any:
    """Import a library of the extra ``remote``.

    Raises:
        CxrError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise CxrError(
            f"films at s3://, gs:// and https:// addresses need the library {name.partition('.')[0]}: "
            "pip install 'cxr-triage[remote]'"
        ) from None


def run(store: Any, function: Callable[..., Awaitable[Any]], *args: object) -> Any:
    """Run a coroutine on the thread that serves a file system of fsspec."""
    return library("fsspec.asyn").sync(store.loop, function, *args)


def filesystem(scheme: str) -> Any:
    """Return fsspec's file system, which keeps its connections from film to film."""
    fsspec = library("fsspec")
    library({"s3": "s3fs", "gs": "gcsfs"}.get(scheme, "aiohttp"))
    if scheme == "s3":
        # One attempt each: how often and how long is decided for a film as a whole.
        once = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": remote.PATIENCE.stall,
            "read_timeout": remote.PATIENCE.stall,
        }
        return fsspec.filesystem("s3", config_kwargs=once, use_listings_cache=False)
    if scheme == "gs":
        return fsspec.filesystem("gs", use_listings_cache=False)
    return fsspec.filesystem("http", client_kwargs={"trust_env": True})
