"""TB Portals: tables with the published names and columns, films four folders deep."""

from pathlib import Path

import pytest

from pipelines.datasets import DatasetWarning, build_manifest, get_adapter
from pipelines.errors import DatasetError

HEADER = "patient_id,condition_id,imagingstudy_id,series_instance_content_url,country"
FILMS = (
    "p-1,c-1,i-1,p-1/1.2.3/1.2.3.4/1.2.3.4.5.dcm,Moldova",
    "p-1,c-1,i-2,p-1/1.2.6/1.2.6.7/1.2.6.7.8.dcm,Moldova",
    "p-2,c-2,i-3,p-2/1.3.1/1.3.1.1/1.3.1.1.1.dcm,",
)


def tree(root: Path, films: tuple[str, ...] = FILMS, header: str = HEADER) -> Path:
    table = root / "TB_Portals_CXRs_August_2023.csv"
    table.write_text("\n".join([header, *films]) + "\n")
    return table


def test_films_are_found_wherever_they_were_unpacked(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "TB_Portals_Patient_Cases_August_2023.csv").write_text(
        "condition_id,patient_id,country,gender,age_of_onset\nc-1,p-1,Moldova,Female,41\nc-2,p-2,Georgia,Male,30\n"
    )
    film = tmp_path / "part1" / "GlobalBucket" / "p-1" / "1.2.3" / "1.2.3.4" / "1.2.3.4.5.dcm"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"")
    frame = get_adapter("tb_portals").build(tmp_path)
    assert frame["image_id"].tolist() == [f"tb_portals/{uid}" for uid in ("1.2.3.4.5", "1.2.6.7.8", "1.3.1.1.1")]
    assert frame["path"].tolist() == [
        "part1/GlobalBucket/p-1/1.2.3/1.2.3.4/1.2.3.4.5.dcm",
        "p-1/1.2.6/1.2.6.7/1.2.6.7.8.dcm",
        "p-2/1.3.1/1.3.1.1/1.3.1.1.1.dcm",
    ]
    assert frame["patient_id"].tolist() == ["p-1", "p-1", "p-2"]
    assert frame["study_id"].tolist() == ["i-1", "i-2", "i-3"]
    assert frame["site"].tolist() == ["Moldova", "Moldova", "Georgia"]
    assert frame["sex"].tolist() == ["F", "F", "M"]
    assert frame["tb"].tolist() == [1, 1, 1]
    film.unlink()
    whole = build_manifest("tb_portals", tmp_path, allow_missing=True, workers=1)
    assert whole["nodule"].isna().all()
    assert whole["age_years"].isna().all()  # the age at the onset is not the age at the film
    assert whole["reference_standard"].isna().all()


def test_the_patient_is_known_without_its_column_and_headers_may_be_in_capitals(tmp_path: Path) -> None:
    header = "condition_id,imagingstudy_ID,series_instance_content_url"
    tree(tmp_path, ("c-1,i-1,p-9/1.2.3/1.2.3.4/1.2.3.4.5.dcm",), header)
    with pytest.warns(DatasetWarning, match=r"no TB_Portals_Patient_Cases_<month>_<year>.csv in .*: sex stays null"):
        frame = get_adapter("tb_portals").build(tmp_path)
    assert frame["patient_id"].tolist() == ["p-9"]
    assert frame["site"].tolist() == [None]


def test_a_film_listed_twice_is_one_row(tmp_path: Path) -> None:
    tree(tmp_path, (*FILMS, FILMS[0]))
    with pytest.warns(DatasetWarning):
        frame = get_adapter("tb_portals").build(tmp_path)
    assert frame["image_id"].is_unique
    assert len(frame) == 3


def test_errors_say_what_was_expected(tmp_path: Path) -> None:
    build = get_adapter("tb_portals").build
    with pytest.raises(DatasetError, match=r"expected TB_Portals_CXRs_<month>_<year>.csv in or below"):
        build(tmp_path)
    table = tree(tmp_path, header=HEADER.replace("series_instance_content_url", "file"))
    with pytest.raises(DatasetError, match="expected rows with column series_instance_content_url, found none"):
        build(tmp_path)
    tree(tmp_path, ())
    with pytest.raises(DatasetError, match="expected rows with column series_instance_content_url, condition_id"):
        build(tmp_path)
    for address in ("1.2.3.4.5.dcm", "p-1/1.2.3/1.2.3.4/1.2.3.4.5.png", "../1.2.3/1.2.3.4/1.2.3.4.5.dcm"):
        tree(tmp_path, (f"p-1,c-1,i-1,{address},Moldova",))
        wanted = r"expected <patient>/<study>/<series>/<instance>.dcm"
        with pytest.raises(DatasetError, match=wanted) as caught, pytest.warns(DatasetWarning):
            build(tmp_path)
        assert "p-1" not in str(caught.value)
    table.write_text(table.read_text().replace(",", "\t"))
    with pytest.raises(DatasetError, match="separated by tabs, expected commas"):
        build(tmp_path)
    (tmp_path / "TB Portals CXRs_20201021.csv").write_text(HEADER + "\n")
    with pytest.raises(DatasetError, match="expected one release in"):
        build(tmp_path)
