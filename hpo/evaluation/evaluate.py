"""One configuration -> its scores and costs. Pure: no Optuna, no database."""

import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from hpo.errors import InvalidDefinition
from hpo.evaluation.results import Evaluation, FoldResult, LearningCurve, combine
from hpo.evaluation.row_scores import Remembered, neighbours, packed, row_values
from hpo.evaluation.training_steps import Pruned, Watching, fit_watched
from hpo.models.costs import ModelCosts
from hpo.process.failures import ProcessExit, counted_warnings, describe, end_if_forked, exits_heard, trace_of
from hpo.process.generators import fold_name, kept, seed, seed_for, seeded
from hpo.process.interrupts import is_interrupt
from hpo.study.definition import Data, StudyDefinition
from hpo.study.splits import TEST_FOLD, Partition, partition

_SCORE = "score"  # what the generators are seeded for when a model is scored, however it was trained
_WORTH_A_LOOK = 0.01  # seconds


class Problem:
    """A definition with its data in memory and the rows of one split: all that an evaluation needs.

    Attributes:
        scorer: ``(estimator, X, y) -> {name: score}`` of the metric and the extra ones.
        metric, metric_scorer: name of the metric, and ``(estimator, X, y) -> float``.

    Raises:
        InvalidDefinition: the data cannot be loaded or split, or the estimator cannot be built.
    """

    def __init__(self, definition: StudyDefinition, split: int = 0, *, data: Data | None = None) -> None:
        self.definition = definition
        self.split = split
        self.data = definition.load() if data is None else data
        example = self._example()
        self.partition: Partition = partition(
            definition.split,
            self.data.X,
            self.data.y,
            self.data.groups,
            number=split,
            is_classifier=_is_classifier(example),
        )
        if not self.partition.folds:
            raise InvalidDefinition(f"{definition.name}: {definition.split!r} gives no fold to validate on")
        self.scorer = _scorer(definition, example)
        self.metric = next(iter(definition.scorers))
        self.metric_scorer = _one_scorer(definition.scorers[self.metric])

    @property
    def n_folds(self) -> int:
        """How many folds a configuration is trained on."""
        return len(self.partition.folds)

    def _example(self) -> Any:
        try:
            with exits_heard(), seeded(self.split, "estimator"):
                example = self.definition.build(self.definition.reference_used())
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise InvalidDefinition(
                f"{self.definition.name}: the estimator cannot be built from its reference: {describe(error)}"
            ) from error
        if not hasattr(example, "fit"):
            raise InvalidDefinition(
                f"{self.definition.name}: the estimator function returned {example!r}, which has no fit"
            )
        return example

    def used(self, configuration: Mapping[str, Any] | None) -> dict[str, Any]:
        """The hyperparameters as the estimator is given them; None is the reference."""
        if configuration is None:
            return self.definition.reference_used()
        return self.definition.space.use(configuration)

    def rows(self, rows: Any) -> tuple[Any, Any, dict[str, Any]]:
        """X, y and fit parameters of these rows."""
        data = self.data
        fit_params = {
            # A copy: callbacks remember the fit, and the next fold must be given what was given to this one.
            name: take_rows(value, rows) if _has_rows(value, data.X) else copy.deepcopy(value)
            for name, value in (data.fit_params or {}).items()
        }
        return take_rows(data.X, rows), None if data.y is None else take_rows(data.y, rows), fit_params

    def estimator(self, used: Mapping[str, Any]) -> Any:
        """An unfitted estimator whose every ``random_state`` that was None is fixed by the split."""
        with seeded(self.split, "estimator"):  # a function may draw, and which fold is the first makes no difference
            estimator = self.definition.build(used)
        names = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
        seeds: dict[str, Any] = {
            name: seed_for(self.split, name)
            for name in sorted(names)
            if names[name] is None and (name == "random_state" or name.endswith("__random_state"))
        }
        for name, value in names.items():  # a splitter inside the estimator is no estimator, and is random too
            is_random = getattr(value, "random_state", 0) is None and getattr(value, "shuffle", True)
            if is_random and not hasattr(value, "get_params"):
                seeds[name] = copy.copy(value)
                seeds[name].random_state = seed_for(self.split, name)
        return estimator.set_params(**seeds) if seeds else estimator


def _is_classifier(estimator: Any) -> bool:
    """As scikit-learn says; an estimator of an older package, without its BaseEstimator, may say so by itself."""
    from sklearn.base import is_classifier

    if hasattr(estimator, "__sklearn_tags__"):
        return bool(is_classifier(estimator))
    return getattr(estimator, "_estimator_type", None) == "classifier"


