"""Trials read column by column: Optuna's frozen trials without its objects for every row of every table."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

from hpo.database import records as t
from hpo.json_text import from_json

_Condition = sa.ColumnElement[bool]
_VALUE = models.TrialValueModel.stored_repr_to_value
_SCORE = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
_INFINITE = models.TrialValueModel.TrialValueType.INF_POS
_MOST_NAMED = 500  # trials that a statement names one by one; SQLite takes 32,766
_FINITE = (
    models.TrialValueModel.TrialValueType.FINITE,
    models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE,
)


def read_trials(
    connection: sa.Connection,
    study_id: int,
    *where: _Condition,
    attributes: Collection[str] | None = None,
    has_params: bool = True,
    has_folds: bool = True,
) -> list[FrozenTrial]:
    """A run's trials in number order, equal to what Optuna's storage reads, at a tenth of the cost.

    Args:
        connection: to the database.
        study_id: the run.
        where: conditions on the table of trials, all of which must hold.
        attributes: the trial attributes to read; None is all, and Optuna's system attributes too.
        has_params: whether to read the hyperparameters.
        has_folds: whether to read the intermediate values.

    Example:
        ``read_trials(connection, 1, records.trials.c.number < 10)`` reads the first ten.
    """
    wanted = (t.trials.c.study_id == study_id, *where)
    columns = t.trials.c
    rows = connection.execute(
        sa.select(columns.trial_id, columns.number, columns.state, columns.datetime_start, columns.datetime_complete)
        .where(*wanted)
        .order_by(columns.number, columns.trial_id)
    ).fetchall()
    if not rows:
        return []

    def of(table: sa.Table, *names: str, only: Iterable[_Condition] = (), order: str | None = None) -> Iterable[Any]:
        query = sa.select(table.c.trial_id, *(table.c[name] for name in names))
        if where and len(rows) <= _MOST_NAMED:
            query = query.where(table.c.trial_id.in_([row.trial_id for row in rows]))
        else:
            query = query.join(t.trials, columns.trial_id == table.c.trial_id).where(*wanted)
        query = query.where(*only)
        return connection.execute(query if order is None else query.order_by(table.c[order])).fetchall()

    values: dict[int, list[float]] = {}
    for trial_id, _, value, kind in of(t.trial_values, "objective", "value", "value_type", order="objective"):
        values.setdefault(trial_id, []).append(value if kind in _FINITE else _VALUE(value, kind))
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    ranges: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    if has_params:
        _read_params(
            of(t.trial_params, "param_name", "param_value", "distribution_json", order="param_id"), params, ranges
        )
    folds: dict[int, dict[int, float]] = defaultdict(dict)
    if has_folds:
        names = ("step", "intermediate_value", "intermediate_value_type")
        for trial_id, step, score, kind in of(t.trial_folds, *names, order=names[0]):
            folds[trial_id][step] = score if kind in _FINITE else _SCORE(score, kind)
    own, system = defaultdict[int, dict[str, Any]](dict), defaultdict[int, dict[str, Any]](dict)
    only = () if attributes is None else (t.trial_attributes.c.key.in_(attributes),)
    if attributes is None or attributes:
        for trial_id, key, text in of(t.trial_attributes, "key", "value_json", only=only):
            own[trial_id][key] = from_json(text)
    if attributes is None:
        for trial_id, key, text in of(t.trial_system_attributes, "key", "value_json"):
            system[trial_id][key] = from_json(text)
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=values.get(trial_id),
            datetime_start=started,
            datetime_complete=finished,
            params=params.get(trial_id, {}),
            distributions=ranges.get(trial_id, {}),
            user_attrs=own.get(trial_id, {}),
            system_attrs=system.get(trial_id, {}),
            intermediate_values=folds.get(trial_id, {}),
            trial_id=trial_id,
        )
        for trial_id, number, state, started, finished in rows
    ]


def _read_params(
    rows: Iterable[Any], params: dict[int, dict[str, Any]], ranges: dict[int, dict[str, BaseDistribution]]
) -> None:
    known: dict[str, tuple[BaseDistribution, Callable[[float], Any]]] = {}
    for trial_id, name, value, text in rows:
        found = known.get(text)
        if found is None:
            distribution = json_to_distribution(text)
            found = known[text] = distribution, distribution.to_external_repr
        ranges[trial_id][name] = found[0]
        params[trial_id][name] = found[1](value)


def last_ranges(connection: sa.Connection, study_id: int) -> dict[str, BaseDistribution]:
    """Name of each hyperparameter of a run -> the range that its last trial with it had."""
    p = t.trial_params
    last = (
        sa.select(sa.func.max(p.c.param_id))
        .join(t.trials, t.trials.c.trial_id == p.c.trial_id)
        .where(t.trials.c.study_id == study_id)
        .group_by(p.c.param_name)
    )
    rows = connection.execute(sa.select(p.c.param_name, p.c.distribution_json).where(p.c.param_id.in_(last)))
    return {name: json_to_distribution(text) for name, text in rows}


def best_numbers(connection: sa.Connection, study_id: int, *where: _Condition, limit: int) -> list[int]:
    """The numbers of the trials with the highest values, the first of equal ones first; those without one come last."""
    columns, values = t.trials.c, t.trial_values.c
    is_complete = columns.state == TrialState.COMPLETE
    first = (values.trial_id == columns.trial_id) & (values.objective == 0)
    query = (
        sa.select(columns.number)
        .join(t.trial_values, first, isouter=True)
        .where(columns.study_id == study_id, *where)
        .order_by(
            sa.case((~is_complete, 3), (values.value_type == _INFINITE, 0), (values.value.is_not(None), 1), else_=2),
            sa.case((is_complete, values.value)).desc(),
            columns.number,
        )
        .limit(limit)
    )
    return [int(number) for number in connection.execute(query).scalars()]


def best_number(connection: sa.Connection, study_id: int) -> int | None:
    """The number of the first of the complete trials with the highest value, or None where none is complete."""
    found = best_numbers(connection, study_id, t.trials.c.state == TrialState.COMPLETE, limit=1)
    return found[0] if found else None


def state_counts(connection: sa.Connection, study_id: int) -> dict[TrialState, int]:
    """How many trials a run has in each state."""
    columns = t.trials.c
    query = sa.select(columns.state, sa.func.count()).where(columns.study_id == study_id).group_by(columns.state)
    return {state: int(count) for state, count in connection.execute(query)}


def strange_runs(connection: sa.Connection) -> set[int]:
    """Ids of the runs with a trial that has not ended, is out of number, or lacks what this package writes."""
    columns, attributes = t.trials.c, t.trial_attributes.c
    unfinished = sa.case((columns.state.in_([TrialState.RUNNING, TrialState.WAITING]), 1), else_=0)
    numbers = sa.select(
        columns.study_id,
        sa.func.count().label("n"),
        sa.func.min(columns.number).label("first"),
        sa.func.max(columns.number).label("last"),
        sa.func.count(sa.distinct(columns.number)).label("n_numbers"),
        sa.func.sum(unfinished).label("n_unfinished"),
    ).group_by(columns.study_id)
    ours = (
        sa.select(columns.study_id, sa.func.count())
        .join(t.trial_attributes, attributes.trial_id == columns.trial_id)
        .where(attributes.key == "configuration")
        .group_by(columns.study_id)
    )
    n_ours = {study_id: int(n) for study_id, n in connection.execute(ours)}
    return {
        row.study_id
        for row in connection.execute(numbers)
        if row.first != 0
        or row.n_unfinished
        or not row.n == row.last + 1 == row.n_numbers == n_ours.get(row.study_id, 0)
    }


def trial_counts(connection: sa.Connection) -> dict[int, int]:
    """How many trials each run has."""
    columns = t.trials.c
    query = sa.select(columns.study_id, sa.func.count()).group_by(columns.study_id)
    return {study_id: int(n) for study_id, n in connection.execute(query)}
