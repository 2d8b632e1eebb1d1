"""VinDr-CXR in both of its forms: every reader's word, boxes in stored pixels, and what each form does not know."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pipelines.datasets import DatasetWarning, build_manifest, get_adapter
from pipelines.datasets.readings import RULES, vote_counts
from pipelines.errors import DatasetError
from pipelines.manifest import check_manifest
from tests.adapter_rules import adapter_keeps_the_rules

LABELS = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis,Other diseases,No finding"
)
KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"


def marks(*given: str) -> str:
    return ",".join("1" if label in given else "0" for label in LABELS.split(","))


def dicom(path: Path, seed: int, rows: int = 40, columns: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    film.Modality, film.PhotometricInterpretation, film.SamplesPerPixel = "DX", "MONOCHROME2", 1
    film.Rows, film.Columns, film.BitsAllocated, film.BitsStored = rows, columns, 16, 12
    film.HighBit, film.PixelRepresentation = 11, 0
    film.PixelData = np.random.default_rng(seed).integers(0, 4095, (rows, columns), dtype=np.uint16).tobytes()
    film.save_as(path, enforce_file_format=True)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """PhysioNet: aa and bb read by three, cc by four, dd and ee agreed upon."""
    notes = tmp_path / "annotations"
    notes.mkdir()
    train = [
        f"aa,R1,{marks('Nodule/Mass', 'Tuberculosis')}",
        f"aa,R2,{marks('Lung tumor')}",
        f"aa,R3,{marks('Aortic enlargement')}",
        f"bb,R1,{marks('Nodule/Mass')}",
        f"bb,R2,{marks('No finding')}",
        f"bb,R3,{marks('No finding')}",
        f"cc,R4,{marks('Nodule/Mass', 'Tuberculosis')}",
        f"cc,R5,{marks('Nodule/Mass', 'Tuberculosis')}",
        f"cc,R6,{marks('Tuberculosis')}",
        f"cc,R7,{marks('No finding')}",
    ]
    (notes / "image_labels_train.csv").write_text("\n".join([f"image_id,rad_id,{LABELS}", *train]))
    (notes / "annotations_train.csv").write_text(
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\naa,R1,Nodule/Mass,1,2,30,40\n"
        "aa,R3,Aortic enlargement,1,2,3,4\naa,R2,Nodule/Mass,2,3,29,39\n"
        "bb,R1,Nodule/Mass,5.5,6,20,30\nbb,R2,No finding,,,,\ncc,R4,Nodule/Mass,1,1,9,9\n"
    )
    test = LABELS.replace("Other diseases", "Other disease")  # as the release spells it
    (notes / "image_labels_test.csv").write_text(
        f"image_id,{test}\ndd,{marks('Nodule/Mass')}\nee,{marks('Tuberculosis')}\n"
    )
    (notes / "annotations_test.csv").write_text(
        "image_id,class_name,x_min,y_min,x_max,y_max\ndd,Nodule/Mass,1,2,30,40\nee,No finding,,,,\n"
    )
    for number, name in enumerate(("train/aa", "train/bb", "train/cc", "test/dd", "test/ee")):
        dicom(tmp_path / f"{name}.dicom", number)
    return tmp_path


def labels(frame: pd.DataFrame, finding: str) -> list[float | None]:
    return [None if pd.isna(value) else value for value in frame[finding]]


@pytest.mark.parametrize(
    ("rule", "nodule", "tb"),
    [
        ("any", [1, 1, 1, 1, 0], [1, 0, 1, 0, 1]),
        ("majority", [1, 0, None, 1, 0], [0, 0, 1, 0, 1]),
        ("all", [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]),
        ("mean", [1, 0, None, 1, 0], [0, 0, 1, 0, 1]),
    ],
)
def test_every_reader_is_kept_whatever_the_rule(
    released: Path, rule: str, nodule: list[float | None], tb: list[float | None]
) -> None:
    frame = build_manifest("vindr_cxr", released, options={"consensus": rule})
    assert labels(frame, "nodule") == nodule
    assert labels(frame, "tb") == tb
    assert {problem.code for problem in check_manifest(frame, root=released)} == {"unknown_patient"}
    assert vote_counts(frame, "nodule").tolist() == [[2, 3], [1, 3], [2, 4], [0, 0], [0, 0]]
    assert vote_counts(frame, "tb").tolist() == [[1, 3], [0, 3], [3, 4], [0, 0], [0, 0]]
    assert {"reader": "R2", "finding": "nodule", "value": 1.0} in frame["readings"][0]  # who called it a tumour
    assert frame["readings"][3] is None  # five agreed: whose word was which is not published
    drawn = [boxes if boxes is None else len(boxes) for boxes in frame["boxes"]]
    boxed = [2, 1, 1, 1, 0]
    assert drawn == [{1: many, 0: 0}.get(label) for many, label in zip(boxed, nodule, strict=True)]


def test_an_empty_mark_is_nothing_said(released: Path) -> None:
    table = released / "annotations" / "image_labels_train.csv"
    rows = table.read_text().splitlines()
    cells = rows[1].split(",")
    cells[2 + LABELS.split(",").index("Tuberculosis")] = ""
    table.write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    frame = build_manifest("vindr_cxr", released, options={"consensus": "any"})
    assert vote_counts(frame, "tb")[0].tolist() == [0, 2]
    assert vote_counts(frame, "nodule")[0].tolist() == [2, 3]
    table.write_text("\n".join([rows[0], rows[1].replace("R1,0", "R1,x"), *rows[2:]]))
    with pytest.raises(DatasetError, match="column 'Aortic enlargement' is 'x', expected 0 or 1"):
        build_manifest("vindr_cxr", released)


def kaggle_tree(root: Path, *, suffix: str = ".dicom", header: str = KAGGLE, sizes: str = "") -> None:
    rows = [
        "aa,Nodule/Mass,8,R9,10,20,20,40",
        "aa,Nodule/Mass,8,R9,1,2,5,6",
        "aa,Cardiomegaly,3,R8,1,2,3,4",
        "aa,Nodule/Mass,8,R10,11,20,20,40",
        "bb,No finding,14,R8,,,,",
        "bb,No finding,14,R9,,,,",
        "bb,Lung Opacity,7,R10,3,3,9,9",
        "cc,Nodule/Mass,8,R1,0,0,30,40",
        "cc,No finding,14,R2,,,,",
        "cc,No finding,14,R3,,,,",
    ]
    (root / "train.csv").write_text("\n".join([header, *(row + sizes for row in rows)]))
    (root / "train").mkdir(parents=True)
    for number, name in enumerate(("aa", "bb", "cc")):
        if suffix == ".dicom":
            dicom(root / "train" / f"{name}.dicom", number)
        else:
            noise = np.random.default_rng(number).integers(0, 255, (20, 20), dtype=np.uint8)
            Image.fromarray(noise).save(root / "train" / f"{name}{suffix}")


@pytest.mark.parametrize("place", ["", "vinbigdata-chest-xray-abnormalities-detection", "vinbigdata"])
def test_kaggle_a_silent_reader_said_no(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    kaggle_tree(tmp_path / place)
    frame = build_manifest("vindr_cxr", tmp_path)
    assert frame["image_id"].tolist() == ["vindr_cxr/aa", "vindr_cxr/bb", "vindr_cxr/cc"]
    assert frame["split"].tolist() == ["train"] * 3
    assert labels(frame, "nodule") == [1, 0, 0]
    assert labels(frame, "tb") == [None] * 3  # not among the 14 classes
    assert vote_counts(frame, "nodule").tolist() == [[2, 3], [0, 3], [1, 3]]
    assert {reading["finding"] for readings in frame["readings"] for reading in readings} == {"nodule"}
    assert [len(boxes) for boxes in frame["boxes"]] == [3, 0, 0]
    assert frame["boxes"][0][0] == {"finding": "nodule", "x0": 10.0, "y0": 20.0, "x1": 20.0, "y1": 40.0}
    assert frame["native_labels"][1] == ["Lung Opacity", "No finding", "No finding"]
    assert {problem.code for problem in check_manifest(frame, root=tmp_path)} == {"unknown_patient"}
    assert labels(build_manifest("vindr_cxr", tmp_path, options={"consensus": "any"}), "nodule") == [1, 0, 1]


@pytest.mark.parametrize("where", ["train.csv", "train_meta.csv"])
def test_kaggle_boxes_are_put_into_the_pixels_of_a_copy(tmp_path: Path, where: str) -> None:
    if where == "train.csv":
        kaggle_tree(tmp_path, suffix=".png", header=f"{KAGGLE},width,height", sizes=",30,40")
    else:
        kaggle_tree(tmp_path, suffix=".png")
        (tmp_path / where).write_text(
            "image_id,dim0,dim1\n" + "".join(f"{name},40,30\n" for name in ("aa", "bb", "cc"))
        )
    frame = build_manifest("vindr_cxr", tmp_path, options={"consensus": "any"})
    assert frame["path"].tolist() == ["train/aa.png", "train/bb.png", "train/cc.png"]
    assert frame[["rows", "columns"]].drop_duplicates().to_numpy().tolist() == [[20, 20]]
    box = frame["boxes"][0][0]  # of 30 columns and 40 rows, squeezed to 20 x 20
    assert [box["x0"], box["y0"], box["x1"], box["y1"]] == pytest.approx([20 / 3, 10, 40 / 3, 20])
    assert {problem.code for problem in check_manifest(frame, root=tmp_path)} == {"unknown_patient"}


def test_kaggle_copies_of_unknown_origin_have_no_boxes(tmp_path: Path) -> None:
    kaggle_tree(tmp_path, suffix=".png")
    with pytest.warns(DatasetWarning, match=r"2 films with boxes .*train\.csv \(width, height\)"):
        frame = build_manifest("vindr_cxr", tmp_path, options={"consensus": "any"})
    assert frame["boxes"].tolist() == [None, [], None]
    assert labels(frame, "nodule") == [1, 0, 1]
    dicom(tmp_path / "train" / "aa.dicom", 1)  # beside its copy, the original counts
    with pytest.warns(DatasetWarning, match="1 films with boxes"):
        frame = build_manifest("vindr_cxr", tmp_path, options={"consensus": "any"})
    assert frame["path"][0] == "train/aa.dicom"
    assert len(frame["boxes"][0]) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{KAGGLE}\naa,nodule,8,R1,1,2,3,4\n", "class_name is 'nodule', expected one of Aortic enlargement, "),
        (f"{KAGGLE}\naa,No finding,14,,,,,\n", "names no reader in rad_id"),
        (f"{KAGGLE}\naa,Nodule/Mass,8,R1,,,,\n", "a box of aa has no four numbers x_min, y_min, x_max, y_max"),
        (f"{KAGGLE}\naa,Nodule/Mass,8,R1,9,2,3,4\n", "corners are inverted"),
        (f"{KAGGLE},width,height\naa,No finding,14,R1,,,,,wide,3\n", "width and height .* are not all numbers"),
        (f"{KAGGLE}\n", "the table has no rows"),
        ("image_id,class_name\naa,No finding\n", "expected column rad_id, x_min"),
    ],
)
def test_kaggle_tables_that_are_not(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(DatasetError, match=said):
        build_manifest("vindr_cxr", tmp_path, allow_missing=True, options={"consensus": "any"})


def test_the_rules_of_every_adapter(released: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    needed = [
        f"annotations/{name}_{split}.csv" for name in ("image_labels", "annotations") for split in ("train", "test")
    ]
    adapter_keeps_the_rules("vindr_cxr", released, needed=needed)
    kaggle = tmp_path_factory.mktemp("kaggle")
    kaggle_tree(kaggle)
    adapter_keeps_the_rules("vindr_cxr", kaggle, needed=["train.csv"])


def test_neither_form_is_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected annotations in .*PhysioNet.*or train\.csv \(Kaggle.*vinbigdata"):
        build_manifest("vindr_cxr", tmp_path)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DatasetError, match=r"expected image_labels_train\.csv"):
        build_manifest("vindr_cxr", tmp_path)


def test_the_card_knows_what_a_whole_copy_holds() -> None:
    card = get_adapter("vindr_cxr")
    assert card.whole is not None
    assert card.whole.films == 18_000
    assert set(card.whole.files) == {
        f"annotations/{name}_{split}.csv" for name in ("image_labels", "annotations") for split in ("train", "test")
    }
    assert card.options["consensus"].choices[0] == "majority"
    assert set(card.options["consensus"].choices) == set(RULES)
    assert not card.films_may_be_shown
    assert card.downloads == ()
    assert any("sign" in step for step in card.steps)


def test_the_real_competition_table(tmp_path: Path, real_data: Path) -> None:
    table = real_data / "labels" / "vinbigdata-train.csv.gz"
    if not table.is_file():
        pytest.skip("the real data's labels hold no vinbigdata-train.csv.gz (the competition's train.csv)")
    (tmp_path / "train.csv").write_bytes(gzip.decompress(table.read_bytes()))
    raw = pd.read_csv(tmp_path / "train.csv")
    readers = raw.groupby("image_id")["rad_id"].nunique()
    nodule = raw[raw["class_name"] == "Nodule/Mass"].groupby("image_id")["rad_id"].nunique()
    frame = build_manifest("vindr_cxr", tmp_path, allow_missing=True)
    votes = dict(zip(frame["image_id"], vote_counts(frame, "nodule").tolist(), strict=True))
    assert votes == {f"vindr_cxr/{image}": [int(nodule.get(image, 0)), int(count)] for image, count in readers.items()}
    assert Counter(x for x, _ in votes.values()) == {0: 14_174, 1: 421, 2: 224, 3: 181}
    assert (frame["nodule"] == 1).sum() == 405
    assert frame["tb"].isna().all()
