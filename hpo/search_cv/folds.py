"""What scikit-learn says of the folds of a SearchCV's candidate, and how it is asked for some of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.evaluation.results import Evaluation, FoldResult, LearningCurve

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
    """What is shown of a fold that was not fitted to its end, because its candidate was pruned."""
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
    if out.get("is_pruned"):
        kept["is_pruned"] = True
    if kept.get("fit_error"):
        kept["fit_error"] = str(kept["fit_error"])[-300:]
    return kept


def one_score(scores: Any, metric: str | None) -> float:
    """The score that the sampler and the pruner are told: of several, that of ``metric``, or the first."""
    if isinstance(scores, Mapping):
        return float(scores[metric] if metric in scores else next(iter(scores.values())))
    return float(scores)


def fold_result(out: Fold, metric: str | None) -> FoldResult:
    """A fold as a pruner is shown it."""
    score = one_score(out["test_scores"], metric)
    return FoldResult({"": score}, curve=out.get("curve"), is_pruned=out.get("is_pruned", False))


def evaluation_of(
    folds: Sequence[Fold], metric: str | None, curves: Mapping[int, LearningCurve], pruned_at: str | None
) -> Evaluation:
    """What became of a candidate, as it is stored.

    Args:
        folds: in order; the first ones where it was pruned.
        metric: which of several scores is its value; None is the first.
        curves: fold -> what the pruner saw of its training.
        pruned_at: where a pruner ended it, or None.
    """
    scores = tuple(one_score(out["test_scores"], metric) for out in folds)
    value = float(np.mean(scores))
    errors = [str(out["fit_error"]).strip().splitlines()[-1] for out in folds if out.get("fit_error")]
    has_value = pruned_at is None and np.isfinite(value)
    trains = [out["train_scores"] for out in folds if isinstance(out.get("train_scores"), float)]
    error = None if has_value or pruned_at else next(iter(errors), f"NotFinite: the score is {value}")[:300]
    return Evaluation(
        value=value if has_value else None,
        train_score=float(np.mean(trains)) if len(trains) == len(folds) else None,
        fold_scores=scores,
        fit_seconds=float(sum(out["fit_time"] for out in folds)),
        score_seconds=float(sum(out["score_time"] for out in folds)),
        error=error,
        pruned_at=pruned_at,
        curves=curves,
    )
