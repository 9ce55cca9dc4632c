"""Runs as Optuna's studies: copies in memory, for its plots and for callbacks, which nothing is written back from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from hpo.errors import InvalidOption
from hpo.samplers.table import quiet_study

Callback = Callable[[optuna.Study, FrozenTrial], Any]


def study_of(name: str, trials: Iterable[FrozenTrial], attributes: Mapping[str, Any] | None = None) -> optuna.Study:
    """A run as an Optuna study in memory: what is written to it changes nothing in the database.

    Args:
        name: of the run.
        trials: that it has, in number order.
        attributes: of the run, where they are known.
    """
    study = quiet_study(InMemoryStorage(), name)
    study.add_trials(trials)
    attributes = attributes or {}
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    if "metric" in attributes:  # as Optuna itself keeps it; its plots label the axis with it
        study._storage.set_study_system_attr(study._study_id, "study:metric_names", [attributes["metric"]])
    return study


class Callbacks:
    """Callbacks as Optuna's: ``f(study, trial)``, called after each trial was recorded.

    Args:
        given: None or a list of functions.
        name: of the run.
        stored: its trials so far.

    Raises:
        InvalidOption: something else was given.
    """

    def __init__(self, given: Sequence[Callback], name: str, stored: Iterable[FrozenTrial]) -> None:
        self._given = given
        self._study = study_of(name, stored) if given else None
        if self._study is not None:
            self._study._thread_local.in_optimize_loop = True  # so that a callback may call study.stop()

    @property
    def wants_end(self) -> bool:
        """Whether a callback has called ``study.stop()``."""
        return self._study is not None and bool(self._study._stop_flag)

    def told(self, trial: FrozenTrial) -> None:
        """One more was recorded. What a callback raises is raised."""
        if self._study is None:
            return
        self._study.add_trial(trial)
        for callback in self._given:
            callback(self._study, trial)


def check_callbacks(given: Any) -> tuple[Callback, ...]:
    """The callbacks of an option; raises InvalidOption where they are no list of functions."""
    if given is None:
        return ()
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise InvalidOption(f"callbacks={given!r}: give a list of functions (study, trial)")
    callbacks = tuple(given)
    for callback in callbacks:
        if not callable(callback):
            raise InvalidOption(f"callbacks has {callback!r}: give a list of functions (study, trial)")
    return callbacks
