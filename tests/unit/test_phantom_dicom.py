"""Films as files: headers that other readers accept, pixels that every encoding gives back."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi

from pipelines.phantom.dicom_file import derived_uid, write_film
from pipelines.phantom.film import Film, render_film
from pipelines.phantom.plan import plan_film
from pipelines.phantom.sites import SITES, Lookup

STORED = [(site.name, syntax) for site in SITES for syntax in site.syntaxes]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[tuple[str, str], tuple[Film, object]]:
    """One film of each site in each of its transfer syntaxes, on disk."""
    folder = tmp_path_factory.mktemp("films")
    found: dict[tuple[str, str], tuple[Film, object]] = {}
    for index in range(500):
        plan = plan_film(5, index)
        key = (plan.site.name, plan.syntax)
        if key not in found:
            film = render_film(plan)
            path = folder / f"{plan.site.name}-{plan.syntax.name}.dcm"
            write_film(film, path)
            found[key] = film, path
        if len(found) == len(STORED):
            break
    return found


@pytest.mark.parametrize("key", STORED, ids=lambda value: f"{value[0]}-{value[1].name}")
def test_pixels_come_back_bit_for_bit(written, key):
    film, path = written[key]
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == key[1].value
    np.testing.assert_array_equal(dataset.pixel_array, film.pixels)


@pytest.mark.parametrize("key", STORED, ids=lambda value: f"{value[0]}-{value[1].name}")
def test_gdcm_reads_the_same_pixels(written, key, tmp_path):
    if shutil.which("gdcmconv") is None:
        pytest.skip("gdcmconv is not installed (package libgdcm-tools)")
    film, path = written[key]
    raw = tmp_path / "raw.dcm"
    subprocess.run(["gdcmconv", "--raw", path, raw], check=True)
    np.testing.assert_array_equal(pydicom.dcmread(raw).pixel_array, film.pixels)


@pytest.mark.parametrize("key", STORED, ids=lambda value: f"{value[0]}-{value[1].name}")
def test_dcmtk_reads_the_header(written, key):
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump is not installed (package dcmtk)")
    film, path = written[key]
    assert subprocess.run(["dcmftest", path], check=False, capture_output=True, text=True).stdout.startswith("yes")
    dump = subprocess.run(["dcmdump", "+L", path], check=True, capture_output=True, text=True)
    assert "SYNTHETIC" in dump.stdout
    assert film.plan.patient_id in dump.stdout
    assert dump.stderr == ""


@pytest.mark.parametrize("key", STORED, ids=lambda value: f"{value[0]}-{value[1].name}")
def test_the_object_is_valid(written, key):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (package dicom3tools)")
    report = subprocess.run(["dciodvfy", written[key][1]], check=False, capture_output=True, text=True)
    errors = [line for line in (report.stdout + report.stderr).splitlines() if line.startswith("Error")]
    assert errors == []


@pytest.mark.parametrize("key", STORED, ids=lambda value: f"{value[0]}-{value[1].name}")
def test_the_header_says_synthetic_and_nothing_of_the_disease(written, key):
    film, path = written[key]
    dataset = pydicom.dcmread(path)
    plan = film.plan
    assert str(dataset.PatientName).startswith("PHANTOM")
    assert "SYNTHETIC" in dataset.ImageComments
    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.BurnedInAnnotation == "YES"
    assert dataset.PatientIdentityRemoved == "YES"
    assert (dataset.BodyPartExamined, dataset.ViewPosition) == ("CHEST", "PA")
    assert dataset.PatientAge == f"{plan.patient.age_years:03d}Y"
    assert dataset.PatientSex == plan.patient.sex
    assert list(dataset.ImagerPixelSpacing) == [plan.site.spacing_mm] * 2
    words = str(dataset).lower()
    assert not any(word in words for word in ("nodule", "tubercul", "infiltrate", "cavity", "effusion", "miliary"))
    for element in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert dataset[element].value.startswith("2.25.")
        assert dataset[element].value.is_valid


def test_what_the_header_says_of_display_is_right(written):
    """After photometric interpretation and VOI, lung is dark and abdomen bright at every site."""
    for (site, _), (film, path) in written.items():
        dataset = pydicom.dcmread(path)
        shown = apply_voi(film.pixels, dataset).astype(float) if site == "mobile" else film.pixels.astype(float)
        if film.plan.site.lookup is Lookup.WINDOW:
            low = float(dataset.WindowCenter) - 0.5 - (float(dataset.WindowWidth) - 1) / 2
            shown = np.clip((shown - low) / (float(dataset.WindowWidth) - 1), 0, 1)
            assert (shown > 0.98).mean() < 0.15
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            shown = shown.max() - shown
        rows, columns = shown.shape
        lung = shown[int(0.35 * rows) : int(0.5 * rows), int(0.25 * columns) : int(0.32 * columns)].mean()
        abdomen = shown[int(0.9 * rows) : int(0.94 * rows), int(0.45 * columns) : int(0.55 * columns)].mean()
        assert abdomen - lung > 0.3 * shown.max(), site


def test_uids_depend_on_every_part():
    assert derived_uid(1, "film", 2) == derived_uid(1, "film", 2)
    assert (
        len(
            {
                derived_uid(1, "film", 2),
                derived_uid(2, "film", 2),
                derived_uid(1, "study", 2),
                derived_uid(1, "film", 3),
            }
        )
        == 4
    )


def test_the_word_synthetic_is_burned_in_at_the_corner(written):
    for film, _ in written.values():
        site = film.plan.site
        corner = film.pixels[-int(9 / site.spacing_mm) :, : int(40 / site.spacing_mm)].astype(float)
        # Letters at full brightness on black: both ends of the display range lie side by side.
        low, high = (share * site.max_value for share in site.stored_range)
        assert corner.min() <= low + 1
        assert corner.max() >= 0.97 * high
