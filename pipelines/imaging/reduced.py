"""Decoding no more of a film than will be looked at: resolution levels of JPEG 2000, DCT scales of JPEG.

Decoders give samples, the rest of the program wants averages over squares that tile the stored matrix exactly. The grid
of JPEG reaches up to one reduced pixel over the far edges; a low-pass sample of JPEG 2000 stands at the first of the
2**n pixels it is made of, not amidst them; and each kind is a little sharper or softer than an average.
`_tiled` puts all three right, on a grid twice as fine, because averaging coarse samples once more would blur them.

Averages are taken before the display table here, after it in a full decode. `may_reduce` says for which films that
makes no difference that matters; every other film is decoded in full. At 512² pixels, display values of a film with an
ordinary window then differ from those of the full decode by less than 0.003 on average and 0.03 at the 99.9th
percentile (tests/unit/test_imaging_reduced.py). Scores moved by less than 0.005 in tests/integration/
test_inference_reduced.py, where twice the input's size is left; a model that is unusually sensitive to fine detail can
move by more where little more than the input's size is left.
"""

import io
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pipelines.imaging import tags
from pipelines.imaging.codestream import StreamInfo
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout, sop_class_of
from pipelines.imaging.syntaxes import SYNTAXES, Codec, Syntax

_STEP_SHARE: Final = 64
"""A display table that goes from black to white within this fraction of its range is a threshold, not a window."""
_COLOUR_SEGMENTS: Final = frozenset({0xE0, 0xEE})  # JFIF and Adobe: they say what three components are


_BLUR_REVERSIBLE: Final = 0.055
_BLUR_IRREVERSIBLE: Final = -0.06
_BLUR_DCT: Final = -0.04
"""What makes a line of samples as sharp as a line of averages: of all tried in steps of 0.01 to 0.02, the values that
moved a trained model's scores least (14 films: phantoms, ChestX-ray14, RG1)."""


def halvings(file: DicomFile, layout: Layout, info: StreamInfo, max_side: int) -> int:
    """How often the sides of a film may be halved so that enough is left to show it at `max_side`; 0 for not at all.

    Enough is a longer side of a fifth more than `max_side` pixels: with less, what lies between two samples moves a
    model's scores. JPEG 2000 of 8 bits, whose samples are rounded to them, needs four times `max_side`.

    Args:
        file: the DICOM file.
        layout: of its pixels.
        info: of its code stream.
        max_side: in pixels.
    """
    longer = max(info.rows, info.columns)
    coarse = layout.bits_stored <= 8 and SYNTAXES[file.transfer_syntax].codec is not Codec.JPEG
    least = (4 if coarse else 1.2) * max_side
    count = next((n for n in range(info.halvings, 0, -1) if _halved(longer, n) >= least), 0)
    return count if count and may_reduce(file, layout, info) else 0


def may_reduce(file: DicomFile, layout: Layout, info: StreamInfo) -> bool:
    """Whether averages of this film's stored values mean what averages of its display values mean.

    They do not where the header gives no window or VOI LUT, because percentiles are of every pixel; for palette
    indices; where overlays stand in the bits around the stored ones; for two's complement patterns; where padding would
    bleed into the film; and where the display table is not monotone or is as steep as a threshold. Of colour captures
    only those are reduced whose stream says itself that it is YCbCr.
    """
    if layout.samples == 3:
        return info.transformed is True
    if layout.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return False
    if layout.signed or info.signed:
        return False
    if info.precision > layout.bits_stored and (layout.high_bit >= layout.bits_stored or _has_overlay_bits(file)):
        return False
    try:
        intensity = Intensity.of(file.header, layout, sop_class=sop_class_of(file))
        table = intensity.table(np.ones(1 << layout.bits_stored, dtype=np.int64))
    except FilmError:
        return False  # the full decode finds the same fault, or a worse one
    shown_by_header = bool(intensity.windows) or intensity.voi_lut is not None
    return shown_by_header and intensity.padding is None and _is_gentle(table)


def reduced_jpeg_2000(stream: bytes, info: StreamInfo, count: int) -> NDArray[Any]:
    """Decode a grey JPEG 2000 or HTJ2K stream without its `count` finest wavelet levels.

    Returns:
        Unsigned integers ``[ceil(rows / 2**count), ceil(columns / 2**count)]`` on the scale of the full picture.

    Raises:
        OSError, ValueError or SyntaxError: whatever the decoder stumbles over.
    """
    picture = _Jpeg2000(io.BytesIO(stream[info.scans_at :]), info, count)
    picture.load()
    samples = np.asarray(picture)
    # Pillow shifts samples to the top of their 8 or 16 bits.
    return samples >> (samples.dtype.itemsize * 8 - info.precision)


