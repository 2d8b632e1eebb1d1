"""The run through one machine ends within seconds, whatever is slow, fails or asks it to stop, and leaves nothing."""

import faulthandler
import gc
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pipelines import decoding
from pipelines.decoding import DecodeRequest, FilmJob, PictureJob, ReadFilm, Work
from pipelines.film_pool import Refusal
from pipelines.imaging import Placement
from pipelines.inference import local
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.local import LocalRun
from pipelines.inference.predictor import ScoredBatch
from tests.inference_films import write_png

SIZE = 16


class OddError(Exception):
    """What fails here."""


class Odds:
    """Delays, and one thing that fails, drawn once for a run."""

    def __init__(self, draw: random.Random, *, fails: str | None) -> None:
        self.draw, self.fails, self.left = draw, fails, draw.randrange(6)

    def at(self, place: str) -> None:
        time.sleep(self.draw.choice((0.0, 0.0, 0.001, 0.004)))
        if place == self.fails:
            self.left -= 1
            if self.left < 0:
                raise OddError(place)


class Scores:
    """Stands for a predictor: rows that name their film."""

    device = torch.device("cpu")
    findings = ("tb",)

    def __init__(self, odds: Odds, batch_size: int, streams: int) -> None:
        self.odds, self.batch_size, self.streams = odds, batch_size, streams

    def request(self, *, picture_side: int | None = None) -> DecodeRequest:
        return DecodeRequest(SIZE, picture_side=picture_side)

    def score(self, decoded, image_ids, paths) -> ScoredBatch:
        self.odds.at("score")
        rows = [
            {"image_id": name, "status": "error" if refusal else "ok"}
            for name, refusal in zip(image_ids, decoded.refusals, strict=True)
        ]
        return ScoredBatch(rows, torch.zeros(len(decoded.images), 1, 2, 2))


def films_in(folder: Path, count: int) -> list[FilmInput]:
    whole = write_png(folder / "0.png", 0, 90, 80)
    for number in range(1, count):
        (folder / f"{number}.png").write_text("none") if number % 5 == 0 else os.link(whole, folder / f"{number}.png")
    return [FilmInput(f"{number}", f"{number}.png", folder / f"{number}.png") for number in range(count)]


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[FilmInput]:
    return films_in(tmp_path_factory.mktemp("films"), 24)


def batches_of(films: list[FilmInput], size: int):
    for start in range(0, len(films), 8):
        stop = min(start + 8, len(films))
        yield [range(first, min(first + size, stop)) for first in range(start, stop, size)]


@pytest.fixture
def quick(monkeypatch):
    """Reading and drawing take no time but what is drawn for them."""
    square = np.full((SIZE, SIZE), 0.5, np.float32)
    place = Placement.fit(90, 80, SIZE)
    odds: list[Odds] = []

    def task(job: FilmJob | PictureJob, *, request: DecodeRequest, slots=None) -> ReadFilm | Work:
        if isinstance(job, PictureJob):
            odds[0].at("pictures")
            return Work(0.0, 0.0)
        odds[0].at("read")
        if int(job.file.stem) % 5 == 0:
            return ReadFilm("state", Refusal(decoding.Reason.CORRUPT, "none"))
        picture = np.zeros((9, 8), np.uint8) if request.picture_side else None
        return ReadFilm("state", decoding.DecodedFilm(square, place, None, None, None, picture), digest="0")

    monkeypatch.setattr(decoding, "film_task", task)
    monkeypatch.setattr(
        local, "picture_jobs", lambda _folder, decoded, *_: [PictureJob(None, (9, 8))] * len(decoded.images)
    )
    return odds


