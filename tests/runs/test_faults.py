"""Faults that a run must survive, with real signals, files and processes; the rest are in test_workers, test_server,
test_database and test_doctor."""

import contextlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FLAT, same_trials, tree_study

import hpo
from hpo.cli.main import command
from hpo.runs.doctor import examine

pytestmark = pytest.mark.slow

NAME = "iris-tree/tpe(n_startup_trials=4)/split0-seed0"
STUDY = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
import sqlalchemy as sa
import hpo
from conftest import FLAT, tree_study
from sklearn.tree import DecisionTreeClassifier

class Steady(DecisionTreeClassifier):
    def fit(self, X, y):
        time.sleep({seconds})
        return super().fit(X, y)

study = tree_study(space=FLAT, estimator=Steady())
statements = -1

@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def count(*_):
    global statements
    statements -= 1
    if statements == 0:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    if "FORKS" in os.environ:
        import hpo.runs.runner
        for line in sys.stdin:
            child = os.fork()
            if child == 0:
                statements = int(line)
                os.dup2(2, 1)
                break
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            sys.exit()
    hpo.main(study)
"""


def write_script(folder) -> Path:
    path = folder / "study.py"
    path.write_text(STUDY.format(tests=str(Path(__file__).parents[1]), seconds=0.02))
    return path


@pytest.fixture
def script(tmp_path):
    return write_script(tmp_path)


def start(script, database, *options):
    return subprocess.Popen(
        [sys.executable, str(script), "--sampler", "tpe(n_startup_trials=4)", "--database", str(database), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def start_forks(script, database, *options, errors):
    """A process that forks a coordinator for each line, which is how many statements it lives."""
    return subprocess.Popen(
        [sys.executable, str(script), "--sampler", "tpe(n_startup_trials=4)", "--database", str(database), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, "FORKS": "1"},
    )  # fmt: skip


def trials(path):
    with hpo.StudyDatabase(path) as database:
        return database.trials(NAME)


def is_sound(path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trials of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(write_script(folder), folder / "x.db", "--trials", "12")
    assert process.wait(timeout=120) == 0, process.communicate()
    process.communicate()
    return same_trials(trials(folder / "x.db"))


def test_a_coordinator_killed_after_any_statement(script, tmp_path, whole):
    path = tmp_path / "x.db"
    n_killed = 0
    errors = tmp_path / "errors.txt"
    # Each coordinator is a process of its own, forked from one that has imported everything.
    with errors.open("w") as file, start_forks(script, path, "--trials", "12", errors=file) as forks:
        for step in itertools.islice(itertools.cycle([9, 110, 90, 130]), 20):
            print(step, file=forks.stdin, flush=True)
            code = int(forks.stdout.readline())
            assert code in {0, -signal.SIGKILL}, errors.read_text()
            if path.exists():
                assert is_sound(path)
            if code == 0:
                break
            n_killed += 1
        forks.stdin.close()
    assert n_killed >= 4
    assert same_trials(trials(path)) == whole


def count(path) -> int:
    """Trials of the run so far, seen from outside."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = ?"
            return connection.execute(query, (NAME,)).fetchone()[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.mark.parametrize(("sent", "workers"), [(signal.SIGINT, "1"), (signal.SIGTERM, "2")])
def test_signals_at_random_instants(script, tmp_path, whole, sent, workers):
    path, instants = tmp_path / "x.db", random.Random(int(workers))
    for n_signals in (1, 2):
        n_before = count(path)
        process = start(script, path, "--trials", "12", "--lag", "1", "--workers", workers)
        while count(path) == n_before and process.poll() is None:
            time.sleep(0.02)
        time.sleep(instants.uniform(0, 0.1))
        for _ in range(n_signals):
            process.send_signal(sent)
            time.sleep(0.02)
        _, errors = process.communicate(timeout=300)
        assert process.returncode in {0, 130}, errors
        assert "Traceback" not in errors
        assert process.returncode == 0 or "To go on: python " in errors
    process = start(script, path, "--trials", "12")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert same_trials(trials(path)) == whole


def test_a_configuration_that_kills_the_coordinator_fails_when_the_run_is_resumed(tmp_path):
    path = tmp_path / "poison.py"
    path.write_text(
        "import os, signal, hpo\n"
        "from sklearn.datasets import load_iris\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "class Poison(DecisionTreeClassifier):\n"
        "    def fit(self, X, y):\n"
        "        if self.max_depth == 2:\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return super().fit(X, y)\n"
        "study = hpo.StudyDefinition(name='iris-tree', data=load_iris, estimator=Poison(),\n"
        "    space={'max_depth': hpo.Int(1, 4)}, metric='neg_log_loss', split=hpo.CrossValidation(folds=2))\n"
        "hpo.main(study) if __name__ == '__main__' else None\n"
    )
    grid = [sys.executable, str(path), "--sampler", "grid", "--database", str(tmp_path / "x.db")]
    assert subprocess.run(grid, capture_output=True, timeout=300).returncode == -signal.SIGSEGV
    again = subprocess.run(grid, capture_output=True, timeout=300, text=True)
    assert again.returncode == 0, again.stderr
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        found = database.trials("iris-tree/grid/split0-seed0").set_index("params_max_depth")
    assert found["state"].drop(2).tolist() == ["COMPLETE"] * 3
    assert found.loc[2, "error"] == "WorkerDied: 3 workers died of it, the last by signal SIGSEGV"


def test_two_comparisons_at_once_share_the_work(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import hpo\n"
        "from conftest import FLAT, tree_study\n"
        "comparison = hpo.compare(tree_study(space=FLAT), samplers=sys.argv[2].split(), repetitions=3, trials=8,\n"
        "    database=sys.argv[1], workers=1, progress='lines')\n"
        "print(comparison.table['trials'].tolist())\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "x.db"), samplers], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for samplers in ("random tpe grid", "random qmc tpe")
    ]  # fmt: skip
    for process in started:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert out == "[24, 24, 24]\n"
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        assert (database.runs().query("sampler != 'reference'")["complete"] == 8).all()


def test_a_file_that_another_process_has_locked_is_waited_for(tmp_path, whole):
    path = tmp_path / "x.db"
    definition = tree_study(space=FLAT)
    options = {"sampler": "tpe(n_startup_trials=4)", "database": path, "progress": "none"}
    hpo.run(definition, trials=2, **options).database.close()
    code = (
        "import sqlite3, sys, time\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True)\n"
        "time.sleep(3)\n"
        "connection.execute('COMMIT')\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    made = hpo.run(definition, trials=6, **options)
    holder.communicate(timeout=300)
    assert holder.returncode == 0
    assert made.trials["number"].tolist() == list(range(6))
    made.database.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(small_disk, tmp_path, capsys):
    definition = tree_study(space=FLAT)
    options = {"sampler": "random", "database": small_disk / "x.db", "progress": "none"}
    hpo.run(definition, trials=4, **options).database.close()
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"0" * 1024)
    with pytest.raises(hpo.UnusableDatabase, match=r"the disk is full"):
        hpo.run(definition, trials=400, **options)
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 2**18)
    with pytest.raises(hpo.UnusableDatabase, match=r"cannot be used: (database or disk is full|disk I/O error)"):
        hpo.run(definition, trials=400, **options)
    with contextlib.closing(sqlite3.connect(small_disk / "x.db")) as connection:
        n_trials = connection.execute("SELECT count(*) FROM trials").fetchone()[0]
    assert n_trials > 5  # what was recorded before the disk was full is there
    (small_disk / "filler").unlink()
    resumed = hpo.run(definition, trials=n_trials + 10, **options)
    whole = hpo.run(definition, sampler="random", trials=n_trials + 10, database=tmp_path / "whole.db", progress="none")
    assert same_trials(resumed.trials) == same_trials(whole.trials)
    assert is_sound(small_disk / "x.db")
    resumed.database.close()
    whole.database.close()


