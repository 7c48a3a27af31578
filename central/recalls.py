"""Recalls: whose units are asked back, when somebody else needs them. Pure.

A recall is a request: the edge returns what it still holds. What was asked of an edge that has
not been heard lately does not count as on its way, so that others are asked too; but nobody is
asked for more than the share that is not recalled yet.
"""

from collections.abc import Callable, Iterable
from typing import Final

from central.accounts import Book, Cell
from central.desk import Waiting

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
    """Where a pool is below zero, recall the debt from the cell's shares."""
    for cell, balance in sorted(book.balances.items(), key=lambda item: item[0]):
        if balance.pool < 0:
            _recall(book, present, [cell], -balance.pool, target, recalls)


def find_units(
    book: Book,
    present: frozenset[str],
    waiting: Iterable[Waiting],
    target: Target,
    recalls: Recalls,
) -> None:
    """Recall what parked lines lack, oldest order first.

    What an edge was granted for an older line is not taken for a younger one.
    """
    cells_of: dict[str, list[Cell]] = {}
    for cell in book.balances:
        cells_of.setdefault(cell[1], []).append(cell)
    # What is on its way helps the first that lack it; what pays a debt helps nobody.
    used: dict[Cell, int] = {
        cell: -balance.pool for cell, balance in book.balances.items() if balance.pool < 0
    }
    kept: dict[tuple[str, str], int] = {}
    for line in sorted(waiting, key=lambda line: (line.order_id, line.line)):
        place = (line.edge_id, line.sku)
        kept[place] = kept.get(place, 0) + line.granted
        need = line.lacking()
        cells = sorted(x for x in cells_of.get(line.sku, []) if line.node_id in (None, x[0]))
        if not need or not cells:
            continue
        for cell in cells:
            part = min(need, max(0, _coming(book, present, cell) - used.get(cell, 0)))
            used[cell] = used.get(cell, 0) + part
            need -= part
        for cell, units in _take(book, present, cells, need, target, recalls, line.edge_id, kept):
            if units:
                used[cell] = used.get(cell, 0) + units


def level(
    book: Book,
    present: frozenset[str],
    cell: Cell,
    lacking: int,
    targets: dict[str, int],
    recalls: Recalls,
) -> None:
    """Recall for shares that have run low what others have far too much of."""
    lacking -= _coming(book, present, cell)
    held = sorted(book.shares.get(cell, {}).items(), key=lambda item: (-item[1], item[0]))
    for edge_id, share in held:
        target = targets.get(edge_id, 0)
        spare = share - book.coming.get(cell, {}).get(edge_id, 0) - target
        if lacking > 0 and edge_id in present and spare > max(1, (SURPLUS - 1) * target):
            units = min(lacking, spare)
            _ask_back(book, recalls, edge_id, cell, units)
            lacking -= units


def _recall(
    book: Book,
    present: frozenset[str],
    cells: list[Cell],
    need: int,
    target: Target,
    recalls: Recalls,
) -> None:
    need -= sum(_coming(book, present, cell) for cell in cells)
    _take(book, present, cells, need, target, recalls, None, {})


def _take(
    book: Book,
    present: frozenset[str],
    cells: list[Cell],
    need: int,
    target: Target,
    recalls: Recalls,
    but: str | None,
    kept: dict[tuple[str, str], int],
) -> list[tuple[Cell, int]]:
    """Recall `need` units from the fullest shares; what comes, by cell.

    Nothing is taken of the share of the edge `but`, nor what is `kept` for an edge and SKU.
    """
    holders = {
        (edge_id, cell): share
        - book.coming.get(cell, {}).get(edge_id, 0)
        - kept.get((edge_id, cell[1]), 0)
        for cell in cells
        for edge_id, share in book.shares.get(cell, {}).items()
        if edge_id != but
    }
    aims = {(edge_id, cell): max(1, target(edge_id, cell)) for edge_id, cell in holders}
    step = max(1, need // STEPS_MAX)
    taken: list[tuple[Cell, int]] = []
    while need > 0:
        spare = [
            (key[0] in present, units / aims[key], key)
            for key, units in holders.items()
            if units > 0
        ]
        if not spare:
            break
        heard, _, key = max(spare)
        units = min(need, step, holders[key])
        holders[key] -= units
        need -= units
        _ask_back(book, recalls, *key, units)
        taken.append((key[1], units if heard else 0))
    return taken


def _coming(book: Book, present: frozenset[str], cell: Cell) -> int:
    coming = book.coming.get(cell, {})
    return sum(units for edge_id, units in coming.items() if edge_id in present)


def _ask_back(book: Book, recalls: Recalls, edge_id: str, cell: Cell, units: int) -> None:
    book.recall(cell, units, edge_id)
    asked = recalls.setdefault(edge_id, {})
    asked[cell] = asked.get(cell, 0) + units
