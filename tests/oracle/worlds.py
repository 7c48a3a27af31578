"""Seeded worlds: small networks with everything that a decision reads, and questions to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, TypeVar

from edge.capacity import Slots
from edge.failures import HALF_LIFE_MS, Failure, Failures
from edge.incoming import Incoming, Lot
from edge.network import Snapshot
from edge.prices import Rates
from edge.routing import fences
from edge.routing.gather import Asked
from edge.routing.known import Known
from edge.routing.question import Question, Want
from edge.stock import Stock
from shared.clock import to_datetime
from shared.network import (
    LEVELS_PER_MILLE,
    Area,
    Lane,
    Network,
    Node,
    Pickup,
    Product,
    Service,
    Step,
    Tariff,
    Transit,
)
from shared.parts import Customer, Destination, Fulfilment, Limits, Speed, Tier, slot_sku
from shared.prices import Backlog, Bid, Prices, Saturation
from shared.sourcing import Profile, TierPromise
from tests.shop import NOON_MS

Kind = TypeVar("Kind")

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
REGIONS = ("CN-GD", "CN-BJ")
CLASSES = ("cold", "hazardous")
SKUS = 6


@dataclass(frozen=True, slots=True)
class World:
    """What is asked of what, and nodes whose slot is known to have too little room."""

    asked: Asked
    crowded: set[tuple[int, int]]


def world(seed: int) -> World:
    """The same seed gives the same world."""
    rng = Random(seed)
    now_ms = NOON_MS + rng.randrange(-3 * DAY_MS, 3 * DAY_MS)
    network = _network(rng, now_ms)
    snapshot = Snapshot(network)
    names = [node.node_id for node in network.nodes]
    cells = [
        (name, f"sku-{sku}", rng.randint(0, 9))
        for name in names
        for sku in range(SKUS)
        if rng.random() < 0.8
    ]
    known = Known(
        snapshot,
        Stock(snapshot, cells, rng.choice([None, "edge-0", "edge-1"])),
        slots=_slots(rng, names, now_ms) if rng.random() < 0.5 else None,
        failures=_failures(rng, names, now_ms) if rng.random() < 0.5 else None,
        incoming=_incoming(rng, names, now_ms) if rng.random() < 0.5 else None,
        rates=Rates(snapshot, _prices(rng, names, now_ms)) if rng.random() < 0.6 else None,
    )
    question = _question(rng, names, now_ms)
    asked = Asked(
        known,
        question,
        known.profile(question, now_ms),
        now_ms,
        relaxed=rng.getrandbits(14) & fences.breakable if rng.random() < 0.2 else 0,
    )
    reached = sorted(known.base(question, asked.profile, now_ms).rows)
    crowded = {(rng.choice(reached), 0)} if reached and rng.random() < 0.1 else set()
    return World(asked, crowded)


def _some(rng: Random, of: Sequence[Kind], share: float = 0.5) -> list[Kind]:
    return [one for one in of if rng.random() < share]


def _spread(rng: Random, most_min: int) -> list[int]:
    return sorted(rng.randint(0, most_min) for _ in LEVELS_PER_MILLE)


def _limits(rng: Random, names: list[str], chance: float) -> Limits:
    def chosen(of: list[str]) -> list[str]:
        return _some(rng, of) if rng.random() < chance else []

    services = ["s-0", "s-1", "s-2", "no-such"]
    return Limits(
        required_nodes=chosen([*names, "no-such"]), forbidden_nodes=chosen(names),
        preferred_nodes=chosen(names), required_services=chosen(services),
        forbidden_services=chosen(services), preferred_services=chosen(services),
    )  # fmt: skip


def _node(rng: Random, name: str) -> Node:
    opens_min = rng.choice([0, 480, 600])
    return Node(
        node_id=name, name="", kind=rng.choice(["dc", "store"]),
        edge_id=f"edge-{rng.randrange(2)}", lat=23.0 + rng.random(), lon=113.0, region="CN-GD",
        status="open" if rng.random() < 0.9 else "closed", opens_min=opens_min,
        closes_min=rng.randint(opens_min + 1, 1_440), utc_offset_min=rng.choice([-300, 0, 480]),
        handling_min=rng.randint(0, 300), handling_minor=rng.randint(0, 400),
        serves=_some(rng, REGIONS) if rng.random() < 0.2 else [],
        area=Area(radius_m=rng.randint(1, 150_000)) if rng.random() < 0.1 else None,
        abilities=_some(rng, CLASSES, 0.9), walk_in_units=rng.choice([0, 0, 1, 3]),
        handling_spread_min=_spread(rng, 900) if rng.random() < 0.5 else [],
        closed_weekdays=_some(rng, range(1, 7), 0.2),
        closed_on=[date(2025, 1, rng.randint(1, 28))] if rng.random() < 0.3 else [],
    )  # fmt: skip


def _network(rng: Random, now_ms: int) -> Network:
    nodes = [_node(rng, f"n-{i}") for i in range(rng.randint(1, 6))]
    names = [node.node_id for node in nodes]
    services = [
        Service(
            service_id=f"s-{i}",
            name="",
            weight_g_max=rng.choice([3_000, 30_000]),
            abilities=_some(rng, CLASSES, 0.9),
        )
        for i in range(3)
    ]
    tariffs = [
        Tariff(
            tariff_id=f"t-{i}",
            steps=[
                Step(weight_g_max=2_500 * (k + 1), price_minor=rng.randint(0, 900))
                for k in range(rng.randint(1, 6))
            ],
        )
        for i in range(3)
    ]
    transits = [Transit(transit_id=f"d-{i}", spread_min=_spread(rng, 6_000)) for i in range(3)]
    ways = [(name, f"s-{i}") for name in names for i in range(3)]
    lanes = [
        Lane(
            node_id=name, service_id=service, region=region, transit_h=rng.randint(0, 90),
            tariff_id=f"t-{rng.randrange(3)}", transit_id=rng.choice([None, "d-0", "d-1", "d-2"]),
        )
        for name, service in ways
        for region in REGIONS
        if rng.random() < 0.8
    ]  # fmt: skip
    pickups = [
        Pickup(
            node_id=name,
            service_id=service,
            cutoff_min=rng.randint(0, 1_440),
            weekdays=_some(rng, range(1, 8)) or [3] if rng.random() < 0.3 else [],
        )
        for name, service in _some(rng, ways)
    ]
    products = [
        Product(
            sku=f"sku-{i}",
            weight_g=rng.choice([50, 300, 1_100]),
            classes=_some(rng, CLASSES) if rng.random() < 0.2 else [],
        )
        for i in range(SKUS)
    ]
    made_ms = rng.choice([None, now_ms - DAY_MS, now_ms - 100 * DAY_MS])
    return Network(
        version=1, currency="CNY", nodes=nodes, services=services, tariffs=tariffs, lanes=lanes,
        products=products, transits=transits, pickups=pickups, profile=_profile(rng, names),
        made_at=None if made_ms is None else to_datetime(made_ms),
    )  # fmt: skip


def _profile(rng: Random, names: list[str]) -> Profile:
    def some(most: int) -> int:
        return rng.choice([0, rng.randint(1, most)])

    return Profile(
        version="p", split_cost_minor=some(600), late_minor=some(2_000), late_minor_per_h=some(90),
        reroute_minor=some(800), economy_minor_per_h=some(3), standard_minor_per_h=some(9),
        express_minor_per_h=some(40), congestion_minor=some(300),
        congestion_packages=rng.randint(1, 10),
        incoming_minor_per_h=rng.choice([None, 0, 7]),
        tier_promises=[
            TierPromise(
                tier=tier, within_h=rng.randint(1, 90), on_time_per_mille=rng.choice([500, 950])
            )
            for tier in _some(rng, _TIERS, 0.3)
        ],
        limits=_limits(rng, names, 0.07), not_preferred_minor=some(200),
    )  # fmt: skip


_TIERS: tuple[Tier, ...] = ("standard", "vip")
_SPEEDS: tuple[Speed, ...] = ("economy", "standard", "express")


def _question(rng: Random, names: list[str], now_ms: int) -> Question:
    kind: Any = rng.choice(["delivery", "delivery", "delivery", "delivery", "pick_up", "carry_out"])
    deadline_ms = now_ms + rng.randint(-DAY_MS, 5 * DAY_MS)
    return Question(
        wants=[
            Want(
                line,
                f"sku-{rng.randrange(SKUS)}",
                rng.randint(1, 3),
                group=rng.choice([None, None, None, "a", "b"]),
                node_id=rng.choice(names) if rng.random() < 0.04 else None,
            )
            for line in range(rng.randint(1, 6))
        ],
        fulfilment=Fulfilment(
            kind=kind, node_id=rng.choice(names),
            deadline=to_datetime(deadline_ms) if rng.random() < 0.7 else None,
            limits=_limits(rng, names, 0.07),
        ),
        store_id=rng.choice(names),
        customer=Customer(
            tier=rng.choice(_TIERS),
            speed=rng.choice(_SPEEDS),
            split_allowed=rng.random() < 0.8,
        ),
        destination=Destination(lat=23.5, lon=113.1, region=rng.choice(REGIONS)),
        failed=frozenset(_some(rng, names, 0.3)) if rng.random() < 0.2 else frozenset(),
    )  # fmt: skip


def _slots(rng: Random, names: list[str], now_ms: int) -> Slots:
    announced, cells = [], []
    for name in _some(rng, names, 0.7):
        for i in range(rng.randint(1, 4)):
            starts_ms = now_ms + 4 * i * HOUR_MS - 5 * HOUR_MS
            announced.append((name, starts_ms, starts_ms + rng.randint(1, 4) * HOUR_MS))
            cells.append((name, slot_sku(to_datetime(starts_ms)), rng.randint(0, 6)))
    return Slots(announced, cells)


def _failures(rng: Random, names: list[str], now_ms: int) -> Failures:
    return Failures(
        Failure(name, f"sku-{sku}", rng.randint(1, 5_000), now_ms - rng.randrange(HALF_LIFE_MS * 3))
        for name in [*names, "no-such"]
        for sku in _some(rng, range(SKUS), 0.3)
    )


def _incoming(rng: Random, names: list[str], now_ms: int) -> Incoming:
    return Incoming(
        Lot(
            node_id=rng.choice([*names, "no-such"]), lot_id=f"lot-{i}",
            sku=f"sku-{rng.randrange(SKUS)}", units=rng.randint(1, 6),
            expected_ms=now_ms + rng.randint(1, 5) * 11 * HOUR_MS,
            release_per_mille=rng.choice([0, 600, 1_000]),
        )
        for i in range(rng.randint(1, 16))
    )  # fmt: skip


def _prices(rng: Random, names: list[str], now_ms: int) -> Prices:
    return Prices(
        version=1,
        made_at=to_datetime(now_ms - rng.choice([0, 0, 30, 90]) * HOUR_MS),
        fresh_h=24,
        bids=[
            Bid(node_id=name, sku=f"sku-{sku}", price_minor=rng.randint(0, 500))
            for name in names
            for sku in _some(rng, range(SKUS), rng.choice([0.0, 0.4]))
        ],
        backlogs=[
            Backlog(
                node_id=name, delay_min=rng.choice([0, 400]), price_minor=rng.choice([0, 60])
            )
            for name in _some(rng, names)
        ],
        saturations=[
            Saturation(
                service_id=f"s-{i}", region=REGIONS[0], delay_min=rng.choice([0, 700]),
                price_minor=rng.choice([0, 80]),
            )
            for i in _some(rng, range(3))
        ],
    )  # fmt: skip
