"""Rendered films: boxes hold the lesion's pixels and nothing outside them changes."""

import numpy as np
import pytest

from pipelines.phantom.film import place_lesions, render_film
from pipelines.phantom.plan import FilmPlan, plan_film

SEED = 11


def _films(wanted, count: int, start: int = 0) -> list[FilmPlan]:
    found: list[FilmPlan] = []
    index = start
    while len(found) < count:
        plan = plan_film(SEED, index)
        if wanted(plan):
            found.append(plan)
        index += 1
    return found


def _one_of_each() -> list[FilmPlan]:
    kinds = [_films(lambda plan, kind=kind: plan.patient.tb_kind == kind, 1)[0] for kind in
             ("infiltrate", "cavity", "effusion", "miliary")]  # fmt: skip
    only_nodule = _films(lambda plan: plan.nodule and not plan.tb, 3)
    sites = [_films(lambda plan, site=site: plan.nodule and plan.site.name == site, 1)[0] for site in
             ("urban", "rural", "mobile")]  # fmt: skip
    unique = {plan.index: plan for plan in [*kinds, *only_nodule, *sites]}
    return list(unique.values())


@pytest.mark.parametrize("plan", _one_of_each(), ids=lambda plan: f"{plan.film_id}-{plan.patient.tb_kind or 'nodule'}")
def test_disease_changes_pixels_inside_its_boxes_and_nowhere_else(plan):
    diseased = render_film(plan)
    healthy = render_film(plan, lesions=False)
    assert healthy.lesions == ()
    changed = diseased.pixels != healthy.pixels
    inside = np.zeros(changed.shape, bool)
    for lesion in diseased.lesions:
        x0, y0, x1, y1 = (int(value) for value in lesion.box)
        assert 0 <= x0 < x1 <= changed.shape[1]
        assert 0 <= y0 < y1 <= changed.shape[0]
        assert changed[y0:y1, x0:x1].mean() > 0.1
        inside[y0:y1, x0:x1] = True
    assert not changed[~inside].any()


def test_lesions_are_denser_than_what_they_lie_on():
    plan = _films(lambda plan: plan.nodule and not plan.tb and plan.site.name == "urban", 1)[0]
    diseased = render_film(plan, noise=False)
    healthy = render_film(plan, noise=False, lesions=False)
    assert (diseased.pixels.astype(int) - healthy.pixels).min() >= 0  # MONOCHROME2: dense is high


def test_boxes_are_tight_without_noise():
    for plan in _films(lambda plan: plan.nodule and not plan.tb and not plan.distractors, 2):
        diseased = render_film(plan, noise=False)
        changed = diseased.pixels != render_film(plan, noise=False, lesions=False).pixels
        for lesion in diseased.lesions:
            x0, y0, x1, y1 = (int(value) for value in lesion.box)
            rows, columns = np.nonzero(changed[y0:y1, x0:x1])
            assert rows.min() <= 2
            assert columns.min() <= 2
            assert rows.max() >= y1 - y0 - 3
            assert columns.max() >= x1 - x0 - 3


def test_nodule_boxes_have_the_nodules_diameter():
    ratios: dict[str, list[float]] = {"soft": [], "spiculated": []}
    for plan in _films(lambda plan: plan.nodule and not plan.tb and not plan.patient.nodule_subtle, 8):
        for lesion in render_film(plan, noise=False).lesions:
            x0, y0, x1, y1 = lesion.box
            side = (x1 - x0 + y1 - y0) / 2 * plan.site.spacing_mm
            ratios[lesion.kind].append(side / lesion.diameter_mm)
    assert ratios["soft"]
    assert ratios["spiculated"]
    assert min(ratios["soft"]) > 0.9
    assert max(ratios["soft"]) < 1.2
    assert min(ratios["spiculated"]) > 1.0  # spicules reach beyond the body
    assert max(ratios["spiculated"]) < 1.75


def test_the_film_shows_exactly_what_its_labels_say():
    for plan in _films(lambda plan: plan.tb and plan.nodule, 2) + _films(
        lambda plan: not plan.tb and not plan.nodule, 1
    ):
        film = render_film(plan, noise=False)
        assert sum(lesion.finding == "nodule" for lesion in film.lesions) == len(plan.patient.nodules)
        assert any(lesion.finding == "tb" for lesion in film.lesions) == bool(plan.tb)
        assert sorted(lesion.diameter_mm for lesion in film.lesions if lesion.finding == "nodule") == sorted(
            nodule.diameter_mm for nodule in plan.patient.nodules
        )


def test_both_films_of_a_patient_show_the_same_lesions_in_the_same_place():
    second = _films(lambda plan: plan.visit == 1 and plan.nodule, 1)[0]
    first = plan_film(SEED, second.first_index)
    assert place_lesions(first) == place_lesions(second)
    first_film, second_film = render_film(first), render_film(second)
    assert [lesion.kind for lesion in first_film.lesions] == [lesion.kind for lesion in second_film.lesions]
    assert not np.array_equal(first_film.pixels, second_film.pixels)


def test_nodules_lie_free_behind_ribs_and_behind_the_heart():
    placed = [nodule.location for index in range(150) for nodule, _ in place_lesions(plan_film(SEED, index))[1]]
    shares = {location: placed.count(location) / len(placed) for location in ("free", "behind rib", "behind heart")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["free"] > 0.35
    assert shares["behind rib"] > 0.15
    assert shares["behind heart"] > 0.03


def test_tuberculosis_of_the_lung_lies_in_the_upper_zone():
    for plan in _films(lambda plan: plan.patient.tb_kind in ("infiltrate", "cavity"), 4):
        for lesion in render_film(plan, noise=False).lesions:
            if lesion.finding == "tb":
                assert (lesion.box[1] + lesion.box[3]) / 2 < 0.45 * plan.site.rows


def test_noise_depends_on_the_signal_and_on_nothing_of_the_disease():
    plan = _films(lambda plan: not plan.tb and not plan.nodule and plan.site.name == "urban", 1)[0]
    noise = render_film(plan).pixels.astype(float) - render_film(plan, noise=False).pixels
    clean = render_film(plan, noise=False).pixels
    rows, columns = clean.shape
    lung = noise[int(0.40 * rows) : int(0.46 * rows), int(0.22 * columns) : int(0.30 * columns)]
    abdomen = noise[int(0.90 * rows) : int(0.94 * rows), int(0.45 * columns) : int(0.55 * columns)]
    assert abdomen.std() > 1.5 * lung.std() > 0
    assert abs(lung.mean()) < 0.1 * lung.std() + 1


@pytest.mark.parametrize("site", ["urban", "rural", "mobile"])
def test_stored_values_fill_the_depth_they_are_stored_in(site):
    plan = _films(lambda plan: plan.site.name == site, 1)[0]
    pixels = render_film(plan).pixels
    assert pixels.shape == (plan.site.rows, plan.site.columns)
    assert pixels.dtype == np.uint16
    assert pixels.max() <= plan.site.max_value
    assert (
        len(np.unique(pixels))
        > 0.5 * (1 << plan.site.bits_stored) * (plan.site.stored_range[1] - plan.site.stored_range[0]) * 0.5
    )
