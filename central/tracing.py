"""One order from the database: its story, and the evidence of where it stands. Only read.

Each question is a handful of look-ups by index, whatever the ledger's size.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, or_, select

from central.database import Location, close_database, open_reader
from central.desk import SETTLED
from central.devices import load_health
from central.evidence import (
    Awaited,
    Belief,
    Coming,
    DeviceHealth,
    Evidence,
    Heard,
    InFile,
    Noted,
    Patience,
    Why,
)
from central.history import load_archives
from central.reasons import OVER, why
from central.story import Recorded, Story, tell
from central.stream import again
from central.systems import Systems
from central.tables import (
    awaited,
    beliefs,
    exceptions,
    ledger,
    lots,
    networks,
    orders,
    poison,
    sightings,
    streams,
)
from central.territory import Territory, territory_of
from shared.clock import to_datetime
from shared.errors import UnknownOrderError
from shared.network import parse_network
from shared.systems import InventoryLockRequested, PaymentConfirmationRequested, Step
from shared.topics import HUB

ENTRIES_MAX: Final = 5_000
"""Entries of one order that are read: more is no order, but a fault or an attack."""

_CAUSES_MAX: Final = 100
_LOTS_MAX: Final = 20

_COLUMNS: Final = (
    ledger.c.position, ledger.c.edge_id, ledger.c.epoch, ledger.c.sequence, ledger.c.raw,
    ledger.c.hash, ledger.c.received_ms,
)  # fmt: skip
_SAME_PLACE: Final = and_(
    poison.c.edge_id == ledger.c.edge_id,
    poison.c.epoch == ledger.c.epoch,
    poison.c.sequence == ledger.c.sequence,
)
_ENTRIES: Final = (
    select(*_COLUMNS, poison.c.code, poison.c.detail)
    .select_from(ledger.outerjoin(poison, _SAME_PLACE))
    .where(ledger.c.correlation_id == bindparam("order_id"))
    .order_by(ledger.c.position)
    .limit(ENTRIES_MAX)
)
# A fact that is about no order is filed under its own id: a count that left packages short.
_CAUSES: Final = (
    select(*_COLUMNS, poison.c.code, poison.c.detail)
    .select_from(ledger.outerjoin(poison, _SAME_PLACE))
    .where(
        ledger.c.correlation_id.in_(bindparam("ids", expanding=True)),
        ledger.c.event_id == ledger.c.correlation_id,
    )
    .limit(_CAUSES_MAX)
)
_EXCEPTIONS: Final = (
    select(exceptions)
    # An answer that was missed is a step of the story, and open until it comes.
    .where(exceptions.c.order_id == bindparam("order_id"), exceptions.c.code != "answer_missed")
    .order_by(exceptions.c.number)
    .limit(ENTRIES_MAX)
)
_STREAMS: Final = select(streams.c.edge_id, streams.c.last_seen_ms, streams.c.fenced).where(
    streams.c.edge_id.in_(bindparam("edges", expanding=True))
)
_KINDS: Final[dict[Step, str]] = {
    x.step: x.kind for x in (InventoryLockRequested, PaymentConfirmationRequested)
}
# A pick task is open as long as it is not accepted: its story says so.
_AWAITED: Final = (
    select(awaited, sightings.c.last_seen_ms)
    .join_from(awaited, sightings, sightings.c.system == awaited.c.system, isouter=True)
    .where(awaited.c.order_id == bindparam("order_id"), awaited.c.answered_ms.is_(None))
    .where(awaited.c.step.in_(list(_KINDS)))
    .order_by(awaited.c.since_ms, awaited.c.sequence)
    .limit(ENTRIES_MAX)
)
_BELIEFS: Final = (
    select(beliefs, orders.c.state_ms)
    .join_from(beliefs, orders, orders.c.order_id == beliefs.c.order_id, isouter=True)
    .where(beliefs.c.order_id == bindparam("order_id"))
    .where(beliefs.c.system.in_(bindparam("systems", expanding=True)))
    .order_by(beliefs.c.system)
)
_ORDER: Final = select(orders).where(orders.c.order_id == bindparam("order_id"))
_VERSION: Final = select(networks.c.version).order_by(networks.c.version.desc()).limit(1)
_DOCUMENT: Final = select(networks.c.document).where(networks.c.version == bindparam("version"))


class Tracer:
    """Answers questions about single orders over one connection that reads.

    Args:
        connection: of `central.database`; a transaction is begun for each question.
        systems: see `Inquiry`.
    """

    def __init__(self, connection: Connection, systems: Systems | None = None) -> None:
        """See the class."""
        self._connection = connection
        self._inquiry = Inquiry(systems)

    def timeline(self, order_id: str) -> Story:
        """See `Inquiry.timeline`."""
        with self._connection.begin():
            return self._inquiry.timeline(self._connection, order_id)

    def why(self, order_id: str, now_ms: int) -> tuple[Story, Why]:
        """See `Inquiry.why`."""
        with self._connection.begin():
            return self._inquiry.why(self._connection, order_id, now_ms)


class Inquiry:
    """Answers questions about single orders, each in a transaction of whoever asks.

    Threads may share it.

    Args:
        systems: whom central drives, how long each may take to answer, and what its words mean.
    """

    def __init__(self, systems: Systems | None = None) -> None:
        """See the class."""
        self._systems = systems or Systems()
        self._patience = Patience(accept_s=self._systems.limits.pick_acceptance_s)
        self._network: tuple[int | None, Territory] = (None, Territory())

    def timeline(self, connection: Connection, order_id: str) -> Story:
        """The story of an order; of an archived one, what is left of it and where the rest is.

        Raises:
            UnknownOrderError: the ledger has nothing of it.
        """
        story = _story(connection, order_id)
        if story is None or story.edge_id is None:
            story = _archived(connection, order_id, story) or story
        if story is None:
            raise UnknownOrderError(
                f"the ledger has no event of order {order_id[:100]!r}",
                place="order_id",
                expected="the order_id of an order.accepted; if it is new, its edge has not been "
                "heard yet",
            )
        return story

    def why(self, connection: Connection, order_id: str, now_ms: int) -> tuple[Story, Why]:
        """The story of an order, and why it is where it is at this moment.

        Raises:
            UnknownOrderError: the ledger has nothing of it.
        """
        story, now = self.timeline(connection, order_id), to_datetime(now_ms)
        territory = self._territory(connection)
        evidence = _Witness(connection, self._systems, territory.home).evidence(story)
        return story, why(story, evidence, now, self._patience)

    def _territory(self, connection: Connection) -> Territory:
        version = connection.scalar(_VERSION)
        known, territory = self._network
        if version is None or version == known:
            return territory
        document = connection.scalar(_DOCUMENT, {"version": version})
        assert document is not None
        self._network = (version, territory_of(parse_network(document)))
        return self._network[1]


class _Witness:
    """What the views say of an order at one moment."""

    def __init__(self, connection: Connection, systems: Systems, home: dict[str, str]) -> None:
        self._connection = connection
        self._systems = systems
        self._home = home

    def evidence(self, story: Story) -> Evidence:
        home = self._home
        nodes = {x.node_id for x in story.tasks if x.node_id}
        edges = {story.edge_id, *(x.edge_id for x in story.tasks), *(home.get(x) for x in nodes)}
        heard = self._connection.execute(_STREAMS, {"edges": sorted(x for x in edges if x)})
        noted = self._connection.execute(_EXCEPTIONS, {"order_id": story.order_id})
        return Evidence(
            home={x: home[x] for x in nodes if x in home},
            edges={
                x.edge_id: Heard(
                    x.edge_id,
                    to_datetime(x.last_seen_ms) if x.last_seen_ms else None,
                    bool(x.fenced),
                )
                for x in heard
            },
            devices=self._devices(story),
            till=self._till(story),
            awaited=self._awaited(story),
            beliefs=self._beliefs(story),
            exceptions=[
                Noted(x.code, x.detail, to_datetime(x.noted_ms), _whose(story, x)) for x in noted
            ],
            coming=self._coming(story),
        )

    def _devices(self, story: Story) -> dict[str, list[DeviceHealth]]:
        found = {}
        for task in story.tasks:
            if task.node_id is not None and task.node_id not in found and task.state not in OVER:
                edge_id = task.edge_id or self._home.get(task.node_id)
                found[task.node_id] = load_health(self._connection, edge_id, task.node_id)
        return found

    def _till(self, story: Story) -> DeviceHealth | None:
        if story.sold_by is None:
            return None
        found = load_health(self._connection, story.edge_id, story.sold_by)
        return next((x for x in found if x.device == story.sold_by), None)

    def _awaited(self, story: Story) -> list[Awaited]:
        limits_ms = self._systems.limits_ms
        return [
            Awaited(
                system=x.system,
                asked=_KINDS[x.step],
                asked_at=to_datetime(x.since_ms),
                due_at=to_datetime(x.since_ms + limits_ms[x.step]),
                event_id=x.command_id,
                missed=x.missed_ms is not None,
                # Goods that have left need no lock, and a message is not what they wait for.
                blocks=x.step == "lock" and story.state not in SETTLED,
                last_seen_at=None if x.last_seen_ms is None else to_datetime(x.last_seen_ms),
            )
            for x in self._connection.execute(_AWAITED, {"order_id": story.order_id})
        ]

    def _beliefs(self, story: Story) -> list[Belief]:
        words = self._systems.words
        if not words:
            return []
        asked = {"order_id": story.order_id, "systems": sorted(words)}
        return [
            Belief(
                system=x.system,
                word=x.word,
                agrees=story.edge_id is not None and story.state in words[x.system][x.word],
                since=to_datetime(max(x.said_ms, x.state_ms or 0)),
            )
            for x in self._connection.execute(_BELIEFS, asked)
            if x.word in words[x.system]  # of others nobody can say
        ]

    def _coming(self, story: Story) -> list[Coming]:
        cells = sorted({(node, x.sku) for x in story.waiting for node in x.nodes})
        if not cells:
            return []
        here = or_(*(and_(lots.c.node_id == node, lots.c.sku == sku) for node, sku in cells))
        query = select(lots).where(here).order_by(lots.c.expected_ms).limit(_LOTS_MAX)
        return [
            Coming(x.node_id, x.sku, x.units, to_datetime(x.expected_ms), x.lot_id)
            for x in self._connection.execute(query)
            if x.units > 0
        ]


@contextlib.contextmanager
def tracer(location: Location, systems: Systems | None = None) -> Iterator[Tracer]:
    """A tracer over a central that may be running; `systems`: see `Tracer`.

    Raises:
        ConfigError: there is no database.
    """
    connection = open_reader(location)
    try:
        yield Tracer(connection, systems)
    finally:
        close_database(connection)


def _story(connection: Connection, order_id: str) -> Story | None:
    """What the ledger's entries in the database tell; None: there are none."""
    rows = connection.execute(_ENTRIES, {"order_id": order_id}).all()
    recorded = [_recorded(row) for row in rows]
    if not recorded:
        return None
    known = {x.entry.event.id for x in recorded if x.entry.event is not None}
    causes = {x.entry.event.causationid for x in recorded if x.entry.event is not None}
    missing = sorted({x for x in causes if x is not None} - known)[:_CAUSES_MAX]
    if missing:
        found = connection.execute(_CAUSES, {"ids": missing})
        recorded += [_recorded(row) for row in found]
    return tell(order_id, recorded)


