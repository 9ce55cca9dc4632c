"""Figures of a comparison, from tidy frames: Plotly for pages, characters for terminals."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from hpo.units import Metric

Figure = Any  # plotly.graph_objects.Figure, which takes a second to import

# Okabe and Ito (2008): told apart by the colour-blind; dashes tell them apart in print too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def median_incumbents(curves: pd.DataFrame) -> pd.DataFrame:
    """Median over repetitions of the incumbent at each trial, held flat where a run ended early.

    Args:
        curves: columns sampler, repetition, trial, incumbent.

    Returns:
        One row per trial (index), one column per sampler, in the order they first appear; the scorer's sign.
    """
    wide = curves.pivot(index="trial", columns=["sampler", "repetition"], values="incumbent").ffill()
    medians = {sampler: wide[sampler].median(axis=1) for sampler in curves["sampler"].unique()}
    return pd.DataFrame(medians)


def incumbents(curves: pd.DataFrame, reference: float, metric: Metric) -> Figure:
    """Median incumbent against trials with each repetition faint behind it; errors positive."""
    import plotly.graph_objects as go

    figure = go.Figure()
    medians = median_incumbents(curves)
    for i, sampler in enumerate(medians):
        color = COLORS[i % len(COLORS)]
        for _, run in curves[curves["sampler"] == sampler].groupby("repetition"):
            figure.add_scatter(
                x=run["trial"], y=metric.sign * run["incumbent"], mode="lines", line={"shape": "hv", "width": 1},
                line_color=color, opacity=0.2, showlegend=False, hoverinfo="skip",
            )  # fmt: skip
        figure.add_scatter(
            x=medians.index, y=metric.sign * medians[sampler], mode="lines", name=f"{sampler} (median)",
            line={"shape": "hv", "width": 3, "dash": _DASHES[i % len(_DASHES)], "color": color},
        )  # fmt: skip
    if math.isfinite(reference):  # it may have failed
        figure.add_hline(
            y=metric.shown(reference), line_dash="dot", line_color="#777777", annotation_text="reference",
            annotation_position="top left",
        )  # fmt: skip
    low, high = _settled_range(medians, reference)
    figure.update_yaxes(range=sorted((metric.shown(low), metric.shown(high))))
    figure.update_layout(
        xaxis_title="trials", yaxis_title=f"{metric.label} ({metric.direction})", template="plotly_white",
        margin={"l": 60, "r": 20, "t": 30, "b": 50}, legend={"orientation": "h", "y": 1.08},
    )  # fmt: skip
    return figure


def incumbents_text(curves: pd.DataFrame, reference: float, metric: Metric, *, width: int, color: bool) -> str:
    """The median incumbents drawn with characters, each sampler with a letter of its own."""
    import plotille

    medians = metric.sign * median_incumbents(curves)
    n_trials = int(medians.index.max())
    figure = plotille.Figure()
    figure.width, figure.height = max(width - 20, 30), 14
    figure.with_colors, figure.color_mode = color, "names"
    figure.x_label, figure.y_label = "trial", metric.label
    figure.set_x_limits(1, max(n_trials, 2))
    low, high = sorted(_settled_range(medians, metric.shown(reference)))
    figure.set_y_limits(low, high)
    figure.x_ticks_fkt = _once(lambda value: f"{value:.0f}")
    figure.y_ticks_fkt = lambda value, _: f"{value:>9.4g}"
    if math.isfinite(reference):
        figure.plot([1, n_trials], [metric.shown(reference)] * 2, lc="white" if color else None, label="reference")
    markers = _markers(list(medians))
    for i, sampler in enumerate(medians):
        visible = medians[sampler].dropna()
        visible = visible[(visible >= low) & (visible <= high)]
        figure.scatter(
            list(visible.index), list(visible), marker=markers[i], label=sampler,
            lc=("blue", "red", "green", "magenta", "yellow", "cyan")[i % 6] if color else None,
        )  # fmt: skip
    lines = str(figure.show(legend=False)).splitlines()
    legend = [f"{marker} {sampler}" for marker, sampler in zip(markers, medians, strict=True)]
    return "\n".join([*lines, "   ".join([*legend, "─ reference"]) + f"   ({metric.direction})"])


def _once(label: Callable[[float], str]) -> Callable[[float, float], str]:
    """Labels of ticks, each shown where it first comes: few trials have more ticks than numbers."""
    seen: set[str] = set()

    def tick(value: float, _: float) -> str:
        text = label(value)
        is_new = text not in seen
        seen.add(text)
        return text if is_new else ""

    return tick


def _settled_range(medians: pd.DataFrame, reference: float) -> tuple[float, float]:
    """What the curves span after their first quarter, with a margin.

    The first trials are often so much worse that nothing else could be told apart: they may leave the picture.
    """
    settled = medians[medians.index > medians.index.max() // 4].stack()
    spanned = [value for value in (settled.min(), settled.max(), reference) if math.isfinite(value)]
    low, high = (min(spanned), max(spanned)) if spanned else (0.0, 1.0)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _markers(samplers: list[str]) -> list[str]:
    """For each sampler a letter of its name that no other has."""
    markers: list[str] = []
    for sampler in samplers:
        markers.append(next((letter for letter in f"{sampler}0123456789" if letter not in markers), "*"))
    return markers
