"""How much each hyperparameter decides: of the metric, and of the time that fitting takes."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo import records

if TYPE_CHECKING:
    from hpo.runs import Run

FEWEST_TRIALS = 10
ENOUGH_TRIALS = 30
MOST_TRIALS = 300  # that are looked at: the time grows with them, and the shares hardly change
_N_TREES = 32
_COLUMNS = ["hyperparameter", "metric", "fit_seconds"]


@dataclass(frozen=True)
class Importances:
    """What decides.

    Attributes:
        frame: one row per hyperparameter, the most important for the metric first: hyperparameter, metric, fit_seconds
            (shares that sum to 1; NaN where nothing varies). Empty where there are fewer than 10 complete trials.
        n_trials, n_complete: complete trials that it rests on, and all.
    """

    frame: pd.DataFrame
    n_trials: int
    n_complete: int

    @property
    def note(self) -> str:
        """What it rests on, and how far to trust it."""
        of = f"{self.n_trials} of {self.n_complete}" if self.n_trials < self.n_complete else f"{self.n_complete}"
        said = f"importance by fANOVA on {of} complete trials"
        if self.n_complete < FEWEST_TRIALS:
            return f"{said}: too few to tell, {FEWEST_TRIALS} are needed"
        return f"{said}: rough below {ENOUGH_TRIALS}" if self.n_trials < ENOUGH_TRIALS else said


def importances(run: "Run") -> Importances:
    """How much each hyperparameter decides of the metric and of the seconds of fitting, by Optuna's fANOVA.

    The share of the variance that each explains by itself in a random forest (Hutter, Hoos and Leyton-Brown 2014).
    Logarithms stand for what the space searches on one, and the middle of the range (the first choice) for what a
    trial does not have because of a condition. The same trials give the same numbers.

    Optuna's other evaluator, PED-ANOVA, compares the best tenth with all: of 30 trials that is 3, and on digits-mlp it
    takes momentum, which half of the trials lack, for what decides, where 120 trials say the learning rate.
    """
    trials = [
        trial
        for trial in run.database.optuna_trials(run.study_id, attributes=(), has_params=False, has_folds=False)
        if trial.state == TrialState.COMPLETE and trial.value is not None and math.isfinite(trial.value)
    ]
    if len(trials) < FEWEST_TRIALS:
        return Importances(pd.DataFrame(columns=_COLUMNS), len(trials), len(trials))
    every = max(1, math.ceil(len(trials) / MOST_TRIALS))
    numbers = records.trials.c.number.in_([trial.number for trial in trials[::every]])
    looked_at = run.database.optuna_trials(run.study_id, numbers, attributes=("fit_seconds",), has_folds=False)
    by_metric = _shares(looked_at, [float(trial.value or 0.0) for trial in looked_at])
    timed = [trial for trial in looked_at if "fit_seconds" in trial.user_attrs]
    by_seconds = _shares(timed, [float(trial.user_attrs["fit_seconds"]) for trial in timed])
    names = sorted({name for trial in looked_at for name in trial.params})
    rows = [(name, by_metric.get(name, math.nan), by_seconds.get(name, math.nan)) for name in names]
    frame = pd.DataFrame(rows, columns=_COLUMNS).sort_values("metric", ascending=False, kind="stable")
    return Importances(frame.reset_index(drop=True), len(looked_at), len(trials))


def _shares(trials: Sequence[FrozenTrial], targets: Sequence[float]) -> Mapping[str, float]:
    """Name -> share of the variance of the targets; empty where they do not vary."""
    if len(set(targets)) < 2:
        return {}
    distributions = {name: d for trial in trials for name, d in trial.distributions.items()}
    flat = {name: _flat(distribution) for name, distribution in sorted(distributions.items())}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        for trial, target in zip(trials, targets, strict=True):
            params = {
                name: _flat_value(distributions[name], trial.params[name])
                if name in trial.params
                else _middle(flat[name])
                for name in flat
            }
            study.add_trial(create_trial(value=target, params=params, distributions=flat))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(
                study, evaluator=FanovaImportanceEvaluator(n_trees=_N_TREES, seed=0)
            )
    except RuntimeError:  # a forest that found no variance at all
        return {}
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(share) for name, share in found.items()}


def _flat(distribution: BaseDistribution) -> BaseDistribution:
    """The same range on the scale that it is searched on: fANOVA would weigh it by its plain width."""
    if isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log:
        return FloatDistribution(math.log(distribution.low), math.log(distribution.high))
    return distribution


def _flat_value(distribution: BaseDistribution, value: Any) -> Any:
    is_log = isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log
    return math.log(value) if is_log else value


def _middle(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))  # Optuna has no others
    step = distribution.step
    middle = (distribution.low + distribution.high) / 2
    if step is None:
        return middle
    return distribution.low + step * round((middle - distribution.low) / step)
