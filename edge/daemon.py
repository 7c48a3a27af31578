"""The edge daemon: one process, one loop, one writer.

    burst → decide → one durable transaction → acknowledge and publish

Whatever waits is decided together and made durable by one commit; only then is it
acknowledged and told. The commit runs on a thread of its own, because a disk can take a
second to sync: questions, which commit nothing, are answered from memory meanwhile, and
nothing else touches the store.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from edge.burst import Burst
from edge.commands import Command, FromFeed, FromPeer
from edge.config import Config
from edge.engine import Engine
from edge.gateway import Gateway
from edge.intake import Message, read, sender_of
from edge.records import Decision, Send, Task
from edge.routing.solve import warm
from edge.store import FILE_NAME, Store
from edge.uplink import Uplink
from shared.clock import to_datetime
from shared.ending import end
from shared.errors import (
    GapError,
    InternalError,
    OverloadedError,
    PointsmanError,
    StorageError,
)
from shared.lock import locked
from shared.settings import make_clock

BURST_MESSAGES_MAX: Final = 128
"""Messages per commit. Larger bursts answer later, smaller ones pay for more commits."""

FEED_ITEMS_MAX: Final = 4
RETRIES_MAX: Final = 4
"""Per turn, so that neither a backlog of feed nor of parked orders holds up a till."""

REMIND_S_MIN: Final = 15.0
REMIND_S_MAX: Final = 900.0
"""A task that no warehouse has accepted is sent again after this; each time it waits longer, so
that the queue of a warehouse that is away for a day stays short."""

TASKS_REMINDED_MAX: Final = 500
RETRY_AFTER_MS: Final = 1_000

log = structlog.get_logger()


def keep_apart() -> None:
    """Take what lives long out of the garbage collector's rounds.

    A full round over network and libraries would stop the loop for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


