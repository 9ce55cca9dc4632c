"""What trials say to the model: rows of coordinates, scores, and which are still under way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import InvalidSpace
from hpo.samplers.bayesian.coordinates import Array, Coordinates, Mask, Positions

_OPEN, _COMPLETE, _PRUNED, _FOREIGN = range(4)  # a failed trial is complete, without a value
_BLOCK = 256


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
    """Translates each trial once, so that ten thousand cost no more than the last.

    Args:
        coordinates: of the space.

    Attributes:
        keys: of the configurations that were proposed.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        self.keys: set[str] = set()
        self._n = 0
        self._open: list[int] = []  # trials under way
        self._rows = np.empty((_BLOCK, len(coordinates.axes)))
        self._values = np.empty(_BLOCK)
        self._states = np.empty(_BLOCK, np.int8)

    def look(self, trials: Sequence[FrozenTrial], *, sign: float = 1.0) -> Known:
        """What is known of trials 0, 1, ...; ``sign`` is -1 where lower values are better.

        Trials of another space are left out.
        """
        for number in range(self._n, len(trials)):
            self._begin(number, trials[number])
        self._open = [number for number in self._open if not self._end(number, trials[number])]
        rows, states = self._rows[: self._n], self._states[: self._n]
        ended = (states == _COMPLETE) | (states == _PRUNED)
        values = sign * self._values[: self._n][ended]
        return Known(rows[ended], scores_of(values, states[ended] == _PRUNED), rows[states == _OPEN])

    def _begin(self, number: int, trial: FrozenTrial) -> None:
        if number == len(self._rows):
            self._rows, self._values, self._states = (
                np.concatenate([old, np.empty_like(old)]) for old in (self._rows, self._values, self._states)
            )
        self._n = number + 1
        space = self._coordinates.space
        try:
            configuration = space.check(trial.params)
        except InvalidSpace:
            self._states[number] = _FOREIGN
            return
        self.keys.add(space.key(configuration))
        self._rows[number], self._states[number] = self._coordinates.row(configuration), _OPEN
        self._open.append(number)

    def _end(self, number: int, trial: FrozenTrial) -> bool:
        """Take note of a trial's result; whether there is one."""
        if not trial.state.is_finished():
            return False
        reports, value = trial.intermediate_values, np.nan
        if trial.state == TrialState.COMPLETE and trial.values:
            value = trial.values[0]
        elif trial.state == TrialState.PRUNED and reports:
            value = reports[max(reports)]
        self._values[number] = value if np.isfinite(value) else np.nan
        self._states[number] = _PRUNED if trial.state == TrialState.PRUNED else _COMPLETE
        return True


def scores_of(values: Array, is_pruned: Mask) -> Array:
    """Scores of trials that ended, higher is better.

    A failed trial has the lowest score of all. A pruned one has what it reported last, but no more than the median
    of those that were not pruned.

    Args:
        values: the last of each, higher is better; NaN where it failed.
        is_pruned: of each.
    """
    failed, scores = np.isnan(values), values.copy()
    complete = values[~is_pruned & ~failed]
    if len(complete):
        scores[is_pruned] = np.minimum(scores[is_pruned], np.median(complete))
    scores[failed] = np.min(scores[~failed]) if not failed.all() else 0.0
    return scores
