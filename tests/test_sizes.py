"""Numbers too large, folds that are none, and estimators that are half of one: one clear line each, or it works."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
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
