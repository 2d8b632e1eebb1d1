"""The report: one self-contained HTML page made from an evaluation folder."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.assessment.proxies import read_reading_time
from pipelines.assessment.reading_records import (
    FindingReadingTime,
    ReadingTime,
    SimulationRecord,
    TheoryRecord,
    Waiting,
)
from pipelines.evaluation.files import read_evaluation
from pipelines.evaluation.records import Evaluation, FindingResult
from pipelines.reporting import words
from pipelines.reporting.figures import control_figure, roc_figure, score_figure, waiting_figure, worklist_figure
from pipelines.reporting.pictures import Shown, shown_example
from pipelines.system import replace_text

FILTERS: Final = (
    *("plain", "percent", "percent_interval", "number", "interval", "bounds", "change", "films", "tally"),
    *("minutes", "minutes_interval", "minutes_digits"),
)
"""Functions of `words` that a template may use."""


@dataclass(frozen=True)
class Waits:
    """One table of waiting times: three columns by class of film."""

    source: str
    fifo: Waiting
    ai: Waiting
    difference: Waiting


@dataclass(frozen=True)
class Section:
    """One finding with its figures."""

    result: FindingResult
    anchor: str
    name: str
    roc: Markup | None
    scores: Markup | None
    control: Markup | None
    examples: tuple[Shown, ...]
    examples_absent: str | None
    proxies: FindingReadingTime | None
    waits: TheoryRecord | SimulationRecord | None
    """Theory where there is a formula, the simulation otherwise."""
    waiting: Markup | None
    tables: tuple[Waits, ...]
    """Mean wait, the 95th percentile, the longest: the last two are what the order costs somebody."""
    worklist: Markup | None


def write_report(evaluation_dir: Path, out: Path) -> None:
    """Write the report of one evaluation.

    Args:
        evaluation_dir: folder with ``evaluation.json`` and, if there are any, ``reading_time.json`` and ``pictures/``.
        out: the HTML file; it needs no other file and makes no request.

    Raises:
        EvaluationError: no evaluation there, or a file that breaks its schema.
    """
    evaluation = read_evaluation(evaluation_dir)
    proxies = read_reading_time(evaluation_dir)
    page = render_report(evaluation, proxies, evaluation_dir)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, page)


def render_report(evaluation: Evaluation, proxies: ReadingTime | None, folder: Path) -> str:
    """The page as text; ``folder`` holds the example pictures."""
    environment = Environment(
        loader=PackageLoader("pipelines.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        environment.filters[name] = getattr(words, name)
    css = resources.files("pipelines.reporting").joinpath("templates/report.css").read_text(encoding="utf-8")
    by_finding = {entry.finding: entry for entry in proxies.findings} if proxies else {}
    sections = [
        _section(result, by_finding.get(result.finding), folder, f"finding-{number}")
        for number, result in enumerate(evaluation.findings, 1)
    ]
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation, proxies=proxies, sections=sections, css=Markup(css)
    )


def _waits(proxies: FindingReadingTime | None) -> TheoryRecord | SimulationRecord | None:
    if proxies is None or proxies.theory is None:
        return None
    return proxies.theory if proxies.theory.absent is None else proxies.simulation


def _tables(waits: TheoryRecord | SimulationRecord, simulated: SimulationRecord) -> tuple[Waits, ...]:
    runs = f"{simulated.replications:,} simulated runs of {simulated.films:,} films each"
    source = f"Theory; {waits.method}." if isinstance(waits, TheoryRecord) else f"Means over {runs}."
    kinds = (
        (source, waits, "waiting_minutes"),
        (f"Means over {runs}.", simulated, "p95_minutes"),
        (f"Means over {runs}.", simulated, "maximum_minutes"),
    )
    return tuple(
        Waits(text, *(getattr(getattr(part, arm), field) for arm in ("fifo", "ai", "difference")))
        for text, part, field in kinds
    )


def _section(result: FindingResult, proxies: FindingReadingTime | None, folder: Path, anchor: str) -> Section:
    point, name = result.operating_point, words.sentence_case(words.plain(result.name, 60))
    examples = tuple(
        shown for example in result.examples.films if (shown := shown_example(example, folder, name)) is not None
    )
    absent = result.examples.absent
    if absent is None and not examples:
        absent = "The pictures of the chosen films are not in the evaluation folder."
    waits = _waits(proxies)
    return Section(
        result=result,
        anchor=anchor,
        name=name,
        roc=roc_figure(result.roc, result.auroc, point) if result.roc else None,
        scores=score_figure(result.histogram, point.threshold if point else None, result.positives, result.negatives)
        if result.histogram
        else None,
        control=control_figure(result.auroc, result.control) if result.control else None,
        examples=examples,
        examples_absent=absent,
        proxies=proxies,
        waits=waits,
        waiting=waiting_figure(waits) if waits else None,
        tables=_tables(waits, proxies.simulation) if waits and proxies and proxies.simulation else (),
        worklist=worklist_figure(proxies.worklist) if proxies and proxies.worklist else None,
    )
