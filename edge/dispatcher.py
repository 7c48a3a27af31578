"""One turn after another: burst → decide → one durable transaction → acknowledge and publish.

Whatever waits is decided together and made durable by one commit; only then is it
acknowledged and told. The commit runs on a thread of its own, because a disk can take a
second to sync: questions, which commit nothing, are answered from memory meanwhile, and
nothing else touches the store.
"""

import asyncio
import gc
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from edge.burst import Burst
from edge.commands import Command, FromFeed, FromPeer
from edge.engine import Engine
from edge.gateway import Gateway
from edge.intake import Message, read, sender_of
from edge.records import Decision, Send, Task
from edge.store import Store
from edge.uplink import Uplink
from shared.clock import Clock, to_datetime
from shared.errors import (
    GapError,
    InternalError,
    NoNetworkError,
    OverloadedError,
    PointsmanError,
    StorageError,
)

BURST_MESSAGES_MAX: Final = 128
"""Messages per commit. Larger bursts answer later, smaller ones pay for more commits."""

QUESTIONS_MAX: Final = 16
"""Answered before a burst gets its turn."""

UNLISTED_MAX: Final = 1_000
"""Refused questions that wait to be written into the quarantine; beyond it the oldest go."""

REST_S: Final = 1.0
"""After the disk has failed, before anything but a device's message tries it again."""

FEED_ITEMS_MAX: Final = 4
RETRIES_MAX: Final = 4
"""Per turn, so that neither a backlog of feed nor of parked orders holds up a till."""

TASKS_REMINDED_MAX: Final = 50
"""Per node."""

RETRY_AFTER_MS: Final = 1_000

log = structlog.get_logger()


