"""The escrow policy: how much of each cell an edge may promise alone. Pure, and replaceable.

Everything that central knows enters as arguments, grants come out, and the only effect is on
the book: the pool is debited here, before anything is sent.
"""

from collections.abc import Iterable
from typing import Protocol
from zlib import crc32

from central.accounts import Balance, Book, Cell
from central.desk import Waiting
from central.territory import Territory

Grants = dict[str, dict[Cell, int]]
"""Edge id to cell to units that it may promise from now on, in addition."""


class Policy(Protocol):
    """What a policy has to answer."""

    def relieve(self, book: Book, waiting: Iterable[Waiting], grants: Grants) -> list[Waiting]:
        """Grant what parked lines wait for, as far as pools have it. Returns those helped."""
        ...

    def settle(
        self, book: Book, territory: Territory, cells: Iterable[Cell], grants: Grants
    ) -> None:
        """Share out the cells that a burst has moved."""
        ...


class EvenPolicy:
    """Stores' stock to their home edge; a distribution centre's evenly over all edges.

    Args:
        pool_reserve: fraction of a distribution centre's free units (pool and shares) that
            stays in the pool. Only parked lines may dip into it.
    """

    def __init__(self, pool_reserve: float) -> None:
        """See the class."""
        assert 0 <= pool_reserve <= 1, pool_reserve
        self._pool_reserve = pool_reserve

    def relieve(self, book: Book, waiting: Iterable[Waiting], grants: Grants) -> list[Waiting]:
        """Grant what parked lines lack, oldest order first, from the fullest pools first."""
        lacking = [line for line in waiting if line.lacking() > 0]
        if not lacking:
            return []
        cells_of: dict[str, list[Cell]] = {}
        for cell in book.balances:
            cells_of.setdefault(cell[1], []).append(cell)
        before = {(line.order_id, line.line): line.granted for line in lacking}
        # Order ids begin with their time.
        for line in sorted(lacking, key=lambda line: (line.order_id, line.line)):
            while line.lacking() > 0:
                pools = [(book.balances[cell].pool, cell) for cell in cells_of.get(line.sku, [])]
                pool, fullest = max(pools, default=(0, ("", "")))
                if pool <= 0:
                    break
                units = min(line.lacking(), pool)
                _grant(book, grants, line.edge_id, fullest, units)
                line.granted += units
        return [line for line in lacking if line.granted > before[line.order_id, line.line]]

    def settle(
        self, book: Book, territory: Territory, cells: Iterable[Cell], grants: Grants
    ) -> None:
        """Fill shares where stock arrived; elsewhere top up the share that has run low."""
        for cell in sorted(cells):
            pool = book.balances[cell].pool
            kind = territory.kinds.get(cell[0])
            if pool <= 0 or kind is None:
                continue  # a debt is never granted; an unknown node waits for its network
            if kind == "store":
                _grant(book, grants, territory.home[cell[0]], cell, pool)
            else:
                self._spread(book, territory.edges, cell, grants)

    def _spread(self, book: Book, edges: tuple[str, ...], cell: Cell, grants: Grants) -> None:
        shares = book.shares.get(cell, {})
        free = book.balances[cell].pool + sum(shares.values())
        reserve = int(max(free, 0) * self._pool_reserve)
        filling = book.moves.get(cell, Balance()).received > 0 or not any(shares.values())
        # Units that do not divide evenly go to other edges in each cell, always the same ones.
        turn = crc32("\0".join(cell).encode()) % len(edges)
        even, rest = divmod(max(free - reserve, 0), len(edges))
        wants = []
        for place, edge_id in enumerate((*edges[turn:], *edges[:turn])):
            target = even + (place < rest)
            share = shares.get(edge_id, 0)
            if filling:
                wants.append((share, place, edge_id, target - share))
            elif share * 4 < target:
                wants.append((share, place, edge_id, -(-target // 2) - share))
        for _, _, edge_id, want in sorted(wants):
            units = min(want, book.balances[cell].pool - reserve)
            if units > 0:
                _grant(book, grants, edge_id, cell, units)


def _grant(book: Book, grants: Grants, edge_id: str, cell: Cell, units: int) -> None:
    assert 0 < units <= book.balances[cell].pool, (cell, units)
    book.post("grant", cell, units, edge_id)
    granted = grants.setdefault(edge_id, {})
    granted[cell] = granted.get(cell, 0) + units
