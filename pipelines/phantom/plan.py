"""What each film of the cohort is, drawn before anything is rendered.

Film *i* depends on ``(seed, i)`` only: neither on how many films there are nor on who renders them. Films come in
blocks of eleven with ten patients; one patient of each block has two films (same disease, another exposure), so that
splits which ignore patients leak.

Every draw has a random stream of its own, named by purpose: the disease of a patient cannot depend on anything else.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.phantom.sites import SITES, Site, Syntax

FILMS_PER_BLOCK: Final = 11
PATIENTS_PER_BLOCK: Final = 10
TB_PREVALENCE: Final = 0.35
NODULE_PREVALENCE: Final = 0.35
SUBTLE_SHARE: Final = 0.15
TB_KINDS: Final = ("infiltrate", "cavity", "effusion", "miliary")
TB_KIND_SHARES: Final = (0.40, 0.28, 0.18, 0.14)
NODULE_DIAMETER_MM: Final = (6.0, 30.0)
NODULE_LOCATIONS: Final = ("free", "behind rib", "behind heart")
NODULE_LOCATION_SHARES: Final = (0.58, 0.32, 0.10)


@dataclass(frozen=True, kw_only=True)
class NodulePlan:
    """One nodule as drawn: diameter in mm at the detector, margin, wanted location, relative density."""

    diameter_mm: float
    spiculated: bool
    location: str
    density: float


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A synthetic person and their disease; the same on each of their films.

    Attributes:
        number: 0-based, unique in the cohort.
        sex: ``F`` or ``M``.
        age_years: 15-89.
        width: chest width relative to an average adult.
        height: chest height relative to an average adult.
        thickness: body thickness relative to an average adult.
        tb_kind: one of `TB_KINDS`, or empty.
        tb_subtle: the tuberculosis is faint.
        nodules: empty where there is none.
        nodule_subtle: the nodules are faint.
    """

    number: int
    sex: str
    age_years: int
    width: float
    height: float
    thickness: float
    tb_kind: str
    tb_subtle: bool
    nodules: tuple[NodulePlan, ...]
    nodule_subtle: bool


@dataclass(frozen=True, kw_only=True)
class FilmPlan:
    """One film: who, where, how exposed, and what lies on it that is no disease.

    Attributes:
        seed: seed of the cohort.
        index: 0-based number of the film.
        patient: who is on it.
        first_index: index of the patient's first film.
        visit: 0 for the patient's first film, 1 for the second.
        site: where it was taken.
        syntax: transfer syntax of the file.
        rotation_deg: tilt of the patient in the image plane.
        shift_mm: displacement (x, y) of the patient on the detector.
        yaw_mm: how far the sternum is turned off the spine.
        exposure: detected quanta relative to the site's mean.
        contrast: attenuation relative to the site's mean (beam quality).
        scatter: scattered share of the mean signal.
        brightness: display brightness offset, in units of the display range.
        distractors: names of what else is on the film.
    """

    seed: int
    index: int
    patient: Patient
    first_index: int
    visit: int
    site: Site
    syntax: Syntax
    rotation_deg: float
    shift_mm: tuple[float, float]
    yaw_mm: float
    exposure: float
    contrast: float
    scatter: float
    brightness: float
    distractors: tuple[str, ...]

    @property
    def film_id(self) -> str:
        """File stem, for example ``film00012``."""
        return f"film{self.index:05d}"

    @property
    def patient_id(self) -> str:
        """Identifier of the synthetic person."""
        return f"PHANTOM-{self.patient.number:05d}"

    @property
    def image(self) -> str:
        """POSIX path of the file, relative to the cohort's folder."""
        return f"{self.site.name}/{self.film_id}.dcm"

    @property
    def tb(self) -> int:
        """1 where the film shows tuberculosis."""
        return int(bool(self.patient.tb_kind))

    @property
    def nodule(self) -> int:
        """1 where the film shows at least one nodule."""
        return int(bool(self.patient.nodules))


