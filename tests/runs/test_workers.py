"""Real workers: evaluator processes behind Dask, here and behind a scheduler in other processes."""

import asyncio
import contextlib
import dataclasses
import datetime
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import FLAT, TIMES, same_trials, tree_study
from distributed import Client
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info
from tornado import locks

import hpo
from hpo import CrossValidation, Int
from hpo.evaluation.dask_engine import Workers
from hpo.process.cores import cores
from hpo.study.publication import Publication, read_publication

pytestmark = pytest.mark.slow


def threads(estimator, X, y):
    return float(max((pool["num_threads"] for pool in threadpool_info()), default=1))


def is_alone(estimator, X, y):
    """Whether the process is no Dask worker, and has nobody's terminal."""
    return float("distributed" not in sys.modules and os.getsid(0) == os.getpid())


@pytest.fixture
def study():
    return tree_study(space=FLAT, extra_metrics=[threads, is_alone])


def run(definition, database, **options):
    return hpo.run(definition, **{"database": database, "progress": "none", **options})


def evaluators() -> list[psutil.Process]:
    """Evaluator processes of this process."""
    return [
        child for child in psutil.Process().children() if "hpo.evaluation.child_process" in " ".join(child.cmdline())
    ]


def test_two_workers_find_what_one_finds(tmp_path, study):
    sampler, lag = "tpe(n_startup_trials=4)", 2
    two = run(study, tmp_path / "2.db", sampler=sampler, trials=5, workers=2)
    two = run(study, tmp_path / "2.db", sampler=sampler, trials=10, workers=2)  # resumed
    one = run(study, tmp_path / "1.db", sampler=sampler, trials=10, lag=lag)
    assert (two.trials.pop("threads") * 2 <= max(cores(), 2)).all()
    assert two.trials["is_alone"].tolist() == [1.0] * 10
    trials = [r.trials.drop(columns=["threads", "is_alone"]) for r in (two, one)]
    assert same_trials(trials[0]) == same_trials(trials[1])
    assert two.attributes["threads"] == max(1, cores() // 2)
    assert two.attributes.get("lag") == lag
    assert not evaluators()
    for made in (one, two):
        made.database.close()


def test_a_comparison_is_the_same_for_any_number_of_workers_and_after_ten_interruptions(tmp_path):
    definition = tree_study(space=FLAT)
    tables = []
    for workers in (1, 2, 4):
        with hpo.StudyDatabase(tmp_path / f"{workers}.db") as database:
            options = {
                "samplers": ["grid", "random", "tpe(n_startup_trials=4)"], "repetitions": 3, "trials": 8,
                "database": database, "progress": "none",
            }  # fmt: skip
            for n in range(10 if workers == 4 else 0):
                with contextlib.suppress(hpo.NotComparable):
                    hpo.compare(definition, workers=2 if n == 5 else 1, timeout=0.1 + n / 50, **options)
            comparison = hpo.compare(definition, workers=workers, **options)
            tables.append(comparison.table.drop(columns=[*TIMES & set(comparison.table)]))
            assert comparison.curves.groupby(["sampler", "repetition"])["trial"].apply(list).map(len).eq(8).all()
    for table in tables[1:]:
        assert table.equals(tables[0])


class Naughty(DecisionTreeClassifier):
    """What its depth says goes wrong."""

    def fit(self, X, y):
        match self.max_depth:
            case 2:
                time.sleep(1000)
            case 3:
                self.big_ = np.ones((2000, 1 << 17))  # 2 GB
            case 4:
                os.kill(os.getpid(), signal.SIGKILL)
            case 5:
                print("x" * 1_000_000)
            case 6:
                sys.exit(3)
            case 7:
                subprocess.Popen(["sleep", "1000"])
                os.abort()
        return super().fit(X, y)


def unpicklable(estimator, X, y):
    return threading.Lock() if estimator.max_depth == 8 else -1.0


def test_what_goes_wrong_fails_and_its_neighbours_do_not_notice(tmp_path, capfd):
    definition = tree_study(
        space={"max_depth": Int(1, 9, grid=9)}, estimator=Naughty(), extra_metrics=[unpicklable],
        split=CrossValidation(folds=2), reference={"max_depth": 1},
    )  # fmt: skip
    made = run(definition, tmp_path / "x.db", sampler="grid", workers=2, trial_timeout=3, trial_memory=800)
    trials = made.trials.set_index("params_max_depth").sort_index()
    assert trials["state"].tolist() == ["COMPLETE", *["FAIL"] * 3, "COMPLETE", *["FAIL"] * 3, "COMPLETE"]
    errors = trials["error"]
    assert errors[2].startswith("TrialTimeout: not done after 3")
    assert errors[3].startswith("TrialMemory: above 800 MB (MemoryError: Unable to allocate")
    assert errors[4] == "WorkerDied: 3 workers died of it, the last by signal SIGKILL"
    assert errors[6] == "SystemExit: 3"
    assert errors[7] == "WorkerDied: 3 workers died of it, the last by signal SIGABRT"
    assert "lock" in errors[8]
    assert trials.loc[2, "fit_seconds"] > 2.9
    assert (trials.loc[[1, 5, 9], "peak_memory_mb"] < 800).all()
    assert sorted(trials["number"]) == list(range(9))
    assert "x" * 1_000_000 in capfd.readouterr().err  # and not between the answers
    # What a configuration has started dies with it.
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1000"]]
    made.database.close()


class Patient(DecisionTreeClassifier):
    def fit(self, X, y):
        time.sleep(0.15)
        return super().fit(X, y)


def test_workers_killed_before_during_and_after_a_fit(tmp_path):
    definition = tree_study(space=FLAT, estimator=Patient())
    options = {"sampler": "tpe(n_startup_trials=4)", "trials": 12, "lag": 2}
    killed, is_done = [], threading.Event()

    def kill():
        # As it comes up, and in or between its fits; the same trial three times, on a slow machine, would be its end.
        while len(killed) < 2 and not is_done.wait(0.05):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                evaluators()[0].kill()
                killed.append(time.monotonic())
                is_done.wait(1.5)

    thread = threading.Thread(target=kill)
    thread.start()
    made = run(definition, tmp_path / "x.db", workers=2, **options)
    is_done.set()
    thread.join()
    assert len(killed) == 2
    whole = run(definition, tmp_path / "whole.db", **options)
    assert same_trials(made.trials) == same_trials(whole.trials)
    made.database.close()
    whole.database.close()


def test_a_limit_of_memory_below_what_libraries_take_says_so(tmp_path, study):
    with pytest.raises(hpo.RunFailed, match=r"TrialMemory: the process takes \d+ MB for libraries and data alone"):
        run(study, tmp_path / "x.db", sampler="random", trials=1, trial_memory=20)


def test_data_are_mapped_and_not_copied(tmp_path, study, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    X = np.arange(60_000.0).reshape(20_000, 3)
    data = hpo.Data(X, X[:, 0] > 5, fit_params={"sample_weight": X[:, 1]})
    published = Publication(study, data, "ab" * 32)
    definition, mapped = read_publication(str(published.path))
    assert (definition.name, definition.space.fingerprint) == (study.name, study.space.fingerprint)
    for part, original in ((mapped.X, X), (mapped.y, data.y), (mapped.fit_params["sample_weight"], X[:, 1])):
        assert isinstance(part, np.memmap)
        assert not part.flags.writeable
        np.testing.assert_array_equal(part, original)
    leftover = tmp_path / "hpo-data-dead"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    other = Publication(study, data, "cd" * 32)
    assert not leftover.exists()
    assert published.path.exists()  # its owner lives
    published.close()
    other.close()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_sent_is_refused_before_anything_is_made(tmp_path):
    lock = threading.Lock()

    def scorer(estimator, X, y):
        return float(lock.locked())

    definition = tree_study(space=FLAT)
    object.__setattr__(definition, "metric", scorer)  # a definition would not take it: it cannot be fingerprinted
    with pytest.raises(hpo.InvalidDefinition, match="iris-tree cannot be sent to another process: TypeError: "):
        Publication(definition, hpo.Data(*load_iris(return_X_y=True)), "00")


def test_an_estimator_with_workers_of_its_own_is_named(tmp_path, capsys):
    from sklearn.ensemble import RandomForestClassifier

    definition = tree_study(space={"n_estimators": Int(2, 4)}, estimator=RandomForestClassifier(n_jobs=-1))
    run(definition, tmp_path / "x.db", sampler="random", trials=2, workers=2, progress="lines").database.close()
    assert "the estimator sets n_jobs=-1 beside 2 workers" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, -1, 2.5, True, "many", "http://localhost:80", "dask://nowhere", None])
