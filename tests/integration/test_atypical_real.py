"""Real films and real strangers: the distance alone, with pretrained features and no training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.data import get_testdata_file

from benchmarks.atypical import make_strangers, render_strangers
from models import Architecture, Calibration, Classifier, ModelPackage, fit_typicality, save_package
from models.pretrained import LITE0_BACKBONE, LITE0_INPUT, load_pretrained
from pipelines.errors import UnreadableImage
from pipelines.imaging import read_radiograph, to_square
from pipelines.inference.predictor import Predictor

pytest.importorskip("timm")
SIZE = 256
FIT = 280
ROOT = Path(__file__).resolve().parents[2]
CHEST = ("RG1_J2KI.dcm", "RG1_J2KR.dcm", "RG1_UNCI.dcm", "RG1_UNCR.dcm")
OTHERS = (
    "RG3_J2KI.dcm",  # a limb
    "693_J2KR.dcm",  # CT
    "CT_small.dcm",
    "MR_small.dcm",
    "MR2_J2KR.dcm",
    "JPEG-LL.dcm",  # a bone scan of the whole body
    "US1_J2KR.dcm",
    "examples_palette.dcm",
    "examples_overlay.dcm",
    "color3d_jpeg_baseline.dcm",
)


def pydicom_files(*names: str) -> list[Path]:
    found = [get_testdata_file(name, download=False) for name in names]
    if None in found:
        pytest.skip("pydicom-data is not installed")
    return [Path(str(path)) for path in found]


@pytest.fixture(scope="module")
def films(real_data: Path) -> list[Path]:
    found = sorted((real_data / "nih_cxr14" / "images").rglob("*.png"))[::2]
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))]


@pytest.fixture(scope="module")
def package(films: list[Path]) -> ModelPackage:
    """ImageNet's features, never trained on a film; fitted on 200, locked on 80."""
    mean, std = LITE0_INPUT
    architecture = Architecture(LITE0_BACKBONE, ("nodule",), SIZE, map_stride=16, neck_width=16, mean=mean, std=std)
    torch.manual_seed(0)
    network = Classifier(architecture, weights=load_pretrained("lite0", LITE0_BACKBONE)).eval()
    squares = [to_square(read_radiograph(film, max_side=SIZE).pixels, SIZE) for film in films[:FIT]]
    batch = torch.from_numpy(np.stack(squares))[:, None]
    with torch.inference_mode():
        features = torch.cat([network(part).features for part in batch.split(25)])
    return ModelPackage(
        name="frozen",
        architecture=architecture,
        weights=network.state_dict(),
        calibration={"nodule": Calibration()},
        typicality=fit_typicality(features[:200], features[200:]),
    )


def test_films_of_the_same_source_and_another_hospitals_chest_pass(package: ModelPackage, films: list[Path]) -> None:
    rows = Predictor(package, device="cpu")([*films[FIT:], *pydicom_files(*CHEST)])
    assert (rows["status"] == "ok")[-len(CHEST) :].all()
    assert (rows["status"] != "ok").sum() <= 1, "at most one of 93"


def test_what_is_no_chest_film_is_refused_by_its_picture_alone(
    package: ModelPackage, films: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "objects").mkdir()
    for path in pydicom_files(*OTHERS):
        (tmp_path / "objects" / path.name).symlink_to(path)
    strangers = render_strangers(tmp_path / "objects", tmp_path / "rendered")
    assert len(strangers) == len(OTHERS)
    kinds = make_strangers(films[FIT : FIT + 20], tmp_path / "made")
    kinds.pop("mirrored"), kinds.pop("in negative")  # a chest still, or corrected to one
    made = [path for name in ("white noise", "gradient", "1/f texture", "blurred") for path in kinds[name]]
    rows = Predictor(package, device="cpu")([*strangers, *made])
    passed = rows.loc[rows["status"] == "ok", ["path", "atypicality"]]
    assert passed.empty, passed.to_string()
    assert (rows["reason"] == "atypical").mean() > 0.8, "by the distance, not because nothing is on them"


def test_headers_refuse_what_they_name_before_the_picture_is_asked() -> None:
    for path in pydicom_files(*OTHERS):
        with pytest.raises(UnreadableImage):
            read_radiograph(path)


def test_the_benchmark_prints_its_tables_for_a_package_and_folders(
    package: ModelPackage, films: list[Path], tmp_path: Path
) -> None:
    save_package(package, tmp_path / "package", card="")
    for folder, paths in {"good": films[FIT : FIT + 3], "strangers": pydicom_files("CT_small.dcm", CHEST[0])}.items():
        (tmp_path / folder).mkdir()
        for path in paths:
            (tmp_path / folder / path.name).symlink_to(path)
    command = [sys.executable, "-m", "benchmarks.atypical", str(tmp_path / "package")]
    folders = ["--good", f"nih={tmp_path / 'good'}", "--strangers", f"objects={tmp_path / 'strangers'}"]
    done = subprocess.run(
        [*command, *folders, "--leave-out", "RG1_*"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    good, strangers = (
        next(line for line in done.stdout.splitlines() if line.startswith(name)) for name in ("nih", "objects")
    )
    assert good.split()[:2] == ["nih", "3"]
    assert strangers.split()[1:3] == ["1", "1"]
