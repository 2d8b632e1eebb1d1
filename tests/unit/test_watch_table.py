"""The table of a watched folder on disk, and what is said of it while it grows."""

import os

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.cli import watching
from pipelines.errors import CxrError
from pipelines.evaluation.predictions import COLUMNS
from pipelines.inference.journal import Journal
from pipelines.inference.watch.state import Arrivals
from pipelines.inference.watch.table import WatchTable
from pipelines.inference.watch.watching import WatchStatus


def row(name: str, digest: str | None = None, **values) -> dict:
    base = {"image_id": name, "path": name, "status": "ok", "model_id": "m", "picture_digest": digest}
    return base | values


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    return tmp_path


def opened(folder, plan="plan") -> tuple[WatchTable, Arrivals]:
    arrivals, table = Arrivals(settle=0, give_up=0), WatchTable(folder, plan)
    table.open(arrivals.remember)
    return table, arrivals


def test_rows_are_in_the_csv_at_once_and_in_the_parquet_file_on_demand(folder):
    table, _ = opened(folder)
    assert (folder / "predictions.csv").read_bytes() == (",".join(COLUMNS) + "\r\n").encode()
    table.add([("=a", "1:1"), ("b", "1:2")], [row("=a", "0a", p_tb=0.1), row("b", "0a", flag_tb=True)])
    table.add([("c", "1:3")], [row("c", status="error", reason="truncated", detail="x, y")])
    read = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert read["image_id"].tolist() == ["'=a", "b", "c"]
    assert read["duplicate_of"].tolist() == ["", "'=a", ""]
    assert (read["p_tb"][0], read["flag_tb"][1], read["detail"][2]) == ("0.1", "true", "x, y")
    counts = table.write_parquet()
    table.close()
    assert (counts["inputs"], counts["ok"], counts["duplicates"]) == (3, 2, 1)
    assert counts["by_reason"] == {"truncated": 1}
    assert pq.read_table(folder / "predictions.parquet")["duplicate_of"].to_pylist() == [None, "=a", None]


def test_a_damaged_line_costs_its_rows_only(folder):
    table, _ = opened(folder)
    for name in ("a", "b", "c"):
        table.add([(name, "1:1")], [row(name, "0a")])
    table.close()
    journal = folder / "parts" / "watch.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1].replace(b'"ok"', b'"OK"') + lines[2] + lines[0][:40])
    table, arrivals = opened(folder)
    assert (table.lost, table.rows, sorted(arrivals.done)) == (1, 2, ["a", "c"])
    assert journal.read_bytes().count(b"\n") == 3
    table.add([("b", "1:1")], [row("b", "0a")])
    table.close()
    assert pd.read_csv(folder / "predictions.csv")["image_id"].tolist() == ["a", "c", "b"]
    assert pd.read_csv(folder / "predictions.csv")["duplicate_of"].tolist()[1:] == ["a", "a"]


def test_what_another_plan_left_is_not_taken_up(folder):
    table, _ = opened(folder, plan="old")
    table.add([("a", "1:1")], [row("a")])
    table.close()
    table, arrivals = opened(folder, plan="new")
    table.write_parquet()
    table.close()
    assert (table.rows, arrivals.done) == (0, {})
    assert pq.read_table(folder / "predictions.parquet").num_rows == 0


def test_a_disk_that_fails_leaves_whole_lines(folder, monkeypatch):
    journal = Journal(folder / "parts" / "some.journal")
    journal.append({"n": 1})

    def refuse(_file: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pipelines.inference.journal._SYNC_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.inference.journal.os.fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            journal.append({"n": 2})
    journal.append({"n": 3})
    journal.close()
    assert [entry["n"] for entry in Journal(journal.path).open()] == [1, 2, 3]
    assert [entry["n"] for entry in journal.entries(journal.length // 3)] == [1]


def test_a_log_gets_a_line_a_minute_when_something_changed(monkeypatch, capsys):
    now = 1000.0
    monkeypatch.setattr(watching.time, "monotonic", lambda: now)
    with watching._status_line() as show:
        for films, seconds in ((1, 0.2), (2, 30), (3, 40), (3, 100), (4, 1)):
            now += seconds
            show(WatchStatus(films, 2, 1.2))
    assert capsys.readouterr().err.splitlines() == [
        "1 films read, 2 waiting; last arrival 1 s ago",
        "3 films read, 2 waiting; last arrival 1 s ago",
        "4 films read, 2 waiting; last arrival 1 s ago",
    ]


def test_options_that_do_not_go_with_it():
    watching.refuse_with_watch({"--root": None})
    with pytest.raises(CxrError, match="it goes without --root"):
        watching.refuse_with_watch({"--shard": None, "--root": "."})
