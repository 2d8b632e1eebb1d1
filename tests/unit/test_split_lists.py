"""Split lists: the rule of the folds, the committed lists, and their application to manifests."""

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli import split_lists as verbs
from pipelines.datasets import ADAPTERS
from pipelines.datasets.split_lists import (
    DIGESTS,
    KEPT_APART,
    Film,
    SplitList,
    apply_list,
    content_digest,
    films_of,
    fold_list,
    list_bytes,
    official_list,
    read_list,
    write_list,
)
from pipelines.errors import DatasetError, ManifestError
from pipelines.manifest import conform, read_manifest, write_manifest
from pipelines.manifest.leakage import HashWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*have no hashes")

COMMITTED = Path(__file__).resolve().parents[2] / "data_manifests"
DIGESTED = json.loads((COMMITTED / DIGESTS).read_text(encoding="utf-8"))
FOLD_LISTS = sorted(name.removesuffix(".csv.gz") for name, facts in DIGESTED.items() if "folds" in facts)


@cache
def committed(name: str) -> SplitList:
    return read_list(COMMITTED / f"{name}.csv.gz")


def films(*counts: int, stratum: str = "a") -> list[Film]:
    return [
        Film(f"d/{stratum}{g}-{n}", f"{stratum}{g}", stratum, "")
        for g, count in enumerate(counts)
        for n in range(count)
    ]


def naive_folds(rows: list[Film], folds: int, seed: int) -> dict[str, str]:
    """The rule, written again from its description: no shared code, strings and sums only."""
    sizes: Counter[tuple[str, str]] = Counter(
        (row.stratum, row.group or row.image_id) for row in rows if row.part != "test"
    )
    filled: dict[tuple[str, int], int] = defaultdict(int)
    total = [0] * folds
    place: dict[str, str] = {row.group or row.image_id: "test" for row in rows if row.part == "test"}
    turn = lambda item: (item[0][0], -item[1], hashlib.sha256(f"{seed}/{item[0][1]}".encode()).hexdigest())  # noqa: E731
    for (stratum, group), size in sorted(sizes.items(), key=turn):
        best = sorted(range(folds), key=lambda k: (filled[stratum, k], total[k], k))[0]
        filled[stratum, best] += size
        total[best] += size
        place[group] = str(best)
    return place


@pytest.mark.parametrize("name", FOLD_LISTS)
def test_the_committed_folds_are_rebuilt_byte_for_byte(name: str) -> None:
    said, digested = committed(name), DIGESTED[f"{name}.csv.gz"]
    blank = [film._replace(part=film.part if film.part == KEPT_APART else "") for film in said.films]
    random.Random(5).shuffle(blank)
    rebuilt = fold_list(blank, folds=digested["folds"], seed=digested["seed"])
    assert list_bytes(rebuilt) == list_bytes(said)
    assert content_digest(rebuilt) == digested["content"]
    expected = naive_folds(blank, digested["folds"], digested["seed"])
    assert all(film.part == expected[film.unit] for film in said.films)


@pytest.mark.parametrize("name", sorted(DIGESTED))
def test_every_committed_list_is_what_its_digest_says(name: str) -> None:
    said = committed(name.removesuffix(".csv.gz"))
    assert content_digest(said) == DIGESTED[name]["content"]
    assert len(said.films) == DIGESTED[name]["films"]
    packed = (COMMITTED / name).read_bytes()
    assert packed[:4] == b"\x1f\x8b\x08\x00"  # gzip, no file name
    assert packed[4:8] == bytes(4)  # no time


def test_the_committed_lists_are_all_digested_small_and_of_known_data_sets() -> None:
    assert {path.name for path in COMMITTED.glob("*.csv*")} == set(DIGESTED)
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 2_000_000
    for name in DIGESTED:
        datasets = {film.image_id.partition("/")[0] for film in committed(name.removesuffix(".csv.gz")).films}
        assert len(datasets) == 1
        assert datasets <= set(ADAPTERS)


