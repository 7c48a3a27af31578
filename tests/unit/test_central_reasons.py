"""Where an order is stuck, since when and by whom; and that it is not, when nothing is wrong."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from central.evidence import (
    Awaited,
    Belief,
    Coming,
    DeviceHealth,
    Evidence,
    Fault,
    Heard,
    Noted,
    Reason,
    Why,
)
from central.reasons import why
from central.story import Recorded, Story, tell
from central.stream import again
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickShort,
)
from shared.parts import PlannedLine
from tests.central_scene import NOW, ScriptedEdge, accepted, plan, requested, shortage

READY = NOW + timedelta(hours=1)
ARRIVES = NOW + timedelta(days=1)
TASK: dict[str, Any] = {"task_id": "o.0.0", "node_id": "wh-3", "home_edge_id": "e1"}
LIFE: list[Data] = [
    accepted("o", plan("wh-3", "A", 2), quantity=2),
    msgspec.structs.replace(requested("o", "wh-3", "A", 2, home="e1"), ready_at=READY),
    PickAccepted(**TASK),
    PickCompleted(**TASK),
    PackagePacked(**TASK),
    PackageShipped(**TASK),
    PackageDelivered(**TASK),
]


def story(*events: Data) -> Story:
    """Of an order whose only edge says these, a second apart, the first at NOW + 1 s."""
    edge = ScriptedEdge("e1")
    for number, data in enumerate(events):
        edge.say(data, "o", causationid=f"e1-1-{number}" if number else "p")
    raws = enumerate(edge.log, 1)
    return tell("o", [Recorded(again("e1", 1, n, raw, b""), n) for n, raw in raws])


def ask(told: Story, now: datetime, **evidence: Any) -> Why:
    heard = {"e1": Heard("e1", now)}
    return why(told, Evidence(**({"edges": heard, "home": {"wh-3": "e1"}} | evidence)), now)


def first(answer: Why, code: str) -> Reason:
    """The answer's first reason, which must be of this case."""
    assert answer.stuck
    found = answer.reasons[0]
    assert (found.code, found.blocks, answer.by, answer.since) == (
        code, True, found.by, found.since,
    )  # fmt: skip
    assert answer.what == found.what
    return found


def texts(reason: Reason) -> str:
    return "\n".join(fact.text for fact in reason.facts)


SOON = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    "length, next_step, until",
    [
        (2, "wh-3 accepts task o.0.0", NOW + timedelta(seconds=902)),
        (3, "wh-3 picks task o.0.0", READY),
        (4, "the package leaves wh-3", ARRIVES),
        (5, "the package leaves wh-3", ARRIVES),
        (6, "the customer has the package", ARRIVES),
        (7, None, None),
    ],
)
def test_nothing_is_wrong_and_what_comes_next_is_said(
    length: int, next_step: str | None, until: datetime | None
) -> None:
    answer = ask(story(*LIFE[:length]), SOON)
    assert (answer.stuck, answer.next, answer.next_by) == (False, next_step, until)
    assert answer.what.startswith("not stuck: ")
    assert (next_step or "nothing more is expected") in answer.what
    assert answer.reasons == []


@pytest.mark.parametrize(
    "length, code, when",
    [
        (2, "pick_not_accepted", NOW + timedelta(minutes=20)),
        (3, "pick_not_completed", READY + timedelta(minutes=1)),
        (4, "not_shipped", ARRIVES + timedelta(minutes=1)),
        (5, "not_shipped", ARRIVES + timedelta(minutes=1)),
        (6, "delivery_late", ARRIVES + timedelta(minutes=1)),
    ],
)
def test_a_task_that_is_late_names_whose_it_is_and_since_when(
    length: int, code: str, when: datetime
) -> None:
    found = first(ask(story(*LIFE[:length]), when), code)
    assert found.by == "wh-3"
    assert found.since == NOW + timedelta(seconds=length)
    assert "wh-3" in found.what
    assert "it was due by" in texts(found)
    assert "asked wh-3 to pick 2 × A" in texts(found)


def test_a_task_that_nobody_accepts_has_the_devices_state_as_evidence() -> None:
    out = Fault("paper_out", NOW - timedelta(minutes=3), "tray 1", "printer")
    health = DeviceHealth(
        device="wh-3", online=False, since=NOW, last_seen_at=NOW - timedelta(minutes=2),
        faults=[out],
    )  # fmt: skip
    found = first(ask(story(*LIFE[:2]), SOON, devices={"wh-3": [health]}), "pick_not_accepted")
    assert next(fact.text.split(",")[0] for fact in found.facts) == (
        "wh-3 reported a fault of printer: paper_out"
    )
    assert (
        "device wh-3 last seen 2026-01-05 08:58:00 UTC, lost since 2026-01-05 09:00:00 UTC"
    ) in texts(found)
    dated = [fact.at for fact in found.facts if fact.at is not None]
    assert dated == sorted(dated)


