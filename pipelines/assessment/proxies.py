"""Reading-time proxies of an evaluation: ``reading_time.json`` beside ``evaluation.json``.

Accuracy comes from `pipelines.evaluation`, waiting and worklists from `pipelines.reading_time`; those two rooms do not
know each other, so they meet here.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from pipelines.assessment.measured import Accuracy
from pipelines.assessment.reading_records import (
    ASSUMPTIONS,
    READING_TIME_FILE,
    READING_TIME_SCHEMA,
    FindingReadingTime,
    ReadingTime,
)
from pipelines.assessment.room import (
    Report,
    effort_record,
    screening_record,
    simulation_record,
    theory_record,
)
from pipelines.errors import EvaluationError
from pipelines.evaluation.files import first_problem
from pipelines.evaluation.joining import Joined, Scored, scored_films
from pipelines.evaluation.patients import clusters_of
from pipelines.evaluation.records import Evaluation, FindingResult, OperatingResult
from pipelines.reading_time.rule_out import rule_out_curve
from pipelines.reading_time.scenario import DEFAULT_MINUTES, DEFAULT_PREVALENCE, DEFAULT_TRAFFIC, Scenario
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reading_time.worklist import worklist_result
from pipelines.statistics.resampling import Plan

__all__ = [
    "READING_TIME_FILE",
    "READING_TIME_SCHEMA",
    "FindingReadingTime",
    "Proxies",
    "ReadingTime",
    "read_reading_time",
    "reading_time_proxies",
]


@dataclass(frozen=True)
class Proxies:
    """A reading room in three round numbers, where no scenario is given: one reader, exponential reading times."""

    prevalence: float = DEFAULT_PREVALENCE
    traffic: float = DEFAULT_TRAFFIC
    minutes: float = DEFAULT_MINUTES

    def scenario(self) -> Scenario:
        """The same as a scenario.

        Raises:
            ConfigError: a share outside [0, 1], a traffic of 1 or more, or a reading time that is not positive.
        """
        return parse_scenario(asdict(self), source="reading room")


def reading_time_proxies(
    evaluation: Evaluation,
    joined: Joined,
    room: Scenario | Proxies | None = None,
    *,
    plan: Plan | None = None,
    report: Report | None = None,
) -> ReadingTime:
    """Waiting times, screening arithmetic, effort, rule-out and worklist order of every finding.

    Args:
        evaluation: made from the same films.
        joined: the films.
        room: the reading room to assume; its own accuracy, if it has one, gives way to what was measured. None takes
            the defaults of `Proxies`.
        plan: how patients are resampled for the intervals of worklist and rule-out.
        report: called with (done, total) replications over all findings.

    Raises:
        ConfigError: an impossible room (traffic of 1 or more, a share outside [0, 1]).
    """
    room = room or Proxies()
    scenario = room.scenario() if isinstance(room, Proxies) else room
    scenario = without_accuracy(scenario)
    findings = []
    for place, result in enumerate(evaluation.findings):
        scored = scored_films(joined, result.finding)
        onward = _onward(report, place, len(evaluation.findings))
        findings.append(_finding(result, scored, scenario, evaluation.level, plan or Plan(), onward))
    return ReadingTime(scenario=scenario, assumptions=ASSUMPTIONS, findings=tuple(findings))


def without_accuracy(scenario: Scenario) -> Scenario:
    """The room alone: sensitivity, specificity and the evaluation they come from taken out."""
    nothing = dict.fromkeys(("sensitivity", "specificity", "evaluation", "finding"))
    return Scenario.model_validate({**scenario.model_dump(by_alias=True), **nothing})


def _onward(report: Report | None, place: int, findings: int) -> Report | None:
    """Progress of one finding as progress of all."""
    if report is None:
        return None
    return lambda done, total: report(place * total + done, findings * total)


def _finding(
    result: FindingResult, scored: Scored, scenario: Scenario, level: float, plan: Plan, report: Report | None
) -> FindingReadingTime:
    point = result.operating_point
    absent = why_no_accuracy(point, scenario)
    accuracy = None if point is None or absent else Accuracy.of_finding(result)
    clusters = clusters_of(scored.films)
    plan = replace(plan, unit="patients" if clusters.repeated else "films")
    labels, scores = scored.labels, scored.scores
    positives = int(scored.labels.sum())
    return FindingReadingTime(
        finding=result.finding,
        absent=absent,
        threshold=point.threshold if point else None,
        threshold_label=point.label if point else None,
        theory=theory_record(scenario, accuracy) if accuracy else None,
        simulation=simulation_record(scenario, accuracy, report) if accuracy else None,
        screening=screening_record(scenario, accuracy) if accuracy else None,
        effort=effort_record(scenario, accuracy) if accuracy else None,
        rule_out=rule_out_curve(
            labels, scores, level=level, clusters=clusters, plan=plan, prevalence=scenario.prevalence
        ),
        worklist=worklist_result(labels, scores, level=level, clusters=clusters, plan=plan) if positives else None,
        worklist_absent=None if positives else "No film evaluated is positive.",
    )


def why_no_accuracy(point: OperatingResult | None, scenario: Scenario) -> str | None:
    """Why an operating point gives a scenario no sensitivity and specificity; None where it does."""
    if point is None:
        return "There is no operating point, so no film is flagged."
    sensitivity, specificity = point.counts.sensitivity(), point.counts.specificity()
    if sensitivity.value is None or specificity.value is None:
        return f"Sensitivity and specificity are not both known: {sensitivity.why or specificity.why}."
    rule_out = scenario.rule_out
    if rule_out and (rule_out.sensitivity < sensitivity.value or rule_out.specificity > specificity.value):
        return (
            f"The scenario's rule_out (sensitivity {rule_out.sensitivity:g}, specificity {rule_out.specificity:g}) "
            f"would file flagged films: the threshold has sensitivity {sensitivity.value:.4f} and specificity "
            f"{specificity.value:.4f}."
        )
    return None


def read_reading_time(folder: Path) -> ReadingTime | None:
    """Read ``reading_time.json`` from an evaluation folder; None where there is none.

    Raises:
        EvaluationError: the file breaks its schema; names the first field.
    """
    path = folder / READING_TIME_FILE
    if not path.is_file():
        return None
    try:
        return ReadingTime.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise EvaluationError(f"{path}: not a valid {READING_TIME_SCHEMA}: {first_problem(error)}.") from error
