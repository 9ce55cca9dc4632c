"""Measures a comparison of three samplers beside the script that one would write with Optuna.

The script makes a study on ``sqlite:///`` for each sampler and repetition and calls ``study.optimize``, in one thread
or with ``n_jobs=2``; its objective is scikit-learn's ``cross_validate`` on the very folds, with the same scorers.
Optuna's GridSampler takes a grid without conditions: a linear kernel is tried again with every gamma and degree; and
its TPE begins with the draws of its random sampler of the same seed. Each draws trials of its own, and a fit takes from
5 to several hundred milliseconds: read the wall beside the seconds that the fits and scorers themselves took.
"""

import argparse
import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from sklearn.base import clone
from sklearn.model_selection import cross_validate

import hpo
from benchmarks.tables import Figures, at_least, interleave, medians, print_goal, print_machine, print_table
from hpo.evaluation.evaluate import Problem

STUDY = "breast-cancer-svm"
SAMPLERS = ("grid", "random", "tpe")
CONDITIONS = {"svc__gamma": ("rbf", "poly"), "svc__degree": ("poly",)}
HPO, SCRIPT = "hpo.compare, workers={}", "Optuna script, n_jobs={}"
GOAL_RATIO = 1.0
Trials = dict[Any, Any]  # (sampler, repetition, number) -> (configuration, value)


# --- hpo ---


def measure_hpo(
    workers: int, n_seeds: int, n_trials: int, results: dict[int, Trials], folder: Path, repeat: int
) -> Figures:
    """``hpo.compare`` on a new SQLite file."""
    with hpo.StudyDatabase(folder / "comparison.db") as database:
        begun = perf_counter()
        hpo.compare(
            STUDY,
            samplers=SAMPLERS,
            repetitions=n_seeds,
            trials=n_trials,
            workers=workers,
            database=database,
            progress="none",
        )
        wall = perf_counter() - begun
        trials = database.trials()
    trained = trials if "duplicate_of" not in trials else trials[trials["duplicate_of"].isna()]
    runs = trials[trials["sampler"] != "reference"]
    results[workers] = {
        (row["sampler"], row["seed"], row["number"]): (row["configuration"], row["value"])
        for row in runs.to_dict("records")
    }
    keys = set(zip(trained["split"], trained["configuration"], strict=True))
    busy = float(trained["fit_seconds"].sum() + trained["score_seconds"].sum())
    return _figures(wall, busy, len(runs), len(trained), len(keys))


# --- the script ---


def measure_script(n_jobs: int, n_seeds: int, n_trials: int, folder: Path, repeat: int) -> Figures:
    """Sampler after sampler, seed after seed, on a new SQLite file."""
    problems = [Problem(hpo.find_study(STUDY), split) for split in range(n_seeds)]  # the same folds: not measured
    begun = perf_counter()
    studies = []
    for seed, problem in enumerate(problems):
        for name in SAMPLERS:
            study = optuna.create_study(
                storage=f"sqlite:///{folder}/script.db",
                study_name=f"{name}-{seed}",
                sampler=sampler_of(name, seed),
                direction="maximize",
            )
            study.optimize(functools.partial(objective, problem), n_trials=n_trials, n_jobs=n_jobs)
            studies.append((seed, study))
    wall = perf_counter() - begun
    trials = [(seed, trial) for seed, study in studies for trial in study.trials]
    keys = {(seed, tuple(sorted(trial.params.items()))) for seed, trial in trials}
    busy = sum(trial.user_attrs["fit_seconds"] + trial.user_attrs["score_seconds"] for _, trial in trials)
    return _figures(wall, busy, len(trials), len(trials), len(keys))


