import json

import msgspec
import pytest
from sqlalchemy import text

from central import hub, streams
from central.core import Message
from central.holdings import broken_cells
from central.tables import (
    exceptions,
    ledger,
    orders,
    poison,
    tasks,
    waiting,
)
from central.tables import streams as streams_table
from shared import topics
from shared.events import PackageShipped, RoutePlanned, StockCounted
from shared.frames import NO_BOOT, Ack, Hello, encode_frame
from shared.parts import CountLine, PlannedLine
from tests.central_scene import (
    NOW_MS,
    ScriptedEdge,
    accepted,
    acks,
    boot,
    document,
    feed_of,
    granted,
    plan,
    received,
    requested,
    scene,
)


@pytest.fixture
def stage(location):
    with scene(location) as found:
        yield found


def up(edge_id, kind, payload):
    return Message(topics.up(edge_id, kind), payload)


# The stream.


def test_a_hello_is_always_answered_with_how_far_the_ledger_is(stage):
    edge = ScriptedEdge("e1")
    assert acks(stage.tell(edge.hello())) == {"e1": 0}
    edge.say(received("dc", A=1))
    assert acks(stage.tell(edge.batch())) == {"e1": 1}
    assert acks(stage.tell(edge.hello())) == {"e1": 1}


def test_the_ledger_keeps_exactly_the_bytes_that_the_edge_sent(stage):
    edge = ScriptedEdge("e1")
    edge.log = [edge.say(received("dc", A=1)).replace(b'"specversion"', b' "specversion"')]
    stage.tell(edge.batch())
    row = stage.rows(ledger)[0]
    assert row["raw"] == edge.log[0]
    assert (row["edge_id"], row["epoch"], row["sequence"]) == ("e1", 1, 1)
    assert row["type"] == "pointsman.stock.received.v1"
    assert row["source"] == "/edges/e1"


def test_an_event_sent_again_is_in_the_ledger_once(stage):
    edge = ScriptedEdge("e1")
    for _ in range(3):
        edge.say(received("dc", A=1))
    assert acks(stage.tell(edge.batch(1, 2), edge.batch(1, 3), edge.batch(2, 3))) == {"e1": 3}
    assert acks(stage.tell(edge.batch())) == {"e1": 3}
    assert len(stage.rows(ledger)) == 3
    assert stage.stock()["dc", "A"] == (3, 0, 0, 3, 0)


def test_a_gap_stops_the_stream_where_it_is(stage):
    edge = ScriptedEdge("e1")
    for _ in range(4):
        edge.say(received("dc", A=1))
    assert acks(stage.tell(edge.batch(1, 1), edge.batch(3, 4))) == {"e1": 1}
    assert acks(stage.tell(edge.batch(2, 4))) == {"e1": 4}
    assert [row["sequence"] for row in stage.rows(ledger)] == [1, 2, 3, 4]


def test_another_epoch_is_refused_and_never_acknowledged(stage):
    edge, clone = ScriptedEdge("e1"), ScriptedEdge("e1", epoch=2)
    edge.say(received("dc", A=1))
    clone.say(received("dc", A=1))
    stage.tell(edge.batch())
    clone.say(received("dc", A=1))
    assert stage.tell(clone.batch()) == []
    assert stage.tell(clone.hello()) == []
    assert stage.rows(streams_table)[0]["epoch"] == 1
    assert len(stage.rows(ledger)) == 1


def test_a_poison_event_is_kept_and_named_and_the_rest_flows(stage):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    edge.say(received("dc", A=1), type="pointsman.moon.landed.v1")
    edge.say(received("dc", A=1), data=msgspec.Raw(b'{"node_id": 7}'))
    edge.say(received("dc", A=1), data=msgspec.Raw(b'{"node_id": "\xff", "lines": []}'))
    edge.log.append(edge.say(received("dc", A=1)).replace(b'"1.0"', b'"0.3"'))
    del edge.log[4]
    edge.say(received("dc", A=1))
    assert acks(stage.tell(edge.batch())) == {"e1": 6}
    assert [row["raw"] for row in stage.rows(ledger)] == edge.log
    named = [(row["sequence"], row["code"]) for row in stage.rows(poison)]
    assert named == [
        (2, "unknown_type"), (3, "invalid_data"), (4, "not_json"), (5, "invalid_envelope"),
    ]  # fmt: skip
    assert stage.stock()["dc", "A"] == (2, 0, 0, 2, 0)


