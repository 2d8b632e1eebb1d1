"""A folder of phantom films with its tables: made by several processes, interruptible, the same bytes every time.

Layout of the folder::

    phantom.json             seed, generator version, number of films, sites
    <site>/<film>.dcm        the films
    labels.csv               one row for each film
    boxes.csv                one row for each lesion
    .records/<film>.json     rows of finished films while the cohort is not complete

The two tables are written last: where they are, the cohort is complete.
"""

import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2

from pipelines.errors import CxrError
from pipelines.phantom.dicom_file import write_film
from pipelines.phantom.film import Film, render_film
from pipelines.phantom.plan import FilmPlan, plan_film
from pipelines.phantom.sites import SITES
from pipelines.system import replace_text

GENERATOR_VERSION: Final = 1
"""Raised whenever the same seed would give other bytes."""
LABEL_COLUMNS: Final = (
    "image", "patient_id", "study_id", "site", "view", "sex", "age_years", "tb", "nodule", "pixel_spacing_mm", "rows",
    "columns", "tb_kind", "nodule_mm", "subtle",
)  # fmt: skip
BOX_COLUMNS: Final = ("image", "finding", "x0", "y0", "x1", "y1", "diameter_mm", "kind", "location")
_RECORDS: Final = ".records"

Row = dict[str, str]
Record = dict[str, Any]
"""Rows of one film: ``label`` is a `Row`, ``boxes`` a list of them."""


