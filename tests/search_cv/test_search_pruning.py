"""Pruners in SearchCV: what is not pruned is as without one, and neither workers nor cuts decide what is."""

import contextlib
import time

import numpy as np
import pytest
from optuna.trial import TrialState
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import ShuffleSplit, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import SearchCV

X, Y = (part[::2] for part in load_breast_cancer(return_X_y=True))
NET = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=8, random_state=0))
RATE = {"mlpclassifier__learning_rate_init": hpo.Float(1e-4, 1.0, log=True)}
OPTIONS = {"sampler": "random", "n_trials": 14, "cv": 3, "random_state": 0, "scoring": "neg_log_loss"}
PRUNER = "median(n_startup_trials=3, n_warmup_steps=1)"
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def search(pruner=PRUNER, **changes):
    return SearchCV(NET, RATE, pruner=pruner, **{**OPTIONS, **changes})


def scores(fitted):
    names = [name for name in fitted.cv_results_ if name.startswith(("split", "mean_test", "mean_train", "rank"))]
    return {name: list(np.nan_to_num(fitted.cv_results_[name], nan=99.0)) for name in names}


def trials(fitted):
    return [
        (t.state, t.params, t.values, t.intermediate_values, t.user_attrs.get("pruned_at"))
        for t in fitted.study_.trials
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("random", PRUNER), ("tpe", PRUNER), ("random", "halving"), ("tpe", "hyperband"), ("random", "racing")],
)
def test_what_is_pruned_is_the_same_for_any_number_of_jobs_and_after_cuts(tmp_path, sampler, pruner):
    whole = search(pruner, sampler=sampler).fit(X, Y)
    two = search(pruner, sampler=sampler, n_jobs=2).fit(X, Y)
    database = hpo.StudyDatabase(tmp_path / "x.db")
    for n_trials in (1, 6, 14):  # neither is a multiple of the candidates that race side by side
        cut = search(pruner, sampler=sampler, n_trials=n_trials, database=database).fit(X, Y)
    assert trials(whole) == trials(two) == trials(cut)
    assert scores(whole) == scores(two) == scores(cut)
    states = {trial.state for trial in whole.study_.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize(("estimator", "space"), [
    (NET, RATE),
    (SGDClassifier(random_state=0), {"alpha": hpo.Float(1e-7, 10.0, log=True)}),
    (GradientBoostingClassifier(n_estimators=12, random_state=0), {"learning_rate": hpo.Float(1e-3, 1.0, log=True)}),
    (RandomForestClassifier(12, random_state=0), {"min_samples_leaf": hpo.Int(1, 100, log=True)}),
    (Pipeline([("model", "passthrough")]), {
        "model": [LogisticRegression(max_iter=30), RandomForestClassifier(9, random_state=0)],
        "model__random_state": [0, 1, 2, 3, 4, 5],
    }),
], ids=["perceptron", "sgd", "boosting", "forest", "choice"])  # fmt: skip
def test_survivors_are_as_without_a_pruner(estimator, space):
    options = {**OPTIONS, "scoring": "roc_auc", "n_trials": 12, "return_train_score": True}
    plain = SearchCV(estimator, space, **options).fit(X, Y)
    pruned = SearchCV(estimator, space, pruner="median(n_startup_trials=3)", **options).fit(X, Y)
    assert plain.cv_results_["params"] == pruned.cv_results_["params"] or "model" in space
    is_pruned = np.isnan(pruned.cv_results_["mean_test_score"])
    assert 0 < is_pruned.sum() < 12
    for name, column in plain.cv_results_.items():
        if name.startswith(("mean_t", "split")):
            assert list(pruned.cv_results_[name][~is_pruned]) == list(column[~is_pruned]), name
    worst = pruned.cv_results_["rank_test_score"][is_pruned]
    assert (worst == worst.max()).all()
    assert worst.min() > pruned.cv_results_["rank_test_score"][~is_pruned].max()
    assert np.isfinite(pruned.best_score_)
    rows = X[:50]
    expected = clone(plain.estimator).set_params(**pruned.best_params_).fit(X, Y).predict(rows)
    assert (pruned.predict(rows) == expected).all()


def test_of_one_validation_set_a_half_trained_model_is_no_winner():
    """The only fold of a pruned candidate is fitted in part: its score is stored, and shown nowhere as a result."""
    cv = ShuffleSplit(1, random_state=0)
    fitted = search(cv=cv, n_trials=20).fit(X, Y)
    states = [trial.state for trial in fitted.study_.trials]
    shown = fitted.cv_results_["mean_test_score"]
    assert [state == TrialState.PRUNED for state in states] == list(np.isnan(shown))
    assert any(np.isnan(shown))
    pruned = next(trial for trial in fitted.study_.trials if trial.state == TrialState.PRUNED)
    assert list(pruned.intermediate_values) == [0]
    assert pruned.user_attrs["pruned_at"].startswith("fold 1 of 1, step ")
    assert fitted.cv_results_["mean_fit_time"].min() > 0  # also of those, time was spent


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_several_metrics_weights_and_a_failing_candidate():
    weights = np.linspace(0.5, 2, len(Y))
    scoring = {"auc": make_scorer(roc_auc_score, response_method="predict_proba"), "loss": "neg_log_loss"}
    space = {
        "learning_rate": hpo.Float(1e-3, 1.0, log=True),
        "subsample": hpo.Categorical([0.5, 1.0, 7.0]),  # 7 is refused by the estimator
    }
    estimator = GradientBoostingClassifier(n_estimators=9, random_state=0)
    options = {**OPTIONS, "scoring": scoring, "refit": "loss"}
    with pytest.warns(FitFailedWarning):
        plain = SearchCV(estimator, space, **options).fit(X, Y, sample_weight=weights)
    with pytest.warns(FitFailedWarning):
        fitted = SearchCV(estimator, space, pruner=PRUNER, **options).fit(X, Y, sample_weight=weights)
    states = [trial.state for trial in fitted.study_.trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    complete = [state == TrialState.COMPLETE for state in states]
    for name in ("mean_test_auc", "mean_test_loss"):
        assert list(fitted.cv_results_[name][complete]) == list(plain.cv_results_[name][complete])
        assert np.isnan(fitted.cv_results_[name][~np.asarray(complete)]).all()
    with pytest.raises(ValueError, match="subsample"):
        SearchCV(estimator, space, pruner=PRUNER, error_score="raise", **options).fit(X, Y)


def test_all_candidates_that_fail_are_scikit_learns_error():
    broken = make_pipeline(StandardScaler(), MLPClassifier(max_iter=5, activation="none"))
    with contextlib.suppress(FitFailedWarning), pytest.raises(ValueError, match="fits failed"):
        SearchCV(broken, RATE, pruner=PRUNER, **{**OPTIONS, "n_trials": 2}).fit(X, Y)


def test_the_scoring_of_steps_is_no_fit_time():
    def slow(estimator, X, y):
        time.sleep(0.05)
        return estimator.score(X, y)

    fitted = search("halving(min_resource=4)", scoring=slow, n_trials=2, cv=2).fit(X, Y)
    first = fitted.run_.trials.iloc[0]
    assert first["score_seconds"] > 2 * 5 * 0.05  # of two folds: five steps or more
    assert first["fit_seconds"] < first["score_seconds"] / 2


def test_nested_and_on_a_database(tmp_path):
    inner = search(n_trials=6, database=tmp_path / "x.db", name="inner")
    outer = cross_validate(inner, X, Y, cv=2, return_estimator=True)
    assert [len(fitted.study_.trials) for fitted in outer["estimator"]] == [6, 6]
    again = cross_validate(inner, X, Y, cv=2)
    assert list(again["test_score"]) == list(outer["test_score"])


def test_what_trains_at_once_is_refused_before_anything_is_stored(tmp_path):
    neighbours = SearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 2]}, pruner="halving", database=tmp_path / "x.db")
    with pytest.raises(hpo.UnsuitablePruner, match="halving watches training step by step, and KNeighborsClassifier"):
        neighbours.fit(X, Y)
    assert not (tmp_path / "x.db").exists()
