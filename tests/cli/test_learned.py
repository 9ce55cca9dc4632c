"""What trials learn: counted with every trial, and shown beside the hyperparameters that they were given."""

import dataclasses
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from conftest import same_trials, tree_study
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import (
    CrossValidation,
    Data,
    Holdout,
    Int,
    RunFailed,
    StudyChanged,
    StudyDefinition,
    UnknownRun,
)
from hpo.cli.main import command
from hpo.evaluation import evaluate as evaluation
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.evaluation.results import Evaluation, FoldResult, combine
from hpo.models import costs
from hpo.runs.run import Run

RUN = "quick/random/split0-seed0"
SCRIPT = '''
"""A quick study."""
import hpo
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
study = hpo.StudyDefinition(
    name="quick", data=lambda: load_diabetes(return_X_y=True, as_frame=True, scaled=False),
    estimator=make_pipeline(StandardScaler(), Ridge()), space={"ridge__alpha": hpo.Float(1e-2, 1e2, log=True)},
    metric="r2", split=hpo.Holdout(),
)
'''


def of_tree(tree) -> int:
    """Two numbers a split, three classes a leaf."""
    return 2 * (tree.tree_.node_count - tree.get_n_leaves()) + 3 * tree.get_n_leaves()


# --- with every trial ---


def test_every_trial_is_stored_with_the_most_that_any_fold_learned(database):
    study = tree_study(space={"max_depth": Int(1, 5)}, split=CrossValidation(folds=3))
    run = hpo.run(study, sampler="random", trials=5, database=database, progress="none")
    problem = Problem(study)
    for row in run.trials.itertuples():
        tree = problem.estimator({"max_depth": row.params_max_depth})
        sizes = [of_tree(tree.fit(*problem.rows(train)[:2])) for train, _ in problem.partition.folds]
        assert row.n_model_parameters == max(sizes)
    assert run.best.attributes["n_model_parameters"] == run.trials.loc[run.best.number, "n_model_parameters"]
    assert run.reference.attributes["n_model_parameters"] > 0
    again = hpo.run(study, sampler="random", trials=5, database=":memory:", progress="none")
    assert same_trials(again.trials) == same_trials(run.trials)


def test_the_most_of_any_fold_and_none_where_none_is_known():
    def of(*counts):
        return combine("r2", [FoldResult(scores={"r2": 1.0}, n_model_parameters=count) for count in counts])

    assert of(3, 7, 5).n_model_parameters == 7
    assert of(3, None).n_model_parameters == 3
    assert of(None).n_model_parameters is None
    assert "n_model_parameters" not in of(None).attributes()
    assert of(0).attributes()["n_model_parameters"] == 0
    back = Evaluation.from_stored(1.0, [1.0], of(3).attributes())
    assert back.n_model_parameters == 3
    older = {key: value for key, value in of(3).attributes().items() if key != "n_model_parameters"}
    assert Evaluation.from_stored(1.0, [1.0], older).n_model_parameters is None


def test_folds_that_were_held_before_there_was_a_count_are_still_read():
    new = FoldResult(scores={"r2": 0.5}, fit_seconds=2.0, n_model_parameters=11)
    held = json.loads(json.dumps(dataclasses.asdict(new)))
    assert FoldResult(**held).n_model_parameters == 11
    del held["n_model_parameters"]
    assert FoldResult(**held).n_model_parameters is None


def test_counting_is_in_nobodys_time_and_cannot_fail_a_trial(monkeypatch):
    clock = iter(np.arange(0.0, 100.0))  # a second from look to look
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: next(clock))
    counted = []

    def slow(estimator):
        counted.append(next(clock))  # a look of its own takes a second more
        return 5

    monkeypatch.setattr(costs, "count_parameters", slow)
    result = evaluate(Problem(tree_study(split=Holdout())), {})
    assert counted
    assert (result.fit_seconds, result.score_seconds, result.n_model_parameters) == (1.0, 1.0, 5)


class Hostile(ClassifierMixin, BaseEstimator):
    """Predicts, and raises or warns when it is looked at."""

    def __init__(self, how="raise"):
        self.how = how

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.resize(self.classes_, len(X))

    @property
    def n_features_in_(self):
        raise RuntimeError("do not look")

    def get_support(self):
        raise RuntimeError("do not look")


def test_an_estimator_that_raises_when_it_is_looked_at_is_scored_all_the_same():
    study = StudyDefinition("hostile", load_iris, Hostile(), {"how": ["raise"]}, "accuracy", split=Holdout())
    result = evaluate(Problem(study), {})
    assert result.error is None
    assert result.warnings == {}
    assert result.n_model_parameters is None


# --- of a run ---


def test_a_run_trains_its_best_and_any_trial_again(database):
    study = tree_study()
    run = hpo.run(study, sampler="random", trials=4, database=database, progress="none")
    frame = run.model_parameters()
    assert frame["name"].tolist() == ["tree_.feature", "tree_.threshold", "tree_.value"]
    assert frame["count"].sum() == of_tree(run.best_estimator())
    depths = run.trials["params_max_depth"]
    for number in (depths.idxmin(), depths.idxmax()):
        trained = Problem(study).estimator(study.space.use(run.trial(number).configuration))
        X, y, _ = Problem(study).rows(Problem(study).partition.development)
        pd.testing.assert_frame_equal(run.model_parameters(number), hpo.model_parameters(trained.fit(X, y)))
    with pytest.raises(UnknownRun, match="has no trial 4"):
        run.model_parameters(4)


