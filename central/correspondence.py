"""What was asked of systems, answered and believed, in SQL; see `central.dealings`."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, tuple_

from central.database import insert_all, rows_in, upsert, where_in
from central.dealings import Awaited, Belief, Dealings, Lock
from central.hub_stream import EPOCH, NO_READING, Cause, Head
from central.stream import Entry, Stream, again
from central.tables import awaited, beliefs, heard, ledger, locks, sightings, tasks
from shared.events import OrderCancelled, PickReport, PickRequested, type_of
from shared.systems import AboutOrder, AnswerMissed, StatusReported, Step
from shared.topics import HUB, device_of

_AWAITED: Final = where_in(awaited, awaited.c.command_id)
_OF_TASK: Final = where_in(awaited, awaited.c.task_id)
_LOCKS: Final = where_in(locks, locks.c.order_id)
_BELIEFS: Final = where_in(beliefs, tuple_(beliefs.c.system, beliefs.c.order_id))
_HEARD: Final = where_in(heard, tuple_(heard.c.source, heard.c.event_id))

_OF_HUB: Final = (ledger.c.edge_id == HUB) & (ledger.c.epoch == EPOCH)
_RAW: Final = select(ledger.c.raw, ledger.c.hash).where(
    _OF_HUB, ledger.c.sequence == bindparam("of")
)
_LAST_READING: Final = (
    select(ledger.c.hlc).where(_OF_HUB).order_by(ledger.c.sequence.desc()).limit(1)
)
_OPEN: Final = awaited.c.answered_ms.is_(None)
_UNANSWERED: Final = (
    select(awaited.c.sequence, awaited.c.command_id, awaited.c.order_id, awaited.c.step)
    .add_columns(ledger.c.type, ledger.c.raw)
    .join_from(awaited, ledger, _OF_HUB & (ledger.c.sequence == awaited.c.sequence))
    .where(awaited.c.system == bindparam("of"), _OPEN, awaited.c.sequence > bindparam("after"))
    .order_by(awaited.c.sequence)
    .limit(bindparam("rows_max"))
)
_OPEN_OF_ORDERS: Final = (
    select(awaited.c.order_id, awaited.c.system, awaited.c.sequence)
    .where(awaited.c.order_id.in_(bindparam("values", expanding=True)))
    .where(awaited.c.step == bindparam("step"), _OPEN)
)
_LAST_OPEN: Final = (
    select(awaited.c.system, func.max(awaited.c.sequence).label("sequence"))
    .where(_OPEN, awaited.c.sequence.is_not(None))
    .group_by(awaited.c.system)
)
_OVERDUE: Final = (
    select(awaited)
    .where(_OPEN, awaited.c.missed_ms.is_(None), awaited.c.step == bindparam("of"))
    .where(awaited.c.since_ms <= bindparam("before"))
    .order_by(awaited.c.since_ms)
    .limit(bindparam("rows_max"))
)
# Spelled as in the partial index, which else is not seen to fit.
_OVERDUE_TASKS: Final = (
    select(tasks.c.task_id, tasks.c.order_id, tasks.c.node_id, tasks.c.changed_ms)
    .add_columns(tasks.c.units, awaited.c.command_id)
    .join_from(tasks, awaited, awaited.c.task_id == tasks.c.task_id, isouter=True)
    .where(tasks.c.state == literal_column("'issued'"))
    .where(tuple_(tasks.c.changed_ms, tasks.c.task_id) > tuple_(bindparam("at"), bindparam("of")))
    .where(tasks.c.changed_ms <= bindparam("before"))
    .order_by(tasks.c.changed_ms, tasks.c.task_id)
    .limit(bindparam("rows_max"))
)
_REQUESTS: Final = (
    select(ledger.c.raw, ledger.c.edge_id, ledger.c.epoch, ledger.c.sequence, ledger.c.hash)
    .where(ledger.c.correlation_id == bindparam("of"), ledger.c.type == type_of(PickRequested))
    .order_by(ledger.c.position)
)


class Letter(NamedTuple):
    """A command that is not answered yet, in its bytes."""

    sequence: int
    command_id: str
    order_id: str
    step: Step
    type: str
    raw: bytes


def load_head(connection: Connection, stream: Stream | None) -> Head:
    """Where the hub's stream stands; `stream` is its row."""
    reading = None if stream is None else connection.scalar(_LAST_READING)
    return Head(stream, reading or NO_READING)


def load(
    connection: Connection,
    *,
    orders: set[str],
    tasks: set[str],
    commands: set[str],
    beliefs: set[tuple[str, str]],
    events: set[tuple[str, str]],
) -> Dealings:
    """What concerns these orders, tasks, commands, beliefs, and events by source and id."""
    found = Dealings()
    for row in rows_in(connection, _LOCKS, orders):
        found.locks[row.order_id] = Lock(*row)
    for row in rows_in(connection, _OF_TASK, tasks):
        found.put(Awaited(*row))
    for row in rows_in(connection, _AWAITED, commands):
        found.put(Awaited(*row))
    for row in rows_in(connection, _BELIEFS, beliefs):
        found.beliefs[row.system, row.order_id] = Belief(*row)
    for row in rows_in(connection, _HEARD, events):
        found.heard[row.source, row.event_id] = row.sequence
    return found


