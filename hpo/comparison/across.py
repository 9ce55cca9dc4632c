"""The same samplers on several studies: ranks, and what can be concluded from them."""

import functools
import itertools
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpo.comparison import pages, side_figures
from hpo.comparison.measures import as_losses
from hpo.comparison.result import Comparison
from hpo.comparison.statistics.effort import (
    Friedman,
    fewest_repetitions,
    friedman,
    holm,
    nemenyi_cd,
    superiority,
    superiority_test,
)
from hpo.errors import NotComparable
from hpo.figures.figure import Figure
from hpo.figures.page import Section
from hpo.figures.plotly_figure import plotly_figure
from hpo.units import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEWEST_STUDIES = 5  # below which ranks across studies say nothing


class AcrossStudies:
    """Comparisons of the same samplers, with the same budget, on several studies.

    Attributes:
        comparisons: one for each study.
        scores: median final loss: studies x samplers.

    Raises:
        NotComparable: they differ in their samplers, their budget or their baseline, or a study is there twice.
    """

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self.comparisons = tuple(comparisons)
        first, studies = self.comparisons[0], [comparison.study for comparison in self.comparisons]
        for other in self.comparisons[1:]:
            for name in ("labels", "trials", "baseline"):
                ours, theirs = getattr(first.plan, name), getattr(other.plan, name)
                if ours != theirs:
                    what = {"labels": "samplers", "trials": "budget"}.get(name, name)
                    raise NotComparable(f"{first.study} and {other.study} differ in their {what}: {ours} and {theirs}")
        if len(set(studies)) < len(studies):
            raise NotComparable(f"a study is there twice: {', '.join(studies)}")
        medians = {c.study: c.finals.groupby("sampler")["value"].median()[first.plan.labels] for c in self.comparisons}
        frame = pd.DataFrame(medians).T
        self.scores = pd.DataFrame(as_losses(frame), index=frame.index, columns=frame.columns)

    @property
    def has_ranks(self) -> bool:
        """Whether there are studies enough."""
        return len(self.comparisons) >= FEWEST_STUDIES

    @functools.cached_property
    def friedman(self) -> Friedman:
        """Friedman's test of the medians; a description only, where there are fewer than five studies."""
        return friedman(self.scores.to_numpy())

    @functools.cached_property
    def ranks(self) -> pd.DataFrame:
        """One row per sampler: sampler, rank (mean over studies, ties averaged; 1 is best)."""
        ranks = pd.DataFrame({"sampler": list(self.scores.columns), "rank": self.friedman.ranks})
        return ranks.sort_values("rank", ignore_index=True)

    @property
    def critical_difference(self) -> float:
        """Nemenyi's, of mean ranks; drawn as a description, not used for conclusions."""
        return nemenyi_cd(len(self.scores.columns), len(self.scores), self.comparisons[0].plan.alpha)

    @functools.cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row per pair of samplers: Wilcoxon's test over studies, with Holm's correction.

        Columns: sampler, against, superiority, superiority_low, superiority_high (of studies), p_value, p_holm, better
        (None where it cannot be told). Empty below five studies.
        """
        columns = ["sampler", "against", "superiority", "superiority_low", "superiority_high", "p_value", "p_holm"]
        if not self.has_ranks:
            return pd.DataFrame(columns=[*columns, "better"])
        rows: list[dict[str, Any]] = []
        for sampler, against in itertools.combinations(self.scores.columns, 2):
            ours, theirs = self.scores[sampler].to_numpy(), self.scores[against].to_numpy()
            won = superiority(ours, theirs, paired=True)
            p = superiority_test(ours, theirs, paired=True)
            rows.append(dict(zip(columns, (sampler, against, won.estimate, won.low, won.high, p, np.nan), strict=True)))
        frame = pd.DataFrame(rows)
        frame["p_holm"] = holm(frame["p_value"].to_numpy())
        is_real = frame["p_holm"] < self.comparisons[0].plan.alpha
        winner = frame["sampler"].where(frame["superiority"] > 0.5, frame["against"])
        frame["better"] = winner.astype(object).where(is_real, None)
        return frame

    def sentences(self) -> list[str]:
        """What the studies say together."""
        n = len(self.comparisons)
        if not self.has_ranks:
            return [f"Ranks across studies are shown from {FEWEST_STUDIES} studies on; these are {n}."]
        order = ", ".join(f"{row.sampler} {row.rank:.2f}" for row in self.ranks.itertuples())
        said = [f"Mean ranks over {n} studies (1 is best): {order}."]
        for row in self.verdicts[self.verdicts["better"].notna()].to_dict("records"):
            loser = row["against"] if row["better"] == row["sampler"] else row["sampler"]
            said.append(f"{row['better']} beats {loser} across studies (p = {row['p_holm']:.2g} after Holm).")
        n_pairs = len(self.verdicts)
        fewest = fewest_repetitions(n_pairs, paired=True, alpha=self.comparisons[0].plan.alpha)
        if n < fewest:
            said.append(
                f"{n} studies can never reach significance with {counted(n_pairs, 'comparison')}: {fewest} is the "
                "minimum."
            )
        elif len(said) == 1:
            said.append("No sampler is shown to be better than another across them.")
        return said

    @functools.cached_property
    def drawn(self) -> dict[str, Figure]:
        """The figure ``ranks``, from five studies on, whoever draws it."""
        if not self.has_ranks:
            return {}
        return {"ranks": side_figures.ranks(self.ranks, self.critical_difference)}

    @functools.cached_property
    def figures(self) -> "dict[str, go.Figure]":
        """``ranks`` as a Plotly figure, from five studies on."""
        return {name: plotly_figure(figure) for name, figure in self.drawn.items()}

    def to_html(self, path: "str | PathLike[str]") -> None:
        """Write one self-contained page with a section for each study."""
        together = Section("All studies", sentences=self.sentences(), figures=self.drawn)
        page = pages.comparison_page(self.comparisons, together)
        Path(fspath(path)).write_text(page, encoding="utf-8")

    def records(self) -> dict[str, Any]:
        """What is concluded, in plain values, for JSON."""
        shown = self.has_ranks
        return {
            "ranks": self.ranks.to_dict("records") if shown else None,
            "critical_difference": self.critical_difference if shown else None,
            "friedman_p": self.friedman.p_value if shown else None,
            "verdicts": self.verdicts.to_dict("records"),
            "sentences": self.sentences(),
        }
