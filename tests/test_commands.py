"""What the commands print can be pasted, read at 80 columns, and written anywhere."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import hpo
from hpo.cli import command

SCRIPT = '''
"""A tree on iris."""

from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo

study = hpo.StudyDefinition(
    name="NAME",
    data=load_iris,
    estimator=DecisionTreeClassifier(),
    space={"max_depth": hpo.Int(1, 9), "criterion": hpo.Categorical(["gini", "entropy"])},
    metric="neg_log_loss",
    split=hpo.CrossValidation(folds=3, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a space in its name, with a script of another name than its study's in another such folder."""
    here = tmp_path / "my work"
    (here / "the studies").mkdir(parents=True)
    (here / "the studies" / "first try.py").write_text(SCRIPT.replace("NAME", "my tree"))
    monkeypatch.chdir(here)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    return here


def ok(capsys, *argv: str) -> str:
    code = command(argv)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys, *argv: str) -> str:
    try:
        code = command(argv)
    except SystemExit as stop:  # argparse
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_trials_of_a_study_with_two_objectives_are_counted_once(folder, capsys):
    study = optuna.create_study(
        storage=f"sqlite:///{folder}/f.db", study_name="two", directions=["minimize", "maximize"]
    )
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.5), n_trials=3)
    (row,) = json.loads(ok(capsys, "list", "--json", "--database", "f.db"))
    assert row["complete"] == 3
    assert " 3/?" in ok(capsys, "list", "--database", "f.db")


def test_a_copied_study_has_a_name_of_its_own(folder, capsys):
    ok(capsys, "studies", "--copy", "wine-tree", "--to", "my_tree.py")
    ok(capsys, "studies", "--copy", "wine-tree", "--to", "it's @home.py")
    ok(capsys, "studies", "--copy", "wine-tree")
    assert hpo.find_study("my_tree.py").name == "my-tree"
    assert hpo.find_study("it's @home.py").name == "it-s -home"
    assert hpo.find_study("studies/wine_tree.py").name == "wine-tree"


HPO = re.compile(r"\bhpo (?:run|compare|show|list|export|try|delete|doctor|dashboard|studies) .*")


def printed(text: str) -> list[list[str]]:
    """The command lines in a text, as a shell would split them."""
    found = [shlex.split(line) for line in HPO.findall(text) + re.findall(r"\bhpo (?:list|dashboard)$", text, re.M)]
    return [words[1:] for words in found]


@pytest.mark.slow
def test_every_printed_command_can_be_pasted(folder, capsys):
    where = ["--database", "results/its own.db"]
    (folder / "results").mkdir()
    script, name = "the studies/first try.py", "my tree/random/split0-seed0"
    text = ok(capsys, "run", script, "--sampler", "random", "--trials", "3", *where)
    assert command(["run", script, "--sampler", "qmc", "--trials", "30", "--timeout", "0.001s", *where]) == 75
    text += capsys.readouterr().err
    text += ok(capsys, "compare", script, "--samplers", "random,qmc", "--repetitions", "2", "--trials", "4", *where)
    text += ok(capsys, "list", "--study", script, *where)
    text += (
        ok(capsys, "show", name, *where) + ok(capsys, "show", script, *where) + ok(capsys, "show", "my tree", *where)
    )
    text += ok(capsys, "export", name, "model", *where) + ok(capsys, "export", "my tree", "other", *where)
    assert command(["doctor", *where]) == 1
    text += capsys.readouterr().out
    text += refused(capsys, "show", "my tree/tpe/split0-seed3", *where)
    text += refused(capsys, "export", "my tree/manual/split0-seed0", "third", *where)
    commands = printed(text)
    assert {words[0] for words in commands} >= {"run", "list", "dashboard", "try"}
    for words in commands:
        if words[0] == "dashboard":
            continue  # it serves until it is stopped
        words += ["max_depth=3"] if words[0] == "try" else []
        assert command(words) == 0, (words, capsys.readouterr().err)
        capsys.readouterr()
    listed = json.loads(ok(capsys, "list", "--json", *where))
    assert {row["study"] for row in listed} == {"my tree"}
    assert "my tree/tpe/split0-seed3" in {row["run"] for row in listed}
    assert all(row["state"] == "done" for row in listed if row["sampler"] not in {"reference", "manual"})


def test_a_run_remembers_where_its_study_came_from(folder, capsys, monkeypatch):
    (folder / "results").mkdir()
    ok(capsys, "run", "the studies/first try.py", "--sampler", "random", "--trials", "3", "--database", "results/x.db")
    with hpo.StudyDatabase("results/x.db") as database:
        stored = database.run_attributes("my tree/random/split0-seed0")
    assert stored["origin"] == "../the studies/first try.py"
    moved = folder.parent / "moved"
    folder.rename(moved)  # script and database together
    monkeypatch.chdir(moved / "results")
    assert "model parameters are learned" in ok(capsys, "show", "my tree/random/split0-seed0", "--database", "x.db")
    ok(capsys, "run", "my tree", "--sampler", "random", "--trials", "4", "--database", "x.db")
    (moved / "the studies" / "first try.py").rename(moved / "second.py")
    said = ok(capsys, "show", "my tree/random/split0-seed0", "--database", "x.db")
    assert "is not there" in said
    assert "--study" in said
    argv = ["show", "my tree/random/split0-seed0", "--study", "../second.py", "--database", "x.db"]
    assert "model parameters are learned" in ok(capsys, *argv)
    ok(capsys, "export", "my tree", "model", "--study", "../second.py", "--database", "x.db")


def test_a_script_that_is_run_is_remembered_too(folder, capsys):
    code = "hpo.run(study, sampler='random', trials=2, database='hpo.db', progress='none')"
    (folder / "alone.py").write_text(SCRIPT.replace("NAME", "other").replace("hpo.main(study)", code))
    subprocess.run([sys.executable, "alone.py"], check=True)
    assert "model parameters are learned" in ok(capsys, "show", "other/random/split0-seed0")
    with hpo.StudyDatabase("hpo.db") as database:
        assert database.run_attributes("other/random/split0-seed0")["origin"] == "alone.py"


def test_runs_of_earlier_versions_are_found_as_before(folder, capsys):
    (folder / "plain.py").write_text(SCRIPT.replace("NAME", "plain"))
    ok(capsys, "run", "plain.py", "--sampler", "random", "--trials", "2")
    with hpo.StudyDatabase("hpo.db") as database, database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM study_user_attributes WHERE key = 'origin'")
    assert "model parameters are learned" in ok(capsys, "show", "plain/random/split0-seed0")


@pytest.mark.parametrize("text", ["print('hello')\n", "//host/share/evil.py", "\\\\host\\share\\evil.py"])
def test_a_database_cannot_have_any_file_run(folder, capsys, text):
    ok(capsys, "run", "the studies/first try.py", "--sampler", "random", "--trials", "2")
    target = text
    if text.startswith("print"):
        (folder / "evil.py").write_text("open('was run', 'w')\n")
        target = "evil.py"
    with hpo.StudyDatabase("hpo.db") as database:
        for run in ("my tree/random/split0-seed0", "my tree/reference/split0-seed0"):
            database.set_attributes(database.run_key(run), {"origin": target})
    assert "model parameters are not shown" in ok(capsys, "show", "my tree/random/split0-seed0")
    assert not (folder / "was run").exists()
