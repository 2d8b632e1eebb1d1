"""Every word of the worklist page, those its script shows too: one dictionary per language."""

from collections.abc import Mapping
from typing import Final

from pipelines.errors import CxrError

NO_VALUE: Final = "–"
"""Stands for a value that is not known."""

_ENGLISH: Final[Mapping[str, str | tuple[str, str]]] = {
    "decimal_point": ".",
    "thousands_separator": ",",
    # The head of the page.
    "title": "Worklist",
    "badge": "Research only; not a diagnosis",
    "notice": "Research software, not a medical device: not for diagnosis, and not for deciding who is seen first.",
    "order_not_probability": "The triage score, 0 to 100, is an order, not a probability: it says which film comes "
    "before which, not how likely a disease is.",
    "skip": "To the films",
    "run_line": "Model {model} ({model_id}) · {films} · run of {day}",
    "not_scored_banner": ("{n} film needs a person: not scored", "{n} films need a person: not scored"),
    "not_scored_none": "Every film has a score.",
    "show_them": "Show",
    "films": ("{n} film", "{n} films"),
    "summary": "Summary",
    "not_scored": "Not scored",
    "about": "About this run",
    "model": "Model",
    "made": "Run finished",
    "read": "Films",
    "counts_text": "{films} given: {ok} read, {rejected} refused, {error} unreadable",
    "thresholds": "Thresholds",
    "threshold_text": "{finding}: flagged from {threshold} on; locked on {cohort} ({n} films, {positive} positive; "
    "{rule}).",
    "rule_out_text": "{finding}: likely normal below {threshold}; locked on {cohort} ({n} films, {positive} positive).",
    "no_threshold_text": "{finding}: the model has no threshold, so no film is flagged.",
    "rule": "Triage rule",
    "software": "Software",
    "table_file": "Every number with every digit",
    "no_pictures": "There are no pictures: they were not asked for when the run was made (--heatmaps).",
    "cut": "This page holds the first {shown} of {films} films in worklist order; the rest is in predictions.csv.",
    "noscript": "This page sorts, filters and shows pictures with JavaScript, which is off here. Every film is in",
    "noscript_films": "Without it, here are the first {n} of {films}.",
    "footer": "Research only; not a diagnosis. Made by cxr-triage from saved predictions; this page needs no network.",
    "damaged": "The list of films in this page is damaged, and it cannot be shown. Every film is in predictions.csv.",
    # Classes, statuses, reasons.
    "class_urgent": "Urgent",
    "class_routine": "Routine",
    "class_likely_normal": "Likely normal",
    "class_none": "No class",
    "status_ok": "Read",
    "status_rejected": "Refused",
    "status_error": "Unreadable",
    "reason_missing": "The file is not there",
    "reason_unreadable_file": "The operating system refused to read the file",
    "reason_not_an_image": "Neither DICOM nor a picture",
    "reason_no_pixel_data": "DICOM without an image",
    "reason_unsupported_syntax": "Stored in a way no decoder here reads",
    "reason_unsupported_image": "Not one greyscale film",
    "reason_several_frames": "More than one frame",
    "reason_wrong_modality": "Not a projection radiograph",
    "reason_wrong_body_part": "Not the chest, says its header",
    "reason_lateral": "A lateral view",
    "reason_age_outside_use": "The patient's age is outside the model's use",
    "reason_truncated": "The file ends too early",
    "reason_corrupt": "The file is damaged",
    "reason_too_small": "Too small for a film",
    "reason_too_large": "Too large for a film",
    "reason_blank": "Blank: nothing was imaged",
    "reason_no_contrast": "Almost no contrast",
    "reason_atypical": "Unlike the films the model was trained on",
    "reason_timed_out": "Reading it took too long",
    "reason_decoder_crashed": "Its decoder crashed",
    "reason_changed": "The file changed while it was read",
    "reason_none": "No score, no reason given",
    # What the picture says of itself.
    "remark_inverted": "was a negative, turned",
    "remark_rotated": "lies on its side or head: turn by {degrees}°",
    "remark_cropped": "a lung is cut off",
    "remark_low_contrast": "low contrast",
    "remark_colour": "stored in colour",
    "remark_duplicate": "same picture as {film}",
    "remark_not_judged": "not judged",
    "remark_none": "none",
    # The filters.
    "filters": "Filters",
    "find": "Film id contains",
    "class": "Class",
    "status": "Status",
    "finding": "Finding",
    "reason": "Reason",
    "any": "any",
    "flagged": "{finding}: flagged",
    "none_flagged": "scored, none flagged",
    "clear": "Clear filters",
    "print": "Print",
    "print_hint": "Prints the ticked films or, with none ticked, all films that the filters leave.",
    "print_films": ("{n} film", "{n} films"),
    "untick": "Untick all",
    "ticked": ("{n} ticked", "{n} ticked"),
    "showing": "{n} of {films} films",
    "nothing": "No film passes these filters.",
    # The table.
    "list": "Films in worklist order",
    "scored_group": ("Scored: {n} film", "Scored: {n} films"),
    "not_scored_group": ("Not scored: {n} film needs a person", "Not scored: {n} films need a person"),
    "column_tick": "Tick",
    "column_rank": "Place",
    "column_picture": "Picture",
    "column_id": "Film",
    "column_class": "Class",
    "column_score": "Triage score",
    "column_remarks": "Quality remarks",
    "column_status": "Status and reason",
    "sort_by": "Sort by {column}",
    "tick_film": "Tick {film}",
    "flag": "flagged",
    "no_flag": "not flagged",
    "no_threshold": "no threshold",
    "threshold_at": "threshold {threshold}",
    "picture_of": "Film {film}",
    "map_of": "Film {film} with the map of {finding}",
    "no_picture": "No picture",
    # One film.
    "close": "Close",
    "previous": "Previous film",
    "next": "Next film",
    "place_of": "{place} of {films} in this list",
    "show": "Show",
    "film_alone": "Film alone",
    "map_for": "Map: {finding}",
    "opacity": "Strength of the map",
    "map_key": "Bright colours: where the network sees most of it. The ring marks the peak of a flagged finding.",
    "keys": "Keys: ← → previous and next film, M film or map, Escape closes.",
    "probability": "Probability p",
    "threshold": "Threshold",
    "rule_out": "Rule-out threshold",
    "peak": "Map peak x, y",
    "peak_unit": "in stored pixels",
    "control": "Control without anatomy",
    "atypicality": "Distance from training films (limit 1)",
    "text_area": "Covered by letters or boxes",
    "border": "Covered by borders",
    "path": "File",
    "input_place": "Place in the input",
    "detail": "Detail",
    "picture_failed": "The picture file is not beside this page.",
}

