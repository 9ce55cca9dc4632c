"""The curves of a comparison drawn with characters, as steps that can be read at 80 columns."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpo.comparison.curves import median_incumbents, settled_range
from hpo.units import Metric, number_texts

_HEIGHT = 16  # rows
_EVERY = 3  # rows there is a value
_LEFT = 14  # columns for the values of the axis
_LONGEST = 14  # of a name at the end of its curve
# Horizontal, vertical, and the corners of a step down (its upper and lower end) and up (lower and upper).
_STYLES = ("─│┐└┘┌", "━┃┓┗┛┏", "═║╗╚╝╔", "╌╎┐└┘┌", "╍╏┓┗┛┏", "┄┆┐└┘┌")
_COLORS = ("34", "31", "32", "35", "33", "36")  # of ECMA-48
_REFERENCE = "·"


def incumbents_text(curves: pd.DataFrame, reference: float, metric: Metric, *, width: int, color: bool) -> str:
    """The median incumbents as steps: a style (and a color) for each sampler, its name where its curve ends.

    The first trials may lie outside: their curve then comes in from the edge. Samplers that are at the same place cover
    each other, the first ones in front.

    Args:
        curves: of the comparison.
        reference: score of the reference, NaN where it is not known; a dotted line.
        metric: how scores are shown.
        width: columns there are.
        color: whether the terminal shows colors.
    """
    medians = metric.sign * median_incumbents(curves)
    low, high = sorted(settled_range(medians, metric.shown(reference)))
    names = [str(name) for name in medians]
    right = min(max(map(len, [*names, "reference"])), _LONGEST) + 1
    canvas = _Canvas(max(width - _LEFT - right, 10), low, high, color)
    ends: list[tuple[int, str]] = []
    if math.isfinite(reference):
        row = canvas.row(metric.shown(reference))
        canvas.cells[row] = [(_REFERENCE, None)] * canvas.width
        ends.append((row, "reference"))
    for i in reversed(range(len(names))):  # the first in front of the others
        end = canvas.steps(medians.iloc[:, i].to_numpy(dtype=float), _STYLES[i % len(_STYLES)], i % len(_COLORS))
        ends += [] if end is None else [(end, names[i])]
    labels = _placed(ends[::-1])
    lines = [f"{metric.label:>{_LEFT - 2}} ({metric.direction})"]
    lines += canvas.lines(labels)
    lines.append(" " * (_LEFT - 1) + "└" + "─" * canvas.width)
    lines.append(_below(int(medians.index.max()), canvas.width))
    legend = [f"{canvas.painted(_STYLES[i % len(_STYLES)][0] * 2, i)} {name}" for i, name in enumerate(names)]
    return "\n".join([*lines, "   ".join([*legend, f"{_REFERENCE * 2} reference"])])


class _Canvas:
    """Cells of a character and a color each, and where values are among their rows."""

    def __init__(self, width: int, low: float, high: float, color: bool) -> None:
        self.width, self._low, self._high, self._color = width, low, high, color
        self.cells: list[list[tuple[str, int | None]]] = [[(" ", None)] * width for _ in range(_HEIGHT)]

    def row(self, value: float) -> int:
        """The row of a value: 0 at the top; the edge for what is outside."""
        share = (self._high - value) / (self._high - self._low)
        return int(np.clip(round(share * (_HEIGHT - 1)), 0, _HEIGHT - 1))

    def steps(self, values: np.ndarray, style: str, color: int) -> int | None:
        """Draw values as steps, held until the next; returns the row of the last, None where nothing is drawn."""
        across, along, upper, lower, lower_up, upper_up = tuple(style)
        trials = np.arange(self.width) * len(values) // self.width
        before: int | None = None
        for column, value in enumerate(values[trials]):
            if not math.isfinite(value):
                continue
            row = self.row(value)
            if not self._low <= value <= self._high:
                before = row  # it comes in from this edge
                continue
            self.cells[row][column] = across, color
            if before is not None and before != row:
                top, bottom = sorted((before, row))
                for between in range(top + 1, bottom):
                    self.cells[between][column] = along, color
                is_down = row > before
                self.cells[top][column] = (upper if is_down else upper_up), color
                self.cells[bottom][column] = (lower if is_down else lower_up), color
            before = row
        return before

    def lines(self, labels: dict[int, str]) -> list[str]:
        """The rows with the values of the axis on the left and names on the right."""
        found = []
        values = [self._high - row * (self._high - self._low) / (_HEIGHT - 1) for row in range(0, _HEIGHT, _EVERY)]
        texts = number_texts(values, 3)
        for row, cells in enumerate(self.cells):
            label = texts[row // _EVERY] if row % _EVERY == 0 else ""
            drawn = "".join(self.painted(sign, shade) for sign, shade in cells)
            found.append(f"{label:>{_LEFT - 2}} {'┤' if label else '│'}{drawn} {labels.get(row, '')}".rstrip())
        return found

    def painted(self, text: str, color: int | None) -> str:
        """The text in a color, where there are any."""
        if color is None or not self._color:
            return text
        return f"\x1b[{_COLORS[color % len(_COLORS)]}m{text}\x1b[0m"


def _placed(ends: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Names by row, each as near to the end of its curve as there is room."""
    found: dict[int, str] = {}
    for row, name in ends:
        free = [other for other in range(_HEIGHT) if other not in found]
        if free:
            short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
            found[min(free, key=lambda other: (abs(other - row), other))] = short
    return found


def _below(n_trials: int, width: int) -> str:
    """The trials below the axis: the first, the last, and what lies evenly between."""
    line = [" "] * (_LEFT + width)
    shown = sorted({1, *(round(n_trials * i / 4) for i in range(1, 5))} - {0})
    for trial in shown:
        text = f"trial {trial}" if trial == shown[0] else str(trial)
        at = _LEFT + min((trial - 1) * width // n_trials, width - len(text))
        if all(sign == " " for sign in line[at - 1 : at + len(text) + 1]):
            line[at : at + len(text)] = text
    return "".join(line).rstrip()
