"""Read chosen elements of a DICOM data set, and where its pixels begin, touching nothing else.

pydicom parses whole headers, follows nested sequences by recursion, and quotes header values in its warnings. Films
come from strangers: here only elements on a list are ever read, everything else is skipped by its length, nesting
costs no stack, and nothing is said about a value.

Source: DICOM PS3.5, 7.1 (data elements), 7.5 (sequences), 6.2.2 (VR UN of undefined length).
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError

UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010
_FLOAT_PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009})  # never read, only noticed
MAX_VALUE_BYTES: Final = 1 << 20
"""Longest value read: a look-up table of 65,536 16-bit entries is an eighth of it."""
MAX_ELEMENTS: Final = 200_000
"""Elements and items walked before the pixels; a header with more is an attack or an accident."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
KNOWN_VRS: Final = _LONG_VRS | _SHORT_VRS

_BINARY_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}


class Encoding(NamedTuple):
    """How a data set is written."""

    explicit: bool
    order: str
    """``<`` or ``>``, as in `struct`."""


IMPLICIT_LITTLE = Encoding(explicit=False, order="<")
EXPLICIT_LITTLE = Encoding(explicit=True, order="<")
EXPLICIT_BIG = Encoding(explicit=True, order=">")


class ElementStart(NamedTuple):
    """The head of an element whose value begins at the stream's position."""

    tag: int
    vr: bytes | None
    length: int


@dataclass(frozen=True)
class Element:
    """One value as stored."""

    vr: bytes | None
    value: bytes
    order: str


