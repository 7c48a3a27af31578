"""Every event that travels: one typed definition each, of `shared.parts`.

JSON Schemas, examples and the AsyncAPI document are generated from these (`shared.schemas`).
Names are past tense: events are facts.
"""

from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from shared.devices import DeviceReported
from shared.limits import ID_CHARS_MAX, LINES_MAX, PACKAGES_MAX, SEQUENCE_MAX, SLOTS_MAX
from shared.parts import (
    Alternative,
    Cells,
    Channel,
    Contact,
    CountLine,
    Customer,
    Destination,
    Fulfilment,
    Lines,
    Moment,
    Money,
    Name,
    Plan,
    PlannedLine,
    Reference,
    Shortages,
    Slot,
    StockLine,
    TaskAt,
    Text,
    Tracking,
)
from shared.parts import (
    Data as Data,
)
from shared.systems import SYSTEMS


class Payment(Data, frozen=True):
    """A payment that succeeded. A fact: never refused for want of stock."""

    kind: ClassVar[str] = "payment.succeeded"

    payment_id: Annotated[Reference, Meta(description="The payment provider's or till's id.")]
    terminal_id: Annotated[Name, Meta(description="The till.")]
    store_id: Annotated[Name, Meta(description="The node where it was sold.")]
    paid_at: Annotated[Moment, Meta(description="When the payment succeeded.")]
    amount: Annotated[Money, Meta(description="What was paid in all.")]
    channel: Annotated[Channel, Meta(description="Where it was sold.")]
    fulfilment: Fulfilment
    lines: Lines
    customer: Customer = Customer()
    destination: Destination | None = None
    contact: Contact | None = None

    def __post_init__(self) -> None:
        """A delivery needs a destination."""
        if self.fulfilment.kind == "delivery" and self.destination is None:
            raise ValueError("fulfilment.kind delivery needs a destination")


class RouteRequested(Data, frozen=True):
    """The question: where would this ship from, and when would it arrive? Commits nothing."""

    kind: ClassVar[str] = "route.requested"

    store_id: Name
    fulfilment: Fulfilment
    lines: Lines
    customer: Customer = Customer()
    destination: Destination | None = None
    channel: Channel = "pos"
    alternatives: Annotated[
        bool, Meta(description="Also: the fastest, fewest packages, lowest carbon.")
    ] = False

    def __post_init__(self) -> None:
        """A delivery needs a destination."""
        if self.fulfilment.kind == "delivery" and self.destination is None:
            raise ValueError("fulfilment.kind delivery needs a destination")


class RoutePlanned(Data, frozen=True):
    """A plan: the answer to a question, or (with `order_id`) a later plan for parked lines."""

    kind: ClassVar[str] = "route.planned"

    plan: Plan | None = None
    order_id: Annotated[Reference, Meta(description="Set: its units are committed.")] | None = None
    parked: Annotated[
        Shortages, Meta(description="Lines outside the plan; of an order, all that wait now.")
    ] = []
    released: Annotated[Cells, Meta(description="Units given back to the edge's share.")] = []
    alternatives: Annotated[
        list[Alternative],
        Meta(max_length=4, description="Where asked for: none is better in every way."),
    ] = []


class OrderAccepted(Data, frozen=True):
    """The answer to a payment. Sent only once the order is durable; its units are committed."""

    kind: ClassVar[str] = "order.accepted"

    order_id: Reference
    payment_source: Annotated[Text, Meta(description="CloudEvents source of the payment.")]
    payment_event_id: Annotated[
        str, Meta(min_length=1, max_length=128, description="CloudEvents id of the payment.")
    ]
    payment: Annotated[Payment, Meta(description="The payment without the contact.")]
    plan: Plan | None = None
    parked: Annotated[Shortages, Meta(description="Lines that wait for stock.")] = []


class OrderParked(Data, frozen=True):
    """Lines of an order wait, and why. They are tried again when stock arrives."""

    kind: ClassVar[str] = "order.parked"

    order_id: Reference
    parked: Annotated[Shortages, Meta(min_length=1, description="All lines that wait now.")]
    released: Annotated[Cells, Meta(description="Units given back to the edge's share.")] = []


