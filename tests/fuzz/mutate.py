"""Mutated films, each the same in every run: input `k` of a family is a function of the two."""

import random
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz.seeds import DICOM_FAMILIES, FAMILIES, seeds

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
VRS = [b"US", b"SS", b"UL", b"DS", b"IS", b"CS", b"LO", b"OB", b"OW", b"SQ", b"UN", b"UT", b"FD", b"??", b"\0\0"]
NUMBERS = [b"1e309", b"-1e309", b"nan", b"inf", b"", b"0", b"-0", b"1e-320", b"0x10", b"\\", b"1\\", b"9" * 60]
NUMBERS += [b" 1 ", b"+3", b"1_0", b"\xd9\xa1", b"2147483648", b"-1", b"1e5", b"0.0001", b"4096\\1"]
TARGETS = [0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102]
TARGETS += [0x00280103, 0x00280120, 0x00280121, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056, 0x00283000]
TARGETS += [0x00283010, 0x20500020, 0x7FE00010, 0x00080016, 0x00080060, 0x00020010, 0xFFFEE000, 0xFFFEE0DD]
EDGES = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 72, 80, 127, 128, 255, 256, 4095, 32767, 32768, 65534, 65535]
LENGTHS = [0, 1, 3, 7, 0xFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


class Element(NamedTuple):
    """Where an element of a file lies."""

    tag: int
    at: int
    length_at: int
    length_bytes: int
    value_at: int
    length: int
    order: str


class Case(NamedTuple):
    """One input being made."""

    data: bytearray
    rng: random.Random
    family: str
    order: str
    explicit: bool


def mutated(family: str, k: int) -> bytes:
    """Input `k` of a family; every twentieth or so is a seed as it is."""
    rng = random.Random(f"{family}/{k}")
    data = rng.choice(seeds(family))
    inflated = family == "deflated" and rng.random() < 0.7
    head = b""
    if inflated:
        at = _meta_end(data)
        head, data = data[:at], zlib.decompress(data[at:], -15)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        order = ">" if family == "big" else "<"
        case = Case(bytearray(data), rng, family, order, family != "implicit")
        data = bytes(rng.choice(_mutators(family))(case))
    if inflated:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = head + packer.compress(data) + packer.flush()
    return data


def _mutators(family: str) -> tuple[Callable[[Case], bytes | bytearray], ...]:
    if family in DICOM_FAMILIES:
        stream = (marker, in_stream, in_stream, dimension_in_stream) if family not in _NATIVE else (pixel_bytes,)
        return (*GENERIC, *ELEMENTS, *ELEMENTS, *stream, *(ITEMS if family not in _NATIVE else ()))
    own = {"png": (png_chunk, png_chunk), "raster_jpeg": (marker, dimension_in_stream), "tiff": (tiff_entry,) * 3}
    return (*GENERIC, *own.get(family, (text_header,) * 4))


_NATIVE = frozenset({"implicit", "explicit", "big", "deflated"})


# --- any file


def flip(case: Case) -> bytearray:
    """One to eight bits, half of them in the first kilobyte."""
    for _ in range(case.rng.randint(1, 8)):
        case.data[_place(case)] ^= 1 << case.rng.randrange(8)
    return case.data


def overwrite(case: Case) -> bytearray:
    """A run of one byte value, or of noise."""
    at, length = _place(case), case.rng.randint(1, 24)
    run = bytes([case.rng.choice((0, 255, 127, 128, 32))]) * length
    case.data[at : at + length] = run if case.rng.random() < 0.7 else case.rng.randbytes(length)
    return case.data


def truncate(case: Case) -> bytearray:
    """The end is missing."""
    return case.data[: case.rng.randrange(len(case.data) + 1)]


def extend(case: Case) -> bytearray:
    """Something behind the end."""
    return case.data + case.rng.choice(
        (b"\0", b"\xff\xd9", case.rng.randbytes(99), b"\0" * 9999, bytes(case.data[:500]))
    )


def splice(case: Case) -> bytearray:
    """The beginning of this file and the end of another, often of another family."""
    family = case.family if case.rng.random() < 0.6 else case.rng.choice(FAMILIES)
    other = case.rng.choice(seeds(family))
    return case.data[: _place(case)] + other[case.rng.randrange(len(other)) :]


def cut_out(case: Case) -> bytearray:
    """Bytes in the middle are missing."""
    at = _place(case)
    del case.data[at : at + case.rng.choice((1, 2, 3, 8, 100, 1000))]
    return case.data


def insert(case: Case) -> bytearray:
    """Bytes too many."""
    at = _place(case)
    case.data[at:at] = case.rng.choice((b"\0", b"\xff", bytes(case.data[at : at + 50]), case.rng.randbytes(8)))
    return case.data


def number(case: Case) -> bytearray:
    """A 16- or 32-bit edge value anywhere."""
    at, order = _place(case), case.rng.choice("<>")
    word = struct.pack(f"{order}I", case.rng.choice(LENGTHS))
    case.data[at : at + 4] = word if case.rng.random() < 0.5 else struct.pack(f"{order}H", case.rng.choice(EDGES)) * 2
    return case.data


GENERIC = (flip, flip, overwrite, truncate, extend, splice, cut_out, insert, number)


def _place(case: Case) -> int:
    size = max(1, len(case.data))
    if not case.data:
        case.data.append(0)
    return case.rng.randrange(min(size, 1200)) if case.rng.random() < 0.5 else case.rng.randrange(size)


# --- DICOM elements


def _meta_end(data: bytes) -> int:
    """Where the data set begins, as (0002,0000) says."""
    return 144 + struct.unpack_from("<I", data, 140)[0]


def elements(case: Case) -> list[Element]:
    """The elements, items and fragments of a file in order, as far as they make sense."""
    data, found = case.data, []
    at = 132 if data[128:132] == b"DICM" else 0
    while at + 8 <= len(data) and len(found) < 200:
        meta = data[at : at + 2] == b"\x02\x00"
        order, explicit = ("<", True) if meta else (case.order, case.explicit)
        group, number_ = struct.unpack_from(f"{order}HH", data, at)
        tag = group << 16 | number_
        if not explicit or group == 0xFFFE:
            length_at, size = at + 4, 4
        elif bytes(data[at + 4 : at + 6]) in LONG:
            length_at, size = at + 8, 4
        else:
            length_at, size = at + 6, 2
        if length_at + size > len(data):
            break
        length = int.from_bytes(data[length_at : length_at + size], "little" if order == "<" else "big")
        value_at = length_at + size
        found.append(Element(tag, at, length_at, size, value_at, length, order))
        inside = length == 0xFFFFFFFF
        at = value_at if inside else value_at + length
    return found


def _pick(case: Case) -> Element | None:
    found = elements(case)
    wanted = [element for element in found if element.tag in TARGETS]
    if not found:
        return None
    return case.rng.choice(wanted if wanted and case.rng.random() < 0.7 else found)


def length_field(case: Case) -> bytearray:
    """An element's length is 0, odd, huge or undefined."""
    if element := _pick(case):
        near = element.length + case.rng.choice((-2, -1, 1, 2, 8))
        length = (near if case.rng.random() < 0.4 else case.rng.choice(LENGTHS)) % (1 << (8 * element.length_bytes))
        packed = length.to_bytes(element.length_bytes, "little" if element.order == "<" else "big")
        case.data[element.length_at : element.value_at] = packed
    return case.data


def retag(case: Case) -> bytearray:
    """An element gets another's tag."""
    if element := _pick(case):
        tag = case.rng.choice(TARGETS)
        case.data[element.at : element.at + 4] = struct.pack(f"{element.order}HH", tag >> 16, tag & 0xFFFF)
    return case.data


def revr(case: Case) -> bytearray:
    """An element gets another VR."""
    if element := _pick(case):
        case.data[element.at + 4 : element.at + 6] = case.rng.choice(VRS)
    return case.data


def value(case: Case) -> bytearray:
    """A 16-bit edge value, or a number that is none, as an element's value."""
    if element := _pick(case):
        end = element.value_at + min(element.length, 64)
        if element.length == 2:
            case.data[element.value_at : end] = struct.pack(f"{element.order}H", case.rng.choice(EDGES))
        else:
            text = case.rng.choice(NUMBERS)
            if case.rng.random() < 0.5:  # keep the length
                case.data[element.value_at : end] = text[: end - element.value_at].ljust(end - element.value_at)
            else:
                replace(case, element, text + b" " * (len(text) % 2))
    return case.data


def replace(case: Case, element: Element, content: bytes) -> None:
    """Another value, with its length put right."""
    end = element.value_at + (element.length if element.length != 0xFFFFFFFF else 0)
    case.data[element.value_at : end] = content
    length = min(len(content), (1 << (8 * element.length_bytes)) - 1)
    packed = length.to_bytes(element.length_bytes, "little" if element.order == "<" else "big")
    case.data[element.length_at : element.value_at] = packed


def duplicate(case: Case) -> bytearray:
    """An element twice, the second time elsewhere, sometimes with another value."""
    if (element := _pick(case)) and (other := _pick(case)):
        end = element.value_at + (element.length if element.length < 10_000 else 0)
        copy = bytes(case.data[element.at : end])
        if case.rng.random() < 0.5 and len(copy) > 8:
            copy = copy[:-2] + case.rng.randbytes(2)
        case.data[other.at : other.at] = copy
    return case.data


def remove(case: Case) -> bytearray:
    """An element is missing."""
    if (element := _pick(case)) and element.length != 0xFFFFFFFF:
        del case.data[element.at : element.value_at + element.length]
    return case.data


def nest(case: Case) -> bytearray:
    """Sequences within sequences, which end or do not."""
    if element := _pick(case):
        order = element.order
        opening = struct.pack(f"{order}HH", 0x0009, 0x1001)
        opening += b"SQ\0\0" if case.explicit else b""
        opening += struct.pack(f"{order}IHHI", 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
        closing = struct.pack(f"{order}HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        depth = case.rng.choice((1, 3, 50, 2000))
        inner = bytes(case.data[element.at : element.value_at + min(element.length, 64)])
        ends = case.rng.choice((depth, depth, depth - 1, 0))
        case.data[element.at : element.at] = opening * depth + inner + closing * ends
    return case.data


def dimensions(case: Case) -> bytearray:
    """Rows, Columns, bits or samples lie."""
    wanted = [element for element in elements(case) if element.tag in TARGETS[4:10] or element.tag == 0x00280002]
    if wanted:
        element = case.rng.choice(wanted)
        lie = case.rng.choice((*EDGES, 71, 73, 79, 81, 144, 160, 36))
        case.data[element.value_at : element.value_at + 2] = struct.pack(f"{element.order}H", lie)
    return case.data


ELEMENTS = (length_field, retag, revr, value, value, duplicate, remove, nest, dimensions)


# --- pixels and code streams


def _pixels_at(case: Case) -> int:
    for element in elements(case):
        if element.tag == 0x7FE00010:
            return min(element.value_at, len(case.data) - 1)
    return 0


def pixel_bytes(case: Case) -> bytearray:
    """Other pixels, which nobody can tell from what they were."""
    at = _pixels_at(case)
    for _ in range(case.rng.randint(1, 20)):
        case.data[case.rng.randrange(at, len(case.data))] = case.rng.randrange(256)
    return case.data


def in_stream(case: Case) -> bytearray:
    """Wrong bytes inside the compressed pixels."""
    return pixel_bytes(case)


def marker(case: Case) -> bytearray:
    """A marker becomes another, a segment's length lies, or a marker stands where none belongs."""
    at = _pixels_at(case) if case.family in DICOM_FAMILIES else 0
    places = [p for p in range(at, len(case.data) - 3) if case.data[p] == 0xFF and case.data[p + 1] >= 0x4F]
    if not places:
        return flip(case)
    p = case.rng.choice(places[:12] + places[-2:])
    kind = case.rng.randrange(4)
    if kind == 0:
        case.data[p + 1] = case.rng.choice(
            (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xF7, 0xF8, 0x51)
        )
    elif kind == 1:
        case.data[p + 2 : p + 4] = struct.pack(">H", case.rng.choice(EDGES))
    elif kind == 2:
        q = case.rng.randrange(at, len(case.data))
        case.data[q:q] = bytes((0xFF, case.rng.choice((0xD9, 0xD0, 0xDA, 0xC4, 0x90, 0x93, 0x52))))
    else:
        case.data[p : p + 2] = b""
    return case.data


def dimension_in_stream(case: Case) -> bytearray:
    """The frame header of the code stream lies."""
    for mark, offset, size in (
        (b"\xff\x4f\xff\x51", 8, 38),
        (b"\xff\xf7", 4, 6),
        *((bytes((0xFF, n)), 4, 6) for n in (0xC0, 0xC1, 0xC2, 0xC3)),
    ):
        p = case.data.find(mark, _pixels_at(case) if case.family in DICOM_FAMILIES else 0)
        if p >= 0 and p + offset + size <= len(case.data):
            q = p + offset + case.rng.randrange(size)
            if case.rng.random() < 0.5:
                case.data[q] = case.rng.randrange(256)
            else:
                case.data[q] ^= 1 << case.rng.randrange(8)
            return case.data
    return flip(case)


def fragments(case: Case) -> bytearray:
    """Items of the fragment table are swapped, doubled, emptied or renamed; the offset table lies."""
    items = [e for e in elements(case) if e.tag in (0xFFFEE000, 0xFFFEE0DD)]
    if not items:
        return flip(case)
    element = case.rng.choice(items)
    end = element.value_at + min(element.length, len(case.data))
    kind = case.rng.randrange(4)
    if kind == 0:
        case.data[element.at : element.at] = case.data[element.at : end]
    elif kind == 1:
        del case.data[element.at : end]
    elif kind == 2:
        case.data[element.at : element.at] = struct.pack("<HHI", 0xFFFE, 0xE000, case.rng.choice((0, 4))) + b"\0" * 4
    else:
        case.data[element.at : element.at + 4] = struct.pack("<HH", 0xFFFE, case.rng.choice((0xE00D, 0xE0DD, 0xE000)))
    return case.data


ITEMS = (fragments, fragments)


# --- raster


def png_chunk(case: Case) -> bytearray:
    """A chunk with other content and the right check sum; or IDAT with other content inside a whole deflate stream."""
    at, chunks = 8, []
    while at + 12 <= len(case.data):
        length = int.from_bytes(case.data[at : at + 4], "big")
        chunks.append((at, min(length, len(case.data) - at - 12)))
        at += 12 + length
    if not chunks:
        return flip(case)
    at, length = case.rng.choice(chunks)
    content = case.data[at + 8 : at + 8 + length]
    if content and case.rng.random() < 0.8:
        content[case.rng.randrange(len(content))] = case.rng.choice(
            (0, 1, 2, 3, 4, 6, 8, 16, 64, 255, case.rng.randrange(256))
        )
    elif case.rng.random() < 0.5:
        content = content[: len(content) // 2]
    kind = bytes(case.data[at + 4 : at + 8])
    if case.rng.random() < 0.1:
        kind = case.rng.choice((b"IDAT", b"PLTE", b"tRNS", b"IEND", b"eXIf", b"acTL", b"zTXt", b"gAMA"))
    packed = struct.pack(">I", len(content)) + kind + content
    case.data[at : at + 12 + length] = packed + struct.pack(">I", zlib.crc32(kind + content))
    return case.data


def tiff_entry(case: Case) -> bytearray:
    """An entry of the directory gets another tag, type, count or value."""
    order = ">" if case.data[:2] == b"MM" else "<"
    if len(case.data) < 8:
        return flip(case)
    at = struct.unpack_from(f"{order}I", case.data, 4)[0]
    if at + 2 > len(case.data):
        return flip(case)
    count = struct.unpack_from(f"{order}H", case.data, at)[0]
    entry = at + 2 + 12 * case.rng.randrange(max(1, min(count, 30)))
    kind = case.rng.randrange(4)
    if entry + 12 > len(case.data):
        return flip(case)
    if kind == 0:
        tags = (256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 338, 339)
        case.data[entry : entry + 2] = struct.pack(f"{order}H", case.rng.choice(tags))
    elif kind == 1:
        case.data[entry + 2 : entry + 4] = struct.pack(f"{order}H", case.rng.randrange(20))
    elif kind == 2:
        case.data[entry + 4 : entry + 8] = struct.pack(f"{order}I", case.rng.choice((0, 1, 2, 5, *LENGTHS)))
    else:
        word = struct.pack(f"{order}I", case.rng.choice(LENGTHS))
        word = struct.pack(f"{order}HH", case.rng.choice((*EDGES, 5, 6, 32773)), 0) if case.rng.random() < 0.7 else word
        case.data[entry + 8 : entry + 12] = word
    return case.data


def text_header(case: Case) -> bytearray:
    """A line of a text header gets another value, or occurs twice, or is missing."""
    end = case.data.find(b"\n\n") if case.family == "nrrd" else case.data.find(b"LOCAL")
    end = end if end > 0 else min(400, len(case.data))
    lines = bytes(case.data[:end]).split(b"\n")
    index = case.rng.randrange(len(lines))
    separator = b": " if case.family == "nrrd" else b" = "
    name = lines[index].split(separator)[0]
    kind = case.rng.randrange(4)
    if kind == 0:
        lines.insert(case.rng.randrange(len(lines) + 1), lines[index])
    elif kind == 1:
        del lines[index]
    else:
        words = (
            *NUMBERS,
            b"72 80",
            b"80 72",
            b"65535 65535",
            b"72 80 1",
            b"72",
            b"2",
            b"3",
            b"MET_USHORT",
            b"MET_FLOAT",
        )
        words += (b"MET_SHORT", b"uint16", b"int16", b"float", b"raw", b"gzip", b"bzip2", b"big", b"little", b"True")
        words += (b"False", b"LOCAL", b"../../etc/passwd", b"LIST", b"MET_UCHAR", b"uint8", b"-72 -80", b"72 80 3")
        lines[index] = name + separator + case.rng.choice(words)
    return bytearray(b"\n".join(lines) + case.data[end:])
