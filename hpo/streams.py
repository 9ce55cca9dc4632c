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


@contextlib.contextmanager
def stdout_for_json(is_json: bool) -> Iterator[None]:
    """Where JSON is asked for, what studies print meanwhile goes to stderr, also from C and from their children."""
    if not is_json:
        yield
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


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
