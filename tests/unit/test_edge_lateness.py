"""Lateness as probability: what is late how likely, what that costs, and what is promised."""

from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.capacity import Slots
from edge.network import Snapshot
from edge.routing.known import Known
from edge.routing.question import Question, Routed, Want
from edge.routing.router import route
from edge.stock import Stock
from edge.transits import stated
from shared.clock import to_datetime, to_ms
from shared.frames import decode_bulk, encode_bulk
from shared.network import (
    LEVELS_PER_MILLE,
    Network,
    Pickup,
    Profile,
    Service,
    Transit,
    parse_network,
)
from shared.parts import Customer, Fulfilment, Package, slot_sku
from tests.shop import NOON_MS, SOUTH, network

HOUR_MS = 3_600_000
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONDAY_NOON = to_datetime(NOON_MS)  # 12:00 in China


def spread(*hours: float) -> list[int]:
    """Minutes at the levels, between the least, the median and the most."""
    least, median, most = hours
    at = np.interp(LEVELS_PER_MILLE, [0, 500, 1_000], [least, median, most])
    return [round(x * 60) for x in at]


def changed(rows: list[Any], **changes: Any) -> list[Any]:
    return [msgspec.structs.replace(row, **changes) for row in rows]


def with_transits(**hours: tuple[float, float, float]) -> Network:
    """The shop's network; nodes with `_` for `-`, and how long their lanes take."""
    base = network()
    names = {node.replace("_", "-"): node for node in hours}
    return msgspec.structs.replace(
        base,
        transits=[Transit(transit_id=node, spread_min=spread(*x)) for node, x in hours.items()],
        lanes=[
            msgspec.structs.replace(lane, transit_id=names.get(lane.node_id)) for lane in base.lanes
        ],
    )


def ask(
    of: Network,
    *nodes: str,
    hours: float | None = None,
    now_ms: int = NOON_MS,
    slots: Slots | None = None,
    kind: Any = "delivery",
) -> Routed:
    deadline = None if hours is None else to_datetime(now_ms + int(hours * HOUR_MS))
    snapshot = Snapshot(of)
    question = Question(
        wants=[Want(0, "sku-1", 1)], store_id="store-1", customer=Customer(), destination=SOUTH,
        fulfilment=Fulfilment(kind=kind, deadline=deadline, node_id="store-1"),
    )  # fmt: skip
    stock = Stock(snapshot, [(node, "sku-1", 1) for node in nodes or ("dc-south", "store-1")])
    return route(Known(snapshot, stock, slots), question, now_ms)


def package(*arguments: Any, **options: Any) -> Package:
    plan = ask(*arguments, **options).plan
    assert plan is not None
    return plan.packages[0]


def profile(**changes: Any) -> Profile:
    return Profile(version="p", packages_max=4, **changes)


def test_a_faster_lane_wins_when_the_deadline_is_near_and_the_cheaper_when_it_is_far() -> None:
    of = with_transits(dc_south=(4, 6, 12), store_1=(24, 30, 48))
    assert package(of, hours=20).node_id == "dc-south"
    assert package(of, hours=200).node_id == "store-1"
    assert package(of).node_id == "store-1"


def test_a_risky_cheap_lane_loses_when_lateness_is_dear() -> None:
    of = with_transits(dc_south=(20, 22, 24), store_1=(4, 12, 60))
    for late_minor, expected in ((100, "store-1"), (50_000, "dc-south")):
        judged = msgspec.structs.replace(of, profile=profile(late_minor=late_minor))
        assert package(judged, hours=28).node_id == expected


def test_the_expected_cost_is_the_chance_times_the_penalty_and_the_hours() -> None:
    of = with_transits(store_1=(0, 10, 20))  # uniform from 0 to 20 hours
    of = msgspec.structs.replace(
        of,
        nodes=changed(of.nodes, handling_min=0),
        profile=profile(late_minor=1_000, late_minor_per_h=60),
    )
    found = package(of, "store-1", hours=15)
    assert found.on_time_per_mille == 750
    # A quarter is late, and then by 2.5 hours on average.
    assert found.cost_minor == pytest.approx(200 + 500 + 250 + 60 * 0.625, abs=1)


