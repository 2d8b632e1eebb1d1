"""What the model may have met of the films evaluated: the manifest's guard, asked of one evaluation."""

from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from pipelines.errors import ManifestError
from pipelines.evaluation.background import Leakage, ModelFacts, Overlap
from pipelines.evaluation.joining import column
from pipelines.imaging.intended_use import IntendedUse
from pipelines.manifest import manifest_digest, met_in_splits, patient_keys
from pipelines.manifest.copies import met_before, read_prints, write_pairs
from pipelines.manifest.schema import COLUMNS
from pipelines.statistics.arrays import Bools

LEARNED_FROM: Final = ("train", "val")
NO_SUCH_FILMS: Final = "the manifest has no training or validation films of another split than the films evaluated"
NOTHING_EVALUATED: Final = "no film was evaluated"


def leakage_of(
    films: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    model: ModelFacts | None,
    same_manifest: bool | None,
    copies: int | None = None,
) -> Leakage:
    """Compare the films evaluated with the manifest's training and validation films.

    Args:
        films: those evaluated, rows of the manifest.
        manifest: all its rows, canonical; columns beyond the schema are not looked at.
        model: what is known of the model that made the predictions.
        same_manifest: whether they were made from this manifest.
        copies: films evaluated that `refuse_overlap` found and was told to allow; None: it was not asked.
    """
    frame = manifest.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    split = column(frame, "split").astype(object).fillna("").to_numpy()
    evaluated = frame["image_id"].isin(films["image_id"]).to_numpy()
    against = _against(split, evaluated)
    met = met_in_splits(frame, evaluated, LEARNED_FROM)
    patient, file, picture = (frame[name].notna().to_numpy() for name in ("patient_id", "sha256", "pixel_hash"))
    patients = patient_keys(frame[met.patient]).unique()

    def overlap(known: Bools, shared: Bools) -> Overlap:
        return Overlap(
            known=int((evaluated & known).sum()),
            known_against=int((against & known).sum()),
            shared=int(shared.sum()),
        )

    return Leakage(
        films=int(evaluated.sum()),
        in_train=int((evaluated & (split == "train")).sum()),
        in_val=int((evaluated & (split == "val")).sum()),
        against=int(against.sum()),
        why_not=None if against.any() else (NO_SUCH_FILMS if evaluated.any() else NOTHING_EVALUATED),
        patients=overlap(patient, met.patient),
        shared_patients=len(patients),
        files=overlap(file, met.file),
        pictures=overlap(picture, met.picture),
        look_alikes=overlap(picture, met.look_alike),
        same_manifest=same_manifest,
        copies=copies,
        overlap_allowed=bool(copies),
        training_films=_training_films(frame, model),
    )


def _against(split: "np.ndarray[tuple[int], np.dtype[np.object_]]", evaluated: Bools) -> Bools:
    """Training and validation films of another split than some film evaluated."""
    chosen = np.zeros(len(split), dtype=bool)
    for name in LEARNED_FROM:
        if (evaluated & (split != name)).any():
            chosen |= split == name
    return chosen


def _training_films(frame: pd.DataFrame, model: ModelFacts | None) -> Literal["the same", "others", "not said"]:
    """Whether the manifest's training split is what the model was trained on, by its digest."""
    cohort = model.training.train if model is not None else None
    if model is None or cohort is None or cohort.manifest_digest is None:
        return "not said"
    rows = frame[(frame["split"] == "train").to_numpy(dtype=bool, na_value=False)]
    if len(rows) != cohort.films:  # training leaves out what the intended use does not cover
        rows = rows[_within_use(rows, model)]
    # A digest costs a while on a large manifest: only where the number of films could be theirs.
    same = len(rows) == cohort.films and manifest_digest(rows, canonical=True) == cohort.manifest_digest
    return "the same" if same else "others"


def _within_use(rows: pd.DataFrame, model: ModelFacts) -> Bools:
    use = IntendedUse(model.min_age_years, model.max_age_years)
    views = [None if pd.isna(view) else str(view) for view in rows["view"]]
    ages = [None if pd.isna(age) else float(age) for age in rows["age_years"]]
    covered = [use.covers(view=view, age_years=age) for view, age in zip(views, ages, strict=True)]
    return np.array(covered, dtype=bool)


def refuse_overlap(
    manifest: pd.DataFrame,
    films: Collection[str],
    *,
    root: Path,
    prints: Path | None,
    listing: Path,
    allow: bool,
) -> int:
    """Stop where films to be tested are what the model learned from: the same picture, also changed, or patient.

    Films of the manifest's own training and validation splits are not asked about: who evaluates those knows it.

    Args:
        manifest: canonical.
        films: image ids to be evaluated.
        root: where the manifest's films may be; those that are there are compared by their pixels.
        prints: the training films of the model's package; None where there is none.
        listing: CSV to write the pairs to where there are any.
        allow: go on nevertheless.

    Returns:
        How many films were found.

    Raises:
        ManifestError: there are such films and they are not allowed.
    """
    asked = (manifest["image_id"].isin(set(films)) & ~manifest["split"].isin(LEARNED_FROM)).to_numpy()
    paths = [root / path for path in manifest["path"]]
    known = read_prints(prints) if prints is not None else None
    pairs = met_before(manifest, asked, known, lambda row: paths[row] if paths[row].is_file() else None)
    count = int(pairs["image_b"].nunique())
    if count:
        write_pairs(pairs, listing)
        if not allow:
            raise ManifestError(
                f"{count:,} of {int(asked.sum()):,} films to be tested are films or patients that the model learned "
                f"from (first: {pairs['image_b'].iloc[0]}, {pairs['kind'].iloc[0]} as {pairs['image_a'].iloc[0]}); "
                f"all are listed in {listing}. Take them out of the manifest, or go on with --allow-overlap, which "
                "the evaluation records"
            )
    return count
