"""Measures many at once: one coordinator that feeds 200 simulated workers, and 50 coordinators on one server."""

import argparse
import heapq
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

import hpo
from benchmarks.overhead import N_FOLDS, Timed, definition
from benchmarks.tables import at_least, print_machine, print_table
from hpo.evaluation.engine import Unit, UnitResult
from hpo.evaluation.results import FoldResult
from hpo.process.interrupts import Interrupts
from hpo.runs.driver import Driver, Job
from hpo.runs.progress import Progress
from hpo.runs.session import StudySession
from hpo.runs.stopping import RunOptions
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.table import find_sampler

_COORDINATOR = """
import sys, time
import hpo
from benchmarks.overhead import definition
url, seed, trials, start = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
time.sleep(max(0.0, start - time.time()))
begun = time.time()
hpo.run(definition(), sampler="random", seed=seed, trials=trials, database=url, progress="none", reuse=False)
print(begun, time.time())
"""


class Simulated:
    """An engine whose workers answer after a time that is drawn, and train nothing.

    Args:
        n_workers: how many units are under way at a time.
        seconds: that a fold takes on average; exponential.
        seed: of the times.

    Attributes:
        busy: seconds of all workers together.
    """

    def __init__(self, n_workers: int, *, seconds: float, seed: int = 0) -> None:
        self.n_workers, self.busy = n_workers, 0.0
        self._seconds, self._generator = seconds, np.random.default_rng(seed)
        self._waiting: deque[Unit] = deque()
        self._under_way: list[tuple[float, int, Unit, float]] = []
        self._n = 0

    def submit(self, unit: Unit) -> None:
        """Give a unit to a worker that is free, or keep it until one is."""
        self._waiting.append(unit)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._under_way) < self.n_workers:
            unit = self._waiting.popleft()
            seconds = float(self._generator.exponential(self._seconds * len(unit.folds)))
            self._n += 1
            heapq.heappush(self._under_way, (time.monotonic() + seconds, self._n, unit, seconds))

    def wait(self) -> UnitResult:
        """The next result."""
        until, _, unit, seconds = heapq.heappop(self._under_way)
        time.sleep(max(0.0, until - time.monotonic()))
        self.busy += seconds
        self._begin()
        score = -float(self._generator.uniform())
        one = seconds / len(unit.folds)
        folds = [FoldResult(scores={"trivial_score": score}, train_score=score, fit_seconds=one) for _ in unit.folds]
        return UnitResult(unit, tuple(folds))

    def give_back(self) -> list[Unit]:
        """What no worker has begun."""
        given, self._waiting = list(self._waiting), deque()
        return given

    def cancel(self, run: str, number: int | None = None) -> None:
        """Forget what is not wanted any more."""
        self._waiting = deque(unit for unit in self._waiting if not unit.is_of(run, number))

    def close(self) -> None:
        """Nothing to close."""


def feed(url: str, n_workers: int, *, sampler: str, runs: int, trials: int, seconds: float) -> list[str]:
    """One coordinator with simulated workers: a row of the table."""
    with hpo.StudyDatabase(url) as database:
        # its scores are drawn, so that no coordinator of `together` may find them
        session = StudySession(replace(definition(), name="simulated"), database)
        engine = Simulated(n_workers, seconds=seconds)
        options = RunOptions(trials=trials, reuse=False)
        progress = Progress("none", session.definition.shown_metric)
        driver = Driver(session, engine, options, Interrupts(), progress)
        jobs = [Job(session.name(sampler, 0, seed), find_sampler(sampler)) for seed in range(runs)]
        propose, record = Timed(), Timed()
        with propose.around(WorkingStudy, "propose"), record.around(hpo.StudyDatabase, "record"):
            begun, cpu = time.monotonic(), time.process_time()
            if runs == 1:
                driver.drive_one(jobs[0])
            else:
                list(driver.drive(jobs))
            wall, cpu = time.monotonic() - begun, time.process_time() - cpu
        n = runs * trials
        if record.n_calls != n:
            raise SystemExit(f"{record.n_calls} trials were recorded where {n} were expected")
    return [
        f"{runs} x {trials} {sampler}",
        f"{n / wall:.0f}",
        f"{1000 * propose.seconds / n:.2f}",
        f"{1000 * record.seconds / n:.2f}",
        f"{1000 * cpu / n:.2f}",
        f"{100 * (1 - engine.busy / (n_workers * wall)):.0f} %",
    ]


def together(url: str, n_coordinators: int, trials: int) -> None:
    """Many coordinators at once on one database."""
    start = time.time() + 2 + 0.5 * n_coordinators
    commands = [
        [sys.executable, "-c", _COORDINATOR, url, str(seed), str(trials), str(start)] for seed in range(n_coordinators)
    ]
    with hpo.StudyDatabase(url) as database:  # the reference, and the tables
        hpo.run(definition(), sampler="random", seed=n_coordinators, trials=1, database=database, progress="none")
    folder = Path(__file__).parents[1]
    processes = [
        subprocess.Popen(c, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for c in commands
    ]
    outs = [process.communicate() for process in processes]
    errors = [err for process, (_, err) in zip(processes, outs, strict=True) if process.returncode]
    times = [tuple(map(float, out.split())) for out, _ in outs if out]
    seconds = max(ended for _, ended in times) - min(begun for begun, _ in times)
    with hpo.StudyDatabase(url) as database:
        runs = [row for row in database.run_rows() if row["study"] == definition().name and row["sampler"] == "random"]
        counts = [row["complete"] for row in runs if row["budget"] > 1]
    waits = sorted(ended - begun for begun, ended in times)
    print(
        f"{n_coordinators} coordinators x {trials} trials: {sum(counts) / seconds:.0f} trials a second in all, "
        f"a run took {waits[len(waits) // 2]:.1f} s (median) to {waits[-1]:.1f} s, errors {len(errors)}, "
        f"trials missing {n_coordinators * trials - sum(counts)}"
    )
    for error in errors[:3]:
        print(error.strip().splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("--database", help="URL of an empty database on a server; without it a SQLite file, and one")
    parser.add_argument("--workers", type=at_least, default=200)
    parser.add_argument("--seconds", type=float, default=0.4, help="that a fold takes on average (0.4)")
    parser.add_argument("--coordinators", type=at_least, default=50)
    parser.add_argument("--trials", type=at_least, default=20, help="of each coordinator (20)")
    options = parser.parse_args()
    print_machine("optuna", "sqlalchemy", "psycopg")
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        url = options.database or f"sqlite:///{folder}/many.db"
        print(f"\n{options.workers} simulated workers, {options.seconds:g} s a fold, {N_FOLDS} folds")
        header = ["", "trials a second", "proposal, ms", "record, ms", "coordinator's CPU, ms a trial", "workers idle"]
        n = options.workers
        one = feed(url, n, sampler="random", runs=1, trials=10 * n, seconds=options.seconds)
        several = feed(url, n, sampler="tpe", runs=n + 50, trials=12, seconds=options.seconds)
        print_table(header, [one, several])
        if options.database:
            print()
            together(options.database, options.coordinators, options.trials)


if __name__ == "__main__":
    main()
