"""What `pipelines.imaging.picture` says of good films, of their negatives and of the same films turned.

    python benchmarks/picture.py [--films 120] [--seed 3] [--every 1]

Phantoms of a seed that the weights were not fitted on; the ChestX-ray14 and Qatar films where CXR_TEST_DATA names
their folder. Shares have n in the second column; a film that an archive itself holds in negative counts as false.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipelines.imaging import read_radiograph
from pipelines.imaging.display import shrink
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.picture import Quality, examine, looks_inverted, require_picture
from pipelines.phantom import generate_phantoms

Film = np.ndarray


def main() -> None:
    """Print one block per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=120, help="phantoms")
    parser.add_argument("--seed", type=int, default=3, help="of the phantoms")
    parser.add_argument("--every", type=int, default=1, help="take each n-th real film")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        generate_phantoms(Path(folder), films=options.films, seed=options.seed)
        report("phantoms", [shrink(read_radiograph(path).pixels, 512) for path in sorted(Path(folder).glob("*/*.dcm"))])
    if root := os.environ.get("CXR_TEST_DATA"):
        for name, pattern in (
            ("NIH", "nih_cxr14/images/*.png"),
            ("Qatar TB", "qatar_tb/*/**/Tuberculosis-*.png"),
            ("Qatar normal", "qatar_tb/*/**/Normal-*.png"),
        ):
            paths = sorted(Path(root).glob(pattern))[:: options.every]
            if paths:
                report(name, [np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths])


def report(name: str, films: list[Film]) -> None:
    """Print shares and quantiles for one set of films, each ``[rows, columns]`` in [0, 1]."""
    count = len(films)
    started = time.process_time()
    found = [examine(film) for film in films]
    examined = time.process_time()
    upright = sum(looks_inverted(film) for film in films)
    inverted = time.process_time()
    print(f"\n{name}: n = {count}; ms per film: examine {1e3 * (examined - started) / count:.1f}, "
          f"looks_inverted {1e3 * (inverted - examined) / count:.1f}")  # fmt: skip
    print(f"  refused             {sum(_refused(film) for film in films)} / {count}")
    print(
        f"  negative: found     {sum(looks_inverted(1 - film) for film in films)} / {count}; false {upright} / {count}"
    )
    for turns in (1, 2, 3):
        turned = [np.ascontiguousarray(np.rot90(film, turns)) for film in films]
        said = [examine(film).rotation_degrees for film in turned]
        right = said.count(90 * turns)
        print(f"  turned by {90 * turns:3}: found {right} / {count}; wrong {count - right - said.count(0)}; "
              f"false negative-film {sum(looks_inverted(film) for film in turned)}")  # fmt: skip
    print(f"  upright said turned {sum(quality.rotation_degrees != 0 for quality in found)} / {count}")
    print(f"  256 px decides alike {sum(_same(film) for film in films)} / {count}")
    _facts(found)


def _facts(found: list[Quality]) -> None:
    for fact in ("cropped", "low_contrast"):
        print(f"  {fact:20}{np.mean([getattr(quality, fact) for quality in found]):.3f}")
    for fact in ("text_area", "border"):
        values = np.array([getattr(quality, fact) for quality in found])
        print(f"  {fact:20}above 0: {np.mean(values > 0):.3f}; quantiles 50, 95, 99, 100 %: {_quantiles(values)}")


def _quantiles(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in np.percentile(list(values), (50, 95, 99, 100)))


def _refused(film: Film) -> bool:
    try:
        require_picture(film)
    except FilmError:
        return True
    return False


def _same(film: Film) -> bool:
    """Whether a film decoded at 256 pixels gets the same decisions."""
    small = shrink(film, 256)
    ours, theirs = examine(film), examine(small)
    facts = ("rotation_degrees", "cropped", "low_contrast")
    return looks_inverted(1 - film) == looks_inverted(1 - small) and all(
        getattr(ours, fact) == getattr(theirs, fact) for fact in facts
    )


if __name__ == "__main__":
    main()
