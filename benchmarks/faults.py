"""Kills coordinators and evaluators at random instants, stops them, deletes their runs, fills their disks; compares.

A run is driven by ``hpo.run`` in a process of its own, is killed at random, checked, and resumed, until it is done
and can be compared with a quiet one. Between kills, at random: the coordinator is stopped (SIGSTOP) and goes on later;
``hpo delete`` asks for its run, which must be refused while it is recorded, and begins it anew otherwise; the disk is
filled, until the coordinator has ended. The disk is a small one in memory, which takes root on Linux.
An evaluator is killed at most twice per run: a trial that three evaluators have died of fails, as it should. Where one
worker evaluates in the coordinator's own process, evaluators exist only after the first death of a coordinator.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

import hpo
from benchmarks.remains import Trials, read
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.database.records import RunKey
from hpo.runs.doctor import examine

SAMPLERS, WORKERS = ("random", "tpe", "grid"), (1, 2)
MOST_KILLS, MOST_EVALUATORS, MOST_OTHERS, MOST_ERRORS = 6, 2, 6, 3  # of one run
KILLS, OTHERS = ("coordinators", "evaluators"), ("stopped", "refused", "deleted", "full")
DISK_MB = 6
SECONDS_TO_VANISH, SECONDS_TO_END = 5.0, 120.0
HANGS = -1  # instead of an exit code
BEGUN, RECORDED = "begun", "recorded"
DEFECTS = {
    "lost": "trials reported done before a kill, and absent or different after",
    "repeated": "numbers or cells of the grid twice, or more trials than the budget",
    "different": "trials that differ from the quiet run's: hyperparameters, scores, state",
    "damaged": "failed checks of the file's integrity, after every kill and at the end",
    "running": "trials left RUNNING, and results left held",
    "orphans": "evaluators alive 5 s after their coordinator",
    "taken": "runs of which a part was deleted, or whose deletion ended with a traceback",
    "stuck": "runs that could not be resumed",
}


def study_of(trees: int) -> hpo.StudyDefinition:
    """Three fits to a trial, of 20 to 50 ms with 15 trees."""
    return hpo.StudyDefinition(
        name="faults",
        data=load_data,
        estimator=GradientBoostingClassifier(n_estimators=trees, random_state=0),
        space=hpo.SearchSpace(
            {
                "learning_rate": hpo.Float(0.01, 1.0, log=True, grid=4),
                "max_depth": hpo.Int(1, 4),
                "min_samples_leaf": hpo.Int(1, 20, log=True),
            }
        ),
        metric="roc_auc",
        split=hpo.CrossValidation(folds=3),
    )


def load_data() -> Any:
    """569 patients, 30 measurements."""
    return load_breast_cancer(return_X_y=True)


@dataclass(frozen=True)
class Case:
    """What is run."""

    sampler: str
    workers: int
    trials: int
    trees: int


# --- the coordinator, in a process of its own ---


def child(path: str, case: Case) -> None:
    """Drive the run, saying on standard output when it begins and which trials are recorded."""
    original = hpo.StudyDatabase.record

    def record(self: hpo.StudyDatabase, key: RunKey, record: Any) -> None:
        original(self, key, record)
        if "/reference/" not in key.name:
            print(RECORDED, record.trial.number, flush=True)

    study = study_of(case.trees)
    with mock.patch.object(hpo.StudyDatabase, "record", record):
        print(BEGUN, flush=True)
        hpo.run(study, sampler=case.sampler, workers=case.workers, trials=case.trials, database=path, progress="none")


class Coordinator:
    """A coordinator process that can be watched and killed."""

    def __init__(self, folder: Path, case: Case) -> None:
        options = ["--child", str(folder / "disk" / "run.db"), *map(str, astuple(case))]
        self._errors = folder / "stderr.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults", *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "TMPDIR": str(folder)},
            )
        self.recorded: list[int] = []  # numbers of trials, in order
        self.n_deleted: int | None = None  # how many of them were when a deletion of the run was granted
        self._has_begun = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._has_begun.wait()  # until its imports are done

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                word, _, number = line.partition(" ")
                if word.strip() == RECORDED and line.endswith("\n"):
                    self.recorded.append(int(number))
                self._has_begun.set()
        self._has_begun.set()

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None where it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(seconds)
            self._reader.join()
            return code
        return None

    @property
    def kept(self) -> list[int]:
        """The trials that it has recorded since the run was begun anew, or all where it was not deleted."""
        if self.n_deleted is None:
            return self.recorded
        later = self.recorded[self.n_deleted :]
        return later[later.index(0) :] if 0 in later else []

    def evaluators(self) -> list[psutil.Process]:
        """Its evaluators that are alive."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if (
                        "hpo.evaluation.child_process" in " ".join(process.cmdline())
                        and process.status() != psutil.STATUS_ZOMBIE
                    ):
                        found.append(process)
        return found

    def kill(self) -> int:
        """Kill it; returns how many of its evaluators do not follow."""
        evaluators = self.evaluators()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        _, alive = psutil.wait_procs(evaluators, SECONDS_TO_VANISH)
        for process in alive:
            process.kill()
        return len(alive)

    def pause(self, seconds: float) -> None:
        """Stop it for so long."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._errors.read_text()[-2000:]


@contextlib.contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder with another, ``disk``, which is a small disk where that can be made; and whether it is."""
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as name:
        disk = Path(name) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
        is_small = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
        try:
            yield Path(name), is_small
        finally:
            if is_small:
                subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextlib.contextmanager
