"""What is written straight into Optuna's tables is what Optuna reads, and what frames show."""

import contextlib
import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import optuna
import pandas as pd
import pytest
from conftest import opened_by_optuna, same_trials, tree_study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

import hpo
from hpo.database.records import TrialRecord
from hpo.database.run_name import RunName

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
floats = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), floats, texts)


@st.composite
def trials(draw):
    distributions, params = {}, {}
    for name in draw(st.lists(texts.filter(bool), max_size=4, unique=True)):
        kind = draw(st.sampled_from(["float", "int", "choice"]))
        if kind == "float":
            distributions[name], params[name] = FloatDistribution(-1e6, 1e6), draw(st.floats(-1e6, 1e6))
        elif kind == "int":
            distributions[name], params[name] = IntDistribution(-50, 50), draw(st.integers(-50, 50))
        else:
            choices = draw(st.lists(st.one_of(st.none(), texts), min_size=1, max_size=4, unique=True))
            distributions[name], params[name] = CategoricalDistribution(choices), draw(st.sampled_from(choices))
    failed = draw(st.booleans())
    return create_trial(
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        value=None if failed else draw(floats),
        params=params,
        distributions=distributions,
        user_attrs=draw(st.dictionaries(texts, scalars, max_size=4)),
        system_attrs=draw(st.dictionaries(texts, scalars, max_size=3)),
        intermediate_values=draw(st.dictionaries(st.integers(0, 9), st.floats(), max_size=4)),
    )


def record(trial, number, state=None):
    trial.number = number
    return TrialRecord(trial, NOW, NOW + timedelta(seconds=2), state or {})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_trials=st.lists(trials(), min_size=1, max_size=4))
def test_what_is_written_is_what_optuna_reads(database, given_trials):
    run = RunName(f"s{uuid.uuid4()}", 1, "random", 0, 0)
    key = database.create_run(run, {"budget": 4, "metric": "r2"})
    for number, trial in enumerate(given_trials):
        database.record(key, record(trial, number, {"state": [number]}))
    with opened_by_optuna(str(run), database.url) as study:
        assert study.direction.name == "MAXIMIZE"
        assert study.user_attrs == {"budget": 4, "metric": "r2", "run_id": key.run_id}
        assert study._storage.get_study_system_attrs(study._study_id) == {
            "state": [len(given_trials) - 1],
            "study:metric_names": ["r2"],
        }
        for number, (ours, read) in enumerate(zip(given_trials, study.trials, strict=True)):
            assert (read.number, read.state, read.value) == (number, ours.state, ours.value)
            assert (read.params, read.distributions) == (ours.params, ours.distributions)
            assert (read.user_attrs, read.system_attrs) == (ours.user_attrs, ours.system_attrs)
            assert read.intermediate_values.keys() == ours.intermediate_values.keys()
            for step, value in ours.intermediate_values.items():
                got = read.intermediate_values[step]
                assert got == value or (math.isnan(got) and math.isnan(value))
            assert read.datetime_start.astimezone(UTC) == NOW
            assert read.duration == timedelta(seconds=2)


def test_the_same_trial_through_optunas_own_writer_gives_the_same_rows(database):
    trial = create_trial(
        value=0.5,
        params={"a": 0.25, "b": 3, "c": "x"},
        distributions={
            "a": FloatDistribution(0, 1),
            "b": IntDistribution(1, 5),
            "c": CategoricalDistribution(["x", "y"]),
        },
        user_attrs={"fit_seconds": 1.5},
        intermediate_values={0: 0.4, 1: math.nan, 2: math.inf},
    )
    ours, theirs = RunName("s", 1, "ours", 0, 0), RunName("s", 1, "theirs", 0, 0)
    database.record(database.create_run(ours, {"budget": 1, "metric": "r2"}), record(trial, 0))
    optuna.create_study(study_name=str(theirs), storage=database.storage, direction="maximize").add_trial(trial)
    with contextlib.closing(sqlite3.connect(database.path)) as connection, connection:
        for table, columns in {
            "trial_values": "objective, value, value_type",
            "trial_params": "param_name, param_value, distribution_json",
            "trial_intermediate_values": "step, intermediate_value, intermediate_value_type",
            "trial_user_attributes": "key, value_json",
            "study_directions": "direction, objective",
        }.items():
            join = "study_id" if table.startswith("study") else "trial_id"
            owner = "studies" if table.startswith("study") else "trials NATURAL JOIN studies"
            rows = {
                name: connection.execute(
                    f"SELECT {columns} FROM {owner} JOIN {table} USING ({join}) WHERE study_name = ? ORDER BY 1",
                    (name,),
                ).fetchall()
                for name in (str(ours), str(theirs))
            }
            assert rows[str(ours)] == rows[str(theirs)] != []


