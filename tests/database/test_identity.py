"""A run and a file are themselves, whatever has their number or their name: deleted runs, lost and new files."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest import mock

import optuna
import pytest
from conftest import optunas, same_trials, tree_study
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo.cli.main import command
from hpo.database import locks, records
from hpo.database.records import RunKey
from hpo.database.run_name import RunName

NAME = "iris-tree/random/split0-seed0"
ENDS = ("", "-wal", "-shm")


@contextlib.contextmanager
def before_trial(number, action, of=NAME):
    """Do something, once, just before a trial is recorded."""
    original, done = hpo.StudyDatabase.record, []

    def record(self, key, record):
        if (key.name, record.trial.number) == (of, number) and not done:
            done.append(True)
            action()
        original(self, key, record)

    with mock.patch.object(hpo.StudyDatabase, "record", record):
        yield


def run(tree, path, trials=6, **options):
    return hpo.run(tree, sampler="random", trials=trials, database=path, progress="none", **options)


def deleted_by_optuna(path, name=NAME):
    with optunas(f"sqlite:///{path}") as storage:
        optuna.delete_study(study_name=name, storage=storage)


# --- runs ---


@pytest.mark.parametrize("number", [0, 3])
def test_a_recorder_whose_run_was_deleted_writes_no_trial_into_the_run_that_has_its_number(tmp_path, tree, number):
    path, numbers = tmp_path / "x.db", []

    def replace_run():
        with hpo.StudyDatabase(path) as database:
            numbers.append(database.study_id(NAME))
            deleted_by_optuna(path)
            numbers.append(database.create_run(RunName("another", 1, "random", 0, 0), {"metric": "r2"}).study_id)

    with before_trial(number, replace_run), pytest.raises(hpo.RunDeleted, match=f"{NAME} was deleted while") as caught:
        run(tree, path)
    assert caught.value.exit_code == 1
    assert numbers[0] == numbers[1]  # SQLite gave it again
    with hpo.StudyDatabase(path) as database:
        assert database.n_trials("another/random/split0-seed0") == 0
        assert database.attributes(numbers[1]).keys() == {"metric", "run_id"}
    assert len(run(tree, path).trials) == 6


def test_whoever_deletes_a_run_that_is_recorded_is_refused(tmp_path, tree, capsys):
    path, codes = tmp_path / "x.db", []
    with before_trial(2, lambda: codes.append(command(["delete", NAME, "--yes", "--database", str(path)]))):
        assert len(run(tree, path).trials) == 6
    assert codes == [1]
    assert f"{NAME} is being recorded by process" in capsys.readouterr().err
    assert command(["delete", NAME, "--yes", "--database", str(path)]) == 0
    assert not list(Path(f"{path}-locks").glob("*.trials")) or len(run(tree, path).trials) == 6


@pytest.mark.parametrize("writes", ["hold", "set_attributes", "delete"])
def test_every_write_knows_its_run_from_the_next_of_its_number(database, writes):
    first = database.create_run(RunName("a", 1, "random", 0, 0), {"metric": "r2"})
    deleted_by_optuna(database.path, first.name)
    second = database.create_run(RunName("a", 1, "random", 0, 0), {"metric": "r2"})
    assert (second.name, second.study_id) == (first.name, first.study_id)
    assert second.run_id != first.run_id
    write = {
        "hold": lambda connection: records.hold(connection, first, 0, "k", {0: {"score": 1.0}}),
        "set_attributes": lambda connection: database.set_attributes(first, {"budget": 9}),
        "delete": lambda connection: records.delete_run(connection, first),
    }[writes]
    with database.engine.connect() as connection, pytest.raises(hpo.RunDeleted):
        write(connection)
    assert database.held(second.study_id) == {}
    assert "budget" not in database.attributes(second.study_id)


def test_what_was_held_for_a_deleted_run_is_nothing_to_the_next(database):
    first = database.create_run(RunName("a", 1, "random", 0, 0), {"metric": "r2"})
    database.hold(first, 0, "k", {0: {"score": 1.0}})
    assert database.held(first.study_id) == {(0, "k"): {0: {"score": 1.0}}}
    deleted_by_optuna(database.path, first.name)
    second = database.create_run(RunName("b", 1, "random", 0, 0), {"metric": "r2"})
    assert second.study_id == first.study_id
    assert database.held(second.study_id) == {}


def test_a_run_of_an_earlier_version_is_given_an_id_when_it_goes_on(tmp_path, tree):
    path = tmp_path / "x.db"
    run(tree, path, trials=3)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM study_user_attributes WHERE key = 'run_id'")
        connection.execute("DROP TABLE hpo_file")
    shutil.rmtree(f"{path}-locks")
    with hpo.StudyDatabase(path) as database:
        assert "run_id" not in database.run_attributes(NAME)  # to read it changes nothing
    made = run(tree, path)
    whole = run(tree, tmp_path / "y.db")
    assert same_trials(made.trials) == same_trials(whole.trials)
    assert len(made.attributes["run_id"]) == 32
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert len(connection.execute("SELECT id FROM hpo_file").fetchall()) == 1


def test_a_run_that_is_held_in_python_is_never_another(tmp_path, tree):
    path = tmp_path / "x.db"
    held = run(tree, path, trials=2)
    deleted_by_optuna(path)
    with hpo.StudyDatabase(path) as database:
        database.create_run(RunName("another", 1, "random", 0, 0), {"metric": "r2"})
    with pytest.raises(hpo.UnknownRun):
        held.best


@pytest.mark.parametrize("run_id", ["../../evil", "x" * 5000, ""])
def test_an_id_that_something_else_wrote_names_no_file_elsewhere(tmp_path, run_id):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = inside / "x.db"
    with hpo.StudyDatabase(path) as database:
        key = database.create_run(RunName("a", 1, "random", 0, 0), {"metric": "r2"})
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE study_user_attributes SET value_json = ? WHERE key = 'run_id'", (json.dumps(run_id),)
            )
        forged = database.run_key(key.name)
        assert forged == RunKey(key.name, key.study_id, run_id)
        with database.holding(forged):
            assert locks.noted_count(path, run_id) == 0
    assert {file.name for file in tmp_path.rglob("*") if file.is_dir()} == {"a", "b", "x.db-locks"}
    assert all(file.is_relative_to(inside) for file in tmp_path.rglob("*") if file.is_file())


def test_a_new_version_waits_for_who_records_the_old_one(tmp_path, tree, capsys):
    path, raised = tmp_path / "x.db", []
    changed = tree_study(metric="accuracy")

    def begin_new_version():
        with pytest.raises(hpo.RunInUse, match=NAME) as caught:
            run(changed, path, new_version=True)
        raised.append(caught.value)

    with before_trial(2, begin_new_version):
        run(tree, path)
    assert len(raised) == 1
    assert run(changed, path, new_version=True).name.version == 2


# --- files ---


def lose(path, how, older):
    """One way in which a file leaves its place."""
    if how.startswith("removed"):
        ends = ENDS if how.endswith("with its log") else ("",)
        for end in ends:
            Path(f"{path}{end}").unlink(missing_ok=True)
    elif how.startswith("moved"):
        ends = ENDS if how.endswith("with its log") else ("",)
        for end in ends:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(path.with_name(f"elsewhere.db{end}"))
    elif how == "folder moved":
        path.parent.rename(path.parent.with_name("elsewhere"))
    else:
        shutil.copy(older, path.with_name("older.db"))
        if how.endswith("with its log"):
            for end in ENDS[1:]:
                Path(f"{path}{end}").unlink(missing_ok=True)
        path.with_name("older.db").replace(path)


WAYS = ["removed", "removed with its log", "moved", "moved with its log", "replaced", "replaced with its log"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("number", [0, 4])
def test_a_run_whose_file_is_lost_stops_and_keeps_what_it_knows(tmp_path, tree, how, number, capsys):
    path, older = tmp_path / "x.db", tmp_path / "backup.db"
    run(tree, path, trials=2, seed=1)
    shutil.copy(path, older)
    script = tmp_path / "iris_tree.py"
    with before_trial(number, lambda: lose(path, how, older)), pytest.raises(hpo.DatabaseLost) as caught:
        run(tree, path)
    what = "replaced by another file" if how.startswith("replaced") else "deleted or moved"
    kept = tmp_path / "x-kept.db"
    assert f"{path} was {what} while it was in use" in str(caught.value)
    assert str(caught.value).endswith(f"go on there with --database {kept}")
    assert caught.value.exit_code == 1
    assert not script.exists()
    with hpo.StudyDatabase(kept, must_exist=True) as database:
        assert database.n_trials("iris-tree/random/split0-seed1") == 2  # also the runs of others
        assert database.n_trials(NAME) == number + 1
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert command(["list", "--database", str(kept)]) == 0
    assert command(["show", NAME, "--no-refit", "--database", str(kept)]) == 0
    whole = run(tree, tmp_path / "whole.db")
    assert same_trials(run(tree, kept).trials) == same_trials(whole.trials)
    if how.startswith("replaced"):
        with hpo.StudyDatabase(path) as database:
            assert NAME not in set(database.runs()["run"])
    # What lies at the path now is another file, and can be used.
    assert len(run(tree, path).trials) == 6
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_known_is_written_where_the_lost_file_cannot_be_read(tmp_path, tree):
    path = tmp_path / "x.db"
    with (
        before_trial(3, path.unlink),
        mock.patch.object(hpo.StudyDatabase, "copy_lost_file", return_value=False),
        pytest.raises(hpo.DatabaseLost, match="4 trials of it are kept"),
    ):
        run(tree, path)
    whole = run(tree, tmp_path / "whole.db")
    assert same_trials(run(tree, tmp_path / "x-kept.db").trials) == same_trials(whole.trials)


def test_a_search_whose_file_is_lost_keeps_its_candidates(tmp_path):
    path = tmp_path / "x.db"
    X, y = load_iris(return_X_y=True)

    def search(database):
        space = {"max_depth": hpo.Int(1, 8), "ccp_alpha": hpo.Float(1e-4, 0.1)}
        made = hpo.SearchCV(
            DecisionTreeClassifier(random_state=0), space, sampler="random", n_trials=6, database=str(database),
            random_state=0,
        )  # fmt: skip
        return made.fit(X, y)

    name = str(search(tmp_path / "whole.db").run_.name)
    with before_trial(3, path.unlink, of=name), pytest.raises(hpo.DatabaseLost, match="4 trials of it are kept"):
        search(path)
    kept = search(tmp_path / "x-kept.db")
    whole = search(tmp_path / "whole.db")
    for column in ("configuration", "value"):
        assert kept.run_.trials[column].tolist() == whole.run_.trials[column].tolist()


@pytest.mark.parametrize("left", [("-wal", "-shm"), ("-wal",), ("-journal",)])
def test_a_new_file_has_nothing_of_the_one_that_was_removed(tmp_path, tree, left):
    path, other = tmp_path / "x.db", tree_study("other")
    with hpo.StudyDatabase(path) as database:
        run(tree, database)
        crash = tmp_path / "crash"
        crash.mkdir()
        for end in ("-wal", "-shm"):
            shutil.copy(f"{path}{end}", crash / f"x.db{end}")
    path.unlink()
    for end in left:
        shutil.copy(crash / "x.db-wal", f"{path}{end}")
    assert len(run(other, path, trials=3).trials) == 3
    with hpo.StudyDatabase(path) as database:
        assert database.runs()["run"].tolist() == ["other/reference/split0-seed0", "other/random/split0-seed0"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_log_of_a_file_that_was_replaced_is_not_read_into_its_successor(tmp_path, tree):
    path, other = tmp_path / "x.db", tmp_path / "other.db"
    run(tree_study("other"), other, trials=3)
    with hpo.StudyDatabase(path) as database:
        run(tree, database)
        log = Path(f"{path}-wal").read_bytes()
    assert log
    shutil.copy(other, path)
    Path(f"{path}-wal").write_bytes(log)  # as a process leaves it that was killed
    with hpo.StudyDatabase(path) as database:
        assert database.runs()["run"].tolist() == ["other/reference/split0-seed0", "other/random/split0-seed0"]
    assert Path(f"{path}-wal-of-another-file").read_bytes() == log


def put_aside(folder) -> list[str]:
    """Logs that were taken for another file's."""
    return [file.name for file in Path(folder).glob("*-of-another-file")]