def stream(seed: int, purpose: str, number: int) -> np.random.Generator:
    """Return the random stream of one purpose and one film or patient.

    Args:
        seed: seed of the cohort.
        purpose: name of what is drawn; streams of different purposes are independent.
        number: film or patient number.
    """
    digest = hashlib.sha256(f"cxr-phantom/{purpose}/{seed}/{number}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def plan_film(seed: int, index: int) -> FilmPlan:
    """Draw film ``index`` of the cohort with this seed.

    Args:
        seed: seed of the cohort, >= 0.
        index: film number, >= 0.
    """
    number, visit = _patient_of(seed, index)
    site = SITES[int(stream(seed, "site", number).integers(len(SITES)))]
    rng = stream(seed, "film", index)
    return FilmPlan(
        seed=seed,
        index=index,
        patient=draw_patient(seed, number),
        first_index=index - visit,
        visit=visit,
        site=site,
        syntax=site.syntaxes[int(rng.integers(len(site.syntaxes)))],
        rotation_deg=float(np.clip(rng.normal(0.0, 1.2), -3.0, 3.0)),
        shift_mm=(float(rng.uniform(-7, 7)), float(rng.uniform(-6, 6))),
        yaw_mm=float(np.clip(rng.normal(0.0, 3.0), -7.0, 7.0)),
        exposure=float(np.exp(rng.uniform(np.log(0.5), np.log(1.8)))),
        contrast=float(rng.uniform(0.92, 1.08)),
        scatter=float(rng.uniform(0.25, 0.45)),
        brightness=float(rng.normal(0.0, 0.025)),
        distractors=_draw_distractors(stream(seed, "distractors", index)),
    )


def draw_patient(seed: int, number: int) -> Patient:
    """Draw one synthetic person.

    Args:
        seed: seed of the cohort.
        number: 0-based patient number.
    """
    body = stream(seed, "body", number)
    disease = stream(seed, "disease", number)
    has_tb, has_nodule = disease.random(2) < (TB_PREVALENCE, NODULE_PREVALENCE)
    sex = "F" if body.random() < 0.5 else "M"
    small = 0.95 if sex == "F" else 1.02
    return Patient(
        number=number,
        sex=sex,
        age_years=int(np.clip(body.normal(46, 17), 15, 89)),
        width=small * float(np.clip(body.normal(1.0, 0.035), 0.93, 1.06)),
        height=small * float(np.clip(body.normal(1.0, 0.035), 0.93, 1.06)),
        thickness=float(np.clip(body.normal(1.0, 0.10), 0.80, 1.25)),
        tb_kind=str(disease.choice(TB_KINDS, p=TB_KIND_SHARES)) if has_tb else "",
        tb_subtle=bool(has_tb and disease.random() < SUBTLE_SHARE),
        nodules=_draw_nodules(stream(seed, "nodules", number)) if has_nodule else (),
        nodule_subtle=bool(has_nodule and disease.random() < SUBTLE_SHARE),
    )


def _patient_of(seed: int, index: int) -> tuple[int, int]:
    """Patient number and visit of one film."""
    block, place = divmod(index, FILMS_PER_BLOCK)
    twice = int(stream(seed, "twice", block).integers(PATIENTS_PER_BLOCK))
    second = place == twice + 1
    return block * PATIENTS_PER_BLOCK + place - int(place > twice), int(second)


def _draw_nodules(rng: np.random.Generator) -> tuple[NodulePlan, ...]:
    low, high = NODULE_DIAMETER_MM
    return tuple(
        NodulePlan(
            diameter_mm=round(low + (high - low) * float(rng.beta(3.0, 2.3)), 2),
            spiculated=bool(rng.random() < 0.4),
            location=str(rng.choice(NODULE_LOCATIONS, p=NODULE_LOCATION_SHARES)),
            density=float(rng.uniform(0.9, 1.15)),
        )
        for _ in range(int(rng.choice((1, 2, 3), p=(0.75, 0.18, 0.07))))
    )


_DISTRACTOR_CHANCE: Final = {
    "pacemaker": 0.05,
    "central line": 0.06,
    "ecg leads": 0.10,
    "buttons": 0.06,
    "side marker": 0.85,
    "granulomas": 0.25,
    "nipples": 0.15,
    "collimation": 0.45,
    "necklace": 0.05,
}


def _draw_distractors(rng: np.random.Generator) -> tuple[str, ...]:
    draws = rng.random(len(_DISTRACTOR_CHANCE))
    return tuple(name for (name, chance), draw in zip(_DISTRACTOR_CHANCE.items(), draws, strict=True) if draw < chance)
