"""Reading-time proxies: waiting at the reader, worklist order, rule-out, reading effort (no torch)."""

from pipelines.reading_time.scenario import Scenario
from pipelines.reading_time.scenario_file import parse_scenario, read_scenario
from pipelines.reading_time.screening import predictive_values, rule_out_share
from pipelines.reading_time.simulation import simulate
from pipelines.reading_time.theory import theory
from pipelines.reading_time.worklist import worklist_result

__all__ = [
    "Scenario",
    "parse_scenario",
    "predictive_values",
    "read_scenario",
    "rule_out_share",
    "simulate",
    "theory",
    "worklist_result",
]
