"""What all figures of a comparison share: a style for each sampler, rows of samplers, titles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpo.figures.figure import COLORS, DASHES, SYMBOLS, Axis, Label, Look, Strokes
from hpo.units import Metric


def styles(frame: pd.DataFrame, samplers: Sequence[str] | None) -> dict[str, Look]:
    """A look for each sampler, in the order they are to be shown.

    The first 42 differ in color or dash, the first 77 in color or symbol.

    Args:
        frame: with a column sampler.
        samplers: all samplers of the comparison. A frame that lacks some gives the others the same look as the
            other figures do only where they are given.
    """
    present = list(dict.fromkeys(frame["sampler"]))
    order = dict.fromkeys([*samplers, *present]) if samplers is not None else present
    found = {
        sampler: Look(COLORS[i % len(COLORS)], DASHES[i % len(DASHES)], SYMBOLS[i % len(SYMBOLS)])
        for i, sampler in enumerate(order)
    }
    return {sampler: look for sampler, look in found.items() if sampler in present}


def tick_label(sampler: str, against: str = "", remark: str = "") -> Label:
    """A sampler beside its row; each of its options, whom it is compared with and a remark on lines of their own."""
    name, *options = _name_lines(sampler)
    if not against:
        return Label(name, "", (*options, *([remark] if remark else [])))
    other, *others = _name_lines(against)
    joined = f"against {other}"
    below = (*others, *([remark] if remark else []))
    return Label(name, "", (*options, joined, *below)) if options else Label(name, f" {joined}", below)


def _name_lines(sampler: str) -> list[str]:
    name, bracket, options = sampler.partition("(")
    return [name, *(f"{bracket}{options}".replace(", ", ",\n").split("\n") if bracket else [])]


def axis_title(metric: Metric, what: str = "") -> str:
    """``log loss on validation rows (lower is better)``."""
    return " ".join(part for part in (metric.label, what, f"({metric.direction})") if part)


@dataclass(frozen=True)
class Rows:
    """Rows below each other, each as high as its label needs; the unit of y is a pixel, downward.

    Attributes:
        labels: as `tick_label` makes them.
        least: height of a row of one line.
    """

    labels: Sequence[Label]
    least: int

    @property
    def heights(self) -> np.ndarray:
        """Of each row."""
        return np.array([max(self.least, 18 * label.n_lines + 6) for label in self.labels], dtype=float)

    @property
    def centers(self) -> np.ndarray:
        """Where the marks of each row belong."""
        return np.cumsum(self.heights) - self.heights / 2

    @property
    def total(self) -> int:
        """Height of all rows."""
        return int(self.heights.sum())

    def axis(self, *, above: float = 0) -> Axis:
        """The axis beside the rows, with so many pixels left free above them."""
        ticks: Mapping[float, Label] = dict(zip(self.centers.tolist(), self.labels, strict=True))
        return Axis(ticks=ticks, limits=(self.total, -above), has_grid=False)


def spread(n_points: int, width: float) -> np.ndarray:
    """Offsets over ``width`` that keep the points of one row from hiding each other, the same every time."""
    return np.linspace(-width / 2, width / 2, n_points) if n_points > 1 else np.zeros(n_points)


def median_strokes(medians: Sequence[float], centers: np.ndarray, *, height: float) -> Strokes:
    """A tall stroke at each row's median, where there is one."""
    values = np.array(medians, dtype=float)
    known = np.isfinite(values)
    hover = "median: %{x:.4~g}<extra></extra>"
    return Strokes(x=values[known].tolist(), y=centers[known].tolist(), name="median", height=height, hover=hover)
