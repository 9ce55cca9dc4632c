"""Names that a package leads to, and whose modules it loads when they are first asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def leading_to(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``.

    Args:
        package: its name.
        homes: name -> the module that has it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get
