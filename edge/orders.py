"""Orders: accept, try again, replan.

Each function takes the engine's state and a decision to fill. Nothing here changes the state;
`State.apply` does, once the decision is whole.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import msgspec

from edge.commands import FromDevice, LackError
from edge.decisions import Decided
from edge.journal import Cause
from edge.records import Committed, Decision, Order, Peer, Send
from edge.routing.question import Question, Routed, Want, question_of
from edge.routing.router import route
from edge.state import State
from edge.tasks import among, subtract, take
from shared.clock import to_ms
from shared.envelope import Event, encode_event
from shared.errors import UnknownOrderError
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
from shared.parts import CellUnits, Contact, Moment, Plan, PlannedLine, Shortage

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
    question = question_of(asked)
    answer = _route(state, question, now_ms, offer=True, alternatives=asked.alternatives)
    return RoutePlanned(plan=answer.plan, parked=answer.shortages, alternatives=answer.alternatives)


def accept(
    state: State, decision: Decision, command: FromDevice, paid: Payment, now_ms: int
) -> None:
    """Take a payment: a fact, so whatever cannot be fulfilled now is parked.

    Raises:
        LackError: shares lack something, and the payment may wait while central is asked.
    """
    check(state, paid)
    device, event = command.device, command.event
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
    question = order.question(wants)
    answer = _route(state, question, now_ms)
    groups = {x.group for x in answer.shortages if x.reason in ("share", "ship_together")}
    lacking = [x for x in answer.shortages if x.group >= 0 and x.group in groups]
    if command.patient and lacking:
        raise LackError(lacking)
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
    _keep(state, decision, question, now_ms)
    decision.sends.append(Send(device, accepted.kind, encode_event(logged)))
    order = msgspec.structs.replace(order, accepted_id=logged.id, parked=answer.shortages)
    if answer.shortages:
        parked = OrderParked(order_id=order_id, parked=answer.shortages)
        waits = state.journal.decide(
            decision, parked, now_ms, cause=Cause.of(logged), order_id=order_id
        )
        order = order.wait(answer.shortages, waits.id)
    if answer.plan is not None:
        order = _commit(state, decision, order, answer.plan, Cause.of(logged), now_ms)
    decision.orders.append(order)


def retry(state: State, decision: Decision, order_id: str, now_ms: int) -> None:
    """Try the parked lines of an order again; says nothing where nothing has changed."""
    order = state.records.order(order_id)
    if order is None or not order.parked:
        return
    wants = [order.want(shortage.line, shortage.quantity) for shortage in order.parked]
    waited: dict[tuple[str, str], int] = {}
    for node_id, sku, units in order.claims():
        waited[node_id, sku] = waited.get((node_id, sku), 0) + units
    question = replace(order.question(wants), waited=waited)
    answer = _route(state, question, now_ms)
    # Stock or time has come, and neither is an event of this edge: what made it wait is the cause.
    cause = Cause(order.parked_id or order.accepted_id)
    if answer.plan is None:
        if _why(answer.shortages) != _why(order.parked):  # Other help is needed now.
            parked = OrderParked(order_id=order_id, parked=answer.shortages)
            logged = tell(state, decision, order, parked, cause, now_ms)
            _keep(state, decision, question, now_ms)
            decision.orders.append(order.wait(answer.shortages, logged.id))
        return
    planned = RoutePlanned(order_id=order_id, plan=answer.plan, parked=answer.shortages)
    logged = tell(state, decision, order, planned, cause, now_ms)
    _keep(state, decision, question, now_ms)
    order = order.wait(answer.shortages, logged.id)
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
    order = find(state, event.correlationid or "", "$.correlationid")
    failed = next((p for p in order.packages if p.task_id == told.task_id), None)
    if failed is None:
        return  # The order has let go of this task already: it was told before.
    missing = told.missing if isinstance(told, PickShort) else failed.lines
    released = [] if isinstance(told, PickShort) else cells_of(failed.node_id, failed.lines)
    if not subtract(failed.lines, {x.line: x.quantity for x in missing}):
        released = released + failed.slot_cells()
    decision.failures += [
        state.failures.after(failed.node_id, sku, now_ms)
        for sku in sorted({x.sku for x in missing})
    ]
    decision.given += released
    # What the customer no longer wants, and the other edge was asked to drop, is not looked
    # for elsewhere.
    dropped = among(missing, order.cancelling.get(told.task_id, {}))
    wanted = subtract(missing, {x.line: x.quantity for x in dropped})
    order = lose(order, failed, missing)
    cause = Cause.of(event)
    if dropped:
        gone = OrderCancelled(
            order_id=order.order_id,
            unparked=dropped,
            released=released,
            parked=order.parked,
            nothing_left=not (wanted or order.packages or order.parked),
        )
        logged = tell(state, decision, order, gone, cause, now_ms)
        cause, order = Cause.of(logged), order.wait(order.parked, logged.id)
        released = []
        if not wanted:
            decision.orders.append(order)
            return
    wants = [order.want(line.line, line.quantity) for line in wanted]
    question = order.question(wants)
    answer = _route(state, question, now_ms)
    waiting = _together(order.parked, answer.shortages)
    outcome: OrderParked | RoutePlanned
    if answer.plan is None:
        outcome = OrderParked(order_id=order.order_id, parked=waiting, released=released)
    else:
        outcome = RoutePlanned(
            order_id=order.order_id, plan=answer.plan, parked=waiting, released=released
        )
    logged = tell(state, decision, order, outcome, cause, now_ms)
    _keep(state, decision, question, now_ms)
    order = order.wait(waiting, logged.id)
    if answer.plan is not None:
        order = _commit(state, decision, order, answer.plan, Cause.of(logged), now_ms)
    decision.orders.append(order)


def _why(
    parked: Iterable[Shortage],
) -> list[tuple[int, str, int, frozenset[str], Moment | None]]:
    return [
        (
            x.line,
            x.reason,
            x.group,
            frozenset(x.nodes),  # Central keeps units at these for it.
            x.expected_at,
        )
        for x in parked
    ]


def lose(order: Order, failed: Committed, missing: Iterable[PlannedLine]) -> Order:
    """The order without what a node has failed of one of its packages."""
    lost = {line.line: line.quantity for line in missing}
    rest = msgspec.structs.replace(failed, lines=subtract(failed.lines, lost))
    packages = [rest if package is failed else package for package in order.packages]
    cancelling = dict(order.cancelling)
    if dropped := cancelling.get(failed.task_id):
        left = {n: dropped[n] - lost.get(n, 0) for n in dropped}
        cancelling[failed.task_id] = {n: units for n, units in left.items() if units > 0}
    return msgspec.structs.replace(
        order,
        packages=[package for package in packages if package.lines],
        failed=sorted({*order.failed, failed.node_id}),
        cancelling=cancelling,
    )


def _together(parked: Iterable[Shortage], more: Iterable[Shortage]) -> list[Shortage]:
    """Everything of an order that waits: one entry a line, with the newest reason."""
    waiting = {shortage.line: shortage for shortage in parked}
    for shortage in more:
        before = waiting.get(shortage.line)
        units = shortage.quantity + (before.quantity if before else 0)
        waiting[shortage.line] = msgspec.structs.replace(shortage, quantity=units)
    return [waiting[line] for line in sorted(waiting)]


def find(state: State, order_id: str, place: str) -> Order:
    """An order of this edge.

    Raises:
        UnknownOrderError: this edge keeps no such order.
    """
    order = state.records.order(order_id)
    if order is None:
        raise UnknownOrderError(
            f"this edge keeps no order {order_id!r}",
            place=place,
            expected="the order_id of an order.accepted of this edge",
        )
    return order


def cells_of(node_id: str, lines: Iterable[PlannedLine]) -> list[CellUnits]:
    """Lines as units of a node's cells."""
    return [CellUnits(node_id=node_id, sku=x.sku, quantity=x.quantity) for x in lines]


