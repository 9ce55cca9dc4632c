"""Model parameters: what a fitted estimator learned, counted and described.

Counted is what training set and ``predict``, ``transform`` or ``score`` of new rows read, as it is stored:

====================================  ================================================================================
kind                                  count
====================================  ================================================================================
linear                                ``coef_`` and ``intercept_``: outputs x (features + 1)
multilayer perceptron                 ``coefs_`` and ``intercepts_``: sum over layers of (inputs + 1) x outputs
tree                                  2 a split (feature, threshold), and a leaf's values: 1, or 1 a class, an output
forest, boosting, any ensemble        the sum over its members, their weights, and what boosting starts from
support vector machine                support vectors x (features + dual coefficients of each), intercepts
neighbours, Gaussian process, kernel  *remembered training rows* (and targets, dual coefficients, kernel parameters)
k-means and others with centres       clusters x features
principal components and the like     components x features, and the mean of each feature
Gaussian mixture                      weights, means, covariances as they are stored (both halves of a symmetric one)
naive Bayes                           Gaussian: classes x (2 features + 1)
scaler, imputer, power                what is subtracted, divided by, filled in: once or twice the features
encoder, discretizer, vectorizer      categories, edges of bins, terms of the vocabulary
feature selector                      one yes or no a feature, and the estimator inside
torch, skorch                         elements of ``named_parameters()`` that require a gradient
anything else                         its public fitted attributes (``name_``) that hold numbers
====================================  ================================================================================

Not counted: names (``classes_``); what is said of the training rows alone (``labels_`` of a clustering,
``embedding_`` of t-SNE); how training went (``n_iter_``, ``loss_curve_``); hyperparameters that a search inside the
estimator chose (``alpha_`` of LassoCV); what is computed from counted ones (``feature_importances_``, ``var_`` of a
scaler); what is drawn at random, whatever the data (random projections).
"""

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.errors import InvalidOption
from hpo.models.feature_names import Names, names_in
from hpo.models.learned_arrays import Found, find, is_tree, tree_arrays
from hpo.models.meanings import meaning_of
from hpo.units import counted

if TYPE_CHECKING:
    import pandas as pd

_MOST_ALIKE = 10  # parts of a list that are described one by one


@dataclass(frozen=True)
class _Row:
    """One row of the description; columns of :func:`model_parameters`."""

    path: str
    name: str
    meaning: str
    shape: tuple[int, ...]
    count: int
    minimum: float
    maximum: float
    features: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None


def count_parameters(fitted: Any) -> int | None:
    """How many numbers a fitted estimator learned: the sum of the counts of :func:`model_parameters`.

    Never raises: None where nothing is known of what was given.

    Example:
        >>> import hpo
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.linear_model import LinearRegression
        >>> hpo.count_parameters(LinearRegression().fit(*load_diabetes(return_X_y=True)))
        11
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sizes = [found.size for found in find(fitted)]
            return sum(sizes) if sizes or _learns_nothing(fitted) else None
    except Exception:  # noqa: BLE001 - a user's estimator may raise anything when it is looked at
        return None


def model_parameters(
    fitted: Any, feature_names: Iterable[Any] | None = None, class_names: Iterable[Any] | None = None
) -> "pd.DataFrame":
    """What a fitted estimator learned, as opposed to its hyperparameters, which were set before.

    Goes through pipelines, column transformers, ensembles, searches and other meta-estimators, and skorch modules;
    of an unknown estimator it takes the public fitted attributes (``name_``). ``hpo.models.parameters`` lists what is
    counted. All trees of an ensemble share three rows (features, thresholds, leaves); so do more than ten other
    members, each attribute one row.

    Args:
        fitted: estimator after ``fit``.
        feature_names: of the columns it was trained on; by default those that it saw in a data frame.
        class_names: in the order of ``classes_``; by default these themselves.

    Returns:
        One row per learned array: path (its estimator inside the outermost, as in ``svc`` or ``estimators_[3]``),
        name (attribute), meaning, shape, count (learned numbers), minimum, maximum (NaN for what is no number),
        features and classes (what an axis is called, a tuple; None where unknown or not an axis).

    Raises:
        InvalidOption: it is not fitted, or holds nothing that is known.

    Example:
        >>> import hpo
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.linear_model import LinearRegression
        >>> frame = hpo.model_parameters(LinearRegression().fit(*load_diabetes(return_X_y=True)))
        >>> frame[["name", "count"]].values.tolist()
        [['coef_', 10], ['intercept_', 1]]
    """
    import pandas as pd

    given = None if class_names is None else tuple(map(str, class_names))
    names = Names(names_in(fitted, feature_names), None, given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(find(fitted, names))
    if not found and not _learns_nothing(fitted):
        raise InvalidOption(
            f"{type(fitted).__name__} holds no model parameters: give an estimator after fit, or None of its public "
            "attributes that end in an underscore holds numbers"
        )
    rows = [row for group in _groups(found) for row in _described(group)]
    columns = list(_Row.__dataclass_fields__)
    frame = pd.DataFrame([[getattr(row, column) for column in columns] for row in rows], columns=columns)
    return frame.astype({"count": int, "minimum": float, "maximum": float})


def _learns_nothing(fitted: Any) -> bool:
    """Whether it is one of scikit-learn's, in the state after fit, so that finding nothing means that."""
    if not type(fitted).__module__.startswith("sklearn."):
        return False
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(fitted)
    except (NotFittedError, TypeError):
        return False
    return True


