"""A drop-in for scikit-learn's searches: every sampler, a study database, and what was done is not done again."""

import contextlib
import functools
import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed

from hpo.errors import InvalidOption, InvalidSpace, StudyChanged
from hpo.evaluation.reproduction import UNSEEN, allowance, reproduce
from hpo.fingerprint.hashing import OLD_HASHES, Versioned, unfitted
from hpo.process.announcements import announce
from hpo.process.generators import fold_name, kept, seeded
from hpo.runs.optuna_studies import check_callbacks
from hpo.runs.stopping import RunOptions, check_whole
from hpo.samplers.pruning import check_trains_in_steps
from hpo.samplers.table import find_sampler
from hpo.search_cv.folds import Splits, missing_fold, one_score
from hpo.search_cv.kept import KeptRun
from hpo.search_cv.run import DEFAULT_CANDIDATES, Candidate, SearchRun
from hpo.search_cv.seeded import SeededTask
from hpo.search_cv.spaces import CandidateSpace
from hpo.search_cv.watched import fit_and_score_watched
from hpo.study.metrics import as_scorer
from hpo.study.splits import TEST_FOLD
from hpo.units import counted, format_duration, one_line

if TYPE_CHECKING:
    import optuna

    from hpo.runs.run import Run

_Fit = Callable[[list[Candidate], Sequence[int]], None]  # fits and scores candidates on folds

_DEFAULT_SAMPLER = "tpe"
_PER_WORKER = 4  # candidates for each worker between two writes to a database


class SearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """Search hyperparameters by cross-validation with any sampler, like ``GridSearchCV`` and ``RandomizedSearchCV``.

    Candidates are fitted and scored by scikit-learn itself, so that metadata routing, several metrics, callable
    ``refit`` and callbacks are those of its own searches, and so are ``cv_results_`` and the ``best_`` attributes.

    Args:
        estimator: is cloned for every fit.
        space: a :class:`hpo.SearchSpace` or a dict for one; or scikit-learn's dict of lists and frozen scipy.stats
            distributions, or a list of such dicts. Uniform, loguniform and randint become Float and Int, others are
            searched through their quantile function. Ranges of scikit-optimize and Optuna are taken too
            (:func:`hpo.study.foreign_spaces.recognised`).
        param_grid, param_distributions: the same under the names of ``GridSearchCV`` and ``RandomizedSearchCV``, where
            a tuple of numbers is always a list of choices.
        sampler: as for :func:`hpo.run`, or a sampler of Optuna's. ``"grid"`` has every cell in the order of
            ``ParameterGrid``; an equal candidate is shown again and fitted once. None is ``grid`` for lists alone
            without a number of candidates, as ``GridSearchCV``, and otherwise ``tpe``.
        n_trials: number of candidates; None is the whole grid for ``grid``, otherwise 50.
        n_iter: the same under the name of ``RandomizedSearchCV``.
        scoring, cv, refit, n_jobs, error_score, return_train_score, verbose, pre_dispatch: as in scikit-learn;
            ``scoring`` may be an :class:`hpo.Metric` or a metric function too. ``n_jobs`` affects only the
            running time. Of several metrics the sampler is told the one of ``refit``, or the first.
        random_state: seeds the sampler. With a database, None is drawn once and kept there.
        database: a URL, a path or a :class:`hpo.StudyDatabase`; None keeps the trials in memory. What is stored is
            not fitted again: the same call goes on where a killed one stopped.
        name: of the study in the database; None is the estimator's. A fingerprint of the data follows it, so that
            each outer fold of a nested search has a run of its own.
        pruner: None, a pruner of Optuna's, or the name of one, with options as in ``"racing(alpha=0.1)"``. ``racing``
            abandons unpromising candidates between folds; ``median``, ``percentile``, ``halving`` and ``hyperband``
            while a fold trains, where the estimator trains in steps (:mod:`hpo.evaluation.training_steps`). The scores
            of folds that were not fitted to their end are NaN.
        timeout: seconds after which no further candidate begins.
        trial_timeout: seconds that the folds of a candidate may take together; beyond them it counts as failed. No fit
            is interrupted: scikit-learn fits in this process, or in those of joblib, which nobody may kill.
            :func:`hpo.run` has processes of its own, and kills.
        target, patience: end the search at this score, or after so many candidates without a better one.
        start: a list of dicts of parameters to evaluate first.
        new_version: where the estimator, the folds or the scoring have changed since the stored run of that name was
            made, or its scores no longer hold, begin a new version, which reuses nothing. Another space does so by
            itself.
        callbacks: functions ``(study, trial)``, called after each record; the study is a copy in memory. With
            ``study.stop()`` the search ends.

    Attributes:
        run_: the :class:`hpo.Run` of the last fit.
        study_: the same as an Optuna study.
        cv_results_, best_estimator_, best_params_, best_score_, best_index_, scorer_, n_splits_, refit_time_,
        multimetric_: as in scikit-learn.

    Raises:
        HpoError: bad input, or a stored run that was made with something else.

    Example:
        >>> import hpo
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> model = DecisionTreeClassifier(random_state=0)
        >>> search = hpo.SearchCV(model, {"max_depth": hpo.Int(1, 8)}, n_trials=4, random_state=0).fit(X, y)
        >>> len(search.cv_results_["params"])
        4
    """

    n_splits_: int

    def __init__(
        self,
        estimator: Any,
        space: Any = None,
        *,
        param_grid: Any = None,
        param_distributions: Any = None,
        sampler: Any = None,
        n_iter: int | None = None,
        n_trials: int | None = None,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
        database: Any = None,
        name: str | None = None,
        pruner: Any = None,
        timeout: float | None = None,
        trial_timeout: float | None = None,
        target: float | None = None,
        patience: int | None = None,
        start: Any = (),
        new_version: bool = False,
        callbacks: Any = None,
        pre_dispatch: Any = "2*n_jobs",
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.param_grid = param_grid
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.sampler = sampler
        self.n_trials = n_trials
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.verbose = verbose
        self.database = database
        self.name = name
        self.pruner = pruner
        self.timeout = timeout
        self.trial_timeout = trial_timeout
        self.target = target
        self.patience = patience
        self.start = start
        self.new_version = new_version
        self.callbacks = callbacks
        self.pre_dispatch = pre_dispatch

    def fit(self, X: Any, y: Any = None, **params: Any) -> "SearchCV":
        """Search, and train the best candidate on all rows.

        Args:
            X, y: rows, and their target or None.
            **params: as in ``GridSearchCV.fit``: to the estimator's fit, the scorer and the splitter.
        """
        self._given = (X, y, params)
        try:
            with contextlib.ExitStack() as self._refitting:
                super().fit(X, y, **params)
        finally:
            self.__dict__.pop("_refitting", None)
            self.__dict__.pop("_given", None)
            search = self.__dict__.pop("_search", None)
            if search is not None and hasattr(self, "cv_results_"):
                self._kept: KeptRun = search.kept()
        return self

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "_given" not in state:
            return state
        # While it fits scikit-learn sends it along with every fold of every candidate, which need none of these.
        unsent = ("_given", "_search", "_refitting", "_kept", "cv_results_", "best_estimator_")
        return {name: value for name, value in state.items() if name not in unsent} | {"database": None}

    @property
    def run_(self) -> "Run":
        """The run of the last fit: from its database, or from memory."""
        return self._fitted().open()

    @property
    def study_(self) -> "optuna.Study":
        """The run of the last fit as an Optuna study, in memory."""
        return self._fitted().study()

    def _fitted(self) -> KeptRun:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "_kept")
        return self._kept

    # --- inside ---

    def _get_scorers(self) -> tuple[Any, Any]:
        """As scikit-learn's searches, and the scorer of a metric function."""
        scorers, refit = super()._get_scorers()
        known = as_scorer(scorers, "scoring") if self._is_function else scorers
        return get_scorer(known) if isinstance(known, str) else known, refit

    @property
    def _is_function(self) -> bool:
        """Whether ``scoring`` is a metric function of scikit-learn's, perhaps with some arguments given."""
        bare = getattr(self.scoring, "func", self.scoring)
        return inspect.isfunction(bare) and str(bare.__module__).startswith("sklearn.metrics")

    def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
        X, y, params = self._given
        X, y = indexable(X, y)
        params = {name: value for name, value in params.items() if value is not None}
        routed = self._get_routed_params_for_fit(params)
        splits = list(self._checked_cv_orig.split(X, y, **routed.splitter.split))
        n_splits: int = self.n_splits_
        if len(splits) != n_splits:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. "
                f"Expected {n_splits} splits, got {len(splits)}"
            )
        self._search = search = self._open(X, y, params, splits)
        is_one_batch = search.pruning is None and self._batch_size(search) == search.n_left  # as in scikit-learn
        shape = {"max_subtasks": search.n_left * n_splits, "sequential_subtasks": False} if is_one_batch else {}
        context = callback_ctx.subcontext(task_name="search", **({"max_subtasks": None} | shape))
        context.call_on_fit_task_begin(estimator=self)
        deadline = math.inf if self.timeout is None else time.monotonic() + self.timeout
        plainly = functools.partial(self._fit_plainly, evaluate_candidates, context, splits)
        watched = functools.partial(self._fit_watched, (X, y, routed), context, splits)
        fit = watched if search.watches_training else plainly
        with contextlib.ExitStack() as stack:
            search = self._entered(stack, search, plainly, (X, y, params, splits))
            self._say_begin(search, n_splits)
            while not search.is_done and (not search.candidates or time.monotonic() < deadline):
                batch = search.propose(self._batch_size(search))
                wanted = search.unknown(batch)
                if search.pruning is None:
                    if wanted:
                        self._evaluate(fit, wanted, range(n_splits))
                else:
                    self._race(search, fit, wanted)
                search.tell(batch)
            sound = search.first_sound
            if search.failure is not None and sound is None:
                raise search.failure
            if not search.n_seen:  # scikit-learn's fit wants to have seen one, and all was stored, or watched
                candidate, fold = sound or (search.candidates[0], 0)
                plainly([candidate], [fold])
        search.results.update(self._results())
        context.call_on_fit_task_end(estimator=self)
        self._refitting.enter_context(seeded(0, fold_name(TEST_FOLD)))  # what follows is the refit, if any

    def _entered(self, stack: contextlib.ExitStack, search: SearchRun, fit: _Fit, given: tuple[Any, ...]) -> SearchRun:
        """The search, or that of a new version, locked until the stack is closed."""
        inside = contextlib.ExitStack()
        inside.enter_context(search)
        inside.enter_context(kept())
        try:
            self._check_stored(search, fit)
        except BaseException as error:
            inside.close()
            if not (isinstance(error, StudyChanged) and self.new_version):
                raise
            n_seen = search.n_seen
            self._search = search = self._open(*given, begins_anew=True)
            search.n_seen = n_seen
            inside.enter_context(search)
            inside.enter_context(kept())
        stack.enter_context(inside)
        return search

    def _say_begin(self, search: SearchRun, n_splits: int) -> None:
        """What scikit-learn would say, what is not fitted again, and that a new version begins."""
        if search.note is not None:
            announce(search.note)
        if self.verbose > 0:
            n = search.n_left
            resumed = f"{counted(search.n_resumed, 'candidate')} of {search.name} "
            resumed += "was resumed" if search.n_resumed == 1 else "were resumed"
            more = f"; {resumed}" if search.n_resumed else ""
            print(f"Fitting {n_splits} folds for each of {n} candidates, totalling {n * n_splits} fits{more}")

    def _check_stored(self, search: SearchRun, fit: _Fit) -> None:
        """Evaluate a fold of the cheapest stored candidate again: whatever no hash sees, it shows.

        Raises:
            StudyChanged: it does not give the score that is stored.
        """
        known = search.cheapest()
        if known is None:
            return
        candidate, stored, seconds = known
        if seconds > allowance(search.stored_seconds):
            if self.verbose:
                print(f"{search.name}: stored scores were not checked: one fold takes {format_duration(seconds)}")
            return
        stored_folds = dict(search.outs[candidate.key])

        def evaluate() -> float | str:
            try:
                self._evaluate(fit, [candidate], [0])
            except Exception as error:  # noqa: BLE001 - with error_score="raise" an estimator may raise anything
                return f"{type(error).__name__}: {one_line(error)}"
            finally:
                out = search.outs[candidate.key].get(0, {})
                search.outs[candidate.key] = dict(stored_folds)
                search.failure = None
            if out["fit_error"]:
                return str(out["fit_error"]).strip().splitlines()[-1]
            return one_score(out["test_scores"], search.metric)

        found = reproduce(f"{search.name}'s {candidate.params}", 0, stored, evaluate)
        if not found.holds:
            raise StudyChanged(
                f"{search.name} no longer gives its stored scores: {found.sentence}. {UNSEEN}"
                f"{search.changed_versions}. Undo its change, give new_version=True to begin a new version, which "
                "reuses nothing, or give SearchCV another name"
            )

    def _race(self, search: SearchRun, fit: _Fit, wanted: list[Candidate]) -> None:
        """Have candidates fitted fold by fold, until they are pruned; as many folds at once as keep workers busy."""
        n_known = 0
        while wanted and n_known < search.n_folds:
            n = math.ceil(effective_n_jobs(self.n_jobs) / len(wanted))
            self._evaluate(fit, wanted, range(n_known, min(n_known + n, search.n_folds)))
            wanted, n_known = search.still_in(wanted), n_known + n

    def _batch_size(self, search: SearchRun) -> int:
        if search.is_adaptive:
            return 1
        if search.pruning is not None:
            return search.n_racing
        if self.timeout is not None:  # what begins together begins in time
            n_jobs: int = effective_n_jobs(self.n_jobs)
            return math.ceil(n_jobs / search.n_folds)
        ends_early = self.target is not None or self.patience is not None or bool(self.callbacks)
        if self.database is None and not ends_early:
            return search.n_left
        return int(_PER_WORKER * effective_n_jobs(self.n_jobs))

    def _evaluate(self, fit: _Fit, wanted: list[Candidate], folds: Sequence[int]) -> None:
        """Have candidates fitted and scored on some folds; :meth:`_format_results` takes the answer."""
        search = self._search
        search.asked = [(candidate.key, list(folds)) for candidate in wanted]
        try:
            fit(wanted, folds)
        except ValueError as error:
            # Where all fits of one call fail scikit-learn raises, which is of interest where all calls have failed.
            if self.error_score == "raise" or "fits failed" not in str(error):
                raise
            names = self.scoring if isinstance(self.scoring, (list, tuple, set, dict)) else ()
            scores = dict.fromkeys(names, self.error_score) if names else self.error_score
            search.take_failure(error, scores)

    def _fit_plainly(
        self, evaluate_candidates: Any, context: Any, splits: list[Any], wanted: list[Candidate], folds: Sequence[int]
    ) -> None:
        """By scikit-learn itself."""
        n_splits = self.n_splits_
        self.n_splits_ = len(folds)
        params, cv = [candidate.params for candidate in wanted], Splits([splits[fold] for fold in folds])
        try:
            if context.sequential_subtasks:
                with self._subtask(context, len(wanted) * len(folds)) as batch:
                    evaluate_candidates(params, cv=cv, callback_ctx=SeededTask(batch, list(folds)))
            else:
                evaluate_candidates(params, cv=cv, callback_ctx=SeededTask(context, list(folds)))
        finally:
            self.n_splits_ = n_splits

    def _fit_watched(
        self, data: tuple[Any, Any, Any], context: Any, splits: list[Any], wanted: list[Candidate], folds: Sequence[int]
    ) -> None:
        """Under the eyes of the pruner, otherwise as scikit-learn does."""
        X, y, routed = data
        search, scorer = self._search, self._get_scorers()[0]
        fits = [(candidate, fold) for candidate in wanted for fold in folds]
        with self._subtask(context, len(fits)) as batch:
            contexts = [batch.subcontext(task_name="candidate-split-evaluation", task_id=i) for i in range(len(fits))]
            out = Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch)(
                delayed(fit_and_score_watched)(
                    clone(self.estimator), X, y, watched=search.watching(candidate.key, fold), metric=search.metric,
                    fold=fold, train=splits[fold][0], test=splits[fold][1], parameters=candidate.params, scorer=scorer,
                    fit_params=routed.estimator.fit, score_params=routed.scorer.score, return_n_test_samples=True,
                    return_train_score=self.return_train_score, return_times=True, error_score=self.error_score,
                    verbose=self.verbose, caller=self, callback_ctx=one,
                )
                for (candidate, fold), one in zip(fits, contexts, strict=True)
            )  # fmt: skip
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        search.take(out)

    @contextlib.contextmanager
    def _subtask(self, context: Any, n_fits: int) -> Iterator[Any]:
        """Callbacks see the fits of a batch as one task."""
        batch = context.subcontext(task_name="candidates", max_subtasks=n_fits, sequential_subtasks=False)
        batch.call_on_fit_task_begin(estimator=self)
        yield batch
        batch.call_on_fit_task_end(estimator=self)

    def _format_results(self, candidate_params: Any, n_splits: int, out: Any, more_results: Any = None) -> Any:
        """Take what was fitted. The dict that is returned, and that scikit-learn keeps, is filled at the end."""
        self._search.take_all(out)
        return self._search.results

    def _results(self) -> Any:
        search = self._search
        complete = [candidate for candidate in search.candidates if candidate.key in search.outs]
        scores = next(iter(search.outs[complete[0].key].values()))["test_scores"]
        missing = missing_fold(scores, train=self.return_train_score)
        shown = [search.shown(c, fold, missing) for c in complete for fold in range(search.n_folds)]
        with warnings.catch_warnings():
            if search.pruning is not None:
                warnings.filterwarnings("ignore", "One or more of the", UserWarning)  # pruned ones are NaN
            return super()._format_results([c.params for c in complete], search.n_folds, shown)

    def _open(
        self, X: Any, y: Any, params: dict[str, Any], splits: list[Any], *, begins_anew: bool = False
    ) -> SearchRun:
        n_trials = self._one_of("n_trials", "n_iter")
        given = self._one_of("space", "param_grid", "param_distributions")
        if given is None:
            raise InvalidSpace("SearchCV has no space: give it as the second argument, or as param_grid={...}")
        if n_trials is not None:
            n_trials = check_whole("n_trials" if self.n_iter is None else "n_iter", n_trials)
        ending = RunOptions(
            trials=n_trials, timeout=self.timeout, trial_timeout=self.trial_timeout, target=self.target,
            patience=self.patience,
        )  # fmt: skip
        callbacks = check_callbacks(self.callbacks)
        space = CandidateSpace(given, are_choices=given is not self.space)
        is_grid = self.sampler is None and space.is_grid and n_trials is None
        sampler = find_sampler("grid" if is_grid else _DEFAULT_SAMPLER if self.sampler is None else self.sampler)
        sampler = sampler if self.pruner is None else sampler.with_pruner(self.pruner)
        if sampler.pruner is not None and not space.has_estimators:
            check_trains_in_steps(sampler.pruner, self.estimator)
        sampler.check(space.space)
        seed = None
        if self.random_state is not None:
            is_seed = isinstance(self.random_state, (int, np.integer))
            drawn = self.random_state if is_seed else check_random_state(self.random_state).randint(2**31 - 1)
            seed = int(drawn) % 2**31
        made_with = {
            "estimator": Versioned(unfitted(self.estimator), self.estimator),
            "space": Versioned(space.content(), space.content(OLD_HASHES)),
            "cv": splits,
            "scoring": [self.scoring, self.error_score, self.return_train_score, self.refit],
        }
        start = [space.configuration(first, f"start[{i}]") for i, first in enumerate(check_start(self.start))]
        if start:
            made_with["start"] = start
        return SearchRun(
            space,
            sampler,
            n_trials=n_trials if n_trials is not None or sampler.is_grid else DEFAULT_CANDIDATES,
            n_folds=len(splits),
            metric=self.refit if isinstance(self.refit, str) else None,
            scoring=as_scorer(self.scoring, "scoring") if self._is_function else self.scoring,
            seed=seed,
            database=self.database,
            name=self.name or type(self.estimator).__name__,
            data=[X, y, params],
            made_with=made_with,
            ending=ending,
            start=start,
            callbacks=callbacks,
            new_version=bool(self.new_version),
            begins_anew=begins_anew,
        )

    def _one_of(self, *names: str) -> Any:
        """The one of several arguments for the same thing that was given, or None."""
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidOption(f"{' and '.join(given)} are names of the same thing: give one of them")
        return getattr(self, given[0]) if given else None


def check_start(given: Any) -> list[Any]:
    """The configurations to begin with; raises InvalidOption where they are no list of dicts."""
    is_list = hasattr(given, "__iter__") and not isinstance(given, (str, bytes, Mapping))
    if not is_list or not all(isinstance(first, Mapping) for first in given):
        raise InvalidOption(f"start={given!r}: give a list of dicts name -> value")
    return list(given)
