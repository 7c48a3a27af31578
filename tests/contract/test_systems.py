"""Central and its systems: commands, answers, missed answers, contacts, beliefs."""

from sqlalchemy import text

from central.archive import export_file, import_file
from central.courier import PATIENCE_MS, ROUND_MS
from central.dealings import Dealings
from central.past import past_of
from central.tables import accesses, awaited, locks, poison
from shared import topics
from shared.envelope import decode_data, decode_event
from shared.events import (
    OrderCancelled,
    OrderParked,
    PickAccepted,
    PickShort,
    RoutePlanned,
)
from shared.parts import PlannedLine
from shared.systems import (
    AnswerMissed,
    InventoryLocked,
    InventoryLockRequested,
    LockLine,
    MessageSent,
    PaymentConfirmationRequested,
    StatusReported,
)
from tests.central_scene import (
    NOW,
    Scene,
    ScriptedEdge,
    accepted,
    document,
    plan,
    requested,
    scene,
    shortage,
)
from tests.system_scene import (
    CONTACT,
    LIMITS,
    SYSTEMS,
    assert_rebuilt_alike,
    codes,
    contact,
    hub_log,
    orders_of,
    tell,
)

LOCK_MS = LIMITS.lock_s * 1_000


def test_a_payment_makes_a_lock_and_a_confirmation_in_its_causal_chain(stage, edge, erp, sms):
    edge.say(accepted("o", plan("dc", "A", 2), quantity=3, parked=1), "o")
    tell(stage, edge, erp, sms)
    (lock,) = orders_of(erp, InventoryLockRequested)
    assert lock.lines == [
        LockLine(sku="A", quantity=1),
        LockLine(sku="A", quantity=2, node_id="dc"),
    ]
    (confirmation,) = orders_of(sms, PaymentConfirmationRequested)
    assert (confirmation.order_id, confirmation.amount.minor) == ("o", 100)
    cause = decode_event(edge.log[1])
    for event in hub_log(stage):
        assert (event.causationid, event.correlationid) == (cause.id, "o")
        assert event.source == "/hub"
        assert event.hlc > cause.hlc
    assert [x["step"] for x in stage.rows(awaited)] == ["lock", "confirmation"]


def test_without_a_configured_system_nothing_is_commanded(location):
    with scene(location) as stage:
        edge = ScriptedEdge("e1")
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        stage.tell(edge.batch())
        assert hub_log(stage) == []
        assert stage.rows(awaited) == []


def test_the_second_edge_that_accepts_a_payment_commands_nothing(stage, edge, erp):
    two = ScriptedEdge("e2")
    for one in (edge, two):
        one.say(accepted("o", plan("dc", "A", 1)), "o")
        tell(stage, one, erp)
    two.say(OrderCancelled(order_id="o", nothing_left=True), "o")
    tell(stage, two, erp)
    assert len(erp.told) == 1


def test_the_lock_follows_what_the_order_holds(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 2), quantity=3, parked=1), "o")
    edge.say(requested("o", "dc", "A", 2, home="e1"), "o")
    edge.say(RoutePlanned(order_id="o", plan=plan("s-e1", "A", 1)), "o")
    missing = [PlannedLine(line=0, sku="A", quantity=1)]
    task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
    edge.say(PickShort(**task, missing=missing), "o")
    edge.say(OrderParked(order_id="o", parked=shortage("A", 1)), "o")
    edge.say(OrderCancelled(order_id="o", released=plan_cells("s-e1", 1), nothing_left=True), "o")
    tell(stage, edge, erp)
    found = orders_of(erp, InventoryLockRequested)
    assert [x.revision for x in found] == [1, 2, 3, 4, 5]
    assert [[(x.node_id, x.quantity) for x in lock.lines] for lock in found] == [
        [(None, 1), ("dc", 2)],
        [("dc", 2), ("s-e1", 1)],
        [("dc", 1), ("s-e1", 1)],
        [(None, 1), ("dc", 1), ("s-e1", 1)],
        [("dc", 1)],
    ]
    assert stage.rows(locks)[0]["revision"] == 5


def plan_cells(node_id, units):
    from shared.parts import CellUnits

    return [CellUnits(node_id=node_id, sku="A", quantity=units)]


