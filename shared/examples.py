"""One good event of each kind, for the documentation and for tests."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from shared import topics
from shared.devices import DeviceReported
from shared.envelope import Event, make_event
from shared.events import (
    UP,
    CapacityAnnounced,
    Data,
    EpochBegan,
    InputRejected,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    Payment,
    PickAccepted,
    PickCompleted,
    PickKept,
    PickRejected,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
    RouteRequested,
    ShareReturned,
    StockCounted,
    StockExpected,
    StockMoved,
    StockReceived,
)
from shared.ids import order_id, task_id
from shared.parts import (  # fmt: skip
    CellUnits,
    Contact,
    CountLine,
    Customer,
    Destination,
    Exclusion,
    Fulfilment,
    Line,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    Slot,
    StockLine,
)
from shared.system_examples import (
    SYSTEM_EXAMPLES,
    system_example,
)

_NINE = datetime(2025, 1, 13, 1, 0, tzinfo=UTC)
_NOON = datetime(2025, 1, 13, 4, 0, tzinfo=UTC)
_EVENING = datetime(2025, 1, 13, 11, 0, tzinfo=UTC)
_NEXT_DAY = datetime(2025, 1, 14, 6, 0, tzinfo=UTC)
_TILL: Final = "till-17"
_NODE: Final = "dc-guangzhou"
_ORDER: Final = order_id("/devices/till-17", "till-17-000123", 1_736_730_000_000)
_TASK: Final = task_id(_ORDER, "edge-south", 1, 1, 0)


def example(kind: type[Data]) -> Event:
    """One good event of a kind, as it travels; edges' and logged events with their extensions."""
    if kind in SYSTEM_EXAMPLES:
        return system_example(kind, _ORDER, _NINE)
    data = _EXAMPLES[kind]
    device = _NODE if kind.kind.startswith(("pick.", "package.", "stock.", "capacity.")) else _TILL
    if kind in UP and kind is not OrderCancelled:
        return make_event(
            data, id=f"{device}-000123", source=topics.device_source(device), time=_NINE
        )
    return make_event(
        data,
        id="edge-south-1-42",
        source=topics.edge_source("edge-south"),
        time=_NINE,
        subject=_ORDER,
        sequence=42,
        epoch=1,
        hlc="0194594bd2800000",
        causationid=f"{_TILL}-000123",
        correlationid=_ORDER,
    )


_LINES = [
    Line(sku="22423", quantity=2, unit_price_minor=1_275, group="gift-1"),
    Line(sku="85123A", quantity=1, unit_price_minor=295, group="gift-1"),
]
_CUSTOMER = Customer(token="c-8f31", tier="gold", speed="standard")  # noqa: S106
_GUANGZHOU = Destination(lat=23.13, lon=113.26, region="CN-GD")
_WANTED = Fulfilment(kind="delivery", deadline=_NEXT_DAY)
_PLANNED = [PlannedLine(line=0, sku="22423", quantity=2)]
_PAYMENT = Payment(
    payment_id="pay-90017",
    terminal_id=_TILL,
    store_id="store-guangzhou-1",
    paid_at=_NINE,
    amount=Money(minor=2_845, currency="CNY"),
    channel="pos",
    fulfilment=_WANTED,
    lines=_LINES,
    customer=_CUSTOMER,
    destination=_GUANGZHOU,
    contact=Contact(name="Receiver", phone="000 0000 0000", address="1 Example Road"),
)
_PLAN = Plan(
    packages=[
        Package(
            package=0,
            node_id=_NODE,
            service_id="standard",
            lines=_PLANNED,
            cost_minor=1_180,
            ready_at=_NOON,
            arrives_at=_NEXT_DAY,
            edd_at=_EVENING,
            on_time_per_mille=900,
        )
    ],
    cost=Money(minor=1_180, currency="CNY"),
    bound_minor=1_180,
    optimal=True,
    profile="2025-01",
    snapshot="0f" * 16,
    excluded=[Exclusion(node_id="store-harbin-1", code="area")],
)
_SHORT = [Shortage(line=1, sku="85123A", quantity=1, reason="share", expected_at=_NEXT_DAY)]
_CELLS = [CellUnits(node_id=_NODE, sku="22423", quantity=2)]

