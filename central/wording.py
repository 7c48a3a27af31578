"""An event of an order in plain English, and the context that a reader needs beside it. Pure.

An event that is not known by name here is told by its kind and by whom it is about, so that a new
type needs no change before it can be read. Text that people have typed is masked: it may hold a
phone number.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from shared.clock import to_datetime, to_ms
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickKept,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
    StockCounted,
)
from shared.masking import masked
from shared.parts import CountLine, Plan, PlannedLine, Shortage, ShortageReason
from shared.systems import (
    AboutOrder,
    AnswerMissed,
    Command,
    InventoryLocked,
    InventoryLockRefused,
    InventoryLockRequested,
    LockLine,
    MessageFailed,
    MessageSent,
    PaymentConfirmationRequested,
    StatusReported,
    Step,
)

_NAMED_MAX: Final = 5
"""Lines or packages that a sentence names; the context has them all."""

_TEXT_MAX: Final = 200

_SAID_BY_FIELD: Final = (
    "system", "device", "node_id", "state", "step", "code", "reason", "detail", "status",
)  # fmt: skip
"""Fields that tell most of an event whose type is not known by name here."""

WHY_SHORT: Final[dict[ShortageReason, str]] = {
    "share": "no node may promise enough of it",
    "ship_together": "what it ships together with is lacking",
    "unroutable": "no open lane or limit lets it through",
    "packages_max": "it would need more packages than allowed",
    "capacity": "nobody can pick it in any slot that is known",
    "fenced": "what is demanded of it clashes",
    "incoming": "it waits for stock on its way",
}


WHAT_ASKED: Final[dict[Step, str]] = {
    "lock": "the inventory lock",
    "confirmation": "the payment's confirmation",
    "pick_acceptance": "the pick task",
}


class Promise(Struct, frozen=True):
    """The promised arrival of the whole order was moved."""

    before: datetime | None
    after: datetime


class Late(Struct, frozen=True):
    """Something came later than planned: whose it is, and when it was due."""

    whose: str
    due_at: datetime


class PackageAt(Struct, frozen=True):
    """A package of a plan."""

    node_id: str
    service_id: str
    lines: list[PlannedLine]
    ready_at: datetime
    arrives_at: datetime


class Context(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What belongs to a step besides its sentence; empty where it has nothing of the kind.

    Attributes:
        system: who is asked, has answered, or owes the answer.
    """

    system: str | None = None
    task_id: str | None = None
    node_id: str | None = None
    lines: list[PlannedLine] = []
    shortages: list[Shortage] = []
    packages: list[PackageAt] = []
    asked: list[str] = []
    withdrawn: list[str] = []
    too_late: list[PlannedLine] = []
    tracking: str = ""
    reason: str = ""
    promise: Promise | None = None
    late: Late | None = None


def context_of(data: Data, by: str) -> Context:
    """What an event tells of shortages, packages, tasks, tracking and systems; see `sentence`."""
    match data:
        case OrderAccepted() | RoutePlanned():
            return Context(shortages=data.parked, packages=packages_of(data.plan))
        case OrderParked():
            return Context(shortages=data.parked)
        case OrderCancelled():
            return Context(
                lines=data.lines,
                shortages=data.parked,
                asked=[x.task_id for x in data.asked],
                withdrawn=data.withdrawn,
                too_late=data.too_late,
                reason=safe(data.reason),
            )
        case PickRequested():
            return Context(task_id=data.task_id, node_id=data.node_id, lines=data.lines)
        case PickReport():
            lines = data.missing if isinstance(data, PickShort) else []
            if isinstance(data, PackageShipped):
                lines = data.lines
            return Context(
                task_id=data.task_id,
                node_id=data.node_id,
                lines=lines,
                tracking=safe(getattr(data, "tracking", "")),
                reason=safe(getattr(data, "reason", "")),
            )
        case AnswerMissed(task_id=str()):
            return Context(task_id=data.task_id, node_id=data.system)
        case Command() | AnswerMissed():
            return Context(system=data.system)
        case AboutOrder():
            return Context(system=by, reason=safe(getattr(data, "reason", "")))
        case _:
            return Context(node_id=getattr(data, "node_id", None))


def packages_of(plan: Plan | None) -> list[PackageAt]:
    """The packages of a plan."""
    return [
        PackageAt(x.node_id, x.service_id, x.lines, x.ready_at, x.arrives_at)
        for x in ([] if plan is None else plan.packages)
    ]


def sentence(data: Data, by: str) -> str:
    """One plain sentence: what happened.

    Args:
        data: the event's.
        by: who says so.
    """
    match data:
        case OrderAccepted():
            units = sum(line.quantity for line in data.payment.lines)
            paid = f"{by} took a payment at {data.payment.terminal_id}"
            size = f"{_count(len(data.payment.lines), 'line')}, {_count(units, 'unit')}"
            return f"{paid}: {size}; {_planned(data.plan, data.parked)}."
        case RoutePlanned():
            return f"{by} made a new plan: {_planned(data.plan, data.parked)}."
        case OrderParked():
            return f"{by} lets lines wait: {_waits(data.parked)}."
        case OrderCancelled():
            return _cancelled(data, by)
        case PickRequested():
            goods, due = _goods(data.lines), moment(data.ready_at)
            task = f"task {data.task_id}"
            return f"{by} asked {data.node_id} to pick {goods} ({task}), ready by {due}."
        case PickReport():
            return _reported(data, by)
        case StockCounted():
            return f"{by} counted the shelf of {data.node_id}: {_goods(data.lines)}."
        case AboutOrder():
            return _of_system(data, by)
        case _:
            return _of_kind(data, by)


