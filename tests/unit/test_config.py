"""Configurations: every mistake is one sentence that names the key, the value and the choices."""

from pathlib import Path

import pytest

from pipelines.config import TrainConfig, dump_config, load_config, parse_config
from pipelines.errors import ConfigError
from pipelines.evaluation.thresholds.lock_rule import LockRule

YAML = """
name: run
out: runs/run
data:
  - manifest: a.parquet
    root: ${FILMS}/a
optimisation: {epochs: 3}
"""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FILMS", "films")
    path = tmp_path / "run.yaml"
    path.write_text(YAML)
    return path


def test_defaults_overrides_and_environment(config_file: Path) -> None:
    config = load_config(
        config_file,
        [
            "optimisation.learning_rate=0.01",
            "data.0.manifest=b.csv",
            "findings=[tb]",
            "validation.monitor=val_auroc_tb",
        ],
    )
    assert config.optimisation.epochs == 3
    assert config.optimisation.learning_rate == 0.01
    assert config.data[0].manifest == Path("b.csv")
    assert config.data[0].root == Path("films/a")
    assert config.findings == ["tb"]


def test_the_resolved_configuration_reads_back_as_itself(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file)
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config))
    assert load_config(again) == config
    assert "patience" in again.read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimisation.epoch=3",
            r"unknown key optimisation\.epoch \(value 3\); the keys here are epochs, .*mean epochs\?",
        ),
        ("optimizer=1", r"unknown key optimizer \(value 1\); the keys here are name, out, data"),
        ("data.0.path=x", r"unknown key data\.0\.path \(value 'x'\); the keys here are manifest, root"),
        ("optimisation.epochs=many", r"optimisation\.epochs: found 'many', expected a valid integer"),
        ("optimisation.epochs=0", r"optimisation\.epochs: found 0, expected greater than or equal to 1"),
        ("model.map_stride=7", r"model\.map_stride: found 7, expected 8, 16 or 32"),
        ("findings=[cancer]", r"findings\.0: found 'cancer', expected 'tb' or 'nodule'"),
        ("findings=[tb]|validation.monitor=val_auroc_nodule", r"monitor: val_auroc_nodule, but findings are \['tb'\]"),
        ("findings=[tb,tb]", r"names one finding twice"),
        ("data.3.root=x", r"found '3', expected a position from 0 to 0"),
        ("name.x=1", r"name is a single value"),
        ("epochs", r"expected key=value"),
        ("data.0.root=${NOWHERE}/x", r"data\.0\.root: environment variable NOWHERE is not set"),
        ("name=a/b", r"name: found 'a/b'"),
        ("intended_use.max_age_years=10", "min_age_years is 15, above max_age_years 10"),
    ],
)
def test_mistakes_are_named(config_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(config_file, override.split("|"))
    assert "\n" not in str(caught.value)


def test_missing_files_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [unclosed\nout: x")
    with pytest.raises(ConfigError, match="not readable as YAML at line"):
        load_config(broken)
    broken.write_text("just text")
    with pytest.raises(ConfigError, match="expected keys and values, found str"):
        load_config(broken)
    with pytest.raises(ConfigError, match="key name is missing"):
        parse_config({"out": "x", "data": [{"manifest": "m"}]}, source="test")


def test_every_field_of_a_configuration_says_what_it_is() -> None:
    def check(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            nested = field.annotation
            if isinstance(nested, type) and hasattr(nested, "model_fields"):
                check(nested)
            else:
                assert field.description, f"{model.__name__}.{name} has no docstring"

    check(TrainConfig)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")) if path.stem != "cross"],
    ids=lambda path: path.stem,
)
def test_committed_configurations_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_DATA", "data")
    assert load_config(path).name


def test_rules_for_thresholds_are_read_and_default_to_the_target_sensitivity(config_file: Path) -> None:
    assert load_config(config_file).validation.lock_rule == LockRule(kind="sensitivity", target=0.9)
    assert load_config(config_file).validation.rule_out_sensitivity is None
    asked = ["validation.operating_point=cost=10@0.05", "validation.rule_out_sensitivity=0.99"]
    config = load_config(config_file, asked)
    assert config.validation.lock_rule == LockRule(kind="cost", target=10, prevalence=0.05)
    assert parse_config(config.model_dump(mode="json"), source="again") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "validation.operating_point=sensitivity=90",
            r"validation\.operating_point: Rule 'sensitivity=90': .*found 90",
        ),
        ("validation.operating_point=best", r"validation\.operating_point: Rule 'best': expected sensitivity=0\.9"),
        ("validation.operating_point=rule_out=0.99", "is given as rule_out_sensitivity"),
        (
            "validation.rule_out_sensitivity=0.5",
            r"validation: rule_out_sensitivity is 0\.5, below the sensitivity 0\.9",
        ),
        ("validation.rule_out_sensitivity=1.5", r"validation\.rule_out_sensitivity: found 1\.5"),
    ],
)
def test_rules_that_cannot_be_are_named(config_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(config_file, [override])
    assert "\n" not in str(caught.value)


def test_a_margin_without_a_lung_box_is_a_slip(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"lung_margin is 0\.3, but lung_field is none"):
        load_config(config_file, ["harmonisation.lung_margin=0.3"])
    kept = load_config(config_file, ["harmonisation.lung_margin=0.3", "harmonisation.lung_field=crop"])
    assert kept.harmonisation.lung_margin == 0.3
