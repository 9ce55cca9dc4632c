"""Whether a configuration overfits, underfits or fits well: a rule on the scores of its folds, nothing else.

Per fold k there are the score t on training rows, v on validation rows, and d of a dummy that ignores the features, on
the same validation rows (:mod:`hpo.evaluation.dummy_scores`). ``t - d`` is what was learned, ``v - d`` what of it holds
on new rows and the gap ``t - v`` what does not. All are differences, so that no verdict changes where a metric is
shifted or scaled.

In this order, with "surely" as in :func:`margin_of_mean`:

1. **underfit**, where v is not surely above d and t has come less than a quarter of the way from d to a perfect score:
   next to nothing was learned. (Or there is nothing to learn: no scores can tell these apart.)
2. **underfit**, where t stays surely below the best validation score known (of the run's winner or the reference), by
   more than a tenth of what that gains over d: others reach on new rows what this one does not reach on those it
   learned from. This comes before 3, because less freedom cannot lift v above t.
3. **overfit**, where the gap is surely above 0 and more than a quarter of what was learned, and another configuration
   that was tried has a surely smaller gap and validates as well, or not surely worse: a hypothesis overfits where there
   is one that fits the training rows less and holds at least as well (Mitchell 1997, Machine Learning, section 3.7). A
   gap alone is no overfitting: a forest knows its training rows by heart, and is right to.
4. **fits well**, where v is surely above d and the gap is at most a quarter of what was learned; or larger, and nothing
   tried that memorises less does as well.
5. **cannot tell** in all other cases, such as a large gap where nothing with a smaller one was tried, and with fewer
   than 3 folds: two numbers have no spread to speak of.

The quarter and the tenth are conventions, chosen so that the cases of ``tests/analysis/test_diagnosis.py`` come out as
their construction demands; the numbers are always said beside the verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.units import Metric, rough_text

OVERFIT, UNDERFIT, FITS_WELL, CANNOT_TELL = "overfit", "underfit", "fits well", "cannot tell"
VERDICTS = (OVERFIT, UNDERFIT, FITS_WELL, CANNOT_TELL)
FEWEST_FOLDS = 3
MOST_LOST = 0.25  # of what was learned, between training and validation rows
LITTLE = 0.25  # of the way from the dummy to a perfect score
MOST_MISSED = 0.1  # of what the best validation score known gains over the dummy
_CONFIDENCE = 0.95  # one-sided


@dataclass(frozen=True)
class Diagnosis:
    """What the folds of one configuration say.

    Attributes:
        verdict: ``overfit``, ``underfit``, ``fits well`` or ``cannot tell``.
        train, validation, dummy: means over the folds, the scorer's sign; NaN where unknown.
        gap: train - validation.
        gap_margin: how far the gap may be off, one-sided 95%; NaN with fewer than 2 folds.
        lost: the gap as a share of what was learned, train - dummy; NaN where nothing was.
        n_folds: how many folds (or parts of the validation rows) it rests on.
        reason: why, in words.
        folds: what the folds are called.
    """

    verdict: str
    train: float
    validation: float
    dummy: float
    gap: float
    gap_margin: float
    lost: float
    n_folds: int
    reason: str
    folds: str = "folds"

    def sentence(self, metric: Metric) -> str:
        """One sentence for people: the verdict, its numbers, and what it rests on."""
        train, validation, dummy = metric.texts([self.train, self.validation, self.dummy])
        numbers = f"{metric.label} {train} on training rows, {validation} on validation"
        if math.isfinite(self.dummy):
            numbers += f", {dummy} from a dummy"
        if math.isfinite(self.gap_margin):
            numbers += f"; gap {rough_text(self.gap)} ± {rough_text(self.gap_margin)} over {self.n_folds} {self.folds}"
        return f"{self.verdict}; {self.reason} ({numbers})"


def diagnosis(
    train: Sequence[float],
    validation: Sequence[float],
    dummy: Sequence[float] | None,
    *,
    attainable: Sequence[float] | float | None = None,
    others: Sequence[tuple[Sequence[float], Sequence[float]]] = (),
    perfect: float | None = None,
    validation_share: float | None = None,
    folds: str = "folds",
) -> Diagnosis:
    """What the scores of one configuration's folds say, by the rule of this module.

    Args:
        train, validation, dummy: of shape (n_folds,), higher is better: on training rows, on validation rows, and of
            the dummy on validation rows; no dummy, no verdict.
        attainable: best validation scores known, one per fold or their mean.
        others: training and validation scores of other configurations on the same folds.
        perfect: the score of a model that makes no mistake, where the metric has one.
        validation_share: validation rows per training row, for :func:`margin_of_mean`; None is 1 / (n_folds - 1).
        folds: what to call them in sentences.

    Raises:
        ValueError: the scores are not of one length.
    """
    t, v = np.asarray(train, dtype=float), np.asarray(validation, dtype=float)
    d = np.full(len(v), np.nan) if dummy is None else np.asarray(dummy, dtype=float)
    if not len(t) == len(v) == len(d) or len(v) == 0:
        raise ValueError(f"{len(t)} training, {len(v)} validation and {len(d)} dummy scores: give one of each per fold")
    n = len(v)
    share = 1 / max(n - 1, 1) if validation_share is None else validation_share

    def off(differences: np.ndarray) -> float:
        return margin_of_mean(differences, share)

    learned, held, gap = (float(np.mean(part)) for part in (t - d, v - d, t - v))
    gap_margin = off(t - v)
    lost = gap / learned if learned > 0 else math.nan

    def found(verdict: str, reason: str) -> Diagnosis:
        on_train, on_validation, of_dummy = (float(np.mean(part)) for part in (t, v, d))
        return Diagnosis(verdict, on_train, on_validation, of_dummy, gap, gap_margin, lost, n, reason, folds)

    if not np.isfinite(t).all() or not np.isfinite(v).all():
        return found(CANNOT_TELL, "scores are missing")
    if n < FEWEST_FOLDS:
        few = f"1 {folds.removesuffix('s')}" if n == 1 else f"{n} {folds}"
        return found(CANNOT_TELL, f"{few} cannot show how far the gap would vary; {FEWEST_FOLDS} or more can")
    if not np.isfinite(d).all():
        return found(CANNOT_TELL, "there is no dummy to compare with")
    is_above_dummy = held > off(v - d)
    way = learned / (perfect - float(np.mean(d))) if perfect is not None and perfect > np.mean(d) else math.nan
    is_little = way < LITTLE if math.isfinite(way) else learned <= off(t - d)
    if not is_above_dummy and is_little:
        how_far = f"{max(way, 0):.0%} of the way to a perfect score" if math.isfinite(way) else "barely better"
        return found(
            UNDERFIT,
            f"no better than the dummy on validation rows and {how_far} on training rows: the model learned nothing, "
            "or there is nothing to learn",
        )
    if attainable is not None:
        a = np.broadcast_to(np.asarray(attainable, dtype=float), n)
        missed, reach = float(np.mean(a - t)), float(np.mean(a - d))
        if reach > 0 and missed > MOST_MISSED * reach and missed > off(a - t):
            return found(
                UNDERFIT, "on the rows it learned from it stays below what the best reaches on validation rows"
            )
    if gap > gap_margin and lost > MOST_LOST:
        return found(*_of_large_gap(t, v, others, share, lost, is_above_dummy=is_above_dummy))
    if is_above_dummy and lost <= MOST_LOST:
        kept = f"{lost:.0%} of what it learned is lost" if lost > 0.005 else "what it learned holds"
        return found(FITS_WELL, f"{kept} on validation rows")
    if not is_above_dummy:
        return found(CANNOT_TELL, "on validation rows it is not surely better than the dummy")
    return found(
        CANNOT_TELL, f"{lost:.0%} of what it learned seems lost, but the gap is within the spread of the {folds}"
    )


def _of_large_gap(
    t: np.ndarray,
    v: np.ndarray,
    others: Sequence[tuple[Sequence[float], Sequence[float]]],
    share: float,
    lost: float,
    *,
    is_above_dummy: bool,
) -> tuple[str, str]:
    """The verdict, and why, of a configuration whose gap is surely large: what do those with a smaller one do?"""
    said = f"{lost:.0%} of what it learned is lost on validation rows"
    smaller = 0
    for train, validation in others:
        other_t, other_v = np.asarray(train, dtype=float), np.asarray(validation, dtype=float)
        if len(other_t) != len(t) or len(other_v) != len(v) or not np.isfinite([other_t, other_v]).all():
            continue
        narrower, worse = (t - v) - (other_t - other_v), v - other_v
        if not float(np.mean(narrower)) > margin_of_mean(narrower, share):
            continue
        smaller += 1
        # Where others are taken to vary as this one does, their differences show no spread: its own stands for it.
        spread = worse if np.ptp(worse) > 1e-12 * max(1.0, float(np.abs(v).max())) else v
        if float(np.mean(worse)) <= margin_of_mean(spread, share):
            return OVERFIT, f"{said}, and another configuration that loses less does as well there"
    if not smaller:
        return CANNOT_TELL, f"{said}; nothing that memorises less was tried"
    if is_above_dummy:
        return (
            FITS_WELL,
            f"it memorises its training rows ({lost:.0%} is lost), and nothing that memorises less does as well",
        )
    return CANNOT_TELL, f"{said}, where it is not surely better than the dummy"


def margin_of_mean(differences: np.ndarray, validation_share: float) -> float:
    """How far the mean of fold scores may be off, one-sided 95%: ``t * s * sqrt(1/n + validation_share)``.

    Folds share training rows, so that ``s / sqrt(n)`` is too small: the corrected resampled t-test of Nadeau and
    Bengio (2003, Machine Learning 52, equation 9) adds the ratio of validation to training rows.

    Args:
        differences: of shape (n_folds,).
        validation_share: validation rows per training row; 0 for parts that share nothing.

    Returns:
        NaN for fewer than 2 folds.
    """
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        return math.nan
    spread = float(np.std(differences, ddof=1))
    return float(stdtrit(n - 1, _CONFIDENCE)) * spread * math.sqrt(1 / n + validation_share)


def perfect_score(metric: str) -> float | None:
    """What scikit-learn's scorer of this name gives a model without mistakes; None for other metrics.

    Errors end at 0. Of the other named scorers all end at 1 but for those that have no end.
    """
    if metric.startswith("neg_"):
        return 0.0
    from sklearn.metrics import get_scorer_names

    return (
        1.0
        if metric in get_scorer_names() and metric not in {"mutual_info_score", "positive_likelihood_ratio"}
        else None
    )
