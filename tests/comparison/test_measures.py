"""Curves, times, costs and advice of runs whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from hpo.comparison import advice, measures


def trials_of(runs, **columns):
    """Trials of runs, given as {(sampler, repetition): values}; None is a trial that failed."""
    rows = []
    for (sampler, repetition), values in runs.items():
        for number, value in enumerate(values):
            rows.append(
                {
                    "sampler": sampler,
                    "repetition": repetition,
                    "split": repetition,
                    "number": number,
                    "value": np.nan if value is None else value,
                    "state": "FAIL" if value is None else "COMPLETE",
                    "configuration": f"{sampler}{repetition}{number}",
                    "error": "ValueError: no" if value is None else None,
                    "fit_seconds": 2.0,
                    "score_seconds": 1.0,
                    "sampler_seconds": 0.5,
                    **columns,
                }
            )
    return pd.DataFrame(rows)


RUNS = {("a", 0): [None, 1.0, 0.5, 3.0], ("a", 1): [2.0, 2.0, 1.0, 2.5]}
TESTS = {(0, "a01"): 10.0, (0, "a03"): 9.0, (1, "a10"): 8.0}


def test_the_incumbent_is_the_first_of_the_best_so_far():
    curves = measures.curves(trials_of(RUNS), TESTS)
    first, second = (curves[curves["repetition"] == r] for r in (0, 1))
    assert first["incumbent"].tolist()[1:] == [1.0, 1.0, 3.0]
    assert np.isnan(first["incumbent"].iloc[0])
    assert first["is_new"].tolist() == [False, True, False, True]
    assert second["is_new"].tolist() == [True, False, False, True]  # an equal value does not replace it
    assert first["test"].tolist()[1:] == [10.0, 10.0, 9.0]
    assert second["test"].tolist()[:3] == [8.0, 8.0, 8.0]
    assert np.isnan(second["test"].iloc[3])  # the last incumbent was not scored: not the score of the one before
    assert first["trial"].tolist() == [1, 2, 3, 4]


def test_cost_is_what_the_trials_took_and_not_when():
    curves = measures.curves(trials_of(RUNS), {})
    assert curves["seconds"].tolist() == [3.5, 7.0, 10.5, 14.0] * 2
    assert curves["fit_seconds"].tolist() == [2.0, 4.0, 6.0, 8.0] * 2
    killed = trials_of(RUNS).drop(columns="score_seconds")
    killed.loc[0, "fit_seconds"] = np.nan
    assert measures.curves(killed, {})["seconds"].tolist()[:2] == [0.5, 3.0]


def test_what_a_run_ends_with():
    trials = trials_of(RUNS)
    trials["duplicate_of"] = [None, "x#1", *[None] * 6]
    finals = measures.finals(trials, measures.curves(trials, TESTS)).set_index("repetition")
    assert finals["value"].tolist() == [3.0, 2.5]
    assert finals["test"].iloc[0] == 9.0
    assert np.isnan(finals["test"].iloc[1])
    assert finals["failed"].tolist() == [1, 0]
    assert finals["reused"].tolist() == [1, 0]
    assert finals["fit_seconds"].tolist() == [8.0, 8.0]
    assert finals["peak_memory_mb"].isna().all()
    failures = measures.failures(trials)
    assert failures.to_dict("records") == [{"sampler": "a", "kind": "ValueError", "count": 1}]
    assert measures.failures(trials_of({("a", 0): [1.0]})).empty


def test_the_incumbent_at_a_smaller_budget_is_held_where_a_run_ended():
    curves = measures.curves(trials_of({("a", 0): [1.0, 2.0], ("b", 0): [0.0, 1.0, 4.0]}), {})
    assert measures.incumbents_at(curves, 3).loc[0].tolist() == [2.0, 4.0]
    assert measures.incumbents_at(curves, 1).loc[0].tolist() == [1.0, 0.0]


def test_the_target_is_what_random_search_is_expected_to_have_after_half_its_budget():
    # The expected best (highest) of 2 from {1, 2, 3, 4} is 10/3; of {5, 6, 7, 8} 22/3.
    runs = {("random", 0): [1, 3, 2, 4], ("random", 1): [8, 7, 6, 5], ("b", 0): [4, 0, 0, 0], ("b", 1): [0, 0, 0, 7]}
    trials = trials_of({run: [float(v) for v in values] for run, values in runs.items()})
    curves = measures.curves(trials, {})
    times = measures.times(curves, trials, "random", 4, resplit=True).set_index(["sampler", "repetition"])
    assert times["target"].to_dict() == pytest.approx({("b", 0): 10 / 3, ("b", 1): 22 / 3})
    assert times["hit"].fillna(-1).to_dict() == {("b", 0): 1, ("b", 1): -1}
    pooled = measures.times(curves, trials, "random", 4, resplit=False)
    # The expected best of 2 from {1..8} is 6: sum over j of j (j - 1) / 28.
    assert pooled["target"].tolist() == pytest.approx([6.0] * 4)
    assert pooled.set_index(["sampler", "repetition"])["hit"].loc["random"].fillna(-1).tolist() == [-1, 1]
    table = measures.time_table(times.reset_index(), curves, trials, "random", resplit=True)
    assert table.loc["b", ["success_rate", "time_to_target"]].tolist() == [0.5, 1]
    assert table.loc["b", "effort"] == 0.5
    assert table.loc["b", "restricted_mean"] == 2.5
    assert table["effort_low"].isna().all()  # too few repetitions for a bootstrap


def test_a_failed_draw_of_random_search_counts_as_the_worst_that_did_not_fail():
    with_failure = trials_of({("random", 0): [1.0, 3.0, 2.0, None]})
    with_worst = trials_of({("random", 0): [1.0, 3.0, 2.0, 1.0]})
    targets = [
        measures.times(measures.curves(t, {}), t, "random", 4, resplit=False)["target"].iloc[0]
        for t in (with_failure, with_worst)
    ]
    assert targets[0] == targets[1]


@pytest.mark.parametrize("resplit", [True, False])
def test_the_bootstrap_of_the_effort_contains_it_and_does_not_depend_on_the_order_of_seeds(resplit):
    rng = np.random.default_rng(0)
    runs = {(s, r): list(rng.random(20) + (s == "b") * 0.3) for s in ("random", "b") for r in range(20)}
    tables = []
    for order in (range(20), reversed(range(20))):
        renamed = {r: i for i, r in enumerate(order)} if resplit else {r: r for r in range(20)}
        trials = trials_of({(s, renamed[r]): values for (s, r), values in runs.items()})
        curves = measures.curves(trials, {})
        times = measures.times(curves, trials, "random", 20, resplit=resplit)
        tables.append(measures.time_table(times, curves, trials, "random", resplit=resplit))
    for table in tables:
        assert (table["effort_low"] <= table["effort"]).all()
        assert (table["effort"] <= table["effort_high"]).all()
    assert tables[0].loc["b", "effort"] < 1  # random needs about half its budget for what it is expected to have then
    assert ("random" in tables[0].index) is not resplit
    assert tables[0]["effort"].to_dict() == tables[1]["effort"].to_dict()


def test_overtuning_is_the_test_lost_since_the_best_incumbent():
    runs = {("a", 0): [1.0, 2.0, 3.0], ("a", 1): [1.0, 2.0, 3.0]}
    tests = {(0, "a00"): 1.0, (0, "a01"): 5.0, (0, "a02"): 4.0, (1, "a10"): 1.0, (1, "a11"): 2.0, (1, "a12"): 0.0}
    found = measures.overtuning(measures.curves(trials_of(runs), tests), 0.0)
    assert found["overtuning"].tolist() == [1.0, 2.0]
    assert found["relative"].tolist() == [0.25, 2.0]


def test_the_next_doubling_of_a_power_law_is_told_exactly():
    # The incumbent's loss after t trials is t**-1: doubling from 32 to 64 brings half of what 16 to 32 did.
    runs = {("a", r): [-(t**-1.0) - r for t in range(1, 65)] for r in range(12)}
    row = advice.doublings(measures.curves(trials_of(runs), {}), -20.0, 64, None).iloc[0]
    assert row["gain"] == pytest.approx(1 / 32 - 1 / 64)
    assert row["next_gain"] == pytest.approx(1 / 64 - 1 / 128)
    assert row["next_gain_low"] == pytest.approx(row["next_gain_high"])  # all repetitions are alike
    alone = measures.curves(trials_of({("a", 0): [1.0, 2.0]}), {})
    assert np.isnan(advice.doublings(alone, 0.0, 2, None)["gain_low"][0])


def test_a_curve_is_flat_where_it_is_within_the_margin_of_its_end():
    runs = {("a", r): [-8.0, -4.0, -2.0, -1.0] for r in range(3)}
    curves = measures.curves(trials_of(runs), {})
    assert advice.doublings(curves, -21.0, 4, 1.0)["flat_from"][0] == 3
    assert advice.doublings(curves, -21.0, 4, None)["flat_from"][0] == 3  # a twentieth of 21 - 1
    assert np.isnan(advice.doublings(curves, -0.5, 4, None)["flat_from"][0])  # worse than the reference


def test_a_run_that_failed_throughout_has_no_gain():
    runs = {("a", 0): [None, None, None, None], ("a", 1): [1.0, 2.0, 3.0, 4.0]}
    row = advice.doublings(measures.curves(trials_of(runs), {}), 0.0, 4, None).iloc[0]
    assert np.isnan(row["gain"])
    assert np.isnan(row["next_gain"])
