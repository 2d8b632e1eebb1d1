"""A tiny random model package and synthetic films for the inference tests."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from models import Architecture, Calibration, Classifier, ModelPackage, save_package
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.imaging import to_square

SIZE = 64
BACKBONE = "mobilenet_v3_small"


def tiny_package(
    folder: Path,
    *,
    seed: int = 0,
    findings: tuple[str, ...] = ("tb", "nodule"),
    thresholds: dict[str, float] | None = None,
    control: dict | None = None,
) -> ModelPackage:
    """Write a package of random weights whose scores differ from film to film."""
    architecture = Architecture(backbone=BACKBONE, findings=findings, size=SIZE, map_stride=16, neck_width=16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Classifier(architecture)
        for head in network.heads.values():
            torch.nn.init.normal_(head.cell.weight, std=2.0)
        _settle(network)
    fields = {
        "name": "tiny",
        "architecture": architecture,
        "weights": network.state_dict(),
        "calibration": {finding: Calibration(temperature=4.0, offset=-1.0) for finding in findings},
        "control": control or {},
        "provenance": {"code_version": "test"},
    }
    bare = ModelPackage(**fields)
    thresholds = {"tb": 0.4, "nodule": 0.5} if thresholds is None else thresholds
    points = {
        finding: lock_operating_point(
            [1, 0],
            [thresholds[finding], 0.0],
            finding=finding,
            target_sensitivity=0.9,
            cohort="made up for a test",
            model_id=bare.model_id,
        ).model_dump(mode="json")
        for finding in findings
        if finding in thresholds
    }
    package = ModelPackage(**fields, operating_points=points)
    save_package(package, folder, card="a test package\n")
    return package


def _settle(network: Classifier) -> None:
    """Set the batch norms to the films' statistics; without, random layers leave nothing of what differs."""
    films = np.stack([to_square(film_pixels(seed).astype(np.float32) / 255, SIZE) for seed in range(16)])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(films)[:, None])


def film_pixels(seed: int, rows: int = 150, columns: int = 120) -> NDArray[np.uint8]:
    """A smooth field with a bright disc: different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    field = 60 + 40 * np.sin(x / rng.uniform(8, 40)) * np.cos(y / rng.uniform(8, 40))
    disc = np.hypot(x - rng.uniform(20, columns - 20), y - rng.uniform(20, rows - 20)) < rng.uniform(4, 15)
    return np.clip(field + 90 * disc + rng.normal(0, 3, field.shape), 0, 255).astype(np.uint8)


def write_png(path: Path, seed: int, rows: int = 150, columns: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(film_pixels(seed, rows, columns)).save(path)
    return path


def write_dicom(path: Path, seed: int, *, frames: int = 1, modality: str = "DX") -> Path:
    """Write an uncompressed 8-bit MONOCHROME2 film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = film_pixels(seed)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    data.PatientName = "Secret^Patient"
    data.PatientID = "SECRET-42"
    data.Modality = modality
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PhotometricInterpretation = "MONOCHROME2"
    if frames > 1:
        data.NumberOfFrames = frames
    data.PixelData = pixels.tobytes() * frames
    data.save_as(path, enforce_file_format=True)
    return path


def mixed_folder(folder: Path) -> Path:
    """A folder with usable films and one film of each kind of trouble, 14 entries that are inputs."""
    for number in range(1, 7):
        write_png(folder / f"film{number}.png", number)
    write_dicom(folder / "study" / "IM000001", 20)
    write_dicom(folder / "study" / "IM000002.dcm", 21)
    write_png(folder / "study" / "copy of film1.png", 1)
    whole = write_dicom(folder / "cut.dcm", 22).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    write_dicom(folder / "cine.dcm", 23, frames=3)
    write_png(folder / "thumb.png", 24, 50, 50)
    (folder / "letter").write_text("this is not a film")
    (folder / "gone.dcm").symlink_to(folder / "nowhere.dcm")
    (folder / "notes.txt").write_text("skipped by its suffix")
    (folder / ".hidden.png").write_bytes(b"hidden")
    return folder
