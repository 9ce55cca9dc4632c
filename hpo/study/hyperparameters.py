"""One hyperparameter: its range, its levels on the grid, its quantiles, and what the estimator is given."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hpo.errors import InvalidSpace

Value = None | bool | int | float | str
Configuration = dict[str, Any]  # name -> stored value, active hyperparameters only

_LARGEST = 2**53  # whole number up to which all are floats, as which Optuna stores them
_MANY = 10_000  # values of one hyperparameter beyond which a run will not exhaust them


class Suggests(Protocol):
    """What a space is suggested into: an Optuna trial, or anything with the same three methods."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Propose a float in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Propose an integer in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        """Propose one of the choices."""


@dataclass(frozen=True)
class Float:
    """A real hyperparameter in [low, high].

    Args:
        low, high: both ends, included; finite.
        log: search the logarithm; needs low > 0.
        step: only low, low + step, ... are allowed.
        grid: levels for the grid sampler: how many, or the list of them.
        when: parent name -> value or list of values under which this one exists.

    Example:
        >>> import hpo
        >>> hpo.Float(0.001, 1, log=True, grid=4).levels()
        [0.001, 0.01, 0.1, 1.0]
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    grid: int | Sequence[float] = field(default=5, kw_only=True)
    when: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, finite_number(getattr(self, name), float, f"{name} of Float"))
        _check_range(self)

    @property
    def is_finite(self) -> bool:
        """Whether the hyperparameter has finitely many values."""
        return self.step is not None

    def suggest(self, trial: Suggests, name: str) -> float:
        """Propose a value through ``trial``."""
        return self.snap(trial.suggest_float(name, self.low, self._top, step=self.step, log=self.log))

    def snap(self, value: float) -> float:
        """The exact step nearest to a value that arithmetic moved off it; other values as they are."""
        return value if self.step is None else self._stepped(round((value - self.low) / self.step))

    @property
    def _top(self) -> float:
        return self.high if self.step is None else self._stepped(self._n_steps)

    @property
    def _n_steps(self) -> int:
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9)

    def _stepped(self, k: int) -> float:
        return min(float(f"{self.low + k * (self.step or 0):.15g}"), self.high)

    def at(self, u: float) -> float:
        """The value at quantile ``u`` in [0, 1) of the search distribution."""
        if self.step is not None:
            return self._stepped(min(int(u * (self._n_steps + 1)), self._n_steps))
        return interpolate(self.low, self.high, u, log=self.log)

    def levels(self) -> list[float]:
        """The values on the grid, ascending."""
        if not isinstance(self.grid, int):
            return sorted({self.check(level) for level in self.grid})
        if self.step is not None:
            n = min(self.grid, self._n_steps + 1)
            return sorted({self._stepped(round(u * self._n_steps)) for u in _even(n)})
        return sorted({interpolate(self.low, self.high, u, log=self.log) for u in _even(self.grid)})

    def exhaustive(self) -> "Float | None":
        """The same with every value as a level, or None where there are too many."""
        if self.step is None or self._n_steps >= _MANY:
            return None
        return replace(self, grid=self._n_steps + 1)

    def check(self, value: Any) -> float:
        """Return ``value`` as stored, or raise InvalidSpace."""
        number: float = finite_number(value, float, "a value")
        if not self.low <= number <= self.high:
            raise InvalidSpace(f"{value!r} is outside [{self.low}, {self.high}]")
        if self.step is not None and abs(number - self.snap(number)) > 1e-6 * self.step:
            raise InvalidSpace(f"{value!r} is not {self.low} plus a multiple of the step {self.step}")
        return self.snap(number)

    def use(self, value: Any) -> Any:
        """What the estimator is given for the stored ``value``; one off the steps, tried by hand, as it is."""
        snapped = self.snap(value)
        return snapped if self.step is None or abs(value - snapped) <= 1e-6 * self.step else value


