"""How a comparison comes about: which runs it needs, running what is missing, and reading them back."""

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import pandas as pd

from hpo.comparison import measures
from hpo.comparison.looks import LOOKS, looks_of, note_look
from hpo.comparison.plan import RANDOM, Plan, in_words
from hpo.comparison.questions import bars
from hpo.comparison.result import Comparison
from hpo.comparison.statistics.pair_tests import fewest_looks
from hpo.comparison.worth import rows_by_place
from hpo.database.records import trials as trials_table
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import NotComparable, UnknownRun
from hpo.evaluation.engine import Engine
from hpo.process.cores import cores
from hpo.process.interrupts import finishing_first
from hpo.runs.driver import Driver, Job, check_scheduler, default_budget, started
from hpo.runs.origin import find_in, stored_origin, study_words
from hpo.runs.progress import Progress
from hpo.runs.progress_counts import Stages
from hpo.runs.sealed_rows import Finalist, score_on_test
from hpo.runs.session import StudySession
from hpo.runs.stopping import RunOptions, check_workers
from hpo.samplers.table import Factory, Sampler, find_sampler
from hpo.study.definition import StudyDefinition, versions
from hpo.units import counted, format_duration

DEFAULT_SAMPLERS = ("grid", "random", "tpe")


def compare(
    study: "StudyDefinition | str | Path",
    *,
    samplers: Sequence["str | Factory | Sampler"] = DEFAULT_SAMPLERS,
    repetitions: int = 20,
    trials: int = 50,
    baseline: str | None = "random",
    margin: float | None = None,
    resplit: bool = True,
    alpha: float = 0.05,
    open_test: bool = True,
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    workers: int | str | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    runs_missing: bool = True,
    new_version: bool = False,
    until_known: bool = False,
    pool: int = 1,
    trust_database: bool = False,
    progress: str = "auto",
) -> Comparison:
    """Compare samplers on one study: run what is missing, repetition by repetition, and read the database.

    Args:
        study: a definition, the name of a study, or the path of a script.
        samplers: names or factories, two or more.
        repetitions: how often; repetition r uses seed r, and split r or, without ``resplit``, split 0.
        trials: budget of each run.
        baseline: the sampler that the others are compared with; None compares all pairs.
        margin: the smallest difference that matters, in the metric's units; None is the definition's.
        resplit: whether each repetition has training and validation rows of its own, so that the verdict accounts for
            the randomness of the split. False claims for one split only.
        alpha: the probability of a false "real" that is accepted.
        open_test: whether finished incumbents are scored on the sealed test rows, which verdicts need. Noted and
            counted in the database. With too few repetitions for any verdict the rows stay sealed.
        database: as for :func:`hpo.run`.
        workers: how many evaluations to run at a time, or the address of a Dask scheduler; None is all cores.
            It changes how long the comparison takes, and nothing else.
        timeout: seconds after which no further trial begins; complete repetitions are compared.
        trial_timeout, trial_memory: as for :func:`hpo.run`.
        runs_missing: False only reads; the database must then have every run.
        new_version: where the definition has changed, begin a new version of the study.
        until_known: end before ``repetitions`` once every question has its answer: real, equivalent, or that even the
            most repetitions would hardly tell. The verdicts then hold at any number of looks, for which they want more
            evidence.
        pool: random search has ``pool`` times the trials on each split, beside which the effort that it would take is
            known after fewer repetitions. Only the first ``trials`` of them are compared.
        trust_database: as for :func:`hpo.run`.
        progress: ``auto``, ``bar``, ``lines`` or ``none``.

    Raises:
        HpoError: bad input, before the first fit.
        NotComparable: no repetition is complete for every sampler, or a run was made with a lag.

    Example:
        >>> import hpo
        >>> comparison = hpo.compare(
        ...     "wine-tree", samplers=["random", "tpe"], repetitions=2, trials=3, workers=1, progress="none"
        ... )
        >>> list(comparison.table["sampler"])
        ['random', 'tpe']
    """
    workers = cores() if workers is None else check_workers(workers)
    options = RunOptions(
        trials, timeout, trial_timeout=trial_timeout, trial_memory=trial_memory, trust_database=trust_database
    )
    definition = find_in(study, database)
    plan = Plan.of(
        definition,
        samplers,
        repetitions=repetitions,
        trials=trials,
        baseline=baseline,
        margin=margin,
        resplit=resplit,
        alpha=alpha,
        until_known=until_known,
        pool=pool,
    )
    check_scheduler(workers)
    session = StudySession(definition, database, new_version=new_version)
    unchecked = session.check_stored([split for split, _ in plan.numbers]) if runs_missing else None
    _refuse_lags(session, plan)
    if runs_missing:
        _run_missing(session, plan, workers, options, progress, open_test=open_test, note=unchecked)
    comparison = read_comparison(session, plan)
    note_look(session.database, comparison)
    return comparison