def test_optuna_continues_a_recorded_run(database, tree):
    run = hpo.run(tree, sampler="random", trials=4, database=database, progress="none")
    with opened_by_optuna(str(run.name), database.url) as study:
        study.optimize(lambda trial: trial.suggest_float("ccp_alpha", 1e-4, 1e-1, log=True), n_trials=3)
        assert [trial.number for trial in study.trials] == list(range(7))
        assert study.best_trial.number >= 4  # ours are negative errors
    with pytest.raises(hpo.StudyChanged, match=r"trial 4 of iris-tree/random/split0-seed0 .* was not recorded by hpo"):
        hpo.run(tree, sampler="random", trials=10, database=database, progress="none")
    assert len(run.trials) == 7


def test_a_trial_out_of_order_is_refused_and_nothing_is_written(database):
    run = RunName("s", 1, "random", 0, 0)
    key = database.create_run(run, {"budget": 4, "metric": "r2"})
    database.record(key, record(create_trial(value=1.0), 0))
    for number in (2, 3):
        with pytest.raises(hpo.RunInUse, match=f"has 1 trial, not {number} as expected"):
            database.record(key, record(create_trial(value=1.0), number))
    assert len(database.trials(str(run))) == 1


def test_a_record_whose_commit_was_in_doubt_is_not_written_twice(database):
    run = RunName("s", 1, "random", 0, 0)
    key = database.create_run(run, {"budget": 4, "metric": "r2"})
    for _ in range(2):
        database.record(key, record(create_trial(value=1.0), 0))
    assert len(database.trials(str(run))) == 1
    other = TrialRecord(create_trial(value=1.0), NOW, NOW + timedelta(seconds=3), {})
    other.trial.number = 0
    with pytest.raises(hpo.RunInUse):
        database.record(key, other)


def test_a_locked_file_is_waited_for(database, tree, monkeypatch, capsys):
    database.engine.dispose()
    run = hpo.run(tree, sampler="random", trials=2, database=database, progress="none")
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    blocker = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    threading.Timer(1.0, lambda: blocker.execute("COMMIT")).start()
    trial = create_trial(value=1.0)
    database.record(database.run_key(str(run.name)), record(trial, 2))
    assert "database is locked): the result is held" in capsys.readouterr().err
    assert len(run.trials) == 3
    blocker.close()


