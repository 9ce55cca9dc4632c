"""What becomes of one configuration: fold by fold, and together."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpo.json_text import from_json
from hpo.study.definition import RESERVED_ATTRIBUTES
from hpo.units import format_duration


@dataclass(frozen=True)
class LearningCurve:
    """What a pruner saw of one training.

    Attributes:
        steps: epochs, iterations or estimators trained, rising.
        scores: validation score after each, the scorer's sign.
        state: what the pruner noted of the trial: successive halving keeps its rungs there.
    """

    steps: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldResult:
    """What became of one configuration on one fold.

    Attributes:
        scores: stored name of each metric -> validation score, the metric first; empty where fit or scorer raised.
        train_score: score on the training rows.
        fit_seconds, score_seconds: what it took.
        peak_memory_mb: largest resident memory of the process meanwhile, in MB; NaN where unknown.
        warnings: ``Category: message`` -> how often it was raised.
        error: type and message in one line, or None; ``trace`` the end of the traceback.
        n_model_parameters: how many numbers the fitted estimator learned; None where unknown.
        predict_seconds: what one ``predict`` of the validation rows takes; None where there is no ``predict``.
        model_size_mb: the pickled estimator, MB of 2**20 bytes; None where it cannot be pickled.
        curve: its training, where a pruner watched.
        is_pruned: whether the pruner ended it; ``scores`` then has the metric alone, as it was last.
        row_values: of the sealed test rows: the metric's score row by row (:mod:`hpo.evaluation.row_scores`), packed.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    train_score: float | None = None
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    peak_memory_mb: float = math.nan
    warnings: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    trace: str | None = None
    n_model_parameters: int | None = None
    predict_seconds: float | None = None
    model_size_mb: float | None = None
    curve: LearningCurve | None = None
    is_pruned: bool = False
    row_values: str | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FoldResult":
        """The result that ``dataclasses.asdict`` and JSON made a mapping of."""
        curve = stored.get("curve")
        found = None if curve is None else LearningCurve(tuple(curve["steps"]), tuple(curve["scores"]), curve["state"])
        return cls(**{**stored, "curve": found})

    @property
    def seconds(self) -> float:
        """Fit and score together."""
        return self.fit_seconds + self.score_seconds


@dataclass(frozen=True)
class Evaluation:
    """What became of one configuration.

    Attributes:
        value: mean validation score over the folds, the scorer's sign; None when it failed or was pruned.
        train_score: mean score on the training rows, or None.
        fold_scores: validation score of each fold that was finished.
        train_fold_scores: score on the training rows of each of these folds; empty where one is not known.
        extra_scores: further metric -> mean validation score.
        fit_seconds, score_seconds: sums over the folds.
        peak_memory_mb: largest resident memory of the process meanwhile, in MB; NaN where unknown.
        warnings: ``Category: message`` -> how often it was raised in fits and scorers.
        error: type and message in one line, or None.
        trace: the end of the traceback, or None.
        n_model_parameters: how many numbers the fitted estimator learned, the most of any fold; None where unknown.
        predict_seconds: to predict the validation rows once, summed over the folds; None where unknown.
        model_size_mb: the pickled estimator in MB of 2**20 bytes, the largest of any fold; None where unknown. Of a
            network of torch some bytes depend on the process that pickles it.
        pruned_at: where a pruner ended it, as in ``fold 2 of 5``, or None.
        curves: fold -> what the pruner saw of its training.
    """

    value: float | None
    train_score: float | None = None
    fold_scores: tuple[float, ...] = ()
    train_fold_scores: tuple[float, ...] = ()
    extra_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    peak_memory_mb: float = math.nan
    warnings: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    trace: str | None = None
    n_model_parameters: int | None = None
    predict_seconds: float | None = None
    model_size_mb: float | None = None
    pruned_at: str | None = None
    curves: Mapping[int, LearningCurve] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """What is stored with the trial: short JSON values."""
        attributes: dict[str, Any] = {
            "fit_seconds": round(self.fit_seconds, 6),
            "score_seconds": round(self.score_seconds, 6),
        }
        if math.isfinite(self.peak_memory_mb):
            attributes["peak_memory_mb"] = round(self.peak_memory_mb, 1)
        optional = {
            "train_score": self.train_score,
            "n_model_parameters": self.n_model_parameters,
            "predict_seconds": None if self.predict_seconds is None else round(self.predict_seconds, 6),
            "model_size_mb": None if self.model_size_mb is None else round(self.model_size_mb, 6),
            "error": self.error,
            "traceback": self.trace,
            "pruned_at": self.pruned_at,
        }
        attributes |= {name: value for name, value in optional.items() if value is not None}
        if len(self.train_fold_scores) > 1:  # one is the mean
            attributes["train_fold_scores"] = json.dumps(self.train_fold_scores)
        if self.warnings:
            attributes["warnings"] = json.dumps(self.warnings, sort_keys=True)
        return attributes | dict(self.extra_scores)

    def within(self, seconds: float | None, *, note: str = "") -> "Evaluation":
        """Return it as it is, or as failed where its folds took longer together than a trial may.

        Args:
            seconds: that a trial may take; None is no limit.
            note: what the error says besides.
        """
        taken = self.fit_seconds + self.score_seconds
        if self.value is None or seconds is None or taken <= seconds:
            return self
        return replace(self, value=None, error=f"TrialTimeout: its folds took {format_duration(taken)} together{note}")

    @classmethod
    def from_stored(cls, value: float, fold_scores: Sequence[float], attributes: Mapping[str, Any]) -> "Evaluation":
        """The evaluation whose value, fold scores and attributes were stored with a COMPLETE trial."""
        return cls(
            value=value,
            train_score=attributes.get("train_score"),
            fold_scores=tuple(fold_scores),
            extra_scores={name: score for name, score in attributes.items() if name not in RESERVED_ATTRIBUTES},
            fit_seconds=attributes["fit_seconds"],
            score_seconds=attributes["score_seconds"],
            peak_memory_mb=attributes.get("peak_memory_mb", math.nan),
            warnings=stored_warnings(attributes),
            train_fold_scores=train_fold_scores(attributes),
            n_model_parameters=attributes.get("n_model_parameters"),
            predict_seconds=attributes.get("predict_seconds"),
            model_size_mb=attributes.get("model_size_mb"),
        )


