"""Several workers on one PostgreSQL database: whose turn it is to write, who serves which edge.

All of it is advisory locks, which fall with the connection that holds them. A transaction that
writes takes the turn first and keeps it to its end, so workers write one after the other: positions
of the ledger become visible in order, and no two workers hand out the same units. An edge's lock
only divides the work. Should two workers take an edge for theirs for a moment, after a connection
was lost, each reads in its turn where the stream stands, and the second finds nothing new.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, Protocol

from sqlalchemy import Connection, text

EVERY_MS: Final = 1_000
"""How often the edges are divided anew; an edge of a dead worker waits about so long."""

_MARK: Final = "pointsman worker"
_NONE: Final = -1  # no number that a turn comes after
_TAKE_TURN: Final = text("SELECT pg_advisory_xact_lock(:key), nextval('turns') AS turn")
_TRY: Final = text(
    "SELECT key, pg_try_advisory_lock(key) AS taken FROM unnest(CAST(:keys AS bigint[])) AS key"
)
_GIVE_BACK: Final = text(
    "SELECT pg_advisory_unlock(key) FROM unnest(CAST(:keys AS bigint[])) AS key"
)
_OF_DATABASE: Final = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_HELD: Final = text(
    f"SELECT (classid::bigint << 32) | objid::bigint {_OF_DATABASE} AND objsubid = 1"
)
_LIVING: Final = text(
    f"SELECT count(DISTINCT pid) {_OF_DATABASE} AND objsubid = 1 "
    "AND (classid::bigint << 32) | objid::bigint = :key"
)
_SERVE: Final = text("SELECT pg_advisory_lock_shared(:key)")
_LEAVE: Final = text("SELECT pg_advisory_unlock_shared(:key)")


class Ownership(Protocol):
    """What a central may do of what is to be done."""

    @property
    def leads(self) -> bool:
        """Whether operators and systems are this one's."""

    @property
    def crowded(self) -> bool:
        """Whether others write to the database, as far as it is known."""

    def owns(self, edge_id: str) -> bool:
        """Whether an edge is this one's."""

    def due(self, elapsed_ms: int) -> bool:
        """Whether to divide the edges now."""

    def begin(self, connection: Connection) -> bool:
        """A transaction that writes begins; whether another has written since the last of ours."""

    def claim(self, connection: Connection, edge_id: str) -> bool:
        """Take an edge that was unknown so far; False: another has it. Inside a transaction."""

    def divide(self, connection: Connection, edge_ids: Iterable[str]) -> list[str]:
        """Look how many share all these edges; returns those taken. Inside a transaction."""

    def resign(self, connection: Connection) -> None:
        """Give everything back: nobody is heard any more. Inside a transaction."""


class Sole:
    """A central that has the database for itself."""

    leads = True
    crowded = False

    def owns(self, edge_id: str) -> bool:
        """All edges are."""
        return True

    def due(self, elapsed_ms: int) -> bool:
        """Never."""
        return False

    def begin(self, connection: Connection) -> bool:
        """Nobody has."""
        return False

    def claim(self, connection: Connection, edge_id: str) -> bool:
        """Nobody else could."""
        return True

    def divide(self, connection: Connection, edge_ids: Iterable[str]) -> list[str]:
        """There is nothing to divide."""
        return []

    def resign(self, connection: Connection) -> None:
        """There is nobody to take it."""


class Worker:
    """One of several centrals; see `Ownership`. What it holds, it holds by its connection."""

    def __init__(self) -> None:
        """It holds nothing yet."""
        self.leads = False
        self.crowded = False
        self._mine: set[str] = set()
        self._turn = _NONE
        self._serving = False
        self._divided_ms: int | None = None

    def owns(self, edge_id: str) -> bool:
        """Whether its lock is held."""
        return edge_id in self._mine

    def due(self, elapsed_ms: int) -> bool:
        """Once in a while, and at the start."""
        if self._divided_ms is not None and elapsed_ms - self._divided_ms < EVERY_MS:
            return False
        self._divided_ms = elapsed_ms
        return True

    def begin(self, connection: Connection) -> bool:
        """Wait for the turn; it ends with the transaction."""
        self._attend(connection)
        before = self._turn
        self._turn = connection.execute(_TAKE_TURN, {"key": _TURN}).one().turn
        return self._turn != before + 1

    def claim(self, connection: Connection, edge_id: str) -> bool:
        """Whoever hears it first has it, until the edges are divided again."""
        self._attend(connection)
        if not self._try(connection, [_key(edge_id)]):
            return False
        self._mine.add(edge_id)
        return True

    def divide(self, connection: Connection, edge_ids: Iterable[str]) -> list[str]:
        """Take of what nobody has, and give back, until this worker has its part."""
        self._attend(connection)
        if not self._serving:
            connection.execute(_SERVE, {"key": _SERVING})
            self._serving = True
        self.leads = self.leads or bool(self._try(connection, [_LEADER]))
        workers = connection.execute(_LIVING, {"key": _SERVING}).scalar_one()
        self.crowded = workers > 1
        keys = {_key(edge_id): edge_id for edge_id in edge_ids}
        part = -(-len(keys) // workers)
        kept = sorted(self._mine & set(keys.values()))[:part]
        given = [_key(edge_id) for edge_id in sorted(self._mine - set(kept))]
        if given:
            connection.execute(_GIVE_BACK, {"keys": given})
        self._mine = set(kept)
        if len(kept) == part:
            return []
        held = set(connection.scalars(_HELD))
        free = sorted(keys.keys() - held)[: part - len(kept)]
        taken = [keys[key] for key in self._try(connection, free)]
        self._mine |= set(taken)
        return taken

    def resign(self, connection: Connection) -> None:
        """Edges and lead; a worker without a broker would keep them from those that have one."""
        self._attend(connection)
        held = [_key(edge_id) for edge_id in sorted(self._mine)] + [_LEADER] * self.leads
        if held:
            connection.execute(_GIVE_BACK, {"keys": held})
        if self._serving:
            connection.execute(_LEAVE, {"key": _SERVING})
        self._mine, self.leads, self._serving, self._divided_ms = set(), False, False, None

    def _attend(self, connection: Connection) -> None:
        """With another connection all locks are gone, and what the last turn has done is unsure."""
        if _MARK not in connection.info:
            connection.info[_MARK] = True
            self._mine, self.leads, self._turn, self._serving = set(), False, _NONE, False

    def _try(self, connection: Connection, keys: list[int]) -> list[int]:
        return [row.key for row in connection.execute(_TRY, {"keys": keys}) if row.taken]


def _key(edge_id: str) -> int:
    return _number(f"edge {edge_id}")


def _number(name: str) -> int:
    """An advisory lock's number: of 64 bits, so that no two names meet in practice."""
    digest = hashlib.sha256(f"pointsman {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


_TURN: Final = _number("turn")
_LEADER: Final = _number("leader")
_SERVING: Final = _number("serving")
"""Shared by all workers that hear a broker: among these the edges are divided."""
