"""Random changes to training films, as one MONAI chain over the film and its regions."""

from math import radians

from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandCoarseDropoutd,
    RandFlipd,
    RandGaussianNoised,
    RandShiftIntensityd,
    ToTensord,
)

from pipelines.config import AugmentationSection


def build_augmentation(section: AugmentationSection, size: int) -> Compose | None:
    """Return the chain for films ``[1, size, size]`` and regions ``[F, size, size]``, or None if all is switched off.

    Geometry moves the film and its regions together (bilinear and nearest); intensity changes touch the film alone.
    """
    steps: list[MapTransform] = []
    if section.rotate_degrees or section.translate or section.zoom:
        steps.append(
            RandAffined(
                keys=["image", "regions"],
                prob=1.0,
                rotate_range=radians(section.rotate_degrees),
                translate_range=section.translate * size,
                scale_range=section.zoom,
                mode=["bilinear", "nearest"],
                padding_mode="zeros",
            )
        )
    if section.flip:
        steps.append(RandFlipd(keys=["image", "regions"], prob=section.flip, spatial_axis=1))
    if section.gamma:
        steps.append(RandAdjustContrastd("image", prob=0.7, gamma=(1 - section.gamma, 1 / (1 - section.gamma))))
    if section.brightness:
        steps.append(RandShiftIntensityd("image", prob=0.5, offsets=section.brightness))
    if section.noise:
        steps.append(RandGaussianNoised("image", prob=0.5, std=section.noise))
    if section.occlusions:
        steps.append(
            RandCoarseDropoutd(
                "image", holes=1, max_holes=section.occlusions, spatial_size=size // 12, fill_value=(0.0, 1.0), prob=0.5
            )
        )
    if not steps:
        return None
    steps.append(ToTensord(keys=["image", "regions"], track_meta=False))
    return Compose(steps)
