"""Films of different sources made alike: each step is a switch, all off unless a model was trained with them."""

from pipelines.imaging.harmonise.films import Harmonised, harmonise
from pipelines.imaging.harmonise.intensity import film_landmarks, mean_landmarks
from pipelines.imaging.harmonise.settings import Harmonisation

__all__ = ["Harmonisation", "Harmonised", "film_landmarks", "harmonise", "mean_landmarks"]
