"""Parts of recorded sentences that the extraction cannot see whole, because the program puts them together."""

from collections.abc import Mapping
from typing import Final

from pipelines.errors import Reason

WORDS: Final = (
    # What one-word placeholders of recorded sentences hold.
    "AUROC",
    "DeLong",
    "NPV",
    "PPV",
    "films",
    "flagged",
    "given",
    "image_id",
    "negative",
    "nothing",
    "patients",
    "positive",
    "sensitivities",
    "sensitivity",
    "share",
    "Spiegelhalter's z",
    "specificities",
    "specificity",
    "t interval",
    "threshold",
    "values",
    # What stands between numbers: "12 of 30", "12 and 30", "-0.2 to 0.1".
    "and",
    "of",
    "to",
    # How a film is fitted in, as model packages say it.
    "aspect-preserving area resize, centred, background 0",
    # Columns by which films are put into groups, and values that the manifest's schema knows.
    "age_years",
    "all",
    "ct",
    "dataset",
    "manufacturer",
    "microbiology",
    "radiologist",
    "reference_standard",
    "report",
    "sex",
    "site",
    "split",
    "synthetic",
    "unknown",
    "view",
)
"""Single words; sentences of two words and more are found in the code."""

_OPENINGS: Final = (
    "Non-inferiority is shown",
    "Non-inferiority is not shown",
    "Worse by more than the margin",
)
_FEW: Final = (
    "read the intervals, not the points; with so few {unit} the interval of the AUROC is itself too narrow, and so is, "
    "more so, that of the specificity at a fixed sensitivity."
)
_FEW_FILMS: Final = _FEW.replace("{unit}", "films")
_FEW_PATIENTS: Final = _FEW.replace("{unit}", "patients")

_NO_BCA: Final = (
    "percentile (BCa is undefined: the value lies outside its replicates)",
    "percentile (BCa is undefined: the acceleration is too large)",
)

