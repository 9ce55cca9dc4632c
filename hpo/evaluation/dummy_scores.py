"""The scores that a dummy, which ignores the features, has on the folds; and a fold's scores in parts."""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.evaluation.evaluate import Problem
from hpo.process.generators import fold_name, seeded

N_PARTS = 5
FEWEST_ROWS = 20  # of a part: below, a score of it says little


def dummy_scores(problem: Problem) -> list[float] | None:
    """Validation score of the best constant prediction on each fold; None where there is none, as without a target.

    For classifiers the classes' shares in the training rows, otherwise the better of mean and median of their target:
    the mean is best for squared errors, the median for absolute ones.
    """
    if problem.data.y is None:
        return None
    tried = [[_score(problem, dummy, fold) for fold in range(problem.n_folds)] for dummy in _dummies(problem)]
    scored = [scores for scores in tried if np.isfinite(scores).all()]
    return max(scored, key=lambda scores: float(np.mean(scores)), default=None)


def _dummies(problem: Problem) -> list[Any]:
    from sklearn.base import is_classifier
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if is_classifier(problem.estimator(problem.used(None))):
        return [DummyClassifier(strategy="prior")]
    return [DummyRegressor(strategy="mean"), DummyRegressor(strategy="median")]


def _score(problem: Problem, dummy: Any, fold: int) -> float:
    train, validation = problem.partition.folds[fold]
    X, y, fit_params = problem.rows(train)
    weights = {name: value for name, value in fit_params.items() if name == "sample_weight"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that it never predicts
        try:
            fitted = copy.deepcopy(dummy).fit(X, y, **weights)
            return float(problem.metric_scorer(fitted, *problem.rows(validation)[:2]))
        except Exception:  # noqa: BLE001 - a metric may ask the estimator for what a dummy has not
            return float("nan")


def part_scores(problem: Problem, used: Mapping[str, Any]) -> tuple[list[float], list[float], list[float]] | None:
    """Scores of a holdout's only fold in parts: on training rows, on validation rows, and of the dummy there.

    The model is trained once, and scored on disjoint random parts of its rows: their spread is that of the rows,
    without that of training. None where a part would have fewer than 20 validation rows, where there is no target, or
    where training or scoring raises.
    """
    (train, validation), *_ = problem.partition.folds
    if problem.data.y is None or len(validation) < N_PARTS * FEWEST_ROWS:
        return None
    X, y, fit_params = problem.rows(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with seeded(problem.split, fold_name(0)):
                model = problem.estimator(used).fit(X, y, **fit_params)
            dummies = [dummy.fit(X, y) for dummy in _dummies(problem)]
            on_train, on_validation, *of_dummies = (
                [float(problem.metric_scorer(fitted, *problem.rows(rows)[:2])) for rows in _parts(of)]
                for fitted, of in ((model, train), (model, validation), *((dummy, validation) for dummy in dummies))
            )
        except Exception:  # noqa: BLE001 - a part may lack a class that the metric needs
            return None
    return on_train, on_validation, max(of_dummies, key=lambda scores: float(np.mean(scores)))


def _parts(rows: Any) -> list[Any]:
    shuffled = np.random.default_rng(0).permutation(rows)
    return [np.sort(part) for part in np.array_split(shuffled, N_PARTS)]
