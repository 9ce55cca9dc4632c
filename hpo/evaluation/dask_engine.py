"""Evaluations behind Dask: a cluster in this process, or a running one by the address of its scheduler.

A task runs in a thread of a Dask worker and hands its unit to an evaluator (:mod:`hpo.evaluation.dask_worker`), a child
process of that worker, so that a fit that crashes, hangs or explodes ends its evaluator and nothing else.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import queue
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import dask
from distributed import Client, Future, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from hpo.errors import ClusterLost, HpoError, InvalidOption, WorkerBroken
from hpo.evaluation.dask_attendance import Attendance
from hpo.evaluation.dask_worker import (
    LEASE_SECONDS,
    Copy,
    Lease,
    Task,
    Unpublished,
    close_evaluators,
    copy_name,
    evaluate_unit,
    evaluators,
    lease_name,
)
from hpo.evaluation.engine import Unit, UnitResult, Waiting
from hpo.process.cores import share_of_cores
from hpo.study.definition import versions
from hpo.study.publication import Publication
from hpo.units import format_duration

_SETTINGS = {
    "distributed.worker.profile.enabled": False,  # it samples every thread a hundred times a second
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.worker-saturation": "inf",  # we decide ourselves how much is on its way
    "distributed.scheduler.allowed-failures": 0,  # and count attempts ourselves
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
_SECONDS_TO_CONNECT = 5
_SECONDS_IN_SILENCE = 5  # before a wait for workers is spoken of
_SECONDS_OF_SILENCE = 5  # that a scheduler may owe an answer
_SECONDS_TO_A_FIRST_ANSWER = 60  # of workers that are there: a busy host imports for a while
SECONDS_WITHOUT_WORKERS = 600.0
_SECONDS_TO_LEAVE = 5.0
_SECONDS_BETWEEN_LOOKS = 2


class Workers:
    """An engine of several workers.

    Args:
        workers: their number, or the address of a Dask scheduler.
        publication: definition and data.
        memory_mb: limit of each evaluator's resident memory, or None.
        threads: that one evaluator may use; it never gets more than its share of the machine.
        note: is told when workers are waited for.

    Raises:
        InvalidOption: no scheduler answers at the address.
    """

    def __init__(
        self,
        workers: int | str,
        publication: Publication,
        *,
        memory_mb: float | None = None,
        threads: int | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._publication, self._memory_mb, self._threads = publication, memory_mb, threads
        self._waiting = Waiting()
        self._futures: dict[str, tuple[Future[Any], Unit, frozenset[str]]] = {}
        self._finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._keys = itertools.count()
        self._id = uuid.uuid4().hex
        self._is_local = isinstance(workers, int)
        self._has_copies = False
        self._attendance: Attendance | None = None
        self._looked = 0.0
        self._is_lost = False
        self._warned: set[str] = set()
        self._with_workers = time.monotonic()
        self._note = note
        self._cluster: LocalCluster | None = None
        self._slots: dict[str, int] = {"": workers} if isinstance(workers, int) else {}
        self.client = self._start_local(workers) if isinstance(workers, int) else self._connect(workers)
        dasks_loop: Any = self.client.loop  # a thread of its own
        dasks_loop.asyncio_loop.set_exception_handler(_report)
        try:
            if isinstance(workers, str):
                path = str(publication.path)
                self._attendance = Attendance(self.client, self._id, path, versions())
                self._wait_for_a_worker(self._attendance, workers)
                self._register(Lease(self._id, LEASE_SECONDS), lease_name(self._id))
                self._look_for_workers()
        except BaseException:
            self.close()
            raise

    @property
    def n_workers(self) -> int:
        """How many units the workers evaluate at a time; those of a cluster come and go."""
        return max(sum(self._slots.values()), 1)

    def _start_local(self, n_workers: int) -> "Client":
        with dask.config.set(_SETTINGS):
            self._cluster = LocalCluster(
                n_workers=1,
                threads_per_worker=n_workers,
                processes=False,
                dashboard_address="127.0.0.1:0",  # without an address it would listen to the network
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
            client = Client(self._cluster, set_as_default=False)
        evaluators(self._id).prepare(n_workers, share_of_cores(n_workers, self._threads))
        return client

    def _connect(self, address: str) -> "Client":
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is said by us, in one line
        if address.startswith("tls:") and not dask.config.get("distributed.comm.tls.ca-file", None):
            # To be told by Dask leaves half a client, whose end is a traceback.
            reason = "no certificate is configured: set distributed.comm.tls in Dask's configuration"
            raise _silent(address, reason)
        try:
            with dask.config.set(_SETTINGS):
                return Client(_tcp(address), timeout=_SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _silent(address, reason) from error

    def _wait_for_a_worker(self, attendance: Attendance, address: str) -> None:
        begun, is_said = time.monotonic(), False
        while not attendance.present:
            self._check_connection()
            waited = time.monotonic() - begun
            if waited > _SECONDS_IN_SILENCE:
                if attendance.left_out and (attendance.is_settled or waited > _SECONDS_TO_A_FIRST_ANSWER):
                    raise WorkerBroken(next(iter(attendance.left_out.values())))
                if not is_said and not attendance.left_out:
                    is_said = True
                    limit = format_duration(SECONDS_WITHOUT_WORKERS)
                    wanted = f"waiting {limit} for the first: start one with dask worker {_tcp(address)}"
                    self._note(f"{address} has no workers yet; {wanted}")
            self._check_that_workers_come()
            time.sleep(0.1)

    def _look_for_workers(self) -> None:
        """Note how many units each host evaluates at a time, and see to those that have come or gone."""
        if self._attendance is None:
            return
        slots: Counter[str] = Counter()
        present = self._attendance.present
        for worker in present.values():
            slots[worker.host] += worker.n_threads
        self._slots = dict(slots)
        for address, reason in self._attendance.left_out.items():
            if address not in self._warned:
                self._warned.add(address)
                self._note(f"left out: {reason}")
        if not all(worker.sees for worker in present.values()):
            self.share_publication()
        for key, (future, unit, chosen) in list(self._futures.items()):
            if present and not chosen & present.keys() and future.status == "pending":  # all that might are gone
                del self._futures[key]
                future.cancel()
                self._waiting.appendleft(unit)
        if present:
            self._with_workers = time.monotonic()
        self._check_that_workers_come()

    def _check_that_workers_come(self) -> None:
        if time.monotonic() - self._with_workers > SECONDS_WITHOUT_WORKERS:
            limit = format_duration(SECONDS_WITHOUT_WORKERS)
            raise ClusterLost(f"the Dask scheduler has had no workers for {limit}; the same command goes on from here")

    def share_publication(self, *, again: bool = False) -> None:
        """Send the study to workers that do not share our disk; again, where one has joined since."""
        if not self._has_copies or again:
            self._has_copies = True
            self._register(Copy(str(self._publication.path), load=False), copy_name(self._id))

    def _register(self, plugin: Any, name: str) -> None:
        try:
            self._patiently(self.client._register_worker_plugin(plugin, name, False))
        except ClusterLost:
            raise
        except Exception:  # noqa: BLE001 - of a worker that cannot load it and is left out; the others have it
            self._check_connection()

    def _patiently(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have something done in the client's event loop, for as long as the scheduler answers."""
        loop: Any = self.client.loop
        future = asyncio.run_coroutine_threadsafe(work, loop.asyncio_loop)
        while not future.done():
            concurrent.futures.wait([future], timeout=0.2)
            try:
                self._check_connection()
            except ClusterLost:
                future.cancel()
                raise
        return future.result()

    def submit(self, unit: Unit) -> None:
        """Queue a unit, and send it when a worker has or will soon have room."""
        self._waiting.append(unit)
        self._send()

    def _send(self) -> None:
        # One more than can run, so that no worker waits for us between two units.
        while self._waiting and len(self._futures) < self.n_workers + 1:
            self._check_connection()
            unit = self._waiting.popleft()
            path = str(self._publication.path)
            task = Task(unit, path, self._memory_mb, self._threads, self._slots, versions(), self._id)
            key = f"hpo-{self._id}-{next(self._keys)}"
            chosen = frozenset() if self._attendance is None else frozenset(self._attendance.present)
            future = self.client.submit(evaluate_unit, task, key=key, pure=False, workers=list(chosen) or None)
            self._futures[key] = future, unit, chosen
            future.add_done_callback(self._finished.put)

    def wait(self) -> UnitResult:
        """The next result.

        Raises:
            ClusterLost: the scheduler is gone.
            WorkerBroken: a worker lacks something.
        """
        while True:
            self._check_connection()
            if self._attendance is not None and time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
                self._looked = time.monotonic()
                self._look_for_workers()
                self._send()
            try:
                future = self._finished.get(timeout=0.5)
            except queue.Empty:
                continue
            if future.key not in self._futures:  # cancelled by us
                continue
            if future.status == "cancelled":
                self._check_connection(is_lost=True)
            unit = self._futures.pop(future.key)[1]
            self._send()
            try:
                result = self._result(future)
            except Unpublished:  # it has joined since
                self.share_publication(again=True)
                self.submit(unit)
                continue
            except KilledWorker:
                result = UnitResult(unit, (), "the end of its Dask worker")
            except (CommClosedError, FutureCancelledError) as error:
                raise _lost() from error
            except HpoError:
                raise
            except Exception as error:
                raise WorkerBroken(
                    f"a worker cannot evaluate ({type(error).__name__}: {error}): it needs the same Python and the "
                    "same packages as this process, hpo-studies among them"
                ) from error
            return result

    def _result(self, future: "Future[Any]") -> UnitResult:
        while True:
            try:
                result: UnitResult = future.result(timeout=1)
            except TimeoutError:
                if future.status == "error":  # the task's own
                    raise
                self._check_connection()
                continue
            return result

    def _check_connection(self, *, is_lost: bool = False) -> None:
        is_silent = self._attendance is not None and self._attendance.silent_seconds > _SECONDS_OF_SILENCE
        if is_lost or is_silent or self.client.status != "running":
            self._is_lost = True
            raise _lost()

    def give_back(self) -> list[Unit]:
        """The units that were not sent to a worker."""
        return self._waiting.take_all()

    def cancel(self, run: str, number: int | None = None) -> None:
        """Forget the units of a trial, or of a whole run; an evaluator that is at one of them is killed."""
        self._waiting.forget(run, number)
        for key, (future, unit, _) in list(self._futures.items()):
            if unit.is_of(run, number):
                del self._futures[key]
                future.cancel()
        self._send()

    def close(self) -> None:
        """End the evaluators, and the cluster where it is ours."""
        futures = [future for future, _, _ in self._futures.values()]
        self._futures.clear()
        if self._is_local:
            close_evaluators(self._id)
        elif not self._is_lost and self.client.status == "running":
            with contextlib.suppress(Exception):  # it may go away meanwhile: nothing is lost
                self._patiently(asyncio.wait_for(self._leave(futures), _SECONDS_TO_LEAVE))
        if self._attendance is not None:
            self._attendance.close()
        self.client.close(timeout=2)
        if self._cluster is not None:
            self._cluster.close(timeout=2)

    async def _leave(self, futures: list["Future[Any]"]) -> None:
        """Take away from the cluster what is ours; the end of the lease closes the evaluators."""
        scheduler: Any = self.client.scheduler
        await self.client._cancel(futures)
        for name in (lease_name(self._id), copy_name(self._id)):
            with contextlib.suppress(ValueError):  # there was none
                await scheduler.unregister_worker_plugin(name=name)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what goes wrong in Dask's loop, but for the alarm clocks of senders that have ended.

    `distributed.batched.BatchedSend` sleeps until its next message is due. Where its loop ends within those
    milliseconds, nobody reads that the time is over, and asyncio would say so on standard error, after our last line.
    """
    future, error = context.get("future"), context.get("exception")
    if isinstance(error, TimeoutError) and not isinstance(future, asyncio.Task):
        return
    loop.default_exception_handler(context)


def _lost() -> ClusterLost:
    return ClusterLost("the connection to the Dask scheduler is lost; the same command goes on from here")


def _silent(address: str, reason: object) -> InvalidOption:
    return InvalidOption(f"workers={address!r}: no Dask scheduler answers there ({reason})")


def _tcp(address: str) -> str:
    """The address as Dask writes it."""
    return address.replace("dask://", "tcp://")


def refuse_silence(address: str) -> None:
    """Raise InvalidOption unless something listens at the address of a scheduler."""
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise _silent(address, error) from error
