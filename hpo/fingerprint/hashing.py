"""Content hashes that are the same in every process, so that a stored result can be told from a stale one.

joblib.hash and pickles do not serve here: they know functions by name alone, and give equal content another hash
where strings are interned, sets ordered or objects shared differently.
"""

import contextlib
import functools
import hashlib
import io
import logging
import re
import struct
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hpo.errors import HpoError, InvalidDefinition
from hpo.fingerprint.content import (
    CLASS_MACHINERY,
    cannot,
    compiled_content,
    has_padding,
    is_compiled,
    lasting_name,
    module_of,
    remedy,
    short,
    state_of,
    text_of,
)
from hpo.fingerprint.foreign_data import as_plain
from hpo.fingerprint.ownership import distribution_of, is_library
from hpo.fingerprint.source_code import function_source, imported, names_imported, names_read, normalised

HASHES = 2  # version of the hashes that are written
OLD_HASHES = 1  # of those that are still recognised: they did not know what is marked with is_new below


def fingerprint(value: Any, name: str = "value", *, version: int = HASHES) -> str:
    """Hash the content of ``value``: 16 hexadecimal digits.

    Numbers, text, containers, arrays, sparse matrices, data frames, tensors and estimators (with all that they
    hold, also what is no parameter) are hashed by content; functions and classes of the user's own by their source
    (comments, docstrings and layout do not count) and by what they refer to; those of installed packages by
    their qualified name. The hash does not depend on the process, the hash seed, Python's minor version, or the
    module in which a class of this package lies.

    Args:
        value: of any type.
        name: what it is, for messages.
        version: of the hash; 1 recognises what earlier versions of this package stored.

    Raises:
        InvalidDefinition: the value, or something it refers to, has no content that could be hashed;
            ``name``, the path to the part and a remedy are in the message.

    Example:
        >>> fingerprint({"C": 1.0, "kernel": "rbf"}) == fingerprint({"kernel": "rbf", "C": 1.0})
        True
    """
    return fingerprint_and_origins(value, name, version=version).digest


@dataclass(frozen=True)
class Fingerprint:
    """A hash, and where the code comes from that it knows by name alone.

    Attributes:
        digest: 16 hexadecimal digits.
        distributions: installed distributions that the value's classes, functions and modules come from -> version.
    """

    digest: str
    distributions: Mapping[str, str]


def fingerprint_and_origins(value: Any, name: str = "value", *, version: int = HASHES) -> Fingerprint:
    """Hash as :func:`fingerprint`, and name the distributions whose code was met on the way."""
    hasher = _Hasher(version)
    hasher.add(value, name)
    return Fingerprint(hasher.digest.hexdigest()[:16], dict(sorted(hasher.distributions.items())))


def unfitted(estimator: Any) -> Any:
    """Return what scikit-learn's ``clone`` leaves of an estimator: what it has learned goes, unless it is frozen.

    An estimator that cannot be cloned is returned as it is.
    """
    from sklearn.base import clone

    try:
        return clone(estimator, safe=False)
    except Exception:  # noqa: BLE001 - constructors and parameters are the user's; whoever builds it will say so
        return estimator


@dataclass(frozen=True)
class Versioned:
    """A value of which hashes of today know more than those of before did.

    Attributes:
        now: what is hashed today.
        before: what was hashed under ``OLD_HASHES``.
    """

    now: Any
    before: Any


def hash_as_stored(value: Any, name: str, stored: str | None = None) -> Fingerprint:
    """Hash a value, or return the stored hash where an earlier version of this package gave it to the same content."""
    now, before = (value.now, value.before) if isinstance(value, Versioned) else (value, value)
    found = fingerprint_and_origins(now, name)
    if stored in {None, found.digest}:
        return found
    with contextlib.suppress(InvalidDefinition):  # what those of before could not hash
        if fingerprint(before, name, version=OLD_HASHES) == stored:
            return Fingerprint(str(stored), found.distributions)
    return found


