"""The view of the devices of all sites: who is there, who is lost, what is broken.

A row per device, and one per fault that lasts. An edge logs changes only (`edge.health`), and all
of them again when it begins an epoch; until then nobody knows what has become of its devices.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from central.database import Location, reading, upsert
from central.evidence import DeviceHealth, Fault
from central.stream import Entry
from central.tables import devices, ledger, streams
from shared.clock import to_datetime, to_ms
from shared.devices import DeviceReported
from shared.envelope import Event, decode_data, decode_event
from shared.errors import PointsmanError
from shared.events import EpochBegan, type_of
from shared.topics import HUB, device_source

Presence = Literal["online", "lost", "unknown"]
State = Presence | Literal["fault"]
_ORDER: Final = {"lost": 0, "fault": 1, "unknown": 2, "online": 3}
_SOURCE: Final = device_source("")
_ONLINE: Final[dict[State, bool | None]] = {"online": True, "lost": False, "unknown": None}
_AT_ONE_PLACE_MAX: Final = 8
_CHANGES_MAX: Final = 16


class DeviceState(NamedTuple):
    """One row: a device, or a fault of it. Times in milliseconds since 1970 UTC.

    Attributes:
        device: its name on its site's broker.
        part: what has the fault; empty for the device itself.
        fault: its code; empty in the device's own row.
        status: "unknown": its edge has begun anew and has not told of it since.
        since_ms: since when it is so.
        last_seen_ms: when its edge last heard it, as of that change; None: never.
        node_id: where it is, if it says so.
    """

    edge_id: str
    device: str
    part: str
    fault: str
    status: State
    since_ms: int
    last_seen_ms: int | None
    node_id: str | None
    detail: str


def follow(connection: Connection, entries: Iterable[Entry]) -> None:
    """Take what entries say of devices into the view."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in entries:
        if isinstance(entry.data, DeviceReported) and entry.event is not None:
            _follow(connection, rows, entry.edge_id, entry.event, entry.data)
        elif isinstance(entry.data, EpochBegan):
            _save(connection, rows)
            mine = devices.c.edge_id == entry.edge_id
            connection.execute(delete(devices).where(mine, devices.c.status == "fault"))
            connection.execute(update(devices).where(mine).values(status="unknown"))
    _save(connection, rows)


def _follow(
    connection: Connection,
    rows: dict[tuple[str, ...], dict[str, Any]],
    edge_id: str,
    event: Event,
    data: DeviceReported,
) -> None:
    device = data.device or event.source.removeprefix(_SOURCE)
    part, fault = data.part or "", data.code or ""
    match data.status:
        case "cleared":
            _save(connection, rows)
            connection.execute(delete(devices).where(_over(edge_id, device, part, fault)))
            return
        case "heartbeat":
            return  # no edge logs it
        case "online" | "lost":
            part = fault = ""
    since_ms = to_ms(data.since or event.time)
    seen_ms = None if data.last_seen is None else to_ms(data.last_seen)
    rows[edge_id, device, part, fault] = DeviceState(
        edge_id, device, part, fault, data.status, since_ms, seen_ms, data.node_id, data.detail
    )._asdict()


def _over(edge_id: str, device: str, part: str, fault: str) -> ColumnElement[bool]:
    """Which faults are over: one, all of a part, or all."""
    c = devices.c
    found = and_(c.edge_id == edge_id, c.device == device, c.fault != "")
    if part or fault:
        found = and_(found, c.part == part)
    return and_(found, c.fault == fault) if fault else found


def _save(connection: Connection, rows: dict[tuple[str, ...], dict[str, Any]]) -> None:
    upsert(connection, devices, list(rows.values()))
    rows.clear()


def forget_events(connection: Connection) -> None:
    """Empty the view."""
    connection.execute(delete(devices))


def load_devices(
    connection: Connection, *, edge_id: str | None = None, place: str | None = None
) -> dict[str, list[DeviceState]]:
    """Devices by name, each with its own row first and its faults after it.

    Args:
        connection: inside a transaction.
        edge_id: only this edge's.
        place: only the device of this name, and those that say that they are at this node. A
            warehouse's own device has the node's name.
    """
    c = devices.c
    query = select(*(c[x] for x in DeviceState._fields)).order_by(
        c.device, c.edge_id, c.fault != "", c.part, c.fault
    )
    if edge_id is not None:
        query = query.where(c.edge_id == edge_id)
    if place is not None:
        query = query.where(or_(c.device == place, c.node_id == place))
    found: dict[str, list[DeviceState]] = {}
    for row in connection.execute(query):
        found.setdefault(row.device, []).append(DeviceState(*row))
    return found


