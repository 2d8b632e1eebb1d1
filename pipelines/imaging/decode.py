"""From the stored bytes of one DICOM film to its cells: the unsigned pattern of BitsStored bits of every pixel.

`DECODERS` is the one place that says who decodes what: the first decoder that accepts a stream is used, the others
stand in for coding options it does not have. Each works on the bare code stream, never on the file around it.
"""

from collections.abc import Callable
from typing import Any, Final

import cv2
import imagecodecs
import jpeg_ls
import numpy as np
from libjpeg.utils import decode as libjpeg_decode
from numpy.typing import NDArray
from openjpeg.utils import decode as openjpeg_decode

from pipelines.errors import Reason
from pipelines.imaging.codestream import StreamInfo, jpeg_2000_info, jpeg_info, require_end
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import Layout
from pipelines.imaging.reduced import decode_reduced, halvings
from pipelines.imaging.syntaxes import EXPLICIT_BIG_ENDIAN, SYNTAXES, Codec, Syntax

Samples = NDArray[Any]
"""Integers [rows, columns] or [rows, columns, 3], as a decoder returns them."""

LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601: the weights of Y in every YBR term of DICOM (PS3.3, C.7.6.3.1.2)."""


_IDCT_ROUNDING: Final = 2
"""Stored values by which two decoders of one undamaged DCT stream may differ."""


def decode_cells(file: DicomFile, layout: Layout, *, max_side: int | None = None) -> NDArray[Any]:
    """Decode the one frame of a film.

    Args:
        file: with the elements of `tags.DISPLAY`.
        layout: of its pixels.
        max_side: permits a stream that holds smaller resolutions (JPEG 2000, HTJ2K, 8-bit JPEG) to be decoded at the
            smallest that `reduced.halvings` finds enough for a picture with this many pixels along its longer side.

    Returns:
        Grey films: unsigned integers ``[rows, columns]``, the BitsStored bits of each pixel without the overlay bits
        around them, signed pixels still as two's complement patterns. Palette films: the indices. Colour captures:
        float32 luma ``[rows, columns]`` in [0, 2**BitsStored - 1]. What was decoded smaller is on the same scale, see
        `reduced.decode_reduced`.

    Raises:
        FilmError: unsupported_syntax, truncated or corrupt.
    """
    syntax = SYNTAXES.get(file.transfer_syntax)
    if syntax is None:
        raise FilmError(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID names none of the syntaxes this project reads")
    if syntax.codec is Codec.NATIVE:
        samples, info = _native(file, layout), None
    elif syntax.codec is Codec.RLE:
        samples, info = _decode(syntax, file.encapsulated_frame(), layout, None), None
    else:
        stream = file.encapsulated_frame()
        info = _stream_info(syntax, stream, layout)
        samples = _decode_no_more_than(max_side, syntax, file, layout, stream, info)
    if layout.samples == 3:
        return _luma(samples, is_rgb=not _is_ycc(layout, info), mask=(1 << layout.bits_stored) - 1)
    return _cells(samples, layout, info, lossy=syntax.lossy is not False)


# --- from samples to cells


def _cells(samples: Samples, layout: Layout, info: StreamInfo | None, *, lossy: bool) -> NDArray[Any]:
    """Keep the BitsStored bits of each sample."""
    mask = (1 << layout.bits_stored) - 1
    precision = info.precision if info else layout.bits_allocated
    shift = layout.high_bit + 1 - layout.bits_stored
    if precision > layout.bits_stored and lossy and not layout.signed:
        # Lossy coding destroys overlay bits, and overshoots the range: wrapping would turn white into black.
        if samples.dtype.kind == "i":  # the stream says signed, the header does not: below 0 there is nothing
            samples = np.maximum(samples, 0).astype(np.uint16)
        highest = min(mask, int(np.iinfo(samples.dtype).max))
        return np.asarray(np.minimum(samples >> min(shift, precision - layout.bits_stored), highest))
    if layout.signed and precision < layout.bits_stored and samples.dtype.kind == "u":
        sign = 1 << (precision - 1)  # the stream is a narrower two's complement pattern than the header says
        samples = (samples.astype(np.int32) ^ sign) - sign
    if samples.dtype.kind == "i":
        samples = samples.astype(np.int32).astype(np.uint16)  # two's complement, at 16 bits
    if shift and precision > layout.bits_stored:
        samples = samples >> shift
    return samples if np.iinfo(samples.dtype).max <= mask else samples & samples.dtype.type(mask)


def _luma(samples: Samples, *, is_rgb: bool, mask: int) -> NDArray[np.float32]:
    if samples.ndim == 2:  # already Y
        return np.asarray(samples & mask, dtype=np.float32)
    if not is_rgb:
        return np.asarray(samples[..., 0] & mask, dtype=np.float32)
    return np.asarray((samples & mask).astype(np.float32) @ LUMA, dtype=np.float32)


def _is_ycc(layout: Layout, info: StreamInfo | None) -> bool:
    """Whether decoded samples are Y, Cb, Cr.

    The markers of a JPEG stream are believed before PhotometricInterpretation, which transcoders forget to change.
    JPEG 2000 undoes its own YBR_RCT and YBR_ICT while decoding.
    """
    if info is not None and info.transformed is not None:
        return info.transformed
    return layout.photometric in ("YBR_FULL", "YBR_FULL_422")


# --- from bytes to samples


def _native(file: DicomFile, layout: Layout) -> Samples:
    data = file.native_pixels(layout.rows * layout.row_bytes, layout.row_bytes)
    big = file.transfer_syntax == EXPLICIT_BIG_ENDIAN
    if big and layout.cell_bytes == 1 and file.pixels_vr == b"OW":
        # 8-bit cells travel in 16-bit words, whose bytes are swapped (PS3.5, A.3).
        words = np.frombuffer(data + b"\0" * (len(data) % 2), dtype=">u2")
        cells = words.astype("<u2").view(np.uint8)[: len(data)]
    else:
        cells = np.frombuffer(data, dtype=f"{'>' if big else '<'}u{layout.cell_bytes}")
    if layout.photometric == "YBR_FULL_422":
        return cells.reshape(-1, 4)[:, :2].reshape(layout.rows, layout.columns)
    if big:
        cells = cells.astype(cells.dtype.newbyteorder("="))
    return _shaped(cells, layout)


def _shaped(cells: Samples, layout: Layout) -> Samples:
    if layout.samples == 1:
        return cells.reshape(layout.rows, layout.columns)
    if layout.planar:
        return np.moveaxis(cells.reshape(3, layout.rows, layout.columns), 0, -1)
    return cells.reshape(layout.rows, layout.columns, 3)


def _stream_info(syntax: Syntax, stream: bytes, layout: Layout) -> StreamInfo:
    """Hold the code stream's own header against the file's: it, not the file's, says how much is allocated."""
    is_jpeg = syntax.codec in (Codec.JPEG, Codec.JPEG_LS)
    if is_jpeg and not stream.startswith(b"\xff\xd8"):
        raise FilmError(Reason.CORRUPT, f"PixelData is not a {syntax.codec.value} stream")
    info = jpeg_info(stream) if is_jpeg else jpeg_2000_info(stream)
    found = (info.rows, info.columns, info.samples)
    if found != (layout.rows, layout.columns, layout.samples):
        header = f"Rows, Columns and SamplesPerPixel say {layout.columns} × {layout.rows} × {layout.samples}"
        raise FilmError(
            Reason.CORRUPT,
            f"the {syntax.codec.value} stream is {info.columns} × {info.rows} × {info.samples}, {header}",
        )
    if info.precision > 16:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the {syntax.codec.value} stream has {info.precision} bits, over 16")
    least = min(8, layout.bits_stored)
    if not least <= info.precision <= layout.bits_allocated:
        allowed = f"BitsStored and BitsAllocated allow {least} to {layout.bits_allocated}"
        raise FilmError(Reason.CORRUPT, f"the {syntax.codec.value} stream has {info.precision} bits, {allowed}")
    require_end(stream, info, syntax.codec.value)
    return info


