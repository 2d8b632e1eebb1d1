"""The films that are mutated: small ones, some for each family of formats, the same bytes in every run."""

import gzip
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import SimpleITK
import tifffile
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from pipelines.imaging.source import Format
from tests.unit.dicom_films import encode_rle, film, lut, smooth, write, write_encapsulated

CANARY = "Zzyzx"
"""Stands in the names and descriptions of every seed; no error may say it."""

ROWS, COLUMNS = 80, 72


def eight_bit() -> np.ndarray:
    """uint8 [80, 72]."""
    return smooth(8, ROWS, COLUMNS).astype(np.uint8)


def noisy(bits: int) -> np.ndarray:
    """A film [80, 72] with grain, which keeps entropy coders busy."""
    cells = smooth(bits, ROWS, COLUMNS).astype(np.int64)
    grain = np.random.default_rng(bits).integers(-3, 4, cells.shape)
    return np.clip(cells + grain, 0, (1 << bits) - 1).astype(np.uint8 if bits == 8 else np.uint16)


def named(dataset: Dataset) -> Dataset:
    """With a patient's name and other text."""
    dataset.PatientName, dataset.PatientID, dataset.StudyDescription = f"{CANARY}^A", f"{CANARY}1", f"{CANARY} chest"
    dataset.PatientSex, dataset.PatientAge, dataset.ViewPosition, dataset.BodyPartExamined = "F", "045Y", "PA", "CHEST"
    dataset.PixelSpacing = [0.2, 0.2]
    return dataset


