"""SearchCV in the place of scikit-learn's searches: the same numbers, nothing lost, nothing leaked."""

import importlib.util
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import QMCSampler, TPESampler
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import hpo
from hpo import SearchCV
from hpo.cli.main import command
from hpo.samplers.table import find_sampler
from hpo.search_cv.spaces import CandidateSpace
from hpo.study.foreign_spaces import as_parameter

X, Y = load_iris(return_X_y=True)
TREE = DecisionTreeClassifier(random_state=0)
MODEL = make_pipeline(StandardScaler(), SVC())
GRID = [
    {"svc__C": [0.1, 1, 10, 1], "svc__kernel": ["linear", "rbf"]},
    {"svc__C": [1.0, 5.0], "svc__gamma": ["scale", 0.1], "standardscaler": [StandardScaler(), "passthrough", None]},
]


def assert_same_results(ours, plain):
    """Every column but those of time is the same."""
    assert sorted(ours.cv_results_) == sorted(plain.cv_results_)
    for name, column in plain.cv_results_.items():
        if name == "params":
            assert [repr(sorted(p.items())) for p in ours.cv_results_[name]] == [
                repr(sorted(p.items())) for p in column
            ]
        elif "time" not in name:
            assert repr(ours.cv_results_[name]) == repr(column), name
    assert (ours.best_index_, ours.n_splits_) == (plain.best_index_, plain.n_splits_)


# --- as scikit-learn's ---


@parametrize_with_checks([
    SearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, sampler="grid", cv=2),
    SearchCV(LogisticRegression(), {"C": hpo.Float(0.1, 1.0, log=True)}, n_trials=2, cv=2, random_state=0),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_it_is_an_estimator(estimator, check):
    check(estimator)


EXPLAINED = {
    # An equal candidate is fitted once, so that the message counts 5 fits where 3 equal candidates make 15.
    "test_grid_search_classifier_all_fits_fail", "test_callable_multimetric_clf_all_fits_fail",
    "test_custom_run_search",  # wants no attributes beside scikit-learn's: run_ and study_ are ours
}  # fmt: skip


@pytest.mark.slow
def test_scikit_learns_own_tests_of_searches_pass(tmp_path):
    theirs = importlib.util.find_spec("sklearn.model_selection.tests.test_search").origin
    command = [sys.executable, "-m", "pytest", "-q", "-rfEp", "-p", "searches_of_ours", "-p", "no:cacheprovider"]
    command += ["--no-header", "--tb=no", "-W", "ignore", "-c", str(tmp_path / "none.ini"), "-o", "addopts="]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    paths = [str(Path(__file__).parents[1]), str(Path(hpo.__file__).parents[1])]
    code = f"import sys; sys.path[:0] = {paths!r}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *command[3:], theirs], capture_output=True, text=True, timeout=300,
        cwd=tmp_path,
    )  # fmt: skip
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) .*?::(\w+)", done.stdout, re.MULTILINE)
    assert {name for outcome, name in outcomes if outcome != "PASSED"} == EXPLAINED
    assert sum(outcome == "PASSED" for outcome, _ in outcomes) >= 130


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_equals_grid_search_cell_by_cell(n_jobs):
    options = {"cv": KFold(3, shuffle=True, random_state=1), "return_train_score": True, "n_jobs": n_jobs}
    plain = GridSearchCV(MODEL, GRID, **options).fit(X, Y)
    ours = SearchCV(MODEL, GRID, sampler="grid", **options).fit(X, Y)
    assert_same_results(ours, plain)
    assert list(ours.cv_results_) == list(plain.cv_results_)
    assert ours.best_score_ == plain.best_score_
    assert (ours.predict(X) == plain.predict(X)).all()
    assert [trial.value for trial in ours.study_.trials] == list(plain.cv_results_["mean_test_score"])
    assert ours.run_.best.value == plain.best_score_
    repeated = sum("duplicate_of" in trial.user_attrs for trial in ours.study_.trials)
    assert repeated == 2  # C=1 twice, with two kernels