def test_p_on_time_grows_with_the_deadline_and_the_quantiles_are_in_order() -> None:
    of = with_transits(store_1=(5, 20, 90))
    before = -1
    for hours in range(0, 100, 3):
        found = package(of, "store-1", hours=hours)
        assert found.on_time_per_mille is not None
        assert found.on_time_per_mille >= before
        before = found.on_time_per_mille
        assert found.edd_at is not None
        assert found.ready_at < found.edd_at < found.arrives_at
    assert before == 1_000


def test_the_profile_chooses_how_sure_the_promise_is() -> None:
    of = with_transits(store_1=(5, 20, 90))
    promises = []
    for share in (500, 900, 990):
        judged = msgspec.structs.replace(of, profile=profile(promise_per_mille=share))
        first = package(judged, "store-1")
        promises.append(first.arrives_at)
        hours = (first.arrives_at - MONDAY_NOON) / HOUR
        again = package(judged, "store-1", hours=hours)
        assert again.on_time_per_mille == pytest.approx(share, abs=1)
        assert again.late_s == 0
    assert promises == sorted(promises)


def test_without_a_deadline_nothing_is_late_and_no_chance_is_told() -> None:
    found = package(network(), "store-1")
    assert found.on_time_per_mille is None
    assert found.cost_minor == 700


def test_a_lane_without_history_keeps_its_stated_time_nine_times_in_ten() -> None:
    of = msgspec.structs.replace(network(), nodes=changed(network().nodes, handling_min=0))
    found = package(of, "store-1", hours=24)
    assert found.on_time_per_mille == pytest.approx(900, abs=3)
    assert found.edd_at is not None
    assert abs(found.arrives_at - (MONDAY_NOON + DAY)) <= HOUR / 6
    assert abs(found.edd_at - (MONDAY_NOON + 0.5 * DAY)) <= HOUR / 6
    assert stated(60)[-1] == 180


def collected(cutoff_min: int, **changes: Any) -> Network:
    """The store works in exactly half an hour and ships in ten to eleven hours."""
    of = with_transits(store_1=(10, 10.5, 11))
    exact = changed(of.nodes, handling_min=30, handling_spread_min=[30] * len(LEVELS_PER_MILLE))
    pickup = Pickup(node_id="store-1", service_id="standard", cutoff_min=cutoff_min, **changes)
    return msgspec.structs.replace(of, nodes=exact, pickups=[pickup])


def test_a_missed_cut_off_means_a_day_later() -> None:
    made = package(collected(12 * 60 + 30), "store-1")
    missed = package(collected(12 * 60 + 29), "store-1")
    assert made.edd_at is not None
    assert missed.edd_at is not None
    assert abs(made.edd_at - (MONDAY_NOON + 0.5 * HOUR + 10.5 * HOUR)) <= HOUR / 30
    assert missed.edd_at - made.edd_at == DAY - timedelta(minutes=1)


def test_a_carrier_that_does_not_come_that_day_takes_it_on_its_next() -> None:
    every_day = package(collected(900), "store-1")
    thursdays = package(collected(900, weekdays=[4]), "store-1")
    assert thursdays.arrives_at - every_day.arrives_at == 3 * DAY


def test_near_a_cut_off_the_chance_to_make_it_counts() -> None:
    slow = [0, *np.linspace(10, 110, len(LEVELS_PER_MILLE) - 1).astype(int).tolist()]
    chances = []
    for cutoff_min in range(12 * 60, 15 * 60, 10):
        of = collected(cutoff_min)
        of = msgspec.structs.replace(of, nodes=changed(of.nodes, handling_spread_min=slow))
        chance = package(of, "store-1", hours=20).on_time_per_mille
        assert chance is not None
        chances.append(chance)
    assert chances == sorted(chances)
    assert chances[0] == 0
    assert chances[-1] == 1_000
    assert any(100 < chance < 900 for chance in chances)


def test_a_closed_day_and_a_holiday_wait_for_the_next_day_that_is_open() -> None:
    def ready_of(**changes: Any) -> Any:
        of = network()
        of = msgspec.structs.replace(of, nodes=changed(of.nodes, **changes))
        return package(of, "store-1").ready_at

    tuesday_opening = MONDAY_NOON - 3 * HOUR + DAY + HOUR / 2
    assert ready_of() == MONDAY_NOON + HOUR / 2
    assert ready_of(closed_weekdays=[1]) == tuesday_opening
    assert ready_of(closed_on=[date(2025, 1, 13)]) == tuesday_opening
    assert ready_of(closed_weekdays=[1, 2], closed_on=[date(2025, 1, 15)]) == (
        tuesday_opening + 2 * DAY
    )