def sampler_of(name: str, seed: int) -> BaseSampler:
    """Optuna's sampler of that name."""
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "tpe":
        return TPESampler(seed=seed)
    grid = {
        "svc__kernel": ["linear", "rbf", "poly"],
        "svc__C": np.geomspace(1e-2, 1e2, 5).tolist(),
        "svc__gamma": np.geomspace(1e-4, 1e0, 5).tolist(),
        "svc__degree": [2, 3, 4],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GridSampler(grid, seed=seed)


def objective(problem: Problem, trial: optuna.Trial) -> float:
    """Mean validation score of a support vector machine; what is worth knowing goes with the trial."""
    kernel = trial.suggest_categorical("svc__kernel", ["linear", "rbf", "poly"])
    params: dict[str, Any] = {"svc__kernel": kernel, "svc__C": trial.suggest_float("svc__C", 1e-2, 1e2, log=True)}
    if kernel in CONDITIONS["svc__gamma"]:
        params["svc__gamma"] = trial.suggest_float("svc__gamma", 1e-4, 1e0, log=True)
    if kernel in CONDITIONS["svc__degree"]:
        params["svc__degree"] = trial.suggest_int("svc__degree", 2, 4)
    scores = cross_validate(
        clone(problem.definition.estimator).set_params(**params),
        problem.data.X,
        problem.data.y,
        cv=problem.partition.folds,
        scoring=["roc_auc", "balanced_accuracy"],
        return_train_score=True,
    )
    for fold, score in enumerate(scores["test_roc_auc"]):
        trial.report(score, fold)
    trial.set_user_attr("balanced_accuracy", float(scores["test_balanced_accuracy"].mean()))
    trial.set_user_attr("train_score", float(scores["train_roc_auc"].mean()))
    trial.set_user_attr("fit_seconds", float(scores["fit_time"].sum()))
    trial.set_user_attr("score_seconds", float(scores["score_time"].sum()))
    return float(scores["test_roc_auc"].mean())


def _figures(wall: float, busy: float, n_trials: int, n_trained: int, n_distinct: int) -> Figures:
    n_folds = Problem(hpo.find_study(STUDY)).n_folds
    fits = n_folds * n_trained
    return {"wall": wall, "busy": busy, "trials": n_trials, "fits": fits, "again": n_trained - n_distinct}


# --- the report ---


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=at_least, default=10, help="repetitions (10)")
    parser.add_argument("--trials", type=at_least, default=50, help="of each run (50)")
    parser.add_argument("--repeats", type=at_least, default=3, help="of each contender, interleaved (3)")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print_machine("optuna", "scikit-learn", "distributed")
    results: dict[int, Trials] = {}
    size = (options.seeds, options.trials)
    contenders: dict[str, Callable[[Path, int], Figures]] = {
        HPO.format(2): functools.partial(measure_hpo, 2, *size, results),
        SCRIPT.format(2): functools.partial(measure_script, 2, *size),
        HPO.format(1): functools.partial(measure_hpo, 1, *size, results),
        SCRIPT.format(1): functools.partial(measure_script, 1, *size),
    }
    warm_up = {2: functools.partial(measure_hpo, 2, 1, 2, {}), 1: functools.partial(measure_script, 1, 1, 2)}
    interleave(warm_up, 1)  # imports, outside what is measured
    figures = {name: medians(repeats) for name, repeats in interleave(contenders, options.repeats).items()}
    _report(figures, *size, sum(results[1][key] != results[2].get(key) for key in results[1]))
    print(f"\nmedians over {options.repeats} interleaved repeats")


def _report(figures: Mapping[str, Figures], n_seeds: int, n_trials: int, n_different: int) -> None:
    print(f"\n{STUDY}: {', '.join(SAMPLERS)} x {n_seeds} seeds x {n_trials} trials; hpo also trains the references")
    alone = figures[SCRIPT.format(1)]
    print_table(
        [
            "",
            "wall, s",
            "less than the script",
            "trials",
            "fits",
            "trained again",
            "fits and scorers, s",
            "wall / those",
        ],
        [
            [
                name,
                f"{f['wall']:.1f}",
                f"{alone['wall'] / f['wall']:.2f}x",
                f"{f['trials']:,.0f}",
                f"{f['fits']:,.0f}",
                f"{f['again']:g}",
                f"{f['busy']:.1f}",
                f"{f['wall'] / f['busy']:.2f}",
            ]
            for name, f in figures.items()
        ],
    )
    print()
    for n in (2, 1):
        ours, theirs = figures[HPO.format(n)], figures[SCRIPT.format(n)]
        ratio = ours["wall"] / theirs["wall"]
        what, goal = f"wall, {HPO.format(n)} against {SCRIPT.format(n)}", f"{GOAL_RATIO:g}x or less"
        print_goal(what, f"{ratio:.2f}x", goal, is_met=ratio <= GOAL_RATIO)
        print_goal(f"trained again by {HPO.format(n)}", f"{ours['again']:g}", "0", is_met=ours["again"] == 0)
    print_goal("trials that differ between 1 and 2 workers", str(n_different), "0", is_met=n_different == 0)


if __name__ == "__main__":
    main()