def test_a_device_that_is_well_is_evidence_and_no_reason() -> None:
    health = DeviceHealth(device="wh-3", online=True, since=NOW, last_seen_at=SOON)
    assert not ask(story(*LIFE[:2]), SOON, devices={"wh-3": [health]}).stuck
    late = ask(story(*LIFE[:2]), READY + timedelta(hours=1), devices={"wh-3": [health]})
    assert "device wh-3 online since" in texts(first(late, "pick_not_accepted"))


def test_another_device_at_the_node_and_faults_that_are_over_are_evidence_and_no_reason() -> None:
    hour = timedelta(hours=1)
    before = Fault("jam", NOW - 2 * hour, until=NOW - hour)
    meanwhile = Fault("hot", NOW - hour, until=NOW + hour)
    devices = [
        DeviceHealth(device="wh-3", online=True, since=NOW, faults=[before, meanwhile]),
        DeviceHealth(device="scanner-7", online=False, since=NOW),
        DeviceHealth(device="scanner-8", last_seen_at=NOW),
    ]
    assert not ask(story(*LIFE[:2]), SOON, devices={"wh-3": devices}).stuck
    late = ask(story(*LIFE[:2]), READY + hour, devices={"wh-3": devices})
    told = texts(first(late, "pick_not_accepted"))
    assert "jam" not in told
    assert "hot, 2026-01-05 08:00:00 UTC, over 2026-01-05 10:00:00 UTC" in told
    assert "device scanner-7 lost since 2026-01-05 09:00:00 UTC" in told
    assert "device scanner-8 last seen 2026-01-05 09:00:00 UTC, not told of" in told


@pytest.mark.parametrize(
    "till, code",
    [
        (DeviceHealth(device="till-1", online=False, since=NOW), "till_lost"),
        (DeviceHealth(device="till-1", online=True, faults=[Fault("jam", NOW)]), "till_fault"),
        (DeviceHealth(device="till-1", online=True, since=NOW), None),
    ],
)
def test_a_till_in_trouble_is_told_and_blocks_nothing(till: DeviceHealth, code: str | None) -> None:
    answer = ask(story(*LIFE[:2]), SOON, till=till)
    assert not answer.stuck
    assert [(x.code, x.by, x.since) for x in answer.reasons] == (
        [(code, "till-1", NOW)] if code else []
    )
    assert ask(story(*LIFE), SOON, till=till).reasons == []


def test_a_line_that_waits_says_for_what_how_much_since_when_and_when_more_comes() -> None:
    expected = NOW + timedelta(days=3)
    lacking = msgspec.structs.replace(shortage("A", 2)[0], expected_at=expected)
    told = story(accepted("o", None, quantity=2), OrderParked(order_id="o", parked=[lacking]))
    coming = Coming("dc", "A", 40, expected, "lot-7")
    found = first(ask(told, SOON, coming=[coming]), "waiting_for_stock")
    assert found.by == "e1"
    assert found.since == NOW + timedelta(seconds=2)
    assert "2 × A" in found.what
    assert "waits at e1" in found.what
    assert "more A expected 2026-01-08 09:00:00 UTC, e1 said" in texts(found)
    assert "40 × A expected at dc 2026-01-08 09:00:00 UTC, lot lot-7" in texts(found)


def test_a_line_that_stock_does_not_help_waits_for_a_planner() -> None:
    lacking = shortage("A", 2, reason="unroutable")
    told = story(msgspec.structs.replace(accepted("o", None, quantity=2), parked=lacking))
    found = first(ask(told, SOON), "waiting_for_planner")
    assert "no open lane" in found.what
    assert "no arrival of A is known" in texts(found)


def test_a_wait_that_is_told_again_began_when_it_was_told_first() -> None:
    lacking = shortage("A", 1)
    told = story(
        accepted("o", plan("wh-3", "A", 1), quantity=2, parked=1),
        OrderParked(order_id="o", parked=lacking), OrderParked(order_id="o", parked=lacking),
    )  # fmt: skip
    waits = [x for x in ask(told, SOON).reasons if x.code == "waiting_for_stock"]
    assert [x.since for x in waits] == [NOW + timedelta(seconds=1)]


