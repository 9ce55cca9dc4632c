"""Null worlds end to end: whole comparisons by ``hpo.compare``, cheap fits, in which neither is better on new rows.

Every configuration errs by a function of its own, drawn from a hash of its hyperparameters: on the rows that validate
one is luckier than another, on new rows none is. Where the world is that samplers differ on validation alone, ``peek``
makes errors smaller on the development rows only, which a column of the data tells apart from the sealed ones.
"""

import argparse
import functools
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

import hpo
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.study.splits import partition

N_FEATURES = 12
SPLIT = hpo.Holdout(validation=0.25, test=0.25)
WORLDS = {
    "all alike": "random against another random search",
    "alike on the test only": "one sampler surely better on validation",
    "the reference as good as the best": "tuning with either of two random searches",
}


class Erring(RegressorMixin, BaseEstimator):
    """Predicts the truth but for an error that is a function of its own for each configuration.

    Args:
        which: a configuration's name.
        peek: how much smaller its errors are on development rows, 0 to 1.
    """

    def __init__(self, which: float = 0.5, peek: float = 0.0) -> None:
        self.which, self.peek = which, peek

    def fit(self, X: Any, y: Any) -> "Erring":
        """Draw the error's function."""
        generator = np.random.default_rng(zlib.crc32(repr((self.which, self.peek)).encode()))
        self.weights_ = generator.normal(size=N_FEATURES)
        self.phase_ = generator.uniform(0, 2 * np.pi)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The truth and an error, shape (n,)."""
        error = np.sin(X[:, :N_FEATURES] @ self.weights_ + self.phase_)
        return X[:, 0] + error * np.where(X[:, -1] > 0, 1 - self.peek, 1)


def load(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """X of shape (n, 13), of which the last column is 1 on development rows and 0 on sealed ones, and y."""
    generator = np.random.default_rng(seed)
    X = np.column_stack([generator.normal(size=(n, N_FEATURES)), np.ones(n)])
    y = X[:, 0] + 0.5 * generator.normal(size=n)
    X[partition(SPLIT, X, y, None, number=0, is_classifier=False).test, -1] = 0
    return X, y


class Part(RandomSampler):
    """Random search of one half of ``peek``, and of all else."""

    def __init__(self, seed: int, low: float) -> None:
        super().__init__(seed=seed)
        self._low = low

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """A uniform value."""
        value = super().sample_independent(study, trial, name, distribution)
        return self._low + value / 2 if name == "peek" else value


def halves() -> list[Callable[[int], BaseSampler]]:
    """The sampler with the lower half of ``peek`` and the one with the upper."""

    def lower(seed: int) -> BaseSampler:
        return Part(seed, 0.0)

    def upper(seed: int) -> BaseSampler:
        return Part(seed, 0.5)

    return [lower, upper]


def another(seed: int) -> BaseSampler:
    """Random search with other draws: seeds derive from the name of a sampler too."""
    return RandomSampler(seed=seed)


def compared(world: str, seed: int, folder: Path, *, repetitions: int, trials: int, rows: int) -> hpo.Comparison:
    """One comparison from nothing; the data are drawn from the seed."""
    peeks = world == "alike on the test only"
    space = {"which": hpo.Float(0.0, 1.0)} | ({"peek": hpo.Float(0.0, 1.0)} if peeks else {})
    study = hpo.StudyDefinition(
        name="null", data=functools.partial(load, seed, rows), estimator=Erring(), space=space,
        metric="neg_mean_squared_error", split=SPLIT,
    )  # fmt: skip
    with hpo.StudyDatabase(folder / "null.db") as database:
        return hpo.compare(
            study, samplers=halves() if peeks else ["random", another], baseline="lower" if peeks else "random",
            repetitions=repetitions, trials=trials, database=database, workers=1, progress="none",
        )  # fmt: skip


def said(world: str, comparison: hpo.Comparison) -> Mapping[str, bool]:
    """What it says of the pair, or of tuning, that is not so."""
    if world == "the reference as good as the best":
        frame = comparison.worth  # of the first sampler: each is judged by itself
        row = frame[frame["sampler"] == "random"].iloc[0]
        is_real = row["verdict"] == "real"
        return {"false": is_real and row["better"] == "random", "harm": is_real and row["better"] != "random"}
    row = comparison.verdicts.iloc[0]
    return {"false": row["verdict"] == "real"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.null_comparisons", description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=at_least, default=36, help="of each world (36)")
    parser.add_argument("--repetitions", type=at_least, default=10, help="of each comparison (10)")
    parser.add_argument("--trials", type=at_least, default=5, help="of each run (5)")
    parser.add_argument("--rows", type=at_least, default=240, help="of the data, a quarter of them sealed (240)")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS), metavar="WORLD", help="(all)")
    options = parser.parse_args()
    print_machine("optuna", "scikit-learn", "scipy")
    size = {"repetitions": options.repetitions, "trials": options.trials, "rows": options.rows}
    rows, begun = [], time.perf_counter()
    for world in options.worlds:
        found, led = [], 0
        for seed in range(options.comparisons):
            with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
                comparison = compared(world, seed, Path(folder), **size)
                found.append(said(world, comparison))
                led += bool(comparison.verdicts["p_validation"].iloc[0] < 0.05)
        cells = [f"{led} of {options.comparisons}"]
        for key in found[0]:
            k = sum(one[key] for one in found)
            interval = stats.binomtest(k, len(found)).proportion_ci()
            cells.append(f"{k} of {len(found)} [{interval.low:.0%}, {interval.high:.0%}]")
            if key == "false":
                print_goal(world, cells[-1], "5%, within the interval", is_met=interval.low <= 0.05)
        rows.append([f"{world}: {WORLDS[world]}", *cells, *[""] * (3 - len(cells))])
    print(f"\n{options.comparisons} comparisons a world: {size}; {time.perf_counter() - begun:.0f} s")
    print_table(["", "validation p < .05", '"real", or "worth it"', '"does harm"'], rows)


if __name__ == "__main__":
    main()
