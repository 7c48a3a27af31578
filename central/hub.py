"""Orders, tasks and waiting lines: what the events say about them. Pure.

A task moves by `shared.tasks`. All reports of a task come from one edge, so they come in order;
the task itself (`pick.requested`) comes from another edge and may arrive after them.

The states and the steps between them are in `central.lifecycle`. What does not fit is noted and
has no effect on the views; the ledger keeps it.
"""

from collections.abc import Iterable

from central.desk import Desk, Misfit, Order, Task
from central.lifecycle import fits, order_state
from shared.clock import to_ms
from shared.envelope import Event
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageShipped,
    PickReport,
    PickRequested,
    PickShort,
    RoutePlanned,
)
from shared.parts import Plan, PlannedLine
from shared.systems import AboutOrder
from shared.tasks import after


def mentions(event: Event, data: Data) -> tuple[str | None, str | None]:
    """Order id and task id that an event is about, as far as it says."""
    match data:
        case OrderAccepted() | OrderParked() | OrderCancelled():
            return data.order_id, None
        case RoutePlanned():
            return data.order_id, None
        case PickRequested():
            return data.order_id, data.task_id
        case PickReport():
            return event.correlationid, data.task_id
        case AboutOrder():
            return data.order_id, None
        case _:
            return None, None


def apply(desk: Desk, edge_id: str, event: Event, data: Data) -> list[Misfit]:
    """Take one event into the views; what does not fit comes back and has no effect."""
    match data:
        case OrderAccepted():
            order_id, misfits = data.order_id, _accepted(desk, edge_id, data)
        case OrderParked() | OrderCancelled() | RoutePlanned() if _of_another(
            desk, edge_id, data.order_id
        ):
            # The same payment at a second edge: noted when that edge accepted it. Its tasks are
            # real, and kept; the order's state does not follow them.
            if isinstance(data, OrderCancelled):
                _withdraw(desk, data)
            return []
        case RoutePlanned(order_id=str() as order_id):
            misfits = _unknown(desk, order_id)
            _promise(desk.order(order_id), data.plan)
            desk.park(edge_id, order_id, data.parked)
        case OrderParked(order_id=order_id):
            misfits = _unknown(desk, order_id)
            desk.park(edge_id, order_id, data.parked)
        case OrderCancelled(order_id=order_id):
            misfits = _unknown(desk, order_id)
            desk.park(edge_id, order_id, data.parked)
            _withdraw(desk, data)
            if data.nothing_left:
                desk.order(order_id).cancelled = True
        case PickRequested(order_id=order_id):
            misfits = _requested(desk, data, to_ms(event.time))
        case PickReport():
            of_task, misfits = _reported(desk, edge_id, event, data)
            if of_task is None:
                return misfits  # its order is known once pick.requested is in
            order_id = of_task
        case _:
            return []
    return [*misfits, *_follow(desk, order_id, to_ms(event.time))]


def _accepted(desk: Desk, edge_id: str, data: OrderAccepted) -> list[Misfit]:
    misfits = []
    order = desk.order(data.order_id)
    if data.payment.contact is not None:
        misfits.append(
            Misfit(
                "contact_in_log", f"{edge_id} has put contact details into its log", data.order_id
            )
        )
    if order.edge_id is not None:
        detail = f"accepted by {edge_id}, and before by {order.edge_id}"
        return [*misfits, Misfit("order_twice", detail, data.order_id)]
    order.edge_id, order.store_id = edge_id, data.payment.store_id
    order.units = sum(line.quantity for line in data.payment.lines)
    order.amount_minor = data.payment.amount.minor
    order.currency = data.payment.amount.currency
    order.opened_ms = to_ms(data.payment.paid_at)
    _promise(order, data.plan)
    desk.park(edge_id, data.order_id, data.parked)
    return misfits


def _of_another(desk: Desk, edge_id: str, order_id: str | None) -> bool:
    """Whether an order is known to be another edge's."""
    order = None if order_id is None else desk.orders.get(order_id)
    return order is not None and order.edge_id not in (None, edge_id)


def _promise(order: Order, plan: Plan | None) -> None:
    if plan is not None:
        last = max(to_ms(package.arrives_at) for package in plan.packages)
        order.promised_ms = max(order.promised_ms or 0, last)


