"""The life of an order and of its lines: every state, every step, and on what. One place. Pure.

An order's state is a function of its lines and tasks (`order_state`), so it does not depend on
which edge's stream was read first; `ORDER_STEPS` says which changes of it are part of a normal
life. Beneath it each unit of each line is in one state (`central.lines` counts them), and moves by
`LINE_STEPS`. A pick task moves by `shared.tasks`. What does not fit is kept in the ledger, noted
as an exception, and not applied.

`docs/lifecycle.md` shows these tables; a test holds it to them.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from central.desk import Order, OrderState, Task
from shared.tasks import TaskState

LIFECYCLE_VERSION: Final = 1
"""Goes up when a state or a step is added, taken away, or comes to mean something else."""

LineState = Literal[
    "parked", "planned", "picking", "picked", "packed", "shipped", "delivered", "short", "cancelled"
]


class Step(NamedTuple):
    """A row of a table: from, to, on which events (the middles of their types), and why."""

    before: str
    after: str
    on: str
    why: str


ORDER_STATES: Final[dict[OrderState, str]] = {
    "accepted": "Paid and taken; nothing is planned. Also where an order is before it is known.",
    "parked": "All of it waits.",
    "part_parked": "Some of it waits; the rest goes its way.",
    "planned": "Nodes are chosen, and no warehouse has begun.",
    "picking": "A warehouse has begun, and not every package is packed.",
    "packed": "Every package is packed, or further.",
    "shipped": "Every package has left its node.",
    "delivered": "The customer has every package.",
    "cancelled": "Nothing more comes of it.",
}

_MORE: Final = "pick.requested route.planned order.parked order.cancelled"
_FAILED: Final = "pick.short pick.rejected pick.withdrawn order.cancelled"
_FIRST: Final = "order.accepted pick.requested route.planned order.parked order.cancelled"
"""Steps from `accepted` on these are ones that another edge's stream has made, read first."""
_EARLY: Final = "pick.accepted pick.completed pick.short pick.kept"
"""Reports that may be read before the task: it came to its node by the fast way."""

ORDER_STEPS: Final[tuple[Step, ...]] = (
    Step("accepted", "parked", "order.accepted order.parked order.cancelled", "none can be had"),
    Step("accepted", "part_parked", _FIRST, "some of it cannot be had"),
    Step("accepted", "planned", f"{_FIRST} pick.short pick.kept", "nodes are chosen"),
    Step("accepted", "picking", f"{_FIRST} pick.accepted pick.completed", "a report came first"),
    Step("accepted", "packed", f"{_FIRST} package.packed", "a report came first"),
    Step("accepted", "shipped", f"{_FIRST} package.shipped", "carried out, or a report came first"),
    Step("accepted", "delivered", f"{_FIRST} package.delivered", "a report came first"),
    Step("accepted", "cancelled", _FIRST, "cancelled before anything else was known"),
    Step("parked", "part_parked", f"{_MORE} {_EARLY} package.packed package.shipped "
         "package.delivered", "some of what waited is planned"),
    Step("parked", "planned", "route.planned order.cancelled", "what waited is planned"),
    Step("parked", "picking", "route.planned order.cancelled", "the rest is with a warehouse"),
    Step("parked", "accepted", "order.cancelled route.planned", "what waited is not wanted"),
    Step("parked", "cancelled", "order.cancelled", "all that waited is not wanted"),
    Step("part_parked", "parked", f"order.parked {_FAILED}", "what did not wait has failed"),
    Step("part_parked", "planned", "route.planned order.cancelled", "nothing waits any more"),
    Step("part_parked", "picking", "route.planned order.cancelled", "nothing waits any more"),
    Step("part_parked", "packed", "route.planned order.cancelled", "nothing waits any more"),
    Step("part_parked", "shipped", "route.planned order.cancelled", "nothing waits any more"),
    Step("part_parked", "delivered", "route.planned order.cancelled", "nothing waits any more"),
    Step("part_parked", "accepted", "order.cancelled route.planned", "what waited is not wanted"),
    Step("part_parked", "cancelled", "order.cancelled", "nothing of it is wanted"),
    Step("planned", "picking", "pick.accepted pick.completed package.packed package.shipped "
         "package.delivered", "a warehouse has begun"),
    Step("planned", "packed", f"package.packed {_FAILED}", "the only package is closed"),
    Step("planned", "shipped", f"package.shipped {_FAILED}", "the only package has left"),
    Step("planned", "delivered", f"package.delivered {_FAILED}", "only delivered packages remain"),
    Step("planned", "parked", "order.parked order.accepted order.cancelled", "all of it failed"),
    Step("planned", "part_parked", "order.parked route.planned order.accepted order.cancelled",
         "some of it failed"),
    Step("planned", "accepted", _FAILED, "every package is gone"),
    Step("planned", "cancelled", "order.cancelled", "nothing of it is wanted"),
    Step("picking", "packed", f"package.packed package.shipped package.delivered {_FAILED}",
         "the last package is closed"),
    Step("picking", "shipped", f"package.shipped package.delivered {_FAILED}",
         "the last package has left"),
    Step("picking", "delivered", f"package.delivered {_FAILED}", "the last package is there"),
    Step("picking", "planned", f"{_FAILED} {_MORE}", "what had begun has failed"),
    Step("picking", "parked", "order.parked order.accepted order.cancelled", "all of it failed"),
    Step("picking", "part_parked", "order.parked route.planned order.accepted order.cancelled",
         "some of it failed"),
    Step("picking", "accepted", _FAILED, "every package is gone"),
    Step("picking", "cancelled", "order.cancelled", "nothing of it is wanted"),
    Step("packed", "shipped", f"package.shipped package.delivered {_FAILED}", "all has left"),
    Step("packed", "delivered", f"package.delivered {_FAILED}", "the customer has all of it"),
    Step("packed", "picking", f"pick.requested {_EARLY}", "another package is asked for"),
    Step("packed", "part_parked", "order.parked route.planned order.accepted order.cancelled",
         "units of another package wait"),
    Step("packed", "cancelled", "order.cancelled", "nothing of it is wanted"),
    Step("shipped", "delivered", f"package.delivered {_FAILED}", "the customer has all of it"),
    Step("shipped", "picking", f"pick.requested {_EARLY}", "another package is asked for"),
    Step("shipped", "part_parked", "order.parked route.planned order.accepted order.cancelled",
         "units of another package wait"),
    Step("delivered", "shipped", "package.shipped", "another package has left"),
    Step("delivered", "picking", f"pick.requested {_EARLY}", "another package is asked for"),
    Step("delivered", "part_parked", "order.parked route.planned order.accepted order.cancelled",
         "units of another package wait"),
)  # fmt: skip
"""Steps back are normal where a package failed, or another one became known; so are leaps ahead:
the package that was behind all others may have failed."""

