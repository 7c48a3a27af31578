"""What the API answers. Times are RFC 3339 UTC, amounts integer minor units."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from central.desk import OrderState
from central.devices import Presence
from central.evidence import InFile, Reason
from central.lines import LineUnits
from central.story import Step, TaskStory
from shared.parts import Contact, Plan, Shortage
from shared.tasks import TaskState


class Resource(Struct, frozen=True, kw_only=True):
    """A part of an answer."""


Cursor = Annotated[
    str | None, Meta(description="Give it as `cursor` to get what follows; null: nothing does.")
]
Position = Annotated[int, Meta(ge=0, description="Place in the ledger.")]


# Orders.


class Order(Resource, frozen=True):
    """An order as the ledger's events have it."""

    order_id: str
    state: OrderState
    edge_id: Annotated[str | None, Meta(description="The edge that keeps it; null: not known yet.")]
    store_id: Annotated[str | None, Meta(description="The node where it was sold.")]
    units: Annotated[int, Meta(description="Units ordered.")]
    amount_minor: int
    currency: str
    cancelled: bool
    promised_at: Annotated[datetime | None, Meta(description="When its last package arrives.")]
    opened_at: Annotated[datetime, Meta(description="When it was paid.")]
    changed_at: datetime
    exceptions: Annotated[int, Meta(description="How many were noted about it.")]


class Task(Resource, frozen=True):
    """A pick task of a warehouse."""

    task_id: str
    order_id: str | None
    node_id: str | None
    home_edge_id: Annotated[str | None, Meta(description="The edge that keeps the order.")]
    service_id: str | None
    state: TaskState
    units: int
    missing: Annotated[int, Meta(description="Units that were not where they should be.")]
    promised_at: datetime | None
    changed_at: datetime
    late: Annotated[bool, Meta(description="Promised by now, and still at the node.")]


class WaitingLine(Resource, frozen=True):
    """A line that waits."""

    line: int
    sku: str
    units: int
    reason: str
    edge_id: str
    nodes: Annotated[list[str], Meta(description="Nodes that would do, the best first.")]


class OrderException(Resource, frozen=True):
    """Something that should not be, and that someone has to see."""

    number: int
    code: str
    detail: str
    order_id: str | None
    edge_id: str | None
    epoch: int | None
    sequence: Annotated[int | None, Meta(description="Of the event that it was noted at, if any.")]
    noted_at: datetime


class OrderDetail(Resource, frozen=True):
    """An order with all that belongs to it; at most 1,000 of each."""

    order: Order
    tasks: list[Task]
    waiting: list[WaitingLine]
    exceptions: list[OrderException]


class Timeline(Resource, frozen=True):
    """What happened to an order, in the order of causes, and what has become of its lines.

    A step names what it has changed; what has nothing of a kind leaves the field out.
    """

    order_id: str
    state: OrderState
    lifecycle: Annotated[int, Meta(description="Version of the states and steps it is told by.")]
    edge_id: Annotated[str | None, Meta(description="The edge that keeps it; null: not known yet.")]
    store_id: str | None
    sold_by: Annotated[str | None, Meta(description="The till, or whoever has told the payment.")]
    opened_at: datetime | None
    promised_at: datetime | None
    lines: Annotated[list[LineUnits], Meta(description="How many units are in which state.")]
    tasks: list[TaskStory]
    waiting: Annotated[list[Shortage], Meta(description="What waits now, as told last.")]
    waiting_step: Annotated[int | None, Meta(description="Number of the step that has told it.")]
    steps: Annotated[list[Step], Meta(description="The first of them, at most 1,000.")]
    complete: Annotated[bool, Meta(description="False: there is more than is told here.")]
    archived: Annotated[
        list[InFile],
        Meta(
            description="If not empty: the first events, or all, were moved to one or some of "
            "these archive files; `state` is right, lines and tasks are not told."
        ),
    ]


class Why(Resource, frozen=True):
    """Where an order is stuck, since when and on whom, with the evidence; or what comes next."""

    order_id: str
    state: OrderState
    stuck: bool
    what: Annotated[str, Meta(description="The answer in one sentence.")]
    since: Annotated[datetime | None, Meta(description="Of the first reason that blocks.")]
    by: Annotated[str | None, Meta(description="The node, edge or system whose move it is.")]
    reasons: Annotated[list[Reason], Meta(description="Those that block first.")]
    next: Annotated[str | None, Meta(description="What is expected next, if nothing blocks.")]
    next_by: Annotated[datetime | None, Meta(description="Until when.")]
    archived: Annotated[list[InFile], Meta(description="See Timeline.")]


class Entry(Resource, frozen=True):
    """An entry of the ledger."""

    position: Position
    edge_id: str
    epoch: int
    sequence: int
    hash: Annotated[str, Meta(description="Chains the stream; over the bytes as they are stored.")]
    type: str | None
    event: Annotated[Raw, Meta(description="The CloudEvent.")]
    withheld: Annotated[
        bool, Meta(description="Customer and place are left out: your role may not see them.")
    ]


class Accepted(Resource, frozen=True):
    """An order that an edge has taken, and how it will be fulfilled."""

    order_id: str
    edge_id: str
    plan: Plan | None
    parked: Annotated[list[Shortage], Meta(description="Lines that wait for stock.")]


class Pending(Resource, frozen=True):
    """The edge has not answered yet: the same request again asks for the answer."""

    order_id: Annotated[str, Meta(description="What the order is called once it is taken.")]
    look_at: Annotated[str, Meta(description="Where it will be.")]


