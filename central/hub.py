"""Orders, tasks and waiting lines: what the events say about them. Pure.

A task moves by `shared.tasks`. All reports of a task come from one edge, so they come in order;
the task itself (`pick.requested`) comes from another edge and may arrive after them.

An order's state is a function of its lines and tasks (`order_state`), so it does not depend
on which edge's stream was read first; `ORDER_STEPS` says which changes are part of a normal
life. What does not fit is noted and has no effect on the views; the ledger keeps it.
"""

from collections.abc import Iterable
from typing import get_args

from central.desk import Desk, Misfit, Order, OrderState, Task
from shared.clock import to_ms
from shared.envelope import Event
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PickReport,
    PickRequested,
    PickShort,
    RoutePlanned,
)
from shared.parts import Plan
from shared.systems import AboutOrder
from shared.tasks import TaskState, after

# How far along an order's task is, for the order.
PROGRESS: dict[TaskState, int] = {
    "issued": 0, "accepted": 1, "completed": 1, "packed": 2, "shipped": 3,
    "delivered": 4,
}  # fmt: skip

# From, to. "accepted" is also where an order stands before anything is known. Steps back are
# normal where a package failed, or another one became known; so are leaps ahead: the package
# that was behind all others may have failed.
ORDER_STEPS: dict[OrderState, frozenset[OrderState]] = {
    "accepted": frozenset(get_args(OrderState)) - {"accepted"},
    "parked": frozenset({"part_parked", "planned", "picking", "accepted", "cancelled"}),
    "part_parked": frozenset(
        {"parked", "planned", "picking", "packed", "shipped", "delivered", "accepted", "cancelled"}
    ),
    "planned": frozenset(
        {
            "picking",
            "packed",
            "shipped",
            "delivered",
            "parked",
            "part_parked",
            "accepted",
            "cancelled",
        }
    ),
    "picking": frozenset(
        {
            "packed",
            "shipped",
            "delivered",
            "planned",
            "parked",
            "part_parked",
            "accepted",
            "cancelled",
        }
    ),
    "packed": frozenset({"shipped", "delivered", "picking", "part_parked", "cancelled"}),
    "shipped": frozenset({"delivered", "picking", "part_parked"}),
    "delivered": frozenset({"picking", "shipped", "part_parked"}),
    "cancelled": frozenset(),
}


def order_state(order: Order, tasks: Iterable[Task], parked: int) -> OrderState:
    """The state of an order; the first line that applies.

    Args:
        order: what its own events say.
        tasks: all its tasks that are known.
        parked: units of it that wait.
    """
    live = [PROGRESS[task.state] for task in tasks if task.live()]
    least, most = min(live, default=0), max(live, default=0)
    if order.cancelled and most < PROGRESS["shipped"]:
        return "cancelled"
    if parked:
        return "parked" if parked >= order.units and not live else "part_parked"
    if not live:
        return "accepted" if order.promised_ms is None else "planned"
    if least >= PROGRESS["delivered"]:
        return "delivered"
    if least >= PROGRESS["shipped"]:
        return "shipped"
    if least >= PROGRESS["packed"]:
        return "packed"
    return "picking" if most > 0 else "planned"


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
    task.state = state
    task.changed_ms = max(task.changed_ms, to_ms(event.time))
    if isinstance(data, PickShort):
        task.missing += sum(line.quantity for line in data.missing)
    return task.order_id, misfits


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
    if state == before or state in ORDER_STEPS[before]:
        return []
    return [Misfit("order_step", f"order went from {before} to {state}", order_id)]
