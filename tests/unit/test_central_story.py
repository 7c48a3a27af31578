"""The story of an order: whatever its life was, it adds up, and everything has its cause."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from central.desk import Desk
from central.hub import apply
from central.lifecycle import LINE_STEPS, ORDER_STEPS
from central.story import Recorded, Step, Story, ordered, tell
from central.stream import again
from shared.envelope import encode_event
from shared.events import (
    OrderCancelled,
    PackageDelivered,
    PackageShipped,
    PickAccepted,
    PickRejected,
    PickRequested,
    PickShort,
    StockCounted,
)
from shared.parts import CountLine, Fulfilment, PlannedLine
from shared.topics import edge_source
from tests.central_scene import NOW, ScriptedEdge, plan, requested
from tests.central_scene import accepted as answer
from tests.edge_pair import Pair
from tests.random_lives import live
from tests.shop import NORTH, Shop, accepted, lines, payment

WAYS = {(step.before, step.after): step.on.split() for step in ORDER_STEPS}
LINE_WAYS = {(step.before, step.after): step.on.split() for step in LINE_STEPS}


def records(*shops: Shop) -> list[Recorded]:
    """What the logs of edges would be in a ledger."""
    found = []
    for shop in shops:
        for event in shop.log():
            raw = encode_event(event)
            entry = again(shop.edge_id, event.epoch or 0, event.number(), raw, b"")
            found.append(Recorded(entry, len(found) + 1))
    return found


def about(order_id: str, recorded: list[Recorded]) -> list[Recorded]:
    """What of it is about an order, with the facts that caused any of it."""
    mine = [x for x in recorded if x.entry.event and x.entry.event.correlationid == order_id]
    causes = {x.entry.event.causationid for x in mine if x.entry.event}
    facts = [
        x for x in recorded
        if x.entry.event and x.entry.event.id == x.entry.event.correlationid in causes
    ]  # fmt: skip
    return [*mine, *facts]


def story_of(pair: Pair, order_id: str | None = None) -> Story:
    order_id = order_id or accepted(pair.one).order_id
    return tell(order_id, about(order_id, records(pair.one, pair.two)))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # Shrinking would take minutes.
)
@given(data=st.data())
def test_whatever_its_life_was_the_story_adds_up_and_agrees_with_the_edge(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pair = Pair(tmp_path_factory.mktemp("pair"))
    for step in range(data.draw(st.integers(1, 16), label="steps")):
        live(pair, data, step)
    pair.carry()
    recorded = records(pair.one, pair.two)
    check_causes(recorded, {"edge-1", "edge-2"})
    check_any_streams_first(recorded, Random(data.draw(st.integers(0, 9), label="seed")))
    for shop in (pair.one, pair.two):
        for order_id in {e.correlationid for e in shop.log() if "accepted" in e.type}:
            order = shop.store.order(str(order_id))
            if order is None:
                continue
            entries = about(order.order_id, recorded)
            story = tell(order.order_id, entries)
            assert story.edge_id == shop.edge_id
            check_moves(story)
            held = dict.fromkeys(range(len(order.payment.lines)), 0)
            for shortage in order.parked:
                held[shortage.line] += shortage.quantity
            for package in order.packages:
                for line in package.lines:
                    held[line.line] += line.quantity
            for row in story.lines:
                gone = row.states.get("cancelled", 0) + row.states.get("short", 0)
                assert row.quantity - gone == held[row.line], row
                waits = sum(x.quantity for x in order.parked if x.line == row.line)
                assert row.states.get("parked", 0) == waits
            Random(7).shuffle(entries)
            assert tell(order.order_id, entries) == story
    for shop in (pair.one, pair.two):
        shop.store.close()


def check_moves(story: Story) -> None:
    """Nothing misfits, every move is one of the tables, and units are kept."""
    assert [step.misfits for step in story.steps if step.misfits] == []
    for step in story.steps:
        if step.order is not None:
            assert step.kind in WAYS[step.order.before, step.order.after], step
        for move in step.lines:
            assert step.kind in LINE_WAYS[move.before or "", move.after], step
        if step.cause is not None and step.cause.step is not None:
            assert step.cause.step < step.number
    for line in story.lines:
        assert sum(line.states.values()) == line.quantity
        assert min(line.states.values()) > 0


def check_any_streams_first(recorded: list[Recorded], chance: Random) -> None:
    """Whichever stream comes first, orders move by the table or an exception says so.

    But an edge knows what another has said only from the ledger; only a task may come faster.
    """
    streams: dict[str, list[Recorded]] = {}
    for x in recorded:
        streams.setdefault(x.entry.edge_id, []).append(x)
    desk = Desk()
    while rest := [x for x in streams.values() if x]:
        unread = {
            x.entry.event.id for stream in rest for x in stream
            if x.entry.event and not isinstance(x.entry.data, PickRequested)
        }  # fmt: skip
        ready = [
            x for x in rest
            if x[0].entry.event
            and (x[0].entry.event.causationid not in unread - {x[0].entry.event.id})
        ]  # fmt: skip
        entry = chance.choice(ready).pop(0).entry
        assert entry.event is not None
        assert entry.data is not None
        before = {order_id: order.state for order_id, order in desk.orders.items()}
        codes = [x.code for x in apply(desk, entry.edge_id, entry.event, entry.data)]
        assert set(codes) <= {"order_step", "order_twice", "unknown_order"}
        for order_id, order in desk.orders.items():
            way = (before.get(order_id, "accepted"), order.state)
            if way[0] != way[1] and "order_step" not in codes:
                assert entry.data.kind in WAYS[way], way


def check_causes(recorded: list[Recorded], edges: set[str]) -> None:
    """Every event has an order, or another beginning, and a cause that is known."""
    ids = {x.entry.event.id for x in recorded if x.entry.event}
    for x in recorded:
        event = x.entry.event
        assert event is not None
        assert event.correlationid
        assert event.causationid
        if event.causationid in ids:
            continue
        # A payment, or a request to cancel: the device's event, which this one is the answer to.
        kind = event.type.removeprefix("pointsman.").removesuffix(".v1")
        assert kind in ("order.accepted", "order.cancelled", "share.returned", "epoch.began"), event
        assert event.source in {edge_source(edge_id) for edge_id in edges}


# By hand.


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """An order of three units of sku-1 and one of sku-2, all to be picked at dc-north."""
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=3, sku_2=1)
    wanted = [*lines("sku-1", quantity=3), *lines("sku-2")]
    pair.one.tell("till-1", payment(lines=wanted, destination=NORTH), "p1")
    pair.carry()
    yield pair
    pair.one.store.close()
    pair.two.store.close()


def kinds(story: Story) -> list[str]:
    return [step.kind for step in story.steps]


def cause_of(story: Story, kind: str) -> str:
    """The kind of the step that caused the last step of a kind."""
    step = next(x for x in reversed(story.steps) if x.kind == kind)
    assert step.cause is not None
    assert step.cause.step is not None
    return story.steps[step.cause.step - 1].kind


def states(story: Story) -> list[dict[str, int]]:
    return [{str(x): units for x, units in line.states.items()} for line in story.lines]


def test_a_lines_units_go_different_ways(pair: Pair) -> None:
    task = pair.warehouse()
    pair.two.report(PickAccepted, task.task_id)
    missing = [PlannedLine(line=0, sku="sku-1", quantity=2)]
    pair.two.report(PickShort, task.task_id, missing=missing)
    story = story_of(pair)
    assert states(story) == [{"picking": 1, "short": 2}, {"picking": 1}]
    pair.carry()
    story = story_of(pair)
    assert states(story) == [{"picking": 1, "parked": 2}, {"picking": 1}]
    assert cause_of(story, "order.parked") == "pick.short"
    pair.one.grant("dc-south", sku_1=2)
    pair.one.retry()
    pair.two.report(PackageShipped, task.task_id)
    story = story_of(pair)
    assert states(story) == [{"shipped": 1, "planned": 2}, {"shipped": 1}]
    assert cause_of(story, "route.planned") == "order.parked"
    assert cause_of(story, "pick.requested") == "route.planned"
    assert story.state == "picking"


def test_a_count_that_leaves_a_package_short_is_told_with_it(pair: Pair) -> None:
    found = [CountLine(sku="sku-1", quantity=1)]
    pair.two.tell("dc-north", StockCounted(node_id="dc-north", lines=found), "count-7")
    pair.carry()
    story = story_of(pair)
    assert cause_of(story, "pick.short") == "stock.counted"
    count = next(x for x in story.steps if x.kind == "stock.counted")
    assert (count.by, count.event_id, count.cause) == ("dc-north", "count-7", None)
    assert "1 × sku-1" in count.what


def test_a_rejected_package_is_looked_for_elsewhere_and_says_why(pair: Pair) -> None:
    pair.one.grant("dc-south", sku_1=3, sku_2=1)
    reason = "no hands today, call 0755-1234-5678"
    pair.two.report(PickRejected, pair.warehouse().task_id, reason=reason)
    pair.carry()
    story = story_of(pair)
    rejected = next(x for x in story.steps if x.kind == "pick.rejected")
    assert rejected.context.reason == "no hands today, call #####78"
    assert "1234" not in msgspec.json.encode(story).decode()
    assert [x.after for x in rejected.lines] == ["short", "short"]
    planned = next(x for x in story.steps if x.kind == "route.planned")
    assert planned.context.packages[0].node_id == "dc-south"
    assert {(x.before, x.after) for x in planned.lines} == {("short", "planned")}
    assert planned.context.promise is not None
    assert planned.context.promise.before is not None
    assert story.tasks[1].node_id == "dc-south"


def test_a_cancelled_part_is_cancelled_and_the_rest_is_asked_for_anew(pair: Pair) -> None:
    named = [PlannedLine(line=0, sku="sku-1", quantity=2)]
    order_id = accepted(pair.one).order_id
    pair.one.tell("till-1", OrderCancelled(order_id=order_id, lines=named), "c1")
    assert states(story_of(pair)) == [{"planned": 3}, {"planned": 1}]
    pair.carry()
    story = story_of(pair)
    assert states(story) == [{"planned": 1, "cancelled": 2}, {"planned": 1}]
    assert cause_of(story, "pick.withdrawn") == "order.cancelled"
    assert cause_of(story, "pick.requested") == "order.cancelled"
    assert [task.state for task in story.tasks] == ["withdrawn", "issued"]
    first = next(x for x in story.steps if x.kind == "order.cancelled")
    assert first.cause is not None
    assert (first.cause.event_id, first.cause.step) == ("c1", None)


def test_goods_that_are_carried_out_are_shipped_at_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.one.grant("store-1", sku_1=1)
    paid = payment("sku-1", fulfilment=Fulfilment(kind="carry_out"))
    pair.one.tell("till-1", paid, "p1")
    story = story_of(pair)
    assert kinds(story) == ["order.accepted", "package.shipped"]
    assert (story.state, states(story)) == ("shipped", [{"shipped": 1}])
    pair.one.store.close()
    pair.two.store.close()


def test_a_report_of_a_clock_that_is_behind_stands_after_its_task(pair: Pair) -> None:
    pair.two.now_ms -= 3_600_000
    pair.two.report(PickAccepted, pair.warehouse().task_id)
    told = kinds(story_of(pair))
    assert told.index("pick.accepted") > told.index("pick.requested")


# Logs written by hand.


def scripted(*edges: ScriptedEdge) -> list[Recorded]:
    return [
        Recorded(again(edge.edge_id, edge.epoch, number, raw, b""), number)
        for edge in edges
        for number, raw in enumerate(edge.log, 1)
    ]


def test_causes_come_before_effects_whatever_the_clocks_say() -> None:
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    one.say(answer("o", plan("dc", "A", 1)), "o", hlc="9" * 16)
    one.say(requested("o", "dc", "A", 1, home="e1"), "o", hlc="9" * 15 + "a")
    two.say(
        PickAccepted(task_id="o.0.0", node_id="dc", home_edge_id="e1"), "o",
        hlc="1" * 16, causationid="e1-1-2",
    )  # fmt: skip
    story = tell("o", scripted(two, one))
    assert kinds(story) == ["order.accepted", "pick.requested", "pick.accepted"]
    assert story.state == "picking"


def test_causes_that_go_round_in_a_circle_do_not_stop_it() -> None:
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    one.say(answer("o", plan("dc", "A", 1)), "o", causationid="e2-1-1")
    two.say(requested("p", "dc", "A", 1, home="e1"), "o", causationid="e1-1-1")
    entries = scripted(one, two)
    assert len(ordered(entries)) == 2
    assert ordered(entries) == ordered(entries[::-1])


def test_an_event_that_cannot_be_read_stands_in_its_place_and_changes_nothing() -> None:
    edge = ScriptedEdge("e1")
    edge.say(answer("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o", type="pointsman.pick.wished.v1")
    edge.log.append(b'{"sequence":"0000000000000003","epoch":1,"broken":')
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    story = tell("o", scripted(edge))
    assert [step.no_effect for step in story.steps] == [None, "unknown_type", "not_json", None]
    assert "no effect" in story.steps[1].what
    assert story.state == "planned"


def test_what_was_noted_as_poison_has_no_effect_though_it_can_be_read_now() -> None:
    edge = ScriptedEdge("e1")
    edge.say(answer("o", plan("dc", "A", 1)), "o")
    (entry,) = scripted(edge)
    story = tell("o", [entry._replace(noted=("internal_error", "it fell over"))])
    assert (story.edge_id, story.steps[0].no_effect) == (None, "internal_error")


def test_what_does_not_fit_is_told_and_moves_nothing() -> None:
    edge = ScriptedEdge("e1")
    task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
    edge.say(answer("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    edge.say(PackageDelivered(**task), "o")
    edge.say(PickShort(**task, missing=[PlannedLine(line=4, sku="A", quantity=1)]), "o")
    story = tell("o", scripted(edge))
    delivered, short = story.steps[2:]
    assert "wrong_state" in delivered.misfits[0]
    assert (delivered.lines, delivered.order) == ([], None)
    assert short.misfits == ["1 units of line 4 are missing; the task has 0"]
    assert states(story) == [{"planned": 1}]


def test_a_pick_that_comes_late_names_whose_it_is() -> None:
    edge = ScriptedEdge("e1")
    task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
    edge.say(answer("o", plan("dc", "A", 1)), "o")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    edge.say(PickAccepted(**task), "o", time=NOW + timedelta(hours=2))
    late = tell("o", scripted(edge)).steps[-1].context.late
    assert late is not None
    assert (late.whose, late.due_at) == ("dc", NOW)


def test_steps_of_a_second_edge_are_told_and_move_nothing() -> None:
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    one.say(answer("o", plan("dc", "A", 1)), "o", hlc="1" * 16)
    two.say(answer("o", plan("dc", "A", 1)), "o", hlc="2" * 16)
    two.say(requested("o", "dc", "A", 1, home="e2"), "o", hlc="3" * 16)
    story = tell("o", scripted(one, two))
    assert [step.lines == [] for step in story.steps] == [False, True, True]
    assert story.edge_id == "e1"
    assert "order_twice" in story.steps[1].misfits[0]
    assert story.tasks == []


def test_the_same_id_of_two_devices_is_two_events() -> None:
    edge = ScriptedEdge("e1")
    edge.say(answer("o", plan("dc", "A", 1)), "o", id="1", source="/devices/a")
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o", id="1", source="/devices/b")
    story = tell("o", scripted(edge))
    assert [step.by for step in story.steps] == ["a", "b"]
    assert [type(step) for step in story.steps] == [Step, Step]
