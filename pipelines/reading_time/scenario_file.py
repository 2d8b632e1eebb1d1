"""Read a scenario from YAML, with errors that name file, key, found and choices."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError
from pipelines.reading_time.scenario import Scenario


class _TwiceError(Exception):
    """A key that one mapping has twice; YAML itself would take the last."""

    def __init__(self, key: object, line: int) -> None:
        super().__init__(key, line)
        self.key, self.line = key, line


class _OnceLoader(yaml.SafeLoader):
    """Reads plain values only, as `yaml.safe_load` does, and every key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.value != "<<":
                    raise _TwiceError(key.value, key.start_mark.line + 1)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read one scenario and apply ``key=value`` overrides, such as ``traffic=0.9`` or ``minutes.diseased=12``.

    An ``evaluation`` folder stays as written, relative to the file.

    Raises:
        ConfigError: one sentence that names the file, the key, the value found and what was expected.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such scenario file")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceLoader)
    except _TwiceError as error:
        raise ConfigError(f"{path}: key {error.key} is there twice at line {error.line}; expected it once") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}" if where is not None else ""
        raise ConfigError(f"{path}: not readable as YAML{place}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not readable as YAML: nested too deeply") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    for override in overrides:
        _override(values, override)
    return parse_scenario(values, source=str(path))


def parse_scenario(values: Mapping[str, Any], *, source: str = "scenario") -> Scenario:
    """Validate scenario values; ``source`` is named in errors.

    Raises:
        ConfigError: names the key, the value found and what was expected.
    """
    try:
        return Scenario.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_sentence(error)}") from None


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected key=value, such as traffic=0.9")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = key.split(".")
    place = values
    for part in parents:
        below = place[part] = {} if place.get(part) is None else place[part]
        if not isinstance(below, dict):
            raise ConfigError(f"override {override!r}: {part} is no mapping, it has no keys below it")
        place = below
    place[last] = value


def _sentence(error: ValidationError) -> str:
    """The first problem, and how many more, in words; an unknown key comes first, it is often a misspelt other one."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(str(part).rstrip("_") for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        choices = _keys_beside(first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), choices, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        return f"unknown key {key} (value {first['input']!r}); the keys here are {', '.join(choices)}{hint}{more}"
    if first["type"] == "missing":
        return f"key {key} is missing{more}"
    if first["type"] == "value_error":
        return f"{key + ': ' if key else ''}{first['ctx']['error']}{more}"
    message = first["msg"][0].lower() + first["msg"][1:]
    found = repr(first["input"])
    shown = found if len(found) <= 80 else found[:77] + "..."
    hint = _written_number(first["input"]) if "number" in message or "integer" in message else ""
    return f"{key}: found {shown}, {message.replace('input should be', 'expected')}{hint}{more}"


def _written_number(value: object) -> str:
    """How to write what YAML 1.1 takes for text: 1e6 needs a dot and a sign."""
    try:
        return f" (in YAML, write {yaml.safe_dump(float(value)).split()[0]})" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """Keys of the section that a key was written in."""
    section: type[BaseModel] = Scenario
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        models = [] if field is None else [found for found in _inside(field.annotation) if issubclass(found, BaseModel)]
        section = models[0] if models else section
    return [field.alias or name for name, field in section.model_fields.items()]


def _inside(annotation: Any) -> list[type]:
    """The classes that an annotation is built from."""
    arguments = get_args(annotation)
    if arguments:
        return [found for argument in arguments for found in _inside(argument)]
    return [annotation] if isinstance(annotation, type) else []
