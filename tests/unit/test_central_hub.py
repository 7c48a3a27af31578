import itertools
from datetime import timedelta

import msgspec
import pytest

from central.desk import Desk, Order
from central.hub import apply, mentions
from central.lifecycle import ORDER_STATES, ORDER_STEPS, fits, order_state
from shared.envelope import make_event
from shared.events import (
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickKept,
    PickRejected,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
    RouteRequested,
)
from shared.parts import Contact, PlannedLine, TaskAt
from shared.tasks import STEPS
from tests.central_scene import NOW, accepted, plan, received, requested, shortage

TASK = "o.0.0"


def report(kind, **more):
    return kind(task_id=TASK, node_id="dc", home_edge_id="e1", **more)


def missing(quantity):
    return [PlannedLine(line=0, sku="A", quantity=quantity)]


def told(*events, edge_id="e1", order_id="o"):
    """The desk after some events, and the codes of what did not fit."""
    desk, codes = Desk(), []
    for number, data in enumerate(events):
        event = make_event(
            data, id=str(number), source="/", time=NOW + timedelta(seconds=number),
            correlationid=order_id,
        )  # fmt: skip
        codes += [misfit.code for misfit in apply(desk, edge_id, event, data)]
    return desk, codes


LIFE = [
    (accepted("o", plan("dc", "A", 2), quantity=2), "planned"),
    (requested("o", "dc", "A", 2, home="e1"), "planned"),
    (report(PickAccepted), "picking"),
    (report(PickCompleted), "picking"),
    (report(PackagePacked), "packed"),
    (report(PackageShipped), "shipped"),
    (report(PackageDelivered), "delivered"),
]


def test_an_order_goes_through_its_life():
    for length in range(1, len(LIFE) + 1):
        desk, codes = told(*(data for data, _ in LIFE[:length]))
        assert desk.orders["o"].state == LIFE[length - 1][1]
        assert codes == []
    assert desk.orders["o"].promised_ms == int((NOW + timedelta(days=1)).timestamp() * 1000)
    assert desk.tasks[TASK].state == "delivered"


def test_the_streams_of_two_edges_may_come_in_any_order():
    home = [data for data, _ in LIFE[:2]]
    node = [data for data, _ in LIFE[2:]]
    states = set()
    for places in itertools.combinations(range(len(LIFE)), len(home)):
        rest = iter(node)
        mine = iter(home)
        desk, codes = told(*(next(mine if i in places else rest) for i in range(len(LIFE))))
        assert codes == []
        states.add((desk.orders["o"].state, desk.tasks[TASK].state, desk.tasks[TASK].units))
    assert states == {("delivered", "delivered", 2)}


def test_a_report_without_an_order_waits_for_its_task():
    desk, codes = told(report(PickAccepted), order_id=None)
    assert (codes, desk.orders, desk.tasks[TASK].state) == ([], {}, "accepted")
    desk, _ = told(report(PickAccepted), requested("o", "dc", "A", 2, home="e1"), order_id=None)
    assert desk.orders["o"].state == "picking"


def test_an_order_waits_in_part_or_as_a_whole():
    whole = accepted("o", None, quantity=2, parked=2)
    part = accepted("o", plan("dc", "A", 1), quantity=2, parked=1)
    assert told(whole)[0].orders["o"].state == "parked"
    assert told(part)[0].orders["o"].state == "part_parked"


def test_a_later_plan_ends_the_waiting():
    desk, codes = told(
        accepted("o", None, quantity=3, parked=3),
        RoutePlanned(order_id="o", plan=plan("dc", "A", 1), parked=shortage("A", 2)),
    )
    assert desk.waiting["o", 0].units == 2
    assert desk.orders["o"].state == "part_parked"
    desk, codes = told(
        accepted("o", None, quantity=3, parked=3),
        RoutePlanned(order_id="o", plan=plan("dc", "A", 3)),
    )
    assert (desk.waiting, desk.orders["o"].state, codes) == ({}, "planned", [])
    assert ("o", 0) in desk.changed_waiting


def test_exactly_the_lines_wait_that_were_told_last():
    desk, _ = told(accepted("o", None, quantity=3, parked=3))
    desk.park("e1", "o", shortage("B", 2, line=1, nodes=("s-e1", "dc"), group=0))
    assert list(desk.waiting) == [("o", 1)]
    line = desk.waiting["o", 1]
    assert (line.sku, line.units, line.group, line.nodes) == ("B", 2, 0, "s-e1 dc")
    assert desk.changed_waiting == {("o", 0), ("o", 1)}
    desk.park("e1", "o", [])
    assert desk.waiting == {}


