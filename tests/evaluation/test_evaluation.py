"""One configuration -> its scores: those of scikit-learn, on rows that are never the sealed ones."""

import asyncio
import math
import os
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifierCV, SGDClassifier
from sklearn.metrics import make_scorer, silhouette_score
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import CrossValidation, Data, Float, Holdout, Int, InvalidDefinition
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.evaluation.results import Evaluation
from hpo.process.interrupts import handled_by

X, Y = load_iris(return_X_y=True)


HOLDOUT = Holdout()


def problem(estimator, metric="accuracy", *, data=lambda: (X, Y), split=HOLDOUT, number=0, space=None, **others):
    """One split of a study; without a space, that of a function which takes any parameters."""
    if space is None:
        own, space = estimator, {"any": [1]}
        others = {"reference": {}} | others
        estimator = (lambda params: clone(own).set_params(**params)) if hasattr(own, "fit") else own
    study = hpo.StudyDefinition("test", data, estimator, space, metric, split=split, **others)
    return Problem(study, number)


# --- the same scores as scikit-learn ---

CASES = {
    "forest": (RandomForestClassifier(n_estimators=8), {"max_depth": 3}, load_iris, "accuracy"),
    "tree": (DecisionTreeClassifier(), {"max_features": 2}, load_breast_cancer, "roc_auc"),
    "logistic": (
        make_pipeline(PCA(3), LogisticRegression()),
        {"logisticregression__C": 0.1},
        load_iris,
        "neg_log_loss",
    ),
    "sgd": (SGDClassifier(max_iter=50, tol=None), {"alpha": 0.01}, load_breast_cancer, "balanced_accuracy"),
    "ridge": (Ridge(), {"alpha": 2.0}, load_diabetes, "neg_mean_absolute_error"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("split", [CrossValidation(folds=3), Holdout(0.3, 0.1)], ids=["folds", "holdout"])
def test_scores_are_those_of_cross_validate(case, number, split):
    estimator, used, load, metric = case
    features, target = load(return_X_y=True)
    p = problem(estimator, metric, data=lambda: (features, target), split=split, number=number, extra_metrics=["r2"])
    evaluation = evaluate(p, used)
    expected = cross_validate(
        p.estimator(used), features, target, cv=p.partition.folds, scoring=[metric, "r2"], return_train_score=True
    )
    assert evaluation.error is None
    assert evaluation.fold_scores == pytest.approx(expected[f"test_{metric}"], rel=1e-12)
    assert evaluation.value == pytest.approx(expected[f"test_{metric}"].mean(), rel=1e-12)
    assert evaluation.train_score == pytest.approx(expected[f"train_{metric}"].mean(), rel=1e-12)
    assert evaluation.extra_scores == {"r2": pytest.approx(expected["test_r2"].mean(), rel=1e-12)}


def test_scores_of_a_grid_are_those_of_grid_search():
    study = hpo.StudyDefinition(
        "iris-tree",
        lambda: (X, Y),
        DecisionTreeClassifier(random_state=3),
        {"max_depth": Int(1, 3), "min_samples_leaf": [1, 20]},
        "neg_log_loss",
    )
    p = Problem(study)
    grid = {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 20]}
    search = GridSearchCV(study.estimator, grid, scoring="neg_log_loss", cv=p.partition.folds, refit=False).fit(X, Y)
    results = zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    expected = {str(sorted(configuration.items())): score for configuration, score in results}
    cells = [study.space.cell(i) for i in range(study.space.grid_size)]
    found = {str(sorted(cell.items())): evaluate(p, study.space.use(cell)).value for cell in cells}
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(found) == 6


def test_the_metric_may_be_any_callable():
    def share_of_first_class(estimator, X, y):
        return np.mean(estimator.predict(X) == 0)

    scorers = [share_of_first_class, make_scorer(lambda y, predicted: -np.abs(y - predicted).mean())]
    for scorer in scorers:
        p = problem(DecisionTreeClassifier(random_state=0), scorer, split=CrossValidation(3))
        expected = cross_validate(p.estimator({}), X, Y, cv=p.partition.folds, scoring=scorer)["test_score"]
        assert evaluate(p, {}).fold_scores == pytest.approx(expected)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(-4, 4), st.sampled_from([0.5, 2.0, 4.0]))
