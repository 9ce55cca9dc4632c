"""The space of a :class:`hpo.SearchCV`: ours, or as scikit-learn's searches spell it."""

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.errors import InvalidSpace
from hpo.fingerprint.hashing import HASHES, OLD_HASHES, unfitted
from hpo.study.foreign_spaces import Quantile, as_parameter, lasting_text, recognised
from hpo.study.hyperparameters import Categorical, Configuration, Float, Int, Value, plain, typed
from hpo.study.space import SearchSpace

SUBSPACE = "subspace"  # which dict of a list of dicts


class CandidateSpace:
    """Configurations, and what they are to an estimator's ``set_params``.

    Args:
        given: a :class:`SearchSpace` or a dict for one, scikit-learn's dict of lists or frozen scipy.stats
            distributions, or a list of such dicts, one of which holds in each candidate. The ranges of
            scikit-optimize and Optuna are known (:func:`hpo.study.foreign_spaces.recognised`).
        are_choices: whether a tuple of two numbers is two choices, as it is to GridSearchCV.

    Attributes:
        space: what is searched.
        is_grid: whether scikit-learn's ParameterGrid lists its cells.

    Raises:
        InvalidSpace: it is none of these; TypeError, ValueError: what scikit-learn says of lists and distributions.
    """

    def __init__(self, given: Any, *, are_choices: bool = False) -> None:
        if not isinstance(given, SearchSpace) and not are_choices:
            given = _recognised(given)
        self._objects: dict[str, list[tuple[Value, Any]]] = {}
        self._names: dict[str, str] = {}  # stored name -> set_params path
        self._stored: dict[tuple[int, str], str] = {}  # (dict, set_params path) -> stored name
        self._given: list[Mapping[str, Any]] = []
        if isinstance(given, SearchSpace) or _is_ours(given):
            self.space, self.is_grid = given if isinstance(given, SearchSpace) else SearchSpace(given), False
            return
        from sklearn.model_selection import ParameterGrid, ParameterSampler

        self._as_given = given
        self._given = [given] if isinstance(given, Mapping) else given
        self.is_grid = _are_lists(self._given)
        if self.is_grid:
            ParameterGrid(given)
        else:
            ParameterSampler([_without_ours(part) for part in self._given], 1)
        self.space = self._translate()

    def content(self, version: int = HASHES) -> Any:
        """Return what is hashed of the space: every object that a list has to choose from, not only its text."""
        if self.is_grid:
            return self._as_given if version == OLD_HASHES else _unfitted(self._as_given)
        hashed = self.space.hashed(version).digest
        if version == OLD_HASHES or not self._has_objects:
            return hashed
        objects = {name: [value for _, value in kept] for name, kept in self._objects.items()}
        return [hashed, _unfitted(objects)]

    @property
    def _has_objects(self) -> bool:
        return any(not isinstance(v, (str, int, float, type(None))) for kept in self._objects.values() for _, v in kept)

    @property
    def has_estimators(self) -> bool:
        """Whether a list has whole estimators to choose from."""
        return any(hasattr(value, "fit") for kept in self._objects.values() for _, value in kept)

    def _translate(self) -> SearchSpace:
        counts = Counter(name for part in self._given for name in part)
        several = len(self._given) > 1 or not any(self._given)
        parameters: dict[str, Any] = {SUBSPACE: Categorical([*range(len(self._given))])} if several else {}
        for i, part in enumerate(self._given):
            for name, values in part.items():
                stored = name if counts[name] == 1 and name != SUBSPACE else f"{name} ({i})"
                self._names[stored] = name
                self._stored[i, name] = stored
                parameter = self._choices(stored, values) if _is_list(values) else as_parameter(values)
                if several:
                    parameter = copy.copy(parameter)  # which may be the user's own
                    object.__setattr__(parameter, "when", {SUBSPACE: i})
                parameters[stored] = parameter
        return SearchSpace(parameters)

    def _choices(self, stored: str, values: Sequence[Any]) -> Categorical:
        """The choices as values where they are plain and all different, else as texts; the objects are kept."""
        kept: list[tuple[Value, Any]] = []
        plains = [plain(value) for value in values]
        is_plain = all(isinstance(value, (str, int, float, type(None))) and value == value for value in plains)
        is_plain = is_plain and len(set(plains)) == len({typed(value) for value in plains})
        texts = [value if is_plain else f"{i}: {_lasting(value)}"[:60] for i, value in enumerate(plains)]
        for text, value in zip(texts, values, strict=True):
            if not any(text == other for other, _ in kept):
                kept.append((text, value))
        self._objects[stored] = kept
        return Categorical([text for text, _ in kept])

    def params(self, configuration: Configuration) -> dict[str, Any]:
        """A configuration as ``set_params`` takes it: the very objects of the lists."""
        if not self._given:
            return self.space.use(configuration)
        used = self.space.use(configuration)
        return {
            self._names[name]: self._object(name, configuration[name]) if name in self._objects else value
            for name, value in used.items()
            if name != SUBSPACE
        }

    def configuration(self, given: Mapping[str, Any], what: str) -> Configuration:
        """Parameters, as ``set_params`` takes them, as a configuration: the inverse of :meth:`params`.

        Raises:
            InvalidSpace: the space has no such configuration.
        """
        if not self._given:
            return self.space.check(given, what)
        for i, part in enumerate(self._given):
            if set(part) != set(given):
                continue
            own: Configuration = {SUBSPACE: i} if SUBSPACE in self.space.parameters else {}
            own |= {self._stored[i, name]: self._stored_value(self._stored[i, name], given[name]) for name in part}
            return self.space.check(own, what)
        names = " or ".join(", ".join(map(str, part)) for part in self._given)
        raise InvalidSpace(f"{what} names {', '.join(map(str, given))}; the space has {names}")

    def _stored_value(self, name: str, value: Any) -> Any:
        if name in self._objects:
            known = [text for text, kept in self._objects[name] if kept is value or _same(plain(kept), plain(value))]
            return known[0] if known else value
        parameter = self.space.parameters[name]
        return float(parameter.distribution.cdf(value)) if isinstance(parameter, Quantile) else value

    def _object(self, name: str, choice: Value) -> Any:
        return next(value for text, value in self._objects[name] if text == choice)

    def cells(self) -> list[Configuration]:
        """Every cell of the grid: in the order of ParameterGrid, with its repetitions, where that lists them."""
        if not self.is_grid:
            return [self.space.cell(i) for i in range(self.space.grid_size)]
        from sklearn.model_selection import ParameterGrid

        several = SUBSPACE in self.space.parameters
        cells = []
        for i, part in enumerate(self._given):
            own: Configuration = {SUBSPACE: i} if several else {}
            for cell in ParameterGrid({path: [*range(len(values))] for path, values in part.items()}):
                names = {path: self._stored[i, path] for path in cell}
                chosen = {names[path]: self._text(names[path], j, part[path][j]) for path, j in cell.items()}
                cells.append({**own, **chosen})
        return cells

    def _text(self, name: str, position: int, value: Any) -> Value:
        text = plain(value)
        known = [known for known, _ in self._objects[name]]
        return text if any(_same(text, other) for other in known) else next(
            other for other in known if str(other).startswith(f"{position}: ")
        )  # fmt: skip


