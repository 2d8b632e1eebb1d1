"""What the three shortcut controls see of one film, side by side in one vector."""

from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.imaging.border import N_BORDER_FEATURES, border_features
from pipelines.imaging.lungs_hidden import N_HIDDEN_FEATURES, lungs_hidden_features
from pipelines.imaging.thumbnail import N_FEATURES, thumbnail_features

ControlKind = Literal["shape_free", "border", "lungs_hidden"]
KINDS: Final[tuple[ControlKind, ...]] = ("shape_free", "border", "lungs_hidden")
"""In the order of the vector and of every table."""
_COUNTS: Final = (N_FEATURES, N_BORDER_FEATURES, N_HIDDEN_FEATURES)
_ENDS: Final = tuple(int(end) for end in np.cumsum(_COUNTS))
COLUMNS_OF: Final[dict[ControlKind, slice]] = {
    kind: slice(end - count, end) for kind, end, count in zip(KINDS, _ENDS, _COUNTS, strict=True)
}
"""Where each control's features lie in the vector; the shape-free ones first, as earlier versions had them alone."""
N_CONTROL_FEATURES: Final = _ENDS[-1]


def control_features(pixels: ArrayLike) -> NDArray[np.float64]:
    """Features of one film for all controls.

    Args:
        pixels: ``[rows, columns]``, display values in [0, 1] (dense tissue bright), of any size.

    Returns:
        ``[441]`` float64: `thumbnail_features`, `border_features`, `lungs_hidden_features`.

    Raises:
        EvaluationError: as `thumbnail_features`.
    """
    return np.concatenate([thumbnail_features(pixels), border_features(pixels), lungs_hidden_features(pixels)])
