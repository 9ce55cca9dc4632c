"""What strangers may have written into a database or a model's folder: nothing of it runs, and nothing crashes."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from conftest import FLAT, same_trials, tree_study
from optuna.samplers import CmaEsSampler, RandomSampler
from optuna.storages._rdb.models import BaseModel
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo.cli.main import command
from hpo.database import records
from hpo.database.passwords import command_again, hide_passwords

NAME = "iris-tree/random/split0-seed0"
NUMBERS = {name: FLAT[name] for name in ("ccp_alpha", "max_depth", "min_samples_leaf")}
ALEMBIC = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32)))
TABLES = {
    t.name: t for t in (*BaseModel.metadata.sorted_tables, *vars(records).values(), ALEMBIC) if isinstance(t, sa.Table)
}
# Every column that may hold a text, of every table of Optuna's and ours.
TEXTS = [(name, c.name) for name, table in TABLES.items() for c in table.columns if isinstance(c.type, sa.String)]
UNREADABLE = [
    ("study_user_attributes", "value_json"),
    ("trial_user_attributes", "value_json"),
    ("trial_params", "distribution_json"),
]


class Marker:
    """A pickle that makes a folder where it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database with rows in every table: runs of several samplers, a comparison, held results and learning curves."""
    path = tmp_path_factory.mktemp("filled") / "x.db"
    study = tree_study(space=NUMBERS)
    with hpo.StudyDatabase(path) as database:
        for sampler in ("random", "tpe", "cmaes", "grid"):
            run = hpo.run(study, sampler=sampler, trials=9, database=database, progress="none")
        run.export(path.with_name("model"))
        look = {"samplers": ["random", "tpe"], "trials": 9, "resplit": True, "repetitions": 1, "looks": "any"}
        database.record_look("iris-tree", look)
        compare(study, database)
        key = database.run_key(NAME)
        database.hold(key, 9, "k", {0: {"score": 1.0}})
        with database.engine.begin() as connection:
            records.make_table(connection, records.learning_curves)
            curve = json.dumps({"steps": [1], "scores": [0.5], "state": "COMPLETE"})
            row = {"study_id": key.study_id, "number": 3, "fold": 0, "curve": curve}
            connection.execute(records.learning_curves.insert().values(row))
    return path


def read_all(path):
    """What each method reads that is asked for one run or study."""
    with hpo.StudyDatabase(path, must_exist=True) as database:
        study_id = database.study_id(NAME)
        for read in (
            database.trials, database.runs, lambda: database.curves(study_id), lambda: database.held(study_id),
            lambda: database.looks("iris-tree"), lambda: database.test_scores("iris-tree"),
            lambda: database.sampler_state(study_id), lambda: database.optuna_trials(study_id),
        ):  # fmt: skip
            with contextlib.suppress(hpo.HpoError):
                read()


def compare(study, database):
    """What is read of the sealed test rows and of earlier looks."""
    return hpo.compare(study, samplers=["random", "tpe"], repetitions=2, trials=9, database=database, progress="none")


def planted(filled, path, table, column, value):
    """A copy of the database with a value in every row of a column, or in one where it may not be there twice."""
    shutil.copy(filled, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))
        (n_planted,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (value,)).fetchone()
    assert n_planted > 0, f"{table} has no rows"


def walk(path, tmp_path, capsys):
    """Every way in which a database is read; none ends in a traceback."""
    study = tree_study(space=NUMBERS)
    calls = [lambda: read_all(path)]
    calls += [
        lambda sampler=sampler: hpo.run(study, sampler=sampler, trials=10, database=path, progress="none")
        for sampler in ("random", "tpe", "cmaes")
    ]
    calls += [lambda: compare(study, path).conclusions]
    calls += [
        lambda: hpo.run(study, sampler="random", trials=10, database=path, progress="none").export(tmp_path / "m")
    ]
    lines = [["list"], ["list", "--json"], ["show", NAME, "--no-refit"], ["show", NAME, "--trial", "3"], ["doctor"]]
    lines += [["delete", NAME, "--yes"]]
    calls += [lambda line=line: command([*line, "--database", str(path)]) for line in lines]
    for call in calls:
        with contextlib.suppress(hpo.HpoError):
            call()
    assert "Traceback" not in capsys.readouterr().err


def test_every_column_that_may_hold_a_text_is_known(filled):
    with contextlib.closing(sqlite3.connect(filled)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            (name, column)
            for name in names
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({name})")
            if kind.split("(")[0] not in {"INTEGER", "FLOAT", "DATETIME"}
        }
    assert found == set(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "bytes"])
@pytest.mark.parametrize(("table", "column"), TEXTS)
def test_a_planted_pickle_runs_nowhere(filled, tmp_path, table, column, kind, capsys):
    mark = tmp_path / "mark"
    path = tmp_path / "y.db"
    stored = pickle.dumps(Marker(mark))
    planted(filled, path, table, column, json.dumps(stored.hex()) if kind == "text" else stored)
    walk(path, tmp_path, capsys)
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize("value", ["null", "{", "NaN", "[1]", '"\\ud800"'])
@pytest.mark.parametrize(("table", "column"), UNREADABLE)
def test_what_cannot_be_read_is_one_clear_line(filled, tmp_path, table, column, value, capsys):
    path = tmp_path / "y.db"
    planted(filled, path, table, column, value)
    walk(path, tmp_path, capsys)


# --- CMA-ES ---


def cma(trial):
    x, y, z = (
        trial.suggest_float("x", -5, 5),
        trial.suggest_float("y", 1e-3, 10, log=True),
        trial.suggest_int("z", 0, 9),
    )
    return -((x - 1) ** 2) - (y - 2) ** 2 - z


def asked(kind, options, *, cuts=(), lag=1, n_trials=40):
    """What a sampler that is made afresh for each trial proposes; the study is copied at each cut."""
    study, under_way, proposed = optuna.create_study(direction="maximize"), [], []
    for number in range(n_trials):
        if number in cuts:
            copied = optuna.create_study(direction="maximize")
            copied.add_trials(study.trials)
            study = copied
        study.sampler = kind(seed=number, warn_independent_sampling=False, **options)
        trial = study.ask()
        under_way.append((trial, cma(trial)))
        proposed.append(trial.params)
        if len(under_way) == lag:
            trial, value = under_way.pop(0)
            failed = trial.number % 11 == 5
            study.tell(trial, None if failed else value, state=optuna.trial.TrialState.FAIL if failed else None)
    return proposed, study


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "options",
    [{}, {"popsize": 4}, {"use_separable_cma": True}, {"with_margin": True, "popsize": 5}, {"lr_adapt": True}],
)
def test_cma_es_without_pickles_proposes_what_optunas_proposes(options):
    from hpo.samplers.cma_es import ReplayedCmaEs

    for lag in (1, 3):
        ours, study = asked(ReplayedCmaEs, options, lag=lag)
        assert ours == asked(CmaEsSampler, options, lag=lag)[0]
        assert not [key for trial in study.trials for key in trial.system_attrs if "optimizer" in key]
    assert asked(ReplayedCmaEs, options, cuts=(9, 20, 21, 39))[0] == asked(ReplayedCmaEs, options)[0]


def test_a_run_with_the_pickles_of_an_earlier_version_goes_on_without_reading_them(tmp_path):
    study = tree_study(space=NUMBERS)
    path, mark = tmp_path / "x.db", tmp_path / "mark"
    whole = hpo.run(study, sampler="cmaes(popsize=4)", trials=24, database=tmp_path / "whole.db", progress="none")
    hpo.run(study, sampler="cmaes(popsize=4)", trials=12, database=path, progress="none")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
            "SELECT trial_id, 'cma:optimizer:0', ? FROM trials",
            (json.dumps(pickle.dumps(Marker(mark)).hex()),),
        )
    resumed = hpo.run(study, sampler="cmaes(popsize=4)", trials=24, database=path, progress="none")
    assert same_trials(resumed.trials) == same_trials(whole.trials)
    assert not mark.exists()


def keeps_text(seed):
    """A sampler that keeps a text in the database."""

    class Keeps(RandomSampler):
        def after_trial(self, study, trial, state, values):
            study._storage.set_study_system_attr(study._study_id, "keeps:state", pickle.dumps({"n": 1}).hex())
            study._storage.set_trial_system_attr(trial._trial_id, "keeps:state", pickle.dumps({"n": 1}).hex())

        def before_trial(self, study, trial):
            study._storage.set_study_system_attr(study._study_id, "keeps:state", pickle.dumps({"n": 1}).hex())

    return Keeps(seed=seed)


def test_the_text_of_a_sampler_of_ones_own_is_read_only_where_the_database_is_trusted(database, tree):
    def go_on(trials, **options):
        return hpo.run(tree, sampler=keeps_text, trials=trials, database=database, progress="none", **options)

    go_on(3)
    with pytest.raises(hpo.UntrustedDatabase, match=r"'keeps:state'.* --trust-database \(trust_database=True\)"):
        go_on(5)
    assert len(go_on(5, trust_database=True).trials) == 5


# --- text ---


def test_text_that_nothing_can_store_is_written_out():
    from hpo.json_text import from_json, readable, to_json

    error = "cannot open " + b"caf\xe9".decode("utf-8", "surrogateescape") + " \0 end"
    assert from_json(to_json({"error": error, "of": ["\ud800", 1.5, None, "🌳"]})) == {
        "error": "cannot open caf\\udce9 \\x00 end",
        "of": ["\\ud800", 1.5, None, "🌳"],
    }
    assert readable(json.dumps(error).encode()) == to_json(error)
    assert readable(b"\xff") == "\\xff"
    assert from_json("{") is None


def test_a_failure_with_such_a_text_is_shown(database, capsys):
    run = hpo.run(tree_study(), sampler="random", trials=2, database=database, progress="none")
    with contextlib.closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) SELECT trial_id, 'error', ? FROM trials",
            (json.dumps("a\udce9\0b"),),  # as earlier versions wrote it
        )
    assert "a\\udce9" in set(database.trials()["error"]).pop()
    assert run.trial(1).attributes["error"] == "a\\udce9\\x00b"
    for line in (["list"], ["show", NAME, "--trial", "1"]):
        assert command([*line, "--database", str(database.path)]) == 0
    assert "a\\udce9" in capsys.readouterr().out


# --- passwords ---

SECRET = "s3cr@t:word"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr%40t:word@localhost:1/x",
        "postgresql://me@localhost:1/x?password=s3cr%40t:word",
        "mysql://me:s3cr%40t:word@localhost:1/x",
        "postgresql://me:s3cr@t:word@localhost:1/x?sslpassword=s3cr%40t:word",
        "oracle://me:s3cr%40t:word@localhost:1/x",
    ],
)
def test_a_password_is_never_printed(url, capfd):
    for words in (
        ["list", "--database", url],
        ["list", f"--database={url}"],
        ["list", url],
        ["studies", "--copy", url],
        ["run", url],
    ):
        try:
            code = command(words)
        except SystemExit as stop:  # argparse
            code = stop.code
        assert code != 0
        assert "s3cr" not in "".join(capfd.readouterr()), words


def test_a_process_of_its_own_never_prints_a_password():
    words = [sys.executable, "-m", "hpo", "list", "--database", "postgresql://me:s3cr%40t:word@localhost:1/x"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "s3cr" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_goes_on_leaves_the_password_to_the_environment():
    url = "postgresql://me:secret@host/db"
    for given in (["--database", url], [f"--database={url}"], ["--data", f"{url}?sslmode=require"]):
        again = command_again(["hpo", "run", "power", *given, "--trials", "5"])
        assert again == "hpo run power --trials 5 (with the database's URL in HPO_DATABASE)"
    assert command_again(["hpo", "run", "x y", "--database", "x.db"]) == "hpo run 'x y' --database x.db"
    assert hide_passwords("dask://host:8786 and postgresql://me@host:5432/x") == (
        "dask://host:8786 and postgresql://me@host:5432/x"
    )


# --- models ---


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    study = tree_study("iris-logit", estimator=LogisticRegression(), space={"C": hpo.Float(0.1, 1)})
    hpo.run(study, sampler="random", trials=1, database=folder / "x.db", progress="none").export(folder / "model")
    return folder / "model"


def forge(folder, **said):
    """Change the manifest so that it matches its own digest again."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **said}
    manifest.pop("digest")
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": hashlib.sha256(text.encode()).hexdigest()}))


