"""What is done to films of different sources to make them alike: plain values that travel in a model package."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from pipelines.errors import PackageError
from pipelines.imaging.harmonise.intensity import PERCENTILES

Landmarks = tuple[float, ...]
_CHOICES: Final = {
    "border": ("none", "mask", "crop"),
    "lung_field": ("none", "crop", "mask"),
    "intensity": ("none", "film", "site"),
    "colour": ("luma", "remove"),
}
_MARKS_SIDE: Final = 512
"""Borders and letters are looked for on films of at least this many pixels along the longer side."""
LEAST_RESOLUTION: Final = 64
MOST_MARGIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Harmonisation:
    """What is done to each film before it is fitted into the network's square; the defaults do nothing.

    Raises:
        PackageError: a value that is not among the choices.
    """

    border: Literal["none", "mask", "crop"] = "none"
    """Uniform borders: painted with background, or cut off; with either, letters and redaction boxes are filled in."""
    lung_field: Literal["none", "crop", "mask"] = "none"
    """The box around both lungs: the film is cut to it, or what lies outside is painted with background."""
    lung_margin: float = 0.1
    """Added to each side of that box, as a share of its width and height."""
    intensity: Literal["none", "film", "site"] = "none"
    """Percentiles mapped to a standard scale: each film's own, or those of its site."""
    colour: Literal["luma", "remove"] = "luma"
    """Colour becomes luma; or the channels of a tinted film are first brought to one range."""
    resolution: int | None = None
    """Pixels along the longer side to which films are averaged first; None leaves their sharpness alone."""
    sites: Mapping[str, Landmarks] = field(default_factory=dict)
    """For ``intensity: site``: each known site's percentiles."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise PackageError(
                    f"harmonisation.{name}: found {getattr(self, name)!r}, expected {', '.join(choices)}"
                )
        if not _number(self.lung_margin) or not 0 <= self.lung_margin <= MOST_MARGIN:
            raise PackageError(f"harmonisation.lung_margin: found {self.lung_margin!r}, expected 0 to {MOST_MARGIN:g}")
        side = self.resolution
        if side is not None and (not isinstance(side, int) or side < LEAST_RESOLUTION):
            raise PackageError(f"harmonisation.resolution: found {side!r}, expected at least {LEAST_RESOLUTION} pixels")
        for site, landmarks in self.sites.items():
            if len(landmarks) != len(PERCENTILES) or not all(_number(value) and 0 <= value <= 1 for value in landmarks):
                raise PackageError(f"harmonisation.sites: {site!r} has no {len(PERCENTILES)} landmarks within [0, 1]")

    @property
    def changes_nothing(self) -> bool:
        """Whether every switch is off."""
        off = Harmonisation()
        return all(getattr(self, name) == getattr(off, name) for name in (*_CHOICES, "resolution"))

    def read_side(self, size: int) -> int:
        """Pixels along the longer side to read a film at for a network of `size`: crops and letters need more.

        With a common resolution it is a multiple of that, so that averages of averages are those of the whole.
        """
        least = _MARKS_SIDE if self.border != "none" else 1
        if self.resolution is not None:
            return self.resolution * math.ceil(least / self.resolution)
        crops = "crop" in (self.border, self.lung_field)
        return max(2 * size if crops else size, least)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**values, "sites": {site: list(landmarks) for site, landmarks in sorted(self.sites.items())}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Harmonisation":
        """Read what `to_json` wrote.

        Raises:
            PackageError: settings that this version does not know, or values that it cannot use.
        """
        unknown = sorted(set(values) - {item.name for item in fields(cls)})
        if unknown:
            raise PackageError(f"harmonisation.{unknown[0]}: this version does not know it; use a newer one")
        try:
            sites = {str(site): tuple(landmarks) for site, landmarks in dict(values.get("sites", {})).items()}
        except (TypeError, ValueError):
            raise PackageError("harmonisation.sites: expected landmarks of each site") from None
        return cls(**{**values, "sites": sites})

    def lines(self) -> list[str]:
        """Say what is done, one sentence for each switch that is on."""
        known = f" (known: {', '.join(sorted(self.sites))})" if self.sites else ""
        said = {
            ("border", "mask"): "Uniform borders are painted black; letters and redaction boxes are filled in.",
            ("border", "crop"): "Uniform borders are cut off; letters and redaction boxes are filled in.",
            ("lung_field", "crop"): "The film is cut to the box around both lungs; where it is not found with "
            "confidence, the whole film is shown.",
            ("lung_field", "mask"): "What lies outside the box around both lungs is painted black; where it is not "
            "found with confidence, the whole film is shown.",
            ("intensity", "film"): "Each film's percentiles are mapped to one standard scale.",
            ("intensity", "site"): f"The mean percentiles of the film's site{known} are mapped to one standard scale; "
            "a film of another site is mapped by its own.",
            ("colour", "remove"): "The channels of a tinted film are brought to one range before they become grey.",
        }
        chosen = [said[name, value] for name in _CHOICES if (name, value := getattr(self, name)) in said]
        if self.resolution is not None:
            chosen.append(f"Films are first averaged to {self.resolution} pixels along the longer side.")
        return chosen


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
