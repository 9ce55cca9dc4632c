"""Whether a stored score can be reproduced: the one observation that shows whether something behind it changed.

Hashes know the causes that somebody thought of. A script may read a file, an environment variable or a service that
none of them sees, so before stored results are continued or reused a stored trial is evaluated again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

# Relative. Sums are added up in another order by other processors, and even where memory lies otherwise; a solver that
# stops at a tolerance makes more of it: 0.00008 was seen of the log loss of a logistic regression.
_CLOSE = 1e-3
_REPEATS = 3  # more evaluations where the first differs, to see how closely the estimator repeats itself
SPREADS = 3.0  # of those evaluations, that the stored score may lie beyond them
UNSEEN = (
    "Something decides the score that no fingerprint sees, such as a file, an environment variable or another version "
    "of a library"
)
_ALWAYS, _AT_MOST = 1.0, 10.0  # seconds
_SHARE = 0.02  # of what the stored trials took


def allowance(stored_seconds: float) -> float:
    """Return how many seconds checking may take, where the stored trials took so many.

    A second is always allowed; beyond that 2% of what was stored, and 10 seconds at most.

    Example:
        >>> allowance(5.0), allowance(200.0), allowance(1e6)
        (1.0, 4.0, 10.0)
    """
    return max(_ALWAYS, min(_AT_MOST, _SHARE * stored_seconds))


@dataclass(frozen=True)
class Reproduction:
    """A fold of a stored trial that was evaluated again.

    Attributes:
        trial: ``run#number``.
        fold: its number.
        stored: the score that was stored (the scorer's sign).
        found: the score now; several where the first was another.
        error: why there is none, or None.
    """

    trial: str
    fold: int
    stored: float
    found: tuple[float, ...]
    error: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the score is reproduced: exactly, or as closely as the estimator repeats itself."""
        if self.error is not None or not self.found:
            return False
        if _is_close(self.stored, self.found[0]):
            return True
        low, high = min(self.found), max(self.found)
        reach = SPREADS * (high - low)
        return not _is_close(low, high) and low - reach <= self.stored <= high + reach

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        now = self.error or f"{self.found[0]:.6g}"
        repeats = "" if len(self.found) < 2 or _is_close(min(self.found), max(self.found)) else (
            f" ({min(self.found):.6g} to {max(self.found):.6g} in {len(self.found)} evaluations)"
        )  # fmt: skip
        verb = "fails now" if self.error else "scores"
        return (
            f"fold {self.fold} of {self.trial} scored {self.stored:.6g} when it was stored, and {verb} "
            f"{now}{repeats} evaluated again"
        )


def reproduce(trial: str, fold: int, stored: float, evaluate: Callable[[], "float | str"]) -> Reproduction:
    """Evaluate a fold of a stored trial again, and a few times more where its score differs.

    Args:
        trial: ``run#number``, for messages.
        fold: its number.
        stored: its stored score.
        evaluate: returns the score of that fold now, or why there is none.
    """
    found: list[float] = []
    for _ in range(1 + _REPEATS):
        score = evaluate()
        if isinstance(score, str):
            return Reproduction(trial, fold, stored, tuple(found), score)
        found.append(score)
        if _is_close(stored, score):
            break
    return Reproduction(trial, fold, stored, (found[-1],) if _is_close(stored, found[-1]) else tuple(found))


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_CLOSE, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b))
