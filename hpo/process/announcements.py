"""What is said of progress and of doubts, through the logger ``hpo``, as a program that uses the package may want it.

The logger begins with a handler of its own, which writes to the standard error, as that of Optuna does.
"""

import logging
import sys

LOGGER = logging.getLogger("hpo")


class _ToStandardError(logging.Handler):
    """Writes to what is the standard error when something is said, which tests and notebooks replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        if sys.stderr is not None:
            print(record.getMessage(), file=sys.stderr, flush=True)


def announce(text: str, level: int = logging.WARNING) -> None:
    """Say a line: progress with ``logging.INFO``, all else as a warning."""
    LOGGER.log(level, "%s", text)


if not LOGGER.handlers:
    LOGGER.addHandler(_ToStandardError())
    LOGGER.propagate = False
if LOGGER.level == logging.NOTSET:
    LOGGER.setLevel(logging.INFO)
