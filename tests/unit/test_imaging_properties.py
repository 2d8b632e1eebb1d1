"""Properties that hold for every depth, sign, rescale and window."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.imaging import read_radiograph
from tests.unit.dicom_films import film, ramp, write

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
