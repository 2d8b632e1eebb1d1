"""Items 28 to 44 of the checklist: what the record says of the evaluation and its results."""

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from pipelines.reporting.book import Study, Tested
from pipelines.reporting.chapters.claim_answer import Answer, Evidence, link, names, part, said
from pipelines.reporting.printing import Words, share_digits
from pipelines.statistics.estimates import Estimate


def _measures(study: Study, words: Words) -> Answer | None:
    if not study.tested:
        return None
    shown = [link(words, "accuracy", words("AUROC")), link(words, "calibration", words("calibration, net benefit"))]
    if any(each.result.operating_point for each in study.tested):
        shown.insert(1, link(words, "accuracy", words("sensitivity, specificity, predictive values")))
    return Answer(words.language.listing(shown))


def _uncertainty(study: Study, words: Words) -> Answer | None:
    if not study.tested:
        return None
    evaluation = study.evaluation
    return Answer(
        words(
            "Intervals at a level of {level}; bootstraps of {replicates} replicates; the method of each number is in "
            "{chapter}.",
            level=words.value(evaluation, "level", form="percent", digits=share_digits(evaluation.level, 5)),
            replicates=words.count(evaluation, "replicates"),
            chapter=link(words, "provenance", words("the provenance")),
        )
    )


def _robustness(study: Study, words: Words) -> Answer | None:
    shown = []
    if any(column.groups for each in study.tested for column in each.result.subgroups):
        shown.append(link(words, "subgroups", words("subgroups")))
    if any(each.result.operating_point for each in study.tested):
        shown.append(link(words, "accuracy", words("films without a score counted as referred")))
    if any(each.result.control for each in study.tested):
        shown.append(link(words, "trust", words("a control that sees no anatomy")))
    return part(words.language.listing(shown)) if shown else None


def _explained(study: Study, words: Words) -> Answer | None:
    if any(each.result.froc.all_films.cpm.value is not None for each in study.tested):
        chapter = link(words, "localisation", words("where its marks lie against true boxes"))
        return Answer(words("Measured: {chapter}.", chapter=chapter))
    pictured = (film for each in study.tested for film in each.result.examples.films)
    if any(film.map_picture or film.map_layer for film in pictured):
        chapter = link(words, "films", words("Films to look at"))
        return part(words("Maps are shown beside the films: {chapter}.", chapter=chapter))
    return None


def _learned_from(study: Study) -> set[str] | None:
    model = study.evaluation.model
    cohorts = (model.training.train, model.training.val) if model is not None else (None, None)
    return None if cohorts[0] is None else {name for cohort in cohorts if cohort for name in cohort.datasets}


def _internal(study: Study, words: Words) -> Answer | None:
    learned = _learned_from(study)
    same = [name for name in said(study.evaluation.cohort.datasets) if learned and name in learned]
    if not same:
        return None
    return Answer(words("Films of {names}, as in training.", names=names(words, same)))


def _external(study: Study, words: Words) -> Answer | None:
    learned = _learned_from(study)
    others = [name for name in said(study.evaluation.cohort.datasets) if learned and name not in learned]
    if not others:
        return None
    return Answer(words("Films of {names}, which training did not use.", names=names(words, others)))


def _numbers(study: Study, words: Words) -> Answer | None:
    films = study.evaluation.films
    text = words(
        "{received} received, {analysed} with a score and asked for; see {flow}.",
        received=words.films(films, "in_predictions"),
        analysed=words.films(films, "joined"),
        flow=link(words, "flow", words("the flow of films")),
    )
    return Answer(text)


def _people(study: Study, words: Words) -> Answer | None:
    cohort = study.evaluation.cohort
    if not said(cohort.sexes) and not cohort.age_known:
        return None
    cohort_table = link(words, "flow", words("the films by sex, age, view and site"))
    return part(words("Of the films evaluated: {table}.", table=cohort_table))


def _auroc(study: Study, words: Words) -> Answer | None:
    measured = [each for each in study.tested if each.result.auroc.low is not None]
    if not measured:
        return None
    shown = [_of(each, _number(each, words), words) for each in measured]
    return Answer(
        words("AUROC: {values}.", values=words.language.listing(shown)), whole=len(measured) == len(study.tested)
    )


def _of(each: Tested, shown: Markup, words: Words) -> Markup:
    return words("{finding}: {value}", finding=words.finding(each), value=shown)


def _number(each: Tested, words: Words) -> Markup:
    auroc = each.result.auroc
    return Markup("{} ({})").format(words.number(auroc), words.interval(auroc))


def _accuracy(study: Study, words: Words) -> Answer | None:
    shown = []
    for each in study.tested:
        point = each.result.operating_point
        if point is None or point.sensitivity.low is None or point.specificity.low is None:
            continue
        rates = words(
            "sensitivity {sensitivity}, specificity {specificity}",
            sensitivity=_rate(point.sensitivity, words),
            specificity=_rate(point.specificity, words),
        )
        shown.append(_of(each, rates, words))
    if not shown:
        return None
    return Answer(
        words("At the threshold: {values}.", values=words.language.listing(shown)), len(shown) == len(study.tested)
    )


def _rate(share: Estimate, words: Words) -> Markup:
    return Markup("{} ({})").format(words.percent(share), words.percent_interval(share))


def _failures(study: Study, words: Words) -> Answer | None:
    outcomes = {film.outcome for each in study.tested for film in each.result.examples.films}
    if not outcomes & {"false_negative", "false_positive"}:
        return None
    films = link(words, "films", words("the chapter of films"))
    return part(words("Missed films and false alarms, drawn by a stated rule, are in {films}.", films=films))


def _limits(study: Study, words: Words) -> Answer | None:
    notes = [*study.evaluation.notes, *(note for each in study.tested for note in each.result.notes)]
    shown = Markup(" ").join(words.recorded(note) for note in dict.fromkeys(notes))
    return part(shown) if notes else None


def _details(study: Study, words: Words) -> Answer | None:
    source = study.evaluation.provenance
    if source.predictions_digest is None or source.manifest_digest is None:
        return None
    return part(
        words("Digests, settings and methods: {chapter}.", chapter=link(words, "provenance", words("the provenance")))
    )


def _available(study: Study, words: Words) -> Answer | None:
    addresses = [each.url for each in study.evaluation.data_sets or () if each.url]
    if not addresses:
        return None
    shown = words.language.listing([words.foreign(address, 200) for address in addresses])
    return part(words("Data: {addresses}.", addresses=shown))


RESULTS: Final[Mapping[int, Evidence]] = {
    28: _measures,
    29: _uncertainty,
    30: _robustness,
    31: _explained,
    32: _internal,
    33: _external,
    35: _numbers,
    36: _people,
    37: _auroc,
    38: _accuracy,
    39: _failures,
    40: _limits,
    42: _details,
    43: _available,
}
