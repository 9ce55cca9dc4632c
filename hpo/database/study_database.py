"""The study database: Optuna's own tables in one SQLite file or server, opened safely and read as data frames."""

import contextlib
import functools
import os
import sys
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from hpo.database import locks, records, run_rows, trial_columns
from hpo.database.opened_file import OpenedFile
from hpo.database.opening import (
    as_url,
    clear_errors,
    clear_reading,
    create_mysql_tables,
    engine_options,
    has_newest_schema,
    prepare_file,
    set_pragmas,
)
from hpo.database.passwords import hide_passwords
from hpo.database.persisting import persist
from hpo.database.records import RunKey
from hpo.database.run_name import RunName, unknown_run
from hpo.database.timed_trials import TimedTrial, timed_trials
from hpo.errors import DatabaseLost, RunDeleted, RunInUse, UnknownRun, UnusableDatabase
from hpo.evaluation.results import LearningCurve
from hpo.json_text import from_json
from hpo.process.collector import uncollected

if TYPE_CHECKING:
    import pandas as pd


_T = TypeVar("_T")


class StudyDatabase:
    """Runs and their trials.

    Args:
        database: a URL (``sqlite:///hpo.db``, ``postgresql://...``), a path, ``":memory:"``, or None for
            the environment's HPO_DATABASE or else ``hpo.db`` in the working directory.
        must_exist: refuse to create a new SQLite file.

    Attributes:
        was_created: whether opening it made a new SQLite file.

    Raises:
        UnusableDatabase: it cannot be reached, read or written, or belongs to something else.

    Example:
        >>> import hpo
        >>> with hpo.StudyDatabase(":memory:") as database:
        ...     run = hpo.run("wine-tree", sampler="random", trials=3, database=database, progress="none")
        ...     database.runs()[["sampler", "complete"]].values.tolist()
        [['reference', 1], ['random', 3]]
    """

    def __init__(self, database: "str | os.PathLike[str] | None" = None, *, must_exist: bool = False) -> None:
        self._url = as_url(database)
        self.was_created = False
        self._made: set[str] = set()  # tables of ours that are there
        self._note_count: dict[str, Callable[[int], None]] = {}  # of the runs that are held
        self._file: OpenedFile | None = None  # a server's and memory's cannot be lost
        with clear_errors(self.name):
            self._url.get_dialect()  # an unknown driver is refused before a file is made
            if self.path is not None:
                self.was_created = prepare_file(self.path, must_exist=must_exist)
            if self._url.get_backend_name() == "sqlite" and self.path is None:  # in memory: it is its engine's
                self.storage = self._optunas()
                self.engine: sa.Engine = self.storage.engine
            else:
                self.engine = sa.create_engine(self._url, **engine_options(self._url))
            self._closer = weakref.finalize(self, self.engine.dispose)  # whoever forgets to close it
            if self.path is not None:
                self._file = OpenedFile(self.path, self.engine)
                sa.event.listen(self.engine, "connect", set_pragmas)
            if not has_newest_schema(self.engine):
                with locks.creating(self._url, engine_options(self._url)) as connection:
                    create_mysql_tables(connection)
                    self._check_schema()

    def __reduce__(self) -> "tuple[type[StudyDatabase], tuple[str]]":
        return StudyDatabase, (self.url,)  # another process opens it by its address

    def __deepcopy__(self, memo: object) -> "StudyDatabase":
        return self  # as scikit-learn clones an estimator that has it

    @functools.cached_property
    def storage(self) -> RDBStorage:
        """Optuna's storage on this database, made when first asked for: it loads alembic, a third of a second."""
        storage = self._optunas()
        storage.engine.dispose()
        storage.engine = storage._version_manager.engine = self.engine
        storage.scoped_session.remove()
        storage.scoped_session.configure(bind=self.engine)
        return storage

    def _optunas(self) -> RDBStorage:
        # The schema is checked by ourselves: an exception in there would leave its connections open.
        return RDBStorage(
            self.url.replace("{", "{{").replace("}", "}}"),
            engine_kwargs=engine_options(self._url),
            skip_compatibility_check=True,
        )

    def _check_schema(self) -> None:
        found, known = self.storage.get_current_version(), self.storage.get_head_version()
        if found == known:
            return
        is_newer = found not in self.storage.get_all_versions()
        self.close()
        upgrade = f"upgrade it: optuna storage upgrade --storage {self.name}"
        mend = "update optuna: pip install -U optuna" if is_newer else upgrade
        raise UnusableDatabase(
            f"{self.name} has the schema version {found}, and the installed Optuna knows {known}: {mend}"
        )

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None for a server or memory."""
        if self._url.get_backend_name() != "sqlite" or self._url.database in (None, "", ":memory:"):
            return None
        return Path(str(self._url.database))

    @property
    def name(self) -> str:
        """The URL for people: without its password."""
        return hide_passwords(self._url.render_as_string(hide_password=True))

    @property
    def url(self) -> str:
        """The URL for programs: with its password."""
        return self._url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Give back all connections."""
        if "storage" in self.__dict__:
            self.storage.remove_session()
        self.engine.dispose()

    def __enter__(self) -> "StudyDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"StudyDatabase({self.name!r})"

    # --- reading ---

    def runs(self) -> "pd.DataFrame":
        """One row per run; columns as in :func:`hpo.database.frames.runs`."""
        from hpo.database import frames  # pandas takes a third of a second, which not every command need wait for

        with self._reading() as connection:
            return frames.runs(connection)

    def run_rows(self) -> list[dict[str, Any]]:
        """The rows of :meth:`runs` as plain values, which are there sooner; None is what is missing."""
        with self._reading() as connection:
            return run_rows.run_rows(connection)

    def trials(self, run: str | None = None, *, study: str | None = None) -> "pd.DataFrame":
        """One row per trial of one run, of one study (``name`` or ``name@2``), or of all.

        Columns: study, version, sampler, split, seed, number, state, value (the scorer's sign), started,
        finished (UTC), the trial's attributes (train_score, fit_seconds, n_model_parameters, ...) and params_<name>.
        """
        if run is not None:
            self.study_id(run)
        from hpo.database import frames  # pandas takes a third of a second, which not every command need wait for

        with self._reading() as connection:
            return frames.trials(connection, run=run, study=study)

    def study_id(self, run: str) -> int:
        """Optuna's id of a run.

        Raises:
            UnknownRun: the nearest names are in the message.
        """
        with self._reading() as connection:
            table = records.studies.c
            found = connection.execute(sa.select(table.study_id).where(table.study_name == run)).scalar()
            if found is None:
                names = list(connection.execute(sa.select(table.study_name)).scalars())
                raise UnknownRun(unknown_run(run, names, self.name))
            return int(found)

    def attributes(self, study_id: int) -> dict[str, Any]:
        """A run's attributes."""
        with clear_reading(self.name):
            return records.checked(self._attributes(study_id, records.study_attributes))

    def _attributes(self, study_id: int, table: sa.Table) -> dict[str, Any]:
        with self._reading() as connection:
            query = sa.select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
            return {key: from_json(value) for key, value in connection.execute(query)}

    def run_attributes(self, run: str) -> dict[str, Any]:
        """A run's attributes, or none where there is no such run."""
        try:
            return self.attributes(self.study_id(run))
        except UnknownRun:
            return {}

    def n_trials(self, run: str) -> int:
        """How many trials a run has; 0 where there is no such run."""
        with self._reading() as connection:
            return run_rows.n_trials(connection, run)

    def held_runs(self) -> set[str]:
        """Names of the runs that somebody records, or recorded when it died."""
        with self._reading() as connection:
            return run_rows.held_runs(connection)

    def attribute_of_runs(self, key: str) -> dict[str, Any]:
        """Run -> this attribute of it, for those that have it."""
        with self._reading() as connection:
            return dict(run_rows.attribute(connection, key))

    def sampler_state(self, study_id: int) -> dict[str, Any]:
        """Study system attributes that the run's sampler stored."""
        return self._attributes(study_id, records.study_system_attributes)

    def optuna_trials(
        self,
        study_id: int,
        *where: "sa.ColumnElement[bool]",
        attributes: Collection[str] | None = None,
        has_params: bool = True,
        has_folds: bool = True,
    ) -> list[FrozenTrial]:
        """Return a run's trials as Optuna reads them, in number order, or parts of them."""
        with clear_reading(self.name), self._reading() as connection:
            trials = trial_columns.read_trials(
                connection, study_id, *where, attributes=attributes, has_params=has_params, has_folds=has_folds
            )
            for trial in trials:
                records.checked(trial.user_attrs)
            return trials

    def trial(self, run: str, number: int) -> FrozenTrial | None:
        """One trial as Optuna reads it, or None where there is none."""
        try:
            found = self.optuna_trials(self.study_id(run), records.trials.c.number == number)
        except UnknownRun:
            return None
        return found[0] if found else None

    def best_trial(self, study_id: int) -> FrozenTrial | None:
        """The first of the complete trials with the highest value, or None where none is complete."""
        with self._reading() as connection:
            number = trial_columns.best_number(connection, study_id)
            if number is None:
                return None
            return trial_columns.read_trials(connection, study_id, records.trials.c.number == number)[0]

    def ask(self, read: Callable[[sa.Connection], _T]) -> _T:
        """Return what a function of a connection reads, as those of `run_rows` and `trial_columns` in this room."""
        with self._reading() as connection:
            return read(connection)

    def version_hashes(self, study: str) -> dict[int, dict[str, str]]:
        """For each version of a study with runs here: the hashes its runs were made with."""
        with self._reading() as connection:
            return run_rows.version_hashes(connection, study)

    def versions_begun_anew(self, study: str) -> frozenset[int]:
        """The versions of a study that began because stored scores could not be reproduced."""
        runs = [RunName.parse(run) for run, anew in self.attribute_of_runs("begun_anew").items() if anew]
        return frozenset(run.version for run in runs if run.study == study)

    def timed_trials(self, run: str) -> list[TimedTrial]:
        """What the evaluated complete trials of a run took; none where there is no such run."""
        with self._reading() as connection:
            return timed_trials(connection, run)

    def evaluations(self, context: str) -> dict[str, str]:
        """Key of each configuration that is COMPLETE in this context -> where: ``run#number``."""
        with self._reading() as connection:
            return run_rows.evaluations(connection, context)

    def test_scores(self, study: str) -> "pd.DataFrame":
        """What the sealed test rows of a study said; columns as in :func:`hpo.database.frames.test_scores`."""
        from hpo.database import frames  # pandas takes a third of a second, which not every command need wait for

        with self._reading() as connection:
            return frames.test_scores(connection, study)

    # --- writing ---

    def create_run(self, name: RunName, attributes: Mapping[str, Any]) -> RunKey:
        """Create a run with its attributes, unless there is one of that name."""
        try:
            with self._writing() as connection:
                return records.create_run(connection, str(name), attributes)
        except sa.exc.IntegrityError:  # it is there, or another process was faster
            return self.run_key(str(name))

    def run_key(self, run: str) -> RunKey:
        """What a run is written to by; a run of an earlier version is given an id of its own.

        Raises:
            UnknownRun: the nearest names are in the message.
        """
        with self._reading() as connection:
            key = records.find_run(connection, run)
        if key is None:
            self.study_id(run)
            try:
                with self._writing() as connection:
                    key = records.find_run(connection, run, gives_id=True)
            except sa.exc.IntegrityError:  # another process was faster
                with self._reading() as connection:
                    key = records.find_run(connection, run)
        if key is None:
            raise UnknownRun(f"{run} was deleted from {self.name} just now")
        return key

    def set_attributes(self, key: RunKey, attributes: Mapping[str, Any]) -> None:
        """Insert or replace attributes of a run.

        Raises:
            RunDeleted, DatabaseLost: the run, or the file, is gone.
        """
        with self._writing() as connection:
            records.lock_run(connection, key)
            records.write_attributes(connection, key.study_id, attributes)

    def record(self, key: RunKey, record: records.TrialRecord) -> None:
        """Store a finished trial; see :func:`hpo.database.records.write_trial`.

        While the server is away, or the file locked, the trial is held and tried again for about ten minutes;
        one whose commit was in doubt is recognised and not written twice.

        Raises:
            RunDeleted, DatabaseLost: the run, or the file, is gone.
            RunInUse: another process has recorded a trial of it.
        """
        if record.curves:
            self._create(records.learning_curves)
        try:
            self._persist(lambda connection: records.write_trial(connection, key, record))
        except RunInUse as error:
            if self.n_lost(key.run_id, self.n_trials(key.name)):
                raise DatabaseLost(f"{self.path} was replaced by an older copy while it was in use") from error
            raise
        if key.run_id in self._note_count:
            self._note_count[key.run_id](record.trial.number + 1)

    def n_lost(self, run_id: str, n_found: int) -> int:
        """How many trials of a run were recorded and are not found, because the file or its log was damaged."""
        return 0 if self.path is None else max(locks.noted_count(self.path, run_id) - n_found, 0)

    def hold(self, key: RunKey, number: int, configuration: str, results: Mapping[int, Mapping[str, Any]]) -> None:
        """Keep results of a trial that is not recorded yet; see :func:`hpo.database.records.hold`."""
        self._create(records.held)
        self._persist(lambda connection: records.hold(connection, key, number, configuration, results))

    def held(self, study_id: int) -> dict[tuple[int, str], dict[int, dict[str, Any]]]:
        """What is kept for a run's trials that are not recorded yet: (number, configuration) -> fold -> result."""
        with self._reading() as connection:
            return records.read_held(connection, study_id) if self._has(connection, records.held) else {}

    def curves(self, study_id: int) -> dict[int, dict[int, LearningCurve]]:
        """What a pruner saw of a run's trials: number -> fold -> learning curve."""
        with self._reading() as connection:
            is_there = self._has(connection, records.learning_curves)
            return records.read_curves(connection, study_id) if is_there else {}

    def record_test_score(self, study: str, context: str, configuration: str, result: Mapping[str, Any]) -> None:
        """Note what the sealed test rows said of a configuration; see :func:`hpo.database.records.write_test_score`."""
        self._create(records.test_scores)
        with contextlib.suppress(sa.exc.IntegrityError):  # another process was faster, with the same
            self._persist(
                lambda connection: records.write_test_score(connection, study, context, configuration, result)
            )

    def record_look(self, study: str, what: Mapping[str, Any]) -> None:
        """Note that verdicts on a study (with its version) were looked at; see `records.write_look`."""
        self._create(records.looks)
        with contextlib.suppress(sa.exc.IntegrityError):  # another process was faster, with the same
            self._persist(lambda connection: records.write_look(connection, study, what))

    def looks(self, study: str) -> list[dict[str, Any]]:
        """What was looked at of a study (with its version), the earliest first."""
        with self._reading() as connection:
            return records.read_looks(connection, study) if self._has(connection, records.looks) else []

    def _has(self, connection: sa.Connection, table: sa.Table) -> bool:
        return table.name in self._made or sa.inspect(connection).has_table(table.name)

    def _create(self, table: sa.Table) -> None:
        """Make a table of ours, unless it is there."""
        if table.name not in self._made:
            with contextlib.suppress(sa.exc.IntegrityError):  # of PostgreSQL, where another process was faster
                self._persist(lambda connection: records.make_table(connection, table))
            self._made.add(table.name)

    def _persist(self, write: Callable[[sa.Connection], None]) -> None:
        with clear_errors(self.name), self._unchanged():
            persist(self.engine, self.name, write)

    def _unchanged(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._file is None else self._file.unchanged()

    @contextlib.contextmanager
    def holding(self, key: RunKey) -> Iterator[None]:
        """Be the only one to record a run; the lock of a process that died is taken over.

        Raises:
            RunInUse: another process records it; its host, process id and start are in the message.
            RunDeleted, DatabaseLost: the run, or the file, is gone.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.locked(key))
            if self.path is not None and self._file is not None:
                self._file.identify()
                self._note_count[key.run_id] = stack.enter_context(locks.counting(self.path, key.run_id))
            self.set_attributes(key, {"holder": locks.holder()})
            try:
                yield
            finally:
                self._note_count.pop(key.run_id, None)
                # It went away; who it was hardly matters.
                with contextlib.suppress(UnusableDatabase, RunDeleted, DatabaseLost):
                    self.set_attributes(key, {"holder": None})

    @contextlib.contextmanager
    def locked(self, key: RunKey) -> Iterator[None]:
        """Have a run's lock, without a word of who has it.

        Raises:
            RunInUse: another process records it.
        """
        with contextlib.ExitStack() as stack:
            try:
                with clear_errors(self.name):
                    stack.enter_context(locks.locked(self.engine, self.path, key.run_id))
            except locks.Taken as error:
                who = locks.describe(self.run_attributes(key.name).get("holder"))
                raise RunInUse(f"{key.name} is being recorded by {who}: wait for it to end, or stop it") from error
            yield

    def delete(self, run: str) -> None:
        """Delete a run with its trials.

        Raises:
            UnknownRun: the nearest names are in the message.
            RunInUse: a process records it.
        """
        key = self.run_key(run)
        with self.locked(key), self._writing() as connection:
            records.delete_run(connection, key)
        if self.path is not None:
            locks.forget(self.path, key.run_id)

    # --- the file ---

    def check_file(self) -> None:
        """Raise DatabaseLost where the path no longer leads to the file that was opened."""
        if self._file is not None:
            self._file.check()

    def leave_file(self) -> None:
        """Close a file that was lost, and take its log away: SQLite would read it into a file that has its name now."""
        self.close()
        if self._file is not None:
            self._file.remove_log()

    def copy_lost_file(self, target: Path) -> bool:
        """Copy all that is in a file that has lost its name, which it keeps while it is open; whether that could be."""
        return self._file is not None and self._file.copy_lost(target)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with clear_reading(self.name), uncollected(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with clear_errors(self.name), self._unchanged(), self.engine.begin() as connection:
            yield connection


def as_database(database: "StudyDatabase | str | os.PathLike[str] | None") -> StudyDatabase:
    """The database given: as it is, or opened from a URL or path; says so where that makes a new file."""
    if isinstance(database, StudyDatabase):
        return database
    opened = StudyDatabase(database)
    if opened.was_created:
        print(f"created the study database {opened.path}", file=sys.stderr, flush=True)
    return opened
