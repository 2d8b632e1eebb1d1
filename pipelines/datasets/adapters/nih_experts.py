"""Radiologists' labels of NIH ChestX-ray14 films: adjudicated by three of them, and the word of each reader.

Source: Majkowska et al., Radiology 2020 (four findings, 3 readers a film, adjudicated); Nabulsi et al., Scientific
Reports 2021 (14 findings on 810 of those films, the same 5 readers on each).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipelines.datasets.native import find_file, read_table
from pipelines.errors import DatasetError

FOUR, ALL = "four_findings_expert_labels", "all_findings_expert_labels"
TOGETHER: Final = "google2019_nih-chest-xray-labels.csv"
"""Both parts of the adjudicated labels in one table, as it goes round."""
PARTS: Final = ("validation_labels.csv", "test_labels.csv")
FOUR_COLUMN: Final = "nodule or mass"
READERS: Final = {"four": (FOUR, "individual_readers.csv"), "all": (ALL, "test_individual_readers.csv")}
SAID: Final = {"YES": 1.0, "NO": 0.0}
UNSURE: Final = "HEDGE"

Reading = dict[str, object]
"""As `pipelines.manifest.schema.READING`."""


def adjudicated(root: Path, dataset: str) -> dict[str, float]:
    """Film -> 1 or 0 for "nodule or mass", for the films that three radiologists adjudicated.

    Args:
        root: the data root.
        dataset: for messages.

    Raises:
        DatasetError: the labels are not there, or a value is neither YES nor NO.
    """
    together = find_file(root, (TOGETHER,))
    paths = [together] if together else [path for name in PARTS if (path := _find(root, FOUR, name))]
    if not paths:
        raise DatasetError(
            f"{dataset}: expected {TOGETHER} or {FOUR}/{' and '.join(PARTS)} (plain or .gz) in {root} for the "
            "adjudicated labels, found none"
        )
    if not together and len(paths) < len(PARTS):
        raise DatasetError(f"{dataset}: expected both {' and '.join(PARTS)} of {FOUR}, found only {paths[0]}")
    labels: dict[str, float] = {}
    for path in paths:
        for image, entry in _entries(path, [FOUR_COLUMN]):
            value = _value(entry[FOUR_COLUMN], image, path)
            if value is not None:
                labels[image] = value
    return labels


def readings(root: Path) -> dict[str, list[Reading]]:
    """Film -> what each reader said of nodule or mass, from the studies whose tables of readers are there.

    A reader who was unsure (HEDGE) said neither 1 nor 0 and is left out for that film.

    Raises:
        DatasetError: a table is not as expected.
    """
    found: dict[str, list[Reading]] = {}
    for study, (folder, name) in READERS.items():
        path = _find(root, folder, name)
        if path is None:
            continue
        columns = (FOUR_COLUMN,) if study == "four" else ("nodule", "mass")
        for image, entry in _entries(path, columns, reader=True):
            values = [_value(entry[column], image, path) for column in columns]
            known = [value for value in values if value is not None]
            if known:
                reader = f"{study}-{entry['reader']}"
                found.setdefault(image, []).append({"reader": reader, "finding": "nodule", "value": max(known)})
    return found


def _find(root: Path, folder: str, name: str) -> Path | None:
    """A label file under its published name, or with its folder's name before it as some downloads have it."""
    long = f"{folder}_{name}"
    return find_file(root / folder, (name, long)) or find_file(root, (long,))


def _value(text: str, image: str, path: Path) -> float | None:
    said = text.strip().upper()
    if said in ("", UNSURE):
        return None
    if said not in SAID:
        raise DatasetError(f"{path}: label of {image} is {text!r}, expected YES, NO or {UNSURE}")
    return SAID[said]


def _entries(path: Path, columns: Sequence[str], *, reader: bool = False) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Rows as (film, columns by plain name); the studies write their headers in more than one way."""
    rows = read_table(path, [])
    names = {_plain(name): name for name in rows[0]} if rows else {}
    image = names.get("image index") or names.get("image id")
    wanted = {column: names.get(column) for column in columns} | ({"reader": names.get("reader id")} if reader else {})
    missing = [column for column, name in wanted.items() if name is None] + ([] if image else ["Image Index"])
    if image is None or missing:
        raise DatasetError(f"{path}: expected column {', '.join(missing)}, found {', '.join(names.values()) or 'none'}")
    native = {column: name for column, name in wanted.items() if name is not None}
    for row in rows:
        yield row[image], {column: row[name] for column, name in native.items()}


def _plain(name: str) -> str:
    """``Nodule/mass`` and ``Nodule or mass`` are one column, and so are ``Reader ID`` and ``reader_id``."""
    return " ".join(name.lower().replace("/", " or ").replace("_", " ").split())
