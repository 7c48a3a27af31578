"""An MQTT device of the demo: connects, publishes events, hands on what comes down."""

import asyncio
import contextlib
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
import msgspec

from shared.clock import Clock, ScaledClock, to_datetime
from shared.devices import DeviceReported, Status
from shared.envelope import Event, decode_event, encode_event, make_event
from shared.events import Data, RouteRequested
from shared.mqtt import NO_DELAY
from shared.topics import device_source, down, up

HOST: Final = "127.0.0.1"

_CONNECT_S_MAX: Final = 20.0
_RECONNECT_S: Final = 0.1
_ANSWER_S_MAX: Final = 5.0
_REACH_S: Final = 0.25


class Device:
    """One device on its edge's broker, QoS 1, with a session that outlives its connection.

    It comes back when the broker is gone, and what the broker had not taken by then is told
    again. What the broker had taken, and loses, is for the device's people to repeat.

    Args:
        name: the device's identity.
        port: the broker's port on loopback.
        on_event: called with each event that comes down, on the event loop.
        now: the time; with it the device tells of its health: a birth and a last will.

    Attributes:
        connections: how many times it was connected.
    """

    def __init__(
        self,
        name: str,
        port: int,
        on_event: Callable[["Device", Event], None],
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """See the class."""
        self.name = name
        self.connections = 0
        self._port = port
        self._on_event = on_event
        self._now = now
        self._here = asyncio.Event()
        self._gone = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._questions: dict[str, asyncio.Future[None]] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect and subscribe.

        Raises:
            TimeoutError: there is no broker.
        """
        self._keeping = asyncio.create_task(self._keep_connected())
        async with asyncio.timeout(_CONNECT_S_MAX):
            await self._here.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    def check(self) -> None:
        """Raise what went wrong with what came down, which would otherwise only look silent."""
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()

    def event(self, data: Data, event_id: str, at: datetime) -> Event:
        """An event of this device."""
        return make_event(data, id=event_id, source=device_source(self.name), time=at)

    async def publish(self, event: Event) -> None:
        """Publish under the device's own name; returns when a broker has it."""
        while True:
            await self._here.wait()
            with contextlib.suppress(aiomqtt.MqttError):
                await self.send(event, self.connections)
                return

    async def send(self, event: Event, connection: int) -> None:
        """Publish once, over this connection and no other.

        Args:
            event: what.
            connection: as `connections` named it.

        Raises:
            aiomqtt.MqttError: the connection was lost; perhaps the broker has it all the same.
        """
        if connection != self.connections or not self._here.is_set():
            raise aiomqtt.MqttError("the connection was lost")
        assert self._client is not None
        kind = event.type.removeprefix("pointsman.").removesuffix(".v1")
        sending = asyncio.create_task(
            self._client.publish(up(self.name, kind), encode_event(event), qos=1, timeout=math.inf)
        )
        self._sending.add(sending)
        try:
            await asyncio.wait({sending})
        finally:
            self._sending.discard(sending)
            sending.cancel()
        if sending.cancelled():
            raise aiomqtt.MqttError("the connection was lost")
        if isinstance(sending.exception(), aiomqtt.MqttError):
            await self._gone.wait()  # paho has noticed, and the listener is about to
        sending.result()

    async def reach(self, question: RouteRequested, at: Callable[[], datetime]) -> None:
        """Ask until there is an answer: from then on the edge hears this device.

        A broker that has lost its disk takes messages for an edge that has not come back to it,
        confirms them and keeps them for nobody. Only an answer tells.

        Args:
            question: any; nobody reads the answer.
            at: the time.
        """
        answered = asyncio.get_running_loop().create_future()
        for number in itertools.count():
            event_id = f"reach-{self.connections}-{number}-{time.time_ns()}"
            self._questions[event_id] = answered
            await self.publish(self.event(question, event_id, at()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REACH_S):
                    await asyncio.shield(answered)
            if answered.done():
                break
        self._questions = {k: x for k, x in self._questions.items() if x is not answered}

    async def next_connection(self, known: int) -> None:
        """Wait until there is another connection than the one that `connections` once named."""
        while self.connections == known:
            await self._gone.wait()
            await self._here.wait()

    async def _keep_connected(self) -> None:
        topic = up(self.name, DeviceReported.kind)
        while True:
            birth, will = self._health(f"{time.time_ns():x}")
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    HOST,
                    self._port,
                    identifier=self.name,
                    protocol=aiomqtt.ProtocolVersion.V311,
                    clean_session=False,
                    keepalive=60,
                    timeout=_ANSWER_S_MAX,
                    will=None if will is None else aiomqtt.Will(topic, will, qos=1),
                    socket_options=[NO_DELAY],
                ) as client:
                    client.pending_calls_threshold = 1_000  # many reports at once are normal
                    await client.subscribe(down(self.name, "#"), qos=1)
                    if birth is not None:
                        await client.publish(topic, birth, qos=1)
                    await self._listen(client)
            await asyncio.sleep(_RECONNECT_S)

    def _health(self, connection: str) -> tuple[bytes | None, bytes | None]:
        """Birth and last will of a connection."""
        if self._now is None:
            return None, None
        told: tuple[tuple[str, Status], ...] = (("birth", "online"), ("will", "lost"))
        birth, will = (
            encode_event(
                self.event(
                    DeviceReported(status=status, connection=connection),
                    f"{self.name}-{connection}-{name}",
                    self._now(),
                )
            )
            for name, status in told
        )
        return birth, will

    async def _listen(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.connections += 1
        self._gone.clear()
        self._here.set()
        try:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                event = decode_event(message.payload)
                answered = self._questions.get(event.causationid or "")
                if answered is None:
                    self._on_event(self, event)
                elif not answered.done():
                    answered.set_result(None)
        finally:
            self._here.clear()
            self._gone.set()
            for sending in self._sending:  # aiomqtt would wait for a PUBACK that never comes
                sending.cancel()


@dataclass(frozen=True, slots=True)
class Orders:
    """What the orchestrator tells a process of devices, as a JSON file.

    Attributes:
        ports: edge id to the port of its broker.
        clock: real_ms, simulated_ms and rate of the scaled clock.
        orders: how many of the day's sales; all if None.
        record: where the devices' own record goes at the end.
    """

    ports: dict[str, int]
    clock: tuple[int, int, float]
    orders: int | None
    record: Path

    @classmethod
    def read(cls, path: Path) -> "Orders":
        """Read the file."""
        return msgspec.convert(json.loads(path.read_bytes()), cls, dec_hook=lambda kind, x: kind(x))

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(msgspec.json.encode(self, enc_hook=str))

    def make_clock(self) -> Clock:
        """Simulated time."""
        return ScaledClock(*self.clock)


class Days:
    """Waits for moments of simulated time.

    Args:
        clock: simulated time.
        rate: simulated seconds per real second.
    """

    def __init__(self, clock: Clock, rate: float) -> None:
        """See the class."""
        self._clock = clock
        self._rate = rate
        self.shift_ms = 0

    def keep(self, clock: Clock, rate: float) -> None:
        """Go by another clock from now on."""
        self._clock, self._rate = clock, rate

    def now(self) -> datetime:
        """Simulated time."""
        return to_datetime(self._clock.now_ms())

    def planned(self, moment: datetime) -> datetime:
        """When a moment of the script comes; later than written if the day began late."""
        return moment + timedelta(milliseconds=self.shift_ms)

    async def until(self, moment: datetime) -> None:
        """Sleep until a moment, or not at all if it has passed."""
        ms = moment.timestamp() * 1000 - self._clock.now_ms()
        if ms > 0:
            await asyncio.sleep(ms / 1000 / self._rate)


class Wires:
    """The line protocol with the orchestrator: words in on stdin, JSON lines out on stdout."""

    def __init__(self) -> None:
        """See the class."""
        self._words: asyncio.Queue[str] = asyncio.Queue()

    async def open(self) -> None:
        """Start to read. The end of the input is the word "end": then the process leaves."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._reading = loop.create_task(self._read(reader))

    async def word(self) -> str:
        """The next word."""
        return await self._words.get()

    def say(self, **facts: Any) -> None:
        """One line of JSON to the orchestrator."""
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._words.put_nowait(line.decode().strip())
        self._words.put_nowait("end")


def start(main: Callable[[Orders], Coroutine[Any, Any, None]]) -> None:
    """Run a process of devices; its one argument is the file with its orders."""
    asyncio.run(main(Orders.read(Path(sys.argv[1]))))
