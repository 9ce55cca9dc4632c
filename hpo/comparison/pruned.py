"""What a pruner saved, and what it gave up."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpo.comparison.statistics.medians import median_interval

COLUMNS = ["sampler", "against", "pruned", "saved", "saved_low", "saved_high", "winners", "lost"]


def pruned(finals: pd.DataFrame, trials: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row per sampler with a pruner whose sampler is compared without it too.

    Columns: sampler, against (the same without the pruner), pruned (share of the trials), saved, saved_low,
    saved_high (share of the fit and score seconds of the other's run of the same repetition that was not spent: median
    over repetitions and its 95% interval; negative where it took longer), winners (repetitions in which the winner of
    the run without the pruner was proposed with it too; all, where proposals do not depend on results), lost (in how
    many of these it was pruned: the risk that was taken).

    Args:
        finals: see :func:`hpo.comparison.measures.finals`.
        trials: of every run, with their repetition.
        pairs: (sampler with a pruner, the same without it).
    """
    seconds = finals.assign(seconds=finals["fit_seconds"] + finals["score_seconds"])
    spent = seconds.pivot(index="repetition", columns="sampler", values="seconds")
    rows = []
    for sampler, against in pairs:
        own = finals[finals["sampler"] == sampler]
        share = median_interval((1 - spent[sampler] / spent[against]).to_numpy(dtype=float))
        winners = _winners(trials[trials["sampler"] == against])
        states = trials[trials["sampler"] == sampler].groupby(["repetition", "configuration"])["state"]
        kept = states.agg(lambda found: bool((found != "PRUNED").any()))
        proposed = [kept[key] for key in winners if key in kept.index]
        rows.append(
            {
                "sampler": sampler,
                "against": against,
                "pruned": own["pruned"].sum() / own["trials"].sum(),
                "saved": float(share.estimate),
                "saved_low": float(share.low),
                "saved_high": float(share.high),
                "winners": len(proposed),
                "lost": int(np.sum(~np.asarray(proposed, dtype=bool))),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _winners(trials: pd.DataFrame) -> list[tuple[int, str]]:
    """(Repetition, configuration) of the best trial of each run; the first of equals."""
    complete = trials[trials["state"] == "COMPLETE"]
    best = complete.loc[complete.groupby("repetition")["value"].idxmax()]
    return list(zip(best["repetition"], best["configuration"], strict=True))
