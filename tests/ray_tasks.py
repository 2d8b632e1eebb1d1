"""What machines of a Ray cluster do in tests of the engine; from a module that they can import."""

import time

from pipelines.decoding import DecodeRequest, FilmJob, PictureJob, ReadFilm, Work, film_task
from pipelines.film_slots import FilmSlots


def slow_film_task(
    job: FilmJob | PictureJob, *, request: DecodeRequest, slots: FilmSlots | None = None
) -> ReadFilm | Work:
    """Read a film, so slowly that a run lasts long enough to be disturbed."""
    time.sleep(0.05)
    return film_task(job, request=request, slots=slots)
