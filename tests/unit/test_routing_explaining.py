"""What would have to change for another node to win, and what the others lack."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge.capacity import Slots
from edge.explanation import RIVALS_MAX, Explained, Missing, Rival
from edge.network import Snapshot
from edge.routing.attempt import attempt
from edge.routing.explaining import explain
from edge.routing.gather import Asked
from edge.routing.known import Known
from edge.routing.problem import Problem
from edge.routing.question import Question, Routed, Want
from edge.routing.router import route
from edge.stock import Stock
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.parts import Customer, Fulfilment, Limits
from shared.sourcing import Profile, TierPromise
from tests.routing_scene import with_node
from tests.shop import NOON_MS, NORTH, SOUTH, network

HOUR_MS = 3_600_000
NODES = ("dc-south", "dc-north", "store-1")
ONE, TWO = Want(0, "sku-1", 1), Want(1, "sku-2", 1)
EVERYWHERE = [(node, f"sku-{number}", 9) for node in NODES for number in range(6)]


def asked(*wants: Want, **changes: Any) -> Question:
    values: dict[str, Any] = {
        "wants": list(wants),
        "fulfilment": Fulfilment(kind="delivery"),
        "store_id": "store-1",
        "customer": Customer(),
        "destination": SOUTH,
    }
    return Question(**(values | changes))


def decided(
    question: Question,
    cells: list[tuple[str, str, int]] = EVERYWHERE,
    of: Network | None = None,
    slots: Slots | None = None,
) -> tuple[Routed, Explained]:
    snapshot = Snapshot(of or network())
    known = Known(snapshot, Stock(snapshot, cells), slots)
    routed = route(known, question, NOON_MS)
    return routed, explain(known, question, NOON_MS, routed)


def rivals(explained: Explained) -> dict[str, Rival]:
    return {rival.node_id: rival for rival in explained.rivals}


def missing(explained: Explained) -> dict[str, Missing]:
    return {x.node_id: x for x in explained.missing}


def with_handling(of: Network, node_id: str, less_minor: int) -> Network:
    nodes = [
        msgspec.structs.replace(node, handling_minor=node.handling_minor - less_minor)
        if node.node_id == node_id
        else node
        for node in of.nodes
    ]
    return msgspec.structs.replace(of, nodes=nodes)


def test_a_rival_is_told_with_what_it_costs_more_and_why() -> None:
    _, explained = decided(asked(ONE))  # The store ships it for 700.
    assert [rival.node_id for rival in explained.rivals] == ["dc-south", "dc-north"]
    south = rivals(explained)["dc-south"]
    assert (south.more_minor, south.fall_minor, south.exact) == (100, 101, True)
    assert (south.lines, south.services, south.others) == ([0], ["standard"], [])
    assert [(x.term, x.plan_minor, x.rival_minor) for x in south.terms] == [("handling", 200, 300)]
    far = rivals(explained)["dc-north"]
    assert [x.term for x in far.terms] == ["tariff", "handling"]  # What differs most comes first.


def test_a_rival_that_can_ship_only_a_part_is_told_beside_whom() -> None:
    cells = [("dc-south", "sku-1", 1), ("dc-south", "sku-2", 1), ("store-1", "sku-2", 1)]
    _, explained = decided(asked(ONE, TWO), cells)
    store = rivals(explained)["store-1"]
    assert (store.lines, store.others) == ([1], ["dc-south"])
    assert ("split", 0, 400) in [(x.term, x.plan_minor, x.rival_minor) for x in store.terms]


# Exactness, against every plan there is.


def plans(problem: Problem) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Cost and option of each group, of every plan without two packages by one option."""
    groups = len(problem.weight_g)
    able = [np.flatnonzero(problem.can[:, group]).tolist() for group in range(groups)]
    for options in product(*able):
        used = set(options)
        if len(used) > problem.packages_max:
            continue
        cost = problem.split_cost * (len(used) - 1)
        for option in used:
            inside = [group for group in range(groups) if options[group] == option]
            weight_g = sum(int(problem.weight_g[group]) for group in inside)
            steps = problem.step_g[problem.tariff[option]]
            fits = np.flatnonzero(steps >= weight_g)
            if not fits.size:
                break
            cost += int(problem.fixed[option] + problem.step_price[problem.tariff[option], fits[0]])
            cost += sum(int(problem.assign[option, group]) for group in inside)
        else:
            yield cost, options


