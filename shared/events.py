"""Every event that travels: one typed definition each, with bounds and descriptions.

JSON Schemas, examples and the AsyncAPI document are generated from these (`shared.schemas`).
Names are past tense: events are facts. An unknown field is refused, so that a typing error
is told and never silently ignored; there is no field for card data, so that none is taken.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct

from shared.limits import (
    ID_CHARS_MAX,
    LINES_MAX,
    MONEY_MINOR_MAX,
    NODES_MAX,
    PACKAGES_MAX,
    QUANTITY_MAX,
    TEXT_CHARS_MAX,
)

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX, pattern=_NAME)]
Reference = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX, pattern=r"^[!-~]+$")]
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Quantity = Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
Minor = Annotated[int, Meta(ge=0, le=MONEY_MINOR_MAX)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with offset.")]
LineNumber = Annotated[int, Meta(ge=0, lt=LINES_MAX, description="Position in the order's lines.")]

Channel = Literal["pos", "shop", "douyin", "jd", "mini_program", "web", "other"]
Tier = Literal["standard", "silver", "gold", "vip"]
Speed = Literal["economy", "standard", "express"]
FulfilmentKind = Literal["carry_out", "pick_up", "delivery"]


class Part(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A part of an event's data."""


class Data(Part, frozen=True):
    """The data of an event; `kind` is the middle of its type, pointsman.{kind}.v1."""

    kind: ClassVar[str]


# What an order is made of.


class Money(Part, frozen=True):
    """An amount in integer minor units."""

    minor: Minor
    currency: Currency


class Line(Part, frozen=True):
    """One line of an order."""

    sku: Annotated[Name, Meta(description="What is sold.")]
    quantity: Annotated[Quantity, Meta(description="Units.")]
    unit_price_minor: Annotated[Minor, Meta(description="Paid per unit, minor units.")] = 0
    group: Annotated[Name, Meta(description="Lines with the same group ship together.")] | None = (
        None
    )


class Customer(Part, frozen=True):
    """Who ordered: a token, never a name."""

    token: Annotated[Reference, Meta(description="Opaque customer token.")] | None = None
    tier: Annotated[Tier, Meta(description="Service tier.")] = "standard"
    speed: Annotated[Speed, Meta(description="Preferred speed.")] = "standard"
    split_allowed: Annotated[bool, Meta(description="False: everything in one package.")] = True
    packages_max: (
        Annotated[int, Meta(ge=1, le=PACKAGES_MAX, description="At most so many packages.")] | None
    ) = None


class Destination(Part, frozen=True):
    """Where it goes, as far as routing needs to know."""

    lat: Annotated[float, Meta(ge=-90, le=90, description="WGS 84 latitude.")]
    lon: Annotated[float, Meta(ge=-180, le=180, description="WGS 84 longitude.")]
    region: Annotated[Name, Meta(description="Carrier region, e.g. ISO 3166-2.")]


class Contact(Part, frozen=True):
    """Who receives it. Kept apart: it enters neither the edge's log nor the ledger."""

    name: Text = ""
    phone: Annotated[str, Meta(max_length=32)] = ""
    address: Annotated[str, Meta(max_length=1024)] = ""
    note: Text = ""


class Fulfilment(Part, frozen=True):
    """What the customer wants."""

    kind: Annotated[FulfilmentKind, Meta(description="How the goods reach the customer.")]
    node_id: (
        Annotated[Name, Meta(description="Where: required to pick up; else the store sold at.")]
        | None
    ) = None
    deadline: Annotated[Moment, Meta(description="Wanted by.")] | None = None

    def __post_init__(self) -> None:
        """A pick-up without a place cannot be fulfilled."""
        if self.kind == "pick_up" and self.node_id is None:
            raise ValueError("fulfilment.kind pick_up needs fulfilment.node_id")


Lines = Annotated[list[Line], Meta(min_length=1, max_length=LINES_MAX)]


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

    def __post_init__(self) -> None:
        """A delivery needs a destination."""
        if self.fulfilment.kind == "delivery" and self.destination is None:
            raise ValueError("fulfilment.kind delivery needs a destination")


# What was decided.


class PlannedLine(Part, frozen=True):
    """A line of the order inside a package."""

    line: LineNumber
    sku: Name
    quantity: Quantity


class Package(Part, frozen=True):
    """Some lines from one node by one carrier service."""

    package: Annotated[int, Meta(ge=0, lt=PACKAGES_MAX, description="Number within the plan.")]
    node_id: Name
    service_id: Name
    lines: Annotated[list[PlannedLine], Meta(min_length=1, max_length=LINES_MAX)]
    cost_minor: Annotated[Minor, Meta(description="Cost-to-serve of this package.")]
    ready_at: Annotated[Moment, Meta(description="When the node has it ready.")]
    arrives_at: Annotated[Moment, Meta(description="The promise.")]
    late_s: Annotated[
        int, Meta(ge=0, le=10**9, description="Seconds that the promise misses the deadline by.")
    ] = 0


ExclusionCode = Literal[
    "share", "area", "closed", "no_lane", "carrier_limit", "not_chosen_by_customer", "failed_before"
]


