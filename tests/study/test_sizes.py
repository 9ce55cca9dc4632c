"""Numbers too large, folds that are none, and estimators that are half of one: one clear line each, or it works."""

import math

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import PredefinedSplit
from sklearn.tree import DecisionTreeClassifier

import hpo

X, Y = load_iris(return_X_y=True)


class Plain:
    """Without BaseEstimator, as in many older packages."""

    def __init__(self, k=1):
        self.k = k

    def fit(self, X, y):
        self.most = np.bincount(y).argmax()
        return self

    def predict(self, X):
        return np.full(len(X), self.most)


class Changes(ClassifierMixin, BaseEstimator):
    """Changes its argument."""

    def __init__(self, k=1):
        self.k = int(k) + 1

    def fit(self, X, y):
        return self


class NoFolds:
    """Gives no fold."""

    def split(self, X, y=None, groups=None):
        return iter(())

    def get_n_splits(self, *_):
        return 0


def defined(estimator, space, metric="accuracy", **options):
    return hpo.StudyDefinition("s", lambda: (X, Y), estimator, space, metric, **options)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: hpo.Int(2, 2**60), r"high of Int is .*: whole numbers beyond 2\*\*53 are not stored exactly"),
    (lambda: hpo.Int(-(2**70), 1), r"low of Int is .*: whole numbers beyond 2\*\*53"),
    (lambda: hpo.Int(0, 10**400), "it must be a finite number"),
    (lambda: hpo.Float(0, 10**400), "it must be a finite number"),
])  # fmt: skip
def test_whole_numbers_that_cannot_be_stored_are_refused(make, message):
    with pytest.raises(hpo.InvalidSpace, match=message):
        make()


def test_the_largest_whole_numbers_and_choices_beyond_them_work():
    assert hpo.Int(2**53 - 1, 2**53).levels() == [2**53 - 1, 2**53]
    assert hpo.Categorical([2**53 + 1, 2**53, 10**400, -(10**400)]).choices == (-(10**400), 2**53, 2**53 + 1, 10**400)


@pytest.mark.parametrize("splitter", [NoFolds(), PredefinedSplit(np.full(150, -1))])
def test_a_splitter_without_folds_is_refused(splitter, tmp_path):
    study = defined(
        DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 3)}, split=hpo.CrossValidation(splitter=splitter, test=0)
    )
    with pytest.raises(hpo.InvalidDefinition, match="gives no fold to validate on"):
        hpo.run(study, trials=1, database=tmp_path / "x.db", progress="none")


def test_a_constructor_that_changes_its_arguments_is_refused():
    with pytest.raises(hpo.InvalidDefinition, match="s: Cannot clone object"):
        defined(Changes(), {"k": hpo.Int(1, 3)})


def test_an_estimator_without_base_estimator_and_numbers_of_numpy_work(tmp_path):
    def share(estimator, X, y):
        return float((estimator.predict(X) == y).mean())

    study = defined(lambda params: Plain(**params), {"k": hpo.Int(1, 3)}, share, reference={"k": 1})
    run = hpo.run(
        study, sampler="random", trials=np.int64(2), seed=np.int64(1), workers=np.int64(1), database=tmp_path / "x.db",
        progress="none",
    )  # fmt: skip
    assert len(run.trials) == 2
    assert isinstance(run.name, str)
    assert [trial.value for trial in run.study.trials] == run.trials["value"].tolist()
    assert len(run.study.trials_dataframe()) == 2
    run.study.set_user_attr("mine", 1)
    assert "mine" not in run.attributes


def randomly(tmp_path, study=None, **options):
    """Two random trials."""
    given = {"sampler": "random", "trials": 2, "database": tmp_path / "x.db", "progress": "none", **options}
    return hpo.run(study or defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}), **given)


def test_every_option_takes_numbers_of_numpy_and_an_infinite_time_is_none(tmp_path):
    run = randomly(
        tmp_path, trials=np.int32(2), seed=np.uint8(3), split=np.int64(0), threads=np.int64(1), patience=np.int16(9),
        timeout=np.float32(600), trial_timeout=np.inf, target=np.float64(2),
    )  # fmt: skip
    assert str(run.name) == "s/random/split0-seed3"
    assert run.trial(np.int64(1)).number == 1
    assert randomly(tmp_path, timeout=math.inf, walltime=math.inf).outcome.reason == "budget"
    search = hpo.SearchCV(
        DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}, n_trials=np.int64(3), timeout=math.inf
    )
    assert len(search.fit(X, Y).cv_results_["params"]) == 3
    compared = hpo.compare(
        defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}), samplers=["random", "grid"],
        repetitions=np.int64(1), trials=np.int64(2), margin=np.float32(0.01), alpha=np.float64(0.05),
        database=tmp_path / "c.db",
    )  # fmt: skip
    assert compared.plan.trials == 2


