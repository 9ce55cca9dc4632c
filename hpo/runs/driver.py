"""The one loop: propose, evaluate, record; over one run, or over many at a time."""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from hpo.database.records import RunKey
from hpo.database.rescue import kept_aside
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import DatabaseLost, RunInUse, UnknownRun
from hpo.evaluation.engine import Engine, InProcess
from hpo.process.cores import cores
from hpo.process.generators import kept
from hpo.process.interrupts import Interrupts
from hpo.runs.loop import RunLoop
from hpo.runs.progress import Progress
from hpo.runs.session import StudySession
from hpo.runs.stopping import DEFAULT_TRIALS, UNFINISHED, RunOptions
from hpo.runs.study_run import loop_of_study
from hpo.samplers.table import Sampler
from hpo.study.definition import StudyDefinition
from hpo.study.hyperparameters import Configuration
from hpo.study.metrics import direction_doubt

_UNIT_SECONDS = 0.25  # a unit should take, so that sending it costs little
_SHORT_UNIT_SECONDS = 0.03  # where workers would be idle otherwise
_SECONDS_BETWEEN_TRIES = 1.0  # of a run that another process records


def check_scheduler(workers: int | str) -> None:
    """Raise InvalidOption where the workers are those of a scheduler that does not answer, before anything is made."""
    if isinstance(workers, str):
        from hpo.evaluation.dask_engine import refuse_silence

        refuse_silence(workers)


@contextlib.contextmanager
def started(
    session: StudySession, runs: set[str], workers: int | str, options: RunOptions, threads: int, progress: Progress
) -> Iterator[Engine]:
    """An engine for runs of a study, closed at the end.

    One worker without limits evaluates in this process; but not after a coordinator has died without a word, which
    may have been the doing of a configuration that kills whatever evaluates it.
    """
    progress.note(direction_doubt(session.definition.metric))
    is_alone = workers == 1 and not options.has_limits
    left = _left_behind(session.database, runs) if is_alone else set()
    if is_alone and not left:
        with contextlib.closing(InProcess(session.problem, None if threads >= cores() else threads)) as alone:
            yield alone
        return
    from hpo.evaluation.dask_engine import Workers  # takes half a second, which one worker need not wait for

    if left:
        progress.note(f"{min(left)}: who recorded it last ended abruptly; fits now run in a process of their own")
    with kept(), contextlib.closing(session.publish()) as publication:  # Dask draws from Python's generator
        memory_mb = options.trial_memory
        with contextlib.closing(
            Workers(workers, publication, memory_mb=memory_mb, threads=threads, note=progress.note)
        ) as engine:
            progress.note(_own_jobs(session.definition, engine.n_workers))
            yield engine


def _left_behind(database: StudyDatabase, runs: Iterable[str]) -> set[str]:
    """Those of the runs that nobody records, and that a process which died was recording."""
    left = set()
    for run in database.held_runs().intersection(runs):
        with contextlib.suppress(UnknownRun, RunInUse), database.locked(database.run_key(run)):
            if database.run_attributes(run).get("holder") is not None:  # it may have ended meanwhile
                left.add(run)
    return left


def _own_jobs(definition: StudyDefinition, n_workers: int) -> str | None:
    """A warning where the estimator wants to use several cores by itself, beside several workers."""
    estimator = definition.build(definition.reference_used())
    names = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    own = [n for n, value in names.items() if n.split("__")[-1] == "n_jobs" and value not in {None, 1}]
    if n_workers == 1 or not own:
        return None
    return (
        f"{definition.name}: the estimator sets {own[0]}={names[own[0]]} beside {n_workers} workers, of which each has "
        "its share of the cores: leave it out, or use fewer workers"
    )


@dataclass(frozen=True)
class Job:
    """A run that is to be driven to its end.

    Attributes:
        name: of the run.
        sampler: None for the reference, and for a run that is made by hand.
        lag, threads: of the run, if it is new.
        rank: jobs of a lower rank begin first.
        by_hand: the next trial of a run that is made by hand.
        trials: budget, where it is another than that of the options.
    """

    name: RunName
    sampler: Sampler | None
    lag: int = 1
    threads: int = 1
    rank: int = 0
    by_hand: Configuration | None = None
    trials: int | None = None


