"""The ledger: every event of every edge, in the bytes that the edge has sent, chained.

The hash of an entry covers the one before in the same stream and its own bytes; the columns
beside are read from those bytes, and are held against them when the ledger is verified.
"""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from central.database import chunks, close_database, insert_all, open_reader, rows_in
from central.stream import Entry, Stream, genesis, link
from central.tables import epochs, ledger, orders, streams, tasks
from shared.clock import to_ms
from shared.envelope import Event, decode_data, decode_event
from shared.errors import PointsmanError
from shared.events import Data, OrderAccepted, OrderCancelled, PickReport, PickRequested, type_of


class Verdict(NamedTuple):
    """What `verify` found. `position` is the first broken one; None: the ledger is whole.

    A row that is missing has no position: then it is that of the row where the gap shows, or
    one after the last row if the end of a stream is missing.
    """

    entries: int
    position: int | None = None
    edge_id: str = ""
    epoch: int = 0
    sequence: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        if self.position is None:
            return f"{self.entries} entries, every chain is whole"
        where = f"{self.edge_id}, epoch {self.epoch}, sequence {self.sequence}"
        return f"broken at position {self.position} ({where}): {self.reason}"


def append(connection: Connection, entries: list[Entry]) -> None:
    """Write entries to the ledger. `central.stream` has put them in order and chained them."""
    insert_all(
        connection,
        ledger,
        [
            {
                "edge_id": entry.edge_id,
                "epoch": entry.epoch,
                "sequence": entry.sequence,
                "raw": entry.raw,
                "hash": entry.hash,
            }
            | _columns(entry.event)
            for entry in entries
        ],
    )


def _columns(event: Event | None) -> dict[str, Any]:
    return {
        "event_id": None if event is None else event.id,
        "source": None if event is None else event.source,
        "type": None if event is None else event.type,
        "correlation_id": None if event is None else event.correlationid,
        "causation_id": None if event is None else event.causationid,
        "hlc": None if event is None else event.hlc,
    }


def save_ends(connection: Connection, ended: Iterable[Stream]) -> None:
    """Keep where epochs have ended, so that a missing end of theirs is found."""
    insert_all(
        connection,
        epochs,
        [
            {"edge_id": x.edge_id, "epoch": x.epoch, "sequence": x.sequence, "head": x.head}
            for x in ended
        ],
    )


def end_of(connection: Connection, edge_id: str, epoch: int) -> int:
    """Where an epoch that is over has ended; 0 if the ledger has nothing of it."""
    query = select(epochs.c.sequence).where(epochs.c.edge_id == edge_id, epochs.c.epoch == epoch)
    return connection.scalar(query) or 0


def differing(
    connection: Connection, edge_id: str, repeats: list[tuple[int, int, bytes]]
) -> list[tuple[int, int]]:
    """Positions (epoch, sequence) where an edge now says something else than it said before."""
    said = {(epoch, sequence): raw for epoch, sequence, raw in repeats}
    found = []
    for epoch in sorted({epoch for epoch, _ in said}):
        places = [sequence for of, sequence in said if of == epoch]
        query = select(ledger.c.sequence, ledger.c.raw).where(
            ledger.c.edge_id == edge_id,
            ledger.c.epoch == epoch,
            ledger.c.sequence.between(min(places), max(places)),
        )
        for sequence, raw in connection.execute(query):
            if said.get((epoch, sequence), raw) != raw:
                found.append((epoch, sequence))
    return found


def acceptance(connection: Connection, order_id: str, edge_id: str) -> bytes | None:
    """The bytes of an edge's `order.accepted` for an order."""
    query = (
        select(ledger.c.raw)
        .where(
            ledger.c.correlation_id == order_id,
            ledger.c.edge_id == edge_id,
            ledger.c.type == type_of(OrderAccepted),
        )
        .order_by(ledger.c.position)
        .limit(1)
    )
    return connection.scalar(query)


class Buyer(NamedTuple):
    """Who has paid an order, and when; `customer` is None for one without a token."""

    customer: str | None
    paid_ms: int


_ACCEPTANCES: Final = (
    select(ledger.c.raw)
    .where(
        ledger.c.correlation_id.in_(bindparam("values", expanding=True)),
        ledger.c.type == type_of(OrderAccepted),
    )
    .order_by(ledger.c.position)
)


def buyers(connection: Connection, order_ids: set[str]) -> dict[str, Buyer]:
    """Who has paid these orders, as far as the ledger knows; the first acceptance counts."""
    found: dict[str, Buyer] = {}
    for row in rows_in(connection, _ACCEPTANCES, order_ids):
        data = _data_of(row.raw)
        if isinstance(data, OrderAccepted):
            payment = data.payment
            found.setdefault(data.order_id, Buyer(payment.customer.token, to_ms(payment.paid_at)))
    return found


