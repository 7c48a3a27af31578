"""A count that finds less than is promised to packages: some of them will be short.

What still stands in shares is central's to recall. What is already promised to packages of
this node is known here, so it is told at once, instead of when a picker finds the shelf empty.
"""

import msgspec

from edge.commands import FollowUp
from edge.journal import Cause
from edge.records import Decision, Send, Task
from edge.state import State
from edge.tasks import subtract
from shared.envelope import Event, encode_event
from shared.events import PickShort, StockCounted
from shared.parts import PlannedLine


def follow(
    state: State, decision: Decision, event: Event, counted: StockCounted, now_ms: int
) -> None:
    """Tell the newest packages of the node, which nobody picks yet, what they will lack."""
    shelf = {line.sku: line.quantity for line in counted.lines}
    tasks = list(state.records.open_tasks(counted.node_id))
    promised = dict.fromkeys(shelf, 0)
    for task in tasks:
        for line in task.lines:
            if line.sku in promised:
                promised[line.sku] += line.quantity
    lacking = {sku: promised[sku] - units for sku, units in shelf.items()}
    # Before a warehouse has accepted a task, nobody stands at the shelf with it.
    for task in sorted(tasks, key=lambda task: task.state != "issued"):
        if task.state in ("issued", "accepted"):
            _shorten(state, decision, event, task, lacking, now_ms)


def _shorten(
    state: State,
    decision: Decision,
    event: Event,
    task: Task,
    lacking: dict[str, int],
    now_ms: int,
) -> None:
    missing = []
    for line in task.lines:
        units = min(line.quantity, lacking.get(line.sku, 0))
        if units > 0:
            lacking[line.sku] -= units
            missing.append(PlannedLine(line=line.line, sku=line.sku, quantity=units))
    if not missing:
        return
    rest = subtract(task.lines, {line.line: line.quantity for line in missing})
    decision.tasks.append(
        msgspec.structs.replace(task, lines=rest, state=task.state if rest else "rejected")
    )
    request = task.request
    told = PickShort(
        task_id=task.task_id,
        node_id=request.node_id,
        home_edge_id=request.home_edge_id,
        missing=missing,
        counted=True,
    )
    logged = state.journal.decide(
        decision, told, now_ms, cause=Cause.of(event), order_id=request.order_id
    )
    decision.sends.append(Send(request.node_id, told.kind, encode_event(logged)))
    if request.home_edge_id == state.edge_id:
        decision.after.append(FollowUp(logged, told))
