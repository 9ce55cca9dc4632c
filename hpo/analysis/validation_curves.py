"""Validation curves: the best configuration with one hyperparameter varied, on training and validation rows.

Computed when it is asked for, by the same evaluation as a trial's; nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpo.errors import InvalidOption
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.figures.line_chart import Chart, Line
from hpo.study.foreign_spaces import Parameter, Quantile
from hpo.study.hyperparameters import Categorical, Float, Int, typed
from hpo.study.space import SearchSpace, when_text
from hpo.units import Metric, nearest, number_texts

if TYPE_CHECKING:
    from hpo.database.trial import Trial
    from hpo.runs.run import Run

N_LEVELS = 9  # of a numeric hyperparameter whose levels nobody has listed


@dataclass(frozen=True)
class ValidationCurve:
    """Scores of one configuration with one hyperparameter varied.

    Attributes:
        name: of the hyperparameter.
        metric: how scores are shown.
        trial: number of the trial whose configuration it is.
        value: that trial's value of it, as the estimator is given it.
        frame: one row per level: value (as the estimator is given it, or the choice's label), train, validation (means
            over the folds, the scorer's sign), train_spread, validation_spread (standard deviations over the folds, NaN
            for one fold), fit_seconds (of all folds), error.
        is_log: whether the space searches its logarithm.
        notes: what was added for choices on which other hyperparameters depend.
    """

    name: str
    metric: Metric
    trial: int
    value: Any
    frame: pd.DataFrame
    is_log: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether its levels are points of an axis, and not choices."""
        return bool(pd.api.types.is_numeric_dtype(self.frame["value"]) and self.frame["value"].dtype != bool)

    @property
    def sentences(self) -> list[str]:
        """What is to be seen, for people."""
        done = self.frame[self.frame["validation"].notna()]
        if done.empty:
            return [f"no level of {self.name} could be trained: {self.frame['error'].iloc[0]}"]
        best = done.loc[done["validation"].idxmax()]
        gaps = (done["train"] - done["validation"]).abs()
        widest, narrowest = done.loc[gaps.idxmax()], done.loc[gaps.idxmin()]
        least, most = number_texts([float(gaps.min()), float(gaps.max())], 2)
        said = [
            f"{self.name}: best on validation rows at {_text(best['value'])} ({self.metric.label} "
            f"{self.metric.text(best['validation'])}); trial {self.trial} has {_text(self.value)}",
            f"the gap between training and validation rows goes from {least} at {_text(narrowest['value'])} "
            f"to {most} at {_text(widest['value'])}",
        ]
        return [*said, *self.notes]

    @property
    def chart(self) -> Chart:
        """As a picture: both curves with the spread of the folds."""
        frame, sign = self.frame, self.metric.sign
        x = list(frame["value"].astype(float)) if self.is_numeric else [float(i) for i in range(len(frame))]
        own = [at for at, value in zip(x, frame["value"], strict=True) if value == self.value]
        return Chart(
            title=f"Validation curve of {self.name}",
            caption=(
                f"{self.metric.label} ({self.metric.direction}) on training and validation rows with the other "
                f"hyperparameters of trial {self.trial}; the bands are one standard deviation of the folds."
            ),
            x_label=self.name,
            y_label=self.metric.label,
            lines=[
                Line(f"{name} rows", x, list(sign * frame[column]), list(frame[f"{column}_spread"]))
                for name, column in (("validation", "validation"), ("training", "train"))
            ],
            is_log=self.is_log,
            ticks=None if self.is_numeric else {i: _text(value) for i, value in enumerate(frame["value"])},
            mark=(own[0], f"trial {self.trial}") if own else None,
        )


