"""A drop-in for scikit-learn's searches: its fits, this package's samplers, and a study database behind them."""

from importlib import import_module
from typing import Any

_HOMES = {"SearchCV": "hpo.search_cv.search"}  # pickles ask for it here


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
