"""The verb ``shortcut``: how far a program gets that sees no lungs, before any model is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import ended_as_interrupted, note, progress, say, show, table
from pipelines.cli.results import Interval, Level, Replicates, Seed
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.evaluation.options import Options
    from pipelines.evaluation.shortcut.records import Shortcut
    from pipelines.evaluation.shortcut.study import Pair

ALL = "all"
"""Instead of a split: every film of the manifest."""


def shortcut(
    train: Annotated[
        Path | None, typer.Argument(help="Manifest whose training films the controls are fitted on.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for shortcut.json, shortcut.csv and shortcut.svg.")] = Path(
        "shortcut"
    ),
    test: Annotated[
        list[Path] | None, typer.Option(help="Manifest whose test films are scored; TRAIN itself if left out. Several.")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="TRAIN=TEST: one more pair of manifests; may be given several times.")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder the films' paths start from, or MANIFEST=FOLDER; a manifest's own if left out."),
    ] = None,
    finding: Annotated[
        list[str] | None, typer.Option(help="tb, nodule or a native label; every known one if left out.")
    ] = None,
    train_split: Annotated[str, typer.Option(help="train, val, test, or all for every film.")] = "train",
    test_split: Annotated[str, typer.Option(help="train, val, test, or all for every film.")] = "test",
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of `cxr predict` on the test films: differences to that system; one for each pair."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read films; all cores if left out.")
    ] = None,
    interval: Interval = "auto",
    replicates: Replicates = 2000,
    level: Level = 0.95,
    seed: Seed = 1,
) -> None:
    """Fit three controls that see no lungs on training films, and say how well they do on test films.

    No model is needed. What is read of the films is kept in OUT, so an interrupted run goes on where it stopped.
    Exit code 1: some films could not be read.

    Example: `cxr shortcut qatar.parquet --out shortcut`; across cohorts: `cxr shortcut qatar.parquet --test
    shenzhen.parquet --test-split all --out shortcut`
    """
    from pipelines.evaluation.options import Options
    from pipelines.evaluation.shortcut.files import write_shortcut
    from pipelines.reporting.charts.shortcut import shortcut_svg
    from pipelines.system import replace_text

    options = Options(level=level, interval=interval, replicates=replicates, seed=seed)  # type: ignore[arg-type]
    pairs = _pairs(_named(train, test or [], pair or []), root or [], (train_split, test_split), predictions or [])
    with ended_as_interrupted():
        found = _study(pairs, finding or [], out, workers, options)
    write_shortcut(found, out)
    replace_text(out / "shortcut.svg", shortcut_svg(found))
    _print(found)
    note(f"wrote {out}")
    if found.unreadable:
        raise typer.Exit(1)


def _named(train: Path | None, test: list[Path], more: list[str]) -> list[tuple[Path, Path]]:
    if train is None and (test or not more):
        raise ConfigError("found no training manifest, expected `cxr shortcut TRAIN` or --pair TRAIN=TEST.")
    pairs = [] if train is None else [(train, each) for each in test or [train]]
    for text in more:
        first, equals, second = text.partition("=")
        if not (first and equals and second):
            raise ConfigError(f"--pair: found {text!r}, expected TRAIN=TEST, two manifests.")
        pairs.append((Path(first), Path(second)))
    return pairs


def _pairs(
    named: list[tuple[Path, Path]], roots: list[str], splits: tuple[str, str], predictions: list[Path]
) -> "list[Pair]":
    from pipelines.evaluation.shortcut.study import Films, Pair
    from pipelines.evaluation.tables import read_predictions
    from pipelines.manifest import read_manifest
    from pipelines.manifest.schema import SPLITS

    if predictions and len(predictions) != len(named):
        raise ConfigError(f"--predictions: found {len(predictions)}, expected one for each of {len(named)} pairs.")
    for flag, split in zip(("--train-split", "--test-split"), splits, strict=True):
        if split not in (*SPLITS, ALL):
            raise ConfigError(f"{flag}: found {split!r}, expected {', '.join(SPLITS)} or {ALL}.")
    frames = {path: read_manifest(path) for path in dict.fromkeys(path for pair in named for path in pair)}
    folders = {path: _root(path, roots) for path in frames}

    def films(path: Path, split: str) -> Films:
        return Films.of(frames[path], path.name, None if split == ALL else split, folders[path])

    tables = [read_predictions(path) for path in predictions]
    return [
        Pair(films(first, splits[0]), films(second, splits[1]), tables[place] if tables else None)
        for place, (first, second) in enumerate(named)
    ]


def _root(manifest: Path, given: list[str]) -> Path:
    """The folder named for this manifest, else the one named for all, else its own."""
    found = manifest.parent
    named = [text.rpartition("=") for text in given]
    # A folder for one manifest counts whichever way round the two kinds were given.
    for name, _, folder in sorted(named, key=lambda part: bool(part[0])):
        if name in ("", str(manifest), manifest.name):
            found = Path(folder)
    if not found.is_dir():
        raise ConfigError(f"--root: {found} is no folder; expected the one that the paths of {manifest} start from.")
    return found


def _study(pairs: "list[Pair]", findings: list[str], out: Path, workers: int | None, options: "Options") -> "Shortcut":
    from pipelines.errors import EvaluationError
    from pipelines.evaluation.records import software_versions
    from pipelines.evaluation.shortcut.features import CACHE_FILE, read_features
    from pipelines.evaluation.shortcut.records import Shortcut
    from pipelines.evaluation.shortcut.study import findings_of, pair_result, unreadable_films
    from pipelines.system import usable_cores

    chosen = findings_of(pairs, findings)
    files = list(dict.fromkeys(file for pair in pairs for side in (pair.train, pair.test) for file in side.files))
    with progress("reading films") as report:
        read = read_features(
            files, out / CACHE_FILE, workers=usable_cores() if workers is None else workers, progress=report
        )
    results = tuple(pair_result(pair, chosen, read, options) for pair in pairs)
    reasons = [result.why for pair in results for result in pair.findings if result.why is not None]
    if not any(result.controls for pair in results for result in pair.findings):
        raise EvaluationError(f"no control could be fitted: {reasons[0]}.")
    return Shortcut(
        level=options.level,
        replicates=options.replicates,
        seed=options.seed,
        pairs=results,
        unreadable=unreadable_films(pairs, read),
        versions=software_versions(),
    )


def _print(found: "Shortcut") -> None:
    from pipelines.evaluation.control_words import NAMES
    from pipelines.evaluation.shortcut.files import pair_name, shortcut_lines

    beside = any(result.system for pair in found.pairs for result in pair.findings)
    rows = table("pair", "finding", "films (positive)", "control", "AUROC", *(["system minus control"] * beside))
    for pair in found.pairs:
        for result in pair.findings:
            films = f"{result.test.films:,} ({result.test.positives:,})"
            head: tuple[Any, ...] = (pair_name(pair), result.finding, films)
            for control in result.controls:
                difference = [] if control.beside is None else [control.beside.difference.text()]
                rows.add_row(*head, NAMES[control.kind], control.auroc.text(), *difference)
                head = ("", "", "")
            if result.system is not None:
                rows.add_row(*head, "the system", result.system.text())
    show(rows)
    for line in shortcut_lines(found):
        say(line)