def test_the_names_in_the_committed_lists_are_the_published_ones() -> None:
    counts = {
        "montgomery_folds": {"no tb": 80, "tb": 58},
        "shenzhen_folds": {"no tb": 326, "tb": 336},
        "jsrt_folds": {"nodule": 154, "no nodule": 93},
        "tbx11k_folds": {
            "healthy": 3_800,
            "sick": 3_800,
            "active tb": 630,
            "latent tb": 139,
            "active and latent tb": 30,
            "unknown": 1,
        },
    }
    for name, published in counts.items():
        assert Counter(film.stratum for film in committed(name).films) == published
    for name, pattern, positive in (
        ("montgomery_folds", r"montgomery/MCUCXR_(\d{4})_([01])", "1"),
        ("shenzhen_folds", r"shenzhen/CHNCXR_(\d{4})_([01])", "1"),
        ("jsrt_folds", r"jsrt/JPC(L|N)N(\d{3})", None),
    ):
        for film in committed(name).films:
            match = re.fullmatch(pattern, film.image_id)
            assert match is not None
            if positive:
                assert (film.stratum == "tb") == (match[2] == positive)
            else:
                assert (film.stratum == "nodule") == (match[1] == "L")
    assert {int(film.image_id[-6:-2]) for film in committed("shenzhen_folds").films} == set(range(1, 663))
    folder = {"healthy": "health/h", "sick": "sick/s"}
    for film in committed("tbx11k_folds").films:
        assert film.image_id.startswith(f"tbx11k/{folder.get(film.stratum, 'tb/tb')}")
        assert re.fullmatch(r"tbx11k/(health/h|sick/s|tb/tb)\d{4}", film.image_id)


def test_equal_files_of_tbx11k_stay_in_one_fold() -> None:
    groups = defaultdict(list)
    for film in committed("tbx11k_folds").films:
        if film.group:
            groups[film.group].append(film)
    assert len(groups) == 126
    for name, members in groups.items():
        assert name == "+".join(sorted(film.image_id.rpartition("/")[2] for film in members))
        assert len({film.part for film in members}) == 1
        assert {film.stratum for film in members} == {"sick"}


@pytest.mark.parametrize("name", FOLD_LISTS)
def test_folds_are_balanced_in_every_stratum(name: str) -> None:
    said = committed(name)
    counts = Counter((film.stratum, film.part) for film in said.films if film.part != KEPT_APART)
    largest = max(Counter(film.unit for film in said.films).values())
    for stratum in {film.stratum for film in said.films}:
        sizes = [counts[stratum, str(fold)] for fold in range(said.folds)]
        assert max(sizes) - min(sizes) <= largest
    assert len({film.unit for film in said.films}) == sum(
        len({film.unit for film in said.films if film.part == part}) for part in {film.part for film in said.films}
    )


def test_large_groups_are_dealt_before_small_ones_and_the_seed_matters() -> None:
    rows = films(7, 5, 3, 3, 2, 1, 1, 1, 1)
    folds = fold_list(rows, folds=3, seed=1)
    assert sorted(Counter(film.part for film in folds.films).values()) == [8, 8, 8]
    many = films(*[1] * 60)
    assert fold_list(many, folds=3, seed=1) == fold_list(reversed(many), folds=3, seed=1)
    assert fold_list(many, folds=3, seed=1) != fold_list(many, folds=3, seed=2)


def test_remainders_of_strata_do_not_pile_up_in_one_fold() -> None:
    rows = [film for stratum in "abcdefgh" for film in films(1, 1, 1, 1, stratum=stratum)]
    assert set(Counter(film.part for film in fold_list(rows, folds=3, seed=1).films).values()) <= {10, 11}


@pytest.mark.parametrize(
    ("rows", "folds", "message"),
    [
        (films(1, 1), 1, "found 1, expected 2 to 2"),
        (films(3, 3), 3, "found 3, expected 2 to 2"),
        (
            [Film("d/1", "p", "a", ""), Film("d/2", "p", "b", "")],
            2,
            "d/1 and d/2 belong together, but are in two strata",
        ),
        ([Film("d/1", "p", "a", ""), Film("d/2", "p", "a", "test")], 2, "both sides of an official test part"),
    ],
)
def test_what_cannot_be_dealt_is_refused(rows: list[Film], folds: int, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        fold_list(rows, folds=folds, seed=1)


def manifest(rows: int = 12, dataset: str = "mine", **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "image_id": [f"{dataset}/{number:02d}" for number in range(rows)],
            "path": [f"{number}.png" for number in range(rows)],
            "dataset": dataset,
            "patient_id": [f"p{number // 2}" for number in range(rows)],
            "tb": [float(number % 4 == 0) for number in range(rows)],
        }
    )
    return conform(frame.assign(**columns))


