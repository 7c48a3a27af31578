import json

import msgspec
import pytest
from sqlalchemy import text

from central import streams
from central.core import Message
from central.feed import PATIENCE_MS, WINDOW_ITEMS_MAX
from central.tables import (
    exceptions,
    feed,
    networks,
    vault,
)
from central.tables import streams as streams_table
from shared import topics
from shared.events import PickShort, StockMoved
from shared.frames import ContactFor, ContactsAck, decode_bulk, encode_frame
from shared.network import Network
from shared.parts import Contact, PlannedLine, StockLine
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    acks,
    document,
    feed_of,
    network,
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


# The feed.


def test_a_pick_task_travels_down_the_feed_of_the_node_s_edge(stage):
    stage.publish(document())
    home, node = ScriptedEdge("e2"), ScriptedEdge("e1")
    stage.tell(home.hello(), node.hello())
    raw = home.say(requested("o", "dc", "A", 1, home="e2"), "o")
    assert feed_of("e1", stage.tell(home.batch())) == [(2, "event", raw)]
    short = node.say(
        PickShort(
            task_id="o.0.0", node_id="dc", home_edge_id="e2",
            missing=[PlannedLine(line=0, sku="A", quantity=1)],
        ),
        "o",
    )  # fmt: skip
    assert feed_of("e2", stage.tell(node.batch())) == [(2, "event", short)]


def test_a_pick_task_for_an_unknown_node_is_an_exception(stage):
    edge = ScriptedEdge("e1")
    edge.say(requested("o", "moon", "A", 1, home="e1"), "o")
    stage.tell(edge.batch())
    assert [row["code"] for row in stage.rows(exceptions)] == ["unknown_node"]


def test_moved_stock_is_told_to_all_other_edges(stage):
    stage.publish(document())
    one, two, late = ScriptedEdge("e1"), ScriptedEdge("e2"), ScriptedEdge("e9")
    stage.tell(one.hello(), two.hello(), late.hello())
    moved = StockMoved(node_id="dc", to_node_id="s-e1", lines=[StockLine(sku="A", quantity=1)])
    raw = one.say(moved)
    out = stage.tell(one.batch())
    assert feed_of("e2", out) == [(2, "event", raw)]
    assert feed_of("e9", out) == [(2, "event", raw)]
    assert feed_of("e1", out) == []


def test_the_feed_has_no_gaps_and_is_pruned_as_it_is_applied(stage):
    stage.publish(document())
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    for _ in range(WINDOW_ITEMS_MAX + 5):
        two.say(requested("o", "dc", "A", 1, home="e2"))
    first = feed_of("e1", stage.tell(one.hello(), two.batch()))
    assert [number for number, _, _ in first] == list(range(1, WINDOW_ITEMS_MAX + 1))
    more = feed_of("e1", stage.tell(one.hello(feed=10)))
    assert [number for number, _, _ in more] == list(range(33, 33 + 6))
    mine = [row["number"] for row in stage.rows(feed) if row["edge_id"] == "e1"]
    assert mine == list(range(11, 39))
    stage.tell(one.hello(feed=38))
    assert [row for row in stage.rows(feed) if row["edge_id"] == "e1"] == []


def test_a_lost_feed_is_sent_again(stage):
    stage.publish(document())
    edge = ScriptedEdge("e1")
    first = feed_of("e1", stage.tell(edge.hello()))
    assert [x[:2] for x in first] == [(1, "network")]
    assert feed_of("e1", stage.tell(edge.hello())) == []
    stage.elapsed_ms = PATIENCE_MS
    assert feed_of("e1", stage.tell(edge.hello())) == first
    assert stage.central.tick(stage.elapsed_ms + 1) == []
    assert feed_of("e1", stage.central.tick(stage.elapsed_ms + 2 * PATIENCE_MS)) == first
    assert feed_of("e1", stage.central.connected(stage.elapsed_ms)) == first
    stage.restart()
    assert feed_of("e1", stage.central.connected(0)) == first
    stage.tell(edge.hello(feed=1))
    assert stage.central.tick(10**9) == []


def test_nothing_is_sent_to_an_edge_that_was_never_heard(stage):
    stage.publish(document())
    assert stage.central.connected(0) == []
    assert stage.central.edges == {"e1", "e2"}


