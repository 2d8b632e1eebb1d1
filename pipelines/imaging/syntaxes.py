"""The transfer syntaxes an archive of radiographs holds.

Source: DICOM PS3.6, table A-1; PS3.5, annex A.
"""

from enum import Enum
from typing import Final, NamedTuple


class Codec(Enum):
    """How the pixels of one transfer syntax are coded."""

    NATIVE = "uncompressed"
    JPEG = "JPEG"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    HTJ2K = "HTJ2K"
    RLE = "RLE"


class Syntax(NamedTuple):
    """One transfer syntax.

    Attributes:
        name: as DICOM PS3.6 names it, shortened.
        codec: how its pixels are coded.
        lossy: whether its coding loses information by definition (True), keeps all (False), or may do either (None).
    """

    name: str
    codec: Codec
    lossy: bool | None


IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

SYNTAXES: Final = {
    IMPLICIT_LITTLE_ENDIAN: Syntax("Implicit VR Little Endian", Codec.NATIVE, lossy=False),
    EXPLICIT_LITTLE_ENDIAN: Syntax("Explicit VR Little Endian", Codec.NATIVE, lossy=False),
    DEFLATED: Syntax("Deflated Explicit VR Little Endian", Codec.NATIVE, lossy=False),
    EXPLICIT_BIG_ENDIAN: Syntax("Explicit VR Big Endian", Codec.NATIVE, lossy=False),
    "1.2.840.10008.1.2.4.50": Syntax("JPEG Baseline (Process 1)", Codec.JPEG, lossy=True),
    "1.2.840.10008.1.2.4.51": Syntax("JPEG Extended (Processes 2 and 4)", Codec.JPEG, lossy=True),
    "1.2.840.10008.1.2.4.57": Syntax("JPEG Lossless (Process 14)", Codec.JPEG, lossy=False),
    "1.2.840.10008.1.2.4.70": Syntax("JPEG Lossless (Process 14, SV1)", Codec.JPEG, lossy=False),
    "1.2.840.10008.1.2.4.80": Syntax("JPEG-LS Lossless", Codec.JPEG_LS, lossy=False),
    "1.2.840.10008.1.2.4.81": Syntax("JPEG-LS Near-Lossless", Codec.JPEG_LS, lossy=None),
    "1.2.840.10008.1.2.4.90": Syntax("JPEG 2000 Lossless", Codec.JPEG_2000, lossy=False),
    "1.2.840.10008.1.2.4.91": Syntax("JPEG 2000", Codec.JPEG_2000, lossy=None),
    "1.2.840.10008.1.2.4.201": Syntax("HTJ2K Lossless", Codec.HTJ2K, lossy=False),
    "1.2.840.10008.1.2.4.202": Syntax("HTJ2K Lossless RPCL", Codec.HTJ2K, lossy=False),
    "1.2.840.10008.1.2.4.203": Syntax("HTJ2K", Codec.HTJ2K, lossy=None),
    "1.2.840.10008.1.2.5": Syntax("RLE Lossless", Codec.RLE, lossy=False),
}
