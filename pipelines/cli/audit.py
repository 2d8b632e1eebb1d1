"""The verb ``manifest audit``: films whose label and out-of-fold prediction disagree most."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import ended_as_interrupted, note, progress, say, show, table
from pipelines.cli.results import Level, Replicates, Seed
from pipelines.errors import ConfigError, ManifestError

if TYPE_CHECKING:
    from pipelines.audit.study import Audited, Films, Scores

_NAMED = 5


def audit(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose labels are audited, or corrected with --apply.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder the films' paths start from; the manifest's own if left out.")
    ] = None,
    finding: Annotated[
        str | None, typer.Option(help="tb, nodule or a native label; the one with both classes if left out.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds; patients and copies of a film stay in one.")] = 5,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Out-of-fold probabilities of your own: a folder of `cxr predict`, or a CSV with image_id and "
            "p_FINDING. Predictions of a model that saw these labels hide wrong ones."
        ),
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Frozen network: lite0 (no download) or a torchvision name (ImageNet weights).")
    ] = "lite0",
    size: Annotated[
        int, typer.Option(min=64, max=2048, help="Side in pixels at which that network sees a film.")
    ] = 320,
    package: Annotated[Path | None, typer.Option(help="Model package whose features are used instead.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audit.csv, .json and .html (audit); with --apply a new manifest.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=500, help="Films of each label on the page.")] = 60,
    apply: Annotated[
        Path | None, typer.Option(help="audit.csv with verdicts, or the CSV that the page saves: corrects the labels.")
    ] = None,
    wrong: Annotated[
        str, typer.Option(help="With --apply: flip wrong labels, or make them null (not known).")
    ] = "flip",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read films; all cores if left out.")
    ] = None,
    replicates: Replicates = 2000,
    level: Level = 0.95,
    seed: Seed = 1,
) -> None:
    """List the films whose labels are most likely wrong, as a page to look through, and apply what a reviewer decides.

    Each film is scored by a regression on features of a frozen network that has not seen the film, its patient or its
    copies. What is read of the films is kept in OUT, so an interrupted run goes on where it stopped.

    Example: `cxr manifest audit nih.parquet --root nih --finding nodule --out audit`, then `cxr manifest audit
    nih.parquet --apply reviewed-nodule.csv --out nih-reviewed.parquet`
    """
    if apply is not None:
        _apply(manifest, apply, out, wrong)
        return
    if predictions is not None and package is not None:
        raise ConfigError("--package: found it beside --predictions, expected one source of probabilities.")
    from pipelines.audit.files import refuse_reviewed, write_audit
    from pipelines.audit.page import write_page
    from pipelines.audit.study import Films, audit, finding_of
    from pipelines.evaluation.options import Options
    from pipelines.manifest import read_manifest
    from pipelines.system import usable_cores

    options = Options(level=level, replicates=replicates, seed=seed)
    folder, films_root = out or Path("audit"), root or manifest.parent
    processes = usable_cores() if workers is None else workers
    if not films_root.is_dir():
        raise ConfigError(f"--root: {films_root} is no folder; expected the one that the films' paths start from.")
    refuse_reviewed(folder)
    frame = read_manifest(manifest)
    films = Films.of(frame, manifest.name, finding_of(frame, finding))
    with ended_as_interrupted():
        if predictions is not None:
            scores = _from_predictions(films, predictions)
        else:
            scores = _from_features(films, films_root, folder, backbone, size, package, processes, folds, seed)
        found = audit(films, scores, options)
        write_audit(found, folder)
        page = write_page(found, films_root, folder, top=top, workers=processes)
    _print(found)
    note(f"wrote {page}: it holds films, so do not pass it on unless the terms of the data set allow it")


def _from_predictions(films: "Films", path: Path) -> "Scores":
    from pipelines.audit.study import scores_of_predictions
    from pipelines.evaluation.tables import read_foreign_predictions, read_predictions

    column = f"p_{films.finding}"
    foreign = path.is_file() and not (path.parent / "run.json").is_file()
    read = (
        read_foreign_predictions(path, id_column="image_id", scores={films.finding: column})
        if foreign
        else read_predictions(path)
    )
    return scores_of_predictions(films, read)


def _from_features(
    films: "Films",
    root: Path,
    out: Path,
    backbone: str,
    size: int,
    package: Path | None,
    workers: int,
    folds: int,
    seed: int,
) -> "Scores":
    from pipelines.audit.features import network_features, package_network, pretrained_network
    from pipelines.audit.study import PACKAGE_WARNING, scores_of_features

    network = pretrained_network(backbone, size) if package is None else package_network(package)
    files = films.files(root)
    with progress("reading films") as report:
        read = network_features(list(dict.fromkeys(files)), network, out, workers=workers, progress=report)
    warning = None if package is None else PACKAGE_WARNING
    vectors = [read[file] for file in files]
    return scores_of_features(films, vectors, network.name, network.digest, folds=folds, seed=seed, warning=warning)


def _print(found: "Audited") -> None:
    record = found.record
    rows = table("films", "number", "likely wrong", "estimated share of wrong labels")
    for each in record.classes:
        rows.add_row(f"labelled {each.label}", f"{each.films:,}", f"{each.likely_wrong:,}", each.wrong.text())
    likely = sum(each.likely_wrong for each in record.classes)
    rows.add_row("all", f"{record.audited:,}", f"{likely:,}", record.wrong.text())
    show(rows)
    say(f"{record.finding}, out-of-fold AUROC against the labels as they are: {record.auroc.text()}")
    if record.label_unknown:
        say(f"{record.label_unknown:,} films have no label of {record.finding} and took no part")
    if record.not_audited:
        named = ", ".join(f"{film.image_id} ({film.reason})" for film in record.not_audited[:_NAMED])
        more = len(record.not_audited) - _NAMED
        rest = f" and {more:,} more, all in audit.json" if more > 0 else ""
        say(f"{len(record.not_audited):,} films with a label have no probability: {named}{rest}")
    for sentence in (*record.meaning, record.source.warning):
        if sentence:
            say(sentence)


def _apply(manifest: Path, review: Path, out: Path | None, wrong: str) -> None:
    from pipelines.audit.review import apply_review, read_review
    from pipelines.manifest import manifest_digest, read_manifest, write_manifest

    if wrong not in ("flip", "null"):
        raise ConfigError(f"--wrong: found {wrong!r}, expected flip or null.")
    if out is None:
        raise ConfigError("--out: found none, expected the name of the corrected manifest.")
    if out.resolve() == manifest.resolve():
        raise ManifestError(f"--out: {out} is the manifest itself; give the corrected one another name.")
    done = apply_review(read_manifest(manifest), read_review(review), wrong=wrong)  # type: ignore[arg-type]
    write_manifest(done.manifest, out)
    counts = ", ".join(f"{count:,} {verdict or 'open'}" for verdict, count in done.verdicts.items())
    say(f"{done.finding}: {counts}")
    say(
        f"changed: {done.flipped_to_0:,} labels from 1 to 0, {done.flipped_to_1:,} from 0 to 1, "
        f"{done.made_unknown:,} to not known; boxes dropped on {done.boxes_dropped:,} films"
    )
    say("native labels, readings and the reference standard are as they were")
    note(f"wrote {out} ({manifest_digest(done.manifest)[:16]})")
