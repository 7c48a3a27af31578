"""What central commands because of an event. Pure: an event and what is known before it is applied.

What is decided here is appended to central's own stream, in the transaction of its cause. A
rebuild reads it from there and does not decide again.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias

from central.accounts import postings
from central.dealings import Dealings
from central.desk import Desk
from central.systems import Systems
from shared.clock import to_ms
from shared.envelope import Event
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PickReport,
    PickShort,
    RoutePlanned,
)
from shared.parts import Shortage, is_slot
from shared.systems import (
    Command,
    InventoryLockRequested,
    LockLine,
    PaymentConfirmationRequested,
)

Holding: TypeAlias = Counter[tuple[str, str]]
"""SKU and node to units; an empty node: not decided yet."""

_TAKES: Final = {"commit": 1, "release": -1, "miss": -1, "counted": -1}


def follow(
    edge_id: str, event: Event, data: Data, desk: Desk, dealings: Dealings, systems: Systems
) -> list[Command]:
    """The commands that follow from an event.

    Args:
        edge_id: whose stream it stands in.
        event: an entry of the ledger.
        data: the event's.
        desk: orders and tasks as they are before it.
        dealings: the locks of the order that it is about.
        systems: who is there to be commanded.
    """
    match data:
        case OrderAccepted(order_id=order_id):
            order = desk.orders.get(order_id)
            if order is None or order.edge_id is None:
                return _accepted(data, systems)
        case RoutePlanned(order_id=str() as order_id):
            return _changed(edge_id, order_id, data, data.parked, desk, dealings, systems)
        case OrderParked(order_id=order_id) | OrderCancelled(order_id=order_id):
            return _changed(edge_id, order_id, data, data.parked, desk, dealings, systems)
        case PickShort():
            return _short(event, data, desk, dealings, systems)
    return []


def held(data: Data, before: Holding, parked: Iterable[Shortage] | None) -> Holding:
    """What an order holds after an event.

    Args:
        data: the event's.
        before: what it held before.
        parked: all lines that wait now; None: as before.
    """
    after = Counter(before)
    for rule, (node_id, sku), units in postings(data):
        if rule in _TAKES and not is_slot(sku):
            after[sku, node_id] += _TAKES[rule] * units
    if parked is not None:
        for sku, node_id in before:
            if not node_id:
                del after[sku, node_id]
        for line in parked:
            after[line.sku, ""] += line.quantity
    return +after


def lines_of(holding: Holding) -> list[LockLine]:
    """As a command names it, in a fixed order."""
    return [
        LockLine(sku=sku, quantity=units, node_id=node_id or None)
        for (sku, node_id), units in sorted(holding.items())
    ]


def _accepted(data: OrderAccepted, systems: Systems) -> list[Command]:
    made: list[Command] = []
    if erp := systems.of_role("erp"):
        lines = lines_of(held(data, Counter(), data.parked))
        made.append(
            InventoryLockRequested(order_id=data.order_id, system=erp, revision=1, lines=lines)
        )
    if sms := systems.of_role("sms"):
        packages = [] if data.plan is None else data.plan.packages
        made.append(
            PaymentConfirmationRequested(
                order_id=data.order_id,
                system=sms,
                amount=data.payment.amount,
                promised_at=max((x.arrives_at for x in packages), key=to_ms, default=None),
            )
        )
    return made


def _changed(
    edge_id: str,
    order_id: str,
    data: Data,
    parked: Iterable[Shortage] | None,
    desk: Desk,
    dealings: Dealings,
    systems: Systems,
) -> list[Command]:
    """The lock anew, if an order that has one holds something else now."""
    order, lock, erp = (
        desk.orders.get(order_id),
        dealings.locks.get(order_id),
        systems.of_role("erp"),
    )
    # A second edge that has accepted the same payment takes nothing for this order.
    if erp is None or lock is None or order is None or order.edge_id != edge_id:
        return []
    before: Holding = Counter()
    for line in lock.read():
        before[line.sku, line.node_id or ""] += line.quantity
    lines = lines_of(held(data, before, parked))
    if lines == lock.read():
        return []
    return [
        InventoryLockRequested(
            order_id=order_id, system=erp, revision=lock.revision + 1, lines=lines
        )
    ]


def _short(
    event: Event, data: PickReport, desk: Desk, dealings: Dealings, systems: Systems
) -> list[Command]:
    task = desk.tasks.get(data.task_id)
    order_id = event.correlationid if task is None else task.order_id
    order = desk.orders.get(order_id or "")
    if order_id is None or order is None or order.edge_id is None:
        return []
    # It stands in the stream of the node's edge; whose order it is, the task says.
    home = data.home_edge_id or (None if task is None else task.home_edge_id)
    home_edge_id = order.edge_id if home is None else home
    return _changed(home_edge_id, order_id, data, None, desk, dealings, systems)
