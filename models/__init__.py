"""What is learned: backbone, localising heads, losses, calibration, and the package that carries them.

Nothing here imports `pipelines`; a model package can be read and run with this package alone.
"""

from models.calibrated import CalibratedClassifier
from models.calibration import Calibration
from models.classifier import Architecture, Classifier, ClassifierOutput
from models.package import InputContract, IntendedUse, ModelPackage, load_package, save_package
from models.typicality import Typicality, fit_typicality

__all__ = [
    "Architecture",
    "CalibratedClassifier",
    "Calibration",
    "Classifier",
    "ClassifierOutput",
    "InputContract",
    "IntendedUse",
    "ModelPackage",
    "Typicality",
    "fit_typicality",
    "load_package",
    "save_package",
]
