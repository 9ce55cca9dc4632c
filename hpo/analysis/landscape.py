"""What the optimizer believes of a run: expected score and spread over one or two hyperparameters.

Computed when it is asked for from the stored trials alone; nothing is trained and nothing stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hpo.analysis.validation_curves import levels_of
from hpo.errors import InvalidOption
from hpo.figures.line_chart import Chart, Line
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.bayesian.belief import Belief, believe
from hpo.samplers.bayesian.coordinates import Array, Axis, Coordinates
from hpo.samplers.bayesian.history import History, Known
from hpo.samplers.bayesian.targets import scores_at
from hpo.samplers.table import find_sampler
from hpo.study.hyperparameters import Categorical, Configuration, Float, Int
from hpo.units import Metric, counted

if TYPE_CHECKING:
    from hpo.runs.run import Run

_N_PLACES = 41  # along the axis of a continuous hyperparameter
_N_LINES = 4  # of a second hyperparameter
_FEWEST = 4  # trials that a belief needs


@dataclass(frozen=True)
class Landscape:
    """What a Gaussian process expects over one or two hyperparameters, the others as in the best trial that has them.

    Attributes:
        names: of the hyperparameters, the first along the axis.
        metric: how scores are shown.
        trial: number of that trial.
        frame: one row per place: the names' values, expected (the scorer's sign), low and high (one standard deviation
            below and above), promise (logarithm of the expected improvement, less what edges cost).
        seen: one row per complete trial that has the first name: number, its value of that, value (the score).
        next: what `auto` would try next; empty where nothing is left to try.
        next_score: what is expected of it, and one standard deviation below and above.
        is_log: whether the space searches the logarithm of the first.
    """

    names: tuple[str, ...]
    metric: Metric
    trial: int
    frame: pd.DataFrame
    seen: pd.DataFrame
    next: Configuration
    next_score: tuple[float, float, float]
    is_log: bool

    @property
    def sentences(self) -> list[str]:
        """What is to be seen, for people."""
        best = self.frame.loc[self.frame["expected"].idxmax()]
        where = " and ".join(f"{name} {_text(best[name])}" for name in self.names)
        said = f"expected best at {where}: {self._score(best['expected'], best['low'], best['high'])}"
        said += f", with the other hyperparameters of trial {self.trial}"
        if not self.next:
            return [said, "every configuration has been tried"]
        following = ", ".join(f"{name} {_text(value)}" for name, value in self.next.items())
        return [said, f"auto would look next at {following}, expecting {self._score(*self.next_score)}"]

    def _score(self, expected: float, low: float, high: float) -> str:
        first, last = sorted((low, high), key=self.metric.shown)
        value, *ends = self.metric.texts([expected, first, last])
        return f"{self.metric.label} {value} ({' to '.join(ends)})"

    @property
    def chart(self) -> Chart:
        """As a picture: a line for each value of the second hyperparameter, its spread, and the trials."""
        places = list(dict.fromkeys(self.frame[self.names[0]]))
        is_number = all(isinstance(place, (int, float)) and not isinstance(place, bool) for place in places)
        x = {place: float(place) if is_number else float(i) for i, place in enumerate(places)}
        groups = [("expected", self.frame)]
        if len(self.names) == 2:
            second = self.names[1]
            groups = [
                (f"{second} {_text(value)}", part)
                for value, part in self.frame.groupby(second, sort=False, dropna=False)
            ]
        sign = self.metric.sign
        lines = [
            Line(name, [x[place] for place in part[self.names[0]]], list(sign * part["expected"]),
                 list(part["high"] - part["expected"]))
            for name, part in groups
        ]  # fmt: skip
        seen = self.seen[self.seen[self.names[0]].isin(places) | is_number]
        # A few terrible scores would press everything else into one line.
        visible = seen[seen["value"] >= self.frame["low"].min()]
        marks = [x.get(place, place) for place in visible[self.names[0]]]
        lines.append(Line("trials", [float(mark) for mark in marks], list(sign * visible["value"]), is_joined=False))
        following = self.next.get(self.names[0])
        mark = None
        if following is not None and (is_number or following in x):
            mark = (float(following) if is_number else x[following], "next")
        return Chart(
            title=f"What the optimizer believes of {' and '.join(self.names)}",
            caption=(
                f"{self.metric.label} ({self.metric.direction}) that a Gaussian process expects, with the other "
                f"hyperparameters of trial {self.trial}; the bands are one standard deviation towards better "
                "scores, the points are all trials."
            ),
            x_label=self.names[0],
            y_label=self.metric.label,
            lines=lines,
            is_log=self.is_log,
            ticks=None if is_number else {at: _text(place) for place, at in x.items()},
            mark=mark,
        )


def landscape(run: "Run", names: Sequence[str]) -> Landscape:
    """What `auto` believes after the stored trials of a run, whichever sampler proposed them.

    Args:
        run: opened with its definition.
        names: one or two hyperparameters.

    Raises:
        InvalidOption: another number of names, a name that cannot be varied, or too few trials.
        UnknownRun: no trial is complete.
    """
    names = tuple(dict.fromkeys(names))
    if len(names) not in (1, 2):
        raise InvalidOption(f"--surrogate {' '.join(names)}: give one hyperparameter, or two that differ")
    space, best = run.problem().definition.space, run.best
    able = [trial for trial in run.complete if set(names) <= trial.configuration.keys()]
    best = max(able, key=lambda trial: (trial.value or 0.0, -trial.number), default=best)
    levels = [levels_of(space, name, best) for name in names]
    coordinates = Coordinates(space)
    trials = run.database.optuna_trials(run.study_id)
    known = History(coordinates).look(trials)
    if len(known.rows) < _FEWEST:
        raise InvalidOption(f"{run.name} has {counted(len(known.rows), 'trial')}: a belief needs {_FEWEST} or more")
    with threadpool_limits(1):
        belief = believe(coordinates, known, np.random.default_rng([run.name.seed, len(trials)]))
        places = [_places(coordinates, names[0], _N_PLACES, levels[0])]
        places += [_places(coordinates, name, _N_LINES, levels[1]) for name in names[1:]]
        rows = _rows(coordinates, coordinates.row(best.configuration), known, names, places)
        frame = _frame(belief, known, names, rows)
        working = WorkingStudy(run.name, space, find_sampler("auto"), stored=trials)
        following = {} if working.is_exhausted else working.propose().configuration or {}
        at = _frame(belief, known, (), coordinates.row(following or best.configuration)[None]).iloc[0]
    first = space.parameters[names[0]]
    return Landscape(
        names, run.metric, best.number, frame,
        pd.DataFrame(
            [{"number": trial.number, names[0]: _shown(space.parameters[names[0]], trial.configuration[names[0]]),
              "value": trial.value} for trial in run.complete if names[0] in trial.configuration]
        ),
        {name: _shown(space.parameters[name], value) for name, value in following.items()},
        (at["expected"], at["low"], at["high"]),
        isinstance(first, (Float, Int)) and first.log,
    )  # fmt: skip


def _places(coordinates: Coordinates, name: str, n: int, levels: list[Any]) -> Array:
    """Coordinates to visit along one hyperparameter: all choices, or n places between the ends of a range."""
    axis: Axis = coordinates.axes[coordinates.space.names.index(name)]
    if isinstance(axis.parameter, Categorical):
        return np.arange(len(levels), dtype=float)
    u = np.linspace(0, 1, n) if n > _N_LINES else (np.arange(n) + 0.5) / n
    return np.unique(axis.snap(u))


def _rows(coordinates: Coordinates, best: Array, known: Known, names: Sequence[str], places: Sequence[Array]) -> Array:
    """Rows with every combination of places; what these bring to life is as in the best trial that has it."""
    columns = [coordinates.space.names.index(name) for name in names]
    ordered = known.rows[known.best_first]
    rows = []
    for last in places[-1] if len(places) == 2 else [None]:
        for first in places[0]:
            row, wanted = best.copy(), [first] if last is None else [first, last]
            alike = np.ones(len(ordered), bool)
            for column, place in zip(columns, wanted, strict=True):
                row[column] = place
                if coordinates.axes[column].is_choice:
                    alike &= ordered[:, column] == place
            filled = np.where(coordinates.is_choice, 0.0, 0.5)
            if alike.any():
                filled = np.where(np.isnan(ordered[alike][0]), filled, ordered[alike][0])
            rows.append(np.where(np.isnan(row), filled, row))
    return coordinates.deactivated(np.array(rows))


def _frame(belief: Belief, known: Known, names: Sequence[str], rows: Array) -> pd.DataFrame:
    mean, deviation = belief.surrogate.predict(rows)
    space, columns = belief.coordinates.space, {}
    configurations = [belief.coordinates.configuration(row) for row in rows]
    for name in names:
        columns[name] = [_shown(space.parameters[name], configuration[name]) for configuration in configurations]
    return pd.DataFrame(
        columns
        | {
            "expected": scores_at(mean, known.scores),
            "low": scores_at(mean - deviation, known.scores),
            "high": scores_at(mean + deviation, known.scores),
            "promise": belief.promise(rows),
        }
    )


def _shown(parameter: Any, value: Any) -> Any:
    """What the estimator is given; the label of a choice."""
    if isinstance(parameter, Categorical):
        return "None" if value is None else value
    return parameter.use(value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
