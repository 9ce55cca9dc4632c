"""Dates and times of day in a column of text, and the format that reads all of them."""

import re
from typing import Any

import pandas as pd

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_NUMBERS = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_NAMED = rf"\d{{1,2}}\.?[- ]{_MONTH}[- ,]*\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}}|{_MONTH}[- ]\d{{2,4}}"
_DAY = rf"{_NUMBERS}|{_NAMED}"
_DATE = re.compile(rf"(?:{_DAY})([T ]+\d{{1,2}}:\d{{2}}.*)?|\d{{1,2}}:\d{{2}}(:\d{{2}}.*)?", re.IGNORECASE)

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%b-%y", "%b-%Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", "T%H:%M", " %H:%M:%S.%f", "T%H:%M:%S.%f")
_PLENTY = 200  # values that rule out most formats


def are_dates(values: "pd.Series[Any]") -> bool:
    """Whether most of these texts are dates or times of day."""
    return bool(values.astype(str).str.strip().str.fullmatch(_DATE).mean() > 0.9)


def date_format(values: "pd.Series[Any]") -> str | None:
    """The one format that reads all of these texts as dates; None where none does, or day and month may be swapped.

    Example:
        >>> import pandas as pd
        >>> date_format(pd.Series(["03.04.2021", "17.04.2021"]))
        '%d.%m.%Y'
        >>> date_format(pd.Series(["03/04/2021", "05/04/2021"])) is None
        True
    """
    texts = values.astype(str)
    for time in _TIMES:
        fitting = [f"{day}{time}" for day in _DAYS if _reads(texts.iloc[:_PLENTY], f"{day}{time}")]
        fitting = [one for one in fitting if _reads(texts, one)]
        if fitting:
            have_names = all("%b" in one or "%B" in one for one in fitting)  # May is short and long
            return fitting[0] if len(fitting) == 1 or have_names else None
    return None


def _reads(texts: "pd.Series[Any]", form: str) -> bool:
    return bool(pd.to_datetime(texts, format=form, errors="coerce").notna().all())
