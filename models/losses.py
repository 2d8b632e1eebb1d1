"""Losses that read null as *not known*."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class MaskedSum(NamedTuple):
    """A loss summed over what is known, and how much that was: divide after summing over all processes."""

    total: Tensor
    """``[F]`` summed loss per finding."""
    known: Tensor
    """``[F]`` number (or weight) of known targets per finding."""


def masked_bce(logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None) -> MaskedSum:
    """Binary cross-entropy over known labels.

    Args:
        logits: ``[N, F]``.
        labels: ``[N, F]`` with 1, 0, or NaN where not known. A NaN gives neither loss nor gradient.
        pos_weight: ``[F]`` weight of positives against negatives, or None for equal weight.
    """
    known = ~labels.isnan()
    # Replaced before the loss, not multiplied away after it: 0 * NaN is NaN in the gradient.
    targets = labels.nan_to_num(0.0)
    loss = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none", pos_weight=pos_weight)
    return MaskedSum(loss.where(known, torch.zeros_like(loss)).sum(dim=0), known.sum(dim=0).to(loss.dtype))


def masked_map_loss(cells: Tensor, regions: Tensor, *, gamma: float = 2.0) -> MaskedSum:
    """Focal loss of map cells against drawn boxes, where boxes are known.

    Normalised by the number of positive cells (plus one per film), as for any detector whose background outnumbers
    its objects (Lin et al. 2017); ``known`` carries that normaliser.

    Args:
        cells: ``[N, F, h, w]`` cell logits.
        regions: ``[N, F, h, w]`` share of each cell inside a box, in [0, 1]; NaN in the whole map where no box was
            drawn for a positive film, or the label is not known.
        gamma: focusing exponent; 0 is plain cross-entropy.
    """
    known = ~regions.isnan()
    targets = regions.nan_to_num(0.0)
    logits = cells.float()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    distance = (targets - logits.sigmoid()).abs()
    loss = (distance.pow(gamma) * cross_entropy).where(known, torch.zeros_like(logits))
    films = known.flatten(2).any(dim=2).sum(dim=0)
    return MaskedSum(loss.sum(dim=(0, 2, 3)), targets.sum(dim=(0, 2, 3)) + films)
