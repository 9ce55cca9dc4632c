"""Measures a grid on two workers beside scikit-learn's GridSearchCV, and the memory that an evaluator needs for data.

Both train the same cells on the same folds with the same scorer, each process with one thread. What it takes until
both workers have trained once is measured by itself, as start: both pay it once, whatever the size of the grid.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.utils.parallel import Parallel, delayed

import hpo
import hpo.evaluation.dask_engine
from benchmarks.tables import Figures, at_least, interleave, medians, print_goal, print_machine, print_table
from hpo.evaluation.dask_engine import Workers
from hpo.evaluation.engine import Unit
from hpo.evaluation.evaluate import Problem
from hpo.runs.session import StudySession

N_WORKERS, N_FOLDS = 2, 5
HPO, TRAIN, PLAIN = "hpo.run", "GridSearchCV, train scores too", "GridSearchCV"
GOAL_WALL, GOAL_EFFICIENCY, GOAL_FIT_MS, GOAL_COPY = 1.05, 0.9, 50.0, 0.5
Grid = dict[str, list[Any]]


def load() -> tuple[np.ndarray, np.ndarray]:
    """569 patients, 30 measurements."""
    return load_breast_cancer(return_X_y=True)


def study_of(grid: Grid) -> hpo.StudyDefinition:
    """The study whose grid both search."""
    rates = hpo.Float(0.001, 1.0, log=True, grid=grid["learning_rate"])
    leaves = hpo.Int(1, 1000, grid=grid["min_samples_leaf"])
    depths = hpo.Int(2, 3, grid=grid["max_depth"])
    return hpo.StudyDefinition(
        name="boosting",
        data=load,
        estimator=GradientBoostingClassifier(n_estimators=30, random_state=0),
        space=hpo.SearchSpace({"learning_rate": rates, "min_samples_leaf": leaves, "max_depth": depths}),
        metric="roc_auc",
        split=hpo.CrossValidation(folds=N_FOLDS),
    )


# --- the grid ---


def measure_hpo(grid: Grid, values: dict[str, dict[Any, float]], folder: Path, repeat: int) -> Figures:
    """``hpo.run`` on two workers and a SQLite file; the start is that of its cluster and evaluators."""
    start_seconds: list[float] = []
    original = Workers.__init__

    def warmed(self: Workers, *args: Any, **kwargs: Any) -> None:
        begun = time.perf_counter()
        original(self, *args, **kwargs)
        for number in range(self.n_workers):  # the evaluators come up together, so that each takes one
            self.submit(Unit("warm-up", number, 0, None, (0,)))
        for _ in range(self.n_workers):
            self.wait()
        start_seconds.append(time.perf_counter() - begun)

    study = study_of(grid)
    with hpo.StudyDatabase(folder / "grid.db") as database, mock.patch.object(Workers, "__init__", warmed):
        begun = time.perf_counter()
        run = hpo.run(study, sampler="grid", workers=N_WORKERS, database=database, progress="none")
        in_all = time.perf_counter() - begun
        trials, reference = run.trials, run.reference
    assert reference is not None
    names = list(grid)
    values[HPO] = {tuple(row[f"params_{name}"] for name in names): row["value"] for row in trials.to_dict("records")}
    return {
        "in_all": in_all,
        "start": start_seconds[0],
        "wall": in_all - start_seconds[0],
        "fits": N_FOLDS * (len(trials) + 1),
        "fit_ms": 1000 * statistics.median(trials["fit_seconds"]) / N_FOLDS,
        "busy": float(trials["fit_seconds"].sum() + trials["score_seconds"].sum())
        + reference.fit_seconds
        + reference.score_seconds,
    }


def measure_sklearn(
    name: str, grid: Grid, values: dict[str, dict[Any, float]], *, train: bool, folder: Path, repeat: int
) -> Figures:
    """``GridSearchCV(n_jobs=2)`` on the same rows; the start is that of loky's processes."""
    study = study_of(grid)
    problem = Problem(study)
    X, y = problem.data.X, problem.data.y
    search = GridSearchCV(
        clone(study.estimator),
        grid,
        scoring="roc_auc",
        n_jobs=N_WORKERS,
        cv=problem.partition.folds,
        refit=False,
        return_train_score=train,
    )
    get_reusable_executor(max_workers=N_WORKERS).shutdown(wait=True)
    with parallel_config(backend="loky", inner_max_num_threads=1):
        begun = time.perf_counter()
        rows = problem.partition.folds[0][0]
        task = delayed(_warm_up)(search.estimator, X[rows], y[rows])
        while len(set(Parallel(n_jobs=N_WORKERS)([task] * N_WORKERS))) < N_WORKERS:
            pass
        start = time.perf_counter() - begun
        begun = time.perf_counter()
        search.fit(X, y)
        wall = time.perf_counter() - begun
    results = search.cv_results_
    cells = [tuple(params[name] for name in grid) for params in results["params"]]
    values[name] = dict(zip(cells, results["mean_test_score"].tolist(), strict=True))
    return {
        "in_all": start + wall,
        "start": start,
        "wall": wall,
        "fits": N_FOLDS * len(cells),
        "fit_ms": 1000 * float(np.median(results["mean_fit_time"])),
        "busy": N_FOLDS * float(results["mean_fit_time"].sum() + results["mean_score_time"].sum()),
    }


