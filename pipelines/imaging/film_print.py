"""The fingerprint of a film: by which changed copies of one picture are found (`pipelines.manifest.overlap`).

A `pixel_hash` answers whether two pictures are the same as they stand. A fingerprint is made to be *aligned* with
another: it is a 28 x 28 map of where the picture is brighter or darker than its surroundings, in seven steps, without
the uniform borders of the film and with the cells marked that hold nothing to be seen (a redaction box, what a
collimator closed off). Ranks instead of grey values take out windows and gamma, the local mean and spread take out
the rest of the display curve, and what is left can be mirrored, turned, inverted and shifted cell by cell.

Nobody can be recognised from it: a cell is about 15 mm of the patient, and the grey values are gone.
"""

import base64
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE: Final = 28
"""Cells along a side."""
UNSEEN: Final = 7
"""Code of a cell that holds nothing to be seen; the others are 0 to 6, 3 for neither brighter nor darker."""
FINGERPRINT_PATTERN: Final = r"A[A-Za-z0-9_-]{392}"
"""The format's letter and 28 x 28 cells of 3 bits in base64."""

_FORMAT: Final = "A"
_BYTES: Final = SIDE * SIDE * 3 // 8
_STEP: Final = 0.8  # standard deviations between two codes
_WORKING_SIDE: Final = 256  # longer side of the film when borders are looked for
_SQUARE: Final = 112  # four pixels for each cell
_SURROUNDINGS: Final = 10.0  # Gaussian sigma in pixels of that square: about a rib and the space beside it
_BORDER_LEVELS: Final = 10  # of 255: rows that vary less belong to a border
_LEAST_FILM: Final = 0.3  # share of each side that is left when borders are off; less is a film without a border
_FLAT_LEVELS: Final = 3  # of 255, within 9 x 9 pixels of 256: no film is that even
_FLAT_WINDOW: Final = 9
_FLOOR: Final = 0.02  # of the rank scale: local spread below which there is only noise


def fingerprint(pixels: NDArray[np.float32]) -> str:
    """Fingerprint of a film, 393 characters.

    Args:
        pixels: display values ``[rows, columns]`` in [0, 1], as `read_radiograph` gives them.

    Returns:
        The format's letter ``A``, then the cells row by row, 3 bits each, in URL-safe base64. Compare with
        `pipelines.manifest.overlap`: equal pictures seldom have equal fingerprints.
    """
    relief, share = film_relief(pixels, SIDE, surroundings=_SURROUNDINGS)
    return encode_cells(_codes(relief, share > 0.5))


def film_relief(
    pixels: NDArray[np.float32], side: int, *, surroundings: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where a film is brighter or darker than its surroundings, whatever its size, borders and display curve.

    Args:
        pixels: display values ``[rows, columns]`` in [0, 1].
        side: cells along a side; a multiple of 28.
        surroundings: Gaussian sigma in 112ths of the side: how large the things are that stand out.

    Returns:
        Float32 ``[side, side]`` in local standard deviations, and the share of each cell that shows anything.
    """
    seen = _without_borders(_grey(pixels))
    square = max(_SQUARE, 2 * side)
    scaled = cv2.resize(seen, (square, square), interpolation=_interpolation(seen, square))
    flat = cv2.resize(_flat(seen).astype(np.float32), (square, square), interpolation=cv2.INTER_AREA) > 0.5
    return _relief(
        _ranks(np.asarray(scaled, dtype=np.uint8), ~flat),
        (~flat).astype(np.float32),
        side,
        surroundings * square / _SQUARE,
    )


def encode_cells(cells: NDArray[np.uint8]) -> str:
    """The text of codes 0 to 7, ``[28, 28]``."""
    bits = np.unpackbits(cells.reshape(-1, 1), axis=1)[:, 5:]
    return _FORMAT + base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode()


def decode_cells(fingerprints: Sequence[str]) -> NDArray[np.uint8]:
    """Codes 0 to 7 of fingerprints that keep the format, ``[films, 28, 28]``."""
    raw = base64.urlsafe_b64decode("".join(text[1:] for text in fingerprints))
    cells = np.empty((len(fingerprints), SIDE * SIDE), dtype=np.uint8)
    packed = np.frombuffer(raw, dtype=np.uint8).reshape(len(fingerprints), _BYTES // 3, 3).astype(np.uint32)
    words = packed[:, :, 0] << 16 | packed[:, :, 1] << 8 | packed[:, :, 2]
    for place in range(8):
        cells[:, place::8] = words >> (21 - 3 * place) & 7
    return cells.reshape(-1, SIDE, SIDE)


def _grey(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The film in 8 bits, its longer side at most `_WORKING_SIDE`."""
    values = np.ascontiguousarray(pixels, dtype=np.float32)
    longer = max(values.shape)
    if longer > _WORKING_SIDE:
        rows, columns = (max(1, round(side * _WORKING_SIDE / longer)) for side in values.shape)
        values = np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), dtype=np.uint8)


