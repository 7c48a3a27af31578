from msgspec.structs import replace

from central.feed import PATIENCE_MS, WINDOW_ITEMS_MAX, Window, cell_bodies, destinations
from central.territory import territory_of
from shared.events import (
    OrderCancelled,
    PickKept,
    PickRejected,
    PickShort,
    PickWithdrawn,
    StockExpected,
    StockMoved,
)
from shared.frames import Grant, decode_bulk
from shared.limits import GRANT_CELLS_MAX, QUANTITY_MAX
from shared.parts import PlannedLine, StockLine, TaskAt
from tests.central_scene import NOW, network, received, requested

TERRITORY = territory_of(network(edges=("e1", "e2", "e3")))
EDGES = ("e1", "e2", "e3")


def to(edge_id, data):
    return destinations(edge_id, data, TERRITORY, EDGES)


def test_a_pick_task_goes_to_the_home_edge_of_its_node():
    assert to("e2", requested("o", "dc", "A", 1, home="e2")) == ("e1",)
    assert to("e1", requested("o", "dc", "A", 1, home="e1")) == ()
    assert to("e1", requested("o", "nowhere", "A", 1, home="e1")) == ()


def test_a_failed_pick_goes_to_the_edge_that_keeps_the_order():
    missing = [PlannedLine(line=0, sku="A", quantity=1)]
    for home, expected in (("e2", ("e2",)), ("e1", ()), (None, ())):
        short = PickShort(task_id="t", node_id="dc", home_edge_id=home, missing=missing)
        assert to("e1", short) == expected
        assert to("e1", PickRejected(task_id="t", home_edge_id=home)) == expected


def test_a_cancellation_goes_to_the_nodes_that_are_asked_and_their_answers_come_home():
    asked = [
        TaskAt(task_id="o.0.0", node_id="dc"),
        TaskAt(task_id="o.0.1", node_id="s-e3"),
        TaskAt(task_id="o.0.2", node_id="s-e2"),
        TaskAt(task_id="o.0.3", node_id="nowhere"),
    ]
    assert to("e2", OrderCancelled(order_id="o", asked=asked)) == ("e1", "e3")
    assert to("e2", OrderCancelled(order_id="o")) == ()
    for kind in (PickWithdrawn, PickKept):
        assert to("e1", kind(task_id="o.0.0", node_id="dc", home_edge_id="e2")) == ("e2",)
        assert to("e2", kind(task_id="o.0.0", node_id="dc", home_edge_id="e2")) == ()


def test_stock_on_its_way_is_news_for_every_other_edge():
    moved = StockMoved(node_id="dc", to_node_id="s-e2", lines=[StockLine(sku="A", quantity=1)])
    assert to("e2", moved) == ("e1", "e3")
    expected = StockExpected(node_id="dc", lot_id="asn-1", lines=[], expected_at=NOW)
    assert to("e1", expected) == ("e2", "e3")
    arrived = received("dc", A=1)
    assert to("e2", arrived) == ()
    assert to("e2", replace(arrived, lot_id="asn-1")) == ("e1", "e3")
    assert to("e2", replace(arrived, reason="transfer")) == ("e1", "e3")


def test_a_large_grant_is_cut_into_frames_and_loses_no_unit():
    cells = {("dc", f"K{i:05}"): 1 for i in range(GRANT_CELLS_MAX)}
    cells["dc", "Z"] = 2 * QUANTITY_MAX + 5
    frames = [decode_bulk(body, Grant) for _, _, body in cell_bodies({"e1": cells}, Grant)]
    assert [len(frame.cells) for frame in frames] == [GRANT_CELLS_MAX, 3]
    assert sum(x.quantity for frame in frames for x in frame.cells) == sum(cells.values())


def test_a_window_bounds_what_is_under_way():
    window = Window(acked=10)
    assert window.due(last=1_000) == 10 + WINDOW_ITEMS_MAX
    window.mark_sent(window.due(1_000), 0)
    window.acknowledge(15, 0)
    assert window.due(last=1_000) == 15 + WINDOW_ITEMS_MAX
    assert window.due(last=20) == 20


def test_a_stuck_feed_goes_back_and_grows_patient_until_the_edge_is_heard():
    window = Window(acked=0)
    assert not window.go_back_if_stuck(10**9)  # nothing is under way
    window.mark_sent(3, 1_000)
    assert not window.go_back_if_stuck(1_000 + PATIENCE_MS - 1)
    assert window.go_back_if_stuck(1_000 + PATIENCE_MS)
    assert window.sent == 0
    window.mark_sent(3, 4_000)
    assert not window.go_back_if_stuck(4_000 + PATIENCE_MS)
    assert window.go_back_if_stuck(4_000 + 2 * PATIENCE_MS)
    window.mark_sent(3, 10_000)
    window.acknowledge(0, 10_000)
    assert window.go_back_if_stuck(10_000 + PATIENCE_MS)


def test_progress_restarts_patience():
    window = Window(acked=0)
    window.mark_sent(3, 0)
    window.acknowledge(1, PATIENCE_MS - 1)
    assert not window.go_back_if_stuck(PATIENCE_MS)
    assert (window.acked, window.sent) == (1, 3)
