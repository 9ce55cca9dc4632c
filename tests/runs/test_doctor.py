"""hpo doctor names what is wrong, and what it names is mended by the command it gives."""

import shlex

import pytest
from conftest import opened_by_optuna, tree_study

import hpo
from hpo.cli.main import command
from hpo.runs.doctor import examine

SCRIPT = """
import sys
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
import hpo
study = hpo.StudyDefinition(
    name="quick", data=load_iris, estimator=DecisionTreeClassifier(), space={"max_depth": hpo.Int(1, 6)},
    metric="neg_log_loss", split=hpo.CrossValidation(folds=2),
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quick.py").write_text(SCRIPT)
    return tmp_path


def findings(folder):
    with hpo.StudyDatabase(folder / "hpo.db") as database:
        return list(examine(database))


def mend(finding) -> int:
    return command(shlex.split(finding.mend.partition(",")[0])[1:] + (["--yes"] if "delete" in finding.mend else []))


def test_a_database_in_order(folder, capsys):
    command(["run", "quick", "--sampler", "random", "--trials", "3"])
    capsys.readouterr()
    assert command(["doctor"]) == 0
    assert "hpo.db is in order" in capsys.readouterr().out


def test_an_interrupted_run_is_named_and_its_command_finishes_it(folder, capsys):
    command(["run", "quick", "--sampler", "tpe(n_startup_trials=2)", "--trials", "5", "--timeout", "0.001s"])
    (finding,) = findings(folder)
    assert "quick/tpe(n_startup_trials=2)/split0-seed0 is unfinished" in finding.what
    assert command(["doctor"]) == 1
    assert finding.mend in capsys.readouterr().out
    assert mend(finding) == 0
    assert findings(folder) == []


def test_the_holder_that_died_is_named(folder):
    command(["run", "quick", "--sampler", "random", "--trials", "5", "--timeout", "0.001s"])
    with hpo.StudyDatabase(folder / "hpo.db") as database:
        key = database.run_key("quick/random/split0-seed0")
        dead = '{"host": "here", "pid": 4711, "since": "2026-01-01T00:00:00+00:00"}'
        database.set_attributes(key, {"holder": dead})
        (finding,) = examine(database)
        assert "was interrupted (process 4711 on here, since 2026-01-01" in finding.what
        with database.holding(key):
            assert list(examine(database)) == []  # under way


def test_trials_of_somebody_else_are_named(folder):
    command(["run", "quick", "--sampler", "random", "--trials", "2"])
    with opened_by_optuna("quick/random/split0-seed0", f"sqlite:///{folder}/hpo.db") as study:
        study.optimize(lambda trial: trial.suggest_int("max_depth", 1, 6), n_trials=1)
    (finding,) = findings(folder)
    assert "trial 2 (COMPLETE) was written by something else" in finding.what
    assert mend(finding) == 0
    assert findings(folder) == []


def test_a_changed_definition_is_named(folder):
    command(["run", "quick", "--sampler", "random", "--trials", "2"])
    script = folder / "studies" / "quick.py"
    script.write_text(SCRIPT.replace("folds=2", "folds=3"))
    (finding,) = findings(folder)
    assert finding.what == "quick changed since its runs were made: split"
    assert mend(finding) == 0
    assert [f.what for f in findings(folder)] == []
    script.write_text("1 / 0")
    (finding,) = findings(folder)
    assert "its definition cannot be loaded: quick.py raised ZeroDivisionError" in finding.what


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "hpo.db"
    with hpo.StudyDatabase(path) as database:
        hpo.run(tree_study(), sampler="random", trials=30, database=database, progress="none")
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            root = connection.exec_driver_sql(
                "SELECT rootpage FROM sqlite_master WHERE name = 'ix_trials_study_id'"
            ).scalar()
            size = connection.exec_driver_sql("PRAGMA page_size").scalar()
    content = bytearray(path.read_bytes())
    start = (root - 1) * size
    content[start + 200 : start + size] = bytes(size - 200)  # an index page loses its entries
    path.write_bytes(content)
    with hpo.StudyDatabase(path) as database:
        found = [finding for finding in examine(database) if "damaged" in finding.what]
    assert found
    assert ".recover" in found[0].mend
