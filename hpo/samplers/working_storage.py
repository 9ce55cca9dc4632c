"""The memory of a working study: trials are added whole, found by number, and forgotten where nobody learns of them."""

import copy
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

Choice = Callable[[Sequence[FrozenTrial]], Sequence[FrozenTrial]]
_WAITING = (TrialState.WAITING,)
_NOTHING: FrozenTrial = FrozenTrial(
    number=-1, state=TrialState.FAIL, value=None, datetime_start=None, datetime_complete=None, params={},
    distributions={}, user_attrs={}, system_attrs={}, intermediate_values={}, trial_id=-1,
)  # fmt: skip


class WorkingStorage(InMemoryStorage):
    """Holds the one study of a run that is being worked on; the id of a trial is its number.

    Optuna's copies each trial for each of its attributes, and checks each stored trial again, which at 30,000 trials
    takes longer than all else.

    Args:
        forgets: whether nobody asks what became of trials: told ones then leave nothing behind.
        choose: the trials that a sampler is shown, out of those that have ended; None is all.
    """

    def __init__(self, *, forgets: bool = False, choose: Choice | None = None) -> None:
        super().__init__()
        self._forgets, self._choose = forgets, choose
        self._shown: list[FrozenTrial] | None = None
        self._first = 0  # all trials of a lower number have ended

    def add(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Take over stored trials, in number order, as they are."""
        own = self._studies[study_id].trials
        for trial in trials:
            trial_id = self._max_trial_id = self._max_trial_id + 1
            self._trial_id_to_study_id_and_number[trial_id] = (study_id, len(own))
            if self._forgets:
                own.append(_NOTHING)
                continue
            kept = copy.copy(trial)  # the caller's keeps its own id
            kept._trial_id, kept.number = trial_id, len(own)
            own.append(kept)
            self._update_cache(trial_id, study_id)
        self._shown = None

    def note(self, trial_id: int, folds: Mapping[int, float], attributes: Mapping[str, Any]) -> None:
        """Set intermediate values and attributes of a trial that is running, at once."""
        trial = copy.copy(self._get_trial(trial_id))
        trial.intermediate_values = {**trial.intermediate_values, **folds}
        trial.user_attrs = {**trial.user_attrs, **attributes}
        self._set_trial(trial_id, trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See Optuna."""
        self._shown = None
        return super().set_trial_state_values(trial_id, state, values)

    def forget(self, trial_id: int) -> None:
        """Drop a trial that was told, where nobody will ask for it."""
        if self._forgets:
            self._set_trial(trial_id, _NOTHING)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See Optuna; a sampler is shown those chosen for it, beside all that are running."""
        if self._choose is None or states == _WAITING:
            return super().get_all_trials(study_id, deepcopy, states)
        if self._shown is None:
            trials = self._studies[study_id].trials
            self._shown = list(self._choose([trial for trial in trials if trial.state.is_finished()]))
        last = self._studies[study_id].trials[self._first_running(study_id) :]
        trials = [*self._shown, *(trial for trial in last if not trial.state.is_finished())]
        found = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _first_running(self, study_id: int) -> int:
        """The number from which on trials may not have ended."""
        trials, number = self._studies[study_id].trials, self._first
        while number < len(trials) and trials[number].state.is_finished():
            number += 1
        self._first = number
        return number
