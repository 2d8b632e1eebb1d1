"""What a reviewer's verdicts do to a manifest."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.audit.review import apply_review, read_review
from pipelines.errors import ManifestError, PredictionsError
from pipelines.manifest import conform

BOX = {"x0": 1.0, "y0": 1.0, "x1": 5.0, "y1": 5.0}


def _manifest() -> pd.DataFrame:
    return conform(
        pd.DataFrame(
            {
                "image_id": ["s/a", "s/b", "s/c", "s/d", "=e"],
                "path": ["a.png", "b.png", "c.png", "d.png", "e.png"],
                "dataset": "s",
                "tb": [1.0, 0.0, 1.0, 0.0, np.nan],
                "nodule": [1.0, 1.0, np.nan, 0.0, 1.0],
                "native_labels": [["x"], ["y"], None, [], ["x"]],
                "boxes": [[{"finding": "tb", **BOX}, {"finding": "nodule", **BOX}], [], None, [], None],
            }
        )
    )


def _review(path: Path, *lines: str, header: str = "image_id,finding,label,verdict,comment") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_verdicts_change_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    manifest = _manifest()
    review = _review(
        tmp_path / "r.csv",
        "s/a,tb,1,wrong,no",
        "s/b,tb,0,Wrong ,",
        "s/c,tb,1,unsure,",
        "s/d,tb,0,,",
        header="image_id,finding,label,verdict,comment",
    )
    done = apply_review(manifest, read_review(review))
    np.testing.assert_array_equal(done.manifest["tb"], [0, 1, np.nan, 0, np.nan])
    assert done.verdicts == {"right": 0, "wrong": 2, "unsure": 1, "": 1}
    assert (done.flipped_to_0, done.flipped_to_1, done.made_unknown, done.boxes_dropped) == (1, 1, 1, 1)
    assert done.manifest["boxes"][0] == [{"finding": "nodule", **BOX}]
    assert done.manifest["boxes"][1] is None  # "looked at, none" no longer holds
    untouched = [name for name in manifest.columns if name not in ("tb", "boxes")]
    pd.testing.assert_frame_equal(done.manifest[untouched], manifest[untouched])
    np.testing.assert_array_equal(manifest["tb"], [1, 0, 1, 0, np.nan])  # the given one is not changed


def test_wrong_labels_can_become_unknown(tmp_path: Path) -> None:
    review = read_review(_review(tmp_path / "r.csv", "s/a,nodule,1,wrong,", "s/b,nodule,1,right,"))
    done = apply_review(_manifest(), review, wrong="null")
    np.testing.assert_array_equal(done.manifest["nodule"], [np.nan, 1, np.nan, 0, 1])
    assert (done.flipped_to_0, done.flipped_to_1, done.made_unknown) == (0, 0, 1)


def test_an_id_that_was_guarded_against_spreadsheets_is_found(tmp_path: Path) -> None:
    review = read_review(_review(tmp_path / "r.csv", "'=e,nodule,1,wrong,"))
    assert apply_review(_manifest(), review).manifest["nodule"][4] == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("s/z,tb,1,wrong,", "1 films of the review are not in the manifest \\(first: 's/z'\\)"),
        ("s/a,tb,0,wrong,", "1 films have another tb label"),
        ("s/c,nodule,1,wrong,", "1 films have another nodule label"),
        ("s/a,tb,1,maybe,", "'maybe' for 's/a', expected right, wrong, unsure or empty"),
        ("s/a,Mass,1,wrong,", "'finding' has Mass, expected one of tb, nodule"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, line: str, says: str) -> None:
    path = _review(tmp_path / "r.csv", line)
    with pytest.raises(ManifestError, match=says):
        apply_review(_manifest(), read_review(path))


def test_tables_that_are_no_review_are_refused(tmp_path: Path) -> None:
    twice = _review(tmp_path / "twice.csv", "s/a,tb,1,wrong,", "s/a,tb,1,right,")
    with pytest.raises(PredictionsError, match="duplicated ids"):
        read_review(twice)
    without: Any = _review(tmp_path / "w.csv", "s/a,tb,1", header="image_id,finding,label")
    with pytest.raises(ManifestError, match="no column 'verdict'"):
        read_review(without)
    with pytest.raises(ManifestError, match="'finding' has no row"):
        read_review(_review(tmp_path / "empty.csv"))
    with pytest.raises(PredictionsError, match="no such file"):
        read_review(tmp_path / "nowhere.csv")
