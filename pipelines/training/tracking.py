"""What MLflow is told about a run: enough to read it as a stranger, and nothing about any patient."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException

from pipelines.config import TrainConfig, ValidationSection
from pipelines.errors import ConfigError, without_password
from pipelines.evaluation.files import UNMATCHED_FILE
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.tidy import estimates_of
from pipelines.manifest import manifest_digest
from pipelines.statistics.record import Record
from pipelines.training.films import Cohort
from pipelines.version import code_version

STORE: Final = "mlflow.db"
CHAMPION: Final = "champion"
_LOGGED: Final = frozenset(
    {
        "auroc",
        "control_auroc",
        "control_border_auroc",
        "control_lungs_hidden_auroc",
        "sensitivity",
        "specificity",
        "specificity_at_sensitivity_0.9",
        "ppv_local",
        "npv_local",
        "intention_to_read_sensitivity",
        "intention_to_read_specificity",
        "calibration_brier",
        "calibration_ece",
        "calibration_slope",
        "froc_cpm",
        "localisation",
    }
)
"""Of `pipelines.evaluation.tidy.estimates_of`; all of them are in the artifact ``metrics.csv``."""
_URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"
RUN_ID_FILE: Final = "mlflow_run_id"
_METRIC_TAG: Final = "validation_metric"
_VALUE_TAG: Final = "validation_value"
_COHORT_TAG: Final = "validation_cohort_digest"
# What a data-set input shows: labels and provenance, no identifiers of people, films or studies.
_PUBLIC_COLUMNS: Final = ("dataset", "split", "view", "sex", "tb", "nodule", "reference_standard")


class Registered(Record):
    """A model version in the registry."""

    name: str
    version: int
    champion: bool
    """Whether this version now holds the alias ``champion``."""
    why: str
    """The comparison that decided it, in one sentence."""


def tracking_uri(explicit: str | None, folder: Path) -> str:
    """Return the tracking store: the one named, ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in ``folder``."""
    found = explicit or os.environ.get(_URI_VARIABLE)
    return found or f"sqlite:///{(folder / STORE).resolve().as_posix()}"


def connect(uri: str) -> MlflowClient:
    """Point MLflow at a store and check that it answers.

    Raises:
        ConfigError: the store cannot be reached or is not one.
    """
    # Usage statistics of a hospital's training runs are nobody else's business.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    earlier = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    _point_at(uri)
    client = MlflowClient(tracking_uri=uri)
    try:
        client.search_experiments(max_results=1)
    except Exception as error:  # noqa: BLE001  MLflow lets errors of its database and HTTP layers through
        # What comes next in this process must not go to a store that is not there.
        _point_at(earlier)
        raise ConfigError(f"tracking store {without_password(uri)} does not answer ({type(error).__name__})") from None
    return client


def _point_at(uri: str | None) -> None:
    """Set MLflow's store for this process; None is "not set"."""
    before = os.environ.get(_URI_VARIABLE)
    mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]
    # MLflow also writes the variable, and the next run of this process would take one run's store for the user's wish.
    if before is None:
        os.environ.pop(_URI_VARIABLE, None)


def candidate_stores(explicit: str | None, beside: Path) -> list[str]:
    """Return the stores that may hold a model's run.

    Args:
        explicit: the store that a user named; it is then the only one, as is ``MLFLOW_TRACKING_URI``.
        beside: otherwise every ``mlflow.db`` in a folder above this path, in the working directory, and in ``runs``.
    """
    named = explicit or os.environ.get(_URI_VARIABLE)
    if named:
        return [named]
    places = [*beside.resolve().parents, Path().resolve(), Path("runs").resolve()]
    stores = dict.fromkeys(place / STORE for place in places if (place / STORE).is_file())
    return [f"sqlite:///{store.as_posix()}" for store in stores]


