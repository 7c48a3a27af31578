"""Sourcing profiles: what a plan is judged by, and which orders by which profile.

A planner publishes them as one JSON document; central keeps every version and sends the one in
force down the feed; each edge chooses a profile per order. The network's own profile counts
until one is published.
"""

from typing import Annotated, Literal

from msgspec import Meta

from shared.documents import Charge, Cost, Row, parse, unique
from shared.limits import (
    NAMES_MAX,
    PACKAGES_MAX,
    PROFILES_MAX,
    QUANTITY_MAX,
    RULES_MAX,
)
from shared.parts import Channel, Credit, FenceName, Limits, Moment, Name, Speed, Tier

Names = Annotated[list[Name], Meta(max_length=NAMES_MAX)]


class TierPromise(Row, frozen=True):
    """Customers of a tier get their goods in time, or not by this option: a chance constraint."""

    tier: Tier
    within_h: Annotated[int, Meta(ge=1, le=2_000, description="From the decision to the arrival.")]
    on_time_per_mille: Annotated[
        int, Meta(ge=1, le=999, description="A package may ship only by what keeps it so often.")
    ]


class Profile(Row, frozen=True):
    """The sourcing profile: what a plan is judged by. Published once, it never changes."""

    version: Name
    split_cost_minor: Annotated[Cost, Meta(description="Per package beyond the first.")] = 0
    late_minor: Annotated[
        Cost, Meta(description="Per package that is late, times its probability.")
    ] = 0
    late_minor_per_h: Annotated[
        Cost, Meta(description="Per hour beyond the deadline, times the expected hours.")
    ] = 0
    promise_per_mille: Annotated[
        int, Meta(ge=500, le=999, description="Quantile of the arrival that is promised.")
    ] = 900
    packages_max: Annotated[int, Meta(ge=1, le=PACKAGES_MAX)] = 8
    reroute_minor: Annotated[
        Cost, Meta(description="What it costs when a node fails its pick.")
    ] = 500
    economy_minor_per_h: Annotated[
        Cost, Meta(description="Per expected hour from order to arrival, for who prefers economy.")
    ] = 0
    standard_minor_per_h: Cost = 0
    express_minor_per_h: Cost = 0
    congestion_minor: Annotated[
        Charge, Meta(description="Of a package that takes the last room of a node's slot.")
    ] = 0
    congestion_packages: Annotated[
        int,
        Meta(
            ge=1,
            le=QUANTITY_MAX,
            description="The price of room begins when so many packages still fit, and rises.",
        ),
    ] = 10
    incoming_minor_per_h: (
        Annotated[
            Cost,
            Meta(
                description="Price of each hour that goods wait for stock on its way. Without it "
                "they wait only if no node has any."
            ),
        ]
        | None
    ) = None
    tier_promises: Annotated[list[TierPromise], Meta(max_length=4)] = []
    limits: Annotated[Limits, Meta(description="Nodes and services, for every order.")] = Limits()
    not_preferred_minor: Annotated[
        Charge,
        Meta(
            description="Of a package not from a preferred node where any are preferred; and "
            "again of one not by a preferred service."
        ),
    ] = 0
    split_lines: Annotated[
        bool, Meta(description="A line that no node has whole may come from several.")
    ] = False
    relax: Annotated[
        list[FenceName],
        Meta(
            max_length=16,
            description="What a payment's plan may break when no plan keeps everything, the "
            "least bad first. A question is shown the best plan that breaks anything.",
        ),
    ] = []

    def __post_init__(self) -> None:
        """One promise a tier."""
        unique("tier_promises", [promise.tier for promise in self.tier_promises])


class Conditions(Row, frozen=True):
    """When a rule applies: each list that is given must have the order's; empty lists always."""

    channels: Annotated[list[Channel], Meta(max_length=16)] = []
    tiers: Annotated[list[Tier], Meta(max_length=4)] = []
    speeds: Annotated[list[Speed], Meta(max_length=4)] = []
    credits: Annotated[list[Credit], Meta(max_length=4)] = []
    kinds: Annotated[list[Literal["carry_out", "pick_up", "delivery"]], Meta(max_length=3)] = []
    regions: Annotated[Names, Meta(description="Of the destination.")] = []
    stores: Annotated[Names, Meta(description="Where it is sold.")] = []
    tags: Annotated[Names, Meta(description="A product of the order has one of these.")] = []
    from_at: Moment | None = None
    until_at: Annotated[Moment, Meta(description="The rule no longer applies at it.")] | None = None


class Rule(Row, frozen=True):
    """Orders like this are judged by that profile."""

    profile: Annotated[Name, Meta(description="Version of a profile of this document.")]
    when: Conditions


class Sourcing(Row, frozen=True):
    """The whole document: the first rule that applies chooses, else `otherwise`."""

    version: Name
    profiles: Annotated[list[Profile], Meta(min_length=1, max_length=PROFILES_MAX)]
    otherwise: Annotated[Name, Meta(description="Version of the profile for all other orders.")]
    rules: Annotated[list[Rule], Meta(max_length=RULES_MAX)] = []

    def __post_init__(self) -> None:
        """A rule cannot choose a profile that is not here."""
        known = unique("profiles", [profile.version for profile in self.profiles])
        for name in (self.otherwise, *(rule.profile for rule in self.rules)):
            if name not in known:
                raise ValueError(f"the profile {name!r} is not in the document")


def parse_sourcing(document: bytes) -> Sourcing:
    """Read a planner's JSON document.

    Raises:
        InvalidDataError: the place and what was expected there.
        NotJsonError: it is not text, or nested too deeply.
    """
    return parse(document, Sourcing, "a sourcing document (sourcing.schema.json)")
