"""Where accuracy and reading time meet: predictions + manifest + scenario -> an evaluation folder (no torch)."""

from pipelines.assessment.assess import Assessment, Source, assess, assess_table
from pipelines.assessment.proxies import Proxies

__all__ = ["Assessment", "Proxies", "Source", "assess", "assess_table"]
