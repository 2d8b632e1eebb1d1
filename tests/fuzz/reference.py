"""A second reading of the same bytes, written from the standard with other libraries: what a film should look like.

Nothing here comes from `pipelines.imaging`. pydicom finds the elements; pylibjpeg, GDCM, OpenJPH and pydicom's own RLE
decode; Pillow, tifffile, SimpleITK and pynrrd read raster files; the display pipeline works on pixels in float64, not
on tables. Where two decoders of a coding are at hand, both readings are given, and a reader has to agree with one.
"""

import contextlib
import io
import math
import re
import struct
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import SimpleITK
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.pixels import get_decoder

Floats = NDArray[np.float64]

LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
_LUMA = np.array([0.299, 0.587, 0.114])


class Refused(Exception):  # noqa: N818
    """The reference cannot say what this file shows."""


Reading = tuple[Floats, Floats]
"""Least and greatest display values [rows, columns] that a correct reader may show."""


def readings(data: bytes) -> list[Reading]:
    """Every reading that the reference holds for possible; raises `Refused` where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = _dicom(data) if _is_dicom(data) else _raster(data)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - libraries raise what they like on damaged files
            raise Refused(f"{type(error).__name__}") from None
    found = [reading for reading in found if np.isfinite(reading).all()]
    if not found:
        raise Refused("no decoder")
    return found


def _is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM" or data[:2] in (b"\x08\x00", b"\x02\x00", b"\x00\x08")


# --- DICOM


def _dicom(data: bytes) -> list[Reading]:
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")).strip("\0 ")
    samples = _whole(dataset, "SamplesPerPixel", 1)
    readings = []
    for decode in _decoders(syntax):
        try:
            cells = decode(dataset)
        except Exception:  # noqa: BLE001 - another decoder may know it
            continue
        if samples == 3:
            readings.append(_colour(dataset, cells, syntax))
        elif cells.shape == (_whole(dataset, "Rows"), _whole(dataset, "Columns")):
            readings += [
                display(dataset, cells, high, error=2 if syntax in LOSSY else 0) for high in _high_bits(dataset)
            ]
    return readings


def _high_bits(dataset: Dataset) -> set[int]:
    """HighBit as it is written; and, in a code stream, where the stream itself may say that there are no bits above."""
    bits = _whole(dataset, "BitsStored")
    written = _whole(dataset, "HighBit", bits - 1)
    native = str(dataset.file_meta.get("TransferSyntaxUID", "")) in _NATIVE
    return {written} if native else {written, bits - 1}


def _raw(dataset: Dataset, keyword: str) -> bytes | None:
    """The stored bytes of an element, unconverted."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    if tag not in dataset:
        return None
    value = dataset.get_item(tag).value
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return value.to_bytes(2, _order(dataset), signed=value < 0)
    return "\\".join(map(str, value if isinstance(value, list | tuple) else [value])).encode() if value else b""


def _order(dataset: Dataset) -> str:
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    return "big" if syntax == "1.2.840.10008.1.2.2" else "little"


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    raw = _raw(dataset, keyword)
    if not raw:
        if default is None:
            raise Refused(f"no {keyword}")
        return default
    if len(raw) < 2:
        raise Refused(keyword)
    if str(dataset.get_item(pydicom.datadict.tag_for_keyword(keyword)).VR) in ("DS", "IS"):
        return int(_numbers(dataset, keyword)[0])
    return int.from_bytes(raw[:2], _order(dataset))


def _text(dataset: Dataset, keyword: str) -> str:
    return (_raw(dataset, keyword) or b"").decode("latin-1").strip("\0 ").split("\\")[0].strip("\0 ").upper()


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    raw = (_raw(dataset, keyword) or b"").decode("latin-1").strip("\0 ")
    numbers = []
    for part in raw.split("\\") if raw else []:
        try:
            numbers.append(float(part.strip("\0 ")))
        except ValueError:
            numbers.append(math.nan)
    return _binary(dataset, keyword) or numbers if any(map(math.isnan, numbers)) else numbers


