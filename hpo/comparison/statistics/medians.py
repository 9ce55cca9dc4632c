"""Medians of losses and their differences, with intervals that hold for any distribution, or nearly."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hpo.comparison.statistics.losses import (
    Band,
    FloatArray,
    Interval,
    check_fraction,
    checked,
    differences,
    minus,
    two_samples,
)


def median_interval(values: ArrayLike, confidence: float = 0.95, axis: int = 0) -> Band:
    """Median, and the narrowest symmetric pair of order statistics that holds the true one with this confidence.

    The confidence is a lower bound for any distribution: at 95%, 20 repetitions have 95.9%, 10 have 97.9%. Where there
    are too few for any pair (below 6 at 95%) the ends are -inf and +inf.

    Args:
        values: losses of any shape; inf is allowed.
        confidence: two-sided.
        axis: which one the repetitions are along; the answer's arrays lack it.
    """
    check_fraction("confidence", confidence)
    return _median_band(checked("values", values, n_dimensions=None), confidence, axis)


def _median_band(values: FloatArray, confidence: float, axis: int = 0) -> Band:
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)
    n = len(ordered)
    k = _order_statistic(n, confidence)
    nothing = np.full_like(ordered[0], np.inf)
    return Band(_middle(ordered), ordered[k - 1] if k else -nothing, ordered[n - k] if k else nothing)


def _middle(ordered: FloatArray) -> FloatArray:
    """The median along the first axis of what is in order; between -inf and +inf it is 0."""
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    with np.errstate(invalid="ignore"):
        middle = np.where(below == above, below, (below + above) / 2)
    return np.where(np.isnan(middle), 0.0, middle)


def _order_statistic(n: int, confidence: float) -> int:
    """The largest k for which the k-th lowest and k-th highest of n hold the median that surely; 0 for none."""
    ks = np.arange(1, n // 2 + 1)
    return int(np.sum(2 * special.bdtr(ks - 1, n, 0.5) <= 1 - confidence))


def median_difference(a: ArrayLike, b: ArrayLike, paired: bool = False, confidence: float = 0.95) -> Interval:
    """How much larger the losses of ``a`` are.

    Paired: the median of the differences, between their order statistics, as :func:`median_interval`.

    Unpaired: the difference of the medians. Their intervals (order statistics, interpolated to the wanted confidence;
    Hettmansperger and Sheather 1986, Statistics & Probability Letters 4:75) are joined by MOVER (Zou and Donner 2008,
    Statistics in Medicine 27:1693). ``python -m benchmarks.honesty`` has its coverage. Infinite ends below 3
    repetitions. Price and Bonett's (2002) interval is shorter, but too short for losses with many ties; that of Hodges
    and Lehmann is of a shift, and misses where the two distributions differ in shape.

    Args:
        a, b: losses, shape (Sa,) and (Sb,); paired, Sa = Sb.
        paired: as in :func:`superiority`.
        confidence: two-sided.
    """
    a, b = two_samples(a, b, paired)
    check_fraction("confidence", confidence)
    if paired:
        band = _median_band(differences(a, b), confidence)
        return Interval(float(band.estimate), float(band.low), float(band.high))
    of_a, of_b = _interpolated(np.sort(a), confidence), _interpolated(np.sort(b), confidence)
    if math.isinf(of_a.estimate) or math.isinf(of_b.estimate):  # no arms to square: every difference that is possible
        return Interval(minus(of_a.estimate, of_b.estimate), minus(of_a.low, of_b.high), minus(of_a.high, of_b.low))
    estimate = of_a.estimate - of_b.estimate
    below = math.hypot(of_a.estimate - of_a.low, of_b.high - of_b.estimate)
    above = math.hypot(of_a.high - of_a.estimate, of_b.estimate - of_b.low)
    return Interval(estimate, estimate - below, estimate + above)


def _interpolated(ordered: FloatArray, confidence: float) -> Interval:
    """A median whose interval ends between two order statistics, so that its confidence is about the wanted one."""
    n, middle = len(ordered), float(_middle(ordered))
    k = _order_statistic(n, confidence)
    if n < 3:
        return Interval(middle, -math.inf, math.inf)
    if not k:  # even the range is not that sure: as much wider as a normal deviate would be
        ratio = float(special.ndtri((1 - confidence) / 2) / special.ndtri(0.5**n))
        low, high = (minus(float(end), middle) * ratio for end in (ordered[0], ordered[-1]))
        return Interval(
            middle, middle if low == 0 else -math.inf if math.isinf(middle) else middle + low, middle + high
        )
    surer, less = (1 - 2 * float(special.bdtr(end, n, 0.5)) for end in (k - 1, k))
    share = (surer - confidence) / (surer - less)
    share = (n - k) * share / (k + (n - 2 * k) * share)
    low, high = (
        float(outer if math.isinf(inner) or math.isinf(outer) else (1 - share) * outer + share * inner)
        for outer, inner in ((ordered[k - 1], ordered[k]), (ordered[n - k], ordered[n - k - 1]))
    )
    return Interval(middle, low, high)
