"""Two identities of a film: of its bytes, and of its picture."""

import hashlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.source import open_image

_CHUNK_BYTES: Final = 1 << 20
_THUMBNAIL: Final = 32
_FREQUENCIES: Final = 8


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, in constant memory.

    Raises:
        UnreadableImage: missing, unreadable_file or not_an_image.
    """
    digest = hashlib.sha256()
    with open_image(Path(path)) as (stream, _, _):
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def pixel_hash(pixels: NDArray[np.float32]) -> str:
    """A perceptual hash: the same picture resized, re-encoded or at another bit depth differs by few bits.

    The signs, about their median, of the 64 cosine coefficients of the lowest frequencies but zero, of the picture
    squashed to 32 x 32.

    Args:
        pixels: display values ``[rows, columns]``.

    Returns:
        64 bits as 16 hex digits. Two films of different patients can share coarse structure: compare with `hamming`.

    Source: C. Zauner, Implementation and benchmarking of perceptual image hash functions (2010), 3.2.1.
    """
    values = np.ascontiguousarray(pixels, dtype=np.float32)
    shrinks = min(values.shape) >= _THUMBNAIL
    thumbnail = cv2.resize(
        values, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    low = cv2.dct(np.asarray(thumbnail, dtype=np.float32))[1 : _FREQUENCIES + 1, 1 : _FREQUENCIES + 1]
    bits = (low > np.median(low)).ravel()
    return np.packbits(bits).tobytes().hex()


def hamming(a: str, b: str) -> int:
    """Number of bits, 0 to 64, in which two pixel hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
