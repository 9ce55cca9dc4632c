"""What ends a run: its budget, its time, a target, patience, or the terminator."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.database.run_name import RunName
from hpo.errors import InvalidOption
from hpo.runs.terminator import is_within_noise

DEFAULT_TRIALS = 50
MOST_DEATHS = 3  # of workers, before the configuration is held to be their murderer
MOST_WORKERS = 1000  # or threads of one
SECONDS = ("sampler_seconds", "fit_seconds", "score_seconds")
UNFINISHED = ("timeout", "interrupted")  # reasons to stop after which a run can be resumed


@dataclass(frozen=True)
class RunOptions:
    """When a run ends, and what it may take over.

    Attributes:
        trials: total number of trials the run is to have; None is the whole grid, or 50.
        timeout: seconds after which no further trial begins; None is no limit.
        target: value (the scorer's sign) at which the run is done.
        patience: number of trials without a better one after which the run is done.
        walltime: seconds that the run's trials may take in all, over every resumption: proposals, fits and scores.
        terminator: whether the run is done once what is left to gain is within the noise of the folds.
        retry_failed: whether the grid proposes failed cells again.
        reuse: whether a configuration already evaluated in the same context is not trained again.
        trial_timeout: seconds that a trial may take, its folds together; None is no limit.
        trial_memory: MB of resident memory that the process which evaluates it may take; None is no limit.
        lag: how many trials may be under way when the next is proposed; None is what the run has, or the workers.
        trust_database: whether a sampler that is not of the table may read text that was stored for it.
        callbacks: are called with the study and the trial after each record of a run with a sampler.
    """

    trials: int | None = None
    timeout: float | None = None
    target: float | None = None
    patience: int | None = None
    retry_failed: bool = False
    reuse: bool = True
    trial_timeout: float | None = None
    trial_memory: float | None = None
    lag: int | None = None
    walltime: float | None = None
    terminator: bool = False
    trust_database: bool = False
    callbacks: tuple[Callable[..., Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("terminator", "trust_database"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give True or False")
        if self.target is not None and (not _is_number(self.target) or self.target != self.target):
            raise InvalidOption(f"target={self.target!r}: give a number")
        for name in ("trials", "patience", "lag"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else check_whole(name, value))
        for name, unit in {
            "timeout": "seconds",
            "walltime": "seconds",
            "trial_timeout": "seconds",
            "trial_memory": "MB",
        }.items():
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise InvalidOption(f"{name}={value!r}: give a number of {unit} above 0")
            if value == math.inf:  # no limit, in other words
                object.__setattr__(self, name, None)

    @property
    def has_limits(self) -> bool:
        """Whether a trial may have to be killed."""
        return self.trial_timeout is not None or self.trial_memory is not None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its name.
        reason: ``budget``, ``exhausted``, ``target``, ``patience``, ``walltime``, ``terminator``, ``callback``,
            ``timeout`` or ``interrupted``.
        n_new: trials recorded by this call; ``n_reused`` of them were not trained.
        warnings: category -> count, over the trials of this call.
        seconds: wall-clock of this call.
    """

    run: RunName
    reason: str
    n_new: int
    n_reused: int
    warnings: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to resume."""
        return self.reason not in UNFINISHED


def check_workers(workers: "int | str") -> "int | str":
    """The number of workers, or the address of a Dask scheduler, as it is asked for in Python or in a command.

    Raises:
        InvalidOption: it is neither.
    """
    if isinstance(workers, str) and workers.strip().isdecimal():
        workers = int(workers)
    workers = int(workers) if isinstance(workers, Integral) and not isinstance(workers, bool) else workers
    is_number = isinstance(workers, int) and not isinstance(workers, bool) and 1 <= workers <= MOST_WORKERS
    is_address = isinstance(workers, str) and re.fullmatch(r"(dask|tcp|tls)://[^\s/]+:\d+", workers)
    if is_number or is_address:
        return workers
    raise InvalidOption(
        f"workers={workers!r}: give a whole number from 1 to {MOST_WORKERS}, or the address of a Dask scheduler "
        "as in dask://HOST:8786 or tls://HOST:8786"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_numbers(**numbers: int) -> None:
    """Raise InvalidOption unless each is a whole number from 0."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, Integral) or not 0 <= number < 2**31:
            raise InvalidOption(f"{name}={number!r}: give a whole number, 0 or more and below 2**31")


def check_whole(name: str, number: Any, *, most: int = 2**53) -> int:
    """Return a whole number from 1 to the most there may be, or raise InvalidOption."""
    if isinstance(number, Integral) and not isinstance(number, bool) and 1 <= int(number) <= most:
        return int(number)
    more = f", at most {most}" if isinstance(number, Integral) and int(number) > most else ""
    raise InvalidOption(f"{name}={number!r}: give a whole number, 1 or more{more}")


class Told:
    """What ends a run and depends only on the trials told, in order: so that resuming changes nothing."""

    def __init__(self, options: RunOptions) -> None:
        self._target, self._patience, self._walltime = options.target, options.patience, options.walltime
        self._complete: list[FrozenTrial] | None = [] if options.terminator else None
        self._n_judged = 0
        self._is_within_noise = False
        self.n = 0
        self.seconds = 0.0
        self.best: float | None = None
        self._n_at_best = 0

    def add(self, trial: FrozenTrial) -> None:
        """Take note of the next trial."""
        self.n += 1
        if "duplicate_of" not in trial.user_attrs:  # whose seconds were another's
            self.seconds += sum(float(trial.user_attrs.get(name) or 0.0) for name in SECONDS)
        if trial.state != TrialState.COMPLETE or trial.value is None:
            return
        if self._complete is not None:
            self._complete.append(trial)
        if self.best is None or trial.value > self.best:
            self.best, self._n_at_best = trial.value, self.n

    def reason_to_stop(self) -> str | None:
        """``target``, ``patience``, ``walltime`` or ``terminator``, where the trials so far meet it."""
        if self._target is not None and self.best is not None and self.best >= self._target:
            return "target"
        if self._patience is not None and self.n - self._n_at_best >= self._patience:
            return "patience"
        if self._walltime is not None and self.seconds >= self._walltime:
            return "walltime"
        if self._complete is not None and len(self._complete) > self._n_judged:  # judging takes a while
            self._n_judged, self._is_within_noise = len(self._complete), is_within_noise(self._complete)
        return "terminator" if self._is_within_noise else None