def _warm_up(estimator: Any, X: Any, y: Any) -> int:
    clone(estimator).fit(X, y)
    time.sleep(0.1)  # so that the other process takes the other
    return psutil.Process().pid


def compare_values(values: Mapping[str, Mapping[Any, float]]) -> None:
    """See to it that all have trained the same cells to the same scores."""
    ours = values[HPO]
    for name, theirs in values.items():
        if ours.keys() != theirs.keys():
            raise SystemExit(f"{HPO} and {name} have trained different cells")
        apart = max(abs(ours[cell] - theirs[cell]) for cell in ours)
        if apart > 1e-9:
            raise SystemExit(f"{HPO} and {name} differ by up to {apart:g} in the same cell")


# --- memory ---


class Resting(BaseEstimator):
    """An estimator that learns nothing, and takes a moment to do so."""

    def __init__(self, x: float = 0.5) -> None:
        self.x = x

    def fit(self, X: Any, y: Any = None) -> "Resting":
        """Learn nothing."""
        time.sleep(0.2)
        return self


def resting_score(estimator: Resting, X: Any, y: Any) -> float:
    """The same for all."""
    return estimator.x


def measure_memory(n_bytes: int, folder: Path, repeat: int) -> Figures:
    """Unique memory of an evaluator that has trained on every fold, in MB (10**6 bytes)."""
    study = hpo.StudyDefinition(
        name="resting",
        data=functools.partial(_array, n_bytes),
        estimator=Resting(),
        space=hpo.SearchSpace({"x": hpo.Float(0.0, 1.0)}),
        metric=resting_score,
        split=hpo.CrossValidation(folds=N_FOLDS),
    )
    with hpo.StudyDatabase(folder / "memory.db") as database:
        publication = StudySession(study, database).publish()
        engine = Workers(N_WORKERS, publication, threads=1)
        try:
            evaluators = [
                p for p in psutil.Process().children() if "hpo.evaluation.child_process" in " ".join(p.cmdline())
            ]
            for number in range(N_WORKERS):
                engine.submit(Unit("memory", number, 0, None, tuple(range(N_FOLDS))))
            for _ in range(N_WORKERS):
                if engine.wait().died is not None:
                    raise SystemExit("an evaluator died: mend this benchmark")
            return {"unique": max(process.memory_full_info().uss for process in evaluators) / 1e6}
        finally:
            engine.close()
            publication.close()


