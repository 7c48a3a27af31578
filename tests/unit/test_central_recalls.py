"""Units that come back: returned, recalled, asked for."""

import msgspec
import pytest

from central import ingest
from central.core import REVIEW_MS
from central.feed import AWAY_MS
from central.tables import recalls, waiting
from shared import topics
from shared.events import (
    OrderCancelled,
    OrderParked,
    PackageShipped,
    RoutePlanned,
    StockCounted,
)
from shared.frames import Asked
from shared.parts import CellUnits, CountLine
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    boot,
    document,
    feed_of,
    granted,
    plan,
    recalled,
    received,
    requested,
    returned,
    scene,
    shortage,
)

EDGES = ("e1", "e2", "e3")
DC = ("dc", "A")


@pytest.fixture
def stage(location):
    with scene(location) as found:
        found.publish(document(1, EDGES))
        yield found


@pytest.fixture
def edges(stage):
    three = [ScriptedEdge(edge_id) for edge_id in EDGES]
    stage.tell(*(edge.hello() for edge in three))
    return three


def stock(stage, edge, **units):
    edge.say(received("dc", **units))
    return stage.tell(edge.batch())


def park(stage, edge, units, order_id="o", nodes=("dc",)):
    edge.say(accepted(order_id, None, quantity=units), order_id)
    parked = shortage("A", units, nodes=nodes)
    edge.say(OrderParked(order_id=order_id, parked=parked), order_id)
    return stage.tell(edge.batch())


def answer(stage, edge, units, number, node_id="dc"):
    edge.say(returned(node_id, "A", units, number))
    return stage.tell(edge.batch())


def number_of(edge, messages):
    return next(n for n, kind, _ in feed_of(edge.edge_id, messages) if kind == "recall")


def asked_back(messages):
    found = {x: recalled(x, messages) for x in EDGES}
    return {edge_id: cells for edge_id, cells in found.items() if cells}


# Returns.


def test_returned_units_are_the_pool_s_and_help_who_waits_at_once(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=10)
    assert stage.shares()["e2", "dc", "A"] == 3
    held = stage.shares()["e1", "dc", "A"]
    two.say(returned("dc", "A", 3))
    one.say(accepted("o", None, quantity=held + 4, parked=held + 4), "o")
    out = stage.tell(two.batch(), one.batch())
    assert granted("e1", out) == {DC: 4}
    assert stage.codes() == []


def test_returned_units_are_credited_once(stage, edges):
    stock(stage, edges[0], A=10)
    edges[1].say(returned("dc", "A", 2))
    stage.tell(edges[1].batch(), edges[1].batch())
    stage.tell(edges[1].batch())
    assert stage.shares()["e2", "dc", "A"] == 1
    assert stage.stock()[DC][0] == 4


# Recalls for lines that wait.


def test_a_line_that_no_pool_can_help_is_helped_by_other_shares(stage, edges):
    one, two, three = edges
    stock(stage, one, A=12)  # 4, 3, 3 and a pool of 2
    two.say(accepted("p", plan("dc", "A", 3), quantity=3), "p")
    stage.tell(two.batch())
    out = park(stage, two, 5)
    assert granted("e2", out) == {DC: 2}  # all that the pool has
    asked = asked_back(out)
    assert "e2" not in asked
    coming = sum(cells[DC] for cells in asked.values())
    assert coming == 5 - stage.shares()["e2", "dc", "A"]
    for edge in (one, three):
        if edge.edge_id in asked:
            answer(stage, edge, asked[edge.edge_id][DC], number_of(edge, out))
    assert stage.shares()["e2", "dc", "A"] == 5
    assert stage.rows(recalls) == []


