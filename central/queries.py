"""What the API asks the database: pages of the views, and the ledger by order and by position.

Every page is a keyset page: it begins after a key and has at most so many rows, so it costs the
same wherever it begins. Only reads; each caller brings a connection in a transaction.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_

from central.database import rows_in, where_in
from central.devices import DeviceState, State
from central.tables import (
    accounts,
    devices,
    exceptions,
    ledger,
    lots,
    orders,
    shares,
    streams,
    tasks,
    waiting,
)
from shared.parts import SLOT_PREFIX
from shared.tasks import UNSHIPPED
from shared.topics import HUB

Rows = Sequence[Row[Any]]

_EXCEPTIONS_OF_ORDER: Final = (
    select(func.count())
    .select_from(exceptions)
    .where(exceptions.c.order_id == orders.c.order_id)
    .scalar_subquery()
    .label("exceptions")
)
_ORDERS: Final = select(orders, _EXCEPTIONS_OF_ORDER)
_ENTRIES: Final = select(
    *(ledger.c[x] for x in ("position", "edge_id", "epoch", "sequence", "event_id", "source")),
    *(ledger.c[x] for x in ("type", "correlation_id", "causation_id", "hlc", "raw", "hash")),
)
_SHARES: Final = where_in(shares, tuple_(shares.c.node_id, shares.c.sku))
_DEVICES: Final = where_in(devices, tuple_(devices.c.edge_id, devices.c.device))
_NO_GOODS: Final = accounts.c.sku.startswith(SLOT_PREFIX, autoescape=True)


def page_of_orders(
    connection: Connection,
    *,
    state: str | None = None,
    store_id: str | None = None,
    edge_id: str | None = None,
    promised_before_ms: int | None = None,
    promised_after_ms: int | None = None,
    changed_since_ms: int | None = None,
    has_exceptions: bool | None = None,
    before: str | None = None,
    rows_max: int,
) -> Rows:
    """Orders by descending id, which is the newest first; `before`: only ids below it."""
    o = orders.c
    query = _narrowed(_ORDERS, (o.state, state), (o.store_id, store_id), (o.edge_id, edge_id))
    if promised_before_ms is not None:
        query = query.where(o.promised_ms < promised_before_ms)
    if promised_after_ms is not None:
        query = query.where(o.promised_ms >= promised_after_ms)
    if changed_since_ms is not None:
        query = query.where(o.changed_ms >= changed_since_ms)
    if has_exceptions is not None:
        some = select(exceptions.c.number).where(exceptions.c.order_id == o.order_id).exists()
        query = query.where(some if has_exceptions else ~some)
    if before is not None:
        query = query.where(o.order_id < before)
    return connection.execute(query.order_by(o.order_id.desc()).limit(rows_max)).all()


def order(connection: Connection, order_id: str) -> Row[Any] | None:
    """One order, with the number of its exceptions."""
    return connection.execute(_ORDERS.where(orders.c.order_id == order_id)).first()


def waiting_of(connection: Connection, order_id: str, rows_max: int) -> Rows:
    """The lines of an order that wait."""
    query = select(waiting).where(waiting.c.order_id == order_id)
    return connection.execute(query.order_by(waiting.c.line).limit(rows_max)).all()


def page_of_tasks(
    connection: Connection,
    *,
    state: str | None = None,
    node_id: str | None = None,
    order_id: str | None = None,
    late_at_ms: int | None = None,
    before: str | None = None,
    rows_max: int,
) -> Rows:
    """Tasks by descending id, which is the newest order first.

    `late_at_ms`: only those that are promised by then and have not left their node.
    """
    t = tasks.c
    query = _narrowed(select(tasks), (t.state, state), (t.node_id, node_id), (t.order_id, order_id))
    if late_at_ms is not None:
        query = query.where(t.promised_ms < late_at_ms, t.state.in_(UNSHIPPED))
    if before is not None:
        query = query.where(t.task_id < before)
    return connection.execute(query.order_by(t.task_id.desc()).limit(rows_max)).all()


def page_of_exceptions(
    connection: Connection,
    *,
    code: str | None = None,
    order_id: str | None = None,
    edge_id: str | None = None,
    noted_since_ms: int | None = None,
    before: int | None = None,
    rows_max: int,
) -> Rows:
    """Exceptions, the newest first."""
    x = exceptions.c
    query = _narrowed(
        select(exceptions), (x.code, code), (x.order_id, order_id), (x.edge_id, edge_id)
    )
    if noted_since_ms is not None:
        query = query.where(x.noted_ms >= noted_since_ms)
    if before is not None:
        query = query.where(x.number < before)
    return connection.execute(query.order_by(x.number.desc()).limit(rows_max)).all()


def page_of_streams(connection: Connection, *, after: str | None, rows_max: int) -> Rows:
    """Where the edges' streams stand, by edge; central's own is none of them."""
    query = select(streams).where(streams.c.edge_id != HUB)
    if after is not None:
        query = query.where(streams.c.edge_id > after)
    return connection.execute(query.order_by(streams.c.edge_id).limit(rows_max)).all()


def page_of_accounts(
    connection: Connection,
    *,
    node_id: str | None = None,
    sku: str | None = None,
    after: tuple[str, str] | None = None,
    rows_max: int,
) -> Rows:
    """Accounts of goods, by node and SKU; slots of pick capacity are left out."""
    a = accounts.c
    query = _narrowed(select(accounts).where(~_NO_GOODS), (a.node_id, node_id), (a.sku, sku))
    if after is not None:
        query = query.where(tuple_(a.node_id, a.sku) > tuple_(*after))
    return connection.execute(query.order_by(a.node_id, a.sku).limit(rows_max)).all()


def account(connection: Connection, node_id: str, sku: str) -> Row[Any] | None:
    """The account of one cell."""
    of_cell = (accounts.c.node_id == node_id) & (accounts.c.sku == sku)
    return connection.execute(select(accounts).where(of_cell)).first()


def shares_of(connection: Connection, cells: set[tuple[str, str]]) -> list[Any]:
    """What each edge may promise of these cells."""
    return sorted(rows_in(connection, _SHARES, cells), key=lambda x: (x.node_id, x.sku, x.edge_id))


def lots_of(connection: Connection, node_id: str, sku: str, rows_max: int) -> Rows:
    """What is on its way to a cell, the earliest first."""
    of_cell = (lots.c.node_id == node_id) & (lots.c.sku == sku)
    query = select(lots).where(of_cell).order_by(lots.c.expected_ms, lots.c.lot_id)
    return connection.execute(query.limit(rows_max)).all()


def page_of_devices(
    connection: Connection,
    *,
    edge_id: str | None = None,
    node_id: str | None = None,
    status: State | None = None,
    after: tuple[str, str] | None = None,
    rows_max: int,
) -> list[list[DeviceState]]:
    """Devices by edge and name, each with its rows, the faults last; see `central.devices`.

    `status` is the device's own, or "fault": it has one.
    """
    d, same = devices.c, devices.alias()
    query = _narrowed(select(d.edge_id, d.device).distinct(), (d.edge_id, edge_id))
    if node_id is not None:
        query = query.where((d.device == node_id) | (d.node_id == node_id))
    if status is not None:
        of_one = (same.c.edge_id == d.edge_id) & (same.c.device == d.device)
        query = query.where(select(same.c.device).where(of_one, same.c.status == status).exists())
    if after is not None:
        query = query.where(tuple_(d.edge_id, d.device) > tuple_(*after))
    keys = connection.execute(query.order_by(d.edge_id, d.device).limit(rows_max)).all()
    found: dict[tuple[str, str], list[DeviceState]] = {(x.edge_id, x.device): [] for x in keys}
    for row in rows_in(connection, _DEVICES, set(found)):
        found[row.edge_id, row.device].append(DeviceState(*row))
    return [sorted(rows, key=lambda x: (x.fault != "", x.part, x.fault)) for rows in found.values()]


def entries_of(connection: Connection, order_id: str, *, after: int = 0, rows_max: int) -> Rows:
    """The ledger's entries about an order, by position."""
    query = _ENTRIES.where(ledger.c.correlation_id == order_id, ledger.c.position > after)
    return connection.execute(query.order_by(ledger.c.position).limit(rows_max)).all()


def entries_between(
    connection: Connection,
    after: int,
    through: int,
    *,
    type_: str | None = None,
    order_id: str | None = None,
) -> Rows:
    """The ledger's entries after a position and through another."""
    query = _narrowed(_ENTRIES, (ledger.c.type, type_), (ledger.c.correlation_id, order_id))
    query = query.where(ledger.c.position > after, ledger.c.position <= through)
    return connection.execute(query.order_by(ledger.c.position)).all()


def _narrowed(query: Select[Any], *wanted: tuple[ColumnElement[Any], str | None]) -> Select[Any]:
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    return query
