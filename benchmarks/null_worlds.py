"""Null worlds and worlds with power, many comparisons at a time: the present rules and those before on the same draws.

A world says what is true of two samplers, or of a sampler and the reference; of each comparison it draws losses on
validation, and on a test whose rows are the same in all repetitions. The rules are those of ``hpo.comparison``, worked
out for many comparisons at once; some of each world go through ``hpo.comparison.verdicts.judge`` too, and must agree.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from hpo.comparison.statistics.evidence import evidence
from hpo.comparison.verdicts import Rules, judge

Array = NDArray[np.float64]
ALPHA = 0.05


@dataclass(frozen=True)
class Drawn:
    """Comparisons of one pair, M of them, with S repetitions each; differences are "ours less theirs" of losses.

    Attributes:
        validation: shape (M, S).
        test: shape (M, S).
        by_row: of the test, the mean over repetitions by row, shape (M, n); None in worlds without luck of the rows.
    """

    validation: Array
    test: Array
    by_row: Array | None = None

    def first(self, n: int) -> "Drawn":
        """The first n repetitions; what rows have in common does not depend on their number."""
        return Drawn(self.validation[:, :n], self.test[:, :n], self.by_row)


def pairs(
    generator: np.random.Generator,
    m: int,
    s: int,
    *,
    lead: float = 0.0,
    gain: float = 0.0,
    luck: float = 0.0,
    wide: float = 1.0,
    n_rows: int = 114,
) -> Drawn:
    """Two samplers whose spread over repetitions is 1: ours leads on validation and gains on the test.

    Args:
        generator: of all draws.
        m, s: comparisons, repetitions.
        lead, gain: how much lower our losses are on validation and on the test, in spreads.
        luck: of the test rows, as a share of the spread; 0.04 to 0.31 between two samplers.
        wide: how many times theirs varies as much as ours.
        n_rows: of the test.
    """
    scale = np.hypot(1, wide) / np.sqrt(2)
    validation = scale * generator.normal(size=(m, s)) - lead
    rows = luck * np.sqrt(n_rows) * generator.normal(size=(m, n_rows)) if luck else None
    test = scale * generator.normal(size=(m, s)) - gain
    return Drawn(validation, test if rows is None else test + rows.mean(axis=1, keepdims=True), rows)


# --- the rules, for many at once ---


def signed_rank(differences: Array) -> Array:
    """One-sided p-values of the signed-rank test for differences below 0, without ties; shape (M,)."""
    s = differences.shape[1]
    ranks = np.argsort(np.argsort(np.abs(differences), axis=1), axis=1) + 1
    positive = (ranks * (differences > 0)).sum(axis=1)
    if s > 50:
        mean, spread = s * (s + 1) / 4, np.sqrt(s * (s + 1) * (2 * s + 1) / 24)
        return np.asarray(special.ndtr((positive - mean) / spread))
    shares = np.eye(1, s * (s + 1) // 2 + 1)[0]
    for rank in range(1, s + 1):
        shares /= 2
        shares[rank:] += shares[:-rank].copy()
    return np.asarray(np.cumsum(shares)[positive].clip(max=1.0))


def row_p(differences: Array, by_row: Array | None) -> Array:
    """One-sided p-values of the mean below 0, with the luck of the rows; 0 where there is none."""
    if by_row is None:
        return np.zeros(len(differences))
    s, n = differences.shape[1], by_row.shape[1]
    of_rows, over = by_row.var(axis=1, ddof=1) / n, differences.var(axis=1, ddof=1) / s
    df = (of_rows + over) ** 2 / (of_rows**2 / (n - 1) + over**2 / (s - 1))
    return np.asarray(special.stdtr(df, differences.mean(axis=1) / np.sqrt(of_rows + over)))


def new_p(drawn: Drawn, *, by_test: bool = False) -> tuple[Array, Array]:
    """The p-value of each pair, and whether ours is the better; one look."""
    directed = drawn.test if by_test else drawn.validation
    is_ours = signed_rank(directed) < signed_rank(-directed)
    sign = np.where(is_ours, 1.0, -1.0)[:, None]
    by_row = None if drawn.by_row is None else sign * drawn.by_row
    p = np.maximum(signed_rank(sign * drawn.test), row_p(sign * drawn.test, by_row))
    if not by_test:
        p = np.maximum(p, np.minimum(2 * signed_rank(sign * drawn.validation), 1))
    return p, is_ours


def old_is_real(drawn: Drawn, level: float) -> tuple[Array, Array]:
    """The rule before: p of the ranks, Wilson's interval, and the interval of the median on the test; and the side."""
    n = drawn.validation.shape[1]
    wins = (drawn.validation < 0).mean(axis=1)
    z = stats.norm.isf(ALPHA / 2)
    off = z * np.sqrt(wins * (1 - wins) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    center = (wins + z**2 / (2 * n)) / (1 + z**2 / n)
    is_ours = wins > 0.5
    p = np.minimum(2 * np.minimum(signed_rank(drawn.validation), signed_rank(-drawn.validation)), 1)
    ks = np.arange(1, n // 2 + 1)
    k = int(np.sum(2 * special.bdtr(ks - 1, n, 0.5) <= ALPHA))
    ordered = np.sort(np.where(is_ours[:, None], drawn.test, -drawn.test), axis=1)
    is_below = ordered[:, n - k] < 0 if k else np.zeros(len(ordered), dtype=bool)
    return (p < level) & (np.abs(center - 0.5) > off) & is_below, is_ours


def sequential(drawn: Drawn, level: float, *, by_test: bool = False) -> Array:
    """For each number of repetitions, whether the pair is real at any number of looks; shape (M, S)."""
    luck = np.zeros(len(drawn.test))
    if drawn.by_row is not None:
        n = drawn.by_row.shape[1]
        luck = stats.t.isf(level, n - 1) * np.sqrt(drawn.by_row.var(axis=1, ddof=1) / n)
    found = np.zeros(drawn.test.shape, dtype=bool)
    for sign in (1.0, -1.0):
        is_real = np.maximum.accumulate(_in_parts(sign * drawn.test + luck[:, None]), axis=1) >= 1 / level
        if not by_test:
            on_validation = _in_parts(sign * drawn.validation)
            is_real &= np.maximum.accumulate(on_validation, axis=1) >= 2 / level
        found |= is_real
    return found


def _in_parts(differences: Array) -> Array:
    """Evidence of many comparisons, a few hundred at a time: each takes the square of its repetitions in memory."""
    n_parts = max(1, len(differences) * differences.shape[1] ** 2 // 4_000_000)
    return np.concatenate([evidence(part) for part in np.array_split(differences, n_parts)])


def holm_is_real(p: Array) -> Array:
    """Of families (M, m) of p-values, which are below alpha after Holm's correction."""
    m = p.shape[1]
    order = np.argsort(p, axis=1)
    ordered = np.take_along_axis(p, order, axis=1) * np.arange(m, 0, -1)
    is_below = np.logical_and.accumulate(ordered < ALPHA, axis=1)
    found = np.zeros_like(is_below)
    np.put_along_axis(found, order, is_below, axis=1)
    return found


# --- is tuning worth it ---


@dataclass(frozen=True)
class Tuned:
    """A reference and incumbents on one fixed test set, M comparisons.

    Attributes:
        reference: scores by row, shape (M, n); of the AUC, the scores that rank the rows.
        incumbents: likewise, shape (M, S, n).
        is_positive: class of each row, for the AUC.
    """

    reference: Array
    incumbents: Array
    is_positive: NDArray[np.bool_] | None = None


def tuned(generator: np.random.Generator, m: int, s: int, n: int, *, gain: float = 0.0, auc: bool = False) -> Tuned:
    """Every configuration is as good as the reference, but for a gain; they differ in which rows they are good at.

    Of the difference on a row, half the variance is the reference's own, which all repetitions meet, the rest of the
    incumbent's. The gain is in standard deviations of a row's difference.
    """
    positive = generator.random((m, n)) < 0.4
    difficulty = generator.normal(size=(m, n)) + (1.0 * positive if auc else 0)
    reference = difficulty + generator.normal(size=(m, n)) / np.sqrt(2)
    shared = generator.normal(size=(m, 1, n)) / 2  # what all tuned ones have in common
    own = generator.normal(size=(m, s, n)) / 2
    level = 0.15 * generator.normal(size=(m, s, 1))  # luck of a repetition that is no row's
    incumbents = difficulty[:, None] + shared + own + (0 if auc else level - gain)
    if auc:
        incumbents = incumbents + gain * positive[:, None]
    return Tuned(reference, incumbents, positive if auc else None)


def losses_of(world: Tuned) -> tuple[Array, Array]:
    """Differences of losses by repetition (M, S), and by row (M, n) the mean over repetitions."""
    if world.is_positive is None:
        by_row = world.incumbents - world.reference[:, None]
        return by_row.mean(axis=2), by_row.mean(axis=1)
    ours = placements(world.incumbents, world.is_positive[:, None])
    theirs = placements(world.reference, world.is_positive)
    by_row = theirs[:, None] - ours  # losses are negated scores
    return by_row.mean(axis=2), by_row.mean(axis=1)


def placements(scores: Array, is_positive: NDArray[np.bool_]) -> Array:
    """Influence values of the AUC by row, as of :mod:`hpo.evaluation.row_scores`; shape of the scores."""
    is_positive = np.broadcast_to(is_positive, scores.shape)
    order = np.argsort(scores, axis=-1)
    ordered = np.take_along_axis(is_positive, order, axis=-1)
    n_positive = is_positive.sum(axis=-1, keepdims=True)
    n = scores.shape[-1]
    below = np.cumsum(~ordered, axis=-1) / (n - n_positive)  # negatives below: of a positive
    above = (n_positive - np.cumsum(ordered, axis=-1)) / n_positive  # positives above: of a negative
    ranked = np.where(ordered, below, above)
    values = np.empty_like(scores)
    np.put_along_axis(values, order, ranked, axis=-1)
    area = (values * is_positive).sum(axis=-1, keepdims=True) / n_positive
    return np.asarray(area + (values - area) * np.where(is_positive, n / n_positive, n / (n - n_positive)))


def old_is_worth_it(test: Array, validation_lead: float, generator: np.random.Generator) -> Array:
    """The rule before, for incumbents that are better on validation for certain: they were chosen by it."""
    chosen = -np.abs(generator.normal(validation_lead, 0.3, size=test.shape))
    is_real, is_ours = old_is_real(Drawn(chosen, test), ALPHA)
    return is_real & is_ours


def worth(world: Tuned, generator: np.random.Generator) -> dict[str, float]:
    """How often it is said that tuning is worth it, and that it does harm: the rule before, and now at one look.

    At a look after each repetition: either of the two; the luck of the rows is that of all repetitions.
    """
    test, by_row = losses_of(world)
    drawn = Drawn(test, test, by_row)
    p, is_ours = new_p(drawn, by_test=True)
    found = {
        "before": old_is_worth_it(test, 1.5, generator).mean(),
        "worth it": ((p < ALPHA) & is_ours).mean(),
        "harm": ((p < ALPHA) & ~is_ours).mean(),
        "at any look": sequential(drawn, ALPHA, by_test=True)[:, -1].mean(),
    }
    return {name: float(share) for name, share in found.items()}


# --- the same through the product ---


def disagreements(drawn: Drawn, n: int) -> int:
    """In how many of the first n comparisons ``judge`` says something else than the rules here."""
    p, is_ours = new_p(drawn)
    wrong = 0
    for i in range(min(n, len(p))):
        zeros = np.zeros(drawn.test.shape[1])
        rows = None
        if drawn.by_row is not None:
            rows = {"ours": drawn.by_row[i], "theirs": np.zeros(drawn.by_row.shape[1])}
        frame = judge(
            {"ours": drawn.validation[i], "theirs": zeros}, {"ours": drawn.test[i], "theirs": zeros},
            Rules(paired=True), "theirs", rows=rows,
        )  # fmt: skip
        said = frame["better"].iloc[0]
        expected = None if p[i] >= ALPHA else "ours" if is_ours[i] else "theirs"
        # The product wants the median beyond 0 as well, as the margin is one of medians.
        agrees = np.sign(np.median(drawn.test[i])) == (-1 if is_ours[i] else 1)
        wrong += said != expected and (said is not None or agrees)
    return wrong
