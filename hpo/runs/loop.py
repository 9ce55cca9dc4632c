"""One run while it is driven: what is proposed, what is under way, what is told and recorded."""

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import FrozenTrial, TrialState

from hpo.database.records import TrialRecord
from hpo.database.rescue import KnownRun
from hpo.database.run_name import RunName
from hpo.evaluation.engine import Unit, UnitResult
from hpo.evaluation.results import Evaluation, FoldResult
from hpo.runs.optuna_studies import Callbacks
from hpo.runs.progress import Progress
from hpo.runs.recording import DEATHS, Recorder, RunSoFar, deaths_held
from hpo.runs.stopping import MOST_DEATHS, UNFINISHED, RunOptions, Told
from hpo.runs.under_way import UnderWay
from hpo.samplers.ask_tell import Proposals
from hpo.samplers.pruning import Pruning

_WORTH_HOLDING = 0.1  # seconds; to hold a result costs about a thousandth of a second
_KEPT = 10_000  # recorded trials that are remembered where nobody learns from them
_MOST_WARNINGS = 100  # different ones that are remembered


class Equals(Protocol):
    """Evaluations that an equal configuration need not have again."""

    def find(self, key: str) -> "tuple[Evaluation, str] | None":
        """The evaluation of a configuration, and the trial, as ``run#number``, that had it; None where there is none.

        Args:
            key: of the configuration.
        """

    def add(self, key: str, trial: str, evaluation: Evaluation) -> None:
        """Take note of a trial that was recorded."""


@dataclass(frozen=True)
class Folds:
    """How many folds each trial has, and what they are together.

    Attributes:
        n: how many.
        combine: the results of the folds that count, in order, and where a pruner ended the trial or None
            -> its evaluation.
    """

    n: int
    combine: Callable[[Sequence[FoldResult], str | None], Evaluation]