REPLACED: Final[Mapping[str, tuple[str, ...]]] = {
    "Only {0} {1}: read the intervals, not the points; with so few {2}s the interval of the AUROC is itself too "
    "narrow, and so is, more so, that of the specificity at a fixed sensitivity.": tuple(
        f"Only {{0}} {those}: {rest}"
        for which in ("positive", "negative")
        for those, rest in (
            (f"{which} film", _FEW_FILMS),
            (f"{which} films", _FEW_FILMS),
            (f"patient with {{1}} {which} films", _FEW_PATIENTS),
            (f"patients with {{1}} {which} films", _FEW_PATIENTS),
        )
    ),
    "patient{0} with {1} {2} film": (),
    "{0}: {1}; {2}, bar {3}.": tuple(
        f"{opening}: {{0}}; {{1}}, bar {{2}}{chance}."
        for opening in _OPENINGS
        for chance in ("", ", one-sided p = {3}")
    ),
    "{0}, one-sided p = {1}": (),
    "{0} {1}, target {2}": ("sensitivity {0}, target {1}", "specificity {0}, target {1}"),
    "bootstrap of {0}, {1} replicates": tuple(
        f"{kind}bootstrap of {unit}, {{0}} replicates"
        for kind in ("", "BCa ", "percentile ")
        for unit in ("patients", "films")
    ),
    "{0} bootstrap of {1}, {2} replicates; {3} with one film per": (
        "bca bootstrap of patients, {0} replicates",
        "bca bootstrap of films, {0} replicates",
        "exact (Clopper–Pearson) with one film per patient where all replicates are equal",
    ),
    "percentile (BCa is undefined: the value lies outside its replicates)": (),
    "percentile (BCa is undefined: the acceleration is too large)": (),
    "{0}, widened to hold the value": tuple(
        f"{kind}{widened} bootstrap of {unit}, {{0}} replicates"
        for kind in ("BCa", "percentile", *_NO_BCA)
        for widened in ("", ", widened to hold the value")
        for unit in ("patients", "films")
        if widened or kind in _NO_BCA
    ),
    "Newcombe's interval; p-value: Pearson's chi-squared": ("Newcombe's interval", "p-value: Pearson's chi-squared"),
    "unpaired {0}; p-value: normal": ("unpaired {0}", "p-value: normal"),
    "{0} patient where all replicates are equal": (),
    "remarkable share of the filed films": (
        "remarkable share of the filed films",
        "unremarkable share of the filed films",
    ),
    "{0} films come from {1} patients": (),
    "{0}: intervals are from a bootstrap that draws whole patients.": (
        "{0} films come from {1} patients: intervals are from a bootstrap that draws whole patients.",
    ),
    "Intervals treat films as independent, as was asked, but {0}: they are too narrow.": (
        "Intervals treat films as independent, as was asked, but {0} films come from {1} patients: they are too "
        "narrow.",
    ),
    "fewer than {0} {1} ({2})": tuple(
        f"fewer than {{0}} {what} ({{1}})"
        for what in ("films", "positive films", "negative films", "flagged films", "unflagged films")
    ),
    "{0} of fewer than {1} patients ({2})": tuple(
        f"{what} of fewer than {{0}} patients ({{1}})"
        for what in ("films", "positive films", "negative films", "flagged films", "unflagged films")
    ),
    "at a prevalence of {0}": ("at a prevalence of {0}", "{0} at a prevalence of {1}"),
    "at a prevalence of {0}, anywhere from {1} to {2}": (
        "at a prevalence of {0}, anywhere from {1} to {2}",
        "{0} at a prevalence of {1}, anywhere from {2} to {3}",
    ),
    "{0}, {1}; range over the {2}": ("range over the {0}",),
    "{0} of {1}": (),
    "at {0} >= {1}, threshold chosen again in each replicate": (
        "{0} at {1} >= {2}, threshold chosen again in each replicate",
    ),
    "for sensitivities from {0} to {1}": ("{0} for sensitivities from {1} to {2}",),
    "partial AUROC {0}": ("partial AUROC",),
    "mean specificity {0}": ("mean specificity",),
    "McClish's standardised partial AUROC {0}": ("McClish's standardised partial AUROC",),
    "only one patient has a {0} film: nothing shows how patients differ": tuple(
        f"only one patient has a {which} film: nothing shows how patients differ" for which in ("positive", "negative")
    ),
    "logistic regression on a restricted cubic spline of the logit ({0}), fitted on {1} {2}; pointwise intervals": (
        "logistic regression on a restricted cubic spline of the logit ({0}), fitted on {1} values",
        "logistic regression on a restricted cubic spline of the logit ({0}), fitted on {1} cells of nearly equal "
        "scores",
        "pointwise intervals",
    ),
    "cells of nearly equal scores": (),
    "{0} film": (),
    "{0} to": (),
    "{0} and": (),
    "{0}: {1} with scores, films matched by {2}": (
        "{0}: marks with scores, films matched by {1}",
        "{0}: boxes with scores, films matched by {1}",
    ),
    "No a-posteriori threshold.": (
        "No a-posteriori threshold.",
        # What `choose_threshold` raises; the sentence of the error goes into the record.
        "No threshold on these films reaches specificity {0}: the highest score is that of {1} of {2} negative films, "
        "so at most {3} can be had.",
        "No threshold on these films is worth its false alarms: with a missed case costing {0} of them and a "
        "prevalence of {1}, flagging nobody costs least.",
    ),
    "no {0}": ("no flagged films", "no lesion films", "no lesions", "no unflagged films"),
    "threshold {0}": (),
    "exact: M/G/1, Poisson arrivals": (
        "exact: M/G/1, Poisson arrivals",
        "non-preemptive priorities",
        "preemptive-resume priorities",
    ),
    "{0} priorities": (),
    "infinite: {0}; its lower bound is {1}": ("infinite: {0}", "its lower bound is {0}"),
    "{0}, so: {1}": (
        "all bootstrap replicates are equal, so: {0}",
        "nearly all bootstrap replicates are equal: both bounds would be the value, so: {0}",
    ),
    "{0} with one film counted for each of {1} patients": (
        "exact (Clopper–Pearson) with one film counted for each of {0} patients",
    ),
}
"""What stands in the catalogues instead of a template that says too little to be translated by itself."""

NOT_RECORDED: Final = frozenset(
    {
        "Value error",
        "for {0} on {1}",
        "it is empty",
        "it is compressed: give it a name that ends in .csv.gz",
        "it is not compressed, though its name ends in .gz",
        "it is a Parquet file: give it a name that ends in .parquet",
        "no data set",
        "on these films",
        "sensitivity=0.9, specificity=0.7, cost=10, cost=10@0.05 (at that prevalence) or rule_out=0.99",
        "{0}, … ({1} in all)",
    }
)
"""Texts of the same modules that go into errors alone."""


EARLIER: Final = (
    "{0} remarkable films are too few to show {1}: even with none missed, up to {2} % may be missed ({3} exact bound)",
    "From each outcome, the films at one quarter and at three quarters of that outcome's scores, among the films with "
    "a saved heat map: neither the best nor the worst, and not chosen by eye.",
    "No film evaluated for this finding has a saved heat map.",
    "These predictions were made without saving heat maps.",
)
"""What evaluations of earlier versions say and the code no longer does; their files are still read."""


def reasons() -> tuple[str, ...]:
    """Codes of films that could not be used, as sentences write them."""
    return tuple(sorted(reason.value.replace("_", " ") for reason in Reason))
