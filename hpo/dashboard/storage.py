"""The database as optuna-dashboard reads it: fast where it asks often, and closed to changes unless told otherwise."""

import contextvars
import copy
import json
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpo.database import records as t
from hpo.database.trial_columns import read_trials
from hpo.json_text import from_json

ASKED: contextvars.ContextVar[int | None] = contextvars.ContextVar("asked", default=None)
"""Optuna's id of the one study that the request is about; its page would read every study's attributes otherwise."""

_METRIC_NAMES = "study:metric_names"
_STUDY_OF = sa.select(t.trials.c.study_id).where(t.trials.c.trial_id == sa.bindparam("trial"))
_LISTED = ("preference:is_preferential",)  # of the system attributes, all that a list of studies needs
_NOTE, _NOTE_VERSION = "dashboard:note_str:", "dashboard:note_ver"  # where optuna-dashboard keeps a study's note
NOTE_PART = 2045  # characters of a note in one attribute, as optuna-dashboard cuts it


@dataclass
class _Kept:
    """The trials of a study that have ended, in the order of their ids, as long as it is the same study.

    Attributes:
        name, begun: of the study, and when its first trial began; by these it is known.
        trials: all up to the id ``last``.
        last: the id.
        sign: -1 where values are shown as an error, positive and minimised.
    """

    name: str
    begun: datetime | None
    trials: list[FrozenTrial] = field(default_factory=list)
    last: int = -1
    sign: int = 1


