"""What trials say to the model: rows of coordinates, scores, and which are still under way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hpo.bayesian.coordinates import Array, Coordinates, Positions
from hpo.errors import InvalidSpace


@dataclass(frozen=True)
class Known:
    """Trials as the model sees them, in number order.

    Attributes:
        rows: coordinates of those that ended, shape [n, d].
        scores: higher is better, finite, shape [n].
        pending: coordinates of those under way, shape [m, d].
    """

    rows: Array
    scores: Array
    pending: Array

    @property
    def best_first(self) -> Positions:
        """Positions of the trials that ended, the best first."""
        return np.argsort(-self.scores, kind="stable")


class History:
    """Translates each trial once.

    Args:
        coordinates: of the space.

    Attributes:
        keys: of the configurations that were proposed.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        self._rows: list[Array | None] = []
        self.keys: set[str] = set()

    def look(self, trials: Sequence[FrozenTrial], *, sign: float = 1.0) -> Known:
        """What is known of trials 0, 1, ...; ``sign`` is -1 where lower values are better.

        Trials of another space are left out.
        """
        for trial in trials[len(self._rows) :]:
            self._rows.append(self._row(trial))
        d = len(self._coordinates.axes)
        pairs = [(trial, row) for trial, row in zip(trials, self._rows, strict=False) if row is not None]
        ended = [(trial, row) for trial, row in pairs if trial.state.is_finished()]
        return Known(
            np.array([row for _, row in ended]).reshape(-1, d),
            scores_of([trial for trial, _ in ended], sign),
            np.array([row for trial, row in pairs if not trial.state.is_finished()]).reshape(-1, d),
        )

    def _row(self, trial: FrozenTrial) -> Array | None:
        space = self._coordinates.space
        try:
            configuration = space.check(trial.params)
        except InvalidSpace:
            return None
        self.keys.add(space.key(configuration))
        return self._coordinates.row(configuration)


def scores_of(trials: Sequence[FrozenTrial], sign: float) -> Array:
    """Scores of trials that ended, higher is better.

    A failed trial has the lowest score of all. A pruned one has what it reported last, but no more than the median
    of those that were not pruned.
    """
    scores = np.full(len(trials), np.nan)
    pruned = np.array([trial.state == TrialState.PRUNED for trial in trials], bool)
    for i, trial in enumerate(trials):
        if trial.state == TrialState.COMPLETE and trial.values:
            scores[i] = sign * trial.values[0]
        elif pruned[i] and trial.intermediate_values:
            scores[i] = sign * trial.intermediate_values[max(trial.intermediate_values)]
    scores[~np.isfinite(scores)] = np.nan
    complete = scores[~pruned & ~np.isnan(scores)]
    if len(complete):
        scores[pruned] = np.minimum(scores[pruned], np.median(complete))
    lowest = np.nanmin(scores) if not np.isnan(scores).all() else 0.0
    return np.where(np.isnan(scores), lowest, scores)