_EXAMPLES: Final[dict[type[Data], Data]] = {
    CapacityAnnounced: CapacityAnnounced(
        node_id=_NODE, slots=[Slot(starts_at=_NINE, ends_at=_NOON, packages=240)]
    ),
    DeviceReported: DeviceReported(
        status="fault", part="printer", code="paper_out", detail="tray 1 is empty"
    ),
    PickWithdrawn: PickWithdrawn(task_id=_TASK, node_id=_NODE, home_edge_id="edge-south"),
    PickKept: PickKept(task_id=_TASK, node_id=_NODE, home_edge_id="edge-south"),
    ShareReturned: ShareReturned(cells=_CELLS, recall=17),
    EpochBegan: EpochBegan(epoch=2, previous_epoch=1, previous_sequence=1_041),
    Payment: _PAYMENT,
    RouteRequested: RouteRequested(
        store_id="store-guangzhou-1",
        fulfilment=_WANTED,
        lines=_LINES,
        customer=_CUSTOMER,
        destination=_GUANGZHOU,
    ),
    RoutePlanned: RoutePlanned(plan=_PLAN, parked=_SHORT),
    OrderAccepted: OrderAccepted(
        order_id=_ORDER,
        payment_source=topics.device_source(_TILL),
        payment_event_id=f"{_TILL}-000123",
        payment=msgspec.structs.replace(_PAYMENT, contact=None),
        plan=_PLAN,
        parked=_SHORT,
    ),
    OrderParked: OrderParked(order_id=_ORDER, parked=_SHORT),
    OrderCancelled: OrderCancelled(
        order_id=_ORDER,
        reason="changed their mind",
        lines=_PLANNED,
        withdrawn=[_TASK],
        released=_CELLS,
    ),
    InputRejected: InputRejected(
        code="invalid_data",
        detail="Expected `int` >= 1",
        place="$.data.lines[0].quantity",
        expected="the JSON Schema of pointsman.payment.succeeded.v1",
    ),
    PickRequested: PickRequested(
        task_id=_TASK,
        order_id=_ORDER,
        home_edge_id="edge-south",
        node_id=_NODE,
        service_id="standard",
        lines=_PLANNED,
        ready_at=_NOON,
        arrives_at=_NEXT_DAY,
    ),
    PickAccepted: PickAccepted(task_id=_TASK),
    PickCompleted: PickCompleted(task_id=_TASK),
    PickShort: PickShort(
        task_id=_TASK, missing=[PlannedLine(line=0, sku="22423", quantity=1)]
    ),
    PickRejected: PickRejected(task_id=_TASK, reason="cold store out of order"),
    PackagePacked: PackagePacked(task_id=_TASK, weight_g=830),
    PackageShipped: PackageShipped(task_id=_TASK, tracking="EX0001"),
    PackageDelivered: PackageDelivered(task_id=_TASK),
    StockReceived: StockReceived(
        node_id=_NODE, lines=[StockLine(sku="22423", quantity=48)], reason="purchase"
    ),
    StockExpected: StockExpected(
        node_id=_NODE,
        lot_id="asn-7781",
        lines=[StockLine(sku="22423", quantity=60)],
        expected_at=_NEXT_DAY,
    ),
    StockCounted: StockCounted(node_id=_NODE, lines=[CountLine(sku="22423", quantity=46)]),
    StockMoved: StockMoved(
        node_id=_NODE,
        to_node_id="store-guangzhou-1",
        lines=[StockLine(sku="22423", quantity=6)],
        expected_at=_NEXT_DAY,
    ),
}  # fmt: skip