def reduced_jpeg(stream: bytes, info: StreamInfo, count: int) -> NDArray[Any]:
    """Decode the luma of an 8-bit DCT stream from the low frequencies of its blocks.

    Returns:
        uint8 ``[ceil(rows / 2**count), ceil(columns / 2**count)]``.

    Raises:
        OSError, ValueError or SyntaxError: whatever the decoder stumbles over.
    """
    picture = JpegImageFile(io.BytesIO(_without_remarks(stream, info)))
    scale = 1 << count
    picture.draft("L", (info.columns // scale, info.rows // scale))
    picture.load()
    return np.asarray(picture)


REDUCERS: Final = {
    Codec.JPEG: reduced_jpeg,
    Codec.JPEG_2000: reduced_jpeg_2000,
    Codec.HTJ2K: reduced_jpeg_2000,
}
"""Codec -> its reduced decoder."""


def decode_reduced(syntax: Syntax, stream: bytes, layout: Layout, info: StreamInfo, count: int) -> NDArray[Any] | None:
    """Decode a stream with both sides halved `count` times.

    Returns:
        Unsigned integers ``[ceil(2 * rows / 2**count), ceil(2 * columns / 2**count)]``, interpolated on the scale of
        the full picture; None where only the full decode can tell what the film shows or what is wrong with it.
    """
    try:
        samples = REDUCERS[syntax.codec](stream, info, count)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - codecs raise what they like; the full decoders have the last word
        return None
    if samples.shape != (_halved(info.rows, count), _halved(info.columns, count)) or samples.dtype.kind != "u":
        return None
    top = (1 << layout.bits_stored) - 1
    if syntax.lossy is False and _uses_spare_bits(samples, top):
        return None
    if syntax.codec is Codec.JPEG:
        tiled = _tiled(samples, info, count, phase=0.0, blur=_BLUR_DCT if count < 3 else 0.0)
    else:
        blur = _BLUR_REVERSIBLE if info.reversible else _BLUR_IRREVERSIBLE
        tiled = _tiled(samples, info, count, phase=0.5 - 0.5 / (1 << count), blur=blur)
    return np.rint(np.clip(tiled, 0, min(top, np.iinfo(samples.dtype).max))).astype(samples.dtype)


class _Jpeg2000(Jpeg2KImageFile):
    """A bare code stream to be decoded without its finest levels.

    Made directly rather than by `Image.open`, so that neither Pillow's list of formats nor its size limit takes part:
    the size has been checked by then.
    """

    def __init__(self, stream: io.BytesIO, info: StreamInfo, count: int) -> None:
        super().__init__(stream)
        self.reduce = count
        # Pillow rounds the reduced size to the nearest, the standard (B.5) up: a multiple is the same either way.
        self._size = _halved(info.columns, count) << count, _halved(info.rows, count) << count


def _halved(side: int, count: int) -> int:
    return -(-side >> count)


def _tiled(samples: NDArray[Any], info: StreamInfo, count: int, *, phase: float, blur: float) -> NDArray[np.float32]:
    """Turn a decoder's samples into averages over pixels that tile the stored matrix, twice as fine as the samples.

    Args:
        samples: as decoded.
        info: of the full picture.
        count: halvings.
        phase: by how much of a reduced pixel a sample stands before the middle of what it is made of.
        blur: weight of each neighbour along a line; below 0 it sharpens.
    """
    kernel = np.array([blur, 1 - 2 * blur, blur], dtype=np.float32)
    values = cv2.sepFilter2D(samples.astype(np.float32), -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    rows, columns = _halved(info.rows, count - 1), _halved(info.columns, count - 1)
    # Pixel j of the new grid has its middle at step * (j + 0.5), that of sample i lies at i + 0.5 - phase.
    down, across = info.rows / (rows << count), info.columns / (columns << count)
    to_sample = np.array([[across, 0, across / 2 - 0.5 + phase], [0, down, down / 2 - 0.5 + phase]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    tiled = cv2.warpAffine(values, to_sample, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(tiled, dtype=np.float32)


def _uses_spare_bits(samples: NDArray[Any], top: int) -> bool:
    """Whether something undeclared stands in the bits above the stored ones of a lossless stream.

    Low-pass filters overshoot too, beside white edges: by less than a quarter, and in lines rather than in areas.
    """
    above = samples > top
    if not above.any():
        return False
    solid = cv2.erode(above.astype(np.uint8), np.ones((3, 3), np.uint8))
    return bool(solid.any()) or int(samples.max()) > 1.25 * (top + 1)


def _has_overlay_bits(file: DicomFile) -> bool:
    """Whether the header says that an overlay lies in the cells themselves (retired, but found in old archives)."""
    header = DicomFile.parse(file.stream, file.size, tags.OVERLAY_BIT_POSITIONS).header
    return any(header.integer(tag) for tag in tags.OVERLAY_BIT_POSITIONS)


def _is_gentle(table: NDArray[np.float32]) -> bool:
    steps = np.diff(table)
    if steps.min(initial=0.0) < 0 < steps.max(initial=0.0):
        return False
    reach = max(1, len(table) // _STEP_SHARE)
    return bool(np.abs(table[reach:] - table[:-reach]).max(initial=0.0) < 1.0)


def _without_remarks(stream: bytes, info: StreamInfo) -> bytes:
    """The stream without comments and application segments, which Pillow would read and may warn about."""
    kept, at = [stream[:2]], 2
    while at < info.scans_at:
        marker = stream[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker in _COLOUR_SEGMENTS or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(stream[at:end])
        at = end
    return b"".join([*kept, stream[info.scans_at :]])
