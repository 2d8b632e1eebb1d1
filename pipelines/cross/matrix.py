"""The cells of the matrix, done one by one: by this process and by others beside it, interrupted and gone on with.

    cohorts ──▶ models (systems/NAME) ──▶ cells (cells/NAME--COHORT: predictions, evaluation) ──▶ cross.json, .html

A folder that is being written is locked, so that any number of processes, on machines that share the folder, can be
started with the same command: each takes what no other is at work on.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch

from pipelines.assessment.assess import Source, assess
from pipelines.config import TrainConfig
from pipelines.cross.plan import (
    MANIFESTS_FOLDER,
    CellPlan,
    System,
    cells_of,
    manifest_of,
    read_cohorts,
    systems_of,
    training_of,
)
from pipelines.cross.records import Cross, CrossCell, finding_numbers, read_cell, tidy
from pipelines.cross.settings import CrossConfig
from pipelines.cross.tracking import Parent
from pipelines.errors import ConfigError
from pipelines.evaluation.options import Options
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.folder_lock import FolderInUseError, locked
from pipelines.manifest import write_manifest
from pipelines.reporting.language.language import language
from pipelines.reporting.page import write_cross_page
from pipelines.system import replace_text
from pipelines.training import train
from pipelines.training.finish import read_result
from pipelines.training.state import CHECKPOINT
from pipelines.training.tracking import log_evaluation, tracking_uri
from pipelines.version import code_version

Report = Callable[[int, int], None]
"""Called with (done, total)."""
Outcome = Literal["done", "done already", "elsewhere", "waits"]

PLAN_FILE: Final = "plan.json"
JSON_FILE: Final = "cross.json"
CSV_FILE: Final = "cross.csv"
PAGE_FILE: Final = "cross.html"
_DONE_FILE: Final = "done"
_PATIENCE: Final = 60
"""Seconds to wait for another process that writes the matrix."""


@dataclass(frozen=True)
class Task:
    """One folder's worth of work."""

    title: str
    folder: Path
    finished: Callable[[], bool]
    ready: Callable[[], bool]
    """Whether what it is made from is there."""
    run: Callable[[Report], None]
    unit: str
    """What its progress counts."""