def test_films_of_a_manifest_are_grouped_by_patient_and_by_picture() -> None:
    frame = manifest(sha256=["a" * 64 if number in (1, 2) else f"{number:064x}" for number in range(12)])
    rows = films_of(frame, by="tb", keep_test=False)
    assert [film.group for film in rows[:6]] == ["mine/00"] * 4 + ["p2", "p2"]  # p0 and p1 share a picture
    assert [film.stratum for film in rows[:8]] == ["tb"] * 6 + ["no tb"] * 2  # one positive film is enough
    alone = films_of(manifest(patient_id=None, nodule=[1.0] + [None] * 11), by="nodule", keep_test=False)
    assert {film.group for film in alone} == {""}
    assert [film.stratum for film in alone] == ["nodule"] + ["unknown"] * 11
    with pytest.raises(DatasetError, match="finding 'nodule' is known of no film here"):
        films_of(frame, by="nodule", keep_test=False)
    with pytest.raises(DatasetError, match="finding 'mass' is none of tb, nodule"):
        films_of(frame, by="mass", keep_test=False)


def test_patients_of_two_data_sets_with_one_name_are_two_patients() -> None:
    both = pd.concat([manifest(tb=1.0), manifest(dataset="theirs", tb=0.0)], ignore_index=True)
    rows = films_of(both, by="tb", keep_test=False)
    assert len({film.group for film in rows}) == 12
    assert {(film.group, film.stratum) for film in rows if film.group.endswith("/p0")} == {
        ("mine/p0", "tb"),
        ("theirs/p0", "no tb"),
    }
    dealt = fold_list(rows, folds=2, seed=1)
    assert Counter(film.part for film in dealt.films) == {"0": 12, "1": 12}


def test_a_fold_is_applied_with_and_without_a_test_part() -> None:
    frame = manifest()
    without = fold_list(films_of(frame, by="tb", keep_test=False), folds=3, seed=1)
    with pytest.warns(HashWarning):
        applied = apply_list(frame, without, fold=2)
    part = {film.image_id: film.part for film in without.films}
    roles = {"2": "test", "0": "val", "1": "train"}
    assert applied.frame["split"].tolist() == [roles[part[image]] for image in frame["image_id"]]
    assert (applied.placed, applied.missing, applied.unlisted) == (12, (), ())
    kept = frame.assign(split=[("test" if number < 4 else "train") for number in range(12)])
    listed = fold_list(films_of(kept, by="tb", keep_test=True), folds=2, seed=1)
    with pytest.warns(HashWarning):
        applied = apply_list(frame, listed, fold=1)
    part = {film.image_id: film.part for film in listed.films}
    assert [part[image] for image in frame["image_id"][:4]] == ["test"] * 4
    roles = {"test": "test", "1": "val", "0": "train"}
    assert applied.frame["split"].tolist() == [roles[part[image]] for image in frame["image_id"]]
    with pytest.warns(HashWarning):
        official = apply_list(frame, official_list(kept))
    assert official.frame["split"].equals(kept["split"])


def test_films_that_only_one_side_knows_are_counted() -> None:
    frame = manifest()
    said = fold_list(films_of(frame, by="tb", keep_test=False), folds=3, seed=1)
    other = manifest(3, dataset="other", split=["val", "val", None])
    more = manifest(14).iloc[4:].assign(split="test")
    both = conform(pd.concat([more, other], ignore_index=True))
    with pytest.warns(HashWarning):
        applied = apply_list(both, said, fold=0)
    assert applied.placed == 8
    assert applied.missing == ("mine/00", "mine/01", "mine/02", "mine/03")
    assert applied.unlisted == ("mine/12", "mine/13")
    by_id = applied.frame.set_index("image_id")["split"]
    assert by_id[["mine/12", "mine/13"]].isna().all()  # of the list's data set, not in the list
    assert by_id[["other/00", "other/01"]].tolist() == ["val", "val"]  # of another data set: as it was
    with pytest.raises(DatasetError, match=r"no film of the list \(e.g. mine/00\) is in the manifest"):
        apply_list(manifest(dataset="third"), said, fold=0)


