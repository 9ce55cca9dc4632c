"""A comparison of samplers on one study, as its user holds it: the numbers, and what people read."""

import functools
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.comparison import pages, sentences
from hpo.comparison.findings import Findings
from hpo.comparison.terminal import incumbents_text
from hpo.figures.figure import Figure
from hpo.figures.plotly_figure import plotly_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Comparison(Findings):
    """What became of the samplers on one study: frames to compute with, figures, and text.

    The frames are those of :class:`hpo.comparison.findings.Findings`: ``curves``, ``finals``, ``table``, ``verdicts``,
    ``worth``, ``budgets`` and others. Values keep the scorer's sign (higher is better); statistics are of losses, their
    negation; text and figures show errors positive.
    """

    def records(self) -> dict[str, Any]:
        """Return everything that is concluded, in plain values, for JSON."""
        return super().records() | {"sentences": self.sentences(), "warnings": self.warnings()}

    @functools.cached_property
    def conclusions(self) -> sentences.Conclusions:
        """What the numbers say, in words: answers, and advice."""
        return sentences.conclusions(self)

    def sentences(self) -> list[str]:
        """One for each question: is tuning worth it, which sampler, what would more trials bring."""
        return [*self.conclusions.answers, *self.conclusions.advice]

    def warnings(self) -> list[str]:
        """What a reader must know beside the numbers."""
        return sentences.warnings(self)

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells of the table for people: errors positive, a row per sampler, the reference last."""
        return sentences.rows(self)

    @functools.cached_property
    def drawn(self) -> dict[str, Figure]:
        """Figures by name, whoever draws them."""
        return pages.figures(self)

    @functools.cached_property
    def figures(self) -> "dict[str, go.Figure]":
        """Plotly figures by name."""
        return {name: plotly_figure(figure) for name, figure in self.drawn.items()}

    def picture(self, *, width: int, color: bool) -> str:
        """The median incumbents drawn with characters."""
        reference = float(self.reference["value"].median())
        return incumbents_text(self.curves, reference, self.metric, width=width, color=color)

    def to_html(self, path: "str | PathLike[str]") -> None:
        """Write one self-contained page that opens offline."""
        Path(fspath(path)).write_text(pages.comparison_page([self]), encoding="utf-8")

    def __repr__(self) -> str:
        return f"Comparison({self.study!r}, {', '.join(self.plan.labels)})"

    def _repr_html_(self) -> str:
        return pages.notebook(self)
