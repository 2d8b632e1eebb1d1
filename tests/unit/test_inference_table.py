"""The two final tables hold the same rows, and a spreadsheet sees no formula."""

import contextlib
import csv
import random

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import COLUMNS, SCHEMA
from pipelines.evaluation.tables import read_table
from pipelines.inference.outputs import read_json, write_json
from pipelines.inference.table import (
    PART_SCHEMA,
    part_file,
    read_part,
    to_table,
    whole_table,
    write_part,
    write_rows,
    write_tables,
)
from pipelines.system import replacing

NASTY = ["=1+1", "+x", "-x", "@x", "\tx", "'x", 'say "x"', "a,b", "line\nbreak", "cr\rx", "é", " x ", "NA", "plain"]


def rows(n: int) -> list[dict]:
    rng = random.Random(n)
    made = []
    for number in range(n):
        row = {"image_id": f"{NASTY[number % len(NASTY)]}{number}", "path": f"p/{number}", "model_id": "m"}
        if number % 3 == 0:
            row |= {"status": "error", "reason": "missing", "detail": "=there is no such file"}
        else:
            row |= {
                "status": "ok",
                "p_tb": rng.random(),
                "flag_tb": number % 2 == 0,
                "triage_score": 100 * rng.random(),
            }
        made.append(row)
    return made


def test_csv_and_parquet_hold_the_same_rows(tmp_path):
    table = to_table(rows(300))
    write_rows([table.slice(0, 128), table.slice(128)], tmp_path / "t.parquet", tmp_path / "t.csv")
    stored = pq.read_table(tmp_path / "t.parquet")
    assert stored.schema.equals(SCHEMA, check_metadata=True)
    assert stored.to_pylist() == table.to_pylist()
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        header, *lines = list(csv.reader(stream))
    assert tuple(header) == COLUMNS
    for line, row in zip(lines, stored.to_pylist(), strict=True):
        for name, cell in zip(header, line, strict=True):
            value = row[name]
            if value is None:
                assert cell == ""
            elif isinstance(value, bool):
                assert cell == {True: "true", False: "false"}[value]
            elif isinstance(value, float):
                assert float(cell) == value
            else:
                assert cell == (f"'{value}" if value[0] in "=+-@\t'" else value)


def test_no_cell_can_be_taken_for_a_formula(tmp_path):
    write_rows([to_table(rows(60))], tmp_path / "t.parquet", tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    ids = [line[0] for line in lines[1:]]
    assert len(set(ids)) == len(ids)


def test_evaluation_reads_the_csv_to_the_last_digit(tmp_path):
    # `collect_inputs` escapes control characters, so no id of ours holds a line break.
    readable = [row for row in rows(90) if row["image_id"].isprintable()]
    write_rows([to_table(readable)], tmp_path / "t.parquet", tmp_path / "t.csv")
    left, right = (read_table(tmp_path / name) for name in ("t.parquet", "t.csv"))
    for column in ("p_tb", "triage_score"):
        pd.testing.assert_series_equal(left[column], right[column], check_exact=True)


def test_bytes_do_not_depend_on_how_rows_were_cut_into_equal_parts(tmp_path):
    table = to_table(rows(300))
    for name in ("a", "b"):
        parts = [table.slice(start, 128) for start in (0, 128, 256)]
        write_rows(iter(parts), tmp_path / f"{name}.parquet", tmp_path / f"{name}.csv")
    for suffix in ("parquet", "csv"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_films_with_the_same_picture_name_the_first_of_them(tmp_path):
    digests = ["0f", None, "0a", "0f", None, "0b", "0a", "0f"]
    films = [
        {"image_id": f"f{number}", "path": "p", "model_id": "m", "status": "ok", "picture_digest": digest}
        for number, digest in enumerate(digests)
    ]
    expected = [None, None, None, "f0", None, None, "f2", "f0"]
    assert whole_table(films)["duplicate_of"].to_pylist() == expected
    parts = [to_table(films[:3], PART_SCHEMA), to_table(films[3:], PART_SCHEMA)]
    found = write_tables(lambda: iter(parts), tmp_path / "t.parquet", tmp_path / "t.csv")
    assert found.tolist() == [15, 0, 10, 15, 0, 11, 10, 15]
    stored = pq.read_table(tmp_path / "t.parquet")
    assert stored.schema.equals(SCHEMA)
    assert stored["duplicate_of"].to_pylist() == expected


def test_a_part_is_read_only_for_its_own_work(tmp_path):
    path = part_file(tmp_path, 7)
    marks = {"plan": "a", "files": "b"}
    write_part(path, rows(5), marks)
    assert read_part(path, rows=5, marks=marks).equals(to_table(rows(5), PART_SCHEMA))
    assert read_part(path, rows=6, marks=marks) is None
    assert read_part(path, rows=5, marks=marks | {"plan": "c"}) is None
    assert read_part(part_file(tmp_path, 8), rows=5, marks=marks) is None
    path.write_bytes(path.read_bytes()[:-20])
    assert read_part(path, rows=5, marks=marks) is None


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", {"a": 2, "b": object()})
    with contextlib.suppress(CxrError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise CxrError("stopped")
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
