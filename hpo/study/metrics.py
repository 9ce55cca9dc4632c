"""Metrics of one's own with their direction, and scikit-learn's metric functions as the scorers that they make."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpo.errors import InvalidDefinition

_ENDINGS = ("score", "error", "loss", "deviance", "corrcoef")  # of scikit-learn's functions that give one number
_ESTIMATORS = ("estimator", "est", "model", "clf", "reg", "fitted")  # as the first argument of a scorer is called
_ERRORS = ("error", "loss", "deviance")
_SOUNDS_LIKE_AN_ERROR = re.compile(r"(^|_)(r?m?[as]p?e|mae|mape|r?msl?e|errors?|loss|losses|deviance)(_|$)")
# What they are given, where that is no prediction: scikit-learn's own scorers know the others.
_DECISIONS = ("decision_function", "predict_proba")
_RESPONSES: dict[str, Any] = {"hinge_loss": "decision_function", **dict.fromkeys(
    ("dcg_score", "ndcg_score", "coverage_error", "label_ranking_loss", "label_ranking_average_precision_score"),
    _DECISIONS,
)}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """A metric of one's own, with its direction; it is a scorer, also for scikit-learn.

    Args:
        function: ``(y_true, y_pred) -> float`` as scikit-learn's metric functions are, or
            ``(estimator, X, y) -> float``; which of the two, its signature says.
        greater_is_better: False for an error, which is shown positive and with "lower is better".
        name: under which it is stored; None is the function's name.

    Raises:
        InvalidDefinition: the function is none, takes other arguments, or is one of scikit-learn's whose direction is
            the opposite.

    Example:
        ``StudyDefinition(..., metric=hpo.Metric(largest_miss, greater_is_better=False))``

    Example:
        >>> import hpo
        >>> from sklearn.metrics import mean_pinball_loss
        >>> metric = hpo.Metric(mean_pinball_loss, greater_is_better=False)
        >>> metric.greater_is_better
        False
    """

    function: Callable[..., float]
    greater_is_better: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidDefinition(f"hpo.Metric({self.function!r}): give a function")
        if not isinstance(self.greater_is_better, bool):
            raise InvalidDefinition(
                f"hpo.Metric(greater_is_better={self.greater_is_better!r}): give True, or False for an error"
            )
        if self.name is not None and not (isinstance(self.name, str) and self.name.strip()):
            raise InvalidDefinition(f"hpo.Metric(name={self.name!r}): give a text, or leave it out")
        known = _scikit_learns(self.function)
        if known is not None and known.greater_is_better != self.greater_is_better:
            better = "higher" if known.greater_is_better else "lower"
            raise InvalidDefinition(
                f"hpo.Metric({known.name}, greater_is_better={self.greater_is_better}): of this function of "
                f"scikit-learn's {better} is better: give greater_is_better={known.greater_is_better}"
            )
        takes_predictions(self.function)

    @property
    def __name__(self) -> str:
        """The name under which it is stored."""
        return self.name or function_name(self.function)

    @property
    def _sign(self) -> int:
        """As scikit-learn's scorers have it."""
        return 1 if self.greater_is_better else -1

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """The score of a fitted estimator: higher is better, so that an error is negative."""
        if not takes_predictions(self.function):
            return self._sign * float(self.function(estimator, X, y))
        from sklearn.metrics import make_scorer

        known = _scikit_learns(self.function)
        response = "predict" if known is None else known.response
        scorer = make_scorer(self.function, greater_is_better=self.greater_is_better, response_method=response)
        return float(scorer(estimator, X, y))


@dataclass(frozen=True)
class _Known:
    """What is known of a metric function of scikit-learn's."""

    name: str
    greater_is_better: bool
    response: Any
    scorer: str | None  # the name of the scorer that it makes, where scikit-learn has given it one


def as_scorer(given: Any, what: str = "metric") -> Any:
    """A scorer's name, a callable ``(estimator, X, y) -> float``, or a :class:`Metric`, of whatever a user gave.

    A metric function of scikit-learn's is the scorer that ``make_scorer`` makes of it; what is neither is as it was.

    Raises:
        InvalidDefinition: it takes predictions, and its direction is not known.
    """
    if isinstance(given, str) or not callable(given) or isinstance(given, type):
        return given
    is_own = isinstance(given, Metric)
    function = given.function if is_own else given
    known = _scikit_learns(function)
    if known is not None:
        if known.scorer is not None and (not is_own or given.name is None):
            return known.scorer
        return given if is_own else Metric(given, greater_is_better=known.greater_is_better)
    if is_own or hasattr(given, "_score_func") or not takes_predictions(given):
        return given
    name = function_name(given)
    raise InvalidDefinition(
        f"{what} {name} takes (y_true, y_pred), and which of two values is better is not known: give "
        f"hpo.Metric({name}, greater_is_better=False) if it is an error, greater_is_better=True if not"
    )


