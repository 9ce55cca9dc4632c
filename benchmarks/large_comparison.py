"""Measures a large comparison of cheap fits: what each evaluation costs beyond its fit and its scores.

Eight samplers are random search under another name, so that proposals cost little and differ in nothing but their
draws; with ``random`` and ``qmc`` they are ten. A fit computes for about a millisecond, whatever the configuration.
With one worker all seconds are of the CPU, so that the figures hold on a machine that others use too.
"""

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any
from unittest import mock

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler
from sklearn.base import BaseEstimator

import hpo
from benchmarks.overhead import Timed
from benchmarks.tables import Figures, at_least, print_goal, print_machine, print_table
from hpo.evaluation.engine import InProcess

GOAL_MS = 2.5  # an evaluation, beyond its fit, its scores and its proposal
N_OTHERS = 8


class Millisecond(BaseEstimator):
    """An estimator whose fit computes for about a millisecond and learns nothing.

    Args:
        x0, x1, x2, x3: hyperparameters.
        passes: how often the fit goes over its rows.
    """

    def __init__(self, x0: float = 0.5, x1: float = 0.5, x2: float = 0.5, x3: float = 0.5, passes: int = 700) -> None:
        self.x0, self.x1, self.x2, self.x3, self.passes = x0, x1, x2, x3, passes

    def fit(self, X: Any, y: Any = None) -> "Millisecond":
        """Compute, and learn nothing."""
        for _ in range(self.passes):
            np.sort(X, axis=0)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Errors that grow with the distance of the hyperparameters from the best ones, shape (n,)."""
        return X[:, 0] * (abs(self.x0 - 0.3) + abs(self.x1 - 0.7))


def load() -> tuple[np.ndarray, np.ndarray]:
    """X of shape (200, 5) and y of shape (200,)."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(200, 5)), generator.normal(size=200)


def definition() -> hpo.StudyDefinition:
    """The study: 4 floats, one split, the mean squared error."""
    return hpo.StudyDefinition(
        name="millisecond",
        data=load,
        estimator=Millisecond(),
        space={f"x{i}": hpo.Float(0.0, 1.0) for i in range(4)},
        metric="neg_mean_squared_error",
        split=hpo.Holdout(validation=0.25, test=0.25),
    )


def samplers() -> list[Any]:
    """Ten: random, qmc, and eight that are random search too, with other draws."""
    return ["random", "qmc", *(_other(i) for i in range(N_OTHERS))]


def _other(i: int) -> Callable[[int], BaseSampler]:
    def build(seed: int) -> BaseSampler:
        return RandomSampler(seed=seed)  # seeds derive from the name of a sampler too

    build.__name__ = f"other{i}"
    return build


def measure(folder: Path, repetitions: int, trials: int) -> Figures:
    """One comparison from nothing, the same read again, and its page: CPU seconds of the one process."""
    options: dict[str, Any] = {
        "samplers": samplers(), "repetitions": repetitions, "trials": trials, "progress": "none", "workers": 1,
    }  # fmt: skip
    spent = {}
    evaluated = Timed()
    with hpo.StudyDatabase(folder / "large.db") as database, mock.patch("time.perf_counter", process_time):
        begun = process_time()
        with evaluated.around(InProcess, "wait", keep=True):
            comparison = hpo.compare(definition(), database=database, **options)
        spent["all"] = process_time() - begun
        begun = process_time()
        hpo.compare(definition(), database=database, runs_missing=False, **options)
        spent["read"] = process_time() - begun
        begun = process_time()
        comparison.to_html(folder / "report.html")
        spent["page"] = process_time() - begun
        frame = database.trials()
    folds = [fold for result in evaluated.results for fold in result.folds]
    return spent | {
        "fits": sum(fold.fit_seconds for fold in folds),
        "scorers": sum(fold.score_seconds for fold in folds),
        "proposals": float(frame["sampler_seconds"].sum()),
        "evaluations": len(folds),
        "trials": int((frame["sampler"] != "reference").sum()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_comparison", description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=at_least, default=50, help="of each of the ten samplers (50)")
    parser.add_argument("--trials", type=at_least, default=20, help="of each run (20)")
    parser.add_argument("--profile", type=Path, help="write the profile to this file (and measure its cost too)")
    options = parser.parse_args()
    print_machine("optuna", "scikit-learn")
    profile = cProfile.Profile(process_time)
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        measure(Path(folder), 2, 2)  # imports, outside what is measured
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        if options.profile:
            profile.enable()
        found = measure(Path(folder), options.repetitions, options.trials)
        profile.disable()
    n = found["evaluations"]
    rest = found["all"] - found["fits"] - found["scorers"] - found["proposals"]
    print(f"\n10 samplers x {options.repetitions} repetitions x {options.trials} trials: {found['trials']:,} trials")
    print(f"{n:,} evaluations with the references and those on the test rows; seconds of the CPU")
    rows = [("all", found["all"]), ("fits", found["fits"]), ("scorers", found["scorers"])]
    rows += [("proposals", found["proposals"]), ("the rest", rest)]
    cells = [[what, f"{s:.1f}", f"{1000 * s / n:.2f}", f"{s / found['fits']:.2f}"] for what, s in rows]
    print_table(["", "seconds", "ms an evaluation", "of the fits' own"], cells)
    print(f"read again: {found['read']:.1f} s; its page: {found['page']:.1f} s")
    each = 1000 * rest / n
    print_goal("the rest", f"{each:.2f} ms an evaluation", f"{GOAL_MS:g} or less", is_met=each <= GOAL_MS)
    if options.profile:
        pstats.Stats(profile).dump_stats(options.profile)


if __name__ == "__main__":
    main()
