"""How the database is opened, what a transaction is, and writing many rows at once."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    bindparam,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import SQLAlchemyError

from central import postgres, schema, sqlite
from central.postgres import Server
from central.sqlite import FILE_NAME, IN_ITEMS_MAX
from shared.errors import ConfigError, StorageError
from shared.lock import locked

COPIED_MIN: Final = 8
"""From so many rows on copying them in is faster than inserting."""

Database: TypeAlias = Connection
"""The open database, for those who pass it on and speak no SQL."""

Location: TypeAlias = Path | Server
"""Where a database is: the folder of an SQLite file, or a PostgreSQL server."""


def open_database(location: Location, *, vfs: str = "", shared: bool = False) -> Connection:
    """The one connection that writes to central's database, made or upgraded on first use.

    On SQLite everything runs over this connection: before 3.51.3 it can corrupt its log when two
    connections of a file write or checkpoint at once. A connection to a server that was lost is
    made anew by the next transaction.

    Args:
        location: where; a folder is made if it does not exist.
        vfs: name of an SQLite VFS to open the file with, for the simulator; empty: SQLite's own.
        shared: a server's database is shared with others who ask so. Whoever opens it first has it
            alone until `let_in`; who comes later finds it made.

    Raises:
        ConfigError: the database cannot be used, is of another version, or another central
            writes to it (of an SQLite file, `sole_writer` says so).
    """
    if isinstance(location, Path):
        try:
            location.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(location, error) from None
    if shared and not isinstance(location, Server):
        raise ConfigError(
            "several workers cannot write to one SQLite file",
            place="database",
            expected="a PostgreSQL server, or a start without --worker",
        )
    with _opening(location, reading=False, vfs=vfs, shared=shared) as connection:
        if isinstance(location, Server):
            postgres.require_fit(connection, location)
        if not shared or postgres.is_alone(connection):
            schema.bring_up(connection, _name(location))
        else:
            schema.require_current(connection, _name(location))
    return connection


def is_alone(connection: Connection) -> bool:
    """Whether no other central may write now."""
    if not _is_server(connection):
        return True
    with transaction(connection):
        return postgres.is_alone(connection)


def let_in(connection: Connection) -> None:
    """Let other centrals share the database; see `open_database`."""
    with transaction(connection):
        postgres.let_in(connection)


def open_reader(location: Location) -> Connection:
    """A connection that only reads, and never checkpoints: for reports and `verify`.

    Raises:
        ConfigError: there is no database, or it is of another version.
    """
    require_database(location)
    with _opening(location, reading=True) as connection:
        schema.require_current(connection, _name(location))
    return connection


@contextlib.contextmanager
def reading(location: Location) -> Iterator[Connection]:
    """One transaction of a reader, closed behind it.

    Raises:
        ConfigError: see `open_reader`.
    """
    connection = open_reader(location)
    try:
        with connection.begin():
            yield connection
    finally:
        close_database(connection)


@contextlib.contextmanager
def _opening(
    location: Location, *, reading: bool, vfs: str = "", shared: bool = False
) -> Iterator[Connection]:
    """Connect, and look what is there in one transaction; closed again if it will not do."""
    try:
        if isinstance(location, Path):
            connection = sqlite.connect(location / FILE_NAME, reading=reading, vfs=vfs)
        else:
            connection = postgres.connect(location, reading=reading, shared=shared)
    except SQLAlchemyError as error:
        raise _unusable(location, error) from None
    try:
        with connection.begin():
            yield connection
    except SQLAlchemyError as error:
        close_database(connection)
        raise _unusable(location, error) from None
    except ConfigError:
        close_database(connection)
        raise


def _unusable(location: Location, error: Exception) -> ConfigError:
    told = getattr(error, "orig", None) or error
    if isinstance(location, Path):
        return ConfigError(
            f"the database cannot be opened: {told}",
            place="data_dir",
            expected="a directory that this user may write to",
        )
    return ConfigError(
        f"the database {location} cannot be opened: {told}",
        place="database",
        expected="a running server, a database of it that is ours alone, and who may write there",
    )


def _name(location: Location) -> str:
    return str(location / FILE_NAME if isinstance(location, Path) else location)


def require_database(location: Location) -> None:
    """See that there is a database; a server is asked when it is opened.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(location, Path) and not (location / FILE_NAME).is_file():
        raise ConfigError(
            f"there is no {location / FILE_NAME}", place="data_dir", expected="central's data_dir"
        )


