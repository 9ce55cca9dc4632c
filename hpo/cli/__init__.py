"""The command line: arguments in, text out."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "entry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hpo.cli.main import entry  # scripts that were installed before it moved ask for it here

    return entry
