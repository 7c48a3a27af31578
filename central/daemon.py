"""Central's process: start, log, stop."""

import asyncio
import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from central.config import Config
from central.core import Central
from central.database import close_database, open_database
from central.escrow import EvenPolicy
from central.link import Link
from shared.ending import end
from shared.errors import ConfigError

LOCK_NAME = "central.lock"

_log = structlog.get_logger("central.daemon")


async def serve(config: Config, stop: asyncio.Event | None = None) -> None:
    """Serve until told to stop.

    Args:
        config: central's.
        stop: set it to end; without one, SIGTERM and SIGINT do.

    Raises:
        ConfigError: the data directory cannot be used, or another central uses it.
    """
    started_s = time.monotonic()
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _locked(config.data_dir):
        connection = open_database(config.data_dir)
        try:
            central = Central(connection, EvenPolicy(config.escrow.pool_reserve))
            link = Link(config.broker, central, config.make_clock())
            serving = asyncio.create_task(link.run())
            ready = asyncio.create_task(_tell_ready(link, central, started_s))
            stopped = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()  # It never ends by itself but by an error.
            finally:
                await end(serving, ready, stopped)
        finally:
            close_database(connection)
    _log.info("stopped")


async def _tell_ready(link: Link, central: Central, started_s: float) -> None:
    await link.subscribed.wait()
    took_ms = round((time.monotonic() - started_s) * 1000)
    _log.info("ready", took_ms=took_ms, edges=len(central.edges))


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / LOCK_NAME).open("w")
    except OSError as error:
        raise ConfigError(
            f"the data directory cannot be used: {error}",
            place="data_dir",
            expected="a directory that this user may write to",
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process
        except BlockingIOError:
            raise ConfigError(
                f"another central runs on {data_dir}",
                place="data_dir",
                expected="one central per directory",
            ) from None
        yield
