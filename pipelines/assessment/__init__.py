"""Where accuracy and reading time meet: predictions + manifest + scenario -> an evaluation folder (no torch)."""

from pipelines.assessment.assess import Assessment, assess, assess_table

__all__ = ["Assessment", "assess", "assess_table"]
