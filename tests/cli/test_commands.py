"""What the commands print can be pasted, read at 80 columns, and written anywhere."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from commanding import ok, refused
from conftest import optunas

import hpo
from hpo.cli.arguments import build_parser
from hpo.cli.main import COMMANDS, command

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


def test_trials_of_a_study_with_two_objectives_are_counted_once(folder, capsys):
    with optunas(f"sqlite:///{folder}/f.db") as storage:
        study = optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
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
    assert "7 trials" in ok(capsys, "run", "my tree/random/split0-seed0", "--trials", "7", "--database", "x.db")
    said = refused(capsys, "run", "my tree/random/split0-seed0", "--seed", "3", "--database", "x.db")
    assert "--seed 3 contradicts the name of the run" in said
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


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rnu", "wine-tree"], "did you mean run? (hpo --help)"),
        (["run", "wine-tree", "--trails", "5"], "did you mean --trials"),
        (["run", "wine-tree", "--trails=5"], "(hpo run --help)"),
        (["run", "wine-tree", "--progress", "bars"], "did you mean bar?"),
        (["run", "wine-tree", "--sampler", "tpee"], "there is no sampler 'tpee'; did you mean tpe? known: grid"),
        (["run", "wine-tree", "--sampler", "tpe(n_startup=3)"], "did you mean n_startup_trials?"),
        (["run", "wine-tree", "--pruner", "rcing"], "did you mean racing?"),
        (["run", "wine-tre"], "did you mean wine-tree?"),
        (["show", "wine-tree/random/split0-seed0"], "hpo run wine-tree --sampler random"),
        (["show", "wine-tree/random/split2-seed1"], "hpo run wine-tree --sampler random --split 2 --seed 1"),
        (["export", "wine-tree", "model", "--database", "my d.db"], "hpo run wine-tree --database 'my d.db'"),
        (["show", "nothing/random/split0-seed0"], "hpo studies lists the studies"),
    ],
)
def test_what_was_meant_is_offered(folder, capsys, argv, message):
    assert message in refused(capsys, *argv)


@pytest.mark.parametrize(("given", "meant"), [("mse", "neg_mean_squared_error"), ("auc", "roc_auc")])
def test_a_metric_by_its_initials_is_offered(folder, capsys, given, meant):
    (folder / "wrong.py").write_text(SCRIPT.replace("neg_log_loss", given))
    said = refused(capsys, "run", "wrong.py")
    assert f"'{given}' is not a scorer name" in said
    assert meant in said


def hpo_in(folder: Path, *argv: str, **more) -> subprocess.CompletedProcess:
    environment = {**os.environ, **more.pop("environment", {})}
    line = [sys.executable, "-m", "hpo", *argv]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False, **more)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_characters_that_the_output_lacks_are_replaced(folder, capsys, encoding):
    script, where = "the studies/first try.py", ["--database", "hpo.db"]
    ok(capsys, "run", script, "--sampler", "random", "--trials", "3", *where)
    for argv in (["show", "my tree", "--cost"], ["list"]):
        done = hpo_in(folder, *argv, *where, environment={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        assert "my tree" in done.stdout.decode(encoding)
        assert "log loss" in done.stdout.decode(encoding)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_and_a_deleted_folder_are_one_clear_line(folder):
    done = subprocess.run(
        f'"{sys.executable}" -m hpo samplers > /dev/full', shell=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == b"hpo: the output cannot be written: No space left on device\n"
    (folder / "gone").mkdir()
    # The command itself: with -c or -m Python looks for modules in the folder, of which 3.13.0 dies by itself.
    line = f'cd gone && rmdir ../gone && "{Path(sys.executable).with_name("hpo")}" list'
    done = subprocess.run(line, shell=True, capture_output=True, check=False)
    assert done.returncode == 2
    # Where its folder has a space in its name, the command begins with a shell, which has words of its own for this.
    assert done.stderr.endswith(b"hpo: the working directory was deleted: change to another folder\n")
    assert b"Traceback" not in done.stderr


def test_a_narrow_terminal_lacks_columns_and_breaks_no_name(monkeypatch, capsys):
    from rich.console import Console

    from hpo.cli import text

    monkeypatch.setenv("TERM", "xterm")  # rich gives a dumb terminal 80 columns, whatever it is told
    monkeypatch.setattr(text, "console", Console(force_terminal=True, width=60, highlight=False, color_system=None))
    name = "my tree/tpe(n_startup_trials=20)/split0-seed0"
    text.table(
        ["run", "state", "best", "seconds"], [[name, "done", "0.1", ""], ["b", "done", "0.2", ""]], spare=["state"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert any(name in line for line in lines)
    assert all(len(line.rstrip()) <= 60 for line in lines)
    assert "seconds" not in "".join(lines)  # a column without content


@pytest.mark.parametrize("name", ["run", "compare"])
def test_help_comes_in_groups_and_says_what_each_option_does(capsys, name):
    with pytest.raises(SystemExit):
        command([name, "--help"])
    out = capsys.readouterr().out
    places = [out.index(f"\n{group}:\n") for group in ("options", "budget", "workers", "resuming", "output")]
    assert places == sorted(places)
    assert places[1] < out.index("  --trials") < places[2] < out.index("  --workers") < places[3]
    for action in vars(build_parser(COMMANDS))["_subparsers"]._group_actions[0].choices[name]._actions:
        assert action.help, action


LARGE = """
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge

