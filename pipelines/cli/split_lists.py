"""Verbs about split lists: ``manifest apply | folds``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import interruptible, note, say

if TYPE_CHECKING:
    from pipelines.datasets.split_lists import Applied

_EXAMPLES = 3


@interruptible
def apply(
    manifest: Annotated[Path, typer.Argument(help="Manifest to split.")],
    split_list: Annotated[Path, typer.Argument(help="A list, such as data_manifests/nih_cxr14_folds.csv.gz.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
    fold: Annotated[int | None, typer.Option(min=0, help="Which fold; for a list of folds only.")] = None,
) -> None:
    """Give a manifest the splits of a list: official parts, or one fold of a cross-validation.

    Fold K of a list with an official test part: fold K is val. Of a list without one: fold K is test, the next one val.
    Films that only one of the two knows are counted; a patient or picture in two splits is refused.

    Example: `cxr manifest apply nih.parquet data_manifests/nih_cxr14_folds.csv.gz --fold 3 --out nih-fold3.parquet`
    """
    from pipelines.datasets.split_lists import apply_list, read_list
    from pipelines.manifest import read_manifest, write_manifest

    applied = apply_list(read_manifest(manifest), read_list(split_list), fold=fold)
    write_manifest(applied.frame, out)
    _say(applied)
    note(f"wrote {out}")


def _say(applied: "Applied") -> None:
    counts = applied.frame["split"].value_counts()
    shares = ", ".join(f"{name} {counts.get(name, 0):,}" for name in ("train", "val", "test"))
    say(f"{applied.placed:,} films placed by the list; the manifest has now {shares}")
    for films, what in (
        (applied.missing, "films of the list are not in the manifest"),
        (applied.unlisted, "films of its data set are not in the list and now in no split"),
    ):
        if films:
            say(f"{len(films):,} {what} (e.g. {', '.join(films[:_EXAMPLES])})")


@interruptible
def folds(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the films to deal into folds.")],
    out: Annotated[Path, typer.Option(help="List to write: .csv or .csv.gz.")],
    by: Annotated[str, typer.Option(help="Finding that the folds are balanced over: tb or nodule.")],
    number: Annotated[int, typer.Option("--folds", min=2, help="How many folds.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same list, on every machine.")] = 1,
    keep_test: Annotated[
        bool, typer.Option("--keep-test", help="Keep the manifest's test part apart from all folds.")
    ] = False,
) -> None:
    """Make a list of folds: patients and pictures kept together, balanced over a finding, reproducible anywhere.

    Example: `cxr manifest folds nih.parquet --by nodule --keep-test --out nih_cxr14_folds.csv.gz`
    """
    from pipelines.datasets.split_lists import content_digest, films_of, fold_list, write_list
    from pipelines.manifest import read_manifest

    films = films_of(read_manifest(manifest), by=by, keep_test=keep_test)
    made = fold_list(films, folds=number, seed=seed)
    write_list(made, out)
    groups = len({film.unit for film in made.films})
    say(f"{len(made.films):,} films in {groups:,} groups, {number} folds; content {content_digest(made)}")
    note(f"wrote {out}")
