"""A count that finds less than is promised: some packages are told now that they will be short."""

import pytest

from shared.events import (
    OrderAccepted,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRequested,
    PickShort,
    StockCounted,
)
from shared.parts import CountLine
from tests.edge_pair import Pair
from tests.shop import NORTH, Shop, kinds, lines, payment, task_of


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """Three orders at dc-south with two units of sku-1 each, oldest first; one unit is free."""
    shop.grant("dc-south", sku_1=7)
    for number in range(3):
        shop.tell("till-1", payment(lines=lines("sku-1", quantity=2)), f"p{number}")
        shop.now_ms += 1_000
    return shop


def count(shop: Shop, units: int, node_id: str = "dc-south", sku: str = "sku-1") -> None:
    found = [CountLine(sku=sku, quantity=units)]
    shop.tell(node_id, StockCounted(node_id=node_id, lines=found))


def tasks(shop: Shop) -> list[PickRequested]:
    """Oldest first."""
    return [task.request for task in shop.store.issued_tasks(100)]


def shorts(shop: Shop) -> list[tuple[str, str, int]]:
    """Who was told which task lacks how many units."""
    from shared.envelope import decode_data

    found = [(d, decode_data(event)) for d, kind, event in shop.said if kind == "pick.short"]
    return [
        (device, told.task_id, sum(line.quantity for line in told.missing))
        for device, told in found
        if isinstance(told, PickShort)
    ]


def test_a_count_that_covers_what_is_promised_tells_nobody(busy: Shop) -> None:
    count(busy, 6)
    assert kinds(busy)[-1] == "stock.counted"
    assert shorts(busy) == []


def test_the_newest_packages_are_short_and_their_orders_look_elsewhere(busy: Shop) -> None:
    _, second, third = tasks(busy)
    busy.grant("store-1", sku_1=1)
    count(busy, 3)
    assert shorts(busy) == [("dc-south", third.task_id, 2), ("dc-south", second.task_id, 1)]
    stored = busy.store.task(third.task_id)
    assert stored is not None
    assert (stored.state, stored.lines) == ("rejected", [])
    stored = busy.store.task(second.task_id)
    assert stored is not None
    assert (stored.state, stored.lines[0].quantity) == ("issued", 1)
    logged = kinds(busy)[-6:]
    assert logged == [
        "stock.counted", "pick.short", "pick.short", "order.parked", "route.planned",
        "pick.requested",
    ]  # fmt: skip
    assert task_of(busy).node_id == "store-1"
    # Not out of the unit that is still in the share: the node does not count for these orders.
    assert busy.share("dc-south", "sku-1") == 1


def test_a_package_at_whose_shelf_somebody_stands_is_shortened_last(busy: Shop) -> None:
    first, second, third = tasks(busy)
    busy.report(PickAccepted, third.task_id)
    count(busy, 3)
    assert [task_id for _, task_id, _ in shorts(busy)] == [second.task_id, first.task_id]


def test_what_was_picked_or_packed_is_there_and_what_left_does_not_count(busy: Shop) -> None:
    first, second, third = tasks(busy)
    busy.report(PackageShipped, first.task_id)
    busy.report(PickCompleted, second.task_id)
    busy.report(PackagePacked, third.task_id)
    count(busy, 4)
    count(busy, 0)
    assert shorts(busy) == []


def test_a_count_that_comes_twice_or_again_shortens_once(busy: Shop) -> None:
    found = [CountLine(sku="sku-1", quantity=5)]
    for _ in range(2):
        busy.tell("dc-south", StockCounted(node_id="dc-south", lines=found), "c1")
    count(busy, 5)
    assert [units for _, _, units in shorts(busy)] == [1]


def test_only_the_counted_sku_at_the_counted_node_matters(busy: Shop) -> None:
    count(busy, 0, sku="sku-2")
    count(busy, 0, node_id="store-1")
    assert shorts(busy) == []


def test_lines_of_one_sku_are_shortened_one_after_the_other(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=5)
    wanted = [*lines("sku-1", quantity=2), *lines("sku-1", quantity=3)]
    shop.tell("till-1", payment(lines=wanted))
    count(shop, 2)
    told = shop.last("pick.short")
    assert sum(line.quantity for line in told.missing) == 3
    stored = shop.store.task(told.task_id)
    assert stored is not None
    assert sum(line.quantity for line in stored.lines) == 2


def test_after_a_short_by_count_the_warehouse_goes_on_with_the_rest(busy: Shop) -> None:
    count(busy, 5)
    ((_, task_id, _),) = shorts(busy)
    busy.report(PickAccepted, task_id)
    busy.report(PackageShipped, task_id)
    assert b'"quantity":1' in bytes(busy.log()[-1].data)


def test_the_order_s_edge_far_away_hears_of_it_through_the_ledger(tmp_path) -> None:
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=2)
    pair.one.tell("till-1", payment(lines=lines("sku-1", quantity=2), destination=NORTH))
    pair.carry()
    pair.one.grant("dc-south", sku_1=2)
    count(pair.two, 0, node_id="dc-north")
    assert "route.planned" not in kinds(pair.two)
    pair.carry()
    assert task_of(pair.one).node_id == "dc-south"
    assert isinstance(pair.one.last("order.accepted"), OrderAccepted)
