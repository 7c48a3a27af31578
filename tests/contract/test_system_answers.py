"""What systems say to central, right and wrong, once and again."""

from datetime import timedelta

import msgspec
import pytest

from central.admin import Message
from central.tables import awaited, beliefs, heard
from shared import topics
from shared.envelope import decode_data
from shared.events import (
    PackageDelivered,
    PackageShipped,
)
from shared.parts import PlannedLine
from shared.systems import (
    InventoryLocked,
    InventoryLockRefused,
    MessageFailed,
    MessageSent,
    StatusReported,
)
from tests.central_scene import (
    NOW,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
)
from tests.system_scene import (
    LIMITS,
    codes,
    hub_log,
    tell,
)

LOCK_MS = LIMITS.lock_s * 1_000


def test_a_repeated_answer_is_told_so_and_has_no_second_effect(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    (command,) = erp.commands()
    answer = erp.say(InventoryLocked(order_id="o"), command)
    first = erp.read(stage.tell(answer, answer))
    assert len(first) == 2
    assert first[0] == first[1]
    stage.restart()
    assert erp.read(stage.tell(answer))[0].data == first[0].data
    assert len(hub_log(stage)) == 3
    assert len(stage.rows(heard)) == 1
    assert codes(stage) == []
    assert stage.rows(awaited)[0]["outcome"] == "done"


def test_an_answers_id_with_other_content_is_refused(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    (command,) = erp.commands()
    stage.tell(erp.say(InventoryLocked(order_id="o"), command))
    other = erp.say(InventoryLockRefused(order_id="o", reason="no"), command, id="erp-1")
    (rejected,) = erp.read(stage.tell(other))
    assert decode_data(rejected).code == "id_reused"
    assert rejected.causationid == "erp-1"
    assert len(hub_log(stage)) == 3


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"source": "/devices/sms"}, "topic_mismatch"),
        ({"causationid": None}, "invalid_envelope"),
        ({"sequence": "0" * 15 + "1"}, "invalid_envelope"),
        ({"data": msgspec.Raw(b'{"order_id": 7}')}, "invalid_data"),
        ({"type": "pointsman.answer.missed.v1"}, "unknown_type"),
        ({"type": "pointsman.message.sent.v1"}, "topic_mismatch"),
    ],
)
def test_what_a_system_says_wrongly_is_refused_and_told(stage, erp, changes, code):
    message = erp.say(InventoryLocked(order_id="o"), "hub-1-1", **changes)
    (rejected,) = erp.read(stage.tell(message))
    assert decode_data(rejected).code == code
    assert hub_log(stage) == []


def test_nobody_may_call_itself_hub_or_admin(stage, erp):
    for name in ("hub", "admin"):
        edge = ScriptedEdge(name)
        edge.say(received("dc", A=1))
        assert stage.tell(edge.hello(), edge.batch()) == []
        assert stage.publish(document(2, ("e1", name)))["code"] == "invalid_data"
    assert hub_log(stage) == []


def test_an_edge_cannot_speak_for_central_in_its_own_log(stage, edge):
    edge.say(InventoryLocked(order_id="o"), "o")
    edge.say(received("dc", A=1), source="/hub")
    tell(stage, edge)
    assert [x.fault.code for x in poisoned(stage)] == ["invalid_envelope"] * 2


def poisoned(stage):
    from central.stream import again
    from central.tables import poison

    return [
        again(x["edge_id"], x["epoch"], x["sequence"], x["raw"], b"") for x in stage.rows(poison)
    ]


