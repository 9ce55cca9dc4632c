"""What ``hpo show`` prints of diagnosis, importance, curves and costs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.text import Text

from hpo.analysis.selection import COSTS, cost_of, cost_text, pareto_front
from hpo.cli.text import console, say, table
from hpo.figures.line_chart import Chart, Line
from hpo.units import Metric, counted, digits_apart, rough_text, share_text

if TYPE_CHECKING:
    from hpo.analysis.importance import Importances
    from hpo.runs.diagnosis import RunDiagnosis
    from hpo.runs.run import Run


def show_diagnosis(found: "RunDiagnosis") -> None:
    """The winner, the run, and what may lie beyond the space."""
    say(f"diagnosis of trial {found.trial}: {found.sentence}")
    say(f"diagnosis of the run: {found.run_sentence}")
    for edge in found.edges:
        say(edge.sentence)


def show_importances(found: "Importances") -> None:
    """What decides, as a table of shares."""
    if len(found.frame) > 1:
        header, columns = ["hyperparameter", "importance for the score"], ["metric"]
        if not found.frame["within_branch"].equals(found.frame["metric"]):
            header, columns = [*header, "with the best one's choices"], [*columns, "within_branch"]
        header, columns = [*header, "importance for fit time"], [*columns, "fit_seconds"]
        table(header, [[str(row["hyperparameter"]), *(share_text(row[c]) for c in columns)] for row in found.rows()])
    if len(found.frame) != 1:  # what is alone decides all
        say(found.note)


def show_chart(chart: Chart) -> None:
    """A picture as wide as the terminal allows."""
    console.print(Text.from_ansi(chart.picture(width=min(console.width, 110), color=console.is_terminal)))


def show_frame(frame: pd.DataFrame, metric: Metric, *, signed: tuple[str, ...], n_rows: int | None = None) -> None:
    """The rows of a curve; of many, some that are evenly spread, with the first and the last."""
    if n_rows is not None and len(frame) > n_rows:
        frame = frame.iloc[[round(i * (len(frame) - 1) / (n_rows - 1)) for i in range(n_rows)]]
    frame = frame.dropna(axis="columns", how="all")
    cells = [_cells(name, frame[name].tolist(), metric if name in signed else None) for name in map(str, frame)]
    rows = [list(row) for row in zip(*cells, strict=True)]
    names = {"value": metric.label} if "value" in signed else {}
    table([names.get(name, _heading(name)) for name in frame], rows, n_left=0)


def front_frame(run: "Run", cost: str) -> pd.DataFrame:
    """The Pareto front of a run, the cheapest first: trial, the cost, value, train_score, params_<name>."""
    trials = run.complete
    is_front = pareto_front([trial.value or 0.0 for trial in trials], [cost_of(trial, cost) for trial in trials])
    front = [trial for trial, is_on in zip(trials, is_front, strict=True) if is_on]
    rows = [
        {"trial": trial.number, cost: cost_of(trial, cost), "value": trial.value, "train_score": trial.train_score}
        | {f"params_{name}": value for name, value in trial.params.items()}
        for trial in sorted(front, key=lambda trial: cost_of(trial, cost))
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", cost, "value", "train_score"])


def cost_sentences(run: "Run", cost: str) -> list[str]:
    """What the front says, for people."""
    front, metric = front_frame(run, cost), run.metric
    if front.empty:
        return [f"no complete trial has its {cost}"]
    said = [
        f"{counted(len(front), 'trial')} of {len(run.complete)} on the Pareto front: no other is at least as good "
        f"and as cheap in {COSTS[cost]}"
    ]
    cheap, best = front.iloc[0], front.iloc[-1]
    if len(front) > 1:
        times = best[cost] / cheap[cost] if cheap[cost] > 0 else math.inf
        low, high = metric.texts([cheap["value"], best["value"]])
        said.append(
            f"from {low} at {cost_text(cost, cheap[cost])} to {high} at "
            f"{cost_text(cost, best[cost])}, {rough_text(times)} times as much; --select one-se takes the cheapest "
            "within one standard error"
        )
    return said


def cost_chart(run: "Run", cost: str) -> Chart:
    """All trials, and the front, against their cost."""
    trials, front, metric = run.complete, front_frame(run, cost), run.metric
    costs = [cost_of(trial, cost) for trial in trials]
    known = [one for one in costs if math.isfinite(one)]
    is_log = bool(known) and min(known) > 0 and max(known) > 20 * min(known)
    return Chart(
        title=f"{metric.label[:1].upper()}{metric.label[1:]} against {COSTS[cost]}",
        caption=f"Each point is a trial, {metric.direction}; the line joins those that no other beats in both.",
        x_label=COSTS[cost],
        y_label=metric.label,
        lines=[
            Line("Pareto front", list(front[cost].astype(float)), [metric.shown(value) for value in front["value"]]),
            Line("trials", costs, [metric.shown(trial.value or 0.0) for trial in trials], is_joined=False),
        ],
        is_log=is_log,
    )


def _heading(column: str) -> str:
    if column.startswith("params_"):
        return column.removeprefix("params_")
    return "on training rows" if column == "train_score" else column.replace("_", " ")


def _cells(name: str, column: Sequence[Any], metric: Metric | None) -> list[str]:
    """A column for people; its scores and hyperparameters with the digits in which they differ."""
    if metric is not None:
        return metric.texts(column)
    is_chosen = name == "value" or name.startswith("params_")
    digits = digits_apart([value for value in column if isinstance(value, float)] if is_chosen else [])
    return [_cell(value, digits) for value in column]


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else rough_text(value, digits)
    return "" if value is None else str(value)