def test_a_definition_that_changed_since_trains_nothing(database):
    name = hpo.run(tree_study(), sampler="random", trials=2, database=database, progress="none").name
    X, y = load_iris(return_X_y=True)
    changes = {
        "data": {"data": lambda: Data(X * 2, y)},
        "split": {"split": Holdout()},
        "estimator": {"estimator": DecisionTreeClassifier(min_samples_split=4)},
        "space": {"space": {"max_depth": Int(1, 9)}},
    }
    for what, change in changes.items():
        with pytest.raises(
            StudyChanged, match=f"iris-tree changed since {name} was made: {what}; undo the change to train"
        ):
            Run(name, database, tree_study(**change)).model_parameters()
    with pytest.raises(UnknownRun, match="without its study definition"):
        Run(name, database).model_parameters()
    assert len(Run(name, database, tree_study(margin=0.1)).model_parameters()) == 3


class Moody(DecisionTreeClassifier):
    """Learns from folds, and not from all of them together."""

    def fit(self, X, y):
        if len(X) > 100:
            raise ValueError("too many\nrows")
        return super().fit(X, y)


def test_training_again_that_fails_is_one_line(database):
    study = tree_study("moody", estimator=Moody())
    run = hpo.run(study, sampler="random", trials=2, database=database, progress="none")
    with pytest.raises(RunFailed, match=r"cannot be trained again: ValueError: too many rows$"):
        run.best_estimator()


# --- hpo show ---


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    (tmp_path / "quick.py").write_text(SCRIPT)
    assert command(["run", "quick.py", "--sampler", "random", "--trials", "3"]) == 0
    return tmp_path


def shown(capsys, *argv: str) -> str:
    capsys.readouterr()
    code = command(["show", *argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def test_show_prints_both_kinds_of_parameters_side_by_side_and_what_the_words_mean(folder, capsys):
    out = shown(capsys, RUN)
    row = next(line for line in out.splitlines() if "ridge__alpha" in line and "standardscaler.mean_" in line)
    assert "mean of each feature" in row
    lines = [line for line in out.splitlines() if "ridge.coef_" in line]
    assert re.search(r"weight of each feature +10 +10 +-\d", lines[0])
    definitions = [line for line in out.splitlines() if re.match("(hyper|model )parameters are ", line)]
    assert len(definitions) == 2
    assert "set before training" in definitions[0]
    assert "learned in training" in definitions[1]
    assert re.search(r": 31 here, trained once more on training and validation rows in \d", definitions[1])
    with hpo.StudyDatabase("hpo.db") as database:
        equation = hpo.equation(Run(RUN, database, hpo.find_study("quick.py")).best_estimator())
        assert database.trials(RUN)["n_model_parameters"].tolist() == [31] * 3
    assert " bmi " in equation
    assert equation in out
    one = shown(capsys, RUN, "--trial", "1")
    assert "ridge.coef_" in one
    assert "n_model_parameters" in one


def test_show_without_the_study_says_so_in_one_line_and_goes_on(folder, capsys):
    (folder / "quick.py").rename(folder / "other.py")
    missing = shown(capsys, RUN)
    (why,) = [line for line in missing.splitlines() if "not shown" in line]
    assert f"the study of {RUN} came from" in why
    assert why.endswith("put it back, or name its script (hpo run SCRIPT.py; hpo show and hpo export with --study)")
    assert "ridge__alpha" in missing
    assert "ridge.coef_" in shown(capsys, RUN, "--study", "other.py")
    (folder / "studies").mkdir()
    (folder / "other.py").rename(folder / "studies" / "quick.py")
    assert "ridge.coef_" in shown(capsys, RUN)
    assert "ridge.coef_" not in (alone := shown(capsys, RUN, "--no-refit"))
    assert "not shown" not in alone
    script = folder / "studies" / "quick.py"
    script.write_text(SCRIPT.replace("Ridge())", "Ridge(tol=0.01))"))
    assert f"not shown: quick changed since {RUN} was made: estimator; " in shown(capsys, RUN)
    script.write_text("1 / 0")
    assert "not shown: quick.py raised ZeroDivisionError: division by zero" in shown(capsys, RUN)


def test_show_of_a_failed_trial_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.py").write_text(SCRIPT.replace('metric="r2"', "metric=failing").replace(
        "study =", "def failing(estimator, X, y):\n    return float('nan') if estimator[-1].alpha > 1 else 1.0\nstudy ="
    ))  # fmt: skip
    assert command(["run", "quick.py", "--sampler", "random", "--trials", "6", "--database", "f.db"]) == 0
    with hpo.StudyDatabase("f.db") as database:
        trials = database.trials(RUN)
    failed, done = (int(trials.loc[trials["state"] == state, "number"].iloc[0]) for state in ("FAIL", "COMPLETE"))
    out = shown(capsys, RUN, "--trial", str(failed), "--database", "f.db")
    assert "NotFinite" in out
    assert "ridge.coef_" not in out
    assert "ridge.coef_" in shown(capsys, RUN, "--trial", str(done), "--database", "f.db")
    assert not math.isnan(trials.loc[failed, "n_model_parameters"])
