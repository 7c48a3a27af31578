"""What `pointsman explain --json` prints. A JSON Schema is generated from it."""

from typing import Annotated, Literal

from msgspec import Meta

from edge.explanation import Explained
from shared.limits import LINES_MAX, PACKAGES_MAX
from shared.parts import (
    Customer,
    Destination,
    Fulfilment,
    Line,
    Moment,
    Name,
    Part,
    Plan,
    Reference,
    Shortages,
)

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the wire form.")]


class Document(Part, frozen=True):
    """A document that a decision rests on."""

    kind: Literal["network", "sourcing", "prices"]
    version: Annotated[str, Meta(max_length=128)]
    digest: Digest


class ExplainedDecision(Part, frozen=True):
    """One decision of an order."""

    position: Annotated[int, Meta(ge=1, description="In the edge's log.")]
    at: Moment
    said: Literal["order.accepted", "order.parked", "route.planned"]
    currency: str = ""
    documents: Annotated[list[Document], Meta(max_length=3)] = []
    same: (
        Annotated[
            bool,
            Meta(
                description="Decided again from what was kept, the plan is the same bit for bit. "
                "Missing: what it was made by is no longer kept."
            ),
        ]
        | None
    ) = None
    asked: Annotated[
        list[int], Meta(max_length=LINES_MAX, description="The lines that it was about.")
    ] = []
    plan: Plan | None = None
    parked: Annotated[Shortages, Meta(description="What waited after it.")] = []
    explained: Explained | None = None


class Shipping(Part, frozen=True):
    """A package that the order has now."""

    node_id: Name
    service_id: Name
    task_id: Reference
    lines: Annotated[list[int], Meta(max_length=LINES_MAX)]
    arrives_at: Moment


class Explanation(Part, frozen=True, kw_only=True):
    """An order, and each of its decisions in the order of time."""

    order_id: Reference
    device: Name
    paid_at: Moment
    store_id: Name
    channel: Name
    fulfilment: Fulfilment
    customer: Customer
    destination: Destination | None = None
    lines: Annotated[list[Line], Meta(max_length=LINES_MAX)]
    decisions: Annotated[list[ExplainedDecision], Meta(max_length=100_000)]
    packages: Annotated[
        list[Shipping], Meta(max_length=PACKAGES_MAX, description="As it stands now.")
    ] = []
    parked: Annotated[Shortages, Meta(description="What waits now.")] = []
