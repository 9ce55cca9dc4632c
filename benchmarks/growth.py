"""Measures what each operation costs as a database grows: CPU seconds and peak memory, each in a process of its own."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

import hpo
from benchmarks.listing import fill
from benchmarks.overhead import N_FOLDS, NAMES, Trivial, definition, trivial_score
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.database import records
from hpo.runs.session import StudySession
from hpo.study.space import configuration_key

SIZES = (1_000, 10_000, 30_000, 100_000)
RUNS = (100, 1_000, 5_000)
TRIALS_PER_RUN = 50
_ROOT = Path(__file__).parents[1]
_SCRIPT = "from benchmarks.overhead import definition\nstudy = definition()\n"
_RUN = "trivial/random/split0-seed0"
_CHUNK = 1_000  # trials to a transaction
_FIRST_ANSWER = """
import hpo, sys
from hpo.dashboard.site import Browser
from hpo.dashboard.cache import collect
database = hpo.StudyDatabase(sys.argv[1])
study_id = database.study_id("trivial/random/split0-seed0")
page = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/api/studies/{study_id}", "QUERY_STRING": ""}
status, _, body = collect(Browser(database, writable=False), page)
assert status.startswith("200") and len(body) > 1000, status
"""
_FRAME = "import hpo, sys\nprint(len(hpo.StudyDatabase(sys.argv[1]).trials()))"


@dataclass(frozen=True)
class Cost:
    """What a process took: CPU seconds of it and its children, peak resident MB; None where it was ended."""

    cpu: float | None
    peak_mb: float
    wall: float

    @property
    def text(self) -> str:
        """For the table."""
        return f"ended after {self.wall:.0f} s" if self.cpu is None else f"{self.cpu:.1f} s, {self.peak_mb:.0f} MB"


def grow(path: Path, n_trials: int) -> None:
    """Create a database with one run of random search, as ``hpo run`` would have recorded it."""
    generator = np.random.default_rng(0)
    ranges = {name: FloatDistribution(0.0, 1.0) for name in NAMES}
    study = definition()
    with hpo.StudyDatabase(path) as database:
        session = StudySession(study, database)
        name = session.name("random", 0, 0)
        key = session.open_run(name, n_trials)
        for begin in range(0, n_trials, _CHUNK):
            with database.engine.begin() as connection:
                for number in range(begin, min(begin + _CHUNK, n_trials)):
                    params = dict(zip(NAMES, generator.uniform(size=len(NAMES)).tolist(), strict=True))
                    scores = [trivial_score(Trivial(**params), None, None)] * N_FOLDS  # a resumed run checks them
                    trial = create_trial(
                        state=TrialState.COMPLETE,
                        value=sum(scores) / N_FOLDS,
                        params=params,
                        distributions=ranges,
                        user_attrs={
                            "train_score": max(scores), "fit_seconds": 0.001, "score_seconds": 0.001,
                            "predict_seconds": 0.0001, "peak_memory_mb": 200.0, "model_size_mb": 0.001,
                            "n_model_parameters": 0, "sampler_seconds": 0.0003,
                            "configuration": configuration_key(study.space.use(params)),
                        },
                        intermediate_values=dict(enumerate(scores)),
                    )  # fmt: skip
                    trial.number = number
                    assert trial.datetime_start is not None
                    begun = trial.datetime_start.astimezone()
                    records.write_trial(connection, key, records.TrialRecord(trial, begun, begun, {}))


def cost(arguments: list[str], *, limit: float) -> Cost:
    """Run a command to its end, or kill it after so many seconds."""
    begun = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # who uses a package has it compiled
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tempfile.gettempdir()
    )
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall = time.monotonic() - begun
        if pid:
            code = process.returncode = os.waitstatus_to_exitcode(status)
            assert process.stderr is not None
            said = process.stderr.read().decode()
            if code:
                raise SystemExit(f"{shlex.join(arguments)} ended with {code}: {said}")
            return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, wall)
        if wall > limit:
            process.kill()
            process.wait()
            return Cost(None, 0.0, wall)
        time.sleep(0.02)


def python(code: str, *arguments: object) -> list[str]:
    """A program in one text."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def command(*arguments: object) -> list[str]:
    """An ``hpo`` command."""
    return [sys.executable, "-m", "hpo", *map(str, arguments)]


