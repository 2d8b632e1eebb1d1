"""TBX11K: 11,200 films of 512 x 512 pixels, with boxes of active and of old tuberculosis."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options, Whole, warn
from pipelines.datasets.native import find_base, find_file, need_file, read_table, read_text, require_folder
from pipelines.errors import DatasetError

NAME: Final = "tbx11k"
PLACES: Final = ("TBX11K", "TBX11K/TBX11K", "tbx11k-simplified", "tbx11k-simplified/tbx11k-simplified")
LISTS: Final = {"train": "TBX11K_train.txt", "val": "TBX11K_val.txt"}
"""Films whose labels are public."""
WIDER_LISTS: Final = {"train": "all_train.txt", "val": "all_val.txt", "test": "all_test.txt"}
"""The same, the films of other data sets in ``imgs/extra``, and the films of the test part."""
ANNOTATIONS: Final = (
    ("TBX11K_trainval.json",),
    ("TBX11K_train.json", "TBX11K_val.json"),
    ("TBX11K_trainval_only_tb.json",),
    ("all_trainval.json",),
)
ACTIVE, LATENT, UNCERTAIN = "ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis"
SIMPLE_KINDS: Final = {"active_tb": ACTIVE, "latent_tb": LATENT, "uncertain_tb": UNCERTAIN}
LATENT_VALUE: Final = {"unknown": None, "positive": 1.0, "negative": 0.0}
FOLDERS: Final = {"h": "health", "s": "sick", "tb": "tb"}
RELEASE_SIDE: Final = 512
EXTRA: Final = {
    r"MCUCXR_\d+_([01])": "Montgomery County, USA",
    r"CHNCXR_\d+_([01])": "Shenzhen No. 3 Hospital, China",
    r"([np])x?\d+": "New Delhi, India",
}
"""Names of the films of other data sets, with what says positive (1, p), and their site."""


@dataclass
class _Film:
    """What the files say of one film; ``name`` is its path below ``imgs`` without the ending."""

    name: str
    path: str
    split: str
    regions: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    """Native category and box."""

    @property
    def folder(self) -> str:
        return PurePosixPath(self.name).parts[0]

    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.regions}

    def tb(self, latent: float | None) -> float | None:
        if self.split == "test":
            return None
        if self.folder in ("health", "sick"):
            return 0.0
        kinds = self.kinds()
        if ACTIVE in kinds:
            return 1.0
        if UNCERTAIN in kinds:  # one of the two, nobody can say which
            return 1.0 if latent == 1.0 else None
        return latent if LATENT in kinds else None

    def row(self, latent: float | None) -> dict[str, object]:
        tb = self.tb(latent)
        named = {"health": ["health"], "sick": ["sick"], "tb": sorted(self.kinds()) or ["tb"]}
        found = {ACTIVE, LATENT, UNCERTAIN} if latent == 1.0 else {ACTIVE}
        return {
            "image_id": f"{NAME}/{self.name}",
            "path": self.path,
            "dataset": NAME,
            "split": self.split,
            "tb": tb,
            "reference_standard": "microbiology" if ACTIVE in self.kinds() else None,
            "native_labels": None if self.split == "test" else named.get(self.folder),
            "boxes": None if tb is None else [box for kind, box in self.regions if kind in found],
        }


def _rows(root: Path, options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    latent = LATENT_VALUE[options["latent"]]
    simple = next((root / place for place in ("", *PLACES) if find_file(root / place, ("data.csv",))), None)
    if simple is not None and not (simple / "lists").is_dir():
        return pd.DataFrame([film.row(latent) for film in _simplified(root, simple)])
    base = find_base(root, "lists", PLACES, NAME)
    films = _listed(root, base)
    _add_regions(base / "annotations" / "json", films)
    rows = [film.row(latent) for film in films.values()]
    return pd.DataFrame(rows + _extra_rows(root, base, options["extra"]))


def _names(lists: Path, split: str, files: Mapping[str, str]) -> list[str]:
    """Paths below ``imgs`` of one list."""
    return [line.removeprefix("imgs/") for line in read_text(need_file(lists, (files[split],), NAME)).split()]


def _listed(root: Path, base: Path) -> dict[str, _Film]:
    """The data set's own films by their paths below ``imgs``."""
    imgs = (base / "imgs").relative_to(root)
    films: dict[str, _Film] = {}
    wanted = [(split, name) for split in LISTS for name in _names(base / "lists", split, LISTS)]
    if find_file(base / "lists", (WIDER_LISTS["test"],)):
        listed = _names(base / "lists", "test", WIDER_LISTS)
        wanted += [("test", name) for name in listed if not name.startswith("extra/")]
    for split, name in wanted:
        if split != "test" and PurePosixPath(name).parts[0] not in FOLDERS.values():
            raise DatasetError(f"{base / 'lists' / LISTS[split]}: found {name!r}, expected health/, sick/ or tb/…")
        if name in films:
            raise DatasetError(f"{base / 'lists'}: {name} is listed twice, as {films[name].split} and {split}")
        films[name] = _Film(str(PurePosixPath(name).with_suffix("")), (imgs / name).as_posix(), split)
    return films


