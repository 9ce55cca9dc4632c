"""Estimators and scorers that draw from the process's own random generators: the same scores everywhere."""

import importlib
import importlib.util
import random

import numpy as np
import pytest
from conftest import same_trials, tree_study
from joblib import parallel_config
from numpy.random import mtrand
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score

import hpo
from hpo import CrossValidation, Int
from hpo.evaluation.evaluate import Problem, evaluate, evaluate_folds
from hpo.process.generators import kept, seed, seeded


def drawn() -> tuple[float, float]:
    """One number from each generator of the process; torch's has a test of its own, as not every process loads it."""
    return random.random(), float(np.random.normal())


class Drawing(ClassifierMixin, BaseEstimator):
    """Its model is what it draws, as many times as its depth says."""

    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.drawn_ = [drawn() for _ in range(self.depth)]
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def sum_drawn(estimator, X, y):
    return float(np.sum(estimator.drawn_)) + len(X)


def drawing_scorer(estimator, X, y):
    return sum_drawn(estimator, X, y) + float(np.sum(drawn()))


def drawing_study(**changes):
    given = {
        "estimator": Drawing(), "space": {"depth": Int(1, 6)}, "metric": drawing_scorer, "reference": {"depth": 1},
        "split": CrossValidation(folds=3, test=0.2),
    }  # fmt: skip
    return tree_study("drawing", **given | changes)


def states():
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    numpys = {name: str(value) for name, value in np.random.get_state(legacy=False).items()}
    return random.getstate(), numpys, None if torch is None else torch.get_rng_state().tolist()


@pytest.fixture
def untouched():
    """What a user has drawn before is followed by what would have followed."""
    np.random.normal()  # one more is ready in numpy's generator
    before = states()
    yield
    assert states() == before


@pytest.mark.usefixtures("untouched")
def test_folds_score_the_same_in_any_order_and_together():
    problem = Problem(drawing_study())
    with kept():
        together = [fold.scores for fold in evaluate_folds(problem, {"depth": 2}, [0, 1, 2])]
        drawn()
        (last,) = evaluate_folds(problem, {"depth": 2}, [2])
        (first,) = evaluate_folds(problem, {"depth": 2}, [0])
    assert [first.scores, last.scores] == [together[0], together[2]]
    assert len({next(iter(scores.values())) for scores in together}) == 3
    other = Problem(drawing_study(), 1)
    assert evaluate(other, {"depth": 2}).fold_scores[0] != next(iter(together[0].values()))


@pytest.mark.usefixtures("untouched")
def test_a_function_that_draws_builds_the_same_for_each_fold():
    def build(params):
        return Drawing(depth=random.randint(1, 1000) + params["depth"])

    problem = Problem(drawing_study(estimator=build, metric=lambda estimator, X, y: float(estimator.depth)))
    assert len(set(evaluate(problem, {"depth": 1}).fold_scores)) == 1


@pytest.mark.usefixtures("untouched")
def test_a_refit_is_the_model_that_the_sealed_rows_score(database):
    made = hpo.run(drawing_study(), sampler="grid", database=database, progress="none")
    problem = made.problem()
    with kept():
        (sealed,) = evaluate_folds(problem, {"depth": made.best.params["depth"]}, [-1])
    fitted = [made.best_estimator() for _ in range(2)]
    assert fitted[0].drawn_ == fitted[1].drawn_
    with seeded(0, "score"):
        assert drawing_scorer(fitted[0], problem.partition.test, None) == next(iter(sealed.scores.values()))


@pytest.mark.slow
@pytest.mark.usefixtures("untouched")
def test_any_number_of_workers_and_any_cut_give_the_same_trials(tmp_path):
    study, options = drawing_study(), {"sampler": "random", "trials": 6, "progress": "none", "reuse": False}
    runs = [hpo.run(study, database=tmp_path / f"{n}.db", workers=n, **options) for n in (1, 2)]
    cut = hpo.run(study, database=tmp_path / "cut.db", **options | {"trials": 2})
    drawn_between = states()
    runs.append(hpo.run(study, database=cut.database, **options))
    assert states() == drawn_between
    assert len({str(same_trials(run.trials)) for run in runs}) == 1
    for run in runs:
        run.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe(n_startup_trials=2)"])
