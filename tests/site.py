"""A site for integration tests: the real edge daemon, devices, and a central by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from edge.config import Config
from edge.daemon import Daemon
from shared.ending import end
from shared.envelope import Event, decode_data, decode_event, encode_event, split_batch
from shared.events import Data
from shared.frames import (
    Ack,
    Ask,
    ContactFor,
    ContactsAck,
    Grant,
    Hello,
    Refusal,
    decode_frame,
    encode_bulk,
    encode_frame,
    feed_kind,
)  # fmt: skip
from shared.mqtt import NO_DELAY
from shared.parts import CellUnits
from shared.settings import Broker as BrokerSettings
from shared.topics import down, parse_up, up
from tests.brokers import Broker
from tests.shop import network

PATIENCE_S = 20.0


def settings(broker: Broker) -> BrokerSettings:
    version = "5" if broker.kind == "mosquitto" else "3.1.1"
    return BrokerSettings(port=broker.port, mqtt_version=version)


@asynccontextmanager
async def client(broker: Broker, name: str, *topics: str) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(
        "127.0.0.1", broker.port, identifier=name, socket_options=[NO_DELAY],
        protocol=aiomqtt.ProtocolVersion.V5 if broker.kind == "mosquitto"
        else aiomqtt.ProtocolVersion.V311,
    ) as connected:  # fmt: skip
        for topic in topics:
            await connected.subscribe(topic, 1)
        yield connected


class Central:
    """Speaks central's side of the conversation, by hand, and keeps what it hears."""

    def __init__(self, connected: aiomqtt.Client) -> None:
        self.client = connected
        self.hellos: list[Hello] = []
        self.starts: dict[str, Hello] = {}
        self.events: dict[int, Event] = {}
        self.contacts: list[ContactFor] = []
        self.batches = 0
        self.silent = False
        self.refusal: Refusal = ""
        self.began = 1, 0
        self.asks: list[Ask] = []
        self.changed = asyncio.Condition()

    async def listen(self) -> None:
        async for message in self.client.messages:
            payload = bytes(message.payload)
            edge_id, kind = parse_up(str(message.topic))
            if kind == "hello":
                hello = decode_frame(payload, Hello)
                self.starts.setdefault(hello.boots[-1], hello)
                self.hellos.append(hello)
            elif kind == "log":
                self.batches += 1
                for raw in split_batch(payload):
                    event = decode_event(raw)
                    self._take(event)
            elif kind == "ask":
                self.asks.append(decode_frame(payload, Ask))
            elif kind == "contacts":
                self.contacts += decode_frame(payload, list[ContactFor])
                ids = [contact.order_id for contact in self.contacts]
                answer = encode_frame(ContactsAck(order_ids=ids))
                await self.client.publish(down(edge_id, "contacts"), answer, 1)
            if not self.silent:
                await self.acknowledge(edge_id)
            async with self.changed:
                self.changed.notify_all()

    def _take(self, event: Event) -> None:
        """The next of the stream, by the number that it has through all epochs."""
        epoch, before = self.began
        if (event.epoch or 0) > epoch:
            epoch, before = self.began = event.epoch or 0, len(self.events)
        number = before + event.number()
        if not self.silent and event.epoch == epoch and number == len(self.events) + 1:
            self.events[number] = event

    async def acknowledge(self, edge_id: str = "edge-1", ahead: int = 0) -> None:
        """Say what is in the ledger; `ahead`: more than the edge ever said."""
        if not self.hellos:
            return
        epoch, before = self.began
        ack = Ack(
            epoch=epoch, sequence=len(self.events) - before + ahead,
            boot=self.hellos[-1].boots[-1], refusal=self.refusal,
        )  # fmt: skip
        await self.client.publish(down(edge_id, "ack"), encode_frame(ack), 1)

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(true)

    async def feed(self, number: int, kind: Any, body: bytes) -> None:
        await self.client.publish(down("edge-1", feed_kind(number, kind)), body, 1)

    async def stock(self, **units: int) -> None:
        """Feed the network, then shares at dc-south, to an edge that has said hello."""
        await self.until(lambda: self.hellos)
        await self.feed(1, "network", encode_bulk(network()))
        cells = [
            CellUnits(node_id="dc-south", sku=sku.replace("_", "-"), quantity=n)
            for sku, n in units.items()
        ]
        await self.feed(2, "grant", encode_bulk(Grant(cells=cells)))
        await self.until(lambda: self.hellos and self.hellos[-1].feed == 2)


@asynccontextmanager
async def central(wan: Broker) -> AsyncIterator[Central]:
    async with client(wan, "central", "pointsman/v1/+/up/#") as connected:
        one = Central(connected)
        listener = asyncio.create_task(one.listen())
        try:
            yield one
        finally:
            await end(listener)


@asynccontextmanager
async def running_edge(
    lan: Broker, wan: Broker, directory: Path, **values: Any
) -> AsyncIterator[asyncio.Task[None]]:
    config = Config(
        edge_id="edge-1", data_dir=directory / "edge", lan=settings(lan), wan=settings(wan),
        **values,
    )  # fmt: skip
    config.data_dir.mkdir(exist_ok=True)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(Daemon(config).run(stop, ready.set))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
        yield task
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


class Device:
    """A till or a warehouse: publishes, and awaits what concerns it."""

    def __init__(self, name: str, connected: aiomqtt.Client) -> None:
        self.name = name
        self.client = connected

    async def publish(self, event: Event) -> None:
        kind = event.type.removeprefix("pointsman.").removesuffix(".v1")
        await self.client.publish(up(self.name, kind), encode_event(event), 1)

    async def answer(self) -> tuple[str, Event, Data]:
        async with asyncio.timeout(PATIENCE_S):
            message = await anext(self.client.messages)
        event = decode_event(bytes(message.payload))
        return str(message.topic).rpartition("/")[2], event, decode_data(event)

    async def ask(self, event: Event) -> tuple[str, Event, Any]:
        await self.publish(event)
        return await self.answer()


@asynccontextmanager
async def device(lan: Broker, name: str) -> AsyncIterator[Device]:
    async with client(lan, name, down(name, "#")) as connected:
        yield Device(name, connected)


@asynccontextmanager
async def site(lan: Broker, wan: Broker, directory: Path) -> AsyncIterator[tuple[Central, Device]]:
    """A central by hand, a real edge, and one till."""
    async with (
        central(wan) as centre,
        running_edge(lan, wan, directory),
        device(lan, "till-1") as till,
    ):
        yield centre, till