def test_an_event_without_a_place_stops_the_stream_there(stage):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    edge.say(received("dc", A=1), sequence=None)
    assert acks(stage.tell(edge.batch())) == {"e1": 1}


@pytest.mark.parametrize(
    "topic,payload",
    [
        ("pointsman/v1/e1/up/hello", b"{"),
        ("pointsman/v1/e1/up/hello", b'{"epoch": 0, "sequence": 0, "feed": 0}'),
        ("pointsman/v1/e1/up/log", b"{}"),
        ("pointsman/v1/e1/up/log", b"[" * 100_000),
        ("pointsman/v1/e1/up/log", b"[" + b" " * 5_000_000 + b"]"),
        ("pointsman/v1/e1/up/contacts", b'[{"order_id": "\xff", "contact": {}}]'),
        ("pointsman/v1/e1/up/gossip", b"{}"),
        ("pointsman/v1/e1/down/ack", b"{}"),
        ("other/topic", b""),
    ],
)
def test_a_malformed_message_is_refused_and_the_others_are_heard(stage, topic, payload):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    assert acks(stage.tell(Message(topic, payload), edge.batch())) == {"e1": 1}


def test_nothing_is_acknowledged_when_the_transaction_fails(stage, monkeypatch):
    stage.publish(document())
    edge = ScriptedEdge("e1")
    stage.tell(edge.hello())
    edge.say(received("dc", A=10))
    real = streams.append_feed

    def full_disk(connection, items):
        real(connection, items)
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with monkeypatch.context() as patch:
        patch.setattr(streams, "append_feed", full_disk)
        assert stage.tell(edge.batch()) == []
        assert stage.central.ingest("e1", edge.log, now_ms=NOW_MS) is None
        assert stage.publish(document(2))["code"] == "storage_failed"
    assert (stage.rows(ledger), stage.stock()) == ([], {})
    out = stage.tell(edge.batch())
    assert (acks(out), granted("e1", out)) == ({"e1": 1}, {("dc", "A"): 4})


def test_a_fault_of_ours_at_one_event_takes_only_its_effect(stage, monkeypatch):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    edge.say(accepted("bad", None, parked=1), "bad")
    edge.say(accepted("good", None, parked=1), "good")
    real = hub.apply

    def apply(desk, edge_id, event, data):
        if getattr(data, "order_id", "") == "bad":
            raise ZeroDivisionError("a bug")
        return real(desk, edge_id, event, data)

    monkeypatch.setattr(hub, "apply", apply)
    assert stage.central.ingest("e1", edge.log, now_ms=NOW_MS) == Ack(
        epoch=1, sequence=3, boot=NO_BOOT
    )
    assert [(x["sequence"], x["code"]) for x in stage.rows(poison)] == [(2, "internal")]
    assert [x["order_id"] for x in stage.rows(orders)] == ["good"]
    assert stage.stock()["dc", "A"][3] == 1


# Stock.


def test_stock_received_is_granted_and_the_grant_is_debited_first(stage):
    stage.publish(document())
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.tell(one.hello(), two.hello())
    one.say(received("dc", A=10))
    one.say(received("s-e2", A=3))
    out = stage.tell(one.batch())
    assert granted("e1", out) == {("dc", "A"): 4}
    assert granted("e2", out) == {("dc", "A"): 4, ("s-e2", "A"): 3}
    assert stage.stock()["dc", "A"] == (2, 0, 0, 10, 0)
    assert stage.shares()["e2", "s-e2", "A"] == 3


