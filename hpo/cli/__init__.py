"""The command line: arguments in, text out."""

import signal
from typing import NoReturn


def entry() -> NoReturn:
    """The command ``hpo``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported there is nothing to finish or to say
    from hpo.cli.main import entry as begin

    begin()
