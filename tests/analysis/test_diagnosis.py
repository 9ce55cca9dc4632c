"""Over- and underfitting: verdicts on cases whose answer is known by construction, and best values at an edge."""

import numpy as np
import pytest
from conftest import tree_study
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_iris, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import hpo
from hpo import Categorical, CrossValidation, Data, Float, Holdout, Int, SearchSpace, StudyDefinition, UnknownRun
from hpo.evaluation.diagnosis import CANNOT_TELL, FITS_WELL, OVERFIT, UNDERFIT, diagnosis, margin_of_mean, perfect_score
from hpo.evaluation.dummy_scores import dummy_scores, part_scores
from hpo.evaluation.evaluate import Problem
from hpo.runs.run import Run
from hpo.study.edges import edges
from hpo.units import Metric

FOLDS = CrossValidation(folds=5, test=0.2)
RNG = np.random.default_rng(0)


def xor(n=400):
    X = np.random.default_rng(1).uniform(-1, 1, (n, 2))
    return X, (X[:, 0] > 0).astype(int) ^ (X[:, 1] > 0).astype(int)


def noisy(n=400, share=0.25):
    """One feature decides, four do not, and a quarter of the labels is wrong."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 5))
    y = (X[:, 0] > 0).astype(int)
    return X, np.where(rng.random(n) < share, 1 - y, y)


def wiggly(n=200):
    rng = np.random.default_rng(3)
    X = rng.uniform(-3, 3, (n, 1))
    return X, np.sin(2 * X[:, 0]) + rng.normal(scale=0.1, size=n)


def nothing(n=300):
    rng = np.random.default_rng(4)
    return rng.normal(size=(n, 4)), rng.integers(0, 2, n)


CASES = {
    "a depth-1 tree on XOR": (xor, DecisionTreeClassifier(max_depth=1), "accuracy", FOLDS, UNDERFIT),
    "a linear model on XOR": (xor, LogisticRegression(), "neg_log_loss", FOLDS, UNDERFIT),
    "a deep enough tree on XOR": (xor, DecisionTreeClassifier(), "accuracy", FOLDS, FITS_WELL),
    "an unpruned tree on noisy labels": (noisy, DecisionTreeClassifier(), "accuracy", FOLDS, OVERFIT),
    "an unpruned tree on noise, sure of itself": (noisy, DecisionTreeClassifier(), "neg_log_loss", FOLDS, OVERFIT),
    "a small tree on noisy labels": (noisy, DecisionTreeClassifier(max_depth=1), "accuracy", FOLDS, FITS_WELL),
    "the nearest neighbour on noise": (nothing, KNeighborsClassifier(1), "accuracy", FOLDS, OVERFIT),
    "a line through a sine": (wiggly, LinearRegression(), "r2", FOLDS, UNDERFIT),
    "a tree through a sine": (wiggly, DecisionTreeRegressor(max_depth=6), "r2", FOLDS, FITS_WELL),
    "a tree through a sine, by its error": (
        wiggly, DecisionTreeRegressor(max_depth=6), "neg_root_mean_squared_error", FOLDS, FITS_WELL,
    ),
    "a holdout with many rows": (noisy, DecisionTreeClassifier(), "accuracy", Holdout(0.3, 0.2), OVERFIT),
    "a holdout with many rows that fits": (xor, DecisionTreeClassifier(), "accuracy", Holdout(0.3, 0.2), FITS_WELL),
    "a holdout with few rows": (
        lambda: noisy(120), DecisionTreeClassifier(), "accuracy", Holdout(0.2, 0.2), CANNOT_TELL,
    ),
    "two folds": (noisy, DecisionTreeClassifier(), "accuracy", CrossValidation(folds=2), CANNOT_TELL),
    "no target": (lambda: xor()[0], hpo, None, FOLDS, CANNOT_TELL),
}  # fmt: skip


def constructed(data, estimator, metric, split, *, has_simpler=False):
    """A study of one configuration, whose reference is a simpler one where that is asked."""
    if metric is None:
        from sklearn.cluster import KMeans

        def tightness(model, X, y=None):
            return float(model.score(X)) / len(X)

        return StudyDefinition("case", data, KMeans(n_init=1), {"n_clusters": [3]}, tightness, split=split)
    name = next(iter(estimator.get_params()))
    params = estimator.get_params()
    reference = {"max_depth": 1} if "max_depth" in params else {"n_neighbors": 60} if "n_neighbors" in params else {}
    if not has_simpler or not reference:
        return StudyDefinition("case", data, estimator, {name: [params[name]]}, metric, split=split)
    space = {key: [params[key]] for key in (name, *reference)}
    return StudyDefinition("case", data, estimator, space, metric, split=split, reference=reference)


@pytest.mark.parametrize("case", CASES)
def test_constructed_cases_are_told(case, database):
    data, estimator, metric, split, expected = CASES[case]
    study = constructed(data, estimator, metric, split, has_simpler=expected == OVERFIT)
    run = hpo.run(study, sampler="grid", trials=1, database=database, progress="none")
    found = hpo.diagnose(run)
    assert found.winner.verdict == expected, found.sentence
    assert found.counts[expected] == 1
    assert sum(found.counts.values()) == 1
    assert found.sentence.startswith(f"{expected}; ")
    assert found.winner.train == pytest.approx(run.best.train_score)
    if case != "a holdout with many rows":
        assert found.winner.validation == pytest.approx(run.best.value)


def test_from_underfit_to_overfit_in_one_run(database):
    study = StudyDefinition(
        "depths", noisy, DecisionTreeClassifier(), {"max_leaf_nodes": [2, 3, 300]}, "accuracy", split=FOLDS
    )
    run = hpo.run(study, sampler="grid", database=database, progress="none")
    found = hpo.diagnose(run)
    assert found.winner.verdict == FITS_WELL
    assert found.trial == run.best.number
    assert (found.counts[FITS_WELL], found.counts[OVERFIT]) == (2, 1)
    assert found.run_sentence == "of 3 complete trials, 1 overfit, 2 fit well"
    stumps = StudyDefinition("stumps", xor, DecisionTreeClassifier(), {"max_depth": [1, 8]}, "accuracy", split=FOLDS)
    both = hpo.diagnose(hpo.run(stumps, sampler="grid", database=database, progress="none"))
    assert (both.counts[UNDERFIT], both.counts[FITS_WELL]) == (1, 1)


def fold_scores(mean, noise=0.01, n=5):
    return list(mean + noise * np.array([1.0, -1, 2, -2, 0])[:n])


DUMMY = fold_scores(0.0, 0.0)


@pytest.mark.parametrize(
    ("others", "verdict", "reason"),
    [
        ([], CANNOT_TELL, "nothing that memorises less was tried"),
        ([(fold_scores(1.0, 0.0), fold_scores(0.6))], CANNOT_TELL, "nothing that memorises less was tried"),
        ([(fold_scores(0.7), fold_scores(0.55))], FITS_WELL, "nothing that memorises less does as well"),
        ([(fold_scores(0.7), fold_scores(0.55)), (fold_scores(0.7), fold_scores(0.65))], OVERFIT, "does as well there"),
        ([(fold_scores(0.9), fold_scores(0.7))], OVERFIT, "does as well there"),
    ],
)
def test_who_knows_its_training_rows_by_heart_overfits_only_if_less_does_as_well(others, verdict, reason):
    memorising = fold_scores(1.0, 0.0), fold_scores(0.65 if verdict != FITS_WELL else 0.7)
    found = diagnosis(*memorising, DUMMY, others=[memorising, *others], perfect=1.0)
    assert (found.verdict, reason in found.reason) == (verdict, True), found.reason


def test_a_forest_on_noisy_labels_is_not_scolded(database):
    from sklearn.ensemble import RandomForestClassifier

    def data():
        X, y = xor(400)
        rng = np.random.default_rng(7)
        return np.column_stack([X, rng.normal(size=(400, 4))]), np.where(rng.random(400) < 0.12, 1 - y, y)

    model = RandomForestClassifier(40, random_state=0)
    study = StudyDefinition("forest", data, model, {"max_depth": [None, 1, 2]}, "accuracy", split=FOLDS)
    found = hpo.diagnose(hpo.run(study, sampler="grid", database=database, progress="none"))
    assert found.winner.lost > 0.25
    assert found.winner.verdict == FITS_WELL, found.sentence
    assert "memorises" in found.sentence


def test_a_winner_that_is_worse_than_the_reference_underfits(database):
    study = StudyDefinition("worse", wiggly, DecisionTreeRegressor(), {"max_depth": [2]}, "r2", split=FOLDS)
    run = hpo.run(study, sampler="grid", database=database, progress="none")
    assert run.reference.value > run.best.value + 0.1
    found = hpo.diagnose(run).winner
    assert found.verdict == UNDERFIT
    assert "below what the best reaches" in found.reason


# --- the rule ---


def test_the_margin_is_that_of_nadeau_and_bengio():
    scores = np.array([0.1, 0.2, 0.4, 0.3, 0.25])
    expected = stats.t.ppf(0.95, 4) * scores.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert margin_of_mean(scores, 1 / 4) == pytest.approx(expected)
    assert np.isnan(margin_of_mean(scores[:1], 1 / 4))
    independent = margin_of_mean(scores, 0)
    low, _ = stats.t.interval(0.9, 4, loc=0, scale=scores.std(ddof=1) / np.sqrt(5))
    assert independent == pytest.approx(-low)


def test_each_step_of_the_rule():
    dummy = [0.5] * 5
    wobble = np.array([-1, -0.5, 0, 0.5, 1])
    fits = diagnosis(0.9 + 0.01 * wobble, 0.88 - 0.01 * wobble, dummy, perfect=1.0)
    assert (fits.verdict, fits.gap, fits.n_folds) == (FITS_WELL, pytest.approx(0.02), 5)
    assert fits.lost == pytest.approx(0.05)
    simpler = [([0.8] * 5, 0.7 + 0.02 * wobble)]
    assert diagnosis([1.0] * 5, 0.7 + 0.02 * wobble, dummy, perfect=1.0, others=simpler).verdict == OVERFIT
    unsure = diagnosis([1.0] * 5, 0.8 + 0.4 * wobble, dummy, perfect=1.0)
    assert unsure.verdict == CANNOT_TELL
    assert unsure.gap < unsure.gap_margin
    assert diagnosis([0.55] * 5, 0.52 + 0.05 * wobble, dummy, perfect=1.0).verdict == UNDERFIT
    assert diagnosis([0.55] * 5, [0.55] * 5, dummy, perfect=1.0).verdict == FITS_WELL  # little, but surely learned
    assert diagnosis([0.7] * 5, [0.69] * 5, dummy, perfect=1.0, attainable=0.9).verdict == UNDERFIT
    assert diagnosis([0.87] * 5, [0.86] * 5, dummy, perfect=1.0, attainable=0.9).verdict == FITS_WELL
    assert diagnosis([0.7] * 5, [0.5] * 5, dummy, attainable=0.9).verdict == UNDERFIT  # before the gap
    assert diagnosis([0.7] * 5, [0.5] * 5, dummy, perfect=1.0).verdict != FITS_WELL
    for few in (1, 2):
        assert diagnosis([1.0] * few, [0.5] * few, [0.5] * few).verdict == CANNOT_TELL
    assert diagnosis([1.0] * 5, [0.5] * 5, None).verdict == CANNOT_TELL
    assert diagnosis([np.nan] * 5, [0.5] * 5, dummy).verdict == CANNOT_TELL
    for wrong in (([1.0], [1.0, 2.0], [1.0]), ([], [], [])):
        with pytest.raises(ValueError, match="one of each per fold"):
            diagnosis(*wrong)


scores = st.lists(st.integers(-50, 50), min_size=5, max_size=5)


@settings(max_examples=100, deadline=None)
@given(scores, scores, scores, st.integers(51, 90), st.sampled_from([0.5, 2.0, 8.0]), st.integers(-64, 64))
def test_no_verdict_depends_on_the_scale_of_the_metric_or_the_order_of_the_folds(t, v, d, perfect, scale, shift):
    given_scores = [np.array(part, dtype=float) for part in (t, v, d)]
    order = np.random.default_rng(0).permutation(5)
    first = diagnosis(*given_scores, perfect=perfect)
    moved = diagnosis(*(scale * part[order] + shift for part in given_scores), perfect=scale * perfect + shift)
    assert moved.verdict == first.verdict
    assert moved.gap == pytest.approx(scale * first.gap)
    assert (first.verdict == OVERFIT) <= (first.gap > first.gap_margin)


def test_the_sentence_shows_errors_as_people_read_them():
    found = diagnosis([-0.5] * 3, [-0.6, -0.61, -0.62], [-2.0] * 3, perfect=0.0)
    said = found.sentence(Metric("neg_log_loss", -1))
    assert "log loss 0.5000 on training rows, 0.6100 on validation, 2.000 from a dummy" in said
    assert "over 3 folds" in said
    assert "gap 0.11 ±" in said


def test_perfect_scores():
    assert perfect_score("neg_log_loss") == 0
    assert perfect_score("accuracy") == 1
    assert perfect_score("mutual_info_score") is None
    assert perfect_score("my_own") is None


# --- the dummy ---


def test_the_dummy_knows_the_target_alone():
    X, y = noisy()
    problem = Problem(StudyDefinition("d", lambda: (X, y), DecisionTreeClassifier(), {"max_depth": [1]}, "accuracy"))
    folds = problem.partition.folds
    expected = [np.mean(y[validation] == np.bincount(y[train]).argmax()) for train, validation in folds]
    assert dummy_scores(problem) == pytest.approx(expected)
    X, y = make_regression(100, 3, random_state=0)
    y = np.exp(y / 50)  # skewed: the median is best for absolute errors
    study = StudyDefinition("r", lambda: (X, y), LinearRegression(), {"positive": [True]}, "neg_mean_absolute_error")
    problem = Problem(study)
    expected = [-np.mean(np.abs(y[validation] - np.median(y[train]))) for train, validation in problem.partition.folds]
    assert dummy_scores(problem) == pytest.approx(expected)


def test_a_metric_that_asks_a_dummy_for_what_it_has_not_leaves_the_verdict_open(database):
    study = StudyDefinition(
        "odd",
        noisy,
        DecisionTreeClassifier(),
        {"max_depth": [2]},
        lambda e, X, y: float(e.tree_.max_depth),
        split=FOLDS,
    )
    assert dummy_scores(Problem(study)) is None
    found = hpo.diagnose(hpo.run(study, sampler="grid", database=database, progress="none"))
    assert "no dummy" in found.sentence


def test_the_test_rows_are_never_read(database):
    """Test rows replaced by nonsense change nothing."""
    X, y = noisy()
    study = constructed(lambda: (X, y), DecisionTreeClassifier(), "accuracy", FOLDS)
    sealed = Problem(study).partition.test
    before = hpo.diagnose(hpo.run(study, sampler="grid", database=database, progress="none"))
    problem = Problem(study)
    problem.data = Data(X.copy(), y)
    problem.data.X[sealed] = np.nan
    run = Run("case/grid/split0-seed0", database, study)
    run.problem = lambda: problem
    assert hpo.diagnose(run) == before


def test_folds_stored_before_each_had_its_training_score(database):
    run = hpo.run(tree_study(split=FOLDS), sampler="random", trials=2, database=database, progress="none")
    import dataclasses

    older = [dataclasses.replace(trial, train_fold_scores=()) for trial in run.complete]

    class Older(Run):
        complete = older
        best = older[run.best.number]

    found = hpo.diagnose(Older(run.name, database, run.definition))
    assert found.winner.gap == pytest.approx(hpo.diagnose(run).winner.gap)
    with pytest.raises(UnknownRun, match="without its study definition"):
        hpo.diagnose(Run(run.name, database))


def test_parts_of_a_holdout():
    study = constructed(lambda: noisy(1000), DecisionTreeClassifier(), "accuracy", Holdout(0.25, 0.2))
    problem = Problem(study)
    on_train, on_validation, dummy = part_scores(problem, problem.used(None))
    assert on_train == [1.0] * 5
    ((train, validation),) = problem.partition.folds
    model = problem.estimator(problem.used(None)).fit(*problem.rows(train)[:2])
    assert np.mean(on_validation) == pytest.approx(model.score(*problem.rows(validation)[:2]))  # parts of equal size
    assert len({*on_validation}) > 1
    assert np.mean(dummy) == pytest.approx(0.5, abs=0.1)


# --- edges ---


def at_edge(parameter, value, estimator=None, name="x"):
    return [(edge.side, edge.extended) for edge in edges(SearchSpace({name: parameter}), {name: value}, estimator)]


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (Float(0.01, 100, log=True), 100.0, [("highest", "Float(0.01, 10000, log=True)")]),
        (Float(0.01, 100, log=True), 95.0, [("highest", "Float(0.01, 10000, log=True)")]),
        (Float(0.01, 100, log=True), 0.01, [("lowest", "Float(0.0001, 100, log=True)")]),
        (Float(0.01, 100, log=True), 50.0, []),
        (Float(10, 20), 20.0, [("highest", "Float(10, 25)")]),
        (Float(10, 20), 10.1, [("lowest", "Float(5, 20)")]),
        (Float(1, 21), 1.0, [("lowest", "Float(0.5, 21)")]),  # stays above zero
        (Float(-1, 1), -1.0, [("lowest", "Float(-2, 1)")]),
        (Float(0, 10), 0.0, []),  # what is never negative
        (Float(0, 1), 1.0, []),  # a share
        (Float(0.1, 1), 1.0, []),
        (Float(0, 2, step=0.5), 2.0, [("highest", "Float(0, 3, step=0.5)")]),
        (Int(1, 9), 9, [("highest", "Int(1, 13)")]),
        (Int(1, 9), 8, []),
        (Int(1, 2), 2, [("highest", "Int(1, 3)")]),
        (Int(1, 9), 1, []),  # a count
        (Int(4, 10), 4, [("lowest", "Int(2, 10)")]),
        (Int(16, 256, log=True), 256, [("highest", "Int(16, 1024, log=True)")]),
        (Int(2, 10, step=4), 10, [("highest", "Int(2, 14, step=4)")]),
        (Categorical([1, 2, 3]), 3, []),
    ],
)
def test_an_edge_is_named_with_the_wider_range(parameter, value, expected):
    assert at_edge(parameter, value) == expected


def test_what_the_estimator_allows_is_a_natural_limit():
    tree, svm = DecisionTreeClassifier(), make_pipeline(StandardScaler(), SVC())
    assert at_edge(Int(2, 30), 2, tree, "min_samples_split") == []  # fewer cannot be
    assert at_edge(Int(4, 30), 4, tree, "min_samples_split") == [("lowest", "Int(2, 30)")]
    assert at_edge(Float(0.1, 1.0), 1.0, tree, "max_features") == []
    assert at_edge(Float(0.1, 0.4), 0.4, tree, "max_features") == [("highest", "Float(0.1, 0.55)")]
    assert at_edge(Int(1, 8), 8, tree, "max_depth") == [("highest", "Int(1, 11)")]
    assert at_edge(Float(0.1, 10, log=True), 10.0, svm, "svc__C") == [("highest", "Float(0.1, 100, log=True)")]
    assert at_edge(Float(0.1, 10, log=True), 10.0, svm, "C") == [("highest", "Float(0.1, 100, log=True)")]
    assert at_edge(Int(0, 4), 0, svm, "svc__degree") == []


def test_the_edges_of_a_run_are_those_of_its_winner(database):
    study = StudyDefinition(
        "edge", load_iris, DecisionTreeClassifier(), {"max_depth": Int(1, 2), "min_samples_leaf": Int(1, 40)},
        "accuracy", split=FOLDS,
    )  # fmt: skip
    run = hpo.run(study, sampler="random", trials=8, database=database, progress="none")
    (edge,) = hpo.diagnose(run).edges
    assert edge.name == "max_depth"
    assert "max_depth = 2 is the highest that the space allows (2)" in edge.sentence
    assert '"max_depth": Int(1, ' in edge.sentence
