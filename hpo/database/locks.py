"""One process at a time records a run: locks that the kernel or the server releases when their holder dies."""

import contextlib
import hashlib
import json
import os
import re
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from hpo.database.passwords import hide_passwords
from hpo.errors import UnusableDatabase

_SERVERS = ("postgresql", "mysql", "mariadb")
_FILE_ID, _MAKING = "file.id", "new"


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
    try:
        known = json.loads(stored)
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (ValueError, TypeError, KeyError):  # something else wrote it
        return "another process"


@contextlib.contextmanager
def locked(engine: sa.Engine, path: Path | None, run_id: str) -> Iterator[None]:
    """Hold the lock of one run.

    Args:
        engine: of the database.
        path: its SQLite file; None for a server, or for memory, which nobody else can reach.
        run_id: the run's own id.

    Raises:
        Taken: another process, or another thread of this one, holds it.
    """
    if path is not None:
        with _file_lock(path, run_id):
            yield
    elif engine.dialect.name in _SERVERS:
        with _server_lock(engine, f"hpo run {run_id}"):
            yield
    else:
        yield


@contextlib.contextmanager
def creating(url: sa.URL, options: dict[str, Any]) -> Iterator[sa.Connection | None]:
    """A connection to a server while no other process makes the tables of this database; None for SQLite.

    Raises:
        UnusableDatabase: another process has been making them for a minute.
    """
    if url.get_backend_name() not in _SERVERS:
        yield None
        return
    engine = sa.create_engine(url, **options)
    try:
        with _server_lock(engine, "hpo tables", seconds=60) as connection:
            yield connection
    except Taken as error:
        name = hide_passwords(url.render_as_string(hide_password=True))
        raise UnusableDatabase(
            f"{name} is still being prepared by another process after a minute: try again"
        ) from error
    finally:
        engine.dispose()


@contextlib.contextmanager
def counting(path: Path, run_id: str) -> Iterator[Callable[[int], None]]:
    """A function that keeps outside the file how many trials a run has: SQLite does not miss what a log has lost."""
    try:
        file = os.open(count_file(path, run_id), os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError:  # a second witness, no more
        yield lambda n_trials: None
        return

    def note(n_trials: int) -> None:
        with contextlib.suppress(OSError):
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, b"%-12d" % n_trials)

    try:
        yield note
    finally:
        os.close(file)


def noted_count(path: Path, run_id: str) -> int:
    """How many trials a run had when last noted; 0 where that is not known."""
    try:
        return int(count_file(path, run_id).read_text())
    except (OSError, ValueError):
        return 0


def forget(path: Path, run_id: str) -> None:
    """Remove what lies beside the file for a run that was deleted."""
    for file in (count_file(path, run_id), _lock_file(path, run_id)):
        with contextlib.suppress(OSError):
            file.unlink()


def count_file(path: Path, run_id: str) -> Path:
    """Where it is kept how many trials a run of a SQLite file has."""
    return _folder(path) / f"{_stem(run_id)}.trials"


def _lock_file(path: Path, run_id: str) -> Path:
    return _folder(path) / f"{_stem(run_id)}.lock"


def _stem(given: str) -> str:
    """How the id of a run or a file is written on the disk; a database may hold anything for it."""
    is_ours = re.fullmatch("[0-9a-f]{32}", given) is not None
    return given if is_ours else hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def note_file(path: Path, file_id: str) -> None:
    """Keep beside a SQLite file which one it is, to tell whether a log that is left there is its own.

    The note is moved in whole: who reads half an id would take the log of a file in use for another's.
    """
    if is_noted(path, file_id) is True:
        return
    draft = _folder(path) / f"{uuid.uuid4().hex}.id"
    with contextlib.suppress(OSError):  # a second witness, no more
        draft.write_text(_stem(file_id))
        draft.replace(_folder(path) / _FILE_ID)


def is_noted(path: Path, file_id: str) -> bool | None:
    """Whether this file is the one that was noted at its path; None where that is not known."""
    with contextlib.suppress(OSError, ValueError):
        noted = (_folder(path) / _FILE_ID).read_text()
        if re.fullmatch("[0-9a-f]{32}", noted):
            return noted == _stem(file_id)
    return None


