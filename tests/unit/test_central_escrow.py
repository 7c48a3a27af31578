import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.accounts import Book
from central.demand import HALF_LIFE_MS, Demand
from central.escrow import DemandPolicy, Handout, Situation
from central.relief import Need
from central.territory import Territory, territory_of
from tests.central_scene import NOW_MS, network

EDGES = ("e1", "e2", "e3")
TERRITORY = territory_of(network(edges=EDGES))
ALL = Situation(TERRITORY, present=frozenset(EDGES))
DC = ("dc", "A")
TEN_YEARS_MS = 10 * 365 * 24 * 3_600_000


def book_with(units, shares=None, cell=DC):
    book = Book(demand=Demand(NOW_MS))
    book.post("receive", cell, units, "")
    for edge_id, share in (shares or {}).items():
        book.post("grant", cell, share, edge_id)
    return book


def handed_out(book, reserve=0.2, situation=ALL, floor=2):
    handout = Handout()
    DemandPolicy(reserve, floor).settle(book, situation, list(book.balances), handout)
    return handout


def settled(book, reserve=0.2, situation=ALL, floor=2):
    return dict(sorted(handed_out(book, reserve, situation, floor).grants.items()))


def forget_moves(book):
    book.moves.clear()
    book.share_moves.clear()
    return book


def sells(book, edge_id, units, cell=DC):
    """The edge has sold so much lately, of other stock than is in the book."""
    book.demand.add(edge_id, cell, units)
    return book


def test_a_store_s_stock_belongs_to_its_home_edge():
    cell = ("s-e2", "A")
    assert settled(book_with(7, cell=cell)) == {"e2": {cell: 7}}


def test_where_nothing_has_sold_a_distribution_centre_is_shared_evenly_and_keeps_a_reserve():
    book = book_with(100)
    grants = settled(book)
    assert sorted(cells[DC] for cells in grants.values()) == [26, 27, 27]
    assert book.balances[DC].pool == 20


def test_stock_goes_where_it_sells_and_every_edge_gets_the_floor():
    book = sells(sells(book_with(100), "e1", 300), "e2", 97)
    grants = settled(book)
    assert grants == {"e1": {DC: 58}, "e2": {DC: 20}, "e3": {DC: 2}}


def test_the_floor_reaches_as_far_as_the_units_do():
    assert settled(sells(book_with(6), "e1", 99), reserve=0) == {
        "e1": {DC: 2}, "e2": {DC: 2}, "e3": {DC: 2},
    }  # fmt: skip
    few = settled(sells(book_with(4), "e1", 99), reserve=0)
    assert {edge_id: cells[DC] for edge_id, cells in few.items()} == {"e1": 2, "e2": 1, "e3": 1}


def test_one_sale_does_not_take_everything():
    targets = DemandPolicy(0.2).targets(sells(book_with(100), "e1", 1), ALL, DC)
    assert sorted(targets.values()) == [20, 21, 39]  # twice as much, apart from the floor


def test_the_last_units_are_never_idle():
    assert settled(book_with(1)).values()


def test_odd_units_go_to_different_edges_in_different_cells():
    lucky = {next(iter(settled(book_with(1, cell=("dc", f"K{i}"))))) for i in range(30)}
    assert lucky == {"e1", "e2", "e3"}


def test_a_share_that_runs_low_is_filled_up_to_its_target():
    book = forget_moves(book_with(100, {"e1": 26, "e2": 26, "e3": 2}))
    assert settled(book)["e3"][DC] == 25


def test_a_share_that_is_not_low_is_left_alone():
    book = forget_moves(book_with(100, {"e1": 26, "e2": 26, "e3": 26}))
    book.post("commit", DC, 3, "e1")
    assert handed_out(book) == Handout()


def test_new_stock_goes_first_to_who_has_least():
    book = forget_moves(book_with(30, {"e1": 20, "e2": 4, "e3": 0}))
    book.post("receive", DC, 6, "e1")
    grants = settled(book)
    assert grants["e3"][DC] >= grants.get("e2", {}).get(DC, 0)
    assert "e1" not in grants


def test_what_one_has_far_too_much_of_moves_to_who_runs_low_and_does_not_swing():
    book = forget_moves(book_with(100, {"e1": 80}))
    for edge_id in ("e2", "e3"):
        book.post("grant", DC, 1, edge_id)
    book.balances[DC].pool, book.balances[DC].committed = 18, 0
    handout = handed_out(book)
    assert handout.grants == {}
    asked = handout.recalls["e1"][DC]
    assert asked == 52  # what both others lack; e1 keeps its target
    assert handed_out(forget_moves(book)) == Handout()  # it is on its way
    book.recall(DC, -asked, "e1")
    book.post("return", DC, asked, "e1")
    assert sum(cells[DC] for cells in settled(book).values()) == asked - 2  # the reserve first
    assert handed_out(forget_moves(book)) == Handout()


def test_nothing_is_levelled_from_an_edge_that_is_not_heard():
    book = forget_moves(book_with(100, {"e1": 80, "e2": 1}))
    book.balances[DC].pool = 19
    book.balances[DC].received = 100
    assert handed_out(book, situation=Situation(TERRITORY)).recalls == {}


