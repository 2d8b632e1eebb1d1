"""One film from its plan: anatomy, lesions, objects, exposure, stored pixels."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.phantom.anatomy import build_anatomy
from pipelines.phantom.chest import build_chest
from pipelines.phantom.detector import display_values, expose, stored_values
from pipelines.phantom.lesions import SUBTLE, Lesion, lesion_map, place_nodule, render_nodule
from pipelines.phantom.objects import add_objects, mark_film
from pipelines.phantom.plan import FilmPlan, NodulePlan, stream
from pipelines.phantom.tuberculosis import Focus, plan_foci, render_tuberculosis


@dataclass(frozen=True)
class Film:
    """One rendered film.

    Attributes:
        plan: what it is.
        pixels: stored values, uint16 ``[rows, columns]``.
        lesions: what is on it, in drawing order: tuberculosis, then nodules.
    """

    plan: FilmPlan
    pixels: NDArray[np.uint16]
    lesions: tuple[Lesion, ...]


def render_film(plan: FilmPlan, *, lesions: bool = True, noise: bool = True) -> Film:
    """Render one film.

    Args:
        plan: from `plan.plan_film`.
        lesions: False renders the same film of the same person without disease; all other pixels are the same.
        noise: False leaves quantum noise out.
    """
    anatomy = build_anatomy(plan)
    exposure = expose(plan, anatomy, noisy=noise)
    foci, nodules = place_lesions(plan)
    drawn = render_tuberculosis(plan, anatomy, foci)
    shapes = stream(plan.seed, "nodule shapes", plan.patient.number).spawn(len(nodules))
    contrast = SUBTLE if plan.patient.nodule_subtle else 1.0
    drawn += [
        render_nodule(rng, anatomy.canvas, nodule, centre, contrast)
        for rng, (nodule, centre) in zip(shapes, nodules, strict=True)
    ]
    attenuation = anatomy.attenuation
    if lesions:
        for lesion in drawn:
            attenuation[lesion.region.slices] += lesion.excess
    add_objects(plan, anatomy, attenuation)
    display = display_values(exposure, attenuation)
    mark_film(plan, anatomy, display)
    return Film(plan, stored_values(plan, display), tuple(drawn) if lesions else ())


def place_lesions(plan: FilmPlan) -> tuple[list[Focus], list[tuple[NodulePlan, tuple[float, float]]]]:
    """Place the lesions of the film's patient: the same on each of their films.

    Returns:
        Foci of tuberculosis, and each nodule (location as found) with its centre in patient millimetres.
    """
    patient = plan.patient
    if not patient.tb_kind and not patient.nodules:
        return [], []
    chest = build_chest(plan.seed, patient)
    places = lesion_map(chest)
    foci = plan_foci(plan, chest, places)
    rng = stream(plan.seed, "nodule places", patient.number)
    largest_first = sorted(patient.nodules, key=lambda nodule: -nodule.diameter_mm)
    return foci, [place_nodule(rng, places, replace(nodule)) for nodule in largest_first]
