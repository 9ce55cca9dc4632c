"""A comparison of samplers on one study: frames to compute with, and what people read."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.comparison import report
from hpo.comparison.figures import Figure, incumbents, incumbents_text
from hpo.definition import StudyDefinition
from hpo.errors import InvalidOption
from hpo.samplers import Factory, Sampler, find_sampler
from hpo.units import Metric, counted, format_duration


@dataclass(frozen=True)
class Plan:
    """What a comparison consists of.

    Attributes:
        samplers: in the order they are shown.
        repetitions: repetition r uses split r and seed r, the split shared by all samplers.
        trials: budget of each run.
        baseline: label of the sampler the others are compared with.
    """

    samplers: tuple[Sampler, ...]
    repetitions: int
    trials: int
    baseline: str

    @classmethod
    def of(
        cls, samplers: Sequence["str | Factory | Sampler"], *, repetitions: int, trials: int, baseline: str
    ) -> "Plan":
        """A plan whose numbers and samplers are checked."""
        for name, number in {"repetitions": repetitions, "trials": trials}.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise InvalidOption(f"{name}={number!r}: give a whole number, 1 or more")
        if isinstance(samplers, str) or not hasattr(samplers, "__iter__"):
            raise InvalidOption(f"samplers={samplers!r}: give a list of samplers, as in ['random', 'tpe']")
        chosen = tuple(find_sampler(sampler) for sampler in samplers)
        labels = [sampler.label for sampler in chosen]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InvalidOption(f"samplers={','.join(labels)}: give two or more, each once")
        if baseline not in labels:
            raise InvalidOption(f"baseline={baseline!r} is not among the samplers {', '.join(labels)}")
        return cls(chosen, repetitions, trials, baseline)

    def numbers(self, definition: StudyDefinition) -> list[tuple[int, int]]:
        """(split, seed) of each repetition; rows that are not shuffled have only split 0."""
        return [(r if definition.split.has_randomness else 0, r) for r in range(self.repetitions)]


class Comparison:
    """What became of the samplers on one study: frames to compute with, figures, and text.

    Values keep the scorer's sign (higher is better); text and figures show errors positive.

    Attributes:
        study: name of the study with its version.
        metric: how values are shown.
        plan: samplers, repetitions, trials.
        finals: tidy, one row per run: sampler, repetition, split, value (NaN without success), trials, distinct,
            failed, fit_seconds, sampler_seconds.
        curves: tidy, one row per trial: sampler, repetition, trial (from 1), seconds (its trials so far took),
            incumbent (best value so far; NaN before the first success).
        reference: tidy, one row per split: split, value.
        resplit: whether the repetitions differ in their rows; otherwise in the samplers' randomness only.
    """

    def __init__(self, definition: StudyDefinition, study: str, plan: Plan, trials: pd.DataFrame) -> None:
        self.study, self.plan = study, plan
        self.metric: Metric = definition.shown_metric
        self.resplit = definition.split.has_randomness
        self._grid_size = definition.space.grid_size
        self.reference = trials.loc[trials["sampler"] == "reference", ["split", "value"]].reset_index(drop=True)
        labels = [sampler.label for sampler in plan.samplers]
        wanted = pd.MultiIndex.from_tuples(plan.numbers(definition), names=["split", "seed"])
        own = trials[trials["sampler"].isin(labels) & (trials["number"] < plan.trials)]
        own = own[pd.MultiIndex.from_frame(own[["split", "seed"]].astype(int)).isin(wanted)]
        self._trials = own.assign(repetition=own["seed"].astype(int)).sort_values(["sampler", "repetition", "number"])
        self.curves = _curves(self._trials)
        self.finals = _finals(self._trials)

    @property
    def table(self) -> pd.DataFrame:
        """One row per sampler, in the plan's order.

        Columns: study, sampler, repetitions, trials (in all), distinct (configurations in each split), failed,
        median, worst, best (final values over repetitions, the scorer's sign), wins, ties, losses (repetitions
        against the baseline; NA for itself), fit_seconds, sampler_seconds (sums).
        """
        finals = self.finals.pivot(index="repetition", columns="sampler", values="value").fillna(-np.inf)
        rows = []
        for sampler in self.plan.samplers:
            runs = self.finals[self.finals["sampler"] == sampler.label]
            row = {
                "study": self.study,
                "sampler": sampler.label,
                "repetitions": len(runs),
                "trials": runs["trials"].sum(),
                "distinct": runs["distinct"].sum(),
                "failed": runs["failed"].sum(),
                "median": runs["value"].median(),
                "worst": runs["value"].min(),
                "best": runs["value"].max(),
                "wins": pd.NA,
                "ties": pd.NA,
                "losses": pd.NA,
                "fit_seconds": runs["fit_seconds"].sum(),
                "sampler_seconds": runs["sampler_seconds"].sum(),
            }
            if sampler.label != self.plan.baseline:
                own, base = finals[sampler.label], finals[self.plan.baseline]
                row |= {"wins": (own > base).sum(), "ties": (own == base).sum(), "losses": (own < base).sum()}
            rows.append(row)
        table = pd.DataFrame(rows)
        return table.astype(dict.fromkeys(("wins", "ties", "losses"), "Int64"))

    def records(self) -> list[dict[str, Any]]:
        """The table as plain values, for JSON."""
        return [
            {key: None if pd.isna(value) else getattr(value, "item", lambda v=value: v)() for key, value in row.items()}
            for row in self.table.to_dict("records")
        ]

    @property
    def is_cut(self) -> bool:
        """Whether repetitions of the plan are missing, as after a timeout."""
        return int(self.finals["repetition"].nunique()) < self.plan.repetitions

    def notes(self) -> list[str]:
        """What a reader must know beside the table."""
        notes = ["no verdict: this table claims no significance"]
        if self.is_cut:
            n_done = self.finals["repetition"].nunique()
            notes.append(f"{n_done} of {self.plan.repetitions} repetitions are complete: the same command goes on")
        if not self.resplit:
            notes.append("all repetitions share one split: they show the samplers' randomness only")
        for sampler in self.plan.samplers:
            if sampler.is_grid and self.plan.trials < self._grid_size:
                notes.append(f"grid: {self.plan.trials} of {self._grid_size} cells, in a seeded random order")
            elif self.plan.trials < sampler.kind.fewest_trials:
                n_fewest = sampler.kind.fewest_trials
                notes.append(f"{sampler.label} is not better than random search below {n_fewest} trials")
        for row in self.table.itertuples():
            if row.trials < row.repetitions * self.plan.trials:
                notes.append(f"{row.sampler} ran out of configurations before its budget: its curve is held flat")
            if row.distinct < row.trials:
                notes.append(
                    f"{row.trials - row.distinct} of {row.trials} trials of {row.sampler} repeat a configuration"
                )
            if row.failed:
                notes.append(f"{row.failed} of {row.trials} trials of {row.sampler} failed")
        return notes

    @property
    def _reference_value(self) -> float:
        return float(self.reference["value"].median())

    @property
    def figures(self) -> dict[str, Figure]:
        """Plotly figures by name: ``incumbents``, the median incumbent of each sampler against trials."""
        return {"incumbents": incumbents(self.curves, self._reference_value, self.metric)}

    def picture(self, *, width: int, color: bool) -> str:
        """The median incumbents drawn with characters."""
        return incumbents_text(self.curves, self._reference_value, self.metric, width=width, color=color)

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells of the table for people: errors positive, a row per sampler, the reference last."""
        metric, baseline = self.metric, self.plan.baseline
        header = [
            "sampler", f"median {metric.label}", "best to worst", f"wins against {baseline}", "trials", "failed",
            "fit time", "sampler time",
        ]  # fmt: skip
        rows = []
        for row in self.table.itertuples():
            ties = f", {row.ties} tied" if row.sampler != baseline and row.ties else ""
            rows.append(
                [
                    str(row.sampler),
                    metric.text(row.median),
                    f"{metric.text(row.best)} to {metric.text(row.worst)}",
                    "baseline" if row.sampler == baseline else f"{row.wins} of {row.repetitions}{ties}",
                    str(row.trials),
                    str(row.failed),
                    format_duration(row.fit_seconds),
                    format_duration(row.sampler_seconds),
                ]
            )
        values = self.reference["value"]
        spread = f"{metric.text(values.max())} to {metric.text(values.min())}"
        rows.append(["reference", metric.text(values.median()), spread, "", str(len(values)), "", "", ""])
        return header, rows

    def to_html(self, path: "str | PathLike[str]") -> None:
        """Write one self-contained page that opens offline."""
        header, rows = self.rows()
        text = report.page(
            title=f"Samplers on {self.study}",
            lead=(
                f"{self.metric.label}, {self.metric.direction}; {counted(self.plan.repetitions, 'repetition')} "
                f"of {counted(self.plan.trials, 'trial')}. Lines are medians of the best value so far; "
                "faint, each repetition."
            ),
            header=header,
            rows=rows,
            drawings=self.figures,
            notes=self.notes(),
        )
        Path(fspath(path)).write_text(text, encoding="utf-8")

    def __repr__(self) -> str:
        return f"Comparison({self.study!r}, {', '.join(s.label for s in self.plan.samplers)})"

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def _curves(trials: pd.DataFrame) -> pd.DataFrame:
    groups = trials.groupby(["sampler", "repetition"], sort=False)
    spent = (trials["finished"] - trials["started"]).dt.total_seconds()  # without the pauses between interruptions
    seconds = spent.groupby([trials["sampler"], trials["repetition"]], sort=False).cumsum()
    return pd.DataFrame(
        {
            "sampler": trials["sampler"],
            "repetition": trials["repetition"],
            "trial": trials["number"] + 1,
            "seconds": seconds,
            "incumbent": groups["value"].cummax().groupby([trials["sampler"], trials["repetition"]]).ffill(),
        }
    ).reset_index(drop=True)


def _finals(trials: pd.DataFrame) -> pd.DataFrame:
    groups = trials.groupby(["sampler", "repetition"], sort=False)
    return groups.agg(
        split=("split", "first"),
        value=("value", "max"),
        trials=("number", "size"),
        distinct=("configuration", "nunique"),
        failed=("state", lambda states: int((states == "FAIL").sum())),
        fit_seconds=("fit_seconds", "sum"),
        sampler_seconds=("sampler_seconds", "sum"),
    ).reset_index()
