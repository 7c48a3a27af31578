"""Devices whose broker dies, with everything that it had confirmed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiomqtt
import pytest

from deploy.demo.device import Device
from deploy.demo.outbox import Outbox
from shared.envelope import Event, decode_event, encode_event, make_event
from shared.events import PickAccepted, RoutePlanned, RouteRequested
from shared.parts import Fulfilment, Line
from shared.topics import ALL_UP, down
from tests.brokers import Broker
from tests.site import PATIENCE_S, client

NOW = datetime(2025, 1, 13, tzinfo=UTC)
QUESTION = RouteRequested(
    store_id="dc-x",
    fulfilment=Fulfilment(kind="carry_out"),
    lines=[Line(sku="A", quantity=1)],
)


def now() -> datetime:
    return NOW


class Edge:
    """Hears reports, and answers questions."""

    def __init__(self, connected: aiomqtt.Client) -> None:
        self._client = connected

    async def hear(self, count: int) -> list[str]:
        """The ids of so many reports; questions on the way are answered."""
        heard: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < count:
                message = await anext(self._client.messages)
                event = decode_event(bytes(message.payload))
                if event.type == "pointsman.route.requested.v1":
                    await self._answer(event)
                else:
                    heard.append(event.id)
        return heard

    async def _answer(self, question: Event) -> None:
        answer = make_event(
            RoutePlanned(), id="a", source="/edges/e", time=NOW, causationid=question.id
        )
        await self.say("route.planned", encode_event(answer))

    async def say(self, kind: str, payload: bytes) -> None:
        await self._client.publish(down("dc-x", kind), payload, 1)


@asynccontextmanager
async def edge(broker: Broker) -> AsyncIterator[Edge]:
    async with client(broker, "edge", ALL_UP) as connected:
        yield Edge(connected)


@asynccontextmanager
async def warehouse(broker: Broker) -> AsyncIterator[tuple[Device, Outbox]]:
    async with Device("dc-x", broker.port, lambda *_: None) as device:
        outbox = Outbox(device, QUESTION, now)
        outbox.open()
        try:
            yield device, outbox
        finally:
            await outbox.close()


def report(device: Device, name: str) -> Event:
    return device.event(PickAccepted(task_id=name), name, NOW)


async def test_reports_are_told_in_order(broker: Broker):
    async with edge(broker) as hearer, warehouse(broker) as (device, outbox):
        for number in range(200):
            outbox.say(report(device, str(number)))
        assert await hearer.hear(200) == [str(number) for number in range(200)]
        await outbox.emptied()
        assert outbox.done


async def test_what_a_broker_has_lost_is_told_again_before_anything_new(broker: Broker):
    async with warehouse(broker) as (device, outbox):
        async with edge(broker) as hearer:
            outbox.say(report(device, "old"))
            assert await hearer.hear(1) == ["old"]
        await outbox.emptied()
        broker.restart(wipe=True)
        outbox.say(report(device, "new"))
        async with asyncio.timeout(PATIENCE_S):
            await device.next_connection(1)
        # The broker takes what nobody reads; the warehouse does not fall for it.
        assert not outbox.done
        async with edge(broker) as hearer:
            assert await hearer.hear(2) == ["old", "new"]
        await outbox.emptied()
        assert outbox.repeated == 1


async def test_what_an_edge_had_no_room_for_is_told_again_with_all_that_followed(broker: Broker):
    async with edge(broker) as hearer, warehouse(broker) as (device, outbox):
        for name in ("first", "second", "third"):
            outbox.say(report(device, name))
        assert await hearer.hear(3) == ["first", "second", "third"]
        await outbox.emptied()
        outbox.again("second", 0.01)
        outbox.again("third", 0.01)
        outbox.say(report(device, "fourth"))
        assert await hearer.hear(3) == ["second", "third", "fourth"]


async def test_a_device_publishes_once_its_broker_is_back(broker: Broker):
    async with warehouse(broker) as (device, _):
        broker.kill()
        publishing = asyncio.create_task(device.publish(report(device, "late")))
        broker.start()
        async with asyncio.timeout(PATIENCE_S):
            await publishing
        assert device.connections == 2


async def test_a_device_without_a_broker_says_so(broker: Broker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deploy.demo.device._CONNECT_S_MAX", 0.2)
    broker.kill()
    with pytest.raises(TimeoutError):
        async with Device("dc-x", broker.port, lambda *_: None):
            pass


async def test_what_cannot_be_read_is_raised(broker: Broker):
    async with warehouse(broker) as (device, outbox), edge(broker) as hearer:
        await hearer.say("order.accepted", b"nonsense")
        assert device._keeping is not None
        await asyncio.wait({device._keeping}, timeout=PATIENCE_S)
        with pytest.raises(Exception, match="not_json"):
            outbox.check()
