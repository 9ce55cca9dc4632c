"""What is said of progress and of doubts: to people at a terminal as it is, elsewhere through the logger ``hpo``."""

import logging
import sys

_LOGGER = logging.getLogger("hpo")


def announce(text: str) -> None:
    """Say a line on the standard error, or through the logger ``hpo`` where that is no terminal.

    A logger that nobody has configured, here or at the root, writes to the standard error too, so that nothing that
    is said is lost.
    """
    if sys.stderr is None:
        return
    if _LOGGER.hasHandlers() and not sys.stderr.isatty():
        _LOGGER.log(logging.INFO, text)
        return
    print(text, file=sys.stderr, flush=True)
