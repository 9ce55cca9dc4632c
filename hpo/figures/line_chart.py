"""One picture of a few lines over one axis, as figure, as file, and in characters for terminals."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from hpo.errors import InvalidOption
from hpo.figures.figure import COLORS, Axis, Band, Figure, Label, Look, Mark, Panel, Points, Rule
from hpo.figures.figure import Line as LineMark
from hpo.figures.files import FORMATS, write_figure
from hpo.figures.page import Section, page
from hpo.units import digits_apart, number_text

_N_LETTERS = 15  # of a line in a terminal; more would hide it


@dataclass(frozen=True)
class Line:
    """One line, or the points of one.

    Attributes:
        name: whose first letter marks it in terminals.
        x, y: of one length; not finite where there is nothing to draw.
        spread: half the width of the band around it, or None.
        is_joined: a line; otherwise points alone.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    is_joined: bool = True


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        title, caption: above and below.
        x_label, y_label: of the axes.
        lines: the first in front of the others.
        is_log: whether x is drawn on a logarithm.
        ticks: x -> label, where x counts choices; empty otherwise.
        mark: an x to be marked, and what it is; or None.
    """

    title: str
    caption: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    is_log: bool = False
    ticks: Mapping[float, str] | None = None
    mark: tuple[float, str] | None = None

    def figure(self) -> Figure:
        """As a figure."""
        looks = [Look(color) for color, _ in zip(COLORS, self.lines, strict=False)]
        marks: list[Mark] = []
        for line, look in zip(self.lines, looks, strict=True):
            if line.spread is not None:
                x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
                spread, known = np.nan_to_num(np.asarray(line.spread, dtype=float)), np.isfinite(y)
                marks.append(Band(x=x[known], low=(y - spread)[known], high=(y + spread)[known], look=look))
        for line, look in zip(self.lines, looks, strict=True):
            marks.append(_mark(line, look))
        if self.mark is not None:
            marks.append(Rule(x=self.mark[0], text=self.mark[1]))
        ticks = {value: Label("", label) for value, label in self.ticks.items()} if self.ticks else None
        x_axis = Axis(title=self.x_label, is_log=self.is_log, ticks=ticks)
        return Figure(self.title, self.caption, (Panel(x=x_axis, y=Axis(title=self.y_label), marks=tuple(marks)),))

    def write(self, path: "str | PathLike[str]", sentences: Sequence[str] = ()) -> None:
        """Write it as HTML that opens offline, with what it says, or as PNG, SVG or PDF.

        Raises:
            InvalidOption: another ending, or a file that cannot be written.
        """
        check_figure_path(path)
        if Path(fspath(path)).suffix.lower() != ".html":
            write_figure(self.figure(), path)
            return
        section = Section(self.title, sentences=sentences, figures={"chart": self.figure()})
        try:
            Path(fspath(path)).write_text(page(self.title, [section]), encoding="utf-8")
        except OSError as error:
            raise InvalidOption(f"{fspath(path)!r} cannot be written: {error.strerror or error}") from error

    def picture(self, *, width: int, color: bool) -> str:
        """In characters: each line with letters of its own."""
        import plotille

        scale: Callable[[float], float] = math.log10 if self.is_log else float
        points = [(scale(x), y) for line in self.lines for x, y in _known(line)]
        if not points:
            return "nothing to draw"
        figure = plotille.Figure()
        figure.width, figure.height = max(width - 20, 30), 14
        figure.with_colors, figure.color_mode = color, "names"
        figure.x_label, figure.y_label = self.x_label, self.y_label
        figure.origin = False
        figure.set_x_limits(*_limits([x for x, _ in points], margin=0.05 if self.ticks else 0.0))
        bottom, top = _limits([y for _, y in points], margin=0.05)
        figure.set_y_limits(bottom, top)
        figure.x_ticks_fkt = self._ticks()
        rows = [bottom + (top - bottom) * i / figure.height for i in range(figure.height + 1)]
        digits = digits_apart(rows, 3)
        figure.y_ticks_fkt = lambda value, _: f"{number_text(value, digits):>9}"
        letters = _letters([line.name for line in self.lines])
        for line, letter, name in reversed([*zip(self.lines, letters, _TERMINAL_COLORS, strict=False)]):
            known = [(scale(x), y) for x, y in _known(line)]
            shade = name if color else None
            if line.is_joined and len(known) > 1:
                figure.plot([x for x, _ in known], [y for _, y in known], lc=shade)
            every = math.ceil(len(known) / _N_LETTERS) if line.is_joined else 1
            marked = known[::every]
            figure.scatter([x for x, _ in marked], [y for _, y in marked], marker=letter, lc=shade)
        lines = str(figure.show(legend=False)).splitlines()
        legend = "   ".join(f"{letter} {line.name}" for line, letter in zip(self.lines, letters, strict=True))
        return "\n".join([*lines, legend])

    def _ticks(self) -> "Callable[[float, float], str]":
        """Labels below x; of whole numbers and choices, each where it first comes."""
        is_whole = not self.is_log and all(float(x).is_integer() for line in self.lines for x, _ in _known(line))
        shown: set[str] = set()

        def tick(value: float, _: float) -> str:
            if self.is_log:
                return f"{10**value:.3g}"
            if not is_whole:
                return f"{value:.3g}"
            label = (self.ticks or {}).get(round(value), "")[:9] if self.ticks else f"{round(value)}"
            is_new = label not in shown
            shown.add(label)
            return label if is_new else ""

        return tick


_TERMINAL_COLORS = ("blue", "red", "green", "magenta", "yellow", "cyan")


def check_figure_path(path: "str | PathLike[str]") -> None:
    """Raise where a figure cannot be written to a path, before what it shows is computed.

    Raises:
        InvalidOption: as in :meth:`Chart.write`.
    """
    kind = Path(fspath(path)).suffix.lower().removeprefix(".")
    if kind not in (*FORMATS, "html"):
        allowed = ", ".join(f".{name}" for name in ("html", *FORMATS))
        raise InvalidOption(f"--figure {fspath(path)!r}: the ending decides the format; allowed are {allowed}")
    if not os.access(Path(fspath(path)).absolute().parent, os.W_OK):
        raise InvalidOption(f"--figure {fspath(path)!r}: its folder does not exist or cannot be written")


def _known(line: Line) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _limits(values: Sequence[float], margin: float) -> tuple[float, float]:
    """What values span, with a share of it around them; what is never negative stays so."""
    low, high = min(values), max(values)
    if low == high:
        margin, high = 0.5, low + (0.1 * abs(low) or 1.0)
    around = margin * (high - low)
    return (max(low - around, 0.0) if low >= 0 else low - around), high + around


def _letters(names: Sequence[str]) -> list[str]:
    """For each name a letter of it that no other has."""
    found: list[str] = []
    for name in names:
        found.append(next((letter for letter in f"{name}*+o" if letter != " " and letter not in found), "."))
    return found


def _mark(line: Line, look: Look) -> Mark:
    hover = "%{x:.4~g}: %{y:.4~g}"
    if line.is_joined:
        return LineMark(x=line.x, y=line.y, look=look, name=line.name, most_symbols=None, symbol_size=6, hover=hover)
    return Points(x=line.x, y=line.y, look=look, name=line.name, size=6, in_legend=True, hover=hover)
