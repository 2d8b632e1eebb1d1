"""A published system's scores on 22,433 real films: figures its authors published."""

import time

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.evaluator import evaluate_table
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import read_foreign_predictions


@pytest.fixture(scope="module")
def nih_manifest(real_data):
    entries = pd.read_csv(real_data / "nih_cxr14" / "Data_Entry_2017_v2020.csv.gz")
    labels = entries["Finding Labels"].str.split("|")
    return pd.DataFrame(
        {
            "image_id": "nih_cxr14/" + entries["Image Index"],
            "path": "images/" + entries["Image Index"],
            "dataset": "nih_cxr14",
            "patient_id": entries["Patient ID"].astype(str),
            "tb": np.nan,
            "nodule": labels.map(lambda found: float("Nodule" in found or "Mass" in found)),
            "native_labels": labels,
        }
    )


@pytest.mark.realdata
def test_published_aurocs_of_another_system(real_data, nih_manifest):
    started = time.monotonic()
    table = read_foreign_predictions(
        real_data / "predictions" / "chexnet_nih_test.csv.gz",
        id_column="Image Index",
        scores={"Nodule": "prob_Nodule", "Mass": "prob_Mass", "nodule": "max(prob_Mass,prob_Nodule)"},
    )
    found = evaluate_table(table, nih_manifest)
    seconds = time.monotonic() - started
    nodule, mass, either = found.findings
    assert nodule.auroc.value == pytest.approx(0.7755751107, abs=5e-11)
    assert mass.auroc.value == pytest.approx(0.8376837532, abs=5e-11)
    assert (nodule.positives, mass.positives, nodule.n) == (1337, 1139, 22433)
    assert either.auroc.low < either.auroc.value < either.auroc.high
    assert found.films.matched_by == "the part of image_id after <dataset>/"
    assert any("Nodule: AUROC 0.7756 (95 % CI 0." in line for line in summary_lines(found))
    assert seconds < 30