def datasets() -> list[Dataset]:
    """One film for each way of making display values of stored ones."""
    signed = (noisy(12).astype(np.int32) - 2048).astype(np.int16)
    padded = noisy(12)
    padded[:, :9] = 4000
    entries = np.round(4095 * (np.arange(3000) / 2999) ** 0.6).astype(int)
    variants: list[tuple[np.ndarray, dict[str, Any]]] = [
        (noisy(12), {"bits_stored": 12, "WindowCenter": [2000, 1500], "WindowWidth": [3000, 9000]}),
        (noisy(8), {"PhotometricInterpretation": "MONOCHROME1"}),
        (signed, {"signed": True, "WindowCenter": 0, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"}),
        (noisy(16), {"RescaleSlope": "0.5", "RescaleIntercept": "-100", "WindowCenter": 16000, "WindowWidth": 30000}),
        (noisy(12), {"bits_stored": 12, "VOILUTSequence": lut(entries, 500, 12)}),
        (noisy(12), {"bits_stored": 12, "ModalityLUTSequence": lut(entries[::-1], 300, 12)}),
        (padded, {"bits_stored": 12, "PixelPaddingValue": 4000, "PresentationLUTShape": "IDENTITY"}),
    ]
    return [named(film(cells, **options)) for cells, options in variants]


def native(syntax: str) -> Callable[[Path], Iterator[Path]]:
    """Uncompressed films in one transfer syntax."""

    def seeds(folder: Path) -> Iterator[Path]:
        for index, dataset in enumerate(datasets()):
            yield write(folder / f"{index}.dcm", dataset, syntax)
        colour = np.stack([eight_bit(), eight_bit() // 2, 255 - eight_bit()], axis=-1)
        yield write(folder / "colour.dcm", named(film(colour)), syntax)

    return seeds


Encoder = Callable[[np.ndarray], bytes]


def encapsulated(*encoders: tuple[str, int, Encoder]) -> Callable[[Path], Iterator[Path]]:
    """Films of some bit depth in some transfer syntax, one and three fragments long."""

    def seeds(folder: Path) -> Iterator[Path]:
        for index, (syntax, bits, encode) in enumerate(encoders):
            cells = noisy(bits)
            dataset = named(film(cells, bits_stored=bits, WindowCenter=1 << (bits - 1), WindowWidth=1 << bits))
            for fragments in (1, 3):
                path = folder / f"{index}_{fragments}.dcm"
                yield write_encapsulated(path, dataset, encode(cells), syntax, fragments=fragments)

    return seeds


def _lossless_jpeg(predictor: int) -> Encoder:
    return lambda cells: imagecodecs.jpeg8_encode(
        cells, lossless=True, predictor=predictor, bitspersample=max(8, int(cells.max()).bit_length())
    )


def _jpeg(cells: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(cells, level=92, bitspersample=8 if cells.dtype == np.uint8 else 12)


def _j2k(**options: Any) -> Encoder:
    return lambda cells: imagecodecs.jpeg2k_encode(cells, codecformat="J2K", resolutions=3, **options)


def _png(folder: Path) -> Iterator[Path]:
    for index, (cells, options) in enumerate(
        [
            (eight_bit(), {}),
            (noisy(16), {}),
            (np.stack([eight_bit()] * 3, axis=-1), {}),
            (np.stack([eight_bit(), np.full_like(eight_bit(), 255)], axis=-1), {}),
        ]
    ):
        path = folder / f"{index}.png"
        Image.fromarray(cells).save(path, **options)
        yield path


def _raster_jpeg(folder: Path) -> Iterator[Path]:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = CANARY, 3
    for index, options in enumerate([{}, {"exif": exif}, {"progressive": True}]):
        Image.fromarray(noisy(8)).save(folder / f"{index}.jpg", quality=92, **options)
        yield folder / f"{index}.jpg"
    Image.fromarray(np.stack([noisy(8)] * 3, axis=-1)).save(folder / "rgb.jpg", quality=92)
    yield folder / "rgb.jpg"


def _tiff(folder: Path) -> Iterator[Path]:
    for index, options in enumerate(
        [{}, {"compression": "lzw"}, {"compression": "zlib", "predictor": True}, {"byteorder": ">", "rowsperstrip": 16}]
    ):
        tifffile.imwrite(folder / f"{index}.tif", noisy(16), description=CANARY, metadata=None, **options)
        yield folder / f"{index}.tif"
    tifffile.imwrite(folder / "white.tif", noisy(8), photometric="miniswhite", metadata=None)
    yield folder / "white.tif"


def _mha(folder: Path) -> Iterator[Path]:
    for index, (cells, compress) in enumerate([(noisy(8), False), (noisy(16), True), (noisy(12), False)]):
        path = folder / f"{index}.mha"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(cells), str(path), useCompression=compress)
        yield path


def _nrrd(folder: Path) -> Iterator[Path]:
    for index, (cells, encoding) in enumerate([(noisy(8), "raw"), (noisy(16), "gzip"), (noisy(12), "raw")]):
        data = cells.astype(cells.dtype.newbyteorder("<")).tobytes()
        header = f"NRRD0004\ntype: uint{8 * cells.itemsize}\ndimension: 2\nsizes: {COLUMNS} {ROWS}\n"
        header += f"endian: little\nencoding: {encoding}\ncontent: {CANARY}\n\n"
        path = folder / f"{index}.nrrd"
        path.write_bytes(header.encode() + (gzip.compress(data, mtime=0) if encoding == "gzip" else data))
        yield path


_MAKERS: dict[str, Callable[[Path], Iterator[Path]]] = {
    "implicit": native(uid.ImplicitVRLittleEndian),
    "explicit": native(uid.ExplicitVRLittleEndian),
    "big": native(uid.ExplicitVRBigEndian),
    "deflated": native(uid.DeflatedExplicitVRLittleEndian),
    "rle": encapsulated((uid.RLELossless, 8, encode_rle), (uid.RLELossless, 12, encode_rle)),
    "jpeg": encapsulated((uid.JPEGBaseline8Bit, 8, _jpeg), (uid.JPEGExtended12Bit, 12, _jpeg)),
    "jpeg_lossless": encapsulated(
        (uid.JPEGLosslessSV1, 8, _lossless_jpeg(1)),
        (uid.JPEGLosslessSV1, 12, _lossless_jpeg(1)),
        (uid.JPEGLossless, 16, _lossless_jpeg(5)),
    ),
    "jpeg_ls": encapsulated(
        (uid.JPEGLSLossless, 8, imagecodecs.jpegls_encode),
        (uid.JPEGLSLossless, 12, imagecodecs.jpegls_encode),
        (uid.JPEGLSNearLossless, 16, lambda cells: imagecodecs.jpegls_encode(cells, level=3)),
    ),
    "jpeg_2000": encapsulated(
        (uid.JPEG2000Lossless, 8, _j2k(reversible=True, level=0)),
        (uid.JPEG2000Lossless, 12, _j2k(reversible=True, level=0, bitspersample=12)),
        (uid.JPEG2000, 16, _j2k(reversible=False, level=70)),
    ),
    "htj2k": encapsulated(
        (uid.HTJ2KLossless, 8, lambda cells: imagecodecs.htj2k_encode(cells, reversible=True)),
        (uid.HTJ2K, 12, lambda cells: imagecodecs.htj2k_encode(cells, reversible=False)),
    ),
    "png": _png,
    "raster_jpeg": _raster_jpeg,
    "tiff": _tiff,
    "mha": _mha,
    "nrrd": _nrrd,
}
_NEEDS_FORMAT = {"mha": ("MHA", "METAIMAGE"), "nrrd": ("NRRD",)}

FAMILIES = tuple(
    name
    for name in _MAKERS
    if name not in _NEEDS_FORMAT or any(member.name in _NEEDS_FORMAT[name] for member in Format)
)
"""Formats and codings that this project reads, each mutated on its own."""
DICOM_FAMILIES = frozenset(FAMILIES) - {"png", "raster_jpeg", "tiff", "mha", "nrrd"}


@cache
def seeds(family: str) -> tuple[bytes, ...]:
    """The whole files of a family."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(path.read_bytes() for path in _MAKERS[family](Path(folder)))
