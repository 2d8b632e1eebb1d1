"""``shortcut.json``, its tidy table ``shortcut.csv``, and the same in sentences for a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.evaluation.control_words import NAMES
from pipelines.evaluation.shortcut.records import FindingControls, PairResult, Shortcut, Side
from pipelines.statistics.estimates import Estimate
from pipelines.system import replace_text

SHORTCUT_FILE: Final = "shortcut.json"
SHORTCUT_TABLE: Final = "shortcut.csv"
_MOST_NAMED: Final = 5


def write_shortcut(found: Shortcut, out: Path) -> None:
    """Write ``shortcut.csv`` and, last, ``shortcut.json`` into a folder; it is made where it does not exist."""
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / SHORTCUT_TABLE, shortcut_table(found).to_csv(index=False))
    replace_text(out / SHORTCUT_FILE, found.model_dump_json(indent=1, by_alias=True) + "\n")


def shortcut_table(found: Shortcut) -> pd.DataFrame:
    """One row per pair, finding, control and metric."""
    head = ["train", "train_split", "test", "test_split", "finding", "control", "metric"]
    rows = [
        {**_head(pair), "finding": result.finding, "control": control, "metric": metric, **estimate.model_dump()}
        for pair in found.pairs
        for result in pair.findings
        for control, metric, estimate in _estimates(result)
    ]
    return pd.DataFrame(rows, columns=[*head, "value", "low", "high", "level", "method", "n", "why"])


def _head(pair: PairResult) -> dict[str, object]:
    return {
        "train": pair.train.manifest,
        "train_split": pair.train.split,
        "test": pair.test.manifest,
        "test_split": pair.test.split,
    }


def _estimates(result: FindingControls) -> Iterator[tuple[str | None, str, Estimate]]:
    for control in result.controls:
        yield control.kind, "auroc", control.auroc
        if control.beside is not None:
            yield control.kind, "system_minus_control", control.beside.difference
    if result.system is not None:
        yield None, "system_auroc", result.system


def pair_name(pair: PairResult) -> str:
    """Both sides in a few words."""
    return f"{side_name(pair.train)} → {side_name(pair.test)}"


def side_name(side: Side) -> str:
    """A manifest without its ending, and the split."""
    return f"{side.manifest.partition('.')[0]} {side.split or '(all)'}"


def shortcut_lines(found: Shortcut) -> list[str]:
    """What the table does not say: meanings, warnings, what could not be done, films that could not be read."""
    lines = [line for pair in found.pairs for result in pair.findings for line in _meanings(pair, result)]
    if found.unreadable:
        named = ", ".join(f"{film.image_id} ({film.reason})" for film in found.unreadable[:_MOST_NAMED])
        more = len(found.unreadable) - _MOST_NAMED
        films = f"{len(found.unreadable):,} film{'' if len(found.unreadable) == 1 else 's'}"
        rest = f" and {more:,} more, all in {SHORTCUT_FILE}" if more > 0 else ""
        lines.append(f"{films} could not be read and took no part: {named}{rest}")
    return lines


def _meanings(pair: PairResult, result: FindingControls) -> Iterator[str]:
    head = f"{pair_name(pair)}, {result.finding}:"
    if result.why is not None:
        yield f"{head} no control: {result.why}."
        return
    for control in result.controls:
        said = control.meaning if control.beside is None else control.beside.verdict
        yield f"{head} {NAMES[control.kind]}: {said}"
    if result.warning:
        yield f"{head} WARNING: films with and without the finding can be told apart without seeing the lungs."
