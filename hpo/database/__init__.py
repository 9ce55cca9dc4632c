"""The study database: Optuna's own tables, opened safely, written one transaction a trial, read as data frames.

Start with :mod:`hpo.database.study_database`. Trials are written in :mod:`hpo.database.records`, and nowhere else.
"""

from importlib import import_module
from typing import Any

_HOMES = {"StudyDatabase": "hpo.database.study_database"}  # pickles ask for it here


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
