"""Racing over folds: whether a configuration can still overtake the incumbent, given its first folds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

FEWEST_TRIALS = 4  # complete ones, before anything is pruned
_WIDEST = 0.95  # quantile of the spreads of told trials, taken for one that nothing is known of: of 20 the widest


def is_beaten(told: Sequence[Sequence[float]], scores: Sequence[float], *, alpha: float = 0.05) -> bool:
    """Whether a configuration's mean over all folds will, with confidence, stay below the incumbent's.

    The incumbent is the best of those told; differences to it are taken fold by fold, so that hard folds cancel.
    With d the differences of the k folds that are known, of n, the mean difference D over all n folds has

        D - mean(d)  ~  s * sqrt(1/k - 1/n) * t(df)

    where s is the spread of a difference around its own mean. One or two folds cannot tell s, but the trials that
    were told can, if with care: those near the incumbent, of which a sampler that learns makes many, vary together with
    it, and say too little of one that is elsewhere. So s^2 is the largest of what is pooled over the better half of
    them and the configuration itself, of the 95th percentile over all of them, and, from the second fold on, of its
    own. The configuration is beaten where the upper limit of D is below 0. There are n - 1 looks, so each gets
    alpha / (n - 1) (Bonferroni): one that would have overtaken the incumbent is given up with a probability of about
    alpha at most, if differences are near normal and the told trials show how others vary. A fifth of them elsewhere
    is enough (2% given up). Where all are neighbours of the incumbent, a winner from elsewhere is given up more often
    (39%; ``python -m benchmarks.racing``).

    The idea of a race, blocked by fold: Maron and Moore (1994); Birattari et al. (2002). Pooling over earlier
    configurations is what lets it stop before the fourth of five folds, where a rank test (Optuna's
    ``WilcoxonPruner``) cannot.

    Args:
        told: fold scores of each complete trial, higher is better; each of length n.
        scores: of the first k folds of the configuration, 1 <= k < n.
        alpha: the accepted probability of giving up a winner.
    """
    n_folds, k = len(told[0]) if told else 0, len(scores)
    if len(told) < FEWEST_TRIALS or not 1 <= k < n_folds:
        return False
    known = np.asarray(told, dtype=float)
    means = known.mean(axis=1)
    order = np.argsort(-means, kind="stable")
    differences = np.asarray(scores, dtype=float) - known[order[0], :k]
    squares = _squares(known[order[1:]] - known[order[0]], axis=1)  # of the others, the better first
    contenders = squares[: max(len(order) // 2, 1)]
    own = _squares(differences, axis=0)
    df = len(contenders) * (n_folds - 1) + k - 1
    variances = [(contenders.sum() + own) / df, np.quantile(squares / (n_folds - 1), _WIDEST, method="higher")]
    variances += [own / (k - 1)] if k > 1 else []
    spread = np.sqrt(max(variances)) * np.sqrt(1 / k - 1 / n_folds)
    limit = differences.mean() + stdtrit(df, 1 - alpha / (n_folds - 1)) * spread
    return bool(limit < 0)


def _squares(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Sums of squares around the mean."""
    found: NDArray[np.float64] = ((values - values.mean(axis=axis, keepdims=True)) ** 2).sum(axis=axis)
    return found
