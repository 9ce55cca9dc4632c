"""What is redrawn in place while something runs: the last lines of a terminal, or an output of a notebook's cell."""

import io
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from hpo.process.interrupts import Interrupts

_REDRAWN_PER_SECOND = 4
_NOTEBOOK_WIDTH = 100  # characters
_NAME_WIDTH = 16  # that the first column of a table should have


class Screen(Protocol):
    """Shows what a function draws, until it is closed; nothing of it remains."""

    def changed(self) -> None:
        """What is drawn has changed."""

    def say(self, text: str) -> None:
        """Print a line that remains, above."""

    def close(self) -> None:
        """Take it away."""


def is_live() -> bool:
    """Whether somebody looks: in a notebook, or in a terminal that can be redrawn."""
    if _is_notebook():
        return True
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def open_screen(draw: Callable[[], Any]) -> Screen:
    """The notebook's cell, or else the terminal on stderr.

    Args:
        draw: what is to be seen now, as rich prints it; also called from another thread.
    """
    return _Cell(draw) if _is_notebook() else _Terminal(draw)


def cut(text: str) -> Any:
    """A line that is cut at the edge; what is redrawn must not be folded."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def cut_row(*cells: Any) -> Any:
    """Cells side by side, cut at the edge."""
    from rich.table import Table

    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row(*(cut(cell) if isinstance(cell, str) else cell for cell in cells))
    return row


def cut_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, spare: Collection[str]) -> Any:
    """Names and numbers in ``width`` columns of characters: names are cut, numbers never.

    Where little room is left for the names, the columns named in ``spare`` are left out, one by one.
    """
    from rich.table import Table

    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    shown = list(range(1, len(header)))
    left_out = [header.index(name) for name in spare]
    while left_out and width - sum(widths[i] + 2 for i in shown) < min(widths[0], _NAME_WIDTH):
        shown.remove(left_out.pop(0))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(header[0], max_width=max(width - sum(widths[i] + 2 for i in shown), 1))
    for i in shown:
        table.add_column(header[i], justify="right", min_width=widths[i])
    for row in rows:
        table.add_row(*(cut(row[i]) for i in (0, *shown)))
    return table


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules


class _Terminal:
    def __init__(self, draw: Callable[[], Any]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=draw,
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=_REDRAWN_PER_SECOND,
            vertical_overflow="crop",
        )
        Interrupts.is_drawn = self._live.console.is_terminal
        self._live.start(refresh=True)

    def changed(self) -> None:
        pass  # it redraws itself, so that the time goes on

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()
        Interrupts.is_drawn = False


class _Cell:
    """An output that is replaced. Rich would need ipywidgets for it, which few kernels have."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

        self._draw = draw
        self._drawn = time.monotonic()
        self._output = display(_for_notebook(draw()), raw=True, display_id=True)

    def changed(self) -> None:
        if time.monotonic() - self._drawn >= 1 / _REDRAWN_PER_SECOND:
            self._drawn = time.monotonic()
            self._output.update(_for_notebook(self._draw()), raw=True)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        self._output.update({"text/plain": "", "text/html": ""}, raw=True)


def _for_notebook(drawn: Any) -> dict[str, str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), record=True, width=_NOTEBOOK_WIDTH, force_jupyter=False)
    console.print(drawn)
    page = '<pre style="line-height: normal">{code}</pre>'
    return {
        "text/html": console.export_html(code_format=page, inline_styles=True, clear=False),
        "text/plain": console.export_text(),
    }
