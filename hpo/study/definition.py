"""Study definitions: what is tuned, checked when it is written down, and its fingerprint."""

import contextlib
import functools
import inspect
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo.errors import InvalidDefinition, InvalidSpace
from hpo.fingerprint.hashing import HASHES, OLD_HASHES, Fingerprint, fingerprint, fingerprint_and_origins, unfitted
from hpo.process.failures import describe, exits_heard
from hpo.process.generators import kept
from hpo.process.interrupts import is_interrupt
from hpo.study.metrics import as_scorer
from hpo.study.space import SearchSpace
from hpo.study.splits import CrossValidation, Holdout, Split, split_fingerprint
from hpo.units import Metric, counted, nearest, one_line, scorer_name
from hpo.version import __version__

Scorer = str | Callable[..., float]

# What is stored with a trial under a name of ours; further metrics are stored beside it under theirs.
RESERVED_ATTRIBUTES = (
    "train_score", "train_fold_scores", "fit_seconds", "score_seconds", "predict_seconds", "sampler_seconds",
    "peak_memory_mb", "model_size_mb", "n_model_parameters", "warnings", "error", "traceback", "configuration",
    "duplicate_of", "pruned_at",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """What is learned from: n rows.

    Args:
        X: features; array, sparse matrix or data frame of shape (n, n_features).
        y: target of shape (n,) or (n, n_outputs), or None.
        groups: group of each row, for ``order="group"`` and group splitters.
        fit_params: arguments of ``fit``; those of length n (``sample_weight``) are sliced with the rows.
        feature_names, target_names: of the columns and of the classes, for people.

    Example:
        >>> import hpo
        >>> from sklearn.datasets import load_wine
        >>> X, y = load_wine(return_X_y=True)
        >>> hpo.Data(X, y).X.shape
        (178, 13)
    """

    X: Any
    y: Any = None
    groups: Any = None
    fit_params: Mapping[str, Any] | None = None
    feature_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None


@dataclass(frozen=True)
class StudyDefinition:
    """What is tuned: data, split, estimator, search space, metric.

    Args:
        name: names the study in the database; without "/" or "@".
        data: function without arguments that returns X, (X, y), a scikit-learn Bunch, or :class:`Data`.
        estimator: a scikit-learn estimator (the space's names are its ``set_params`` paths), or a
            function params -> estimator.
        space: a :class:`SearchSpace`, or a dict from which to make one.
        metric: scorer name, callable ``(estimator, X, y) -> float`` of which higher is better, a metric function of
            scikit-learn's, or :class:`hpo.Metric`, which has its direction.
        reference: the usual hyperparameters to compare against; None means the estimator's defaults
            (a function has none, so there it is required).
        split: :class:`CrossValidation` or :class:`Holdout`.
        extra_metrics: scorers recorded beside the metric.
        margin: the smallest difference that matters, in the metric's units.
        start: configurations to evaluate first.

    Attributes:
        script: where it was loaded from, or None; noted by :func:`hpo.find_study`.

    Raises:
        InvalidDefinition, InvalidSpace: what was given, what is allowed.

    Example:
        >>> import hpo
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> study = hpo.StudyDefinition(
        ...     name="wine", data=load_wine, estimator=DecisionTreeClassifier(random_state=0), metric="accuracy",
        ...     space={"max_depth": hpo.Int(1, 8)}, split=hpo.CrossValidation(5),
        ... )
        >>> study.space.grid_size
        5
    """

    name: str
    data: Callable[[], Any] = field(repr=False)
    estimator: Any = field(repr=False)
    space: SearchSpace = field(repr=False)
    metric: Scorer
    reference: Mapping[str, Any] | None = field(default=None, kw_only=True)
    split: Split = field(default=CrossValidation(), kw_only=True)
    extra_metrics: Sequence[Scorer] = field(default=(), kw_only=True)
    margin: float | None = field(default=None, kw_only=True)
    start: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    script: Path | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not callable(self.data):
            given = repr(self.data) if isinstance(self.data, str) else f"a {type(self.data).__name__}"
            raise InvalidDefinition(
                f"{self.name}: data is {given}: give a function that returns X and y, as in "
                "data=load_iris without parentheses, or data=lambda: (X, y); hpo new writes one for a CSV file"
            )
        if not isinstance(self.space, SearchSpace):
            object.__setattr__(self, "space", SearchSpace(self.space))
        if not isinstance(self.split, (Holdout, CrossValidation)):
            raise InvalidDefinition(
                f"{self.name}: split is {self.split!r}; give Holdout(...) or CrossValidation(splitter=...)"
            )
        is_number = isinstance(self.margin, (int, float)) and not isinstance(self.margin, bool)
        if self.margin is not None and not (is_number and 0 < self.margin < math.inf):
            raise InvalidDefinition(f"{self.name}: margin={self.margin!r} must be above 0, in the metric's units")
        if self.reference is not None and not isinstance(self.reference, Mapping):
            raise InvalidDefinition(f"{self.name}: reference={self.reference!r}: give a dict name -> value")
        is_list = isinstance(self.start, Sequence) and not isinstance(self.start, str)
        if not is_list or not all(isinstance(given, Mapping) for given in self.start):
            raise InvalidDefinition(f"{self.name}: start={self.start!r}: give a list of dicts name -> value")
        self._check_metrics()
        self._check_estimator()
        checked = [self.space.check(given, f"{self.name}: start[{i}]") for i, given in enumerate(self.start)]
        object.__setattr__(self, "start", tuple(checked))

    def _check_metrics(self) -> None:
        if isinstance(self.extra_metrics, str):
            raise InvalidDefinition(f"{self.name}: extra_metrics is a text: give a list, [{self.extra_metrics!r}]")
        if not isinstance(self.extra_metrics, Sequence):
            raise InvalidDefinition(f"{self.name}: extra_metrics={self.extra_metrics!r}: give a list of scorers")
        object.__setattr__(self, "metric", as_scorer(self.metric, f"{self.name}: the metric"))
        extra = tuple(as_scorer(scorer, f"{self.name}: the metric") for scorer in self.extra_metrics)
        object.__setattr__(self, "extra_metrics", extra)
        for scorer in (self.metric, *self.extra_metrics):
            if isinstance(scorer, str):
                from sklearn.metrics import get_scorer_names

                if scorer not in get_scorer_names():
                    raise InvalidDefinition(
                        f"{self.name}: metric {scorer!r} is not a scorer name{_nearest(scorer, get_scorer_names())}"
                    )
            elif not callable(scorer):
                raise InvalidDefinition(f"{self.name}: metric {scorer!r} is neither a scorer's name nor a function")
        names = list(self.scorers)
        for name in names:
            if name in RESERVED_ATTRIBUTES or name in self.space.parameters:
                raise InvalidDefinition(f"{self.name}: a metric cannot be named {name!r}, which is stored beside it")
        if len(names) < 1 + len(self.extra_metrics):
            raise InvalidDefinition(f"{self.name}: two metrics have the same name among {', '.join(names)}")

    def _check_estimator(self) -> None:
        if self.is_function:
            if self.reference is None:
                raise InvalidDefinition(
                    f"{self.name}: the estimator is a function, which has no defaults: name the usual hyperparameters "
                    "with reference={...}, so that tuning can be compared with not tuning"
                )
            return
        if not (hasattr(self.estimator, "fit") and hasattr(self.estimator, "set_params")) or isinstance(
            self.estimator, type
        ):
            raise InvalidDefinition(f"{self.name}: estimator is {self._no_estimator()}")
        for configuration in [self.reference_used(), *map(self.space.use, self.space.witnesses())]:
            try:
                self.build(configuration)
            except (ValueError, AttributeError, TypeError, RuntimeError) as error:  # the last: a changed argument
                said = self._parameter_meant(configuration) or one_line(error) or type(error).__name__
                raise InvalidDefinition(f"{self.name}: {said}") from error

    def _parameter_meant(self, used: Mapping[str, Any]) -> str:
        """What was meant by a hyperparameter that the estimator does not have; empty where nothing is like it."""
        known = list(self.estimator.get_params()) if hasattr(self.estimator, "get_params") else []
        wrong = next((name for name in used if known and name not in known), "")
        near = nearest(wrong.rpartition("__")[2], known) or nearest(wrong, known)
        kind = type(self.estimator).__name__
        return f"Invalid parameter {wrong!r} for estimator {kind}: {near}".strip() if wrong and near else ""

    def _no_estimator(self) -> str:
        """What is in the place of the estimator, and what to give instead."""
        given = self.estimator
        if isinstance(given, type):
            return f"the class {given.__name__}: give an instance, {given.__name__}()"
        if hasattr(given, "fit"):
            kind = type(given).__name__
            return (
                f"a {kind}, which has no set_params: derive {kind} from sklearn.base.BaseEstimator, or give a function "
                "params -> estimator"
            )
        return f"{given!r}; give a scikit-learn estimator, or a function params -> estimator"

    @property
    def is_function(self) -> bool:
        """Whether the estimator is a function params -> estimator."""
        return not hasattr(self.estimator, "fit") and callable(self.estimator)

    @property
    def scorers(self) -> dict[str, Scorer]:
        """Stored name -> scorer; the metric first."""
        return {
            scorer if isinstance(scorer, str) else scorer_name(scorer): scorer
            for scorer in (self.metric, *self.extra_metrics)
        }

    @property
    def shown_metric(self) -> Metric:
        """How the metric is shown to people."""
        return Metric.of(self.metric)

    def build(self, used: Mapping[str, Any]) -> Any:
        """An unfitted estimator with these hyperparameters (objects, not labels)."""
        from sklearn.base import clone

        if self.is_function:
            return self.estimator(dict(used))
        # Cloned values: an estimator that is itself a choice must not be fitted twice in one object.
        copied = {
            name: value if isinstance(value, (str, int, float, type(None))) else clone(value, safe=False)
            for name, value in used.items()
        }
        return clone(self.estimator).set_params(**copied)

    def reference_used(self) -> dict[str, Any]:
        """The reference's hyperparameters as the estimator is given them; empty for its own defaults."""
        reference = dict(self.reference or {})
        parameters = self.space.parameters
        for name, value in reference.items():
            try:
                reference[name] = parameters[name].use(parameters[name].check(value))
            except (KeyError, InvalidSpace):  # outside the space: taken as it is
                continue
        return reference

    def usual(self) -> dict[str, Any]:
        """What the reference has for each hyperparameter it has, also where that is the estimator's own default."""
        if self.is_function:
            return dict(self.reference or {})
        parameters = {**self.build(self.reference_used()).get_params(deep=True), **(self.reference or {})}
        usual: dict[str, Any] = {}
        for name in self.space.names:  # parents first
            with contextlib.suppress(InvalidSpace):  # a parent's default may be no value of the space
                if not self.space.is_active(name, usual):
                    continue
            if name in parameters:
                usual[name] = parameters[name]
        return usual

    def load(self) -> Data:
        """Call ``data`` and return its result as :class:`Data`.

        Raises:
            InvalidDefinition: it raised, or returned something else, or rows do not match.
        """
        try:
            with exits_heard(), kept():
                loaded = self.data()
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise InvalidDefinition(f"{self.name}: data() raised {describe(error)}") from error
        data = _as_data(loaded, self.name)
        self._check_fit_params(data.fit_params)
        return data

    def _check_fit_params(self, given: Any) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise InvalidDefinition(f"{self.name}: fit_params={given!r}: give a dict name -> argument of fit")
        if not given or self.is_function:
            return
        taken = inspect.signature(self.estimator.fit).parameters
        unknown = [str(name) for name in given if name not in taken]
        if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            raise InvalidDefinition(
                f"{self.name}: fit_params names {unknown[0]!r}, and the fit of {type(self.estimator).__name__} takes "
                f"{', '.join(taken)} only"
            )

    @functools.cached_property
    def fixed_hashes(self) -> dict[str, str]:
        """Hashes of everything but the data: split, space, estimator, metric, start."""
        return {key: found.digest for key, found in self._fingerprints().items()}

    @functools.cached_property
    def distributions(self) -> dict[str, str]:
        """Installed distributions that the estimator, the metric and the space come from -> version."""
        found = self._fingerprints()
        return {k: v for key in ("estimator", "metric", "space") for k, v in found[key].distributions.items()}

    def _fingerprints(self, version: int = HASHES) -> dict[str, Fingerprint]:
        known: dict[int, dict[str, Fingerprint]] = self.__dict__.setdefault("_known_fingerprints", {})
        if version not in known:
            is_cloned = version > OLD_HASHES and not self.is_function  # as build() does
            parts = {
                "estimator": unfitted(self.estimator) if is_cloned else self.estimator,
                "metric": self.scorers,
                "start": list(self.start),
            }
            found = {
                key: fingerprint_and_origins(part, f"{self.name}'s {key}", version=version)
                for key, part in parts.items()
            }
            split, space = Fingerprint(split_fingerprint(self.split), {}), self.space.hashed(version)
            known[version] = {"split": split, "space": space, **found}
        return known[version]

    def hashes(
        self, data: Data, stored: Mapping[str, str] | None = None, *, today: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the hashes by which runs of this study are known, with the data's.

        Args:
            data: as loaded.
            stored: those of runs that are there. A hash that an earlier version of this package gave to the same
                content is returned as it is stored.
            today: what this returns without ``stored``, where it is known: large data are not hashed again.
        """
        today = {"data": data_hash(data), **self.fixed_hashes} if today is None else dict(today)
        differing = [key for key in today if stored is not None and stored.get(key) not in {None, today[key]}]
        if not differing:
            return today
        before = {key: found.digest for key, found in self._fingerprints(OLD_HASHES).items()}
        if "data" in differing:
            before["data"] = data_hash(data, version=OLD_HASHES)
        return {key: (stored or {})[key] if before.get(key) == (stored or {}).get(key) else today[key] for key in today}


def data_hash(data: Data, *, version: int = HASHES) -> str:
    """Hash of the data's content."""
    return fingerprint([data.X, data.y, data.groups, data.fit_params], "the data", version=version)


def context_hash(
    hashes: Mapping[str, str], split: int, distributions: Mapping[str, str] | None = None, begun_anew: int = 0
) -> str:
    """Hash of all that decides a configuration's score besides the configuration itself.

    Args:
        hashes: of the study.
        split: which rows train and validate.
        distributions: that the study's code comes from -> version, beside those that every study uses.
        begun_anew: version of a study that began because stored scores could not be reproduced: something decides
            them that no hash knows, so that scores of before are not reused.
    """
    same = {key: hashes[key] for key in ("data", "split", "estimator", "metric")}
    content: list[Any] = [same, split, {k: v for k, v in versions().items() if k not in {"hpo", "optuna"}}]
    others = {name: v for name, v in (distributions or {}).items() if name not in versions()}
    return fingerprint([*content, *([others] if others else []), *([begun_anew] if begun_anew else [])])


@functools.cache
def versions() -> dict[str, str]:
    """Versions that are stored with each run."""
    packages = ("optuna", "scikit-learn", "numpy", "scipy")
    return {"hpo": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


def changed_versions(stored: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Name the libraries that are others than when a run was made, for people: `` (lightgbm 4.5 -> 4.6)``, or nothing.

    Args:
        stored: attributes of the run.
        now: the versions of today.
    """
    differing = [
        f"{name} {stored[f'version_{name}']} -> {version}"
        for name, version in now.items()
        if stored.get(f"version_{name}", version) != version
    ]
    return f" ({', '.join(differing)})" if differing else ""


def _as_data(loaded: Any, name: str) -> Data:
    from sklearn.utils.validation import _num_samples

    if isinstance(loaded, Data):
        data = loaded
    elif isinstance(loaded, Mapping) and "data" in loaded:  # a scikit-learn Bunch
        features, targets = (_names(loaded.get(name)) for name in ("feature_names", "target_names"))
        data = Data(loaded["data"], loaded.get("target"), feature_names=features, target_names=targets)
    elif isinstance(loaded, tuple):
        if len(loaded) != 2:
            raise InvalidDefinition(
                f"{name}: data() returned {counted(len(loaded), 'value')}: "
                "return X, (X, y) or hpo.Data(X, y, groups=...)"
            )
        data = Data(*loaded)
    else:
        data = Data(loaded)
    for part_name, part in (("y", data.y), ("groups", data.groups)):
        try:
            if part is not None and _num_samples(part) != _num_samples(data.X):
                raise InvalidDefinition(
                    f"{name}: {part_name} has {_num_samples(part)} rows, X has {_num_samples(data.X)}: give one per row"
                )
        except TypeError as error:
            raise InvalidDefinition(f"{name}: data() returned something without rows: {error}") from error
    try:
        _num_samples(data.X)
    except TypeError as error:
        raise InvalidDefinition(f"{name}: data() returned a {type(data.X).__name__}, which has no rows") from error
    return data


def _names(given: Any) -> list[str] | None:
    """Names in a Bunch, which has them as a list, an array, or not at all."""
    return None if given is None or isinstance(given, str) or not hasattr(given, "__iter__") else [*map(str, given)]


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 100:
        raise InvalidDefinition(f"the study's name is {name!r}: give a printable text of 1 to 100 characters")
    for forbidden in "/@":
        if forbidden in name:
            raise InvalidDefinition(
                f"the study's name {name!r} contains \"{forbidden}\", which separates the parts of a run's name"
            )


def _is_short_for(given: str, scorer: str) -> bool:
    """Whether a scorer is meant by initials, as in mse, or by a word of its name, as in auc."""
    words = scorer.removeprefix("neg_").split("_")
    return given in {"".join(word[0] for word in words), "".join(words), "_".join(words)}


def _nearest(given: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = [name for name in known if _is_short_for(given.casefold(), name)] or get_close_matches(given, known, 3)
    return f"; did you mean {' or '.join(close)}?" if close else "; sklearn.metrics.get_scorer_names() lists them"


def normalised_name(name: str) -> str:
    """Names of studies are the same with "-" and "_"."""
    return os.fspath(name).replace("_", "-").lower()
