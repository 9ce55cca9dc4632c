"""Configurations as rows of coordinates: numbers in [0, 1], choices as indices, NaN where inactive."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.study.foreign_spaces import Parameter, Quantile
from hpo.study.hyperparameters import Categorical, Configuration, Float, Int, typed
from hpo.study.space import SearchSpace

Array = NDArray[np.float64]
Positions = NDArray[np.intp]
Mask = NDArray[np.bool_]
_SAME = 1e-9  # coordinates that differ by less are of one value


@dataclass(frozen=True)
class Axis:
    """One hyperparameter's coordinate.

    A number lies in [0, 1] on its searched scale. Integers and steps are cells of that interval: the range is
    half a step wider at each end, and a value is the middle of its cell. A choice is its index.

    Attributes:
        parameter: the hyperparameter.
        is_conditional: whether it exists only under others.
    """

    parameter: Parameter
    is_conditional: bool

    @property
    def is_choice(self) -> bool:
        """Whether it is a choice, whose coordinates have no order."""
        return isinstance(self.parameter, Categorical)

    @cached_property
    def n_cells(self) -> int | None:
        """How many values there are; None where they are continuous."""
        parameter = self.parameter
        if isinstance(parameter, Categorical):
            return len(parameter.choices)
        if isinstance(parameter, Quantile) or parameter.step is None:
            return None
        return int((parameter.high - parameter.low) / parameter.step + 1e-9) + 1

    @cached_property
    def _indices(self) -> dict[str, int]:
        assert isinstance(self.parameter, Categorical)
        return {typed(choice): i for i, choice in enumerate(self.parameter.choices)}

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The range that becomes [0, 1], in logarithms where these are searched."""
        parameter = self.parameter
        if isinstance(parameter, Quantile):
            return parameter.at(0.0), parameter.at(1.0)
        assert isinstance(parameter, (Float, Int))
        low, high = float(parameter.low), float(parameter.high)
        if self.n_cells is not None:
            step = float(parameter.step or 0)
            low, high = low - step / 2, low + (self.n_cells - 0.5) * step
        return (np.log(low), np.log(high)) if parameter.log else (low, high)

    @property
    def _is_log(self) -> bool:
        return isinstance(self.parameter, (Float, Int)) and self.parameter.log

    def of(self, value: Any) -> float:
        """The coordinate of a stored value."""
        if isinstance(self.parameter, Categorical):
            return float(self._indices[typed(self.parameter.check(value))])
        low, high = self._ends
        number = np.log(float(value)) if self._is_log else float(value)
        return float(self.snap(np.array([min(max((number - low) / (high - low), 0.0), 1.0)]))[0])

    def at(self, coordinate: float) -> Any:
        """The stored value at a coordinate."""
        if isinstance(self.parameter, Categorical):
            return self.parameter.choices[int(coordinate)]
        return self.parameter.at(coordinate)

    def snap(self, u: Array) -> Array:
        """Coordinates of numbers, moved to the middle of their cells."""
        return u if self.n_cells is None else self._middle(self._cell(u))

    def step(self, u: Array, up: Mask) -> Array:
        """The next cell's coordinates upwards or downwards, back from the ends."""
        assert self.n_cells is not None
        cell = self._cell(u)
        moved = cell + np.where(up, 1, -1)
        return self._middle(np.where((moved < 0) | (moved >= self.n_cells), 2 * cell - moved, moved))

    def _cell(self, u: Array) -> Array:
        assert self.n_cells is not None
        low, high = self._ends
        if self._is_log:  # of integers: rounded as Int.at rounds
            cell = np.rint(np.exp(low + u * (high - low))) - self.parameter.low  # type: ignore[union-attr]
        else:
            cell = np.floor(u * self.n_cells)
        return np.clip(cell, 0, self.n_cells - 1)

    def _middle(self, cell: Array) -> Array:
        assert self.n_cells is not None
        cell = np.clip(cell, 0, self.n_cells - 1)
        low, high = self._ends
        if self._is_log:
            value = cell + self.parameter.low  # type: ignore[union-attr]
            middle: Array = (np.log(value) - low) / (high - low)
            return middle
        return (cell + 0.5) / self.n_cells

    def from_uniform(self, u: Array) -> Array:
        """Coordinates at quantiles in [0, 1) of the search distribution."""
        if self.is_choice:
            assert self.n_cells is not None
            return np.minimum(np.floor(u * self.n_cells), self.n_cells - 1)
        return self.snap(u)


class Coordinates:
    """The axes of a space, in the order of its names.

    Args:
        space: what is searched.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        conditional = set(space.conditional_names())
        self.axes = tuple(Axis(space.parameters[name], name in conditional) for name in space.names)
        self.is_choice = np.array([axis.is_choice for axis in self.axes])
        column = {name: j for j, name in enumerate(space.names)}
        self._conditions = [
            (j, [(column[parent], self._allowed(parent, values)) for parent, values in space.conditions(name).items()])
            for j, name in enumerate(space.names)
            if name in conditional
        ]

    def _allowed(self, parent: str, values: list[Any]) -> Array:
        axis = self.axes[self.space.names.index(parent)]
        return np.array([axis.of(value) for value in values])

    def row(self, configuration: Mapping[str, Any]) -> Array:
        """Coordinates of a configuration, shape [d]; NaN for hyperparameters that it lacks."""
        return np.array(
            [
                axis.of(configuration[name]) if name in configuration else np.nan
                for name, axis in zip(self.space.names, self.axes, strict=True)
            ]
        )

    def configuration(self, row: Array) -> Configuration:
        """The configuration at a row of coordinates, whose conditions hold."""
        found: Configuration = {}
        for name, axis, coordinate in zip(self.space.names, self.axes, row.tolist(), strict=True):
            if self.space.is_active(name, found):
                found[name] = axis.at(coordinate)
        return found

    def from_uniform(self, u: Array) -> Array:
        """Rows at points of the unit cube, shape [n, d] both; inactive coordinates become NaN."""
        return self.deactivated(np.stack([axis.from_uniform(u[:, j]) for j, axis in enumerate(self.axes)], axis=1))

    def deactivated(self, rows: Array) -> Array:
        """The rows with NaN for what their parents' values do not allow."""
        rows = rows.copy()
        for j, parents in self._conditions:
            active = np.ones(len(rows), bool)
            for parent, allowed in parents:
                active &= (np.abs(rows[:, parent, None] - allowed) < _SAME).any(axis=1)  # NaN is near nothing
            rows[~active, j] = np.nan
        return rows