def _binary(dataset: Dataset, keyword: str) -> list[float]:
    """Decimal text is what these attributes hold; a writer that says otherwise may mean it."""
    element = dataset.get_item(pydicom.datadict.tag_for_keyword(keyword))
    code = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}.get(str(element.VR))
    if code is None or not isinstance(element.value, bytes):
        return []
    order = "<" if _order(dataset) == "little" else ">"
    count = len(element.value) // struct.calcsize(code)
    return [float(number) for number in struct.unpack_from(f"{order}{count}{code}", element.value)]


def _decoders(syntax: str) -> list[Callable[[Dataset], NDArray[Any]]]:
    if syntax in _NATIVE:
        return [_native]
    if syntax == "1.2.840.10008.1.2.5":
        return [lambda ds: _by_plugin(ds, syntax, "pydicom")]
    if syntax.startswith("1.2.840.10008.1.2.4.20"):
        return [_openjph, lambda ds: _by_plugin(ds, syntax, "pylibjpeg")]
    plugins = ["pylibjpeg", "gdcm"]
    if syntax.startswith("1.2.840.10008.1.2.4.8"):
        plugins.append("pyjpegls")
    return [lambda ds, plugin=plugin: _by_plugin(ds, syntax, plugin) for plugin in plugins] + [_codec]


def _native(dataset: Dataset) -> NDArray[Any]:
    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    samples, width = _whole(dataset, "SamplesPerPixel", 1), _whole(dataset, "BitsAllocated") // 8
    element = dataset.get_item(0x7FE00010)
    data = bytes(element.value)
    if width not in (1, 2) or len(data) < rows * columns * samples * width:
        raise Refused("PixelData")
    order = _order(dataset)
    if order == "big" and width == 1 and element.VR == "OW":
        data = np.frombuffer(data + b"\0" * (len(data) % 2), "<u2").byteswap().tobytes()
    cells = np.frombuffer(data, f"{'>' if order == 'big' else '<'}u{width}", rows * columns * samples)
    if samples == 3 and _text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        raise Refused("YBR_FULL_422")
    if samples == 3 and _whole(dataset, "PlanarConfiguration", 0) == 1:
        return cells.reshape(3, rows, columns).transpose(1, 2, 0)
    return cells.reshape((rows, columns) if samples == 1 else (rows, columns, samples))


def _by_plugin(dataset: Dataset, syntax: str, plugin: str) -> NDArray[Any]:
    decoder = get_decoder(syntax)
    options = {
        "rows": _whole(dataset, "Rows"),
        "columns": _whole(dataset, "Columns"),
        "samples_per_pixel": _whole(dataset, "SamplesPerPixel", 1),
        "photometric_interpretation": _text(dataset, "PhotometricInterpretation"),
        "bits_allocated": _whole(dataset, "BitsAllocated"),
        "bits_stored": _whole(dataset, "HighBit", _whole(dataset, "BitsStored") - 1)
        + 1,  # pydicom cuts off what is above
        "pixel_representation": _whole(dataset, "PixelRepresentation"),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "planar_configuration": _whole(dataset, "PlanarConfiguration", 0),
    }
    if options["rows"] * options["columns"] > 1 << 20:
        raise Refused("too large for the reference")
    array, _ = decoder.as_array(
        bytes(dataset.get_item(0x7FE00010).value), raw=True, decoding_plugin=plugin, index=0, **options
    )
    return np.asarray(array)


def _stream(dataset: Dataset) -> bytes:
    fragments = list(generate_fragments(bytes(dataset.get_item(0x7FE00010).value)))
    return b"".join(fragments[1:])


def _openjph(dataset: Dataset) -> NDArray[Any]:
    return np.asarray(imagecodecs.htj2k_decode(_stream(dataset)))


def _codec(dataset: Dataset) -> NDArray[Any]:
    """Pillow's libjpeg-turbo and OpenJPEG, OpenCV's where Pillow has no such depth."""
    with Image.open(io.BytesIO(_stream(dataset))) as image:
        return np.asarray(image)


