"""What a Dask worker does: it hands each unit to an evaluator, a child process of its own."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distributed import get_worker
from distributed.diagnostics.plugin import UploadFile, WorkerPlugin
from tornado.ioloop import PeriodicCallback

from hpo.errors import WorkerBroken
from hpo.evaluation.child_process import Evaluator, Request
from hpo.evaluation.engine import Unit, UnitResult
from hpo.process.cores import share_of_cores
from hpo.study.definition import versions


class Unpublished(Exception):
    """A worker has no copy of the study and its data, and does not share the coordinator's disk."""


class Copy(UploadFile):
    """A copy of the publication on the disk of each worker, also of those that join later, as long as it is wanted."""

    def teardown(self, worker: Any) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):
            os.remove(os.path.join(worker.local_directory, self.filename))


LEASE_SECONDS = 60.0  # after which what a coordinator left on a cluster is removed, unless it renews its lease
_RENEWED: dict[str, float] = {}  # coordinator -> when, on this process's clock


@dataclass(frozen=True)
class Greeting:
    """What a worker says of itself: the versions of its packages, and whether it shares the coordinator's disk."""

    versions: dict[str, str]
    sees: bool


def greet(path: str) -> Greeting:
    """Say what this process has."""
    return Greeting(versions(), sees(path))


def renew(coordinator: str) -> None:
    """Note that a coordinator lives."""
    _RENEWED[coordinator] = time.monotonic()


class Lease(WorkerPlugin):
    """Ends on each worker what a coordinator has there, once nobody renews it, and has the scheduler forget it.

    Args:
        coordinator: whose.
        seconds: after which it has ended.
    """

    def __init__(self, coordinator: str, seconds: float = LEASE_SECONDS) -> None:
        self.name = lease_name(coordinator)
        self._coordinator, self._seconds = coordinator, seconds

    def setup(self, worker: Any) -> None:
        """Begin to look at the clock."""
        renew(self._coordinator)
        self._worker, self._looked = worker, time.monotonic()
        self._looking = PeriodicCallback(self._look, self._seconds * 1000 / 6)
        self._looking.start()

    async def _look(self) -> None:
        now, before = time.monotonic(), self._looked
        self._looked = now
        if now - before > self._seconds / 2:  # this process was stopped, and may have missed what was sent meanwhile
            renew(self._coordinator)
        if now - _RENEWED.get(self._coordinator, now) <= self._seconds:
            return
        self._looking.stop()
        await asyncio.to_thread(close_evaluators, self._coordinator)
        for name in (copy_name(self._coordinator), self.name):
            with contextlib.suppress(Exception):  # another worker was faster, or the scheduler is gone too
                await self._worker.scheduler.unregister_worker_plugin(name=name)

    def teardown(self, worker: Any) -> None:
        """End it."""
        self._looking.stop()
        _RENEWED.pop(self._coordinator, None)
        close_evaluators(self._coordinator)


def lease_name(coordinator: str) -> str:
    """What the scheduler calls a coordinator's lease."""
    return f"hpo-lease-{coordinator}"


def copy_name(coordinator: str) -> str:
    """What the scheduler calls the copies of a coordinator's publication."""
    return f"hpo-copy-{coordinator}"


@dataclass(frozen=True)
class Task:
    """What a Dask worker is sent.

    Attributes:
        unit: what to evaluate.
        path: of the publication, on the coordinator's machine.
        memory_mb: limit of the evaluator's resident memory, or None.
        threads: that one evaluator may use at most, or None for its share of the machine.
        slots: host -> how many units it evaluates at a time.
        versions: of the coordinator's packages.
        coordinator: whose evaluators it may use.
    """

    unit: Unit
    path: str
    memory_mb: float | None
    threads: int | None
    slots: dict[str, int]
    versions: dict[str, str]
    coordinator: str


class Evaluators:
    """The evaluators of one coordinator in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Evaluator] = []
        self._busy: set[Evaluator] = set()

    def prepare(self, n: int, threads: int) -> None:
        """Start some ahead: they take a second or two to come up."""
        self._idle += [Evaluator(threads) for _ in range(n)]

    @contextlib.contextmanager
    def one(self, threads: int) -> Iterator[Evaluator]:
        """An idle one, or a new one, for the time of a unit."""
        with self._lock:
            while self._idle:
                evaluator = self._idle.pop()
                if evaluator.is_alive and evaluator.threads == threads:
                    break
                evaluator.kill()
            else:
                evaluator = Evaluator(threads)
            self._busy.add(evaluator)
        try:
            yield evaluator
        finally:
            with self._lock:
                self._busy.discard(evaluator)
                if evaluator.is_alive:
                    self._idle.append(evaluator)

    def close(self) -> None:
        """Kill all, idle or not."""
        with self._lock:
            for evaluator in [*self._idle, *self._busy]:
                evaluator.kill()
            self._idle.clear()


_COORDINATORS: dict[str, Evaluators] = {}


def evaluators(coordinator: str) -> Evaluators:
    """Those of a coordinator in this process."""
    return _COORDINATORS.setdefault(coordinator, Evaluators())


def close_evaluators(coordinator: str) -> None:
    """Kill the evaluators of a coordinator in this process."""
    _COORDINATORS.pop(coordinator, Evaluators()).close()


def evaluate_unit(task: Task) -> UnitResult:
    """Evaluate a unit in an evaluator of this Dask worker.

    Raises:
        Unpublished: the study and its data are not here.
        WorkerBroken: other versions than the coordinator's, or an evaluator that cannot start.
    """
    worker = get_worker()
    if versions() != task.versions:
        differing = [
            f"{name} {versions().get(name)} instead of {v}"
            for name, v in task.versions.items()
            if versions().get(name) != v
        ]
        raise WorkerBroken(f"the worker {worker.address} has {', '.join(differing)}: install the same versions there")
    host = worker.address.split("://")[-1].rpartition(":")[0]
    slots = task.slots.get(host, task.slots.get("", worker.state.nthreads))
    copy = os.path.join(worker.local_directory, os.path.basename(task.path))
    path = copy if os.path.exists(copy) else task.path
    if not sees(path):
        raise Unpublished
    key = worker.get_current_task()
    with evaluators(task.coordinator).one(share_of_cores(slots, task.threads)) as evaluator:
        return evaluator.evaluate(Request(task.unit, path, task.memory_mb), lambda: _is_wanted(worker, key))


def sees(path: str) -> bool:
    """Whether this machine shares the coordinator's disk."""
    return os.path.exists(path)


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether the coordinator still waits for a task: Dask cannot end a thread, it only marks the task."""
    state = worker.state.tasks.get(key)
    return state is not None and state.state != "cancelled"
