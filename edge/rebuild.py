"""What a restored edge has lost, put together again from the ledger's copy of its own past.

Central sends the events of the edge's unsettled and recent orders, and of the tasks at its own
nodes, in the order in which the ledger has them; an empty part ends it. Shares are
not rebuilt: a new epoch begins with those that are granted from then on.

The ledger may have a report before the task that it is about, and before the order: the task came
to its node by the fast way. Such events are kept until what they are about is known, be it after
the last part.
"""

from typing import Final

import msgspec

from edge import orders
from edge.cancellations import held
from edge.commands import FollowUp
from edge.network import COUNTER
from edge.records import Answer, Committed, Decision, Order, Task
from edge.state import State
from edge.tasks import among, issued, reported
from shared.envelope import Event, decode_data
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageShipped,
    PickKept,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
)
from shared.parts import Shortage
from shared.topics import device_source, edge_source

_FOLLOWED: Final = PickShort | PickRejected | PickWithdrawn | PickKept
"""Reports that the order's own edge has to follow."""

UNKNOWN_DIGEST: Final = b""
"""The ledger lacks the contact that the digest of a payment covers."""


def follow(state: State, decision: Decision, part: list[tuple[Event, Data]]) -> None:
    """Take a part of the past into the records; the empty part is the last one."""
    past = _Past(state)
    if not part:
        decision.rebuilt = True
        for order in state.records.untold_orders():
            decision.after += [FollowUp(event, decode_data(event)) for event in order.untold]
            decision.orders.append(msgspec.structs.replace(order, untold=[]))
        return
    for event, data in part:
        past.take(event, data)
        answered = _answered(event, data)
        if answered is not None:
            decision.answers.append((*answered, Answer(UNKNOWN_DIGEST, None)))
    decision.orders += past.orders.values()
    decision.tasks += past.tasks.values()
    decision.early += past.early


def _answered(event: Event, data: Data) -> tuple[str, str] | None:
    """The device's event that was handled: repeated, it must have no effect again."""
    if isinstance(data, OrderAccepted):
        return data.payment_source, data.payment_event_id
    return None if event.source.startswith("/edges/") else (event.source, event.id)