def read_comparison(session: StudySession, plan: Plan) -> Comparison:
    """The comparison of the complete repetitions in the database.

    Raises:
        NotComparable: there is none; what is missing is named.
    """
    missing = _missing(session, plan)
    trials = _complete_trials(session, plan, missing)
    scores = session.database.test_scores(session.definition.name)
    study = session.name("", 0, 0).versioned_study
    tests, made = _tests(session, plan, scores), _made(session, plan, trials, scores)
    if missing:
        made["missing"] = in_words(missing)
    n_complete = len({r for _, r in plan.numbers} - {name.seed for name in missing})
    looks = looks_of(session.database, study, plan, n_complete)
    made["looks"] = LOOKS[looks]
    return Comparison(
        session.definition,
        study,
        plan,
        trials,
        tests,
        made=made,
        study_words=_study_words(session),
        n_opened=len(scores),
        rows=rows_by_place(scores, {session.context(split): split for split, _ in plan.numbers}),
        looks=looks,
    )


# --- which runs ---


def _names(session: StudySession, plan: Plan) -> list[RunName]:
    """Names of the plan's runs, repetition by repetition."""
    return [session.name(label, split, seed) for split, seed in plan.numbers for label in plan.labels]


def _missing(session: StudySession, plan: Plan) -> dict[RunName, int]:
    """The runs that are not done up to the plan's budget, and how many trials each lacks."""
    runs = session.database.runs()
    told = dict(zip(runs["run"], runs["complete"] + runs["failed"] + runs["pruned"], strict=True))
    exhausted = set(runs.loc[runs["state"] == "done (exhausted)", "run"])
    budgets = {s.label: default_budget(session.definition, s) for s in plan.samplers if s.is_grid}
    wanted = {name: min(budgets.get(name.sampler, plan.trials), plan.trials) for name in _names(session, plan)}
    if plan.pool > 1:
        wanted |= {session.name(RANDOM, split, seed): plan.pool * plan.trials for split, seed in plan.numbers}
    lacking = {name: n - told.get(str(name), 0) for name, n in wanted.items()}
    return {name: n for name, n in lacking.items() if n > 0 and str(name) not in exhausted}


def _refuse_lags(session: StudySession, plan: Plan) -> None:
    """Runs whose trials were proposed while others were under way are another sampler than runs without."""
    lags = session.database.attribute_of_runs("lag")
    for name in _names(session, plan):
        if lags.get(str(name), 1) > 1:
            raise NotComparable(
                f"{name} was proposed with the lag {lags[str(name)]}, as hpo run --workers does, and the others of a "
                f"comparison are not: hpo delete '{name}', or compare in another database"
            )


