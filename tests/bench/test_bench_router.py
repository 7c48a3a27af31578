"""A whole decision, gathering included: 5 lines, 200 nodes with 3 services each, a deadline.

Besides the decision as a whole: what it costs to look lateness up, beside the same arithmetic
on point estimates in numpy.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edge.capacity import Slots
from edge.failures import Failure, Failures
from edge.network import Ints, Snapshot
from edge.prices import Rates
from edge.routing.arrival import Arrivals
from edge.routing.attempt import Attempt, attempt
from edge.routing.gather import Asked
from edge.routing.known import Known
from edge.routing.question import Question, Routed, Want
from edge.routing.router import route
from edge.stock import Stock
from shared.clock import to_datetime
from shared.network import (
    LEVELS_PER_MILLE,
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
from shared.parts import Customer, Destination, Fulfilment, slot_sku
from shared.prices import Backlog, Bid, Prices, Saturation
from shared.sourcing import Profile, TierPromise
from tests.bench.test_bench_kernels import assignment_sums
from tests.oracle.gather_oracle import ways
from tests.oracle.subset_oracle import best_plan
from tests.shop import NOON_MS

NODES, SERVICES, SKUS = 200, 3, 50
HERE = Destination(lat=23.1, lon=113.3, region="CN-GD")
HOUR_MS = 3_600_000


def big_network(cutoffs: bool = False) -> Network:
    """Seeded: transit of 12 to 96 stated hours, a tariff per service and zone."""
    rng = np.random.default_rng(3)
    nodes = [
        Node(
            node_id=f"n-{i}", name="", kind="dc", edge_id="edge-1", lat=23.0, lon=113.0,
            region="CN-GD", utc_offset_min=480, opens_min=480, closes_min=1320,
            handling_min=int(rng.integers(30, 240)), handling_minor=int(rng.integers(50, 400)),
        )
        for i in range(NODES)
    ]  # fmt: skip
    services = [Service(service_id=f"s-{i}", name="", weight_g_max=30_000) for i in range(SERVICES)]
    tariffs = [
        Tariff(
            tariff_id=f"t-{i}",
            steps=[
                Step(weight_g_max=1_000 * (k + 1), price_minor=300 + 40 * i + 150 * k)
                for k in range(12)
            ],
        )
        for i in range(24)
    ]
    lanes = [
        Lane(
            node_id=node.node_id, service_id=service.service_id, region="CN-GD",
            transit_h=int(rng.integers(12, 96)), tariff_id=f"t-{int(rng.integers(24))}",
        )
        for node in nodes
        for service in services
    ]  # fmt: skip
    pickups = [
        Pickup(node_id=node.node_id, service_id=service.service_id, cutoff_min=1020)
        for node in nodes
        for service in services
        if cutoffs
    ]
    return Network(
        version=1, currency="CNY", nodes=nodes, services=services, tariffs=tariffs, lanes=lanes,
        pickups=pickups, products=[Product(sku=f"sku-{i}", weight_g=300) for i in range(SKUS)],
        profile=Profile(version="p", split_cost_minor=300, late_minor_per_h=50),
    )  # fmt: skip


def scene(cutoffs: bool = False) -> tuple[Snapshot, Stock, Question]:
    rng = np.random.default_rng(4)
    snapshot = Snapshot(big_network(cutoffs))
    cells = [
        (f"n-{node}", f"sku-{sku}", 9)
        for node in range(NODES)
        for sku in range(SKUS)
        if rng.random() < 0.7
    ]
    question = Question(
        wants=[Want(i, f"sku-{i}", 1) for i in range(5)],
        fulfilment=Fulfilment(kind="delivery", deadline=to_datetime(NOON_MS + 48 * HOUR_MS)),
        store_id="n-0", customer=Customer(), destination=HERE,
    )  # fmt: skip
    return snapshot, Stock(snapshot, cells), question


def quantiles(benchmark: Any) -> None:
    times = sorted(benchmark.stats.stats.data)
    for name, share in (("p50_us", 50), ("p99_us", 99)):
        benchmark.extra_info[name] = round(times[len(times) * share // 100] * 1e6, 1)


@pytest.mark.benchmark(group="a decision, 5 groups x 200 nodes x 3 services")
@pytest.mark.parametrize("cutoffs", [False, True], ids=["any time", "cut-offs"])
def test_a_whole_decision(benchmark: Any, cutoffs: bool) -> None:
    snapshot, stock, question = scene(cutoffs)
    answer: Routed = benchmark.pedantic(
        route, (Known(snapshot, stock), question, NOON_MS), rounds=3_000, warmup_rounds=50
    )
    assert answer.plan is not None
    quantiles(benchmark)


def decide(known: Known, question: Question) -> Attempt:
    return attempt(Asked(known, question, known.profile(question, NOON_MS), NOON_MS))


def everything_on() -> tuple[Known, Question]:
    """Cut-offs, a deadline, a price of time, a promise to the tier; prices, slots, failures."""
    snapshot, stock, question = scene(True)
    profile = msgspec.structs.replace(
        snapshot.network.profile, late_minor=500, standard_minor_per_h=2,
        congestion_minor=200, congestion_packages=10,
        tier_promises=[TierPromise(tier="standard", within_h=72, on_time_per_mille=900)],
    )  # fmt: skip
    snapshot = Snapshot(msgspec.structs.replace(snapshot.network, profile=profile))
    rng = np.random.default_rng(5)
    names, skus = [f"n-{i}" for i in range(NODES)], [want.sku for want in question.wants]
    starts_ms = [NOON_MS + 3 * i * HOUR_MS for i in range(4)]
    slots = Slots(
        [(name, at, at + 3 * HOUR_MS) for name in names for at in starts_ms],
        [
            (name, slot_sku(to_datetime(at)), int(rng.integers(0, 12)))
            for name in names
            for at in starts_ms
        ],
    )
    failures = Failures(
        Failure(name, sku, 1_500, NOON_MS - HOUR_MS) for name in names[::10] for sku in skus
    )
    prices = Prices(
        version=1,
        made_at=to_datetime(NOON_MS),
        bids=[
            Bid(node_id=name, sku=sku, price_minor=int(rng.integers(0, 200)))
            for name in names
            for sku in skus
        ],
        backlogs=[Backlog(node_id=name, delay_min=60, price_minor=40) for name in names],
        saturations=[Saturation(service_id="s-1", region=HERE.region, delay_min=90)],
    )
    rates = Rates(snapshot, prices)
    return Known(snapshot, stock, slots=slots, failures=failures, rates=rates), question


@pytest.mark.benchmark(group="from a decoded order to a plan's options")
@pytest.mark.parametrize("with_", ["any time", "cut-offs", "everything"])
def test_gathering_and_solving(benchmark: Any, with_: str) -> None:
    snapshot, stock, question = scene(with_ == "cut-offs")
    known = Known(snapshot, stock)
    if with_ == "everything":
        known, question = everything_on()
    found = benchmark.pedantic(decide, (known, question), rounds=3_000, warmup_rounds=50)
    assert found.solution is not None
    quantiles(benchmark)


@pytest.mark.benchmark(group="from a decoded order to a plan's options")
def test_numpy_only_adding_up_what_has_been_gathered(benchmark: Any) -> None:
    """A peer: every set on every option, neither gathered nor priced by weight nor planned."""
    snapshot, stock, question = scene()
    found = decide(Known(snapshot, stock), question)
    assert found.problem is not None
    benchmark.pedantic(assignment_sums, (found.problem,), rounds=3_000, warmup_rounds=50)
    quantiles(benchmark)


@pytest.mark.benchmark(group="from a decoded order to a plan's options")
def test_plain_python_gathering_and_solving(benchmark: Any) -> None:
    """A peer: the oracles that the kernels are held to."""
    snapshot, stock, question = scene()
    known = Known(snapshot, stock)
    asked = Asked(known, question, known.profile(question, NOON_MS), NOON_MS)
    found = attempt(asked)
    problem, solution = found.problem, found.solution
    assert problem is not None
    assert solution is not None

    def plainly() -> tuple[list[int], Any]:
        return [way.fixed() for way in ways(asked, set())], best_plan(problem)

    fixed, plan = benchmark.pedantic(plainly, rounds=3, warmup_rounds=1)
    assert fixed == problem.fixed.tolist()
    assert plan[0] == solution.cost
    quantiles(benchmark)


@pytest.mark.benchmark(group="the slots of 200 nodes")
@pytest.mark.parametrize("slotted", [False, True], ids=["none", "four each"])
def test_when_nodes_are_ready(benchmark: Any, slotted: bool) -> None:
    known, question = everything_on()
    if not slotted:
        known.slots = Slots()
    gathered = decide(known, question).gathered
    benchmark.pedantic(gathered._take_slots, rounds=3_000, warmup_rounds=50)
    assert (gathered.board is not None) == slotted
    quantiles(benchmark)


@pytest.mark.benchmark(group="lateness of 600 options")
@pytest.mark.parametrize("way", ["point estimates", "any time", "cut-offs"])
def test_lateness_of_600_options(benchmark: Any, way: str) -> None:
    snapshot, _, _ = scene(way == "cut-offs")
    options = snapshot.options("CN-GD")
    ready_ms = snapshot.ready_ms(options.node, NOON_MS)
    deadline_ms = NOON_MS + 48 * HOUR_MS
    transit_ms = np.full(len(ready_ms), 24 * HOUR_MS)
    arrivals = Arrivals(snapshot, options, ready_ms, np.zeros_like(ready_ms), NOON_MS)

    def looked_up() -> Ints:
        return arrivals.lateness_minor(deadline_ms, snapshot.network.profile)

    def estimated() -> Ints:
        late_ms = np.maximum(ready_ms + transit_ms - deadline_ms, 0)
        return np.minimum(-(-late_ms // HOUR_MS), 10_000) * 50

    call = estimated if way == "point estimates" else looked_up
    assert len(benchmark.pedantic(call, rounds=3_000, warmup_rounds=50)) == 600
    quantiles(benchmark)


@pytest.mark.benchmark(group="a snapshot of 20,000 lanes")
def test_building_a_snapshot(benchmark: Any) -> None:
    """Every lane with a distribution of its own: 34 regions, 200 nodes, 3 services."""
    base = big_network()
    rng = np.random.default_rng(7)
    regions = [f"r-{i}" for i in range(34)]
    lanes, transits = [], []
    for region in regions:
        for lane in base.lanes:
            name = f"t{len(lanes)}"
            spread = np.cumsum(rng.integers(30, 400, len(LEVELS_PER_MILLE)))
            transits.append(Transit(transit_id=name, spread_min=spread.tolist()))
            lanes.append(msgspec.structs.replace(lane, region=region, transit_id=name))
    of = msgspec.structs.replace(base, lanes=lanes, transits=transits)
    snapshot = benchmark.pedantic(Snapshot, (of,), rounds=2)
    assert len(snapshot.tails) >= 20_000
    benchmark.extra_info["tails_mb"] = round(snapshot.tails.nbytes / 1e6)
