"""What the documents say about codes and commands is what the code does."""

import re
from pathlib import Path

import typer.main

from pipelines.cli import app
from pipelines.errors import REJECTED_REASONS, Reason
from pipelines.evaluation.predictions import COLUMNS
from pipelines.evaluation.records import Evaluation
from pipelines.reading_time.scenario import Scenario

ROOT = Path(__file__).parents[2]


def test_every_reason_code_is_listed_with_its_status() -> None:
    text = (ROOT / "docs" / "films.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (rejected|error) \|", text, re.MULTILINE))
    assert rows == {reason.value: "rejected" if reason in REJECTED_REASONS else "error" for reason in Reason}


def test_every_column_that_describes_a_film_is_explained() -> None:
    text = (ROOT / "docs" / "films.md").read_text()
    described = COLUMNS[COLUMNS.index("model_id") + 1 :]
    assert described
    assert [column for column in described if f"| `{column}` |" not in text] == []


def test_every_table_of_an_evaluation_is_explained() -> None:
    source = (ROOT / "pipelines" / "evaluation" / "tidy.py").read_text()
    tables = set(re.findall(r'^        "(\w+\.csv)":', source, re.MULTILINE)) | {"unmatched.csv"}
    assert len(tables) > 9
    text = (ROOT / "docs" / "evaluation.md").read_text()
    assert [name for name in sorted(tables) if f"`{name}`" not in text] == []


def test_every_part_of_an_evaluation_is_explained() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text()
    optional = ("by_site", "by_split", "options", "training_films")
    keys = [name for name in (*Evaluation.model_fields, *optional) if name != "schema_"]
    assert len(keys) > 15
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_key_of_a_scenario_is_explained() -> None:
    text = (ROOT / "docs" / "reading-time.md").read_text()
    plain = {"title", "notes", "evaluation", "finding"}
    keys = [name for name in Scenario.model_fields if name not in plain]
    assert keys
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_the_readme_shows_exists() -> None:
    shown = set(re.findall(r"^cxr ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert shown
    assert shown <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_nothing_is_left_to_fill_in() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data_manifests/*.md")]:
        assert not re.search(r"\b(TODO|FIXME|TBD|RESULTS)\b", path.read_text()), path.name