LANGUAGES: Final[Mapping[str, Mapping[str, str | tuple[str, str]]]] = {"en": _ENGLISH}
"""By language code: text by key; two texts where a count decides, for one and for any other number."""

FINDING_SHORT: Final[Mapping[str, Mapping[str, str]]] = {"en": {"tb": "Tuberculosis", "nodule": "Nodule or mass"}}
"""By language code: what a column of a finding is called."""


class Words:
    """The words of one language, filled in with numbers as that language writes them."""

    def __init__(self, language: str) -> None:
        """Choose a language.

        Raises:
            CxrError: the page has not been translated into it.
        """
        if language not in LANGUAGES:
            raise CxrError(f"language is {language!r}, expected one of: {', '.join(LANGUAGES)}")
        self.language = language
        self.texts = LANGUAGES[language]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key; whole numbers among the values are grouped, and ``n`` chooses between two texts."""
        text = self.texts[key]
        if not isinstance(text, str):
            text = text[0 if values["n"] == 1 else 1]
        shown = {name: self.whole(value) if isinstance(value, int) else value for name, value in values.items()}
        return text.format(**shown) if shown else text

    def whole(self, n: int) -> str:
        """A count with its thousands apart."""
        return f"{n:,}".replace(",", str(self.texts["thousands_separator"]))

    def decimal(self, value: float | None, digits: int) -> str:
        """A number with so many decimals; a dash where there is none."""
        if value is None:
            return NO_VALUE
        return f"{value:.{digits}f}".replace(".", str(self.texts["decimal_point"]))

    def finding(self, finding: str) -> str:
        """What a finding is called where there is little room."""
        return FINDING_SHORT[self.language].get(finding, finding)
