"""The classifier: one grey channel, maps in the same pass, every family of backbones."""

import pytest
import torch
import torchvision
from torch import nn

from models import Architecture, Classifier
from models.backbones import adapt_to_one_channel, build_backbone, freeze_finer_than
from models.errors import ModelError
from models.explain import enlarge_maps, map_peaks
from models.heads import LocalisingHead

FAMILIES = [
    ("resnet18", 8),
    ("densenet121", 8),
    ("efficientnet_b0", 8),
    ("mobilenet_v3_small", 8),
    ("squeezenet1_1", 8),
    ("regnet_y_400mf", 8),
    ("shufflenet_v2_x0_5", 8),
    ("googlenet", 8),
    ("convnext_tiny", 16),
    ("swin_t", 32),
    ("vit_b_16", 16),
    ("timm:tf_efficientnet_lite0", 8),
    ("timm:vit_tiny_patch16_224", 16),
]


@pytest.mark.parametrize(("name", "stride"), FAMILIES)
def test_every_family_gives_scores_and_maps_and_trains_every_weight(name: str, stride: int) -> None:
    network = Classifier(Architecture(backbone=name, size=224, map_stride=stride, neck_width=16))
    output = network(torch.rand(2, 1, 224, 224))
    assert output.logits.shape == (2, 2)
    side = output.maps.shape[-1]
    assert output.maps.shape[:2] == (2, 2)
    assert abs(side - 224 / stride) <= 1  # networks without padding lose a border cell
    (output.logits.sum() + output.maps.sum()).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not without, "parameters without a gradient break distributed training"


def test_one_grey_channel_computes_what_three_equal_channels_did() -> None:
    torch.manual_seed(0)
    colour = torchvision.models.resnet18(weights=None).eval()
    grey = torchvision.models.resnet18(weights=None).eval()
    grey.load_state_dict(colour.state_dict())
    adapt_to_one_channel(grey)
    film = torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(grey(film), colour(film.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_pretrained_weights_reach_the_backbone_and_misfits_are_named() -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    state["layer1.0.conv1.weight"] = torch.full_like(state["layer1.0.conv1.weight"], 0.25)
    backbone = build_backbone("resnet18", size=64, weights=state)
    loaded = backbone.state_dict()["body.layer1.0.conv1.weight"]
    assert (loaded == 0.25).all()
    del state["layer2.0.conv1.weight"]
    with pytest.raises(ModelError, match=r"layer2\.0\.conv1\.weight, expected shape .* found nothing"):
        build_backbone("resnet18", size=64, weights=state)


@pytest.mark.parametrize("pooling", ["lse", "max", "mean"])
def test_the_score_rises_with_the_cell_that_the_map_shows(pooling: str) -> None:
    torch.manual_seed(1)
    head = LocalisingHead(4, pooling)  # type: ignore[arg-type]
    score, cells = head(torch.rand(1, 4, 6, 6))
    gradient = torch.autograd.grad(score.sum(), cells)[0]
    assert (gradient >= 0).all()
    flat = gradient.flatten()
    if pooling != "mean":
        assert flat.argmax() == cells.flatten().argmax()


def test_lse_pooling_lies_between_mean_and_max_and_equals_a_constant_map() -> None:
    cells = torch.randn(3, 50)
    pooled = LocalisingHead(4, "lse")._pool(cells)
    assert (pooled >= cells.mean(dim=1)).all()
    assert (pooled <= cells.amax(dim=1)).all()
    torch.testing.assert_close(LocalisingHead(4, "lse")._pool(torch.full((1, 9), 0.7)), torch.tensor([0.7]))


def test_peaks_are_cell_centres_in_input_pixels() -> None:
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 1, 3] = 5
    maps[0, 1, 2, 0] = 5
    assert map_peaks(maps, 64).tolist() == [[[56.0, 24.0], [8.0, 40.0]]]


def test_enlarged_maps_keep_place_and_range() -> None:
    maps = torch.full((1, 1, 4, 4), -20.0)
    maps[0, 0, 1, 3] = 20
    enlarged = enlarge_maps(maps, 64)[0, 0]
    assert enlarged.shape == (64, 64)
    row, column = divmod(int(enlarged.argmax()), 64)
    assert 16 <= row < 32
    assert 48 <= column < 64
    assert 0 <= enlarged.min() <= enlarged.max() <= 1


def test_freezing_stops_at_the_stride() -> None:
    backbone = build_backbone("timm:tf_efficientnet_lite0", size=64)
    frozen = freeze_finer_than(backbone, 8, size=64)
    names = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert len(names) == frozen > 0
    assert any("conv_stem" in name for name in names)
    assert any("blocks.1." in name for name in names)
    assert not any("blocks.3." in name for name in names)
    network = nn.Sequential(backbone)
    sum(level.sum() for level in network(torch.rand(1, 1, 64, 64))).backward()
    assert all((parameter.grad is None) == (not parameter.requires_grad) for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "stride", "message"),
    [
        ("resnet19", 8, "unknown network 'resnet19'"),
        ("timm:resnet19x", 8, "timm has no network 'resnet19x'"),
        ("vit_b_16", 32, "map_stride: 32 is coarser than the backbone's last stride 16"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(name: str, stride: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Classifier(Architecture(backbone=name, size=64, map_stride=stride))
