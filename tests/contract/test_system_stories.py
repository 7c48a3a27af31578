"""What the story of an order, and why it is stuck, say of systems."""

from datetime import timedelta

from central.tracing import Tracer
from shared.clock import to_datetime
from shared.systems import InventoryLocked, InventoryLockRefused, MessageFailed, StatusReported
from tests.central_scene import NOW, accepted, plan, requested
from tests.system_scene import LIMITS, SYSTEMS, contact, tell


def ask(stage):
    return Tracer(stage.database, SYSTEMS).why("o", stage.now_ms)


def wait(stage, seconds):
    stage.tick(0)
    for _ in range(0, seconds * 1_000, 500):
        stage.tick(500)


def command(system, kind):
    return next(x.id for x in system.told if x.type == f"pointsman.{kind}.v1")


def test_each_step_of_a_system_has_a_sentence_the_system_and_its_cause(stage, edge, erp, sms):
    stage.tell(contact("e1", "o"))
    edge.say(accepted("o", plan("dc", "A", 2), quantity=3, parked=1), "o")
    tell(stage, edge, erp, sms)
    stage.tell(
        erp.say(InventoryLocked(order_id="o"), command(erp, "inventory.lock.requested")),
        sms.say(
            MessageFailed(order_id="o", reason="139 1234 5678 is off", retryable=True),
            command(sms, "payment.confirmation.requested"),
        ),
        erp.say(StatusReported(order_id="o", state="NEW", at=NOW)),
    )
    story, _ = ask(stage)
    told = [(x.what, x.context.system, x.cause and x.cause.step) for x in story.steps[1:]]
    assert told == [
        ("Central asked erp to lock 1 × A, 2 × A in all.", "erp", 1),
        ("Central asked sms to confirm the payment to the customer.", "sms", 1),
        ("erp locked what it was asked to.", "erp", 2),
        (f"sms could not send the customer the message: {story.steps[4].context.reason}; it tries "
         "again.", "sms", 3),
        ("erp says that the order is 'NEW' since 2026-01-05 09:00:00 UTC.", "erp", None),
    ]  # fmt: skip
    assert "1234" not in str(story)
    assert "Li Na" not in str(story)


def test_an_order_that_lacks_its_lock_is_stuck_at_the_erp_and_a_message_blocks_nothing(
    stage, edge, erp, sms
):
    edge.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    tell(stage, edge, erp, sms)
    stage.tell(erp.say(StatusReported(order_id="other", state="NEW", at=NOW)))
    seen = to_datetime(stage.now_ms)
    assert not ask(stage)[1].stuck
    wait(stage, LIMITS.confirmation_s + 2)
    story, why = ask(stage)
    lock, message = (x for x in why.reasons if x.code == "answer_missed")
    assert (why.stuck, why.by, lock.blocks, message.blocks) == (True, "erp", True, False)
    assert (lock.by, message.by) == ("erp", "sms")
    assert "erp was last heard" in str([x.text for x in lock.facts])
    assert seen in {x.at for x in lock.facts}
    (missed, _) = (x for x in story.steps if x.kind == "answer.missed")
    assert missed.what.startswith("erp has not answered the inventory lock of 2026-01-05 09:")
    assert story.steps[missed.cause.step - 1].kind == "inventory.lock.requested"
    stage.tell(erp.say(InventoryLocked(order_id="o"), command(erp, "inventory.lock.requested")))
    assert [x.by for x in ask(stage)[1].reasons if x.code == "answer_missed"] == ["sms"]


def test_a_pick_task_that_nobody_accepts_is_stuck_since_the_limit_and_says_who_was_seen(
    stage, edge, erp, sms
):
    edge.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    edge.say(requested("o", "dc", "A", 2, home="e1"), "o")
    tell(stage, edge, erp, sms)
    wait(stage, LIMITS.pick_acceptance_s + 10)
    story, why = ask(stage)
    (task,) = (x for x in why.reasons if x.code == "pick_not_accepted")
    (missed,) = (x for x in story.steps if x.context.task_id and x.kind == "answer.missed")
    assert missed.what in [x.text for x in task.facts]
    assert "its edge e1 was last seen" in missed.what
    assert missed.context.node_id == "dc"
    assert NOW + timedelta(seconds=3 + LIMITS.pick_acceptance_s) in {x.at for x in task.facts}


def test_a_refusal_and_a_word_that_differs_are_laid_to_the_system(stage, edge, erp, sms):
    edge.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    tell(stage, edge, erp, sms)
    said = StatusReported(order_id="o", state="DONE", at=NOW + timedelta(minutes=10))
    refused = InventoryLockRefused(order_id="o", reason="closed for stocktaking")
    lock = command(erp, "inventory.lock.requested")
    stage.tell(erp.say(refused, lock), erp.say(said))
    _, why = ask(stage)
    found = {x.code: x for x in why.reasons}
    assert (found["lock_refused"].by, found["lock_refused"].blocks) == ("erp", False)
    assert (found["system_disagrees"].by, found["system_disagrees"].since) == ("erp", said.at)
    assert "erp says 'DONE'; here it is planned" in found["system_disagrees"].what
    stage.tell(erp.say(StatusReported(order_id="o", state="NEW", at=said.at)))
    assert "system_disagrees" not in {x.code for x in ask(stage)[1].reasons}
