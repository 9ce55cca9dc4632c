"""Which trial to take where the best value is not all that counts: cheap ones, and those below a ceiling."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.errors import InvalidOption
from hpo.units import Metric, format_duration, nearest, rough_text

if TYPE_CHECKING:
    from hpo.database.trial import Trial
    from hpo.runs.run import Run

RULES = ("best", "one-se", "fastest")
COSTS = {
    "fit_seconds": "seconds of fitting",
    "predict_seconds": "seconds of predicting",
    "peak_memory_mb": "peak memory in MB",
    "model_size_mb": "size in MB",
}


@dataclass(frozen=True)
class Selection:
    """The trial that a rule selects.

    Attributes:
        trial: which is selected.
        best: the trial with the best value of those below the ceilings.
        rule, cost: by which it was selected, and what is cheap.
        bar: the value that was good enough, the scorer's sign.
        n_allowed, n_complete: trials below the ceilings, and all.
    """

    trial: "Trial"
    best: "Trial"
    rule: str
    cost: str
    bar: float
    n_allowed: int
    n_complete: int

    def sentence(self, metric: Metric) -> str:
        """What was selected and why, for people."""
        value, bar, best = metric.texts([self.trial.value, self.bar, self.best.value])
        said = f"{self.rule}: trial {self.trial.number}, {metric.label} {value}"
        if self.n_allowed < self.n_complete:
            said += f", of the {self.n_allowed} of {self.n_complete} trials below the ceilings"
        if self.rule == "best":
            return said
        said += f"; the cheapest ({cost_text(self.cost, cost_of(self.trial, self.cost))}) "
        said += f"that is as good as {bar}"
        if self.trial.number == self.best.number:
            return f"{said}, and the best of all"
        own, other = cost_of(self.trial, self.cost), cost_of(self.best, self.cost)
        return (
            f"{said}; the best, trial {self.best.number}, has {best} at "
            f"{rough_text(other / own if own > 0 else math.inf)} times the cost"
        )


def select(
    run: "Run",
    rule: str = "best",
    *,
    cost: str = "fit_seconds",
    margin: float | None = None,
    max_fit_seconds: float | None = None,
    max_predict_seconds: float | None = None,
    max_peak_memory_mb: float | None = None,
    max_model_size_mb: float | None = None,
) -> "Trial":
    """The trial of a run to take, where the best value is not all that counts.

    Args:
        run: with complete trials.
        rule: ``best``; ``one-se``, the cheapest within one standard error of the best, s / sqrt(n_folds) of its fold
            scores (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3); or ``fastest``, the cheapest within
            ``margin`` of the best.
        cost: what is cheap: ``fit_seconds``, ``predict_seconds``, ``peak_memory_mb`` or ``model_size_mb``.
        margin: for ``fastest``, in the metric's units.
        max_fit_seconds, max_predict_seconds: ceilings, of all folds together, as they are stored with trials.
        max_peak_memory_mb, max_model_size_mb: ceilings. What a trial has not stored is not below any.

    Returns:
        The trial; ``run.trained(trial)`` trains it.

    Raises:
        InvalidOption: an unknown rule or cost, a margin that is missing, or nothing below the ceilings.
        UnknownRun: no trial is complete.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> hpo.select(run, "one-se").number in {0, 1, 2}
        True
    """
    ceilings = {
        "fit_seconds": max_fit_seconds, "predict_seconds": max_predict_seconds,
        "peak_memory_mb": max_peak_memory_mb, "model_size_mb": max_model_size_mb,
    }  # fmt: skip
    run.best  # noqa: B018 - raises where no trial is complete
    return selected(run.complete, rule, cost=cost, margin=margin, ceilings=ceilings).trial


def selected(
    trials: Sequence["Trial"],
    rule: str = "best",
    *,
    cost: str = "fit_seconds",
    margin: float | None = None,
    ceilings: Mapping[str, float | None] | None = None,
) -> Selection:
    """The selection of :func:`select` among complete trials; of equal costs the better value, then the first."""
    if rule not in RULES:
        raise InvalidOption(f"the rule {rule!r} is unknown; known: {', '.join(RULES)}")
    check_cost(cost)
    if (rule == "fastest") != (margin is not None):
        raise InvalidOption(f"the rule {rule} {'needs a margin' if margin is None else 'takes no margin'}")
    if margin is not None and not 0 <= margin < math.inf:
        raise InvalidOption(f"margin={margin!r}: give a number from 0, in the metric's units")
    limits = {name: limit for name, limit in (ceilings or {}).items() if limit is not None}
    allowed = [trial for trial in trials if all(cost_of(trial, name) <= limit for name, limit in limits.items())]
    if not allowed:
        raise InvalidOption(_nothing_below(trials, limits))
    best = max(allowed, key=lambda trial: (_value(trial), -trial.number))
    bar = _value(best)
    if rule == "one-se":
        if len(best.fold_scores) < 2:
            raise InvalidOption(
                "one-se needs the spread of several folds, and there is one: take fastest with a margin"
            )
        bar -= float(np.std(best.fold_scores, ddof=1)) / math.sqrt(len(best.fold_scores))
    elif rule == "fastest":
        bar -= margin or 0.0
    good = [
        trial for trial in allowed if _value(trial) >= bar and (rule == "best" or not math.isnan(cost_of(trial, cost)))
    ]
    if not good:
        raise InvalidOption(f"{cost} is not stored with the best trials: they are of an earlier version")
    taken = best
    if rule != "best":
        taken = min(good, key=lambda trial: (cost_of(trial, cost), -_value(trial), trial.number))
    return Selection(taken, best, rule, cost, bar, len(allowed), len(trials))


def pareto_front(values: Sequence[float], costs: Sequence[float]) -> np.ndarray:
    """Which points no other beats: none is at least as good and as cheap, and better in one of the two.

    Args:
        values: of shape (n,), higher is better.
        costs: of shape (n,), lower is better; what is NaN is on no front.

    Returns:
        Booleans of shape (n,); of equal points all or none.
    """
    value, cost = np.asarray(values, dtype=float), np.asarray(costs, dtype=float)
    front = np.zeros(len(value), dtype=bool)
    known = np.flatnonzero(np.isfinite(value) & np.isfinite(cost))
    ahead = -math.inf
    for level in np.unique(cost[known]):  # from the cheapest on: each must beat what is cheaper
        level_points = known[cost[known] == level]
        top = value[level_points].max()
        if top > ahead:
            front[level_points[value[level_points] == top]] = True
            ahead = float(top)
    return front


def check_cost(cost: str) -> None:
    """Raise InvalidOption where there is no such cost."""
    if cost not in COSTS:
        raise InvalidOption(f"the cost {cost!r} is unknown; {nearest(cost, COSTS)}known: {', '.join(COSTS)}")


def cost_of(trial: "Trial", cost: str) -> float:
    """What a trial cost; NaN where that was not stored."""
    return float(getattr(trial, cost))


def cost_text(cost: str, amount: float) -> str:
    """A cost for people."""
    if math.isnan(amount):
        return "-"
    return format_duration(amount) if cost.endswith("_seconds") else f"{amount:.3g} MB"


def _value(trial: "Trial") -> float:
    assert trial.value is not None  # complete trials have one
    return trial.value


def _nothing_below(trials: Sequence["Trial"], limits: Mapping[str, float]) -> str:
    least = [
        f"{name} {cost_text(name, limit)}, where the least is "
        f"{cost_text(name, min((cost_of(trial, name) for trial in trials), default=math.nan))}"
        for name, limit in limits.items()
    ]
    return f"no complete trial is below the ceilings: {'; '.join(least)}" if limits else "no trial is complete"
