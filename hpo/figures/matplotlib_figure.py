"""A figure drawn by matplotlib, for files: without a browser, a display, or a home folder.

Nothing global is touched (no pyplot, no backend), the settings of a matplotlibrc are left out, and the same figure
gives the same bytes again.
"""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.legend import Legend

_WIDTH = 900  # pixels
_DPI = 96  # pixels of an inch, as in CSS
_SIDE = 16  # pixels that stay free left and right
_GAP = 14  # pixels between the parts of a figure
_POINT = 72 / _DPI  # points of a pixel
# DejaVu Sans comes with matplotlib; these have letters that it lacks, where one is installed.
_MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Hiragino Sans", "Yu Gothic",
    "Microsoft YaHei", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Sans Devanagari",
)  # fmt: skip
_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 13 * _POINT,
    "grid.color": GRID,
    "grid.linewidth": _POINT,
    "hatch.color": "#ffffff",
    "lines.dash_capstyle": "butt",
    "lines.scale_dashes": True,
    "pdf.fonttype": 42,  # letters that can be selected and searched
    "svg.fonttype": "none",
    "svg.hashsalt": "hpo",
    "text.parse_math": False,  # a name may have dollars
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
# In widths of the line, as Plotly draws them at 2.5 pixels.
_DASHES: dict[str, Any] = {
    "solid": "-", "dash": (0, (3.6, 2.4)), "dot": (0, (1, 1.2)), "dashdot": (0, (3.6, 1.6, 1, 1.6)),
    "longdash": (0, (6.4, 2.4)), "longdashdot": (0, (6.4, 1.6, 1, 1.6)),
}  # fmt: skip
_SYMBOLS: dict[str, Any] = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "x": "X", "star": "*", "triangle-down": "v",
    "cross": "P", "pentagon": "p", "triangle-left": "<", "hourglass": ((-1, -1), (1, -1), (-1, 1), (1, 1), (-1, -1)),
}  # fmt: skip
_SCALES = {"star": 1.4, "triangle-up": 1.1, "triangle-down": 1.1, "triangle-left": 1.1, "diamond": 0.85, "x": 1.1}


def write_files(figure: Figure, paths: Sequence[Path]) -> None:
    """Draw a figure and write it to each path in the format of its ending: ``.png``, ``.svg`` or ``.pdf``.

    Pictures are 900 pixels wide and as high as their content; a PNG has twice the resolution of a screen.

    Raises:
        OSError: a file cannot be written.
    """
    with drawn(figure) as canvas:
        for path in paths:
            kind = path.suffix.lower().removeprefix(".")
            # Without this a file would say when it was made.
            undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
            canvas.savefig(path, format=kind, dpi=2 * _DPI, metadata=undated)


@contextlib.contextmanager
def drawn(figure: Figure) -> "Iterator[Canvas]":
    """Draw a figure, and keep our settings for as long as its canvas is used."""
    with _quiet():
        yield _canvas(figure)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Import matplotlib and use our settings; leave the user's as they are, and standard error without remarks.

    matplotlib tells, by logging, that it cannot write below HOME and which fonts are not there, and warns of letters
    that no font has: these become boxes.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
            from matplotlib import font_manager, style

            there = {font.name for font in font_manager.fontManager.ttflist}
            fonts = ["DejaVu Sans", *(name for name in _MORE_FONTS if name in there), "sans-serif"]
            with style.context(["default", _SETTINGS | {"font.family": fonts}]):
                yield
    finally:
        log.setLevel(level)


