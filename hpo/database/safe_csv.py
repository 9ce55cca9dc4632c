"""Cells of CSV files that a spreadsheet would run as a formula, written so that it shows them."""

import csv
import io
from typing import Any

_STARTS = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV Injection"


def safe_cell(value: Any) -> Any:
    """A text with an apostrophe before it, where a spreadsheet would run it; numbers and other texts as they are.

    Example:
        >>> safe_cell("=1+1"), safe_cell("-0.5"), safe_cell(-0.5)
        ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(value, str) or not value.startswith(_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def safe_csv(text: str) -> str:
    """A whole CSV file with its cells made safe."""
    written = io.StringIO()
    csv.writer(written).writerows([safe_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text)))
    return written.getvalue()
