"""Changed copies are found, other films are not; the guards stop, name them and go on only when told to."""

import base64
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipelines.datasets.measure import measure_file
from pipelines.datasets.prints import with_fingerprints
from pipelines.errors import ManifestError
from pipelines.evaluation.leakage import refuse_overlap
from pipelines.imaging.film_print import SIDE, UNSEEN, decode_cells, encode_cells, fingerprint
from pipelines.manifest import check_manifest, conform, guard_splits, linked_groups
from pipelines.manifest.copies import read_prints, write_prints
from pipelines.manifest.overlap.alignment import align, smooth
from pipelines.manifest.overlap.descriptors import WINDOWS, coefficients, descriptors
from pipelines.manifest.overlap.index import EXACT, candidates
from pipelines.manifest.overlap.pairs import SAME, find_pairs
from pipelines.manifest.overlap.turns import BETWEEN, TURNS, relief, turned

Picture = np.ndarray


def film(seed: int, rows: int = 360, columns: int = 320) -> Picture:
    """Something with the spectrum of a radiograph: noise at several scales, dark at the sides of a bright middle."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((rows, columns))
    for scale in (6, 12, 24, 48, 96):
        noise = rng.normal(size=(rows // scale * 3 + 8, columns // scale * 3 + 8)).astype(np.float32)
        picture += cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC) * np.sqrt(scale)
    down, across = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    picture += 14 * np.exp(-8 * across**2) + 6 * down
    low, high = np.percentile(picture, (0.5, 99.5))
    return np.clip((picture - low) / (high - low) * 230 + 12, 0, 255).astype(np.uint8)


def jpeg(picture: Picture, quality: int) -> Picture:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def lettered(picture: Picture) -> Picture:
    return cv2.putText(picture.copy(), "AP ERECT 12", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 2)


def boxed(picture: Picture) -> Picture:
    covered = picture.copy()
    covered[20:60, 30:150] = 255
    return covered


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "smaller": lambda p: cv2.resize(p, (200, 200), interpolation=cv2.INTER_AREA),
    "jpeg": lambda p: jpeg(p, 50),
    "window": lambda p: np.clip((p.astype(float) - 30) * 1.4, 0, 255).astype(np.uint8),
    "gamma": lambda p: (255 * (p / 255.0) ** 1.5).astype(np.uint8),
    "cropped": lambda p: p[18:-10, 8:-22],
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "a quarter turn": lambda p: np.rot90(p),
    "inverted": lambda p: 255 - p,
    "framed": lambda p: cv2.copyMakeBorder(p, 20, 35, 10, 25, cv2.BORDER_CONSTANT, value=0),
    "lettered": lettered,
    "boxed": boxed,
}


def printed(picture: Picture) -> str:
    return fingerprint(np.ascontiguousarray(picture).astype(np.float32) / 255)


@pytest.fixture(scope="module")
def crowd() -> list[Picture]:
    return [film(seed) for seed in range(40)]


def frame_of(prints: list[str | None], **columns: object) -> pd.DataFrame:
    rows = [{"image_id": f"d/{n}", "path": f"{n}.png", "dataset": "d", "fingerprint": p} for n, p in enumerate(prints)]
    return conform(pd.DataFrame(rows).assign(**columns))


def test_a_fingerprint_is_the_packed_codes() -> None:
    cells = np.random.default_rng(1).integers(0, 8, (SIDE, SIDE)).astype(np.uint8)
    text = encode_cells(cells)
    bits = "".join(f"{byte:08b}" for byte in base64.urlsafe_b64decode(text[1:]))
    assert [int(bits[i : i + 3], 2) for i in range(0, len(bits), 3)] == cells.ravel().tolist()
    assert (decode_cells([text, text])[1] == cells).all()
    assert text[0] == "A"
    assert len(text) == 393


def test_what_holds_no_picture_has_a_fingerprint_that_fits_nothing() -> None:
    blank = printed(np.full((300, 300), 80, dtype=np.uint8))
    assert (decode_cells([blank]) == UNSEEN).all()
    assert find_pairs(frame_of([blank, blank, printed(film(1))])).empty


def test_a_box_is_unseen_and_borders_are_off(crowd: list[Picture]) -> None:
    plain, covered = (decode_cells([printed(p)])[0] for p in (crowd[0], boxed(crowd[0])))
    assert (plain != UNSEEN).all()
    rows, columns = np.nonzero(covered == UNSEEN)
    assert rows.min() >= 0.5
    assert rows.max() <= 60 / 360 * SIDE + 1
    assert columns.max() <= 150 / 320 * SIDE + 1
    framed = decode_cells([printed(CHANGES["framed"](crowd[0]))])[0]
    assert np.corrcoef(plain.ravel(), framed.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_other_films(crowd: list[Picture], change: str, tmp_path: Path) -> None:
    films = [*crowd, np.ascontiguousarray(CHANGES[change](crowd[7]))]
    for number in (7, 40):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), films[number])
    frame = frame_of([printed(p) for p in films])
    files = {number: tmp_path / f"{number}.png" for number in (7, 40)}
    pairs = find_pairs(frame, locate=files.get)
    found = pairs[pairs["verdict"].isin(SAME)]
    assert found[["row_a", "row_b"]].to_numpy().tolist() == [[7, 40]]
    assert found["verdict"].iloc[0] == SAME[1]
    assert found["correlation"].iloc[0] > 0.9
    expected = {"cropped": "cropped", "mirrored": "mirrored", "upside down": "upside down", "inverted": "inverted"}
    assert expected.get(change, "") in found["kind"].iloc[0]


def test_turns_are_what_numpy_says() -> None:
    sample = np.arange(12).reshape(3, 4)[:3, :3]
    assert (turned(sample, 4) == np.fliplr(sample)).all()
    assert (turned(sample, 2) == np.flipud(sample)).all()
    assert (turned(sample, 1) == sample.T).all()
    assert (turned(sample, 6) == np.rot90(sample, 2)).all()
    for one in range(TURNS):
        for other in range(TURNS):
            assert (turned(turned(sample, int(BETWEEN[one, other])), other) == turned(sample, one)).all()


def test_alignment_finds_a_known_shift_and_scale() -> None:
    from scipy.ndimage import gaussian_filter, map_coordinates

    big = gaussian_filter(np.random.default_rng(3).normal(size=(SIDE, SIDE)), 1.5)
    truth = np.array([0.9, 0.95, 1.4, 0.92])
    i, j = np.mgrid[:SIDE, :SIDE].astype(float)
    other = map_coordinates(big, [truth[0] + truth[1] * i, truth[2] + truth[3] * j], order=1)
    every = np.ones((SIDE, SIDE), dtype=bool)
    one = big.astype(np.float32)
    for sign in (1, -1):
        top, share, place = align(
            one, every, (sign * 3 * other + 5).astype(np.float32), every, np.array([0, 1.0, 0, 1])
        )
        assert top * sign > 0.999
        assert share > 0.9
        assert place == pytest.approx(truth, abs=0.03)


def test_smoothing_is_scipys() -> None:
    from scipy.ndimage import convolve

    maps = np.random.default_rng(0).normal(size=(2, 9, 9)).astype(np.float32)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    assert smooth(maps) == pytest.approx(np.stack([convolve(m, kernel, mode="nearest") for m in maps]), abs=1e-6)


def test_descriptors_of_a_pure_cosine_have_one_coefficient() -> None:
    wave = np.cos(np.pi * 3 * (np.arange(SIDE) + 0.5) / SIDE)
    maps = np.broadcast_to(wave, (1, SIDE, SIDE)).astype(np.float32)
    values = descriptors(coefficients(maps), 0)[0, 0]
    assert np.abs(values).argsort()[-1] == 2  # (0, 3): the constant (0, 0) is not kept
    assert np.abs(np.delete(values, 2)).max() < 0.05 * abs(values[2])


@pytest.mark.parametrize("turn", range(TURNS))
def test_descriptors_of_a_turned_film_are_those_of_the_film_turned_first(turn: int) -> None:
    maps = np.random.default_rng(turn).normal(size=(3, SIDE, SIDE)).astype(np.float32)
    first = descriptors(coefficients(np.ascontiguousarray(turned(maps, turn))), 0)
    assert descriptors(coefficients(maps), turn) == pytest.approx(first, abs=1e-5)


def test_a_window_is_the_cropped_film() -> None:
    """Against scipy's cosine transform of the part that is left, drawn anew."""
    from scipy.fft import dctn
    from scipy.ndimage import map_coordinates

    film = cv2.GaussianBlur(np.random.default_rng(2).normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 1.5)
    top, bottom, left, right = WINDOWS[6]
    assert (top, bottom, left, right) == (0.0, 0.06, 0.06, 0.0)
    places = [
        (low + (np.arange(64) + 0.5) / 64 * (1 - low - high)) * SIDE - 0.5
        for low, high in ((top, bottom), (left, right))
    ]
    drawn = map_coordinates(film, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    expected = dctn(drawn, type=2)[:10, :10] / (2 * 64) ** 2
    rows, columns = np.mgrid[:10, :10]
    kept = (np.hypot(rows, columns) <= 9.5) & (rows + columns > 0)
    assert descriptors(coefficients(film[None]), 0)[0, 6] == pytest.approx(expected[kept], abs=1e-5)


def test_lists_find_planted_copies_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    maps = np.stack([cv2.GaussianBlur(m, (0, 0), 1.2) for m in rng.normal(size=(3000, SIDE, SIDE)).astype(np.float32)])
    maps /= maps.std()
    maps += 2 * cv2.resize(rng.normal(size=(4, 4)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    maps[2900:] = maps[:100] + 0.2 * rng.normal(size=(100, SIDE, SIDE))
    cells = (np.clip(np.rint(maps), -3, 3) + 3).astype(np.uint8)
    assert len(maps) < EXACT
    monkeypatch.setattr("pipelines.manifest.overlap.index.EXACT", 500)
    groups = np.where(np.arange(3000) < 2900, 0, 1 + np.arange(3000) % 2)
    for group in (None, groups):
        found = candidates(cells, group)
        pairs = {frozenset(pair) for pair in zip(found.asking.tolist(), found.answering.tolist(), strict=True)}
        assert sum(frozenset((n, 2900 + n)) in pairs for n in range(100)) >= 98
    assert not (groups[found.asking] == groups[found.answering]).any()


def test_the_guard_names_the_pair_and_lists_it(crowd: list[Picture], tmp_path: Path) -> None:
    prints = [printed(p) for p in (*crowd[:4], np.fliplr(crowd[2]))]
    frame = frame_of(prints, split=["train", "train", "train", "val", "test"])
    with pytest.raises(ManifestError, match=r"1 pairs of films .*d/2 in train and d/4 in test .*mirrored"):
        guard_splits(frame, listing=tmp_path / "run" / "overlap.csv")
    listed = pd.read_csv(tmp_path / "run" / "overlap.csv")
    assert listed[["image_a", "image_b"]].to_numpy().tolist() == [["d/2", "d/4"]]
    guard_splits(frame.assign(split=["train", "train", "train", "val", "train"]))
    assert linked_groups(frame)[2] == linked_groups(frame)[4]
    assert len(set(linked_groups(frame))) == 4


def test_two_patients_by_the_data_sets_own_ids_are_not_joined_by_fingerprints(crowd: list[Picture]) -> None:
    prints = [printed(crowd[0]), printed(np.fliplr(crowd[0]))]
    frame = frame_of(prints, split=["train", "test"], patient_id=["1", "2"])
    guard_splits(frame)
    assert len(set(linked_groups(frame))) == 2


def test_a_malformed_fingerprint_is_said_and_breaks_nothing() -> None:
    frame = frame_of([None, None]).assign(fingerprint=["A" + "!" * 392, "B" + "a" * 392])
    assert [p.count for p in check_manifest(frame, root=None) if p.code == "bad_fingerprint"] == [2]


def test_hashes_give_the_fingerprint_and_reading_goes_on_where_it_stopped(tmp_path: Path, crowd: list[Picture]) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), crowd[number])
    expected = [measure_file(tmp_path / f"{n}.png", hashes=True).fingerprint for n in range(3)]
    cache = tmp_path / "cache.csv"
    frames = with_fingerprints([frame_of([None] * 3)], [tmp_path], cache, 1, None)
    assert frames[0]["fingerprint"].tolist() == expected
    kept = cache.read_text().splitlines()
    cache.write_text("\n".join(kept[:2]) + "\n" + kept[2][:50])  # killed in the middle of a row
    told: list[tuple[int, int]] = []
    again = with_fingerprints([frame_of([None] * 3)], [tmp_path], cache, 1, lambda *now: told.append(now))
    assert again[0]["fingerprint"].tolist() == expected
    assert told == [(1, 1)]


def test_evaluation_stops_on_films_of_the_package_and_goes_on_when_told(tmp_path: Path, crowd: list[Picture]) -> None:
    learned = frame_of([printed(p) for p in crowd[:3]], split=["train", "train", "val"])
    write_prints([learned], tmp_path / "training_films.parquet")
    assert "image_id" not in read_prints(tmp_path / "training_films.parquet").columns
    tested = frame_of([printed(p) for p in (crowd[5], np.fliplr(crowd[1]), crowd[6])], split=["test"] * 3)
    common = {
        "root": tmp_path,
        "prints": tmp_path / "training_films.parquet",
        "listing": tmp_path / "o" / "overlap.csv",
    }
    with pytest.raises(ManifestError, match=r"1 of 3 films to be tested .*d/1.*training film 2.*--allow-overlap"):
        refuse_overlap(tested, tested["image_id"], allow=False, **common)
    assert refuse_overlap(tested, tested["image_id"], allow=True, **common) == 1
    clean = tested.drop(index=1).reset_index(drop=True)
    assert refuse_overlap(clean, clean["image_id"], allow=False, **common) == 0
    (tmp_path / "training_films.parquet").write_bytes(b"no table")
    with pytest.raises(ManifestError, match="not a readable table"):
        refuse_overlap(clean, clean["image_id"], allow=False, **common)


def test_relief_is_about_zero() -> None:
    assert relief(np.array([[[0, 3, 6, UNSEEN]]], dtype=np.uint8)).tolist() == [[[-3, 0, 3, 0]]]