def _decode_no_more_than(
    max_side: int | None, syntax: Syntax, file: DicomFile, layout: Layout, stream: bytes, info: StreamInfo
) -> Samples:
    count = 0 if max_side is None else halvings(file, layout, info, max_side)
    reduced = decode_reduced(syntax, stream, layout, info, count) if count else None
    return _decode(syntax, stream, layout, info) if reduced is None else reduced


Decoder = Callable[[bytes, Layout, StreamInfo | None], Samples]


def _decode(syntax: Syntax, stream: bytes, layout: Layout, info: StreamInfo | None) -> Samples:
    expected = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    for decoder in DECODERS[syntax.codec]:
        try:
            samples = decoder(stream, layout, info)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - codecs raise what they like; the next one may know this option
            continue
        if samples.shape == expected and samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2:
            if syntax.codec is Codec.JPEG and syntax.lossy and info is not None and info.precision > 8:
                _require_agreement(samples, stream, layout, info)
            return samples
    raise FilmError(Reason.CORRUPT, f"no decoder can decode the PixelData stream ({syntax.name})")


def _require_agreement(samples: Samples, stream: bytes, layout: Layout, info: StreamInfo) -> None:
    """Refuse a 12-bit JPEG that another decoder reads otherwise.

    libjpeg-turbo says nothing of damage inside a scan, and the two go wrong in different ways. The syntax is rare, so
    the time of a second decoder is well spent.
    """
    try:
        other = _libjpeg(stream, layout, info)
    except Exception:  # noqa: BLE001 - it raises what it likes, and refuses the stream by it
        other = None
    if other is None or other.shape != samples.shape or cv2.absdiff(samples, other).max() > _IDCT_ROUNDING:
        raise FilmError(Reason.CORRUPT, "two decoders do not agree on the JPEG stream")


