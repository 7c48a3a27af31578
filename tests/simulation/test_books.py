"""The simulator's own books, and that its checks can fail."""

import pytest

from deploy.sim.agenda import Agenda
from deploy.sim.books import Effect, ViolationError, counts, effects, late_units, uncovered
from deploy.sim.checks import Checks
from deploy.sim.scenario import Scenario, draw_world
from shared.events import (
    OrderCancelled,
    PickShort,
    RoutePlanned,
    ShareReturned,
    StockCounted,
    StockMoved,
    StockReceived,
)
from shared.parts import CellUnits, CountLine, PlannedLine, StockLine

CELL = ("dc-1", "sku-1")
UNITS = [CellUnits(node_id="dc-1", sku="sku-1", quantity=2)]


@pytest.fixture
def checks():
    return Checks(Agenda(), draw_world(Scenario(seed=1, edges=2)))


def test_goods_that_come_are_made_and_goods_that_are_missed_are_not():
    received = StockReceived(node_id="dc-1", lines=[StockLine(sku="sku-1", quantity=5)])
    assert effects(received) == [Effect(CELL, 0, 0, 5)]
    missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    assert effects(PickShort(task_id="t", node_id="dc-1", missing=missing)) == [
        Effect(CELL, 0, -1, -1)
    ]
    # A count has taken it away before.
    assert effects(PickShort(task_id="t", node_id="dc-1", missing=missing, counted=True)) == [
        Effect(CELL, 0, -1, 0)
    ]


def test_released_units_go_back_to_the_share():
    assert effects(OrderCancelled(order_id="o", released=UNITS)) == [Effect(CELL, 2, -2)]


def test_an_answer_to_a_question_moves_nothing():
    assert effects(RoutePlanned()) == []


def test_goods_moved_away_beyond_the_share_are_uncovered():
    moved = StockMoved(
        node_id="dc-1",
        to_node_id="dc-2",
        lines=[StockLine(sku="sku-1", quantity=5)],
        from_share=UNITS,
    )
    assert uncovered(moved, effects(moved)) == {CELL: 3}
    assert late_units(moved, effects(moved)) == {CELL: 2}


def test_a_return_from_an_old_epoch_takes_nothing():
    returned = ShareReturned(cells=UNITS, recall=1)
    assert late_units(returned, effects(returned)) == {}


def test_a_count_is_read():
    counted = StockCounted(node_id="dc-1", lines=[CountLine(sku="sku-1", quantity=0)])
    assert counts(counted) == {CELL: 0}


def test_more_promised_than_there_is_is_a_violation(checks):
    checks.made[CELL] = 3
    checks.books["edge-1"].share = {CELL: 2}
    checks.owed[CELL] = 1
    checks._weigh([CELL], {})
    checks.books["edge-2"].coming = {1: [(CELL, 1)]}
    with pytest.raises(ViolationError, match="P1"):
        checks._weigh([CELL], {})


def test_a_debt_that_somebody_has_made_is_none_but_must_not_grow(checks):
    checks.made[CELL] = 1
    checks.owed[CELL] = 3
    checks._weigh([CELL], {CELL: 2})
    checks._weigh([CELL], {})
    checks.owed[CELL] = 4
    with pytest.raises(ViolationError, match="P1"):
        checks._weigh([CELL], {})


def test_a_share_that_nobody_granted_is_a_violation(checks):
    book = checks.books["edge-1"]
    book.central_share = {CELL: 4}
    book.coming = {3: [(CELL, 1)]}
    book.pending = {CELL: -1}
    book.share = {CELL: 2}
    checks._balance(book)
    book.share = {CELL: 3}
    with pytest.raises(ViolationError, match="P2"):
        checks._balance(book)


def test_taking_a_task_back_that_is_being_picked_is_a_violation(checks):
    book = checks.books["edge-1"]
    checks._picked.add("task")
    with pytest.raises(ViolationError, match="P1"):
        checks._check_withdrawal(book, OrderCancelled(order_id="o", withdrawn=["task"]))
