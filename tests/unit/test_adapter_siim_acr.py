"""The SIIM-ACR pneumothorax challenge: true names and headers, synthetic pixels."""

import shutil
from pathlib import Path

import pytest

from pipelines.datasets import build_manifest, get_adapter
from pipelines.errors import DatasetError
from pipelines.manifest import check_manifest
from tests.adapter_rules import card_is_whole, dicom, label_table, options_are_resolved

UID = "1.2.276.0.7230010.3.1.4.8323329"
WITH, WITHOUT, EXTRA, UNSEEN = (f"{UID}.{number}.1517875201.850819" for number in (6904, 13666, 77, 88))


def tree(root: Path, labels: str = "train-rle.csv") -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / labels).write_text(f"ImageId, EncodedPixels\n{WITHOUT},-1\n{WITH}, 557374 2 1015 8 1009 14\n{WITH}, 5 2\n")
    train, test = root / "dicom-images-train", root / "dicom-images-test"
    for seed, (film, folder) in enumerate({WITH: train, WITHOUT: train, EXTRA: train, UNSEEN: test}.items()):
        place = folder / f"1.2.276.0.7230010.3.1.2.{seed}" / f"1.2.276.0.7230010.3.1.3.{seed}"
        dicom(place / f"{film}.dcm", seed, PatientSex="M", ViewPosition="AP", PixelSpacing=[0.14, 0.14])


@pytest.mark.parametrize("labels", ["train-rle.csv", "stage_2_train.csv"])
def test_no_finding_is_known_of_any_film(tmp_path: Path, labels: str) -> None:
    tree(tmp_path, labels)
    frame = build_manifest("siim_acr", tmp_path, workers=1)
    assert frame["image_id"].tolist() == [f"siim_acr/{film}" for film in (WITHOUT, WITH, EXTRA, UNSEEN)]
    assert frame["native_labels"].tolist() == [["No pneumothorax"], ["Pneumothorax"], None, None]
    assert frame[["tb", "nodule", "patient_id", "boxes", "reference_standard"]].isna().all().all()
    assert frame["pixel_spacing_mm"].isna().all()
    assert (set(frame["view"]), set(frame["sex"])) == ({"AP"}, {"M"})
    assert {problem.code for problem in check_manifest(frame, root=tmp_path)} == {
        "unknown_patient",
        "no_label",
    }


def test_card() -> None:
    card_is_whole(get_adapter("siim_acr"))
    options_are_resolved(get_adapter("siim_acr"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{WITH},-1\n", f"{UID}.6904.1517875201.850819 has an outline and -1"),
        (f"{EXTRA},\n", "is empty, expected an outline or -1"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, line: str, words: str) -> None:
    tree(tmp_path)
    with (tmp_path / "train-rle.csv").open("a") as file:
        file.write(line)
    with pytest.raises(DatasetError, match=words):
        build_manifest("siim_acr", tmp_path, workers=1)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected train-rle\.csv or stage_2_train\.csv"):
        build_manifest("siim_acr", tmp_path)
    tree(tmp_path)
    shutil.rmtree(tmp_path / "dicom-images-train")
    with pytest.raises(DatasetError, match="2 of 3 films are not in"):
        build_manifest("siim_acr", tmp_path, workers=1)


def test_real_labels(tmp_path: Path) -> None:
    shutil.copy(label_table("siim-pneumothorax-train-rle.csv.gz"), tmp_path / "train-rle.csv.gz")
    frame = build_manifest("siim_acr", tmp_path, allow_missing=True, workers=1)
    assert frame["native_labels"].map(lambda given: given[0]).value_counts().to_dict() == {
        "No pneumothorax": 9_378,
        "Pneumothorax": 2_669,
    }
