"""What stands under each head of a report, computed again from the two tables by other libraries."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score

from pipelines.reporting.page import write_report
from tests.report_folders import cohort, write_folder

PREVALENCE, THRESHOLD = 0.1, 0.5
VOID = {"meta", "br", "img", "input", "hr", "link", "col", "wbr", "source"}


class Tables(HTMLParser):
    """Tables of a page by heading and caption; of a cell the words, without the interval under them."""

    def __init__(self, html):
        super().__init__()
        self.found, self.heads, self.open, self.text = {}, {}, [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag in VOID:
            return
        self.open.append((tag, dict(attrs).get("class")))
        if tag in ("h3", "caption", "th", "td"):
            self.text = []
        elif tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass
        if tag in ("h3", "caption", "th", "td") and self.text is not None:
            said, self.text = " ".join("".join(self.text).split()), None
            if tag in ("th", "td"):
                self.rows[-1].append(said)
            else:
                self.heads[tag] = said
        elif tag == "table":
            head, *body = self.rows
            rows = {row[0]: dict(zip(head, row, strict=True)) for row in body}
            self.found[self.heads["h3"], self.heads["caption"]] = rows

    def handle_data(self, data):
        if self.text is not None and ("span", "ci") not in self.open:
            self.text.append(data)

    def named(self, finding, caption):
        found = [rows for (head, said), rows in self.found.items() if head == finding and caption in said]
        assert len(found) == 1, (finding, caption, len(found))
        return found[0]


def number(text):
    return float(re.match(r"−?[\d,]*\.?\d+", text)[0].replace(",", "").replace("−", "-"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    base = tmp_path_factory.mktemp("again")
    write_report([write_folder(base)], base / "report.html")
    return Tables((base / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(params=["Pulmonary tuberculosis", "Lung nodule or mass"])
def again(request):
    """The heading, and the films of the finding joined by hand."""
    manifest, predictions = cohort()
    name = "tb" if request.param.startswith("Pulm") else "nodule"
    films = manifest.drop(columns="path").merge(predictions, on="image_id")
    films = films[(films["status"] == "ok") & films[name].notna()]
    return request.param, films.assign(truth=films[name].astype(int), score=films[f"p_{name}"].astype(float))


def rates(films):
    (tn, fp), (fn, tp) = confusion_matrix(films["truth"], films["score"] >= THRESHOLD)
    return tp / (tp + fn), tn / (tn + fp), (tp, fn, fp, tn)


def test_accuracy_stands_under_its_heads(tables, again):
    finding, films = again
    sensitivity, specificity, (tp, fn, fp, tn) = rates(films)
    counts = tables.named(finding, "Films by label and flag")
    heads = ("With the finding", "Without it", "All")
    assert [number(counts["Flagged"][head]) for head in heads] == [tp, fp, tp + fp]
    assert [number(counts["Not flagged"][head]) for head in heads] == [fn, tn, fn + tn]
    assert [number(counts["All"][head]) for head in heads] == [tp + fn, fp + tn, len(films)]
    ill, well = PREVALENCE * sensitivity, (1 - PREVALENCE) * specificity
    missed, alarm = PREVALENCE - ill, 1 - PREVALENCE - well
    expected = {
        "Sensitivity": (100 * sensitivity, tp + fn),
        "Specificity": (100 * specificity, tn + fp),
        "Flagged": (100 * (tp + fp) / len(films), len(films)),
        "PPV in these films": (100 * tp / (tp + fp), tp + fp),
        "NPV in these films": (100 * tn / (tn + fn), tn + fn),
        "PPV at your prevalence": (100 * ill / (ill + alarm), len(films)),
        "NPV at your prevalence": (100 * well / (well + missed), len(films)),
        "LR+": (sensitivity / (1 - specificity), len(films)),
        "LR−": ((1 - sensitivity) / specificity, len(films)),
        "AUROC": (roc_auc_score(films["truth"], films["score"]), len(films)),
    }
    printed = tables.named(finding, "All rates")
    for name, (value, n) in expected.items():
        half = 0.0501 if value > 20 else 0.00501
        assert number(printed[name]["Value and interval"]) == pytest.approx(value, abs=half), name
        assert number(printed[name]["Films"]) == n, name
    people = tables.named(finding, "1,000 people like those tested")
    shown = [number(row["People"]) for row in people.values()]
    assert [row.split(":")[-1].split("but")[0].split("and")[-1].strip() for row in people] == [
        *("found", "missed", "false alarm", "not flagged"),
    ]
    assert shown == pytest.approx([1000 * share for share in (ill, missed, alarm, well)], abs=0.501)


def test_groups_stand_in_their_rows(tables, again):
    finding, films = again
    for caption, column, names in (
        ("Sex: accuracy", "sex", {"F": "female", "M": "male"}),
        ("Site: accuracy", "site", {"Huế": "Huế", "Bắc Ninh": "Bắc Ninh"}),
    ):
        rows = tables.named(finding, caption)
        for value, name in names.items():
            group = films[films[column] == value]
            sensitivity, specificity, _ = rates(group)
            row = rows[name]
            assert number(row["Films"]) == len(group)
            assert number(row["With the finding"]) == group["truth"].sum()
            assert number(row["Sensitivity"]) == pytest.approx(100 * sensitivity, abs=0.0501)
            assert number(row["Specificity"]) == pytest.approx(100 * specificity, abs=0.0501)
            assert number(row["AUROC"]) == pytest.approx(roc_auc_score(group["truth"], group["score"]), abs=0.000501)


def test_calibration_and_net_benefit_stand_in_their_rows(tables, again):
    finding, films = again
    truth, score = films["truth"].to_numpy(), films["score"].to_numpy()
    logit = np.log(np.clip(score, 1e-7, 1 - 1e-7) / (1 - np.clip(score, 1e-7, 1 - 1e-7)))
    slope = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000).fit(logit[:, None], truth).coef_[0, 0]
    brier = brier_score_loss(truth, score)
    printed = tables.named(finding, "How well the scores")
    for name, value in {
        "Brier score": brier,
        "Scaled Brier score": 1 - brier / (truth.mean() * (1 - truth.mean())),
        "Observed / expected": truth.sum() / score.sum(),
        "Calibration slope": slope,
    }.items():
        assert number(printed[name]["Value"]) == pytest.approx(value, abs=0.00101), name
    for row in tables.named(finding, "Net benefit and referrals avoided").values():
        flagged, everyone = (number(row[f"Net benefit, {who} referred"]) for who in ("flagged", "everyone"))
        at = number(row["Threshold"]) / 100
        assert everyone == pytest.approx(truth.mean() - (1 - truth.mean()) * at / (1 - at), abs=0.002 / (1 - at) ** 2)
        assert number(row["Gain over the better simple rule"]) == pytest.approx(flagged - max(0, everyone), abs=0.00151)


def test_the_flow_by_site_and_the_order_of_the_list(tables, again):
    manifest, predictions = cohort()
    sites = manifest["site"].value_counts()
    rows = next(rows for (_, caption), rows in tables.found.items() if caption == "Films by site")
    for site, received in sites.items():
        scored = (predictions["status"] == "ok")[manifest["site"] == site].sum()
        assert number(rows[site]["Received"]) == received
        assert number(rows[site]["With a score"]) == scored
    finding, films = again
    ordered = films.sort_values("score", ascending=False)["truth"].to_numpy()
    for share, row in tables.named(finding, "have been read, by share of the list read").items():
        read = int(np.ceil(number(share) / 100 * len(ordered) - 1e-9))
        found = ordered[:read].sum()
        assert number(row["By score"]) == pytest.approx(100 * found / ordered.sum(), abs=0.0501)
        assert number(row["Films read for each one with the finding"]) == pytest.approx(read / found, abs=0.0501)
