"""Measures how long listing the runs of a large database takes, beside Optuna's own summaries."""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import hpo
from benchmarks.overhead import definition
from benchmarks.tables import Figures, at_least, interleave, medians, print_goal, print_machine, print_table
from hpo.database import records
from hpo.runs.session import StudySession

SAMPLERS = ("grid", "random", "tpe", "qmc", "cmaes")
N_SPLITS = 20
GOAL_SECONDS = 2.0
COMMAND, IMPORTS, RUNS = "hpo list, the whole command", "of it Python and imports", "StudyDatabase(path).runs()"
PEER = "optuna.get_all_study_summaries"
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
_DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "max_depth": IntDistribution(1, 12),
    "subsample": FloatDistribution(0.5, 1.0),
    "loss": CategoricalDistribution(("log_loss", "exponential")),
}


def fill(path: Path, n_runs: int, n_trials: int, study: str = "study") -> None:
    """Create a database of runs as hpo records them: 4 hyperparameters, 5 folds and 6 attributes to a trial."""
    generator = np.random.default_rng(0)
    per_study = len(SAMPLERS) * N_SPLITS
    with hpo.StudyDatabase(path) as database:
        for begin in range(0, n_runs, per_study):
            named = dataclasses.replace(definition(), name=f"{study}-{begin // per_study}")
            session = StudySession(named, database)
            names = [
                session.name(SAMPLERS[i % len(SAMPLERS)], i // len(SAMPLERS), i // len(SAMPLERS))
                for i in range(min(per_study, n_runs - begin))
            ]
            keys = [session.open_run(name, n_trials) for name in names]
            with database.engine.begin() as connection:  # one transaction for a whole study
                for key in keys:
                    for number in range(n_trials):
                        records.write_trial(connection, key, _record(generator, number))


def _record(generator: np.random.Generator, number: int) -> records.TrialRecord:
    folds = generator.uniform(0.7, 0.99, size=5).tolist()
    fit_seconds, score_seconds, sampler_seconds = generator.uniform(0.001, 1.0, size=3).round(6).tolist()
    trial: FrozenTrial = create_trial(
        state=TrialState.COMPLETE,
        value=sum(folds) / len(folds),
        params={
            "learning_rate": float(10 ** generator.uniform(-4, -1)),
            "max_depth": int(generator.integers(1, 13)),
            "subsample": float(generator.uniform(0.5, 1.0)),
            "loss": ("log_loss", "exponential")[int(generator.integers(2))],
        },
        distributions=_DISTRIBUTIONS,
        user_attrs={
            "fit_seconds": fit_seconds,
            "score_seconds": score_seconds,
            "peak_memory_mb": 211.4,
            "train_score": max(folds),
            "configuration": generator.bytes(16).hex(),
            "sampler_seconds": sampler_seconds,
        },
        intermediate_values=dict(enumerate(folds)),
    )
    trial.number = number
    started = _BEGUN + timedelta(seconds=number)
    return records.TrialRecord(trial, started, started + timedelta(seconds=fit_seconds + score_seconds), {})


def list_in_process(path: Path, n_runs: int) -> None:
    """Open the database and read its runs."""
    with hpo.StudyDatabase(path, must_exist=True) as database:
        assert len(database.runs()) == n_runs


def list_by_command(path: Path, n_runs: int) -> None:
    """``hpo list`` as a shell runs it."""
    _run(["-m", "hpo", "list", "--database", f"sqlite:///{path}"])


def import_only(path: Path, n_runs: int) -> None:
    """What of the command is starting Python and importing what reads a database."""
    _run(["-c", "import hpo.database.study_database"])


def optuna_summaries(path: Path, n_runs: int) -> None:
    """Optuna's summaries of the same studies, in process."""
    assert len(optuna.get_all_study_summaries(storage=f"sqlite:///{path}")) == n_runs


def _run(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"python {' '.join(arguments[:3])} ended with {done.returncode}: {last}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listing", description=__doc__)
    parser.add_argument("--runs", type=at_least, default=1000, help="in the database (1000)")
    parser.add_argument("--trials", type=at_least, default=100, help="of each run (100)")
    parser.add_argument("--repeats", type=at_least, default=5, help="of each contender, interleaved (5)")
    parser.add_argument("--peer-repeats", type=at_least, default=1, help="of Optuna, which takes minutes (1)")
    parser.add_argument("--database", type=Path, help="a file to list, made where it does not exist and kept")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print_machine("optuna", "sqlalchemy", "pandas")
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        path = (options.database or Path(folder) / "runs.db").resolve()
        if not path.exists():
            begun = time.perf_counter()
            fill(path, options.runs, options.trials)
            print(f"made {path.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - begun:.0f} s", flush=True)
        _measure(path, options)


def _measure(path: Path, options: argparse.Namespace) -> None:
    contenders = {COMMAND: list_by_command, IMPORTS: import_only, RUNS: list_in_process, PEER: optuna_summaries}
    left_out = []
    for name in (COMMAND, IMPORTS, RUNS):  # also brings the file's pages to memory
        try:
            contenders[name](path, options.runs)
        except RuntimeError as error:
            left_out.append(f"FAIL  {name}: {error}")
            del contenders[name]

    def timed(measure: Callable[[Path, int], None]) -> Callable[[Path, int], Figures]:
        def seconds(folder: Path, repeat: int) -> Figures:
            start = time.perf_counter()
            measure(path, options.runs)
            return {"wall": time.perf_counter() - start}

        return seconds

    n_peer = min(options.peer_repeats, options.repeats)
    measured = interleave({name: timed(measure) for name, measure in contenders.items()}, n_peer)
    del contenders[PEER]
    more = interleave({name: timed(measure) for name, measure in contenders.items()}, options.repeats - n_peer)
    seconds = {name: medians(figures + more.get(name, []))["wall"] for name, figures in measured.items()}
    print(f"\n{options.runs:,} runs of {options.trials:,} trials")
    print_table(
        ["", "wall, s", "less than Optuna"],
        [[name, f"{wall:.3f}", f"{seconds[PEER] / wall:.1f}x"] for name, wall in seconds.items()],
    )
    print()
    for text in left_out:
        print(text)
    for name in (COMMAND, RUNS):
        if name in seconds:
            goal = f"{GOAL_SECONDS:g} s or less"
            print_goal(name, f"{seconds[name]:.2f} s", goal, is_met=seconds[name] <= GOAL_SECONDS)
    print(f"\nmedians over {options.repeats} interleaved repeats (Optuna: {n_peer}); the file's pages were in memory")


if __name__ == "__main__":
    main()