def test_a_search_scores_the_same_whatever_n_jobs_and_what_was_drawn_before(sampler):
    X, y = load_iris(return_X_y=True)
    found = []
    for n_jobs in (1, 2):
        drawn()
        before = states()
        search = hpo.SearchCV(
            Drawing(), {"depth": [1, 2, 3, 4, 5]}, sampler=sampler, n_trials=4, cv=3, random_state=0, n_jobs=n_jobs,
            scoring=drawing_scorer,
        ).fit(X, y)  # fmt: skip
        assert states() == before
        found.append((search.cv_results_["mean_test_score"].tolist(), search.best_estimator_.drawn_))
        assert len({search.cv_results_[f"split{fold}_test_score"][0] for fold in range(3)}) == 3
    assert found[0] == found[1]


def test_fits_in_threads_leave_the_generators_as_they_were():
    X, y = load_iris(return_X_y=True)
    search = hpo.SearchCV(Drawing(), {"depth": [1, 2, 3, 4, 5]}, n_trials=5, random_state=0, cv=3, n_jobs=4)
    before = states()
    with parallel_config("threading"):
        search.fit(X, y)
    assert states() == before


def test_a_search_that_fails_puts_the_generators_back():
    X, y = load_iris(return_X_y=True)

    class Failing(Drawing):
        def fit(self, X, y):
            drawn()
            raise ValueError("no")

    before = states()
    with pytest.raises(ValueError, match="fits failed"):
        hpo.SearchCV(Failing(), {"depth": [1, 2]}, n_trials=2, random_state=0, cv=3).fit(X, y)
    assert states() == before


def test_an_unseeded_search_draws_its_seed_as_scikit_learns_do():
    X, y = load_iris(return_X_y=True)
    search = hpo.SearchCV(Drawing(), {"depth": Int(1, 1000)}, sampler="random", n_trials=2, cv=3, refit=False)
    proposed = [search.fit(X, y).cv_results_["params"] for _ in range(2)]
    assert proposed[0] != proposed[1]


def test_a_search_inside_a_search_disturbs_no_fold_outside():
    X, y = load_iris(return_X_y=True)
    inner = hpo.SearchCV(Drawing(), {"depth": [1, 2]}, n_trials=2, random_state=0, cv=2)
    scores = [cross_val_score(inner, X, y, cv=2, scoring=lambda e, X, y: float(e.best_score_)) for _ in range(2)]
    assert scores[0].tolist() == scores[1].tolist()


def test_another_kind_of_generator_in_numpys_place_is_seeded_and_put_back():
    given = mtrand.get_bit_generator()
    own = np.random.PCG64(3)
    mtrand.set_bit_generator(own)
    try:
        np.random.normal()
        before = str(np.random.get_state(legacy=False))
        with seeded(0, "fold 0"):
            first = np.random.random()
        with seeded(0, "fold 0"):
            assert np.random.random() == first
        assert mtrand.get_bit_generator() is own
        assert str(np.random.get_state(legacy=False)) == before
    finally:
        mtrand.set_bit_generator(given)


@pytest.mark.usefixtures("untouched")
def test_torch_is_seeded_where_it_is_loaded():
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state()
    with seeded(0, "fold 0"):
        first = torch.rand(3)
    with seeded(0, "fold 0"):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_differ_between_folds_and_splits():
    values = []
    with kept():
        for split in (0, 1):
            for fold in (0, 1):
                seed(split, f"fold {fold}")
                values.append(drawn()[:2])
    assert len(set(values)) == 4
