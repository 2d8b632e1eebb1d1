"""The cross-cohort matrix on a page of its own: every model on every cohort, finding by finding."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.control import controls_of, strongest_control
from pipelines.reporting.book import Book, Study, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.trust_matrix import Matrix, matrices, place_of
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import plain, sentence_case
from pipelines.statistics.estimates import Estimate


@dataclass(frozen=True)
class FindingView:
    """What the page shows of one finding."""

    name: Markup
    matrix: Matrix | None
    """None where only one cell has this finding."""
    scores: Table
    use: Table


def chapter(book: Book, words: Words) -> Chapter:
    """The matrix of all evaluations of a book."""
    tested = [part for part in book.tested if part.result.positives and part.result.negatives]
    drawn = {str(matrix.name): matrix for matrix in matrices(tested, words)}
    by_finding: dict[str, list[Tested]] = {}
    for part in tested:
        by_finding.setdefault(part.result.finding, []).append(part)
    views = [_view(place, parts, drawn, words) for place, parts in enumerate(by_finding.values(), 1)]
    origins = _origins(book, words)
    tables = [table for view in views for table in (view.matrix and view.matrix.table, view.scores, view.use) if table]
    body = words.render("cross.html.j2", views=views, origins=origins, command=book.command)
    return Chapter("cross", words("Every model on every cohort"), body, (*tables, origins))


def _view(place: int, parts: list[Tested], drawn: dict[str, Matrix], words: Words) -> FindingView:
    found = words.finding(parts[0])
    name = found if str(found).startswith("<") else Markup(sentence_case(str(found)))
    return FindingView(name, drawn.get(str(name)), _scores(place, parts, name, words), _use(place, parts, name, words))


def _columns(heads: dict[str, Markup], words: Words) -> tuple[Column, ...]:
    return (
        Column("test", words("Model and cohort")),
        Column("where", words("Where")),
        *(Column(key, head, "right") for key, head in heads.items()),
    )


def _head(part: Tested, words: Words) -> tuple[Cell, Cell]:
    title = Markup("<bdi>{}</bdi>").format(plain(part.study.evaluation.title))
    return words.text_cell(title), words.text_cell(_place(part.study, words))


def _scores(place: int, parts: list[Tested], name: Markup, words: Words) -> Table:
    heads = {
        "films": words("Films"),
        "positives": words("With the finding"),
        "auroc": words("AUROC"),
        "control": words("AUROC of the strongest control"),
        "difference": words("Model minus control"),
    }

    def row(part: Tested) -> tuple[Cell, ...]:
        control = strongest_control(controls_of(part.result))
        return (
            *_head(part, words),
            words.count_cell(part.result, "n"),
            words.count_cell(part.result, "positives"),
            words.number_cell(part.result.auroc),
            _number(control.auroc if control else None, words),
            _number(control.difference if control else None, words),
        )

    title = words("How well each model tells films apart on each cohort: {finding}.", finding=name)
    return Table(f"cross-{place}-scores", title, _columns(heads, words), tuple(map(row, parts)))


def _use(place: int, parts: list[Tested], name: Markup, words: Words) -> Table:
    heads = {
        "unlike": words("Films the model would refuse"),
        "sensitivity": words("Sensitivity"),
        "specificity": words("Specificity"),
        "calibration": words("Observed / expected"),
    }

    def row(part: Tested) -> tuple[Cell, ...]:
        films, point = part.study.evaluation.films, part.result.operating_point
        return (
            *_head(part, words),
            Cell(NO_VALUE) if films.atypical is None else words.count_cell(films, "atypical"),
            words.percent_cell(point.sensitivity) if point else Cell(NO_VALUE),
            words.percent_cell(point.specificity) if point else Cell(NO_VALUE),
            words.number_cell(part.result.calibration.observed_expected, digits=2),
        )

    return Table(
        key=f"cross-{place}-use",
        title=words("What each model would do on each cohort at its locked threshold: {finding}.", finding=name),
        columns=_columns(heads, words),
        rows=tuple(map(row, parts)),
        note=words(
            "Thresholds were locked on validation films of the model's own cohorts, before any test film was scored. "
            "In use a model refuses films unlike its training films; here they are scored all the same and counted. "
            "Observed / expected is the number of films with the finding divided by the sum of the model's "
            "probabilities."
        ),
    )


def _number(estimate: Estimate | None, words: Words) -> Cell:
    return Cell(NO_VALUE) if estimate is None else words.number_cell(estimate)


def _place(study: Study, words: Words) -> Markup:
    return {
        "home": words("at home"),
        "partly": words("partly at home"),
        "away": words("away"),
        "unknown": words("training films not recorded"),
    }[place_of(study)]


def _origins(book: Book, words: Words) -> Table:
    return Table(
        key="cross-origins",
        title=words("Where the numbers come from."),
        columns=(
            Column("test", words("Model and cohort")),
            Column("model", words("Model id")),
            Column("manifest", words("Manifest digest")),
            Column("code", words("Code version")),
        ),
        rows=tuple(_origin(study, words) for study in book.studies),
        folded=True,
    )


def _origin(study: Study, words: Words) -> tuple[Cell, ...]:
    origin = study.evaluation.provenance
    digest = origin.manifest_digest[:16] if origin.manifest_digest else None
    texts = (study.evaluation.title, origin.model_id, digest, origin.predictions_code_version)
    return tuple(words.text_cell(words.foreign(text, 60)) if text else Cell(NO_VALUE) for text in texts)