def test_a_short_pick_that_finds_nothing_leaves_the_order_to_be_planned_again():
    first = [data for data, _ in LIFE[:2]]
    desk, codes = told(*first, report(PickShort, missing=missing(2)))
    assert (desk.tasks[TASK].live(), desk.orders["o"].state) == (False, "planned")
    desk, codes = told(
        *first, report(PickShort, missing=missing(2)),
        OrderParked(order_id="o", parked=shortage("A", 2)),
    )  # fmt: skip
    assert (desk.orders["o"].state, codes) == ("parked", [])


def test_a_short_pick_that_finds_some_goes_on():
    desk, codes = told(
        *(data for data, _ in LIFE[:2]), report(PickShort, missing=missing(1)),
        report(PickCompleted), report(PackageShipped),
    )  # fmt: skip
    assert (desk.orders["o"].state, desk.tasks[TASK].missing, codes) == ("shipped", 1, [])


def test_a_rejected_task_is_over():
    desk, codes = told(*(data for data, _ in LIFE[:2]), report(PickRejected), report(PickCompleted))
    assert (desk.tasks[TASK].state, codes) == ("rejected", ["wrong_state"])


def test_a_cancelled_order_stays_cancelled_and_says_if_something_still_happens():
    cancelled = OrderCancelled(order_id="o", nothing_left=True)
    desk, codes = told(LIFE[0][0], cancelled)
    assert (desk.orders["o"].state, codes) == ("cancelled", [])
    desk, codes = told(LIFE[0][0], LIFE[1][0], cancelled, report(PackageShipped))
    assert (desk.orders["o"].state, codes) == ("shipped", ["order_step"])


def test_a_cancellation_of_some_units_or_one_that_is_too_late_cancels_no_order():
    some = OrderCancelled(order_id="o", lines=missing(1), parked=shortage("A", 1))
    desk, _ = told(accepted("o", None, quantity=2, parked=2), some)
    assert (desk.waiting["o", 0].units, desk.orders["o"].cancelled) == (1, False)
    late = OrderCancelled(order_id="o", too_late=missing(2))
    assert not told(LIFE[0][0], late)[0].orders["o"].cancelled


def test_what_does_not_fit_is_noted_and_changes_nothing():
    first = [data for data, _ in LIFE[:2]]
    assert told(LIFE[0][0], LIFE[0][0])[1] == ["order_twice"]
    assert told(OrderParked(order_id="o", parked=shortage("A", 1)))[1] == ["unknown_order"]
    assert told(*first, first[1])[1] == ["task_twice"]
    desk, codes = told(*first, report(PackageDelivered))
    assert (codes, desk.tasks[TASK].state) == (["wrong_state"], "issued")
    nowhere = PickAccepted(task_id=TASK)
    assert told(*first, nowhere)[1] == ["no_node"]


def test_contact_details_in_a_log_are_noticed():
    order = accepted("o", None, parked=1)
    payment = msgspec.structs.replace(order.payment, contact=Contact(name="Customer 1"))
    assert told(msgspec.structs.replace(order, payment=payment))[1] == ["contact_in_log"]


def test_stock_and_questions_concern_no_order():
    question = RouteRequested(
        store_id="s", fulfilment=LIFE[0][0].payment.fulfilment, lines=LIFE[0][0].payment.lines
    )
    for data in (received("dc", A=1), question, RoutePlanned(plan=plan("dc", "A", 1))):
        desk, codes = told(data)
        assert (codes, desk.orders, desk.tasks) == ([], {}, {})
        event = make_event(data, id="1", source="/", time=NOW)
        assert mentions(event, data) == (None, None)


@pytest.mark.parametrize("state", ORDER_STATES)
def test_every_state_but_cancelled_leads_somewhere(state):
    assert any(step.before == state for step in ORDER_STEPS) == (state != "cancelled")


def test_the_tables_are_closed():
    assert {step.after for step in ORDER_STEPS} <= set(ORDER_STATES)
    assert all(fits(step.before, step.after) for step in ORDER_STEPS)
    assert not fits("cancelled", "picking")
    reached = {to for _, to in STEPS.values() if to} | {"issued"}
    assert set().union(*(found for found, _ in STEPS.values())) <= reached


