"""The MONAI view of `read_radiograph`: display values in, for transforms such as `LoadImaged`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data.image_reader import ImageReader
from monai.utils import ensure_tuple
from monai.utils.enums import MetaKeys
from numpy.typing import NDArray

from pipelines.imaging.radiograph import Radiograph, read_radiograph


class RadiographReader(ImageReader):  # type: ignore[misc]  # MONAI is untyped
    """Reads films of every format of this room as display values ``[rows, columns]``, not transposed.

    MONAI's own readers ignore PhotometricInterpretation and windows, and put columns first.

    Args:
        max_side: as in `read_radiograph`.
    """

    def __init__(self, max_side: int | None = None) -> None:
        super().__init__()
        self.max_side = max_side

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:  # noqa: ARG002 - MONAI's signature
        """Every name: the format is told from the content, and refused with a reason if it is none."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[tuple[Path, Radiograph]]:
        """Read one film or several.

        Args:
            data: a path, or paths of films of one size that will be stacked as channels.
            kwargs: ``max_side``, in place of the reader's own.

        Raises:
            UnreadableImage: as `read_radiograph`.
        """
        max_side = kwargs.get("max_side", self.max_side)
        return [(Path(name), read_radiograph(Path(name), max_side=max_side)) for name in ensure_tuple(data)]

    def get_data(self, img: list[tuple[Path, Radiograph]]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Pixels and what MONAI calls meta data.

        Returns:
            float32 ``[rows, columns]`` in [0, 1], or ``[films, rows, columns]`` of several; and the first film's
            ``stored_rows``, ``stored_columns``, ``spatial_shape``, ``original_channel_dim`` and ``filename_or_obj``.
        """
        path, film = img[0]
        shapes = {other.pixels.shape for _, other in img}
        if len(shapes) > 1:
            raise ValueError(f"Films that are stacked as channels must have one shape, got {sorted(shapes)}.")
        meta: dict[str, Any] = {
            MetaKeys.SPATIAL_SHAPE.value: np.asarray(film.pixels.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM.value: "no_channel" if len(img) == 1 else 0,
            "filename_or_obj": str(path),
            "stored_rows": film.facts.rows,
            "stored_columns": film.facts.columns,
        }
        return film.pixels if len(img) == 1 else np.stack([other.pixels for _, other in img]), meta
