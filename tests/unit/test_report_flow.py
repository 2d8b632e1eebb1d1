"""The flow of films: every film received is in one box, whatever the language and the names."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.records import LeftOut
from pipelines.reporting.chapters.flow import chapter
from pipelines.reporting.charts.lettering import lines_of, text_width, wrapped
from pipelines.reporting.charts.style import drawn
from tests.tested_films import HOSTILE, changed, evaluated, films, plain_text, printed, read, usual

SVG = "{http://www.w3.org/2000/svg}"


def diagrams(body):
    """Text lines of every diagram."""
    parts = str(body).split("<svg")[1:]
    roots = [ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>") for part in parts]
    return [[node.text for node in root.iter(f"{SVG}text")] for root in roots]


def with_losses():
    manifest, predictions = films(45, 5, 30, 120)
    predictions.loc[0:5, ["status", "reason", "p_tb"]] = "rejected", "too_small", np.nan
    predictions.loc[6:6, ["status", "reason", "p_tb"]] = "error", "corrupt", np.nan
    manifest.loc[10:19, "tb"] = np.nan
    manifest.loc[60:79, "site"] = "Hà Nội"
    missing = predictions.index >= 195
    return manifest, predictions[~missing]


def test_every_film_is_in_one_box():
    found = read(chapter, evaluated(with_losses()))
    (lines,) = diagrams(found.body)
    said = " ".join(lines)
    assert "n = 195" in said
    assert "6: not usable as a film (too small)" in said
    assert "1: could not be read or processed (corrupt)" in said
    assert "n = 188" in said  # 195 less 7
    assert "10: the reference label of this finding is not known" in said
    assert "n = 178" in said
    assert lines.index("Never received") > lines.index("Left out of everything")
    assert "5: in the manifest, but without a row" in said
    counts = [int(line.removeprefix("n = ")) for line in lines if line.startswith("n = ")]
    assert counts == [195, 188, 178, 33, 145, 28, 5, 30, 115]
    numbers = printed(found.body)
    assert numbers["1/evaluation:films.by_site.0.received"] + numbers["1/evaluation:films.by_site.1.received"] == 195
    assert numbers["1/evaluation:cohort.sites.Hà Nội"] == 20


def test_a_name_that_cannot_stand_in_a_path_is_counted_by_its_place():
    found = read(chapter, evaluated(films(45, 5, 30, 120, site=["a. b"] * 150 + ["b"] * 50)))
    numbers = printed(found.body)
    assert numbers["1/evaluation:cohort.sites.#0"] == 150
    assert numbers["1/evaluation:cohort.sites.b"] == 50


def test_the_table_names_scope_reason_and_code():
    found = read(chapter, evaluated(with_losses()))
    table = next(table for table in found.tables if table.key == "flow-s1-left-out")
    rows = {row[3].text: (row[0].text, row[1].value) for row in table.rows}
    assert rows == {
        "rejected:too_small": ("everything", 6),
        "error:corrupt": ("everything", 1),
        "not_predicted": ("everything", 5),
        "label_unknown": ("pulmonary tuberculosis", 10),
    }


def test_files_of_earlier_versions_say_what_they_lack():
    evaluation = usual()
    older = evaluation.films.model_copy(update={"by_site": None, "by_split": None})
    found = read(chapter, evaluation.model_copy(update={"films": older}))
    assert "made by an earlier version" in plain_text(found.body)
    assert {table.key for table in found.tables} == {"flow-s1-cohort"}
    assert "No film was left out." in plain_text(found.body)


def test_without_a_threshold_the_diagram_ends_at_the_labels():
    found = read(chapter, evaluated(films(45, 5, 30, 120), locked=False))
    (lines,) = diagrams(found.body)
    assert [line for line in lines if line.startswith("n = ")] == ["n = 200", "n = 200", "n = 200", "n = 50", "n = 150"]
    assert "It ends before the outcomes" in plain_text(found.body)


def test_many_reasons_and_hostile_names_fit():
    evaluation = evaluated(films(45, 5, 30, 120, site=HOSTILE, manufacturer=HOSTILE))
    reasons = tuple(LeftOut(code=f"rejected:r{k}", n=k, meaning=HOSTILE) for k in range(1, 13))
    loaded = evaluation.films.model_copy(update={"left_out": reasons})
    evaluation = changed(evaluation, name="$" + HOSTILE).model_copy(update={"films": loaded})
    body = read(chapter, evaluation).body
    (lines,) = diagrams(body)
    assert "and 5 more reasons, in the table" in " ".join(lines)
    assert max(text_width(line.replace("\\$", "$"), 9.0) for line in lines) <= 3.4
    assert "\u202e" not in body
    assert "<script" not in body
    assert "x" * 250 not in body
    assert len(str(body).split("<svg")[1]) < 60_000


def test_codes_of_the_project_are_words():
    sexes = np.where(np.arange(200) < 80, "F", "M")
    views = ["PA"] * 150 + [None] * 50
    found = read(chapter, evaluated(films(45, 5, 30, 120, sex=sexes, view=views, age_years=40.0)))
    cohort = {(row[0].text, row[1].text): row[2].value for row in found.tables[-1].rows}
    assert cohort[("Sex", "female")] == 80
    assert cohort[("View", "PA (back to front)")] == 150
    assert cohort[("View", "not known")] == 50
    assert cohort[("Reference standard", "microbiology")] == 200
    assert cohort[("Age", "median 40 years, from 40 to 40")] == 200


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="abc mWi.-", min_size=1, max_size=80), st.floats(0.6, 4))
def test_lines_fit_and_lose_nothing(text, width):
    lines = lines_of(text, width, 9.0)
    assert all(text_width(line, 9.0) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_text_is_never_a_formula():
    text = "a $x^2$ b"
    svg = drawn(lambda figure: figure.suptitle(wrapped(text, 9.0, 9.0)), width=3, height=1, alt="a formula")
    assert f">{text}<" in svg


@pytest.mark.parametrize("counts", [(20, 0, 0, 0), (0, 0, 3, 9)])
def test_one_kind_of_film_alone(counts):
    (lines,) = diagrams(read(chapter, evaluated(films(*counts))).body)
    shown = [int(line.removeprefix("n = ")) for line in lines if line.startswith("n = ")]
    assert shown[-4:] == list(counts)