def function_name(function: Any) -> str:
    """The name of a function, also of one whose arguments are partly given."""
    function = getattr(function, "func", function)
    return str(getattr(function, "__name__", type(function).__name__))


def takes_predictions(function: Any) -> bool:
    """Whether a metric takes ``(y_true, y_pred)``; False is ``(estimator, X, y)``.

    Raises:
        InvalidDefinition: it takes neither.
    """
    try:
        taken = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken):
        return False
    given = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [parameter for parameter in given if parameter.default is parameter.empty]
    n_needed = len(needed)
    if n_needed > 3 or len(given) < 2:
        raise InvalidDefinition(
            f"the metric {function_name(function)} takes {', '.join(p.name for p in given) or 'nothing'}: "
            "write it as (y_true, y_pred) or (estimator, X, y)"
        )
    is_scorer = given[1].name == "X" or given[0].name in _ESTIMATORS
    return n_needed < 3 and not is_scorer


def sounds_like_an_error(scorer: Any) -> bool:
    """Whether a plain function, which is maximised, has a name that says lower is better."""
    return is_plain(scorer) and bool(_SOUNDS_LIKE_AN_ERROR.search(function_name(scorer).lower()))


def is_plain(scorer: Any) -> bool:
    """Whether a metric is a plain function, of which nobody said which direction is better."""
    named = isinstance(scorer, (str, Metric)) or hasattr(scorer, "_score_func")
    return not named and not function_name(scorer).startswith("neg_")


def direction_doubt(scorer: Any) -> str | None:
    """What is said before the first fit of a plain function that sounds like an error, or None."""
    if not sounds_like_an_error(scorer):
        return None
    name = function_name(scorer)
    return (
        f"the metric {name} sounds like an error, and a plain function is maximised: give "
        f"hpo.Metric({name}, greater_is_better=False) if lower is better, greater_is_better=True if not"
    )


def loss_doubt(scorer: Any, best: float | None, reference: float | None) -> str | None:
    """What is said after a run whose best loses to the reference, under a plain function, or None.

    Args:
        scorer: the metric.
        best, reference: values, the scorer's sign; None where there is none.
    """
    if best is None or reference is None or best >= reference or not is_plain(scorer):
        return None
    name = function_name(scorer)
    return (
        f"the best {name} loses to the reference, and a plain function is maximised: if {name} is an error, give "
        f"hpo.Metric({name}, greater_is_better=False)"
    )


def _scikit_learns(function: Any) -> _Known | None:
    """What is known of a metric function of scikit-learn's own; None for any other.

    Raises:
        InvalidDefinition: it does not give one number for predictions, as a confusion matrix.
    """
    bare = getattr(function, "func", function)
    if not str(getattr(bare, "__module__", "")).startswith("sklearn.metrics") or not inspect.isfunction(bare):
        return None
    registered = _registered().get(bare)
    if registered is not None:
        scorer, is_better, response = registered
        return _Known(bare.__name__, is_better, response, scorer if bare is function else None)
    first = next(iter(inspect.signature(bare).parameters), "")
    if bare.__name__.rpartition("_")[2] not in _ENDINGS or first == "X":
        raise InvalidDefinition(
            f"{bare.__name__} of scikit-learn does not give one number for (y_true, y_pred): give a scorer's name, or "
            "a function (estimator, X, y) -> float"
        )
    is_error = bare.__name__.rpartition("_")[2] in _ERRORS
    return _Known(bare.__name__, not is_error, _RESPONSES.get(bare.__name__, "predict"), None)


@functools.cache
def _registered() -> dict[Any, tuple[str, bool, Any]]:
    """Function -> name, direction and response of the scorer that scikit-learn makes of it by default."""
    from sklearn.metrics import get_scorer, get_scorer_names

    found: dict[Any, tuple[str, bool, Any]] = {}
    for name in get_scorer_names():
        scorer = get_scorer(name)
        defaults = {k: p.default for k, p in inspect.signature(scorer._score_func).parameters.items()}
        if all(defaults.get(key) == value for key, value in scorer._kwargs.items()):
            found.setdefault(scorer._score_func, (name, scorer._sign == 1, scorer._response_method))
    return found
