"""Figures of a comparison drawn with characters, for terminals."""

import math
from collections.abc import Callable

import pandas as pd

from hpo.comparison.curves import median_incumbents, settled_range
from hpo.units import Metric


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
    low, high = sorted(settled_range(medians, metric.shown(reference)))
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


def _markers(samplers: list[str]) -> list[str]:
    """For each sampler a letter of its name that no other has."""
    markers: list[str] = []
    for sampler in samplers:
        markers.append(next((letter for letter in f"{sampler}0123456789" if letter not in markers), "*"))
    return markers
