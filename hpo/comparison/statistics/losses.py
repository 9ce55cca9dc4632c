"""Losses as the statistics take them: lower is better, +inf is a failure (worst; two tie, their difference is 0)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """Estimates with the ends of their confidence intervals, each an array: one interval per point of a curve."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def checked(name: str, values: ArrayLike, *, n_dimensions: int | None = 1) -> FloatArray:
    """The losses as floats.

    Raises:
        ValueError: no number, no value, NaN or -inf among them, or another number of dimensions; names the argument.
    """
    array = np.asarray(values, dtype=float)
    if n_dimensions is not None and array.ndim != n_dimensions:
        raise ValueError(f"{name} has {array.ndim} dimensions: give {n_dimensions}")
    if not array.size:
        raise ValueError(f"{name} is empty: give one loss or more")
    if np.isnan(array).any() or np.isneginf(array).any():
        raise ValueError(f"{name} contains NaN or -inf: a loss is a number, or +inf where there is none")
    return array


def check_fraction(name: str, value: float) -> None:
    """Refuse what is not between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise ValueError(f"{name}={value!r} is not between 0 and 1, both excluded")


def merged_ties(values: ArrayLike, tolerance: float) -> FloatArray:
    """The values, those nearer than ``tolerance`` made equal (to the lowest of them).

    Neighbours join, and so do neighbours of neighbours: unlike closeness of pairs it is transitive, and unlike rounding
    it never parts two values that are near.
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, axis=None, kind="stable")
    ordered = values.ravel()[order]
    with np.errstate(invalid="ignore"):
        begins = np.concatenate([[True], np.diff(ordered) > tolerance])
    merged = np.empty_like(ordered)
    merged[order] = ordered[np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0))]
    return merged.reshape(values.shape)


def largest_finite(*arrays: FloatArray) -> float:
    """The largest finite absolute value; 0 where there is none."""
    sizes = np.abs(np.concatenate([array.ravel() for array in arrays]))
    return float(np.max(sizes[np.isfinite(sizes)], initial=0.0))


def two_samples(a: ArrayLike, b: ArrayLike, paired: bool) -> tuple[FloatArray, FloatArray]:
    """Two samples, checked, of one length if paired."""
    a, b = checked("a", a), checked("b", b)
    if paired and len(a) != len(b):
        raise ValueError(f"a has {len(a)} losses and b {len(b)}: paired, both need one for each repetition")
    return a, b


def differences(a: FloatArray, b: FloatArray) -> FloatArray:
    """``a - b``, 0 where both failed."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def minus(a: float, b: float) -> float:
    """``a - b``, 0 where both are the same infinity."""
    return 0.0 if a == b else a - b
