"""The ledger from a position on, for those who follow it.

On SQLite one connection writes, so positions become visible in their order. On PostgreSQL
several ingest workers commit at once: position 8 may be there while 7 is still in a transaction,
and a reader that went on from 8 would never see 7. So no position is passed that may still come.
Whoever may still bring one holds a ROW EXCLUSIVE lock on the ledger: PostgreSQL takes it before the
INSERT draws the position, and lets it go with the transaction. A position that is missing while
later ones are there is waited for until all who held that lock then have ended; then it is there,
or its transaction was rolled back and it never comes. This needs nothing of the ingest but that
each INSERT draws its own positions (no CACHE on the sequence).
"""

from contextlib import closing
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text

from central.database import Database, transaction
from central.tables import ledger

ROWS_MAX: Final = 256
BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one page."""

_AFTER: Final = (
    select(*(ledger.c[x] for x in ("position", "edge_id", "type", "correlation_id", "raw")))
    .where(ledger.c.position > bindparam("after"))
    .order_by(ledger.c.position)
    .limit(ROWS_MAX)
)
_AT: Final = select(ledger.c.source, ledger.c.event_id, ledger.c.raw).where(
    ledger.c.position == bindparam("position")
)
_END: Final = select(func.coalesce(func.max(ledger.c.position), 0))
_WRITERS: Final = text(
    "SELECT virtualtransaction FROM pg_locks WHERE relation = CAST('ledger' AS regclass)"
    " AND mode = 'RowExclusiveLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Row(NamedTuple):
    """An entry of the ledger."""

    position: int
    edge_id: str
    type: str | None
    order_id: str | None
    raw: bytes


class Entry(NamedTuple):
    """What of an entry is sent: who said it under which id, and the bytes."""

    source: str
    event_id: str
    raw: bytes


class Tail:
    """Reads on; each follower has its own.

    Args:
        connection: one that reads; others may use it in between.
    """

    def __init__(self, connection: Database) -> None:
        """See the class."""
        self._connection: Connection = connection
        self._in_order = connection.dialect.name == "sqlite"
        self._sure = 0
        """What is missing up to here will never come."""
        self._doubt: tuple[int, set[str]] | None = None
        """What is missing up to there may be brought by these transactions."""

    def read(self, after: int) -> list[Row]:
        """Entries that follow a position, in order: at most a page.

        Raises:
            StorageError: the database cannot be read; so with the others.
        """
        if self._doubt is not None:
            self._settle()
        rows: list[Row] = []
        size = 0
        with (
            transaction(self._connection),
            closing(self._connection.execute(_AFTER, {"after": after})) as page,
        ):
            for found in page:
                row = Row(*found)
                size += len(row.raw)
                if rows and size > BYTES_MAX:
                    break
                rows.append(row)
        return rows if self._in_order else self._before_doubt(after, rows)

    def end(self) -> int:
        """The last position that there is."""
        with transaction(self._connection):
            return int(self._connection.scalar(_END) or 0)

    def at(self, position: int) -> Entry | None:
        """The entry at a position; None: it is not there any more, or is no event."""
        with transaction(self._connection):
            found = self._connection.execute(_AT, {"position": position}).first()
        return None if found is None or found.event_id is None else Entry(*found)

    def _before_doubt(self, after: int, rows: list[Row]) -> list[Row]:
        last = after
        for index, row in enumerate(rows):
            if row.position > last + 1 and row.position - 1 > self._sure:
                if self._doubt is None:
                    # Asked after the rows were read: who ended before, has not brought it.
                    self._doubt = (rows[-1].position, self._writers())
                return rows[:index]
            last = row.position
        return rows

    def _settle(self) -> None:
        assert self._doubt is not None
        upto, writers = self._doubt
        # A read that follows sees all that those have committed who have ended by now.
        writers &= self._writers()
        if writers:
            self._doubt = (upto, writers)
        else:
            self._sure, self._doubt = max(self._sure, upto), None

    def _writers(self) -> set[str]:
        with transaction(self._connection):
            return set(self._connection.scalars(_WRITERS))
