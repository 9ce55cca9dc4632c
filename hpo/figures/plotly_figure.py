"""A figure drawn by Plotly, for pages and notebooks."""

import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.figures.figure import (
    GRID,
    INK,
    MUTED,
    VEIL,
    Axis,
    Band,
    Bars,
    Figure,
    Intervals,
    Label,
    Line,
    Look,
    Mark,
    Note,
    Panel,
    Points,
    Rule,
    Strokes,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

_GAP = 80  # pixels between two panels, for the axis of the upper one
_AROUND = 120  # pixels above and below all panels
_NORTH_SOUTH = 1.4  # Plotly draws its symbol line-ns so many times as long as its size
_FONT = "system-ui, sans-serif"
_AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": MUTED, "automargin": True, "showline": True}


def plotly_figure(figure: Figure) -> "go.Figure":
    """Draw a figure with Plotly, its heading in ``layout.title`` and its caption in ``layout.meta["caption"]``."""
    import plotly.graph_objects as go

    heights = [panel.height for panel in figure.panels]
    inner = sum(heights) + _GAP * (len(heights) - 1)
    drawn = go.Figure(
        layout={
            "template": "none",
            "title": {"text": _safe(figure.heading), "x": 0.02, "xanchor": "left", "font": {"size": 18}},
            "meta": {"caption": figure.caption},
            "font": {"family": _FONT, "size": 13, "color": INK},
            "height": int(inner + _AROUND),
            "margin": {"l": 60, "r": 16, "t": 50, "b": 50},
            "hoverlabel": {"font": {"family": _FONT}},
            "hovermode": "closest",
            # Below the picture, where many samplers make it grow without covering anything.
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None},
        }
    )
    if len(heights) > 1:
        drawn.set_subplots(len(heights), 1, vertical_spacing=_GAP / inner, row_heights=heights)
    for i, panel in enumerate(figure.panels):
        _draw_panel(drawn, panel, {"row": i + 1, "col": 1} if len(heights) > 1 else {})
    if figure.nothing:
        drawn.add_annotation(text=_safe(figure.nothing), showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
        drawn.update_xaxes(visible=False).update_yaxes(visible=False)
    return drawn


def _draw_panel(drawn: Any, panel: Panel, place: dict[str, int]) -> None:
    drawn.update_xaxes(**_AXIS, **_axis(panel.x, standoff=6), **place)
    drawn.update_yaxes(**_AXIS, **_axis(panel.y, standoff=8), **place)
    for mark in panel.marks:
        _draw(mark, drawn, panel, place)


def _axis(axis: Axis, *, standoff: int) -> dict[str, Any]:
    options: dict[str, Any] = {"title": {"text": _safe(axis.title), "standoff": standoff}, "showgrid": axis.has_grid}
    if axis.is_log:
        options |= {"type": "log", "exponentformat": "none"}
    if axis.limits is not None:
        options["range"] = [math.log10(end) if axis.is_log else end for end in axis.limits]
    elif axis.from_zero:
        options["rangemode"] = "tozero"
    if axis.ticks is not None:
        options |= {"tickvals": list(axis.ticks), "ticktext": [_label(label) for label in axis.ticks.values()]}
    if axis.is_share:
        options["tickformat"] = ".0%"
    return options


def _label(label: Label) -> str:
    first = f"<b>{_safe(label.bold)}</b>" if label.bold else ""
    return "<br>".join([first + _safe(label.rest), *map(_safe, label.below)])


def _draw(mark: Mark, drawn: Any, panel: Panel, place: dict[str, int]) -> None:
    match mark:
        case Line():
            _draw_line(mark, drawn, place)
        case Band():
            _draw_band(mark, drawn, place)
        case Points():
            _draw_points(mark, drawn, place)
        case Strokes():
            _draw_strokes(mark, drawn, place)
        case Intervals():
            _draw_intervals(mark, drawn, place)
        case Bars():
            _draw_bars(mark, drawn, place)
        case Rule():
            _draw_rule(mark, drawn, place, panel)
        case Note():
            _draw_note(mark, drawn, place)


def _draw_line(mark: Line, drawn: Any, place: dict[str, int]) -> None:
    symbols: dict[str, Any] = {}
    if mark.most_symbols != 0:
        symbols = {"marker": _marker(mark.look, mark.symbol_size) | {"maxdisplayed": mark.most_symbols or 0}}
    shape = "hv" if mark.is_stepped else "linear"
    drawn.add_scatter(
        x=np.asarray(mark.x, float), y=np.asarray(mark.y, float), mode="lines+markers" if symbols else "lines",
        line={"color": mark.look.color, "dash": mark.look.dash, "shape": shape, "width": mark.width},
        legendgroup=mark.name or None, showlegend=bool(mark.name), **symbols, **_said(mark.name, mark.hover), **place,
    )  # fmt: skip


def _draw_band(mark: Band, drawn: Any, place: dict[str, int]) -> None:
    red, green, blue = (int(mark.look.color[i : i + 2], 16) for i in (1, 3, 5))
    outline = {"shape": "hv" if mark.is_stepped else "linear", "width": 0, "color": mark.look.color}
    for edge, fill in ((mark.low, None), (mark.high, "tonexty")):
        drawn.add_scatter(
            x=np.asarray(mark.x, float), y=np.asarray(edge, float), mode="lines", line=outline, fill=fill,
            fillcolor=f"rgba({red}, {green}, {blue}, {VEIL})", showlegend=False, legendgroup=mark.name or None,
            hoverinfo="skip", **place,
        )  # fmt: skip


def _draw_points(mark: Points, drawn: Any, place: dict[str, int]) -> None:
    drawn.add_scatter(
        x=np.asarray(mark.x, float), y=np.asarray(mark.y, float), mode="markers",
        marker=_marker(mark.look, mark.size) | {"opacity": mark.opacity}, text=list(mark.about) or None,
        legendgroup=mark.name if mark.in_legend else None, showlegend=mark.in_legend,
        **_said(mark.name, mark.hover), **place,
    )  # fmt: skip


def _draw_strokes(mark: Strokes, drawn: Any, place: dict[str, int]) -> None:
    stroke = {"symbol": "line-ns", "size": mark.height / _NORTH_SOUTH, "line": {"color": INK, "width": mark.width}}
    drawn.add_scatter(
        x=np.asarray(mark.x, float), y=np.asarray(mark.y, float), mode="markers", marker=stroke, showlegend=False,
        **_said(mark.name, mark.hover), **place,
    )  # fmt: skip


def _draw_intervals(mark: Intervals, drawn: Any, place: dict[str, int]) -> None:
    x, low, high = (np.asarray(values, float) for values in (mark.x, mark.low, mark.high))
    bars = {"array": high - x, "arrayminus": x - low, "color": mark.look.color, "thickness": 2, "width": 5}
    drawn.add_scatter(
        x=x, y=np.asarray(mark.y, float), mode="markers", marker=_marker(mark.look, mark.size), error_x=bars,
        customdata=[list(row) for row in mark.about] or None, showlegend=False, **_said(mark.name, mark.hover), **place,
    )  # fmt: skip


def _draw_bars(mark: Bars, drawn: Any, place: dict[str, int]) -> None:
    drawn.add_bar(
        x=np.asarray(mark.lengths), y=np.asarray(mark.y, float), width=mark.thickness, orientation="h",
        marker={"color": mark.look.color, "pattern": {"shape": mark.pattern}}, showlegend=False,
        text=[f"{length:g}" for length in mark.lengths], textposition="outside", cliponaxis=False,
        **_said(mark.name, mark.hover), **place,
    )  # fmt: skip


def _draw_rule(mark: Rule, drawn: Any, place: dict[str, int], panel: Panel) -> None:
    line: dict[str, Any] = {"line_dash": mark.dash, "line_color": MUTED}
    if mark.y is not None:
        note = {"annotation_text": _safe(mark.text), "annotation_position": "top right"} if mark.text else {}
        drawn.add_hline(y=mark.y, **line, **note, **place)
        return
    assert mark.x is not None
    drawn.add_vline(x=mark.x, **line, **place)
    if mark.text:
        drawn.add_annotation(
            x=math.log10(mark.x) if panel.x.is_log else mark.x, y=1, yref="paper", yanchor="bottom",
            text=_safe(mark.text), showarrow=False, font={"color": INK},
        )  # fmt: skip


def _draw_note(mark: Note, drawn: Any, place: dict[str, int]) -> None:
    drawn.add_annotation(
        x=mark.x, y=mark.y, text=_safe(mark.text), showarrow=False, xanchor="left", yanchor="bottom", yshift=4, **place
    )


def _marker(look: Look, size: float) -> dict[str, Any]:
    return {"color": look.color, "symbol": look.symbol, "size": size}


def _said(name: str, hover: str) -> dict[str, Any]:
    """Name of a trace, and what is said below the pointer; nothing where there is no template."""
    named = {"name": _safe(name)} if name else {}
    return named | ({"hovertemplate": hover} if hover else {"hoverinfo": "skip"})


def _safe(text: str) -> str:
    """Text that Plotly shows as it is, which reads a little HTML."""
    return escape(text, quote=False)
