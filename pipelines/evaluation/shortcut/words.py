"""What each control says of films, with no system beside it."""

from typing import Final, Literal

from pipelines.imaging.control_features import ControlKind

Alone = Literal["unknown", "strong", "some", "none", "reversed"]
"""What a control says of films, with no system beside it."""

ALONE: Final[dict[ControlKind, dict[Alone, str]]] = {
    "shape_free": {
        "unknown": "There are too few films to say anything.",
        "strong": (
            "Picture statistics that see no anatomy nearly solve this task: a high AUROC on these films proves nothing."
        ),
        "some": "Picture statistics that see no anatomy tell part of the finding: set them beside every AUROC here.",
        "none": "Picture statistics that see no anatomy are not shown to be better than chance here.",
        "reversed": "What picture statistics learned on the training films is the wrong way round on these films.",
    },
    "border": {
        "unknown": "There are too few films to say anything.",
        "strong": "The film's border alone nearly solves this task: a high AUROC on these films proves nothing.",
        "some": "The film's border alone tells part of the finding: set it beside every AUROC here.",
        "none": "The film's border alone is not shown to be better than chance here.",
        "reversed": "What the border told on the training films is the wrong way round on these films.",
    },
    "lungs_hidden": {
        "unknown": "There are too few films to say anything.",
        "strong": (
            "With the lungs covered this task is still nearly solved: a high AUROC on these films proves nothing."
        ),
        "some": "With the lungs covered part of the finding can still be told: set this beside every AUROC here.",
        "none": "With the lungs covered nothing is shown to be better than chance here.",
        "reversed": ("What lay around the lungs on the training films says the reverse of the finding on these films."),
    },
}
