"""PadChest: a small tree, each kind of label, and the full label table where a machine has it."""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import build_manifest, get_adapter
from pipelines.datasets.adapters.padchest import TABLE
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, label_table, picture

HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,ReportID,Report,MethodLabel,Labels,labelCUIS"
)


def table(*films: tuple[str, str, str, str], birth: str = "1930.0") -> str:
    """A label table of films given as (folder, projection, method, labels)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER.split(","))
    for number, (folder, projection, method, labels) in enumerate(films):
        study = f"2053668664013634823614867989145588646{number // 2}"
        made = (
            "Manual review of DICOM fields",
            "No",
            "CR",
            ("PhilipsMedicalSystems", "ImagingDynamicsCompanyLtd")[number % 2],
        )
        patient = (
            study,
            f"83986048869429233164298823568146098{number // 2}",
            birth,
            "FMO"[number % 3],
            "POSTEROANTERIOR",
        )
        writer.writerow(
            [
                number,
                f"{study}_k6ga{number}.png",
                folder,
                "20140915",
                *patient,
                projection,
                *made,
                "4765777",
                "un informe, con coma",
                method,
                labels,
                "['C0034069'\n 'C0742362']",
            ]
        )
    return text.getvalue()


FILMS = (
    ("0", "PA", "Physician", "['normal']"),
    ("0", "L", "Physician", "['nodule', ' fibrotic band']"),
    ("54", "AP_horizontal", "RNN_model", "['tuberculosis', 'cavitation', 'unchanged']"),
    ("54", "COSTAL", "RNN_model", "['nodule', 'rib fracture']"),
    ("54", "AP", "RNN_model", "nan"),
)


def tree(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    (root / TABLE).write_text(table(*FILMS))
    for number, (folder, *_) in enumerate(FILMS):
        name = f"2053668664013634823614867989145588646{number // 2}_k6ga{number}.png"
        picture(root / folder / name, seed=number, bits=16)
    return root


def test_native_layout(tmp_path: Path) -> None:
    frame = adapter_keeps_the_rules("padchest", tree(tmp_path / "padchest"), needed=(TABLE,))
    assert frame["image_id"][0] == "padchest/20536686640136348236148679891455886460_k6ga0"
    assert frame["path"][2] == "54/20536686640136348236148679891455886461_k6ga2.png"
    assert (
        frame["patient_id"].tolist()[:2] == ["839860488694292331642988235681460980"] * 2
    )  # as text: too long a number
    assert frame["view"].tolist() == ["PA", "LATERAL", "AP", None, "AP"]
    assert frame["sex"].tolist() == ["F", "M", None, "F", "M"]
    assert frame["age_years"].tolist() == [84] * 5
    assert frame["manufacturer"].tolist()[:2] == ["Philips", "Imaging Dynamics"]
    assert frame["native_labels"][1] == ["nodule", "fibrotic band", "Physician"]
    assert frame["native_labels"][4] == ["RNN_model"]
    nulls = [[None if np.isnan(value) else value for value in frame[name]] for name in ("nodule", "tb")]
    assert nulls == [[0, 1, None, None, None], [0, 0, 1, None, None]]
    assert set(frame["reference_standard"]) == {"report"}


def test_all_films_in_one_folder(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in [*root.glob("*/*.png")]:
        path.rename(root / path.name)
    assert build_manifest("padchest", root)["path"].str.contains("/").sum() == 0


UNKNOWN = None


@pytest.mark.parametrize(
    ("labels", "nodule", "tb"),
    [
        (["normal"], 0, 0),
        (["multiple nodules", "lung metastasis"], 1, 0),
        (["pulmonary mass", "suboptimal study"], 1, UNKNOWN),  # what is named stays, what is not is not known
        (["nodule", "normal"], 1, 0),
        (["pseudonodule", "nipple shadow"], 0, 0),
        (["calcified granuloma"], UNKNOWN, 0),
        (["granuloma", "nodule"], 1, 0),
        (["mass", "goiter"], UNKNOWN, 0),
        (["mediastinal mass"], 0, 0),
        (["miliary opacities"], UNKNOWN, UNKNOWN),
        (["cavitation"], 0, UNKNOWN),
        (["tuberculosis"], 0, 1),
        (["tuberculosis", "tuberculosis sequelae"], 0, UNKNOWN),
        (["tuberculosis sequelae"], 0, UNKNOWN),
        (["unchanged", "COPD signs"], UNKNOWN, UNKNOWN),
        (["exclude"], UNKNOWN, UNKNOWN),
        ([""], UNKNOWN, UNKNOWN),
        (["", "tuberculosis"], UNKNOWN, 1),
        ([], UNKNOWN, UNKNOWN),
    ],
)
def test_what_each_label_becomes(tmp_path: Path, labels: list[str], nodule: float | None, tb: float | None) -> None:
    (tmp_path / TABLE).write_text(table(("0", "PA", "Physician", str(labels))))
    row = get_adapter("padchest").build(tmp_path).iloc[0]
    assert [None if np.isnan(row[name]) else row[name] for name in ("nodule", "tb")] == [nodule, tb]


def test_healed_tuberculosis_and_the_network_s_labels_by_choice(tmp_path: Path) -> None:
    films = (("0", "PA", "RNN_model", "['tuberculosis sequelae']"), ("0", "PA", "Physician", "['tuberculosis']"))
    (tmp_path / TABLE).write_text(table(*films))
    build = get_adapter("padchest").build
    assert build(tmp_path, {"sequelae": "negative"})["tb"].tolist() == [0, 1]
    assert build(tmp_path, {"sequelae": "positive"})["tb"].tolist() == [1, 1]
    physicians = build(tmp_path, {"sequelae": "positive", "labelled_by": "physician"})
    assert physicians[["tb", "nodule"]].isna().to_numpy().tolist() == [[True, True], [False, False]]


def test_years_of_birth_that_cannot_be(tmp_path: Path) -> None:
    for birth, age in (("", None), ("2014.0", 0), ("1850.0", None), ("2015.0", None)):
        (tmp_path / TABLE).write_text(table(FILMS[0], birth=birth))
        got = get_adapter("padchest").build(tmp_path)["age_years"][0]
        assert (None if np.isnan(got) else got) == age


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    right = table(*FILMS)
    (tmp_path / TABLE).write_text(right.replace("MethodLabel", "Method"))
    with pytest.raises(DatasetError, match=r"01.02.19.csv: expected column MethodLabel, found "):
        build_manifest("padchest", tmp_path)
    (tmp_path / TABLE).write_text(right.replace("['normal']", "['normal"))
    with pytest.raises(DatasetError, match=r"column 'Labels' is \"\['normal\", expected a list such as"):
        build_manifest("padchest", tmp_path)
    (tmp_path / TABLE).write_text(right.replace("['normal']", "__import__('os').getcwd()"))
    with pytest.raises(DatasetError, match=r"expected a list such as"):
        build_manifest("padchest", tmp_path)
    (tmp_path / TABLE).write_bytes(right.encode("utf-16"))
    with pytest.raises(DatasetError, match=r"expected a comma-separated table with a header, in UTF-8"):
        build_manifest("padchest", tmp_path)


@pytest.mark.realdata
def test_the_full_label_table(tmp_path: Path) -> None:
    """Published counts, and findings by a plain search of the text beside the adapter's reading of it."""
    source = label_table(f"{TABLE}.gz")
    (tmp_path / f"{TABLE}.gz").symlink_to(source)
    frame = get_adapter("padchest").build(tmp_path)
    assert (len(frame), frame["patient_id"].nunique(), frame["study_id"].nunique()) == (160_861, 67_625, 109_931)
    assert frame["view"].value_counts().to_dict() == {"PA": 91_728, "LATERAL": 49_579, "AP": 18_905}
    assert (frame["nodule"] == 1).sum() == 5_002
    assert (frame["tb"] == 1).sum() == 243
    raw = pd.read_csv(source, usecols=["Labels", "Projection"], dtype=str)
    seen = raw["Projection"].isin(["PA", "AP", "AP_horizontal", "L"])
    named = raw["Labels"].str.contains("' ?(?:nodule|multiple nodules|pulmonary mass|lung metastasis) ?'", na=False)
    assert (frame["nodule"] == 1).equals(named & seen)
    words = Counter(label for labels in frame["native_labels"] for label in labels)
    assert (words["nodule"], words["tuberculosis"], words["tuberculosis sequelae"]) == (3_748, 308, 1_070)
    assert (words["Physician"], words["RNN_model"]) == (39_053, 121_808)
    assert frame["age_years"].notna().sum() == 160_855
