"""The loop of a run of a study: what it proposes from, where it records, and which evaluations it takes over."""

from collections.abc import Callable
from dataclasses import replace

from optuna.trial import TrialState

from hpo.database.records import RunKey
from hpo.database.run_name import RunName
from hpo.errors import InvalidOption
from hpo.evaluation.results import Evaluation, combine
from hpo.runs.loop import Folds, RunLoop
from hpo.runs.recording import InDatabase, RunSoFar
from hpo.runs.session import StudySession
from hpo.runs.stopping import DEFAULT_TRIALS, SECONDS, RunOptions
from hpo.samplers.ask_tell import ManualProposal, Proposals, ReferenceProposal, WorkingStudy
from hpo.samplers.pruning import Pruning
from hpo.samplers.table import Sampler
from hpo.study.hyperparameters import Configuration


def loop_of_study(
    session: StudySession,
    name: RunName,
    key: RunKey,
    sampler: Sampler | None,
    options: RunOptions,
    *,
    by_hand: Configuration | None = None,
    stop: Callable[[], str | None] = lambda: None,
) -> RunLoop:
    """Return the loop of a run, whose lock is held.

    Args:
        session, name, key: the run.
        sampler: proposes; None where the run is the reference, or is made by hand.
        options: when it ends, and what a trial may take.
        by_hand: the configuration that is to be the next trial of a run that is made by hand.
        stop: says why nothing more is to be proposed (``timeout``, ``interrupted``), or None.
    """
    recorder, n_folds = InDatabase(session.database, key), session.n_folds(name.split)
    metric = session.definition.shown_metric.key
    so_far = _read(recorder, session, sampler, options)
    lag = None
    if sampler is not None and sampler.is_adaptive:
        lag = int(so_far.attributes.get("lag", 1))
        if options.lag not in {None, lag}:
            raise InvalidOption(f"lag={options.lag}: {name} has the lag {lag} and keeps it; leave the option out")
    budget: int | None = len(so_far.trials) + 1 if by_hand is not None else 1
    if sampler is not None:
        # The whole grid has no budget: it ends when every cell was tried, and again for those retried.
        budget = None if sampler.is_grid and options.trials is None else options.trials or DEFAULT_TRIALS
    pruner = None if sampler is None else sampler.pruner
    is_reference = sampler is None and by_hand is None

    return RunLoop(
        name,
        so_far,
        _proposals(session, name, sampler, options, so_far, lag, by_hand),
        recorder,
        Folds(n_folds, lambda results, pruned_at: combine(metric, results, pruned_at=pruned_at)),
        replace(options, callbacks=()) if is_reference else options,
        budget=budget,
        lag=lag,
        pruning=None if pruner is None else Pruning(pruner, str(name), n_folds),
        equals=Evaluated(session, name, own_only=pruner is not None) if options.reuse and not is_reference else None,
        stop=stop,
    )


def _read(recorder: InDatabase, session: StudySession, sampler: Sampler | None, options: RunOptions) -> RunSoFar:
    """The run so far, whose trials that no sampler and no pruner learns from are read in part only."""
    if sampler is None or sampler.is_adaptive or options.terminator:
        pruner = None if sampler is None else sampler.pruner
        return recorder.read(has_curves=pruner is not None and not pruner.watches_folds)
    seconds = SECONDS if options.walltime is not None else ()
    return recorder.read(
        attributes=("configuration", "error", "duplicate_of", *seconds),
        has_params=sampler.is_grid or session.definition.space.is_finite,
    )


def _proposals(
    session: StudySession,
    name: RunName,
    sampler: Sampler | None,
    options: RunOptions,
    so_far: RunSoFar,
    lag: int | None,
    by_hand: Configuration | None,
) -> Proposals:
    """Where the run's trials come from."""
    definition, stored = session.definition, so_far.trials
    if by_hand is not None:
        return ManualProposal(definition.space, len(stored), by_hand)
    if sampler is None:
        return ReferenceProposal(definition, is_stored=bool(stored))
    return WorkingStudy(
        name,
        definition.space,
        sampler,
        start=[dict(configuration) for configuration in definition.start],
        stored=stored,
        n_told=so_far.n_told(lag),
        sampler_state=so_far.sampler_state,
        retry_failed=options.retry_failed,
        trust_database=options.trust_database,
    )


class Evaluated:
    """Evaluations that are stored in the context of a run: of its own trials, and of other runs.

    Args:
        session, name: the run.
        own_only: whether those of other runs are left alone, since the run's pruner may have ended them.
    """

    def __init__(self, session: StudySession, name: RunName, *, own_only: bool) -> None:
        self._session, self._split = session, name.split
        self._origins = session.evaluations(name.split)
        if own_only:
            own = f"{name}#"
            self._origins = {key: origin for key, origin in self._origins.items() if origin.startswith(own)}

    def add(self, key: str, trial: str, evaluation: Evaluation) -> None:
        """Take note of a trial that was recorded."""
        if evaluation.value is not None:
            self._origins.setdefault(key, trial)

    def find(self, key: str) -> tuple[Evaluation, str] | None:
        """The evaluation of a configuration, and the trial that had it, where that is still one of this context."""
        origin = self._origins.get(key)
        if origin is None:
            return None
        database = self._session.database
        run, _, number = origin.rpartition("#")
        if database.run_attributes(run).get("context") != self._session.context(self._split):
            return None
        found = database.trial(run, int(number))
        if found is None or found.state != TrialState.COMPLETE or found.value is None:  # deleted meanwhile
            return None
        if found.user_attrs.get("configuration") != key:  # and another made in its place
            return None
        folds = [found.intermediate_values[step] for step in sorted(found.intermediate_values)]
        evaluation = Evaluation.from_stored(found.value, folds, found.user_attrs)
        return evaluation, found.user_attrs.get("duplicate_of", origin)
