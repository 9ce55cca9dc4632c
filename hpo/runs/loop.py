"""One run while it is driven: what is proposed, what is under way, what is told and recorded."""

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping

from optuna.trial import FrozenTrial, TrialState

from hpo.database.records import RunKey, TrialRecord
from hpo.database.rescue import KnownRun
from hpo.database.run_name import RunName
from hpo.errors import InvalidOption, StudyChanged, UnusableDatabase
from hpo.evaluation.engine import Unit, UnitResult
from hpo.evaluation.results import Evaluation, FoldResult, LearningCurve
from hpo.process.interrupts import Interrupts
from hpo.runs.optuna_studies import Callbacks
from hpo.runs.progress import Progress
from hpo.runs.session import StudySession
from hpo.runs.stopping import DEFAULT_TRIALS, MOST_DEATHS, SECONDS, UNFINISHED, RunOptions, Told
from hpo.runs.under_way import UnderWay
from hpo.samplers.ask_tell import ManualProposal, Proposals, ReferenceProposal, WorkingStudy
from hpo.samplers.pruning import Pruning
from hpo.samplers.table import Sampler
from hpo.study.hyperparameters import Configuration
from hpo.units import counted

_WORTH_HOLDING = 0.1  # seconds; to hold a result costs about a thousandth of a second
_KEPT = 10_000  # recorded trials that are remembered where nobody learns from them
_MOST_WARNINGS = 100  # different ones that are remembered
_DEATHS = -1  # where they are held, beside the folds


