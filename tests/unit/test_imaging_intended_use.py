"""Header rules: what a model is not meant for."""

import pytest

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.intended_use import IntendedUse

ADULTS = IntendedUse(min_age_years=15, max_age_years=90)


@pytest.mark.parametrize(
    ("view", "age", "reason"),
    [
        ("LATERAL", None, Reason.LATERAL),
        ("LATERAL", 40.0, Reason.LATERAL),
        ("PA", 14.99, Reason.AGE_OUTSIDE_USE),
        (None, 90.5, Reason.AGE_OUTSIDE_USE),
    ],
)
def test_outside_the_use(view: str | None, age: float | None, reason: Reason) -> None:
    facts = FilmFacts(rows=100, columns=100, view=view, age_years=age)
    with pytest.raises(FilmError) as refused:
        ADULTS.require(facts)
    assert refused.value.reason is reason
    assert not ADULTS.covers(view=view, age_years=age)
    # The age is the patient's: no error repeats it.
    assert age is None or f"{age:g}" not in refused.value.detail


@pytest.mark.parametrize(("view", "age"), [("PA", 15.0), ("AP", 90.0), (None, None), ("PA", None)])
def test_inside_the_use(view: str | None, age: float | None) -> None:
    ADULTS.require(FilmFacts(rows=100, columns=100, view=view, age_years=age))
    assert ADULTS.covers(view=view, age_years=age)


def test_a_use_without_limits_takes_every_age_and_view() -> None:
    everyone = IntendedUse(frontal_only=False)
    assert everyone.covers(view="LATERAL", age_years=0.1)
    assert IntendedUse().covers(view="AP", age_years=0.1)
