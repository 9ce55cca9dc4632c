"""Ctrl-C and SIGTERM: the first lets the trials under way finish, the second stops at once."""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_exit = os._exit  # a fit may run where os._exit is heard (hpo.process.failures), and a signal arrive meanwhile
ANNOUNCEMENT = "interrupted: what is under way is finished and recorded first; once more ends at once"
_SOON = 0.05  # seconds after which a destructor that lost a signal has returned
_SHOW_CURSOR = b"\x1b[?25h\n"


def _raise() -> None:
    raise KeyboardInterrupt


class Interrupts:
    """Whether an end was asked for.

    ``at_once`` is what a second signal does: it raises KeyboardInterrupt, but where a command owns the process it ends
    the process, because an exception may fall where nobody can pass it on. ``is_ending``: there was a first.
    ``has_recorded``: whether anything was stored since this process began.
    ``n_handling``: how many blocks have our handlers; ``has_raised``: whether one of these has raised.
    ``is_cut_off``: a cluster fell silent, and Dask's handlers at Python's end would wait for it.
    ``is_drawn``: something is redrawn at the end of the terminal, which shows that itself and hides the cursor.
    """

    at_once: Callable[[], None] = staticmethod(_raise)
    is_ending = False
    is_cut_off = False
    is_drawn = False
    has_recorded = False
    n_handling = 0
    has_raised = False

    def __init__(self) -> None:
        self.requested = False

    def handle(self, *_: Any) -> None:
        """Note the first signal, obey the second."""
        if self.requested:
            Interrupts.has_raised = True
            Interrupts.at_once()
        self.requested = Interrupts.is_ending = True
        if not Interrupts.is_drawn:
            with contextlib.suppress(OSError):  # not by print, which may be at work just now and is not re-entrant
                os.write(2, f"\n{ANNOUNCEMENT}\n".encode())

    @classmethod
    def stop(cls, *_: Any) -> None:
        """What a signal does where nothing runs: it raises, and a second one ends at once."""
        if cls.is_ending:
            cls.has_raised = True
            cls.at_once()
        cls.is_ending = cls.has_raised = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def finishing_first() -> Iterator[Interrupts]:
    """Note the first SIGINT or SIGTERM instead of raising.

    Outside the main thread signals belong to somebody else, and nothing is changed.
    """
    interrupts = Interrupts()
    Interrupts.is_ending = Interrupts.has_raised = False
    with handled_by(interrupts.handle):
        yield interrupts


@contextlib.contextmanager
def handled_by(handler: Callable[..., None]) -> Iterator[None]:
    """Let a handler have SIGINT and SIGTERM inside the block, where this is the main thread."""
    try:
        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield
        return
    if not Interrupts.n_handling:
        Interrupts.has_raised = False
    Interrupts.n_handling += 1
    try:
        yield
    finally:
        Interrupts.n_handling -= 1
        for number, earlier in before.items():
            signal.signal(number, earlier)


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception that the user's code let through is a signal's, and not of its own making.

    Where the handlers are not ours a KeyboardInterrupt in the main thread is held to be a signal's.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if Interrupts.n_handling:
        return Interrupts.has_raised
    return isinstance(error, KeyboardInterrupt) and callable(signal.getsignal(signal.SIGINT))


def own_signals(last_words: str, code: int) -> None:
    """Let a second signal end the process with this code, as safely as kill -9 does."""

    def end() -> None:
        with contextlib.suppress(OSError):
            os.write(2, (_SHOW_CURSOR if Interrupts.is_drawn else b"") + last_words.encode())
        _exit(code)

    Interrupts.at_once = end
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, Interrupts.stop)
        _repeat_lost_interrupts()


def _repeat_lost_interrupts() -> None:
    """Let a signal come once more where its exception fell into a destructor, out of which Python passes none."""
    earlier = sys.unraisablehook

    def hear(lost: Any) -> None:
        if not (issubclass(lost.exc_type, KeyboardInterrupt) and Interrupts.has_raised):
            earlier(lost)
            return
        Interrupts.is_ending = Interrupts.has_raised = False  # nobody has heard of it
        repeating = threading.Timer(_SOON, _signal_main_thread)
        repeating.daemon = True
        repeating.start()

    sys.unraisablehook = hear


def _signal_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):  # unlike the other it also ends what waits, as a sleep
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def leave(code: int) -> NoReturn:
    """End the process, when all is recorded and said.

    Once it was interrupted, a second signal while Python ends changes nothing. Once its cluster was lost, the process
    ends without the handlers of others at its end.
    """
    if Interrupts.is_ending:
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    if Interrupts.is_cut_off:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        _exit(code)
    sys.exit(code)
