"""The database's tables as tidy pandas frames."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from optuna.distributions import json_to_distribution

from hpo.database import records as t
from hpo.database.run_name import RunName
from hpo.database.run_rows import COMPLETE_VALUE, FIRST_VALUE, IDENTITY, SECONDS, run_rows
from hpo.errors import UnknownRun
from hpo.json_text import from_json

_ROWS = 20_000  # of a table that are held as Python objects at a time


def runs(connection: sa.Connection) -> pd.DataFrame:
    """One row per run, in the order they were created.

    Columns: run, study, version, sampler, split, seed, state (``done``, ``done (patience)`` and the like, or
    ``unfinished``), complete, failed, pruned (trials), budget, best (highest value, the scorer's sign; of
    other Optuna studies the best in their own direction, NaN where they have several objectives), metric,
    metric_sign (-1 where the metric is an error, shown positive to people), direction (``minimize`` or
    ``maximize``, as people read it; None where there are several objectives),
    fit_seconds, score_seconds, sampler_seconds (sums over trials, s), started, finished (UTC).
    Studies in the database that are no runs of this package have NaN where they have no such value.
    """
    rows = run_rows(connection)
    table = pd.DataFrame(rows, columns=[*_RUN_COLUMNS])
    for column in ("version", "split", "seed", "budget"):
        table[column] = pd.to_numeric(table[column]).astype("Int64")
    for column in ("complete", "failed", "pruned"):
        table[column] = table[column].astype(int)
    for column in ("best", *SECONDS):
        table[column] = table[column].astype(float)
    for column in ("study", "sampler", "metric", "metric_sign", "direction"):  # of which other Optuna studies have none
        values = [np.nan if row[column] is None and column == "metric_sign" else row[column] for row in rows]
        table[column] = pd.Series(values, dtype=object)
    for column in ("started", "finished"):
        table[column] = pd.to_datetime(table[column])
    return table


_RUN_COLUMNS = (
    "run", *IDENTITY, "state", "complete", "failed", "pruned", "budget", "best", "metric", "metric_sign",
    "direction", *SECONDS,
    "started", "finished",
)  # fmt: skip


def trials(connection: sa.Connection, *, run: str | None = None, study: str | None = None) -> pd.DataFrame:
    """One row per trial; columns as in :meth:`hpo.database.study_database.StudyDatabase.trials`.

    In params_<name> the choice None is the text ``None``; NaN, an empty cell in files, is a hyperparameter that did
    not exist in the trial.
    """
    which = sa.select(t.studies.c.study_id, t.studies.c.study_name)
    if run is not None:
        which = which.where(t.studies.c.study_name == run)
    if study is not None:
        which = which.where(t.studies.c.study_name.startswith(f"{study}/", autoescape=True))
    wanted = which.subquery()
    base = _read(
        connection,
        sa.select(
            t.trials.c.trial_id,
            t.trials.c.study_id,
            t.trials.c.number,
            sa.cast(t.trials.c.state, sa.String).label("state"),
            COMPLETE_VALUE.label("value"),
            t.trials.c.datetime_start.label("started"),
            t.trials.c.datetime_complete.label("finished"),
        )
        .join(wanted, wanted.c.study_id == t.trials.c.study_id)
        .join(t.trial_values, FIRST_VALUE, isouter=True)
        .order_by(wanted.c.study_id, t.trials.c.number),
    )
    base["value"] = base["value"].astype(float)
    ids, positions = base.pop("trial_id").to_numpy(dtype=np.int64), np.arange(len(base))
    order = np.argsort(ids)
    places = _Places(ids[order], positions[order])
    codes, study_ids = pd.factorize(base.pop("study_id"))
    names = {study_id: str(name) for study_id, name in connection.execute(which)}
    identities = [_identity(names[study_id]) for study_id in study_ids]
    for column in reversed(IDENTITY):
        values = pd.Series([identity[column] for identity in identities])
        base.insert(0, column, values.take(codes).to_numpy() if len(codes) else values)
    only = None if run is None and study is None else sa.select(which.subquery().c.study_id)
    attributes = _trial_attributes(connection, only, places)
    params = _params(connection, only, places)
    for name in [name for name in attributes if f"params_{name}" in params]:
        params[f"params_{name}"] = attributes.pop(name)  # the value, where the quantile of a distribution is searched
    return pd.concat([base, pd.DataFrame({**attributes, **params}, index=base.index)], axis=1)


class _Places:
    """Trial's id -> its row in the frame."""

    def __init__(self, ids: Any, positions: Any) -> None:
        self._ids, self._positions = ids, positions
        self.n = len(ids)

    def of(self, ids: Any) -> tuple[Any, Any]:
        """The rows of these trials, and which of them are there: others may have come meanwhile."""
        if not self.n:  # no trial was there, and others have come since
            return np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=bool)
        at = np.searchsorted(self._ids, ids)
        at[at == self.n] = 0
        is_there = self._ids[at] == ids
        return self._positions[at], is_there


