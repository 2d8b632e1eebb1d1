"""The verb ``predict``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.console import note, progress, say, until_interrupted

INTERRUPTED = 130


class EngineName(StrEnum):
    """What spreads the work."""

    LOCAL = "local"
    RAY = "ray"


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders (searched recursively), films, or one manifest; s3://, gs://, https:// too.",
        ),
    ],
    model: Annotated[str, typer.Option(help="Package folder, or models:/NAME@champion from the registry.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions.parquet, predictions.csv and run.json.")],
    root: Annotated[
        str | None, typer.Option(help="Folder or address a manifest's paths are relative to; its own if left out.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split of a manifest.")] = None,
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Write film and map pictures, and maps.")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write worklist.html too; with --heatmaps it shows pictures.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[
        str, typer.Option(help="auto (the fastest checked export of the package), torch, onnxruntime or openvino.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 (GPU) or int8 (exports).")] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network first (PyTorch).")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Films per forward pass.")] = None,
    site: Annotated[
        str | None, typer.Option(help="Where the films come from, for a model that knows sites (its card names them).")
    ] = None,
    score_atypical: Annotated[
        bool,
        typer.Option(
            "--score-atypical",
            help="For studies: score films unlike the training films too; otherwise they are refused.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read films (ray: of each reading actor).")
    ] = None,
    streams: Annotated[
        int | None, typer.Option(min=1, help="Forward passes side by side (ray: in each network actor).")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="INDEX/COUNT from 0, such as 3/8: this share only; none: all. torchrun, SLURM and Kubernetes say it."
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="local, or ray for the machines of a Ray cluster.")
    ] = EngineName.LOCAL,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with films that arrive in the folders, until Ctrl-C.")
    ] = False,
    settle: Annotated[
        float, typer.Option(min=0.1, help="With --watch: seconds unchanged after which a file is complete.")
    ] = 2.0,
    give_up: Annotated[
        float, typer.Option(min=1.0, help="With --watch: seconds after which an incomplete film gets its row.")
    ] = 60.0,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier run left in OUT.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store that holds models:/ names.")] = None,
) -> None:
    """Score films: one row per input, whatever happened to it.

    A film that cannot be read is a row with a reason, and the exit code is then 1 (a shard ends with 0; `cxr predict
    merge` has the 1). After an interruption the same command goes on; what is finished is not done again. Ctrl-C once
    finishes what is under way, twice stops.

    With --watch the folders are looked into every second, and rows are added to predictions.csv as films arrive; the
    same command goes on with the same table.

    Example: `cxr predict films --model runs/phantom/package --out predictions --heatmaps --html`
    """
    from pipelines.cli.watching import refuse_with_watch, watch_inputs
    from pipelines.inference import collect_inputs, predict_films, resolve_model
    from pipelines.inference.choices import gpu_count
    from pipelines.inference.shards.shard import choose_shard, local_device

    share = choose_shard(shard, os.environ, out)
    if share is not None:
        note(share.line())
    how: dict[str, Any] = {
        "backend": backend,
        "precision": precision,
        "compile": compiled,
        "batch_size": batch_size,
        "site": site,
        "heatmaps": heatmaps,
        "restart": restart,
    }
    if watch:
        refuse_with_watch({"--shard (or a launcher's)": share, "--root": root, "--split": split})
        refuse_with_watch({"--score-atypical": score_atypical or None})
        refuse_with_watch({"--engine ray": engine is EngineName.RAY or None, "--dry-run": dry_run or None})
        watch_inputs(
            inputs,
            resolve_model(model, tracking_uri=tracking_uri),
            out,
            settle=settle,
            give_up=give_up,
            html=html,
            device=device,
            workers=workers,
            streams=streams,
            **how,
        )
        return
    films = collect_inputs(inputs, root=root, split=split)
    package = resolve_model(model, tracking_uri=tracking_uri)
    if dry_run:
        say(f"{len(films):,} films, model {package}, device {device}, into {out / share.folder if share else out}")
        return
    workers, streams = _beside_others(workers, streams)
    with until_interrupted() as stop, progress("films") as report:
        summary = predict_films(
            films,
            package,
            out,
            device=local_device(device, os.environ, gpu_count()),
            workers=workers,
            streams=streams,
            **how,
            score_atypical=score_atypical,
            shard=share,
            engine=engine.value,
            progress=report,
            announce=note,
            stop=stop,
        )
    for line in summary.lines():
        say(line)
    if summary.stopped_at is not None:
        raise typer.Exit(INTERRUPTED)
    if html:
        from pipelines.reporting.worklist import write_worklist

        say(f"open {write_worklist(summary.out)}")
    if summary.failed and share is None:
        # What starts shards takes any other code for a process that died, and stops the others; merge ends with 1.
        raise typer.Exit(1)


def _beside_others(workers: int | None, streams: int | None) -> tuple[int | None, int | None]:
    """Leave the other processes that torchrun started on this machine their share of its cores."""
    from pipelines.inference.local import default_workers
    from pipelines.inference.shards.shard import processes_here
    from pipelines.system import usable_cores

    processes = processes_here(os.environ)
    if processes == 1:
        return workers, streams
    return (
        max(1, default_workers() // processes) if workers is None else workers,
        max(1, usable_cores() // processes) if streams is None else streams,
    )
