"""NODE21: 4,882 frontal films of four public sets, with boxes around solitary nodules."""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import IMAGE_SUFFIXES, Adapter, Option, Options, Whole, warn
from pipelines.datasets.native import find_file, need_file, read_table, require_folder
from pipelines.datasets.stored import Box, films_by_stem, nodule_box
from pipelines.errors import DatasetError

NAME: Final = "node21"
FOLDER_OF: Final = {"processed": "proccessed_data", "original": "original_data"}
"""The publisher's spelling."""
PLACES: Final = ("", "cxr_images", "node21/cxr_images", "node21")
SOURCE_FILES: Final = ("filenames_orig_and_new.csv", "non_nodule_filenames_orig_and_new.csv")
SUFFIXES: Final = (".mha", *IMAGE_SUFFIXES)
SITES: Final = {"chestxray14": "NIH Clinical Center", "padchest": "Hospital San Juan", "openi": "Indiana University"}
COLUMNS: Final = ("height", "width", "img_name", "label", "x", "y")


def _rows(root: Path, options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    base = _base(root, FOLDER_OF[options["images"]])
    labels = _labels(need_file(base, ("metadata.csv",), NAME))
    films = films_by_stem(root, [base / "images"], suffixes=SUFFIXES)
    sources = _sources(base)
    default = (base / "images").relative_to(root)
    return pd.DataFrame(
        [
            _row(film, films.get(film, (default / f"{film}.mha").as_posix()), boxes, *sources.get(film, ("", "")))
            for film, boxes in labels.items()
        ]
    )


def _base(root: Path, folder: str) -> Path:
    for place in PLACES:
        if (root / place / folder).is_dir():
            return root / place / folder
    if find_file(root, ("metadata.csv",)):
        return root
    raise DatasetError(
        f"{NAME}: expected {folder}/metadata.csv in {root} (also below {', '.join(filter(None, PLACES))}) or "
        "metadata.csv in it, found neither"
    )


def _row(film: str, path: str, boxes: list[Box], source: str, native: str) -> dict[str, object]:
    return {
        "image_id": f"{NAME}/{film}",
        "path": path,
        "dataset": NAME,
        "site": SITES.get(source),
        "patient_id": _patient(source, native),
        "nodule": float(bool(boxes)),
        "reference_standard": "ct" if source == "jsrt" else "radiologist",
        "native_labels": [source] if source else None,
        "boxes": boxes,
    }


def _labels(path: Path) -> dict[str, list[Box]]:
    """Film -> boxes, none where its label is 0; a film has a row for each box."""
    labels: dict[str, list[Box]] = {}
    for entry in read_table(path, COLUMNS):
        film, label = Path(entry["img_name"]).stem, entry["label"].strip()
        if label not in ("0", "1", "0.0", "1.0"):
            raise DatasetError(f"{path}: label of {film} is {label!r}, expected 0 or 1")
        boxes = labels.setdefault(film, [])
        if float(label):
            boxes.append(_box(entry, path))
    return labels


def _box(entry: dict[str, str], path: Path) -> Box:
    try:
        x, y, width, height = (float(entry[name]) for name in ("x", "y", "width", "height"))
    except ValueError:
        raise DatasetError(f"{path}: a box of {entry['img_name']} has no four numbers x, y, width, height") from None
    return nodule_box(x, y, x + width, y + height)


def _sources(base: Path) -> dict[str, tuple[str, str]]:
    """Film -> the set it is from and its name there, from the publisher's lists beside the original films."""
    sources: dict[str, tuple[str, str]] = {}
    folders = (base, base.parent / FOLDER_OF["original"])
    lists = {path for name in SOURCE_FILES for folder in folders if (path := find_file(folder, (name,)))}
    if not lists:
        warn(f"{NAME}: no {SOURCE_FILES[0]} in {base} or beside it: which set a film is from is not known")
    for path in sorted(lists):
        for entry in read_table(path, ["orig_dataset", "node21_img_id"]):
            names = [value for name, value in entry.items() if "orig" in name and name != "orig_dataset"]
            film = entry["node21_img_id"].removesuffix(".mha")
            sources[film] = (entry["orig_dataset"].strip().lower(), Path(names[0]).name if names else "")
    return sources


def _patient(source: str, native: str) -> str | None:
    """The patient as the source numbers its own, behind the name of that set; null where the name does not tell."""
    patterns = {
        "chestxray14": (r"0*(\d+)_\d{3}(?:\D|$)", "nih_cxr14"),
        "jsrt": (r"(JPC[LN]N\d{3})", "jsrt"),
        "openi": (r"(?:CXR)?(\d+)_", "openi"),
    }
    if source not in patterns:
        return None
    pattern, dataset = patterns[source]
    match = re.match(pattern, native)
    return f"{dataset}/{match[1]}" if match else None


NODE21: Final = Adapter(
    name=NAME,
    title="NODE21, public training films",
    citation=(
        "Sogancioglu E, van Ginneken B, Behrendt F, et al. Nodule detection and generation on chest X-rays: NODE21 "
        "challenge. IEEE Transactions on Medical Imaging 2024. doi:10.1109/TMI.2024.3382042"
    ),
    licence="CC BY-NC-ND 4.0 as given on Zenodo: research without commerce, no altered copies passed on",
    films_may_be_shown=False,
    films_may_be_shown_why="The licence does not let altered copies be passed on, and the films come from other sets.",
    how_to_get="Zenodo, by way of https://node21.grand-challenge.org/Data/",
    size="4,882 frontal films as MHA: 1,134 with 1,476 boxes of nodules and 3,748 without a nodule",
    label_origin=(
        "radiologists of the challenge, who chose the films by their source's labels, looked at each again and drew "
        "the boxes; JSRT films keep their labels, proven by CT"
    ),
    label_mapping={
        "label 1": "nodule = 1, with its boxes: a solitary nodule of 6 to 30 mm, not wholly calcified",
        "label 0": "nodule = 0 and boxes []: chosen as a film without a nodule and reviewed",
        "(tuberculosis)": "tb null: nobody was asked, though films with much other disease were left out",
        "orig_dataset": "native_labels: the set that a film is from",
    },
    known_defects=(
        "films with more than three nodules, masses above 30 mm and films with much other disease were left out: "
        "easier and rarer cases than in practice",
        "the processed films are cropped to the lungs, rescaled in brightness and brought to 1024 x 1024: their edges "
        "and brightness differ from every other set's",
        "sources differ in their share of nodules (JSRT 149 of 242 films, Open-I 54 of 1,156): a model may learn the "
        "source instead of the nodule",
        "the CT patches of the generation track are no radiographs and are not read",
    ),
    verified=False,
    verified_note="layout, columns and counts as the organisers and users describe them; none of its files was read",
    access="registration",
    unknown="tb on every film: it was not asked for",
    rows=_rows,
    options={"images": Option(("processed", "original"), "the standardised films, or those as their source has them")},
    overlaps={
        "nih_cxr14": "1,804 films (617 with a nodule)",
        "padchest": "1,680 films (314 with a nodule)",
        "openi": "1,156 films (54 with a nodule)",
        "jsrt": "242 of its 247 films (149 with a nodule)",
        "rsna_pneumonia": "both hold NIH films; which they share is not published",
    },
    unverified=(
        "the licence on Zenodo",
        "whether CheXpert is a source too: the organisers' page names JSRT, Open-I, ChestX-ray14 and PadChest only",
        "the counts for each source, which are from a participant's notes (they add up to 1,134 and 3,748)",
        "the column with the original file name: the first with 'orig' in its name but orig_dataset is taken",
        "that the boxes of original_data are in the pixels of its films",
    ),
    steps=(
        "Open https://node21.grand-challenge.org/Data/ and follow its link to Zenodo.",
        "Accept the terms, download the archive of chest radiographs and unpack it: cxr_images/ with proccessed_data/ "
        "and original_data/ (each images/*.mha and metadata.csv).",
    ),
    whole=Whole(films=4_882),
)

ADAPTERS: Final = (NODE21,)
