"""Who gets units when orders wait: the policy's rounds over a book, without a wire or a table."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from central.accounts import Book
from central.demand import Demand
from central.desk import parked
from central.escrow import DemandPolicy, Handout, Situation
from central.relief import Need, needs_of
from central.territory import Territory, territory_of
from tests.central_scene import NOW_MS, network, shortage

EDGES = ("e1", "e2", "e3")
NODES = ("dc", *(f"s-{edge_id}" for edge_id in EDGES))
TERRITORY = territory_of(network(edges=EDGES))
FENCED = replace(TERRITORY, walk_in={"s-e1": 2, "s-e2": 1})
ROUNDS_MAX = 12
DC = ("dc", "A")


def need(edge_id, number, *nodes, **units):
    return Need(edge_id, (f"{number:02}", 0), units, nodes or ("dc",))


@dataclass
class World:
    """A book, and edges that do at once, or never, what they are asked."""

    needs: list = field(default_factory=list)
    present: frozenset = frozenset(EDGES)
    territory: Territory = TERRITORY
    book: Book = field(default_factory=lambda: Book(demand=Demand(NOW_MS)))

    def stock(self, cell, pool, **shares):
        self.book.post("receive", cell, pool + sum(shares.values()), "")
        for edge_id, units in shares.items():
            if units:
                self.book.post("grant", cell, units, edge_id)
        return self

    def share(self, edge_id, cell=DC):
        return self.book.shares.get(cell, {}).get(edge_id, 0)

    def round(self, *asks, settle=False):
        """What central does when something is heard."""
        handout, situation = Handout(), Situation(self.territory, present=self.present)
        policy = DemandPolicy(0.0)
        policy.pay_debts(self.book, situation, handout)
        policy.relieve(self.book, situation, sorted(self.needs, key=_age), asks, handout)
        if settle:
            waiting = frozenset(sku for x in self.needs for sku in x.units)
            scarce = Situation(self.territory, present=self.present, scarce=waiting)
            policy.settle(self.book, scarce, list(self.book.balances), handout)
        return handout

    def answer(self, handout):
        """Edges that are present return what they were asked for."""
        for edge_id, cells in handout.recalls.items():
            if edge_id not in self.present:
                continue
            for cell, units in cells.items():
                self.book.recall(cell, -units, edge_id)
                self.book.post("return", cell, min(units, self.share(edge_id, cell)), edge_id)

    def rest(self, *, settle=False):
        """Rounds until nothing moves; how many it took."""
        for number in range(ROUNDS_MAX):
            handout = self.round(settle=settle)
            if not handout.grants and not handout.recalls:
                return number
            self.answer(handout)
        raise AssertionError(f"no rest after {ROUNDS_MAX} rounds")

    def has(self, one):
        """Whether one node has a need whole, in its edge's share."""
        return any(
            all(self.share(one.edge_id, (node, sku)) >= q for sku, q in one.units.items())
            for node in one.nodes
        )


def _age(one):
    return one.age


# What a need is.


def test_lines_of_a_group_are_one_need_and_the_oldest_order_comes_first():
    lines = [
        *parked("e2", "02", shortage("A", 2, line=0, nodes=("dc", "s-e1"), group=0)),
        *parked("e2", "02", shortage("A", 1, line=1, nodes=("dc", "s-e1"), group=0)),
        *parked("e2", "02", shortage("B", 4, line=2, nodes=("dc", "s-e1"), group=0)),
        *parked("e2", "02", shortage("B", 7, line=3)),
        *parked("e1", "01", shortage("A", 5)),
    ]
    assert needs_of(lines) == [
        Need("e1", ("01", 0), {"A": 5}, ("dc",)),
        Need("e2", ("02", 0), {"A": 3, "B": 4}, ("dc", "s-e1")),
        Need("e2", ("02", 3), {"B": 7}, ("dc",)),
    ]


def test_lines_that_no_stock_could_help_are_no_needs():
    lines = [
        *parked("e1", "01", shortage("A", 1, reason="unroutable")),
        *parked("e1", "02", shortage("A", 1, reason="packages_max")),
        *parked("e1", "03", shortage("A", 1, nodes=())),
    ]
    assert needs_of(lines) == []


