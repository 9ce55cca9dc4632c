"""The database's tables as tidy pandas frames."""

import json
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

from hpo import records as t
from hpo.errors import UnknownRun
from hpo.json_text import from_json
from hpo.run_name import RunName

HASHES = ("data", "split", "space", "estimator", "metric", "start")
# Optuna gives a pruned trial its last score for a value; it is none that can be compared.
_COMPLETE_VALUE = sa.case((t.trials.c.state == TrialState.COMPLETE, t.trial_values.c.value))
_IDENTITY = ["study", "version", "sampler", "split", "seed"]


def runs(connection: sa.Connection) -> pd.DataFrame:
    """One row per run, in the order they were created.

    Columns: run, study, version, sampler, split, seed, state (``done``, ``done (patience)`` and the like, or
    ``unfinished``), complete, failed, pruned (trials), budget, best (highest value, the scorer's sign), metric,
    metric_sign (-1 where the metric is an error, shown positive to people),
    fit_seconds, score_seconds, sampler_seconds (sums over trials, s), started, finished (UTC).
    Studies in the database that are no runs of this package have NaN where they have no such value.
    """
    counts = (
        sa.select(
            t.trials.c.study_id,
            *(
                sa.func.sum(sa.case((t.trials.c.state == state, 1), else_=0)).label(name)
                for name, state in (
                    ("complete", TrialState.COMPLETE),
                    ("failed", TrialState.FAIL),
                    ("pruned", TrialState.PRUNED),
                )
            ),
            sa.func.min(t.trials.c.datetime_start).label("started"),
            sa.func.max(t.trials.c.datetime_complete).label("finished"),
            sa.func.max(_COMPLETE_VALUE).label("best"),
        )
        .join(t.trial_values, t.trial_values.c.trial_id == t.trials.c.trial_id, isouter=True)
        .group_by(t.trials.c.study_id)
    )
    table = _read(
        connection, sa.select(t.studies.c.study_id, t.studies.c.study_name.label("run")).order_by(t.studies.c.study_id)
    )
    table = table.merge(_read(connection, counts), on="study_id", how="left")
    table = table.merge(_seconds(connection), on="study_id", how="left")
    table = table.merge(_run_attributes(connection), on="study_id", how="left")
    for column in (*_IDENTITY, "budget", "metric", "metric_sign", "stopped"):
        if column not in table:
            table[column] = None
    signs = table["metric_sign"].tolist()
    table["metric_sign"] = [sign if isinstance(sign, (int, float)) and sign in (1, -1) else np.nan for sign in signs]
    foreign = table["metric_sign"].isna()  # whose attributes may have the names of ours
    table.loc[foreign, [*_IDENTITY, "budget", "metric", "stopped"]] = None
    for column in ("complete", "failed", "pruned"):
        table[column] = table[column].fillna(0).astype(int)
    for column in ("version", "split", "seed", "budget"):
        table[column] = pd.to_numeric(table[column], errors="coerce").astype("Int64")
    table["best"] = table["best"].astype(float)
    table["state"] = _run_states(table)
    seconds = [c for c in ("fit_seconds", "score_seconds", "sampler_seconds") if c in table]
    columns = [
        "run",
        *_IDENTITY,
        "state",
        "complete",
        "failed",
        "pruned",
        "budget",
        "best",
        "metric",
        "metric_sign",
        *seconds,
    ]
    return table[[*columns, "started", "finished"]]


