"""Databases that only others may write, what a kill leaves behind, and arguments that are no database."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from conftest import same_trials

import hpo
from hpo.database.records import RunKey
from hpo.runs.doctor import examine


@pytest.fixture
def folder():
    """Where other users may read."""
    made = Path(tempfile.mkdtemp(prefix="hpo-"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@contextlib.contextmanager
def nothing_writable(folder: Path):
    """Neither the folder nor what is in it can be written; root, who may write anywhere, becomes nobody."""
    for file in folder.iterdir():
        file.chmod(0o555 if file.is_dir() else 0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(65534, 65534, 0)
    try:
        if not os.access(optuna.__file__, os.R_OK):
            pytest.skip("nobody cannot read the installed packages: run the tests as an ordinary user")
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


def study_database(path: Path, tree) -> hpo.StudyDatabase:
    database = hpo.StudyDatabase(path)
    hpo.run(tree, sampler="random", trials=3, database=database, progress="none")
    list(examine(database))  # imports all it needs
    return database


def read(path: Path):
    with hpo.StudyDatabase(path) as database:
        assert database.runs()["complete"].tolist()[-1] == 3
        return same_trials(database.trials())


def test_a_database_that_cannot_be_written_can_be_read(folder, tree):
    path = folder / "study #1?.db"
    study_database(path, tree).close()
    trials = read(path)
    assert sorted(file.name for file in folder.iterdir()) == ["study #1?.db", "study #1?.db-locks"]
    with nothing_writable(folder):
        assert read(path) == trials
        with hpo.StudyDatabase(path) as database:
            assert list(examine(database)) == []
            with pytest.raises(hpo.UnusableDatabase, match="it cannot be written: copy it"):
                hpo.run(tree, sampler="random", seed=1, trials=3, database=database, progress="none")
            with pytest.raises(hpo.UnusableDatabase, match="cannot be written"), database.holding(RunKey("x", 1, "x")):
                pass


def test_a_file_that_cannot_be_written_while_its_owner_writes(folder, tree):
    path = folder / "x.db"
    with study_database(path, tree) as owner:
        assert Path(f"{path}-wal").stat().st_size > 0
        with nothing_writable(folder), hpo.StudyDatabase(path) as database:
            assert len(database.trials(study="iris-tree")) >= 3
            key = owner.run_key("iris-tree/random/split0-seed0")
            owner.set_attributes(key, {"budget": 99})
            assert database.attributes(key.study_id)["budget"] == 99


def test_a_log_that_cannot_be_read_without_writing_is_one_clear_line(folder, tree):
    with study_database(folder / "x.db", tree) as database:
        for end in ("", "-wal"):  # copied without the index
            shutil.copy(f"{database.path}{end}", f"{folder / 'copy.db'}{end}")
    with (
        nothing_writable(folder),
        pytest.raises(hpo.UnusableDatabase, match=r"its newest trials are in copy.db-wal: copy both"),
    ):
        hpo.StudyDatabase(folder / "copy.db")
    read(folder / "copy.db")


def test_what_a_killed_creation_left_is_swept(tmp_path):
    old, new = tmp_path / ".hpo-new-1", tmp_path / ".hpo-new-2"
    for left in (old, new):
        left.mkdir()
        (left / "new.db").write_bytes(b"x")
    os.utime(old, (0, time.time() - 100))
    hpo.StudyDatabase(tmp_path / "x.db").close()
    assert not old.exists()
    assert new.exists()  # somebody may be at it


@pytest.mark.parametrize("given", [3, 2.5, object()])
def test_what_is_no_database_is_one_clear_line(given):
    with pytest.raises(hpo.UnusableDatabase, match=r"is a path or a URL, and .* is neither"):
        hpo.StudyDatabase(given)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize(("port", "message"), [("abc", "cannot be parsed"), ("0", "port 0"), ("9" * 20, "1 to 65535")])
def test_a_bad_port_is_one_clear_line(scheme, port, message):
    with pytest.raises(hpo.UnusableDatabase, match=message):
        hpo.StudyDatabase(f"{scheme}://hpo@127.0.0.1:{port}/x")


def test_to_open_a_file_again_takes_no_lock_from_who_has_it_open(tmp_path):
    # POSIX drops all locks of a process on a file when it closes the file once, whoever had opened it:
    # https://www.sqlite.org/howtocorrupt.html, 2.2. Another process would then take itself for the last one, and
    # remove the log that is in use here.
    path = tmp_path / "study.db"
    with hpo.StudyDatabase(path) as first, first.engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM studies").fetchall()
        with hpo.StudyDatabase(path):
            pass
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA user_version = 1'); c.close()"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=300)
        assert path.with_name("study.db-wal").exists()
