"""The one p-value of a pair of samplers, and how many repetitions would make it small."""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

from hpo.comparison.statistics.effort import fewest_repetitions, superiority, superiority_test
from hpo.comparison.statistics.evidence import RowLuck, row_test, sequential_p
from hpo.comparison.statistics.losses import FloatArray, Interval, differences, merged_ties

POWER = 0.8  # that the number of repetitions that is said to be needed is to have
# A test that holds at any number of looks takes about so many more repetitions (benchmarks.honesty).
_PRICE_OF_LOOKING = 1.8

Looks = Literal["once", "any", "again"]
Pair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class PairTest:
    """Whether two samplers differ, with what it takes to say how many repetitions would tell.

    Attributes:
        n: repetitions.
        paired, looks: as in :class:`hpo.comparison.verdicts.Rules`.
        sign: -1 where the first has the lower losses, 1 where the second has, 0 where neither.
        p_validation: two-sided; p_test: one-sided, in that direction, NaN without test losses.
        p_value: the larger of those that count.
        lead: by ranks on validation: the probability that the mean of two differences favours the better one, or,
            unpaired, that its loss is lower; ``lead_error`` its standard error. NaN where validation does not count.
        gain: mean advantage of the better one in the losses that decide; ``variance`` of it over repetitions. NaN where
            a run failed.
        luck: of the test rows, where it is known.
        deciding: differences of the losses that decide, repetition by repetition, shape (n,).
    """

    n: int
    paired: bool
    looks: Looks
    sign: int
    p_validation: float
    p_test: float
    p_value: float
    lead: float
    lead_error: float
    gain: float
    variance: float
    luck: RowLuck | None
    deciding: FloatArray

    @classmethod
    def none(cls) -> "PairTest":
        """Of one repetition."""
        unknown = (math.nan,) * 7
        return cls(1, True, "once", 0, *unknown, None, np.zeros(1))

    def fewest(self, alpha: float) -> int:
        """The fewest repetitions at which the p-value can be below alpha."""
        if self.looks == "once":
            return fewest_repetitions(1, self.paired, min(2 * alpha, 0.999) if math.isnan(self.lead) else alpha)
        return fewest_looks(alpha if self.looks == "any" else alpha / 2)

    def p_within(self, margin: float) -> float:
        """P-value, at any number of looks, of "the losses that decide differ by the margin or more"."""
        below, above = self.deciding - margin, -self.deciding - margin
        return max(sequential_p(below, self.luck), sequential_p(above, self.luck))


@functools.cache
def fewest_looks(alpha: float) -> int:
    """The fewest repetitions at which a two-sided p-value that holds at any number of looks can be below alpha."""
    n = 1
    while 2 * sequential_p(-np.arange(1.0, n + 1)) >= alpha:
        n += 1
    return n


def row_luck(a: FloatArray | None, b: FloatArray | None) -> RowLuck | None:
    """The luck of the rows in a difference of two losses by row; None where one is not known, or on other rows."""
    return None if a is None or b is None or len(a) != len(b) or len(a) < 2 else RowLuck.of(a - b)


def widened(interval: Interval, luck: RowLuck | None, confidence: float) -> Interval:
    """An interval over repetitions, with the luck of the rows."""
    if luck is None or not all(map(math.isfinite, (interval.estimate, interval.low, interval.high))):
        return interval
    of_rows = float(stats.t.isf((1 - confidence) / 2, luck.df)) * luck.error
    below, above = interval.estimate - interval.low, interval.high - interval.estimate
    return Interval(
        interval.estimate,
        interval.estimate - math.hypot(below, of_rows),
        interval.estimate + math.hypot(above, of_rows),
    )


def pair_test(
    a: FloatArray,
    b: FloatArray,
    test: Pair | None,
    luck: RowLuck | None,
    *,
    paired: bool,
    looks: Looks,
    by_test: bool,
    tolerance: float,
) -> PairTest:
    """Test a pair of samplers on validation and on the test.

    Args:
        a, b: losses on validation, shape (n,).
        test: losses on the test; None where validation takes its place.
        luck: of the test rows, or None.
        paired, looks, by_test, tolerance: as in :class:`hpo.comparison.verdicts.Rules`; the tolerance is absolute.
    """
    deciding = (a, b) if test is None else test
    directed = deciding if by_test else (a, b)
    sign = _direction(*directed, paired, tolerance)
    better = deciding if sign <= 0 else deciding[::-1]
    if looks == "once":
        p_validation = superiority_test(a, b, paired, tolerance=tolerance)
        p_test = superiority_test(*better, paired, tolerance=tolerance, alternative="less")
        p_test = max(p_test, _p_of_rows(*better, luck, paired))
    else:
        price = 1.0 if looks == "any" else 2.0
        d = differences(a, b)
        p_validation = min(1.0, 2 * price * min(sequential_p(d), sequential_p(-d)))
        p_test = min(1.0, price * sequential_p(differences(*better), luck))
    lead, lead_error = (math.nan, math.nan) if by_test else _lead(a, b, paired, tolerance)
    gain, variance = _gain(*better, paired)
    if by_test:
        p_value = p_test
    else:
        p_value = p_validation if test is None else max(p_validation, p_test)
    p_test = math.nan if test is None else p_test
    d = differences(*deciding)
    return PairTest(
        len(a), paired, looks, sign, p_validation, p_test, p_value, lead, lead_error, gain, variance, luck, d
    )


