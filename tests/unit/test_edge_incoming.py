"""Stock that is not here yet: what an edge knows of it, and when orders look again."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.incoming import Incoming, Lot
from edge.records import Decision, Order
from shared.clock import to_datetime
from shared.envelope import Event, make_event
from shared.errors import IdReusedError, TopicMismatchError, UnknownNodeError, UnknownSkuError
from shared.events import StockExpected, StockMoved, StockReceived
from shared.frames import Lots, Rejoin
from shared.parts import StockLine
from tests.edge_scene import Scene, open_scene
from tests.shop import NOON_MS, Shop, accepted, kinds, network, open_shop, payment

HOUR_MS = 3_600_000


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_shop(tmp_path / "edge.db")


def lines(**units: int) -> list[StockLine]:
    return [StockLine(sku=sku.replace("_", "-"), quantity=n) for sku, n in units.items()]


def expected(lot_id: str, hours: float, node_id: str = "dc-south", **changed: Any) -> StockExpected:
    values: dict[str, Any] = {
        "node_id": node_id,
        "lot_id": lot_id,
        "lines": lines(sku_1=10),
        "expected_at": to_datetime(NOON_MS + int(hours * HOUR_MS)),
    }
    return StockExpected(**(values | changed))


def from_afar(data: Any, event_id: str = "e-9") -> tuple[Event, Any]:
    """An event of a device at edge-2, as central forwards it."""
    event = make_event(
        data, id=event_id, source=f"/devices/{data.node_id}", time=to_datetime(NOON_MS)
    )
    return event, data


def lots(shop: Shop, sku: str = "sku-1") -> list[tuple[str, int]]:
    """Lot and units, in memory; the disk must agree."""
    found = list(shop.engine.state.incoming.lots(sku, shop.now_ms))
    stored = [x for x in shop.store.incoming(shop.now_ms) if x.sku == sku]
    assert sorted(stored, key=lambda lot: lot.expected_ms) == found
    return [(lot.lot_id, lot.units) for lot in found]


# What is known.


def test_lots_come_in_the_order_of_their_times_and_none_that_is_past() -> None:
    known = [Lot("n", x, "s", 1, at) for x, at in (("c", 30), ("a", 10), ("b", 20))]
    incoming = Incoming(known)
    assert [lot.lot_id for lot in incoming.lots("s", 10)] == ["b", "c"]
    incoming.put(Lot("n", "b", "s", 0, 20))
    incoming.put(Lot("n", "c", "s", 5, 11))
    assert list(incoming.lots("s", 10)) == [Lot("n", "c", "s", 5, 11)]
    assert list(incoming.lots("other", 0)) == []


def test_a_warehouse_announces_and_receives(shop: Shop) -> None:
    shop.tell("dc-south", expected("asn-1", 48, lines=lines(sku_1=10, sku_2=3)))
    shop.tell("dc-south", expected("asn-2", 24, release_per_mille=800, reason="inspection"))
    assert lots(shop) == [("asn-2", 10), ("asn-1", 10)]
    of_lot = StockReceived(
        node_id="dc-south", lines=lines(sku_1=8), reason="inspection", lot_id="asn-2"
    )
    shop.tell("dc-south", of_lot)
    assert lots(shop) == [("asn-2", 2), ("asn-1", 10)]
    shop.tell("dc-south", expected("asn-2", 24, lines=[]))
    assert lots(shop) == [("asn-1", 10)]
    shop.restart()
    assert lots(shop) == [("asn-1", 10)]
    assert lots(shop, "sku-2") == [("asn-1", 3)]
    assert kinds(shop) == ["stock.expected", "stock.expected", "stock.received", "stock.expected"]


def test_what_is_expected_is_no_stock(shop: Shop) -> None:
    shop.tell("dc-south", expected("asn-1", 24))
    shop.tell("till-1", payment("sku-1"))
    assert accepted(shop).plan is None
    assert shop.share("dc-south", "sku-1") == 0


def test_a_shortage_says_how_likely_the_next_arrival_may_be_sold(shop: Shop) -> None:
    shop.tell("dc-south", expected("asn-1", 48))
    shop.tell("till-1", payment("sku-1"))
    (parked,) = accepted(shop).parked
    assert (parked.expected_at, parked.expected_per_mille) == (
        to_datetime(NOON_MS + 48 * HOUR_MS),
        1_000,
    )
    shop.tell("dc-south", expected("insp-1", 24, reason="inspection", release_per_mille=650))
    shop.tell("till-1", payment("sku-1", "sku-2"), "p2")
    (sure, never) = accepted(shop).parked
    assert sure.expected_at == to_datetime(NOON_MS + 48 * HOUR_MS)  # Waiting costs nothing here.
    assert sure.expected_per_mille == 1_000
    shop.tell("dc-south", expected("asn-1", 48, lines=[]))
    shop.tell("till-1", payment("sku-1", "sku-2"), "p3")
    (soon, _) = accepted(shop).parked
    assert soon.expected_at == to_datetime(NOON_MS + 24 * HOUR_MS)
    assert soon.expected_per_mille == 650
    assert (never.expected_at, never.expected_per_mille) == (None, None)


def test_what_other_edges_expect_and_receive_is_known_here_and_gives_no_stock(shop: Shop) -> None:
    shop.feed(from_afar(expected("asn-1", 24, "dc-north")))
    received = StockReceived(node_id="dc-north", lines=lines(sku_1=4), lot_id="asn-1")
    shop.feed(from_afar(received))
    assert lots(shop) == [("asn-1", 6)]
    assert shop.share("dc-north", "sku-1") == 0
    assert kinds(shop) == []


def test_a_transfer_is_expected_where_it_goes_until_it_is_received_there(shop: Shop) -> None:
    moved = StockMoved(
        node_id="dc-north", to_node_id="store-1", lines=lines(sku_1=5),
        expected_at=to_datetime(NOON_MS + HOUR_MS),
    )  # fmt: skip
    shop.feed(from_afar(moved, "m-1"))
    assert lots(shop) == [("dc-north/m-1", 5)]
    received = StockReceived(node_id="store-1", lines=lines(sku_1=3), reason="transfer")
    shop.tell("store-1", received)
    assert lots(shop) == [("dc-north/m-1", 2)]


def test_only_a_node_itself_says_what_it_expects_and_only_of_goods_that_are_known(
    shop: Shop,
) -> None:
    with pytest.raises(TopicMismatchError):
        shop.tell("store-1", expected("asn-1", 1))
    with pytest.raises(UnknownNodeError):
        shop.tell("dc-north", expected("asn-1", 1, "dc-north"))
    with pytest.raises(UnknownSkuError):
        shop.tell("dc-south", expected("asn-1", 1, lines=lines(unknown=1)))
    assert lots(shop) == []


def test_the_same_announcement_again_has_its_effect_once(shop: Shop) -> None:
    shop.tell("dc-south", expected("asn-1", 24), "a-1")
    received = StockReceived(node_id="dc-south", lines=lines(sku_1=4), lot_id="asn-1")
    shop.tell("dc-south", received, "r-1")
    shop.tell("dc-south", expected("asn-1", 24), "a-1")
    shop.tell("dc-south", received, "r-1")
    assert lots(shop) == [("asn-1", 6)]
    with pytest.raises(IdReusedError):
        shop.tell("dc-south", expected("asn-1", 25), "a-1")


def test_a_store_that_was_lost_is_told_anew_what_is_on_its_way(shop: Shop) -> None:
    shop.tell("dc-south", expected("asn-1", 24))
    shop.feed(Rejoin(epoch=2, restored=True))
    assert lots(shop) == []
    at = NOON_MS + HOUR_MS
    shop.feed(Lots(lots=[Lot("dc-north", "asn-2", "sku-1", 7, at, 400, "inspection")]))
    assert lots(shop) == [("asn-2", 7)]


def test_what_is_on_its_way_may_be_told_before_the_first_network(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "edge.db")
    shop.feed(Lots(lots=[Lot("dc-north", "asn-1", "sku-1", 7, NOON_MS + 1)]))
    shop.feed(network())
    assert lots(shop) == [("asn-1", 7)]


# When orders look again.


def test_an_announcement_lets_waiting_orders_look_again_and_a_receipt_does_not(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    shop.retry()
    shop.tell("dc-south", expected("asn-1", 24, lines=lines(sku_2=1)))
    assert not shop.engine.state.due
    shop.tell("dc-south", expected("asn-2", 24))
    assert len(shop.retry()) == 1
    shop.feed(from_afar(expected("asn-3", 30, "dc-north")))
    assert len(shop.retry()) == 1
    shop.tell("dc-south", expected("asn-2", 24, lines=[]))
    assert len(shop.retry()) == 1
    received = StockReceived(node_id="dc-south", lines=lines(sku_2=1), lot_id="asn-1")
    shop.tell("dc-south", received)
    assert not shop.engine.state.due


def wait_for(shop: Shop | Scene, order_id: str, expected_ms: int) -> Order:
    """An order as a router leaves it that finds it better to wait for an arrival."""
    order = shop.store.order(order_id)
    assert order is not None
    parked = [
        msgspec.structs.replace(x, reason="incoming", expected_at=to_datetime(expected_ms))
        for x in order.parked
    ]
    order = msgspec.structs.replace(order, parked=parked)
    decision = Decision(orders=[order])
    shop.store.write(decision)
    shop.store.commit()
    engine = shop.engine if isinstance(shop, Shop) else shop.core.engine
    engine.state.apply(decision)
    return order


def test_an_order_that_waits_for_an_arrival_is_due_when_its_time_has_come(shop: Shop) -> None:
    for number, hours in enumerate((3, 1, 2)):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
        wait_for(shop, accepted(shop).order_id, NOON_MS + hours * HOUR_MS)
    state = shop.engine.state
    state.wake(NOON_MS + HOUR_MS - 1, 10)
    assert not state.due
    state.wake(NOON_MS + 2 * HOUR_MS, 1)
    assert len(state.due) == 1
    state.wake(NOON_MS + 2 * HOUR_MS, 10)
    assert len(state.due) == 2
    state.wake(NOON_MS + 2 * HOUR_MS, 10)
    shop.now_ms += 2 * HOUR_MS
    assert len(shop.retry()) == 2
    assert shop.last("order.parked").parked[0].reason == "share"
    state.wake(shop.now_ms, 10)
    assert not state.due


def test_a_shortage_names_no_arrival_that_is_past(shop: Shop) -> None:
    shop.tell("dc-south", expected("l-1", hours=5))
    shop.tell("dc-south", expected("l-2", hours=9))
    shop.tell("till-1", payment("sku-1"), "p1")
    told = [accepted(shop).parked[0].expected_at]
    for hours in (5, 9):
        shop.now_ms = NOON_MS + hours * HOUR_MS
        shop.engine.state.wake(shop.now_ms, 100)
        shop.retry()
        told.append(shop.last("order.parked").parked[0].expected_at)
    after = [to_datetime(NOON_MS + hours * HOUR_MS) for hours in (5, 9)]
    assert told == [*after, None]
    shop.now_ms += HOUR_MS
    shop.engine.state.wake(shop.now_ms, 100)
    assert shop.retry() == []


def test_an_order_that_waits_for_an_arrival_is_due_after_a_restart_too(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    wait_for(shop, accepted(shop).order_id, NOON_MS + HOUR_MS)
    shop.restart()
    shop.engine.state.due.clear()
    shop.engine.state.wake(NOON_MS + HOUR_MS - 1, 10)
    assert not shop.engine.state.due
    shop.engine.state.wake(NOON_MS + HOUR_MS, 10)
    assert len(shop.engine.state.due) == 1


def test_an_order_that_no_longer_waits_for_an_arrival_is_not_woken(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    order_id = accepted(shop).order_id
    wait_for(shop, order_id, NOON_MS + HOUR_MS)
    wait_for(shop, order_id, NOON_MS + 5 * HOUR_MS)  # Another arrival, a later one.
    shop.engine.state.wake(NOON_MS + HOUR_MS, 10)
    assert not shop.engine.state.due
    shop.grant("dc-south", sku_1=1)
    shop.retry()
    assert shop.last("route.planned").order_id == order_id
    shop.engine.state.wake(NOON_MS + 9 * HOUR_MS, 10)
    assert not shop.engine.state.due


def test_the_core_tries_an_order_again_when_its_time_has_come(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "edge.db")
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.elapsed_ms += 1_000
    scene.turn()
    (order_id,) = [data.order_id for kind, data in scene.answers("p1") if kind == "order.accepted"]
    wait_for(scene, order_id, scene.now_ms + HOUR_MS)
    said = len(scene.said)
    scene.turn()
    assert len(scene.said) == said
    scene.now_ms += HOUR_MS
    scene.turn()
    assert [kind for _, kind, _ in scene.said[said:]] == ["order.parked"]
