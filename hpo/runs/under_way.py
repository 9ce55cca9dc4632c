"""A trial on its way from a proposal to a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

from hpo.evaluation.results import Evaluation, FoldResult
from hpo.samplers.ask_tell import Proposal
from hpo.samplers.pruning import Pruning


@dataclass
class UnderWay:
    """A trial between its proposal and its record; or a stored one that counts as running on a resumed run.

    Attributes:
        number: the trial's.
        proposal: None where it is stored.
        evaluation: once it is known; ``origin`` where it was taken over, as ``run#number``.
        results: of the folds that are known; ``asked`` are those under way.
        deaths: of workers that had it.
        was_held: whether results of it are in the database.
        n_told: how many trials had been told when it was proposed: all that a pruner may look at.
    """

    number: int
    proposal: Proposal | None = None
    stored: FrozenTrial | None = None
    evaluation: Evaluation | None = None
    origin: str | None = None
    results: dict[int, FoldResult] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    deaths: int = 0
    was_held: bool = False
    n_told: int = 0

    @property
    def key(self) -> str | None:
        """Of its configuration; None where it is stored."""
        return None if self.proposal is None else self.proposal.key

    @property
    def is_finished(self) -> bool:
        """Whether its evaluation is known."""
        return self.evaluation is not None or self.stored is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known of it, and nobody is at it."""
        return not self.is_finished and not self.asked and not self.results

    def combined(
        self,
        n_folds: int,
        combine: Callable[[Sequence[FoldResult], str | None], Evaluation],
        pruning: Pruning | None,
    ) -> Evaluation | None:
        """What became of it, once every fold up to the first that ended it is known."""
        results: list[FoldResult] = []
        for fold in range(n_folds):
            if fold not in self.results:
                return None
            results.append(self.results[fold])
            if results[-1].error is not None:
                break
            pruned_at = None if pruning is None else pruning.pruned_at(self.n_told, results)
            if pruned_at is not None:
                return combine(results, pruned_at)
        return combine(results, None)
