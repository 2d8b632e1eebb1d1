"""Which patients and views a model is meant for: rules on the header, apart from rules on the picture."""

from dataclasses import dataclass

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts


@dataclass(frozen=True)
class IntendedUse:
    """What is refused although it can be read. What a header does not say refuses nothing.

    Attributes:
        min_age_years: youngest patient; None for no limit.
        max_age_years: oldest patient; None for no limit.
        frontal_only: whether lateral films are refused.
    """

    min_age_years: float | None = None
    max_age_years: float | None = None
    frontal_only: bool = True

    def covers(self, *, view: str | None, age_years: float | None) -> bool:
        """Whether a film of this view and a patient of this age may be scored."""
        return self._objection(view, age_years) is None

    def require(self, facts: FilmFacts) -> None:
        """Refuse a film outside this use.

        Raises:
            FilmError: lateral or age_outside_use.
        """
        objection = self._objection(facts.view, facts.age_years)
        if objection is not None:
            raise objection

    def _objection(self, view: str | None, age_years: float | None) -> FilmError | None:
        if self.frontal_only and view == "LATERAL":
            return FilmError(Reason.LATERAL, "the header says lateral, expected a frontal film (PA or AP)")
        too_young = age_years is not None and self.min_age_years is not None and age_years < self.min_age_years
        too_old = age_years is not None and self.max_age_years is not None and age_years > self.max_age_years
        if not (too_young or too_old):
            return None
        # The age itself stays out of tables and logs: it is the patient's.
        limit = f"at least {self.min_age_years:g}" if too_young else f"at most {self.max_age_years:g}"
        return FilmError(Reason.AGE_OUTSIDE_USE, f"the patient's age is outside the intended use (years: {limit})")
