"""The hyperparameters of a Gaussian process, by the maximum of their posterior."""

import functools

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from hpo.samplers.bayesian.coordinates import Array, Positions
from hpo.samplers.bayesian.kernel import matern

LEAST_NOISE = 1e-6
_N_ITERATIONS = 40
_TOLERANCE = 1e-6  # of the posterior, relatively; more digits move no proposal


def prior(d: int) -> tuple[Array, Array]:
    """Means and standard deviations of the normal prior on the logarithms of d lengths, the variance, the noise.

    Lengths that grow with sqrt(d) keep configurations as alike in many dimensions as in few
    (Hvarfner et al. 2024, "Vanilla Bayesian optimization performs great in high dimensions", section 4).
    """
    means = np.array([np.log(max(d, 1)) / 2] * d + [0.0, -6.0])
    return means, np.array([1.0] * d + [1.0, 2.0])


def negative_log_posterior(theta: Array, apart: Array, y: Array) -> tuple[float, Array]:
    """Of hyperparameters given targets, up to a constant, with its gradient.

    -log p(y | theta) = y' K^-1 y / 2 + log |K| / 2, and its derivative by K is (K^-1 - a a') / 2 with a = K^-1 y
    (Rasmussen and Williams 2006, equations 5.8 and 5.9); K = s^2 matern(sum of D_j / l_j^2) + noise I. As K is
    symmetric, the lower triangle is enough.

    Args:
        theta: log l_1 .. log l_d, log s^2, log noise.
        apart: squared distances D of pairs i > j by each hyperparameter, shape [d, n (n - 1) / 2].
        y: targets, shape [n].
    """
    d, n = len(apart), len(y)
    weights, scale, noise = np.exp(-2 * theta[:d]), np.exp(theta[d]), np.exp(theta[d + 1])
    alike, slope = matern(weights @ apart)
    pairs = _pairs(n)
    K = np.zeros((n, n))
    K.ravel()[pairs] = scale * alike
    K.ravel()[:: n + 1] = scale + noise + LEAST_NOISE
    factor = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    a = cho_solve((factor, True), y, check_finite=False)
    log_determinant = 2 * np.log(factor.ravel()[:: n + 1]).sum()
    by_K = (dpotri(factor, lower=True)[0] - np.outer(a, a)) / 2
    by_pair, by_diagonal = 2 * by_K.ravel()[pairs], by_K.ravel()[:: n + 1].sum()  # a pair stands for two entries
    by_length = -2 * weights * (apart @ (by_pair * (scale * slope)))
    by_scale = scale * (by_pair @ alike + by_diagonal)
    gradient = np.concatenate([by_length, [by_scale, noise * by_diagonal]])
    means, deviations = prior(d)
    z = (theta - means) / deviations
    return float(y @ a / 2 + log_determinant / 2 + z @ z / 2), gradient + z / deviations


@functools.lru_cache(maxsize=1)
def _pairs(n: int) -> Positions:
    """Positions of the pairs i > j in an n x n matrix that lies row by row."""
    i, j = np.tril_indices(n, -1)
    return i * n + j


def fitted(apart: Array, y: Array) -> Array:
    """The hyperparameters of the highest posterior that one descent from the prior's mean finds."""
    means, deviations = prior(len(apart))
    found = minimize(
        negative_log_posterior,
        means,
        args=(apart, y),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(means - 5 * deviations, means + 5 * deviations, strict=True)),
        options={"maxiter": _N_ITERATIONS, "ftol": _TOLERANCE},
    )
    theta: Array = found.x
    return theta
