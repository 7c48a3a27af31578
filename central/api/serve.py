"""The API's process: start, log, stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn

from central.api.app import make_app
from central.api.changes import Changes
from central.api.envelope import Envelope
from central.api.readers import Readers
from central.api.service import Service
from central.api.till import Till
from central.api.tokens import Tokens, load_tokens
from central.config import Config
from central.database import open_reader
from central.link import LinkError, read_contact
from shared.ending import end
from shared.errors import ConfigError
from shared.mqtt import NO_DELAY
from shared.parts import Contact
from shared.settings import make_clock

CONNECTIONS_MAX: Final = 512
CONTACT_S_MAX: Final = 5.0
STOP_S_MAX: Final = 5

_log = structlog.get_logger("central.api")


async def serve(config: Config, stop: asyncio.Event | None = None) -> None:
    """Serve until told to stop.

    Args:
        config: central's.
        stop: set it to end; without one, SIGTERM and SIGINT do.

    Raises:
        ConfigError: the address cannot be used, or the file of tokens.
    """
    started_s = time.monotonic()
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    load_tokens(config.tokens_file)
    listening = _listen(config)
    readers = Readers(lambda: open_reader(config.location))
    try:
        changes = Changes(readers, config.api.streams_max)
        till = None if config.api.lan is None else Till(config.api.lan, config.api.device)
        service = Service(
            readers,
            changes,
            Vault(config),
            till,
            make_clock(config.clock),
            config.api.answer_s,
            config.driven,
        )
        server = _Server(_settings(service, config))
        tasks = [asyncio.create_task(changes.run())]
        if till is not None:
            tasks.append(asyncio.create_task(till.run()))
        serving = asyncio.create_task(server.serve([listening]))
        ready = asyncio.create_task(_tell_ready(server, listening, started_s))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
            # Streams have no end of their own, and the server waits for them.
            await changes.close()
            server.should_exit = True
            await serving
        finally:
            await end(serving, ready, stopped, *tasks)
    finally:
        readers.close()
        listening.close()
    _log.info("stopped")


class Vault:
    """Asks the running central for contacts, one at a time: its answers name no request.

    Args:
        config: central's own.
    """

    def __init__(self, config: Config) -> None:
        """See the class."""
        self._config = config
        self._one = asyncio.Lock()

    async def __call__(self, by: str, order_id: str) -> Contact:
        """The contact of an order; see `central.link.read_contact`.

        Raises:
            PointsmanError: there is none, or central does not answer in time.
        """
        try:
            async with asyncio.timeout(CONTACT_S_MAX), self._one:
                return await read_contact(self._config, by, order_id, timeout_s=CONTACT_S_MAX)
        except TimeoutError:
            raise LinkError(
                f"no answer within {CONTACT_S_MAX:g} s", place="broker",
                expected="a running central",
            ) from None  # fmt: skip


class _Server(uvicorn.Server):
    """Signals are ours to handle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them as they are."""
        yield


class _Relay(logging.Handler):
    """What the server logs, as the rest: one JSON object a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        _log.log(record.levelno, "server", detail=record.getMessage())


def _settings(service: Service, config: Config) -> uvicorn.Config:
    relay = _Relay(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [relay] if name == "uvicorn" else [], name != "uvicorn"
    return uvicorn.Config(
        Envelope(make_app(service, Tokens(config.tokens_file))),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_S_MAX,
    )


def _listen(config: Config) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in config.api.host else socket.AF_INET
        listening = socket.create_server((config.api.host, config.api.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"{config.api.host}:{config.api.port} cannot be listened on: {error}",
            place="api.port", expected="an address of this machine and a port that is free",
        ) from None  # fmt: skip

    # Connections inherit it. asyncio sets it itself, but not on those of a socket made like this,
    # and without it each answer waits 40 ms for an acknowledgement.
    listening.setsockopt(*NO_DELAY)
    return listening


async def _tell_ready(server: uvicorn.Server, listening: socket.socket, started_s: float) -> None:
    while not server.started:  # noqa: ASYNC110  # the server tells it in no other way
        await asyncio.sleep(0.01)
    host, port = listening.getsockname()[:2]
    took_ms = round((time.monotonic() - started_s) * 1000)
    _log.info("ready", host=host, port=port, took_ms=took_ms)