class _Past:
    """The records as one part of the past changes them."""

    def __init__(self, state: State) -> None:
        self.orders: dict[str, Order] = {}
        self.tasks: dict[str, Task] = {}
        self.early: list[tuple[str, Event]] = []
        self._state = state
        self._source = edge_source(state.edge_id)

    def take(self, event: Event, data: Data) -> None:
        """One event."""
        mine = event.source == self._source
        match data:
            case OrderAccepted() if mine:
                self._accepted(event, data)
            case OrderAccepted(order_id=order_id) if self._order(order_id) is None:
                self.early.append((order_id, event))
            case RoutePlanned(order_id=str() as order_id) | OrderParked(order_id=order_id) if mine:
                self._told(order_id, event)
                self._wait(order_id, event.id, data.parked)
            case OrderCancelled(order_id=order_id) if mine:
                self._told(order_id, event)
                self._cancelled(event.id, data)
            case PickRequested():
                self._requested(event, data, mine)
            case PickReport():
                self._reported(event, data)
            case _:
                pass

    def _order(self, order_id: str) -> Order | None:
        return self.orders.get(order_id) or self._state.records.order(order_id)

    def _change(self, order_id: str, **changes: object) -> None:
        order = self._order(order_id)
        if order is not None:
            self.orders[order_id] = msgspec.structs.replace(order, **changes)

    def _wait(self, order_id: str, event_id: str, parked: list[Shortage]) -> None:
        order = self._order(order_id)
        if order is not None:
            self.orders[order_id] = order.wait(parked, event_id)

    def _accepted(self, event: Event, data: OrderAccepted) -> None:
        self.orders[data.order_id] = Order(
            order_id=data.order_id,
            device=data.payment_source.removeprefix(device_source("")),
            accepted_id=event.id,
            payment=data.payment,
            attempt=0,
            packages=[],
            parked=data.parked,
            failed=[],
            # Another edge has accepted it before: this one yields, see `edge.cancellations`.
            untold=self._early(data.order_id)[:1],
        )

    def _told(self, order_id: str, event: Event) -> None:
        """The order has followed the report that caused this event."""
        order = self._order(order_id)
        cause = (
            next((x for x in order.untold if x.id == event.causationid), None) if order else None
        )
        if order is None or cause is None:
            return
        order = msgspec.structs.replace(order, untold=[x for x in order.untold if x is not cause])
        self.orders[order_id] = order
        told = decode_data(cause)
        if not isinstance(told, PickReport):
            return
        package = next((p for p in order.packages if p.task_id == told.task_id), None)
        if isinstance(told, PickWithdrawn | PickKept):
            cancelling = {k: v for k, v in order.cancelling.items() if k != told.task_id}
            order = msgspec.structs.replace(order, cancelling=cancelling)
        elif package is not None:
            missing = told.missing if isinstance(told, PickShort) else package.lines
            order = orders.lose(order, package, missing)
        self.orders[order_id] = order

    def _cancelled(self, event_id: str, data: OrderCancelled) -> None:
        order = self._order(data.order_id)
        if order is None:
            return
        # As in `edge.cancellations.cancel`: first what waits, then package by package.
        left = {line.line: line.quantity for line in data.lines} or held(order)
        for line in data.unparked:
            left[line.line] = left.get(line.line, 0) - line.quantity
        cancelling = {k: v for k, v in order.cancelling.items() if k not in data.withdrawn}
        asked = {task.task_id for task in data.asked}
        for package in order.packages:
            if package.task_id in asked or package.task_id in data.withdrawn:
                gone = among(package.lines, left)
                for line in gone:
                    left[line.line] -= line.quantity
                if package.task_id in asked:
                    cancelling[package.task_id] = {line.line: line.quantity for line in gone}
        self._change(
            data.order_id,
            packages=[p for p in order.packages if p.task_id not in data.withdrawn],
            cancelling=cancelling,
        )
        self._wait(data.order_id, event_id, data.parked)
        for task_id in data.withdrawn:
            task = self._task(task_id)
            if task is not None:
                self.tasks[task_id] = msgspec.structs.replace(task, state="withdrawn")

    def _at_home(self, node_id: str | None) -> bool:
        return node_id is not None and self._state.home_of(node_id) == self._state.edge_id

    def _early(self, about: str) -> list[Event]:
        before = self._state.records.early(about)
        return [*before, *(event for of, event in self.early if of == about)]

    def _requested(self, event: Event, data: PickRequested, mine: bool) -> None:
        early = self._early(data.task_id)
        if mine:
            self._commit(
                data.order_id,
                Committed(
                    task_id=data.task_id,
                    node_id=data.node_id,
                    service_id=data.service_id,
                    lines=data.lines,
                    ready_at=data.ready_at,
                    arrives_at=data.arrives_at,
                    slot=data.slot,
                ),
            )
            for report in early:
                self._tell(data.order_id, report, decode_data(report))
        # A task that is known already came by the feed before this past.
        if self._at_home(data.node_id) and self._task(data.task_id) is None:
            self.tasks[data.task_id] = reported(issued(data, event), map(decode_data, early))

    def _commit(self, order_id: str, package: Committed) -> None:
        order = self._order(order_id)
        if order is not None:
            self._change(
                order_id,
                packages=[*order.packages, package],
                attempt=max(order.attempt, int(package.task_id.split(".")[-2])),
            )

    def _task(self, task_id: str) -> Task | None:
        return self.tasks.get(task_id) or self._state.records.task(task_id)

    def _reported(self, event: Event, data: PickReport) -> None:
        task = self._task(data.task_id)
        if task is not None:
            self.tasks[data.task_id] = reported(task, [data])
        elif isinstance(data, PackageShipped) and event.source == self._source:
            # Carried out of the store: a package without a task.
            order = self._order(event.correlationid or "")
            if order is not None and data.node_id is not None:
                self._commit(
                    order.order_id,
                    Committed(
                        task_id=data.task_id,
                        node_id=data.node_id,
                        service_id=COUNTER,
                        lines=data.lines,
                        ready_at=event.time,
                        arrives_at=event.time,
                    ),
                )
        elif self._at_home(data.node_id):
            self.early.append((data.task_id, event))
        if data.home_edge_id == self._state.edge_id:
            order_id = event.correlationid or ""
            if self._order(order_id) is not None:
                self._tell(order_id, event, data)
            elif not self._at_home(data.node_id):
                self.early.append((data.task_id, event))

    def _tell(self, order_id: str, event: Event, told: Data) -> None:
        """A report that the order has to follow, unless a later event says that it has."""
        order = self._order(order_id)
        if order is not None and isinstance(told, _FOLLOWED):
            self._change(order_id, untold=[*order.untold, event])
