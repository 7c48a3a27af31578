"""What plans were made by, as the edge's file keeps it; read beside a running daemon.

Two connections that write or checkpoint at once can corrupt the file (see `edge.store`). Who
reads here can do neither: the file is opened for reading only, so SQLite refuses to write, and
a connection that may not write never checkpoints. All that it does to the daemon is to hold a
place in the WAL while it reads; so it reads at once all that it needs, and closes.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.database import Database
from edge.decisions import (
    Decided,
    Digests,
    Documents,
    Inputs,
    decode_inputs,
    digests_of,
    encode_inputs,
)
from edge.records import Order
from shared.envelope import Event, decode_event
from shared.errors import StorageError, UnknownOrderError
from shared.events import OrderAccepted, OrderParked, RoutePlanned, type_of

_DECIDING: Final = [type_of(kind) for kind in (OrderAccepted, OrderParked, RoutePlanned)]
_NO_FILE: Final = "the data_dir of an edge that has run"


class Archive(Database):
    """The part of the store that keeps what plans were made by."""

    def __init__(self, path: Path, vfs: str = "") -> None:
        """See `Database`."""
        super().__init__(path, vfs)
        self._bases: dict[Digests, int] = {}

    def _keep(self, decided: Iterable[Decided]) -> None:
        """Write in the open transaction."""
        self._many(
            "insert into decisions values (?, ?, ?)",
            [(x.position, self._basis(x), encode_inputs(x.inputs)) for x in decided],
        )

    def _basis(self, decided: Decided) -> int:
        """The number of the documents that a decision rests on; they are kept when it is new."""
        digests = decided.inputs.documents
        known = self._bases.get(digests)
        if known is not None:
            return known
        self.begin()
        self._execute(
            "insert or ignore into decision_bases (network, sourcing, prices) values (?, ?, ?)",
            *digests,
        )
        for digest, document in zip(digests, decided.documents, strict=True):
            if document and not self._has(digest):
                self._execute("insert into decision_documents values (?, ?)", digest, document)
        row = self._row(
            "select basis from decision_bases where network = ? and sourcing = ? and prices = ?",
            *digests,
        )
        number: int = row[0]
        self._bases[digests] = number
        return number

    def _has(self, digest: bytes) -> bool:
        row = self._row("select 1 from decision_documents where digest = ?", digest)
        return row is not None

    def _forget(self, before: int, rows_max: int) -> int:
        """Forget decisions before a position, at most so many, and documents that none rests on.

        Returns:
            The position up to which all is gone.
        """
        first: int | None = self._row("select min(position) from decisions")[0]
        if first is None or first >= before:
            return before - 1
        end = min(before, first + rows_max)
        self.begin()
        self._execute("delete from decisions where position < ?", end)
        self._execute(
            "delete from decision_bases where not exists "
            "(select 1 from decisions where decisions.basis = decision_bases.basis)"
        )
        self._execute(
            "delete from decision_documents where digest not in (select network from "
            "decision_bases union select sourcing from decision_bases union select prices "
            "from decision_bases)"
        )
        self._bases.clear()
        return end - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What an edge's file has of an order and its plans.

    Attributes:
        order: as it stands.
        entries: log entries that say what was decided, with their positions, oldest first.
        inputs: what they were decided by, as far as it is kept: position to inputs.
        documents: network, sourcing and prices of each basis, by their digests.
    """

    order: Order
    entries: list[tuple[int, Event]]
    inputs: dict[int, Inputs]
    documents: dict[Digests, Documents]


def read_decisions(path: Path, order_id: str) -> Kept:
    """Everything about an order's plans, read at one moment.

    Args:
        path: the edge's file; a daemon may be running on it.
        order_id: an order of this edge.

    Raises:
        StorageError: there is no such file, it is not (yet) one that keeps decisions, or it was
            changed.
        UnknownOrderError: the edge has no such order.
    """
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            connection.execute("begin")
            rows = _read(connection, order_id)
    except sqlite3.Error as error:
        missing = "no such table" in str(error)
        expected = "an edge.db that this version's daemon has been started on once"
        raise StorageError(
            f"{path}: {error}", place=str(path), expected=expected if missing else _NO_FILE
        ) from error
    if rows is None:
        raise UnknownOrderError(
            f"this edge keeps no order {order_id!r}",
            place=str(path),
            expected="the order_id of an order.accepted of this very edge; another edge's "
            "orders are in its own data_dir",
        )
    body, entries, decisions, bodies = rows
    inputs = {position: _inputs(path, position, blob) for position, blob in decisions}
    bases = {x.documents for x in inputs.values()}
    return Kept(
        order=msgspec.json.decode(body, type=Order),
        entries=[(position, decode_event(event)) for position, event in entries],
        inputs=inputs,
        documents={digests: _documents(path, digests, bodies) for digests in bases},
    )


def _inputs(path: Path, position: int, blob: bytes) -> Inputs:
    try:
        return decode_inputs(blob)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"what the plan at position {position} was made by cannot be read: {error}",
            place=str(path),
            expected="a file that nobody has changed, of this version or an earlier one",
        ) from error


def _documents(path: Path, digests: Digests, bodies: dict[bytes, bytes]) -> Documents:
    network, sourcing, prices = (bodies.get(digest, b"") for digest in digests)
    if digests_of((network, sourcing, prices)) != digests:
        raise StorageError(
            "a document that plans were made by is missing, or is another one",
            place=str(path),
            expected="a file that nobody has changed",
        )
    return network, sourcing, prices


_Rows = tuple[str, list[tuple[int, bytes]], list[tuple[int, bytes]], dict[bytes, bytes]]


def _read(connection: sqlite3.Connection, order_id: str) -> _Rows | None:
    def rows(sql: str, *values: object) -> list[Any]:
        return connection.execute(sql, values).fetchall()

    # First, so that a file without decisions is told as such, and not as one without orders.
    decisions = rows(
        "select decisions.position, inputs from decisions join log using (position) "
        "where order_id = ? order by decisions.position",
        order_id,
    )
    order = rows("select body from orders where order_id = ?", order_id)
    if not order:
        return None
    entries = rows(
        "select position, event from log where order_id = ? and type in (?, ?, ?) "
        "order by position",
        order_id, *_DECIDING,
    )  # fmt: skip
    bodies = rows(
        "select digest, body from decision_documents where digest in (select network from "
        "decision_bases join decisions using (basis) join log using (position) where order_id = "
        "?1 union select sourcing from decision_bases join decisions using (basis) join log "
        "using (position) where order_id = ?1 union select prices from decision_bases join "
        "decisions using (basis) join log using (position) where order_id = ?1)",
        order_id,
    )
    return order[0][0], entries, decisions, dict(bodies)
