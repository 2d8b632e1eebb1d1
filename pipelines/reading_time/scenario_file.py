"""Read a scenario from YAML, with errors that name file, key, found and choices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import ConfigError
from pipelines.reading_time.scenario import Scenario
from pipelines.settings_file import first_problem, read_settings


def read_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read one scenario and apply ``key=value`` overrides, such as ``traffic=0.9`` or ``minutes.diseased=12``.

    An ``evaluation`` folder stays as written, relative to the file.

    Raises:
        ConfigError: one sentence that names the file, the key, the value found and what was expected.
    """
    values = read_settings(path, overrides, kind="scenario", example="traffic=0.9")
    return parse_scenario(values, source=str(path))


def parse_scenario(values: Mapping[str, Any], *, source: str = "scenario") -> Scenario:
    """Validate scenario values; ``source`` is named in errors.

    Raises:
        ConfigError: names the key, the value found and what was expected.
    """
    try:
        return Scenario.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error, Scenario)}") from None
