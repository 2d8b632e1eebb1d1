"""Small readers of native files, and what every adapter's card must say."""

import gzip
import os
import re
from pathlib import Path

import pytest

from pipelines.datasets import ADAPTERS, build_manifest, get_adapter
from pipelines.datasets.adapters.nlm_tb import _montgomery_reading, _shenzhen_reading
from pipelines.datasets.native import age_years, find_base, image_files, need_file, read_table, sex_of
from pipelines.errors import DatasetError
from pipelines.manifest.schema import COLUMNS


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("57", 57),
        ("058Y", 58),
        ("027Y", 27),
        ("45yrs", 45),
        ("16month", 16 / 12),
        ("010M", 10 / 12),
        ("64days", 64 / 365.25),
        ("003W", 21 / 365.25),
        ("0", 0),
        ("120", 120),
        ("411", None),
        ("414Y", None),
        ("", None),
        ("unknown", None),
        ("-3", None),
        ("57x", None),
    ],
)
def test_ages(text: str, years: float | None) -> None:
    assert age_years(text) == (None if years is None else pytest.approx(years))


def test_sexes() -> None:
    assert [sex_of(t) for t in ("F", "female ", "femal", "Female", "M", "male", "Male", "O", "", "x")] == [
        *["F"] * 4,
        *["M"] * 3,
        *[None] * 3,
    ]


def test_montgomery_readings() -> None:
    reading = _montgomery_reading("Patient's Sex: F \r\nPatient's Age: 027Y\r\nright upper\r\n\r\nlobe scar\r\n")
    assert (reading.sex, reading.age_years, reading.text) == ("F", 27.0, "right upper lobe scar")
    bare = _montgomery_reading("normal")
    assert (bare.sex, bare.age_years, bare.text) == (None, None, "normal")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("male 45yrs\nnormal", ("M", 45.0, "normal")),
        ("Female, 28yrs\nbilateral PTB ", ("F", 28.0, "bilateral PTB")),
        ("femal 32yrs\nSTB\n", ("F", 32.0, "STB")),
        ("male 16month\nnormal", ("M", 16 / 12, "normal")),
        ("female 64days\nnormal", ("F", 64 / 365.25, "normal")),
        ("male 50yrs left PTB", ("M", 50.0, "left PTB")),
        ("male24yrs\nnormal", ("M", 24.0, "normal")),
        ("normal", (None, None, "normal")),
        ("", (None, None, "")),
    ],
)
def test_shenzhen_readings(text: str, expected: tuple) -> None:
    reading = _shenzhen_reading(text)
    assert (reading.sex, reading.text) == (expected[0], expected[2])
    assert reading.age_years == (None if expected[1] is None else pytest.approx(expected[1]))


def test_tables_plain_or_packed_with_columns_without_names(tmp_path: Path) -> None:
    text = "Image,Age ,,\r\na,1,x,y\r\nb,2\r\n\r\n"
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(text.encode()))
    rows = [
        {"Image": "a", "Age": "1", "column 3": "x", "column 4": "y"},
        {"Image": "b", "Age": "2", "column 3": "", "column 4": ""},
    ]
    assert read_table(tmp_path / "t.csv", ["Image", "Age"]) == rows
    assert read_table(need_file(tmp_path, ["u.csv"], "set"), ["Image"]) == rows
    with pytest.raises(DatasetError, match=r"t.csv: expected column Sex, found Image, Age"):
        read_table(tmp_path / "t.csv", ["Image", "Sex"])
    with pytest.raises(DatasetError, match=r"expected v.csv or w.csv \(plain or .gz\)"):
        need_file(tmp_path, ["v.csv", "w.csv"], "set")
    (tmp_path / "bad.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_table(tmp_path / "bad.csv.gz", [])


def test_image_files_follow_links_once_and_skip_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/10.png", "a.jpg", "notes.txt", ".hidden/x.png", "b/._2.png", "c.png.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(image_files(tmp_path)) == ["a.jpg", "b/10.png", "b/2.PNG"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX file names can be bytes that are no text")
def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    except OSError as error:
        pytest.skip(f"this file system has only UTF-8 names ({error})")
    with pytest.raises(DatasetError, match=r"\\udcff.png.* is not UTF-8"):
        list(image_files(tmp_path))


def test_find_base_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"set: expected CXR_png .*the root, Set/Inner"):
        find_base(tmp_path, "CXR_png", ["Set/Inner"], "set")
    with pytest.raises(DatasetError, match="is not a folder"):
        find_base(tmp_path / "none", "CXR_png", [], "set")


def test_every_card_is_whole() -> None:
    assert list(ADAPTERS)[-2:] == ["folder", "phantom"]
    assert list(ADAPTERS)[:-2] == sorted(set(ADAPTERS) - {"phantom", "folder"})
    for name, adapter in ADAPTERS.items():
        assert adapter.name == name
        for text in ("title", "citation", "licence", "how_to_get", "size", "label_origin", "verified_note", "unknown"):
            assert getattr(adapter, text).strip(), (name, text)
        assert adapter.known_defects, name
        assert all(isinstance(defect, str) and len(defect) > 20 for defect in adapter.known_defects), name
        said = " ".join(adapter.label_mapping.values()) + " ".join(adapter.label_mapping)
        assert re.search(r"\btb\b", said), name
        assert "nodule" in said, name
    assert "tb" in COLUMNS


def test_an_unknown_data_set_or_option_is_one_sentence() -> None:
    with pytest.raises(DatasetError, match=r"'nih'.*montgomery, .*nih_cxr14, .*vindr_cxr, folder, phantom"):
        get_adapter("nih")
    with pytest.raises(DatasetError, match="no option 'x', its options: consensus"):
        get_adapter("vindr_cxr").resolve({"x": "1"})
    with pytest.raises(DatasetError, match="'consensus' is 'most', expected one of majority, any, all, mean"):
        get_adapter("vindr_cxr").resolve({"consensus": "most"})
    assert get_adapter("vindr_cxr").resolve({}) == {"consensus": "majority"}


def test_signs_inside_a_cell_do_not_end_its_row(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes('id,said\r\n1,"two\nlines"\r\n2,an\u2028other \u0085 one\r\n'.encode())
    assert read_table(table, ("id", "said")) == [
        {"id": "1", "said": "two\nlines"},
        {"id": "2", "said": "an\u2028other \u0085 one"},
    ]
    table.write_bytes("id,said\n1,caf\xe9 \x85\n".encode("latin-1"))
    assert read_table(table, ("id",)) == [{"id": "1", "said": "caf\xe9 \x85"}]


def test_a_table_in_utf_16_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    with pytest.raises(DatasetError, match=r"t\.csv: the text is UTF-16, expected UTF-8"):
        read_table(tmp_path / "t.csv", ["a"])


def test_labels_of_no_film_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "train-rle.csv").write_text("ImageId, EncodedPixels\n")
    with pytest.raises(DatasetError, match=r"siim_acr: the label files in .* name no film"):
        build_manifest("siim_acr", tmp_path, allow_missing=True)
