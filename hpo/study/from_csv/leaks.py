"""Columns that tell the target by themselves, which is too good to be true more often than not."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hpo.study.from_csv.columns import CLASSIFICATION, Columns, Target

_MOST_ROWS = 2000  # of a sample: enough to tell 99% from 90%
_ALONE = 0.99  # balanced accuracy, or R2, of a tree on the column alone, on rows it has not seen
_FOLDS = 3


def find_leaks(frame: pd.DataFrame, target: Target, columns: Columns) -> dict[str, str]:
    """Columns that tell the target alone: name -> what is found.

    A tree on the column alone predicts rows that it has not seen, or a line does, by a balanced accuracy or an R2 of
    0.99 or more; or the column is the target in other words, each value of one standing for one value of the other.
    """
    rows = frame[frame[target.name].notna()]
    rows = rows.sample(_MOST_ROWS, random_state=0) if len(rows) > _MOST_ROWS else rows
    y = rows[target.name]
    found = {}
    for name in (*columns.numeric, *columns.categorical):
        if name not in rows:  # made of a date
            continue
        if _is_copy(rows[name], y):
            found[name] = "is a copy of the target"
        elif _correlation(rows[name], y) ** 2 >= _ALONE or _tells(rows[name], y, target.task) >= _ALONE:
            found[name] = "predicts the target alone"
    return found


def _is_copy(column: "pd.Series[Any]", y: "pd.Series[Any]") -> bool:
    """Whether each value of one stands for one value of the other, and none is missing."""
    if column.isna().any() or column.nunique() != y.nunique():
        return False
    return len(pd.DataFrame({"column": column, "y": y}).drop_duplicates()) == y.nunique() and (
        # One is the other in another unit: among values that all differ, every column stands for every other.
        y.nunique() < len(y) or abs(_correlation(column, y)) > 1 - 1e-12
    )


def _correlation(column: "pd.Series[Any]", y: "pd.Series[Any]") -> float:
    """Pearson's, of the rows that have both; 0 where either is no number, or constant."""
    if not (pd.api.types.is_numeric_dtype(column) and pd.api.types.is_numeric_dtype(y)):
        return 0.0
    both = np.stack([column.to_numpy(dtype=float), y.to_numpy(dtype=float)])
    both = both[:, np.isfinite(both).all(axis=0)]
    if both.shape[1] < _FOLDS or not both.std(axis=1).all():
        return 0.0
    return float(np.corrcoef(both)[0, 1])


def _tells(column: "pd.Series[Any]", y: "pd.Series[Any]", task: str) -> float:
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    values = column.to_numpy(dtype=float) if is_number else pd.factorize(column)[0].astype(float)
    is_classification = task == CLASSIFICATION
    tree = (DecisionTreeClassifier if is_classification else DecisionTreeRegressor)(random_state=0)
    codes = pd.factorize(y)[0] if is_classification else y.to_numpy(dtype=float)
    if is_classification and np.min(np.bincount(codes)) < _FOLDS:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = "balanced_accuracy" if is_classification else "r2"
        if not is_classification:  # rows in an order of their own would leave each fold a range it has not seen
            order = np.random.default_rng(0).permutation(len(codes))
            values, codes = values[order], codes[order]
        return float(cross_val_score(tree, values[:, None], codes, cv=_FOLDS, scoring=metric).mean())
