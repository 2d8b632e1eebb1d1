"""What each harmonisation switch does: can the sources still be told apart, and does what is learned at one carry over?

    python -m benchmarks.harmonisation --data ../shared/data [--phantoms FOLDER] [--films 400] [--cache FOLDER]

Two kinds of features of each film, after each switch: the shape-free ones (thumbnail and statistics), and those of a
frozen EfficientNet-Lite0 trained on photographs; on both a logistic regression. *Sources*: AUROC, five-fold, with which
films without disease are told apart by where they come from (0.5: not at all). *Transfer*: AUROC of a disease: at home
five-fold, else trained on all films of one source and tested on all of another. The intervals are those of the test
films; one training set was drawn, so differences of a few hundredths between switches mean little.

Domain-balanced sampling is not here: it chooses among several training sets, and each regression here has one.
"""

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.pretrained import LITE0_BACKBONE, LITE0_INPUT, load_pretrained
from pipelines.datasets.build import build_manifest
from pipelines.decoding import DecodeRequest, read_film, read_harmonised
from pipelines.imaging.control_features import COLUMNS_OF
from pipelines.imaging.harmonise import Harmonisation, mean_landmarks
from pipelines.phantom import generate_phantoms
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.estimates import Estimate
from pipelines.system import replacing

Floats = NDArray[np.float64]
Features = Mapping[str, Floats]
"""By source: ``[films, features]``."""

SIZE: Final = 224
FOLDS: Final = 5
SWITCHES: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "border: mask": {"border": "mask"},
    "border: crop": {"border": "crop"},
    "lung_field: crop": {"lung_field": "crop"},
    "lung_field: mask": {"lung_field": "mask"},
    "intensity: film": {"intensity": "film"},
    "intensity: site": {"intensity": "site"},
    "colour: remove": {"colour": "remove"},
    "resolution: 192": {"resolution": 192},
    "all": {"border": "crop", "lung_field": "crop", "intensity": "film", "colour": "remove", "resolution": 192},
}
SOURCES: Final = {"Qatar": ("qatar_tb", "qatar_tb"), "NIH": ("nih_cxr14", "nih_cxr14"), "phantoms": ("phantom", "")}
TRANSFERS: Final = (("tb", "Qatar", "phantoms"), ("nodule", "NIH", "phantoms"))
SITE_FILMS: Final = 100


@dataclass(frozen=True)
class Source:
    """Films of one data set, with their labels."""

    name: str
    rows: pd.DataFrame
    paths: tuple[Path, ...]

    def label(self, finding: str) -> Floats:
        """``[films]`` 1, 0 or NaN."""
        return np.asarray(self.rows[finding].to_numpy(dtype=np.float64, na_value=np.nan))

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """Films with a negative and no positive label; of NIH those without any finding."""
        labels = np.stack([self.label("tb"), self.label("nodule")])
        plain = self.name != "NIH" or np.array([list(named) == ["No Finding"] for named in self.rows["native_labels"]])
        return np.asarray((labels == 0).any(0) & ~(labels == 1).any(0) & plain)

    @property
    def patients(self) -> NDArray[np.object_]:
        """``[films]``: who must not be in two folds; every film its own where patients are unknown."""
        known = self.rows["patient_id"]
        return np.array(
            [image if pd.isna(who) else who for image, who in zip(self.rows["image_id"], known, strict=True)]
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with qatar_tb and nih_cxr14")
    parser.add_argument("--phantoms", type=Path, help="folder of `cxr phantom`; made anew if left out")
    parser.add_argument("--films", type=int, default=400, help="of each source")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="folder for features that are computed once")
    parser.add_argument("--only", nargs="+", choices=list(SWITCHES), default=list(SWITCHES), metavar="SWITCH")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.phantoms or Path(scratch) / "phantoms"
        if not folder.is_dir():
            generate_phantoms(folder, films=chosen.films, seed=chosen.seed)
        sources = [_source(name, chosen.data, folder, chosen.films, chosen.seed) for name in SOURCES]
        cache = chosen.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        print_counts(sources)
        with ProcessPoolExecutor(chosen.workers, multiprocessing.get_context("spawn"), _quiet) as pool:
            print_cost(sources, chosen.only)
            print(
                _row(["features", "switch", *_columns()]), _row(["---"] * (2 + len(_columns()))), sep="\n", flush=True
            )
            for name in chosen.only:
                settings = _settings(name, sources, chosen.seed)
                for kind, features in _features(sources, settings, pool, cache).items():
                    print(_row([kind, name, *_measured(sources, features)]), flush=True)


