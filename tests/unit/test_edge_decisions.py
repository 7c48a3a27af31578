"""Decisions can be made again: from what was kept of them, the same plan bit for bit."""

import os
import subprocess
import sys
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.archive import read_decisions
from edge.commands import FromDevice
from edge.decisions import Basis, Inputs, decode_inputs, digests_of, encode_inputs, replay
from edge.network import Snapshot
from edge.routing.known import Known
from edge.routing.question import Question, Want
from edge.routing.router import route
from edge.stock import Stock
from edge.store import FILE_NAME
from shared.clock import to_datetime
from shared.envelope import decode_data
from shared.errors import PointsmanError, StorageError, UnknownOrderError
from shared.events import (
    CapacityAnnounced,
    OrderAccepted,
    OrderCancelled,
    PickRejected,
    PickShort,
    RoutePlanned,
    StockExpected,
)
from shared.frames import encode_bulk
from shared.parts import (
    CellUnits,
    Customer,
    Fulfilment,
    Line,
    PlannedLine,
    Slot,
    StockLine,
    slot_sku,
)
from shared.prices import Backlog, Bid, Prices, Saturation
from shared.sourcing import Conditions, Rule, Sourcing
from tests.decision_scene import (
    HOUR_MS,
    NODES,
    PROFILES,
    SKUS,
    networks,
    nodes,
    questions,
    scenes,
    skus,
)
from tests.shop import (
    NOON_MS,
    SOUTH,
    Shop,
    accepted,
    device_event,
    network,
    open_shop,
    payment,
    task_of,
)


