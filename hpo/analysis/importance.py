"""How much each hyperparameter decides: of the metric, and of the time that fitting takes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.database import records

if TYPE_CHECKING:
    from hpo.database.study_database import StudyDatabase
    from hpo.runs.run import Run

FEWEST_TRIALS = 10
ENOUGH_TRIALS = 30
MOST_TRIALS = 300  # that are looked at: the time grows with them, and the shares hardly change
_N_TREES, _LEAF = 96, 2
_N_DRAWS = 1500
_CLIPPED = 0.25  # of the scores, the worst: that a bad region is very bad says little about where the good ones are
_COLUMNS = ["hyperparameter", "metric", "within_branch", "fit_seconds"]
_ABSENT = -1.0  # of a range from 0 to 1: a tree can tell it from every value there is

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Importances:
    """What decides.

    Attributes:
        frame: one row per hyperparameter, the most important for the metric first: hyperparameter, metric,
            within_branch (of the metric, with what conditions others fixed as in the best trial; NaN for what that does
            not have, and where nothing is conditional the same), fit_seconds. Shares that sum to 1, of total effects of
            Sobol': the variance that is left when all others are known, so that what acts together counts for each; NaN
            where nothing varies. Empty where there are fewer than 10 complete trials.
        n_trials, n_complete: complete trials that it rests on, and all.
    """

    frame: pd.DataFrame
    n_trials: int
    n_complete: int

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the frame."""
        return [{str(name): value for name, value in row.items()} for row in self.frame.to_dict("records")]

    @property
    def sentence(self) -> str:
        """The shares for the metric in a line, the largest first; empty where there are none."""
        known = [row for row in self.rows() if not math.isnan(row["metric"])]
        return ", ".join(f"{row['hyperparameter']} {row['metric']:.0%}" for row in known)

    @property
    def note(self) -> str:
        """What it rests on, and how far to trust it."""
        of = f"{self.n_trials} of {self.n_complete}" if self.n_trials < self.n_complete else f"{self.n_complete}"
        said = f"importance by total Sobol' effects on {of} complete trials"
        if self.n_complete < FEWEST_TRIALS:
            return f"{said}: too few to tell, {FEWEST_TRIALS} are needed"
        return f"{said}: rough below {ENOUGH_TRIALS}" if self.n_trials < ENOUGH_TRIALS else said


def importances(run: "Run") -> Importances:
    """How much each hyperparameter decides of the metric and of the seconds of fitting.

    See :func:`importances_of_trials`.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=12, database=":memory:", progress="none")
        >>> len(hpo.importances(run).rows())
        4
    """
    return importances_in(run.database, run.study_id)


def importances_in(database: "StudyDatabase", study_id: int) -> Importances:
    """How much each hyperparameter decides in a stored run, which is also what the dashboard shows.

    Of a large run only the trials are read that are looked at.
    """
    values = database.optuna_trials(study_id, attributes=(), has_params=False, has_folds=False)
    complete = _complete(values)
    numbers = records.trials.c.number.in_([trial.number for trial in _looked_at(complete)])
    looked_at = database.optuna_trials(study_id, numbers, attributes=("fit_seconds",), has_folds=False)
    return _importances(looked_at, len(complete))


def importances_of_trials(trials: Sequence[FrozenTrial]) -> Importances:
    """How much each hyperparameter decides, from what Optuna has stored of a run's trials.

    Total effects of Sobol' under the distribution that is searched: uniform on each range's own scale, conditions
    kept. They are those of a forest (96 extremely randomized trees) in which a hyperparameter that a trial does not
    have lies outside its range, by Jansen's (1999) estimator on 1,500 draws. To fill in the middle of the range, as is
    done for fANOVA, makes it news that somebody filled it in: a degree that one of three kernels has then decides most,
    in a run whose winner has another kernel. Scores are clipped at their lower quartile. The same trials give the same
    numbers.
    """
    complete = _complete(trials)
    return _importances(_looked_at(complete), len(complete))