def print_counts(sources: Iterable[Source]) -> None:
    """Say what the figures rest on."""
    for source in sources:
        counts = ", ".join(
            f"{finding} {int((label == 1).sum())}/{int((label == 0).sum())}"
            for finding in ("tb", "nodule")
            if not np.isnan(label := source.label(finding)).all()
        )
        print(f"{source.name}: {len(source.paths)} films ({counts} positive/negative), healthy {source.healthy.sum()}")


def print_cost(sources: Sequence[Source], names: Sequence[str], films: int = 20) -> None:
    """Print processor milliseconds per film for reading it with each switch, paired: film by film in turn."""
    paths = [path for source in sources for path in source.paths[:films]]
    spent = {name: np.zeros(len(paths)) for name in names}
    plain = {name: Harmonisation(**({**SWITCHES[name]})) for name in names}
    for film, path in enumerate(paths):
        for name in names:
            started = time.process_time()
            read_film(path, DecodeRequest(SIZE, harmonisation=None if name == "none" else plain[name]))
            spent[name][film] = 1000 * (time.process_time() - started)
    base = spent.get("none", np.zeros(len(paths)))
    print("processor ms per film above reading it plainly, median (90th percentile): ", end="")
    more = {name: times - base for name, times in spent.items() if name != "none"}
    print(
        "; ".join(f"{name} {np.median(ms):.1f} ({np.percentile(ms, 90):.1f})" for name, ms in more.items()), flush=True
    )


def _source(name: str, data: Path, phantoms: Path, films: int, seed: int) -> Source:
    adapter, folder = SOURCES[name]
    root = phantoms if name == "phantoms" else data / folder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is missing, the counts speak
        rows = build_manifest(adapter, root, only_present=True)
    found = Source(name, rows, ())
    positive = (found.label("tb") == 1) | (found.label("nodule") == 1)
    useful = np.flatnonzero(positive | found.healthy)
    random = np.random.default_rng([seed, len(rows)])
    half = [random.permutation(useful[positive[useful] == state])[: films // 2] for state in (True, False)]
    short = films - sum(map(len, half))  # NIH has fewer positives than half
    rest = random.permutation(np.setdiff1d(useful, np.concatenate(half)))[:short]
    kept = np.sort(np.concatenate([*half, rest]))
    chosen = rows.iloc[kept].reset_index(drop=True)
    return replace(found, rows=chosen, paths=tuple(root / path for path in chosen["path"]))


def _settings(name: str, sources: Sequence[Source], seed: int) -> Harmonisation | None:
    values = SWITCHES[name]
    settings = Harmonisation(**values)
    if settings.intensity == "site":
        settings = replace(settings, sites={source.name: _landmarks(source, settings, seed) for source in sources})
    return None if settings.changes_nothing else settings


def _landmarks(source: Source, settings: Harmonisation, seed: int) -> tuple[float, ...]:
    drawn = np.random.default_rng(seed).permutation(len(source.paths))[:SITE_FILMS]
    return mean_landmarks([read_harmonised(source.paths[film], settings, size=SIZE)[1].landmarks for film in drawn])


def _features(
    sources: Sequence[Source], settings: Harmonisation | None, pool: ProcessPoolExecutor, cache: Path
) -> dict[str, Features]:
    """By kind, then by source."""
    both = {source.name: _of_source(source, settings, pool, cache) for source in sources}
    return {
        kind: {name: pair[place] for name, pair in both.items()} for place, kind in enumerate(("shape-free", "Lite0"))
    }


def _of_source(
    source: Source, settings: Harmonisation | None, pool: ProcessPoolExecutor, cache: Path
) -> tuple[Floats, Floats]:
    key = [source.name, list(source.rows["image_id"]), None if settings is None else settings.to_json(), SIZE]
    path = cache / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]}.npz"
    if not path.is_file():
        request = DecodeRequest(SIZE, features=True, harmonisation=settings, site=source.name)
        parts = list(pool.map(_seen, [(path, request) for path in source.paths], chunksize=8))
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, plain=np.stack([part[0] for part in parts]), deep=np.stack([part[1] for part in parts]))
    with np.load(path) as stored:
        return stored["plain"], stored["deep"]


