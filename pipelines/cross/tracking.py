"""The matrix in MLflow: one parent run, its models as children, every cell's headline numbers on the parent."""

from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipelines.cross.records import Cross
from pipelines.cross.settings import CrossConfig, safe_name
from pipelines.system import replace_text
from pipelines.training.tracking import RUN_ID_FILE, connect, ensure_experiment, flatten, run_exists
from pipelines.version import code_version

_LOGGED: Final = ("auroc", "control_auroc", "auroc_minus_control", "sensitivity", "specificity", "observed_expected")


class Parent:
    """The run that holds the others.

    Args:
        config: the cross-cohort run.
        uri: the store.

    Raises:
        ConfigError: the store does not answer.
    """

    def __init__(self, config: CrossConfig, uri: str) -> None:
        self.client: MlflowClient = connect(uri)
        self.run_id = self._opened(config, uri)

    def _opened(self, config: CrossConfig, uri: str) -> str:
        known = config.out / RUN_ID_FILE
        if known.is_file() and run_exists(self.client, found := known.read_text(encoding="utf-8").strip()):
            return found
        experiment = ensure_experiment(self.client, config.tracking.experiment, uri)
        run = self.client.create_run(experiment, run_name=config.name, tags={"code_version": code_version()})
        settings = config.model_dump(mode="json", exclude={"out": True, "cohorts": True, "tracking": {"uri"}})
        for key, value in flatten(settings).items():
            self.client.log_param(run.info.run_id, key, value)
        self.client.log_param(run.info.run_id, "cohorts", ", ".join(cohort.name for cohort in config.cohorts))
        replace_text(known, run.info.run_id + "\n")
        return str(run.info.run_id)

    def adopt(self, child: str | None) -> None:
        """Make a model's training run a child of this one."""
        if child is not None and run_exists(self.client, child):
            self.client.set_tag(child, MLFLOW_PARENT_RUN_ID, self.run_id)

    def log(self, cross: Cross, files: tuple[Path, ...]) -> None:
        """Log the cells' numbers that are not there yet, and the matrix' files; a whole matrix ends the run."""
        there = self.client.get_run(self.run_id).data.metrics
        for cell in cross.cells:
            for finding in cell.findings:
                for name in _LOGGED:
                    number = finding.numbers.get(name)
                    key = safe_name(f"{finding.finding}.{name}.{cell.system}--{cell.cohort}")
                    if number is not None and number.value is not None and there.get(key) != number.value:
                        self.client.log_metric(self.run_id, key, number.value)
        for file in files:
            self.client.log_artifact(self.run_id, str(file), artifact_path="cross")
        if not cross.unfinished:
            self.client.set_terminated(self.run_id)
