"""Reading a CSV file that nobody described: separator, encoding, decimal mark, marks of missing values."""

import codecs
import csv
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hpo.errors import InvalidOption
from hpo.study.from_csv.amounts import Amounts, find_amounts, without_signs
from hpo.units import counted, one_line

_SEPARATORS = ",;\t|"
_UNKNOWN = frozenset({"?", "-", "--", "."})  # among numbers; pandas knows NA, null and the like
_HEAD = 2**20  # bytes that are looked at before all of them are read
_FEWEST_OF_CLASS = 3  # rows; fewer cannot be learned
_N_RECORDS = 100  # of these, to tell the separator
_NUMBER = r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"
_DECIMAL_COMMA = r"[-+]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class CsvTable:
    """What a CSV file holds, and how it was read.

    Attributes:
        frame: one column for each of the file's.
        options: of ``pandas.read_csv``, where they are not its defaults; the frame is ``read_csv(path, **options)``
            with its amounts as numbers.
        amounts: columns whose numbers had currency signs, percent signs or thousands marks.
        classes: name of a class -> its rows, of those that pandas takes for missing: None, NA, n/a and the like.
        missing: what stands in the target where it is missing -> rows; the empty text for an empty field.
    """

    frame: pd.DataFrame
    options: dict[str, Any]
    amounts: Amounts = field(default_factory=Amounts)
    classes: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)


def read_table(path: Path, target: str | None = None) -> CsvTable:
    """Read a CSV file with a header.

    Args:
        path: of the file.
        target: the column to predict, whose classes may be called None or NA.

    Raises:
        InvalidOption: there is no such file, or it is none; what is wrong with it.
    """
    head = _head(path)
    for encoding in _encodings(head):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
            options = {**_separator(path, text), **({} if encoding == "utf-8" else {"encoding": encoding})}
            return _with_classes(path, _read(path, options), target)
        except UnicodeError:
            continue
    raise InvalidOption(f"{path} is not text in UTF-8, UTF-16 or Windows-1252: save it as CSV in UTF-8")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InvalidOption(f"the CSV file {str(path)!r} cannot be read: {error.strerror or error}") from error
    if not head.strip():
        raise InvalidOption(f"{path} is empty")
    if b"\0" in head and not _is_utf16(head):
        raise InvalidOption(f"{path} is not a CSV file: it has bytes that text cannot have")
    return head


def _is_utf16(head: bytes) -> bool:
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _encodings(head: bytes) -> list[str]:
    """Those to try, in order; pandas skips the mark that may begin UTF-8 by itself."""
    return ["utf-16"] if _is_utf16(head) else ["utf-8", "cp1252"]


def _separator(path: Path, text: str) -> dict[str, Any]:
    """The separator under which the first records agree on the number of their fields."""
    found = []
    for separator in _SEPARATORS:
        records = list(_records(text.removeprefix("\ufeff"), separator))
        widths = [len(record) for record in records]
        if widths and widths[0] > 1:
            found.append((widths.count(widths[0]) / len(widths), widths[0], separator, records))
    if not found:
        raise InvalidOption(
            f"{path} has one column only: a header and two columns or more are needed, separated by comma, semicolon, "
            "tab or |"
        )
    _, width, separator, records = max(found, key=lambda one: one[:2])
    header = records[0]
    for name in header:
        if name.strip() and header.count(name) > 1:
            raise InvalidOption(f"{path} has {header.count(name)} columns called {name!r}: rename all but one")
    for number, record in enumerate(records[1:], 1):
        if len(record) > width:
            raise InvalidOption(f"{path}: row {number} has {len(record)} fields, and the header {width}")
    options: dict[str, Any] = {} if separator == "," else {"sep": separator}
    if all(name.startswith(" ") for name in header[1:]):  # "a, b, c"
        options["skipinitialspace"] = True
    return options


