"""One edge on a disk that can lose its power, and what must be there when it returns.

Store and engine are the real ones. What was committed the box remembers apart from them, and
holds it against the file after each cut.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.sim.disk import Disk
from deploy.sim.vfs import VFS_NAME
from edge.commands import Command, FeedItem, FromDevice, FromFeed
from edge.engine import Engine
from edge.store import FILE_NAME, Store
from shared.clock import to_datetime
from shared.envelope import decode_data, decode_event, encode_event
from shared.errors import PointsmanError, StorageError
from shared.events import (
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PickRequested,
    RoutePlanned,
    ShareReturned,
)
from shared.frames import Grant
from shared.parts import CellUnits, Plan

Cell = tuple[str, str]
"""Node id, SKU."""

_RETRIES_MAX: Final = 4


@dataclass(slots=True)
class _Burst:
    """What one transaction adds: log entries, the feed's new end, answers by payment."""

    feed: int
    log: list[bytes] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)


class EdgeBox:
    """One edge, driven by hand. `start` it first.

    Args:
        edge_id: this edge.

    Attributes:
        disk: what its store is on.
        log: the entries of every commit that has returned.
        feed: number of the newest feed item whose commit has returned.
        faults: what was found wrong so far.
    """

    def __init__(self, edge_id: str) -> None:
        """See the class."""
        self.edge_id = edge_id
        self.disk = Disk()
        self.log: list[bytes] = []
        self.feed = 0
        self.faults: list[str] = []
        self._items: list[FeedItem] = []  # as central numbered them
        self._answers: dict[str, bytes] = {}
        self._under_way: _Burst | None = None  # its commit was called, and has not returned
        self._running: tuple[Store, Engine] | None = None

    @property
    def store(self) -> Store:
        """The open store."""
        assert self._running is not None, "start the box first"
        return self._running[0]

    @property
    def engine(self) -> Engine:
        """The running engine."""
        assert self._running is not None, "start the box first"
        return self._running[1]

    def start(self, now_ms: int) -> None:
        """Open the store, which may be new, and read it.

        Raises:
            StorageError: it cannot be; the power may be gone.
        """
        store = Store(self.disk.path(FILE_NAME), vfs=VFS_NAME)
        try:
            self._running = store, Engine(self.edge_id, store, now_ms)
        except StorageError:
            store.close()
            raise

    def stop(self) -> None:
        """Close the store, if it is open; with power, SQLite then tidies its log away."""
        if self._running is not None:
            self.store.close()
            self._running = None

    def close(self) -> None:
        """Stop, and throw the disk away."""
        self.stop()
        self.disk.close()

    def burst(self, commands: Iterable[Command], now_ms: int) -> None:
        """Decide some commands and make them durable in one transaction, as the daemon does.

        Raises:
            StorageError: they are not durable; the power may be gone.
        """
        burst = _Burst(self.feed)
        for command in commands:
            try:
                self._decide(burst, command, now_ms)
            except StorageError:
                raise
            except PointsmanError as error:
                if isinstance(command, FromDevice):
                    payload, at = encode_event(command.event), to_datetime(now_ms).isoformat()
                    self.store.quarantine(command.device, payload, error, at)
        for _ in range(_RETRIES_MAX):
            if (retry := self.engine.due()) is not None:
                self._decide(burst, retry, now_ms)
        self._under_way = burst
        self.store.commit()
        self._keep(burst)

    def _decide(self, burst: _Burst, command: Command, now_ms: int) -> None:
        decision = self.engine.handle(command, now_ms)
        self.store.write(decision)
        burst.log += [entry.event for entry in decision.log]
        burst.feed = decision.feed or burst.feed
        if isinstance(command, FromFeed):
            assert not isinstance(command.item, PointsmanError), command.item
            if command.number > len(self._items):
                self._items.append(command.item)
            elif command.item != self._items[command.number - 1]:
                self.faults.append(f"feed item {command.number} is another one than before")
        if isinstance(command, FromDevice):
            for send in decision.sends:
                if send.kind == OrderAccepted.kind:
                    self._answer(burst, command.event.id, send.payload)
        for follow_up in decision.after:
            self._decide(burst, follow_up, now_ms)

    def _answer(self, burst: _Burst, event_id: str, payload: bytes) -> None:
        """The same payment again gets the same answer, whatever happened in between."""
        if self._answers.get(event_id, payload) != payload:
            self.faults.append(f"payment {event_id} got two answers")
        burst.answers[event_id] = payload

    def _keep(self, burst: _Burst) -> None:
        self._under_way = None
        self.log += burst.log
        self.feed = burst.feed
        self._answers |= burst.answers

    def check(self) -> None:
        """Hold the open store's file against what was committed; `faults` has the outcome."""
        with closing(sqlite3.connect(self.disk.uri(FILE_NAME), uri=True)) as reader:
            verdict = reader.execute("pragma integrity_check").fetchone()[0]
            if verdict != "ok":
                self.faults.append(f"integrity_check: {verdict}")
                return
            tables = {
                name: reader.execute(f"select * from {name}").fetchall()  # noqa: S608  # our names
                for name in ("log", "meta", "cells", "orders", "tasks", "answers")
            }
        rows = sorted(tables["log"])
        if [row[0] for row in rows] != list(range(1, len(rows) + 1)):
            self.faults.append("the log has a gap")
        self._check_log([row[3] for row in rows], int(dict(tables["meta"]).get("feed", "0")))
        self._check_records(tables)

    def _check_log(self, found: list[bytes], feed: int) -> None:
        """All that was committed, and of what was being committed, all or nothing."""
        if self._under_way is not None:
            burst = self._under_way
            if (found, feed) == (self.log + burst.log, burst.feed):
                self._keep(burst)  # Nobody was told; the till asks again, and gets the answer.
        self._under_way = None
        if found[: len(self.log)] != self.log:
            kept = sum(entry in set(found) for entry in self.log)
            self.faults.append(f"{len(self.log) - kept} of {len(self.log)} committed are lost")
        elif (len(found), feed) != (len(self.log), self.feed):
            self.faults.append(
                f"half a burst: {len(found)} entries and feed {feed}, "
                f"committed were {len(self.log)} and {self.feed}"
            )

    def _check_records(self, tables: dict[str, list[Any]]) -> None:
        """What follows from the log stands in the other tables, and nothing else does."""
        accepted: list[tuple[str, int]] = []
        answers: list[int] = []
        tasks: list[str] = []
        cells: Counter[Cell] = Counter()
        for item in self._items[: self.feed]:
            if isinstance(item, Grant):
                _add(cells, item.cells, +1)
        for position, _, order_id, raw, _ in tables["log"]:
            match decode_data(decode_event(raw)):
                case OrderAccepted(plan=plan):
                    accepted.append((order_id, position))
                    answers.append(position)
                    _add(cells, _planned(plan), -1)
                case RoutePlanned(plan=plan, released=released):
                    _add(cells, released, +1)
                    _add(cells, _planned(plan), -1)
                case OrderParked(released=released):
                    _add(cells, released, +1)
                case OrderCancelled(released=released):
                    answers.append(position)
                    _add(cells, released, +1)
                case ShareReturned(cells=returned):
                    _add(cells, returned, -1)
                case PickRequested(task_id=task_id):
                    tasks.append(task_id)
        shares = {(node_id, sku): units for node_id, sku, units in tables["cells"]}
        for what, found, expected in (
            ("orders", sorted(row[0] for row in tables["orders"]), sorted(x for x, _ in accepted)),
            ("tasks", sorted(row[0] for row in tables["tasks"]), sorted(tasks)),
            ("answers", sorted(x[3] for x in tables["answers"] if x[3] is not None), answers),
            (
                "shares",
                {k: v for k, v in shares.items() if v},
                {k: v for k, v in cells.items() if v},
            ),
        ):
            if found != expected:
                self.faults.append(f"{what} do not follow from the log: {found} and {expected}")
        if any(units < 0 for units in shares.values()):
            self.faults.append(f"a share is below zero: {shares}")


def _planned(plan: Plan | None) -> list[CellUnits]:
    if plan is None:
        return []
    return [
        CellUnits(node_id=package.node_id, sku=line.sku, quantity=line.quantity)
        for package in plan.packages
        for line in package.lines
    ]


def _add(cells: Counter[Cell], moved: Iterable[CellUnits], sign: int) -> None:
    for cell in moved:
        cells[cell.node_id, cell.sku] += sign * cell.quantity
