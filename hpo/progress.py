"""Progress for people: a live bar in a terminal or notebook, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Any

from hpo.errors import InvalidOption
from hpo.units import Metric, format_duration

MODES = ("auto", "bar", "lines", "none")
_SECONDS_PER_LINE = 60.0


class Progress:
    """Counts the trials of one job: a run, or the runs of a comparison.

    Args:
        mode: ``auto``, ``bar``, ``lines`` or ``none``.
        metric: how values are shown.
        n_total: trials of the whole job; None until the first run says it.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self, mode: str, metric: Metric, n_total: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if mode not in MODES:
            raise InvalidOption(f"progress={mode!r}: give one of {', '.join(MODES)}")
        self._mode = ("bar" if _is_live() else "lines") if mode == "auto" else mode
        self._metric, self._n_total, self._clock = metric, n_total, clock
        self._n_done = self._n_new = self._n_failed = 0
        self._run = ""
        self._best: dict[str, float | None] = {}
        self._references: dict[str, float | None] = {}
        self._begun = self._last_line = clock()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def note(self, text: str | None) -> None:
        """Say something once, above the bar."""
        if text is None or self._mode == "none":
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def begin_run(self, run: str, *, n_done: int, n_total: int, best: float | None, reference: float | None) -> None:
        """A run begins, or goes on, with ``n_done`` of its ``n_total`` trials told."""
        self._run, self._best[run], self._references[run] = run, best, reference
        self._n_done += n_done
        if self._n_total is None:
            self._n_total = n_total
        if self._mode == "bar" and self._bar is None:
            self._bar, self._task = _live_bar(self._n_total)
        self._show()

    def told(self, run: str, value: float | None, error: str | None) -> None:
        """A trial of a run was recorded, with its value or its error."""
        self._run = run
        best = self._best.get(run)
        self._n_done += 1
        self._n_new += 1
        self._n_failed += error is not None
        if value is not None and (best is None or value > best):
            self._best[run] = value
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            run = self._run.partition("/")[2]
            self._bar.update(
                self._task, completed=self._n_done, total=self._n_total, run=run, text=self._text(short=True)
            )
        elif self._mode == "lines" and self._clock() - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = self._clock()
            text = self._text(short=False)
            print(f"{self._run}: {self._n_done}/{self._n_total} trials, {text}", file=sys.stderr, flush=True)

    def _text(self, *, short: bool) -> str:
        """The incumbent, the reference, the rate and the time left; short enough for 80 columns in a bar."""
        best, reference = (self._metric.text(of.get(self._run)) for of in (self._best, self._references))
        parts = [f"best {best}, ref {reference}" if short else f"{self._metric.label} {best} (reference {reference})"]
        if self._n_failed:
            parts.append(f"{self._n_failed} failed")
        spent = self._clock() - self._begun
        if self._n_new and spent > 0:
            rate = self._n_new / spent
            left = max((self._n_total or 0) - self._n_done, 0) / rate
            parts.append(f"{rate:.2g}/s" if short else f"{rate:.2g} trials/s")
            parts.append(f"{format_duration(left)} left" if short else f"about {format_duration(left)} left")
        return ", ".join(parts)


def _is_live() -> bool:
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr.isatty()


def _live_bar(n_total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.fields[run]}", markup=False),
        BarColumn(bar_width=8),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar, bar.add_task("", total=n_total, run="", text="")