class _Hasher:
    """Feeds a value's content into one SHA-256, part by part, each with its type and length."""

    def __init__(self, version: int) -> None:
        self.digest = hashlib.sha256()
        self.version = version
        self.is_new = version >= 2
        self.distributions: dict[str, str] = {}
        self._open: dict[int, Any] = {}  # what is being hashed now, for values that contain themselves

    def put(self, tag: str, content: bytes | memoryview = b"") -> None:
        self.digest.update(f"{tag}:{len(content)}:".encode())
        self.digest.update(content)

    def add(self, value: Any, path: str) -> None:
        if value is None or isinstance(value, (bool, int, str, bytes, complex)) or value is ...:
            self.put(type(value).__name__, value if isinstance(value, bytes) else text_of(value))
        elif isinstance(value, float):
            self.put("float", struct.pack("<d", value))
        elif id(value) in self._open:
            self.put("again")
        else:
            self._open[id(value)] = value
            try:
                self._add_compound(value, path)
            except HpoError:
                raise
            except Exception as error:
                raise InvalidDefinition(f"{path} {cannot(value)}: {short(error)}; {remedy(path)}") from error
            finally:
                del self._open[id(value)]

    def digest_of(self, value: Any, path: str) -> bytes:
        """The hash of a part by itself."""
        part = _Hasher(self.version)
        part._open = self._open
        part.add(value, path)
        self.distributions |= part.distributions
        return part.digest.hexdigest()[:16].encode()

    def _add_compound(self, value: Any, path: str) -> None:
        if self.is_new:
            given, value = value, as_plain(value)  # polars, pyarrow, torch and pandas arrays
            if value is not given:
                self.put("made plain", f"{type(given).__module__}.{type(given).__qualname__}".encode())
                self.add(value, path)
                return
        for matches, add in _KINDS:
            if matches(value):
                add(self, value, path)
                self._add_beside(value, path)
                return
        home = module_of(value)
        is_function = callable(value) and hasattr(value, "__qualname__") and home is not None
        if is_function and (is_library(home) or (self.is_new and is_compiled(home))):
            self.add_builtin(value, path)  # a library's function behind a dispatcher, as numpy.linalg.norm
            return
        state = state_of(value)
        if state is not None:
            self.put("object")
            self.add(type(value), f"type({path})")
            self.add(state, path)
        else:
            self._add_reduced(value, path)

    def _add_reduced(self, value: Any, path: str) -> None:
        """Add what an object is made again from when it is unpickled."""
        reduced: Any = None
        if self.is_new and not isinstance(value, io.IOBase) and not hasattr(value, "__next__"):
            with contextlib.suppress(TypeError):  # a lock, a socket: no content
                reduced = value.__reduce_ex__(4)
        if reduced is None:
            raise InvalidDefinition(f"{path} {cannot(value)}: {remedy(path)}")
        self.put("reduced")
        self.add(type(value), f"type({path})")
        if isinstance(reduced, str):  # a global name
            self.add(reduced, path)
            return
        function, arguments, *rest = reduced
        self.add(function, f"the constructor of {path}")
        self.add(list(arguments), path)
        for part in rest[:1]:  # its state
            self.add(part, path)
        for part in rest[1:3]:  # iterators over the parts of a list or dict
            self.add(None if part is None else list(part), path)

    def _add_beside(self, value: Any, path: str) -> None:
        """Add what a subclass of the user's of a container or an array carries beside its elements."""
        beside = getattr(value, "__dict__", None)
        is_container = isinstance(value, (Mapping, list, tuple, set, frozenset, np.ndarray))
        is_own = is_container and not is_library(sys.modules.get(type(value).__module__))
        if self.is_new and is_own and isinstance(beside, dict) and beside:
            self.put("beside")
            self.add(type(value), f"type({path})")
            self.add_mapping(beside, path)

    def add_sequence(self, value: Any, path: str) -> None:
        self.put(type(value).__name__, str(len(value)).encode())
        for i, part in enumerate(value):
            self.add(part, f"{path}[{i}]")

    def add_unordered(self, value: Any, path: str) -> None:
        self.put("set")
        for digest in sorted(self.digest_of(part, path) for part in value):
            self.put("element", digest)

    def add_mapping(self, value: Mapping[Any, Any], path: str) -> None:
        self.put("mapping", str(len(value)).encode())
        for key in sorted(value, key=lambda key: self._place(key, path)):
            self.add(key, f"{path}.key")
            self.add(value[key], f"{path}[{key!r}]")

    def _place(self, key: Any, path: str) -> tuple[str, str]:
        """What a mapping's keys are sorted by: the repr of a function or object has an address in it."""
        has_content = isinstance(key, (str, int, float, bool, bytes, type(None), tuple, frozenset))
        text = repr(key) if has_content or not self.is_new else self.digest_of(key, f"{path}.key").decode()
        return (type(key).__name__, text)

    def add_array(self, value: np.ndarray[Any, Any], path: str) -> None:
        self.put("array", f"{value.dtype.descr!r}{value.shape}".encode())
        if isinstance(value, np.ma.MaskedArray):
            self.add_array(np.ma.getmaskarray(value), path)
            value = value.filled()
        if value.dtype.hasobject or value.dtype.kind == "T":
            self.add_sequence(value.ravel().tolist(), path)
        elif self.is_new and value.dtype.names and has_padding(value.dtype):
            for name in value.dtype.names:  # what lies between the fields is left over from other things
                self.add_array(np.asarray(value[name]), f"{path}[{name!r}]")
        elif self.is_new and value.dtype.kind in "fc" and value.dtype.itemsize > np.dtype(complex).itemsize:
            self.add_sequence([str(number) for number in value.ravel()], path)  # long doubles have padding too
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
        self.put("pandas", type(value).__name__.encode())
        columns = value.items() if hasattr(value, "columns") else [(getattr(value, "name", None), value)]
        for label, column in columns:
            self.add(repr(label), path)
            self.put("dtype", str(column.dtype).encode())
            if hasattr(column, "cat"):  # the hash of a categorical depends on its values only
                self.add_sequence([repr(category) for category in column.cat.categories], path)
            if column.dtype == object:  # pandas hashes 1 and "1" alike
                self.add_sequence(column.tolist(), f"{path}[{label!r}]")
            else:
                self._add_hashed(column, path, index=False)
        if hasattr(value, "index"):
            self._add_hashed(value.index, path)

    def _add_hashed(self, values: Any, path: str, **how: bool) -> None:
        """Add pandas' hash of each row, or the rows themselves where it has none for their type."""
        from pandas.util import hash_pandas_object

        try:
            self.add_array(hash_pandas_object(values, **how).to_numpy(), path)
        except (TypeError, NotImplementedError, ValueError):
            if not self.is_new:
                raise
            self.add_sequence(values.tolist(), path)

    def add_estimator(self, value: Any, path: str) -> None:
        self.put("estimator")
        self.add(type(value), f"type({path})")
        params = value.get_params(deep=False)
        self.add_mapping(params, path)
        # What was learned, the requests of metadata routing, set_output: an estimator is more than its parameters.
        beside = {key: held for key, held in (getattr(value, "__dict__", None) or {}).items() if key not in params}
        if not self.is_new or not beside:
            return
        self.put("beside")
        for key in sorted(beside):
            self.put("attribute", key.encode())
            try:
                self.put("content", self.digest_of(beside[key], f"{path}.{key}"))
            except InvalidDefinition:  # a lock, a stream: whether it decides a score is seen when one is checked
                self.put("unseen", type(beside[key]).__qualname__.encode())

    def add_module(self, value: types.ModuleType, path: str) -> None:
        self.put("module", value.__name__.encode())
        if self._is_library(value):
            return
        if self.is_new and is_compiled(value):
            self.put("compiled", compiled_content(value))
            return
        if self.is_new and getattr(value, "__file__", None) is None:  # a folder without an __init__
            source = ""
        else:
            source = Path(value.__file__ or "").read_text(encoding="utf-8")
        self.put("source", normalised(source, plain_strings=self.is_new).encode())
        for name, member in sorted(vars(value).items()):  # what it imports from the user's other modules
            home = member if isinstance(member, types.ModuleType) else module_of(member)
            if home is not None and home is not value and not self._is_library(home):
                self.add(member, f"{path}.{name}")

    def _is_library(self, module: types.ModuleType | None) -> bool:
        """Whether a module is a library's, whose distribution is noted."""
        if not is_library(module):
            return False
        distribution = None if module is None else distribution_of(module.__name__)
        if distribution is not None:
            self.distributions |= [distribution]
        return True

    def add_class(self, value: type, path: str) -> None:
        home = sys.modules.get(value.__module__)
        if self._is_library(home):
            self.put("class", lasting_name(value).encode())
            return
        self.put("class", value.__qualname__.encode())  # a script's module is __main__ or not, as it is started
        if self.is_new and home is not None and is_compiled(home):
            self.put("compiled", compiled_content(home))
            return
        self.add_sequence([base for base in value.__bases__ if base is not object], f"{path}'s bases")
        for key, member in sorted(vars(value).items()):
            if self.is_new and isinstance(member, property):
                self._add_setters(member, f"{path}.{key}")
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(member, types.FunctionType):
                self.add(member, f"{path}.{key}")
            elif key not in CLASS_MACHINERY and not key.startswith("_abc") and self._counts(member):
                self.put("attribute", key.encode())
                self.add(member, f"{path}.{key}")

    def _counts(self, member: Any) -> bool:
        """Whether an attribute of a class is a value, or holds code of the user's (available_if, cached_property)."""
        if not hasattr(type(member), "__get__"):
            return True
        if isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)):
            return False  # slots, and Python's own machinery
        return self.is_new and type(member).__module__ != "sklearn.utils._metadata_requests"  # made from signatures

    def _add_setters(self, value: property, path: str) -> None:
        for accessor in (value.fset, value.fdel):
            if accessor is not None:
                self.add(accessor, path)

    def add_function(self, value: types.FunctionType, path: str) -> None:
        module = sys.modules.get(value.__module__ or "")
        self.put("function", value.__qualname__.rpartition(".")[2].encode())
        if self._is_library(module) and "<locals>" not in value.__qualname__:
            self.put("library", lasting_name(value).encode())
            return
        if self.is_new and hasattr(value, "registry") and hasattr(value, "dispatch"):  # functools.singledispatch
            self.add(dict(value.registry), path)
            return
        source = function_source(value, plain_strings=self.is_new)
        self.put("source", (source or self._bytecode(value.__code__)).encode())
        self.add((value.__defaults__, value.__kwdefaults__), f"{path}'s defaults")
        for name, referred in sorted(names_read(value).items()):
            self.put("name", name.encode())
            self.add(referred, f"{name} (used by {path})")
        if self.is_new:
            self._add_imports(value, path)

    def _add_imports(self, function: types.FunctionType, path: str) -> None:
        """Add what a function imports from the user's own modules while it runs."""
        for module_name, names in names_imported(function).items():
            distribution = distribution_of(module_name)
            if distribution is not None and module_name not in sys.modules:  # a library that is not loaded yet
                self.distributions |= [distribution]
                continue
            module = imported(module_name)
            if module is None or self._is_library(module):
                continue
            self.put("imports", module_name.encode())
            if not names or "*" in names:
                self.add(module, f"{module_name} (imported by {path})")
            for name in names:
                member = getattr(module, name, None) or imported(f"{module_name}.{name}")
                self.add(member, f"{module_name}.{name} (imported by {path})")

    def _bytecode(self, code: types.CodeType) -> str:
        constants = [
            self._bytecode(c) if isinstance(c, types.CodeType) else self.digest_of(c, "a constant").decode()
            for c in code.co_consts
        ]
        return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames, sys.version_info[:2]))

    def add_wrapped(self, value: Any, path: str) -> None:
        self.put("wrapped", type(value).__qualname__.encode())
        self.add(value.__wrapped__, path)

    def add_builtin(self, value: Any, path: str) -> None:
        self.put("builtin", f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode())
        home = module_of(value)
        if self.is_new and home is not None and not self._is_library(home) and is_compiled(home):
            self.put("compiled", compiled_content(home))
        bound_to = getattr(value, "__self__", None)
        if bound_to is not None and not isinstance(bound_to, types.ModuleType):
            self.add(bound_to, path)

    def add_method(self, value: types.MethodType, path: str) -> None:
        self.add(value.__func__, path)
        self.add(value.__self__, path)

    def add_partial(self, value: "functools.partial[Any]", path: str) -> None:
        self.put("partial")
        self.add((value.func, value.args, value.keywords), path)

    def add_cached_property(self, value: "functools.cached_property[Any]", path: str) -> None:
        self.put("cached property")  # its lock, in Python 3.11, is no content
        self.add(value.func, path)

    def add_generator(self, value: Any, path: str) -> None:
        self.put("generator")
        if self.is_new and value is np.random.mtrand._rand:  # everybody's: where it stands is nobody's choice
            self.put("global")
            return
        state = value.bit_generator.state if isinstance(value, np.random.Generator) else value.get_state(legacy=False)
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
    (lambda v: isinstance(v, functools.cached_property), _Hasher.add_cached_property),
    (lambda v: isinstance(v, types.ModuleType), _Hasher.add_module),
    (lambda v: isinstance(v, (np.random.Generator, np.random.RandomState)), _Hasher.add_generator),
    (lambda v: isinstance(v, logging.Logger), lambda h, v, path: h.add(("logger", v.name), path)),
    (lambda v: isinstance(v, re.Pattern), lambda h, v, path: h.add(("pattern", v.pattern, v.flags), path)),
    (lambda v: isinstance(v, PurePath), lambda h, v, path: h.add(("path", str(v)), path)),
    # A cache decides no score, wherever it lies.
    (lambda v: type(v).__module__ == "joblib.memory" and hasattr(v, "__wrapped__"), _Hasher.add_wrapped),
    (lambda v: type(v).__module__ == "joblib.memory" and type(v).__name__ == "Memory", lambda h, v, _: h.put("cache")),
)
