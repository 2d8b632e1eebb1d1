"""`check_manifest` tells everything that is wrong, also of a manifest that breaks the schema."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.manifest import Problem, check_manifest, conform, files_present, load_unchecked


def films(root: Path, n: int) -> pd.DataFrame:
    """Noise pictures on disk and a manifest of them with nothing wrong."""
    rng = np.random.default_rng(0)
    rows = []
    (root / "a").mkdir()
    for i in range(n):
        path = root / "a" / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (80, 100), dtype=np.uint8)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(
            {
                "image_id": f"s/{i}",
                "path": f"a/{i}.png",
                "dataset": "s",
                "patient_id": str(i),
                "tb": i % 2,
                "rows": 80,
                "columns": 100,
            }
            | {"sha256": digest, "split": ("train", "test")[i % 2]}
        )
    return pd.DataFrame(rows)


def by_code(problems: list[Problem]) -> dict[str, Problem]:
    assert len({p.code for p in problems if p.code != "wrong_type"}) == len(
        [p for p in problems if p.code != "wrong_type"]
    )
    return {problem.code: problem for problem in problems}


def test_nothing_wrong(tmp_path: Path) -> None:
    assert check_manifest(films(tmp_path, 6), root=tmp_path, hashes=True) == []


def test_each_defect_is_counted_and_shown(tmp_path: Path) -> None:
    frame = films(tmp_path, 12)
    frame["boxes"] = None
    frame["nodule"] = None
    box = {"finding": "nodule", "x0": 1, "y0": 1, "x1": 9, "y1": 9}
    frame["boxes"] = [[box], [box | {"x1": 101}], [box | {"finding": "tb"}], *[None] * 9]
    frame.loc[[0, 1], "nodule"] = 1
    frame.loc[[4, 6], "tb"] = None
    frame.loc[3, "patient_id"] = "0"
    frame.loc[5, "patient_id"] = None
    frame.loc[7, "path"] = "a/../a/6.png"
    frame.loc[9, "path"] = "a/./8.png"
    frame.loc[10, "sha256"] = frame.loc[11, "sha256"]
    frame.loc[2, "image_id"] = "2"
    frame.loc[8, "age_years"] = 411
    frame["note"] = "x"
    (tmp_path / "a" / "1.png").unlink()
    problems = by_code(check_manifest(frame, root=tmp_path, hashes=True))
    expected = {
        "unknown_column": (1, ("note",), "error"),
        "bad_age_years": (1, ("s/8",), "error"),
        "path_escape": (1, ("s/7",), "error"),
        "duplicate_path": (2, ("s/7", "s/9"), "error"),
        "patient_in_two_splits": (1, ("s/0 in train and s/3 in test",), "error"),
        "picture_in_two_splits": (1, ("s/10 in train and s/11 in test",), "error"),
        "box_outside": (1, ("s/1",), "error"),
        "box_without_label": (1, ("2",), "error"),
        "missing_file": (1, ("s/1",), "error"),
        "changed_file": (2, ("s/9", "s/10"), "error"),
        "unknown_patient": (1, ("s/5",), "warning"),
        "no_label": (2, ("s/4", "s/6"), "warning"),
        "id_without_dataset": (1, ("2",), "warning"),
    }
    assert {c: (p.count, p.examples, p.severity) for c, p in problems.items()} == expected
    severities = [problem.severity for problem in check_manifest(frame, root=tmp_path)]
    assert severities == sorted(severities)  # errors before warnings


def test_a_manifest_that_breaks_the_schema_is_checked_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image_id,path,split,tb,patient_id\nx,gone.png,train,maybe,1\nx,,test,1,1\n")
    codes = by_code(check_manifest(load_unchecked(tmp_path / "m.csv"), root=tmp_path))
    assert set(codes) == {"missing_column", "wrong_type", "missing_value", "duplicate_id", "missing_file", "no_label"}


def test_only_the_first_examples_are_shown_and_patients_never(tmp_path: Path) -> None:
    frame = films(tmp_path, 10).assign(patient_id="SECRET")
    problems = check_manifest(frame.assign(age_years=500), root=None)
    ages = by_code(problems)["bad_age_years"]
    assert (ages.count, len(ages.examples)) == (10, 3)
    assert not any("SECRET" in str(problem) for problem in problems)


def test_a_data_root_that_is_not_there(tmp_path: Path) -> None:
    frame = films(tmp_path, 2)
    assert set(by_code(check_manifest(frame, root=tmp_path / "none"))) == {"no_data_root"}
    assert check_manifest(frame, root=None) == []


def test_unhashed_rows_are_said_when_hashes_are_asked_for(tmp_path: Path) -> None:
    frame = films(tmp_path, 4)
    frame.loc[1, "sha256"] = None
    seen: list[tuple[int, int]] = []
    problems = by_code(
        check_manifest(frame, root=tmp_path, hashes=True, progress=lambda done, n: seen.append((done, n)))
    )
    assert problems["no_sha256"].severity == "warning"
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_files_present_agrees_with_looking_at_each_file(tmp_path: Path) -> None:
    films(tmp_path, 3)
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "a" / "dangling.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "a" / "linked.png").symlink_to(tmp_path / "a" / "0.png")
    paths = ["a/0.png", "a/9.png", "b/0.png", "a/folder.png", "a/dangling.png", "a/linked.png", "0.png", "a/./1.png"]
    assert files_present(tmp_path, paths).tolist() == [(tmp_path / path).is_file() for path in paths]


def test_many_equal_hashes_do_not_take_for_ever() -> None:
    n = 5_000
    frame = conform(
        pd.DataFrame({"image_id": [f"s/{i}" for i in range(n)], "path": [f"{i}" for i in range(n)], "dataset": "s"})
    ).assign(pixel_hash="0" * 16, split=["train", "test"] * (n // 2))
    assert by_code(check_manifest(frame, root=None))["picture_in_two_splits"].count == 1


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"image_id": []})])
def test_an_empty_table(frame: pd.DataFrame) -> None:
    assert {"empty", "missing_column"} <= set(by_code(check_manifest(frame, root=None)))