@st.composite
def towns(draw: st.DrawFn) -> tuple[Network, list[tuple[str, str, int]], Question]:
    """Three to six nodes with two services; prices that grow with weight."""
    count = draw(st.integers(3, 6))
    names = [f"n-{i}" for i in range(count)]
    nodes = [
        Node(node_id=name, name="", kind="dc", edge_id="edge-1", lat=23.0, lon=113.0,
             region="CN-GD", handling_minor=10_000 + draw(st.integers(0, 900)))
        for name in names
    ]  # fmt: skip
    tariffs = [
        Tariff(
            tariff_id=f"t-{i}",
            steps=[
                Step(weight_g_max=1_000 * k, price_minor=300 * k + draw(st.integers(0, 250)))
                for k in range(1, 6)
            ],
        )
        for i in range(3)
    ]
    lanes = [
        Lane(node_id=name, service_id=f"s-{i}", region="CN-GD", transit_h=24,
             tariff_id=draw(st.sampled_from(["t-0", "t-1", "t-2"])))
        for name in names
        for i in range(2)
    ]  # fmt: skip
    of = Network(
        version=1, currency="CNY", nodes=nodes, tariffs=tariffs, lanes=lanes,
        services=[Service(service_id=f"s-{i}", name="", weight_g_max=5_000) for i in range(2)],
        products=[Product(sku=f"sku-{i}", weight_g=500 + 300 * i) for i in range(4)],
        profile=Profile(version="p", split_cost_minor=draw(st.integers(0, 500))),
    )  # fmt: skip
    wants = [Want(i, f"sku-{i}", 1) for i in range(draw(st.integers(1, 4)))]
    cells = [(name, want.sku, 1) for name in names for want in wants if draw(st.integers(0, 3))]
    return of, cells, asked(*wants)


@given(towns())
@settings(max_examples=60, deadline=None)
def test_no_plan_with_a_rival_is_cheaper_than_the_one_that_is_told(
    town: tuple[Network, list[tuple[str, str, int]], Question],
) -> None:
    of, cells, question = town
    snapshot = Snapshot(of)
    known = Known(snapshot, Stock(snapshot, cells))
    routed = route(known, question, NOON_MS)
    assume(routed.plan is not None and not routed.shortages)
    assert routed.plan is not None
    found = attempt(Asked(known, question, known.profile(question, NOON_MS), NOON_MS))
    assert found.problem is not None
    node = found.gathered.options.node
    least: dict[str, int] = {}
    for cost, options in plans(found.problem):
        for name in {of.nodes[node[option]].node_id for option in options}:
            least[name] = min(least.get(name, cost), cost)
    own = {package.node_id for package in routed.plan.packages}
    told = {
        x.node_id: x.more_minor + routed.plan.cost.minor
        for x in explain(known, question, NOON_MS, routed).rivals
    }
    # Handling is 10,000 and more, so two packages by one option never pay.
    assert told == {name: cost for name, cost in least.items() if name not in own}
    for rival in explain(known, question, NOON_MS, routed).rivals:
        assert rival.exact
        assert sum(x.rival_minor - x.plan_minor for x in rival.terms) == rival.more_minor


