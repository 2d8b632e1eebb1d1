"""Films as tensors: the same film whatever the process, regions where the boxes are, batches dealt like cards."""

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import AugmentationSection
from pipelines.errors import ManifestError
from pipelines.manifest import read_manifest, write_manifest
from pipelines.training.augment import build_augmentation
from pipelines.training.batches import EpochBatches
from pipelines.training.films import RegionsFromBoxesd, TrainingFilms, build_cache, load_cohorts
from tests.training_runs import tiny_config, write_cohort


@given(
    films=st.integers(1, 200),
    batch=st.integers(2, 32),
    world=st.integers(1, 4),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_film_once_an_epoch_and_any_number_of_processes_sees_the_same_batches(
    films: int, batch: int, world: int, seed: int, epoch: int
) -> None:
    def batches(rank: int, size: int) -> list[list[int]]:
        sampler = EpochBatches(films, batch, seed=seed, rank=rank, world_size=size)
        sampler.epoch = epoch
        made = [[index for _, index in part] for part in sampler]
        assert len(made) == len(sampler)
        return made

    alone = batches(0, 1)
    assert sorted(chain(*alone)) == list(range(films))
    assert max(len(part) for part in alone) <= 1.5 * batch
    shares = [batches(rank, world) for rank in range(world)]
    for step, whole in enumerate(alone):
        assert sorted(chain(*(share[step] for share in shares))) == sorted(whole)


def test_another_epoch_and_another_seed_give_another_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochBatches(40, 8, seed=seed)
        sampler.epoch = epoch
        return [index for part in sampler for _, index in part]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingFilms, TrainingFilms]:
    folder = tmp_path_factory.mktemp("films")
    config = tiny_config(folder / "run", write_cohort(folder / "films", films=24))
    _, cohorts = load_cohorts(config)
    cohort = cohorts["train"]
    augment = build_augmentation(config.augmentation, config.model.size)
    cache = build_cache(cohort, config, folder)
    return TrainingFilms(cache, cohort, config, map_side=12, augment=augment), TrainingFilms(
        cache, cohort, config, map_side=12
    )


def test_a_film_looks_the_same_whenever_it_is_asked_for_and_other_in_another_epoch(
    films: tuple[TrainingFilms, TrainingFilms],
) -> None:
    changed, plain = films
    first = changed[2, 5]["image"].clone()
    _ = changed[0, 1], changed[2, 6]
    assert torch.equal(changed[2, 5]["image"], first)
    assert not torch.equal(changed[3, 5]["image"], first)
    assert torch.equal(plain[0, 5]["image"], plain[7, 5]["image"])
    assert first.shape == (1, 96, 96)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_regions_cover_the_boxes_and_nothing_else(films: tuple[TrainingFilms, TrainingFilms]) -> None:
    _, plain = films
    for index in range(len(plain)):
        item, row = plain[0, index], plain.cohort.rows.iloc[index]
        for position, finding in enumerate(("tb", "nodule")):
            boxes = [box for box in row["boxes"] if box["finding"] == finding]
            expected = np.zeros((96, 96))
            for box in boxes:
                expected[int(box["y0"]) : int(box["y1"]), int(box["x0"]) : int(box["x1"])] = 1
            cells = expected.reshape(12, 8, 12, 8).mean(axis=(1, 3))
            np.testing.assert_allclose(item["regions"][position], np.minimum(cells / 0.4, 1), atol=1e-6)


def test_where_no_box_is_drawn_for_a_positive_or_the_label_is_unknown_the_map_is_unknown(tmp_path: Path) -> None:
    known = write_cohort(tmp_path / "a", films=24, name="a")
    half = write_cohort(tmp_path / "b", films=24, name="b", seed=1, unknown=("tb",))
    config = tiny_config(tmp_path / "run", known, half)
    _, cohorts = load_cohorts(config)
    cohort = cohorts["train"]
    plain = TrainingFilms(build_cache(cohort, config, tmp_path), cohort, config, map_side=12)
    from_half = int(np.flatnonzero((cohort.rows["dataset"] == "b").to_numpy())[0])
    item = plain[0, from_half]
    assert item["regions"][0].isnan().all()
    assert not item["regions"][1].isnan().any()
    positive = int(np.flatnonzero((cohort.rows["nodule"] == 1).to_numpy())[0])
    cohort.rows.at[positive, "boxes"] = None
    again = TrainingFilms(plain.cache, cohort, config, map_side=12)
    assert again[0, positive]["regions"][1].isnan().all()


def test_boxes_follow_the_film_onto_the_square() -> None:
    regions = RegionsFromBoxesd(["tb"], 100)
    box = {"finding": "tb", "x0": 0, "y0": 0, "x1": 100, "y1": 200}
    placed = regions({"boxes": [box], "stored": (200, 100, False, False, False)})["regions"][0]
    # A film twice as high as wide fills the middle half of the square.
    assert placed[:, 25:75].all()
    assert placed.sum() == 100 * 50


def test_boxes_follow_a_film_that_is_stored_lying_down() -> None:
    regions = RegionsFromBoxesd(["tb"], 100)
    box = {"finding": "tb", "x0": 0, "y0": 0, "x1": 20, "y1": 10}
    # Stored rows are upright columns, and the last of them comes first: stored (0, 0) is the upper right corner.
    placed = regions({"boxes": [box], "stored": (100, 100, True, False, True)})["regions"][0]
    assert placed[:20, 90:].all()
    assert placed.sum() == 20 * 10


def test_film_and_region_move_together() -> None:
    section = AugmentationSection(rotate_degrees=20, translate=0.1, zoom=0.2, gamma=0, brightness=0, noise=0)
    chain = build_augmentation(section, 96)
    assert chain is not None
    film = torch.zeros(1, 96, 96)
    film[0, 30:50, 40:70] = 1
    for seed in range(10):
        chain.set_random_state(seed=seed)
        moved = chain({"image": film.clone(), "regions": film.clone()})
        overlap = ((moved["image"] > 0.5) & (moved["regions"] > 0.5)).sum() / (moved["image"] > 0.5).sum()
        assert overlap > 0.95


def test_everything_switched_off_is_no_augmentation() -> None:
    nothing = dict.fromkeys(AugmentationSection.model_fields, 0)
    assert build_augmentation(AugmentationSection(**nothing), 96) is None


def test_films_outside_the_intended_use_are_left_out_and_counted(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path / "a", films=48, name="a")
    frame = read_manifest(manifest)
    frame["age_years"] = pd.array([40.0, 14.9, 15.0, None] * 12, dtype=frame["age_years"].dtype)
    frame.loc[0, "view"] = "LATERAL"
    write_manifest(frame, manifest)
    _, cohorts = load_cohorts(tiny_config(tmp_path / "run", manifest))
    left_out = sum(cohort.left_out for cohort in cohorts.values())
    assert left_out == 12 + 1
    assert sum(len(cohort.paths) for cohort in cohorts.values()) == 48 - left_out
    assert all((cohort.rows["age_years"].fillna(99) >= 15).all() for cohort in cohorts.values())
    everyone = tiny_config(tmp_path / "run", manifest, intended_use={"min_age_years": None})
    assert sum(cohort.left_out for cohort in load_cohorts(everyone)[1].values()) == 1
    frame["age_years"] = 3.0
    write_manifest(frame, manifest)
    with pytest.raises(ManifestError, match=r"no row within the intended use \(32 are outside\) has split train"):
        load_cohorts(tiny_config(tmp_path / "run", manifest))
