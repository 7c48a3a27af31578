"""The stock accounts: every event as a move between the accounts of a cell. Pure.

A cell is one SKU at one node. At all times, for every cell:

    pool + sum of shares + committed + shipped == received - adjusted

Every rule below keeps that by construction: it moves units from one account to another and
makes none. Moves are sums, so they may come in any order: a warehouse's edge may report
`package.shipped` before the home edge's `order.accepted` has arrived, and `committed` is then
below zero for a while.

What an edge says of an epoch that was fenced is late: its shares are the pools' already, so
each move of its share is a move of the pool.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from central.demand import Demand
from shared.events import (
    CapacityAnnounced,
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageShipped,
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

Rule = Literal[
    "receive", "commit", "release", "miss", "counted", "ship", "leave", "leave_share", "grant",
    "return", "count",
]  # fmt: skip


class Balance(Struct):
    """The accounts of a cell apart from its shares, in units."""

    pool: int = 0
    committed: int = 0
    shipped: int = 0
    received: int = 0
    adjusted: int = 0

    def on_hand(self) -> int:
        """Units that stand at the node as the books have it."""
        return self.received - self.adjusted - self.shipped

    def add(self, move: "Balance", times: int) -> None:
        """Add a move `times` over."""
        self.pool += move.pool * times
        self.committed += move.committed * times
        self.shipped += move.shipped * times
        self.received += move.received * times
        self.adjusted += move.adjusted * times


# What one unit does to the accounts, and to the share of the edge that is concerned.
MOVES: dict[Rule, tuple[Balance, int]] = {
    "receive": (Balance(received=1, pool=1), 0),
    "grant": (Balance(pool=-1), 1),
    "return": (Balance(pool=1), -1),
    "commit": (Balance(committed=1), -1),
    "release": (Balance(committed=-1), 1),
    "miss": (Balance(committed=-1, adjusted=1), 0),
    # A count has taken the unit out of the pool before its task was found short.
    "counted": (Balance(committed=-1, pool=1), 0),
    "ship": (Balance(committed=-1, shipped=1), 0),
    "leave": (Balance(adjusted=1, pool=-1), 0),
    "leave_share": (Balance(adjusted=1), -1),
}

for _rule, (_move, _share) in MOVES.items():
    assert _move.pool + _share + _move.committed + _move.shipped == (
        _move.received - _move.adjusted
    ), _rule

Posting = tuple[Rule, Cell, int]


def fills_pool(rule: Rule, *, late: bool) -> bool:
    """Whether a posting may leave a pool with more than it had."""
    if rule == "count":
        return True
    move, share = MOVES[rule]
    return move.pool + (share if late else 0) > 0


@dataclass(slots=True)
class Book:
    """The accounts of the cells that a burst touches, and how far they have moved since loaded.

    Attributes:
        balances: what each cell holds now.
        shares: cell to edge id to units, now.
        coming: cell to edge id to units that were recalled and not answered for.
        moves: what `balances` has gained since it was loaded.
        share_moves: the same for shares, by edge id and cell.
        coming_moves: the same for what was recalled.
        demand: what each edge sells of each cell.
    """

    balances: dict[Cell, Balance] = field(default_factory=dict)
    shares: dict[Cell, dict[str, int]] = field(default_factory=dict)
    coming: dict[Cell, dict[str, int]] = field(default_factory=dict)
    moves: dict[Cell, Balance] = field(default_factory=dict)
    share_moves: dict[tuple[str, Cell], int] = field(default_factory=dict)
    coming_moves: dict[tuple[str, Cell], int] = field(default_factory=dict)
    demand: Demand = field(default_factory=Demand)

    def post(self, rule: Rule, cell: Cell, units: int, edge_id: str, *, late: bool = False) -> None:
        """Move `units` by `rule`; `edge_id` is whose share it concerns, if any.

        For the rule "count", `units` is what stands on the shelf: it overrides the book. What is
        `late` moves the pool instead of the share.
        """
        balance = self.balances.setdefault(cell, Balance())
        if rule == "count":
            # What is missing leaves the pool, below zero if need be: that debt is never granted.
            rule, units = "leave", balance.on_hand() - units
        move, share = MOVES[rule]
        balance.add(move, units)
        self.moves.setdefault(cell, Balance()).add(move, units)
        if share and late:
            to_pool = Balance(pool=share)
            balance.add(to_pool, units)
            self.moves[cell].add(to_pool, units)
        elif share:
            shares = self.shares.setdefault(cell, {})
            shares[edge_id] = shares.get(edge_id, 0) + share * units
            key = (edge_id, cell)
            self.share_moves[key] = self.share_moves.get(key, 0) + share * units

        if rule == "commit" and not late:
            self.demand.add(edge_id, cell, units)

    def recall(self, cell: Cell, units: int, edge_id: str) -> None:
        """Note that `units` of an edge's share were asked back; below zero: were answered for."""
        coming = self.coming.setdefault(cell, {})
        coming[edge_id] = coming.get(edge_id, 0) + units
        key = (edge_id, cell)
        self.coming_moves[key] = self.coming_moves.get(key, 0) + units

    def conserved(self, cell: Cell) -> bool:
        """Whether the identity holds for a cell."""
        balance = self.balances[cell]
        held = balance.pool + sum(self.shares.get(cell, {}).values())
        out = balance.committed + balance.shipped
        return held + out == balance.received - balance.adjusted


