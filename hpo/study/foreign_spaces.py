"""Hyperparameters as others spell them: lists, scipy.stats distributions, ranges of scikit-optimize and Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpo.errors import InvalidSpace
from hpo.study.hyperparameters import Categorical, Float, Int, Suggests, finite_number, interpolate, plain


@dataclass(frozen=True)
class Quantile:
    """A hyperparameter drawn from a frozen scipy.stats distribution that no Float or Int equals.

    What is searched and stored is the quantile in (0, 1); the estimator is given ``distribution.ppf`` of it.
    """

    distribution: Any
    grid: int = 5
    when: Mapping[str, Any] | None = None
    is_finite = False

    _MARGIN = 1e-6  # the ends of an unbounded distribution are infinite

    def suggest(self, trial: Suggests, name: str) -> float:
        """Propose a quantile through ``trial``."""
        return trial.suggest_float(name, self._MARGIN, 1 - self._MARGIN)

    def at(self, u: float) -> float:
        """The stored quantile at ``u``."""
        return interpolate(self._MARGIN, 1 - self._MARGIN, u, log=False)

    def levels(self) -> list[float]:
        """Quantiles at the middle of ``grid`` equally likely parts."""
        return [(i + 0.5) / self.grid for i in range(self.grid)]

    def exhaustive(self) -> None:
        """There are infinitely many values."""

    def check(self, value: Any) -> float:
        """Return the quantile ``value``, or raise InvalidSpace."""
        number: float = finite_number(value, float, "a quantile")
        if not self._MARGIN <= number <= 1 - self._MARGIN:
            raise InvalidSpace(f"{value!r} is not a quantile: a scipy distribution is searched between 0 and 1")
        return number

    def use(self, value: Any) -> Any:
        """The distribution's value at the stored quantile."""
        from scipy.stats import rv_discrete

        drawn = self.distribution.ppf(value).item()
        return int(drawn) if isinstance(self.distribution.dist, rv_discrete) else drawn


Parameter = Float | Int | Categorical | Quantile


def as_parameter(given: Any) -> Parameter:
    """The hyperparameter a user wrote: ours, a list of choices, or a frozen scipy.stats distribution.

    Raises:
        InvalidSpace: it is none of these.
    """
    if isinstance(given, (Float, Int, Categorical, Quantile)):
        return given
    found = recognised(given)
    if found is not None:
        return found
    if isinstance(given, (str, bytes, Mapping)) or not hasattr(given, "__iter__"):
        raise InvalidSpace(
            f"{given!r} is neither Float, Int, Categorical, a list nor a scipy.stats distribution; a fixed value is "
            "set in the estimator"
        )
    return _choices(given)


def recognised(given: Any) -> Parameter | None:
    """The hyperparameter that a range or distribution of somebody else's is; None is a list of choices, or neither.

    Known are scipy.stats distributions, scikit-optimize's ``(low, high, "log-uniform")``, ``Real``, ``Integer`` and
    ``Categorical``, and Optuna's ``FloatDistribution``, ``IntDistribution`` and ``CategoricalDistribution``. They are
    told by their names and attributes, so that none of these packages is needed.

    Raises:
        InvalidSpace: a tuple of two numbers, which may be a range or two choices; or a range that cannot be.
    """
    if isinstance(given, (Float, Int, Categorical, Quantile)):
        return given
    if hasattr(given, "ppf") and hasattr(given, "rvs"):
        return _from_scipy(given if hasattr(given, "dist") else _frozen(given))
    if isinstance(given, tuple):
        return _from_tuple(given)
    kind, prior = type(given).__name__, getattr(given, "prior", None)
    if kind in {"Real", "Integer"} and hasattr(given, "low") and hasattr(given, "high"):
        make = Float if kind == "Real" else Int
        return make(given.low, given.high, log=_is_log(prior, given))
    if kind == "Categorical" and hasattr(given, "categories"):
        return _choices(given.categories)
    if kind == "CategoricalDistribution" and hasattr(given, "choices"):
        return _choices(given.choices)
    if kind == "FloatDistribution" and hasattr(given, "log"):
        return Float(given.low, given.high, log=given.log, step=given.step)
    if kind == "IntDistribution" and hasattr(given, "log"):
        return Int(given.low, given.high, log=given.log, step=given.step)
    return None


