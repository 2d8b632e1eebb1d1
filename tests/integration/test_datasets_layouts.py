"""Each adapter over a small tree in the data set's native layout: true names and headers, synthetic pixels."""

import gzip
import hashlib
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pipelines.datasets import DatasetWarning, build_manifest, measure
from pipelines.errors import DatasetError
from pipelines.manifest import check_manifest, guard_splits, split_manifest
from pipelines.manifest.leakage import HashWarning


def png(path: Path, rows: int = 96, columns: int = 80, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blotches = np.random.default_rng([seed, rows]).integers(0, 255, (12, 10), dtype=np.uint8)
    Image.fromarray(blotches).resize((columns, rows), Image.Resampling.NEAREST).save(path)


def dicom(path: Path, seed: int, **attributes: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    film.Modality, film.PhotometricInterpretation, film.SamplesPerPixel = "DX", "MONOCHROME2", 1
    film.Rows, film.Columns, film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = (
        128,
        100,
        16,
        12,
        11,
        0,
    )
    film.PixelSpacing = [0.2, 0.2]
    for name, value in attributes.items():
        setattr(film, name, value)
    film.PixelData = np.random.default_rng(seed).integers(0, 4095, (128, 100), dtype=np.uint16).tobytes()
    film.save_as(path, enforce_file_format=True)


def clean(frame: pd.DataFrame, root: Path, *, but: set[str] = frozenset()) -> None:
    """The manifest has no problem but these, and its hashes are those of the files."""
    assert {problem.code for problem in check_manifest(frame, root=root, hashes=True)} == set(but)
    for path, digest in zip(frame["path"], frame["sha256"], strict=True):
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == digest


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def nih_tree(root: Path, *, old: bool = False) -> None:
    rows = [
        "00000001_000.png,Cardiomegaly,0,1,057Y,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png,Mass|Effusion,1,1,58,M,AP,2500,2048,0.168,0.168",
        "00000002_000.png,No Finding,0,2,411,F,PA,2500,2500,0.16,0.16",
        "00000003_000.png,Nodule,0,3,81,F,PA,2048,2500,0.168,0.168",
    ]
    header = NIH_HEADER + ("," if old else "")
    text = "\n".join([header, *(row + ("," if old else "") for row in rows)]) + "\n"
    if old:
        (root / "Data_Entry_2017.csv").write_text(text)
    else:
        (root / "Data_Entry_2017_v2020.csv.gz").write_bytes(gzip.compress(text.encode()))
    suffix = "_NIH" if old else ""
    (root / f"train_val_list{suffix}.txt").write_text("00000001_000.png\n00000001_001.png\n00000002_000.png\n")
    (root / f"test_list{suffix}.txt").write_text("00000003_000.png")
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_001.png,Mass,512,256,128,64,,,\n"
        "00000001_001.png,Effusion,1,1,9,9,,,\n00000003_000.png,Nodule,100,200,10.5,20.25,,,\n"
    )
    sides = {
        "00000001_000": (1024, 1024),
        "00000001_001": (512, 512),
        "00000002_000": (256, 256),
        "00000003_000": (1024, 1024),
    }
    for number, (name, (height, width)) in enumerate(sides.items()):
        folder = f"images_{number // 2 + 1:03d}/images" if old else "images"
        png(root / folder / f"{name}.png", height, width, number)


@pytest.mark.parametrize("old", [False, True])
def test_nih(tmp_path: Path, old: bool) -> None:
    nih_tree(tmp_path, old=old)
    frame = build_manifest("nih_cxr14", tmp_path, hashes=True)
    clean(frame, tmp_path, but=set())
    assert frame["image_id"].tolist()[0] == "nih_cxr14/00000001_000"
    assert frame["path"].tolist()[2] == ("images_002/images" if old else "images") + "/00000002_000.png"
    assert frame["nodule"].tolist() == [0, 1, 0, 1]
    assert frame["tb"].isna().all()
    assert frame["split"].tolist() == ["train", "train", "train", "test"]
    assert frame["age_years"].tolist()[:2] == [57, 58]
    assert np.isnan(frame["age_years"][2])  # 411 years
    assert frame["patient_id"].nunique() == 3
    assert frame["native_labels"][1] == ["Mass", "Effusion"]
    assert frame["view"].tolist() == ["PA", "AP", "PA", "PA"]
    # Boxes are x, y, w, h in the 1024 x 1024 release; film 1 is stored at half of it, film 3 as released.
    assert frame["boxes"][1] == [{"finding": "nodule", "x0": 256.0, "y0": 128.0, "x1": 320.0, "y1": 160.0}]
    assert frame["boxes"][3] == [{"finding": "nodule", "x0": 100.0, "y0": 200.0, "x1": 110.5, "y1": 220.25}]
    assert frame["boxes"][0] is None
    # Only the square original keeps square pixels: 2500 x 0.16 mm over 256 stored pixels.
    assert frame["pixel_spacing_mm"][2] == pytest.approx(2500 * 0.16 / 256)
    assert frame["pixel_spacing_mm"].isna().tolist() == [False, True, False, True] or np.isnan(
        frame["pixel_spacing_mm"][1]
    )


def test_nih_missing_present_and_broken_files(tmp_path: Path) -> None:
    nih_tree(tmp_path)
    (tmp_path / "images" / "00000002_000.png").unlink()
    (tmp_path / "images" / "00000003_000.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DatasetError, match=r"1 of 4 films are not in .*images/00000002_000.png"):
        build_manifest("nih_cxr14", tmp_path)
    with pytest.warns(
        DatasetWarning, match=r"1 of 3 files are no usable film and stay as rows \(1 \w+; e.g. images/00000003"
    ):
        frame = build_manifest("nih_cxr14", tmp_path, allow_missing=True, hashes=True)
    assert len(frame) == 4
    assert frame["pixel_hash"].isna().tolist() == [False, False, True, True]
    assert frame["sha256"].isna().tolist() == [False, False, True, False]  # the broken file has bytes, the absent none
    with pytest.warns(DatasetWarning, match="1 of 3"):
        present = build_manifest("nih_cxr14", tmp_path, only_present=True)
    assert present["image_id"].tolist() == [f"nih_cxr14/{n}" for n in ("00000001_000", "00000001_001", "00000003_000")]


def test_nih_headers_only(tmp_path: Path) -> None:
    nih_tree(tmp_path)
    seen: list[tuple[int, int]] = []
    frame = build_manifest("nih_cxr14", tmp_path, progress=lambda done, n: seen.append((done, n)))
    assert frame["sha256"].isna().all()
    assert frame["pixel_hash"].isna().all()
    assert frame["rows"].tolist() == [1024, 512, 256, 1024]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_nih_layout_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected Data_Entry_2017_v2020.csv or Data_Entry_2017.csv"):
        build_manifest("nih_cxr14", tmp_path)
    nih_tree(tmp_path)
    (tmp_path / "test_list.txt").rename(tmp_path / "elsewhere.txt")
    with pytest.raises(DatasetError, match=r"expected test_list.txt or test_list_NIH.txt"):
        build_manifest("nih_cxr14", tmp_path)
    (tmp_path / "train_val_list.txt").unlink()
    with pytest.warns(DatasetWarning, match="no image is given a split"):
        assert build_manifest("nih_cxr14", tmp_path)["split"].isna().all()
    (tmp_path / "Data_Entry_2017_v2020.csv.gz").unlink()
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{NIH_HEADER}\na.png,nodule,0,1,5,M,PA,1,1,1,1\n")
    (tmp_path / "train_val_list.txt").write_text("a.png\n")
    (tmp_path / "test_list.txt").write_text("")
    with pytest.raises(DatasetError, match=r"finding label 'nodule' of a.png is none of"):
        build_manifest("nih_cxr14", tmp_path, allow_missing=True)


VINDR_LABELS = "Aortic enlargement,Nodule/Mass,Lung tumor,Pneumonia,Tuberculosis,Other diseases,No finding"


def vindr_tree(base: Path) -> None:
    notes = base / "annotations"
    notes.mkdir(parents=True)
    rows = [f"image_id,rad_id,{VINDR_LABELS}"]
    votes = {
        "aa": ["0,1,0,0,1,0,0", "0,0,1,0,0,0,0", "1,0,0,0,0,0,0"],
        "bb": ["0,1,0,0,1,0,0", "0,0,0,0,1,0,0", "0,0,0,0,0,0,1"],
    }
    for image, given in votes.items():
        rows += [f"{image},R{i},{vote}" for i, vote in enumerate(given, start=1)]
    (notes / "image_labels_train.csv").write_text("\n".join(rows))
    (notes / "image_labels_test.csv").write_text(f"image_id,{VINDR_LABELS}\ncc,0,1,0,0,0,0,0\ndd,0,0,0,0,1,0,0\n")
    (notes / "annotations_train.csv").write_text(
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\naa,R1,Nodule/Mass,10,20,30,40\n"
        "aa,R3,Aortic enlargement,1,2,3,4\n"
        "bb,R1,Nodule/Mass,5.5,6,20,30\nbb,R3,No finding,,,,\naa,R2,Nodule/Mass,11,21,31,41\n"
    )
    (notes / "annotations_test.csv").write_text(
        "image_id,class_name,x_min,y_min,x_max,y_max\ncc,Nodule/Mass,1,2,30,40\ndd,No finding,,,,\n"
    )
    vindr_header = {"PatientSex": "F", "PatientAge": "061Y", "Manufacturer": "Carestream Health, Inc."}
    for number, name in enumerate(("train/aa", "train/bb", "test/cc", "test/dd")):
        dicom(base / f"{name}.dicom", number, **(vindr_header if number == 0 else {}))


@pytest.mark.parametrize("place", ["", "physionet.org/files/vindr-cxr/1.0.0"])
def test_vindr(tmp_path: Path, place: str) -> None:
    vindr_tree(tmp_path / place)
    frame = build_manifest("vindr_cxr", tmp_path, hashes=True)
    clean(frame, tmp_path, but={"unknown_patient"})
    assert frame["image_id"].tolist() == [f"vindr_cxr/{n}" for n in ("aa", "bb", "cc", "dd")]
    assert frame["split"].tolist() == ["train", "train", "test", "test"]
    assert frame["nodule"].tolist() == [1, 0, 1, 0]  # aa: two of three readers (one says tumor); bb: one of three
    assert frame["tb"].tolist() == [0, 1, 0, 1]
    assert [len(boxes) for boxes in frame["boxes"]] == [2, 0, 1, 0]  # every reader's box of a positive film
    assert frame["boxes"][0][0] == {"finding": "nodule", "x0": 10.0, "y0": 20.0, "x1": 30.0, "y1": 40.0}
    assert frame["native_labels"][1].count("Tuberculosis") == 2
    assert frame["sex"].tolist() == ["F", None, None, None]  # from the header
    assert frame["age_years"].tolist()[0] == 61
    assert frame["manufacturer"].tolist() == ["Carestream", None, None, None]
    assert frame["pixel_spacing_mm"].tolist() == [0.2] * 4
    assert frame[["rows", "columns"]].drop_duplicates().to_numpy().tolist() == [[128, 100]]
    lenient = build_manifest("vindr_cxr", tmp_path, options={"consensus": "any"})
    assert lenient["nodule"].tolist() == [1, 1, 1, 0]
    assert lenient["tb"].tolist() == [1, 1, 0, 1]


def test_vindr_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected annotations in"):
        build_manifest("vindr_cxr", tmp_path)
    vindr_tree(tmp_path)
    table = tmp_path / "annotations" / "image_labels_test.csv"
    table.write_text(table.read_text().replace("Tuberculosis", "TB"))
    with pytest.raises(DatasetError, match=r"image_labels_test.csv: expected column Tuberculosis, found image_id, "):
        build_manifest("vindr_cxr", tmp_path)
    table.write_text(f"image_id,{VINDR_LABELS}\ncc,0,?,0,0,0,0,0\n")
    with pytest.raises(DatasetError, match=r"column 'Nodule/Mass' is '\?', expected 0 or 1"):
        build_manifest("vindr_cxr", tmp_path)


def test_montgomery(tmp_path: Path) -> None:
    base = tmp_path / "MontgomerySet"
    for number, stem in enumerate(("MCUCXR_0001_0", "MCUCXR_0104_1")):
        png(base / "CXR_png" / f"{stem}.png", 120, 100, number)
        png(base / "ManualMask" / "leftMask" / f"{stem}.png", 120, 100, number)
    (base / "ClinicalReadings").mkdir()
    (base / "ClinicalReadings" / "MCUCXR_0001_0.txt").write_text("Patient's Sex: F \nPatient's Age: 027Y\nnormal\n")
    (base / "ClinicalReadings" / "MCUCXR_0104_1.txt").write_text(
        "Patient's Sex: M\nPatient's Age: 040Y\nimproved infiltrates\n"
    )
    frame = build_manifest("montgomery", tmp_path, hashes=True)
    clean(frame, tmp_path, but={"unknown_patient"})
    assert frame["path"].tolist() == [f"MontgomerySet/CXR_png/MCUCXR_{n}.png" for n in ("0001_0", "0104_1")]
    assert frame["tb"].tolist() == [0, 1]
    assert frame["nodule"].isna().all()
    assert frame["sex"].tolist() == ["F", "M"]
    assert frame["age_years"].tolist() == [27, 40]
    assert frame["native_labels"].tolist() == [["normal"], ["improved infiltrates"]]
    assert frame["pixel_spacing_mm"].isna().all()  # not the published matrix


def test_montgomery_spacing_at_the_published_size(tmp_path: Path) -> None:
    path = tmp_path / "CXR_png" / "MCUCXR_0001_0.png"
    path.parent.mkdir()
    Image.new("L", (4892, 4020), 7).save(path)
    with pytest.warns(DatasetWarning, match="no readings"):
        frame = build_manifest("montgomery", tmp_path)
    assert frame["pixel_spacing_mm"].tolist() == [0.0875]
    assert (frame["rows"][0], frame["columns"][0]) == (4020, 4892)


def test_shenzhen_text_files(tmp_path: Path) -> None:
    base = tmp_path / "ChinaSet_AllFiles"
    png(base / "CXR_png" / "CHNCXR_0001_0.png", seed=1)
    png(base / "CXR_png" / "CHNCXR_0327_1.png", seed=2)
    png(base / "CXR_png" / "MCUCXR_0001_0.png", seed=3)  # a copy with both sets in one folder
    (base / "CXR_png" / "Thumbs.db").write_bytes(b"")
    (base / "ClinicalReadings").mkdir()
    (base / "ClinicalReadings" / "CHNCXR_0001_0.txt").write_text("male 45yrs\nnormal")
    (base / "ClinicalReadings" / "CHNCXR_0327_1.txt").write_text("Female, 28yrs\nSTB\n")
    frame = build_manifest("shenzhen", tmp_path, hashes=True)
    clean(frame, tmp_path, but={"unknown_patient"})
    assert frame["tb"].tolist() == [0, 1]
    assert frame["sex"].tolist() == ["M", "F"]
    assert frame["age_years"].tolist() == [45, 28]
    png(base / "CXR_png" / "CHNCXR_abc.png")
    with pytest.raises(DatasetError, match=r"'CHNCXR_abc'.*expected CHNCXR_<number>_<0 or 1>"):
        build_manifest("shenzhen", tmp_path)


def test_qatar(tmp_path: Path) -> None:
    base = tmp_path / "TB_Chest_Radiography_Database"
    for number, name in enumerate(("Tuberculosis/Tuberculosis-10", "Tuberculosis/Tuberculosis-2", "Normal/Normal-1")):
        png(base / f"{name}.png", seed=number)
    (base / "Normal.metadata.xlsx").write_bytes(b"")
    for root in (tmp_path, base):
        frame = build_manifest("qatar_tb", root, hashes=True)
        clean(frame, root, but={"unknown_patient"})
        names = ["Tuberculosis/Tuberculosis-2", "Tuberculosis/Tuberculosis-10", "Normal/Normal-1"]
        assert frame["image_id"].tolist() == [f"qatar_tb/{name}" for name in names]
        assert frame["tb"].tolist() == [1, 1, 0]
        assert frame["nodule"].isna().all()
    (base / "Normal" / "Normal-1.png").unlink()
    with pytest.raises(DatasetError, match=r"expected pictures in .*Normal"):
        build_manifest("qatar_tb", tmp_path)


def test_phantom_files(tmp_path: Path) -> None:
    dicom(tmp_path / "north" / "film00000.dcm", 1)
    dicom(tmp_path / "south" / "film00001.dcm", 2)
    (tmp_path / "labels.csv").write_text(
        "image,patient_id,study_id,site,view,sex,age_years,tb,nodule,pixel_spacing_mm,rows,columns,exposure\n"
        "north/film00000.dcm,PHANTOM-00000,S0,north,PA,F,33,1,0,0.3,128,100,1.0\n"
        "south/film00001.dcm,PHANTOM-00001,S1,south,AP,M,70,0,1,0.2,128,100,0.9\n"
    )
    (tmp_path / "boxes.csv").write_text(
        "image,finding,x0,y0,x1,y1,margin\nnorth/film00000.dcm,tb,1,2,30.5,40,\nsouth/film00001.dcm,nodule,5,6,20,21,soft\n"
    )
    frame = build_manifest("phantom", tmp_path, hashes=True)
    clean(frame, tmp_path)
    assert frame["image_id"].tolist() == ["phantom/north/film00000", "phantom/south/film00001"]
    assert frame["boxes"][0] == [{"finding": "tb", "x0": 1.0, "y0": 2.0, "x1": 30.5, "y1": 40.0}]
    assert frame[["tb", "nodule"]].to_numpy().tolist() == [[1, 0], [0, 1]]
    assert frame["pixel_spacing_mm"].tolist() == [0.3, 0.2]  # what the data set says goes before the header
    assert set(frame["reference_standard"]) == {"synthetic"}
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(DatasetError, match=r"expected boxes.csv"):
        build_manifest("phantom", tmp_path)


def test_class_folders(tmp_path: Path) -> None:
    expected = {
        "train/TB/a.png": (1.0, None, "train"),
        "train/Normal/b.png": (0.0, 0.0, "train"),
        "test/nodule/deep/c.png": (None, 1.0, "test"),
        "not-tb/d.png": (0.0, None, None),
        "tb and nodule/e.png": (1.0, 1.0, None),
        "unknown/f.png": (None, None, None),
    }
    for number, path in enumerate(expected):
        png(tmp_path / path, seed=number)
    frame = build_manifest(
        "folder", tmp_path, options={"name": "mine", "reference_standard": "radiologist"}, hashes=True
    )
    clean(frame, tmp_path, but={"unknown_patient", "no_label"})
    got = {
        row.path: tuple(None if pd.isna(v) else v for v in (row.tb, row.nodule, row.split))
        for row in frame.itertuples()
    }
    assert got == expected
    assert "mine/train/TB/a.png" in set(frame["image_id"])
    assert set(frame["reference_standard"]) == {"radiologist"}
    png(tmp_path / "pneumonia" / "g.png")
    with pytest.raises(DatasetError, match=r"pneumonia/g.png: none of its folders is named tb, tuberculosis, .*normal"):
        build_manifest("folder", tmp_path)
    (tmp_path / "pneumonia" / "g.png").unlink()
    png(tmp_path / "normal" / "tb" / "h.png")
    with pytest.raises(DatasetError, match=r"normal/tb/h.png: its folders disagree"):
        build_manifest("folder", tmp_path)


def test_a_csv_of_your_own(tmp_path: Path) -> None:
    for number in range(3):
        png(tmp_path / f"x{number}.png", seed=number)
    table = tmp_path / "labels.csv"
    table.write_text("path,tb,patient_id,age_years\nx0.png,1,p1,30\nx1.png,0,p2,\nx2.png,,p2,41.5\n")
    frame = build_manifest("folder", tmp_path, hashes=True)
    clean(frame, tmp_path, but={"no_label"})
    assert frame["image_id"].tolist() == ["folder/x0.png", "folder/x1.png", "folder/x2.png"]
    assert [None if np.isnan(v) else v for v in frame["tb"]] == [1, 0, None]
    assert frame["nodule"].isna().all()
    table.write_text("path,tb,label,colour\nx0.png,1,a,b\n")
    with pytest.raises(
        DatasetError, match=r"labels.csv: unknown column label, colour, expected some of image_id, path"
    ):
        build_manifest("folder", tmp_path)
    table.write_text("path,sex\nx0.png,F\n")
    with pytest.raises(DatasetError, match="at least one of tb, nodule"):
        build_manifest("folder", tmp_path)
    table.write_text("path,tb\nx0.png,1\n../x1.png,positive\n,1\n")
    with pytest.raises(DatasetError) as caught:
        build_manifest("folder", tmp_path)
    assert all(code in str(caught.value) for code in ("path_escape", "wrong_type", "missing_value"))
    table.write_text("path,tb\nx0.png,1\nnone.png,0\n")
    with pytest.raises(DatasetError, match="1 of 2 films are not in"):
        build_manifest("folder", tmp_path)


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected labels.csv .*or films in folders named tb, tuberculosis"):
        build_manifest("folder", tmp_path)
    with pytest.raises(DatasetError, match="is not a folder"):
        build_manifest("folder", tmp_path / "none")


def test_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    for number in range(80):
        png(tmp_path / "tb" / f"{number}.png", seed=number)
    alone = build_manifest("folder", tmp_path, workers=1, hashes=True)
    together = build_manifest("folder", tmp_path, workers=2, hashes=True)
    pd.testing.assert_frame_equal(alone, together)
    assert alone["pixel_hash"].nunique() == 80


def test_headers_read_by_processes_are_those_read_by_one(tmp_path: Path) -> None:
    """Enough files for processes to be started; some are no films, one is not even a file."""
    for number in range(8):
        png(tmp_path / "tb" / f"{number}.png", seed=number)
    for number in range(8, 300):
        os.link(tmp_path / "tb" / f"{number % 8}.png", tmp_path / "tb" / f"{number}.png")
    (tmp_path / "tb" / "77.png").unlink()
    (tmp_path / "tb" / "77.png").write_bytes(b"no film")
    with pytest.warns(DatasetWarning, match=r"1 of 300 files are no usable film .*\(1 not_an_image; e.g. tb/77.png\)"):
        together = build_manifest("folder", tmp_path, workers=2)
    with pytest.warns(DatasetWarning, match="1 not_an_image"):
        alone = build_manifest("folder", tmp_path, workers=1)
    pd.testing.assert_frame_equal(alone, together)
    assert together["rows"].notna().sum() == 299
    assert together[["sha256", "pixel_hash"]].isna().all(axis=None)


def test_indexing_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Films of a gigabyte that is not there: what follows the header is a hole in the file."""
    png(tmp_path / "tb" / "film.png")
    dicom(tmp_path / "tb" / "film.dcm", 1)
    for path in (tmp_path / "tb").iterdir():
        os.truncate(path, 1 << 30)
    monkeypatch.setattr(measure, "read_radiograph", lambda *_: pytest.fail("pixels were read"))
    monkeypatch.setattr(measure, "sha256_file", lambda *_: pytest.fail("the whole file was read"))
    before = time.process_time()
    frame = build_manifest("folder", tmp_path)
    assert time.process_time() - before < 5
    assert frame["rows"].notna().all()


def test_a_manifest_without_hashes_says_what_its_splits_cannot_promise(tmp_path: Path) -> None:
    for label in ("tb", "normal"):
        for number in range(4):
            png(tmp_path / label / f"{number}.png", seed=number)
    bare = build_manifest("folder", tmp_path)
    halves = {"train": 0.5, "test": 0.5}
    with pytest.warns(HashWarning, match=r"^8 of 8 films have no hashes, so a picture that is there twice cannot"):
        split = split_manifest(bare, fractions=halves, seed=1)
    with pytest.warns(HashWarning, match="8 of 8"):
        guard_splits(split)
    hashed = build_manifest("folder", tmp_path, hashes=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HashWarning)
        guard_splits(split_manifest(hashed, fractions=halves, seed=1))
