"""Where the trials of one run are kept while it is driven, and what is known of it when that begins."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from optuna.trial import FrozenTrial

from hpo.database.records import RunKey, TrialRecord
from hpo.database.study_database import StudyDatabase
from hpo.errors import StudyChanged, UnusableDatabase
from hpo.evaluation.results import FoldResult, LearningCurve
from hpo.process.interrupts import Interrupts
from hpo.units import counted

DEATHS = -1  # where they are held, beside the folds

Held = dict[tuple[int, str], dict[int, dict[str, Any]]]


@dataclass(frozen=True)
class RunSoFar:
    """A run as it is stored when a process goes on with it.

    Attributes:
        trials: in number order.
        is_whole: whether all of each trial was read.
        attributes: of the run.
        sampler_state: study attributes that its sampler stored.
        curves: trial -> fold -> what a pruner saw of its training, where later decisions depend on it.
        held: (number, configuration) -> fold -> result, of trials that are not finished.
    """

    trials: Sequence[FrozenTrial] = ()
    is_whole: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sampler_state: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[int, dict[int, LearningCurve]] = field(default_factory=dict)
    held: Held = field(default_factory=dict)

    def n_told(self, lag: int | None) -> int:
        """How many trials had been told when the next was proposed; the others count as running on resumption."""
        return max(len(self.trials) - (lag or 1) + 1, 0)


class Recorder(Protocol):
    """Keeps what becomes of a run's trials."""

    def record(self, record: TrialRecord) -> None:
        """Keep a finished trial."""

    def hold(self, number: int, configuration: str, results: Mapping[int, FoldResult], deaths: int | None) -> None:
        """Keep results of a trial that is not finished, and how many workers died of it where that has changed."""


class InDatabase:
    """A run in a study database, whose lock is held."""

    def __init__(self, database: StudyDatabase, key: RunKey) -> None:
        self._database, self._key = database, key

    def read(
        self, *, attributes: Sequence[str] | None = None, has_params: bool = True, has_curves: bool = False
    ) -> RunSoFar:
        """Read what is stored.

        Args:
            attributes: of each trial, where these are enough and nobody asks for its folds; None is all of it.
            has_params: whether hyperparameters are read, where not all of a trial is.
            has_curves: whether learning curves are.

        Raises:
            UnusableDatabase: trials were lost.
            StudyChanged: something else wrote to the run.
        """
        database, study_id = self._database, self._key.study_id
        if attributes is None:
            trials = database.optuna_trials(study_id)
        else:
            trials = database.optuna_trials(study_id, attributes=attributes, has_params=has_params, has_folds=False)
        self._check(trials)
        return RunSoFar(
            trials,
            attributes is None,
            database.attributes(study_id),
            database.sampler_state(study_id),
            database.curves(study_id) if has_curves else {},
            database.held(study_id),
        )

    def _check(self, trials: Sequence[FrozenTrial]) -> None:
        database, name = self._database, self._key.name
        n_lost = database.n_lost(self._key.run_id, len(trials))
        if n_lost:
            raise UnusableDatabase(
                f"{name} has {counted(len(trials), 'trial')} in {database.name}, and {n_lost} more had been "
                "recorded: its file or the -wal beside it was damaged or replaced; hpo doctor says what can be done"
            )
        for position, trial in enumerate(trials):
            if trial.number != position or not trial.state.is_finished() or "configuration" not in trial.user_attrs:
                raise StudyChanged(
                    f"trial {trial.number} of {name} ({trial.state.name}) was not recorded by hpo: "
                    f"something else wrote to this run; remove it with hpo delete '{name}', then run it anew"
                )

    def record(self, record: TrialRecord) -> None:
        """Write a finished trial, in one transaction."""
        self._database.record(self._key, record)
        Interrupts.has_recorded = True

    def hold(self, number: int, configuration: str, results: Mapping[int, FoldResult], deaths: int | None) -> None:
        """Write results of a trial that is not finished."""
        held = {fold: asdict(result) for fold, result in results.items()}
        self._database.hold(self._key, number, configuration, held | deaths_held(deaths))


def deaths_held(deaths: int | None) -> dict[int, dict[str, Any]]:
    """How many workers died of a trial, as it is held beside the results of its folds."""
    return {DEATHS: {"deaths": deaths}} if deaths else {}