def test_a_later_slot_makes_it_likelier_late() -> None:
    of = with_transits(store_1=(10, 20, 40))
    slot = NOON_MS + 6 * HOUR_MS, NOON_MS + 9 * HOUR_MS
    sku = slot_sku(to_datetime(slot[0]))
    slots = Slots([("store-1", *slot)], [("store-1", sku, 1)])
    at_once, in_slot = (
        package(of, "store-1", hours=30),
        package(of, "store-1", hours=30, slots=slots),
    )
    assert in_slot.slot == sku
    assert at_once.on_time_per_mille is not None
    assert in_slot.on_time_per_mille is not None
    assert in_slot.on_time_per_mille < at_once.on_time_per_mille
    assert in_slot.edd_at is not None
    assert at_once.edd_at is not None
    assert in_slot.edd_at - at_once.edd_at == 5.5 * HOUR


def test_old_data_widens_what_is_uncertain_and_the_plan_says_so() -> None:
    fresh = with_transits(store_1=(10, 20, 40))
    of = msgspec.structs.replace(fresh, made_at=MONDAY_NOON - 107 * DAY)
    new = msgspec.structs.replace(fresh, made_at=MONDAY_NOON - 6 * DAY)
    old_answer, new_answer = ask(of, "store-1", hours=40), ask(new, "store-1", hours=40)
    assert old_answer.plan is not None
    assert new_answer.plan is not None
    assert new_answer.plan.stale == []
    (stale,) = old_answer.plan.stale
    assert (stale.source, stale.age_s, stale.widened_per_mille) == ("network", 107 * 86_400, 1_200)
    old, young = old_answer.plan.packages[0], new_answer.plan.packages[0]
    assert old.arrives_at > young.arrives_at
    assert old.edd_at is not None
    assert young.edd_at is not None
    assert abs(old.edd_at - young.edd_at) <= timedelta(minutes=10)
    assert old.on_time_per_mille is not None
    assert young.on_time_per_mille is not None
    assert old.on_time_per_mille < young.on_time_per_mille


def test_data_grows_no_less_certain_for_ever() -> None:
    of = msgspec.structs.replace(network(), made_at=MONDAY_NOON - 10_000 * DAY)
    plan = ask(of).plan
    assert plan is not None
    assert plan.stale[0].widened_per_mille == 2_000


def test_goods_that_are_picked_up_are_ready_when_the_node_says() -> None:
    found = package(network(), "store-1", kind="pick_up", hours=24)
    assert found.arrives_at == found.ready_at
    assert found.on_time_per_mille == 1_000


def test_a_network_with_distributions_travels_in_columns_and_keeps_its_hash() -> None:
    of = collected(900, weekdays=[1, 5])
    of = msgspec.structs.replace(
        of, made_at=MONDAY_NOON, nodes=changed(of.nodes, closed_on=[date(2025, 1, 29)])
    )
    arrived = decode_bulk(encode_bulk(of), Network)
    assert arrived == of
    assert parse_network(msgspec.json.encode(of)) == of
    assert Snapshot(arrived).digest == Snapshot(of).digest
    assert to_ms(MONDAY_NOON) == Snapshot(arrived).made_ms


@pytest.mark.parametrize(
    "spread_min, message",
    [([1, 2], "spread_min"), ([5] * 14 + [4], "none below its last")],
)
def test_quantiles_that_are_too_few_or_out_of_order_are_refused(
    spread_min: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Transit(transit_id="t", spread_min=spread_min)


def test_what_a_pickup_or_a_lane_names_must_exist() -> None:
    of = network()
    with pytest.raises(ValueError, match="a pickup names 'nobody'"):
        msgspec.structs.replace(
            of, pickups=[Pickup(node_id="nobody", service_id="standard", cutoff_min=900)]
        )
    with pytest.raises(ValueError, match="a lane names 'nothing'"):
        msgspec.structs.replace(of, lanes=changed(of.lanes, transit_id="nothing"))


def test_lanes_of_one_service_share_a_row_of_the_tables() -> None:
    of = network(services=[Service(service_id="standard", name="", weight_g_max=20_000)])
    snapshot = Snapshot(of)
    assert len(snapshot.tails) <= 2 + 2 * 2  # two overruns at the counter, and with two transits
