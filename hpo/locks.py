"""One process at a time records a run: locks that the kernel or the server releases when their holder dies."""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout


class Taken(Exception):
    """Somebody else holds the lock."""


def holder() -> str:
    """This process, for messages: host, process id and since when (UTC)."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": now})


def describe(stored: str | None) -> str:
    """A stored holder as people read it."""
    if not stored:
        return "another process"
    known = json.loads(stored)
    return f"process {known['pid']} on {known['host']}, since {known['since']}"


@contextlib.contextmanager
def locked(engine: sa.Engine, path: Path | None, study_id: int) -> Iterator[None]:
    """Hold the lock of one run.

    Args:
        engine: of the database.
        path: its SQLite file; None for a server, or for memory, which nobody else can reach.
        study_id: the run.

    Raises:
        Taken: another process, or another thread of this one, holds it.
    """
    if path is not None:
        with _file_lock(path, study_id):
            yield
    elif engine.dialect.name in {"postgresql", "mysql", "mariadb"}:
        with _server_lock(engine, study_id):
            yield
    else:
        yield


@contextlib.contextmanager
def _file_lock(path: Path, study_id: int) -> Iterator[None]:
    folder = path.with_name(f"{path.name}-locks")
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / f"{study_id}.lock", timeout=0, thread_local=False):
            yield
    except Timeout as error:
        raise Taken from error


@contextlib.contextmanager
def _server_lock(engine: sa.Engine, study_id: int) -> Iterator[None]:
    key = f"hpo run {study_id}"
    # The lock belongs to this connection and ends with it, however this process ends.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
            taken, freed = sa.func.pg_try_advisory_lock(number), sa.func.pg_advisory_unlock(number)
        else:
            taken, freed = sa.func.get_lock(key, 0), sa.func.release_lock(key)
        if not connection.execute(sa.select(taken)).scalar():
            raise Taken
        try:
            yield
        finally:
            with contextlib.suppress(sa.exc.DBAPIError):  # a connection that broke has lost the lock already
                connection.execute(sa.select(freed))
