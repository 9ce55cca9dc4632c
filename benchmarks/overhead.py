"""Measures what a trial costs beyond its fit and score calls: hpo beside plain Optuna and rustuna.

Each storage is used as it opens its file. Optuna and rustuna wait for the disk at every commit; hpo (WAL,
``synchronous=NORMAL``) does not, so that a power failure, but no crash of the process, can take the last trials.
The column CPU is free of the disk.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
from sklearn.base import BaseEstimator, clone

import hpo
import hpo.database.study_database
import hpo.evaluation.engine
import hpo.samplers.ask_tell
from benchmarks.tables import Figures, at_least, interleave, medians, print_goal, print_machine, print_table
from hpo.evaluation.evaluate import Problem
from hpo.process.cores import cores
from hpo.process.interrupts import Interrupts
from hpo.runs.driver import Driver, Job, started
from hpo.runs.progress import Progress
from hpo.runs.session import StudySession
from hpo.runs.stopping import RunOptions
from hpo.samplers.table import find_sampler
from hpo.study.splits import Rows

N_FOLDS = 5
NAMES = tuple(f"x{i}" for i in range(6))
GOAL_BEYOND_MS, GOAL_RECORD_MS, GOAL_RATIO = 2.0, 0.6, 20.0


class Trivial(BaseEstimator):
    """An estimator that learns nothing: what is left is everybody else's time."""

    def __init__(
        self, x0: float = 0.5, x1: float = 0.5, x2: float = 0.5, x3: float = 0.5, x4: float = 0.5, x5: float = 0.5
    ) -> None:
        self.x0, self.x1, self.x2, self.x3, self.x4, self.x5 = x0, x1, x2, x3, x4, x5

    def fit(self, X: Any, y: Any = None) -> "Trivial":
        """Learn nothing."""
        return self


def trivial_score(estimator: Trivial, X: Any, y: Any) -> float:
    """A number that depends on the hyperparameters."""
    return -((estimator.x0 - 0.3) ** 2) - (estimator.x1 - 0.7) ** 2


