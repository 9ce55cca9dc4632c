"""What the columns of a table are: the target and its task, numbers, categories, and what no model can use as it is."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from hpo.errors import InvalidOption
from hpo.study.from_csv.dates import are_dates, date_format
from hpo.units import counted

CLASSIFICATION, REGRESSION = "classification", "regression"

_FEWEST_ROWS = 20
_FEWEST_OF_CLASS = 3  # one to train, one to validate, one to test
_ROWS_A_CLASS = 5  # a fifth of the rows is the test, which is to have every class
_MOST_CLASSES = 10  # of whole numbers; with more values they are an amount
_MOST_NAMED = 12  # columns that a message lists
_MOST_GAPS = 1.25  # times as many numbers as rows are a sequence from which rows were deleted
_ROWS_A_KEY = 50  # with more rows each, it is a code (of a country, of a shop) that says something about new rows
_DATES, _KEY = "dates", "names what several rows are about"
_IDENTIFIER = re.compile(r"(.*[\W_])?(id|uuid|guid|key|index|row)|.*[a-z]I[dD]", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """The column to predict.

    Attributes:
        name: of the column.
        task: CLASSIFICATION or REGRESSION.
        n_rows, n_missing: rows that have a value, and rows that have none.
        n_classes, n_rarest: number of classes, and rows of the rarest; 0 in a regression.
        dtype: what its values must be turned into once the missing ones are gone (``int``, ``bool``), or None.
    """

    name: str
    task: str
    n_rows: int
    n_missing: int
    n_classes: int = 0
    n_rarest: int = 0
    dtype: str | None = None


@dataclass(frozen=True)
class Columns:
    """The other columns by what they are.

    Attributes:
        numeric, categorical: names of those that are learned from.
        left_out: name -> why.
        dates: name -> format of those dates that can be read, kept or not.
        keys: those that name what several rows are about: a customer, a patient.
        keeps_dates: whether year, month and weekday of ``dates`` are learned from.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    left_out: Mapping[str, str]
    dates: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    keeps_dates: bool = False


def _these(names: list[str]) -> str:
    return f"it has {', '.join(names[:_MOST_NAMED])}{', ...' if len(names) > _MOST_NAMED else ''}"