class Driver:
    """Drives runs of one study, several at a time, with one engine.

    Args:
        session, engine: the study, and where evaluations run.
        options: of every run.
        interrupts: whether the user wants an end.
        progress: is told what happens.
    """

    def __init__(
        self, session: StudySession, engine: Engine, options: RunOptions, interrupts: Interrupts, progress: Progress
    ) -> None:
        self._session, self._engine, self._options = session, engine, options
        self._interrupts, self._progress = interrupts, progress
        self._deadline = math.inf if options.timeout is None else time.monotonic() + options.timeout
        self._not_before: dict[RunName, float] = {}  # when to try runs again that others record
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)  # label -> what its runs took
        self._references: dict[int, float | None] = {}  # split -> its value, where it was evaluated

    def stop(self) -> str | None:
        """Why nothing more is to be proposed, or None."""
        if self._interrupts.requested:
            return "interrupted"
        return "timeout" if time.monotonic() >= self._deadline else None

    def evaluate_reference(self, split: int, threads: int = 1) -> None:
        """See to it that the reference of a split is in the database."""
        if self._session.reference(split) is None:
            list(self.drive([replace(self.reference_job(split), threads=threads)]))

    def reference_job(self, split: int, rank: int = 0) -> Job:
        """The job that evaluates the reference of a split."""
        return Job(self._session.name("reference", split, 0), None, rank=rank)

    def drive_one(self, job: Job) -> RunLoop:
        """Drive one run to its end, or until the user or the time stops it.

        Raises:
            RunInUse: another process records it.
        """
        active: dict[str, _Active] = {}
        with self._keeping(active):
            active[str(job.name)] = self._open(job)  # whatever the time: a run that is stopped at once has ended too
        (loop,) = self._drive([], active)
        return loop

    def drive(self, jobs: Iterable[Job]) -> Iterator[RunLoop]:
        """Drive many runs, as many at a time as keep the workers busy; yields each that has ended.

        Runs begin by rank, among equals those that are expected to take longest first. What another process
        records is left for later, and at last waited for.
        """
        return self._drive(list(jobs), {})

    @contextlib.contextmanager
    def _keeping(self, active: "dict[str, _Active]") -> Iterator[None]:
        """Keep what is known of the runs under way where the database's file is lost."""
        try:
            yield
        except DatabaseLost as lost:
            known = [entry.loop.known() for entry in active.values()]
            raise kept_aside(self._session.database, known, lost) from lost

    def _drive(self, waiting: list[Job], active: "dict[str, _Active]") -> Iterator[RunLoop]:
        with self._keeping(active):
            yield from self._drive_all(waiting, active)

    def _drive_all(self, waiting: list[Job], active: "dict[str, _Active]") -> Iterator[RunLoop]:
        try:
            while self.stop() is None or active:
                self._begin(waiting, active)
                ended = self._advance(active, waiting)
                if self.stop() is not None:
                    self._give_back(active)
                    ended += self._advance(active, waiting)
                yield from ended
                if not active and not waiting:
                    return
                if active and not ended:
                    self._receive(active)
        finally:
            for entry in active.values():
                entry.lock.close()

    def _begin(self, waiting: list[Job], active: "dict[str, _Active]") -> None:
        # One more than workers: while one of them is told and proposes, no worker is idle.
        n_active = self._engine.n_workers + 1 if self._engine.n_workers > 1 else 1
        while waiting and len(active) < n_active and self.stop() is None:
            now = time.monotonic()
            free = [job for job in waiting if self._not_before.get(job.name, now) <= now]
            if not free:
                if not active:
                    time.sleep(_SECONDS_BETWEEN_TRIES / 4)
                return
            job = min(free, key=lambda job: (job.rank, -self._expected_seconds(job)))
            try:
                active[str(job.name)] = self._open(job)
                waiting.remove(job)
            except RunInUse as error:
                if not self._not_before:
                    what = "the others first" if len(waiting) > 1 else "waiting for it to end"
                    self._progress.note(f"{str(error).rpartition(':')[0]}; {what}")
                self._not_before[job.name] = now + _SECONDS_BETWEEN_TRIES

    def _expected_seconds(self, job: Job) -> float:
        """How long its sampler's runs have taken so far; the reference comes first."""
        if job.sampler is None:
            return math.inf
        seconds = self._seconds[job.sampler.label]
        return sum(seconds) / len(seconds) if seconds else 0.0

    def _open(self, job: Job) -> "_Active":
        options, sampler = self._options, job.sampler
        if job.trials is not None:
            options = replace(options, trials=job.trials)
        budget = 1 if sampler is None else options.trials or default_budget(self._session.definition, sampler)
        if job.by_hand is not None:
            budget = self._session.database.n_trials(str(job.name)) + 1
        key = self._session.open_run(
            job.name,
            budget,
            fixed={"hash_sampler": sampler.hash} if sampler is not None and sampler.hash else {},
            initial={"threads": job.threads, **({"lag": job.lag} if sampler and sampler.is_adaptive else {})},
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._session.database.holding(key))
            loop = loop_of_study(self._session, job.name, key, sampler, options, by_hand=job.by_hand, stop=self.stop)
            if sampler is not None:
                reference = self._reference(job.name.split)
                self._progress.begin_run(
                    job.name,
                    n_done=loop.n_recorded,
                    n_failed=loop.failures.total(),
                    n_total=max(budget, loop.n_recorded),
                    best=loop.best,
                    reference=reference,
                )
            return _Active(loop, key, time.monotonic(), stack.pop_all())

    def _reference(self, split: int) -> float | None:
        """Value of the reference on a split, for who watches; read once for all runs of the split."""
        if split not in self._references:
            reference = self._session.reference(split)
            if reference is None:
                return None
            self._references[split] = reference.value
        return self._references[split]

    def _advance(self, active: "dict[str, _Active]", waiting: list[Job]) -> list[RunLoop]:
        """Let each run tell, record and propose what it can; returns those that have ended."""
        n_workers = self._engine.n_workers
        for entry in active.values():
            is_alone = n_workers > 1 and len(active) == 1 and not waiting
            entry.loop.n_ahead = 2 * n_workers if is_alone else 1
        width = sum(entry.loop.width for entry in active.values())
        for entry in active.values():
            entry.loop.folds_at_once = max(n_workers // max(width, 1), 1)
        unit_seconds = _UNIT_SECONDS if width > n_workers or waiting else _SHORT_UNIT_SECONDS
        ended = []
        for name, entry in list(active.items()):
            for unit in entry.loop.advance(unit_seconds, self._progress):
                self._engine.submit(unit)
            if entry.loop.reason is not None:
                self._engine.cancel(name)  # what was begun beyond its end
                self._seconds[entry.loop.name.sampler].append(time.monotonic() - entry.begun)
                if entry.loop.reason not in UNFINISHED:
                    self._progress.end_run(entry.loop.name)
                with entry.lock:
                    if entry.loop.reason not in {"budget", *UNFINISHED}:
                        self._session.database.set_attributes(entry.key, {"stopped": entry.loop.reason})
                    self._session.database.check_file()  # before anybody is told that it is kept
                del active[name]
                ended.append(entry.loop)
        return ended

    def _give_back(self, active: "dict[str, _Active]") -> None:
        """Take from the engine what no worker has begun, but for what belongs to a trial that was begun."""
        for unit in self._engine.give_back():
            if not active[unit.run].loop.take_back(unit):
                self._engine.submit(unit)

    def _receive(self, active: "dict[str, _Active]") -> None:
        """Wait for a result, and give it to its run."""
        result = self._engine.wait()
        entry = active.get(result.unit.run)
        if entry is not None and entry.loop.receive(result):
            self._engine.cancel(result.unit.run, result.unit.number)  # folds after one that failed


@dataclass(frozen=True)
class _Active:
    """A run that is being driven: since when, and its lock."""

    loop: RunLoop
    key: RunKey
    begun: float
    lock: contextlib.ExitStack


def default_budget(definition: StudyDefinition, sampler: Sampler) -> int:
    """Trials of a run whose budget is not given: the whole grid (and what starts outside it), or 50."""
    if not sampler.is_grid:
        return DEFAULT_TRIALS
    space = definition.space
    return space.grid_size + sum(not space.is_cell(configuration) for configuration in definition.start)