@given(scenes(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_decision_is_made_again_from_its_inputs_whatever_was_known(
    scene: tuple[Known, Basis, Question], offer: bool
) -> None:
    known, basis, question = scene
    inputs = Inputs.taken(known, question, NOON_MS, offer=offer)
    payload = encode_inputs(inputs)
    assert decode_inputs(payload) == inputs
    assert encode_inputs(decode_inputs(payload)) == payload
    assert replay(decode_inputs(payload), basis) == route(known, question, NOON_MS, offer=offer)


def test_inputs_of_another_network_are_refused() -> None:
    snapshot = Snapshot(network())
    question = Question(
        [Want(0, "sku-1", 1)], Fulfilment(kind="delivery"), "store-1", Customer(), SOUTH
    )
    inputs = Inputs.taken(Known(snapshot, Stock(snapshot, ())), question, NOON_MS)
    with pytest.raises(AssertionError, match="other documents"):
        replay(inputs, Basis((encode_bulk(network(2)), b"", b"")))


def test_a_document_that_an_earlier_version_wrote_otherwise_gives_the_plan_it_gave() -> None:
    shorter = msgpack.unpackb(encode_bulk(network()))
    assert shorter.pop("made_at", None) is None
    documents = (msgpack.packb(shorter), b"", b"")
    assert documents[0] != encode_bulk(network())
    basis = Basis(documents)
    question = Question(
        [Want(0, "sku-1", 1)], Fulfilment(kind="delivery"), "store-1", Customer(), SOUTH
    )
    known = Known(basis.snapshot, Stock(basis.snapshot, [("dc-south", "sku-1", 1)]))
    inputs = Inputs.taken(known, question, NOON_MS)
    assert inputs.documents == digests_of(documents)
    assert replay(inputs, Basis(documents)) == route(known, question, NOON_MS)


# What an edge keeps.


def verified(shop: Shop, since: int = 1) -> int:
    """Decide all that the edge keeps again; how many decisions that was."""
    found = 0
    for order_id in {event.correlationid for event in shop.log()}:
        try:
            kept = read_decisions(shop.path, order_id or "")
        except UnknownOrderError:
            continue
        planned = {
            position
            for position, event in kept.entries
            if position >= since
            if isinstance(data := decode_data(event), OrderAccepted)
            or (isinstance(data, RoutePlanned) and data.plan is not None)
        }
        assert planned <= set(kept.inputs), "a plan without what it was made by"
        for position, event in kept.entries:
            if position not in kept.inputs:
                continue
            inputs = kept.inputs[position]
            data: Any = decode_data(event)
            routed = replay(inputs, Basis(kept.documents[inputs.documents]))
            plan = getattr(data, "plan", None)
            assert msgspec.json.encode(routed.plan) == msgspec.json.encode(plan)
            if isinstance(data, OrderAccepted):
                told = [(x.line, x.quantity, x.reason, x.nodes, x.group) for x in data.parked]
                again = [(x.line, x.quantity, x.reason, x.nodes, x.group) for x in routed.shortages]
                assert again == told
            found += 1
    return found


def pay(shop: Shop, data: st.DataObject) -> None:
    asked = data.draw(questions())
    lines = [Line(sku=x.sku, quantity=x.quantity, group=x.group) for x in asked.wants]
    shop.tell(
        "till-1",
        payment(
            lines=lines, fulfilment=asked.fulfilment, customer=asked.customer,
            destination=asked.destination,
        ),
    )  # fmt: skip


def fail_a_pick(shop: Shop, data: st.DataObject) -> None:
    tasks = [task for task in shop.store.issued_tasks(50) if task.state == "issued"]
    if tasks:
        task = data.draw(st.sampled_from(tasks))
        if data.draw(st.booleans()):
            shop.report(PickRejected, task.task_id, reason="damaged")
        else:
            line = task.lines[0]
            missing = PlannedLine(line=line.line, sku=line.sku, quantity=1)
            shop.report(PickShort, task.task_id, missing=[missing])


def grant(shop: Shop, data: st.DataObject) -> None:
    cells = data.draw(st.sets(st.tuples(nodes, skus), min_size=1, max_size=4))
    shop.do_grant(
        *(CellUnits(node_id=node, sku=sku, quantity=data.draw(st.integers(1, 6)))
          for node, sku in sorted(cells))
    )  # fmt: skip
    shop.retry()


def announce(shop: Shop, data: st.DataObject) -> None:
    starts = to_datetime(shop.now_ms + data.draw(st.integers(0, 5)) * HOUR_MS)
    slot = Slot(starts_at=starts, ends_at=starts + timedelta(hours=1), packages=9)
    shop.tell("dc-south", CapacityAnnounced(node_id="dc-south", slots=[slot]))
    shop.do_grant(CellUnits(node_id="dc-south", sku=slot_sku(starts), quantity=2))
    shop.retry()


def renew(shop: Shop, data: st.DataObject) -> None:
    version = shop.engine.state.snapshot.network.version + 1
    shop.feed(data.draw(st.composite(lambda draw: networks(draw, version))()))
    shop.retry()


def cancel(shop: Shop, data: st.DataObject) -> None:
    orders = sorted({e.correlationid or "" for e in shop.log() if "order.accepted" in e.type})
    if orders:
        shop.tell("till-1", OrderCancelled(order_id=data.draw(st.sampled_from(orders))))


def wait(shop: Shop, data: st.DataObject) -> None:
    shop.now_ms += data.draw(st.integers(0, 40)) * HOUR_MS


def choose_profiles(shop: Shop, data: st.DataObject) -> None:
    rule = Rule(profile="plain", when=Conditions(tiers=["vip"]))
    version = f"s{data.draw(st.integers(0, 9))}"
    shop.feed(Sourcing(version=version, profiles=PROFILES, otherwise="rich", rules=[rule]))
    shop.retry()


def price(shop: Shop, data: st.DataObject) -> None:
    made_at = to_datetime(shop.now_ms - data.draw(st.integers(0, 30)) * HOUR_MS)
    shop.feed(
        Prices(
            version=data.draw(st.integers(1, 99)),
            made_at=made_at,
            bids=[Bid(node_id="dc-south", sku="sku-1", price_minor=300)],
            backlogs=[Backlog(node_id="store-1", delay_min=90, price_minor=70)],
            saturations=[Saturation(service_id="standard", region="CN-GD", delay_min=600)],
        )
    )
    shop.retry()


def expect(shop: Shop, data: st.DataObject) -> None:
    lines = [StockLine(sku=data.draw(skus), quantity=data.draw(st.integers(1, 9)))]
    shop.tell(
        "dc-south",
        StockExpected(
            node_id="dc-south",
            lot_id=f"lot-{data.draw(st.integers(0, 3))}",
            lines=lines,
            expected_at=to_datetime(shop.now_ms + data.draw(st.integers(1, 30)) * HOUR_MS),
            release_per_mille=data.draw(st.integers(0, 1_000)),
        ),
    )


def restart(shop: Shop, _: st.DataObject) -> None:
    shop.restart()


STEPS = (
    pay,
    pay,
    pay,
    grant,
    grant,
    fail_a_pick,
    fail_a_pick,
    announce,
    renew,
    cancel,
    wait,
    restart,
    choose_profiles,
    price,
    expect,
    expect,
)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_every_plan_in_the_log_is_made_again_bit_for_bit(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder) / FILE_NAME)
        everything = product(NODES, SKUS)
        shop.do_grant(*(CellUnits(node_id=node, sku=sku, quantity=4) for node, sku in everything))
        for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=10, max_size=30)):
            try:
                step(shop, data)
            except PointsmanError:
                shop.store.rollback()  # Refused, as it would be over the wire.
        payments = sum("order.accepted" in event.type for event in shop.log())
        assert verified(shop) >= payments
        shop.store.close()


