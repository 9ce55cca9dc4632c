"""Whether one sampler is really better than another: one verdict per pair, by rules fixed before looking."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpo.comparison.statistics.effort import (
    holm,
    median_difference,
    speedup,
    superiority,
)
from hpo.comparison.statistics.losses import FloatArray, Interval, checked, largest_finite, merged_ties
from hpo.comparison.statistics.pair_tests import PairTest, needed, pair_test, row_luck, widened
from hpo.units import counted

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
        looks: how often the repetitions are looked at. ``"once"``; ``"any"``: the p-values hold at any number of
            looks; ``"again"``: likewise, after a first look that has spent half of what may go wrong.
        by_test: the test alone decides: against a reference, validation rows flatter what was chosen by them.

    Raises:
        ValueError: a margin or tolerance that is negative or not finite, an alpha outside 0 to 1/2.
    """

    paired: bool
    margin: float | None = None
    alpha: float = 0.05
    tie_tolerance: float = 1e-9
    looks: Literal["once", "any", "again"] = "once"
    by_test: bool = False

    def __post_init__(self) -> None:
        for name in ("margin", "tie_tolerance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}={value!r} is not a difference of losses: give a number, 0 or more")
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
    test_superiority: Interval
    ties: float
    tested: PairTest
    difference: Interval
    test_difference: Interval  # or that of the validation, where there is no test
    equivalence: Interval  # narrower, of the same
    is_tied: bool  # every loss, here and on the test


def judge(
    losses: Mapping[str, ArrayLike],
    test: Mapping[str, ArrayLike] | None,
    rules: Rules,
    baseline: str | None = None,
    *,
    rows: Mapping[str, ArrayLike | None] | None = None,
) -> pd.DataFrame:
    """One row per pair of samplers: how they differ, and the verdict.

    One p-value per pair decides: the larger of the two-sided one on validation and the one-sided one on the test in
    that direction. "real" is a p-value below alpha after Holm's correction over the pairs, and with a margin a
    difference on the test beyond it. On the test the p-value is the larger of that of the ranks of the repetitions and
    that of their mean with the luck of the test rows (:mod:`hpo.comparison.statistics.evidence`).
    "equivalent" (only with a margin): the interval that two one-sided tests at alpha give lies inside the margin.
    "no difference": every loss ties. Else "inconclusive". Without test losses, validation takes their place.

    Args:
        losses: sampler -> validation loss of its final incumbent in each repetition, shape (S,); +inf without one.
            With paired rules, position r is the same split for all.
        test: sampler -> test loss of the same incumbents, shape (S,); None for a study without test rows.
        rules: fixed before looking.
        baseline: the sampler that each other is compared with; None compares all pairs.
        rows: sampler -> test loss by row, the mean over repetitions, shape (n,), the same rows for all; a sampler that
            is not there, and None, are not known.

    Returns:
        Columns, differences being loss of ``sampler`` less loss of ``against``, in the metric's unit:

        - sampler, against;
        - superiority, superiority_low, superiority_high: probability that ``sampler`` has the lower loss;
        - test_superiority, with _low and _high: likewise on the test (NaN without);
        - ties: share of repetitions (paired) or of pairs of repetitions (unpaired) that tie;
        - p_validation (two-sided), p_test (one-sided), p_value (the larger), p_holm: the family is the table;
        - difference, test_difference, each with _low and _high: of medians, on validation and test (NaN without); the
          interval on the test covers the luck of its rows, where it is known;
        - row_luck: standard error of the test difference for other rows; NaN where it is not known;
        - equivalence_low, equivalence_high: the narrower interval (90% at alpha 0.05) that "equivalent" is judged by;
        - speedup, speedup_low, speedup_high: P / (1 - P), meant against random; NaN where over 20% tie;
        - verdict, better (None unless real), reason (why it is not real, else "");
        - required_repetitions, required_low, required_high: where inconclusive, how many would make a difference as
          large as this one real with 80% power, and the range that its uncertainty (one standard error to each side)
          leaves: more than there are; inf where nothing points to a difference (P of 1/2, a test that does not agree,
          luck of the rows that no repetition averages out). NaN elsewhere.

        With one repetition every number is NaN and the verdict is inconclusive.

    Raises:
        ValueError: NaN, no losses, fewer than two samplers, other samplers or lengths on the test, unknown baseline.
    """
    validation = _merged("losses", losses, rules)
    tested = None if test is None else _merged("test", test, rules)
    _check(validation, tested, baseline)
    names = list(validation)
    chosen = [(name, baseline) for name in names if name != baseline] if baseline else list(combinations(names, 2))
    by_row = {name: np.asarray(values, dtype=float) for name, values in (rows or {}).items() if values is not None}
    pairs = [_measured(one, other, len(chosen), validation, tested, by_row, rules) for one, other in chosen]
    p_values = np.array([pair.tested.p_value for pair in pairs])
    corrected = p_values if rules.by_test or np.isnan(p_values).any() else holm(p_values)
    found = [_row(pair, float(p), rules, tested is not None) for pair, p in zip(pairs, corrected, strict=True)]
    frame = pd.DataFrame(found)
    frame["better"] = pd.Series([row["better"] for row in found], dtype=object)  # which keeps None as None
    return frame