def _complete_trials(session: StudySession, plan: Plan, missing: Mapping[RunName, int]) -> pd.DataFrame:
    """The trials of the repetitions that are complete for every sampler, and of the references."""
    incomplete = {name.seed for name in missing}
    complete = [r for _, r in plan.numbers if r not in incomplete]
    if not complete:
        name, n_lacking = next(iter(missing.items()))
        raise NotComparable(
            f"no repetition is complete: of {len(_names(session, plan))} runs {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing or unfinished ({in_words(missing)}), such as {name}, "
            f"which lacks {n_lacking} of {counted(plan.trials, 'trial')}"
        )
    trials = session.database.trials(study=session.name("", 0, 0).versioned_study)
    return trials[trials["seed"].isin(complete) | (trials["sampler"] == "reference")]


# --- running ---


def _run_missing(
    session: StudySession,
    plan: Plan,
    workers: int | str,
    options: RunOptions,
    progress: str,
    *,
    open_test: bool,
    note: str | None,
) -> None:
    """Drive the runs that are missing, repetition by repetition, several at a time; then open the sealed test rows."""
    missing = _missing(session, plan)
    can_tell = plan.repetitions >= plan.fewest_repetitions
    open_test = open_test and session.has_test and can_tell
    with Progress(progress, session.definition.shown_metric, _stages(session, plan, missing)) as shown:
        shown.note(note)
        if not missing:
            shown.note(f"{session.definition.name}: every run is there, 0 fits to go")
            if not open_test or not _finalists(session, plan):
                return
        if plan.until_known and _is_known(session, plan, shown, open_test=open_test):
            return
        names = set(map(str, _names(session, plan)))
        with started(session, names, workers, options, 1, shown) as engine, finishing_first() as interrupts:
            driver = Driver(session, engine, options, interrupts, shown)
            if missing:
                driver.evaluate_reference(next(iter(missing)).split)
                shown.note(_announcement(session, plan, missing, engine.n_workers))
            n_complete = plan.repetitions - len({name.seed for name in missing})
            for part in _parts(plan, n_complete, engine.n_workers):
                _drive(session, part, driver, shown)
                if open_test and driver.stop() is None:
                    _open_test(session, part, driver, engine, options, shown)
                if driver.stop() is not None or (plan.until_known and _is_known(session, plan, shown)):
                    break
    if interrupts.requested:
        raise KeyboardInterrupt


def _parts(plan: Plan, n_complete: int, n_workers: int) -> Iterator[Plan]:
    """The plan with so many of its repetitions as are to be made before the next look; once, where nobody looks."""
    if not plan.until_known:
        yield plan
        return
    n_runs = len(plan.labels) + (plan.pool > 1 and plan.random is None)
    at_once = math.ceil(n_workers / n_runs)  # what keeps the workers busy
    n_pairs = len(plan.labels) - 1 if plan.baseline else math.comb(len(plan.labels), 2)
    n = max(fewest_looks(plan.alpha / n_pairs), n_complete)  # before, there is nothing new to be seen
    while n < plan.repetitions:
        yield replace(plan, repetitions=n)
        n += at_once
    yield plan


def _is_known(session: StudySession, plan: Plan, shown: Progress, *, open_test: bool = False) -> bool:
    """Whether what is stored answers every question, or leaves no hope of an answer; says how far the evidence is."""
    try:
        comparison = read_comparison(session, plan)
    except NotComparable:  # nothing is complete yet
        return False
    if comparison.repetitions < 2 or (open_test and not comparison.has_test):
        return False
    shown.note(f"{counted(comparison.repetitions, 'repetition')}: {bars(comparison.questions())}")
    return comparison.is_known


def _drive(session: StudySession, plan: Plan, driver: Driver, shown: Progress) -> None:
    """Make the runs of a plan that are missing, and the references of its splits."""
    missing = _missing(session, plan)
    samplers = {RANDOM: find_sampler(RANDOM)} | {sampler.label: sampler for sampler in plan.samplers}
    pooled = plan.pool * plan.trials if plan.pool > 1 else None
    jobs = [
        Job(name, samplers[name.sampler], rank=name.seed, trials=pooled if name.sampler == RANDOM else None)
        for name in missing
    ]
    for split, rank in dict(reversed(plan.numbers)).items():
        if session.reference(split) is None:
            jobs.append(driver.reference_job(split, rank))
    for loop in driver.drive(jobs):
        if loop.failures and loop.best is None and loop.name.sampler in samplers:  # a result like any other
            error = loop.failures.most_common(1)[0][0]
            shown.note(f"every trial of {loop.name} failed, such as with: {error}")


