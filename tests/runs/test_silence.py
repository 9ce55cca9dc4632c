"""Clusters that fall silent, lose their coordinator, lack workers, or have one of another version: real processes."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import FLAT, tree_study
from test_workers import free_port, opened

import hpo

pytestmark = pytest.mark.slow

SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import numpy as np
import hpo
from conftest import tree_study
from sklearn.tree import DecisionTreeClassifier

def data():
    X = np.zeros(({rows}, 1000))
    X[:, 0] = np.arange(len(X)) % 7
    return X, X[:, 0] > 3

class Slow(DecisionTreeClassifier):
    def fit(self, X, y):
        time.sleep({seconds})
        return super().fit(X[:50, :2], y[:50])
    def predict(self, X):
        return super().predict(X[:, :2])

study = tree_study("slow", data=data, estimator=Slow(), space={{"max_depth": hpo.Int(1, 40, grid=40)}},
    metric="accuracy", split=hpo.Holdout(0.2, 0.2), reference={{"max_depth": 1}})
{more}
if __name__ == "__main__":
    hpo.main(study)
"""


def write(folder, *, rows=200, seconds=0.3, more="") -> Path:
    path = Path(folder) / "slow.py"
    path.write_text(SLOW.format(tests=str(Path(__file__).parents[1]), rows=rows, seconds=seconds, more=more))
    return path


