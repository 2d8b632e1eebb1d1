"""Montgomery and Shenzhen in every layout they are unpacked in: the publisher's, its page's, and those of copies."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.datasets import DatasetWarning, get_adapter
from pipelines.errors import DatasetError

STEMS = {"montgomery": ("MCUCXR_0001_0", "MCUCXR_0104_1"), "shenzhen": ("CHNCXR_0001_0", "CHNCXR_0327_1")}
READINGS = {
    "montgomery": (
        "Patient's Sex: F \nPatient's Age: 027Y\nnormal\n",
        "Patient's Sex: M\nPatient's Age: 040Y\nscars\n",
    ),
    "shenzhen": ("Female 27yrs\nnormal", "male, 40yrs\nPTB in the upper field\n"),
}
LAYOUTS = [
    ("montgomery", "CXR_png"),
    ("montgomery", "MontgomerySet/CXR_png"),
    ("montgomery", "NLM-MontgomeryCXRSet/MontgomerySet/CXR_png"),
    ("montgomery", "NLM-MontgomeryCXRSet/CXR_png"),
    ("montgomery", "Montgomery/MontgomerySet/CXR_png"),
    ("shenzhen", "CXR_png"),
    ("shenzhen", "ChinaSet_AllFiles/CXR_png"),
    ("shenzhen", "ChinaSet_AllFiles/ChinaSet_AllFiles/CXR_png"),
    ("shenzhen", "Shenzhen-Hospital-CXR-Set/CXR_png"),
]


def film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def facts(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(frame[["image_id", "tb", "sex", "age_years"]].itertuples(index=False, name=None))


def expected(name: str) -> list[tuple[object, ...]]:
    first, second = (f"{name}/{stem}" for stem in STEMS[name])
    return [(first, 0.0, "F", 27.0), (second, 1.0, "M", 40.0)]


@pytest.mark.parametrize(("name", "folder"), LAYOUTS)
def test_the_publishers_layouts(tmp_path: Path, name: str, folder: str) -> None:
    readings = (tmp_path / folder).parent / "ClinicalReadings"
    readings.mkdir(parents=True)
    for stem, text in zip(STEMS[name], READINGS[name], strict=True):
        film(tmp_path / folder / f"{stem}.png")
        film(tmp_path / folder / f"{stem}_mask.png")  # where a copy keeps masks beside the films
        film((tmp_path / folder).parent / "ManualMask" / "leftMask" / f"{stem}.png")
        (readings / f"{stem}.txt").write_text(text)
    frame = get_adapter(name).build(tmp_path)
    assert facts(frame) == expected(name)
    assert frame["path"].tolist() == [f"{folder}/{stem}.png" for stem in STEMS[name]]
    assert "nodule" not in frame or frame["nodule"].isna().all()


@pytest.mark.parametrize("name", ["montgomery", "shenzhen"])
@pytest.mark.parametrize("folder", ["images", "images/images"])
def test_a_repacked_copy(tmp_path: Path, name: str, folder: str) -> None:
    for stem in STEMS[name]:
        film(tmp_path / folder / f"{stem}.png")
    table = tmp_path / f"{name}_metadata.csv"
    first, second = STEMS[name]
    table.write_text(f"study_id,sex,age,findings\n{first}.png,Female,27,normal\n{second}.png,Male,40,PTB\n")
    frame = get_adapter(name).build(tmp_path)
    assert facts(frame) == expected(name)
    assert frame["native_labels"].tolist() == [["normal"], ["PTB"]]
    assert frame["path"].tolist() == [f"{folder}/{stem}.png" for stem in STEMS[name]]
    table.write_text(table.read_text().replace(",27,", ",15-24 years,"))
    assert get_adapter(name).build(tmp_path)["age_years"].isna().tolist() == [True, False]  # a range is no age
    table.write_text("study,sex,age,findings\n")
    with pytest.raises(DatasetError, match=rf"{name}_metadata.csv: expected column study_id"):
        get_adapter(name).build(tmp_path)


def test_films_without_readings_and_folders_without_films(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"montgomery: expected CXR_png in .*NLM-MontgomeryCXRSet/MontgomerySet"):
        get_adapter("montgomery").build(tmp_path)
    (tmp_path / "images").mkdir()  # some other data set's: without the table it is not ours
    with pytest.raises(DatasetError, match="shenzhen: expected CXR_png in"):
        get_adapter("shenzhen").build(tmp_path)
    (tmp_path / "CXR_png").mkdir()
    with pytest.raises(DatasetError, match=r"expected films CHNCXR_\*.png in"), pytest.warns(DatasetWarning):
        get_adapter("shenzhen").build(tmp_path)
    film(tmp_path / "CXR_png" / "CHNCXR_0001_0.png")
    with pytest.warns(DatasetWarning, match="no readings beside"):
        frame = get_adapter("shenzhen").build(tmp_path)
    assert frame["sex"].tolist() == [None]
    with pytest.raises(DatasetError, match="is not a folder"):
        get_adapter("shenzhen").build(tmp_path / "none")


def test_the_cards_count_what_was_published() -> None:
    for name, films in (("montgomery", 138), ("shenzhen", 662)):
        card = get_adapter(name)
        assert card.whole is not None
        assert card.whole.films == films
        assert not card.films_may_be_shown
        assert {"tbx11k", "qatar_tb"} <= set(card.overlaps)
        assert all(
            download.unpack and download.url.startswith("https://openi.nlm.nih.gov/") for download in card.downloads
        )
