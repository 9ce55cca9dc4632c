"""The working study: Optuna's samplers asked and told in memory, so that a proposal depends on told trials only."""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.database.records import TrialRecord
from hpo.database.run_name import RunName
from hpo.errors import InvalidSpace
from hpo.evaluation.results import Evaluation
from hpo.samplers.grid import GridSampler
from hpo.samplers.table import Sampler, derive_seed, quiet_study
from hpo.samplers.trust import refuse_programs
from hpo.samplers.working_storage import WorkingStorage
from hpo.study.definition import StudyDefinition
from hpo.study.hyperparameters import Configuration, Value
from hpo.study.space import SearchSpace, configuration_key

Distributions = Mapping[str, BaseDistribution]


NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Proposal:
    """A configuration to evaluate.

    Attributes:
        trial: Optuna's trial, asked and not yet told; None where no sampler was asked.
        number: the trial's.
        configuration: stored values of the active hyperparameters; None for the reference.
        key: identifies the hyperparameters as the estimator is given them.
        started: when it was proposed; ``clock`` is the same moment on a clock that never steps.
        sampler_seconds: what the proposal took.
        sampler_state: study attributes that the sampler changed by proposing.
    """

    trial: Trial | None
    number: int
    configuration: Configuration | None
    key: str
    started: datetime
    clock: float
    sampler_seconds: float
    sampler_state: Mapping[str, Any]

    def finished(self) -> datetime:
        """Now, on the clock of ``started``."""
        return self.started + timedelta(seconds=time.perf_counter() - self.clock)


