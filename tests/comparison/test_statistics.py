"""The statistics of comparing samplers: known answers, oracles, and what must hold for any losses."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from hpo.comparison.statistics.effort import (
    Interval,
    Overtuning,
    TimeToTarget,
    expected_best,
    fewest_repetitions,
    friedman,
    holm,
    incumbent,
    median_difference,
    median_interval,
    merged_ties,
    nemenyi_cd,
    overtuning,
    required_repetitions,
    speedup,
    superiority,
    superiority_test,
    time_to_target,
)

some = settings(max_examples=80, deadline=None, derandomize=True)
INF = math.inf
# whole numbers tie often and stay exact under shifts; inf is a failed repetition
LOSS = st.one_of(st.integers(-6, 6).map(float), st.integers(-1000, 1000).map(float), st.just(INF))
SAMPLE = st.lists(LOSS, min_size=1, max_size=12)
TWO_PAIRED = st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.lists(LOSS, min_size=n, max_size=n)] * 2))
TWO = st.one_of(
    st.tuples(SAMPLE, SAMPLE, st.just(False)),
    TWO_PAIRED.map(lambda two: (*two, True)),
)

DEMSAR = 1 - np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1, 1, 1, 1], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def ends(interval):
    return (interval.estimate, interval.low, interval.high)


# --- superiority ---


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (range(10), range(10, 20), (1, 0.8002, 1)),
        ([0] * 15 + [2] * 5, [1] * 20, (0.75, 0.5711, 0.8660)),
        (range(10, 20), range(10), (0, 0, 0.1998)),
    ],
)
def test_newcombe_gives_the_known_intervals(a, b, expected):
    assert ends(superiority(a, b)) == pytest.approx(expected, abs=5e-5)


@some
@given(st.integers(2, 30), st.integers(2, 30), st.data())
def test_newcombe_ends_where_the_distance_is_z_standard_errors(n_a, n_b, data):
    a = data.draw(st.lists(st.integers(0, 20), min_size=n_a, max_size=n_a))
    b = data.draw(st.lists(st.integers(0, 20), min_size=n_b, max_size=n_b))
    found = superiority(a, b)
    t = np.linspace(0, 1, 20001)
    n = (n_a + n_b) / 2 - 1
    variance = t * (1 - t) * (1 + n * (1 - t) / (2 - t) + n * t / (1 + t)) / (n_a * n_b)
    inside = t[np.abs(found.estimate - t) <= stats.norm.isf(0.025) * np.sqrt(variance) + 1e-12]
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=1e-4)


@some
@given(TWO_PAIRED, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_paired_interval_is_wilsons(two, confidence):
    a, b = map(np.array, two)
    wins = (a < b).sum() + (a == b).sum() / 2
    low, high = proportion_confint(wins, len(a), alpha=1 - confidence, method="wilson")
    assert ends(superiority(a, b, True, confidence)) == pytest.approx((wins / len(a), low, high), abs=1e-12)


@some
@given(TWO)
def test_superiority_is_the_share_of_pairs_won(two):
    a, b, paired = two
    pairs = list(zip(a, b, strict=True) if paired else itertools.product(a, b))
    share = sum((x < y) + (x == y) / 2 for x, y in pairs) / len(pairs)
    found = superiority(a, b, paired)
    assert found.estimate == pytest.approx(share)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    wider = superiority(a, b, paired, confidence=0.99)
    assert wider.low <= found.low
    assert found.high <= wider.high


@some
@given(TWO)
def test_superiority_of_the_other_is_what_is_left(two):
    a, b, paired = two
    one, other = superiority(a, b, paired), superiority(b, a, paired)
    assert ends(one) == pytest.approx((1 - other.estimate, 1 - other.high, 1 - other.low), abs=1e-12)
    assert superiority_test(a, b, paired) == pytest.approx(superiority_test(b, a, paired), abs=1e-12)


@some
@given(TWO, st.randoms(use_true_random=False))
def test_ranks_know_no_order_of_seeds_and_no_monotone_transform(two, random):
    a, b, paired = two
    order = list(range(len(a)))
    random.shuffle(order)
    a_new, b_new = [a[i] for i in order], [b[i] for i in order] if paired else sorted(b)
    assert superiority(a_new, b_new, paired) == superiority(a, b, paired)
    assert superiority_test(a_new, b_new, paired) == superiority_test(a, b, paired)
    assert ends(median_difference(a_new, b_new, paired)) == ends(median_difference(a, b, paired))
    a_new, b_new = (np.arctan(np.array(sample)) ** 3 * 5 for sample in (a, b))  # inf becomes a large finite loss
    assert superiority(a_new, b_new, paired) == superiority(a, b, paired)
    if not paired:
        assert superiority_test(a_new, b_new) == superiority_test(a, b)


@some
@given(TWO, st.integers(-50, 50))
def test_a_shift_of_both_changes_nothing_and_of_one_moves_the_difference(two, by):
    a, b, paired = np.array(two[0]), np.array(two[1]), two[2]
    assert superiority(a + by, b + by, paired) == superiority(a, b, paired)
    assert superiority_test(a + by, b + by, paired) == superiority_test(a, b, paired)
    assert ends(median_difference(a + by, b + by, paired)) == pytest.approx(ends(median_difference(a, b, paired)))
    a, b = np.where(np.isinf(a), 7.0, a), np.where(np.isinf(b), 7.0, b)
    moved = median_difference(a + by, b, paired)
    assert ends(moved) == pytest.approx(tuple(end + by for end in ends(median_difference(a, b, paired))), abs=1e-9)


def test_speedup():
    assert speedup(0.5) == 1
    assert speedup(2 / 3) == pytest.approx(2)
    assert speedup(1) == INF
    assert speedup(Interval(0.75, 0.5, 1.0)) == Interval(3.0, 1.0, INF)


def test_random_search_with_twice_the_trials_wins_two_times_in_three():
    draws = np.random.default_rng(0).lognormal(size=(4000, 30))
    found = superiority(draws[:2000, :20].min(axis=1), draws[2000:, 20:].min(axis=1))
    assert found.low < 2 / 3 < found.high
    assert found.high - found.low < 0.04


# --- p-values ---


@some
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32))
def test_without_ties_the_unpaired_p_value_is_scipys(n_a, n_b, seed):
    losses = np.random.default_rng(seed).normal(size=n_a + n_b)
    a, b = losses[:n_a], losses[n_a:]
    assert superiority_test(a, b) == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)


@some
@given(st.integers(1, 50), st.integers(0, 2**32))
def test_without_ties_the_paired_p_value_is_scipys(n, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    assert superiority_test(a, b, paired=True) == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue)


@settings(some, max_examples=30)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**32))
def test_with_ties_it_is_that_of_all_permutations(n_a, n_b, seed):
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 4, n_a).astype(float), generator.integers(0, 4, n_b).astype(float)
    every = stats.PermutationMethod(n_resamples=INF)
    if len({*a, *b}) > 1:
        assert superiority_test(a, b) == pytest.approx(stats.mannwhitneyu(a, b, method=every).pvalue)
    a, b = generator.integers(0, 4, (2, n_a + 3)).astype(float)
    if (a != b).any():
        known = stats.wilcoxon(a, b, zero_method="zsplit", method=every).pvalue
        assert superiority_test(a, b, paired=True) == pytest.approx(known)


def test_many_repetitions_take_the_normal_approximation():
    a, b = np.random.default_rng(0).integers(0, 30, (2, 60)).astype(float)
    approximate = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert superiority_test(a, b) == approximate
    assert superiority_test(a[:50], b[:50]) == pytest.approx(
        stats.mannwhitneyu(a[:50], b[:50], method="asymptotic").pvalue, abs=0.01
    )
    paired = stats.wilcoxon(a, b, zero_method="zsplit", method="asymptotic").pvalue
    assert superiority_test(a, b, paired=True) == pytest.approx(paired)


def test_equal_and_failed_losses_have_p_values():
    for paired in (True, False):
        assert superiority_test([1.0, 1.0], [1.0, 1.0], paired) == 1
        assert superiority_test([INF, INF], [INF, INF], paired) == 1
    failing, fine = [INF] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert superiority_test(fine, failing, paired=True) == pytest.approx(2 / 2**6)
    assert superiority_test(fine, failing) == pytest.approx(2 / math.comb(12, 6))
    # a failure outweighs every finite difference: ranks 4 against 1 + 2 + 3
    assert superiority_test([1.0, 2.0, 3.0, INF], [1.1, 2.2, 3.3, 0.0], paired=True) == superiority_test(
        [-1.0, -2.0, -3.0, 100.0], [0.0] * 4, paired=True
    )


def test_differences_that_are_equal_on_paper_tie():
    a, b = [0.3, 0.2, 0.1, 0.1], [0.2, 0.1, 0.2, 0.0]  # +.1 +.1 -.1 +.1, all different in their last digits
    assert superiority_test(a, b, paired=True) == superiority_test([3, 2, 1, 1], [2, 1, 2, 0], paired=True)
    assert superiority_test([1, 2 + 1e-6, 0], [0, 1, 1], True, tolerance=1e-5) == 1


# --- medians ---


@pytest.mark.parametrize(("n", "k", "coverage"), [(6, 1, 0.96875), (10, 2, 0.978516), (20, 6, 0.958611)])
def test_the_interval_of_a_median_is_the_narrowest_that_is_sure_enough(n, k, coverage):
    values = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    found = median_interval(values)
    assert (found.low, found.high) == (k, n + 1 - k)
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) == pytest.approx(coverage, abs=1e-6)
    assert 1 - 2 * stats.binom.cdf(k, n, 0.5) < 0.95


def test_a_curve_has_an_interval_at_each_trial_and_may_begin_with_failures():
    curves = np.sort(np.random.default_rng(0).normal(size=(20, 7)))[:, ::-1].copy()
    curves[:12, 0] = INF
    band = median_interval(curves)
    assert band.estimate.shape == band.low.shape == band.high.shape == (7,)
    assert band.estimate[0] == band.high[0] == INF
    assert np.isfinite(band.low).all()
    assert (band.estimate[1:] == np.median(curves[:, 1:], axis=0)).all()
    assert (median_interval(curves.T, axis=1).low == band.low).all()
    few = median_interval(curves[:5])
    assert (few.low == -INF).all()
    assert (few.high == INF).all()


@some
@given(TWO)
def test_the_difference_of_medians_is_mirrored_by_its_samples(two):
    a, b, paired = two
    one, other = median_difference(a, b, paired), median_difference(b, a, paired)
    assert ends(one) == pytest.approx((-other.estimate, -other.high, -other.low))
    assert one.low <= one.estimate <= one.high
    narrower = median_difference(a, b, paired, confidence=0.9)
    assert one.low <= narrower.low + 1e-9
    assert narrower.high <= one.high + 1e-9


def test_known_differences_of_medians():
    a = np.arange(1.0, 21)
    assert ends(median_difference(a, np.zeros(20), paired=True)) == (10.5, 6, 15)
    # exactly 95% between order statistics: y6 is 95.86% sure, y7 88.47%; the same for both samples, so sqrt(2) arms
    low = 6 + (14 * (f := 0.00861 / 0.07393) / (6 + 8 * f))
    arm = math.sqrt(2) * (10.5 - low)
    assert ends(median_difference(a + 5, a)) == pytest.approx((5, 5 - arm, 5 + arm), abs=1e-3)
    # 5 repetitions: their range is 93.75% sure, so its arms grow by 1.960 / 1.863
    arm = math.sqrt(2) * 2 * 1.959964 / 1.862732
    assert ends(median_difference([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])) == pytest.approx((0, -arm, arm), abs=1e-5)
    assert ends(median_difference([1, 2], [5, 6])) == (-4, -INF, INF)


def test_failures_are_infinitely_worse_and_two_are_equal():
    fine, failing = np.linspace(0.1, 0.3, 20), np.full(20, INF)
    for paired in (True, False):
        assert median_difference(failing, fine, paired).low == INF
        assert ends(median_difference(failing, failing, paired)) == (0, 0, 0)
    mixed = np.r_[fine[:13], failing[:7]]  # the 15th has failed, the median has not
    found = median_difference(mixed, fine - 1)
    assert math.isfinite(found.estimate)
    assert found.low > 0
    assert found.high == INF
    assert ends(median_difference([-1, INF] * 5, [INF, -1] * 5, paired=True)) == (0, -INF, INF)


def _coverage(draw, truth, n):
    return np.mean([found.low <= truth <= found.high for found in (median_difference(*draw(n)) for _ in range(400))])


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_interval_of_unpaired_medians_covers(n):
    generator = np.random.default_rng(7)
    skewed = _coverage(lambda n: (generator.exponential(size=n) * 3, generator.exponential(size=n)), 2 * math.log(2), n)
    tied = _coverage(lambda n: generator.binomial(114, [[0.08], [0.05]], (2, n)).astype(float), 9.0 - 6.0, n)
    # 400 of 95% have a standard deviation of 1.1%; 91.5% is three below
    assert min(skewed, tied) >= 0.915


# --- numbers of repetitions ---


def test_fewest_repetitions_for_all_pairs_of_samplers():
    families = [k * (k - 1) // 2 for k in (2, 3, 4, 5)]
    assert [fewest_repetitions(n, paired=True) for n in families] == [6, 7, 8, 9]
    assert [fewest_repetitions(n, paired=False) for n in families] == [4, 5, 5, 6]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n_comparisons", [1, 3, 10])
def test_below_the_fewest_nothing_is_significant(n_comparisons, paired):
    n = fewest_repetitions(n_comparisons, paired)
    best, worst = np.arange(float(n)), np.arange(float(n)) + 100 + 0.01 * np.arange(n) ** 2
    assert superiority_test(best, worst, paired) * n_comparisons < 0.05
    assert superiority_test(best[1:], worst[1:], paired) * n_comparisons >= 0.05


def test_required_repetitions_are_noethers():
    assert [required_repetitions(p) for p in (0.65, 0.70, 0.75, 0.80, 0.90)] == [59, 33, 21, 15, 9]
    assert required_repetitions(0.35) == required_repetitions(0.65)
    assert required_repetitions(0.5) == required_repetitions(0.5, paired=True) == INF
    assert required_repetitions(0.7, power=0.9) > 33 < required_repetitions(0.7, alpha=0.01)
    assert required_repetitions(1.0, power=0.05) == fewest_repetitions(1, paired=False) == 4
    assert required_repetitions(0.51, paired=True) == math.ceil((1.959964 + 0.841621) ** 2 / (4 * 0.01**2))


@pytest.mark.parametrize("p", [0.65, 0.7, 0.75, 0.8, 0.9, 1.0, 0.25])
def test_paired_the_sign_test_has_the_power_from_there_on(p):
    def power(n):
        wins = np.arange(n + 1)
        is_found = np.array([stats.binomtest(int(w), n).pvalue <= 0.05 for w in range(n + 1)])
        right = wins > n / 2 if p > 0.5 else wins < n / 2
        return stats.binom.pmf(wins, n, p)[is_found & right].sum()

    n = required_repetitions(p, paired=True)
    assert n >= fewest_repetitions(1, paired=True)
    assert all(power(n + more) >= 0.8 for more in range(6))
    assert power(n - 1) < 0.8


# --- curves and effort ---


@some
@given(st.lists(LOSS, min_size=1, max_size=30))
def test_an_incumbent_only_falls(losses):
    assert list(incumbent(losses)) == [min(losses[: t + 1]) for t in range(len(losses))]
    assert (incumbent([losses, losses]) == incumbent(losses)).all()


@pytest.mark.parametrize(
    ("hits", "budgets", "expected"),
    [
        ([1, 2, 3, None], 10, TimeToTarget(0.75, 2, 4, 16 / 3)),
        ([math.nan, None], [10, 20], TimeToTarget(0, INF, 10, INF)),
        ([4, None, None], 10, TimeToTarget(1 / 3, INF, 8, 24)),
        # censored early: of 4 at risk one hits (3/4 left), then of 2 one hits (3/8 left)
        ([2, None, 5, None], [10, 3, 10, 10], TimeToTarget(0.5, 5, (2 + 3 + 3 + 3) / 4, 10)),
        ([5], [5], TimeToTarget(1, 5, 5, 5)),
    ],
)
def test_time_to_target(hits, budgets, expected):
    assert time_to_target(hits, budgets) == expected


def test_expected_best_of_one_to_five():
    assert expected_best([5, 3, 1, 4, 2], [1, 2, 3, 4, 5]) == pytest.approx([3, 2, 1.5, 1.2, 1])
    assert expected_best([5, 3, 1, 4, 2], 2) == pytest.approx(2)


@some
@given(st.lists(LOSS, min_size=1, max_size=8), st.data())
def test_expected_best_is_the_mean_over_all_choices(losses, data):
    m = data.draw(st.integers(1, len(losses)))
    known = np.mean([min(chosen) for chosen in itertools.combinations(losses, m)])
    assert expected_best(losses, m) == pytest.approx(known)
    curve = expected_best(losses, np.arange(1, len(losses) + 1))
    assert all(later <= sooner + 1e-9 for sooner, later in itertools.pairwise(curve))


def test_expected_best_is_stable_for_many_trials():
    n, m = 100_000, np.array([1, 2, 50, 1000, 99_999, 100_000])
    exact = (n + 1) / (m + 1)  # of 1..n
    assert expected_best(np.arange(1, n + 1), m) == pytest.approx(exact, rel=1e-9)
    failing = np.r_[np.zeros(9000), np.full(1000, INF)]  # that all of 1,000 fail is possible, if only just
    assert list(expected_best(failing, [1000, 1001])) == [INF, 0]


# --- many comparisons, many studies ---


def test_holm_multiplies_by_what_is_left():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == pytest.approx([1, 1])


@settings(some, max_examples=8)  # each call collects garbage
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_friedman_of_demsars_table():
    found = friedman(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.929, 1.929], abs=5e-4)
    assert (found.chi2, found.iman_davenport) == pytest.approx((9.857, 3.987), abs=5e-4)
    assert found.p_value == pytest.approx(stats.f.sf(found.iman_davenport, 3, 39))
    assert stats.friedmanchisquare(*DEMSAR.T).statistic == pytest.approx(10.952, abs=5e-4)  # corrected for ties
    assert nemenyi_cd(4, 14, 0.05) == pytest.approx(1.25, abs=5e-3)
    as_printed = DEMSAR - 1e-6 * (np.arange(56).reshape(14, 4) == 12 * 4 + 2)  # one tie broken: voting, +cf
    printed = friedman(as_printed)
    assert printed.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert (printed.chi2, printed.iman_davenport) == pytest.approx((9.28, 3.69), abs=5e-3)


@some
@given(st.integers(1, 9), st.integers(2, 6), st.integers(0, 2**32))
def test_friedman_without_ties_is_scipys_and_its_ranks_have_a_sum(n, k, seed):
    scores = np.random.default_rng(seed).normal(size=(n, k))
    found = friedman(scores)
    assert found.ranks.sum() == pytest.approx(k * (k + 1) / 2)
    assert math.isnan(found.p_value) == (n < 5)
    if k > 2:
        assert found.chi2 == pytest.approx(stats.friedmanchisquare(*scores.T).statistic)


def test_friedman_at_its_ends():
    assert friedman(np.ones((6, 3))).p_value == 1
    alike = friedman(np.tile([3.0, 1.0, INF], (6, 1)))
    assert (list(alike.ranks), alike.iman_davenport, alike.p_value) == ([2, 1, 3], INF, 0)


# --- overtuning ---


@pytest.mark.parametrize(
    ("validation", "test", "expected"),
    [
        ([5, 4, 3, 2], [5, 3, 4, 4], Overtuning(1, 0.5, 2, 2)),
        ([5, 6, 3, 4], [5, 5, 6, 6], Overtuning(1, math.nan, 0, 3)),  # trials: the 2nd and 4th are no incumbents
        ([5, 4, 3], [5, 4, 6], Overtuning(2, 2, 1, 3)),
        ([INF, 4, 3], [0, 4, 3], Overtuning(0, 0, 1, 0)),  # nothing was incumbent at first
        ([5, 4], [5, INF], Overtuning(INF, math.nan, 0, INF)),
        ([INF, INF], [1, 1], Overtuning(math.nan, math.nan, math.nan, math.nan)),
    ],
)
def test_overtuning(validation, test, expected):
    found = overtuning(validation, test)
    assert [*vars(found).values()] == pytest.approx([*vars(expected).values()], nan_ok=True)


def test_an_improvement_within_the_tolerance_is_none():
    assert math.isnan(overtuning([2, 1], [0.5, 0.5 - 1e-9], tolerance=1e-6).relative)


# --- losses ---


def test_near_losses_tie_whichever_side_of_a_rounding_they_are():
    values = [0.1, 0.1 + 0.4e-9, 0.1 + 0.8e-9, 0.2, INF, INF]
    merged = merged_ties(values, 0.5e-9)
    assert list(merged) == [0.1, 0.1, 0.1, 0.2, INF, INF]
    assert list(merged_ties(values, 0.0)) == values


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: superiority([], [1]), "^a is empty"),
        (lambda: superiority([1], [math.nan]), "^b contains NaN"),
        (lambda: superiority([1, 2], [1], paired=True), "^a has 2 losses and b 1"),
        (lambda: superiority([[1]], [1]), "^a has 2 dimensions"),
        (lambda: superiority([1], [1], confidence=1.0), "^confidence=1.0"),
        (lambda: superiority_test([1], [-INF]), "^b contains NaN or -inf"),
        (lambda: speedup(1.5), "^superiority=1.5"),
        (lambda: incumbent([]), "^losses is empty"),
        (lambda: median_interval([math.nan]), "^values contains NaN"),
        (lambda: median_difference([1], []), "^b is empty"),
        (lambda: holm([0.5, 1.5]), "^p_values contains"),
        (lambda: holm([]), "^p_values is empty"),
        (lambda: time_to_target([], 5), "^hits is empty"),
        (lambda: time_to_target([6], 5), "^hits contains .* beyond its budget"),
        (lambda: time_to_target([1, 2], [5]), "^budgets has shape"),
        (lambda: time_to_target([1], 0), "^budgets contains"),
        (lambda: expected_best([1, 2], 3), "^m is 3 to 3: from 2 losses, give 1 to 2"),
        (lambda: expected_best([1, 2], 1.5), "^m=1.5"),
        (lambda: friedman([[1], [2]]), "^scores has 1 sampler"),
        (lambda: friedman([1, 2]), "^scores has 1 dimensions"),
        (lambda: nemenyi_cd(1, 5, 0.05), "^k=1"),
        (lambda: fewest_repetitions(0, paired=True), "^n_comparisons=0"),
        (lambda: required_repetitions(math.nan), "^p=nan"),
        (lambda: required_repetitions(0.7, power=1), "^power=1"),
        (lambda: overtuning([1], [1, 2]), "^test has 2 losses and validation 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