def test_the_imports_of_scikit_learns_searches_can_be_replaced():
    plain = GridSearchCV(MODEL, {"svc__C": (1, 10)}, scoring="accuracy", cv=3).fit(X, Y)
    for ours in (
        SearchCV(MODEL, {"svc__C": [1, 10]}, scoring="accuracy", cv=3),
        SearchCV(estimator=MODEL, param_grid={"svc__C": (1, 10)}, scoring="accuracy", cv=3, pre_dispatch=2),
    ):
        assert_same_results(clone(ours).fit(X, Y), plain)
    for ours in (
        SearchCV(TREE, {"max_depth": stats.randint(1, 9)}, n_iter=4, cv=2, random_state=0),
        SearchCV(TREE, param_distributions={"max_depth": stats.randint(1, 9)}, n_iter=4, cv=2, random_state=0),
    ):
        assert len(ours.fit(X, Y).cv_results_["params"]) == 4
    with pytest.raises(hpo.InvalidOption, match="n_trials and n_iter are names of the same thing"):
        SearchCV(TREE, SPACE, n_iter=3, n_trials=3).fit(X, Y)
    with pytest.raises(hpo.InvalidOption, match="space and param_grid are names of the same thing"):
        SearchCV(TREE, SPACE, param_grid=SPACE).fit(X, Y)
    with pytest.raises(hpo.InvalidSpace, match="SearchCV has no space"):
        SearchCV(TREE).fit(X, Y)


class Real:
    """As scikit-optimize's."""

    def __init__(self, low, high, prior="uniform"):
        self.low, self.high, self.prior = low, high, prior


@pytest.mark.parametrize(("given", "expected"), [
    ((0.001, 100.0, "log-uniform"), hpo.Float(0.001, 100.0, log=True)),
    ((1, 9, "uniform"), hpo.Int(1, 9)),
    (Real(0.5, 1, "log-uniform"), hpo.Float(0.5, 1, log=True)),
    (FloatDistribution(0, 1, step=0.25), hpo.Float(0, 1, step=0.25)),
    (IntDistribution(1, 64, log=True), hpo.Int(1, 64, log=True)),
    (CategoricalDistribution(["a", None]), hpo.Categorical(["a", None])),
    ((9, 1), hpo.Categorical([1, 9])),
])  # fmt: skip
def test_ranges_of_other_packages_are_ranges(given, expected):
    assert as_parameter(given) == expected
    assert CandidateSpace({"x": given, "y": [1, 2]}).space.parameters["x"] == expected


def test_two_numbers_that_may_be_a_range_are_asked_about_and_distributions_need_not_be_frozen():
    with pytest.raises(hpo.InvalidSpace, match=r"max_depth: .* write hpo.Int\(1, 9\) for the range, \[1, 9\] for"):
        SearchCV(TREE, {"max_depth": (1, 9)}).fit(X, Y)
    with pytest.raises(hpo.InvalidSpace, match=r"scipy.stats.beta needs a, b"):
        hpo.SearchSpace({"x": stats.beta})
    histogram = stats.rv_histogram(np.histogram([1, 2, 3.0], bins=2))
    for distribution in (stats.expon, histogram):
        drawn = SearchCV(
            LogisticRegression(max_iter=10_000), {"C": distribution}, n_trials=2, cv=2, random_state=0
        ).fit(X, Y)
        assert (drawn.cv_results_["param_C"] > 0).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("sampler", ["random", "tpe(n_startup_trials=3)"])
def test_patience_target_and_start_are_as_in_run(sampler, n_jobs):
    options = {"sampler": sampler, "n_trials": 12, "cv": 2, "random_state": 0, "n_jobs": n_jobs}
    whole = SearchCV(TREE, SPACE, **options).fit(X, Y).cv_results_["mean_test_score"]
    best = np.maximum.accumulate(whole)
    n_to_target = int(np.argmax(whole >= 0.9)) + 1
    found = SearchCV(TREE, SPACE, target=0.9, **options).fit(X, Y).cv_results_["mean_test_score"]
    assert found.tolist() == whole[:n_to_target].tolist()
    n_patient = next(n for n in range(1, 13) if n == 12 or n - (int(np.argmax(whole[:n] == best[n - 1])) + 1) >= 3)
    assert len(SearchCV(TREE, SPACE, patience=3, **options).fit(X, Y).cv_results_["params"]) == n_patient
    start = [{"max_depth": 7, "min_samples_leaf": 29}]
    assert SearchCV(TREE, SPACE, start=start, **options).fit(X, Y).cv_results_["params"][0] == start[0]


