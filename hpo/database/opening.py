"""Opening a study database: which one is meant, whether it is one, and what its errors mean."""

import contextlib
import functools
import os
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna.storages._rdb
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from hpo.database import locks, records
from hpo.errors import UnusableDatabase
from hpo.json_text import readable
from hpo.units import one_line

_ROOM = 2**16  # bytes, of which SQLite needs some even to read
_SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb")
_OPTUNA_TABLES = {"studies", "trials", "version_info"}
_MYSQL = ("mysql", "mariadb")
_DRAFT = ".hpo-new-"
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
# With the connection that the locks belong to a process has five at most, whatever its workers: a server has a hundred.
_POOL = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2}
_HOW = "write sqlite:///FILE, postgresql://USER@HOST/NAME or mysql://USER@HOST/NAME"


def as_url(database: "str | os.PathLike[str] | None") -> sa.URL:
    """The URL meant by a URL, a path, ``:memory:`` or None, with the path of a file made absolute."""
    given = database if database is not None else os.environ.get("HPO_DATABASE") or "sqlite:///hpo.db"
    try:
        text = os.fsdecode(given)
    except TypeError as error:
        raise UnusableDatabase(f"a database is a path or a URL, and {given!r} is neither: {_HOW}") from error
    if text == ":memory:":
        return sa.URL.create("sqlite")
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser().resolve()))
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise UnusableDatabase(f"the database's URL cannot be parsed: {_HOW}") from error
    if url.get_backend_name() not in _SCHEMES:
        raise UnusableDatabase(f"{url.get_backend_name()!r} is not a database that can be used: {_HOW}")
    if url.port is not None and not 0 < url.port < 2**16:
        raise UnusableDatabase(f"the database's URL has the port {url.port}: write one from 1 to 65535")
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return url.set(database=str(Path(url.database).expanduser().resolve()))
    if url.drivername in _MYSQL and find_spec("MySQLdb") is None:
        return url.set(drivername=f"{url.drivername}+pymysql")
    return url


def engine_options(url: sa.URL) -> dict[str, Any]:
    """How SQLAlchemy opens a database of this kind."""
    if url.get_backend_name() in _MYSQL:  # its default locks gaps that other runs insert into
        return {**_POOL, "isolation_level": "READ COMMITTED"}
    if url.get_backend_name() != "sqlite":
        return dict(_POOL)
    if url.database in (None, "", ":memory:"):
        return {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    path = Path(str(url.database))
    if path.exists() and not _is_writable(path):
        return {"creator": functools.partial(_connect_read_only, path), "poolclass": NullPool}
    return {"creator": functools.partial(_connect, path)}


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there: SQLite would make one that is not, and a run would go on in an empty file."""
    # seconds to wait for another writer
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=60, check_same_thread=False)
    connection.text_factory = readable
    return connection


def _is_writable(path: Path) -> bool:
    """Whether SQLite can write: the file, and the files it makes beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a file that cannot be written: through its log where that is complete, or else as it stands."""
    log, index, journal = (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))
    immutable = "" if journal.exists() or (log.exists() and index.exists()) else "&immutable=1"
    if immutable and log.exists() and log.stat().st_size > 0:
        raise UnusableDatabase(
            f"{path} cannot be written, and its newest trials are in {log.name}: copy both files to a folder that can "
            "be written, and name the copy with --database"
        )
    uri = f"{path.as_uri()}?mode=ro{immutable}"
    connection = sqlite3.connect(uri, uri=True, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA query_only=1")
    connection.text_factory = readable
    return connection


def has_newest_schema(engine: sa.Engine) -> bool:
    """Whether a database has Optuna's tables as the installed Optuna makes them, which is asked without alembic."""
    versions = Path(str(optuna.storages._rdb.__file__)).parent / "alembic" / "versions"
    names = [path.stem.rstrip("_") for path in versions.glob("v*.py")]
    newest = max(names, key=lambda name: [int(part) if part.isdecimal() else part for part in name[1:].split(".")])
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables >= {"alembic_version", *BaseModel.metadata.tables}:
            return False
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return found == [newest]


def set_pragmas(connection: Any, _: Any) -> None:
    """What every new connection to a SQLite file is told."""
    cursor = connection.cursor()
    if cursor.execute("PRAGMA query_only").fetchone() == (0,):
        cursor.execute("PRAGMA synchronous=NORMAL")  # with WAL: safe against kill, not waiting for the disk
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def create_mysql_tables(connection: sa.Connection | None) -> None:
    """Optuna's tables, where the database is MySQL or MariaDB and lacks them, with columns that lose nothing."""
    if connection is not None and connection.dialect.name in _MYSQL:
        _mysql_tables().create_all(connection)


def mysql_repairs(engine: sa.Engine) -> list[str]:
    """The statements that give tables which Optuna made in MySQL or MariaDB the columns of ours."""
    if engine.dialect.name not in _MYSQL:
        return []
    kept = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = database() "
        "AND (datetime_precision = 6 OR (collation_name = 'utf8mb4_bin' AND data_type <> 'text'))"
    )
    with engine.connect() as connection:
        right = {tuple(row) for row in connection.execute(sa.text(kept))}
    return [
        f"ALTER TABLE {table.name} MODIFY {sa.schema.CreateColumn(column).compile(dialect=engine.dialect)};"
        for table in _mysql_tables().sorted_tables
        for column in table.columns
        if isinstance(column.type, (sa.DateTime, sa.String)) and not isinstance(column.type, sa.Enum)
        if (table.name, column.name) not in right
    ]


