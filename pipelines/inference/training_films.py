"""What a model's training films can be known by, laid beside its predictions for whoever evaluates them."""

import shutil
from pathlib import Path

from models.package import TRAINING_FILMS_FILE
from pipelines.system import replacing


def keep_training_films(source: Path, out: Path) -> None:
    """Copy the table of training films; an older one in ``out`` is replaced, or gone where ``source`` has none.

    Args:
        source: folder of the model package, or of a shard of the predictions.
        out: folder of the predictions.

    Raises:
        OSError: the disk is full or the folder is not ours.
    """
    kept = out / TRAINING_FILMS_FILE
    if (source / TRAINING_FILMS_FILE).is_file():
        with replacing(kept) as temporary:
            shutil.copyfile(source / TRAINING_FILMS_FILE, temporary)
    else:
        kept.unlink(missing_ok=True)
