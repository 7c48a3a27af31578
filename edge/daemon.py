"""The edge daemon: wires core, gateway and uplink to one dispatcher on one loop."""

import asyncio
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from edge.config import Config
from edge.core import HOUSEKEEPING_MS, Core
from edge.dispatcher import Dispatcher, elapsed_ms, keep_apart
from edge.gateway import Gateway
from edge.generation import FILE_NAME as GENERATION
from edge.generation import Generation, inode_of, read_generation, write_generation
from edge.routing.solve import warm
from edge.start import generation_of, start
from edge.store import FILE_NAME, Store
from edge.uplink import Uplink
from shared.ending import end
from shared.errors import PointsmanError
from shared.lock import locked
from shared.settings import make_clock

REMIND_S_MIN: Final = 15.0
REMIND_S_MAX: Final = 900.0
"""A task that no warehouse has accepted is sent again after this; each time it waits longer, so
that the queue of a warehouse that is away for a day stays short."""

UNFIT_EXPECTED: Final = "`pointsman central fence` for this edge: it then begins a new epoch"

log = structlog.get_logger()


class Daemon:
    """Wires core, gateway and uplink together.

    Raises:
        ConfigError: the store is another edge's.
        StorageError: it cannot be used.
    """

    def __init__(self, config: Config) -> None:
        """Open the store and rebuild the memory; called on the running loop, folder locked."""
        self._config = config
        self._clock = make_clock(config.clock)
        self._path = config.data_dir / FILE_NAME
        self._generation_file = config.generation_file or config.data_dir / GENERATION
        self._store = Store(self._path)
        try:
            boots = self._start_store()
        except (PointsmanError, OSError):
            self._store.close()
            raise
        now_ms, silence_ms = self._clock.now_ms(), config.health.silence_s * 1_000
        self._core = Core(config.edge_id, self._store, boots, config.log, now_ms, silence_ms)
        self._dispatcher = dispatcher = Dispatcher(self._core, self._clock)
        dispatcher.on_rejoin = self._remember
        self._reminders: dict[str, tuple[float, float]] = {}
        self._connected = asyncio.Event()
        self._gateway = dispatcher.gateway = Gateway(
            config.edge_id,
            config.lan,
            dispatcher.schedule,
            dispatcher.overflow,
            self._on_connect,
            dispatcher.lost,
        )
        self._uplink = dispatcher.uplink = Uplink(
            config.edge_id,
            config.wan,
            self._core.sync,
            elapsed_ms,
            dispatcher.idle,
            dispatcher.schedule,
        )

    def _start_store(self) -> list[str]:
        """See `edge.start`; returns the names of this process and of those known to central."""
        boots, generation = start(
            self._store,
            self._config.edge_id,
            read_generation(self._generation_file),
            inode_of(self._path),
            secrets.token_hex(8),
            self._clock.now_ms(),
        )
        if generation is not None:
            write_generation(self._generation_file, generation)
        if reason := self._store.meta("unfit"):
            log.error("store_unfit", reason=reason, expected=UNFIT_EXPECTED)
        return boots

    def _remember(self) -> None:
        """Leave the mark of a new epoch: a backup of the one before must not pass for it."""
        try:
            write_generation(self._generation_file, self._generation())
        except OSError as error:
            log.error("generation_not_written", error=str(error))

    def _generation(self) -> Generation:
        return generation_of(self._store, inode_of(self._path))

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` is set.

        Args:
            stop: ends the daemon in good order.
            on_ready: called once tills are served.
        """
        gateway = asyncio.create_task(self._gateway.run(), name="gateway")
        uplink = asyncio.create_task(self._uplink.run(), name="uplink")
        reminder = asyncio.create_task(self._remind(), name="reminder")
        keeper = asyncio.create_task(self._keep_house(), name="keeper")
        ready = asyncio.create_task(self._connected.wait(), name="ready")
        ready.add_done_callback(lambda task: None if task.cancelled() else on_ready())
        stopped = asyncio.create_task(stop.wait(), name="stop")
        running: set[asyncio.Task[Any]] = {gateway, uplink, reminder, keeper}
        try:
            futures: set[asyncio.Future[Any]] = {*running, stopped, self._dispatcher.broken}
            done, _ = await asyncio.wait(futures, return_when="FIRST_COMPLETED")
            for future in done - {stopped}:
                future.result()  # None of them ends by itself but by an error.
        finally:
            await end(*running, ready, stopped)
            await self._dispatcher.close()
            self._store.close()

    def _on_connect(self) -> None:
        self._connected.set()
        self._dispatcher.connected()

    async def _keep_house(self) -> None:
        """Let the core do its housekeeping, and remember the store's marks outside of it."""
        loop = asyncio.get_running_loop()
        written = self._generation()
        while True:
            await asyncio.sleep(HOUSEKEEPING_MS / 1000)
            self._dispatcher.schedule()
            await self._dispatcher.idle()
            generation = self._generation()
            if generation == written or self._core.engine.state.unfit:
                continue
            try:
                await loop.run_in_executor(
                    None, write_generation, self._generation_file, generation
                )
            except OSError as error:
                log.error("generation_not_written", error=str(error))
            else:
                written = generation

    async def _remind(self) -> None:
        """Send tasks again until a warehouse accepts them: the broker may have lost them."""
        while True:
            await asyncio.sleep(REMIND_S_MIN / 3)
            await self._dispatcher.idle()
            now_s = time.monotonic()
            issued = {task.task_id: task for task in self._core.reminders()}
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
