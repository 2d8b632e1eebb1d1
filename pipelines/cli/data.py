"""Verbs about films and manifests: ``phantom``, ``manifest build | check | split``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import interruptible, note, progress, say, show, table
from pipelines.errors import CxrError, DatasetError, ManifestError

if TYPE_CHECKING:
    import pandas as pd

manifest_app = typer.Typer(no_args_is_help=True, help="Build, check and split manifests: one row per film.")


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the films, labels.csv and boxes.csv.")],
    films: Annotated[int, typer.Option(min=1, help="How many films.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if left out.")] = None,
) -> None:
    """Make synthetic frontal chest films as DICOM files, with exact labels and boxes.

    Started again after an interruption, it goes on where it stopped.

    Example: `cxr phantom --films 400 --seed 1 --out films`
    """
    from pipelines.phantom import generate_phantoms

    with progress("films") as report:
        generate_phantoms(out, films=films, seed=seed, workers=workers, progress=report)
    say(f"{films} films in {out}; labels in {out / 'labels.csv'}, boxes in {out / 'boxes.csv'}")


@manifest_app.command("build")
@interruptible
def build(
    dataset: Annotated[str, typer.Argument(help="Name from `cxr datasets`.")],
    root: Annotated[Path, typer.Argument(help="Folder of the data set as it was downloaded.")],
    out: Annotated[Path, typer.Option(help="Manifest to write: .parquet, .csv or .csv.gz.")],
    allow_missing: Annotated[bool, typer.Option(help="Keep rows whose film is not on disk.")] = False,
    only_present: Annotated[bool, typer.Option(help="Keep only rows whose film is on disk.")] = False,
    hashes: Annotated[
        bool,
        typer.Option(
            "--hashes/--no-hashes",
            help="Also digest files and pictures, to find one picture in two splits; reads every film whole.",
        ),
    ] = False,
    option: Annotated[list[str] | None, typer.Option(help="name=value for this data set; see its card.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if left out.")] = None,
) -> None:
    """Turn a data set's own files into a manifest; of the films it reads the headers.

    Example: `cxr manifest build nih_cxr14 /data/nih --out nih.parquet --only-present`
    """
    from pipelines.datasets import build_manifest
    from pipelines.manifest import write_manifest

    if allow_missing and only_present:
        raise DatasetError("--allow-missing keeps rows without a film and --only-present drops them: choose one")
    with progress("reading films") as report:
        frame = build_manifest(
            dataset,
            root,
            allow_missing=allow_missing,
            only_present=only_present,
            hashes=hashes,
            workers=workers,
            progress=report,
            options=pairs(option or [], "--option"),
        )
    write_manifest(frame, out)
    _summarise(frame, out)
    _show_agreement(frame)


@manifest_app.command("check")
@interruptible
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest to check.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder the paths are relative to; the manifest's own if left out.")
    ] = None,
    files: Annotated[bool, typer.Option(help="Look for the files on disk.")] = True,
    hashes: Annotated[bool, typer.Option(help="Digest every file again and report changed ones.")] = False,
) -> None:
    """Say everything that is wrong with a manifest, at once, with counts and first examples.

    Exit code 1 if there are errors; warnings alone give 0.

    Example: `cxr manifest check nih.parquet --root /data/nih`
    """
    from pipelines.manifest import check_manifest, load_unchecked

    frame = load_unchecked(manifest)
    problems = check_manifest(frame, root=(root or manifest.parent) if files else None, hashes=hashes)
    for problem in problems:
        say(str(problem))
    errors = sum(problem.severity == "error" for problem in problems)
    say(f"{manifest}: {len(frame):,} rows, {errors} errors, {len(problems) - errors} warnings")
    if errors:
        raise typer.Exit(1)


@manifest_app.command("split")
@interruptible
def split(
    manifest: Annotated[Path, typer.Argument(help="Manifest to split.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.70,0.15,0.15",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same split.")] = 1,
    keep: Annotated[list[str] | None, typer.Option(help="Leave this split as it is (an official test set).")] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Where the films are, to tell copies from look-alikes; the manifest's folder if left out."),
    ] = None,
) -> None:
    """Assign train, val and test: patient-disjoint, pictures kept together, stratified, reproducible.

    Example, keeping an official test set: `cxr manifest split nih.parquet --out nih-split.parquet --keep test
    --fractions 0.85,0.15,0`
    """
    from pipelines.manifest import read_manifest, split_manifest, write_manifest

    frame = split_manifest(
        read_manifest(manifest),
        fractions=_fractions(fractions, keep or []),
        seed=seed,
        keep=keep or [],
        root=root or manifest.parent,
    )
    write_manifest(frame, out)
    _summarise(frame, out)


@manifest_app.command("union")
@interruptible
def union(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more manifests.")],
    out: Annotated[Path, typer.Option(help="Manifest to write; split it afterwards.")],
    prefix: Annotated[
        list[str] | None, typer.Option(help="Folder put before the paths of each manifest in turn, from a common root.")
    ] = None,
) -> None:
    """Put manifests together, so that a patient or picture they share stays in one split.

    Example: `cxr manifest union nih.parquet qatar.parquet --prefix nih_cxr14 --prefix qatar_tb --out both.parquet`
    """
    from pipelines.manifest import read_manifest, union_manifests, write_manifest

    if prefix and len(prefix) != len(manifests):
        raise ManifestError(f"--prefix: found {len(prefix)}, expected one for each of {len(manifests)} manifests")
    frame = union_manifests([read_manifest(path) for path in manifests], prefixes=prefix)
    write_manifest(frame, out)
    _summarise(frame, out)


@manifest_app.command("consensus")
@interruptible
def consensus(
    manifest: Annotated[Path, typer.Argument(help="Manifest with readings of several readers.")],
    rule: Annotated[str, typer.Option(help="any, majority, all or mean (labels as majority; see `data.0.consensus`).")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
) -> None:
    """Make the labels anew from every reader's own word; a film that half of its readers call positive is unknown.

    Boxes are those of the films that stay positive: build with consensus=any to have them all.

    Example: `cxr manifest consensus vindr.parquet --rule all --out vindr-all.parquet`
    """
    from typing import cast

    from pipelines.datasets.readings import apply_consensus
    from pipelines.findings import ConsensusRule
    from pipelines.manifest import read_manifest, write_manifest

    frame = apply_consensus(read_manifest(manifest), cast("ConsensusRule", rule), source=str(manifest))
    write_manifest(frame, out)
    _summarise(frame, out)


@manifest_app.command("agreement")
@interruptible
def agreement(
    manifest: Annotated[Path, typer.Argument(help="Manifest with readings of several readers.")],
    split: Annotated[str | None, typer.Option(help="Only films of this split.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 1,
    each_pair: Annotated[bool, typer.Option("--pairs", help="Also every two readers with 30 films in common.")] = False,
) -> None:
    """Say how far the readers of the same films agree: kappa and agreement on positives, with intervals.

    Example: `cxr manifest agreement vindr.parquet --split train`
    """
    from pipelines.datasets.readings import has_readings
    from pipelines.manifest import read_manifest

    frame = read_manifest(manifest)
    if split is not None:
        frame = frame[frame["split"] == split].reset_index(drop=True)
        if frame.empty:
            raise ManifestError(f"{manifest}: no row has split {split!r}")
    if not has_readings(frame):
        raise ManifestError(f"{manifest}: expected readings, its column 'readings' is empty")
    _show_agreement(frame, seed=seed)
    if each_pair:
        if frame["dataset"].nunique() > 1:
            raise ManifestError(f"{manifest}: --pairs needs films of one data set, readers are known by its own codes")
        _show_pairs(frame)


def _fractions(text: str, keep: list[str]) -> dict[str, float]:
    from pipelines.manifest.schema import SPLITS

    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS):
        raise ManifestError(f"--fractions: found {text!r}, expected three numbers for {', '.join(SPLITS)}")
    given = dict(zip(SPLITS, shares, strict=True))
    return {name: share for name, share in given.items() if name not in keep or share > 0}


def pairs(texts: list[str], flag: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise CxrError(f"{flag}: found {text!r}, expected NAME=VALUE")
        if name in pairs:
            raise CxrError(f"{flag}: {name} is given twice, as {pairs[name]!r} and {value!r}; expected it once")
        pairs[name] = value
    return pairs


def _summarise(frame: "pd.DataFrame", out: Path) -> None:
    from pipelines.findings import FINDINGS

    rows = table("split", "films", "patients", *(f"{finding} 1 / 0 / unknown" for finding in FINDINGS))
    splits = [name for name in ("train", "val", "test") if (frame["split"] == name).any()]
    parts = [(name, frame[frame["split"] == name]) for name in splits]
    if frame["split"].isna().any():
        parts.append(("no split", frame[frame["split"].isna()]))
    for name, part in [*parts, ("all", frame)]:
        counts = [((part[f] == 1).sum(), (part[f] == 0).sum(), part[f].isna().sum()) for f in FINDINGS]
        labels = [" / ".join(f"{int(count):,}" for count in three) for three in counts]
        known = part["patient_id"].dropna().nunique()
        patients = f"{known:,}" + (" + unknown" if part["patient_id"].isna().any() else "")
        rows.add_row(name, f"{len(part):,}", patients, *labels)
    show(rows)
    note(f"wrote {out}")


def _show_agreement(frame: "pd.DataFrame", *, seed: int = 1) -> None:
    """Print how far readers agree, where a manifest holds their own words."""
    from pipelines.datasets.readings import has_readings

    if not has_readings(frame):
        return
    from pipelines.statistics.agreement import manifest_agreement
    from pipelines.statistics.resampling import Plan

    rows = table("finding", "films", "readers", "per film", "positive readings", "kappa", "agreement on positives")
    found = manifest_agreement(frame, plan=Plan(seed=seed))
    for part in found:
        per_film = f"{part.fewest}" if part.fewest == part.most else f"{part.fewest}-{part.most}"
        rows.add_row(
            part.finding,
            f"{part.films:,}",
            f"{part.readers:,}",
            per_film if part.films else "1",
            f"{part.positive_readings:,} of {part.readings:,}",
            part.kappa.text(),
            part.positive.text(),
        )
    show(rows)
    unknown = " Where the patient is not known, a film counts as a patient." if frame["patient_id"].isna().any() else ""
    say(f"kappa: {found[0].kappa.method}. Films with two or more readings.{unknown}")


def _show_pairs(frame: "pd.DataFrame") -> None:
    """Print Cohen's kappa of every two readers; pairs that have none are counted only."""
    from pipelines.findings import FINDINGS
    from pipelines.statistics.agreement import reader_pairs

    rows = table("finding", "readers", "films", "positive", "Cohen's kappa")
    found = [pair for finding in FINDINGS for pair in reader_pairs(frame, finding)]
    known = [pair for pair in found if pair.kappa.value is not None]
    for pair in known:
        positives = f"{pair.first_positive:,} and {pair.second_positive:,}"
        rows.add_row(pair.finding, f"{pair.first}, {pair.second}", f"{pair.films:,}", positives, pair.kappa.text())
    show(rows)
    if len(found) > len(known):
        say(f"{len(found) - len(known)} more pairs gave all their films one and the same answer")
