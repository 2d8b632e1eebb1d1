"""The chapter of films: which pictures it embeds, how large, and what it says of films that it may not show."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.evaluation.evaluator import evaluate
from pipelines.evaluation.files import read_evaluation, write_evaluation
from pipelines.evaluation.options import Options
from pipelines.evaluation.predictions import HEATMAP_FOLDER, heatmap_file
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reporting import pictures
from pipelines.reporting.book import Book, Study, make_book
from pipelines.reporting.chapters.films import chapter
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words

PICTURE = re.compile(r'<image id="([^"]+)" width="(\d+)" height="(\d+)"[^>]* href="data:image/(\w+);base64,([^"]+)"')


def tables(data_set: str, n: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(4)
    labels = np.arange(n) % 2 == 0
    manifest = pd.DataFrame({"image_id": [f"{data_set}/Nguyen-{number}" for number in range(n)]})
    manifest = manifest.assign(dataset=data_set, tb=labels.astype(float), rows=300, columns=200, patient_id=None)
    manifest["boxes"] = [
        [{"finding": "tb", "x0": 10.0, "y0": 20.0, "x1": 60.0, "y1": 90.0}] if y else [] for y in labels
    ]
    scores = np.clip(0.3 * labels + 0.7 * rng.random(n), 0, 1)
    return manifest, manifest[["image_id"]].assign(status="ok", reason=None, p_tb=scores, model_id="m")


def evaluated(
    folder: Path, data_set: str, *, size: tuple[int, int] | None = (60, 90), show: tuple[str, ...] = ()
) -> Path:
    """An evaluation folder; every film has a picture of noise of that size."""
    manifest, predictions = tables(data_set)
    source = folder / HEATMAP_FOLDER
    source.mkdir(parents=True)
    noise = np.random.default_rng(6).integers(0, 256, (size or (1, 1))[::-1], dtype=np.uint8)
    for place, image_id in enumerate(predictions["image_id"] if size else ()):
        film = Image.fromarray(np.roll(noise, place))
        film.save(source / heatmap_file(image_id, "film"), compress_level=0)
        Image.new("L", (9, 9), place).save(source / heatmap_file(image_id, "tb"))
    options = Options(replicates=100, show_films=show)
    thresholds = Thresholds(given={"tb": 0.5})
    found = evaluate(predictions, manifest, findings=["tb"], thresholds=thresholds, options=options, pictures=source)
    write_evaluation(found, folder / "evaluation", pictures=source)
    return folder / "evaluation"


def book(*folders: Path) -> Book:
    studies = (Study(place, folder, read_evaluation(folder), None) for place, folder in enumerate(folders, 1))
    return make_book(tuple(studies))


def embedded(store: object) -> list[tuple[str, int, Image.Image]]:
    """Id, bytes and picture of each embedded picture."""
    found = []
    for name, _, _, _, data in PICTURE.findall(str(store)):
        raw = base64.b64decode(data)
        found.append((name, len(raw), Image.open(io.BytesIO(raw))))
    return found


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluated(tmp_path_factory.mktemp("phantom"), "phantom")


def test_every_picture_is_embedded_once_in_every_language(phantom: Path) -> None:
    films = book(phantom)
    made = [chapter(films, Words(language(code), films, several=True)) for code in ("en", "sv")]
    assert made[0].shared == made[1].shared
    shown = films.tested[0].result.examples.films
    assert all(film.film_picture for film in shown)
    assert len(embedded(made[0].shared)) == 2 * len(shown)
    for one in made:
        assert "data:image" not in one.body
        used = re.findall(r'<use class="film-grey" href="#([^"]+)"', one.body)
        assert len(used) == 2 * len(shown)  # alone, and under its map
        assert set(used) <= {name for name, _, _ in embedded(one.shared)}


def test_printed_numbers_are_those_of_the_files(phantom: Path) -> None:
    films = book(phantom)
    body = chapter(films, Words(language("en"), films)).body
    scores = re.findall(r'<data value="([^"]+)" data-from="1/evaluation:findings.0.examples.films.(\d+).score"', body)
    examples = films.tested[0].result.examples
    assert {int(place): float(value) for value, place in scores} == {
        place: film.score for place, film in enumerate(examples.films)
    }
    bare = re.sub(r"<(data|bdi|svg|dialog)\b.*?</\1>", "", body, flags=re.DOTALL)
    bare = re.sub(r"</?h\d>", "", bare)
    assert re.findall(r">[^<]*\d[^<]*<", bare) == []


def test_films_are_grey_and_bounded_whatever_they_are_made_of(tmp_path: Path) -> None:
    """Noise is the worst that JPEG can be given: quality goes down first, size after it."""
    films = book(evaluated(tmp_path, "phantom", size=(900, 1200)))
    found = [one for one in embedded(pictures.gallery(films).store) if one[2].mode == "L"]
    assert len(found) == len(films.tested[0].result.examples.films)
    for _, size, picture in found:
        assert 20_000 < size <= pictures.FILM_BYTES
        assert max(picture.size) <= 1024
        assert picture.size[1] / picture.size[0] == pytest.approx(1200 / 900, rel=0.02)


def test_a_page_has_room_for_so_many_and_says_so(phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PAGE_BYTES", 5 * pictures.LEAST_BYTES)
    films = book(phantom)
    made = chapter(films, Words(language("en"), films))
    assert made.body.count('<figure class="film">') == 5
    left = len(films.tested[0].result.examples.films) - 5
    assert made.body.count("left out so that the page does not grow too large") == left


def without_kinds(evaluation: Evaluation) -> Evaluation:
    """As it was written before films had kinds."""
    result = evaluation.findings[0]
    new = {"kind", "data_set", "id_is_public", "no_picture", "map_layer"}
    films = tuple(
        type(film).model_validate({name: value for name, value in film.model_dump().items() if name not in new})
        for film in result.examples.films
    )
    old = result.examples.model_copy(update={"films": films, "seed": None, "drawn": None, "threshold": None})
    return evaluation.model_copy(update={"findings": (result.model_copy(update={"examples": old}),)})


@pytest.mark.parametrize(("data_set", "figures"), [("phantom", True), ("vindr_cxr", False), ("clinic", False)])
def test_older_evaluations_show_pictures_only_where_every_data_set_lets_them(
    phantom: Path, data_set: str, figures: bool
) -> None:
    old = without_kinds(read_evaluation(phantom))
    cohort = old.cohort.model_copy(update={"datasets": {data_set: 40}})
    films = make_book((Study(1, phantom, old.model_copy(update={"cohort": cohort}), None),))
    made = chapter(films, Words(language("en"), films))
    assert ('<figure class="film">' in made.body) == figures
    assert (made.shared is not None) == figures
    assert "Nguyen" not in made.body
    assert "Film <bdi>1</bdi>" in made.body


def test_films_of_a_users_own_are_shown_when_asked_and_never_named(tmp_path: Path) -> None:
    hidden = evaluated(tmp_path / "hidden", "clinic")
    asked = evaluated(tmp_path / "asked", "clinic", show=("clinic",))
    films = book(hidden, asked)
    made = chapter(films, Words(language("en"), films))
    assert "Nguyen" not in made.body
    first, second = films.tested
    assert not list((hidden / "pictures").iterdir())
    assert made.body.count('<figure class="film">') == len(second.result.examples.films)
    assert made.body.count("showing its films was not asked for") == len(first.result.examples.films)


def test_pictures_of_an_earlier_evaluation_go_and_other_files_stay(phantom: Path, tmp_path: Path) -> None:
    folder = evaluated(tmp_path, "clinic", show=("clinic",))
    other = folder / "pictures" / "mine.png"
    other.write_bytes(b"x")
    manifest, predictions = tables("clinic")
    source = tmp_path / HEATMAP_FOLDER
    options, thresholds = Options(replicates=100), Thresholds(given={"tb": 0.5})
    found = evaluate(predictions, manifest, findings=["tb"], thresholds=thresholds, options=options, pictures=source)
    write_evaluation(found, folder, pictures=source)
    assert [entry.name for entry in (folder / "pictures").iterdir()] == ["mine.png"]


def test_a_broken_picture_of_predict_is_a_reason_not_an_error(tmp_path: Path) -> None:
    manifest, predictions = tables("phantom")
    source = tmp_path / HEATMAP_FOLDER
    source.mkdir()
    for image_id in predictions["image_id"]:
        for layer in ("film", "tb"):
            (source / heatmap_file(image_id, layer)).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    options, thresholds = Options(replicates=100), Thresholds(given={"tb": 0.5})
    found = evaluate(predictions, manifest, findings=["tb"], thresholds=thresholds, options=options, pictures=source)
    written = write_evaluation(found, tmp_path / "evaluation", pictures=source)
    assert {film.no_picture for film in written.findings[0].examples.films} == {"unreadable"}


def test_without_pictures_the_films_are_listed_with_their_public_ids(tmp_path: Path) -> None:
    films = book(evaluated(tmp_path, "nih_cxr14", size=None))
    made = chapter(films, Words(language("en"), films))
    assert made.shared is None
    assert "<dialog" not in made.body
    drawn, listed = made.tables
    examples = films.tested[0].result.examples.films
    nearest = sum(film.kind == "borderline" for film in examples)
    assert [cell.value for cell in drawn.rows[2]] == ["Borderline", 40, nearest]
    assert nearest >= 3
    assert [row[0].value for row in listed.rows] == [film.image_id for film in examples]
    assert {row[5].value for row in listed.rows} == {"No picture of it was kept with its score."}
