"""Who may speak as an edge, and how one that is lost comes back."""

import pytest

from central.fences import PAST_BYTES_MAX
from central.ledger import verify
from central.tables import epochs, exceptions, ledger, orders, recalls, waiting
from central.tables import streams as streams_table
from shared.envelope import split_batch
from shared.events import (
    EpochBegan,
    OrderCancelled,
    PackageShipped,
    PickAccepted,
    RoutePlanned,
    StockMoved,
)
from shared.frames import Rejoin, decode_frame
from shared.parts import CellUnits, PlannedLine, StockLine, TaskAt
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    ack_of,
    acks,
    boot,
    document,
    feed_of,
    granted,
    plan,
    received,
    requested,
    returned,
    scene,
    two_edges,
    unguard,
)

DC = ("dc", "A")


@pytest.fixture
def stage(location):
    with scene(location) as found:
        yield found


@pytest.fixture
def edges(stage):
    return two_edges(stage)


def rejoins(edge_id, messages):
    return [decode_frame(body, Rejoin) for _, kind, body in feed_of(edge_id, messages)
            if kind == "rejoin"]  # fmt: skip


def kinds(edge_id, messages):
    return [kind for _, kind, _ in feed_of(edge_id, messages)]


def stream(stage, edge_id):
    return next(x for x in stage.rows(streams_table) if x["edge_id"] == edge_id)


def fresh(stage, *messages):
    """What is sent, without feed items that were sent before."""
    before = list(stage.sent)
    return [x for x in stage.tell(*messages) if x not in before or "/feed/" not in x.topic]


def restored(stage):
    """What a new disk of e2 gets, once its epoch has begun."""
    edge = ScriptedEdge("e2", boots=(5,))
    out = fresh(stage, edge.hello())
    edge.begin(2, previous=(1, 0))
    return edge, out + fresh(stage, edge.batch())


def told_past(out):
    """The events of a past, over its items."""
    bodies = [body for _, kind, body in feed_of("e2", out) if kind == "past"]
    return [raw for body in bodies for raw in split_batch(body)]


# The fence.


def test_a_fence_returns_all_shares_and_the_others_get_them(stage, edges):
    one = edges[0]
    stage.sent.clear()
    assert stage.admin("fence", edge_id="e2") == {"epoch": 2}
    assert stage.admin("fence", edge_id="e2") == {"epoch": 2}
    assert stage.codes() == ["fenced"]
    assert stage.shares()["e2", "dc", "A"] == 0
    one.say(accepted("x", None, quantity=8, parked=8), "x")
    stage.tell(one.batch())
    assert granted("e1", stage.sent) == {DC: 4}
    assert feed_of("e2", stage.sent) == []
    refused = stage.admin("fence", edge_id="e9")
    assert (refused["code"], refused["place"]) == ("unknown_edge", "edge_id")
    assert "e1" in refused["expected"]
    assert stage.admin("fence", edge="e2")["code"] == "invalid_data"


def test_an_edge_that_comes_back_with_its_store_begins_anew(stage, edges):
    two = edges[1]
    late = two.say(accepted("late", plan("dc", "A", 2), quantity=2), "late")
    stage.admin("fence", edge_id="e2")
    out = fresh(stage, two.hello(feed=2))
    assert ack_of("e2", out).refusal == ""
    assert rejoins("e2", out) == [Rejoin(epoch=2, restored=False)]
    assert kinds("e2", out)[0] == "rejoin"  # what is granted comes after it
    assert stage.shares()["e2", "dc", "A"] == granted("e2", out).get(DC, 0)
    held = stage.shares()["e2", "dc", "A"]
    began = two.restarted(1)
    began.begin(2, previous=(1, len(two.log)))
    assert acks(stage.tell(began.batch())) == {"e2": 1}  # not before what is missing
    assert acks(stage.tell(two.batch())) == {"e2": 2}
    assert stage.shares()["e2", "dc", "A"] == held
    assert stage.stock()[DC][1] == 4
    assert stage.rows(ledger)[-1]["raw"] == late
    ack = ack_of("e2", stage.tell(began.batch()))
    assert (ack.epoch, ack.sequence, ack.boot) == (2, 1, boot(1))
    assert acks(stage.tell(two.batch())) == {"e2": 1}  # said again: skipped
    codes = ["fenced", "late_sale", "stock_debt"]  # its units are with others by now
    assert stage.codes() == codes
    assert stage.rows(exceptions)[1]["order_id"] == "late"
    began.say(accepted("new", plan("dc", "A", held), quantity=held), "new")
    stage.tell(began.batch())
    assert stage.codes() == codes