def test_start_is_written_as_set_params_takes_it():
    start = [{"svc__C": 10, "svc__kernel": "rbf"}, {"svc__C": 5.0, "svc__gamma": 0.1, "standardscaler": None}]
    search = SearchCV(MODEL, GRID, start=start, cv=2).fit(X, Y)
    assert search.cv_results_["params"][:2] == start
    assert len(search.cv_results_["params"]) == 20
    with pytest.raises(hpo.InvalidSpace, match=r"start\[0\]"):
        SearchCV(MODEL, GRID, start=[{"svc__C": 11, "svc__kernel": "rbf"}], cv=2).fit(X, Y)


class Clock:
    """A clock that fits move."""

    now = 0.0


class Ticking(DecisionTreeClassifier):
    """Takes a second of that clock."""

    def fit(self, X, y):
        """As a tree."""
        Clock.now += 1
        return super().fit(X, y)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "grid"])
def test_no_candidate_begins_after_the_timeout(sampler, monkeypatch):
    monkeypatch.setattr("hpo.search_cv.search.time.monotonic", lambda: Clock.now)
    search = SearchCV(Ticking(), {"max_depth": hpo.Int(1, 100, grid=20)}, sampler=sampler, n_trials=12, cv=5, timeout=7)
    assert len(search.fit(X, Y).cv_results_["params"]) == 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_and_pruners_of_optuna_are_taken_where_a_name_is(tmp_path):
    options = {"n_trials": 6, "cv": 2, "random_state": 0, "database": tmp_path / "x.db"}
    whole = SearchCV(TREE, SPACE, sampler=TPESampler(n_startup_trials=3, seed=1), **options).fit(X, Y)
    assert len({str(p) for p in whole.cv_results_["params"]}) > 1
    options["database"] = tmp_path / "y.db"
    SearchCV(TREE, SPACE, sampler=TPESampler(n_startup_trials=3, seed=2), **{**options, "n_trials": 4}).fit(X, Y)
    resumed = SearchCV(TREE, SPACE, sampler=TPESampler(n_startup_trials=3), **options).fit(X, Y)
    assert_same_results(resumed, whole)
    assert find_sampler("tpe").with_pruner(MedianPruner(n_startup_trials=8)).label == "tpe+median(n_startup_trials=8)"
    assert find_sampler("tpe").with_pruner(HyperbandPruner()).label == "tpe+hyperband"
    with pytest.raises(hpo.UnknownPruner, match="NopPruner of Optuna is not known"):
        find_sampler("tpe").with_pruner(NopPruner())
    with pytest.raises(hpo.UnsuitableSampler, match="give sampler='qmc'"):
        find_sampler(QMCSampler())


def test_callbacks_are_called_after_each_record_and_may_stop(tmp_path):
    seen = []

    def callback(study, trial):
        seen.append((trial.number, len(study.trials)))
        study.set_user_attr("mine", 1)
        if trial.number == 3:
            study.stop()

    search = search_on(tmp_path / "x.db", callbacks=[callback], random_state=0).fit(X, Y)
    assert seen == [(n, n + 1) for n in range(4)]
    assert len(search.cv_results_["params"]) == 4
    assert "mine" not in search.run_.attributes
    with pytest.raises(hpo.InvalidOption, match="give a list of functions"):
        search_on(None, callbacks=callback).fit(X, Y)


def test_verbose_says_what_scikit_learn_would_and_what_was_resumed(tmp_path, capsys):
    search_on(tmp_path / "x.db", n_trials=3, random_state=0).fit(X, Y)
    capsys.readouterr()
    search = search_on(tmp_path / "x.db", n_trials=8, random_state=0, verbose=1).fit(X, Y)
    said = capsys.readouterr().out
    assert f"Fitting 3 folds for each of 5 candidates, totalling 15 fits; 3 candidates of {search.run_.name}" in said


