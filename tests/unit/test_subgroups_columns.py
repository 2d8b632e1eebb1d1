"""From columns to groups: bands, the largest groups, and values that must stay out of reports."""

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import EvaluationError
from pipelines.evaluation.subgroups.columns import IDENTIFIERS, LABEL_LENGTH, MAX_GROUPS, group_films


def frame(**columns):
    return pd.DataFrame(columns)


def members(grouping):
    return {name: np.flatnonzero(grouping.code == number).tolist() for number, name in enumerate(grouping.names)}


def test_age_bands_have_who_edges():
    ages = [0.5, 14.9, 15, 24.99, 25, 34, 35, 44, 45, 54, 55, 64, 65, 99, np.nan]
    found = group_films(frame(age_years=ages), "age_years", len(ages))
    assert found.names == ("<15", "15–24", "25–34", "35–44", "45–54", "55–64", "65+", "unknown")
    assert [len(rows) for rows in members(found).values()] == [2] * 7 + [1]
    assert "15, 25, 35, 45, 55, 65" in found.notes[0]
    assert found.known.tolist() == [True] * 7 + [False]


def test_bands_without_films_are_not_shown():
    found = group_films(frame(age_years=[70.0, 20.0, 71.0]), "age_years", 3)
    assert members(found) == {"15–24": [1], "65+": [0, 2]}


def test_values_and_unknown_values():
    cells = pd.Series(["M", None, "F", np.nan, "unknown", " ", "F"], dtype=object)
    found = group_films(frame(sex=cells), "sex", 7)
    assert members(found) == {"F": [2, 6], "M": [0], "unknown": [1, 3, 4, 5]}
    assert found.kinds == ("value", "value", "unknown")
    assert "4 of 7 films have no known sex" in found.notes[0]
    nothing = group_films(frame(site=pd.Series([None] * 3, dtype=object)), "site", 3)
    assert (nothing.names, nothing.notes) == (("unknown",), ("No film has a known site.",))


def test_numbers_become_quartiles_or_values():
    spacing = np.r_[np.arange(100) / 1000, np.nan]
    found = group_films(frame(pixel_spacing_mm=spacing), "pixel_spacing_mm", 101)
    assert found.kinds == ("band",) * 4 + ("unknown",)
    assert [len(rows) for rows in members(found).values()] == [25, 25, 25, 25, 1]
    edges = np.quantile(np.arange(100) / 1000, [0.25, 0.5, 0.75])
    assert found.names[0] == f"<{edges[0]:.4g}"
    turned = group_films(
        frame(pred_rotation_degrees=pd.Series([0, 90, 0, None], dtype="Int64")), "pred_rotation_degrees", 4
    )
    assert members(turned) == {"0": [0, 2], "90": [1], "unknown": [3]}
    flags = group_films(frame(pred_cropped=pd.Series([True, None, False], dtype=object)), "pred_cropped", 3)
    assert members(flags) == {"False": [2], "True": [0], "unknown": [1]}
    lumped = group_films(frame(x=[0.0] * 90 + list(range(1, 11))), "x", 100)
    assert sum(len(rows) for rows in members(lumped).values()) == 100
    whole = group_films(frame(x=pd.Series([*range(40), None], dtype=object)), "x", 41)
    assert whole.kinds == ("band",) * 4 + ("unknown",)
    with np.errstate(all="raise"):
        endless = group_films(frame(x=[np.inf, 1.0, -np.inf, 1.0]), "x", 4)
    assert members(endless) == {"1": [1, 3], "unknown": [0, 2]}


def test_rare_values_are_put_together():
    values = [f"site {number:02d}" for number in range(30) for _ in range(40 - number)]
    found = group_films(frame(site=values), "site", len(values))
    assert len(found.names) == MAX_GROUPS + 1
    assert found.names[-1] == "others (10 values)"
    assert found.kinds[-1] == "others"
    assert len(members(found)["others (10 values)"]) == sum(40 - number for number in range(20, 30))
    assert found.names[:2] == ("site 00", "site 01")
    assert "20 largest of 30 groups" in found.notes[0]


def test_hostile_values_stay_data_and_stay_short():
    values = ["<script>" * 40 + "a", "<script>" * 40 + "b", "=cmd()", "\ud800", "a\nb"] * 3
    found = group_films(frame(site=values), "site", 15)
    assert len(set(found.names)) == 5
    assert max(map(len, found.names)) <= LABEL_LENGTH + 4
    assert "".join(found.names).encode()
    clash = group_films(frame(site=["others (10 values)"] * 3 + ["UNKNOWN"] * 3), "site", 6)
    assert clash.kinds == ("value", "value")


@pytest.mark.parametrize("name", sorted(IDENTIFIERS))
def test_columns_that_name_someone_are_refused(name):
    with pytest.raises(EvaluationError, match="stay out of reports"):
        group_films(pd.DataFrame({name: ["a", "a", "b"], "sex": ["F"] * 3}), name, 3)


def test_columns_that_look_like_identifiers_are_refused_without_a_value():
    names = [f"Secret^Name{number}" for number in range(60)]
    for films, patients in ((names, 60), (names * 3, 60), (names * 3, 100)):
        with pytest.raises(EvaluationError, match="look like an identifier") as caught:
            group_films(frame(name=films), "name", patients)
        assert "Secret" not in str(caught.value)
    with pytest.raises(EvaluationError, match="look like an identifier"):
        group_films(frame(name=names[:6]), "name", 6)


def test_dates_lists_and_unknown_columns_are_refused():
    films = pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 3), "labels": [["a"], ["b"], None], "patient_id": "x"})
    with pytest.raises(EvaluationError, match="dates stay out"):
        group_films(films, "day", 3)
    for written in ("20200131", "2020-01-31", "31.01.2020", "2020-01-31T10:00"):
        with pytest.raises(EvaluationError, match="dates stay out"):
            group_films(frame(day=[written] * 30), "day", 30)
    assert group_films(frame(site=["2020", "1-2", "A 2020-01-31"] * 4), "site", 12).kinds == ("value",) * 3
    with pytest.raises(EvaluationError, match="holds lists"):
        group_films(films, "labels", 3)
    with pytest.raises(EvaluationError, match="no such column; columns there: day, labels") as caught:
        group_films(films, "Sex", 3)
    assert "patient_id" not in str(caught.value)


def test_no_films():
    found = group_films(frame(sex=pd.Series([], dtype=object)), "sex", 0)
    assert found.names == ()
