"""A Gaussian process that stands in for the score: what it expects of a configuration, and how surely."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from hpo.samplers.bayesian.coordinates import Array, Axis, Positions
from hpo.samplers.bayesian.fit import LEAST_NOISE, fitted
from hpo.samplers.bayesian.kernel import distances, embedded, matern


@dataclass(frozen=True)
class Covariance:
    """How the targets of two configurations vary together: variance * matern(sum of D_j / l_j^2).

    Attributes:
        axes: those that varied among the trials it was fitted to; the others do not count.
        columns: of these in a row of coordinates.
        lengths: l_j of each, shape [k].
        variance: of the target.
        noise: variance of what the coordinates do not explain.
    """

    axes: tuple[Axis, ...]
    columns: Positions
    lengths: Array
    variance: float
    noise: float

    def points(self, rows: Array) -> Array:
        """Rows as points whose squared distance is the sum of D_j / l_j^2."""
        if not self.axes:
            return np.zeros((len(rows), 1))
        embedding, owners = embedded(rows[:, self.columns], self.axes)
        points: Array = embedding / self.lengths[owners]
        return points

    def between(self, a: Array, b: Array) -> Array:
        """Covariances of points [n, m] and [k, m], shape [n, k]."""
        squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
        alike: Array = self.variance * matern(np.maximum(squared, 0))[0]
        return alike


def fit(axes: Sequence[Axis], rows: Array, y: Array) -> Covariance:
    """The covariance that explains targets y [n] at rows [n, d] best."""
    embedding, owners = embedded(rows, axes)
    apart = distances(embedding, owners, len(axes))
    columns = np.flatnonzero(apart.any(axis=1))
    theta = fitted(apart[columns], y)
    lengths, (variance, noise) = np.exp(theta[:-2]), np.exp(theta[-2:])
    return Covariance(
        tuple(axes[j] for j in columns.tolist()), columns, lengths, float(variance), float(noise) + LEAST_NOISE
    )


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process that has seen some targets (Rasmussen and Williams 2006, algorithm 2.1).

    Attributes:
        covariance: of the targets.
        points: what it has seen, as the covariance places it, shape [n, m].
        factor: the lower Cholesky factor of their covariances with noise, shape [n, n].
        dual: the inverse of these covariances times the targets, shape [n].
    """

    covariance: Covariance
    points: Array
    factor: Array
    dual: Array

    @classmethod
    def of(cls, covariance: Covariance, rows: Array, y: Array) -> "Surrogate":
        """After targets y [n] at rows [n, d]."""
        points = covariance.points(rows)
        K = covariance.between(points, points)
        K[np.diag_indices(len(y))] += covariance.noise
        factor = cho_factor(K, lower=True, overwrite_a=True, check_finite=False)
        return cls(covariance, points, factor[0], cho_solve(factor, y, check_finite=False))

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the target at rows, without its noise; shapes [n]."""
        across = self.covariance.between(self.points, self.covariance.points(rows))
        explained = solve_triangular(self.factor, across, lower=True, check_finite=False)
        variance = self.covariance.variance - (explained * explained).sum(axis=0)
        return across.T @ self.dual, np.sqrt(np.maximum(variance, 1e-12))
