"""What every benchmark does alike: repeat in turns, take medians, print tables and goals."""

import argparse
import contextlib
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import hpo

Figures = dict[str, float]
K = TypeVar("K")


def print_machine(*packages: str) -> None:
    """Print the number of cores, the load, and the versions of Python, hpo and these packages."""
    parts = [f"{os.cpu_count()} cores", f"load {os.getloadavg()[0]:.1f}", f"Python {platform.python_version()}"]
    parts.append(f"hpo {hpo.__version__}")
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    print(", ".join(parts))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]))


def print_goal(what: str, measured: str, goal: str, *, is_met: bool) -> None:
    """Print one goal beside what was measured."""
    print(f"{'pass' if is_met else 'FAIL'}  {what}: {measured} (goal: {goal})")


def medians(measured: Sequence[Mapping[str, float]]) -> Figures:
    """Figure -> its median over the repeats."""
    return {name: statistics.median(figures[name] for figures in measured) for name in measured[0]}


def at_least(text: str) -> int:
    """A whole number from 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give a whole number, 1 or more")
    return number


def interleave(contenders: Mapping[K, Callable[[Path, int], Figures]], n_repeats: int) -> dict[K, list[Figures]]:
    """Measure A B A B ..., each time in a new temporary folder: contender -> its figures, repeat by repeat."""
    measured: dict[K, list[Figures]] = {name: [] for name in contenders}
    for repeat in range(n_repeats):
        for name, measure in contenders.items():
            with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
                measured[name].append(measure(Path(folder), repeat))
    return measured