def with_model(folder, content):
    """Put another model in, which the manifest names."""
    (folder / "model.skops").write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    forge(folder, files=files | {"model.skops": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}})


def replaced_by(kind):
    def spoil(folder):
        file = folder / "model.skops"
        file.unlink()
        {
            "a pipe": lambda: os.mkfifo(file),
            "a device": lambda: file.symlink_to("/dev/zero"),
            "a folder": lambda: file.mkdir(),
            "a link to nothing": lambda: file.symlink_to(folder / "nothing"),
        }[kind]()

    return spoil


def newer_skops(folder):
    import io
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(folder / "model.skops") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                content = json.dumps({**json.loads(content), "protocol": 999, "__loader__": "NewNode"}).encode()
            new.writestr(name, content)
    with_model(folder, made.getvalue())


def deep_manifest(folder):
    (folder / "manifest.json").write_text("[" * 100_000)


SPOILT = {
    "a newer skops": (newer_skops, hpo.UntrustedModel),
    "no archive": (lambda folder: with_model(folder, b"PK\x03\x04 broken"), hpo.UntrustedModel),
    "an empty archive": (lambda folder: with_model(folder, b"PK\x05\x06" + bytes(18)), hpo.UntrustedModel),
    "an added file": (lambda folder: (folder / "sklearn.py").write_text("raise SystemExit"), hpo.ModelTampered),
    "recursion": (deep_manifest, hpo.ModelTampered),
    "versions that are none": (lambda folder: forge(folder, versions=[1]), None),
    "files that are none": (lambda folder: forge(folder, files={"model.skops": "x"}), hpo.ModelTampered),
    **{
        kind: (replaced_by(kind), hpo.ModelTampered) for kind in ("a pipe", "a device", "a folder", "a link to nothing")
    },
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_folder_with_anything_in_it_raises_what_is_promised(exported, tmp_path, kind):
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    spoil, error = SPOILT[kind]
    spoil(folder)
    if error is None:
        assert isinstance(hpo.load_model(folder), LogisticRegression)
        return
    with pytest.raises(error):
        hpo.load_model(folder)


def test_a_search_never_runs_what_its_database_holds(tmp_path):
    path, mark = tmp_path / "x.db", tmp_path / "mark"
    X, y = load_iris(return_X_y=True)

    def search():
        space = {"max_depth": hpo.Int(1, 8), "ccp_alpha": hpo.Float(1e-4, 0.1)}
        made = hpo.SearchCV(
            DecisionTreeClassifier(random_state=0), space, sampler="cmaes(popsize=4)", n_trials=8, random_state=0,
            database=str(path),
        )  # fmt: skip
        return made.fit(X, y)

    search()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
            "SELECT trial_id, 'cma:optimizer:0', ? FROM trials",
            (json.dumps(pickle.dumps(Marker(mark)).hex()),),
        )
    assert len(search().run_.trials) == 8
    assert not mark.exists()
