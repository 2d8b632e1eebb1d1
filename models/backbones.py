"""Feature extractors: any torchvision classification model, and any timm model as ``timm:NAME``.

A backbone here takes one grey channel and returns feature maps from fine to coarse, one per stride.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from models.errors import ModelError

TIMM_PREFIX: Final = "timm:"
STRIDES: Final = (8, 16, 32)
"""Feature maps finer than 1/8 cost more than they tell; the coarsest kept is the backbone's last."""

_CLASSIFIER_PARTS: Final = frozenset(
    {"classifier", "fc", "head", "heads", "avgpool", "aux1", "aux2", "AuxLogits", "norm"}
)
_PROBE_SIZE: Final = 224
_FIXED_SIZE_FAMILIES: Final = ("vit_", "maxvit")


class Backbone(nn.Module):
    """Feature maps of one network, from fine to coarse.

    Attributes:
        channels: channels of each map.
        strides: input pixels per map cell of each map.
    """

    def __init__(self, body: nn.Module, channels: list[int], strides: list[int]) -> None:
        super().__init__()
        self.body = body
        self.channels = channels
        self.strides = strides

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return maps ``[N, channels[i], H / strides[i], W / strides[i]]`` of an image batch ``[N, 1, H, W]``."""
        maps = self.body(x)
        return list(maps.values()) if isinstance(maps, dict) else list(maps)


class _TimmBody(nn.Module):
    """A timm model cut after its last wanted stage, giving the wanted stages."""

    def __init__(self, network: nn.Module, indices: list[int]) -> None:
        super().__init__()
        self.network = network
        self.indices = indices

    def forward(self, x: Tensor) -> list[Tensor]:
        intermediates = cast(Any, self.network).forward_intermediates
        return cast(list[Tensor], intermediates(x, indices=self.indices, intermediates_only=True))


def build_backbone(name: str, *, size: int, weights: Mapping[str, Tensor] | None = None) -> Backbone:
    """Build a one-channel backbone.

    Args:
        name: a torchvision classification model (``densenet121``, ``resnet18``, ...) or ``timm:NAME``.
        size: side of the square input in pixels; only networks with fixed position tables depend on it.
        weights: state of the same architecture with its three-channel input and any classifier, to start from.

    Raises:
        ModelError: an unknown name, timm not installed, a network without spatial maps, or weights that do not fit.
    """
    network = _timm_network(name) if name.startswith(TIMM_PREFIX) else _torchvision_network(name, size)
    if weights is not None:
        _load_state(network, weights, name)
    adapt_to_one_channel(network)
    if name.startswith(TIMM_PREFIX):
        return _timm_backbone(network, name)
    return _torchvision_backbone(network, name, size)


def adapt_to_one_channel(network: nn.Module) -> None:
    """Replace the first three-channel convolution by a one-channel one with the sum of its weights.

    On a grey image the sum is exactly what the three-channel convolution computes on three equal channels, so
    pretrained features are kept.
    """
    for parent in network.modules():
        for child in parent.children():
            if isinstance(child, nn.Conv2d) and child.in_channels == 3 and child.groups == 1:
                summed = child.weight.detach().sum(dim=1, keepdim=True)
                child.in_channels = 1
                child.weight = nn.Parameter(summed.clone())
                return
    raise ModelError("backbone: found no convolution over three input channels to adapt to one grey channel")


def freeze_finer_than(backbone: Backbone, stride: int, *, size: int) -> int:
    """Keep the weights of layers that work at a finer resolution than 1 / ``stride`` as they are.

    Early layers find edges and textures, which pretraining has found already; not training them saves most of the
    backward pass, because their maps are the largest.

    Args:
        backbone: its parameters lose ``requires_grad`` in place.
        stride: layers whose output has less than this many input pixels per cell are frozen.
        size: side of a square input in pixels.

    Returns:
        How many parameter tensors were frozen.
    """
    frozen = 0

    def look(module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal frozen
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] * stride > size:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
                frozen += 1

    leaves = [module for module in backbone.modules() if next(module.parameters(recurse=False), None) is not None]
    hooks = [module.register_forward_hook(look) for module in leaves]
    was_training = backbone.training
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, 1, size, size))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    return frozen


def _torchvision_network(name: str, size: int) -> nn.Module:
    choices = torchvision.models.list_models(module=torchvision.models)
    if name not in choices:
        raise ModelError(
            f"model.backbone: unknown network {name!r}; choose a torchvision classification model "
            f"(such as densenet121, resnet18, efficientnet_b0; {len(choices)} in all) or timm:NAME"
        )
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": True, "aux_logits": True}
    if name.startswith("vit_"):
        options["image_size"] = size
    if name.startswith("maxvit"):
        options["input_size"] = (size, size)
    try:
        network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    except ValueError as error:
        raise ModelError(f"model.backbone: {name} cannot be built for input.size {size}: {error}") from None
    return network


def _timm_network(name: str) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise ModelError(f"model.backbone: {name} needs timm: pip install 'cxr-triage[timm]'") from None
    bare = name.removeprefix(TIMM_PREFIX)
    if bare not in timm.list_models():
        close = timm.list_models(f"*{bare[:8]}*")[:4]
        hint = f"; similar names: {', '.join(close)}" if close else ""
        raise ModelError(f"model.backbone: timm has no network {bare!r}{hint}")
    network: nn.Module = timm.create_model(bare, pretrained=False)
    return network


def _load_state(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    own = network.state_dict()
    # The classifier is thrown away: weights trained for another number of classes are welcome.
    usable = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    needed = [key for key in own if key.split(".")[0] not in _CLASSIFIER_PARTS and "num_batches_tracked" not in key]
    missing = [key for key in needed if key not in usable]
    if missing:
        found = weights.get(missing[0])
        what = "nothing" if found is None else f"shape {list(found.shape)}"
        raise ModelError(
            f"model.pretrained: {len(missing)} of {len(own)} tensors of {name} are not in the weight file; "
            f"first: {missing[0]}, expected shape {list(own[missing[0]].shape)}, found {what}"
        )
    network.load_state_dict(usable, strict=False)


def _timm_backbone(network: nn.Module, name: str) -> Backbone:
    info = getattr(network, "feature_info", None)
    if info is None or not hasattr(network, "forward_intermediates"):
        raise ModelError(f"model.backbone: {name} offers no intermediate feature maps")
    stages = [(int(stage["num_chs"]), int(stage["reduction"])) for stage in info]
    last_of_stride = {stride: index for index, (_, stride) in enumerate(stages)}
    indices = sorted(index for stride, index in last_of_stride.items() if stride >= STRIDES[0])
    prune = getattr(network, "prune_intermediate_layers", None)
    if prune is not None:
        prune(indices, prune_norm=True, prune_head=True)
    channels, strides = zip(*(stages[index] for index in indices), strict=True)
    return Backbone(_TimmBody(network, indices), list(channels), list(strides))


class _TorchvisionViTBody(nn.Module):
    """A torchvision vision transformer whose patch tokens are laid out as a map again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        network.heads = nn.Identity()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        network = cast(Any, self.network)
        side = x.shape[-1] // network.patch_size
        tokens = network._process_input(x)
        tokens = torch.cat([network.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        patches = network.encoder(tokens)[:, 1:]
        return [patches.transpose(1, 2).unflatten(2, (side, side))]


def _torchvision_backbone(network: nn.Module, name: str, size: int) -> Backbone:
    if name.startswith("vit_"):
        transformer = cast(Any, network)
        return Backbone(_TorchvisionViTBody(network), [transformer.hidden_dim], [transformer.patch_size])
    levels = _spatial_levels(network, size if name.startswith(_FIXED_SIZE_FAMILIES) else _PROBE_SIZE)
    if not levels:
        raise ModelError(f"model.backbone: {name} has no spatial feature maps to localise on")
    strides = sorted(levels)
    body = create_feature_extractor(network.eval(), {levels[stride][0]: str(stride) for stride in strides})
    return Backbone(body.train(), [levels[stride][1] for stride in strides], strides)


def _spatial_levels(network: nn.Module, size: int) -> dict[int, tuple[str, int]]:
    """Last graph node before the classifier at each of `STRIDES`: stride -> (node name, channels)."""
    network.eval()
    names = [name for name in get_graph_node_names(network)[1] if name.split(".")[0] not in _CLASSIFIER_PARTS]
    with torch.no_grad():
        outputs = create_feature_extractor(network, names)(torch.zeros(1, 1, size, size))
    levels: dict[int, tuple[str, int]] = {}
    for name, output in outputs.items():
        if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[2] != output.shape[3]:
            continue
        stride = round(size / output.shape[2])
        if STRIDES[0] <= stride <= 1.5 * STRIDES[-1] and output.shape[1] > 1:
            levels[stride] = (name, int(output.shape[1]))
    # A network without padding (Inception) has odd strides: each counts as the nearest of 8, 16 and 32.
    nearest = {min(STRIDES, key=lambda wanted: abs(wanted - stride)): stride for stride in sorted(levels)}
    return {wanted: levels[stride] for wanted, stride in nearest.items()}