def _canvas(figure: Figure) -> "Canvas":
    """Draw everything, measure it, and give each part its place, from the top down."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(_WIDTH / _DPI, 1000 / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(canvas)
    axes = [canvas.add_axes((0.1, 0.5, 0.8, panel.height / 1000)) for panel in figure.panels]
    for place, panel in zip(axes, figure.panels, strict=True):
        _draw_panel(place, panel)
    heading = canvas.text(0, 0, figure.heading, fontsize=18 * _POINT, va="top")
    small = 11.5 * _POINT
    words = _wrapped(canvas, figure.caption, small)
    caption = canvas.text(0, 0, words, fontsize=small, color="#555555", va="top", linespacing=1.3)
    legend = _legend(canvas, figure)
    if figure.nothing:
        for place in axes:
            place.set_axis_off()
        axes[0].text(0.5, 0.5, figure.nothing, transform=axes[0].transAxes, ha="center", va="center")
    _arrange(canvas, figure, axes, [heading, caption], legend)
    return canvas


def _arrange(
    canvas: "Canvas", figure: Figure, axes: "Sequence[Axes]", header: Sequence[Any], legend: "Legend | None"
) -> None:
    """Give each part its place: the header, the panels with what stands around them, and the legend.

    Labels are measured twice, because they may be others in a panel of another width.
    """
    renderer = _renderer(canvas)
    sizes = [text.get_window_extent(renderer).height for text in header]
    below = legend.get_window_extent(renderer).height + _GAP if legend is not None else 0
    for _ in range(2):
        around = [_around(place, renderer) for place in axes]
        left = max(space[0] for space in around) + _SIDE
        right = max(space[1] for space in around) + _SIDE
        tops = [sum(sizes) + 2.5 * _GAP]
        for panel, (_, _, above, under) in zip(figure.panels, around, strict=True):
            tops[-1] += above
            tops.append(tops[-1] + panel.height + under + _GAP)
        height = math.ceil(tops[-1] + below)
        canvas.set_size_inches(_WIDTH / _DPI, height / _DPI)
        for place, panel, top in zip(axes, figure.panels, tops, strict=False):
            width = _WIDTH - left - right
            place.set_position(
                (left / _WIDTH, 1 - (top + panel.height) / height, width / _WIDTH, panel.height / height)
            )
    y = _GAP
    for text, size in zip(header, sizes, strict=True):
        text.set_position((_SIDE / _WIDTH, 1 - y / height))
        y += size + _GAP / 2
    if legend is not None:
        legend.set_bbox_to_anchor(((left - 6) / _WIDTH, _GAP / height), canvas.transFigure)


def _around(place: "Axes", renderer: Any) -> tuple[float, float, float, float]:
    """Pixels that ticks, labels and notes take left, right, above and below a panel."""
    inner, outer = place.get_window_extent(renderer), place.get_tightbbox(renderer)
    assert outer is not None  # a panel is visible
    return (
        max(inner.x0 - outer.x0, 0), max(outer.x1 - inner.x1, 0), max(outer.y1 - inner.y1, 0),
        max(inner.y0 - outer.y0, 0),
    )  # fmt: skip


def _wrapped(canvas: "Canvas", text: str, size: float) -> str:
    """The text in lines that fit the figure's width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and _text_width(canvas, longer, size) > _WIDTH - 2 * _SIDE:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _text_width(canvas: Any, text: str, size: float) -> float:
    """Pixels of a line; size in points."""
    from matplotlib.font_manager import FontProperties

    width, _, _ = _renderer(canvas).get_text_width_height_descent(text, FontProperties(size=size), False)
    return float(width)


def _renderer(canvas: Any) -> Any:
    """What measures; of Agg, also for SVG and PDF."""
    return canvas.canvas.get_renderer()


def _legend(canvas: "Canvas", figure: Figure) -> "Legend | None":
    """One row, or as many as the names need, read from left to right; below everything, where it hides nothing."""
    named = {
        mark.name: _sample(mark)
        for panel in figure.panels
        for mark in panel.marks
        if (isinstance(mark, Line) and mark.name) or (isinstance(mark, Points) and mark.in_legend)
    }
    if not named or figure.nothing:
        return None
    has_lines = any(isinstance(mark, Line) and mark.name for panel in figure.panels for mark in panel.marks)
    options: dict[str, Any] = {
        "loc": "lower left", "frameon": False, "columnspacing": 2, "borderpad": 0,
        "borderaxespad": 0, "handletextpad": 0.6,
        "handlelength": 3 if has_lines else 1,
    }  # fmt: skip
    renderer = _renderer(canvas)
    for n_columns in range(len(named), 0, -1):
        order = _by_columns(len(named), n_columns)
        names, handles = list(named), list(named.values())
        legend = canvas.legend([handles[i] for i in order], [names[i] for i in order], ncols=n_columns, **options)
        if n_columns == 1 or legend.get_window_extent(renderer).width <= _WIDTH - 6 * _SIDE:
            return legend
        legend.remove()
    return None


