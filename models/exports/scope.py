"""Which layers stay in floating point when the others are quantised to int8."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scope:
    """One choice of layers, in words for the record and as rules."""

    name: str
    first: bool = True
    """Leave out the first convolution: what it loses is lost to all."""
    depthwise: bool = True
    """Leave out depthwise convolutions: one filter for each channel, and the channels' ranges differ widely."""
    head: bool = True
    """Leave out neck and heads: what they compute is the score."""
    least_reduction: int = 1
    """Leave out convolutions whose input has been made smaller less than this many times."""

    def leaves_out(self, *, first: bool, depthwise: bool, head: bool, reduction: float) -> bool:
        """Say whether a convolution stays in floating point; a reduction of 0 is one that is not known."""
        if (first and self.first) or (depthwise and self.depthwise) or (head and self.head):
            return True
        return reduction < self.least_reduction


SCOPES: Final = (
    Scope("all layers in int8", first=False, depthwise=False, head=False, least_reduction=0),
    Scope("all but the first convolution, neck and heads", depthwise=False),
    Scope("all but the first convolution, depthwise ones, neck and heads"),
    Scope("layers of stride 16 and more, without depthwise ones, neck and heads", least_reduction=16),
    Scope("layers of stride 32, without depthwise ones, neck and heads", least_reduction=32),
)
"""Tried in this order: from the fastest to the most careful."""
