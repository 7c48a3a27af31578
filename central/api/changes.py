"""The ledger as it grows, as server-sent events (WHATWG HTML, section 9.2).

Each client is read for from its own position, a part at a time, and only when it has taken what
came before: so nothing piles up for one that is slow. One that takes nothing at all is cut off
(`central.api.envelope`) and resumes from `Last-Event-ID`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import msgspec
import structlog

from central import queries
from central.api.entries import entry_of
from central.api.problems import ProblemError
from central.api.readers import Readers
from central.database import Database
from central.history import last_archived
from central.ledger import last_position
from shared.errors import PointsmanError

POLL_S: Final = 0.25
HEARTBEAT_S: Final = 15.0
ENTRIES_MAX: Final = 200
"""Positions that are looked at in one transaction."""

_log = structlog.get_logger("central.api")


class Wanted(NamedTuple):
    """What a client follows.

    Attributes:
        whole: entries with customer and place.
    """

    type: str | None
    order_id: str | None
    whole: bool


class Changes:
    """All who follow the ledger.

    Args:
        readers: of the database.
        streams_max: how many may follow at once.
        heartbeat_s: how often one hears something at least.
    """

    def __init__(
        self, readers: Readers, streams_max: int, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        """See the class."""
        self._readers = readers
        self._streams_max = streams_max
        self._heartbeat_s = heartbeat_s
        self._streams = 0
        self._end = 0
        self._moved = asyncio.Condition()
        self._closing = False

    async def run(self) -> None:
        """Look where the ledger ends, for all. Ends when cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._streams:
                try:
                    await self._look()
                except PointsmanError as error:
                    _log.warning("ledger_not_followed", code=error.code)

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        async with self._moved:
            self._moved.notify_all()

    async def begin(self, after: int | None) -> int:
        """Where a stream begins: after a position, or at the end.

        Raises:
            ProblemError: 400, the ledger is not so long; 410, what follows is in archive files;
                503, too many follow it.
        """
        if self._streams >= self._streams_max:
            raise ProblemError(
                503, "overloaded", f"{self._streams} follow the ledger already",
                place="request", expected="later",
            )  # fmt: skip
        end = await self._look()
        if after is not None and after > end:
            raise ProblemError(
                400, "invalid_parameter", f"the ledger ends at {end}", place="Last-Event-ID",
                expected=f"a position through {end}; after a restored backup, begin anew",
            )  # fmt: skip
        if after is None:
            return end
        await self._readers.read(lambda db: _require_there(db, after))
        return after

    async def follow(self, after: int, wanted: Wanted) -> AsyncIterator[bytes]:
        """Entries after a position, as they come, for ever."""
        with self._counted():
            yield b": the ledger after %d\n\n" % after
            while not self._closing:
                if after >= self._end and not await self._wait(after):
                    # The id moves a filtered client on, though there was nothing for it.
                    yield b": heartbeat\nid: %d\n\n" % after
                    continue
                through = min(after + ENTRIES_MAX, self._end)
                try:
                    found = await self._readers.read(
                        lambda db, a=after, t=through: _part(db, a, t, wanted)  # type: ignore[misc]
                    )
                except PointsmanError as error:
                    _log.warning("ledger_not_followed", code=error.code)
                    return  # the client comes again
                after = through
                if found:
                    yield found

    async def _look(self) -> int:
        end = await self._readers.read(last_position)
        async with self._moved:
            if end != self._end:
                self._end = end
                self._moved.notify_all()
        return end

    async def _wait(self, after: int) -> bool:
        """Until the ledger is longer; False: not for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s), self._moved:
                await self._moved.wait_for(lambda: self._closing or self._end > after)
        return self._closing or self._end > after

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def _require_there(db: Database, after: int) -> None:
    """See that what follows a position is in the ledger.

    Raises:
        ProblemError: 410.
    """
    archived = last_archived(db)
    if after < archived:
        raise ProblemError(
            410, "archived", f"entries through position {archived} are in archive files",
            place="after", expected=f"{archived} or more: the ledger goes on from {archived + 1}",
        )  # fmt: skip


def _part(db: Database, after: int, through: int, wanted: Wanted) -> bytes:
    _require_there(db, after)
    rows = queries.entries_between(db, after, through, type_=wanted.type, order_id=wanted.order_id)
    return b"".join(
        b"id: %d\nevent: %s\ndata: %s\n\n"
        % (row.position, _name(row.type), msgspec.json.encode(entry_of(row, whole=wanted.whole)))
        for row in rows
    )


def _name(type_: str | None) -> bytes:
    # A type that an edge made up could have a line's end in it.
    return "".join(x for x in type_ or "unreadable" if x.isprintable()).encode()
