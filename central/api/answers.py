"""What the API answers. Times are RFC 3339 UTC, amounts integer minor units."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from central.desk import OrderState
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


class Step(Resource, frozen=True):
    """One thing that happened to an order."""

    at: Annotated[datetime | None, Meta(description="As its author says; null: unreadable.")]
    kind: Annotated[str | None, Meta(description="E.g. order.accepted, package.shipped.")]
    source: Annotated[str | None, Meta(description="Who says so.")]
    event_id: str | None
    caused_by: Annotated[str | None, Meta(description="Id of the event that caused it.")]
    edge_id: Annotated[str, Meta(description="The edge whose stream has it.")]
    position: Position
    hlc: Annotated[str | None, Meta(description="Hybrid logical clock: text order is cause order.")]


class Timeline(Resource, frozen=True):
    """What happened to an order, in the order of causes."""

    order_id: str
    steps: list[Step]
    complete: Annotated[bool, Meta(description="False: it has more steps than are told.")]


class Finding(Resource, frozen=True):
    """Why an order is where it is."""

    code: str
    detail: str
    who: Annotated[list[str], Meta(description="Nodes, edges or systems it hangs on.")]
    since: datetime | None


class Why(Resource, frozen=True):
    """Where an order stands, since when, and what keeps it; no findings: nothing does."""

    order_id: str
    state: OrderState
    since: datetime
    findings: list[Finding]


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


class Device(Resource, frozen=True):
    """A device, and when it was last seen."""

    device: str
    edge_id: str
    state: str
    since: datetime
    last_seen_at: datetime | None
    detail: str


class LedgerState(Resource, frozen=True):
    """How far the ledger is signed. To walk its chains: `pointsman central verify`."""

    last_position: Position
    signed_position: Annotated[int, Meta(description="Covered through here; 0: no checkpoint.")]
    checkpoint: Annotated[int | None, Meta(description="Number of the last checkpoint.")]
    signed_at: datetime | None
    hash: Annotated[str | None, Meta(description="Of the last checkpoint.")]
    key: Annotated[str | None, Meta(description="Public key that fits its signature, Ed25519.")]


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


class DeviceList(Resource, frozen=True):
    """Every device that is known; none: none has been reported."""

    items: list[Device]
