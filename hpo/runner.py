"""The one loop: propose, evaluate, record."""

import time
from collections import Counter
from os import PathLike
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from hpo.catalogue import find_study
from hpo.database import StudyDatabase
from hpo.definition import StudyDefinition, context_hash
from hpo.engine import Engine, InProcess
from hpo.errors import RunFailed, StudyChanged
from hpo.evaluation import Evaluation
from hpo.interrupts import finishing_first
from hpo.limits import DEFAULT_TRIALS, Outcome, RunOptions, Told, check_numbers
from hpo.progress import Progress
from hpo.proposals import Proposal, WorkingStudy
from hpo.records import TrialRecord
from hpo.run_name import RunName
from hpo.runs import Run
from hpo.samplers import Factory, Sampler, find_sampler
from hpo.session import StudySession
from hpo.space import configuration_key
from hpo.units import format_duration


def run(
    study: "StudyDefinition | str | Path",
    *,
    sampler: "str | Factory | Sampler" = "tpe",
    seed: int = 0,
    split: int = 0,
    trials: int | None = None,
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    timeout: float | None = None,
    target: float | None = None,
    patience: int | None = None,
    retry_failed: bool = False,
    reuse: bool = True,
    new_version: bool = False,
    progress: str = "auto",
) -> Run:
    """Run one study with one sampler up to a budget, or resume it.

    Args:
        study: a definition, the name of a study, or the path of a script.
        sampler: name, name with options as in ``"tpe(n_startup_trials=20)"``, or factory seed -> optuna sampler.
        seed, split: whole numbers from 0; the split decides which rows train and which validate.
        trials: total number of trials the run is to have; None is the whole grid, or 50.
        database: a :class:`StudyDatabase`, a URL, a path, ``":memory:"``, or None for the default.
        timeout: seconds after which no further trial begins.
        target, patience: end the run at this value (the scorer's sign), or after so many trials without a better one.
        retry_failed: propose failed cells of the grid again.
        reuse: do not train a configuration again that was evaluated in the same context.
        new_version: where the definition has changed, begin a new version of the study.
        progress: ``auto``, ``bar``, ``lines`` or ``none``.

    Returns:
        The run, whose ``best``, ``trials`` and ``best_estimator()`` read the database; ``outcome`` says how it ended.

    Raises:
        HpoError: bad input (nothing was stored), or :class:`hpo.RunFailed` when every trial failed.
        KeyboardInterrupt: after one Ctrl-C or SIGTERM once the trial under way is recorded, after two at once.
    """
    options = RunOptions(trials, timeout, target, patience, retry_failed, reuse)
    chosen = find_sampler(sampler)
    definition = find_study(study)
    chosen.check(definition.space)
    check_numbers(seed=seed, split=split)
    session = StudySession(definition, database, new_version=new_version)
    with Progress(progress, definition.shown_metric) as shown:
        outcome = drive(session, chosen, seed=seed, split=split, options=options, progress=shown, announces=True)
    return Run(outcome.run, session.database, definition, outcome)


def drive(
    session: StudySession,
    sampler: Sampler,
    *,
    seed: int,
    split: int,
    options: RunOptions,
    progress: Progress,
    announces: bool = False,
) -> Outcome:
    """Run or resume one run of an opened study until its budget, or an option, ends it.

    ``announces`` says the grid's size and time, or that the budget is too small, before the first fit.

    Raises:
        RunFailed: every trial of the run failed.
    """
    begun = time.monotonic()
    deadline = None if options.timeout is None else begun + options.timeout
    name = session.name(sampler.label, split, seed)
    problem = session.problem(split)
    reference = session.reference(split)
    budget = options.trials or default_budget(session.definition, sampler)
    study_id = session.open_run(name, budget, {"hash_sampler": sampler.hash} if sampler.hash else {})
    with session.database.holding(str(name), study_id):
        loop = _Loop(session, name, study_id, sampler, options)
        if announces:
            progress.note(_announcement(session.definition, sampler, name, options, loop.told.n, reference))
        progress.begin_run(
            str(name),
            n_done=loop.told.n,
            n_total=max(budget, loop.told.n),
            best=loop.told.best,
            reference=reference.value,
        )
        engine = InProcess(problem)
        with finishing_first(progress.note) as interrupts:
            while (reason := loop.reason_to_stop(deadline)) is None:
                if interrupts.requested:
                    raise KeyboardInterrupt
                loop.step(engine, progress)
        if reason not in {"budget", "timeout"}:
            session.database.set_attributes(study_id, {"stopped": reason})
    if loop.told.n and loop.told.best is None:
        error, count = loop.told.errors.most_common(1)[0]
        raise RunFailed(f"all {loop.told.n} trials of {name} failed, {count} of them with: {error}")
    return Outcome(name, reason, loop.n_new, loop.n_reused, dict(loop.warnings), time.monotonic() - begun)


