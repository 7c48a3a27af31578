"""The whole of one real life: edges, central and its database as they are, only no wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.story import Story
from central.tracing import Tracer, tracer
from shared.events import (
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickShort,
)
from shared.parts import PlannedLine
from tests.company import Company, company
from tests.shop import NORTH, accepted, lines, payment


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    """dc-north has all of two lines, dc-south the third, and more of the first."""
    with company(tmp_path) as found:
        found.receive("dc-north", sku_1=8, sku_2=8)
        found.receive("dc-south", sku_1=8, sku_3=8)
        yield found


@pytest.fixture
def asked(firm: Company) -> Iterator[Tracer]:
    with tracer(firm.folder) as found:
        yield found


def states(story: Story) -> list[dict[str, int]]:
    return [{str(x): units for x, units in line.states.items()} for line in story.lines]


def causes(story: Story) -> list[tuple[str, str]]:
    """The kind of each step, and of the step that caused it, or the id of another event."""
    found = []
    for step in story.steps:
        if step.cause is None:
            found.append((step.kind, ""))
        elif step.cause.step is None:
            found.append((step.kind, step.cause.event_id))
        else:
            found.append((step.kind, story.steps[step.cause.step - 1].kind))
    return found


def test_an_order_with_a_shortage_a_new_route_and_two_shipments_is_told_as_it_was(
    firm: Company, asked: Tracer
) -> None:
    one, two = firm.shops["edge-1"], firm.shops["edge-2"]

    def now() -> Story:
        firm.carry()
        firm.later(60)
        return asked.timeline(order_id)

    # The payment: two packages, one at each edge.
    wanted = [*lines("sku-1", quantity=2), *lines("sku-2"), *lines("sku-3")]
    one.tell("till-1", payment(lines=wanted, destination=NORTH), "p1")
    order_id = accepted(one).order_id
    story = now()
    assert (story.state, story.edge_id) == ("planned", "edge-1")
    assert states(story) == [{"planned": 2}, {"planned": 1}, {"planned": 1}]
    assert causes(story) == [
        ("order.accepted", "p1"),
        ("pick.requested", "order.accepted"),
        ("pick.requested", "order.accepted"),
    ]
    task_of = {task.node_id: task.task_id for task in story.tasks}
    assert set(task_of) == {"dc-north", "dc-south"}
    first_promise = story.promised_at

    # dc-north begins, and finds none of the first line.
    north = task_of["dc-north"]
    two.report(PickAccepted, north)
    assert states(now()) == [{"picking": 2}, {"picking": 1}, {"planned": 1}]
    missing = [PlannedLine(line=0, sku="sku-1", quantity=2)]
    two.report(PickShort, north, missing=missing)
    story = now()

    # The order's edge has found the units at dc-south, which is its own.
    assert causes(story)[3:] == [
        ("pick.accepted", "pick.requested"),
        ("pick.short", "pick.requested"),
        ("route.planned", "pick.short"),
        ("pick.requested", "route.planned"),
    ]
    short, planned = story.steps[4], story.steps[5]
    assert (short.edge_id, short.by, short.context.lines) == ("edge-2", "dc-north", missing)
    assert [(x.line, x.quantity, x.before, x.after) for x in short.lines] == [
        (0, 2, "picking", "short")
    ]
    assert (planned.edge_id, planned.by) == ("edge-1", "edge-1")
    assert [(x.line, x.quantity, x.before, x.after) for x in planned.lines] == [
        (0, 2, "short", "planned")
    ]
    assert states(story) == [{"planned": 2}, {"picking": 1}, {"planned": 1}]
    assert [task.node_id for task in story.tasks].count("dc-south") == 2
    if story.promised_at != first_promise:
        assert planned.context.promise is not None

    # A part of the order leaves.
    two.report(PickCompleted, north)
    two.report(PackagePacked, north)
    assert states(now()) == [{"planned": 2}, {"packed": 1}, {"planned": 1}]
    two.report(PackageShipped, north, tracking="SF-1")
    story = now()
    assert (story.state, states(story)) == (
        "picking",
        [{"planned": 2}, {"shipped": 1}, {"planned": 1}],
    )
    assert story.steps[-1].context.tracking == "SF-1"
    assert "sku-2" in story.steps[-1].what

    # The rest follows, and all of it arrives.
    south = [task.task_id for task in story.tasks if task.node_id == "dc-south"]
    for task_id in south:
        for report in (PickAccepted, PickCompleted, PackagePacked, PackageShipped):
            one.report(report, task_id)
    story = now()
    assert (story.state, states(story)) == (
        "shipped",
        [{"shipped": 2}, {"shipped": 1}, {"shipped": 1}],
    )
    two.report(PackageDelivered, north)
    assert now().state == "shipped"
    for task_id in south:
        one.report(PackageDelivered, task_id)
    story = now()
    assert (story.state, states(story)) == (
        "delivered",
        [{"delivered": 2}, {"delivered": 1}, {"delivered": 1}],
    )

    # Every step has its cause, and each report that of its own task.
    requests = {
        step.context.task_id: step.number for step in story.steps if step.kind == "pick.requested"
    }
    for step in story.steps[1:]:
        assert step.cause is not None
        assert step.cause.step is not None
        if step.kind.startswith(("pick.", "package.")) and step.kind != "pick.requested":
            assert step.cause.step == requests[step.context.task_id]
    assert [step.misfits for step in story.steps if step.misfits] == []
    _, answer = asked.why(order_id, firm.now_ms)
    assert (answer.stuck, answer.reasons, answer.next) == (False, [], None)
