"""A team's database: a real PostgreSQL and a real MariaDB, each started here in a folder and on a port of its own."""

import contextlib
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
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import opened_by_optuna, same_trials, tree_study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages._rdb import models
from optuna.trial import create_trial
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo.dashboard.cache import collect
from hpo.dashboard.site import Browser
from hpo.database import locks
from hpo.database.records import TrialRecord
from hpo.database.run_name import RunName
from hpo.runs.doctor import examine

pytestmark = pytest.mark.slow


class Server:
    """A database server of our own; where we are root it runs as the user nobody, as servers refuse to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        self._options = {"cwd": folder, **(as_user if os.geteuid() == 0 else {})}
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        self._initialise()
        self.start()

    def _run(self, *command: object) -> None:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=120, **self._options)

    @property
    def url(self) -> str:
        return f"{self.scheme}://hpo@127.0.0.1:{self.port}/{self.database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"d{time.monotonic_ns()}"
        with hpo.StudyDatabase(self.url) as database, database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url.removesuffix(self.database) + name


class PostgreSQL(Server):
    scheme, database, package, driver = "postgresql", "postgres", "postgresql", "psycopg"

    @staticmethod
    def program(name: str) -> "Path | None":
        found = shutil.which(name)
        folders = [Path(found).parent] if found else []
        folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        return next((folder / name for folder in folders if (folder / name).exists()), None)

    first = program("initdb")

    def _initialise(self) -> None:
        initdb = self.program("initdb")
        self._run(initdb, "-D", self.folder / "data", "-U", "hpo", "-A", "trust", "--no-sync", "-E", "UTF8")

    def _control(self, *arguments: str) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        data, log = self.folder / "data", self.folder / "log"
        self._run(self.program("pg_ctl"), "-D", data, "-l", log, "-w", "-o", options, *arguments)

    def start(self) -> None:
        self._control("start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")


class MariaDB(Server):
    scheme, database, package, driver = "mysql", "hpo", "mariadb-server", "pymysql"

    @staticmethod
    def program(name: str) -> "str | None":
        return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

    first = program("mariadbd")

    def _initialise(self) -> None:
        install = self.program("mariadb-install-db")
        self._run(install, "--no-defaults", f"--datadir={self.folder / 'data'}", "--skip-test-db")
        (self.folder / "first.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS hpo;\nCREATE USER IF NOT EXISTS hpo;\nGRANT ALL ON *.* TO hpo;\n"
        )

    def start(self) -> None:
        places = [f"--{option}={self.folder / option}" for option in ("socket", "pid-file", "log-error")]
        self._process = subprocess.Popen(
            [
                *(self.program("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}", *places),
                *(f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"),
                *(f"--init-file={self.folder / 'first.sql'}", "--innodb-flush-log-at-trx-commit=2"),
            ],
            stderr=subprocess.DEVNULL,
            **self._options,
        )
        until = time.monotonic() + 300
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                if connection.recv(1):
                    return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log-error").read_text())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def where_installed(kind: type[Server]):
    marks = [
        pytest.mark.skipif(kind.first is None, reason=f"no server is installed: apt-get install {kind.package}"),
        pytest.mark.skipif(find_spec(kind.driver) is None, reason=f"{kind.driver} is missing: pip install '.[test]'"),
    ]
    return pytest.param(kind, marks=marks, id=kind.__name__)


@contextlib.contextmanager
def running(kind: type[Server]):
    folder = Path(tempfile.mkdtemp(prefix="hpo-"))  # short: a socket's path is limited to 107 bytes
    folder.chmod(0o755)
    started = kind(folder)
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=[where_installed(PostgreSQL), where_installed(MariaDB)])
def server(request):
    with running(request.param) as started:
        yield started


@pytest.fixture
def shared(server):
    with hpo.StudyDatabase(server.url) as database:
        yield database
        for name in database.runs()["run"]:
            database.delete(name)


def test_the_trials_are_those_of_a_file(shared, tmp_path):
    definition = tree_study()
    options = {"sampler": "tpe", "trials": 14, "progress": "none"}
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
    pages = Browser(shared, writable=False)
    try:
        for path, said in (("/comparison/", b"iris-tree"), ("/comparison/iris-tree", b"2 repetitions of 4 trials")):
            assert said in collect(pages, {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": ""})[2]
        assert not pages.is_empty()
    finally:
        pages.close()


def test_a_run_is_locked_across_processes_and_freed_by_death(shared, server):
    run = hpo.run(tree_study(), sampler="random", trials=2, database=shared, progress="none")
    script = (
        "import sys, time, hpo\n"
        "database = hpo.StudyDatabase(sys.argv[1])\n"
        "with database.holding(database.run_key(sys.argv[2])):\n"
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


def test_processes_at_once_on_an_empty_database(server):
    url = server.new_database()
    code = (
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import hpo\nfrom conftest import tree_study\n"
        "options = {'sampler': 'random', 'trials': 3, 'progress': 'none'}\n"
        "hpo.run(tree_study(), database=':memory:', **options)\n"  # all is imported before the start
        "url, start = sys.argv[1], time.time() + 0.3\n"
        "seed = next((seed for seed in range(1, 8) if os.fork() == 0), 0)\n"
        "time.sleep(max(0, start - time.time()))\n"
        "hpo.run(tree_study(), database=url, seed=seed, **options)\n"
        "if seed:\n"
        "    os._exit(0)\n"
        "sys.exit(sum(os.wait()[1] != 0 for _ in range(1, 8)))\n"
    )
    started = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stderr
    with hpo.StudyDatabase(url) as database:
        for seed in range(8):
            assert database.trials(f"iris-tree/random/split0-seed{seed}")["number"].tolist() == list(range(3))


def test_more_locks_than_the_pool_has_connections(shared):
    names = [RunName("s", 1, "random", 0, seed) for seed in range(30)]
    ids = {str(name): shared.create_run(name, {"budget": 4, "metric": "r2"}) for name in names}
    with contextlib.ExitStack() as held:
        for key in ids.values():
            held.enter_context(shared.holding(key))
        assert n_connections(shared) <= 5
        for key in ids.values():
            shared.record(key, record(create_trial(value=1.0), 0))
            with pytest.raises(hpo.RunInUse), shared.holding(key):
                pass
    assert shared.runs()["complete"].tolist() == [1] * 30
    with shared.holding(next(iter(ids.values()))):
        pass


def n_connections(database) -> int:
    """How many connections the server has to this database."""
    of = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = database()",
    }
    with database.engine.connect() as connection:
        dialect = "postgresql" if connection.dialect.name == "postgresql" else "mysql"
        return int(connection.exec_driver_sql(of[dialect]).scalar_one())


def test_many_threads_and_locks_take_five_connections(shared):
    ids = {f"s/random/split0-seed{seed}": None for seed in range(40)}
    for name in ids:
        ids[name] = shared.create_run(RunName.parse(name), {"budget": 4, "metric": "r2"})
    most, errors = [], []

    def work(name):
        try:
            with shared.holding(ids[name]):
                for number in range(3):
                    shared.record(ids[name], record(create_trial(value=1.0), number))
        except hpo.HpoError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ids]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(n_connections(shared))
        time.sleep(0.02)
    assert not errors
    assert max(most) <= 5
    assert shared.runs()["complete"].tolist() == [3] * 40


def test_locks_outlive_a_connection_that_breaks(shared, server):
    names = [f"s/random/split0-seed{seed}" for seed in range(3)]
    keys = [shared.create_run(RunName.parse(name), {"budget": 4, "metric": "r2"}) for name in names]
    with hpo.StudyDatabase(shared.url) as other, shared.holding(keys[0]):
        server.stop()
        server.start()
        with shared.holding(keys[1]):  # finds the connection broken
            for key in keys[:2]:
                with pytest.raises(hpo.RunInUse), other.holding(key):
                    pass
    with other.holding(keys[0]), other.holding(keys[1]):
        pass
    other.close()


def test_locks_are_those_of_one_database(shared, server):
    with (
        hpo.StudyDatabase(server.new_database()) as other,
        locks.locked(shared.engine, None, "1"),
        locks.locked(other.engine, None, "1"),
    ):
        pass


NOW = datetime(2026, 3, 4, 5, 6, 7, 654321, tzinfo=UTC)


def record(trial, number):
    trial.number = number
    return TrialRecord(trial, NOW, NOW + timedelta(microseconds=1_000_001), {})


def test_nothing_is_cut_or_confused(shared):
    choices = [f"{number:05d}" for number in range(20_000)]  # more than 64 KB
    searched = {
        "größe 🌳": (0.1 + 0.2, FloatDistribution(0, 1)),
        "c": (5e-324, FloatDistribution(0, 1)),
        "C": (1.7976931348623157e308, FloatDistribution(0, 1.7976931348623157e308)),
        "long": ("19999", CategoricalDistribution(choices)),
    }
    trial = create_trial(
        value=-2.2250738585072014e-308,
        params={name: value for name, (value, _) in searched.items()},
        distributions={name: distribution for name, (_, distribution) in searched.items()},
        user_attrs={"error": "ä🌳" * 50_000, "e": 1, "E": 2},
    )
    names = [RunName(study, 1, "tpe", 0, 0) for study in ("bäume-🌳", "a", "A", "ä")]
    ids = {str(name): shared.create_run(name, {"budget": 4, "metric": "r2"}) for name in names}
    assert len(set(ids.values())) == 4
    for name, key in ids.items():
        assert shared.run_key(name) == key
        for _ in range(2):  # as after a commit in doubt
            shared.record(key, record(trial, 0))
        with opened_by_optuna(name, shared.url) as study:
            (read,) = study.trials
            assert (read.value, read.params, read.distributions) == (trial.value, trial.params, trial.distributions)
            assert read.user_attrs == trial.user_attrs
    assert (shared.trials(study="a")["finished"] - NOW.replace(tzinfo=None)).tolist() == [timedelta(seconds=1.000001)]
    later = TrialRecord(trial, NOW, NOW + timedelta(seconds=1), {})
    with pytest.raises(hpo.RunInUse):
        shared.record(ids["a/tpe/split0-seed0"], later)


def test_tables_that_optuna_made_are_mended_by_what_the_doctor_says(server):
    url = server.new_database()
    with hpo.StudyDatabase(url) as database:
        assert list(examine(database)) == []
        models.BaseModel.metadata.drop_all(database.engine)
        models.BaseModel.metadata.create_all(database.engine)
    with hpo.StudyDatabase(url) as database:
        found = list(examine(database))
        if isinstance(server, PostgreSQL):
            assert found == []
            return
        (finding,) = found
        assert finding.what.startswith("Optuna made the tables")
        with database.engine.begin() as connection:
            for statement in finding.mend.split(";")[:-1]:
                connection.exec_driver_sql(statement)
        assert list(examine(database)) == []
        test_nothing_is_cut_or_confused(database)


def test_a_server_that_restarts_while_nobody_writes_is_not_noticed(shared, server):
    hpo.run(tree_study(), sampler="random", trials=3, database=shared, progress="none")
    server.stop()
    server.start()
    run = hpo.run(tree_study(), sampler="random", trials=6, database=shared, progress="none")
    assert run.trials["number"].tolist() == list(range(6))


def test_a_server_that_is_away_is_one_clear_line(shared, server):
    server.stop()
    try:
        for read in (shared.runs, lambda: shared.optuna_trials(1), lambda: shared.attributes(1)):
            with pytest.raises(hpo.UnusableDatabase, match=r"cannot be used: .*(refused|failed|closed|lost|connect)"):
                read()
    finally:
        server.start()


class Slow(DecisionTreeClassifier):
    def fit(self, X, y):
        time.sleep(0.05)
        return super().fit(X, y)


def test_a_server_that_is_away_for_a_while_loses_and_repeats_nothing(shared, server, tmp_path, capsys):
    definition = tree_study(estimator=Slow())
    options = {"sampler": "tpe", "trials": 9, "progress": "none"}

    def outage():
        for _ in range(500):
            if shared.n_trials("iris-tree/tpe/split0-seed0") >= 2:
                break
            time.sleep(0.02)
        server.stop()
        time.sleep(1.0)
        server.start()

    thread = threading.Thread(target=outage)
    thread.start()
    run = hpo.run(definition, database=shared, **options)
    thread.join()
    assert "the result is held" in capsys.readouterr().err
    here = hpo.run(definition, database=tmp_path / "x.db", **options)
    assert same_trials(run.trials) == same_trials(here.trials)
    here.database.close()


def test_a_result_is_held_when_the_server_is_away_before_its_table_is_there(server):
    with hpo.StudyDatabase(server.new_database()) as database:
        key = database.create_run(RunName("s", 1, "random", 0, 0), {"budget": 4, "metric": "r2"})
        server.stop()
        back = threading.Timer(1.0, server.start)
        back.start()
        database.hold(key, 0, "key", {0: {"score": 1.0}})
        back.join()
        assert database.held(key.study_id) == {(0, "key"): {0: {"score": 1.0}}}


@pytest.mark.parametrize(("scheme", "extra"), [("postgresql", "postgres"), ("mysql", "mysql"), ("mariadb", "mysql")])
def test_a_missing_driver_is_named_with_its_extra(scheme, extra, monkeypatch):
    for module in ("psycopg", "psycopg2", "MySQLdb", "pymysql"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(hpo.UnusableDatabase, match=rf"pip install 'hpo-studies\[{extra}\]'"):
        hpo.StudyDatabase(f"{scheme}://hpo@127.0.0.1:1/x")
