"""Pick tasks at this edge's own nodes, and what the warehouses report about them."""

from collections.abc import Iterable
from typing import Final

import msgspec

from edge.records import Decision, Send, Task, TaskState
from edge.state import State
from shared.envelope import Event, encode_event
from shared.errors import InvalidDataError, TopicMismatchError, UnknownTaskError, WrongStateError
from shared.events import (
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
)
from shared.parts import PlannedLine

_ORDER: Final[tuple[TaskState, ...]] = (
    "issued", "accepted", "completed", "packed", "shipped", "delivered",
)  # fmt: skip

_LEADS_TO: Final[dict[type[PickReport], TaskState]] = {
    PickAccepted: "accepted",
    PickCompleted: "completed",
    PackagePacked: "packed",
    PackageShipped: "shipped",
    PackageDelivered: "delivered",
}
"""A report may skip steps that the warehouse does not report, but never go back."""

_FAILS_IN: Final[dict[type[PickReport], tuple[TaskState, ...]]] = {
    PickShort: ("issued", "accepted"),
    PickRejected: ("issued", "accepted"),
}


def take(decision: Decision, request: PickRequested, event: Event) -> None:
    """Keep a task of an own node and hand it to the node's warehouse."""
    payload = encode_event(event)
    decision.tasks.append(
        Task(
            task_id=request.task_id,
            state="issued",
            request=request,
            event_id=event.id,
            event=payload,
            lines=request.lines,
        )
    )
    decision.sends.append(Send(request.node_id, request.kind, payload))


def take_from_afar(state: State, decision: Decision, event: Event, request: PickRequested) -> None:
    """A task from another edge, by the fast way or the certain one; whichever is second is dropped.

    Raises:
        UnknownNodeError: the node is not one of this edge's.
    """
    state.require_own_node(request.node_id, "$.data.node_id")
    if state.records.task(request.task_id) is None:
        take(decision, request, event)


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
    if isinstance(told, PickShort | PickRejected):
        return _fail(state, decision, event, told, task, now_ms), told
    reached = _LEADS_TO[type(told)]
    if task.state not in _ORDER or _ORDER.index(reached) <= _ORDER.index(task.state):
        raise _wrong_state(task, told.kind)
    if isinstance(told, PackageShipped):
        told = msgspec.structs.replace(told, lines=task.lines)
    decision.tasks.append(msgspec.structs.replace(task, state=reached))
    return _log(state, decision, event, told, task, now_ms), told


def _fail(
    state: State,
    decision: Decision,
    event: Event,
    told: PickShort | PickRejected,
    task: Task,
    now_ms: int,
) -> Event:
    if task.state not in _FAILS_IN[type(told)]:
        raise _wrong_state(task, told.kind)
    if isinstance(told, PickShort):
        has = {line.line: line for line in task.lines}
        for number, line in enumerate(told.missing):
            known = has.pop(line.line, None)
            if known is None or known.sku != line.sku or line.quantity > known.quantity:
                raise InvalidDataError(
                    f"the task has no {line.quantity} units of {line.sku!r} on line {line.line}",
                    place=f"$.data.missing[{number}]",
                    expected="lines of the task, once each, at most their quantities",
                )
        rest = subtract(task.lines, {x.line: x.quantity for x in told.missing})
        state_after: TaskState = task.state if rest else "rejected"
    else:
        rest, state_after = [], "rejected"
    decision.tasks.append(msgspec.structs.replace(task, state=state_after, lines=rest))
    return _log(state, decision, event, told, task, now_ms)


def subtract(lines: Iterable[PlannedLine], taken: dict[int, int]) -> list[PlannedLine]:
    """The lines without the units taken, by line number; emptied lines are left out."""
    return [
        msgspec.structs.replace(line, quantity=rest)
        for line in lines
        if (rest := line.quantity - taken.get(line.line, 0)) > 0
    ]


def _log(
    state: State, decision: Decision, event: Event, told: PickReport, task: Task, now_ms: int
) -> Event:
    return state.journal.report(
        decision, event, told, now_ms, cause=task.event_id, order_id=task.request.order_id
    )


def _wrong_state(task: Task, kind: str) -> WrongStateError:
    return WrongStateError(
        f"task {task.task_id!r} is {task.state}; {kind} does not fit",
        place="$.data.task_id",
        expected="a report of a later step, or none: the task is settled",
    )
