"""What the model learns of scores: targets of about unit variance, good ones far apart and bad ones close."""

import numpy as np
from scipy.special import ndtri

from hpo.samplers.bayesian.coordinates import Array

_STRETCH = 0.5
_DIGITS = 8  # so that adding a constant to all scores, which moves their last digits, moves no target


def targets(scores: Array) -> Array:
    """Targets of scores, higher is better for both; shape [n].

    1. Scores below the median m become m + s * q, where q is the normal quantile of their rank and s the root mean
       square distance to m of those above: a terrible score says that it is bad, and not how bad (half of the
       ranking of Cowen-Rivers et al. 2022, "HEBO", section 3, which transforms both halves).
    2. t -> .5 - ln(1 + .5 (max - t) / (max - min)) / ln 1.5 stretches the distances between the best (the
       log warping of Song et al. 2024, "The Vizier Gaussian process bandit algorithm", section 3).
    3. Mean 0 and variance 1.

    Args:
        scores: finite.

    >>> targets(np.array([0.9, 0.8, 0.7, -1e6])).round(2).tolist()
    [1.43, 0.33, -0.49, -1.27]
    """
    t = _half_ranked(np.asarray(scores, float))
    best, worst = np.max(t), np.min(t)
    if best == worst:
        return np.zeros(len(t))
    t = 0.5 - np.log1p(_STRETCH * (best - t) / (best - worst)) / np.log1p(_STRETCH)
    t = (t - t.mean()) / t.std()
    rounded: Array = np.round(t, _DIGITS)
    return rounded


def scores_at(values: Array, scores: Array) -> Array:
    """The inverse of :func:`targets`: the scores whose targets among ``scores`` would be ``values``.

    Below the lowest target it gives the lowest score; above the highest it goes on.
    """
    t = _half_ranked(np.asarray(scores, float))
    best, worst = np.max(t), np.min(t)
    if best == worst:
        return np.full(len(values), best)
    warped = 0.5 - np.log1p(_STRETCH * (best - t) / (best - worst)) / np.log1p(_STRETCH)
    below = np.expm1((0.5 - (values * warped.std() + warped.mean())) * np.log1p(_STRETCH)) / _STRETCH
    ranked, order = best - below * (best - worst), np.argsort(t, kind="stable")
    found: Array = np.where(ranked < np.median(scores), np.interp(ranked, t[order], np.sort(scores)), ranked)
    return found


def _half_ranked(scores: Array) -> Array:
    middle = np.median(scores)
    above, below = scores >= middle, scores < middle
    spread = np.sqrt(np.mean((scores[above] - middle) ** 2)) or scores.std()
    ordered = np.sort(scores)
    rank = (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right") + 1) / 2  # ties share
    ranked: Array = np.where(below, middle + spread * ndtri((rank - 0.5) / len(scores)), scores)
    return ranked
