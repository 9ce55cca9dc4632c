"""Pruning: what was told, as each later trial may see it, and what that says of a training under way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import UnsuitablePruner
from hpo.evaluation.results import FoldResult, LearningCurve
from hpo.evaluation.training_steps import Pruned, is_watchable
from hpo.samplers.pruners import Pruner
from hpo.samplers.racing import is_beaten
from hpo.samplers.table import Sampler, quiet_study
from hpo.study.definition import StudyDefinition
from hpo.study.splits import Holdout


@dataclass(frozen=True)
class Watched:
    """All that decides, while a fold is trained, whether it goes on: sent along with the unit.

    Attributes:
        pruner: decides.
        run, number: the trial.
        told: number -> (whether it is complete, its learning curve on the same fold), of the trials that had been
            told when this one was proposed; what was told since is not looked at, so that time decides nothing.
    """

    pruner: Pruner
    run: str
    number: int
    told: Mapping[int, tuple[bool, LearningCurve]]

    def begin(self, score: Callable[[], float]) -> "_Watcher":
        """Watch a training; ``score`` gives the validation score of the model as it is."""
        return _Watcher(self, score)


class _Watcher:
    """Keeps the learning curve of one training, and asks the pruner after each score.

    Args:
        watching: the pruner, and what it compares with.
        score: validation score of the model as it is now.

    Attributes:
        curve: so far.
    """

    def __init__(self, watching: Watched, score: Callable[[], float]) -> None:
        self._pruner, self._score = watching.pruner, score
        self._storage = InMemoryStorage()
        self._study = quiet_study(self._storage, watching.run)
        study_id = self._storage.get_study_id_from_name(watching.run)
        for number in range(watching.number):
            is_complete, curve = watching.told.get(number, (False, None))
            trial = create_trial(state=TrialState.RUNNING)  # what it counts as where nothing is known of it
            if curve is not None:
                trial.state = TrialState.COMPLETE if is_complete else TrialState.PRUNED
                trial.intermediate_values = dict(zip(curve.steps, curve.scores, strict=True))
                trial.system_attrs = dict(curve.state)
                trial.values = [curve.scores[-1]]
            self._storage.create_new_trial(study_id, trial)
        self._trial_id = self._storage.create_new_trial(study_id)
        self._steps: list[int] = []
        self._scores: list[float] = []

    def note(self, step: int) -> None:
        """Add the score after a step."""
        score = self._score()
        self._steps.append(step)
        self._scores.append(score)
        self._storage.set_trial_intermediate_value(self._trial_id, step, score)

    def report(self, step: int) -> None:
        """Add the score after a step; raises :class:`Pruned` where the pruner has seen enough."""
        self.note(step)
        if self._pruner.build().prune(self._study, self._storage.get_trial(self._trial_id)):
            raise Pruned(self.curve)

    def finish(self, step: int) -> None:
        """The training has ended by itself; nothing is pruned any more."""
        if not self._steps or self._steps[-1] < step:
            self.note(step)

    @property
    def curve(self) -> LearningCurve:
        """Steps, scores, and what the pruner noted."""
        state = self._storage.get_trial(self._trial_id).system_attrs
        return LearningCurve(tuple(self._steps), tuple(self._scores), dict(state))


class Pruning:
    """The pruner of one run, with the trials told so far, in order.

    Args:
        pruner: decides.
        run: the run's name.
        n_folds: of each trial.
    """

    def __init__(self, pruner: Pruner, run: str, n_folds: int) -> None:
        self._pruner, self._run, self._n_folds = pruner, run, n_folds
        self._complete: list[tuple[float, ...]] = []
        self._n_complete = [0]  # after so many told trials
        self._curves: list[tuple[int, bool, Mapping[int, LearningCurve]]] = []

    def add(self, trial: FrozenTrial, curves: Mapping[int, LearningCurve]) -> None:
        """A trial was told, the next in order."""
        is_complete = trial.state == TrialState.COMPLETE
        if is_complete:
            scores = trial.intermediate_values
            self._complete.append(tuple(scores[fold] for fold in sorted(scores)))
        self._n_complete.append(len(self._complete))
        self._curves.append((trial.number, is_complete, curves))

    @property
    def n_told(self) -> int:
        """How many trials were told: with it a trial remembers what it may look at."""
        return len(self._curves)

    def pruned_at(self, n_told: int, results: Sequence[FoldResult]) -> str | None:
        """Where a trial ends whose first folds are known, or None where it goes on.

        Args:
            n_told: how many trials had been told when it was proposed.
            results: of its first folds, none of which failed.
        """
        last = results[-1]
        if last.is_pruned:
            step = "" if last.curve is None else f", step {last.curve.steps[-1]}"
            return f"fold {len(results)} of {self._n_folds}{step}"
        if self._pruner.watches_folds and len(results) < self._n_folds:
            scores = [next(iter(result.scores.values())) for result in results]
            if is_beaten(self._complete[: self._n_complete[n_told]], scores, alpha=self._pruner.alpha):
                return f"fold {len(results)} of {self._n_folds}"
        return None

    def watching(self, n_told: int, number: int, fold: int) -> Watched | None:
        """What decides while a fold of a trial is trained; None where the pruner decides between folds."""
        if self._pruner.watches_folds:
            return None
        told = {
            other: (is_complete, curves[fold]) for other, is_complete, curves in self._curves[:n_told] if fold in curves
        }
        return Watched(self._pruner, self._run, number, told)


def check_suitable(sampler: Sampler, definition: StudyDefinition) -> None:
    """Raise where a sampler cannot search the study's space, or its pruner has nothing to watch."""
    sampler.check(definition.space)
    pruner, name = sampler.pruner, definition.name
    if pruner is None:
        return
    if pruner.watches_folds:
        if isinstance(definition.split, Holdout):
            raise UnsuitablePruner(
                f"{pruner.name} decides between folds, and {name} has one validation set: give it "
                "split=hpo.CrossValidation(folds=5), or take median, percentile, halving or hyperband"
            )
        return
    try:
        example = definition.build(definition.reference_used())
    except Exception:  # noqa: BLE001 - said by whoever evaluates the reference
        return
    check_trains_in_steps(pruner, example, f" of {name}")


def check_trains_in_steps(pruner: Pruner, estimator: Any, where: str = "") -> None:
    """Raise where a pruner watches training, and the estimator's has no steps."""
    if not pruner.watches_folds and not is_watchable(estimator):
        raise UnsuitablePruner(
            f"{pruner.name} watches training step by step, and {type(estimator).__name__}{where} trains at once: "
            "take racing, which decides between folds"
        )
