"""Metrics with their direction: one's own, scikit-learn's, and plain functions that sound like an error."""

import functools

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import hpo
from hpo.dashboard.storage import BrowsedStorage
from hpo.study.metrics import as_scorer, direction_doubt, loss_doubt
from hpo.units import Metric as Shown


def mae(estimator, X, y):
    return float(np.abs(estimator.predict(X) - y).mean())


def largest_miss(y_true, y_pred):
    return float(np.abs(y_true - y_pred).max())


def defined(metric, **options):
    return hpo.StudyDefinition(
        "quick", lambda: load_diabetes(return_X_y=True), DecisionTreeRegressor(), {"max_depth": hpo.Int(1, 12)}, metric,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("metric", [
    hpo.Metric(mae, greater_is_better=False), hpo.Metric(largest_miss, greater_is_better=False),
    metrics.mean_absolute_error, metrics.mean_pinball_loss,
    functools.partial(metrics.mean_pinball_loss, alpha=0.1),
])  # fmt: skip
def test_an_error_is_minimised_and_shown_positive(metric, tmp_path):
    run = hpo.run(defined(metric), sampler="random", trials=6, database=tmp_path / "x.db", progress="none")
    assert run.metric.direction == "lower is better"
    shown = [run.metric.shown(value) for value in run.trials["value"]]
    assert run.metric.shown(run.best.value) == min(shown) > 0


def test_a_metric_function_of_scikit_learns_is_the_scorer_of_that_name():
    assert defined(metrics.mean_absolute_error).metric == "neg_mean_absolute_error"
    assert as_scorer(metrics.roc_auc_score) == "roc_auc"
    assert as_scorer(metrics.f1_score) == "f1"
    with pytest.raises(hpo.InvalidDefinition, match="confusion_matrix of scikit-learn does not give one number"):
        defined(metrics.confusion_matrix)


@pytest.mark.parametrize("function", [metrics.hinge_loss, metrics.zero_one_loss, metrics.hamming_loss])
def test_one_without_a_name_of_its_own_scores_as_make_scorer_would(function):
    X, y = load_iris(return_X_y=True)
    X, y = X[y > 0], y[y > 0]
    model = LogisticRegression(C=0.01).fit(X, y)
    response = "decision_function" if function is metrics.hinge_loss else "predict"
    expected = make_scorer(function, greater_is_better=False, response_method=response)(model, X, y)
    assert as_scorer(function)(model, X, y) == expected < 0


def test_a_direction_that_contradicts_scikit_learns_or_is_not_given_is_refused():
    with pytest.raises(hpo.InvalidDefinition, match="lower is better: give greater_is_better=False"):
        hpo.Metric(metrics.mean_absolute_error)
    with pytest.raises(hpo.InvalidDefinition, match=r"give hpo.Metric\(largest_miss, greater_is_better=False\)"):
        defined(largest_miss)
    with pytest.raises(hpo.InvalidDefinition, match=r"write it as \(y_true, y_pred\) or \(estimator, X, y\)"):
        hpo.Metric(lambda y: 0.0)


@pytest.mark.parametrize("direction", [True, False])
def test_direction_and_name_belong_to_the_study(direction):
    one = defined(hpo.Metric(mae, greater_is_better=direction, name="miss"))
    assert Shown.of(one.metric) == Shown("miss", 1 if direction else -1)
    other = defined(hpo.Metric(mae, greater_is_better=not direction, name="miss"))
    assert one.fixed_hashes["metric"] != other.fixed_hashes["metric"]


def test_a_plain_function_that_sounds_like_an_error_is_doubted_once_before_the_first_fit(tmp_path, capsys):
    hpo.run(defined(mae), sampler="random", trials=2, database=tmp_path / "x.db", progress="lines")
    said = capsys.readouterr().err
    assert said.count("the metric mae sounds like an error") == 1
    assert direction_doubt(hpo.Metric(mae, greater_is_better=True)) is None

    def poisson_deviance(estimator, X, y):
        return 0.0

    def maeda(estimator, X, y):
        return 0.0

    assert direction_doubt(poisson_deviance) is not None
    assert direction_doubt(maeda) is None


def test_values_that_say_error_are_doubted_after_the_run(tmp_path, capsys):
    def distance(estimator, X, y):
        return mae(estimator, X, y)

    study = hpo.StudyDefinition(
        "quick", lambda: load_diabetes(return_X_y=True), Ridge(alpha=1e6), {"alpha": hpo.Float(1e-3, 1.0, log=True)},
        distance,
    )  # fmt: skip
    hpo.run(study, sampler="random", trials=2, database=tmp_path / "x.db", progress="lines")
    assert capsys.readouterr().err.count("the best distance loses to the reference") == 1
    assert loss_doubt("accuracy", 0.5, 0.6) is None
    assert loss_doubt(hpo.Metric(mae), 0.5, 0.6) is None


def test_the_dashboard_shows_an_error_positive_and_minimised(tmp_path):
    run = hpo.run(defined(metrics.mean_absolute_error), sampler="random", trials=4, database=tmp_path / "x.db")
    browsed = BrowsedStorage(run.database.storage, writable=False, note=lambda study_id: "")
    study = optuna.load_study(study_name=str(run.name), storage=browsed)
    assert study.direction == StudyDirection.MINIMIZE
    assert [trial.value for trial in study.trials] == (-run.trials["value"]).tolist()
    assert study.best_trial.number == run.best.number
    assert study.best_value == -run.best.value > 0
    assert [study.direction for study in browsed.get_all_studies()] == [StudyDirection.MINIMIZE] * 2
    assert browsed.get_study_system_attrs(study._study_id)["study:metric_names"] == ["mean_absolute_error"]
    writable = BrowsedStorage(run.database.storage, writable=True, note=lambda study_id: "")
    assert writable.get_study_directions(study._study_id) == [StudyDirection.MAXIMIZE]  # what would be written


@pytest.mark.parametrize("scoring", [metrics.accuracy_score, metrics.zero_one_loss])
def test_a_search_takes_metric_functions_too(scoring):
    X, y = load_iris(return_X_y=True)
    space = {"max_depth": hpo.Categorical([1, 2, 3])}
    search = hpo.SearchCV(DecisionTreeClassifier(random_state=0), space, n_trials=3, scoring=scoring, cv=3).fit(X, y)
    assert search.cv_results_["param_max_depth"][search.best_index_] != 1
    assert (search.best_score_ > 0.9) == (scoring is metrics.accuracy_score)