class RunLoop:
    """One run, from its stored trials to its end. Whoever drives it submits its units and gives it their results.

    A run has a lag N: trial n is proposed when exactly the trials 0 to n - N are told, in order. Where proposals
    do not depend on what was told (grid, random, quasi-Monte Carlo) N is 1, and any number may be begun ahead.

    Args:
        session, name, key: the run, whose lock is held.
        sampler: proposes; None where the run is the reference, or is made by hand.
        by_hand: the configuration that is to be the next trial of a run that is made by hand.
        options: when it ends, and what a trial may take.
        stop: says why nothing more is to be proposed (``timeout``, ``interrupted``), or None.

    Attributes:
        n_ahead: how many trials to have under way where proposals do not depend on results.
        best: the incumbent's value, or None.
        failures: error -> how many of the recorded trials failed with it.
        folds_at_once: how many folds of a trial that may be pruned to have under way; those after the one that
            decides are not looked at, so that it changes the time alone.
    """

    def __init__(
        self,
        session: StudySession,
        name: RunName,
        key: RunKey,
        sampler: Sampler | None,
        options: RunOptions,
        *,
        by_hand: Configuration | None = None,
        stop: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.name, self._key, study_id = name, key, key.study_id
        self._session, self._options, self._stop = session, options, stop
        self._metric, self._n_folds = session.definition.shown_metric.key, session.n_folds(name.split)
        stored = self._read(sampler)
        self._check(stored)
        self._is_adaptive = sampler is not None and sampler.is_adaptive
        self._attributes = session.database.attributes(study_id)
        lag = int(self._attributes.get("lag", 1)) if self._is_adaptive else 1
        if self._is_adaptive and options.lag not in {None, lag}:
            raise InvalidOption(f"lag={options.lag}: {name} has the lag {lag} and keeps it; leave the option out")
        self._lag = lag
        self.n_ahead = self.folds_at_once = 1
        n_told = max(len(stored) - lag + 1, 0)
        self._sampler_state = session.database.sampler_state(study_id)
        self._proposals: Proposals
        self._budget: int | None = len(stored) + 1 if by_hand is not None else 1
        if by_hand is not None:
            self._proposals = ManualProposal(session.definition.space, len(stored), by_hand)
        elif sampler is None:
            self._proposals = ReferenceProposal(session.definition, is_stored=bool(stored))
        else:
            # The whole grid has no budget: it ends when every cell was tried, and again for those retried.
            self._budget = None if sampler.is_grid and options.trials is None else options.trials or DEFAULT_TRIALS
            self._proposals = WorkingStudy(
                name,
                session.definition.space,
                sampler,
                start=[dict(configuration) for configuration in session.definition.start],
                stored=stored,
                n_told=n_told,
                sampler_state=self._sampler_state,
                retry_failed=options.retry_failed,
                trust_database=options.trust_database,
            )
        self._has_all = sampler is None or sampler.is_adaptive or options.terminator
        self._recorded = deque(stored if self._has_all else ())
        complete = (trial.value for trial in stored if trial.state == TrialState.COMPLETE and trial.value is not None)
        self.best = max(complete, default=None)
        self.failures = Counter(map(_error, (trial for trial in stored if trial.state == TrialState.FAIL)))
        self._told = Told(options)
        self._pruning: Pruning | None = None
        self._curves: dict[int, dict[int, LearningCurve]] = {}
        if sampler is not None and sampler.pruner is not None:
            self._pruning = Pruning(sampler.pruner, str(name), self._n_folds)
            if not sampler.pruner.watches_folds:
                self._curves = session.database.curves(study_id)
        for trial in stored[:n_told]:
            self._add_told(trial)
        self._under_way = {trial.number: UnderWay(trial.number, stored=trial) for trial in stored[n_told:]}
        self._held = session.database.held(study_id)
        is_reference = sampler is None and by_hand is None
        self._origins = session.evaluations(name.split) if options.reuse and not is_reference else {}
        if self._pruning is not None:  # another run's trial may be one that the pruner would have ended here
            own = f"{name}#"
            self._origins = {key: origin for key, origin in self._origins.items() if origin.startswith(own)}
        self._n_proposed = self.n_recorded = len(stored)
        self._ended: str | None = None
        self.reason: str | None = None
        self.n_new = self.n_reused = 0
        self.seconds = 0.0
        self._n_results = 0
        self.warnings: Counter[str] = Counter()
        self._callbacks = Callbacks(() if is_reference else options.callbacks, str(name), stored)

    def _read(self, sampler: Sampler | None) -> list[FrozenTrial]:
        """The run's trials, of which those that no sampler and no pruner learns from are read in part only."""
        database, options = self._session.database, self._options
        if sampler is None or sampler.is_adaptive or options.terminator:
            return database.optuna_trials(self._key.study_id)
        space = self._session.definition.space
        seconds = SECONDS if options.walltime is not None else ()
        return database.optuna_trials(
            self._key.study_id,
            attributes=("configuration", "error", "duplicate_of", *seconds),
            has_params=sampler.is_grid or space.is_finite,
            has_folds=False,
        )

    def _check(self, stored: list[FrozenTrial]) -> None:
        database = self._session.database
        n_lost = database.n_lost(self._key.run_id, len(stored))
        if n_lost:
            raise UnusableDatabase(
                f"{self.name} has {counted(len(stored), 'trial')} in {database.name}, and {n_lost} more had been "
                "recorded: its file or the -wal beside it was damaged or replaced; hpo doctor says what can be done"
            )
        for position, trial in enumerate(stored):
            if trial.number != position or not trial.state.is_finished() or "configuration" not in trial.user_attrs:
                raise StudyChanged(
                    f"trial {trial.number} of {self.name} ({trial.state.name}) was not recorded by hpo: "
                    f"something else wrote to this run; remove it with hpo delete '{self.name}', then run it anew"
                )

    @property
    def width(self) -> int:
        """How many trials may be under way."""
        return self._lag if self._is_adaptive else self.n_ahead

    # --- what the driver does with it ---

    def advance(self, unit_seconds: float, progress: Progress) -> list[Unit]:
        """Tell and record what can be, propose what may be; returns what is to be evaluated next.

        Args:
            unit_seconds: about how long a unit should take.
            progress: is told of each trial recorded.
        """
        while True:
            while self._may_propose() and len(self._under_way) < self.width:
                self._propose()
            for trial in self._under_way.values():
                if trial.is_idle:
                    self._take_over(trial)
            head = next(iter(self._under_way.values()), None)
            if head is None or not head.is_finished:
                break
            del self._under_way[head.number]
            self._tell(head, progress)
        units: list[Unit] = []
        if self._ended not in UNFINISHED:
            for trial in self._under_way.values():
                is_asked = len(trial.asked) + len(trial.results) >= self._n_folds  # as most are, beside many workers
                if not is_asked and not trial.is_finished and not self._waits_for_an_equal(trial):
                    units += self._units(trial, unit_seconds)
        elif not any(trial.asked for trial in self._under_way.values()):
            for trial in self._under_way.values():
                self._hold(trial, trial.results, worth=0.0)
            self._under_way.clear()
        if not self._under_way:
            self.reason = self._reason()
        return units

    def receive(self, result: UnitResult) -> bool:
        """Take note of a unit's result; whether nothing more is wanted of its trial."""
        trial = self._under_way.get(result.unit.number)
        if trial is None or trial.is_finished:
            return True
        new = dict(zip(result.unit.folds, result.folds, strict=False))
        trial.asked -= set(result.unit.folds)
        if result.died is not None:
            trial.deaths += 1
            if trial.deaths >= MOST_DEATHS:
                error = f"WorkerDied: {trial.deaths} workers died of it, the last by {result.died}"
                known = trial.results.keys() | new.keys()
                new[min(set(range(self._n_folds)) - known)] = FoldResult(error=error)
        trial.results |= new
        self.seconds += sum(fold.seconds for fold in result.folds)
        self._n_results += len(result.folds)
        self._settle(trial)
        if not (trial.is_finished and trial.number == next(iter(self._under_way))):  # which is recorded at once
            self._hold(trial, new, died=result.died is not None)
        return trial.is_finished

    def take_back(self, unit: Unit) -> bool:
        """Whether a unit that no worker has begun can be left to a later resumption; else it must be evaluated."""
        trial = self._under_way.get(unit.number)
        if self._ended not in UNFINISHED or trial is None:
            return trial is None
        if trial.results or trial.asked - set(unit.folds):  # others of its folds are done, or under way
            return False
        trial.asked -= set(unit.folds)
        return True

    # --- inside ---

    def _may_propose(self) -> bool:
        reason = "callback" if self._callbacks.wants_end else self._told.reason_to_stop()
        if reason is not None and (self._budget is None or self._told.n < self._budget):
            if not self._is_adaptive:
                self._ended = reason
                self._under_way.clear()  # begun ahead of their time: the run ends before them
            self._ended = self._ended or reason
        self._ended = self._ended or self._stop()
        return self._ended is None and not self._is_whole

    @property
    def _is_whole(self) -> bool:
        """Whether everything that the run is to have has been proposed."""
        return (self._budget is not None and self._n_proposed >= self._budget) or self._proposals.is_exhausted

    def _reason(self) -> str:
        """Why it ended, once nothing is under way."""
        is_complete = self._is_whole and self.n_recorded == self._n_proposed
        if self._ended is not None and not (is_complete and self._ended in UNFINISHED):
            return self._ended
        return "budget" if self._budget is None or self._n_proposed >= self._budget else "exhausted"

    def _propose(self) -> None:
        proposal = self._proposals.propose()
        trial = UnderWay(proposal.number, proposal, n_told=self._told.n)
        self._n_proposed += 1
        self._under_way[trial.number] = trial
        held = self._held.pop((trial.number, proposal.key), None)
        if held is not None:
            trial.deaths = held.pop(_DEATHS, {}).get("deaths", 0)
            trial.results = {fold: FoldResult.from_json(result) for fold, result in held.items()}
            trial.was_held = True
            self._settle(trial)

    def _take_over(self, trial: UnderWay) -> None:
        """The stored result of an equal configuration in the same context, where there is one."""
        origin = self._origins.get(trial.key or "")
        if origin is None:
            return
        run, _, number = origin.rpartition("#")
        found = self._trial_of(run, int(number))
        if found is None or found.state != TrialState.COMPLETE or found.value is None:  # deleted meanwhile
            return
        if found.user_attrs.get("configuration") != trial.key:  # and another made in its place
            return
        folds = [found.intermediate_values[step] for step in sorted(found.intermediate_values)]
        trial.evaluation = Evaluation.from_stored(found.value, folds, found.user_attrs)
        trial.origin = found.user_attrs.get("duplicate_of", origin)

    def _trial_of(self, run: str, number: int) -> FrozenTrial | None:
        """A trial of another run, where that is still one of this context."""
        database = self._session.database
        is_same = database.run_attributes(run).get("context") == self._session.context(self.name.split)
        return database.trial(run, number) if is_same else None

    def _waits_for_an_equal(self, trial: UnderWay) -> bool:
        """Whether an earlier trial under way is the same, so that it need not be trained twice."""
        if not self._options.reuse:
            return False
        return any(o.number < trial.number and o.key == trial.key for o in self._under_way.values())

    def _units(self, trial: UnderWay, unit_seconds: float) -> list[Unit]:
        assert trial.proposal is not None  # a stored one is finished
        folds = [fold for fold in range(self._n_folds) if fold not in trial.results and fold not in trial.asked]
        fold_seconds = self.seconds / self._n_results if self._n_results else unit_seconds
        size = max(1, min(math.ceil(unit_seconds / max(fold_seconds, 1e-9)), self._n_folds))
        if self._pruning is not None:  # each decides whether there is a next
            folds, size = folds[: max(self.folds_at_once - len(trial.asked), 0)], 1
        limit = self._options.trial_timeout
        left = None if limit is None else limit - sum(result.seconds for result in trial.results.values())
        trial.asked |= set(folds)
        configuration = trial.proposal.configuration
        return [
            Unit(
                str(self.name), trial.number, self.name.split, configuration, tuple(folds[i : i + size]), left,
                None if self._pruning is None else self._pruning.watching(trial.n_told, trial.number, folds[i]),
            )
            for i in range(0, len(folds), size)
        ]  # fmt: skip

    def _settle(self, trial: UnderWay) -> None:
        """The trial's evaluation, once every fold that it needs is known."""
        evaluation = trial.combined(self._metric, self._n_folds, self._pruning)
        if evaluation is None:
            return
        trial.evaluation = evaluation.within(self._options.trial_timeout)

    def _hold(
        self, trial: UnderWay, results: Mapping[int, FoldResult], *, died: bool = False, worth: float = _WORTH_HOLDING
    ) -> None:
        """Store what is known of a trial that cannot be recorded yet, where it was dear."""
        if trial.proposal is None or trial.origin is not None:
            return
        held = {fold: dataclasses.asdict(result) for fold, result in results.items() if result.seconds >= worth}
        if died:
            held[_DEATHS] = {"deaths": trial.deaths}
        if held:
            self._session.database.hold(self._key, trial.number, trial.proposal.key, held)
            trial.was_held = True

    def known(self) -> KnownRun:
        """All that is known of it, for a new file where that of the database is lost."""
        held = {key: {fold: dict(result) for fold, result in results.items()} for key, results in self._held.items()}
        for trial in self._under_way.values():
            if trial.proposal is not None and trial.origin is None and trial.number >= self.n_recorded:
                results = {fold: dataclasses.asdict(result) for fold, result in trial.results.items()}
                deaths = {_DEATHS: {"deaths": trial.deaths}} if trial.deaths else {}
                held[trial.number, trial.proposal.key] = results | deaths
        curves = self._curves
        records = [TrialRecord.of_stored(trial, curves.get(trial.number, {})) for trial in self._recorded]
        return KnownRun(self.name, self._attributes, records, held, self._sampler_state)

    def _keep(self, trial: FrozenTrial) -> None:
        """Remember a trial for :meth:`known`: where nobody learns from them the latest, so that memory is bounded."""
        self._recorded.append(trial)
        if not self._has_all and len(self._recorded) > _KEPT:
            self._recorded.popleft()

    def _tell(self, trial: UnderWay, progress: Progress) -> None:
        """Tell the sampler of a finished trial, and record it unless it is stored."""
        if trial.stored is not None:
            self._proposals.retell(trial.stored)
            self._add_told(trial.stored)
            return
        proposal, evaluation = trial.proposal, trial.evaluation
        assert proposal is not None  # it is not stored
        assert evaluation is not None  # it is finished
        record = self._proposals.tell(proposal, evaluation, duplicate_of=trial.origin)
        if trial.was_held:
            record = dataclasses.replace(record, was_held=True)
        self._keep(record.trial)  # first: it is to be kept where the file is lost
        if record.trial.state == TrialState.COMPLETE and record.trial.value is not None:
            self.best = record.trial.value if self.best is None else max(self.best, record.trial.value)
        elif record.trial.state == TrialState.FAIL:
            self.failures[_error(record.trial)] += 1
        if record.curves:
            self._curves[trial.number] = dict(record.curves)
        self._sampler_state |= record.sampler_state
        self._session.database.record(self._key, record)
        Interrupts.has_recorded = True
        self._add_told(record.trial)
        self._callbacks.told(record.trial)
        if self._options.reuse and evaluation.value is not None:
            self._origins.setdefault(proposal.key, f"{self.name}#{trial.number}")
        self.n_recorded += 1
        self.n_new += 1
        self.n_reused += trial.origin is not None
        for text, count in evaluation.warnings.items():  # messages may differ in a number each time
            is_known = text in self.warnings or len(self.warnings) < _MOST_WARNINGS
            self.warnings[text if is_known else text.partition(":")[0]] += count
        progress.told(self.name, evaluation.value, evaluation.error, is_reused=trial.origin is not None)

    def _add_told(self, trial: FrozenTrial) -> None:
        """One more was told, in order."""
        self._told.add(trial)
        if self._pruning is not None:
            self._pruning.add(trial, self._curves.get(trial.number, {}))


def _error(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("error", "an unknown error"))
