"""The edge daemon: wires engine, store, gateway and uplink to one dispatcher on one loop."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from edge.config import Config
from edge.dispatcher import TASKS_REMINDED_MAX, Dispatcher, keep_apart
from edge.engine import Engine
from edge.gateway import Gateway
from edge.routing.solve import warm
from edge.store import FILE_NAME, Store
from edge.uplink import Uplink
from shared.ending import end
from shared.errors import ConfigError, PointsmanError, StaleStoreError
from shared.lock import locked
from shared.settings import make_clock

REMIND_S_MIN: Final = 15.0
REMIND_S_MAX: Final = 900.0
"""A task that no warehouse has accepted is sent again after this; each time it waits longer, so
that the queue of a warehouse that is away for a day stays short."""

STALE_EXPECTED: Final = "the newest data folder of this edge; a copy would sell again what was sold"

log = structlog.get_logger()


class Daemon:
    """Wires engine, store, gateway and uplink together.

    Raises:
        ConfigError: the store is another edge's.
        StaleStoreError: it must not sell any more.
        StorageError: it cannot be used.
    """

    def __init__(self, config: Config) -> None:
        """Open the store and rebuild the memory; called on the running loop, folder locked."""
        self._config = config
        self._clock = make_clock(config.clock)
        self._store = Store(config.data_dir / FILE_NAME)
        try:
            self._check_store()
        except PointsmanError:
            self._store.close()
            raise
        engine = Engine(config.edge_id, self._store, self._clock.now_ms())
        self._dispatcher = dispatcher = Dispatcher(engine, self._store, self._clock)
        self._reminders: dict[str, tuple[float, float]] = {}
        self._connected = asyncio.Event()
        self._gateway = dispatcher.gateway = Gateway(
            config.edge_id, config.lan, dispatcher.schedule, dispatcher.overflow, self._on_connect
        )
        self._uplink = dispatcher.uplink = Uplink(
            config.edge_id,
            config.wan,
            self._store,
            engine.state.journal.epoch,
            lambda: dispatcher.applied,
            dispatcher.idle,
            dispatcher.schedule,
        )

    def _check_store(self) -> None:
        """The store must be this edge's own, and fit to sell from."""
        self._store.forget_arrivals(self._clock.now_ms())
        self._store.commit()
        stale = self._store.meta("stale")
        if stale:
            raise StaleStoreError(stale, place=str(self._config.data_dir), expected=STALE_EXPECTED)
        owner = self._store.meta("edge_id", self._config.edge_id)
        if owner != self._config.edge_id:
            raise ConfigError(
                f"the store is that of edge {owner!r}, not of {self._config.edge_id!r}",
                place=str(self._config.data_dir),
                expected="the edge's own data folder: its log and its shares belong to it alone",
            )
        self._store.set_meta("edge_id", owner)
        self._store.commit()

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
            futures: set[asyncio.Future[Any]] = {*running, stopped, self._dispatcher.broken}
            done, _ = await asyncio.wait(futures, return_when="FIRST_COMPLETED")
            for future in done - {stopped}:
                await self._mark_stale(future.exception())
                future.result()  # None of them ends by itself but by an error.
        finally:
            await end(*running, ready, stopped)
            await self._dispatcher.close()
            self._store.close()

    async def _mark_stale(self, error: BaseException | None) -> None:
        """Remember over restarts that this store must not sell."""
        if isinstance(error, StaleStoreError):
            await self._dispatcher.idle()
            self._store.rollback()
            self._store.set_meta("stale", error.detail)
            self._store.commit()

    def _on_connect(self) -> None:
        self._connected.set()
        self._dispatcher.resend_all()

    async def _remind(self) -> None:
        """Send tasks again until a warehouse accepts them: the broker may have lost them."""
        while True:
            await asyncio.sleep(REMIND_S_MIN / 3)
            await self._dispatcher.idle()
            now_s = time.monotonic()
            issued = {task.task_id: task for task in self._store.issued_tasks(TASKS_REMINDED_MAX)}
            self._reminders = {
                task_id: self._reminders.get(task_id, (REMIND_S_MIN, now_s + REMIND_S_MIN))
                for task_id in issued
            }
            for task_id, (wait_s, due_s) in self._reminders.items():
                if due_s <= now_s:
                    self._dispatcher.resend(issued[task_id])
                    wait_s = min(2 * wait_s, REMIND_S_MAX)
                    self._reminders[task_id] = wait_s, now_s + wait_s


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
