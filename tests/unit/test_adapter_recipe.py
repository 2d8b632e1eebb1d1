"""The recipe for adding a data set works as it is written, and every card keeps the rules."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from pipelines.datasets import ADAPTERS, Adapter, adapters, registry
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, card_is_whole, options_are_resolved, picture

RECIPE = (Path(__file__).parents[2] / "docs" / "data-sets.md").read_text()
MODULE, TEST = re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)
NAME = "lakeside"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that puts the source of an adapter where adapters are found, for one test."""
    place = tmp_path / "adapters"
    place.mkdir()
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(place)])
    module = f"{adapters.__name__}.{NAME}"

    def _install(source: str) -> Adapter:
        (place / f"{NAME}.py").write_text(source)
        sys.modules.pop(module, None)
        monkeypatch.setattr(registry, "ADAPTERS", MappingProxyType(registry._by_name()))
        return registry.ADAPTERS[NAME]

    yield _install
    sys.modules.pop(module, None)
    vars(adapters).pop(NAME, None)


def test_the_recipe_is_under_60_lines() -> None:
    assert 40 < len(MODULE.splitlines()) < 60


def test_the_recipe_works_as_it_is_written(tmp_path: Path, install) -> None:
    install(MODULE)
    written: dict[str, object] = {}
    exec(compile(TEST, "docs/data-sets.md", "exec"), written)
    written["test_lakeside"](tmp_path / "data")


def lakeside(root: Path) -> Path:
    for seed, film in enumerate(("a1", "a2", "b1", "c1")):
        picture(root / "films" / f"{film}.png", seed=seed)
    (root / "films.csv").write_text(re.search(r'TABLE = """(.*?)"""', TEST, re.DOTALL)[1])
    return root


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("lakeside/{entry['film']}", "lakeside/{entry['patient']}", "duplicate_id"),
        ("lakeside/{entry['film']}", "{entry['film']}", "id_without_dataset"),
        ("films/{entry['film']}.png", "{root}/films/{entry['film']}.png", "path_escape|absolute"),
        ('"reference_standard": "radiologist", ', "", "who said so"),
        ('"native_labels": [reading],', "", "what the data set itself said"),
        ('"nodule": float(reading == "nodule")', '"nodule": None', "the card must say what is unknown"),
        ('need_file(root, ("films.csv",), "lakeside")', 'root / "films.csv"', "the message must name|lakeside"),
        ('access="open"', 'access="credentialed"', "step by step"),
        ('citation="Nobody N. Films of an invented clinic. 2026."', 'citation=" "', "nothing is said under citation"),
        ('"what tb is where the reading is old TB"', '""', "what does it choose"),
        ('("unknown", "negative")', '("unknown",)', "a choice of one is none"),
        ('files={"films.csv": ""}', 'files={"../films.csv": ""}', "label file that is not below"),
    ],
)
def test_the_rules_find_what_breaks_them(tmp_path: Path, install, old: str, new: str, complaint: str) -> None:
    assert old in MODULE
    install(MODULE.replace(old, new))
    with pytest.raises((AssertionError, DatasetError), match=complaint):
        adapter_keeps_the_rules(NAME, lakeside(tmp_path / "data"), needed=("films.csv",), hashes=False)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_card_is_whole(name: str) -> None:
    card_is_whole(ADAPTERS[name])


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_option_is_resolved(name: str) -> None:
    options_are_resolved(ADAPTERS[name])


def test_commands_of_the_page_name_data_sets_that_there_are() -> None:
    shown = re.findall(r"cxr (?:datasets|fetch|manifest build) ([a-z]\w+)", RECIPE)
    assert shown
    assert set(shown) <= set(ADAPTERS)