def trials(connection: sa.Connection, *, run: str | None = None, study: str | None = None) -> pd.DataFrame:
    """One row per trial; columns as in :meth:`hpo.database.StudyDatabase.trials`.

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
            wanted.c.study_name.label("run"),
            t.trials.c.number,
            sa.cast(t.trials.c.state, sa.String).label("state"),
            _COMPLETE_VALUE.label("value"),
            t.trials.c.datetime_start.label("started"),
            t.trials.c.datetime_complete.label("finished"),
        )
        .join(wanted, wanted.c.study_id == t.trials.c.study_id)
        .join(t.trial_values, t.trial_values.c.trial_id == t.trials.c.trial_id, isouter=True)
        .order_by(wanted.c.study_id, t.trials.c.number),
    )
    ids = sa.select(t.trials.c.trial_id).join(wanted, wanted.c.study_id == t.trials.c.study_id)
    names = {name: _identity(name) for name in base["run"].unique()}
    for column in reversed(_IDENTITY):
        base.insert(1, column, [names[name][column] for name in base["run"]])
    base["value"] = base["value"].astype(float)
    attributes, params = _trial_attributes(connection, ids), _params(connection, ids)
    for name in [name for name in attributes if f"params_{name}" in params]:
        params[f"params_{name}"] = attributes.pop(name)  # the value, where the quantile of a distribution is searched
    for part in (attributes, params):
        base = base.merge(part, left_on="trial_id", right_index=True, how="left")
    return base.drop(columns=["trial_id", "run"])


def version_hashes(connection: sa.Connection, study: str) -> dict[int, dict[str, str]]:
    """For each version of a study: the hashes that its first run was made with."""
    rows = connection.execute(
        sa.select(t.studies.c.study_name, t.study_attributes.c.key, t.study_attributes.c.value_json)
        .join(t.study_attributes, t.study_attributes.c.study_id == t.studies.c.study_id)
        .where(
            t.study_attributes.c.key.in_([f"hash_{name}" for name in HASHES]),
            sa.or_(
                t.studies.c.study_name.startswith(f"{study}/", autoescape=True),
                t.studies.c.study_name.startswith(f"{study}@", autoescape=True),
            ),
        )
        .order_by(t.studies.c.study_id.desc())
    )
    versions: dict[int, dict[str, str]] = {}
    for name, key, value in rows:
        versions.setdefault(RunName.parse(name).version, {})[key.removeprefix("hash_")] = from_json(value)
    return versions


def evaluations(connection: sa.Connection, context: str) -> dict[str, str]:
    """Configuration key -> ``run#number`` of the first COMPLETE trial that was evaluated in this context."""
    same = sa.select(t.study_attributes.c.study_id).where(
        t.study_attributes.c.key == "context", t.study_attributes.c.value_json == json.dumps(context)
    )
    rows = connection.execute(
        sa.select(t.trial_attributes.c.value_json, t.studies.c.study_name, t.trials.c.number)
        .join(t.trials, t.trials.c.trial_id == t.trial_attributes.c.trial_id)
        .join(t.studies, t.studies.c.study_id == t.trials.c.study_id)
        .where(
            t.trials.c.study_id.in_(same),
            t.trials.c.state == TrialState.COMPLETE,
            t.trial_attributes.c.key == "configuration",
        )
        .order_by(t.trials.c.trial_id.desc())
    )
    return {from_json(key): f"{run}#{number}" for key, run, number in rows}


def test_scores(connection: sa.Connection, study: str) -> pd.DataFrame:
    """What the sealed test rows of a study said, in any of its versions, in the order they were asked.

    Columns: context, configuration, opened (UTC), value (score of the metric, the scorer's sign; NaN where the
    fit or the score failed), error.
    """
    columns = ["context", "configuration", "opened", "value", "error"]
    if not sa.inspect(connection).has_table(t.test_scores.name):
        return pd.DataFrame(columns=columns)
    c = t.test_scores.c
    query = sa.select(c.context, c.configuration, c.opened, c.result).where(c.study == study).order_by(c.opened)
    rows = _read(connection, query)
    results = [from_json(result) for result in rows.pop("result")]
    rows["value"] = [float(next(iter(result["scores"].values()), np.nan)) for result in results]
    rows["error"] = [result["error"] for result in results]
    rows.loc[rows["error"].notna(), "value"] = np.nan
    return rows[columns]


def _read(connection: sa.Connection, query: Any) -> pd.DataFrame:
    result = connection.execute(query)
    return pd.DataFrame(result.fetchall(), columns=list(result.keys()))


