"""The diagnosis of a run: of its winner, and how its trials fare, from training and validation rows; never the test."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.database.trial import Trial
from hpo.evaluation.diagnosis import CANNOT_TELL, FITS_WELL, VERDICTS, Diagnosis, diagnosis, perfect_score
from hpo.evaluation.dummy_scores import dummy_scores, part_scores
from hpo.evaluation.evaluate import Problem
from hpo.study.edges import Edge, edges
from hpo.units import Metric, counted

_OF_SEVERAL = {FITS_WELL: "fit well", CANNOT_TELL: "cannot be told"}


@dataclass(frozen=True)
class RunDiagnosis:
    """What a run's trials say of over- and underfitting.

    Attributes:
        metric: how its scores are shown.
        trial: number of the winner.
        winner: its diagnosis.
        counts: verdict -> how many of the complete trials.
        edges: hyperparameters of the winner that lie at an edge of the space that could be extended.
    """

    metric: Metric
    trial: int
    winner: Diagnosis
    counts: Mapping[str, int]
    edges: Sequence[Edge] = ()

    @property
    def sentence(self) -> str:
        """The winner's diagnosis with its numbers."""
        return self.winner.sentence(self.metric)

    @property
    def run_sentence(self) -> str:
        """How many trials overfit, underfit, fit well."""
        said = ", ".join(f"{count} {_OF_SEVERAL.get(name, name)}" for name, count in self.counts.items() if count)
        return f"of {counted(sum(self.counts.values()), 'complete trial')}, {said}"


def diagnosis_of_run(
    problem: Problem,
    metric: Metric,
    complete: Sequence[Trial],
    best: Trial,
    reference: Trial | None,
    used: Mapping[str, Any],
) -> RunDiagnosis:
    """Diagnose the winner of a run and its trials; see :func:`hpo.diagnose`.

    Args:
        problem: that the run solved, with its rows.
        metric: how its scores are shown.
        complete, best, reference: of its trials; no reference where it was not evaluated.
        used: the best configuration as the estimator is given it.
    """
    spread = part_scores(problem, used) if problem.n_folds == 1 else None
    dummy = dummy_scores(problem) if spread is None else spread[2]
    known = [trial for trial in (best, reference) if trial is not None and trial.value is not None]
    top = max(known, key=lambda trial: float(trial.value or 0))  # the winner, where both are equal
    train_rows, validation_rows = map(len, problem.partition.folds[0])

    def folds_of(trial: Trial) -> tuple[Sequence[float], Sequence[float]]:
        # older trials know the mean of their train scores alone
        trains = trial.train_fold_scores or [trial.train_score or np.nan] * len(trial.fold_scores)
        if spread is None:
            return trains, trial.fold_scores
        shifted = (
            list(np.mean(scores) + np.subtract(part, np.mean(part)))
            for scores, part in ((trains, spread[0]), (trial.fold_scores, spread[1]))
        )
        return next(shifted), next(shifted)

    tried = [trial for trial in (*complete, reference) if trial is not None and trial.train_score is not None]
    known_folds = [folds_of(trial) for trial in tried]

    def of(trial: Trial) -> Diagnosis:
        if trial.train_score is None:
            return diagnosis([np.nan], [trial.value or np.nan], None)
        return diagnosis(
            *folds_of(trial),
            dummy,
            attainable=None if trial.number == best.number and top is best else folds_of(top)[1],
            others=known_folds,
            perfect=perfect_score(metric.key),
            validation_share=0.0 if spread is not None else validation_rows / train_rows,
            folds="folds" if spread is None else "parts of the validation rows",
        )

    found = Counter(dict.fromkeys(VERDICTS, 0))
    found.update(of(trial).verdict for trial in complete)
    space = problem.definition.space
    at_edges = edges(space, best.configuration, problem.estimator(used))
    return RunDiagnosis(metric, best.number, of(best), dict(found), tuple(at_edges))
