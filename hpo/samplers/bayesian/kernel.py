"""How alike two configurations are: a Matern 5/2 kernel over coordinates that may be choices or inactive."""

from collections.abc import Sequence

import numpy as np

from hpo.samplers.bayesian.coordinates import Array, Axis, Positions


def embedded(rows: Array, axes: Sequence[Axis]) -> tuple[Array, Positions]:
    """Each hyperparameter as a few numbers whose squared distance is the hyperparameter's own.

    ============================ ==================== =======================================
    hyperparameter               active               inactive
    ============================ ==================== =======================================
    number                       u - .5
    number under a condition     (sin, cos)(pi u / 2) the origin, as far from one as another
    choice                       one-hot / sqrt 2     zeros
    ============================ ==================== =======================================

    The arc is of Swersky et al. 2014, "Raiders of the lost architecture", section 3.

    Args:
        rows: coordinates, shape [n, d].
        axes: of the d columns.

    Returns:
        Numbers, shape [n, m], and the column of ``rows`` that each belongs to, shape [m].
    """
    parts, owners = [], []
    for j, axis in enumerate(axes):
        u = rows[:, j]
        if axis.is_choice:
            part = (u[:, None] == np.arange(axis.n_cells or 0)) / np.sqrt(2)
        elif axis.is_conditional:
            angle = np.nan_to_num(u) * np.pi / 2
            part = np.stack([np.sin(angle), np.cos(angle)], axis=1) * ~np.isnan(u)[:, None]
        else:
            part = u[:, None] - 0.5
        parts.append(part)
        owners += [j] * part.shape[1]
    return np.concatenate(parts, axis=1), np.array(owners)


def distances(embedding: Array, owners: Positions, d: int) -> Array:
    """Squared distances of all pairs of rows i > j by each hyperparameter, shape [d, n (n - 1) / 2].

    The pairs are in the order of ``numpy.tril_indices(n, -1)``.
    """
    i, j = np.tril_indices(len(embedding), -1)
    found = np.zeros((d, len(i)))
    for column, owner in zip(embedding.T, owners.tolist(), strict=True):
        found[owner] += (column[i] - column[j]) ** 2
    return found


def matern(squared: Array) -> tuple[Array, Array]:
    """Matern 5/2 of squared distances, and its derivative by them.

    k = (1 + a + a^2 / 3) exp(-a) with a = sqrt(5) r; dk / d(r^2) = -5/6 (1 + a) exp(-a)
    (Rasmussen and Williams 2006, equation 4.17).
    """
    a = np.sqrt(5 * squared)
    decay = np.exp(-a)
    return (1 + a + a * a / 3) * decay, -5 / 6 * (1 + a) * decay
