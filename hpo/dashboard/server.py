"""The study database in the browser: optuna-dashboard with the comparisons beside it, safe unless asked otherwise."""

import contextlib
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import waitress

from hpo.dashboard.guards import (
    Environ,
    addresses,
    check_token,
    is_loopback,
    only_hosts,
    read_only,
    refuse,
    respond,
    with_headers,
    with_token,
)
from hpo.database.opening import as_url
from hpo.database.passwords import has_password, hide_passwords
from hpo.database.study_database import StudyDatabase
from hpo.errors import HpoError, InvalidOption, UnusableDatabase

if TYPE_CHECKING:
    from hpo.dashboard.site import Browser

HOST = "127.0.0.1"
PORT = 8080
_THREADS = 8
_WILDCARDS = ("0.0.0.0", "::")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_CONNECTIONS, _FEWEST_CONNECTIONS = 2000, 50
_OTHER_FILES = 200  # descriptors for the database, answers on disk, and Python itself
_IDLE_SECONDS = 20  # after which a connection is closed that has not asked for anything
_REFRESH = 5  # seconds after which the page of an empty database looks again


class Dashboard:
    """A server for one database, listening once it is made.

    Args:
        database: what to show: opened, or as :class:`hpo.StudyDatabase` opens it. A SQLite file need not exist yet.
        host: name or address to listen on.
        port: the port to listen on, or None for 8080, or any free one where that is taken.
        writable: whether the browser may change the database.
        token: what a browser must know; None is one of our own where others than this machine reach the server, and
            none where not.

    Raises:
        InvalidOption: a host, port or token that cannot be.
        UnusableDatabase: see :class:`hpo.StudyDatabase`.
    """

    def __init__(
        self,
        database: "StudyDatabase | str | os.PathLike[str] | None" = None,
        *,
        host: str = HOST,
        port: int | None = None,
        writable: bool = False,
        token: str | None = None,
    ) -> None:
        is_open = host in _WILDCARDS or not is_loopback(host)
        if token is not None:
            check_token(token)
        self.host, self.token = host, token or (secrets.token_urlsafe(24) if is_open else None)
        self._source = _Source(database, writable=writable)
        listening = _listen(host, port)
        self.port: int = listening.getsockname()[1]
        guarded = self._source if writable else read_only(self._source)
        if self.token is not None:
            guarded = with_token(guarded, self.token, f"hpo_dashboard_{self.port}")
        guarded = with_headers(only_hosts(guarded, _names(host)))
        self._server = waitress.create_server(guarded, sockets=[listening], **_limits())

    @property
    def name(self) -> str:
        """The database for people."""
        return self._source.name

    @property
    def url(self) -> str:
        """Where a browser finds it; with the token, where there is one."""
        host = _reachable() if self.host in _WILDCARDS else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def serve(self) -> None:
        """Answer until interrupted."""
        self._source.warm()
        self._server.run()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self._source.close()


def browse(
    database: "str | None",
    *,
    host: str,
    port: int | None,
    writable: bool,
    token: str | None,
    opens: bool,
    say: Callable[[str], object],
) -> None:
    """Serve until Ctrl-C; the command ``hpo dashboard``."""
    dashboard = Dashboard(database, host=host, port=port, writable=writable, token=token)
    mode = "changes allowed" if writable else "read-only"
    say(f"optuna-dashboard on {dashboard.name} ({mode}): {dashboard.url}  (Ctrl-C ends it)")
    if opens:
        webbrowser.open(dashboard.url)
    with contextlib.suppress(KeyboardInterrupt):
        dashboard.serve()  # ends on Ctrl-C by itself
    dashboard.close()
    say("ended")


