"""What proposes configurations, and what prunes trainings that cannot win.

Start with the table in :mod:`hpo.samplers.table`: a sampler is a row of it. :mod:`hpo.samplers.ask_tell` asks and
tells every one of them in the same way.
"""

from importlib import import_module
from typing import Any

_HOMES = {"Sampler": "hpo.samplers.table"}  # pickles ask for it here


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