def _colour(dataset: Dataset, cells: NDArray[Any], syntax: str) -> Reading:
    if _text(dataset, "PhotometricInterpretation") != "RGB" or cells.ndim != 3 or syntax not in _NATIVE:
        raise Refused("colour")
    top = (1 << _whole(dataset, "BitsStored")) - 1
    grey = np.clip((cells & top) @ _LUMA / top, 0, 1)
    return grey, grey


def display(dataset: Dataset, cells: NDArray[Any], high: int, *, error: int = 0) -> Reading:
    """Display values of stored cells [rows, columns] whose first bit is `high`, each of which may be `error` off."""
    stored = _stored(dataset, cells, high, lossy=error > 0)
    padded = _is_padding(dataset, stored)
    if padded.all():
        raise Refused("padding only")
    # Percentiles and contrast are the film's own, however far one of its pixels may be off.
    inside = _modality(dataset, stored)[~padded]
    shown = [_shown(dataset, stored + shift, inside) for shift in range(-error, error + 1)]
    shown = [np.where(padded, 0.0, picture) for picture in shown]
    return np.min(shown, axis=0), np.max(shown, axis=0)


def _stored(dataset: Dataset, cells: NDArray[Any], high: int, *, lossy: bool) -> NDArray[np.int64]:
    """C.7.6.3.1.1 and PS3.5, 8.1: BitsStored bits that end at HighBit, two's complement where signed."""
    bits = _whole(dataset, "BitsStored")
    stored = cells.astype(np.int64)
    if lossy and bits == high + 1:  # overshoot is the brightest value, not the darkest
        stored = np.minimum(stored, (1 << bits) - 1)
    if cells.dtype.kind == "u" or stored.min() >= 0:
        stored = (stored >> (high + 1 - bits)) & ((1 << bits) - 1)
        if _whole(dataset, "PixelRepresentation") == 1:
            stored = np.where(stored >= 1 << (bits - 1), stored - (1 << bits), stored)
    return stored


def _is_padding(dataset: Dataset, stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """C.7.5.1.1.2."""
    first = _raw(dataset, "PixelPaddingValue")
    if not first or len(first) < 2:
        return np.zeros(stored.shape, dtype=bool)
    signed = _whole(dataset, "PixelRepresentation") == 1
    ends = [_whole(dataset, "PixelPaddingValue")]
    ends.append(_whole(dataset, "PixelPaddingRangeLimit", ends[0]))
    ends = sorted(end - 65536 if signed and end > 32767 else end for end in ends)
    bits = _whole(dataset, "BitsStored")
    if signed:  # written as the bare pattern of BitsStored bits by some
        ends = sorted(end - (1 << bits) if 1 << (bits - 1) <= end < 1 << bits else end for end in ends)
    return (stored >= ends[0]) & (stored <= ends[1])


def _shown(dataset: Dataset, stored: NDArray[np.int64], inside: Floats) -> Floats:
    picture = _voi(dataset, _modality(dataset, stored), inside)
    shape = _text(dataset, "PresentationLUTShape")
    inverse = shape == "INVERSE" if shape in ("INVERSE", "IDENTITY") else _monochrome(dataset) == "MONOCHROME1"
    return 1.0 - picture if inverse else picture


def _monochrome(dataset: Dataset) -> str:
    term = _text(dataset, "PhotometricInterpretation")
    if term not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused("PhotometricInterpretation")
    return term


def _modality(dataset: Dataset, stored: NDArray[np.int64]) -> Floats:
    """C.11.1."""
    table = _table(dataset, "ModalityLUTSequence", signed=_whole(dataset, "PixelRepresentation") == 1)
    if table is not None:
        return _looked_up(table, stored.astype(np.float64))
    slope = (_numbers(dataset, "RescaleSlope") or [1.0])[0]
    intercept = (_numbers(dataset, "RescaleIntercept") or [0.0])[0]
    return stored * slope + intercept


def _voi(dataset: Dataset, values: Floats, inside: Floats) -> Floats:
    """C.11.2: the table, else the first usable window, else percentiles 0.5 and 99.5."""
    table = _table(dataset, "VOILUTSequence", signed=bool(values.min() < 0))
    if table is not None:
        top = max(2.0 ** table[2] - 1, 2.0 ** int(table[1].max()).bit_length() - 1)
        if np.ptp(_looked_up(table, inside)) > 0:
            return np.asarray(_looked_up(table, values) / top)
    pairs = zip(_numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False)
    for center, width in pairs:
        if math.isfinite(center) and math.isfinite(width) and width > 0:
            function = _text(dataset, "VOILUTFunction")
            if np.ptp(_windowed(inside, center, width, function).astype(np.float32)) > 0:
                return _windowed(values, center, width, function)
    low, high = np.percentile(inside, (0.5, 99.5), method="inverted_cdf")
    if low == high:
        low, high = inside.min(), inside.max()
    if low == high:
        raise Refused("blank")
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def _windowed(x: Floats, c: float, w: float, function: str) -> Floats:
    with np.errstate(all="ignore"):
        if function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(-4 * (x - c) / w)))
        if function == "LINEAR_EXACT" or w < 1:
            return np.asarray(np.clip((x - c) / w + 0.5, 0, 1))
        if w == 1:
            return np.where(x <= c - 0.5, 0.0, 1.0)
        y = (x - (c - 0.5)) / (w - 1) + 0.5
    return np.where(x <= c - 0.5 - (w - 1) / 2, 0.0, np.where(x > c - 0.5 + (w - 1) / 2, 1.0, y))


