"""Content hashes that are the same in every process, so that a stored result can be told from a stale one."""

import ast
import contextlib
import dataclasses
import dis
import functools
import hashlib
import io
import linecache
import logging
import re
import struct
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hpo.errors import InvalidDefinition

_LIBRARY_FOLDERS = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


STUDY_MARK = "__hpo_study__"  # set in modules loaded as study scripts: theirs is the user's source, wherever it lies


def fingerprint(value: Any, name: str = "value") -> str:
    """Hash the content of ``value``: 16 hexadecimal digits.

    Numbers, text, containers, arrays, sparse matrices, pandas objects and scikit-learn estimators are
    hashed by content; functions and classes of the user's own by their source (comments, docstrings and
    layout do not count) and by what they refer to; those of installed packages by their qualified name.

    Raises:
        InvalidDefinition: the value, or something it refers to, has no content that could be hashed;
            ``name`` and the path to the part are in the message.
    """
    hasher = _Hasher()
    hasher.add(value, name)
    return hasher.digest.hexdigest()[:16]


class _Hasher:
    """Feeds a value's content into one SHA-256, part by part, each with its type and length."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._open: dict[int, Any] = {}  # what is being hashed now, for values that contain themselves

    def put(self, tag: str, content: bytes | memoryview = b"") -> None:
        self.digest.update(f"{tag}:{len(content)}:".encode())
        self.digest.update(content)

    def add(self, value: Any, path: str) -> None:
        if value is None or isinstance(value, (bool, int, str, bytes, complex)) or value is ...:
            self.put(type(value).__name__, value if isinstance(value, bytes) else repr(value).encode())
        elif isinstance(value, float):
            self.put("float", struct.pack("<d", value))
        elif id(value) in self._open:
            self.put("again")
        else:
            self._open[id(value)] = value
            try:
                self._add_compound(value, path)
            finally:
                del self._open[id(value)]

    def _add_compound(self, value: Any, path: str) -> None:
        for matches, add in _KINDS:
            if matches(value):
                add(self, value, path)
                return
        home = sys.modules.get(getattr(value, "__module__", None) or "")
        if callable(value) and hasattr(value, "__qualname__") and home is not None and is_library(home):
            self.add_builtin(value, path)  # a library's function behind a dispatcher, as numpy.linalg.norm
            return
        state = _state(value)
        if state is None:
            raise InvalidDefinition(
                f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be fingerprinted: "
                "build it inside the function that uses it, or give it a scikit-learn get_params()"
            )
        self.put("object")
        self.add(type(value), f"type({path})")
        self.add(state, path)

    def add_sequence(self, value: Any, path: str) -> None:
        self.put(type(value).__name__, str(len(value)).encode())
        for i, part in enumerate(value):
            self.add(part, f"{path}[{i}]")

    def add_unordered(self, value: Any, path: str) -> None:
        self.put("set")
        for digest in sorted(fingerprint(part, path) for part in value):
            self.put("element", digest.encode())

    def add_mapping(self, value: Mapping[Any, Any], path: str) -> None:
        self.put("mapping", str(len(value)).encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, repr(key))):
            self.add(key, f"{path}.key")
            self.add(value[key], f"{path}[{key!r}]")

    def add_array(self, value: np.ndarray[Any, Any], path: str) -> None:
        self.put("array", f"{value.dtype.descr!r}{value.shape}".encode())
        if isinstance(value, np.ma.MaskedArray):
            self.add_array(np.ma.getmaskarray(value), path)
            value = value.filled()
        if value.dtype.hasobject:
            self.add_sequence(value.ravel().tolist(), path)
        else:
            self.put("bytes", np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)

    def add_sparse(self, value: Any, path: str) -> None:
        coo = value.tocoo(copy=True)
        coo.sum_duplicates()
        self.put("sparse", str(coo.shape).encode())
        for part in (coo.row, coo.col):
            self.add_array(part.astype(np.int64), path)
        self.add_array(coo.data, path)

    def add_pandas(self, value: Any, path: str) -> None:
        from pandas.util import hash_pandas_object

        self.put("pandas", type(value).__name__.encode())
        columns = value.items() if hasattr(value, "columns") else [(getattr(value, "name", None), value)]
        for label, column in columns:
            self.add(repr(label), path)
            self.put("dtype", str(column.dtype).encode())
            if hasattr(column, "cat"):  # the hash of a categorical depends on its values only
                self.add_sequence([repr(category) for category in column.cat.categories], path)
            if column.dtype == object:  # pandas hashes 1 and "1" alike
                self.add_sequence(column.tolist(), path)
            else:
                self.add_array(hash_pandas_object(column, index=False).to_numpy(), path)
        if hasattr(value, "index"):
            self.add_array(hash_pandas_object(value.index).to_numpy(), path)

    def add_estimator(self, value: Any, path: str) -> None:
        self.put("estimator")
        self.add(type(value), f"type({path})")
        self.add_mapping(value.get_params(deep=False), path)

    def add_module(self, value: types.ModuleType, path: str) -> None:
        self.put("module", value.__name__.encode())
        if is_library(value):
            return
        self.put("source", _normalised(Path(value.__file__ or "").read_text(encoding="utf-8")).encode())
        for name, member in sorted(vars(value).items()):  # what it imports from the user's other modules
            home = (
                member if isinstance(member, types.ModuleType) else sys.modules.get(getattr(member, "__module__", ""))
            )
            if home is not None and home is not value and not is_library(home):
                self.add(member, f"{path}.{name}")

    def add_class(self, value: type, path: str) -> None:
        if is_library(sys.modules.get(value.__module__)):
            self.put("class", f"{value.__module__}.{value.__qualname__}".encode())
            return
        self.put("class", value.__qualname__.encode())  # a script's module is __main__ or not, as it is started
        self.add_sequence([base for base in value.__bases__ if base is not object], f"{path}'s bases")
        for key, member in sorted(vars(value).items()):
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(member, types.FunctionType):
                self.add(member, f"{path}.{key}")
            elif key not in _CLASS_MACHINERY and not key.startswith("_abc") and not _is_descriptor(member):
                self.put("attribute", key.encode())
                self.add(member, f"{path}.{key}")

    def add_function(self, value: types.FunctionType, path: str) -> None:
        module = sys.modules.get(value.__module__ or "")
        self.put("function", value.__qualname__.rpartition(".")[2].encode())
        if is_library(module) and "<locals>" not in value.__qualname__:
            self.put("library", f"{value.__module__}.{value.__qualname__}".encode())
            return
        self.put("source", _function_source(value).encode())
        self.add((value.__defaults__, value.__kwdefaults__), f"{path}'s defaults")
        for name, referred in sorted(_refers_to(value).items()):
            self.put("name", name.encode())
            self.add(referred, f"{name} (used by {path})")

    def add_wrapped(self, value: Any, path: str) -> None:
        self.put("wrapped", type(value).__qualname__.encode())
        self.add(value.__wrapped__, path)

    def add_builtin(self, value: Any, path: str) -> None:
        self.put("builtin", f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode())
        bound_to = getattr(value, "__self__", None)
        if bound_to is not None and not isinstance(bound_to, types.ModuleType):
            self.add(bound_to, path)

    def add_method(self, value: types.MethodType, path: str) -> None:
        self.add(value.__func__, path)
        self.add(value.__self__, path)

    def add_partial(self, value: "functools.partial[Any]", path: str) -> None:
        self.put("partial")
        self.add((value.func, value.args, value.keywords), path)

    def add_generator(self, value: Any, path: str) -> None:
        state = value.bit_generator.state if isinstance(value, np.random.Generator) else value.get_state(legacy=False)
        self.put("generator")
        self.add(state, path)


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "iloc")


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[_Hasher, Any, str], None]], ...] = (
    (lambda v: isinstance(v, np.ndarray), _Hasher.add_array),
    (lambda v: isinstance(v, np.generic), lambda h, v, path: h.add_array(np.asarray(v), path)),
    (_is_pandas, _Hasher.add_pandas),
    (lambda v: hasattr(v, "tocoo"), _Hasher.add_sparse),
    (lambda v: isinstance(v, Mapping), _Hasher.add_mapping),
    (lambda v: isinstance(v, (list, tuple, range)), _Hasher.add_sequence),
    (lambda v: isinstance(v, (set, frozenset)), _Hasher.add_unordered),
    (lambda v: isinstance(v, type), _Hasher.add_class),
    (_is_estimator, _Hasher.add_estimator),
    (lambda v: isinstance(v, types.FunctionType), _Hasher.add_function),
    (lambda v: isinstance(v, types.MethodType), _Hasher.add_method),
    (lambda v: isinstance(v, (types.BuiltinFunctionType, np.ufunc)), _Hasher.add_builtin),
    (lambda v: isinstance(v, functools._lru_cache_wrapper), _Hasher.add_wrapped),
    (lambda v: isinstance(v, functools.partial), _Hasher.add_partial),
    (lambda v: isinstance(v, types.ModuleType), _Hasher.add_module),
    (lambda v: isinstance(v, (np.random.Generator, np.random.RandomState)), _Hasher.add_generator),
    (lambda v: isinstance(v, logging.Logger), lambda h, v, path: h.add(("logger", v.name), path)),
    (lambda v: isinstance(v, re.Pattern), lambda h, v, path: h.add(("pattern", v.pattern, v.flags), path)),
    (lambda v: isinstance(v, PurePath), lambda h, v, path: h.add(("path", str(v)), path)),
    # A cache decides no score, wherever it lies.
    (lambda v: type(v).__module__ == "joblib.memory" and hasattr(v, "__wrapped__"), _Hasher.add_wrapped),
    (lambda v: type(v).__module__ == "joblib.memory" and type(v).__name__ == "Memory", lambda h, v, _: h.put("cache")),
)


_CLASS_MACHINERY = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__",
    "__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__parameters__", "__orig_bases__",
    "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "__slotnames__",
}  # fmt: skip


def _is_descriptor(member: Any) -> bool:
    """Whether a class attribute is Python's own machinery (slots, metadata requests) rather than a value."""
    return hasattr(type(member), "__get__")


