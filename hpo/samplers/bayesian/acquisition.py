"""Where to look next: expected improvement, and a search for the row that promises most of it."""

from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, ndtr

from hpo.samplers.bayesian.coordinates import Array, Coordinates, Mask

Promise = Callable[[Array], Array]

_N_UNIFORM, _N_NEAR_BEST = 300, 400
_N_ROUNDS, _N_KEPT, _N_CHILDREN = 6, 8, 20


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of E[max(f - best, 0)] for f ~ N(mean, deviation^2), also where that underflows.

    Ament et al. 2023, "Unexpected improvements to expected improvement", equation 9: log h(z) + log deviation with
    h(z) = phi(z) + z Phi(z).

    >>> log_expected_improvement(np.array([0.0, -60.0]), np.array([1.0, 1.0]), 0.0).round(2).tolist()
    [-0.92, -1809.11]
    """
    z = (mean - best) / deviation
    near = np.maximum(z, -1.0)
    log_h = np.log(np.exp(-near * near / 2) / np.sqrt(2 * np.pi) + near * ndtr(near))
    far = np.minimum(z, -1.0)
    # h = phi(z) (1 - |z| sqrt(pi/2) erfcx(|z| / sqrt 2)), whose bracket is 1/z^2 where the difference is lost
    lost = far < -1e3
    bracket = -np.maximum(far, -1e3) * np.sqrt(np.pi / 2) * erfcx(-np.maximum(far, -1e3) / np.sqrt(2))
    log_bracket = np.where(lost, -2 * np.log(-far), np.log1p(-bracket))
    tail = -far * far / 2 - np.log(2 * np.pi) / 2 + log_bracket
    found: Array = np.where(z > -1.0, log_h, tail) + np.log(deviation)
    return found


def repetition_cost(deviation: Array, noise: float) -> Array:
    """-ln(1 - tau / sqrt(deviation^2 + tau^2)), tau^2 the noise: what a place costs of which noise alone is unknown.

    Without it a plateau whose height is known is looked at again and again, for its noise looks like improvement
    (the factor of Huang et al. 2006, "Global optimization of stochastic black-box systems via sequential kriging
    meta-models", equation 8).
    """
    total = np.sqrt(deviation * deviation + noise)
    # 1 - tau / total = deviation^2 / (total (total + tau)), which does not cancel
    cost: Array = np.log(total) + np.log(total + np.sqrt(noise)) - 2 * np.log(deviation)
    return cost


def edge_cost(rows: Array, is_choice: Mask) -> Array:
    """The sum of (2u - 1)^8 over active numbers: a model that knows nothing there is most curious about edges."""
    squared = np.square(np.nan_to_num(2 * rows[:, ~is_choice] - 1))
    cost: Array = np.square(np.square(squared)).sum(axis=1)
    return cost


def searched(coordinates: Coordinates, promise: Promise, best: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Candidate rows and what each promises: uniform ones, mutations of the best, then mutations of the candidates.

    Args:
        coordinates: of the space.
        promise: rows [n, d] -> how much each promises [n].
        best: rows of the best trials.
        rng: draws.

    Returns:
        Rows and promises, the most promising first.
    """
    d = len(coordinates.axes)
    uniform = coordinates.from_uniform(rng.random((_N_UNIFORM, d)))
    parents = best[rng.integers(0, len(best), _N_NEAR_BEST)]
    scale = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (_N_NEAR_BEST, 1)))
    rows = np.concatenate([uniform, mutated(coordinates, parents, rng, scale=scale, move=0.5, switch=0.15)])
    value = promise(rows)
    for i in range(_N_ROUNDS):
        kept = np.argsort(-value, kind="stable")[:_N_KEPT]
        scale = np.full((1, 1), 0.1 * 0.6**i)
        parents = np.repeat(rows[kept], _N_CHILDREN, axis=0)
        children = mutated(coordinates, parents, rng, scale=scale, move=0.4, switch=0.05)
        rows, value = np.concatenate([rows, children]), np.concatenate([value, promise(children)])
    order = np.argsort(-value, kind="stable")
    return rows[order], value[order]


def mutated(
    coordinates: Coordinates, parents: Array, rng: np.random.Generator, *, scale: Array, move: float, switch: float
) -> Array:
    """Rows near their parents.

    Args:
        coordinates: of the space.
        parents: rows [n, d].
        rng: draws.
        scale: standard deviation of a move, shape [n, 1] or [1, 1].
        move: probability that a number moves; one that has cells moves one cell at least.
        switch: probability that a choice is drawn anew.
    """
    n, d = parents.shape
    fresh, steps, chance = rng.random((n, d)), rng.standard_normal((n, d)) * scale, rng.random((n, d))
    rows = np.empty_like(parents)
    for j, axis in enumerate(coordinates.axes):
        drawn, parent = axis.from_uniform(fresh[:, j]), parents[:, j]
        if axis.is_choice:
            changed = np.where(chance[:, j] < switch, drawn, parent)
        else:
            there = axis.snap(np.clip(parent + steps[:, j], 0, 1))
            if axis.n_cells is not None and axis.n_cells > 1:
                there = np.where(there == parent, axis.step(np.nan_to_num(parent), steps[:, j] > 0), there)
            changed = np.where(chance[:, j] < move, there, parent)
        rows[:, j] = np.where(np.isnan(parent), drawn, changed)  # what a switched parent brings to life
    return coordinates.deactivated(rows)
