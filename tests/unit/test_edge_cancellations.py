"""Cancelling what other edges' nodes have been asked to pick, and payments taken twice."""

from pathlib import Path

import pytest

from shared.errors import InvalidDataError
from shared.events import (
    OrderAccepted,
    OrderCancelled,
    PickAccepted,
    PickKept,
    PickRejected,
    PickShort,
    PickWithdrawn,
)
from shared.parts import Fulfilment, PlannedLine, TaskAt
from tests.edge_pair import Pair
from tests.edge_scene import event_of
from tests.shop import NORTH, Shop, accepted, kinds, lines, payment, task_of


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """An order of three units of sku-1 and one of sku-2, all to be picked at dc-north."""
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=3, sku_2=1)
    wanted = [*lines("sku-1", quantity=3), *lines("sku-2")]
    pair.one.tell("till-1", payment(lines=wanted, destination=NORTH), "p1")
    pair.carry()
    return pair


def cancel(pair: Pair, *named: tuple[int, int]) -> OrderCancelled:
    """Cancel units of lines; none: the whole order. Returns the till's answer."""
    found = [PlannedLine(line=n, sku=f"sku-{n + 1}", quantity=units) for n, units in named]
    order_id = accepted(pair.one).order_id
    pair.one.tell("till-1", OrderCancelled(order_id=order_id, lines=found))
    return told(pair)


def told(pair: Pair) -> OrderCancelled:
    answer: OrderCancelled = pair.one.last("order.cancelled")
    return answer


def held(pair: Pair) -> dict[int, int]:
    order = pair.one.store.order(accepted(pair.one).order_id)
    assert order is not None
    units: dict[int, int] = {}
    for package in order.packages:
        for line in package.lines:
            units[line.line] = units.get(line.line, 0) + line.quantity
    return units


def pending(pair: Pair) -> dict[str, dict[int, int]]:
    order = pair.one.store.order(accepted(pair.one).order_id)
    assert order is not None
    return order.cancelling


def test_the_other_edge_is_asked_and_until_it_answers_nothing_is_given_back(pair: Pair) -> None:
    task = pair.warehouse()
    answer = cancel(pair)
    assert answer.asked == [TaskAt(task_id=task.task_id, node_id="dc-north")]
    assert (answer.withdrawn, answer.released, answer.too_late) == ([], [], [])
    assert not answer.nothing_left
    assert pair.one.share("dc-north", "sku-1") == 0
    assert held(pair) == {0: 3, 1: 1}


def test_a_task_that_nobody_has_accepted_is_withdrawn_there_and_its_units_come_back_here(
    pair: Pair,
) -> None:
    task = pair.warehouse()
    cancel(pair)
    pair.carry()
    assert isinstance(pair.two.last("pick.withdrawn"), PickWithdrawn)
    stored = pair.two.store.task(task.task_id)
    assert stored is not None
    assert stored.state == "withdrawn"
    answer = told(pair)
    assert (answer.withdrawn, answer.nothing_left) == ([task.task_id], True)
    assert {cell.sku: cell.quantity for cell in answer.released} == {"sku-1": 3, "sku-2": 1}
    assert pair.one.share("dc-north", "sku-1") == 3
    assert (held(pair), pending(pair)) == ({}, {})


def test_a_task_that_was_accepted_is_kept_and_the_till_hears_that_it_is_too_late(
    pair: Pair,
) -> None:
    pair.two.report(PickAccepted, pair.warehouse().task_id)
    cancel(pair)
    pair.carry()
    assert kinds(pair.two)[-1] == "pick.kept"
    assert not [x for x in pair.two.said if x[1] == "pick.kept"]
    answer = told(pair)
    assert [(x.line, x.quantity) for x in answer.too_late] == [(0, 3), (1, 1)]
    assert (answer.withdrawn, answer.nothing_left) == ([], False)
    assert (held(pair), pending(pair)) == ({0: 3, 1: 1}, {})


def test_what_remains_of_a_withdrawn_task_is_asked_for_anew(pair: Pair) -> None:
    first = pair.warehouse()
    cancel(pair, (0, 2))
    pair.carry()
    answer = told(pair)
    assert [(x.sku, x.quantity) for x in answer.released] == [("sku-1", 2)]
    second = pair.warehouse()
    assert second.task_id != first.task_id
    assert [(x.line, x.quantity) for x in second.lines] == [(0, 1), (1, 1)]
    assert held(pair) == {0: 1, 1: 1}
    pair.two.report(PickAccepted, second.task_id)