class _Source:
    """The database's pages once there is a database, and until then what to run.

    A SQLite file is opened when it appears, and again when another takes its place.
    """

    def __init__(self, database: "StudyDatabase | str | os.PathLike[str] | None", *, writable: bool) -> None:
        self._given, self._writable = database, writable
        self._lock = threading.Lock()
        self._browser: Browser | None = None
        self._file: tuple[int, int] | None = None
        self._opening: threading.Thread | None = None
        if isinstance(database, StudyDatabase):
            self.name, self._path = database.name, database.path
        else:
            url = as_url(database)
            self.name = hide_passwords(url.render_as_string(hide_password=True))
            is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
            self._path = Path(str(url.database)) if is_file else None
        self._database = self._open() if self._path is None or self._there() else None  # what is wrong is said now

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            browser = self._current()
        except HpoError as error:
            return refuse(start_response, "503 Service Unavailable", str(error))
        path = environ.get("PATH_INFO", "/")
        is_page = path == "/" or path.startswith(("/dashboard", "/comparison"))
        if is_page and (browser is None or (browser.is_empty() and not self._writable)):
            return self._start_page(environ, start_response)
        if browser is None:
            return refuse(start_response, "503 Service Unavailable", f"there is no database at {self.name} yet")
        if path == "/":
            start_response("302 Found", [("Location", "/dashboard/"), ("Content-Length", "0")])
            return []
        return browser(environ, start_response)

    def warm(self) -> None:
        """Import and open what the first page needs, while the address is being typed."""
        self._opening = threading.Thread(target=self._try_current, daemon=True)
        self._opening.start()

    def close(self) -> None:
        """Close what was opened here."""
        if self._opening is not None:
            self._opening.join()
        with self._lock:
            self._shut()

    def _try_current(self) -> None:
        with contextlib.suppress(HpoError):  # the first request is told
            self._current()

    def _current(self) -> "Browser | None":
        from hpo.dashboard.site import Browser  # imports optuna-dashboard, which takes its time

        with self._lock:
            there = self._there()
            if there != self._file and self._browser is not None:
                self._shut()
            if self._browser is None and (self._path is None or there):
                self._database = self._database or self._open()
                if self._database is not None:
                    self._browser = Browser(self._database, writable=self._writable)
                    self._file = there
            return self._browser

    def _there(self) -> tuple[int, int] | None:
        """Which file is at the path now; None where there is none, or an empty one."""
        if self._path is None:
            return None
        with contextlib.suppress(OSError):
            found = self._path.stat()
            if found.st_size > 0:
                return found.st_dev, found.st_ino
        return None

    def _open(self) -> StudyDatabase | None:
        if isinstance(self._given, StudyDatabase):
            return self._given
        try:
            return StudyDatabase(self._given, must_exist=True)
        except UnusableDatabase:
            if self._path is not None and self._there() is None:  # it went away just now
                return None
            raise

    def _shut(self) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._database is not None and not isinstance(self._given, StudyDatabase):
            self._database.close()
        self._browser = self._database = None

    def _start_page(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        from hpo.figures.page import document

        hint = "" if has_password(self.name) else f" --database '{escape(self.name)}'"
        where = hint or "   # with the database's URL in HPO_DATABASE"
        missing = "has no runs yet" if self._browser is not None else "does not exist yet"
        main = (
            f"<h1>Nothing to see yet</h1><p>The study database {escape(self.name)} {missing}. In a terminal:</p>"
            f"<pre>hpo compare breast-cancer-svm --quick{where}\n"
            f"hpo run digits-mlp --sampler tpe --trials 30{where}</pre>"
            "<p><code>hpo studies</code> lists the studies that can be run. This page looks again every few seconds, "
            "and shows the first run as it goes.</p>"
        )
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        headers = [("Content-Security-Policy", f"{policy}; frame-ancestors 'none'"), ("Cache-Control", "no-store")]
        refresh = f'<meta http-equiv="refresh" content="{_REFRESH};url=/">\n'
        body = respond(start_response, "200 OK", document("hpo dashboard", main, head=refresh), headers=headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body


def _limits() -> dict[str, Any]:
    """What of connections and answers the server holds: half-open requests must not keep others out.

    waitress takes no connection beyond its limit, which is 100 otherwise, and looks for those to close while it takes
    none. ``select`` fails beyond 1,024 descriptors, ``poll`` does not. An answer that nobody fetches is kept in a
    file, where a thread would wait for its reader otherwise.
    """
    files = _MOST_CONNECTIONS + _OTHER_FILES
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        files = files if soft == resource.RLIM_INFINITY else min(files, soft)
    return {
        "threads": _THREADS,
        "ident": None,
        "connection_limit": max(files - _OTHER_FILES, _FEWEST_CONNECTIONS),
        "backlog": 1024,
        "channel_timeout": _IDLE_SECONDS,
        "cleanup_interval": _IDLE_SECONDS // 4,
        "asyncore_use_poll": True,
        "outbuf_high_watermark": 2**40,
        "max_request_header_size": 2**16,
        "max_request_body_size": 2**26,
    }


def _names(host: str) -> set[str]:
    """The names and addresses under which the server may be asked for."""
    if host not in _WILDCARDS:
        own = {host, *addresses(host)}
        return own | set(_LOOPBACK) if is_loopback(host) else own
    entries = [entry for found in psutil.net_if_addrs().values() for entry in found]
    own = {e.address.partition("%")[0] for e in entries if e.family in (socket.AF_INET, socket.AF_INET6)}
    return {*_LOOPBACK, socket.gethostname(), *own}


def _reachable() -> str:
    """An address of this machine for others."""
    own = [
        entry.address for found in psutil.net_if_addrs().values() for entry in found if entry.family == socket.AF_INET
    ]
    return next((address for address in own if not address.startswith("127.")), HOST)


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in addresses(host)[0] else socket.AF_INET
    wanted = [PORT, 0] if port is None else [port]
    for candidate in wanted:
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
        except (OSError, OverflowError) as error:
            listening.close()
            if candidate == wanted[-1]:
                raise InvalidOption(
                    f"port {port} cannot be used on {host} ({error}): name another, or none"
                    if port is not None
                    else f"--host {host!r} cannot be listened on ({error})"
                ) from error
            continue
        return listening
    raise AssertionError("port 0 is always free")
