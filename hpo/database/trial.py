"""One trial as it is stored: a configuration, trained and scored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.evaluation.results import stored_warnings, train_fold_scores


@dataclass(frozen=True)
class Trial:
    """One configuration, trained and scored.

    Attributes:
        number: from 0, in the order of proposals.
        state: ``COMPLETE``, ``FAIL`` or ``PRUNED``.
        params: hyperparameters; labels for objects, values for what is drawn from a scipy distribution.
        configuration: the same as it is stored: with the quantile in place of such a value.
        value, train_score: mean over folds on validation and training rows, the scorer's sign; None if failed.
        fold_scores: validation score of each fold.
        train_fold_scores: training score of each fold; empty where only their mean was stored.
        fit_seconds, score_seconds: sums over the folds.
        peak_memory_mb: NaN where unknown.
        n_model_parameters: how many numbers the model learned, the most of any fold; None where unknown.
        predict_seconds: to predict the validation rows once, summed over the folds; NaN where unknown.
        model_size_mb: the pickled model, MB of 2**20 bytes, the largest of any fold; NaN where unknown.
        attributes: all that is stored with the trial, also extra metrics, warnings, error.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> run.best.state, len(run.best.fold_scores)
        ('COMPLETE', 5)
    """

    number: int
    state: str
    params: Mapping[str, Any]
    configuration: Mapping[str, Any]
    value: float | None
    train_score: float | None
    fold_scores: tuple[float, ...]
    fit_seconds: float
    score_seconds: float
    peak_memory_mb: float
    n_model_parameters: int | None
    predict_seconds: float
    model_size_mb: float
    train_fold_scores: tuple[float, ...]
    attributes: Mapping[str, Any]

    @property
    def warnings(self) -> dict[str, int]:
        """What fits and scorers warned of: ``Category: message`` -> how often."""
        return stored_warnings(self.attributes)

    @classmethod
    def from_optuna(cls, trial: FrozenTrial) -> "Trial":
        """The trial as Optuna's frozen trial has it."""
        attributes = {str(name): value for name, value in trial.user_attrs.items()}  # SQLite would store bytes too
        return cls(
            number=trial.number,
            state=trial.state.name,
            params={str(name): attributes.get(name, value) for name, value in trial.params.items()},
            configuration=dict(trial.params),
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            train_score=attributes.get("train_score"),
            fold_scores=tuple(trial.intermediate_values[step] for step in sorted(trial.intermediate_values)),
            fit_seconds=_number(attributes.get("fit_seconds")),
            score_seconds=_number(attributes.get("score_seconds")),
            peak_memory_mb=_number(attributes.get("peak_memory_mb")),
            n_model_parameters=attributes.get("n_model_parameters"),
            predict_seconds=_number(attributes.get("predict_seconds")),
            model_size_mb=_number(attributes.get("model_size_mb")),
            train_fold_scores=train_fold_scores(attributes),
            attributes=attributes,
        )


def _number(stored: Any) -> float:
    """A stored number; NaN where there is none, or something else was written in its place."""
    return float(stored) if isinstance(stored, (int, float)) else math.nan
