"""What the ledger says of orders: who has accepted and paid them, what edges were told."""

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from central.database import chunks, rows_in
from central.desk import SETTLED
from central.tables import ledger, orders, tasks
from shared.clock import to_ms
from shared.envelope import decode_data, decode_event
from shared.errors import PointsmanError
from shared.events import Data, OrderAccepted, OrderCancelled, PickReport, PickRequested, type_of
from shared.topics import HUB


def acceptance(connection: Connection, order_id: str, edge_id: str | None = None) -> bytes | None:
    """The bytes of the first `order.accepted` of an order; or of an edge's."""
    query = select(ledger.c.raw).where(
        ledger.c.correlation_id == order_id, ledger.c.type == type_of(OrderAccepted)
    )
    if edge_id is not None:
        query = query.where(ledger.c.edge_id == edge_id)
    return connection.scalar(query.order_by(ledger.c.position).limit(1))


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
    settled = orders.c.state.in_(SETTLED)
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
