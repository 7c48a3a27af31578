"""Central's database on a PostgreSQL server, by psycopg 3.

Which central may write is decided by a session's advisory lock, taken with the connection: whoever
loses the connection loses the lock, and takes both again or neither.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    URL,
    Column,
    Connection,
    NullPool,
    Table,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from shared.errors import ConfigError, StorageError

if TYPE_CHECKING:
    import psycopg

SCHEME: Final = "postgresql"
WRITING: Final = (0x706F696E, 1)
"""Advisory lock of who writes, alone or with others who share it; the first number is ours, so that
other programs do not meet it."""

STILL_MS: Final = 60_000
"""A worker that stands still in a transaction for so long holds up the others no longer."""

LOCK_WAIT_MS: Final = 5_000
"""How long to wait for the lock: a server may take a moment to see that its holder is gone."""

_TIMES: Final = {
    # A server that has gone without a word is noticed within about twenty seconds.
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SESSION: Final = """
SELECT set_config('application_name', 'pointsman central', false),
       set_config('timezone', 'UTC', false),
       set_config('jit', 'off', false),
       set_config('lock_timeout', %s, false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
_NOTICED: Final = """
SELECT set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '3', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('tcp_user_timeout', '20000', false)
"""
"""So that the server notices as soon if the holder of a lock is gone."""

_FIT: Final = text(
    "SELECT current_setting('server_encoding') = 'UTF8' AS utf8, "
    "('B' < 'a' AND 'a-c' < 'aa' AND 'aa' < 'ä') AS bytewise, "
    "(current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on') AS durable"
)
_DEAD_KEYS: Final = (
    "SELECT current_setting('track_counts')::bool AND coalesce(sum(n_dead_tup), 0) = 0 "
    "FROM pg_stat_user_tables WHERE relid = 'vault_keys'::regclass"
)


@dataclass(frozen=True, repr=False)
class Server:
    """Where a PostgreSQL database is; as text it does not show a password.

    Attributes:
        address: `postgresql://user:password@host:port/database?sslmode=...`, as libpq reads it.
        password_file: a file with the password alone, instead of one in the address. Without
            either, libpq looks for one itself: PGPASSWORD, PGPASSFILE, ~/.pgpass.
    """

    address: str
    password_file: Path | None = None

    def __str__(self) -> str:
        """The address without its password."""
        return self.url().render_as_string(hide_password=True)

    __repr__ = __str__

    def url(self) -> URL:
        """The address in parts, as it was written.

        Raises:
            ConfigError: it is none of PostgreSQL's.
        """
        try:
            url = make_url(self.address)
        except ArgumentError:
            url = None
        if url is None or url.drivername != SCHEME:
            # What was written may have a password in it, so it is not shown.
            raise ConfigError(
                "this is no address of a PostgreSQL database",
                place="database",
                expected=f"{SCHEME}://user@host:5432/name; special characters percent-encoded",
            )
        return url

    def dialled(self) -> URL:
        """The address as SQLAlchemy connects to it, with the password of the file.

        Raises:
            ConfigError: it is no address, or the file cannot be read.
        """
        url = self.url().set(drivername="postgresql+psycopg")
        if self.password_file is None:
            return url
        try:
            return url.set(password=self.password_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the password file cannot be read: {error}",
                place="database_password_file",
                expected="a UTF-8 file with the password alone, readable by this user",
            ) from None


def connect(server: Server, *, reading: bool = False, shared: bool = False) -> Connection:
    """A connection; if it is lost, the next transaction over it makes another.

    Args:
        server: where.
        reading: each transaction sees one state and cannot write. Otherwise it has the lock of
            who writes, or is refused.
        shared: the lock is shared with others who ask so. Whoever has it first has it alone until
            `let_in`.
    """
    first = True
    url = server.dialled()
    engine = create_engine(
        url,
        connect_args=patience(url),
        poolclass=NullPool,
        hide_parameters=True,  # an error message must not carry contact details into a log
        isolation_level="REPEATABLE READ" if reading else "READ COMMITTED",
    )

    @event.listens_for(engine, "connect")
    def configure(connection: "psycopg.Connection[Any]", _: object) -> None:
        connection.read_only = reading
        connection.execute(_SESSION, [str(LOCK_WAIT_MS)])
        if not reading:
            nonlocal first
            connection.execute(_NOTICED)
            if shared:
                connection.execute(f"SET idle_in_transaction_session_timeout = {STILL_MS}")
            _take_lock(connection, shared=shared, first=first)
            first = False
        connection.execute("SET lock_timeout = 0")
        connection.commit()

    return engine.connect()


def patience(url: URL) -> dict[str, Any]:
    """How long to wait for a server, where the address does not say."""
    return {name: value for name, value in _TIMES.items() if name not in url.query}


def _take_lock(connection: "psycopg.Connection[Any]", *, shared: bool, first: bool) -> None:
    import psycopg

    try:
        if shared and first:
            connection.execute("SELECT pg_try_advisory_lock(%s, %s)", WRITING)
        mode = "_shared" if shared else ""
        connection.execute(f"SELECT pg_advisory_lock{mode}(%s, %s)", WRITING)
    except psycopg.errors.LockNotAvailable:
        raise psycopg.OperationalError("another central writes to this database") from None


def is_alone(connection: Connection) -> bool:
    """Whether nobody else may write now, nor begin to. Inside a transaction."""
    key = {"of": WRITING[0], "number": WRITING[1]}
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:of, :number)"), key))


