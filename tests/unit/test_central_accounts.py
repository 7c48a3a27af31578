import pytest

from central.accounts import Balance, Book, postings
from shared.events import (
    OrderCancelled,
    OrderParked,
    PackageShipped,
    PickAccepted,
    PickShort,
    RoutePlanned,
    StockCounted,
    StockMoved,
)
from shared.parts import CellUnits, CountLine, PlannedLine, StockLine
from tests.central_scene import accepted, plan, received, returned, shortage

CELL = ("dc", "A")


def line(quantity):
    return [PlannedLine(line=0, sku="A", quantity=quantity)]


def booked(*events):
    book = Book()
    for data in events:
        for rule, cell, units in postings(data):
            book.post(rule, cell, units, "e1")
        assert all(book.conserved(cell) for cell in book.balances)
    return book


def test_stock_goes_from_pool_to_share_to_order_to_customer():
    book = booked(received("dc", A=10))
    book.post("grant", CELL, 6, "e1")
    for data in (
        accepted("o", plan("dc", "A", 4), quantity=4),
        PackageShipped(task_id="t", node_id="dc", lines=line(4)),
    ):
        for rule, cell, units in postings(data):
            book.post(rule, cell, units, "e1")
    assert book.balances[CELL] == Balance(pool=4, committed=0, shipped=4, received=10, adjusted=0)
    assert book.shares[CELL] == {"e1": 2}
    assert book.conserved(CELL)


def test_a_question_commits_nothing_and_a_later_plan_does():
    assert postings(RoutePlanned(plan=plan("dc", "A", 3))) == []
    assert postings(RoutePlanned(order_id="o")) == []
    released = [CellUnits(node_id="dc", sku="B", quantity=1)]
    later = RoutePlanned(plan=plan("dc", "A", 3), order_id="o", released=released)
    assert postings(later) == [("release", ("dc", "B"), 1), ("commit", CELL, 3)]


def test_released_units_return_to_the_share_of_the_edge():
    released = [CellUnits(node_id="dc", sku="A", quantity=2)]
    parked = OrderParked(order_id="o", parked=shortage("A", 2), released=released)
    cancelled = OrderCancelled(order_id="o", released=released)
    assert postings(parked) == postings(cancelled) == [("release", CELL, 2)]
    book = booked(cancelled)
    assert (book.balances[CELL].committed, book.shares[CELL]) == (-2, {"e1": 2})


def test_what_a_picker_cannot_find_does_not_exist():
    book = booked(received("dc", A=5), PickShort(task_id="t", node_id="dc", missing=line(2)))
    assert book.balances[CELL].on_hand() == 3
    assert book.balances[CELL].committed == -2


def test_what_a_count_has_found_missing_is_not_taken_off_twice():
    book = booked(received("dc", A=5))
    book.post("grant", CELL, 5, "e1")
    book.post("commit", CELL, 5, "e1")
    book.post("count", CELL, 3, "e1")
    assert book.balances[CELL].pool == -2
    short = PickShort(task_id="t", node_id="dc", missing=line(2), counted=True)
    for rule, cell, units in postings(short):
        book.post(rule, cell, units, "e1")
    assert book.balances[CELL] == Balance(pool=0, committed=3, shipped=0, received=5, adjusted=2)


def test_returned_units_are_the_pool_s():
    book = booked(received("dc", A=5))
    book.post("grant", CELL, 5, "e1")
    for rule, cell, units in postings(returned("dc", "A", 2)):
        book.post(rule, cell, units, "e1")
    assert (book.balances[CELL].pool, book.shares[CELL]) == (2, {"e1": 3})
    assert postings(returned("dc", "A", 0, recall=3)) == []


@pytest.mark.parametrize(
    "rule,pool,committed,adjusted",
    [
        ("commit", -2, 2, 0), ("release", 2, -2, 0), ("return", 0, 0, 0),
        ("leave_share", -2, 0, 2), ("miss", 0, -2, 2), ("counted", 2, -2, 0),
    ],
)  # fmt: skip
def test_what_is_late_moves_the_pool_instead_of_a_share(rule, pool, committed, adjusted):
    book = Book()
    book.post(rule, CELL, 2, "e1", late=True)
    assert book.balances[CELL] == Balance(pool=pool, committed=committed, adjusted=adjusted)
    assert (book.shares, book.demand.counts) == ({}, {})
    assert book.conserved(CELL)


def test_a_count_overrides_the_book_and_may_leave_a_debt():
    book = booked(received("dc", A=5))
    book.post("grant", CELL, 5, "e1")
    counted = StockCounted(node_id="dc", lines=[CountLine(sku="A", quantity=3)])
    for rule, cell, units in postings(counted):
        book.post(rule, cell, units, "e1")
    assert (book.balances[CELL].on_hand(), book.balances[CELL].pool) == (3, -2)
    book.post("count", CELL, 9, "e1")
    assert (book.balances[CELL].on_hand(), book.balances[CELL].pool) == (9, 4)
    assert book.conserved(CELL)


def test_moved_stock_leaves_its_node():
    moved = StockMoved(node_id="dc", to_node_id="s-e1", lines=[StockLine(sku="A", quantity=2)])
    book = booked(received("dc", A=5), moved)
    assert (book.balances[CELL].pool, book.balances[CELL].on_hand()) == (3, 3)


def test_reports_that_move_no_stock_move_none():
    assert postings(PickAccepted(task_id="t", node_id="dc")) == []
    # Without a node nothing can be booked; the hub notes it.
    assert postings(PackageShipped(task_id="t", lines=line(1))) == []
    assert postings(PickShort(task_id="t", missing=line(1))) == []


def test_a_ledger_read_in_another_order_gives_the_same_accounts():
    events = [
        received("dc", A=10),
        accepted("o", plan("dc", "A", 4), quantity=4),
        PackageShipped(task_id="t", node_id="dc", lines=line(4)),
    ]
    assert booked(*events).balances == booked(*reversed(events)).balances
