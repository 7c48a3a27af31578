"""Two real edges and the real central, without a wire: whatever happens, the books agree.

Hypothesis draws what tills and warehouses do and what the network loses, doubles and delays.
When everything has been said again, P1, P2 and P3 must hold and nothing may be amiss.
"""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from central.core import ADMIN, Central, Message
from central.database import close_database, open_database
from central.escrow import EvenPolicy
from central.tables import accounts, exceptions, ledger, orders, poison, shares
from edge.commands import FromFeed, FromPeer
from edge.store import Store
from edge.uplink import read_item
from shared import topics
from shared.envelope import decode_data, encode_batch, encode_event
from shared.errors import GapError, InvalidDataError, WrongStateError
from shared.events import (
    OrderCancelled,
    PackageDelivered,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickShort,
    StockMoved,
    StockReceived,
)
from shared.frames import (
    Ack,
    Hello,
    decode_frame,
    encode_frame,
    parse_feed_kind,
)
from shared.parts import Customer, Fulfilment, PlannedLine, StockLine
from tests.shop import NOON_MS, NORTH, SOUTH, Shop, lines, network, payment

EDGES = ("edge-1", "edge-2")
SKUS = ("sku-1", "sku-2", "sku-3")


class Company:
    """Edges, central, and the line between them."""

    def __init__(self, folder: Path) -> None:
        self.connection = open_database(folder / "central")
        self.central = Central(self.connection, EvenPolicy(0.2))
        self.shops = {name: Shop(folder / f"{name}.db", name) for name in EDGES}
        self.acked = dict.fromkeys(EDGES, 0)
        self.elapsed_ms = 0
        self.ordered: dict[str, dict[int, int]] = {}
        self.cancelled: dict[str, int] = {}
        document = msgspec.json.encode(network())
        self.receive(Message(topics.up(ADMIN, "network"), document))

    def close(self) -> None:
        for shop in self.shops.values():
            shop.store.close()
        close_database(self.connection)

    def receive(self, *messages: Message) -> list[Message]:
        self.elapsed_ms += 5_000
        return self.central.receive(messages, now_ms=NOON_MS, elapsed_ms=self.elapsed_ms)

    def sync(self, name: str, *, twice: bool = False, deaf: bool = False) -> bool:
        """One edge says hello and sends its log from the last ack on. True: something moved."""
        shop = self.shops[name]
        newest = shop.store.last_sequence()
        hello = Hello(epoch=1, sequence=newest, feed=shop.engine.state.feed)
        said = [Message(topics.up(name, topics.HELLO), encode_frame(hello))]
        events = [event for _, event in shop.store.log_after(self.acked[name], 200)]
        if events:
            said.append(Message(topics.up(name, topics.LOG), encode_batch(events)))
        answers = self.receive(*said, *(said if twice else ()))
        if deaf:
            return True
        moved = bool(events)
        for answer in answers:
            device, kind = topics.parse_down(answer.topic)
            if kind == topics.ACK:
                self.acked[device] = decode_frame(answer.payload, Ack).sequence
            else:
                moved |= self.feed(self.shops[device], kind, answer.payload)
        return moved

    def feed(self, shop: Shop, kind: str, payload: bytes) -> bool:
        number, name = parse_feed_kind(kind)
        item = read_item(name, payload)
        before = shop.engine.state.feed
        try:
            decision = shop.do(FromFeed(number, item))
        except GapError:
            return False
        assert decision.fault is None, decision.fault
        return shop.engine.state.feed > before

    def settle(self) -> None:
        """Say everything again until nothing moves."""
        for _ in range(60):
            moved = [self.sync(name) for name in EDGES]
            tried = [bool(shop.retry()) for shop in self.shops.values()]
            if not any(moved) and not any(tried):
                return
        raise AssertionError("it never comes to rest")

    def pay(self, name: str, number: int, **changes: Any) -> None:
        paid = payment("sku-1", **changes)
        shop = self.shops[name]
        shop.tell("till-1" if name == "edge-1" else "till-2", paid, f"p{number}")
        order_id = shop.last("order.accepted").order_id
        self.ordered[order_id] = {i: line.quantity for i, line in enumerate(paid.lines)}

    def tasks(self, name: str) -> list[tuple[str, str, list[PlannedLine]]]:
        """Tasks of an edge's nodes that are not settled: id, state, lines."""
        store = self.shops[name].store
        rows = store._rows(
            "select task_id from tasks where state not in ('delivered', 'rejected', 'withdrawn')"
        )
        found = [store.task(row[0]) for row in rows]
        return [(task.task_id, task.state, task.lines) for task in found if task is not None]

    def check(self) -> None:
        """The books, at rest."""
        read = self.connection.execute
        assert read(select(poison)).all() == []
        assert read(select(exceptions)).all() == []
        held: dict[tuple[str, str], int] = {}
        for row in read(select(shares)).mappings():
            cell = row["node_id"], row["sku"]
            held[cell] = held.get(cell, 0) + row["units"]
            assert row["units"] == self.shops[row["edge_id"]].share(*cell), dict(row)
        for row in read(select(accounts)).mappings():
            cell = row["node_id"], row["sku"]
            assert row["pool"] >= 0, dict(row)
            assert row["committed"] >= 0, dict(row)
            total = row["pool"] + held.get(cell, 0) + row["committed"] + row["shipped"]
            assert total == row["received"] - row["adjusted"], dict(row)
        for name, shop in self.shops.items():
            sent = read(select(ledger.c.raw).where(ledger.c.edge_id == name)).scalars().all()
            assert list(sent) == [event for _, event in shop.store.log_after(0, 10_000)]
        states = {x["order_id"]: x["state"] for x in read(select(orders)).mappings()}
        for order_id, asked in self.ordered.items():
            kept = self._kept(order_id)
            assert sum(asked.values()) == kept + self.cancelled.get(order_id, 0), order_id
            assert (states[order_id] == "cancelled") == (kept == 0), order_id

    def _kept(self, order_id: str) -> int:
        for shop in self.shops.values():
            order = shop.store.order(order_id)
            if order is not None:
                packed = sum(line.quantity for p in order.packages for line in p.lines)
                for package in order.packages:
                    numbers = [line.line for line in package.lines]
                    assert len(numbers) == len(set(numbers)), order
                return packed + sum(shortage.quantity for shortage in order.parked)
        raise AssertionError(f"nobody keeps {order_id}")


