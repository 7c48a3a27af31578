"""A restored edge gets its past back from the ledger, and is what it was."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge.commands import FromDevice, FromFeed
from edge.network import COUNTER
from edge.records import Order
from shared.clock import to_datetime
from shared.envelope import decode_data
from shared.errors import AnswerPrunedError, OverloadedError
from shared.events import (
    OrderCancelled,
    OrderParked,
    PackageShipped,
    PickAccepted,
    PickRequested,
    PickShort,
    type_of,
)
from shared.frames import Rejoin
from shared.parts import PlannedLine
from tests.edge_pair import Pair, past_of, rebuilt
from tests.random_lives import live
from tests.shop import (
    NOON_MS,
    NORTH,
    Shop,
    accepted,
    device_event,
    kinds,
    lines,
    network,
    payment,
    question,
    task_of,
)

NOON = to_datetime(NOON_MS)


def same(one: Order | None, other: Order | None, *, looked_again: bool = False) -> None:
    """What a later decision reads of an order is the same.

    `looked_again`: `one` has looked again since at why its lines wait.
    """
    assert one is not None
    assert other is not None
    # What a later grant has forgiven is not in the ledger.
    assert set(one.failed) <= set(other.failed)
    if looked_again:
        waits = [[(x.line, x.sku, x.quantity) for x in order.parked] for order in (one, other)]
        assert waits[0] == waits[1]
        other = msgspec.structs.replace(other, parked=one.parked, parked_id=one.parked_id)
    assert _timeless(other) == msgspec.structs.replace(_timeless(one), failed=other.failed)


def _timeless(order: Order) -> Order:
    """When goods that were carried out were to be ready does not matter any more."""
    packages = [
        msgspec.structs.replace(x, ready_at=NOON, arrives_at=NOON) if x.service_id == COUNTER else x
        for x in order.packages
    ]
    return msgspec.structs.replace(order, packages=packages)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # Shrinking would take minutes.
)
@given(data=st.data())
def test_whatever_its_life_was_the_rebuilt_edge_has_the_same_orders_and_tasks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    pair = Pair(folder)
    for step in range(data.draw(st.integers(1, 16), label="steps")):
        live(pair, data, step)
    pair.upload(pair.one)
    pair.upload(pair.two)  # What edge-1 was to hear of it is still in the feed when it is lost.
    if any(isinstance(told, OrderCancelled) for _, told in pair.due["edge-1"]):
        # What others ask of its tasks is not its past: that, it has to hear.
        pair.deliver(pair.one)
        pair.upload(pair.one)
    past = past_of(pair)
    pair.one.feed(Rejoin(epoch=2))  # So that neither has any share to plan with.
    pair.deliver(pair.one)
    again = rebuilt(folder / "new.db", past, data.draw(st.lists(st.integers(1, 9), max_size=9)))
    since = [event for event in pair.one.log() if event not in past]
    parked_since = {x.correlationid for x in since if x.type == type_of(OrderParked)}
    for order_id in {str(event.correlationid) for event in past}:
        order = pair.one.store.order(order_id)
        if order is not None:
            same(order, again.store.order(order_id), looked_again=order_id in parked_since)
    for event in past:
        if isinstance(asked := decode_data(event), PickRequested):
            task = pair.one.store.task(asked.task_id)
            assert again.store.task(asked.task_id) == task
        if pair.one.store.answer(event.source, event.id) is not None:
            assert again.store.answer(event.source, event.id) is not None
    for shop in (pair.one, pair.two, again):
        shop.store.close()


# By hand.


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """An order of three units of sku-1, to be picked at dc-north."""
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=3)
    paid = payment(lines=lines("sku-1", quantity=3), destination=NORTH)
    pair.one.tell("till-1", paid, "p1")
    pair.carry()
    return pair


def test_a_cancellation_that_was_answered_while_the_edge_was_lost_is_settled(
    pair: Pair, tmp_path: Path
) -> None:
    pair.one.tell("till-1", OrderCancelled(order_id=accepted(pair.one).order_id), "c1")
    pair.upload(pair.one)
    pair.deliver(pair.two)
    pair.upload(pair.two)  # pick.withdrawn is in the ledger; edge-1 never hears of it.
    again = rebuilt(tmp_path / "new.db", past_of(pair), [])
    assert kinds(again) == ["epoch.began", "order.cancelled"]
    assert again.last("order.cancelled").nothing_left
    order = again.store.order(accepted(pair.one).order_id)
    assert order is not None
    assert (order.packages, order.cancelling, order.untold) == ([], {}, [])


def test_what_is_being_cancelled_is_what_no_waiting_unit_could_be_cancelled_for(
    pair: Pair, tmp_path: Path
) -> None:
    line = PlannedLine(line=0, sku="sku-1", quantity=1)
    pair.two.report(PickShort, pair.warehouse().task_id, missing=[line])
    pair.carry()  # One unit waits, two are at dc-north.
    two = msgspec.structs.replace(line, quantity=2)
    order_id = accepted(pair.one).order_id
    pair.one.tell("till-1", OrderCancelled(order_id=order_id, lines=[two]))
    pair.upload(pair.one)
    again = rebuilt(tmp_path / "new.db", past_of(pair), [])
    order = again.store.order(order_id)
    assert order is not None
    assert order.cancelling == {pair.warehouse().task_id: {0: 1}}
    same(pair.one.store.order(order_id), order)


def test_a_task_that_was_kept_is_being_cancelled_no_more(pair: Pair, tmp_path: Path) -> None:
    order_id = accepted(pair.one).order_id
    pair.two.report(PickAccepted, pair.warehouse().task_id)
    pair.one.tell("till-1", OrderCancelled(order_id=order_id))
    pair.carry()
    again = rebuilt(tmp_path / "new.db", past_of(pair), [])
    assert kinds(again) == ["epoch.began"]
    same(pair.one.store.order(order_id), again.store.order(order_id))


def test_a_short_pick_that_was_reported_while_the_edge_was_lost_is_followed(
    pair: Pair, tmp_path: Path
) -> None:
    pair.two.report(PickShort, pair.warehouse().task_id, missing=pair.warehouse().lines)
    pair.upload(pair.two)
    again = rebuilt(tmp_path / "new.db", past_of(pair), [1, 1])
    assert kinds(again) == ["epoch.began", "order.parked"]
    again.grant("dc-south", sku_1=3)
    again.retry()
    assert task_of(again).node_id == "dc-south"


def test_orders_that_wait_are_planned_with_what_was_granted_before_the_past_was_whole(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path)
    pair.one.tell("till-1", payment("sku-1"), "p1")
    pair.upload(pair.one)
    again = Shop(tmp_path / "new.db")
    again.feed(Rejoin(epoch=2, restored=True))
    again.feed(network())
    again.grant("dc-south", sku_1=1)
    again.feed([(event, decode_data(event)) for event in past_of(pair)])
    assert again.retry() == []
    again.feed([])
    again.retry()
    assert task_of(again).node_id == "dc-south"


def test_while_its_past_is_missing_an_edge_takes_no_events_but_answers_questions(
    pair: Pair, tmp_path: Path
) -> None:
    again = Shop(tmp_path / "new.db")
    again.feed(Rejoin(epoch=2, restored=True))
    again.feed(network())
    paid = payment(lines=lines("sku-1", quantity=3), destination=NORTH)
    with pytest.raises(OverloadedError, match="put together again"):
        again.tell("till-1", paid, "p1")
    again.restart()
    with pytest.raises(OverloadedError):
        again.tell("till-1", paid, "p1")
    again.tell("till-1", question("sku-1"))
    assert again.last("route.planned")
    again.feed([(event, decode_data(event)) for event in past_of(pair)])
    again.feed([])
    with pytest.raises(AnswerPrunedError):
        again.tell("till-1", paid, "p1")
    again.tell("till-1", paid, "p2")
    assert kinds(again) == ["epoch.began", "order.accepted", "order.parked"]


def test_reports_from_before_have_no_effect_again_and_new_ones_do(
    pair: Pair, tmp_path: Path
) -> None:
    pair.one.grant("dc-south", sku_2=1)
    pair.one.tell("till-1", payment("sku-2"), "p2")
    task = task_of(pair.one)
    done = device_event("dc-south", "a1", PickAccepted(task_id=task.task_id))
    pair.one.do(FromDevice("dc-south", done, PickAccepted(task_id=task.task_id)))
    pair.upload(pair.one)
    again = rebuilt(tmp_path / "new.db", past_of(pair), [])
    again.do(FromDevice("dc-south", done, PickAccepted(task_id=task.task_id)))
    assert kinds(again) == ["epoch.began"]
    again.report(PackageShipped, task.task_id)
    assert kinds(again) == ["epoch.began", "package.shipped"]


def test_what_a_store_behind_the_ledger_had_is_replaced_but_its_contacts_and_answers(
    pair: Pair,
) -> None:
    shop = pair.one
    before = past_of(pair)
    shop.tell("till-1", payment("sku-9"), "never uploaded")
    lost = accepted(shop).order_id
    shop.do(FromFeed(shop.engine.state.feed + 5, Rejoin(epoch=2, restored=True)))
    assert shop.store.order(lost) is None
    assert list(shop.store.cells()) == []
    shop.feed([(event, decode_data(event)) for event in before])
    shop.feed([])
    kept = shop.store.order(str(before[0].correlationid))
    assert kept is not None
    assert kept.packages[0].node_id == "dc-north"
    assert list(shop.store.parked_orders()) == []
    shop.grant("dc-south", sku_9=1)
    assert shop.retry() == []


def test_an_edge_that_dies_between_two_parts_goes_on_where_it_was(
    pair: Pair, tmp_path: Path
) -> None:
    again = Shop(tmp_path / "new.db")
    again.feed(Rejoin(epoch=2, restored=True))
    again.feed(network())
    for event in past_of(pair):
        again.feed([(event, decode_data(event))])
        again.restart()
    again.feed([])
    order_id = accepted(pair.one).order_id
    same(pair.one.store.order(order_id), again.store.order(order_id))
