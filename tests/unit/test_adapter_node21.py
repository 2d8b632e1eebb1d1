"""NODE21 as unpacked: the publisher's folder names (one misspelt) and headers, synthetic pixels."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import DatasetWarning, build_manifest
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules

HEADER = "height,img_name,label,width,x,y\n"
ROWS = (
    "40,n0001.mha,1,30,100,50\n20.5,n0001.mha,1,10,5,6\n60,n0002.mha,1,60,64,64\n,c0001.mha,0,,,\n0,c0002.mha,0,0,0,0\n"
)


def mha(path: Path, seed: int, *, rows: int = 256, columns: int = 200) -> None:
    """A MetaImage as OpenCXR writes it: spacing of the standardised film, 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 4095, (rows, columns), dtype="<u2")
    header = (
        f"ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"ElementSpacing = 0.3 0.3\nDimSize = {columns} {rows}\nElementType = MET_USHORT\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(header.encode() + pixels.tobytes())


def tree(base: Path) -> None:
    for folder in ("proccessed_data", "original_data"):
        for seed, name in enumerate(("n0001", "n0002", "c0001", "c0002")):
            mha(base / folder / "images" / f"{name}.mha", seed + 10 * (folder == "original_data"))
        (base / folder / "metadata.csv").write_text(HEADER + ROWS)
    (base / "original_data" / "filenames_orig_and_new.csv").write_text(
        "orig_dataset,orig_filename,node21_img_id\njsrt,JPCLN012.IMG,n0001\nchestxray14,00000211_028.png,n0002\n"
    )
    (base / "original_data" / "non_nodule_filenames_orig_and_new.csv").write_text(
        "orig_dataset,orig_filename,node21_img_id\nopeni,CXR1000_IM-0003-2001.png,c0001\npadchest,2168_00-023.png,c0002\n"
    )


@pytest.mark.parametrize("place", ["", "node21/cxr_images"])
def test_unpacked_in_more_than_one_place(tmp_path: Path, place: str) -> None:
    tree(tmp_path / place)
    frame = build_manifest("node21", tmp_path, workers=1)
    assert frame["path"][0] == "/".join(filter(None, (place, "proccessed_data/images/n0001.mha")))


def test_boxes_and_sources(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree(root / "cxr_images")
    frame = adapter_keeps_the_rules("node21", root, needed=["cxr_images/proccessed_data/metadata.csv"])
    assert frame["image_id"].tolist() == [f"node21/{name}" for name in ("n0001", "n0002", "c0001", "c0002")]
    assert frame["nodule"].tolist() == [1, 1, 0, 0]
    assert frame["tb"].isna().all()
    box = {"finding": "nodule"}
    assert frame["boxes"].tolist() == [
        [
            box | {"x0": 100.0, "y0": 50.0, "x1": 130.0, "y1": 90.0},
            box | {"x0": 5.0, "y0": 6.0, "x1": 15.0, "y1": 26.5},
        ],
        [box | {"x0": 64.0, "y0": 64.0, "x1": 124.0, "y1": 124.0}],
        [],
        [],
    ]
    assert frame["patient_id"].tolist() == ["jsrt/JPCLN012", "nih_cxr14/211", "openi/1000", None]
    assert frame["reference_standard"].tolist() == ["ct", "radiologist", "radiologist", "radiologist"]
    assert frame["pixel_spacing_mm"].tolist() == [0.3] * 4
    assert frame["path"].str.contains("proccessed_data/images/").all()
    other = build_manifest("node21", root, options={"images": "original"}, workers=1)
    assert other["path"].str.contains("original_data/images/").all()
    assert other["boxes"].tolist() == frame["boxes"].tolist()


def test_a_part_unpacked_alone_knows_no_sources(tmp_path: Path) -> None:
    tree(tmp_path / "all")
    (tmp_path / "all" / "proccessed_data").rename(tmp_path / "part")
    with pytest.warns(DatasetWarning, match=r"no filenames_orig_and_new\.csv .* which set a film is from is not known"):
        frame = build_manifest("node21", tmp_path / "part", workers=1)
    assert frame["patient_id"].isna().all()
    assert frame["nodule"].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("label", "Label", "expected column label"),
        ("n0002.mha,1", "n0002.mha,nodule", "label of n0002 is 'nodule', expected 0 or 1"),
        ("60,64,64", "60,,64", "a box of n0002.mha has no four numbers"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    tree(tmp_path)
    path = tmp_path / "proccessed_data" / "metadata.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=words):
        build_manifest("node21", tmp_path, workers=1)