class DeviceChange(NamedTuple):
    """What the ledger has of a device: the event's id, when it was logged, and what it says."""

    edge_id: str
    event_id: str
    time_ms: int
    report: DeviceReported


def load_history(connection: Connection, device: str, changes_max: int) -> list[DeviceChange]:
    """The newest changes of a device, newest first: evidence for what an order met."""
    query = (
        select(ledger.c.edge_id, ledger.c.raw)
        .where(
            ledger.c.correlation_id == device_source(device),
            ledger.c.type == type_of(DeviceReported),
        )
        .order_by(ledger.c.position.desc())
        .limit(changes_max)
    )
    found = []
    for edge_id, raw in connection.execute(query):
        try:
            event = decode_event(raw)
            data = decode_data(event)
        except PointsmanError:
            continue  # poison
        if isinstance(data, DeviceReported):
            found.append(DeviceChange(edge_id, event.id, to_ms(event.time), data))
    return found


def load_health(connection: Connection, edge_id: str | None, place: str) -> list[DeviceHealth]:
    """The devices at a place, or the device of that name, with faults of late that are over.

    Its own device first, then what is wrong; at most eight.

    Args:
        connection: inside a transaction.
        edge_id: the place's edge; None: it is not known.
        place: a node's or a device's name.
    """
    found = list(load_devices(connection, edge_id=edge_id, place=place).items())
    found.sort(key=lambda x: (x[0] != place, min(_ORDER[row.status] for row in x[1]), x[0]))
    return [_health_of(connection, rows) for _, rows in found[:_AT_ONE_PLACE_MAX]]


def _health_of(connection: Connection, rows: list[DeviceState]) -> DeviceHealth:
    first = rows[0]
    own = None if first.fault else first
    return DeviceHealth(
        device=first.device,
        online=None if own is None else _ONLINE[own.status],
        since=None if own is None or own.status == "unknown" else to_datetime(own.since_ms),
        last_seen_at=None
        if own is None or own.last_seen_ms is None
        else to_datetime(own.last_seen_ms),
        faults=[
            Fault(row.fault, to_datetime(row.since_ms), row.detail, row.part)
            for row in rows
            if row.fault and row.edge_id == first.edge_id
        ]
        + _over_lately(connection, first.edge_id, first.device),
    )


def _over_lately(connection: Connection, edge_id: str, device: str) -> list[Fault]:
    """Faults that have begun and ended within the newest changes."""
    lasting: dict[tuple[str, str], tuple[datetime, str]] = {}
    over = []
    for change in reversed(load_history(connection, device, _CHANGES_MAX)):
        told = change.report
        if change.edge_id != edge_id:
            continue
        at, part, code = told.since or to_datetime(change.time_ms), told.part or "", told.code or ""
        if told.status == "fault":
            lasting.setdefault((part, code), (at, told.detail))
        elif told.status == "cleared":
            for key in [x for x in lasting if _clears(part, code, x)]:
                since, detail = lasting.pop(key)
                over.append(Fault(key[1], since, detail, key[0], until=at))
    return over


def _clears(part: str, code: str, fault: tuple[str, str]) -> bool:
    """The same as `_over`, of a fault in memory."""
    return not (part or code) or (part == fault[0] and code in ("", fault[1]))


class EdgeSeen(NamedTuple):
    """When central last heard an edge; milliseconds since 1970 UTC, 0: never."""

    edge_id: str
    last_seen_ms: int


def read_devices(location: Location) -> tuple[list[DeviceState], list[EdgeSeen]]:
    """All rows, what is wrong first, and all edges; of a central that may be running.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        rows = [row for found in load_devices(connection).values() for row in found]
        rows.sort(key=lambda x: (_ORDER[x.status], x.edge_id, x.device, x.part, x.fault))
        heard = select(streams.c.edge_id, streams.c.last_seen_ms)
        seen = heard.where(streams.c.edge_id != HUB).order_by(streams.c.edge_id)
        return rows, [EdgeSeen(*row) for row in connection.execute(seen)]
