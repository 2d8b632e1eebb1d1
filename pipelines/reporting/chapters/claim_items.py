"""The items of the Checklist for Artificial Intelligence in Medical Imaging, update of 2024, in our own short words.

Source: Tejani, Klontzas, Gatti, Mongan, Moy, Park, Kahn: Checklist for Artificial Intelligence in Medical Imaging
(CLAIM): 2024 Update. Radiology: Artificial Intelligence 2024;6(4):e240300, doi:10.1148/ryai.240300. Numbers and order
are the checklist's; what an item asks for in full stands there.
"""

from dataclasses import dataclass
from typing import Final

from pipelines.reporting.language.language import message

DOI: Final = "10.1148/ryai.240300"


@dataclass(frozen=True)
class Item:
    """One item of the checklist."""

    number: int
    section: str
    """A message."""
    subject: str
    """A message."""


_SECTIONS: Final = (
    (message("Title"), (message("The title names the study as one of artificial intelligence, and the kind"),)),
    (message("Abstract"), (message("Summary: design, methods, results, conclusions"),)),
    (
        message("Introduction"),
        (
            message("Background, and what the system is meant for"),
            message("Aims and hypotheses"),
        ),
    ),
    (
        message("Methods: design"),
        (
            message("Prospective or retrospective"),
            message("What the study is to achieve"),
        ),
    ),
    (
        message("Methods: data"),
        (
            message("Where the data come from"),
            message("Who was included, who was excluded"),
            message("How the films were prepared for the system"),
            message("Which part of the data was used"),
            message("How the data were de-identified"),
            message("How missing data were treated"),
            message("How the films were taken"),
        ),
    ),
    (
        message("Methods: reference standard"),
        (
            message("How the reference standard was obtained"),
            message("Why this reference standard"),
            message("Who made the labels"),
            message("How the test films were labelled"),
            message("How far readers agreed with each other and with themselves"),
        ),
    ),
    (
        message("Methods: partitions"),
        (
            message("How films were assigned to training, validation and test"),
            message("At which level the partitions share nothing"),
        ),
    ),
    (message("Methods: test data"), (message("Sample size that was aimed at"),)),
    (
        message("Methods: model"),
        (
            message("The model in detail"),
            message("Software and its versions"),
            message("What the weights started from"),
        ),
    ),
    (
        message("Methods: training"),
        (
            message("How the model was trained"),
            message("How the final model was chosen"),
            message("Whether several models vote"),
        ),
    ),
    (
        message("Methods: evaluation"),
        (
            message("Measures of performance"),
            message("Measures of uncertainty"),
            message("Robustness and sensitivity analyses"),
            message("Ways of explaining what the model does"),
            message("Evaluation on data of the same origin as the training data"),
            message("Test on data of another origin"),
            message("Registration as a clinical trial"),
        ),
    ),
    (
        message("Results: data"),
        (
            message("Numbers included and excluded"),
            message("Patients and films of each partition"),
        ),
    ),
    (
        message("Results: performance"),
        (
            message("Performance with its uncertainty"),
            message("Diagnostic accuracy with its precision"),
            message("Which cases went wrong, and why"),
        ),
    ),
    (
        message("Discussion"),
        (
            message("Limitations"),
            message("What it means for practice"),
        ),
    ),
    (
        message("Other information"),
        (
            message("Protocol or further technical details"),
            message("Whether software, model and data can be had"),
            message("Funding, and the part funders had"),
        ),
    ),
)

ITEMS: Final = tuple(
    Item(number, section, subject)
    for number, (section, subject) in enumerate(
        ((section, subject) for section, subjects in _SECTIONS for subject in subjects), 1
    )
)
"""All 44, in order."""
