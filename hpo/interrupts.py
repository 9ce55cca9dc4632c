"""Ctrl-C and SIGTERM while trials run: the first lets the trial under way finish, the second stops at once."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


class Interrupts:
    """Whether an end was asked for."""

    requested = False


@contextlib.contextmanager
def finishing_first(announce: Callable[[str], None]) -> Iterator[Interrupts]:
    """Note the first SIGINT or SIGTERM instead of raising; a second raises KeyboardInterrupt where it falls.

    Outside the main thread signals belong to somebody else, and nothing is changed.
    """
    interrupts = Interrupts()

    def handle(*_: Any) -> None:
        if interrupts.requested:
            raise KeyboardInterrupt
        interrupts.requested = True
        announce("interrupted: the trial under way is finished and recorded first; once more ends at once")

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