def test_a_failed_write_leaves_nothing_behind(database):
    run = RunName("s", 1, "random", 0, 0)
    key = database.create_run(run, {"budget": 4, "metric": "r2"})
    unwritable = create_trial(value=1.0, user_attrs={"fine": 1})
    unwritable.user_attrs["bad"] = object()
    with pytest.raises(TypeError):
        database.record(key, record(unwritable, 0))
    with database.engine.connect() as connection:
        for table in ("trials", "trial_values", "trial_user_attributes"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_times_are_utc_whatever_the_zone(database, zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        run = RunName("s", 1, zone.partition("/")[2], 0, 0)
        database.record(database.create_run(run, {"budget": 1, "metric": "r2"}), record(create_trial(value=1.0), 0))
        assert database.trials(str(run))["started"][0] == pd.Timestamp(NOW.replace(tzinfo=None))
        with opened_by_optuna(str(run), database.url) as study:
            assert study.trials[0].datetime_start.astimezone(UTC) == NOW  # Optuna shows local time
    finally:
        monkeypatch.undo()
        time.tzset()


def test_frames_are_tidy(database, tree):
    for sampler in ("random", "grid"):
        hpo.run(tree, sampler=sampler, trials=6, database=database, progress="none")
    trials = database.trials(study="iris-tree")
    assert len(trials) == 13  # and the reference
    assert {"study", "version", "sampler", "split", "seed", "number", "state", "value", "started", "finished"} <= {
        *trials
    }
    assert {"train_score", "fit_seconds", "score_seconds", "peak_memory_mb", "params_max_depth"} <= {*trials}
    assert pd.api.types.is_float_dtype(trials["fit_seconds"])
    runs = database.runs()
    assert runs["run"].tolist() == [f"iris-tree/{s}/split0-seed0" for s in ("reference", "random", "grid")]
    assert runs["complete"].tolist() == [1, 6, 6]
    best = trials[trials["sampler"] == "random"]["value"].max()
    assert runs.set_index("sampler").loc["random", "best"] == best
    total = trials[trials["sampler"] == "random"]["fit_seconds"].sum()
    assert runs.set_index("sampler").loc["random", "fit_seconds"] == pytest.approx(total)


def test_a_foreign_study_beside_ours_is_listed_and_left_alone(database, tree):
    hpo.run(tree, sampler="random", trials=2, database=database, progress="none")
    optuna.create_study(study_name="theirs", storage=database.storage).optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=2
    )
    runs = database.runs().set_index("run")
    assert runs.loc["theirs", "complete"] == 2
    assert pd.isna(runs.loc["theirs", "study"])
    assert len(database.trials()) == 5
    values = [trial.value for trial in optuna.load_study(study_name="theirs", storage=database.storage).trials]
    assert runs.loc["theirs", "best"] == min(values)
    assert runs.loc["theirs", "direction"] == "minimize"


def test_a_foreign_study_with_two_objectives_has_each_trial_once_and_no_best_value(database):
    study = optuna.create_study(study_name="two", storage=database.storage, directions=["minimize", "maximize"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=3)
    runs = database.runs().set_index("run")
    assert runs.loc["two", "complete"] == 3
    assert pd.isna(runs.loc["two", "best"])
    assert pd.isna(runs.loc["two", "direction"])
    assert database.trials()["number"].tolist() == [0, 1, 2]


def test_delete_removes_every_row(database, tree):
    hpo.run(tree, sampler="tpe", trials=12, database=database, progress="none")
    with database.engine.connect() as connection:
        tables = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='table'")]
    for name in database.runs()["run"]:
        database.delete(name)
    with database.engine.connect() as connection:
        left = {t: connection.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar() for t in tables}
    assert {table for table, n in left.items() if n} <= {"version_info", "alembic_version", "hpo_file"}


def test_wal_and_its_pragmas_hold_on_every_connection(database):
    for _ in range(2):
        with database.engine.connect() as first, database.engine.connect() as second:
            for connection in (first, second):
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        database.engine.dispose()


def test_many_processes_on_a_new_file(tmp_path):
    code = (
        "import os, sys, hpo\n"
        "hpo.StudyDatabase(':memory:')\n"  # all is imported before the start
        "[os.fork() for _ in range(3)]\n"  # three times doubled: 8 processes
        "os.write(1, f'{hpo.StudyDatabase(sys.argv[1]).was_created}\\n'.encode())\n"
        "os._exit(0)\n"
    )
    # the threads of BLAS and of Arrow's memory are idle, and no child needs them: Python 3.12 and newer warn
    quiet = ["-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *quiet, "-c", code, str(tmp_path / "new.db")]
    started = subprocess.run(command, capture_output=True, text=True)
    assert not started.stderr
    assert sorted(started.stdout.split()) == ["False"] * 7 + ["True"]
    assert not list(tmp_path.glob(".hpo-new-*"))


# --- what cannot be opened ---


def foreign(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id)")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database at all"), "is not an SQLite database"),
        (foreign, r"belongs to something else \(its tables: customers\)"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000), "cannot be read as a database"),
    ],
)
def test_a_foreign_or_broken_file_is_refused_untouched(tmp_path, make, message):
    path = tmp_path / "x.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(hpo.UnusableDatabase, match=message):
        hpo.StudyDatabase(path)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://localhost", "'redis' is not a database that can be used: write sqlite:///FILE"),
        ("://", "cannot be parsed"),
        ("postgresql://me@host:port/x", "cannot be parsed: write sqlite:///FILE, postgresql://USER@HOST/NAME"),
        ("sqlite+nope:///x.db", "unknown driver"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1"),
    ],
)
def test_urls_that_cannot_be_used(url, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(hpo.UnusableDatabase, match=message) as caught:
        hpo.StudyDatabase(url)
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_and_a_missing_file(tmp_path):
    with pytest.raises(hpo.UnusableDatabase, match=r"the folder .* does not exist"):
        hpo.StudyDatabase(tmp_path / "no" / "x.db")
    with pytest.raises(hpo.UnusableDatabase, match="there is no study database at"):
        hpo.StudyDatabase(tmp_path / "x.db", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_a_newer_schema_is_refused(tmp_path, tree):
    path = tmp_path / "x.db"
    hpo.StudyDatabase(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.close()
    with pytest.raises(hpo.UnusableDatabase, match=r"has the schema version v99.0.0, .*: update optuna"):
        hpo.StudyDatabase(path)


def test_a_read_only_folder_is_refused(tmp_path):
    if os.geteuid() == 0:  # root may write anywhere: ask the kernel for a folder that nobody can write
        folder = "/proc"
    else:
        tmp_path.chmod(0o500)
        folder = str(tmp_path)
    with pytest.raises(hpo.UnusableDatabase, match="cannot be created"):
        hpo.StudyDatabase(f"{folder}/x.db")


def test_memory_and_environment(tmp_path, monkeypatch):
    run = hpo.run(tree_study(), sampler="random", trials=3, database=":memory:", progress="none")
    assert len(run.trials) == 3
    monkeypatch.setenv("HPO_DATABASE", str(tmp_path / "from-environment.db"))
    assert hpo.StudyDatabase().path == tmp_path / "from-environment.db"
    monkeypatch.delenv("HPO_DATABASE")
    monkeypatch.chdir(tmp_path)
    assert hpo.StudyDatabase().path == tmp_path / "hpo.db"


def test_names_and_labels_that_need_escaping(database):
    name = "tumör 'n' \"q\" <b> 100% _x"
    space = {"max_depth": hpo.Categorical({"<1>": 1, "it's 2": 2, "drei ü": 3})}
    definition = tree_study(name=name, space=space)
    run = hpo.run(definition, sampler="grid", database=database, progress="none")
    assert sorted(run.trials["params_max_depth"]) == ["<1>", "drei ü", "it's 2"]
    assert same_trials(hpo.Run(str(run.name), database).trials) == same_trials(run.trials)
    assert len(database.trials(study=name)) == 4
    assert json.loads(json.dumps(run.best_params)) == run.best_params


# --- one process at a time ---

HOLD = """
import sys, time, hpo
database = hpo.StudyDatabase(sys.argv[1])
name = sys.argv[2]
with database.holding(database.run_key(name)):
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(database, tree):
    """A run that another process records."""
    run = hpo.run(tree, sampler="random", trials=2, database=database, progress="none")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database.path), str(run.name)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "holding\n"
    yield run, process
    process.kill()
    process.communicate()


def test_a_run_that_another_process_records_is_refused_naming_it(held, database, tree, capsys):
    _, process = held
    with pytest.raises(hpo.RunInUse, match=rf"is being recorded by process {process.pid} on .*, since 20"):
        hpo.run(tree, sampler="random", trials=5, database=database)
    assert "ended" not in capsys.readouterr().err  # it lives
    other = hpo.run(tree, sampler="random", seed=1, trials=2, database=database, progress="none")
    assert len(other.trials) == 2  # another run is free


def test_the_lock_of_a_dead_process_is_taken_over(held, database, tree, capsys):
    _, process = held
    process.kill()
    process.wait()
    run = hpo.run(tree, sampler="random", trials=5, database=database)
    assert f"{run.name}: who recorded it last ended abruptly" in capsys.readouterr().err
    assert len(run.trials) == 5
    assert run.attributes["holder"] is None