def of_trials(folder: Path, n_trials: int, limit: float) -> dict[str, Cost]:
    """What each operation costs on one run of so many trials."""
    path, script = folder / f"{n_trials}.db", folder / "trivial_study.py"
    script.write_text(_SCRIPT)
    if not path.exists():
        grow(path, n_trials)
    operations: dict[str, Callable[[], list[str]]] = {
        "one more random trial": lambda: command(
            "run", script, "--sampler", "random", "--trials", count(path) + 1, "--progress", "none", "--database", path
        ),
        "hpo show": lambda: command("show", _RUN, "--no-refit", "--database", path),
        "hpo list": lambda: command("list", "--database", path),
        "hpo doctor": lambda: command("doctor", "--database", path),
        "StudyDatabase.trials()": lambda: python(_FRAME, path),
        "dashboard's first answer": lambda: python(_FIRST_ANSWER, path),
    }
    return {name: cost(arguments(), limit=limit) for name, arguments in operations.items()}


def of_runs(folder: Path, n_runs: int, limit: float) -> dict[str, Cost]:
    """What each operation costs on so many runs of 50 trials."""
    path = folder / f"{n_runs}x{TRIALS_PER_RUN}.db"
    if not path.exists():
        fill(path, n_runs, TRIALS_PER_RUN)
    return {
        "hpo list": cost(command("list", "--database", path), limit=limit),
        "hpo doctor": cost(command("doctor", "--database", path), limit=limit),
        "StudyDatabase.trials()": cost(python(_FRAME, path), limit=limit),
    }


def of_start(folder: Path) -> dict[str, Cost]:
    """What commands cost that only read a small database, or none."""
    path = folder / "small.db"
    if not path.exists():
        grow(path, 20)
    database = ("--database", path)
    commands = {"hpo list": ("list", *database), "hpo studies": ("studies",), "hpo samplers": ("samplers",)}
    commands["hpo doctor"] = ("doctor", *database)
    return {
        name: min((cost(command(*given), limit=60) for _ in range(5)), key=lambda found: found.cpu or 60.0)
        for name, given in commands.items()
    }


def count(path: Path) -> int:
    """How many trials the run has."""
    with hpo.StudyDatabase(path) as database:
        return database.n_trials(_RUN)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--trials", type=at_least, nargs="*", default=SIZES, help="of one run (1k, 10k, 30k, 100k)")
    parser.add_argument("--runs", type=at_least, nargs="*", default=RUNS, help=f"of {TRIALS_PER_RUN} trials each")
    parser.add_argument("--folder", type=Path, help="where databases are kept for the next time")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which an operation is ended (120)")
    options = parser.parse_args()
    print_machine("optuna", "sqlalchemy", "pandas")
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as temporary:
        folder = options.folder or Path(temporary)
        start = of_start(folder)
        print("\nstart-up, the best of five: CPU seconds, peak MB, wall seconds")
        print_table(["", "cost", "wall"], [[name, c.text, f"{c.wall:.2f} s"] for name, c in start.items()])
        trials = {n: of_trials(folder, n, options.limit) for n in options.trials}
        runs = {n: of_runs(folder, n, options.limit) for n in options.runs}
    for what, table in (("trials of one run", trials), (f"runs of {TRIALS_PER_RUN} trials", runs)):
        if table:
            print(f"\n{what}: CPU seconds and peak MB")
            names = next(iter(table.values()))
            rows = [[name, *(costs[name].text for costs in table.values())] for name in names]
            print_table(["", *(f"{n:,}" for n in table)], rows)
    print()
    _goals(start, trials, runs)


def _goals(start: dict[str, Cost], trials: dict[int, dict[str, Cost]], runs: dict[int, dict[str, Cost]]) -> None:
    goals = [
        (trials, 30_000, "one more random trial", 2.0, 350.0),
        (trials, 30_000, "hpo show", 3.0, None),
        (trials, 10_000, "dashboard's first answer", 3.0, None),
        (trials, 30_000, "dashboard's first answer", 10.0, None),
        (runs, 5_000, "hpo list", 2.0, None),
        (runs, 5_000, "hpo doctor", 20.0, None),
        (runs, 5_000, "StudyDatabase.trials()", 8.0, 600.0),
    ]
    for name, found in start.items():
        is_met = found.cpu is not None and found.cpu <= 0.7
        print_goal(name, f"{found.cpu:.2f} s of CPU in all", "0.7 s or less", is_met=is_met)
    for table, size, name, seconds, megabytes in goals:
        if size in table:
            found = table[size][name]
            is_met = found.cpu is not None and found.cpu <= seconds and found.peak_mb <= (megabytes or np.inf)
            goal = f"{seconds:g} s" + (f", {megabytes:g} MB" if megabytes else "")
            print_goal(f"{name}, {size:,}", found.text, goal, is_met=is_met)


if __name__ == "__main__":
    main()
