"""Measures hpo.SearchCV beside scikit-learn's searches on three problems, with two workers.

At equal fits: the same cells or draws, cv and scorer, in turns; the pool of workers has started before the clock does.
To a score: how long TPE takes until its best mean score is that of the whole grid, against the grid's own time;
and what HalvingRandomSearchCV and,X. The test score
is that of the refitted model on a quarter of the rows that no search has seen.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpo
from benchmarks.tables import at_least, print_goal, print_machine, print_table

N_JOBS = 2
GOAL_EQUAL, GOAL_SCORE = 1.05, 0.3
PROBLEMS: dict[str, tuple[Callable[..., Any], Any, dict[str, list[Any]], dict[str, Any], str]] = {
    "breast cancer, SVC": (
        load_breast_cancer,
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": np.logspace(-2, 3, 12).tolist(), "svc__gamma": np.logspace(-4, 0, 12).tolist()},
        {"svc__C": hpo.Float(1e-2, 1e3, log=True), "svc__gamma": hpo.Float(1e-4, 1.0, log=True)},
        "roc_auc",
    ),
    "digits, logistic regression": (
        load_digits,
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=50, tol=1e-3)),
        {"logisticregression__C": np.logspace(-4, 2, 30).tolist()},
        {"logisticregression__C": hpo.Float(1e-4, 1e2, log=True)},
        "accuracy",
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
    """Seconds of the search without its refit, and the fitted search."""
    begun = time.perf_counter()
    search.fit(X, y)
    return time.perf_counter() - begun - search.refit_time_, search


def seconds_to(search: hpo.SearchCV, score: float) -> float:
    """Seconds of the trials until the best mean score is this one, as if candidates came one after the other."""
    trials = search.run_.trials
    reached = trials["value"].cummax() >= score - 1e-12
    last = int(reached.idxmax()) if reached.any() else len(trials)
    spent = (trials["finished"] - trials["started"].iloc[0]).dt.total_seconds()
    return float(spent.iloc[last]) if reached.any() else float("inf")


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_machine("optuna", "scikit-learn")
    Parallel(n_jobs=N_JOBS)(delayed(np.linalg.norm)(np.ones(2)) for _ in range(4))  # the pool starts
    rows, equal, to_score = [], {"grid": [], "random": []}, []
    for name, (load, estimator, grid, space, scoring) in PROBLEMS.items():
        X, X_test, y, y_test = train_test_split(*load(return_X_y=True), random_state=0)
        common = {"scoring": scoring, "cv": 5, "n_jobs": N_JOBS}
        pairs = {
            "grid": (GridSearchCV(estimator, grid, **common), hpo.SearchCV(estimator, grid, sampler="grid", **common)),
            "random": (
                RandomizedSearchCV(estimator, grid, n_iter=25, random_state=0, **common),
                hpo.SearchCV(estimator, grid, sampler="random", n_trials=25, random_state=0, **common),
            ),
        }
        seconds: dict[tuple[str, int], list[float]] = {}
        fitted: dict[str, Any] = {}
        for _ in range(arguments.repeats):
            for kind, both in pairs.items():
                for which, search in enumerate(both):
                    spent, fitted[f"{kind} {which}"] = timed(search, X, y)
                    seconds.setdefault((kind, which), []).append(spent)
        for kind in pairs:
            theirs, ours = (statistics.median(seconds[kind, which]) for which in (0, 1))
            equal[kind].append(ours / theirs)
            assert fitted[f"{kind} 0"].best_score_ == fitted[f"{kind} 1"].best_score_
            test = fitted[f"{kind} 1"].score(X_test, y_test)
            rows.append([f"{name}: {kind}", f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}", f"{test:.4f}"])
        whole = statistics.median(seconds["grid", 0])
        ratios = []
        for repeat in range(arguments.repeats):
            tuned = hpo.SearchCV(estimator, space, n_trials=60, random_state=repeat, **common).fit(X, y)
            ratios.append(seconds_to(tuned, fitted["grid 0"].best_score_) / whole)
        ratio = statistics.median(ratios)
        to_score.append(ratio)
        reached = sum(np.isfinite(ratios))
        shown = f"{ratio:.2f}" if np.isfinite(ratio) else f"not in 60 trials ({reached} of {len(ratios)} seeds)"
        test = tuned.score(X_test, y_test)
        rows.append([f"{name}: tpe to the grid's score", "", f"{whole:.2f} s", shown, f"{test:.4f}"])
        halving = HalvingRandomSearchCV(estimator, grid, random_state=0, **common)
        spent, found = timed(halving, X, y)
        score = found.score(X_test, y_test)
        rows.append([f"{name}: HalvingRandomSearchCV", "", f"{spent:.2f} s", "", f"{score:.4f}"])
    print_table(["problem: search", "SearchCV", "scikit-learn", "ratio", "test score"], rows)
    for kind, measured in equal.items():
        worst = max(measured)
        print_goal(f"{kind} at equal fits", f"{worst:.2f}x at worst", f"{GOAL_EQUAL}x", is_met=worst <= GOAL_EQUAL)
    worst = max(to_score)
    print_goal("tpe to the grid's score", f"{worst:.2f}x at worst", f"{GOAL_SCORE}x", is_met=worst <= GOAL_SCORE)


if __name__ == "__main__":
    main()
