"""Who may speak as an edge: starts, twins, restored stores."""

import pytest

from central.tables import exceptions, ledger, orders
from central.tables import streams as streams_table
from shared.events import OrderParked
from tests.central_scene import (
    accepted,
    ack_of,
    acks,
    boot,
    feed_of,
    plan,
    received,
    scene,
    shortage,
    two_edges,
)


@pytest.fixture
def stage(location):
    with scene(location) as found:
        yield found


@pytest.fixture
def edges(stage):
    return two_edges(stage)


def stream(stage, edge_id):
    return next(x for x in stage.rows(streams_table) if x["edge_id"] == edge_id)


def test_an_edge_that_restarts_is_known_by_its_earlier_start(stage, edges):
    two = edges[1].restarted(1, 2)
    ack = ack_of("e2", stage.tell(two.hello(feed=2)))
    assert (ack.boot, ack.refusal, ack.sequence) == (boot(2), "", 1)
    two.say(OrderParked(order_id="o", parked=shortage("B", 1)), "o")
    assert ack_of("e2", stage.tell(two.batch())).boot == boot(2)
    stage.restart()
    assert ack_of("e2", stage.tell(two.hello(feed=2))).refusal == ""
    assert stage.codes() == []


def test_a_twin_is_refused_and_the_original_goes_on(stage, edges):
    stage.tell(edges[1].restarted(1, 2).hello(feed=2))
    before = stream(stage, "e2")
    twin, original = edges[1].restarted(1, 9), edges[1].restarted(1, 2)
    for _ in range(2):
        ack = ack_of("e2", stage.tell(twin.hello(feed=2)))
        assert (ack.boot, ack.refusal) == (boot(9), "twin")
    assert stream(stage, "e2") == before
    assert stage.codes() == ["edge_twin"]
    assert stage.rows(exceptions)[0]["edge_id"] == "e2"
    original.say(OrderParked(order_id="o", parked=shortage("B", 1)), "o")
    out = stage.tell(twin.hello(feed=2), original.hello(feed=2), original.batch())
    assert ack_of("e2", out).boot == boot(2)
    assert acks(out) == {"e2": 2}


@pytest.mark.parametrize(
    "hello",
    [{"feed": 2, "sequence": 0}, {"feed": 1}, {"feed": 2, "unfit": True}],
    ids=["log", "feed", "by its own word"],
)
def test_a_store_that_is_behind_is_refused_and_can_add_nothing(stage, edges, hello):
    restored = edges[1].restarted(1, 2)
    for _ in range(2):
        ack = ack_of("e2", stage.tell(restored.hello(**hello)))
        assert (ack.boot, ack.refusal, ack.sequence) == (boot(2), "behind", 1)
    assert stage.codes() == ["edge_behind"]
    restored.say(accepted("p", plan("dc", "A", 2), quantity=2), "p")
    assert stage.tell(restored.batch()) == []
    edges[0].say(received("s-e2", A=3))
    assert feed_of("e2", stage.tell(edges[0].batch())) == []
    stage.restart()
    # It has sold on, so it is no longer behind by number; it has gone another way.
    assert ack_of("e2", stage.tell(restored.hello(feed=2))).refusal == "behind"
    assert [x["sequence"] for x in stage.rows(ledger) if x["edge_id"] == "e2"] == [1]
    assert stage.codes() == ["edge_behind"]


def test_the_original_is_served_again_when_it_speaks_after_a_copy_that_is_behind(stage, edges):
    stage.tell(edges[1].restarted(1, 2, log=[]).hello(feed=2))
    assert ack_of("e2", stage.tell(edges[1].hello(feed=2))).refusal == ""
    edges[1].say(OrderParked(order_id="o", parked=shortage("B", 1)), "o")
    assert acks(stage.tell(edges[1].batch())) == {"e2": 2}


def test_a_hello_that_was_long_on_its_way_is_no_restored_store(stage, edges):
    late = edges[1].hello(feed=0, sequence=0)
    assert ack_of("e2", stage.tell(late)).refusal == ""
    assert (stream(stage, "e2")["feed_acked"], stage.codes()) == (2, [])


def test_what_is_said_again_in_other_words_is_noticed(stage, edges):
    other = edges[1].restarted(1, log=[])
    other.say(accepted("p", plan("dc", "A", 1)), "p")
    for _ in range(2):
        assert acks(stage.tell(other.batch())) == {"e2": 1}
    assert stage.codes() == ["diverged"]
    assert [x["order_id"] for x in stage.rows(orders)] == ["o"]
