"""What a report is made from: saved evaluations, read once, and where each of their numbers lies."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from pipelines.assessment.proxies import read_reading_time
from pipelines.assessment.reading_records import FindingReadingTime, ReadingTime
from pipelines.evaluation.comparison.records import Comparison
from pipelines.evaluation.files import EVALUATION_FILE, read_evaluation
from pipelines.evaluation.records import Evaluation, FindingResult

EVALUATION: Final = "evaluation"
READING_TIME: Final = "reading_time"
_NAME: Final = re.compile(r"[\w -]{1,40}")
COMPARISON: Final = "comparison"


@dataclass(frozen=True)
class Tested:
    """One finding of one evaluation: what most chapters have one section for."""

    study: "Study"
    result: FindingResult
    proxies: FindingReadingTime | None
    anchor: str
    """Unique in the report and safe in an id: ``s1f2``."""


@dataclass(frozen=True)
class Study:
    """One evaluation folder."""

    place: int
    """1, 2, ... in the order given."""
    folder: Path
    evaluation: Evaluation
    reading_time: ReadingTime | None

    @property
    def tested(self) -> tuple[Tested, ...]:
        """Its findings."""
        proxies = {entry.finding: entry for entry in self.reading_time.findings} if self.reading_time else {}
        return tuple(
            Tested(self, result, proxies.get(result.finding), f"s{self.place}f{number}")
            for number, result in enumerate(self.evaluation.findings, 1)
        )


class Sources:
    """Where the records of a report lie in its files: ``1/evaluation:findings.0.auroc``.

    A record is found by identity, so a number can only be printed from the files themselves, never from a copy that
    something else has changed.
    """

    def __init__(self, roots: Mapping[str, BaseModel]) -> None:
        self._paths: dict[int, str] = {}
        self._kept = tuple(roots.values())  # ids are only unique among objects that are alive
        for name, root in roots.items():
            self._paths[id(root)] = f"{name}:"
            for path, record in _records(root, f"{name}:"):
                self._paths[id(record)] = path

    def path(self, record: BaseModel, *field: str | int) -> str:
        """Where a field of a record lies; ``#2`` is the third entry of an object whose name could not stand in a path.

        Raises:
            KeyError: the record is not part of the files.
        """
        base = self._paths[id(record)]
        parts = ".".join(_steps(record, field))
        return f"{base}{'.' if parts and not base.endswith(':') else ''}{parts}"


def _steps(record: BaseModel, field: Sequence[str | int]) -> Iterator[str]:
    found: Any = record
    for step in field:
        if isinstance(found, Mapping) and not _NAME.fullmatch(str(step)):
            yield f"#{list(found).index(step)}"  # a name of a table: dots, direction marks, 10,000 characters
        else:
            yield str(step)
        found = getattr(found, str(step)) if isinstance(found, BaseModel) else found[step]


def _records(value: object, path: str) -> Iterator[tuple[str, BaseModel]]:
    joint = "" if path.endswith(":") else "."
    if isinstance(value, BaseModel):
        parts: Iterator[tuple[str | int, object]] = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, tuple | list):
        parts = iter(enumerate(value))
    else:
        return
    for key, part in parts:
        there = f"{path}{joint}{key}"
        if isinstance(part, BaseModel):
            yield there, part
        yield from _records(part, there)


@dataclass(frozen=True)
class Book:
    """Everything that one report is made from."""

    studies: tuple[Study, ...]
    sources: Sources
    command: str | None = None
    """The command that makes the page again, with file names only; None: made from Python."""
    comparison: Comparison | None = None
    """Systems on the same films: what a comparison page is made from, which then has no evaluations."""
    matrix: str | None = None
    """Title of a cross-cohort matrix whose cells the evaluations are; None: they are a report's."""

    @property
    def tested(self) -> tuple[Tested, ...]:
        """All findings of all evaluations."""
        return tuple(part for study in self.studies for part in study.tested)

    @property
    def several(self) -> bool:
        """Whether there is more than one evaluation."""
        return len(self.studies) > 1


def open_book(folders: Sequence[Path], command: str | None = None) -> Book:
    """Read evaluation folders.

    Args:
        folders: each with ``evaluation.json`` and, if there are any, ``reading_time.json`` and ``pictures/``.
        command: the command that makes the page again.

    Raises:
        EvaluationError: no evaluation in a folder, or a file that breaks its schema.
    """
    # The file itself may be named: what lies beside it belongs to it.
    homes = [folder.parent if folder.name == EVALUATION_FILE and folder.is_file() else folder for folder in folders]
    studies = tuple(
        Study(place, folder, read_evaluation(folder), read_reading_time(folder))
        for place, folder in enumerate(homes, 1)
    )
    return make_book(studies, command)


def make_book(studies: tuple[Study, ...], command: str | None = None) -> Book:
    """The same from evaluations already read."""
    roots: dict[str, BaseModel] = {}
    for study in studies:
        roots[f"{study.place}/{EVALUATION}"] = study.evaluation
        if study.reading_time is not None:
            roots[f"{study.place}/{READING_TIME}"] = study.reading_time
    return Book(studies, Sources(roots), command)


def make_comparison_book(comparison: Comparison, command: str | None = None) -> Book:
    """A book of one comparison of systems on the same films."""
    return Book((), Sources({f"1/{COMPARISON}": comparison}), command, comparison)
