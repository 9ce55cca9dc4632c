"""Optuna's terminator: whether what is left to gain is less than what the folds cannot tell apart."""

import copy
import importlib
import warnings
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from hpo.errors import InvalidOption
from hpo.study.definition import StudyDefinition
from hpo.study.splits import Holdout

FEWEST_TRIALS = 20  # complete ones; below it is not asked
_SCORES = "terminator:cv_scores"  # where CrossValidationErrorEvaluator looks for them


def is_within_noise(complete: Sequence[FrozenTrial]) -> bool:
    """Whether a run may end, after Makarova et al. (2022), "Automatic termination for hyperparameter optimization".

    A Gaussian process bounds from above what the incumbent's value may lack of the best that the space holds. The run
    may end once this is below the standard error of the incumbent's own cross-validation.

    Args:
        complete: the COMPLETE trials told, with their fold scores as intermediate values; higher is better.
    """
    from optuna.study import StudyDirection
    from optuna.terminator import CrossValidationErrorEvaluator, RegretBoundEvaluator

    if len(complete) < FEWEST_TRIALS:
        return False
    best = max(complete, key=lambda trial: trial.value or 0.0)
    scored = copy.copy(best)
    scored.system_attrs = {_SCORES: [best.intermediate_values[fold] for fold in sorted(best.intermediate_values)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are experimental, and deprecated with their module
        noise = CrossValidationErrorEvaluator().evaluate([scored], StudyDirection.MAXIMIZE)
        gain = RegretBoundEvaluator(seed=0).evaluate(list(complete), StudyDirection.MAXIMIZE)
    return bool(gain < noise)


def check_terminator(definition: StudyDefinition) -> None:
    """Raise where it cannot judge: without folds, or without the Gaussian process of torch."""
    if isinstance(definition.split, Holdout):
        raise InvalidOption(
            f"terminator=True weighs the noise between folds, and {definition.name} has one validation set: give it "
            "split=hpo.CrossValidation(folds=5), or take patience"
        )
    try:
        for module in ("torch", "optuna.terminator"):
            importlib.import_module(module)
    except ImportError as error:
        raise InvalidOption(
            f"terminator=True needs torch: pip install 'hpo-studies[torch]', or take patience ({error})"
        ) from error
