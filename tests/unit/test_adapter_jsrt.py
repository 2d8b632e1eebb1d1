"""The JSRT data base: headerless films and its two clinical tables, with synthetic pixels."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import DatasetWarning, build_manifest
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, dicom, picture

NODULES = (
    "JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\t\t",
    "JPCLN002.IMG\t5\t30\t78\tfemale\t1614\t1090\tbenign\tl.upper lobe(S5)\tpulmonary hematoma",
    "JPCLN106.IMG\t2\t18\t?\tmale\t20\t2040\tmalignant\tr.lower lobe\tlung cancer",
)
NORMALS = ("JPCNN001.IMG   30  female non-nodule", "JPCNN062.IMG 89 female non-nodule")


def img(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film = np.random.default_rng(seed).integers(0, 4096, (2048, 2048), dtype=np.uint16)
    path.write_bytes(film.astype(">u2").tobytes())


def tree(root: Path, *, separator: str = "\r\n") -> None:
    img(root / "Nodule154images" / "JPCLN001.IMG", 1)
    picture(root / "Nodule154images" / "JPCLN002.png", 2, rows=512, columns=512)
    picture(root / "Nodule154images" / "jpcln106.png", 3, rows=1024, columns=512)
    dicom(root / "NonNodule93images" / "JPCNN001.dcm", 4, PixelSpacing=[0.2, 0.2])
    picture(root / "NonNodule93images" / "JPCNN062.png", 5, rows=512, columns=512)
    texts = root / "Clinical_Information"
    texts.mkdir(exist_ok=True)
    (texts / "CLNDAT_EN.txt").write_text(separator.join(NODULES), newline="")
    (texts / "CNNDAT_EN.TXT").write_text(separator.join(NORMALS), newline="")


def test_labels_and_boxes(tmp_path: Path) -> None:
    root = tmp_path / "jsrt"
    tree(root)
    frame = adapter_keeps_the_rules("jsrt", root, needed=[])
    assert frame["image_id"].tolist() == [
        f"jsrt/{name}" for name in ("JPCLN001", "JPCLN002", "JPCLN106", "JPCNN001", "JPCNN062")
    ]
    assert frame["nodule"].tolist() == [1, 1, 1, 0, 0]
    assert frame["tb"].isna().all()
    assert frame["sex"].tolist() == ["M", "F", "M", "F", "F"]
    assert frame["age_years"].fillna(-1).tolist() == [53, 78, -1, 30, 89]
    assert frame["native_labels"][0] == ["subtlety 5", "15 mm", "malignant", "l.upper lobe lung cancer"]
    assert set(frame["reference_standard"]) == {"ct"}
    assert set(frame["view"]) == {"PA"}
    # 15 mm at 0.175 mm around (1634, 692); a copy at a quarter of the size has all of it at a quarter.
    box = frame["boxes"][0][0]
    assert (box["x0"] + box["x1"]) / 2 == pytest.approx(1634)
    assert (box["y0"] + box["y1"]) / 2 == pytest.approx(692)
    assert (box["x1"] - box["x0"]) * 0.175 == pytest.approx(15)
    assert (box["y1"] - box["y0"]) * 0.175 == pytest.approx(15)
    small = frame["boxes"][1][0]
    assert (small["x1"] - small["x0"]) * 0.175 * 4 == pytest.approx(30)
    assert (small["x0"] + small["x1"]) / 2 == pytest.approx(1614 / 4)
    # Cut at the edges; the copy has half the rows and a quarter of the columns, and no longer one spacing.
    half = 18 / 0.175 / 2
    cut = frame["boxes"][2][0]
    assert [cut[name] for name in ("x0", "y0", "x1", "y1")] == pytest.approx(
        [0, (2040 - half) / 2, (20 + half) / 4, 1024]
    )
    assert frame["boxes"].tolist()[3:] == [[], []]
    np.testing.assert_allclose(frame["pixel_spacing_mm"], [0.175, 0.7, np.nan, np.nan, 0.7])
    assert frame["rows"].tolist() == [2048, 512, 1024, 128, 512]


@pytest.mark.parametrize("separator", ["\n", "", "\r"])
def test_records_begin_at_a_film_name(tmp_path: Path, separator: str) -> None:
    """Copies go round in which a line end, and so the next film's name, sticks to a diagnosis."""
    texts = tmp_path / "Clinical_Information"
    texts.mkdir()
    (texts / "CLNDAT_EN.txt").write_text("\ufeff" + separator.join(NODULES), newline="")
    (texts / "CNNDAT_EN.TXT").write_text(separator.join(NORMALS), newline="")
    frame = build_manifest("jsrt", tmp_path, allow_missing=True)
    assert frame["age_years"].fillna(-1).tolist() == [53, 78, -1, 30, 89]
    assert frame["native_labels"][1] == ["subtlety 5", "30 mm", "benign", "l.upper lobe(S5) pulmonary hematoma"]
    assert frame["path"].tolist()[0] == "JPCLN001.IMG"


def test_films_alone_have_labels_without_boxes(tmp_path: Path) -> None:
    for seed, name in enumerate(("JPCLN154", "JPCNN093")):
        picture(tmp_path / f"{name}.png", seed)
    with pytest.warns(DatasetWarning) as caught:
        frame = build_manifest("jsrt", tmp_path, workers=1)
    assert sum("its films have no age, sex or place" in str(warning.message) for warning in caught) == 2
    assert frame["nodule"].tolist() == [1, 0]
    assert frame["boxes"].tolist() == [None, []]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tunsure", "the record of JPCLN001 is not as expected"),
        ("JPCLN001.IMG\t5\t15\t53\tmale\t1634", "the record of JPCLN001 is not as expected"),
        ("JPCLN001.IMG\t5\t15\t53\tmale\t3000\t692\tbenign", "nodule of JPCLN001 at 3000, 692 with 15 mm, expected"),
    ],
)
def test_broken_records_are_refused(tmp_path: Path, record: str, words: str) -> None:
    (tmp_path / "CLNDAT_EN.txt").write_text(record)
    (tmp_path / "CNNDAT_EN.TXT").write_text(NORMALS[0])
    with pytest.raises(DatasetError, match=words):
        build_manifest("jsrt", tmp_path, allow_missing=True)
