"""What tills and warehouses do in a small shop, drawn at random."""

from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from edge.commands import FromDevice
from shared.clock import to_datetime
from shared.envelope import decode_data, decode_event, make_event
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    Payment,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    StockReceived,
)
from shared.network import Network, parse_network
from shared.parts import Contact, Customer, Destination, Fulfilment, Line, Money, StockLine
from shared.topics import device_source

DOCUMENT: Final = (Path(__file__).parents[1] / "config" / "network.json").read_bytes()
"""The network that they trade in: the sample that a new shop begins with."""

_RECENT: Final = 20
"""So many of the newest orders and tasks are spoken about."""

_REPORTS: Final[tuple[type[PickReport], ...]] = (
    PickAccepted, PickCompleted, PickRejected, PackagePacked, PackageShipped, PackageDelivered,
)  # fmt: skip


class Trade:
    """Draws what devices say.

    Args:
        random: decides everything.
    """

    def __init__(self, random: Random) -> None:
        """See the class."""
        self._random = random
        self._network: Network = parse_network(DOCUMENT)
        self._skus = [product.sku for product in self._network.products]
        self._nodes = [node.node_id for node in self._network.nodes]
        self._store = next(x for x in self._network.nodes if x.kind == "store")
        self._count = 0
        self._paid: list[FromDevice] = []

    def next(self, log: list[bytes], now_ms: int) -> FromDevice:
        """What is said next; not all of it fits.

        Args:
            log: what the edge has logged.
            now_ms: milliseconds since 1970 UTC.
        """
        what = self._random.choices(
            ("pay", "again", "stock", "report", "cancel"), weights=(6, 1, 2, 5, 1)
        )[0]
        if what == "pay" or not self._paid:
            paid = self._say("till-1", self._payment(to_datetime(now_ms)), now_ms)
            self._paid.append(paid)
            return paid
        if what == "again":
            return self._random.choice(self._paid[-_RECENT:])
        recent = [decode_data(decode_event(raw)) for raw in log[-_RECENT:]]
        if what == "report" and (tasks := [x for x in recent if isinstance(x, PickRequested)]):
            task = self._random.choice(tasks)
            return self._say(task.node_id, self._report(task), now_ms)
        if what == "cancel" and (orders := [x for x in recent if isinstance(x, OrderAccepted)]):
            order = self._random.choice(orders)
            return self._say("till-1", OrderCancelled(order_id=order.order_id), now_ms)
        node_id = self._random.choice(self._nodes)
        return self._say(node_id, StockReceived(node_id=node_id, lines=[self._units()]), now_ms)

    def _say(self, device: str, data: Data, now_ms: int) -> FromDevice:
        self._count += 1
        event = make_event(
            data, id=f"e-{self._count}", source=device_source(device), time=to_datetime(now_ms)
        )
        return FromDevice(device, event, data)

    def _units(self) -> StockLine:
        return StockLine(sku=self._random.choice(self._skus), quantity=self._random.randint(1, 12))

    def _payment(self, now: datetime) -> Payment:
        kind: Any = self._random.choice(("carry_out", "pick_up", "delivery", "delivery"))
        store = self._store
        skus = self._random.sample(self._skus, self._random.randint(1, len(self._skus)))
        return Payment(
            payment_id=f"pay-{self._count}",
            terminal_id="till-1",
            store_id=store.node_id,
            paid_at=now,
            amount=Money(minor=1_000, currency=self._network.currency),
            channel="pos",
            fulfilment=Fulfilment(kind=kind, node_id=store.node_id if kind == "pick_up" else None),
            lines=[Line(sku=sku, quantity=self._random.randint(1, 4)) for sku in skus],
            customer=Customer(split_allowed=self._random.random() < 0.8),
            destination=Destination(lat=store.lat, lon=store.lon, region=store.region),
            contact=Contact(name="A. Customer") if kind == "delivery" else None,
        )

    def _report(self, task: PickRequested) -> PickReport:
        if self._random.random() < 0.2:
            return PickShort(task_id=task.task_id, missing=task.lines[:1])
        return self._random.choice(_REPORTS)(task_id=task.task_id)