def full(disk: Path, n_bytes: int) -> Iterator[None]:
    """Fill a disk but for so many bytes."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**12))
        os.truncate(filler, max(filler.stat().st_size - n_bytes, 0))
        yield
    finally:
        filler.unlink()


# --- kill, check, resume ---


@dataclass(frozen=True)
class Quiet:
    """A run that nobody disturbed: its trials, and the seconds it took."""

    trials: Trials
    seconds: float


def run_quietly(case: Case) -> Quiet:
    """Run to the end."""
    with small_disk() as (folder, _):
        coordinator = Coordinator(folder, case)
        begun = time.perf_counter()
        if coordinator.wait(SECONDS_TO_END) != 0:
            raise SystemExit(f"the quiet run of {case} failed: {coordinator.last_words()}")
        return Quiet(read(folder / "disk").trials, time.perf_counter() - begun)


def run_with_kills(case: Case, quiet: Quiet, generator: random.Random) -> Counter[str]:
    """Run to the end with kills at random; returns how many there were, and what became of it."""
    counts: Counter[str] = Counter()
    known: Trials = {}
    with small_disk() as (folder, is_small):
        scene = Scene(case, quiet, generator, folder / "disk", is_small, known)
        code = None
        while code != 0:
            coordinator = Coordinator(folder, case)
            code = _disturb(coordinator, scene, counts)
            # Nothing left: it had recorded all and was about to end when the run was deleted, which begins anew.
            is_gone = coordinator.n_deleted is not None and not read(scene.disk).trials
            _check(scene.disk, set() if is_gone else set(coordinator.kept), known, counts)
            code = None if is_gone and code == 0 else code
            if code:
                counts["errors"] += 1
                print(f"{case} ended with {code}: {coordinator.last_words().splitlines()[-1:]}", file=sys.stderr)
                if counts["errors"] > MOST_ERRORS:
                    counts["stuck"] += 1
                    return counts
        _check_end(case, quiet, scene.disk, counts)
    counts["runs"] += 1
    return counts


@dataclass(frozen=True)
class Scene:
    """What a run is disturbed in.

    Attributes:
        case, quiet: what is run, and how it ends undisturbed.
        generator: of instants and victims.
        disk: where the database is.
        is_small: whether the disk can be filled.
        known: the trials that are done, which must stay.
    """

    case: Case
    quiet: Quiet
    generator: random.Random
    disk: Path
    is_small: bool
    known: Trials


def _disturb(coordinator: Coordinator, scene: Scene, counts: Counter[str]) -> int | None:
    """Disturb at random until it is dead (None), or has ended by itself: with its exit code."""
    generator = scene.generator
    while True:
        is_last = sum(counts[kind] for kind in KILLS) >= MOST_KILLS
        code = coordinator.wait(SECONDS_TO_END if is_last else generator.uniform(0, scene.quiet.seconds))
        if code is not None:
            return code
        if is_last:
            coordinator.kill()
            return HANGS
        if generator.random() < 0.5 and sum(counts[kind] for kind in OTHERS) < MOST_OTHERS:
            kind = generator.choice(("stop", "delete", "fill" if scene.is_small else "stop"))
            if kind == "stop":
                coordinator.pause(generator.uniform(0, 2))
                counts["stopped"] += 1
            elif kind == "delete":
                if _delete(coordinator, scene, counts) and coordinator.wait(0) is not None:
                    return None  # it was done: the run begins anew
            else:
                return _fill(coordinator, scene, counts)
            continue
        evaluators = coordinator.evaluators() if generator.random() < 0.5 else []
        if not evaluators or counts["evaluators"] >= MOST_EVALUATORS:
            counts["orphans"] += coordinator.kill()
            counts["coordinators"] += 1
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            generator.choice(evaluators).send_signal(signal.SIGKILL)
            counts["evaluators"] += 1


def _delete(coordinator: Coordinator, scene: Scene, counts: Counter[str]) -> bool:
    """Ask for the run's deletion, which is granted only where nobody records it; whether it was."""
    n_before = len(coordinator.recorded)
    run = f"faults/{scene.case.sampler}/split0-seed0"
    words = ["delete", run, "--yes", "--database", str(scene.disk / "run.db")]
    done = subprocess.run([sys.executable, "-m", "hpo", *words], capture_output=True, text=True, check=False)
    is_deleted = done.returncode == 0
    counts["deleted" if is_deleted else "refused"] += 1
    counts["taken"] += "Traceback" in done.stderr
    if is_deleted:  # before anything was recorded, or after all of it; what comes later is of a run begun anew
        coordinator.n_deleted = n_before
        scene.known.clear()
    return is_deleted


