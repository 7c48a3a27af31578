"""What a warehouse has to say, in order, and again after its broker was gone.

A till sees that no answer comes and sends again; a report is not answered. What the broker has
confirmed and then loses with its disk would be lost for good. So whenever the connection was
lost, a warehouse first asks until the edge hears it again, and then repeats its reports of the
last minutes, oldest first and with the same ids, before it tells anything new.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

import aiomqtt

from deploy.demo.device import Device
from shared.envelope import Event
from shared.events import RouteRequested

REPEAT_S: Final = 120.0
"""Longer than a report may lie in a broker before the edge has read it."""

_AT_ONCE: Final = 64
"""Reports under way together: one connection keeps their order."""


class Outbox:
    """The reports of one device.

    Args:
        device: who tells them.
        question: what it asks to find out whether the edge hears it.
        at: the time.

    Attributes:
        repeated: reports that were told again.
    """

    def __init__(
        self, device: Device, question: RouteRequested, at: Callable[[], datetime]
    ) -> None:
        """See the class."""
        self.repeated = 0
        self._device = device
        self._question = question
        self._at = at
        self._waiting: deque[Event] = deque()
        self._told: deque[tuple[float, Event]] = deque()
        self._connection = device.connections
        self._wait_s = 0.0
        self._taken_back = 0
        self._new = asyncio.Event()
        self._empty = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to tell."""
        self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Tell no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    def say(self, event: Event) -> None:
        """Tell this after all that was said before."""
        self._waiting.append(event)
        self._empty.clear()
        self._new.set()

    def again(self, event_id: str, wait_s: float) -> None:
        """An overloaded edge had no room for this one: tell it and all that came after it again.

        Args:
            event_id: what was refused; nothing happens if it waits to be told again already.
            wait_s: how long the edge wants to be left alone.
        """
        since = next((i for i, (_, x) in enumerate(self._told) if x.id == event_id), None)
        if since is not None:
            self._wait_s = wait_s
            self._take_back(since)
            self._new.set()

    @property
    def done(self) -> bool:
        """Whether a broker has everything, since the last connection to it."""
        return self._empty.is_set() and self._connection == self._device.connections

    async def emptied(self) -> None:
        """Wait until a broker has everything that was said."""
        await self._empty.wait()

    def check(self) -> None:
        """Raise what went wrong."""
        self._device.check()
        if self._telling is not None and self._telling.done():
            self._telling.result()

    async def _tell(self) -> None:
        while True:
            try:
                if self._connection != self._device.connections:
                    await self._repeat()
                await self._tell_new()
            except aiomqtt.MqttError:
                await self._device.next_connection(self._connection)

    async def _repeat(self) -> None:
        """Take back what was told lately, unless the connection is lost once more meanwhile."""
        connection = self._device.connections
        await self._device.reach(self._question, self._at)
        since_s = time.monotonic() - REPEAT_S
        self._take_back(sum(1 for told_s, _ in self._told if told_s < since_s))
        self._connection = connection

    def _take_back(self, since: int) -> None:
        """What was told from this place on waits once more, before everything that waits."""
        told = list(self._told)
        again = [event for _, event in told[since:]]
        self._told = deque(told[:since])
        self._taken_back += 1
        self._empty.clear()
        self._waiting.extendleft(reversed(again))
        self.repeated += len(again)

    async def _tell_new(self) -> None:
        while self._waiting and self._connection == self._device.connections:
            if self._wait_s:
                wait_s, self._wait_s = self._wait_s, 0.0
                await asyncio.sleep(wait_s)
            batch = [self._waiting[i] for i in range(min(len(self._waiting), _AT_ONCE))]
            # Nothing of it may slip into a later connection before what comes first there.
            sending = (self._device.send(event, self._connection) for event in batch)
            taken_back = self._taken_back
            await asyncio.gather(*sending)
            if taken_back != self._taken_back:
                continue  # something older goes first after all, and then this again
            now_s = time.monotonic()
            for event in batch:
                self._told.append((now_s, event))
                self._waiting.popleft()
            while self._told[0][0] < now_s - REPEAT_S:
                self._told.popleft()
        self._new.clear()
        if not self._waiting:
            self._empty.set()
            await self._idle()

    async def _idle(self) -> None:
        """Until there is something to say, or to say again."""
        waits = [
            asyncio.create_task(self._new.wait()),
            asyncio.create_task(self._device.next_connection(self._connection)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