def test_what_somebody_waits_for_is_not_levelled_out():
    book = forget_moves(book_with(100, {"e1": 80, "e2": 1}))
    scarce = Situation(TERRITORY, present=frozenset(EDGES), scarce=frozenset({"A"}))
    assert handed_out(book, reserve=1.0, situation=scarce).recalls == {}
    assert handed_out(book, reserve=0.2).recalls != {}


def test_a_debt_is_never_granted():
    book = book_with(5, {"e1": 5})
    book.post("count", DC, 2, "e1")
    assert settled(book) == {}
    need = Need("e2", ("o", 0), {"A": 1}, ("dc",))
    handout = Handout()
    DemandPolicy(0.2).relieve(book, Situation(TERRITORY), [need], [need], handout)
    assert handout == Handout()


def test_stock_of_an_unknown_node_waits_for_its_network():
    book = book_with(5)
    assert settled(book, situation=Situation()) == {}
    assert settled(book) != {}


def test_an_order_that_waits_and_a_payment_may_dip_into_the_reserve():
    book = book_with(10, {"e1": 4, "e2": 4})
    need = Need("e1", ("o", 0), {"A": 5}, ("dc",))
    ask = Need("e3", ("0", 0), {"A": 1}, ("dc",))
    handout = Handout()
    DemandPolicy(0.2).relieve(book, ALL, [need], [ask], handout)
    assert handout == Handout(grants={"e1": {DC: 1}, "e3": {DC: 1}})
    assert book.balances[DC].pool == 0


def test_a_payment_gets_nothing_that_would_have_to_be_recalled():
    book = book_with(10, {"e1": 8})
    ask = Need("e3", ("0", 0), {"A": 3}, ("dc",))
    handout = Handout()
    DemandPolicy(0.2).relieve(book, ALL, [], [ask], handout)
    assert handout == Handout()


def test_a_fenced_edge_gets_nothing_and_its_store_s_stock_stays():
    fenced = Situation(TERRITORY, fenced=frozenset({"e2"}), present=frozenset(EDGES))
    cell = ("s-e2", "A")
    book = book_with(9)
    book.post("receive", cell, 4, "")
    assert settled(book, situation=fenced).keys() == {"e1", "e3"}
    needs = [
        Need("e2", ("o", 0), {"A": 1}, ("dc",)),
        Need("e1", ("p", 0), {"A": 4}, ("s-e2",)),
    ]
    handout = Handout()
    DemandPolicy(0.2).relieve(book, fenced, needs, [], handout)
    assert handout == Handout()
    assert book.balances[cell].pool == 4


@given(
    pool=st.integers(0, 10_000),
    shares=st.lists(st.integers(0, 5_000), min_size=3, max_size=3),
    sold=st.lists(st.integers(0, 10_000), min_size=3, max_size=3),
    reserve=st.floats(0, 1),
    floor=st.integers(0, 50),
)
def test_grants_never_exceed_the_pool_and_are_always_the_same(pool, shares, sold, reserve, floor):
    def play():
        book = book_with(pool + sum(shares), dict(zip(TERRITORY.edges, shares, strict=True)))
        for edge_id, units in zip(TERRITORY.edges, sold, strict=True):
            sells(book, edge_id, units)
        before = sum(DemandPolicy(reserve, floor).targets(book, ALL, DC).values())
        assert before == pool + sum(shares) - int((pool + sum(shares)) * reserve)
        handout = handed_out(forget_moves(book), reserve, floor=floor)
        assert book.balances[DC].pool >= 0
        assert book.conserved(DC)
        given_out = sum(cells[DC] for cells in handout.grants.values())
        assert given_out == pool - book.balances[DC].pool
        for edge_id, cells in handout.recalls.items():
            assert cells[DC] <= book.shares[DC][edge_id]
        return handout

    assert play() == play()


# Demand.


def test_a_sale_counts_half_after_a_half_life():
    demand = Demand(NOW_MS)
    demand.add("e1", DC, 8)
    demand.now_ms += HALF_LIFE_MS
    assert demand.of("e1", DC) == pytest.approx(4)
    demand.add("e1", DC, 4)
    assert demand.of("e1", DC) == pytest.approx(8)
    assert demand.of("e2", DC) == 0


def test_a_clock_that_jumps_breaks_nothing():
    demand = Demand(NOW_MS)
    demand.add("e1", DC, 8)
    demand.now_ms -= TEN_YEARS_MS
    assert demand.of("e1", DC) == 8
    demand.now_ms += 1_000 * TEN_YEARS_MS
    assert demand.of("e1", DC) == 0
    demand.add("e1", DC, 3)
    demand.now_ms = NOW_MS
    demand.add("e1", DC, 1)
    demand.now_ms += HALF_LIFE_MS  # the clock is right again, and time goes by
    assert demand.of("e1", DC) == pytest.approx(2)


def test_an_unknown_network_has_no_targets():
    assert DemandPolicy(0.2).targets(book_with(3), Situation(Territory()), DC) == {}
