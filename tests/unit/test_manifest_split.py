"""Splits share no patient and no picture, keep proportions, and depend on nothing but content and seed."""

import warnings
from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ManifestError
from pipelines.manifest import (
    SplitWarning,
    check_manifest,
    conform,
    guard_splits,
    linked_groups,
    patient_keys,
    split_manifest,
    union_manifests,
)

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def cohort(patients: int, seed: int, dataset: str = "s") -> pd.DataFrame:
    """One to four films per patient; disease belongs to the patient."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        tb, nodule = float(rng.random() < 0.3), (None if rng.random() < 0.2 else float(rng.random() < 0.1))
        for film in range(int(rng.integers(1, 5))):
            name = f"{dataset}/{patient}-{film}"
            rows.append(
                {
                    "image_id": name,
                    "path": f"{name}.png",
                    "dataset": dataset,
                    "patient_id": str(patient),
                    "tb": tb,
                    "nodule": nodule,
                }
            )
    return pd.DataFrame(rows)


def quiet_split(frame: pd.DataFrame, **kwargs: object) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplitWarning)
        return split_manifest(frame, **{"fractions": SHARES, "seed": 1} | kwargs)


def rows_strategy() -> st.SearchStrategy[list]:
    few = st.sampled_from
    row = st.tuples(
        few(["a", "b"]),
        few([None, "1", "2", "3", "4"]),
        few([None, "0" * 64, "1" * 64, "2" * 64]),
        few([None, "0" * 16, "0" * 15 + "1", "f" * 16]),
        few([None, 0.0, 1.0]),
        few([None, "F", "M"]),
    )
    return st.lists(row, min_size=1, max_size=14)


def from_rows(rows: list) -> pd.DataFrame:
    names = ("dataset", "patient_id", "sha256", "pixel_hash", "tb", "sex")
    frame = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])
    frame["image_id"] = [f"{row[0]}/{i}" for i, row in enumerate(rows)]
    frame["path"] = [f"{i}.png" for i in range(len(rows))]
    return conform(frame)


def same_person(a: dict, b: dict) -> bool:
    """The documented rule, written once more, pair by pair."""
    if a["patient_id"] and b["patient_id"] and a["dataset"] == b["dataset"] and a["patient_id"] == b["patient_id"]:
        return True
    if a["sha256"] and a["sha256"] == b["sha256"]:
        return True
    if not (a["pixel_hash"] and b["pixel_hash"]):
        return False
    if a["sex"] and b["sex"] and a["sex"] != b["sex"]:
        return False
    if a["dataset"] == b["dataset"] and a["patient_id"] and b["patient_id"]:
        return False  # another patient by the data set's own word
    bits = bin(int(a["pixel_hash"], 16) ^ int(b["pixel_hash"], 16)).count("1")
    return bits == 0 or (bits <= 4 and not (a["patient_id"] and b["patient_id"]))


@settings(max_examples=60, deadline=None)
@given(rows_strategy(), st.integers(0, 5))
def test_no_patient_and_no_picture_is_separated(rows: list, seed: int) -> None:
    frame = from_rows(rows)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(frame)))
    records = frame.to_dict("records")
    graph.add_edges_from((i, j) for i, j in combinations(range(len(frame)), 2) if same_person(records[i], records[j]))
    expected = {frozenset(part) for part in nx.connected_components(graph)}
    groups = linked_groups(frame)
    assert {frozenset(np.flatnonzero(groups == g).tolist()) for g in set(groups.tolist())} == expected

    split = quiet_split(frame, seed=seed)["split"]
    assert split.notna().all()
    assert all(len({split[i] for i in part}) == 1 for part in expected)
    guard_splits(frame.assign(split=split))


def test_fractions_are_kept_in_every_stratum() -> None:
    frame = pd.concat([cohort(600, 1), cohort(300, 2, "other")], ignore_index=True)
    split = split_manifest(frame, fractions=SHARES, seed=5)
    for name, share in SHARES.items():
        part = split["split"] == name
        assert part.mean() == pytest.approx(share, abs=0.01)
        for dataset in ("s", "other"):
            assert part[split["dataset"] == dataset].mean() == pytest.approx(share, abs=0.015)
        for finding in ("tb", "nodule"):
            assert part[split[finding] == 1].mean() == pytest.approx(share, abs=0.03)


def test_row_order_makes_no_difference_and_the_seed_does() -> None:
    frame = cohort(200, 3)
    first = split_manifest(frame, fractions=SHARES, seed=7).set_index("image_id")["split"]
    mixed = split_manifest(frame.sample(frac=1, random_state=4), fractions=SHARES, seed=7).set_index("image_id")[
        "split"
    ]
    assert mixed[first.index].equals(first)
    other = split_manifest(frame, fractions=SHARES, seed=8).set_index("image_id")["split"]
    assert 0.2 < (other != first).mean() < 0.8


def test_the_order_given_is_the_order_returned() -> None:
    frame = cohort(30, 3).sample(frac=1, random_state=1)
    assert quiet_split(frame)["image_id"].tolist() == frame["image_id"].tolist()


def test_kept_rows_stay_and_their_patients_join_them() -> None:
    frame = cohort(300, 9)
    frame["split"] = None
    officially = frame["patient_id"].astype(int) < 60
    frame.loc[officially & frame["image_id"].str.endswith("-0"), "split"] = "test"
    frame.loc[~officially, "split"] = "train"
    split = quiet_split(frame, fractions={"train": 0.8, "val": 0.2}, keep=("test",))
    assert (split.loc[officially.to_numpy(), "split"] == "test").all()  # also the films that had no split yet
    rest = split.loc[~officially.to_numpy(), "split"]
    assert set(rest) == {"train", "val"}
    assert (rest == "val").mean() == pytest.approx(0.2, abs=0.02)


def test_a_picture_of_the_kept_part_joins_it_through_a_chain() -> None:
    frame = from_rows(
        [
            ("a", "1", "0" * 64, None, None, None),
            ("b", "2", "0" * 64, None, None, None),
            ("b", "2", None, None, None, None),
        ]
    )
    frame["split"] = ["test", None, None]
    assert quiet_split(frame, fractions={"train": 1.0}, keep=["test"])["split"].tolist() == ["test"] * 3


def test_a_chain_between_two_kept_splits_is_refused() -> None:
    frame = from_rows(
        [
            ("a", "1", "0" * 64, None, None, None),
            ("a", "2", "0" * 64, None, None, None),
            ("a", "2", None, None, None, None),
        ]
    )
    frame["split"] = ["val", None, "test"]
    with pytest.raises(ManifestError, match="more than one kept split"):
        quiet_split(frame, fractions={"train": 1.0}, keep=["test", "val"])


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"fractions": {"train": 0.7, "val": 0.2}}, "sum to 1"),
        ({"fractions": {"train": 1.2, "val": -0.2}}, "from 0 to 1"),
        ({"fractions": {"train": float("nan"), "val": 1.0}}, "from 0 to 1"),
        ({"fractions": {}}, "sum to 1"),
        ({"fractions": {"training": 1.0}}, "train, val, test"),
        ({"fractions": {"train": 0.8, "test": 0.2}, "keep": ["test"]}, "cannot have a fraction too"),
        ({"fractions": {"train": 1.0}, "keep": ["test"]}, "no row"),
    ],
)
def test_requests_that_mean_nothing(request_: dict, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        quiet_split(cohort(10, 1), **request_)


def test_a_split_without_positives_is_said() -> None:
    frame = cohort(40, 1).assign(tb=0.0, nodule=None)
    frame.loc[frame["patient_id"] == "3", "tb"] = 1.0
    with pytest.warns(SplitWarning, match=r"val has no positive of tb") as caught:
        split_manifest(frame, fractions=SHARES, seed=1)
    assert "nodule" not in str(caught[0].message)  # nobody knows: nothing to miss


def test_guard_names_images_never_patients() -> None:
    frame = cohort(20, 1).assign(patient_id=lambda f: "SECRET" + f["patient_id"])
    frame["split"] = ["train" if i % 2 else "test" for i in range(len(frame))]
    with pytest.raises(ManifestError) as caught:
        guard_splits(frame)
    shared = frame.groupby("patient_id")["split"].nunique().gt(1).sum()
    assert f"patient_in_two_splits: {shared} patients" in str(caught.value)
    assert "s/" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_equal_patient_ids_of_two_data_sets_are_two_patients() -> None:
    frame = pd.concat([cohort(5, 1).assign(split="train"), cohort(5, 1, "t").assign(split="test")])
    guard_splits(frame)


def test_a_shared_picture_is_refused_and_a_look_alike_is_not() -> None:
    same = from_rows([("a", None, None, "0" * 16, None, None), ("b", "1", None, "0" * 16, None, None)])
    same["split"] = ["train", "test"]
    with pytest.raises(ManifestError, match=r"picture_in_two_splits: 1 pictures.*a/0 in train and b/1 in test"):
        guard_splits(same)
    alike = from_rows([("a", "1", None, "0" * 16, None, None), ("a", "2", None, "0" * 16, None, None)])
    alike["split"] = ["train", "test"]
    guard_splits(alike)
    codes = {problem.code: problem for problem in check_manifest(alike, root=None)}
    assert codes["look_alike_in_two_splits"].severity == "warning"
    assert codes["look_alike_in_two_splits"].examples == ("a/0 and a/1",)


def test_union_prefixes_paths_and_refuses_clashes() -> None:
    a, b = cohort(3, 1), cohort(3, 2, "t")
    whole = union_manifests([a, b], prefixes=["x", "y/z/"])
    assert len(whole) == len(a) + len(b)
    assert whole["path"].iloc[0] == f"x/{a['path'].iloc[0]}"
    assert whole["path"].iloc[-1] == f"y/z/{b['path'].iloc[-1]}"
    with pytest.raises(ManifestError, match="duplicate_id"):
        union_manifests([a, a], prefixes=["x", "y"])
    assert len(union_manifests([a, b.assign(path=a["path"][0])[:1]])) == len(a) + 1  # their roots may differ
    with pytest.raises(ManifestError, match="at least one"):
        union_manifests([])
    with pytest.raises(ManifestError, match="1 path prefixes for 2"):
        union_manifests([a, b], prefixes=["x"])
    with pytest.raises(ManifestError, match="below the data root"):
        union_manifests([a, b], prefixes=["../x", "y"])


def test_a_patient_of_another_set_is_one_patient() -> None:
    rows = [
        ("nih_cxr14/a", "nih_cxr14", "13", "train"),
        ("rsna_pneumonia/b", "rsna_pneumonia", "nih_cxr14/13", "test"),
        ("rsna_pneumonia/c", "rsna_pneumonia", "13", "test"),
        ("other/d", "other", "13/2", "test"),
    ]
    frame = pd.DataFrame(rows, columns=["image_id", "dataset", "patient_id", "split"]).assign(path=lambda f: f.image_id)
    frame = conform(frame)
    assert patient_keys(frame).tolist() == ["nih_cxr14/13", "nih_cxr14/13", "rsna_pneumonia/13", "other/13/2"]
    assert len(set(linked_groups(frame).tolist())) == 3
    with pytest.raises(ManifestError, match=r"patients have images in more than one .*nih_cxr14/a.*_pneumonia/b"):
        guard_splits(frame)
