"""CMA-ES whose state is computed again from the trials, because a state that is read could be a program."""

import copy
import math
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

# Study -> its state after so many generations, so that each trial replays only the newest.
_REPLAYED: "WeakKeyDictionary[Study, tuple[int, Any]]" = WeakKeyDictionary()


class ReplayedCmaEs(CmaEsSampler):
    """Optuna's CMA-ES without pickles: it proposes the same, and stores numbers only.

    Optuna keeps the state as a pickle in the trials' attributes, so that whoever can write to a database runs code
    where a run is resumed. The state follows from the trials: each generation is told again, in the order in which
    it was. Runs that have such pickles go on; these are not read.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point of the generation; the last finished generation is told first."""
        self._asked = study, search_space
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        """The state in which the newest generation was begun; None while that is the first."""
        newest = max((self._generation(trial) for trial in completed_trials), default=0)
        if newest == 0:
            return None
        study, space = self._asked
        done, state = _REPLAYED.get(study, (0, None))
        transform = _SearchSpaceTransform(space, transform_step=not self._with_margin, transform_0_1=True)
        if state is None or done > newest:
            draws = self._cma_rng.rng.get_state()
            done, state = 0, self._init_optimizer(transform, study.direction)
            self._cma_rng.rng.set_state(draws)  # proposals draw as if the state had been read
        for generation in range(done, newest):
            trials = self._get_solution_trials(completed_trials, generation)[: state.population_size]
            if len(trials) < state.population_size:
                break
            state = copy.deepcopy(state)
            state.tell([self._solution(trial, transform) for trial in trials])
            done += 1
        _REPLAYED[study] = done, state
        return copy.deepcopy(state)

    def _solution(self, trial: FrozenTrial, transform: _SearchSpaceTransform) -> tuple[Any, float]:
        assert trial.value is not None  # it is complete
        point = trial.system_attrs["x_for_tell"] if self._with_margin else transform.transform(trial.params)
        return point, -trial.value  # every run maximises

    def _get_solution_trials(self, trials: list[FrozenTrial], generation: int) -> list[FrozenTrial]:
        """The trials of a generation, without those whose numbers something else has written."""
        dim = len(self._asked[1])
        return [
            trial
            for trial in super()._get_solution_trials(trials, generation)
            if not self._with_margin or _is_point(trial.system_attrs.get("x_for_tell"), dim)
        ]

    def _generation(self, trial: FrozenTrial) -> int:
        found = trial.system_attrs.get(self._attr_key_generation)
        return found if isinstance(found, int) and found > 0 else 0

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        return {}  # nothing is stored


def _is_point(found: Any, dim: int) -> bool:
    is_list = isinstance(found, Sequence) and not isinstance(found, str) and len(found) == dim
    return is_list and all(isinstance(x, (int, float)) and math.isfinite(x) for x in found)
