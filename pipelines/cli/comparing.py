"""Verb ``compare``: several systems, or versions of a model, on the same films."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import note, say
from pipelines.cli.data import pairs
from pipelines.cli.results import Interval, Level, Manifest, Margin, Replicates, Seed, Split, numbers
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.assessment.assess import Source


def compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(help="Two or more: folders of `cxr predict`, or other systems' tables; oldest first."),
    ],
    manifest: Manifest,
    out: Annotated[Path, typer.Option(help="Folder for comparison.json and comparison.csv.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Name of each system in turn; the file or folder name if left out.")
    ] = None,
    split: Split = None,
    id_column: Annotated[
        list[str] | None, typer.Option("--id", help="Other systems: [NAME:]COLUMN that names the film.")
    ] = None,
    score: Annotated[
        list[str] | None, typer.Option(help="Other systems: [NAME:]FINDING=COLUMN or [NAME:]FINDING=max(A,B).")
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="[NAME:]FINDING=NUMBER: used instead of a locked one.")
    ] = None,
    operating_points: Annotated[
        list[str] | None, typer.Option(help="NAME:PACKAGE whose locked thresholds are used.")
    ] = None,
    margin: Margin = 0.05,
    interval: Interval = "auto",
    replicates: Replicates = 2000,
    level: Level = 0.95,
    seed: Seed = 1,
    title: Annotated[str | None, typer.Option(help="What was compared, in words.")] = None,
) -> None:
    """Set systems, or versions of a model, side by side on the films that all of them scored.

    Differences are paired, later minus earlier. It also says what the later one would do at the earlier one's
    threshold: whether a new version may keep the old threshold.

    Example: `cxr compare old-predictions new-predictions --manifest test.parquet --out comparison`
    """
    from pipelines.assessment.versus import compare_sources
    from pipelines.evaluation.comparison.files import comparison_lines, write_comparison
    from pipelines.evaluation.options import Options

    options = Options(
        level=level,
        interval=interval,  # type: ignore[arg-type]  # Options says what it may be
        replicates=replicates,
        seed=seed,
        margin=margin,
    )
    sources = _sources(
        _names(predictions, name or []),
        predictions,
        id_column or [],
        score or [],
        threshold or [],
        operating_points or [],
    )
    found = compare_sources(sources, manifest, split=split, options=options, title=title)
    write_comparison(found, out)
    for line in comparison_lines(found):
        say(line)
    note(f"wrote {out}")


def _names(predictions: Sequence[Path], given: Sequence[str]) -> list[str]:
    """A name for each system: as given, else that of its folder or file, numbered where it repeats."""
    if given and len(given) != len(predictions):
        raise ConfigError(f"--name: found {len(given)}, expected one for each of {len(predictions)} systems.")
    names: list[str] = []
    for place, path in enumerate(predictions):
        base = given[place] if given else path.resolve().name.partition(".")[0] or f"system {place + 1}"
        if base in names and given:
            raise ConfigError(f"--name: {base!r} is there twice; expected different names.")
        names.append(f"{base} ({place + 1})" if base in names else base)
    return names


def _sources(
    names: Sequence[str],
    predictions: Sequence[Path],
    ids: Sequence[str],
    scores: Sequence[str],
    thresholds: Sequence[str],
    packages: Sequence[str],
) -> "dict[str, Source]":
    """Each system's source, from options that may begin with its name."""
    from pipelines.assessment.assess import Source

    split = {
        flag: _by_name(texts, names) for flag, texts in (("id", ids), ("score", scores), ("threshold", thresholds))
    }
    package = _by_name(packages, names)
    if package.get(None):
        raise ConfigError(
            f"--operating-points: found {package[None][0]!r}, expected NAME:PACKAGE of {', '.join(names)}."
        )

    def own(flag: str, name: str) -> dict[str, str]:
        """What is said for all systems, and over it what is said for this one."""
        return pairs(split[flag].get(None, []), f"--{flag}") | pairs(split[flag].get(name, []), f"--{flag}")

    sources = {}
    for name, path in zip(names, predictions, strict=True):
        # Options without a name are for other systems' tables: our own need none.
        foreign = path.is_file() and (split["score"].get(name) or not _is_ours(path))
        columns = (split["id"].get(None, []) if foreign else []) + split["id"].get(name, [])
        sources[name] = Source(
            path,
            id_column=columns[-1] if columns else None,
            scores=own("score", name) if foreign else {},
            thresholds=numbers(own("threshold", name), "--threshold"),
            package=Path(package[name][-1]) if package.get(name) else None,
        )
    return sources


def _is_ours(path: Path) -> bool:
    from pipelines.evaluation.tables import read_table

    return {"status", "model_id"} <= set(read_table(path).columns)


def _by_name(texts: Sequence[str], names: Sequence[str]) -> dict[str | None, list[str]]:
    """Options by the system they begin with; those that begin with none under None."""
    found: dict[str | None, list[str]] = {}
    for text in texts:
        name = next((each for each in sorted(names, key=len, reverse=True) if text.startswith(f"{each}:")), None)
        found.setdefault(name, []).append(text if name is None else text[len(name) + 1 :])
    return found
