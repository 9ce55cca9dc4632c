"""Where evaluations run: in this process, or in processes of their own behind Dask (see `dask_engine`)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from threadpoolctl import threadpool_limits

from hpo.evaluation.evaluate import Problem, evaluate_folds
from hpo.evaluation.results import FoldResult
from hpo.evaluation.training_steps import Watching
from hpo.process.failures import ProcessExit, exits_heard
from hpo.process.generators import kept
from hpo.study.hyperparameters import Configuration


@dataclass(frozen=True)
class Unit:
    """Some folds of one trial, evaluated together by one worker.

    Attributes:
        run, number: the trial.
        split: which rows train and validate.
        configuration: stored values of the hyperparameters; None is the reference.
        folds: their numbers.
        seconds: that are left of the trial's limit, or None.
        watching: what decides while its one fold is trained whether to go on, or None.
    """

    run: str
    number: int
    split: int
    configuration: Configuration | None
    folds: tuple[int, ...]
    seconds: float | None = None
    watching: Watching | None = None

    def is_of(self, run: str, number: int | None) -> bool:
        """Whether it belongs to a trial, or to any of the run."""
        return self.run == run and number in {None, self.number}


@dataclass(frozen=True)
class UnitResult:
    """Results of a unit's folds, in order, up to a failure or the worker's death; ``died`` says how it died."""

    unit: Unit
    folds: tuple[FoldResult, ...]
    died: str | None = None


class Waiting(deque[Unit]):
    """Units that no worker has begun, in their order."""

    def take_all(self) -> list[Unit]:
        """All of them; they are forgotten."""
        units = list(self)
        self.clear()
        return units

    def forget(self, run: str, number: int | None) -> None:
        """Leave out the units of a trial, or of a whole run."""
        kept = [unit for unit in self if not unit.is_of(run, number)]
        self.clear()
        self.extend(kept)


class Engine(Protocol):
    """Takes units and gives back their results, in any order."""

    @property
    def n_workers(self) -> int:
        """How many units it evaluates at a time."""

    def submit(self, unit: Unit) -> None:
        """Evaluate a unit, now or when a worker is free."""

    def wait(self) -> UnitResult:
        """The next result; there must be a unit under way."""

    def give_back(self) -> list[Unit]:
        """The units that no worker has begun; they are forgotten."""

    def cancel(self, run: str, number: int | None = None) -> None:
        """Forget the units of a trial, or of a whole run; those under way are ended, and give no result."""

    def close(self) -> None:
        """End all workers."""


class InProcess:
    """Evaluates one unit after another, in this process, when it is waited for.

    Args:
        problem: split -> definition, data and rows.
        threads: that BLAS and OpenMP may use; None leaves them alone.
    """

    n_workers = 1

    def __init__(self, problem: Callable[[int], Problem], threads: int | None = None) -> None:
        self._problem = problem
        self._waiting = Waiting()
        self._limits = None if threads is None else threadpool_limits(threads)

    def use(self, threads: int) -> None:
        """Let BLAS and OpenMP use so many threads from now on."""
        self.close()
        self._limits = threadpool_limits(threads)

    def submit(self, unit: Unit) -> None:
        """Put the unit at the end of the queue."""
        self._waiting.append(unit)

    def wait(self) -> UnitResult:
        """Evaluate the first of the queue."""
        unit = self._waiting.popleft()
        problem = self._problem(unit.split)
        used = problem.used(unit.configuration)
        results: list[FoldResult] = []
        try:
            with kept(), exits_heard():
                results.extend(evaluate_folds(problem, used, unit.folds, unit.watching))
        except ProcessExit as error:  # what has become of a worker elsewhere
            return UnitResult(unit, tuple(results), str(error))
        return UnitResult(unit, tuple(results))

    def give_back(self) -> list[Unit]:
        """All that waits: nothing is under way between two calls."""
        return self._waiting.take_all()

    def cancel(self, run: str, number: int | None = None) -> None:
        """Take the units of a trial, or of a whole run, out of the queue."""
        self._waiting.forget(run, number)

    def close(self) -> None:
        """Give the threads back."""
        if self._limits is not None:
            self._limits.restore_original_limits()
