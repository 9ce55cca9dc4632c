"""Advice on the budget, from stored runs alone: what was gained, and what more trials may bring."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hpo.comparison import measures

BUDGETS = (20, 50, 100, 200)  # trials for which a sampler is advised, as far as the runs go
_SETTLED = 0.05  # of the improvement over the reference: what is left when a curve counts as flat, without a margin
_RESAMPLES = 2000
_SEED = 20062
Array = np.ndarray[Any, Any]


def doublings(curves: pd.DataFrame, reference: float, budget: int, margin: float | None) -> pd.DataFrame:
    """What the last doubling of the budget brought, and what the next is expected to bring, for each sampler.

    Near the best possible value the distribution of random search's losses is about a power; the mean loss of the best
    of m then falls by the same factor whenever m doubles. So the next gain is the last one times the ratio of the last
    to the one before, at most 1. Gains are means over repetitions; intervals a bootstrap over them.

    Args:
        curves: as of :func:`hpo.comparison.measures.curves`.
        reference: median value of the reference, the scorer's sign.
        budget: trials of each run.
        margin: the smallest difference that matters, or None.

    Returns:
        One row per sampler: sampler, budget, gain, gain_low, gain_high (from half the budget to all of it),
        next_gain, next_gain_low, next_gain_high (from the budget to twice as many; 95%, NaN below 10 repetitions),
        flat_from (the first trial from which the median incumbent is within the margin of its end; without a
        margin, within a twentieth of its improvement over the reference; NaN where it did not improve on it).
    """
    rows = []
    for sampler in curves["sampler"].unique():
        own = curves[curves["sampler"] == sampler]
        wide = own.pivot(index="trial", columns="repetition", values="incumbent")
        wide = wide.reindex(range(1, budget + 1)).ffill()
        losses = measures.as_losses(wide)
        quarter, half = (losses[max(budget // part, 1) - 1] for part in (4, 2))
        before, last = _gains(quarter, half), _gains(half, losses[-1])
        gain, gain_low, gain_high = _with_interval((last,), _mean)
        following, low, high = _with_interval((before, last), _next_gain)
        rows.append(
            {
                "sampler": sampler,
                "budget": budget,
                "gain": gain,
                "gain_low": gain_low,
                "gain_high": gain_high,
                "next_gain": following,
                "next_gain_low": low,
                "next_gain_high": high,
                "flat_from": _flat_from(np.median(losses, axis=1), -reference, margin),
            }
        )
    return pd.DataFrame(rows)


def _gains(earlier: Array, later: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(earlier - later)


def _mean(gains: Array) -> Array:
    return np.asarray(np.mean(gains, axis=-1))


def _next_gain(before: Array, last: Array) -> Array:
    """The last mean gain once more, shrunk as it shrank from the one before."""
    first, second = _mean(before), _mean(last)
    ratio = np.divide(second, first, out=np.ones_like(second), where=first > 0)
    return np.asarray(second * np.clip(ratio, 0, 1))


def _with_interval(samples: tuple[Array, ...], statistic: Callable[..., Array]) -> tuple[float, float, float]:
    """A statistic of repetitions with its bootstrap interval; NaN where a repetition has no finite gain."""
    if not all(np.isfinite(sample).all() for sample in samples):
        return np.nan, np.nan, np.nan
    estimate = float(statistic(*(sample[None] for sample in samples))[0])
    n = len(samples[0])
    if n < measures.FEWEST_FOR_BOOTSTRAP:
        return estimate, np.nan, np.nan
    chosen = np.random.default_rng(_SEED).integers(n, size=(_RESAMPLES, n))
    drawn = statistic(*(sample[chosen] for sample in samples))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return estimate, float(low), float(high)


def _flat_from(medians: Array, reference: float, margin: float | None) -> float:
    end = medians[-1]
    left = margin if margin is not None else _SETTLED * (reference - end)
    if not np.isfinite(end) or not left > 0:
        return np.nan
    return float(np.argmax(medians - end <= left) + 1)