def test_random_draws_from_lists_as_randomized_search_does():
    space = {"max_depth": [1, 2, 3, 4], "min_samples_leaf": [1, 2, 5], "criterion": ["gini", "entropy"]}
    plain = RandomizedSearchCV(TREE, space, n_iter=9, random_state=3, cv=3).fit(X, Y)
    assert_same_results(SearchCV(TREE, space, sampler="random", n_trials=9, random_state=3, cv=3).fit(X, Y), plain)


def test_several_metrics_and_a_callable_refit():
    scoring = {"accuracy": "accuracy", "loss": "neg_log_loss"}

    def cheapest(results):
        return int(np.argmin(results["param_max_depth"].astype(int)))

    for refit in ("loss", cheapest):
        options = {"scoring": scoring, "refit": refit, "cv": 3}
        plain = GridSearchCV(TREE, {"max_depth": [3, 2, 4]}, **options).fit(X, Y)
        ours = SearchCV(TREE, {"max_depth": [3, 2, 4]}, sampler="grid", **options).fit(X, Y)
        assert_same_results(ours, plain)
        assert ours.best_params_ == plain.best_params_
    tuned = SearchCV(TREE, {"max_depth": hpo.Int(1, 5)}, n_trials=4, scoring=scoring, refit="loss", cv=3).fit(X, Y)
    assert [t.value for t in tuned.study_.trials] == list(tuned.cv_results_["mean_test_loss"])


def test_scipy_distributions_become_ranges_or_their_quantiles():
    space = {
        "svc__C": stats.loguniform(1e-2, 1e2), "svc__degree": stats.randint(2, 5), "svc__coef0": stats.expon(scale=2.0),
        "svc__kernel": ["poly", "rbf"],
    }  # fmt: skip
    search = SearchCV(MODEL, space, n_trials=12, cv=2, random_state=0).fit(X, Y)
    results = search.cv_results_
    assert set(results["param_svc__degree"]) <= {2, 3, 4}
    assert (results["param_svc__coef0"] >= 0).all()
    stored = search.study_.trials[0]
    assert stored.user_attrs["svc__coef0"] == results["param_svc__coef0"][0]  # the value, beside its quantile
    assert 0 < stored.params["svc__coef0"] < 1


@pytest.mark.parametrize("sampler", ["tpe(n_startup_trials=3)", "random", "qmc"])
def test_the_number_of_jobs_changes_nothing(sampler):
    space = {"max_depth": hpo.Int(1, 6), "min_samples_leaf": hpo.Int(1, 30, log=True)}
    one, two = (
        SearchCV(TREE, space, sampler=sampler, n_trials=10, cv=3, random_state=1, n_jobs=n).fit(X, Y) for n in (1, 2)
    )
    assert_same_results(one, two)