def _mysql_tables() -> sa.MetaData:
    """Optuna's tables with times to the microsecond, texts beyond 64 KB, and names that differ by case."""
    metadata = sa.MetaData()
    for table in BaseModel.metadata.sorted_tables:
        for column in table.to_metadata(metadata).columns:
            if isinstance(column.type, sa.DateTime):
                column.type = mysql.DATETIME(fsp=6)
            elif isinstance(column.type, sa.Text):
                column.type = mysql.LONGTEXT(collation="utf8mb4_bin")
            elif isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum):
                column.type = sa.String(column.type.length, collation="utf8mb4_bin")
    return metadata


def prepare_file(path: Path, *, must_exist: bool) -> bool:
    """Check an existing file, or create one with Optuna's schema; whether it was created."""
    for left in path.parent.glob(f"{_DRAFT}*"):  # by a process that was killed while it created a file
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 60:
                shutil.rmtree(left)
    if path.exists() and (not path.is_file() or path.stat().st_size > 0):
        _check_file(path)
        return False
    if must_exist:
        raise UnusableDatabase(f"there is no study database at {path}: hpo run or hpo compare creates one")
    if not path.parent.is_dir():
        raise UnusableDatabase(f"the folder {path.parent} does not exist: create it, or name another with --database")
    try:
        with locks.making_file(path):
            return _make_file(path)
    except OSError as error:
        raise UnusableDatabase(
            f"{path} cannot be created ({error.strerror}): name a folder that can be written with --database"
        ) from error


def _make_file(path: Path) -> bool:
    """Make a file with Optuna's schema; False where another process was faster."""
    if path.exists() and path.stat().st_size > 0:
        return False
    path.unlink(missing_ok=True)  # empty: as if it were not there
    locks.clear_away(path)
    # Made aside and moved in whole, so that no other process ever sees half a schema.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_DRAFT) as folder:
        draft = Path(folder) / "new.db"
        storage = RDBStorage(str(sa.URL.create("sqlite", database=str(draft))))
        with storage.engine.begin() as connection:
            file_id = give_file_id(connection)
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        storage.remove_session()
        storage.engine.dispose()
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            os.replace(draft, path)
    locks.note_file(path, file_id)
    return True


def give_file_id(connection: sa.Connection) -> str:
    """The id of the file, which is given one where it has none."""
    table = records.file_ids
    records.make_table(connection, table)
    is_without = ~sa.exists(sa.select(table.c.id))  # in one statement: two processes may be here at once
    connection.execute(table.insert().from_select(["id"], sa.select(sa.literal(uuid.uuid4().hex)).where(is_without)))
    return str(connection.execute(sa.select(table.c.id)).scalar_one())


