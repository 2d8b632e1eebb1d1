"""The verb ``manifest overlap``: which films of these manifests show the same picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import note, progress, say, show, table
from pipelines.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd


def overlap(
    manifests: Annotated[list[Path], typer.Argument(help="One manifest or more.")],
    out: Annotated[Path, typer.Option(help="CSV to write: one row for each pair of films.")],
    root: Annotated[
        list[str] | None,
        typer.Option(help="MANIFEST=FOLDER where its films are; the manifest's own folder if left out."),
    ] = None,
    read: Annotated[bool, typer.Option(help="Read films: for lacking fingerprints, and to confirm pairs.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if left out.")] = None,
) -> None:
    """List films that show the same picture, within and across manifests, however it was changed.

    Found are copies that were resized, re-encoded, windowed, cropped by up to 8 % a side, mirrored, turned, inverted,
    framed or written on. Where both films are on disk, their pixels decide; started again after an interruption, films
    that were read are not read again.

    Example: `cxr manifest overlap tbx11k.parquet montgomery.parquet --root tbx11k.parquet=/data/tbx --out pairs.csv`
    """
    from pipelines.datasets.prints import with_fingerprints
    from pipelines.manifest import read_manifest
    from pipelines.manifest.copies import write_pairs
    from pipelines.manifest.overlap.pairs import find_pairs

    roots = _roots(manifests, root or [])
    frames = [read_manifest(path) for path in manifests]
    folders = [folder for folder, frame in zip(roots, frames, strict=True) for _ in range(len(frame))]
    if read:
        with progress("fingerprints") as report:
            frames = with_fingerprints(frames, roots, out.with_suffix(".fingerprints.csv"), workers, report)
    frame = _together(frames)
    paths = [folder / path for folder, path in zip(folders, frame["path"], strict=True)]
    lacking = int((frame["fingerprint"].isna() & frame["sha256"].isna()).sum())
    if lacking:
        note(f"{lacking:,} of {len(frame):,} films have no fingerprint and are not on disk: nothing is known of them")
    absent = sum(not path.is_file() for path in paths) if read else 0
    if absent:
        note(f"{absent:,} of {len(frame):,} films are not below --root: of these the fingerprints alone decide")
    with progress("pairs") as report:
        pairs = find_pairs(
            frame, locate=lambda row: paths[row] if read and paths[row].is_file() else None, progress=report
        )
    write_pairs(pairs, out)
    _summarise(pairs)
    note(f"wrote {out}")


def _roots(manifests: list[Path], given: list[str]) -> list[Path]:
    from pipelines.cli.data import pairs

    named = pairs(given, "--root")
    unknown = [name for name in named if name not in {str(path) for path in manifests}]
    if unknown:
        raise ManifestError(f"--root: found {unknown[0]!r}, expected one of {', '.join(map(str, manifests))}")
    return [Path(named.get(str(path), path.parent)) for path in manifests]


def _together(frames: list["pd.DataFrame"]) -> "pd.DataFrame":
    """One frame of all rows; ids that two manifests share are told apart by the manifest's number."""
    from pipelines.manifest import union_manifests

    ids = [image_id for frame in frames for image_id in frame["image_id"]]
    if len(set(ids)) < len(ids):
        frames = [
            frame.assign(image_id=[f"{number}:{image_id}" for image_id in frame["image_id"]])
            for number, frame in enumerate(frames, start=1)
        ]
    return union_manifests(frames)


def _summarise(pairs: "pd.DataFrame") -> None:
    if pairs.empty:
        say("no two films show the same picture")
        return
    rows = table("data sets", "splits", "verdict", "pairs")
    named = pairs.assign(
        datasets=[" and ".join(sorted({a, b})) for a, b in zip(pairs["dataset_a"], pairs["dataset_b"], strict=True)],
        splits=[
            " and ".join(sorted({str(a or "none"), str(b or "none")}))
            for a, b in zip(pairs["split_a"], pairs["split_b"], strict=True)
        ],
    )
    for (datasets, splits, verdict), part in named.groupby(["datasets", "splits", "verdict"], sort=True):
        rows.add_row(str(datasets), str(splits), str(verdict), f"{len(part):,}")
    show(rows)
