"""What every adapter must keep, on its card and over a small tree in its native layout.

A test of an adapter writes the tree and says which label files it cannot do without::

    frame = adapter_keeps_the_rules("chexpert", tree, needed=("train.csv",))

and then asserts what is its own: which label became what. `picture` and `dicom` write films whose pixels differ.
"""

import contextlib
import importlib.util
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from pipelines.datasets import Adapter, DatasetWarning, build_manifest, get_adapter
from pipelines.errors import DatasetError
from pipelines.findings import FINDINGS
from pipelines.manifest import check_manifest, read_manifest, write_manifest

TEXTS = (
    "title",
    "citation",
    "licence",
    "films_may_be_shown_why",
    "how_to_get",
    "size",
    "label_origin",
    "verified_note",
    "unknown",
)
EXPECTED_WARNINGS = frozenset({"unknown_patient", "no_label"})
"""Problems of a manifest that the data set, not its adapter, may be the cause of."""


def label_table(name: str) -> Path:
    """A full label table of a public data set; the test skips where this machine has none.

    Looked for in the folder CXR_LABEL_TABLES, in the labels of the real radiographs, and in an installed
    torchxrayvision, which brings several.
    """
    package = importlib.util.find_spec("torchxrayvision")
    places = [Path(folder) for folder in (os.environ.get("CXR_LABEL_TABLES"),) if folder]
    places.append(Path(os.environ.get("CXR_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data") / "labels")
    places += [Path(place) / "data" for place in (package.submodule_search_locations or () if package else ())]
    found = next((place / name for place in places if (place / name).is_file()), None)
    if found is None:
        pytest.skip(f"no {name}: set CXR_LABEL_TABLES to a folder that has it")
    return found


def picture(path: Path, seed: int, *, rows: int = 96, columns: int = 80, bits: int = 8) -> None:
    """Write a film of grey blotches as its suffix says, of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blotches = np.random.default_rng(seed).integers(0, 255, (12, 10), dtype=np.uint8)
    film = np.asarray(Image.fromarray(blotches).resize((columns, rows), Image.Resampling.NEAREST))
    Image.fromarray(film if bits == 8 else film.astype(np.uint16) * 257).save(path)


def dicom(path: Path, seed: int, **attributes: object) -> None:
    """Write a film of noise, 128 rows by 100 columns of 12 bits, with these header attributes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    known = {
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "PixelRepresentation": 0,
    }
    known |= {"Rows": 128, "Columns": 100, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    for name, value in (known | attributes).items():
        setattr(film, name, value)
    film.PixelData = np.random.default_rng(seed).integers(0, 4095, (128, 100), dtype=np.uint16).tobytes()
    film.save_as(path, enforce_file_format=True)


def card_is_whole(adapter: Adapter) -> None:
    """Everything a person must know before using a data set is said, and says something."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", adapter.name), f"name {adapter.name!r}: small letters, digits and _"
    blank = [name for name in TEXTS if not getattr(adapter, name).strip()]
    assert blank == [], f"{adapter.name}: nothing is said under {', '.join(blank)}"
    assert adapter.label_mapping, f"{adapter.name}: what becomes of the native labels?"
    texts = (*adapter.known_defects, *adapter.unverified, *adapter.steps)
    texts += tuple(text for pair in (*adapter.label_mapping.items(), *adapter.overlaps.items()) for text in pair)
    assert all(text and text.strip() == text for text in texts), f"{adapter.name}: an empty text, or blanks around one"
    for name, option in adapter.options.items():
        assert name.isidentifier(), f"option {name!r} is no plain name"
        assert option.doc, f"option {name}: what does it choose?"
        assert len(set(option.choices)) == len(option.choices) != 1, f"{name}: a choice of one is none"
    if adapter.access in ("registration", "credentialed"):
        assert adapter.steps, f"{adapter.name}: how does a person get it, step by step?"
        assert not adapter.downloads, f"{adapter.name}: what wants a person's consent is not fetched for them"
    for download in adapter.downloads:
        assert download.url.startswith("https://"), f"{download.url}: not over https"
        assert _inside(download.to), f"{download.to}: not below the data root"
        assert (download.digest or "md5:").partition(":")[0] in ("md5", "sha256"), (
            f"{download.to}: digest of what kind?"
        )
    if adapter.whole is not None:
        assert adapter.whole.films > 0, f"{adapter.name}: a whole copy of no film"
        assert all(map(_inside, adapter.whole.files)), f"{adapter.name}: a label file that is not below the data root"


def options_are_resolved(adapter: Adapter) -> None:
    """Each option has its first choice where it is not given; what is no option or choice is refused."""
    assert adapter.resolve({}) == {name: option.default for name, option in adapter.options.items()}
    with pytest.raises(DatasetError, match="has no option 'no_such_option'"):
        adapter.resolve({"no_such_option": "1"})
    for name, option in adapter.options.items():
        if option.choices:
            with pytest.raises(DatasetError, match=f"option '{name}' is 'no such choice', expected one of"):
                adapter.resolve({name: "no such choice"})


def adapter_keeps_the_rules(
    name: str, root: Path, *, needed: Sequence[str], options: Mapping[str, str] | None = None, hashes: bool = True
) -> pd.DataFrame:
    """Run every rule over a tree with at least two films on disk, and leave the tree as it was.

    Args:
        name: of the adapter.
        root: the tree, whole; a folder of its own, for files are laid beside it for a while.
        needed: label files below the root (as they are called there) without which there is no manifest.
        options: passed to the adapter.
        hashes: also look for pictures that are there twice; reading them takes a second.

    Returns:
        The manifest of the tree, for the test's own assertions.
    """
    adapter = get_adapter(name)
    card_is_whole(adapter)
    options_are_resolved(adapter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)
        frame = build_manifest(name, root, hashes=hashes, workers=1, options=options)
        _manifest_is_right(frame, adapter, root, hashes)
        pd.testing.assert_frame_equal(adapter.build(root, options), adapter.build(root, options))
        for option, described in adapter.options.items():
            for choice in described.choices:
                with contextlib.suppress(DatasetError):  # a choice may ask for films or tables that the tree has not
                    rows = adapter.build(root, {**(options or {}), option: choice})
                    assert rows["image_id"].is_unique, f"{option}={choice}"
        _missing_film_is_named(frame, name, root, options)
        _missing_tables_are_named(name, root, needed, options)
    for nowhere, words in ((root / "no such folder", "is not a folder"), (root.parent / f"{root.name}-empty", name)):
        (root.parent / f"{root.name}-empty").mkdir(exist_ok=True)
        with pytest.raises(DatasetError, match=words):
            build_manifest(name, nowhere)
    return frame


def _inside(path: str) -> bool:
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts and "\\" not in path


def _manifest_is_right(frame: pd.DataFrame, adapter: Adapter, root: Path, hashes: bool) -> None:
    problems = {problem.code for problem in check_manifest(frame, root=root, hashes=hashes)}
    assert problems <= EXPECTED_WARNINGS, problems
    assert frame["image_id"].is_unique, "image ids are not unique"
    assert frame["dataset"].eq(adapter.name).all(), "dataset is not the adapter's name"
    assert frame["path"].map(_inside).all(), "a path is not below the root"
    for finding in FINDINGS:
        assert set(frame[finding].dropna()) <= {0.0, 1.0}, f"{finding} is not 1, 0 or null"
    known = frame[list(FINDINGS)].notna().any(axis=1)
    assert known.any(), "a data set none of whose labels is known is of no use"
    assert frame.loc[known, "reference_standard"].notna().all(), "who said so?"
    assert frame["native_labels"][known].notna().any(), "what the data set itself said is kept"
    empty = [finding for finding in FINDINGS if frame[finding].isna().all()]
    assert [finding for finding in empty if finding not in adapter.unknown] == [], "the card must say what is unknown"
    copy = root.parent / f"{root.name}.parquet"
    write_manifest(frame, copy)
    pd.testing.assert_frame_equal(read_manifest(copy), frame)
    copy.unlink()


def _missing_film_is_named(frame: pd.DataFrame, name: str, root: Path, options: Mapping[str, str] | None) -> None:
    """Adapters that list the films of a folder have a row less; those that read a table say which film is missing."""
    film = root / frame["path"].iloc[-1]
    aside = root.parent / f"{root.name}-film-aside"
    film.rename(aside)
    try:
        rows = len(get_adapter(name).build(root, options))
        if rows == len(frame):
            with pytest.raises(DatasetError, match=f"1 of {len(frame):,} films are not in"):
                build_manifest(name, root, workers=1, options=options)
            assert len(build_manifest(name, root, allow_missing=True, workers=1, options=options)) == len(frame)
        present = build_manifest(name, root, only_present=True, workers=1, options=options)
        assert present["image_id"].tolist() == frame["image_id"].tolist()[:-1]
    finally:
        aside.rename(film)


def _missing_tables_are_named(name: str, root: Path, needed: Sequence[str], options: Mapping[str, str] | None) -> None:
    for table in needed:
        path, aside = root / table, root.parent / f"{root.name}-table-aside"
        path.rename(aside)
        try:
            with pytest.raises(DatasetError) as caught:
                build_manifest(name, root, allow_missing=True, workers=1, options=options)
            assert path.name.removesuffix(".gz") in str(caught.value), "the message must name the file"
            assert "\n" not in str(caught.value), "in one sentence"
        finally:
            aside.rename(path)