@dataclass(frozen=True)
class Int:
    """An integer hyperparameter in [low, high]; arguments as for Float.

    Example:
        >>> import hpo
        >>> hpo.Int(1, 64, log=True, grid=[1, 8, 64]).levels()
        [1, 8, 64]
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    grid: int | Sequence[int] = field(default=5, kw_only=True)
    when: Mapping[str, Any] | None = field(default=None, kw_only=True)
    is_finite = True

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, finite_number(getattr(self, name), int, f"{name} of Int"))
        _check_range(self)

    def suggest(self, trial: Suggests, name: str) -> int:
        """Propose a value through ``trial``."""
        return trial.suggest_int(name, self.low, self._top, step=self.step, log=self.log)

    @property
    def _top(self) -> int:
        return self.high - (self.high - self.low) % self.step

    def at(self, u: float) -> int:
        """The value at quantile ``u`` in [0, 1) of the search distribution."""
        if self.log:  # as Optuna: the logarithm of [low - 1/2, high + 1/2], rounded
            return min(max(round(interpolate(self.low - 0.5, self.high + 0.5, u, log=True)), self.low), self.high)
        n = (self._top - self.low) // self.step + 1
        return self.low + self.step * min(int(u * n), n - 1)

    def levels(self) -> list[int]:
        """The values on the grid, ascending."""
        if not isinstance(self.grid, int):
            return sorted({self.check(level) for level in self.grid})
        n_steps = (self._top - self.low) // self.step
        raw = [interpolate(self.low, self._top, u, log=self.log) for u in _even(min(self.grid, n_steps + 1))]
        return sorted({self.low + self.step * round((x - self.low) / self.step) for x in raw})

    def exhaustive(self) -> "Int | None":
        """The same with every value as a level, or None where there are too many."""
        if (self.high - self.low) // self.step >= _MANY:
            return None
        return replace(self, grid=range(self.low, self.high + 1, self.step))

    def check(self, value: Any) -> int:
        """Return ``value`` as stored, or raise InvalidSpace."""
        number: int = finite_number(value, int, "a value")
        if not self.low <= number <= self._top or (number - self.low) % self.step:
            step = f" in steps of {self.step}" if self.step != 1 else ""
            raise InvalidSpace(f"{value!r} is outside [{self.low}, {self._top}]{step}")
        return number

    def use(self, value: Any) -> Any:
        """What the estimator is given for the stored ``value``."""
        return value


@dataclass(frozen=True, init=False)
class Categorical:
    """A hyperparameter that is one of ``choices``.

    Args:
        choices: a list of str, int, float, bool or None; or a dict label -> object, where the label is
            stored and the object is given to the estimator.
        when: as for Float.

    Example:
        >>> import hpo
        >>> hpo.Categorical(["gini", "entropy"]).levels()
        ['entropy', 'gini']
    """

    objects: Mapping[Value, Any]
    when: Mapping[str, Any] | None
    is_labelled: bool
    is_finite = True

    def __init__(self, choices: Sequence[Value] | Mapping[str, Any], *, when: Mapping[str, Any] | None = None) -> None:
        is_labelled = isinstance(choices, Mapping)
        if isinstance(choices, (str, bytes)) or not hasattr(choices, "__iter__"):
            raise InvalidSpace(f"the choices of a Categorical are {choices!r}: give a list, or a dict label -> object")
        objects = {}
        for label, value in _labelled(choices):
            if not isinstance(label, (str, int, float, bool, type(None))) or label != label:
                raise InvalidSpace(
                    f"the choice {label!r} is a {type(label).__name__}: choices are str, int, float, bool or None; "
                    "for other objects give a dict label -> object"
                )
            if typed(label) in objects:
                raise InvalidSpace(f"the choice {label!r} appears twice")
            objects[typed(label)] = (label, value)
        if not objects:
            raise InvalidSpace("a Categorical has no choices: give at least one")
        # Canonical order: neither the proposals nor the hash depend on how the choices were written.
        ordered = dict(sorted(objects.values(), key=_canonical))
        if len(ordered) < len(objects):
            raise InvalidSpace(
                "two choices are equal in Python (as 1, 1.0 and True are): write them as labels of a dict"
            )
        object.__setattr__(self, "objects", ordered)
        object.__setattr__(self, "when", when)
        object.__setattr__(self, "is_labelled", is_labelled)

    @property
    def choices(self) -> tuple[Value, ...]:
        """The stored values, in canonical order."""
        return tuple(self.objects)

    def suggest(self, trial: Suggests, name: str) -> Value:
        """Propose a value through ``trial``."""
        return trial.suggest_categorical(name, self.choices)

    def at(self, u: float) -> Value:
        """The choice at quantile ``u`` in [0, 1)."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def levels(self) -> list[Value]:
        """The values on the grid: all choices."""
        return list(self.choices)

    def exhaustive(self) -> "Categorical":
        """The same: all choices are levels."""
        return self

    def check(self, value: Any) -> Value:
        """Return ``value`` as stored, or raise InvalidSpace."""
        for choice in self.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        raise InvalidSpace(f"{value!r} is not one of {', '.join(map(repr, self.choices))}")

    def use(self, value: Any) -> Any:
        """What the estimator is given for the stored ``value``."""
        return self.objects[value]