def sole_writer(location: Location) -> contextlib.AbstractContextManager[None]:
    """Hold a database against any other central. A server's is held by being open.

    Raises:
        ConfigError: another process holds it.
    """
    return locked(location) if isinstance(location, Path) else contextlib.nullcontext()


def close_database(connection: Connection) -> None:
    """Close a connection of this module, and what belongs to it."""
    connection.close()
    connection.engine.dispose()


def _is_server(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def wipe_log(connection: Connection) -> bool:
    """Take out of the database's files what was overwritten, as far as its kind allows.

    SQLite: everything goes from the write-ahead log into the file, and the log is emptied; what was
    overwritten may be read there until then. PostgreSQL: see `central.postgres.wipe_log`.

    Returns:
        Whether it is done; not while somebody reads. To be tried again later.
    """
    if _is_server(connection):
        return postgres.wipe_log(connection)
    return sqlite.wipe_log(connection)


def compact(connection: Connection) -> None:
    """Write all files anew, without what was deleted; it needs as much room again.

    Raises:
        StorageError: the database could not do it; it is as it was.
    """
    (postgres if _is_server(connection) else sqlite).compact(connection)


def count_on(connection: Connection, column: Column[int]) -> None:
    """Rows were written with numbers from elsewhere: those to come go on after the greatest."""
    if _is_server(connection):  # SQLite does so by itself
        postgres.count_on(connection, column)


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """All or nothing.

    Raises:
        StorageError: the database could not do it; nothing of it is kept.
    """
    try:
        with connection.begin():
            yield connection
    except SQLAlchemyError as error:
        raise StorageError(
            f"{type(error).__name__}: {error}",
            place="database",
            expected="a working disk, or a server that answers",
        ) from error


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary key."""
    if rows:
        others = tuple(c.name for c in table.c if not c.primary_key)
        connection.execute(_merging(connection.dialect.name, table, others), rows)


def accumulate(
    connection: Connection,
    table: Table,
    rows: list[dict[str, Any]],
    *,
    overwrite: tuple[str, ...] = (),
) -> None:
    """Insert rows, or add their numbers to those with the same primary key."""
    if rows:
        connection.execute(_merging(connection.dialect.name, table, overwrite, adding=True), rows)


@cache
def _merging(
    dialect: str, table: Table, overwrite: tuple[str, ...], *, adding: bool = False
) -> "sqlite_dialect.Insert | postgresql.Insert":
    """An insert for rows that may exist; built once, since building takes longer than running."""
    server = dialect == "postgresql"
    statement = postgresql.insert(table) if server else sqlite_dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    new = statement.excluded
    change: dict[str, Any] = {name: new[name] for name in overwrite}
    if adding:
        summed = (c for c in table.c if not c.primary_key and c.name not in overwrite)
        change |= {c.name: c + new[c.name] for c in summed}
    return statement.on_conflict_do_update(index_elements=keys, set_=change)


def insert_all(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, which all have the same columns."""
    if len(rows) >= COPIED_MIN and _is_server(connection):
        postgres.copy_in(connection, table, rows)
    elif rows:
        connection.execute(_insert(table), rows)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


def where_in(
    table: Table, key: ColumnElement[Any], *conditions: ColumnElement[bool]
) -> Select[Any]:
    """For `rows_in`: the rows of a table whose `key` is one of some values.

    To be made once: building a query takes longer than running it.
    """
    return select(table).where(key.in_(bindparam("values", expanding=True)), *conditions)


def rows_in(connection: Connection, query: Select[Any], values: set[Any]) -> Iterable[Any]:
    """The rows of a query of `where_in`."""
    for part in chunks(sorted(values)):
        yield from connection.execute(query, {"values": part})


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts that fit into an IN list."""
    for start in range(0, len(values), IN_ITEMS_MAX):
        yield values[start : start + IN_ITEMS_MAX]
