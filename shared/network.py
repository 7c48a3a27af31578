"""The network snapshot: nodes, services, lanes, tariffs, products, profile.

A planner writes it as one JSON document; central numbers it and sends it down the feed to
every edge; the edge builds its arrays from it (`edge.network`).
"""

from datetime import date
from typing import Annotated, Final, Literal

from msgspec import Meta

from shared import rings
from shared.documents import Cost, Grams, Minute, Row, parse, unique
from shared.errors import InvalidDataError
from shared.limits import (
    AREA_POINTS_MAX,
    AREAS_MAX,
    CLASSES_MAX,
    HOLIDAYS_MAX,
    LANES_MAX,
    NODES_MAX,
    PICKUPS_MAX,
    PRODUCTS_MAX,
    QUANTITY_MAX,
    REGIONS_MAX,
    SERVICES_MAX,
    TARIFF_STEPS_MAX,
    TARIFFS_MAX,
    TRANSITS_MAX,
)
from shared.parts import Currency, Moment, Name, Text, is_slot
from shared.sourcing import Names, Profile
from shared.topics import RESERVED

Weekday = Annotated[int, Meta(ge=1, le=7, description="ISO 8601: Monday is 1, Sunday 7.")]

LEVELS_PER_MILLE: Final = (
    0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 1_000,
)  # fmt: skip
"""Where a distribution is told: by its minutes at these quantiles, straight lines between them.
The first and the last are the least and the most that is believed in."""

Spread = Annotated[
    list[Annotated[int, Meta(ge=0, le=120_000)]],
    Meta(
        max_length=len(LEVELS_PER_MILLE),
        description="Minutes at the quantiles 0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, "
        "99 and 100 %, none below the one before it; empty: unknown.",
    ),
]


Ability = Annotated[
    Names,
    Meta(description="Classes of goods that it can take: cold, hazardous, oversize, ..."),
]
Point = Annotated[
    tuple[
        Annotated[float, Meta(ge=-180, le=180)],
        Annotated[float, Meta(ge=-90, le=90)],
    ],
    Meta(description="Longitude and latitude, in the order of RFC 7946."),
]


class Area(Row, frozen=True):
    """A geofence: where a node serves. Inside the radius, or inside one of the polygons."""

    radius_m: Annotated[int, Meta(ge=1, le=20_100_000, description="About the node.")] | None = None
    polygons: Annotated[
        list[Annotated[list[Point], Meta(min_length=4, max_length=AREA_POINTS_MAX)]],
        Meta(
            max_length=AREAS_MAX,
            description="Closed rings: the last point is the first; split at 180 degrees.",
        ),
    ] = []

    def __post_init__(self) -> None:
        """A fence encloses something."""
        if self.radius_m is None and not self.polygons:
            raise ValueError("an area needs radius_m or polygons")
        if any(ring[0] != ring[-1] for ring in self.polygons):
            raise ValueError("the last point of a polygon must be its first")


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
    area: Annotated[Area, Meta(description="Besides: the destination is inside.")] | None = None
    abilities: Ability = []
    walk_in_units: Annotated[
        int,
        Meta(
            ge=0,
            le=QUANTITY_MAX,
            description="Ring-fence: so many units of each SKU are left for customers who walk in.",
        ),
    ] = 0
    handling_spread_min: Annotated[
        Spread, Meta(description="Order to hand-over, backlog included, from history.")
    ] = []
    closed_weekdays: Annotated[
        list[Weekday], Meta(max_length=6, description="Days without work, every week.")
    ] = []
    closed_on: Annotated[
        list[date], Meta(max_length=HOLIDAYS_MAX, description="Days without work, by date.")
    ] = []

    def __post_init__(self) -> None:
        """A node that never opens is closed, and should say so."""
        if self.opens_min >= self.closes_min:
            raise ValueError("opens_min must be before closes_min")
        _check_spread("handling_spread_min", self.handling_spread_min)


class Service(Row, frozen=True):
    """A carrier service."""

    service_id: Name
    name: Text
    weight_g_max: Grams
    abilities: Ability = []


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


class Transit(Row, frozen=True):
    """How long a service takes, from hand-over to delivery, as history has it.

    `pointsman fit-lanes` writes it. Lanes may share one.
    """

    transit_id: Name
    spread_min: Annotated[Spread, Meta(min_length=len(LEVELS_PER_MILLE))]
    shipments: Annotated[
        int, Meta(ge=0, le=10**9, description="Deliveries of the lane itself that it rests on.")
    ] = 0

    def __post_init__(self) -> None:
        """Quantiles out of order are no distribution."""
        _check_spread("spread_min", self.spread_min)


