"""The sampler itself: from the trials so far to the next configuration."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from threadpoolctl import ThreadpoolController

from hpo.samplers.bayesian.acquisition import searched
from hpo.samplers.bayesian.belief import believe
from hpo.samplers.bayesian.coordinates import Array, Coordinates
from hpo.samplers.bayesian.design import N_DESIGN, design
from hpo.samplers.bayesian.history import History, Known
from hpo.samplers.grid import Permutation
from hpo.samplers.whole_trials import WholeTrialSampler
from hpo.study.hyperparameters import Configuration
from hpo.study.space import SearchSpace

_FEWEST_TOLD = 4  # where trials run at a time, the design goes on until so many results are known
MOST_LISTED = 2_000  # a finite space of so many configurations is searched whole


class BayesianSampler(WholeTrialSampler):
    """Proposes where a Gaussian process expects the largest improvement.

    A proposal depends on the seed, the trial's number and the earlier trials only. What the object keeps from one
    proposal to the next are the coordinates of the trials that it has seen.

    Args:
        space: what is searched.
        seed: of the design and of the draws.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed
        self._coordinates = Coordinates(space)
        self._history = History(self._coordinates)
        self._chosen: dict[int, Configuration] = {}
        self._random = RandomSampler(seed=seed)
        self._threads = ThreadpoolController()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the trial's configuration."""
        self._chosen = {}
        if "fixed_params" in trial.system_attrs:  # a start configuration
            return
        sign = -1.0 if study.direction == StudyDirection.MINIMIZE else 1.0
        known = self._history.look(study.get_trials(deepcopy=False)[: trial.number], sign=sign)
        with self._threads.limit(limits=1):  # small matrices; and the same digits however many cores there are
            self._chosen = {trial.number: self._choose(known, trial.number)}

    def _choose(self, known: Known, number: int) -> Configuration:
        """The most promising configuration that was not proposed before."""
        for row in self._promising(known, number):
            configuration = self._coordinates.configuration(row)
            if self._space.key(configuration) not in self._history.keys:
                break
        return configuration

    def _promising(self, known: Known, number: int) -> Iterator[Array]:
        """Rows to propose, the most promising first."""
        rng = np.random.default_rng([self._seed, number])
        if number < N_DESIGN or len(known.rows) < _FEWEST_TOLD:
            yield design(self._coordinates, self._seed, number + 1)[-1]
        else:
            belief = believe(self._coordinates, known, rng)
            if self._listed is None:
                yield from searched(self._coordinates, belief.promise, belief.parents, rng)[0]
            else:
                yield from self._listed[np.argsort(-belief.promise(self._listed), kind="stable")]
        if self._whole is not None:
            order = Permutation(self._whole.grid_size, self._seed)
            yield from (self._coordinates.row(self._whole.cell(order[i])) for i in range(self._whole.grid_size))
        yield from self._coordinates.from_uniform(rng.random((100, len(self._coordinates.axes))))

    @cached_property
    def _whole(self) -> SearchSpace | None:
        return self._space.exhaustive()

    @cached_property
    def _listed(self) -> Array | None:
        """Rows of all configurations, where they are few."""
        if self._whole is None or self._whole.grid_size > MOST_LISTED:
            return None
        return np.array([self._coordinates.row(self._whole.cell(i)) for i in range(self._whole.grid_size)])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The configuration's value; a random one where another space is asked for."""
        value = self._chosen.get(trial.number, {}).get(param_name)
        if param_name in self._chosen.get(trial.number, {}) and _holds(param_distribution, value):
            return value
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one that the distribution has."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