def _array(n_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    X = generator.random((max(n_bytes // 800, 100), 100))
    return X, generator.random(len(X))


# --- the report ---


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel", description=__doc__.splitlines()[0])
    parser.add_argument("--levels", type=at_least, default=10, help="of two hyperparameters; a third has 2 (10: 200)")
    parser.add_argument("--array-mb", type=at_least, default=80, help="of the array whose copies are looked for (80)")
    parser.add_argument("--repeats", type=at_least, default=5, help="of each contender, interleaved (5)")
    options = parser.parse_args()
    print_machine("scikit-learn", "joblib", "distributed")
    grid: Grid = {
        "learning_rate": np.geomspace(0.01, 0.3, options.levels).round(6).tolist(),
        "min_samples_leaf": list(range(1, options.levels + 1)),
        "max_depth": [2, 3],
    }
    values: dict[str, dict[Any, float]] = {}
    contenders: dict[str, Callable[[Path, int], Figures]] = {
        HPO: lambda folder, repeat: measure_hpo(grid, values, folder, repeat),
        TRAIN: lambda f, r: measure_sklearn(TRAIN, grid, values, train=True, folder=f, repeat=r),
        PLAIN: lambda f, r: measure_sklearn(PLAIN, grid, values, train=False, folder=f, repeat=r),
    }
    small = {name: levels[:1] for name, levels in grid.items()}
    interleave({HPO: lambda f, r: measure_hpo(small, {}, f, r)}, 1)  # imports, outside what is measured
    measured = interleave(contenders, options.repeats)
    compare_values(values)
    _report_grid({name: medians(repeats) for name, repeats in measured.items()}, len(values[HPO]))
    n_bytes = options.array_mb * 10**6
    memory = interleave(
        {size: functools.partial(measure_memory, size) for size in (0, n_bytes)},
        options.repeats,
    )
    _report_memory(*(medians(repeats) for repeats in memory.values()), options.array_mb)
    print(f"\nmedians over {options.repeats} interleaved repeats")


def _efficiency(figures: Figures) -> float:
    return figures["busy"] / (figures["wall"] * N_WORKERS)


def _report_grid(figures: Mapping[str, Figures], n_cells: int) -> None:
    ours = figures[HPO]
    print(f"\n{n_cells} cells x {N_FOLDS} folds on {N_WORKERS} workers; hpo also trains the reference")
    print_table(
        ["", "wall without start, s", "hpo takes", "start, s", "in all, s", "fits", "median fit, ms", "efficiency"],
        [
            [
                name,
                f"{f['wall']:.2f}",
                f"{ours['wall'] / f['wall']:.3f}x",
                f"{f['start']:.2f}",
                f"{f['in_all']:.2f}",
                f"{f['fits']:,.0f}",
                f"{f['fit_ms']:.1f}",
                f"{_efficiency(f):.3f}",
            ]
            for name, f in figures.items()
        ],
    )
    print("efficiency: seconds of fits and scorers / (wall x workers); GridSearchCV does not time its train scores\n")
    for peer in (TRAIN, PLAIN):
        ratio = ours["wall"] / figures[peer]["wall"]
        goal = f"{GOAL_WALL:g}x or less"
        print_goal(f"wall against {peer}", f"{ratio:.3f}x", goal, is_met=ratio <= GOAL_WALL)
    ours_efficiency = _efficiency(ours)
    is_met = ours_efficiency >= GOAL_EFFICIENCY
    print_goal("efficiency of hpo.run", f"{ours_efficiency:.3f}", f"{GOAL_EFFICIENCY:g} or more", is_met=is_met)
    is_met = ours["fit_ms"] >= GOAL_FIT_MS
    print_goal("a median fit", f"{ours['fit_ms']:.1f} ms", f"{GOAL_FIT_MS:g} ms or more", is_met=is_met)


def _report_memory(tiny: Figures, large: Figures, array_mb: int) -> None:
    print("\nunique memory of an evaluator that has trained on every fold")
    rows = [("a tiny X", tiny), (f"X of {array_mb} MB", large)]
    print_table(["", "MB"], [[name, f"{figures['unique']:.1f}"] for name, figures in rows])
    beyond = large["unique"] - tiny["unique"]
    print("X is mapped and shared; a freed copy of the rows of a fold may stay with malloc\n")
    print_goal(
        f"an evaluator's own memory for the data, against a pickled copy of {array_mb} MB",
        f"{beyond:.1f} MB",
        f"{GOAL_COPY * array_mb:g} MB or less",
        is_met=beyond <= GOAL_COPY * array_mb,
    )


if __name__ == "__main__":
    main()
