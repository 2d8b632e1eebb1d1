"""The committed NIH lists against the real label files, and the lists of the tuberculosis sets against real names."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.datasets import get_adapter
from pipelines.datasets.split_lists import apply_list, films_of, fold_list, list_bytes, official_list, read_list
from pipelines.manifest import conform
from pipelines.manifest.leakage import HashWarning

pytestmark = [pytest.mark.realdata, pytest.mark.filterwarnings("ignore:.*have no hashes")]

COMMITTED = Path(__file__).resolve().parents[2] / "data_manifests"


@pytest.fixture(scope="module")
def nih(real_data: Path) -> pd.DataFrame:
    return conform(get_adapter("nih_cxr14").build(real_data / "nih_cxr14"))


def test_the_official_nih_list_is_rebuilt_byte_for_byte(nih: pd.DataFrame) -> None:
    committed = read_list(COMMITTED / "nih_cxr14_official.csv.gz")
    assert list_bytes(official_list(nih)) == list_bytes(committed)
    assert sum(film.part == "train" for film in committed.films) == 86_524
    assert sum(film.part == "test" for film in committed.films) == 25_596


def test_the_nih_folds_are_rebuilt_byte_for_byte(nih: pd.DataFrame) -> None:
    committed = read_list(COMMITTED / "nih_cxr14_folds.csv.gz")
    rebuilt = fold_list(films_of(nih, by="nodule", keep_test=True), folds=10, seed=1)
    assert list_bytes(rebuilt) == list_bytes(committed)


def test_the_nih_folds_keep_patients_together_and_the_official_test_part_apart(nih: pd.DataFrame) -> None:
    committed = read_list(COMMITTED / "nih_cxr14_folds.csv.gz")
    part = nih["image_id"].map({film.image_id: film.part for film in committed.films})
    assert part.eq("test").equals(nih["split"].eq("test"))
    assert nih.groupby("patient_id")["image_id"].size().sum() == 112_120
    assert part.groupby(nih["patient_id"]).nunique().max() == 1
    folds = nih[part != "test"].groupby(part[part != "test"])["nodule"]
    assert folds.size().between(8_650, 8_655).all()
    assert folds.mean().between(0.088, 0.098).all()  # 9.4 % of the official train_val part
    with pytest.warns(HashWarning):
        applied = apply_list(nih, committed, fold=3)
    assert applied.missing == applied.unlisted == ()
    assert applied.frame["split"].value_counts()["test"] == 25_596
    assert applied.frame["split"].eq("val").equals(part.eq("3"))


def test_the_shenzhen_list_names_the_films_of_the_real_readings(real_data: Path) -> None:
    frame = get_adapter("shenzhen").build(real_data / "labels")
    committed = read_list(COMMITTED / "shenzhen_folds.csv.gz")
    assert {film.image_id for film in committed.films} == set(frame["image_id"])
    tb = frame.set_index("image_id")["tb"]
    assert all((film.stratum == "tb") == (tb[film.image_id] == 1) for film in committed.films)
    with pytest.warns(HashWarning):
        applied = apply_list(conform(frame), committed, fold=9)
    assert applied.placed == 662
