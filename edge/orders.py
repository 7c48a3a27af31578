"""Orders: accept, try again, replan, cancel.

Each function takes the engine's state and a decision to fill. Nothing here changes the state;
`State.apply` does, once the decision is whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from edge.journal import Cause
from edge.records import Committed, Decision, Order, Peer, Send, Task
from edge.routing.router import Question, Routed, Want, route
from edge.state import State
from edge.tasks import subtract, take
from shared.clock import to_ms
from shared.envelope import Event, encode_event
from shared.errors import InvalidDataError, UnknownOrderError
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageShipped,
    Payment,
    PickRejected,
    PickRequested,
    PickShort,
    RoutePlanned,
    RouteRequested,
)
from shared.ids import order_id as order_id_of
from shared.ids import task_id as task_id_of
from shared.parts import CellUnits, Contact, Plan, PlannedLine, Shortage

_NOTHING: Final = Contact()


def check(state: State, asked: Payment | RouteRequested) -> None:
    """Every name in the question must be known.

    Raises:
        NoNetworkError: there is no network to decide by yet.
        UnknownNodeError, UnknownSkuError: `place` says which name.
    """
    state.require_node(asked.store_id, "$.data.store_id")
    if asked.fulfilment.node_id is not None:
        state.require_node(asked.fulfilment.node_id, "$.data.fulfilment.node_id")
    for number, line in enumerate(asked.lines):
        state.require_sku(line.sku, f"$.data.lines[{number}].sku")


def quote(state: State, asked: RouteRequested, now_ms: int) -> RoutePlanned:
    """Routed the question; commit nothing."""
    check(state, asked)
    question = Question(
        wants=[Want(i, x.sku, x.quantity, x.group) for i, x in enumerate(asked.lines)],
        fulfilment=asked.fulfilment,
        store_id=asked.store_id,
        customer=asked.customer,
        destination=asked.destination,
    )
    answer = _route(state, question, now_ms)
    return RoutePlanned(plan=answer.plan, parked=answer.shortages)


def accept(
    state: State, decision: Decision, device: str, event: Event, paid: Payment, now_ms: int
) -> None:
    """Take a payment: a fact, so whatever cannot be fulfilled now is parked."""
    check(state, paid)
    order_id = order_id_of(event.source, event.id, to_ms(event.time))
    if paid.contact is not None and paid.contact != _NOTHING:
        decision.contact = (order_id, paid.contact)
    order = Order(
        order_id=order_id,
        device=device,
        accepted_id="",
        payment=msgspec.structs.replace(paid, contact=None),
        attempt=0,
        packages=[],
        parked=[],
        failed=[],
    )
    wants = [order.want(i, line.quantity) for i, line in enumerate(paid.lines)]
    answer = _route(state, order.question(wants), now_ms)
    accepted = OrderAccepted(
        order_id=order_id,
        payment_source=event.source,
        payment_event_id=event.id,
        payment=order.payment,
        plan=answer.plan,
        parked=answer.shortages,
    )
    logged = state.journal.decide(
        decision, accepted, now_ms, cause=Cause.of(event), order_id=order_id
    )
    decision.sends.append(Send(device, accepted.kind, encode_event(logged)))
    order = msgspec.structs.replace(order, accepted_id=logged.id, parked=answer.shortages)
    if answer.shortages:
        parked = OrderParked(order_id=order_id, parked=answer.shortages)
        state.journal.decide(decision, parked, now_ms, cause=Cause.of(logged), order_id=order_id)
    if answer.plan is not None:
        order = _commit(state, decision, order, answer.plan, Cause.of(logged), now_ms)
    decision.orders.append(order)


def retry(state: State, decision: Decision, order_id: str, now_ms: int) -> None:
    """Try the parked lines of an order again; says nothing where nothing has changed."""
    order = state.records.order(order_id)
    if order is None or not order.parked:
        return
    wants = [order.want(shortage.line, shortage.quantity) for shortage in order.parked]
    answer = _route(state, order.question(wants), now_ms)
    if answer.plan is None:
        return
    cause = Cause(order.accepted_id)
    planned = RoutePlanned(order_id=order_id, plan=answer.plan, parked=answer.shortages)
    logged = _tell(state, decision, order, planned, cause, now_ms)
    order = msgspec.structs.replace(order, parked=answer.shortages)
    decision.orders.append(_commit(state, decision, order, answer.plan, Cause.of(logged), now_ms))


def follow(
    state: State, decision: Decision, event: Event, told: PickShort | PickRejected, now_ms: int
) -> None:
    """A node failed some lines of a package of this edge's order: find another, or park them.

    What is missing does not exist; what was rejected is still on the shelf, so its units go
    back to the share. The node is not asked again for this order until it gets new units.

    Args:
        state: the engine's state.
        decision: filled with what follows.
        event: the logged report; it may come from another edge.
        told: what it says; with `node_id`.
        now_ms: milliseconds since 1970 UTC.

    Raises:
        UnknownOrderError: the order is not kept here.
    """
    order = _order(state, event.correlationid or "", "$.correlationid")
    failed = next((p for p in order.packages if p.task_id == told.task_id), None)
    if failed is None:
        return  # The order has let go of this task already: it was told before.
    missing = told.missing if isinstance(told, PickShort) else failed.lines
    lost = {line.line: line.quantity for line in missing}
    released = [] if isinstance(told, PickShort) else _cells(failed.node_id, failed.lines)
    rest = msgspec.structs.replace(failed, lines=subtract(failed.lines, lost))
    packages = [rest if package is failed else package for package in order.packages]
    order = msgspec.structs.replace(
        order,
        packages=[package for package in packages if package.lines],
        failed=sorted({*order.failed, failed.node_id}),
    )
    wants = [order.want(line.line, line.quantity) for line in missing]
    answer = _route(state, order.question(wants), now_ms)
    waiting = _together(order.parked, answer.shortages)
    order = msgspec.structs.replace(order, parked=waiting)
    decision.given += released
    outcome: OrderParked | RoutePlanned
    if answer.plan is None:
        outcome = OrderParked(order_id=order.order_id, parked=waiting, released=released)
    else:
        outcome = RoutePlanned(
            order_id=order.order_id, plan=answer.plan, parked=waiting, released=released
        )
    logged = _tell(state, decision, order, outcome, Cause.of(event), now_ms)
    if answer.plan is not None:
        order = _commit(state, decision, order, answer.plan, Cause.of(logged), now_ms)
    decision.orders.append(order)


def cancel(
    state: State, decision: Decision, device: str, event: Event, asked: OrderCancelled, now_ms: int
) -> None:
    """Cancel what has not gone to a warehouse yet, and say of each unit what came of it.

    Units that wait are simply no longer wanted. A package whose task is at one of this edge's
    own nodes and not accepted is withdrawn, and what remains of it is asked for anew. All
    else is too late: the goods come back as a return.

    Raises:
        UnknownOrderError: this edge keeps no such order.
        InvalidDataError: a line that the order does not have, or more of it than it holds.
    """
    order = _order(state, asked.order_id, "$.data.order_id")
    left = _held(order)
    if asked.lines:
        left = _named(order, asked.lines, left)
    unparked: list[PlannedLine] = []
    waiting: list[Shortage] = []
    for shortage in order.parked:
        units = min(left.get(shortage.line, 0), shortage.quantity)
        if units:
            left[shortage.line] -= units
            unparked.append(PlannedLine(line=shortage.line, sku=shortage.sku, quantity=units))
        if units < shortage.quantity:
            waiting.append(msgspec.structs.replace(shortage, quantity=shortage.quantity - units))
    withdrawn: list[str] = []
    released: list[CellUnits] = []
    kept: list[Committed] = []
    renewed: list[tuple[Committed, Task]] = []
    for package in order.packages:
        task = state.records.task(package.task_id)
        gone = [
            PlannedLine(line=x.line, sku=x.sku, quantity=units)
            for x in package.lines
            if (units := min(left.get(x.line, 0), x.quantity))
        ]
        if not gone or task is None or task.state != "issued":
            kept.append(package)
            continue
        taken = {line.line: line.quantity for line in gone}
        for line, units in taken.items():
            left[line] -= units
        withdrawn.append(package.task_id)
        released += _cells(package.node_id, gone)
        decision.tasks.append(msgspec.structs.replace(task, state="withdrawn"))
        rest = subtract(package.lines, taken)
        if rest:
            renewed.append((msgspec.structs.replace(package, lines=rest), task))
    outcome = msgspec.structs.replace(
        asked,
        withdrawn=withdrawn,
        released=released,
        unparked=unparked,
        parked=waiting,
        nothing_left=not (kept or renewed or waiting),
        too_late=[
            PlannedLine(line=line, sku=order.payment.lines[line].sku, quantity=units)
            for line, units in sorted(left.items())
            if units
        ],
    )
    logged = state.journal.decide(
        decision, outcome, now_ms, cause=Cause.of(event), order_id=order.order_id
    )
    payload = encode_event(logged)
    receivers = {
        device,
        order.device,
        *(p.node_id for p in order.packages if p.task_id in withdrawn),
    }
    decision.sends += [Send(receiver, outcome.kind, payload) for receiver in sorted(receivers)]
    decision.given += released
    attempt = order.attempt + (1 if renewed else 0)
    for number, (package, task) in enumerate(renewed):
        package = msgspec.structs.replace(
            package, task_id=task_id_of(order.order_id, attempt, number)
        )
        kept.append(package)
        request = msgspec.structs.replace(
            task.request, task_id=package.task_id, lines=package.lines
        )
        _ask(state, decision, request, Cause.of(logged), now_ms)
    decision.orders.append(
        msgspec.structs.replace(order, attempt=attempt, packages=kept, parked=waiting)
    )
    if waiting:
        decision.due.append(order.order_id)  # What was cancelled may have held up the rest.


def _held(order: Order) -> dict[int, int]:
    """Units of each line that the order still holds: waiting, or in a package."""
    held: dict[int, int] = {}
    for line, units in (
        *((x.line, x.quantity) for x in order.parked),
        *((x.line, x.quantity) for package in order.packages for x in package.lines),
    ):
        held[line] = held.get(line, 0) + units
    return held


def _named(order: Order, lines: Sequence[PlannedLine], held: dict[int, int]) -> dict[int, int]:
    """Units to cancel by line, where lines are named."""
    named: dict[int, int] = {}
    for number, line in enumerate(lines):
        place = f"$.data.lines[{number}]"
        known = line.line < len(order.payment.lines)
        if not known or order.payment.lines[line.line].sku != line.sku or line.line in named:
            raise InvalidDataError(
                f"line {line.line} with SKU {line.sku!r} is not the order's, or named twice",
                place=place,
                expected="lines of the order, once each",
            )
        if line.quantity > held.get(line.line, 0):
            raise InvalidDataError(
                f"the order holds {held.get(line.line, 0)} units of line {line.line}",
                place=f"{place}.quantity",
                expected="at most what was not cancelled before",
            )
        named[line.line] = line.quantity
    return named


def _together(parked: Iterable[Shortage], more: Iterable[Shortage]) -> list[Shortage]:
    """Everything of an order that waits: one entry a line, with the newest reason."""
    waiting = {shortage.line: shortage for shortage in parked}
    for shortage in more:
        before = waiting.get(shortage.line)
        units = shortage.quantity + (before.quantity if before else 0)
        waiting[shortage.line] = msgspec.structs.replace(shortage, quantity=units)
    return [waiting[line] for line in sorted(waiting)]


def _order(state: State, order_id: str, place: str) -> Order:
    order = state.records.order(order_id)
    if order is None:
        raise UnknownOrderError(
            f"this edge keeps no order {order_id!r}",
            place=place,
            expected="the order_id of an order.accepted of this edge",
        )
    return order


def _cells(node_id: str, lines: Iterable[PlannedLine]) -> list[CellUnits]:
    return [CellUnits(node_id=node_id, sku=x.sku, quantity=x.quantity) for x in lines]


def _route(state: State, question: Question, now_ms: int) -> Routed:
    known = [want for want in question.wants if want.sku in state.snapshot.sku_ix]
    # A later network may have dropped a SKU that an order still waits for.
    dropped = [
        Shortage(line=want.line, sku=want.sku, quantity=want.quantity, reason="unroutable")
        for want in question.wants
        if want.sku not in state.snapshot.sku_ix
    ]
    answer = Routed(None, [])
    if known:
        answer = route(state.snapshot, state.stock, replace(question, wants=known), now_ms)
    shortages = state.with_expected([*answer.shortages, *dropped], now_ms)
    return Routed(answer.plan, sorted(shortages, key=lambda shortage: shortage.line))


def _tell(
    state: State, decision: Decision, order: Order, data: Data, cause: Cause, now_ms: int
) -> Event:
    """Log a change of the order and tell the device that sent it."""
    logged = state.journal.decide(decision, data, now_ms, cause=cause, order_id=order.order_id)
    decision.sends.append(Send(order.device, data.kind, encode_event(logged)))
    return logged


def _commit(
    state: State, decision: Decision, order: Order, plan: Plan, cause: Cause, now_ms: int
) -> Order:
    """Take the plan's units out of the shares and ask the nodes for their packages."""
    attempt = order.attempt + 1
    packages = list(order.packages)
    for package in plan.packages:
        task_id = task_id_of(order.order_id, attempt, package.package)
        packages.append(
            Committed(
                task_id=task_id,
                node_id=package.node_id,
                service_id=package.service_id,
                lines=package.lines,
            )
        )
        decision.taken += _cells(package.node_id, package.lines)
        if order.payment.fulfilment.kind == "carry_out":
            left = PackageShipped(
                task_id=task_id,
                node_id=package.node_id,
                home_edge_id=state.edge_id,
                lines=package.lines,
            )
            state.journal.decide(decision, left, now_ms, cause=cause, order_id=order.order_id)
            continue
        request = PickRequested(
            task_id=task_id,
            order_id=order.order_id,
            home_edge_id=state.edge_id,
            node_id=package.node_id,
            service_id=package.service_id,
            lines=package.lines,
            ready_at=package.ready_at,
            arrives_at=package.arrives_at,
        )
        _ask(state, decision, request, cause, now_ms)
    return msgspec.structs.replace(order, attempt=attempt, packages=packages)


def _ask(
    state: State, decision: Decision, request: PickRequested, cause: Cause, now_ms: int
) -> None:
    """Log a pick task and send it on its way: to the own warehouse, or to the node's edge."""
    logged = state.journal.decide(decision, request, now_ms, cause=cause, order_id=request.order_id)
    edge_id = state.home_of(request.node_id)
    if edge_id == state.edge_id:
        take(decision, request, logged)
    else:
        decision.peers.append(Peer(edge_id, encode_event(logged)))