def _fill(coordinator: Coordinator, scene: Scene, counts: Counter[str]) -> int | None:
    """Fill the disk until it ends: None where that was for the disk, or its exit code."""
    with full(scene.disk, scene.generator.randrange(2**16)):
        code = coordinator.wait(SECONDS_TO_END)
    counts["full"] += 1
    if code is None:
        coordinator.kill()
        return HANGS
    words = coordinator.last_words()
    return None if code and ("full" in words or "disk I/O" in words or "No space left" in words) else code


def _check(folder: Path, recorded: set[int], known: Trials, counts: Counter[str]) -> None:
    """Whether all that was done before is still there; takes note of what is new."""
    contents = read(folder)
    counts["taken"] += bool(contents.trials) and 0 not in contents.trials  # written into a run that was deleted
    counts["lost"] += len(recorded - contents.trials.keys())
    counts["lost"] += sum(contents.trials.get(number) != trial for number, trial in known.items())
    counts["damaged"] += contents.is_damaged
    counts["running"] += contents.n_running
    known |= contents.trials


def _check_end(case: Case, quiet: Quiet, folder: Path, counts: Counter[str]) -> None:
    """Whether the run is as if nothing had happened."""
    contents = read(folder)
    counts["repeated"] += contents.n_rows - len(contents.trials) + max(len(contents.trials) - case.trials, 0)
    if case.sampler == "grid":
        cells = {json.dumps(trial[2]) for trial in contents.trials.values()}
        counts["repeated"] += len(contents.trials) - len(cells)
    numbers = quiet.trials.keys() | contents.trials.keys()
    counts["different"] += sum(quiet.trials.get(number) != contents.trials.get(number) for number in numbers)
    counts["running"] += contents.n_held
    with hpo.StudyDatabase(folder / "run.db", must_exist=True) as database:
        findings = [finding.what for finding in examine(database)]
    counts["damaged"] += len(findings)
    for what in findings:
        print(f"{case}: {what}", file=sys.stderr)


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=at_least, default=200, help="in all, or a few more (200)")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after which no run is begun, the quiet ones aside (no limit)"
    )
    parser.add_argument("--trials", type=at_least, default=16, help="of each run (16)")
    parser.add_argument(
        "--trees", type=at_least, default=15, help="of each fit; from about 60 on results are worth holding (15)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the instants and victims (0)")
    parser.add_argument("--jobs", type=at_least, default=2, help="runs at a time (2)")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        path, sampler, *numbers = options.child
        child(path, Case(sampler, *map(int, numbers)))
        return
    print_machine("optuna", "scikit-learn", "distributed")
    begun = time.perf_counter()
    cases = [Case(sampler, workers, options.trials, options.trees) for workers in WORKERS for sampler in SAMPLERS]
    counts: dict[Case, Counter[str]] = {case: Counter() for case in cases}
    with ThreadPoolExecutor(options.jobs) as pool:
        quiet = dict(zip(cases, pool.map(run_quietly, cases), strict=True))
        numbers, until = itertools.count(), time.perf_counter() + 60 * options.minutes

        def runs() -> None:
            while (
                sum(c[kind] for c in counts.values() for kind in KILLS) < options.kills and time.perf_counter() < until
            ):
                number = next(numbers)
                case = cases[number % len(cases)]
                found = run_with_kills(case, quiet[case], random.Random(f"{options.seed}-{number}"))
                with lock:
                    counts[case] += found

        lock = threading.Lock()
        for future in [pool.submit(runs) for _ in range(options.jobs)]:
            future.result()
    _report(counts, time.perf_counter() - begun)


def _report(counts: dict[Case, Counter[str]], seconds: float) -> None:
    columns = ("runs", *KILLS, *OTHERS, "errors", *DEFECTS)
    total = sum(counts.values(), Counter())
    n_kills = sum(total[kind] for kind in KILLS)
    print(f"\n{n_kills} kills in {seconds:.0f} s: runs brought to their end, who was killed, and what became of it")
    rows = [(f"{case.sampler}, {case.workers} workers", counter) for case, counter in counts.items()]
    print_table(
        ["", *columns],
        [[name, *(str(counter[column]) for column in columns)] for name, counter in [*rows, ("all", total)]],
    )
    print(
        "\nstopped: coordinators, for up to 2 s; refused, deleted: runs; full: disks, until the coordinator had ended"
    )
    print("errors: coordinators that ended by themselves, with a message, and were resumed\n")
    for defect, meaning in DEFECTS.items():
        print_goal(f"{defect} ({meaning})", str(total[defect]), "0", is_met=total[defect] == 0 < n_kills)


if __name__ == "__main__":
    main()