# One round.


def test_the_oldest_is_served_first():
    world = World([need("e1", 2, A=3), need("e2", 1, A=3)]).stock(DC, 5)
    assert world.round() == Handout(grants={"e2": {DC: 3}})


def test_a_younger_need_that_fits_is_not_held_up_by_an_older_one_that_does_not():
    world = World([need("e1", 1, A=9), need("e2", 2, A=3)]).stock(DC, 5)
    assert world.round() == Handout(grants={"e2": {DC: 3}})


def test_a_need_is_served_whole_at_one_node_or_not_at_all():
    world = World([need("e1", 1, "dc", "s-e2", A=4)]).stock(DC, 3).stock(("s-e2", "A"), 3)
    assert world.round() == Handout()
    world.stock(("s-e2", "A"), 1)
    assert world.round() == Handout(grants={"e1": {("s-e2", "A"): 4}})


def test_the_best_node_that_has_it_serves():
    world = World([need("e1", 1, "s-e2", "dc", A=1)]).stock(DC, 3).stock(("s-e2", "A"), 3)
    assert world.round() == Handout(grants={"e1": {("s-e2", "A"): 1}})


def test_a_pool_goes_before_what_others_would_have_to_return():
    world = World([need("e1", 1, "s-e2", "dc", A=2)])
    world.stock(DC, 2).stock(("s-e2", "A"), 0, e2=5)
    assert world.round() == Handout(grants={"e1": {DC: 2}})


def test_two_skus_that_ship_together_come_from_one_node_although_each_is_elsewhere():
    world = World([need("e1", 1, "dc", "s-e2", "s-e3", A=1, B=1)])
    world.stock(DC, 5).stock(("s-e2", "B"), 5)
    assert world.round() == Handout()
    world.stock(("s-e3", "A"), 0, e3=1).stock(("s-e3", "B"), 0, e3=1)
    handout = world.round()
    assert handout == Handout(recalls={"e3": {("s-e3", "A"): 1, ("s-e3", "B"): 1}})
    world.answer(handout)
    assert world.round().grants == {"e1": {("s-e3", "A"): 1, ("s-e3", "B"): 1}}


def test_what_the_edge_holds_counts():
    world = World([need("e1", 1, A=4)]).stock(DC, 1, e1=2, e2=9)
    assert world.round() == Handout(grants={"e1": {DC: 1}}, recalls={"e2": {DC: 1}})
    assert World([need("e1", 1, A=2)]).stock(DC, 1, e1=2).round() == Handout()


def test_what_the_edge_holds_counts_for_one_need_only():
    world = World([need("e1", 1, A=2), need("e1", 2, A=2)]).stock(DC, 9, e1=3)
    assert world.round() == Handout(grants={"e1": {DC: 1}})


def test_what_an_older_order_waits_for_is_not_taken_for_a_younger_one():
    world = World([need("e1", 1, A=3), need("e2", 2, A=4)]).stock(DC, 0, e1=4, e3=3)
    assert world.round().recalls == {"e1": {DC: 1}, "e3": {DC: 3}}


def test_units_on_their_way_are_not_asked_for_twice():
    world = World([need("e1", 1, A=4)]).stock(DC, 0, e2=9, e3=9)
    assert sum(cells[DC] for cells in world.round().recalls.values()) == 4
    assert world.round() == Handout()
    world.needs.append(need("e3", 2, A=11))  # it has 9, of which some are on their way already
    asked = sum(cells[DC] for cells in world.round().recalls.values())
    assert asked == 11 - (9 - world.book.coming[DC]["e3"])
    assert world.round() == Handout()


def test_units_on_their_way_to_an_order_that_is_gone_help_another():
    world = World([need("e1", 1, A=4)]).stock(DC, 0, e2=9)
    first = world.round()
    world.needs = [need("e3", 2, A=4)]
    assert world.round() == Handout()
    world.answer(first)
    assert world.round() == Handout(grants={"e3": {DC: 4}})