def _open_test(
    session: StudySession, plan: Plan, driver: Driver, engine: Engine, options: RunOptions, shown: Progress
) -> None:
    """Score the incumbents of complete repetitions on the sealed test rows."""
    if len({name.seed for name in _missing(session, plan)}) == plan.repetitions:
        return
    finalists = _finalists(session, plan)
    n = len(finalists)
    if n or not plan.until_known:
        shown.note(f"{session.definition.name}: scoring {counted(n, 'incumbent')} on the sealed test rows")
    score_on_test(
        session,
        engine,
        finalists,
        seconds=options.trial_timeout,
        stop=driver.stop,
        shown=lambda n_scored: shown.scored(n_scored, n),
    )


def _stages(session: StudySession, plan: Plan, missing: Mapping[RunName, int]) -> Stages:
    """How far the plan's runs are, for who watches."""
    names = _names(session, plan)
    trials = session.database.trials(study=names[0].versioned_study)
    return Stages.of_plan(names, missing, trials[trials["number"] < plan.trials])


def _announcement(session: StudySession, plan: Plan, missing: Mapping[RunName, int], n_workers: int) -> str:
    """How many fits, and about how long, judged by the reference's time on one split."""
    split = next(iter(missing)).split
    n_trials, n_folds, seconds = sum(missing.values()), session.n_folds(split), session.reference_seconds(split)
    n_references = len({name.split for name in missing})
    return (
        f"{session.definition.name}: {', '.join(plan.labels)}; "
        f"{counted(plan.repetitions, 'repetition')} x {counted(plan.trials, 'trial')} x {counted(n_folds, 'fold')}: "
        f"{counted(n_trials * n_folds, 'fit')} to go"
        + (f", about {format_duration((n_trials + n_references) * seconds / n_workers)}" if seconds is not None else "")
        + (f" with {n_workers} workers" if n_workers > 1 else "")
    )


# --- the sealed test ---


def _finalists(session: StudySession, plan: Plan) -> list[Finalist]:
    """Incumbents of complete repetitions, and their references, that were not scored on the sealed test rows yet."""
    trials = _complete_trials(session, plan, _missing(session, plan))
    own = trials[trials["sampler"].isin(plan.labels) & (trials["number"] < plan.trials)]
    own = own.assign(repetition=own["seed"]).sort_values(["repetition", "sampler", "number"])
    chosen = own[measures.curves(own, {})["is_new"].to_numpy()]
    splits = {split for split, _ in plan.numbers} & set(chosen["split"])
    references = trials[(trials["sampler"] == "reference") & trials["split"].isin(splits)]
    scores = session.database.test_scores(session.definition.name)
    # What an older version scored without looking row by row is asked once more.
    scored = set(_tests(session, plan, scores[scores["row_values"].notna() | scores["error"].notna()]))
    finalists: dict[tuple[int, str], Finalist] = {}
    for row in pd.concat([references[references["state"] == "COMPLETE"], chosen]).to_dict("records"):
        where = int(row["split"]), str(row["configuration"])
        if where not in scored and where not in finalists:
            run = str(session.name(row["sampler"], where[0], int(row["seed"])))
            finalists[where] = Finalist(run, int(row["number"]), where[0], None, where[1])
    of_runs = itertools.groupby(finalists.values(), key=lambda finalist: finalist.run)
    return [finalist for run, group in of_runs for finalist in _with_configurations(session, run, list(group))]


