"""How far runs are: trials done and failed, incumbents, and the medians of a comparison that is under way."""

import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.database.run_name import RunName

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Stage:
    """How far one run is.

    Attributes:
        n_total, n_done, n_failed: trials it is to have, has, and of these those that failed.
        best: the incumbent's value (the scorer's sign); None before the first success.
        n_new, n_reused: trials told since this began, and of these those that were not trained.
    """

    n_total: int
    n_done: int = 0
    n_failed: int = 0
    best: float | None = None
    n_new: int = 0
    n_reused: int = 0


@dataclass(frozen=True)
class Standing:
    """What the runs of one sampler have come to.

    Attributes:
        sampler: its label.
        n_runs, n_ended: runs wanted, and those that have all their trials.
        n_total, n_done, n_failed: trials, over its runs.
        median: of the incumbents (the scorer's sign) of the runs that have one, at whatever stage each is; or None.
        n_incumbents: how many runs the median is over.
    """

    sampler: str
    n_runs: int
    n_ended: int
    n_total: int
    n_done: int
    n_failed: int
    median: float | None
    n_incumbents: int


class Stages:
    """How far the runs of a job are.

    Attributes:
        runs: run -> its stage, in the order of the plan.
        references: split -> the value of the usual hyperparameters, where it is known.
    """

    def __init__(self, runs: Mapping[RunName, Stage] | None = None) -> None:
        self.runs = dict(runs or {})
        self.references: dict[int, float] = {}

    @classmethod
    def of_plan(cls, names: Collection[RunName], lacking: Mapping[RunName, int], trials: "pd.DataFrame") -> "Stages":
        """The stages of planned runs, as the database has them.

        Args:
            names: the runs, in the order of the plan.
            lacking: for those that are not done, how many trials they lack.
            trials: one row per stored trial that counts, with sampler, split, seed, state and value; also the
                references'.
        """
        stored = dict(list(trials.groupby(["sampler", "split", "seed"], sort=False)))
        stages = cls()
        for name in names:
            stage = stages.runs[name] = Stage(lacking.get(name, 0))
            own = stored.get((name.sampler, name.split, name.seed))
            if own is not None:
                stage.n_done, stage.n_total = len(own), len(own) + stage.n_total
                stage.n_failed = int((own["state"] == "FAIL").sum())
                stage.best = max(own["value"].dropna(), default=None)
        for split, value in trials.loc[trials["sampler"] == "reference", ["split", "value"]].itertuples(index=False):
            stages.refer(int(split), float(value))
        return stages

    def refer(self, split: int, value: float | None) -> None:
        """Take note of a split's reference."""
        if value is not None and value == value:
            self.references[split] = value

    @property
    def n_done(self) -> int:
        """Trials done, over all runs."""
        return sum(stage.n_done for stage in self._all)

    @property
    def n_total(self) -> int:
        """Trials wanted, over all runs."""
        return sum(stage.n_total for stage in self._all)

    @property
    def n_failed(self) -> int:
        """Trials that failed, over all runs."""
        return sum(stage.n_failed for stage in self._all)

    @property
    def n_new(self) -> int:
        """Trials told since this began, over all runs."""
        return sum(stage.n_new for stage in self._all)

    @property
    def reference(self) -> float | None:
        """The median of the references so far."""
        return _median(self.references.values())

    @property
    def standings(self) -> list[Standing]:
        """What the runs of each sampler have come to, in the order of the plan."""
        return [
            Standing(
                sampler,
                n_runs=len(stages),
                n_ended=sum(stage.n_done >= stage.n_total for stage in stages),
                n_total=sum(stage.n_total for stage in stages),
                n_done=sum(stage.n_done for stage in stages),
                n_failed=sum(stage.n_failed for stage in stages),
                median=_median(stage.best for stage in stages),
                n_incumbents=sum(stage.best is not None for stage in stages),
            )
            for sampler, stages in self._by_sampler.items()
        ]

    def seconds_left(self, seconds: float) -> float | None:
        """About how long what is left takes, judged by what this many seconds brought; None while nothing did.

        Only trials that were trained take time. How many of those left will be trained is taken from each sampler's
        own share so far, so that a sampler whose trials are all there already does not promise the same of the others.
        """
        n_trained = sum(stage.n_new - stage.n_reused for stage in self._all)
        if n_trained == 0 or seconds <= 0:
            return None
        n_to_train = 0.0
        for stages in self._by_sampler.values():
            n_new, n_reused = sum(stage.n_new for stage in stages), sum(stage.n_reused for stage in stages)
            n_left = sum(max(stage.n_total - stage.n_done, 0) for stage in stages)
            n_to_train += n_left * (n_new - n_reused + 1) / (n_new + 1)  # + 1: at first, as if all were trained
        return n_to_train * seconds / n_trained

    @property
    def _all(self) -> list[Stage]:
        return list(self.runs.values())  # at once: another thread draws while this one adds

    @property
    def _by_sampler(self) -> dict[str, list[Stage]]:
        grouped: dict[str, list[Stage]] = {}
        for name, stage in list(self.runs.items()):
            grouped.setdefault(name.sampler, []).append(stage)
        return grouped


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
