"""Whether one sampler is really better than another: one verdict per pair, by rules fixed before looking."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from hpo.comparison.losses import FloatArray, Interval, checked, largest_finite, merged_ties
from hpo.comparison.statistics import (
    fewest_repetitions,
    holm,
    median_difference,
    required_repetitions,
    speedup,
    superiority,
    superiority_test,
)

POWER = 0.8  # that a verdict of "you need about N repetitions" is to have
MOST_TIES_OF_A_SPEEDUP = 0.2  # beyond, half a win for a tie drives P to 1/2 whatever the samplers do

_NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Rules:
    """What a verdict takes, fixed before looking at any result, and printed.

    Attributes:
        paired: whether repetition r of every sampler had the same split.
        margin: the smallest difference of losses that matters, in the metric's unit; None where nobody said.
        alpha: significance level, of the family of all pairs.
        tie_tolerance: losses nearer than this tie, as a share of the largest finite absolute loss.

    Raises:
        ValueError: a margin or tolerance that is negative or not finite, an alpha outside 0 to 1/2.
    """

    paired: bool
    margin: float | None = None
    alpha: float = 0.05
    tie_tolerance: float = 1e-9

    def __post_init__(self) -> None:
        for name in ("margin", "tie_tolerance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}={value!r} is no difference of losses: give a number, 0 or more")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha={self.alpha!r} is not between 0 and 0.5, both excluded")


@dataclass(frozen=True)
class _Pair:
    """What is measured on one pair, before it is judged."""

    sampler: str
    against: str
    n_repetitions: int
    n_pairs: int
    superiority: Interval
    ties: float
    p_value: float
    difference: Interval
    test_difference: Interval  # or that of the validation, where there is no test
    equivalence: Interval  # narrower, of the same
    is_tied: bool  # every loss, here and on the test


def judge(
    losses: Mapping[str, ArrayLike], test: Mapping[str, ArrayLike] | None, rules: Rules, baseline: str | None = None
) -> pd.DataFrame:
    """One row per pair of samplers: how they differ, and the verdict.

    "real" takes all of: Holm's p below alpha; an interval of the superiority without 1/2; an interval of the difference
    on the test without 0, on the side of the better sampler; and with a margin, a difference on the test beyond it.
    "equivalent" (only with a margin): the interval that two one-sided tests at alpha give lies inside the margin.
    "no difference": every loss ties. Else "inconclusive". Without test losses, validation takes their place.

    Args:
        losses: sampler -> validation loss of its final incumbent in each repetition, shape (S,); +inf without one.
            With paired rules, position r is the same split for all.
        test: sampler -> test loss of the same incumbents, shape (S,); None for a study without test rows.
        rules: fixed before looking.
        baseline: the sampler that each other is compared with; None compares all pairs.

    Returns:
        Columns, differences being loss of ``sampler`` less loss of ``against``, in the metric's unit:

        - sampler, against;
        - superiority, superiority_low, superiority_high: probability that ``sampler`` has the lower loss;
        - ties: share of repetitions (paired) or of pairs of repetitions (unpaired) that tie;
        - p_value, p_holm: two-sided; the family is the table;
        - difference, test_difference, each with _low and _high: of medians, on validation and test (NaN without);
        - equivalence_low, equivalence_high: the narrower interval (90% at alpha 0.05) that "equivalent" is judged by;
        - speedup, speedup_low, speedup_high: P / (1 - P), meant against random; NaN where over 20% tie;
        - verdict, better (None unless real), reason (why it is not real, else "");
        - required_repetitions: where inconclusive, about how many would make a difference as large as this one real
          with 80% power: more than there are; inf where nothing points to a difference (P of 1/2, or a test that does
          not agree). NaN elsewhere.

        With one repetition every number is NaN and the verdict is inconclusive.

    Raises:
        ValueError: NaN, no losses, fewer than two samplers, other samplers or lengths on the test, unknown baseline.
    """
    validation = _merged("losses", losses, rules)
    tested = None if test is None else _merged("test", test, rules)
    _check(validation, tested, baseline)
    names = list(validation)
    chosen = [(name, baseline) for name in names if name != baseline] if baseline else list(combinations(names, 2))
    pairs = [_measured(sampler, against, len(chosen), validation, tested, rules) for sampler, against in chosen]
    p_values = np.array([pair.p_value for pair in pairs])
    corrected = p_values if np.isnan(p_values).any() else holm(p_values)
    rows = [_row(pair, float(p), rules, tested is not None) for pair, p in zip(pairs, corrected, strict=True)]
    frame = pd.DataFrame(rows)
    frame["better"] = pd.Series([row["better"] for row in rows], dtype=object)  # which keeps None as None
    return frame


def _merged(name: str, losses: Mapping[str, ArrayLike], rules: Rules) -> dict[str, FloatArray]:
    """The losses of every sampler, those that tie made equal."""
    arrays = {sampler: checked(f"{name}[{sampler!r}]", values) for sampler, values in losses.items()}
    if len(arrays) < 2:
        raise ValueError(f"{name} has {len(arrays)} sampler(s): give 2 or more")
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{sampler} {len(array)}" for sampler, array in arrays.items())
        raise ValueError(f"{name} differs in repetitions ({lengths}): leave out of all what one lacks")
    merged = merged_ties(np.stack(list(arrays.values())), rules.tie_tolerance * largest_finite(*arrays.values()))
    return dict(zip(arrays, merged, strict=True))


def _check(validation: Mapping[str, FloatArray], test: Mapping[str, FloatArray] | None, baseline: str | None) -> None:
    if test is not None:
        if set(test) != set(validation):
            raise ValueError(f"test has the samplers {', '.join(test)} and losses {', '.join(validation)}")
        sizes = [len(next(iter(losses.values()))) for losses in (validation, test)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"test has {sizes[1]} repetitions and losses {sizes[0]}")
    if baseline is not None and baseline not in validation:
        raise ValueError(f"baseline={baseline!r} is not among the samplers {', '.join(validation)}")


def _measured(
    sampler: str,
    against: str,
    n_pairs: int,
    validation: Mapping[str, FloatArray],
    test: Mapping[str, FloatArray] | None,
    rules: Rules,
) -> _Pair:
    a, b = validation[sampler], validation[against]
    on_test = (a, b) if test is None else (test[sampler], test[against])
    size = len(a)
    if size == 1:
        return _Pair(sampler, against, 1, n_pairs, _NOTHING, math.nan, math.nan, _NOTHING, _NOTHING, _NOTHING, False)
    paired, confidence = rules.paired, 1 - rules.alpha
    tolerance = rules.tie_tolerance * largest_finite(*validation.values())
    return _Pair(
        sampler,
        against,
        size,
        n_pairs,
        superiority=superiority(a, b, paired, confidence),
        ties=float(np.mean(a == b) if paired else np.mean(a[:, None] == b)),
        p_value=superiority_test(a, b, paired, tolerance=tolerance),
        difference=median_difference(a, b, paired, confidence),
        test_difference=median_difference(*on_test, paired, confidence),
        equivalence=median_difference(*on_test, paired, 1 - 2 * rules.alpha),
        is_tied=_all_tie(a, b, paired) and _all_tie(*on_test, paired),
    )


def _all_tie(a: FloatArray, b: FloatArray, paired: bool) -> bool:
    return bool((a == b).all()) if paired else bool((np.concatenate([a, b]) == a[0]).all())


# --- the verdict ---


def _row(pair: _Pair, p_holm: float, rules: Rules, has_test: bool) -> dict[str, Any]:
    reason, verdict = _why_not_real(pair, p_holm, rules, "test difference" if has_test else "difference"), "real"
    if pair.is_tied:
        verdict = "no difference"
    elif rules.margin is not None and -rules.margin < pair.equivalence.low <= pair.equivalence.high < rules.margin:
        verdict, reason = "equivalent", f"the difference lies within the margin of {rules.margin:g}"
    elif reason:
        verdict = "inconclusive"
    better = pair.sampler if pair.superiority.estimate > 0.5 else pair.against
    is_fast = pair.ties <= MOST_TIES_OF_A_SPEEDUP  # False of NaN
    required = _required(pair, rules) if verdict == "inconclusive" and pair.n_repetitions > 1 else math.nan
    return {
        "sampler": pair.sampler,
        "against": pair.against,
        **_columns("superiority", pair.superiority),
        "ties": pair.ties,
        "p_value": pair.p_value,
        "p_holm": p_holm,
        **_columns("difference", pair.difference),
        **_columns("test_difference", pair.test_difference if has_test else _NOTHING),
        "equivalence_low": pair.equivalence.low,
        "equivalence_high": pair.equivalence.high,
        **_columns("speedup", speedup(pair.superiority) if is_fast else _NOTHING),
        "verdict": verdict,
        "better": better if verdict == "real" else None,
        "required_repetitions": required,
        "reason": reason,
    }


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _advantage(pair: _Pair) -> Interval:
    """How much lower the deciding losses are of the one that is superior on validation."""
    found = pair.test_difference
    if pair.superiority.estimate > 0.5:
        return Interval(-found.estimate, -found.high, -found.low)
    return found


def _why_not_real(pair: _Pair, p_holm: float, rules: Rules, difference: str) -> str:
    """The first condition of "real" that fails, as a clause; empty if none does."""
    n, advantage = pair.n_repetitions, _advantage(pair)
    fewest = fewest_repetitions(pair.n_pairs, rules.paired, rules.alpha)
    conditions = {
        "one repetition shows no spread": n == 1,
        "every loss ties": pair.is_tied,
        f"{n} repetitions cannot be significant, {fewest} can": n < fewest,
        f"its p-value is {p_holm:.3g}{' (Holm)' if pair.n_pairs > 1 else ''}": not p_holm < rules.alpha,
        "its interval includes 1/2": pair.superiority.low <= 0.5 <= pair.superiority.high,
        f"the {difference} is the other way": advantage.high < 0,
        f"the {difference} could be 0": not advantage.low > 0,
        f"the {difference} is not beyond the margin": advantage.estimate <= (rules.margin or 0.0),
    }
    return next((clause for clause, fails in conditions.items() if fails), "")


def _required(pair: _Pair, rules: Rules) -> float:
    """Repetitions at which what was measured would be real with 80% power, if it were the truth.

    The larger of what P takes (at the level that Holm's first step has), and of what narrows the interval of the
    difference, which shrinks with the square root of their number, until it leaves 0 out.
    """
    by_rank = required_repetitions(
        pair.superiority.estimate, POWER, alpha=rules.alpha / pair.n_pairs, paired=rules.paired
    )
    advantage = _advantage(pair)
    if not advantage.estimate > (rules.margin or 0.0):
        return math.inf
    arm, by_difference = advantage.estimate - advantage.low, 0.0
    if math.isfinite(arm):  # else there are too few repetitions to know
        ratio = 1 + stats.norm.isf(1 - POWER) / stats.norm.isf(rules.alpha / 2)
        by_difference = math.ceil(pair.n_repetitions * (ratio * arm / advantage.estimate) ** 2)
    return float(max(by_rank, by_difference, pair.n_repetitions + 1))


def withdrawn(verdicts: pd.DataFrame, deterministic: Collection[str]) -> pd.DataFrame:
    """The verdicts, but for those on samplers whose runs on one split are all the same: one run, seen S times."""
    kept = verdicts.copy()
    for i, row in verdicts.iterrows():
        alone = next((name for name in (row["sampler"], row["against"]) if name in deterministic), None)
        if alone is not None and row["verdict"] != "no difference":
            unknown = ["p_value", "p_holm", "superiority_low", "superiority_high", "required_repetitions"]
            kept.loc[i, unknown] = math.nan
            kept.loc[i, ["verdict", "reason"]] = "inconclusive", f"{alone} is deterministic on one split: one run"
            kept.loc[i, "better"] = None
    return kept
