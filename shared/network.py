"""The network snapshot: nodes, services, lanes, tariffs, products, profile.

A planner writes it as one JSON document; central numbers it and sends it down the feed to
every edge; the edge builds its arrays from it (`edge.network`).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from shared.errors import InvalidDataError, NotJsonError, split_error
from shared.limits import (
    COST_MINOR_MAX,
    LANES_MAX,
    NODES_MAX,
    PACKAGES_MAX,
    PRODUCTS_MAX,
    REGIONS_MAX,
    SERVICES_MAX,
    TARIFF_STEPS_MAX,
    TARIFFS_MAX,
    WEIGHT_G_MAX,
)
from shared.parts import Currency, Name, Text, is_slot

Minute = Annotated[int, Meta(ge=0, le=1440, description="Minute of the local day.")]
Grams = Annotated[int, Meta(ge=1, le=WEIGHT_G_MAX)]
Cost = Annotated[int, Meta(ge=0, le=COST_MINOR_MAX, description="Minor units.")]


class Row(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of the snapshot."""


class Node(Row, frozen=True):
    """A place that holds stock: a distribution centre or a store."""

    node_id: Name
    name: Text
    kind: Literal["dc", "store"]
    edge_id: Annotated[Name, Meta(description="Its home edge, which talks to its warehouse.")]
    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]
    region: Name
    status: Literal["open", "closed"] = "open"
    opens_min: Minute = 0
    closes_min: Minute = 1440
    utc_offset_min: Annotated[int, Meta(ge=-840, le=840)] = 0
    handling_min: Annotated[int, Meta(ge=0, le=43_200, description="Order to hand-over.")] = 60
    handling_minor: Annotated[Cost, Meta(description="Cost to pick and pack one package.")] = 0
    serves: Annotated[
        list[Name], Meta(max_length=REGIONS_MAX, description="Service area; empty: every region.")
    ] = []

    def __post_init__(self) -> None:
        """A node that never opens is closed, and should say so."""
        if self.opens_min >= self.closes_min:
            raise ValueError("opens_min must be before closes_min")


class Service(Row, frozen=True):
    """A carrier service."""

    service_id: Name
    name: Text
    weight_g_max: Grams


class Step(Row, frozen=True):
    """Price of a package up to a weight."""

    weight_g_max: Grams
    price_minor: Cost


class Tariff(Row, frozen=True):
    """Weight steps, ascending."""

    tariff_id: Name
    steps: Annotated[list[Step], Meta(min_length=1, max_length=TARIFF_STEPS_MAX)]

    def __post_init__(self) -> None:
        """Steps out of order would price by accident."""
        weights = [step.weight_g_max for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError("steps must ascend by weight_g_max")


class Lane(Row, frozen=True):
    """A service from a node to a region: how long, and by which tariff."""

    node_id: Name
    service_id: Name
    region: Name
    transit_h: Annotated[int, Meta(ge=0, le=2_000)]
    tariff_id: Name


class Product(Row, frozen=True):
    """What the router must know about a SKU."""

    sku: Name
    name: Text = ""
    weight_g: Grams = 500


class Profile(Row, frozen=True):
    """The sourcing profile: what a plan is judged by."""

    version: Name
    split_cost_minor: Annotated[Cost, Meta(description="Per package beyond the first.")] = 0
    late_minor_per_h: Annotated[Cost, Meta(description="Per hour beyond the deadline.")] = 0
    packages_max: Annotated[int, Meta(ge=1, le=PACKAGES_MAX)] = 8
    reroute_minor: Annotated[
        Cost, Meta(description="What it costs when a node fails its pick.")
    ] = 500


class Network(Row, frozen=True):
    """The whole snapshot."""

    version: Annotated[int, Meta(ge=1, le=2**53)]
    currency: Currency
    profile: Profile
    nodes: Annotated[list[Node], Meta(min_length=1, max_length=NODES_MAX)]
    services: Annotated[list[Service], Meta(max_length=SERVICES_MAX)]
    tariffs: Annotated[list[Tariff], Meta(max_length=TARIFFS_MAX)]
    lanes: Annotated[list[Lane], Meta(max_length=LANES_MAX)]
    products: Annotated[list[Product], Meta(min_length=1, max_length=PRODUCTS_MAX)]

    def __post_init__(self) -> None:
        """Names must be unique, and what is referred to must exist."""
        nodes = _unique("nodes", [node.node_id for node in self.nodes])
        services = _unique("services", [service.service_id for service in self.services])
        tariffs = _unique("tariffs", [tariff.tariff_id for tariff in self.tariffs])
        for sku in _unique("products", [product.sku for product in self.products]):
            if is_slot(sku):
                raise ValueError(f"the SKU {sku!r} begins like the name of a slot")
        _unique("lanes", [f"{x.node_id} {x.service_id} {x.region}" for x in self.lanes])
        for lane in self.lanes:
            for name, known in (
                (lane.node_id, nodes),
                (lane.service_id, services),
                (lane.tariff_id, tariffs),
            ):
                if name not in known:
                    raise ValueError(f"a lane names {name!r}, which is not in the document")


def _unique(what: str, names: list[str]) -> set[str]:
    known = set(names)
    if len(known) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{what}: {twice!r} stands twice")
    return known


def parse_network(document: bytes) -> Network:
    """Read a planner's JSON document.

    Raises:
        InvalidDataError: the place and what was expected there.
        NotJsonError: it is not text, or nested too deeply.
    """
    try:
        return msgspec.json.decode(document, type=Network)
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(type(error).__name__, expected="JSON in UTF-8") from None
    except msgspec.DecodeError as error:
        detail, place = split_error(error)
        raise InvalidDataError(detail, place=place, expected="a network document") from None
