"""A folder that films keep arriving in: each complete film is read once, its row appears within seconds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import CxrError
from pipelines.inference.folder_lock import locked
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.local import default_workers
from pipelines.inference.plan import Plan, json_digest, make_plan, open_folder
from pipelines.inference.predictor import Predictor
from pipelines.inference.watch.folder import DropFolder, drop_folders
from pipelines.inference.watch.run import Callbacks, WatchRun
from pipelines.inference.watch.summary import Timing, WatchStatus, WatchSummary

__all__ = ["Timing", "WatchStatus", "WatchSummary", "watch_films"]


def watch_films(
    inputs: Sequence[str | Path],
    package: Path,
    out: Path,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    compile: bool = False,  # noqa: A002  torch's own word
    batch_size: int | None = None,
    site: str | None = None,
    workers: int | None = None,
    streams: int | None = None,
    heatmaps: bool = False,
    restart: bool = False,
    timing: Timing | None = None,
    announce: Callable[[str], None] = lambda _: None,
    status: Callable[[WatchStatus], None] = lambda _: None,
    refreshed: Callable[[Path], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> WatchSummary:
    """Score the films of folders as they arrive, until it is asked to stop.

    Rows are added to ``predictions.csv`` in the order in which films are finished. ``predictions.parquet`` and
    ``run.json`` are written at the end, and whenever nothing is left to read, at most once a minute. Interrupted and
    called again with the same arguments, it goes on with the same table: a film that has a row is not read again.

    Args:
        inputs: folders.
        package: folder of a model package.
        out: folder for the outputs.
        device: see `Predictor`.
        backend: see `Predictor`.
        precision: see `Predictor`.
        compile: see `Predictor`.
        batch_size: the most films that go through the network together.
        site: see `Predictor`.
        workers: see `predict_films`.
        streams: see `predict_films`.
        heatmaps: also write pictures of every usable film and its maps.
        restart: throw away what an earlier run left in `out`.
        timing: how patient it is.
        announce: is told how the machine is used, and when a folder goes away or comes back.
        status: is told how it stands, several times a second.
        refreshed: is told the folder after its Parquet table was written.
        stop: asked several times a second; once true, what is under way is finished.

    Raises:
        PackageError: the model cannot be used.
        CxrError: no folder to watch; the output folder holds another run, is being written by one, or cannot be
            written; no reading process starts.
    """
    folders = drop_folders(inputs)
    if workers is not None and workers < 0:
        raise CxrError(f"workers must be at least 0, got {workers}")
    predictor = Predictor.from_package(
        package,
        device=device,
        backend=backend,
        precision=precision,
        compile=compile,
        batch_size=batch_size,
        streams=streams,
        site=site,
    )
    workers = default_workers() if workers is None else workers
    with locked(out):
        plan = _plan(folders, predictor, heatmaps=heatmaps)
        open_folder(out, plan, restart=restart)
        tell = Callbacks(announce, status, refreshed, stop)
        watch = WatchRun(folders, predictor, out, plan, workers, timing or Timing(), tell, heatmaps=heatmaps)
        try:
            return watch.run()
        except OSError as error:
            what = error.strerror or str(error) or type(error).__name__
            raise CxrError(
                f"{text_of(out)}: watching stopped ({what}); what is finished is kept: run the same command again"
            ) from error


def _plan(folders: Sequence[DropFolder], predictor: Predictor, *, heatmaps: bool) -> Plan:
    plan = make_plan([], predictor, heatmaps=heatmaps)
    named = [text_of(folder.path) for folder in folders]
    inputs = {"watch": True, "digest": json_digest({"folders": named})}
    return Plan(plan.model, inputs, plan.settings, plan.versions)