def test_a_command_is_sent_until_its_answer_is_in(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    (command,) = erp.commands()
    raw = erp.told[0]
    for _ in range(3):
        stage.sent.clear()
        while not (again := erp.read(stage.tick(PATIENCE_MS))):
            pass
        assert again == [raw]
    out = stage.tell(erp.say(InventoryLocked(order_id="o"), command))
    assert [decode_data(x).kind for x in erp.read(out)] == ["report.recorded"]
    stage.sent.clear()
    stage.restart()
    out = stage.central.connected(stage.elapsed_ms) + stage.tick(100 * ROUND_MS)
    assert erp.read(out) == []


def test_a_restarted_central_sends_what_is_open_and_goes_on_in_its_stream(stage, edge, erp):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    stage.restart()
    assert {x.id for x in erp.read(stage.central.connected(0))} == {"hub-1-1"}
    edge.say(accepted("p", plan("dc", "A", 1)), "p")
    tell(stage, edge, erp)
    log = hub_log(stage)
    assert [x.number() for x in log] == [1, 2, 3, 4]
    assert sorted(x.hlc for x in log) == [x.hlc for x in log]
    assert len({x.hlc for x in log}) == 4


def test_an_answer_that_stays_out_is_missed_once_and_may_come_later(stage, edge, erp):
    stage.tick(0)
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    (command,) = erp.commands()
    stage.tell(erp.say(StatusReported(order_id="o", state="NEW", at=NOW)))
    stage.tick(LOCK_MS - 1_000)
    assert codes(stage) == []
    stage.tick(1_000)
    stage.tick(1_000)
    missed = [x for x in hub_log(stage) if x.type == "pointsman.answer.missed.v1"]
    (data,) = (decode_data(x) for x in missed)
    assert (data.system, data.step, data.command_id) == ("erp", "lock", command)
    assert data.last_seen == NOW
    assert missed[0].causationid == command
    assert codes(stage) == ["answer_missed"]
    stage.tell(erp.say(InventoryLocked(order_id="o"), command))
    row = stage.rows(awaited)[0]
    assert row["missed_ms"] < row["answered_ms"] or row["outcome"] == "done"
    assert codes(stage) == ["answer_missed"]


def test_a_central_that_was_down_listens_for_the_limit_before_it_calls_anything_missed(
    stage, edge, erp
):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, erp)
    stage.now_ms += 10 * LOCK_MS
    stage.restart()
    stage.tick(0)
    stage.tick(LOCK_MS - 1)
    assert codes(stage) == []
    stage.tick(1_000)
    assert codes(stage) == ["answer_missed"]


def test_a_pick_task_that_nobody_answers_is_missed_and_any_report_closes_it(stage, edge):
    stage.tick(0)
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    tell(stage, edge)
    stage.tick(LIMITS.pick_acceptance_s * 1_000 + 10_000)
    rows = [x for x in stage.rows(awaited) if x["step"] == "pick_acceptance"]
    assert [(x["system"], x["task_id"]) for x in rows] == [("dc", "o.0.0")]
    (missed,) = (
        data for x in hub_log(stage)
        if isinstance(data := decode_data(x), AnswerMissed) and data.step == "pick_acceptance"
    )  # fmt: skip
    assert (missed.edge_id, missed.last_seen) == ("e1", NOW)
    edge.say(PickAccepted(task_id="o.0.0", node_id="dc", home_edge_id="e1"), "o")
    tell(stage, edge)
    (row,) = (x for x in stage.rows(awaited) if x["step"] == "pick_acceptance")
    assert row["outcome"] == "done"


def test_an_edge_that_comes_back_is_given_time_to_tell(stage, edge):
    stage.tick(0)
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    tell(stage, edge)
    limit_ms = LIMITS.pick_acceptance_s * 1_000
    stage.elapsed_ms += limit_ms  # silence
    stage.now_ms += limit_ms
    stage.tell(edge.hello())
    stage.tick(10_000)
    assert "pick_acceptance" not in {x["step"] for x in stage.rows(awaited)}
    stage.tick(limit_ms)
    assert "pick_acceptance" in {x["step"] for x in stage.rows(awaited)}


