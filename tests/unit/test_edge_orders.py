"""Orders at the edge: accepted, parked, tried again, replanned, cancelled."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.commands import FromDevice
from shared.clock import to_datetime
from shared.envelope import decode_data
from shared.errors import (
    IdReusedError,
    NoNetworkError,
    PointsmanError,
    TopicMismatchError,
    UnknownNodeError,
    UnknownSkuError,
)
from shared.events import (
    OrderCancelled,
    PickRejected,
    PickShort,
    StockCounted,
    StockMoved,
    StockReceived,
)
from shared.ids import order_id
from shared.parts import Contact, CountLine, Fulfilment, PlannedLine, StockLine
from tests.shop import (
    NOON_MS,
    NORTH,
    Shop,
    accepted,
    device_event,
    kinds,
    lines,
    network,
    open_shop,
    payment,
    task_of,
)


def test_a_payment_takes_its_units_and_asks_the_warehouse(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=5)
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=2)), "p1")
    assert shop.share("dc-south", "sku-1") == 3
    assert accepted(shop).order_id == order_id("/devices/till-1", "p1", NOON_MS)
    task = task_of(shop)
    assert (task.node_id, task.lines[0].quantity) == ("dc-south", 2)
    assert kinds(shop) == ["order.accepted", "pick.requested"]
    event = shop.log()[1]
    assert event.causationid == shop.log()[0].id
    assert event.correlationid == accepted(shop).order_id


def test_log_positions_have_no_gaps_and_clocks_only_go_forward(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=5)
    for number in range(4):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
        shop.now_ms -= 3_600_000  # A clock that is set back.
    log = shop.log()
    assert [event.number() for event in log] == list(range(1, len(log) + 1))
    readings = [event.hlc or "" for event in log]
    assert readings == sorted(set(readings))


def test_the_same_payment_gets_the_same_bytes_and_changes_nothing(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=5)
    shop.tell("till-1", payment("sku-1"), "p1")
    shop.restart()
    shop.tell("till-1", payment("sku-1"), "p1")
    (_, _, first), (_, _, again) = [x for x in shop.said if x[1] == "order.accepted"]
    assert first == again
    assert shop.share("dc-south", "sku-1") == 4
    assert kinds(shop) == ["order.accepted", "pick.requested"]


def test_the_same_id_with_other_content_is_refused(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=5)
    shop.tell("till-1", payment("sku-1"), "p1")
    with pytest.raises(IdReusedError):
        shop.tell("till-1", payment("sku-2"), "p1")
    assert kinds(shop) == ["order.accepted", "pick.requested"]


def test_a_payment_is_never_refused_for_want_of_stock(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=1)
    shop.tell("till-1", payment("sku-1", "sku-2"))
    assert [shortage.sku for shortage in accepted(shop).parked] == ["sku-2"]
    assert kinds(shop) == ["order.accepted", "order.parked", "pick.requested"]


def test_parked_lines_are_planned_when_stock_arrives_oldest_order_first(shop: Shop) -> None:
    for number in range(2):
        shop.tell("till-1", payment("sku-1"), f"p{number}")
        shop.now_ms += 1_000
    first = shop.log()[0].correlationid
    shop.grant("dc-south", sku_1=1)
    shop.retry()
    planned = shop.last("route.planned")
    assert planned.order_id == first
    assert task_of(shop).order_id == first
    assert shop.share("dc-south", "sku-1") == 0
    shop.grant("dc-south", sku_1=1)
    shop.retry()
    assert shop.last("route.planned").order_id != first


def test_parked_lines_are_remembered_over_a_restart(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    shop.restart()
    shop.retry()
    shop.grant("dc-south", sku_1=1)
    assert [decision.log != [] for decision in shop.retry()] == [True]


def test_a_retry_that_changes_nothing_says_nothing(shop: Shop) -> None:
    shop.tell("till-1", payment(lines=lines("sku-1", quantity=5)))
    shop.grant("dc-south", sku_1=1)
    before = len(shop.log())
    shop.retry()
    assert len(shop.log()) == before


def test_a_node_that_may_not_help_any_more_is_told_though_the_reason_stays(shop: Shop) -> None:
    """Central keeps units at the named nodes for the order."""
    shop.tell("till-1", payment("sku-1"))
    assert set(accepted(shop).parked[0].nodes) == {"dc-south", "store-1", "dc-north"}
    nodes = [
        msgspec.structs.replace(node, status="closed") if node.node_id == "store-1" else node
        for node in network().nodes
    ]
    shop.feed(network(version=2, nodes=nodes))
    shop.retry()
    parked = shop.last("order.parked").parked[0]
    assert (parked.reason, set(parked.nodes)) == ("share", {"dc-south", "dc-north"})


def test_what_a_store_keeps_for_who_walks_in_may_come_from_elsewhere(shop: Shop) -> None:
    """Central looks for units at the named nodes, and the store has enough of its own."""
    nodes = [
        msgspec.structs.replace(node, walk_in_units=1) if node.node_id == "store-1" else node
        for node in network().nodes
    ]
    shop.feed(network(version=2, nodes=nodes))
    shop.grant("store-1", sku_1=1)
    shop.tell("till-1", payment("sku-1"))
    parked = accepted(shop).parked[0]
    assert (parked.reason, parked.group) == ("fenced", 0)
    assert set(parked.nodes) == {"dc-south", "dc-north"}


def test_a_shortage_says_when_more_is_expected(shop: Shop) -> None:
    soon = to_datetime(NOON_MS + 7_200_000)
    moved = StockMoved(
        node_id="dc-south", to_node_id="store-1", lines=[StockLine(sku="sku-1", quantity=3)],
        expected_at=soon,
    )  # fmt: skip
    shop.tell("dc-south", moved)
    shop.tell("till-1", payment("sku-1"))
    assert accepted(shop).parked[0].expected_at == soon
    shop.restart()
    shop.tell("till-1", payment("sku-1"), "p2")
    assert accepted(shop).parked[0].expected_at == soon
    shop.now_ms += 10_800_000
    shop.tell("till-1", payment("sku-1"), "p3")
    assert accepted(shop).parked[0].expected_at is None


def test_contact_details_never_enter_the_log(shop: Shop) -> None:
    contact = Contact(name="Customer 1", phone="000-1234567")
    decision = shop.tell("till-1", payment("sku-1", contact=contact))
    assert decision.contact == (accepted(shop).order_id, contact)
    assert all(b"1234567" not in entry.event for entry in decision.log)
    assert [row.contact for row in shop.store.contacts(10)] == [contact]
    stored = shop.store.order(accepted(shop).order_id)
    assert stored is not None
    assert stored.payment.contact is None


def test_carried_out_goods_leave_the_store_at_once(shop: Shop) -> None:
    shop.grant("store-1", sku_1=2)
    shop.tell("till-1", payment("sku-1", fulfilment=Fulfilment(kind="carry_out")))
    assert kinds(shop) == ["order.accepted", "package.shipped"]
    package = accepted(shop).plan
    assert package is not None
    assert package.packages[0].service_id == "counter"
    assert package.cost.minor == 200  # Handling, no carrier.
    assert shop.share("store-1", "sku-1") == 1


def test_a_pick_up_is_picked_at_the_chosen_store_only(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=2)
    wanted = Fulfilment(kind="pick_up", node_id="store-1")
    shop.tell("till-1", payment("sku-1", fulfilment=wanted))
    assert accepted(shop).plan is None
    shop.grant("store-1", sku_1=1)
    shop.retry()
    assert task_of(shop).node_id == "store-1"


def test_a_task_at_another_edges_node_goes_to_that_edge(shop: Shop) -> None:
    shop.grant("dc-north", sku_1=1)
    shop.tell("till-1", payment("sku-1", destination=NORTH))
    ((edge_id, event),) = shop.peers
    assert (edge_id, event.type) == ("edge-2", "pointsman.pick.requested.v1")
    assert "pick.requested" not in [kind for _, kind, _ in shop.said]


@pytest.mark.parametrize(
    "changes, error, place",
    [
        ({"lines": lines("sku-1", "nope")}, UnknownSkuError, "$.data.lines[1].sku"),
        ({"store_id": "nowhere"}, UnknownNodeError, "$.data.store_id"),
        (
            {"fulfilment": Fulfilment(kind="pick_up", node_id="nowhere")},
            UnknownNodeError,
            "$.data.fulfilment.node_id",
        ),
    ],
)
def test_unknown_names_are_refused_with_their_place(
    shop: Shop, changes: dict[str, object], error: type[PointsmanError], place: str
) -> None:
    with pytest.raises(error) as caught:
        shop.tell("till-1", payment("sku-1", **changes))
    assert caught.value.place == place
    assert shop.log() == []


def test_without_a_network_nothing_is_decided(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "edge.db")
    with pytest.raises(NoNetworkError):
        shop.tell("till-1", payment("sku-1"))


def test_grants_before_the_first_network_are_kept(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "edge.db")
    shop.grant("dc-south", sku_1=3)
    shop.feed(network())
    assert shop.share("dc-south", "sku-1") == 3


# Stock.


def test_stock_is_reported_for_own_nodes_and_known_goods_only(shop: Shop) -> None:
    good = StockReceived(node_id="dc-south", lines=[StockLine(sku="sku-1", quantity=4)])
    shop.tell("dc-south", good, "s1")
    shop.tell("dc-south", good, "s1")
    assert kinds(shop) == ["stock.received"]
    assert shop.share("dc-south", "sku-1") == 0  # Central hands it out.
    with pytest.raises(UnknownNodeError):
        shop.tell("dc-north", StockReceived(node_id="dc-north", lines=good.lines))
    with pytest.raises(UnknownSkuError):
        shop.tell(
            "dc-south", StockCounted(node_id="dc-south", lines=[CountLine(sku="x", quantity=1)])
        )


def test_goods_that_left_can_no_longer_be_promised(shop: Shop) -> None:
    shop.grant("store-1", sku_1=5)
    moved = StockMoved(
        node_id="store-1", to_node_id="dc-south", lines=[StockLine(sku="sku-1", quantity=7)]
    )
    shop.tell("store-1", moved)
    assert shop.share("store-1", "sku-1") == 0
    told = decode_data(shop.log()[-1])
    assert isinstance(told, StockMoved)
    assert [cell.quantity for cell in told.from_share] == [5]
    shop.tell("till-1", payment("sku-1", fulfilment=Fulfilment(kind="carry_out")))
    assert accepted(shop).plan is None


def test_a_moment_at_the_end_of_time_does_no_harm(shop: Shop) -> None:
    last = msgspec.json.decode(b'"9999-12-31T23:59:59-12:00"', type=type(to_datetime(0)))
    moved = StockMoved(
        node_id="dc-south", to_node_id="store-1", lines=[StockLine(sku="sku-1", quantity=1)],
        expected_at=last,
    )  # fmt: skip
    shop.tell("dc-south", moved)
    shop.tell("till-1", payment("sku-1"))
    shop.restart()
    shop.retry()
    assert accepted(shop).parked[0].expected_at is not None


def test_only_a_node_itself_tells_its_stock(shop: Shop) -> None:
    received = StockReceived(node_id="dc-south", lines=[StockLine(sku="sku-1", quantity=1)])
    with pytest.raises(TopicMismatchError):
        shop.tell("till-1", received)


# Invariants.


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_sequence_of_inputs_ever_oversells_or_loses_a_unit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """P1 and P2 at one edge: granted == share + committed + short, cell by cell, at every step."""
    shop = open_shop(tmp_path_factory.mktemp("edge") / "edge.db")
    granted: dict[tuple[str, str], int] = {}
    lost: dict[tuple[str, str], int] = {}
    skus, nodes = ["sku-1", "sku-2", "sku-3"], ["dc-south", "dc-north", "store-1"]
    for step in range(data.draw(st.integers(1, 14))):
        match data.draw(
            st.sampled_from(["grant", "pay", "pay", "again", "short", "reject", "cancel", "crash"])
        ):
            case "grant":
                node, sku = data.draw(st.sampled_from(nodes)), data.draw(st.sampled_from(skus))
                units = data.draw(st.integers(1, 4))
                shop.grant(node, **{sku.replace("-", "_"): units})
                granted[node, sku] = granted.get((node, sku), 0) + units
                shop.retry()
            case "pay":
                chosen = data.draw(st.lists(st.sampled_from(skus), min_size=1, max_size=3))
                wanted = data.draw(
                    st.sampled_from(
                        [
                            Fulfilment(kind="delivery"),
                            Fulfilment(kind="carry_out"),
                            Fulfilment(kind="pick_up", node_id="store-1"),
                        ]
                    )
                )
                units = data.draw(st.integers(1, 3))
                paid = payment(lines=lines(*chosen, quantity=units), fulfilment=wanted)
                shop.tell("till-1", paid, f"p{step}")
            case "again":
                for event in shop.log():
                    if event.type == "pointsman.order.accepted.v1":
                        before = len(shop.log())
                        told = accepted(shop)
                        again = told.payment
                        try:
                            shop.tell("till-1", again, told.payment_event_id)
                        except IdReusedError:
                            pytest.fail("the same payment must be recognised")
                        assert len(shop.log()) == before
                        break
            case "short" | "reject" as what:
                tasks = shop.store.issued_tasks(10)
                if not tasks:
                    continue
                task = data.draw(st.sampled_from(tasks))
                if what == "reject":
                    shop.report(PickRejected, task.task_id)
                else:
                    line = data.draw(st.sampled_from(task.lines))
                    missing = PlannedLine(line=line.line, sku=line.sku, quantity=1)
                    shop.report(PickShort, task.task_id, missing=[missing])
                    cell = task.request.node_id, line.sku
                    lost[cell] = lost.get(cell, 0) + 1
            case "cancel":
                orders = [e.correlationid for e in shop.log() if "accepted" in e.type]
                if orders:
                    shop.tell(
                        "till-1", OrderCancelled(order_id=str(data.draw(st.sampled_from(orders))))
                    )
            case "crash":
                shop.restart()
        check_conservation(shop, granted, lost)


def check_conservation(
    shop: Shop, granted: dict[tuple[str, str], int], lost: dict[tuple[str, str], int]
) -> None:
    committed: dict[tuple[str, str], int] = {}
    for name in {str(event.correlationid) for event in shop.log()}:
        order = shop.store.order(name)
        for package in () if order is None else order.packages:
            for line in package.lines:
                cell = package.node_id, line.sku
                committed[cell] = committed.get(cell, 0) + line.quantity
    for cell, units in granted.items():
        share = shop.share(*cell)
        assert share >= 0
        assert share + committed.get(cell, 0) + lost.get(cell, 0) == units, cell
    assert all(cell in granted for cell in committed)


def test_the_commands_of_devices_are_the_only_ones_that_carry_their_name(shop: Shop) -> None:
    event = device_event("till-1", "p1", payment("sku-1"))
    decision = shop.do(FromDevice("till-1", event, payment("sku-1")))
    assert [send.device for send in decision.sends] == ["till-1"]