def test_other_processes_beside_the_edge_with_other_hash_seeds_make_the_same_bytes(
    tmp_path: Path,
) -> None:
    shop = open_shop(tmp_path / FILE_NAME)
    shop.grant("dc-south", sku_1=3, sku_2=3)
    shop.grant("store-1", sku_1=3)
    shop.tell("till-1", payment("sku-1", "sku-2", "sku-3"))
    order_id = accepted(shop).order_id
    shop.report(PickRejected, task_of(shop).task_id, reason="damaged")
    shop.store.set_meta("written", "not yet durable")
    told = set()
    for seed in ("1", "2", "77"):
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", "explain", order_id, "--data-dir", str(tmp_path),
             "--json"],
            env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        told.add(done.stdout)
    (output,) = told
    story = msgspec.json.decode(output)
    assert [decision["same"] for decision in story["decisions"]] == [True, True]
    shop.store.commit()


def rows(shop: Shop, table: str) -> int:
    shop.store.commit()
    (count,) = shop.store._connection.execute(f"select count(*) from {table}").fetchone()
    return int(count)


def test_a_retry_that_changes_nothing_is_not_kept(shop: Shop) -> None:
    shop.tell("till-1", payment("sku-1"))
    assert rows(shop, "decisions") == 1
    shop.engine.state.due[accepted(shop).order_id] = None
    shop.retry()
    assert rows(shop, "decisions") == 1


def test_a_network_is_kept_as_long_as_a_kept_decision_was_made_by_it(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=9)
    for version in (2, 3, 4):
        shop.tell("till-1", payment("sku-1"))
        if version < 4:
            shop.feed(network(version))
    assert rows(shop, "networks") == 1
    assert rows(shop, "decision_documents") == 3
    log = len(shop.log())
    assert shop.store.prune_decisions(2, 1_000) == log - 2
    assert (rows(shop, "decisions"), rows(shop, "decision_documents")) == (1, 1)
    assert verified(shop, since=log - 1) == 1
    shop.tell("till-1", payment("sku-1"))
    assert rows(shop, "decision_documents") == 1


def test_decisions_go_with_the_log_that_they_explain_few_at_a_time(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=9)
    for _ in range(5):
        shop.tell("till-1", payment("sku-1"))
    position = len(shop.log())
    shop.store.prune_log(position, shop.now_ms + 1, 1_000)
    shop.store.prune_decisions(1_000, 3)
    assert rows(shop, "decisions") in (3, 4)
    for _ in range(5):
        shop.store.prune_decisions(1_000, 3)
    assert rows(shop, "decisions") == 0
    assert rows(shop, "decision_documents") == rows(shop, "decision_bases") == 0


def test_after_a_failed_commit_the_documents_are_written_again(shop: Shop) -> None:
    shop.grant("dc-south", sku_1=9)
    paid = payment("sku-1")
    lost = shop.engine.handle(
        FromDevice("till-1", device_event("till-1", "p1", paid), paid), shop.now_ms
    )
    shop.store.write(lost)
    shop.store.rollback()
    shop.engine.reload(shop.now_ms)
    shop.tell("till-1", payment("sku-1"), "p2")
    assert verified(shop) == 1


def test_a_file_that_is_missing_or_older_is_told(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(StorageError, match="data_dir of an edge"):
        read_decisions(tmp_path / "nowhere" / FILE_NAME, "x")
    shop.store._connection.execute("drop table decisions")
    with pytest.raises(StorageError, match="this version's daemon"):
        read_decisions(shop.path, "x")


def test_reading_beside_an_open_transaction_sees_what_is_durable_and_writes_nothing(
    shop: Shop,
) -> None:
    shop.grant("dc-south", sku_1=9)
    shop.tell("till-1", payment("sku-1"))
    order_id = accepted(shop).order_id
    shop.store.begin()
    shop.store.set_meta("x", "1")
    before = shop.path.stat().st_mtime_ns, shop.path.stat().st_size
    assert len(read_decisions(shop.path, order_id).inputs) == 1
    assert (shop.path.stat().st_mtime_ns, shop.path.stat().st_size) == before
    shop.store.commit()
    assert shop.store.meta("x") == "1"