class Proposals(Protocol):
    """Where the trials of a run come from."""

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left to propose."""

    def propose(self) -> Proposal:
        """The next trial."""

    def tell(self, proposal: Proposal, evaluation: Evaluation, *, duplicate_of: str | None = None) -> TrialRecord:
        """Take note of what became of a proposal; return what is to be stored.

        Args:
            proposal, evaluation: what was proposed, and what it scored.
            duplicate_of: the trial, as ``run#number``, whose evaluation this is.
        """

    def retell(self, trial: FrozenTrial) -> None:
        """Take note of a stored trial that was given as running."""


class WorkingStudy:
    """Proposes trial after trial of one run.

    For each trial the sampler is made afresh, seeded by (study, sampler, seed, trial number), so that a run
    continued from its stored trials proposes what the uninterrupted run would have.

    Args:
        run: its name, which Optuna's working study bears too.
        space, sampler, start: what is searched, how, and which configurations come first.
        stored: the run's trials so far, in number order.
        n_told: how many of them the sampler is told at once; the others count as running until they are retold.
        sampler_state: study attributes the run's sampler stored so far.
        retry_failed: whether the grid proposes cells again whose every trial so far failed.
        trust_database: whether a sampler that is not ours may read text that was stored for it.

    Raises:
        UntrustedDatabase: there is such text.
    """

    def __init__(
        self,
        run: RunName,
        space: SearchSpace,
        sampler: Sampler,
        *,
        start: Sequence[Configuration] = (),
        stored: Sequence[FrozenTrial] = (),
        n_told: int | None = None,
        sampler_state: Mapping[str, Any] | None = None,
        retry_failed: bool = False,
        trust_database: bool = False,
    ) -> None:
        if not (sampler.is_ours or trust_database):
            refuse_programs(str(run), sampler.label, sampler_state or {}, stored)
        self._run, self._space, self._sampler, self._start = run, space, sampler, start
        self._begun, self._clock = datetime.now(UTC), time.perf_counter()
        choose = sampler.kind.choose
        self._storage = WorkingStorage(
            forgets=not sampler.kind.is_adaptive, choose=None if choose is None else partial(choose, str(run))
        )
        self._study = quiet_study(self._storage, str(run))
        self._study_id = self._storage.get_study_id_from_name(str(run))
        for key, value in (sampler_state or {}).items():
            self._storage.set_study_system_attr(self._study_id, key, value)
        n_told = len(stored) if n_told is None else n_told
        self._storage.add(self._study_id, stored[:n_told])
        for trial in stored[n_told:]:
            self._storage.create_new_trial(self._study_id, _as_running(trial))
        self._n = len(stored)
        self._proposed = {space.key(trial.params) for trial in stored} if space.size is not None else set()
        self._persistent: BaseSampler | None = None
        if sampler.kind.is_per_run:
            self._persistent = sampler.build(space, derive_seed(run.study, sampler.search_label, run.seed))
        if isinstance(self._persistent, GridSampler):
            self._persistent.remember(trial.params for trial in stored)
            if retry_failed:
                self._persistent.retry(failed_configurations(space, stored))

    def _now(self) -> tuple[datetime, float]:
        """The time of day, and the same moment on a clock that is never set back; the first follows the second."""
        clock = time.perf_counter()
        return self._begun + timedelta(seconds=clock - self._clock), clock

    @property
    def sampler_state(self) -> dict[str, Any]:
        """Study attributes that the sampler has stored so far."""
        return self._storage.get_study_system_attrs(self._study_id)

    @property
    def is_exhausted(self) -> bool:
        """Whether every cell of the grid, or every configuration of a finite space, has been proposed."""
        if isinstance(self._persistent, GridSampler):
            return self._persistent.is_exhausted(self._study)
        return self._space.size is not None and len(self._proposed) >= self._space.size

    def propose(self) -> Proposal:
        """Ask for the next trial."""
        number = self._n
        started, clock = self._now()
        before = self._storage.get_study_system_attrs(self._study_id)
        if number < len(self._start):
            self._study.enqueue_trial(self._start[number])
        self._study.sampler = self._persistent or self._sampler.build(
            self._space, derive_seed(self._run.study, self._sampler.search_label, self._run.seed, number)
        )
        trial = self._study.ask()
        configuration = self._space.suggest(trial)
        self._n += 1
        if self._space.size is not None:
            self._proposed.add(self._space.key(configuration))
        after = self._storage.get_study_system_attrs(self._study_id)
        seconds = time.perf_counter() - clock
        return Proposal(
            trial=trial,
            number=number,
            configuration=configuration,
            key=configuration_key(self._space.use(configuration)),
            started=started,
            clock=clock,
            sampler_seconds=seconds,
            sampler_state={key: value for key, value in after.items() if before.get(key) is not value},
        )

    def tell(
        self,
        proposal: Proposal,
        evaluation: Evaluation,
        *,
        duplicate_of: str | None = None,
        more: Mapping[str, Any] = NOTHING_MORE,
    ) -> TrialRecord:
        """Tell the sampler what became of a proposal; return what is to be stored.

        Args:
            proposal, evaluation, duplicate_of: as for :class:`Proposals`.
            more: further attributes of the trial.
        """
        assert proposal.trial is not None  # it is ours
        assert proposal.configuration is not None
        quantiles = self._space.quantile_values(proposal.configuration)
        attributes = {**_attributes(proposal, evaluation, duplicate_of), **more, **quantiles}
        trial_id = proposal.trial._trial_id
        self._storage.note(trial_id, dict(enumerate(evaluation.fold_scores)), attributes)
        told = self._study.tell(proposal.trial, evaluation.value, _state(evaluation))
        self._storage.forget(trial_id)
        return TrialRecord(
            told, proposal.started, proposal.finished(), proposal.sampler_state, curves=evaluation.curves
        )

    def retell(self, trial: FrozenTrial) -> None:
        """Tell the sampler what became of a stored trial that counted as running."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        self._storage.note(trial_id, trial.intermediate_values, trial.user_attrs)
        self._study.tell(trial.number, trial.value if trial.state == TrialState.COMPLETE else None, trial.state)


class ReferenceProposal:
    """The one trial of a reference run: the estimator's usual hyperparameters."""

    def __init__(self, definition: StudyDefinition, *, is_stored: bool) -> None:
        self._definition = definition
        self.is_exhausted = is_stored

    def propose(self) -> Proposal:
        """The reference."""
        self.is_exhausted = True
        key = configuration_key(self._definition.reference_used())
        return Proposal(None, 0, None, key, datetime.now(UTC), time.perf_counter(), 0.0, {})

    def tell(self, proposal: Proposal, evaluation: Evaluation, *, duplicate_of: str | None = None) -> TrialRecord:
        """Return what is to be stored."""
        attributes = _attributes(proposal, evaluation, duplicate_of)
        params = self._params()
        # One choice each: a reference may lie outside the space.
        ranges: Distributions = {key: CategoricalDistribution((value,)) for key, value in params.items()}
        return _record(proposal, evaluation, params, ranges, attributes)

    def retell(self, trial: FrozenTrial) -> None:
        """Nobody learns from it."""

    def _params(self) -> dict[str, Any]:
        """The hyperparameters as they are stored: labels, or the text of an object."""
        params = {}
        for name, value in (self._definition.reference or {}).items():
            try:
                params[name] = self._definition.space.parameters[name].check(value)
            except (KeyError, InvalidSpace):
                params[name] = value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
        return params


