"""Display values computed by hand for every step from stored value to screen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_radiograph
from tests.unit.dicom_films import film, lut, tiled, write

pytestmark = pytest.mark.usefixtures("without_picture_rules")

TOLERANCE = 1e-6


def shown(tmp_path: Path, pattern: Any, dtype: Any = np.uint16, **options: Any) -> np.ndarray:
    """The display values of one pattern, after checking that the film repeats it everywhere."""
    pattern = np.atleast_2d(np.asarray(pattern))
    pixels = read_radiograph(write(tmp_path / "film.dcm", film(tiled(pattern, dtype=dtype), **options))).pixels
    assert pixels.dtype == np.float32
    assert pixels.shape == (64, 64)
    top = pixels[: pattern.shape[0], : pattern.shape[1]]
    np.testing.assert_array_equal(pixels, tiled(top, dtype=np.float32))
    return top


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME2", None, [0.0, 0.25, 0.75, 1.0]),
        ("MONOCHROME2", "IDENTITY", [0.0, 0.25, 0.75, 1.0]),
        ("MONOCHROME2", "INVERSE", [1.0, 0.75, 0.25, 0.0]),
        ("MONOCHROME1", None, [1.0, 0.75, 0.25, 0.0]),
        ("MONOCHROME1", "INVERSE", [1.0, 0.75, 0.25, 0.0]),  # inverted once, not twice
        ("MONOCHROME1", "IDENTITY", [0.0, 0.25, 0.75, 1.0]),  # contradictory: the shape is followed, as DCMTK does
    ],
)
def test_polarity(tmp_path: Path, photometric: str, shape: str | None, expected: list[float]) -> None:
    options = {"PresentationLUTShape": shape} if shape else {}
    # LINEAR, centre 201, width 401: (x - 200.5) / 400 + 0.5, so 0.5 + x - 200.5 is exact at 0.5 + multiples of 100.
    values = shown(
        tmp_path,
        [0, 100, 300, 400],
        PhotometricInterpretation=photometric,
        WindowCenter=200.5,
        WindowWidth=401,
        **options,
    )
    np.testing.assert_allclose(values[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("function", "center", "width", "stored", "expected"),
    [
        # C.11.2.1.2.1: x <= c - 0.5 - (w-1)/2 -> 0; x > c - 0.5 + (w-1)/2 -> 1; else (x - (c-0.5))/(w-1) + 0.5
        ("LINEAR", 2048, 4096, [0, 1, 2047, 4095], [0.0, 1 / 4095, 2047 / 4095, 1.0]),
        ("LINEAR", 128, 10, [0, 123, 127, 128, 132, 200], [0.0, 0.0, 4 / 9, 5 / 9, 1.0, 1.0]),
        ("LINEAR", 100, 1, [0, 99, 100, 200], [0.0, 0.0, 1.0, 1.0]),
        ("", 128, 10, [123, 128], [0.0, 5 / 9]),
        # C.11.2.1.3.2: x <= c - w/2 -> 0; x > c + w/2 -> 1; else (x - c)/w + 0.5
        ("LINEAR_EXACT", 128, 10, [0, 123, 125, 128, 133, 200], [0.0, 0.0, 0.2, 0.5, 1.0, 1.0]),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c)/w))
        ("SIGMOID", 100, 40, [60, 100, 110], [1 / (1 + np.exp(4)), 0.5, 1 / (1 + np.exp(-1))]),
        ("LINEAR", 100, "1E-300", [0, 99, 101, 200], [0.0, 0.0, 1.0, 1.0]),
        ("SIGMOID", 100, "1E-300", [0, 99, 101, 200], [0.0, 0.0, 1.0, 1.0]),
        ("SIGMOID", 30000, 1, [0, 30000, 65535], [0.0, 0.5, 1.0]),
    ],
)
def test_window(
    tmp_path: Path, function: str, center: float, width: float, stored: list[int], expected: list[float]
) -> None:
    values = shown(tmp_path, stored, WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    np.testing.assert_allclose(values[0], expected, atol=TOLERANCE)


def test_the_first_usable_window_of_several_counts(tmp_path: Path) -> None:
    # Width 0 is no window; the second one (0 ... 100, exact) is used and the third is not.
    values = shown(
        tmp_path,
        [0, 25, 100],
        WindowCenter=[10, 50, 1000],
        WindowWidth=[0, 100, 2000],
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.25, 1.0], atol=TOLERANCE)


@pytest.mark.parametrize("width", [0, -300])
def test_a_width_that_is_none_falls_back_to_percentiles(tmp_path: Path, width: int) -> None:
    values = shown(tmp_path, [1000, 1500, 2000], WindowCenter=50, WindowWidth=width)
    np.testing.assert_allclose(values[0], [0.0, 0.5, 1.0], atol=TOLERANCE)


def test_a_window_beside_the_film_is_not_used(tmp_path: Path) -> None:
    # All three values lie above the window: it would show white only.
    values = shown(tmp_path, [1000, 1500, 2000], WindowCenter=50, WindowWidth=100)
    np.testing.assert_allclose(values[0], [0.0, 0.5, 1.0], atol=TOLERANCE)


def test_percentiles_ignore_a_few_hot_pixels(tmp_path: Path) -> None:
    cells = tiled([[1000, 2000]])
    cells[0, :8] = 65535  # 8 of 4096 pixels are 0.2 %
    cells[1, :8] = 0
    pixels = read_radiograph(write(tmp_path / "film.dcm", film(cells))).pixels
    assert set(np.unique(pixels)) == {0.0, 1.0}
    assert pixels[10, 0] == 0.0
    assert pixels[10, 1] == 1.0


def test_rescale_then_window(tmp_path: Path) -> None:
    # 0.5 x - 100: 200 -> 0, 400 -> 100, 600 -> 200; LINEAR_EXACT 100/200 maps 0 ... 200 to 0 ... 1
    values = shown(
        tmp_path,
        [200, 300, 400, 600],
        RescaleSlope=0.5,
        RescaleIntercept=-100,
        WindowCenter=100,
        WindowWidth=200,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.25, 0.5, 1.0], atol=TOLERANCE)


def test_a_negative_slope_turns_the_values_round(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 100, 400], RescaleSlope=-1, RescaleIntercept=0)
    np.testing.assert_allclose(values[0], [1.0, 0.75, 0.0], atol=TOLERANCE)


def test_modality_lut_in_place_of_rescale(tmp_path: Path) -> None:
    # Inputs 10, 11, 12 -> 0, 1000, 250; below and above the table its ends.
    values = shown(
        tmp_path,
        [0, 10, 11, 12, 4000],
        ModalityLUTSequence=lut([0, 1000, 250], first=10, bits=16),
        RescaleSlope=7,
        RescaleIntercept=3,
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.0, 1.0, 0.25, 0.25], atol=TOLERANCE)


def test_modality_lut_with_a_negative_first_input(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [-5, -2, -1, 7],
        dtype=np.int16,
        signed=True,
        ModalityLUTSequence=lut([0, 400, 1000], first=-2, bits=16, vr="SS"),
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.0, 0.4, 1.0], atol=TOLERANCE)


def test_voi_lut_clamps_to_its_ends(tmp_path: Path) -> None:
    # 12-bit outputs; the window beside the table is not used.
    values = shown(
        tmp_path,
        [0, 100, 101, 102, 9999],
        VOILUTSequence=lut([0, 1024, 4095], first=100, bits=12),
        WindowCenter=5000,
        WindowWidth=100,
    )
    np.testing.assert_allclose(values[0], [0.0, 0.0, 1024 / 4095, 1.0, 1.0], atol=TOLERANCE)


def test_voi_lut_after_a_rescale_below_zero(tmp_path: Path) -> None:
    # The descriptor is US, but the values it maps are -2, -1, 0: its first input 65534 means -2.
    values = shown(
        tmp_path,
        [0, 1, 2],
        RescaleSlope=1,
        RescaleIntercept=-2,
        VOILUTSequence=lut([0, 51, 255], first=65534, bits=8),
    )
    np.testing.assert_allclose(values[0], [0.0, 0.2, 1.0], atol=TOLERANCE)


@pytest.mark.parametrize("packed", [True, False])
def test_voi_lut_of_eight_bits(tmp_path: Path, packed: bool) -> None:
    entries = [0, 51, 102, 255]
    data = bytes(entries) if packed else np.asarray(entries, "<u2").tobytes()
    values = shown(tmp_path, [0, 1, 2, 3], VOILUTSequence=lut(entries, first=0, bits=8, data=data))
    np.testing.assert_allclose(values[0], [0.0, 0.2, 0.4, 1.0], atol=TOLERANCE)


def test_voi_lut_of_65536_entries(tmp_path: Path) -> None:
    entries = np.arange(1 << 16)[::-1]
    values = shown(tmp_path, [0, 1, 65535], VOILUTSequence=lut(entries, first=0, bits=16))
    np.testing.assert_allclose(values[0], [1.0, 65534 / 65535, 0.0], atol=TOLERANCE)


def test_voi_lut_is_followed_by_the_polarity(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [0, 1],
        PhotometricInterpretation="MONOCHROME1",
        VOILUTSequence=lut([0, 64], first=0, bits=8),
    )
    np.testing.assert_allclose(values[0], [1.0, 1 - 64 / 255], atol=TOLERANCE)


def test_signed_values(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [-1000, 0, 500, 1000],
        dtype=np.int16,
        signed=True,
        WindowCenter=0,
        WindowWidth=2000,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.5, 0.75, 1.0], atol=TOLERANCE)


def test_signed_values_with_junk_above_bits_stored(tmp_path: Path) -> None:
    # 12 bits stored: 0xF801 and 0x0801 both are -2047, 0x77FF and 0x07FF both 2047; bits 12-15 belong to overlays.
    values = shown(
        tmp_path,
        [0xF801, 0x0801, 0x77FF, 0x07FF, 0xA000],
        bits_stored=12,
        signed=True,
        WindowCenter=0,
        WindowWidth=4094,
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.0, 1.0, 1.0, 0.5], atol=TOLERANCE)


def test_high_bit_above_bits_stored(tmp_path: Path) -> None:
    # 12 bits in the upper part of the cell, overlay bits below: 0x1230 and 0x123F both hold 0x123 = 291.
    values = shown(
        tmp_path,
        [0x0000, 0x1230, 0x123F, 0xFFFF],
        bits_stored=12,
        HighBit=15,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    np.testing.assert_allclose(values[0], [0.0, 291 / 4095, 291 / 4095, 1.0], atol=TOLERANCE)


def test_eight_bit_cells(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 51, 255], dtype=np.uint8, WindowCenter=128, WindowWidth=256)
    np.testing.assert_allclose(values[0], [0.0, 0.2, 1.0], atol=TOLERANCE)


def test_sixteen_bits_are_not_quantised_to_eight(tmp_path: Path) -> None:
    values = shown(tmp_path, [[30000, 30001, 30002, 30003]], WindowCenter=32768, WindowWidth=65536)
    assert len(np.unique(values)) == 4


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_background_and_out_of_the_percentiles(tmp_path: Path, photometric: str) -> None:
    values = shown(
        tmp_path,
        [[65535, 65535, 1000, 1100, 1400, 0]],
        PhotometricInterpretation=photometric,
        PixelPaddingValue=65535,
        PixelPaddingRangeLimit=65000,
    )
    grey = np.array([(x - 0) / 1400 for x in (1000, 1100, 1400, 0)])
    expected = 1 - grey if photometric == "MONOCHROME1" else grey
    np.testing.assert_allclose(values[0], [0.0, 0.0, *expected], atol=TOLERANCE)


def test_signed_padding(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [-2000, 0, 300, 400],
        dtype=np.int16,
        signed=True,
        bits_stored=12,
        PixelPaddingValue=-2000,
        PhotometricInterpretation="MONOCHROME1",
    )
    np.testing.assert_allclose(values[0], [0.0, 1.0, 0.25, 0.0], atol=TOLERANCE)


def test_padding_under_a_window(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 255, 128], WindowCenter=128, WindowWidth=256, PixelPaddingValue=255)
    np.testing.assert_allclose(values[0], [0.0, 0.0, 128 / 255], atol=TOLERANCE)


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_becomes_luma(tmp_path: Path, planar: int) -> None:
    cells = np.zeros((64, 64, 3), np.uint8)
    cells[:, :32] = (255, 0, 0)
    cells[:, 32:] = (10, 200, 30)
    dataset = film(cells, PlanarConfiguration=planar)
    if planar:
        dataset.PixelData = np.moveaxis(cells, -1, 0).tobytes()
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset)).pixels
    np.testing.assert_allclose(pixels[0, [0, 63]], [0.299, (2.99 + 117.4 + 3.42) / 255], atol=TOLERANCE)


def test_ybr_keeps_its_luma(tmp_path: Path) -> None:
    cells = np.full((64, 64, 3), 128, np.uint8)
    cells[:, :32, 0] = 51
    dataset = film(cells, PhotometricInterpretation="YBR_FULL")
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset)).pixels
    np.testing.assert_allclose(pixels[0, [0, 63]], [0.2, 128 / 255], atol=TOLERANCE)


def test_ybr_full_422_keeps_its_luma(tmp_path: Path) -> None:
    cells = np.zeros((64, 64, 3), np.uint8)
    dataset = film(cells, PhotometricInterpretation="YBR_FULL_422")
    # Two pixels travel as Y1 Y2 Cb Cr.
    dataset.PixelData = bytes([0, 255, 128, 128] * (64 * 64 // 2))
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset)).pixels
    np.testing.assert_array_equal(pixels, tiled([[0.0, 1.0]], dtype=np.float32))


DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
LINEAR_BEAM = {"SOPClassUID": DX_FOR_PROCESSING, "Modality": "DX", "PixelIntensityRelationship": "LIN"}


def test_linear_values_for_processing_become_logarithms(tmp_path: Path) -> None:
    # Sign +1: low values got little beam. -log2 of 16, 64, 256, 4096 is -4, -6, -8, -12: dense is bright.
    values = shown(tmp_path, [16, 64, 256, 4096], PixelIntensityRelationshipSign=1, **LINEAR_BEAM)
    np.testing.assert_allclose(values[0], [1.0, 0.75, 0.5, 0.0], atol=TOLERANCE)


def test_the_intent_alone_says_for_processing(tmp_path: Path) -> None:
    options = LINEAR_BEAM | {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1"}
    values = shown(
        tmp_path, [16, 4096, 256], PixelIntensityRelationshipSign=1, PresentationIntentType="FOR PROCESSING", **options
    )
    np.testing.assert_allclose(values[0], [1.0, 0.0, 0.5], atol=TOLERANCE)
    shown_as_stored = shown(
        tmp_path,
        [0, 4096, 1024],
        PixelIntensityRelationshipSign=1,
        PresentationIntentType="FOR PRESENTATION",
        **options,
    )
    np.testing.assert_allclose(shown_as_stored[0], [0.0, 1.0, 0.25], atol=TOLERANCE)


def test_linear_values_that_fall_with_the_beam(tmp_path: Path) -> None:
    # Sign -1 in 12 bits: the beam is 4095 - value: 4095 - 4079 = 16, 64, 256, 4095 (log2 of 4096 but for one).
    values = shown(
        tmp_path,
        [4079, 4031, 3839, 0],
        bits_stored=12,
        PixelIntensityRelationshipSign=-1,
        PhotometricInterpretation="MONOCHROME1",  # the sign decides
        **LINEAR_BEAM,
    )
    expected = 1 - np.log([1, 4, 16, 4095 / 16]) / np.log(4095 / 16)
    np.testing.assert_allclose(values[0], expected, atol=TOLERANCE)


def test_no_beam_at_all_counts_as_one_step(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 1, 8, 64], PixelIntensityRelationshipSign=1, **LINEAR_BEAM)
    np.testing.assert_allclose(values[0], [1.0, 1.0, 0.5, 0.0], atol=TOLERANCE)


def test_a_falling_rescale_turns_the_sign_round(tmp_path: Path) -> None:
    # Stored values fall with the beam, so rescaled ones rise with it: 16, 256, 4096.
    values = shown(
        tmp_path, [65535 - 16, 65535 - 256, 65535 - 4096], PixelIntensityRelationshipSign=-1, RescaleSlope=-1,
        RescaleIntercept=65535, **LINEAR_BEAM,
    )  # fmt: skip
    np.testing.assert_allclose(values[0], [1.0, 0.5, 0.0], atol=TOLERANCE)


@pytest.mark.parametrize("relationship", ["LOG", "DISP", None])
@pytest.mark.parametrize(
    ("sign", "photometric", "expected"),
    [
        (1, "MONOCHROME2", [1.0, 0.75, 0.0]),
        (1, "MONOCHROME1", [1.0, 0.75, 0.0]),
        (-1, "MONOCHROME2", [0.0, 0.25, 1.0]),
        (-1, "MONOCHROME1", [0.0, 0.25, 1.0]),
        (None, "MONOCHROME1", [1.0, 0.75, 0.0]),
        (None, "MONOCHROME2", [0.0, 0.25, 1.0]),
    ],
)
def test_other_values_for_processing_are_shown_as_stored(
    tmp_path: Path, relationship: str | None, sign: int | None, photometric: str, expected: list[float]
) -> None:
    options: dict[str, Any] = {"SOPClassUID": DX_FOR_PROCESSING, "PhotometricInterpretation": photometric}
    options |= {"PixelIntensityRelationship": relationship} if relationship else {}
    options |= {"PixelIntensityRelationshipSign": sign} if sign else {}
    np.testing.assert_allclose(shown(tmp_path, [0, 100, 400], **options)[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("photometric", "sign", "expected"),
    [
        ("MONOCHROME1", 1, [1.0, 0.5, 0.0]),
        ("MONOCHROME1", None, [1.0, 0.5, 0.0]),
        ("MONOCHROME2", 1, [0.0, 0.5, 1.0]),  # of a film not FOR PROCESSING the photometric interpretation decides
    ],
)
def test_linear_computed_radiography(tmp_path: Path, photometric: str, sign: int | None, expected: list[float]) -> None:
    options: dict[str, Any] = {"PixelIntensityRelationshipSign": sign} if sign else {}
    values = shown(
        tmp_path,
        [16, 256, 4096],
        PhotometricInterpretation=photometric,
        PixelIntensityRelationship="LIN",
        **options,
    )
    np.testing.assert_allclose(values[0], expected, atol=TOLERANCE)


def test_a_window_belongs_to_the_values_as_stored(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [0, 250, 1000],
        PixelIntensityRelationshipSign=1,
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
        **LINEAR_BEAM,
    )
    np.testing.assert_allclose(values[0], [1.0, 0.75, 0.0], atol=TOLERANCE)


def test_the_next_window_where_the_first_lies_beside_the_film(tmp_path: Path) -> None:
    values = shown(
        tmp_path,
        [1000, 1250, 2000],
        WindowCenter=[50, 1500],
        WindowWidth=[100, 1000],
        VOILUTFunction="LINEAR_EXACT",
    )
    np.testing.assert_allclose(values[0], [0.0, 0.25, 1.0], atol=TOLERANCE)


def test_a_falling_rescale_that_stays_above_zero_keeps_unsigned_inputs(tmp_path: Path) -> None:
    # 65535 - stored lies in 0 ... 65535, so a first input of 40000 means 40000 and not -25536.
    values = shown(
        tmp_path,
        [65535 - 40000, 65535 - 40001, 65535 - 40002],
        RescaleSlope=-1,
        RescaleIntercept=65535,
        VOILUTSequence=lut([0, 51, 255], first=40000, bits=8),
    )
    np.testing.assert_allclose(values[0], [0.0, 0.2, 1.0], atol=TOLERANCE)


def palette_film(cells: np.ndarray, tables: np.ndarray, *, first: int = 0, bits: int = 16, **options: Any) -> Any:
    """A PALETTE COLOR film with three tables [3, entries]."""
    dataset = film(cells, PhotometricInterpretation="PALETTE COLOR", **options)
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [len(table) % 65536, first, bits])
        data = table.astype("<u2").tobytes() if bits == 16 else table.astype(np.uint8).tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    return dataset


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint8, 16), (np.uint16, 16)])
def test_palettes_become_the_luma_of_the_colours_pydicom_shows(tmp_path: Path, dtype: Any, bits: int) -> None:
    rng = np.random.default_rng(5)
    entries = 256 if dtype == np.uint8 else 4096
    tables = rng.integers(0, 1 << bits, (3, entries))
    tables[:, 0] = (1 << bits) - 1
    cells = tiled(np.arange(entries).reshape(16, -1)[:, :64], dtype=dtype)
    dataset = palette_film(cells, tables, bits=bits, bits_stored=8 if dtype == np.uint8 else 12)
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset)).pixels
    colours = apply_color_lut(cells, dataset).astype(np.float64) / ((1 << bits) - 1)
    np.testing.assert_allclose(pixels, colours @ [0.299, 0.587, 0.114], atol=TOLERANCE)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_palettes_begin_at_their_first_input_in_any_byte_order(tmp_path: Path, syntax: str) -> None:
    grey = np.array([[0, 51, 102, 255]] * 3)
    dataset = palette_film(tiled([[0, 10, 11, 12, 13, 99]], dtype=np.uint8), grey, first=10, bits=8)
    if syntax == ExplicitVRBigEndian:  # pydicom writes OW bytes as they are; in words the low byte comes first
        for name in ("Red", "Green", "Blue"):
            element = dataset[f"{name}PaletteColorLookupTableData"]
            element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset, syntax)).pixels
    np.testing.assert_allclose(pixels[0, :6], [0.0, 0.0, 0.2, 0.4, 1.0, 1.0], atol=TOLERANCE)


def test_palettes_of_signed_values(tmp_path: Path) -> None:
    grey = np.array([[0, 13107, 65535]] * 3)
    dataset = palette_film(tiled([[-3, -2, -1, 0, 5]], dtype=np.int16), grey, first=0, signed=True)
    for name in ("Red", "Green", "Blue"):
        dataset.add_new(dataset[f"{name}PaletteColorLookupTableDescriptor"].tag, "SS", [3, -2, 16])
    pixels = read_radiograph(write(tmp_path / "film.dcm", dataset)).pixels
    np.testing.assert_allclose(pixels[0, :5], [0.0, 0.0, 0.2, 1.0, 1.0], atol=TOLERANCE)


def refused(tmp_path: Path, dataset: Any) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(write(tmp_path / "film.dcm", dataset))
    return caught.value


def test_palettes_that_are_segmented_absent_or_short(tmp_path: Path) -> None:
    grey = np.array([[0, 51, 102, 255]] * 3)
    cells = tiled([[0, 1, 2, 3]], dtype=np.uint8)
    segmented = palette_film(cells, grey)
    segmented.SegmentedGreenPaletteColorLookupTableData = b"\0\0\1\0\5\0"
    assert refused(tmp_path, segmented).reason is Reason.UNSUPPORTED_IMAGE
    assert "SegmentedGreen" in refused(tmp_path, segmented).detail
    absent = palette_film(cells, grey)
    del absent.BluePaletteColorLookupTableData
    assert refused(tmp_path, absent).reason is Reason.UNSUPPORTED_IMAGE
    short = palette_film(cells, grey)
    short.RedPaletteColorLookupTableData = b"\0\0"
    assert refused(tmp_path, short).reason is Reason.CORRUPT
    flat = palette_film(cells, np.full((3, 4), 7))
    assert refused(tmp_path, flat).reason is Reason.BLANK


def test_a_sequence_whose_items_are_damaged_is_refused(tmp_path: Path) -> None:
    dataset = film(tiled([[0, 1, 2, 3]], dtype=np.uint16), ModalityLUTSequence=lut([0, 10, 20, 30], 0, 16))
    path = write(tmp_path / "film.dcm", dataset, ImplicitVRLittleEndian)
    data = bytearray(path.read_bytes())
    at = data.find(b"\x28\x00\x00\x30")
    assert data[at + 8 : at + 12] == b"\xfe\xff\x00\xe0"
    data[at + 10] = 0x20
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableImage, match="ModalityLUTSequence holds something other than items") as caught:
        read_radiograph(path)
    assert caught.value.reason is Reason.CORRUPT