def _complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and trial.value is not None and math.isfinite(trial.value)
    ]


def _looked_at(complete: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """The trials that are enough to tell: of many an even choice."""
    return complete[:: max(1, math.ceil(len(complete) / MOST_TRIALS))]


def _importances(looked_at: Sequence[FrozenTrial], n_complete: int) -> Importances:
    if n_complete < FEWEST_TRIALS:
        return Importances(pd.DataFrame(columns=_COLUMNS), n_complete, n_complete)
    space = _Space.of(looked_at)
    scores = np.array([float(trial.value or 0.0) for trial in looked_at])
    clipped = np.maximum(scores, np.quantile(scores, _CLIPPED))
    by_metric = _effects(space, looked_at, clipped)
    best = max(looked_at, key=lambda trial: float(trial.value or 0.0))
    branch = space.branch(best.params)
    within = by_metric if branch is space else _effects(branch, looked_at, clipped)
    timed = [trial for trial in looked_at if isinstance(trial.user_attrs.get("fit_seconds"), (int, float))]
    by_seconds = _effects(space, timed, np.array([float(trial.user_attrs["fit_seconds"]) for trial in timed]))
    rows = [(name, *(found.get(name, math.nan) for found in (by_metric, within, by_seconds))) for name in space.ranges]
    frame = pd.DataFrame(rows, columns=_COLUMNS).sort_values("metric", ascending=False, kind="stable")
    return Importances(frame.reset_index(drop=True), len(looked_at), n_complete)


# --- the space, as the trials show it ---


@dataclass(frozen=True)
class _Space:
    """What is searched, as trials show it: ranges, and which hyperparameter is there with which value of another.

    Attributes:
        ranges: name -> distribution, parents first.
        conditions: name -> (parent, values of it with which the hyperparameter is there).
        fixed: values that draws have.
    """

    ranges: Mapping[str, BaseDistribution]
    conditions: Mapping[str, tuple[str, frozenset[Any]]]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial]) -> "_Space":
        """The space of these trials; what no single parent explains counts as there in every draw."""
        ranges = {name: d for trial in trials for name, d in trial.distributions.items()}
        always = {name for name in ranges if all(name in trial.params for trial in trials)}
        conditions: dict[str, tuple[str, frozenset[Any]]] = {}
        order = sorted(always)
        waiting = sorted(set(ranges) - always)
        while waiting:
            found = [(name, _parent(name, order, trials)) for name in waiting]
            told = {name: parent for name, parent in found if parent is not None}
            if not told:
                order += waiting
                break
            conditions |= told
            order += list(told)
            waiting = [name for name in waiting if name not in told]
        return cls({name: ranges[name] for name in order}, conditions)

    def branch(self, params: Mapping[str, Any]) -> "_Space":
        """The part in which every parent has the value that these have; the space itself where there is no parent."""
        parents = {parent for parent, _ in self.conditions.values()}
        if not parents:
            return self
        fixed = {name: params[name] for name in parents if name in params}
        return _Space(self.ranges, self.conditions, fixed)

    def active(self, values: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
        """Which draws have each hyperparameter: name -> (N,)."""
        found: dict[str, NDArray[np.bool_]] = {}
        for name in self.ranges:
            is_there = np.ones(len(values[name]), dtype=bool)
            if name in self.conditions:
                parent, allowed = self.conditions[name]
                is_there = found[parent] & np.array([value in allowed for value in values[parent]])
            found[name] = is_there
        return found

    def encoded(self, values: Mapping[str, Any], active: Mapping[str, NDArray[np.bool_]]) -> Array:
        """Columns for a forest: numbers from 0 to 1 on their own scale, a column per choice; absent ones outside."""
        columns = []
        for name, distribution in self.ranges.items():
            if isinstance(distribution, CategoricalDistribution):
                for choice in distribution.choices:
                    is_it = np.array([value == choice and type(value) is type(choice) for value in values[name]])
                    columns.append(np.where(active[name], is_it, 0.0))
            else:
                columns.append(np.where(active[name], _scaled(distribution, values[name]), _ABSENT))
        return np.column_stack(columns)

    def draw(self, generator: np.random.Generator, n: int) -> dict[str, Any]:
        """Values of every hyperparameter, also where it is not there; what is fixed is."""
        found: dict[str, Any] = {}
        for name, distribution in self.ranges.items():
            drawn = _drawn(distribution, generator.random(n))
            found[name] = [self.fixed[name]] * n if name in self.fixed else drawn
        return found


def _parent(name: str, known: Sequence[str], trials: Sequence[FrozenTrial]) -> tuple[str, frozenset[Any]] | None:
    """The hyperparameter whose value says whether another is there, and with which values it is."""
    for parent in known:
        having = [trial for trial in trials if parent in trial.params]
        there = {trial.params[parent] for trial in having if name in trial.params}
        absent = {trial.params[parent] for trial in having if name not in trial.params}
        is_told = not there & absent and all(parent in t.params for t in trials if name in t.params)
        if is_told and isinstance(having[0].distributions[parent], (CategoricalDistribution, IntDistribution)):
            return parent, frozenset(there)
    return None


def _scaled(distribution: BaseDistribution, values: Sequence[Any]) -> Array:
    assert isinstance(distribution, (FloatDistribution, IntDistribution))  # Optuna has no others
    change: Callable[[Any], Any] = np.log if distribution.log else np.asarray
    low, high = float(change(distribution.low)), float(change(distribution.high))
    numbers = np.array([distribution.low if value is None else value for value in values], dtype=float)
    return np.asarray((change(numbers) - low) / (high - low) if high > low else np.zeros(len(numbers)))


def _drawn(distribution: BaseDistribution, shares: Array) -> list[Any]:
    """Values at these shares of a range."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return [choices[min(int(share * len(choices)), len(choices) - 1)] for share in shares]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        found = np.exp(np.log(low) + shares * (np.log(high) - np.log(low)))
    else:
        found = low + shares * (high - low)
    if isinstance(distribution, IntDistribution):
        found = low + step * np.floor((found - low) / step + 0.5) if step else np.round(found)
        return [int(value) for value in np.clip(found, low, high)]
    return [float(value) for value in found]


# --- effects ---


def _effects(space: _Space, trials: Sequence[FrozenTrial], targets: Array) -> Mapping[str, float]:
    """Name -> total effect of Sobol'; empty where the targets do not vary."""
    from sklearn.ensemble import ExtraTreesRegressor

    if len(trials) < FEWEST_TRIALS or np.ptp(targets) == 0:
        return {}
    values = {name: [trial.params.get(name) for trial in trials] for name in space.ranges}
    there = {name: np.array([name in trial.params for trial in trials]) for name in space.ranges}
    forest = ExtraTreesRegressor(_N_TREES, min_samples_leaf=_LEAF, random_state=0, n_jobs=1)
    forest.fit(space.encoded(values, there), targets)
    generator = np.random.default_rng(0)
    first, second = space.draw(generator, _N_DRAWS), space.draw(generator, _N_DRAWS)
    changed = [name for name in space.ranges if name not in space.fixed]
    mixed = [first, second, *({**first, name: second[name]} for name in changed)]
    rows = np.concatenate([space.encoded(drawn, space.active(drawn)) for drawn in mixed])
    found = np.asarray(forest.predict(rows)).reshape(len(mixed), _N_DRAWS)
    activity = space.active(first)
    effects = ((found[2:] - found[0]) ** 2).mean(axis=1) / 2  # in units of the variance, which all share
    found_of = {name: float(e) for name, e in zip(changed, effects, strict=True) if activity[name].any()}
    total = sum(found_of.values())
    return {name: effect / total for name, effect in found_of.items()} if total > 0 else {}