class CrossMatrix:
    """A cross-cohort run in its folder.

    Args:
        config: what is asked for.
        languages: of the page.

    Raises:
        ConfigError: settings that do not fit, or a folder that holds another run.
        ManifestError: a cohort that cannot be used, or splits that share a picture or a patient.
    """

    def __init__(self, config: CrossConfig, *, languages: tuple[str, ...] = ("en",)) -> None:
        self.config = config
        for code in languages:
            language(code)  # a code that is not known is told before hours of training
        self.languages = languages
        self.cohorts = read_cohorts(config)
        self.systems = systems_of(config, self.cohorts)
        self.cells = cells_of(self.systems, self.cohorts)
        self._threads = torch.get_num_threads()
        self._uri = tracking_uri(config.tracking.uri, config.out)
        self._trainings = {
            system.name: training_of(config, system, uri=self._uri) for system in self.systems if system.findings
        }
        if not self._trainings:
            raise ConfigError(f"{config.name}: no model can be trained: {self.systems[0].why_not}")

    def tasks(self, only: Collection[str] = ()) -> list[Task]:
        """What there is to do, in order.

        Args:
            only: models whose training and cells are wanted; empty for all.

        Raises:
            ConfigError: no model of such a name.
        """
        known = [system.name for system in self.systems]
        for name in only:
            if name not in known:
                raise ConfigError(f"no model is called {name!r}, expected one of {', '.join(known)}")
        chosen = [system for system in self.systems if system.findings and (not only or system.name in only)]
        return [task for system in chosen for task in self._tasks_of(system)]

    def claim(self) -> None:
        """Write down what this folder is for, and open the parent run; or check that the folder is for the same.

        Raises:
            ConfigError: it is for something else; names what differs.
        """
        plan = self._plan()
        path = self.config.out / PLAN_FILE
        with self._alone():
            if path.is_file():
                present = json.loads(path.read_text(encoding="utf-8"))
                for key in plan:
                    if present.get(key) != plan[key]:
                        raise ConfigError(
                            f"{self.config.out}: holds a run with other {key.replace('_', ' ')}; choose another folder "
                            "with out=DIR, or go on with the configuration it was begun with"
                        )
            elif others := self._strangers():
                raise ConfigError(
                    f"{self.config.out}: exists and holds {others[0]}; choose another folder with out=DIR"
                )
            else:
                for name, cohort in self.cohorts.items():
                    write_manifest(cohort.frame, manifest_of(self.config, name))
                replace_text(path, json.dumps(plan, indent=1) + "\n")
            self._parent = Parent(self.config, self._uri)

    def do(self, task: Task, report: Report) -> Outcome:
        """Do one task, unless it is done, another process is at work on it, or what it needs is not there yet."""
        if task.finished():
            return "done already"
        if not task.ready():
            return "waits"
        try:
            with locked(task.folder):
                if task.finished():  # by another process, since
                    return "done already"
                task.run(report)
        except FolderInUseError:
            return "elsewhere"
        return "done"

    def collect(self) -> Cross:
        """Put the finished cells together: ``cross.json``, ``cross.csv``, the page, and the parent run's numbers."""
        out = self.config.out
        with self._alone():
            cross = self._cross()
            replace_text(out / JSON_FILE, cross.model_dump_json(indent=1, by_alias=True) + "\n")
            replace_text(out / CSV_FILE, tidy(cross).to_csv(index=False, lineterminator="\n"))
            files = [out / JSON_FILE, out / CSV_FILE]
            if evaluations := [out / cell.evaluation for cell in cross.cells if cell.evaluation is not None]:
                write_cross_page(evaluations, out / PAGE_FILE, title=self.config.name, languages=self.languages)
                files.append(out / PAGE_FILE)
            self._parent.log(cross, tuple(files))
        return cross

    def _strangers(self) -> list[str]:
        """What lies in the folder that no run has begun."""
        ours = (MANIFESTS_FOLDER, "overlap.csv")  # left by one that ended before it had written its plan
        names = [entry.name for entry in self.config.out.iterdir()]
        return [name for name in names if not name.startswith(".") and name not in ours]

    def _plan(self) -> dict[str, Any]:
        settings = {
            name: config.model_dump(mode="json", exclude={"out": True, "data": True, "tracking": True})
            for name, config in self._trainings.items()
        }
        return {
            "cohorts": list(self.cohorts),
            "manifests": {name: cohort.digest for name, cohort in self.cohorts.items()},
            "consensus": {section.name: section.consensus for section in self.config.cohorts},
            "training_settings": settings,
            "evaluation_settings": self.config.evaluation.model_dump(mode="json"),
        }

    def _tasks_of(self, system: System) -> Iterator[Task]:
        config = self._trainings[system.name]
        yield Task(
            f"train {system.name} on {', '.join(system.cohorts)} ({', '.join(system.findings)})",
            config.out,
            lambda: read_result(config.out) is not None,
            lambda: True,
            lambda report: self._train(config, report),
            "epochs",
        )
        for cell in self.cells:
            if cell.system is system and cell.findings:
                yield self._cell_task(cell, config)

    def _cell_task(self, cell: CellPlan, config: TrainConfig) -> Task:
        folder = self._folder(cell)
        return Task(
            f"test {cell.system.name} on {cell.cohort}",
            folder,
            (folder / _DONE_FILE).is_file,
            lambda: read_result(config.out) is not None,
            lambda report: self._test(cell, config, report),
            "films",
        )

    def _folder(self, cell: CellPlan) -> Path:
        return self.config.out / "cells" / cell.name

    def _train(self, config: TrainConfig, report: Report) -> None:
        # Compiled statistics of an earlier cell may have changed it, and with it the last digits of the weights.
        torch.set_num_threads(self._threads)
        started = (config.out / CHECKPOINT).is_file()
        result = train(config, resume=started, on_epoch=lambda epoch, epochs, _metrics: report(epoch, epochs))
        self._parent.adopt(result.mlflow_run_id if result else None)

    def _test(self, cell: CellPlan, config: TrainConfig, report: Report) -> None:
        section = next(section for section in self.config.cohorts if section.name == cell.cohort)
        manifest = manifest_of(self.config, cell.cohort)
        folder, result = self._folder(cell), read_result(config.out)
        assert result is not None
        films = collect_inputs([manifest], root=section.films, split="test")
        predict_films(films, config.out / result.package, folder / "predictions", score_atypical=True, progress=report)
        asked = self.config.evaluation
        measured = assess(
            Source(folder / "predictions"),
            manifest,
            folder / "evaluation",
            split="test",
            options=Options(level=asked.level, interval=asked.interval, replicates=asked.replicates),
            title=f"{cell.system.name} on {cell.cohort}",
        )
        if result.mlflow_run_id is not None:
            name = f"on-{cell.cohort}"
            log_evaluation(self._uri, result.mlflow_run_id, measured.evaluation, folder / "evaluation", name=name)
        replace_text(folder / _DONE_FILE, f"{measured.evaluation.provenance.model_id}\n")

    def _cross(self) -> Cross:
        cells = tuple(self._record(cell) for cell in self.cells)
        waiting = sum(
            bool(plan.findings) and cell.evaluation is None for plan, cell in zip(self.cells, cells, strict=True)
        )
        return Cross(
            name=self.config.name,
            cohorts=tuple(self.cohorts),
            manifest_digests={name: cohort.digest for name, cohort in self.cohorts.items()},
            code_version=code_version(),
            cells=cells,
            unfinished=waiting,
        )

    def _record(self, cell: CellPlan) -> CrossCell:
        folder = self._folder(cell)
        found = read_cell(folder / "evaluation") if (folder / _DONE_FILE).is_file() else None
        why = cell.system.why_not or ("not done yet" if cell.findings and found is None else None)
        if why is None and not cell.findings:
            learned = ", ".join(cell.system.findings)
            why = f"no finding that the model learned ({learned}) has both classes among the test films"
        return CrossCell(
            system=cell.system.name,
            trained_on=cell.system.cohorts,
            cohort=cell.cohort,
            at_home=cell.at_home,
            model_id=found.provenance.model_id if found else None,
            atypical=found.films.atypical if found else None,
            evaluation=(folder / "evaluation").relative_to(self.config.out).as_posix() if found else None,
            why_not=why,
            findings=tuple(
                finding_numbers(result)
                for result in (found.findings if found else ())
                if result.finding in cell.findings
            ),
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from writing the matrix meanwhile; waits for one that does.

        Raises:
            ConfigError: it does not end.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with locked(self.config.out):
                    yield
                return
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)
