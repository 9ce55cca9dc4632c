"""P-values that hold what they promise: with the luck of the test rows, and however often somebody looks.

Two things beside the samplers decide a difference on the sealed test rows. Each repetition has luck of its own, and all
share the luck of which rows were sealed, which no number of repetitions averages out.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from hpo.comparison.statistics.losses import FloatArray

_BETS = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.9])  # shares of the wealth that are put on each repetition
# Levels at which the sequential test on given rows is tried: its p-value is the smallest that rejects.
_LEVELS = np.geomspace(1e-6, 1.0, 73)


@dataclass(frozen=True)
class RowLuck:
    """How far a mean difference on the test rows may be off because of which rows these are.

    Attributes:
        variance: of the mean difference, over other test rows.
        df: its degrees of freedom.
    """

    variance: float
    df: int

    @classmethod
    def of(cls, differences: FloatArray) -> "RowLuck":
        """Of differences by row, the mean over repetitions, shape (n,)."""
        n = len(differences)
        return cls(float(np.var(differences, ddof=1)) / n, n - 1)

    @property
    def error(self) -> float:
        """Standard error of the mean difference for other rows."""
        return math.sqrt(self.variance)


def row_test(mean: float, variance: float, df: float, luck: RowLuck) -> float:
    """One-sided p-value of "the mean difference is not below 0", for other rows and other repetitions.

    The variances over rows and over repetitions are added, which counts what is neither row nor repetition twice and so
    errs to the safe side; degrees of freedom by Satterthwaite (1946, Biometrics Bulletin 2:110).

    Args:
        mean: of the differences, finite.
        variance, df: of that mean over repetitions alone, and its degrees of freedom.
        luck: of the rows.
    """
    both = luck.variance + variance
    if both == 0:
        return 0.0 if mean < 0 else 1.0
    parts = luck.variance**2 / luck.df + variance**2 / df
    return float(special.stdtr(min(both**2 / parts, 1e9), mean / math.sqrt(both)))


def evidence(differences: FloatArray) -> FloatArray:
    """How much each look at the repetitions so far speaks for differences below 0: e-values, shape (..., S).

    A gambler with wealth 1 puts a share of it on the sign of each next difference, weighted with the rank of its size
    among those so far. Where signs are a fair coin given the sizes, the wealth is a martingale, and exceeds 1 / alpha
    at any time, ever, with a probability of at most alpha (Ville 1939; the mean over several shares is one too).

    Args:
        differences: in the order of the repetitions, shape (..., S).
    """
    sizes = np.abs(differences)
    n = sizes.shape[-1]
    is_known = np.tri(n, dtype=bool)
    ranks = ((sizes[..., None, :] <= sizes[..., :, None]) & is_known).sum(axis=-1)
    scores = -np.sign(differences) * ranks / np.arange(1, n + 1)
    wealth = np.log1p(_BETS[:, None] * scores[..., None, :]).cumsum(axis=-1)
    return np.asarray(np.exp(wealth).mean(axis=-2))


def sequential_p(differences: FloatArray, luck: RowLuck | None = None) -> float:
    """One-sided p-value of "differences are not below 0" that holds at any number of looks.

    With the luck of the rows known, a level rejects where the wealth of :func:`evidence` for differences below the
    most that the rows may do by themselves at that level exceeds 1 / level.

    Args:
        differences: in the order of the repetitions, shape (S,).
        luck: of the test rows; None for losses on other rows in each repetition.
    """
    if luck is None or luck.variance == 0:
        return float(min(1.0, 1 / np.max(evidence(differences))))
    bounds = stats.t.isf(_LEVELS, luck.df).clip(0) * luck.error
    reached = evidence(differences + bounds[:, None]).max(axis=-1) >= 1 / _LEVELS
    return float(_LEVELS[np.argmax(reached)]) if reached.any() else 1.0


def bound(luck: RowLuck | None, level: float) -> float:
    """The most that the luck of the rows makes of no difference, but for a chance of ``level``."""
    return 0.0 if luck is None else max(0.0, float(stats.t.isf(level, luck.df))) * luck.error
