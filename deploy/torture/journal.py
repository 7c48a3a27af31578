"""The till's own record: what it was answered, on its own disk before it goes on selling."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from deploy.demo.records import Receipt


class Line(Struct, frozen=True):
    """A payment that was answered `order.accepted`, as the till keeps it."""

    source: str
    event_id: str
    order_id: str


class Journal:
    """A file that only grows, a line of JSON for each answered payment, synced.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self._path = path
        self._lines: asyncio.Queue[Line] = asyncio.Queue()

    def note(self, receipt: Receipt) -> None:
        """A payment was answered."""
        assert receipt.order_id is not None
        self._lines.put_nowait(Line(receipt.source, receipt.event_id, receipt.order_id))

    async def keep(self) -> None:
        """Write what is noted, until cancelled."""
        with self._path.open("ab") as file:
            while True:
                lines = [await self._lines.get()]
                while not self._lines.empty():
                    lines.append(self._lines.get_nowait())
                await asyncio.to_thread(_append, file, lines)
                for _ in lines:
                    self._lines.task_done()

    async def kept(self) -> None:
        """Wait until everything that was noted is on the disk."""
        await self._lines.join()


def read(path: Path) -> list[Line]:
    """What the tills have written down."""
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]


def _append(file: BinaryIO, lines: list[Line]) -> None:
    file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    file.flush()
    os.fsync(file.fileno())