def find_target(frame: pd.DataFrame, name: str | None, task: str | None = None) -> Target:
    """The target and its task, which its values tell: text, truth values and few whole numbers are classes.

    Args:
        frame: the table.
        name: of the target; None where it was forgotten.
        task: CLASSIFICATION or REGRESSION where it was said.

    Raises:
        InvalidOption: there is no such column, or it cannot be learned.
    """
    names = [*map(str, frame)]
    if name is None:
        there = _these(names)
        raise InvalidOption(f"name the column to predict, as in --target {shlex.quote(names[-1])}; {there}")
    if name not in frame:
        close = get_close_matches(name, names, 3, cutoff=0.5)
        folded = [known for known in names if known.strip().casefold() == name.strip().casefold()]
        hint = f"did you mean {' or '.join(map(repr, folded or close))}?" if folded or close else _these(names)
        raise InvalidOption(f"the table has no column {name!r}; {hint}")
    values = frame[name].dropna()
    n_missing = len(frame) - len(values)
    if values.empty:
        raise InvalidOption(f"the target {name!r} has no values")
    if values.nunique() == 1:
        raise InvalidOption(f"the target {name!r} is constant: {values.iloc[0]} in all {len(values)} rows")
    if len(values) < _FEWEST_ROWS:
        raise InvalidOption(
            f"{counted(len(values), 'row')} with a value of {name!r}: {_FEWEST_ROWS} or more are needed to train, "
            "validate and test"
        )
    is_number = _is_number(values)
    _check_finite(values)
    if not is_number and _are_dates(values):
        raise InvalidOption(
            f"the target {name!r} has dates, as {str(values.iloc[0])!r}: make numbers or classes of them"
        )
    is_whole = is_number and bool((values % 1 == 0).all())
    if is_whole and values.is_unique and (_are_in_sequence(values) or _is_identifier(name)):
        raise InvalidOption(
            f"the target {name!r} numbers the rows, from {values.iloc[0]:.0f} on: nothing can be learned from that; "
            "name the column to predict"
        )
    if task is None:
        most = min(_MOST_CLASSES, len(values) // _ROWS_A_CLASS)
        are_classes = not is_number or (is_whole and values.nunique() <= most)
        task = CLASSIFICATION if are_classes else REGRESSION
    if task == REGRESSION:
        if not is_number:
            raise InvalidOption(f"regression needs numbers, and the target {name!r} has {str(values.iloc[0])!r}")
        return Target(name, task, len(values), n_missing)
    if is_number and not is_whole:
        raise InvalidOption(f"classification needs classes, and the target {name!r} has fractions")
    counts = values.value_counts()
    otherwise = ", or is it an amount? Then say --task regression" if is_number else ""
    if len(counts) * _ROWS_A_CLASS > len(values):
        raise InvalidOption(
            f"the target {name!r} has {len(counts)} classes in {len(values)} rows: {_ROWS_A_CLASS} times as many rows "
            f"as classes are needed to train, validate and test{otherwise}"
        )
    if counts.iloc[-1] < _FEWEST_OF_CLASS:
        raise InvalidOption(
            f"the target {name!r} has {len(counts)} classes, and only "
            f"{counted(int(counts.iloc[-1]), 'row')} of {str(counts.index[-1])!r}: at least {_FEWEST_OF_CLASS} of each "
            f"are needed to train, validate and test{otherwise}"
        )
    dtype = None
    if n_missing and (is_number or _are_truth_values(values)):  # which made fractions, or objects, of them
        dtype = "int" if is_number else "bool"
    return Target(name, task, len(values), n_missing, len(counts), int(counts.iloc[-1]), dtype)


def sort_columns(frame: pd.DataFrame, target: Target, *, keep_dates: bool = False) -> Columns:
    """What the columns beside the target are, judged by the rows that have a target.

    Args:
        frame: the table.
        target: what is predicted.
        keep_dates: whether year, month and weekday of dates are to be learned from.

    Raises:
        InvalidOption: none can be used, or one has infinite values.
    """
    rows = frame[frame[target.name].notna()]
    numeric, categorical, left_out, dates, keys = [], [], {}, {}, []
    for name in map(str, frame.columns.drop(target.name)):
        _check_finite(rows[name].dropna())
        reason = _why_left_out(name, rows[name], frame[name])
        if reason == _DATES and (form := date_format(rows[name].dropna())) is not None:
            dates[name] = form
        if reason == _KEY:
            keys.append(name)
        if reason == _DATES and keep_dates and name in dates:
            numeric += date_parts(name)
        elif reason is not None:
            left_out[name] = reason
        elif _is_number(rows[name]):
            numeric.append(name)
        else:
            categorical.append(name)
    if not numeric and not categorical:
        reasons = ", ".join(f"{name!r} ({reason})" for name, reason in [*left_out.items()][:_MOST_NAMED])
        raise InvalidOption(f"no column can be learned from: {reasons}")
    return Columns(tuple(numeric), tuple(categorical), left_out, dates, tuple(keys), keep_dates and bool(dates))


def date_parts(name: str) -> list[str]:
    """The columns that a date becomes."""
    return [f"{name} year", f"{name} month", f"{name} day_of_week"]


def _why_left_out(name: str, column: "pd.Series[Any]", whole: "pd.Series[Any]") -> str | None:
    """Why a column cannot be used as it is, or None; ``whole`` has the rows without a target, too."""
    values = column.dropna()
    n_distinct = values.nunique()
    if values.empty:
        return "empty"
    if n_distinct == 1 and len(values) == len(column):
        return "one value only"
    if _is_number(values):
        is_whole = bool((values % 1 == 0).all())
        if is_whole and n_distinct == len(column) and _numbers_rows(name, whole.dropna()):
            return "numbers the rows"
        return _KEY if is_whole and _is_shared_key(name, values) else None
    if _are_truth_values(values):
        return None
    if _are_dates(values):
        return _DATES
    if _is_shared_key(name, values):
        return _KEY
    if n_distinct > max(_MOST_CLASSES, len(values) / 2):
        return f"text: {n_distinct} of {len(values)} differ"
    return None


def _numbers_rows(name: str, values: "pd.Series[Any]") -> bool:
    """Whether distinct whole numbers only tell rows apart: they leave no gap, or rise with a few, or are called so."""
    return values.max() - values.min() == len(values) - 1 or _are_in_sequence(values) or _is_identifier(name)


def _are_in_sequence(values: "pd.Series[Any]") -> bool:
    """Whether they count the rows, from anywhere on; rows may have been deleted since."""
    return bool(values.is_monotonic_increasing and values.max() - values.min() < _MOST_GAPS * len(values))


def _is_shared_key(name: str, values: "pd.Series[Any]") -> bool:
    """Whether each value names what a few rows are about, so that they are no rows of their own."""
    n_distinct = values.nunique()
    return _is_identifier(name) and max(_MOST_CLASSES, len(values) / _ROWS_A_KEY) < n_distinct < len(values)


def _is_identifier(name: str) -> bool:
    return bool(_IDENTIFIER.fullmatch(name) or _IDENTIFIER.fullmatch(name.lower()))


def _is_number(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _are_truth_values(values: "pd.Series[Any]") -> bool:
    """Whether all are True or False, also beside missing values, which make objects of them."""
    if values.dtype != object:
        return bool(pd.api.types.is_bool_dtype(values))
    return bool(values.map(lambda value: isinstance(value, (bool, np.bool_))).all())


def _are_dates(values: "pd.Series[Any]") -> bool:
    """Whether most are dates or times of day."""
    return not _are_truth_values(values) and are_dates(values)


def _check_finite(values: "pd.Series[Any]") -> None:
    if _is_number(values) and np.isinf(values.to_numpy(dtype=float)).any():
        row = int(np.flatnonzero(np.isinf(values.to_numpy(dtype=float)))[0])
        raise InvalidOption(
            f"column {str(values.name)!r} has an infinite value in row {values.index[row] + 1}: empty it"
        )
