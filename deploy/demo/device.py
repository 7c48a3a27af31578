"""An MQTT device of the demo: connects, publishes events, hands on what comes down."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
import msgspec

from shared.clock import Clock, ScaledClock, to_datetime
from shared.envelope import Event, decode_event, encode_event, make_event
from shared.events import Data
from shared.mqtt import NO_DELAY
from shared.topics import device_source, down, up

HOST: Final = "127.0.0.1"


class Device:
    """One device on its edge's broker, QoS 1, with a session that outlives its connection.

    Args:
        name: the device's identity.
        port: the broker's port on loopback.
        on_event: called with each event that comes down, on the event loop.
    """

    def __init__(self, name: str, port: int, on_event: Callable[["Device", Event], None]) -> None:
        """See the class."""
        self.name = name
        self._on_event = on_event
        self._client = aiomqtt.Client(
            HOST,
            port,
            identifier=name,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=False,
            keepalive=60,
            socket_options=[NO_DELAY],
        )
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect and subscribe."""
        await self._client.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        await self._client.subscribe(down(self.name, "#"), qos=1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        with contextlib.suppress(aiomqtt.MqttError):  # the broker may be gone before us
            await self._client.__aexit__(None, None, None)

    def event(self, data: Data, event_id: str, at: datetime) -> Event:
        """An event of this device."""
        return make_event(data, id=event_id, source=device_source(self.name), time=at)

    async def publish(self, event: Event) -> None:
        """Publish under the device's own name; returns when the broker has it."""
        kind = event.type.removeprefix("pointsman.").removesuffix(".v1")
        await self._client.publish(up(self.name, kind), encode_event(event), qos=1)

    async def _listen(self) -> None:
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            self._on_event(self, decode_event(message.payload))


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
