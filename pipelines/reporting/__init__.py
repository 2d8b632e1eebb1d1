"""The clinician's report: an evaluation folder -> one self-contained page."""

from pipelines.reporting.page import render_report, write_report

__all__ = ["render_report", "write_report"]
