"""Films as the page holds them: each picture once, however many findings and languages show it."""

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from markupsafe import Markup
from PIL import Image

from pipelines.datasets import ADAPTERS
from pipelines.evaluation.example_pictures import MAX_SIDE, UNREADABLE, open_picture
from pipelines.evaluation.example_records import Example, NoPicture
from pipelines.evaluation.examples import is_public
from pipelines.evaluation.records import Evaluation
from pipelines.heatmaps import layer_palette
from pipelines.reporting.book import Book

FILM_BYTES: Final = 90_000
"""Of one embedded film."""
PAGE_BYTES: Final = 3_000_000
"""Of all embedded films together; base64 adds a third."""
LEAST_BYTES: Final = 20_000
"""A film is not made smaller than this: the page holds as many as fit, and says so of the others."""
_QUALITIES: Final = (88, 80, 72, 64)
_STORE: Final = (
    '<svg class="film-store" width="0" height="0" style="position:absolute" aria-hidden="true" focusable="false">'
    "<defs>{}</defs></svg>"
)
_IMAGE: Final = '<image id="{}" width="{}" height="{}" preserveAspectRatio="none" href="{}"/>'


class Embedded(NamedTuple):
    """A picture as it stands in the page."""

    href: str
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """One film as a template draws it; lengths are in pixels of the upright film."""

    film: str
    """Id of the picture in the page's store."""
    map: str | None
    """Likewise of the map."""
    covers: bool
    """Whether the map is a picture of film and map together, as older evaluations have it, and not a layer."""
    width: int
    height: int
    sized: bool
    """Whether the film's size is known: without it boxes and peak cannot be placed."""


@dataclass(frozen=True)
class Gallery:
    """The films of a book."""

    shown: dict[int, Shown]
    """By ``id`` of the `Example`."""
    missing: dict[int, str]
    """Likewise why a film has no picture: a `NoPicture`, or ``room``: the page would grow too large."""
    store: Markup | None
    """The pictures themselves, to stand in the page once."""


def gallery(book: Book) -> Gallery:
    """Embed the films of a book that may be shown."""
    films = list(_films(book))
    wanted = {path: None for _, example, folder in films if (path := _inside(folder, example.film_picture))}
    limit = max(LEAST_BYTES, min(FILM_BYTES, PAGE_BYTES // max(1, len(wanted))))
    roomy = set(list(wanted)[: PAGE_BYTES // limit])
    images: dict[str, str] = {}
    shown: dict[int, Shown] = {}
    missing: dict[int, str] = {}
    for evaluation, example, folder in films:
        reason = _refused(evaluation, example)
        path = _inside(folder, example.film_picture)
        if reason is None and path in roomy and (film := _film(path, path.stat().st_mtime_ns, limit)) is not None:
            shown[id(example)] = _shown(example, film, folder, images)
        else:
            missing[id(example)] = reason or _why(example, path, path in roomy)
    store = Markup(_STORE).format(Markup("").join(Markup(image) for image in images.values())) if images else None
    return Gallery(shown, missing, store)


def _films(book: Book) -> Iterator[tuple[Evaluation, Example, Path]]:
    for part in book.tested:
        for example in part.result.examples.films:
            yield part.study.evaluation, example, part.study.folder


def _refused(evaluation: Evaluation, example: Example) -> NoPicture | None:
    """Older evaluations copied every film: whether these may be shown is decided here, by all data sets in them."""
    if example.kind is not None or example.film_picture is None:
        return example.no_picture
    names = evaluation.cohort.datasets
    if not names or not all(is_public(name) for name in names):
        return "unknown"
    return None if all(ADAPTERS[name].films_may_be_shown for name in names) else "terms"


def _why(example: Example, path: Path | None, roomy: bool) -> str:
    if example.film_picture is None:
        return "no_maps"
    return "unreadable" if path is None or roomy else "room"


def _inside(folder: Path, relative: str | None) -> Path | None:
    """A file of the evaluation folder; None where there is none, or where its name leads out of the folder."""
    if relative is None or "\0" in relative:
        return None
    try:
        path = (folder / relative).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, RuntimeError):  # a name too long, links in a circle
        return None


def _shown(example: Example, film: Embedded, folder: Path, images: dict[str, str]) -> Shown:
    sized = bool(example.rows and example.columns)
    width, height = (example.columns or 1, example.rows or 1) if sized else (film.width, film.height)
    layer, picture = _inside(folder, example.map_layer), _inside(folder, example.map_picture)
    heat = None if layer is None else _layer(layer, layer.stat().st_mtime_ns)
    covers = heat is None and picture is not None
    if covers and picture is not None:
        heat = _overlay(picture, picture.stat().st_mtime_ns)

    def keep(embedded: Embedded) -> str:
        name = "film-" + hashlib.sha256(f"{width}x{height}:{embedded.href}".encode()).hexdigest()[:16]
        images[name] = _IMAGE.format(name, width, height, embedded.href)
        return name

    return Shown(keep(film), None if heat is None else keep(heat), covers, width, height, sized)


@lru_cache(maxsize=1024)
def _film(path: Path, _changed: int, limit: int) -> Embedded | None:
    """A film as a grey JPEG of at most ``limit`` bytes; None where it cannot be read."""
    try:
        picture = open_picture(path).convert("L")
    except UNREADABLE:
        # A picture that cannot be read leaves one film out; the numbers do not depend on it.
        return None
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return film_jpeg(picture, limit)


@lru_cache(maxsize=1024)
def _overlay(path: Path, _changed: int) -> Embedded | None:
    try:
        picture = open_picture(path).convert("RGB")
    except UNREADABLE:
        return None
    picture.thumbnail((MAX_SIDE // 2, MAX_SIDE // 2), Image.Resampling.LANCZOS)
    return film_jpeg(picture, LEAST_BYTES * 2)


@lru_cache(maxsize=1024)
def _layer(path: Path, _changed: int) -> Embedded | None:
    """A map as a small translucent PNG: its grey values become numbers of colours that differ in opacity too."""
    try:
        values = open_picture(path).convert("L")
    except UNREADABLE:
        return None
    values.thumbnail((256, 256))
    palette = layer_palette()
    values.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    values.save(buffer, format="PNG", optimize=True, transparency=palette[:, 3].tobytes())
    return _embedded(buffer, "image/png", values)


def film_jpeg(picture: Image.Image, limit: int) -> Embedded:
    """A picture of at most ``limit`` bytes: the best quality that fits; where none does, a smaller picture."""
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, format="JPEG", quality=quality, optimize=True)
            if buffer.tell() <= limit:
                return _embedded(buffer, "image/jpeg", picture)
        smaller = tuple(max(1, round(side * 0.8)) for side in picture.size)
        picture = picture.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS)


def _embedded(buffer: io.BytesIO, kind: str, picture: Image.Image) -> Embedded:
    return Embedded(f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", *picture.size)