def _unknown(desk: Desk, order_id: str) -> list[Misfit]:
    # The edge that says so has accepted the order earlier in the same stream.
    order = desk.orders.get(order_id)
    if order is None or order.edge_id is None:
        return [Misfit("unknown_order", "no order.accepted came before", order_id)]
    return []


def _requested(desk: Desk, data: PickRequested, time_ms: int) -> list[Misfit]:
    task = desk.tasks.get(data.task_id)
    if task is None:
        task = Task(data.task_id)
    elif task.units:
        return [Misfit("task_twice", f"task {data.task_id} was requested before", data.order_id)]
    if task.order_id not in (None, data.order_id):
        desk.tasks_of[task.order_id].discard(task.task_id)
    task.order_id, task.node_id = data.order_id, data.node_id
    task.home_edge_id, task.service_id = data.home_edge_id, data.service_id
    task.units = sum(line.quantity for line in data.lines)
    task.promised_ms = to_ms(data.arrives_at)
    task.changed_ms = max(task.changed_ms, time_ms)
    desk.put_task(task)
    desk.changed_tasks.add(task.task_id)
    if task.missing > task.units:  # It was reported before the task was known.
        return [_too_many(task, task.missing, data.order_id)]
    return []


def _withdraw(desk: Desk, data: OrderCancelled) -> None:
    # The edge withdraws only tasks that it has issued before, in the same stream. Another
    # order's task is on the desk only by chance.
    for task_id in data.withdrawn:
        task = desk.tasks.get(task_id)
        if task is not None and task.order_id == data.order_id:
            task.state = "withdrawn"
            desk.changed_tasks.add(task_id)


def _reported(
    desk: Desk, edge_id: str, event: Event, data: PickReport
) -> tuple[str | None, list[Misfit]]:
    task = desk.tasks.get(data.task_id)
    if task is None:
        task = Task(data.task_id, order_id=event.correlationid, node_id=data.node_id)
        task.home_edge_id = data.home_edge_id
        desk.put_task(task)
    elif data.home_edge_id is not None and task.home_edge_id not in (None, data.home_edge_id):
        return task.order_id, []  # a task of the order's second edge, by the same id
    desk.changed_tasks.add(task.task_id)
    misfits = []
    if data.node_id is None:
        misfits.append(Misfit("no_node", f"{data.kind} of {edge_id} names no node", task.order_id))
    state = after(data.kind, task.state)
    if state is None:
        detail = f"{data.kind} for task {task.task_id}, which is {task.state}"
        return task.order_id, [*misfits, Misfit("wrong_state", detail, task.order_id)]
    told = _units(data.missing) if isinstance(data, PickShort) else 0
    left = _units(data.lines) if isinstance(data, PackageShipped) else 0
    if 0 < task.units < task.missing + max(told, left):
        return task.order_id, [*misfits, _too_many(task, max(told, left), task.order_id)]
    task.state = state
    task.changed_ms = max(task.changed_ms, to_ms(event.time))
    task.missing += told
    return task.order_id, misfits


def _units(lines: Iterable[PlannedLine]) -> int:
    return sum(line.quantity for line in lines)


def _too_many(task: Task, units: int, order_id: str | None) -> Misfit:
    detail = f"{units} units of task {task.task_id}, which has {task.units - task.missing} left"
    if task.missing > task.units:
        detail = f"{units} units are missing of task {task.task_id}, which has {task.units}"
    return Misfit("too_many_units", detail, order_id)


def _follow(desk: Desk, order_id: str, time_ms: int) -> list[Misfit]:
    order = desk.order(order_id)
    state = order_state(
        order,
        [
            task
            for task_id in desk.tasks_of.get(order_id, ())
            if (task := desk.tasks[task_id]).home_edge_id in (None, order.edge_id)
            or order.edge_id is None
        ],
        sum(desk.waiting[order_id, line].units for line in desk.lines_of.get(order_id, ())),
    )
    before, order.state = order.state, state
    order.changed_ms = max(order.changed_ms, time_ms)
    if state != before or order.state_ms is None:
        order.state_ms = time_ms
    if fits(before, state):
        return []
    return [Misfit("order_step", f"order went from {before} to {state}", order_id)]
