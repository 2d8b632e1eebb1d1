"""The Indiana collection as Open-i serves it and as Kaggle repacks it: true names and tags, synthetic pixels."""

import re
import tarfile
from pathlib import Path

import pytest

from pipelines.datasets import build_manifest
from pipelines.datasets.adapters.openi_reports import Report, film_name, nodule_label, tb_label
from pipelines.errors import DatasetError
from tests.adapter_rules import adapter_keeps_the_rules, dicom, label_table, picture

REPORTS = {
    "1000": (["Nodule/lung/upper lobe/right", "Opacity/lung"], ["nodule"], ["1001", "2001"]),
    "2": (["normal"], ["normal"], ["1001", "3001"]),
    "30": (["Tuberculosis", "Calcified Granuloma/lung/base"], [], ["1001"]),
    "4": (["Cardiomegaly/mild"], [], []),
}


def report(case: str, headings: list[str], terms: list[str], films: list[str]) -> str:
    mesh = "".join(f"<major>{heading}</major>" for heading in headings)
    mesh += "".join(f"<automatic>{term}</automatic>" for term in terms)
    images = "".join(
        f'<parentImage id="CXR{case}_IM-0003-{film}"><figureId>F1</figureId><caption>PA</caption></parentImage>'
        for film in films
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation>\n<meta type="rr"/><uId id="CXR{case}"/>'
        f"<MedlineCitation><Article/></MedlineCitation><MeSH>{mesh}</MeSH>{images}</eCitation>"
    )


def tree(root: Path) -> None:
    notes = root / "ecgen-radiology"
    notes.mkdir(parents=True)
    for case, parts in REPORTS.items():
        (notes / f"{case}.xml").write_text(report(case, *parts))
    for seed, name in enumerate(("1000_IM-0003-1001", "2_IM-0003-1001", "2_IM-0003-3001")):
        case = name.split("_")[0]
        dicom(root / "NLMCXR_dcm" / case / f"{name}.dcm", seed, ViewPosition="PA", PatientID=case)
    dicom(root / "NLMCXR_dcm" / "1000" / "1000_IM-0003-2001.dcm", 7, ViewPosition="LL")
    picture(root / "NLMCXR_png" / "CXR30_IM-0003-1001.png", 8)


def test_reports_films_and_views(tmp_path: Path) -> None:
    root = tmp_path / "openi"
    tree(root)
    frame = adapter_keeps_the_rules("openi", root, needed=["ecgen-radiology"])
    films = ["CXR2_IM-0003-1001", "CXR2_IM-0003-3001", "CXR30_IM-0003-1001", "CXR1000_IM-0003-1001"]
    assert frame["image_id"].tolist() == [f"openi/{film}" for film in (*films, "CXR1000_IM-0003-2001")]
    assert frame["nodule"].fillna(-1).tolist() == [0, 0, -1, 1, 1]
    assert frame["tb"].fillna(-1).tolist() == [0, 0, 1, -1, -1]
    assert frame["patient_id"].tolist() == ["2", "2", "30", "1000", "1000"]
    # Both films of case 2 call themselves PA, so neither is believed; case 1000 has one PA and one lateral film.
    assert frame["view"].tolist() == [None, None, None, "PA", "LATERAL"]
    assert frame["native_labels"][3] == ["Nodule/lung/upper lobe/right", "Opacity/lung"]
    assert set(frame["reference_standard"]) == {"report"}


def test_header_table_and_sorted_films_give_views_of_pngs(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "nlmcxr_dicom_metadata.csv").write_text(
        "imageid,View Position\nCXR30_IM-0003-1001,AP\nCXR2_IM-0003-1001,PA\nCXR2_IM-0003-3001,PA\n"
    )
    (tmp_path / "indiana_projections.csv").write_text(
        "uid,filename,projection\n2,2_IM-0003-1001.dcm.png,Frontal\n2,2_IM-0003-3001.dcm.png,Lateral\n"
    )
    frame = build_manifest("openi", tmp_path, workers=1)
    assert frame["view"].tolist() == ["PA", "LATERAL", "AP", "PA", "LATERAL"]
    (tmp_path / "indiana_projections.csv").write_text("uid,filename,projection\n2,a.png,PA\n")
    with pytest.raises(DatasetError, match=r"projection of a\.png is 'PA', expected Frontal or Lateral"):
        build_manifest("openi", tmp_path, workers=1)


