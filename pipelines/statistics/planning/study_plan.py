"""A planned study: every question asked of it, and the films, patients and people screened that answer them all."""

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, Field

from pipelines.errors import ConfigError
from pipelines.statistics.estimates import DEFAULT_LEVEL
from pipelines.statistics.planning.power import (
    DEFAULT_POWER,
    Need,
    check_open_share,
    design_effect,
    size_for_lower_bound,
    size_for_width,
    with_design,
)
from pipelines.statistics.planning.study_size import (
    PairedClasses,
    films_to_find,
    size_for_auroc,
    size_for_noninferiority,
)
from pipelines.statistics.record import Record

SCREENING_ASSURANCE = 0.9
"""Chance of finding enough positives among those screened, where no other is named."""


@dataclass(frozen=True)
class Study:
    """What is expected, and what shall be shown; None where nothing is asked."""

    sensitivity: float | None = None
    specificity: float | None = None
    auroc: float | None = None
    width: float | None = None
    """Total width of every interval asked for."""
    sensitivity_bar: float | None = None
    """What the lower bound of sensitivity shall reach."""
    specificity_bar: float | None = None
    margin: float | None = None
    """Non-inferiority of sensitivity and of specificity to the expected values, or to the references."""
    reference_sensitivity: float | None = None
    reference_specificity: float | None = None
    prevalence: float | None = None
    assurance: float | None = None
    """Chance of reaching a width or a bar; None: on average. Also the chance of finding enough positives (else 0.9)."""
    power: float = DEFAULT_POWER
    films_per_patient: float = 1.0
    icc: float = 0.0
    level: float = DEFAULT_LEVEL


class StudyPlan(Record):
    """How large the study has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: Literal["cxr-triage/power/1"] = Field(alias="schema", default="cxr-triage/power/1")
    level: float
    design_effect: float
    positive_needs: tuple[Need, ...]
    negative_needs: tuple[Need, ...]
    auroc_need: PairedClasses | None
    positives: int
    """Positive films that answer every question, several films per patient included."""
    negatives: int
    screening: Need | None
    """People to screen at the named prevalence; null where none was named."""
    sentences: tuple[str, ...]


def plan_study(study: Study) -> StudyPlan:
    """Size a study.

    Raises:
        ConfigError: nothing is asked, a number is outside its range, or what is asked is out of reach.
    """
    for name in ("prevalence", "assurance", "power", "level"):
        value = getattr(study, name)
        if value is not None:
            check_open_share(**{name: value})
    effect = design_effect(study.films_per_patient, study.icc)
    positive = _needs(study, "sensitivity", study.sensitivity, study.sensitivity_bar, study.reference_sensitivity)
    negative = _needs(study, "specificity", study.specificity, study.specificity_bar, study.reference_specificity)
    both = _auroc(study, effect)
    if not positive and not negative and both is None:
        raise ConfigError(
            "Nothing to plan: name an expected sensitivity, specificity or auroc together with a width, or a "
            "sensitivity or specificity with a bar or a margin."
        )
    if study.margin is not None and not positive and not negative:
        raise ConfigError("margin: non-inferiority is planned for a sensitivity or specificity, found neither.")
    positives = max([need.films for need in positive] + ([both.positives] if both else []), default=0)
    negatives = max([need.films for need in negative] + ([both.negatives] if both else []), default=0)
    screening = None
    if study.prevalence is not None and positives:
        screening = films_to_find(positives, negatives, study.prevalence, study.assurance or SCREENING_ASSURANCE)
        screening = screening.model_copy(
            update={"patients": with_design(screening, study.films_per_patient, 0.0).patients}
        )
    return StudyPlan(
        level=study.level,
        design_effect=effect,
        positive_needs=positive,
        negative_needs=negative,
        auroc_need=both,
        positives=positives,
        negatives=negatives,
        screening=screening,
        sentences=_sentences(study, effect, positives, negatives, screening),
    )


def _needs(study: Study, of: str, share: float | None, bar: float | None, reference: float | None) -> tuple[Need, ...]:
    if reference is not None and study.margin is None:
        raise ConfigError(f"A reference {of} is for a test of non-inferiority: name its margin as well.")
    if share is None:
        if bar is not None or reference is not None:
            raise ConfigError(f"Name the expected {of} as well: a bar or a reference alone cannot be planned for.")
        return ()
    found = []
    if study.width is not None:
        found.append(size_for_width(share, study.width, level=study.level, assurance=study.assurance, of=of))
    if bar is not None:
        found.append(size_for_lower_bound(share, bar, level=study.level, assurance=study.assurance, of=of))
    if study.margin is not None:
        compared = share if reference is None else reference
        if not study.margin < compared:
            raise ConfigError(f"margin must be smaller than the reference {of} {compared:g}, got {study.margin:g}.")
        found.append(
            size_for_noninferiority(share, compared, study.margin, level=study.level, power=study.power, of=of)
        )
    if not found:
        raise ConfigError(f"What shall be shown of the {of}? Name a width, a bar or a margin.")
    return tuple(with_design(need, study.films_per_patient, study.icc) for need in found)


def _auroc(study: Study, effect: float) -> PairedClasses | None:
    if study.auroc is None:
        return None
    if study.width is None:
        raise ConfigError("What shall be shown of the AUROC? Name a width.")
    odds = 1.0 if study.prevalence is None else (1 - study.prevalence) / max(study.prevalence, 1e-9)
    need = size_for_auroc(study.auroc, study.width / 2, level=study.level, negatives_per_positive=odds)
    films = [-int(-round(count * effect, 9) // 1) for count in (need.positives, need.negatives)]
    return need.model_copy(update={"positives": films[0], "negatives": films[1]})


def _sentences(study: Study, effect: float, positives: int, negatives: int, screening: Need | None) -> tuple[str, ...]:
    lines = [f"The study needs {positives:,} positive and {negatives:,} negative films to answer every question."]
    if screening is not None:
        lines.append(
            f"At a prevalence of {study.prevalence:g}, {screening.n:,} films have to be taken to find them with a "
            f"chance of at least {study.assurance or SCREENING_ASSURANCE:g}."
        )
    elif positives and study.prevalence is None:
        lines.append("Name a prevalence to learn how many films have to be taken to find that many positives.")
    if effect > 1:
        lines.append(
            f"Several films per patient ({study.films_per_patient:g}, correlation {study.icc:g}) make this "
            f"{effect:.3g} times what independent films would need."
        )
    if study.assurance is None and study.width is not None:
        lines.append("The width is reached on average; about half of such studies end a little wider: see assurance.")
    return tuple(lines)
