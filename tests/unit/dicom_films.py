"""Small DICOM films built for tests: pixels and header are exactly what the test says."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

SIDE = 64
"""Side of the smallest film."""


def tiled(pattern: Any, side: int = SIDE, dtype: Any = np.uint16) -> np.ndarray:
    """A film [side, side] that repeats a small pattern of stored values."""
    pattern = np.atleast_2d(np.asarray(pattern))
    repeats = (-(-side // pattern.shape[0]), -(-side // pattern.shape[1]))
    return np.tile(pattern, repeats)[:side, :side].astype(dtype)


def ramp(bits: int, rows: int = SIDE, columns: int = SIDE) -> np.ndarray:
    """A film [rows, columns] whose values cover 0 ... 2**bits - 1 evenly."""
    return np.linspace(0, (1 << bits) - 1, rows * columns).round().astype(np.uint16).reshape(rows, columns)


def smooth(bits: int, rows: int = 96, columns: int = 80) -> np.ndarray:
    """A film [rows, columns] of slow waves over the middle of 0 ... 2**bits - 1, which lossy coding keeps closely.

    The waves run aslant: upright ones can be taken for lungs, and the film for a chest in negative.
    """
    y, x = np.mgrid[0:rows, 0:columns]
    wave = 0.25 + 0.5 * (x + y) / (rows + columns) + 0.1 * np.sin((x + y) / 11) + 0.05 * np.cos((x - 2 * y) / 17)
    return (wave * ((1 << bits) - 1)).round().astype(np.uint16)


def film(cells: np.ndarray, *, bits_stored: int | None = None, signed: bool = False, **attributes: Any) -> Dataset:
    """A Computed Radiography data set around stored cells.

    Args:
        cells: [rows, columns] or [rows, columns, 3]; uint8 or uint16 (signed ones are cast to two's complement).
        bits_stored: BitsStored; all bits of the type by default.
        signed: PixelRepresentation.
        attributes: any DICOM keyword, overriding; None deletes it.
    """
    cells = np.ascontiguousarray(cells)
    if cells.dtype.kind == "i":
        cells = cells.view(f"u{cells.dtype.itemsize}")
    bits = cells.dtype.itemsize * 8
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["cxr-triage test film"])
    dataset.Modality = "CR"
    dataset.Rows, dataset.Columns = cells.shape[:2]
    dataset.SamplesPerPixel = 3 if cells.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if cells.ndim == 3 else "MONOCHROME2"
    if cells.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = bits
    dataset.BitsStored = bits_stored or bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(signed)
    data = cells.astype(cells.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OW" if bits == 16 else "OB", data + b"\0" * (len(data) % 2))
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def lut(entries: Any, first: int, bits: int, *, vr: str = "US", data: bytes | None = None) -> Sequence:
    """A modality or VOI LUT sequence of one item.

    Args:
        entries: output values.
        first: first input value.
        bits: third value of LUTDescriptor.
        vr: of LUTDescriptor: US, or SS for a signed first value.
        data: raw LUTData in place of 16-bit entries.
    """
    item = Dataset()
    count = len(entries) if len(entries) < 1 << 16 else 0
    item.add_new("LUTDescriptor", vr, [count, first if vr == "SS" else first & 0xFFFF, bits])
    item.add_new("LUTData", "OW", data if data is not None else np.asarray(entries, dtype="<u2").tobytes())
    return Sequence([item])


def write(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a DICOM file in a transfer syntax; pixels of big endian files are swapped here."""
    dataset = _copy(dataset)
    if syntax == ExplicitVRBigEndian:
        width = dataset.BitsAllocated // 8 if dataset["PixelData"].VR == "OW" else 1
        swapped = np.frombuffer(dataset.PixelData, dtype=f"<u{width}").byteswap().tobytes()
        dataset.add_new("PixelData", dataset["PixelData"].VR, swapped)
    if syntax == ImplicitVRLittleEndian:
        dataset["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_encapsulated(path: Path, dataset: Dataset, stream: bytes, syntax: str, *, fragments: int = 1) -> Path:
    """Write a data set whose pixels are one code stream, cut into fragments."""
    dataset = _copy(dataset)
    dataset.add_new("PixelData", "OB", encapsulate([stream], fragments_per_frame=fragments, has_bot=False))
    dataset["PixelData"].is_undefined_length = True
    return write(path, dataset, syntax)


def encode_rle(cells: np.ndarray) -> bytes:
    """The RLE frame of grey cells [rows, columns]."""
    options = {"rows": cells.shape[0], "columns": cells.shape[1], "samples_per_pixel": 1}
    bits = cells.dtype.itemsize * 8
    return get_encoder(RLELossless).encode(
        cells,
        encoding_plugin="pydicom",
        number_of_frames=1,
        bits_allocated=bits,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        **options,
    )


def _copy(dataset: Dataset) -> Dataset:
    copy = Dataset()
    copy.update({element.tag: element for element in dataset})
    if "PixelData" in dataset:  # writing changes this element
        copy.add_new("PixelData", dataset["PixelData"].VR, dataset.PixelData)
        copy["PixelData"].is_undefined_length = dataset["PixelData"].is_undefined_length
    return copy
