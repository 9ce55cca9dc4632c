"""One table of samplers: what each is, how it is built, what it needs and supports."""

import ast
import copy
import dataclasses
import functools
import hashlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from hpo.errors import InvalidOption, UnknownSampler, UnsuitableSampler
from hpo.fingerprint.hashing import fingerprint
from hpo.samplers.chosen_trials import choose_trials
from hpo.samplers.cma_es import ReplayedCmaEs
from hpo.samplers.grid import GridSampler
from hpo.samplers.pruners import Pruner, make_pruner, pruner_options
from hpo.samplers.qmc import QMCSampler
from hpo.study.hyperparameters import Categorical
from hpo.study.space import SearchSpace
from hpo.units import nearest, one_line

Factory = Callable[[int], BaseSampler]
_SWITCHES = {
    "multivariate", "group", "constant_liar", "use_separable_cma", "with_margin", "lr_adapt", "deterministic_objective",
}  # fmt: skip
RESERVED = ("reference", "manual")
ENTRY_POINTS = "hpo.samplers"


@dataclass(frozen=True)
class SamplerKind:
    """A row of the table.

    Attributes:
        summary: what it is, in a few words.
        build: (space, seed, options) -> Optuna sampler.
        options: names that may be given in parentheses.
        is_per_run: one object serves the whole run, because its proposals depend on the trial's number and
            on the earlier trials only; otherwise one is made afresh for each trial, from a seed of its own.
        is_adaptive: whether proposals depend on the results so far.
        supports_conditions: whether conditional hyperparameters are modelled.
        searches: what it proposes from.
        fewest_trials: below this budget it is no better than random search, or does not begin.
        module: what must be importable, and ``extra`` the extra that installs it.
        choose: (run's name, trials that have ended) -> those that the sampler is shown; None is all.
        refuses: space -> why it cannot be searched, or None.
    """

    summary: str
    build: Callable[[SearchSpace, int, Mapping[str, Any]], BaseSampler]
    options: tuple[str, ...] = ()
    is_per_run: bool = False
    is_adaptive: bool = True
    supports_conditions: bool = True
    searches: str = "the whole space"
    fewest_trials: int = 1
    module: str | None = None
    extra: str | None = None
    choose: Callable[[str, Sequence[FrozenTrial]], Sequence[FrozenTrial]] | None = None
    refuses: Callable[[SearchSpace], str | None] = field(default=lambda space: None)


def _build_tpe(space: SearchSpace, seed: int, options: Mapping[str, Any]) -> BaseSampler:
    # group=True models each combination of active hyperparameters by itself (Watanabe 2023, section 3.4).
    return TPESampler(**{"group": space.is_conditional, **options}, seed=seed)


def _build_cmaes(space: SearchSpace, seed: int, options: Mapping[str, Any]) -> BaseSampler:
    return ReplayedCmaEs(**options, seed=seed, warn_independent_sampling=False)


def _build_auto(space: SearchSpace, seed: int, options: Mapping[str, Any]) -> BaseSampler:
    from hpo.samplers.bayesian.sampler import (
        BayesianSampler,  # scipy takes half a second, which others need not wait for
    )

    return BayesianSampler(space, seed)


def _refuses_cmaes(space: SearchSpace) -> str | None:
    if space.is_conditional:
        return f"cmaes cannot search hyperparameters that exist only under others ({_names(space.conditional_names())})"
    n_numbers = sum(not isinstance(parameter, Categorical) for parameter in space.parameters.values())
    return f"cmaes needs 2 numeric hyperparameters or more, and there are {n_numbers}" if n_numbers < 2 else None


def _refuses_gp(space: SearchSpace) -> str | None:
    if space.is_conditional:
        return f"gp cannot search hyperparameters that exist only under others ({_names(space.conditional_names())})"
    return None


SAMPLERS: dict[str, SamplerKind] = {
    "grid": SamplerKind(
        "every cell of the grid exactly once, in a seeded random order",
        lambda space, seed, options: GridSampler(space, seed),
        is_per_run=True,
        is_adaptive=False,
        searches="the grid's levels",
    ),
    "random": SamplerKind(
        "independent uniform draws: the baseline",
        lambda space, seed, options: RandomSampler(seed=seed),
        is_adaptive=False,
    ),
    "tpe": SamplerKind(
        "Bayesian optimization with tree-structured Parzen estimators",
        _build_tpe,
        options=("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar"),
        fewest_trials=20,
        choose=choose_trials,
    ),
    "auto": SamplerKind(
        "Bayesian optimization with a Gaussian process, made for the first hundred trials of any space",
        _build_auto,
        is_per_run=True,
        fewest_trials=10,
    ),
    "qmc": SamplerKind(
        "quasi-Monte Carlo: scrambled Sobol points, more even than random",
        lambda space, seed, options: QMCSampler(space.names, seed),
        is_per_run=True,
        is_adaptive=False,
        fewest_trials=8,
    ),
    "cmaes": SamplerKind(
        "covariance matrix adaptation evolution strategy; choices are drawn at random",
        _build_cmaes,
        options=("n_startup_trials", "popsize", "use_separable_cma", "with_margin", "lr_adapt"),
        supports_conditions=False,
        fewest_trials=40,
        module="cmaes",
        refuses=_refuses_cmaes,
    ),
    "gp": SamplerKind(
        "Bayesian optimization with a Gaussian process",
        lambda space, seed, options: GPSampler(**options, seed=seed),
        options=("n_startup_trials", "deterministic_objective"),
        supports_conditions=False,
        fewest_trials=20,
        module="torch",
        extra="torch",
        refuses=_refuses_gp,
    ),
}


