"""Pick capacity: a cell like any other, shared out and never promised twice."""

from pathlib import Path

import pytest

from shared.clock import to_datetime, to_ms
from shared.errors import TopicMismatchError
from shared.events import CapacityAnnounced, OrderCancelled, PickRejected, PickShort
from shared.parts import CellUnits, PlannedLine, Slot, slot_sku
from tests.shop import NOON_MS, Shop, accepted, network, open_shop, payment, task_of

HOUR_MS = 3_600_000
MORNING = slot_sku(to_datetime(NOON_MS))
EVENING = slot_sku(to_datetime(NOON_MS + 6 * HOUR_MS))


def announced(node_id: str, *starts_h: int, packages: int = 10) -> CapacityAnnounced:
    slots = [
        Slot(
            starts_at=to_datetime(NOON_MS + hour * HOUR_MS),
            ends_at=to_datetime(NOON_MS + (hour + 3) * HOUR_MS),
            packages=packages,
        )
        for hour in starts_h
    ]
    return CapacityAnnounced(node_id=node_id, slots=slots)


def slotted(path: Path) -> Shop:
    """A shop whose southern centre picks at noon and in the evening, one package each."""
    shop = open_shop(path)
    shop.tell("dc-south", announced("dc-south", 0, 6))
    shop.grant("dc-south", sku_1=10, sku_2=10)
    shop.do_grant(CellUnits(node_id="dc-south", sku=MORNING, quantity=1))
    shop.do_grant(CellUnits(node_id="dc-south", sku=EVENING, quantity=1))
    return shop


def test_a_package_takes_the_first_slot_with_room(tmp_path: Path) -> None:
    shop = slotted(tmp_path / "edge.db")
    shop.tell("till-1", payment("sku-1"), "p1")
    assert accepted(shop).plan.packages[0].slot == MORNING
    assert task_of(shop).slot == MORNING
    assert shop.engine.state.slots.share("dc-south", MORNING) == 0


def test_a_later_slot_means_a_later_promise(tmp_path: Path) -> None:
    shop = slotted(tmp_path / "edge.db")
    shop.tell("till-1", payment("sku-1"), "p1")
    first = accepted(shop).plan.packages[0]
    shop.tell("till-1", payment("sku-1"), "p2")
    second = accepted(shop).plan.packages[0]
    assert second.slot == EVENING
    assert to_ms(second.ready_at) == NOON_MS + 6 * HOUR_MS
    assert second.arrives_at > first.arrives_at


def test_without_a_slot_an_order_waits_and_a_new_slot_wakes_it(tmp_path: Path) -> None:
    shop = slotted(tmp_path / "edge.db")
    for number in range(3):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
    parked = accepted(shop).parked
    assert [x.reason for x in parked] == ["capacity"]
    assert accepted(shop).plan is None
    shop.do_grant(CellUnits(node_id="dc-south", sku=EVENING, quantity=1))
    shop.retry()
    assert shop.last("route.planned").plan.packages[0].slot == EVENING


def test_what_nobody_can_pick_at_one_node_goes_from_another_that_is_granted_it(
    tmp_path: Path,
) -> None:
    shop = slotted(tmp_path / "edge.db")
    for number in range(3):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
    parked = accepted(shop).parked[0]
    assert (parked.reason, parked.group) == ("capacity", 0)
    assert set(parked.nodes) == {"store-1", "dc-north"}
    shop.grant("store-1", sku_1=1)
    shop.retry()
    assert shop.last("route.planned").plan.packages[0].node_id == "store-1"


def test_a_question_names_the_nodes_that_cannot_pick(tmp_path: Path) -> None:
    shop = slotted(tmp_path / "edge.db")
    for number in range(2):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
    shop.grant("store-1", sku_1=1)
    shop.tell("till-1", payment("sku-1"), "p2")
    plan = accepted(shop).plan
    assert plan.packages[0].node_id == "store-1"
    assert {x.node_id: x.code for x in plan.excluded}["dc-south"] == "capacity"


def test_slots_survive_a_restart(tmp_path: Path) -> None:
    shop = slotted(tmp_path / "edge.db")
    shop.tell("till-1", payment("sku-1"), "p1")
    shop.restart()
    shop.tell("till-1", payment("sku-1"), "p2")
    assert accepted(shop).plan.packages[0].slot == EVENING


@pytest.mark.parametrize("how", ["rejected", "short", "cancelled"])
def test_a_package_that_comes_to_nothing_frees_its_slot(tmp_path: Path, how: str) -> None:
    shop = slotted(tmp_path / "edge.db")
    shop.tell("till-1", payment("sku-1"), "p1")
    task = task_of(shop)
    if how == "rejected":
        shop.report(PickRejected, task.task_id)
    elif how == "short":
        missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
        shop.report(PickShort, task.task_id, missing=missing)
    else:
        shop.tell("till-1", OrderCancelled(order_id=task.order_id))
    assert shop.engine.state.slots.share("dc-south", MORNING) == 1
    assert {(n, s): u for n, s, u in shop.store.cells()}["dc-south", MORNING] == 1
    shop.restart()
    assert shop.engine.state.slots.share("dc-south", MORNING) == 1


def test_one_plan_never_puts_two_packages_into_room_for_one(tmp_path: Path) -> None:
    # Two lines too heavy for one package: both would go from the same node.
    heavy = [type(product)(sku=product.sku, weight_g=15_000) for product in network().products]
    shop = Shop(tmp_path / "edge.db")
    shop.feed(network(products=heavy))
    shop.grant("dc-south", sku_1=5, sku_2=5)
    shop.tell("till-1", payment("sku-1", "sku-2"), "p1")
    assert len(accepted(shop).plan.packages) == 2
    shop.tell("dc-south", announced("dc-south", 0))
    shop.do_grant(CellUnits(node_id="dc-south", sku=MORNING, quantity=1))
    shop.tell("till-1", payment("sku-1", "sku-2"), "p2")
    plan = accepted(shop).plan
    assert plan is None or len(plan.packages) <= 1
    assert shop.engine.state.slots.share("dc-south", MORNING) >= 0


def test_only_the_node_itself_announces_its_capacity(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "edge.db")
    with pytest.raises(TopicMismatchError):
        shop.tell("store-1", announced("dc-south", 0))
