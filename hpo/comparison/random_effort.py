"""How many times the trials random search would need, from the ranks of incumbents among random trials."""

import math
from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import stats

from hpo.comparison.measures import as_losses
from hpo.comparison.statistics.losses import FloatArray

COLUMNS = ["speedup", "speedup_low", "speedup_high", "speedup_p", "dispersion", "pool"]
_NOTHING = dict.fromkeys(COLUMNS, math.nan)
RANDOM = "random"
MOST_TIES = 0.2  # share of repetitions whose incumbent ties with a random trial


def random_effort(beaten: FloatArray, pool: FloatArray, budget: int) -> dict[str, float]:
    """How many times the trials of a run random search needs to be as good, with its interval and a test.

    Of the N random trials on a split, K_r beat the incumbent of repetition r. Had that been reached by the best of r B
    random draws, each trial of the pool would be the better one until the first that is not with N / (N + r B), so
    that K over S splits is negative binomial: r is estimated by (N / B) S / K, its ends come from those of that
    distribution's probability (Clopper and Pearson), and "no better than random" is tested with r = 1.

    Where the K_r vary more than that (a sampler that is not like r times random on every split), the repetitions count
    for as many as would vary so.

    Args:
        beaten: random trials that beat the incumbent, a tie counting half, shape (S,).
        pool: random trials of each split, shape (S,).
        budget: trials of a run, B.

    Returns:
        speedup (inf where no random trial beats any incumbent), speedup_low, speedup_high (95%), speedup_p (two-sided),
        dispersion (variance of the K_r over what is expected; NaN below 2 repetitions), pool (N).
    """
    s, k, n = len(beaten), float(beaten.sum()), float(pool.mean())
    mean = k / s
    expected = mean * (1 + mean)
    dispersion = float(np.var(beaten, ddof=1)) / expected if s > 1 and expected > 0 else math.nan
    weight = 1 / max(dispersion, 1.0) if math.isfinite(dispersion) else 1.0
    s_used, k = s * weight, k * weight
    low = float(stats.beta.ppf(0.025, s_used, k + 1))
    high = float(stats.beta.ppf(0.975, s_used, k)) if k > 0 else 1.0
    odds = [p / (1 - p) if p < 1 else math.inf for p in (low, high)]
    alike = budget / (budget + n)
    # P(K <= k) and P(K >= k) of the negative binomial, whose tails are those of the beta distribution
    tails = stats.beta.sf(1 - alike, k + 1, s_used), stats.beta.cdf(1 - alike, k, s_used) if k > 0 else 1.0
    return {
        "speedup": n / budget * s_used / k if k > 0 else math.inf,
        "speedup_low": n / budget * odds[0],
        "speedup_high": n / budget * odds[1],
        "speedup_p": float(min(1.0, 2 * min(tails))),
        "dispersion": dispersion,
        "pool": n,
    }


def efforts(trials: pd.DataFrame, finals: pd.DataFrame, pools: Collection[str], budget: int) -> pd.DataFrame:
    """One row per sampler (index), columns of :func:`random_effort`; NaN where over a fifth of the repetitions tie.

    Args:
        trials: of every run on the splits, those of the pool perhaps beyond the budget.
        finals: see :func:`hpo.comparison.measures.finals`; each repetition with a split of its own.
        pools: samplers whose trials do not depend on results, whose runs are the pool. None is compared with its own.
        budget: trials of each run.
    """
    values = trials["value"].where(trials["state"] == "COMPLETE")
    own = pd.DataFrame({"sampler": trials["sampler"], "split": trials["split"], "loss": as_losses(values)})
    groups = {key: part["loss"].to_numpy() for key, part in own.groupby(["split", "sampler"])}
    rows = {}
    for sampler, runs in finals.groupby("sampler", sort=False):
        used = [name for name in pools if name != sampler]
        losses = as_losses(runs["value"])
        drawn = [
            np.concatenate([groups.get((split, name), np.empty(0)) for name in used] or [np.empty(0)])
            for split in runs["split"]
        ]
        if sampler == RANDOM or not all(map(len, drawn)):
            rows[sampler] = _NOTHING
            continue
        ties = np.array([np.sum(pool == loss) for pool, loss in zip(drawn, losses, strict=True)])
        better = np.array([np.sum(pool < loss) for pool, loss in zip(drawn, losses, strict=True)])
        sizes = np.array([len(pool) for pool in drawn], dtype=float)
        found = random_effort(better + ties / 2, sizes, budget)
        if np.mean(ties > 0) > MOST_TIES:
            found |= dict.fromkeys(("speedup", "speedup_low", "speedup_high", "speedup_p"), math.nan)
        rows[sampler] = found
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).astype(float)
