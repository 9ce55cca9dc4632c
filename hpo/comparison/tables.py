"""The table of a comparison: one row per sampler."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpo.comparison import random_effort
from hpo.comparison.measures import as_losses
from hpo.comparison.statistics.effort import median_interval

if TYPE_CHECKING:
    from hpo.comparison.result import Comparison

_VERDICT = ["superiority", "superiority_low", "superiority_high", "p_holm", "verdict"]
_SPEEDUP = random_effort.COLUMNS
_COUNTS = ("trials", "distinct", "failed", "pruned")  # but for what depends on which worker was faster
_COSTS = ("fit_seconds", "score_seconds", "sampler_seconds")


def samplers(comparison: "Comparison") -> pd.DataFrame:
    """One row per sampler; columns as in :attr:`hpo.Comparison.table`."""
    groups, labels = comparison.finals.groupby("sampler", sort=False), comparison.plan.labels
    values = groups.agg(
        repetitions=("repetition", "size"),
        **{name: (name, "sum") for name in (*_COUNTS, *_COSTS)},
        median=("value", "median"),
        worst=("value", "min"),
        best=("value", "max"),
        test=("test", "median"),
        peak_memory_mb=("peak_memory_mb", "max"),
    ).reindex(labels)
    intervals = [median_interval(as_losses(groups.get_group(label)["value"])) for label in labels]
    values["median_low"] = [-float(interval.high) for interval in intervals]
    values["median_high"] = [-float(interval.low) for interval in intervals]
    errors = comparison.test_errors.reindex(labels)
    values["test_low"], values["test_high"] = values["test"] - errors, values["test"] + errors
    if comparison.has_test:
        values["overtuned"] = comparison.overtuning.groupby("sampler")["is_worse"].mean()
    else:
        values["overtuned"] = np.nan
    table = values.join([_counts(comparison), _against(comparison), _speedups(comparison), comparison.time_table])
    first = [
        "repetitions", *_COUNTS, "median", "median_low", "median_high", "worst", "best", "test", "test_low",
        "test_high", "wins", "ties", "losses", *_VERDICT, *_SPEEDUP, *comparison.time_table.columns, "overtuned",
        *_COSTS, "peak_memory_mb",
    ]  # fmt: skip
    table = table[first].rename_axis("sampler").reset_index()
    table.insert(0, "study", comparison.study)
    return table


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values: what was not computed is None, and ``infinity`` what is not reached or has no end."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, float) and np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return value


def _counts(comparison: "Comparison") -> pd.DataFrame:
    """Wins, ties and losses of each sampler against the baseline, repetition by repetition."""
    baseline = comparison.plan.baseline
    losses, _ = comparison.losses(comparison.plan.trials)
    rows = {}
    for label, own in losses.items():
        if baseline is None or label == baseline:
            rows[label] = dict.fromkeys(("wins", "ties", "losses"), pd.NA)
        else:
            base = losses[baseline]
            rows[label] = {"wins": (own < base).sum(), "ties": (own == base).sum(), "losses": (own > base).sum()}
    return pd.DataFrame.from_dict(rows, orient="index").astype("Int64")


def _against(comparison: "Comparison") -> pd.DataFrame:
    if comparison.plan.baseline is None:
        return pd.DataFrame(index=comparison.plan.labels, columns=_VERDICT)
    return comparison.verdicts.set_index("sampler")[_VERDICT]


def _speedups(comparison: "Comparison") -> pd.DataFrame:
    plan = comparison.plan
    if plan.random is None and plan.pool == 1:
        return pd.DataFrame(index=plan.labels, columns=_SPEEDUP, dtype=float)
    if plan.resplit:
        return comparison.efforts[_SPEEDUP]
    is_baseline = plan.baseline == plan.random
    verdicts = comparison.verdicts if is_baseline else comparison.judged(plan.trials, plan.random)
    return verdicts.set_index("sampler").reindex(columns=_SPEEDUP)
