"""What a value consists of for its fingerprint: the state of an object, names that last, words for what has none."""

import dataclasses
import hashlib
import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

CLASS_MACHINERY = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__",
    "__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__parameters__", "__orig_bases__",
    "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "__slotnames__",
}  # fmt: skip

# Under these names stored hashes know classes of this package, wherever their modules move; new ones need no row.
_LASTING_HOMES = {
    "CrossValidation": "splits", "Holdout": "splits", "Float": "hyperparameters", "Int": "hyperparameters",
    "Categorical": "hyperparameters", "Quantile": "foreign_spaces", "SearchSpace": "space", "Data": "definition",
    "StudyDefinition": "definition",
}  # fmt: skip


def lasting_name(value: Any) -> str:
    """The name of a library's class or function; of one of this package a name that does not change when it moves."""
    module = value.__module__
    if module.partition(".")[0] == "hpo":
        home = _LASTING_HOMES.get(value.__qualname__)
        module = f"hpo.{home}" if home else "hpo"
    return f"{module}.{value.__qualname__}"


def state_of(value: Any) -> Any:
    """The attributes that make up a plain object, or None where Python cannot see into it."""
    if isinstance(value, io.IOBase):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    own_pickling = {"__reduce__", "__reduce_ex__", "__getstate__"} & {
        n for c in type(value).__mro__[:-1] for n in vars(c)
    }
    if not own_pickling and hasattr(value, "__dict__"):
        return vars(value)
    return None


def module_of(value: Any) -> types.ModuleType | None:
    """Return the module that a value says it comes from, where it is loaded."""
    name = getattr(value, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


def is_compiled(module: types.ModuleType | None) -> bool:
    """Whether a module is an extension, which has no source that could be read."""
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).suffix in {".so", ".pyd", ".dylib", ".pyc"}


def compiled_content(module: types.ModuleType) -> bytes:
    """Return a hash of the bytes of a module's file."""
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).digest()


def has_padding(dtype: "np.dtype[Any]") -> bool:
    """Return whether bytes lie between the fields of a structured type."""
    parts = [dtype.fields[name][0] for name in dtype.names or ()] if dtype.fields else []
    return sum(part.itemsize for part in parts) != dtype.itemsize or any(has_padding(part) for part in parts)


def text_of(value: Any) -> bytes:
    """Return a plain value as bytes: its repr, also of numbers and texts that cannot be written in the usual way."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**4000:
        return hex(value).encode()  # Python refuses to write more digits in decimal
    return repr(value).encode("utf-8", "surrogatepass")


def cannot(value: Any) -> str:
    """Say that a value has no content."""
    return f"is a {type(value).__module__}.{type(value).__qualname__}, which cannot be fingerprinted"


def short(error: Exception) -> str:
    """Return an error in one short line."""
    text = "it contains itself too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]


def remedy(path: str) -> str:
    """What to do about a part that has no content, by what it is a part of."""
    if path.startswith("the data"):
        return "convert it, for example to numbers, text or a NumPy array"
    if "(used by" in path or "(imported by" in path:
        return "build it inside the function that uses it"
    return "build it inside the function that uses it, or give it a scikit-learn get_params()"
