"""CheXpert: each of its layouts as small trees, and the full label table where a machine has it."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import DatasetWarning, build_manifest, get_adapter
from pipelines.datasets.adapters.chexpert import FIRST_BATCH, TRAIN_BATCHES
from pipelines.datasets.chexpert_labels import OBSERVATIONS
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, label_table, picture

HEADER = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS])


def row(path: str, details: str, **said: str) -> str:
    named = {name.replace(" ", "_"): "" for name in OBSERVATIONS} | said
    return ",".join([path, details, *named.values()])


def tables(folder: str) -> tuple[str, str]:
    train = [
        HEADER,
        row(f"{folder}/train/patient00001/study1/view1_frontal.jpg", "Female,68,Frontal,AP", No_Finding="1.0"),
        row(
            f"{folder}/train/patient00002/study2/view1_frontal.jpg",
            "Male,0,Frontal,PA",
            Lung_Lesion="1.0",
            Edema="-1.0",
        ),
        row(f"{folder}/train/patient00002/study2/view2_lateral.jpg", "Male,87,Lateral,", Lung_Lesion="1.0"),
        row(f"{folder}/train/patient00003/study1/view1_frontal.jpg", "Unknown,90,Frontal,LL", Lung_Lesion="-1.0"),
        row(f"{folder}/train/patient00004/study1/view1_frontal.jpg", "Female,33,Frontal,AP", Lung_Lesion="0.0"),
        row(f"{folder}/train/patient00005/study1/view1_frontal.jpg", "Female,41,Frontal,AP", Edema="1.0"),
        row(f"{folder}/train/patient00006/study1/view1_frontal.jpg", "Male,50,Frontal,AP"),
    ]
    answers = dict.fromkeys((name.replace(" ", "_") for name in OBSERVATIONS), "0.0") | {"Lung_Lesion": "1.0"}
    valid = [HEADER, row(f"{folder}/valid/patient64541/study1/view1_frontal.jpg", "Male,73,Frontal,PA", **answers)]
    return "\n".join(train), "\n".join(valid)


def films(base: Path, text: str, part: str, *, folders: tuple[str, ...] = ()) -> None:
    """A film for each line, in the folder of its part or in these folders by turns of patients."""
    for number, line in enumerate(text.splitlines()[1:]):
        film = line.split(",")[0].split(f"/{part}/")[1]
        patient = int(film[len("patient") :].partition("/")[0])
        folder = folders[patient % len(folders)] if folders else part
        picture(base / folder / film, seed=number + {"train": 0, "valid": 100}[part])


def small_tree(root: Path, folder: str = "CheXpert-v1.0-small") -> Path:
    base = root / folder
    base.mkdir(parents=True)
    for name, text in zip(("train", "valid"), tables(folder), strict=True):
        (base / f"{name}.csv").write_text(text)
        films(base, text, name)
    return base


def test_small_version(tmp_path: Path) -> None:
    small_tree(tmp_path / "data")
    frame = adapter_keeps_the_rules("chexpert", tmp_path / "data", needed=("CheXpert-v1.0-small/train.csv",))
    assert frame["image_id"].tolist()[2] == "chexpert/train/patient00002/study2/view2_lateral"
    assert frame["path"].tolist()[0] == "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    assert frame["patient_id"].nunique() == 7
    assert frame["study_id"].tolist()[1:3] == ["patient00002/study2"] * 2
    assert frame["split"].tolist() == ["train"] * 7 + ["val"]
    assert frame["view"].tolist() == ["AP", "PA", "LATERAL", None, "AP", "AP", "AP", "PA"]
    assert frame["sex"].tolist() == ["F", "M", "M", None, "F", "F", "M", "M"]
    assert np.isnan(frame["age_years"][1])  # 0 stands for no age
    assert frame["age_years"].tolist()[2:4] == [87, 90]
    assert frame["tb"].isna().all()
    nodule = [None if np.isnan(value) else value for value in frame["nodule"]]
    assert nodule == [0, 1, 1, None, 0, None, None, 1]  # No Finding, 1, 1, -1, 0, not mentioned, no labels at all, read
    assert frame["reference_standard"].tolist() == ["report"] * 7 + ["radiologist"]
    assert frame["native_labels"][1] == ["Lung Lesion", "uncertain Edema"]
    assert frame["native_labels"][6] is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"uncertain": "positive"}, [0, 1, 1, 1, 0, None, None, 1]),
        ({"uncertain": "negative"}, [0, 1, 1, 0, 0, None, None, 1]),
        ({"not_mentioned": "negative"}, [0, 1, 1, None, 0, 0, None, 1]),  # a report without any label stays unknown
    ],
)
def test_uncertain_and_unmentioned_by_choice(
    tmp_path: Path, options: dict[str, str], expected: list[float | None]
) -> None:
    small_tree(tmp_path)
    nodule = get_adapter("chexpert").build(tmp_path, options)["nodule"]
    assert [None if np.isnan(value) else value for value in nodule] == expected


def test_batches_of_the_full_size_stay_where_they_were_unpacked(tmp_path: Path) -> None:
    base = tmp_path / "chexpertchestxrays-u20210408"
    first = base / FIRST_BATCH
    first.mkdir(parents=True)
    for name, text in zip(("train", "valid"), tables("CheXpert-v1.0"), strict=True):
        (first / f"{name}.csv").write_text(text)
        films(base, text, name, folders=TRAIN_BATCHES if name == "train" else (f"{FIRST_BATCH}/valid",))
    for root, prefix in ((tmp_path, f"{base.name}/"), (base, "")):
        frame = build_manifest("chexpert", root)
        assert frame["path"][0] == f"{prefix}CheXpert-v1.0 batch 3 (train 2)/patient00001/study1/view1_frontal.jpg"
        assert frame["path"][7] == f"{prefix}{FIRST_BATCH}/valid/patient64541/study1/view1_frontal.jpg"
        assert frame["rows"].notna().all()
    of_the_first = build_manifest("chexpert", first, only_present=True)  # the other batches are not below this root
    assert of_the_first["path"].tolist() == ["valid/patient64541/study1/view1_frontal.jpg"]


def test_test_part_by_film_and_by_study(tmp_path: Path) -> None:
    base = small_tree(tmp_path)
    names = ("patient64741/study1/view1_frontal.jpg", "patient64741/study1/view2_lateral.jpg")
    for number, name in enumerate((*names, "patient64742/study1/view1_frontal.jpg")):
        picture(base / "test" / name, seed=900 + number)
    header = ",".join(OBSERVATIONS)
    lesion = ",".join("1" if name == "Lung Lesion" else "0" for name in OBSERVATIONS)
    clear = ",".join(["0"] * len(OBSERVATIONS))
    lines = [f"test/{name},{lesion}" for name in names] + [f"test/patient64742/study1/view1_frontal.jpg,{clear}"]
    (base / "test_labels.csv").write_text("\n".join([f"Path,{header}", *lines]))
    by_film = build_manifest("chexpert", tmp_path)
    test = by_film[by_film["split"] == "test"]
    assert test["nodule"].tolist() == [1, 1, 0]
    assert test["view"].tolist() == [None, "LATERAL", None]
    assert set(test["reference_standard"]) == {"radiologist"}
    (base / "test_labels.csv").unlink()
    studies = [f"CheXpert-v1.0/test/patient64742/study1,{clear}", f"CheXpert-v1.0/test/patient64741/study1,{lesion}"]
    (base / "groundtruth.csv").write_text("\n".join([f"Study,{header}", *studies]))
    pd.testing.assert_frame_equal(build_manifest("chexpert", tmp_path), by_film)


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"chexpert: expected train.csv in .* CheXpert-v1.0-small"):
        build_manifest("chexpert", tmp_path)
    base = small_tree(tmp_path)
    train = base / "train.csv"
    right = train.read_text()
    train.write_text(right.replace("Lung Lesion", "Lung Leison"))
    with pytest.raises(DatasetError, match=r"train.csv: expected column Lung Lesion, found Path, Sex"):
        build_manifest("chexpert", tmp_path)
    train.write_text(right.replace("-1.0", "-2.0", 1))
    with pytest.raises(DatasetError, match=r"train.csv: column 'Edema' is '-2.0', expected 1, 0, -1 or blank"):
        build_manifest("chexpert", tmp_path)
    train.write_text(right.replace("train/patient00001", "elsewhere/patient00001"))
    with pytest.raises(DatasetError, match=r"column 'Path' is .* expected …/train/patient<number>/study<number>"):
        build_manifest("chexpert", tmp_path)
    train.write_text("")
    with pytest.raises(DatasetError, match=r"train.csv: expected a comma-separated table"):
        build_manifest("chexpert", tmp_path)
    train.write_text(HEADER)  # the validation part alone
    assert build_manifest("chexpert", tmp_path)["split"].tolist() == ["val"]
    train.unlink()
    (base / "train.csv.gz").write_bytes(gzip.compress(right.encode())[:-9])
    with pytest.raises(DatasetError, match=r"train.csv.gz: cannot be read \(EOFError\)"):
        build_manifest("chexpert", tmp_path)


def test_without_the_validation_table_the_training_part_is_made(tmp_path: Path) -> None:
    (small_tree(tmp_path) / "valid.csv").unlink()
    with pytest.warns(DatasetWarning, match=r"no valid.csv beside train.csv: the validation part is left out"):
        assert set(build_manifest("chexpert", tmp_path)["split"]) == {"train"}


@pytest.mark.realdata
def test_the_full_label_table(tmp_path: Path) -> None:
    """Counts of the published table, by a plain reading of it beside the adapter's."""
    source = label_table("chexpert_train.csv.gz")
    (tmp_path / "train.csv.gz").symlink_to(source)
    with pytest.warns(DatasetWarning, match="no valid.csv"):
        frame = get_adapter("chexpert").build(tmp_path)
    assert (len(frame), frame["patient_id"].nunique()) == (223_414, 64_540)
    assert frame["view"].value_counts().to_dict() == {"AP": 161_590, "LATERAL": 32_387, "PA": 29_420}
    raw = pd.read_csv(source, usecols=["Lung Lesion", "No Finding"])
    assert frame["nodule"].sum() == (raw["Lung Lesion"] == 1).sum() == 9_186
    clear = (raw["Lung Lesion"] == 0) | (raw["Lung Lesion"].isna() & (raw["No Finding"] == 1))
    assert (frame["nodule"] == 0).equals(clear)
    assert clear.sum() == 23_274
    assert (frame["age_years"].min(), frame["age_years"].max()) == (18, 90)
