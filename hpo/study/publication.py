"""A study definition and its data, written once to a file that every evaluator maps into its memory."""

import contextlib
import copy
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle
import joblib
import numpy as np
from filelock import FileLock, Timeout

from hpo.errors import InvalidDefinition
from hpo.fingerprint.ownership import is_library
from hpo.study.definition import Data, StudyDefinition

_PREFIX = "hpo-data-"
_WORTH_MAPPING = 2**24  # bytes of arrays


class Publication:
    """A folder with one file, gone when this object is.

    Args:
        definition: pickled by value, so that nobody needs the script it came from.
        data: its arrays are memory-mapped by whoever reads the file.
        data_hash: is in the file's name.

    Attributes:
        path: of the file.

    Raises:
        InvalidDefinition: something in it cannot be pickled.
    """

    def __init__(self, definition: StudyDefinition, data: Data, data_hash: str) -> None:
        _sweep()
        pickled = _pickled(definition)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = FileLock(folder / "lock", thread_local=False)  # the kernel's sign that we are alive
        self._lock.acquire()
        self.path = folder / f"{folder.name}-{data_hash[:32]}.joblib"  # copies of it meet in folders of workers
        self.close = weakref.finalize(self, _remove, self._lock, folder)
        try:
            joblib.dump((pickled, data), self.path)
        except Exception as error:
            self.close()
            raise InvalidDefinition(_cannot_be_sent(definition.name, error)) from error

    def mapped(self, data: Data) -> Data:
        """The published data, mapped, where they are large enough for a second copy to matter; else as they are.

        A file that is open cannot be removed on Windows, where they stay as they are.
        """
        return data if _size(data) < _WORTH_MAPPING or sys.platform == "win32" else read_publication(str(self.path))[1]


def _size(data: Data) -> int:
    """Bytes of the arrays that would be mapped."""
    return sum(part.nbytes for part in (data.X, data.y, data.groups) if isinstance(part, np.ndarray))


def read_publication(path: str) -> tuple[StudyDefinition, Data]:
    """The definition and its data, whose arrays stay on disk until they are looked at, and cannot be changed."""
    pickled, data = joblib.load(path, mmap_mode="r")
    return cloudpickle.loads(pickled), data


def _already_loaded() -> NoReturn:
    raise RuntimeError("an evaluator is given its data")


def _pickled(definition: StudyDefinition) -> bytes:
    bare = copy.copy(definition)
    object.__setattr__(bare, "data", _already_loaded)  # it may hold the data itself
    try:
        with by_value():
            pickled: bytes = cloudpickle.dumps(bare)
    except Exception as error:
        raise InvalidDefinition(_cannot_be_sent(definition.name, error)) from error
    return pickled


def _cannot_be_sent(name: str, error: Exception) -> str:
    return (
        f"{name} cannot be sent to another process: {type(error).__name__}: {error}; "
        "keep out of it what cannot be pickled, or run it with --workers 1 and without limits"
    )


@contextlib.contextmanager
def by_value() -> Iterator[None]:
    """Pickle what the user's own modules define by value: elsewhere they may not exist."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name != "__main__" and getattr(module, "__name__", None) == name and _is_users(module)
    ]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: Any) -> bool:
    return getattr(module, "__file__", None) is not None and module.__name__ != "hpo" and not is_library(module)


def _remove(lock: FileLock, folder: Path) -> None:
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove what processes left behind that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > 60:
                with FileLock(folder / "lock", timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):  # somebody else's, or in use
            continue
