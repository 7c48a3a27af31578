"""What goes into a what-if and what comes out: one document or one line each, typed.

JSON Schemas are generated from these (`deploy.planning.schemas`).
"""

from typing import Annotated

from msgspec import Meta

from shared.events import RouteRequested, StockExpected
from shared.limits import (
    MONEY_MINOR_MAX,
    NODES_MAX,
    QUANTITY_MAX,
    SLOTS_MAX,
)
from shared.parts import (
    Alternative,
    CellUnits,
    Moment,
    Name,
    Part,
    Plan,
    Reference,
    Shortages,
    Slot,
)

ORDERS_MAX = 10**9
CELLS_MAX = 5_000_000
PICKS_MAX = 1_000_000

Count = Annotated[int, Meta(ge=0, le=ORDERS_MAX)]
Share = Annotated[float, Meta(ge=0, le=1)]
Change = Annotated[int, Meta(ge=-MONEY_MINOR_MAX, le=MONEY_MINOR_MAX, description="Minor units.")]
Minor = Annotated[int, Meta(ge=0, le=MONEY_MINOR_MAX, description="Minor units.")]


class AskedOrder(RouteRequested, frozen=True, kw_only=True):
    """A line of orders: a question (`route.requested`) with an id and the time it was asked."""

    id: Annotated[Reference, Meta(description="Yours; comes back with the plan.")]
    at: Annotated[Moment, Meta(description="When it is decided; else --at says it.")] | None = None


class NodeSlots(Part, frozen=True):
    """The slots that a node picks in."""

    node_id: Name
    slots: Annotated[list[Slot], Meta(max_length=SLOTS_MAX)]


class FailedPicks(Part, frozen=True, kw_only=True):
    """What picks have taught of a node and a SKU."""

    node_id: Name
    sku: Name
    failed: Annotated[
        int, Meta(ge=1, le=PICKS_MAX, description="Picks that were short or refused.")
    ]
    good: Annotated[int, Meta(ge=0, le=PICKS_MAX, description="Picks that were not, since.")] = 0
    at: Annotated[Moment, Meta(description="As of; each counts half as much after a week.")]


class Shelves(Part, frozen=True):
    """What may be promised, and what else an edge knows of stock.

    Units of every cell, slots of nodes that have any, what is expected, what picks have taught.
    """

    cells: Annotated[list[CellUnits], Meta(max_length=CELLS_MAX)]
    slots: Annotated[list[NodeSlots], Meta(max_length=NODES_MAX)] = []
    expected: Annotated[
        list[StockExpected], Meta(max_length=CELLS_MAX, description="As nodes announce it.")
    ] = []
    failed_picks: Annotated[list[FailedPicks], Meta(max_length=CELLS_MAX)] = []


class PlannedOrder(Part, frozen=True):
    """A line of plans: what the product would have decided."""

    id: Reference
    at: Moment
    plan: Plan | None = None
    parked: Annotated[Shortages, Meta(description="Lines that no node can promise now.")] = []
    alternatives: Annotated[
        list[Alternative], Meta(max_length=4, description="Where the order asks for them.")
    ] = []


class Outcome(Part, frozen=True):
    """What one profile makes of one order."""

    cost_minor: Annotated[Minor, Meta(description="As the profile counts it.")] = 0
    freight_minor: Annotated[
        Minor, Meta(description="Handling and carriers alone: the same for every profile.")
    ] = 0
    nodes: Annotated[
        list[Name], Meta(max_length=NODES_MAX, description="Of each package, in their order.")
    ] = []
    promised_at: Annotated[Moment, Meta(description="Arrival of the last package.")] | None = None
    late_s: Annotated[int, Meta(ge=0, le=10**9, description="Of the last package.")] = 0
    parked: Annotated[int, Meta(ge=0, le=QUANTITY_MAX, description="Lines that wait.")] = 0


class ComparedOrder(Part, frozen=True):
    """A line of a comparison: one order under both profiles."""

    id: Reference
    a: Outcome
    b: Outcome
    cost_change_minor: Annotated[Change, Meta(description="Freight of B less that of A.")]
    promise_change_s: (
        Annotated[int, Meta(ge=-(10**10), le=10**10, description="Positive: B promises later.")]
        | None
    ) = None


class NodeLoad(Part, frozen=True):
    """What a node has to do."""

    node_id: Name
    packages: Count
    units: Annotated[int, Meta(ge=0, le=ORDERS_MAX * QUANTITY_MAX)]
    weight_g: Annotated[int, Meta(ge=0, le=10**18)]


class Summary(Part, frozen=True):
    """All orders under one profile."""

    profile: Name
    orders: Count
    planned: Annotated[Count, Meta(description="Orders with a plan for at least a line.")] = 0
    parked_orders: Annotated[Count, Meta(description="Orders of which some line waits.")] = 0
    parked_lines: Count = 0
    packages: Count = 0
    split: Annotated[Count, Meta(description="Orders in more than one package.")] = 0
    late: Annotated[Count, Meta(description="Orders promised after their deadline.")] = 0
    optimal: Annotated[Count, Meta(description="Plans that are proven the cheapest.")] = 0
    gap_max: Annotated[Share, Meta(description="Largest share of a cost that is not proven.")] = 0.0
    cost_minor: Minor = 0
    freight_minor: Minor = 0
    promise_h: Annotated[
        float, Meta(ge=0, le=10**6, description="Order to last arrival, mean hours.")
    ] = 0.0
    nodes: Annotated[list[NodeLoad], Meta(max_length=NODES_MAX)] = []


class Comparison(Part, frozen=True):
    """Both profiles in sum."""

    a: Summary
    b: Summary
    changed: Annotated[Count, Meta(description="Orders that other nodes or services ship.")]
