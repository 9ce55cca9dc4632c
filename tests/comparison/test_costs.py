"""What every trial costs beside its fit: time to predict and size of the model."""

import json
import pickle
import threading

import numpy as np
import pytest
from conftest import tree_study
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import CrossValidation, Int, InvalidOption, Run, RunFailed, Trial, UnknownRun
from hpo.analysis.selection import pareto_front, selected
from hpo.cli.main import command
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.evaluation.results import Evaluation, FoldResult, combine
from hpo.models.costs import model_size_mb


class Holder(BaseEstimator):
    def __init__(self, weights):
        self.weights = weights


@pytest.mark.parametrize("n_megabytes", [1, 8])
def test_the_size_of_a_model_is_that_of_what_it_holds(n_megabytes):
    held = Holder(np.zeros(n_megabytes * 2**20, dtype=np.uint8))
    assert model_size_mb(held) == pytest.approx(n_megabytes, abs=0.001)
    small = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    assert model_size_mb(small) == pytest.approx(len(pickle.dumps(small, protocol=5)) / 2**20, rel=0.2)
    copied = pickle.loads(pickle.dumps(small))  # where equal texts are other objects
    assert model_size_mb(copied) == model_size_mb(small)
    assert model_size_mb(Holder(lambda: 1)) > 0
    assert model_size_mb(Holder(threading.Lock())) is None  # which no pickle can hold

    class Local(Holder):
        """Which no pickle finds by its name, as a study's own class in another process."""

    assert model_size_mb(Local(np.zeros(2**20))) == pytest.approx(8, abs=0.001)


def test_every_trial_has_its_costs_and_the_training_score_of_each_fold(database):
    study = tree_study(space={"max_depth": Int(1, 5)}, split=CrossValidation(folds=3))
    run = hpo.run(study, sampler="random", trials=4, database=database, progress="none")
    assert (run.trials["predict_seconds"] > 0).all()
    problem = Problem(study)
    for number in range(4):
        trial = run.trial(number)
        models = [
            problem.estimator(trial.configuration).fit(*problem.rows(train)[:2]) for train, _ in problem.partition.folds
        ]
        assert trial.model_size_mb == pytest.approx(max(map(model_size_mb, models)), abs=1e-6)
        assert len(trial.train_fold_scores) == 3
        assert np.mean(trial.train_fold_scores) == pytest.approx(trial.train_score)
        assert trial.predict_seconds == trial.attributes["predict_seconds"]


def test_what_does_not_predict_has_no_time_to():
    study = tree_study(
        data=lambda: load_iris().data,
        estimator=AgglomerativeClustering(),
        space={"n_clusters": Int(2, 3)},
        metric=lambda estimator, X, y: 1.0,
    )
    result = evaluate(Problem(study), {"n_clusters": 2})
    assert result.error is None
    assert result.predict_seconds is None
    assert result.model_size_mb is not None
    assert "predict_seconds" not in result.attributes()


def test_costs_are_summed_or_the_largest_and_survive_being_stored():
    folds = [
        FoldResult({"r2": 0.5}, 0.7, predict_seconds=1.0, model_size_mb=2.0),
        FoldResult({"r2": 0.25}, 0.9, predict_seconds=2.0, model_size_mb=1.5),
    ]
    together = combine("r2", folds)
    assert (together.predict_seconds, together.model_size_mb) == (3.0, 2.0)
    assert together.train_fold_scores == (0.7, 0.9)
    stored = json.loads(json.dumps(together.attributes()))
    back = Evaluation.from_stored(together.value, together.fold_scores, stored)
    unstored = Evaluation.from_stored(together.value, together.fold_scores, together.attributes())
    assert repr(back) == repr(unstored)  # not ==: what was not measured is NaN
    assert (back.train_fold_scores, back.predict_seconds, back.model_size_mb) == ((0.7, 0.9), 3.0, 2.0)
    unknown = combine("r2", [folds[0], FoldResult({"r2": 0.25}, None)])
    assert unknown.predict_seconds is None
    assert unknown.train_fold_scores == ()
    older = Evaluation.from_stored(0.5, [0.5], {"fit_seconds": 1.0, "score_seconds": 1.0})
    assert (older.train_fold_scores, older.predict_seconds, older.model_size_mb) == ((), None, None)


# --- selection ---


def trial(number, value, cost, folds=(), **changes):
    given = {
        "number": number, "state": "COMPLETE", "params": {}, "configuration": {}, "value": value, "train_score": value,
        "fold_scores": tuple(folds), "fit_seconds": cost, "score_seconds": 0.0, "peak_memory_mb": 100.0 * number,
        "n_model_parameters": None, "predict_seconds": 1.0 / (1 + number), "model_size_mb": float("nan"),
        "train_fold_scores": (), "attributes": {},
    }  # fmt: skip
    return Trial(**{**given, **changes})


FOLDS = (0.86, 0.9, 0.94)  # mean 0.9, standard error 0.04 / sqrt(3) = 0.0231
TRIALS = [
    trial(0, 0.7, 0.1),
    trial(1, 0.875, 1.0),
    trial(2, 0.88, 2.0),
    trial(3, 0.9, 9.0, FOLDS),
    trial(4, 0.89, 3.0),
]


def test_one_standard_error_is_breimans():
    found = selected(TRIALS, "one-se")
    assert found.bar == pytest.approx(0.9 - 0.04 / 3**0.5)
    assert (found.trial.number, found.best.number) == (2, 3)
    below = [trial(9, found.bar - 1e-9, 0.01), trial(8, found.bar + 1e-9, 0.02)]
    assert selected([*TRIALS, *below], "one-se").trial.number == 8
    assert selected([TRIALS[3]], "one-se").trial.number == 3
    with pytest.raises(InvalidOption, match="one-se needs the spread of several folds"):
        selected(TRIALS[:2], "one-se")


