"""Measures how often importance finds what decides, on constructed truths, and whether runs of a study agree.

Beside it is Optuna's default (fANOVA) on the same trials, which knows only what all trials have.
"""

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

import hpo
from benchmarks.tables import at_least, print_machine, print_table
from hpo.analysis.importance import importances_of_trials

STUDY = "breast-cancer-svm"
SAMPLERS: Mapping[str, Callable[..., BaseSampler]] = {"random": RandomSampler, "tpe": TPESampler}
KERNELS = ["linear", "rbf", "poly"]
NOISE = 0.02
Drawn = dict[str, Any]


def flat(trial: optuna.Trial) -> Drawn:
    """Three floats."""
    return {name: trial.suggest_float(name, 0, 1) for name in "abc"}


def kernels(trial: optuna.Trial) -> Drawn:
    """Two floats and a kernel; gamma under two of three kernels, the degree under one."""
    found: Drawn = {name: trial.suggest_float(name, 0, 1) for name in "ab"}
    found["kernel"] = trial.suggest_categorical("kernel", KERNELS)
    if found["kernel"] != "linear":
        found["gamma"] = trial.suggest_float("gamma", 1e-3, 1e1, log=True)
    if found["kernel"] == "poly":
        found["degree"] = trial.suggest_int("degree", 2, 5)
    return found


def additive(p: Drawn) -> float:
    """Each by itself."""
    return float(3 * p["a"] + p["b"] + 0.3 * p["c"])


def acting_together(p: Drawn) -> float:
    """Neither of two without the other."""
    return float(2 * p["a"] * p["b"] + 0.2 * p["c"])


def by_kernel(p: Drawn) -> float:
    """The kernel, and a little of one float."""
    return {"linear": 0.8, "rbf": 1.0, "poly": 0.2}[p["kernel"]] - 0.3 * abs(p["a"] - 0.6)


def wave(p: Drawn) -> float:
    """One float, that goes up and down."""
    return math.sin(6 * p["a"]) + 0.2 * p["b"] + 0.6 * (p["kernel"] == "rbf")


def by_gamma(p: Drawn) -> float:
    """What only two of three kernels have."""
    return -abs(math.log10(p["gamma"])) if "gamma" in p else -1.6


# Shares were worked out from 40,000 draws of the truth itself (of the first, by hand).
TRUTHS: Mapping[str, tuple[Callable[[optuna.Trial], Drawn], Callable[[Drawn], float], dict[str, float]]] = {
    "additive": (flat, additive, {"a": 9 / 10.09, "b": 1 / 10.09, "c": 0.09 / 10.09}),
    "acting together": (flat, acting_together, {"a": 0.49, "b": 0.49, "c": 0.02}),
    "the kernel decides": (kernels, by_kernel, {"kernel": 0.95, "a": 0.05, "degree": 0.0}),
    "a wave": (kernels, wave, {"a": 0.86, "kernel": 0.13, "b": 0.01}),
    "gamma decides where it is": (kernels, by_gamma, {"gamma": 0.75, "kernel": 0.25, "degree": 0.0}),
}


def constructed(name: str, sampler: str, n_runs: int, n_trials: int) -> list[str]:
    """A row: how often what decides most leads, and how far shares are off, beside Optuna's."""
    space, truth, expected = TRUTHS[name]
    highest = {key for key, share in expected.items() if share == max(expected.values())}
    right: Counter[str] = Counter()
    off: dict[str, list[float]] = {"ours": [], "theirs": []}
    for seed in range(n_runs):
        noise = np.random.default_rng(seed)
        study = optuna.create_study(direction="maximize", sampler=SAMPLERS[sampler](seed=seed))
        for _ in range(n_trials):
            trial = study.ask()
            study.tell(trial, truth(space(trial)) + NOISE * noise.normal())
        frame = importances_of_trials(study.trials).frame.set_index("hyperparameter")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        for who, shares in (
            ("ours", frame["metric"].to_dict()),
            ("theirs", optuna.importance.get_param_importances(study, evaluator=evaluator)),
        ):
            right[who] += max(shares, key=lambda key: shares[key]) in highest
            off[who].append(float(np.mean([abs(shares.get(key, 0.0) - s) for key, s in expected.items()])))
    cells = [f"{right[who]} of {n_runs}, {np.mean(off[who]):.2f}" for who in ("ours", "theirs")]
    return [f"{name}, {sampler}", *cells]


def studied(sampler: str, n_runs: int, n_trials: int, folder: Path) -> list[str]:
    """A row: which hyperparameter leads in how many runs of a real study, each with a split and seed of its own."""
    leads: Counter[str] = Counter()
    shares = []
    with hpo.StudyDatabase(folder / f"{sampler}.db") as database:
        for seed in range(n_runs):
            run = hpo.run(
                STUDY, sampler=sampler, split=seed, seed=seed, trials=n_trials, database=database, progress="none"
            )
            frame = hpo.importances(run).frame.set_index("hyperparameter")["metric"]
            leads[str(frame.idxmax())] += 1
            shares.append(float(frame.max()))
    said = ", ".join(f"{name} {n}" for name, n in leads.most_common())
    return [f"{STUDY}, {sampler}", said, f"{min(shares):.0%} to {max(shares):.0%}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importance", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=at_least, default=10, help="of each truth and of the study (10)")
    parser.add_argument("--trials", type=at_least, default=30, help="of each run (30)")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print_machine("optuna", "scikit-learn")
    size = options.runs, options.trials
    print(f"\n{size[0]} runs of {size[1]} trials: what decides most leads, and how far shares are off on average")
    print_table(["", "hpo", "Optuna's fANOVA"], [constructed(name, s, *size) for name in TRUTHS for s in SAMPLERS])
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        rows = [studied(sampler, *size, Path(folder)) for sampler in SAMPLERS]
    print("\nwhich hyperparameter leads, in how many runs; its share")
    print_table(["", "leads", "its share"], rows)


if __name__ == "__main__":
    main()