_FITS: Final = {(step.before, step.after) for step in ORDER_STEPS}

LINE_STATES: Final[dict[LineState, str]] = {
    "parked": "Waits for stock, for room, or for a planner.",
    "planned": "A node is chosen; its warehouse has not said that it will.",
    "picking": "The warehouse has taken the task.",
    "picked": "Off the shelf.",
    "packed": "In a closed package.",
    "shipped": "Has left the node.",
    "delivered": "With the customer.",
    "short": "A node has failed it, and the order's edge has not yet said what follows.",
    "cancelled": "No longer wanted; it never left.",
}

LINE_STEPS: Final[tuple[Step, ...]] = (
    Step("", "planned", "order.accepted", "a node is chosen at once"),
    Step("", "parked", "order.accepted", "it cannot be had now"),
    Step("", "short", "order.accepted", "the answer says nothing of it: a fault of the edge"),
    Step("parked", "planned", "route.planned", "it can be had now"),
    Step("parked", "short", "order.parked route.planned order.cancelled",
         "it does not wait any more, and nobody says why: a fault of the edge"),
    Step("parked", "cancelled", "order.cancelled", "it waited, and is not wanted"),
    Step("planned", "parked", "order.parked route.planned order.cancelled",
         "it was planned, and waits again"),
    Step("planned", "picking", "pick.accepted", "the warehouse takes the task"),
    Step("planned", "picked", "pick.completed", "the same, said in one"),
    Step("planned", "packed", "package.packed", "the same, said in one"),
    Step("planned", "shipped", "package.shipped", "the same, said in one; or carried out"),
    Step("planned", "short", "pick.short pick.rejected", "the node has failed it"),
    Step("planned", "cancelled", "order.cancelled", "its task is withdrawn"),
    Step("picking", "picked", "pick.completed", "all that is there is off the shelf"),
    Step("picking", "packed", "package.packed", "the same, said in one"),
    Step("picking", "shipped", "package.shipped", "the same, said in one"),
    Step("picking", "short", "pick.short pick.rejected", "the node has failed it"),
    Step("picked", "packed", "package.packed", "the package is closed"),
    Step("picked", "shipped", "package.shipped", "the same, said in one"),
    Step("packed", "shipped", "package.shipped", "carrier or customer has taken it"),
    Step("shipped", "delivered", "package.delivered", "the customer has it"),
    Step("short", "planned", "route.planned", "another node is chosen"),
    Step("short", "parked", "order.parked route.planned order.cancelled", "no node has it now"),
    Step("short", "cancelled", "order.cancelled", "nobody looks for it any more"),
)  # fmt: skip

LINE_OF_TASK: Final[dict[TaskState, LineState]] = {
    "issued": "planned", "accepted": "picking", "completed": "picked", "packed": "packed",
    "shipped": "shipped", "delivered": "delivered", "rejected": "short", "withdrawn": "planned",
}  # fmt: skip
"""Where the units of a task are. Withdrawn ones are planned until the order's edge says more."""

PROGRESS: Final[dict[TaskState, int]] = {
    "issued": 0, "accepted": 1, "completed": 1, "packed": 2, "shipped": 3, "delivered": 4,
}  # fmt: skip
"""How far along an order's task is, for the order."""


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


def fits(before: OrderState, after: OrderState) -> bool:
    """Whether an order may go from one state to another."""
    return before == after or (before, after) in _FITS
