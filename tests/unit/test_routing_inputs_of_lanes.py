"""Inputs 9 to 15 of a decision change it in the right direction: areas, rules, lanes, prices, days.

For each: what it does, what its absence does, and, where it has an age, what that does.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.failures import HALF_LIFE_MS
from edge.routing.question import Routed
from edge.sourcing import Rules
from shared.clock import to_datetime
from shared.network import Area, Network, Pickup, Transit
from shared.prices import Backlog, Bid, Saturation
from shared.sourcing import Conditions, Rule, Sourcing, TierPromise
from tests.routing_scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    Scene,
    a_lane,
    by,
    certain,
    codes_of,
    failed,
    judged,
    near_and_far,
    plan_of,
    prices,
    reasons_of,
    slots,
    want,
    winner,
    with_lane,
    with_node,
)

OF = near_and_far()

# 9. Service areas.

_SQUARE = [(112.0, 22.0), (114.0, 22.0), (114.0, 24.0), (112.0, 24.0), (112.0, 22.0)]
_ELSEWHERE = [(x + 10, y) for x, y in _SQUARE]


@pytest.mark.parametrize(
    "changes",
    [
        {"serves": ["CN-BJ"]},
        {"area": Area(radius_m=10_000)},
        {"area": Area(polygons=[_ELSEWHERE])},
    ],
)
def test_a_node_does_not_ship_out_of_its_area(changes: dict[str, Any]) -> None:
    answer = Scene(with_node(OF, "near", **changes)).ask()
    assert (winner(answer), codes_of(answer)) == ("far", {"near": "area"})


@pytest.mark.parametrize(
    "changes",
    [
        {"serves": ["CN-BJ", "CN-GD"]},
        {"area": Area(radius_m=50_000)},
        {"area": Area(polygons=[_ELSEWHERE, _SQUARE])},
        {"area": Area(radius_m=10, polygons=[_SQUARE])},
        {},
    ],
)
def test_a_node_ships_within_its_area_and_anywhere_without_one(changes: dict[str, Any]) -> None:
    assert winner(Scene(with_node(OF, "near", **changes)).ask()) == "near"


# 10. The customer's tier and credit.


def rules(*rule: Rule) -> Rules:
    profiles = [
        OF.profile,
        msgspec.structs.replace(
            OF.profile,
            version="careful",
            limits=msgspec.structs.replace(OF.profile.limits, forbidden_nodes=["near"]),
        ),
    ]
    return Rules(Sourcing(version="s1", profiles=profiles, otherwise="p1", rules=list(rule)))


def test_the_tier_and_the_credit_choose_the_profile() -> None:
    chosen = rules(
        Rule(profile="careful", when=Conditions(tiers=["vip"])),
        Rule(profile="careful", when=Conditions(credits=["poor"])),
    )
    scene = Scene(rules=chosen)
    assert winner(scene.ask()) == "near"
    for asked in ({"tier": "vip"}, {"credit": "poor"}):
        answer = scene.ask(**asked)
        assert winner(answer) == "far"
        assert plan_of(answer).profile == "careful"
        assert codes_of(answer) == {"near": "forbidden_nodes"}


def test_without_rules_the_networks_own_profile_counts() -> None:
    assert plan_of(Scene().ask(tier="vip")).profile == "p1"


def test_a_tier_is_promised_its_hours() -> None:
    promise = TierPromise(tier="vip", within_h=24, on_time_per_mille=950)
    of = with_lane(judged(OF, tier_promises=[promise]), "far", transit_id="h4")
    assert winner(Scene(of).ask()) == "near"
    answer = Scene(of).ask(tier="vip")
    assert (winner(answer), codes_of(answer)) == ("far", {"near": "tier_promise"})


# 11. Transit times of lanes.


def spread(*hours: float) -> list[int]:
    """Straight from the first to the last hour."""
    first, last = hours
    levels = (0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 1_000)
    return [int(60 * (first + (last - first) * level / 1_000)) for level in levels]


def with_transit(of: Network, node_id: str, *hours: float) -> Network:
    transits = [*of.transits, Transit(transit_id=f"of-{node_id}", spread_min=spread(*hours))]
    of = msgspec.structs.replace(of, transits=transits)
    return with_lane(of, node_id, transit_id=f"of-{node_id}")


def test_a_lane_that_is_often_late_loses_against_a_deadline() -> None:
    of = judged(with_transit(OF, "near", 10, 50), late_minor=2_000)
    assert winner(Scene(of).ask(deadline=by(26))) == "far"
    assert winner(Scene(of).ask(deadline=by(60))) == "near"
    assert winner(Scene(of).ask()) == "near"


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 30), st.integers(0, 100))
def test_a_longer_transit_never_arrives_in_time_more_often(
    first: int, width: int, longer: int, deadline_h: int
) -> None:
    on_time = []
    for more in (0, longer):
        of = with_transit(OF, "near", first + more, first + more + width)
        answer = Scene(of, {"near": 1}).ask(deadline=by(deadline_h))
        on_time.append(plan_of(answer).packages[0].on_time_per_mille)
    assert on_time[1] <= on_time[0]


def test_without_a_distribution_the_stated_hours_count() -> None:
    of = with_lane(OF, "near", transit_id=None, transit_h=24)
    (package,) = plan_of(Scene(of).ask(deadline=by(25.2))).packages
    assert package.on_time_per_mille == pytest.approx(900, abs=10)


def test_old_times_are_less_certain_and_the_plan_says_so() -> None:
    of = with_transit(OF, "near", 10, 50)
    of = msgspec.structs.replace(of, made_at=to_datetime(NOW_MS))
    fresh = plan_of(Scene(of).ask(deadline=by(45)))
    assert fresh.stale == []
    old = plan_of(Scene(of, now_ms=NOW_MS + 307 * DAY_MS).ask(deadline=by(45 + 307 * 24)))
    (stale,) = old.stale
    assert (stale.source, stale.age_s, stale.widened_per_mille) == ("network", 307 * 86_400, 1_600)
    assert old.packages[0].on_time_per_mille < fresh.packages[0].on_time_per_mille
    without = msgspec.structs.replace(of, made_at=None)
    assert plan_of(Scene(without, now_ms=NOW_MS + 307 * DAY_MS).ask()).stale == []


# 12. Tariffs.


@given(st.integers(0, 2_000), st.integers(0, 2_000))
def test_the_cheaper_tariff_wins(near: int, far: int) -> None:
    of = with_node(with_node(OF, "near", handling_minor=near), "far", handling_minor=far)
    expected = "near" if near + 500 <= far + 900 else "far"
    if near + 500 != far + 900:
        assert winner(Scene(of).ask()) == expected


@given(st.integers(0, 1_500), st.integers(0, 1_500))
def test_a_node_that_gets_dearer_never_wins_by_it(price: int, more: int) -> None:
    cheap, dear = (
        winner(Scene(with_node(OF, "near", handling_minor=x)).ask()) for x in (price, price + more)
    )
    assert cheap == "near" or dear == "far"


def test_the_weight_chooses_the_step_and_the_heaviest_the_carrier() -> None:
    light, heavy = (plan_of(Scene().ask([want(0, n)])).packages[0] for n in (2, 3))
    assert (light.terms.tariff_minor, heavy.terms.tariff_minor) == (500, 1_500)
    too_heavy = Scene(units={"near": 99, "far": 99}).ask([want(0, 51)])
    assert reasons_of(too_heavy) == {0: "unroutable"}


def test_without_a_lane_a_node_is_out() -> None:
    of = msgspec.structs.replace(OF, lanes=[a_lane("far", tariff_id="far")])
    answer = Scene(of).ask()
    assert (winner(answer), codes_of(answer)) == ("far", {"near": "no_lane"})


# 13. The history of rejections.


def test_a_node_that_fails_its_picks_is_asked_less_and_forgiven_in_time() -> None:
    # Far is 400 dearer; a re-route costs 2,000; one failure in five is worth 400.
    assert winner(Scene(failures=failed(500)).ask()) == "near"
    assert winner(Scene(failures=failed(2_000)).ask()) == "far"
    (package,) = plan_of(Scene(units={"near": 1}, failures=failed(1_000)).ask()).packages
    assert package.terms.rejection_minor == 400
    old = failed(2_000, NOW_MS - 3 * HALF_LIFE_MS)
    assert winner(Scene(failures=old).ask()) == "near"
    assert winner(Scene(failures=failed(2_000)).ask([want(1)])) == "near"


# 14. Bid prices.


def test_units_that_sell_better_elsewhere_stay_where_they_are() -> None:
    dear = prices(bids=[Bid(node_id="near", sku="sku-0", price_minor=500)])
    assert winner(Scene(prices=dear).ask()) == "far"
    assert winner(Scene(prices=dear).ask([want(1)])) == "near"
    (package,) = plan_of(Scene(units={"near": 3}, prices=dear).ask([want(0, 2)])).packages
    assert package.terms.bid_minor == 1_000


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_dearer_unit_never_makes_its_node_win(price: int, more: int) -> None:
    winners = [
        winner(Scene(prices=prices(bids=[Bid(node_id="near", sku="sku-0", price_minor=x)])).ask())
        for x in (price, price + more)
    ]
    assert winners != ["far", "near"]


def test_prices_fade_with_their_age_and_the_plan_says_so() -> None:
    def bid(hours: int) -> Routed:
        made = prices(
            NOW_MS - hours * HOUR_MS,
            fresh_h=10,
            bids=[Bid(node_id="near", sku="sku-0", price_minor=1_000)],
        )
        return Scene(units={"near": 1}, prices=made).ask()

    counted = {h: plan_of(bid(h)).packages[0].terms.bid_minor for h in (0, 10, 15, 20, 99)}
    assert counted == {0: 1_000, 10: 1_000, 15: 500, 20: 0, 99: 0}
    assert plan_of(bid(10)).stale == []
    (stale,) = plan_of(bid(15)).stale
    assert (stale.source, stale.age_s, stale.counted_per_mille) == ("prices", 15 * 3_600, 500)
    assert plan_of(Scene().ask()).stale == []


def test_backlog_and_saturation_fade_as_well() -> None:
    made = prices(
        NOW_MS - 15 * HOUR_MS,
        fresh_h=10,
        backlogs=[Backlog(node_id="near", price_minor=100, delay_min=60)],
        saturations=[Saturation(service_id="road", region="CN-GD", price_minor=200, delay_min=120)],
    )
    (package,) = plan_of(Scene(units={"near": 1}, prices=made).ask()).packages
    assert (package.terms.backlog_minor, package.terms.saturation_minor) == (50, 100)
    assert package.ready_at == by(1.5)
    assert package.arrives_at == by(1.5 + 24 + 1)


def test_prices_of_what_the_network_does_not_have_are_left_out() -> None:
    strange = prices(
        bids=[Bid(node_id="moon", sku="sku-0", price_minor=9)],
        backlogs=[Backlog(node_id="moon", price_minor=9)],
        saturations=[Saturation(service_id="sled", region="CN-GD", price_minor=9)],
    )
    assert plan_of(Scene(prices=strange).ask()).cost == plan_of(Scene().ask()).cost


# 15. Calendars, cut-offs, holidays, time zones.


def test_a_node_that_is_shut_is_later_and_loses_against_a_deadline() -> None:
    of = judged(with_node(OF, "near", opens_min=540), late_minor=2_000)
    assert winner(Scene(of).ask(deadline=by(26))) == "far"
    assert winner(Scene(of).ask(deadline=by(40))) == "near"
    (package,) = plan_of(Scene(of, {"near": 1}).ask()).packages
    assert package.ready_at == by(10)


@pytest.mark.parametrize(
    "changes, ready_h",
    [
        ({"opens_min": 540, "utc_offset_min": 480}, 2),  # eight in the morning there
        ({"opens_min": 540, "closes_min": 1_080, "utc_offset_min": -300}, 15),  # seven, past six
        ({"closed_weekdays": [1]}, 25),
        ({"closed_on": [date(2026, 1, 5), date(2026, 1, 6)]}, 49),
        ({}, 1),
    ],
)
def test_holidays_weekdays_and_time_zones_move_the_ready_time(
    changes: dict[str, Any], ready_h: int
) -> None:
    (package,) = plan_of(Scene(with_node(OF, "near", **changes), {"near": 1}).ask()).packages
    assert package.ready_at == by(ready_h)


def test_what_misses_the_carriers_cut_off_leaves_the_next_day() -> None:
    def collected(cutoff_min: int) -> Network:
        pickup = Pickup(node_id="near", service_id="road", cutoff_min=cutoff_min)
        return msgspec.structs.replace(judged(OF, late_minor=2_000), pickups=[pickup])

    early, late = (Scene(collected(m), {"near": 1}).ask(deadline=by(30)) for m in (30, 120))
    assert plan_of(early).packages[0].arrives_at == by(24.5 + 24)
    assert plan_of(late).packages[0].arrives_at == by(2 + 24)
    assert winner(Scene(collected(30)).ask(deadline=by(30))) == "far"
    assert winner(Scene(collected(120)).ask(deadline=by(30))) == "near"


def test_a_spread_of_the_nodes_own_is_in_the_promise() -> None:
    slow = with_node(OF, "near", handling_spread_min=certain(300))
    assert plan_of(Scene(slow).ask()).packages[0].arrives_at == by(5 + 24)


def test_every_term_is_told_and_they_add_up() -> None:
    of = judged(
        with_lane(OF, "near", transit_id="h24"),
        late_minor=1_000,
        late_minor_per_h=10,
        express_minor_per_h=2,
        congestion_minor=40,
        congestion_packages=2,
        not_preferred_minor=70,
        limits=msgspec.structs.replace(OF.profile.limits, preferred_nodes=["far"]),
    )
    told = prices(
        bids=[Bid(node_id="near", sku="sku-0", price_minor=11)],
        backlogs=[Backlog(node_id="near", price_minor=22)],
        saturations=[Saturation(service_id="road", region="CN-GD", price_minor=33)],
    )
    scene = Scene(of, {"near": 9}, told, slots(1), failed(1_000))
    (package,) = plan_of(scene.ask(speed="express", deadline=by(20))).packages
    assert msgspec.structs.asdict(package.terms) == {
        "tariff_minor": 500, "handling_minor": 100, "backlog_minor": 22, "congestion_minor": 40,
        "saturation_minor": 33, "lateness_minor": 1_000 + 50, "speed_minor": 50,
        "waiting_minor": 0, "preference_minor": 70, "bid_minor": 11, "rejection_minor": 400,
    }  # fmt: skip
    assert package.cost_minor == sum(msgspec.structs.asdict(package.terms).values())
