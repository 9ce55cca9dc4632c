"""Measures what it costs to be sure that a stored score is of what is run now: hashing, and evaluating again.

``python -m benchmarks.fingerprints``: seconds to hash a frame of 100 MB, a frame of 1,000 columns and a pipeline of
ten steps, beside ``joblib.hash``; and what the evaluation of a stored fold adds to going on with a run.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import hpo
from benchmarks.tables import print_machine, print_table
from hpo.fingerprint.hashing import fingerprint
from hpo.runs.session import StudySession

_ROUNDS = 5


def values() -> dict[str, Any]:
    """What is hashed, by name."""
    generator = np.random.default_rng(0)
    large = pd.DataFrame(generator.normal(size=(625_000, 20)), columns=[f"x{i}" for i in range(20)])  # 100 MB
    wide = pd.DataFrame(generator.normal(size=(1_000, 1_000))).astype({0: "str", 1: "category"})
    steps = [StandardScaler(), MinMaxScaler(), PCA(2), SelectKBest(), FunctionTransformer(np.log1p)] * 2
    return {"a frame of 100 MB": large, "a frame of 1,000 columns": wide, "a pipeline": make_pipeline(*steps, SVC())}


def seconds(function: Callable[[], object]) -> float:
    """Median seconds of a few calls."""
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return median(taken)


def checking() -> tuple[float, float]:
    """Seconds that checking takes, and that the stored trials took."""
    study = hpo.find_study("breast-cancer-svm")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.db")
        run = hpo.run(study, sampler="random", trials=30, database=path, progress="none")
        stored = float((run.trials["fit_seconds"] + run.trials["score_seconds"]).sum())
        run.database.close()
        with hpo.StudyDatabase(path) as database:
            session = StudySession(study, database)
            return seconds(lambda: session.check_stored([0], sampler="random")), stored


def main() -> None:
    """Print the tables."""
    print_machine()
    rows = []
    for name, value in values().items():
        ours, theirs = seconds(lambda v=value: fingerprint(v)), seconds(lambda v=value: joblib.hash(v))  # type: ignore[misc]
        rows.append([name, f"{ours:.4f}", f"{theirs:.4f}", f"{ours / theirs:.1f}x"])
    print_table(["hashing, seconds", "hpo", "joblib.hash", "ratio"], rows)
    taken, stored = checking()
    print(f"\nevaluating again: {taken:.3f} s, {taken / stored:.1%} of the {stored:.2f} s that 30 stored trials took")


if __name__ == "__main__":
    main()
