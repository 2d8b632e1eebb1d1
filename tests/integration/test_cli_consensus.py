"""Films that several people read: what the command says of their agreement, and labels by another rule."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.manifest import read_manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """Train.csv of six films, three readers each: two agreed upon, two by a majority, two by one reader."""
    votes = {"aa": 3, "bb": 3, "cc": 2, "dd": 2, "ee": 1, "ff": 1, "gg": 0, "hh": 0}
    rows = [
        f"{film},Nodule/Mass,8,R{reader},1,2,30,40" if reader <= positive else f"{film},No finding,14,R{reader},,,,"
        for film, positive in votes.items()
        for reader in (1, 2, 3)
    ]
    (tmp_path / "train.csv").write_text(
        "\n".join(["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", *rows])
    )
    return tmp_path


def test_build_says_how_far_readers_agree_and_another_rule_makes_other_labels(cxr: Run, competition: Path) -> None:
    built, made = competition / "any.parquet", competition / "all.csv"
    build = ("manifest", "build", "vindr_cxr", competition, "--allow-missing")
    code, out, _ = cxr(*build, "--option", "consensus=any", "--out", built)
    assert code == 0
    assert "12 of 24" in out
    # 12 of 24 are positive, four films are split one to two: 1 - 4 (2 / 3) / (16 / 4) = 1 / 3
    assert "0.333" in out  # its interval may stand on the next line, as wide as the terminal is
    assert "Where the patient is not known" in out
    assert read_manifest(built)["nodule"].sum() == 6

    code, out, _ = cxr("manifest", "consensus", built, "--rule", "all", "--out", made)
    assert code == 0
    assert "2 / 6 / 0" in out
    frame = read_manifest(made)
    assert frame["nodule"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert [len(boxes) for boxes in frame["boxes"]] == [3, 3, 0, 0, 0, 0, 0, 0]
    code, out, _ = cxr("manifest", "agreement", made, "--pairs")  # the readings are as they were
    assert code == 0
    assert "0.333" in out  # its interval may stand on the next line, as wide as the terminal is
    code, out, _ = cxr(*build, "--option", "consensus=all", "--out", competition / "built.csv")
    assert made.read_bytes() == (competition / "built.csv").read_bytes()


def test_mistakes_are_one_sentence(cxr: Run, competition: Path) -> None:
    plain = competition / "plain.csv"
    plain.write_text("image_id,path,dataset\nd/1,a.png,d\n")
    for arguments, words in (
        (("agreement", plain), "expected readings, its column 'readings' is empty"),
        (("consensus", plain, "--rule", "any", "--out", competition / "x.csv"), "expected readings to apply the rule"),
        (
            ("consensus", plain, "--rule", "most", "--out", competition / "x.csv"),
            "expected one of any, majority, all, mean",
        ),
        (("agreement", competition / "none.csv"), "no such manifest file"),
        (("agreement", plain, "--split", "train"), "no row has split 'train'"),
    ):
        code, _, err = cxr("manifest", *arguments)
        assert code == 2, arguments
        assert words in err
    assert not (competition / "x.csv").exists()
