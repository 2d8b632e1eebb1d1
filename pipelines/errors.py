"""Errors that a user can cause, and what they say.

Every message is one sentence (or a short list) that names the file, the field, what was found and what was expected.
It never carries patient data: no names, identifiers, dates, UIDs or free text read from a header.
The command line turns any `CxrError` into that sentence on standard error and exit code 2.
"""

import re
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a file is not a usable film: the stable codes of the ``reason`` column in a predictions table."""

    MISSING = "missing"
    """There is no such file."""
    UNREADABLE_FILE = "unreadable_file"
    """The operating system refused to read it, or it is not a regular file."""
    NOT_AN_IMAGE = "not_an_image"
    """Neither DICOM nor a raster format this project reads."""
    NO_PIXEL_DATA = "no_pixel_data"
    """A DICOM object without an image (a structured report, a header alone)."""
    UNSUPPORTED_SYNTAX = "unsupported_syntax"
    """A transfer syntax no installed decoder reads."""
    UNSUPPORTED_IMAGE = "unsupported_image"
    """Decodable, but not one greyscale film: colour model, sample layout or bit depth."""
    SEVERAL_FRAMES = "several_frames"
    """More than one frame: not a single film."""
    WRONG_MODALITY = "wrong_modality"
    """Not a projection radiograph (a CT or MR slice, an ultrasound)."""
    WRONG_BODY_PART = "wrong_body_part"
    """The header names a body part that is not the chest."""
    LATERAL = "lateral"
    """A lateral view, where the model reads frontal films."""
    AGE_OUTSIDE_USE = "age_outside_use"
    """The patient's age lies outside the model's intended use."""
    TRUNCATED = "truncated"
    """The file ends before its pixels do."""
    CORRUPT = "corrupt"
    """The header contradicts itself or the pixel stream cannot be decoded."""
    TOO_SMALL = "too_small"
    """Fewer than 64 pixels along a side: a thumbnail, not a film."""
    TOO_LARGE = "too_large"
    """More pixels than any radiographic detector has."""
    BLANK = "blank"
    """All pixels have one value, or nearly all are black or white: nothing was imaged, or it was clipped away."""
    NO_CONTRAST = "no_contrast"
    """The pixels vary too little to show an anatomy."""
    ATYPICAL = "atypical"
    """Does not look like the films that the model was trained on."""
    CHANGED = "changed"
    """The file changed while it was being read."""
    TIMED_OUT = "timed_out"
    """Reading it took longer than one film may take."""
    DECODER_CRASHED = "decoder_crashed"
    """Its decoder ended the process that ran it, or ran out of memory."""


REJECTED_REASONS: frozenset[Reason] = frozenset(
    {
        Reason.SEVERAL_FRAMES,
        Reason.WRONG_MODALITY,
        Reason.WRONG_BODY_PART,
        Reason.LATERAL,
        Reason.AGE_OUTSIDE_USE,
        Reason.TOO_SMALL,
        Reason.TOO_LARGE,
        Reason.BLANK,
        Reason.NO_CONTRAST,
        Reason.ATYPICAL,
        Reason.UNSUPPORTED_IMAGE,
    }
)
"""Reasons that mean "readable, but not a film for this system": status ``rejected``; the others are ``error``."""


_USER: Final = re.compile(r"://\S*@")


def without_password(text: str) -> str:
    """An address, or a sentence with addresses in it, without the user and password that may stand before the host."""
    return _USER.sub("://…@", text)


class CxrError(ValueError):
    """Something a user did, or a file a user gave: reported in one sentence, exit code 2."""


class ConfigError(CxrError):
    """A run configuration that cannot be run: names the key, the value and the choices."""


class ManifestError(CxrError):
    """A manifest that breaks its schema: names the file, the column and what was found."""


class DatasetError(CxrError):
    """A data-set folder that does not have the expected native layout."""


class PackageError(CxrError):
    """A model package that is missing, incomplete or does not belong to what it is used with."""


class PredictionsError(CxrError):
    """A predictions table that cannot be read or joined to its manifest."""


class EvaluationError(CxrError):
    """An evaluation that has no answer on this data (for example, one class only)."""


class ReportError(CxrError):
    """A report that cannot be made or printed: names the file, or the program that is missing."""


class UnreadableImage(CxrError):  # noqa: N818  it names what the file is
    """One film that could not be read.

    Attributes:
        reason: the stable code.
        detail: the sentence without the path: the attribute and the value found; never the patient.
    """

    def __init__(self, path: object, reason: Reason, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[str, Reason, str]]:
        # Worker processes send this error to their parent; the default would call __init__ with one argument.
        return type(self), (str(self).removesuffix(f": {self.detail}"), self.reason, self.detail)