def test_an_edge_that_is_not_heard_is_neither_asked_nor_waited_for():
    world = World([need("e1", 1, A=2)], frozenset({"e1", "e2"})).stock(DC, 0, e2=1, e3=5)
    assert world.round() == Handout()
    world.present = frozenset(EDGES)
    assert world.round().recalls
    world.present = frozenset({"e1", "e2"})  # and now it is gone before it has answered
    world.stock(DC, 0, e2=2)
    assert world.round().recalls.keys() == {"e2"}


def test_nothing_is_asked_of_others_for_an_edge_that_is_not_heard():
    world = World([need("e1", 1, A=2)], frozenset({"e2"})).stock(DC, 1, e2=5)
    assert world.round() == Handout()
    world.stock(DC, 1)
    assert world.round() == Handout(grants={"e1": {DC: 2}})


def test_a_debt_comes_before_those_who_wait():
    world = World([need("e1", 1, A=4)]).stock(DC, 0, e2=6)
    world.book.post("count", DC, 3, "e2")  # 3 of the 6 are not there
    handout = world.round()
    assert handout == Handout(recalls={"e2": {DC: 3}})  # what is left could not serve it whole
    world.answer(handout)
    assert world.book.balances[DC].pool == 0
    world.needs = [need("e1", 2, A=3)]
    assert world.round() == Handout(recalls={"e2": {DC: 3}})


def test_units_on_their_way_to_a_debt_are_nobody_s():
    world = World([need("e1", 1, A=1)]).stock(DC, 0, e2=3)
    world.book.post("count", DC, 0, "e2")
    assert world.round() == Handout(recalls={"e2": {DC: 3}})
    assert world.round() == Handout()


def test_a_payment_comes_after_the_orders_and_nobody_has_to_return_anything_for_it():
    world = World([need("e1", 1, A=3)]).stock(DC, 4, e2=9)
    assert world.round(need("e3", 0, A=2)) == Handout(grants={"e1": {DC: 3}})
    assert world.round(need("e3", 0, A=1)) == Handout(grants={"e3": {DC: 1}})


# What a store keeps for customers who walk in.

STORE = ("s-e1", "A")


def fenced(*wanted, present=frozenset(EDGES)):
    return World(list(wanted), present, FENCED)


def test_other_edges_leave_a_store_its_last_units():
    world = fenced(need("e2", 1, "s-e1", A=3)).stock(STORE, 0, e1=4)
    assert world.round() == Handout()
    world.stock(STORE, 0, e1=1)
    assert world.round() == Handout(recalls={"e1": {STORE: 3}})


def test_a_store_s_own_orders_may_have_its_last_units():
    world = fenced(need("e1", 1, "s-e1", A=3)).stock(STORE, 2, e1=1)
    assert world.round() == Handout(grants={"e1": {STORE: 2}})
    world = fenced(need("e1", 1, "s-e1", A=3)).stock(STORE, 0, e2=3)
    assert world.round() == Handout(recalls={"e2": {STORE: 3}})


def test_what_a_store_lacks_for_its_customers_comes_out_of_the_pool_first():
    world = fenced(need("e2", 1, "s-e1", A=2)).stock(STORE, 3, e1=0)
    assert world.round() == Handout()
    world.stock(STORE, 1)
    assert world.round() == Handout(grants={"e2": {STORE: 2}})
    assert fenced().stock(STORE, 3).round(need("e3", 1, "s-e1", A=2)) == Handout()


def test_units_that_the_store_s_own_orders_wait_for_are_not_kept_for_customers_as_well():
    world = fenced(need("e1", 1, "s-e1", A=2), need("e2", 2, "s-e1", A=1)).stock(STORE, 0, e1=4)
    assert world.round() == Handout()
    world.stock(STORE, 0, e1=1)
    assert world.round() == Handout(recalls={"e1": {STORE: 1}})


def test_a_third_edge_gives_what_it_has_of_a_store():
    world = fenced(need("e2", 1, "s-e1", A=1)).stock(STORE, 0, e1=2, e3=1)
    assert world.round() == Handout(recalls={"e3": {STORE: 1}})


