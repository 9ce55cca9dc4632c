"""What a fitted estimator costs whoever uses it: time to predict, and size."""

import pickle
import time
import types
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.models.parameters import count_parameters


@dataclass(frozen=True)
class ModelCosts:
    """What a fitted estimator is, beside its scores; None where unknown."""

    n_parameters: int | None = None
    predict_seconds: float | None = None
    size_mb: float | None = None

    @classmethod
    def of(cls, estimator: Any, X: Any) -> "ModelCosts":
        """Of a fitted estimator, and rows to predict."""
        return cls(count_parameters(estimator), predict_seconds(estimator, X), model_size_mb(estimator))


def predict_seconds(estimator: Any, X: Any) -> float | None:
    """What one call of ``predict`` on these rows takes; None for what does not predict."""
    if not hasattr(estimator, "predict"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the scorer has raised the same
        begun = time.perf_counter()
        try:
            estimator.predict(X)
        except Exception:  # noqa: BLE001 - it has its scores, and this cannot take them away
            return None
        return time.perf_counter() - begun


class _Bytes:
    """A file that keeps the number of bytes alone, so that a large model is not in memory twice."""

    n_bytes = 0

    def write(self, part: Any) -> int:
        n_bytes = memoryview(part).nbytes
        self.n_bytes += n_bytes
        return n_bytes


_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, np.dtype)  # a pickle has their names alone


class _Sizer(pickle.Pickler):
    """Counts each text, and each name of a class, function or dtype, wherever it stands.

    A pickle has one object once, and whether two equal texts are one object depends on the process; so does whether
    a study's own classes can be imported.
    """

    n_characters = 0

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is str:
            self.n_characters += len(obj)
        elif isinstance(obj, _NAMED):
            self.n_characters += len(getattr(obj, "__qualname__", ""))
        else:
            return None
        return 0  # instead of the object


def model_size_mb(estimator: Any) -> float | None:
    """MB (2**20 bytes) of a fitted estimator's pickle, protocol 5, not compressed; None where it has none."""
    file = _Bytes()
    sizer = _Sizer(file, protocol=5)
    try:
        sizer.dump(estimator)
    except Exception:  # noqa: BLE001 - open files and whatever else cannot be pickled
        return None
    return (file.n_bytes + sizer.n_characters) / 2**20
