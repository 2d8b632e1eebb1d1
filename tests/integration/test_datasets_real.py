"""The published counts, from the real label files and films where a machine has them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import build_manifest
from pipelines.manifest import (
    guard_splits,
    linked_groups,
    read_manifest,
    split_manifest,
    union_manifests,
    write_manifest,
)

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def nih(real_data: Path) -> pd.DataFrame:
    return build_manifest("nih_cxr14", real_data / "nih_cxr14", allow_missing=True, hashes=False, workers=1)


def test_nih_counts_are_the_published_ones(nih: pd.DataFrame) -> None:
    assert len(nih) == 112_120
    assert nih["patient_id"].nunique() == 30_805
    assert nih["split"].value_counts().to_dict() == {"train": 86_524, "test": 25_596}
    labels = nih["native_labels"]
    assert labels.map(lambda given: "Nodule" in given).sum() == 6_331
    assert labels.map(lambda given: "Mass" in given).sum() == 5_782
    assert nih["nodule"].sum() == 11_207
    assert nih["tb"].isna().all()
    assert nih["boxes"].notna().sum() == nih["boxes"].dropna().map(len).sum() == 164  # Nodule 79 + Mass 85
    guard_splits(nih)


def test_nih_splits_for_training_keep_the_official_test_part(nih: pd.DataFrame, tmp_path: Path) -> None:
    split = split_manifest(nih, fractions={"train": 0.9, "val": 0.1}, seed=1, keep=("test",))
    guard_splits(split)
    assert split["split"].eq("test").equals(nih["split"].eq("test"))
    val, train = (split[split["split"] == name] for name in ("val", "train"))
    assert len(val) / (len(val) + len(train)) == pytest.approx(0.1, abs=0.001)
    assert val["nodule"].mean() == pytest.approx(train["nodule"].mean(), abs=0.002)
    write_manifest(split, tmp_path / "nih.parquet")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "nih.parquet"), split)


def test_nih_present_films(real_data: Path) -> None:
    frame = build_manifest("nih_cxr14", real_data / "nih_cxr14", only_present=True, hashes=False, workers=1)
    assert (len(frame), frame["patient_id"].nunique()) == (738, 572)
    assert set(frame["rows"]) == set(frame["columns"]) == {512}
    boxes = [box for given in frame["boxes"].dropna() for box in given]
    assert len(boxes) == 5
    assert max(max(box["x1"], box["y1"]) for box in boxes) <= 512


def test_qatar_counts(real_data: Path) -> None:
    qatar = build_manifest("qatar_tb", real_data / "qatar_tb", hashes=False, workers=1)
    assert qatar["tb"].value_counts().to_dict() == {0.0: 500, 1.0: 494}
    assert qatar["image_id"].is_unique


def test_a_film_that_two_sets_share_is_never_separated(real_data: Path, tmp_path: Path) -> None:
    """NIH 00005567_025 is Qatar's Normal-1129 (correlation 0.9999); Tuberculosis-467, -468, -470 are near twins."""
    chosen = ["Tuberculosis/Tuberculosis-467", "Tuberculosis/Tuberculosis-468", "Tuberculosis/Tuberculosis-470"]
    chosen += [f"Normal/Normal-{n}" for n in (1, 100, 1000, 1129)]
    for name in chosen:
        target = real_data / "qatar_tb" / "TB_Chest_Radiography_Database" / f"{name}.png"
        link = tmp_path / "qatar" / f"{name}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    for name in ("00005567_025", "00002658_001", "00002658_002", "00001697_011"):
        link = tmp_path / "nih" / "unknown" / f"{name}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real_data / "nih_cxr14" / "images" / f"{name}.png")
    qatar = build_manifest("qatar_tb", tmp_path / "qatar", workers=1, hashes=True)
    nih = build_manifest("folder", tmp_path / "nih", workers=1, hashes=True, options={"name": "nih"})
    assert nih["sha256"].duplicated().sum() == 1
    both = union_manifests([nih, qatar], prefixes=["nih", "qatar"])
    shared = set(nih["pixel_hash"]) & set(qatar["pixel_hash"])
    pair = both[both["pixel_hash"].isin(shared)]
    assert pair["image_id"].tolist() == ["nih/unknown/00005567_025.png", "qatar_tb/Normal/Normal-1129"]
    groups = pd.Series(linked_groups(both), index=both["image_id"])
    assert groups.nunique() == len(both) - 1 - 1 - 2
    assert groups[[f"qatar_tb/{name}" for name in chosen[:3]]].nunique() == 1
    assert groups[pair["image_id"]].nunique() == 1


def test_shenzhen_readings(real_data: Path) -> None:
    frame = build_manifest("shenzhen", real_data / "labels", allow_missing=True).set_index("image_id")
    assert frame["tb"].value_counts().to_dict() == {1.0: 336, 0.0: 326}
    assert frame["sex"].value_counts().to_dict() == {"M": 449, "F": 213}
    assert frame["age_years"].notna().all()
    assert frame.at["shenzhen/CHNCXR_0115_0", "age_years"] == pytest.approx(16 / 12)
    trap = frame.loc["shenzhen/CHNCXR_0649_1"]
    assert trap["tb"] == 1  # the name is the label; the table types it NORMAL
    assert trap["native_labels"][0].startswith("NORMAL")
    typed_normal = frame["native_labels"].map(lambda given: given[0].startswith("NORMAL"))
    assert frame.index[typed_normal & (frame["tb"] == 1)].tolist() == ["shenzhen/CHNCXR_0649_1"]
    assert np.isnan(frame["nodule"]).all()
