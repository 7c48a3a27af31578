"""The process that follows the ledger: webhooks, and events for integrators."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Protocol

import structlog

from central.config import Config
from central.database import close_database, open_reader
from central.followers.republish import FOLLOWER, Republisher
from central.followers.signatures import read_secrets
from central.followers.store import FILE_NAME, FOLDER, Store, open_store
from central.followers.tail import Tail
from central.followers.webhooks import Worker
from shared.clock import SystemClock
from shared.ending import end
from shared.errors import PointsmanError
from shared.lock import locked
from shared.mqtt import BACKOFF_S_MAX

_log = structlog.get_logger("central.follow")


class Follower(Protocol):
    """What runs until it is cancelled, or a database or a secret fails."""

    @property
    def name(self) -> str:
        """For the log."""

    async def run(self) -> None:
        """Raises a PointsmanError if it cannot go on now."""


def open_followers(config: Config, *, daemon: bool = False) -> Store:
    """The followers' database of a central.

    Raises:
        ConfigError: it cannot be used.
    """
    place = config.location
    if isinstance(place, Path):
        place = place / FOLDER / FILE_NAME
    return open_store(place, daemon=daemon)


def first_needed(config: Config) -> tuple[int, str] | None:
    """The lowest position of the ledger that a configured follower still needs, and whose it is.

    One that is new needs all if it begins with the first event, and nothing if with the next.

    Raises:
        ConfigError: the followers' database cannot be used.
        StorageError: it failed.
    """
    begins = {webhook.name: webhook.begin for webhook in config.webhooks}
    if config.republish.kinds:
        begins[FOLLOWER] = config.republish.begin
    store = open_followers(config)
    try:
        known = store.needed()
    finally:
        store.close()
    found = {name: 1 for name, begin in begins.items() if begin == "first"}
    found |= {name: position for name, position in known.items() if name in begins}
    if not found:
        return None
    position, name = min((position, name) for name, position in found.items())
    return position, "[republish]" if name == FOLLOWER else f"webhook {name}"


async def follow(config: Config, stop: asyncio.Event | None = None) -> None:
    """Follow until told to stop.

    Args:
        config: central's.
        stop: set it to end; without one, SIGTERM and SIGINT do.

    Raises:
        ConfigError: there is no ledger, a secret cannot be used, or another process follows.
    """
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for webhook in config.webhooks:
        read_secrets(webhook.secret_file)
    with locked(config.data_dir / FOLDER):
        reader = open_reader(config.location)
        try:
            store = open_followers(config, daemon=True)
            try:
                followers: list[Follower] = [
                    Worker(webhook, store, Tail(reader), SystemClock(), random.random)
                    for webhook in config.webhooks
                ]
                if config.republish.kinds:
                    followers.append(Republisher(config, store, Tail(reader)))
                _log.info("ready", followers=[follower.name for follower in followers])
                await _until(stop, followers)
            finally:
                store.close()
        finally:
            close_database(reader)
    _log.info("stopped")


async def _until(stop: asyncio.Event, followers: list[Follower]) -> None:
    tasks = [asyncio.create_task(_steadily(follower)) for follower in followers]
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # None ends by itself but by an error of ours.
    finally:
        await end(*tasks, stopped)


async def _steadily(follower: Follower) -> None:
    """Run a follower again and again: a full disk, or a secret that is wrong now, may pass."""
    while True:
        try:
            await follower.run()
        except PointsmanError as error:
            _log.error("follower_failed", follower=follower.name, detail=str(error))
        await asyncio.sleep(BACKOFF_S_MAX)