def test_stock_that_came_before_its_network_is_granted_when_the_network_comes(stage):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=10))
    edge.say(accepted("o", None, quantity=9, parked=9), "o")
    assert granted("e1", stage.tell(edge.batch())) == {("dc", "A"): 9}
    edge.say(received("s-e1", B=2))
    edge.say(received("dc", B=10))
    assert granted("e1", stage.tell(edge.batch())) == {}  # nobody knows whose it is
    assert stage.publish(document()) == {"version": 1}
    other = ScriptedEdge("e2")
    out = stage.tell(other.hello())
    assert [kind for _, kind, _ in feed_of("e2", out)] == ["network", "grant"]
    assert stage.shares()["e1", "s-e1", "B"] == 2


def test_a_parked_line_is_relieved_at_once_or_when_stock_comes(stage):
    stage.publish(document())
    edge = ScriptedEdge("e2")
    edge.say(accepted("o", None, quantity=9, parked=9), "o")
    stage.tell(edge.batch())
    home = ScriptedEdge("e1")
    home.say(received("dc", A=10))
    assert granted("e2", stage.tell(home.batch()))["dc", "A"] == 9
    assert [x["order_id"] for x in stage.rows(waiting)] == ["o"]
    edge.say(RoutePlanned(order_id="o", plan=plan("dc", "A", 9)), "o")
    stage.tell(edge.batch())
    assert stage.rows(waiting) == []
    assert stage.stock()["dc", "A"][1] == 9
    assert stage.rows(exceptions) == []


def test_a_report_may_come_before_the_order_that_it_is_about(stage):
    stage.publish(document())
    home, node = ScriptedEdge("e2"), ScriptedEdge("e1")
    node.say(received("dc", A=10))
    stage.tell(home.hello(), node.hello(), node.batch())
    home.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    home.say(requested("o", "dc", "A", 2, home="e2"), "o")
    line = [PlannedLine(line=0, sku="A", quantity=2)]
    node.say(PackageShipped(task_id="o.0.0", node_id="dc", home_edge_id="e2", lines=line), "o")
    stage.tell(node.batch())
    assert stage.stock()["dc", "A"] == (2, -2, 2, 10, 0)
    stage.tell(home.batch())
    assert stage.stock()["dc", "A"] == (2, 0, 2, 10, 0)
    assert [(x["state"], x["edge_id"]) for x in stage.rows(orders)] == [("shipped", "e2")]
    assert stage.rows(tasks)[0]["units"] == 2
    assert stage.rows(exceptions) == []


def test_a_report_finds_its_order_by_its_task(stage):
    home = ScriptedEdge("e1")
    home.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    home.say(requested("o", "dc", "A", 2, home="e1"), "o")
    stage.tell(home.batch())
    home.say(PackageShipped(task_id="o.0.0", node_id="dc"))
    stage.tell(home.batch())
    assert stage.rows(orders)[0]["state"] == "shipped"


def test_a_debt_and_an_oversold_share_are_exceptions(stage):
    stage.publish(document())
    edge = ScriptedEdge("e1")
    edge.say(received("s-e1", A=5))
    stage.tell(edge.batch())
    edge.say(StockCounted(node_id="s-e1", lines=[CountLine(sku="A", quantity=3)]))
    edge.say(accepted("o", plan("s-e1", "A", 6), quantity=6), "o")
    stage.tell(edge.batch())
    assert sorted(row["code"] for row in stage.rows(exceptions)) == ["oversold", "stock_debt"]
    with stage.database.begin():
        assert broken_cells(stage.database) == []
        stage.database.execute(text("UPDATE accounts SET pool = pool + 1"))
        assert broken_cells(stage.database) == [("s-e1", "A")]


def test_a_hello_with_no_log_yet_is_acknowledged_at_zero(stage):
    hello = Hello(epoch=4, sequence=0, feed=0, boots=[boot(1)])
    out = stage.tell(up("new", topics.HELLO, encode_frame(hello)))
    assert [json.loads(x.payload) for x in out] == [
        {"epoch": 4, "sequence": 0, "boot": boot(1), "refusal": ""}
    ]