def begin(script, database, address, *options, prefix=(), **environment):
    command = [sys.executable, str(script), "--sampler", "grid", "--database", str(database), "--workers", address]
    return subprocess.Popen(
        [*prefix, *command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def until(condition, seconds=300.0, *, process=None):
    """Wait for something, on however busy a machine; not once the process has ended that is to bring it."""
    deadline = time.monotonic() + seconds
    while True:
        has_ended = process is not None and process.poll() is not None
        if found := condition():
            return found
        if has_ended:
            _, errors = process.communicate(timeout=60)
            pytest.fail(f"it has not come, and the process ended with {process.returncode}: {errors}")
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.2)


def test_waiting_for_a_process_that_has_ended_says_what_it_said():
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no disk')"], stderr=subprocess.PIPE, text=True)
    ended.wait()
    with pytest.raises(pytest.fail.Exception, match="ended with 1: no disk"):
        until(lambda: False, process=ended)


def n_trials(path) -> int:
    if not Path(path).exists():
        return 0
    with contextlib.suppress(hpo.HpoError), hpo.StudyDatabase(path) as database:
        return len(database.trials())
    return 0


@pytest.fixture
def cluster(tmp_path):
    with opened(tmp_path / "dask", 2) as started:
        yield started


def test_a_scheduler_that_is_stopped_ends_the_coordinator_and_the_run_goes_on(tmp_path, cluster):
    database = tmp_path / "x.db"
    process = begin(write(tmp_path), database, cluster.address)
    until(lambda: n_trials(database) > 3, process=process)
    cluster.scheduler.send_signal(signal.SIGSTOP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "the connection to the Dask scheduler is lost; the same command goes on from here" in errors
    assert "Traceback" not in errors
    before = n_trials(database)
    again = begin(tmp_path / "slow.py", database, "2", "--trials", str(before + 2))
    again.communicate(timeout=120)
    assert again.returncode == 0


def resident_mb(process) -> float:
    return sum(p.memory_info().rss for p in [psutil.Process(process.pid)]) / 2**20


def test_what_a_killed_coordinator_left_is_removed_after_its_lease(tmp_path, cluster):
    rooms = "from hpo.evaluation import dask_attendance, dask_engine\n"
    lease = rooms + "dask_engine.LEASE_SECONDS = dask_attendance.LEASE_SECONDS = 6.0\n"
    blind = f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_workers\n"
    blind += "dask_attendance.greet = test_workers.without_our_disk()\n"
    script = write(tmp_path, rows=8_000, more=lease + blind)  # 64 MB
    plain = resident_mb(cluster.scheduler)
    for n in range(1):
        database = tmp_path / f"{n}.db"
        process = begin(script, database, cluster.address)
        until(lambda path=database: n_trials(path) > 2, process=process)
        assert resident_mb(cluster.scheduler) > plain + 40
        assert list(cluster.folder.rglob("*.joblib"))
        process.kill()
        process.communicate()
    until(lambda: not list(cluster.folder.rglob("*.joblib")))
    # Its memory goes with them; when the allocator gives it back to the system is its own affair.
    until(lambda: not [c for w in cluster.workers for c in psutil.Process(w.pid).children()])


def test_a_worker_of_another_version_is_left_out_with_a_warning(tmp_path, cluster):
    other = tmp_path / "other" / "sklearn_is_older.pth"
    other.parent.mkdir()
    (other.parent / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "own = m.version\n"
        "m.version = lambda name: '0.1' if name == 'scikit-learn' else own(name)\n"
        "import sklearn\nsklearn.__version__ = '0.1'\n"
    )
    odd = subprocess.Popen(
        [
            sys.executable, "-m", "dask", "worker", f"tcp://127.0.0.1:{cluster.port}", "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--local-directory", str(tmp_path / "other"),
        ],
        env={**os.environ, "PYTHONPATH": str(other.parent)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cluster.workers.append(odd)
    process = begin(
        write(tmp_path, seconds=1), tmp_path / "x.db", cluster.address, "--trials", "12", "--progress", "lines"
    )
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert errors.count("left out: the worker tcp://127.0.0.1:") == 1, errors
    assert "has scikit-learn 0.1 instead of" in errors
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        assert (database.trials("slow/grid/split0-seed0")["state"] == "COMPLETE").all()


def test_workers_that_never_come_are_waited_for_and_then_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("hpo.evaluation.dask_engine.SECONDS_WITHOUT_WORKERS", 7.0)
    with opened(tmp_path / "dask", 0) as empty:
        with pytest.raises(hpo.ClusterLost, match=r"has had no workers for 7 s; the same command goes on") as error:
            hpo.run(tree_study(space=FLAT), database=tmp_path / "x.db", workers=empty.address, progress="none")
        assert error.value.exit_code == 75


# --- two hosts ---


def can_make_hosts() -> str | None:
    """Why not, or None."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    if shutil.which("ip") is None:
        return "there is no ip command"
    made = subprocess.run(["ip", "netns", "add", "hpo-probe"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "hpo-probe"], capture_output=True)
    return None if made.returncode == 0 else f"network namespaces cannot be made: {made.stderr.strip()}"


@pytest.fixture
def hosts():
    """Two network namespaces with a cable between them: 10.203.7.1 and 10.203.7.2."""
    reason = can_make_hosts()
    if reason is not None:
        pytest.skip(reason)
    names = [f"hpo-{os.getpid()}-{side}" for side in "ab"]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        a, b = names
        subprocess.run(
            ["ip", "-n", a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b], check=True
        )
        for number, name in enumerate(names, 1):
            subprocess.run(["ip", "-n", name, "addr", "add", f"10.203.7.{number}/24", "dev", "cable"], check=True)
            for device in ("cable", "lo"):
                subprocess.run(["ip", "-n", name, "link", "set", device, "up"], check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def inside(name, *command):
    return ["ip", "netns", "exec", name, *command]


SILENCES = {
    "the link goes down": ("ip", "-n", "{}", "link", "set", "cable", "down"),
    "packets to the coordinator are dropped": ("ip", "-n", "{}", "route", "add", "blackhole", "10.203.7.1/32"),
}


@pytest.mark.parametrize("silence", SILENCES)
def test_silence_between_two_hosts_ends_the_coordinator(tmp_path, hosts, silence):
    here, there = hosts
    folder = tmp_path / "dask"
    folder.mkdir()
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    scheduler = subprocess.Popen(
        inside(there, *dask, "scheduler", "--host", "10.203.7.2", "--port", "8786", "--no-dashboard"), **quiet
    )
    worker = subprocess.Popen(
        inside(there, *dask, "worker", "tcp://10.203.7.2:8786", "--host", "10.203.7.2", "--nthreads", "1", "--no-nanny",
               "--no-dashboard", "--local-directory", str(folder)), **quiet,
    )  # fmt: skip
    database = tmp_path / "x.db"
    try:
        probe = inside(here, sys.executable, "-c", "import socket; socket.create_connection(('10.203.7.2', 8786), 1)")
        until(lambda: subprocess.run(probe, capture_output=True).returncode == 0)
        script = write(tmp_path, more="import atexit\natexit.register(print, 'Python ends')")
        process = begin(script, database, "dask://10.203.7.2:8786", prefix=inside(here))
        until(lambda: n_trials(database) > 3, process=process)
        subprocess.run([word.format(there) for word in SILENCES[silence]], check=True)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == 75, errors
        assert "the connection to the Dask scheduler is lost" in errors
        assert "Traceback" not in errors
        assert "Python ends" not in said  # of its handlers, Dask's wait for the scheduler
    finally:
        for started in (worker, scheduler):
            started.kill()
            started.wait()


# --- certificates ---


def listens(port) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def certificate(tmp_path):
    """A certificate that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True,
    )  # fmt: skip
    return paths


def test_a_cluster_behind_certificates_is_used_with_one_and_refused_without(tmp_path, certificate):
    cert, key = map(str, certificate)
    port = free_port()
    tls = ["--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    dask, address = [sys.executable, "-m", "dask"], f"tls://127.0.0.1:{port}"
    own = "--no-dashboard", *tls
    started = [
        subprocess.Popen([*dask, "scheduler", "--host", f"tls://127.0.0.1:{port}", *own], **quiet),
        subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-nanny", *own], **quiet),
    ]
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    ours = {f"{prefix}CA_FILE": cert, f"{prefix}CLIENT__CERT": cert, f"{prefix}CLIENT__KEY": key}
    try:
        until(lambda: listens(port))
        script = write(tmp_path, seconds=0.01)
        process = begin(script, tmp_path / "x.db", address, "--trials", "3", **ours)
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert n_trials(tmp_path / "x.db") == 4  # and the reference
        process = begin(script, tmp_path / "y.db", address, "--trials", "3")
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 2, errors
        assert "no Dask scheduler answers there" in errors
        assert "Traceback" not in errors
    finally:
        for process in started:
            process.kill()
            process.wait()
