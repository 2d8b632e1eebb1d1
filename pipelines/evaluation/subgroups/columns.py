"""From a column to groups of films: values, age bands or quartiles, and what must not become a group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Bools, Floats

DEFAULT_COLUMNS: Final = ("sex", "age_years", "view", "site", "dataset", "manufacturer", "reference_standard")
AGE_COLUMN: Final = "age_years"
AGE_EDGES: Final = (15.0, 25.0, 35.0, 45.0, 55.0, 65.0)
"""Lower edges of the age bands in years, those of WHO's tuberculosis notifications; the first band lies below."""
IDENTIFIERS: Final = frozenset(
    {"image_id", "path", "patient_id", "study_id", "sha256", "pixel_hash"}
    | {"pred_image_id", "pred_path", "pred_detail"}
)
"""Columns whose values name a film, a patient or a file, or are free text: never printed as groups."""
MAX_GROUPS: Final = 20
"""Known values shown one by one; rarer ones are put together."""
FEW_VALUES: Final = 5
"""A column with at most this many values is never taken for an identifier."""
LABEL_LENGTH: Final = 60
QUANTILE_BANDS: Final = 4
UNKNOWN: Final = "unknown"
_DATE: Final = re.compile(r"(\d{4}[-./]?\d{1,2}[-./]?\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})([T ].*)?", re.ASCII)

Kind = Literal["value", "band", "others", "unknown"]


@dataclass(frozen=True)
class Grouping:
    """One column as groups of films."""

    column: str
    names: tuple[str, ...]
    """In the order to show: values by name, bands by age or size, then the others, then the unknown."""
    kinds: tuple[Kind, ...]
    code: NDArray[np.int32]
    """``[n]``: group of each film."""
    notes: tuple[str, ...]

    @property
    def known(self) -> Bools:
        """``[groups]``: False for the films whose value is not known."""
        return np.array([kind != "unknown" for kind in self.kinds], dtype=bool)


def group_films(films: pd.DataFrame, name: str, patients: int) -> Grouping:
    """Divide films by one column.

    Args:
        films: columns of the manifest, and those of the predictions with the prefix ``pred_``.
        name: a column, letter for letter.
        patients: different patients among the films (films, where patients are not known).

    Returns:
        The groups; empty cells and the text "unknown" make a group of their own.

    Raises:
        EvaluationError: no such column, or one whose values name patients or films (an identifier, a date, free text):
            such values stay out of reports.
    """
    if list(films.columns).count(name) != 1:
        raise EvaluationError(f"--subgroup {name}: no such column; columns there: {', '.join(_offered(films))}.")
    if name in IDENTIFIERS:
        raise EvaluationError(
            f"--subgroup {name}: its values name films, patients or files, which stay out of reports; "
            "expected a column that puts many films into one group."
        )
    cells = films[name]
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    if kind.startswith(("datetime", "date", "timedelta", "period")) or _written_dates(cells, kind):
        raise EvaluationError(f"--subgroup {name}: dates stay out of reports; expected text, numbers or yes and no.")
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        numbers = pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        if name == AGE_COLUMN:
            return _bands(name, numbers, AGE_EDGES, "years", "Age bands in years (those of WHO's notifications).")
        if len(np.unique(numbers[~np.isnan(numbers)])) > QUANTILE_BANDS * 2:
            return _quartiles(name, numbers)
        cells = pd.Series([None if np.isnan(value) else f"{value:.6g}" for value in numbers], dtype=object)
    return _values(name, cells, patients)


def _written_dates(cells: "pd.Series[Any]", kind: str) -> bool:
    """Whether most different texts are dates."""
    texts = [str(cell) for cell in cells.dropna().unique()] if kind in ("string", "categorical") else []
    return 2 * sum(_DATE.fullmatch(text.strip()) is not None for text in texts) > len(texts)


def _offered(films: pd.DataFrame) -> list[str]:
    return [str(name) for name in films.columns if name not in IDENTIFIERS]