class ManualProposal:
    """The next trial of a manual run: a configuration that somebody chose, also beyond the ranges of the space."""

    def __init__(self, space: SearchSpace, number: int, configuration: Configuration) -> None:
        self._space, self._number, self._configuration = space, number, configuration
        self.is_exhausted = False

    def propose(self) -> Proposal:
        """The configuration."""
        self.is_exhausted = True
        key = configuration_key(self._space.use(self._configuration))
        clock = time.perf_counter()
        return Proposal(None, self._number, self._configuration, key, datetime.now(UTC), clock, 0.0, {})

    def tell(self, proposal: Proposal, evaluation: Evaluation, *, duplicate_of: str | None = None) -> TrialRecord:
        """Return what is to be stored."""
        ranges = {name: _range_with(self._space, name, value) for name, value in self._configuration.items()}
        quantiles = self._space.quantile_values(self._configuration)
        attributes = {**_attributes(proposal, evaluation, duplicate_of), **quantiles}
        return _record(proposal, evaluation, self._configuration, ranges, attributes)

    def retell(self, trial: FrozenTrial) -> None:
        """Nobody learns from it."""


def _attributes(proposal: Proposal, evaluation: Evaluation, duplicate_of: str | None) -> dict[str, Any]:
    """What every trial stores, whoever proposed and evaluated it."""
    return {
        **evaluation.attributes(),
        "configuration": proposal.key,
        "sampler_seconds": round(proposal.sampler_seconds, 6),
        **({} if duplicate_of is None else {"duplicate_of": duplicate_of}),
    }


def _state(evaluation: Evaluation) -> TrialState:
    if evaluation.pruned_at is not None:
        return TrialState.PRUNED
    return TrialState.FAIL if evaluation.value is None else TrialState.COMPLETE


class _Range:
    """Is suggested into: remembers the distribution that was asked for."""

    distribution: BaseDistribution

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.distribution = FloatDistribution(low, high, log=log, step=step)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.distribution = IntDistribution(low, high, log=log, step=step)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        self.distribution = CategoricalDistribution(choices)
        return choices[0]


def _range_with(space: SearchSpace, name: str, value: Any) -> BaseDistribution:
    """The distribution of a hyperparameter, widened to a value outside it."""
    found = _Range()
    space.parameters[name].suggest(found, name)
    known = found.distribution
    try:
        space.parameters[name].check(value)
        return known
    except InvalidSpace:
        assert isinstance(known, (FloatDistribution, IntDistribution))  # a choice is one of the choices
    low, high = min(known.low, value), max(known.high, value)
    is_log = known.log and low > 0
    if isinstance(known, IntDistribution):
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _record(
    proposal: Proposal,
    evaluation: Evaluation,
    params: Mapping[str, Any],
    ranges: Distributions,
    attributes: Mapping[str, Any],
) -> TrialRecord:
    """What is to be stored of a trial that no sampler proposed."""
    trial = create_trial(
        state=_state(evaluation),
        value=evaluation.value,
        params=dict(params),
        distributions=dict(ranges),
        user_attrs=dict(attributes),
        intermediate_values=dict(enumerate(evaluation.fold_scores)),
    )
    trial.number = proposal.number
    return TrialRecord(trial, proposal.started, proposal.finished(), {})


def failed_configurations(space: SearchSpace, trials: Sequence[FrozenTrial]) -> list[Configuration]:
    """Distinct configurations that have been tried and never succeeded, in the order they were tried."""
    keys = {trial.number: space.key(trial.params) for trial in trials}
    succeeded = {keys[trial.number] for trial in trials if trial.state != TrialState.FAIL}
    failed = {keys[trial.number]: dict(trial.params) for trial in trials if trial.state == TrialState.FAIL}
    return [configuration for key, configuration in failed.items() if key not in succeeded]


def _as_running(trial: FrozenTrial) -> FrozenTrial:
    """A stored trial as it was between its proposal and its result."""
    running = copy.copy(trial)
    running.state, running.values, running.datetime_complete = TrialState.RUNNING, None, None
    running.user_attrs, running.intermediate_values = {}, {}
    return running
