"""Hashes of the ledger and of the views that follow from it, to compare two databases.

A table's hash does not depend on the order of its rows, nor on how they are stored: each row is
hashed by itself, and the hashes are added up. What is left out, and why: numbers and times of
exceptions (when central noted it, not what happened); exceptions about what does not follow from
the ledger; the split of stock between pool and shares (central's own decisions).
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, Select, cast, func, or_, select

from central.database import Location, reading
from central.history import load_archives
from central.tables import (
    accounts,
    awaited,
    beliefs,
    devices,
    exceptions,
    heard,
    ledger,
    locks,
    orders,
    poison,
    shares,
    tasks,
    waiting,
)
from central.views import FROM_EVENTS


class Digest(NamedTuple):
    """Of one table: how many rows, and their hash."""

    rows: int
    hash: str


def digests(connection: Connection) -> dict[str, Digest]:
    """By table; the ledger with what was moved to archive files."""
    found = {name: _digest(connection.execute(query, execution_options=_STREAM))
             for name, query in _QUERIES.items()}  # fmt: skip
    for moved in load_archives(connection):
        found["ledger"] = _sum(found["ledger"], Digest(moved.entries, moved.digest))
    return found


def ledger_digest(connection: Connection, last: int) -> Digest:
    """Of the ledger through a position, as far as it is not moved yet."""
    return _digest(connection.execute(_QUERIES["ledger"].where(ledger.c.position <= last)))


def read_digests(location: Location) -> dict[str, Digest]:
    """The same of a central that may be running: the database is only read.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        return digests(connection)


def total(found: dict[str, Digest]) -> str:
    """One hash over all tables."""
    return hashlib.sha256(msgspec.json.encode(sorted(found.items()))).hexdigest()


def _digest(rows: Iterable[Any]) -> Digest:
    count = added = 0
    for row in rows:
        count += 1
        added += int.from_bytes(hashlib.sha256(_encode(tuple(row))).digest(), "big")
    return Digest(count, f"{added % _WIDTH:064x}")


def _sum(one: Digest, other: Digest) -> Digest:
    added = int(one.hash, 16) + int(other.hash, 16)
    return Digest(one.rows + other.rows, f"{added % _WIDTH:064x}")


def _stock() -> Select[Any]:
    held = (
        select(
            shares.c.node_id,
            shares.c.sku,
            cast(func.sum(shares.c.units), BigInteger).label("units"),
        )
        .group_by(shares.c.node_id, shares.c.sku)
        .subquery()
    )
    a = accounts.c
    same = (a.node_id == held.c.node_id) & (a.sku == held.c.sku)
    kept = (a.pool + func.coalesce(held.c.units, 0)).label("held")
    moved = (a.committed, a.shipped, a.received, a.adjusted)
    query = select(a.node_id, a.sku, kept, *moved).join_from(accounts, held, same, isouter=True)
    return query.where(or_(kept != 0, *(x != 0 for x in moved)))


_encode: Final = msgspec.msgpack.Encoder().encode
_WIDTH: Final = 1 << 256
_STREAM: Final = {"yield_per": 500}
_QUERIES: Final[dict[str, Select[Any]]] = {
    "ledger": select(*(ledger.c[x] for x in ("position", "edge_id", "epoch", "sequence", "hash"))),
    "orders": select(orders),
    "tasks": select(tasks),
    "waiting": select(waiting),
    "devices": select(devices),
    "stock": _stock(),
    "awaited": select(awaited),
    "locks": select(locks),
    "beliefs": select(beliefs),
    "heard": select(heard),
    "poison": select(poison),
    "exceptions": select(*(x for x in exceptions.c if x.name not in ("number", "noted_ms"))).where(
        FROM_EVENTS
    ),
}
