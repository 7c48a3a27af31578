"""Hard constraints, and what happens where they clash: held against every plan there is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from edge.incoming import Incoming, Lot
from edge.routing.question import Routed
from shared.clock import to_ms
from shared.network import Network, Product
from shared.parts import FenceName, Limits
from shared.sourcing import TierPromise
from tests.oracle.relaxing_oracle import BREAKABLE
from tests.routing_scene import (
    ONE,
    SKUS,
    Scene,
    a_lane,
    a_network,
    a_node,
    by,
    codes_of,
    judged,
    near_and_far,
    nodes_of,
    plan_of,
    reasons_of,
    want,
    winner,
    with_lane,
    with_node,
)
from tests.small_worlds import World, worlds

OF = near_and_far()
APART = {"near": {"sku-0": 1}, "far": {"sku-1": 1}}
BOTH = [want(0), want(1)]


# Nodes and services.


@pytest.mark.parametrize(
    "limits, code",
    [
        (Limits(forbidden_nodes=["near"]), "forbidden_nodes"),
        (Limits(required_nodes=["far"]), "required_nodes"),
    ],
)
def test_nodes_are_required_and_forbidden_by_the_order_and_by_the_profile(
    limits: Limits, code: str
) -> None:
    for answer in (Scene().ask(limits=limits), Scene(judged(OF, limits=limits)).ask()):
        assert (winner(answer), codes_of(answer)) == ("far", {"near": code})


def by_road_and_air() -> Network:
    lanes = [a_lane("near"), a_lane("near", "air", tariff_id="far")]
    return a_network(a_node("near"), lanes=lanes)


@pytest.mark.parametrize(
    "limits", [Limits(forbidden_services=["road"]), Limits(required_services=["air"])]
)
def test_services_are_required_and_forbidden_by_the_order_and_by_the_profile(
    limits: Limits,
) -> None:
    of = by_road_and_air()
    for answer in (Scene(of).ask(limits=limits), Scene(judged(of, limits=limits)).ask()):
        assert plan_of(answer).packages[0].service_id == "air"
    assert plan_of(Scene(of).ask()).packages[0].service_id == "road"


def test_what_the_order_requires_and_the_profile_forbids_goes_nowhere() -> None:
    of = judged(OF, limits=Limits(forbidden_nodes=["near"]))
    answer = Scene(of).ask(limits=Limits(required_nodes=["near"]))
    assert reasons_of(answer) == {0: "fenced"}
    assert len(answer.shortages[0].conflict) == 2
    assert set(answer.shortages[0].conflict) == {"forbidden_nodes", "required_nodes"}


def test_a_preferred_node_is_worth_what_the_profile_says() -> None:
    for price, expected in ((399, "near"), (401, "far")):
        of = judged(OF, not_preferred_minor=price)
        assert winner(Scene(of).ask(limits=Limits(preferred_nodes=["far"]))) == expected
        of = judged(of, limits=Limits(preferred_nodes=["far"]))
        assert winner(Scene(of).ask()) == expected


def test_names_that_the_network_lacks_forbid_nothing_and_satisfy_nothing() -> None:
    assert winner(Scene().ask(limits=Limits(forbidden_nodes=["moon"]))) == "near"
    assert reasons_of(Scene().ask(limits=Limits(required_nodes=["moon"]))) == {0: "fenced"}


def test_limits_on_services_do_not_concern_the_counter() -> None:
    answer = Scene().ask(kind="carry_out", limits=Limits(required_services=["air"]))
    assert plan_of(answer).packages[0].service_id == "counter"


# Classes of goods.


@pytest.mark.parametrize("goods", ["cold", "hazardous", "oversize"])
@pytest.mark.parametrize("lacks", ["node", "service", "nobody"])
def test_goods_go_only_where_node_and_service_can_take_them(goods: str, lacks: str) -> None:
    of = with_node(OF, "far", abilities=[goods])
    of = with_lane(of, "far", service_id="air")
    near = [] if lacks == "node" else [goods]
    road = [] if lacks == "service" else [goods]
    of = with_node(of, "near", abilities=near)
    of = msgspec.structs.replace(
        of,
        services=[
            msgspec.structs.replace(x, abilities=road if x.service_id == "road" else [goods])
            for x in of.services
        ],
        products=[Product(sku=SKUS[0], weight_g=400, classes=[goods])],
    )
    answer = Scene(of).ask()
    assert winner(answer) == ("near" if lacks == "nobody" else "far")
    if lacks != "nobody":
        assert codes_of(answer) == {"near": "goods_class"}


def test_goods_that_nobody_can_take_are_unroutable_and_no_relaxing_helps() -> None:
    of = msgspec.structs.replace(
        judged(OF, relax=["area", "walk_in"]),
        products=[Product(sku=SKUS[0], weight_g=400, classes=["cold"])],
    )
    for offer in (False, True):
        assert reasons_of(Scene(of).ask(offer=offer)) == {0: "unroutable"}


# The ring-fence for who walks in.


def shelf(edge_id: str | None, units: int, **asked: Any) -> Routed:
    of = with_node(OF, "near", walk_in_units=2, serves=["CN-GD"])
    return Scene(of, {"near": units, "far": 9}, edge_id=edge_id).ask(**asked)


def test_a_store_keeps_units_for_who_walks_in_but_only_its_own_edge_does() -> None:
    assert codes_of(shelf("edge-1", 2)) == {"near": "walk_in"}
    assert winner(shelf("edge-1", 3)) == "near"
    assert winner(shelf("edge-2", 1)) == "near"
    assert winner(shelf(None, 2)) == "far"


def test_who_carries_it_out_has_walked_in() -> None:
    assert winner(shelf("edge-1", 1, kind="carry_out")) == "near"
    fetched = shelf("edge-1", 1, kind="pick_up", node_id="near")
    assert reasons_of(fetched) == {0: "fenced"}


# The chance constraint of a tier.


def test_a_tiers_promise_is_kept_by_every_package_or_it_waits() -> None:
    promise = TierPromise(tier="vip", within_h=25, on_time_per_mille=950)
    of = judged(OF, tier_promises=[promise])
    assert winner(Scene(of).ask(tier="vip")) == "near"
    of = with_lane(of, "near", transit_id="h48")
    assert winner(Scene(of).ask(tier="vip")) == "far"
    assert winner(Scene(of).ask(tier="gold")) == "near"
    of = with_lane(of, "far", transit_id="h48")
    answer = Scene(of).ask(tier="vip")
    assert reasons_of(answer) == {0: "fenced"}
    assert answer.shortages[0].conflict == ["tier_promise"]


# Packages and splits.


def test_who_refuses_splits_waits_for_everything_and_is_told_why() -> None:
    answer = Scene(OF, APART).ask(BOTH, split_allowed=False)
    assert answer.plan is None
    assert reasons_of(answer) == {0: "ship_together", 1: "ship_together"}
    assert [x.conflict for x in answer.shortages] == [["split_allowed"]] * 2


@pytest.mark.parametrize("where", ["profile", "customer"])
def test_no_plan_has_more_packages_than_profile_and_customer_allow(where: str) -> None:
    of = judged(OF, packages_max=1) if where == "profile" else OF
    customer = {} if where == "profile" else {"packages_max": 1}
    answer = Scene(of, APART).ask(BOTH, **customer)
    assert reasons_of(answer) == {0: "packages_max", 1: "packages_max"}
    assert answer.shortages[0].conflict == ["packages_max"]
    assert len(nodes_of(Scene(OF, APART).ask(BOTH))) == 2


# Conflicts and relaxations.


def test_a_question_is_shown_the_plan_that_a_payment_would_not_get() -> None:
    asked = {"limits": Limits(forbidden_nodes=["near"])}
    scene = Scene(OF, {"near": 1})
    assert scene.ask(**asked).plan is None
    shown = plan_of(scene.ask(offer=True, **asked))
    assert shown.packages[0].node_id == "near"
    assert (shown.relaxed, shown.conflict) == (["forbidden_nodes"], ["forbidden_nodes"])


def test_a_payments_plan_breaks_only_what_the_profile_permits() -> None:
    asked = {"limits": Limits(forbidden_nodes=["near"])}
    permitting: list[list[FenceName]] = [[], ["area", "walk_in"], ["area", "forbidden_nodes"]]
    for relax in permitting:
        answer = Scene(judged(OF, relax=relax), {"near": 1}).ask(**asked)
        if "forbidden_nodes" in relax:
            assert plan_of(answer).relaxed == ["forbidden_nodes"]
        else:
            assert answer.plan is None
            assert answer.shortages[0].conflict == ["forbidden_nodes"]


def test_a_plan_that_keeps_everything_is_never_marked() -> None:
    of = judged(OF, relax=["forbidden_nodes", "walk_in"])
    found = plan_of(Scene(of).ask(offer=True, limits=Limits(forbidden_nodes=["near"])))
    assert (found.packages[0].node_id, found.relaxed, found.conflict) == ("far", [], [])


def test_the_profile_says_which_fence_is_the_least_bad_to_break() -> None:
    of = with_node(judged(OF), "far", walk_in_units=5)
    asked = {"limits": Limits(forbidden_nodes=["near"])}
    orders: list[list[FenceName]] = [["walk_in", "forbidden_nodes"], ["forbidden_nodes", "walk_in"]]
    for relax in orders:
        found = plan_of(Scene(judged(of, relax=relax), {"near": 5, "far": 5}).ask(**asked))
        assert found.relaxed == [relax[0]]


def test_the_worst_of_several_broken_fences_decides() -> None:
    # From near: the best and the worst of the list; from far: the two in the middle.
    of = with_node(OF, "near", walk_in_units=5, area=None)
    of = with_lane(of, "far", service_id="air", transit_id="h48")
    promise = TierPromise(tier="vip", within_h=30, on_time_per_mille=950)
    of = judged(
        of,
        tier_promises=[promise],
        limits=Limits(forbidden_nodes=["near"], forbidden_services=["air"]),
        relax=["walk_in", "tier_promise", "forbidden_services", "forbidden_nodes"],
    )
    found = plan_of(Scene(of, {"near": 5, "far": 5}).ask(tier="vip"))
    assert found.packages[0].node_id == "far"
    assert found.relaxed == ["tier_promise", "forbidden_services"]


def test_a_line_that_lacks_stock_is_not_said_to_clash() -> None:
    answer = Scene(OF, {"near": {"sku-0": 1}}).ask(BOTH, limits=Limits(forbidden_nodes=["near"]))
    assert [x.conflict for x in answer.shortages] == [["forbidden_nodes"], []]
    assert reasons_of(answer) == {0: "fenced", 1: "share"}


def test_each_clash_is_told_where_it_belongs() -> None:
    of = with_node(OF, "near", walk_in_units=1)
    of = judged(of, limits=Limits(forbidden_nodes=["far"]), relax=["forbidden_nodes"])
    answer = Scene(of, APART).ask(BOTH)
    assert (plan_of(answer).relaxed, plan_of(answer).conflict) == (["forbidden_nodes"],) * 2
    assert [x.conflict for x in answer.shortages] == [["walk_in"]]


def test_a_line_that_is_fenced_asks_for_stock_where_it_would_help() -> None:
    (waits,) = Scene(OF, {"near": 1}).ask(limits=Limits(forbidden_nodes=["near"])).shortages
    assert (waits.reason, waits.nodes, waits.group) == ("fenced", ["far"], 0)
    of = with_node(OF, "near", walk_in_units=2)
    (waits,) = Scene(of, {"near": 1}).ask().shortages
    assert (waits.reason, waits.nodes, waits.group) == ("fenced", ["far"], 0)


def test_a_fence_is_broken_rather_than_waiting_for_stock_where_that_is_permitted() -> None:
    # Near, once its stock has come, is cheaper than far is now.
    coming = Incoming([Lot("near", "l", "sku-0", 5, to_ms(by(48)), 1_000)])
    asked = {"limits": Limits(forbidden_nodes=["far"])}
    waits = Scene(OF, {"far": 1}, incoming=coming).ask(ONE, **asked)
    assert waits.plan is None
    assert waits.shortages[0].expected_at == by(48)
    permitting = judged(OF, relax=["forbidden_nodes"])
    assert winner(Scene(permitting, {"far": 1}, incoming=coming).ask(ONE, **asked)) == "far"
    shown = Scene(OF, {"far": 1}, incoming=coming).ask(ONE, offer=True, **asked)
    assert plan_of(shown).relaxed == ["forbidden_nodes"]


# Against every plan there is.


def whole(world: World) -> World:
    """The world without pieces of lines, which the oracle does not know."""
    world.scene.of = judged(world.scene.of, split_lines=False)
    return world


def shipped(answer: Routed) -> frozenset[int]:
    packages = [] if answer.plan is None else answer.plan.packages
    return frozenset(line.line for package in packages for line in package.lines)


def check(world: World, *, offer: bool) -> None:
    world = whole(world)
    instance = world.instance()
    answer = world.scene.ask(world.wants, offer=offer, **world.asked)
    permitted: list[str] = list(world.scene.of.profile.relax)
    if offer:
        permitted += [name for name in BREAKABLE if name not in permitted]
    broken, lines, cost = instance.best_breach(permitted)
    assert shipped(answer) == lines
    if answer.plan is not None:
        assert set(answer.plan.relaxed) == broken
        assert (answer.plan.cost.minor, answer.plan.optimal) == (cost, True)
        assert bool(answer.plan.conflict) == bool(broken)
        if broken:
            kept = frozenset(answer.plan.conflict)
            assert instance.clashes(kept, lines)
            assert len(kept) == instance.clash_size(lines)
    left = instance.most - lines
    for shortage in answer.shortages:
        assert bool(shortage.conflict) == (shortage.line in left)
        if shortage.conflict:
            kept = frozenset(shortage.conflict)
            assert instance.clashes(kept, left)
            assert len(kept) == instance.clash_size(left)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_a_payment_breaks_the_least_bad_that_is_permitted_and_names_the_smallest_conflict(
    world: World,
) -> None:
    check(world, offer=False)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_a_question_is_shown_the_best_plan_that_breaks_anything(world: World) -> None:
    check(world, offer=True)
