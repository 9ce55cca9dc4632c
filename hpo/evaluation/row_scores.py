"""A score on the sealed test rows, told row by row: how much of it is the luck of which rows these are.

Of each score there are values, one per row or per block of rows, whose mean is about the score and whose variance over
their number is about the score's variance under other rows from the same source:

- a metric that is a mean over rows: the scores of the rows;
- the area under the ROC curve of two classes: the placement values of DeLong, DeLong and Clarke-Pearson (1988,
  Biometrics 44:837), scaled so that one list holds those of both classes;
- any other: the pseudo-values of a jackknife that leaves out one block of rows at a time.

Rows that are no draws of their own, those of one group and neighbours in time, are one value together.

The same rows are in the same place for every model, so that the values of two models can be subtracted.
"""

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MOST_VALUES = 500  # that are kept: beyond, those of blocks, which tell the variance of their mean as well
N_BLOCKS = 30  # of the jackknife, and of rows in time order: 29 degrees of freedom
FEWEST_ROWS = 5


class Remembered:
    """A fitted estimator that predicts given rows once, and answers for parts of them from memory.

    What is no prediction of these rows is passed on to the estimator.
    """

    def __init__(self, fitted: Any, X: Any) -> None:
        self._fitted, self._X = fitted, X
        self._answers: dict[str, Any] = {}
        self._part: tuple[Any, Any] | None = None  # rows of X, and their numbers

    def ask_for(self, part: Any, rows: Any) -> None:
        """Let the rows with these numbers be known by this object."""
        self._part = part, rows

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fitted, name)  # AttributeError where the estimator has none: as scorers expect
        if name not in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            return found

        def answer(X: Any, *args: Any, **kwargs: Any) -> Any:
            is_part = self._part is not None and X is self._part[0]
            if args or kwargs or not (is_part or X is self._X):
                return found(X, *args, **kwargs)
            if name not in self._answers:
                self._answers[name] = found(self._X)
            everything = self._answers[name]
            return everything[self._part[1]] if is_part and self._part is not None else everything

        answer.__name__ = name  # scikit-learn's scorers ask which method they have
        return answer

    def __sklearn_tags__(self) -> Any:
        return self._fitted.__sklearn_tags__()


def row_values(
    metric: str,
    scorer: Callable[..., float],
    remembered: Remembered,
    X: Any,
    y: Any,
    take: Callable[[Any, Any], Any],
    *,
    clusters: NDArray[Any] | None = None,
) -> FloatArray | None:
    """Values of a score, one per row or block of rows; None where there are too few rows or the metric has none.

    Args:
        metric: the scorer's name.
        scorer: ``(estimator, X, y) -> float``, higher is better.
        remembered: that has scored these rows.
        X, y: the rows, in an order that is the same for every model; y None where there is no target.
        take: ``(X or y, numbers) -> rows``.
        clusters: which rows belong together, shape (n,); None where each is a draw of its own.
    """
    n = int(X.shape[0]) if hasattr(X, "shape") else len(X)
    own = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if np.max(own, initial=-1) + 1 < FEWEST_ROWS:
        return None
    try:
        known = _ROWS.get(metric)
        values = None if known is None else known(remembered, X, y)
        if values is None:
            values = _jackknife(scorer, remembered, X, y, own % N_BLOCKS, take)
        else:
            values = _together(values, own % MOST_VALUES)
    except Exception:  # noqa: BLE001 - somebody's metric may refuse a part of the rows, and the score stands without
        return None
    return values if np.isfinite(values).all() else None


def neighbours(n: int) -> NDArray[Any]:
    """Clusters of rows in time order: blocks of neighbours."""
    return np.arange(n) * N_BLOCKS // max(n, N_BLOCKS)


def _together(values: FloatArray, block: NDArray[Any]) -> FloatArray:
    """One value per block of rows, with the same mean: a block counts as much as it has rows."""
    if len(np.unique(block)) == len(values):
        return values
    mean, n_blocks = values.mean(), int(block.max()) + 1
    return np.asarray(mean + np.bincount(block, values - mean) * n_blocks / len(values))


def _jackknife(
    scorer: Callable[..., float],
    remembered: Remembered,
    X: Any,
    y: Any,
    block: NDArray[Any],
    take: Callable[[Any, Any], Any],
) -> FloatArray:
    """Pseudo-values of leaving out one block of rows at a time: ``g score - (g - 1) score without the block``."""

    def scored(rows: NDArray[Any]) -> float:
        part = take(X, rows)
        remembered.ask_for(part, rows)
        return float(scorer(remembered, part, *(() if y is None else (take(y, rows),))))

    numbers, g = np.arange(len(block)), int(block.max()) + 1
    whole = scored(numbers)
    without = np.array([scored(numbers[block != one]) for one in range(g)])
    return np.asarray(g * whole - (g - 1) * without)


