"""Points as a model package holds them: read without its weights, and written as a part of its card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from pipelines.errors import PackageError
from pipelines.evaluation.thresholds.operating_point import OperatingPoint

MODEL_FILE: Final = "model.json"
MODEL_SCHEMA: Final = "cxr-triage/model/"
"""Every version so far has its points in the same place."""
HEADING: Final = "## Operating points"


class LockedPoints(NamedTuple):
    """The points of one model."""

    model_id: str
    flag: Mapping[str, OperatingPoint]
    """By finding: flagged at or above the threshold."""
    rule_out: Mapping[str, OperatingPoint]
    """By finding: may be filed without a reader below the threshold."""


def locked_points(package_folder: Path) -> LockedPoints:
    """Read the points of a model package from its ``model.json``, without its weights.

    Scores that were made before a model was locked anew can so be evaluated with its newer points.

    Raises:
        PackageError: no package there, a damaged or foreign ``model.json``, or a point that is damaged, of another
            finding, for another purpose, or locked on another model.
    """
    path = package_folder / MODEL_FILE
    described = _read(path)
    model_id, findings = described.get("model_id"), described.get("findings")
    if not isinstance(model_id, str) or not model_id or not isinstance(findings, list):
        raise PackageError(f"{path} is damaged: expected a model_id and a list of findings")
    flag, rule_out = (
        {
            finding: _point(values, path, place=f"{key}.{finding}")
            for finding, values in _mapping(described.get(key, {}), path, key).items()
        }
        for key in ("operating_points", "rule_out_points")
    )
    for purpose, points in (("flag", flag), ("rule_out", rule_out)):
        for finding, point in points.items():
            _refuse_others(point, finding, purpose, model_id=model_id, findings=findings, path=path)
    return LockedPoints(model_id, flag, rule_out)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise PackageError(f"{path.parent} is not a model package: {path.name} is missing")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageError(f"{path} is damaged ({type(error).__name__})") from None
    found = described.get("schema") if isinstance(described, dict) else type(described).__name__
    if not isinstance(found, str) or not found.startswith(MODEL_SCHEMA):
        raise PackageError(f"{path}: schema is {found!r}, expected {MODEL_SCHEMA}1 or later")
    return dict(described)


def _mapping(values: object, path: Path, key: str) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise PackageError(f"{path} is damaged: {key} is {type(values).__name__}, expected finding -> point")
    return values


def _point(values: object, path: Path, *, place: str) -> OperatingPoint:
    try:
        return OperatingPoint.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([place, *map(str, first["loc"])])
        raise PackageError(f"{path} is damaged: {where}: {first['msg']}") from None


def _refuse_others(
    point: OperatingPoint, finding: str, purpose: str, *, model_id: str, findings: list[Any], path: Path
) -> None:
    if finding not in findings or point.finding != finding:
        raise PackageError(
            f"{path}: a point of {point.finding!r} is given for {finding!r}, but the model finds "
            f"{', '.join(map(str, findings))}"
        )
    if point.purpose != purpose:
        raise PackageError(f"{path}: the point of {finding!r} has purpose {point.purpose}, expected {purpose}")
    if point.model_id != model_id:
        raise PackageError(
            f"{path}: the point of {finding!r} was locked on model {point.model_id}, this is model {model_id}; a "
            "threshold is used only with the model it was chosen for"
        )


def points_section(flag: Mapping[str, OperatingPoint], rule_out: Mapping[str, OperatingPoint]) -> str:
    """Return the part of a model card that says which thresholds were locked, how, where and when (Markdown)."""
    lines = [
        HEADING,
        "",
        "Thresholds of the calibrated probability, locked for this model alone. What they reach on the films that "
        "chose them is optimistic.",
        "",
        "| finding | use | threshold | chosen as | sensitivity | specificity | cohort | films (positive) | locked on |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(point, "flag at or above") for point in flag.values()),
        *(_row(point, "file unread below") for point in rule_out.values()),
        "",
    ]
    if rule_out:
        lines += [
            "A rule-out threshold is an offer to study, not a permission: no film may be filed unread on its word "
            "before a trial where it would be used.",
            "",
        ]
    return "\n".join(lines)


def replace_section(card: str, section: str) -> str:
    """Return a card with its part on operating points replaced; a card of an earlier version gets it at its end."""
    before, found, after = card.partition(f"{HEADING}\n")
    if not found:
        note = "These take the place of any threshold named above.\n"
        return f"{card.rstrip()}\n\n{section.rstrip()}\n\n{note}"
    _, next_heading, rest = after.partition("\n## ")
    return f"{before}{section.rstrip()}\n" + (f"\n## {rest}" if next_heading else "")


def _row(point: OperatingPoint, use: str) -> str:
    cells = (
        point.finding,
        use,
        f"{point.threshold:.4f}",
        point.rule,
        point.sensitivity.text(),
        point.specificity.text(),
        point.cohort,
        f"{point.n} ({point.n_positive})",
        point.date or "not recorded",
    )
    # A cohort is named by a person: a bar or a line break in it must not break the table.
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"
