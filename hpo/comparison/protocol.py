"""How a comparison comes about: which runs it needs, running what is missing, and reading them back."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from hpo.catalogue import find_study
from hpo.comparison.result import Comparison, Plan
from hpo.cores import cores
from hpo.database import StudyDatabase
from hpo.definition import StudyDefinition
from hpo.driver import Driver, Job, check_scheduler, started
from hpo.errors import NotComparable
from hpo.interrupts import finishing_first
from hpo.limits import RunOptions, check_workers
from hpo.progress import Progress
from hpo.run_name import RunName
from hpo.samplers import Factory, Sampler
from hpo.session import StudySession
from hpo.units import counted, format_duration

DEFAULT_SAMPLERS = ("grid", "random", "tpe")


def compare(
    study: "StudyDefinition | str | Path",
    *,
    samplers: Sequence["str | Factory | Sampler"] = DEFAULT_SAMPLERS,
    repetitions: int = 20,
    trials: int = 50,
    baseline: str = "random",
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    workers: int | str | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    runs_missing: bool = True,
    new_version: bool = False,
    progress: str = "auto",
) -> Comparison:
    """Compare samplers on one study: run what is missing, repetition by repetition, and read the database.

    Args:
        study: a definition, the name of a study, or the path of a script.
        samplers: names or factories, two or more.
        repetitions: how often; repetition r uses split r and seed r.
        trials: budget of each run.
        baseline: the sampler that the others are compared with.
        database: as for :func:`hpo.run`.
        workers: how many evaluations to run at a time, or the address of a Dask scheduler; None is all cores.
            It changes how long the comparison takes, and nothing else.
        timeout: seconds after which no further trial begins; complete repetitions are compared.
        trial_timeout, trial_memory: as for :func:`hpo.run`.
        runs_missing: False only reads; the database must then have every run.
        new_version: where the definition has changed, begin a new version of the study.
        progress: ``auto``, ``bar``, ``lines`` or ``none``.

    Raises:
        HpoError: bad input, before the first fit.
        NotComparable: no repetition is complete for every sampler, or a run was made with a lag.
    """
    workers = cores() if workers is None else check_workers(workers)
    options = RunOptions(trials, timeout, trial_timeout=trial_timeout, trial_memory=trial_memory)
    definition = find_study(study)
    plan = Plan.of(samplers, repetitions=repetitions, trials=trials, baseline=baseline)
    for sampler in plan.samplers:
        sampler.check(definition.space)
    check_scheduler(workers)
    session = StudySession(definition, database, new_version=new_version)
    _refuse_lags(session, plan)
    if runs_missing:
        _run_missing(session, plan, workers, options, progress)
    return read_comparison(session, plan)


def read_comparison(session: StudySession, plan: Plan) -> Comparison:
    """The comparison of the complete repetitions in the database.

    Raises:
        NotComparable: there is none; what is missing is named.
    """
    missing = list(_missing(session, plan))
    incomplete = {name.seed for name in missing}
    complete = [r for _, r in plan.numbers(session.definition) if r not in incomplete]
    if not complete:
        raise NotComparable(
            f"no repetition is complete: {len(missing)} runs are missing or unfinished, such as {missing[0]}"
        )
    study = session.name("", 0, 0).versioned_study
    trials = session.database.trials(study=study)
    trials = trials[trials["seed"].isin(complete) | (trials["sampler"] == "reference")]
    return Comparison(session.definition, study, plan, trials)


def _names(session: StudySession, plan: Plan) -> list[RunName]:
    """Names of the plan's runs, repetition by repetition."""
    return [
        session.name(sampler.label, split, seed)
        for split, seed in plan.numbers(session.definition)
        for sampler in plan.samplers
    ]


def _missing(session: StudySession, plan: Plan) -> dict[RunName, int]:
    """The runs that are not done up to the plan's budget, and how many trials each lacks."""
    runs = session.database.runs()
    told = dict(zip(runs["run"], runs["complete"] + runs["failed"] + runs["pruned"], strict=True))
    exhausted = set(runs.loc[runs["state"] == "done (exhausted)", "run"])
    lacking = {name: plan.trials - told.get(str(name), 0) for name in _names(session, plan)}
    return {name: n for name, n in lacking.items() if n > 0 and str(name) not in exhausted}


def _refuse_lags(session: StudySession, plan: Plan) -> None:
    """Runs whose trials were proposed while others were under way are another sampler than runs without."""
    lags = session.database.lags()
    for name in _names(session, plan):
        if lags.get(str(name), 1) > 1:
            raise NotComparable(
                f"{name} was proposed with the lag {lags[str(name)]}, as hpo run --workers does, and the others of a "
                f"comparison are not: hpo delete '{name}', or compare in another database"
            )


def _run_missing(session: StudySession, plan: Plan, workers: int | str, options: RunOptions, progress: str) -> None:
    """Drive the runs that are missing, repetition by repetition, several at a time."""
    missing = _missing(session, plan)
    samplers = {sampler.label: sampler for sampler in plan.samplers}
    with Progress(progress, session.definition.shown_metric, len(missing) * plan.trials) as shown:
        if not missing:
            shown.note(f"{session.definition.name}: every run is there, 0 fits to go")
            return
        names = set(map(str, _names(session, plan)))
        with started(session, names, workers, options, 1, shown) as engine, finishing_first() as interrupts:
            driver = Driver(session, engine, options, interrupts, shown)
            driver.evaluate_reference(next(iter(missing)).split)
            shown.note(_announcement(session, plan, missing, engine.n_workers))
            jobs = [Job(name, samplers[name.sampler], rank=name.seed) for name in missing]
            for split, rank in {name.split: name.seed for name in reversed(missing)}.items():
                if session.reference(split) is None:
                    jobs.append(driver.reference_job(split, rank))
            for loop in driver.drive(jobs):
                if loop.failures and loop.best is None and loop.name.sampler in samplers:  # a result like any other
                    error = loop.failures.most_common(1)[0][0]
                    shown.note(f"every trial of {loop.name} failed, such as with: {error}")
    if interrupts.requested:
        raise KeyboardInterrupt


def _announcement(session: StudySession, plan: Plan, missing: Mapping[RunName, int], n_workers: int) -> str:
    """How many fits, and about how long, judged by the reference's time on one split."""
    split = next(iter(missing)).split
    n_trials, n_folds, seconds = sum(missing.values()), session.n_folds(split), session.reference_seconds(split)
    n_references = len({name.split for name in missing})
    return (
        f"{session.definition.name}: {', '.join(s.label for s in plan.samplers)}; "
        f"{counted(plan.repetitions, 'repetition')} x {counted(plan.trials, 'trial')} x {counted(n_folds, 'fold')}: "
        f"{n_trials * n_folds} fits to go"
        + (f", about {format_duration((n_trials + n_references) * seconds / n_workers)}" if seconds is not None else "")
        + (f" with {n_workers} workers" if n_workers > 1 else "")
    )