def test_a_candidate_that_fails_is_shown_as_in_scikit_learn_and_all_that_fail_are_an_error():
    space = {"max_depth": [2, -1, 3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = SearchCV(TREE, {"max_depth": hpo.Categorical([2, -1, 3])}, n_trials=12, cv=2, random_state=0).fit(X, Y)
    depths, scores = search.cv_results_["param_max_depth"], search.cv_results_["mean_test_score"]
    assert [np.isnan(score) for score in scores] == [depth == -1 for depth in depths]
    failed = next(t for t in search.study_.trials if t.params["max_depth"] == -1)
    assert failed.state.name == "FAIL"
    with pytest.raises(ValueError, match="All the 2 fits failed"):
        SearchCV(TREE, {"max_depth": hpo.Categorical([-1])}, n_trials=1, cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="max_depth"):
        SearchCV(TREE, space, sampler="grid", error_score="raise", cv=2).fit(X, Y)


# --- with a database ---

SPACE = {"max_depth": hpo.Int(1, 8), "min_samples_leaf": hpo.Int(1, 30, log=True)}


def search_on(database, **changes):
    options = {"n_trials": 8, "cv": 3, "sampler": "tpe(n_startup_trials=3)", "database": database, **changes}
    return SearchCV(TREE, SPACE, **options)


def test_what_is_stored_is_not_fitted_again(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    whole = search_on(url, random_state=1).fit(X, Y)
    begun = search_on(tmp_path / "y.db", random_state=1, n_trials=5).fit(X, Y)
    fits = []
    original = DecisionTreeClassifier.fit
    monkeypatch.setattr(DecisionTreeClassifier, "fit", lambda *a, **k: fits.append(1) or original(*a, **k))
    going_on = search_on(tmp_path / "y.db", random_state=1).fit(X, Y)
    assert_same_results(going_on, whole)
    assert len(going_on.cv_results_["params"]) == 8
    # One stored fold to see that it gives its score, three folds of three more candidates, and the refit.
    assert len(fits) == 1 + 3 * 3 + 1
    again = search_on(url, random_state=1).fit(X, Y)
    assert_same_results(again, whole)
    assert (again.predict(X) == whole.predict(X)).all()
    assert begun.run_.name.seed == 1


FIRST = X[0] + 0.001  # unlike all others


class NeedsTheFirstRow(DecisionTreeClassifier):
    """Fails on the fold whose training rows lack it."""

    def fit(self, X, y):
        """As a tree."""
        if not (X == FIRST).all(axis=1).any():
            raise ValueError("no first row")
        return super().fit(X, y)


@pytest.mark.filterwarnings("ignore:One or more of the test scores", "ignore::sklearn.exceptions.FitFailedWarning")
def test_what_is_stored_with_a_failed_first_fold_is_not_fitted_again(tmp_path):
    rows = np.vstack([FIRST, X[1:]])
    options = {"space": {"max_depth": [1, 2]}, "sampler": "grid", "cv": KFold(3), "database": tmp_path / "x.db"}
    for _ in range(2):
        search = SearchCV(NeedsTheFirstRow(random_state=0), refit=False, **options).fit(rows, Y)
        assert np.isnan(search.cv_results_["split0_test_score"]).all()
        assert np.isfinite(search.cv_results_["split1_test_score"]).all()


def test_the_commands_know_what_a_search_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    search = SearchCV(TREE, SPACE, n_trials=3, cv=2, database="hpo.db").fit(X, Y)
    name = str(search.run_.name)
    for arguments, status in ((["show", name], 0), (["export", name, "model"], 2)):
        assert command(arguments) == status
        said = "".join(capsys.readouterr())
        assert f"{name.partition('/')[0]} is a search of hpo.SearchCV and has no script" in said
    assert command(["list"]) == 0
    assert "3/3" in capsys.readouterr().out


def test_a_seed_that_is_not_given_is_drawn_once(tmp_path):
    first = search_on(tmp_path / "x.db", n_trials=4).fit(X, Y)
    second = search_on(tmp_path / "x.db", n_trials=6).fit(X, Y)
    assert second.run_.name == first.run_.name
    assert list(second.cv_results_["mean_test_score"][:4]) == list(first.cv_results_["mean_test_score"])


@pytest.mark.slow
def test_neither_data_nor_candidates_nor_the_database_are_sent_along_with_each_fold(tmp_path):
    class Watched(SearchCV):
        """Says what scikit-learn's tasks carry of it."""

        def __getstate__(self):
            state = super().__getstate__()
            sent.append((state["database"], len(pickle.dumps(state))))
            return state

    sent = []
    search = Watched(TREE, {"max_depth": [1, 2]}, sampler="grid", cv=2, database=tmp_path / "x.db", n_jobs=2)
    for _ in range(2):
        search.fit(np.repeat(X, 100, axis=0), np.repeat(Y, 100))
        search.set_params(space={"max_depth": [3, 4, 5]}, name="second")
    assert len(sent) >= 2 * 2 + 3 * 2  # scikit-learn sends a search with each of its folds
    assert all(database is None and size < 10_000 for database, size in sent)
    assert search.database == tmp_path / "x.db"
    assert pickle.loads(pickle.dumps(search.__getstate__()))["database"] == tmp_path / "x.db"


@pytest.mark.slow
def test_a_killed_notebook_goes_on_where_it_stopped(tmp_path):
    code = (
        "import sys, time, hpo\n"
        "from sklearn.datasets import load_iris\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "class Slow(DecisionTreeClassifier):\n"
        "    def fit(self, X, y):\n"
        "        time.sleep(float(sys.argv[2]))\n"
        "        return super().fit(X, y)\n"
        "search = hpo.SearchCV(Slow(random_state=0), {'max_depth': hpo.Int(1, 8)}, sampler='tpe(n_startup_trials=3)',\n"
        "    n_trials=10, cv=3, random_state=0, database=sys.argv[1], name='slow')\n"
        "search.fit(*load_iris(return_X_y=True))\n"
        "print(list(search.cv_results_['mean_test_score']), search.best_params_)\n"
    )

    def run(path, seconds):
        return subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    whole = run(tmp_path / "whole.db", 0).communicate(timeout=300)[0]
    killed = run(tmp_path / "x.db", 0.1)
    for _ in range(600):
        time.sleep(0.05)
        if (tmp_path / "x.db").exists():
            with hpo.StudyDatabase(tmp_path / "x.db") as database:
                if database.runs()["complete"].sum() >= 3:
                    break
    killed.send_signal(signal.SIGKILL)
    assert killed.communicate(timeout=300)[0] == ""
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        assert 3 <= database.runs()["complete"].sum() < 10
    assert run(tmp_path / "x.db", 0).communicate(timeout=300)[0] == whole


def test_another_estimator_or_cv_is_refused_under_the_same_name_unless_a_new_version_is_asked_for(tmp_path):
    first = search_on(tmp_path / "x.db", name="mine", random_state=0, n_trials=2).fit(X, Y)
    other = search_on(tmp_path / "x.db", name="mine", random_state=0, n_trials=2, cv=4)
    with pytest.raises(hpo.StudyChanged, match=r"was made with another cv: give new_version=True to begin mine-.*@2"):
        other.fit(X, Y)
    for _ in range(2):  # the second goes on with it
        second = other.set_params(new_version=True).fit(X, Y)
        assert second.run_.name.version == 2
    assert first.run_.name.version == 1
    assert search_on(tmp_path / "x.db", name="mine", random_state=0, n_trials=2).fit(X, Y).run_.name.version == 1


def test_another_grid_goes_on_with_a_new_version_and_says_so(tmp_path, capsys):
    for number, grid in enumerate(({"max_depth": [1, 2]}, {"max_depth": [1, 2, 3]}, {"max_depth": [1, 2]}), 1):
        search = SearchCV(TREE, grid, cv=2, database=tmp_path / "x.db", random_state=0).fit(X, Y)
        assert search.run_.name.version == (2 if number == 2 else 1)
        assert len(search.cv_results_["params"]) == len(grid["max_depth"])
        said = capsys.readouterr().err
        assert said.count("was made with another space") == (number == 2)


class Unsteady(DecisionTreeClassifier):
    """Scores by what no hash knows."""

    level = 0.5

    def score(self, X, y):
        """Whatever it is today."""
        return Unsteady.level


def test_scores_that_no_longer_hold_are_left_behind_by_a_new_version(tmp_path, monkeypatch):
    search = SearchCV(Unsteady(), {"max_depth": [1, 2]}, cv=2, database=tmp_path / "x.db", random_state=0).fit(X, Y)
    monkeypatch.setattr(Unsteady, "level", 0.75)
    with pytest.raises(hpo.StudyChanged, match="give new_version=True"):
        clone(search).fit(X, Y)
    again = clone(search).set_params(new_version=True).fit(X, Y)
    assert again.run_.name.version == 2
    assert again.cv_results_["mean_test_score"].tolist() == [0.75, 0.75]
    assert clone(search).fit(X, Y).run_.name.version == 2


def test_it_is_cloned_and_pickled_with_its_database(tmp_path):
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        search = search_on(database, n_trials=3).fit(X, Y)
        assert clone(search).database is database
        found = pickle.loads(pickle.dumps(search))
        assert (found.predict(X) == search.predict(X)).all()
        assert found.database.url == database.url
        assert len(found.study_.trials) == 3
        found.database.close()
    in_memory = pickle.loads(pickle.dumps(search_on(None, n_trials=3).fit(X, Y)))
    assert len(in_memory.study_.trials) == len(in_memory.run_.trials) == 3


# --- nested ---


@pytest.mark.slow
def test_outer_folds_have_runs_of_their_own_and_queue_for_the_database(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    search = search_on(url, n_trials=4, random_state=0, name="nested")
    plain = cross_validate(search_on(None, n_trials=4, random_state=0), X, Y, cv=4)
    stored = cross_validate(search, X, Y, cv=4, n_jobs=2)
    assert list(stored["test_score"]) == list(plain["test_score"])
    with hpo.StudyDatabase(url) as database:
        runs = database.runs()
    assert runs["complete"].tolist() == [4] * 4
    assert runs["run"].str.fullmatch(r"nested-[0-9a-f]{8}/tpe\(n_startup_trials=3\)/split0-seed0").all()


def test_nothing_of_the_outer_validation_rows_is_seen(tmp_path):
    # The target is noise: whoever saw the outer validation rows, through a stored result or otherwise, would be right.
    rng = np.random.default_rng(0)
    noise, target = rng.normal(size=(240, 5)), rng.integers(0, 2, 240)
    search = SearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 3, 5, 15, 45]}, sampler="grid", cv=3, database=tmp_path / "x.db",
        name="noise",
    )  # fmt: skip
    search.fit(noise, target)  # all rows are in the database before the outer folds begin
    outer = cross_validate(search, noise, target, cv=4)["test_score"]
    plain = cross_validate(GridSearchCV(search.estimator, search.space, cv=3), noise, target, cv=4)["test_score"]
    assert list(outer) == list(plain)
    assert abs(outer.mean() - 0.5) < 0.12


# --- pruning, time and bad input ---


def test_racing_gives_up_candidates_between_folds():
    Xb, yb = load_breast_cancer(return_X_y=True)
    space = {"svc__C": hpo.Float(1e-3, 1e2, log=True), "svc__gamma": hpo.Float(1e-5, 1.0, log=True)}
    options = {"sampler": "random", "n_trials": 20, "cv": 5, "random_state": 0, "scoring": "roc_auc"}
    plain = SearchCV(MODEL, space, **options).fit(Xb, yb)
    raced, two = (SearchCV(MODEL, space, pruner="racing", n_jobs=n, **options).fit(Xb, yb) for n in (1, 2))
    assert_same_results(raced, two)
    pruned = np.isnan(raced.cv_results_["mean_test_score"])
    assert 4 < pruned.sum() < 18
    assert (raced.cv_results_["mean_test_score"][~pruned] == plain.cv_results_["mean_test_score"][~pruned]).all()
    assert {t.state.name for t in raced.study_.trials} == {"COMPLETE", "PRUNED"}
    assert raced.best_params_ == plain.best_params_


def test_time_ends_the_search_after_a_candidate():
    search = SearchCV(TREE, SPACE, n_trials=10**6, timeout=0.5, cv=2).fit(X, Y)
    assert 1 <= len(search.cv_results_["params"]) < 10**6


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"sampler": "nosuch"}, hpo.UnknownSampler, "no sampler 'nosuch'"),
    ({"n_trials": 0}, hpo.InvalidOption, "trials=0: give a whole number"),
    ({"timeout": -1}, hpo.InvalidOption, "timeout=-1"),
    ({"pruner": "median"}, hpo.UnsuitablePruner, "median watches training"),
    ({"space": 3}, hpo.InvalidSpace, "3 is not a space"),
    ({"space": {"max_depth": hpo.Int(1, 3)}, "sampler": "cmaes"}, hpo.UnsuitableSampler, "cmaes needs 2 numeric"),
    ({"space": {"max_depth": []}, "sampler": "grid"}, ValueError, "max_depth"),
])  # fmt: skip
def test_bad_input_is_said_before_anything_is_fitted_or_stored(tmp_path, changes, error, message):
    options = {"estimator": DummyClassifier(), "space": SPACE, "database": tmp_path / "x.db", **changes}
    with pytest.raises(error, match=message):
        SearchCV(**options).fit(X, Y)
    assert not (tmp_path / "x.db").exists()


def test_a_grid_of_our_own_space_has_each_cell_once():
    space = {"max_depth": hpo.Int(1, 3), "bootstrap": [True, False], "max_samples": hpo.Float(
        0.3, 0.9, grid=3, when={"bootstrap": True})}  # fmt: skip
    search = SearchCV(RandomForestClassifier(n_estimators=2, random_state=0), space, sampler="grid", cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 3 * (3 + 1)
    assert all(("max_samples" in params) == params["bootstrap"] for params in search.cv_results_["params"])
