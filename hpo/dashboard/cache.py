"""Answers that are kept as long as the database is as it was, and computed by one request at a time."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.dashboard.guards import WSGI, Environ, Headers
from hpo.dashboard.storage import ASKED
from hpo.database import records as t
from hpo.process.collector import uncollected

T = TypeVar("T")

SECONDS = 2.0  # how old an answer from a server may be; a SQLite file tells when it has changed
ROOM = 256 * 2**20  # bytes of answers that are kept
MOST = 500  # answers that are kept
_N_LOCKS = 16
_STUDY = re.compile(r"/api/studies/(\d{1,15})/?")
_LIST = re.compile(r"/api/studies/?")
# The contour and rank plots of optuna-dashboard 0.21 read `param_internal_value || null`: to them a 0 is none.
# The smallest positive number is 0 to every computation and plot, and is no zero to JavaScript.
_ZERO = re.compile(rb'"param_internal_value": -?0\.0,')
_NEARLY_ZERO = b'"param_internal_value": 5e-324,'


class Changes:
    """Tells when a database has changed.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        # The number that SQLite gives is of the connection that asks.
        self._connection = engine.connect() if engine.dialect.name == "sqlite" else None

    def stamp(self) -> Hashable:
        """Another value once something has been committed; for a server every two seconds."""
        if self._connection is None:
            return int(time.monotonic() / SECONDS)
        with self._lock:
            version = self._connection.exec_driver_sql("PRAGMA data_version").scalar()
            self._connection.rollback()
            return version

    def of_study(self, study_id: int) -> Hashable | None:
        """Another value once the study has changed; None where only ``stamp`` can tell.

        Trials that have ended never change, so that their number and the last one's id say all.
        """
        trial = t.trials.c
        unfinished = sa.case((trial.state.in_([TrialState.RUNNING, TrialState.WAITING]), 1), else_=0)
        counts = sa.select(sa.func.count(), sa.func.max(trial.trial_id), sa.func.sum(unfinished))
        with self._engine.connect() as connection:
            n_trials, last, n_unfinished = connection.execute(counts.where(trial.study_id == study_id)).one()
            if n_unfinished:
                return None
            rows = [
                tuple(row)
                for table in (t.studies, t.study_attributes, t.study_system_attributes)
                for row in connection.execute(sa.select(table).where(table.c.study_id == study_id))
            ]
        return (n_trials, last, tuple(rows))

    def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.close()


class Kept(Generic[T]):
    """The last value of a computation, until the database changes; made by one thread while the others wait.

    Args:
        changes: of the database.
        make: computes the value.
    """

    def __init__(self, changes: Changes, make: Callable[[], T]) -> None:
        self._changes, self._make, self._lock = changes, make, threading.Lock()
        self._value: tuple[Hashable, T] | None = None

    def __call__(self) -> T:
        """The value for the database as it is."""
        with self._lock:
            stamp = self._changes.stamp()  # before: what changes meanwhile is seen next time
            if self._value is None or self._value[0] != stamp:
                self._value = stamp, self._make()
            return self._value[1]


@dataclass
class _Answer:
    stamp: Hashable
    state: Hashable | None
    headers: Headers
    body: bytes


class Answers:
    """optuna-dashboard, with its two answers that are large and often asked for kept: the list, and a study.

    Args:
        app: optuna-dashboard.
        changes: of the database.
        room: bytes that are kept at most.
    """

    def __init__(self, app: Any, changes: Changes, *, room: int = ROOM) -> None:
        self._app, self._changes, self._room = app, changes, room
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._locks = [threading.Lock() for _ in range(_N_LOCKS)]
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """A kept answer where it still holds, or the app's."""
        path = environ.get("PATH_INFO", "")
        study = _STUDY.fullmatch(path)
        if environ["REQUEST_METHOD"] != "GET" or not (study or _LIST.fullmatch(path)):
            app: WSGI = self._app
            return app(environ, start_response)
        key, study_id = (path.rstrip("/"), environ.get("QUERY_STRING", "")), int(study[1]) if study else None
        with self._locks[(study_id or 0) % _N_LOCKS]:
            answer = self._kept(key, study_id)
            if answer is None:
                stamp = self._changes.stamp()
                state = None if study_id is None else self._changes.of_study(study_id)
                status, headers, body = self._ask(environ, study_id)
                if not status.startswith("200"):
                    start_response(status, headers)
                    return [body]
                answer = _Answer(stamp, state, headers, body)
                self._keep(key, answer)
        start_response("200 OK", answer.headers)
        return [answer.body]

    def _kept(self, key: tuple[str, str], study_id: int | None) -> _Answer | None:
        answer, stamp = self._answers.get(key), self._changes.stamp()
        if answer is None or answer.stamp == stamp:
            return answer
        if study_id is None or answer.state is None or self._changes.of_study(study_id) != answer.state:
            return None
        answer.stamp = stamp
        return answer

    def _keep(self, key: tuple[str, str], answer: _Answer) -> None:
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > 1 and (len(self._answers) > MOST or self._size() > self._room):
                self._answers.popitem(last=False)

    def _size(self) -> int:
        return sum(len(kept.body) for kept in self._answers.values())

    def _ask(self, environ: Environ, study_id: int | None) -> tuple[str, Headers, bytes]:
        """The app's own answer, with its trials read afresh: for some seconds it would answer with old ones."""
        cache = self._app._inmemory_cache
        with cache._trials_cache_lock:
            cache._trials_last_fetched_at.pop(study_id, None)
        token = ASKED.set(study_id)
        try:
            with uncollected():
                status, headers, body = collect(self._app, environ)
        finally:
            ASKED.reset(token)
        body = _ZERO.sub(_NEARLY_ZERO, body)
        return status, [*_without(headers, "content-length"), ("Content-Length", str(len(body)))], body


def collect(app: WSGI, environ: Environ) -> tuple[str, Headers, bytes]:
    """Status, headers and body of an app's whole answer."""
    begun: list[Any] = []

    def start(status: str, headers: Headers, *rest: Any) -> None:
        begun[:] = [status, headers]

    parts = app(environ, start)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    return begun[0], begun[1], body


def with_insertion(app: WSGI, before: bytes, inserted: Callable[[], bytes]) -> WSGI:
    """An app whose page gets something of ours before the last occurrence of ``before``."""

    def changed(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        conditional = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE")
        asked = {name: value for name, value in environ.items() if name not in conditional}
        status, headers, body = collect(app, asked | {"REQUEST_METHOD": "GET"})
        head, found, tail = body.rpartition(before)
        body = head + inserted() + found + tail if found else body
        kept = _without(headers, "content-length", "last-modified", "etag", "accept-ranges", "cache-control")
        start_response(status, [*kept, ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return changed


def _without(headers: Headers, *names: str) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in names]
