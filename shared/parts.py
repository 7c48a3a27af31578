"""What events are made of: names, amounts, lines, plans. Every string, list and number is bounded.

An unknown field is refused, so that a typing error is told and never silently ignored; there
is no field for card data, so that none is taken.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct

from shared.clock import to_datetime, to_ms
from shared.limits import (
    CANDIDATES_MAX,
    ID_CHARS_MAX,
    LIMITS_MAX,
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
Tracking = Annotated[
    str, Meta(max_length=64, pattern=r"^[A-Za-z0-9-]*$(?!\n)", description="The carrier's number.")
]
Quantity = Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
Minor = Annotated[int, Meta(ge=0, le=MONEY_MINOR_MAX)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]
Moment = Annotated[
    datetime, Meta(tz=True, description="RFC 3339, with offset; from outside: 1970 to 2099.")
]
LineNumber = Annotated[int, Meta(ge=0, lt=LINES_MAX, description="Position in the order's lines.")]

Channel = Literal["pos", "shop", "douyin", "jd", "mini_program", "web", "other"]
Tier = Literal["standard", "silver", "gold", "vip"]
Credit = Literal["good", "watched", "poor"]
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


Chosen = Annotated[list[Name], Meta(max_length=LIMITS_MAX)]


class Limits(Part, frozen=True):
    """Nodes and services that must, must not, or should ship."""

    required_nodes: Annotated[Chosen, Meta(description="Only these; empty: any.")] = []
    forbidden_nodes: Chosen = []
    preferred_nodes: Annotated[Chosen, Meta(description="Others cost what the profile says.")] = []
    required_services: Chosen = []
    forbidden_services: Chosen = []
    preferred_services: Chosen = []


class Customer(Part, frozen=True):
    """Who ordered: a token, never a name."""

    token: Annotated[Reference, Meta(description="Opaque customer token.")] | None = None
    tier: Annotated[Tier, Meta(description="Service tier.")] = "standard"
    speed: Annotated[Speed, Meta(description="Preferred speed.")] = "standard"
    credit: Annotated[Credit, Meta(description="What sourcing rules may ask for.")] = "good"
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
    limits: Annotated[Limits, Meta(description="Of this order, besides the profile's.")] = Limits()

    def __post_init__(self) -> None:
        """A pick-up without a place cannot be fulfilled."""
        if self.kind == "pick_up" and self.node_id is None:
            raise ValueError("fulfilment.kind pick_up needs fulfilment.node_id")


Lines = Annotated[list[Line], Meta(min_length=1, max_length=LINES_MAX)]


# What was decided.


class PlannedLine(Part, frozen=True):
    """A line of the order inside a package."""

    line: LineNumber
    sku: Name
    quantity: Quantity


class Terms(Part, frozen=True):
    """What a package costs, term by term, minor units. They add up to its cost."""

    tariff_minor: Annotated[Minor, Meta(description="The carrier's, by weight.")] = 0
    handling_minor: Minor = 0
    backlog_minor: Annotated[Minor, Meta(description="Work that waits at the node.")] = 0
    congestion_minor: Annotated[Minor, Meta(description="Little room left in its slot.")] = 0
    saturation_minor: Annotated[Minor, Meta(description="The carrier is full.")] = 0
    lateness_minor: Annotated[Minor, Meta(description="Expected, by the deadline.")] = 0
    speed_minor: Annotated[Minor, Meta(description="Expected hours to the arrival.")] = 0
    waiting_minor: Annotated[Minor, Meta(description="For stock on its way.")] = 0
    preference_minor: Annotated[Minor, Meta(description="Not a preferred node or service.")] = 0
    bid_minor: Annotated[Minor, Meta(description="What its units would bring elsewhere.")] = 0
    rejection_minor: Annotated[Minor, Meta(description="P(the pick fails) times a re-route.")] = 0


class Package(Part, frozen=True):
    """Some lines from one node by one carrier service."""

    package: Annotated[int, Meta(ge=0, lt=PACKAGES_MAX, description="Number within the plan.")]
    node_id: Name
    service_id: Name
    lines: Annotated[list[PlannedLine], Meta(min_length=1, max_length=LINES_MAX)]
    cost_minor: Annotated[Minor, Meta(description="Cost-to-serve of this package.")]
    ready_at: Annotated[Moment, Meta(description="When the node has it ready.")]
    arrives_at: Annotated[
        Moment, Meta(description="The promise: kept with the probability that the profile names.")
    ]
    edd_at: (
        Annotated[Moment, Meta(description="As likely before as after: the median arrival.")] | None
    ) = None
    on_time_per_mille: (
        Annotated[int, Meta(ge=0, le=1_000, description="P(arrives by the deadline), if any.")]
        | None
    ) = None
    late_s: Annotated[
        int, Meta(ge=0, le=10**9, description="Seconds that the promise misses the deadline by.")
    ] = 0
    slot: (
        Annotated[Name, Meta(description="The slot of the node's pick capacity that it takes.")]
        | None
    ) = None
    terms: Annotated[Terms, Meta(description="What the cost is made of.")] = Terms()
    carbon_g: Annotated[int, Meta(ge=0, le=10**12, description="CO2 equivalent.")] = 0


FenceName = Literal[
    "walk_in", "tier_promise", "required_services", "forbidden_services", "required_nodes",
    "forbidden_nodes", "area", "packages_max", "split_allowed",
]  # fmt: skip
"""Fences that a plan could break; what is not in stock or too heavy nobody can."""

Aim = Literal["cost", "arrival", "packages", "carbon"]
"""What a plan can be best at: cheapest, fastest, fewest packages, lowest carbon."""

ExclusionCode = Literal[
    "share", "area", "closed", "no_lane", "carrier_limit", "not_chosen_by_customer",
    "failed_before", "capacity", "goods_class", "walk_in", "tier_promise", "required_nodes",
    "forbidden_nodes", "required_services", "forbidden_services",
]  # fmt: skip


class Exclusion(Part, frozen=True):
    """A node that could not take part, and the first fence that kept it out."""

    node_id: Name
    code: ExclusionCode


class StaleInput(Part, frozen=True):
    """Old data that a plan rests on, and what was made of its age."""

    source: Annotated[Literal["network", "prices"], Meta(description="What is old.")]
    age_s: Annotated[int, Meta(ge=0, le=10**12)]
    widened_per_mille: Annotated[
        int, Meta(ge=1_000, le=10_000, description="Its spread counts for so much of itself.")
    ] = 1_000
    counted_per_mille: Annotated[
        int, Meta(ge=0, le=1_000, description="Its amounts count for so much of themselves.")
    ] = 1_000


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
    relaxed: Annotated[
        list[FenceName], Meta(max_length=16, description="Fences that this plan breaks.")
    ] = []
    conflict: Annotated[
        list[FenceName],
        Meta(max_length=16, description="Why it breaks any: no plan keeps all of these at once."),
    ] = []
    split_minor: Annotated[Minor, Meta(description="For packages beyond the first.")] = 0
    stale: Annotated[
        list[StaleInput], Meta(max_length=8, description="Old data, made less certain for it.")
    ] = []


class Alternative(Part, frozen=True):
    """Another plan, and what it is best at."""

    best_at: Annotated[list[Aim], Meta(min_length=1, max_length=4)]
    plan: Plan


ShortageReason = Literal[
    "share", "ship_together", "unroutable", "packages_max", "capacity", "fenced", "incoming",
]  # fmt: skip


class Shortage(Part, frozen=True):
    """A line that cannot be fulfilled now, and what is known about when."""

    line: LineNumber
    sku: Name
    quantity: Annotated[Quantity, Meta(description="Units that are parked.")]
    reason: Annotated[
        ShortageReason,
        Meta(
            description="share: no node may promise enough; ship_together: its group waits; "
            "unroutable: no open lane or limit; packages_max: only in more packages than allowed; "
            "capacity: nobody can pick it in any slot that is known; fenced: what is demanded "
            "of it clashes (see conflict); incoming: it is better to wait for stock on its way."
        ),
    ]
    expected_at: Annotated[Moment, Meta(description="Next arrival that is known.")] | None = None
    expected_per_mille: (
        Annotated[int, Meta(ge=0, le=1_000, description="How likely that arrival may be sold.")]
        | None
    ) = None
    promised_at: (
        Annotated[Moment, Meta(description="With the customer, shipped from that arrival.")] | None
    ) = None
    conflict: Annotated[
        list[FenceName], Meta(max_length=16, description="No plan keeps all of these at once.")
    ] = []
    nodes: Annotated[
        list[Name],
        Meta(
            max_length=CANDIDATES_MAX,
            description="Nodes that could ship it if they had it, the cheapest first.",
        ),
    ] = []
    group: Annotated[
        int,
        Meta(
            ge=-1,
            lt=LINES_MAX,
            description="Lines of one number need one node that has them all: "
            "their first line's number.",
        ),
    ] = -1


class CellUnits(Part, frozen=True):
    """Units of one stock cell."""

    node_id: Name
    sku: Name
    quantity: Quantity


Shortages = Annotated[list[Shortage], Meta(max_length=LINES_MAX)]
Cells = Annotated[list[CellUnits], Meta(max_length=LINES_MAX)]


class TaskAt(Part, frozen=True):
    """A pick task at a node of another edge."""

    task_id: Reference
    node_id: Name


class StockLine(Part, frozen=True):
    """Units of one SKU."""

    sku: Name
    quantity: Quantity


class Slot(Part, frozen=True):
    """A time in which a node picks, and how many packages it can pick then in all."""

    starts_at: Moment
    ends_at: Moment
    packages: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]

    def __post_init__(self) -> None:
        """A slot has a length."""
        if self.starts_at >= self.ends_at:
            raise ValueError("starts_at must be before ends_at")


SLOT_PREFIX: Final = "slot."
"""Names of slots among the SKUs of stock cells; no product's SKU may begin so."""


def slot_sku(starts_at: datetime) -> str:
    """The SKU of the cells in which a slot's capacity is kept."""
    return f"{SLOT_PREFIX}{to_datetime(to_ms(starts_at)):%Y%m%dT%H%M%SZ}"


def is_slot(sku: str) -> bool:
    """Whether a cell of this SKU holds capacity instead of goods."""
    return sku.startswith(SLOT_PREFIX)


class CountLine(Part, frozen=True):
    """A count of one SKU."""

    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
