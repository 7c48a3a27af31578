"""The life of a pick task: which report fits which state. One table for edge and central.

A report may skip steps that a warehouse does not tell apart, but never go back; goods are
delivered only after they have left. A short pick is a count, not a state.
"""

from typing import Final, Literal

TaskState = Literal[
    "issued", "accepted", "completed", "packed", "shipped", "delivered", "rejected", "withdrawn"
]

UNPICKED: Final[frozenset[TaskState]] = frozenset({"issued", "accepted"})
"""States of a task of which nothing was picked yet."""

UNSHIPPED: Final[frozenset[TaskState]] = UNPICKED | {"completed", "packed"}
"""States of a task whose goods are at the node."""

STEPS: Final[dict[str, tuple[frozenset[TaskState], TaskState | None]]] = {
    "pick.accepted": (frozenset({"issued"}), "accepted"),
    "pick.short": (UNPICKED, None),
    "pick.rejected": (UNPICKED, "rejected"),
    "pick.withdrawn": (frozenset({"issued"}), "withdrawn"),
    "pick.kept": (UNSHIPPED | {"shipped", "delivered", "rejected"}, None),
    "pick.completed": (UNPICKED, "completed"),
    "package.packed": (UNPICKED | {"completed"}, "packed"),
    "package.shipped": (UNSHIPPED, "shipped"),
    "package.delivered": (frozenset({"shipped"}), "delivered"),
}
"""Report to the states that it may find, and the state that it leads to (None: it stays)."""


def after(kind: str, state: TaskState) -> TaskState | None:
    """The state after a report of `kind`; None: the report does not fit."""
    found, leads_to = STEPS[kind]
    return (leads_to or state) if state in found else None