def _with_configurations(session: StudySession, run: str, finalists: list[Finalist]) -> list[Finalist]:
    """Finalists of one run with their hyperparameters, read at once; without those that were deleted meanwhile."""
    if RunName.parse(run).sampler == "reference":
        return finalists
    try:
        study_id = session.database.study_id(run)
    except UnknownRun:
        return []
    asked = trials_table.c.number.in_([finalist.number for finalist in finalists])
    stored = session.database.optuna_trials(study_id, asked, attributes=(), has_folds=False)
    params = {trial.number: trial.params for trial in stored}
    return [replace(f, configuration=dict(params[f.number])) for f in finalists if f.number in params]


def _tests(session: StudySession, plan: Plan, scores: pd.DataFrame) -> dict[tuple[int, str], float]:
    """(split, key of a configuration) -> its score on the sealed test rows, for the plan's splits."""
    splits = {session.context(split): split for split, _ in plan.numbers}
    rows = zip(scores["context"], scores["configuration"], scores["value"], strict=True)
    return {(splits[context], key): value for context, key, value in rows if context in splits}


# --- how it was made ---


def _made(session: StudySession, plan: Plan, trials: pd.DataFrame, scores: pd.DataFrame) -> dict[str, str]:
    """What a reader needs to repeat the comparison, or to doubt it."""
    definition, names = session.definition, set(map(str, _names(session, plan)))
    own = trials[trials["sampler"].isin(plan.labels)]
    n_reused = int(own["duplicate_of"].notna().sum()) if "duplicate_of" in own else 0
    n_folds = session.n_folds(0)
    study, *where = _study_words(session)
    command = ["hpo", "compare", study, "--samplers", ",".join(plan.labels)]
    command += ["--repetitions", str(plan.repetitions), "--trials", str(plan.trials)]
    command += [] if plan.baseline == "random" else ["--baseline", plan.baseline or "none"]
    command += [] if plan.margin == definition.margin else ["--margin", f"{plan.margin:g}"]
    command += ["--until-known"] if plan.until_known else []
    command += ["--pool", str(plan.pool)] if plan.pool > 1 else []
    command += ["--no-resplit"] if not plan.resplit and definition.split.has_randomness else []
    dealt = "folds" if n_folds > 1 else "training and validation rows"
    rows = f"deals the same development rows into {dealt} of its own, the same for all samplers"
    rows = rows if plan.resplit else "has the same rows"
    metric = definition.shown_metric
    margin = "none: nothing is called equivalent" if plan.margin is None else f"{plan.margin:g} ({metric.label})"
    opened = "not opened" if scores.empty else f"opened for {counted(len(scores), 'configuration')} of this study"
    return {
        "command": shlex.join([*command, *where]),
        "repetitions": f"each has its own seed of the sampler, and {rows}",
        "split": repr(definition.split),
        "trained": f"{counted(len(own) - n_reused, 'trial')}, on {counted(n_folds, 'fold')} each"
        + (f"; {n_reused} more had been evaluated before and were taken over" if n_reused else ""),
        "sealed test": f"{counted(session.n_test, 'row')}, the same in all repetitions, scored by each incumbent's "
        f"configuration trained on train and validation rows; {opened}",
        "fixed before looking": f"alpha {plan.alpha:g}; margin {margin}; losses that agree to 9 digits tie",
        "versions": ", ".join(_versions(session, names)),
        "hashes": ", ".join(f"{name} {value[:12]}" for name, value in session.hashes.items()),
        "made between": f"{own['started'].min():%Y-%m-%d %H:%M} and {own['finished'].max():%Y-%m-%d %H:%M} UTC",
        "database": session.database.name,
    }


def _study_words(session: StudySession) -> tuple[str, ...]:
    definition, database = session.definition, session.database
    return study_words(definition.name, stored_origin(definition, database), database)


def _versions(session: StudySession, names: set[str]) -> list[str]:
    """Name and version of what the runs were made with; all versions, where there were several."""
    found = []
    for package in versions():
        stored = session.database.attribute_of_runs(f"version_{package}")
        used = sorted({str(version) for run, version in stored.items() if run in names})
        found.append(f"{package} {' and '.join(used)}")
    return found
