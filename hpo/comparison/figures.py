"""Figures of a comparison, from tidy frames.

Each function takes a frame in the scorer's sign and returns a Plotly figure that shows errors positive, with its
heading in ``layout.title`` and a sentence on how to read it in ``layout.meta["caption"]``. A sampler has one color,
dash and symbol in all figures that are given the same ``samplers`` (by default those of the frame, in its order).
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from hpo.comparison.curves import incumbent_bands, median_incumbents, settled_range
from hpo.comparison.drawing import (
    MUTED,
    Figure,
    Rows,
    Style,
    add_medians,
    axis_title,
    empty_figure,
    safe,
    say_nothing_to_draw,
    spread,
    styles,
    tick_label,
)  # fmt: skip
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
    figure = empty_figure(
        heading,
        f"Lines: median over {n_repetitions} repetitions of the best value so far; bands: 95% interval of that "
        "median. The dotted line is the reference.",
        height=460, x=x, y=axis_title(metric),
    )  # fmt: skip
    bands = incumbent_bands(curves, against)
    default = _median(reference["value"])
    ends = sorted(metric.shown(end) for end in settled_range(median_incumbents(curves), default))
    for sampler, style in looks.items():
        band = _changes(bands[bands["sampler"] == sampler])
        _add_band(figure, band, metric, style, ends, sampler)
        band = band[np.isfinite(band["median"])]
        figure.add_scatter(
            x=band["at"].to_numpy(), y=metric.sign * band["median"].to_numpy(), mode="lines+markers", line=style.line(),
            marker={**style.marker(), "maxdisplayed": 8}, name=safe(sampler), legendgroup=sampler,
            hovertemplate="%{x:.4~g}: %{y:.4~g}",
        )  # fmt: skip
    if math.isfinite(default):
        figure.add_hline(
            y=metric.shown(default), line_dash="dot", line_color=MUTED, annotation_text="reference",
            annotation_position="top right",
        )  # fmt: skip
    return figure.update_yaxes(range=ends)


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
    figure = empty_figure(
        "Final values", f"A point is the best value of one run, the tall line the median of a sampler.{outside}",
        height=120 + rows.total, x=axis_title(metric),
    )  # fmt: skip
    medians = []
    for (sampler, style), center in zip(looks.items(), rows.centers, strict=True):
        runs = finals[finals["sampler"] == sampler].sort_values("repetition")
        values = metric.sign * runs["value"].to_numpy(float)
        figure.add_scatter(
            x=values, y=center + spread(len(runs), 24), mode="markers", marker={**style.marker(7), "opacity": 0.75},
            text=_origins(runs), hovertemplate="%{text}: %{x:.4~g}<extra></extra>", name=safe(sampler),
            showlegend=False,
        )  # fmt: skip
        medians.append(metric.sign * float(runs["value"].fillna(-np.inf).median()))
    add_medians(figure, medians, rows.centers)
    rows.apply(figure, above=12)
    if is_seen:
        figure.add_vline(
            x=metric.shown(default), line_dash="dot", line_color=MUTED, annotation_text="reference",
            annotation_position="bottom right",
        )  # fmt: skip
    return figure


def superiority(verdicts: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """Forest plot of the probability that one sampler beats another, with a line at 1/2.

    Args:
        verdicts: a row per pair: sampler, against, superiority, superiority_low, superiority_high, p_holm, verdict.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(verdicts, samplers)
    rows = Rows([tick_label(pair.sampler, pair.against, pair.verdict) for pair in verdicts.itertuples()], 42)
    figure = empty_figure(
        "Probability of superiority",
        "How likely a run of the first sampler ends better than a run of the second, with its 95% interval: an "
        "interval that holds 1/2 leaves open which is better.",
        height=120 + rows.total, x="probability that the first is better",
    )  # fmt: skip
    for center, pair in zip(rows.centers, verdicts.itertuples(), strict=True):
        style = looks[str(pair.sampler)]
        up, down = pair.superiority_high - pair.superiority, pair.superiority - pair.superiority_low
        figure.add_scatter(
            x=[pair.superiority], y=[center], mode="markers", marker=style.marker(11), showlegend=False,
            name=safe(pair.sampler),
            error_x={"array": [up], "arrayminus": [down], "color": style.color, "thickness": 2, "width": 5},
            customdata=[[pair.superiority_low, pair.superiority_high, pair.p_holm]],
            hovertemplate="%{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}), "
            "p after Holm %{customdata[2]:.3~g}<extra></extra>",
        )  # fmt: skip
    rows.apply(figure)
    figure.add_vline(x=0.5, line_color=MUTED, line_dash="dash")
    return figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])


