"""Which of two samples of losses tends to be lower, how surely, and how many repetitions it takes to tell."""

import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from hpo.comparison.statistics.losses import (
    FloatArray,
    Interval,
    check_fraction,
    differences,
    largest_finite,
    merged_ties,
    two_samples,
)

Alternative = Literal["two-sided", "less"]
EXACT_UP_TO = 50  # repetitions; beyond, the normal approximation of the rank tests is as good


def superiority(a: ArrayLike, b: ArrayLike, paired: bool = False, confidence: float = 0.95) -> Interval:
    """Probability that a loss of ``a`` is below one of ``b``, ties counting one half.

    Paired, the interval is Wilson's (1927) of the share of repetitions won. Unpaired, it is method 5 of Newcombe
    (2006, Statistics in Medicine 25:559), which holds what it promises at 5 repetitions, where bootstraps do not.

    Args:
        a, b: losses, shape (Sa,) and (Sb,); paired, repetition r of both is the same split, and Sa = Sb.
        paired: whether to compare within repetitions only.
        confidence: of the interval, two-sided.
    """
    a, b = two_samples(a, b, paired)
    check_fraction("confidence", confidence)
    z = -float(special.ndtri((1 - confidence) / 2))
    if paired:
        estimate = float(np.mean(a < b) + np.mean(a == b) / 2)
        return Interval(estimate, _wilson_low(estimate, len(a), z), 1 - _wilson_low(1 - estimate, len(a), z))
    n_lost, n_lost_or_tied = (np.searchsorted(np.sort(b), a, side=side).sum() for side in ("left", "right"))
    estimate = float(1 - (n_lost + n_lost_or_tied) / (2 * len(a) * len(b)))
    low, high = (_newcombe_low(p, len(a), len(b), z) for p in (estimate, 1 - estimate))
    return Interval(estimate, low, 1 - high)


def _wilson_low(p: float, n: int, z: float) -> float:
    center, radius = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, (center - radius) / (1 + z**2 / n))


def _newcombe_low(p: float, n_a: int, n_b: int, z: float) -> float:
    """The smallest t with ``abs(p - t) <= z sqrt(V(t))``; the largest is the mirror image."""
    if p == 0:
        return 0.0
    n = (n_a + n_b) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + n * (1 - t) / (2 - t) + n * t / (1 + t)) / (n_a * n_b)
        return (p - t) ** 2 - z**2 * variance

    # p = 1 is itself a root: stay so far below it that the variance outweighs the square for certain
    highest = min(p, 1 - min(1.0, z**2 / (n_a * n_b)) / 4)
    return float(optimize.brentq(excess, 0.0, highest, xtol=1e-14))


@overload
def speedup(superiority: float) -> float: ...
@overload
def speedup(superiority: Interval) -> Interval: ...
def speedup(superiority: Interval | float) -> Interval | float:
    """How many times the trials random search needs to be as good: P / (1 - P), infinite where P is 1.

    The best of r B independent draws beats the best of B others with probability r / (1 + r), whatever their
    distribution. Ends of an interval are transformed with it.

    Args:
        superiority: P against random search at the same budget, a number or an interval; the answer is alike.
    """
    if isinstance(superiority, Interval):
        return Interval(*(speedup(p) for p in (superiority.estimate, superiority.low, superiority.high)))
    if not 0 <= superiority <= 1:
        raise ValueError(f"superiority={superiority!r} is not a probability: give a number from 0 to 1")
    return superiority / (1 - superiority) if superiority < 1 else math.inf


# --- p-values ---


def superiority_test(
    a: ArrayLike,
    b: ArrayLike,
    paired: bool = False,
    *,
    tolerance: float = 0.0,
    alternative: Alternative = "two-sided",
) -> float:
    """P-value of "neither is better": Wilcoxon's signed ranks if paired, else Mann and Whitney's ranks.

    Up to 50 repetitions it comes from all permutations, ties and zeros included (zeros as ``zsplit`` of scipy's
    ``wilcoxon``). They are counted by the shift algorithm of Streitberg and Röhmel (1986), not drawn, so that the order
    of repetitions changes nothing. Beyond that, from scipy's normal approximation. 1 where all are equal.

    Args:
        a, b: losses, shape (Sa,) and (Sb,); paired, Sa = Sb.
        paired: as in :func:`superiority`.
        tolerance: sizes of differences nearer than this tie: 0.3 - 0.2 and 0.2 - 0.1 differ in their last digit.
        alternative: ``"less"`` is one-sided, for losses of ``a`` that are lower.
    """
    a, b = two_samples(a, b, paired)
    if paired:
        nearest = max(tolerance, 8 * np.finfo(float).eps * largest_finite(a, b))
        return _signed_rank_p(differences(a, b), nearest, alternative)
    return _rank_sum_p(a, b, alternative)


