"""Fits of a SearchCV's candidate that a pruner watches step by step. Everything else of them is scikit-learn's own."""

import time
from typing import Any

from sklearn.model_selection._validation import _fit_and_score, _score
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from hpo.evaluation.training_steps import Pruned, fit_watched
from hpo.process.generators import fold_name, kept, seed
from hpo.samplers.pruning import Watched
from hpo.search_cv.folds import Fold, one_score


def fit_and_score_watched(
    estimator: Any, X: Any, y: Any, *, watched: Watched, metric: str | None, fold: int, **options: Any
) -> Fold:
    """scikit-learn's ``_fit_and_score``, with a pruner that may end the fit.

    Args:
        estimator: unfitted, of the caller's own making: it is changed.
        X, y: all rows.
        watched: the pruner, and what it compares with.
        metric: name of the score that it is told, where there are several.
        fold: which one, for which the process's own random generators are seeded.
        options: those of ``_fit_and_score``.

    Returns:
        What ``_fit_and_score`` returns, with the ``curve`` of the training and ``is_pruned``. Where the fit was ended,
        the scores are those of the model as it was then. The scoring of steps counts as ``score_time``.
    """
    train, test = options["train"], options["test"]
    score_params = _check_method_params(X, params=options["score_params"] or {}, indices=test)
    X_test, y_test = _safe_split(estimator, X, y, test, train)
    given_fit = estimator.fit
    seen: Fold = {"curve": None, "is_pruned": False}
    spent = 0.0

    def score() -> float:
        nonlocal spent
        start = time.perf_counter()
        with kept():  # of which the fit under way must not notice
            scores = _score(estimator, X_test, y_test, options["scorer"], score_params, options["error_score"])
        spent += time.perf_counter() - start
        return one_score(scores, metric)

    def fit_seeded(*rows: Any, **params: Any) -> None:
        seed(0, fold_name(fold))
        given_fit(*rows, **params)

    def fit(*rows: Any, **params: Any) -> Any:
        watcher = watched.begin(score)
        del estimator.fit
        try:
            fit_watched(estimator, lambda: fit_seeded(*rows, **params), watcher)
        except Pruned:
            seen["is_pruned"] = True
        seen["curve"] = watcher.curve
        return estimator

    estimator.fit = fit
    with kept():
        out: Fold = _fit_and_score(estimator, X, y, **options)
    out["fit_time"] -= spent
    out["score_time"] += spent
    return {**out, **seen}