class OrderCancelled(Data, frozen=True):
    """A device cancels an order or some of its units; the edge answers with what came of it."""

    kind: ClassVar[str] = "order.cancelled"

    order_id: Reference
    reason: Text = ""
    lines: Annotated[
        list[PlannedLine], Meta(max_length=LINES_MAX, description="Empty: the whole order.")
    ] = []
    withdrawn: Annotated[
        list[Reference], Meta(max_length=PACKAGES_MAX, description="By the edge: tasks to drop.")
    ] = []
    released: Annotated[Cells, Meta(description="By the edge: units back in its share.")] = []
    parked: Annotated[Shortages, Meta(description="By the edge: what still waits.")] = []
    nothing_left: Annotated[
        bool, Meta(description="By the edge: the order holds nothing any more.")
    ] = False
    unparked: Annotated[
        list[PlannedLine], Meta(max_length=LINES_MAX, description="By the edge: no longer waiting.")
    ] = []
    too_late: Annotated[
        list[PlannedLine],
        Meta(max_length=LINES_MAX, description="By the edge: already with a warehouse."),
    ] = []
    asked: Annotated[
        list[TaskAt],
        Meta(
            max_length=PACKAGES_MAX,
            description="By the edge: tasks that other edges are asked to drop; each answers with "
            "pick.withdrawn or pick.kept, and another order.cancelled says what came of it.",
        ),
    ] = []


class InputRejected(Data, frozen=True):
    """An input that was refused: the code, the place, what was expected."""

    kind: ClassVar[str] = "input.rejected"

    code: Annotated[str, Meta(max_length=ID_CHARS_MAX, pattern=r"^[a-z_]+$")]
    detail: Annotated[str, Meta(max_length=1024)]
    place: Annotated[str, Meta(max_length=1024, description="JSON path, or `topic`.")]
    expected: Annotated[str, Meta(max_length=1024)] = ""
    retry_after_ms: Annotated[int, Meta(ge=0, le=3_600_000)] | None = None


# Picking and packages.


class PickRequested(Data, frozen=True):
    """A pick task: the warehouse of the node picks and packs these lines."""

    kind: ClassVar[str] = "pick.requested"

    task_id: Reference
    order_id: Reference
    home_edge_id: Annotated[Name, Meta(description="The edge that keeps the order.")]
    node_id: Name
    service_id: Name
    lines: Annotated[list[PlannedLine], Meta(min_length=1, max_length=LINES_MAX)]
    ready_at: Moment
    arrives_at: Moment
    slot: Annotated[Name, Meta(description="The slot of pick capacity that it takes.")] | None = (
        None
    )


class PickReport(Data, frozen=True):
    """What a warehouse says about a task. The node's edge adds what others need to know."""

    task_id: Reference
    node_id: Annotated[Name, Meta(description="By the edge: the node of the task.")] | None = None
    home_edge_id: (
        Annotated[Name, Meta(description="By the edge: the edge that keeps the order.")] | None
    ) = None


class PickAccepted(PickReport, frozen=True):
    """The warehouse has the task and will do it."""

    kind: ClassVar[str] = "pick.accepted"


class PickCompleted(PickReport, frozen=True):
    """All that is there was picked."""

    kind: ClassVar[str] = "pick.completed"


class PickShort(PickReport, frozen=True, kw_only=True):
    """Some units are not where they should be. What is missing does not exist."""

    kind: ClassVar[str] = "pick.short"

    missing: Annotated[list[PlannedLine], Meta(min_length=1, max_length=LINES_MAX)]
    counted: Annotated[bool, Meta(description="By the edge: found by a count, booked.")] = False


class PickRejected(PickReport, frozen=True):
    """The warehouse will not do the task; its units stay on the shelf."""

    kind: ClassVar[str] = "pick.rejected"

    reason: Text = ""


class PickWithdrawn(PickReport, frozen=True):
    """By the node's edge: the task is dropped, as the order's edge asked; its units are free."""

    kind: ClassVar[str] = "pick.withdrawn"


class PickKept(PickReport, frozen=True):
    """By the node's edge: too late to drop the task."""

    kind: ClassVar[str] = "pick.kept"


class PackagePacked(PickReport, frozen=True):
    """The package is closed."""

    kind: ClassVar[str] = "package.packed"

    weight_g: Annotated[int, Meta(ge=0, le=10**8)] | None = None


class PackageShipped(PickReport, frozen=True):
    """The carrier, or the customer at the counter, has taken the package."""

    kind: ClassVar[str] = "package.shipped"

    tracking: Tracking = ""
    lines: Annotated[
        list[PlannedLine],
        Meta(max_length=LINES_MAX, description="By the edge: the units that left the node."),
    ] = []


class PackageDelivered(PickReport, frozen=True):
    """The customer has the package."""

    kind: ClassVar[str] = "package.delivered"


# Stock.


