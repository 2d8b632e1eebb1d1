"""What of a run is done, as its folder says: batches in journals, whole parts, and nothing counted twice or lost."""

import threading
from pathlib import Path

import pytest

from pipelines.errors import CxrError
from pipelines.film_files import file_state
from pipelines.inference import ledger
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.ledger import Ledger, batch_ranges, part_ranges

FILMS, BATCH = 22, 3


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(ledger, "PART_FILMS", 8)


@pytest.fixture
def films(tmp_path) -> list[FilmInput]:
    for number in range(FILMS):
        (tmp_path / f"{number}").write_text("x" * number)
    return [FilmInput(f"{number}", f"{number}", tmp_path / f"{number}") for number in range(FILMS)]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def opened(folder: Path, films: list[FilmInput], plan: str = "p") -> Ledger:
    return Ledger(folder, films, part_ranges(FILMS), batch_size=BATCH, plan=plan)


def record(book: Ledger, films: list[FilmInput], batch: range) -> None:
    rows = [
        {
            "image_id": str(number),
            "path": str(number),
            "status": "ok",
            "model_id": "m",
            "picture_digest": "0" * 15 + "1",
        }
        for number in batch
    ]
    book.record(batch, rows, [file_state(films[number].file) for number in batch])


def pending(book: Ledger) -> list[range]:
    return [batch for group in book.pending() for batch in group]


def test_parts_and_batches_cover_every_film_once():
    assert part_ranges(FILMS) == [range(8), range(8, 16), range(16, 22)]
    assert batch_ranges(range(8, 16), 3) == [range(8, 11), range(11, 14), range(14, 16)]
    assert part_ranges(0) == []


def test_what_was_recorded_is_not_asked_for_again(films, folder):
    book = opened(folder, films)
    first = pending(book)
    assert [number for batch in first for number in batch] == list(range(FILMS))
    for batch in (*first[:3], first[4]):
        record(book, films, batch)
    book.close()
    assert sorted(path.name for path in folder.iterdir()) == ["part-00000.parquet", "part-00001.journal"]
    again = opened(folder, films)
    left = pending(again)
    assert left == [first[3], *first[5:]]
    assert (again.done, again.computed) == (8 + 3, 0)
    for batch in reversed(left):
        record(again, films, batch)
    assert (again.done, again.computed) == (FILMS, FILMS - 11)
    assert [row for table in again.tables() for row in table["image_id"].to_pylist()] == list(map(str, range(FILMS)))
    assert sorted(path.name for path in folder.iterdir()) == [f"part-0000{number}.parquet" for number in range(3)]


def test_what_another_plan_left_and_what_changed_is_done_again(films, folder):
    book = opened(folder, films)
    first = pending(book)
    for batch in (*first[:3], *first[3:5]):
        record(book, films, batch)
    book.close()
    assert pending(opened(folder, films, plan="q")) == first
    films[9].file.write_text("another")
    assert pending(opened(folder, films)) == [first[3], *first[5:]]
    films[0].file.unlink()
    assert pending(opened(folder, films)) == [*first[:4], *first[5:]]


def test_a_journal_that_is_whole_becomes_its_part(films, folder, monkeypatch):
    """The process was killed between the last line and the part."""
    book = opened(folder, films)
    first = pending(book)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "write_part", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        for batch in first[:2]:
            record(book, films, batch)
        with pytest.raises(OSError, match="full"):
            record(book, films, first[2])
    book.close()
    again = opened(folder, films)
    assert pending(again) == first[3:]
    assert again.done == 8
    assert not (folder / "part-00000.journal").exists()


def test_threads_lose_no_count(films, folder):
    """Films counted while parts are looked for, and by those who finish batches, at the same time."""
    for _ in range(5):
        for path in folder.iterdir():
            path.unlink()
        book = opened(folder, films)
        threads = []
        for group in book.pending():
            threads += [threading.Thread(target=record, args=(book, films, batch)) for batch in group]
            for thread in threads[-len(group) :]:
                thread.start()
        for thread in threads:
            thread.join()
        assert (book.done, book.computed) == (FILMS, FILMS)


def test_a_part_that_vanished_is_a_sentence(films, folder):
    book = opened(folder, films)
    for batch in pending(book):
        record(book, films, batch)
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(CxrError, match=r"part-00001.parquet: changed while the run was going on"):
        list(book.tables())
