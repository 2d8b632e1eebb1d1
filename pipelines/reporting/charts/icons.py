"""A thousand people as a thousand symbols: natural frequencies that can be counted.

Drawn as four paths of plain SVG: a thousand separate symbols would weigh more than all other figures together.
"""

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.thresholds.programme import Programme
from pipelines.reporting.charts.style import BLUE, GREY, VERMILION
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of

PEOPLE: Final = 1000
PER_THOUSAND: Final = 0.01
"""From numbers per 100,000 people."""
KINDS: Final = (
    "cases_found_per_100000",
    "missed_per_100000",
    "false_alarms_per_100000",
    "cleared_per_100000",
)
"""Fields of a programme in the order of the picture."""
_COLUMNS: Final = 50
_STEP: Final = 12


def whole_people(shares: Sequence[float]) -> tuple[int, ...]:
    """Numbers that add up to a thousand as whole people that do so too (largest remainder; ties to the first).

    Args:
        shares: numbers of at least 0 that add up to a thousand.
    """
    people = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda place: people[place] - shares[place])
    for place in order[: max(0, PEOPLE - sum(people))]:
        people[place] += 1
    return tuple(people)


def people_of(programme: Programme) -> tuple[int, ...] | None:
    """Found, missed, false alarms, rightly left alone of a thousand people; None where one is not known."""
    values = [
        estimate.value
        for kind in KINDS
        if (estimate := getattr(programme, kind)) is not None and estimate.value is not None
    ]
    return whole_people([value * PER_THOUSAND for value in values]) if len(values) == len(KINDS) else None


def _disc(x: int, y: int) -> str:
    return f"M{x} {y + 5}a5 5 0 1 0 10 0a5 5 0 1 0-10 0"


def _cross(x: int, y: int) -> str:
    return f"M{x + 1} {y + 1}l8 8m-8 0l8-8"


def _triangle(x: int, y: int) -> str:
    return f"M{x + 5} {y + 1}l4 8h-8z"


def _square(x: int, y: int) -> str:
    return f"M{x + 3} {y + 3}h4v4h-4z"


_SYMBOLS: Final[tuple[tuple[Callable[[int, int], str], str], ...]] = (
    (_disc, f'fill="{BLUE}"'),
    (_cross, f'fill="none" stroke="{VERMILION}" stroke-width="2.6"'),
    (_triangle, f'fill="none" stroke="{GREY}" stroke-width="1.4"'),
    (_square, 'fill="#98a2ad"'),
)


def symbol(kind: str) -> Markup:
    """One symbol for a legend; ``kind`` is one of `KINDS`."""
    shape, style = _SYMBOLS[KINDS.index(kind)]
    return Markup(
        f'<svg class="symbol" viewBox="-1 -1 12 12" width="14" height="14" aria-hidden="true">'
        f'<path d="{shape(0, 0)}" {style}/></svg>'
    )


def icon_array(programme: Programme, words: Words) -> Markup | None:
    """A thousand people screened at the local prevalence; None where a number of it is not known."""
    people = people_of(programme)
    if people is None:
        return None
    paths, start = [], 0
    for (shape, style), count in zip(_SYMBOLS, people, strict=True):
        places = range(start, start + count)
        outline = "".join(shape(*_place(place)) for place in places)
        paths.append(f'<path d="{outline}" {style}/>' if count else "")
        start += count
    box = f"-2 -2 {_COLUMNS * _STEP + 2} {-(-PEOPLE // _COLUMNS) * _STEP + 2}"
    svg = Markup(f'<svg viewBox="{box}" aria-hidden="true">{"".join(paths)}</svg>')
    return Markup('<div class="figure icons" role="img" aria-label="{}">{}</div>').format(
        text_of(_alt(programme, words)), svg
    )


def _place(place: int) -> tuple[int, int]:
    row, column = divmod(place, _COLUMNS)
    return column * _STEP, row * _STEP


def per_thousand(programme: Programme, kind: str, words: Words) -> Markup:
    """One number of people in a thousand: whole from ten on, else with a decimal."""
    estimate = getattr(programme, kind)
    return words.number(estimate, thousand_digits(programme, kind), PER_THOUSAND)


def thousand_digits(programme: Programme, kind: str) -> int:
    """Decimals of a number of people in a thousand."""
    value = getattr(programme, kind).value
    return 1 if value is not None and value * PER_THOUSAND < 10 else 0


def _alt(programme: Programme, words: Words) -> Markup:
    found, missed, alarms, cleared = (per_thousand(programme, kind, words) for kind in KINDS)
    return words(
        "1,000 symbols for 1,000 people screened: {found} with the finding and flagged, {missed} with the finding and "
        "missed, {alarms} false alarms, {cleared} without the finding and not flagged.",
        found=found,
        missed=missed,
        alarms=alarms,
        cleared=cleared,
    )
