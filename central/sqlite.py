"""Central's database as one SQLite file."""

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, NullPool, create_engine, event

from shared import wal
from shared.errors import StorageError

FILE_NAME: Final = "central.db"
IN_ITEMS_MAX: Final = 500
"""Values in one IN list, and rows in one insert that returns something."""


def connect(path: Path, *, reading: bool = False, vfs: str = "") -> Connection:
    """A connection to a file; one that is not for reading makes the file.

    Args:
        path: the file.
        reading: it only reads, and never checkpoints.
        vfs: name of an SQLite VFS to open the file with; empty: SQLite's own.
    """
    uri = f"{path.resolve().as_uri()}?mode={'ro' if reading else 'rwc'}"
    uri += f"&vfs={vfs}" if vfs else ""
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True),
        poolclass=NullPool,
        hide_parameters=True,  # an error message must not carry contact details into a log
        insertmanyvalues_page_size=IN_ITEMS_MAX,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where sqlite3 does
        if reading:
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            # No page keeps a copy of a key that was moved or overwritten in it (central.vault).
            connection.execute("PRAGMA secure_delete=FAST")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=2000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine.connect()


def wipe_log(connection: Connection) -> bool:
    """See `central.database.wipe_log`."""
    file = connection.connection.driver_connection
    assert isinstance(file, sqlite3.Connection)
    return wal.empty(file)


def compact(connection: Connection) -> None:
    """See `central.database.compact`."""
    file = connection.connection.driver_connection
    assert isinstance(file, sqlite3.Connection)
    try:
        file.execute("VACUUM")
    except sqlite3.Error as error:
        raise StorageError(
            f"the database cannot be written anew: {error}",
            place="database",
            expected="as much free space as the database takes",
        ) from error
