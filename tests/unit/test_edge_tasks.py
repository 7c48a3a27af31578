"""Pick tasks and cancellations: what warehouses report, what follows from it."""

import pytest

from shared.errors import (
    InvalidDataError,
    TopicMismatchError,
    UnknownOrderError,
    UnknownTaskError,
    WrongStateError,
)
from shared.events import (
    OrderCancelled,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickShort,
)
from shared.parts import Line, PlannedLine
from tests.shop import Shop, accepted, kinds, lines, payment, task_of

# What the warehouse reports.


@pytest.fixture
def picked(shop: Shop) -> Shop:
    """An order of three units of sku-1 and one of sku-2 at dc-south."""
    shop.grant("dc-south", sku_1=3, sku_2=1)
    shop.tell("till-1", payment(lines=[*lines("sku-1", quantity=3), *lines("sku-2")]), "p1")
    return shop


def test_a_package_goes_through_its_steps_and_each_is_logged_under_the_devices_name(
    picked: Shop,
) -> None:
    task = task_of(picked)
    for kind in (PickAccepted, PickCompleted, PackagePacked, PackageShipped, PackageDelivered):
        picked.report(kind, task.task_id)
    events = picked.log()[2:]
    assert kinds(picked)[2:] == [
        "pick.accepted", "pick.completed", "package.packed", "package.shipped",
        "package.delivered",
    ]  # fmt: skip
    assert {event.source for event in events} == {"/devices/dc-south"}
    assert {event.causationid for event in events} == {picked.log()[1].id}
    assert {event.correlationid for event in events} == {task.order_id}


def test_a_report_may_skip_steps_but_never_go_back(picked: Shop) -> None:
    task = task_of(picked)
    picked.report(PackagePacked, task.task_id)
    with pytest.raises(WrongStateError):
        picked.report(PickAccepted, task.task_id)
    with pytest.raises(WrongStateError):
        picked.report(PickShort, task.task_id, missing=task.lines)


def test_only_the_nodes_own_device_reports_on_its_tasks(picked: Shop) -> None:
    with pytest.raises(TopicMismatchError):
        picked.tell("store-1", PickAccepted(task_id=task_of(picked).task_id))
    with pytest.raises(UnknownTaskError):
        picked.tell("dc-south", PickAccepted(task_id="nobody's"))


def test_a_short_pick_finds_another_node(picked: Shop) -> None:
    picked.grant("store-1", sku_1=5)
    task = task_of(picked)
    picked.report(PickShort, task.task_id, missing=[PlannedLine(line=0, sku="sku-1", quantity=2)])
    planned = picked.last("route.planned")
    assert [(p.node_id, p.lines[0].quantity) for p in planned.plan.packages] == [("store-1", 2)]
    assert ("dc-south", "failed_before") in [(x.node_id, x.code) for x in planned.plan.excluded]
    assert picked.share("store-1", "sku-1") == 3
    picked.report(PackageShipped, task.task_id)
    shipped = picked.log()[-1]
    assert b'"quantity":1}' in bytes(shipped.data)  # One of three, and the line of sku-2.


def test_a_short_pick_that_finds_no_node_is_parked_until_the_node_gets_new_units(
    picked: Shop,
) -> None:
    task = task_of(picked)
    picked.report(PickShort, task.task_id, missing=[PlannedLine(line=0, sku="sku-1", quantity=3)])
    assert picked.last("order.parked").parked[0].quantity == 3
    picked.grant("dc-south", sku_1=3)
    picked.retry()
    assert picked.last("route.planned").plan.packages[0].node_id == "dc-south"


def test_a_rejected_pick_gives_its_units_back_and_is_not_sent_there_again(picked: Shop) -> None:
    task = task_of(picked)
    picked.report(PickRejected, task.task_id, reason="flooded")
    parked = picked.last("order.parked")
    assert sum(cell.quantity for cell in parked.released) == 4
    assert picked.share("dc-south", "sku-1") == 3
    picked.retry()
    assert kinds(picked)[-1] == "order.parked"
    with pytest.raises(WrongStateError):
        picked.report(PickAccepted, task.task_id)


@pytest.mark.parametrize(
    "missing",
    [
        [PlannedLine(line=0, sku="sku-1", quantity=4)],
        [PlannedLine(line=0, sku="sku-2", quantity=1)],
        [PlannedLine(line=5, sku="sku-1", quantity=1)],
        [PlannedLine(line=1, sku="sku-2", quantity=1)] * 2,
    ],
)
def test_more_missing_than_the_task_has_is_refused(
    picked: Shop, missing: list[PlannedLine]
) -> None:
    with pytest.raises(InvalidDataError):
        picked.report(PickShort, task_of(picked).task_id, missing=missing)
    assert kinds(picked)[-1] == "pick.requested"


# Cancellations.


