"""A study of one's own from a CSV file: columns told apart, refused in one line, written as by hand, and run."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import tree_study
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, Float, Int
from hpo.cli.main import command
from hpo.errors import InvalidOption
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.study.from_csv.columns import CLASSIFICATION, REGRESSION, Columns, Target, find_target, sort_columns
from hpo.study.from_csv.read import read_table
from hpo.study.from_csv.script import MANY_ROWS, study_script
from hpo.study.from_csv.write import write_study

N = 120
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    return tmp_path


def mixed(n: int = N) -> pd.DataFrame:
    """One column of every kind, with missing values, and a target that three of them decide."""
    rng = np.random.default_rng(0)
    age, city, member = rng.normal(40, 10, n).round(1), rng.choice(["Köln", "Bonn", "Ulm"], n), rng.random(n) < 0.5
    frame = pd.DataFrame(
        {
            "id": np.arange(n) + 1000,
            "age": age,
            'the "big" city': city,
            "member": member.astype(object),
            "born": pd.date_range("1980-01-01", periods=n).astype(str),
            "what's said": [f"remark {i}, made in passing" for i in range(n)],
            "nothing": np.nan,
            "always": "yes",
            "child": rng.integers(0, 4, n),
            "bought": np.where((age > 40) ^ (city == "Ulm") ^ member, "ja", "nein"),
        }
    )
    frame.loc[::7, "age"] = None
    frame.loc[::11, 'the "big" city'] = None
    frame.loc[::13, "member"] = None
    frame.loc[::30, "bought"] = None
    return frame


def new(name: str, frame: pd.DataFrame, target: str, file: str = "table.csv", **options):
    frame.to_csv(file, index=False, **options)
    return write_study(name, file, target)


def score(path: Path, **chosen):
    """The validation score of the reference, or of another configuration."""
    problem = Problem(study := hpo.find_study(path))
    return evaluate(problem, study.space.use(chosen) if chosen else study.reference_used())


# --- the file runs ---


def test_a_mixed_table_runs_from_the_command_line_and_its_model_is_exported(folder, capsys):
    frame = mixed()
    frame.to_csv("table.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    assert command(["new", "my-shop", "--csv", "table.csv", "--target", "bought"]) == 0
    said = capsys.readouterr().out
    for expected in (
        "classification of bought, 2 classes",
        "dropped: 4 rows without a target (bought is empty in 4)",
        "numbers the rows",
        "hpo run my-shop",
    ):
        assert expected in said, expected
    script = (folder / "studies" / "my_shop.py").read_text(encoding="utf-8")
    assert script.count("\n") < 70
    assert "dropna(subset=[TARGET])  # 4 rows have no target" in script
    assert command(["run", "my-shop", "--sampler", "random", "--trials", "2", "--progress", "none"]) == 0
    assert command(["show", "my-shop/random/split0-seed0"]) == 0
    assert "columns.categorical" in capsys.readouterr().out
    assert command(["export", "my-shop", "model"]) == 0
    rows = frame.drop(columns="bought").tail(3).assign(**{'the "big" city': "never seen"})
    assert set(hpo.load_model("model").predict(rows)) <= {"ja", "nein"}
    assert command(["try", "my-shop", "model__C=2"]) == 0
    said = capsys.readouterr().out
    assert "linear" in said  # what the reference has, as a label
    assert "LogisticRegression" not in said


@pytest.mark.parametrize(
    ("load", "task", "least"),
    [(load_diabetes, REGRESSION, -75), (load_wine, CLASSIFICATION, -0.3), (load_breast_cancer, CLASSIFICATION, -0.3)],
    ids=["diabetes", "wine", "breast-cancer"],
)
def test_real_tables_with_missing_values_run(folder, load, task, least):
    frame = load(as_frame=True).frame
    frame = frame.mask(np.random.default_rng(1).random(frame.shape) < 0.03).assign(target=frame["target"])
    study = new("real", frame, "target")
    assert study.target.task == task
    assert len(study.columns.numeric) == frame.shape[1] - 1
    forest = {"model": "forest", "model__max_features": 0.5, "model__max_depth": 5, "model__min_samples_leaf": 5}
    for chosen in ({}, forest) if task == REGRESSION else ({},):
        evaluation = score(study.path, **chosen)
        assert evaluation.value > least
        assert not evaluation.warnings


def test_the_folder_can_move(folder):
    (folder / "a" / "data").mkdir(parents=True)
    (folder / "a" / "tuning").mkdir()
    mixed().to_csv("a/data/table.csv", index=False)
    study = write_study("shop", "a/data/table.csv", "bought", to="a/tuning/shop.py")
    before = hpo.find_study(study.path).load().X
    (folder / "a").rename(folder / "b")
    pd.testing.assert_frame_equal(hpo.find_study("b/tuning/shop.py").load().X, before)
    assert str(folder) not in (folder / "b" / "tuning" / "shop.py").read_text()


def test_many_rows_get_boosting_on_a_holdout(folder):
    n = MANY_ROWS + 1
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    study = new("large", frame.assign(y=frame["x"] ** 2 + frame["z"]), "y")
    definition = hpo.find_study(study.path)
    assert isinstance(definition.split, hpo.Holdout)
    assert "HistGradientBoostingRegressor" in study.path.read_text()
    boosting = {"model": "boosting", "model__max_iter": 20, "model__learning_rate": 0.3, "model__max_leaf_nodes": 8}
    assert score(study.path, **boosting, model__min_samples_leaf=20).value > 0.5 * score(study.path).value


@pytest.mark.parametrize("n_rarest", [3, 4, 7])
def test_rare_classes_are_in_every_fold(folder, n_rarest):
    labels = ["a"] * 40 + ["b"] * 30 + ["c"] * n_rarest
    frame = pd.DataFrame({"x": np.arange(len(labels)) % 7, "z": np.arange(len(labels)) % 11, "y": labels})
    study = new("rare", frame, "y")
    evaluation = score(study.path)
    assert evaluation.value is not None
    assert not evaluation.warnings


def test_the_scripts_are_as_ruff_would_write_them(folder):
    frame = mixed()
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 90)), columns=[f"measurement {i}" for i in range(90)])
    new("all", frame, "bought", "all.csv")
    new("semicolons", frame, "bought", "semicolons.csv", sep=";", decimal=",", encoding="cp1252")
    new("amounts", frame[["age", "child"]].dropna(), "age", "amounts.csv")
    new("texts", frame[["member", 'the "big" city', "bought"]], "bought", "texts.csv")
    new("wide", wide.assign(id=np.arange(40), color=["r", "g"] * 20), "measurement 4", "wide.csv", sep="\t")
    rows = {"spread": wide.iloc[:, :60].assign(y=frame["age"])}
    new("spread", rows["spread"], "y", "spread.csv", na_rep="?")
    config = f"{ROOT / 'pyproject.toml'}"
    for arguments in (
        ["check", "--config", config],
        ["check", "--isolated"],
        ["format", "--check", "--config", config],
        ["format", "--check", "--isolated"],
    ):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "studies"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    for path in Path("studies").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") < 70, path
        assert hpo.find_study(path).load().X.shape[0] > 20
    assert hpo.find_study("wide").load().X.shape == (40, 90)


# --- names and files as they come ---


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=8, unique=True))
def test_any_names_of_columns_are_written_as_they_are(names):
    target = Target(names[0], CLASSIFICATION, N, 0, 2, 50)
    columns = Columns(tuple(names[1::2]), tuple(names[2::2]), {names[1]: "dates"})
    text = study_script("x", Path("..", names[0].replace("/", "") + ".csv"), target, columns, {"sep": "\t"})
    found = {
        node.targets[0].id: node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(found["TARGET"]) == names[0]
    assert ast.literal_eval(found["NUMERIC"]) == names[1::2]
    assert not names[2::2] or ast.literal_eval(found["CATEGORICAL"]) == names[2::2]


@pytest.mark.parametrize("separator", list(",;\t|"))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_separators_and_encodings_are_told(folder, separator, encoding):
    frame = mixed()
    frame.to_csv("t.csv", index=False, sep=separator, encoding=encoding)
    table = read_table(Path("t.csv"))
    pd.testing.assert_frame_equal(
        table.frame, frame.astype({"member": table.frame["member"].dtype}).fillna({"member": np.nan}), check_dtype=False
    )
    pd.testing.assert_frame_equal(pd.read_csv("t.csv", **table.options), table.frame)
    assert ("sep" in table.options) == (separator != ",")
    assert ("encoding" in table.options) == (encoding in {"cp1252", "utf-16"})


def test_decimal_commas_and_marks_of_missing_values_are_told(folder):
    Path("t.csv").write_text("a;b;c\n1,5;?;x\n2,25;3;-\n;4;+\n")
    table = read_table(Path("t.csv"))
    assert table.frame["a"].tolist()[:2] == [1.5, 2.25]
    assert table.frame["b"].tolist()[1:] == [3, 4]
    assert np.isnan(table.frame["b"][0])
    assert table.frame["c"].tolist() == ["x", "-", "+"]  # where it is a text
    Path("t.csv").write_text("a,b\n-,-\n2,+\n")
    assert read_table(Path("t.csv")).options == {"na_values": {"a": ["-"]}}
    Path("t.csv").write_text("a, b, c\n1, x, 2\n3, y, 4\n")
    assert read_table(Path("t.csv")).frame.columns.tolist() == ["a", "b", "c"]
    Path("t.csv").write_text('a,b\n"1,5",x\n"2,5",y\n')
    assert "decimal" not in read_table(Path("t.csv")).options


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a,b\n", "no rows"),
        (b"PK\x03\x04\0\0\0", "not a CSV file"),
        (b"a\n1\n2\n", "one column only"),
        (b"a,b,a\n1,2,3\n", "2 columns called 'a'"),
        (b"a,b\n1,2\n1,2,3\n", "row 2 has 3 fields, and the header 2"),
        (b"a,b\n\x81\xff,2\n", "not text in UTF-8"),
        (b"a,b\n" + b"1,2\n" * 200 + b"1,2,3\n", "line 202"),
        (b'a,b\n1,"2\n' + b"3,4\n" * 9, "cannot be read as CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(folder, content, said):
    Path("t.csv").write_bytes(content)
    with pytest.raises(InvalidOption, match=said.replace("(", r"\(")) as refused:
        read_table(Path("t.csv"))
    assert "\n" not in str(refused.value)


# --- what the columns are ---


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 20, CLASSIFICATION),
        ([True, False] * 20, CLASSIFICATION),
        ([True, False, None, False] * 10, CLASSIFICATION),
        ([0, 1] * 20, CLASSIFICATION),
        ([0, 1, None, 2] * 10, CLASSIFICATION),
        (list(range(10)) * 5, CLASSIFICATION),
        (list(range(10)) * 4, REGRESSION),
        (list(range(11)) * 5, REGRESSION),
        ([0.5, 1.0] * 20, REGRESSION),
        (np.linspace(0, 1, 40), REGRESSION),
    ],
)
def test_the_task_is_told_from_the_target(folder, values, task):
    frame = pd.DataFrame({"x": np.arange(len(values)) % 7 / 3, "y": values})
    assert find_target(frame, "y").task == task
    study = new("told", frame, "y")
    y = hpo.find_study(study.path).load().y
    assert y.tolist() == frame["y"].dropna().tolist()
    assert score(study.path).value is not None


def test_the_task_can_be_said(folder):
    frame = pd.DataFrame({"x": np.arange(40) % 7, "y": np.arange(40) % 5})
    assert find_target(frame, "y", REGRESSION).task == REGRESSION
    assert find_target(pd.DataFrame({"y": np.arange(100) % 13}), "y", CLASSIFICATION).n_classes == 13
    for values, task in ((["a", "b"] * 20, REGRESSION), ([0.5, 1] * 20, CLASSIFICATION)):
        with pytest.raises(InvalidOption, match=r"regression needs numbers|classification needs classes"):
            find_target(frame.assign(y=values), "y", task)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([None] * 40, "no values"),
        (["a"] * 39 + [None], "constant: a in all 39 rows"),
        (["a"] * 39 + ["b"], "2 classes, and only 1 row of 'b'"),
        ([0] * 39 + [1], "only 1 row of '1': .* say --task regression"),
        ([f"v{i}" for i in range(40)], "40 classes in 40 rows: 5 times as many"),
        (["a", "b"] * 5 + [None] * 30, "10 rows with a value of 'y': 20 or more"),
        ([f"2020-01-{1 + i % 28}" for i in range(40)], "has dates"),
        ([0.5, np.inf] * 20, "infinite value in row 2"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(values, said):
    with pytest.raises(InvalidOption, match=said):
        find_target(pd.DataFrame({"x": range(40), "y": values}), "y")


def test_a_target_that_is_not_there_names_the_nearest():
    frame = mixed()
    for given_name, said in (
        ("Bought", "did you mean 'bought'"),
        ("bougth", "did you mean 'bought'"),
        ("zz", "it has id, age"),
    ):
        with pytest.raises(InvalidOption, match=said):
            find_target(frame, given_name)


def test_columns_are_told_apart():
    frame = mixed()
    columns = sort_columns(frame, find_target(frame, "bought"))
    assert columns.numeric == ("age", "child")
    assert columns.categorical == ('the "big" city', "member")
    assert [*columns.left_out] == ["id", "born", "what's said", "nothing", "always"]


@pytest.mark.parametrize(
    ("name", "values", "is_kept"),
    [
        ("PassengerId", np.arange(N) * 3, False),
        ("user_id", np.arange(N)[::-1] * 7, False),
        ("Unnamed: 0", np.arange(N), False),
        ("population", np.arange(N) * 3, True),
        ("paid", np.arange(N) * 3, True),
        ("region_id", np.arange(N) % 8, True),  # a code that many rows share
        ("id", np.arange(N) % 50, False),  # a customer with a few rows
        ("customer_id", [f"K{i % 50}" for i in range(N)], False),
        ("code", np.arange(N) + 1000, False),
        ("number", np.delete(np.arange(N + 9), range(3, 30, 3)) + 4711, False),  # from which rows were deleted
        ("height", np.arange(N) / 7, True),
        ("city", [f"c{i % 50}" for i in range(N)], True),
        ("street", [f"c{i % 90}" for i in range(N)], False),
        ("when", [f"{1 + i % 28:02}.{1 + i % 12:02}.2021 12:30" for i in range(N)], False),
        ("time", [f"{i % 24:02}:00" for i in range(N)], False),
        ("maybe", [None, "x"] * (N // 2), True),  # missing or not
        ("same", [3.0] * N, False),
    ],
)
def test_what_only_names_a_row_is_left_out(name, values, is_kept):
    frame = pd.DataFrame({"x": np.arange(N) / 3, name: values, "y": ["a", "b"] * (N // 2)})
    columns = sort_columns(frame, find_target(frame, "y"))
    assert (name in columns.numeric + columns.categorical) == is_kept
    assert (name in columns.left_out) != is_kept


# --- the command ---


def test_what_cannot_be_is_refused_and_leaves_nothing(folder, capsys):
    mixed().to_csv("table.csv", index=False)
    pd.DataFrame({"a": range(40), "y": [0, 1] * 20}).to_csv("ids.csv", index=False)
    pd.DataFrame({"a": [1.5, np.inf] * 20, "y": [0, 1] * 20}).to_csv("infinite.csv", index=False)
    before = sorted(folder.iterdir())
    for name, csv, target, said in (
        ("shop", "none.csv", "y", "'none.csv' cannot be read: No such file"),
        ("shop", ".", "y", "cannot be read: Is a directory"),
        ("shop", "table.csv", "bougt", "did you mean 'bought'"),
        ("shop", "table.csv", "always", "constant"),
        ("shop", "ids.csv", "y", "no column can be learned from: 'a' (numbers the rows)"),
        ("shop", "infinite.csv", "y", "'a' has an infinite value in row 2"),
        ("my shop", "table.csv", "bought", "cannot be named 'my shop'"),
        ("_shop", "table.csv", "bought", "cannot be named"),
        ("pandas", "table.csv", "bought", "hide the Python package"),
        ("digits-mlp", "table.csv", "bought", "exists already"),
    ):
        assert command(["new", name, "--csv", csv, "--target", target]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_nothing_is_replaced(folder, capsys):
    mixed().to_csv("table.csv", index=False)
    arguments = ["new", "shop", "--csv", "table.csv", "--target", "bought"]
    assert command(arguments) == 0
    path = folder / "studies" / "shop.py"
    path.write_text(mine := path.read_text() + "# mine\n")
    capsys.readouterr()
    for name, more, said in (
        ("shop", [], "exists already"),
        ("shop", ["--to", "other.py"], "exists already"),
        ("new-shop", ["--to", "studies/shop.py"], "exists already"),
        ("new-shop", ["--to", "x.txt"], ".py"),
        ("new-shop", ["--to", "no/x.py"], "cannot be written"),
    ):
        assert command(["new", name, *arguments[2:], *more]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert path.read_text() == mine
    shutil.rmtree(folder / "studies")
    assert command([*arguments, "--to", "here.py"]) == 0
    assert "hpo run here.py" in capsys.readouterr().out


# --- a reference among choices that are estimators ---


def test_the_reference_may_name_a_choice_by_its_label():
    choices = Categorical({"svm": SVC(), "logistic": LogisticRegression()})
    space = {
        "model": choices,
        "model__C": Float(0.1, 10),
        "model__gamma": Float(0.1, 1, when={"model": "svm"}),
        "model__max_iter": Int(50, 200, when={"model": "logistic"}),
    }
    from sklearn.pipeline import Pipeline

    pipeline = Pipeline([("model", DecisionTreeClassifier())])
    study = tree_study(estimator=pipeline, space=space, metric="accuracy", reference={"model": "logistic"})
    assert isinstance(study.build(study.reference_used())["model"], LogisticRegression)
    assert study.usual() == {"model": "logistic", "model__C": 1.0, "model__max_iter": 100}
