"""One configuration by hand: what was chosen, evaluated and recorded like any other trial, and where it stands."""

import ast
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

from hpo.database.study_database import StudyDatabase
from hpo.database.trial import Trial
from hpo.errors import InvalidOption, InvalidSpace
from hpo.process.cores import share_of_cores
from hpo.process.interrupts import finishing_first
from hpo.runs.driver import Driver, Job, started
from hpo.runs.origin import find_in
from hpo.runs.progress import Progress
from hpo.runs.run import Run
from hpo.runs.session import StudySession
from hpo.runs.stopping import RunOptions, check_numbers
from hpo.study.definition import StudyDefinition
from hpo.study.foreign_spaces import Parameter, Quantile, range_text
from hpo.study.hyperparameters import Categorical, Configuration, Float, Int, finite_number
from hpo.study.space import when_text
from hpo.units import Metric

_WORDS: dict[str, Any] = {"none": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Choice:
    """A configuration as somebody chose it.

    Attributes:
        configuration: stored values of the active hyperparameters.
        outside: names that were chosen beyond the space's range -> the range in words.
        kept: hyperparameters that nobody named -> the estimator's own default, which is no value of the space.
    """

    configuration: Configuration
    outside: Mapping[str, str]
    kept: Mapping[str, Any]


@dataclass(frozen=True)
class Tried:
    """One try, and where it stands; values have the scorer's sign.

    Attributes:
        run: of all tries on this split; ``trial`` is this one.
        previous: the try before it, or None; ``reference`` the estimator's usual hyperparameters.
        changed: name -> (value in the previous try, value now); None where it did not exist.
        gap: training score less validation score: what the model knows of its own rows only. None if it failed.
        rank: among the ``n_configurations`` distinct ones that any run has evaluated on this split; 1 is the best.
        best: the highest value of these.
        usual: what the reference has for each hyperparameter, where that can be told.
        outside, kept: as in :class:`Choice`.
    """

    run: Run
    trial: Trial
    previous: Trial | None
    reference: Trial | None
    changed: Mapping[str, tuple[Any, Any]]
    gap: float | None
    rank: int | None
    n_configurations: int
    best: float | None
    usual: Mapping[str, Any]
    outside: Mapping[str, str]
    kept: Mapping[str, Any]

    @property
    def metric(self) -> Metric:
        """How its values are shown."""
        return self.run.metric

    @property
    def taken_over_from(self) -> str | None:
        """Where the same configuration had been evaluated, so that it was not trained again: ``run#number``."""
        return self.trial.attributes.get("duplicate_of")


def try_configuration(
    study: "StudyDefinition | str | Path",
    params: Mapping[str, Any],
    *,
    split: int = 0,
    database: "StudyDatabase | str | PathLike[str] | None" = None,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    new_version: bool = False,
) -> Tried:
    """Evaluate one configuration that somebody chose, and record it as a trial of the run ``STUDY/manual/...``.

    Args:
        study: a definition, the name of a study, or the path of a script.
        params: name -> value, or its text as on the command line. Those left out are as in the reference. A value may
            leave the range of the space, but not its type.
        split: decides which rows train and which validate.
        database: as for :func:`hpo.run`.
        trial_timeout, trial_memory: seconds and MB (2**20 bytes) that it may take.
        new_version: where the definition has changed, begin a new version of the study.

    Raises:
        InvalidOption: a name is unknown, missing or does not exist under the others; or a value has another type.
        RunInUse: another process is trying one on this split.

    Example:
        >>> import hpo
        >>> tried = hpo.try_configuration("wine-tree", {"max_depth": 3}, database=":memory:")
        >>> tried.trial.configuration["max_depth"]
        3
    """
    options = RunOptions(trial_timeout=trial_timeout, trial_memory=trial_memory)
    check_numbers(split=split)
    definition = find_in(study, database)
    choice = choose(definition, params)
    session = StudySession(definition, database, new_version=new_version)
    session.check_stored([split])
    name = session.name("manual", split, 0)
    threads = session.database.run_attributes(str(name)).get("threads", share_of_cores(1))
    with (
        Progress("none", definition.shown_metric) as shown,
        started(session, {str(name)}, 1, options, threads, shown) as engine,
        finishing_first() as interrupts,
    ):
        driver = Driver(session, engine, options, interrupts, shown)
        driver.evaluate_reference(split, threads)
        loop = driver.drive_one(Job(name, None, threads=threads, by_hand=choice.configuration))
    if interrupts.requested:
        raise KeyboardInterrupt
    return _standing(Run(name, session.database, definition), loop.n_recorded - 1, choice, definition.usual())


def _standing(run: Run, number: int, choice: Choice, usual: Mapping[str, Any]) -> Tried:
    trial = run.trial(number)
    previous = run.trial(number - 1) if number else None
    before = {} if previous is None else previous.params
    names = dict.fromkeys([*before, *trial.params])
    trials = run.database.trials(study=run.name.versioned_study)
    values = trials[(trials["split"] == run.name.split) & (trials["state"] == "COMPLETE")]
    values = values.drop_duplicates("configuration")["value"]
    has_gap = trial.value is not None and trial.train_score is not None
    return Tried(
        run=run,
        trial=trial,
        previous=previous,
        reference=run.reference,
        changed={
            name: (before.get(name), trial.params.get(name))
            for name in names
            if previous is not None and before.get(name) != trial.params.get(name)
        },
        gap=(trial.train_score or 0.0) - (trial.value or 0.0) if has_gap else None,
        rank=None if trial.value is None else 1 + sum(is_better(value, trial.value) for value in values),
        n_configurations=len(values),
        best=None if values.empty else float(values.max()),
        usual=usual,
        outside=choice.outside,
        kept=choice.kept,
    )


def is_better(value: float, other: float) -> bool:
    """Whether a value is higher by more than the last digits of a sum, which depend on its order."""
    return value > other and not math.isclose(value, other, rel_tol=1e-12)


# --- what was chosen ---


def parse_assignments(texts: Sequence[str]) -> dict[str, str]:
    """``["C=10", "kernel=rbf"]`` -> name -> text of the value."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InvalidOption(f"{text!r} is not a hyperparameter and its value: write name=value")
        if name.strip() in found:
            raise InvalidOption(f"{name.strip()} is given twice, as {found[name.strip()]} and {value.strip()}")
        found[name.strip()] = value.strip()
    return found


def choose(definition: StudyDefinition, params: Mapping[str, Any]) -> Choice:
    """The whole configuration that somebody means who names some of its hyperparameters.

    Raises:
        InvalidOption: see :func:`try_configuration`.
    """
    space, known = definition.space, definition.space.parameters
    for name in params:
        if name not in known:
            close = get_close_matches(name, known, 3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(sorted(known))}"
            raise InvalidOption(f"{definition.name} has no hyperparameter {name!r}; {hint}")
    configuration: Configuration = {}
    inside: Configuration = {}  # a parent beyond its range has no children
    outside: dict[str, str] = {}
    kept: dict[str, Any] = {}
    missing: list[str] = []
    for name in space.names:
        parameter = known[name]
        if not space.is_active(name, inside):
            if name in params:
                raise InvalidOption(
                    f"{name} exists only when {when_text(parameter.when)}: name that too, or leave it out"
                )
            continue
        value = params[name] if name in params else _usual(definition, name, configuration)
        if value is _NOTHING:
            missing.append(f"{name} ({range_text(parameter)})")
            continue
        is_default = name not in params and _is_default(definition, name, value, configuration)
        try:
            configuration[name] = _typed(name, parameter, value)
            configuration[name] = inside[name] = parameter.check(configuration[name])
        except InvalidOption:  # as gamma="scale", where the space has numbers
            if name in params:
                raise
            if not is_default:
                missing.append(f"{name} ({range_text(parameter)})")
            kept[name] = value
        except InvalidSpace:
            if is_default:  # then it need not be set, nor does it count as chosen
                kept[name] = configuration.pop(name)
            elif name in params:
                outside[name] = range_text(parameter)
    if missing:
        raise InvalidOption(
            f"the reference of {definition.name} cannot say what is left out: name {', '.join(missing)}"
        )
    return Choice(configuration, outside, kept)


_NOTHING = object()


def _usual(definition: StudyDefinition, name: str, configuration: Mapping[str, Any]) -> Any:
    """The reference's value of a hyperparameter, under the others chosen so far; or _NOTHING."""
    reference = definition.reference or {}
    return reference[name] if name in reference else _default(definition, name, configuration)


def _default(definition: StudyDefinition, name: str, configuration: Mapping[str, Any]) -> Any:
    """What the estimator itself has where nobody sets it; a function has nothing."""
    if definition.is_function:
        return _NOTHING
    estimator = definition.build(definition.space.use(configuration))
    return estimator.get_params(deep=True).get(name, _NOTHING)


def _is_default(definition: StudyDefinition, name: str, value: Any, configuration: Mapping[str, Any]) -> bool:
    """Whether not setting a hyperparameter is the same as giving it this value."""
    default = _default(definition, name, configuration)
    return default is value or (type(default) is type(value) and repr(default) == repr(value))


def _typed(name: str, parameter: Parameter, value: Any) -> Any:
    """A value, or the text of one, as it is stored; perhaps beyond the range.

    Raises:
        InvalidOption: it has another type.
    """
    try:
        if isinstance(parameter, Categorical):
            return _label(parameter, value)
        number = _literal(value) if isinstance(value, str) else value
        if isinstance(parameter, Quantile):
            return _quantile(parameter, number)
        return finite_number(number, int if isinstance(parameter, Int) else float, "it")
    except (InvalidSpace, ValueError, TypeError) as error:
        kind = {Int: "whole numbers", Float: "numbers", Categorical: "one of"}.get(type(parameter), "numbers from")
        raise InvalidOption(f"{name}={value}: it takes {kind}{_of(parameter)}") from error


def _of(parameter: Parameter) -> str:
    text = range_text(parameter)
    return f" {text}" if isinstance(parameter, (Categorical, Quantile)) else f"; the space has {text}"


def _label(parameter: Categorical, value: Any) -> Any:
    if isinstance(value, str) and value not in parameter.choices:
        value = _literal(value)
    return parameter.check(value)


def _literal(text: str) -> Any:
    """None, a truth value, a number, or a text in quotes."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    return text


def _quantile(parameter: Quantile, value: Any) -> float:
    """The quantile at which a scipy distribution has a value; what is searched and stored."""
    from scipy.stats import rv_discrete

    number = finite_number(value, float, "it")
    below = parameter.distribution.cdf(number)
    if isinstance(parameter.distribution.dist, rv_discrete):  # the middle of the step
        below = (below + parameter.distribution.cdf(number - 1)) / 2
    return parameter.check(float(below))
