"""The views over the ledger in SQL: orders, tasks, waiting lines, poison, exceptions."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import asdict
from sqlalchemy import Connection, delete, literal_column, select, tuple_

from central.database import Location, chunks, insert_all, reading, rows_in, upsert, where_in
from central.desk import Desk, Misfit, Order, Task, Waiting
from central.stream import Entry
from central.tables import exceptions, orders, poison, replays, tasks, waiting
from shared.masking import masked

BESIDES: Final = ("epoch_over", "late_sale", "unknown_node", "unknown_status")
"""Exceptions at an event that do not follow from events alone: from fences, networks, settings."""

FROM_EVENTS: Final = exceptions.c.epoch.is_not(None) & exceptions.c.code.not_in(BESIDES)
"""Which exceptions do."""

_TASKS: Final = where_in(tasks, tasks.c.task_id)
_TASKS_OF_ORDER: Final = where_in(tasks, tasks.c.order_id)
_ORDERS: Final = where_in(orders, orders.c.order_id)
_WAITING_OF_ORDER: Final = where_in(waiting, waiting.c.order_id)
_STOCK_HELPS: Final = waiting.c.group >= literal_column("0")  # spelled out for the partial index
_LACKING_SKU: Final = where_in(waiting, waiting.c.sku, _STOCK_HELPS)


def load_desk(connection: Connection, order_ids: set[str], task_ids: set[str]) -> Desk:
    """These orders and tasks, and what belongs to them."""
    desk = Desk()
    for row in rows_in(connection, _TASKS, task_ids):
        desk.put_task(Task(*row))
    # A report need not name its order, but its task may.
    wanted = order_ids | set(desk.tasks_of)
    for row in rows_in(connection, _TASKS_OF_ORDER, wanted):
        desk.put_task(Task(*row))
    for row in rows_in(connection, _ORDERS, wanted):
        desk.orders[row.order_id] = Order(*row)
    for row in rows_in(connection, _WAITING_OF_ORDER, wanted):
        desk.put_waiting(Waiting(*row))
    return desk


def save_desk(connection: Connection, desk: Desk) -> None:
    """Write what has changed."""
    upsert(connection, orders, [asdict(desk.orders[x]) for x in sorted(desk.changed_orders)])
    upsert(connection, tasks, [asdict(desk.tasks[x]) for x in sorted(desk.changed_tasks)])
    keys = sorted(desk.changed_waiting)
    upsert(connection, waiting, [asdict(desk.waiting[x]) for x in keys if x in desk.waiting])
    for part in chunks([key for key in keys if key not in desk.waiting]):
        connection.execute(
            delete(waiting).where(tuple_(waiting.c.order_id, waiting.c.line).in_(part))
        )


def load_lacking(connection: Connection, skus: set[str]) -> list[Waiting]:
    """Lines that wait for units of these SKUs, or of what their groups lack besides, and so on.

    So it is whole groups, and whoever else waits for the same units is among them: else a
    younger order would be served before an older one that was not looked at.
    """
    found: dict[tuple[str, int], Waiting] = {}
    groups: set[tuple[str, int]] = set()
    seen: set[str] = set()
    while new := skus - seen:
        seen |= new
        more = {(row.order_id, row.group) for row in rows_in(connection, _LACKING_SKU, new)}
        more -= groups
        groups |= more
        for row in rows_in(connection, _WAITING_OF_ORDER, {order_id for order_id, _ in more}):
            if (row.order_id, row.group) in more:
                found[row.order_id, row.line] = Waiting(*row)
                skus = skus | {row.sku}
    return list(found.values())


def load_all_lacking(connection: Connection) -> list[Waiting]:
    """All lines that wait for units."""
    return [Waiting(*row) for row in connection.execute(select(waiting).where(_STOCK_HELPS))]


def lacking_of(connection: Connection, skus: set[str]) -> frozenset[str]:
    """Those of these SKUs that some line waits for."""
    return frozenset(row.sku for row in rows_in(connection, _LACKING_SKU, skus))


def lacking_after(connection: Connection, sku: str, rows_max: int) -> list[str]:
    """The next SKUs after one, in their order, that some line waits for."""
    query = (
        select(waiting.c.sku)
        .where(_STOCK_HELPS, waiting.c.sku > sku)
        .distinct()
        .order_by(waiting.c.sku)
        .limit(rows_max)
    )
    return list(connection.scalars(query))


def load_poison(
    connection: Connection, edge_id: str | None, sequence: int | None
) -> list[tuple[str, int, int, bytes]]:
    """Entries that have no effect, in the order of their streams: edge, epoch, sequence, bytes."""
    query = select(poison).order_by(poison.c.edge_id, poison.c.epoch, poison.c.sequence)
    if edge_id is not None:
        query = query.where(poison.c.edge_id == edge_id)
    if sequence is not None:
        query = query.where(poison.c.sequence == sequence)
    return [(x.edge_id, x.epoch, x.sequence, x.raw) for x in connection.execute(query)]


def read_poison(location: Location) -> list[tuple[str, int, int, str, str]]:
    """Edge, epoch, sequence, code and detail of each event without effect; nothing is written.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        query = select(poison).order_by(poison.c.edge_id, poison.c.epoch, poison.c.sequence)
        return [
            (x.edge_id, x.epoch, x.sequence, x.code, x.detail) for x in connection.execute(query)
        ]


