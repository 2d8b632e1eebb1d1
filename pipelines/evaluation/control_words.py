"""What is said of each shortcut control: its name, what it sees, and what it means for a system."""

from typing import Final, Literal

from pipelines.imaging.control_features import ControlKind

Grade = Literal["no_auroc", "uninformative", "clear", "strong", "near", "unproven", "hardly"]
"""What a control means for a system: the last four are a warning."""

NAMES: Final[dict[ControlKind, str]] = {
    "shape_free": "shape-free",
    "border": "border-only",
    "lungs_hidden": "lungs-hidden",
}

DESCRIPTIONS: Final[dict[ControlKind, str]] = {
    "shape_free": (
        "16×16 thumbnail and five intensity statistics (mean, standard deviation, minimum, maximum, median) in a "
        "logistic regression fitted on the training films: it sees no anatomy"
    ),
    "border": (
        "brightness, letters and white boxes in the outer 8 % of the film, its uniform borders and its shape, in a "
        "logistic regression fitted on the training films: it sees nothing of the lungs"
    ),
    "lungs_hidden": (
        "16×16 thumbnail with one fixed cover over the lung fields, the same on every film, in a logistic regression "
        "fitted on the training films: it sees what lies around the lungs"
    ),
}

_NO_AUROC: Final = "There is no AUROC to compare with."

VERDICTS: Final[dict[ControlKind, dict[Grade, str]]] = {
    "shape_free": {
        "no_auroc": _NO_AUROC,
        "uninformative": _NO_AUROC,
        "clear": "The system is clearly better than picture statistics that see no anatomy.",
        "strong": (
            "Picture statistics that see no anatomy nearly solve this task by themselves: a high AUROC here may come "
            "from the pictures' source, not from disease."
        ),
        "near": (
            "Picture statistics that see no anatomy come near the system: a high AUROC here may come from the "
            "pictures' source, not from disease."
        ),
        "unproven": "The system is not shown to be better than picture statistics that see no anatomy.",
        "hardly": "The system is hardly better than picture statistics that see no anatomy.",
    },
    "border": {
        "no_auroc": _NO_AUROC,
        "uninformative": "The film's border alone is not shown to tell anything about the finding.",
        "clear": "The system is clearly better than the film's border alone.",
        "strong": (
            "The film's border alone nearly solves this task: a high AUROC here may come from the pictures' source, "
            "not from disease."
        ),
        "near": (
            "The film's border alone comes near the system: a high AUROC here may come from the pictures' source, not "
            "from disease."
        ),
        "unproven": "The system is not shown to be better than the film's border alone.",
        "hardly": "The system is hardly better than the film's border alone.",
    },
    "lungs_hidden": {
        "no_auroc": _NO_AUROC,
        "uninformative": "What lies around the lungs is not shown to tell anything about the finding.",
        "clear": "The system is clearly better than a film with its lungs covered.",
        "strong": (
            "With the lungs covered this task is still nearly solved: a high AUROC here may come from the pictures' "
            "source, not from the lungs."
        ),
        "near": (
            "With the lungs covered a program comes near the system: a high AUROC here may come from the pictures' "
            "source, not from the lungs."
        ),
        "unproven": "The system is not shown to be better than a film with its lungs covered.",
        "hardly": "The system is hardly better than a film with its lungs covered.",
    },
}