def test_an_unreadable_feed_is_tried_again(stage, monkeypatch):
    stage.publish(document())
    with monkeypatch.context() as patch:
        patch.setattr(streams, "load_feed", lambda db, *_: db.execute(text("SELECT nothing")))
        assert feed_of("e1", stage.tell(ScriptedEdge("e1").hello())) == []
    assert len(feed_of("e1", stage.central.connected(0))) == 1


def test_what_one_side_has_forgotten_is_refused_and_harms_nothing(stage):
    stage.publish(document())
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    stage.tell(edge.hello(), edge.batch())
    stage.tell(edge.hello(feed=1))
    for stale in (edge.hello(feed=99), edge.hello(feed=0), edge.hello(feed=1, sequence=0)):
        assert acks(stage.tell(stale)) == {"e1": 1}
    assert stage.rows(streams_table)[0]["feed_acked"] == 1


def test_the_second_edge_of_a_payment_is_told_whose_the_order_is(stage):
    stage.publish(document())
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.tell(one.hello(), two.hello())
    first = one.say(accepted("o", None, parked=1), "o")
    two.say(accepted("o", None, parked=1), "o")
    out = stage.tell(one.batch(), two.batch())
    assert feed_of("e2", out) == [(2, "event", first)]
    assert feed_of("e1", out) == []
    assert stage.codes() == ["order_twice"]


# Networks and contacts.


def test_a_network_reaches_every_edge_and_who_comes_later(stage):
    stage.tell(ScriptedEdge("e7").hello())
    stage.publish(document(3))
    body = feed_of("e7", stage.sent)[-1][2]
    assert decode_bulk(body, Network) == network(3)
    assert [x[1] for x in feed_of("e8", stage.tell(ScriptedEdge("e8").hello()))] == ["network"]
    stage.restart()
    assert [x[1] for x in feed_of("e9", stage.tell(ScriptedEdge("e9").hello()))] == ["network"]


def test_the_same_network_again_changes_nothing(stage):
    assert stage.publish(document(3)) == {"version": 3}
    assert stage.publish(json.dumps(json.loads(document(3)), indent=1).encode()) == {"version": 3}
    assert [row["version"] for row in stage.rows(networks)] == [3]
    assert len(stage.rows(feed)) == 2


@pytest.mark.parametrize(
    "payload,code,place",
    [
        (document(2, edges=("e1",)), "invalid_data", "$.version"),
        (b"{}", "invalid_data", "$"),
        (b"\xff", "invalid_data", "$"),
        (document(4).replace(b'"name":"dc"', b'"name":"\xff"'), "not_json", "$"),
    ],
)
def test_a_bad_network_is_refused_with_the_place(stage, payload, code, place):
    stage.publish(document(3))
    answer = stage.publish(payload)
    assert (answer["code"], answer["place"]) == (code, place)
    assert answer["expected"]
    assert len(stage.rows(networks)) == 1


def test_contacts_are_kept_apart_and_acknowledged(stage):
    edge = ScriptedEdge("e1")
    contact = Contact(name="Li Lei", phone="13800000000")
    batch = [ContactFor(order_id=f"o{i}", contact=contact) for i in range(300)]
    out = stage.tell(up("e1", topics.CONTACTS, encode_frame(batch)), edge.hello())
    told = [msgspec.json.decode(x.payload, type=ContactsAck) for x in out if "contacts" in x.topic]
    assert [len(x.order_ids) for x in told] == [256, 44]
    stage.tell(up("e1", topics.CONTACTS, encode_frame(batch[:1])))
    assert len(stage.rows(vault)) == 300
    assert stage.admin("contact", by="ops", order_id="o7")["contact"]["name"] == "Li Lei"


def test_no_log_line_carries_a_contact(stage, capsys):
    payload = b'[{"order_id": "o", "contact": {"name": "Li Lei", "age": "SECRET"}}]'
    stage.tell(up("e1", topics.CONTACTS, payload))
    shown = capsys.readouterr()
    assert "message_refused" in shown.out + shown.err
    assert "Li Lei" not in shown.out + shown.err
    assert "SECRET" not in shown.out + shown.err
