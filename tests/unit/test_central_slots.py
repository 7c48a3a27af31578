"""Pick capacity: a slot of a node is a cell, and its packages are units like any other."""

from datetime import timedelta

import msgspec
import pytest

from central.holdings import broken_cells
from central.tables import recalls, waiting
from shared.events import CapacityAnnounced, OrderCancelled, RoutePlanned
from shared.parts import CellUnits, Slot, slot_sku
from tests.central_scene import (
    NOW,
    ScriptedEdge,
    accepted,
    document,
    feed_of,
    granted,
    plan,
    recalled,
    received,
    returned,
    scene,
    shortage,
)

EDGES = ("e1", "e2", "e3")
STARTS = NOW + timedelta(hours=1)
SKU = slot_sku(STARTS)
DC, STORE = ("dc", SKU), ("s-e1", SKU)


@pytest.fixture
def stage(location):
    with scene(location) as found:
        found.publish(document(1, EDGES))
        yield found
        with found.database.begin():
            assert broken_cells(found.database) == []


@pytest.fixture
def edges(stage):
    three = [ScriptedEdge(edge_id) for edge_id in EDGES]
    stage.tell(*(edge.hello() for edge in three))
    return three


def announce(stage, edge, packages, node_id="dc"):
    slot = Slot(starts_at=STARTS, ends_at=STARTS + timedelta(hours=1), packages=packages)
    edge.say(CapacityAnnounced(node_id=node_id, slots=[slot]))
    return stage.tell(edge.batch())


def in_slot(packages):
    """A plan whose packages, of a unit each, take the distribution centre's slot."""
    chosen = plan("dc", "A", 1)
    found = [
        msgspec.structs.replace(chosen.packages[0], package=x, slot=SKU) for x in range(packages)
    ]
    return msgspec.structs.replace(chosen, packages=found)


def test_a_slot_is_shared_out_and_every_other_edge_is_told_of_it(stage, edges):
    out = announce(stage, edges[0], 10)
    units = {edge_id: granted(edge_id, out)[DC] for edge_id in EDGES}
    assert sum(units.values()) == 8  # the pool keeps its reserve
    assert stage.stock()[DC] == (2, 0, 0, 0, -10)
    assert [kind for _, kind, _ in feed_of("e2", out)] == ["event", "grant"]
    assert [kind for _, kind, _ in feed_of("e1", out)] == ["grant"]


def test_an_edge_that_a_later_network_names_is_told_of_slots_announced_before(stage, edges):
    announce(stage, edges[0], 10)
    stage.publish(document(2, (*EDGES, "e4")))
    new = ScriptedEdge("e4")
    out = stage.tell(new.hello())
    assert [kind for _, kind, _ in feed_of("e4", out)][:2] == ["network", "event"]


def test_a_store_s_slot_is_its_edge_s_alone(stage, edges):
    out = announce(stage, edges[0], 5, "s-e1")
    assert granted("e1", out) == {STORE: 5}
    assert granted("e2", out) == {}


def test_what_is_announced_again_changes_nothing(stage, edges):
    announce(stage, edges[0], 10)
    before = stage.stock(), stage.shares()
    out = announce(stage, edges[0], 10)
    assert (stage.stock(), stage.shares()) == before
    assert granted("e2", out) == recalled("e2", out) == {}


def test_a_raised_capacity_is_more_to_share_out(stage, edges):
    announce(stage, edges[0], 10)
    announce(stage, edges[0], 100)
    units = sum(units for key, units in stage.shares().items() if key[1:] == DC)
    assert (units, stage.stock()[DC][0]) == (80, 20)


def test_a_package_takes_its_slot_and_its_goods_from_the_edge_s_shares(stage, edges):
    one, two, _ = edges
    one.say(received("dc", A=10))
    announce(stage, one, 10)
    slots, goods = stage.shares()["e2", *DC], stage.shares()["e2", "dc", "A"]
    two.say(accepted("o", in_slot(2), quantity=2), "o")
    stage.tell(two.batch())
    assert stage.shares()["e2", *DC] == slots - 2
    assert stage.shares()["e2", "dc", "A"] == goods - 2
    assert (stage.stock()[DC][1], stage.stock()["dc", "A"][1]) == (2, 2)
    assert stage.codes() == []


def test_what_is_released_of_a_slot_is_the_edge_s_own_again(stage, edges):
    one, two, _ = edges
    announce(stage, one, 10)
    held = stage.shares()["e2", *DC]
    back = [CellUnits(node_id="dc", sku=SKU, quantity=1)]
    two.say(accepted("o", in_slot(1)), "o")
    two.say(RoutePlanned(order_id="o", plan=in_slot(1), released=back), "o")
    two.say(OrderCancelled(order_id="o", released=back, nothing_left=True), "o")
    stage.tell(two.batch())
    assert stage.shares()["e2", *DC] == held
    assert stage.stock()[DC][1] == 0


def test_a_capacity_below_what_is_promised_is_recalled_from_shares_and_noted(stage, edges):
    one, two, _ = edges
    one.say(received("dc", A=30))
    announce(stage, one, 10)
    held = stage.shares()["e2", *DC]
    two.say(accepted("o", in_slot(held), quantity=held), "o")
    stage.tell(two.batch())
    out = announce(stage, one, held)  # all that there is has been promised
    assert stage.codes() == ["stock_debt"]
    asked = {edge.edge_id: recalled(edge.edge_id, out).get(DC, 0) for edge in edges}
    assert sum(asked.values()) == -stage.stock()[DC][0]
    for edge in edges:
        if asked[edge.edge_id]:
            number = next(n for n, kind, _ in feed_of(edge.edge_id, out) if kind == "recall")
            edge.say(returned("dc", SKU, asked[edge.edge_id], number))
            stage.tell(edge.batch())
    assert stage.rows(recalls) == []
    assert stage.stock()[DC][:2] == (0, held)
    assert not any(units for key, units in stage.shares().items() if key[1:] == DC)


def test_a_slot_without_room_that_was_overfilled_owes_until_room_is_announced(stage, edges):
    one, two, _ = edges
    announce(stage, one, 10)
    held = stage.shares()["e2", *DC]
    two.say(accepted("o", in_slot(held), quantity=held), "o")
    stage.tell(two.batch())
    announce(stage, one, 0)
    assert stage.stock()[DC][0] < 0
    announce(stage, one, 100)
    assert stage.stock()[DC][0] >= 0
    assert stage.stock()[DC][1] == held


def test_a_line_that_waits_for_a_slot_asks_for_no_stock(stage, edges):
    one, two, _ = edges
    one.say(received("dc", A=3))
    two.say(accepted("o", None), "o")
    two.say(RoutePlanned(order_id="o", parked=shortage("A", 1, reason="capacity")), "o")
    out = stage.tell(one.batch(), two.batch())
    assert stage.rows(waiting)[0]["group"] == -1
    assert all(recalled(edge_id, out) == {} for edge_id in EDGES)
