"""From a question to a plan: fences, groups, cost, promise, reasons."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.network import Snapshot
from edge.routing.known import Known
from edge.routing.question import Question, Routed, Want, group_wants
from edge.routing.router import route
from edge.stock import Stock
from shared.clock import to_datetime
from shared.network import Network, Node, Product
from shared.parts import Customer, Destination, Fulfilment, Plan
from shared.sourcing import Profile
from tests.routing_scene import with_node
from tests.shop import NOON_MS, NORTH, SOUTH, network

HOUR_MS = 3_600_000
ZERO = timedelta(0)
EVERYWHERE = [
    (node, f"sku-{number}", 9)
    for node in ("dc-south", "dc-north", "store-1")
    for number in range(6)
]


def ask(
    *wants: Want,
    cells: list[tuple[str, str, int]] = EVERYWHERE,
    of: Network | None = None,
    now_ms: int = NOON_MS,
    **changes: Any,
) -> Routed:
    snapshot = Snapshot(of or network())
    values: dict[str, Any] = {
        "wants": wants,
        "fulfilment": Fulfilment(kind="delivery"),
        "store_id": "store-1",
        "customer": Customer(),
        "destination": SOUTH,
    }
    return route(Known(snapshot, Stock(snapshot, cells)), Question(**(values | changes)), now_ms)


def plan(answer: Routed) -> Plan:
    assert answer.plan is not None, answer.shortages
    return answer.plan


def nodes(answer: Routed) -> list[str]:
    return [package.node_id for package in plan(answer).packages]


def codes(answer: Routed) -> dict[str, str]:
    return {exclusion.node_id: exclusion.code for exclusion in plan(answer).excluded}


ONE, TWO, THREE = Want(0, "sku-1", 1), Want(1, "sku-2", 1), Want(2, "sku-3", 1)


def test_the_cheapest_node_wins_and_the_cost_adds_up() -> None:
    answer = ask(ONE)
    assert nodes(answer) == ["store-1"]  # 200 handling + 500 tariff; dc-south handles for 300.
    assert plan(answer).cost.minor == plan(answer).packages[0].cost_minor == 700
    assert (plan(answer).bound_minor, plan(answer).optimal) == (700, True)


def test_one_package_beats_two_where_one_node_has_it_all() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-1", 1), ("dc-south", "sku-2", 1)]
    assert nodes(ask(ONE, TWO, cells=cells)) == ["dc-south"]


def test_an_order_is_split_where_no_node_has_it_all_and_pays_for_it() -> None:
    answer = ask(ONE, TWO, cells=[("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)])
    assert sorted(nodes(answer)) == ["dc-south", "store-1"]
    assert plan(answer).cost.minor == 700 + 800 + 400


def test_a_package_beyond_the_weight_limit_becomes_two() -> None:
    heavy = [Want(0, "sku-1", 9), Want(1, "sku-2", 9), Want(2, "sku-3", 9)]
    limited = msgspec.structs.replace(
        network(), services=[msgspec.structs.replace(network().services[0], weight_g_max=8_000)]
    )
    answer = ask(*heavy, of=limited)
    assert sorted(len(package.lines) for package in plan(answer).packages) == [1, 2]


def test_units_of_a_share_are_counted_for_all_lines_of_a_sku_together() -> None:
    twice = [Want(0, "sku-1", 5), Want(1, "sku-1", 5)]
    answer = ask(*twice)
    assert [shortage.reason for shortage in answer.shortages] == ["share", "share"]
    assert answer.plan is None


def test_lines_of_a_group_ship_together_or_wait_together() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1), ("dc-south", "sku-3", 1)]
    grouped = [Want(0, "sku-1", 1, "gift"), Want(1, "sku-2", 1, "gift"), THREE]
    answer = ask(*grouped, cells=cells)
    assert [line.line for package in plan(answer).packages for line in package.lines] == [2]
    assert {(x.line, x.reason) for x in answer.shortages} == {
        (0, "ship_together"), (1, "ship_together"),
    }  # fmt: skip


def test_groups_that_share_a_line_of_one_sku_become_one() -> None:
    wants = [Want(0, "a", 1, "x"), Want(1, "b", 1, "y"), Want(2, "a", 1, "y"), Want(3, "c", 1)]
    assert [[want.line for want in group] for group in group_wants(wants, True)] == [[0, 1, 2], [3]]
    assert [[want.line for want in group] for group in group_wants(wants, False)] == [[0, 1, 2, 3]]


def test_a_customer_who_refuses_splits_gets_one_package_or_waits() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)]
    answer = ask(ONE, TWO, cells=cells, customer=Customer(split_allowed=False))
    assert answer.plan is None
    assert {shortage.reason for shortage in answer.shortages} == {"ship_together"}


def test_more_packages_than_allowed_are_never_planned() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)]
    answer = ask(ONE, TWO, cells=cells, customer=Customer(packages_max=1))
    assert answer.plan is None
    assert {shortage.reason for shortage in answer.shortages} == {"packages_max"}


def test_what_fits_no_more_than_one_package_waits_for_one_node_whatever_is_held_where() -> None:
    one = Customer(packages_max=1)
    held = [
        [],
        [("store-1", "sku-1", 1)],
        [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)],
        [("dc-south", "sku-2", 1), ("dc-south", "sku-3", 1)],
    ]
    needs = [
        [(x.line, x.quantity, x.group, set(x.nodes)) for x in ask(
            ONE, TWO, THREE, cells=cells, customer=one).shortages]
        for cells in held
    ]  # fmt: skip
    assert needs[0] == [(line, 1, 0, {"store-1", "dc-south", "dc-north"}) for line in range(3)]
    assert needs == [needs[0]] * len(held)


def test_a_line_that_waits_though_it_is_held_names_where_it_is_held() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)]
    answer = ask(ONE, TWO, THREE, cells=cells, customer=Customer(packages_max=2))
    assert [(x.reason, x.group) for x in answer.shortages] == [
        ("packages_max", 0), ("packages_max", 1), ("share", 2),
    ]  # fmt: skip
    assert [x.nodes for x in answer.shortages[:2]] == [["store-1"], ["dc-south"]]
    late = ask(ONE, cells=cells, customer=Customer(packages_max=2), packages_used=2)
    assert [(x.reason, x.group) for x in late.shortages] == [("packages_max", -1)]


def test_what_waits_keeps_room_for_its_own_package() -> None:
    cells = [("store-1", "sku-1", 1), ("dc-south", "sku-2", 1)]
    limited = Customer(packages_max=2)
    assert ask(ONE, TWO, THREE, cells=cells, customer=limited).plan is None
    assert len(nodes(ask(ONE, TWO, cells=cells, customer=limited))) == 2
    assert ask(ONE, cells=cells, customer=limited, packages_used=2).plan is None


def test_a_store_ships_only_within_its_service_area() -> None:
    answer = ask(ONE, destination=NORTH)
    assert nodes(answer) == ["dc-north"]
    assert codes(answer)["store-1"] == "area"


def test_a_closed_node_is_out() -> None:
    answer = ask(ONE, of=with_node(network(), "store-1", status="closed"))
    assert nodes(answer) == ["dc-south"]
    assert codes(answer)["store-1"] == "closed"


def test_a_region_without_lanes_is_unroutable() -> None:
    answer = ask(ONE, destination=Destination(lat=43.8, lon=87.6, region="CN-XJ"))
    assert answer.plan is None
    assert [shortage.reason for shortage in answer.shortages] == ["unroutable"]


def test_a_line_too_heavy_for_every_service_is_unroutable() -> None:
    heavy = msgspec.structs.replace(
        network(),
        products=[msgspec.structs.replace(p, weight_g=30_000) for p in network().products],
    )
    answer = ask(ONE, of=heavy)
    assert [shortage.reason for shortage in answer.shortages] == ["unroutable"]


def test_each_node_that_is_out_has_its_reason() -> None:
    failed = ask(ONE, failed=frozenset({"dc-south"}))
    assert codes(failed)["dc-south"] == "failed_before"
    assert codes(ask(ONE, cells=[("dc-south", "sku-1", 1)]))["store-1"] == "share"
    picked_up = ask(ONE, fulfilment=Fulfilment(kind="pick_up", node_id="store-1"))
    assert codes(picked_up)["dc-south"] == "not_chosen_by_customer"


def test_the_promise_counts_opening_hours_handling_and_transit() -> None:
    day = plan(ask(ONE)).packages[0]
    assert day.ready_at == to_datetime(NOON_MS + HOUR_MS // 2)
    assert timedelta(minutes=-10) < day.arrives_at - day.ready_at - timedelta(hours=24) <= ZERO
    midnight_ms = NOON_MS + 12 * HOUR_MS
    night = plan(ask(ONE, now_ms=midnight_ms)).packages[0]
    assert night.node_id == "store-1"
    assert night.ready_at == to_datetime(midnight_ms + 9 * HOUR_MS + HOUR_MS // 2)


def test_lateness_costs_and_a_faster_node_can_win_by_it() -> None:
    cells = [("dc-north", "sku-1", 1), ("dc-south", "sku-1", 1)]
    relaxed = ask(ONE, cells=cells, destination=NORTH)
    assert nodes(relaxed) == ["dc-north"]
    far_only = ask(
        ONE,
        cells=cells[1:],
        destination=NORTH,
        fulfilment=Fulfilment(kind="delivery", deadline=to_datetime(NOON_MS + 63 * HOUR_MS)),
    )
    package = plan(far_only).packages[0]
    # One hour of handling and 72 of transit, as stated: a tenth of such packages is later.
    assert 9.5 * 3600 < package.late_s <= 10 * 3600
    assert package.on_time_per_mille is not None
    assert 800 < package.on_time_per_mille < 900
    assert package.cost_minor > 300 + 900


def test_a_deadline_in_another_millennium_breaks_nothing() -> None:
    for moment in ("0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"):
        deadline = msgspec.json.decode(f'"{moment}"', type=type(to_datetime(0)))
        answer = ask(ONE, fulfilment=Fulfilment(kind="delivery", deadline=deadline))
        assert nodes(answer) == ["store-1"]


def test_the_snapshot_hash_names_the_inputs() -> None:
    same = plan(ask(ONE))
    assert plan(ask(ONE)) == same
    other_stock = ask(ONE, cells=[*EVERYWHERE[:-1], ("store-1", "sku-1", 8)])
    assert plan(other_stock).snapshot != same.snapshot
    assert plan(ask(ONE, now_ms=NOON_MS + 1)).snapshot != same.snapshot
    other = network(profile=Profile(version="p2", packages_max=4))
    assert plan(ask(ONE, of=other)).snapshot != same.snapshot


def test_stock_of_an_unrelated_sku_does_not_change_the_plan() -> None:
    assert plan(ask(ONE, cells=[*EVERYWHERE, ("store-1", "sku-9", 1)])) == plan(ask(ONE))


@pytest.mark.parametrize("count", [11, 24, 120])
def test_orders_with_many_lines_are_planned_too_with_a_proven_gap(count: int) -> None:
    products = [f"sku-{number}" for number in range(count)]
    big = network(products=[Product(sku=sku, weight_g=100) for sku in products])
    cells = [(node, sku, 5) for node in ("dc-south", "store-1") for sku in products[::2]]
    cells += [("dc-south", sku, 5) for sku in products[1::2]]
    answer = ask(*[Want(i, sku, 1) for i, sku in enumerate(products)], cells=cells, of=big)
    found = plan(answer)
    lines = sorted(line.line for package in found.packages for line in package.lines)
    assert lines == list(range(count))
    assert 0 < found.bound_minor <= found.cost.minor
    assert found.optimal == (found.bound_minor == found.cost.minor)


def test_a_network_file_with_a_node_that_never_opens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opens_min must be before closes_min"):
        Node(
            node_id="n", name="", kind="dc", edge_id="e", lat=0.0, lon=0.0, region="r",
            opens_min=600, closes_min=600,
        )  # fmt: skip