def unread(edge_id: str, code: str, detail: str) -> str:
    """The sentence of an event that has no effect."""
    return f"An event in the log of {edge_id} has no effect ({code}): {safe(detail)}."


def moment(at: datetime) -> str:
    """A time as a person reads it: UTC, to the second."""
    return f"{to_datetime(to_ms(at)):%Y-%m-%d %H:%M:%S} UTC"


def safe(text: str) -> str:
    """Text that somebody typed: masked, and not too long."""
    return masked(text)[:_TEXT_MAX]


def shortage(x: Shortage) -> str:
    """What is lacking, why, and when more is expected."""
    found = f"{x.quantity} × {x.sku} ({WHY_SHORT[x.reason]}"
    if x.expected_at is not None:
        found += f"; more expected {moment(x.expected_at)}"
    return found + ")"


def _reported(data: PickReport, by: str) -> str:
    task = f"task {data.task_id}"
    match data:
        case PickAccepted():
            return f"{by} accepted {task}."
        case PickCompleted():
            return f"{by} picked {task}."
        case PickShort():
            found = "a count found that" if data.counted else f"{by} was short:"
            return f"{found} {_goods(data.missing)} of {task} are missing."
        case PickRejected():
            why = f": {safe(data.reason)}" if data.reason else ""
            return f"{by} rejected {task}{why}."
        case PickWithdrawn():
            return f"{by} dropped {task} before anybody had begun."
        case PickKept():
            return f"{by} could not drop {task}: it was too late."
        case PackagePacked():
            return f"{by} packed the package of {task}."
        case PackageShipped():
            tracking = f", tracking {safe(data.tracking)}" if data.tracking else ""
            goods = f" with {_goods(data.lines)}" if data.lines else ""
            return f"The package of {task}{goods} left {data.node_id or by}{tracking}."
        case PackageDelivered():
            return f"The customer has the package of {task}."
        case _:
            return _of_kind(data, by)


def _of_system(data: AboutOrder, by: str) -> str:
    match data:
        case InventoryLockRequested(lines=[]):
            return f"Central asked {data.system} to lock nothing of the order any more."
        case InventoryLockRequested():
            return f"Central asked {data.system} to lock {_goods(data.lines)} in all."
        case PaymentConfirmationRequested():
            return f"Central asked {data.system} to confirm the payment to the customer."
        case InventoryLocked():
            return f"{by} locked what it was asked to."
        case InventoryLockRefused():
            return f"{by} refused the lock: {safe(data.reason)}."
        case MessageSent():
            return f"{by} sent the customer the message."
        case MessageFailed():
            again = "; it tries again" if data.retryable else ""
            return f"{by} could not send the customer the message: {safe(data.reason)}{again}."
        case StatusReported():
            return f"{by} says that the order is {safe(data.state)!r} since {moment(data.at)}."
        case AnswerMissed():
            return _missed(data)
        case _:
            return _of_kind(data, by)


def _missed(data: AnswerMissed) -> str:
    asked = WHAT_ASKED[data.step] + (f" {data.task_id}" if data.task_id else "")
    seen = "never seen" if data.last_seen is None else f"last seen {moment(data.last_seen)}"
    who = f"its edge {data.edge_id} was" if data.edge_id else f"{data.system} was"
    return f"{data.system} has not answered {asked} of {moment(data.since)}; {who} {seen}."


def _cancelled(data: OrderCancelled, by: str) -> str:
    what = _goods(data.lines) if data.lines else "the order"
    parts = []
    if data.unparked:
        parts.append(f"{_goods(data.unparked)} no longer wait")
    if data.withdrawn:
        parts.append(f"{_count(len(data.withdrawn), 'task')} withdrawn")
    if data.asked:
        parts.append(f"{_count(len(data.asked), 'task')} at other edges asked to be dropped")
    if data.too_late:
        parts.append(f"too late for {_goods(data.too_late)}")
    if data.nothing_left:
        parts.append("nothing is left of the order")
    why = f" ({safe(data.reason)})" if data.reason else ""
    return f"{by} cancelled {what}{why}: {'; '.join(parts) or 'nothing to stop'}."


def _planned(plan: Plan | None, parked: list[Shortage]) -> str:
    parts = []
    if plan is not None:
        shown = [f"{_goods(x.lines)} from {x.node_id}" for x in plan.packages[:_NAMED_MAX]]
        count = _count(len(plan.packages), "package")
        parts.append(f"{count}: {_listed(shown, len(plan.packages))}")
    if parked:
        parts.append(f"waiting: {_waits(parked)}")
    return "; ".join(parts) or "nothing planned"


def _waits(parked: list[Shortage]) -> str:
    return _listed([shortage(x) for x in parked[:_NAMED_MAX]], len(parked))


def _goods(lines: Iterable[PlannedLine | CountLine | LockLine]) -> str:
    named = [f"{x.quantity} × {x.sku}" for x in lines]
    return _listed(named[:_NAMED_MAX], len(named))


def _listed(shown: list[str], count: int) -> str:
    rest = count - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _of_kind(data: Data, by: str) -> str:
    said = {name: getattr(data, name, None) for name in _SAID_BY_FIELD}
    told = ", ".join(f"{k.removesuffix('_id')} {safe(str(v))}" for k, v in said.items() if v)
    return f"{by}: {data.kind.replace('.', ' ').replace('_', ' ')}{f' ({told})' if told else ''}."
