"""The edge daemon: one process, one loop, one writer.

    burst → decide → one durable transaction → acknowledge and publish

Whatever waits is decided together and made durable by one commit; only then is it
acknowledged and told. Questions are answered without a commit.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Final

import structlog

from edge.commands import Command, FromFeed, FromPeer
from edge.config import Config
from edge.engine import Engine
from edge.gateway import Gateway
from edge.intake import Message, read, sender_of
from edge.records import Decision, Send
from edge.routing.solve import warm
from edge.store import FILE_NAME, Store
from edge.uplink import Uplink
from shared.clock import to_datetime
from shared.ending import end
from shared.errors import (
    ConfigError,
    GapError,
    InternalError,
    OverloadedError,
    PointsmanError,
    StorageError,
)
from shared.events import RouteRequested
from shared.settings import make_clock

BURST_MESSAGES_MAX: Final = 128
"""Messages per commit. Larger bursts answer later, smaller ones pay for more commits."""

FEED_ITEMS_MAX: Final = 4
RETRIES_MAX: Final = 4
"""Per turn, so that neither a backlog of feed nor of parked orders holds up a till."""

REMIND_S: Final = 15.0
"""A task that no warehouse has accepted is sent again after this."""

TASKS_REMINDED_MAX: Final = 500
RETRY_AFTER_MS: Final = 1_000

log = structlog.get_logger()


class Daemon:
    """Wires engine, store, gateway and uplink together.

    Raises:
        PointsmanError: the data folder or the store cannot be used.
    """

    def __init__(self, config: Config) -> None:
        """Open the store and rebuild the memory; must be called on the running loop."""
        self._config = config
        self._clock = make_clock(config.clock)
        try:
            config.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                str(error), place="data_dir", expected="a folder that this user may write"
            ) from error
        self._store = Store(config.data_dir / FILE_NAME)
        self._engine = Engine(config.edge_id, self._store, self._clock.now_ms())
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._reminded_s = 0.0
        self._connected = asyncio.Event()
        self._gateway = Gateway(
            config.edge_id, config.lan, self._schedule, self._overflow, self._on_connect
        )
        self._uplink = Uplink(
            config.edge_id,
            config.wan,
            self._store,
            self._engine.state.journal.epoch,
            lambda: self._engine.state.feed,
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
        running = {gateway, uplink, reminder}
        try:
            done, _ = await asyncio.wait({*running, stopped}, return_when="FIRST_COMPLETED")
            for task in done - {stopped}:
                task.result()  # None of them ends by itself but by an error.
        finally:
            await end(*running, ready, stopped)
            self._store.close()

    def _on_connect(self) -> None:
        self._connected.set()
        self._reminded_s = 0.0  # The warehouses may have missed what was sent before.
        self._schedule()

    async def _remind(self) -> None:
        """Send tasks again until a warehouse accepts them: the broker may have lost them."""
        while True:
            await asyncio.sleep(REMIND_S / 3)
            if self._connected.is_set() and time.monotonic() - self._reminded_s > REMIND_S:
                self._reminded_s = time.monotonic()
                for task in self._store.issued_tasks(TASKS_REMINDED_MAX):
                    self._gateway.publish(Send(task.request.node_id, task.request.kind, task.event))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _overflow(self, message: Message) -> None:
        """No room: say so at once, so that the device sends it again later."""
        error = OverloadedError(
            "too much is waiting", place="intake", expected="send it again later"
        )
        self._refuse(message, error)
        self._gateway.acknowledge(message)

    def _turn(self) -> None:
        """One burst: decide, commit, acknowledge, publish."""
        self._scheduled = False
        now_ms = self._clock.now_ms()
        intake, inbox = self._gateway.intake, self._uplink.inbox
        messages = [intake.popleft() for _ in range(min(len(intake), BURST_MESSAGES_MAX))]
        items = [inbox.popleft() for _ in range(min(len(inbox), FEED_ITEMS_MAX))]
        decisions: list[Decision] = []
        refusals: list[tuple[Message, PointsmanError]] = []
        greet = False
        try:
            for message in messages:
                try:
                    command = read(message)
                    decision = self._decide(command, now_ms)
                except StorageError:
                    raise
                except PointsmanError as error:
                    refusals.append((message, error))
                    self._quarantine(message.topic, message.payload, error, now_ms)
                    continue
                if isinstance(command.data, RouteRequested):
                    self._publish(decision)  # Commits nothing, so it waits for nothing.
                else:
                    decisions.append(decision)
            for topic, payload, item in items:
                greet = self._take_item(topic, payload, item, decisions, now_ms) or greet
            if self._uplink.kept_contacts:
                self._store.forget_contacts(self._uplink.kept_contacts)
                self._uplink.kept_contacts.clear()
            for _ in range(RETRIES_MAX):
                retry = self._engine.due()
                if retry is None:
                    break
                decisions.append(self._decide(retry, now_ms))
            self._store.commit()
        except StorageError as failure:
            log.error("storage_failed", error=str(failure))
            self._store.rollback()
            self._engine.reload(now_ms)
            decisions.clear()
            refusals = [(message, failure) for message in messages]
        for decision in decisions:
            self._publish(decision)
        for message, reason in refusals:
            self._refuse(message, reason)
        for message in messages:
            self._gateway.acknowledge(message)
        if greet:
            self._uplink.greet()
        if any(decision.log or decision.contact for decision in decisions):
            self._uplink.wake()
        if intake or inbox or self._engine.state.due:
            self._schedule()

    def _decide(self, command: Command, now_ms: int) -> Decision:
        """Decide and put it into the open transaction."""
        try:
            decision = self._engine.handle(command, now_ms)
        except PointsmanError:
            raise
        except Exception as error:
            log.exception("internal_error", command=type(command).__name__)
            raise InternalError(
                f"{type(error).__name__} while deciding",
                expected="a report of this fault, with the quarantined input",
            ) from error
        self._store.write(decision)
        return decision

    def _take_item(
        self,
        topic: str,
        payload: bytes,
        item: FromFeed | FromPeer | PointsmanError,
        decisions: list[Decision],
        now_ms: int,
    ) -> bool:
        """Something from central or a peer. True: central should hear how far we are."""
        if isinstance(item, PointsmanError):
            self._quarantine(topic, payload, item, now_ms)
            return False
        try:
            decision = self._decide(item, now_ms)
        except GapError:
            return True
        except StorageError:
            raise
        except PointsmanError as error:
            self._quarantine(topic, payload, error, now_ms)
            return False
        if decision.fault is not None:
            self._quarantine(topic, payload, decision.fault, now_ms)
        decisions.append(decision)
        return isinstance(item, FromFeed)

    def _publish(self, decision: Decision) -> None:
        """Say what was decided; it is durable."""
        if decision.network is not None:
            log.info("network_applied", version=decision.network.version)
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
    daemon = Daemon(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready() -> None:
        took_s = round(time.monotonic() - started_s, 3)
        log.info("ready", edge_id=config.edge_id, startup_s=took_s)

    with contextlib.suppress(asyncio.CancelledError):
        await daemon.run(stop, ready)
    log.info("stopped", edge_id=config.edge_id)