class RunLoop:
    """One run, from its stored trials to its end. Whoever drives it submits its units and gives it their results.

    It knows neither the study nor the database: what it is given proposes, combines folds, finds equals and records.

    Args:
        name: of the run.
        so_far: what is stored of it.
        proposals: where its trials come from; the first ``n_told`` stored ones have been told.
        recorder: keeps what becomes of its trials.
        folds: of each trial.
        options: when it ends, and what a trial may take.
        budget: how many trials it is to have in all; None is until the proposals are exhausted.
        lag: N of a run whose proposals or pruner depend on results: trial n is proposed when exactly the trials 0 to
            n - N are told, in order. None where nothing depends on them, and any number may be begun ahead.
        pruning: of the trials told, to which it adds; or None.
        equals: evaluations not to be repeated; None trains every trial.
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
        name: RunName,
        so_far: RunSoFar,
        proposals: Proposals,
        recorder: Recorder,
        folds: Folds,
        options: RunOptions,
        *,
        budget: int | None,
        lag: int | None = None,
        pruning: Pruning | None = None,
        equals: Equals | None = None,
        stop: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.name, self._proposals, self._recorder, self._folds = name, proposals, recorder, folds
        self._options, self._budget, self._lag, self._pruning = options, budget, lag, pruning
        self._equals, self._stop = equals, stop
        self.n_ahead = self.folds_at_once = 1
        stored = so_far.trials
        self._has_all = so_far.is_whole
        self._recorded = deque(stored if self._has_all else ())
        complete = (trial.value for trial in stored if trial.state == TrialState.COMPLETE and trial.value is not None)
        self.best = max(complete, default=None)
        self.failures = Counter(map(_error, (trial for trial in stored if trial.state == TrialState.FAIL)))
        self._told = Told(options)
        self._attributes, self._curves, self._held = so_far.attributes, dict(so_far.curves), dict(so_far.held)
        self._sampler_state = dict(so_far.sampler_state)
        n_told = so_far.n_told(lag)
        for trial in stored[:n_told]:
            self._add_told(trial)
        self._under_way = {trial.number: UnderWay(trial.number, stored=trial) for trial in stored[n_told:]}
        self._equal: dict[str, deque[UnderWay]] = {}  # key -> those under way, in order
        self._n_proposed = self.n_recorded = len(stored)
        self._ended: str | None = None
        self.reason: str | None = None
        self.n_new = self.n_reused = 0
        self.seconds = 0.0
        self._n_results = 0
        self.warnings: Counter[str] = Counter()
        self._callbacks = Callbacks(options.callbacks, str(name), stored)

    @property
    def width(self) -> int:
        """How many trials may be under way."""
        return self.n_ahead if self._lag is None else self._lag

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
            head = next(iter(self._under_way.values()), None)
            if head is None or not head.is_finished:
                break
            del self._under_way[head.number]
            self._tell(head, progress)
        units: list[Unit] = []
        if self._ended not in UNFINISHED:
            for trial in self._under_way.values():
                is_asked = len(trial.asked) + len(trial.results) >= self._folds.n  # as most are, beside many workers
                if not is_asked and not trial.is_finished and not self._waits_for_an_equal(trial):
                    units += self._units(trial, unit_seconds)
        elif not any(trial.asked for trial in self._under_way.values()):
            for trial in self._under_way.values():
                self._hold(trial, trial.results, worth=0.0)
            self._forget()
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
                new[min(set(range(self._folds.n)) - known)] = FoldResult(error=error)
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
            if self._lag is None:
                self._ended = reason
                self._forget()  # begun ahead of their time: the run ends before them
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
            trial.deaths = held.pop(DEATHS, {}).get("deaths", 0)
            trial.results = {fold: FoldResult.from_json(result) for fold, result in held.items()}
            trial.was_held = True
            self._settle(trial)
        if self._equals is not None:
            self._equal.setdefault(proposal.key, deque()).append(trial)
            self._take_over(trial, self._equals)

    def _take_over(self, trial: UnderWay, equals: Equals) -> None:
        """Give a trial of which nothing is known the evaluation of an equal configuration, where there is one."""
        if not trial.is_idle:
            return
        found = equals.find(trial.key or "")
        if found is not None:
            trial.evaluation, trial.origin = found

    def _waits_for_an_equal(self, trial: UnderWay) -> bool:
        """Whether an earlier trial under way is the same, so that it need not be trained twice."""
        equal = self._equal.get(trial.key or "")
        return equal is not None and equal[0] is not trial

    def _pass_on(self, key: str, equals: Equals) -> None:
        """Let the next of equal trials have the evaluation of the one that was told, or its turn."""
        equal = self._equal[key]
        equal.popleft()
        if equal:
            self._take_over(equal[0], equals)
        else:
            del self._equal[key]

    def _forget(self) -> None:
        self._under_way.clear()
        self._equal.clear()

    def _units(self, trial: UnderWay, unit_seconds: float) -> list[Unit]:
        assert trial.proposal is not None  # a stored one is finished
        folds = [fold for fold in range(self._folds.n) if fold not in trial.results and fold not in trial.asked]
        fold_seconds = self.seconds / self._n_results if self._n_results else unit_seconds
        size = max(1, min(math.ceil(unit_seconds / max(fold_seconds, 1e-9)), self._folds.n))
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
        evaluation = trial.combined(self._folds.n, self._folds.combine, self._pruning)
        if evaluation is None:
            return
        trial.evaluation = evaluation.within(self._options.trial_timeout)

    def _hold(
        self, trial: UnderWay, results: Mapping[int, FoldResult], *, died: bool = False, worth: float = _WORTH_HOLDING
    ) -> None:
        """Store what is known of a trial that cannot be recorded yet, where it was dear."""
        if trial.proposal is None or trial.origin is not None:
            return
        dear = {fold: result for fold, result in results.items() if result.seconds >= worth}
        if dear or died:
            self._recorder.hold(trial.number, trial.proposal.key, dear, trial.deaths if died else None)
            trial.was_held = True

    def known(self) -> KnownRun:
        """All that is known of it, for a new file where that of the database is lost."""
        held = {key: {fold: dict(result) for fold, result in results.items()} for key, results in self._held.items()}
        for trial in self._under_way.values():
            if trial.proposal is not None and trial.origin is None and trial.number >= self.n_recorded:
                results = {fold: dataclasses.asdict(result) for fold, result in trial.results.items()}
                held[trial.number, trial.proposal.key] = results | deaths_held(trial.deaths)
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
        self._recorder.record(record)
        self._add_told(record.trial)
        self._callbacks.told(record.trial)
        if self._equals is not None:
            self._equals.add(proposal.key, f"{self.name}#{trial.number}", evaluation)
            self._pass_on(proposal.key, self._equals)
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
