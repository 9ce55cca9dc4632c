"""Runs: propose, evaluate, record, until a limit is reached; and what their user holds afterwards.

A trial's way: :mod:`hpo.runs.runner` opens a session, :mod:`hpo.runs.driver` keeps the workers busy,
:mod:`hpo.runs.loop` proposes, tells and records. :mod:`hpo.runs.run` is what the user gets back.
"""

from importlib import import_module
from typing import Any

_HOMES = {"Run": "hpo.runs.run", "Trial": "hpo.database.trial"}  # pickles ask for it here


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