def _route(
    state: State,
    question: Question,
    now_ms: int,
    *,
    offer: bool = False,
    alternatives: bool = False,
) -> Routed:
    known = _known(state, question)
    # A later network may have dropped a SKU that an order still waits for.
    dropped = [
        Shortage(line=want.line, sku=want.sku, quantity=want.quantity, reason="unroutable")
        for want in question.wants
        if want.sku not in state.snapshot.sku_ix
    ]
    answer = Routed(None, [])
    if known:
        question = replace(question, wants=known)
        answer = route(state.known, question, now_ms, offer=offer, alternatives=alternatives)
    shortages = state.with_expected([*answer.shortages, *dropped], now_ms)
    return replace(answer, shortages=sorted(shortages, key=lambda shortage: shortage.line))


def _known(state: State, question: Question) -> list[Want]:
    return [want for want in question.wants if want.sku in state.snapshot.sku_ix]


def _keep(state: State, decision: Decision, question: Question, now_ms: int) -> None:
    """Keep what the newest log entry was decided by."""
    if wants := _known(state, question):
        asked = replace(question, wants=wants)
        decision.decisions.append(Decided.of(state.known, asked, now_ms, state.journal.position))


def tell(
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
        task_id = task_id_of(
            order.order_id, state.edge_id, state.journal.epoch, attempt, package.package
        )
        committed = Committed(
            task_id=task_id,
            node_id=package.node_id,
            service_id=package.service_id,
            lines=package.lines,
            ready_at=package.ready_at,
            arrives_at=package.arrives_at,
            slot=package.slot,
        )
        packages.append(committed)
        decision.taken += cells_of(package.node_id, package.lines) + committed.slot_cells()
        if order.payment.fulfilment.kind == "carry_out":
            left = PackageShipped(
                task_id=task_id,
                node_id=package.node_id,
                home_edge_id=state.edge_id,
                lines=package.lines,
            )
            state.journal.decide(decision, left, now_ms, cause=cause, order_id=order.order_id)
            continue
        ask(state, decision, order.order_id, committed, cause, now_ms)
    return msgspec.structs.replace(order, attempt=attempt, packages=packages)


def ask(
    state: State,
    decision: Decision,
    order_id: str,
    package: Committed,
    cause: Cause,
    now_ms: int,
) -> None:
    """Log a pick task and send it on its way: to the own warehouse, or to the node's edge."""
    request = PickRequested(
        task_id=package.task_id,
        order_id=order_id,
        home_edge_id=state.edge_id,
        node_id=package.node_id,
        service_id=package.service_id,
        lines=package.lines,
        ready_at=package.ready_at,
        arrives_at=package.arrives_at,
        slot=package.slot,
    )
    logged = state.journal.decide(decision, request, now_ms, cause=cause, order_id=request.order_id)
    edge_id = state.home_of(request.node_id)
    if edge_id == state.edge_id:
        take(decision, request, logged)
    else:
        decision.peers.append(Peer(edge_id, encode_event(logged)))
