"""NIH ChestX-ray14: radiologists' labels, the word of each reader, and the DICOM form."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import DatasetWarning, build_manifest, get_adapter
from pipelines.errors import DatasetError
from pipelines.manifest import check_manifest
from tests.adapter_rules import adapter_keeps_the_rules, dicom, picture

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
FILMS = {
    "00000013_008": "No Finding,8,13,60,M,AP,3056,2544,0.139,0.139",
    "00000013_026": "Mass|Effusion,26,13,57,M,AP,2500,2048,0.168,0.168",
    "00029560_000": "Nodule,0,29560,41,F,PA,2048,2048,0.2,0.2",
    "00030650_000": "Infiltration,0,30650,67,M,PA,2010,2021,0.194314,0.194314",
}
FOUR, ALL = "four_findings_expert_labels", "all_findings_expert_labels"
ADJUDICATED = {"labels": "adjudicated"}


def tree(root: Path, *, form: str = "png") -> None:
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{film}.png,{rest}" for film, rest in FILMS.items()]
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *lines]))
    names = [f"{film}.png" for film in FILMS]
    (root / "train_val_list.txt").write_text("\n".join(names[:2]))
    (root / "test_list.txt").write_text("\n".join(names[2:]))
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000013_026.png,Mass,512,256,128,64,,,\n"
        "00029560_000.png,Nodule,100,200,10,20,,,\n"
    )
    for seed, film in enumerate(FILMS):
        if form == "png":
            picture(root / "images" / f"{film}.png", seed, rows=256, columns=256)
        else:
            dicom(root / "dicom" / f"{film}.dcm", seed, PixelSpacing=[0.2, 0.2])


def experts(root: Path) -> None:
    """The four findings under their published names, the 14 findings as a download called them."""
    entries = {film: f"{film}.png,{rest}" for film, rest in FILMS.items()}
    (root / FOUR).mkdir()
    head = f"{HEADER},Fracture,Pneumothorax,Airspace opacity,Nodule or mass\n"
    (root / FOUR / "validation_labels.csv").write_text(f"{head}{entries['00000013_026']},NO,NO,NO,YES\n")
    (root / FOUR / "test_labels.csv").write_text(
        f"{head}{entries['00029560_000']},NO,YES,NO,NO\n{entries['00030650_000']},NO,NO,YES,\n"
    )
    (root / FOUR / "individual_readers.csv").write_text(
        "Image ID,Patient ID,Reader ID,Fracture,Pneumothorax,Airspace opacity,Nodule/mass\n"
        "00000013_026.png,13,77,NO,NO,NO,YES\n00000013_026.png,13,78,NO,HEDGE,NO,HEDGE\n"
        "00000013_026.png,13,79,NO,NO,NO,NO\n"
    )
    (root / ALL).mkdir()
    findings = "Abnormal,Atelectasis,Mass,Nodule,Other"
    (root / ALL / f"{ALL}_test_individual_readers.csv").write_text(
        f"Image ID,Patient ID,Reader ID,{findings}\n00029560_000.png,29560,77,0,NO,NO,NO,NO^\n"
        "00029560_000.png,29560,80,1,NO,YES,NO,NO\n00029560_000.png,29560,81,1,NO,NO,YES,NO\n"
    )


def test_rules_and_adjudicated_labels(tmp_path: Path) -> None:
    root = tmp_path / "nih"
    tree(root)
    experts(root)
    mined = adapter_keeps_the_rules("nih_cxr14", root, needed=["Data_Entry_2017_v2020.csv", "test_list.txt"])
    assert mined["nodule"].tolist() == [0, 1, 1, 0]
    assert mined["readings"].isna().all()
    frame = build_manifest("nih_cxr14", root, options=ADJUDICATED, workers=1)
    assert frame["nodule"].fillna(-1).tolist() == [-1, 1, 0, -1]
    assert frame["tb"].isna().all()
    assert frame["reference_standard"].tolist() == [None, "radiologist", "radiologist", None]
    assert frame["split"].tolist() == mined["split"].tolist() == ["train", "train", "test", "test"]
    # The box of a mass that was upheld stays (at a quarter of 1024), that of a nodule that was not goes.
    box = {"finding": "nodule", "x0": 128.0, "y0": 64.0, "x1": 160.0, "y1": 80.0}
    assert frame["boxes"].tolist() == [None, [box], None, None]

    def said(reader: str, value: float) -> dict[str, object]:
        return {"reader": reader, "finding": "nodule", "value": value}

    assert frame["readings"].tolist() == [
        None,
        [said("four-77", 1.0), said("four-79", 0.0)],
        [said("all-77", 0.0), said("all-80", 1.0), said("all-81", 1.0)],
        None,
    ]
    assert {problem.code for problem in check_manifest(frame, root=root)} <= {"no_label"}


def test_dicom_form_has_no_trusted_spacing(tmp_path: Path) -> None:
    tree(tmp_path, form="dicom")
    frame = build_manifest("nih_cxr14", tmp_path, workers=1)
    assert frame["path"].tolist() == [f"dicom/{film}.dcm" for film in FILMS]
    assert frame["image_id"].tolist() == [f"nih_cxr14/{film}" for film in FILMS]
    assert frame["pixel_spacing_mm"].isna().all()
    box = frame["boxes"][2][0]  # 100 columns and 128 rows of 1024
    assert [box[side] for side in ("x0", "y0")] == pytest.approx([100 * 100 / 1024, 200 * 128 / 1024])
    picture(tmp_path / "images" / "00000013_008.png", 3)
    assert build_manifest("nih_cxr14", tmp_path, workers=1)["path"][0] == "images/00000013_008.png"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("validation_labels.csv", ",YES", ",MAYBE", "label of 00000013_026.png is 'MAYBE', expected YES, NO or HEDGE"),
        ("test_labels.csv", "Nodule or mass", "Nodule", "expected column nodule or mass, found"),
        ("individual_readers.csv", "Reader ID", "Who", "expected column reader, found"),
    ],
)
def test_broken_expert_tables_are_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    tree(tmp_path)
    experts(tmp_path)
    path = tmp_path / FOUR / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=words):
        build_manifest("nih_cxr14", tmp_path, options=ADJUDICATED, workers=1)


def test_missing_expert_tables_are_named(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(DatasetError, match=r"expected google2019_nih-chest-xray-labels\.csv or four_findings"):
        build_manifest("nih_cxr14", tmp_path, options=ADJUDICATED, workers=1)
    experts(tmp_path)
    (tmp_path / FOUR / "test_labels.csv").unlink()
    with pytest.raises(DatasetError, match=r"expected both validation_labels\.csv and test_labels\.csv"):
        build_manifest("nih_cxr14", tmp_path, options=ADJUDICATED, workers=1)


def test_archives_are_the_twelve_of_nih() -> None:
    downloads = get_adapter("nih_cxr14").downloads
    assert [download.to for download in downloads] == [f"images_{number:03d}.tar.gz" for number in range(1, 13)]
    assert len({download.url for download in downloads}) == len({download.digest for download in downloads}) == 12
    assert all(download.unpack and len(download.digest or "") == len("md5:") + 32 for download in downloads)


@pytest.mark.realdata
def test_real_adjudicated_labels(real_data: Path, tmp_path: Path) -> None:
    """The 4,376 films by pandas alone; the entries of the others are not needed for it."""
    experts_table = pd.read_csv(real_data / "nih_cxr14" / "google2019_nih-chest-xray-labels.csv.gz", dtype=str)
    entries = pd.read_csv(real_data / "nih_cxr14" / "Data_Entry_2017_v2020.csv.gz", dtype=str)
    known = entries["Image Index"].isin(experts_table["Image Index"])
    part = pd.concat([entries[known], entries[~known].head(100)])
    part.to_csv(tmp_path / "Data_Entry_2017_v2020.csv", index=False)
    for name in ("google2019_nih-chest-xray-labels.csv.gz", "train_val_list.txt.gz", "test_list.txt.gz"):
        shutil.copy(real_data / "nih_cxr14" / name, tmp_path)
    frame = build_manifest("nih_cxr14", tmp_path, options=ADJUDICATED, allow_missing=True, workers=1)
    answers = experts_table.set_index("Image Index")["Nodule or mass"].map({"YES": 1.0, "NO": 0.0})
    np.testing.assert_array_equal(frame["nodule"], part["Image Index"].map(answers))
    assert (frame["nodule"].sum(), frame["nodule"].count()) == (605, 4_376)
    assert frame[frame["nodule"].notna()]["split"].value_counts().to_dict() == {"train": 2_414, "test": 1_962}


def test_without_lists_there_is_no_split(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "train_val_list.txt").unlink()
    (tmp_path / "test_list.txt").unlink()
    with pytest.warns(DatasetWarning, match="no image is given a split"):
        assert build_manifest("nih_cxr14", tmp_path, workers=1)["split"].isna().all()
