"""What ends a run: its budget, its time, a target, or patience."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState

from hpo.errors import InvalidOption
from hpo.run_name import RunName

DEFAULT_TRIALS = 50


@dataclass(frozen=True)
class RunOptions:
    """When a run ends, and what it may take over.

    Attributes:
        trials: total number of trials the run is to have; None is the whole grid, or 50.
        timeout: seconds after which no further trial begins; None is no limit.
        target: value (the scorer's sign) at which the run is done.
        patience: number of trials without a better one after which the run is done.
        retry_failed: whether the grid proposes failed cells again.
        reuse: whether a configuration already evaluated in the same context is not trained again.
    """

    trials: int | None = None
    timeout: float | None = None
    target: float | None = None
    patience: int | None = None
    retry_failed: bool = False
    reuse: bool = True

    def __post_init__(self) -> None:
        if self.target is not None and self.target != self.target:
            raise InvalidOption(f"target={self.target!r}: give a number")
        for name in ("trials", "patience"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"{name}={value!r}: give a whole number, 1 or more")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidOption(f"timeout={self.timeout!r}: give a number of seconds above 0")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its name.
        reason: ``budget``, ``exhausted``, ``target``, ``patience`` or ``timeout``.
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
        return self.reason != "timeout"


def check_numbers(**numbers: int) -> None:
    """Raise InvalidOption unless each is a whole number from 0."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
            raise InvalidOption(f"{name}={number!r}: give a whole number, 0 or more and below 2**31")


class Told:
    """What ends a run and depends only on the trials told, in order: so that resuming changes nothing."""

    def __init__(self, options: RunOptions) -> None:
        self._target, self._patience = options.target, options.patience
        self.n = 0
        self.best: float | None = None
        self._n_at_best = 0
        self.errors: Counter[str] = Counter()

    def add(self, trial: FrozenTrial) -> None:
        """Take note of the next trial."""
        self.n += 1
        if trial.state == TrialState.FAIL:
            self.errors[trial.user_attrs.get("error", "an unknown error")] += 1
        elif trial.value is not None and (self.best is None or trial.value > self.best):
            self.best, self._n_at_best = trial.value, self.n

    def reason_to_stop(self) -> str | None:
        """``target`` or ``patience``, where the trials so far meet it."""
        if self._target is not None and self.best is not None and self.best >= self._target:
            return "target"
        if self._patience is not None and self.n - self._n_at_best >= self._patience:
            return "patience"
        return None
