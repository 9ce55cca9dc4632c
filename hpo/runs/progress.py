"""Progress for people: redrawn in place in a terminal or notebook, a line a minute elsewhere."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpo.database.run_name import RunName
from hpo.errors import InvalidOption
from hpo.process.announcements import announce
from hpo.process.interrupts import ANNOUNCEMENT, Interrupts
from hpo.runs.progress_counts import Stage, Stages
from hpo.runs.progress_screen import Screen, cut, cut_row, cut_table, is_live, open_screen
from hpo.units import Metric, counted, format_duration

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

MODES = ("auto", "bar", "lines", "none")
SECONDS_PER_LINE = 60.0
_FEWEST_LINES = 5  # of samplers, however low the terminal


class Progress:
    """Shows how far a job is: one run, or all runs of a comparison.

    Args:
        mode: ``auto``, ``bar``, ``lines`` or ``none``.
        metric: how values are shown.
        plan: the runs of a comparison, as they stand before it goes on; None for a single run.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self, mode: str, metric: Metric, plan: Stages | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if mode not in MODES:
            raise InvalidOption(f"progress={mode!r}: give one of {', '.join(MODES)}")
        self._mode = ("bar" if is_live() else "lines") if mode == "auto" else mode
        self._metric, self._clock = metric, clock
        self._is_comparison = plan is not None
        self._stages = Stages() if plan is None else plan
        self._run: RunName | None = None  # the one that was heard of last
        self._last_line = clock()
        self._begun: float | None = None  # when the first run was: what came before says nothing of the trials
        self._screen: Screen | None = None
        self._sealed = ""  # how far the scoring of the sealed test rows is, once it has begun

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    def note(self, text: str | None) -> None:
        """Say something once, above the bar."""
        if text is None or self._mode == "none":
            return
        if self._screen is not None:
            self._screen.say(text)
        else:
            announce(text)

    def begin_run(
        self,
        run: RunName,
        *,
        n_done: int,
        n_total: int,
        best: float | None,
        reference: float | None,
        n_failed: int = 0,
    ) -> None:
        """A run begins, or goes on, with ``n_done`` of its ``n_total`` trials told, ``n_failed`` of them failed."""
        stage = self._stages.runs.setdefault(run, Stage(n_total))  # a plan knows better how many there will be
        stage.n_done, stage.n_failed, stage.best = n_done, n_failed, best
        stage.n_total = max(stage.n_total, n_done)
        self._stages.refer(run.split, reference)
        self._run = run
        if self._begun is None:
            self._begun = self._clock()
        if self._mode == "bar" and self._screen is None:
            self._screen = open_screen(lambda: self)
        self._show()

    def told(self, run: RunName, value: float | None, error: str | None, *, is_reused: bool = False) -> None:
        """A trial of a run was recorded, with its value or its error; ``is_reused``: it was not trained."""
        if run not in self._stages.runs:  # the reference, which is none of the trials that were asked for
            self._stages.refer(run.split, value)
            return
        stage = self._stages.runs[run]
        stage.n_done += 1
        stage.n_new += 1
        stage.n_reused += is_reused
        stage.n_failed += error is not None
        if value is not None and (stage.best is None or value > stage.best):
            stage.best = value
        self._run = run
        self._show()

    def end_run(self, run: RunName) -> None:
        """A run has ended, whatever number of trials it was to have."""
        if run in self._stages.runs:
            self._stages.runs[run].n_total = self._stages.runs[run].n_done

    def scored(self, n_done: int, n_total: int) -> None:
        """So many incumbents of a comparison have been scored on the sealed test rows."""
        self._sealed = f"sealed test: {n_done} of {counted(n_total, 'incumbent')} scored"
        if self._mode == "bar" and self._screen is None:
            self._screen = open_screen(lambda: self)
        self._show()

    def _show(self) -> None:
        if self._screen is not None:
            self._screen.changed()
        elif self._mode == "lines" and self._clock() - self._last_line >= SECONDS_PER_LINE:
            self._last_line = self._clock()
            announce(self._comparison_line() if self._is_comparison else self._run_line(), logging.INFO)

    # --- in words ---

    def _run_line(self) -> str:
        """``digits/tpe/split0-seed0: 20/50 trials, log loss 0.2 (reference 0.25), about 3 min left``."""
        best, reference = self._values()
        parts = [f"{self._metric.label} {best} (reference {reference})", *self._pace(short=False)]
        return f"{self._run}: {self._stages.n_done}/{self._stages.n_total} trials, {', '.join(parts)}"

    def _comparison_line(self) -> str:
        """``digits: 120/3000 trials; median log loss so far ...: tpe 0.11, grid 0.13 (reference 0.15); ... left``."""
        if self._sealed:
            return f"{self._study}: {self._sealed}"
        counts = [f"{self._stages.n_done}/{self._stages.n_total} trials", *self._failed()]
        values = [*(s.median for s in self._stages.standings), self._stages.reference]
        *texts, reference = self._metric.texts(values)
        medians = ", ".join(f"{s.sampler} {text}" for s, text in zip(self._stages.standings, texts, strict=True))
        what = f"median {self._metric.label} so far ({self._metric.direction})"
        pace = ", ".join(self._speed(short=False))
        parts = [", ".join(counts), f"{what}: {medians} (reference {reference})", *([pace] if pace else [])]
        return f"{self._study}: {'; '.join(parts)}"

    def _values(self) -> tuple[str, str]:
        """Of a single run: its incumbent and its reference."""
        assert self._run is not None  # it has begun
        reference = self._stages.references.get(self._run.split)
        best, usual = self._metric.texts([self._stages.runs[self._run].best, reference])
        return best, usual

    def _pace(self, *, short: bool) -> list[str]:
        """Failures, rate and time left; short for a bar in 80 columns."""
        return [*self._failed(), *self._speed(short=short)]

    def _speed(self, *, short: bool) -> list[str]:
        rate, left = self._rate(), self._left()
        number = f"{rate:.2g}" if rate < 10 else f"{rate:.0f}"
        said = [f"{number}/s" if short else f"{number} trials/s"] if rate else []
        return said if left is None else [*said, f"{'' if short else 'about '}{format_duration(round(left))} left"]

    def _failed(self) -> list[str]:
        return [f"{self._stages.n_failed} failed"] if self._stages.n_failed else []

    @property
    def _spent(self) -> float:
        return 0.0 if self._begun is None else self._clock() - self._begun

    def _rate(self) -> float:
        """Trials in a second, of those that were told here; 0 while it cannot be known."""
        return self._stages.n_new / self._spent if self._spent > 0 else 0.0

    def _left(self) -> float | None:
        return self._stages.seconds_left(self._spent)

    @property
    def _study(self) -> str:
        return next(iter(self._stages.runs)).versioned_study

    # --- drawn ---

    def __rich_console__(self, _: "Console", options: "ConsoleOptions") -> "RenderResult":
        if self._is_comparison:
            yield from self._drawn_comparison(options.max_width, options.max_height)
        else:
            yield self._drawn_run()
        if Interrupts.is_ending:
            yield cut(ANNOUNCEMENT)

    def _drawn_run(self) -> Any:
        best, reference = self._values()
        text = ", ".join([f"best {best}, ref {reference}", *self._pace(short=True)])
        run = str(self._run).partition("/")[2]
        return cut_row(run, self._bar(8), self._count(), text)

    def _drawn_comparison(self, width: int, height: int) -> list[Any]:
        standings = self._stages.standings
        *medians, reference = self._metric.texts([*(s.median for s in standings), self._stages.reference])
        n_shown = max(height - 7, _FEWEST_LINES)
        if len(standings) > n_shown:
            n_shown -= 1  # for the line that says so
        rows = [
            [
                standing.sampler, f"{standing.n_ended}/{standing.n_runs}", f"{standing.n_done}/{standing.n_total}",
                str(standing.n_failed), median, counted(standing.n_incumbents, "run"),
            ]
            for standing, median in zip(standings[:n_shown], medians[:n_shown], strict=True)
        ]  # fmt: skip
        if len(standings) > n_shown:
            rows.append([f"... and {len(standings) - n_shown} more", *[""] * 5])
        n_splits = counted(len(self._stages.references), "split")
        rows.append(["reference", "", "", "", reference, n_splits])
        header = ["sampler", "runs", "trials", "failed", "median so far", "over"]
        pace = ", ".join([f"{self._count()} trials", *self._pace(short=True)])
        return [
            cut(f"{self._study}: {self._metric.label}, {self._metric.direction}"),
            cut_row(self._bar(max(8, min(30, width - 1 - len(pace)))), pace),
            cut_table(header, rows, width=width, spare=["trials", "over", "failed"]),
            cut(self._sealed or "so far: over runs at different stages, each with the best value it has"),
        ]

    def _bar(self, width: int) -> Any:
        from rich.progress_bar import ProgressBar

        return ProgressBar(total=self._stages.n_total, completed=self._stages.n_done, width=width)

    def _count(self) -> str:
        total = str(self._stages.n_total)
        return f"{self._stages.n_done:>{len(total)}}/{total}"