def _archived(connection: Connection, order_id: str, left: Story | None) -> Story | None:
    """An order whose first events are not in the database any more; None: it is none."""
    row = connection.execute(_ORDER, {"order_id": order_id}).first()
    if row is None or row.edge_id is None:
        return None
    files = [
        InFile(x.file, x.first, x.last, to_datetime(x.at_ms)) for x in load_archives(connection)
    ]
    if not files:
        return None
    # Without the beginning nothing can be said of what the rest has changed.
    steps = [
        msgspec.structs.replace(step, order=None, lines=[], misfits=[])
        for step in (left.steps if left is not None else [])
    ]
    return Story(
        order_id=order_id,
        state=row.state,
        edge_id=row.edge_id,
        store_id=row.store_id,
        opened_at=to_datetime(row.opened_ms),
        promised_at=None if row.promised_ms is None else to_datetime(row.promised_ms),
        steps=steps,
        archived=files,
    )


def _whose(story: Story, row: Any) -> str | None:
    """Who has said what an exception was noted at: of central's own stream, the system."""
    if row.edge_id != HUB:
        return row.edge_id  # type: ignore[no-any-return]
    place = (HUB, row.epoch, row.sequence)
    return next((x.by for x in story.steps if (x.edge_id, x.epoch, x.sequence) == place), HUB)


def _recorded(row: Any) -> Recorded:
    entry = again(row.edge_id, row.epoch, row.sequence, row.raw, row.hash)
    # What the present code could read has no effect until it is replayed.
    noted = None if row.code is None else (row.code, row.detail)
    return Recorded(entry, row.position, row.received_ms, noted)