def test_what_moves_a_share_that_was_taken_back_moves_the_pool(stage, edges):
    two = edges[1]
    stage.admin("fence", edge_id="e2")
    stage.tell(two.hello(feed=2))
    stage.admin("fence", edge_id="e1")
    pool, committed, _, _, adjusted = stage.stock()[DC]
    shares = stage.shares()
    two.say(returned("dc", "A", 2))
    two.say(OrderCancelled(order_id="o", released=[CellUnits(node_id="dc", sku="A", quantity=2)]))
    two.say(accepted("p", plan("dc", "A", 1)), "p")
    line = [StockLine(sku="A", quantity=1)]
    left = [CellUnits(node_id="dc", sku="A", quantity=1)]
    two.say(StockMoved(node_id="dc", to_node_id="s-e1", lines=line, from_share=left))
    two.say(RoutePlanned(order_id="p", plan=plan("dc", "A", 1)), "p")
    stage.tell(two.batch())
    after = stage.stock()[DC]
    moved = sum(stage.shares().values()) - sum(shares.values())
    assert (after[0] + moved, after[1], after[4]) == (pool - 1, committed, adjusted + 1)
    assert stage.codes().count("late_sale") == 2
    assert "oversold" not in stage.codes()


def test_a_late_sale_of_what_was_given_to_others_leaves_a_debt_and_is_never_dropped(stage, edges):
    one, two = edges
    stage.admin("fence", edge_id="e2")
    one.say(accepted("x", plan("dc", "A", 4), quantity=4), "x")
    one.say(accepted("y", None, quantity=4, parked=4), "y")
    stage.tell(one.batch())
    two.say(accepted("late", plan("dc", "A", 2), quantity=2), "late")
    stage.tell(two.hello(feed=2), two.batch())
    assert {"late_sale", "stock_debt"} <= set(stage.codes())
    assert "late" in {x["order_id"] for x in stage.rows(orders)}
    assert stage.stock()[DC][1] == 8


def test_a_fenced_edge_s_lines_wait_until_it_is_back(stage, edges):
    one, two = edges
    two.say(accepted("p", None, quantity=2, parked=2), "p")
    stage.tell(two.batch())
    assert stage.shares()["e2", "dc", "A"] == 2
    stage.admin("fence", edge_id="e2")
    assert [x["order_id"] for x in stage.rows(waiting)] == ["p"]
    one.say(received("dc", A=5))
    stage.tell(one.batch())
    assert stage.shares()["e2", "dc", "A"] == 0
    stage.tell(two.hello(feed=2))
    assert stage.shares()["e2", "dc", "A"] >= 2


def test_a_fence_drops_what_was_recalled(stage, edges):
    one, two = edges
    one.say(accepted("x", None, quantity=8, parked=8), "x")
    stage.tell(one.batch())
    assert [x["edge_id"] for x in stage.rows(recalls)] == ["e2"]
    number = stage.rows(recalls)[0]["number"]
    stage.admin("fence", edge_id="e2")
    assert stage.rows(recalls) == []
    two.say(returned("dc", "A", 2, number))
    pool = stage.stock()[DC][0]
    stage.tell(two.hello(feed=2), two.batch())
    assert stage.stock()[DC][0] <= pool
    assert stage.codes() == ["fenced"]


# A store that was lost.


