import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.accounts import Book
from central.desk import Waiting
from central.escrow import EvenPolicy
from central.territory import Territory, territory_of
from tests.central_scene import network

TERRITORY = territory_of(network(edges=("e1", "e2", "e3")))
DC = ("dc", "A")


def book_with(units, shares=None, cell=DC):
    book = Book()
    book.post("receive", cell, units, "")
    for edge_id, share in (shares or {}).items():
        book.post("grant", cell, share, edge_id)
    return book


def settled(book, reserve=0.2, territory=TERRITORY):
    grants = {}
    EvenPolicy(reserve).settle(book, territory, list(book.balances), grants)
    return dict(sorted(grants.items()))


def forget_moves(book):
    book.moves.clear()
    book.share_moves.clear()
    return book


def test_a_store_s_stock_belongs_to_its_home_edge():
    cell = ("s-e2", "A")
    assert settled(book_with(7, cell=cell)) == {"e2": {cell: 7}}


def test_a_distribution_centre_is_shared_evenly_and_keeps_a_reserve():
    book = book_with(100)
    grants = settled(book)
    assert sorted(cells[DC] for cells in grants.values()) == [26, 27, 27]
    assert book.balances[DC].pool == 20


def test_the_last_units_are_never_idle():
    assert settled(book_with(1)).values()


def test_odd_units_go_to_different_edges_in_different_cells():
    lucky = {next(iter(settled(book_with(1, cell=("dc", f"K{i}"))))) for i in range(30)}
    assert lucky == {"e1", "e2", "e3"}


def test_a_share_that_runs_low_is_topped_up_to_half_of_its_target():
    book = forget_moves(book_with(100, {"e1": 26, "e2": 26, "e3": 26}))
    book.post("commit", DC, 21, "e1")
    assert settled(book) == {"e1": {DC: 6}}  # even target of 79 free units: 21 or 22


def test_a_share_that_is_not_low_is_left_alone():
    book = forget_moves(book_with(100, {"e1": 26, "e2": 26, "e3": 26}))
    book.post("commit", DC, 15, "e1")
    assert settled(book) == {}


def test_new_stock_goes_first_to_who_has_least():
    book = forget_moves(book_with(30, {"e1": 20, "e2": 4, "e3": 0}))
    book.post("receive", DC, 6, "e1")
    grants = settled(book)
    assert grants["e3"][DC] >= grants.get("e2", {}).get(DC, 0)
    assert "e1" not in grants


def test_a_debt_is_never_granted():
    book = book_with(5, {"e1": 5})
    book.post("count", DC, 2, "e1")
    assert settled(book) == {}
    policy = EvenPolicy(0.2)
    assert policy.relieve(book, [Waiting("o", 0, "e1", "A", 3, "share")], {}) == []


def test_stock_of_an_unknown_node_waits_for_its_network():
    book = book_with(5)
    assert settled(book, territory=Territory()) == {}
    assert settled(book) != {}


def test_a_parked_line_gets_what_it_lacks_even_from_the_reserve():
    book = book_with(10, {"e1": 4, "e2": 4})
    line = Waiting("o", 0, "e1", "A", 2, "share")
    grants = {}
    assert EvenPolicy(0.2).relieve(book, [line], grants) == [line]
    assert (grants, line.granted, book.balances[DC].pool) == ({"e1": {DC: 2}}, 2, 0)


def test_older_orders_are_relieved_first_and_fuller_pools_are_asked_first():
    book = book_with(3)
    book.post("receive", ("dc2", "A"), 5, "")
    young = Waiting("02", 0, "e1", "A", 6, "share")
    old = Waiting("01", 0, "e2", "A", 4, "share")
    grants = {}
    EvenPolicy(0.2).relieve(book, [young, old], grants)
    assert grants["e2"] == {("dc2", "A"): 4}
    assert grants["e1"] == {("dc", "A"): 3, ("dc2", "A"): 1}
    assert (old.granted, young.granted) == (4, 4)


@pytest.mark.parametrize("reason", ["unroutable", "packages_max"])
def test_units_do_not_help_a_line_that_lacks_a_way(reason):
    line = Waiting("o", 0, "e1", "A", 2, reason)
    assert EvenPolicy(0.2).relieve(book_with(9), [line], {}) == []


@given(
    pool=st.integers(0, 10_000),
    shares=st.lists(st.integers(0, 5_000), min_size=3, max_size=3),
    reserve=st.floats(0, 1),
)
def test_grants_never_exceed_the_pool_and_are_always_the_same(pool, shares, reserve):
    def play():
        book = book_with(pool + sum(shares), dict(zip(TERRITORY.edges, shares, strict=True)))
        grants = settled(forget_moves(book), reserve)
        assert book.balances[DC].pool >= 0
        assert book.conserved(DC)
        given_out = sum(cells[DC] for cells in grants.values())
        assert given_out == pool - book.balances[DC].pool
        return grants

    assert play() == play()