def test_an_order_that_nobody_picks_yet_is_cancelled_whole(picked: Shop) -> None:
    order = accepted(picked)
    picked.tell("till-1", OrderCancelled(order_id=order.order_id, reason="wrong size"))
    outcome = picked.last("order.cancelled")
    assert outcome.withdrawn == [task_of(picked).task_id]
    assert outcome.too_late == []
    assert picked.share("dc-south", "sku-1") == 3
    told = {device for device, kind, _ in picked.said if kind == "order.cancelled"}
    assert told == {"till-1", "dc-south"}
    with pytest.raises(WrongStateError):
        picked.report(PickAccepted, outcome.withdrawn[0])


def test_a_part_that_is_cancelled_leaves_a_new_task_for_the_rest(picked: Shop) -> None:
    old = task_of(picked)
    gone = [PlannedLine(line=0, sku="sku-1", quantity=2)]
    picked.tell("till-1", OrderCancelled(order_id=old.order_id, lines=gone))
    new = task_of(picked)
    assert new.task_id != old.task_id
    assert [(x.sku, x.quantity) for x in new.lines] == [("sku-1", 1), ("sku-2", 1)]
    assert picked.share("dc-south", "sku-1") == 2


def test_what_a_warehouse_has_accepted_is_too_late_to_cancel(picked: Shop) -> None:
    task = task_of(picked)
    picked.report(PickAccepted, task.task_id)
    picked.tell("till-1", OrderCancelled(order_id=task.order_id))
    outcome = picked.last("order.cancelled")
    assert (outcome.withdrawn, outcome.released) == ([], [])
    assert sum(line.quantity for line in outcome.too_late) == 4
    picked.report(PackageShipped, task.task_id)


def test_parked_lines_that_are_cancelled_are_not_tried_again(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    shop.tell("till-1", OrderCancelled(order_id=accepted(shop).order_id))
    assert shop.last("order.cancelled").unparked[0].sku == "sku-1"
    shop.grant("dc-south", sku_1=3)
    assert shop.retry() == []


def test_the_same_cancellation_gets_the_same_answer(picked: Shop) -> None:
    cancel = OrderCancelled(order_id=accepted(picked).order_id)
    picked.tell("till-1", cancel, "c1")
    picked.tell("till-1", cancel, "c1")
    answers = [e for device, k, e in picked.said if k == "order.cancelled" and device == "till-1"]
    assert answers[0] == answers[1]
    with pytest.raises(UnknownOrderError):
        picked.tell("till-1", OrderCancelled(order_id="no-such-order"))


def test_two_shorts_on_one_line_are_one_shortage_and_no_unit_is_lost(picked: Shop) -> None:
    task = task_of(picked)
    one = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    picked.report(PickShort, task.task_id, missing=one)
    picked.report(PickShort, task.task_id, missing=one)
    assert [(x.line, x.quantity) for x in picked.last("order.parked").parked] == [(0, 2)]
    picked.grant("store-1", sku_1=2)
    picked.retry()
    assert [(x.line, x.quantity) for x in task_of(picked).lines] == [(0, 2)]


def test_goods_are_delivered_only_after_they_have_left(picked: Shop) -> None:
    task = task_of(picked)
    with pytest.raises(WrongStateError):
        picked.report(PackageDelivered, task.task_id)
    picked.report(PackageShipped, task.task_id)
    picked.report(PackageDelivered, task.task_id)


def test_a_cancellation_counts_only_what_the_order_still_holds(picked: Shop) -> None:
    order_id = task_of(picked).order_id
    one = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    picked.tell("till-1", OrderCancelled(order_id=order_id, lines=one))
    assert not picked.last("order.cancelled").nothing_left
    picked.tell("till-1", OrderCancelled(order_id=order_id))
    outcome = picked.last("order.cancelled")
    assert (outcome.nothing_left, outcome.too_late) == (True, [])
    picked.tell("till-1", OrderCancelled(order_id=order_id))
    assert picked.last("order.cancelled").too_late == []
    for wrong in (
        [PlannedLine(line=0, sku="sku-2", quantity=1)],
        [PlannedLine(line=7, sku="sku-1", quantity=1)],
        [PlannedLine(line=0, sku="sku-1", quantity=1)],
    ):
        with pytest.raises(InvalidDataError):
            picked.tell("till-1", OrderCancelled(order_id=order_id, lines=wrong))


def test_cancelling_what_held_a_group_up_frees_the_rest(shop: Shop) -> None:
    shop.grant("dc-south", sku_2=1)
    both = [
        Line(sku="sku-1", quantity=1, group="gift"),
        Line(sku="sku-2", quantity=1, group="gift"),
    ]
    shop.tell("till-1", payment(lines=both))
    order_id = accepted(shop).order_id
    gone = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    shop.tell("till-1", OrderCancelled(order_id=order_id, lines=gone))
    shop.retry()
    assert [x.sku for x in task_of(shop).lines] == ["sku-2"]
