"""Known traps of other systems. Each names its source; the scenes are those of the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.clock import to_datetime
from shared.events import CapacityAnnounced
from shared.frames import Grant
from shared.parts import CellUnits, Fulfilment, Slot, slot_sku
from tests.edge_scene import Scene as Core
from tests.routing_scene import (
    Scene,
    a_lane,
    a_network,
    a_node,
    judged,
    nodes_of,
    plan_of,
    slots,
    want,
)
from tests.shop import (
    NOON_MS,
    Shop,
    accepted,
    lines,
    network,
    open_shop,
    payment,
)

ABC = a_network(
    *(a_node(name) for name in "ABC"), lanes=[a_lane(name, tariff_id="near") for name in "ABC"]
)


def units_of(scene: Scene, *quantities: int) -> dict[str, int]:
    wants = [want(line, quantity) for line, quantity in enumerate(quantities)]
    plan = plan_of(scene.ask(wants))
    return {p.node_id: sum(line.quantity for line in p.lines) for p in plan.packages}


def test_a_line_that_only_several_locations_have_together_is_shipped_whole() -> None:
    """solidusio/solidus issue 583: two units, one at each of two locations; one was forgotten."""
    scene = Scene(judged(ABC, split_lines=True), {"A": 1, "B": 1})
    assert units_of(scene, 2) == {"A": 1, "B": 1}


def test_no_third_location_is_drawn_on_where_two_have_enough() -> None:
    """solidusio/solidus issue 2122: A has 2, B 4, C 5; of five, A gave 2, B 2 and C 1."""
    scene = Scene(judged(ABC, split_lines=True), {"A": 2, "B": 4, "C": 5})
    assert units_of(scene, 5) == {"C": 5}
    scene.units = {"A": 2, "B": 4, "C": 4}
    found = units_of(scene, 6)
    assert len(found) == 2
    assert sum(found.values()) == 6


def test_a_greedy_first_choice_never_splits_what_one_node_has() -> None:
    """The same family: the cheapest node has the first line; only a dearer one has both."""
    of = a_network(
        a_node("A", handling_minor=0), a_node("B", handling_minor=300),
        lanes=[a_lane("A"), a_lane("B")],
    )  # fmt: skip
    scene = Scene(judged(of, split_cost_minor=400), {"A": {"sku-0": 1}, "B": 9})
    assert units_of(scene, 1, 1) == {"B": 2}


def test_what_is_confirmed_over_several_locations_is_reserved_at_each_of_them(
    tmp_path: Path,
) -> None:
    """medusajs/medusa issue 14987: the sum of all was confirmed, the first location debited."""
    shop = cutting_shop(tmp_path)
    shop.grant("store-1", sku_1=3)
    shop.grant("dc-south", sku_1=4)
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=6)), "p1")
    assert len(accepted(shop).plan.packages) == 2
    assert shop.share("store-1", "sku-1") + shop.share("dc-south", "sku-1") == 1
    assert min(shop.share("store-1", "sku-1"), shop.share("dc-south", "sku-1")) == 0


def cutting_shop(path: Path) -> Shop:
    shop = Shop(path / "edge.db")
    shop.feed(judged(network(), split_lines=True))
    return shop


def test_an_allocation_counts_what_is_allocated_already(tmp_path: Path) -> None:
    """vendurehq/vendure issue 4030: 10 and 15 in stock; after 13 went, the first still gave 10."""
    shop = cutting_shop(tmp_path)
    shop.grant("store-1", sku_1=10)
    shop.grant("dc-south", sku_1=15)
    promised = {"store-1": 0, "dc-south": 0}
    for number, quantity in enumerate((13, 9, 3)):
        event = f"p{number}"
        shop.tell("till-1", payment(lines=lines("sku-1", quantity=quantity)), event)
        assert accepted(shop).parked == []
        for package in accepted(shop).plan.packages:
            promised[package.node_id] += sum(line.quantity for line in package.lines)
    assert promised == {"store-1": 10, "dc-south": 15}
    shop.tell("till-1", payment(lines=lines("sku-1")), "p3")
    assert accepted(shop).plan is None


def test_a_pick_up_keeps_its_units_from_orders_that_ship(tmp_path: Path) -> None:
    """magento/inventory issue 2032: shipping 2 of a store's 5 units left a pick-up of 4 short."""
    shop = open_shop(tmp_path / "edge.db")
    shop.grant("store-1", sku_1=5)
    shop.grant("dc-south", sku_1=4)
    pick_up = Fulfilment(kind="pick_up", node_id="store-1")
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=4), fulfilment=pick_up), "p1")
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=2)), "p2")
    assert [p.node_id for p in accepted(shop).plan.packages] == ["dc-south"]
    # The other way round, the customer is told at once that the store has too little.
    shop.tell("till-1", payment(lines=lines("sku-1")), "p3")
    shop.tell("till-1", payment(lines=lines("sku-1"), fulfilment=pick_up), "p4")
    assert accepted(shop).plan is None
    assert [x.reason for x in accepted(shop).parked] == ["share"]
    assert shop.share("store-1", "sku-1") == 0


def test_two_payments_in_one_burst_never_both_get_the_last_unit(scene: Core) -> None:
    """magento/inventory issues 2032 and 2722: both had read the stock before either took it."""
    scene.grant("store-1", sku_1=1)
    burst = [scene.message(f"till-{n}", payment("sku-1"), f"p{n}") for n in (1, 2)]
    scene.turn(*burst)
    scene.elapsed_ms += 1_000  # The second has asked central in vain.
    scene.turn()
    plans = [data.plan for n in (1, 2) for _, data in scene.answers(f"p{n}")]
    assert [plan is not None for plan in plans] == [True, False]
    assert scene.share("store-1", "sku-1") == 0


@pytest.mark.parametrize("together", [True, False])
def test_a_limit_of_packages_is_kept_by_simultaneous_orders(scene: Core, together: bool) -> None:
    """TastyIgniter/TastyIgniter issues 541 and 732: more orders than the slot's limit got in."""
    slot = Slot(
        starts_at=to_datetime(NOON_MS), ends_at=to_datetime(NOON_MS + 3 * 3_600_000), packages=2
    )
    scene.tell("dc-south", CapacityAnnounced(node_id="dc-south", slots=[slot]), "c1")
    name = slot_sku(slot.starts_at)
    scene.grant("dc-south", sku_1=9)
    scene.feed(Grant(cells=[CellUnits(node_id="dc-south", sku=name, quantity=2)]))
    burst = [scene.message(f"till-{n}", payment("sku-1"), f"p{n}") for n in range(5)]
    for messages in [burst] if together else [[message] for message in burst]:
        scene.turn(*messages)
    answers = [data for n in range(5) for kind, data in scene.answers(f"p{n}")]
    assert [x.plan is not None for x in answers] == [True, True, False, False, False]
    assert {y.reason for x in answers for y in x.parked} == {"capacity"}


def test_orders_of_two_packages_use_the_room_that_is_left_one_by_one() -> None:
    """Ours: a slot with room for one package let an order that needs two wait for ever."""
    of = a_network(a_node("near"), lanes=[a_lane("near", tariff_id="near")])
    of = judged(of, split_cost_minor=0)
    answer = Scene(of, slots=slots(1)).ask([want(0, 40), want(1, 40)])
    assert nodes_of(answer) == ["near"]
    assert [x.reason for x in answer.shortages] == ["capacity"]