def postings(data: Data) -> list[Posting]:
    """The moves that an event means; empty for an event that moves no stock."""
    match data:
        case OrderAccepted(plan=plan):
            return _commits(plan)
        case RoutePlanned(order_id=order_id, plan=plan, released=released):
            # Without an order it is an answer to a question, and commits nothing.
            return [] if order_id is None else [*_releases(released), *_commits(plan)]
        case OrderParked(released=released) | OrderCancelled(released=released):
            return _releases(released)
        case PickShort(node_id=str() as node_id, missing=missing, counted=counted):
            rule: Rule = "counted" if counted else "miss"
            return [(rule, (node_id, line.sku), line.quantity) for line in missing]
        case PackageShipped(node_id=str() as node_id, lines=lines):
            return [("ship", (node_id, line.sku), line.quantity) for line in lines]
        case StockReceived(node_id=node_id, lines=received):
            return [("receive", (node_id, line.sku), line.quantity) for line in received]
        case StockMoved(node_id=node_id, lines=moved, from_share=cells):
            left: list[Posting] = [("leave", (node_id, line.sku), line.quantity) for line in moved]
            # What came out of the edge's share does not come out of the pool as well.
            for cell in cells:
                left.append(("leave", (node_id, cell.sku), -cell.quantity))
                left.append(("leave_share", (node_id, cell.sku), cell.quantity))
            return left
        case StockCounted(node_id=node_id, lines=shelf):
            return [("count", (node_id, line.sku), line.quantity) for line in shelf]
        case CapacityAnnounced(node_id=node_id, slots=slots):
            # A slot's packages are units like any other; what is said again replaces the book.
            return [("count", (node_id, slot_sku(x.starts_at)), x.packages) for x in slots]
        case ShareReturned(cells=back):
            return [("return", (x.node_id, x.sku), x.quantity) for x in back]
        case _:
            return []


def _commits(plan: Plan | None) -> list[Posting]:
    if plan is None:
        return []
    goods: list[Posting] = [
        ("commit", (package.node_id, line.sku), line.quantity)
        for package in plan.packages
        for line in package.lines
    ]
    return goods + [
        ("commit", (package.node_id, package.slot), 1)
        for package in plan.packages
        if package.slot is not None
    ]


def _releases(released: Iterable[CellUnits]) -> list[Posting]:
    return [("release", (cell.node_id, cell.sku), cell.quantity) for cell in released]
