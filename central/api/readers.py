"""Threads that read the database, each over a connection of its own: the loop never waits."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from central.database import Database, close_database, transaction
from shared.errors import OverloadedError, PointsmanError, StorageError

THREADS: Final = 4
WAITING_MAX: Final = 256
"""Requests that wait for a thread; more are refused."""

T = TypeVar("T")

_log = structlog.get_logger("central.api")


class _Job(NamedTuple):
    read: Callable[[Database], Any]
    future: "Future[Any]"


class Readers:
    """A small pool.

    Args:
        connect: opens a connection that only reads; called in each thread when it is needed.
        threads: how many.
    """

    def __init__(self, connect: Callable[[], Database], threads: int = THREADS) -> None:
        """See the class."""
        self._connect = connect
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING_MAX)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    async def read(self, read: Callable[[Database], T]) -> T:
        """Read in one transaction: all of it is of one moment.

        Raises:
            OverloadedError: too many wait already.
            StorageError: the database could not do it.
            ConfigError: there is no database yet, or it is of another version.
        """
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait(_Job(read, future))
        except queue.Full:
            raise OverloadedError(
                "too many requests wait for the database", place="request", expected="later"
            ) from None
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads, each with its connection."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        connection: Database | None = None
        while (job := self._jobs.get()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue  # whoever has asked is gone
            try:
                if connection is None:
                    connection = self._connect()
                with transaction(connection) as reading:
                    job.future.set_result(job.read(reading))
            except StorageError as error:
                _log.error("not_read", detail=str(error))
                # A connection that has failed once may be broken for good; PostgreSQL's are.
                _close(connection)
                connection = None
                job.future.set_exception(error)
            except PointsmanError as error:
                job.future.set_exception(error)
            except Exception as error:  # noqa: BLE001  # handed to who has asked; the thread lives
                job.future.set_exception(error)
        _close(connection)


def _close(connection: Database | None) -> None:
    if connection is not None:
        close_database(connection)
