"""The drawn network that sells the real day: nodes in real cities, lanes, tariffs, weights.

Pure and deterministic. Everything here is drawn or chosen, nothing is measured; money is in
pence, because the day's prices are.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from deploy.demo.day import Day
from deploy.demo.places import City, centres, city, distance_km, draw
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.sourcing import Profile

CURRENCY: Final = "GBP"
UTC_OFFSET_MIN: Final = 480
OPENS_MIN: Final = {"dc": 7 * 60, "store": 8 * 60}
CLOSES_MIN: Final = {"dc": 23 * 60, "store": 21 * 60}

EDGES: Final = ("edge-east", "edge-north", "edge-south")

_DCS: Final = {
    "edge-east": ("Shanghai", "Hangzhou", "Wuhan"),
    "edge-north": ("Beijing", "Shenyang", "Xi’an"),
    "edge-south": ("Guangzhou", "Chengdu"),
}
"""The first of each edge is its main centre, with nearly the whole range."""

_STORES: Final = {
    "edge-east": (
        "Shanghai", "Hangzhou", "Nanjing", "Suzhou", "Ningbo", "Wuxi", "Hefei", "Wuhan",
    ),
    "edge-north": (
        "Beijing", "Tianjin", "Jinan", "Qingdao", "Zhengzhou", "Shenyang", "Harbin", "Xi’an",
    ),
    "edge-south": (
        "Guangzhou", "Shenzhen", "Dongguan", "Foshan", "Xiamen", "Changsha", "Chengdu", "Chongqing",
    ),
}  # fmt: skip

_SERVES: Final = {
    "dc-shenyang": ["CN-LN", "CN-JL", "CN-HL", "CN-NM", "CN-HE", "CN-BJ", "CN-TJ"],
    "dc-hangzhou": ["CN-ZJ", "CN-SH", "CN-JS", "CN-FJ", "CN-JX", "CN-AH"],
}
"""The two centres that do not serve the whole country."""

# Zone: how far a region's people are from the node, kilometres at most.
_ZONES_KM: Final = (80, 400, 900, 1_600, 100_000)

_SERVICES: Final = (
    Service(service_id="economy", name="Economy, by pallet if need be", weight_g_max=2_000_000),
    Service(service_id="standard", name="Standard parcel", weight_g_max=300_000),
    Service(service_id="express", name="Express", weight_g_max=70_000),
)


@dataclass(frozen=True, slots=True)
class _Rate:
    """What a service costs and how long it takes, by distance."""

    base_minor: int
    kg_minor: int
    hours: int
    km_per_h: int


_RATES: Final = {
    "economy": _Rate(180, 12, 36, 25),
    "standard": _Rate(290, 22, 14, 45),
    "express": _Rate(540, 55, 4, 90),
}
_STEPS_KG: Final = (1, 2, 3, 5, 8, 12, 20, 30, 50, 70, 100, 150, 300, 600, 1_000, 2_000)

PROFILE: Final = Profile(
    version="demo-1", split_cost_minor=250, late_minor_per_h=40, packages_max=8
)


@cache
def nodes() -> tuple[Node, ...]:
    """8 distribution centres and 24 stores; each has one of the three edges for its home."""
    return tuple(
        _node(kind, place, edge_id)
        for kind, places in (("dc", _DCS), ("store", _STORES))
        for edge_id in EDGES
        for place in places[edge_id]
    )


def dc_ids(edge_id: str) -> list[str]:
    """The distribution centres of an edge, its main one first."""
    return [_node_id("dc", name) for name in _DCS[edge_id]]


def nearest_store(place: City) -> Node:
    """Where the people of a city shop."""
    return min(
        (node for node in nodes() if node.kind == "store"),
        key=lambda node: distance_km(node.lat, node.lon, place.lat, place.lon),
    )


def skus(day: Day) -> dict[str, str]:
    """Every SKU of the day, sales and cancellations, with its longest description."""
    names: dict[str, str] = {}
    for invoice in (*day.sales, *day.credits):
        for item in invoice.items:
            names[item.sku] = max(names.get(item.sku, ""), item.name, key=len)
    return dict(sorted(names.items()))


def network(day: Day) -> Network:
    """The whole snapshot."""
    return Network(
        version=1,
        currency=CURRENCY,
        profile=PROFILE,
        nodes=list(nodes()),
        services=list(_SERVICES),
        tariffs=list(_tariffs()),
        lanes=list(_lanes()),
        products=[
            Product(sku=sku, name=name, weight_g=weight_g(sku)) for sku, name in skus(day).items()
        ],
    )


def weight_g(sku: str) -> int:
    """A drawn weight: log-normal around 250 g, as gifts go, in steps of 10 g."""
    # Box and Muller: two even draws to one normal one.
    radius = math.sqrt(-2 * math.log(1 - draw("weight", sku)))
    normal = radius * math.cos(2 * math.pi * draw("weight too", sku))
    return max(20, min(8_000, round(25 * math.exp(0.7 * normal)) * 10))


def _node_id(kind: str, place: str) -> str:
    return f"{kind}-{''.join(c for c in place.lower() if c.isascii() and c.isalpha())}"


def _node(kind: str, name: str, edge_id: str) -> Node:
    place, node_id = city(name), _node_id(kind, name)
    is_dc = kind == "dc"
    return Node(
        node_id=node_id,
        name=f"{name} {'distribution centre' if is_dc else 'store'}",
        kind="dc" if is_dc else "store",
        edge_id=edge_id,
        lat=place.lat,
        lon=place.lon,
        region=place.region,
        opens_min=OPENS_MIN[kind],
        closes_min=CLOSES_MIN[kind],
        utc_offset_min=UTC_OFFSET_MIN,
        handling_min=90 if is_dc else 45,
        handling_minor=60 if is_dc else 120,
        serves=_SERVES.get(node_id, []) if is_dc else [place.region],
    )


def _zone(km: float) -> int:
    return next(zone for zone, km_max in enumerate(_ZONES_KM) if km <= km_max)


def _tariffs() -> Iterable[Tariff]:
    for service in _SERVICES:
        rate = _RATES[service.service_id]
        for zone in range(len(_ZONES_KM)):
            yield Tariff(
                tariff_id=f"{service.service_id}-{zone}",
                steps=[
                    Step(
                        weight_g_max=kg * 1_000,
                        price_minor=round((rate.base_minor + rate.kg_minor * kg) * (1 + zone / 5)),
                    )
                    for kg in _STEPS_KG
                    if kg * 1_000 <= max(1_000, service.weight_g_max)
                ],
            )


def _lanes() -> Iterable[Lane]:
    for node in nodes():
        for region, (lat, lon) in centres().items():
            if node.serves and region not in node.serves:
                continue
            km = distance_km(node.lat, node.lon, lat, lon)
            for service in _SERVICES:
                if node.kind == "store" and service.service_id == "economy":
                    continue  # nobody picks up pallets at a shop
                rate = _RATES[service.service_id]
                yield Lane(
                    node_id=node.node_id,
                    service_id=service.service_id,
                    region=region,
                    transit_h=rate.hours + round(km / rate.km_per_h),
                    tariff_id=f"{service.service_id}-{_zone(km)}",
                )
