"""What all figures of a comparison share: a style for each sampler, an empty figure, rows of samplers, safe text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from hpo.units import Metric

Figure = Any  # plotly.graph_objects.Figure, which takes a second to import

INK = "#000000"  # a page turns it into white in dark mode
MUTED = "#777777"  # seen on white and on black
AXIS = {"gridcolor": "#dddddd", "zeroline": False, "linecolor": MUTED, "automargin": True, "showline": True}
# Okabe and Ito (2008): told apart by the colour-blind; dashes and symbols tell them apart in print too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "cross", "pentagon", "hourglass",
    "triangle-left",
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a sampler looks in every figure; the first 42 differ in color or dash, the first 77 in color or symbol."""

    color: str
    dash: str
    symbol: str

    @property
    def veil(self) -> str:
        """The color, nearly transparent."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, 0.18)"

    def marker(self, size: int = 8) -> dict[str, Any]:
        """Plotly's marker."""
        return {"color": self.color, "symbol": self.symbol, "size": size}

    def line(self, width: float = 2.5) -> dict[str, Any]:
        """Plotly's line: a step function."""
        return {"color": self.color, "dash": self.dash, "shape": "hv", "width": width}


def styles(frame: pd.DataFrame, samplers: Sequence[str] | None) -> dict[str, Style]:
    """A style for each sampler, in the order they are to be shown.

    Args:
        frame: with a column sampler.
        samplers: all samplers of the comparison. A frame that lacks some gives the others the same style as the
            other figures do only where they are given.
    """
    present = list(dict.fromkeys(frame["sampler"]))
    order = dict.fromkeys([*samplers, *present]) if samplers is not None else present
    found = {
        sampler: Style(COLORS[i % len(COLORS)], _DASHES[i % len(_DASHES)], _SYMBOLS[i % len(_SYMBOLS)])
        for i, sampler in enumerate(order)
    }
    return {sampler: style for sampler, style in found.items() if sampler in present}


def safe(text: object) -> str:
    """Text that Plotly shows as it is, which reads a little HTML."""
    return escape(str(text), quote=False)


def tick_label(sampler: str, against: str = "", remark: str = "") -> str:
    """A sampler beside its row; each of its options, whom it is compared with and a remark on lines of their own."""
    lines = [*_name_lines(sampler)]
    if against:
        other = [line.replace("<b>", "").replace("</b>", "") for line in _name_lines(against)]
        joined = f"against {other[0]}"
        lines = [f"{lines[0]} {joined}", *other[1:]] if len(lines) == 1 else [*lines, joined, *other[1:]]
    return "<br>".join([*lines, safe(remark)] if remark else lines)


def _name_lines(sampler: str) -> list[str]:
    name, bracket, options = safe(sampler).partition("(")
    return [f"<b>{name}</b>", *(f"{bracket}{options}".replace(", ", ",\n").split("\n") if bracket else [])]


def axis_title(metric: Metric, what: str = "") -> str:
    """``log loss on validation rows (lower is better)``."""
    return safe(" ".join(part for part in (metric.label, what, f"({metric.direction})") if part))


def empty_figure(heading: str, caption: str, *, height: int, x: str = "", y: str = "") -> Figure:
    """A figure without marks; a page takes its heading from ``layout.title`` and its caption from ``layout.meta``."""
    import plotly.graph_objects as go

    return go.Figure(
        layout={
            "template": "none",
            "title": {"text": heading, "x": 0.02, "xanchor": "left", "font": {"size": 18}},
            "meta": {"caption": caption},
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "height": height,
            "margin": {"l": 60, "r": 16, "t": 50, "b": 50},
            "xaxis": {**AXIS, "title": {"text": x, "standoff": 6}},
            "yaxis": {**AXIS, "title": {"text": y, "standoff": 8}},
            "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
            "hovermode": "closest",
            # Below the picture, where many samplers make it grow without covering anything.
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None},
        }
    )


@dataclass(frozen=True)
class Rows:
    """Rows below each other, each as high as its label needs; the unit of y is a pixel, downward.

    Attributes:
        labels: as `tick_label` makes them.
        least: height of a row of one line.
    """

    labels: Sequence[str]
    least: int

    @property
    def heights(self) -> np.ndarray:
        """Of each row."""
        return np.array([max(self.least, 18 * (1 + label.count("<br>")) + 6) for label in self.labels], dtype=float)

    @property
    def centers(self) -> np.ndarray:
        """Where the marks of each row belong."""
        return np.cumsum(self.heights) - self.heights / 2

    @property
    def total(self) -> int:
        """Height of all rows."""
        return int(self.heights.sum())

    def apply(self, figure: Figure, *, above: float = 0) -> None:
        """Label the y axes, with so many pixels left free above the rows."""
        figure.update_yaxes(
            tickvals=self.centers, ticktext=list(self.labels), range=[self.total, -above], showgrid=False,
            title_text="", ticks="",
        )  # fmt: skip


def spread(n_points: int, width: float) -> np.ndarray:
    """Offsets over ``width`` that keep the points of one row from hiding each other, the same every time."""
    return np.linspace(-width / 2, width / 2, n_points) if n_points > 1 else np.zeros(n_points)


def say_nothing_to_draw(figure: Figure, why: str) -> Figure:
    """The figure with a sentence instead of marks."""
    figure.add_annotation(text=safe(why), showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def add_medians(figure: Figure, medians: Sequence[float], centers: np.ndarray, **place: int) -> None:
    """A tall line at each row's median where there is one; ``place`` is row and col of the panel."""
    known = np.isfinite(np.array(medians, dtype=float))
    figure.add_scatter(
        x=np.array(medians, dtype=float)[known], y=centers[known], mode="markers", showlegend=False, name="median",
        marker={"symbol": "line-ns", "size": 24, "line": {"color": INK, "width": 3}},
        hovertemplate="median: %{x:.4~g}<extra></extra>", **place,
    )  # fmt: skip