def test_definitions_take_numbers_of_numpy():
    assert hpo.Float(0, 1, grid=np.int64(3)).levels() == [0, 0.5, 1]
    assert hpo.Float(0, 1, grid=np.array([0.2, 0.3])).levels() == [0.2, 0.3]
    assert hpo.Int(np.int64(1), np.uint8(7), step=np.int32(3)).levels() == [1, 4, 7]
    assert hpo.Holdout(validation=np.float32(0.25), test=np.float16(0.5)).test == 0.5
    assert hpo.CrossValidation(folds=np.int64(3), test=np.float32(0)).folds == 3


@pytest.mark.parametrize(("options", "message"), [
    ({"trials": 2**70}, f"trials={2**70}: give a whole number, 1 or more, at most {2**53}"),
    ({"trials": np.int64(0)}, "give a whole number, 1 or more"),
    ({"trials": np.float64(2)}, "give a whole number, 1 or more"),
    ({"trials": "5"}, "trials='5': give a whole number, 1 or more"),
    ({"trials": math.inf}, "trials=inf: give a whole number"),
    ({"trials": np.True_}, "give a whole number, 1 or more"),
    ({"timeout": math.nan}, "timeout=nan: give a number of seconds above 0"),
    ({"timeout": np.float32(-1)}, "give a number of seconds above 0"),
    ({"threads": 5000}, "threads=5000: give a whole number, 1 or more, at most 1000"),
    ({"seed": 2**40}, "give a whole number, 0 or more and below 2**31"),
])  # fmt: skip
def test_budgets_beyond_all_sizes_are_refused_by_name_before_anything_is_made(tmp_path, options, message):
    with pytest.raises(hpo.InvalidOption) as refused:
        randomly(tmp_path, **options)
    assert str(refused.value).startswith(f"{next(iter(options))}=")
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("grid", [np.int64(0), np.int64(-100), np.True_, "ab", 2.5, -100])
def test_a_grid_that_is_no_number_of_levels_and_no_list_is_refused(grid):
    with pytest.raises(hpo.InvalidSpace, match="give the number of levels, 1 or more, or the list of them"):
        hpo.Float(0, 1, grid=grid)


@pytest.mark.parametrize("given", [{"n_trials": 0}, {"n_iter": 0}, {"n_trials": 2.5}, {"n_iter": np.int64(-1)}])
def test_a_search_names_the_argument_that_was_given(given):
    search = hpo.SearchCV(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}, **given)
    with pytest.raises(hpo.InvalidOption, match=rf"^{next(iter(given))}=.*give a whole number, 1 or more"):
        search.fit(X, Y)


@pytest.mark.parametrize("returned", [[0.5, 0.6], None, "0.5", 1j, np.array([0.5])])
def test_a_metric_that_returns_no_number_is_named(tmp_path, returned):
    def share(estimator, X, y):
        return returned

    study = defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}, share)
    with pytest.raises(hpo.RunFailed, match=f"the metric share returned a {type(returned).__name__}: a metric returns"):
        randomly(tmp_path, study, trials=1)


@pytest.mark.parametrize(("estimator", "message"), [
    (Plain(), r"a Plain, which has no set_params: derive Plain from sklearn.base.BaseEstimator, or give a function"),
    (DecisionTreeClassifier, r"the class DecisionTreeClassifier: give an instance, DecisionTreeClassifier\(\)"),
    ("tree", "'tree'; give a scikit-learn estimator, or a function params -> estimator"),
])  # fmt: skip
def test_what_is_no_estimator_is_said_by_what_it_is(estimator, message):
    with pytest.raises(hpo.InvalidDefinition, match=f"s: estimator is {message}"):
        defined(estimator, {"k": hpo.Int(1, 3)})


def test_what_numbers_no_trial_is_refused(tmp_path):
    run = randomly(tmp_path)
    for number in ("a", "1", None, 1.0, -1, 2, 2**80):
        with pytest.raises(hpo.UnknownRun) as refused:
            run.trial(number)
        assert str(refused.value) == f"s/random/split0-seed0 has no trial {number!r}: it has 2, numbered from 0"


def test_metrics_of_scikit_learn_are_scorers_and_one_of_unknown_direction_asks(tmp_path):
    run = randomly(tmp_path, defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}, accuracy_score))
    assert 0.5 < run.best.value <= 1

    def share(y_true, y_pred):
        return float((y_true == y_pred).mean())

    with pytest.raises(hpo.InvalidDefinition, match=r"give hpo.Metric\(share, greater_is_better=False\)"):
        defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)}, share)


def test_a_callback_of_a_run_is_called_after_each_record_and_may_stop_it(tmp_path):
    seen = []

    def callback(study, trial):
        seen.append((trial.number, len(study.trials)))
        if trial.number == 2:
            study.stop()

    study = defined(DecisionTreeClassifier(), {"max_depth": hpo.Int(1, 30)})
    run = hpo.run(study, sampler="random", trials=6, database=tmp_path / "x.db", progress="none", callbacks=[callback])
    assert seen == [(0, 1), (1, 2), (2, 3)]
    assert run.outcome.reason == "callback"