def draw_line(data: st.DataObject, found: list[PlannedLine]) -> PlannedLine:
    line = data.draw(st.sampled_from(found))
    units = data.draw(st.integers(1, line.quantity))
    return PlannedLine(line=line.line, sku=line.sku, quantity=units)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # Shrinking would take minutes.
)
@given(data=st.data())
def test_whatever_tills_warehouses_and_the_line_do_the_books_agree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    company = Company(tmp_path_factory.mktemp("company"))
    try:
        for name in EDGES:
            company.sync(name)
        for step in range(data.draw(st.integers(5, 30))):
            act(company, data, step)
        company.settle()
        company.check()
    finally:
        company.close()


def act(company: Company, data: st.DataObject, step: int) -> None:
    """One thing happens somewhere."""
    name = data.draw(st.sampled_from(EDGES))
    shop = company.shops[name]
    what = data.draw(
        st.sampled_from(
            ["stock", "pay", "pay", "report", "report", "cancel", "sync", "crash", "peer"]
        )
    )
    if what == "sync":
        company.sync(name, twice=data.draw(st.booleans()), deaf=data.draw(st.booleans()))
    elif what == "crash":
        shop.restart()
    elif what == "stock" and shop.engine.state.feed > 0:
        nodes = {"edge-1": ["dc-south", "store-1"], "edge-2": ["dc-north"]}[name]
        node = data.draw(st.sampled_from(nodes))
        sku, units = data.draw(st.sampled_from(SKUS)), data.draw(st.integers(1, 12))
        moved = [StockLine(sku=sku, quantity=units)]
        if data.draw(st.integers(0, 4)):
            shop.tell(node, StockReceived(node_id=node, lines=moved))
        elif (held := shop.share(node, sku)) > 0:
            # No more than the edge may still promise: central can't call shares back yet.
            moved = [StockLine(sku=sku, quantity=min(held, units))]
            shop.tell(node, StockMoved(node_id=node, to_node_id="dc-south", lines=moved))
    elif what == "pay" and shop.engine.state.feed > 0:
        chosen = data.draw(st.lists(st.sampled_from(SKUS), min_size=1, max_size=3))
        kind = data.draw(st.sampled_from(["delivery", "delivery", "carry_out", "pick_up"]))
        wanted = Fulfilment(kind=kind, node_id="store-1" if kind == "pick_up" else None)
        company.pay(
            name, step, fulfilment=wanted, destination=data.draw(st.sampled_from([NORTH, SOUTH])),
            lines=lines(*chosen, quantity=data.draw(st.integers(1, 4))),
            customer=Customer(
                split_allowed=data.draw(st.booleans()),
                packages_max=data.draw(st.sampled_from([None, 1, 2])),
            ),
        )  # fmt: skip
    elif what == "report" and (tasks := company.tasks(name)):
        task_id, _, found = data.draw(st.sampled_from(tasks))
        kind = data.draw(
            st.sampled_from(
                [PickAccepted, PickShort, PickShort, PickRejected, PickCompleted, PackageShipped,
                 PackageDelivered]
            )
        )  # fmt: skip
        values = {"missing": [draw_line(data, found)]} if kind is PickShort else {}
        with contextlib.suppress(WrongStateError):
            shop.report(kind, task_id, **values)
    elif what == "cancel" and company.ordered:
        cancel(company, shop, data)
    elif what == "peer" and shop.peers:
        edge_id, event = data.draw(st.sampled_from(shop.peers))
        company.shops[edge_id].do(FromPeer(event, decode_data(event)))


