"""MIMIC-CXR: the DICOM and the JPEG project as small trees, by themselves and side by side."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import DatasetWarning, build_manifest, get_adapter
from pipelines.datasets.adapters.mimic_cxr import HAND_LABELS, METADATA, RECORDS, SPLIT
from pipelines.datasets.chexpert_labels import OBSERVATIONS
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, dicom, picture

CHEXPERT, NEGBIO = "mimic-cxr-2.0.0-chexpert.csv", "mimic-cxr-2.0.0-negbio.csv"
JPG, DICOM = "physionet.org/files/mimic-cxr-jpg/2.1.0", "physionet.org/files/mimic-cxr/2.1.0"
FILMS = (  # film, patient, study, split, ViewPosition, ViewCodeSequence_CodeMeaning
    ("02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "10000032", "50414267", "train", "PA", "postero-anterior"),
    ("174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "10000032", "50414267", "train", "LATERAL", "lateral"),
    ("2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab", "10000032", "53189527", "train", "", "antero-posterior"),
    ("68b5c4b1-227d0485-9cc38c3f-7b84ab51-4b472714", "10000764", "57375967", "validate", "LL", "lateral"),
    ("fffabebf-74fd3a1f-673b6b41-96ec0ac9-2ab69818", "10000898", "50771383", "test", "AP", "antero-posterior"),
    ("ea030e7a-2e3b1346-bc518786-7a8fd698-f673b44c", "10000898", "54205396", "test", "AP LLD", "antero-posterior"),
)
ORDER = tuple(sorted(OBSERVATIONS))


def labels(
    path: Path, lesion: dict[str, str], *, first: str = "subject_id,study_id", rename: tuple[str, str] = ("", "")
) -> None:
    lines = [f"{first},{','.join(ORDER)}".replace(*rename)]
    for study, value in lesion.items():
        cells = [value if name == "Lung Lesion" else "1.0" if (name, value) == ("Edema", "") else "" for name in ORDER]
        lines.append(",".join(["10000032"] * (first.count(",")) + [study, *cells]))
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def tables(base: Path) -> None:
    base.mkdir(parents=True, exist_ok=True)
    header = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
        "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
    )
    metadata = [
        f"{f},{p},{s},CHEST (PA AND LAT),{v},3056,2544,21800506,213014.531,,{c},Erect" for f, p, s, _, v, c in FILMS
    ]
    (base / f"{METADATA}.gz").write_bytes(gzip.compress("\n".join([header, *metadata]).encode()))
    split = ["dicom_id,study_id,subject_id,split", *(f"{f},{s},{p},{part}" for f, p, s, part, _, _ in reversed(FILMS))]
    (base / f"{SPLIT}.gz").write_bytes(gzip.compress("\n".join(split).encode()))
    labels(base / f"{CHEXPERT}.gz", {"50414267": "1.0", "53189527": "", "57375967": "-1.0", "50771383": "0.0"})
    labels(base / f"{NEGBIO}.gz", {"50414267": "0.0", "53189527": "1.0", "57375967": "1.0", "50771383": ""})


def jpg_tree(root: Path, place: str = "") -> Path:
    tables(root / place)
    for seed, (film, patient, study, *_) in enumerate(FILMS):
        picture(root / place / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}" / f"{film}.jpg", seed=seed)
    return root


def dicom_tree(root: Path, place: str = "") -> Path:
    (root / place).mkdir(parents=True, exist_ok=True)
    lines = ["subject_id,study_id,dicom_id,path"]
    for seed, (film, patient, study, *_) in enumerate(FILMS):
        path = f"files/p{patient[:2]}/p{patient}/s{study}/{film}.dcm"
        dicom(root / place / path, seed, PixelSpacing=[0.139, 0.139], PatientSex="F")
        lines.append(f"{patient},{study},{film},{path}")
    (root / place / f"{RECORDS}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return root


def known(values: object) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values]  # type: ignore[attr-defined]


def test_jpg_project(tmp_path: Path) -> None:
    needed = [f"{JPG}/{name}.gz" for name in (METADATA, SPLIT, CHEXPERT)]
    frame = adapter_keeps_the_rules("mimic_cxr", jpg_tree(tmp_path / "data", JPG), needed=needed)
    folder = f"{JPG}/files/p10/p10000032/s50414267"
    assert frame["path"][0] == f"{folder}/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"
    assert frame["image_id"][0] == "mimic_cxr/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    assert frame["patient_id"].tolist() == [patient for _, patient, *_ in FILMS]
    assert frame["split"].tolist() == ["train", "train", "train", "val", "test", "test"]
    assert frame["view"].tolist() == ["PA", "LATERAL", "AP", "LATERAL", "AP", None]  # blank: by its code; decubitus
    assert known(frame["nodule"]) == [1, 1, None, None, 0, None]
    assert frame["native_labels"].tolist()[:3] == [["Lung Lesion"], ["Lung Lesion"], ["Edema"]]
    assert frame["native_labels"][5] is None  # a study that could not be labelled
    assert set(frame["reference_standard"]) == {"report"}


def test_dicom_project_takes_its_labels_from_the_jpg_project_beside_it(tmp_path: Path) -> None:
    tables(tmp_path / "data" / JPG)
    root = dicom_tree(tmp_path / "data", DICOM)
    frame = adapter_keeps_the_rules("mimic_cxr", root, needed=[f"{JPG}/{METADATA}.gz"])
    assert frame["path"][0].startswith(f"{DICOM}/files/p10/p10000032/s50414267/")
    assert frame["path"].str.endswith(".dcm").all()
    assert frame["pixel_spacing_mm"].tolist() == [0.139] * 6
    assert frame["sex"].tolist() == ["F"] * 6  # what the header keeps
    assert known(frame["nodule"]) == [1, 1, None, None, 0, None]


@pytest.mark.filterwarnings("ignore::pipelines.datasets.DatasetWarning")
def test_either_kind_of_films_by_choice(tmp_path: Path) -> None:
    dicom_tree(jpg_tree(tmp_path))
    suffixes = {
        kind: get_adapter("mimic_cxr").build(tmp_path, {"films": kind})["path"][0][-4:] for kind in ("auto", "jpg")
    }
    assert suffixes == {"auto": ".dcm", "jpg": ".jpg"}
    (tmp_path / f"{RECORDS}.gz").unlink()
    with pytest.raises(DatasetError, match=r"mimic_cxr: expected cxr-record-list.csv \(plain or .gz\)"):
        build_manifest("mimic_cxr", tmp_path, options={"films": "dicom"})


@pytest.mark.filterwarnings("ignore::pipelines.datasets.DatasetWarning")
def test_the_other_labeller(tmp_path: Path) -> None:
    build = get_adapter("mimic_cxr").build
    assert known(build(jpg_tree(tmp_path), {"labeller": "negbio"})["nodule"]) == [0, 0, 1, 1, None, None]


def test_hand_made_labels_go_before_the_labeller_s_in_the_test_set(tmp_path: Path) -> None:
    root = jpg_tree(tmp_path)
    with pytest.warns(DatasetWarning, match=rf"no {HAND_LABELS} .*: the test set has the labels of chexpert too"):
        build_manifest("mimic_cxr", root)
    hand = {"50771383": "1.0", "54205396": "0.0"}
    labels(root / HAND_LABELS, hand, first="study_id", rename=("Lung Opacity", "Airspace Opacity"))
    frame = build_manifest("mimic_cxr", root)
    assert known(frame["nodule"]) == [1, 1, None, None, 1, 0]
    assert set(frame["reference_standard"]) == {"report"}  # the radiologist labelled the reports
    without = get_adapter("mimic_cxr").build(root, {"test_labels": "labeller"})
    assert known(without["nodule"]) == [1, 1, None, None, 0, None]


@pytest.mark.filterwarnings("ignore::pipelines.datasets.DatasetWarning")
def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    jpg_tree(tmp_path)

    def rewrite(name: str, old: str, new: str) -> None:
        text = gzip.decompress((tmp_path / f"{name}.gz").read_bytes()).decode()
        assert old in text
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.replace(old, new, 1).encode()))

    rewrite(SPLIT, "validate", "valid")
    with pytest.raises(DatasetError, match=r"split.csv.gz: column 'split' is 'valid', expected one of train, validate"):
        build_manifest("mimic_cxr", tmp_path)
    tables(tmp_path)
    rewrite(METADATA, "10000032", "../../x/")
    with pytest.raises(
        DatasetError, match=r"metadata.csv.gz: column 'subject_id' is '../../x/', expected eight digits"
    ):
        build_manifest("mimic_cxr", tmp_path)
    tables(tmp_path)
    rewrite(CHEXPERT, "53189527", "50414267")
    with pytest.raises(DatasetError, match=r"chexpert.csv.gz: column 'study_id' names a study twice"):
        build_manifest("mimic_cxr", tmp_path)
    tables(tmp_path)
    rewrite(SPLIT, FILMS[0][0], FILMS[1][0])
    with pytest.raises(DatasetError, match=r"split.csv.gz: column 'dicom_id' names a film twice"):
        build_manifest("mimic_cxr", tmp_path)
    tables(tmp_path)
    labels(tmp_path / f"{CHEXPERT}.gz", {})  # no study is labelled: every film stays, and nothing is known of it
    frame = build_manifest("mimic_cxr", tmp_path)
    assert frame["nodule"].isna().tolist() == frame["native_labels"].isna().tolist() == [True] * 6
    (tmp_path / f"{CHEXPERT}.gz").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"chexpert.csv.gz: cannot be read"):
        build_manifest("mimic_cxr", tmp_path)