def load() -> tuple[np.ndarray, np.ndarray]:
    """X of shape (200, 5) and y of shape (200,)."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(200, 5)), generator.normal(size=200)


def definition() -> hpo.StudyDefinition:
    """The study that hpo runs: 6 floats, 5 folds."""
    return hpo.StudyDefinition(
        name="trivial",
        data=load,
        estimator=Trivial(),
        space=hpo.SearchSpace({name: hpo.Float(0.0, 1.0) for name in NAMES}),
        metric=trivial_score,
        split=hpo.CrossValidation(folds=N_FOLDS),
    )


# --- hpo ---


class Timed:
    """A method that adds up the seconds spent in it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.n_calls = 0
        self.results: list[Any] = []

    @contextlib.contextmanager
    def around(self, owner: Any, name: str, *, keep: bool = False) -> Iterator["Timed"]:
        """Time every call of ``owner.name`` inside the block; ``keep`` what the calls return."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = original(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            self.n_calls += 1
            if keep:
                self.results.append(result)
            return result

        with mock.patch.object(owner, name, timed):
            yield self


def measure_hpo(path: Path, n_trials: int, *, sampler: str, seed: int) -> Figures:
    """Milliseconds per trial of one run recorded to a SQLite file, in all and part by part."""
    begun = time.perf_counter()
    database = hpo.StudyDatabase(path)
    session = StudySession(definition(), database)
    chosen, options = find_sampler(sampler), RunOptions(trials=n_trials)
    name, progress = session.name(chosen.label, 0, seed), Progress("none", session.definition.shown_metric)
    record, evaluate, propose, tell = Timed(), Timed(), Timed(), Timed()
    with started(session, {str(name)}, 1, options, cores(), progress) as engine:
        driver = Driver(session, engine, options, Interrupts(), progress)
        driver.evaluate_reference(0)
        setup = time.perf_counter() - begun
        with (
            record.around(hpo.database.study_database.StudyDatabase, "record"),
            evaluate.around(hpo.evaluation.engine.InProcess, "wait", keep=True),
            propose.around(hpo.samplers.ask_tell.WorkingStudy, "propose"),
            tell.around(hpo.samplers.ask_tell.WorkingStudy, "tell"),
        ):
            start, cpu = time.perf_counter(), time.process_time()
            driver.drive_one(Job(name, chosen, threads=cores()))
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    database.close()
    folds = [fold for result in evaluate.results for fold in result.folds]
    calls = sum(fold.seconds for fold in folds)
    counts = {len(folds) / N_FOLDS, *(part.n_calls for part in (record, propose, tell))}
    if counts != {n_trials}:
        raise SystemExit(f"{sorted(counts)} calls were timed where {n_trials} were expected: mend this benchmark")
    parts = {
        "record": record.seconds,
        "evaluate": evaluate.seconds - calls,
        "propose": propose.seconds,
        "tell": tell.seconds,
    }
    figures = {"wall": wall, "cpu": cpu, "calls": calls, "beyond": wall - calls, **parts}
    figures["rest"] = figures["beyond"] - sum(parts.values())
    return {name: 1000 * seconds / n_trials for name, seconds in figures.items()} | {"setup": 1000 * setup}


# --- the peers ---


def cross_validate(folds: Sequence[tuple[Rows, Rows]], params: Mapping[str, float]) -> dict[str, Any]:
    """The same 5 folds as a plain script trains and scores them."""
    X, y = _data()
    fit_seconds = score_seconds = 0.0
    scores, train_scores = [], []
    for train, validation in folds:
        estimator = clone(Trivial()).set_params(**params)
        X_train, y_train, X_validation, y_validation = X[train], y[train], X[validation], y[validation]
        start = time.perf_counter()
        estimator.fit(X_train, y_train)
        fitted = time.perf_counter()
        scores.append(trivial_score(estimator, X_validation, y_validation))
        train_scores.append(trivial_score(estimator, X_train, y_train))
        fit_seconds += fitted - start
        score_seconds += time.perf_counter() - fitted
    attributes = {
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "train_score": float(np.mean(train_scores)),
        "configuration": hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest(),
    }
    return {"scores": scores, "value": float(np.mean(scores)), "attributes": attributes}


def measure_optuna(url: str | None, n_trials: int, *, seed: int) -> Figures:
    """Milliseconds per trial of a plain Optuna script: in memory (``url`` None), or on a storage as Optuna opens it."""
    folds = Problem(definition()).partition.folds
    begun = time.perf_counter()
    study = optuna.create_study(
        storage=url, sampler=optuna.samplers.RandomSampler(seed=seed), study_name="peer", direction="maximize"
    )
    setup = time.perf_counter() - begun
    calls = 0.0

    def objective(trial: optuna.Trial) -> float:
        nonlocal calls
        asked = time.perf_counter()
        params = {name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES}
        sampler_seconds = time.perf_counter() - asked
        result = cross_validate(folds, params)
        for fold, score in enumerate(result["scores"]):
            trial.report(score, fold)
        for name, value in {**result["attributes"], "sampler_seconds": sampler_seconds}.items():
            trial.set_user_attr(name, value)
        calls += result["attributes"]["fit_seconds"] + result["attributes"]["score_seconds"]
        return float(result["value"])

    start, cpu = time.perf_counter(), time.process_time()
    study.optimize(objective, n_trials=n_trials)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    figures = {"wall": wall, "cpu": cpu, "calls": calls, "beyond": wall - calls}
    return {name: 1000 * seconds / n_trials for name, seconds in figures.items()} | {"setup": 1000 * setup}


def measure_rustuna(path: Path, n_trials: int, *, seed: int) -> Figures:
    """Milliseconds per trial of the same script with rustuna on its SQLite storage.

    rustuna 0.2 has no ``trial.report``: its storage's method is called instead. All attributes go in one call.
    """
    import rustuna

    folds = Problem(definition()).partition.folds
    begun = time.perf_counter()
    storage = rustuna.storages.SQLite3Storage(str(path))
    study = rustuna.create_study(
        storage=storage, sampler=rustuna.samplers.RandomSampler(seed=seed), study_name="peer", direction="maximize"
    )
    setup = time.perf_counter() - begun
    calls = 0.0

    def objective(trial: Any) -> float:
        nonlocal calls
        asked = time.perf_counter()
        params = {name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES}
        sampler_seconds = time.perf_counter() - asked
        result = cross_validate(folds, params)
        for fold, score in enumerate(result["scores"]):
            storage.set_trial_intermediate_value(trial._trial_id, fold, score)
        trial.set_user_attrs({**result["attributes"], "sampler_seconds": sampler_seconds})
        calls += result["attributes"]["fit_seconds"] + result["attributes"]["score_seconds"]
        return float(result["value"])

    start, cpu = time.perf_counter(), time.process_time()
    study.optimize(objective, n_trials=n_trials)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    figures = {"wall": wall, "cpu": cpu, "calls": calls, "beyond": wall - calls}
    return {name: 1000 * seconds / n_trials for name, seconds in figures.items()} | {"setup": 1000 * setup}


@functools.cache
def _data() -> tuple[np.ndarray, np.ndarray]:
    return load()


# --- the report ---


def rows_per_trial(path: Path, n_trials: int) -> dict[str, float]:
    """Rows of each of Optuna's trial tables for each of the first ``n_trials`` trials of the last study."""
    tables = ("trial_values", "trial_params", "trial_intermediate_values", "trial_user_attributes")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        of_study = "(SELECT trial_id FROM trials WHERE study_id = (SELECT max(study_id) FROM studies))"
        return {
            table: connection.execute(f"SELECT count(*) FROM {table} WHERE trial_id IN {of_study}").fetchone()[0]
            / n_trials
            for table in tables
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=at_least, default=300, help="per run (300)")
    parser.add_argument("--repeats", type=at_least, default=3, help="of each contender, interleaved (3)")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    n_trials: int = options.trials
    stored: dict[str, dict[str, float]] = {}

    def on_file(name: str, measure: Callable[[Path, int], Figures]) -> Callable[[Path, int], Figures]:
        def measured(folder: Path, seed: int) -> Figures:
            figures = measure(folder / "trials.db", seed)
            stored[name] = rows_per_trial(folder / "trials.db", n_trials)
            return figures

        return measured

    contenders: dict[str, Callable[[Path, int], Figures]] = {
        "hpo random": on_file("hpo random", lambda f, s: measure_hpo(f, n_trials, sampler="random", seed=s)),
        "Optuna sqlite": on_file("Optuna sqlite", lambda f, s: measure_optuna(f"sqlite:///{f}", n_trials, seed=s)),
        "Optuna memory": lambda folder, seed: measure_optuna(None, n_trials, seed=seed),
        "hpo tpe": on_file("hpo tpe", lambda f, s: measure_hpo(f, n_trials, sampler="tpe", seed=s)),
    }
    print_machine("optuna", "scikit-learn", "sqlalchemy", "rustuna")
    if find_spec("rustuna") is None:
        print("rustuna is not installed, so it is left out: pip install -e '.[benchmarks]'")
    else:
        contenders["rustuna sqlite"] = on_file("rustuna sqlite", lambda f, s: measure_rustuna(f, n_trials, seed=s))
    with tempfile.TemporaryDirectory() as folder:  # imports and caches, outside what is measured
        measure_hpo(Path(folder) / "warm.db", 5, sampler="tpe", seed=0)
        measure_optuna(f"sqlite:///{folder}/warm-optuna.db", 2, seed=0)
    _report({name: medians(figures) for name, figures in interleave(contenders, options.repeats).items()}, stored)
    print(f"\nmedians over {options.repeats} interleaved repeats of {n_trials} trials")