def test_an_edge_that_has_lost_its_store_is_told_what_it_needs(stage, edges):
    one, two = edges
    ask = two.say(requested("o", "dc", "A", 2, home="e2"), "o")
    foreign = one.say(accepted("q", plan("s-e2", "A", 1)), "q")
    wanted = one.say(requested("q", "s-e2", "A", 1, home="e1"), "q")
    settled = requested("r", "s-e2", "A", 1, home="e1")
    one.say(settled, "r")
    stage.tell(two.batch(), one.batch())
    report = one.say(PickAccepted(task_id="o.0.0", node_id="dc", home_edge_id="e2"), "o")
    drop = one.say(
        OrderCancelled(order_id="q", asked=[TaskAt(task_id="q.0.0", node_id="s-e2")]), "q"
    )
    two.say(PackageShipped(task_id="r.0.0", node_id="s-e2", home_edge_id="e1",
                           lines=[PlannedLine(line=0, sku="A", quantity=1)]), "r")  # fmt: skip
    stage.tell(one.batch(), two.batch())
    stage.admin("fence", edge_id="e2")
    stage.central._past_orders = 0  # nothing that is settled is young enough
    empty = ScriptedEdge("e2", boots=(5,))
    out = fresh(stage, empty.hello())
    assert rejoins("e2", out) == [Rejoin(epoch=2, restored=True)]
    assert "past" not in kinds("e2", out)  # what the edge still has to say is to be in it
    # Until it has applied that, its feed may be at whatever it was.
    again = ScriptedEdge("e2", boots=(5, 6))
    assert ack_of("e2", stage.tell(again.hello())).refusal == ""
    again.begin(2, previous=(1, 0))
    out += fresh(stage, again.batch())
    assert ack_of("e2", out).epoch == 2
    assert told_past(out) == [two.log[0], ask, wanted, report, drop]
    assert foreign not in told_past(out)
    numbers = [number for number, _, _ in feed_of("e2", out)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stage.tell(again.hello(feed=numbers[-1]))
    assert ack_of("e2", stage.tell(ScriptedEdge("e2", boots=(5, 6, 7)).hello())).refusal == "behind"


def test_a_past_is_told_once_though_the_epoch_before_is_heard_of_late(stage, edges):
    two = edges[1]
    stage.admin("fence", edge_id="e2")
    empty = ScriptedEdge("e2", boots=(5,))
    stage.tell(empty.hello())
    empty.begin(2, previous=(1, 0))
    stage.admin("fence", edge_id="e2")  # before central has heard of epoch 2
    out = fresh(stage, empty.hello(feed=2))
    assert rejoins("e2", out) == [Rejoin(epoch=3, restored=True)]
    began = empty.batch()
    empty.begin(3)
    assert "past" not in kinds("e2", fresh(stage, began))
    assert told_past(fresh(stage, empty.batch())) == two.log


def test_orders_that_are_settled_are_told_for_as_long_as_payments_may_be_repeated(stage, edges):
    two = edges[1]
    two.say(OrderCancelled(order_id="o", nothing_left=True), "o")
    stage.tell(two.batch())
    stage.admin("fence", edge_id="e2")
    _, out = restored(stage)
    assert told_past(out) == two.log


def test_a_long_past_is_cut_into_items(stage, edges):
    two = edges[1]
    for number in range(300):
        two.say(accepted(f"x{number}", None, quantity=1, parked=1), f"x{number}")
    stage.tell(two.batch(2, 200), two.batch(201))
    stage.admin("fence", edge_id="e2")
    _, out = restored(stage)
    bodies = [body for _, kind, body in feed_of("e2", out) if kind == "past"]
    assert len(bodies) > 1
    assert all(len(body) <= PAST_BYTES_MAX + 2 for body in bodies)
    assert [raw for body in bodies for raw in split_batch(body)] == two.log
    assert [body for body in bodies if not split_batch(body)] == bodies[-1:]  # which ends it


# Epochs.


def test_an_epoch_that_nobody_has_opened_is_refused(stage, edges):
    two = edges[1]
    began = two.restarted(1)
    began.begin(2, previous=(1, 1))
    assert stage.tell(began.batch()) == []
    assert stage.tell(began.hello()) == []
    stage.admin("fence", edge_id="e2")
    assert stage.tell(began.batch()) == []  # no rejoin has been written yet
    stage.tell(two.hello(feed=2))
    assert ack_of("e2", stage.tell(began.batch())).epoch == 2


def test_an_epoch_begins_with_its_own_event_alone(stage, edges):
    two = edges[1]
    stage.admin("fence", edge_id="e2")
    stage.tell(two.hello(feed=2))
    wrong = ScriptedEdge("e2", epoch=2)
    wrong.say(received("dc", A=1))
    assert acks(stage.tell(wrong.batch())) == {"e2": 1}
    wrong.log.clear()
    wrong.say(EpochBegan(epoch=3, previous_epoch=1, previous_sequence=1))
    assert acks(stage.tell(wrong.batch())) == {"e2": 1}
    assert stream(stage, "e2")["epoch"] == 1


def test_an_edge_may_be_fenced_again_before_it_has_begun_anew(stage, edges):
    two = edges[1]
    stage.admin("fence", edge_id="e2")
    stage.tell(two.hello(feed=2))
    first = two.restarted(1)
    first.begin(2)
    first.say(accepted("p", plan("dc", "A", 1)), "p")
    assert stage.admin("fence", edge_id="e2") == {"epoch": 3}
    out = fresh(stage, first.hello(feed=3))
    assert [x.epoch for x in rejoins("e2", out)] == [3]
    second = first.restarted(1)
    second.begin(3, previous=(2, 2))
    assert ack_of("e2", stage.tell(second.batch())).epoch == 1
    assert ack_of("e2", stage.tell(first.batch())).epoch == 2
    assert stage.codes() == ["fenced", "fenced", "late_sale"]
    ack = ack_of("e2", stage.tell(second.batch()))
    assert (ack.epoch, ack.sequence) == (3, 1)
    assert [(x["epoch"], x["sequence"]) for x in stage.rows(epochs)] == [(1, 1), (2, 2)]
    with stage.database.begin():
        assert verify(stage.database).position is None


def test_the_missing_end_of_an_epoch_that_is_over_is_found(stage, edges):
    from sqlalchemy import text

    two = edges[1]
    stage.admin("fence", edge_id="e2")
    stage.tell(two.hello(feed=2))
    began = two.restarted(1)
    began.begin(2, previous=(1, 1))
    stage.tell(began.batch())
    with stage.database.begin():
        unguard(stage.database, "ledger")
        stage.database.execute(text("DELETE FROM ledger WHERE edge_id = 'e2' AND epoch = 1"))
        verdict = verify(stage.database)
    assert (verdict.edge_id, verdict.epoch, verdict.sequence) == ("e2", 1, 1)


def test_an_edge_that_was_never_heard_can_be_fenced(location):
    with scene(location) as stage:
        stage.publish(document())
        one = ScriptedEdge("e1")
        one.say(received("dc", A=10))
        stage.tell(one.hello(), one.batch())
        assert stage.admin("fence", edge_id="e2") == {"epoch": 2}
        out = stage.tell(ScriptedEdge("e2").hello())
        assert kinds("e2", out)[:3] == ["network", "grant", "rejoin"]
        assert rejoins("e2", out) == [Rejoin(epoch=2)]


def test_what_a_replaced_disk_still_holds_is_noticed_when_it_comes_back(stage, edges):
    old = edges[1].restarted(1)
    stage.admin("fence", edge_id="e2")
    empty = ScriptedEdge("e2", boots=(5,))
    stage.tell(empty.hello())
    empty.begin(2, previous=(1, 0))
    stage.tell(empty.batch())
    old.say(accepted("late", plan("dc", "A", 1)), "late")
    assert ack_of("e2", stage.tell(old.hello(feed=2))).refusal == "twin"
    stage.admin("fence", edge_id="e2")
    assert rejoins("e2", stage.tell(old.hello(feed=2)))[-1] == Rejoin(epoch=3, restored=True)
    old.begin(3)
    assert ack_of("e2", stage.tell(old.batch())).epoch == 3
    assert stage.codes() == ["fenced", "edge_twin", "fenced", "epoch_over"]
