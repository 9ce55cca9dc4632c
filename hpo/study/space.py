"""Search spaces: hyperparameters, the conditions under which they exist, and the exact grid over them."""

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hpo.errors import InvalidSpace
from hpo.fingerprint.hashing import HASHES, OLD_HASHES, Fingerprint, fingerprint, fingerprint_and_origins, unfitted
from hpo.study.foreign_spaces import Parameter, Quantile, as_parameter, distribution_content, range_text
from hpo.study.hyperparameters import Categorical, Configuration, Suggests, typed


class SearchSpace:
    """Named hyperparameters and the conditions under which they exist.

    Args:
        parameters: name -> Float, Int, Categorical, a plain list of choices, or a frozen scipy.stats distribution.

    Proposals, the grid and the hash do not depend on the order in which parameters or choices are written.

    Raises:
        InvalidSpace: an unknown parent, a cycle, or a condition no value of the parent can meet.

    Example:
        >>> import hpo
        >>> kernel = hpo.Categorical(["rbf", "linear"])
        >>> gamma = hpo.Float(0.01, 1, log=True, grid=3, when={"kernel": "rbf"})
        >>> space = hpo.SearchSpace({"kernel": kernel, "gamma": gamma})
        >>> space.grid_size
        4
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        if not isinstance(parameters, Mapping) or not parameters:
            raise InvalidSpace(
                f"a search space is a dict name -> Float, Int or Categorical; this one is {parameters!r}"
            )
        self.parameters: dict[str, Parameter] = {}
        for name, parameter in parameters.items():
            with _in_context(str(name)):
                self.parameters[str(name)] = as_parameter(parameter)
        self._conditions = {name: self._condition(name) for name in self.parameters}
        self._order = self._topological()
        self._levels: dict[str, list[Any]] = {}
        for name in self._order:
            with _in_context(name):
                self._levels[name] = list(self.parameters[name].levels())

    @property
    def is_conditional(self) -> bool:
        """Whether some hyperparameters exist only under others."""
        return any(self._conditions.values())

    @property
    def is_finite(self) -> bool:
        """Whether the space has finitely many configurations."""
        return all(parameter.is_finite for parameter in self.parameters.values())

    @property
    def names(self) -> tuple[str, ...]:
        """All names, parents before children, otherwise alphabetical: the order of proposals."""
        return self._order

    def conditional_names(self) -> list[str]:
        """The hyperparameters that exist only under others."""
        return [name for name in self._order if self._conditions[name]]

    def conditions(self, name: str) -> dict[str, list[Any]]:
        """Parent -> its values under which ``name`` exists."""
        return {parent: list(allowed.values()) for parent, allowed in self._conditions[name].items()}

    def _condition(self, name: str) -> dict[str, dict[str, Any]]:
        """Parent -> the values under which ``name`` exists, by their typed text."""
        condition = {}
        when: Any = self.parameters[name].when
        if when is not None and not isinstance(when, Mapping):
            raise InvalidSpace(f"{name}: when={when!r}: give a dict parent -> value or list of values")
        for parent, wanted in (when or {}).items():
            if parent not in self.parameters:
                raise InvalidSpace(
                    f"{name}: its condition names {parent!r}; known: {', '.join(sorted(self.parameters))}"
                )
            values = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            if not self.parameters[parent].is_finite:
                raise InvalidSpace(
                    f"{name}: its condition names {parent!r}, which is continuous: use an Int or Categorical"
                )
            with _in_context(f"{name}: its condition on {parent!r}"):
                allowed = [self.parameters[parent].check(value) for value in values]
            if not allowed:
                raise InvalidSpace(f"{name}: its condition on {parent!r} allows no value")
            condition[parent] = {typed(value): value for value in sorted(allowed, key=typed)}
        return condition

    def _topological(self) -> tuple[str, ...]:
        order: list[str] = []
        waiting = sorted(self.parameters)
        while waiting:
            ready = next((name for name in waiting if self._conditions[name].keys() <= set(order)), None)
            if ready is None:
                raise InvalidSpace(f"the conditions of {', '.join(waiting)} form a cycle")
            order.append(ready)
            waiting.remove(ready)
        return tuple(order)

    def is_active(self, name: str, configuration: Mapping[str, Any]) -> bool:
        """Whether ``name`` exists under the parents' values in ``configuration``."""
        return all(
            parent in configuration and typed(self.parameters[parent].check(configuration[parent])) in allowed
            for parent, allowed in self._conditions[name].items()
        )

    def key(self, configuration: Mapping[str, Any]) -> str:
        """A text that is the same for equal configurations."""
        return json.dumps({name: self.parameters[name].check(configuration[name]) for name in sorted(configuration)})

    def suggest(self, trial: Suggests) -> Configuration:
        """Propose a configuration define-by-run: a child is asked for only where its condition holds."""
        configuration: Configuration = {}
        for name in self._order:
            if self.is_active(name, configuration):
                configuration[name] = self.parameters[name].suggest(trial, name)
        return configuration

    def use(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """What the estimator is given: labels replaced by their objects, quantiles by their values."""
        return {name: self.parameters[name].use(value) for name, value in configuration.items()}

    def check(self, configuration: Mapping[str, Any], what: str = "the configuration") -> Configuration:
        """Return a complete, valid configuration as it is stored.

        Raises:
            InvalidSpace: a name is unknown, missing or inactive, or a value is not allowed.
        """
        unknown = sorted(set(configuration) - set(self.parameters))
        if unknown:
            raise InvalidSpace(f"{what} names {unknown[0]!r}; the space has {', '.join(sorted(self.parameters))}")
        checked: Configuration = {}
        for name in self._order:
            active = self.is_active(name, checked)
            if active and name not in configuration:
                raise InvalidSpace(f"{what} lacks a value for {name!r}")
            if not active and name in configuration:
                raise InvalidSpace(
                    f"{what} sets {name!r}, which exists only when {when_text(self.parameters[name].when)}"
                )
            if active:
                with _in_context(f"{what}: {name}"):
                    checked[name] = self.parameters[name].check(configuration[name])
        return checked

    def witnesses(self) -> Iterator[Configuration]:
        """For each hyperparameter in turn, a configuration in which it is active, where conditions allow one."""
        for name in self._order:
            forced = self._forced(name)
            configuration: Configuration = {}
            for other in self._order:
                if self.is_active(other, configuration):
                    configuration[other] = forced.get(other, self._levels[other])[0]
            yield configuration

    def _forced(self, name: str) -> dict[str, list[Any]]:
        """Ancestor -> its values under which ``name`` can exist."""
        forced: dict[str, list[Any]] = {}
        for parent, values in self._conditions[name].items():
            for ancestor, allowed in {**self._forced(parent), parent: list(values.values())}.items():
                kept = [v for v in forced.get(ancestor, allowed) if typed(v) in map(typed, allowed)]
                forced[ancestor] = kept or allowed
        return forced

    # --- the grid: counted and indexed without being listed ---

    @property
    def grid_size(self) -> int:
        """Number of distinct cells of the grid; inactive hyperparameters do not multiply it."""
        return self._count(0, ())

    def cell(self, index: int) -> Configuration:
        """The cell at ``index`` in 0 .. grid_size - 1; every index gives another configuration."""
        if not 0 <= index < self.grid_size:
            raise InvalidSpace(f"the grid has no cell {index}: it has {self.grid_size}")
        configuration: Configuration = {}
        for i, name in enumerate(self._order):
            if not self.is_active(name, configuration):
                continue
            if name not in self._relevant_names[i + 1]:  # every level leaves the same number of cells
                level, index = divmod(index, self._count(i + 1, self._relevant(i + 1, configuration)))
                configuration[name] = self._levels[name][level]
                continue
            for value in self._levels[name]:
                configuration[name] = value
                below = self._count(i + 1, self._relevant(i + 1, configuration))
                if index < below:
                    break
                index -= below
        return configuration

    @functools.cached_property
    def _relevant_names(self) -> tuple[tuple[str, ...], ...]:
        """For each position, the earlier names on which conditions from there on depend."""
        return tuple(
            tuple(name for name in self._order[:i] if any(name in self._conditions[later] for later in self._order[i:]))
            for i in range(len(self._order) + 1)
        )

    def _relevant(self, i: int, configuration: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        return tuple((name, configuration[name]) for name in self._relevant_names[i] if name in configuration)

    @functools.cached_property
    def _counts(self) -> dict[Any, int]:
        return {}

    def _count(self, i: int, relevant: tuple[tuple[str, Any], ...]) -> int:
        """Number of ways to complete a configuration from position ``i`` on, given the values that matter."""
        if i == len(self._order):
            return 1
        key = (i, tuple((name, typed(value)) for name, value in relevant))
        if key not in self._counts:
            name, known = self._order[i], dict(relevant)
            if not self.is_active(name, known):
                self._counts[key] = self._count(i + 1, self._relevant(i + 1, known))
            elif name not in self._relevant_names[i + 1]:
                self._counts[key] = len(self._levels[name]) * self._count(i + 1, self._relevant(i + 1, known))
            else:
                self._counts[key] = sum(
                    self._count(i + 1, self._relevant(i + 1, {**known, name: level})) for level in self._levels[name]
                )
        return self._counts[key]

    def is_cell(self, configuration: Mapping[str, Any]) -> bool:
        """Whether a configuration is one of the grid's cells."""
        return all(typed(value) in map(typed, self._levels[name]) for name, value in configuration.items())

    @functools.cached_property
    def size(self) -> int | None:
        """Number of configurations, or None where it is infinite or too large to matter."""
        whole = self.exhaustive()
        return None if whole is None else whole.grid_size

    def exhaustive(self) -> "SearchSpace | None":
        """The same space with every value on its grid, or None where it is infinite or too large to matter."""
        exhaustive = {name: parameter.exhaustive() for name, parameter in self.parameters.items()}
        return None if any(parameter is None for parameter in exhaustive.values()) else SearchSpace(exhaustive)

    def quantile_values(self, configuration: Mapping[str, Any]) -> dict[str, float]:
        """For hyperparameters stored as quantiles: name -> the value the estimator is given."""
        return {
            name: self.parameters[name].use(value)
            for name, value in configuration.items()
            if isinstance(self.parameters[name], Quantile)
        }

    @property
    def fingerprint(self) -> str:
        """Hash of what is searched, the same however the space is written."""
        return self.hashed().digest

    def hashed(self, version: int = HASHES) -> Fingerprint:
        """Return the hash of what is searched, and the distributions that its objects come from."""
        return fingerprint_and_origins(
            {
                name: (
                    type(parameter).__name__,
                    {key: getattr(parameter, key) for key in ("low", "high", "log", "step") if hasattr(parameter, key)},
                    _as_built(parameter.objects, version) if isinstance(parameter, Categorical) else self._levels[name],
                    {parent: sorted(values) for parent, values in self._conditions[name].items()},
                    distribution_content(parameter.distribution, knows_own=version > OLD_HASHES)
                    if isinstance(parameter, Quantile)
                    else None,
                )
                for name, parameter in self.parameters.items()
            },
            "the search space",
            version=version,
        )

    def __repr__(self) -> str:
        return f"SearchSpace({', '.join(f'{name}={parameter!r}' for name, parameter in self.parameters.items())})"

    def rows(self) -> list[tuple[str, str, str]]:
        """One row per hyperparameter for tables: name, range, condition."""
        return [(name, range_text(p), when_text(p.when)) for name, p in self.parameters.items()]

    def _repr_html_(self) -> str:
        from html import escape

        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        return f"<table><tr><th>hyperparameter</th><th>range</th><th>only when</th></tr>{body}</table>"


def _as_built(objects: Mapping[Any, Any], version: int) -> dict[Any, Any]:
    """The choices as an estimator is given them: copies, which have learned nothing unless they are frozen."""
    if version == OLD_HASHES:
        return dict(objects)
    return {label: unfitted(value) if hasattr(value, "get_params") else value for label, value in objects.items()}


def configuration_key(used: Mapping[str, Any]) -> str:
    """Hash of what the estimator is given, the same whatever the space or the order of names."""
    plain = all(value is None or isinstance(value, (bool, int, float, str)) for value in used.values())
    if not plain:
        return fingerprint(dict(used), "the configuration")
    return fingerprint(json.dumps(used, sort_keys=True))


@contextlib.contextmanager
def _in_context(what: str) -> Iterator[None]:
    try:
        yield
    except InvalidSpace as error:
        raise InvalidSpace(f"{what}: {error}") from error


def when_text(when: Mapping[str, Any] | None) -> str:
    """A condition for people: ``kernel is rbf or poly``."""
    return " and ".join(
        f"{parent} is {' or '.join(map(str, wanted)) if isinstance(wanted, (list, tuple, set, frozenset)) else wanted}"
        for parent, wanted in (when or {}).items()
    )
