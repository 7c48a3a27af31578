"""Orders one of whose lines is in several packages: short picks, cancellations, counts, central."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central import tables
from shared.envelope import decode_data
from shared.events import (
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickRequested,
    PickShort,
    StockCounted,
    StockReceived,
)
from shared.parts import CellUnits, CountLine, PlannedLine, StockLine
from tests.central_scene import ScriptedEdge, granted, scene
from tests.routing_scene import judged, with_node
from tests.shop import Shop, accepted, lines, network, payment


def cutting_shop(path: Path) -> Shop:
    """store-1 has 3, dc-south 4 of sku-1; lines may be cut."""
    shop = Shop(path / "edge.db")
    shop.feed(judged(network(), split_lines=True))
    shop.grant("store-1", sku_1=3)
    shop.grant("dc-south", sku_1=4)
    return shop


def pay_six(shop: Shop) -> dict[str, PickRequested]:
    """Six of sku-1, one line; the tasks by node."""
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=6)), "p1")
    asked = [data for _, kind, event in shop.said if kind == "pick.requested"
             and isinstance(data := decode_data(event), PickRequested)]  # fmt: skip
    found = {task.node_id: task for task in asked}
    assert set(found) == {"store-1", "dc-south"}
    assert {x.line for task in asked for x in task.lines} == {0}
    assert sum(x.quantity for task in asked for x in task.lines) == 6
    return found


@pytest.fixture
def cut(tmp_path: Path) -> Shop:
    return cutting_shop(tmp_path)


def order_id(shop: Shop) -> str:
    return accepted(shop).order_id


def held(shop: Shop) -> tuple[int, int]:
    """Units of the order in packages, and parked."""
    order = shop.store.order(order_id(shop))
    assert order is not None
    assert len({x.line for x in order.parked}) == len(order.parked)
    return (
        sum(x.quantity for p in order.packages for x in p.lines),
        sum(x.quantity for x in order.parked),
    )


def test_a_short_pick_of_one_piece_leaves_the_other_alone(cut: Shop) -> None:
    tasks = pay_six(cut)
    other = cut.store.task(tasks["dc-south"].task_id)
    missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    cut.report(PickAccepted, tasks["store-1"].task_id)
    cut.report(PickShort, tasks["store-1"].task_id, missing=missing)
    assert sum(held(cut)) == 6
    assert cut.store.task(tasks["dc-south"].task_id) == other


def test_a_rejected_piece_is_found_elsewhere_or_waits(cut: Shop) -> None:
    tasks = pay_six(cut)
    units = sum(x.quantity for x in tasks["store-1"].lines)
    cut.report(PickRejected, tasks["store-1"].task_id)
    left = cut.share("dc-south", "sku-1")
    assert left + sum(held(cut)) >= 6
    assert sum(held(cut)) == 6
    cut.grant("dc-south", sku_1=units)
    cut.retry()
    assert held(cut) == (6, 0)


def test_both_pieces_short_wait_as_one_line(cut: Shop) -> None:
    tasks = pay_six(cut)
    for node_id, task in tasks.items():
        cut.report(PickAccepted, task.task_id)
        missing = [PlannedLine(line=0, sku="sku-1", quantity=task.lines[0].quantity)]
        cut.report(PickShort, task.task_id, missing=missing)
        assert cut.store.task(task.task_id) is not None, node_id
    told: OrderParked = cut.last("order.parked")
    assert [(x.line, x.quantity) for x in told.parked] == [(0, 6)]
    assert held(cut) == (0, 6)


def test_a_part_of_a_line_in_pieces_is_cancelled_where_it_still_can_be(cut: Shop) -> None:
    tasks = pay_six(cut)
    cut.report(PickAccepted, tasks["store-1"].task_id)
    asked = [PlannedLine(line=0, sku="sku-1", quantity=2)]
    cut.tell("till-1", OrderCancelled(order_id=order_id(cut), lines=asked))
    said: OrderCancelled = cut.last("order.cancelled")
    assert said.withdrawn == [tasks["dc-south"].task_id]
    assert said.too_late == []
    assert [(x.node_id, x.quantity) for x in said.released] == [("dc-south", 2)]
    assert held(cut) == (4, 0)


def test_what_of_a_line_in_pieces_is_too_late_to_cancel_is_said_by_units(cut: Shop) -> None:
    tasks = pay_six(cut)
    cut.report(PickAccepted, tasks["store-1"].task_id)
    cut.tell("till-1", OrderCancelled(order_id=order_id(cut)))
    said: OrderCancelled = cut.last("order.cancelled")
    stays = sum(x.quantity for x in tasks["store-1"].lines)
    assert [(x.line, x.quantity) for x in said.too_late] == [(0, stays)]
    assert held(cut) == (stays, 0)
    for node_id, whole in (("store-1", 3), ("dc-south", 4)):
        gone = stays if node_id == "store-1" else 0
        assert cut.share(node_id, "sku-1") == whole - gone


def test_a_count_that_finds_less_shortens_only_the_piece_of_its_node(cut: Shop) -> None:
    tasks = pay_six(cut)
    count = [CountLine(sku="sku-1", quantity=1)]
    cut.tell("store-1", StockCounted(node_id="store-1", lines=count))
    other = cut.store.task(tasks["dc-south"].task_id)
    assert other is not None
    assert other.lines == tasks["dc-south"].lines
    assert sum(held(cut)) == 6


def test_pieces_ship_one_by_one(cut: Shop) -> None:
    for task in pay_six(cut).values():
        cut.report(PickAccepted, task.task_id)
        cut.report(PickCompleted, task.task_id)
        cut.report(PackageShipped, task.task_id)
    shipped = [
        x.quantity
        for event in cut.log()
        if isinstance(data := decode_data(event), PackageShipped)
        for x in data.lines
    ]
    assert sum(shipped) == 6


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_happens_to_the_pieces_every_unit_is_somewhere(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shop = cutting_shop(tmp_path_factory.mktemp("cut"))
    pay_six(shop)
    granted, gone, cancelled = 7, 0, 0
    for step in range(data.draw(st.integers(1, 6))):
        order = shop.store.order(order_id(shop))
        assert order is not None
        kind = data.draw(st.sampled_from(["short", "reject", "cancel", "grant"]))
        open_ = [
            task
            for package in order.packages
            if (task := shop.store.task(package.task_id)) is not None and task.state == "issued"
        ]
        if kind in ("short", "reject") and open_:
            task = data.draw(st.sampled_from(open_))
            if kind == "reject":
                shop.report(PickRejected, task.task_id)
            else:
                units = data.draw(st.integers(1, task.lines[0].quantity))
                missing = [PlannedLine(line=0, sku="sku-1", quantity=units)]
                shop.report(PickShort, task.task_id, missing=missing)
                gone += units
        elif kind == "cancel" and sum(held(shop)):
            units = data.draw(st.integers(1, sum(held(shop))))
            asked = [PlannedLine(line=0, sku="sku-1", quantity=units)]
            shop.tell("till-1", OrderCancelled(order_id=order.order_id, lines=asked), f"c{step}")
            said: OrderCancelled = shop.last("order.cancelled")
            assert said.too_late == []
            cancelled += units
        elif kind == "grant":
            node = data.draw(st.sampled_from(["store_1", "dc_south"])).replace("_", "-")
            shop.grant(node, sku_1=1)
            granted += 1
        shop.retry()
        packed, parked = held(shop)
        assert packed + parked == 6 - cancelled
        shares = shop.share("store-1", "sku-1") + shop.share("dc-south", "sku-1")
        assert granted == shares + packed + gone
    shop.restart()
    assert sum(held(shop)) == 6 - cancelled


def test_central_follows_an_order_in_pieces_to_its_end(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "other.db")
    of = with_node(judged(network(), split_lines=True), "dc-north", edge_id="edge-1")
    shop.feed(of)
    edge = ScriptedEdge("edge-1")
    with scene(tmp_path / "central", pool_reserve=0.0) as stage:
        stage.publish(msgspec.json.encode(of))
        stage.tell(edge.hello())

        def carry() -> None:
            """The edge's log to central, and its grants to the edge."""
            sent = len(edge.log)
            edge.log = [raw for _, raw in shop.store.log_after(0, 1_000)]
            out = stage.tell(edge.batch(sent + 1))
            cells = [
                CellUnits(node_id=node_id, sku=sku, quantity=units)
                for (node_id, sku), units in granted("edge-1", out).items()
            ]
            if cells:
                shop.do_grant(*cells)
            shop.retry()

        for node_id, units in (("store-1", 3), ("dc-south", 4)):
            stock = [StockLine(sku="sku-1", quantity=units)]
            shop.tell(node_id, StockReceived(node_id=node_id, lines=stock))
        carry()
        tasks = pay_six(shop)
        carry()
        assert sum(row["units"] for row in stage.rows(tables.tasks)) == 6
        short = tasks["store-1"]
        shop.report(PickAccepted, short.task_id)
        missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
        shop.report(PickShort, short.task_id, missing=missing)
        asked = [PlannedLine(line=0, sku="sku-1", quantity=1)]
        shop.tell("till-1", OrderCancelled(order_id=order_id(shop), lines=asked))
        carry()
        (row,) = stage.rows(tables.orders)
        assert row["state"] in ("picking", "part_parked")
        for node_id in ("store-1", "dc-south"):
            stock = [StockLine(sku="sku-1", quantity=2)]
            shop.tell(node_id, StockReceived(node_id=node_id, lines=stock))
        carry()
        order = shop.store.order(order_id(shop))
        assert order is not None
        for package in order.packages:
            task = shop.store.task(package.task_id)
            assert task is not None
            steps = [PickAccepted, PickCompleted, PackageShipped, PackageDelivered]
            for step in steps[1 if task.state == "accepted" else 0 :]:
                shop.report(step, package.task_id)
        carry()
        (row,) = stage.rows(tables.orders)
        assert row["state"] == "delivered"
        assert stage.rows(tables.waiting) == []
        assert stage.codes() == []
        shipped = sum(x[2] for x in stage.stock().values())
        assert (shipped, sum(x[1] for x in stage.stock().values())) == (5, 0)
