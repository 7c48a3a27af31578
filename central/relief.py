"""Relief: units for orders that wait, each need whole and at one node. Pure.

What waits is a group of lines that one node must have altogether (often it is one line). A
need is served, the oldest first, from the first of these that will do:

1. units that its edge holds already at one of the nodes, and no older need of it wants;
2. pools;
3. pools and what other edges can return, apart from what older needs of theirs want.

Nothing is remembered of one round for the next: what an edge was granted is in its share, what
it was asked for is on its way, and both count again. So a lost word, an edge that is away, or
units that went to another order need no mending.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from central import recalls
from central.accounts import Book, Cell
from central.desk import Waiting
from central.recalls import Recalls, Target

Grants = dict[str, dict[Cell, int]]
"""Edge id to cell to units that it may promise from now on, in addition."""


@dataclass(frozen=True, slots=True)
class Need:
    """Lines of an order that one node must have altogether.

    Attributes:
        edge_id: who keeps the order.
        age: orders needs; the smallest is the oldest.
        units: SKU to units.
        nodes: those that would do, the best first.
    """

    edge_id: str
    age: tuple[str, int]
    units: dict[str, int]
    nodes: tuple[str, ...]

    def at(self, node_id: str) -> dict[Cell, int]:
        """Units of the cells of a node."""
        return {(node_id, sku): units for sku, units in self.units.items()}

    def cells(self) -> list[Cell]:
        """The cells that could help."""
        return [(node_id, sku) for node_id in self.nodes for sku in self.units]


def needs_of(waiting: Iterable[Waiting]) -> list[Need]:
    """What lines that wait need, the oldest first; lines that no stock could help are left out."""
    groups: dict[tuple[str, int], list[Waiting]] = {}
    for line in waiting:
        if line.group >= 0 and line.nodes:
            groups.setdefault((line.order_id, line.group), []).append(line)
    needs = []
    for age, lines in sorted(groups.items()):
        units: dict[str, int] = {}
        for line in lines:
            units[line.sku] = units.get(line.sku, 0) + line.units
        # Order ids begin with their time.
        needs.append(Need(lines[0].edge_id, age, units, tuple(lines[0].nodes.split())))
    return needs


@dataclass(slots=True)
class Relief:
    """One round.

    Args:
        book: accounts of all cells of all needs.
        present: edges that were heard lately: they do what they are asked.
        kept: nodes whose pools nobody may have.
        target: what an edge should hold of a cell.
        grants, recalls: filled.
    """

    book: Book
    present: frozenset[str]
    kept: frozenset[str]
    target: Target
    grants: Grants
    recalls: Recalls
    _wanted: dict[tuple[str, Cell], int] = field(default_factory=dict)
    _awaited: dict[Cell, int] = field(default_factory=dict)
    _reach: dict[Cell, int] = field(default_factory=dict)

    def serve(self, need: Need, *, recall: bool = True) -> None:
        """Find units for a need; `recall` also those of other edges."""
        # Thousands may wait for what is nowhere: they must cost little.
        hopeful = [
            cells
            for cells in map(need.at, need.nodes)
            if all(self._others(need.edge_id, cell, units) for cell, units in cells.items())
        ]
        for ways in (self._own, self._pool, *([self._others] if recall else [])):
            for cells in hopeful:
                if all(ways(need.edge_id, cell, units) for cell, units in cells.items()):
                    self._take(need.edge_id, cells)
                    return

    def _free(self, edge_id: str, cell: Cell) -> int:
        """Units of an edge's share that no older need wants."""
        share = self.book.shares.get(cell, {}).get(edge_id, 0)
        asked = self.book.coming.get(cell, {}).get(edge_id, 0)
        return max(0, share - asked - self._wanted.get((edge_id, cell), 0))

    def _own(self, edge_id: str, cell: Cell, units: int) -> bool:
        return self._free(edge_id, cell) >= units

    def _in_pool(self, cell: Cell) -> int:
        balance = self.book.balances.get(cell)
        return 0 if balance is None or cell[0] in self.kept else max(0, balance.pool)

    def _pool(self, edge_id: str, cell: Cell, units: int) -> bool:
        return self._free(edge_id, cell) + self._in_pool(cell) >= units

    def _on_its_way(self, cell: Cell) -> int:
        """Units that were recalled, will come, and neither a debt nor an older need wants."""
        balance = self.book.balances.get(cell)
        debt = max(0, -balance.pool) if balance is not None else 0
        coming = recalls.coming(self.book, self.present, cell)
        return max(0, coming - debt - self._awaited.get(cell, 0))

    def _others(self, edge_id: str, cell: Cell, units: int) -> bool:
        if cell[0] in self.kept:
            return self._own(edge_id, cell, units)
        found = self._in_reach(cell)
        if edge_id not in self.present:
            found += self._free(edge_id, cell)
        return found >= units

    def _in_reach(self, cell: Cell) -> int:
        """Units that any edge that is heard could have, its own with them."""
        if cell not in self._reach:
            shares = self.book.shares.get(cell, {})
            held = sum(self._free(x, cell) for x in shares if x in self.present)
            self._reach[cell] = self._in_pool(cell) + self._on_its_way(cell) + held
        return self._reach[cell]

    def _spare(self, edge_id: str, cell: Cell) -> dict[str, int]:
        return {
            other: units
            for other in self.book.shares.get(cell, {})
            if other != edge_id and other in self.present and (units := self._free(other, cell))
        }

    def _take(self, edge_id: str, cells: dict[Cell, int]) -> None:
        for cell, units in cells.items():
            free = self._free(edge_id, cell)
            lacking = max(0, units - free)
            granted = min(lacking, self._in_pool(cell))
            if granted:
                grant(self.book, self.grants, edge_id, cell, granted)
            lacking -= granted
            key = (edge_id, cell)
            self._wanted[key] = self._wanted.get(key, 0) + units - lacking
            coming = min(lacking, self._on_its_way(cell))
            self._awaited[cell] = self._awaited.get(cell, 0) + lacking
            spare = self._spare(edge_id, cell)
            recalls.take(self.book, cell, lacking - coming, spare, self.target, self.recalls)
            self._reach.pop(cell, None)


def grant(book: Book, grants: Grants, edge_id: str, cell: Cell, units: int) -> None:
    """Move units from a cell's pool to an edge's share."""
    assert 0 < units <= book.balances[cell].pool, (cell, units)
    book.post("grant", cell, units, edge_id)
    granted = grants.setdefault(edge_id, {})
    granted[cell] = granted.get(cell, 0) + units
