"""The edge daemon whose store must not sell, and payments that wait for central, over a wire."""

import shutil
from pathlib import Path

from edge.generation import FILE_NAME as GENERATION
from edge.store import FILE_NAME
from shared.envelope import encode_batch, encode_event
from shared.events import EpochBegan, type_of
from shared.frames import Asked, Grant, Hello, Rejoin, encode_bulk, encode_frame
from shared.parts import CellUnits
from shared.topics import down
from tests.brokers import Broker
from tests.shop import Shop, device_event, network, payment, question
from tests.site import Central, Device, central, device, running_edge, site


async def greeted(centre: Central, start: int) -> Hello:
    """The first hello of the edge's first, second, … start."""
    await centre.until(lambda: len(centre.starts) == start)
    return list(centre.starts.values())[-1]


async def refused(till: Device, event_id: str) -> None:
    """Neither payment nor question is taken: the store must not sell."""
    for event in (
        device_event("till-1", event_id, payment("sku-1")),
        device_event("till-1", f"{event_id}-q", question("sku-1")),
    ):
        kind, _, told = await till.ask(event)
        assert (kind, told.code) == ("input.rejected", "stale_store")
        assert "fence" in told.expected


async def rejoin(centre: Central, number: int, epoch: int = 2) -> None:
    """An operator has fenced the edge: a new epoch, its past, and stock."""
    past = [encode_event(event) for event in centre.events.values()]
    centre.refusal = ""
    await centre.acknowledge()
    await centre.feed(number, "rejoin", encode_frame(Rejoin(epoch=epoch, restored=True)))
    await centre.feed(number + 1, "network", encode_bulk(network()))
    await centre.feed(number + 2, "past", encode_batch(past))
    await centre.feed(number + 3, "past", encode_batch([]))
    cells = [CellUnits(node_id="dc-south", sku="sku-1", quantity=1)]
    await centre.feed(number + 4, "grant", encode_bulk(Grant(cells=cells)))
    await centre.until(lambda: centre.hellos[-1].feed == number + 4)
    hello = centre.hellos[-1]
    assert (hello.epoch, hello.unfit) == (epoch, False)


async def sells_again(centre: Central, till: Device) -> None:
    """What was sold before is known, what is sold now comes out of the new share."""
    kind, answered, _ = await till.ask(device_event("till-1", "p1", payment("sku-1")))
    assert (kind, answered.causationid) == ("order.accepted", "p1")
    _, _, accepted = await till.ask(device_event("till-1", "new", payment("sku-1")))
    assert accepted.plan is not None
    await centre.until(
        lambda: [e.correlationid for e in centre.events.values()][-1] == accepted.order_id
    )
    began = [e for e in centre.events.values() if e.type == type_of(EpochBegan)]
    assert [(e.epoch, e.number()) for e in began] == [(2, 1)]


async def sold(centre: Central, till: Device) -> None:
    await centre.stock(sku_1=5)
    kind, _, _ = await till.ask(device_event("till-1", "p1", payment("sku-1")))
    assert kind == "order.accepted"
    await centre.until(lambda: len(centre.events) == 2)


