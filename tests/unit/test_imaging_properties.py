"""Properties that hold for every depth, sign, rescale and window."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.imaging import read_radiograph
from tests.unit.dicom_films import film, ramp, write

pytestmark = pytest.mark.usefixtures("without_picture_rules")

DEPTHS = st.integers(8, 16)
SIGNED = st.booleans()
SLOPES = st.floats(0.001, 1000).map(lambda x: float(f"{x:.6g}"))
INTERCEPTS = st.floats(-5000, 5000).map(lambda x: float(f"{x:.6g}"))
FUNCTIONS = st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"])
WINDOWS = st.none() | st.tuples(
    st.floats(-70000, 70000).map(lambda x: float(f"{x:.6g}")), st.floats(0, 150000).map(lambda x: float(f"{x:.6g}"))
)


def shown(cells: np.ndarray, **options: Any) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        return read_radiograph(write(Path(folder) / "film.dcm", film(cells, **options))).pixels


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None)
@given(DEPTHS, SIGNED, SLOPES, INTERCEPTS, FUNCTIONS, WINDOWS)
def test_display_values(
    bits: int, signed: bool, slope: float, intercept: float, function: str, window: tuple[float, float] | None
) -> None:
    """Float32 in [0, 1], never decreasing with the stored value; MONOCHROME1 is the complement of MONOCHROME2."""
    options: dict[str, Any] = {"bits_stored": bits, "signed": signed, "VOILUTFunction": function}
    options |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    if window:
        options |= {"WindowCenter": window[0], "WindowWidth": window[1]}
    patterns = ramp(bits)
    # From the most negative value up: adding half the range turns a rising ramp into a rising two's complement one.
    cells = (patterns + (1 << (bits - 1))) & ((1 << bits) - 1) if signed else patterns
    pixels = shown(cells.astype(np.uint16), **options)
    assert pixels.dtype == np.float32
    assert np.isfinite(pixels).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert (np.diff(pixels.ravel()) >= 0).all()
    assert pixels.max() > pixels.min()
    inverse = shown(cells.astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **options)
    np.testing.assert_allclose(inverse, 1 - pixels, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(DEPTHS, st.integers(0, 2**32 - 1))
def test_bits_outside_the_stored_ones_change_nothing(bits: int, seed: int) -> None:
    cells = ramp(bits)
    junk = np.random.default_rng(seed).integers(0, 1 << 16, cells.shape, dtype=np.uint16)
    high = 15 - int(seed % (17 - bits))
    shift = high + 1 - bits
    mask = np.uint16(((1 << bits) - 1) << shift)
    dirty = (cells << shift) & mask | junk & ~mask
    clean = shown(cells, bits_stored=bits)
    np.testing.assert_array_equal(shown(dirty.astype(np.uint16), bits_stored=bits, HighBit=high), clean)


def reference(stored: np.ndarray, options: dict[str, Any], bits: int) -> np.ndarray:
    """Display values of stored values, one at a time, from the formulas of PS3.3 in float64.

    C.11.1.1.2 (rescale), C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT); without a window
    the documented percentiles, of the logarithm where the values are proportional to the beam.
    """
    slope, intercept = options["RescaleSlope"], options["RescaleIntercept"]
    values = [float(x) * slope + intercept for x in stored.ravel()]
    center, width = options.get("WindowCenter"), options.get("WindowWidth")
    sign = options.get("PixelIntensityRelationshipSign")
    if center is None and options.get("PixelIntensityRelationship") == "LIN":
        top = (1 << bits - 1) - 1 if options["signed"] else (1 << bits) - 1
        beams = [max(float(x) if sign > 0 else top - float(x), 1.0) for x in stored.ravel()]
        values = [math.log(beam) * (1 if (sign > 0) == (slope > 0) else -1) for beam in beams]
    if center is None:
        ordered = sorted(values)
        low, high = (ordered[math.ceil(len(ordered) * part) - 1] for part in (0.005, 0.995))
        shown_values = [min(max((x - low) / (high - low), 0.0), 1.0) for x in values]
    else:
        shown_values = [windowed(x, center, width, options["VOILUTFunction"]) for x in values]
    inverted = options["PhotometricInterpretation"] == "MONOCHROME1"
    if sign is not None:
        inverted = (sign > 0) == (slope > 0)
    return np.array([1 - y if inverted else y for y in shown_values]).reshape(stored.shape)


def windowed(x: float, center: float, width: float, function: str) -> float:
    if function == "SIGMOID":
        return 1 / (1 + math.exp(min(-4 * (x - center) / width, 700)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if x <= center - width / 2:
        return 0.0
    if x > center + width / 2:
        return 1.0
    return (x - center) / width + 0.5


@st.composite
def films(draw: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Stored values and a header that shows more than one grey of them."""
    bits, signed = draw(DEPTHS), draw(SIGNED)
    slope = draw(SLOPES) * draw(st.sampled_from([1, -1]))
    options: dict[str, Any] = {"bits_stored": bits, "signed": signed, "RescaleSlope": slope}
    options["RescaleIntercept"] = draw(INTERCEPTS)
    options["HighBit"] = draw(st.integers(bits - 1, 15))
    options["PhotometricInterpretation"] = draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))
    options["VOILUTFunction"] = draw(FUNCTIONS)
    lowest = -(1 << bits - 1) if signed else 0
    stored = np.random.default_rng(draw(st.integers(0, 999))).integers(lowest, lowest + (1 << bits), (64, 64))
    kind = draw(st.sampled_from(["window", "percentiles", "log"]))
    if kind == "window":
        # Placed by the film's own values, so that the window does not lie beside them.
        span = abs(slope) * (1 << bits)
        middle = options["RescaleIntercept"] + slope * (lowest + (1 << bits - 1))
        options["WindowCenter"] = float(f"{middle + span * draw(st.floats(-0.4, 0.4)):.6g}")
        options["WindowWidth"] = float(f"{max(span * draw(st.floats(0.05, 2)), 1.5):.6g}")
    elif kind == "log":
        options |= {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LIN"}
        options["PixelIntensityRelationshipSign"] = draw(st.sampled_from([1, -1]))
    return stored, options


@settings(max_examples=150, deadline=None)
@given(films())
def test_ours_are_the_standards_values(sample: tuple[np.ndarray, dict[str, Any]]) -> None:
    stored, options = sample
    bits = options["bits_stored"]
    cells = (stored & ((1 << bits) - 1)) << (options["HighBit"] + 1 - bits)
    expected = reference(stored, options, bits)
    if np.ptp(expected) < 1e-6:  # a step window between two of the film's values shows one grey
        return
    np.testing.assert_allclose(shown(cells.astype(np.uint16), **options), expected, atol=2e-6)
