"""The edge daemon when its disk, its code or its broker fails it."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from edge import daemon, gateway
from edge.commands import FromDevice
from edge.engine import Engine
from edge.quarantine import read_quarantine
from edge.store import FILE_NAME, Store
from shared.errors import ConfigError, StorageError
from shared.events import PickAccepted
from shared.frames import Grant, encode_bulk
from shared.lock import locked
from shared.parts import CellUnits
from tests.brokers import Broker
from tests.shop import device_event, payment, question
from tests.site import central, device, running_edge, site


async def test_a_full_disk_refuses_payments_answers_questions_and_recovers_by_itself(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=5)
        commit = Store.commit
        full = True

        def limited(self: Store) -> None:
            if full and self._open:
                raise StorageError("database or disk is full", place="store", expected="space")
            commit(self)

        monkeypatch.setattr(Store, "commit", limited)
        paid = device_event("till-1", "p1", payment("sku-1"))
        kind, _, told = await till.ask(paid)
        assert (kind, told.code) == ("input.rejected", "storage_failed")
        assert told.retry_after_ms > 0
        kind, _, _ = await till.ask(device_event("till-1", "q1", question("sku-1")))
        assert kind == "route.planned"
        full = False
        kind, _, accepted = await till.ask(paid)
        assert kind == "order.accepted"
        await centre.until(lambda: len(centre.events) == 2)
        assert [e.correlationid for e in centre.events.values()] == [accepted.order_id] * 2


async def test_a_disk_that_is_really_full_loses_and_doubles_nothing(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Store] = []
    start = Store.__init__

    def remember(self: Store, path: Path) -> None:
        start(self, path)
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=500)
        connection = opened[-1]._connection
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")
        orders, refused = [], []
        for number in range(1_000):  # There is still some room in the pages that it has.
            kind, _, told = await till.ask(device_event("till-1", f"p{number}", payment("sku-1")))
            if kind == "input.rejected":
                refused.append(number)
                assert told.code == "storage_failed"
                break
            orders.append(told.order_id)
        assert refused
        kind, _, _ = await till.ask(device_event("till-1", "q1", question("sku-1")))
        assert kind == "route.planned"
        connection.execute("pragma max_page_count = 1000000")
        last = device_event("till-1", f"p{refused[0]}", payment("sku-1"))
        kind, _, told = await till.ask(last)
        assert kind == "order.accepted"
        orders.append(told.order_id)
        await centre.until(lambda: len(centre.events) == 2 * len(orders))
        accepted = [e for e in centre.events.values() if e.type == "pointsman.order.accepted.v1"]
        assert [e.correlationid for e in accepted] == orders


async def test_a_fault_of_ours_at_one_input_is_quarantined_and_the_next_is_served(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=5)
        handle = Engine.handle

        def faulty(self: Any, command: Any, now_ms: int) -> Any:
            if isinstance(command, FromDevice) and command.event.id == "bad":
                raise ZeroDivisionError("planted")
            return handle(self, command, now_ms)

        monkeypatch.setattr(Engine, "handle", faulty)
        kind, _, told = await till.ask(device_event("till-1", "bad", payment("sku-1")))
        assert (kind, told.code) == ("input.rejected", "internal")
        kind, _, _ = await till.ask(device_event("till-1", "good", payment("sku-1")))
        assert kind == "order.accepted"
    rows = read_quarantine(tmp_path / "edge" / FILE_NAME)
    assert [row["code"] for row in rows] == ["internal"]


async def test_questions_are_answered_while_the_disk_syncs_and_a_full_intake_says_so(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "INTAKE_MESSAGES_MAX", 3)
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=50)
        syncing, synced = threading.Event(), threading.Event()
        commit = Store.commit

        def slow(self: Store) -> None:
            syncing.set()
            assert synced.wait(30)
            commit(self)

        monkeypatch.setattr(Store, "commit", slow)
        paid = [device_event("till-1", f"p{n}", payment("sku-1")) for n in range(8)]
        await till.publish(paid[0])
        assert await asyncio.to_thread(syncing.wait, 10)
        for number in range(5):
            question_event = device_event("till-1", f"q{number}", question("sku-1"))
            kind, answered, _ = await till.ask(question_event)
            assert (kind, answered.causationid) == ("route.planned", f"q{number}")
        refused = []
        for event in paid[1:]:
            await till.publish(event)
        for _ in range(4):  # Three wait, the rest is told at once, while the disk still syncs.
            kind, answered, told = await till.answer()
            assert (kind, told.code) == ("input.rejected", "overloaded")
            assert told.retry_after_ms > 0
            refused.append(answered.causationid)
        assert refused == ["p4", "p5", "p6", "p7"]
        synced.set()
        accepted = [(await till.answer())[1].causationid for _ in range(4)]
        assert accepted == ["p0", "p1", "p2", "p3"]
        for event in paid[4:]:
            kind, _, _ = await till.ask(event)
            assert kind == "order.accepted"
        await centre.until(lambda: len(centre.events) == 16)


async def test_more_than_fits_is_answered_with_overloaded(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "INTAKE_MESSAGES_MAX", 0)
    async with running_edge(embedded, wan, tmp_path), device(embedded, "till-1") as till:
        kind, event, told = await till.ask(device_event("till-1", "p1", payment("sku-1")))
        assert (kind, told.code, event.causationid) == ("input.rejected", "overloaded", "p1")
        assert told.retry_after_ms > 0


async def test_a_task_is_sent_again_until_a_warehouse_accepts_it(
    embedded: Broker, wan: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "REMIND_S_MIN", 0.3)
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=5)
        await till.ask(device_event("till-1", "p1", payment("sku-1")))
        # The warehouse was away and its broker forgot: only now does it subscribe.
        async with device(embedded, "dc-south") as warehouse:
            _, first, task = await warehouse.answer()
            _, again, _ = await warehouse.answer()
            assert first == again
            accepted = device_event("dc-south", "a1", PickAccepted(task_id=task.task_id))
            await warehouse.publish(accepted)
            await centre.until(lambda: len(centre.events) == 3)


async def test_garbage_from_the_wan_is_named_and_harms_nobody(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=5)
        for kind, body in (
            ("ack", b"{"), ("feed/3/grant", b"\xc1"), ("feed/3/coffee", b"x"), ("contacts", b"[]"),
            ("feed/9/grant", b"\xc1"), ("feed/3/event", b"not json"),
        ):  # fmt: skip
            await centre.client.publish(f"pointsman/v1/edge-1/down/{kind}", body, 1)
        await centre.client.publish("pointsman/v1/edge-2/up/tasks/edge-1", b"{}", 1)
        kind, _, _ = await till.ask(device_event("till-1", "p1", payment("sku-1")))
        assert kind == "order.accepted"
        await centre.until(lambda: len(centre.events) == 2)
    assert len(read_quarantine(tmp_path / "edge" / FILE_NAME)) >= 5


async def test_a_broker_of_the_site_that_comes_late_is_waited_for(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    embedded.stop()

    async def start_later() -> None:
        await asyncio.to_thread(embedded.start)

    starting = asyncio.create_task(start_later())
    async with site(embedded, wan, tmp_path) as (centre, till):
        await starting
        await centre.stock(sku_1=5)
        kind, _, _ = await till.ask(device_event("till-1", "p1", payment("sku-1")))
        assert kind == "order.accepted"


async def test_a_broker_of_the_site_that_dies_comes_back(
    broker: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with central(wan) as centre, running_edge(broker, wan, tmp_path):
        await centre.stock(sku_1=5)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(30), device(broker, "till-1") as till:
            number = 0
            while True:  # Until the daemon has subscribed again, nobody hears the till.
                number += 1
                await till.publish(device_event("till-1", f"q{number}", question("sku-1")))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        kind, _, _ = await till.answer()
                        break
            assert kind == "route.planned"


async def test_a_folder_that_cannot_be_used_or_is_in_use_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="folder that this user may write"):
        await daemon.serve(daemon.Config(edge_id="edge-1", data_dir=tmp_path / "file" / "data"))
    with locked(tmp_path / "data"), pytest.raises(ConfigError, match="another daemon runs"):
        await daemon.serve(daemon.Config(edge_id="edge-1", data_dir=tmp_path / "data"))


async def test_a_folder_belongs_to_one_edge(embedded: Broker, wan: Broker, tmp_path: Path) -> None:
    async with running_edge(embedded, wan, tmp_path):
        pass
    with pytest.raises(ConfigError, match="the store is that of edge 'edge-1', not of 'edge-x'"):
        daemon.Daemon(daemon.Config(edge_id="edge-x", data_dir=tmp_path / "edge"))


async def test_a_bad_feed_item_is_skipped_and_the_next_one_taken(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=1)
        await centre.feed(3, "grant", b"\xc1 not a grant")
        await centre.feed(4, "event", b"not an event")
        cells = [CellUnits(node_id="dc-south", sku="sku-2", quantity=1)]
        await centre.feed(5, "grant", encode_bulk(Grant(cells=cells)))
        await centre.until(lambda: centre.hellos[-1].feed == 5)
        _, _, accepted = await till.ask(device_event("till-1", "p1", payment("sku-2")))
        assert accepted.plan is not None
