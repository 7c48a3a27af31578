"""Listens on central's broker, to see when everything that was said has arrived."""

import asyncio
import time
from types import TracebackType
from typing import Final, Self

import aiomqtt

from shared.envelope import decode_event, split_batch
from shared.frames import Ack, Hello, decode_frame, parse_feed_kind
from shared.mqtt import NO_DELAY
from shared.topics import ACK, FEED, HELLO, LOG, ROOT, down, up

_POLL_S: Final = 0.1


class Traffic:
    """A spectator of the conversation between the edges and central.

    Args:
        port: central's broker.

    Attributes:
        logged: edge id to the newest position of its log that was seen.
        acked: edge id to the newest position that central has acknowledged.
        fed: edge id to the number of the newest feed item that was sent to it.
        applied: edge id to the number of the newest feed item that it has.
    """

    def __init__(self, port: int) -> None:
        """See the class."""
        self.logged: dict[str, int] = {}
        self.acked: dict[str, int] = {}
        self.fed: dict[str, int] = {}
        self.applied: dict[str, int] = {}
        self._moved_s = time.monotonic()
        self._client = aiomqtt.Client("127.0.0.1", port, socket_options=[NO_DELAY])
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect and listen."""
        await self._client.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        for topic in (up("+", LOG), up("+", HELLO), down("+", ACK), down("+", f"{FEED}/#")):
            await self._client.subscribe(topic, qos=1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    async def quiet(self, seconds: float, seconds_max: float) -> bool:
        """Wait until all is acknowledged and nothing new was said for a while.

        Returns:
            False: it did not get quiet in time.
        """
        end_s = time.monotonic() + seconds_max
        while time.monotonic() < end_s:
            if self.is_quiet(seconds):
                return True
            await asyncio.sleep(_POLL_S)
        return False

    def is_quiet(self, seconds: float) -> bool:
        """Whether all is acknowledged and nothing new was said for so long."""
        behind = any(
            done.get(edge_id, 0) < number
            for said, done in ((self.logged, self.acked), (self.fed, self.applied))
            for edge_id, number in said.items()
        )
        return not behind and time.monotonic() - self._moved_s >= seconds

    async def _listen(self) -> None:
        async for message in self._client.messages:
            device, _, kind = str(message.topic).removeprefix(f"{ROOT}/").split("/", 2)
            assert isinstance(message.payload, bytes)
            if kind == LOG:
                events = split_batch(message.payload)
                self._note(self.logged, device, decode_event(events[-1]).number())
            elif kind == HELLO:
                self.applied[device] = decode_frame(message.payload, Hello).feed
            elif kind == ACK:
                self.acked[device] = decode_frame(message.payload, Ack).sequence
            else:
                self._note(self.fed, device, parse_feed_kind(kind)[0])

    def _note(self, numbers: dict[str, int], edge_id: str, number: int) -> None:
        if number > numbers.get(edge_id, 0):
            numbers[edge_id] = number
            self._moved_s = time.monotonic()