def test_units_on_their_way_are_the_store_s_while_it_lacks_them():
    world = fenced(need("e2", 1, "s-e1", A=1)).stock(STORE, 0, e1=1, e3=5)
    assert world.round() == Handout()  # what e3 returned would be the store's
    world.stock(STORE, 1)
    assert world.round() == Handout(recalls={"e3": {STORE: 1}})
    world.answer(Handout(recalls={"e3": {STORE: 1}}))
    assert world.round() == Handout(grants={"e2": {STORE: 1}})


# Rounds until nothing moves.


def test_two_orders_at_two_edges_never_swap_units():
    world = World([need("e1", 1, A=2), need("e2", 2, A=2)]).stock(DC, 0, e1=1, e2=2)
    world.rest()
    assert (world.share("e1"), world.share("e2")) == (2, 1)
    for _ in range(5):
        assert world.round() == Handout()


cells = st.tuples(st.sampled_from(NODES), st.sampled_from("AB"))
held = st.fixed_dictionaries({edge_id: st.integers(0, 5) for edge_id in EDGES})
stocks = st.dictionaries(cells, st.tuples(st.integers(0, 5), held), max_size=8)
needs = st.lists(
    st.tuples(
        st.sampled_from(EDGES),
        st.lists(st.sampled_from(NODES), min_size=1, max_size=4, unique=True),
        st.dictionaries(st.sampled_from("AB"), st.integers(1, 6), min_size=1),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(
    stocked=stocks,
    wanted=needs,
    present=st.sets(st.sampled_from(EDGES)),
    missing=st.dictionaries(cells, st.integers(0, 6), max_size=2),
    settle=st.booleans(),
    territory=st.sampled_from([TERRITORY, FENCED]),
)
def test_any_mix_comes_to_rest_and_nobody_waits_whom_one_node_could_serve(
    stocked, wanted, present, missing, settle, territory
):
    world = World(
        [need(edge, n, *nodes, **units) for n, (edge, nodes, units) in enumerate(wanted)],
        frozenset(present),
        territory,
    )
    for cell, (pool, shares) in stocked.items():
        world.stock(cell, pool, **shares)
    for cell, units in missing.items():
        world.book.post("count", cell, units, "")
    before = {cell: balance.on_hand() for cell, balance in world.book.balances.items()}
    world.rest(settle=settle)
    for cell, balance in world.book.balances.items():
        assert world.book.conserved(cell)
        assert balance.on_hand() == before[cell]
        assert all(units >= 0 for units in world.book.shares.get(cell, {}).values())
    assert_served(world)


def assert_served(world):
    """Of those whose edge is there, none waits for units that one node has free for it."""
    claimed: dict = {}
    for one in sorted(world.needs, key=_age):
        served = next((node for node in one.nodes if takes(world, one, node, claimed)), None)
        if served is not None:
            for sku, units in one.units.items():
                key = (one.edge_id, (served, sku))
                claimed[key] = claimed.get(key, 0) + units
        elif one.edge_id in world.present:
            for node in one.nodes:
                assert not could(world, one, node, claimed), (one, node)


def takes(world, one, node, claimed):
    return all(left(world, one.edge_id, (node, sku), claimed) >= q for sku, q in one.units.items())


def could(world, one, node, claimed):
    for sku, units in one.units.items():
        cell = (node, sku)
        balance = world.book.balances.get(cell)
        pool = max(0, balance.pool) if balance else 0
        free = {x: left(world, x, cell, claimed) for x in EDGES}
        home = world.territory.home[node]
        if one.edge_id != home:
            fence = world.territory.walk_in.get(node, 0)
            pool -= max(0, fence - free[home])
            free[home] = max(0, free[home] - fence)
        own = free.pop(one.edge_id)
        others = pool + sum(free[x] for x in free if x in world.present)
        if own + (others if pool >= 0 else 0) < units:
            return False
    return True


def left(world, edge_id, cell, claimed):
    asked = world.book.coming.get(cell, {}).get(edge_id, 0)
    return max(0, world.share(edge_id, cell) - asked - claimed.get((edge_id, cell), 0))
