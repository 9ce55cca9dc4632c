"""Is tuning worth it: the reference against the incumbents, on the sealed test rows, with the luck of these rows."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hpo.comparison.measures import incumbents_at
from hpo.comparison.statistics.losses import FloatArray
from hpo.comparison.verdicts import Rules, judge
from hpo.evaluation.row_scores import unpacked

REFERENCE = "reference"
_NO_TEST = "validation rows flatter what was chosen by them, and the sealed test rows were not scored"
_NO_LUCK = "how much of it is the luck of the test rows is not known"

Scores = Mapping[tuple[int, str], float]
Rows = Mapping[tuple[int, str], FloatArray]


def worth(
    losses: Mapping[str, FloatArray],
    test: Mapping[str, FloatArray] | None,
    rows: Mapping[str, FloatArray | None],
    rules: Rules,
) -> pd.DataFrame:
    """One row per sampler, against the reference; columns as of :func:`hpo.comparison.verdicts.judge`.

    The test alone decides, with a one-sided p-value: better than the reference, and worse than it, are each said by
    mistake at most alpha of the time. The same rows serve in every repetition, so that their luck does not average out:
    where it is not known, nothing is said. Each sampler is judged by itself, as one is chosen.

    Args:
        losses, test: sampler -> loss in each repetition, shape (S,), the reference's among them; no test, None.
        rows: sampler -> test loss by row, the mean over repetitions; None where it is not known.
        rules: of the comparison.
    """
    frame = judge(losses, test, replace(rules, paired=True, by_test=True), REFERENCE, rows=_known(rows))
    if len(losses[REFERENCE]) == 1:
        return frame
    for i, row in frame.iterrows():
        is_finite = test is not None and bool(np.isfinite([test[row["sampler"]], test[REFERENCE]]).all())
        why = _NO_TEST if test is None else _NO_LUCK if is_finite and math.isnan(row["row_luck"]) else ""
        if why and row["verdict"] != "no difference":
            frame.loc[i, ["verdict", "reason"]] = "inconclusive", why
            frame.loc[i, "better"] = None
            frame.loc[i, ["required_repetitions", "required_low", "required_high"]] = math.nan
    return frame


def _known(rows: Mapping[str, FloatArray | None]) -> dict[str, FloatArray]:
    return {name: values for name, values in rows.items() if values is not None}


def rows_of_samplers(curves: pd.DataFrame, trials: int, tests: Scores, rows: Rows) -> dict[str, FloatArray | None]:
    """Test losses by row of the incumbents after so many trials: the mean over repetitions, by sampler.

    Args:
        curves: see :func:`hpo.comparison.measures.curves`.
        trials: the budget.
        tests: (split, key of a configuration) -> score on the sealed test rows.
        rows: likewise -> that score by row.

    Returns:
        None for a sampler of which one incumbent's is not known; one whose test failed has none, and is left out.
    """
    keys, splits = incumbents_at(curves, trials, "configuration"), incumbents_at(curves, trials, "split")
    return {
        str(sampler): mean_by_row(list(zip(splits[sampler], keys[sampler], strict=True)), tests, rows)
        for sampler in keys
    }


def mean_by_row(places: list[tuple[int, str]], tests: Scores, rows: Rows) -> FloatArray | None:
    """Mean loss by row over configurations, of those whose test did not fail; None where one is not known."""
    scored = [place for place in places if place in tests and math.isfinite(tests[place])]
    found = [rows.get(place) for place in scored]
    lengths = {None if values is None else len(values) for values in found}
    if len(lengths) != 1 or None in lengths:
        return None
    return np.asarray(-np.mean(np.stack([values for values in found if values is not None]), axis=0))


def error_of_mean(losses: FloatArray, by_row: FloatArray | None) -> float:
    """Half the 95% interval of a mean test loss, for other rows and other repetitions; NaN where it is not known.

    Args:
        losses: of each repetition, shape (S,).
        by_row: the mean over repetitions, shape (n,).
    """
    if by_row is None or len(by_row) < 2 or not np.isfinite(losses).all():
        return math.nan
    over_repetitions = float(np.var(losses, ddof=1)) / len(losses) if len(losses) > 1 else 0.0
    variance = float(np.var(by_row, ddof=1)) / len(by_row) + over_repetitions
    return float(stats.t.isf(0.025, len(by_row) - 1)) * math.sqrt(variance)


def rows_by_place(scores: pd.DataFrame, splits: Mapping[Any, int]) -> dict[tuple[int, str], FloatArray]:
    """(split, key of a configuration) -> its score on the sealed test rows row by row, where that is known.

    Args:
        scores: see :meth:`hpo.StudyDatabase.test_scores`.
        splits: context -> split.
    """
    rows = zip(scores["context"], scores["configuration"], scores["row_values"], strict=True)
    found = {(splits[context], key): unpacked(text) for context, key, text in rows if context in splits}
    return {place: values for place, values in found.items() if values is not None}
