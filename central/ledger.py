"""The ledger: every event of every edge, in the bytes that the edge has sent, chained.

The hash of an entry covers the one before in the same stream and its own bytes; the columns
beside are read from those bytes, and are held against them when the ledger is verified.
"""

from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select

from central.chains import BrokenError, Verdict, Walk
from central.checkpoint import Head, Signatures, Signed, Signer
from central.database import (
    Location,
    chunks,
    close_database,
    count_on,
    insert_all,
    open_reader,
    rows_in,
)
from central.stream import Entry, Stream, again
from central.tables import checkpoints, epochs, ledger, orders, streams, tasks
from shared.clock import to_ms
from shared.envelope import Event, decode_data, decode_event
from shared.errors import PointsmanError
from shared.events import Data, OrderAccepted, OrderCancelled, PickReport, PickRequested, type_of
from shared.topics import HUB

_FROM_BYTES: Final = ("event_id", "source", "type", "correlation_id", "causation_id", "hlc")
_UNREAD: Final = (None,) * len(_FROM_BYTES)
_PLACES: Final = [ledger.c[x] for x in ("position", "edge_id", "epoch", "sequence", "hash")]
_HEADS: Final = select(*_PLACES).where(ledger.c.position > bindparam("after"))
_ROWS: Final = select(
    *_PLACES, ledger.c.raw, ledger.c.received_ms, *(ledger.c[x] for x in _FROM_BYTES)
)
_CHECKPOINTS: Final = select(checkpoints).order_by(checkpoints.c.number)
_LAST_CHECKPOINT: Final = select(checkpoints).order_by(checkpoints.c.number.desc()).limit(1)


def append(connection: Connection, entries: Iterable[Entry], received_ms: int) -> None:
    """Write entries to the ledger. `central.stream` has put them in order and chained them."""
    insert_all(connection, ledger, [_row(entry, received_ms) for entry in entries])


def restore(connection: Connection, entries: Iterable[tuple[int, Entry, int | None]]) -> None:
    """Write entries to the ledger at the positions, and of the times, that they had in another."""
    rows = [{"position": at} | _row(entry, received_ms) for at, entry, received_ms in entries]
    insert_all(connection, ledger, rows)
    count_on(connection, ledger.c.position)


def _row(entry: Entry, received_ms: int | None) -> dict[str, Any]:
    return {
        "edge_id": entry.edge_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
        "raw": entry.raw,
        "hash": entry.hash,
        "received_ms": received_ms,
        **dict(zip(_FROM_BYTES, _columns(entry.event), strict=True)),
    }


def _columns(event: Event | None) -> tuple[str | None, ...]:
    if event is None:
        return _UNREAD
    return (
        event.id, event.source, event.type, event.correlationid, event.causationid, event.hlc,
    )  # fmt: skip


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
            ledger.c.correlation_id.in_(part), ledger.c.edge_id != HUB
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


def verify(connection: Connection, trusted: Iterable[Ed25519PublicKey] = ()) -> Verdict:
    """Walk all chains in the order of positions; find the first place that is not as written.

    Args:
        connection: inside a transaction.
        trusted: see `central.checkpoint.Signatures`.
    """
    walk = Walk(Signatures(trusted))
    try:
        _walk(connection, walk)
    except BrokenError as error:
        return error.verdict
    return walk.verdict()


def _walk(connection: Connection, walk: Walk) -> None:
    with closing(history(connection)) as rows:
        for row in rows:
            if isinstance(row, Signed):
                walk.checkpoint(row)
                continue
            position, edge_id, epoch, sequence, digest, raw = row[:6]
            walk.take(position, edge_id, epoch, sequence, raw, digest)
            if not _fit(row[7:], raw):
                reason = "a column differs from the bytes"
                raise walk.broken(position, edge_id, epoch, sequence, reason)
    walk.end(load_ends(connection))


def history(connection: Connection) -> Generator[Any]:
    """The rows of `rows_of` with the checkpoints among them, each where it was made.

    To be closed: a server keeps a cursor for it.
    """
    with closing(load_checkpoints(connection)) as signed, closing(rows_of(connection)) as rows:
        due = next(signed, None)
        for row in rows:
            while due is not None and due.position < row.position:
                yield due
                due = next(signed, None)
            yield row
        if due is not None:
            yield due
        yield from signed