def test_workers_must_be_a_number_or_an_address(tmp_path, study, workers):
    with pytest.raises(hpo.InvalidOption, match=r"workers=.*: give a whole number from 1 to 1000, or the address"):
        run(study, tmp_path / "x.db", workers=workers)
    assert not list(tmp_path.iterdir())


def test_nothing_listens_to_the_network(tmp_path, study):
    seen = []

    def watch():
        while thread_runs:
            seen.extend(c.laddr.ip for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN)
            time.sleep(0.01)

    thread_runs = [True]
    thread = threading.Thread(target=watch)
    thread.start()
    run(study, tmp_path / "x.db", sampler="random", trials=2, workers=2).database.close()
    thread_runs.clear()
    thread.join()
    assert set(seen) <= {"127.0.0.1", "::1"}


# --- a cluster of other processes ---


def test_an_alarm_clock_that_dask_leaves_behind_is_no_last_word(capfd, caplog):
    engine = Workers(1, None)
    loop = engine.client.loop
    asleep = threading.Event()

    def leave_behind():
        locks.Event().wait(timeout=datetime.timedelta(milliseconds=1))  # as distributed.batched does; nobody reads it
        asyncio.get_running_loop().create_future().set_exception(ValueError("a true fault"))
        loop.call_later(0.05, asleep.set)

    loop.add_callback(leave_behind)
    assert asleep.wait(60)
    engine.close()
    gc.collect()
    assert "a true fault" in caplog.text
    assert "Timeout" not in caplog.text + "".join(capfd.readouterr())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Cluster:
    """A Dask scheduler and workers, each a process of its own."""

    def __init__(self, folder, n_workers: int) -> None:
        self.port = free_port()
        self.folder = folder
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.workers = [self.start_worker() for _ in range(n_workers)]

    def _start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )  # fmt: skip

    def start_worker(self):
        return self._start(
            "worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--local-directory", str(self.folder),
        )  # fmt: skip

    @property
    def address(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def wait_until_open(self) -> None:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def without_our_disk():
    """What a worker on another host answers; travels to the workers as it is."""

    def answer(path):
        import dataclasses

        from hpo.evaluation.dask_worker import greet

        return dataclasses.replace(greet(path), sees=False)

    return answer


@contextlib.contextmanager
def opened(folder, n_workers):
    """A cluster that can be reached, and that is killed at the end, stopped processes too."""
    folder.mkdir()
    started = Cluster(folder, n_workers)
    try:
        started.wait_until_open()
        yield started
    finally:
        started.close()


@pytest.fixture
def cluster(tmp_path):
    with opened(tmp_path / "dask", 2) as started:
        yield started


def test_a_cluster_of_others_that_shares_no_disk_and_is_lost(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("hpo.evaluation.dask_attendance.greet", without_our_disk())
    definition = tree_study(space=FLAT, estimator=Patient(), extra_metrics=[threads])
    options = {"sampler": "tpe(n_startup_trials=4)", "lag": 2}
    first = run(definition, tmp_path / "x.db", workers=cluster.address, trials=3, **options)
    assert (first.trials["threads"] * 2 <= max(cores(), 2)).all()
    assert not list(cluster.folder.rglob("*.joblib"))  # the copies are gone with the coordinator
    first.database.close()

    def lose():
        while len(hpo.StudyDatabase(tmp_path / "x.db").trials()) < 6:
            time.sleep(0.05)
        cluster.scheduler.kill()
        lost.append(time.monotonic())

    lost: list[float] = []
    thread = threading.Thread(target=lose)
    thread.start()
    with pytest.raises(hpo.ClusterLost, match="the connection to the Dask scheduler is lost") as error:
        run(definition, tmp_path / "x.db", workers=cluster.address, trials=40, **options)
    thread.join()
    assert time.monotonic() - lost[0] < 60  # 5 s on a quiet machine
    assert error.value.exit_code == 75
    resumed = run(definition, tmp_path / "x.db", trials=10, **options)
    whole = run(definition, tmp_path / "whole.db", trials=10, **options)
    assert same_trials(resumed.trials.drop(columns="threads")) == same_trials(whole.trials.drop(columns="threads"))
    resumed.database.close()
    whole.database.close()


def test_a_worker_that_joins_later_is_sent_the_study_when_it_needs_it(tmp_path, cluster, study, monkeypatch):
    share, calls = Workers.share_publication, []
    monkeypatch.setattr("hpo.evaluation.dask_attendance.greet", without_our_disk())

    def late(self, *, again=False):
        calls.append(self)
        if again:  # as if all had seen it at first
            share(self, again=again)

    monkeypatch.setattr(Workers, "share_publication", late)
    submit = Client.submit

    def hidden(self, function, task, **options):
        elsewhere = str(tmp_path / "elsewhere" / Path(task.path).name)
        return submit(self, function, dataclasses.replace(task, path=elsewhere), **options)

    monkeypatch.setattr(Client, "submit", hidden)
    made = run(study, tmp_path / "x.db", sampler="random", workers=cluster.address, trials=2)
    assert made.trials["value"].notna().all()
    assert len(calls) > 1
    made.database.close()


def test_a_cluster_with_other_versions_is_refused(tmp_path, cluster, study, monkeypatch):
    monkeypatch.setattr("hpo.evaluation.dask_engine.versions", lambda: {"scikit-learn": "0.1"})
    with pytest.raises(hpo.WorkerBroken, match=r"has scikit-learn 1\.\S+ instead of 0\.1: install the same versions"):
        run(study, tmp_path / "x.db", workers=cluster.address, trials=2)


def test_nobody_at_the_address(tmp_path, study):
    with pytest.raises(hpo.InvalidOption, match="no Dask scheduler answers there"):
        run(study, tmp_path / "x.db", workers=f"dask://127.0.0.1:{free_port()}", trials=2)
    assert not list(tmp_path.iterdir())


def test_the_logistic_regression_of_a_stranger():
    """A study whose estimator is scikit-learn's own runs with workers as well."""
    definition = hpo.StudyDefinition(
        name="plain", data=load_iris, estimator=LogisticRegression(max_iter=200),
        space={"C": hpo.Float(0.01, 10, log=True)}, metric="neg_log_loss",
    )  # fmt: skip
    made = hpo.run(definition, sampler="qmc", trials=4, database=":memory:", workers=2, progress="none")
    assert made.trials["value"].notna().all()
    made.database.close()
