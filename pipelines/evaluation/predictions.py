"""The predictions table: one row per input, in input order, whatever happened to the input.

The table holds nothing that differs between two runs of the same work (no times, no hosts): interrupted or not, its
bytes are the same. What describes the run lies next to it in ``run.json``.
"""

import hashlib
import re
from typing import Final

import pyarrow as pa

from pipelines.findings import FINDINGS

STATUSES: Final = ("ok", "rejected", "error")
TRIAGE_CLASSES: Final = ("urgent", "routine", "likely_normal")

SCHEMA: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # one of STATUSES
        pa.field("reason", pa.string()),  # a pipelines.errors.Reason code; null where status is ok
        pa.field("detail", pa.string()),  # one sentence for a person; with status ok only on what was unusual
        *(pa.field(f"p_{finding}", pa.float64()) for finding in FINDINGS),  # calibrated probability
        *(pa.field(f"flag_{finding}", pa.bool_()) for finding in FINDINGS),  # p >= the locked threshold
        pa.field("triage_score", pa.float64()),  # 0-100
        pa.field("triage_class", pa.string()),  # one of TRIAGE_CLASSES
        # Where each finding's map peaks, in stored pixels (x to the right, y down): localisation needs no pixels later.
        *(pa.field(f"peak_{axis}_{finding}", pa.float64()) for finding in FINDINGS for axis in ("x", "y")),
        # Score of the shape-free control that travels in the model package (16x16 thumbnail + five intensity
        # statistics, logistic regression, fitted on the model's own training films): `evaluate` sets its AUROC beside
        # the model's.
        *(pa.field(f"control_{finding}", pa.float64()) for finding in FINDINGS),
        pa.field("model_id", pa.string(), nullable=False),
        # Distance of the film from the model's training films, divided by the limit locked on validation films: above 1
        # the film is refused as atypical, and has this value still. Null where the model's package holds no limit.
        pa.field("atypicality", pa.float64()),
        # What the picture says of itself, of refused films too where they were read.
        pa.field("inverted_corrected", pa.bool_()),  # a negative, turned into a positive
        pa.field("rotation_degrees", pa.int64()),  # clockwise turn that would bring it upright: 0, 90, 180 or 270
        pa.field("cropped", pa.bool_()),  # the lung fields run into an edge
        pa.field("low_contrast", pa.bool_()),
        pa.field("text_area", pa.float64()),  # share covered by burned-in text, markers, redaction boxes
        pa.field("border", pa.float64()),  # share covered by uniform borders
        pa.field("colour_converted", pa.bool_()),  # stored in colour, read as grey
        # What turned the stored matrix upright, as an EXIF orientation, 1 to 8 (1: nothing). Pictures are upright.
        pa.field("orientation", pa.int64()),
        pa.field("duplicate_of", pa.string()),  # image_id of the run's first film with the very same picture
        # Scores of the two other shortcut controls of the model package: one sees the film's border alone, one sees it
        # with the lungs covered. Null where the package is of an earlier version and has none.
        *(
            pa.field(f"control_{kind}_{finding}", pa.float64())
            for kind in ("border", "lungs_hidden")
            for finding in FINDINGS
        ),
    ]
)
"""Probabilities, flags and triage columns are null where status is not ok, or where the model has no such output.

Tables written before the columns after ``model_id`` existed are read without them.
"""

COLUMNS: Final = tuple(SCHEMA.names)

WORKLIST_FILE: Final = "worklist.html"
"""Page of ``cxr predict --html``, inside the predictions folder."""
HEATMAP_FOLDER: Final = "heatmaps"
"""Folder of ``cxr predict --heatmaps``, inside the predictions folder."""


def maps_file(image_id: str) -> str:
    """Name of a film's maps as numbers: NumPy's ``.npy``, float32 ``[F, h, w]`` cell probabilities.

    Findings are in the order of the model; cells tile the network's square input.
    """
    return heatmap_file(image_id, "maps").removesuffix("png") + "npy"


def heatmap_file(image_id: str, layer: str) -> str:
    """Name of one heat-map picture inside `HEATMAP_FOLDER`.

    Args:
        image_id: as in the predictions table.
        layer: a finding (the film with that finding's map laid over it) or ``film`` (the film alone).

    Returns:
        A plain file name, unique for each (image_id, layer): readable characters are kept, a digest keeps ids apart
        that differ only in characters which are not. Pictures are upright and keep the film's aspect ratio; of a
        film stored upright, pixel (x, y) is at picture pixel (x, y) * picture width / stored columns.
    """
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", image_id)[-80:]
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{readable}-{digest}.{layer}.png"
