"""The one place that writes trials: straight into Optuna's own tables, one transaction each.

Optuna's storage spends 16 to 57 ms a trial on object-relational work per statement; the same rows as plain
inserts take well under one. A test proves that what is written here equals what Optuna's public API reads back.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.errors import RunDeleted, RunInUse
from hpo.evaluation.results import LearningCurve
from hpo.json_text import from_json, to_json
from hpo.units import counted

studies = models.StudyModel.__table__
directions = models.StudyDirectionModel.__table__
study_attributes = models.StudyUserAttributeModel.__table__
study_system_attributes = models.StudySystemAttributeModel.__table__
trials = models.TrialModel.__table__
trial_values = models.TrialValueModel.__table__
trial_params = models.TrialParamModel.__table__
trial_folds = models.TrialIntermediateValueModel.__table__
trial_attributes = models.TrialUserAttributeModel.__table__
trial_system_attributes = models.TrialSystemAttributeModel.__table__
heartbeats = models.TrialHeartbeatModel.__table__

# A table of ours: what is known of trials that are not recorded yet. Made when it is first needed.
held = sa.Table(
    "hpo_held_results",
    sa.MetaData(),
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fold", sa.Integer, primary_key=True, autoincrement=False),  # -1: deaths of its workers
    sa.Column("configuration", sa.String(64), nullable=False),
    sa.Column("result", sa.Text, nullable=False),
)

# Learning curves that a pruner saw, which decide what it does with later trials.
learning_curves = sa.Table(
    "hpo_learning_curves",
    sa.MetaData(),
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fold", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("curve", sa.Text, nullable=False),
)

# What the sealed test rows said. A row is an opening of the seal, so it outlives its run.
test_scores = sa.Table(
    "hpo_test_scores",
    sa.MetaData(),
    sa.Column("context", sa.String(64), primary_key=True),
    sa.Column("configuration", sa.String(64), primary_key=True),
    sa.Column("study", sa.String(255), nullable=False, index=True),
    sa.Column("opened", sa.DateTime, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
)

# When verdicts on samplers were looked at, and with how many repetitions: to look again with more is another look.
looks = sa.Table(
    "hpo_looks",
    sa.MetaData(),
    sa.Column("look", sa.String(64), primary_key=True),
    sa.Column("study", sa.String(255), nullable=False, index=True),
    sa.Column("seen", sa.DateTime, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
)
# Which file this is, wherever it is moved or copied. Made with the file, or when a file without it is first recorded.
file_ids = sa.Table("hpo_file", sa.MetaData(), sa.Column("id", sa.String(32), primary_key=True))

RUN_ID = "run_id"  # attribute of a run: an id of its own, which is never given again

NUMBERS = frozenset({
    "budget", "fit_seconds", "grid_size", "lag", "metric_sign", "model_size_mb", "n_model_parameters", "peak_memory_mb",
    "predict_seconds", "sampler_seconds", "score_seconds", "seed", "split", "threads", "train_score", "version",
})  # fmt: skip
_TEXTS = frozenset({"configuration", "context", "duplicate_of", "error", "metric", "sampler", "study", "warnings"})
_CHECKED = NUMBERS | _TEXTS

# Statements are built once: building them took as long as running them.
_IS_RUN = sa.exists().where(
    study_attributes.c.study_id == sa.bindparam("run"),
    study_attributes.c.key == RUN_ID,
    study_attributes.c.value_json == sa.bindparam("run_id"),
)
_LOCK = studies.update().where(studies.c.study_id == sa.bindparam("run")).values(study_id=sa.bindparam("run"))
_LOCK_RUN = _LOCK.where(_IS_RUN)
_LAST_NUMBER = (
    sa.select(trials.c.number)
    .where(trials.c.study_id == sa.bindparam("run"))
    .order_by(trials.c.trial_id.desc())
    .limit(1)
)
_INSERT = {
    table: table.insert()
    for table in (trials, trial_values, trial_params, trial_folds, trial_attributes, trial_system_attributes)
}
_FINITE = models.TrialValueModel.TrialValueType.FINITE


@dataclass(frozen=True)
class RunKey:
    """Which run is written to. Databases give the numbers of deleted rows again, so a number alone may be another run.

    Attributes:
        name: of the run.
        study_id: Optuna's id of it.
        run_id: its own id, which is checked in the transaction of everything that is written.
    """

    name: str
    study_id: int
    run_id: str


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial as it is stored.

    Attributes:
        trial: number, state, values, parameters, fold scores and attributes.
        started, finished: aware times.
        sampler_state: study system attributes that the trial's proposal changed.
        was_held: whether results of it were held, which now go.
        curves: fold -> what a pruner saw of its training.
    """

    trial: FrozenTrial
    started: datetime
    finished: datetime
    sampler_state: Mapping[str, Any]
    was_held: bool = False
    curves: Mapping[int, LearningCurve] = field(default_factory=dict)

    @classmethod
    def of_stored(cls, trial: FrozenTrial, curves: Mapping[int, LearningCurve]) -> "TrialRecord":
        """A trial as Optuna has it, whose times are those of the local clock."""
        started = trial.datetime_start or datetime.now()
        return cls(trial, started.astimezone(), (trial.datetime_complete or started).astimezone(), {}, curves=curves)