def _recognised(given: Any) -> Any:
    """A space whose ranges of others' making are ours; lists and scipy.stats distributions are left to scikit-learn."""
    if isinstance(given, (list, tuple)) and all(isinstance(part, Mapping) for part in given):
        return [_recognised(part) for part in given]
    if not isinstance(given, Mapping):
        return given
    found: dict[str, Any] = {}
    for name, values in given.items():
        is_left = isinstance(values, (list, str)) or (hasattr(values, "rvs") and hasattr(values, "dist"))
        try:
            parameter = None if is_left else recognised(values)
        except InvalidSpace as error:
            raise InvalidSpace(f"{name}: {error}") from error
        # An unfrozen distribution becomes a frozen one for scikit-learn, a quantile or a range for us.
        found[name] = values if parameter is None else parameter
    return found if any(found[name] is not given[name] for name in given) else given


def _without_ours(part: Any) -> Any:
    """What scikit-learn is to check of a dict of hyperparameters."""
    if not isinstance(part, Mapping):
        return part
    return {
        name: values for name, values in part.items() if not isinstance(values, (Float, Int, Categorical, Quantile))
    }


def _unfitted(given: Any) -> Any:
    """Lists and dicts of choices, whose estimators are as they are cloned for a fit."""
    if isinstance(given, Mapping):
        return {name: _unfitted(part) for name, part in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(_unfitted(part) for part in given) if type(given) in (list, tuple) else given
    return unfitted(given) if hasattr(given, "get_params") and not isinstance(given, type) else given


def _lasting(value: Any) -> str:
    """A choice as it is stored: its repr, which has an address where there is no other, another in every process."""
    text = repr(value)
    return lasting_text(value) if re.search(" at 0x[0-9a-fA-F]+", text) else text


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def _is_ours(given: Any) -> bool:
    return isinstance(given, Mapping) and any(
        isinstance(value, (Float, Int, Categorical, Quantile)) for value in given.values()
    )


def _is_list(values: Any) -> bool:
    return not hasattr(values, "rvs") and not isinstance(values, (Float, Int, Categorical, Quantile))


def _are_lists(parts: Any) -> bool:
    if isinstance(parts, (str, bytes)) or not hasattr(parts, "__iter__"):
        raise InvalidSpace(f"{parts!r} is not a space: give a dict of hyperparameters, or a list of such dicts")
    return all(_is_list(values) for part in parts for values in getattr(part, "values", list)())