def test_the_contact_goes_to_the_gateway_apart_and_is_recorded(stage, edge, sms):
    stage.tell(contact("e1", "o"))
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    out = tell(stage, edge, sms)
    assert sms.contacts == {"o": CONTACT}
    assert [x for x in out if b"Li Na" in x.payload] == [
        x for x in out if x.topic == topics.down("sms", "contact")
    ]
    (access,) = stage.rows(accesses)
    assert (access["by"], access["what"], access["subject"]) == ("system sms", "read", "order:o")
    while not sms.read(stage.tick(PATIENCE_MS)):
        stage.sent.clear()
    assert len(stage.rows(accesses)) == 1


def test_a_contact_that_comes_later_than_its_order_is_sent_then(stage, edge, sms):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge, sms)
    assert sms.contacts == {}
    sms.read(stage.tell(contact("e1", "o")))
    assert sms.contacts == {"o": CONTACT}
    (command,) = sms.commands()
    stage.tell(sms.say(MessageSent(order_id="o"), command))
    assert [x for x in stage.tell(contact("e1", "o")) if "sms" in x.topic] == []


def test_more_commands_than_the_window_go_out_as_answers_come(stage, edge, erp):
    for number in range(200):
        edge.say(accepted(f"o{number}", plan("dc", "A", 1)), f"o{number}")
    erp.read(stage.tell(edge.batch()))
    answered = set()
    while new := erp.commands().keys() - answered:
        assert len(new) <= 64
        answered |= new
        for command_id in sorted(new):
            order_id = erp.commands()[command_id].correlationid
            erp.read(stage.tell(erp.say(InventoryLocked(order_id=order_id), command_id)))
            answered.add(command_id)
    assert len(answered) == 200


def test_after_a_failed_transaction_the_hubs_stream_goes_on_from_what_the_database_has(
    stage, edge, erp
):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    with stage.database.begin():
        stage.database.execute(text("ALTER TABLE awaited RENAME TO hidden"))
    assert stage.tell(edge.batch()) == []
    with stage.database.begin():
        stage.database.execute(text("ALTER TABLE hidden RENAME TO awaited"))
    # As if the commit had been done, and only its answer was lost.
    Scene(stage.database, systems=SYSTEMS).tell(edge.batch())
    tell(stage, edge, erp)
    assert [x.order_id for x in orders_of(erp, InventoryLockRequested)] == ["o"]
    edge.say(accepted("p", plan("dc", "A", 1)), "p")
    tell(stage, edge, erp)
    assert [x.number() for x in hub_log(stage)] == [1, 2, 3, 4]


def test_an_exported_ledger_has_the_hubs_stream_and_another_central_goes_on_in_it(
    stage, edge, erp, location, places, tmp_path
):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge)
    stage.tell(erp.say(StatusReported(order_id="o", state="NEW", at=NOW)))
    export_file(location, tmp_path / "ledger.jsonl")
    second = places.new()
    import_file(second, tmp_path / "ledger.jsonl", now_ms=stage.now_ms)
    with scene(second, systems=SYSTEMS) as other:
        assert hub_log(other) == hub_log(stage)
        erp.read(other.central.connected(0))
        (command,) = erp.commands()
        other.tell(erp.say(InventoryLocked(order_id="o"), command))
        assert [x.number() for x in hub_log(other)] == [1, 2, 3, 4]
        assert_rebuilt_alike(other)


def test_an_edge_that_has_lost_its_store_is_not_told_what_the_hub_has_said(stage, edge):
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    tell(stage, edge)
    with stage.database.begin():
        told = list(past_of(stage.database, "e1", {"dc"}, 10))
    assert [decode_event(raw).source for raw in told] == ["/edges/e1"]


def test_a_fault_of_ours_at_a_missed_answer_is_poison_and_ends(location, monkeypatch):
    real = Dealings.apply

    def faulty(self, edge_id, event, data, order):
        if isinstance(data, AnswerMissed):
            raise RuntimeError("a fault")
        return real(self, edge_id, event, data, order)

    monkeypatch.setattr(Dealings, "apply", faulty)
    with scene(location, systems=SYSTEMS) as stage:
        stage.publish(document())
        edge = ScriptedEdge("e1")
        stage.tick(0)
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        stage.tell(edge.batch())
        stage.tick(LOCK_MS)
        assert [(x["edge_id"], x["code"]) for x in stage.rows(poison)] == [("hub", "internal")]
