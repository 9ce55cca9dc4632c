"""The description of a figure: what it shows and says, whoever draws it.

All texts are plain; each renderer escapes what it must. Sizes are pixels of a screen. Marks are drawn in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

INK = "#000000"  # a page turns it into white in dark mode
MUTED = "#777777"  # seen on white and on black
GRID = "#dddddd"
# Okabe and Ito (2008): told apart by the colour-blind; dashes and symbols tell them apart in print too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "cross", "pentagon", "hourglass",
    "triangle-left",
)  # fmt: skip
PATTERNS = ("", "/", "x", ".", "-", "|", "+", "\\")
VEIL = 0.18  # opacity of bands

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Look:
    """How a line or a group of points looks.

    Attributes:
        color: as ``#rrggbb``.
        dash: one of `DASHES`.
        symbol: one of `SYMBOLS`.
    """

    color: str = INK
    dash: str = "solid"
    symbol: str = "circle"


@dataclass(frozen=True)
class Label:
    """The text beside a tick.

    Attributes:
        bold: its beginning.
        rest: what follows on the same line.
        below: further lines.
    """

    bold: str = ""
    rest: str = ""
    below: tuple[str, ...] = ()

    @property
    def n_lines(self) -> int:
        """How many lines it takes."""
        return 1 + len(self.below)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of a panel.

    Attributes:
        title: what it shows, with its unit.
        limits: first and last value; the first may be the larger. None: as the marks need it.
        is_log: whether it is logarithmic.
        from_zero: whether it begins at zero, where ``limits`` is None.
        ticks: value -> label; None: chosen by the renderer.
        is_share: whether values are shares, to be shown in percent.
        has_grid: whether lines cross the panel at the ticks.
    """

    title: str = ""
    limits: tuple[float, float] | None = None
    is_log: bool = False
    from_zero: bool = False
    ticks: Mapping[float, Label] | None = None
    is_share: bool = False
    has_grid: bool = True


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points; what is not finite interrupts it.

    Attributes:
        x, y: of one length.
        look: its color and dash, and the symbol along it.
        name: in the legend; empty: not there.
        width: of the line.
        is_stepped: whether y is held until the next x.
        most_symbols: how many symbols stand along it at most; None: one at every point.
        symbol_size: of the symbols.
        hover: what a page says of the point below the pointer, as a Plotly template; empty: nothing.
    """

    x: Numbers
    y: Numbers
    look: Look
    name: str = ""
    width: float = 2.5
    is_stepped: bool = False
    most_symbols: int | None = 0
    symbol_size: float = 8
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Band:
    """A veil between two lines.

    Attributes:
        x, low, high: of one length, all finite.
        look: its color.
        name: of the line that it belongs to.
        is_stepped: whether its edges are held until the next x.
    """

    x: Numbers
    low: Numbers
    high: Numbers
    look: Look
    name: str = ""
    is_stepped: bool = False


@dataclass(frozen=True, kw_only=True)
class Points:
    """Separate points.

    Attributes:
        x, y: of one length; what is not finite is left out.
        look: their color and symbol.
        name: in the legend where ``in_legend``, and below the pointer.
        in_legend: whether the legend has it.
        size: diameter.
        opacity: below 1 where points may hide each other.
        about: of the points, what a page says below the pointer as ``%{text}``; empty: nothing.
        hover: as in `Line`.
    """

    x: Numbers
    y: Numbers
    look: Look
    name: str = ""
    in_legend: bool = False
    size: float = 8
    opacity: float = 1.0
    about: Sequence[str] = ()
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """Short vertical strokes, such as medians among points.

    Attributes:
        x, y: their middles, all finite.
        name: what they are.
        height, width: of each.
        hover: as in `Line`.
    """

    x: Numbers
    y: Numbers
    name: str
    height: float
    width: float = 3
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Estimates with a horizontal interval around each.

    Attributes:
        x, low, high, y: of one length.
        look: their color and symbol.
        name: as in `Points`.
        size: of the symbols.
        about: numbers of each, what the template calls ``%{customdata[i]}``.
        hover: as in `Line`.
    """

    x: Numbers
    low: Numbers
    high: Numbers
    y: Numbers
    look: Look
    name: str = ""
    size: float = 11
    about: Sequence[Sequence[float]] = ()
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Horizontal bars that begin at zero, with their length at the end.

    Attributes:
        lengths, y: of one length.
        look: their color.
        pattern: one of `PATTERNS`.
        thickness: of each, in units of y.
        name: as in `Points`.
        hover: as in `Line`.
    """

    lengths: Numbers
    y: Numbers
    look: Look
    pattern: str = ""
    thickness: float = 26
    name: str = ""
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A straight line across the panel.

    Attributes:
        x, y: where; one of them.
        text: what it means; beside a horizontal one at its right end, above a vertical one.
        dash: one of `DASHES`.
    """

    x: float | None = None
    y: float | None = None
    text: str = ""
    dash: str = "dot"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A text whose lower left corner is at a point of the panel."""

    x: float
    y: float
    text: str


Mark = Line | Band | Points | Strokes | Intervals | Bars | Rule | Note


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Marks between two axes.

    Attributes:
        x, y: the axes.
        marks: the last in front.
        height: between its ends.
    """

    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    height: float = 340


@dataclass(frozen=True)
class Figure:
    """Panels below each other, with a heading and a sentence on how to read them.

    Attributes:
        heading: one line.
        caption: one or two sentences.
        panels: at least one.
        nothing: why there is nothing to draw; empty where there is.
    """

    heading: str
    caption: str
    panels: tuple[Panel, ...]
    nothing: str = ""
