"""Runs and what is asked of them, as plain values: what commands read that start in a moment."""

import json
import math
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo.database import records as t
from hpo.database.run_name import RunName
from hpo.database.stored_runs import state_of
from hpo.json_text import from_json

HASHES = ("data", "split", "space", "estimator", "metric", "start")
IDENTITY = ("study", "version", "sampler", "split", "seed")
SECONDS = ("fit_seconds", "score_seconds", "sampler_seconds")
# Optuna gives a pruned trial its last score for a value; it is none that can be compared.
COMPLETE_VALUE = sa.case((t.trials.c.state == TrialState.COMPLETE, t.trial_values.c.value))
# Others' studies may have several objectives: each trial is counted once.
FIRST_VALUE = sa.and_(t.trial_values.c.trial_id == t.trials.c.trial_id, t.trial_values.c.objective == 0)
_STATES = (("complete", TrialState.COMPLETE), ("failed", TrialState.FAIL), ("pruned", TrialState.PRUNED))


def run_rows(connection: sa.Connection) -> list[dict[str, Any]]:
    """One row per run, in the order they were created; keys are the columns of :meth:`StudyDatabase.runs`.

    What is missing is None. Studies in the database that are no runs of this package have no identity.
    """
    counts = {row.study_id: row for row in connection.execute(_COUNTS)}
    seconds = {row.study_id: row for row in connection.execute(_SUMS)}
    attributes = _run_attributes(connection)
    directions: defaultdict[int, list[StudyDirection]] = defaultdict(list)
    for study_id, direction in connection.execute(sa.select(t.directions.c.study_id, t.directions.c.direction)):
        directions[study_id].append(direction)
    rows = []
    for study_id, name in connection.execute(
        sa.select(t.studies.c.study_id, t.studies.c.study_name).order_by(t.studies.c.study_id)
    ):
        own, count, spent = attributes[study_id], counts.get(study_id), seconds.get(study_id)
        sign = own.get("metric_sign")
        if not isinstance(sign, (int, float)) or sign not in (1, -1):
            own = {}  # somebody else's, whose attributes may have the names of ours
        own |= {key: _whole(own.get(key)) for key in ("version", "split", "seed", "budget")}
        row = {"run": str(name), **{key: own.get(key) for key in IDENTITY}}
        numbers = {key: 0 if count is None else int(getattr(count, key) or 0) for key, _ in _STATES}
        row |= {
            "state": state_of(sum(numbers.values()), own.get("budget"), own.get("stopped")),
            **numbers,
            "budget": own.get("budget"),
        }
        row |= {"best": None if count is None else _best(count, directions.get(study_id, []))}
        row |= {"metric": own.get("metric"), "metric_sign": own.get("metric_sign")}
        row |= {"direction": _direction(own, directions.get(study_id, []))}
        row |= {key: None if spent is None else getattr(spent, key) for key in SECONDS}
        row |= {key: None if count is None else getattr(count, key) for key in ("started", "finished")}
        rows.append(row)
    return rows


def _whole(value: Any) -> int | None:
    """A whole number of ours; something else may have written another value there."""
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _best(count: Any, directions: list[StudyDirection]) -> float | None:
    """The best value as the study's direction has it; a study with several objectives has no best one."""
    if len(directions) > 1:
        return None
    return count.lowest if directions == [StudyDirection.MINIMIZE] else count.highest  # type: ignore[no-any-return]


def _direction(own: dict[str, Any], directions: list[StudyDirection]) -> str | None:
    """``minimize`` or ``maximize``, as people read it: of an error it is the former, though its score is maximised."""
    if own.get("metric_sign") is not None:
        return "minimize" if own["metric_sign"] == -1 else "maximize"
    return directions[0].name.lower() if len(directions) == 1 else None


# A trial with several objectives has several values, and is one trial all the same.
FIRST_VALUE = (t.trial_values.c.trial_id == t.trials.c.trial_id) & (t.trial_values.c.objective == 0)
_COUNTS = (
    sa.select(
        t.trials.c.study_id,
        *(sa.func.sum(sa.case((t.trials.c.state == state, 1), else_=0)).label(name) for name, state in _STATES),
        sa.func.min(t.trials.c.datetime_start).label("started"),
        sa.func.max(t.trials.c.datetime_complete).label("finished"),
        sa.func.max(COMPLETE_VALUE).label("highest"),
        sa.func.min(COMPLETE_VALUE).label("lowest"),
    )
    .join(t.trial_values, FIRST_VALUE, isouter=True)
    .group_by(t.trials.c.study_id)
)
_KEY, _NUMBER = t.trial_attributes.c.key, sa.cast(t.trial_attributes.c.value_json, sa.Double)
_SUMS = (
    sa.select(
        t.trials.c.study_id,
        *(sa.func.sum(sa.case((name == _KEY, _NUMBER), else_=0.0)).label(name) for name in SECONDS),
    )
    .join(t.trials, t.trials.c.trial_id == t.trial_attributes.c.trial_id)
    .where(_KEY.in_(SECONDS))
    .group_by(t.trials.c.study_id)
)


def seconds_of(connection: sa.Connection, study_id: int) -> dict[str, float]:
    """What a run's trials took in all: seconds of fits, scorers and proposals; 0 where that is not known."""
    row = connection.execute(_SUMS.where(t.trials.c.study_id == study_id)).first()
    return {name: 0.0 if row is None else float(getattr(row, name) or 0.0) for name in SECONDS}


def _run_attributes(connection: sa.Connection) -> "defaultdict[int, dict[str, Any]]":
    wanted = [*IDENTITY, "budget", "metric", "metric_sign", "stopped"]
    table = t.study_attributes.c
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    query = sa.select(table.study_id, table.key, table.value_json).where(table.key.in_(wanted))
    for study_id, key, value in connection.execute(query):
        found[study_id][key] = from_json(value)
    return found


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
        versions.setdefault(RunName.parse(name).version, {})[key.removeprefix("hash_")] = str(from_json(value))
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


def run_ids(connection: sa.Connection) -> dict[str, int]:
    """Name -> Optuna's id, of every study in the database."""
    query = sa.select(t.studies.c.study_id, t.studies.c.study_name)
    return {name: int(study_id) for study_id, name in connection.execute(query)}
