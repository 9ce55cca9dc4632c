"""The SQLite file of a database while it is open: whether its path still leads to it, and what is kept of it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from hpo.database import locks, records
from hpo.database.opening import give_file_id, place_of
from hpo.errors import DatabaseLost, RunDeleted, RunInUse


class OpenedFile:
    """A file that was opened, which is known by its place on the disk and by an id inside it.

    Args:
        path: that led to it.
        engine: that opened it.
    """

    def __init__(self, path: Path, engine: sa.Engine) -> None:
        self._path, self._engine = path, engine
        self._place = place_of(path)
        self._id: str | None = None
        self._log: dict[Path, tuple[int, int] | None] = {}  # where its log and index are

    def check(self) -> None:
        """Raise DatabaseLost where the path no longer leads to it."""
        place = place_of(self._path)
        if place != self._place:
            what = "was deleted or moved" if place is None else "was replaced by another file"
            raise DatabaseLost(f"{self._path} {what} while it was in use")

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise DatabaseLost where what is written in the block does not go to it, or it is spoilt."""
        self.check()
        try:
            yield
        except (sa.exc.DatabaseError, RunDeleted, RunInUse) as error:
            self.check()
            if self._is_overwritten(error):
                raise DatabaseLost(f"{self._path} was overwritten while it was in use") from error
            raise
        self.check()

    def _is_overwritten(self, error: Exception) -> bool:
        """Whether a file that has kept its place has other contents."""
        if isinstance(error, sa.exc.DatabaseError):
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "no such table" in str(error.orig)
        if self._id is None:  # nothing of it was ever held
            return False
        try:
            with self._engine.connect() as connection:
                return self._read_id(connection) != self._id
        except sa.exc.DatabaseError:
            return True

    def _read_id(self, connection: sa.Connection) -> str | None:
        is_there = sa.inspect(connection).has_table(records.file_ids.name)
        found = connection.execute(sa.select(records.file_ids.c.id)).scalar() if is_there else None
        return None if found is None else str(found)  # SQLite keeps what something else wrote as it was

    def identify(self) -> None:
        """Note which file this is; one of an earlier version is given an id.

        Raises:
            DatabaseLost: another file is there by now, which is not to be noted as this one.
        """
        self.check()
        if self._id is None:
            with self._engine.connect() as connection:
                self._id = self._read_id(connection)
        if self._id is None:
            with self._engine.begin() as connection:
                self._id = give_file_id(connection)
                locks.note_file(self._path, self._id)  # before others can see the id
        locks.note_file(self._path, self._id)
        beside = [self._path.with_name(f"{self._path.name}{end}") for end in ("-wal", "-shm")]
        self._log = {file: place_of(file) for file in beside}

    def remove_log(self) -> None:
        """Remove the log of a file that is lost and closed: SQLite would read it into a file that has its name now."""
        for file, place in self._log.items():
            if place is not None and place_of(file) == place:
                with contextlib.suppress(OSError):
                    file.unlink()

    def copy_lost(self, target: Path) -> bool:
        """Copy all that is in a file that has lost its name, which it keeps while it is open; whether that could be."""
        if place_of(self._path) == self._place:
            return False
        try:
            with self._engine.connect() as connection:
                if self._id is None or self._read_id(connection) != self._id:
                    return False
                opened = connection.connection.driver_connection
                assert isinstance(opened, sqlite3.Connection)
                with contextlib.closing(sqlite3.connect(target)) as copy:
                    opened.backup(copy)
                    return bool(copy.execute("PRAGMA quick_check").fetchone() == ("ok",))
        except (sa.exc.SQLAlchemyError, sqlite3.Error):
            return False
