"""The chapter on subgroups: numbers against counts, suppressed groups that stay, verdicts, and hostile names."""

import re
import warnings

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.reporting.book import Study, make_book
from pipelines.reporting.chapters.subgroups import chapter
from pipelines.reporting.charts.forest import panels
from tests.report_studies import THRESHOLD, english, films, study

COHORT = pd.concat(
    [
        films(tp=90, fn=10, fp=20, tn=180, site="Bac Ninh", sex="F", age_years=30.0),
        films(tp=45, fn=55, fp=60, tn=140, site="Hue", sex="M", age_years=50.0),
        films(tp=3, fn=1, fp=2, tn=30, site="Van", sex="M", age_years=70.0),
    ]
)
"""A site where the system fails, and one with four films with the finding."""
COLUMNS = ("sex", "age_years", "site", "dataset")


def made_of(cohort, columns=COLUMNS, **more):
    book = make_book((study(cohort, subgroups=columns, **more),))
    return book, chapter(book, english(book))


@pytest.fixture(scope="module")
def made():
    return made_of(COHORT)


def table(made_chapter, title):
    found = [one for one in made_chapter.tables if one.title.striptags().startswith(title)]
    assert len(found) == 1, [one.title for one in made_chapter.tables]
    return found[0]


def cells(one):
    return {row[0].text: dict(zip((column.key for column in one.columns), row, strict=True)) for row in one.rows}


def test_group_rows_are_counts_of_the_films(made):
    rows = cells(table(made[1], "Site: accuracy"))
    assert list(rows) == ["all films", "Bac Ninh", "Hue", "Van"]
    for name, part in [("all films", COHORT), *COHORT.groupby("site")]:
        row, flagged = rows[name], part["p_tb"] >= THRESHOLD
        assert row["films"].value == len(part)
        assert row["positives"].value == (part["tb"] == 1).sum()
        assert row["flagged"].value == pytest.approx(flagged.mean())
        assert row["specificity"].value == pytest.approx(1 - flagged[part["tb"] == 0].mean())
        if name == "Van":
            continue
        assert row["sensitivity"].value == pytest.approx(flagged[part["tb"] == 1].mean())
        assert row["auroc"].value == pytest.approx(roc_auc_score(part["tb"], part["p_tb"]))
        if name != "all films":
            assert row["observed_expected"].value == pytest.approx(part["tb"].sum() / part["p_tb"].sum())
    assert rows["Bac Ninh"]["sensitivity"].text.startswith("90.0\N{NO-BREAK SPACE}% (95\N{NO-BREAK SPACE}% CI ")


def test_only_places_say_their_share_flagged_and_calibration(made):
    assert "observed_expected" in [column.key for column in table(made[1], "Site: accuracy").columns]
    assert "observed_expected" not in [column.key for column in table(made[1], "Sex: accuracy").columns]


def test_suppressed_groups_keep_their_row_and_their_place_in_the_figure(made):
    row = cells(table(made[1], "Site: accuracy"))["Van"]
    assert row["sensitivity"].value is None
    assert row["sensitivity"].text == "too few films (fewer than 10 positive films (4))"
    assert row["positives"].value == 4
    figure = svg_with(made[1], "Van")
    assert figure.count(">too few films<") == 2  # sensitivity and AUROC
    alt = re.search(r'aria-label="(Site, group by group[^"]*)"', str(made[1].body)).group(1)
    assert "Van: too few films." in alt
    assert f"Sensitivity of all films: {100 * 138 / 204:.1f}\N{NO-BREAK SPACE}%." in alt
    assert "Bac Ninh: 90.0\N{NO-BREAK SPACE}%." in alt


def svg_with(made_chapter, text):
    return next(svg for svg in re.findall(r"<svg.*?</svg>", str(made_chapter.body), re.S) if f">{text}<" in svg)


def test_gaps_shown_head_the_chapter_and_are_marked_on_both_sides(made):
    shown = table(made[1], "Gaps that these films show")
    found = {(row[0].text, row[1].text, row[2].text): row for row in shown.rows}
    gap = found["Sex", "female", "Sensitivity"]
    assert gap[6].value == pytest.approx(0.9 - 48 / 104)
    assert gap[6].text.startswith(f"{100 * (0.9 - 48 / 104):.1f} points ")
    assert gap[4].text == "male"
    column = next(one for one in made[0].studies[0].evaluation.findings[0].subgroups if one.column == "sex")
    estimate = made[0].studies[0].evaluation.findings[0].operating_point.sensitivity
    panel = panels(column, {"sensitivity": estimate, "specificity": None, "auroc": None})
    assert [(one.metric, one.distinct) for one in panel] == [("sensitivity", frozenset({"F", "M"}))]


def test_verdicts_of_every_comparison_are_printed(made):
    verdicts = {(row[0].text, row[1].text): row[7].value for row in table(made[1], "Site: each group").rows}
    assert verdicts["Bac Ninh", "Sensitivity"] == "shown"
    assert verdicts["Van", "Sensitivity"] == "too few films"
    assert len(verdicts) == 9


