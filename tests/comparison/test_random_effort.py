"""How many times the trials random search would need: coverage, level, and what the pool brings."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_measures import trials_of

from hpo.comparison import measures
from hpo.comparison.random_effort import efforts, random_effort

B = 20


def drawn(generator, r, s, n, b=B):
    """Random trials of n that beat the best of r b random draws, on s splits."""
    best = generator.beta(1, r * b, size=s)  # the lowest of r b uniform draws
    return generator.binomial(n, best).astype(float)


@pytest.mark.parametrize(("r", "n"), [(1, B), (1, 4 * B), (3, B), (3, 4 * B)])
def test_the_interval_covers_and_the_test_holds_its_level(r, n):
    generator = np.random.default_rng(0)
    found = [random_effort(drawn(generator, r, 20, n), np.full(20, n), B) for _ in range(500)]
    covered = np.mean([f["speedup_low"] <= r <= f["speedup_high"] for f in found])
    assert covered > 0.93
    assert np.median([f["speedup"] for f in found]) == pytest.approx(r, rel=0.2)
    rejected = np.mean([f["speedup_p"] < 0.05 for f in found])
    assert rejected < 0.08 if r == 1 else rejected > 0.7


def test_more_random_trials_know_sooner():
    generator = np.random.default_rng(1)
    power = {}
    for n in (B, 4 * B):
        found = [random_effort(drawn(generator, 3, 10, n), np.full(10, n), B) for _ in range(300)]
        power[n] = np.mean([one["speedup_p"] < 0.05 for one in found])
    assert power[4 * B] > power[B] + 0.15


def test_known_numbers():
    found = random_effort(np.array([0.0, 1, 2, 1]), np.full(4, 40.0), 20)
    assert found["speedup"] == 2.0  # 40 / 20 * 4 / 4
    low, high = stats.beta.ppf(0.025, 4, 5), stats.beta.ppf(0.975, 4, 4)
    assert found["speedup_low"] == pytest.approx(2 * low / (1 - low))
    assert found["speedup_high"] == pytest.approx(2 * high / (1 - high))
    alike = stats.nbinom(4, 20 / 60)
    assert found["speedup_p"] == pytest.approx(2 * min(alike.cdf(4), alike.sf(3)))
    never = random_effort(np.zeros(20), np.full(20, 20.0), 20)
    assert (never["speedup"], never["speedup_high"]) == (np.inf, np.inf)
    assert np.isnan(never["dispersion"])


def test_repetitions_that_vary_more_than_random_would_count_for_less():
    even, uneven = np.full(20, 2.0), np.r_[np.zeros(16), np.full(4, 10.0)]
    narrow, wide = (random_effort(k, np.full(20, 20.0), 20) for k in (even, uneven))
    assert narrow["speedup"] == wide["speedup"] == 0.5
    assert narrow["dispersion"] < 1 < wide["dispersion"]
    assert wide["speedup_low"] < narrow["speedup_low"]
    assert wide["speedup_high"] > narrow["speedup_high"]


def test_the_pool_is_what_does_not_learn_and_never_oneself():
    runs = {}
    for r in range(6):
        runs["random", r] = [-0.5, -0.4, -0.3, -0.25]  # the last two beyond the budget: trials of the pool
        runs["qmc", r] = [-0.6, -0.2]
        runs["tpe", r] = [-0.35, -0.28]
    trials = trials_of(runs)
    own = trials[trials["number"] < 2]
    finals = measures.finals(own, measures.curves(own, {}))
    found = efforts(trials, finals, ["random", "qmc"], 2)
    assert found.loc["tpe", "pool"] == 6
    assert found.loc["tpe", "speedup"] == pytest.approx(3 * 6 / 12)  # -0.25 and -0.2 beat -0.28
    assert found.loc["qmc", "pool"] == 4
    assert found.loc["qmc", "speedup"] == np.inf
    assert found.loc["random"].isna().all()
    tied = efforts(trials.assign(value=-1.0), finals.assign(value=-1.0), ["random"], 2)
    assert pd.isna(tied.loc["tpe", "speedup"])