def test_a_shifted_and_scaled_metric_shifts_and_scales_the_value(shift, scale):
    def changed(estimator, X, y):
        return scale * estimator.score(X, y) + shift

    tree = DecisionTreeClassifier(max_depth=2)
    plain, moved = (evaluate(problem(tree, metric), {}) for metric in ("accuracy", changed))
    assert moved.value == pytest.approx(scale * plain.value + shift)
    assert moved.train_score == pytest.approx(scale * plain.train_score + shift)


# --- randomness ---


def test_a_free_random_state_is_fixed_by_the_split_at_any_depth():
    estimator = make_pipeline(
        PCA(2),
        VotingClassifier([("forest", RandomForestClassifier(3)), ("fixed", DecisionTreeClassifier(random_state=7))]),
    )
    one, again, other = (problem(estimator, number=number).estimator({}) for number in (0, 0, 1))
    names = [name for name in one.get_params() if name.endswith("random_state")]
    assert len(names) == 3
    for name in names:
        seeds = [built.get_params()[name] for built in (one, again, other)]
        if "fixed" in name:
            assert seeds == [7, 7, 7]
        else:
            assert seeds[0] == seeds[1] != seeds[2]
            assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)


def test_a_random_state_that_is_given_as_a_hyperparameter_is_kept():
    p = problem(RandomForestClassifier(3), space={"random_state": [1, 2]})
    assert p.estimator({"random_state": 2}).random_state == 2


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(5, max_depth=2),
        SGDClassifier(max_iter=3, tol=None),
        make_pipeline(PCA(2, svd_solver="randomized"), DecisionTreeClassifier(max_features=1)),
    ],
    ids=["forest", "sgd", "pipeline"],
)
def test_the_same_configuration_has_the_same_score_whatever_was_drawn_before(estimator):
    first = evaluate(problem(estimator), {})
    np.random.default_rng(5).random(100)
    np.random.seed(99)
    p = problem(estimator)
    assert [evaluate(p, {}).value for _ in range(2)] == [first.value] * 2


def test_a_splitter_inside_the_estimator_is_fixed_by_the_split_too():
    # RidgeClassifierCV takes a splitter, which is no estimator: its random_state is not among get_params().
    estimator = RidgeClassifierCV(alphas=(0.1, 1e5), cv=StratifiedKFold(3, shuffle=True))
    seeds = [problem(estimator, number=number).estimator({}).cv.random_state for number in (0, 0, 1)]
    assert seeds[0] is not None
    assert seeds[0] == seeds[1] != seeds[2]


def test_splits_and_only_splits_change_the_score_of_a_configuration():
    forest = RandomForestClassifier(3, max_depth=1)
    scores = [evaluate(problem(forest, "neg_log_loss", number=number), {}).value for number in range(4)]
    assert len(set(scores)) == 4


# --- failures are values ---


class Breaks(ClassifierMixin, BaseEstimator):
    """Raises what it is told to, in the fold it is told to."""

    def __init__(self, error=None, fold=0):
        self.error, self.fold = error, fold

    def fit(self, X, y):
        COUNTS["fits"] += 1
        self.classes_ = np.unique(y)
        if COUNTS["fits"] > self.fold and self.error is not None:
            raise self.error
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


COUNTS = {"fits": 0}


