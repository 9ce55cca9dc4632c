"""A linear model written out as an equation."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpo.models.feature_names import names_in, names_out

_DIGITS = 4  # significant, of each weight


def equation(fitted: Any, feature_names: Iterable[Any] | None = None, target: str = "y") -> str | None:
    """A linear model as text: ``y = 0.53 bmi + 0.21 bp + 152.1``.

    Behind scalers in a pipeline (standard, min-max, max-abs, robust) the weights are those of the features **as they
    were given**, with the scaling multiplied out, so that the equation makes the model's predictions from raw values;
    which feature weighs most is then to be read from the model's own ``coef_``. Behind any other transformer, the
    names are those of what it makes, and the last line says so. Weights of zero are left out.

    Args:
        fitted: linear estimator, or a pipeline (or a search over one) that ends in one.
        feature_names: of the columns it was trained on; by default those it saw in a data frame, or x0, x1, ...
        target: what the left side is called. Classifiers predict ``log odds of CLASS``, or a ``score of CLASS``; models
            with a logarithmic link ``log(target)``.

    Returns:
        One line for each output or class; None if it is no linear model.

    Example:
        >>> import hpo
        >>> from sklearn.linear_model import LinearRegression
        >>> print(hpo.equation(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])))
        y = 2 x0 + 1
    """
    fitted = getattr(fitted, "best_estimator_", fitted)
    steps = [step for _, step in fitted.steps] if hasattr(fitted, "steps") else [fitted]
    *before, model = steps
    weights, intercept = _weights(model)
    if weights is None:
        return None
    names = names_in(fitted, feature_names)
    scalings = [step for step in before if step is not None and step != "passthrough"]
    undone = 0
    while undone < len(scalings) and _affine(scalings[-1 - undone], 1) is not None:
        undone += 1
    foreign = scalings[: len(scalings) - undone]
    for step in foreign:
        names = names_out(step, names or _numbered(getattr(step, "n_features_in_", 0)))
    n_features = weights.shape[1]
    if names is None or len(names) != n_features:
        names = _numbered(n_features)
    for step in reversed(scalings[len(foreign) :]):  # z = slope x + shift, so w z + b = (w slope) x + (w shift + b)
        slope, shift = _affine(step, n_features) or (np.ones(n_features), np.zeros(n_features))
        intercept = intercept + weights @ shift
        weights = weights * slope
    lines = [
        f"{left} = {_side(row, names, constant)}"
        for left, row, constant in zip(_lefts(model, target, len(weights)), weights, intercept, strict=True)
    ]
    if foreign:
        lines.append(f"(the features as {type(foreign[-1]).__name__} makes them)")
    return "\n".join(lines)


def _weights(model: Any) -> tuple[Any, Any]:
    """Weights (outputs, features) and intercepts (outputs) of a linear model, or None for both."""
    try:
        weights = getattr(model, "coef_", None)
    except Exception:  # noqa: BLE001 - a support vector machine with another kernel raises
        weights = None
    classes = getattr(model, "classes_", None)
    if weights is None or not hasattr(model, "predict") or not hasattr(model, "intercept_"):
        return None, None
    if classes is None and hasattr(model, "decision_function"):  # finds outliers
        return None, None
    weights = np.atleast_2d(weights.toarray() if hasattr(weights, "toarray") else np.asarray(weights))
    intercept = np.atleast_1d(np.asarray(model.intercept_, dtype=float)).ravel()
    if len(intercept) == 1:
        intercept = np.repeat(intercept, len(weights))
    if hasattr(model, "_x_mean"):  # partial least squares centre what they are given
        intercept = intercept - weights @ model._x_mean
    n_lines = None if classes is None else 1 if len(classes) == 2 else len(classes)
    if weights.ndim != 2 or len(intercept) != len(weights) or n_lines not in (None, len(weights)):
        return None, None
    if n_lines not in (None, 1) and hasattr(model, "dual_coef_"):
        return None, None  # one against one: three classes have three lines, one for each pair
    return weights, intercept


def _affine(step: Any, n_features: int) -> tuple[Any, Any] | None:
    """Slope and shift of each feature in a fitted scaler, or None if the step is something else."""
    kind, ones, zeros = type(step).__name__, np.ones(n_features), np.zeros(n_features)
    if not type(step).__module__.startswith("sklearn.preprocessing") or getattr(step, "clip", False):
        return None
    if kind == "MinMaxScaler":
        return step.scale_, step.min_
    if kind in ("StandardScaler", "MaxAbsScaler", "RobustScaler"):
        slope = ones if step.scale_ is None else 1 / step.scale_
        uses_centre = getattr(step, "with_mean", getattr(step, "with_centering", False))
        centre = getattr(step, "mean_", getattr(step, "center_", None)) if uses_centre else None
        return slope, zeros if centre is None else -np.asarray(centre) * slope
    return None


def _lefts(model: Any, target: str, n_lines: int) -> list[str]:
    """What each line of the equation predicts."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        link = type(getattr(getattr(model, "_base_loss", None), "link", None)).__name__
        left = f"log({target})" if link == "LogLink" else target
        return [left] if n_lines == 1 else [f"{left}[{i}]" for i in range(n_lines)]
    is_odds = type(model).__name__.startswith("LogisticRegression")
    return [f"{'log odds' if is_odds and n_lines == 1 else 'score'} of {name}" for name in classes[-n_lines:]]


def _side(weights: Any, names: tuple[str, ...], constant: float) -> str:
    terms = [(weight, f"{abs(weight):.{_DIGITS}g} {name}") for weight, name in zip(weights, names, strict=True)]
    terms.append((constant, f"{abs(constant):.{_DIGITS}g}"))
    kept = [(number, text) for number, text in terms if number != 0] or [(0.0, "0")]
    first, *others = kept
    signed = [f"{'-' if number < 0 else '+'} {text}" for number, text in others]
    return " ".join([f"{'-' if first[0] < 0 else ''}{first[1]}", *signed])


def _numbered(n_features: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(n_features))