@pytest.mark.timeout(60)
def test_always_ends(films, quick, tmp_path):
    """Random delays, sizes, failures and stops: each batch once, in whole, or the one error that happened."""
    faulthandler.dump_traceback_later(50)
    draw = random.Random(11)
    ended = {"whole": 0, "stopped": 0, "failed": 0}
    for _ in range(150):
        fails = draw.choice((None, None, "score", "record", "read", "pictures", "batches"))
        odds = Odds(random.Random(draw.random()), fails=fails)
        quick[:] = [odds]
        size, streams = draw.choice((1, 3, 8)), draw.choice((1, 3))
        stop_after = draw.choice((None, None, draw.randrange(5)))
        pictures = draw.choice((None, tmp_path))
        recorded: list[range] = []

        def record(batch, rows, states, *, odds=odds, recorded=recorded) -> None:
            odds.at("record")
            assert [row["image_id"] for row in rows] == [films[position].image_id for position in batch]
            assert len(states) == len(batch)
            recorded.append(batch)

        def batches(size=size, odds=odds):
            for group in batches_of(films, size):
                odds.at("batches")
                yield group

        run = LocalRun(
            films,
            batches(),
            Scores(odds, size, streams),
            workers=0,
            record=record,
            pictures=pictures,
            stop=lambda limit=stop_after, seen=recorded: limit is not None and len(seen) >= limit,
        )
        try:
            run.run()
        except OddError as error:
            assert str(error) == fails  # noqa: PT017  whether it is raised is drawn
            ended["failed"] += 1
        else:
            done = sorted(position for batch in recorded for position in batch)
            assert len(done) == len(set(done))
            whole = done == list(range(len(films)))
            assert whole or stop_after is not None
            ended["whole" if whole else "stopped"] += 1
        assert not [thread for thread in threading.enumerate() if thread.name == "network"]
    faulthandler.cancel_dump_traceback_later()
    assert min(ended.values()) > 10, ended


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("workers", "streams", "size", "fails"), [(1, 3, 3, None), (3, 1, 8, "score"), (3, 3, 1, "record")]
)
def test_always_ends_with_processes(films, tmp_path, monkeypatch, workers, streams, size, fails):
    monkeypatch.setattr(local, "picture_jobs", lambda *_: [])
    odds = Odds(random.Random(workers), fails=fails)
    recorded: list[int] = []

    def record(batch, rows, states) -> None:
        odds.at("record")
        recorded.extend(batch)

    run = LocalRun(films, batches_of(films, size), Scores(odds, size, streams), workers=workers, record=record)
    if fails:
        with pytest.raises(OddError, match=fails):
            run.run()
    else:
        run.run()
        assert sorted(recorded) == list(range(len(films)))
    assert not [thread for thread in threading.enumerate() if thread.name in {"network", "film pool"}]


def test_a_source_that_has_nothing_for_now_is_asked_again_after_a_poke(films, quick):
    quick[:] = [Odds(random.Random(0), fails=None)]
    arrived, recorded = threading.Event(), []

    def batches():
        yield [range(2)]
        while not arrived.is_set():
            yield []
        yield [range(2, 4)]

    predictor = Scores(quick[0], 2, 1)
    run = LocalRun(films, batches(), predictor, workers=0, record=lambda batch, *_: recorded.append(batch))

    def arrive() -> None:
        arrived.set()
        run.poke()

    timer = threading.Timer(0.1, arrive)
    timer.start()
    run.run()
    assert recorded == [range(2), range(2, 4)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_fifty_runs_leave_no_memory_descriptor_or_thread(films, monkeypatch):
    """Whether they end well or not; 8 MiB of slots each."""
    monkeypatch.setattr(local, "picture_jobs", lambda *_: [])
    monkeypatch.setattr(Scores, "request", lambda *_args, **_options: DecodeRequest(512))
    monkeypatch.setattr(local, "FilmPool", Nobody)
    gc.collect()
    before = None
    for number in range(50):
        odds = Odds(random.Random(number), fails="batches" if number % 2 else None)
        odds.left = 0

        def batches(odds=odds):
            odds.at("batches")
            yield from ()

        run = LocalRun(films, batches(), Scores(odds, 4, 1), workers=1, record=lambda *_: None)
        try:
            run.run()
        except OddError:
            assert odds.fails
        assert run._slots is not None
        run._slots.squares[...] = 1.0
        del run
        if number == 9:
            gc.collect()
            before = _held()
    gc.collect()
    descriptors, threads, memory = _held()
    assert before is not None
    assert descriptors <= before[0]
    assert threads <= before[1]
    assert memory - before[2] < 20 << 20


class Nobody(local.FilmPool):
    """A pool that needs no process, because it gets no film."""

    def __init__(self, function, *, workers: int, **options) -> None:
        super().__init__(function, workers=0, **options)


def _held() -> tuple[int, int, int]:
    process = psutil.Process()
    return process.num_fds(), process.num_threads(), process.memory_info().rss