def _report(figures: Mapping[str, Figures], stored: Mapping[str, Mapping[str, float]]) -> None:
    plain = figures["Optuna sqlite"]
    print("\nms per trial: 6 hyperparameters, 5 folds, trivial fit and score")
    print_table(
        ["", "wall", "CPU", "fit+score calls", "beyond them", "less than Optuna sqlite", "set-up once, ms"],
        [
            [
                name,
                f"{f['wall']:.3f}",
                f"{f['cpu']:.3f}",
                f"{f['calls']:.3f}",
                f"{f['beyond']:.3f}",
                f"{plain['beyond'] / f['beyond']:.1f}x",
                f"{f['setup']:.0f}",
            ]
            for name, f in figures.items()
        ],
    )
    print("\nwhere hpo's time goes, ms per trial")
    parts = ("propose", "evaluate", "tell", "record", "rest", "beyond")
    titles = ("proposal", "evaluation bookkeeping", "telling the sampler", "recording", "rest of the loop", "in all")
    ours = [name for name in figures if name.startswith("hpo ")]
    print_table(
        ["", *ours],
        [[title, *(f"{figures[o][part]:.3f}" for o in ours)] for part, title in zip(parts, titles, strict=True)],
    )
    print("\nstored, rows per trial")
    tables = list(next(iter(stored.values())))
    print_table(["", *tables], [[name, *(f"{n:g}" for n in rows.values())] for name, rows in stored.items()])
    print()
    ours_random = figures["hpo random"]
    for what, part, goal in (
        ("hpo random beyond fit and score", "beyond", GOAL_BEYOND_MS),
        ("recording alone", "record", GOAL_RECORD_MS),
    ):
        print_goal(
            what, f"{ours_random[part]:.3f} ms per trial", f"{goal:g} ms or less", is_met=ours_random[part] <= goal
        )
    for part, what in (("beyond", "beyond fit and score"), ("wall", "wall")):
        ratio = plain[part] / ours_random[part]
        print_goal(
            f"{what}, hpo random against Optuna sqlite",
            f"{ratio:.1f}x less",
            f"{GOAL_RATIO:g}x or more",
            is_met=ratio >= GOAL_RATIO,
        )


if __name__ == "__main__":
    main()