def test_the_fastest_within_a_margin_and_the_best():
    assert selected(TRIALS, "fastest", margin=0.0).trial.number == 3
    assert selected(TRIALS, "fastest", margin=0.0101).trial.number == 4
    assert selected(TRIALS, "fastest", margin=1.0).trial.number == 0
    assert selected(TRIALS, "fastest", margin=1.0, cost="predict_seconds").trial.number == 4
    assert selected(TRIALS).trial.number == 3
    twins = [trial(5, 0.9, 1.0), trial(6, 0.9, 1.0), trial(7, 0.95, 2.0)]
    assert selected(twins, "fastest", margin=0.1).trial.number == 5


def test_ceilings_come_first():
    found = selected(TRIALS, "best", ceilings={"fit_seconds": 2.5, "peak_memory_mb": None})
    assert (found.trial.number, found.n_allowed, found.n_complete) == (2, 3, 5)
    assert selected(TRIALS, "best", ceilings={"fit_seconds": 2.0, "peak_memory_mb": 100}).trial.number == 1
    assert selected(TRIALS, "fastest", margin=0.006, ceilings={"fit_seconds": 2.5}).trial.number == 1
    with pytest.raises(InvalidOption, match=r"below the ceilings: fit_seconds 0\.05 s, where the least is 0\.1 s"):
        selected(TRIALS, ceilings={"fit_seconds": 0.05})
    with pytest.raises(InvalidOption, match="below the ceilings: model_size_mb"):
        selected(TRIALS, ceilings={"model_size_mb": 1})  # what nobody stored is not below


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"rule": "cheap"}, "'cheap' is unknown; known: best, one-se, fastest"),
        ({"cost": "money"}, "'money' is unknown; known: fit_seconds"),
        ({"rule": "fastest"}, "needs a margin"),
        ({"rule": "best", "margin": 0.1}, "takes no margin"),
        ({"rule": "fastest", "margin": -0.1}, "margin=-0.1: give a number from 0"),
        ({"rule": "fastest", "margin": 0.1, "cost": "model_size_mb"}, "model_size_mb is not stored"),
    ],
)
def test_what_cannot_be_selected_is_refused(options, why):
    with pytest.raises(InvalidOption, match=why.replace("(", r"\(")):
        selected(TRIALS, **options)


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(points)
def test_no_point_of_the_front_is_beaten_and_each_other_is(given_points):
    values, costs = zip(*given_points, strict=True)
    front = pareto_front(values, costs)

    def beats(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    for point, is_front in zip(given_points, front, strict=True):
        assert is_front == (not any(beats(other, point) for other in given_points))
    assert pareto_front([-value for value in costs], [-cost for cost in values]).tolist() == front.tolist()


def test_what_is_not_known_is_on_no_front():
    assert pareto_front([1.0, 2.0, 3.0], [1.0, np.nan, 2.0]).tolist() == [True, False, True]


def test_where_no_trial_is_complete_nothing_is_selected(database):
    study = tree_study("failing", metric=lambda estimator, X, y: float("nan"))
    with pytest.raises(RunFailed):
        hpo.run(study, sampler="random", trials=2, database=database, progress="none")
    run = Run("failing/random/split0-seed0", database, study)
    for ask in (hpo.select, hpo.diagnose):
        with pytest.raises(UnknownRun, match="no complete trial yet"):
            ask(run)
    assert hpo.importances(run).frame.empty


def test_selection_of_a_run_from_python_and_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with hpo.StudyDatabase("hpo.db") as database:
        study = tree_study("trees", space={"max_depth": Int(1, 8)}, metric="accuracy", split=CrossValidation(folds=4))
        run = hpo.run(study, sampler="grid", trials=5, database=database, progress="none")
        name = str(run.name)
        small = hpo.select(run, "fastest", margin=1.0, cost="model_size_mb")
        assert small.model_size_mb == min(t.model_size_mb for t in run.complete)
        assert hpo.select(run).number == run.best.number
        chosen = hpo.select(run, "one-se", cost="model_size_mb")
        error = np.std(run.best.fold_scores, ddof=1) / 2
        assert chosen.value >= run.best.value - error
        assert run.trained(chosen).get_depth() <= chosen.params["max_depth"]
        limit = sorted(t.model_size_mb for t in run.complete)[2]
        assert hpo.select(run, max_model_size_mb=limit).model_size_mb <= limit

    def out(*argv):
        capsys.readouterr()
        assert command(["show", name, *argv]) == 0
        return capsys.readouterr().out

    said = out("--select", "one-se", "--cost", "model_size_mb")
    assert said.startswith(f"one-se: trial {chosen.number}, accuracy ")
    assert "max_depth" in said
    assert out("--max-model-size", f"{limit}").startswith("best: trial ")
    assert json.loads(out("--select", "best", "--json"))["number"] == run.best.number
    front = out("--cost", "model_size_mb")
    assert "on the Pareto front" in front
    assert "P Pareto front   t trials" in front
    rows = json.loads(out("--cost", "model_size_mb", "--json"))["rows"]
    assert [row["model_size_mb"] for row in rows] == sorted(row["model_size_mb"] for row in rows)
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)
    assert rows[-1]["value"] == run.best.value
    out("--cost", "--figure", "cost.html")
    assert "against seconds of fitting" in (tmp_path / "cost.html").read_text()
    capsys.readouterr()
    assert command(["show", name, "--max-fit-seconds", "1e-9"]) == 2
    assert "the least is" in capsys.readouterr().err