def _add_regions(folder: Path, films: Mapping[str, _Film]) -> None:
    complete = [files for files in ANNOTATIONS if all(find_file(folder, (file,)) for file in files)]
    if not complete:
        raise DatasetError(f"{NAME}: expected {' and '.join(ANNOTATIONS[1])} in {folder}, found neither nor a union")
    for file in complete[0]:
        path = need_file(folder, (file,), NAME)
        for name, kind, box in _regions(path):
            if name not in films:
                raise DatasetError(f"{path}: a region is drawn on {name}, which is in no list of {NAME}")
            films[name].regions.append((kind, box))


def _regions(path: Path) -> list[tuple[str, str, dict[str, object]]]:
    """File name, category and box (of x, y, width, height in pixels of the release) of a COCO file."""
    try:
        coco = json.loads(read_text(path))
        kinds = {entry["id"]: entry["name"] for entry in coco["categories"]}
        files = {entry["id"]: str(entry["file_name"]).removeprefix("imgs/") for entry in coco["images"]}
        found = [
            (files[entry["image_id"]], kinds[entry["category_id"]], _box(*map(float, entry["bbox"])))
            for entry in coco["annotations"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected a COCO file with images, categories and annotations, each with a bbox of four numbers "
            f"({type(error).__name__})"
        ) from error
    unknown = {kind for _, kind, _ in found} - {ACTIVE, LATENT, UNCERTAIN}
    if unknown:
        raise DatasetError(f"{path}: category {min(unknown)!r} is none of {ACTIVE}, {LATENT}, {UNCERTAIN}")
    return found


def _box(x: float, y: float, width: float, height: float) -> dict[str, object]:
    return {"finding": "tb", "x0": x, "y0": y, "x1": x + width, "y1": y + height}


def _extra_rows(root: Path, base: Path, choice: str) -> list[dict[str, object]]:
    """Films of Montgomery, Shenzhen, DA and DB, where they are asked for."""
    listed = [
        (split, name)
        for split, file in WIDER_LISTS.items()
        if find_file(base / "lists", (file,))
        for name in _names(base / "lists", split, WIDER_LISTS)
        if name.startswith("extra/")
    ]
    if choice == "take":
        return [_extra_row(base.relative_to(root), split, name) for split, name in listed]
    if listed:
        warn(
            f"{NAME}: {len(listed):,} films of other data sets in imgs/extra are left out; option extra=take keeps them"
        )
    return []


def _extra_row(base: Path, split: str, name: str) -> dict[str, object]:
    stem = PurePosixPath(name).stem
    for pattern, site in EXTRA.items():
        match = re.fullmatch(pattern, stem)
        if match:
            return {
                "image_id": f"{NAME}/{PurePosixPath(name).with_suffix('')}",
                "path": (base / "imgs" / name).as_posix(),
                "dataset": NAME,
                "site": site,
                "split": split,
                "tb": float(match[1] in ("1", "p")),
            }
    raise DatasetError(f"{NAME}: {name!r} in {base / 'lists'} has no known name of another data set")


def _simplified(root: Path, base: Path) -> list[_Film]:
    """The ``data.csv`` of a repacked copy: one row for each box, one for a film without."""
    path = need_file(base, ("data.csv",), NAME)
    films: dict[str, _Film] = {}
    for entry in read_table(path, ["fname", "source", "bbox", "target", "tb_type"]):
        name, is_tb = entry["fname"], entry["target"] == "tb"
        match = re.fullmatch(r"(h|s|tb)\d+\.png", name)
        if match is None or (match[1] == "tb") != is_tb or entry["source"] not in LISTS:
            found = f"{name!r} with target {entry['target']!r} and source {entry['source']!r}"
            raise DatasetError(f"{path}: found {found}, expected h…, s… (no_tb) or tb… (tb) in {' or '.join(LISTS)}")
        place = (base / "images" / name).relative_to(root).as_posix()
        film = films.setdefault(name, _Film(f"{FOLDERS[match[1]]}/{Path(name).stem}", place, entry["source"]))
        if entry["bbox"] != "none":
            film.regions.append((_simple_kind(path, entry["tb_type"]), _simple_box(path, entry["bbox"])))
    return list(films.values())


def _simple_kind(path: Path, kind: str) -> str:
    if kind not in SIMPLE_KINDS:
        raise DatasetError(f"{path}: column tb_type of a box is {kind!r}, expected one of {', '.join(SIMPLE_KINDS)}")
    return SIMPLE_KINDS[kind]


def _simple_box(path: Path, text: str) -> dict[str, object]:
    """A box written as ``{'xmin': 1, 'ymin': 2, 'width': 3, 'height': 4}``."""
    numbers = dict(re.findall(r"'(xmin|ymin|width|height)':\s*(\d+(?:\.\d+)?)", text))
    if len(numbers) != 4:
        raise DatasetError(f"{path}: column bbox is {text!r}, expected none or xmin, ymin, width and height")
    return _box(*(float(numbers[key]) for key in ("xmin", "ymin", "width", "height")))


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    """Boxes are in pixels of the release: on a film of another size they are left out, and it is said."""
    other = frame["rows"].notna() & ~(frame["rows"].eq(RELEASE_SIDE) & frame["columns"].eq(RELEASE_SIDE))
    drawn = other & frame["boxes"].map(lambda boxes: isinstance(boxes, list) and len(boxes) > 0)
    if drawn.any():
        warn(f"{NAME}: {int(drawn.sum()):,} films with boxes are not 512 x 512 as released: their boxes are left out")
    return frame.assign(boxes=frame["boxes"].where(~drawn, None))


TBX11K: Final = Adapter(
    name=NAME,
    title="TBX11K",
    citation=(
        "Liu Y, Wu YH, Ban Y, Wang H, Cheng MM. Rethinking computer-aided tuberculosis diagnosis. CVPR 2020; "
        "Liu Y, Wu YH, Zhang SC, Liu L, Wu M, Cheng MM. Revisiting computer-aided tuberculosis "
        "diagnosis. IEEE TPAMI 2023."
    ),
    licence=(
        "terms of the authors at Nankai University: research use with the citation; copies name CC BY 4.0, which the "
        "authors' page was not seen to confirm"
    ),
    films_may_be_shown=False,
    films_may_be_shown_why=(
        "Copies of the set name a licence that lets films be passed on, but the authors were not seen to confirm it."
    ),
    how_to_get="https://mmcheng.net/tb (Google Drive or Baidu)",
    size=(
        "11,200 films of 512 x 512 pixels: train 6,600, val 1,800, test 2,800; with public labels 3,800 healthy, 3,800 "
        "sick but without tuberculosis, 630 active, 139 latent, 30 both, 1 without a box; 1,211 boxes on 799 films"
    ),
    label_origin=(
        "the hospitals' diagnosis, for tuberculosis proven by microbiology as the authors say; boxes drawn by a "
        "radiologist with 5 to 10 years of experience, checked by one with more than 10, and made to agree with it"
    ),
    label_mapping={
        "ActiveTuberculosis": "tb = 1, also where an old region is drawn on the same film: active disease is there",
        "ObsoletePulmonaryTuberculosis alone": (
            "tb is null: scars of old tuberculosis are neither active disease nor a film without tuberculosis; whether "
            "a programme wants to find them is its decision: option latent=positive or latent=negative"
        ),
        "PulmonaryTuberculosis alone": (
            "tb is null: tuberculosis of unknown activity; 1 only where old tuberculosis counts as positive too"
        ),
        "tb/ without a region": "tb is null: the files do not say which kind it is (tb1199)",
        "health/": "tb = 0: films of healthy people",
        "sick/": "tb = 0: another disease was diagnosed, tuberculosis was not; these are the useful hard negatives",
        "test/": "tb is null: the labels of the test part are kept for the authors' online challenge",
        "(nodule)": (
            "nodule is null everywhere: sick films may show nodules, and nothing says which findings a healthy film "
            "was read for"
        ),
        "boxes": (
            "boxes of tb on positive films: active regions, with latent=positive old and uncertain ones too; [] on "
            "films with tb = 0; null where tb is null"
        ),
    },
    known_defects=(
        "126 pairs of films in sick/ are equal files, 38 of them with one film in train and one in val: the official "
        "split leaks; the committed folds keep them together",
        "models trained on it reach AUROC 1.00 on it and 0.55 to 0.70 on other sets: healthy, sick and tuberculosis "
        "films have different sources; compare with the shape-free control and test elsewhere",
        "films were reduced from about 3000 x 3000 to 512 x 512 pixels and stored as 8-bit RGB; small nodules are lost",
        "the boxes in annotations/xml are in pixels of the original films, which are not released; only json is read",
        "no patient ids, sex, age or view: patient_id is null",
        "imgs/extra holds films of four other data sets: they are left out unless option extra=take asks for them",
    ),
    verified=False,
    verified_note=(
        "names of all 8,400 films with public labels, their classes and counts; files written after public descriptions"
    ),
    access="open",
    unknown=(
        "tb on the test part, on films with old tuberculosis only, and on one film without a region; nodule "
        "on every film"
    ),
    rows=_rows,
    finish=_finish,
    options={
        "latent": Option(tuple(LATENT_VALUE), "what a film with old (latent, obsolete) tuberculosis alone is in tb"),
        "extra": Option(("leave", "take"), "films of Montgomery, Shenzhen, DA and DB in imgs/extra"),
    },
    overlaps={
        "montgomery": "imgs/extra/mc+shenzhen holds the 138 films at 512 x 512 (left out unless extra=take)",
        "shenzhen": "imgs/extra/mc+shenzhen holds the 662 films at 512 x 512 (left out unless extra=take)",
        "DA and DB (New Delhi)": "imgs/extra/da+db holds 156 and 150 films (left out unless extra=take)",
        "qatar_tb": "through Montgomery and Shenzhen, whose films are in both",
    },
    unverified=(
        "the licence: CC BY 4.0 is what copies say",
        "the names in the list of the test part: whatever is in all_test.txt and not in extra/ is taken for it",
        "how tuberculosis was excluded on healthy and on sick films",
        "whether every published film of the four other sets is in imgs/extra: descriptions add up to 1,078 or "
        "1,106 films",
        "the equal files come from digests published for one copy, not from files seen by this project",
        "what a repacked copy writes in tb_type for uncertain tuberculosis, of which no labelled film exists",
    ),
    steps=(
        "open https://mmcheng.net/tb and follow 'Dataset on Google Drive' or 'Dataset on Baidu Yunpan'",
        "download TBX11K.zip and unpack it: TBX11K/imgs, TBX11K/lists, TBX11K/annotations",
        "cxr manifest build tbx11k FOLDER --out tbx11k.parquet, FOLDER being the one that holds TBX11K",
    ),
    whole=Whole(
        films=11_200, files={"lists/TBX11K_train.txt": "", "lists/TBX11K_val.txt": "", "lists/all_test.txt": ""}
    ),
)

ADAPTERS: Final = (TBX11K,)
