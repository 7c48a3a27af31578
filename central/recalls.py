"""Recalls: whose units are asked back, when somebody else needs them. Pure.

A recall is a request: the edge returns what it still holds. What was asked of an edge that has
not been heard lately does not count as on its way, so that others are asked too; but nobody is
asked for more than the share that is not recalled yet.
"""

from collections.abc import Callable
from typing import Final

from central.accounts import Book, Cell

Recalls = dict[str, dict[Cell, int]]
"""Edge id to cell to units that it shall return."""

Target = Callable[[str, Cell], int]
"""What an edge should hold of a cell."""

SURPLUS: Final = 2
"""A share gives to others only above so many times its target, and down to it: what has moved
once does not move back."""

STEPS_MAX: Final = 8
"""Into so many steps a large need is cut, so that several shares bear it."""


def pay_debts(book: Book, present: frozenset[str], target: Target, recalls: Recalls) -> None:
    """Where a pool is below zero, recall the debt from the cell's shares, heard edges first."""
    for cell, balance in sorted(book.balances.items(), key=lambda item: item[0]):
        need = -balance.pool - coming(book, present, cell) if balance.pool < 0 else 0
        for heard in (True, False):
            spare = {
                edge_id: units
                for edge_id, share in book.shares.get(cell, {}).items()
                if (edge_id in present) == heard
                and (units := share - book.coming.get(cell, {}).get(edge_id, 0)) > 0
            }
            need -= take(book, cell, need, spare, target, recalls)


def level(
    book: Book,
    present: frozenset[str],
    cell: Cell,
    lacking: int,
    targets: dict[str, int],
    recalls: Recalls,
) -> None:
    """Recall for shares that have run low what others have far too much of."""
    lacking -= coming(book, present, cell)
    held = sorted(book.shares.get(cell, {}).items(), key=lambda item: (-item[1], item[0]))
    for edge_id, share in held:
        target = targets.get(edge_id, 0)
        spare = share - book.coming.get(cell, {}).get(edge_id, 0) - target
        if lacking > 0 and edge_id in present and spare > max(1, (SURPLUS - 1) * target):
            units = min(lacking, spare)
            _ask_back(book, recalls, edge_id, cell, units)
            lacking -= units


def take(
    book: Book, cell: Cell, need: int, spare: dict[str, int], target: Target, recalls: Recalls
) -> int:
    """Recall units of a cell from the shares that are fullest for what they should hold.

    Args:
        book: told what is on its way.
        cell: whose units.
        need: how many; none if it is not above zero.
        spare: edge id to units that may be taken of its share.
        target: what an edge should hold.
        recalls: filled.

    Returns:
        How many were asked for.
    """
    left = dict(spare)
    aims = {edge_id: max(1, target(edge_id, cell)) for edge_id in left}
    step = max(1, need // STEPS_MAX)
    asked = 0
    while asked < need and any(left.values()):
        _, edge_id = max((units / aims[edge_id], edge_id) for edge_id, units in left.items())
        units = min(need - asked, step, left[edge_id])
        left[edge_id] -= units
        asked += units
        _ask_back(book, recalls, edge_id, cell, units)
    return asked


def coming(book: Book, present: frozenset[str], cell: Cell) -> int:
    """Units of a cell that were recalled from edges that are heard."""
    asked = book.coming.get(cell, {})
    return sum(units for edge_id, units in asked.items() if edge_id in present)


def _ask_back(book: Book, recalls: Recalls, edge_id: str, cell: Cell, units: int) -> None:
    book.recall(cell, units, edge_id)
    asked = recalls.setdefault(edge_id, {})
    asked[cell] = asked.get(cell, 0) + units