def _by_columns(n: int, n_columns: int) -> list[int]:
    """The order in which a legend that fills its columns one by one is read row by row."""
    return [i for column in range(n_columns) for i in range(column, n, n_columns)]


def _sample(mark: Line | Points) -> Any:
    """What stands for a mark in the legend."""
    from matplotlib.lines import Line2D

    if isinstance(mark, Points):
        return Line2D([], [], linestyle="none", **_symbols(mark.look, mark.size))
    symbols = _symbols(mark.look, mark.symbol_size) if mark.most_symbols != 0 else {}
    return Line2D([], [], **_stroke(mark.look, mark.width), **symbols)


# --- a panel ---


def _draw_panel(place: "Axes", panel: Panel) -> None:
    for mark in panel.marks:
        _draw(mark, place)
    _set_axis(place, panel.x, "x")
    _set_axis(place, panel.y, "y")


def _set_axis(place: "Axes", axis: Axis, name: str) -> None:
    from matplotlib import ticker

    one: Any = place.xaxis if name == "x" else place.yaxis
    one.set_label_text(axis.title, fontsize=14 * _POINT)
    one.grid(axis.has_grid)
    set_limits: Any = place.set_xlim if name == "x" else place.set_ylim
    if axis.is_log:
        one._set_axes_scale("log")
        one.set_minor_locator(ticker.NullLocator())
    elif axis.ticks is None:
        one.set_major_locator(ticker.MaxNLocator(nbins=9 if name == "x" else 7, steps=[1, 2, 2.5, 5, 10]))
    if axis.limits is not None and axis.limits[0] != axis.limits[1]:
        set_limits(*axis.limits)
    elif axis.from_zero:
        set_limits(0, None)
    if axis.is_share:
        one.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
    elif axis.is_log:
        low, high = place.get_xlim() if name == "x" else place.get_ylim()
        subs = (1,) if high / low > 1e4 else (1, 2, 5)
        one.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
        one.set_major_formatter(ticker.FuncFormatter(lambda value, _: _number(value)))
    else:
        one.set_major_formatter(ticker.ScalarFormatter(useOffset=False))
    if axis.ticks is not None:
        _set_ticks(place, axis, name)


def _set_ticks(place: "Axes", axis: Axis, name: str) -> None:
    """Labels of our own; those of y stand on their rows, with a bold beginning."""
    labels = axis.ticks or {}
    if name == "x":
        texts = [label.bold + label.rest for label in labels.values()]
        widths = [_text_width(place.figure, text, 13 * _POINT) + 12 for text in texts]
        place.set_xticks(list(labels), texts)
        if sum(widths) > 0.8 * _WIDTH:
            place.tick_params(axis="x", labelrotation=35)
            for text in place.get_xticklabels():
                text.set(horizontalalignment="right", rotation_mode="anchor")
        return
    place.set_yticks(list(labels), [""] * len(labels))
    place.tick_params(axis="y", length=0)
    for y, label in labels.items():
        place.add_artist(_packed(label, y))


def _packed(label: Label, y: float) -> Any:
    """A label of several lines, right-aligned beside the y axis."""
    from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea, VPacker

    bold = TextArea(label.bold, textprops={"fontweight": "bold"})
    first = HPacker(children=[bold, TextArea(label.rest)], pad=0, sep=0, align="baseline") if label.rest else bold
    lines: list[Any] = [first, *map(TextArea, label.below)]
    return AnnotationBbox(
        VPacker(children=lines, pad=0, sep=3 * _POINT, align="right"), (0, y), xycoords=("axes fraction", "data"),
        xybox=(-8 * _POINT, 0), boxcoords="offset points", box_alignment=(1, 0.5), frameon=False, pad=0,
        annotation_clip=False,
    )  # fmt: skip


def _number(value: float) -> str:
    """A number without powers of ten, where it is not too long."""
    if 1e-6 <= abs(value) < 1e7:
        return np.format_float_positional(value, precision=12, trim="-")
    return f"{value:g}"


# --- marks ---