def drop_poison(
    connection: Connection, keys: list[tuple[str, int, int]], after_position: int
) -> None:
    """These entries have their effect now, when the ledger ends at this position."""
    save_replays(connection, keys, after_position)
    for edge_id, epoch, sequence in keys:
        connection.execute(
            delete(poison).where(
                poison.c.edge_id == edge_id,
                poison.c.epoch == epoch,
                poison.c.sequence == sequence,
            )
        )


def save_replays(
    connection: Connection, keys: Iterable[tuple[str, int, int]], after_position: int
) -> None:
    """Keep that these entries had their effect when the ledger ended at this position."""
    insert_all(
        connection,
        replays,
        [
            {"after_position": after_position, "edge_id": x, "epoch": epoch, "sequence": sequence}
            for x, epoch, sequence in keys
        ],
    )


def save_poison(connection: Connection, entries: Iterable[Entry]) -> None:
    """Name the entries that have no effect, and why."""
    faults = [(x, (x.fault.code, str(x.fault))) for x in entries if x.fault is not None]
    save_faults(connection, faults)


def load_faults(connection: Connection) -> dict[tuple[str, int, int], tuple[str, str]]:
    """Code and detail of each entry that has no effect."""
    return {
        (x.edge_id, x.epoch, x.sequence): (x.code, x.detail)
        for x in connection.execute(select(poison))
    }


def save_faults(connection: Connection, faults: Iterable[tuple[Entry, tuple[str, str]]]) -> None:
    """Name entries that have no effect, with the code and detail that were kept of each."""
    insert_all(
        connection,
        poison,
        [
            {
                "edge_id": entry.edge_id,
                "epoch": entry.epoch,
                "sequence": entry.sequence,
                "raw": entry.raw,
                "code": code,
                "detail": masked(detail),
            }
            for entry, (code, detail) in faults
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
                "edge_id": misfit.edge_id if entry is None else entry.edge_id,
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


def forget_events(connection: Connection) -> None:
    """Empty the views that follow from the ledger alone; poison and exceptions stay."""
    for table in (orders, tasks, waiting):
        connection.execute(delete(table))


def load_replays(connection: Connection) -> dict[int, list[tuple[str, int, int]]]:
    """Position to the entries that were poison, and got their effect when the ledger ended there.

    In the order in which they got it.
    """
    places: dict[tuple[str, int, int], int] = {}
    for row in connection.execute(select(replays).order_by(replays.c.number)):
        key = (row.edge_id, row.epoch, row.sequence)
        places.pop(key, None)  # The last time counts: a rebuild may have found it poison again.
        places[key] = row.after_position
    found: dict[int, list[tuple[str, int, int]]] = {}
    for key, position in places.items():
        found.setdefault(position, []).append(key)
    return found


def replace_exceptions(
    connection: Connection, misfits: Iterable[tuple[Entry, Misfit]], now_ms: int
) -> None:
    """Let the exceptions that follow from events be these; one that is there keeps its number."""
    known: dict[tuple[object, ...], list[int]] = {}
    for row in connection.execute(select(exceptions).where(FROM_EVENTS)):
        what = (row.edge_id, row.epoch, row.sequence, row.order_id, row.code, row.detail)
        known.setdefault(what, []).append(row.number)
    new = []
    for entry, misfit in misfits:
        same = known.get((*entry.key, misfit.order_id, misfit.code, misfit.detail))
        if same:
            same.pop()
        else:
            new.append((entry, misfit))
    for part in chunks([number for numbers in known.values() for number in numbers]):
        connection.execute(delete(exceptions).where(exceptions.c.number.in_(part)))
    save_exceptions(connection, new, now_ms)