class Lane(Row, frozen=True):
    """A service from a node to a region: how long, and by which tariff."""

    node_id: Name
    service_id: Name
    region: Name
    transit_h: Annotated[
        int,
        Meta(
            ge=0,
            le=2_000,
            description="Stated hours; without a transit, taken as kept nine times in ten.",
        ),
    ]
    tariff_id: Name
    transit_id: Annotated[Name, Meta(description="The distribution, where known.")] | None = None
    carbon_g: Annotated[
        int, Meta(ge=0, le=10**7, description="Grams of CO2 equivalent of a package.")
    ] = 0
    carbon_g_per_kg: Annotated[int, Meta(ge=0, le=10**6, description="And of each kilogram.")] = 0


class Pickup(Row, frozen=True):
    """When a carrier collects at a node: what is ready after the cut-off leaves the next time."""

    node_id: Name
    service_id: Name
    cutoff_min: Minute
    weekdays: Annotated[
        list[Weekday], Meta(max_length=7, description="Days it comes; empty: every day.")
    ] = []


class Product(Row, frozen=True):
    """What the router must know about a SKU."""

    sku: Name
    name: Text = ""
    weight_g: Grams = 500
    classes: Annotated[
        Names, Meta(description="Node and service must have the ability for each.")
    ] = []
    tags: Annotated[Names, Meta(description="What sourcing rules ask for.")] = []


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
    transits: Annotated[list[Transit], Meta(max_length=TRANSITS_MAX)] = []
    pickups: Annotated[
        list[Pickup],
        Meta(max_length=PICKUPS_MAX, description="Node and service without one: at any time."),
    ] = []
    made_at: (
        Annotated[
            Moment,
            Meta(description="When its times were true; their uncertainty grows from then on."),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Names must be unique, and what is referred to must exist."""
        nodes = unique("nodes", [node.node_id for node in self.nodes])
        services = unique("services", [service.service_id for service in self.services])
        tariffs = unique("tariffs", [tariff.tariff_id for tariff in self.tariffs])
        for sku in unique("products", [product.sku for product in self.products]):
            if is_slot(sku):
                raise ValueError(f"the SKU {sku!r} begins like the name of a slot")
        classes = {name for product in self.products for name in product.classes}
        if len(classes) > CLASSES_MAX:
            raise ValueError(f"{len(classes)} classes of goods, {CLASSES_MAX} are possible")
        transits = unique("transits", [transit.transit_id for transit in self.transits])
        unique("lanes", [f"{x.node_id} {x.service_id} {x.region}" for x in self.lanes])
        for lane in self.lanes:
            for name, known in (
                (lane.node_id, nodes),
                (lane.service_id, services),
                (lane.tariff_id, tariffs),
                (lane.transit_id, transits),
            ):
                if name is not None and name not in known:
                    raise ValueError(f"a lane names {name!r}, which is not in the document")
        unique("pickups", [f"{x.node_id} {x.service_id}" for x in self.pickups])
        for pickup in self.pickups:
            for name, known in ((pickup.node_id, nodes), (pickup.service_id, services)):
                if name not in known:
                    raise ValueError(f"a pickup names {name!r}, which is not in the document")


def _check_spread(what: str, spread_min: list[int]) -> None:
    if spread_min and (
        len(spread_min) != len(LEVELS_PER_MILLE) or spread_min != sorted(spread_min)
    ):
        raise ValueError(f"{what} must be {len(LEVELS_PER_MILLE)} numbers, none below its last")


def parse_network(document: bytes) -> Network:
    """Read a planner's JSON document.

    Raises:
        InvalidDataError: the place and what was expected there.
        NotJsonError: it is not text, or nested too deeply.
    """
    network = parse(document, Network, "a network document (network.schema.json)")
    for i, node in enumerate(network.nodes):
        if node.edge_id in RESERVED:
            raise InvalidDataError(
                f"the home of node {node.node_id!r} is called {node.edge_id!r}, as central is",
                place=f"$.nodes[{i}].edge_id",
                expected="another name than " + " and ".join(sorted(RESERVED)),
            )
        for k, ring in enumerate(node.area.polygons if node.area is not None else ()):
            if (fault := rings.fault(ring)) is not None:
                raise InvalidDataError(
                    f"the area of node {node.node_id!r} {fault}",
                    place=f"$.nodes[{i}].area.polygons[{k}]",
                    expected="a ring that encloses one piece of land, in degrees; over the "
                    "antimeridian, two rings that end at 180 and -180",
                )
    return network