def _interpolation(image: NDArray[np.uint8], side: int) -> int:
    return cv2.INTER_AREA if min(image.shape) >= side else cv2.INTER_LINEAR


def _without_borders(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The film within its uniform borders; the whole of it where hardly anything would be left."""
    inner = grey
    for _ in range(3):  # a frame in a frame, and letters at one side of it
        before = inner.shape
        for axis in (1, 0):
            low, high = np.percentile(inner, (3, 97), axis=axis)
            varied = np.flatnonzero(high - low > _BORDER_LEVELS)
            if not len(varied):
                return grey
            part = slice(int(varied[0]), int(varied[-1]) + 1)
            inner = inner[part] if axis == 1 else inner[:, part]
        if inner.shape == before:
            break
    kept = min(now / was for now, was in zip(inner.shape, grey.shape, strict=True))
    return inner if kept >= _LEAST_FILM else grey


def _flat(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the film is even: boxes drawn over it, and what was never exposed."""
    window = np.ones((_FLAT_WINDOW, _FLAT_WINDOW), dtype=np.uint8)
    spread = cv2.subtract(cv2.dilate(grey, window), cv2.erode(grey, window))
    even = (spread <= _FLAT_LEVELS).astype(np.uint8)
    return np.asarray(cv2.dilate(even, window), dtype=bool)


def _ranks(grey: NDArray[np.uint8], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each grey level as the share of the seen film that is darker."""
    counts = np.bincount(grey[seen] if seen.any() else grey.ravel(), minlength=256)
    share = (np.cumsum(counts) - counts / 2) / max(1, counts.sum())
    return np.asarray(share.astype(np.float32)[grey])


def _relief(
    ranks: NDArray[np.float32], seen: NDArray[np.float32], side: int, sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much brighter than its surroundings each cell is, in local standard deviations, and how much is seen."""

    def around(values: NDArray[np.float32], width: float) -> NDArray[np.float32]:
        def blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(cv2.GaussianBlur(image, (0, 0), width, borderType=cv2.BORDER_REFLECT), dtype=np.float32)

        return np.asarray(blur(values * seen) / np.maximum(blur(seen), 1e-3), dtype=np.float32)

    above = (ranks - around(ranks, sigma)) * seen
    spread = np.sqrt(around(above * above, 1.5 * sigma)) + _FLOOR

    def cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)

    share = cells(seen)
    shown = cells(np.clip(above / spread, -3, 3).astype(np.float32)) / np.maximum(share, np.float32(0.25))
    return np.asarray(shown, dtype=np.float32), share


def _codes(relief: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Seven steps about zero, in standard deviations of the cells that are seen."""
    spread = float(relief[seen].std()) if seen.any() else 0.0
    steps = np.clip(np.rint(relief / (_STEP * spread)), -3, 3) + 3 if spread > 0 else np.full(relief.shape, 3.0)
    return np.where(seen, steps, UNSEEN).astype(np.uint8)