def is_whole(path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_opened_while_its_note_is_written_keeps_its_log(tmp_path, tree):
    path, write_text, written = tmp_path / "x.db", Path.write_text, []

    def slowly(self, text):
        for part in ("", text[:7], text):
            write_text(self, part)
            with hpo.StudyDatabase(path) as another:
                assert another.n_trials(NAME) == 0
            written.append(part)

    with mock.patch.object(Path, "write_text", slowly):
        assert len(run(tree, path).trials) == 6
    assert "" in written
    assert put_aside(tmp_path) == []
    assert is_whole(path)


def test_the_log_of_a_file_that_replaced_another_is_its_own_from_its_first_write(tmp_path, tree):
    path, other = tmp_path / "x.db", tmp_path / "other.db"
    run(tree_study("other"), other, trials=3)
    run(tree, path)
    os.replace(other, path)
    with hpo.StudyDatabase(path) as first:
        first.create_run(RunName("another", 1, "random", 0, 0), {"metric": "r2"})
        assert Path(f"{path}-wal").stat().st_size > 0
        with hpo.StudyDatabase(path) as second:
            assert len(second.runs()) == 3
    assert put_aside(tmp_path) == []
    assert is_whole(path)


def test_a_file_that_was_lost_is_not_noted_in_the_place_of_its_successor(tmp_path, tree):
    path, other = tmp_path / "x.db", tmp_path / "other.db"
    run(tree_study("other"), other, trials=3)
    with hpo.StudyDatabase(path) as lost:
        key = lost.create_run(RunName("another", 1, "random", 0, 0), {"metric": "r2"})
        os.replace(other, path)
        with hpo.StudyDatabase(path) as successor:
            left = put_aside(tmp_path)
            successor.create_run(RunName("another", 1, "random", 0, 0), {"metric": "r2"})
            with pytest.raises(hpo.DatabaseLost), lost.holding(key):
                pass
            with hpo.StudyDatabase(path) as third:
                assert len(third.runs()) == 3
    assert put_aside(tmp_path) == left
    assert is_whole(path)


def test_many_processes_begin_a_file_beside_the_remains_of_another(tmp_path, tree):
    path = tmp_path / "x.db"
    with hpo.StudyDatabase(path) as database:
        run(tree, database)
        log = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    code = (
        "import sys, hpo\nfrom hpo.database.run_name import RunName\n"
        "with hpo.StudyDatabase(sys.argv[1]) as database:\n"
        "    database.create_run(RunName(sys.argv[2], 1, 'random', 0, 0), {'metric': 'r2'})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), f"s{i}"]) for i in range(4)]
    assert [process.wait(timeout=300) for process in processes] == [0] * 4
    with hpo.StudyDatabase(path) as database:
        assert sorted(database.runs()["run"]) == [f"s{i}/random/split0-seed0" for i in range(4)]