class Tracker:
    """One MLflow run; every method does nothing where tracking is not this process's task."""

    def __init__(self, config: TrainConfig, client: MlflowClient | None, run_id: str | None) -> None:
        self.config = config
        self.client = client
        self.run_id = run_id

    def catch_up(self, history: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs of a resumed run that were finished but not logged when it stopped."""
        if self.client is None or self.run_id is None or not history:
            return
        logged = self.client.get_metric_history(self.run_id, self.config.validation.monitor)
        for epoch in sorted(set(range(1, len(history) + 1)) - {metric.step for metric in logged}):
            self.log_epoch(epoch, history[epoch - 1])

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one epoch's metrics at step ``epoch`` (from 1)."""
        if self.client is not None:
            mlflow.log_metrics({**metrics}, step=epoch, run_id=self.run_id)

    def log_summary(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log final metrics and tags."""
        if self.client is not None:
            mlflow.log_metrics({**metrics}, run_id=self.run_id)
            mlflow.set_tags({**tags})

    def log_folder(self, folder: Path, name: str) -> None:
        """Log every file of a folder as artifacts under ``name``."""
        if self.client is not None:
            mlflow.log_artifacts(str(folder), artifact_path=name)


@contextmanager
def open_tracker(
    config: TrainConfig, union: pd.DataFrame, cohorts: Mapping[str, Cohort], *, resume: bool, active: bool
) -> Iterator[Tracker]:
    """Open (or, when resuming, reopen) the MLflow run of a training run.

    Raises:
        ConfigError: the store does not answer.
    """
    if not active:
        yield Tracker(config, None, None)
        return
    uri = tracking_uri(config.tracking.uri, config.out.parent)
    client = connect(uri)
    mlflow.set_experiment(experiment_id=ensure_experiment(client, config.tracking.experiment, uri))
    known = config.out / RUN_ID_FILE
    run_id = known.read_text().strip() if resume and known.is_file() else None
    if run_id is not None and not run_exists(client, run_id):
        run_id = None
    with mlflow.start_run(run_id=run_id, run_name=config.name, log_system_metrics=True) as run:
        if run_id is None:
            _describe(config, union, cohorts)
            known.write_text(run.info.run_id + "\n")
        yield Tracker(config, client, run.info.run_id)


def ensure_experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Return the id of an experiment, which is made where the store has none of that name."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    # Beside the database, not in the folder the command happened to be started from.
    beside = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" if uri.startswith("sqlite:///") else None
    return str(client.create_experiment(name, artifact_location=beside.resolve().as_uri() if beside else None))


def run_exists(client: MlflowClient, run_id: str) -> bool:
    """Whether a store holds a run that was not deleted."""
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _describe(config: TrainConfig, union: pd.DataFrame, cohorts: Mapping[str, Cohort]) -> None:
    mlflow.log_params(flatten(config.model_dump(mode="json", exclude={"out": True, "data": True, "tracking": {"uri"}})))
    mlflow.set_tags({"code_version": code_version(), "manifest_digest": manifest_digest(union)})
    source = "; ".join(data.manifest.name for data in config.data)
    for split, cohort in cohorts.items():
        public = cohort.rows[list(_PUBLIC_COLUMNS)]
        name = "+".join(sorted(cohort.rows["dataset"].unique()))
        mlflow.log_input(from_pandas(public, source=source, name=name, digest=cohort.digest[:16]), context=split)
    mlflow.log_artifact(str(config.out / "config.yaml"))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as ``section.key: value``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def register(tracker: Tracker, version: int, *, value: float, cohort_digest: str) -> Registered:
    """Tag a freshly registered version with its validation result; make it champion if it beats the present one.

    Only like is compared with like: the same metric on the same validation films. Otherwise the alias stays where it
    is, and the reason says so.

    Args:
        tracker: the run that made the version.
        version: its number in the registry under ``tracking.register_as``.
        value: its best validation metric (``validation.monitor``).
        cohort_digest: digest of the validation rows.
    """
    name, metric = tracker.config.tracking.register_as, tracker.config.validation.monitor
    assert tracker.client is not None
    assert name is not None
    tags = {_METRIC_TAG: metric, _VALUE_TAG: repr(value), _COHORT_TAG: cohort_digest}
    for key, text in tags.items():
        tracker.client.set_model_version_tag(name, str(version), key, text)
    promoted, why = _beats_champion(tracker.client, name, tracker.config.validation, value, cohort_digest)
    if promoted:
        tracker.client.set_registered_model_alias(name, CHAMPION, str(version))
    return Registered(name=name, version=version, champion=promoted, why=why)


def _beats_champion(
    client: MlflowClient, name: str, watched: ValidationSection, value: float, cohort_digest: str
) -> tuple[bool, str]:
    metric = watched.monitor
    try:
        champion = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return True, "there was no champion"
    tags = champion.tags
    if tags.get(_METRIC_TAG) != metric:
        return False, f"champion version {champion.version} was judged by {tags.get(_METRIC_TAG)}, not by {metric}"
    if tags.get(_COHORT_TAG) != cohort_digest:
        return False, f"champion version {champion.version} was judged on other validation films"
    present = float(tags[_VALUE_TAG])
    better = watched.improves(value, on=present)
    verb = "beats" if better else "does not beat"
    return better, f"{metric} {value:.4f} {verb} {present:.4f} of champion version {champion.version}"


def log_evaluation(uri: str, run_id: str, evaluation: Evaluation, folder: Path, *, name: str) -> bool:
    """Log an evaluation's headline numbers and files to the run that made the model.

    Returns:
        False where that store does not hold the run: the evaluation is then only in its folder.
    """
    client = connect(uri)
    if not run_exists(client, run_id):
        return False
    for metric, value in evaluation_metrics(evaluation, name).items():
        client.log_metric(run_id, metric, value)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != UNMATCHED_FILE:  # ids that nobody vouches for stay at home
            place = path.parent.relative_to(folder).as_posix()
            client.log_artifact(run_id, str(path), artifact_path=f"evaluation/{name}/{place}".removesuffix("/."))
    return True


def evaluation_metrics(evaluation: Evaluation, name: str) -> dict[str, float]:
    """Return the headline numbers with bounds as flat metrics such as ``test/tb/auroc_low``."""
    metrics: dict[str, float] = {}
    for result in evaluation.findings:
        for key, estimate in estimates_of(result).items():
            if key in _LOGGED:
                numbers = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
                metrics |= {f"{name}/{result.finding}/{key}{end}": x for end, x in numbers.items() if x is not None}
    return metrics
