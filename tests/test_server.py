"""A team's database: a real PostgreSQL, started here in a folder and on a port of its own."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import same_trials, tree_study
from sklearn.tree import DecisionTreeClassifier

import hpo


def binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL's server is not installed: apt-get install postgresql"),
    pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed: pip install '.[postgres]'"),
]


class Server:
    """A PostgreSQL cluster; as root it runs as the user nobody, as PostgreSQL refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.binaries = folder, binaries()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = getpass.getuser()
        if os.geteuid() == 0:
            self.user = "nobody"
            shutil.chown(folder, "nobody", pwd.getpwnam("nobody").pw_gid)
        self._run("initdb", "-D", str(folder / "data"), "-U", "hpo", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        as_user = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        subprocess.run(
            [str(self.binaries / program), *arguments], check=True, capture_output=True, cwd=self.folder, timeout=120,
            **(as_user if os.geteuid() == 0 else {}),
        )  # fmt: skip

    def _control(self, *arguments: str) -> None:
        log = str(self.folder / "log")
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-w", "-o", options, *arguments)

    def start(self) -> None:
        self._control("start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://hpo@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def server():
    folder = Path(tempfile.mkdtemp(prefix="hpo-pg-"))  # short: a socket's path is limited to 107 bytes
    folder.chmod(0o755)
    started = Server(folder)
    yield started
    started.stop()
    shutil.rmtree(folder)


@pytest.fixture
def shared(server):
    with hpo.StudyDatabase(server.url) as database:
        yield database
        for name in database.runs()["run"]:
            database.delete(name)


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid"])
def test_the_trials_are_those_of_a_file(shared, tmp_path, sampler):
    definition = tree_study()
    options = {"sampler": sampler, "trials": 14, "progress": "none"}
    hpo.run(definition, database=shared, **{**options, "trials": 6})
    there = hpo.run(definition, database=shared, **options)
    here = hpo.run(definition, database=tmp_path / "x.db", **options)
    assert same_trials(there.trials) == same_trials(here.trials)
    columns = ["run", "state", "complete", "failed", "budget", "best", "metric"]
    assert shared.runs()[columns].to_dict("records") == here.database.runs()[columns].to_dict("records")
    here.database.close()


def test_a_comparison_on_a_server(shared):
    comparison = hpo.compare(
        tree_study(), samplers=["random", "grid"], repetitions=2, trials=4, database=shared, progress="none"
    )
    assert comparison.table["trials"].tolist() == [8, 8]


def test_a_run_is_locked_across_processes_and_freed_by_death(shared, server):
    run = hpo.run(tree_study(), sampler="random", trials=2, database=shared, progress="none")
    script = (
        "import sys, time, hpo\n"
        "database = hpo.StudyDatabase(sys.argv[1])\n"
        "with database.holding(sys.argv[2], database.study_id(sys.argv[2])):\n"
        "    print('holding', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, server.url, str(run.name)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "holding\n"
    with pytest.raises(hpo.RunInUse, match=f"by process {process.pid} on "):
        hpo.run(tree_study(), sampler="random", trials=4, database=shared, progress="none")
    process.kill()
    process.communicate()
    for _ in range(100):  # the server notices the death of its client at once, but not before us
        try:
            run = hpo.run(tree_study(), sampler="random", trials=4, database=shared, progress="none")
            break
        except hpo.RunInUse:
            time.sleep(0.05)
    assert len(run.trials) == 4


def test_two_coordinators_on_different_runs(shared, server):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import hpo\nfrom conftest import tree_study\n"
        "url, seed = sys.argv[1], int(sys.argv[2])\n"
        "hpo.run(tree_study(), sampler='random', seed=seed, trials=20, database=url, progress='none')\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, server.url, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    runs = shared.runs().set_index("run")
    assert [runs.loc[f"iris-tree/random/split0-seed{seed}", "complete"] for seed in range(3)] == [20] * 3
    for seed in range(3):
        assert shared.trials(f"iris-tree/random/split0-seed{seed}")["number"].tolist() == list(range(20))


def test_a_server_that_restarts_while_nobody_writes_is_not_noticed(shared, server):
    hpo.run(tree_study(), sampler="random", trials=3, database=shared, progress="none")
    server.stop()
    server.start()
    run = hpo.run(tree_study(), sampler="random", trials=6, database=shared, progress="none")
    assert run.trials["number"].tolist() == list(range(6))


def test_a_server_that_is_away_is_one_clear_line(shared, server):
    server.stop()
    try:
        with pytest.raises(hpo.UnusableDatabase, match=r"cannot be used: .*(refused|failed)"):
            shared.runs()
    finally:
        server.start()


class Slow(DecisionTreeClassifier):
    def fit(self, X, y):
        time.sleep(0.05)
        return super().fit(X, y)


def test_a_server_that_is_away_for_a_while_loses_and_repeats_nothing(shared, server, tmp_path, capsys):
    definition = tree_study(estimator=Slow())
    options = {"sampler": "tpe", "trials": 30, "progress": "none"}

    def outage():
        for _ in range(2):
            time.sleep(0.7)
            server.stop()
            time.sleep(1.0)
            server.start()

    thread = threading.Thread(target=outage)
    thread.start()
    run = hpo.run(definition, database=shared, **options)
    thread.join()
    assert "holding the result" in capsys.readouterr().err
    here = hpo.run(definition, database=tmp_path / "x.db", **options)
    assert same_trials(run.trials) == same_trials(here.trials)
    here.database.close()
