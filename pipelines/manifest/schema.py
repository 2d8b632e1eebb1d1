"""The manifest: one row per image, the same columns in Parquet and CSV.

A null label means *not known*: it is masked in the loss and left out of every metric, never read as 0.
"""

from typing import Final

import pyarrow as pa

SPLITS: Final = ("train", "val", "test")
VIEWS: Final = ("PA", "AP", "LATERAL")
SEXES: Final = ("F", "M")
REFERENCE_STANDARDS: Final = ("microbiology", "ct", "radiologist", "report", "synthetic")
AGE_YEARS_RANGE: Final = (0.0, 120.0)

BOX: Final = pa.struct(
    [
        pa.field("finding", pa.string(), nullable=False),
        pa.field("x0", pa.float64(), nullable=False),
        pa.field("y0", pa.float64(), nullable=False),
        pa.field("x1", pa.float64(), nullable=False),
        pa.field("y1", pa.float64(), nullable=False),
    ]
)
"""One finding's box in stored pixels: x to the right, y down, corners at pixel edges, x0 < x1 and y0 < y1."""

READING: Final = pa.struct(
    [
        pa.field("reader", pa.string(), nullable=False),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""What one reader said of one finding: 1 or 0. Readers are known by the data set's own codes."""

SCHEMA: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # <dataset>/<native id>, unique
        pa.field("path", pa.string(), nullable=False),  # POSIX, relative to the data root
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("site", pa.string()),
        pa.field("patient_id", pa.string()),  # unique within the data set, or <other set>/<its id>; null = unknown
        pa.field("study_id", pa.string()),
        pa.field("split", pa.string()),  # one of SPLITS; null = not assigned
        pa.field("view", pa.string()),  # one of VIEWS
        pa.field("sex", pa.string()),  # one of SEXES
        pa.field("age_years", pa.float64()),
        pa.field("tb", pa.float64()),  # 1, 0, or null = not known
        pa.field("nodule", pa.float64()),  # 1, 0, or null = not known
        pa.field("reference_standard", pa.string()),  # one of REFERENCE_STANDARDS
        pa.field("native_labels", pa.list_(pa.string())),  # what the data set itself said; null = not known
        pa.field("boxes", pa.list_(BOX)),  # null = not drawn; [] = looked at, none
        pa.field("manufacturer", pa.string()),  # of the equipment, one name for each maker; null = unknown
        pa.field("pixel_spacing_mm", pa.float64()),  # at the detector or the patient as the file says; null = unknown
        pa.field("rows", pa.int64()),
        pa.field("columns", pa.int64()),
        pa.field("sha256", pa.string()),  # of the file; null = not on disk when the manifest was built, or not hashed
        pa.field("pixel_hash", pa.string()),  # perceptual, 64 bits as 16 hex digits; null as for sha256
        pa.field("readings", pa.list_(READING)),  # every reader's own word; null = only the agreed labels are known
        pa.field("fingerprint", pa.string()),  # by which changed copies of a picture are found; null as for sha256
    ]
)

COLUMNS: Final = tuple(SCHEMA.names)
LATER_COLUMNS: Final = ("readings", "fingerprint")
"""Columns that the first manifests had not: where nothing is in them, a manifest is what it was without them."""
REQUIRED_COLUMNS: Final = ("image_id", "path", "dataset")
"""Columns that a hand-written CSV cannot leave out; the others are filled with null."""
