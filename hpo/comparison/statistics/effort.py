"""The statistics of comparing samplers: curves, effort, many comparisons, overtuning; two samples from its neighbours.

Every function takes losses: lower is better, +inf is a failure, NaN is refused with the argument's name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hpo.comparison.statistics.losses import Band, FloatArray, Interval, check_fraction, checked, merged_ties
from hpo.comparison.statistics.medians import median_difference, median_interval
from hpo.comparison.statistics.superiority import (
    fewest_repetitions,
    required_repetitions,
    speedup,
    superiority,
    superiority_test,
)

__all__ = [
    "Band",
    "Friedman",
    "Interval",
    "Overtuning",
    "TimeToTarget",
    "expected_best",
    "fewest_repetitions",
    "friedman",
    "holm",
    "incumbent",
    "median_difference",
    "median_interval",
    "merged_ties",
    "nemenyi_cd",
    "overtuning",
    "required_repetitions",
    "speedup",
    "superiority",
    "superiority_test",
    "time_to_target",
]

FEWEST_STUDIES = 5  # for a p-value across studies


def incumbent(losses: ArrayLike) -> FloatArray:
    """The lowest loss so far at each trial; inf until one succeeds.

    Args:
        losses: of the trials in order, shape (T,), or (S, T) for S runs.
    """
    return np.minimum.accumulate(checked("losses", losses, n_dimensions=None), axis=-1)


def holm(p_values: ArrayLike) -> FloatArray:
    """P-values corrected for their number by Holm's (1979) step-down method, in the order given, shape (M,)."""
    values = checked("p_values", p_values)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p_values contains a number outside 0 to 1")
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return corrected


# --- effort ---


@dataclass(frozen=True)
class TimeToTarget:
    """When runs first reach a target, in the unit of their budgets (trials, seconds).

    Attributes:
        success_rate: share of the runs that reach it within their budget.
        median: by Kaplan and Meier (1958); inf where fewer than half reach it.
        restricted_mean: mean of the time spent, up to the target or to the smallest budget.
        expected_running_time: what all runs spent for each success, inf without one (Hansen et al. 2021, COCO).
    """

    success_rate: float
    median: float
    restricted_mean: float
    expected_running_time: float


def time_to_target(hits: "ArrayLike | Sequence[float | None]", budgets: ArrayLike) -> TimeToTarget:
    """Summarise when runs reached their targets; a run that did not is censored at its budget, not left out.

    Args:
        hits: for each run the first time at or below its target, None or NaN for a miss; shape (S,).
        budgets: how far each run went, shape (S,) or one for all.

    Raises:
        ValueError: no run, a budget that is not positive and finite, a hit that is negative or beyond the budget.
    """
    times = np.asarray([math.nan if hit is None else hit for hit in np.asarray(hits, dtype=object).ravel()], float)
    if not times.size:
        raise ValueError("hits is empty: give the time of each run, None for a miss")
    ends = checked("budgets", budgets, n_dimensions=None)
    if ends.shape not in ((), times.shape):
        raise ValueError(f"budgets has shape {ends.shape}: give one, or one for each of {len(times)} runs")
    ends = np.broadcast_to(ends, times.shape)
    if not ((ends > 0) & np.isfinite(ends)).all():
        raise ValueError("budgets contains a number that is not positive and finite")
    is_hit = ~np.isnan(times)
    if (times[is_hit] < 0).any() or (times[is_hit] > ends[is_hit]).any():
        raise ValueError("hits contains a time that is negative or beyond its budget: give None for a miss")
    spent = np.where(is_hit, times, ends)
    n_hits = int(is_hit.sum())
    return TimeToTarget(
        success_rate=n_hits / len(times),
        median=_kaplan_meier_median(times[is_hit], ends[~is_hit]),
        restricted_mean=float(np.minimum(spent, np.min(ends)).mean()),
        expected_running_time=float(spent.sum()) / n_hits if n_hits else math.inf,
    )


def _kaplan_meier_median(hits: FloatArray, censored: FloatArray) -> float:
    """The first time at which at most half are left; inf where that is never so."""
    if not len(hits):
        return math.inf
    left = stats.ecdf(stats.CensoredData(uncensored=hits, right=censored)).sf
    reached = left.quantiles[left.probabilities <= 0.5 + 1e-12]  # a product of shares may end a digit above
    return float(reached[0]) if len(reached) else math.inf