def let_in(connection: Connection) -> None:
    """Let others in who share the lock. Inside a transaction."""
    key = {"of": WRITING[0], "number": WRITING[1]}
    connection.execute(text("SELECT pg_advisory_unlock(:of, :number)"), key)


def require_fit(connection: Connection, server: Server) -> None:
    """See that a database can hold what central promises. Inside a transaction.

    Raises:
        ConfigError: it cannot.
    """
    found = connection.execute(_FIT).one()
    if not (found.utf8 and found.bytewise):
        raise ConfigError(
            f"{server} does not compare text byte by byte, or is not in UTF-8",
            place="database",
            expected="CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'",
        )
    if not found.durable:
        raise ConfigError(
            f"the server of {server} forgets what it has confirmed if the power goes",
            place="database",
            expected="fsync = on and full_page_writes = on in postgresql.conf",
        )


def wipe_log(connection: Connection) -> bool:
    """See `central.database.wipe_log`: here, row versions that nobody can see are taken out.

    Their bytes may stay in free space of a page, and in the server's write-ahead log.
    """
    import psycopg

    try:
        with _unwrapped(connection) as server:
            server.execute("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON) vault_keys")
            row = server.execute(_DEAD_KEYS).fetchone()
    except (psycopg.Error, SQLAlchemyError):
        return False
    return bool(row is not None and row[0])


def compact(connection: Connection) -> None:
    """See `central.database.compact`."""
    import psycopg

    try:
        with _unwrapped(connection) as server:
            server.execute("VACUUM FULL")
    except (psycopg.Error, SQLAlchemyError) as error:
        raise StorageError(
            f"the database cannot be written anew: {error}",
            place="database",
            expected="as much free space as the database takes",
        ) from error


@contextlib.contextmanager
def _unwrapped(connection: Connection) -> Iterator["psycopg.Connection[Any]"]:
    """The driver's own connection, where each statement is a transaction."""
    server: Any = connection.connection.driver_connection
    server.autocommit = True
    try:
        yield server
    finally:
        if not server.closed:
            server.autocommit = False


def count_on(connection: Connection, column: Column[int]) -> None:
    """See `central.database.count_on`."""
    sequence = func.pg_get_serial_sequence(column.table.name, column.name)
    last = select(func.max(column)).scalar_subquery()
    connection.execute(select(func.setval(sequence, last)).where(last.is_not(None)))


def copy_in(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns: COPY takes half of what INSERT takes.

    Raises:
        StorageError: the server could not do it.
    """
    import psycopg

    names = list(rows[0])
    types = [table.c[x].type.compile(connection.dialect).partition("(")[0].lower() for x in names]
    server: Any = connection.connection.driver_connection
    statement = f"COPY {table.name} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
    try:
        with server.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(tuple(row.values()))
    except psycopg.Error as error:
        # The whole message would quote the row.
        told = error.diag.message_primary or error
        raise StorageError(
            f"{type(error).__name__}: {told}", place="database", expected="a server that answers"
        ) from error
