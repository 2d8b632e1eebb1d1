"""Subgroups of a published system's scores on 22,433 real films."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.joining import join_films, scored_films
from pipelines.evaluation.subgroups.gaps import subgroups
from pipelines.evaluation.tables import read_foreign_predictions
from pipelines.statistics.resampling import Clusters, Plan


@pytest.mark.realdata
def test_a_published_system_by_sex_age_and_view(real_data):
    entries = pd.read_csv(real_data / "nih_cxr14" / "Data_Entry_2017_v2020.csv.gz")
    manifest = pd.DataFrame(
        {
            "image_id": "nih_cxr14/" + entries["Image Index"],
            "dataset": "nih_cxr14",
            "patient_id": entries["Patient ID"].astype(str),
            "sex": entries["Patient Gender"],
            "age_years": entries["Patient Age"].astype(float),
            "view": entries["View Position"],
            "native_labels": entries["Finding Labels"].str.split("|"),
        }
    )
    table = read_foreign_predictions(
        real_data / "predictions" / "chexnet_nih_test.csv.gz", id_column="Image Index", scores={"Nodule": "prob_Nodule"}
    )
    films = scored_films(join_films(table.frame, manifest), "Nodule")
    clusters = Clusters.of(films.films["patient_id"].to_numpy(), len(films.labels))
    threshold = float(np.quantile(films.scores[films.labels], 0.1))
    subgroups(films, threshold=threshold, clusters=clusters, plan=Plan(replicates=2))  # compiles
    started = time.monotonic()
    sex, age, view, site, dataset, manufacturer, standard = subgroups(films, threshold=threshold, clusters=clusters)
    seconds = time.monotonic() - started
    assert [group.name for group in age.groups] == ["<15", "15–24", "25–34", "35–44", "45–54", "55–64", "65+"]
    assert (
        sum(group.n for group in age.groups) == sum(group.positives + group.negatives for group in sex.groups) == 22433
    )
    for column, cells in ((sex, films.films["sex"]), (view, films.films["view"])):
        for group in column.groups:
            mask = (cells == group.name).to_numpy()
            expected = roc_auc_score(films.labels[mask], films.scores[mask])
            assert group.auroc.value == pytest.approx(expected, abs=1e-12)
            assert group.patients == films.films["patient_id"][mask].nunique()
            assert group.auroc.low < expected < group.auroc.high
    # Old patients have more shadows: fewer of their healthy films go unflagged than of the young.
    oldest = next(gap for gap in age.gaps if (gap.metric, gap.group) == ("specificity", "65+"))
    assert oldest.difference.high < 0
    assert oldest.verdict == "shown"
    assert len(dataset.groups) == 1
    assert not site.groups
    assert not manufacturer.groups
    assert not standard.groups
    assert seconds < 30
