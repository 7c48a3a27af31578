"""Stock in SQL: accounts, shares with their demand, what was recalled, what is on its way."""

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import asdict
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    tuple_,
)

from central.accounts import Balance, Book, Cell
from central.database import accumulate, insert_all, rows_in, upsert, where_in
from central.demand import Count
from central.tables import accounts, lots, recalls, shares
from shared.lots import Lot, Scope
from shared.parts import CellUnits

_ACCOUNTS: Final = where_in(accounts, tuple_(accounts.c.node_id, accounts.c.sku))
_SHARES: Final = where_in(shares, tuple_(shares.c.node_id, shares.c.sku))

_LOTS: Final = where_in(lots, tuple_(lots.c.node_id, lots.c.lot_id))
_LOTS_OF_SKU: Final = where_in(lots, tuple_(lots.c.node_id, lots.c.sku))
_DROP_LOT: Final = delete(lots).where(
    *(key == bindparam(f"of_{key.name}") for key in lots.primary_key)
)


def load_cells(connection: Connection, book: Book, cells: set[Cell]) -> None:
    """Load the accounts of those of these cells that the book, which may have moved, lacks."""
    found = list(rows_in(connection, _ACCOUNTS, cells - book.balances.keys()))
    for row in found:
        _put_balance(book, row)
    for row in rows_in(connection, _SHARES, {(x.node_id, x.sku) for x in found}):
        _put_share(book, row)


def load_whole_book(connection: Connection, book: Book) -> Book:
    """Load all accounts."""
    for row in connection.execute(select(accounts)):
        _put_balance(book, row)
    for row in connection.execute(select(shares)):
        _put_share(book, row)
    return book


def load_debts(connection: Connection) -> set[Cell]:
    """Cells whose pool is below zero."""
    # Spelled out, not bound: else SQLite does not see that the partial index will do.
    below = accounts.c.pool < literal_column("0")
    query = select(accounts.c.node_id, accounts.c.sku).where(below)
    return {(row.node_id, row.sku) for row in connection.execute(query)}


def _put_balance(book: Book, row: Any) -> None:
    book.balances[row.node_id, row.sku] = Balance(
        row.pool, row.committed, row.shipped, row.received, row.adjusted
    )


def _put_share(book: Book, row: Any) -> None:
    cell = (row.node_id, row.sku)
    book.shares.setdefault(cell, {})[row.edge_id] = row.units
    if row.coming:
        book.coming.setdefault(cell, {})[row.edge_id] = row.coming
    if row.demand:
        book.demand.counts[row.edge_id, cell] = Count(row.demand, row.demand_ms)


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
    rows = []
    for edge_id, cell in sorted({*book.share_moves, *book.coming_moves, *book.demand.changed}):
        place = (edge_id, cell)
        demand = book.demand.counts.get(place, Count(0.0, 0))
        rows.append(
            {
                "node_id": cell[0],
                "sku": cell[1],
                "edge_id": edge_id,
                "units": book.share_moves.get(place, 0),
                "coming": book.coming_moves.get(place, 0),
                "demand": demand.units,
                "demand_ms": demand.at_ms,
            }
        )
    accumulate(connection, shares, rows, overwrite=("demand", "demand_ms"))


def save_recall(
    connection: Connection, edge_id: str, number: int, cells: Iterable[CellUnits]
) -> None:
    """Keep what an item of an edge's feed has recalled, until the edge has answered it."""
    units: dict[Cell, int] = {}
    for x in cells:
        units[x.node_id, x.sku] = units.get((x.node_id, x.sku), 0) + x.quantity
    insert_all(
        connection,
        recalls,
        [
            {"edge_id": edge_id, "number": number, "node_id": node_id, "sku": sku, "units": asked}
            for (node_id, sku), asked in units.items()
        ],
    )


def take_recall(connection: Connection, edge_id: str, number: int) -> list[tuple[Cell, int]]:
    """What an item has recalled, if it was not answered before; then it is."""
    mine = (recalls.c.edge_id == edge_id) & (recalls.c.number == number)
    found = [
        ((row.node_id, row.sku), row.units)
        for row in connection.execute(select(recalls).where(mine))
    ]
    if found:
        connection.execute(delete(recalls).where(mine))
    return found


def drop_recalls(connection: Connection, edge_id: str) -> None:
    """Forget all that an edge was asked to return."""
    connection.execute(delete(recalls).where(recalls.c.edge_id == edge_id))


def load_lots(connection: Connection, scope: Scope) -> list[Lot]:
    """The lots that an event may change."""
    of_lot = set() if scope.lot_id is None else {(scope.node_id, scope.lot_id)}
    of_sku = {(scope.node_id, sku) for sku in scope.skus}
    rows = [*rows_in(connection, _LOTS, of_lot), *rows_in(connection, _LOTS_OF_SKU, of_sku)]
    return [Lot(*row) for row in rows]


def load_open_lots(connection: Connection, after_ms: int) -> list[Lot]:
    """All lots that were or are expected after a moment, the earliest first."""
    query = select(lots).where(lots.c.expected_ms > after_ms)
    found = connection.execute(query.order_by(lots.c.expected_ms, *lots.primary_key))
    return [Lot(*row) for row in found]


def save_lots(connection: Connection, changed: Iterable[Lot]) -> None:
    """Write lots as they are now; those without units are forgotten."""
    changed = list(changed)
    upsert(connection, lots, [asdict(lot) for lot in changed if lot.units])
    gone = [
        {"of_node_id": lot.node_id, "of_lot_id": lot.lot_id, "of_sku": lot.sku}
        for lot in changed
        if not lot.units
    ]
    if gone:
        connection.execute(_DROP_LOT, gone)


def forget_events(connection: Connection) -> None:
    """Reset the accounts to what no event has moved: the shares, taken out of empty pools."""
    connection.execute(delete(accounts))
    none: ColumnElement[int] = literal_column("0")
    held = select(shares.c.node_id, shares.c.sku, -func.sum(shares.c.units), *[none] * 4)
    connection.execute(
        insert(accounts).from_select(
            [column.name for column in accounts.c], held.group_by(shares.c.node_id, shares.c.sku)
        )
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