def _direction(a: FloatArray, b: FloatArray, paired: bool, tolerance: float) -> int:
    """-1 where the losses of ``a`` are lower by ranks, 1 where they are higher."""
    lower, higher = (superiority_test(*p, paired, tolerance=tolerance, alternative="less") for p in ((a, b), (b, a)))
    return 0 if lower == higher else -1 if lower < higher else 1


def _p_of_rows(better: FloatArray, worse: FloatArray, luck: RowLuck | None, paired: bool) -> float:
    """With the luck of the rows; 0 where that is not known, or a run failed: then the ranks decide alone."""
    gain, variance = _gain(better, worse, paired)
    if luck is None or math.isnan(gain):
        return 0.0
    return row_test(-gain, variance, len(better) - 1, luck)


def _gain(better: FloatArray, worse: FloatArray, paired: bool) -> tuple[float, float]:
    """Mean advantage, and its variance over repetitions."""
    if not (np.isfinite(better).all() and np.isfinite(worse).all()):
        return math.nan, math.nan
    n = len(better)
    if paired:
        return float(np.mean(worse - better)), float(np.var(worse - better, ddof=1)) / n
    return float(np.mean(worse) - np.mean(better)), float(np.var(worse, ddof=1) + np.var(better, ddof=1)) / n


def _lead(a: FloatArray, b: FloatArray, paired: bool, tolerance: float) -> tuple[float, float]:
    """By how much the better leads by ranks, 0.5 to 1, and the standard error of that where neither leads."""
    n = len(a)
    if not paired:
        p = superiority(a, b).estimate
        return max(p, 1 - p), math.sqrt((2 * n + 1) / (12 * n**2))
    d = differences(a, b)
    sizes = np.where(d == 0, 0.0, merged_ties(np.abs(d), tolerance))
    share = float((stats.rankdata(sizes) * (np.sign(d) + 1) / 2).sum()) / (n * (n + 1) / 2)
    return max(share, 1 - share), math.sqrt(n * (n + 1) * (2 * n + 1) / 24) / (n * (n + 1) / 2)


# --- how many repetitions ---


def needed(tested: PairTest, alpha: float, *, margin: float = 0.0) -> tuple[float, float, float]:
    """Repetitions at which what was measured would be real with 80% power, if it were the truth; and from, to.

    The larger of what the ranks on validation take (Noether 1987, JASA 82:645) and what the mean on the test takes,
    whose variance falls with the repetitions but for the luck of the rows. The range is that of a lead and a gain one
    standard error larger and smaller.

    Args:
        tested: a pair.
        alpha: of one pair, at Holm's first step.
        margin: that the gain must exceed.
    """
    estimate, low, high = (_needed(tested, alpha, margin, errors) for errors in (0.0, 1.0, -1.0))
    return estimate, min(low, estimate), max(high, estimate)


def _needed(tested: PairTest, alpha: float, margin: float, errors: float) -> float:
    beyond = float(special.ndtri(POWER))
    two_sided, one_sided = (float(-special.ndtri(level)) + beyond for level in (alpha / 2, alpha))
    by_rank = by_mean = 0.0
    if not math.isnan(tested.lead):
        lead = tested.lead - 0.5 + errors * tested.lead_error
        by_rank = two_sided**2 / ((3 if tested.paired else 6) * lead**2) if lead > 1e-9 else math.inf
    if not math.isnan(tested.gain):
        of_rows = 0.0 if tested.luck is None else tested.luck.variance
        gain = tested.gain + errors * math.sqrt(of_rows + tested.variance)
        left = (gain / one_sided) ** 2 - of_rows
        by_mean = tested.n * tested.variance / left if gain > margin and left > 0 else math.inf
    price = 1.0 if tested.looks == "once" else _PRICE_OF_LOOKING
    most = max(by_rank, by_mean) * price
    return most if math.isinf(most) else float(max(math.ceil(most), tested.n + 1, tested.fewest(alpha)))
