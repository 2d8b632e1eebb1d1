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

from pipelines.errors import UnreadableImage
from pipelines.imaging.radiograph import Radiograph, read_radiograph

Outcome = Radiograph | UnreadableImage


class RadiographReader(ImageReader):
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

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[tuple[Path, Outcome]]:
        """Read one film or several; a film that cannot be read is reported by `get_data`.

        MONAI answers an exception here by trying its other readers one after the other, and one of them would show a
        refused film with its columns first and its polarity ignored. An exception in `get_data` is final.

        Args:
            data: a path, or paths of films of one size that will be stacked as channels.
            kwargs: ``max_side``, in place of the reader's own.
        """
        max_side = kwargs.get("max_side", self.max_side)
        return [(Path(name), _outcome(Path(name), max_side)) for name in ensure_tuple(data)]

    def get_data(self, img: list[tuple[Path, Outcome]]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Pixels and what MONAI calls meta data.

        Returns:
            float32 ``[rows, columns]`` in [0, 1], or ``[films, rows, columns]`` of several; and the first film's
            ``stored_rows``, ``stored_columns``, ``spatial_shape``, ``original_channel_dim`` and ``filename_or_obj``.

        Raises:
            UnreadableImage: as `read_radiograph`, of the first film that failed.
        """
        films: list[Radiograph] = []
        for _, outcome in img:
            if isinstance(outcome, UnreadableImage):
                raise outcome
            films.append(outcome)
        shapes = {film.pixels.shape for film in films}
        if len(shapes) > 1:
            raise ValueError(f"Films that are stacked as channels must have one shape, got {sorted(shapes)}.")
        meta: dict[str, Any] = {
            MetaKeys.SPATIAL_SHAPE.value: np.asarray(films[0].pixels.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM.value: "no_channel" if len(films) == 1 else 0,
            "filename_or_obj": str(img[0][0]),
            "stored_rows": films[0].facts.rows,
            "stored_columns": films[0].facts.columns,
        }
        return films[0].pixels if len(films) == 1 else np.stack([film.pixels for film in films]), meta


def _outcome(path: Path, max_side: int | None) -> Outcome:
    try:
        return read_radiograph(path, max_side=max_side)
    except UnreadableImage as error:
        return error
