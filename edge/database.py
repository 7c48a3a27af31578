"""One SQLite file, one connection, at most one open transaction."""

import sqlite3
from pathlib import Path
from typing import Any

import sqlite_utils

from edge.migrations import migrations
from shared import wal
from shared.errors import StorageError


class Database:
    """The connection to the edge's file, with its tables up to date.

    Args:
        path: the file; made if it does not exist.
        vfs: name of an SQLite VFS to open it with, for the simulator; empty: SQLite's own.

    Raises:
        StorageError: the file cannot be opened or is not ours.
    """

    def __init__(self, path: Path, vfs: str = "") -> None:
        """See the class."""
        name = f"{path.absolute().as_uri()}?vfs={vfs}" if vfs else str(path)
        try:
            # Not two threads at once: the daemon commits on another thread and waits for it.
            self._connection = sqlite3.connect(
                name, isolation_level=None, check_same_thread=False, uri=bool(vfs)
            )
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            # Contacts pass through this file: what is deleted is overwritten, freed pages too.
            self._connection.execute("pragma secure_delete = on")
            migrations.apply(sqlite_utils.Database(self._connection))
        except sqlite3.Error as error:
            self._connection.close()
            raise _unusable(path, error) from error
        self._open = False
        self._wiping = False
        self.traces = True
        """Whether the write-ahead log may hold what was deleted from the file."""

    def close(self) -> None:
        """Close the file; what is not committed is gone."""
        self._connection.close()

    def begin(self) -> None:
        """Open the burst's transaction, unless it is open."""
        if not self._open:
            self._execute("begin immediate")
            self._open = True

    @property
    def dirty(self) -> bool:
        """Whether `commit` has anything to do."""
        return self._open or self._wiping

    def wipe(self) -> None:
        """Let the next commit empty the write-ahead log."""
        self._wiping = True

    def _wipe(self) -> None:
        """Empty it, unless somebody reads; never an error: what was committed is durable."""
        self._wiping = False
        self.traces = not wal.empty(self._connection)

    def _execute(self, sql: str, *values: object) -> None:
        try:
            self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _storage_error(error) from error

    def _many(self, sql: str, rows: list[Any]) -> None:
        if not rows:
            return
        self.begin()
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _storage_error(error) from error

    def _row(self, sql: str, *values: object) -> Any:
        return next(iter(self._rows(sql, *values)), None)

    def _rows(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _storage_error(error) from error


def _unusable(path: Path, error: sqlite3.Error) -> StorageError:
    return StorageError(
        f"{path}: {error}", place=str(path), expected="a writable SQLite file of this edge"
    )


def _storage_error(error: sqlite3.Error) -> StorageError:
    return StorageError(
        str(error), place="store", expected="space and a working disk; send the event again then"
    )
