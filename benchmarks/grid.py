"""Measures what a cell of the grid costs: by the size of the grid, and beside Optuna's GridSampler."""

import argparse
import functools
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from sklearn.base import BaseEstimator

import hpo
from benchmarks.overhead import load
from benchmarks.tables import Figures, at_least, interleave, medians, print_goal, print_machine, print_table
from hpo.database.run_name import RunName
from hpo.evaluation.results import Evaluation
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.table import find_sampler

# Grids of 4 hyperparameters each, so that only the number of cells differs: 1,000 and 5,000.
SMALL, LARGE = (10, 10, 5, 2), (10, 10, 10, 5)
MEMORY, FILE, OPTUNA = "hpo in memory", "hpo.run on SQLite", "Optuna in memory"
GOAL_GROWTH, GOAL_RATIO = 1.5, 30.0


class Trivial(BaseEstimator):
    """An estimator that learns nothing."""

    def __init__(self, x0: float = 0.5, x1: float = 0.5, x2: float = 0.5, x3: float = 0.5) -> None:
        self.x0, self.x1, self.x2, self.x3 = x0, x1, x2, x3

    def fit(self, X: Any, y: Any = None) -> "Trivial":
        """Learn nothing."""
        return self


def value_of(configuration: Mapping[str, Any]) -> float:
    """The trivial objective."""
    return -sum((float(value) - 0.3) ** 2 for value in configuration.values())


def trivial_score(estimator: Trivial, X: Any, y: Any) -> float:
    """The trivial objective of an estimator's hyperparameters."""
    return value_of(estimator.get_params())


def levels(shape: Sequence[int]) -> dict[str, list[float]]:
    """Name -> evenly spaced levels in 0 .. 1."""
    return {f"x{i}": [(j + 0.5) / n for j in range(n)] for i, n in enumerate(shape)}


def space(shape: Sequence[int]) -> hpo.SearchSpace:
    """The same levels as hpo's search space."""
    return hpo.SearchSpace({name: hpo.Float(0.0, 1.0, grid=values) for name, values in levels(shape).items()})


def measure_loop(shape: Sequence[int], folder: Path, seed: int) -> Figures:
    """Wall and CPU seconds of proposing and telling every cell in memory."""
    run = RunName("grid", 1, "grid", 0, seed)

    def loop() -> int:
        working = WorkingStudy(run, space(shape), find_sampler("grid"))
        while not working.is_exhausted:
            proposal = working.propose()
            value = value_of(proposal.configuration)
            working.tell(proposal, Evaluation(value=value, fold_scores=(value,)))
        return len({tuple(sorted(trial.params.items())) for trial in working.trials})

    return _timed(loop, math.prod(shape))


def measure_run(shape: Sequence[int], folder: Path, seed: int) -> Figures:
    """Wall and CPU seconds of the whole of ``hpo.run`` on a SQLite file, with a trivial estimator."""
    study = hpo.StudyDefinition(
        name="grid",
        data=load,
        estimator=Trivial(),
        space=space(shape),
        metric=trivial_score,
        split=hpo.Holdout(validation=0.2, test=0.2),
    )

    def loop() -> int:
        with hpo.StudyDatabase(folder / "grid.db") as database:
            run = hpo.run(study, sampler="grid", seed=seed, database=database, progress="none")
            return len(run.trials.filter(like="params_").drop_duplicates())

    return _timed(loop, math.prod(shape))


def measure_optuna(shape: Sequence[int], folder: Path, seed: int) -> Figures:
    """Wall and CPU seconds of Optuna's GridSampler under ``study.optimize`` in memory."""

    def objective(trial: optuna.Trial) -> float:
        return value_of({name: trial.suggest_float(name, 0.0, 1.0) for name in levels(shape)})

    def loop() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = optuna.samplers.GridSampler(levels(shape), seed=seed)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.optimize(objective)
        return len({tuple(sorted(trial.params.items())) for trial in study.get_trials(deepcopy=False)})

    return _timed(loop, math.prod(shape))


def _timed(loop: Callable[[], int], n_cells: int) -> Figures:
    """Seconds of a loop, which returns the number of distinct cells it has tried."""
    start, cpu = time.perf_counter(), time.process_time()
    n_tried = loop()
    figures = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    if n_tried != n_cells:
        raise SystemExit(f"{n_tried} distinct cells were tried where the grid has {n_cells}")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid", description=__doc__)
    parser.add_argument("--repeats", type=at_least, default=3, help="of each contender, interleaved (3)")
    parser.add_argument(
        "--levels", type=at_least, default=6, help="of each of the 4 hyperparameters beside Optuna (6: 1,296 cells)"
    )
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print_machine("optuna", "scikit-learn")
    cube = (options.levels,) * 4
    contenders: dict[tuple[str, tuple[int, ...]], Callable[[Path, int], Figures]] = {}
    for shape in (cube, SMALL, LARGE):
        contenders[MEMORY, shape] = functools.partial(measure_loop, shape)
        contenders[FILE, shape] = functools.partial(measure_run, shape)
    contenders[OPTUNA, cube] = functools.partial(measure_optuna, cube)
    interleave({FILE: functools.partial(measure_run, (2, 2))}, 1)  # imports and caches, outside what is measured
    figures = {key: medians(repeats) for key, repeats in interleave(contenders, options.repeats).items()}
    _report(figures, cube)
    print(f"\nmedians over {options.repeats} interleaved repeats")


def _report(figures: Mapping[tuple[str, tuple[int, ...]], Figures], cube: tuple[int, ...]) -> None:
    print("\nthe whole loop, trivial objective")
    print_table(
        ["", "cells", "wall, s", "CPU, s", "ms per cell", "less than Optuna"],
        [
            [
                name,
                f"{math.prod(shape):,}",
                f"{f['wall']:.3f}",
                f"{f['cpu']:.3f}",
                f"{1000 * f['wall'] / math.prod(shape):.3f}",
                f"{figures[OPTUNA, cube]['wall'] / f['wall']:.1f}x" if shape == cube else "",
            ]
            for (name, shape), f in figures.items()
        ],
    )
    print()
    for name in (MEMORY, FILE):
        small, large = (figures[name, shape]["wall"] / math.prod(shape) for shape in (SMALL, LARGE))
        print_goal(
            f"{name}: a cell of {math.prod(LARGE):,} against a cell of {math.prod(SMALL):,}",
            f"{large / small:.2f}x",
            f"{GOAL_GROWTH:g}x or less",
            is_met=large / small <= GOAL_GROWTH,
        )
    for clock, what in (("wall", "wall"), ("cpu", "CPU")):
        ratio = figures[OPTUNA, cube][clock] / figures[MEMORY, cube][clock]
        print_goal(
            f"{MEMORY} against {OPTUNA}, {math.prod(cube):,} cells, {what}",
            f"{ratio:.1f}x less",
            f"{GOAL_RATIO:g}x or more",
            is_met=ratio >= GOAL_RATIO,
        )


if __name__ == "__main__":
    main()