def generate_phantoms(
    out: Path,
    *,
    films: int,
    seed: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a cohort of synthetic chest films.

    Film *i* is the same whatever ``films`` and ``workers`` are; a cohort can be continued after an interruption or
    extended to more films. Bytes are the same on the same kind of machine with the same library versions; other
    processors may round a pixel differently.

    Args:
        out: the folder; made where it does not exist.
        films: how many films, at least 1.
        seed: at least 0.
        workers: processes; None for one on each processor, 1 for none but this one.
        progress: called with (films done, films in all) at the start and after each film.

    Raises:
        CxrError: a number is out of range, or the folder holds something else.
    """
    _check(films=(films, 1), seed=(seed, 0), workers=(1 if workers is None else workers, 1))
    if _claim(out, films, seed):
        if progress is not None:
            progress(films, films)
        return
    plans = [plan_film(seed, index) for index in range(films)]
    for site in SITES:
        (out / site.name).mkdir(exist_ok=True)
    (out / _RECORDS).mkdir(exist_ok=True)
    todo = [plan for plan in plans if not ((out / plan.image).exists() and _record_path(out, plan).exists())]
    _make(
        out, todo, workers or os.cpu_count() or 1, lambda made: progress and progress(films - len(todo) + made, films)
    )
    _write_tables(out, plans)
    _sweep(out)


def label_row(plan: FilmPlan) -> Row:
    """The film's row of ``labels.csv``; needs no rendering."""
    patient = plan.patient
    largest = max((nodule.diameter_mm for nodule in patient.nodules), default=None)
    return {
        "image": plan.image,
        "patient_id": plan.patient_id,
        "study_id": f"{plan.patient_id}-{plan.visit + 1}",
        "site": plan.site.name,
        "view": "PA",
        "sex": patient.sex,
        "age_years": str(patient.age_years),
        "tb": str(plan.tb),
        "nodule": str(plan.nodule),
        "pixel_spacing_mm": str(plan.site.spacing_mm),
        "rows": str(plan.site.rows),
        "columns": str(plan.site.columns),
        "tb_kind": patient.tb_kind,
        "nodule_mm": "" if largest is None else str(largest),
        "subtle": str(int(patient.tb_subtle or patient.nodule_subtle)),
    }


def box_rows(film: Film) -> list[Row]:
    """The film's rows of ``boxes.csv``."""
    return [
        {
            "image": film.plan.image,
            "finding": lesion.finding,
            **{corner: str(value) for corner, value in zip(("x0", "y0", "x1", "y1"), lesion.box, strict=True)},
            "diameter_mm": str(lesion.diameter_mm),
            "kind": lesion.kind,
            "location": lesion.location,
        }
        for lesion in film.lesions
    ]


def _check(**numbers: tuple[int, int]) -> None:
    for name, (value, least) in numbers.items():
        if value < least:
            raise CxrError(f"phantom: {name} is {value}; expected a whole number of at least {least}.")


def _claim(out: Path, films: int, seed: int) -> bool:
    """Mark the folder as this cohort's; True where the cohort is already complete."""
    if out.exists() and not out.is_dir():
        raise CxrError(f"{out}: is a file; expected a folder for the phantom cohort.")
    marker = out / "phantom.json"
    wanted = {
        "generator": "cxr phantom",
        "generator_version": GENERATOR_VERSION,
        "seed": seed,
        "films": films,
        "sites": [site.name for site in SITES],
        "synthetic": True,
    }
    if marker.exists():
        found = _read_marker(marker)
        for key in ("generator_version", "seed", "sites"):
            if found.get(key) != wanted[key]:
                raise CxrError(
                    f"{marker}: {key} is {found.get(key)!r}; expected {wanted[key]!r}: choose another folder."
                )
        before = found.get("films")
        if not isinstance(before, int) or before > films:
            raise CxrError(f"{marker}: films is {before!r}; expected at most {films}: choose another folder.")
        if before == films and _is_complete(out, films, seed):
            return True
        if before < films:
            (out / "labels.csv").unlink(missing_ok=True)
            (out / "boxes.csv").unlink(missing_ok=True)
    elif out.exists() and any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise CxrError(f"{out}: holds other files and no phantom.json; expected an empty folder or a phantom cohort.")
    out.mkdir(parents=True, exist_ok=True)
    replace_text(marker, json.dumps(wanted, indent=2) + "\n")
    return False


def _read_marker(marker: Path) -> dict[str, Any]:
    try:
        found = json.loads(marker.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise CxrError(f"{marker}: cannot be read as JSON; expected the description of a phantom cohort.") from error
    if not isinstance(found, dict):
        raise CxrError(f"{marker}: holds {type(found).__name__}; expected an object describing a phantom cohort.")
    return found


def _is_complete(out: Path, films: int, seed: int) -> bool:
    if not ((out / "labels.csv").exists() and (out / "boxes.csv").exists()):
        return False
    return all((out / plan_film(seed, index).image).exists() for index in range(films))


def _record_path(out: Path, plan: FilmPlan) -> Path:
    return out / _RECORDS / f"{plan.film_id}.json"


def _make(out: Path, todo: Sequence[FilmPlan], workers: int, made: Callable[[int], object]) -> None:
    """Render and write films, in this process or in several."""
    made(0)
    if workers == 1 or len(todo) < 2:
        with _one_thread():
            for count, plan in enumerate(todo, 1):
                _make_one(out, plan)
                made(count)
        return
    context = multiprocessing.get_context("spawn")  # libraries here start threads: forking them can deadlock
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_start_worker) as pool:
        try:
            for count, _ in enumerate(_spread(pool, out, todo, 4 * workers), 1):
                made(count)
        except BaseException:  # whatever stops us, Ctrl-C included, must not leave hundreds of films queued
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _spread(pool: ProcessPoolExecutor, out: Path, todo: Sequence[FilmPlan], ahead: int) -> Iterator[None]:
    """Hand films to the pool, a few ahead of what is done; yields once for each film done."""
    waiting: set[Future[None]] = set()
    plans = iter(todo)
    while True:
        while len(waiting) < ahead and (plan := next(plans, None)) is not None:
            waiting.add(pool.submit(_make_one, out, plan))
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; films in work are finished


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _make_one(out: Path, plan: FilmPlan) -> None:
    film = render_film(plan)
    write_film(film, out / plan.image)
    record: Record = {"label": label_row(plan), "boxes": box_rows(film)}
    replace_text(_record_path(out, plan), json.dumps(record))


def _write_tables(out: Path, plans: Sequence[FilmPlan]) -> None:
    records: list[Record] = [json.loads(_record_path(out, plan).read_text("utf-8")) for plan in plans]
    boxes = [row for record in records for row in record["boxes"]]
    replace_text(out / "boxes.csv", _table(BOX_COLUMNS, boxes))
    replace_text(out / "labels.csv", _table(LABEL_COLUMNS, [record["label"] for record in records]))


def _sweep(out: Path) -> None:
    """Remove what a complete cohort does not need: records, and unfinished files of killed runs."""
    shutil.rmtree(out / _RECORDS)
    for folder in (out, *(out / site.name for site in SITES)):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def _table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