def _groups(found: Sequence[Found]) -> list[list[Found]]:
    """What is alike but for its index in a list, together: trees always, others where they are many."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, one in enumerate(found):
        place = re.sub(r"\[\d+\]", "[]", f"{one.path}.{one.name}")
        alike.setdefault((place, type(one.owner), is_tree(one.value)), []).append(i)
    groups: list[list[int]] = []
    for (_, _, are_trees), group in alike.items():
        groups += [group] if are_trees or len(group) > _MOST_ALIKE else [[i] for i in group]
    return [[found[i] for i in group] for group in sorted(groups)]


def _by_class(machine: Any) -> str:
    """How many support vectors each class has, where there are classes: ``: 12 of benign, 9 of malignant``."""
    counts, classes = getattr(machine, "n_support_", ()), getattr(machine, "classes_", ())
    if not len(classes) or len(classes) != len(counts):
        return ""
    return ": " + ", ".join(f"{count} of {name}" for count, name in zip(counts, classes, strict=True))


def _described(group: list[Found]) -> list[_Row]:
    first = group[0]
    if is_tree(first.value):
        return _trees(group)
    attribute = first.name.partition("[")[0]
    meaning, axes = meaning_of(type(first.owner).__name__, attribute)
    if attribute == "support_vectors_":
        meaning += _by_class(first.owner)
    values = [np.asarray(_numbers(one.value)) for one in group]
    shapes = {_shape(one.value, one.size) for one in group}
    shape = shapes.pop() if len(shapes) == 1 else ()
    ranges = [_range(value) for value in values]
    if len(group) > 1:
        shape = (len(group), *shape)
        meaning = f"{counted(len(group), 'array')}: {meaning}"
    path, name = _places(group)
    count = sum(one.size for one in group)
    low, high = _least(low for low, _ in ranges), -_least(-high for _, high in ranges)
    if len(group) > 1:
        return [_Row(path, name, meaning, shape, count, low, high)]
    return [_Row(path, name, meaning, shape, count, low, high, *_labels(first, axes, shape))]


def _trees(group: list[Found]) -> list[_Row]:
    """Features, thresholds and leaves of one tree or of many."""
    arrays: list[Any] = [tree_arrays(one.value) for one in group]
    path, name = _places(group)
    features, thresholds, leaves = (np.concatenate([part[i].ravel() for part in arrays]) for i in range(3))
    n_leaves, depth = sum(len(part[2]) for part in arrays), max(part[3] for part in arrays)
    size = f"{counted(len(group), 'tree')}, greatest depth {depth}"
    asked = group[0].features if all(one.features == group[0].features for one in group) else None
    leaf = "leaf" if n_leaves == 1 else "leaves"
    parts = (
        ("feature", f"feature of each split: {size}", features.shape, features, asked),
        ("threshold", f"threshold of each split: {size}", thresholds.shape, thresholds, None),
        ("value", f"prediction of {n_leaves} {leaf}", (n_leaves, len(leaves) // max(n_leaves, 1)), leaves, None),
    )
    return [
        _Row(path, f"{name}.{part}", meaning, shape, len(values), *_range(values), known)
        for part, meaning, shape, values, known in parts
    ]


def _places(group: list[Found]) -> tuple[str, str]:
    """Path and name of a group: ``estimators_[0..99]`` for what is in a list."""
    path, name = group[0].path, group[0].name
    if len(group) == 1:
        return path, name
    places = []
    for texts in ([one.path for one in group], [one.name for one in group]):
        numbers = [[int(number) for number in re.findall(r"\[(\d+)\]", text)] for text in texts]
        spans = [(min(column), max(column)) for column in zip(*numbers, strict=True)]
        pieces = re.split(r"\[\d+\]", texts[0])
        indices = [f"[{low}]" if low == high else f"[{low}..{high}]" for low, high in spans]
        places.append("".join(piece + index for piece, index in zip(pieces, [*indices, ""], strict=True)))
    return places[0], places[1]


def _numbers(value: Any) -> Any:
    """A learned value as an array."""
    value = value() if callable(value) else value
    for step in ("detach", "cpu", "numpy"):  # torch
        value = getattr(value, step)() if hasattr(value, step) else value
    return value.data if hasattr(value, "nnz") else value


def _shape(value: Any, size: int) -> tuple[int, ...]:
    shape = getattr(value, "shape", None)
    if shape is None:
        return () if isinstance(value, float) else (size,)
    return tuple(map(int, shape))


def _range(value: Any) -> tuple[float, float]:
    if value.dtype.kind not in "fiub" or not value.size or np.isnan(value).all():
        return math.nan, math.nan
    return float(np.nanmin(value)), float(np.nanmax(value))


def _least(values: Iterable[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _labels(found: Found, axes: str, shape: tuple[int, ...]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Names of the features and of the classes that are an axis of the array."""
    attribute, _, index = found.name.rstrip("]").partition("[")
    if attribute == "coefs_" and index == "0":
        axes = "f-"
    features = classes = None
    for axis, length in zip(reversed(axes), reversed(shape), strict=False):
        if axis == "f" and found.features and len(found.features) == length:
            features = found.features
        if axis == "c" and found.classes:
            is_binary = len(found.classes) == 2 and length == 1  # the weights speak for the second
            classes = found.classes[-length:] if is_binary or len(found.classes) == length else None
    return features, classes
