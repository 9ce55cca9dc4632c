"""What the median run had reached after so many trials or seconds, with how sure that is."""

import math

import numpy as np
import pandas as pd

from hpo.comparison.statistics.effort import median_interval

_MOST_TIMES = 300  # a page is 1,000 pixels wide; more instants cannot be seen


def incumbent_bands(curves: pd.DataFrame, against: str = "trial") -> pd.DataFrame:
    """Median over repetitions of the incumbent, with its order-statistic interval of 95%.

    A repetition without a success so far counts as the worst (-inf), so that the median is over all of them.
    Against trials, a run that ended early is held flat up to the longest: its space was exhausted. Against time,
    a sampler's curve ends where the first of its repetitions ended, and has at most 300 instants.

    Args:
        curves: columns sampler, repetition, trial (from 1), incumbent, and the one named by ``against``.
        against: ``trial``, ``seconds`` or ``fit_seconds``, not falling within a repetition.

    Returns:
        Tidy, samplers in the order they first appear: sampler, at (trial or seconds), median, low, high (the
        scorer's sign, -inf and inf where it is not known). Between two rows the values are those of the first.
    """
    n_trials = int(curves["trial"].max())
    frames = []
    for sampler, runs in curves.groupby("sampler", sort=False):
        at, values = _held(runs, n_trials) if against == "trial" else _at_times(runs, against)
        losses = median_interval(-values, axis=1)
        frame = pd.DataFrame({"at": at, "median": -losses.estimate, "low": -losses.high, "high": -losses.low})
        frames.append(frame.assign(sampler=sampler))
    return pd.concat(frames, ignore_index=True)[["sampler", "at", "median", "low", "high"]]


def median_incumbents(curves: pd.DataFrame) -> pd.DataFrame:
    """Median over repetitions of the incumbent at each trial, as `incumbent_bands` has it.

    Returns:
        One row per trial (index), one column per sampler, in the order they first appear; the scorer's sign; NaN
        where the median repetition has no success yet.
    """
    bands = incumbent_bands(curves)
    wide = bands.pivot(index="at", columns="sampler", values="median").rename_axis(index="trial", columns=None)
    return wide[list(bands["sampler"].unique())].replace([-np.inf, np.inf], np.nan)


def settled_range(medians: pd.DataFrame, reference: float) -> tuple[float, float]:
    """What the curves of `median_incumbents` span after their first quarter, with a margin.

    The first trials are often so much worse that nothing else could be told apart: they may leave the picture.
    """
    settled = medians[medians.index > medians.index.max() // 4].stack()
    spanned = [value for value in (settled.min(), settled.max(), reference) if math.isfinite(value)]
    low, high = (min(spanned), max(spanned)) if spanned else (0.0, 1.0)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _held(runs: pd.DataFrame, n_trials: int) -> "tuple[np.ndarray, np.ndarray]":
    """Trials (T) and the incumbents of all repetitions at each (T x S)."""
    wide = runs.pivot(index="trial", columns="repetition", values="incumbent")
    at = np.arange(1, n_trials + 1)
    return at, wide.reindex(at).ffill().fillna(-np.inf).to_numpy()


def _at_times(runs: pd.DataFrame, clock: str) -> "tuple[np.ndarray, np.ndarray]":
    """Instants (T) and the incumbents of all repetitions at each (T x S)."""
    paths = [
        (run[clock].to_numpy(float), run["incumbent"].ffill().fillna(-np.inf).to_numpy())
        for _, run in runs.dropna(subset=clock).sort_values("trial").groupby("repetition")
    ]
    end = min(times[-1] for times, _ in paths)
    at = np.unique(np.concatenate([times[times <= end] for times, _ in paths]))
    if len(at) > _MOST_TIMES:
        at = np.linspace(at[0], end, _MOST_TIMES)
    columns = []
    for times, incumbents in paths:
        last = np.searchsorted(times, at, side="right") - 1
        columns.append(np.where(last < 0, -np.inf, incumbents[np.maximum(last, 0)]))
    return at, np.column_stack(columns)
