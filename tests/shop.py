"""A small shop for tests: a network, payments, and an edge that can be driven by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge.commands import FromDevice, FromFeed
from edge.engine import Engine
from edge.records import Decision
from edge.store import Store
from shared.clock import to_datetime
from shared.envelope import Event, decode_data, decode_event, make_event
from shared.events import Data, OrderAccepted, Payment, PickReport, PickRequested, RouteRequested
from shared.frames import Grant
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.parts import CellUnits, Customer, Destination, Fulfilment, Line, Money
from shared.sourcing import Profile
from shared.topics import device_source

NOON_MS = 1_736_740_800_000  # 2025-01-13 04:00 UTC, noon in China.
SOUTH = Destination(lat=23.1, lon=113.3, region="CN-GD")
NORTH = Destination(lat=39.9, lon=116.4, region="CN-BJ")


def network(version: int = 1, **changes: Any) -> Network:
    """Two distribution centres and a store; edge-1 is home to all but dc-north."""
    nodes = [
        Node(node_id="dc-south", name="South", kind="dc", edge_id="edge-1", lat=23.0, lon=113.0,
             region="CN-GD", utc_offset_min=480, handling_min=60, handling_minor=300),
        Node(node_id="dc-north", name="North", kind="dc", edge_id="edge-2", lat=40.0, lon=116.0,
             region="CN-BJ", utc_offset_min=480, handling_min=60, handling_minor=300),
        Node(node_id="store-1", name="Shop", kind="store", edge_id="edge-1", lat=23.1, lon=113.2,
             region="CN-GD", utc_offset_min=480, handling_min=30, handling_minor=200,
             opens_min=540, closes_min=1260, serves=["CN-GD"]),
    ]  # fmt: skip
    steps = [
        Step(weight_g_max=1_000, price_minor=500),
        Step(weight_g_max=20_000, price_minor=1_500),
    ]
    far = [Step(weight_g_max=1_000, price_minor=900), Step(weight_g_max=20_000, price_minor=2_500)]
    hours = {("dc-south", "CN-GD"): 24, ("dc-south", "CN-BJ"): 72, ("dc-north", "CN-GD"): 72,
             ("dc-north", "CN-BJ"): 24, ("store-1", "CN-GD"): 24}  # fmt: skip
    values: dict[str, Any] = {
        "version": version,
        "currency": "CNY",
        "profile": Profile(
            version="p1", split_cost_minor=400, late_minor_per_h=100, packages_max=4
        ),
        "nodes": nodes,
        "services": [Service(service_id="standard", name="Standard", weight_g_max=20_000)],
        "tariffs": [Tariff(tariff_id="near", steps=steps), Tariff(tariff_id="far", steps=far)],
        "lanes": [
            Lane(node_id=node, service_id="standard", region=region, transit_h=transit_h,
                 tariff_id="near" if transit_h == 24 else "far")
            for (node, region), transit_h in hours.items()
        ],
        "products": [Product(sku=f"sku-{i}", weight_g=400) for i in range(20)],
    }  # fmt: skip
    return Network(**(values | changes))


def lines(*skus: str, quantity: int = 1) -> list[Line]:
    """One line per SKU name."""
    return [Line(sku=sku, quantity=quantity, unit_price_minor=1_000) for sku in skus]


def payment(*skus: str, **changes: Any) -> Payment:
    """A delivery to the south, unless changed."""
    values: dict[str, Any] = {
        "payment_id": "pay-1",
        "terminal_id": "till-1",
        "store_id": "store-1",
        "paid_at": to_datetime(NOON_MS),
        "amount": Money(minor=1_000, currency="CNY"),
        "channel": "pos",
        "fulfilment": Fulfilment(kind="delivery"),
        "lines": lines(*skus),
        "destination": SOUTH,
        "customer": Customer(token="c-1"),
    }
    return Payment(**(values | changes))


def question(*skus: str, **changes: Any) -> RouteRequested:
    """Where would this ship from?"""
    values: dict[str, Any] = {
        "store_id": "store-1",
        "fulfilment": Fulfilment(kind="delivery"),
        "lines": lines(*skus),
        "destination": SOUTH,
    }
    return RouteRequested(**(values | changes))


def device_event(device: str, event_id: str, data: Data, at_ms: int = NOON_MS) -> Event:
    """An event as a device publishes it."""
    return make_event(data, id=event_id, source=device_source(device), time=to_datetime(at_ms))


class Shop:
    """One edge without MQTT: its store is a real file, its clock stands at noon.

    Attributes:
        said: events of every message to a device, in order: (device, kind, event).
        peers: events sent to other edges: (edge, event).
    """

    def __init__(
        self, path: Path, edge_id: str = "edge-1", now_ms: int = NOON_MS, vfs: str = ""
    ) -> None:
        self.path = path
        self.vfs = vfs
        self.edge_id = edge_id
        self.now_ms = now_ms
        self.store = Store(path, vfs=vfs)
        self.engine = Engine(edge_id, self.store, now_ms)
        self.said: list[tuple[str, str, Event]] = []
        self.peers: list[tuple[str, Event]] = []
        self._ids = 0

    def restart(self) -> None:
        """Kill the process and start it again on the same file."""
        self.store.close()
        self.store = Store(self.path, vfs=self.vfs)
        self.engine = Engine(self.edge_id, self.store, self.now_ms)

    def do(self, command: Any) -> Decision:
        """Decide, commit, and take note of what is said."""
        decision = self._decide(command)
        self.store.commit()
        return decision

    def _decide(self, command: Any) -> Decision:
        decision = self.engine.handle(command, self.now_ms)
        self.store.write(decision)
        for send in decision.sends:
            self.said.append((send.device, send.kind, decode_event(send.payload)))
        for peer in decision.peers:
            self.peers.append((peer.edge_id, decode_event(peer.payload)))
        for follow_up in decision.after:
            self._decide(follow_up)
        return decision

    def tell(self, device: str, data: Data, event_id: str | None = None) -> Decision:
        """A device publishes an event."""
        self._ids += 1
        event = device_event(device, event_id or f"e-{self._ids}", data, self.now_ms)
        return self.do(FromDevice(device, event, data))

    def feed(self, item: Any) -> Decision:
        """Central's next feed item."""
        return self.do(FromFeed(self.engine.state.feed + 1, item))

    def grant(self, node_id: str, **units: int) -> Decision:
        """Central grants units; SKU names with _ for -."""
        cells = [
            CellUnits(node_id=node_id, sku=sku.replace("_", "-"), quantity=n)
            for sku, n in units.items()
        ]
        return self.do_grant(*cells)

    def do_grant(self, *cells: CellUnits) -> Decision:
        """Central grants these units."""
        return self.feed(Grant(cells=list(cells)))

    def retry(self) -> list[Decision]:
        """Try every due order again."""
        decisions = []
        while (command := self.engine.due()) is not None:
            decisions.append(self.do(command))
        return decisions

    def share(self, node_id: str, sku: str) -> int:
        """Units that may still be promised, in memory; the store must agree."""
        snapshot = self.engine.state.snapshot
        units = int(self.engine.state.stock.share[snapshot.sku_ix[sku], snapshot.node_ix[node_id]])
        stored = {(node, name): n for node, name, n in self.store.cells()}
        assert stored.get((node_id, sku), 0) == units
        return units

    def last(self, kind: str) -> Any:
        """Data of the newest message of a kind."""
        event = next(event for _, name, event in reversed(self.said) if name == kind)
        return decode_data(event)

    def log(self) -> list[Event]:
        """Every log entry."""
        return [decode_event(raw) for _, raw in self.store.log_after(0, 100_000)]

    def report(self, kind: type[PickReport], task_id: str, **values: Any) -> Decision:
        """The warehouse of the task's node reports."""
        task = self.store.task(task_id)
        assert task is not None
        return self.tell(task.request.node_id, kind(task_id=task_id, **values))


def open_shop(path: Path, edge_id: str = "edge-1", vfs: str = "") -> Shop:
    """A shop with the network."""
    shop = Shop(path, edge_id, vfs=vfs)
    shop.feed(network())
    return shop


def to_json(data: Any) -> Any:
    """What the wire would carry."""
    return msgspec.json.decode(msgspec.json.encode(data))


def kinds(shop: Shop) -> list[str]:
    """What the log holds, in order: the middles of the types."""
    return [event.type.removeprefix("pointsman.").removesuffix(".v1") for event in shop.log()]


def accepted(shop: Shop) -> OrderAccepted:
    """The newest answer to a payment."""
    found: OrderAccepted = shop.last("order.accepted")
    return found


def task_of(shop: Shop) -> PickRequested:
    """The newest task that went to a warehouse."""
    found: PickRequested = shop.last("pick.requested")
    return found
