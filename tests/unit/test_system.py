"""Files appear whole or not at all, and an error names the file it is about."""

import pickle
from pathlib import Path

import pytest

from pipelines.system import replace_text, replacing
from tests.unit.test_training_state import files_no_larger_than


@pytest.mark.parametrize("sole_writer", [False, True])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, sole_writer: bool) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "old")

    def write_half() -> None:
        with replacing(path, sole_writer=sole_writer) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_also_after_a_worker_sent_the_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "old")
    with files_no_larger_than(100), pytest.raises(OSError, match=r"a\.txt") as caught:
        replace_text(path, "x" * 5000)
    assert caught.value.filename == str(path)
    assert pickle.loads(pickle.dumps(caught.value)).filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_line_ends_are_written_as_they_are(tmp_path: Path) -> None:
    replace_text(tmp_path / "a.csv", "1\r\n2\n")
    assert (tmp_path / "a.csv").read_bytes() == b"1\r\n2\n"
