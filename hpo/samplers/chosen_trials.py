"""Which trials a sampler is shown whose time grows with their number: a fixed choice, the same for the same trials."""

import heapq
import zlib
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

MOST = 300
# TPE compares its best tenth, at most 25 (``default_gamma``), with the others, of which the latest 25 count in full
# and the older the less (``default_weights``). Both are shown whole, so that only the others are a sample.
N_BEST = 25
N_LATEST = 25
_GOLDEN = 2_654_435_769  # 2**32 / golden ratio: its multiples are spread evenly (Knuth, TAOCP volume 3, section 6.4)


def choose_trials(run: str, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """At most 300 of the trials that have a score: the best, the latest, and an even sample of the others.

    Each is chosen by its number, its value and the run's name alone, so that a resumed run is shown what an
    uninterrupted one would be.

    Args:
        run: its name, which seeds the sample.
        trials: in number order; those that failed are left out, as TPE leaves them out.

    Example:
        ``choose_trials("digits-mlp/tpe/split0-seed0", study.trials)``
    """
    scored = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(scored) <= MOST:
        return scored
    complete = [trial for trial in scored if trial.state == TrialState.COMPLETE]
    best = heapq.nsmallest(N_BEST, complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    chosen = {trial.number: trial for trial in (*best, *scored[-N_LATEST:])}
    shift = zlib.crc32(run.encode())
    others = (trial for trial in scored if trial.number not in chosen)
    sample = heapq.nsmallest(MOST - len(chosen), others, key=lambda trial: (trial.number * _GOLDEN + shift) % 2**32)
    chosen |= {trial.number: trial for trial in sample}
    return [chosen[number] for number in sorted(chosen)]
