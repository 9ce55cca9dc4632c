"""What the optimizer believes after some trials: a surrogate, and how much each configuration promises."""

from dataclasses import dataclass

import numpy as np

from hpo.samplers.bayesian.acquisition import edge_cost, log_expected_improvement, repetition_cost
from hpo.samplers.bayesian.coordinates import Array, Coordinates, Positions
from hpo.samplers.bayesian.history import Known
from hpo.samplers.bayesian.surrogate import Surrogate, fit
from hpo.samplers.bayesian.targets import targets

_N_FITTED = 120  # trials that decide the hyperparameters of the model
_N_REMEMBERED = 300  # trials that it predicts from
_N_PARENTS = 6  # best trials near which to look


@dataclass(frozen=True)
class Belief:
    """A surrogate of the targets, and what is to be improved on.

    Attributes:
        coordinates: of the space.
        surrogate: of the targets.
        best: the best target that was seen.
        parents: rows of the trials that ended, the best first.
    """

    coordinates: Coordinates
    surrogate: Surrogate
    best: float
    parents: Array

    def promise(self, rows: Array) -> Array:
        """The logarithm of the expected improvement at rows, less what repetition and edges cost; shape [n]."""
        mean, deviation = self.surrogate.predict(rows)
        gain = log_expected_improvement(mean, deviation, self.best)
        again = repetition_cost(deviation, self.surrogate.covariance.noise)
        return gain - again - edge_cost(rows, self.coordinates.is_choice)


def believe(coordinates: Coordinates, known: Known, rng: np.random.Generator) -> Belief:
    """Fit a surrogate to what is known.

    Of many trials some are forgotten, so that a proposal takes the same time however many there are. Trials under
    way are believed to end at their expected target.

    Args:
        coordinates: of the space.
        known: one trial that ended, or more.
        rng: draws what is kept of many trials.
    """
    order = known.best_first
    target = targets(known.scores)
    sample = fitted_on(order, rng)
    covariance = fit(coordinates.axes, known.rows[sample], target[sample])
    kept = remembered(order, rng)
    rows, y = known.rows[kept], target[kept]
    surrogate = Surrogate.of(covariance, rows, y)
    if len(known.pending):
        expected = surrogate.predict(known.pending)[0]
        rows, y = np.concatenate([rows, known.pending]), np.concatenate([y, expected])
        surrogate = Surrogate.of(covariance, rows, y)
    return Belief(coordinates, surrogate, float(np.max(target)), known.rows[order[:_N_PARENTS]])


def remembered(order: Positions, rng: np.random.Generator) -> Positions:
    """Positions of the trials to predict from: a third the best, a third the latest, the others drawn.

    Args:
        order: positions, the best first.
        rng: draws.
    """
    n, third = len(order), _N_REMEMBERED // 3
    if n <= _N_REMEMBERED:
        return np.arange(n)
    chosen = np.union1d(order[:third], np.arange(n - third, n))
    others = np.setdiff1d(np.arange(n), chosen)
    return np.union1d(chosen, rng.choice(others, _N_REMEMBERED - len(chosen), replace=False))


def fitted_on(order: Positions, rng: np.random.Generator) -> Positions:
    """Positions of the trials to fit to: half the best, half drawn from the others; all where they are few."""
    if len(order) <= _N_FITTED:
        return np.sort(order)
    half = _N_FITTED // 2
    return np.concatenate([order[:half], rng.choice(order[half:], _N_FITTED - half, replace=False)])
