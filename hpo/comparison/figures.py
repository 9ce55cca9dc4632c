"""Figures of a comparison, from tidy frames.

Each function takes a frame in the scorer's sign and returns a figure that shows errors positive. A sampler has one
color, dash and symbol in all figures that are given the same ``samplers`` (by default those of the frame, in order).
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from hpo.comparison.curves import incumbent_bands, median_incumbents, settled_range
from hpo.figures.figure import MUTED, Axis, Band, Figure, Intervals, Label, Line, Look, Mark, Panel, Points, Rule
from hpo.figures.style import Rows, axis_title, median_strokes, spread, styles, tick_label
from hpo.units import Metric

_CLOCKS = {
    "trial": ("Best value so far, by trials", "trials"),
    "seconds": ("Best value so far, by wall-clock time", "seconds of sampling, fitting and scoring"),
    "fit_seconds": ("Best value so far, by time spent fitting", "seconds of fitting"),
}


def incumbents(
    curves: pd.DataFrame,
    reference: pd.DataFrame,
    metric: Metric,
    against: str = "trial",
    *,
    samplers: Sequence[str] | None = None,
) -> Figure:
    """Median incumbent of each sampler as a step function, with its 95% interval as a band.

    Args:
        curves: columns sampler, repetition, trial, seconds, fit_seconds, incumbent; see `incumbent_bands`.
        reference: columns split, value.
        metric: how values are shown.
        against: ``trial``, ``seconds`` or ``fit_seconds``.
        samplers: all samplers of the comparison, in order.
    """
    heading, x = _CLOCKS[against]
    looks = styles(curves, samplers)
    n_repetitions = curves["repetition"].nunique()
    caption = (
        f"Lines: median over {n_repetitions} repetitions of the best value so far; bands: 95% interval of that "
        "median. The dotted line is the reference."
    )
    bands = incumbent_bands(curves, against)
    default = _median(reference["value"])
    ends = sorted(metric.shown(end) for end in settled_range(median_incumbents(curves), default))
    marks: list[Mark] = []
    for sampler, look in looks.items():
        band = _changes(bands[bands["sampler"] == sampler])
        marks += _veil(band, metric, look, ends, sampler)
        band = band[np.isfinite(band["median"])]
        marks.append(
            Line(
                x=band["at"].to_numpy(), y=metric.sign * band["median"].to_numpy(), look=look, name=sampler,
                is_stepped=True, most_symbols=8, hover="%{x:.4~g}: %{y:.4~g}",
            )
        )  # fmt: skip
    if math.isfinite(default):
        marks.append(Rule(y=metric.shown(default), text="reference"))
    y = Axis(title=axis_title(metric), limits=(ends[0], ends[1]))
    return Figure(heading, caption, (Panel(x=Axis(title=x), y=y, marks=tuple(marks)),))


def finals(
    finals: pd.DataFrame, reference: pd.DataFrame, metric: Metric, *, samplers: Sequence[str] | None = None
) -> Figure:
    """Final value of each run as a point, and the median of each sampler; runs without a success are counted.

    Args:
        finals: columns sampler, repetition, split, value.
        reference: columns split, value.
        metric: how values are shown.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(finals, samplers)
    n_missing = finals["value"].isna().groupby(finals["sampler"]).sum()
    rows = Rows([tick_label(s, remark=f"{n_missing[s]} without success" if n_missing[s] else "") for s in looks], 42)
    default = _median(reference["value"])
    is_seen = _is_near(default, finals["value"])
    outside = "" if is_seen or math.isnan(default) else f" The reference, {metric.text(default)}, is outside."
    medians, marks = [], list[Mark]()
    for (sampler, look), center in zip(looks.items(), rows.centers, strict=True):
        runs = finals[finals["sampler"] == sampler].sort_values("repetition")
        values = metric.sign * runs["value"].to_numpy(float)
        marks.append(
            Points(
                x=values, y=center + spread(len(runs), 24), look=look, name=sampler, size=7, opacity=0.75,
                about=_origins(runs), hover="%{text}: %{x:.4~g}<extra></extra>",
            )
        )  # fmt: skip
        medians.append(metric.sign * float(runs["value"].fillna(-np.inf).median()))
    marks.append(median_strokes(medians, rows.centers, height=34))
    if is_seen:
        marks.append(Rule(x=metric.shown(default), text="reference"))
    return Figure(
        "Final values", f"A point is the best value of one run, the tall line the median of a sampler.{outside}",
        (Panel(x=Axis(title=axis_title(metric)), y=rows.axis(above=12), marks=tuple(marks), height=rows.total + 12),),
    )  # fmt: skip