@pytest.mark.parametrize("part", ["-wal cut", "-wal flipped", "-wal gone", "-shm gone", "file cut", "file flipped"])
def test_a_damaged_file_opens_with_every_trial_or_is_refused(script, tmp_path, part, crash):
    path = tmp_path / "x.db"
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{crash}{suffix}", f"{path}{suffix}")
    shutil.copytree(f"{crash}-locks", f"{path}-locks")
    n_recorded = max(int(file.read_text()) for file in Path(f"{path}-locks").glob("*.trials"))
    which, how = part.split()
    target = Path(f"{path}{which.removeprefix('file')}")
    content = target.read_bytes()
    if how == "gone":
        target.unlink()
    elif how == "cut":
        target.write_bytes(content[: len(content) * 2 // 3])
    else:
        middle = len(content) // 2
        flipped = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
        target.write_bytes(content[:middle] + flipped + content[middle + 64 :])
    process = start(script, path, "--trials", str(n_recorded + 2))
    _, errors = process.communicate(timeout=300)
    if process.returncode == 0:
        assert len(trials(path)) == n_recorded + 2
    else:
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        assert errors.strip().splitlines()[-1].startswith("hpo: ")


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    process = start(write_script(folder), folder / "x.db", "--trials", "60")
    while count(folder / "x.db") < 12 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    copy = folder / "copy.db"
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{folder / 'x.db'}{suffix}", f"{copy}{suffix}")
    shutil.copytree(f"{folder / 'x.db'}-locks", f"{copy}-locks")
    return copy


def test_trials_lost_with_the_log_are_missed_and_the_doctor_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    definition = tree_study(space=FLAT)
    made = hpo.run(definition, sampler="random", trials=3, database="x.db", progress="none")
    made.database.close()
    shutil.copy("x.db", "old.db")
    hpo.run(definition, sampler="random", trials=5, database="x.db", progress="none").database.close()
    shutil.copy("old.db", "x.db")
    with pytest.raises(
        hpo.UnusableDatabase, match=r"has 3 trials in .*, and 2 more had been recorded: .* hpo doctor says"
    ):
        hpo.run(definition, sampler="random", trials=6, database="x.db", progress="none")
    assert command(["doctor", "--database", "x.db"]) == 1
    assert "2 trials that were recorded are gone" in capsys.readouterr().out
    with hpo.StudyDatabase("x.db") as database:
        (finding,) = [finding for finding in examine(database) if "gone" in finding.what]
    subprocess.run(finding.mend.partition(": ")[2], shell=True, check=True)
    again = hpo.run(definition, sampler="random", trials=6, database="x.db", progress="none")
    assert len(again.trials) == 6
    again.database.delete(str(again.name))
    assert len(hpo.run(definition, sampler="random", trials=1, database=again.database, progress="none").trials) == 1
    again.database.close()


def test_a_clock_that_is_set_back_makes_no_negative_durations(tmp_path, monkeypatch):
    import datetime as real

    from hpo.samplers import ask_tell as proposals

    class Clock(real.datetime):
        hours = 0

        @classmethod
        def now(cls, zone=None):
            cls.hours -= 1
            return real.datetime.now(zone) + real.timedelta(hours=cls.hours)

    monkeypatch.setattr(proposals, "datetime", Clock)
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        for n in (4, 8):
            options = {"samplers": ["random", "tpe"], "repetitions": 2, "trials": n, "workers": 1, "progress": "none"}
            comparison = hpo.compare(tree_study(space=FLAT), database=database, **options)
        assert (comparison.curves["seconds"] > 0).all()
        assert comparison.curves.groupby(["sampler", "repetition"])["seconds"].is_monotonic_increasing.all()
        assert (database.trials()["finished"] >= database.trials()["started"]).all()
