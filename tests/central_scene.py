"""A scene for central's tests: a small network, and edges that write their logs by hand."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from sqlalchemy import Table, select, text

from central.admin import Message
from central.core import Central
from central.database import Database, Location, close_database, open_database
from central.escrow import DemandPolicy
from central.sealing import KEY_BYTES, Keyring
from central.systems import Systems
from shared import topics
from shared.clock import HybridClock
from shared.envelope import encode_batch, encode_event, make_event
from shared.events import (
    Data,
    EpochBegan,
    OrderAccepted,
    Payment,
    PickRequested,
    ShareReturned,
    StockReceived,
)
from shared.frames import (
    Ack,
    Ask,
    Grant,
    Hello,
    Recall,
    decode_bulk,
    decode_frame,
    encode_frame,
    parse_feed_kind,
)
from shared.ids import edge_event_id
from shared.network import Network, Node, Product
from shared.parts import (
    CellUnits,
    Fulfilment,
    Line,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    StockLine,
)
from shared.sourcing import Profile

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def network(version: int = 1, edges: tuple[str, ...] = ("e1", "e2")) -> Network:
    """One distribution centre `dc`, home of the first edge, and a store `s-{edge}` for each."""
    nodes = [_node("dc", "dc", edges[0]), *(_node(f"s-{x}", "store", x) for x in edges)]
    return Network(
        version=version,
        currency="CNY",
        profile=Profile(version="p1"),
        nodes=nodes,
        services=[],
        tariffs=[],
        lanes=[],
        products=[Product(sku="A"), Product(sku="B")],
    )


def _node(node_id: str, kind: Any, edge_id: str) -> Node:
    return Node(
        node_id=node_id, name=node_id, kind=kind, edge_id=edge_id, lat=30, lon=120, region="CN-ZJ"
    )


def document(version: int = 1, edges: tuple[str, ...] = ("e1", "e2")) -> bytes:
    """The same as a planner's JSON."""
    return msgspec.json.encode(network(version, edges))


class ScriptedEdge:
    """An edge whose log is written by hand."""

    def __init__(self, edge_id: str, epoch: int = 1, boots: tuple[int, ...] = (1,)) -> None:
        self.edge_id = edge_id
        self.epoch = epoch
        self.boots = boots
        self.log: list[bytes] = []
        self._clock = HybridClock()

    def begin(self, epoch: int, *, previous: tuple[int, int] | None = None) -> None:
        """Begin another epoch; `previous` is where the log of the one before ends."""
        at, end = previous or (self.epoch, len(self.log))
        self.epoch, self.log = epoch, []
        self.say(EpochBegan(epoch=epoch, previous_epoch=at, previous_sequence=end))

    def say(self, data: Data, order_id: str | None = None, /, **changes: Any) -> bytes:
        """Append an event to the log; `changes` overrides attributes of the envelope."""
        sequence = len(self.log) + 1
        event = make_event(
            data,
            id=edge_event_id(self.edge_id, self.epoch, sequence),
            source=topics.edge_source(self.edge_id),
            time=NOW + timedelta(seconds=sequence),
            sequence=sequence,
            epoch=self.epoch,
            hlc=self._clock.tick(NOW_MS),
            correlationid=order_id,
        )
        raw = encode_event(msgspec.structs.replace(event, **changes))
        self.log.append(raw)
        return raw

    def restarted(self, *boots: int, log: list[bytes] | None = None) -> "ScriptedEdge":
        """A process on the same disk, or on a copy of it."""
        other = ScriptedEdge(self.edge_id, self.epoch, boots)
        other.log = list(self.log if log is None else log)
        return other

    def batch(self, first: int = 1, last: int | None = None) -> Message:
        """Log positions as a message."""
        part = self.log[first - 1 : last]
        return Message(topics.up(self.edge_id, topics.LOG), encode_batch(part))

    def hello(self, feed: int = 0, sequence: int | None = None, *, unfit: bool = False) -> Message:
        """The edge's greeting."""
        end = len(self.log) if sequence is None else sequence
        boots = [boot(x) for x in self.boots]
        frame = Hello(epoch=self.epoch, sequence=end, feed=feed, boots=boots, unfit=unfit)
        return Message(topics.up(self.edge_id, topics.HELLO), encode_frame(frame))

    def ask(self, sku: str, quantity: int, *nodes: str) -> Message:
        """A payment lacks units, at the distribution centre if nothing else is said."""
        frame = Ask(id=boot(7), lines=shortage(sku, quantity, nodes=nodes or ("dc",)))
        return Message(topics.up(self.edge_id, topics.ASK), encode_frame(frame))