def load_of(connection: Connection, entries: Iterable[Entry]) -> Dealings:
    """What concerns entries of the ledger that are applied again."""
    tasks: set[str] = set()
    commands: set[str] = set()
    believed: set[tuple[str, str]] = set()
    for entry in entries:
        match entry.data:
            case PickReport(task_id=task_id):
                tasks.add(task_id)
            case OrderCancelled(withdrawn=withdrawn):
                tasks |= set(withdrawn)
            case AnswerMissed(command_id=command_id):
                commands.add(command_id)
            case StatusReported(order_id=order_id) if entry.event is not None:
                believed.add((device_of(entry.event.source), order_id))
            case AboutOrder() if entry.event is not None:
                commands |= {entry.event.causationid or ""}
    return load(
        connection, orders=set(), tasks=tasks, commands=commands, beliefs=believed, events=set()
    )


def save(connection: Connection, dealings: Dealings) -> None:
    """Write what has changed."""
    changed = sorted(dealings.changed_awaited)
    upsert(connection, awaited, [asdict(dealings.awaited[x]) for x in changed])
    upsert(connection, locks, [asdict(dealings.locks[x]) for x in sorted(dealings.changed_locks)])
    said = sorted(dealings.changed_beliefs)
    upsert(connection, beliefs, [asdict(dealings.beliefs[x]) for x in said])
    insert_all(connection, heard, [x._asdict() for x in dealings.new_heard])


def forget_events(connection: Connection) -> None:
    """Empty what follows from the ledger alone."""
    for table in (awaited, locks, beliefs, heard):
        connection.execute(delete(table))


def entry_at(connection: Connection, sequence: int) -> Entry | None:
    """An entry of the hub's stream; None: it is in an archive file."""
    found = connection.execute(_RAW, {"of": sequence}).first()
    return None if found is None else again(HUB, EPOCH, sequence, *found)


def unanswered(connection: Connection, system: str, after: int, rows_max: int) -> list[Letter]:
    """A system's open commands after a position in the hub's stream, in order."""
    asked = {"of": system, "after": after, "rows_max": rows_max}
    return [Letter(*row) for row in connection.execute(_UNANSWERED, asked)]


def last_unanswered(connection: Connection) -> dict[str, int]:
    """System to the position of its newest open command."""
    return {row.system: row.sequence for row in connection.execute(_LAST_OPEN)}


def open_of_orders(
    connection: Connection, order_ids: Iterable[str], step: Step
) -> list[tuple[str, str, int]]:
    """Order id, system and position of the open commands of a step for these orders."""
    values = sorted(set(order_ids))
    rows = connection.execute(_OPEN_OF_ORDERS, {"values": values, "step": step})
    return [(*row,) for row in rows]


def overdue(connection: Connection, step: Step, before_ms: int, rows_max: int) -> list[Awaited]:
    """Open commands of a step, given at `before_ms` or earlier and not noted as missed."""
    asked = {"of": step, "before": before_ms, "rows_max": rows_max}
    return [Awaited(*row) for row in connection.execute(_OVERDUE, asked)]


def overdue_tasks(
    connection: Connection, after: tuple[int, str], before_ms: int, rows_max: int
) -> list[Any]:
    """Pick tasks that nobody has reported on, the oldest first, from a place in that order on.

    Rows have task_id, order_id, node_id, changed_ms, units (0: not requested yet), and a
    command_id if the answer was noted as missed.
    """
    asked = {"at": after[0], "of": after[1], "before": before_ms, "rows_max": rows_max}
    return list(connection.execute(_OVERDUE_TASKS, asked))


def request_of(connection: Connection, order_id: str, task_id: str) -> Cause | None:
    """The event that has requested a pick task."""
    for raw, edge_id, epoch, sequence, digest in connection.execute(_REQUESTS, {"of": order_id}):
        entry = again(edge_id, epoch, sequence, raw, digest)
        data = entry.data
        if entry.event is not None and isinstance(data, PickRequested) and data.task_id == task_id:
            return Cause.of(entry.event)
    return None


def load_sightings(connection: Connection) -> dict[str, int]:
    """System to its last sign of life."""
    return {row.system: row.last_seen_ms for row in connection.execute(select(sightings))}


def save_sightings(connection: Connection, systems: Iterable[str], now_ms: int) -> None:
    """These systems were heard now."""
    rows = [{"system": x, "last_seen_ms": now_ms} for x in sorted(set(systems))]
    upsert(connection, sightings, rows)
