"""Writing to a database that may be away for a while: a server restarts, a file is locked."""

import sys
import time
from collections.abc import Callable

import sqlalchemy as sa

_PAUSES = (0.2, 0.5, 1, 2, 4, 8, *(15,) * 40)  # seconds between attempts to store a trial


def persist(engine: sa.Engine, name: str, write: Callable[[sa.Connection], None]) -> None:
    """Write in one transaction, and try again for about ten minutes while the database is away.

    Args:
        engine: of the database.
        name: of the database, for people.
        write: may be called several times; it must recognise what an earlier attempt has stored.
    """
    for pause in (*_PAUSES, None):
        try:
            with engine.begin() as connection:
                write(connection)
            return
        except sa.exc.DBAPIError as error:
            if pause is None or not _may_pass(engine, error):
                raise
            if pause == _PAUSES[0]:
                reason = str(error.orig).strip().splitlines()[0]
                print(
                    f"{name} cannot be reached ({reason}): the result is held until it can", file=sys.stderr, flush=True
                )
            time.sleep(pause)


def _may_pass(engine: sa.Engine, error: sa.exc.DBAPIError) -> bool:
    """Whether an error may be gone in a moment; that of a full disk is not."""
    if engine.dialect.name == "sqlite":
        return "locked" in str(error.orig)
    return isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
