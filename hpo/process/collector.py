"""Python's garbage collector, which looks through all objects again and again while many are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_blocks: list[bool] = []  # of the blocks that are under way: whether the collector was on before the first of them


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave the garbage collector off inside the block, where hundreds of thousands of rows are read.

    What is read has no cycles, so that it would look for them in vain, which takes a third of the whole. Blocks may
    be nested, and be in several threads: it is on again when the last has ended, if it was on before the first.

    Example:
        >>> import gc
        >>> with uncollected():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    with _lock:
        _blocks.append(_blocks[0] if _blocks else gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            if _blocks.pop() and not _blocks:
                gc.enable()