def test_kaggle_form(tmp_path: Path) -> None:
    (tmp_path / "indiana_reports.csv").write_text(
        "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
        '1,normal,normal,Xray Chest PA and Lateral,"Positive, TB test",None.,clear,Normal\n'
        "2,Mass/lung/hilum/right;Opacity/lung,Mass;Opacity,Chest,x,x,x,x\n"
    )
    (tmp_path / "indiana_projections.csv").write_text(
        "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n1,1_IM-0001-3001.dcm.png,Lateral\n"
        "2,2_IM-0652-1001.dcm.png,Frontal\n"
    )
    for seed, name in enumerate(("1_IM-0001-4001", "1_IM-0001-3001", "2_IM-0652-1001")):
        picture(tmp_path / "images" / "images_normalized" / f"{name}.dcm.png", seed)
    frame = build_manifest("openi", tmp_path, workers=1)
    assert frame["image_id"].tolist() == [
        "openi/CXR1_IM-0001-4001",
        "openi/CXR1_IM-0001-3001",
        "openi/CXR2_IM-0652-1001",
    ]
    assert frame["nodule"].tolist() == [0, 0, 1]
    assert frame["tb"].fillna(-1).tolist() == [0, 0, -1]
    assert frame["view"].tolist() == [None, "LATERAL", None]


@pytest.mark.parametrize(
    ("headings", "terms", "nodule", "tb"),
    [
        (["normal"], ["normal"], 0, 0),
        (["normal"], ["tuberculosis"], 0, None),
        (["Cardiomegaly"], [], 0, None),
        (["Mass/lung/base/left"], [], 1, None),
        (["NODULE / Lung /apex"], [], 1, None),
        (["Nodule/pleura/apex/bilateral"], [], None, None),
        (["Mass/breast/large"], [], None, None),
        (["Nodule"], [], None, None),
        (["Mass/mediastinum/right", "Nodule/lung"], [], 1, None),
        (["Calcified Granuloma/lung/lingula"], [], None, None),
        (["Granulomatous Disease"], [], None, None),
        (["Density/lung/upper lobe/left/round"], [], None, None),
        (["Opacity/lung/surrounding"], [], 0, None),
        (["Opacity/lung"], ["multiple pulmonary nodules"], None, None),
        (["No Indexing"], [], None, None),
        (["Technical Quality of Image Unsatisfactory "], [], None, None),
        ([], [], None, None),
        (["Tuberculosis/lung/healed", "Cicatrix/lung"], [], 0, None),
        (["Tuberculosis"], [], 0, 1),
        (["Infiltrate/lung"], ["tuberculosis"], 0, None),
    ],
)
def test_what_a_report_says(headings: list[str], terms: list[str], nodule: float | None, tb: float | None) -> None:
    said = Report("1", tuple(headings), tuple(terms), ())
    assert (nodule_label(said), tb_label(said)) == (nodule, tb)


@pytest.mark.parametrize("name", ["1_IM-0001-4001.dcm.png", "CXR1_IM-0001-4001.png", "a/1_IM-0001-4001.dcm"])
def test_film_names(name: str) -> None:
    assert film_name(name) == "CXR1_IM-0001-4001"


@pytest.mark.parametrize(
    ("text", "words"),
    [("<eCitation><uId", r"9\.xml: expected a report in XML \(line 1\)"), ("<eCitation/>", "9.xml: expected <uId id=")],
)
def test_broken_reports_are_named(tmp_path: Path, text: str, words: str) -> None:
    tree(tmp_path)
    (tmp_path / "ecgen-radiology" / "9.xml").write_text(text)
    with pytest.raises(DatasetError, match=words):
        build_manifest("openi", tmp_path, workers=1)


def test_real_reports(tmp_path: Path) -> None:
    """Films, cases and lung nodules by a search of the raw text."""
    with tarfile.open(label_table("NLMCXR_reports.tgz")) as archive:
        archive.extractall(tmp_path, filter="data")
    frame = build_manifest("openi", tmp_path, allow_missing=True, workers=1)
    texts = [path.read_text() for path in (tmp_path / "ecgen-radiology").glob("*.xml")]
    films = [len(re.findall("<parentImage ", text)) for text in texts]
    lung = [bool(re.search(r"<major>(Nodule|Mass)/[^<]*\blung\b", text)) for text in texts]
    assert len(frame) == sum(films) == 7_470
    assert frame["patient_id"].nunique() == sum(count > 0 for count in films) == 3_851
    assert (frame["nodule"] == 1).sum() == sum(count for count, found in zip(films, lung, strict=True) if found) == 208
    assert frame["nodule"].isna().sum() == 1_227
    assert frame["tb"].value_counts().to_dict() == {0: 2_696, 1: 2}
