"""Data and scalars of other libraries as NumPy arrays, pandas series and lists, without importing those libraries."""

import sys
from typing import Any

import numpy as np


def as_plain(value: Any) -> Any:
    """Return the content of a polars, pyarrow, torch or pandas container in plain types; anything else as it is.

    The result tells apart what the libraries tell apart (types, names, missing values) and is the same in every
    process.
    """
    library = type(value).__module__.partition(".")[0]
    make = _LIBRARIES.get(library)
    return value if make is None or library not in sys.modules else make(value)


def _pandas(value: Any) -> Any:
    """Indexes and arrays, which are no series."""
    import pandas as pd

    if isinstance(value, pd.MultiIndex):
        return {"levels": value.to_frame(index=False)}
    if isinstance(value, (pd.Index, pd.api.extensions.ExtensionArray)):
        return {"kind": type(value).__name__, "values": pd.Series(value, index=pd.RangeIndex(len(value)))}
    return value


def _polars(value: Any) -> Any:
    import polars as pl

    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        return [(name, _polars(value[name])) for name in value.columns]
    if isinstance(value, pl.Series):
        is_missing = value.is_null().to_numpy()
        is_number = value.dtype.is_numeric() or value.dtype == pl.Boolean
        if is_number and not value.dtype.is_decimal():
            filled = value.fill_null(False if value.dtype == pl.Boolean else 0)
            return (value.name, str(value.dtype), is_missing, filled.to_numpy())
        return (value.name, str(value.dtype), is_missing, value.to_list())
    return str(value) if isinstance(value, pl.DataType) else value


def _pyarrow(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return [(name, _pyarrow(value.column(i))) for i, name in enumerate(value.schema.names)]
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        is_missing = value.is_null().to_numpy(zero_copy_only=False) if isinstance(value, pa.Array) else (
            value.is_null().to_numpy()
        )  # fmt: skip
        if pa.types.is_integer(value.type) or pa.types.is_floating(value.type):
            filled = value.fill_null(0)
            numbers = filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy()
            return (str(value.type), is_missing, numbers)
        return (str(value.type), is_missing, value.to_pylist())
    return (str(value.type), value.as_py()) if isinstance(value, pa.Scalar) else value


def _torch(value: Any) -> Any:
    import torch

    if isinstance(value, (torch.dtype, torch.device)):
        return ("torch", str(value))
    if not isinstance(value, torch.Tensor):
        return value
    if value.layout != torch.strided:
        value = value.to_dense()
    held = value.detach().cpu()
    if held.dtype == torch.bfloat16:  # which NumPy lacks
        held = held.view(torch.int16)
    return ("tensor", str(value.dtype), np.ascontiguousarray(held.resolve_conj().resolve_neg().numpy()))


_LIBRARIES = {"pandas": _pandas, "polars": _polars, "pyarrow": _pyarrow, "torch": _torch}