def _merged(name: str, losses: Mapping[str, ArrayLike], rules: Rules) -> dict[str, FloatArray]:
    """The losses of every sampler, those that tie made equal."""
    arrays = {sampler: checked(f"{name}[{sampler!r}]", values) for sampler, values in losses.items()}
    if len(arrays) < 2:
        raise ValueError(f"{name} has {counted(len(arrays), 'sampler')}: give 2 or more")
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
    rows: Mapping[str, FloatArray],
    rules: Rules,
) -> _Pair:
    a, b = validation[sampler], validation[against]
    on_test = (a, b) if test is None else (test[sampler], test[against])
    size, paired, confidence = len(a), rules.paired, 1 - rules.alpha
    if size == 1:
        unknown = dict.fromkeys(("difference", "test_difference", "equivalence"), _NOTHING)
        return _Pair(
            sampler, against, 1, n_pairs, _NOTHING, _NOTHING, math.nan, PairTest.none(), **unknown, is_tied=False
        )
    luck = None if test is None else row_luck(rows.get(sampler), rows.get(against))
    tolerance = rules.tie_tolerance * largest_finite(*validation.values())
    return _Pair(
        sampler,
        against,
        size,
        n_pairs,
        superiority=superiority(a, b, paired, confidence),
        test_superiority=superiority(*on_test, paired, confidence),
        ties=float(np.mean(a == b) if paired else np.mean(a[:, None] == b)),
        tested=pair_test(
            a, b, None if test is None else on_test, luck, paired=paired, looks=rules.looks, by_test=rules.by_test,
            tolerance=tolerance,
        ),
        difference=median_difference(a, b, paired, confidence),
        test_difference=widened(median_difference(*on_test, paired, confidence), luck, confidence),
        equivalence=widened(median_difference(*on_test, paired, 1 - 2 * rules.alpha), luck, 1 - 2 * rules.alpha),
        is_tied=_all_tie(a, b, paired) and _all_tie(*on_test, paired),
    )  # fmt: skip


def _all_tie(a: FloatArray, b: FloatArray, paired: bool) -> bool:
    return bool((a == b).all()) if paired else bool((np.concatenate([a, b]) == a[0]).all())


# --- the verdict ---