def _table(dataset: Dataset, keyword: str, *, signed: bool) -> tuple[int, Floats, int] | None:
    sequence = dataset.get(keyword)
    if not sequence or not len(sequence[0]):
        return None
    item = sequence[0]
    order = _order(dataset)
    raw = _raw(item, "LUTDescriptor") if isinstance(item.get_item(0x00283002).value, bytes) else None
    if raw is None:
        raw = b"".join(int(n).to_bytes(2, order, signed=n < 0) for n in item.LUTDescriptor)
    count, first, bits = (int.from_bytes(raw[i : i + 2], order) for i in (0, 2, 4))
    count = count or 65536
    data = item.get_item(0x00283006).value
    if not isinstance(data, bytes):
        data = np.asarray(data, "<u2" if order == "little" else ">u2").tobytes()
    if first >= 32768 and (signed or item.get_item(0x00283002).VR == "SS"):
        first -= 65536
    wide = len(data) >= 2 * count or bits > 8
    entries = np.frombuffer(data, f"{'<' if order == 'little' else '>'}u{2 if wide else 1}")[:count]
    if len(entries) < count:
        raise Refused(keyword)
    return first, entries.astype(np.float64), min(max(bits, 1), 16)


def _looked_up(table: tuple[int, Floats, int], values: Floats) -> Floats:
    first, entries, _ = table
    return np.asarray(entries[np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(int)])


# --- raster


def _raster(data: bytes) -> list[Reading]:
    if data[:8] == b"\x89PNG\r\n\x1a\n" or data[:3] == b"\xff\xd8\xff":
        return _pillow(data)
    if data[:2] in (b"II", b"MM"):
        return _tifffile(data)
    return _volume(data)


def _exact(grey: Floats, error: float = 0.0) -> Reading:
    return np.clip(grey - error, 0, 1), np.clip(grey + error, 0, 1)


def _pillow(data: bytes) -> list[Reading]:
    with Image.open(io.BytesIO(data)) as image:
        if getattr(image, "n_frames", 1) != 1 or math.prod(image.size) > 1 << 22:
            raise Refused("frames or size")
        turned = image.getexif().get(0x0112, 1)
        jpeg, mode = image.format == "JPEG", image.mode
        if mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        samples = np.asarray(image)
    if samples.dtype == bool:
        samples = samples.astype(np.uint8) * 255
    tops = {_white(samples.astype(np.uint16)), 65535.0} if mode.startswith("I") else {255.0}
    pictures = [_one_channel(samples.astype(np.float64) / top) for top in tops]
    if jpeg and samples.ndim == 3:  # luma as the file has it, before chroma is added and clipped
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", image.size)
            pictures.append(np.asarray(image.convert("L")) / 255.0)
    # A damaged EXIF entry, of which libraries think differently, may be believed or not; 3 is what the seed says.
    ways = {turned, 1, 3} if jpeg else {turned}
    return [_exact(_turned(grey, way), 2.5 / 255 if jpeg else 0) for grey in pictures for way in ways]


