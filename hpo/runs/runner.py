"""Runs: from a request to its end."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import InvalidOption, RunFailed, UnknownRun
from hpo.evaluation.engine import InProcess
from hpo.process.cores import LONGEST, ThreadChoice, Timed, choose_threads, share_of_cores
from hpo.process.interrupts import finishing_first
from hpo.runs.driver import Driver, Job, check_scheduler, started
from hpo.runs.optuna_studies import Callback, check_callbacks
from hpo.runs.origin import find_in
from hpo.runs.progress import Progress
from hpo.runs.run import Run
from hpo.runs.session import StudySession
from hpo.runs.stopping import MOST_WORKERS, Outcome, RunOptions, check_numbers, check_whole, check_workers
from hpo.runs.terminator import check_terminator
from hpo.samplers.pruning import check_suitable
from hpo.samplers.table import Factory, Sampler, find_sampler
from hpo.study.definition import StudyDefinition
from hpo.study.metrics import loss_doubt
from hpo.units import counted, format_duration

_ONE_THREAD = "one_thread"  # attribute of a reference: whether fits on its split use one thread


def run(
    study: "StudyDefinition | str | Path",
    *,
    sampler: "str | Factory | Sampler | BaseSampler" = "tpe",
    pruner: "str | BasePruner | None" = None,
    seed: int = 0,
    split: int = 0,
    trials: int | None = None,
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    workers: int | str = 1,
    threads: int | None = None,
    timeout: float | None = None,
    target: float | None = None,
    patience: int | None = None,
    walltime: float | None = None,
    terminator: bool = False,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    lag: int | None = None,
    retry_failed: bool = False,
    reuse: bool = True,
    new_version: bool = False,
    trust_database: bool = False,
    progress: str = "auto",
    callbacks: "Sequence[Callback] | None" = None,
) -> Run:
    """Run one study with one sampler up to a budget, or resume it.

    Args:
        study: a definition, the name of a study, or the path of a script.
        sampler: name, name with options as in ``"tpe(n_startup_trials=20)"``, factory seed -> optuna sampler, or a
            sampler of Optuna's, which is copied for each trial and seeded anew.
        pruner: ends hopeless trials early: ``"racing"`` over folds; ``"median"``, ``"percentile"``, ``"halving"`` or
            ``"hyperband"`` over training. The same as a sampler with a plus sign, ``"tpe+racing"``.
        seed, split: whole numbers from 0; the split decides which rows train and which validate.
        trials: total number of trials the run is to have; None is the whole grid, or 50.
        database: a :class:`StudyDatabase`, a URL, a path, ``":memory:"``, or None for the default.
        workers: how many evaluations to run at a time, or the address of a Dask scheduler (``dask://host:8786``).
        threads: that BLAS and OpenMP may use in each evaluation. It belongs to the run from its beginning, as sums
            may differ in their last digit with it. None is the share of the cores that a worker has; but for one worker
            without limits, where the reference is short and uses several threads, it is evaluated once more with one:
            one is taken where it is faster and gives the same scores, and also where the scores differ, so that the
            clock does not decide what is stored.
        timeout: seconds after which no further trial begins.
        target, patience: end the run at this value (the scorer's sign), or after so many trials without a better one.
        walltime: end the run when its trials have taken so many seconds in all, over every resumption: a budget in
            seconds instead of trials, where ``timeout`` limits this call alone.
        terminator: end the run, from 20 trials on, once a Gaussian process sees less left to gain than the standard
            error of the incumbent's folds (:func:`hpo.runs.terminator.is_within_noise`); needs torch.
        trial_timeout: seconds that the folds of a trial may take together; then it is killed, and fails.
        trial_memory: MB (2**20 bytes) that the process of a trial may take; beyond it the trial fails.
        lag: how many trials may be under way when the next is proposed; None is what the run has had from its
            beginning, or else the number of workers. It changes the trials of samplers that learn from results.
        retry_failed: propose failed cells of the grid again.
        reuse: do not train a configuration again that was evaluated in the same context.
        new_version: where the definition has changed, begin a new version of the study.
        trust_database: let a sampler of your own read text that it stored in the database, which may be pickles:
            whoever can write to the database can then run code here. Those of the table read none.
        progress: ``auto``, ``bar``, ``lines`` or ``none``. What is no bar goes through the logger ``hpo``.
        callbacks: functions ``(study, trial)``, called after each record; the study is a copy in memory. With
            ``study.stop()`` the run ends.

    Returns:
        The run, whose ``best``, ``trials`` and ``best_estimator()`` read the database; ``outcome`` says how it ended.

    Raises:
        HpoError: bad input (nothing was stored), or :class:`hpo.RunFailed` when every trial failed.
        KeyboardInterrupt: after one Ctrl-C or SIGTERM once what is under way is recorded, after two at once.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> len(run.trials)
        3
        >>> sorted(run.best_params)
        ['ccp_alpha', 'criterion', 'max_depth', 'min_samples_leaf']
    """
    options = RunOptions(
        trials, timeout, target, patience, retry_failed, reuse, trial_timeout, trial_memory, lag, walltime, terminator,
        trust_database, check_callbacks(callbacks),
    )  # fmt: skip
    workers = check_workers(workers)
    if threads is not None:
        threads = check_whole("threads", threads, most=MOST_WORKERS)
    chosen = find_sampler(sampler) if pruner is None else find_sampler(sampler).with_pruner(pruner)
    definition = find_in(study, database)
    check_suitable(chosen, definition)
    if terminator:
        check_terminator(definition)
    check_numbers(seed=seed, split=split)
    seed, split = int(seed), int(split)  # NumPy's too
    check_scheduler(workers)
    begun = time.monotonic()
    session = StudySession(definition, database, new_version=new_version)
    unchecked = session.check_stored([split], sampler=chosen.label, seed=seed)
    name = session.name(chosen.label, split, seed)
    with contextlib.suppress(UnknownRun), session.database.locked(session.database.run_key(str(name))):
        pass  # who records it now has the reference too: not to be waited for
    stored = session.database.run_attributes(str(name)).get("threads")
    if threads is not None and stored not in {None, threads}:
        raise InvalidOption(f"threads={threads}: {name} has {stored} and keeps them; leave the option out")
    known = stored or threads
    used = known or share_of_cores(workers)
    with (
        Progress(progress, definition.shown_metric) as shown,
        started(session, {str(name)}, workers, options, used, shown) as engine,
        finishing_first() as interrupts,
    ):
        shown.note(unchecked)
        driver = Driver(session, engine, options, interrupts, shown)
        had_reference = session.reference(split) is not None
        timed = Timed.of(lambda: driver.evaluate_reference(split, used))
        if known is None and isinstance(engine, InProcess) and driver.stop() is None:
            if _is_one_enough(session, split, used, None if had_reference else timed, shown):
                used = 1
            engine.use(used)
        job = Job(name, chosen, lag=options.lag or engine.n_workers, threads=used)
        shown.note(_announcement(session, chosen, name, options))
        loop = driver.drive_one(job)
        usual = session.reference(split)
        shown.note(loss_doubt(definition.metric, loop.best, None if usual is None else usual.value))
    if interrupts.requested:
        raise KeyboardInterrupt
    if loop.n_recorded and loop.best is None:
        error, count = loop.failures.most_common(1)[0]
        if loop.n_recorded == 1:
            raise RunFailed(f"the only trial of {name} failed: {error}")
        among = "" if count == loop.n_recorded else f", {count} of them with"
        raise RunFailed(f"all {loop.n_recorded} trials of {name} failed{among}: {error}")
    assert loop.reason is not None  # it has ended
    seconds = time.monotonic() - begun
    outcome = Outcome(name, loop.reason, loop.n_new, loop.n_reused, dict(loop.warnings), seconds)
    return Run(name, session.database, definition, outcome)


def _is_one_enough(session: StudySession, split: int, most: int, reference: Timed | None, progress: Progress) -> bool:
    """Whether fits are to use one thread instead of all; measured once for each split, and kept with its reference.

    Args:
        session, split: whose reference is evaluated once more.
        most: threads there are.
        reference: what its evaluation took, if this call has just evaluated it.
        progress: is told what was chosen.
    """
    name = str(session.name("reference", split, 0))
    stored = session.reference(split)
    kept = session.database.run_attributes(name).get(_ONE_THREAD)
    if isinstance(kept, bool):
        return kept
    if stored is None or stored.state != TrialState.COMPLETE or (session.reference_seconds(split) or 0.0) > LONGEST:
        return False

    def evaluate(threads: int) -> tuple[float | str, ...]:
        return session.reference_scores(split, threads)

    scores = tuple(score for _, score in sorted(stored.intermediate_values.items()))
    known = Timed.of(lambda: evaluate(most)) if reference is None else replace(reference, found=scores)
    choice = choose_threads(evaluate, most, known)
    is_one = choice is not None and choice.threads == 1
    session.database.set_attributes(session.database.run_key(name), {_ONE_THREAD: is_one})
    if choice is not None and is_one:
        progress.note(_thread_note(choice, session.n_folds(split)))
    return is_one


def _thread_note(choice: ThreadChoice, n_fits: int) -> str:
    """Why fits use one thread, in the seconds of one of so many fits."""
    one, most = (format_duration(seconds / n_fits) for seconds in (choice.seconds_of_one, choice.seconds))
    if not choice.depends:
        return f"fits use 1 thread: {one} instead of {most}"
    return (
        f"fits use 1 thread ({one}, and {most} with {choice.most}), because their scores depend on the number of "
        "threads in the last digits; --threads chooses another"
    )


def _announcement(session: StudySession, sampler: Sampler, name: RunName, options: RunOptions) -> str | None:
    """What is worth knowing before the first fit: the grid's size and time, or that the budget is too small."""
    if sampler.is_grid:
        size = session.definition.space.grid_size
        budget = size if options.trials is None else min(options.trials, size)
        n_left = max(budget - session.database.n_trials(str(name)), 0)
        cells = counted(size, "cell")
        which = f"{budget} of {cells}, in a seeded random order" if budget < size else cells
        seconds = n_left * (session.reference_seconds(name.split) or 0.0)
        more = ", and failed ones again" if options.retry_failed else ""
        return f"{name}: grid, {which}; {n_left} to evaluate{more}, about {format_duration(seconds)}"
    if options.trials is not None and options.trials < sampler.kind.fewest_trials:
        return f"{name}: {sampler.label} is not better than random search below {sampler.kind.fewest_trials} trials"
    return None