class StockReceived(Data, frozen=True):
    """Units arrived at a node and may be sold."""

    kind: ClassVar[str] = "stock.received"

    node_id: Name
    lines: Annotated[list[StockLine], Meta(min_length=1, max_length=LINES_MAX)]
    reason: Annotated[
        Literal["purchase", "customer_return", "transfer", "opening", "inspection"],
        Meta(description="Where the units come from."),
    ] = "purchase"
    lot_id: (
        Annotated[Reference, Meta(description="The expected lot that these units are of.")] | None
    ) = None


class StockExpected(Data, frozen=True):
    """Units that will be at a node: on their way, or still in inspection there.

    They count as stock only once they are received; until then a line may wait for them. The
    same lot said again replaces what was said of it.
    """

    kind: ClassVar[str] = "stock.expected"

    node_id: Name
    lot_id: Annotated[Reference, Meta(description="Delivery note, return, inspection lot.")]
    lines: Annotated[
        list[StockLine], Meta(max_length=LINES_MAX, description="Empty: nothing will come of it.")
    ]
    expected_at: Annotated[Moment, Meta(description="When it may be sold.")]
    reason: Annotated[
        Literal["purchase", "transfer", "inspection"], Meta(description="What keeps it.")
    ] = "purchase"
    release_per_mille: Annotated[
        int, Meta(ge=0, le=1_000, description="How likely an inspection lets a unit through.")
    ] = 1_000


class StockCounted(Data, frozen=True):
    """What is on the shelf, counted: it overrides the book."""

    kind: ClassVar[str] = "stock.counted"

    node_id: Name
    lines: Annotated[list[CountLine], Meta(min_length=1, max_length=LINES_MAX)]


class StockMoved(Data, frozen=True):
    """Units left a node for another; they arrive as `stock.received`, reason transfer."""

    kind: ClassVar[str] = "stock.moved"

    node_id: Annotated[Name, Meta(description="From.")]
    to_node_id: Annotated[Name, Meta(description="To.")]
    lines: Annotated[list[StockLine], Meta(min_length=1, max_length=LINES_MAX)]
    expected_at: Annotated[Moment, Meta(description="Expected arrival.")] | None = None
    from_share: Annotated[Cells, Meta(description="By the edge: units out of its own share.")] = []


# What an edge says of itself to central; devices neither publish nor get it.


class ShareReturned(Data, frozen=True):
    """Units that left the edge's shares and are the pools' again."""

    kind: ClassVar[str] = "share.returned"

    cells: Annotated[Cells, Meta(description="May be fewer than were recalled, or none.")] = []
    recall: (
        Annotated[
            int,
            Meta(ge=1, le=SEQUENCE_MAX, description="Feed number of the recall that it answers."),
        ]
        | None
    ) = None


class EpochBegan(Data, frozen=True):
    """The edge's log begins anew; its shares are those granted from now on."""

    kind: ClassVar[str] = "epoch.began"

    epoch: Annotated[int, Meta(ge=2, le=2**31 - 1)]
    previous_epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    previous_sequence: Annotated[
        int,
        Meta(ge=0, le=SEQUENCE_MAX, description="Where the edge's log of that epoch ends."),
    ]


class CapacityAnnounced(Data, frozen=True):
    """How many packages a node can pick in each of some slots; a slot said again is replaced."""

    kind: ClassVar[str] = "capacity.announced"

    node_id: Name
    slots: Annotated[list[Slot], Meta(min_length=1, max_length=SLOTS_MAX)]


def type_of(data: Data | type[Data]) -> str:
    """The CloudEvents type, e.g. ``pointsman.payment.succeeded.v1``."""
    return f"pointsman.{data.kind}.v1"


UP: Final[tuple[type[Data], ...]] = (
    Payment, RouteRequested, OrderCancelled, PickAccepted, PickCompleted, PickShort, PickRejected,
    PackagePacked, PackageShipped, PackageDelivered, StockReceived, StockExpected, StockCounted,
    StockMoved, CapacityAnnounced, DeviceReported,
)  # fmt: skip
"""What devices publish."""

DOWN: Final[tuple[type[Data], ...]] = (
    RoutePlanned, OrderAccepted, OrderParked, OrderCancelled, InputRejected, PickRequested,
    PickWithdrawn, PickShort,
)  # fmt: skip
"""What an edge publishes to devices."""

INNER: Final[tuple[type[Data], ...]] = (PickKept, ShareReturned, EpochBegan)
"""What only central gets."""

BY_TYPE: Final[dict[str, type[Data]]] = {
    type_of(kind): kind for kind in (*UP, *DOWN, *INNER, *SYSTEMS)
}
