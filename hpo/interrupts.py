"""Ctrl-C and SIGTERM while trials run: the first lets the trial under way finish, the second stops at once."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

_ANNOUNCEMENT = b"\ninterrupted: what is under way is finished and recorded first; once more ends at once\n"


class Interrupts:
    """Whether an end was asked for."""

    requested = False


@contextlib.contextmanager
def finishing_first() -> Iterator[Interrupts]:
    """Note the first SIGINT or SIGTERM instead of raising; a second raises KeyboardInterrupt where it falls.

    Outside the main thread signals belong to somebody else, and nothing is changed.
    """
    interrupts = Interrupts()

    def handle(*_: Any) -> None:
        if interrupts.requested:
            raise KeyboardInterrupt
        interrupts.requested = True
        with contextlib.suppress(OSError):  # not by print, which may be at work just now and is not re-entrant
            os.write(2, _ANNOUNCEMENT)

    try:
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield interrupts
        return
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