async def test_an_edge_that_finds_itself_behind_stays_up_sells_nothing_and_rejoins(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await sold(centre, till)
        await centre.acknowledge(ahead=7)
        await centre.until(lambda: centre.hellos[-1].unfit)
        await refused(till, "p2")
        await rejoin(centre, 9)
        await sells_again(centre, till)


async def test_what_must_not_sell_must_not_after_a_restart_either(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with central(wan) as centre, device(embedded, "till-1") as till:
        async with running_edge(embedded, wan, tmp_path):
            await sold(centre, till)
            await centre.acknowledge(ahead=7)
            await centre.until(lambda: centre.hellos[-1].unfit)
        async with running_edge(embedded, wan, tmp_path):
            assert (await greeted(centre, 2)).unfit
            await refused(till, "p2")
            await rejoin(centre, 9)
            await sells_again(centre, till)


async def test_central_s_refusal_stops_an_edge_until_it_is_fenced(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await sold(centre, till)
        centre.refusal = "twin"
        await centre.acknowledge()
        await centre.until(lambda: centre.hellos[-1].unfit)
        await refused(till, "p2")
        # What comes down while central speaks with another one is not for this edge.
        cells = [CellUnits(node_id="dc-south", sku="sku-1", quantity=9)]
        await centre.feed(3, "grant", encode_bulk(Grant(cells=cells)))
        await refused(till, "p3")
        assert centre.hellos[-1].feed == 2
        await rejoin(centre, 4)
        await sells_again(centre, till)


async def test_a_copied_folder_is_unfit_until_it_rejoins(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    folder = tmp_path / "edge"
    async with central(wan) as centre, device(embedded, "till-1") as till:
        async with running_edge(embedded, wan, tmp_path):
            await sold(centre, till)
        shutil.copytree(folder.rename(tmp_path / "original"), folder)
        async with running_edge(embedded, wan, tmp_path):
            assert (await greeted(centre, 2)).unfit
            await refused(till, "p2")
            await rejoin(centre, 9)
            await sells_again(centre, till)
        async with running_edge(embedded, wan, tmp_path):  # This file is the edge's own now.
            assert not (await greeted(centre, 3)).unfit


async def test_a_store_without_its_mark_is_unfit_until_it_rejoins(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with central(wan) as centre, device(embedded, "till-1") as till:
        async with running_edge(embedded, wan, tmp_path):
            await sold(centre, till)
        (tmp_path / "edge" / GENERATION).unlink()
        async with running_edge(embedded, wan, tmp_path):
            assert (await greeted(centre, 2)).unfit
        async with running_edge(embedded, wan, tmp_path):  # Another start makes it no better.
            assert (await greeted(centre, 3)).unfit
            await rejoin(centre, 9)
        async with running_edge(embedded, wan, tmp_path):
            assert not (await greeted(centre, 4)).unfit
            await sells_again(centre, till)


async def test_a_backup_that_was_written_over_the_file_is_unfit(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    folder, backup = tmp_path / "edge", tmp_path / "backup.db"
    async with central(wan) as centre, device(embedded, "till-1") as till:
        async with running_edge(embedded, wan, tmp_path):
            await centre.stock(sku_1=5)
        shutil.copy(folder / FILE_NAME, backup)
        marks = tmp_path / "marks.json"
        async with running_edge(embedded, wan, tmp_path):
            await till.ask(device_event("till-1", "p1", payment("sku-1")))
            await centre.until(lambda: len(centre.events) == 2)
        async with running_edge(embedded, wan, tmp_path):  # A start writes its marks.
            await greeted(centre, 3)
        shutil.copy(folder / GENERATION, marks)
        (folder / FILE_NAME).write_bytes(backup.read_bytes())  # The same file on its disk.
        async with running_edge(embedded, wan, tmp_path):
            assert (await greeted(centre, 4)).unfit
            await refused(till, "p2")
        assert (folder / GENERATION).read_bytes() == marks.read_bytes()


async def test_an_edge_is_ready_and_sells_while_a_backlog_waits(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with device(embedded, "till-1") as till:
        async with central(wan) as centre, running_edge(embedded, wan, tmp_path):
            await centre.stock(sku_1=3_000)
        shop = Shop(tmp_path / "edge" / FILE_NAME)
        for number in range(600):
            shop.tell("till-1", payment("sku-1"), f"b{number}")
        shop.store.close()
        async with running_edge(embedded, wan, tmp_path):
            kind, _, accepted = await till.ask(device_event("till-1", "p1", payment("sku-1")))
            assert kind == "order.accepted"
            async with central(wan) as centre:
                await centre.until(lambda: len(centre.events) == 1_202)
                assert centre.events[1_201].correlationid == accepted.order_id


# Payments that wait for units.


async def test_a_payment_waits_for_units_that_central_has(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=1)
        number = 2
        for attempt in range(50):  # A slow machine may take longer than the payment waits.
            asks = len(centre.asks)
            await till.publish(device_event("till-1", f"p{attempt}", payment("sku-2")))
            await centre.until(lambda asks=asks: len(centre.asks) > asks)
            ask = centre.asks[-1]
            assert [(lack.sku, lack.quantity) for lack in ask.lines] == [("sku-2", 1)]
            number += 1
            cells = [CellUnits(node_id="dc-south", sku="sku-2", quantity=1)]
            await centre.feed(number, "grant", encode_bulk(Grant(cells=cells)))
            answer = encode_frame(Asked(id=ask.id, feed=number))
            await centre.client.publish(down("edge-1", "asked"), answer, 1)
            kind, event, accepted = await till.answer()
            assert (kind, event.causationid) == ("order.accepted", f"p{attempt}")
            if accepted.plan is not None:
                return
            assert (await till.answer())[0] == "route.planned"
        raise AssertionError("no payment was ever answered with what central had")


async def test_payments_that_central_does_not_answer_are_parked(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=1)
        for number in range(3):
            await till.publish(device_event("till-1", f"p{number}", payment("sku-2")))
        await centre.until(lambda: len(centre.asks) == 3)
        for number in range(3):
            kind, event, accepted = await till.answer()
            assert (kind, event.causationid) == ("order.accepted", f"p{number}")
            assert accepted.plan is None
