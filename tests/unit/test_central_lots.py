"""Stock on its way: who is told, and what an edge that joins later is told."""

from datetime import timedelta

import pytest

from central.holdings import broken_cells
from central.tables import lots
from shared.events import StockExpected, StockMoved, StockReceived
from shared.frames import Lots, decode_bulk
from shared.lots import OVERDUE_MS
from shared.parts import StockLine
from tests.central_scene import (
    NOW,
    ScriptedEdge,
    document,
    feed_of,
    scene,
)

DAY = timedelta(days=1)


@pytest.fixture
def stage(location):
    with scene(location) as found:
        found.publish(document())
        yield found
        with found.database.begin():
            assert broken_cells(found.database) == []


@pytest.fixture
def edges(stage):
    two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.tell(*(edge.hello() for edge in two))
    return two


def lines(**units):
    return [StockLine(sku=sku, quantity=n) for sku, n in units.items()]


def expected(lot_id, days=1, node_id="dc", **units):
    return StockExpected(
        node_id=node_id, lot_id=lot_id, lines=lines(**units), expected_at=NOW + days * DAY,
        reason="inspection", release_per_mille=700,
    )  # fmt: skip


def received(lot_id=None, reason="purchase", **units):
    return StockReceived(node_id="dc", lines=lines(**units), lot_id=lot_id, reason=reason)


def say(stage, edge, *told):
    """Events, each with the next id of its device."""
    for data in told:
        edge.say(data, id=f"d-{len(edge.log) + 1}", source=f"/devices/{data.node_id}")
    return stage.tell(edge.batch())


def kinds_of(edge_id, out):
    return [kind for _, kind, _ in feed_of(edge_id, out)]


def told_of(edge_id, out):
    """Lot and units of what an edge is told to expect."""
    return {
        (lot.node_id, lot.lot_id, lot.sku): lot.units
        for _, kind, body in feed_of(edge_id, out)
        if kind == "lots"
        for lot in decode_bulk(body, Lots).lots
    }


def test_what_is_expected_is_told_to_the_others_and_is_in_no_account(stage, edges):
    out = say(stage, edges[0], expected("asn-1", A=5))
    assert kinds_of("e2", out) == ["event"]
    assert kinds_of("e1", out) == []
    assert stage.stock() == {}
    assert stage.codes() == []


def test_what_is_received_of_a_lot_is_told_to_the_others_and_granted(stage, edges):
    say(stage, edges[0], expected("asn-1", A=5))
    out = say(stage, edges[0], received("asn-1", "inspection", A=5))
    assert kinds_of("e2", out) == ["event", "grant"]
    assert kinds_of("e1", out) == ["grant"]
    assert stage.stock()["dc", "A"][3] == 5
    assert kinds_of("e2", say(stage, edges[0], received(A=5))) == ["grant"]
    assert "event" in kinds_of("e2", say(stage, edges[0], received(None, "transfer", A=5)))


def test_an_edge_that_joins_later_is_told_what_is_still_open(stage, edges):
    say(
        stage, edges[0],
        expected("asn-1", A=5, B=2), expected("asn-2", A=9), expected("asn-3", 2, B=4),
        expected("asn-2"), received("asn-1", A=3), received("asn-1", B=2),
    )  # fmt: skip
    out = stage.tell(ScriptedEdge("e3").hello())
    assert kinds_of("e3", out) == ["network", "lots"]
    assert told_of("e3", out) == {("dc", "asn-1", "A"): 2, ("dc", "asn-3", "B"): 4}
    (lot,) = [x for x in stage.rows(lots) if x["lot_id"] == "asn-3"]
    assert (lot["release_per_mille"], lot["reason"]) == (700, "inspection")


def test_an_edge_that_a_network_brings_in_is_told_too(stage, edges):
    say(stage, edges[0], expected("asn-1", A=5))
    stage.publish(document(2, ("e1", "e2", "e3")))
    out = stage.tell(ScriptedEdge("e3").hello())
    assert kinds_of("e3", out)[:2] == ["network", "lots"]


def test_a_transfer_is_open_until_it_is_received(stage, edges):
    when = NOW + DAY
    moved = StockMoved(node_id="s-e2", to_node_id="dc", lines=lines(A=6), expected_at=when)
    say(stage, edges[1], moved)
    say(stage, edges[0], received(None, "transfer", A=4))
    assert told_of("e3", stage.tell(ScriptedEdge("e3").hello())) == {("dc", "s-e2/d-1", "A"): 2}
    say(stage, edges[0], received("s-e2/d-1", "transfer", A=2))
    assert stage.rows(lots) == []


def test_a_restored_edge_gets_back_what_it_knew(stage, edges):
    one, two = edges
    say(stage, one, expected("asn-1", A=5))
    moved = StockMoved(node_id="s-e2", to_node_id="dc", lines=lines(A=6), expected_at=NOW + 2 * DAY)
    say(stage, two, moved)
    stage.admin("fence", edge_id="e1")
    fresh = ScriptedEdge("e1", boots=(9,))
    out = stage.tell(fresh.hello(unfit=True))
    assert kinds_of("e1", out)[:2] == ["rejoin", "network"]
    fresh.begin(2)
    out = stage.tell(fresh.batch())
    assert kinds_of("e1", out) == ["lots", "past"]
    assert told_of("e1", out) == {("dc", "asn-1", "A"): 5, ("dc", "s-e2/d-1", "A"): 6}


def test_a_restored_edge_is_told_what_its_own_log_still_had_to_say(stage, edges):
    one, _ = edges
    say(stage, one, received(A=1))
    one.say(expected("asn-1", A=5), source="/devices/dc", id="d-2")
    stage.admin("fence", edge_id="e1")
    back = one.restarted(1, 9)
    stage.tell(back.hello(unfit=True))
    back.begin(2)
    stage.tell(one.batch())
    out = stage.tell(back.batch())
    assert told_of("e1", out) == {("dc", "asn-1", "A"): 5}


def test_what_is_long_overdue_is_not_told(stage, edges):
    long_ago = timedelta(milliseconds=OVERDUE_MS) / DAY
    say(stage, edges[0], expected("gone", -long_ago, A=5), expected("late", -1, B=5))
    assert told_of("e3", stage.tell(ScriptedEdge("e3").hello())) == {("dc", "late", "B"): 5}


def test_a_repeated_log_changes_nothing(stage, edges):
    say(stage, edges[0], expected("asn-1", A=5), received("asn-1", A=2))
    before = stage.rows(lots)
    stage.restart()
    assert stage.tell(edges[0].batch())
    assert stage.rows(lots) == before
