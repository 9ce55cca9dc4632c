"""Verdicts on pairs of samplers: the rules, their reasons, and what must not change them."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy import stats

from hpo.comparison.statistics.effort import holm, median_difference, superiority, superiority_test
from hpo.comparison.verdicts import Rules, judge

some = settings(max_examples=40, deadline=None, derandomize=True)
INF = math.inf
COLUMNS = [
    "sampler", "against", "superiority", "superiority_low", "superiority_high", "test_superiority",
    "test_superiority_low", "test_superiority_high", "ties", "p_validation", "p_test", "p_value", "p_holm",
    "difference", "difference_low", "difference_high", "test_difference", "test_difference_low",
    "test_difference_high", "row_luck", "equivalence_low", "equivalence_high", "speedup", "speedup_low",
    "speedup_high", "verdict", "better", "required_repetitions", "required_low", "required_high", "reason",
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
        assert row.p_validation == superiority_test(x, y, paired)
        directed = [test[row.sampler], test[row.against]][:: 1 if found.estimate > 0.5 else -1]
        assert row.p_test == superiority_test(*directed, paired, alternative="less")
        assert row.p_value == max(row.p_validation, row.p_test)
        assert row.difference == median_difference(x, y, paired).estimate
        found = median_difference(test[row.sampler], test[row.against], paired)
        assert (row.test_difference_low, row.test_difference_high) == (found.low, found.high)
        found = median_difference(test[row.sampler], test[row.against], paired, 0.9)
        assert (row.equivalence_low, row.equivalence_high) == (found.low, found.high)
        assert row.speedup == pytest.approx(row.superiority / (1 - row.superiority))


# --- each condition alone stands in the way ---


def test_too_few_repetitions_say_how_many_could_be():
    row = two(normal(-9, n=5), normal(n=5, seed=1))
    assert row.verdict == "inconclusive"
    assert row.reason == "5 repetitions can never reach significance (6 is the minimum)"
    assert row.required_repetitions >= 6
    row = only(judge({"a": normal(-9, n=3), "b": normal(n=3, seed=1)}, None, Rules(paired=False), None))
    assert row.reason == "3 repetitions can never reach significance (4 is the minimum)"


def test_holm_can_stand_in_the_way():
    difference = np.array([-1.0] * 14 + [1.0] * 4)  # wins 14 of 18 by the sign, p .03
    losses = {"random": np.zeros(18), "tpe": difference, "grid": normal(n=18), "qmc": normal(n=18, seed=3)}
    alone = two(losses["tpe"], losses["random"])
    assert alone.verdict == "real"
    assert alone.p_value == alone.p_holm == pytest.approx(0.0309, abs=1e-4)
    among = judge(losses, None, Rules(paired=True), "random").iloc[0]
    assert among.p_holm == pytest.approx(3 * 0.0309, abs=3e-4)
    assert (among.verdict, among.better, among.reason) == ("inconclusive", None, "its p-value is 0.0927 (Holm)")


def test_ranks_decide_and_not_the_number_of_wins():
    gains = np.r_[np.linspace(5, 6, 13), -np.linspace(0.1, 0.2, 7)]  # 13 large wins, 7 small losses
    row = two(BASE - gains, BASE)
    assert row.p_holm < 0.05
    assert row.superiority_low < 0.5
    assert (row.verdict, row.better) == ("real", "tpe")


@pytest.mark.parametrize(
    ("test_gain", "margin", "reason"),
    [
        (10 * NOISE + 0.25, None, "the test difference could be 0"),
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
    assert frame.select_dtypes("number").shape == (3, 26)


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


def test_with_a_sure_test_the_ranks_decide_at_the_level_of_their_family():
    base = np.zeros(20)
    losses = {"random": base, "tpe": np.r_[np.full(14, -1.0), np.ones(6)], "grid": normal(n=20), "qmc": normal(n=20)}
    test = dict.fromkeys(losses, base) | {"tpe": base - 1}
    for names, alpha in ((("random", "tpe"), 0.05), (tuple(losses), 0.05 / 3)):
        row = judge({n: losses[n] for n in names}, {n: test[n] for n in names}, Rules(paired=True), "random").iloc[0]
        assert row.verdict == "inconclusive"
        z = stats.norm.isf(alpha / 2) + stats.norm.ppf(0.8)
        assert row.required_repetitions == np.ceil(z**2 / (3 * 0.2**2))  # Noether; 14 of 20 lead by 0.7 - 0.5
        assert row.required_low < row.required_repetitions < row.required_high


def test_at_the_repetitions_that_are_said_to_be_needed_the_power_is_near_80_percent():
    generator = np.random.default_rng(5)
    effect = stats.norm.ppf(0.7)  # P(D1 + D2 > 0) is then the normal share below sqrt(2) times that
    lead = stats.norm.cdf(effect * math.sqrt(2)) - 0.5
    n = math.ceil((stats.norm.isf(0.025) + stats.norm.ppf(0.8)) ** 2 / (3 * lead**2))
    drawn = [two(-effect + generator.normal(size=n), np.zeros(n)).verdict == "real" for _ in range(400)]
    assert 0.7 < np.mean(drawn) < 0.9


# --- the luck of the test rows ---


def by_rows(gain, n_rows=100, spread=1.0, seed=0):
    """Losses by row of a sampler that is better by ``gain`` on the mean of these rows."""
    luck = spread * np.random.default_rng(seed).normal(size=n_rows)
    return {"tpe": luck - luck.mean() - gain, "random": np.zeros(n_rows)}


def test_what_other_rows_could_turn_round_is_not_real_however_many_repetitions():
    for n in (20, 200):
        losses = (normal(-3, 0.1, n=n), normal(0, 0.1, n=n, seed=1))
        test = on_test(normal(-0.1, 0.05, n=n), normal(0, 0.05, n=n, seed=1))
        paired = Rules(paired=True)
        alone = only(judge(on_test(*losses), test, paired, "random"))
        assert alone.verdict == "real"
        assert math.isnan(alone.row_luck)
        known = only(judge(on_test(*losses), test, paired, "random", rows=by_rows(0.1)))
        assert known.row_luck == pytest.approx(0.1, rel=0.2)
        assert (known.verdict, known.reason) == ("inconclusive", "the test difference could be 0")
        assert known.required_repetitions == INF
        assert known.test_difference_low < alone.test_difference_low
        assert known.test_difference_high > 0
        more_rows = only(judge(on_test(*losses), test, paired, "random", rows=by_rows(0.1, 10_000)))
        assert more_rows.verdict == "real"


def test_against_a_reference_the_test_alone_decides():
    rules = Rules(paired=True, by_test=True)
    losses = on_test(BASE - 3 + NOISE, BASE)  # of what was chosen by them
    worse = on_test(BASE + 0.3 + NOISE, BASE)
    found = only(judge(losses, worse, rules, "random", rows=by_rows(-0.3, spread=0.1)))
    assert (found.verdict, found.better) == ("real", "random")
    alike = only(judge(losses, on_test(BASE + NOISE, BASE), rules, "random", rows=by_rows(0.0)))
    assert alike.verdict == "inconclusive"


def test_the_level_holds_where_samplers_are_alike_on_the_rows_of_all():
    """Surely different on validation, alike on the test but for the luck of 60 rows, which all repetitions share."""
    generator, said = np.random.default_rng(3), {"with": 0, "without": 0}
    for i in range(400):
        by_row = generator.normal(size=60)  # as lucky by itself as 100 repetitions
        test = on_test(by_row.mean() + 0.2 * generator.normal(size=20), np.zeros(20))
        losses = on_test(-3 + 0.1 * generator.normal(size=20), np.zeros(20))
        rows = {"tpe": by_row, "random": np.zeros(60)}
        for name, by_rows_ in (("with", rows), ("without", None))[: 2 if i < 100 else 1]:
            said[name] += only(judge(losses, test, Rules(True), "random", rows=by_rows_)).verdict == "real"
    assert said["with"] <= 31  # 5% is exceeded by so many once in 150 benchmarks
    assert said["without"] > 20  # of 100


# --- any number of looks ---


def test_at_any_number_of_looks_a_large_difference_is_still_real():
    for looks, fewest in (("any", 8), ("again", 9)):
        rules = Rules(paired=True, looks=looks)
        for n, verdict in ((fewest - 1, "inconclusive"), (40, "real")):
            base = normal(10, n=n, seed=1)
            frame = judge(on_test(base - 3 + normal(scale=0.1, n=n), base), None, rules, "random")
            assert only(frame).verdict == verdict
            if n < fewest:
                assert only(frame).reason == f"{n} repetitions can never reach significance ({fewest} is the minimum)"


def test_what_was_known_at_one_look_is_known_at_the_next():
    losses, base = BASE - 1 + normal(n=20, seed=4), BASE
    p = [two(losses[:n], base[:n], looks="any").p_validation for n in range(2, 21)]
    assert (np.diff(p) <= 0).all()
    assert two(losses, base, looks="again").p_validation == min(1, 2 * p[-1])


def test_looking_after_each_repetition_is_honest():
    generator, n_any, n_once = np.random.default_rng(0), 0, 0
    for _ in range(120):
        drawn = {name: generator.normal(size=40) for name in "ab"}
        test = {name: generator.normal(size=40) for name in "ab"}
        drawn["a"] -= 3  # surely different on validation: the test has to hold the level alone
        for looks in ("any", "once"):
            found = False
            for n in (8, 24, 40):
                cut = [{name: values[:n] for name, values in part.items()} for part in (drawn, test)]
                found = found or only(judge(*cut, Rules(True, looks=looks), "b")).verdict == "real"
            n_any, n_once = n_any + (found and looks == "any"), n_once + (found and looks == "once")
    assert n_any <= 6  # 5% of 120
    assert n_once > 6


def test_at_any_number_of_looks_equivalence_is_tested_by_the_same_means():
    base = normal(10, n=60, seed=1)
    near = base + normal(scale=0.1, n=60)
    assert two(near, base, looks="any", margin=0.3).verdict == "equivalent"
    assert two(near, base, looks="any", margin=0.01).verdict == "inconclusive"
    assert two(near[:5], base[:5], looks="any", margin=0.3).verdict == "inconclusive"


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
    assert all(pd.api.types.is_float_dtype(frame[name]) for name in COLUMNS[2 : COLUMNS.index("verdict")])
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