def evaluate(problem: Problem, used: Mapping[str, Any]) -> Evaluation:
    """Train on each fold and score train and validation rows; a failure is a value, not an exception.

    Args:
        problem: definition, data and rows.
        used: the hyperparameters as the estimator is given them.
    """
    with kept():
        return combine(problem.metric, list(evaluate_folds(problem, used, range(problem.n_folds))))


def evaluate_folds(
    problem: Problem, used: Mapping[str, Any], folds: Iterable[int], watching: Watching | None = None
) -> Iterator[FoldResult]:
    """Train and score fold by fold, until one fails.

    The process's own random generators are seeded for each fold, and left so: :func:`hpo.process.generators.kept` is
    for whoever evaluates.

    Args:
        problem: definition, data and rows.
        used: the hyperparameters as the estimator is given them.
        folds: their numbers, or TEST_FOLD; each is trained by itself, whatever else is in the list.
        watching: the pruner that may end the training of a fold, or None.
    """
    unfitted = None
    peak = _PeakMemory()
    numbers, process = list(folds), os.getpid()
    for fold in numbers:
        meter = _Meter()
        scores: dict[str, float] = {}
        train_score: float | None = None
        costs = ModelCosts()
        error: str | None = None
        trace: str | None = None
        curve: LearningCurve | None = None
        by_row: str | None = None
        is_pruned = False
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            try:
                if unfitted is None:
                    unfitted = problem.estimator(used)
                is_test = fold == TEST_FOLD
                scores, train_score, costs, curve, by_row = _fit_and_score(
                    problem, unfitted, fold, meter, watching, is_test=is_test
                )
            except Pruned as pruned:
                curve, is_pruned = pruned.curve, True
                scores = {problem.metric: curve.scores[-1]}
            except BaseException as failure:
                if isinstance(failure, ProcessExit) or is_interrupt(failure):
                    raise
                error, trace = describe(failure), trace_of(failure)
        end_if_forked(process)
        if error is None and not math.isfinite(scores[problem.metric]):
            error = f"NotFinite: the metric {problem.metric} is {scores[problem.metric]}"
        is_last = error is not None or fold == numbers[-1]
        yield FoldResult(
            scores=scores,
            train_score=train_score,
            fit_seconds=meter.fit_seconds,
            score_seconds=meter.score_seconds,
            # Looking takes a while: short folds are looked at together, after the last.
            peak_memory_mb=peak.mb() if is_last or meter.fit_seconds > _WORTH_A_LOOK else math.nan,
            warnings=counted_warnings(raised),
            error=error,
            trace=trace,
            n_model_parameters=costs.n_parameters,
            predict_seconds=costs.predict_seconds,
            model_size_mb=costs.size_mb,
            curve=curve,
            is_pruned=is_pruned and error is None,
            row_values=by_row,
        )
        if error is not None:
            return


def _fit_and_score(
    problem: Problem, unfitted: Any, fold: int, meter: "_Meter", watching: Watching | None, *, is_test: bool
) -> tuple[dict[str, float], float, ModelCosts, LearningCurve | None, str | None]:
    train, validation = problem.partition.fold(fold)
    X_train, y_train, fit_params = problem.rows(train)
    X_validation, y_validation, _ = problem.rows(validation)
    estimator = copy.deepcopy(unfitted)  # never fitted, so as good as a clone, and several times faster
    metric = problem.metric_scorer
    target = () if y_train is None else (y_train,)

    def fit() -> None:
        seed(problem.split, fold_name(fold))
        estimator.fit(X_train, *target, **fit_params)

    def score() -> float:
        with seeded(problem.split, _SCORE):  # of which the fit under way must not notice
            return meter.scored(metric, estimator, X_validation, y_validation)

    watcher = None if watching is None else watching.begin(score)
    with meter.fitting():
        if watcher is None:
            fit()
        else:
            fit_watched(estimator, fit, watcher)
    seed(problem.split, _SCORE)
    by_row = None
    with meter.scoring():
        if is_test:
            scores, by_row = _scored_by_row(problem, estimator, X_validation, y_validation)
        else:
            found = problem.scorer(estimator, X_validation, y_validation)
            scores = {name: _number(name, score) for name, score in found.items()}
        train_score = _number(problem.metric, metric(estimator, X_train, y_train))
    curve = None if watcher is None else watcher.curve
    costs = ModelCosts.of(estimator, X_validation)  # neither fitting nor scoring
    return scores, train_score, costs, curve, by_row


