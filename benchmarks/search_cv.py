"""Measures hpo.SearchCV beside scikit-learn's searches on three problems, with two workers.

At equal fits: the same cells or draws, cv and scorer, in turns; the pool of workers has started before
the clock does.
To a score: how long TPE, here with and without racing, and in optuna-integration's OptunaSearchCV, takes until its best
mean score is that of the whole grid, against the grid's own time. The test score is that of the refitted model on a
quarter of the rows that no search has seen.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from joblib import Parallel, delayed
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna_integration import OptunaSearchCV
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpo
from benchmarks.tables import at_least, print_goal, print_machine, print_table

N_JOBS, N_TRIALS = 2, 100
GOAL_EQUAL, GOAL_SCORE = 1.05, 0.3
PROBLEMS: dict[str, tuple[Callable[..., Any], Any, dict[str, list[Any]], dict[str, Any], str]] = {
    "breast cancer, SVC": (
        load_breast_cancer,
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": np.logspace(-2, 3, 12).tolist(), "svc__gamma": np.logspace(-4, 0, 12).tolist()},
        {"svc__C": hpo.Float(1e-2, 1e3, log=True), "svc__gamma": hpo.Float(1e-4, 1.0, log=True)},
        "roc_auc",
    ),
    "digits, PCA and nearest neighbours": (
        load_digits,
        make_pipeline(PCA(random_state=0), KNeighborsClassifier()),
        {
            "pca__n_components": list(range(5, 61, 5)), "kneighborsclassifier__n_neighbors": list(range(1, 13)),
            "kneighborsclassifier__weights": ["uniform", "distance"],
        },
        {
            "pca__n_components": hpo.Int(5, 60), "kneighborsclassifier__n_neighbors": hpo.Int(1, 12),
            "kneighborsclassifier__weights": hpo.Categorical(["uniform", "distance"]),
        },
        "neg_log_loss",
    ),
    "diabetes, boosting": (
        load_diabetes,
        GradientBoostingRegressor(n_estimators=60, random_state=0),
        {
            "learning_rate": np.logspace(-2.5, 0, 6).tolist(), "max_depth": [1, 2, 3, 4],
            "min_samples_leaf": [1, 5, 20], "subsample": [0.5, 0.75, 1.0],
        },
        {
            "learning_rate": hpo.Float(10**-2.5, 1.0, log=True), "max_depth": hpo.Int(1, 4),
            "min_samples_leaf": hpo.Int(1, 20, log=True), "subsample": hpo.Float(0.5, 1.0),
        },
        "r2",
    ),
}  # fmt: skip


def timed(search: Any, X: Any, y: Any) -> tuple[float, Any]:
    """Seconds of a search like this one without its refit, and the fitted search."""
    search = clone(search)
    begun = time.perf_counter()
    search.fit(X, y)
    return time.perf_counter() - begun - search.refit_time_, search


def as_optuna(one: Any) -> BaseDistribution:
    """A hyperparameter as OptunaSearchCV takes it."""
    if isinstance(one, hpo.Categorical):
        return CategoricalDistribution(list(one.choices))
    return (FloatDistribution if isinstance(one, hpo.Float) else IntDistribution)(one.low, one.high, log=one.log)


def seconds_to(search: Any, score: float) -> float:
    """Seconds of a fitted search until its best mean score is this one; infinite where it never is."""
    trials = [trial for trial in search.study_.trials if trial.values]
    reached = [trial.datetime_complete for trial in trials if trial.value >= score - 1e-12]
    begun = min(trial.datetime_start for trial in trials)
    return float((min(reached) - begun).total_seconds()) if reached else float("inf")


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="PROBLEM")
    parser.add_argument("--repeats", type=at_least, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print_machine("optuna", "optuna-integration", "scikit-learn")
    begun = time.perf_counter()
    Parallel(n_jobs=N_JOBS)(delayed(SVC().fit)(*load_breast_cancer(return_X_y=True)) for _ in range(4))
    started = time.perf_counter()
    hpo.SearchCV(SVC(), {"C": [1, 2]}, sampler="random", n_trials=2).fit(*load_breast_cancer(return_X_y=True))
    print(f"start of the pool {started - begun:.2f} s, of the first SearchCV {time.perf_counter() - started:.2f} s")
    rows, equal, to_score = [], {"grid": [], "random": []}, {"SearchCV": [], "SearchCV, racing": []}
    for name, (load, estimator, grid, space, scoring) in ((name, PROBLEMS[name]) for name in arguments.problems):
        X, X_test, y, y_test = train_test_split(*load(return_X_y=True), random_state=0)
        common = {"scoring": scoring, "cv": 5, "n_jobs": N_JOBS}
        pairs = {
            "grid": (GridSearchCV(estimator, grid, **common), hpo.SearchCV(estimator, grid, sampler="grid", **common)),
            "random": (
                RandomizedSearchCV(estimator, grid, n_iter=100, random_state=0, **common),
                hpo.SearchCV(estimator, grid, sampler="random", n_trials=100, random_state=0, **common),
            ),
        }
        seconds: dict[tuple[str, int], list[float]] = {}
        fitted: dict[str, Any] = {}
        for repeat in range(arguments.repeats):
            for kind, both in pairs.items():
                for which, search in list(enumerate(both))[:: 1 if repeat % 2 else -1]:
                    spent, fitted[f"{kind} {which}"] = timed(search, X, y)
                    seconds.setdefault((kind, which), []).append(spent)
        for kind in pairs:
            theirs, ours = (statistics.median(seconds[kind, which]) for which in (0, 1))
            ratio = statistics.median(b / a for a, b in zip(seconds[kind, 0], seconds[kind, 1], strict=True))
            equal[kind].append(ratio)
            assert fitted[f"{kind} 0"].best_score_ == fitted[f"{kind} 1"].best_score_
            test = fitted[f"{kind} 1"].score(X_test, y_test)
            rows.append([f"{name}: {kind}", f"{ours:.2f} s", f"{theirs:.2f} s", f"{ratio:.2f}", f"{test:.4f}"])
        whole = statistics.median(seconds["grid", 0])
        drawn_from = {key: as_optuna(one) for key, one in space.items()}
        to_reach: dict[str, list[float]] = {"SearchCV": [], "SearchCV, racing": [], "OptunaSearchCV": []}
        for repeat in range(arguments.repeats):
            own = {**common, "n_trials": N_TRIALS, "random_state": repeat}
            for which, search in (
                ("SearchCV", hpo.SearchCV(estimator, space, **own)),
                ("SearchCV, racing", hpo.SearchCV(estimator, space, pruner="racing", **own)),
                ("OptunaSearchCV", OptunaSearchCV(estimator, drawn_from, **own)),
            ):
                spent, found = timed(search, X, y)
                ratio = seconds_to(found, fitted["grid 0"].best_score_) / whole
                to_reach[which].append(ratio)
                seconds.setdefault((which, 0), []).append(spent)
                fitted[which] = found
        for which, ratios in to_reach.items():
            ratio, n_reached = statistics.median(ratios), sum(np.isfinite(ratios))
            shown = f"{ratio:.2f}" if np.isfinite(ratio) else "never"
            took = f"{statistics.median(seconds[which, 0]):.2f} s"
            what = f"{name}: tpe of {which} to the grid's score ({n_reached} of {len(ratios)} seeds)"
            rows.append([what, took, f"{whole:.2f} s", shown, f"{fitted[which].score(X_test, y_test):.4f}"])
        for which, of_problems in to_score.items():
            of_problems.append(statistics.median(to_reach[which]))
        halving = HalvingRandomSearchCV(estimator, grid, random_state=0, **common)
        spent, found = timed(halving, X, y)
        score = found.score(X_test, y_test)
        rows.append([f"{name}: HalvingRandomSearchCV", f"{spent:.2f} s", "", "", f"{score:.4f}"])
    print_table(["problem: search", "its seconds", "scikit-learn", "ratio", "test score"], rows)
    for kind, measured in equal.items():
        worst = max(measured)
        print_goal(f"{kind} at equal fits", f"{worst:.2f}x at worst", f"{GOAL_EQUAL}x", is_met=worst <= GOAL_EQUAL)
    for which, measured in to_score.items():
        worst = max(measured)
        what = f"tpe of {which} to the grid's score"
        print_goal(what, f"{worst:.2f}x at worst", f"{GOAL_SCORE}x", is_met=worst <= GOAL_SCORE)


if __name__ == "__main__":
    main()
