"""The main job once, on synthetic films: each stage reads the files of the one before and leaves its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.config import TrainConfig, parse_config
from pipelines.errors import ConfigError
from pipelines.system import replace_text

Report = Callable[[int, int], None]

FRACTIONS: Final = {"train": 0.60, "val": 0.15, "test": 0.25}
_SETTINGS: Final = "demo.json"
_MODEL_NAME: Final = "phantom-demo"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way: what it is called, what it counts, whether it is done, how it is done."""

    title: str
    unit: str
    finished: Callable[[], bool]
    run: Callable[[Report], None]


class Demo:
    """The stages of ``cxr demo`` in one folder.

    Args:
        out: the folder.
        films: synthetic films to make.
        seed: decides films, split and weights.

    Raises:
        ConfigError: the folder holds a demo with other settings, or something else.
    """

    def __init__(self, out: Path, *, films: int, seed: int) -> None:
        self.out = out
        self.films = films
        self.seed = seed
        self._claim({"films": films, "seed": seed})

    @property
    def report(self) -> Path:
        """The page that the demo ends in."""
        return self.out / "report.html"

    def stages(self) -> list[Stage]:
        """Return the way in order."""
        out = self.out
        return [
            Stage("1/6 synthetic films", "films", (out / "films" / "boxes.csv").is_file, self._make_films),
            Stage("2/6 manifest", "films read", self._manifest.is_file, self._build_manifest),
            Stage("3/6 training", "epochs", (out / "run" / "result.json").is_file, self._train),
            Stage("4/6 prediction", "held-out films", (out / "predictions" / "run.json").is_file, self._predict),
            Stage("5/6 evaluation", "steps", (out / "evaluation" / "evaluation.json").is_file, self._evaluate),
            Stage("6/6 report", "steps", self.report.is_file, self._report),
        ]

    @property
    def _manifest(self) -> Path:
        return self.out / "manifest.parquet"

    def _claim(self, settings: dict[str, Any]) -> None:
        """Write down what this folder is for, or check that it is for the same."""
        path = self.out / _SETTINGS
        if path.is_file():
            present = json.loads(path.read_text(encoding="utf-8"))
            if present != settings:
                raise ConfigError(f"{self.out}: holds a demo with {present}, found {settings}; choose another --out")
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ConfigError(f"{self.out}: exists and is not a demo folder; choose another --out")
        self.out.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(settings) + "\n")

    def config(self) -> TrainConfig:
        """Return the demo's training run: a small network, packaged ImageNet weights, minutes on two cores."""
        return parse_config(
            {
                "name": _MODEL_NAME,
                "out": str(self.out / "run"),
                "seed": self.seed,
                "data": [{"manifest": str(self._manifest), "root": str(self.out / "films")}],
                "model": {"backbone": "timm:tf_efficientnet_lite0", "pretrained": "lite0", "size": 320},
                "optimisation": {
                    "epochs": 6,
                    "batch_size": 12,
                    "learning_rate": 1e-3,
                    "frozen_batchnorm": True,
                    "freeze_finer_than": 8,
                },
                "validation": {"patience": 4},
                "tracking": {"experiment": "phantom-demo", "register_as": _MODEL_NAME},
            },
            source="cxr demo",
        )

    def _make_films(self, report: Report) -> None:
        from pipelines.phantom import generate_phantoms

        generate_phantoms(self.out / "films", films=self.films, seed=self.seed, progress=report)

    def _build_manifest(self, report: Report) -> None:
        from pipelines.datasets import build_manifest
        from pipelines.manifest import split_manifest, write_manifest

        frame = build_manifest("phantom", self.out / "films", hashes=True, progress=report)
        write_manifest(split_manifest(frame, fractions=FRACTIONS, seed=self.seed), self._manifest)

    def _train(self, report: Report) -> None:
        from pipelines.training import train

        config = self.config()
        started = (config.out / "checkpoint.pt").is_file()
        train(config, resume=started, on_epoch=lambda epoch, epochs, _metrics: report(epoch, epochs))

    def _predict(self, report: Report) -> None:
        from pipelines.inference import collect_inputs, predict_films

        films = collect_inputs([self._manifest], root=self.out / "films", split="test")
        predict_films(films, self.out / "run" / "package", self.out / "predictions", heatmaps=True, progress=report)

    def _evaluate(self, report: Report) -> None:
        from pipelines.assessment.assess import Source, assess
        from pipelines.training.tracking import log_evaluation, tracking_uri

        folder = self.out / "evaluation"
        report(0, 2)
        assessment = assess(
            Source(self.out / "predictions"), self._manifest, folder, split="test", title="Held-out synthetic films"
        )
        report(1, 2)
        store = tracking_uri(None, self.out)
        log_evaluation(store, str(assessment.mlflow_run_id), assessment.evaluation, folder, name="test")
        report(2, 2)

    def _report(self, report: Report) -> None:
        from pipelines.reporting.language.language import NAMES
        from pipelines.reporting.page import write_report

        write_report([self.out / "evaluation"], self.report, languages=tuple(NAMES))
        report(1, 1)

    def headlines(self) -> list[str]:
        """Return what a newcomer should see last: the numbers, and what to open."""
        from pipelines.evaluation.control import controls_of, strongest_control
        from pipelines.evaluation.files import read_evaluation
        from pipelines.reporting.chapters.warnings_of import CONTROL_NAMES

        evaluation = read_evaluation(self.out / "evaluation")
        lines = ["", "Held-out synthetic films:"]
        for result in evaluation.findings:
            control = strongest_control(controls_of(result))
            lines.append(f"  {result.finding}: AUROC {result.auroc.text()}, {result.n} films")
            if control is not None:
                name = CONTROL_NAMES[control.kind or "shape_free"]
                lines.append(f"    strongest control that sees no anatomy ({name}): AUROC {control.auroc.text()}")
            point = result.operating_point
            if point is not None:
                lines.append(f"    sensitivity {point.sensitivity.text()}, specificity {point.specificity.text()}")
                lines.append(f"    map peak inside the true box: {point.localisation.text()} of true positives")
        store = (self.out / "mlflow.db").resolve()
        lines += [
            "",
            f"Open {self.report}",
            f"Experiments: mlflow server --backend-store-uri sqlite:///{store}",
        ]
        return lines
