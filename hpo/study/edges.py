"""Best values at an edge of the search space: which hyperparameter, which edge, and how to extend it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo.study.hyperparameters import Float, Int
from hpo.study.space import SearchSpace

TOLERANCE = 0.02  # of the range, on its own scale: of uniform draws, 4% lie that near to one of the edges


@dataclass(frozen=True)
class Edge:
    """A hyperparameter whose best value is at an end of its range.

    Attributes:
        name, value: of the hyperparameter, as stored.
        side: ``lowest`` or ``highest``.
        bound: the end of its range.
        extended: the same hyperparameter with a wider range, as it is written in a study.
    """

    name: str
    value: float
    side: str
    bound: float
    extended: str

    @property
    def sentence(self) -> str:
        """What to do about it."""
        at = "is" if self.value == self.bound else "is next to"
        return (
            f"{self.name} = {self.value:.6g} {at} the {self.side} that the space allows ({self.bound:.6g}): a better "
            f'value may lie beyond, as in "{self.name}": {self.extended}'
        )


def edges(space: SearchSpace, configuration: Mapping[str, Any], estimator: Any) -> list[Edge]:
    """The hyperparameters of a configuration that are within 2% of an end of their range, where it is no natural limit.

    The distance is measured on the range's own scale, so on the logarithm for ``log=True``. A range is extended by
    half of its width on that scale. A natural limit is where scikit-learn's estimator allows no more, and, where the
    estimator says nothing of it, 0 for what is never negative, 1 for a share, and 1 for a count.

    Args:
        space: what was searched.
        configuration: stored values of the active hyperparameters.
        estimator: built with them; its ``_parameter_constraints`` say how far they may go.
    """
    found = []
    for name, value in configuration.items():
        parameter = space.parameters.get(name)
        if isinstance(parameter, (Float, Int)):
            limits = _limits(parameter, name, estimator)
            found += [edge for edge in _at_edge(parameter, name, value, limits) if edge is not None]
    return found


def _at_edge(parameter: Float | Int, name: str, value: float, limits: tuple[float, float]) -> Iterator[Edge | None]:
    low, high = parameter.low, parameter.high
    scale = math.log if parameter.log else float
    width = scale(high) - scale(low)
    for side, bound, limit in (("lowest", low, limits[0]), ("highest", high, limits[1])):
        if abs(scale(value) - scale(bound)) > TOLERANCE * width or bound == limit:
            continue
        if parameter.log:
            wider = bound * math.exp(width / 2) if side == "highest" else bound * math.exp(-width / 2)
        else:
            more = max(width / 2, parameter.step or 0)
            wider = bound + more if side == "highest" else bound - more
            if side == "lowest" and bound > 0:  # what was above zero stays there
                wider = max(wider, bound / 2)
        wider = min(wider, limit) if side == "highest" else max(wider, limit)
        wider = _rounded(wider, parameter, side)
        if wider != bound:
            yield Edge(name, value, side, bound, _written(parameter, side, wider))


def _rounded(number: float, parameter: Float | Int, side: str) -> float:
    """Two digits; a step's whole multiples stay on its grid."""
    if isinstance(parameter, Int) or parameter.step is not None:
        step = parameter.step or 1
        bound = parameter.high if side == "highest" else parameter.low
        n_steps = math.floor(abs(number - bound) / step + 1e-9)
        return float(f"{bound + (n_steps if side == 'highest' else -n_steps) * step:.12g}")
    return float(f"{number:.2g}")


def _written(parameter: Float | Int, side: str, wider: float) -> str:
    low, high = (parameter.low, wider) if side == "highest" else (wider, parameter.high)
    kind = type(parameter).__name__
    options = ", log=True" if parameter.log else ""
    options += f", step={parameter.step:g}" if parameter.step not in (None, 1) else ""
    return f"{kind}({low:.6g}, {high:.6g}{options})"


def _limits(parameter: Float | Int, name: str, estimator: Any) -> tuple[float, float]:
    """The lowest and highest value that the hyperparameter may ever have; infinite where there is no limit."""
    intervals = list(_intervals(parameter, name, estimator))
    if intervals:
        return min(low for low, _ in intervals), max(high for _, high in intervals)
    if isinstance(parameter, Int):
        return (parameter.low if parameter.low in (0, 1) else -math.inf), math.inf
    is_share = 0 <= parameter.low < parameter.high <= 1 and not parameter.log
    return (0.0 if parameter.low >= 0 else -math.inf), (1.0 if is_share else math.inf)


def _intervals(parameter: Float | Int, name: str, estimator: Any) -> Iterator[tuple[float, float]]:
    """The intervals of numbers of this kind that scikit-learn's validation allows; ends that are left out are open."""
    from sklearn.utils._param_validation import Interval

    owner, leaf = _owner(name, estimator)
    for constraint in getattr(type(owner), "_parameter_constraints", {}).get(leaf, ()):
        if not isinstance(constraint, Interval):
            continue
        is_whole = constraint.type.__name__ == "Integral"
        if is_whole == isinstance(parameter, Int) or constraint.type.__name__ == "Real":
            low = -math.inf if constraint.left is None else float(constraint.left)
            high = math.inf if constraint.right is None else float(constraint.right)
            inside = [number for number in (parameter.low, parameter.high) if low <= number <= high]
            if inside:  # the others belong to another meaning: a share, beside a count
                yield low, high


def _owner(name: str, estimator: Any) -> tuple[Any, str]:
    """The estimator that a hyperparameter belongs to, and its name there; by its last part where it is the only one."""
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    paths = [name] if name in params else [path for path in params if path.endswith(f"__{name}")]
    if len(paths) != 1:
        return None, name
    prefix, _, leaf = paths[0].rpartition("__")
    return (params[prefix] if prefix else estimator), leaf