@dataclass(frozen=True)
class Sampler:
    """A sampler as a user asked for it.

    Attributes:
        label: its name with its options, as in ``tpe(n_startup_trials=20)``; part of the run's name.
        kind: its row in the table.
        options: given in parentheses.
        hash: fingerprint of a user's own factory; empty for those in the table.
        pruner: what ends hopeless trials early, or None; the label then has it too, as in ``tpe+racing``.
    """

    label: str
    kind: SamplerKind
    options: Mapping[str, Any]
    hash: str = ""
    pruner: Pruner | None = None

    @property
    def is_grid(self) -> bool:
        """Whether it walks the grid, whose size is its natural budget."""
        return self.kind is SAMPLERS["grid"]

    @property
    def is_ours(self) -> bool:
        """Whether it is in the table, whose samplers run nothing that they read."""
        return self.kind in SAMPLERS.values()

    @property
    def is_adaptive(self) -> bool:
        """Whether what becomes of a trial depends on the results so far."""
        return self.kind.is_adaptive or self.pruner is not None

    @property
    def search_label(self) -> str:
        """The label without the pruner: what seeds are derived from, so that a pruner changes no first proposal."""
        return self.label.partition("+")[0] if self.pruner is not None else self.label

    def with_pruner(self, pruner: "str | BasePruner") -> "Sampler":
        """This sampler with a pruner, given as its name, its name with options, or an object of Optuna's."""
        if self.pruner is not None:
            raise InvalidOption(f"{self.label} has a pruner already: leave {pruner} out")
        name, options = pruner_options(pruner) if isinstance(pruner, BasePruner) else _parse(pruner)
        made = make_pruner(name, options)
        return dataclasses.replace(self, label=f"{self.label}+{_label(name, options)}", pruner=made)

    def check(self, space: SearchSpace) -> None:
        """Raise UnsuitableSampler where this sampler cannot search the space, before anything is trained."""
        kind = self.kind
        if kind.module is not None and importlib.util.find_spec(kind.module) is None:
            install = f"pip install 'hpo-studies[{kind.extra}]'" if kind.extra else f"pip install {kind.module}"
            raise UnsuitableSampler(f"{self.label} needs {kind.module}, which is not installed: {install}")
        reason = kind.refuses(space)
        others = (name for name in SAMPLERS if name != self.label.partition("(")[0].partition("+")[0])
        able = ", ".join(o for o in others if SAMPLERS[o].supports_conditions and SAMPLERS[o].module is None)
        if reason is not None:
            raise UnsuitableSampler(f"{reason}; use {able}")
        try:
            built = self.build(space, derive_seed(self.label))  # as large as those of runs
        except (ValueError, TypeError) as error:
            raise InvalidOption(f"the options of {self.label} are refused: {one_line(error)}") from error
        study = quiet_study(InMemoryStorage(), self.label)
        study.sampler = built
        try:
            space.suggest(study.ask())
        except Exception as error:
            raise UnsuitableSampler(
                f"{self.label} cannot search this space ({type(error).__name__}: {one_line(error)}); use {able}"
            ) from error

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """The Optuna sampler for one trial, or for the run where ``kind.is_per_run``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.kind.build(space, seed, self.options)


def find_sampler(given: "str | Factory | Sampler | BaseSampler") -> Sampler:
    """The sampler of a name, of a name with options, of a factory ``seed -> optuna sampler``, or an Optuna sampler.

    An Optuna sampler is copied for each trial and seeded anew, as those of names are: its own seed is not used.

    A pruner follows a plus sign: ``tpe+racing``, ``random+median(n_startup_trials=8)``.

    Raises:
        UnknownSampler, UnknownPruner, InvalidOption: what is known.
    """
    if isinstance(given, Sampler):
        return given
    if isinstance(given, BaseSampler):
        return _from_object(given)
    if callable(given):
        return _from_factory(getattr(given, "__name__", type(given).__name__), given)
    with_pruner = re.fullmatch(r"(.+?)\+([A-Za-z_]\w*(?:\(.*\))?)", given.strip()) if isinstance(given, str) else None
    if with_pruner is not None:
        return find_sampler(with_pruner[1]).with_pruner(with_pruner[2])
    name, options = _parse(given)
    if name in SAMPLERS:
        kind = SAMPLERS[name]
        for option in options:
            if option not in kind.options:
                known = f"its options are {', '.join(kind.options)}" if kind.options else "it has none"
                raise InvalidOption(f"{name} has no option {option!r}: {nearest(option, kind.options)}{known}")
            _check_option(name, option, options[option])
        return Sampler(_label(name, options), kind, options)
    added = added_samplers()
    if name in added:
        point = added[name]
        if options:
            raise InvalidOption(f"{name}, which {point.value} adds, takes no options: write {name}")
        try:
            factory = point.load()
        except Exception as error:
            raise UnknownSampler(
                f"the sampler {name!r} cannot be loaded from {point.value}: {type(error).__name__}: {one_line(error)}"
            ) from error
        return _from_factory(name, factory)
    names = [*SAMPLERS, *sorted(added)]
    near = "did you mean tpe or gp? " if name.casefold().startswith("bayes") else nearest(name, names)
    words = re.split(r"[,\s]+", name)
    if len(words) > 1 and set(words) <= set(names):
        near = f"a run has one, and hpo compare has several: --samplers {','.join(words)}; "
    raise UnknownSampler(f"there is no sampler {name!r}; {near}known: {', '.join(names)} (hpo samplers describes them)")


def added_samplers() -> dict[str, EntryPoint]:
    """Name -> entry point of the samplers that packages add; none hides one of the table."""
    points = entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in points if point.name not in {*SAMPLERS, *RESERVED}}


def quiet_study(storage: InMemoryStorage, name: str) -> optuna.Study:
    """A study in memory, which Optuna does not announce."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(storage=storage, study_name=name, direction="maximize")
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_option(name: str, option: str, value: Any) -> None:
    if option in _SWITCHES:
        if not isinstance(value, bool):
            raise InvalidOption(f"{name}({option}={value!r}): give True or False")
        return
    least = 2 if option == "popsize" else 1
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOption(f"{name}({option}={value!r}): give a whole number, {least} or more")