def _number(name: str, score: Any) -> float:
    if not hasattr(score, "__float__") or np.ndim(score):
        raise TypeError(f"the metric {name} returned a {type(score).__name__}: a metric returns one number")
    return float(score)


def _scored_by_row(problem: Problem, fitted: Any, X: Any, y: Any) -> tuple[dict[str, float], str | None]:
    """Scores of the sealed test rows, and the metric's score row by row, from one prediction."""
    remembered, rows = Remembered(fitted, X), problem.partition.test
    scores = {name: _number(name, score) for name, score in problem.scorer(remembered, X, y).items()}
    clusters = None
    if problem.data.groups is not None:
        clusters = np.asarray(problem.data.groups)[rows]
    elif getattr(problem.definition.split, "order", None) == "time":
        clusters = neighbours(len(rows))
    by_row = row_values(problem.metric, problem.metric_scorer, remembered, X, y, take_rows, clusters=clusters)
    return scores, packed(by_row)


def score_fitted(problem: Problem, fitted: Any, fold: int) -> FoldResult:
    """Score rows of a fold, or of TEST_FOLD, with a model that was trained on its training rows."""
    meter = _Meter()
    scores: dict[str, float] = {}
    error: str | None = None
    by_row: str | None = None
    X, y, _ = problem.rows(problem.partition.fold(fold)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with seeded(problem.split, _SCORE), meter.scoring():
                if fold == TEST_FOLD:
                    scores, by_row = _scored_by_row(problem, fitted, X, y)
                else:
                    scores = {name: _number(name, score) for name, score in problem.scorer(fitted, X, y).items()}
        except BaseException as failure:
            if is_interrupt(failure):
                raise
            error = describe(failure)
    if error is None and not math.isfinite(scores[problem.metric]):
        error = f"NotFinite: the metric {problem.metric} is {scores[problem.metric]}"
    return FoldResult(scores=scores, score_seconds=meter.score_seconds, error=error, row_values=by_row)


class _Meter:
    """Adds up the time of fits and scores."""

    def __init__(self) -> None:
        self.fit_seconds = 0.0
        self.score_seconds = 0.0

    def fitting(self) -> "_Stopwatch":
        return _Stopwatch(self, "fit_seconds")

    def scoring(self) -> "_Stopwatch":
        return _Stopwatch(self, "score_seconds")

    def scored(self, scorer: Callable[..., float], *arguments: Any) -> float:
        """A score in the middle of a fit, whose time does not belong to the fit."""
        before = self.score_seconds
        with self.scoring():
            score = float(scorer(*arguments))
        self.fit_seconds -= self.score_seconds - before
        return score


class _PeakMemory:
    """The process's largest resident memory from now on (Linux only)."""

    def __init__(self) -> None:
        try:
            with open("/proc/self/clear_refs", "w") as clear:
                clear.write("5")  # resets the peak: Documentation/filesystems/proc.rst of Linux
            self._can_measure = True
        except OSError:
            self._can_measure = False

    def mb(self) -> float:
        """In MB of 2**20 bytes; NaN where unknown."""
        if not self._can_measure:
            return math.nan
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return math.nan


class _Stopwatch:
    """Adds the time inside its block to an attribute of the meter, also when the block raises."""

    def __init__(self, meter: _Meter, attribute: str) -> None:
        self._meter, self._attribute = meter, attribute

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        setattr(self._meter, self._attribute, getattr(self._meter, self._attribute) + spent)


def _scorer(definition: StudyDefinition, example: Any) -> Callable[..., dict[str, float]]:
    from sklearn.metrics import check_scoring, get_scorer

    scorers = {name: get_scorer(s) if isinstance(s, str) else s for name, s in definition.scorers.items()}
    scorer: Callable[..., dict[str, float]] = check_scoring(example, scoring=scorers)
    return scorer


def _one_scorer(scorer: Any) -> Callable[..., float]:
    """``(estimator, X, y) -> float``; scikit-learn takes as long to find one by name as to score few rows with it."""
    from sklearn.metrics import get_scorer

    found: Callable[..., float] = get_scorer(scorer) if isinstance(scorer, str) else scorer
    return found


def take_rows(part: Any, rows: Any) -> Any:
    """The given rows of an array, sparse matrix, data frame or list."""
    if isinstance(part, np.ndarray):  # _safe_indexing does the same, 20 times slower
        return part[rows]
    from sklearn.utils import _safe_indexing

    return _safe_indexing(part, rows)


def _has_rows(value: Any, X: Any) -> bool:
    from sklearn.utils.validation import _num_samples

    return not isinstance(value, (str, bytes, Mapping)) and hasattr(value, "__len__") and len(value) == _num_samples(X)