def _is_log(prior: Any, given: Any) -> bool:
    if prior not in (None, "uniform", "log-uniform"):
        raise InvalidSpace(f"{given!r}: the prior is {prior!r}: give 'uniform' or 'log-uniform'")
    return bool(prior == "log-uniform")


def _from_tuple(given: tuple[Any, ...]) -> Parameter | None:
    """What a tuple of scikit-optimize's is; None where it can only be choices."""
    values: list[Any] = [plain(value) for value in given] if len(given) >= 2 else [None, None]
    low, high, *more = values
    is_range = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high)) and low < high
    if not is_range:
        return None
    kind = Int if isinstance(low, int) and isinstance(high, int) else Float
    if not more:
        raise InvalidSpace(
            f"{given!r} may be a range or two choices: write hpo.{kind.__name__}({low}, {high}) for the range, "
            f"[{low}, {high}] for the choices"
        )
    if more[0] in ("uniform", "log-uniform"):
        return kind(low, high, log=_is_log(more[0], given))
    return None


def _frozen(distribution: Any) -> Any:
    """A distribution of scipy.stats that nobody has called, where it needs no arguments."""
    if getattr(distribution, "shapes", None):
        raise InvalidSpace(
            f"scipy.stats.{distribution.name} needs {distribution.shapes}: give scipy.stats.{distribution.name}"
            f"({distribution.shapes})"
        )
    return distribution()


def _choices(choices: Any) -> Parameter:
    """Choices of any objects."""
    plains = [plain(choice) for choice in choices]
    if all(isinstance(choice, (str, int, float, bool, type(None))) for choice in plains):
        return Categorical(plains)
    labels = [lasting_text(choice) for choice in plains]
    if len(set(labels)) < len(labels):
        raise InvalidSpace(f"the choices {', '.join(labels)} share names: give a dict label -> object")
    return Categorical(dict(zip(labels, plains, strict=True)))


def lasting_text(choice: Any) -> str:
    """Return a choice as people read it, the same in every process: without the address that a plain repr has."""
    text = str(getattr(choice, "__name__", choice))
    return type(choice).__name__ if " at 0x" in text else text


def _from_scipy(given: Any) -> Parameter:
    name, arguments = given.dist.name, {}
    shapes = (given.dist.shapes or "").replace(" ", "").split(",") if given.dist.shapes else []
    arguments = dict(zip([*shapes, "loc", "scale"], given.args, strict=False)) | given.kwds
    loc, scale = arguments.get("loc", 0), arguments.get("scale", 1)
    if name == "uniform":
        return Float(loc, loc + scale)
    if name in {"loguniform", "reciprocal"} and loc == 0:
        return Float(arguments["a"] * scale, arguments["b"] * scale, log=True)
    if name == "randint":
        return Int(int(arguments["low"] + loc), int(arguments["high"] + loc) - 1)
    return Quantile(given)


def distribution_content(distribution: Any, *, knows_own: bool = True) -> tuple[Any, ...]:
    """Return what tells one frozen scipy.stats distribution from another.

    Args:
        distribution: frozen, as ``stats.norm(0, 1)``.
        knows_own: whether one that is not scipy's own is told apart by what it was made with (a histogram, a list
            of values, a class of the user's), as by hashes from version 2 on; their names are often the same.
    """
    kind = distribution.dist
    content = (kind.name, distribution.args, distribution.kwds)
    if not knows_own or _is_scipys(kind):
        return content
    # A frozen distribution is made anew from exactly these, so they are all that it is.
    made_with = {key: value for key, value in kind._updated_ctor_param().items() if key != "seed"}
    return (*content, type(kind), made_with)


def _is_scipys(kind: Any) -> bool:
    from scipy import stats

    return type(kind) is type(getattr(stats, str(kind.name), None))


def range_text(parameter: Parameter) -> str:
    """A hyperparameter's range for people."""
    if isinstance(parameter, Categorical):
        return ", ".join(map(str, parameter.choices))
    if isinstance(parameter, Quantile):
        return f"scipy.stats.{parameter.distribution.dist.name}{parameter.distribution.args}"
    scale = " (log)" if parameter.log else ""
    step = f" in steps of {parameter.step}" if parameter.step not in (None, 1) else ""
    return f"{parameter.low:g} to {parameter.high:g}{step}{scale}"
