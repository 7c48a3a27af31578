"""The records that the hub works on: orders, tasks, waiting lines. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from shared.parts import Shortage
from shared.tasks import TaskState

OrderState = Literal[
    "accepted", "parked", "part_parked", "planned", "picking", "packed", "shipped", "delivered",
    "cancelled",
]  # fmt: skip


SETTLED: Final[frozenset[OrderState]] = frozenset({"shipped", "delivered", "cancelled"})
"""Orders in these states hold nothing at a node any more."""


class Order(Struct):
    """An order as the events so far have it. `edge_id` is None until `order.accepted` is in."""

    order_id: str
    state: OrderState = "accepted"
    edge_id: str | None = None
    store_id: str | None = None
    units: int = 0
    amount_minor: int = 0
    currency: str = ""
    cancelled: bool = False
    promised_ms: int | None = None
    opened_ms: int = 0
    changed_ms: int = 0
    state_ms: int | None = None


class Task(Struct):
    """A pick task. What only `pick.requested` tells is None until it is in; times in ms."""

    task_id: str
    order_id: str | None = None
    node_id: str | None = None
    home_edge_id: str | None = None
    service_id: str | None = None
    state: TaskState = "issued"
    units: int = 0
    missing: int = 0
    promised_ms: int | None = None
    changed_ms: int = 0

    def live(self) -> bool:
        """Whether anything may still come, or has come, of it."""
        return self.state not in ("rejected", "withdrawn") and not 0 < self.units <= self.missing


class Waiting(Struct):
    """A parked line.

    Attributes:
        group: lines of an order with the same number need one node together; -1: no stock helps.
        nodes: those that would do, the best first, with spaces between.
    """

    order_id: str
    line: int
    edge_id: str
    sku: str
    units: int
    reason: str
    group: int = -1
    nodes: str = ""


def parked(edge_id: str, order_id: str, shortages: Iterable[Shortage]) -> list[Waiting]:
    """Shortages of an order as lines that wait at an edge."""
    return [
        Waiting(order_id, x.line, edge_id, x.sku, x.quantity, x.reason, x.group, " ".join(x.nodes))
        for x in shortages
    ]


class Misfit(NamedTuple):
    """An event, or a balance, that should not be: someone has to see it."""

    code: str
    detail: str
    order_id: str | None = None
    edge_id: str | None = None


@dataclass(slots=True)
class Desk:
    """The orders that a burst concerns, with their tasks and waiting lines.

    Attributes:
        changed: ids and keys of what has to be saved. A waiting line that is in `changed` and
            no longer in `waiting` is to be deleted.
    """

    orders: dict[str, Order] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    waiting: dict[tuple[str, int], Waiting] = field(default_factory=dict)
    tasks_of: dict[str, set[str]] = field(default_factory=dict)
    lines_of: dict[str, set[int]] = field(default_factory=dict)
    changed_orders: set[str] = field(default_factory=set)
    changed_tasks: set[str] = field(default_factory=set)
    changed_waiting: set[tuple[str, int]] = field(default_factory=set)

    def put_task(self, task: Task) -> None:
        """Add a task that was loaded or is new."""
        self.tasks[task.task_id] = task
        if task.order_id is not None:
            self.tasks_of.setdefault(task.order_id, set()).add(task.task_id)

    def put_waiting(self, line: Waiting) -> None:
        """Add a waiting line that was loaded or is new."""
        self.waiting[line.order_id, line.line] = line
        self.lines_of.setdefault(line.order_id, set()).add(line.line)

    def order(self, order_id: str) -> Order:
        """An order, made if no event has told of it before."""
        self.changed_orders.add(order_id)
        return self.orders.setdefault(order_id, Order(order_id))

    def park(self, edge_id: str, order_id: str, shortages: Iterable[Shortage]) -> None:
        """Exactly these lines of an order wait at an edge."""
        lines = self.lines_of.setdefault(order_id, set())
        for line in lines:
            del self.waiting[order_id, line]
            self.changed_waiting.add((order_id, line))
        lines.clear()
        for waiting in parked(edge_id, order_id, shortages):
            self.put_waiting(waiting)
            self.changed_waiting.add((order_id, waiting.line))
