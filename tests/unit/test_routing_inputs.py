"""Inputs 1 to 8 of a decision change it in the right direction: goods, nodes, customers.

For each: what it does, what its absence does, and, where it has an age, what that does. The
others are in `test_routing_inputs_of_lanes.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.incoming import Incoming, Lot
from shared.network import Network
from shared.prices import Backlog, Prices, Saturation
from tests.routing_scene import (
    HOUR_MS,
    NOW_MS,
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
    prices,
    reasons_of,
    slots,
    want,
    winner,
    with_lane,
)

OF = near_and_far()

# 1. On hand, as the edge's share.


def test_a_node_without_a_share_does_not_ship_and_says_why() -> None:
    assert winner(Scene().ask()) == "near"
    lacking = Scene(units={"far": 1}).ask()
    assert winner(lacking) == "far"
    assert codes_of(lacking) == {"near": "share"}


def test_without_any_share_the_line_waits() -> None:
    assert reasons_of(Scene(units={}).ask()) == {0: "share"}


@given(
    st.dictionaries(st.sampled_from(["near", "far"]), st.integers(0, 3)),
    st.dictionaries(st.sampled_from(["near", "far"]), st.integers(0, 3)),
)
def test_more_stock_never_makes_a_plan_dearer_or_ships_less(
    some: dict[str, int], more: dict[str, int]
) -> None:
    wants = [want(0, 2), want(1, 1)]
    before = Scene(units=some).ask(wants)
    after = Scene(units={n: some.get(n, 0) + more.get(n, 0) for n in ("near", "far")}).ask(wants)
    assert len(after.shortages) <= len(before.shortages)
    if before.plan is not None and not before.shortages:
        assert plan_of(after).cost.minor <= before.plan.cost.minor


# 2. In transit, with a time of arrival.


def lot(node_id: str = "near", hours: int = 10, release_per_mille: int = 1_000) -> Incoming:
    return Incoming([Lot(node_id, "l", "sku-0", 5, NOW_MS + hours * HOUR_MS, release_per_mille)])


def test_stock_on_its_way_is_promised_from_its_arrival_when_no_node_has_any() -> None:
    (waits,) = Scene(units={}, incoming=lot()).ask().shortages
    assert waits.expected_at == by(10)
    assert waits.promised_at == by(10 + 1 + 24)
    assert waits.nodes[0] == "near"
    assert Scene(units={}).ask().shortages[0].expected_at is None


def test_with_a_price_of_waiting_stock_on_its_way_competes_with_the_shelf() -> None:
    patient = Scene(judged(OF, incoming_minor_per_h=10), {"far": 1}, incoming=lot())
    (waits,) = patient.ask().shortages
    assert waits.reason == "incoming"  # Ten hours at 10 are less than the 400 that far costs more.
    patient.of = judged(OF, incoming_minor_per_h=100)
    assert winner(patient.ask()) == "far"
    patient.of = OF
    assert winner(patient.ask()) == "far"


def test_what_should_have_arrived_long_ago_is_no_longer_waited_for() -> None:
    scene = Scene(units={}, incoming=lot(), now_ms=NOW_MS + 11 * HOUR_MS)
    assert scene.ask().shortages[0].expected_at is None


def test_stock_on_its_way_in_another_millennium_breaks_nothing() -> None:
    far = Incoming([Lot("near", "l", "sku-0", 5, 253_402_300_000_000, 1_000)])
    assert Scene(units={}, incoming=far).ask().shortages[0].expected_at is not None


# 3. In inspection, with a probability of release.


def test_a_lot_that_may_not_be_released_is_worth_less_waiting_for() -> None:
    of = judged(OF, incoming_minor_per_h=10, reroute_minor=1_000)
    sure = Scene(of, {"far": 1}, incoming=lot(release_per_mille=950)).ask()
    assert reasons_of(sure) == {0: "incoming"}
    assert sure.shortages[0].expected_per_mille == 950
    doubtful = Scene(of, {"far": 1}, incoming=lot(release_per_mille=600)).ask()
    assert winner(doubtful) == "far"  # 0.4 * 1,000 for a re-route on top.
    assert reasons_of(Scene(of, {}, incoming=lot(release_per_mille=0)).ask()) == {0: "share"}


# 4. Node capacity and backlog.


def test_a_node_without_room_in_any_slot_is_out() -> None:
    full = Scene(slots=slots(0)).ask()
    assert (winner(full), codes_of(full)) == ("far", {"near": "capacity"})
    assert winner(Scene(slots=slots(1)).ask()) == "near"


def test_the_price_of_room_rises_before_the_slot_runs_out() -> None:
    of = judged(OF, congestion_minor=1_000, congestion_packages=4)
    paid = []
    for packages in (5, 4, 3, 2, 1):
        answer = Scene(of, {"near": 9}, slots=slots(packages)).ask()
        paid.append(plan_of(answer).packages[0].terms.congestion_minor)
    assert paid == [0, 250, 500, 750, 1_000]
    # Far is 400 dearer: it wins while near could still take two packages.
    assert [winner(Scene(of, slots=slots(n)).ask()) for n in (5, 4, 3, 2, 1)] == [
        "near", "near", "far", "far", "far",
    ]  # fmt: skip


def test_a_slot_later_in_the_day_makes_the_promise_later() -> None:
    soon, later = (plan_of(Scene(slots=slots(1, h)).ask()).packages[0] for h in (0, 6))
    assert later.arrives_at - soon.arrives_at == timedelta(hours=5)  # The first hour is handling.


def test_a_backlog_costs_and_delays() -> None:
    waits = prices(backlogs=[Backlog(node_id="near", price_minor=500, delay_min=90)])
    assert winner(Scene(prices=waits).ask()) == "far"
    (package,) = plan_of(Scene(units={"near": 1}, prices=waits).ask()).packages
    assert package.terms.backlog_minor == 500
    assert package.ready_at == by(2.5)


def test_a_backlog_that_only_delays_loses_against_a_deadline() -> None:
    of = judged(OF, late_minor=5_000)
    waits = prices(backlogs=[Backlog(node_id="near", delay_min=90)])
    assert winner(Scene(of, prices=waits).ask(deadline=by(26))) == "far"
    assert winner(Scene(of).ask(deadline=by(26))) == "near"


# 5. Carrier saturation by region.


def full_road(region: str = "CN-GD", **values: Any) -> Prices:
    return prices(saturations=[Saturation(service_id="road", region=region, **values)])


def road_and_air() -> Network:
    lanes = [a_lane("near"), a_lane("near", "air", tariff_id="far")]
    return judged(a_network(a_node("near"), lanes=lanes), late_minor=5_000)


def test_a_full_carrier_costs_more_and_takes_longer() -> None:
    def service(saturation: Prices | None) -> str:
        answer = Scene(road_and_air(), prices=saturation).ask(deadline=by(26))
        return plan_of(answer).packages[0].service_id

    assert service(None) == "road"
    assert service(full_road(price_minor=500)) == "air"
    assert service(full_road(delay_min=120)) == "air"
    assert service(full_road("CN-BJ", price_minor=500, delay_min=120)) == "road"


def test_a_full_carrier_is_in_the_promise() -> None:
    (package,) = plan_of(Scene(prices=full_road(delay_min=120)).ask()).packages
    assert package.arrives_at == package.edd_at == by(1 + 24 + 2)


# 6. The customer's preference about splits.


def split_scene() -> Scene:
    return Scene(units={"near": {"sku-0": 1}, "far": {"sku-0": 1, "sku-1": 1}})


def test_who_refuses_splits_gets_one_package_though_two_were_cheaper() -> None:
    scene = split_scene()
    scene.of = judged(OF, split_cost_minor=0)
    scene.of = with_lane(scene.of, "near", tariff_id="near")
    scene.of = msgspec.structs.replace(
        scene.of,
        products=[msgspec.structs.replace(x, weight_g=900) for x in scene.of.products],
    )
    wants = [want(0), want(1)]
    assert nodes_of(scene.ask(wants)) == ["near", "far"]  # 600 + 1,000 against 2,600 together
    assert nodes_of(scene.ask(wants, split_allowed=False)) == ["far"]


@given(st.integers(0, 1_000))
def test_a_dearer_split_never_makes_more_packages(split_cost: int) -> None:
    heavy = [msgspec.structs.replace(x, weight_g=900) for x in OF.products]
    of = msgspec.structs.replace(OF, products=heavy)
    wants = [want(0), want(1), want(2)]
    some, more = (
        len(nodes_of(Scene(judged(of, split_cost_minor=cost)).ask(wants)))
        for cost in (split_cost, split_cost + 300)
    )
    assert more <= some


# 7. The customer's preference about speed.


def test_who_prefers_express_gets_the_faster_node() -> None:
    of = with_lane(OF, "far", transit_id="h4")
    of = judged(of, express_minor_per_h=30, economy_minor_per_h=1)
    assert winner(Scene(of).ask(speed="express")) == "far"  # 20 hours at 30 against 400
    assert winner(Scene(of).ask(speed="standard")) == "near"
    assert winner(Scene(of).ask(speed="economy")) == "near"
    (package,) = plan_of(Scene(of).ask(speed="express")).packages
    assert package.terms.speed_minor == 5 * 30


# 8. Promotion groups.


def test_a_gift_ships_with_what_it_belongs_to() -> None:
    units = {"near": {"sku-0": 1}, "far": {"sku-0": 1, "sku-1": 1}}
    scene = Scene(judged(OF, split_cost_minor=0), units)
    assert nodes_of(scene.ask([want(0, group="gift"), want(1, group="gift")])) == ["far"]
    units["far"] = {"sku-1": 1}
    assert reasons_of(scene.ask([want(0, group="gift"), want(1, group="gift")])) == {
        0: "ship_together", 1: "ship_together",
    }  # fmt: skip
    assert nodes_of(scene.ask([want(0), want(1)])) == ["near", "far"]
