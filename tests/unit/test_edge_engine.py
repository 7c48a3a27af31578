"""The engine's feed, peers and refusals."""

import msgspec
import pytest

from edge.commands import FromFeed, FromPeer
from shared.clock import to_datetime
from shared.envelope import Event, decode_data, decode_event, make_event
from shared.errors import GapError, OverloadedError, UnknownTypeError
from shared.events import (
    Data,
    InputRejected,
    PickAccepted,
    PickRejected,
    PickRequested,
    PickShort,
    StockMoved,
)
from shared.frames import Grant
from shared.parts import CellUnits, PlannedLine, StockLine
from tests.shop import NOON_MS, NORTH, Shop, network, payment


def from_edge_2(data: Data, order_id: str = "o") -> Event:
    return make_event(
        data, id="edge-2-1-7", source="/edges/edge-2", time=to_datetime(NOON_MS), sequence=7,
        epoch=1, hlc="e" + "0" * 15, causationid="x", correlationid=order_id,
    )  # fmt: skip


def task(node_id: str = "dc-south") -> PickRequested:
    return PickRequested(
        task_id="o.1.0", order_id="o", home_edge_id="edge-2", node_id=node_id,
        service_id="standard", lines=[PlannedLine(line=0, sku="sku-1", quantity=2)],
        ready_at=to_datetime(NOON_MS), arrives_at=to_datetime(NOON_MS),
    )  # fmt: skip


def test_a_grant_counts_once_however_often_it_comes(shop: Shop) -> None:
    grant = Grant(cells=[CellUnits(node_id="dc-south", sku="sku-1", quantity=4)])
    for _ in range(3):
        shop.do(FromFeed(2, grant))
    assert shop.share("dc-south", "sku-1") == 4
    shop.restart()
    shop.do(FromFeed(2, grant))
    assert shop.share("dc-south", "sku-1") == 4


def test_a_gap_in_the_feed_is_seen(shop: Shop) -> None:
    with pytest.raises(GapError, match="item 7 arrived after 1"):
        shop.do(FromFeed(7, network(version=2)))
    assert shop.engine.state.feed == 1


def test_a_task_by_two_ways_is_one_task(shop: Shop) -> None:
    event = from_edge_2(task())
    shop.do(FromPeer(event, task()))
    shop.feed((event, task()))
    shop.do(FromPeer(event, task()))
    assert [kind for _, kind, _ in shop.said] == ["pick.requested"]
    shop.report(PickAccepted, "o.1.0")
    told = decode_data(shop.log()[-1])
    assert isinstance(told, PickAccepted)
    assert (told.node_id, told.home_edge_id) == ("dc-south", "edge-2")


def test_a_failed_pick_of_another_edges_order_is_only_reported(shop: Shop) -> None:
    shop.do(FromPeer(from_edge_2(task()), task()))
    shop.report(PickRejected, "o.1.0")
    assert [event.type for event in shop.log()] == ["pointsman.pick.rejected.v1"]


def test_a_short_pick_at_another_edge_comes_home_by_the_feed_and_finds_another_node(
    shop: Shop,
) -> None:
    shop.grant("dc-north", sku_1=3)
    shop.tell("till-1", payment("sku-1", destination=NORTH))
    ((_, asked),) = shop.peers
    asked_task = decode_data(asked)
    assert isinstance(asked_task, PickRequested)
    shop.grant("dc-south", sku_1=3)
    short = PickShort(
        task_id=asked_task.task_id, node_id="dc-north", home_edge_id="edge-1",
        missing=asked_task.lines,
    )  # fmt: skip
    report = from_edge_2(short, asked_task.order_id)
    shop.feed((report, short))
    planned = shop.last("route.planned")
    assert planned.plan.packages[0].node_id == "dc-south"
    assert shop.log()[-2].causationid == report.id
    assert (shop.log()[-2].hlc or "") > (report.hlc or "")
    before = len(shop.log())
    shop.feed((report, short))  # As a new item: the order has let go of the task already.
    assert len(shop.log()) == before


def test_a_feed_item_that_cannot_be_taken_is_named_and_does_not_hold_up_the_rest(
    shop: Shop,
) -> None:
    short = PickShort(task_id="t", node_id="dc-north", missing=task().lines)
    decision = shop.feed((from_edge_2(short), short))
    assert decision.fault is not None
    assert decision.fault.code == "unknown_order"
    assert shop.feed((from_edge_2(PickAccepted(task_id="t")), PickAccepted(task_id="t"))).fault
    assert shop.feed((from_edge_2(task("dc-north")), task("dc-north"))).fault
    shop.grant("dc-south", sku_1=1)
    assert shop.engine.state.feed == 5
    assert shop.share("dc-south", "sku-1") == 1


def test_goods_that_another_edge_sends_are_expected_here(shop: Shop) -> None:
    moved = StockMoved(
        node_id="dc-north", to_node_id="dc-south", lines=[StockLine(sku="sku-1", quantity=5)],
        expected_at=to_datetime(NOON_MS + 1_000),
    )  # fmt: skip
    shop.feed((from_edge_2(moved), moved))
    shop.feed(
        (from_edge_2(moved), msgspec.structs.replace(moved, expected_at=None))
    )  # Nobody knows when: nothing to expect.
    shop.tell("till-1", payment("sku-1"))
    assert shop.last("order.accepted").parked[0].expected_at == to_datetime(NOON_MS + 1_000)


def test_peers_send_tasks_and_nothing_else(shop: Shop) -> None:
    with pytest.raises(UnknownTypeError):
        shop.do(FromPeer(from_edge_2(PickAccepted(task_id="t")), PickAccepted(task_id="t")))


def test_a_new_network_keeps_shares_by_name_and_tries_waiting_orders_again(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=3)
    shop.tell("till-1", payment("sku-2"))
    turned = network(version=2)
    turned = msgspec.structs.replace(
        turned, products=turned.products[::-1], nodes=turned.nodes[::-1]
    )
    shop.feed(turned)
    assert shop.share("dc-south", "sku-1") == 3
    assert shop.engine.due() is not None


def test_a_sku_that_a_network_drops_leaves_its_orders_waiting_and_nothing_breaks(
    shop: Shop,
) -> None:
    shop.tell("till-1", payment("sku-1", "sku-2"))
    without = [product for product in network().products if product.sku != "sku-1"]
    shop.feed(network(version=2, products=without))
    shop.grant("dc-south", sku_1=1, sku_2=1)
    shop.retry()
    planned = shop.last("route.planned")
    assert [shortage.sku for shortage in planned.parked] == ["sku-1"]


def test_a_refusal_says_code_place_and_when_to_try_again(shop: Shop) -> None:
    error = OverloadedError("too much", place="intake", expected="later")
    send = shop.engine.refuse("till-1", "p1", error, NOON_MS, 500)
    event = decode_event(send.payload)
    assert (send.device, send.kind, event.causationid) == ("till-1", "input.rejected", "p1")
    assert decode_data(event) == InputRejected(
        code="overloaded", detail="too much", place="intake", expected="later", retry_after_ms=500
    )