@contextlib.contextmanager
def making_file(path: Path) -> Iterator[None]:
    """Be the only one to make a SQLite file, or to clear away what a former one of that name has left.

    Raises:
        UnusableDatabase: another process has been at it for a minute.
    """
    folder = _folder(path)
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / _MAKING, timeout=60):
            yield
    except Timeout as error:
        raise UnusableDatabase(f"{path} is still being made by another process after a minute: try again") from error


def clear_away(path: Path) -> None:
    """Remove what a SQLite file that is no longer there has left: its log and index, its locks and counts.

    SQLite would take the log for the next file's. A process that still has the removed file open keeps its own.
    """
    left = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal")]
    left += [file for file in _folder(path).iterdir() if file.suffix in {".lock", ".trials", ".id"}]
    for file in left:
        with contextlib.suppress(OSError):
            file.unlink()


def put_aside(path: Path) -> None:
    """Rename the log of another file, which was replaced by this one, so that SQLite does not read it."""
    for end in ("-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(f"{path.name}{end}").replace(path.with_name(f"{path.name}{end}-of-another-file"))


def _folder(path: Path) -> Path:
    return path.with_name(f"{path.name}-locks")


@contextlib.contextmanager
def _file_lock(path: Path, run_id: str) -> Iterator[None]:
    folder = _folder(path)
    lock = FileLock(_lock_file(path, run_id), timeout=0, thread_local=False)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise Taken from error
    except OSError as error:
        raise UnusableDatabase(
            f"{path} cannot be written: {folder}: {error.strerror}: copy it to a folder that can be written, "
            "and name it with --database"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _server_lock(engine: sa.Engine, key: str, seconds: float = 0) -> Iterator[sa.Connection]:
    with _SESSIONS_LOCK:
        session = _SESSIONS.setdefault(engine, _Session(engine))
    until = time.monotonic() + seconds
    while not session.take(key):
        if time.monotonic() >= until:
            raise Taken
        time.sleep(0.05)
    try:
        yield session.connection
    finally:
        session.free(key)


class _Session:
    """All locks of one process on one server: they belong to one connection, and end with it however we end.

    With a connection to each lock a cluster of 200 workers would take more than a server has.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = weakref.ref(engine)  # which is the key of this
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None
        self._held: set[str] = set()

    @property
    def connection(self) -> sa.Connection:
        """What the locks belong to; there while one is held."""
        assert self._connection is not None
        return self._connection

    def take(self, key: str) -> bool:
        """Take a lock, unless somebody has it, in this process or another."""
        with self._lock:
            if key in self._held:  # the server would give it to its holder again
                return False
            try:
                is_taken = self._take(key)
            except sa.exc.DBAPIError:
                if self._connection is None:
                    raise
                self._connect_again()  # the server restarted, or ended a connection that was idle
                is_taken = self._take(key)
            if is_taken:
                self._held.add(key)
            elif not self._held:
                self._close()
            return is_taken

    def free(self, key: str) -> None:
        """Give a lock back."""
        with self._lock:
            self._held.discard(key)
            if self._connection is not None:
                with contextlib.suppress(sa.exc.DBAPIError):  # one that broke has lost the lock already
                    self._connection.execute(sa.select(_functions(self._connection, key)[1]))
            if not self._held:
                self._close()

    def _take(self, key: str) -> bool:
        if self._connection is None:
            engine = self._engine()
            assert engine is not None  # whoever asks has it
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # the pool is for reading and writing
            self._connection = connection
            if engine.dialect.name != "postgresql":
                connection.exec_driver_sql("SET SESSION wait_timeout = 31536000")  # or it ends after 8 idle hours
        return bool(self._connection.execute(sa.select(_functions(self._connection, key)[0])).scalar())

    def _connect_again(self) -> None:
        """A new connection with the locks that were held; what another took meanwhile is found when it is recorded."""
        self._close()
        for key in sorted(self._held):
            self._take(key)

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                self._connection.close()
            self._connection = None


_SESSIONS: "weakref.WeakKeyDictionary[sa.Engine, _Session]" = weakref.WeakKeyDictionary()
_SESSIONS_LOCK = threading.Lock()


def _functions(connection: sa.Connection, key: str) -> tuple[Any, Any]:
    """What takes a lock and what frees it, in the database's words."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        return sa.func.pg_try_advisory_lock(number), sa.func.pg_advisory_unlock(number)
    # The server has one set of locks for all its databases.
    name = sa.func.sha1(sa.func.concat_ws(" ", sa.func.database(), key))
    return sa.func.get_lock(name, 0), sa.func.release_lock(name)