def place_of(path: Path) -> tuple[int, int] | None:
    """Device and number of the file that a path leads to; None where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def put_foreign_log_aside(path: Path) -> None:
    """See to it that SQLite does not read a log that belongs to another file, which this one has replaced.

    Such a log is left by a process that was killed, or that noticed. It is renamed, and not removed: a log may hold
    the newest trials. One is taken for foreign only where the file's id is known and is not the one noted beside it.
    The new file is noted before anybody writes to it, so that its own log is never taken for foreign.
    """
    if not _is_writable(path) or _id_of_another(path) is None:
        return
    try:
        with locks.making_file(path):  # whoever comes second finds it noted
            if (file_id := _id_of_another(path)) is not None:
                locks.put_aside(path)
                locks.note_file(path, file_id)
    except OSError as error:
        raise UnusableDatabase(
            f"{path} has replaced another file, whose locks beside it cannot be written ({error.strerror}): "
            "copy it to a folder of its own, and name the copy with --database"
        ) from error


def _id_of_another(path: Path) -> str | None:
    """The id of a file that is not the one noted at its path; None where it is, or where that is not known."""
    with contextlib.suppress(sqlite3.Error):  # it has none, or is no database
        uri = f"{path.as_uri()}?mode=ro&immutable=1"  # the file alone, without its log
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute(f"SELECT id FROM {records.file_ids.name}").fetchone()
        if row is not None and locks.is_noted(path, str(row[0])) is False:
            return str(row[0])
    return None


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UnusableDatabase(f"{path} is a folder: name a file in it, as in --database sqlite:///{path}/hpo.db")
    if not os.access(path, os.R_OK):
        raise UnusableDatabase(f"{path} cannot be read: its permissions forbid it")
    put_foreign_log_aside(path)
    try:
        # SQLite alone opens the file: to close it oneself would drop the locks that this process has on it.
        uri = f"{path.as_uri()}?mode=ro"
        opened = sqlite3.connect(uri, uri=True) if _is_writable(path) else _connect_read_only(path)
        with contextlib.closing(opened) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (OSError, sqlite3.DatabaseError) as error:
        is_none = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB  # so nobody has a lock on it
        if is_none and path.read_bytes()[:16] != b"SQLite format 3\x00":
            raise UnusableDatabase(f"{path} is not an SQLite database: name another file with --database") from error
        is_full = shutil.disk_usage(path.parent).free < _ROOM
        why = "the disk is full" if is_full else error
        raise UnusableDatabase(f"{path} cannot be read as a database: {why}") from error
    if tables and not tables >= _OPTUNA_TABLES:
        raise UnusableDatabase(
            f"{path} belongs to something else (its tables: {', '.join(sorted(tables)[:5])}): "
            "name another file with --database"
        )


@contextlib.contextmanager
def clear_reading(name: str) -> Iterator[None]:
    """Turn what reading raises into one clear line about the database, also where it holds what nobody can read."""
    with clear_errors(name):
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            what = f"{type(error).__name__}: {one_line(error)[:80]}"
            raise UnusableDatabase(f"{name} holds what hpo did not write and cannot read ({what})") from error


@contextlib.contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """Turn what SQLAlchemy, a driver or Optuna raises into one clear line about the database ``name``."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except ImportError as error:
        extra = _EXTRAS.get(sa.make_url(name).get_backend_name())
        mend = f"pip install 'hpo-studies[{extra}]'" if extra else "install the one it names"
        raise UnusableDatabase(f"{name} needs a driver that is not installed: {mend}") from error
    except NoSuchModuleError as error:
        raise UnusableDatabase(f"{name} names an unknown driver: {error}") from error
    except (DatabaseError, StorageInternalError) as error:
        cause = error.__cause__ or error if isinstance(error, StorageInternalError) else error
        raised = getattr(cause, "orig", cause)
        reason = str(raised).strip().splitlines()[0]
        if reason == "disk I/O error":  # SQLite has thirty kinds of it, and one word for all
            reason += f" ({getattr(raised, 'sqlite_errorname', 'no code')})"
        if "readonly database" in reason:
            reason = "it cannot be written: copy it to a folder that can be written, and name it with --database"
        raise UnusableDatabase(f"{name} cannot be used: {reason}") from error
    except SQLAlchemyError as error:
        raise UnusableDatabase(f"{name} cannot be used: {str(error).splitlines()[0]}") from error