class BrowsedStorage(BaseStorage):
    """A database behind optuna-dashboard.

    An error, whose score is stored negated, is shown positive and minimised; but not where the database can be
    changed, because copies of such a study would be stored as they are shown.

    Trials are read by columns, which is 10 times faster on large studies than Optuna's objects. Studies come in four
    statements instead of several for each.

    Args:
        storage: the database's.
        writable: whether writes are passed on; they raise PermissionError otherwise.
        note: a run's id -> Markdown that its page shows above its own note; nothing of it is stored. Not used where
            notes can be edited, because the text would be saved with them.
    """

    def __init__(self, storage: RDBStorage, *, writable: bool, note: Callable[[int], str]) -> None:
        self._storage, self._writable, self._note = storage, writable, note
        self._cached = get_storage(storage)
        self._studies: dict[int, _Kept] = {}
        self._lock = Lock()

    # --- reading ---

    def get_all_studies(self) -> list[FrozenStudy]:
        """The studies, or the one that the request is about, with its note."""
        asked = ASKED.get()
        with self._storage.engine.connect() as connection:
            names, directions = _of(connection, t.studies, asked), defaultdict(list)
            for row in sorted(_of(connection, t.directions, asked), key=lambda row: row.objective):
                directions[row.study_id].append(row.direction)
            own = _attributes(connection, t.study_attributes, asked)
            system = _attributes(connection, t.study_system_attributes, asked, _LISTED if asked is None else ())
        if asked is not None and names:
            self._add_note(system[asked], asked)
        for study_id in directions:
            if self._is_error(own[study_id]):
                directions[study_id] = [StudyDirection.MINIMIZE]
                _name_error(system[study_id])
        return [
            FrozenStudy(
                row.study_name,
                None,
                own[row.study_id],
                system[row.study_id],
                row.study_id,
                directions=directions[row.study_id] or [StudyDirection.NOT_SET],
            )
            for row in sorted(names, key=lambda row: row.study_id)
        ]

    def _is_error(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a run of ours, of these attributes, is shown with its values negated."""
        return not self._writable and attributes.get("metric_sign") == -1 and "metric" in attributes

    def _add_note(self, attributes: dict[str, Any], study_id: int) -> None:
        """Put our lines above what people wrote."""
        text = "" if self._writable else self._note(study_id)
        if not text:
            return
        parts = sorted((key for key in attributes if key.startswith(_NOTE)), key=lambda key: int(key[len(_NOTE) :]))
        written = "".join(attributes.pop(key) for key in parts)
        text = f"{text}\n\n---\n\n{written}" if written else text
        attributes.setdefault(_NOTE_VERSION, 0)
        attributes |= {f"{_NOTE}{i}": text[n : n + NOTE_PART] for i, n in enumerate(range(0, len(text), NOTE_PART))}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The study's trials: those that have ended are read once, in columns."""
        with self._lock, self._storage.engine.connect() as connection:
            kept = self._kept(connection, study_id)
            new = read_trials(connection, study_id, t.trials.c.trial_id > kept.last)
            new = [_shown(trial) for trial in new] if kept.sign == -1 else new
            trials = sorted([*kept.trials, *new], key=lambda trial: trial.number) if new else list(kept.trials)
            for trial in sorted(new, key=lambda trial: trial._trial_id):
                if not trial.state.is_finished():
                    break
                kept.trials.append(trial)
                kept.last = trial._trial_id
        found = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _kept(self, connection: sa.Connection, study_id: int) -> "_Kept":
        """What is kept of a study; nothing where the study of this id is another: SQLite gives ids again."""
        trial, study = t.trials.c, t.studies.c
        query = sa.select(study.study_name, trial.datetime_start).where(study.study_id == study_id)
        first = query.join(t.trials, (trial.study_id == study.study_id) & (trial.number == 0), isouter=True)
        row = connection.execute(first).first()
        if row is None:
            self._studies.pop(study_id, None)
            return _Kept("", None)
        kept = self._studies.get(study_id)
        if kept is None or kept.name != row[0] or kept.begun not in (None, row[1]):
            kept = self._studies[study_id] = _Kept(row[0], row[1])
            self._cached = get_storage(self._storage)
            own = _attributes(connection, t.study_attributes, study_id, ("metric", "metric_sign"))
            kept.sign = -1 if self._is_error(own[study_id]) else 1
        kept.begun = row[1]
        return kept

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The study's best trial."""
        best = self._cached.get_best_trial(study_id)
        return _shown(best) if self._is_error(self._cached.get_study_user_attrs(study_id)) else best

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial."""
        trial = self._cached.get_trial(trial_id)
        with self._storage.engine.connect() as connection:
            study_id = connection.execute(_STUDY_OF, {"trial": trial_id}).scalar()
        if study_id is None or not self._is_error(self._cached.get_study_user_attrs(study_id)):
            return trial
        return _shown(trial)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """The id of a trial."""
        return self._cached.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of a study."""
        return self._cached.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of a study; not from the cache, which does not see that another study has its id now."""
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """What is optimised."""
        if self._is_error(self._cached.get_study_user_attrs(study_id)):
            return [StudyDirection.MINIMIZE]
        return self._cached.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The study's attributes."""
        return self._cached.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that Optuna and its dashboard keep."""
        attributes = self._cached.get_study_system_attrs(study_id)
        if self._is_error(self._cached.get_study_user_attrs(study_id)):
            _name_error(attributes)
        return attributes

    def remove_session(self) -> None:
        """Give back this thread's connection."""
        self._storage.remove_session()

    # --- writing ---

    def _changed(self) -> BaseStorage:
        if not self._writable:
            raise PermissionError("this database is served read-only")
        return self._cached

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """See Optuna."""
        return self._changed().create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """See Optuna."""
        self._changed().delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._changed().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._changed().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See Optuna."""
        return self._changed().create_new_trial(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """See Optuna."""
        self._changed().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See Optuna."""
        return self._changed().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """See Optuna."""
        self._changed().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._changed().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._changed().set_trial_system_attr(trial_id, key, value)


def _shown(trial: FrozenTrial) -> FrozenTrial:
    """A copy of a trial whose metric is an error, with positive values."""
    shown = copy.copy(trial)
    if trial.values is not None:
        shown.values = [0.0 - value for value in trial.values]
    shown.intermediate_values = {step: 0.0 - score for step, score in trial.intermediate_values.items()}
    attributes = dict(trial.user_attrs)
    if isinstance(attributes.get("train_score"), float):
        attributes["train_score"] = 0.0 - attributes["train_score"]
    if "train_fold_scores" in attributes:
        attributes["train_fold_scores"] = json.dumps([0.0 - s for s in json.loads(attributes["train_fold_scores"])])
    shown.user_attrs = attributes
    return shown


def _name_error(attributes: dict[str, Any]) -> None:
    """Let the axes of Optuna's plots be called ``log_loss``, not ``neg_log_loss``."""
    if isinstance(attributes.get(_METRIC_NAMES), list):
        attributes[_METRIC_NAMES] = [str(name).removeprefix("neg_") for name in attributes[_METRIC_NAMES]]


def _of(connection: sa.Connection, table: sa.Table, study_id: int | None) -> Sequence[Any]:
    query = sa.select(table)
    return connection.execute(query if study_id is None else query.where(table.c.study_id == study_id)).fetchall()


def _attributes(
    connection: sa.Connection, table: sa.Table, study_id: int | None, keys: Sequence[str] = ()
) -> dict[int, dict[str, Any]]:
    query = sa.select(table.c.study_id, table.c.key, table.c.value_json)
    query = query if study_id is None else query.where(table.c.study_id == study_id)
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for number, key, value in connection.execute(query.where(table.c.key.in_(keys)) if keys else query):
        found[number][key] = from_json(value)
    return found
