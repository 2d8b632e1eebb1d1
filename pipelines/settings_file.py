"""Settings that people write: YAML with ``key=value`` overrides, and errors that name file, key, found and choices."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipelines.errors import ConfigError

_LONGEST: Final = 80
"""A value found is shown up to this many characters."""


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


def read_settings(path: Path, overrides: Sequence[str] = (), *, kind: str, example: str) -> dict[str, Any]:
    """Read one YAML file of keys and values, and apply overrides.

    Args:
        path: the file.
        overrides: ``key=value``; ``section.key`` and ``list.0.key`` reach deeper; values are YAML.
        kind: what the file is, for errors.
        example: of an override, for errors.

    Raises:
        ConfigError: one sentence that names the file or the override, and what is wrong.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such {kind} file")
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
        _apply(values, override, example)
    return values


def _apply(values: dict[str, Any], override: str, example: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected key=value, such as {example}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        place = _descend(place, part, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    else:
        place[last] = value


def _descend(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        found = place[_index(place, part, override)]
    else:
        found = place[part] = {} if place.get(part) is None else place[part]
    if not isinstance(found, (dict, list)):
        raise ConfigError(f"override {override!r}: {part} is a single value, it has no keys below it")
    return found


def _index(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise ConfigError(f"override {override!r}: found {part!r}, expected a position from 0 to {len(place) - 1}")
    return int(part)


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first problem, and how many more, in words.

    An unknown key comes first: it is often another one misspelt. ``model`` is what the values were validated as.
    """
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(str(part).rstrip("_") for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        choices = _keys_beside(model, first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), choices, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        return f"unknown key {key} (value {first['input']!r}); the keys here are {', '.join(choices)}{hint}{more}"
    if first["type"] == "missing":
        return f"key {key} is missing{more}"
    if first["type"] == "value_error":
        return f"{key + ': ' if key else ''}{first['ctx']['error']}{more}"
    message = first["msg"][0].lower() + first["msg"][1:]
    found = repr(first["input"])
    shown = found if len(found) <= _LONGEST else found[: _LONGEST - 3] + "..."
    hint = _written_number(first["input"]) if "number" in message or "integer" in message else ""
    return f"{key}: found {shown}, {message.replace('input should be', 'expected')}{hint}{more}"


def _written_number(value: object) -> str:
    """How to write what YAML 1.1 takes for text: 1e6 needs a dot and a sign."""
    try:
        return f" (in YAML, write {yaml.safe_dump(float(value)).split()[0]})" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Keys of the section that a key was written in."""
    section = model
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