def test_units_on_their_way_are_not_recalled_again(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    first = park(stage, two, 7)
    assert asked_back(first)
    for _ in range(3):
        two.say(OrderParked(order_id="x", parked=shortage("B", 1)), "x")
        assert asked_back(stage.tell(two.batch())) == {}
        assert asked_back(stage.tick(REVIEW_MS)) == {}
    before = stage.shares()
    more = park(stage, two, 1, order_id="o2")
    coming = sum(cells[DC] for cells in asked_back(more).values())
    assert coming == 1
    assert stage.shares() == before  # nothing moves before it is returned


def test_what_an_edge_could_not_return_is_asked_of_another(stage, edges):
    one, two, three = edges
    stock(stage, one, A=12)
    out = park(stage, two, 7)
    asked = asked_back(out)
    edge_id, cells = next(iter(asked.items()))
    holder = one if edge_id == "e1" else three
    holder.say(accepted("q", plan("dc", "A", stage.shares()[edge_id, "dc", "A"]), quantity=3), "q")
    stage.tell(holder.batch())
    again = answer(stage, holder, 0, number_of(holder, out))
    others = asked_back(again)
    assert edge_id not in others
    assert sum(x[DC] for x in others.values()) == cells[DC]


def test_an_edge_that_is_gone_does_not_hold_up_a_customer(stage, edges):
    one, two, three = edges
    stage.pool_reserve = 0.0
    stage.restart()
    stage.tell(*(edge.hello() for edge in edges))
    stock(stage, one, A=12)
    stage.tell(one.hello(feed=0))
    stage.elapsed_ms += AWAY_MS + 1
    stage.tell(two.hello(), three.hello())  # e1 is silent
    out = park(stage, two, 6)
    assert asked_back(out) == {"e3": {DC: 2}}
    stage.elapsed_ms += AWAY_MS + 1
    stage.tell(two.hello(), one.hello())  # now e3 is, and has not answered
    assert asked_back(stage.tick(REVIEW_MS)) == {"e1": {DC: 2}}


def test_a_line_that_one_node_alone_can_help_recalls_that_node_s_units(stage, edges):
    one, two, three = edges
    stock(stage, one, A=12)
    three.say(received("s-e3", A=4))
    stage.tell(three.batch())
    out = park(stage, two, 2, nodes=("s-e3",))
    assert asked_back(out) == {"e3": {("s-e3", "A"): 2}}
    assert stage.rows(waiting)[0]["nodes"] == "s-e3"
    back = answer(stage, three, 2, number_of(three, out), node_id="s-e3")
    assert granted("e2", back) == {("s-e3", "A"): 2}


def test_units_that_were_granted_and_went_to_another_order_are_found_again(stage, edges):
    one, two, _ = edges
    park(stage, two, 2)
    stock(stage, one, A=40)
    held = stage.shares()["e2", "dc", "A"]
    two.say(accepted("fast", plan("dc", "A", held), quantity=held), "fast")
    stage.tell(two.batch())
    two_has = stage.shares()["e2", "dc", "A"]
    stage.tick(REVIEW_MS)
    assert stage.shares()["e2", "dc", "A"] >= max(2, two_has)


# Debts.


def test_a_debt_is_recalled_from_shares_and_paid_by_what_returns(stage, edges):
    one = edges[0]
    stock(stage, one, A=12)
    one.say(StockCounted(node_id="dc", lines=[CountLine(sku="A", quantity=7)]))
    out = stage.tell(one.batch())
    asked = asked_back(out)
    assert sum(cells[DC] for cells in asked.values()) == 3  # 5 are gone, the pool had 2
    assert stage.codes() == ["stock_debt"]
    for edge in edges:
        if edge.edge_id in asked:
            answer(stage, edge, asked[edge.edge_id][DC], number_of(edge, out))
    assert stage.stock()[DC][0] == 0
    assert stage.rows(recalls) == []
    assert asked_back(stage.tick(REVIEW_MS)) == {}


def test_nothing_is_looked_at_again_where_nothing_waits(stage, edges):
    stock(stage, edges[0], A=12)
    assert stage.tick(REVIEW_MS) == []


def test_a_restarted_central_knows_what_is_coming(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    out = park(stage, two, 7)
    assert asked_back(out)
    stage.restart()
    stage.elapsed_ms = 0
    stage.tell(*(edge.hello() for edge in edges))
    assert asked_back(stage.tick(REVIEW_MS)) == {}


# Ask.


def asked(messages):
    return [
        msgspec.json.decode(x.payload, type=Asked)
        for x in messages
        if x.topic.endswith(topics.ASKED)
    ]


def test_a_payment_that_waits_gets_what_the_pools_have(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    held = stage.shares()["e2", "dc", "A"]
    out = stage.tell(two.ask("A", held + 2))
    assert granted("e2", out) == {DC: 2}
    [reply] = asked(out)
    assert reply == Asked(id=boot(7), feed=feed_of("e2", out)[-1][0])
    assert stage.stock()[DC][0] == 0
    more = stage.tell(two.ask("A", held + 3))  # nobody is asked to return anything
    assert asked(more) == [reply]
    assert asked_back(more) == {}


def test_a_payment_gets_units_of_one_node_or_none(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    one.say(received("moon", A=9))
    stage.tell(one.batch())
    held = stage.shares()["e2", "dc", "A"]
    out = stage.tell(two.ask("A", held + 3, "dc", "moon"))
    assert granted("e2", out) == {("moon", "A"): held + 3}


def test_units_that_an_order_of_its_own_waits_for_are_not_a_payment_s(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    held = stage.shares()["e2", "dc", "A"]
    park(stage, two, held)
    assert granted("e2", stage.tell(two.ask("A", 2))) == {DC: 2}


def test_a_younger_order_does_not_take_what_an_older_one_waits_for(stage, edges):
    # Its parcel moves, and nothing that the older one waits for does.
    one, two, three = edges
    stock(stage, one, A=12)
    held = stage.shares()["e2", "dc", "A"]
    park(stage, two, held, order_id="1")
    three.say(accepted("2", None, quantity=12), "2")
    three.say(requested("2", "dc", "B", 1, home="e3"), "2")
    three.say(OrderParked(order_id="2", parked=shortage("A", 10)), "2")
    stage.tell(three.batch())
    three.say(PackageShipped(task_id="2.0.0", node_id="dc", home_edge_id="e3"), "2")
    out = stage.tell(three.batch())
    assert asked_back(out) == {}
    assert asked_back(stage.tick(REVIEW_MS)) == {}


def test_an_older_order_is_seen_where_a_group_needs_the_same_besides(stage, edges):
    one, two, _ = edges
    stock(stage, one, B=12)
    held = stage.shares()["e1", "dc", "B"]
    one.say(accepted("1", None), "1")
    one.say(OrderParked(order_id="1", parked=shortage("B", held)), "1")
    rest = 12 - held + 1
    group = [*shortage("A", 1, line=0), *shortage("B", rest, line=1, group=0)]
    two.say(accepted("2", None), "2")
    two.say(OrderParked(order_id="2", parked=group), "2")
    stage.tell(two.batch(), one.batch())
    assert asked_back(stock(stage, one, A=9)) == {}


def test_what_is_moved_while_somebody_waits_for_it_is_not_levelled_out(stage, edges):
    one, two, three = edges
    stock(stage, one, A=100)
    park(stage, three, 60, order_id="o")
    for edge in (one, two):
        units = recalled(edge.edge_id, stage.sent).get(DC, 0)
        if units:
            answer(stage, edge, units, number_of(edge, stage.sent))
    assert stage.shares()["e3", "dc", "A"] >= 60
    left = stage.shares()["e2", "dc", "A"]
    two.say(accepted("p", plan("dc", "A", left), quantity=left), "p")
    assert asked_back(stage.tell(two.batch())) == {}


def test_whoever_waits_is_looked_at_again_in_turn(stage, edges, monkeypatch):
    monkeypatch.setattr(ingest, "REVIEW_SKUS_MAX", 1)
    one, two, three = edges
    stock(stage, one, A=12, B=12)
    three.say(accepted("1", None, quantity=99), "1")
    three.say(OrderParked(order_id="1", parked=shortage("A", 99)), "1")
    two.say(accepted("2", None, quantity=4), "2")
    two.say(OrderParked(order_id="2", parked=shortage("B", 4)), "2")
    stage.tell(two.batch(), three.batch())
    held = stage.shares()["e2", "dc", "B"]
    two.say(accepted("3", plan("dc", "B", held), sku="B", quantity=held), "3")
    stage.tell(two.batch())
    assert asked_back(stage.tick(REVIEW_MS)) == {}
    assert asked_back(stage.tick(REVIEW_MS))  # the first line was no help, and is not in the way


def test_nothing_is_asked_of_others_for_an_edge_that_is_not_there(stage, edges):
    one, two, three = edges
    stock(stage, one, A=12)
    park(stage, two, 5)
    two.say(accepted("p", plan("dc", "A", 5), quantity=5), "p")
    stage.tell(two.batch())
    stage.elapsed_ms += AWAY_MS + 1
    stage.tell(one.hello(), three.hello())
    assert asked_back(stage.tick(REVIEW_MS)) == {}
    stage.tell(two.hello())
    assert asked_back(stage.tick(REVIEW_MS))


def test_what_is_in_the_log_of_the_same_burst_counts_first(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    one.say(accepted("o", None, quantity=6, parked=6), "o")
    out = stage.tell(two.ask("A", 4), one.batch())
    assert granted("e1", out) == {DC: 2}
    assert granted("e2", out) == {}


def test_who_is_unknown_or_fenced_is_answered_and_gets_nothing(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    assert asked(stage.tell(ScriptedEdge("nobody").ask("A", 1)))[0].feed == 0
    assert stage.admin("fence", edge_id="e2") == {"epoch": 2}
    before = stage.shares()
    out = stage.tell(two.ask("A", 1))
    assert len(asked(out)) == 1
    assert stage.shares() == before


def test_central_sees_in_the_log_that_a_share_runs_low(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=100)
    two.say(accepted("o", plan("dc", "A", 25), quantity=25), "o")
    out = stage.tell(two.batch())
    assert granted("e2", out) == {DC: 5}  # all that the pool has above its new reserve
    assert stage.codes() == []


def test_released_units_are_the_edge_s_own_again(stage, edges):
    one, two, _ = edges
    stock(stage, one, A=12)
    two.say(accepted("o", plan("dc", "A", 3), quantity=3), "o")
    cells = [CellUnits(node_id="dc", sku="A", quantity=3)]
    two.say(OrderCancelled(order_id="o", released=cells, nothing_left=True), "o")
    two.say(RoutePlanned(order_id="o"), "o")
    stage.tell(two.batch())
    assert stage.shares()["e2", "dc", "A"] >= 3
