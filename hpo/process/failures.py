"""What the user's code raises, told in plain text whatever it is, and its attempts to end the process."""

import contextlib
import os
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NoReturn

_LONGEST_MESSAGE = 300
_LONGEST_TRACE = 4000
_LONGEST_WARNING, _QUOTED = 200, 5  # of a fold
_exit = os._exit  # the real one
_LOCK = threading.Lock()
_HEARD: list[tuple[int, int]] = []  # process and thread of each block


class ProcessExit(BaseException):
    """The user's code has called ``os._exit``, which would have ended this process without a word."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def counted_warnings(raised: Sequence[warnings.WarningMessage]) -> dict[str, int]:
    """Return ``Category: message`` -> how often it was raised; of many different messages the first few are quoted.

    Example:
        >>> with warnings.catch_warnings(record=True) as raised:
        ...     warnings.simplefilter("always")
        ...     warnings.warn("not yet\\n converged", UserWarning)
        >>> counted_warnings(raised)
        {'UserWarning: not yet converged': 1}
    """
    counts: Counter[str] = Counter()
    for warning in raised:
        text = describe(warning.message)[:_LONGEST_WARNING] if isinstance(warning.message, Warning) else ""
        is_quoted = text in counts or len(counts) < _QUOTED
        counts[text if is_quoted else plain(warning.category.__name__)] += 1
    return dict(counts)


def plain(text: str) -> str:
    r"""A text that every encoding and database can hold: lone surrogates and NULs are spelled out.

    Example:
        >>> plain("a\x00b\ud800")
        'a\\x00b\\ud800'
    """
    encoded = str.encode(text, "utf-8", "backslashreplace")
    return encoded.decode().replace("\0", "\\x00")


def describe(error: BaseException) -> str:
    """Type and message in one line, also where the message cannot be had.

    Example:
        >>> describe(ValueError("two\\nlines"))
        'ValueError: two lines'
    """
    try:
        message = plain(str(error))
    except BaseException as second:  # noqa: BLE001 - a message is code too
        message = f"its message cannot be shown ({_name(second)})"
    return f"{_name(error)}: {' '.join(message.split())}"[:_LONGEST_MESSAGE]


def trace_of(error: BaseException) -> str:
    """The end of the traceback."""
    try:
        lines = traceback.format_exception(error)
    except BaseException as second:  # noqa: BLE001 - so are notes, causes and source lines
        lines = [*traceback.format_tb(error.__traceback__), f"{_name(error)} ({_name(second)} in its traceback)\n"]
    return plain("".join(lines))[-_LONGEST_TRACE:]


def _name(error: BaseException) -> str:
    return plain(str(type.__dict__["__name__"].__get__(type(error))))


@contextlib.contextmanager
def exits_heard() -> Iterator[None]:
    """Raise :class:`ProcessExit` where this thread calls ``os._exit`` inside the block.

    Children that the block forks, and other threads, end as they mean to.
    """
    here = (os.getpid(), threading.get_ident())
    with _LOCK:
        _HEARD.append(here)
        os._exit = _raise_instead
    try:
        yield
    finally:
        with _LOCK:
            _HEARD.remove(here)
            if not _HEARD:
                os._exit = _exit


def _raise_instead(status: int) -> NoReturn:
    if (os.getpid(), threading.get_ident()) in _HEARD:
        raise ProcessExit(status)
    _exit(status)


def end_if_forked(process: int) -> None:
    """End this process at once where it is a copy, made by the user's code, of the one of this id."""
    if os.getpid() != process:
        _exit(1)
