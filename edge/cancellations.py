"""Cancellations: what can still be stopped, here and at other edges' nodes.

Each function takes the engine's state and a decision to fill, as in `edge.orders`.
"""

from collections.abc import Sequence

import msgspec

from edge import orders
from edge.journal import Cause
from edge.records import Committed, Decision, Order, Send, Task
from edge.state import State
from edge.tasks import among, subtract
from shared.envelope import Event, encode_event
from shared.errors import InvalidDataError
from shared.events import OrderAccepted, OrderCancelled, PickKept, PickWithdrawn
from shared.ids import task_id as task_id_of
from shared.parts import CellUnits, PlannedLine, Shortage, TaskAt


def cancel(
    state: State, decision: Decision, device: str, event: Event, asked: OrderCancelled, now_ms: int
) -> None:
    """Cancel what has not gone to a warehouse yet, and say of each unit what came of it.

    Units that wait are simply no longer wanted. A package whose task is at one of this edge's
    own nodes and not accepted is withdrawn, and what remains of it is asked for anew. Where
    another edge has the task, that edge is asked, and `settle` takes its answer. All else is
    too late: the goods come back as a return.

    Raises:
        UnknownOrderError: this edge keeps no such order.
        InvalidDataError: a line that the order does not have, or more of it than it holds.
    """
    order = orders.find(state, asked.order_id, "$.data.order_id")
    carried = order.payment.fulfilment.kind == "carry_out"
    left = held(order)
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
    renewed: list[Committed] = []
    cancelling = dict(order.cancelling)
    for package in order.packages:
        task = state.records.task(package.task_id)
        gone = among(package.lines, left)
        afar = state.home_of(package.node_id) != state.edge_id and not carried
        if not gone or (package.task_id in cancelling if afar else not _issued(task)):
            kept.append(package)
            continue
        taken = {line.line: line.quantity for line in gone}
        for line, units in taken.items():
            left[line] -= units
        if afar:
            cancelling[package.task_id] = taken
            kept.append(package)
            continue
        assert task is not None
        withdrawn.append(package.task_id)
        released += orders.cells_of(package.node_id, gone)
        if not subtract(package.lines, taken):
            released += package.slot_cells()
        decision.tasks.append(msgspec.structs.replace(task, state="withdrawn"))
        rest = subtract(package.lines, taken)
        if rest:
            renewed.append(msgspec.structs.replace(package, lines=rest))
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
        asked=[
            TaskAt(task_id=package.task_id, node_id=package.node_id)
            for package in order.packages
            if package.task_id in cancelling and package.task_id not in order.cancelling
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
    order = msgspec.structs.replace(order, packages=kept, cancelling=cancelling)
    order = order.wait(waiting, logged.id)
    decision.orders.append(_renew(state, decision, order, renewed, Cause.of(logged), now_ms))
    if waiting:
        decision.due.append(order.order_id)  # What was cancelled may have held up the rest.


def settle(
    state: State, decision: Decision, event: Event, told: PickWithdrawn | PickKept, now_ms: int
) -> None:
    """Another edge's answer: it has dropped a task, or it was too late.

    Raises:
        UnknownOrderError: this edge keeps no such order.
    """
    order = orders.find(state, event.correlationid or "", "$.correlationid")
    cancelling = dict(order.cancelling)
    wanted = cancelling.pop(told.task_id, None)
    package = next((p for p in order.packages if p.task_id == told.task_id), None)
    if wanted is None or package is None:
        if wanted is not None:  # The node has failed all of it meanwhile.
            order = msgspec.structs.replace(order, cancelling=cancelling)
            decision.orders.append(order)
        return
    gone = among(package.lines, wanted)
    if not gone and isinstance(told, PickKept):
        decision.orders.append(msgspec.structs.replace(order, cancelling=cancelling))
        return  # The node has failed what was to be dropped: it was told then.
    kept = [p for p in order.packages if p is not package]
    renewed: list[Committed] = []
    if isinstance(told, PickKept):
        kept = order.packages
        outcome = OrderCancelled(order_id=order.order_id, parked=order.parked, too_late=gone)
    else:
        taken = {line.line: line.quantity for line in gone}
        rest = subtract(package.lines, taken)
        renewed = [msgspec.structs.replace(package, lines=rest)] if rest else []
        outcome = OrderCancelled(
            order_id=order.order_id,
            withdrawn=[told.task_id],
            released=orders.cells_of(package.node_id, gone)
            + ([] if rest else package.slot_cells()),
            parked=order.parked,
            nothing_left=not (kept or renewed or order.parked),
        )
    logged = orders.tell(state, decision, order, outcome, Cause.of(event), now_ms)
    decision.given += outcome.released
    order = msgspec.structs.replace(order, packages=kept, cancelling=cancelling)
    order = order.wait(order.parked, logged.id)
    decision.orders.append(_renew(state, decision, order, renewed, Cause.of(logged), now_ms))


def yield_to(
    state: State, decision: Decision, event: Event, accepted: OrderAccepted, now_ms: int
) -> None:
    """Another edge has taken the same payment, and its acceptance came to central first.

    What can be stopped here is stopped. What is with a warehouse already goes out twice;
    central has noted it.
    """
    order = state.records.order(accepted.order_id)
    if order is None or not (order.parked or order.packages):
        return
    reason = f"accepted before by {event.source}"
    asked = OrderCancelled(order_id=order.order_id, reason=reason)
    cancel(state, decision, order.device, event, asked, now_ms)


def _renew(
    state: State,
    decision: Decision,
    order: Order,
    renewed: list[Committed],
    cause: Cause,
    now_ms: int,
) -> Order:
    """Ask anew for what remains of packages that were withdrawn: tasks never change."""
    if not renewed:
        return order
    attempt = order.attempt + 1
    packages = list(order.packages)
    for number, package in enumerate(renewed):
        task_id = task_id_of(order.order_id, state.edge_id, state.journal.epoch, attempt, number)
        package = msgspec.structs.replace(package, task_id=task_id)
        packages.append(package)
        orders.ask(state, decision, order.order_id, package, cause, now_ms)
    return msgspec.structs.replace(order, attempt=attempt, packages=packages)


def _issued(task: Task | None) -> bool:
    return task is not None and task.state == "issued"


def held(order: Order) -> dict[int, int]:
    """Units of each line that the order still holds: waiting, or in a package.

    Not those that another edge is already asked to drop: its answer says what becomes of them.
    """
    found: dict[int, int] = {}
    for line, units in (
        *((x.line, x.quantity) for x in order.parked),
        *((x.line, x.quantity) for package in order.packages for x in package.lines),
    ):
        found[line] = found.get(line, 0) + units
    for dropped in order.cancelling.values():
        for line, units in dropped.items():
            found[line] -= units
    return found


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