@pytest.fixture(autouse=True)
def counts():
    COUNTS["fits"] = 0
    return COUNTS


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad\n  rate"), "ValueError: bad rate"),
        (SystemExit(3), "SystemExit: 3"),
        (MemoryError("no room"), "MemoryError: no room"),
        (np.linalg.LinAlgError("singular"), "LinAlgError: singular"),
        (StopIteration(), "StopIteration: "),
        (KeyError("gamma"), "KeyError: 'gamma'"),
        (AssertionError("x" * 1000), "AssertionError: xxx"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_a_fit_that_raises_is_a_failed_evaluation(error, text):
    evaluation = evaluate(problem(lambda params: Breaks(error)), {})
    assert evaluation.value is None
    assert evaluation.error.startswith(text)
    assert "\n" not in evaluation.error
    assert len(evaluation.error) <= 300
    assert type(error).__name__ in evaluation.trace
    assert "in fit" in evaluation.trace
    assert evaluation.fold_scores == ()
    assert evaluation.attributes()["error"] == evaluation.error


def test_folds_before_the_failure_are_kept():
    split = CrossValidation(folds=4)
    evaluation = evaluate(problem(lambda params: Breaks(ValueError("third"), fold=2), split=split), {})
    assert evaluation.value is None
    assert len(evaluation.fold_scores) == 2
    assert all(map(math.isfinite, evaluation.fold_scores))
    assert COUNTS["fits"] == 3  # no fit after the failure


def test_a_configuration_that_cannot_be_built_is_a_failed_evaluation():
    p = problem(lambda params: DecisionTreeClassifier(max_depth=1 // params.get("n", 1)))
    assert evaluate(p, {"n": 0}).error.startswith("ZeroDivisionError")
    p = problem(DecisionTreeClassifier(), space={"max_depth": [1, 2]})
    assert evaluate(p, {"max_depth": -1}).error.startswith("InvalidParameterError")


class Silent(Exception):
    def __str__(self):
        raise SystemExit(5)

    __repr__ = __str__


class Lying(str):
    """A text that is no plain one."""


def in_our_hands(signum, frame):
    raise AssertionError("no signal was sent")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt("of its own"), "KeyboardInterrupt: of its own"),
        (GeneratorExit("g"), "GeneratorExit: g"),
        (asyncio.CancelledError("c"), "CancelledError: c"),
        (BaseExceptionGroup("two", [KeyboardInterrupt()]), "BaseExceptionGroup: two (1 sub-exception)"),
        (ValueError(Lying("\ud83d and \0 in it")), "ValueError: \\ud83d and \\x00 in it"),
        (Silent(), "Silent: its message cannot be shown (SystemExit)"),
        (ValueError(Silent()), "ValueError: its message cannot be shown (SystemExit)"),
    ],
)
@pytest.mark.parametrize("where", ["fit", "scorer"])
def test_whatever_is_raised_is_a_failure_in_plain_text(error, text, where):
    def scorer(estimator, X, y):
        raise error

    class Raises(DummyClassifier):  # not as a parameter: where Dask is loaded, groups of exceptions cannot be copied
        def fit(self, X, y, sample_weight=None):
            raise error

    p = problem(lambda params: Raises()) if where == "fit" else problem(DummyClassifier(), scorer)
    with handled_by(in_our_hands):
        evaluation = evaluate(p, {})
    assert evaluation.error == text
    for stored in (evaluation.error, evaluation.trace):
        assert type(stored) is str
        assert "\0" not in stored
        stored.encode()


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit("g"), asyncio.CancelledError("c"), Silent()])
def test_data_that_raise_anything_are_bad_input(error):
    def data():
        raise error

    with pytest.raises(InvalidDefinition, match=rf"test: data\(\) raised {type(error).__name__}: "):
        problem(DummyClassifier(), data=data)


def test_data_that_end_the_process_are_bad_input():
    with pytest.raises(InvalidDefinition, match=r"test: data\(\) raised ProcessExit: exit code 0"):
        problem(DummyClassifier(), data=lambda: os._exit(0))


def test_ctrl_c_is_no_failure_of_the_configuration():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it
    with pytest.raises(KeyboardInterrupt):
        evaluate(problem(lambda params: Breaks(KeyboardInterrupt())), {})


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_failure(score):
    evaluation = evaluate(problem(DummyClassifier(), lambda estimator, X, y: score), {})
    assert evaluation.value is None
    assert evaluation.train_score is None
    assert str(score) in evaluation.error


def test_one_fold_without_a_finite_score_fails_the_whole():
    scores = iter([0.5, 0.6, math.nan, 0.6, 0.7, 0.6])  # validation and train of three folds
    evaluation = evaluate(problem(DummyClassifier(), lambda *_: next(scores), split=CrossValidation(folds=3)), {})
    assert evaluation.value is None
    assert "nan" in evaluation.error


