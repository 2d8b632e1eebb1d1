"""What the documents say about codes and commands is what the code does."""

import re
from pathlib import Path

import typer.main

from pipelines.cli import app
from pipelines.errors import REJECTED_REASONS, Reason

ROOT = Path(__file__).parents[2]


def test_readme_lists_every_reason_code_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (rejected|error) \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert rows == {reason.value: "rejected" if reason in REJECTED_REASONS else "error" for reason in Reason}


def test_every_command_the_readme_shows_exists() -> None:
    shown = set(re.findall(r"^cxr ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert shown
    assert shown <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_nothing_is_left_to_fill_in() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("data_manifests/*.md")]:
        assert not re.search(r"\b(TODO|FIXME|TBD|RESULTS)\b", path.read_text()), path.name
