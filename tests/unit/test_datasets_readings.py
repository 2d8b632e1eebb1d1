"""Rules by which several readers make one label, and what follows for boxes and for what a run learns."""

import itertools
import math
from statistics import mean

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets.readings import (
    RULES,
    agreed_label,
    apply_consensus,
    has_readings,
    soft_targets,
    vote_counts,
    votes,
)
from pipelines.errors import ManifestError
from pipelines.manifest import check_manifest, conform

BOX = {"finding": "nodule", "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": 4.0}


def said(**values: str) -> list[dict[str, object]]:
    """``nodule="10"``: R1 said 1, R2 said 0; a blank is a reader who said nothing of it."""
    return [
        {"reader": f"R{number}", "finding": finding, "value": float(value)}
        for finding, given in values.items()
        for number, value in enumerate(given, start=1)
        if value != " "
    ]


def manifest(*rows: dict[str, object]) -> pd.DataFrame:
    return conform(
        pd.DataFrame([{"image_id": f"d/{n}", "path": f"{n}.png", "dataset": "d"} | row for n, row in enumerate(rows)])
    )


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 5])
def test_rules_as_python_would_say_them(readers: int) -> None:
    for given in itertools.product((0, 1), repeat=readers):
        label = {rule: agreed_label(sum(given), readers, rule) for rule in RULES}
        assert label["any"] == any(given)
        assert label["all"] == all(given)
        for rule in ("majority", "mean"):
            if mean(given) == 0.5:  # two against two is no label
                assert math.isnan(label[rule])
            else:
                assert label[rule] == round(mean(given))


@pytest.mark.parametrize("rule", RULES)
def test_nobody_read_it(rule: str) -> None:
    assert math.isnan(agreed_label(0, 0, rule))  # type: ignore[arg-type]


def test_votes_count_one_finding_only() -> None:
    readings = said(nodule="110", tb="0 1")
    assert votes(readings, "nodule") == (2, 3)
    assert votes(readings, "tb") == (1, 2)
    assert votes(None, "tb") == (0, 0)
    frame = manifest({"readings": readings}, {"readings": None}, {"readings": []})
    assert vote_counts(frame, "nodule").tolist() == [[2, 3], [0, 0], [0, 0]]
    assert has_readings(frame)
    assert not has_readings(frame.iloc[1:])


def test_labels_are_made_anew_and_agreed_ones_stay() -> None:
    frame = manifest(
        {"readings": said(nodule="100", tb="11"), "nodule": 0, "tb": 1},
        {"readings": said(nodule="1100"), "nodule": None, "tb": 0},  # nobody's word on tb: the label stays
        {"readings": None, "nodule": 1, "tb": None},
    )
    expected = {
        "any": ([1, 1, 1], [1, 0, None]),
        "majority": ([0, None, 1], [1, 0, None]),
        "all": ([0, 0, 1], [1, 0, None]),
        "mean": ([0, None, 1], [1, 0, None]),
    }
    for rule, (nodule, tb) in expected.items():
        made = apply_consensus(frame, rule)  # type: ignore[arg-type]
        assert [None if pd.isna(value) else value for value in made["nodule"]] == nodule, rule
        assert [None if pd.isna(value) else value for value in made["tb"]] == tb, rule
        pd.testing.assert_frame_equal(
            made.drop(columns=["nodule", "tb", "boxes"]), frame.drop(columns=["nodule", "tb", "boxes"])
        )
    assert frame["nodule"].tolist()[0] == 0  # the given frame is left alone


def test_boxes_follow_the_label() -> None:
    frame = manifest(
        {"readings": said(nodule="100"), "nodule": 1, "boxes": [BOX]},
        {"readings": said(nodule="1000"), "nodule": 1, "boxes": [BOX], "tb": None},
        {"readings": said(nodule="1100"), "nodule": 1, "boxes": [BOX]},
        {"readings": said(nodule="100"), "nodule": 0, "boxes": []},
        {"readings": said(nodule="111"), "nodule": 1, "boxes": None},
    )
    strict = apply_consensus(frame, "majority")
    assert strict["boxes"].tolist() == [[], [], None, [], None]  # a tie: whether there is a nodule is not known
    assert check_manifest(strict, root=None) == [
        problem for problem in check_manifest(strict, root=None) if problem.severity == "warning"
    ]
    lenient = apply_consensus(frame, "any")
    # The fourth film is positive now, and its one box was left out when the manifest was built: not drawn, not "none".
    assert lenient["boxes"].tolist() == [[BOX], [BOX], [BOX], None, None]
    assert {problem.code for problem in check_manifest(lenient, root=None)} == {"unknown_patient"}


def test_a_manifest_built_with_any_serves_every_rule() -> None:
    rng = np.random.default_rng(3)
    given = ["".join(str(v) for v in rng.integers(0, 2, rng.integers(1, 6))) for _ in range(60)]
    built = {
        rule: manifest(
            *[
                {
                    "readings": said(nodule=text),
                    "nodule": label,
                    "boxes": [BOX] if label == 1 else None if label != 0 else [],
                }
                for text in given
                for label in [agreed_label(text.count("1"), len(text), rule)]
            ]
        )
        for rule in RULES
    }
    for rule in RULES:
        pd.testing.assert_frame_equal(apply_consensus(built["any"], rule), built[rule])


def test_the_mean_is_the_share_of_readers() -> None:
    frame = manifest(
        {"readings": said(nodule="100"), "nodule": 0, "tb": 1},
        {"readings": said(nodule="11", tb="10"), "nodule": 1},
        {"readings": None, "nodule": None, "tb": 0},
    )
    targets = soft_targets(frame, ["nodule", "tb"])
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets, [[1 / 3, 1], [1, 0.5], [np.nan, 0]], rtol=1e-6)


def test_errors_say_what_is_wanted() -> None:
    frame = manifest({"nodule": 1})
    with pytest.raises(ManifestError, match=r"m\.csv: expected readings .*'readings' is empty"):
        apply_consensus(frame, "any", source="m.csv")
    with pytest.raises(ManifestError, match="is 'most', expected one of any, majority, all, mean"):
        apply_consensus(frame, "most")  # type: ignore[arg-type]