def checked(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a run or a trial of ours, whose numbers are numbers and whose text is text.

    Raises:
        ValueError: something else wrote them.
    """
    is_ours = "metric_sign" in attributes or "configuration" in attributes
    for key, value in attributes.items() if is_ours else ():
        is_right = isinstance(value, (int, float)) if key in NUMBERS else isinstance(value, str)
        if key in _CHECKED and (value is not None or key == "metric_sign") and not is_right:
            raise ValueError(f"{key} is {str(value)[:40]!r}")
    return dict(attributes)


def create_run(connection: sa.Connection, name: str, attributes: Mapping[str, Any]) -> RunKey:
    """Insert a run that maximises its metric, with its attributes and an id of its own."""
    key = RunKey(name, _insert_study(connection, name, attributes["metric"]), uuid.uuid4().hex)
    for table in (held, learning_curves):  # of a run of that number which something else has deleted
        if sa.inspect(connection).has_table(table.name):
            connection.execute(table.delete().where(table.c.study_id == key.study_id))
    values = {**attributes, RUN_ID: key.run_id}
    connection.execute(
        study_attributes.insert(),
        [{"study_id": key.study_id, "key": name, "value_json": to_json(value)} for name, value in values.items()],
    )
    return key


def find_run(connection: sa.Connection, name: str, *, gives_id: bool = False) -> RunKey | None:
    """The key of a run; None where there is none, or where it has no id of its own and is to be given none."""
    study_id = connection.execute(sa.select(studies.c.study_id).where(studies.c.study_name == name)).scalar()
    if study_id is None:
        return None
    own = (study_attributes.c.study_id == study_id) & (study_attributes.c.key == RUN_ID)
    stored = connection.execute(sa.select(study_attributes.c.value_json).where(own)).scalar()
    if stored is not None:
        return RunKey(name, study_id, str(from_json(stored)))
    if not gives_id:
        return None
    key = RunKey(name, study_id, uuid.uuid4().hex)
    connection.execute(study_attributes.insert().values(study_id=study_id, key=RUN_ID, value_json=to_json(key.run_id)))
    return key


def _insert_study(connection: sa.Connection, name: str, metric: str) -> int:
    study_id: int = connection.execute(studies.insert().values(study_name=name)).inserted_primary_key[0]  # type: ignore[index]
    connection.execute(directions.insert().values(study_id=study_id, objective=0, direction=StudyDirection.MAXIMIZE))
    metric_names = to_json([metric])  # Optuna's own key: its plots label the axis with it
    connection.execute(
        study_system_attributes.insert().values(study_id=study_id, key="study:metric_names", value_json=metric_names)
    )
    return study_id


def write_attributes(
    connection: sa.Connection, study_id: int, values: Mapping[str, Any], table: sa.Table = study_attributes
) -> None:
    """Insert or replace attributes of a run."""
    for key, value in values.items():
        which = (table.c.study_id == study_id) & (table.c.key == key)
        if connection.execute(table.update().where(which).values(value_json=to_json(value))).rowcount == 0:
            connection.execute(table.insert().values(study_id=study_id, key=key, value_json=to_json(value)))


def lock_run(connection: sa.Connection, key: RunKey) -> None:
    """Lock the run's row until the transaction ends; as its first statement this takes SQLite's write lock too.

    Raises:
        RunDeleted: the run is gone, whatever has its number now.
    """
    if connection.execute(_LOCK_RUN, {"run": key.study_id, "run_id": to_json(key.run_id)}).rowcount != 1:
        raise RunDeleted(
            f"{key.name} was deleted while it was being recorded: nothing more was stored; run it again to start over"
        )


def write_trial(connection: sa.Connection, key: RunKey, record: TrialRecord) -> None:
    """Insert a trial under the next number; nothing where this very record is stored already.

    Raises:
        RunDeleted: the run is gone.
        RunInUse: the run does not have exactly ``trial.number`` trials, because somebody else wrote to it.
    """
    trial, run, study_id = record.trial, key.name, key.study_id
    lock_run(connection, key)
    last = connection.execute(_LAST_NUMBER, {"run": study_id}).scalar()
    if last == trial.number and _is_stored(connection, study_id, record):
        return
    if (-1 if last is None else last) != trial.number - 1:
        raise RunInUse(
            f"{run} has {counted(0 if last is None else last + 1, 'trial')}, not {trial.number} as expected: another "
            "process is recording it, or trials were added by hand; wait for it to end, then run again to resume"
        )
    row = {
        "study_id": study_id,
        "number": trial.number,
        "state": trial.state,
        "datetime_start": _naive_utc(record.started),
        "datetime_complete": _naive_utc(record.finished),
    }
    inserted = connection.execute(_INSERT[trials], row)
    trial_id: int = inserted.inserted_primary_key[0]  # type: ignore[index]
    if trial.value is not None:  # a pruned one's is its last score: Optuna's rule
        value = {"trial_id": trial_id, "objective": 0, "value": trial.value, "value_type": _FINITE}
        connection.execute(_INSERT[trial_values], value)
    _insert_many(connection, trial_params, _param_rows(trial, trial_id))
    _insert_many(connection, trial_folds, [_fold_row(trial_id, *step) for step in trial.intermediate_values.items()])
    _insert_many(connection, trial_attributes, _attribute_rows(trial_id, trial.user_attrs))
    _insert_many(connection, trial_system_attributes, _attribute_rows(trial_id, trial.system_attrs))
    if record.sampler_state:
        write_attributes(connection, study_id, record.sampler_state, study_system_attributes)
    if record.curves:
        connection.execute(learning_curves.insert(), _curve_rows(study_id, trial.number, record.curves))
    if record.was_held:
        connection.execute(held.delete().where(held.c.study_id == study_id, held.c.number <= trial.number))


def make_table(connection: sa.Connection, table: sa.Table) -> None:
    """Make a table of ours with its indexes, where there is none."""
    connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def hold(
    connection: sa.Connection, key: RunKey, number: int, configuration: str, results: Mapping[int, Mapping[str, Any]]
) -> None:
    """Keep results of a trial that is not recorded yet: fold -> its result; fold -1 counts deaths of workers.

    Raises:
        RunDeleted: the run is gone.
    """
    lock_run(connection, key)
    study_id = key.study_id
    own = (held.c.study_id == study_id) & (held.c.number == number)
    connection.execute(held.delete().where(own, held.c.fold.in_(list(results))))
    connection.execute(
        held.insert(),
        [
            {
                "study_id": study_id,
                "number": number,
                "fold": fold,
                "configuration": configuration,
                "result": to_json(result),
            }
            for fold, result in results.items()
        ],
    )


def read_held(connection: sa.Connection, study_id: int) -> dict[tuple[int, str], dict[int, dict[str, Any]]]:
    """What is held for a run: (number, configuration) -> fold -> result."""
    found: dict[tuple[int, str], dict[int, dict[str, Any]]] = {}
    for row in connection.execute(sa.select(held).where(held.c.study_id == study_id)):
        result = from_json(row.result)
        if isinstance(result, dict):  # something else may have written here
            found.setdefault((row.number, row.configuration), {})[row.fold] = result
    return found


def read_curves(connection: sa.Connection, study_id: int) -> dict[int, dict[int, LearningCurve]]:
    """What a pruner saw of a run's trials: number -> fold -> learning curve."""
    found: dict[int, dict[int, LearningCurve]] = {}
    for row in connection.execute(sa.select(learning_curves).where(learning_curves.c.study_id == study_id)):
        stored = from_json(row.curve)
        if not isinstance(stored, dict) or not {"steps", "scores", "state"} <= stored.keys():
            continue  # something else wrote it
        curve = LearningCurve(tuple(stored["steps"]), tuple(stored["scores"]), stored["state"])
        found.setdefault(row.number, {})[row.fold] = curve
    return found


def write_test_score(
    connection: sa.Connection, study: str, context: str, configuration: str, result: Mapping[str, Any]
) -> None:
    """Note what the sealed test rows said of a configuration; the first answer stays.

    Where that was given to an older version, which asked for the score alone, the score row by row is added to it.
    """
    table = test_scores.c
    same = (table.context == context) & (table.configuration == configuration)
    known = connection.execute(sa.select(table.result).where(same)).scalar()
    if known is not None:
        stored = from_json(known)
        if isinstance(stored, dict) and "row_values" not in stored:
            stored["row_values"] = result.get("row_values")
            connection.execute(test_scores.update().where(same).values(result=json.dumps(stored)))
    else:
        opened = _naive_utc(datetime.now(UTC))
        row = {"context": context, "configuration": configuration, "study": study, "opened": opened}
        connection.execute(test_scores.insert().values(**row, result=to_json(result)))


def write_look(connection: sa.Connection, study: str, what: Mapping[str, Any]) -> None:
    """Note that verdicts on a study (with its version) were looked at; the first such look stays."""
    text = json.dumps(what, sort_keys=True)
    look = hashlib.sha256(f"{study} {text}".encode()).hexdigest()
    if connection.execute(sa.select(looks.c.study).where(looks.c.look == look)).first() is None:
        seen = _naive_utc(datetime.now(UTC))
        connection.execute(looks.insert().values(look=look, study=study, seen=seen, what=text))


def read_looks(connection: sa.Connection, study: str) -> list[dict[str, Any]]:
    """What was looked at of a study (with its version), the earliest first."""
    query = sa.select(looks.c.what).where(looks.c.study == study).order_by(looks.c.seen)
    return [found for what in connection.scalars(query) if isinstance(found := from_json(what), dict)]


def _is_stored(connection: sa.Connection, study_id: int, record: TrialRecord) -> bool:
    """Whether the run's last trial is this one, whose commit was in doubt: the same to the microsecond."""
    times = sa.select(trials.c.datetime_start, trials.c.datetime_complete)
    stored = connection.execute(
        times.where(trials.c.study_id == study_id, trials.c.number == record.trial.number)
    ).one()
    return tuple(stored) == (_naive_utc(record.started), _naive_utc(record.finished))


def delete_run(connection: sa.Connection, key: RunKey) -> None:
    """Delete a run and all that belongs to it.

    Raises:
        RunDeleted: the run is gone already.
    """
    lock_run(connection, key)
    study_id = key.study_id
    for table in (held, learning_curves):
        if sa.inspect(connection).has_table(table.name):
            connection.execute(table.delete().where(table.c.study_id == study_id))
    own = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    for table in (trial_values, trial_params, trial_folds, trial_attributes, trial_system_attributes, heartbeats):
        connection.execute(table.delete().where(table.c.trial_id.in_(own)))
    for table in (trials, study_attributes, study_system_attributes, directions, studies):
        connection.execute(table.delete().where(table.c.study_id == study_id))


def _insert_many(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_INSERT[table], rows)


def _curve_rows(study_id: int, number: int, curves: Mapping[int, LearningCurve]) -> list[dict[str, Any]]:
    return [
        {"study_id": study_id, "number": number, "fold": fold, "curve": to_json(asdict(curve))}
        for fold, curve in curves.items()
    ]


def _param_rows(trial: FrozenTrial, trial_id: int) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _fold_row(trial_id: int, step: int, score: float) -> dict[str, Any]:
    value, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(score)
    return {"trial_id": trial_id, "step": step, "intermediate_value": value, "intermediate_value_type": kind}


def _attribute_rows(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"trial_id": trial_id, "key": key, "value_json": to_json(value)} for key, value in attributes.items()]


def _naive_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