@given(towns())
@settings(max_examples=40, deadline=None)
def test_a_rival_wins_once_it_is_cheaper_by_what_is_told_and_not_by_less(
    town: tuple[Network, list[tuple[str, str, int]], Question],
) -> None:
    of, cells, question = town
    routed, explained = decided(question, cells, of)
    assume(routed.plan is not None and explained.rivals)
    for rival in explained.rivals:
        cheaper, _ = decided(question, cells, with_handling(of, rival.node_id, rival.fall_minor))
        assert cheaper.plan is not None
        assert rival.node_id in {package.node_id for package in cheaper.plan.packages}
        if rival.more_minor and len(question.wants) == 1:
            less = with_handling(of, rival.node_id, rival.fall_minor - 2)
            still, _ = decided(question, cells, less)
            assert still.plan is not None
            assert rival.node_id not in {package.node_id for package in still.plan.packages}


def test_of_many_rivals_the_nearest_are_listed_and_the_others_counted() -> None:
    base = network()
    nodes = [
        msgspec.structs.replace(base.nodes[0], node_id=f"n-{i}", handling_minor=300 + 7 * i)
        for i in range(80)
    ]
    lanes = [msgspec.structs.replace(base.lanes[0], node_id=node.node_id) for node in nodes]
    of = msgspec.structs.replace(base, nodes=[*base.nodes, *nodes], lanes=[*base.lanes, *lanes])
    cells = [(node.node_id, "sku-1", 1) for node in nodes]
    _, explained = decided(asked(ONE), cells, of)
    assert [rival.node_id for rival in explained.rivals] == [
        f"n-{i}" for i in range(1, RIVALS_MAX + 1)
    ]
    assert explained.rivals_left_out == 79 - RIVALS_MAX


def test_an_order_above_ten_groups_names_rivals_without_claiming_more_than_it_knows() -> None:
    wants = [Want(i, f"sku-{i}", 1) for i in range(15)]
    cells = [(node, f"sku-{i}", 9) for node in NODES for i in range(15)]
    routed, explained = decided(asked(*wants), cells)
    assert routed.plan is not None
    assert {rival.exact for rival in explained.rivals} == {False}
    assert all(rival.more_minor >= 0 for rival in explained.rivals)


# Nodes that are out.


@pytest.mark.parametrize(
    "question, cells, of",
    [
        (asked(ONE, TWO), EVERYWHERE[:9], None),
        (asked(ONE, destination=NORTH), EVERYWHERE, None),
        (asked(ONE), EVERYWHERE, with_node(network(), "dc-south", status="closed")),
        (asked(ONE, fulfilment=Fulfilment(kind="pick_up", node_id="store-1")), EVERYWHERE, None),
        (asked(ONE, failed=frozenset(["store-1"])), EVERYWHERE, None),
        (asked(Want(0, "sku-1", 60)), [("dc-south", "sku-1", 60), ("dc-north", "sku-1", 60)], None),
        (asked(ONE), EVERYWHERE, with_node(network(), "dc-south", walk_in_units=9)),
    ],
)  # fmt: skip
def test_every_excluded_node_is_told_with_the_code_of_the_plan(
    question: Question, cells: list[tuple[str, str, int]], of: Network | None
) -> None:
    routed, explained = decided(question, cells, of)
    if routed.plan is not None:
        codes = {x.node_id: x.code for x in routed.plan.excluded}
        assert {x.node_id: x.code for x in explained.missing} == codes


def test_units_that_are_short_are_counted_for_the_nearest_lines() -> None:
    cells = [("dc-south", "sku-1", 9), ("dc-south", "sku-2", 9), ("dc-north", "sku-2", 3)]
    _, explained = decided(asked(Want(0, "sku-1", 5), Want(1, "sku-2", 4)), cells)
    north = missing(explained)["dc-north"]
    assert (north.code, north.lines) == ("share", [1])
    assert [(x.sku, x.wanted, x.held) for x in north.short] == [("sku-2", 4, 3)]


def test_units_for_walk_in_customers_are_told_apart() -> None:
    of = with_node(network(), "store-1", walk_in_units=8)
    _, explained = decided(asked(Want(0, "sku-1", 2)), of=of)
    (short,) = missing(explained)["store-1"].short
    assert (short.wanted, short.held, short.kept_back) == (2, 9, 8)