def error_of_score(values: FloatArray | None) -> float | None:
    """Half the 95% interval of a score, for other rows from the same source; None where it is not known row by row."""
    from scipy.special import stdtrit  # as below

    if values is None or len(values) < FEWEST_ROWS:
        return None
    return float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(len(values)))


# --- metrics with values of their own ---


def _hits(model: Remembered, X: Any, y: Any) -> FloatArray | None:
    y = np.asarray(y)
    return None if y.ndim > 1 else (np.asarray(model.predict(X)) == y).astype(float)


def _shares(model: Remembered, X: Any, y: Any) -> tuple[FloatArray, NDArray[np.bool_]] | None:
    """Probabilities (n x classes) and where the true class is; None for targets that are not of one column."""
    y, classes = np.asarray(y), np.asarray(model.classes_)
    if y.ndim > 1 or classes.ndim > 1 or not np.isin(y, classes).all():
        return None
    return np.asarray(model.predict_proba(X), dtype=float), y[:, None] == classes


def _log_losses(model: Remembered, X: Any, y: Any) -> FloatArray | None:
    found = _shares(model, X, y)
    if found is None:
        return None
    shares, is_true = found
    tiny = np.finfo(np.asarray(model.predict_proba(X)).dtype).eps  # as sklearn.metrics.log_loss clips
    return np.asarray(np.log(np.clip(shares, tiny, 1 - tiny))[is_true])


def _brier_losses(model: Remembered, X: Any, y: Any) -> FloatArray | None:
    found = _shares(model, X, y)
    if found is None:
        return None
    squares = ((found[0] - found[1]) ** 2).sum(axis=1)
    return np.asarray(-squares / 2 if found[0].shape[1] == 2 else -squares)  # of two classes: of the second alone


def _errors(loss: Callable[[FloatArray], FloatArray]) -> Callable[[Remembered, Any, Any], FloatArray | None]:
    def values(model: Remembered, X: Any, y: Any) -> FloatArray | None:
        differences = np.asarray(y, dtype=float) - np.asarray(model.predict(X), dtype=float)
        return None if differences.ndim > 1 else -loss(differences)

    return values


def _placements(model: Remembered, X: Any, y: Any) -> FloatArray | None:
    """Influence values of the AUC: of each row of one class, the share of rows of the other that it ranks right."""
    from scipy.stats import rankdata  # here, as every command imports this module, and this takes a second

    y, classes = np.asarray(y), np.asarray(model.classes_)
    if y.ndim > 1 or len(classes) != 2 or len(np.unique(y)) != 2:
        return None
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(X), dtype=float)
    else:
        scores = np.asarray(model.predict_proba(X), dtype=float)[:, 1]
    is_positive = y == classes[1]
    n, m = int((~is_positive).sum()), int(is_positive.sum())
    among_all, values = rankdata(scores), np.empty(len(y))
    values[is_positive] = (among_all[is_positive] - rankdata(scores[is_positive])) / n
    values[~is_positive] = 1 - (among_all[~is_positive] - rankdata(scores[~is_positive])) / m
    area = float(values[is_positive].mean())
    return np.asarray(area + (values - area) * np.where(is_positive, len(y) / m, len(y) / n))


_ROWS: Mapping[str, Callable[[Remembered, Any, Any], FloatArray | None]] = {
    "accuracy": _hits,
    "neg_log_loss": _log_losses,
    "neg_brier_score": _brier_losses,
    "neg_mean_squared_error": _errors(np.square),
    "neg_mean_absolute_error": _errors(np.abs),
    "roc_auc": _placements,
}


# --- as they are stored ---


def packed(values: FloatArray | None) -> str | None:
    """The values as a short text: 32-bit floats, compressed."""
    if values is None:
        return None
    return base64.b85encode(zlib.compress(values.astype("<f4").tobytes())).decode("ascii")


def unpacked(text: str | None) -> FloatArray | None:
    """The values that were packed; None for what is no such text."""
    if not isinstance(text, str):
        return None
    try:
        values = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype="<f4").astype(float)
    except (ValueError, zlib.error):
        return None
    return values if len(values) and np.isfinite(values).all() else None