class OrderContact(Resource, frozen=True):
    """Who receives an order."""

    order_id: str
    contact: Contact


# Edges, stock, the ledger.


class Edge(Resource, frozen=True):
    """Where an edge's stream and feed stand."""

    edge_id: str
    epoch: Annotated[int, Meta(description="0: not heard yet.")]
    sequence: Annotated[int, Meta(description="The ledger has its stream through here.")]
    head: Annotated[str, Meta(description="Hash of that entry.")]
    last_heard_at: datetime | None
    fenced: Annotated[bool, Meta(description="Its shares were taken back; it begins anew.")]
    feed_sent: Annotated[int, Meta(description="Number of the last item that is for it.")]
    feed_applied: Annotated[int, Meta(description="The last one that it has applied.")]


class Share(Resource, frozen=True):
    """What one edge may promise of a cell alone."""

    edge_id: str
    units: int
    coming_back: Annotated[int, Meta(description="Recalled, and not answered for.")]


class Stock(Resource, frozen=True):
    """Units of a SKU at a node: pool + shares + committed + shipped = received - adjusted."""

    node_id: str
    sku: str
    pool: int
    committed: int
    shipped: int
    received: int
    adjusted: int
    shares: list[Share]


class Incoming(Resource, frozen=True):
    """Units on their way to a cell."""

    lot_id: str
    units: int
    expected_at: datetime
    release_per_mille: int
    reason: str


class StockDetail(Resource, frozen=True):
    """A cell, and what is on its way to it."""

    stock: Stock
    incoming: list[Incoming]


class Agreement(Resource, frozen=True):
    """How far a system's own word about orders agrees with the ledger."""

    system: str
    told: Annotated[
        int, Meta(description="Orders whose state it has told by a word that is known.")
    ]
    differing: int
    unknown_words: Annotated[
        int, Meta(description="Orders of which its last word is not in the configuration.")
    ]


class Difference(Resource, frozen=True):
    """An order of which a system believes something else."""

    system: str
    order_id: str
    word: Annotated[str, Meta(description="What the system says.")]
    state: Annotated[OrderState | None, Meta(description="What it is; null: it is not known.")]
    since: Annotated[datetime, Meta(description="Since when both say so.")]


class DeviceFault(Resource, frozen=True):
    """A fault that a device has, and has not reported as over."""

    part: Annotated[str, Meta(description="Empty: the device itself.")]
    code: str
    since: datetime
    detail: str


class Device(Resource, frozen=True):
    """A device, as its edge has told last: edges tell changes only."""

    edge_id: str
    device: str
    node_id: Annotated[str | None, Meta(description="Where it is, if it says so.")]
    status: Annotated[
        Presence, Meta(description="unknown: its edge has begun anew and not told of it since.")
    ]
    since: Annotated[datetime | None, Meta(description="Since when it is so.")]
    last_seen_at: Annotated[
        datetime | None, Meta(description="When its edge had heard it last, as of that change.")
    ]
    detail: str
    faults: Annotated[list[DeviceFault], Meta(description="At most 100.")]


class Archive(Resource, frozen=True):
    """A part of the ledger that was moved to a file in the archive folder."""

    number: int
    file: str
    first: Position
    last: Position
    entries: int
    sha256: Annotated[str, Meta(description="Of the file.")]
    moved_at: datetime


class LedgerState(Resource, frozen=True):
    """How far the ledger is signed. To walk its chains: `pointsman central verify`."""

    last_position: Position
    signed_position: Annotated[int, Meta(description="Covered through here; 0: no checkpoint.")]
    checkpoint: Annotated[int | None, Meta(description="Number of the last checkpoint.")]
    signed_at: datetime | None
    hash: Annotated[str | None, Meta(description="Of the last checkpoint.")]
    key: Annotated[str | None, Meta(description="Public key that fits its signature, Ed25519.")]
    archives: Annotated[list[Archive], Meta(description="The newest first; at most 1,000.")]


class Health(Resource, frozen=True):
    """Whether the process serves."""

    status: Literal["ok"]
    orders: Annotated[
        Literal["open", "away", "off"],
        Meta(description="Can orders be put in? away: no edge's broker; off: none is configured."),
    ]


# Pages.


class OrderPage(Resource, frozen=True):
    """Orders, the newest first."""

    items: list[Order]
    next: Cursor


class EntryPage(Resource, frozen=True):
    """Entries, the oldest first."""

    items: list[Entry]
    next: Cursor


class TaskPage(Resource, frozen=True):
    """Tasks, those of the newest orders first."""

    items: list[Task]
    next: Cursor


class ExceptionPage(Resource, frozen=True):
    """Exceptions, the newest first."""

    items: list[OrderException]
    next: Cursor


class EdgePage(Resource, frozen=True):
    """Edges, by name."""

    items: list[Edge]
    next: Cursor


class StockPage(Resource, frozen=True):
    """Cells, by node and SKU."""

    items: list[Stock]
    next: Cursor


class AgreementList(Resource, frozen=True):
    """Every system that tells states; none: none is configured so."""

    items: list[Agreement]


class DifferencePage(Resource, frozen=True):
    """Orders of which systems believe something else, by system and order."""

    items: list[Difference]
    next: Cursor


class DevicePage(Resource, frozen=True):
    """Devices, by edge and name."""

    items: list[Device]
    next: Cursor
