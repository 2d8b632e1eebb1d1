"""Names of films: as text fit for tables, in natural order, and which of a folder's entries are films at all."""

import os
import re
from typing import Final

from pipelines.inference.outputs import OUTPUT_FILES, OUTPUT_FOLDERS

MANIFEST_SUFFIXES: Final = (".parquet", ".csv", ".csv.gz")

SKIPPED_SUFFIXES: Final = (
    *MANIFEST_SUFFIXES,
    *(".txt", ".md", ".html", ".htm", ".pdf", ".log"),
    *(".json", ".jsonl", ".yaml", ".yml", ".xml", ".tsv", ".xlsx"),
)
"""Files of a folder that accompany films. All other files are inputs, because a DICOM file often has no suffix."""
SKIPPED_NAMES: Final = ("DICOMDIR", "Thumbs.db", "desktop.ini")
_SKIPPED_NAMES_LOWER: Final = frozenset(name.lower() for name in SKIPPED_NAMES)
OUTPUT: Final = "output of an earlier run"
"""What is said of entries that an earlier run wrote."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves a cursor, ends a line or turns the direction of writing: shown as it is, a name could pass for another."""
_DIGITS: Final = re.compile("[0-9]+")


def text_of(name: str | os.PathLike[str]) -> str:
    r"""A path as UTF-8 text with ``/`` between its parts; undecodable bytes and control characters become ``\xNN``.

    Marks that turn the direction of writing, and line and paragraph separators, become ``\uNNNN``.
    """
    posix = os.fspath(name).replace(os.sep, "/")
    if posix.isprintable():  # no control character, no surrogate that stands for an undecodable byte
        return posix
    text = posix.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: _escaped(ord(match[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def natural_key(path: str) -> tuple[tuple[str, str], ...]:
    """Sort key of a POSIX path, part by part: runs of digits compare as numbers."""
    return tuple((_part_key(part), part) for part in path.split("/"))


def natural_order(names: list[str]) -> None:
    """Sort names of one folder as `natural_key` does, in place and with less memory."""
    names.sort()
    names.sort(key=_part_key)  # stable: where only leading zeros differ, the plain order stands


def _part_key(part: str) -> str:
    return _DIGITS.sub(_number_key, part)


def _number_key(match: re.Match[str]) -> str:
    # A longer number is larger. The mark in front sorts before all text, as the end of a text does.
    digits = match[0].lstrip("0")
    return f"\0{chr(len(digits))}{digits}"


def skip_reason(name: str, *, is_folder: bool, ours: bool) -> str | None:
    """Why an entry of a folder is not taken as a film, or a folder not searched; None where it is.

    Args:
        name: of the entry alone.
        is_folder: folders are left out only where they are hidden or hold what an earlier run wrote.
        ours: an earlier run wrote into the folder that holds the entry.
    """
    if name.startswith("."):
        return "hidden"
    if is_folder:
        return OUTPUT if ours and name in OUTPUT_FOLDERS else None
    if ours and name in OUTPUT_FILES:
        return OUTPUT
    if name.lower() in _SKIPPED_NAMES_LOWER:
        return name
    return next((suffix for suffix in SKIPPED_SUFFIXES if name.lower().endswith(suffix)), None)