def _announcement(
    definition: StudyDefinition,
    sampler: Sampler,
    name: RunName,
    options: RunOptions,
    n_told: int,
    reference: FrozenTrial,
) -> str | None:
    """What is worth knowing before the first fit: the grid's size and time, or that the budget is too small."""
    if sampler.is_grid:
        size = definition.space.grid_size
        n_left = max(min(options.trials or size, size) - n_told, 0)
        which = f"{options.trials} of {size} cells, in a seeded random order" if options.trials else f"{size} cells"
        seconds = reference.user_attrs["fit_seconds"] + reference.user_attrs["score_seconds"]
        return f"{name}: grid, {which}; {n_left} to evaluate, about {format_duration(n_left * seconds)}"
    if options.trials is not None and options.trials < sampler.kind.fewest_trials:
        return f"{name}: {sampler.label} is not better than random search below {sampler.kind.fewest_trials} trials"
    return None


def default_budget(definition: StudyDefinition, sampler: Sampler) -> int:
    """Trials of a run whose budget is not given: the whole grid (and what starts outside it), or 50."""
    if not sampler.is_grid:
        return DEFAULT_TRIALS
    space = definition.space
    return space.grid_size + sum(not space.is_cell(configuration) for configuration in definition.start)


class _Loop:
    """The state of one run while it is driven: what was told, and what is known from elsewhere."""

    def __init__(
        self, session: StudySession, name: RunName, study_id: int, sampler: Sampler, options: RunOptions
    ) -> None:
        self._session, self._name, self._study_id = session, str(name), study_id
        self._space = session.definition.space
        # The whole grid has no budget: it ends when every cell was tried, and again for those retried.
        self._budget = options.trials if options.trials or sampler.is_grid else DEFAULT_TRIALS
        stored = session.database.optuna_trials(study_id)
        self._check(stored)
        self.working = WorkingStudy(
            name,
            self._space,
            sampler,
            start=[dict(configuration) for configuration in session.definition.start],
            stored=stored,
            sampler_state=session.database.sampler_state(study_id),
            retry_failed=options.retry_failed,
        )
        context = context_hash(session.hashes, name.split)
        self._origins = session.database.evaluations(context) if options.reuse else {}
        self._reuses = options.reuse
        self.told = Told(options)
        for trial in stored:
            self.told.add(trial)
        self.n_new = self.n_reused = 0
        self.warnings: Counter[str] = Counter()

    def _check(self, stored: list[FrozenTrial]) -> None:
        for position, trial in enumerate(stored):
            if trial.number != position or not trial.state.is_finished() or "configuration" not in trial.user_attrs:
                raise StudyChanged(
                    f"trial {trial.number} of {self._name} ({trial.state.name}) was not recorded by hpo: "
                    f"something else wrote to this run; remove it with hpo delete '{self._name}', then run it anew"
                )

    def reason_to_stop(self, deadline: float | None) -> str | None:
        """What ends the run now, or None."""
        if self._budget is not None and self.told.n >= self._budget:
            return "budget"
        reason = self.told.reason_to_stop()
        if reason is None and self.working.is_exhausted:
            reason = "exhausted" if self._budget is not None else "budget"
        if reason is None and deadline is not None and time.monotonic() >= deadline:
            reason = "timeout"
        return reason

    def step(self, engine: Engine, progress: Progress) -> None:
        """One trial: propose, evaluate (or take the result of an equal evaluation), tell and store."""
        proposal = self.working.propose()
        used = self._space.use(proposal.configuration)
        key = configuration_key(used)
        evaluation, origin = self._known(key)
        if evaluation is None:
            engine.submit(proposal.number, used)
            _, evaluation = engine.wait()
        self._record(proposal, evaluation, key, origin)
        progress.told(evaluation.value, evaluation.error)

    def _known(self, key: str) -> tuple[Evaluation | None, str | None]:
        """What a configuration scored in this context before, and in which trial; None where it must be trained."""
        origin = self._origins.get(key)
        if origin is None:
            return None, None
        run, _, number = origin.rpartition("#")
        is_own = run == self._name
        trial = self.working.trials[int(number)] if is_own else self._session.database.trial(run, int(number))
        if trial is None or trial.state != TrialState.COMPLETE or trial.value is None:  # deleted meanwhile
            return None, None
        folds = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        evaluation = Evaluation.from_stored(trial.value, folds, trial.user_attrs)
        return evaluation, trial.user_attrs.get("duplicate_of", origin)

    def _record(self, proposal: Proposal, evaluation: Evaluation, key: str, origin: str | None) -> None:
        """Tell the sampler and store the trial."""
        attributes = {
            **evaluation.attributes(),
            "configuration": key,
            "sampler_seconds": round(proposal.sampler_seconds, 6),
            **self._space.quantile_values(proposal.configuration),
        }
        if origin is not None:
            attributes["duplicate_of"] = origin
        record: TrialRecord = self.working.tell(proposal, evaluation, attributes)
        self._session.database.record(self._name, self._study_id, record)
        self.told.add(record.trial)
        if self._reuses and evaluation.value is not None:
            self._origins.setdefault(key, f"{self._name}#{proposal.number}")
        self.n_new += 1
        self.n_reused += origin is not None
        self.warnings.update(evaluation.warnings)