def _labelled(choices: Any) -> list[tuple[Any, Any]]:
    """Label and object of each choice; NumPy's numbers become Python's."""
    if isinstance(choices, Mapping):
        return [(plain(label), value) for label, value in choices.items()]
    return [(plain(choice), plain(choice)) for choice in choices]


def plain(value: Any) -> Any:
    """A NumPy scalar as Python's own number; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _check_range(parameter: Float | Int) -> None:
    kind = type(parameter).__name__
    if parameter.step is not None:
        finite_number(parameter.step, float, f"step of {kind}")
    if not parameter.low < parameter.high:
        raise InvalidSpace(f"{kind}({parameter.low}, {parameter.high}): low must be less than high")
    if parameter.log and parameter.low <= 0:
        raise InvalidSpace(f"{kind}({parameter.low}, {parameter.high}, log=True): a logarithm needs low > 0")
    if parameter.step is not None and parameter.step <= 0:
        raise InvalidSpace(f"{kind}(step={parameter.step}): the step must be above 0")
    if parameter.log and parameter.step not in (None, 1):
        raise InvalidSpace(f"{kind}(log=True, step={parameter.step}): a step and a logarithm exclude each other")
    grid: Any = plain(parameter.grid)
    object.__setattr__(parameter, "grid", grid)
    is_number = isinstance(grid, int) and not isinstance(grid, bool)
    if not (grid >= 1 if is_number else hasattr(grid, "__iter__") and not isinstance(grid, str)):
        raise InvalidSpace(
            f"{kind}(grid={parameter.grid!r}): give the number of levels, 1 or more, or the list of them"
        )
    if not parameter.levels():
        raise InvalidSpace(f"{kind}(grid={parameter.grid!r}): the list of levels is empty")


def finite_number(value: Any, kind: type, what: str) -> Any:
    """The value as ``kind`` (int or float), or InvalidSpace naming ``what`` it is."""
    is_number = isinstance(value, (int, float)) or (hasattr(value, "__float__") and not isinstance(value, (bool, str)))
    if isinstance(value, bool) or not is_number or not _is_finite(value):
        raise InvalidSpace(f"{what} is {_short(value)}: it must be a finite number")
    if kind is int and abs(value) > _LARGEST:
        raise InvalidSpace(
            f"{what} is {value}: whole numbers beyond 2**53 are not stored exactly: search a Float, or list the values"
        )
    if kind is int and float(value) != int(value):
        raise InvalidSpace(f"{what} is {value!r}: it must be a whole number")
    return kind(value)


def _short(value: Any) -> str:
    """A value as it was written; Python refuses to write numbers of more than 4,300 digits."""
    return (
        f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 10**40 else repr(value)[:40]
    )


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # of a whole number
        return False


def interpolate(low: float, high: float, u: float, *, log: bool) -> float:
    """The value a share ``u`` of the way, with 12 significant digits on a logarithm, where exp adds noise."""
    if u in (0.0, 1.0):
        return low if u == 0.0 else high
    if not log:
        return min(max(low + u * (high - low), low), high)
    value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    return min(max(float(f"{value:.12g}"), low), high)


def _even(n: int) -> list[float]:
    return [0.5] if n == 1 else [i / (n - 1) for i in range(n)]


def typed(value: Any) -> str:
    """A text that tells 1, 1.0, True and "1" apart."""
    return f"{type(value).__name__}:{json.dumps(value)}"


def _canonical(choice: tuple[Value, Any]) -> tuple[str, float, str]:
    """Sorts labels of any types: None, truth values, numbers by size, then text."""
    label = choice[0]
    if isinstance(label, int) and not _is_finite(label):
        return ("number", math.copysign(math.inf, label > 0 or -1), repr(label))
    if isinstance(label, str):
        return ("text", 0.0, label)
    return (
        ("", 0.0, "") if label is None else ("bool" if isinstance(label, bool) else "number", float(label), repr(label))
    )
