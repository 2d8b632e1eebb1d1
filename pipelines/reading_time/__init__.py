"""Reading-time proxies: waiting at the reader, worklist order, screening arithmetic (numpy only)."""

from pipelines.reading_time.screening import predictive_values, rule_out_share
from pipelines.reading_time.waiting import Scenario, waiting_times
from pipelines.reading_time.worklist import worklist

__all__ = ["Scenario", "predictive_values", "rule_out_share", "waiting_times", "worklist"]
