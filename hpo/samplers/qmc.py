"""A quasi-Monte Carlo sampler: scrambled Sobol points, one per trial number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.samplers.whole_trials import WholeTrialSampler
from hpo.study.hyperparameters import Float, Int

_BLOCK = 64  # points made at a time; a power of two, as Sobol's balance asks for


class QMCSampler(WholeTrialSampler):
    """Trial n gets point n of one scrambled Sobol sequence (Owen 1998; Joe and Kuo 2008).

    Each hyperparameter owns a dimension, whether it is active or not, so that any prefix of the run is evenly
    spread; a dimension whose hyperparameter is inactive is left unused. Optuna's own QMCSampler counts its
    points in the storage and falls back to random search where the space is conditional.

    Args:
        names: of all hyperparameters, at most 21,201; each has the dimension of its position.
        seed: of the scrambling.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        from scipy.stats.qmc import Sobol  # takes half a second, which other samplers need not wait for

        self._dimension = {name: i for i, name in enumerate(names)}
        self._sobol = Sobol(len(names), scramble=True, rng=seed)
        self._points = np.empty((0, len(names)))

    def _point(self, number: int) -> np.ndarray[Any, Any]:
        while number >= len(self._points):
            self._points = np.concatenate([self._points, self._sobol.random(max(_BLOCK, len(self._points)))])
        point: np.ndarray[Any, Any] = self._points[number]
        return point

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The point's coordinate, mapped through the distribution's quantile function."""
        u = float(self._point(trial.number)[self._dimension[param_name]])
        if isinstance(param_distribution, CategoricalDistribution):
            choices = param_distribution.choices
            return choices[min(int(u * len(choices)), len(choices) - 1)]
        assert isinstance(param_distribution, (FloatDistribution, IntDistribution))
        low, high, log, step = (getattr(param_distribution, part) for part in ("low", "high", "log", "step"))
        kind = Float if isinstance(param_distribution, FloatDistribution) else Int
        return kind(low, high, log=log, step=step).at(u)
