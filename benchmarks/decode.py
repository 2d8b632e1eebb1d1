"""Films per second on one core, by transfer syntax: this reader, pydicom's default path, MONAI's PydicomReader.

    python benchmarks/decode.py [--quick] [--repeats 5] [--side 512]

The film (a phantom, and RG1 of pydicom-data where that is installed) is written in every transfer syntax to a temporary
folder. Each reader then turns each file into float32 values: this project's and pydicom's into display values in
[0, 1], MONAI's into what it gives (rescaled, without window or polarity: less than the others do). For `--side`, the
others decode in full and are resized by area. What counts is processor time, all threads together. Repeats are
interleaved and medians shown, so that a busy machine slows all readers alike; one that cannot read a file shows as -.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom
import torch
from monai.data import PydicomReader
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_encoder

from pipelines.imaging import tags
from pipelines.imaging.decode import decode_cells
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.display import to_display
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout
from pipelines.imaging.syntaxes import SYNTAXES
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film

BITS = 12
Reader = Callable[[Path, int | None], Any]
Cells = np.ndarray


# --- the readers


def ours(path: Path, side: int | None) -> np.ndarray:
    """From the file to display values, at the smallest resolution that covers `side`."""
    with path.open("rb") as stream:
        file = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY)
        layout = Layout.of(file.header)
        cells = decode_cells(file, layout, max_side=side)
        return to_display(cells, Intensity.of(file.header, layout), max_side=side)


def by_pydicom(path: Path, side: int | None) -> np.ndarray:
    """The steps of pydicom's documentation from a file to display values."""
    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    low, high = values.min(), values.max()
    values = (values - low) / (high - low)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 1 - values
    return values if side is None else resized(values, side)


def by_monai(path: Path, side: int | None) -> np.ndarray:
    """What MONAI's reader gives."""
    reader = PydicomReader()
    values = np.asarray(reader.get_data(reader.read(path))[0], dtype=np.float32)
    return values if side is None else resized(values, side)


def resized(values: np.ndarray, side: int) -> np.ndarray:
    """The longer side at `side` pixels, by area."""
    scale = side / max(values.shape)
    size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


READERS: dict[str, Reader] = {"ours": ours, "pydicom": by_pydicom, "MONAI": by_monai}


# --- the films


def encoders() -> dict[uid.UID, Callable[[Cells], bytes]]:
    """Transfer syntax -> how a film of BITS bits is written in it."""
    code = imagecodecs
    return {
        uid.RLELossless: rle,
        uid.JPEGBaseline8Bit: lambda c: code.jpeg8_encode((c >> (BITS - 8)).astype(np.uint8), level=95),
        uid.JPEGExtended12Bit: lambda c: code.jpeg8_encode(c, level=95, bitspersample=BITS),
        uid.JPEGLossless: lambda c: code.jpeg8_encode(c, lossless=True, predictor=6, bitspersample=BITS),
        uid.JPEGLosslessSV1: lambda c: code.jpeg8_encode(c, lossless=True, predictor=1, bitspersample=BITS),
        uid.JPEGLSLossless: code.jpegls_encode,
        uid.JPEGLSNearLossless: lambda c: code.jpegls_encode(c, level=2),
        uid.JPEG2000Lossless: lambda c: j2k(c, reversible=True, level=0),
        uid.JPEG2000: lambda c: j2k(c, reversible=False, level=60),
        uid.HTJ2KLossless: lambda c: code.htj2k_encode(c, reversible=True),
        uid.HTJ2K: lambda c: code.htj2k_encode(c, reversible=False, level=0.0002),
    }


def j2k(cells: Cells, **options: Any) -> bytes:
    return imagecodecs.jpeg2k_encode(cells, codecformat="J2K", bitspersample=BITS, **options)


def rle(cells: Cells) -> bytes:
    return get_encoder(uid.RLELossless).encode(
        cells,
        encoding_plugin="pydicom",
        rows=cells.shape[0],
        columns=cells.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=BITS,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )


