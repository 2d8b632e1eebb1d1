"""Synthetic frontal chest films as DICOM files, with exact labels and boxes, from a seed.

Each film is a sum of line integrals through simple solids (thorax, lungs, heart, bones, vessels, lesions), then an
exponential detector with scatter and quantum noise, and a vendor's processing. They train and test the machinery; they
say nothing about how a model does on people.
"""

from pipelines.phantom.cohort import BOX_COLUMNS, LABEL_COLUMNS, generate_phantoms

__all__ = ["BOX_COLUMNS", "LABEL_COLUMNS", "generate_phantoms"]