class Exclusion(Part, frozen=True):
    """A node that could not take part, and the first fence that kept it out."""

    node_id: Name
    code: ExclusionCode


class Plan(Part, frozen=True):
    """Which node ships which lines, with the proof of how good that is."""

    packages: Annotated[list[Package], Meta(min_length=1, max_length=PACKAGES_MAX)]
    cost: Annotated[Money, Meta(description="Cost-to-serve in all.")]
    bound_minor: Annotated[Minor, Meta(description="No plan is cheaper than this.")]
    optimal: Annotated[bool, Meta(description="True: cost equals the bound.")]
    profile: Annotated[Name, Meta(description="Version of the sourcing profile.")]
    snapshot: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{32}$", description="Hash over every input of the decision.")
    ]
    excluded: Annotated[list[Exclusion], Meta(max_length=NODES_MAX)] = []


ShortageReason = Literal["share", "ship_together", "unroutable", "packages_max"]


class Shortage(Part, frozen=True):
    """A line that cannot be fulfilled now, and what is known about when."""

    line: LineNumber
    sku: Name
    quantity: Annotated[Quantity, Meta(description="Units that are parked.")]
    reason: Annotated[
        ShortageReason,
        Meta(
            description="share: no node may promise enough; ship_together: its group waits; "
            "unroutable: no open lane or limit; packages_max: only in more packages than allowed."
        ),
    ]
    expected_at: Annotated[Moment, Meta(description="Next arrival that is known.")] | None = None


class CellUnits(Part, frozen=True):
    """Units of one stock cell."""

    node_id: Name
    sku: Name
    quantity: Quantity


Shortages = Annotated[list[Shortage], Meta(max_length=LINES_MAX)]
Cells = Annotated[list[CellUnits], Meta(max_length=LINES_MAX)]


class RoutePlanned(Data, frozen=True):
    """A plan: the answer to a question, or (with `order_id`) a later plan for parked lines."""

    kind: ClassVar[str] = "route.planned"

    plan: Plan | None = None
    order_id: Annotated[Reference, Meta(description="Set: its units are committed.")] | None = None
    parked: Annotated[Shortages, Meta(description="Lines outside the plan.")] = []
    released: Annotated[Cells, Meta(description="Units given back to the edge's share.")] = []


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
    parked: Annotated[Shortages, Meta(min_length=1)]
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
    unparked: Annotated[
        list[PlannedLine], Meta(max_length=LINES_MAX, description="By the edge: no longer waiting.")
    ] = []
    too_late: Annotated[
        list[PlannedLine],
        Meta(max_length=LINES_MAX, description="By the edge: already with a warehouse."),
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


class PickRejected(PickReport, frozen=True):
    """The warehouse will not do the task; its units stay on the shelf."""

    kind: ClassVar[str] = "pick.rejected"

    reason: Text = ""


class PackagePacked(PickReport, frozen=True):
    """The package is closed."""

    kind: ClassVar[str] = "package.packed"

    weight_g: Annotated[int, Meta(ge=0, le=10**8)] | None = None


class PackageShipped(PickReport, frozen=True):
    """The carrier, or the customer at the counter, has taken the package."""

    kind: ClassVar[str] = "package.shipped"

    tracking: Text = ""
    lines: Annotated[
        list[PlannedLine],
        Meta(max_length=LINES_MAX, description="By the edge: the units that left the node."),
    ] = []


class PackageDelivered(PickReport, frozen=True):
    """The customer has the package."""

    kind: ClassVar[str] = "package.delivered"


# Stock.


class StockLine(Part, frozen=True):
    """Units of one SKU."""

    sku: Name
    quantity: Quantity


class CountLine(Part, frozen=True):
    """A count of one SKU."""

    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]


class StockReceived(Data, frozen=True):
    """Units arrived at a node and may be sold."""

    kind: ClassVar[str] = "stock.received"

    node_id: Name
    lines: Annotated[list[StockLine], Meta(min_length=1, max_length=LINES_MAX)]
    reason: Annotated[
        Literal["purchase", "customer_return", "transfer", "opening"],
        Meta(description="Where the units come from."),
    ] = "purchase"


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


def type_of(data: Data | type[Data]) -> str:
    """The CloudEvents type, e.g. ``pointsman.payment.succeeded.v1``."""
    return f"pointsman.{data.kind}.v1"


UP: Final[tuple[type[Data], ...]] = (
    Payment, RouteRequested, OrderCancelled, PickAccepted, PickCompleted, PickShort, PickRejected,
    PackagePacked, PackageShipped, PackageDelivered, StockReceived, StockCounted, StockMoved,
)  # fmt: skip
"""What devices publish."""

DOWN: Final[tuple[type[Data], ...]] = (
    RoutePlanned, OrderAccepted, OrderParked, OrderCancelled, InputRejected, PickRequested,
)  # fmt: skip
"""What an edge publishes to devices."""

BY_TYPE: Final[dict[str, type[Data]]] = {type_of(kind): kind for kind in (*UP, *DOWN)}
