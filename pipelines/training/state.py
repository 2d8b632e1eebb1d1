"""What a run is after an epoch, on disk: one file of tensors and JSON, always whole."""

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.system import replacing

CHECKPOINT: Final = "checkpoint.pt"


@dataclass(slots=True)
class Progress:
    """How far a run is. Metrics are finite floats by name, one entry per finished epoch."""

    epoch: int = 0
    """Finished epochs."""
    best_epoch: int = -1
    """Epoch (from 0) whose weights are kept; -1 before the first."""
    best_value: float = 0.0
    finished: bool = False
    """No epoch is left to run: all done, or stopped early."""
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class Checkpoint:
    """Everything that the next epoch depends on; random numbers are drawn anew from (seed, epoch)."""

    progress: Progress
    model: dict[str, Tensor]
    best_model: dict[str, Tensor]
    optimizer: dict[str, Any]
    config_digest: str
    """The configuration that the weights were made with."""

    def save(self, folder: Path) -> None:
        """Write to a temporary name, then rename: a crash leaves the checkpoint before.

        Raises:
            ConfigError: the disk is full or cannot be written; the checkpoint before is untouched.
        """
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "progress": json.dumps(asdict(self.progress)),
            "model": self.model,
            "best_model": self.best_model,
            "optimizer": self.optimizer,
            "config_digest": self.config_digest,
        }
        # In memory first: on a full disk torch's own writer fails with an error that does not say so.
        packed = io.BytesIO()
        torch.save(content, packed)
        try:
            with replacing(folder / CHECKPOINT, durable=True, sole_writer=True) as temporary:
                temporary.write_bytes(packed.getbuffer())
        except OSError as error:
            kept = "the one before is kept" if (folder / CHECKPOINT).exists() else "there is none yet"
            raise ConfigError(f"{folder}: the checkpoint cannot be written ({error.strerror}); {kept}") from None

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            ConfigError: absent or damaged.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            raise ConfigError(f"{folder}: no {CHECKPOINT} to go on from; start without --resume")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            content["progress"] = Progress(**json.loads(content["progress"]))
            return cls(**content)
        except Exception as error:  # noqa: BLE001  torch, zip and pickle each have their own errors for damage
            raise ConfigError(f"{path} is damaged ({type(error).__name__}); remove it to start again") from None