import hpo


def data():
    return make_regression(200, 5, noise=140, random_state=0)


study = hpo.StudyDefinition(
    name="large",
    data=data,
    estimator=Ridge(),
    space={"alpha": hpo.Float(1e-3, 1e-1, log=True)},
    metric="neg_mean_squared_error",
    split=hpo.CrossValidation(folds=3, test=0.2),
)
"""


def test_errors_that_hardly_differ_are_told_apart_wherever_they_are_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / "large.py").write_text(LARGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    compared = ["compare", "large.py", "--samplers", "random,grid", "--trials", "3", "--workers", "1"]
    said = {}
    for words in (
        ["run", "large.py", "--sampler", "random", "--trials", "6"], ["run", "large.py", "--sampler", "grid"], ["list"],
        ["show", "large"], ["show", "large", "--trial", "0"], ["show", "large", "--cost"],
        ["show", "large", "--curve", "alpha"], ["show", "large", "--select", "one-se"],
        ["try", "large.py", "alpha=0.01"],
        [*compared, "--repetitions", "1"], [*compared, "--repetitions", "2"], ["export", "large", "model"],
    ):  # fmt: skip
        assert command(words) == 0
        said[" ".join(words)] = capsys.readouterr().out
    together = "\n".join([*said.values(), (tmp_path / "model" / "README.md").read_text()])
    assert "e+0" not in together
    assert "nan" not in together
    assert re.search(r"best mean squared error (\S+) .* reference (?!\1)\S+;", said["show large"])
    bests = re.findall(r"split0-seed0 +done +\S+ +(\S+)", said["list"])
    assert len(bests) == len(set(bests)) == 3
    for words in [words for words in said if words.startswith("compare")]:
        rows = re.findall(r"^ ?(grid|random|reference) +(\d\S+) ", said[words], re.MULTILINE)
        assert len(rows) == len({value for _, value in rows}) == 3
        assert "held-out" not in said[words].partition("large: mean")[2].splitlines()[2]  # nothing is known of it


def test_every_option_says_what_it_does_and_its_default():
    (subparsers,) = (
        action for action in build_parser(COMMANDS)._actions if hasattr(action, "choices") and action.choices
    )
    for name, parser in subparsers.choices.items():
        for action in parser._actions:
            text = f"hpo {name} {'/'.join(action.option_strings) or action.dest}: {action.help}"
            assert action.help, text
            assert re.match(r"[A-Za-z]", action.help), text
            assert not action.help.startswith("default"), text
            if action.option_strings and action.nargs != 0 and action.default is not argparse.SUPPRESS:
                assert re.search(r"default|required|needed|hyperparameter|varied", action.help), text


@pytest.mark.parametrize("records", [False, True])
def test_an_interrupted_command_says_that_something_is_kept_only_where_it_is(folder, capsys, monkeypatch, records):
    text = SCRIPT.replace("NAME", "mine").replace("import hpo\n", "import hpo\nimport os, signal\n", 1)
    where = "DecisionTreeClassifier()" if records else "load_iris,\n    estimator"
    fit = "Ends()" if records else "lambda: os.kill(os.getpid(), signal.SIGINT) or load_iris(),\n    estimator"
    ends = """
class Ends(DecisionTreeClassifier):
    def fit(self, X, y):
        if self.max_depth == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return super().fit(X, y)

"""
    text = text.replace(where, fit, 1).replace("study = hpo", f"{ends}\nstudy = hpo", 1)
    Path("mine.py").write_text(text)
    monkeypatch.setattr("hpo.process.interrupts.Interrupts.has_recorded", False)
    assert command(["run", "mine.py", "--sampler", "grid"]) == 130
    said = capsys.readouterr().err
    assert ("; what was recorded is kept. To go on: hpo run mine.py --sampler grid\n" in said) is records
    assert ("hpo: interrupted before anything new was recorded. To go on: hpo run mine.py" in said) is not records


FALLS_INTO_A_DESTRUCTOR = """
import os, signal, sys, time
from hpo.process.interrupts import own_signals

own_signals("ended at once", 130)

class Falls:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10):
            time.sleep(0)

try:
    Falls()
    time.sleep(60)
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_that_falls_into_a_destructor_is_not_lost():
    done = subprocess.run([sys.executable, "-c", FALLS_INTO_A_DESTRUCTOR], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
