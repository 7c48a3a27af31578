"""How the database is opened, what a transaction is, and writing many rows at once."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Insert,
    NullPool,
    Select,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from central.tables import ADDED, SCHEMA_VERSION, WIDENED, metadata, schema_version
from shared.errors import ConfigError, StorageError

FILE_NAME: Final = "central.db"
IN_ITEMS_MAX: Final = 500
"""Values in one IN list."""

Database: TypeAlias = Connection
"""The open database, for those who pass it on and speak no SQL."""


def open_database(data_dir: Path, *, vfs: str = "") -> Connection:
    """The one connection to central's SQLite file, made or upgraded on first use.

    Everything runs over this connection: SQLite before 3.51.3 can corrupt its log when two
    connections of a file write or checkpoint at once.

    Args:
        data_dir: the directory; made if it does not exist.
        vfs: name of an SQLite VFS to open the file with, for the simulator; empty: SQLite's own.

    Raises:
        ConfigError: the directory cannot be used, or the file is of another version.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        connection = _connect(data_dir / FILE_NAME, "synchronous=FULL", vfs=vfs)
        with connection.begin():
            known = inspect(connection).get_table_names()
            found = (
                connection.scalar(select(schema_version.c.version))
                if schema_version.name in known
                else None
            )
            if found is None and not known:
                metadata.create_all(connection, checkfirst=False)
                connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
                found = SCHEMA_VERSION
            while found is not None and found + 1 in ADDED:
                found += 1
                metadata.create_all(connection, ADDED[found])
                _widen(connection, WIDENED.get(found, ()))
                connection.execute(update(schema_version).values(version=found))
    except (OSError, SQLAlchemyError) as error:
        raise ConfigError(
            f"the database cannot be opened: {error}",
            place="data_dir",
            expected="a directory that this user may write to",
        ) from None
    if found != SCHEMA_VERSION:
        close_database(connection)
        raise ConfigError(
            f"{data_dir / FILE_NAME} has schema version {found}",
            place="data_dir",
            expected=f"version {SCHEMA_VERSION}; run the program version that made it",
        )
    return connection


def _widen(connection: Connection, new: Iterable[Column[Any] | Index]) -> None:
    for part in new:
        if isinstance(part, Index):
            part.create(connection, checkfirst=True)
            continue
        table, kind = part.table.name, part.type.compile(connection.dialect)
        if part.name not in {x["name"] for x in inspect(connection).get_columns(table)}:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {part.name} {kind}")


def open_reader(data_dir: Path) -> Connection:
    """A connection that only reads, and never checkpoints: for reports and `verify`.

    Raises:
        ConfigError: there is no database, or it is of another version.
    """
    require_database(data_dir)
    connection = _connect(data_dir / FILE_NAME, "query_only=ON", mode="ro")
    with connection.begin():
        found = connection.scalar(select(schema_version.c.version))
    if found != SCHEMA_VERSION:
        close_database(connection)
        raise ConfigError(
            f"{data_dir / FILE_NAME} has schema version {found}",
            place="data_dir",
            expected=f"version {SCHEMA_VERSION}; a start of central makes it so",
        )
    return connection


def require_database(data_dir: Path) -> None:
    """See that there is a database.

    Raises:
        ConfigError: there is none.
    """
    path = data_dir / FILE_NAME
    if not path.is_file():
        raise ConfigError(f"there is no {path}", place="data_dir", expected="central's data_dir")


def close_database(connection: Connection) -> None:
    """Close a connection of this module, and what belongs to it."""
    connection.close()
    connection.engine.dispose()


def wipe_log(connection: Connection) -> bool:
    """Move everything from the write-ahead log into the file, and empty the log.

    What was overwritten in the file may be read there until then.

    Returns:
        Whether it is done; not while somebody reads. To be tried again later.
    """
    file = connection.connection.driver_connection
    assert isinstance(file, sqlite3.Connection)
    try:
        (before,) = file.execute("PRAGMA busy_timeout").fetchone()
        file.execute("PRAGMA busy_timeout=0")  # the edges do not wait for a reader
        try:
            busy, _, _ = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            file.execute(f"PRAGMA busy_timeout={before}")
    except sqlite3.Error:
        return False
    return not busy


def compact(connection: Connection) -> None:
    """Write the whole file anew, without what was deleted; it needs as much room again.

    Raises:
        StorageError: the database could not do it; it is as it was.
    """
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


def _connect(path: Path, pragma: str, mode: str = "rwc", vfs: str = "") -> Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}" + (f"&vfs={vfs}" if vfs else "")
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
        if mode != "ro":
            connection.execute("PRAGMA journal_mode=WAL")
            # No page keeps a copy of a key that was moved or overwritten in it (central.vault).
            connection.execute("PRAGMA secure_delete=FAST")
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=2000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if mode == "ro" else "BEGIN IMMEDIATE")

    return engine.connect()


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
            f"{type(error).__name__}: {error}", place="database", expected="a working disk"
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
) -> "sqlite.Insert | postgresql.Insert":
    """An insert for rows that may exist; built once, since building takes longer than running."""
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    new = statement.excluded
    change: dict[str, Any] = {name: new[name] for name in overwrite}
    if adding:
        summed = (c for c in table.c if not c.primary_key and c.name not in overwrite)
        change |= {c.name: c + new[c.name] for c in summed}
    return statement.on_conflict_do_update(index_elements=keys, set_=change)


def insert_all(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows."""
    if rows:
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
