"""How early the films with the finding come, if the list is read in the order of the scores."""

from markupsafe import Markup
from matplotlib.figure import Figure

from pipelines.reading_time.worklist import WorklistRecord
from pipelines.reporting.charts.style import BLUE, DASHED, DOTTED, GREY, drawn, unit_square
from pipelines.reporting.printing import Words, share_digits
from pipelines.reporting.texts import text_of


def worklist_figure(found: WorklistRecord, words: Words) -> Markup:
    """Share of the positives read against share of the list read: by score, as films come, and at best."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        share = found.n_positive / found.n
        axes.plot([0, share, 1], [0, 1, 1], color=GREY, lw=1.4, ls=DOTTED, label=text_of(words("ideal order")))
        axes.plot(found.curve_read, found.curve_found, color=BLUE, lw=2, label=text_of(words("order of the scores")))
        axes.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=DASHED, label=text_of(words("order of arrival")))
        for at in found.at:
            if at.found.low is not None and at.found.high is not None:
                axes.plot([at.fraction] * 2, [at.found.low, at.found.high], color=BLUE, lw=1.4, marker="_", ms=7)
        axes.legend(loc="lower right")
        axes.set_title(text_of(_films(found, words)), fontsize=9, loc="left")
        unit_square(
            axes,
            words.language,
            x=text_of(words("Share of the list read")),
            y=text_of(words("Films with the finding read")),
        )

    return drawn(draw, width=5.2, height=4.9, alt=_alt(found, words))


def _films(found: WorklistRecord, words: Words) -> Markup:
    return words(
        "n = {n} films, {positives} with the finding",
        n=words.count(found, "n"),
        positives=words.count(found, "n_positive"),
    )


def _alt(found: WorklistRecord, words: Words) -> Markup:
    rows = Markup(" ").join(
        words(
            "After {share} of the list: {found} ({interval}).",
            share=words.value(at, "fraction", form="percent", digits=share_digits(at.fraction)),
            found=words.percent(at.found),
            interval=words.percent_interval(at.found),
        )
        for at in found.at
    )
    return words(
        "Films with the finding read along the list, in the order of the scores; {films}. {rows}",
        films=_films(found, words),
        rows=rows,
    )