def time_to_target(times: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """Survival curves: the share of repetitions that have not reached the target yet (Kaplan and Meier).

    Args:
        times: a row per run: sampler, repetition, hit (first trial at or below the target; NaN: not reached), budget.
        samplers: all samplers of the comparison, in order.
    """
    figure = empty_figure(
        "Time to target",
        "The share of repetitions that have not yet reached what random search is expected to have after half the "
        "budget: the sooner a line falls, the better.",
        height=430, x="trials", y="not there yet",
    )  # fmt: skip
    for sampler, style in styles(times, samplers).items():
        runs = times[times["sampler"] == sampler]
        missed = runs["hit"].isna()
        hits, budgets = runs.loc[~missed, "hit"].to_numpy(), runs.loc[missed, "budget"].to_numpy()
        curve = stats.ecdf(stats.CensoredData(hits, right=budgets)).sf
        end = float(runs["budget"].max())
        left = curve.probabilities[-1]
        figure.add_scatter(
            x=[0.0, *curve.quantiles, end], y=[1.0, *curve.probabilities, left], mode="lines+markers",
            line=style.line(), marker={**style.marker(), "maxdisplayed": 8}, name=safe(sampler), legendgroup=sampler,
            hovertemplate="after %{x:.0f} trials: %{y:.0%}",
        )  # fmt: skip
    return figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%").update_xaxes(rangemode="tozero")


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
    figure = empty_figure(
        "Test against validation",
        f"A point is the final incumbent of one run; {worse} the diagonal it does worse on the sealed test rows than "
        "validation promised.",
        height=480, x=axis_title(metric, "on validation rows"), y=safe(f"{metric.label} on test rows"),
    )  # fmt: skip
    known = finals.dropna(subset=["value", "test"])
    if known.empty:
        return say_nothing_to_draw(figure, "the test rows were not opened")
    for sampler, style in styles(finals, samplers).items():
        runs = known[known["sampler"] == sampler]
        figure.add_scatter(
            x=metric.sign * runs["value"].to_numpy(), y=metric.sign * runs["test"].to_numpy(), mode="markers",
            marker={**style.marker(), "opacity": 0.8}, name=safe(sampler), text=_origins(runs),
            legendgroup=sampler, hovertemplate="%{text}: %{x:.4~g} on validation, %{y:.4~g} on test",
        )  # fmt: skip
    shown = metric.sign * known[["value", "test"]].to_numpy()
    ends = [float(shown.min()), float(shown.max())]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": MUTED, "dash": "dash", "width": 1.5}, hoverinfo="skip",
        name="equal", showlegend=False,
    )  # fmt: skip
    return figure


def _median(values: pd.Series) -> float:
    return float(values.median()) if values.notna().any() else math.nan


def _changes(band: pd.DataFrame) -> pd.DataFrame:
    """A step function without the rows at which nothing steps; its last row stays."""
    steps = band[["median", "low", "high"]]
    is_new = (steps != steps.shift()).any(axis=1)
    is_new.iloc[-1] = True
    return band[is_new]


def _add_band(
    figure: Figure, band: pd.DataFrame, metric: Metric, style: Style, ends: list[float], sampler: str
) -> None:
    """The interval as a veil; an end that is not known is far outside of the picture, and no band where none is."""
    ends_known = np.isfinite(band[["low", "high"]].to_numpy())
    if not ends_known.any():
        return
    beyond = 10 * (ends[1] - ends[0])
    outline = {"shape": "hv", "width": 0, "color": style.color}
    for column, fill in (("low", None), ("high", "tonexty")):
        edge = np.clip(metric.sign * band[column].to_numpy(float), ends[0] - beyond, ends[1] + beyond)
        figure.add_scatter(
            x=band["at"].to_numpy(), y=edge, mode="lines", line=outline, fill=fill, fillcolor=style.veil,
            showlegend=False, legendgroup=sampler, hoverinfo="skip",
        )  # fmt: skip


def _origins(runs: pd.DataFrame) -> list[str]:
    return [f"split {row.split}, repetition {row.repetition}" for row in runs.itertuples()]


def _is_near(reference: float, values: pd.Series) -> bool:
    """Whether the reference can be in the picture without squashing the values."""
    span = 1.5 * (values.max() - values.min())
    return bool(values.min() - span <= reference <= values.max() + span)