def derive_seed(*parts: str | int) -> int:
    """A seed that is independent for different parts (study, sampler, seed, trial number)."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int(np.random.SeedSequence(int.from_bytes(digest, "big")).generate_state(1)[0])


def _from_factory(name: str, factory: Any) -> Sampler:
    if not name.replace("_", "").replace("-", "").isalnum() or name in {*SAMPLERS, *RESERVED}:
        raise InvalidOption(
            f"a sampler's factory named {name!r} cannot name a run: write a function whose name is not in "
            f"{', '.join([*SAMPLERS, *RESERVED])}"
        )
    kind = SamplerKind(f"the user's own factory {name}", functools.partial(_call_factory, name, factory))
    return Sampler(name, kind, {}, fingerprint(factory, f"the sampler {name}"))


def _from_object(given: BaseSampler) -> Sampler:
    """An Optuna sampler that a user made; its label tells one with other options apart."""
    name = type(given).__name__
    ours = {"GridSampler": "grid", "QMCSampler": "qmc"}.get(name)
    if ours is not None:
        raise UnsuitableSampler(f"{name} of Optuna cannot be made anew for each trial: give sampler={ours!r}")
    content = fingerprint(_reseeded(given, 0), f"the sampler {name}")
    found = _from_factory(f"{name}-{content[:8]}", functools.partial(_reseeded, given))
    return dataclasses.replace(found, hash=content)


def _reseeded(sampler: BaseSampler, seed: int) -> BaseSampler:
    """A copy of a sampler whose every random generator, also of samplers inside it, begins with a seed."""
    copied = copy.deepcopy(sampler)
    waiting, n_seeded = [copied], 0
    while waiting:
        inside = waiting.pop()
        for value in vars(inside).values():
            if isinstance(value, LazyRandomState):
                value.rng.seed(derive_seed(seed, n_seeded))
                n_seeded += 1
            elif isinstance(value, BaseSampler):
                waiting.append(value)
    return copied


def _call_factory(name: str, factory: Any, space: SearchSpace, seed: int, options: Mapping[str, Any]) -> BaseSampler:
    try:
        made = factory(seed)
    except Exception as error:
        raise UnsuitableSampler(
            f"{name}(seed) raised {type(error).__name__} for the seed {seed}: {one_line(error)}"
        ) from error
    if not isinstance(made, BaseSampler):
        raise UnsuitableSampler(f"{name}(seed) returned a {type(made).__name__}, not an optuna sampler")
    return made


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    """``tpe(n_startup_trials=20)`` -> name and options; options are Python literals."""
    if not isinstance(text, str):
        raise UnknownSampler(f"a sampler is a name or a factory seed -> optuna sampler, not {text!r}")
    name, parenthesis, rest = text.strip().partition("(")
    if not parenthesis:
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args:
            raise ValueError("options have names")
        return name.strip(), {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        raise InvalidOption(
            f"cannot parse the sampler {text!r}: write options as in tpe(n_startup_trials=20)"
        ) from error


def _label(name: str, options: Mapping[str, Any]) -> str:
    inside = ",".join(f"{option}={options[option]!r}" for option in sorted(options))
    return f"{name}({inside})" if inside else name


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
