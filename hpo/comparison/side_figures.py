"""Figures beside the question which sampler is better: ranks over studies, cost and failures."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hpo.figures.figure import INK, MUTED, PATTERNS, Axis, Bars, Figure, Line, Look, Mark, Note, Panel, Points, Strokes
from hpo.figures.style import Rows, median_strokes, spread, styles, tick_label

_COSTS = {
    "fit_seconds": "seconds of fitting",
    "score_seconds": "seconds of scoring",
    "sampler_seconds": "seconds of the sampler itself",
    "peak_memory_mb": "peak memory in MB",
}


def ranks(
    ranks: pd.DataFrame,
    critical_difference: float,
    n_studies: int | None = None,
    *,
    samplers: Sequence[str] | None = None,
) -> Figure:
    """Mean ranks over studies with Nemenyi's critical difference (Demsar 2006, figure 1); description only.

    Bars join maximal groups of samplers whose mean ranks lie closer than the critical difference.

    Args:
        ranks: columns sampler, rank (mean over studies, 1 is best).
        critical_difference: in ranks; NaN where there is none.
        n_studies: how many studies, for the axis.
        samplers: all samplers of the comparison, in order.
    """
    ordered = ranks.sort_values("rank", kind="stable")
    means = ordered["rank"].to_numpy(float)
    groups = _groups(means, critical_difference)
    over = "" if n_studies is None else f" over {n_studies} studies"
    has_difference = math.isfinite(critical_difference)
    joined = "; bars join samplers that lie closer than the critical difference, which describes and proves nothing"
    rows = Rows([tick_label(sampler) for sampler in ordered["sampler"]], 30)
    above = 14 * len(groups) + (60 if has_difference else 14)
    bars: list[tuple[float, float]] = []
    leaders: list[tuple[float, float]] = []
    gap = (math.nan, math.nan)
    for lane, (first, last) in enumerate(groups):
        y = -10.0 - 14 * lane
        bars += [(means[first], y), (means[last], y), gap]
        for i in range(first, last + 1):
            leaders += [(means[i], y), (means[i], rows.centers[i]), gap]
    marks: list[Mark] = [_path(leaders, MUTED, 1), _path(bars, INK, 6)]
    looks = styles(ranks, samplers)
    marks += [
        Points(x=[mean], y=[center], look=looks[sampler], name=sampler, size=12, hover="mean rank %{x:.2f}")
        for sampler, mean, center in zip(ordered["sampler"], means, rows.centers, strict=True)
    ]
    last_rank = float(max(len(ordered), 2))
    if has_difference:
        y = 22.0 - above
        marks += [
            _path([(1, y), (1 + critical_difference, y)], INK, 2),
            Strokes(x=[1, 1 + critical_difference], y=[y, y], name="critical difference", height=16, width=2),
            Note(x=1, y=y, text=f"critical difference {critical_difference:.2f}"),
        ]
        last_rank = max(last_rank, 1 + critical_difference)
    x = Axis(title=f"mean rank{over} (1 is best)", limits=(0.8, last_rank + 0.2))
    return Figure(
        "Ranks", f"Mean rank of each sampler{over}{joined if has_difference else ''}.",
        (Panel(x=x, y=rows.axis(above=above), marks=tuple(marks), height=rows.total + above),),
    )  # fmt: skip


def cost(finals: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """What each run cost, one panel each: seconds of fitting, of scoring, of the sampler, and peak memory.

    Args:
        finals: columns sampler, repetition, fit_seconds, score_seconds, sampler_seconds, peak_memory_mb.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(finals, samplers)
    rows = Rows([tick_label(sampler) for sampler in looks], 24)
    panels = [
        Panel(
            x=_cost_axis(name, finals[column]), y=rows.axis(), marks=_costs(finals, column, looks, rows),
            height=rows.total,
        )
        for column, name in _COSTS.items()
    ]  # fmt: skip
    caption = "What one run cost: a point per run, the tall line their median. Each panel has a scale of its own."
    return Figure("Cost", caption, tuple(panels))


def _costs(finals: pd.DataFrame, column: str, looks: Mapping[str, Look], rows: Rows) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    medians = []
    for (sampler, look), center in zip(looks.items(), rows.centers, strict=True):
        values = finals.loc[finals["sampler"] == sampler].sort_values("repetition")[column].to_numpy(float)
        values = values[np.isfinite(values)]
        y = center + spread(len(values), 12)
        marks.append(Points(x=values, y=y, look=look, name=sampler, size=6, opacity=0.75, hover="%{x:.4~g}"))
        medians.append(float(np.median(values)) if len(values) else math.nan)
    return (*marks, median_strokes(medians, rows.centers, height=26))


def _cost_axis(title: str, values: pd.Series) -> Axis:
    """Logarithmic where costs differ in orders of magnitude, else from zero."""
    is_log = bool(values.min() > 0 and values.max() > 20 * values.min())
    return Axis(title=title, is_log=is_log, from_zero=not is_log)


def failures(failures: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """How many trials of each sampler failed, by the exception's type.

    Args:
        failures: columns sampler, kind, count.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(failures, samplers)
    order = list(looks)
    ordered = failures.sort_values("count", ascending=False, kind="stable").sort_values(
        "sampler", key=lambda names: names.map(order.index), kind="stable"
    )
    rows = Rows([tick_label(row.sampler, remark=row.kind) for row in ordered.itertuples()], 42)
    marks = []
    for i, (sampler, look) in enumerate(looks.items()):
        mine = (ordered["sampler"] == sampler).to_numpy()
        marks.append(
            Bars(
                lengths=ordered.loc[mine, "count"].to_numpy(), y=rows.centers[mine], look=look, name=sampler,
                pattern=PATTERNS[i % len(PATTERNS)], hover="%{x}",
            )
        )  # fmt: skip
    x = Axis(title="failed trials", limits=(0, 1.12 * float(failures["count"].max() if len(failures) else 1)))
    return Figure(
        "Failures",
        "How many trials failed, by sampler and kind of error; a failed trial uses budget and is never the best.",
        (Panel(x=x, y=rows.axis(), marks=tuple(marks), height=max(rows.total, 60)),),
        nothing="no trial failed" if failures.empty else "",
    )


def _path(points: Sequence[tuple[float, float]], color: str, width: float) -> Line:
    return Line(x=[x for x, _ in points], y=[y for _, y in points], look=Look(color), width=width)


def _groups(means: np.ndarray, critical_difference: float) -> list[tuple[int, int]]:
    """First and last index of maximal runs of sorted mean ranks that span less than the critical difference."""
    found: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = int(np.searchsorted(means, mean + critical_difference)) - 1 if math.isfinite(critical_difference) else -1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
