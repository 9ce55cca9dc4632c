"""What scikit-learn says of the folds of a SearchCV's candidate, and how it is asked for some of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Fold = dict[str, Any]


class Splits:
    """Folds that are known, as scikit-learn takes a splitter."""

    def __init__(self, splits: Sequence[Any]) -> None:
        self._splits = list(splits)

    def split(self, X: Any = None, y: Any = None, **_: Any) -> Iterator[Any]:
        """The folds."""
        return iter(self._splits)

    def get_n_splits(self, X: Any = None, y: Any = None, **_: Any) -> int:
        """How many."""
        return len(self._splits)


def missing_fold(like: Any, *, train: bool) -> Fold:
    """What is shown of a fold that was not fitted, because its candidate was pruned."""
    scores: Any = dict.fromkeys(like, np.nan) if isinstance(like, dict) else np.nan
    fold = {"fit_error": None, "test_scores": scores, "n_test_samples": 0, "fit_time": np.nan, "score_time": np.nan}
    return {**fold, "train_scores": scores} if train else fold


def stored_fold(out: Fold) -> Fold:
    """The part of a fold's answer that scikit-learn's tables are made of, as JSON values."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return value.item() if isinstance(value, np.generic) else value

    names = ("fit_error", "test_scores", "train_scores", "n_test_samples", "fit_time", "score_time")
    kept = {name: plain(out[name]) for name in names if name in out}
    if kept.get("fit_error"):
        kept["fit_error"] = str(kept["fit_error"])[-300:]
    return kept
