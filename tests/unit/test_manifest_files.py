"""Manifests read, written, named: one content whatever the file, and every defect said at once."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ManifestError
from pipelines.manifest import conform, load_unchecked, manifest_digest, read_manifest, write_manifest
from pipelines.manifest.schema import COLUMNS, LATER_COLUMNS, SCHEMA

SUFFIXES = ("parquet", "csv", "csv.gz")


def full_frame() -> pd.DataFrame:
    """Three rows: everything known, next to nothing known, and awkward text."""
    box = {"finding": "nodule", "x0": 10.0, "y0": 20.5, "x1": 30.25, "y1": 40.0}
    known = {
        "image_id": "set/1",
        "path": "a/1.png",
        "dataset": "set",
        "site": "Hôpital, “A”",
        "patient_id": "007",
        "study_id": "s1",
        "split": "train",
        "view": "PA",
        "sex": "F",
        "age_years": 1 / 3,
        "tb": 0,
        "nodule": 1,
        "reference_standard": "ct",
        "native_labels": ["Nodule", "a,b"],
        "boxes": [box, box | {"x0": 11.0}],
        "manufacturer": "Canon",
        "pixel_spacing_mm": 0.143,
        "rows": 512,
        "columns": 500,
        "sha256": "0" * 64,
        "pixel_hash": "f" * 16,
    }
    bare = {"image_id": "set/2", "path": "a/2.png", "dataset": "set"}
    odd = bare | {"image_id": "set/3", "path": 'a/"3", \nß.png', "native_labels": [], "boxes": [], "patient_id": "NA"}
    return pd.DataFrame([known, bare, odd])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    write_manifest(full_frame(), path)
    again = read_manifest(path)
    pd.testing.assert_frame_equal(again, conform(full_frame()))
    assert again["boxes"][0][1] == {"finding": "nodule", "x0": 11.0, "y0": 20.5, "x1": 30.25, "y1": 40.0}
    assert again["boxes"][1] is None
    assert again["boxes"][2] == []
    assert again["patient_id"].tolist() == ["007", None, "NA"]  # texts stay texts: no 7, no missing value
    assert again["age_years"][0] == 1 / 3
    assert not list(tmp_path.glob("*.tmp"))


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
numbers = st.floats(0, 120, allow_subnormal=True)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            cells, numbers, st.none() | st.lists(st.text(max_size=4).filter(lambda t: t.isprintable()), max_size=3)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_and_number_survives_every_format(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    frame = pd.DataFrame(
        {
            "image_id": [f"s/{i}" for i in range(len(rows))],
            "path": [f"{i}.png" for i in range(len(rows))],
            "dataset": "s",
            "patient_id": [row[0] for row in rows],
            "age_years": [row[1] for row in rows],
            "native_labels": [row[2] for row in rows],
        }
    )
    folder = tmp_path_factory.mktemp("m")
    expected = conform(frame)
    for suffix in SUFFIXES:
        write_manifest(frame, folder / f"m.{suffix}")
        pd.testing.assert_frame_equal(read_manifest(folder / f"m.{suffix}"), expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_frame_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"another-name.{suffix}"
    write_manifest(full_frame(), first)
    shuffled_columns = full_frame()[list(reversed(full_frame().columns))].set_index(pd.Index([5, 6, 7]))
    write_manifest(shuffled_columns, second)
    assert first.read_bytes() == second.read_bytes()
    if suffix == "csv.gz":
        assert gzip.decompress(first.read_bytes()).startswith(b"image_id,path,dataset,")
        assert first.read_bytes()[4:8] == b"\0\0\0\0"  # RFC 1952: no modification time


def test_parquet_holds_the_schema_and_nothing_of_pandas(tmp_path: Path) -> None:
    write_manifest(full_frame(), tmp_path / "m.parquet")
    assert pq.read_schema(tmp_path / "m.parquet").equals(SCHEMA)
    assert pq.read_metadata(tmp_path / "m.parquet").metadata is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_manifest(full_frame(), path)
    before = path.read_bytes()
    with pytest.raises(ManifestError, match="bad_tb"):
        write_manifest(full_frame().assign(tb=2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.csv"]


def test_missing_optional_columns_are_null(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("dataset,path,image_id,tb\ns,1.png,s/1,1\ns,2.png,s/2,\n")
    frame = read_manifest(tmp_path / "m.csv")
    assert tuple(frame.columns) == COLUMNS
    assert frame["tb"].tolist()[0] == 1.0
    assert np.isnan(frame["tb"].tolist()[1])
    assert frame[["nodule", "split", "boxes", "rows"]].isna().all(axis=None)


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("\ufeffimage_id,path,dataset\r\ns/1,é.png,s\r\n\r\n".encode())
    assert read_manifest(tmp_path / "m.csv")["path"].tolist() == ["é.png"]


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    rows = [
        "image_id,path,dataset,split,view,sex,age_years,tb,nodule,rows,boxes,sha256,colour",
        "s/1,1.png,s,train,PA,F,40,1,0,100,,,red",
        "s/1,2.png,s,training,pa,female,411,0.5,yes,-3,,abc,red",
        "s/3,/etc/passwd,s,,,,,,,,not json,,",
        's/4,../x.png,s,,,,nan,,,1.5,"[{""finding"":""mass"",""x0"":5,""y0"":1,""x1"":2,""y1"":2}]",,',
        ",5.png,,,,,,,,,,,",
    ]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.csv")
    message = str(caught.value)
    expected = {
        "unknown_column: 1 ": "colour",
        "duplicate_id: 1 ": "s/1",
        "bad_split: 1 ": "s/1",
        "bad_view: 1 ": "PA, AP, LATERAL",
        "bad_sex: 1 ": "F, M",
        "bad_age_years: 1 ": "0 to 120",
        "bad_tb: 1 ": "1, 0 or empty",
        "path_escape: 2 ": "s/3, s/4",
        "bad_box: 1 ": "inverted",
        "bad_sha256: 1 ": "64",
        "bad_rows: 1 ": "greater than 0",
        "wrong_type: 1 rows whose 'nodule'": "number",
        "wrong_type: 1 rows whose 'boxes'": "list of boxes",
        "wrong_type: 1 rows whose 'age_years'": "finite",
        "wrong_type: 1 rows whose 'rows'": "whole",
        "missing_value: 1 rows whose 'image_id'": "row 5",
        "missing_value: 1 rows whose 'dataset'": "row 5",
    }
    for head, detail in expected.items():
        assert head in message
        assert detail in message
    assert "m.csv" in message


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.csv", b"", "empty"),
        ("m.csv", b"image_id,path,dataset\n", "empty: 0 rows"),
        ("m.csv", b"image_id,path\ns/1,1.png\n", "missing_column"),
        ("m.csv", b"image_id,path,dataset\ns/1,1.png\ns/2,2.png,s,9\n", "ragged: 2 "),
        ("m.csv", b"image_id,path,dataset,path\ns/1,1.png,s,2.png\n", "duplicate_column"),
        ("m.csv", b"image_id;path;dataset\ns/1;1.png;s\n", "commas"),
        ("m.csv", b"image_id,path,dataset\ns/1,\xff\xfe,s\n", "UTF-8"),
        ("m.csv.gz", b"image_id,path,dataset\n", "readable"),
        ("m.csv.gz", gzip.compress(b"image_id,path,dataset\ns/1,1.png,s\n" * 99, mtime=0)[:40], "readable"),
        ("m.parquet", b"PAR1 not", "readable"),
        ("m.xlsx", b"", ".parquet, .csv, .csv.gz"),
    ],
)
def test_what_is_no_manifest_is_one_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=says.replace(".", r"\.")) as caught:
        read_manifest(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest file"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ManifestError, match="no such manifest file"):
        load_unchecked(tmp_path / "folder.csv")


def test_parquet_types_are_not_guessed(tmp_path: Path) -> None:
    table = pa.table(
        {"image_id": [1, 2], "path": ["a", "b"], "dataset": ["s", "s"], "tb": [True, None], "rows": [1.0, 2.5]}
    )
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.parquet")
    assert "2 rows whose 'image_id' is not text" in str(caught.value)
    assert "1 rows whose 'rows' is not a whole number" in str(caught.value)
    assert "'tb'" not in str(caught.value)  # True and null are 1 and not known


def test_a_file_name_that_is_not_utf8_is_refused() -> None:
    path = pd.Series([b"\xff.png".decode("utf-8", "surrogateescape")], dtype=object)
    frame = pd.DataFrame({"image_id": ["s/1"], "path": path, "dataset": ["s"]})
    with pytest.raises(ManifestError, match="'path' is not text"):
        conform(frame)


def test_digest_names_content_only(tmp_path: Path) -> None:
    frame = full_frame()
    digest = manifest_digest(frame)
    for suffix in SUFFIXES:
        write_manifest(frame, tmp_path / f"m.{suffix}")
        assert manifest_digest(read_manifest(tmp_path / f"m.{suffix}")) == digest
    assert manifest_digest(frame.sample(frac=1, random_state=1)) == digest
    for column, value in {"tb": 1, "split": "test", "boxes": None, "patient_id": "008", "age_years": 0.3333}.items():
        changed = conform(frame)
        changed[column] = pd.Series([value, *changed[column].tolist()[1:]], dtype=changed[column].dtype)
        assert manifest_digest(changed) != digest, column


def test_digest_is_the_documented_hash() -> None:
    frame = pd.DataFrame({"image_id": ["s/2", "s/1"], "path": ["2.png", "1.png"], "dataset": "s", "tb": [1, None]})
    said = [name for name in COLUMNS if name not in LATER_COLUMNS]
    blank = dict.fromkeys(said, "")
    lines = [",".join(said)]
    for row in ({"image_id": "s/1", "path": "1.png", "tb": ""}, {"image_id": "s/2", "path": "2.png", "tb": "1"}):
        lines.append(",".join((blank | {"dataset": "s"} | row).values()))
    text = "cxr-manifest-1\n" + "\n".join(lines) + "\n"
    assert manifest_digest(frame) == hashlib.sha256(text.encode()).hexdigest()


def test_boxes_in_csv_are_json(tmp_path: Path) -> None:
    write_manifest(full_frame(), tmp_path / "m.csv")
    cell = load_unchecked(tmp_path / "m.csv")["boxes"][0]
    assert json.loads(cell)[0] == {"finding": "nodule", "x0": 10.0, "y0": 20.5, "x1": 30.25, "y1": 40.0}