def _values(name: str, cells: "pd.Series[Any]", patients: int) -> Grouping:
    texts = np.array([_text(name, cell) for cell in cells.astype(object)], dtype=object)
    known = np.array([text is not None for text in texts], dtype=bool)
    values, places, counts = np.unique(texts[known].astype(str), return_inverse=True, return_counts=True)
    if len(values) > FEW_VALUES and 2 * len(values) > min(patients, int(known.sum())):
        raise EvaluationError(
            f"--subgroup {name}: {len(values):,} different values for {patients:,} patients look like an identifier, "
            "which stays out of reports; expected a column that puts many films into one group."
        )
    if len(values) <= MAX_GROUPS:
        code, names, kinds, notes = places, _labels(values), ["value"] * len(values), []
    else:
        largest = np.sort(np.argsort(-counts, kind="stable")[:MAX_GROUPS])
        rank = np.full(len(values), MAX_GROUPS)
        rank[largest] = np.arange(MAX_GROUPS)
        code = rank[places]
        rest = len(values) - MAX_GROUPS
        names = _labels([*values[largest], f"others ({rest:,} values)"])
        kinds = ["value"] * MAX_GROUPS + ["others"]
        notes = [f"The {MAX_GROUPS} largest of {len(values):,} groups are shown; the rest are put together."]
    every = np.zeros(len(texts), dtype=np.int32)
    every[known] = code
    return _finished(name, names, kinds, every, known, notes)


def _text(name: str, cell: object) -> str | None:
    """A cell as a value: None where it says nothing."""
    if isinstance(cell, (list, tuple, dict, set, np.ndarray)):
        raise EvaluationError(f"--subgroup {name}: the column holds lists; expected one value for each film.")
    if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:
        return None
    text = str(cell).encode("utf-8", "replace").decode()
    return None if not text.strip() or text == UNKNOWN else text


def _labels(values: Sequence[str] | NDArray[np.str_]) -> list[str]:
    """Values short enough to print, still all different and none of them "unknown"."""
    labels: list[str] = []
    taken = {UNKNOWN}
    for value in map(str, values):
        short = label = value if len(value) <= LABEL_LENGTH else value[: LABEL_LENGTH - 1] + "…"
        again = 2
        while label in taken:
            label, again = f"{short} ({again})", again + 1
        taken.add(label)
        labels.append(label)
    return labels


def _quartiles(name: str, numbers: Floats) -> Grouping:
    known = numbers[~np.isnan(numbers)]
    cuts = np.quantile(known, np.arange(1, QUANTILE_BANDS) / QUANTILE_BANDS)
    edges = sorted({float(f"{cut:.4g}") for cut in cuts if cut > known.min()})
    return _bands(name, numbers, edges, "", "Bands between the quartiles of the films with a known value.")


def _bands(name: str, numbers: Floats, edges: Sequence[float], unit: str, rule: str) -> Grouping:
    known = ~np.isnan(numbers)
    code = np.zeros(len(numbers), dtype=np.int32)
    code[known] = np.searchsorted(np.asarray(edges), numbers[known], side="right")
    shown = [f"{edge:g}" for edge in edges]
    middle = [f"{low} to <{high}" for low, high in pairwise(shown)]
    names = [f"<{shown[0]}", *middle, f"{shown[-1]}+"] if shown else ["all"]
    if unit and all(edge == int(edge) for edge in edges):
        middle = [f"{int(low)}–{int(high) - 1}" for low, high in pairwise(edges)]
        names = [names[0], *middle, names[-1]]
    there, code[known] = np.unique(code[known], return_inverse=True)  # bands without a film are not shown
    kept = [names[band] for band in there]
    return _finished(name, kept, ["band"] * len(kept), code, known, [f"{rule} Lower edges: {', '.join(shown)}."])


def _finished(
    name: str, names: Sequence[str], kinds: Sequence[str], code: NDArray[np.int32], known: Bools, notes: Sequence[str]
) -> Grouping:
    every_kind: tuple[Any, ...] = tuple(kinds)
    missing, notes = int((~known).sum()), list(notes)
    if missing:
        code = np.where(known, code, len(names)).astype(np.int32)
        names, every_kind = [*names, UNKNOWN], (*every_kind, "unknown")
        films = f"{missing:,} of {len(known):,} films have no known {name}: shown, but not compared."
        notes.append(films if not known.all() and known.any() else f"No film has a known {name}.")
    return Grouping(name, tuple(names), every_kind, code.astype(np.int32), tuple(notes))