class Daemon:
    """Wires engine, store, gateway and uplink together.

    Raises:
        StorageError: the store cannot be used.
    """

    def __init__(self, config: Config) -> None:
        """Open the store and rebuild the memory; called on the running loop, folder locked."""
        self._config = config
        self._clock = make_clock(config.clock)
        self._store = Store(config.data_dir / FILE_NAME)
        self._engine = Engine(config.edge_id, self._store, self._clock.now_ms())
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._reminders: dict[str, tuple[float, float]] = {}
        self._resend_all = False
        self._applied = self._engine.state.feed  # Durably; the memory may be ahead.
        self._unlisted: list[tuple[str, bytes, PointsmanError]] = []
        self._disk = ThreadPoolExecutor(1, "disk")
        self._committing = False
        self._committed = asyncio.Event()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._connected = asyncio.Event()
        self._gateway = Gateway(
            config.edge_id, config.lan, self._schedule, self._overflow, self._on_connect
        )
        self._uplink = Uplink(
            config.edge_id,
            config.wan,
            self._store,
            self._engine.state.journal.epoch,
            lambda: self._applied,
            self._idle,
            self._schedule,
        )

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` is set.

        Args:
            stop: ends the daemon in good order.
            on_ready: called once tills are served.

        Raises:
            StaleStoreError: this store must not sell any more.
        """
        gateway = asyncio.create_task(self._gateway.run(), name="gateway")
        uplink = asyncio.create_task(self._uplink.run(), name="uplink")
        reminder = asyncio.create_task(self._remind(), name="reminder")
        ready = asyncio.create_task(self._connected.wait(), name="ready")
        ready.add_done_callback(lambda task: None if task.cancelled() else on_ready())
        stopped = asyncio.create_task(stop.wait(), name="stop")
        running: set[asyncio.Task[Any]] = {gateway, uplink, reminder}
        try:
            futures: set[asyncio.Future[Any]] = {*running, stopped, self._broken}
            done, _ = await asyncio.wait(futures, return_when="FIRST_COMPLETED")
            for future in done - {stopped}:
                future.result()  # None of them ends by itself but by an error.
        finally:
            await end(*running, ready, stopped)
            await self._idle()
            self._disk.shutdown()
            self._store.close()

    def _on_connect(self) -> None:
        self._connected.set()
        self._resend_all = True  # The broker may have forgotten what was sent before.
        self._schedule()

    async def _remind(self) -> None:
        """Send tasks again until a warehouse accepts them: the broker may have lost them."""
        while True:
            await asyncio.sleep(REMIND_S_MIN / 3)
            await self._idle()
            now_s = time.monotonic()
            issued = {task.task_id: task for task in self._store.issued_tasks(TASKS_REMINDED_MAX)}
            self._reminders = {
                task_id: self._reminders.get(task_id, (REMIND_S_MIN, now_s + REMIND_S_MIN))
                for task_id in issued
            }
            for task_id, (wait_s, due_s) in self._reminders.items():
                if due_s <= now_s:
                    self._resend(issued[task_id])
                    wait_s = min(2 * wait_s, REMIND_S_MAX)
                    self._reminders[task_id] = wait_s, now_s + wait_s

    def _resend(self, task: Task) -> None:
        self._gateway.publish(Send(task.request.node_id, task.request.kind, task.event))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn_or_stop)

    def _overflow(self, message: Message) -> None:
        """No room: say so at once, so that the device sends it again later."""
        error = OverloadedError(
            "too much is waiting", place="intake", expected="send it again later"
        )
        self._refuse(message, error)
        self._gateway.acknowledge(message)

    async def _idle(self) -> None:
        """Until no commit is under way: the store is one thread's at a time."""
        while self._committing:
            await self._committed.wait()

    def _turn_or_stop(self) -> None:
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it is, the process must not go on
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """A fault of ours outside of any one input: stop, rather than go on with half a burst."""
        if not self._broken.done():
            self._broken.set_exception(error)

    def _turn(self) -> None:
        """Answer questions; decide a burst and commit it, unless a commit is under way."""
        self._scheduled = False
        now_ms = self._clock.now_ms()
        questions = self._gateway.questions
        for _ in range(min(len(questions), BURST_MESSAGES_MAX)):
            self._answer(questions.popleft(), now_ms)
        if questions:
            self._schedule()
        if self._committing:
            return  # `_settle` schedules the next turn.
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

    def _answer(self, message: Message, now_ms: int) -> None:
        """Answer a question from memory. It commits nothing, so it waits for nothing."""
        try:
            command = read(message)
            decision = self._handle(command, now_ms)
        except PointsmanError as error:
            self._refuse(message, error)
            self._unlisted.append((message.topic, message.payload, error))
        else:
            self._publish(decision)
        self._gateway.acknowledge(message)

    def _fill(self, burst: Burst, now_ms: int) -> None:
        """Decide what waits, into one open transaction."""
        intake, inbox = self._gateway.intake, self._uplink.inbox
        if self._resend_all:
            self._resend_all = False
            for task in self._store.issued_tasks(TASKS_REMINDED_MAX):
                self._resend(task)
        for topic, payload, error in self._unlisted:
            self._quarantine(topic, payload, error, now_ms)
        self._unlisted.clear()
        burst.messages = [intake.popleft() for _ in range(min(len(intake), BURST_MESSAGES_MAX))]
        for message in burst.messages:
            try:
                burst.decisions.append(self._decide(read(message), now_ms))
            except StorageError:
                raise
            except PointsmanError as error:
                burst.refused.append((message, error))
                self._quarantine(message.topic, message.payload, error, now_ms)
        for _ in range(min(len(inbox), FEED_ITEMS_MAX)):
            self._take_item(burst, *inbox.popleft(), now_ms)
        if self._uplink.kept_contacts:
            self._store.forget_contacts(self._uplink.kept_contacts)
            self._uplink.kept_contacts.clear()
        for _ in range(RETRIES_MAX):
            retry = self._engine.due()
            if retry is None:
                break
            burst.decisions.append(self._decide(retry, now_ms))

    def _after_commit(self, burst: Burst, commit: asyncio.Future[None]) -> None:
        self._committing = False
        self._committed.set()
        error = commit.exception()
        if isinstance(error, StorageError):
            self._undo(burst, error)
        elif error is not None:
            self._break(error)
            return
        self._settle(burst)

    def _undo(self, burst: Burst, error: StorageError) -> None:
        """Go back to what the disk says."""
        log.error("storage_failed", error=str(error))
        self._store.rollback()
        self._engine.reload(self._clock.now_ms())
        burst.fail(error)

    def _settle(self, burst: Burst) -> None:
        """The burst is durable: say it, acknowledge it."""
        self._applied = self._engine.state.feed
        for decision in burst.decisions:
            self._publish(decision)
        for message, reason in burst.refused:
            self._refuse(message, reason)
        for message in burst.messages:
            self._gateway.acknowledge(message)
        if burst.greet:
            self._uplink.greet()
        if burst.has_news:
            self._uplink.wake()
        if self._gateway.intake or self._uplink.inbox or self._engine.state.due:
            self._schedule()

    def _handle(self, command: Command, now_ms: int) -> Decision:
        """Decide; a fault of ours at one input must not stop the tills."""
        try:
            return self._engine.handle(command, now_ms)
        except PointsmanError:
            raise
        except Exception as error:
            log.exception("internal_error", command=type(command).__name__)
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
                self._quarantine(topic, payload, decision.fault, now_ms)

    def _publish(self, decision: Decision) -> None:
        """Say what was decided; it is durable."""
        if decision.network is not None:
            log.info("network_applied", version=decision.network.version)
            keep_apart()
        for send in decision.sends:
            self._gateway.publish(send)
        for peer in decision.peers:
            self._uplink.forward(peer)

    def _refuse(self, message: Message, error: PointsmanError) -> None:
        device, cause_id = sender_of(message)
        if device is None:
            return  # The topic names nobody; the quarantine keeps it.
        again = RETRY_AFTER_MS if isinstance(error, OverloadedError | StorageError) else None
        now_ms = self._clock.now_ms()
        self._gateway.publish(self._engine.refuse(device, cause_id, error, now_ms, again))

    def _quarantine(self, topic: str, payload: bytes, error: PointsmanError, now_ms: int) -> None:
        log.warning("input_rejected", topic=topic[:200], code=error.code, place=error.place[:200])
        self._store.quarantine(topic, payload, error, to_datetime(now_ms).isoformat())


async def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        PointsmanError: it cannot start, or must stop.
    """
    started_s = time.monotonic()
    warm()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready() -> None:
        took_s = round(time.monotonic() - started_s, 3)
        log.info("ready", edge_id=config.edge_id, startup_s=took_s)

    with locked(config.data_dir):
        daemon = Daemon(config)
        keep_apart()
        await daemon.run(stop, ready)
    log.info("stopped", edge_id=config.edge_id)
