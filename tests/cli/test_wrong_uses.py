"""What a newcomer does wrong, from an empty folder: one clear line each, with what to do, and nothing is made."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_commands import SCRIPT, ok, refused

from hpo.cli.main import command
from hpo.cli.streams import between_words

TABLE = "age,plan,bought\n" + "".join(f"{18 + i % 40},{i % 3},{'no' if i % 2 else 'yes'}\n" for i in range(60))
METRIC = "def mae(estimator, X, y):\n    return abs(estimator.predict(X) - y).mean()\n\n\nstudy ="


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a script and a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    (tmp_path / "tree.py").write_text(SCRIPT.replace("NAME", "tree"))
    (tmp_path / "shop.csv").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(("typed", "answer"), [
    ("", "give a COMMAND, as in hpo studies"),
    ("help", "(hpo --help)"),
    ("run", "the following arguments are required: STUDY (hpo run --help)"),
    ("run tree", "did you mean tree.py?"),
    ("run ./tree", "did you mean tree.py?"),
    ("run Tree.py", "there is no script 'Tree.py'; did you mean tree.py?"),
    ("run wine_tree.py", "did you mean wine-tree?"),
    ("run shop.csv", "hpo new NAME --csv shop.csv --target COLUMN writes a study of it"),
    ("run .", "known: breast-cancer-logistic"),
    ("run tree/random/split0", "write one as in digits-mlp/tpe/split0-seed0"),
    ("run tree.py --trials 1e3", "argument --trials: '1e3' is not a whole number"),
    ("run tree.py --target low", "argument --target: 'low' is not a number"),
    ("run tree.py --seed -1", "seed=-1: give a whole number, 0 or more"),
    ("run tree.py --timeout -5", "cannot parse duration '-5': write 90s"),
    ("run tree.py --workers 0", "workers=0: give a whole number from 1 to 1000"),
    ("run tree.py --sampler bayes", "did you mean tpe or gp?"),
    ("run tree.py --sampler tpe,random", "hpo compare has several: --samplers tpe,random"),
    ("run tree.py --pruner medain", "did you mean median?"),
    ("run tree.py --database shop.csv", "is not an SQLite database: name another file with --database"),
    ("run tree.py --database .", "is a folder: name a file in it"),
    ("compare tree.py --samplers random|tpe", "hpo compare has several: --samplers random,tpe"),
    ("compare tree.py --samplers tpe", "samplers=tpe: give two or more"),
    ("new shop --csv shop.csv", "name the column to predict, as in --target bought; it has age, plan, bought"),
    ("new shop --csv shop.csv --target bougth", "did you mean 'bought'?"),
    ("new shop --csv sohp.csv --target bought", "'sohp.csv' cannot be read: No such file"),
    ("new shop --csv shop.csv --target bought --task regresion", "did you mean regression?"),
    ("try tree.py", "as in name=value: max_depth (1 to 9), criterion (entropy, gini)"),
    ("try max_depth=3", "the study comes first, then name=value"),
    ("try tree.py depth=3", "did you mean max_depth?"),
    ("try tree.py max_depth=deep", "it takes whole numbers; the space has 1 to 9"),
    ("try tree.py criterion=ginny", "it takes one of entropy, gini"),
    ("show nothing", "there is no study database at {here}/hpo.db yet; hpo studies lists the studies that can be run"),
    ("show tree", "hpo run tree.py"),
    ("export tree.py", "the following arguments are required: PATH (hpo export --help)"),
    ("delete tree", "there is no study database at"),
])  # fmt: skip
def test_what_is_typed_wrong_is_one_line_that_helps(folder, capsys, typed, answer):
    there = sorted(folder.iterdir())
    assert answer.format(here=folder) in refused(capsys, *(word.replace("|", " ") for word in typed.split()))
    assert sorted(folder.iterdir()) == there


@pytest.mark.parametrize(("old", "new", "answer"), [
    ('"max_depth"', '"tree__max_depth"', "did you mean max_depth?"),
    ("=DecisionTreeClassifier()", '=Pipeline([("a", DecisionTreeClassifier())])', "did you mean a__criterion?"),
    ('["gini", "entropy"]', '"gini"', "the choices of a Categorical are 'gini': give a list"),
    ("hpo.Int(1, 9)", "(1, 9)", "write hpo.Int(1, 9) for the range, [1, 9] for the choices"),
    ("hpo.Int(1, 9)", "5", "a fixed value is set in the estimator"),
    ("neg_log_loss", "log_loss", "did you mean neg_log_loss?"),
    ("neg_log_loss", "mean_squared_error", "did you mean neg_mean_squared_error?"),
    ("data=load_iris,", "data=load_iris(),", "data is a Bunch: give a function that returns X and y"),
    ("data=load_iris,", 'data="shop.csv",', "data is 'shop.csv': give a function that returns X and y"),
    ("test=0.2", "test=20", "test=20 is not a fraction"),
])  # fmt: skip
def test_what_is_written_wrong_in_a_script_is_one_line_that_helps(folder, capsys, old, new, answer):
    text = (
        (folder / "tree.py").read_text().replace("import hpo\n", "import hpo\nfrom sklearn.pipeline import Pipeline\n")
    )
    assert old in text
    (folder / "tree.py").write_text(text.replace(old, new))
    assert answer in refused(capsys, "run", "tree.py", "--trials", "2")
    assert not (folder / "hpo.db").exists()


def test_trials_that_fail_say_why_and_how_to_see_where(folder, capsys):
    script = (folder / "tree.py").read_text().replace('["gini", "entropy"]', '["gini", "entropi"]')
    (folder / "tree.py").write_text(script)
    said = ok(capsys, "run", "tree.py", "--sampler", "random", "--trials", "3")
    assert re.search(r"3 trials, \d failed", said)
    assert "failed with: InvalidParameterError: The 'criterion' parameter of DecisionTreeClassifier must be" in said
    again = re.search(r"to see where: hpo (show .*)", said)
    assert "Traceback" in ok(capsys, *again[1].split())


def test_a_metric_that_sounds_like_an_error_is_asked_about_before_the_first_fit(folder, capsys):
    script = (folder / "tree.py").read_text().replace('metric="neg_log_loss"', "metric=mae").replace("study =", METRIC)
    (folder / "tree.py").write_text(script)
    assert command(["run", "tree.py", "--sampler", "random", "--trials", "2"]) == 0
    assert "give hpo.Metric(mae, greater_is_better=False) if lower is better" in capsys.readouterr().err


def test_a_script_that_moved_or_changed_says_what_to_do(folder, capsys):
    ok(capsys, "run", "tree.py", "--sampler", "random", "--trials", "2")
    text = (folder / "tree.py").read_text()
    (folder / "tree.py").write_text(text.replace("max_depth", "min_samples_leaf"))
    assert "Undo the change, or use --new-version" in refused(capsys, "run", "tree.py", "--trials", "3")
    (folder / "tree.py").rename(folder / "other.py")
    assert "put it back, or name its script (hpo run SCRIPT.py;" in refused(capsys, "run", "tree", "--trials", "3")


def test_prose_is_broken_between_words_and_what_is_pasted_is_not():
    command_line = "hpo run 'my study.py' --sampler random --trials 20 --database 'some where/hpo.db'"
    said = between_words(f"there is no such run; to make one: {command_line}", 30)
    assert said.splitlines() == ["there is no such run; to make", "one:", command_line]
    assert between_words("wrong option (hpo run --help)", 20).splitlines() == ["wrong option", "(hpo run --help)"]
    assert between_words("    a list of\nlines that is long", 12) == "    a list\n    of\nlines that\nis long"


@pytest.mark.parametrize("typed", [["rnu"], ["studies", "--to", "x.py"]])
def test_a_terminal_breaks_no_word_of_a_message(folder, typed):
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "hpo", *typed]
    done = subprocess.run(line, stderr=theirs, stdout=theirs, env={**os.environ, "COLUMNS": "40"}, check=False)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 2
    assert len(said.splitlines()) > 1
    assert all(len(line) <= 40 for line in said.splitlines())


def test_a_signal_before_anything_is_imported_ends_without_a_word():
    code = "import signal; from hpo.cli import entry; import sys; sys.modules['hpo.cli.main'] = None\n"
    code += "try:\n    entry()\nexcept ImportError:\n    signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
