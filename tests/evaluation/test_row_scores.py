"""The score of the sealed test rows, row by row: known variances, and nothing predicted twice."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpo.evaluation.row_scores import N_BLOCKS, Remembered, error_of_score, neighbours, packed, row_values, unpacked


def taken(part, rows):
    return part[rows]


def fitted(load, model, n=200):
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    return make_pipeline(StandardScaler(), model).fit(X[: len(X) - n], y[: len(X) - n]), X[-n:], y[-n:]


def values_of(metric, model, X, y, **given):
    return row_values(metric, get_scorer(metric), Remembered(model, X), X, y, taken, **given)


CLASSIFIED = ["accuracy", "neg_log_loss", "neg_brier_score", "roc_auc"]
MULTI = ["accuracy", "neg_log_loss", "neg_brier_score"]
ERRORS = ["neg_mean_squared_error", "neg_mean_absolute_error"]
CASES = [
    *((load_breast_cancer, LogisticRegression(C=1e-3), metric) for metric in CLASSIFIED),
    *((load_iris, LogisticRegression(C=1e-2), metric) for metric in MULTI),
    *((load_diabetes, LinearRegression(), metric) for metric in ERRORS),
]


@pytest.mark.parametrize(("load", "model", "metric"), CASES)
def test_the_mean_over_rows_is_the_score(load, model, metric):
    model, X, y = fitted(load, model, n=90)
    values = values_of(metric, model, X, y)
    assert len(values) == 90
    assert values.mean() == pytest.approx(get_scorer(metric)(model, X, y))


@pytest.mark.parametrize(
    ("load", "model", "metric"),
    [
        *CASES,
        (load_breast_cancer, LogisticRegression(C=1e-3), "f1"),
        (load_diabetes, LinearRegression(), "r2"),
        (load_diabetes, LinearRegression(), "neg_root_mean_squared_error"),
        (load_iris, LogisticRegression(C=1e-2), "roc_auc_ovr"),
    ],
)
def test_their_variance_is_that_of_the_score_under_other_rows(load, model, metric):
    model, X, y = fitted(load, model, n=90)
    values = values_of(metric, model, X, y)
    generator, scorer = np.random.default_rng(1), get_scorer(metric)
    draws = []
    while len(draws) < 400:
        rows = generator.integers(len(y), size=len(y))
        if len(np.unique(y[rows])) == len(np.unique(y)) or load is load_diabetes:
            draws.append(scorer(model, X[rows], y[rows]))
    told = np.sqrt(values.var(ddof=1) / len(values))
    assert told == pytest.approx(np.std(draws), rel=0.35)  # 30 blocks tell a spread to within a third


def test_nothing_is_predicted_twice():
    model, X, y = fitted(load_breast_cancer, LogisticRegression())
    asked = []

    class Counted(type(model)):
        def predict(self, given, **params):
            asked.append(len(given))
            return super().predict(given, **params)

    counted = Counted(model.steps)
    remembered = Remembered(counted, X)
    score = get_scorer("f1")(remembered, X, y)
    values = row_values("f1", get_scorer("f1"), remembered, X, y, taken)
    assert len(values) == N_BLOCKS
    assert asked == [200]
    assert score == get_scorer("f1")(model, X, y)
    assert len(remembered.predict(X[:7])) == 7  # what is not known is asked
    assert asked == [200, 7]


def test_rows_of_one_group_are_one_value():
    model, X, y = fitted(load_breast_cancer, LogisticRegression(C=1e-4), n=100)
    twice = np.repeat(np.arange(100), 2)
    alone = values_of("neg_log_loss", model, X, y)
    doubled = values_of("neg_log_loss", model, X[twice], y[twice], clusters=twice)
    assert np.allclose(alone, doubled)  # every row twice tells no more than once
    uneven = values_of("neg_log_loss", model, X, y, clusters=np.minimum(np.arange(100), 60))
    assert len(uneven) == 61
    assert uneven.mean() == pytest.approx(alone.mean())
    assert len(values_of("neg_log_loss", model, X, y, clusters=neighbours(100))) == N_BLOCKS
    assert values_of("neg_log_loss", model, X, y, clusters=np.zeros(100)) is None


def test_a_metric_that_refuses_parts_of_the_rows_has_no_values():
    model, X, y = fitted(load_breast_cancer, LogisticRegression())

    def moody(model, X, y):
        if len(X) < 200:
            raise ValueError("all or nothing")
        return 1.0

    assert row_values("moody", moody, Remembered(model, X), X, y, taken) is None
    without_target = row_values("share", lambda model, X: model.predict(X).mean(), Remembered(model, X), X, None, taken)
    assert without_target.mean() == pytest.approx(model.predict(X).mean(), abs=0.02)


def test_the_error_of_an_accuracy_is_that_of_a_share():
    values = np.r_[np.ones(75), np.zeros(25)]
    assert error_of_score(values) == pytest.approx(1.984 * np.sqrt(0.75 * 0.25 / 99), rel=1e-3)
    assert error_of_score(values[:4]) is None
    assert error_of_score(None) is None


def test_packed_values_come_back_and_other_texts_do_not():
    values = np.random.default_rng(0).normal(size=500)
    assert np.allclose(unpacked(packed(values)), values, atol=1e-6)
    assert len(packed(values)) < 3000
    assert packed(None) is None
    assert [unpacked(text) for text in (None, 3, "", "no such text", "é")] == [None] * 5