def _seconds(connection: sa.Connection) -> pd.DataFrame:
    """Sums over the trials of each run of the attributes that are seconds."""
    names = ("fit_seconds", "score_seconds", "sampler_seconds")
    return _read(
        connection,
        sa.select(
            t.trials.c.study_id,
            *(
                sa.func.sum(
                    sa.case(
                        (t.trial_attributes.c.key == name, sa.cast(t.trial_attributes.c.value_json, sa.Double)),
                        else_=0.0,
                    )
                ).label(name)
                for name in names
            ),
        )
        .join(t.trials, t.trials.c.trial_id == t.trial_attributes.c.trial_id)
        .where(t.trial_attributes.c.key.in_(names))
        .group_by(t.trials.c.study_id),
    )


def _run_attributes(connection: sa.Connection) -> pd.DataFrame:
    wanted = [*_IDENTITY, "budget", "metric", "metric_sign", "stopped"]
    rows = _read(
        connection,
        sa.select(t.study_attributes.c.study_id, t.study_attributes.c.key, t.study_attributes.c.value_json).where(
            t.study_attributes.c.key.in_(wanted)
        ),
    )
    rows["value_json"] = [from_json(value) for value in rows["value_json"]]
    table = rows.pivot(index="study_id", columns="key", values="value_json")
    return table.rename_axis(columns=None).reset_index()


def _run_states(table: pd.DataFrame) -> list[str]:
    told = table["complete"] + table["failed"] + table["pruned"]
    stopped = table["stopped"].where(told < table["budget"].astype(float).fillna(np.inf))
    states = np.where(told >= table["budget"].astype(float).fillna(np.inf), "done", "unfinished")
    return [
        f"done ({reason})" if isinstance(reason, str) else str(state)
        for state, reason in zip(states, stopped, strict=True)
    ]


def _identity(name: str) -> dict[str, Any]:
    try:
        parsed = RunName.parse(name)
    except UnknownRun:  # somebody else's Optuna study in the same database
        return dict.fromkeys(_IDENTITY)
    return {column: getattr(parsed, column) for column in _IDENTITY}


def _trial_attributes(connection: sa.Connection, ids: Any) -> pd.DataFrame:
    a = t.trial_attributes.c
    rows = _read(connection, sa.select(a.trial_id, a.key, a.value_json).where(a.trial_id.in_(ids)))
    table = rows.pivot(index="trial_id", columns="key", values="value_json").rename_axis(columns=None)
    for column in table:
        is_number = column in t.NUMBERS  # whatever else somebody wrote there
        table[column] = pd.to_numeric(table[column], errors="coerce") if is_number else _decoded(table[column])
    return table


def _decoded(column: pd.Series) -> Any:
    """JSON texts as numbers where all are, otherwise one by one."""
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return [from_json(value) if isinstance(value, str) else None for value in column]


def _params(connection: sa.Connection, ids: Any) -> pd.DataFrame:
    p = t.trial_params.c
    rows = _read(
        connection, sa.select(p.trial_id, p.param_name, p.param_value, p.distribution_json).where(p.trial_id.in_(ids))
    )
    distributions = {text: json_to_distribution(text) for text in rows["distribution_json"].unique()}
    values = [
        distributions[text].to_external_repr(value)
        for text, value in zip(rows["distribution_json"], rows["param_value"], strict=True)
    ]
    rows["value"] = ["None" if value is None else value for value in values]
    table = rows.pivot(index="trial_id", columns="param_name", values="value").rename_axis(columns=None)
    return table.infer_objects().add_prefix("params_")


def n_trials(connection: sa.Connection, run: str) -> int:
    """How many trials a run has."""
    own = sa.select(t.studies.c.study_id).where(t.studies.c.study_name == run).scalar_subquery()
    counted = sa.select(sa.func.count()).select_from(t.trials).where(t.trials.c.study_id == own)
    return int(connection.execute(counted).scalar_one())


def held_runs(connection: sa.Connection) -> set[str]:
    """Names of the runs whose attributes name a holder."""
    return {run for run, holder in attribute(connection, "holder") if holder is not None}


def attribute(connection: sa.Connection, key: str) -> list[tuple[str, Any]]:
    """(run, value) of every run that has this attribute."""
    attributes = t.study_attributes
    query = sa.select(t.studies.c.study_name, attributes.c.value_json)
    query = query.join(attributes, attributes.c.study_id == t.studies.c.study_id).where(attributes.c.key == key)
    return [(run, from_json(value)) for run, value in connection.execute(query)]
