"""Films as DICOM files: Digital X-Ray Image - For Presentation, and Computed Radiography Image.

Two runs write the same bytes: UIDs are derived from the seed, dates from the patient number, and no clock is read. The
header says that the film is synthetic and says nothing of the disease on it.

Source: DICOM PS3.3 A.2 (CR), A.26 (DX), C.7.6.3, C.8.1, C.8.11, C.11.2;
PS3.5 A.4 (encapsulation), B.2 (UUID-derived UIDs).
"""

import hashlib
import io
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from pipelines.phantom.detector import voi_table
from pipelines.phantom.film import Film
from pipelines.phantom.plan import FilmPlan
from pipelines.phantom.sites import Lookup, Syntax
from pipelines.system import replacing

_FIRST_DAY: Final = date(2001, 1, 1)
_ENCODERS: Final = {Syntax.RLE: "pylibjpeg", Syntax.JPEG_LS: "pyjpegls", Syntax.JPEG_2000: "pylibjpeg"}
"""One named encoder for each syntax: which others are installed must not change the bytes."""


def derived_uid(seed: int, *parts: str | int) -> str:
    """UID under the 2.25 root, the same for the same seed and parts.

    Args:
        seed: seed of the cohort.
        parts: what the UID is of.
    """
    digest = hashlib.sha256("/".join(map(str, ("cxr-phantom", seed, *parts))).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def write_film(film: Film, path: Path) -> None:
    """Write one film as a DICOM file, atomically.

    Args:
        film: what to write.
        path: where; its folder exists.
    """
    dataset = film_dataset(film)
    packed = io.BytesIO()  # first in memory: pydicom wraps what a full disk says in an error that names a tag
    dataset.save_as(packed, enforce_file_format=True)
    with replacing(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def film_dataset(film: Film) -> Dataset:
    """Build the DICOM object of one film, its pixels encoded in the film's transfer syntax."""
    plan = film.plan
    dataset = Dataset()
    _patient_and_study(dataset, plan)
    _series_and_equipment(dataset, plan)
    _image(dataset, plan)
    if plan.site.modality == "DX":
        _digital_x_ray(dataset, plan)
        _lookup(dataset, plan)
    _pixels(dataset, film)
    return dataset


def _patient_and_study(dataset: Dataset, plan: FilmPlan) -> None:
    patient = plan.patient
    day = _FIRST_DAY + timedelta(days=(patient.number * 7) % 3000 + plan.visit * 90)
    dataset.PatientName = f"PHANTOM^{patient.number:05d}"
    dataset.PatientID = plan.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = patient.sex
    dataset.PatientAge = f"{patient.age_years:03d}Y"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Synthetic film of no person"
    dataset.StudyInstanceUID = derived_uid(plan.seed, "study", plan.index)
    dataset.StudyID = str(plan.visit + 1)
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = day.strftime("%Y%m%d")
    dataset.StudyTime = dataset.AcquisitionTime = dataset.ContentTime = (
        f"{8 + plan.index % 9:02d}{plan.index % 60:02d}00"
    )
    dataset.StudyDescription = "SYNTHETIC chest screening"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""


def _series_and_equipment(dataset: Dataset, plan: FilmPlan) -> None:
    site = plan.site
    dataset.Modality = site.modality
    dataset.SeriesInstanceUID = derived_uid(plan.seed, "series", plan.index)
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "SYNTHETIC chest PA"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.Manufacturer = site.manufacturer
    dataset.ManufacturerModelName = site.model
    dataset.InstitutionName = f"Phantom site {site.name}"
    dataset.DeviceSerialNumber = f"{site.name}-1"
    dataset.SoftwareVersions = "1"


def _image(dataset: Dataset, plan: FilmPlan) -> None:
    site = plan.site
    dx = site.modality == "DX"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation if dx else ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = derived_uid(plan.seed, "film", plan.index)
    dataset.InstanceNumber = 1
    dataset.ImageType = ["DERIVED", "PRIMARY", ""] if dx else ["DERIVED", "PRIMARY"]
    dataset.DerivationDescription = "Simulated radiograph"
    dataset.ImageComments = "SYNTHETIC PHANTOM: not a person, not for diagnosis"
    dataset.ContentQualification = "RESEARCH"
    dataset.PatientOrientation = ["L", "F"]
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"
    dataset.KVP = str(site.kvp)
    dataset.ImagerPixelSpacing = [site.spacing_mm, site.spacing_mm]
    dataset.PresentationLUTShape = "INVERSE" if site.monochrome1 else "IDENTITY"


def _digital_x_ray(dataset: Dataset, plan: FilmPlan) -> None:
    """What the DX object asks for beyond a CR image."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1  # stored values fall as X-ray intensity grows
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "US"
    dataset.AcquisitionContextSequence = Sequence([])
    dataset.DetectorType = "SCINTILLATOR"
    dataset.DetectorID = f"{plan.site.name}-panel"
    dataset.ViewCodeSequence = Sequence([_code("399348003", "SCT", "postero-anterior")])
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    dataset.PositionerType = "NONE"


def _lookup(dataset: Dataset, plan: FilmPlan) -> None:
    site = plan.site
    low, high = (share * site.max_value for share in site.stored_range)
    if site.lookup is Lookup.WINDOW:
        dataset.WindowCenter = str(round((low + high) / 2 + 0.5))
        dataset.WindowWidth = str(round(high - low + 1))
        dataset.WindowCenterWidthExplanation = "CHEST"
    elif site.lookup is Lookup.LUT:
        table = voi_table(plan)
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [len(table), 0, 12])
        item.LUTExplanation = "CHEST"
        item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
        dataset.VOILUTSequence = Sequence([item])


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _pixels(dataset: Dataset, film: Film) -> None:
    site = film.plan.site
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if site.monochrome1 else "MONOCHROME2"
    dataset.Rows, dataset.Columns = film.pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, site.bits_stored, site.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.add_new("PixelData", "OW", film.pixels.astype("<u2").tobytes())
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = UID(derived_uid(0, "implementation"))
    dataset.file_meta.ImplementationVersionName = "CXR_PHANTOM_1"
    syntax = film.plan.syntax
    if syntax is Syntax.JPEG_LOSSLESS_SV1:
        dataset.add_new("PixelData", "OB", encapsulate([_jpeg_lossless(film.pixels, site.bits_stored)]))
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID(syntax.value)
    elif syntax is not Syntax.EXPLICIT_LE:
        dataset.compress(UID(syntax.value), encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False)


def _jpeg_lossless(pixels: NDArray[np.uint16], bits_stored: int) -> bytes:
    """Encode as JPEG Lossless, process 14, selection value 1 (ITU-T T.81), with GDCM."""
    # The writer owns its image by reference count; an image made here would be freed while the filter still holds it.
    writer: Any = gdcm.ImageWriter()
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimension(0, pixels.shape[1])
    image.SetDimension(1, pixels.shape[0])
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits_stored, bits_stored - 1, 0))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    element: Any = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.astype("<u2").tobytes())
    image.SetDataElement(element)
    change: Any = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(image)
    if not change.Change():
        raise RuntimeError("GDCM refused to encode JPEG Lossless SV1.")
    encoded = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    parts = [encoded.GetFragment(i).GetByteValue().GetBuffer() for i in range(encoded.GetNumberOfFragments())]
    return b"".join(part.encode("utf-8", "surrogateescape") for part in parts)
