"""A file on disk -> display pixels, and what is known of them. No torch: the MONAI reader is in `monai_reader`."""

from pipelines.imaging.facts import read_facts
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.fingerprint import hamming, pixel_hash, sha256_file
from pipelines.imaging.geometry import Placement, to_longest, to_square
from pipelines.imaging.intended_use import IntendedUse
from pipelines.imaging.orientation import Orientation
from pipelines.imaging.picture import Quality
from pipelines.imaging.radiograph import Radiograph, read_radiograph

__all__ = [
    "FilmFacts",
    "IntendedUse",
    "Orientation",
    "Placement",
    "Quality",
    "Radiograph",
    "hamming",
    "pixel_hash",
    "read_facts",
    "read_radiograph",
    "sha256_file",
    "to_longest",
    "to_square",
]
