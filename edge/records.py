"""What the edge keeps: orders, tasks, answers; and what one decision changes.

The engine reads records through the `Records` port and never writes: it returns a `Decision`,
and the store makes a burst of decisions durable in one transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from msgspec import Struct
from msgspec.structs import replace as replace_fields

from edge.commands import FollowUp
from edge.decisions import Decided
from edge.failures import Failure
from edge.routing.question import Question, Want, question_of
from shared.envelope import Event
from shared.errors import PointsmanError
from shared.events import CapacityAnnounced, Payment, PickRequested
from shared.lots import Lot
from shared.network import Network
from shared.parts import CellUnits, Contact, Moment, PlannedLine, Shortage
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.tasks import TaskState


class Committed(Struct, frozen=True):
    """A package of an order: its units are out of the share."""

    task_id: str
    node_id: str
    service_id: str
    lines: list[PlannedLine]
    ready_at: Moment
    arrives_at: Moment
    slot: str | None = None

    def slot_cells(self) -> list[CellUnits]:
        """The pick capacity that the package takes."""
        if self.slot is None:
            return []
        return [CellUnits(node_id=self.node_id, sku=self.slot, quantity=1)]


class Order(Struct, frozen=True, kw_only=True):
    """An order that this edge accepted and keeps.

    Attributes:
        device: who sent the payment, and is told what follows.
        accepted_id: id of the `order.accepted` event.
        parked_id: id of the event that has told what waits now; empty: that one.
        attempt: plans made so far; numbers the tasks.
        parked: lines that wait, oldest order first in line.
        failed: nodes that were short or rejected, not asked again until they get new units.
        cancelling: tasks at other edges' nodes that were asked to be dropped: line number to
            the units that are no longer wanted.
        untold: while the order is rebuilt from the ledger, events that it has not followed.
    """

    order_id: str
    device: str
    accepted_id: str
    payment: Payment
    attempt: int
    packages: list[Committed]
    parked: list[Shortage]
    failed: list[str]
    cancelling: dict[str, dict[int, int]] = {}
    untold: list[Event] = []
    parked_id: str = ""

    def question(self, wants: list[Want]) -> Question:
        """Ask for nodes for some of the order's lines."""
        return replace(
            question_of(self.payment),
            wants=wants,
            packages_used=len(self.packages),
            failed=frozenset(self.failed),
            others=[line.sku for line in self.payment.lines],
        )

    def wait(self, parked: list[Shortage], told_by: str) -> Self:
        """The order with exactly these lines waiting, as the event of this id tells."""
        if parked == self.parked and self.parked_id:
            return self  # told again
        return replace_fields(self, parked=parked, parked_id=told_by)

    def claims(self) -> list[tuple[str, str, int]]:
        """Units on their way that the order waits for: node, SKU, how many."""
        return claims(self.parked)

    def want(self, line: int, quantity: int) -> Want:
        """A line of the order that looks for a node."""
        asked = self.payment.lines[line]
        return Want(line, asked.sku, quantity, asked.group)


def claims(parked: Iterable[Shortage]) -> list[tuple[str, str, int]]:
    """Units on their way that lines wait for: node, SKU, how many."""
    return [(x.nodes[0], x.sku, x.quantity) for x in parked if x.reason == "incoming"]


class Task(Struct, frozen=True, kw_only=True):
    """A pick task at one of this edge's own nodes."""

    task_id: str
    state: TaskState
    request: PickRequested
    event_id: str
    event: bytes
    lines: list[PlannedLine]


class Answer(Struct, frozen=True):
    """What became of an event: its digest, and where in the log the answer stands, if any.

    The digest is empty where the answer was rebuilt from the ledger, which lacks the contact.
    """

    digest: bytes
    position: int | None


class Records(Protocol):
    """What the engine asks the store. Sees the open transaction's own writes."""

    def meta(self, key: str, default: str = "") -> str:
        """A value kept by name."""
        ...

    def last_position(self) -> int:
        """Position of the newest log entry; 0 when the log is empty."""
        ...

    def epochs(self) -> list[tuple[int, int]]:
        """The edge's epochs, oldest first, each with the log position before its first entry."""
        ...

    def network(self) -> Network | None:
        """The newest network snapshot."""
        ...

    def sourcing(self) -> Sourcing | None:
        """The sourcing document in force."""
        ...

    def prices(self) -> Prices | None:
        """The newest prices."""
        ...

    def cells(self) -> Iterable[tuple[str, str, int]]:
        """Every share: node, SKU, units."""
        ...

    def answer(self, source: str, event_id: str) -> Answer | None:
        """What became of an event that was handled before."""
        ...

    def log_entry(self, position: int) -> bytes | None:
        """The event at a position of the log; None: it was pruned."""
        ...

    def order(self, order_id: str) -> Order | None:
        """An order of this edge."""
        ...

    def untold_orders(self) -> Iterable[Order]:
        """Orders with reports that they have not followed; only after a rebuild."""
        ...

    def parked_orders(self) -> Iterable[Order]:
        """Orders with parked lines, oldest first."""
        ...

    def task(self, task_id: str) -> Task | None:
        """A task of this edge's nodes."""
        ...

    def early(self, about: str) -> list[Event]:
        """What the past said of a task or an order before that itself, oldest first."""
        ...

    def open_tasks(self, node_id: str) -> Iterable[Task]:
        """Tasks of a node whose goods have not left it, newest first."""
        ...

    def slots(self) -> Iterable[tuple[str, int, int]]:
        """Pick capacity that nodes have announced: node, start and end in ms."""
        ...

    def failures(self) -> Iterable[Failure]:
        """What picks have taught."""
        ...

    def incoming(self, after_ms: int) -> Iterable[Lot]:
        """Lots that were or are expected after a moment."""
        ...


@dataclass(frozen=True, slots=True)
class Send:
    """A message to a device, published after the commit."""

    device: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Peer:
    """A task for another edge's node: at once over the broker; the log makes it certain."""

    edge_id: str
    payload: bytes


@dataclass(slots=True)
class Entry:
    """A log entry: the event's bytes at its position."""

    position: int
    type: str
    order_id: str
    event: bytes
    logged_ms: int


@dataclass(slots=True)
class Decision:
    """Everything that one command changes and says. Nothing is sent before it is durable."""

    log: list[Entry] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    taken: list[CellUnits] = field(default_factory=list)
    given: list[CellUnits] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    early: list[tuple[str, Event]] = field(default_factory=list)
    """What a past says of tasks and orders, by their ids, before they are known."""
    capacity: list[CapacityAnnounced] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    incoming: list[Lot] = field(default_factory=list)
    """Lots as they are from now on; without units: nothing more comes of them."""
    answers: list[tuple[str, str, Answer]] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    """What the plans in `log` were made by."""
    contact: tuple[str, Contact] | None = None
    network: Network | None = None
    sourcing: Sourcing | None = None
    prices: Prices | None = None
    epochs: list[tuple[int, int]] | None = None
    """Set when a new epoch begins: every share is gone before `given` is added."""
    restored: bool = False
    """Orders, tasks and lots are gone before those of this decision are added."""
    rebuilt: bool = False
    """What followed after `restored` is whole."""
    unfit: str | None = None
    """Set: why the store must not sell; empty: it may again."""
    feed: int | None = None
    granted: bool = False
    due: list[str] = field(default_factory=list)
    """Orders that may now be planned further."""
    after: list[FollowUp] = field(default_factory=list)
    """To be decided next, in the same transaction: it draws on shares that this one has moved."""
    fault: PointsmanError | None = None
    """Why a feed item was skipped."""