def test_an_order_of_which_nothing_is_known_is_accepted():
    assert order_state(Order("o"), [], 0) == "accepted"


# A second edge, and tasks at other edges' nodes.


def told_by(*said):
    """The desk after events of several edges."""
    desk, codes = Desk(), []
    for number, (edge_id, data) in enumerate(said):
        event = make_event(
            data, id=str(number), source="/", time=NOW + timedelta(seconds=number),
            correlationid="o",
        )  # fmt: skip
        codes += [misfit.code for misfit in apply(desk, edge_id, event, data)]
    return desk, codes


def test_what_a_second_edge_says_of_an_order_leaves_it_alone():
    order = accepted("o", plan("dc", "A", 2), quantity=2)
    desk, codes = told_by(
        ("e1", order),
        ("e1", requested("o", "dc", "A", 2, home="e1")),
        ("e2", accepted("o", None, quantity=2, parked=2)),
        ("e2", OrderParked(order_id="o", parked=shortage("A", 2))),
        ("e2", RoutePlanned(order_id="o", plan=plan("s-e2", "A", 2))),
        ("e2", msgspec.structs.replace(requested("o", "s-e2", "A", 2, home="e2"), task_id="o.2")),
        ("e2", PickAccepted(task_id="o.2", node_id="s-e2", home_edge_id="e2")),
        ("e2", OrderCancelled(order_id="o", withdrawn=["o.2"], nothing_left=True)),
    )
    assert desk.tasks["o.2"].state == "withdrawn"  # it is a real task, of the second edge
    assert codes == ["order_twice"]
    assert (desk.waiting, desk.tasks[TASK].node_id) == ({}, "dc")
    assert (desk.orders["o"].edge_id, desk.orders["o"].state) == ("e1", "planned")
    assert desk.tasks[TASK].state == "issued"


def test_a_report_of_the_second_edge_s_task_that_came_first_is_not_of_the_order_s():
    desk, codes = told_by(
        ("e2", PickAccepted(task_id="o.2", node_id="s-e2", home_edge_id="e2")),
        ("e1", accepted("o", plan("dc", "A", 2), quantity=2)),
        ("e1", requested("o", "dc", "A", 2, home="e1")),
    )
    assert (codes, desk.tasks[TASK].state, desk.orders["o"].state) == ([], "issued", "planned")


def test_a_task_that_its_node_has_dropped_is_over_and_one_that_it_keeps_goes_on():
    first = [data for data, _ in LIFE[:2]]
    asking = OrderCancelled(order_id="o", asked=[TaskAt(task_id=TASK, node_id="dc")])
    desk, codes = told(*first, asking, report(PickWithdrawn))
    assert (desk.tasks[TASK].state, codes, desk.orders["o"].cancelled) == ("withdrawn", [], False)
    desk, codes = told(*first, asking, report(PickWithdrawn), OrderCancelled(
        order_id="o", withdrawn=[TASK], nothing_left=True))  # fmt: skip
    assert (desk.orders["o"].state, codes) == ("cancelled", [])
    desk, codes = told(*first, report(PickAccepted), asking, report(PickKept))
    assert (desk.tasks[TASK].state, codes) == ("accepted", [])


# More units than a task has.


def test_more_units_than_a_task_has_are_noted_and_not_applied():
    first = [data for data, _ in LIFE[:2]]
    desk, codes = told(*first, report(PickShort, missing=missing(3)))
    assert (desk.tasks[TASK].missing, desk.orders["o"].state) == (0, "planned")
    assert codes == ["too_many_units"]
    desk, codes = told(*first, report(PickShort, missing=missing(1)), left(2))
    assert (desk.tasks[TASK].state, codes) == ("issued", ["too_many_units"])
    desk, codes = told(*first, report(PickShort, missing=missing(1)), left(1))
    assert (desk.tasks[TASK].state, codes) == ("shipped", [])


def test_more_units_than_the_task_turns_out_to_have_are_noted_when_it_is_known():
    _, codes = told(report(PickShort, missing=missing(3)), *(data for data, _ in LIFE[:2]))
    assert codes == ["too_many_units"]


def left(quantity):
    return report(PackageShipped, lines=missing(quantity))