def _signed_rank_p(gains: FloatArray, tolerance: float, alternative: Alternative) -> float:
    is_other = gains != 0
    if not is_other.any():
        return 1.0
    sizes = np.zeros(len(gains))
    sizes[is_other] = merged_ties(np.abs(gains[is_other]), tolerance)
    signed = np.sign(gains) * stats.rankdata(sizes)
    if len(gains) > EXACT_UP_TO:
        method: Any = "asymptotic"  # which scipy-stubs 1.17 does not know beside an alternative
        return float(stats.wilcoxon(signed, zero_method="zsplit", alternative=alternative, method=method).pvalue)
    doubled = np.rint(2 * np.abs(signed[is_other])).astype(int)
    shares = np.zeros(doubled.sum() + 1)  # of sign patterns, by the doubled rank sum of the positive
    shares[0] = 1.0
    for rank in doubled:
        shares /= 2
        shares[rank:] += shares[:-rank]
    return _tail(shares, int(doubled[signed[is_other] > 0].sum()), alternative)


def _rank_sum_p(a: FloatArray, b: FloatArray, alternative: Alternative) -> float:
    pooled = np.concatenate([a, b])
    if (pooled == pooled[0]).all():
        return 1.0
    ranks = stats.rankdata(pooled)
    if max(len(a), len(b)) > EXACT_UP_TO:
        first, second = ranks[: len(a)], ranks[len(a) :]
        return float(stats.mannwhitneyu(first, second, alternative=alternative, method="asymptotic").pvalue)
    doubled = np.rint(2 * ranks).astype(int)
    doubled -= doubled.min()
    counts = np.zeros((len(a) + 1, np.sort(doubled)[len(b) :].sum() + 1))  # of choices: how many ranks, and their sum
    counts[0, 0] = 1.0
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank]
    return _tail(counts[-1] / counts[-1].sum(), int(doubled[: len(a)].sum()), alternative)


def _tail(shares: FloatArray, observed: int, alternative: Alternative) -> float:
    """The lower tail, or twice the smaller one, up to 1, as scipy's permutation tests have it."""
    if alternative == "less":
        return float(min(1.0, shares[: observed + 1].sum()))
    return float(min(1.0, 2 * min(shares[: observed + 1].sum(), shares[observed:].sum())))


# --- how many repetitions ---


def fewest_repetitions(n_comparisons: int, paired: bool, alpha: float = 0.05) -> int:
    """The fewest repetitions at which :func:`superiority_test` can be below ``alpha`` after Holm's correction.

    Args:
        n_comparisons: size of the family: K - 1 against a baseline, K (K - 1) / 2 for all pairs of K samplers.
        paired: whether the repetitions are.
        alpha: significance level of the family.
    """
    if n_comparisons < 1:
        raise ValueError(f"n_comparisons={n_comparisons!r}: give 1 or more")
    check_fraction("alpha", alpha)
    n = 1
    while n_comparisons * 2 / (2**n if paired else math.comb(2 * n, n)) >= alpha:
        n += 1
    return n


def required_repetitions(p: float, power: float = 0.8, *, alpha: float = 0.05, paired: bool = False) -> float:
    """Repetitions (per sampler) at which a true probability of superiority is found with this power.

    Unpaired: Noether (1987, JASA 82:645) for the Mann-Whitney test, ``(z_alpha/2 + z_power)^2 / (6 (p - 1/2)^2)``.
    Paired, p alone does not decide the power of the signed-rank test, which that formula overrates with heavy tails;
    and Wilson's interval counts wins. So it is the exact sign test that has to have the power: at this number of
    repetitions and at every larger one.

    Returns:
        A whole number, at least :func:`fewest_repetitions` of one comparison; inf where p is 1/2.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p={p!r} is not a probability: give a number from 0 to 1")
    check_fraction("power", power)
    fewest = fewest_repetitions(1, paired, alpha)
    if p == 0.5:
        return math.inf
    n = float(special.ndtri(power) - special.ndtri(alpha / 2)) ** 2 / ((4 if paired else 6) * (p - 0.5) ** 2)
    if not paired or n > 2000:
        return max(fewest, math.ceil(n))
    ns = np.arange(1, 2 * math.ceil(n) + 30)
    critical = np.asarray(stats.binom.ppf(alpha / 2, ns, 0.5))  # the largest significant count of losses, or one above
    critical -= 2 * special.bdtr(critical, ns, 0.5) > alpha
    found = np.where(critical < 0, 0.0, special.bdtr(critical.clip(0), ns, min(p, 1 - p)))
    return max(fewest, int(ns[found < power][-1]) + 1)