@overload
def expected_best(losses: ArrayLike, m: int) -> float: ...
@overload
def expected_best(losses: ArrayLike, m: Sequence[int] | NDArray[np.integer]) -> FloatArray: ...
def expected_best(losses: ArrayLike, m: int | Sequence[int] | NDArray[np.integer]) -> float | FloatArray:
    """Expected lowest loss of m random trials, unbiased, from N of them.

    The mean of the minimum over all choices of m of the N: sum over j of ``y(j) C(N - j, m - 1) / C(N, m)``, with y in
    order (Dodge et al. 2019, EMNLP, there with replacement, which is biased). inf where all m may have failed.

    Args:
        losses: of independent random trials, shape (N,), order irrelevant.
        m: how many trials, 1 to N; or several, and the answer is an array.
    """
    ordered = np.sort(checked("losses", losses))
    sizes = np.asarray(m)
    n, n_failed = len(ordered), int(np.isinf(ordered).sum())
    if not np.issubdtype(sizes.dtype, np.integer) or not sizes.size:
        raise ValueError(f"m={m!r}: give a whole number of trials, or several")
    if sizes.min() < 1 or sizes.max() > n:
        raise ValueError(f"m is {sizes.min()} to {sizes.max()}: from {n} losses, give 1 to {n}")
    best = np.array([_expected_minimum(ordered, int(size), n_failed) for size in sizes.ravel()])
    return best.reshape(sizes.shape) if sizes.shape else float(best[0])


def _expected_minimum(ordered: FloatArray, m: int, n_failed: int) -> float:
    if n_failed >= m:
        return math.inf
    n = len(ordered)
    later = np.arange(1, n - m + 1)  # each weight from the one before: no binomial coefficient is ever formed
    weights = (m / n) * np.concatenate([[1.0], np.cumprod((n - later - m + 1) / (n - later))])
    return float(weights @ ordered[: n - m + 1])


# --- across studies ---


@dataclass(frozen=True)
class Friedman:
    """Whether samplers differ across studies.

    Attributes:
        ranks: mean rank of each sampler, 1 the best, shape (K,).
        chi2: Friedman's statistic, not corrected for ties (which errs to the safe side).
        iman_davenport: their F statistic, less conservative; inf where all studies rank alike.
        p_value: of F with K - 1 and (K - 1)(N - 1) degrees of freedom; NaN below 5 studies.
    """

    ranks: FloatArray
    chi2: float
    iman_davenport: float
    p_value: float


def friedman(scores: ArrayLike) -> Friedman:
    """Friedman's test with Iman and Davenport's correction, as Demšar (2006, JMLR 7:1) has them.

    Args:
        scores: losses (one median per study), shape (studies, samplers); ties take their mean rank.
    """
    values = checked("scores", scores, n_dimensions=2)
    n, k = values.shape
    if k < 2:
        raise ValueError(f"scores has {k} sampler: give 2 columns or more")
    ranks = stats.rankdata(values, axis=1).mean(axis=0)
    chi2 = float(12 * n / (k * (k + 1)) * ((ranks - (k + 1) / 2) ** 2).sum())
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    p_value = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))) if n >= FEWEST_STUDIES else math.nan
    return Friedman(ranks, chi2, f, p_value)


def nemenyi_cd(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks of k samplers over n studies (Demšar 2006), for drawing only."""
    if k < 2 or n < 1:
        raise ValueError(f"k={k!r}, n={n!r}: give 2 samplers and 1 study, or more")
    check_fraction("alpha", alpha)
    return float(stats.studentized_range.isf(alpha, k, math.inf)) * math.sqrt(k * (k + 1) / (12 * n))


# --- overtuning ---


@dataclass(frozen=True)
class Overtuning:
    """How much of its best test loss a run lost again by believing the validation (Schneider et al. 2025, AutoML).

    Attributes:
        absolute: test loss of the last incumbent, less the lowest of any incumbent; 0 or more.
        relative: that over ``improvement``; above 1, the last incumbent is worse than the first.
            NaN where the improvement is not above the tolerance.
        improvement: test loss of the first incumbent, less the lowest of any incumbent.
        gap: test less validation loss of the last incumbent (there "meta-overfitting").
    """

    absolute: float
    relative: float
    improvement: float
    gap: float


def overtuning(validation: ArrayLike, test: ArrayLike, tolerance: float = 0.0) -> Overtuning:
    """The overtuning of one run; all NaN where no trial succeeded.

    Args:
        validation: loss of each trial, or of the incumbent at each trial, shape (T,).
        test: test loss of the incumbent at each trial, shape (T,); before the first success it is not read.
        tolerance: improvements up to this are none.
    """
    best, of_test = incumbent(checked("validation", validation)), checked("test", test)
    if len(best) != len(of_test):
        raise ValueError(f"test has {len(of_test)} losses and validation {len(best)}: give one for each trial")
    of_test, best = of_test[np.isfinite(best)], best[np.isfinite(best)]
    if not len(best):
        return Overtuning(math.nan, math.nan, math.nan, math.nan)
    lowest = np.min(of_test)
    absolute, improvement = (0.0 if end == lowest else float(end - lowest) for end in (of_test[-1], of_test[0]))
    relative = math.nan
    if improvement > tolerance and not (math.isinf(absolute) and math.isinf(improvement)):
        relative = absolute / improvement
    return Overtuning(absolute, relative, improvement, float(of_test[-1] - best[-1]))
