"""The RSNA pneumonia challenge as Kaggle serves it: true names and headers, synthetic pixels."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import DatasetWarning, build_manifest
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, dicom

LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
NORMAL, OTHER, OPACITY, UNREAD = "0004cfab-aa", "00436515-bb", "00569f44-cc", "0000a175-dd"


def tree(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / LABELS).write_text(
        f"patientId,x,y,width,height,Target\n{NORMAL},,,,,0\n{OTHER},,,,,0\n{OPACITY},264.0,152.0,213.0,379.0,1\n"
        f"{OPACITY},562.0,152.0,256.0,453.0,1\n"
    )
    (root / CLASSES).write_text(
        f"patientId,class\n{NORMAL},Normal\n{OTHER},No Lung Opacity / Not Normal\n{OPACITY},Lung Opacity\n"
        f"{OPACITY},Lung Opacity\n"
    )
    films = {NORMAL: "00000013_026.png", OTHER: "00000013_008.png", OPACITY: "00030650_000.png"}
    records = [{"subset_img_id": film, "img_id": native, "orig_labels": []} for film, native in films.items()]
    (root / MAPPING).write_text(json.dumps([*records, {"subset_img_id": UNREAD, "img_id": "00000013_000.png"}]))
    header = {"PatientSex": "F", "ViewPosition": "PA", "PixelSpacing": [0.168, 0.168]}
    for seed, film in enumerate((NORMAL, OTHER, OPACITY)):
        dicom(root / "stage_2_train_images" / f"{film}.dcm", seed, **header)
    dicom(root / "stage_2_test_images" / f"{UNREAD}.dcm", 9, **header)


def test_only_normal_films_are_known(tmp_path: Path) -> None:
    root = tmp_path / "rsna"
    tree(root)
    frame = adapter_keeps_the_rules("rsna_pneumonia", root, needed=[LABELS])
    assert frame["image_id"].tolist() == [f"rsna_pneumonia/{film}" for film in (NORMAL, OTHER, OPACITY, UNREAD)]
    for finding in ("tb", "nodule"):
        assert frame[finding].tolist()[0] == 0
        assert frame[finding].isna().tolist() == [False, True, True, True]
    assert frame["boxes"].tolist() == [[], None, None, None]  # the boxes there are of opacity
    assert frame["patient_id"].tolist() == ["nih_cxr14/13", "nih_cxr14/13", "nih_cxr14/30650", "nih_cxr14/13"]
    assert frame["reference_standard"].tolist() == ["radiologist"] * 3 + [None]
    assert (frame["view"].tolist(), frame["sex"].tolist()) == (["PA"] * 4, ["F"] * 4)
    # 0.168 mm is that of the film before it was reduced to 1024 x 1024.
    assert frame["pixel_spacing_mm"].isna().all()
    assert frame["split"].isna().all()


def test_the_table_of_headers_serves_without_films(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "stage_2_train_images_dicom_headers.csv").write_text(
        f",Filename,PatientAge,PatientSex,ViewPosition\n0,{NORMAL}.dcm,51,M,AP\n1,{OTHER}.dcm,155,F,PA\n"
    )
    shutil.rmtree(tmp_path / "stage_2_train_images")
    frame = build_manifest("rsna_pneumonia", tmp_path, allow_missing=True, workers=1)
    assert frame["age_years"].fillna(-1).tolist() == [51, -1, -1, -1]
    assert frame["sex"].tolist() == ["M", "F", None, "F"]
    assert frame["view"].tolist() == ["AP", "PA", None, "PA"]


def test_without_classes_or_mapping_less_is_known(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / CLASSES).unlink()
    (tmp_path / MAPPING).unlink()
    with pytest.warns(DatasetWarning) as caught:
        frame = build_manifest("rsna_pneumonia", tmp_path, workers=1)
    said = " ".join(str(warning.message) for warning in caught)
    assert CLASSES in said
    assert MAPPING in said
    assert frame[["tb", "nodule", "patient_id", "reference_standard"]].isna().all().all()


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (CLASSES, "Normal\n", "normal\n", "class of 0004cfab-aa is 'normal', expected one of Normal; No Lung"),
        (CLASSES, f"{OPACITY},Lung Opacity\n{OPACITY}", f"{OPACITY},Normal\n{OPACITY}", "its Target in .* otherwise"),
        (CLASSES, f"{NORMAL},Normal", f"{NORMAL},Lung Opacity", "its Target in .* says otherwise"),
        (LABELS, ",1\n", ",yes\n", "Target of 00569f44-cc is 'yes', expected 0 or 1"),
        (LABELS, "Target", "target", "expected column Target, found"),
        (MAPPING, "subset_img_id", "id", "expected a list of records with subset_img_id"),
        (MAPPING, "[{", "{", "expected a list of records"),
        (MAPPING, "00030650_000.png", "film.png", "expected a list of records"),
    ],
)
def test_what_is_not_as_published_is_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    tree(tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(DatasetError, match=words):
        build_manifest("rsna_pneumonia", tmp_path, workers=1)


@pytest.mark.realdata
def test_real_labels_and_headers(real_data: Path, tmp_path: Path) -> None:
    """Counts of the challenge, and of the header table by pandas alone."""
    zipfile.ZipFile(real_data / "labels" / "rsna_stage_2_train_labels.csv.zip").extractall(tmp_path)
    headers = real_data / "labels" / "rsna_stage_2_train_images_dicom_headers.csv.gz"
    shutil.copy(headers, tmp_path / "stage_2_train_images_dicom_headers.csv.gz")
    with pytest.warns(DatasetWarning):
        frame = build_manifest("rsna_pneumonia", tmp_path, allow_missing=True, workers=1)
    table = pd.read_csv(headers)
    assert len(frame) == 26_684
    assert frame["view"].value_counts().to_dict() == table["ViewPosition"].value_counts().to_dict()
    assert frame["sex"].value_counts().to_dict() == table["PatientSex"].value_counts().to_dict()
    ages = table.set_index("Filename")["PatientAge"].astype(float)
    expected = frame["image_id"].str.removeprefix("rsna_pneumonia/").add(".dcm").map(ages.mask(ages > 120))
    np.testing.assert_array_equal(frame["age_years"], expected)
    assert frame["age_years"].isna().sum() == 5