def test_not_shown_is_not_called_no_difference():
    same = pd.concat([films(18, 2, 10, 90, site=site) for site in ("A", "B")])
    _, done = made_of(same, ("site",))
    assert "No gap between groups is shown by these films." in done.body
    assert "That is not proof that the system works equally well for all" in done.body
    assert not [one for one in done.tables if one.key.endswith("-shown")]
    verdicts = {row[7].text for row in table(done, "Site: each group").rows}
    assert verdicts == {"not shown"}
    assert "does not mean “no difference”" in done.body


def test_columns_without_two_groups_say_so(made):
    text = re.sub(r"<[^>]*>", "", str(made[1].body))
    after = text[text.index("Not compared") :]
    assert "Data set: phantom" in after
    assert "There is one group only" in after


def test_without_a_threshold_the_auroc_alone_is_compared():
    _, done = made_of(COHORT, ("site",), threshold=None)
    assert "the AUROC alone is compared" in done.body
    rows = cells(table(done, "Site: accuracy"))
    row = rows["all films"]
    assert not {"sensitivity", "specificity", "flagged"} & set(row), "no column of a threshold that is not there"
    assert "too few films" not in {cell.text for cell in rows["Hue"].values()}
    assert row["auroc"].value == pytest.approx(roc_auc_score(COHORT["tb"], COHORT["p_tb"]))
    assert {row[1].text for row in table(done, "Site: each group").rows} == {"AUROC"}
    assert ">Sensitivity<" not in svg_with(done, "Hue")


def test_a_number_that_more_films_would_not_give_is_not_called_too_few_films():
    cohort = COHORT.assign(p_tb=10 * COHORT["p_tb"])  # no probabilities
    row = cells(table(made_of(cohort, ("site",), threshold=10 * THRESHOLD)[1], "Site: accuracy"))["Hue"]
    assert row["observed_expected"].text == "– (the scores are not probabilities)"
    assert row["sensitivity"].value == pytest.approx(0.45)


def test_one_class_and_no_groups_leave_the_page_whole():
    _, done = made_of(films(0, 0, 20, 80, site="A"), ("site",))
    assert "No column of these films holds two groups to compare." in done.body
    assert done.tables == ()
    _, done = made_of(pd.concat([films(0, 0, 20, 80, site=site) for site in ("A", "B")]), ("site",))
    assert ">Sensitivity<" not in svg_with(done, "A")
    assert cells(table(done, "Site: accuracy"))["A"]["specificity"].value == pytest.approx(0.8)


def test_many_groups_are_folded_and_stay_small():
    _, done = made_of(pd.concat([films(12, 2, 2, 12, site=f"s{i:02d}") for i in range(25)]), ("site",))
    assert table(done, "Site: each group").folded
    assert "<details" in done.body
    assert "others (5 values)" in done.body
    assert max(len(svg) for svg in re.findall(r"<svg.*?</svg>", str(done.body), re.S)) < 60_000
    assert len(cells(table(done, "Site: accuracy"))) == 22


HOSTILE = (
    "<script>alert(1)</script>",
    "$x^2$ $\\frac{1}{0}$",
    "\u202eevil\u202c" + "W" * 10_000,
    "病院 😀 Bệnh viện",
    '{0} {name} %s "&amp;',
)


def test_hostile_names_are_text_or_not_there():
    cohort = pd.concat([films(12, 3, 3, 12, **{"<img src=x>": name}) for name in HOSTILE])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that a font lacks is no news to the user
        _, done = made_of(cohort, ("<img src=x>",))
    body = str(done.body)
    assert "<script" not in body
    assert "<img" not in body
    assert "\u202e" not in body
    assert "W" * 130 not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert len(re.findall("病院 😀 Bệnh viện", body)) >= 3  # figure, table, alternative text
    names = [row[0].text for row in done.tables[0].rows]
    assert "$x^2$ $\\frac{1}{0}$" in names
    assert "{0} {name} %s &quot;&amp;amp;" in body or "{0} {name} %s &#34;&amp;amp;" in body


def test_ids_stay_unique_over_several_evaluations(made):
    first = made[0].studies[0]
    book = make_book((first, Study(2, first.folder, first.evaluation.model_copy(deep=True), None)))
    done = chapter(book, english(book))
    outside = re.sub(r"<svg.*?</svg>", "", str(done.body), flags=re.S)
    ids = re.findall(r'id="([^"]*)"', outside)
    assert len(ids) == len(set(ids))
    assert len({one.key for one in done.tables}) == len(done.tables)


def test_every_number_agrees_with_the_file_it_names(made):
    book, done = made
    found = re.findall(r'<data value="([^"]*)" data-from="1/evaluation:([^"]*)"', str(done.body))
    assert len(found) > 200
    for value, path in found:
        there = book.studies[0].evaluation.model_dump()
        for step in path.split("."):
            there = there[int(step)] if isinstance(there, list | tuple) else there[step]
        assert repr(there) == value, path