def test_a_failed_pick_that_the_orders_edge_does_not_follow_is_named() -> None:
    missing = [PlannedLine(line=0, sku="A", quantity=2)]
    told = story(*LIFE[:3], PickShort(**TASK, missing=missing))
    assert not ask(told, NOW + timedelta(seconds=20)).stuck
    found = first(ask(told, NOW + timedelta(minutes=5)), "failure_not_followed")
    assert (found.by, found.since) == ("e1", NOW + timedelta(seconds=4))
    assert "e1 was last heard" in texts(found)


def test_an_edge_that_is_silent_or_lost_is_a_reason_while_anything_is_to_come() -> None:
    silent = {"e1": Heard("e1", NOW - timedelta(minutes=10))}
    codes = [x.code for x in ask(story(*LIFE[:2]), SOON, edges=silent).reasons]
    assert codes == ["pick_not_accepted", "edge_silent"]
    lost = {"e1": Heard("e1", NOW, fenced=True)}
    codes = [x.code for x in ask(story(*LIFE[:2]), SOON, edges=lost).reasons]
    assert "home_edge_lost" in codes
    assert not ask(story(*LIFE), SOON, edges=lost).stuck
    assert not ask(story(*LIFE[:6]), SOON, edges=silent).stuck


def test_the_edge_of_a_task_that_is_not_the_orders_own_may_be_silent() -> None:
    edges = {"e1": Heard("e1", SOON), "e2": Heard("e2", NOW - timedelta(hours=1))}
    answer = ask(story(*LIFE[:2]), SOON, edges=edges, home={"wh-3": "e2"})
    assert "e2 was last heard 2026-01-05 08:00:00 UTC" in texts(first(answer, "pick_not_accepted"))
    assert {x.by for x in answer.reasons if x.code == "edge_silent"} == {"e2"}


def test_an_answer_that_stays_out_names_the_system_the_step_and_its_last_sign_of_life() -> None:
    awaited = Awaited(
        system="erp", asked="inventory.lock.requested", asked_at=NOW, due_at=SOON,
        last_seen_at=NOW - timedelta(hours=2),
    )  # fmt: skip
    told = story(*LIFE[:3])
    assert not ask(told, SOON, awaited=[awaited]).stuck
    found = first(ask(told, SOON + timedelta(seconds=1), awaited=[awaited]), "answer_missed")
    assert (found.by, found.since) == ("erp", NOW)
    assert "erp was last heard 2026-01-05 07:00:00 UTC" in texts(found)
    assert "inventory.lock.requested was sent to erp" in texts(found)


def test_exceptions_and_other_systems_beliefs_are_told_and_do_not_block() -> None:
    noted = Noted("late_sale", "e1 has sold in epoch 1", NOW, "e1")
    belief = Belief(system="erp", word="TO_BE_PACKED", agrees=False, since=NOW)
    agreed = Belief(system="crm", word="picking", agrees=True, since=NOW)
    answer = ask(story(*LIFE[:3]), SOON, exceptions=[noted], beliefs=[belief, agreed])
    assert not answer.stuck
    assert [(x.code, x.by) for x in answer.reasons] == [
        ("late_sale", "e1"),
        ("system_disagrees", "erp"),
    ]


def test_what_was_cancelled_too_late_is_told() -> None:
    too_late = [PlannedLine(line=0, sku="A", quantity=2)]
    told = story(*LIFE[:3], OrderCancelled(order_id="o", too_late=too_late))
    (found,) = ask(told, SOON).reasons
    assert (found.code, found.blocks) == ("cancelled_too_late", False)
    assert "2 units" in found.what


def test_an_event_without_effect_blocks_until_the_order_is_over() -> None:
    edge = ScriptedEdge("e1")
    for data in LIFE[:3]:
        edge.say(data, "o")
    edge.say(LIFE[3], "o", type="pointsman.pick.dreamt.v1")
    raws = enumerate(edge.log, 1)
    told = tell("o", [Recorded(again("e1", 1, n, raw, b""), n) for n, raw in raws])
    found = first(ask(told, SOON), "event_without_effect")
    assert "4 of epoch 1" in found.what
    assert found.by == "e1"


def test_an_order_whose_acceptance_is_not_in_yet_says_so() -> None:
    answer = ask(story(LIFE[1]), SOON)
    assert first(answer, "acceptance_missing").by is None


def test_a_plan_whose_tasks_are_not_known_yet_is_not_stuck() -> None:
    assert isinstance(LIFE[0], OrderAccepted)
    answer = ask(story(LIFE[0]), SOON)
    assert (answer.stuck, answer.state) == (False, "planned")
