"""The views over the ledger in SQL: orders, tasks, waiting lines, stock accounts, exceptions."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, tuple_

from central.accounts import Balance, Book, Cell
from central.database import accumulate, chunks, insert_all, upsert
from central.desk import Desk, Misfit, Order, Task, Waiting
from central.stream import Entry
from central.tables import accounts, exceptions, orders, poison, shares, tasks, waiting


def load_desk(
    connection: Connection, order_ids: set[str], task_ids: set[str], skus: set[str]
) -> Desk:
    """These orders and tasks, what belongs to them, and all lines that wait for these SKUs."""
    desk = Desk()
    for row in _rows(connection, tasks, tasks.c.task_id, task_ids):
        desk.put_task(Task(**row))
    # A report need not name its order, but its task may.
    wanted = order_ids | set(desk.tasks_of)
    for row in _rows(connection, tasks, tasks.c.order_id, wanted):
        desk.put_task(Task(**row))
    for row in _rows(connection, orders, orders.c.order_id, wanted):
        row["cancelled"] = bool(row["cancelled"])
        desk.orders[row["order_id"]] = Order(**row)
    for row in _rows(connection, waiting, waiting.c.order_id, wanted):
        desk.put_waiting(Waiting(**row))
    for row in _rows(connection, waiting, waiting.c.sku, skus):
        # Lines of other orders: only the policy looks at them.
        if (row["order_id"], row["line"]) not in desk.waiting:
            desk.waiting[row["order_id"], row["line"]] = Waiting(**row)
    return desk


def save_desk(connection: Connection, desk: Desk) -> None:
    """Write what has changed."""
    upsert(connection, orders, [_order_row(desk.orders[x]) for x in sorted(desk.changed_orders)])
    upsert(connection, tasks, [asdict(desk.tasks[x]) for x in sorted(desk.changed_tasks)])
    keys = sorted(desk.changed_waiting)
    upsert(connection, waiting, [asdict(desk.waiting[x]) for x in keys if x in desk.waiting])
    for part in chunks([key for key in keys if key not in desk.waiting]):
        connection.execute(
            delete(waiting).where(tuple_(waiting.c.order_id, waiting.c.line).in_(part))
        )


def _order_row(order: Order) -> dict[str, Any]:
    return asdict(order) | {"cancelled": int(order.cancelled)}


def load_book(connection: Connection, cells: set[Cell], skus: set[str]) -> Book:
    """The accounts of these cells, and of all cells of these SKUs whose pool has units."""
    book = Book()
    key = tuple_(accounts.c.node_id, accounts.c.sku)
    for row in _rows(connection, accounts, key, cells):
        _put_balance(book, row)
    for row in _rows(connection, accounts, accounts.c.sku, skus, accounts.c.pool > 0):
        _put_balance(book, row)
    key = tuple_(shares.c.node_id, shares.c.sku)
    for row in _rows(connection, shares, key, set(book.balances)):
        _put_share(book, row)
    return book


def load_whole_book(connection: Connection) -> Book:
    """All accounts."""
    book = Book()
    for row in connection.execute(select(accounts)).mappings():
        _put_balance(book, row)
    for row in connection.execute(select(shares)).mappings():
        _put_share(book, row)
    return book


def load_all_waiting(connection: Connection) -> Desk:
    """All lines that wait; no orders or tasks."""
    desk = Desk()
    for row in connection.execute(select(waiting)).mappings():
        desk.waiting[row["order_id"], row["line"]] = Waiting(**row)
    return desk


def _put_balance(book: Book, row: Any) -> None:
    book.balances[row["node_id"], row["sku"]] = Balance(
        row["pool"], row["committed"], row["shipped"], row["received"], row["adjusted"]
    )


def _put_share(book: Book, row: Any) -> None:
    book.shares.setdefault((row["node_id"], row["sku"]), {})[row["edge_id"]] = row["units"]


def save_book(connection: Connection, book: Book) -> None:
    """Add the moves of a burst to the accounts."""
    accumulate(
        connection,
        accounts,
        [
            {"node_id": cell[0], "sku": cell[1]} | asdict(move)
            for cell, move in sorted(book.moves.items(), key=lambda item: item[0])
        ],
    )
    accumulate(
        connection,
        shares,
        [
            {"node_id": cell[0], "sku": cell[1], "edge_id": edge_id, "units": units}
            for (edge_id, cell), units in sorted(book.share_moves.items())
        ],
    )


def broken_cells(connection: Connection) -> list[Cell]:
    """Cells whose accounts do not add up: pool, shares, committed, shipped, received, adjusted."""
    held = (
        select(shares.c.node_id, shares.c.sku, func.sum(shares.c.units).label("units"))
        .group_by(shares.c.node_id, shares.c.sku)
        .subquery()
    )
    a = accounts.c
    query = (
        select(a.node_id, a.sku)
        .join_from(
            accounts, held, (a.node_id == held.c.node_id) & (a.sku == held.c.sku), isouter=True
        )
        .where(
            a.pool + func.coalesce(held.c.units, 0) + a.committed + a.shipped
            != a.received - a.adjusted
        )
        .order_by(a.node_id, a.sku)
    )
    return [(row.node_id, row.sku) for row in connection.execute(query)]


def save_poison(connection: Connection, entries: Iterable[Entry]) -> None:
    """Name the entries that have no effect, and why."""
    insert_all(
        connection,
        poison,
        [
            {
                "edge_id": entry.edge_id,
                "epoch": entry.epoch,
                "sequence": entry.sequence,
                "raw": entry.raw,
                "code": entry.fault.code,
                "detail": str(entry.fault),
            }
            for entry in entries
            if entry.fault is not None
        ],
    )


def save_exceptions(
    connection: Connection, misfits: Iterable[tuple[Entry | None, Misfit]], now_ms: int
) -> None:
    """Note what someone has to see, with the entry that it came from, if any."""
    insert_all(
        connection,
        exceptions,
        [
            {
                "edge_id": None if entry is None else entry.edge_id,
                "epoch": None if entry is None else entry.epoch,
                "sequence": None if entry is None else entry.sequence,
                "order_id": misfit.order_id,
                "code": misfit.code,
                "detail": misfit.detail,
                "noted_ms": now_ms,
            }
            for entry, misfit in misfits
        ],
    )


def _rows(
    connection: Connection,
    table: Table,
    key: ColumnElement[Any],
    values: set[Any],
    *conditions: ColumnElement[bool],
) -> Iterable[dict[str, Any]]:
    for part in chunks(sorted(values)):
        query = select(table).where(key.in_(part), *conditions)
        for row in connection.execute(query).mappings():
            yield dict(row)