def _refers_to(function: types.FunctionType) -> dict[str, Any]:
    """Global and closed-over names that a function, or anything defined inside it, reads -> their values."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            found[name] = cell.cell_contents
    pending = [function.__code__]
    while pending:
        code = pending.pop()
        pending += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        for instruction in dis.get_instructions(code):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and instruction.argval in function.__globals__:
                found[instruction.argval] = function.__globals__[instruction.argval]
    return found


def _state(value: Any) -> Any:
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


@functools.cache
def is_library(module: types.ModuleType | None) -> bool:
    """Whether a module belongs to Python or to an installed package, and not to the user's own scripts."""
    if module is None or module.__name__ == "__main__" or hasattr(module, STUDY_MARK):
        return False
    file = getattr(module, "__file__", None)
    if file is None:  # built in, or a namespace
        return True
    resolved = Path(file).resolve()
    return any(resolved.is_relative_to(folder) for folder in _LIBRARY_FOLDERS) or module.__name__.startswith("hpo.")


def _normalised(source: str) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return ast.unparse(tree)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]


def _function_source(function: types.FunctionType) -> str:
    """Normalised source of a function or lambda; its bytecode where there is no source (exec, a bare prompt).

    A lambda is looked up in the whole file, because the lines around it seldom parse alone; lambdas that
    begin on one line cannot be told apart and count together.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)  # a script may have been edited and loaded again
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        tree = ast.Module([], [])
    wanted = (ast.Lambda,) if code.co_name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, wanted) and getattr(node, "name", code.co_name) == code.co_name:
            decorators = getattr(node, "decorator_list", [])
            if code.co_firstlineno in {node.lineno, *(d.lineno for d in decorators)}:
                for inner in ast.walk(node):
                    _drop_docstring(inner)
                found.append(ast.unparse(node))
    return "\n".join(found) or _bytecode(code)


def _bytecode(code: types.CodeType) -> str:
    constants = [_bytecode(c) if isinstance(c, types.CodeType) else fingerprint(c) for c in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames, sys.version_info[:2]))
