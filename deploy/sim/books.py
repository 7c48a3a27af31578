"""The simulator's own books: what every log entry means, kept apart from the product's code.

Units of a cell are followed from the moment an edge's disk has them. `owed` is promised to
orders, or gone to customers; `made` is what came in, less what left, was missed or counted
away. A pool that knew everything would hold `made - owed - shares - grants under way`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.events import (
    CapacityAnnounced,
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PickShort,
    RoutePlanned,
    ShareReturned,
    StockCounted,
    StockMoved,
    StockReceived,
)
from shared.parts import CellUnits, Plan, slot_sku

Cell = tuple[str, str]
"""Node id, SKU."""

Key = tuple[int, int]
"""Epoch and sequence of a log entry."""


class ViolationError(Exception):
    """A promise was broken."""

    def __init__(self, invariant: str, detail: str) -> None:
        """See the class."""
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


class Effect(NamedTuple):
    """What an entry does to one cell: to the share of its edge, and to what is owed and made."""

    cell: Cell
    share: int
    owed: int = 0
    made: int = 0


def effects(data: Data) -> list[Effect]:
    """What an entry means for stock; a count is not here, since it depends on the book."""
    found: list[Effect] = []
    match data:
        case OrderAccepted(plan=plan):
            found = _commits(plan)
        case RoutePlanned(order_id=str(), plan=plan, released=released):
            found = [*_releases(released), *_commits(plan)]
        case OrderParked(released=released) | OrderCancelled(released=released):
            found = _releases(released)
        case PickShort(node_id=str() as node_id, missing=missing, counted=counted):
            found = [
                Effect((node_id, x.sku), 0, -x.quantity, 0 if counted else -x.quantity)
                for x in missing
            ]
        case StockReceived(node_id=node_id, lines=lines):
            found = [Effect((node_id, x.sku), 0, 0, x.quantity) for x in lines]
        case StockMoved(node_id=node_id, lines=lines, from_share=cells):
            found = [Effect((node_id, x.sku), 0, 0, -x.quantity) for x in lines]
            found += [Effect((node_id, x.sku), -x.quantity) for x in cells]
        case ShareReturned(cells=cells):
            found = [Effect((x.node_id, x.sku), -x.quantity) for x in cells]
        case _:
            pass
    return found


def late_units(data: Data, found: list[Effect]) -> dict[Cell, int]:
    """Units that an entry takes out of a share which was taken back: nothing covers them."""
    late: dict[Cell, int] = {}
    if not isinstance(data, ShareReturned):
        for effect in found:
            if effect.share < 0:
                late[effect.cell] = late.get(effect.cell, 0) - effect.share
    return late


def uncovered(data: Data, found: list[Effect]) -> dict[Cell, int]:
    """Units that leave a node beyond its edge's share: a debt, if others hold them."""
    if not isinstance(data, StockMoved):
        return {}
    left: dict[Cell, int] = {}
    for effect in found:
        left[effect.cell] = left.get(effect.cell, 0) - effect.made + effect.share
    return {cell: units for cell, units in left.items() if units > 0}


def _commits(plan: Plan | None) -> list[Effect]:
    if plan is None:
        return []
    goods = [
        Effect((package.node_id, line.sku), -line.quantity, line.quantity)
        for package in plan.packages
        for line in package.lines
    ]
    slots = [Effect((x.node_id, x.slot), -1, 1) for x in plan.packages if x.slot is not None]
    return goods + slots


def _releases(released: Iterable[CellUnits]) -> list[Effect]:
    return [Effect((x.node_id, x.sku), x.quantity, -x.quantity) for x in released]


def counts(data: Data) -> dict[Cell, int]:
    """What was counted: it overrides the book, as central has it then."""
    match data:
        case StockCounted(node_id=node_id, lines=lines):
            return {(node_id, line.sku): line.quantity for line in lines}
        case CapacityAnnounced(node_id=node_id, slots=slots):
            return {(node_id, slot_sku(slot.starts_at)): slot.packages for slot in slots}
        case _:
            return {}


@dataclass(slots=True)
class Entry:
    """A log entry that was durable once.

    Attributes:
        slack: units that it takes and that nothing covers, until central has heard of it.
        late: it is of an epoch whose shares were taken back.
        void: its disk is gone, and central does not have it.
        ingested: the ledger has it.
    """

    raw: bytes
    position: int
    data: Data
    effects: list[Effect]
    slack: dict[Cell, int] = field(default_factory=dict)
    late: bool = False
    void: bool = False
    ingested: bool = False


@dataclass(slots=True)
class EdgeBook:
    """What is known of one edge.

    Attributes:
        epoch, position: the end of its log on its disk.
        feed: it has applied the feed through here.
        said: everything that its disk has ever held.
        share: its shares, as its disk has them.
        pending: what entries of this epoch that central does not have do to shares.
        central_share: what central must have as its shares.
        coming: grants that it has not applied, by feed number.
        share_epoch: as central has it; a fence raises it.
        restored: its disk was put back, and it has not begun a new epoch since.
        newest: epoch, position and feed that a disk of it has come to which was not put back.
        ingested: the end of its stream in the ledger.
    """

    edge_id: str
    epoch: int = 1
    position: int = 0
    feed: int = 0
    starts: list[tuple[int, int]] = field(default_factory=lambda: [(1, 0)])
    said: dict[Key, Entry] = field(default_factory=dict)
    share: dict[Cell, int] = field(default_factory=dict)
    pending: dict[Cell, int] = field(default_factory=dict)
    central_share: dict[Cell, int] = field(default_factory=dict)
    coming: dict[int, list[tuple[Cell, int]]] = field(default_factory=dict)
    share_epoch: int = 0
    restored: bool = False
    newest: tuple[int, int, int] = (1, 0, 0)
    ingested: Key = (0, 0)

    @property
    def coherent(self) -> bool:
        """Whether its shares are those that central has granted and not taken back."""
        return not self.restored and (self.share_epoch in (0, self.epoch))

    def key_of(self, position: int) -> Key:
        """Epoch and sequence of a position of its log."""
        for epoch, before in reversed(self.starts):
            if position > before:
                return epoch, position - before
        raise AssertionError(position)

    def on_the_way(self) -> dict[Cell, int]:
        """Units granted and not applied."""
        units: dict[Cell, int] = {}
        for cells in self.coming.values():
            for cell, count in cells:
                units[cell] = units.get(cell, 0) + count
        return units


def add(table: dict[Cell, int], cell: Cell, units: int) -> None:
    """Add units to a cell of a table that holds no zeros."""
    total = table.get(cell, 0) + units
    if total:
        table[cell] = total
    else:
        table.pop(cell, None)
