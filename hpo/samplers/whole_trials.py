"""What samplers have in common that choose a trial's whole configuration before Optuna asks for its parts."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class WholeTrialSampler(BaseSampler):
    """Samples nothing jointly: ``sample_independent`` looks the value up in what was chosen for the trial."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no hyperparameters: the configuration was chosen before."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: see :meth:`infer_relative_search_space`."""
        return {}
