"""What followers remember: cursors, endpoints, deliveries.

A file of their own beside central's: that has one writer. Here the daemon and an operator's command
both write, so it keeps a rollback journal and no write-ahead log, which before SQLite 3.51.3 two
writers can corrupt. On PostgreSQL the same tables are in a schema of central's database.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    NullPool,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from central.database import Location, insert_all, upsert
from central.followers.tables import (
    SCHEMA_VERSION,
    cursors,
    deliveries,
    endpoints,
    followers_version,
    metadata,
)
from central.postgres import Server, patience
from shared.errors import ConfigError, StorageError

if TYPE_CHECKING:
    import psycopg

FOLDER: Final = "followers"
FILE_NAME: Final = "followers.db"
SCHEMA: Final = "followers"
REASON_CHARS_MAX: Final = 200
_ONE_DAEMON: Final = 0x706F696E74  # of PostgreSQL's advisory locks: any number of our own
_BUSY_MS: Final = 5_000


class Delivery(NamedTuple):
    """An event that is to be delivered to an endpoint, or is dead for it."""

    endpoint: str
    position: int
    kind: str
    order_id: str | None
    attempts: int
    due_ms: int
    dead_ms: int | None
    reason: str


class Endpoint(NamedTuple):
    """How an endpoint stands.

    Attributes:
        endpoint: its name.
        delivered: how many events it has taken.
        disabled_ms: when it said that it wants nothing more; None if it has not.
        paused_ms: it asked not to be spoken to before then.
        position: through which its events have rows.
        open: rows that are to be delivered.
        dead: rows that are not any more.
    """

    endpoint: str
    delivered: int
    disabled_ms: int | None
    paused_ms: int
    position: int
    open: int
    dead: int


def open_store(location: Location, *, daemon: bool = False) -> "Store":
    """The followers' database, made on first use.

    Args:
        location: a file, or a PostgreSQL database.
        daemon: whether to be the one process that follows; others list and replay.

    Raises:
        ConfigError: it cannot be opened, or is of another version, or another daemon follows.
    """
    try:
        connection = (
            _file(location) if isinstance(location, Path) else _server(location, alone=daemon)
        )
    except (OSError, SQLAlchemyError) as error:
        raise _unusable(error) from None
    store = Store(connection)
    try:
        _prepare(connection)
    except SQLAlchemyError as error:
        store.close()
        raise _unusable(error) from None
    except ConfigError:
        store.close()
        raise
    return store


def _unusable(error: Exception) -> ConfigError:
    return ConfigError(
        f"the followers' database cannot be opened: {error}",
        place="data_dir",
        expected="a folder that this user may write to",
    )


def _prepare(connection: Connection) -> None:
    with connection.begin():
        metadata.create_all(connection)
        found = connection.scalar(select(followers_version.c.version))
        if found is None:
            connection.execute(insert(followers_version).values(version=SCHEMA_VERSION))
        elif found != SCHEMA_VERSION:
            raise ConfigError(
                f"the followers' database has version {found}",
                place="data_dir",
                expected=f"version {SCHEMA_VERSION}; run the program version that made it",
            )


def _file(path: Path) -> Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    uri = f"{path.resolve().as_uri()}?mode=rwc"
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine.connect()


def _server(server: Server, *, alone: bool) -> Connection:
    # A schema of their own: central looks at its own to see whether the database is new.
    url = server.dialled()
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=patience(url) | {"options": f"-c search_path={SCHEMA}"},
    )
    if alone:
        # With the connection goes the lock: who connects again must get it again.
        event.listen(engine, "connect", _be_alone)
    connection = engine.connect()
    with connection.begin():
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
    return connection


def _be_alone(connection: "psycopg.Connection[Any]", _: object) -> None:
    import psycopg

    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_DAEMON]).fetchone()
    connection.commit()
    if not (row and row[0]):
        raise psycopg.OperationalError("another `central follow` works on this database")


_earlier = deliveries.alias("earlier")
_HEADS: Final = (
    # Later events of an order wait until the earlier ones are delivered or dead.
    ~select(text("1"))
    .where(
        _earlier.c.endpoint == deliveries.c.endpoint,
        _earlier.c.order_id == deliveries.c.order_id,
        _earlier.c.position < deliveries.c.position,
        _earlier.c.dead_ms.is_(None),
    )
    .exists()
)


class Store:
    """The open database.

    Every method is a transaction of its own and raises StorageError if it could not be done; then
    nothing of it is kept.
    """

    def __init__(self, connection: Connection) -> None:
        """Made by `open_store`."""
        self._connection = connection

    def close(self) -> None:
        """Close it; the daemon's lock is let go."""
        self._connection.close()
        self._connection.engine.dispose()

    def cursor(self, follower: str) -> int | None:
        """Through which position a follower has come; None: it is new."""
        with self._transaction() as connection:
            query = select(cursors.c.position).where(cursors.c.follower == follower)
            found: int | None = connection.scalar(query)
            return found

    def advance(self, follower: str, position: int) -> None:
        """Keep how far a follower has come."""
        with self._transaction() as connection:
            upsert(connection, cursors, [{"follower": follower, "position": position}])

    def join(self, endpoint: str, position: int) -> None:
        """Keep a new endpoint: what follows `position` is for it."""
        with self._transaction() as connection:
            row = {"endpoint": endpoint, "delivered": 0, "disabled_ms": None, "paused_ms": 0}
            upsert(connection, endpoints, [row])
            upsert(connection, cursors, [{"follower": endpoint, "position": position}])

    def plan(self, endpoint: str, through: int, found: Iterable[Delivery]) -> None:
        """Write what is to be delivered of the ledger through a position."""
        with self._transaction() as connection:
            insert_all(connection, deliveries, [delivery._asdict() for delivery in found])
            upsert(connection, cursors, [{"follower": endpoint, "position": through}])

    def due(self, endpoint: str, now_ms: int, rows_max: int) -> list[Delivery]:
        """What may be delivered now, one of each order, the earliest events first."""
        with self._transaction() as connection:
            query = select(deliveries).where(
                deliveries.c.endpoint == endpoint,
                deliveries.c.dead_ms.is_(None),
                deliveries.c.due_ms <= now_ms,
                _HEADS,
            )
            query = query.order_by(deliveries.c.position).limit(rows_max)
            return [Delivery(*row) for row in connection.execute(query)]

    def settle(self, endpoint: str, delivered: list[int], failed: list[Delivery]) -> None:
        """Write what came of attempts: positions that were delivered, rows as they are now."""
        with self._transaction() as connection:
            for position in delivered:
                connection.execute(delete(deliveries).where(*_at(endpoint, position)))
            for row in failed:
                connection.execute(
                    update(deliveries)
                    .where(*_at(endpoint, row.position))
                    .values(
                        attempts=row.attempts,
                        due_ms=row.due_ms,
                        dead_ms=row.dead_ms,
                        reason=row.reason[:REASON_CHARS_MAX],
                    )
                )
            if delivered:
                total = endpoints.c.delivered + len(delivered)
                self._set(connection, endpoint, delivered=total)

    def pause(self, endpoint: str, until_ms: int) -> None:
        """Speak to an endpoint no more before then."""
        with self._transaction() as connection:
            self._set(connection, endpoint, paused_ms=until_ms)

    def disable(self, endpoint: str, now_ms: int) -> None:
        """Speak to an endpoint no more; what is open stays."""
        with self._transaction() as connection:
            self._set(connection, endpoint, disabled_ms=now_ms)

    def enable(self, endpoint: str) -> bool:
        """Speak to it again, and at once; whether there is such an endpoint."""
        with self._transaction() as connection:
            return self._set(connection, endpoint, disabled_ms=None, paused_ms=0) > 0

    def overview(self) -> list[Endpoint]:
        """All endpoints that there ever were, by name."""
        rows = deliveries.c.endpoint == endpoints.c.endpoint
        counts = [
            select(func.count()).select_from(deliveries).where(rows, state).scalar_subquery()
            for state in (deliveries.c.dead_ms.is_(None), deliveries.c.dead_ms.is_not(None))
        ]
        query = select(
            endpoints.c.endpoint,
            endpoints.c.delivered,
            endpoints.c.disabled_ms,
            endpoints.c.paused_ms,
            cursors.c.position,
            *counts,
        ).join(cursors, cursors.c.follower == endpoints.c.endpoint)
        with self._transaction() as connection:
            return [
                Endpoint(*row) for row in connection.execute(query.order_by(endpoints.c.endpoint))
            ]

    def state(self, endpoint: str) -> tuple[int | None, int, int]:
        """Since when an endpoint is disabled, until when it is paused, how many rows are open."""
        with self._transaction() as connection:
            rows = (deliveries.c.endpoint == endpoint) & deliveries.c.dead_ms.is_(None)
            count = select(func.count()).select_from(deliveries).where(rows).scalar_subquery()
            query = select(endpoints.c.disabled_ms, endpoints.c.paused_ms, count)
            found = connection.execute(query.where(endpoints.c.endpoint == endpoint)).one()
            return found[0], found[1], found[2]

    def dead(self, endpoint: str | None, rows_max: int) -> list[Delivery]:
        """Events that are dead, the earliest first."""
        with self._transaction() as connection:
            query = select(deliveries).where(*_dead(endpoint, ()))
            query = query.order_by(deliveries.c.endpoint, deliveries.c.position).limit(rows_max)
            return [Delivery(*row) for row in connection.execute(query)]

    def replay(
        self, endpoint: str | None, positions: Iterable[int], now_ms: int, archived: int = 0
    ) -> tuple[int, int]:
        """Try dead events again from the first attempt on.

        Args:
            endpoint: only its; None: all endpoints'.
            positions: only these; none: all.
            now_ms: the time.
            archived: what the ledger has through this position is in archive files, and stays dead.

        Returns:
            How many are tried again, and how many cannot be.
        """
        wanted, there = _dead(endpoint, positions), deliveries.c.position > archived
        with self._transaction() as connection:
            change = update(deliveries).where(*wanted, there)
            tried = connection.execute(
                change.values(attempts=0, due_ms=now_ms, dead_ms=None)
            ).rowcount
            count = select(func.count()).select_from(deliveries).where(*wanted, ~there)
            return tried, connection.execute(count).scalar_one()

    def needed(self) -> dict[str, int]:
        """Follower to the first position that it has still to read, or to deliver."""
        with self._transaction() as connection:
            found = {x.follower: x.position + 1 for x in connection.execute(select(cursors))}
            unsent = select(deliveries.c.endpoint, func.min(deliveries.c.position)).where(
                deliveries.c.dead_ms.is_(None)
            )
            for name, position in connection.execute(unsent.group_by(deliveries.c.endpoint)):
                found[name] = min(position, found.get(name, position))
            return found

    @staticmethod
    def _set(connection: Connection, endpoint: str, **values: Any) -> int:
        change = update(endpoints).where(endpoints.c.endpoint == endpoint)
        return connection.execute(change.values(**values)).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._connection.begin():
                yield self._connection
        except SQLAlchemyError as error:
            raise StorageError(
                f"the followers' database failed: {error}",
                place="followers",
                expected="a working disk",
            ) from error


def _at(endpoint: str, position: int) -> tuple[ColumnElement[bool], ...]:
    return deliveries.c.endpoint == endpoint, deliveries.c.position == position


def _dead(endpoint: str | None, positions: Iterable[int]) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [deliveries.c.dead_ms.is_not(None)]
    if endpoint is not None:
        wanted.append(deliveries.c.endpoint == endpoint)
    if chosen := list(positions):
        wanted.append(deliveries.c.position.in_(chosen))
    return wanted
