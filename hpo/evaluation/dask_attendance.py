"""Which workers a Dask scheduler has, and which of them can be used: asked in the background, all the time.

Nothing here makes the coordinator wait: it asks in the event loop of its client and notes what is answered. So a
scheduler that falls silent, however it does that, is noticed by the age of a question.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Client

from hpo.evaluation.dask_worker import LEASE_SECONDS, Greeting, greet, renew
from hpo.process.failures import describe

_SECONDS_BETWEEN_QUESTIONS = 1
_SILENT = "does not answer"
_SECONDS_TO_ANSWER = 5  # of a worker, after which it is left out until it does


@dataclass(frozen=True)
class Attendant:
    """A worker that can be used.

    Attributes:
        address: Dask's.
        host: which machine it is on.
        n_threads: how many units it evaluates at a time.
        sees: whether it shares the coordinator's disk.
    """

    address: str
    host: str
    n_threads: int
    sees: bool


class Attendance:
    """The workers of a client's scheduler.

    Args:
        client: connected.
        coordinator: whose lease is renewed on each worker.
        path: of the publication.
        versions: of the coordinator's packages, which a worker must have too.
    """

    def __init__(self, client: Client, coordinator: str, path: str, versions: Mapping[str, str]) -> None:
        self._client: Any
        self._client, self._coordinator, self._path, self._versions = client, coordinator, path, versions
        self._asked: float | None = None
        self._workers: dict[str, Any] = {}
        self._greetings: dict[str, Greeting | str] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._renewed = -float("inf")
        self._is_over = False
        self._client.loop.add_callback(self._attend)

    @property
    def silent_seconds(self) -> float:
        """For how long the scheduler has owed an answer."""
        asked = self._asked
        return 0.0 if asked is None else time.monotonic() - asked

    @property
    def present(self) -> dict[str, Attendant]:
        """Address -> worker, of those that can be used."""
        found = {}
        for address, worker in list(self._workers.items()):
            greeting = self._greetings.get(address)
            if isinstance(greeting, Greeting) and self._fault(address, greeting) is None:
                found[address] = Attendant(address, worker["host"], worker["nthreads"], greeting.sees)
        return found

    @property
    def left_out(self) -> dict[str, str]:
        """Address -> why it cannot be used."""
        greetings = {address: self._greetings[address] for address in self._workers if address in self._greetings}
        faults = {address: self._fault(address, greeting) for address, greeting in greetings.items()}
        return {address: fault for address, fault in faults.items() if fault is not None}

    @property
    def is_settled(self) -> bool:
        """Whether every worker has answered, or cannot: to wait longer would change nothing."""
        return all(self._greetings.get(address, _SILENT) != _SILENT for address in self._workers)

    def close(self) -> None:
        """Ask no more."""
        self._is_over = True

    def _fault(self, address: str, greeting: "Greeting | str") -> str | None:
        if isinstance(greeting, str):
            return f"the worker {address} {greeting}"
        has = greeting.versions
        differing = [
            f"{name} {has.get(name)} instead of {v}" for name, v in self._versions.items() if has.get(name) != v
        ]
        if not differing:
            return None
        return f"the worker {address} has {', '.join(differing)}: install the same versions there"

    async def _attend(self) -> None:
        while not self._is_over:
            if self._asked is None:
                self._asked = time.monotonic()
            with contextlib.suppress(Exception):  # however it fails to answer, it has not
                identity = await self._client.scheduler.identity(n_workers=-1)
                self._workers, self._asked = dict(identity["workers"]), None
            for address in self._workers:
                if not isinstance(self._greetings.get(address), Greeting) and address not in self._under_way:
                    self._begin(address, self._greet(address))
            if time.monotonic() - self._renewed > LEASE_SECONDS / 6 and "" not in self._under_way:
                self._renewed = time.monotonic()
                self._begin("", self._renew())
            await asyncio.sleep(_SECONDS_BETWEEN_QUESTIONS)

    def _begin(self, name: str, work: Any) -> None:
        task = self._under_way[name] = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._under_way.pop(name, None))

    async def _greet(self, address: str) -> None:
        try:
            asked = self._client._run(greet, self._path, workers=[address], on_error="return")
            answer = (await asyncio.wait_for(asked, _SECONDS_TO_ANSWER)).get(address)
        except Exception as error:  # noqa: BLE001 - of a stranger anything may come
            answer = error
        if isinstance(answer, Greeting):
            self._greetings[address] = answer
        elif isinstance(answer, (TimeoutError, OSError)) or answer is None:
            self._greetings[address] = _SILENT
        else:
            self._greetings[address] = (
                f"cannot evaluate ({describe(answer)}): it needs the same Python and the same packages as this "
                "process, hpo-studies among them"
            )

    async def _renew(self) -> None:
        with contextlib.suppress(Exception):  # who does not hear of it is no longer there, or hears of the next
            renewing = self._client._run(renew, self._coordinator, on_error="ignore")
            await asyncio.wait_for(renewing, _SECONDS_TO_ANSWER)
