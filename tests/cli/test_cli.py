"""The command line as a user meets it: in a folder of its own, one clear line for what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from commanding import ok, refused

import hpo
from hpo.cli.main import command, main

ALONE = ("--workers", "1")  # workers take seconds to come up
SCRIPT = '''
"""A quick study."""
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
import hpo
study = hpo.StudyDefinition(
    name="quick", data=load_iris, estimator=DecisionTreeClassifier(),
    space={"max_depth": hpo.Int(1, 6), "ccp_alpha": hpo.Float(1e-4, 1e-1, log=True)},
    metric="neg_log_loss", split=hpo.CrossValidation(folds=2),
)
if __name__ == "__main__":
    hpo.main(study)
'''
LOUD = """import hpo, os
def load():
    print("loading")
    os.system("echo from below")
    return load_iris()
"""
RUN = "quick/random/split0-seed0"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    (tmp_path / "quick.py").write_text(SCRIPT)
    return tmp_path


def test_run_list_show_delete(folder, capsys, monkeypatch):
    out = ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "6")
    assert f"{RUN}: 6 trials" in out
    assert "log loss" in out
    assert "lower is better" in out
    assert "-0." not in out  # errors are shown positive
    assert str(folder / "hpo.db") in out
    listed = ok(capsys, "list")
    assert RUN in listed
    assert "6/6" in listed
    shown = ok(capsys, "show", RUN)
    assert "max_depth" in shown
    assert "reference" in shown
    one = ok(capsys, "show", RUN, "--trial", "3")
    assert "peak_memory_mb" in one
    assert "-0." not in one
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("n\n"))
    assert "nothing was deleted" in ok(capsys, "delete", RUN)
    assert "deleted" in ok(capsys, "delete", RUN, "--yes")
    assert RUN not in ok(capsys, "list")


def test_json_and_files(folder, capsys):
    summary = json.loads(ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "4", "--json"))
    assert summary["run"] == RUN
    assert summary["ended_by"] == "budget"
    assert summary["best"]["value"] < 0  # programs get the scorer's sign
    runs = json.loads(ok(capsys, "list", "--json"))
    assert [row["run"] for row in runs] == ["quick/reference/split0-seed0", RUN]
    assert json.loads(ok(capsys, "show", RUN, "--json"))["best"] == summary["best"]
    with hpo.StudyDatabase("hpo.db") as database:
        expected = database.trials(RUN)
    for name, read in {"t.csv": pd.read_csv, "t.parquet": pd.read_parquet, "t.json": pd.read_json}.items():
        ok(capsys, "show", RUN, "--output", name)
        frame = read(name)
        assert (-frame["value"]).tolist() == pytest.approx(expected["value"].tolist(), rel=1e-12)  # an error: positive
        assert [*frame.columns] == [*expected.columns]
        ok(capsys, "list", "--output", name)
        listed = read(name)
        assert (listed["best"] > 0).all()
        assert listed["direction"].tolist() == ["minimize"] * 2
        assert listed["metric"].str.startswith("neg_").sum() == 0


def test_a_choice_none_is_no_empty_cell_and_json_keeps_every_digit(folder, capsys):
    choices = """{
        "max_features": [None, "sqrt", 0.5], "splitter": ["best", "random"], "ccp_alpha": hpo.Float(0, 0.1),
        "max_depth": hpo.Categorical([None, 5], when={"splitter": "random"}),
    }"""
    before, _, after = SCRIPT.partition("space=")
    (folder / "quick.py").write_text(before + "space=" + choices + after[after.index("},") + 1 :])
    ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "16")
    for name in ("t.csv", "t.parquet", "t.json"):
        ok(capsys, "show", RUN, "--output", name)
    cells = pd.read_csv("t.csv", keep_default_na=False, dtype=str)
    assert {*cells["params_max_features"]} == {"None", "sqrt", "0.5"}
    assert {*cells.loc[cells["params_splitter"] == "best", "params_max_depth"]} == {""}
    assert {*cells.loc[cells["params_splitter"] == "random", "params_max_depth"]} == {"None", "5"}
    assert {*pd.read_parquet("t.parquet")["params_max_features"]} == {"None", "sqrt", "0.5"}
    rows = json.loads(Path("t.json").read_text())
    with hpo.StudyDatabase("hpo.db") as database:
        frame = database.trials(RUN)
    for column in ("value", "params_ccp_alpha", "started"):
        read = [pd.Timestamp(row[column]) if column == "started" else row[column] for row in rows]
        assert read == (-frame[column] if column == "value" else frame[column]).tolist()  # an error is written positive
    assert "None" in ok(capsys, "show", RUN)


def test_compare(folder, capsys):
    arguments = ("compare", "quick.py", "--repetitions", "2", "--trials", "5", "--samplers", "random,tpe,grid", *ALONE)
    out = ok(capsys, *arguments, "--output", "r.html")
    for expected in (
        "random",
        "tpe",
        "grid",
        "reference",
        "baseline",
        "median log loss",
        "2 repetitions can never reach",
    ):
        assert expected in out
    assert "<table>" in (folder / "r.html").read_text()
    (comparison,) = json.loads(ok(capsys, *arguments, "--no-run", "--json"))["comparisons"]
    table = comparison["table"]
    assert comparison["study"] == "quick"
    assert [row["verdict"] for row in comparison["verdicts"]] == ["inconclusive"] * 2
    assert comparison["sentences"][0] in out.replace("\n", " ")
    assert [row["sampler"] for row in table] == ["random", "tpe", "grid"]
    assert all(row["trials"] == 10 for row in table)


def test_a_comparison_says_first_how_much_there_is_to_do_and_runs_only_what_is_missing(folder, capsys):
    arguments = ["compare", "quick.py", "--trials", "4", *ALONE, "--samplers", "random,tpe"]
    command([*arguments, "--repetitions", "2"])
    assert "2 repetitions x 4 trials x 2 folds: 32 fits to go, about " in capsys.readouterr().err
    command([*arguments, "--repetitions", "3"])
    assert "3 repetitions x 4 trials x 2 folds: 16 fits to go, about " in capsys.readouterr().err
    command([*arguments, "--repetitions", "3"])
    assert ": every run is there, 0 fits to go\n" in capsys.readouterr().err


def test_one_trial_and_one_repetition_are_said_and_drawn(folder, capsys):
    arguments = ["compare", "quick.py", "--samplers", "random,qmc", "--repetitions", "1", *ALONE]
    ok(capsys, *arguments, "--trials", "1", "--output", "r.html")
    assert "1 repetition of 1 trial." in (folder / "r.html").read_text()
    lines = ok(capsys, *arguments, "--trials", "3").splitlines()
    axis = next(line for line in lines if line.split()[:2] == ["trial", "1"])
    assert axis.split() == ["trial", "1", "2", "3"]
    assert "quick/qmc/split0-seed0: 3 trials" in ok(capsys, "run", "quick.py", "--sampler", "qmc", "--trials", "3")
    assert f"{RUN}: 3 trials" in ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "1")
    assert "with its 1 trial\n" in ok(capsys, "delete", "quick/reference/split0-seed0", "--yes")


def test_a_run_without_trials_can_be_shown(folder, capsys):
    assert command(["run", "quick.py", "--sampler", "random", "--timeout", "0.000001s"]) == 75
    assert f"{RUN}: 0 of 50 trials" in ok(capsys, "show", RUN)
    assert json.loads(ok(capsys, "show", RUN, "--json"))["best"] is None
    assert "has no trial 99999999999999999999: it has 0" in refused(capsys, "show", RUN, "--trial", "9" * 20)


def test_list_shows_the_runs_of_a_study_however_its_name_is_written(folder, capsys):
    (folder / "quick.py").write_text(SCRIPT.replace('name="quick"', 'name="quick-tree"'))
    ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "2")
    assert ok(capsys, "list", "--study", "Quick_Tree") == ok(capsys, "list")
    assert "no run of a study 'nosuch' in " in (message := refused(capsys, "list", "--study", "nosuch"))
    assert message.endswith("; there are quick-tree\n")


@pytest.mark.parametrize("name", ["theirs", "a/b/split0-seed0"])
def test_what_others_recorded_is_listed_and_neither_shown_nor_deleted(folder, capsys, name):
    with hpo.StudyDatabase("hpo.db") as database:
        study = optuna.create_study(study_name=name, storage=database.storage)
        for key in ("study", "version", "seed", "budget", "metric"):  # named like ours
            study.set_user_attr(key, "some")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert "foreign" in ok(capsys, "list")
    assert "it has no runs yet" in refused(capsys, "list", "--study", "some")
    for argv in (("show", name), ("show", name, "--json"), ("delete", name, "--yes")):
        assert f"{name} was not created by hpo. View it with `hpo dashboard`" in refused(capsys, *argv)


def test_studies_and_samplers(folder, capsys):
    assert "breast-cancer-svm" in ok(capsys, "studies")
    assert "breast_cancer_svm.py" in ok(capsys, "studies", "--copy", "breast-cancer-svm")
    assert hpo.find_study("breast_cancer_svm").name == "breast-cancer-svm"
    assert str(folder) in ok(capsys, "studies")  # the copy hides the one that ships
    assert "exists already" in refused(capsys, "studies", "--copy", "breast-cancer-svm")
    assert "mine.py" in ok(capsys, "studies", "--copy", "breast-cancer-svm", "--to", "mine.py")
    copied = (folder / "studies" / "breast_cancer_svm.py").read_text()
    assert (folder / "mine.py").read_text() == copied.replace('name="breast-cancer-svm"', 'name="mine"')
    for target, message in {
        "mine.py": "exists already",
        "mine": "ends in .py",
        "no/mine.py": "cannot be written",
    }.items():
        assert message in refused(capsys, "studies", "--copy", "breast-cancer-svm", "--to", target)
    assert "name the study with --copy" in refused(capsys, "studies", "--to", "other.py")
    samplers = ok(capsys, "samplers")
    for name in ("grid", "random", "tpe", "qmc", "cmaes", "gp"):
        assert f"\n{name}: " in f"\n{samplers}"


def test_a_timeout_exits_75_and_the_same_command_goes_on(folder, capsys):
    arguments = ["run", "quick.py", "--sampler", "random", "--trials", "40", "--timeout", "0.01s"]
    assert command(arguments) == 75
    assert "the same command goes on" in capsys.readouterr().err
    ok(capsys, *arguments[:-1], "1h")


def test_a_comparison_that_its_timeout_leaves_without_a_repetition_exits_75(folder, capsys):
    arguments = ["compare", "quick.py", "--samplers", "random,tpe", "--repetitions", "2", "--trials", "3", *ALONE]
    assert command([*arguments, "--timeout", "0.000001s"]) == 75
    assert "no repetition is complete: of 4 runs 4 are missing" in capsys.readouterr().err
    assert "no repetition is complete" in refused(capsys, *arguments, "--no-run", "--timeout", "1h")
    (folder / "--timeout.db").touch()  # a name decides nothing
    hpo.StudyDatabase("--timeout.db").close()
    assert "no repetition is complete" in refused(capsys, *arguments, "--no-run", "--database=--timeout.db")


def test_every_study_of_a_comparison_is_found_and_can_be_searched_before_the_first_is_run(folder, capsys):
    assert "no study 'nosuch'" in refused(capsys, "compare", "quick.py", "nosuch")
    (folder / "one.py").write_text(SCRIPT.replace('"ccp_alpha": hpo.Float(1e-4, 1e-1, log=True)', ""))
    message = refused(capsys, "compare", "quick.py", "one.py", "--samplers", "random,cmaes")
    assert "cmaes needs 2 numeric hyperparameters" in message
    assert not (folder / "hpo.db").exists()


def test_json_is_all_that_stdout_has(folder, capfd):
    loud = SCRIPT.replace("data=load_iris", "data=load").replace("study = ", "print('importing')\nstudy = ")
    (folder / "quick.py").write_text(loud.replace("import hpo\n", LOUD))
    json.loads(ok(capfd, "run", "quick.py", "--sampler", "random", "--trials", "2", "--json"))
    arguments = ["--samplers", "random,qmc", "--repetitions", "1", "--trials", "2", "--json", *ALONE]
    assert command(["compare", "quick.py", *arguments]) == 0
    out, err = capfd.readouterr()
    json.loads(out)
    for printed in ("importing", "loading", "from below"):
        assert printed in err


def test_a_target_is_given_as_it_is_shown(folder, capsys):
    out = ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "30", "--target", "5")
    assert "1 trial, target reached" in out
    assert "is an error, shown positive" in refused(capsys, "run", "quick.py", "--target", "-0.1")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("run", "breast-cancer-svn"), "did you mean breast-cancer-svm or breast-cancer-logistic?"),
        (("run", "nowhere.py"), "there is no script 'nowhere.py'"),
        (("run", "quick.py", "--sampler", "annealing"), "known: grid, random, tpe, auto, qmc, cmaes, gp"),
        (("run", "quick.py", "--trials", "0"), "trials=0: give a whole number, 1 or more"),
        (("run", "quick.py", "--trials", "-5"), "trials=-5: give a whole number, 1 or more"),
        (("run", "quick.py", "--trials", "many"), "'many' is not a whole number"),
        (("run", "quick.py", "--timeout", "soon"), "cannot parse duration 'soon'"),
        (("run", "quick.py", "--timeout", ""), "cannot parse duration ''"),
        (("run", "quick.py", "--trial-memory", ""), "cannot parse size ''"),
        (("run", "quick.py", "--database", "mongodb://x"), "'mongodb' is not a database that can be used"),
        (("run", "quick.py", "--database", "no/such/folder/x.db"), "does not exist"),
        (("compare", "quick.py", "--samplers", "tpe"), "give two or more, each once"),
        (("compare", "quick.py", "--samplers", "tpe,grid"), "baseline='random' is not among"),
        (("compare", "quick.py", "--repetitions", "0"), "repetitions=0"),
        (("compare", "quick.py", "--output", "r.pdf"), "ends in .html"),
        (("compare", "quick.py", "--output", "no/r.html"), "its folder does not exist or cannot be written"),
        (("run", "quick.py", "--target", "nan"), "target=nan: give a number"),
        (
            ("run", "quick.py", "--seed", "2147483648"),
            "seed=2147483648: give a whole number, 0 or more and below 2**31",
        ),
        (("run", "quick.py", "--split", "2147483648"), "split=2147483648: give a whole number, 0 or more and below"),
        (("compare", "quick.py", "--no-run"), "there is no study database"),
        (("list",), "there is no study database at"),
        (("list", "--database", "quick.py"), "is not an SQLite database"),
        (("frobnicate",), "invalid choice: 'frobnicate'"),
        ((), "COMMAND"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(folder, capsys, argv, message):
    assert message in refused(capsys, *argv)
    assert [path.name for path in folder.iterdir()] == ["quick.py"]


def test_unknown_runs_and_trials(folder, capsys):
    ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "2")
    assert f"there are {RUN}" in refused(capsys, "show", "quick/randm/split0-seed0")
    assert f"the best run of quick on split 0 is {RUN}" in ok(capsys, "show", "quick")
    assert "has no trial 9: it has 2" in refused(capsys, "show", RUN, "--trial", "9")
    assert "the ending decides the format" in refused(capsys, "list", "--output", "x.xls")
    assert "no run 'x/y/split0-seed0'" in refused(capsys, "delete", "x/y/split0-seed0", "--yes")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("x = 1\n", "defines no study"),
        (
            SCRIPT + "import dataclasses\nother = dataclasses.replace(study, name='other')\n",
            "defines 2 studies (quick, other)",
        ),
        (
            SCRIPT.replace('"neg_log_loss"', '"neg_logloss"'),
            "'neg_logloss' is not a scorer name; did you mean neg_log_loss",
        ),
        (SCRIPT.replace("max_depth", "depth"), "Invalid parameter 'depth'"),
        (SCRIPT.replace("Int(1, 6)", "Int(6, 1)"), "low must be less than high"),
        (SCRIPT.replace('name="quick"', 'name="a/b"'), 'contains "/"'),
    ],
)
def test_a_script_that_cannot_be_run(folder, capsys, script, message):
    (folder / "bad.py").write_text(script)
    assert message in refused(capsys, "run", "bad.py")
    assert not (folder / "hpo.db").exists()


def test_a_script_may_import_its_neighbours_when_its_functions_are_called(folder, capsys):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "the_neighbour.py").write_text("from sklearn.datasets import load_iris as load\n")
    late = "def load():\n    import the_neighbour\n    return the_neighbour.load()\nstudy = "
    script = SCRIPT.replace("data=load_iris", "data=load").replace("study = ", late, 1)
    (folder / "elsewhere" / "late.py").write_text(script)
    ok(capsys, "run", "elsewhere/late.py", "--sampler", "random", "--trials", "1")


def test_data_that_cannot_be_split_leave_no_database_behind(folder, capsys):
    (folder / "few.py").write_text(SCRIPT.replace("folds=2", "folds=100"))
    assert "cannot be split" in refused(capsys, "run", "few.py")
    assert not (folder / "hpo.db").exists()


def test_a_script_that_raises_shows_the_users_own_frames(folder, capsys):
    (folder / "bad.py").write_text("def helper():\n    return 1 / 0\n\nhelper()\n")
    assert command(["run", "bad.py"]) == 2
    err = capsys.readouterr().err
    assert "return 1 / 0" in err
    assert "importlib" not in err
    assert err.rstrip().endswith("hpo: bad.py raised ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("study = (\n", "'(' was never closed"),
        ("raise ValueError('one\\ntwo')\n", "raise ValueError"),
        ("\0", "null bytes"),
    ],
)
def test_a_script_that_does_not_even_begin_shows_nothing_of_ours(folder, capsys, script, shown):
    (folder / "bad.py").write_text(script)
    assert command(["run", "bad.py"]) == 2
    *trace, summary = capsys.readouterr().err.splitlines()
    assert shown in "\n".join(trace)
    assert "catalogue.py" not in "\n".join(trace)
    assert summary.startswith("hpo: bad.py raised ")
    assert ("one two" in summary) == ("one" in script)


@pytest.mark.parametrize("given", [3, None, ["quick.py"], "x" * 5000, "a\0b"])
def test_what_names_no_study_is_refused(given):
    with pytest.raises(hpo.UnknownStudy, match=r"a study is a StudyDefinition, a name or|no study"):
        hpo.run(given, database=":memory:")


def test_every_trial_failing_exits_1_with_the_error(folder, capsys):
    (folder / "bad.py").write_text(
        SCRIPT.replace("DecisionTreeClassifier()", "DecisionTreeClassifier(criterion='nope')")
    )
    assert command(["run", "bad.py", "--trials", "3"]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "all 3 trials of quick/tpe/split0-seed0 failed: InvalidParameterError" in last


def test_a_script_runs_itself_and_is_the_same_study(folder, capsys):
    done = subprocess.run(
        [sys.executable, "quick.py", "--sampler", "random", "--trials", "3"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ok(capsys, "run", "quick.py", "--sampler", "random", "--trials", "5")  # the same hashes: no StudyChanged
    with pytest.raises(SystemExit) as stop:
        main(hpo.find_study("quick.py"), ["--trials", "x"])
    assert stop.value.code == 2


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_neither_optuna_nor_scikit_learn(option):
    code = (
        "import sys, hpo.cli.main\n"
        f"try:\n    hpo.cli.main.command([{option!r}])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'optuna', 'sklearn', 'pandas', 'numpy', 'sqlalchemy', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)


@pytest.mark.parametrize("command", ["list", "studies", "samplers", "doctor"])
def test_commands_that_only_read_load_nothing_that_trains_or_draws(folder, command):
    with hpo.StudyDatabase("hpo.db"):
        pass
    code = (
        f"import sys, hpo.cli.main\nassert hpo.cli.main.command([{command!r}]) == 0\n"
        "heavy = {'sklearn', 'scipy', 'pandas', 'distributed', 'matplotlib', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("argv", [["samplers"], ["list", "--json"], ["--help"]], ids=" ".join)
@pytest.mark.parametrize("how", ["closed", "left by its reader"])
def test_a_command_whose_output_nobody_reads_ends_without_a_word(folder, argv, how):
    """As in ``hpo list >&-`` and ``hpo list | head -1``; one line is flushed at once, another only at the end."""
    with hpo.StudyDatabase("hpo.db"):
        pass
    reader, writer = os.pipe()
    os.close(reader)
    shell = 'exec "$@" >&-' if how == "closed" else 'exec "$@"'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "hpo", *argv]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0