_network: Any = None


def _quiet() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _seen(job: tuple[Path, DecodeRequest]) -> tuple[Floats, Floats]:
    """Shape-free features and those of the frozen network: means over the last map's cells."""
    global _network  # noqa: PLW0603  one network for each process
    if _network is None:
        import timm

        _network = timm.create_model(LITE0_BACKBONE.removeprefix("timm:"), pretrained=False, num_classes=1000)
        _network.load_state_dict(load_pretrained("lite0", LITE0_BACKBONE) or {})
        _network.eval()
    film = read_film(*job)
    assert film.features is not None
    mean, deviation = LITE0_INPUT
    image = ((torch.from_numpy(film.square) - mean) / deviation).expand(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        deep = _network.forward_features(image).mean((2, 3))[0].double().numpy()
    return film.features[COLUMNS_OF["shape_free"]], deep


def _columns() -> list[str]:
    names = list(SOURCES)
    pairs = [f"{a} or {b}" for place, a in enumerate(names) for b in names[place + 1 :]]
    moves = [f"{finding}: {way}" for finding, a, b in TRANSFERS for way in (f"{a} at home", f"{a} → {b}", f"{b} → {a}")]
    return pairs + moves


def _measured(sources: Sequence[Source], features: Features) -> list[str]:
    named = {source.name: source for source in sources}
    names = list(SOURCES)
    answers = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            answers.append(_apart(named[first], named[second], features))
    for finding, first, second in TRANSFERS:
        answers.append(_at_home(named[first], features, finding))
        answers.append(_carried(named[first], named[second], features, finding))
        answers.append(_carried(named[second], named[first], features, finding))
    return [_short(answer) for answer in answers]


def _short(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate.text()
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _apart(first: Source, second: Source, features: Features) -> Estimate:
    """Can healthy films of two sources be told apart?"""
    X = np.concatenate([features[source.name][source.healthy] for source in (first, second)])
    y = np.repeat([0, 1], [int(first.healthy.sum()), int(second.healthy.sum())])
    groups = np.concatenate([source.patients[source.healthy].astype(str) for source in (first, second)])
    return _folded(X, y, groups)


def _at_home(source: Source, features: Features, finding: str) -> Estimate:
    X, y, known = _labelled(source, features, finding)
    return _folded(X, y, source.patients[known].astype(str))


def _carried(first: Source, second: Source, features: Features, finding: str) -> Estimate:
    """Learned on one source, tested on another."""
    X, y, _ = _labelled(first, features, finding)
    other, truth, _ = _labelled(second, features, finding)
    return auroc_delong(truth, _regression().fit(X, y).decision_function(other))


def _labelled(source: Source, features: Features, finding: str) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    label = source.label(finding)
    # Against healthy films: a positive of the other finding is no negative to learn from.
    known = (label == 1) | source.healthy
    return features[source.name][known], label[known].astype(np.int64), known


def _folded(X: Floats, y: NDArray[np.int64], groups: NDArray[Any]) -> Estimate:
    scores = np.empty(len(y))
    for seen, unseen in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(X, y, groups):
        scores[unseen] = _regression().fit(X[seen], y[seen]).decision_function(X[unseen])
    return auroc_delong(y, scores)


def _regression() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
