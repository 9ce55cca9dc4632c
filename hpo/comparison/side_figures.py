"""Figures beside the question which sampler is better: ranks over studies, cost and failures."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpo.comparison.drawing import (
    AXIS,
    INK,
    MUTED,
    Figure,
    Rows,
    add_medians,
    empty_figure,
    safe,
    say_nothing_to_draw,
    spread,
    styles,
    tick_label,
)  # fmt: skip

_COSTS = {
    "fit_seconds": "seconds of fitting",
    "score_seconds": "seconds of scoring",
    "sampler_seconds": "seconds of the sampler itself",
    "peak_memory_mb": "peak memory in MB",
}
_PATTERNS = ("", "/", "x", ".", "-", "|", "+", "\\")


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
    figure = empty_figure(
        "Ranks", f"Mean rank of each sampler{over}{joined if has_difference else ''}.",
        height=120 + rows.total + above, x=f"mean rank{over} (1 is best)",
    )  # fmt: skip
    bars: list[tuple[float | None, float | None]] = []
    leaders: list[tuple[float | None, float | None]] = []
    for lane, (first, last) in enumerate(groups):
        y = -10.0 - 14 * lane
        bars += [(means[first], y), (means[last], y), (None, None)]
        for i in range(first, last + 1):
            leaders += [(means[i], y), (means[i], rows.centers[i]), (None, None)]
    for path, line in ((leaders, {"color": MUTED, "width": 1}), (bars, {"color": INK, "width": 6})):
        figure.add_scatter(
            x=[x for x, _ in path], y=[y for _, y in path], mode="lines", line=line, hoverinfo="skip", showlegend=False
        )
    looks = styles(ranks, samplers)
    for sampler, mean, center in zip(ordered["sampler"], means, rows.centers, strict=True):
        figure.add_scatter(
            x=[mean], y=[center], mode="markers", marker=looks[sampler].marker(12), showlegend=False,
            name=safe(sampler), hovertemplate="mean rank %{x:.2f}",
        )  # fmt: skip
    last_rank = float(max(len(ordered), 2))
    if has_difference:
        y = 22.0 - above
        figure.add_scatter(
            x=[1, 1 + critical_difference], y=[y, y], mode="lines+markers", line={"color": INK, "width": 2},
            marker={"symbol": "line-ns", "size": 12, "line": {"color": INK, "width": 2}}, showlegend=False,
            hoverinfo="skip", name="critical difference",
        )  # fmt: skip
        figure.add_annotation(
            x=1, y=y, text=f"critical difference {critical_difference:.2f}", showarrow=False, xanchor="left",
            yanchor="bottom", yshift=4,
        )  # fmt: skip
        last_rank = max(last_rank, 1 + critical_difference)
    rows.apply(figure, above=above)
    return figure.update_xaxes(range=[0.8, last_rank + 0.2])


def cost(finals: pd.DataFrame, *, samplers: Sequence[str] | None = None) -> Figure:
    """What each run cost, one panel each: seconds of fitting, of scoring, of the sampler, and peak memory.

    Args:
        finals: columns sampler, repetition, fit_seconds, score_seconds, sampler_seconds, peak_memory_mb.
        samplers: all samplers of the comparison, in order.
    """
    looks = styles(finals, samplers)
    rows = Rows([tick_label(sampler) for sampler in looks], 24)
    figure = empty_figure(
        "Cost", "What one run cost: a point per run, the tall line their median. Each panel has a scale of its own.",
        height=100 + (rows.total + 80) * len(_COSTS),
    )  # fmt: skip
    figure.set_subplots(len(_COSTS), 1, vertical_spacing=80 / (rows.total + 80) / len(_COSTS))
    figure.update_xaxes(**AXIS).update_yaxes(**AXIS)
    for panel, (column, name) in enumerate(_COSTS.items(), start=1):
        medians = []
        for (sampler, style), center in zip(looks.items(), rows.centers, strict=True):
            values = finals.loc[finals["sampler"] == sampler].sort_values("repetition")[column].to_numpy(float)
            values = values[np.isfinite(values)]
            figure.add_scatter(
                x=values, y=center + spread(len(values), 12), mode="markers", name=safe(sampler),
                marker={**style.marker(6), "opacity": 0.75}, showlegend=False, hovertemplate="%{x:.4~g}",
                row=panel, col=1,
            )  # fmt: skip
            medians.append(float(np.median(values)) if len(values) else math.nan)
        add_medians(figure, medians, rows.centers, row=panel, col=1)
        figure.update_xaxes(title={"text": name, "standoff": 6}, row=panel, col=1, **_scale(finals[column]))
    rows.apply(figure)
    return figure


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
    figure = empty_figure(
        "Failures",
        "How many trials failed, by sampler and kind of error; a failed trial uses budget and is never the best.",
        height=120 + max(rows.total, 60), x="failed trials",
    )  # fmt: skip
    if failures.empty:
        return say_nothing_to_draw(figure, "no trial failed")
    for i, (sampler, style) in enumerate(looks.items()):
        mine = (ordered["sampler"] == sampler).to_numpy()
        figure.add_bar(
            x=ordered.loc[mine, "count"].to_numpy(), y=rows.centers[mine], width=26, orientation="h",
            marker={"color": style.color, "pattern": {"shape": _PATTERNS[i % len(_PATTERNS)]}}, showlegend=False,
            name=safe(sampler), text=ordered.loc[mine, "count"],
            textposition="outside", cliponaxis=False, hovertemplate="%{x}",
        )  # fmt: skip
    rows.apply(figure)
    return figure.update_xaxes(range=[0, 1.12 * float(failures["count"].max())])


def _groups(means: np.ndarray, critical_difference: float) -> list[tuple[int, int]]:
    """First and last index of maximal runs of sorted mean ranks that span less than the critical difference."""
    found: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = int(np.searchsorted(means, mean + critical_difference)) - 1 if math.isfinite(critical_difference) else -1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _scale(values: pd.Series) -> dict[str, str]:
    """Logarithmic where costs differ in orders of magnitude, else from zero."""
    if values.min() > 0 and values.max() > 20 * values.min():
        return {"type": "log"}
    return {"rangemode": "tozero"}