def keep_apart() -> None:
    """Take what lives long out of the garbage collector's rounds.

    A full round over network and libraries would stop the loop for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


class Dispatcher:
    """The one that decides what happens next. Owns engine and store.

    Args:
        engine: decides.
        store: keeps.
        clock: for stamps and decisions.

    Attributes:
        gateway, uplink: to be set before the first turn.
        applied: number of the newest feed item that is durable; the memory may be ahead.
        broken: fails when a fault of ours leaves no choice but to stop.
    """

    gateway: Gateway
    uplink: Uplink

    def __init__(self, engine: Engine, store: Store, clock: Clock) -> None:
        """Must be called on the running loop."""
        self.applied = engine.state.feed
        self._engine = engine
        self._store = store
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._scheduled = False
        self._resend_all = False
        self._unlisted: deque[tuple[str, bytes, PointsmanError]] = deque(maxlen=UNLISTED_MAX)
        self._readers = 0
        self._resting_s = 0.0
        self._disk = ThreadPoolExecutor(1, "disk")
        self._committing = False
        self._committed = asyncio.Event()

    async def close(self) -> None:
        """No turn after this; waits for the commit that is under way."""
        self._break(asyncio.CancelledError())
        self.broken.exception()
        while self._committing:
            await self._committed.wait()
        self._disk.shutdown()

    def resend_all(self) -> None:
        """The broker may have forgotten the tasks that it was given."""
        self._resend_all = True
        self.schedule()

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
        self._refuse(message, error)
        self.gateway.acknowledge(message)

    async def idle(self) -> None:
        """Until no commit is under way: the store is one thread's at a time."""
        if not self._committing:
            return
        self._readers += 1
        try:
            while self._committing:
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
            self._answer(question, now_ms)
        # Who waited for the store during the last commit reads it before the next one.
        if not self._committing and not self._readers:
            self._commit_burst(now_ms)
        if self.gateway.questions:
            self.schedule()

    def _answer(self, message: Message, now_ms: int) -> None:
        """Answer a question from memory. It commits nothing, so it waits for nothing."""
        try:
            decision = self._handle(read(message), now_ms)
        except PointsmanError as error:
            self._refuse(message, error)
            self._unlisted.append((message.topic, message.payload, error))
        else:
            self._publish(decision)
        self.gateway.acknowledge(message)

    def _commit_burst(self, now_ms: int) -> None:
        burst = Burst()
        try:
            self._fill(burst, now_ms)
        except StorageError as error:
            self._undo(burst, error)
        if not self._store.dirty:
            self._settle(burst)
            return
        # The disk may take a long while to sync; questions are answered meanwhile.
        self._committing = True
        self._committed.clear()
        commit = self._loop.run_in_executor(self._disk, self._store.commit)
        commit.add_done_callback(lambda done: self._after_commit(burst, done))

    def _fill(self, burst: Burst, now_ms: int) -> None:
        """Decide what waits, into one open transaction."""
        burst.messages = self.gateway.take(self.gateway.intake, BURST_MESSAGES_MAX)
        for message in burst.messages:
            try:
                burst.decisions.append(self._decide(read(message), now_ms))
            except StorageError:
                raise
            except PointsmanError as error:
                burst.refused.append((message, error))
                self._quarantine(message.topic, message.payload, error, now_ms)
        if self._loop.time() < self._resting_s:
            return  # The disk has failed: only devices, who are told, may try it.
        while self._unlisted:
            self._quarantine(*self._unlisted[0], now_ms)
            self._unlisted.popleft()
        if self._resend_all:
            self._resend_all = False
            for task in self._store.issued_tasks(TASKS_REMINDED_MAX):
                self.resend(task)
        inbox = self.uplink.inbox
        for _ in range(min(len(inbox), FEED_ITEMS_MAX)):
            self._take_item(burst, *inbox.popleft(), now_ms)
        if self.uplink.kept_contacts:
            self._store.forget_contacts(self.uplink.kept_contacts)
            self.uplink.kept_contacts.clear()
        for _ in range(RETRIES_MAX):
            retry = self._engine.due()
            if retry is None:
                break
            try:
                burst.decisions.append(self._decide(retry, now_ms))
            except StorageError:
                raise
            except PointsmanError as error:
                log.error("retry_failed", order_id=retry.order_id, error=str(error))

    @property
    def _has_work(self) -> bool:
        if self.gateway.intake:
            return True
        waiting = self._unlisted or self.uplink.inbox or self.uplink.kept_contacts
        rested = self._loop.time() >= self._resting_s
        return rested and bool(waiting or self._engine.state.due or self._resend_all)

    def _after_commit(self, burst: Burst, commit: asyncio.Future[None]) -> None:
        self._committing = False
        self._committed.set()
        error = commit.exception()
        try:
            if isinstance(error, StorageError):
                self._undo(burst, error)
            elif error is not None:
                raise error
            self._settle(burst)
        except Exception as fault:  # noqa: BLE001  # as in `_turn_or_stop`
            self._break(fault)

    def _undo(self, burst: Burst, error: StorageError) -> None:
        """Go back to what the disk says."""
        log.error("storage_failed", error=str(error))
        self._store.rollback()
        self._engine.reload(self._clock.now_ms())
        burst.fail(error)
        self._resting_s = self._loop.time() + REST_S
        self._loop.call_later(REST_S, self.schedule)

    def _settle(self, burst: Burst) -> None:
        """The burst is durable: say it, acknowledge it."""
        self.applied = self._engine.state.feed
        for decision in burst.decisions:
            self._publish(decision)
        for message, reason in burst.refused:
            self._refuse(message, reason)
        for message in burst.messages:
            self.gateway.acknowledge(message)
        if burst.greet:
            self.uplink.greet()
        if burst.has_news:
            self.uplink.wake()
        if self._has_work:
            self.schedule()

    def _handle(self, command: Command, now_ms: int) -> Decision:
        """Decide; a fault of ours at one input must not stop the tills."""
        try:
            return self._engine.handle(command, now_ms)
        except PointsmanError:
            raise
        except Exception as error:
            log.exception("internal_error", command=type(command).__name__)
            if not self._committing:
                self._engine.reload(now_ms)  # The memory may have moved half-way.
            raise InternalError(
                f"{type(error).__name__} while deciding",
                expected="a report of this fault, with the quarantined input",
            ) from error

    def _decide(self, command: Command, now_ms: int) -> Decision:
        """Decide and put it into the open transaction."""
        decision = self._handle(command, now_ms)
        self._store.write(decision)
        return decision

    def _take_item(
        self,
        burst: Burst,
        topic: str,
        payload: bytes,
        item: FromFeed | FromPeer | PointsmanError,
        now_ms: int,
    ) -> None:
        """Something from central or a peer."""
        if isinstance(item, PointsmanError):
            self._quarantine(topic, payload, item, now_ms)
            return
        burst.greet |= isinstance(item, FromFeed)
        try:
            decision = self._decide(item, now_ms)
        except StorageError:
            raise
        except GapError as error:
            log.info("feed_gap", detail=error.detail)
        except PointsmanError as error:
            self._quarantine(topic, payload, error, now_ms)
        else:
            burst.decisions.append(decision)
            if decision.fault is not None:
                cause = decision.fault.__cause__
                log.error("feed_item_skipped", topic=topic, exc_info=cause)
                self._quarantine(topic, payload, decision.fault, now_ms)

    def _publish(self, decision: Decision) -> None:
        """Say what was decided; it is durable."""
        if decision.network is not None:
            log.info("network_applied", version=decision.network.version)
            keep_apart()
        if decision.granted:
            log.info("grant_applied", feed=decision.feed, cells=len(decision.given))
        for send in decision.sends:
            self.gateway.publish(send)
        for peer in decision.peers:
            self.uplink.forward(peer)

    def _refuse(self, message: Message, error: PointsmanError) -> None:
        device, cause_id = sender_of(message)
        if device is None:
            return  # The topic names nobody; the quarantine keeps it.
        again = (
            RETRY_AFTER_MS
            if isinstance(error, NoNetworkError | OverloadedError | StorageError)
            else None
        )
        now_ms = self._clock.now_ms()
        self.gateway.publish(self._engine.refuse(device, cause_id, error, now_ms, again))

    def _quarantine(self, topic: str, payload: bytes, error: PointsmanError, now_ms: int) -> None:
        log.warning("input_rejected", topic=topic[:200], code=error.code, place=error.place[:200])
        self._store.quarantine(topic, payload, error, to_datetime(now_ms).isoformat())
