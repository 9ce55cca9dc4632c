"""One table of pruners: what each watches, how it is built, what it needs."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner

from hpo.errors import InvalidOption, UnknownPruner
from hpo.units import nearest, one_line


@dataclass(frozen=True)
class PrunerKind:
    """A row of the table.

    Attributes:
        summary: what it is, in a few words.
        build: options -> Optuna pruner; None for racing, which watches folds.
        options: name -> (type, smallest, largest).
    """

    summary: str
    build: Callable[..., BasePruner] | None
    options: Mapping[str, tuple[type, float, float]]


_MANY = 10**6
_STEPS = {
    "n_startup_trials": (int, 1, _MANY), "n_warmup_steps": (int, 0, _MANY),
    "interval_steps": (int, 1, _MANY), "n_min_trials": (int, 1, _MANY),
}  # fmt: skip
_HALVING = {"min_resource": (int, 1, _MANY), "reduction_factor": (int, 2, 100)}

PRUNERS: dict[str, PrunerKind] = {
    "racing": PrunerKind(
        "over folds: ends a trial that will not overtake the incumbent, with 95% confidence",
        None,
        {"alpha": (float, 1e-6, 0.5)},
    ),
    "median": PrunerKind(
        "over training: ends a trial whose best score so far is below the median of others at that step",
        MedianPruner,
        _STEPS,
    ),
    "percentile": PrunerKind(
        "over training: like median, with the share that is kept (percentile=25.0)",
        lambda percentile=25.0, **options: PercentilePruner(percentile, **options),
        {"percentile": (float, 0.0, 100.0), **_STEPS},
    ),
    "halving": PrunerKind(
        "over training: asynchronous successive halving",
        SuccessiveHalvingPruner,
        {**_HALVING, "min_early_stopping_rate": (int, 0, 20), "bootstrap_count": (int, 0, _MANY)},
    ),
    "hyperband": PrunerKind(
        "over training: Hyperband, several successive halvings of which some begin late",
        HyperbandPruner,
        {**_HALVING, "max_resource": (int, 1, _MANY), "bootstrap_count": (int, 0, _MANY)},
    ),
}


@dataclass(frozen=True)
class Pruner:
    """A pruner as a user asked for it.

    Attributes:
        name: its row in the table.
        options: given in parentheses.
    """

    name: str
    options: Mapping[str, Any]

    @property
    def watches_folds(self) -> bool:
        """Whether it decides between folds; otherwise while one is trained."""
        return PRUNERS[self.name].build is None

    @property
    def alpha(self) -> float:
        """Of racing: the accepted probability of giving up a winner."""
        return float(self.options.get("alpha", 0.05))

    def build(self) -> BasePruner:
        """The Optuna pruner; made afresh for each decision, since some remember what they saw first."""
        build = PRUNERS[self.name].build
        assert build is not None  # racing is no pruner of Optuna's
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two of them are called experimental
            return build(**self.options)


def pruner_options(pruner: BasePruner) -> tuple[str, dict[str, Any]]:
    """Name and options of a pruner that Optuna made, where they are not its defaults.

    Raises:
        UnknownPruner: it is none of the table.
    """
    names = {
        "MedianPruner": "median", "PercentilePruner": "percentile", "SuccessiveHalvingPruner": "halving",
        "HyperbandPruner": "hyperband",
    }  # fmt: skip
    name = names.get(type(pruner).__name__)
    if name is None:
        raise UnknownPruner(f"{type(pruner).__name__} of Optuna is not known: give {', '.join(names)} or a name")
    usual = vars(make_pruner(name, {}).build())
    given = {option: getattr(pruner, f"_{option}", None) for option in PRUNERS[name].options}
    changed = {o: v for o, v in given.items() if v != usual.get(f"_{o}") and isinstance(v, (int, float))}
    return name, changed


def make_pruner(name: str, options: Mapping[str, Any]) -> Pruner:
    """The pruner of a name with options.

    Raises:
        UnknownPruner, InvalidOption: what is known.
    """
    if name not in PRUNERS:
        raise UnknownPruner(
            f"there is no pruner {name!r}; {nearest(name, PRUNERS)}known: {', '.join(PRUNERS)} "
            "(hpo samplers describes them)"
        )
    kind = PRUNERS[name]
    for option, value in options.items():
        if option not in kind.options:
            raise InvalidOption(
                f"{name} has no option {option!r}: {nearest(option, kind.options)}its options are "
                f"{', '.join(kind.options)}"
            )
        expected, low, high = kind.options[option]
        is_number = isinstance(value, (int, expected)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            what = "a whole number" if expected is int else "a number"
            raise InvalidOption(f"{name}({option}={value!r}): give {what} from {low:g} to {high:g}")
    pruner = Pruner(name, dict(options))
    if not pruner.watches_folds:
        try:
            pruner.build()
        except (ValueError, TypeError) as error:
            raise InvalidOption(f"the options of {name} are refused: {one_line(error)}") from error
    return pruner