def superiority(verdicts: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """Forest plot of the probability that one sampler beats another, with a line at 1/2.

    Args:
        verdicts: a row per pair: sampler, against, superiority, superiority_low, superiority_high, p_holm, verdict.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(verdicts, samplers)
    rows = Rows([tick_label(pair.sampler, pair.against, pair.verdict) for pair in verdicts.itertuples()], 42)
    caption = (
        "How likely a run of the first sampler ends better than a run of the second, with its 95% interval: an "
        "interval that holds 1/2 leaves open which is better."
    )
    said = "%{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}), p after Holm %{customdata[2]:.3~g}<extra></extra>"
    marks: list[Mark] = [Rule(x=0.5, dash="dash")]
    marks += [
        Intervals(
            x=[pair.superiority], low=[pair.superiority_low], high=[pair.superiority_high], y=[center],
            look=looks[str(pair.sampler)], name=str(pair.sampler), hover=said,
            about=[[pair.superiority_low, pair.superiority_high, pair.p_holm]],
        )
        for center, pair in zip(rows.centers, verdicts.itertuples(), strict=True)
    ]  # fmt: skip
    ticks = {value: Label("", f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)}
    x = Axis(title="probability that the first is better", limits=(-0.03, 1.03), ticks=ticks)
    panel = Panel(x=x, y=rows.axis(), marks=tuple(marks), height=rows.total)
    return Figure("Probability of superiority", caption, (panel,))


def time_to_target(times: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """Survival curves: the share of repetitions that have not reached the target yet (Kaplan and Meier).

    Args:
        times: a row per run: sampler, repetition, hit (first trial at or below the target; NaN: not reached), budget.
        samplers: all samplers of the comparison, in order.
    """
    caption = (
        "The share of repetitions that have not yet reached what random search is expected to have after half the "
        "budget: the sooner a line falls, the better."
    )
    marks = []
    for sampler, look in styles(times, samplers).items():
        runs = times[times["sampler"] == sampler]
        missed = runs["hit"].isna()
        hits, budgets = runs.loc[~missed, "hit"].to_numpy(), runs.loc[missed, "budget"].to_numpy()
        curve = stats.ecdf(stats.CensoredData(hits, right=budgets)).sf
        end = float(runs["budget"].max())
        left = curve.probabilities[-1]
        marks.append(
            Line(
                x=[0.0, *curve.quantiles, end], y=[1.0, *curve.probabilities, left], look=look, name=sampler,
                is_stepped=True, most_symbols=8, hover="after %{x:.0f} trials: %{y:.0%}",
            )
        )  # fmt: skip
    x, y = Axis(title="trials", from_zero=True), Axis(title="not there yet", limits=(-0.03, 1.03), is_share=True)
    return Figure("Time to target", caption, (Panel(x=x, y=y, marks=tuple(marks), height=310),))


def test_against_validation(
    finals: pd.DataFrame,
    metric: Metric,
    *,
    samplers: Sequence[str] | None = None,  # noqa: PT028 it draws the test rows' scores, and is no test
) -> Figure:
    """Score of each final incumbent on the sealed test rows against its score on validation rows.

    Args:
        finals: columns sampler, split, repetition, value, test (NaN where unknown).
        metric: how values are shown.
        samplers: all samplers of the comparison, in order.
    """
    worse = "above" if metric.sign == -1 else "below"
    caption = (
        f"A point is the final incumbent of one run; {worse} the diagonal it does worse on the sealed test rows than "
        "validation promised."
    )
    known = finals.dropna(subset=["value", "test"])
    marks: list[Mark] = []
    for sampler, look in styles(finals, samplers).items():
        runs = known[known["sampler"] == sampler]
        marks.append(
            Points(
                x=metric.sign * runs["value"].to_numpy(), y=metric.sign * runs["test"].to_numpy(), look=look,
                name=sampler, in_legend=True, opacity=0.8, about=_origins(runs),
                hover="%{text}: %{x:.4~g} on validation, %{y:.4~g} on test",
            )
        )  # fmt: skip
    if len(known):
        shown = metric.sign * known[["value", "test"]].to_numpy()
        ends = [float(shown.min()), float(shown.max())]
        marks.append(Line(x=ends, y=ends, look=Look(MUTED, "dash"), width=1.5))
    x, y = Axis(title=axis_title(metric, "on validation rows")), Axis(title=f"{metric.label} on test rows")
    return Figure(
        "Test against validation", caption, (Panel(x=x, y=y, marks=tuple(marks), height=360),),
        nothing="" if len(known) else "the test rows were not opened",
    )  # fmt: skip


def _median(values: pd.Series) -> float:
    return float(values.median()) if values.notna().any() else math.nan


def _changes(band: pd.DataFrame) -> pd.DataFrame:
    """A step function without the rows at which nothing steps; its last row stays."""
    steps = band[["median", "low", "high"]]
    is_new = (steps != steps.shift()).any(axis=1)
    is_new.iloc[-1] = True
    return band[is_new]


def _veil(band: pd.DataFrame, metric: Metric, look: Look, ends: list[float], sampler: str) -> list[Mark]:
    """The interval; an end that is not known is far outside of the picture, and no band where none is."""
    if not np.isfinite(band[["low", "high"]].to_numpy()).any():
        return []
    beyond = 10 * (ends[1] - ends[0])
    low, high = (
        np.clip(metric.sign * band[column].to_numpy(float), ends[0] - beyond, ends[1] + beyond)
        for column in ("low", "high")
    )
    return [Band(x=band["at"].to_numpy(), low=low, high=high, look=look, name=sampler, is_stepped=True)]


def _origins(runs: pd.DataFrame) -> list[str]:
    return [f"split {row.split}, repetition {row.repetition}" for row in runs.itertuples()]


def _is_near(reference: float, values: pd.Series) -> bool:
    """Whether the reference can be in the picture without squashing the values."""
    span = 1.5 * (values.max() - values.min())
    return bool(values.min() - span <= reference <= values.max() + span)