def _records(text: str, separator: str) -> Iterator[list[str]]:
    """The first whole records that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    n = 0
    try:
        for record in reader:
            if record:
                n += 1
                yield record
            if n == _N_RECORDS:
                return
    except csv.Error:  # a field without end, which this separator may have made
        return


def _read(path: Path, options: dict[str, Any]) -> CsvTable:
    """The file with these options, and those that only its content tells."""
    frame = _frame(path, options)
    texts = {
        str(name): frame[name].dropna().astype(str).str.strip()
        for name in frame.select_dtypes(exclude=["number", "bool"])
    }
    marks = {name: sorted(set(values) & _UNKNOWN) for name, values in texts.items()}
    numbers = {name: values[~values.isin(marks[name])] for name, values in texts.items()}
    amounts = find_amounts({name: values for name, values in numbers.items() if not _are(_NUMBER, values)})
    numbers = {name: values for name, values in numbers.items() if name in amounts.columns or _are(_NUMBER, values)}
    options = {**options, **_missing({name: marks[name] for name in marks if name in numbers and marks[name]}, marks)}
    has_points = any((frame[name].dropna() % 1 != 0).any() for name in frame.select_dtypes("float"))
    if "sep" in options and not has_points and any(_are(_DECIMAL_COMMA, values) for values in numbers.values()):
        options["decimal"] = ","
    if options.keys() & {"na_values", "decimal"}:
        frame = _frame(path, options)
    return CsvTable(without_signs(frame, amounts), options, amounts)


def _with_classes(path: Path, table: CsvTable, target: str | None) -> CsvTable:
    """The table with those classes of a target of texts that pandas takes for missing."""
    if target not in table.frame or not (is_missing := table.frame[target].isna()).any():
        return table
    texts = _frame(path, {**table.options, "dtype": str, "keep_default_na": False, "na_values": []})
    found = texts.loc[is_missing, target].fillna("").value_counts().to_dict()
    known = table.frame[target].dropna()
    are_texts = (known.empty or pd.api.types.is_string_dtype(known)) and target not in table.amounts.columns
    classes = {text: n for text, n in found.items() if text.strip() and n >= _FEWEST_OF_CLASS and are_texts}
    missing = {text.strip(): n for text, n in found.items() if text not in classes}
    if not classes:
        return replace(table, missing=missing)
    marks = {
        str(name): sorted({*texts.loc[column.isna(), name].fillna("")} - (set(classes) if name == target else set()))
        for name, column in table.frame.items()
    }
    marks = {name: several for name, several in marks.items() if several}
    everywhere = sorted({"", *(mark for several in marks.values() for mark in several)})
    is_class_elsewhere = bool(set(everywhere) & set(classes))
    options = {
        **table.options,
        "keep_default_na": False,
        "na_values": marks if is_class_elsewhere else everywhere,
    }
    return replace(
        table,
        frame=without_signs(_frame(path, options), table.amounts),
        options=options,
        classes=classes,
        missing=missing,
    )


def _missing(found: dict[str, list[str]], marks: dict[str, list[str]]) -> dict[str, Any]:
    """``na_values`` for marks among numbers; for these columns alone where the same is a text of another."""
    everywhere = sorted({mark for several in found.values() for mark in several})
    is_text_elsewhere = any(set(everywhere) & set(marks[name]) for name in marks if name not in found)
    return {"na_values": found if is_text_elsewhere else everywhere} if found else {}


def _are(pattern: str, values: "pd.Series[str]") -> bool:
    return bool(len(values)) and bool(values.str.fullmatch(pattern).all())


def _frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            try:
                frame = pd.read_csv(path, **options)
            except pd.errors.DtypeWarning:  # a long file, whose parts were taken for different types
                options["low_memory"] = False
                frame = pd.read_csv(path, **options)
    except UnicodeError:
        raise
    except (ValueError, OSError) as error:  # pandas' ParserError is a ValueError
        raise InvalidOption(f"{path} cannot be read as CSV: {one_line(error)}") from error
    if not len(frame):
        raise InvalidOption(f"{path} has a header of {counted(frame.shape[1], 'column')} and no rows")
    return frame