def boot(number: int) -> str:
    """The name of an edge's start."""
    return f"{number:016x}"


def received(node_id: str, **units: int) -> StockReceived:
    lines = [StockLine(sku=sku, quantity=q) for sku, q in units.items()]
    return StockReceived(node_id=node_id, lines=lines)


def returned(node_id: str, sku: str, units: int, recall: int | None = None) -> ShareReturned:
    cells = [CellUnits(node_id=node_id, sku=sku, quantity=units)] if units else []
    return ShareReturned(cells=cells, recall=recall)


def plan(node_id: str, sku: str, quantity: int, line: int = 0) -> Plan:
    package = Package(
        package=0,
        node_id=node_id,
        service_id="std",
        lines=[PlannedLine(line=line, sku=sku, quantity=quantity)],
        cost_minor=0,
        ready_at=NOW,
        arrives_at=NOW + timedelta(days=1),
    )
    return Plan(
        packages=[package],
        cost=Money(minor=0, currency="CNY"),
        bound_minor=0,
        optimal=True,
        profile="p1",
        snapshot="0" * 32,
    )


def accepted(
    order_id: str, chosen: Plan | None, sku: str = "A", quantity: int = 1, parked: int = 0
) -> OrderAccepted:
    payment = Payment(
        payment_id=order_id,
        terminal_id="t1",
        store_id="s-e1",
        paid_at=NOW,
        amount=Money(minor=100, currency="CNY"),
        channel="pos",
        fulfilment=Fulfilment(kind="carry_out"),
        lines=[Line(sku=sku, quantity=quantity)],
    )
    return OrderAccepted(
        order_id=order_id,
        payment_source="/devices/t1",
        payment_event_id=order_id,
        payment=payment,
        plan=chosen,
        parked=shortage(sku, parked) if parked else [],
    )


def shortage(
    sku: str,
    quantity: int,
    line: int = 0,
    reason: Any = "share",
    nodes: Iterable[str] = ("dc",),
    group: int | None = None,
) -> list[Shortage]:
    """A line that waits, as a group of its own if it is for stock and nothing else is said."""
    if group is None:
        group = line if reason == "share" else -1
    return [
        Shortage(
            line=line, sku=sku, quantity=quantity, reason=reason, nodes=list(nodes), group=group
        )
    ]


def requested(order_id: str, node_id: str, sku: str, quantity: int, home: str) -> PickRequested:
    return PickRequested(
        task_id=f"{order_id}.0.0",
        order_id=order_id,
        home_edge_id=home,
        node_id=node_id,
        service_id="std",
        lines=[PlannedLine(line=0, sku=sku, quantity=quantity)],
        ready_at=NOW,
        arrives_at=NOW + timedelta(days=1),
    )


