"""How far the answers of a comparison are, and whether more repetitions would bring them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpo.comparison.statistics.evidence import bound, evidence
from hpo.comparison.statistics.losses import FloatArray, differences
from hpo.comparison.statistics.pair_tests import row_luck
from hpo.comparison.verdicts import Rules

# Repetitions. With fewer, much of what looks like luck of the test rows is luck of the repetitions, which more of them
# would average out: at 10 it was given up that tpe beats random on diabetes-boosting, which is real at 20.
FEWEST_TO_GIVE_UP = 20
LITTLE_HOPE = 0.05  # chance of an answer by the most repetitions, below which they are not worth their time
_PATHS = 200
_SEED = 20063
_BAR = 12  # characters
_NOT_WORTH = "not worth more"


@dataclass(frozen=True)
class Question:
    """A question of a comparison.

    Attributes:
        name: ``tpe against random``, or ``tuning with tpe``.
        answer: the verdict; ``not worth more`` where even the most repetitions would hardly tell; else empty.
        share: how far the evidence is, 0 (nothing is known) to 1 (known), on the scale of its logarithm.
    """

    name: str
    answer: str
    share: float

    @property
    def bar(self) -> str:
        """The share as a bar of characters, with what is asked and the answer."""
        n_full = int(self.share * _BAR)
        return f"{self.name} {'█' * n_full}{'░' * (_BAR - n_full)} {self.answer or f'{self.share:.0%}'}"


def question(
    row: Mapping[str, Any],
    losses: tuple[FloatArray, FloatArray],
    test: tuple[FloatArray, FloatArray] | None,
    rows: "tuple[FloatArray | None, FloatArray | None]",
    rules: Rules,
    *,
    n_questions: int,
    most: int,
) -> Question:
    """How far one pair is.

    Args:
        row: its verdict, of :func:`hpo.comparison.verdicts.judge`.
        losses, test, rows: of both, as that takes them.
        rules: of the verdict.
        n_questions: pairs of its family.
        most: repetitions that there can be.
    """
    name = f"tuning with {row['sampler']}" if rules.by_test else f"{row['sampler']} against {row['against']}"
    if row["verdict"] != "inconclusive":
        return Question(name, str(row["verdict"]), 1.0)
    p = row["p_holm"]
    share = 0.0 if not p < 1 else min(math.log(max(p, 1e-300)) / math.log(rules.alpha), 0.99)
    so_far = len(losses[0])
    if so_far >= FEWEST_TO_GIVE_UP and so_far < most:
        chance = _chance(losses, test, rows, rules, rules.alpha / n_questions, most)
        if chance < LITTLE_HOPE:
            return Question(name, _NOT_WORTH, share)
    return Question(name, "", share)


def _chance(
    losses: tuple[FloatArray, FloatArray],
    test: tuple[FloatArray, FloatArray] | None,
    rows: "tuple[FloatArray | None, FloatArray | None]",
    rules: Rules,
    alpha: float,
    most: int,
) -> float:
    """Share of the ways in which the repetitions may go on, drawn from those so far, that end with an answer."""
    luck = None if test is None else row_luck(*rows)
    so_far = len(losses[0])
    drawn = np.random.default_rng(_SEED).integers(so_far, size=(_PATHS, most - so_far))
    ways = np.concatenate([np.broadcast_to(np.arange(so_far), (_PATHS, so_far)), drawn], axis=1)
    alpha = alpha / 2 if rules.looks == "again" else alpha
    on_test = differences(*(losses if test is None else test))[ways]
    off = bound(luck, alpha)

    def is_below(d: FloatArray, off: float, level: float) -> np.ndarray:
        found: np.ndarray = evidence(d + off).max(axis=-1) >= 1 / level
        return found

    told = np.zeros(_PATHS, dtype=bool)
    for sign in (1, -1):
        is_sure = is_below(sign * on_test, off, alpha) if test is not None or rules.by_test else ~told | True
        if not rules.by_test:
            is_sure &= is_below(sign * differences(*losses)[ways], 0.0, alpha / 2)
        told |= is_sure
    if rules.margin is not None:
        off = bound(luck, rules.alpha)
        sides = [is_below(sign * on_test - rules.margin, off, rules.alpha) for sign in (1, -1)]
        told |= sides[0] & sides[1]
    return float(told.mean())


def bars(found: Sequence[Question]) -> str:
    """All in a line."""
    return "; ".join(one.bar for one in found)


def frame(found: Sequence[Question]) -> pd.DataFrame:
    """One row per question: question, answer, share."""
    return pd.DataFrame([(one.name, one.answer, one.share) for one in found], columns=["question", "answer", "share"])