def test_an_answer_counts_once(pair: Pair) -> None:
    task = pair.warehouse()
    cancel(pair, (0, 2))
    pair.carry()
    before = len(pair.one.log())
    for kind in (PickWithdrawn, PickKept):
        late = kind(task_id=task.task_id, node_id="dc-north", home_edge_id="edge-1")
        assert pair.one.feed((event_of("edge-2", late, task.order_id), late)).fault is None
    assert len(pair.one.log()) == before
    assert pair.one.share("dc-north", "sku-1") == 2


def test_an_order_that_is_cancelled_twice_is_asked_for_once_and_nothing_is_called_late(
    pair: Pair,
) -> None:
    cancel(pair)
    again = cancel(pair)
    assert (again.asked, again.too_late, again.withdrawn) == ([], [], [])
    pair.carry()
    assert kinds(pair.two).count("pick.withdrawn") == 1
    assert told(pair).nothing_left
    assert pair.one.share("dc-north", "sku-1") == 3


def test_units_that_are_being_cancelled_cannot_be_named_again(pair: Pair) -> None:
    cancel(pair, (0, 2))
    with pytest.raises(InvalidDataError) as caught:
        cancel(pair, (0, 2))
    assert caught.value.place == "$.data.lines[0].quantity"
    pair.carry()
    assert held(pair) == {0: 1, 1: 1}


def test_more_of_a_task_that_is_being_cancelled_is_too_late(pair: Pair) -> None:
    cancel(pair, (0, 2))
    answer = cancel(pair)
    assert [(x.line, x.quantity) for x in answer.too_late] == [(0, 1), (1, 1)]
    pair.carry()
    assert held(pair) == {0: 1, 1: 1}


def test_a_package_that_goes_short_while_its_cancellation_is_pending_is_not_looked_for_elsewhere(
    pair: Pair,
) -> None:
    pair.one.grant("dc-south", sku_1=9)
    cancel(pair, (0, 2))
    missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    pair.two.report(PickShort, pair.warehouse().task_id, missing=missing)
    pair.carry()
    assert pair.one.share("dc-south", "sku-1") == 9
    assert pair.one.share("dc-north", "sku-1") == 1  # Of two to be cancelled one was missing.
    assert held(pair) == {0: 1, 1: 1}
    assert pending(pair) == {}


def test_a_package_that_goes_short_by_more_than_is_cancelled_is_replanned_for_the_rest(
    pair: Pair,
) -> None:
    pair.one.grant("dc-south", sku_1=9)
    cancel(pair, (0, 1))
    missing = [PlannedLine(line=0, sku="sku-1", quantity=3)]
    pair.two.report(PickShort, pair.warehouse().task_id, missing=missing)
    pair.carry()
    assert task_of(pair.one).node_id == "dc-south"
    assert pair.one.share("dc-south", "sku-1") == 7
    assert held(pair) == {0: 2, 1: 1}
    assert pending(pair) == {}


def test_a_package_that_is_rejected_while_its_cancellation_is_pending_is_over(pair: Pair) -> None:
    pair.one.grant("dc-south", sku_1=9, sku_2=9)
    cancel(pair)
    pair.two.report(PickRejected, pair.warehouse().task_id)
    pair.carry()
    assert told(pair).nothing_left
    assert (held(pair), pending(pair)) == ({}, {})
    assert pair.one.share("dc-north", "sku-1") == 3
    assert pair.one.share("dc-south", "sku-1") == 9


def test_a_rejected_package_is_replanned_without_what_was_to_be_cancelled(pair: Pair) -> None:
    pair.one.grant("dc-south", sku_1=9, sku_2=9)
    cancel(pair, (0, 2))
    pair.two.report(PickRejected, pair.warehouse().task_id)
    pair.carry()
    assert held(pair) == {0: 1, 1: 1}
    assert pair.one.share("dc-south", "sku-1") == 8
    assert pair.one.share("dc-north", "sku-1") == 3
    assert pending(pair) == {}