def _one_channel(channels: Floats) -> Floats:
    if channels.ndim == 2:
        return channels
    colours = channels[..., : 3 if channels.shape[2] >= 3 else 1]
    grey = colours @ _LUMA if colours.shape[2] == 3 else colours[..., 0]
    alpha = channels[..., -1] if channels.shape[2] in (2, 4) else np.ones(grey.shape)
    return np.asarray(grey * alpha if np.ptp(alpha) else grey)


def _turned(grey: Floats, orientation: int) -> Floats:
    quarter = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    if orientation in (5, 7):
        return np.fliplr(np.rot90(grey, quarter))
    grey = np.rot90(grey, quarter)
    return np.fliplr(grey) if orientation in (2, 4) else grey


def _tifffile(data: bytes) -> list[Reading]:
    """Pillow's own reader of TIFF first (libtiff for compressed ones); tifffile where it has no such depth."""
    found = []
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages[0]
        if math.prod(page.shape) > 1 << 22:
            raise Refused("size")
        white, orientation = page.photometric == 0, page.tags.valueof(274, default=1)
        top, kind = float((1 << page.bitspersample) - 1), page.photometric
        channels = page.samplesperpixel
        if page.dtype is None or page.dtype.kind != "u":
            raise Refused("nothing says what black and white are")
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
        if image.mode in ("L", "I;16", "I;16B") and channels == 1 and kind in (0, 1):
            samples = np.asarray(image)
            grey = samples.astype(np.float64) / (top if top != 65535 else _white(samples.astype(np.uint16)))
            # Pillow turns WhiteIsZero of 8 bits itself, of 16 not.
            turn = white and image.mode != "L"
            found.append(_exact(_turned(np.clip(1 - grey if turn else grey, 0, 1), orientation)))
    if kind in (0, 1, 2):
        samples = tifffile.imread(io.BytesIO(data))
        grey = _one_channel(samples.astype(np.float64) / (top if top != 65535 else _white(samples.astype(np.uint16))))
        found.append(_exact(_turned(np.clip(1 - grey if white else grey, 0, 1), orientation)))
    return found


def _volume(data: bytes) -> list[Reading]:
    """MetaImage and NRRD by ITK, from a file of its own."""
    stated = re.search(rb"\nCompressedDataSize = ([^\n]*)\n", data[:1000])
    packed = b"\nCompressedData = True" in data[:1000]
    if packed and not stated:
        raise Refused("ITK reads nothing without CompressedDataSize")
    if stated and stated[1].strip() != str(len(data) - data.find(b"LOCAL\n") - 6).encode():
        raise Refused("ITK reads as many bytes as this says, and shows zeros for what is missing")
    suffix = ".nrrd" if data.startswith(b"NRRD") else ".mha"
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(file.name)
        reader.ReadImageInformation()
        if math.prod(reader.GetSize()) > 1 << 22:
            raise Refused("size")
        values = np.squeeze(SimpleITK.GetArrayFromImage(reader.Execute()))
    if values.dtype == np.uint8:
        return [_exact(_one_channel(values / 255.0))]
    grey = _one_channel(values.astype(np.float64))
    low, high = np.percentile(grey, (0.5, 99.5), method="inverted_cdf")
    low, high = (low, high) if low < high else (grey.min(), grey.max())
    if low == high:
        raise Refused("blank")
    return [_exact((grey - low) / (high - low))]


def _white(samples: NDArray[Any]) -> float:
    """16-bit samples of fewer bits, right-aligned: the smallest of the usual depths that holds them all."""
    if samples.itemsize == 1:
        return 255.0
    return float(next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if samples.max() < 2**bits))