def sources(*, quick: bool) -> Iterator[tuple[str, Cells]]:
    """Name and cells, uint16 of BITS bits, of each film."""
    rows, columns = (320, 256) if quick else (2500, 2048)
    rendered = render_film(plan_film(1, 0))
    bits = rendered.plan.site.bits_stored
    film = cv2.resize(rendered.pixels.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    film = film / (1 << bits) * (1 << BITS)
    noise = np.random.default_rng(0).normal(0, 4, film.shape)  # enlarging took the film's own away
    yield f"phantom {rows} × {columns}", np.clip(np.rint(film + noise), 0, (1 << BITS) - 1).astype(np.uint16)
    real = None if quick else get_testdata_file("RG1_UNCR.dcm", download=False)
    if real is not None:
        dataset = pydicom.dcmread(real)
        cells = dataset.pixel_array >> (dataset.BitsStored - BITS)
        yield "RG1 {} × {}".format(*cells.shape), cells


def files(cells: Cells, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a film in every transfer syntax."""
    for syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian):
        yield SYNTAXES[syntax].name, written(folder, cells, syntax, None)
    for syntax, encode in encoders().items():
        yield SYNTAXES[syntax].name, written(folder, cells, syntax, encode(cells))


def written(folder: Path, cells: Cells, syntax: uid.UID, stream: bytes | None) -> Path:
    """Write one film as a Computed Radiography object."""
    bits = 8 if syntax == uid.JPEGBaseline8Bit else BITS
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.ComputedRadiographyImageStorage, uid.generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME1"
    dataset.Rows, dataset.Columns = cells.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 if bits == 8 else 16, bits, bits - 1
    dataset.WindowCenter, dataset.WindowWidth = 1 << (bits - 1), (1 << bits) * 3 // 4
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    data = cells.astype("<u2").tobytes() if stream is None else encapsulate([stream])
    dataset.add_new("PixelData", "OW" if stream is None else "OB", data)
    dataset["PixelData"].is_undefined_length = stream is not None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    path = folder / f"{syntax}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


# --- the table


def seconds(path: Path, side: int | None, repeats: int) -> dict[str, float | None]:
    """Median seconds of each reader, their runs interleaved; None for a reader that cannot read the file."""
    taken: dict[str, list[float]] = {name: [] for name in READERS}
    failed: set[str] = set()
    for _ in range(repeats):
        for name, reader in READERS.items():
            begin = time.process_time()
            try:
                reader(path, side)
            except Exception:  # a reader that cannot is a result of this table
                if name == "ours":
                    raise
                failed.add(name)
            taken[name].append(time.process_time() - begin)
    return {name: None if name in failed else statistics.median(times) for name, times in taken.items()}


def row(name: str, times: dict[str, float | None]) -> str:
    """One line: films per second of each reader, and ours over the best of the others."""
    rates = {reader: None if taken is None else 1 / taken for reader, taken in times.items()}
    others = [rate for reader, rate in rates.items() if reader != "ours" and rate is not None]
    ratio = f"{rates['ours'] / max(others):8.1f}" if others else f"{'-':>8}"
    return f"{name:<36}" + "".join(f"{'-' if rate is None else f'{rate:.1f}':>10}" for rate in rates.values()) + ratio


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small film, one repeat: shows that it works")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median is shown")
    parser.add_argument("--side", type=int, default=512, help="longer side wanted, in pixels")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for title, cells in sources(quick=chosen.quick):
        with tempfile.TemporaryDirectory() as folder:
            paths = list(files(cells, Path(folder)))
            for side in (None, chosen.side):
                print(f"\n{title}, films per second, {'full' if side is None else f'longer side {side}'}")
                print(f"{'transfer syntax':<36}" + "".join(f"{name:>10}" for name in READERS) + f"{'ratio':>8}")
                for name, path in paths:
                    print(row(name, seconds(path, side, 1 if chosen.quick else chosen.repeats)), flush=True)


if __name__ == "__main__":
    main()
