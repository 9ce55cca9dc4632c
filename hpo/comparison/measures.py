"""What the runs of a comparison amount to: curves, final values, time to target, overtuning, cost.

Frames keep the scorer's sign (higher is better). Statistics want losses: :func:`as_losses`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpo.comparison.statistics import effort as statistics

Array = np.ndarray[Any, Any]

_RUN = ["sampler", "repetition"]
_RESAMPLES = 2000
_SEED = 20061  # of the bootstrap: the same data give the same interval


def as_losses(scores: "pd.Series | pd.DataFrame") -> Array:
    """Scores (higher is better) as losses; what has none is the worst."""
    values = -scores.to_numpy(dtype=float)
    return np.where(np.isnan(values), np.inf, values)


def curves(trials: pd.DataFrame, tests: Mapping[tuple[int, str], float]) -> pd.DataFrame:
    """The incumbent after each trial.

    Args:
        trials: one row per trial, ordered by sampler, repetition, number.
        tests: (split, key of the configuration) -> score on the sealed test rows.

    Returns:
        One row per trial: sampler, repetition, split, trial (from 1), seconds and fit_seconds (of the run so far; a
        configuration whose stored result was taken over costs what it cost first), incumbent (best value so far; NaN
        before the first success), is_new (whether the trial became incumbent), test (score of the incumbent on the
        sealed test rows; NaN where unknown), configuration (the incumbent's key; None before the first success).
    """
    values = trials["value"].where(trials["state"] == "COMPLETE")
    runs = [trials[name] for name in _RUN]
    best = values.groupby(runs, sort=False).cummax()
    incumbent = best.groupby(runs, sort=False).ffill()
    before = incumbent.groupby(runs, sort=False).shift()
    is_new = values.notna() & ~(values <= before)
    scored = [
        tests.get(pair, np.nan) if new else np.nan
        for pair, new in zip(zip(trials["split"], trials["configuration"], strict=True), is_new, strict=True)
    ]
    # The test of an incumbent holds until the next one, also where that has none.
    number = is_new.groupby(runs, sort=False).cumsum()
    test = pd.Series(scored, index=trials.index).groupby([*runs, number], sort=False).transform("first")
    keys = trials["configuration"].where(is_new)
    configuration = keys.groupby([*runs, number], sort=False).transform("first").astype(object)
    spent = cost(trials)
    frame = pd.DataFrame(
        {
            **{name: trials[name] for name in (*_RUN, "split")},
            "trial": trials["number"] + 1,
            "seconds": spent.sum(axis=1).groupby(runs, sort=False).cumsum(),
            "fit_seconds": spent["fit_seconds"].groupby(runs, sort=False).cumsum(),
            "incumbent": incumbent,
            "is_new": is_new,
            "test": test.where(incumbent.notna()),
            "configuration": configuration.where(incumbent.notna(), None),
        }
    )
    return frame.reset_index(drop=True)


def cost(trials: pd.DataFrame) -> pd.DataFrame:
    """fit_seconds, score_seconds and sampler_seconds of each trial; 0 where it did not come that far."""
    names = ["fit_seconds", "score_seconds", "sampler_seconds"]
    return trials.reindex(columns=names).astype(float).fillna(0.0)


def finals(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per run: what it ended with, and what it took.

    Columns: sampler, repetition, split, value (NaN without success), test, trials, distinct (configurations),
    reused (trials that were not trained again), failed, pruned, fit_seconds, score_seconds, sampler_seconds (sums),
    peak_memory_mb (the largest).
    """
    given = trials.reindex(columns=[*trials.columns.union(["duplicate_of", "peak_memory_mb"])])
    given = given.assign(**cost(trials), peak_memory_mb=given["peak_memory_mb"].astype(float))
    groups = given.groupby(_RUN, sort=False)
    frame = groups.agg(
        split=("split", "first"),
        trials=("number", "size"),
        distinct=("configuration", "nunique"),
        reused=("duplicate_of", "count"),
        failed=("state", lambda states: int((states == "FAIL").sum())),
        pruned=("state", lambda states: int((states == "PRUNED").sum())),
        fit_seconds=("fit_seconds", "sum"),
        score_seconds=("score_seconds", "sum"),
        sampler_seconds=("sampler_seconds", "sum"),
        peak_memory_mb=("peak_memory_mb", "max"),
    ).reset_index()
    last = curves.groupby(_RUN, sort=False).tail(1).set_index(_RUN)[["incumbent", "test"]]
    ends = last.loc[pd.MultiIndex.from_frame(frame[_RUN])]
    frame.insert(3, "value", ends["incumbent"].to_numpy(dtype=float))
    frame.insert(4, "test", ends["test"].to_numpy(dtype=float))
    return frame


def incumbents_at(curves: pd.DataFrame, n_trials: int, column: str = "incumbent") -> pd.DataFrame:
    """The incumbent (or another column) of each run after ``n_trials``: repetitions x samplers."""
    rows = curves[curves["trial"] <= n_trials].groupby(_RUN, sort=False).tail(1)
    return rows.pivot(index="repetition", columns="sampler", values=column)


def failures(trials: pd.DataFrame) -> pd.DataFrame:
    """How often each kind of error (the exception's type) was met: sampler, kind, count."""
    failed = trials[trials["state"] == "FAIL"]
    errors = failed["error"] if "error" in failed else pd.Series(dtype=object)
    kinds = errors.fillna("unknown").astype(str).str.partition(":")[0] if len(failed) else errors
    counts = pd.DataFrame({"sampler": failed["sampler"], "kind": kinds}).value_counts(sort=False)
    return counts.rename("count").reset_index()


# --- time to target ---


def times(curves: pd.DataFrame, trials: pd.DataFrame, random: str, budget: int, *, resplit: bool) -> pd.DataFrame:
    """When each run reached what random search is expected to have after half the budget.

    One target per split, from the losses of that split's random trials (:func:`statistics.expected_best`); a failed
    one counts as the worst of those that did not fail. Where each repetition has a split of its own, its random run
    has defined the target and reaches it always, so that it is left out.

    Args:
        curves, trials: of every run.
        random: label of random search.
        budget: trials of each run.
        resplit: whether each repetition has a split of its own.

    Returns:
        One row per run: sampler, repetition, target (the scorer's sign), hit (the first trial at or above it; NaN where
        it was not reached), budget.
    """
    draws = _draws(trials, random)
    half = max(budget // 2, 1)
    pooled = None if resplit else _target(np.concatenate(list(draws.values())), half)
    targets = {r: _target(losses, half) if pooled is None else pooled for r, losses in draws.items()}
    rows = []
    for (sampler, repetition), curve in curves.groupby(_RUN, sort=False):
        if resplit and sampler == random:
            continue
        reached = curve.loc[curve["incumbent"] >= -targets[repetition], "trial"]
        hit = float(reached.iloc[0]) if len(reached) else np.nan
        rows.append((sampler, repetition, -targets[repetition], hit, budget))
    return pd.DataFrame(rows, columns=[*_RUN, "target", "hit", "budget"])


def _draws(trials: pd.DataFrame, random: str) -> dict[int, Array]:
    own = trials[trials["sampler"] == random]
    values = own["value"].where(own["state"] == "COMPLETE")
    return {int(r): as_losses(values[own["repetition"] == r]) for r in own["repetition"].unique()}


def _target(losses: Array, m: int) -> float:
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return np.inf  # whoever succeeds has reached it
    return float(statistics.expected_best(np.minimum(losses, finite.max()), min(m, len(losses))))


def time_table(
    times: pd.DataFrame, curves: pd.DataFrame, trials: pd.DataFrame, random: str, *, resplit: bool
) -> pd.DataFrame:
    """One row per sampler (index): how soon and how surely the target is reached.

    Columns: success_rate, time_to_target (median trial, Kaplan and Meier; inf where fewer than half reach it),
    restricted_mean (mean of the smaller of hit and budget), expected_running_time (trials of all runs per success),
    effort (time_to_target over half the budget: the share of random search's trials that is needed), effort_low,
    effort_high (95%, bootstrap over repetitions, the targets computed anew; NaN below 10 repetitions).
    """
    budget = int(times["budget"].iloc[0])
    half = max(budget // 2, 1)
    lows_highs = _effort_intervals(times, curves, trials, random, resplit=resplit)
    rows = {}
    for sampler, own in times.groupby("sampler", sort=False):
        measured = statistics.time_to_target(own["hit"].to_numpy(), own["budget"].to_numpy())
        low, high = lows_highs.get(str(sampler), (np.nan, np.nan))
        rows[sampler] = {
            "success_rate": measured.success_rate,
            "time_to_target": measured.median,
            "restricted_mean": measured.restricted_mean,
            "expected_running_time": measured.expected_running_time,
            "effort": measured.median / half,
            "effort_low": low / half,
            "effort_high": high / half,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


TIME_COLUMNS = [
    "success_rate", "time_to_target", "restricted_mean", "expected_running_time", "effort", "effort_low", "effort_high",
]  # fmt: skip
FEWEST_FOR_BOOTSTRAP = 10  # repetitions; a bootstrap over fewer covers far less than it says


def _effort_intervals(
    times: pd.DataFrame, curves: pd.DataFrame, trials: pd.DataFrame, random: str, *, resplit: bool
) -> dict[str, tuple[float, float]]:
    hits = times.pivot(index="repetition", columns="sampler", values="hit").fillna(np.inf)
    n = len(hits)
    if n < FEWEST_FOR_BOOTSTRAP:
        return {}
    chosen = np.random.default_rng(_SEED).integers(n, size=(_RESAMPLES, n))
    if resplit:
        medians = {str(sampler): _medians(hits[sampler].to_numpy()[chosen]) for sampler in hits}
    else:
        half = max(int(times["budget"].iloc[0]) // 2, 1)
        draws = _draws(trials, random)
        stacked = [draws[r] for r in hits.index]
        targets = np.array([_target(np.concatenate([stacked[i] for i in row]), half) for row in chosen])
        medians = {}
        for sampler in hits:
            wide = curves[curves["sampler"] == sampler].pivot(index="repetition", columns="trial", values="incumbent")
            losses = as_losses(wide.loc[hits.index].ffill(axis=1))
            medians[str(sampler)] = np.array(
                [
                    _medians(_first_hits(losses[row], target)[None])[0]
                    for row, target in zip(chosen, targets, strict=True)
                ]
            )
    return {sampler: _percentiles(values) for sampler, values in medians.items()}


def _first_hits(losses: Array, target: float) -> Array:
    reached = losses <= target
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def _medians(hits: Array) -> Array:
    """Kaplan and Meier's median of each row: all that is censored is censored at the end."""
    ordered = np.sort(hits, axis=1)
    return np.asarray(ordered[:, (hits.shape[1] + 1) // 2 - 1])


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


# --- overtuning ---


def overtuning(curves: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """One row per run: how much better on the test an earlier incumbent was than the last.

    Columns: sampler, repetition, overtuning (in the metric's units), relative (to the improvement on the test since the
    first incumbent; NaN where there was no improvement), is_worse (whether the last is worse on the test than the
    first: so where the first was the best of all, too).
    """
    rows = []
    for (sampler, repetition), curve in curves.groupby(_RUN, sort=False):
        scored = curve[curve["test"].notna()]
        if len(scored):
            found = statistics.overtuning(
                as_losses(scored["incumbent"]), as_losses(scored["test"]), tolerance=tolerance
            )
            is_worse = bool(found.absolute > found.improvement + tolerance)
            rows.append((sampler, repetition, found.absolute, found.relative, is_worse))
    return pd.DataFrame(rows, columns=[*_RUN, "overtuning", "relative", "is_worse"])
