"""One turn after another: burst → decide → one durable transaction → acknowledge and publish.

Whatever waits is decided together and made durable by one commit; only then is it
acknowledged and told. The commit runs on a thread of its own, because a disk can take a
second to sync: questions, which commit nothing, are answered from memory meanwhile, and
nothing else touches the store.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from edge.burst import Burst
from edge.core import ASK_MS_MAX, REST_MS, Core
from edge.gateway import Gateway
from edge.intake import Message
from edge.records import Send, Task
from edge.uplink import Uplink
from shared.clock import Clock
from shared.errors import OverloadedError, StorageError

BURST_MESSAGES_MAX: Final = 128
"""Messages per commit. Larger bursts answer later, smaller ones pay for more commits."""

QUESTIONS_MAX: Final = 16
"""Answered before a burst gets its turn."""

log = structlog.get_logger()


def keep_apart() -> None:
    """Take what lives long out of the garbage collector's rounds.

    A full round over network and libraries would stop the loop for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


class Dispatcher:
    """The one that says when: the core's turns on the running loop.

    Args:
        core: decides and keeps.
        clock: for stamps and decisions.

    Attributes:
        gateway, uplink, on_rejoin: to be set before the first turn.
            The last is called when an epoch has begun, before anything is said.
        broken: fails when a fault of ours leaves no choice but to stop.
    """

    gateway: Gateway
    uplink: Uplink
    on_rejoin: Callable[[], None]

    def __init__(self, core: Core, clock: Clock) -> None:
        """Must be called on the running loop."""
        self._core = core
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._scheduled = False
        self._readers = 0
        self._disk = ThreadPoolExecutor(1, "disk")
        self._committed = asyncio.Event()

    async def close(self) -> None:
        """No turn after this; waits for the commit that is under way."""
        self._break(asyncio.CancelledError())
        self.broken.exception()
        while self._core.committing:
            await self._committed.wait()
        self._disk.shutdown()

    def connected(self) -> None:
        """The site's broker is there, again, and may have forgotten the tasks it was given."""
        self._core.resend_all()
        self._core.health.listen()
        self.schedule()

    def lost(self) -> None:
        """The site's broker is gone: what is not acknowledged comes again."""
        self._core.forget_asks()
        self._core.health.deafen()

    def resend(self, task: Task) -> None:
        """Hand a task to its warehouse again."""
        self.gateway.publish(Send(task.request.node_id, task.request.kind, task.event))

    def schedule(self) -> None:
        """There is something to do: take a turn soon."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn_or_stop)

    def overflow(self, message: Message) -> None:
        """No room: say so at once, so that the device sends it again later."""
        error = OverloadedError(
            "too much is waiting", place="intake", expected="send it again later"
        )
        for send in self._core.refuse(message, error, self._clock.now_ms()):
            self.gateway.publish(send)
        self.gateway.acknowledge(message)

    async def idle(self) -> None:
        """Until no commit is under way: the store is one thread's at a time."""
        if not self._core.committing:
            return
        self._readers += 1
        try:
            while self._core.committing:
                await self._committed.wait()
        finally:
            self._readers -= 1
            self.schedule()

    def _turn_or_stop(self) -> None:
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it is, the process must not go on
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """A fault of ours outside of any one input: stop, rather than go on with half a burst."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def _turn(self) -> None:
        """Answer questions; decide a burst and commit it, unless a commit is under way."""
        self._scheduled = False
        if self.broken.done():
            return
        now_ms = self._clock.now_ms()
        for question in self.gateway.take(self.gateway.questions, QUESTIONS_MAX):
            for send in self._core.answer(question, now_ms):
                self.gateway.publish(send)
            self.gateway.acknowledge(question)
        # Who waited for the store during the last commit reads it before the next one.
        if not self._core.committing and not self._readers:
            self._commit_burst(now_ms)
        if self.gateway.questions:
            self.schedule()

    def _commit_burst(self, now_ms: int) -> None:
        gateway = self.gateway
        messages = gateway.take(gateway.intake, BURST_MESSAGES_MAX)
        # After all that a device has said besides, so that a last will is its last word.
        messages += gateway.take(gateway.health, BURST_MESSAGES_MAX - len(messages))
        self._core.health.behind = bool(gateway.intake or gateway.health)
        burst = self._core.decide(messages, now_ms, elapsed_ms())
        if burst.asked:
            self._loop.call_later(ASK_MS_MAX / 1000, self.schedule)
            self.uplink.wake()
        if not self._core.store.dirty:
            self._settle(burst)
            return
        # The disk may take a long while to sync; questions are answered meanwhile.
        self._core.committing = True
        self._committed.clear()
        commit = self._loop.run_in_executor(self._disk, self._core.store.commit)
        commit.add_done_callback(lambda done: self._after_commit(burst, done))

    def _after_commit(self, burst: Burst, commit: asyncio.Future[None]) -> None:
        self._core.committing = False
        self._committed.set()
        error = commit.exception()
        try:
            if isinstance(error, StorageError):
                self._core.undo(burst, error, self._clock.now_ms(), elapsed_ms())
                self._loop.call_later(REST_MS / 1000, self.schedule)
            elif error is not None:
                raise error
            self._settle(burst)
        except Exception as fault:  # noqa: BLE001  # as in `_turn_or_stop`
            self._break(fault)

    def _settle(self, burst: Burst) -> None:
        """The burst is durable: say it, acknowledge it."""
        outcome = self._core.settle(burst, self._clock.now_ms())
        if outcome.rejoined:
            self.on_rejoin()
        for send in outcome.sends:
            self.gateway.publish(send)
        for message in outcome.done:
            self.gateway.acknowledge(message)
        if outcome.network:
            keep_apart()
        if outcome.news:
            self.uplink.wake()
        if self.gateway.intake or self.gateway.health or self._core.has_work(elapsed_ms()):
            self.schedule()


def elapsed_ms() -> int:
    """Of a clock that only moves forward."""
    return time.monotonic_ns() // 1_000_000