def verify_file(location: Location, trusted: Iterable[Ed25519PublicKey] = ()) -> Verdict:
    """Verify the ledger of a central that may be running: the database is only read.

    Raises:
        ConfigError: there is no database.
    """
    connection = open_reader(location)
    try:
        with connection.begin():
            return verify(connection, trusted)
    finally:
        close_database(connection)


def rows_of(connection: Connection) -> Generator[Any]:
    """All rows, in the order of positions; to be closed.

    Their columns are position, edge id, epoch, sequence, hash, bytes, when central took
    it in, and what is read from the bytes.
    """
    with connection.execute(
        _ROWS.order_by(ledger.c.position), execution_options={"yield_per": 500}
    ) as rows:
        for part in rows.partitions():
            yield from part


def load_ends(connection: Connection) -> list[tuple[str, int, int, bytes]]:
    """Where every stream was acknowledged: edge id, epoch, sequence, hash."""
    found = []
    for table in (epochs, streams):
        place = (table.c.edge_id, table.c.epoch)
        query = select(*place, table.c.sequence, table.c.head).order_by(*place)
        found += [(*row,) for row in connection.execute(query)]
    return found


def load_checkpoints(connection: Connection) -> Generator[Signed]:
    """All, in order; to be closed."""
    with connection.execute(_CHECKPOINTS, execution_options={"yield_per": 100}) as rows:
        for row in rows:
            yield Signed(*row)


def last_position(connection: Connection) -> int:
    """Of the newest entry; 0 if there is none."""
    return connection.scalar(select(func.max(ledger.c.position))) or 0


def entry_at(connection: Connection, edge_id: str, epoch: int, sequence: int) -> Entry:
    """The entry at a place where there is one, read again."""
    at = (ledger.c.edge_id == edge_id) & (ledger.c.epoch == epoch) & (ledger.c.sequence == sequence)
    raw, digest = connection.execute(select(ledger.c.raw, ledger.c.hash).where(at)).one()
    return again(edge_id, epoch, sequence, raw, digest)


def uncovered(connection: Connection) -> int:
    """About how many entries no checkpoint covers yet."""
    end = select(func.coalesce(func.max(ledger.c.position), 0)).scalar_subquery()
    covered = select(func.coalesce(func.max(checkpoints.c.position), 0)).scalar_subquery()
    return int(connection.execute(select(end - covered)).scalar_one())


def checkpoint(connection: Connection, signer: Signer, entries_max: int, now_ms: int) -> Signed:
    """Make and keep the next checkpoint; it covers at most so many entries, and at least one."""
    row = connection.execute(_LAST_CHECKPOINT).first()
    last = None if row is None else Signed(*row)
    covered = 0 if last is None else last.position
    rows = connection.execute(
        _HEADS.order_by(ledger.c.position).limit(entries_max), {"after": covered}
    ).all()
    assert rows, "nothing to sign"
    heads = {(x.edge_id, x.epoch): Head(x.edge_id, x.epoch, x.sequence, x.hash.hex()) for x in rows}
    signed = signer.sign(last, rows[-1].position, heads.values(), now_ms)
    keep_checkpoint(connection, signed)
    return signed


def keep_checkpoint(connection: Connection, signed: Signed) -> None:
    """Write a checkpoint."""
    insert_all(connection, checkpoints, [signed._asdict()])


class _Attributes(Struct, gc=False):
    """What the columns are read from, and nothing else: most of the time of a walk is reading."""

    id: str
    source: str
    type: str
    correlationid: str | None = None
    causationid: str | None = None
    hlc: str | None = None


_attributes: Final = msgspec.json.Decoder(_Attributes)


def _fit(columns: tuple[str | None, ...], raw: bytes) -> bool:
    """Whether columns are those of the bytes; all empty if these cannot be read as an event."""
    try:
        x = _attributes.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return columns == _columns(_read(raw))
    found = (x.id, x.source, x.type, x.correlationid, x.causationid, x.hlc)
    return columns == found or columns == _columns(_read(raw))


def _read(raw: bytes) -> Event | None:
    try:
        event = decode_event(raw)
        event.number()
    except PointsmanError:
        return None
    return event
