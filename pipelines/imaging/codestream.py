"""What a compressed image says about itself before anything is decoded: its size bounds memory, its end its wholeness.

Source: ITU-T T.81 B.2 (JPEG), T.87 C.2 (JPEG-LS), T.800 A.5 (JPEG 2000).
"""

import struct
from typing import Final, NamedTuple

import numpy as np

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError

_END_MARKER: Final = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_SIZ: Final = b"\xff\x4f\xff\x51"
# SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC), and SOF55 of JPEG-LS.
_FRAME_MARKERS: Final = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_DCT_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})  # sequential and progressive, Huffman coded
_DCT_HALVINGS: Final = 3  # 8 × 8 coefficients make 4 × 4, 2 × 2 or 1 × 1 pixels
_COD: Final = 0xFF52
_SOT: Final = 0xFF90
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


_RESTARTS: Final = frozenset(range(0xD0, 0xD8))
# EOI, SOS, DHT, DQT, DNL, DRI, APPn and COM.
_BEHIND_SCANS: Final = frozenset({0xD9, 0xDA, 0xC4, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})


class StreamInfo(NamedTuple):
    """The frame header of a code stream.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        samples: components per pixel.
        precision: bits per component.
        transformed: whether a JPEG's own markers say its three components are YCbCr (None where they say nothing).
        scans_at: offset where entropy-coded data begin.
        signed: whether the components are signed (JPEG 2000 only).
        halvings: how often a decoder can halve both sides by leaving out detail: the wavelet levels of JPEG 2000, the
            DCT scales of JPEG with 8 bits; 0 where it must decode in full.
        reversible: whether the wavelet is the reversible one, 5-3 and not 9-7 (JPEG 2000 only).
    """

    rows: int
    columns: int
    samples: int
    precision: int
    transformed: bool | None
    scans_at: int
    signed: bool = False
    halvings: int = 0
    reversible: bool = False


def jpeg_info(data: bytes) -> StreamInfo:
    """Read the frame header of a JPEG (any process) or JPEG-LS stream.

    Raises:
        FilmError: corrupt, where there is no frame header before the first scan; truncated, where data end before it.
    """
    frame: tuple[int, int, int, int] | None = None
    transformed: bool | None = None
    halvings = 0
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise FilmError(Reason.CORRUPT, "the JPEG stream is malformed before its first scan")
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAME_MARKERS and len(body) >= 6:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
            frame = rows, columns, samples, precision
            halvings = _DCT_HALVINGS if marker in _DCT_FRAMES and precision == 8 else 0
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            transformed = True if transformed is None else transformed
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            transformed = body[11] != 0
        elif marker == 0xDA:
            if frame is None:
                raise FilmError(Reason.CORRUPT, "the JPEG stream has no frame header")
            return StreamInfo(*frame, transformed, at, halvings=halvings)
        at += 2 + length
    raise FilmError(Reason.TRUNCATED, "the JPEG stream ends before its first scan")


def jpeg_exif(data: bytes) -> bytes:
    """The EXIF block of a JPEG file, beginning with its byte order; empty where there is none before the frame."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in _FRAME_MARKERS:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : end]
        at = end
    return b""


def jpeg_2000_info(data: bytes) -> StreamInfo:
    """Read the SIZ segment of a JPEG 2000 or HTJ2K code stream, bare or inside a JP2 box."""
    at = data.find(_SIZ)
    if at < 0 or len(data) < at + 45:
        raise FilmError(Reason.CORRUPT, "the JPEG 2000 stream has no SIZ segment")
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    tile_left, tile_top, samples, depth, x_step, y_step = struct.unpack_from(">2I H3B", data, at + 32)
    # Off the canvas's origin or subsampled, the reduced grid is not the one that the rest of the program assumes.
    plain = (left, top, tile_left, tile_top, x_step, y_step) == (0, 0, 0, 0, 1, 1)
    levels, reversible = _wavelet(data, at + 2)
    return StreamInfo(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        transformed=None,
        scans_at=at,
        signed=bool(depth & 0x80),
        halvings=levels if plain else 0,
        reversible=reversible,
    )


def _wavelet(data: bytes, at: int) -> tuple[int, bool]:
    """Decomposition levels that the main header's COD states, and whether its wavelet is reversible.

    0 and False where none is found before the first tile.
    """
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _COD and at + 14 <= len(data):
            # Tables A.15 and A.20; a component or tile with levels of its own fails in the decoder.
            return min(data[at + 9], 32), data[at + 13] == 1
        if marker == _SOT or marker < 0xFF00:
            break
        at += 2 + length
    return 0, False


def require_end(data: bytes, info: StreamInfo, what: str) -> None:
    """Refuse a stream without its end marker: decoders fill in what is missing and say nothing.

    The marker cannot occur inside entropy-coded data, so any one behind the frame header is the end; it is looked for
    from the back, where it mostly stands.
    """
    if data.rfind(_END_MARKER, info.scans_at) < 0:
        raise FilmError(Reason.TRUNCATED, f"the {what} stream ends before its end marker")
    if what == "JPEG":
        _require_scan(data, info)


def _require_scan(data: bytes, info: StreamInfo) -> None:
    """Refuse a scan that is broken off by a marker that does not belong there: decoders paint the rest grey.

    A restart marker may stand in a scan where restarts were announced; behind a scan come its end, another scan (of a
    colour or progressive picture) and tables (T.81, B.2.1).
    """
    announced = b"\xff\xdd" in data[: info.scans_at]
    # The one scan of a grey picture that is not progressive is followed by the end, or by the number of its lines.
    only_scan = info.samples == 1 and b"\xff\xc2" not in data[: info.scans_at]
    behind = frozenset({0xD9, 0xDC}) if only_scan else _BEHIND_SCANS
    behind = behind | _RESTARTS if announced else behind
    begin = info.scans_at + 2 + int.from_bytes(data[info.scans_at + 2 : info.scans_at + 4], "big")
    scan = np.frombuffer(data, dtype=np.uint8)[begin:]
    followed = scan[np.flatnonzero(scan[:-1] == 0xFF) + 1]
    for marker in followed[(followed != 0x00) & (followed != 0xFF)]:  # neither a stuffed byte nor a fill byte
        if marker not in behind:
            raise FilmError(Reason.CORRUPT, "the JPEG stream has a marker inside its scan")
        if marker not in _RESTARTS:
            return
