"""Prices: what units, nodes and carriers cost just now, besides their tariffs.

They change by the hour where the network changes by the week. A planner, or a system that
forecasts, publishes them as one JSON document; central sends them down the feed. What is old
counts for less: see `edge.prices`.
"""

from typing import Annotated

from msgspec import Meta

from shared.documents import Charge, Cost, Row, parse, unique
from shared.limits import BIDS_MAX, LANES_MAX, NODES_MAX
from shared.parts import Moment, Name

Delay = Annotated[int, Meta(ge=0, le=43_200, description="Minutes more than the network says.")]


class Bid(Row, frozen=True):
    """The bid price of a unit: what selling it here costs tomorrow."""

    node_id: Name
    sku: Name
    price_minor: Cost


class Backlog(Row, frozen=True):
    """Work that waits at a node."""

    node_id: Name
    delay_min: Delay = 0
    price_minor: Annotated[Charge, Meta(description="Per package.")] = 0


class Saturation(Row, frozen=True):
    """How full a carrier's service to a region is: packages take longer, and cost more."""

    service_id: Name
    region: Name
    delay_min: Delay = 0
    price_minor: Annotated[Charge, Meta(description="Per package.")] = 0


class Prices(Row, frozen=True):
    """The whole document. Names that the network does not have are left out."""

    version: Annotated[int, Meta(ge=1, le=2**53)]
    made_at: Annotated[Moment, Meta(description="When they were true.")]
    fresh_h: Annotated[
        int, Meta(ge=1, le=10_000, description="So long they count in full; then they fade.")
    ] = 24
    bids: Annotated[list[Bid], Meta(max_length=BIDS_MAX)] = []
    backlogs: Annotated[list[Backlog], Meta(max_length=NODES_MAX)] = []
    saturations: Annotated[list[Saturation], Meta(max_length=LANES_MAX)] = []

    def __post_init__(self) -> None:
        """One price each."""
        unique("bids", [f"{bid.node_id} {bid.sku}" for bid in self.bids])
        unique("backlogs", [backlog.node_id for backlog in self.backlogs])
        unique("saturations", [f"{x.service_id} {x.region}" for x in self.saturations])


def parse_prices(document: bytes) -> Prices:
    """Read a JSON document.

    Raises:
        InvalidDataError: the place and what was expected there.
        NotJsonError: it is not text, or nested too deeply.
    """
    return parse(document, Prices, "a prices document (prices.schema.json)")