def validation_curve(run: "Run", name: str, trial: "Trial | None" = None) -> ValidationCurve:
    """Train the best configuration of a run, or of another trial, with one hyperparameter varied over its space.

    Numbers take 9 levels between the ends of their range, or those that the space lists, and the trial's own value;
    choices take each. Where a choice brings hyperparameters that the trial lacks, they are those of the best
    trial with that choice, or else the middle of their range.

    Args:
        run: opened with its definition.
        name: of the hyperparameter.
        trial: None is the best.

    Raises:
        InvalidOption: no such hyperparameter, or the configuration does not have it.
        UnknownRun, StudyChanged: as in :meth:`hpo.Run.best_estimator`.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> hpo.validation_curve(run, "max_depth").frame["train"].is_monotonic_increasing
        True
    """
    problem, chosen = run.problem(), trial or run.best
    levels = levels_of(problem.definition.space, name, chosen)
    others = sorted(run.complete, key=lambda other: -(other.value or 0.0))
    notes: list[str] = []
    rows = [_row(problem, name, level, _varied(problem, name, level, chosen, others, notes)) for level in levels]
    parameter = problem.definition.space.parameters[name]
    return ValidationCurve(
        name=name,
        metric=run.metric,
        trial=chosen.number,
        value=_given(parameter, chosen.configuration[name]),
        frame=pd.DataFrame(rows).infer_objects(),
        is_log=isinstance(parameter, (Float, Int)) and parameter.log,
        notes=tuple(notes),
    )


def levels_of(space: SearchSpace, name: str, trial: "Trial") -> list[Any]:
    """The stored values that a curve visits, in order.

    Raises:
        InvalidOption: no such hyperparameter, or the trial does not have it.
    """
    if name not in space.parameters:
        raise InvalidOption(
            f"there is no hyperparameter {name!r}; {nearest(name, space.parameters)}the space has "
            f"{', '.join(sorted(space.parameters))}"
        )
    parameter = space.parameters[name]
    if name not in trial.configuration:
        parents = ", ".join(
            f"{parent} {trial.configuration[parent]}"
            for parent in parameter.when or {}
            if parent in trial.configuration
        )
        why = f"which has {parents}: it exists only when {when_text(parameter.when)}" if parents else "which lacks it"
        raise InvalidOption(f"{name} is not varied in trial {trial.number}, {why}")
    if isinstance(parameter, Categorical):
        return parameter.levels()
    if isinstance(parameter, Quantile) or isinstance(parameter.grid, int):
        parameter = replace(parameter, grid=max(N_LEVELS, int(parameter.grid)))  # type: ignore[arg-type]
    levels = parameter.levels()
    own = trial.configuration[name]
    if not any(np.isclose(own, level, rtol=1e-9, atol=0) for level in levels):
        levels = [*levels, own]
    return sorted(levels)


def _varied(
    problem: Problem, name: str, level: Any, trial: "Trial", others: "list[Trial]", notes: list[str]
) -> dict[str, Any]:
    """The trial's configuration with the level, what no longer exists left out and what comes with it filled in."""
    space, given = problem.definition.space, {**trial.configuration, name: level}
    alike = next(
        (o.configuration for o in others if name in o.configuration and typed(o.configuration[name]) == typed(level)),
        {},
    )
    configuration: dict[str, Any] = {}
    for other in space.names:
        if not space.is_active(other, configuration):
            continue
        if other not in given:
            known = other in alike
            given[other] = alike[other] if known else space.parameters[other].at(0.5)
            value = _text(_given(space.parameters[other], given[other]))
            whose = "of the best trial with it" if known else "the middle of its range"
            notes.append(f"{name} {_text(level)} needs {other}: {value}, {whose}")
        configuration[other] = given[other]
    return configuration


def _row(problem: Problem, name: str, level: Any, configuration: Mapping[str, Any]) -> dict[str, Any]:
    result = evaluate(problem, problem.used(configuration))
    is_done = result.error is None
    train = np.array(result.train_fold_scores if is_done else [], dtype=float)
    validation = np.array(result.fold_scores if is_done else [], dtype=float)
    return {
        "value": _given(problem.definition.space.parameters[name], level),
        "train": float(train.mean()) if len(train) else np.nan,
        "train_spread": float(train.std(ddof=1)) if len(train) > 1 else np.nan,
        "validation": np.nan if result.value is None else result.value,
        "validation_spread": float(validation.std(ddof=1)) if len(validation) > 1 else np.nan,
        "fit_seconds": result.fit_seconds,
        "error": result.error,
    }


def _given(parameter: Parameter, value: Any) -> Any:
    """What the estimator is given, where it can be shown; the label of a choice."""
    if isinstance(parameter, Categorical):
        return "None" if value is None else value
    return parameter.use(value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
