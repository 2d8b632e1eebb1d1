"""What the project knows about a data set, and the two functions that turn its files into manifest rows."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from pipelines.errors import DatasetError


class DatasetWarning(UserWarning):
    """Something about a data set on disk that its user should know; the manifest is made all the same."""


def warn(message: str) -> None:
    """Tell the caller of `build_manifest` what could not be read or known."""
    warnings.warn(message, DatasetWarning, stacklevel=3)


@dataclass(frozen=True)
class Option:
    """A choice a user has when a data set's labels are read; the first choice is the default."""

    choices: tuple[str, ...]
    """Allowed values; empty: any text, and the default is the empty text."""
    doc: str

    @property
    def default(self) -> str:
        """Value where the user gives none."""
        return self.choices[0] if self.choices else ""


Access = Literal["open", "registration", "credentialed", "local"]


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file that the publisher serves to anyone."""

    url: str
    to: str
    """File name below the data root, POSIX; an archive is unpacked into its folder."""
    size: int | None = None
    """Bytes; None where it is not published."""
    digest: str | None = None
    """``md5:…`` or ``sha256:…`` as published; None where it is not."""
    unpack: bool = False
    """Whether it is an archive to be unpacked."""
    unpacked: int | None = None
    """Bytes of what an archive unpacks to; None: estimated."""
    default: bool = True
    """Whether it is fetched unasked; False for another form of the same films, fetched where its name is asked for."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What a complete copy of a data set holds."""

    films: int
    """Rows of its manifest."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Label file below the data root (any of its known places) -> digest as published, or "" where it is not."""


Options = Mapping[str, str]
Rows = Callable[[Path, Options], pd.DataFrame]
Finish = Callable[[pd.DataFrame], pd.DataFrame]


def _as_they_are(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One data set: its card, and how its native files become manifest rows."""

    name: str
    """First part of every image id."""
    title: str
    citation: str
    licence: str
    """Name of the terms, and in short what they permit."""
    films_may_be_shown: bool
    """Whether its terms let films of it be shown in a report that is passed on. False where in doubt."""
    films_may_be_shown_why: str
    """What its terms say of that, in one sentence."""
    how_to_get: str
    size: str
    """Published counts."""
    label_origin: str
    """Who said what is on the films, and how they knew."""
    label_mapping: Mapping[str, str]
    """Native label -> what it becomes in ``tb`` and ``nodule``, and why."""
    known_defects: tuple[str, ...]
    verified: bool
    """True where the parser has read the real files; False where only files written after the documentation."""
    verified_note: str
    """What was verified, and what not."""
    access: Access
    """open: anyone may download it; registration: after giving a name or signing in; credentialed: after training and a
    signed agreement; local: it is made or owned by the user."""
    unknown: str
    """Which of ``tb`` and ``nodule`` are null rather than 0, on which films, and why."""
    rows: Rows
    """Reads the native label files: (root, options) -> rows without facts of the image files."""
    finish: Finish = _as_they_are
    """Given rows with the stored size known, puts boxes and spacing into stored pixels."""
    options: Mapping[str, Option] = field(default_factory=dict)
    overlaps: Mapping[str, str] = field(default_factory=dict)
    """Other data set (its adapter's name where there is one) -> which films of it are in here too, or the reverse."""
    unverified: tuple[str, ...] = ()
    """Facts of this card that public documentation did not settle."""
    downloads: tuple[Download, ...] = ()
    """Files that ``cxr fetch`` gets; empty where the terms want each user to get them in person."""
    steps: tuple[str, ...] = ()
    """How a person gets the files where ``cxr fetch`` may not, in order."""
    whole: Whole | None = None
    """What a complete copy holds, to check what arrived; None where that is not published."""

    def build(self, root: Path, options: Options | None = None) -> pd.DataFrame:
        """Turn the native label files into manifest rows.

        Args:
            root: the data root; the manifest's paths are relative to it.
            options: name -> value, each one of the adapter's `options`.

        Returns:
            Rows in native order, without what only the image files know (size, hashes).

        Raises:
            DatasetError: an unknown option or value, a file of the native layout missing or not as expected.
        """
        return self.rows(root, self.resolve(options or {}))

    def resolve(self, options: Options) -> dict[str, str]:
        """Every option with its value: the given one, else the default.

        Raises:
            DatasetError: an option or a value that the data set does not have.
        """
        for name, value in options.items():
            known = ", ".join(self.options) or "none"
            if name not in self.options:
                raise DatasetError(f"{self.name} has no option {name!r}, its options: {known}")
            choices = self.options[name].choices
            if choices and value not in choices:
                raise DatasetError(f"{self.name}: option {name!r} is {value!r}, expected one of {', '.join(choices)}")
        return {name: options.get(name, option.default) for name, option in self.options.items()}


IMAGE_SUFFIXES: Final = (".dcm", ".dicom", ".dic", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Endings, in lower case, by which a film is known in a folder that holds other files too."""