class Scene:
    """A central over a real database, and what it has sent."""

    def __init__(
        self, database: Database, pool_reserve: float = 0.2, systems: Systems | None = None
    ) -> None:
        self.systems = systems
        self.now_ms = NOW_MS
        self.database = database
        self.pool_reserve = pool_reserve
        self.elapsed_ms = 0
        self.sent: list[Message] = []
        self.keyring = Keyring([bytes(KEY_BYTES)], Random(1).randbytes)
        self.restart()

    def restart(self) -> None:
        """A new process on the same database."""
        policy = DemandPolicy(self.pool_reserve)
        self.central = Central(self.database, policy, self.keyring, systems=self.systems)

    def tell(self, *messages: Message) -> list[Message]:
        """One burst; returns what is sent for it."""
        out = self.central.receive(messages, now_ms=self.now_ms, elapsed_ms=self.elapsed_ms)
        self.sent += out
        return out

    def publish(self, payload: bytes) -> dict[str, Any]:
        out = self.tell(Message(topics.up("admin", "network"), payload))
        answer: dict[str, Any] = msgspec.json.decode(out[0].payload)
        return answer

    def admin(self, kind: str, **asked: Any) -> dict[str, Any]:
        """What an operator asks, and the answer."""
        out = self.tell(Message(topics.up("admin", kind), msgspec.json.encode(asked)))
        answer: dict[str, Any] = msgspec.json.decode(out[0].payload)
        return answer

    def tick(self, elapsed_ms: int) -> list[Message]:
        """Time goes by; returns what is sent for the first time."""
        self.elapsed_ms += elapsed_ms
        self.now_ms += elapsed_ms if self.systems else 0
        ticked = self.central.tick(self.elapsed_ms, self.now_ms)
        out = [x for x in ticked if x not in self.sent]
        self.sent += out
        return out

    def codes(self) -> list[str]:
        """The exceptions that were noted."""
        from central.tables import exceptions

        return [row["code"] for row in self.rows(exceptions)]

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.database.begin():
            query = select(table).order_by(*table.primary_key)
            return [dict(row) for row in self.database.execute(query).mappings()]

    def stock(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Cell to pool, committed, shipped, received, adjusted."""
        from central.tables import accounts

        return {
            (row["node_id"], row["sku"]): (
                row["pool"], row["committed"], row["shipped"], row["received"], row["adjusted"]
            )
            for row in self.rows(accounts)
        }  # fmt: skip

    def shares(self) -> dict[tuple[str, str, str], int]:
        from central.tables import shares

        return {(x["edge_id"], x["node_id"], x["sku"]): x["units"] for x in self.rows(shares)}


def two_edges(stage: Scene) -> tuple[ScriptedEdge, ScriptedEdge]:
    """Two edges that were heard; the second has sold two units of its four."""
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.publish(document())
    stage.tell(one.hello(), two.hello())
    one.say(received("dc", A=10))
    stage.tell(one.batch())
    two.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    stage.tell(two.batch())
    stage.tell(one.hello(feed=2), two.hello(feed=2))
    assert stage.shares() == {("e1", "dc", "A"): 4, ("e2", "dc", "A"): 2}
    return one, two


def acks(messages: list[Message]) -> dict[str, int]:
    """Edge id to the sequence it was told."""
    return {
        topics.parse_down(x.topic)[0]: msgspec.json.decode(x.payload)["sequence"]
        for x in messages
        if topics.parse_down(x.topic)[1] == topics.ACK
    }


def ack_of(edge_id: str, messages: list[Message]) -> Ack:
    """The last acknowledgement to an edge."""
    topic = topics.down(edge_id, topics.ACK)
    return decode_frame([x.payload for x in messages if x.topic == topic][-1], Ack)


def feed_of(edge_id: str, messages: list[Message]) -> list[tuple[int, str, bytes]]:
    """Number, kind and body of what went down an edge's feed."""
    items = []
    for x in messages:
        device, kind = topics.parse_down(x.topic)
        if device == edge_id and kind.startswith("feed/"):
            items.append((*parse_feed_kind(kind), x.payload))
    return items


def granted(edge_id: str, messages: list[Message]) -> dict[tuple[str, str], int]:
    """Units of each cell that were granted to an edge."""
    return _units(edge_id, messages, "grant", Grant)


def recalled(edge_id: str, messages: list[Message]) -> dict[tuple[str, str], int]:
    """Units of each cell that an edge was asked to return."""
    return _units(edge_id, messages, "recall", Recall)


def _units(edge_id: str, messages: list[Message], wanted: str, frame: Any) -> Any:
    cells: dict[tuple[str, str], int] = {}
    for _, kind, body in feed_of(edge_id, messages):
        if kind == wanted:
            for x in decode_bulk(body, frame).cells:
                key = (x.node_id, x.sku)
                cells[key] = cells.get(key, 0) + x.quantity
    return cells


def unguard(database: Database, *tables: str) -> None:
    """Take away what refuses changes of append-only tables. Inside a transaction."""
    for table in tables:
        on = f" ON {table}" if database.dialect.name == "postgresql" else ""
        for verb in ("update", "delete"):
            database.execute(text(f"DROP TRIGGER IF EXISTS {table}_refuses_{verb}{on}"))


@contextmanager
def scene(
    location: Location, pool_reserve: float = 0.2, systems: Systems | None = None
) -> Iterator[Scene]:
    database = open_database(location)
    try:
        yield Scene(database, pool_reserve, systems)
    finally:
        close_database(database)
