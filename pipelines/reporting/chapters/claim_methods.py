"""Items 1 to 27 of the checklist: what the record says of the design, the data and the model."""

from collections.abc import Mapping
from typing import Final

from pipelines.reporting.book import Study
from pipelines.reporting.chapters.claim_answer import Answer, Evidence, known, link, names, part, said, versions
from pipelines.reporting.printing import Words


def _kind(study: Study, words: Words) -> Answer | None:
    model = known(study.evaluation.model)
    if model is None:
        return None
    return part(words("A neural network, {architecture}.", architecture=words.foreign(model.architecture)))


def _meant_for(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    if model is None or model.views is None:
        return None
    return part(
        words(
            "The model is meant for films of the views {views}; see {card}.",
            views=names(words, model.views),
            card=link(words, "provenance", words("the model card")),
        )
    )


def _hypothesis(study: Study, words: Words) -> Answer | None:
    tests = [each.result.operating_point.non_inferiority for each in study.tested if each.result.operating_point]
    asked = [test for test in tests if test is not None]
    return part(words("Tested: {question}", question=words.recorded(asked[0].question))) if asked else None


def _sources(study: Study, words: Words) -> Answer | None:
    sets = study.evaluation.data_sets
    if not sets:
        found = said(study.evaluation.cohort.datasets)
        return part(words("Data sets: {names}.", names=names(words, found))) if found else None
    text = words(
        "Data sets: {names}; see {chapter}.",
        names=words.language.listing([words.foreign(each.title or each.name, 120) for each in sets]),
        chapter=link(words, "trust", words("their terms and how to cite them")),
    )
    return Answer(text, whole=all(each.citation for each in sets))


def _included(study: Study, words: Words) -> Answer | None:
    films = study.evaluation.films
    return part(
        words(
            "Received: {received}; with a score and asked for: {analysed}; every reason is in {flow}. How people came "
            "to be X-rayed is not in the record.",
            received=words.films(films, "in_predictions"),
            analysed=words.films(films, "joined"),
            flow=link(words, "flow", words("the flow of films")),
        )
    )


def _prepared(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    if model is None or model.input_size is None:
        return None
    side = words.count(model, "input_size")
    if model.placement is None or model.intensity_range is None:
        return part(words("The network is fed squares of {side} pixels a side.", side=side))
    return Answer(
        words(
            "The network is fed squares of {side} pixels a side with values from {low} to {high}, dense tissue bright; "
            "placement: {placement}.",
            side=side,
            low=words.value(model, "intensity_range", 0, form="significant", digits=3),
            high=words.value(model, "intensity_range", 1, form="significant", digits=3),
            placement=words.recorded(model.placement),
        )
    )


def _chosen(study: Study, words: Words) -> Answer | None:
    split = study.evaluation.split
    if split is None:
        return part(words("Every film of the manifest was asked for."))
    return part(words("Only films of the split {split} were asked for.", split=words.foreign(split, 40)))


def _missing(study: Study, words: Words) -> Answer | None:
    if not study.tested:
        return None
    text = words("Films whose label is not known count for nothing: never as without the finding.")
    if any(each.result.operating_point for each in study.tested):
        text += " " + words("Films without a score are counted apart, and as referred in the intention-to-read rates.")
    return Answer(text)


def _taken(study: Study, words: Words) -> Answer | None:
    cohort = study.evaluation.cohort
    makers, views = said(cohort.manufacturers), said(cohort.views)
    if makers and views:
        return part(
            words("Views: {views}; makers: {makers}.", views=names(words, views), makers=names(words, makers[:10]))
        )
    return part(words("Views: {views}.", views=names(words, views))) if views else None


def _reference(study: Study, words: Words) -> Answer | None:
    sets = study.evaluation.data_sets or ()
    labels = [words.recorded(each.labels) for each in sets if each.labels]
    kinds = said(study.evaluation.cohort.reference_standards)
    if labels:
        whole = len(labels) == len(sets) and not study.evaluation.cohort.reference_standards.get("unknown")
        return Answer(words("Labels: {how}.", how=words.language.listing(labels)), whole=whole)
    return part(words("Reference standard: {kinds}.", kinds=names(words, kinds))) if kinds else None


def _labellers(study: Study, words: Words) -> Answer | None:
    sets = [each for each in study.evaluation.data_sets or () if each.labels]
    if not sets:
        return None
    return part(words("As the data sets say; the training of the readers is not in the record."))


def _test_labels(study: Study, words: Words) -> Answer | None:
    sources = dict.fromkeys(each.result.reference for each in study.tested)
    if not sources:
        return None
    return part(words("Taken from: {sources}.", sources=words.language.listing([words.recorded(s) for s in sources])))


def _assigned(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    train, val = (model.training.train, model.training.val) if model is not None else (None, None)
    if train is None or val is None:
        return None
    text = words(
        "Training: {train}; validation: {val}; test: {test}. The rule of the split is not in the record.",
        train=words.films(train, "films"),
        val=words.films(val, "films"),
        test=words.films(study.evaluation.films, "joined"),
    )
    return part(text)


def _disjoint(study: Study, words: Words) -> Answer | None:
    leakage = study.evaluation.leakage
    if leakage is None or leakage.why_not is not None or not leakage.patients.known:
        return None
    patients = leakage.patients
    text = words(
        "Patients: {shared} of {known} films with a known patient are of a patient who has training or validation "
        "films in this manifest too ({against} with a known patient).",
        known=words.count(patients, "known"),
        shared=words.count(patients, "shared"),
        against=words.films(patients, "known_against"),
    )
    everyone = patients.known == leakage.films and patients.known_against == leakage.against
    if leakage.training_films != "the same":
        text += " " + words("The record does not show that the model was trained on exactly these training films.")
    return Answer(text, whole=everyone and leakage.training_films == "the same")


def _model(study: Study, words: Words) -> Answer | None:
    model = known(study.evaluation.model)
    if model is None:
        return None
    whole = None not in (model.input_size, model.pooling, model.map_stride, model.channels)
    text = words("{architecture}; see {card}.", architecture=words.foreign(model.architecture), card=_card(words))
    return Answer(text, whole=whole)


def _software(study: Study, words: Words) -> Answer | None:
    evaluation = study.evaluation
    model = evaluation.model
    used = dict(evaluation.provenance.versions)
    trained = model.training.versions if model is not None else None
    predicted = model.prediction.versions if model is not None else None
    text = words("Evaluation: {versions}.", versions=versions(words, used))
    if trained:
        text += " " + words("Training: {versions}.", versions=versions(words, trained))
    return Answer(text, whole=bool(trained and predicted))


def _start(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    if model is None or model.pretrained is None:
        return None
    text = words("Weights to start from: {pretrained}.", pretrained=words.foreign(model.pretrained, 80))
    if model.training.seed is None:
        return part(text)
    seed = words.count(model.training, "seed")
    text += " " + words("Seed of the random numbers: {seed}.", seed=seed)
    return Answer(text, whole=model.pretrained in ("none", "imagenet"))  # what other weights learned from is not told


def _training(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    steps = model.training if model is not None else None
    if steps is None or steps.epochs is None or steps.batch_size is None or steps.learning_rate is None:
        return None
    text = words(
        "At most {epochs} epochs, {batch} films a step, learning rate {rate}; see {card}.",
        epochs=words.count(steps, "epochs"),
        batch=words.count(steps, "batch_size"),
        rate=words.value(steps, "learning_rate", form="significant", digits=3),
        card=_card(words),
    )
    return part(text)  # optimiser, loss and the count of models tried are not in the record


def _final(study: Study, words: Words) -> Answer | None:
    model = study.evaluation.model
    if model is None or model.training.monitor is None or model.training.best_epoch is None:
        return None
    return Answer(
        words(
            "The epoch with the best {measure} on the validation films: epoch {epoch}.",
            measure=words.foreign(model.training.monitor, 60),
            epoch=words.count(model.training, "best_epoch"),
        )
    )


def _ensemble(study: Study, words: Words) -> Answer | None:
    if known(study.evaluation.model) is None:
        return None
    return Answer(words("One network; no several models vote."))


def _card(words: Words) -> str:
    return link(words, "provenance", words("the model card"))


METHODS: Final[Mapping[int, Evidence]] = {
    1: _kind,
    3: _meant_for,
    4: _hypothesis,
    7: _sources,
    8: _included,
    9: _prepared,
    10: _chosen,
    12: _missing,
    13: _taken,
    14: _reference,
    16: _labellers,
    17: _test_labels,
    19: _assigned,
    20: _disjoint,
    22: _model,
    23: _software,
    24: _start,
    25: _training,
    26: _final,
    27: _ensemble,
}