def _row(pair: _Pair, p_holm: float, rules: Rules, has_test: bool) -> dict[str, Any]:
    reason, verdict = _why_not_real(pair, p_holm, rules, "test difference" if has_test else "difference"), "real"
    if pair.is_tied:
        verdict = "no difference"
    elif _is_within_margin(pair, rules):
        verdict, reason = "equivalent", f"the difference lies within the margin of {rules.margin:g}"
    elif reason:
        verdict = "inconclusive"
    better = pair.sampler if pair.tested.sign < 0 else pair.against
    is_fast = pair.ties <= MOST_TIES_OF_A_SPEEDUP  # False of NaN
    required = (math.nan, math.nan, math.nan)
    if verdict == "inconclusive" and pair.n_repetitions > 1:
        required = needed(pair.tested, rules.alpha / (1 if rules.by_test else pair.n_pairs), margin=rules.margin or 0.0)
    return {
        "sampler": pair.sampler,
        "against": pair.against,
        **_columns("superiority", pair.superiority),
        **_columns("test_superiority", pair.test_superiority if has_test else _NOTHING),
        "ties": pair.ties,
        "p_validation": pair.tested.p_validation,
        "p_test": pair.tested.p_test,
        "p_value": pair.tested.p_value,
        "p_holm": p_holm,
        **_columns("difference", pair.difference),
        **_columns("test_difference", pair.test_difference if has_test else _NOTHING),
        "row_luck": math.nan if pair.tested.luck is None else pair.tested.luck.error,
        "equivalence_low": pair.equivalence.low,
        "equivalence_high": pair.equivalence.high,
        **_columns("speedup", speedup(pair.superiority) if is_fast else _NOTHING),
        "verdict": verdict,
        "better": better if verdict == "real" else None,
        "required_repetitions": required[0],
        "required_low": required[1],
        "required_high": required[2],
        "reason": reason,
    }


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _is_within_margin(pair: _Pair, rules: Rules) -> bool:
    """Whether the difference is surely smaller than the margin."""
    if rules.margin is None or pair.n_repetitions == 1:
        return False
    if rules.looks == "once":
        return -rules.margin < pair.equivalence.low <= pair.equivalence.high < rules.margin
    return pair.tested.p_within(rules.margin) < rules.alpha


def _why_not_real(pair: _Pair, p_holm: float, rules: Rules, difference: str) -> str:
    """The first condition of "real" that fails, as a clause; empty if none does."""
    n, tested = pair.n_repetitions, pair.tested
    fewest = tested.fewest(rules.alpha / (1 if rules.by_test else pair.n_pairs))
    advantage = tested.sign * pair.test_difference.estimate
    is_sure = p_holm < rules.alpha
    on_test = tested.p_test > tested.p_validation or rules.by_test
    conditions = {
        "one repetition shows no spread": n == 1,
        "every loss ties": pair.is_tied,
        f"{n} repetitions can never reach significance ({fewest} is the minimum)": n < fewest,
        f"the {difference} is the other way": not is_sure and on_test and advantage < 0,
        f"the {difference} could be 0": not is_sure and on_test,
        f"its p-value is {p_holm:.3g}{' (Holm)' if pair.n_pairs > 1 else ''}": not is_sure,
        f"the {difference} is not beyond the margin": advantage <= (rules.margin or 0.0),
    }
    return next((clause for clause, fails in conditions.items() if fails), "")


def withdrawn(verdicts: pd.DataFrame, deterministic: Collection[str]) -> pd.DataFrame:
    """The verdicts, but for those on samplers whose runs on one split are all the same: one run, seen S times."""
    kept = verdicts.copy()
    for i, row in verdicts.iterrows():
        alone = next((name for name in (row["sampler"], row["against"]) if name in deterministic), None)
        if alone is not None and row["verdict"] != "no difference":
            unknown = [f"p_{name}" for name in ("validation", "test", "value", "holm")]
            unknown += [f"required_{name}" for name in ("repetitions", "low", "high")]
            unknown += [f"{name}_{end}" for name in ("superiority", "test_superiority") for end in ("low", "high")]
            kept.loc[i, unknown] = math.nan
            kept.loc[i, ["verdict", "reason"]] = "inconclusive", f"{alone} is deterministic on one split: one run"
            kept.loc[i, "better"] = None
    return kept