def past_of(
    connection: Connection, edge_id: str, nodes: set[str], settled_max: int
) -> Iterator[bytes]:
    """What an edge that has lost its store needs of the ledger, in the ledger's order.

    That is all about the orders that it has accepted and that are not settled, and about the
    newest others; and the tasks at its `nodes`, likewise, with what was said of them. The newest
    by the ledger's own count: no clock is to be trusted with what may be forgotten.

    Args:
        connection: inside a transaction.
        edge_id: the edge.
        nodes: whose home it is.
        settled_max: how many of the newest orders, and of the newest tasks, settled or not.
    """
    mine = (ledger.c.edge_id == edge_id) & (ledger.c.type == type_of(OrderAccepted))
    newest = select(ledger.c.correlation_id).where(mine)
    newest = newest.order_by(ledger.c.position.desc()).limit(settled_max)
    settled = orders.c.state.in_(("shipped", "delivered", "cancelled"))
    accepted = select(ledger.c.correlation_id).where(mine)
    unsettled = select(orders.c.order_id).where(orders.c.order_id.in_(accepted), ~settled)
    wanted = set(connection.scalars(newest)) | set(connection.scalars(unsettled))
    over = tasks.c.state.in_(("shipped", "delivered", "rejected", "withdrawn"))
    asked: dict[str, str] = {}
    rest = settled_max
    query = select(tasks.c.task_id, tasks.c.order_id, tasks.c.node_id, over.label("over"))
    for row in connection.execute(query.order_by(tasks.c.changed_ms.desc())):
        if row.node_id in nodes and row.order_id is not None and (rest > 0 or not row.over):
            asked[row.task_id] = row.order_id
            rest -= bool(row.over)
    found: list[tuple[int, bytes]] = []
    for part in chunks(sorted({*wanted, *asked.values()})):
        events = select(ledger.c.position, ledger.c.raw, ledger.c.correlation_id).where(
            ledger.c.correlation_id.in_(part)
        )
        for position, raw, order_id in connection.execute(events):
            if order_id in wanted or _concerns(raw, asked.keys()):
                found.append((position, raw))
    for _, raw in sorted(found):
        yield raw


def _concerns(raw: bytes, task_ids: Container[str]) -> bool:
    """Whether an event requests, reports on or asks to drop one of these tasks."""
    match data := _data_of(raw):
        case PickRequested() | PickReport():
            return data.task_id in task_ids
        case OrderCancelled(asked=asked):
            return any(task.task_id in task_ids for task in asked)
        case _:
            return False


def _data_of(raw: bytes) -> Data | None:
    """The data of an event; None: it cannot be read."""
    try:
        return decode_data(decode_event(raw))
    except PointsmanError:
        return None


def verify(connection: Connection) -> Verdict:
    """Walk all chains in the order of positions; find the first entry that is not as written."""
    heads: dict[tuple[str, int], tuple[int, bytes]] = {}
    entries = position = 0
    rows = connection.execution_options(yield_per=1_000).execute(
        select(ledger).order_by(ledger.c.position)
    )
    for row in rows.mappings():
        entries, position = entries + 1, row["position"]
        stream = (row["edge_id"], row["epoch"])
        sequence, head = heads.get(stream) or (0, genesis(*stream))
        reason = ""
        if row["sequence"] != sequence + 1:
            reason = f"expected sequence {sequence + 1} of this stream: a row is missing or moved"
        elif link(head, row["raw"]) != row["hash"]:
            reason = "the hash does not follow from the entry before and the bytes"
        elif any(row[name] != value for name, value in _columns(_read(row["raw"])).items()):
            reason = "a column differs from the bytes"
        if reason:
            rows.close()
            return Verdict(entries, position, *stream, row["sequence"], reason)
        heads[stream] = (row["sequence"], row["hash"])
    for table in (epochs, streams):
        ends = select(table.c.edge_id, table.c.epoch, table.c.sequence, table.c.head).order_by(
            table.c.edge_id, table.c.epoch
        )
        for edge_id, epoch, end, acked_head in connection.execute(ends):
            sequence, head = heads.get((edge_id, epoch)) or (0, genesis(edge_id, epoch))
            if epoch and (sequence, head) != (end, acked_head):
                reason = f"the stream ends at {sequence}, and was acknowledged through {end}"
                return Verdict(entries, position + 1, edge_id, epoch, sequence + 1, reason)
    return Verdict(entries)


def verify_file(data_dir: Path) -> Verdict:
    """Verify the ledger of a central that may be running: the file is only read.

    Raises:
        ConfigError: there is no database.
    """
    connection = open_reader(data_dir)
    try:
        with connection.begin():
            return verify(connection)
    finally:
        close_database(connection)


def _read(raw: bytes) -> Event | None:
    try:
        event = decode_event(raw)
        event.number()
    except PointsmanError:
        return None
    return event
