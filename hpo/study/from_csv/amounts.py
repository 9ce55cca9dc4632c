"""Amounts as people write them in a table: with a currency or percent sign, and marks between the thousands."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

_SIGNS = r"[$€£¥₹₩%]|US\$|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|kr|zł"
_POINT = r"\d{1,3}(?:[,'’\s]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_COMMA = r"\d{1,3}(?:[.'’\s]\d{3})+(?:,\d+)?|\d+(?:,\d+)?"
_THOUSANDS = re.compile(r"\d[,.'’\s]\d{3}(?!\d)")


@dataclass(frozen=True)
class Amounts:
    """The columns that hold amounts written with signs.

    Attributes:
        columns: their names.
        decimal: the decimal mark of all of them, ``.`` or ``,``.
    """

    columns: tuple[str, ...] = ()
    decimal: str = "."

    @property
    def dropped(self) -> str:
        """A regular expression for every character that is no part of the number."""
        return rf"[^\d{self.decimal}+-]"


def find_amounts(texts: "dict[str, pd.Series[Any]]") -> Amounts:
    """Which columns of text hold amounts.

    All values of a column must bear the same sign, or none; where none does, one has a mark between the thousands.
    Columns whose decimal mark is another than that of the most are no amounts, as one rule is to read them all.

    Args:
        texts: name -> the column's texts, without missing ones.
    """
    found = {
        decimal: tuple(name for name, values in texts.items() if _are_amounts(values, number))
        for decimal, number in ((".", _POINT), (",", _COMMA))
    }
    decimal = max(found, key=lambda mark: len(found[mark]))  # the point, where both can be
    return Amounts(found[decimal], decimal)


def without_signs(frame: pd.DataFrame, amounts: Amounts) -> pd.DataFrame:
    """The table with its amounts as numbers."""
    return frame.assign(**{name: as_numbers(frame[name], amounts) for name in amounts.columns})


def as_numbers(column: "pd.Series[Any]", amounts: Amounts) -> "pd.Series[float]":
    """The numbers of a column of amounts."""
    plain = column.str.replace(amounts.dropped, "", regex=True).str.replace(amounts.decimal, ".")
    return pd.to_numeric(plain)


def _are_amounts(values: "pd.Series[Any]", number: str) -> bool:
    if values.empty:
        return False
    pattern = rf"[-+]?\s*({_SIGNS})?\s*[-+]?\s*(?:{number})\s*({_SIGNS})?"
    parts = values.str.extract(rf"^(?:{pattern})$").fillna("")
    if not values.str.fullmatch(pattern).all():
        return False
    signs = (parts[0] + parts[1]).unique()
    return len(signs) == 1 and (bool(signs[0]) or bool(values.str.contains(_THOUSANDS).any()))