def test_scores(connection: sa.Connection, study: str) -> pd.DataFrame:
    """What the sealed test rows of a study said, in any of its versions, in the order they were asked.

    Columns: context, configuration, opened (UTC), value (score of the metric, the scorer's sign; NaN where the
    fit or the score failed), error, row_values (packed, see :mod:`hpo.evaluation.row_scores`; empty
    where the metric has none, None where an older version asked).
    """
    columns = ["context", "configuration", "opened", "value", "error", "row_values"]
    if not sa.inspect(connection).has_table(t.test_scores.name):
        return pd.DataFrame(columns=columns)
    c = t.test_scores.c
    query = sa.select(c.context, c.configuration, c.opened, c.result).where(c.study == study).order_by(c.opened)
    rows = _read(connection, query)
    results = [from_json(result) for result in rows.pop("result")]
    rows["value"] = [float(next(iter(result["scores"].values()), np.nan)) for result in results]
    rows["error"] = [result["error"] for result in results]
    rows["row_values"] = pd.Series(
        [result.get("row_values", None) or ("" if "row_values" in result else None) for result in results],
        dtype=object,
    )
    rows.loc[rows["error"].notna(), "value"] = np.nan
    return rows[columns]


def _read(connection: sa.Connection, query: Any) -> pd.DataFrame:
    result = connection.execute(query)
    # Of tuples, because pandas asks each of SQLAlchemy's rows for attributes that it does not have.
    return pd.DataFrame(list(map(tuple, result.fetchall())), columns=list(result.keys()))


def _identity(name: str) -> dict[str, Any]:
    try:
        parsed = RunName.parse(name)
    except UnknownRun:  # somebody else's Optuna study in the same database
        return dict.fromkeys(IDENTITY)
    return {column: getattr(parsed, column) for column in IDENTITY}


def _of_studies(query: Any, table: sa.Table, studies: Any) -> Any:
    """A query of a trials' table for the trials of these studies, or of all."""
    if studies is None:
        return query
    return query.join(t.trials, t.trials.c.trial_id == table.c.trial_id).where(t.trials.c.study_id.in_(studies))


def _grouped(rows: Iterable[Any], n_keys: int) -> dict[Any, tuple[list[Any], list[Any]]]:
    """Key, of so many columns between the first and the last -> those two columns."""
    found: dict[Any, tuple[list[Any], list[Any]]] = {}
    for trial_id, *key, value in rows:
        name = key[0] if n_keys == 1 else tuple(key)
        columns = found.get(name)
        if columns is None:
            columns = found[name] = ([], [])
        columns[0].append(trial_id)
        columns[1].append(value)
    return found


def _trial_attributes(connection: sa.Connection, studies: Any, places: _Places) -> dict[str, Any]:
    """Attribute -> its column, in the order of their names."""
    a = t.trial_attributes
    result = connection.execution_options(yield_per=_ROWS).execute(
        _of_studies(sa.select(a.c.trial_id, a.c.key, a.c.value_json), a, studies)
    )
    parts: dict[str, list[tuple[Any, Any]]] = {}
    for rows in result.partitions():
        for key, (ids, texts) in _grouped(rows, 1).items():
            where, is_there = places.of(np.array(ids, dtype=np.int64))
            texts = pd.Series(texts, dtype=object)
            is_number = key in t.NUMBERS  # whatever else somebody wrote there
            values = pd.to_numeric(texts, errors="coerce") if is_number else _decoded(texts)
            values = np.asarray(values) if isinstance(values, pd.Series) else _objects(values)
            parts.setdefault(key, []).append((where[is_there], values[is_there]))
    return {key: _column(parts[key], places.n) for key in sorted(parts)}


def _objects(values: list[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _column(parts: list[tuple[Any, Any]], n: int) -> Any:
    """One column out of pieces: whole numbers where all trials have one, else floats, else objects."""
    kinds = {values.dtype.kind for _, values in parts}
    where = np.concatenate([rows for rows, _ in parts])
    if kinds <= set("iu") and len(where) == n:
        whole = np.zeros(n, dtype=np.int64)
        for rows, values in parts:
            whole[rows] = values
        return whole
    if kinds <= set("iuf"):
        numbers = np.full(n, np.nan)
        for rows, values in parts:
            numbers[rows] = values
        return numbers
    column = np.full(n, np.nan, dtype=object)
    for rows, values in parts:
        column[rows] = values.tolist() if values.dtype.kind != "O" else values
    return pd.Series(column).infer_objects().to_numpy() if "O" not in kinds else pd.Series(list(column)).array


def _decoded(column: pd.Series) -> Any:
    """JSON texts as numbers where all are, otherwise one by one."""
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return [from_json(value) if isinstance(value, str) else None for value in column]


def _params(connection: sa.Connection, studies: Any, places: _Places) -> dict[str, Any]:
    """``params_<name>`` -> its column, in the order of their names."""
    p = t.trial_params
    result = connection.execution_options(yield_per=_ROWS).execute(
        _of_studies(sa.select(p.c.trial_id, p.c.param_name, p.c.distribution_json, p.c.param_value), p, studies)
    )
    distributions: dict[str, Any] = {}
    parts: dict[str, list[tuple[Any, Any]]] = {}
    for rows in result.partitions():
        for (name, text), (ids, numbers) in _grouped(rows, 2).items():
            if text not in distributions:
                distributions[text] = json_to_distribution(text).to_external_repr
            external = distributions[text]
            where, is_there = places.of(np.array(ids, dtype=np.int64))
            values = ["None" if value is None else value for value in map(external, numbers)]
            kept = pd.Series(values, dtype=object).infer_objects().to_numpy()
            parts.setdefault(name, []).append((where[is_there], kept[is_there]))
    return {f"params_{name}": _column(parts[name], places.n) for name in sorted(parts)}