def cancel(company: Company, shop: Shop, data: st.DataObject) -> None:
    """A till cancels an order of its edge, whole or some units of it."""
    order = shop.store.order(data.draw(st.sampled_from(sorted(company.ordered))))
    if order is None:
        return
    named = []
    if data.draw(st.booleans()):
        line = data.draw(st.integers(0, len(order.payment.lines) - 1))
        asked = order.payment.lines[line]
        units = data.draw(st.integers(1, asked.quantity))
        named = [PlannedLine(line=line, sku=asked.sku, quantity=units)]
    before = company._kept(order.order_id)
    try:
        shop.tell("till-1", OrderCancelled(order_id=order.order_id, lines=named))
    except InvalidDataError:
        return  # More than the order still holds.
    outcome = shop.last("order.cancelled")
    gone = sum(x.quantity for x in (*outcome.released, *outcome.unparked))
    assert company._kept(order.order_id) == before - gone
    late = sum(x.quantity for x in outcome.too_late)
    assert gone + late == (sum(x.quantity for x in named) if named else before)
    company.cancelled[order.order_id] = company.cancelled.get(order.order_id, 0) + gone


def test_an_edges_log_reaches_the_ledger_byte_for_byte(tmp_path: Path) -> None:
    company = Company(tmp_path)
    try:
        company.settle()
        shop = company.shops["edge-1"]
        received = StockReceived(
            node_id="dc-south", lines=[StockLine(sku="sku-1", quantity=10)], reason="opening"
        )
        shop.tell("dc-south", received)
        company.settle()
        company.pay("edge-1", 1)
        company.settle()
        company.check()
        raw = company.connection.execute(select(ledger.c.raw)).scalars().all()
        assert list(raw) == [encode_event(event) for event in shop.log()]
        assert isinstance(shop.store, Store)
        assert shop.share("dc-south", "sku-1") == 3  # Half of eight, less the one sold.
    finally:
        company.close()