def test_answers_that_do_not_fit_are_kept_noted_and_not_applied(stage, edge, erp, sms):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp, sms)
    (lock,), (confirmation,) = erp.commands(), sms.commands()
    stage.tell(
        erp.say(InventoryLocked(order_id="o"), "hub-1-99"),
        erp.say(InventoryLocked(order_id="p"), lock),
        erp.say(InventoryLocked(order_id="o"), confirmation),
        sms.say(InventoryLocked(order_id="o"), lock),
        sms.say(MessageFailed(order_id="o", reason="139 1234 5678 is busy", retryable=True),
                confirmation),
        sms.say(MessageSent(order_id="o"), confirmation),
        sms.say(MessageSent(order_id="o"), confirmation),
    )  # fmt: skip
    assert codes(stage) == [
        "unknown_command", "wrong_answer", "wrong_answer", "wrong_answer", "answered_before",
    ]  # fmt: skip
    assert len(hub_log(stage)) == 9
    rows = {x["step"]: x["outcome"] for x in stage.rows(awaited)}
    assert rows == {"lock": None, "confirmation": "done"}
    assert b"1234" not in b"".join(bytes(x.data) for x in hub_log(stage))


def test_a_lock_that_is_refused_when_the_order_has_shipped_changes_nothing(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
    edge.say(PackageShipped(**task, lines=[PlannedLine(line=0, sku="A", quantity=1)]), "o")
    edge.say(PackageDelivered(**task), "o")
    tell(stage, edge, erp)
    (lock,) = erp.commands()
    stage.tell(erp.say(InventoryLockRefused(order_id="o", reason="blocked"), lock))
    assert codes(stage) == ["refused_too_late"]
    assert stage.rows(awaited)[0]["outcome"] == "misfit"


def test_a_word_that_nobody_knows_is_kept_and_noted(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    stage.tell(erp.say(StatusReported(order_id="o", state="MOON", at=NOW)))
    assert codes(stage) == ["unknown_status"]
    (row,) = stage.rows(beliefs)
    assert (row["system"], row["order_id"], row["word"]) == ("erp", "o", "MOON")


def test_every_reply_has_an_id_of_its_own_and_the_same_reply_the_same(stage, erp):
    topic = topics.up("erp", StatusReported.kind)
    unread = [Message(topic, b"{"), Message(topic, b"["), Message(topic, b"{")]
    told = erp.read(stage.tell(*unread))
    assert told[0] == told[2]
    assert len({(x.id, x.causationid) for x in told}) == 2
    said = StatusReported(order_id="o", state="NEW", at=NOW)
    long = [erp.say(said, id="x" * 120 + end) for end in ("1", "2", "1")]
    recorded = erp.read(stage.tell(*long))
    assert {decode_data(x).kind for x in recorded} == {"report.recorded"}
    assert recorded[0] == recorded[2]
    assert recorded[0].id != recorded[1].id
    other = erp.say(StatusReported(order_id="o", state="DONE", at=NOW), id="x" * 120 + "1")
    (refused,) = erp.read(stage.tell(other))
    assert refused.id not in {x.id for x in (*told, *recorded)}


def test_a_belief_of_a_later_time_than_now_is_refused_and_hides_nothing(stage, erp):
    ahead = NOW + timedelta(minutes=10, seconds=1)
    (refused,) = erp.read(stage.tell(erp.say(StatusReported(order_id="o", state="A", at=ahead))))
    data = decode_data(refused)
    assert (data.code, data.place) == ("invalid_data", "$.data.at")
    stage.tell(erp.say(StatusReported(order_id="o", state="NEW", at=NOW)))
    (row,) = stage.rows(beliefs)
    assert row["word"] == "NEW"


def test_a_reason_enters_the_ledger_masked_and_is_known_again(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    (command,) = erp.commands()
    reason = "ask 138.0013.8000 or wang.li@example.com"
    answer = erp.say(InventoryLockRefused(order_id="o", reason=reason), command)
    told = erp.read(stage.tell(answer, answer))
    assert {decode_data(x).kind for x in told} == {"report.recorded"}
    assert decode_data(hub_log(stage)[-1]).reason == "ask #####00 or #####@"


def test_a_network_may_not_call_an_edge_as_a_system(stage):
    refused = stage.publish(document(2, ("e1", "erp")))
    assert refused["code"] == "invalid_data"
    assert refused["place"].endswith(".edge_id")
    assert "'erp'" in refused["detail"]