def _turbo_jpeg(stream: bytes, layout: Layout, info: StreamInfo | None) -> Samples:
    if layout.samples == 1:
        return imagecodecs.jpeg8_decode(stream)
    space = "YCBCR" if _is_ycc(layout, info) else "RGB"  # naming one space twice keeps the samples as they are
    return imagecodecs.jpeg8_decode(stream, colorspace=space, outcolorspace=space)


def _libjpeg(stream: bytes, _layout: Layout, _info: StreamInfo | None) -> Samples:
    return np.asarray(libjpeg_decode(stream, colour_transform=0))


def _charls(stream: bytes, _layout: Layout, _info: StreamInfo | None) -> Samples:
    return np.asarray(imagecodecs.jpegls_decode(stream))


def _pyjpegls(stream: bytes, _layout: Layout, _info: StreamInfo | None) -> Samples:
    return np.asarray(jpeg_ls.decode(np.frombuffer(stream, dtype=np.uint8)))


def _openjpeg(stream: bytes, _layout: Layout, _info: StreamInfo | None) -> Samples:
    return np.asarray(imagecodecs.jpeg2k_decode(stream))


def _pylibjpeg_openjpeg(stream: bytes, _layout: Layout, _info: StreamInfo | None) -> Samples:
    return np.asarray(openjpeg_decode(stream))


def _imcd_rle(stream: bytes, layout: Layout, _info: StreamInfo | None) -> Samples:
    # The output is allocated here: a stream that decodes to more is refused, one that decodes to less comes back short.
    planes = np.empty(layout.rows * layout.row_bytes, dtype=np.uint8)
    filled = np.asarray(imagecodecs.dicomrle_decode(stream, dtype=f"<u{layout.cell_bytes}", out=planes.data))
    cells = filled.view(f"<u{layout.cell_bytes}")
    if layout.samples == 1:
        return cells.reshape(layout.rows, layout.columns)
    return np.moveaxis(cells.reshape(3, layout.rows, layout.columns), 0, -1)  # RLE is planar always (PS3.5, G.2)


DECODERS: Final[dict[Codec, tuple[Decoder, ...]]] = {
    Codec.JPEG: (_turbo_jpeg, _libjpeg),
    Codec.JPEG_LS: (_charls, _pyjpegls),
    Codec.JPEG_2000: (_openjpeg, _pylibjpeg_openjpeg),
    Codec.HTJ2K: (_openjpeg, _pylibjpeg_openjpeg),
    Codec.RLE: (_imcd_rle,),
}
"""Codec -> its decoders in order of preference: the fastest first of those that are exact and report damage.

Not in the table: libjpeg for JPEG-LS (it returns pixels for streams with one wrong byte that CharLS refuses, 93 % of
them), OpenJPH (its errors are lost on the way to Python) and pylibjpeg-rle (damaged streams panic in it).
"""
