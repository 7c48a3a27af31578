"""Strategies: questions, and something of every input that a decision reads."""

from datetime import timedelta
from itertools import product

import msgspec
from hypothesis import strategies as st

from edge.capacity import Slots
from edge.decisions import Basis
from edge.failures import Failure, Failures
from edge.incoming import Incoming
from edge.network import Snapshot
from edge.prices import Rates
from edge.routing.known import Known
from edge.routing.question import Question, Want
from edge.sourcing import Rules
from edge.stock import Stock
from shared.clock import to_datetime
from shared.frames import encode_bulk
from shared.lots import Lot
from shared.network import Network, Product
from shared.parts import Customer, Fulfilment, Limits, slot_sku
from shared.prices import Backlog, Bid, Prices, Saturation
from shared.sourcing import Conditions, Profile, Rule, Sourcing, TierPromise
from tests.shop import NOON_MS, NORTH, SOUTH, network

HOUR_MS = 3_600_000
NODES = ("dc-south", "dc-north", "store-1")
SKUS = tuple(f"sku-{number}" for number in range(6))

PROFILES = [
    Profile(version="plain", split_cost_minor=400, late_minor_per_h=100, packages_max=4),
    Profile(
        version="rich", split_cost_minor=100, late_minor=500, congestion_minor=300,
        congestion_packages=3, incoming_minor_per_h=2, split_lines=True,
        standard_minor_per_h=3, relax=["walk_in", "tier_promise", "packages_max"],
        tier_promises=[TierPromise(tier="vip", within_h=30, on_time_per_mille=900)],
    ),
    Profile(
        version="strict", packages_max=1, not_preferred_minor=150,
        limits=Limits(preferred_nodes=["dc-north"], forbidden_nodes=["store-1"]),
    ),
]  # fmt: skip

nodes = st.sampled_from(NODES)
skus = st.sampled_from(SKUS)
amounts = st.sampled_from([1, 1, 2, 3, 10])
seldom = st.sampled_from([False, False, True])


def networks(draw: st.DrawFn, version: int = 1) -> Network:
    of = network(version, made_at=to_datetime(NOON_MS) - timedelta(days=draw(st.integers(0, 40))))
    changed = [
        msgspec.structs.replace(
            node,
            walk_in_units=draw(st.integers(0, 2)),
            abilities=["cold"] if draw(st.booleans()) else [],
            status="closed" if draw(seldom) and draw(seldom) else "open",
        )
        for node in of.nodes
    ]
    products = [Product(sku=f"sku-{i}", weight_g=400 + 300 * i) for i in range(20)]
    if draw(seldom):
        products[1] = msgspec.structs.replace(products[1], classes=["cold"])
    return msgspec.structs.replace(
        of, nodes=changed, products=products, profile=draw(st.sampled_from(PROFILES))
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    kind = draw(st.sampled_from(["delivery"] * 8 + ["pick_up", "carry_out"]))
    deadline = draw(st.none() | st.integers(1, 100))
    return Question(
        wants=[
            Want(line, draw(skus), draw(amounts), draw(st.sampled_from([None, None, "gift"])))
            for line in range(draw(st.integers(1, 5)))
        ],
        fulfilment=Fulfilment(
            kind=kind,
            node_id=draw(nodes) if kind != "delivery" else None,
            deadline=None if deadline is None else to_datetime(NOON_MS + deadline * HOUR_MS),
            limits=Limits(required_nodes=["dc-south"]) if draw(seldom) else Limits(),
        ),
        store_id="store-1",
        customer=Customer(
            tier=draw(st.sampled_from(["standard", "standard", "vip"])),
            split_allowed=not draw(seldom),
            packages_max=draw(st.sampled_from([None, None, 1, 3])),
        ),
        destination=draw(st.sampled_from([SOUTH, NORTH])) if kind == "delivery" else None,
        packages_used=draw(st.sampled_from([0, 0, 0, 2])),
        failed=frozenset([draw(nodes)]) if draw(seldom) else frozenset(),
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Known, Basis, Question]:
    """Something of every input that a decision reads."""
    of = networks(draw)
    sourcing = prices = None
    if draw(st.booleans()):
        sourcing = Sourcing(
            version="s1", profiles=PROFILES, otherwise="plain",
            rules=[Rule(profile="rich", when=Conditions(tiers=["vip"]))],
        )  # fmt: skip
    if draw(st.booleans()):
        prices = Prices(
            version=3, made_at=to_datetime(NOON_MS - draw(st.integers(0, 40)) * HOUR_MS),
            bids=[Bid(node_id="dc-south", sku="sku-1", price_minor=draw(st.integers(0, 900)))],
            backlogs=[Backlog(node_id="store-1", delay_min=90, price_minor=70)],
            saturations=[Saturation(service_id="standard", region="CN-GD", delay_min=600)],
        )  # fmt: skip
    shares = draw(st.lists(st.sampled_from([0, 2, 4, 9, 9]), min_size=18, max_size=18))
    cells = zip(product(NODES, SKUS), shares, strict=True)
    hours = [(h, NOON_MS + h * HOUR_MS) for h in range(-2, 8, 2)]
    announced, room = [], []
    for node in NODES:
        if draw(seldom):
            announced += [(node, at_ms, at_ms + HOUR_MS) for _, at_ms in hours]
            room += [
                (node, slot_sku(to_datetime(at_ms)), draw(st.integers(0, 3))) for _, at_ms in hours
            ]
    failures = [
        Failure(node, sku, draw(st.integers(0, 5_000)), NOON_MS - draw(st.integers(0, 10**9)))
        for node, sku in draw(st.sets(st.tuples(nodes | st.just("gone"), skus), max_size=3))
    ]
    lots = [
        Lot(node, f"lot-{number}", sku, draw(st.integers(1, 9)),
            NOON_MS + draw(st.integers(-5, 60)) * HOUR_MS, draw(st.integers(0, 1_000)))
        for number, (node, sku) in enumerate(draw(st.lists(st.tuples(nodes, skus), max_size=4)))
    ]  # fmt: skip
    snapshot = Snapshot(of)
    known = Known(
        snapshot,
        Stock(
            snapshot,
            [(*key, n) for key, n in cells],
            draw(st.sampled_from(["edge-1", None])),
        ),
        Slots(announced, room),
        Failures(failures),
        Incoming(lots),
        None if sourcing is None else Rules(sourcing),
        Rates(snapshot, prices),
    )
    documents = (encode_bulk(of), encode_bulk(sourcing) if sourcing else b"",
                 encode_bulk(prices) if prices else b"")  # fmt: skip
    return known, Basis(documents), draw(questions())