def test_classes_weights_slots_and_promises_that_are_missing_are_named() -> None:
    cold = [Product(sku=f"sku-{i}", weight_g=400, classes=["cold", "fragile"]) for i in range(20)]
    able = network()
    for node in ("dc-south", "store-1"):
        able = with_node(
            able, node, abilities=["cold", "fragile"] if node == "store-1" else ["cold"]
        )
    services = [msgspec.structs.replace(able.services[0], abilities=["cold", "fragile"])]
    of = msgspec.structs.replace(able, products=cold, services=services)
    out = missing(decided(asked(ONE), of=of)[1])
    assert (out["dc-south"].classes, out["dc-north"].classes) == (["fragile"], ["cold", "fragile"])

    _, explained = decided(asked(Want(0, "sku-1", 60)), [("dc-south", "sku-1", 60)])
    south = missing(explained)["dc-south"]
    assert (south.code, south.weight_g, south.limit_g) == ("carrier_limit", 24_000, 20_000)

    full = Slots([("store-1", NOON_MS, NOON_MS + HOUR_MS)])
    assert missing(decided(asked(ONE), slots=full)[1])["store-1"].code == "capacity"

    promise = TierPromise(tier="vip", within_h=30, on_time_per_mille=940)
    vip = msgspec.structs.replace(
        network(), profile=msgspec.structs.replace(network().profile, tier_promises=[promise])
    )
    _, explained = decided(asked(ONE, customer=Customer(tier="vip")), of=vip)
    north = missing(explained)["dc-north"]
    assert north.code == "tier_promise"
    assert north.on_time_per_mille is not None
    assert north.on_time_per_mille < 940


def test_lines_that_nobody_can_ship_name_the_nodes_that_come_nearest() -> None:
    cells = [*EVERYWHERE, ("dc-south", "sku-9", 3), ("store-1", "sku-9", 1)]
    routed, explained = decided(asked(ONE, Want(1, "sku-9", 4)), cells)
    assert routed.plan is not None
    assert [(x.node_id, x.lines, x.short[0].held) for x in explained.unshipped] == [
        ("dc-south", [1], 3), ("store-1", [1], 1), ("dc-north", [1], 0),
    ]  # fmt: skip


def test_a_plan_that_breaks_a_fence_or_cuts_a_line_is_explained_as_it_was_made() -> None:
    profile = msgspec.structs.replace(network().profile, relax=["required_nodes"], split_lines=True)
    of = msgspec.structs.replace(network(), profile=profile)
    required = Fulfilment(kind="delivery", limits=Limits(required_nodes=["dc-north"]))
    cells = [("dc-south", "sku-1", 1), ("store-1", "sku-1", 1)]
    routed, explained = decided(asked(ONE, fulfilment=required), cells, of)
    assert routed.plan is not None
    assert routed.plan.relaxed == ["required_nodes"]
    assert [rival.node_id for rival in explained.rivals] == ["dc-south"]

    routed, explained = decided(
        asked(Want(0, "sku-1", 2), TWO),
        [*cells, ("dc-north", "sku-2", 1), ("dc-south", "sku-2", 1)],
        of,
    )
    assert routed.plan is not None
    assert sorted(package.node_id for package in routed.plan.packages) == ["dc-south", "store-1"]
    assert [(x.node_id, x.exact) for x in explained.rivals] == [("dc-north", False)]


def test_where_nothing_can_be_planned_every_node_says_what_it_lacks() -> None:
    routed, explained = decided(asked(ONE, TWO), [("dc-south", "sku-1", 1)], network())
    assert routed.plan is not None  # Line 0 ships.
    routed, explained = decided(asked(TWO), [("dc-south", "sku-1", 1)])
    assert routed.plan is None
    assert explained.rivals == []
    assert {x.code for x in explained.missing} == {"share"}
    assert len(explained.missing) == len(NODES)
