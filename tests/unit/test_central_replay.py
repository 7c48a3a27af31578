"""Poison events are read again when the code has learned."""

import msgspec
import pytest

from central import hub
from central.tables import ledger, orders, poison
from shared import envelope
from shared.events import BY_TYPE, StockReceived
from shared.frames import NO_BOOT
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    ack_of,
    document,
    granted,
    received,
    requested,
    scene,
)

MOON = "pointsman.moon.landed.v1"


@pytest.fixture
def stage(location):
    with scene(location) as found:
        found.publish(document())
        yield found


def learn(monkeypatch):
    """From now on, an event of another type can be read."""
    monkeypatch.setitem(BY_TYPE, MOON, StockReceived)
    decoder = msgspec.json.Decoder(StockReceived)
    monkeypatch.setitem(envelope._data_decoders, MOON, decoder)


def test_what_can_be_read_now_has_its_effect_once(stage, monkeypatch):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=10), type=MOON)
    edge.say(received("dc", A=1), data=msgspec.Raw(b'{"node_id": 7}'))
    edge.say(received("dc", B=1))
    stage.tell(edge.hello(), edge.batch())
    remaining = {"invalid_data": 1, "unknown_type": 1}
    assert stage.admin("replay") == {"remaining": remaining}
    learn(monkeypatch)
    assert stage.admin("replay", sequence=2) == {"remaining": {"invalid_data": 1}}
    assert stage.admin("replay", edge_id="e2") == {}
    assert stage.admin("replay", edge_id="e1") == {
        "replayed": 1,
        "remaining": {"invalid_data": 1},
    }
    assert granted("e1", stage.sent)["dc", "A"] == 4
    assert stage.admin("replay") == {"remaining": {"invalid_data": 1}}
    assert stage.stock()["dc", "A"][3] == 10
    assert [row["sequence"] for row in stage.rows(poison)] == [2]
    assert len(stage.rows(ledger)) == 3


def test_an_event_that_met_a_fault_of_ours_is_tried_again(stage, monkeypatch):
    edge = ScriptedEdge("e2")
    edge.say(accepted("o", None, parked=1), "o")
    raw = edge.say(requested("o", "dc", "A", 1, home="e2"), "o")
    with monkeypatch.context() as patch:
        patch.setattr(hub, "apply", lambda *_: 1 // 0)
        stage.tell(ScriptedEdge("e1").hello(), edge.batch())
        assert stage.admin("replay") == {"remaining": {"internal": 2}}
        assert ack_of("e2", stage.sent).boot == NO_BOOT
    assert stage.admin("replay") == {"replayed": 2}
    assert [row["order_id"] for row in stage.rows(orders)] == ["o"]
    assert any(x.payload == raw for x in stage.sent)  # it was passed on, too
    assert stage.rows(poison) == []


def test_what_is_read_again_after_a_fence_is_late(stage, monkeypatch):
    edge = ScriptedEdge("e2")
    edge.say(accepted("o", None, parked=1), "o", type=MOON, data=msgspec.Raw(b"{}"))
    stage.tell(edge.hello(), edge.batch())
    stage.admin("fence", edge_id="e2")
    learn(monkeypatch)
    assert stage.admin("replay") == {"remaining": {"invalid_data": 1}}
