"""Every data set the project reads, found in `pipelines.datasets.adapters`."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pipelines.datasets import adapters
from pipelines.datasets.adapter import Adapter
from pipelines.errors import DatasetError

_OWN: Final = ("phantom", "folder")
"""What is no public data set: listed last."""


def _found() -> Iterator[Adapter]:
    for module in pkgutil.iter_modules(adapters.__path__):
        # A module without the name holds what adapters share.
        yield from getattr(importlib.import_module(f"{adapters.__name__}.{module.name}"), "ADAPTERS", ())


def _by_name() -> dict[str, Adapter]:
    by_name: dict[str, Adapter] = {}
    for adapter in sorted(_found(), key=lambda adapter: (adapter.name in _OWN, adapter.name)):
        assert adapter.name not in by_name, f"two adapters are called {adapter.name}"
        by_name[adapter.name] = adapter
    return by_name


ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(_by_name())
"""By name, in alphabetical order; the synthetic cohort and films of one's own come last."""


def get_adapter(name: str) -> Adapter:
    """The adapter of a data set.

    Raises:
        DatasetError: there is none of that name; lists the choices.
    """
    if name not in ADAPTERS:
        raise DatasetError(f"no data set is called {name!r}, expected one of {', '.join(ADAPTERS)}")
    return ADAPTERS[name]