def test_a_list_that_separates_a_patient_or_a_picture_is_refused() -> None:
    frame = manifest(4)
    apart = SplitList(
        "split", tuple(Film(image, "", "", ("train", "test")[i % 2]) for i, image in enumerate(frame["image_id"]))
    )
    with pytest.raises(ManifestError, match="patients have images in more than one split"), pytest.warns(HashWarning):
        apply_list(frame, apart)
    hashed = frame.assign(patient_id=None, sha256="b" * 64)
    with pytest.raises(ManifestError, match="pictures are in more than one split"):
        apply_list(hashed, apart)


@pytest.mark.parametrize(
    ("fold", "message"), [(None, "none was asked for, expected one of 0 to 2"), (3, "found 3"), (-1, "found -1")]
)
def test_a_fold_that_is_none_is_refused(fold: int | None, message: str) -> None:
    said = fold_list(films_of(manifest(), by="tb", keep_test=False), folds=3, seed=1)
    with pytest.raises(DatasetError, match=message):
        apply_list(manifest(), said, fold=fold)
    with pytest.raises(DatasetError, match="fold 0 of a list of official parts"):
        apply_list(manifest(), official_list(manifest(split="train")), fold=0)


def test_a_list_survives_the_disk_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    said = fold_list(films_of(manifest(), by="tb", keep_test=False), folds=3, seed=1)
    for name in ("a.csv", "a.csv.gz"):
        write_list(said, tmp_path / name)
        assert read_list(tmp_path / name) == said
    again = (tmp_path / "a.csv.gz").read_bytes()
    write_list(said, tmp_path / "a.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == again
    (tmp_path / DIGESTS).write_text(json.dumps({"a.csv": {"content": content_digest(said)}}))
    assert read_list(tmp_path / "a.csv") == said
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace("mine/00,p0,tb,", "mine/00,p9,tb,"))
    with pytest.raises(DatasetError, match="the list was changed"):
        read_list(tmp_path / "a.csv")
    (tmp_path / DIGESTS).write_text("[]")
    with pytest.raises(DatasetError, match=r"digests.json: expected list names with their digests"):
        read_list(tmp_path / "a.csv")
    with pytest.raises(DatasetError, match=r"ends in \.csv or \.csv\.gz"):
        write_list(said, tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"ends in \.csv or \.csv\.gz"):
        read_list(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,group,stratum\nd/1,,a\n", "expected films and one of the columns fold and split, found 0"),
        ("image_id,group,stratum,fold,split\nd/1,,a,0,train\n", "found 2 of them"),
        ("image_id,group,stratum,fold\n", "found 0 of them"),
        ("image_id,group,stratum,fold\nd/1,,a,0\nd/1,,a,1\n", "film d/1 is in the list twice"),
        ("image_id,group,stratum,fold\nd/1,,a,0\nd/2,,a,2\n", "column fold holds '2', expected 0, 1, … without a gap"),
        ("image_id,group,stratum,fold\nd/1,,a,test\n", "column fold holds 'test only'"),
        ("image_id,group,stratum,split\nd/1,,a,dev\n", "column split holds 'dev', expected train, val, test"),
        ("image,fold\nd/1,0\n", "expected column image_id, group, stratum, found image, fold"),
        ("", "expected a comma-separated table with a header"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=r"x\.csv: no such list"):
        read_list(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_list(tmp_path / "x.csv")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("apply")(verbs.apply)
    app.command("folds")(verbs.folds)
    return app


def test_verbs_make_a_list_and_apply_it(app: typer.Typer, tmp_path: Path) -> None:
    write_manifest(manifest(), tmp_path / "m.csv")
    arguments = ["folds", f"{tmp_path}/m.csv", "--by", "tb", "--folds", "3", "--out", f"{tmp_path}/l.csv.gz"]
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    assert "12 films in 6 groups, 3 folds; content sha256:" in made.stdout
    write_manifest(manifest(14).iloc[1:], tmp_path / "n.csv")
    arguments = ["apply", f"{tmp_path}/n.csv", f"{tmp_path}/l.csv.gz", "--fold", "1", "--out", f"{tmp_path}/o.csv"]
    with pytest.warns(HashWarning):
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "11 films placed by the list" in said
    assert "1 films of the list are not in the manifest (e.g. mine/00)" in said
    assert "2 films of its data set are not in the list and now in no split (e.g. mine/12, mine/13)" in said
    assert read_manifest(tmp_path / "o.csv")["split"].value_counts().sum() == 11
