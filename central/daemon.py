"""Central's process: start, log, stop."""

import asyncio
import re
import signal
import time
from typing import Final

import structlog

from central import keyfile, vault
from central.checkpoint import load_signer, make_key
from central.config import Config, Escrow
from central.core import Central
from central.database import Database, close_database, is_alone, let_in, open_database
from central.escrow import DemandPolicy
from central.link import Link
from central.ownership import Sole, Worker
from central.sealing import Keyring
from central.signing import Signing
from central.systems import namesake
from shared.ending import end
from shared.errors import ConfigError
from shared.lock import locked
from shared.settings import make_clock

WORKER_NAME: Final = r"[A-Za-z0-9-]{1,32}"

_log = structlog.get_logger("central.daemon")


async def serve(config: Config, stop: asyncio.Event | None = None, worker: str = "") -> None:
    """Serve until told to stop.

    Args:
        config: central's.
        stop: set it to end; without one, SIGTERM and SIGINT do.
        worker: its name among several that share the edges of one PostgreSQL database; empty: it
            is the only one.

    Raises:
        ConfigError: the data directory cannot be used, or another central uses it; or the
            vault's key file is not the one of its database, or has a new key for a database that
            others use; or a system has an edge's name.
    """
    started_s = time.monotonic()
    if worker and not re.fullmatch(WORKER_NAME, worker):
        raise ConfigError(
            f"{worker[:100]!r} is no name of a worker",
            place="--worker",
            expected="up to 32 letters, digits and hyphens",
        )
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with locked(config.data_dir / "workers" / worker if worker else config.data_dir):
        connection = open_database(config.location, shared=bool(worker))
        try:
            keyring, wiped = _keyring(config, connection)
            make_key(config.key_file)
            signing = Signing(
                connection,
                load_signer(config.key_file),
                events=config.checkpoints.events,
                every_ms=round(config.checkpoints.minutes * 60_000),
                at_start=True,
            )
            policy = _policy(config.escrow)
            if worker:
                let_in(connection)
            central = Central(
                connection, policy, keyring, past_orders=config.past_orders, signing=signing,
                systems=config.driven, ownership=Worker() if worker else Sole(), wiped=wiped,
            )  # fmt: skip
            _check_names(central)
            link = Link(config.broker, central, make_clock(config.clock), worker)
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


def _check_names(central: Central) -> None:
    name = namesake(central.systems, central.edges)
    if name is not None:
        raise ConfigError(
            f"the system {name!r} and the edge {name!r} have one name: that edge would not be "
            "heard",
            place=f"systems.{name}",
            expected="another name for the system, here and at the broker",
        )


def _keyring(config: Config, connection: Database) -> tuple[Keyring, bool]:
    path = config.vault_key
    keyring = keyfile.open_keyring(path, fresh=vault.is_empty(connection))
    if keyring.rotating and not is_alone(connection):
        raise ConfigError(
            "the key file has a new key, and other workers still seal by the old one",
            place="vault_key_file",
            expected="all workers stopped before one is started with a new key",
        )
    wiped = vault.prepare(connection, keyring)
    if keyring.rotating:
        keyfile.drop_old(path)
    return keyring, wiped


def _policy(escrow: Escrow) -> DemandPolicy:
    half_life_ms = max(1, round(escrow.half_life_days * 24 * 3_600_000))
    return DemandPolicy(escrow.pool_reserve, escrow.floor_units, half_life_ms)


async def _tell_ready(link: Link, central: Central, started_s: float) -> None:
    await link.subscribed.wait()
    took_ms = round((time.monotonic() - started_s) * 1000)
    _log.info("ready", took_ms=took_ms, edges=len(central.edges))
