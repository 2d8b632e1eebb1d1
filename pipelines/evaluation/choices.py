"""What an evaluation was asked for, as its file keeps it."""

from pipelines.evaluation.background import Choices
from pipelines.evaluation.options import Options
from pipelines.evaluation.tables import PredictionsTable
from pipelines.evaluation.thresholds.points import Thresholds


def choices_of(
    options: Options,
    thresholds: Thresholds,
    split: str | None,
    *,
    table: PredictionsTable | None = None,
    package: str | None = None,
) -> Choices:
    """The options of an evaluation as a flat record.

    Args:
        options: what was asked for.
        thresholds: where they come from.
        split: which films.
        table: the predictions.
        package: name of the model package that the locked points were taken from.
    """
    costs, columns = options.costs, options.attributes
    return Choices(
        interval=options.interval,
        replicates=options.replicates,
        seed=options.seed,
        level=options.level,
        prevalence=options.prevalence,
        prevalence_interval=options.prevalence_interval,
        cost_cxr=costs.cxr if costs else None,
        cost_xpert=costs.xpert if costs else None,
        cost_other=costs.other if costs else None,
        currency=costs.currency or None if costs else None,
        reference_sensitivity=options.reference_sensitivity,
        margin=options.margin,
        min_group=options.min_group,
        subgroups=options.subgroups,
        # A column that was not asked for has no business in the record: not even its name.
        attributes=None
        if columns is None
        else tuple(str(name) for name in columns.columns if name in (options.subgroups or ())),
        show_films=options.show_films,
        marks=options.marks.name if options.marks is not None else None,
        hit=options.criterion.text,
        split=split,
        id_column=table.id_column if table is not None else None,
        scores=dict(table.scores) if table is not None else {},
        package=package,
        thresholds={finding: float(value) for finding, value in thresholds.given.items()},
        a_posteriori={finding: rule.text for finding, rule in thresholds.a_posteriori.items()},
    )
