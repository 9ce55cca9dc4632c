"""How a comparison comes about: which runs it needs, running what is missing, and reading them back."""

import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from hpo.catalogue import find_study
from hpo.comparison.result import Comparison, Plan
from hpo.database import StudyDatabase
from hpo.definition import StudyDefinition
from hpo.errors import NotComparable, RunFailed
from hpo.limits import RunOptions
from hpo.progress import Progress
from hpo.run_name import RunName
from hpo.runner import drive
from hpo.samplers import Factory, Sampler
from hpo.session import StudySession
from hpo.units import format_duration

DEFAULT_SAMPLERS = ("grid", "random", "tpe")


def compare(
    study: "StudyDefinition | str | Path",
    *,
    samplers: Sequence["str | Factory | Sampler"] = DEFAULT_SAMPLERS,
    repetitions: int = 20,
    trials: int = 50,
    baseline: str = "random",
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    timeout: float | None = None,
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
        timeout: seconds after which no further trial begins; complete repetitions are compared.
        runs_missing: False only reads; the database must then have every run.
        new_version: where the definition has changed, begin a new version of the study.
        progress: ``auto``, ``bar``, ``lines`` or ``none``.

    Raises:
        HpoError: bad input, before the first fit.
        NotComparable: no repetition is complete for every sampler.
    """
    definition = find_study(study)
    plan = Plan.of(samplers, repetitions=repetitions, trials=trials, baseline=baseline)
    for sampler in plan.samplers:
        sampler.check(definition.space)
    session = StudySession(definition, database, new_version=new_version)
    if runs_missing:
        _run_missing(session, plan, timeout, progress)
    return read_comparison(session, plan)


def read_comparison(session: StudySession, plan: Plan) -> Comparison:
    """The comparison of the complete repetitions in the database.

    Raises:
        NotComparable: there is none; what is missing is named.
    """
    incomplete = {name.seed for name in _missing(session, plan)}
    complete = [r for _, r in plan.numbers(session.definition) if r not in incomplete]
    if not complete:
        names = _missing(session, plan)
        raise NotComparable(
            f"no repetition is complete: {len(names)} runs are missing or unfinished, such as {names[0]}"
        )
    study = session.name("", 0, 0).versioned_study
    trials = session.database.trials(study=study)
    trials = trials[trials["seed"].isin(complete) | (trials["sampler"] == "reference")]
    return Comparison(session.definition, study, plan, trials)


def _missing(session: StudySession, plan: Plan) -> list[RunName]:
    """Names of the runs that are not done up to the plan's budget."""
    runs = session.database.runs()
    told = dict(zip(runs["run"], runs["complete"] + runs["failed"] + runs["pruned"], strict=True))
    exhausted = set(runs.loc[runs["state"] == "done (exhausted)", "run"])
    names = [
        session.name(sampler.label, split, seed)
        for split, seed in plan.numbers(session.definition)
        for sampler in plan.samplers
    ]
    return [name for name in names if told.get(str(name), 0) < plan.trials and str(name) not in exhausted]


def _run_missing(session: StudySession, plan: Plan, timeout: float | None, progress: str) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    options = RunOptions(trials=plan.trials)
    with Progress(progress, session.definition.shown_metric, len(_missing(session, plan)) * plan.trials) as shown:
        _announce(session, plan, shown)
        for split, seed in plan.numbers(session.definition):
            missing = {name.sampler for name in _missing(session, plan) if name.seed == seed}
            for sampler in plan.samplers:
                if sampler.label not in missing:
                    continue
                if deadline is not None:
                    options = RunOptions(trials=plan.trials, timeout=max(deadline - time.monotonic(), 1e-9))
                try:
                    drive(session, sampler, seed=seed, split=split, options=options, progress=shown)
                except RunFailed as error:  # a result like any other: the worst
                    shown.note(str(error))


def _announce(session: StudySession, plan: Plan, progress: Progress) -> None:
    """How many fits, and about how long, judged by the reference's time on the first split."""
    runs = session.database.runs()
    told = dict(zip(runs["run"], runs["complete"] + runs["failed"] + runs["pruned"], strict=True))
    n_trials = sum(plan.trials - min(told.get(str(name), 0), plan.trials) for name in _missing(session, plan))
    reference = session.reference(plan.numbers(session.definition)[0][0])
    n_folds = len(session.problem(plan.numbers(session.definition)[0][0]).partition.folds)
    seconds = reference.user_attrs["fit_seconds"] + reference.user_attrs["score_seconds"]
    splits = len({split for split, _ in plan.numbers(session.definition)})
    progress.note(
        f"{session.definition.name}: {', '.join(s.label for s in plan.samplers)}; {plan.repetitions} repetitions x "
        f"{plan.trials} trials x {n_folds} folds: {n_trials * n_folds} fits to go"
        + (f", about {format_duration((n_trials + splits) * seconds)}" if n_trials else "")
    )