def _draw(mark: Mark, place: "Axes") -> None:
    match mark:
        case Line():
            _draw_line(mark, place)
        case Band():
            _draw_band(mark, place)
        case Points():
            _draw_points(mark, place)
        case Strokes():
            _draw_strokes(mark, place)
        case Intervals():
            _draw_intervals(mark, place)
        case Bars():
            _draw_bars(mark, place)
        case Rule():
            _draw_rule(mark, place)
        case Note():
            _draw_note(mark, place)


def _draw_line(mark: Line, place: "Axes") -> None:
    x, y = np.asarray(mark.x, float), np.asarray(mark.y, float)
    symbols: dict[str, Any] = {}
    if mark.most_symbols != 0:
        n_symbols = min(mark.most_symbols or len(x), len(x))
        every = np.unique(np.linspace(0, len(x) - 1, n_symbols).round().astype(int)).tolist()
        symbols = _symbols(mark.look, mark.symbol_size) | {"markevery": every}
    place.plot(
        x, y, drawstyle="steps-post" if mark.is_stepped else "default", **_stroke(mark.look, mark.width), **symbols
    )


def _draw_band(mark: Band, place: "Axes") -> None:
    place.fill_between(
        np.asarray(mark.x, float), np.asarray(mark.low, float), np.asarray(mark.high, float), linewidth=0,
        step="post" if mark.is_stepped else None, color=mark.look.color, alpha=VEIL,
    )  # fmt: skip


def _draw_points(mark: Points, place: "Axes") -> None:
    place.plot(
        np.asarray(mark.x, float), np.asarray(mark.y, float), linestyle="none", alpha=mark.opacity,
        **_symbols(mark.look, mark.size),
    )  # fmt: skip


def _draw_strokes(mark: Strokes, place: "Axes") -> None:
    place.plot(
        mark.x, mark.y, linestyle="none", marker="|", color=INK, markersize=mark.height * _POINT,
        markeredgewidth=mark.width * _POINT, clip_on=False,
    )  # fmt: skip


def _draw_intervals(mark: Intervals, place: "Axes") -> None:
    x, low, high = (np.asarray(values, float) for values in (mark.x, mark.low, mark.high))
    place.errorbar(
        x, mark.y, xerr=np.abs(np.stack([x - low, high - x])), linestyle="none", capsize=5 * _POINT,
        capthick=2 * _POINT, elinewidth=2 * _POINT, ecolor=mark.look.color,
    )  # fmt: skip
    place.plot(x, mark.y, linestyle="none", **_symbols(mark.look, mark.size))


def _draw_bars(mark: Bars, place: "Axes") -> None:
    bars = place.barh(
        mark.y, mark.lengths, height=mark.thickness, color=mark.look.color, hatch=2 * mark.pattern or None,
        edgecolor=mark.look.color,
    )  # fmt: skip
    place.bar_label(bars, [f"{length:g}" for length in mark.lengths], padding=3 * _POINT)


def _draw_rule(mark: Rule, place: "Axes") -> None:
    stroke = _stroke(Look(MUTED, mark.dash), 2)
    if mark.x is not None:
        place.axvline(mark.x, **stroke)
        if mark.text:
            place.annotate(
                mark.text, (mark.x, 1), (0, 4 * _POINT), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="center", va="bottom",
            )  # fmt: skip
        return
    assert mark.y is not None
    place.axhline(mark.y, **stroke)
    if mark.text:
        place.annotate(
            mark.text, (1, mark.y), (0, 3 * _POINT), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom",
        )  # fmt: skip


def _draw_note(mark: Note, place: "Axes") -> None:
    place.annotate(mark.text, (mark.x, mark.y), (0, 6 * _POINT), textcoords="offset points", ha="left", va="bottom")


def _stroke(look: Look, width: float) -> dict[str, Any]:
    return {"color": look.color, "linestyle": _DASHES[look.dash], "linewidth": width * _POINT}


def _symbols(look: Look, size: float) -> dict[str, Any]:
    return {
        "marker": _SYMBOLS[look.symbol], "markersize": size * _SCALES.get(look.symbol, 1) * _POINT,
        "markerfacecolor": look.color, "markeredgewidth": 0,
    }  # fmt: skip