def train_fold_scores(attributes: Mapping[str, Any]) -> tuple[float, ...]:
    """The training score of each fold among a trial's attributes; empty where only their mean was stored."""
    stored = from_json(attributes.get("train_fold_scores"))  # anybody may have written to the database
    is_right = isinstance(stored, list) and all(isinstance(score, (int, float)) for score in stored)
    return tuple(stored) if is_right else ()


def stored_warnings(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Warning -> count among a trial's attributes; earlier versions stored the category alone."""
    found = from_json(attributes.get("warnings"))
    return {k: v for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}


def combine(metric: str, results: Sequence[FoldResult], *, pruned_at: str | None = None) -> Evaluation:
    """The evaluation of a configuration from its folds, in their order; what follows a failed fold is left out.

    Args:
        metric: stored name of the metric that is tuned.
        results: of the folds that are known.
        pruned_at: where a pruner ended it, or None.
    """
    error = next((result.error for result in results if result.error), None)
    if error is not None:
        results = results[: [result.error for result in results].index(error) + 1]
    scored = [result for result in results if result.scores]
    trains = [result.train_score for result in scored if result.train_score is not None]
    peaks = [result.peak_memory_mb for result in results if math.isfinite(result.peak_memory_mb)]
    counts = [result.n_model_parameters for result in results if result.n_model_parameters is not None]
    sizes = [result.model_size_mb for result in results if result.model_size_mb is not None]
    predicts = [result.predict_seconds for result in results if result.predict_seconds is not None]
    has_trains = bool(trains) and len(trains) == len(scored) and all(map(math.isfinite, trains))
    fold_scores = tuple(result.scores[metric] for result in scored)
    caught: Counter[str] = Counter()
    for result in results:
        caught.update(result.warnings)
    return Evaluation(
        value=None if error or pruned_at else float(np.mean(fold_scores)),
        train_score=float(np.mean(trains)) if trains and all(map(math.isfinite, trains)) else None,
        fold_scores=fold_scores,
        train_fold_scores=tuple(trains) if has_trains else (),
        extra_scores={
            name: float(np.mean([result.scores[name] for result in scored]))
            for name in (scored[0].scores if scored and pruned_at is None else {})
            if name != metric and all(math.isfinite(result.scores[name]) for result in scored)
        },
        fit_seconds=sum(result.fit_seconds for result in results),
        score_seconds=sum(result.score_seconds for result in results),
        peak_memory_mb=max(peaks, default=math.nan),
        warnings=dict(caught),
        error=error,
        trace=next((result.trace for result in results if result.trace), None),
        n_model_parameters=max(counts, default=None),
        predict_seconds=sum(predicts) if len(predicts) == len(results) > 0 else None,
        model_size_mb=max(sizes, default=None),
        pruned_at=pruned_at,
        curves={fold: result.curve for fold, result in enumerate(results) if result.curve is not None},
    )
