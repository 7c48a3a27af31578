"""The power-cut test: a shop trades, and the power goes in the midst of a write, again and again.

The real edge and the real central, each on a disk of its own (`deploy.sim.disk`). After each
cut the program starts anew on what is left, and must find: every commit that had returned,
whole; of the one under way all or nothing; no fault that SQLite can see.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Final

from central.admin import Message
from deploy.sim.central_box import CentralBox, Item
from deploy.sim.edge_box import EdgeBox
from deploy.sim.trade import DOCUMENT, Trade
from edge.commands import Command, FromFeed
from edge.sync import read_item
from shared import topics
from shared.envelope import encode_batch
from shared.errors import ConfigError, StorageError
from shared.frames import Hello, encode_frame

POINTS_IN_A_LIFE: Final = 25
"""Cuts that one shop lives through before the next one begins, with new disks."""

_BOOT: Final = "0f" * 8
"""One name for all starts: who copies disks is not the matter here."""

_EDGE_ID: Final = "edge-1"
_START_MS: Final = 1_767_600_000_000  # 2026-01-05 08:00 UTC
_BURST_MAX: Final = 5
_BATCH_MAX: Final = 40
_SETTLING_MAX: Final = 60

_STEPS_MAX: Final = 100
"""If the operation that was to be cut has not come by then, the power goes between two."""

_HEARD: Final = 0.9
"""So often the edge hears what central says; else central says it again."""

_OPERATIONS_MAX: Final = (30, 120, 480)
"""A cut comes within so many operations: in the first commit after a start, or a later one."""

_SYNCS: Final = 0.3
_SYNCS_MAX: Final = 8
"""So many of the cuts come in a sync, and within so many syncs: there a commit may survive of
which nobody knows."""

_KEEP: Final = (0.0, 0.2, 0.5, 0.9, 1.0)
"""Of what was not synced: all is lost, some of it survives, or all of it does."""


@dataclass(slots=True)
class Report:
    """What power cuts did.

    Attributes:
        points: cuts in all.
        cuts: by place: "edge: sync edge.db-wal" to times.
        entries: log entries that were committed at the edges.
        faults: what was wrong, and in which life after how many cuts; empty: nothing.
    """

    points: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    faults: list[str] = field(default_factory=list)


def power_cuts(points: int, seed: int) -> Report:
    """Cut the power so many times, at the edge or at central, each time at a random operation.

    Args:
        points: how many cuts.
        seed: the same seed, the same cuts.

    Raises:
        NoLibraryError: this Python's SQLite cannot be reached.
    """
    report = Report()
    life = 0
    while report.points < points:
        life += 1
        shop = _Shop(Random(f"{seed}/{life}"))
        try:
            for cut in range(min(POINTS_IN_A_LIFE, points - report.points)):
                report.points += 1
                report.cuts[shop.cut()] += 1
                if faults := shop.faults():
                    report.faults += [f"life {life}, cut {cut + 1}: {x}" for x in faults]
                    break
            else:
                shop.settle()
                report.faults += [f"life {life}, at rest: {x}" for x in shop.faults()]
        except Exception as error:  # noqa: BLE001  # whatever fails after a cut is a finding
            report.faults.append(f"life {life}: {type(error).__name__}: {error}")
        finally:
            report.entries += len(shop.edge.log)
            shop.close()
    return report


class _Shop:
    """One edge, central, and the line between them."""

    def __init__(self, random: Random) -> None:
        self.edge = EdgeBox(_EDGE_ID)
        self.central = CentralBox(_EDGE_ID)
        self._random = random
        self._trade = Trade(random)
        self._now_ms = _START_MS
        self._is_new = True

    def close(self) -> None:
        self.edge.close()
        self.central.close()

    def faults(self) -> list[str]:
        return [*self.edge.faults, *self.central.faults]

    def cut(self) -> str:
        """Trade until the power goes at one of the two; start that one again, and look.

        Returns:
            Where it went.
        """
        name, box = self._random.choice((("edge", self.edge), ("central", self.central)))
        before = box.disk.cuts
        keep = self._random.choice(_KEEP)
        if self._random.random() < _SYNCS:
            count = self._random.randint(1, _SYNCS_MAX)
            box.disk.cut_after(count, self._random, keep, of="sync")
        else:
            count = self._random.randint(1, self._random.choice(_OPERATIONS_MAX))
            box.disk.cut_after(count, self._random, keep)
        if self._is_new:  # Some lives meet their first cut before there are any tables.
            self._is_new = False
            self._start(self.edge)
            self._start(self.central)
        steps = 0
        while box.disk.cuts == before:
            steps += 1
            if steps > _STEPS_MAX:  # A store that never syncs would trade for ever.
                box.disk.cut(self._random, keep)
                break
            try:
                self._step()
            except StorageError:
                if box.disk.cuts == before:
                    raise
        place = f"{name}: {box.disk.cut_in or 'between two operations'}"
        box.stop()
        self._start(box)
        self._check(box)
        return place

    def settle(self) -> None:
        """Say everything until both sides know all; then their books must agree."""
        for _ in range(_SETTLING_MAX):
            before = len(self.edge.log), self.edge.feed, self.central.acked
            self._feed(self.central.publish(DOCUMENT, self._now_ms))
            self._feed(self._talk())
            if before == (len(self.edge.log), self.edge.feed, self.central.acked):
                break
        self._check(self.edge)
        self._check(self.central)
        if self.central.acked != len(self.edge.log):
            self.central.faults.append("the ledger never has the whole log")
        shares = {(node_id, sku): units for node_id, sku, units in self.edge.store.cells()}
        for cell, units in self.central.shares().items():
            if shares.get(cell, 0) != units:
                self.central.faults.append(f"the edge holds {shares.get(cell, 0)}, not {units}")

    def _start(self, box: EdgeBox | CentralBox) -> None:
        """Start a box, however often the power goes while it starts."""
        while True:
            before = box.disk.cuts
            try:
                box.start(self._now_ms)
            except (ConfigError, StorageError):
                if box.disk.cuts == before:
                    raise
            if box.disk.cuts == before:
                return
            box.stop()

    def _check(self, box: EdgeBox | CentralBox) -> None:
        if isinstance(box, EdgeBox):
            box.check()
        else:
            box.check(self.edge.log)

    def _step(self) -> None:
        """One thing happens."""
        self._now_ms += self._random.randint(1, 5_000)
        match self._random.choices(("burst", "talk", "publish", "restart"), (60, 33, 2, 5))[0]:
            case "burst":
                count = self._random.randint(1, _BURST_MAX)
                said = [self._trade.next(self.edge.log, self._now_ms) for _ in range(count)]
                self.edge.burst(said, self._now_ms)
            case "talk":
                items = self._talk()
                if self._random.random() < _HEARD:
                    self._feed(items)
            case "publish":
                self._feed(self.central.publish(DOCUMENT, self._now_ms))
            case _:
                box = self._random.choice((self.edge, self.central))
                box.stop()
                self._start(box)

    def _talk(self) -> list[Item]:
        """The edge greets central and sends some of what central has not acknowledged.

        Returns:
            What central answers: feed items.
        """
        edge, central = self.edge, self.central
        hello = Hello(epoch=1, sequence=edge.store.last_position(), feed=edge.feed, boots=[_BOOT])
        said = [Message(topics.up(_EDGE_ID, topics.HELLO), encode_frame(hello))]
        rows = edge.store.log_after(central.acked, self._random.randint(1, _BATCH_MAX))
        if rows:
            batch = encode_batch([event for _, event in rows])
            said.append(Message(topics.up(_EDGE_ID, topics.LOG), batch))
        return central.receive(said, central.acked + len(rows), self._now_ms)

    def _feed(self, items: list[Item]) -> None:
        commands: list[Command] = [
            FromFeed(number, read_item(kind, body)) for number, kind, body in items
        ]
        if commands:
            self.edge.burst(commands, self._now_ms)
