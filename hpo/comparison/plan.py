"""What a comparison consists of, fixed before looking."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

from hpo.comparison.statistics.effort import fewest_repetitions
from hpo.database.run_name import RunName
from hpo.errors import InvalidOption
from hpo.runs.stopping import check_whole
from hpo.samplers.pruning import check_suitable
from hpo.samplers.table import Factory, Sampler, find_sampler
from hpo.study.definition import StudyDefinition
from hpo.units import Metric

RANDOM = "random"


@dataclass(frozen=True)
class Subject:
    """What a comparison must know of the study definition.

    Attributes:
        shown_metric: how values are shown.
        grid_size: cells of the grid; 0 where that is not known.
        n_start: configurations that every run evaluates first.
        margin: the smallest difference that matters, in the metric's units, or None.
    """

    shown_metric: Metric
    grid_size: int
    n_start: int
    margin: float | None = None

    @classmethod
    def of(cls, definition: StudyDefinition) -> "Subject":
        """What it must know of this one."""
        return cls(definition.shown_metric, definition.space.grid_size, len(definition.start), definition.margin)


@dataclass(frozen=True)
class Plan:
    """What a comparison consists of.

    Attributes:
        samplers: in the order they are shown.
        repetitions: repetition r uses seed r, and split r where rows are split anew.
        trials: budget of each run.
        baseline: label of the sampler the others are compared with; None compares all pairs.
        margin: the smallest difference that matters, in the metric's units, or None.
        resplit: whether each repetition has training and validation rows of its own, shared by all samplers.
        alpha: the probability of a false "real" that is accepted.
        pairs: (split, seed) of each repetition, where runs were found instead of planned.
        until_known: whether it ends before its repetitions once every question has its answer.
        pool: how many times the trials of a run random search has on each split, for the effort that it would take.
    """

    samplers: tuple[Sampler, ...]
    repetitions: int
    trials: int
    baseline: str | None = "random"
    margin: float | None = None
    resplit: bool = True
    alpha: float = 0.05
    pairs: tuple[tuple[int, int], ...] = ()
    until_known: bool = False
    pool: int = 1

    @classmethod
    def of(
        cls,
        definition: StudyDefinition,
        samplers: Sequence["str | Factory | Sampler"],
        *,
        repetitions: int,
        trials: int,
        baseline: str | None = "random",
        margin: float | None = None,
        resplit: bool = True,
        alpha: float = 0.05,
        until_known: bool = False,
        pool: int = 1,
    ) -> "Plan":
        """A plan for a study whose numbers and samplers are checked; the definition's margin where none is given."""
        repetitions, trials = check_whole("repetitions", repetitions), check_whole("trials", trials)
        pool = check_whole("pool", pool)
        if isinstance(samplers, str) or not hasattr(samplers, "__iter__"):
            raise InvalidOption(f"samplers={samplers!r}: give a list of samplers, as in ['random', 'tpe']")
        chosen = tuple(find_sampler(sampler) for sampler in samplers)
        labels = [sampler.label for sampler in chosen]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InvalidOption(f"samplers={','.join(labels)}: give two or more, each once")
        if baseline is not None and baseline not in labels:
            raise InvalidOption(
                f"baseline={baseline!r} is not among the samplers {', '.join(labels)}; None compares all pairs"
            )
        for name, value, most in (("margin", margin, math.inf), ("alpha", alpha, 1)):
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value < most):
                unit = "in the metric's units" if name == "margin" else "and below 1"
                raise InvalidOption(f"{name}={value!r}: give a number above 0, {unit}")
        for sampler in chosen:
            check_suitable(sampler, definition)
        resplits = bool(resplit) and definition.split.has_randomness
        given = definition.margin if margin is None else margin
        if pool > 1 and not resplits:
            raise InvalidOption(f"pool={pool}: random trials are pooled by split, and here all repetitions share one")
        return cls(
            chosen, repetitions, trials, baseline, given, resplits, alpha, until_known=bool(until_known), pool=pool
        )

    @property
    def labels(self) -> list[str]:
        """Of the samplers."""
        return [sampler.label for sampler in self.samplers]

    @property
    def fewest_repetitions(self) -> int:
        """With fewer repetitions no verdict can be reached, whatever they show."""
        return fewest_repetitions(1, self.resplit, self.alpha)

    @property
    def pruned(self) -> list[tuple[str, str]]:
        """(Sampler with a pruner, the same without it), of those that are compared."""
        pairs = [(s.label, s.search_label) for s in self.samplers if s.pruner is not None]
        return [(label, other) for label, other in pairs if other in self.labels]

    @property
    def random(self) -> str | None:
        """The label of random search, where it is among the samplers."""
        return RANDOM if RANDOM in self.labels else None

    @property
    def pool_labels(self) -> list[str]:
        """Samplers whose proposals depend on no result: their runs are the pool of random trials on a split."""
        own = [s.label for s in self.samplers if s.pruner is None]
        kinds = [label for label in own if label.partition("(")[0] in (RANDOM, "qmc")]
        return kinds if RANDOM in kinds or self.pool == 1 else [RANDOM, *kinds]

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """(split, seed) of each repetition."""
        return list(self.pairs) or [(r if self.resplit else 0, r) for r in range(self.repetitions)]


def in_words(runs: Iterable[RunName]) -> str:
    """Runs by their repetitions: ``repetitions of tpe: 1, 4-6; of grid: 0``."""
    seeds: dict[str, list[int]] = {}
    for name in runs:
        seeds.setdefault(name.sampler, []).append(name.seed)
    return "repetitions of " + "; of ".join(f"{sampler}: {_ranges(own)}" for sampler, own in seeds.items())


def _ranges(numbers: list[int]) -> str:
    """``1, 4-6`` of 1, 4, 5, 6."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, ends)) for ends in ranges)