def test_what_waits_is_cancelled_first_then_what_is_here_then_what_is_afar(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=2)
    pair.one.tell("till-1", payment(lines=lines("sku-1", quantity=2), destination=NORTH))
    pair.one.grant("dc-south", sku_2=2)
    wanted = [*lines("sku-1", quantity=1), *lines("sku-2", quantity=2)]
    pair.one.tell("till-1", payment(lines=wanted), "p2")
    answer = cancel(pair)
    assert [(x.line, x.quantity) for x in answer.unparked] == [(0, 1)]
    assert [(x.sku, x.quantity) for x in answer.released] == [("sku-2", 2)]
    assert (answer.asked, answer.nothing_left) == ([], True)


def test_goods_that_were_carried_out_of_another_edge_s_store_are_never_asked_for(
    pair: Pair,
) -> None:
    pair.one.grant("store-1", sku_1=2)
    paid = payment("sku-1", fulfilment=Fulfilment(kind="carry_out"))
    pair.one.tell("till-1", paid, "p2")
    answer = cancel(pair)
    assert (answer.asked, answer.withdrawn) == ([], [])
    assert [(x.line, x.quantity) for x in answer.too_late] == [(0, 1)]
    assert pair.one.share("store-1", "sku-1") == 1


def test_a_restart_does_not_forget_what_is_being_cancelled(pair: Pair) -> None:
    cancel(pair)
    pair.one.restart()
    pair.two.restart()
    pair.carry()
    assert told(pair).nothing_left


def test_an_edge_that_lost_the_task_keeps_it(pair: Pair) -> None:
    asked = OrderCancelled(
        order_id=pair.warehouse().order_id, asked=[TaskAt(task_id="gone", node_id="dc-north")]
    )
    decision = pair.two.feed((event_of("edge-1", asked, asked.order_id), asked))
    assert decision.fault is None
    assert kinds(pair.two)[-1] == "pick.kept"
    assert b'"home_edge_id":"edge-1"' in bytes(pair.two.log()[-1].data)


def test_tasks_at_nodes_of_a_third_edge_are_left_to_it(pair: Pair) -> None:
    asked = OrderCancelled(order_id="o", asked=[TaskAt(task_id="t", node_id="dc-south")])
    before = len(pair.two.log())
    pair.two.feed((event_of("edge-1", asked, "o"), asked))
    assert len(pair.two.log()) == before


# One payment at two edges.


def test_the_edge_whose_acceptance_came_second_lets_go_of_the_order(tmp_path: Path) -> None:
    shop = Pair(tmp_path).one
    shop.grant("dc-south", sku_1=2)
    shop.tell("till-1", payment("sku-1", "sku-2"), "p1")
    first = accepted(shop)
    event = event_of("edge-2", first, first.order_id)
    shop.feed((event, first))
    answer = shop.last("order.cancelled")
    assert (answer.nothing_left, answer.reason) == (True, "accepted before by /edges/edge-2")
    assert [(x.line, x.quantity) for x in answer.unparked] == [(1, 1)]
    assert shop.share("dc-south", "sku-1") == 2
    before = len(shop.log())
    shop.feed((event, first))  # Again, as a new item: nothing is left to let go of.
    assert len(shop.log()) == before
    shop.grant("dc-south", sku_2=1)
    assert shop.retry() == []


def test_what_a_warehouse_has_accepted_goes_out_from_both(tmp_path: Path) -> None:
    shop = Pair(tmp_path).one
    shop.grant("dc-south", sku_1=2)
    shop.tell("till-1", payment("sku-1"), "p1")
    shop.report(PickAccepted, task_of(shop).task_id)
    first = accepted(shop)
    shop.feed((event_of("edge-2", first, first.order_id), first))
    answer = shop.last("order.cancelled")
    assert [(x.line, x.quantity) for x in answer.too_late] == [(0, 1)]
    assert not answer.nothing_left


def test_an_acceptance_of_an_order_that_is_not_here_is_nothing(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"), "p1")
    first = accepted(shop)
    other = OrderAccepted(
        order_id="other", payment_source="/devices/x", payment_event_id="x", payment=first.payment
    )
    before = len(shop.log())
    assert shop.feed((event_of("edge-2", other, "other"), other)).fault is None
    assert len(shop.log()) == before