@dataclass(frozen=True)
class Elements:
    """The elements asked for, with typed access; sequences keep their first item only."""

    values: Mapping[int, Element] = field(default_factory=dict)
    items: Mapping[int, "Elements"] = field(default_factory=dict)

    def texts(self, tag: int) -> tuple[str, ...]:
        """The values of a text element without padding; empty where it is absent or empty."""
        element = self.values.get(tag)
        text = element.value.decode("ascii", "replace").strip(" \0") if element else ""
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def text(self, tag: int) -> str:
        """The first value of a text element; '' where it is absent or empty."""
        return next(iter(self.texts(tag)), "")

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The values of a number element; what is no number is nan.

        Decimal text is read as such whatever VR stands beside it, since that is what these attributes hold; other
        bytes are binary numbers where their VR says so.
        """
        element = self.values.get(tag)
        numbers = tuple(_to_float(text) for text in self.texts(tag))
        if element is not None and element.vr in _BINARY_NUMBERS and any(n != n for n in numbers):
            return tuple(float(n) for n in _unpack(element, _BINARY_NUMBERS[element.vr]))
        return numbers

    def integers(self, tag: int) -> tuple[int, ...]:
        """The values of a 16-bit element, unsigned, whatever its sign; other VRs as they say."""
        element = self.values.get(tag)
        if element is None:
            return ()
        if element.vr in (b"IS", b"DS"):
            return tuple(int(n) for n in self.numbers(tag) if n == n and abs(n) < 2**53)
        code = "H" if element.vr != b"UL" or len(element.value) < 4 else "I"
        return tuple(int(n) for n in _unpack(element, code))

    def integer(self, tag: int) -> int | None:
        """The first value of a 16-bit element; None where it is absent or empty."""
        return next(iter(self.integers(tag)), None)


def _unpack(element: Element, code: str) -> tuple[float, ...]:
    count = len(element.value) // struct.calcsize(code)
    return struct.unpack_from(f"{element.order}{count}{code}", element.value)


def _to_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


class Walker:
    """Walks one data set in a seekable stream, reading only what it is asked for."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self._seen = 0

    def next_element(self, encoding: Encoding) -> ElementStart | None:
        """Read the head of the element at the stream's position; None at the end of the stream."""
        self._seen += 1
        if self._seen > MAX_ELEMENTS:
            raise FilmError(Reason.CORRUPT, f"the header has more than {MAX_ELEMENTS} elements")
        head = self.stream.read(8)
        if len(head) < 8:
            return None
        group, element = struct.unpack_from(f"{encoding.order}HH", head)
        tag = group << 16 | element
        vr = head[4:6]
        # Some writers put implicit items inside explicit files: two bytes that are no VR belong to a 32-bit length.
        if not encoding.explicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
            return ElementStart(tag, None, struct.unpack_from(f"{encoding.order}I", head, 4)[0])
        if vr not in _LONG_VRS:
            return ElementStart(tag, vr, struct.unpack_from(f"{encoding.order}H", head, 6)[0])
        long_length = self.stream.read(4)
        if len(long_length) < 4:
            raise FilmError(Reason.TRUNCATED, "the file ends inside its header")
        return ElementStart(tag, vr, struct.unpack(f"{encoding.order}I", long_length)[0])

    def read(
        self, encoding: Encoding, wanted: Collection[int], end: int, *, sequences: bool = True
    ) -> tuple[Elements, ElementStart | None]:
        """Read the wanted elements from here to `end`, to the end of the item, or to the pixel data.

        Args:
            encoding: how they are written.
            wanted: tags; of floating-point pixels no value is read, only that they are there.
            end: offset behind the last element.
            sequences: whether wanted sequences are read too; no sequence inside another one ever is, so that no
                nesting can lead deeper than one call.

        Returns:
            The elements, and the head of PixelData if that is where the walk stopped (its value begins at the
            stream's position).
        """
        values: dict[int, Element] = {}
        items: dict[int, Elements] = {}
        while self.stream.tell() < end and (start := self.next_element(encoding)):
            if start.tag == PIXEL_DATA:
                return Elements(values, items), start
            if start.tag in (_ITEM_END, _SEQUENCE_END) or start.tag > PIXEL_DATA:
                break
            if start.tag in _FLOAT_PIXEL_DATA and start.tag in wanted:
                values[start.tag] = Element(start.vr, b"", encoding.order)
                break
            if start.tag not in wanted:
                self.skip(start, encoding)
            elif start.vr == b"SQ" or start.length == UNDEFINED or self._holds_item(start, encoding):
                if not sequences:
                    self.skip(start, encoding)
                elif (item := self._first_item(start, encoding, wanted)) is not None:
                    items[start.tag] = item
            else:
                values[start.tag] = Element(start.vr, self._value(start), encoding.order)
        return Elements(values, items), None

    def skip(self, start: ElementStart, encoding: Encoding) -> None:
        """Go past the value of the element whose head was just read."""
        if start.length == UNDEFINED:
            self._skip_items(_inner(start, encoding))
        else:
            self._advance(start.length)

    def _value(self, start: ElementStart) -> bytes:
        if start.length > MAX_VALUE_BYTES:
            raise FilmError(Reason.CORRUPT, f"element {_name(start.tag)} is {start.length} bytes long")
        value = self.stream.read(start.length)
        if len(value) < start.length:
            raise FilmError(Reason.TRUNCATED, "the file ends inside its header")
        return value

    def _advance(self, length: int) -> None:
        position = self.stream.tell() + length
        if position > self.size:
            raise FilmError(Reason.TRUNCATED, "the file ends inside its header")
        self.stream.seek(position)

    def _skip_items(self, encoding: Encoding) -> None:
        open_levels = [encoding]  # one for each sequence and item of undefined length that is still open
        while open_levels:
            start = self.next_element(open_levels[-1])
            if start is None:
                raise FilmError(Reason.TRUNCATED, "the file ends inside a sequence of its header")
            if start.tag in (_ITEM_END, _SEQUENCE_END):
                open_levels.pop()
            elif start.length == UNDEFINED:
                open_levels.append(_inner(start, open_levels[-1]))
            else:
                self._advance(start.length)

    def _holds_item(self, start: ElementStart, encoding: Encoding) -> bool:
        """Whether an element without a telling VR is a sequence: its value begins with an item tag."""
        if start.vr not in (None, b"UN") or start.length < 8:
            return False
        head = self.stream.read(4)
        self.stream.seek(-len(head), 1)
        return head == struct.pack(f"{encoding.order}HH", _ITEM >> 16, _ITEM & 0xFFFF)

    def _first_item(self, start: ElementStart, encoding: Encoding, wanted: Collection[int]) -> Elements | None:
        begin = self.stream.tell()
        self.skip(start, encoding)
        end = self.stream.tell()
        self.stream.seek(begin)
        inner = _inner(start, encoding)
        item = self.next_element(inner) if end > begin else None
        elements = None
        if item is not None and item.tag not in (_ITEM, _SEQUENCE_END):
            # To leave out a look-up table that is there, but damaged, would show another picture.
            raise FilmError(Reason.CORRUPT, f"sequence {_name(start.tag)} holds something other than items")
        if item is not None and item.tag == _ITEM:
            item_end = end if item.length == UNDEFINED else min(end, self.stream.tell() + item.length)
            elements, _ = self.read(inner, wanted, item_end, sequences=False)
        self.stream.seek(end)
        return elements


def _inner(start: ElementStart, encoding: Encoding) -> Encoding:
    return IMPLICIT_LITTLE if start.vr == b"UN" else encoding


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
