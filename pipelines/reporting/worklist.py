"""The worklist page: one HTML file beside a predictions table, for the person who looks at the films after a run."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.errors import PredictionsError
from pipelines.evaluation.predictions import HEATMAP_FOLDER, TRIAGE_CLASSES, WORKLIST_FILE, heatmap_file
from pipelines.evaluation.tables import PredictionsTable, read_predictions
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.reporting.texts import content_source, plain
from pipelines.reporting.worklist_data import WorklistFilms, film_columns, scores, script_json, worklist_films
from pipelines.reporting.worklist_words import LANGUAGES, NO_VALUE, Words
from pipelines.system import replace_text

STATIC_FILMS: Final = 200
"""Films in the plain table that browsers without JavaScript show."""
_SCRIPTS: Final = ("worklist_model.js", "worklist_table.js", "worklist_detail.js", "worklist_page.js")


@dataclass(frozen=True)
class StaticRow:
    """One line of the plain table."""

    place: str
    picture: str | None
    film: str
    triage_class: str
    score: str
    probabilities: tuple[str, ...]
    status: str


def write_worklist(folder: Path, *, language: str = "en") -> Path:
    """Write the worklist page of a finished run beside its predictions.

    Args:
        folder: holds ``predictions.parquet`` and ``run.json``, and ``heatmaps/`` where pictures were asked for.
        language: of the page's words.

    Returns:
        The page. It needs the pictures beside it and no other file, makes no request of the network, and appears whole
        or not at all.

    Raises:
        PredictionsError: no finished run there, or tables that break their schema.
        CxrError: the page has not been translated into that language.
    """
    words = Words(language)
    table = read_predictions(folder)
    if table.run is None:
        raise PredictionsError(f"{folder}: no run.json in this folder, so its run is not finished.")
    finished = _finished(table.run.get("finished"), folder / "run.json").astimezone()
    page = folder / WORKLIST_FILE
    replace_text(page, render_worklist(table, words, finished))
    return page


def _finished(text: object, record: Path) -> datetime.datetime:
    """When the run was over; records from before they said so were written then."""
    if isinstance(text, str):
        try:
            return datetime.datetime.fromisoformat(text)
        except ValueError:
            raise PredictionsError(f"{record}: finished is {text!r}, expected a date and time in ISO 8601.") from None
    return datetime.datetime.fromtimestamp(record.stat().st_mtime)


def render_worklist(table: PredictionsTable, words: Words, finished: datetime.datetime) -> str:
    """The page as text.

    Args:
        table: predictions with their ``run.json``.
        words: of the page's language.
        finished: when the run was over.
    """
    assert table.run is not None
    films = worklist_films(table)
    script = _script()
    style = _resource("worklist.css")
    environment = Environment(
        loader=PackageLoader("pipelines.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("worklist.html.j2").render(
        t=words,
        language=words.language,
        policy=_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        data=Markup(script_json(_data(table, films, words))),
        run_line=_run_line(table, words, finished),
        summary=_summary(table),
        about=_about(table, words, finished),
        rule=table.run.get("triage_rule") or NO_VALUE,
        pictures=bool(films.pictures),
        total=len(table.frame),
        on_page=len(films.frame),
        findings=[words.finding(finding) for finding in table.findings],
        static=_static_rows(table, films, words),
    )


def _resource(name: str) -> str:
    return resources.files("pipelines.reporting").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_resource(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


def _policy(script: str, style: str) -> str:
    """Content-Security-Policy: this script, this style, pictures from beside the page; nothing else, no network."""
    # 'self' means nothing to some browsers where a page is opened from a disk: file: names what lies there.
    return (
        f"default-src 'none'; script-src {content_source(script)}; style-src {content_source(style)}; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def _data(table: PredictionsTable, films: WorklistFilms, words: Words) -> dict[str, Any]:
    return {
        "language": words.language,
        "words": LANGUAGES[words.language],
        "heatmaps": HEATMAP_FOLDER,
        "findings": [
            {
                "key": finding,
                "name": words.finding(finding),
                "threshold": _threshold(table.operating_points, finding),
                "ruleOut": _threshold(table.rule_out_points, finding),
            }
            for finding in table.findings
        ],
        "scored": films.scored,
        "films": film_columns(films, table.findings),
    }


def _threshold(points: Mapping[str, OperatingPoint], finding: str) -> float | None:
    return points[finding].threshold if finding in points else None


def _summary(table: PredictionsTable) -> dict[str, int]:
    """Films by class, over the whole table: one group each, so that they add up."""
    scored = np.isfinite(scores(table.frame))
    column = table.frame.get("triage_class")
    classes = np.full(len(table.frame), None, dtype=object) if column is None else column.to_numpy(dtype=object)
    counts = {name: int(((classes == name) & scored).sum()) for name in TRIAGE_CLASSES}
    return {
        **counts,
        "none": int(scored.sum()) - sum(counts.values()),
        "not_scored": len(table.frame) - int(scored.sum()),
    }


def _run_line(table: PredictionsTable, words: Words, finished: datetime.datetime) -> str:
    assert table.run is not None
    model = table.run["model"]
    return words(
        "run_line",
        model=plain(model.get("name") or NO_VALUE),
        model_id=plain(model["model_id"]),
        films=words("films", n=len(table.frame)),
        day=f"{finished:%Y-%m-%d}",
    )


def _about(table: PredictionsTable, words: Words, finished: datetime.datetime) -> list[tuple[str, list[str]]]:
    """What made the numbers: terms, each with its sentences."""
    run = table.run or {}
    model, settings = run["model"], run.get("settings") or {}
    statuses = {status: int((table.frame["status"] == status).sum()) for status in ("ok", "rejected", "error")}
    machine = [str(settings[key]) for key in ("device", "backend", "precision") if settings.get(key)]
    return [
        (words("model"), [f"{plain(model.get('name') or NO_VALUE)} ({plain(model['model_id'])})"]),
        (words("made"), [finished.strftime("%Y-%m-%d %H:%M %Z")]),
        (words("read"), [words("counts_text", films=words("films", n=len(table.frame)), **statuses)]),
        (words("thresholds"), [sentence for finding in table.findings for sentence in _points(table, words, finding)]),
        (words("software"), [plain(", ".join([f"cxr-triage {run.get('code_version') or NO_VALUE}", *machine]))]),
    ]


def _points(table: PredictionsTable, words: Words, finding: str) -> list[str]:
    name = words.finding(finding)
    if finding not in table.operating_points:
        return [words("no_threshold_text", finding=plain(name))]
    kinds = (("threshold_text", table.operating_points), ("rule_out_text", table.rule_out_points))
    return [
        words(
            key,
            finding=plain(name),
            threshold=words.decimal(point.threshold, 4),
            cohort=plain(point.cohort),
            n=point.n,
            positive=point.n_positive,
            rule=plain(point.rule),
        )
        for key, points in kinds
        if (point := points.get(finding)) is not None
    ]


def _static_rows(table: PredictionsTable, films: WorklistFilms, words: Words) -> list[StaticRow]:
    """The first films as plain text, for browsers that run no script; films without a score come first here."""
    count = len(films.frame)
    unscored = range(films.scored, count)
    chosen = [*unscored[: STATIC_FILMS // 2], *range(films.scored)][:STATIC_FILMS]
    rows = films.frame.iloc[chosen].to_dict("records")
    return [_static_row(row, number, films, table, words) for number, row in zip(chosen, rows, strict=True)]


def _static_row(
    row: Mapping[Any, Any], number: int, films: WorklistFilms, table: PredictionsTable, words: Words
) -> StaticRow:
    scored = number < films.scored
    picture = heatmap_file(str(row["image_id"]), "film")
    named = row.get("triage_class") if scored else None
    return StaticRow(
        place=words.whole(number + 1) if scored else NO_VALUE,
        picture=f"{HEATMAP_FOLDER}/{quote(picture)}" if picture in films.pictures else None,
        film=plain(row["image_id"]),
        triage_class=words(f"class_{named if named in TRIAGE_CLASSES else 'none'}") if scored else words("not_scored"),
        score=words.decimal(_value(row.get("triage_score")), 1) if scored else NO_VALUE,
        probabilities=tuple(words.decimal(_value(row.get(f"p_{finding}")), 3) for finding in table.findings),
        status=_status(row, words),
    )


def _value(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _status(row: Mapping[Any, Any], words: Words) -> str:
    if row["status"] == "ok":
        return words("status_ok")
    reason = row.get("reason")
    if not isinstance(reason, str):
        said = words("reason_none")
    else:
        said = words(f"reason_{reason}") if f"reason_{reason}" in words.texts else plain(reason)
    return f"{words('status_' + row['status'])}: {said}"
