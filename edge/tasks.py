"""Pick tasks at this edge's own nodes, and what the warehouses report about them."""

from collections.abc import Iterable

import msgspec

from edge.failures import Failure
from edge.journal import Cause
from edge.records import Decision, Send, Task
from edge.state import State
from shared.envelope import Event, decode_data, decode_event, encode_event
from shared.errors import InvalidDataError, TopicMismatchError, UnknownTaskError, WrongStateError
from shared.events import (
    Data,
    OrderCancelled,
    PackageShipped,
    PickAccepted,
    PickKept,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
)
from shared.parts import PlannedLine
from shared.tasks import UNPICKED, after
from shared.topics import edge_of


def take(decision: Decision, request: PickRequested, event: Event) -> None:
    """Keep a task of an own node and hand it to the node's warehouse."""
    task = issued(request, event)
    decision.tasks.append(task)
    decision.sends.append(Send(request.node_id, request.kind, task.event))


def issued(request: PickRequested, event: Event) -> Task:
    """A task of which nothing was reported yet."""
    return Task(
        task_id=request.task_id,
        state="issued",
        request=request,
        event_id=event.id,
        event=encode_event(event),
        lines=request.lines,
    )


def reported(task: Task, reports: Iterable[Data]) -> Task:
    """The task as reports that were taken before have left it."""
    lines, state = task.lines, task.state
    for told in reports:
        state = after(told.kind, state) or state
        if isinstance(told, PickShort):
            lines = subtract(lines, {x.line: x.quantity for x in told.missing})
            state = state if lines else "rejected"
    return msgspec.structs.replace(task, state=state, lines=lines)


def take_from_afar(state: State, decision: Decision, event: Event, request: PickRequested) -> None:
    """A task from another edge, by the fast way or the certain one; whichever is second is dropped.

    Raises:
        UnknownNodeError: the node is not one of this edge's.
    """
    state.require_own_node(request.node_id, "$.data.node_id")
    if state.records.task(request.task_id) is not None:
        return
    early = state.records.early(request.task_id)
    if early:  # The task was lost with the disk; its warehouse has had it.
        decision.tasks.append(reported(issued(request, event), map(decode_data, early)))
    else:
        take(decision, request, event)


def withdraw(
    state: State, decision: Decision, event: Event, asked: OrderCancelled, now_ms: int
) -> None:
    """Another edge asks to drop tasks at nodes of this one: drop what nobody has accepted.

    Each task is answered: the other edge keeps the order, and its units.
    """
    for named in asked.asked:
        if state.home_of(named.node_id) != state.edge_id:
            continue
        task = state.records.task(named.task_id)
        # No such task: this edge was restored, and the task was settled long ago.
        home = edge_of(event.source) if task is None else task.request.home_edge_id
        told: PickReport
        if task is not None and task.state == "issued":
            told = PickWithdrawn(task_id=named.task_id, node_id=named.node_id, home_edge_id=home)
            decision.tasks.append(msgspec.structs.replace(task, state="withdrawn"))
        else:
            told = PickKept(task_id=named.task_id, node_id=named.node_id, home_edge_id=home)
        logged = state.journal.decide(
            decision, told, now_ms, cause=Cause.of(event), order_id=asked.order_id
        )
        if isinstance(told, PickWithdrawn):
            decision.sends.append(Send(named.node_id, told.kind, encode_event(logged)))


def report(
    state: State, decision: Decision, device: str, event: Event, told: PickReport, now_ms: int
) -> tuple[Event, PickReport]:
    """Take a warehouse's report and log it.

    Returns:
        The logged event, and the report completed with node and home edge.

    Raises:
        UnknownTaskError: no such task at this edge's nodes.
        TopicMismatchError: the task is another node's.
        WrongStateError: the report does not fit what was reported before.
        InvalidDataError: more units missing than the task has.
    """
    task = state.records.task(told.task_id)
    if task is None:
        raise UnknownTaskError(
            f"no task {told.task_id!r} at this edge's nodes",
            place="$.data.task_id",
            expected="the task_id of a pick.requested that was sent to this node",
        )
    request = task.request
    if device != request.node_id:
        raise TopicMismatchError(
            f"task {told.task_id!r} belongs to node {request.node_id!r}, not {device!r}",
            place="topic",
            expected=f"the report on {request.node_id}'s own topic",
        )
    told = msgspec.structs.replace(told, node_id=request.node_id, home_edge_id=request.home_edge_id)
    reached = after(told.kind, task.state)
    if reached is None:
        raise _wrong_state(task, told.kind)
    lines = task.lines
    if isinstance(told, PackageShipped):
        told = msgspec.structs.replace(told, lines=task.lines)
    elif isinstance(told, PickShort):
        lines = _rest(task, told)
        reached = reached if lines else "rejected"
    decision.tasks.append(msgspec.structs.replace(task, state=reached, lines=lines))
    decision.failures += _learned(state, task, told, lines, now_ms)
    # The task may come from an edge whose clock is ahead; the report is later all the same.
    cause = Cause.of(decode_event(task.event))
    logged = state.journal.report(
        decision, event, told, now_ms, cause=cause, order_id=request.order_id
    )
    return logged, told


def _learned(
    state: State, task: Task, told: PickReport, lines: list[PlannedLine], now_ms: int
) -> Iterable[Failure]:
    """What a report teaches the node's edge; of its own orders' failures `edge.orders` learns."""
    node_id = task.request.node_id
    if isinstance(told, PickShort | PickRejected):
        if task.request.home_edge_id != state.edge_id:
            failed = told.missing if isinstance(told, PickShort) else lines
            for sku in sorted({line.sku for line in failed}):
                yield state.failures.after(node_id, sku, now_ms)
    elif told.kind != PickAccepted.kind and task.state in UNPICKED:
        whole = (line.sku for line in lines if line in task.request.lines)
        yield from state.failures.picked(node_id, whole, now_ms)


def _rest(task: Task, told: PickShort) -> list[PlannedLine]:
    """What a short pick leaves of the task.

    Raises:
        InvalidDataError: more is missing than the task has.
    """
    has = {line.line: line for line in task.lines}
    for number, line in enumerate(told.missing):
        known = has.pop(line.line, None)
        if known is None or known.sku != line.sku or line.quantity > known.quantity:
            raise InvalidDataError(
                f"the task has no {line.quantity} units of {line.sku!r} on line {line.line}",
                place=f"$.data.missing[{number}]",
                expected="lines of the task, once each, at most their quantities",
            )
    return subtract(task.lines, {line.line: line.quantity for line in told.missing})


def subtract(lines: Iterable[PlannedLine], taken: dict[int, int]) -> list[PlannedLine]:
    """The lines without the units taken, by line number; emptied lines are left out."""
    return [
        msgspec.structs.replace(line, quantity=rest)
        for line in lines
        if (rest := line.quantity - taken.get(line.line, 0)) > 0
    ]


def among(lines: Iterable[PlannedLine], wanted: dict[int, int]) -> list[PlannedLine]:
    """Of these lines, as many units as are wanted of each."""
    return [
        PlannedLine(line=x.line, sku=x.sku, quantity=units)
        for x in lines
        if (units := min(wanted.get(x.line, 0), x.quantity)) > 0
    ]


def _wrong_state(task: Task, kind: str) -> WrongStateError:
    return WrongStateError(
        f"task {task.task_id!r} is {task.state}; {kind} does not fit",
        place="$.data.task_id",
        expected="a report of a later step, or none: the task is settled",
    )
