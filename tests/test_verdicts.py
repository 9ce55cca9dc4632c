"""Verdicts on pairs of samplers: the rules, their reasons, and what must not change them."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from hpo.comparison.statistics import holm, median_difference, required_repetitions, superiority, superiority_test
from hpo.comparison.verdicts import Rules, judge

some = settings(max_examples=40, deadline=None, derandomize=True)
INF = math.inf
COLUMNS = [
    "sampler", "against", "superiority", "superiority_low", "superiority_high", "ties", "p_value", "p_holm",
    "difference", "difference_low", "difference_high", "test_difference", "test_difference_low",
    "test_difference_high", "equivalence_low", "equivalence_high", "speedup", "speedup_low", "speedup_high",
    "verdict", "better", "required_repetitions", "reason",
]  # fmt: skip


def normal(shift=0.0, scale=1.0, *, n=20, seed=0):
    return shift + scale * np.random.default_rng(seed).normal(size=n)


def only(frame):
    assert len(frame) == 1
    return frame.iloc[0]


def two(tpe, random, test=None, *, paired=True, margin=None, **rules):
    """The verdict on tpe against random."""
    return only(judge({"tpe": tpe, "random": random}, test, Rules(paired, margin=margin, **rules), "random"))


def on_test(tpe, random):
    return {"tpe": tpe, "random": random}


NOISE, BASE = normal(scale=0.1), normal(10, seed=1)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_large_difference_is_real_and_has_no_reason(paired, margin):
    row = two(BASE - 3 + NOISE, BASE, on_test(BASE - 3, BASE + NOISE), paired=paired, margin=margin)
    assert (row.verdict, row.better, row.reason) == ("real", "tpe", "")
    assert row.superiority_low > 0.5
    assert row.test_difference_high < 0
    assert math.isnan(row.required_repetitions)
    worse = two(BASE, BASE - 3 + NOISE, on_test(BASE, BASE - 3), paired=paired, margin=margin)
    assert (worse.verdict, worse.better) == ("real", "random")


def test_the_table_has_a_row_for_each_other_sampler_or_for_each_pair():
    losses = {name: normal(seed=i) for i, name in enumerate(["tpe", "random", "grid"])}
    against = judge(losses, None, Rules(paired=True), "random")
    assert list(against.columns) == COLUMNS
    assert list(zip(against["sampler"], against["against"], strict=True)) == [("tpe", "random"), ("grid", "random")]
    pairs = judge(losses, None, Rules(paired=True), None)
    assert list(zip(pairs["sampler"], pairs["against"], strict=True)) == [
        ("tpe", "random"), ("tpe", "grid"), ("random", "grid"),
    ]  # fmt: skip


@pytest.mark.parametrize("paired", [True, False])
def test_the_columns_are_the_statistics(paired):
    losses = {name: normal(i / 3, seed=i) for i, name in enumerate(["a", "b", "c", "d"])}
    test = {name: values + normal(seed=9 + i) for i, (name, values) in enumerate(losses.items())}
    frame = judge(losses, test, Rules(paired, margin=0.1), None)
    assert list(frame["p_holm"]) == pytest.approx(list(holm(frame["p_value"])))
    for row in frame.itertuples():
        x, y = losses[row.sampler], losses[row.against]
        found = superiority(x, y, paired)
        assert (row.superiority, row.superiority_low, row.superiority_high) == (found.estimate, found.low, found.high)
        assert row.p_value == superiority_test(x, y, paired)
        assert row.difference == median_difference(x, y, paired).estimate
        found = median_difference(test[row.sampler], test[row.against], paired)
        assert (row.test_difference_low, row.test_difference_high) == (found.low, found.high)
        found = median_difference(test[row.sampler], test[row.against], paired, 0.9)
        assert (row.equivalence_low, row.equivalence_high) == (found.low, found.high)
        assert row.speedup == pytest.approx(row.superiority / (1 - row.superiority))


# --- each condition alone stands in the way ---


def test_too_few_repetitions_say_how_many_could_be():
    row = two(normal(-9, n=5), normal(n=5, seed=1))
    assert (row.verdict, row.reason) == ("inconclusive", "5 repetitions cannot be significant, 6 can")
    assert row.required_repetitions >= 6
    row = only(judge({"a": normal(-9, n=3), "b": normal(n=3, seed=1)}, None, Rules(paired=False), None))
    assert row.reason == "3 repetitions cannot be significant, 4 can"


def test_holm_can_stand_in_the_way():
    difference = np.array([-1.0] * 14 + [1.0] * 4)  # wins 14 of 18 by the sign, p .03
    losses = {"random": np.zeros(18), "tpe": difference, "grid": normal(n=18), "qmc": normal(n=18, seed=3)}
    alone = two(losses["tpe"], losses["random"])
    assert alone.verdict == "real"
    assert alone.p_value == alone.p_holm == pytest.approx(0.0309, abs=1e-4)
    among = judge(losses, None, Rules(paired=True), "random").iloc[0]
    assert among.p_holm == pytest.approx(3 * 0.0309, abs=3e-4)
    assert (among.verdict, among.better, among.reason) == ("inconclusive", None, "its p-value is 0.0927 (Holm)")


def test_a_significant_p_value_without_a_majority_is_not_real():
    gains = np.r_[np.linspace(5, 6, 13), -np.linspace(0.1, 0.2, 7)]  # 13 large wins, 7 small losses
    row = two(BASE - gains, BASE)
    assert row.p_holm < 0.05
    assert (row.verdict, row.reason) == ("inconclusive", "its interval includes 1/2")


@pytest.mark.parametrize(
    ("test_gain", "margin", "reason"),
    [
        (10 * NOISE, None, "the test difference could be 0"),
        (10 * NOISE + 0.3, 0.001, "the test difference could be 0"),  # a margin makes nothing easier
        (NOISE - 1, None, "the test difference is the other way"),
    ],
)
def test_the_test_has_to_agree(test_gain, margin, reason):
    row = two(BASE - 3 + NOISE, BASE, on_test(BASE - test_gain, BASE), margin=margin)
    assert (row.verdict, row.better, row.reason) == ("inconclusive", None, reason)


def test_a_sure_difference_within_the_margin_is_equivalent():
    row = two(BASE - 3 + NOISE, BASE, on_test(BASE - 1 + NOISE, BASE), margin=2.0)
    assert (row.verdict, row.better, row.reason) == ("equivalent", None, "the difference lies within the margin of 2")
    assert row.test_difference_high < 0


def test_a_difference_near_the_margin_is_neither_real_nor_equivalent():
    row = two(BASE - 3 + NOISE, BASE, on_test(BASE - 1 + 10 * NOISE, BASE), margin=1.5)
    assert (row.verdict, row.reason) == ("inconclusive", "the test difference is not beyond the margin")
    assert row.required_repetitions == INF  # what was measured is no real difference, however often it is measured


# --- equivalent, no difference, one repetition ---


@pytest.mark.parametrize("paired", [True, False])
def test_equivalence_needs_a_margin_and_its_own_interval_inside(paired):
    losses = (normal(scale=0.1), normal(scale=0.1, seed=1))
    for margin, verdict in ((None, "inconclusive"), (0.01, "inconclusive"), (0.3, "equivalent")):
        row = two(*losses, paired=paired, margin=margin)
        assert row.verdict == verdict
        assert row.better is None
    edge = max(-row.equivalence_low, row.equivalence_high)
    assert two(*losses, paired=paired, margin=edge * 1.001).verdict == "equivalent"
    assert two(*losses, paired=paired, margin=edge * 0.999).verdict == "inconclusive"


def test_what_matters_for_equivalence_is_the_test():
    row = two(BASE, BASE + NOISE, on_test(BASE, BASE + 1 + NOISE), margin=0.5)
    assert row.verdict == "inconclusive"


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("value", [0.25, INF])
def test_where_every_loss_ties_there_is_no_difference(paired, value):
    row = two([value] * 8, [value] * 8, paired=paired, margin=0.1)
    assert (row.verdict, row.better, row.p_value, row.superiority, row.ties) == ("no difference", None, 1, 0.5, 1)
    assert (row.difference, row.reason) == (0, "every loss ties")
    assert math.isnan(row.speedup)


def test_paired_losses_may_differ_from_split_to_split_and_tie():
    assert two(BASE, BASE.copy()).verdict == "no difference"
    assert two(BASE, BASE.copy(), paired=False).verdict == "inconclusive"
    assert two(BASE, BASE.copy(), on_test(BASE, BASE + NOISE)).verdict == "inconclusive"


def test_one_repetition_tells_nothing():
    frame = judge({"a": [1.0], "b": [2.0], "c": [INF]}, {"a": [1.0], "b": [2.0], "c": [3.0]}, Rules(paired=True), None)
    assert set(frame["verdict"]) == {"inconclusive"}
    assert set(frame["better"]) == {None}
    assert set(frame["reason"]) == {"one repetition shows no spread"}
    assert frame.select_dtypes("number").isna().all().all()
    assert frame.select_dtypes("number").shape == (3, 18)


def test_failed_runs_lose_to_all_others():
    for paired in (True, False):
        row = two(normal(scale=0.1), np.full(20, INF), paired=paired)
        assert (row.verdict, row.better, row.difference, row.difference_high) == ("real", "tpe", -INF, -INF)
        assert (row.superiority, row.speedup) == (1, INF)


# --- ties ---


def test_losses_within_the_tolerance_tie():
    noise = 1e-11 * np.random.default_rng(0).uniform(size=(2, 20))
    row = two(0.5 + noise[0], 0.5 + noise[1], paired=False)
    assert (row.verdict, row.ties) == ("no difference", 1)
    assert two(0.5 + noise[0], 0.5 + noise[1], tie_tolerance=0).ties == 0
    # differences of shares of 114 rows, where every digit that computers add is a tie more or less
    wrong = np.random.default_rng(1).integers(3, 9, (2, 20))
    exact = two(wrong[0], wrong[1])
    assert two(1 - wrong[0] / 114, 1 - wrong[1] / 114).p_value == exact.p_value
    assert two(wrong[0] / 114 + noise[0], wrong[1] / 114 + noise[1]).p_value == exact.p_value


def test_a_speedup_is_withheld_where_over_a_fifth_ties():
    random = np.arange(20.0)
    for n_tied, is_shown in ((4, True), (5, False)):
        tpe = random - np.where(np.arange(20) < n_tied, 0, 0.5)
        assert math.isfinite(two(tpe, random).speedup_low) == is_shown


# --- how many repetitions ---


def test_required_repetitions_are_of_the_family_and_of_both_conditions():
    losses = {"random": normal(n=30), "tpe": normal(-0.4, n=30, seed=1)}
    row = only(judge(losses, None, Rules(paired=False), "random"))
    assert row.verdict == "inconclusive"
    assert 30 < row.required_repetitions < 1000
    noisy = {name: 9 * values for name, values in losses.items()}
    noisy["tpe"] = noisy["tpe"] - np.median(noisy["tpe"]) + np.median(noisy["random"]) - 0.4
    found = only(judge(losses, noisy, Rules(paired=False), "random"))
    assert found.test_difference == pytest.approx(-0.4)
    assert found.required_repetitions > row.required_repetitions
    disagreeing = {"random": losses["random"], "tpe": losses["random"] + 1}
    assert only(judge(losses, disagreeing, Rules(paired=False), "random")).required_repetitions == INF
    half = two([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert (half.superiority, half.required_repetitions) == (0.5, INF)


def test_with_a_sure_test_the_superiority_decides_at_the_level_of_its_family():
    base = np.zeros(20)
    losses = {
        "random": base,
        "tpe": np.array([-1.0] * 14 + [1.0] * 6),
        "grid": normal(n=20),
        "qmc": normal(n=20, seed=1),
    }
    test = dict.fromkeys(losses, base) | {"tpe": base - 1}
    for names, alpha in ((("random", "tpe"), 0.05), (tuple(losses), 0.05 / 3)):
        row = judge({n: losses[n] for n in names}, {n: test[n] for n in names}, Rules(paired=True), "random").iloc[0]
        assert row.verdict == "inconclusive"
        assert row.required_repetitions == required_repetitions(0.7, alpha=alpha, paired=True)


# --- what changes nothing ---


@some
@given(st.integers(2, 14), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_order_of_repetitions_of_samplers_and_the_unit_change_nothing(n, paired, is_tied, seed):
    generator = np.random.default_rng(seed)
    draw = (lambda: generator.integers(0, 6, n) / 8) if is_tied else (lambda: generator.normal(size=n))
    losses, test = ({name: draw() + i / 4 for i, name in enumerate("abc")} for _ in range(2))
    losses["c"][0] = INF
    rules = Rules(paired, margin=0.25)
    known = judge(losses, test, rules, "a")
    same = generator.permutation(n)
    orders = {name: same if paired else generator.permutation(n) for name in "abc"}
    permuted = [{name: values[orders[name]] for name, values in each.items()} for each in (losses, test)]
    assert_frame_equal(judge(*permuted, rules, "a"), known)
    reordered = judge({name: losses[name] for name in "cab"}, test, rules, "a")
    assert_frame_equal(reordered.sort_values("sampler", ignore_index=True), known)
    in_eighths = [{name: values * 8 for name, values in each.items()} for each in (losses, test)]
    scaled = judge(*in_eighths, Rules(paired, margin=2.0), "a")
    kept = ["sampler", "superiority_low", "p_holm", "speedup", "verdict", "better", "required_repetitions"]
    assert_frame_equal(scaled[kept], known[kept])
    assert (scaled["test_difference_low"] == 8 * known["test_difference_low"]).all()


@some
@given(st.integers(2, 14), st.booleans(), st.integers(0, 2**32))
def test_whoever_is_named_first_the_verdict_is_the_same(n, paired, seed):
    generator = np.random.default_rng(seed)
    losses = {"a": generator.normal(size=n), "b": generator.normal(1, size=n)}
    rules = Rules(paired, margin=0.5)
    one, other = (only(judge(losses, None, rules, baseline)) for baseline in "ba")
    assert (one.verdict, one.better, one.reason) == (other.verdict, other.better, other.reason)
    assert one.superiority == pytest.approx(1 - other.superiority)
    assert one.difference_low == pytest.approx(-other.difference_high)


def test_types_of_the_columns():
    frame = judge({"a": normal(), "b": normal(seed=1)}, None, Rules(paired=True), None)
    assert all(pd.api.types.is_float_dtype(frame[name]) for name in COLUMNS[2:-4])
    assert pd.api.types.is_float_dtype(frame["required_repetitions"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: judge({"a": [1.0]}, None, Rules(True), None), "^losses has 1 sampler"),
        (lambda: judge({"a": [1.0], "b": []}, None, Rules(True), None), r"^losses\['b'\] is empty"),
        (lambda: judge({"a": [1.0], "b": [math.nan]}, None, Rules(True), None), r"^losses\['b'\] contains NaN"),
        (lambda: judge({"a": [1.0], "b": [1, 2]}, None, Rules(False), None), r"^losses differs in repetitions \(a 1"),
        (lambda: judge({"a": [1.0], "b": [1.0]}, None, Rules(True), "c"), "^baseline='c' is not among .* a, b"),
        (lambda: judge({"a": [1], "b": [1]}, {"a": [1], "c": [1]}, Rules(True), "a"), "^test has the samplers a, c"),
        (lambda: judge({"a": [1], "b": [1]}, {"a": [1, 2], "b": [1, 2]}, Rules(True), "a"), "^test has 2 repetitions"),
        (lambda: Rules(True, margin=-1.0), "^margin=-1.0"),
        (lambda: Rules(True, margin=math.nan), "^margin=nan"),
        (lambda: Rules(True, alpha=0.7), "^alpha=0.7"),
        (lambda: Rules(True, tie_tolerance=INF), "^tie_tolerance=inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
