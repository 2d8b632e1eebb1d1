"""Every transfer syntax gives the stored cells back, and every decoder of a codec the same ones."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from libjpeg.utils import decode as libjpeg_decode
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended

from pipelines.errors import UnreadableImage
from pipelines.imaging import decode, read_facts, read_radiograph, tags
from pipelines.imaging.codestream import jpeg_info
from pipelines.imaging.decode import DECODERS, decode_cells
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.display import to_display
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout
from pipelines.imaging.syntaxes import SYNTAXES, Codec
from tests.unit.dicom_films import encode_rle, film, smooth, write, write_encapsulated


def stored(path: Path, max_side: int | None = None) -> np.ndarray:
    """The cells of a film as its decoder sees them."""
    with path.open("rb") as stream:
        file = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY)
        return decode_cells(file, Layout.of(file.header), max_side=max_side)


def shown(path: Path) -> np.ndarray:
    """Its display values, as its header alone would have it."""
    with path.open("rb") as stream:
        header = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY).header
    return to_display(stored(path), Intensity.of(header, Layout.of(header)))


def lossless_jpeg(predictor: int) -> Callable[[np.ndarray], bytes]:
    def encode(cells: np.ndarray) -> bytes:
        bits = max(2, int(cells.max()).bit_length())
        return imagecodecs.jpeg8_encode(cells, lossless=True, predictor=predictor, bitspersample=bits)

    return encode


def j2k(cells: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(cells, codecformat="J2K", reversible=True, level=0)


NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = {
    uid.JPEGLossless: lossless_jpeg(4),
    uid.JPEGLosslessSV1: lossless_jpeg(1),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: j2k,
    uid.HTJ2KLossless: lambda cells: imagecodecs.htj2k_encode(cells, reversible=True),
    uid.RLELossless: encode_rle,
}


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda s: s.name)
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_uncompressed(tmp_path: Path, syntax: uid.UID, bits: int) -> None:
    cells = smooth(bits).astype(np.uint8 if bits == 8 else np.uint16)
    path = write(tmp_path / "film.dcm", film(cells, bits_stored=bits), syntax)
    np.testing.assert_array_equal(stored(path), cells)
    assert read_facts(path).lossy is None


def test_eight_bit_cells_in_big_endian_words(tmp_path: Path) -> None:
    cells = smooth(8).astype(np.uint8)
    dataset = film(cells)
    dataset.add_new("PixelData", "OW", np.frombuffer(cells.tobytes(), "<u2").byteswap().tobytes())
    dataset["PixelData"].VR = "OB"  # so that the helper leaves the bytes alone
    path = write(tmp_path / "film.dcm", dataset, uid.ExplicitVRBigEndian)
    data = path.read_bytes().replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW")
    path.write_bytes(data)
    np.testing.assert_array_equal(stored(path), cells)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda s: s.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("fragments", [1, 3])
def test_lossless(tmp_path: Path, syntax: uid.UID, bits: int, fragments: int) -> None:
    cells = smooth(bits).astype(np.uint8 if bits == 8 else np.uint16)
    stream = LOSSLESS[syntax](cells)
    dataset = film(cells, bits_stored=bits)
    path = write_encapsulated(tmp_path / "film.dcm", dataset, stream, syntax, fragments=fragments)
    np.testing.assert_array_equal(stored(path), cells)
    native = read_radiograph(write(tmp_path / "native.dcm", dataset))
    np.testing.assert_array_equal(read_radiograph(path).pixels, native.pixels)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *NATIVE], ids=lambda s: s.name)
def test_signed(tmp_path: Path, syntax: uid.UID) -> None:
    cells = (smooth(12).astype(np.int32) - 2048).astype(np.int16)
    dataset = film(cells, signed=True, WindowCenter=0, WindowWidth=4096)
    path = tmp_path / "film.dcm"
    if syntax in NATIVE:
        write(path, dataset, syntax)
    else:
        write_encapsulated(path, dataset, LOSSLESS[syntax](cells.view(np.uint16)), syntax)
    np.testing.assert_allclose(shown(path), (cells + 0.5) / 4095 + 0.5, atol=1e-6)


def test_signed_jpeg_2000_streams(tmp_path: Path) -> None:
    cells = (smooth(12).astype(np.int32) - 2048).astype(np.int16)
    dataset = film(cells, signed=True, WindowCenter=0, WindowWidth=4096)
    path = write_encapsulated(tmp_path / "film.dcm", dataset, j2k(cells), uid.JPEG2000Lossless)
    np.testing.assert_allclose(shown(path), (cells + 0.5) / 4095 + 0.5, atol=1e-6)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLosslessSV1])
def test_overlay_bits_in_lossless_streams_are_masked(tmp_path: Path, syntax: uid.UID) -> None:
    cells = smooth(12)
    dirty = cells | np.uint16(0xA000)
    stream = LOSSLESS[syntax](dirty)
    path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=12), stream, syntax)
    np.testing.assert_array_equal(stored(path), cells)


def jpeg(cells: np.ndarray) -> bytes:
    bits = 8 if cells.dtype == np.uint8 else 12
    return imagecodecs.jpeg8_encode(cells, level=95, bitspersample=bits)


LOSSY = {
    uid.JPEGBaseline8Bit: (8, jpeg, 3),
    uid.JPEGExtended12Bit: (12, jpeg, 24),
    uid.JPEGLSNearLossless: (12, lambda cells: imagecodecs.jpegls_encode(cells, level=3), 3),
    uid.JPEG2000: (12, lambda cells: imagecodecs.jpeg2k_encode(cells, codecformat="J2K", level=100), 8),
    uid.HTJ2K: (12, lambda cells: imagecodecs.htj2k_encode(cells, reversible=False, level=0.0001), 12),
}


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda s: s.name)
def test_lossy(tmp_path: Path, syntax: uid.UID) -> None:
    bits, encode, tolerance = LOSSY[syntax]
    cells = smooth(bits).astype(np.uint8 if bits == 8 else np.uint16)
    path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=bits), encode(cells), syntax)
    difference = np.abs(stored(path).astype(int) - cells.astype(int))
    assert difference.max() <= tolerance


def test_lossy_overshoot_does_not_wrap(tmp_path: Path) -> None:
    # 10 bits stored in a 12-bit stream: values above 1023 are white, not black.
    cells = np.full((64, 64), 1023, np.uint16)
    cells[:, 32:] = 1040
    cells[:8] = 0
    stream = imagecodecs.jpeg8_encode(cells, level=100, bitspersample=12)
    path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=10), stream, uid.JPEGExtended12Bit)
    assert stored(path)[20:].min() > 1000


@pytest.mark.parametrize("codec", DECODERS, ids=lambda c: c.value)
def test_every_decoder_of_a_codec_agrees(tmp_path: Path, codec: Codec) -> None:
    cells = smooth(12)
    decoded = 0
    for syntax, encode in LOSSLESS.items():
        if SYNTAXES[syntax].codec is not codec:
            continue
        stream = encode(cells)
        path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=12), stream, syntax)
        with path.open("rb") as opened:
            layout = Layout.of(DicomFile.parse(opened, path.stat().st_size, tags.DISPLAY).header)
        info = None if codec is Codec.RLE else decode._stream_info(SYNTAXES[syntax], stream, layout)
        for decoder in DECODERS[codec]:
            np.testing.assert_array_equal(decoder(stream, layout, info), cells, err_msg=decoder.__name__)
            decoded += 1
    assert decoded >= len(DECODERS[codec])


# --- the same cells from libraries that this project does not decode with


ODD = (101, 67)
"""Rows and columns that no block, tile or level divides."""


def encoded_by(library: str, path: Path, flags: list[str], out: Path) -> Path:
    program = shutil.which(library)
    if program is None:
        pytest.skip(f"{library} is not installed")
    subprocess.run([program, *flags, str(path), str(out)], check=True, capture_output=True, timeout=60)
    return out


@pytest.mark.parametrize(
    ("library", "flags"),
    [
        *(("dcmcjpeg", ["+el", "+sv", str(predictor)]) for predictor in range(1, 8)),
        ("dcmcjpeg", ["+e1"]),
        ("dcmcjpls", ["+el"]),
        ("dcmcrle", []),
        ("gdcmconv", ["--jpeg"]),
        ("gdcmconv", ["--jpegls"]),
        ("gdcmconv", ["--j2k"]),
        ("gdcmconv", ["--rle"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value),
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_what_other_encoders_write(tmp_path: Path, library: str, flags: list[str], bits: int) -> None:
    # gdcmconv ends on an odd number of 8-bit pixels.
    rows, columns = (102, 67) if (library, bits) == ("gdcmconv", 8) else ODD
    cells = smooth(bits, rows, columns).astype(np.uint8 if bits == 8 else np.uint16)
    dataset = film(cells, bits_stored=bits, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    plain = write(tmp_path / "plain.dcm", dataset)
    np.testing.assert_array_equal(stored(encoded_by(library, plain, flags, tmp_path / "film.dcm")), cells)


@pytest.mark.parametrize("bits", [8, 12])
def test_dct_as_dcmtk_decodes_it(tmp_path: Path, bits: int) -> None:
    cells = smooth(bits, *ODD).astype(np.uint8 if bits == 8 else np.uint16)
    plain = write(tmp_path / "plain.dcm", film(cells, bits_stored=bits))
    coded = encoded_by("dcmcjpeg", plain, ["+eb" if bits == 8 else "+ee"], tmp_path / "film.dcm")
    assert read_facts(coded).lossy
    decoded = encoded_by("dcmdjpeg", coded, [], tmp_path / "decoded.dcm")
    # Inverse transforms may round differently (ITU-T T.83 allows it): by one step, not more.
    assert np.abs(stored(coded).astype(int) - dcmread(decoded).pixel_array).max() <= 1


def test_eight_bit_dct_as_pillow_decodes_it() -> None:
    cells = smooth(8, *ODD).astype(np.uint8)
    stream = jpeg(cells)
    layout = Layout(*ODD, 1, "MONOCHROME2", 8, 8, 7, signed=False, planar=False)
    for decoder, steps in zip(DECODERS[Codec.JPEG], (0, 1), strict=True):
        found = decoder(stream, layout, jpeg_info(stream)).astype(int)
        assert np.abs(found - np.asarray(Image.open(io.BytesIO(stream)))).max() <= steps


@pytest.mark.parametrize("near", [1, 3, 7])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_near_lossless_keeps_its_bound_and_all_decoders_agree(tmp_path: Path, bits: int, near: int) -> None:
    cells = smooth(bits, *ODD).astype(np.uint8 if bits == 8 else np.uint16)
    stream = imagecodecs.jpegls_encode(cells, level=near)
    path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=bits), stream, uid.JPEGLSNearLossless)
    found = stored(path)
    assert np.abs(found.astype(int) - cells).max() <= near
    np.testing.assert_array_equal(found, libjpeg_decode(stream, colour_transform=0))


@pytest.mark.parametrize("syntax", [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K], ids=lambda s: s.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_htj2k_as_openjph_decodes_it(tmp_path: Path, syntax: uid.UID, bits: int) -> None:
    cells = smooth(bits, *ODD).astype(np.uint8 if bits == 8 else np.uint16)
    lossy = syntax == uid.HTJ2K
    options = {"reversible": False, "level": 0.001} if lossy else {"reversible": True}
    stream = imagecodecs.htj2k_encode(cells, **options)
    path = write_encapsulated(tmp_path / "film.dcm", film(cells, bits_stored=bits), stream, syntax)
    expected = imagecodecs.htj2k_decode(stream)
    assert np.abs(stored(path).astype(int) - expected).max() <= (2 if lossy else 0)
    if not lossy:
        np.testing.assert_array_equal(expected, cells)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_run_lengths_of_both_depths_and_of_colour(tmp_path: Path, dtype: type, colour: bool) -> None:
    top = np.iinfo(dtype).max
    grey = smooth(16, *ODD) // (65536 // (top + 1))
    cells = (np.stack([grey, grey // 2, top - grey], -1) if colour else grey).astype(dtype)
    dataset = film(cells)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    path = tmp_path / "film.dcm"
    dataset.save_as(path, enforce_file_format=True)
    expected = dcmread(path).pixel_array
    np.testing.assert_array_equal(expected, cells)
    np.testing.assert_allclose(stored(path), expected @ decode.LUMA if colour else expected, rtol=1e-6)


@pytest.mark.parametrize("table", ["empty", "filled", "extended"])
@pytest.mark.parametrize("fragments", [1, 2, 5])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda s: s.name)
def test_offset_tables(tmp_path: Path, syntax: uid.UID, fragments: int, table: str) -> None:
    if table == "extended" and fragments > 1:
        pytest.skip("an extended offset table allows one fragment a frame (PS3.3, C.7.6.3.1.8)")
    cells = smooth(12, *ODD)
    dataset = film(cells, bits_stored=12)
    stream = LOSSLESS[syntax](cells)
    if table == "extended":
        data, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended([stream])
    else:
        data = encapsulate([stream], fragments_per_frame=fragments, has_bot=table == "filled")
    dataset.add_new("PixelData", "OB", data)
    dataset["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(stored(write(tmp_path / "film.dcm", dataset, syntax)), cells)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda s: s.name)
@pytest.mark.parametrize("bits", [8, 16])
def test_uncompressed_films_of_odd_size(tmp_path: Path, syntax: uid.UID, bits: int) -> None:
    cells = smooth(bits, *ODD).astype(np.uint8 if bits == 8 else np.uint16)
    found = stored(write(tmp_path / "film.dcm", film(cells), syntax))
    np.testing.assert_array_equal(found, cells)
    assert found.dtype.isnative


@pytest.mark.parametrize("syntax", [*LOSSLESS, *NATIVE], ids=lambda s: s.name)
def test_palette_indices_are_cells(tmp_path: Path, syntax: uid.UID) -> None:
    cells = smooth(8, 200, 160).astype(np.uint8)
    dataset = film(cells, PhotometricInterpretation="PALETTE COLOR")
    for colour, place in zip(("Red", "Green", "Blue"), (0x1101, 0x1102, 0x1103), strict=True):
        dataset.add_new((0x0028, place), "US", [256, 0, 8])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes(range(256)))
        dataset[f"{colour}PaletteColorLookupTableData"].VR = "OW"
    path = tmp_path / "film.dcm"
    if syntax in NATIVE:
        write(path, dataset, syntax)
    else:
        write_encapsulated(path, dataset, LOSSLESS[syntax](cells), syntax)
    np.testing.assert_array_equal(stored(path), cells)
    np.testing.assert_array_equal(stored(path, max_side=64), cells)  # an average of indices is another colour


@pytest.mark.parametrize("claimed", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_the_header_is_read_as_written_not_as_claimed(tmp_path: Path, claimed: uid.UID) -> None:
    cells = smooth(12)
    written = uid.ExplicitVRLittleEndian if claimed == uid.ImplicitVRLittleEndian else uid.ImplicitVRLittleEndian
    path = write(tmp_path / "film.dcm", film(cells, bits_stored=12), written)
    old, new = (s.encode() + b"\0" * (len(s) % 2) for s in (written, claimed))
    data = path.read_bytes()
    at = data.index(b"\x02\x00\x10\x00UI")
    lied = data[: at + 6] + len(new).to_bytes(2, "little") + new + data[at + 8 + len(old) :]
    path.write_bytes(lied)
    np.testing.assert_array_equal(stored(path), cells)


def test_a_data_set_without_preamble(tmp_path: Path) -> None:
    cells = smooth(12)
    dataset = film(cells, bits_stored=12)
    path = tmp_path / "film.dcm"
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(stored(path), cells)


@pytest.mark.parametrize(("claimed", "refused"), [(4, True), (10, True), (8, False)])
def test_streams_of_a_precision_the_header_excludes_are_refused(tmp_path: Path, claimed: int, refused: bool) -> None:
    cells = smooth(8).astype(np.uint8)
    stream = bytearray(imagecodecs.jpeg8_encode(cells, lossless=True, predictor=1))
    at = stream.find(b"\xff\xc3")
    stream[at + 4] = claimed
    path = write_encapsulated(tmp_path / "film.dcm", film(cells), bytes(stream), uid.JPEGLosslessSV1)
    if not refused:
        np.testing.assert_array_equal(stored(path), cells)
        return
    with pytest.raises(UnreadableImage, match=f"stream has {claimed} bits, BitsStored and BitsAllocated allow 8 to 8"):
        read_radiograph(path)


def test_a_lossy_stream_that_calls_itself_signed_has_nothing_below_zero(tmp_path: Path) -> None:
    cells = smooth(12).astype(np.int16) - 1000
    stream = imagecodecs.jpeg2k_encode(cells, level=60, codecformat="J2K", bitspersample=16)
    path = write_encapsulated(tmp_path / "film.dcm", film(smooth(12), bits_stored=12), stream, uid.JPEG2000)
    found = stored(path)
    assert found.dtype == np.uint16
    assert (found[cells < -100] == 0).all()
    assert np.abs(found - np.maximum(cells, 0.0)).mean() < 100
