"""Standard streams that are closed: before a command begins (``>&-``), or by their reader, as ``head`` does."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Let a command print to streams that are closed, or become so, without complaint."""
    _open_closed()
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()


def discard_output() -> None:
    """Let what is still buffered go nowhere, as Python's last flush must not fail once the reader went away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def _open_closed() -> None:
    """Open closed streams on nothing, lest the next file opened gets their number and what is printed below Python."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: those below are open by now
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