def test_a_scorer_that_raises_is_a_failure_and_named():
    def broken(estimator, X, y):
        raise RuntimeError("no such class")

    evaluation = evaluate(problem(DummyClassifier(), broken), {})
    assert (evaluation.value, evaluation.error) == (None, "RuntimeError: no such class")
    assert "in broken" in evaluation.trace


def test_an_estimator_without_what_the_metric_needs_is_a_failure():
    evaluation = evaluate(problem(SGDClassifier(loss="hinge"), "neg_log_loss"), {})
    assert evaluation.value is None
    assert "predict_proba" in evaluation.error


def test_an_extra_metric_that_is_not_finite_is_left_out():
    def odd(estimator, X, y):
        return math.nan

    evaluation = evaluate(problem(DummyClassifier(), extra_metrics=[odd, "f1_macro"]), {})
    assert evaluation.error is None
    assert set(evaluation.extra_scores) == {"f1_macro"}


# --- warnings ---


class Warns(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        for _ in range(3):
            warnings.warn("again", RuntimeWarning, stacklevel=1)
        warnings.warn("old", FutureWarning, stacklevel=1)
        return super().fit(X, y)


def test_warnings_are_quoted_and_counted_and_go_no_further():
    split = CrossValidation(folds=4)
    with warnings.catch_warnings(record=True) as outside:
        warnings.simplefilter("always")
        evaluation = evaluate(problem(lambda params: Warns(), split=split), {})
    assert evaluation.warnings == {"RuntimeWarning: again": 12, "FutureWarning: old": 4}
    assert not outside
    assert evaluation.error is None
    no_progress = evaluate(problem(SGDClassifier(max_iter=1), split=split), {})
    ((text, count),) = no_progress.warnings.items()
    assert count == 4
    assert text.startswith("ConvergenceWarning: Maximum number of iteration reached")


def test_of_many_different_warnings_the_first_are_quoted():
    class Chatty(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            for i in range(20):
                warnings.warn(f"number {i}", UserWarning, stacklevel=1)
            return super().fit(X, y)

    found = evaluate(problem(lambda params: Chatty(), split=CrossValidation(folds=2)), {}).warnings
    assert found == {**{f"UserWarning: number {i}": 2 for i in range(5)}, "UserWarning": 30}


def test_warnings_before_a_failure_are_counted():
    class WarnsThenBreaks(Warns):
        def predict(self, X):
            raise ValueError("later")

    evaluation = evaluate(problem(lambda params: WarnsThenBreaks()), {})
    assert evaluation.error == "ValueError: later"
    assert evaluation.warnings == {"RuntimeWarning: again": 3, "FutureWarning: old": 1}


# --- data in all forms ---


def id_column(X):
    """Row numbers, which the spies' data carry in the first column."""
    return (X.iloc[:, 0] if hasattr(X, "iloc") else np.asarray(X)[:, 0]).astype(int).tolist()


SEEN = {"fit": set(), "score": set(), "weights": []}


class Spy(ClassifierMixin, BaseEstimator):
    """Notes every row it is given, in fitting and predicting."""

    def fit(self, X, y, sample_weight=None, note=None):
        SEEN["fit"] |= set(id_column(X))
        assert list(y) == [i % 3 for i in id_column(X)]
        if sample_weight is not None:
            SEEN["weights"].append((id_column(X), list(sample_weight), note))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        SEEN["score"] |= set(id_column(X))
        return np.asarray(id_column(X)) % 3


def spying_scorer(estimator, X, y):
    SEEN["score"] |= set(id_column(X))
    assert list(y) == [i % 3 for i in id_column(X)]
    return float(np.mean(estimator.predict(X) == np.asarray(y)))


@pytest.fixture
def seen():
    SEEN["fit"], SEEN["score"], SEEN["weights"] = set(), set(), []
    return SEEN


ROWS = np.column_stack([np.arange(90), np.arange(90) % 7]).astype(float)
TARGET = np.arange(90) % 3
GROUPS = np.arange(90) // 6
INDEX = np.random.default_rng(1).permutation(90) + 1000


@pytest.mark.parametrize(
    "split",
    [
        Holdout(0.2, 0.2),
        Holdout(0.2, 0.2, order="time"),
        Holdout(0.2, 0.2, order="group"),
        CrossValidation(folds=3, test=0.3),
        CrossValidation(folds=3, repeats=2, test=0.1),
        CrossValidation(folds=3, order="time"),
        CrossValidation(splitter=LeaveOneGroupOut(), order="group"),
    ],
    ids=lambda split: f"{type(split).__name__}-{split.order}-{split.test}",
)
@pytest.mark.parametrize("form", ["array", "frame"])
def test_the_sealed_rows_are_never_touched(seen, split, form):
    groups = GROUPS if split.order == "group" else None
    frame = Data(pd.DataFrame(ROWS, index=INDEX), pd.Series(TARGET, index=INDEX), groups)
    data = frame if form == "frame" else Data(ROWS, TARGET, groups)
    for number in range(2 if split.has_randomness else 1):
        p = problem(Spy(), spying_scorer, data=lambda: data, split=split, number=number, extra_metrics=["accuracy"])
        evaluation = evaluate(p, {})
        assert (evaluation.error, evaluation.value) == (None, 1.0)
        sealed = set(p.partition.test.tolist())
        assert len(sealed) >= 0.05 * 90
        assert not seen["fit"] & sealed
        assert not seen["score"] & sealed
        assert seen["fit"] <= set(p.partition.development.tolist())


def test_each_fold_fits_its_training_rows_alone():
    fitted = []

    class Noting(Spy):
        def fit(self, X, y):
            fitted.append(id_column(X))
            return super().fit(X, y)

    p = problem(lambda params: Noting(), data=lambda: (ROWS, TARGET), split=CrossValidation(folds=4))
    evaluate(p, {})
    assert fitted == [train.tolist() for train, _ in p.partition.folds]


@pytest.mark.parametrize(
    "kind", [np.asarray, list, lambda w: pd.Series(w, index=INDEX)], ids=["array", "list", "series"]
)
def test_fit_params_of_one_per_row_are_cut_with_the_rows_and_others_passed_on(seen, kind):
    weights = kind(np.arange(90) * 10.0)
    data = Data(ROWS, TARGET, None, {"sample_weight": weights, "note": "a text"})
    evaluation = evaluate(problem(lambda params: Spy(), data=lambda: data, split=CrossValidation(folds=3)), {})
    assert evaluation.error is None
    assert len(seen["weights"]) == 3
    for ids, given_weights, note in seen["weights"]:
        assert given_weights == [10.0 * i for i in ids]
        assert note == "a text"


def test_sample_weights_change_the_fit_as_in_scikit_learn():
    weights = np.where(Y == 1, 20.0, 0.05)
    p = problem(
        LogisticRegression(max_iter=500),
        "neg_log_loss",
        data=lambda: Data(X, Y, None, {"sample_weight": weights}),
        split=CrossValidation(folds=3),
    )
    expected = cross_validate(
        p.estimator({}), X, Y, cv=p.partition.folds, scoring="neg_log_loss", params={"sample_weight": weights}
    )["test_score"]
    assert evaluate(p, {}).fold_scores == pytest.approx(expected, rel=1e-12)
    unweighted = problem(LogisticRegression(max_iter=500), "neg_log_loss", split=CrossValidation(folds=3))
    assert evaluate(unweighted, {}).value != pytest.approx(expected.mean(), rel=1e-3)


def test_pandas_with_any_index_and_sparse_data_score_as_arrays_do():
    split = CrossValidation(folds=3)
    shuffled = np.random.default_rng(0).permutation(150)
    forms = [
        (X, Y),
        (pd.DataFrame(X, index=shuffled), pd.Series(Y, index=shuffled)),
        (sparse.csr_matrix(X), Y),
        (sparse.csr_array(X), list(Y)),
        load_iris(),
    ]
    forest = RandomForestClassifier(4)
    scores = [evaluate(problem(forest, "neg_brier_score", data=lambda f=form: f, split=split), {}) for form in forms]
    assert [score.error for score in scores] == [None] * len(forms)
    assert [score.value for score in scores] == pytest.approx([scores[0].value] * len(forms), rel=1e-12)


def test_columns_of_a_data_frame_reach_the_estimator():
    frame = pd.DataFrame({"colour": pd.Categorical(["red", "green", "blue"])[np.arange(90) % 3]})
    p = problem(
        make_pipeline(OneHotEncoder(), DecisionTreeClassifier()), data=lambda: (frame, pd.Series(TARGET).astype(str))
    )
    assert evaluate(p, {}).value == 1.0


def test_texts_go_through_as_they_are():
    words = [["apple pear", "car bus", "cat dog"][i % 3] for i in range(90)]
    p = problem(make_pipeline(CountVectorizer(), DecisionTreeClassifier()), data=lambda: (words, list(TARGET)))
    assert evaluate(p, {}).value == 1.0


def test_unsupervised_data_need_no_target():
    def silhouette(estimator, X, y):
        assert y is None
        return silhouette_score(X, estimator.predict(X))

    def log_likelihood(estimator, X, y=None):
        return estimator.score(X)

    clusters = problem(KMeans(n_init=1), silhouette, data=lambda: X, space={"n_clusters": Int(2, 6)})
    scores = {k: evaluate(clusters, {"n_clusters": k}).value for k in (2, 6)}
    assert scores[2] > scores[6]
    p = problem(PCA(), log_likelihood, data=lambda: X, space={"n_components": Int(1, 3)}, split=CrossValidation(3))
    expected = cross_validate(p.estimator({"n_components": 2}), X, cv=p.partition.folds)["test_score"]
    assert evaluate(p, {"n_components": 2}).fold_scores == pytest.approx(expected)


def test_a_row_order_that_changes_nothing_changes_no_score():
    fixed = CrossValidation(folds=3, order="time", test=0)
    tree = DecisionTreeClassifier(random_state=0, max_depth=2)
    columns = evaluate(problem(tree, split=fixed, data=lambda: (X[::3], Y[::3])), {})
    fortran = evaluate(problem(tree, split=fixed, data=lambda: (np.asfortranarray(X[::3]), Y[::3].copy())), {})
    assert columns.fold_scores == fortran.fold_scores


# --- the record ---


def test_costs_are_measured_and_the_whole_is_stored_and_read_back():
    p = problem(SGDClassifier(max_iter=1), split=CrossValidation(folds=3), extra_metrics=["f1_macro"])
    evaluation = evaluate(p, {})
    assert evaluation.fit_seconds > 0
    assert evaluation.score_seconds > 0
    assert math.isnan(evaluation.peak_memory_mb) or evaluation.peak_memory_mb > 1
    attributes = evaluation.attributes()
    assert all(isinstance(value, (int, float, str)) for value in attributes.values())
    back = Evaluation.from_stored(evaluation.value, evaluation.fold_scores, attributes)
    assert back.attributes() == attributes
    for name in ("value", "train_score", "fold_scores", "extra_scores", "warnings", "error"):
        assert getattr(back, name) == getattr(evaluation, name)


def test_an_extra_metric_must_not_bear_the_name_of_a_stored_attribute():
    def train_score(estimator, X, y):
        return -5.0

    with pytest.raises(InvalidDefinition, match="a metric cannot be named 'train_score'"):
        problem(DummyClassifier(), extra_metrics=[train_score])


def test_what_cannot_be_split_or_loaded_is_said_before_the_first_fit():
    with pytest.raises(InvalidDefinition, match="needs groups"):
        problem(Spy(), split=Holdout(order="group"))
    with pytest.raises(InvalidDefinition, match="split 1 does not exist"):
        problem(DummyClassifier(), split=Holdout(order="time"), number=1)
    with pytest.raises(InvalidDefinition, match=r"raised ValueError: .*'gone'"):
        problem(DummyClassifier(), data=lambda: int("gone"))


def test_a_float_hyperparameter_reaches_the_estimator_as_proposed():
    study = hpo.StudyDefinition("ridge", load_diabetes, Ridge(), {"alpha": Float(0.1, 10)}, "r2", split=Holdout())
    built = Problem(study).estimator(study.space.use({"alpha": 0.7}))
    assert built.alpha == 0.7
